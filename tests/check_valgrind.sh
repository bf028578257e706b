#!/bin/sh
# The end-to-end tests with gpu-gate under valgrind: check_valgrind.sh PYTHON [SAMPLE [FILE ...]]. With SAMPLE
# 100, every hundredth of them, and of the cases in each; all take an hour or more. Valgrind follows
# gpu-gate up to the exec, not into the command. At an exec it has no exit status to set, so what it finds is
# logged, and only the logs count here: some tests see valgrind instead of gpu-gate (its descriptors, limits
# and variables; that it takes its time), and all are judged without it elsewhere.
set -eu
cd "$(dirname "$0")/e2e"
python=$1
GPU_GATE_TEST_SAMPLE=${2:-1}
[ $# -lt 2 ] || shift
shift
# Those that run gpu-gate under strace cannot run it under valgrind.
# shellcheck disable=SC2046  # names without a blank
[ $# -gt 0 ] || set -- $(ls test_*.py | grep -v -e test_faults.py -e test_interleavings.py)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -m 1777 "$work/logs"
chmod 755 "$work"
GPU_GATE_WRAPPER="valgrind -q --vgdb=no --trace-children=no --child-silent-after-fork=yes --leak-check=full
  --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=99 --log-file=$work/logs/%p"
export GPU_GATE_WRAPPER GPU_GATE_TEST_SAMPLE
"$python" -m pytest -q -p no:cacheprovider --tb=line "$@" >"$work/out" 2>&1 || true
tail -n 1 "$work/out"
# After an exec that fails valgrind cannot go on, which is not gpu-gate's fault.
if grep -h '^==' -r "$work/logs" | grep -v -e ' execve(.*) failed' -e 'EXEC FAILED' -e 'PRE(sys_execve)' >&2; then
  exit 1
fi
processes=$(find "$work/logs" -type f | wc -l)
echo "$processes processes"
[ "$processes" -gt 20 ] || { cat "$work/out"; exit 1; }
