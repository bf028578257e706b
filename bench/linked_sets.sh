#!/bin/sh
# Prints the table of linked sets on the simulated machines: linked_sets.sh BUILD
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/../sim/machines"
exec "$build/bench/bench-linked-sets" "$build/sim/current/libnvidia-ml.so.1" \
  dgx-1v.txt dgx-h100.txt eight-bridged.txt four-crossed.txt two-sockets.txt
