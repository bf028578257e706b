#!/bin/sh
# cppcheck over the program, the simulation and the benchmark; findings are errors. The unit tests are
# left out, since it does not know GoogleTest's macros.
set -eu
# invalidPrintfArgType_uint: it does not know that std::uintmax_t is uintmax_t; the compilers check formats.
find src sim bench -name '*.cpp' ! -name '*_test.cpp' |
  cppcheck --file-list=- --enable=warning,performance,portability --std=c++20 --language=c++ -I src -I sim \
    --inline-suppr --suppress=invalidPrintfArgType_uint --quiet --error-exitcode=1 \
    --template='{file}:{line}: {severity}: {message} [{id}]'
