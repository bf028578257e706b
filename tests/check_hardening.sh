#!/bin/sh
# Is the release program built as hardening demands, and does it load and use no more than it should?
# Does what simulates a machine, for which others would pay, need the C library alone?
# check_hardening.sh PROGRAM SIMULATION ...
set -eu
program=$1
shift
faults=0
demand() {  # WHAT COMMAND ...
  what=$1
  shift
  if ! "$@"; then
    echo "$program: $what" >&2
    faults=1
  fi
}
has() { printf '%s\n' "$1" | grep -Eq "$2"; }
lacks() { ! has "$1" "$2"; }

headers=$(readelf -hW "$program")
segments=$(readelf -lW "$program")
dynamic=$(readelf -dW "$program")
symbols=$(readelf --dyn-syms -W "$program" | awk '$7 == "UND" { sub(/@.*/, "", $8); print $8 }')

demand "is no position-independent executable" has "$headers" 'Type: +DYN .*Position-Independent Executable'
demand "has no GNU_RELRO segment" has "$segments" 'GNU_RELRO'
demand "binds lazily (no -z now)" has "$dynamic" 'BIND_NOW|FLAGS_1.* NOW'
demand "has an executable stack, or does not say" has "$segments" 'GNU_STACK .* RW +0x'
demand "has a segment that is writable and executable" lacks "$segments" 'LOAD .* RWE '
demand "has no stack protector" has "$symbols" '^__stack_chk_fail$'
demand "has no _FORTIFY_SOURCE" has "$symbols" '^__(memcpy|snprintf|fprintf|read|vsnprintf|memmove)_chk$'
demand "has no checks of the C++ library (_GLIBCXX_ASSERTIONS)" grep -q '__n < this->size()' "$program"
# How the sources were compiled, where the program itself cannot tell.
build=$(dirname "$program")
commands=$(grep '"command": .*/gate_core\.dir/' "$build/compile_commands.json")
compiler=$(sed -n 's/^CMAKE_CXX_COMPILER:[A-Z]*=//p' "$build/CMakeCache.txt")
if printf '#if !__has_builtin(__builtin_dynamic_object_size)\n#error\n#endif\n' | "$compiler" -E -x c++ - >/dev/null 2>&1
then
  demand "is compiled without _FORTIFY_SOURCE=3, which the compiler has" lacks "$(printf '%s\n' "$commands" |
    grep -v -e '-D_FORTIFY_SOURCE=3')" .
fi
if has "$headers" 'Machine: .*X86-64'; then
  code=$(mktemp)
  trap 'rm -f "$code"' EXIT
  objdump -d --no-show-raw-insn "$program" >"$code"
  demand "has no control-flow protection (-fcf-protection)" sh -c 'grep -A1 "<main>:" "$1" | grep -q endbr64' sh "$code"
  demand "does not touch its stack page by page (-fstack-clash-protection)" grep -q 'or[ql]  *\$0x0,(%rsp)' "$code"
fi
demand "has a search path for libraries of its own" lacks "$dynamic" 'RPATH|RUNPATH'
# <iostream>, <fstream>, <filesystem>, <regex> bring them in, 400 KiB of the C++ library. (A type's name is there even if stripped.)
demand "has the locales of the C++ library" sh -c '! grep -q NSt6locale5facetE "$1"' sh "$program"
# ARCHITECTURE.md: no threads.
demand "can start threads" lacks "$symbols" '^(pthread_create|thrd_create|clone|clone3)$'

# The C library alone; the C++ runtime is linked statically.
for program in "$program" "$@"; do
  for library in $(readelf -dW "$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    case $library in
      libc.so.6 | ld-linux-*.so.*) ;;
      *) demand "needs $library" false ;;
    esac
  done
done
exit "$faults"
