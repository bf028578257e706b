#!/bin/sh
# Is README's picture what the simulation draws, and are the figures beside it those that it prints?
# check_fair_share.sh PYTHON3 BUILD
set -eu
cd "$(dirname "$0")/.."
drawn=$(mktemp)
trap 'rm -f "$drawn"' EXIT
told=$("$1" bench/fair_share.py --build "$2" --out "$drawn")
if ! cmp "$drawn" docs/fair-share.svg; then
  echo 'make it anew: ./dev fair-share' >&2
  exit 1
fi
text=$(tr '\n' ' ' <README.md)
for figure in $(printf '%s\n' "$told" | awk '
    $1 == "Alice" { print "after_" $7 "_hours"; print "of_" $12 "\\." }
    $1 == "all" { print "the_" $4 "_jobs"; print "wait_" $6 "_minutes"; print "served_" $11 ";" }'); do
  if ! printf '%s' "$text" | grep -q "$(echo "$figure" | tr _ ' ')"; then
    echo "README does not say '$figure', as the simulation does" >&2
    exit 1
  fi
done
