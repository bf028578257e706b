#!/bin/sh
# Is every source file as clang-format would write it? Names the lines that are not.
set -eu
git ls-files -z --cached --others --exclude-standard -- '*.cpp' '*.h' |
  xargs -0 "$1" --dry-run --Werror
