#!/bin/sh
# clang-tidy over the program, the simulation and the benchmark (not the tests), two at a time; findings
# are errors. check_tidy.sh CLANG_TIDY BUILD [--fix]: mends what can be mended, one after the other, since
# they share headers. A source that was clean is not looked at again until it, a header, or how it is
# looked at changes.
set -eu
tidy=$1
build=$2
fix=${3:-}
jobs=2
[ -z "$fix" ] || jobs=1
clean=$build/tidy
mkdir -p "$clean"
common=$({ "$tidy" --version; cat .clang-tidy "$build/compile_commands.json"
  find src sim bench -name '*.h' | sort | xargs cat; } | sha256sum)
export tidy build fix clean common
# shellcheck disable=SC2016  # for the inner shell
find src sim bench -name '*.cpp' ! -name '*_test.cpp' -print0 | xargs -0 -n 1 -P "$jobs" sh -euc '
  key=$({ echo "$common $0"; cat "$0"; } | sha256sum)
  stamp=$clean/$(echo "$0" | tr / _)
  [ "$(cat "$stamp" 2>/dev/null)" != "$key" ] || exit 0
  "$tidy" --quiet -p "$build" $fix "$0" || exit 1
  echo "$key" >"$stamp"'
