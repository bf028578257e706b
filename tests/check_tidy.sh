#!/bin/sh
# clang-tidy over the program's sources (not the tests), two at a time; findings are errors.
set -eu
tidy=$1
build=$2
find src -name '*.cpp' ! -name '*_test.cpp' -print0 |
  xargs -0 -n 1 -P 2 "$tidy" --quiet -p "$build"
