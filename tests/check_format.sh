#!/bin/sh
# Is every source file as clang-format would write it? Names the lines that are not.
# check_format.sh CLANG_FORMAT [--fix]: mends them.
set -eu
what='--dry-run --Werror'
[ "${2:-}" != --fix ] || what=-i
# shellcheck disable=SC2086  # words
find src sim bench tests -name "*.cpp" -print0 -o -name "*.h" -print0 | xargs -0 "$1" $what
