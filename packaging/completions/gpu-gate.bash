# shellcheck shell=bash
# Completion of gpu-gate's words in bash.

# A line for each GPU: its index and name. None where the GPUs cannot be read.
_gpu_gate_gpus() {
  timeout 3 "$1" status --json 2>/dev/null | sed -n '
    /^    "index": /{s/[^0-9]//g;h}
    /^    "name": "/{s/^ *"name": "//;s/",*$//;s/[^A-Za-z0-9 ().+/_-]//g;H;x;s/\n/ /p}'
}

# The GPUs as items of a list: $2 is the list so far. bash shows what COMPREPLY holds, so the names go
# in with it while there is a choice; what it inserts then is the common beginning, of indices only.
_gpu_gate_list() {
  local item=${2##*,} index name
  local before=${2%"$item"} names=()
  while read -r index name; do
    [[ $index == "$item"* && ,$before != *,"$index",* ]] || continue
    COMPREPLY+=("$before$index")
    names+=("$before$index  $name")
  done < <(_gpu_gate_gpus "$1")
  # Types 37 and 42 insert one after another, or all.
  [[ ${#COMPREPLY[@]} -lt 2 || ${COMP_TYPE-} == 37 || ${COMP_TYPE-} == 42 ]] || COMPREPLY=("${names[@]}")
  type compopt &>/dev/null && compopt -o nospace 2>/dev/null
}

# What the command behind -- completes to; $1 is its place.
_gpu_gate_command() {
  if declare -F _comp_command_offset >/dev/null; then
    _comp_command_offset "$1"
  elif declare -F _command_offset >/dev/null; then
    _command_offset "$1"
  elif ((COMP_CWORD == $1)); then
    mapfile -t COMPREPLY < <(compgen -c -- "$2")
  else
    mapfile -t COMPREPLY < <(compgen -f -- "$2")
  fi
}

_gpu_gate() {
  local program=$1 word=$2 option=$3 verb=${COMP_WORDS[1]} words i
  COMPREPLY=()
  for ((i = 2; i < COMP_CWORD; i++)); do
    [[ ${COMP_WORDS[i]} == -- ]] || continue
    [[ $verb == run ]] && _gpu_gate_command $((i + 1)) "$word"
    return
  done
  # bash makes three words of --only=2.
  [[ $word == '=' ]] && word=
  [[ $option == '=' ]] && option=${COMP_WORDS[COMP_CWORD - 2]}
  ((COMP_CWORD > 1)) || verb=

  case $option in
    --only | --exclude) _gpu_gate_list "$program" "$word"; return ;;
    --ids) words='index uuid' ;;
    --pid) words=$(cd /proc && echo [1-9]*) ;;
    -n | --count | --min-free-mb | --max-util | --timeout | --poll | --for) return ;;
    *)
      local common='-n --count --min-free-mb --max-util --only --exclude --timeout --poll -q --quiet --ids -h --help'
      case $verb in
        '') words='run wait hold status help --help --version' ;;
        run) words="$common --" ;;
        wait) words="$common --json" ;;
        hold) words="$common --json --pid --for" ;;
        status) words='--json -h --help' ;;
        help) words='run wait hold status' ;;
      esac
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}

complete -F _gpu_gate gpu-gate
