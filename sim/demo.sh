#!/bin/sh
# A simulated box with four GPUs, one outsider, and six jobs of two users that wait, start and end.
# demo.sh BUILD [nvidia | amd]
set -eu
build=$1
maker=${2:-nvidia}
sim=$(dirname "$0")
case $maker in
  nvidia | amd) ;;
  *) echo "demo: there are nvidia and amd, but no '$maker'" >&2; exit 2 ;;
esac

box=${GPU_GATE_DEMO_BOX:-}
if [ -z "$box" ]; then
  box=$(mktemp -d /tmp/gpu-gate-demo-XXXXXX)
  chmod 1777 "$box"
  # The second user must be able to reach the programs, wherever this folder is.
  cp "$build/gpu-gate" "$build/sim/gpu-sim-job" "$build/sim/current/libnvidia-ml.so.1" "$box/"
  if [ "$maker" = amd ]; then
    # Four of its eight cards; and from here on all of this sees them in /sys and /dev.
    awk '!/^amd/ || ++cards <= 4' "$sim/machines/mi300x.txt" >"$box/machine.txt"
    trap 'rm -rf "$box"' EXIT  # which nobody could in there, where it has mounts
    trap : INT TERM
    GPU_GATE_DEMO_BOX="$box" "$build/sim/gpu-sim-sysfs" "$box/machine.txt" -- sh "$0" "$build" amd
    exit
  fi
  cp "$sim/machines/four-gpus.txt" "$box/machine.txt"
fi
unset CUDA_VISIBLE_DEVICES HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES
export GPU_SIM_MACHINE="$box/machine.txt" GPU_GATE_NVML="$box/libnvidia-ml.so.1"
export GPU_GATE_LOCK_DIR="$box/lock" GPU_GATE_HISTORY="$box/history" PATH="$box:$PATH"

pids=
clean_up() {
  trap - EXIT INT TERM
  for pid in $pids; do kill "$pid" 2>/dev/null || :; done
  wait 2>/dev/null || :
  [ -n "${GPU_GATE_DEMO_BOX:-}" ] || rm -rf "$box"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# A second user, where we may become one.
other=
if [ "$(id -u)" -eq 0 ] && id games >/dev/null 2>&1; then
  other="setpriv --reuid games --regid games --clear-groups"
fi

started=$(date +%s)
bold=
plain=
if [ -t 1 ]; then
  bold=$(printf '\033[1m')
  plain=$(printf '\033[0m')
fi
show() { printf '\n%s[%2ds] %s%s\n' "$bold" "$(($(date +%s) - started))" "$*" "$plain"; }
board() { printf '$ gpu-gate status\n'; gpu-gate status; }
# job NAME SECONDS "gpu-gate options" [as the other user]
job() {
  printf '$ gpu-gate run %s-- gpu-sim-job --memory 20000 --for %s000 &   # job %s%s\n' "${3:+$3 }" "$2" \
    "$1" "${4:+, of another user}"
  # shellcheck disable=SC2086
  ${4:+$other} gpu-gate run $3 -- gpu-sim-job --quiet --memory 20000 --for "${2}000" 2>"$box/log.$1" &
  pids="$pids $!"
}

show "A box with four GPUs. A job that does not use gpu-gate is on GPU 1."
CUDA_VISIBLE_DEVICES=1 gpu-sim-job --quiet --memory 30000 --for 11000 --ready "$box/ready" &
pids="$pids $!"
while [ ! -e "$box/ready" ]; do sleep 0.1; done
board

show "Two users submit six jobs. Three start at once, the others stand in line."
job A 5 ""
job B 7 "" other
job C 9 ""
sleep 0.5
job D 4 "-n 2"
sleep 0.5
job E 3 "" other
sleep 0.5
job F 3 "--min-free-mb 8000"
sleep 1
board

show "This is what job D, which wants two GPUs, was told:"
cat "$box/log.D"

show "Job A ends. Its GPU is kept for job D, which is first in line, until a second one is free."
sleep 3
board

show "Job B ends: job D has its two GPUs, at once. Now E and F are in line."
sleep 2.5
board

show "The rest goes through, each as soon as it can."
wait 2>/dev/null || :
board

show "The GPUs that each job used, as it was told:"
for name in A B C D E F; do printf '%s  ' "$name"; grep using "$box/log.$name"; done
