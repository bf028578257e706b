#!/bin/sh
# Is the table in bench/README what the simulation prints? check_linked_sets.sh BUILD
set -eu
build=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
table=$(sh bench/linked_sets.sh "$build")
printf '%s\n' "$table" | while read -r row; do
  if ! grep -qxF "$row" bench/README.md; then
    echo "bench/README.md does not have: $row" >&2
    exit 1
  fi
done
