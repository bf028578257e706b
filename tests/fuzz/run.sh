#!/bin/sh
# Runs one libFuzzer target for some seconds: run.sh PROGRAM CORPUS SECONDS. New inputs are kept beside
# the program; an input that crashes it is printed by libFuzzer and kept there too.
set -eu
mkdir -p "$1.corpus"
exec "$1" -max_total_time="$3" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -print_final_stats=1 \
  -verbosity=0 -artifact_prefix="$1-" "$1.corpus" "$2"
