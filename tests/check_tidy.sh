#!/bin/sh
# clang-tidy over the program, the simulation and the benchmark (not the tests), two at a time; findings
# are errors. check_tidy.sh CLANG_TIDY BUILD
set -eu
tidy=$1
build=$2
find src sim -name '*.cpp' ! -name '*_test.cpp' -print0 |
  xargs -0 -n 1 -P 2 "$tidy" --quiet -p "$build"
# The benchmark's programs are in no build but its own.
find bench -name '*.cpp' -print0 |
  xargs -0 -n 1 -P 2 sh -c '"$0" --quiet "$1" -- -std=c++20 -fno-exceptions -fno-rtti -I sim' "$tidy"
