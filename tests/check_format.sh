#!/bin/sh
# Is every source file as clang-format would write it? Names the lines that are not.
set -eu
find src sim bench tests -name "*.cpp" -print0 -o -name "*.h" -print0 |
  xargs -0 "$1" --dry-run --Werror
