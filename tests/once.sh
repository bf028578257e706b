#!/bin/sh
# Runs a check that depends on some files alone, unless it has passed with these as they are:
# once.sh STAMP FILE ... -- COMMAND ...
set -eu
stamp=$1
shift
key=
while [ "$1" != -- ]; do
  key="$key $(sha256sum "$1")"
  shift
done
shift
if [ "$(cat "$stamp" 2>/dev/null)" = "$* $key" ]; then
  echo "passed before, with the same files"
  exit 0
fi
"$@"
printf '%s\n' "$* $key" >"$stamp"
