#!/bin/sh
# clang-tidy over the program, the simulation and the benchmark (not the tests), two at a time; findings
# are errors. check_tidy.sh CLANG_TIDY BUILD [--fix]: mends what can be mended, one after the other, since
# they share headers. What was clean is not looked at again until it, a header, or how it is looked at changes.
#
# Most of the time goes into the headers of libraries, so the checks look at all sources that include them as one
# (their anonymous namespaces are then one, so names in them differ).
# Each is also read alone by the compiler, whether it includes all that it needs; so is a header that has no source
# to read it first. (The one check that the includes of a unity file would mislead, of a source that includes a
# source, is a search for such a line.)
set -eu
tidy=$1
build=$2
fix=${3:-}
jobs=2
[ -z "$fix" ] || jobs=1
clean=$build/tidy
mkdir -p "$clean"
included=bugprone-suspicious-include
common=$({ "$tidy" --version; cat .clang-tidy "$0" "$build/compile_commands.json"
  find src sim bench -name '*.h' | sort | xargs cat; } | sha256sum)
precompiled=$(mktemp -d "$clean/precompiled.XXXXXX")
trap 'rm -rf "$precompiled"' EXIT
trap 'exit 1' HUP INT TERM
export tidy build fix clean included common precompiled

# Not those that the folder keeps from a build of more files.
unity=$(sed -n 's|^ *"file": "\(.*/all_sources_as_one\.dir/Unity/.*\)".*|\1|p' "$build/compile_commands.json" | sort)
export unity
sources=$(find src sim bench -name '*.cpp' ! -name '*_test.cpp' | sort)
# shellcheck disable=SC2086
if grep -n '^#include ".*\.cpp"' $sources; then exit 1; fi
headers=$(find src -name '*.h' ! -name 'test_*' | sort | while read -r header; do
  [ -f "${header%.h}.cpp" ] || echo "$header"
done)
# shellcheck disable=SC2086,SC2016  # words; for the inner shell
printf '%s\n' $unity $headers $sources | xargs -n 1 -P "$jobs" sh -euc '
  in_unity() { cat $unity | grep -q "/$1\""; }
  case $0 in
    *.cxx) parts=$(sed -n "s/^#include \"\(.*\)\"/\1/p" "$0"); how=-$included ;;
    *.h) parts=$0; how=compile ;;
    *) parts=$0; how=; ! in_unity "$0" || how=compile ;;
  esac
  key=$({ echo "$common $0"; cat $parts; } | sha256sum)
  stamp=$clean/$(echo "$0" | tr / _)
  [ "$(cat "$stamp" 2>/dev/null)" != "$key" ] || exit 0
  if [ "$how" = compile ]; then
    python3 tests/syntax_only.py "$build/compile_commands.json" "$precompiled" "$0"
  else
    "$tidy" --quiet -p "$build" --config-file=.clang-tidy --checks="$how" $fix "$0"
  fi || exit 1
  echo "$key" >"$stamp"'
