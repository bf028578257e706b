#!/bin/sh
# Which lines and branches of src/ the unit and end-to-end tests reach: coverage.sh BUILD, a build with
# GPU_GATE_COVERAGE. What a process that is killed had counted is lost; an exec is no end and loses nothing.
set -eu
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)

counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT
chmod 755 "$counts"
rm -rf "$build/report"
mkdir -p "$build/report"
: >"$counts/errors"
chmod 666 "$counts/errors"
export GCOV_ERROR_FILE="$counts/errors" GPU_GATE_BUILD="$build" PYTHONDONTWRITEBYTECODE=1

# count NAME COMMAND ...: what the command reaches, to report/NAME.json. The tests run as several users, and
# all must be able to add to the counts, wherever the build is. The files are there beforehand, since with
# O_CREAT the kernel would refuse another user's file in a folder that all may write to
# (fs.protected_regular, proc(5)).
count() {
  name=$1
  shift
  find "$build" -name '*.gcda' -delete
  find "$build" -name '*.gcno' | while read -r notes; do
    file=$counts/$name${notes%.gcno}.gcda
    mkdir -p "${file%/*}"
    : >"$file"
    chmod 666 "$file"
  done
  find "$counts/$name" -type d -exec chmod 755 {} +
  GCOV_PREFIX="$counts/$name" "$@" || true  # counting costs system calls and memory: a few tests may mind
  (cd "$counts/$name$build" && find . -name '*.gcda' -size +0 -print0 | xargs -0 -r cp --parents -t "$build")
  gcovr --root "$source" --filter "$source/src/" --exclude '.*_test\.cpp' --json "$build/report/$name.json" "$build" >"$build/report/$name.log" 2>&1 ||
    { cat "$build/report/$name.log" >&2; exit 1; }
}

count unit "$build/tests/unit_tests" --gtest_brief=1
# A process that is killed while it saves its counts spoils the file, also for all that come after it. So each
# file of tests has its own; what kills at every system call would always spoil them.
for file in "$source"/tests/e2e/test_*.py; do
  name=${file##*/test_}
  count "${name%.py}" /usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=no "$file" -k 'not killed_at_any'
done

# Branches that only an exception takes are left out. The compiler tells which they are in functions that ran.
python3 - "$build/report" <<'EOT'
import json, pathlib, sys
runs = {path: json.loads(path.read_text()) for path in pathlib.Path(sys.argv[1]).glob("*.json")}
lines = [(file["file"], line) for run in runs.values() for file in run["files"] for line in file["lines"]]
throws = {(name, line["line_number"], place) for name, line in lines
          for place, branch in enumerate(line["branches"]) if branch["throw"]}
for name, line in lines:
    line["branches"] = [branch for place, branch in enumerate(line["branches"])
                        if (name, line["line_number"], place) not in throws]
for path, run in runs.items():
    path.write_text(json.dumps(run))
EOT
traces=
for file in "$build"/report/*.json; do traces="$traces -a $file"; done
# shellcheck disable=SC2086  # a list of words
gcovr --root "$source" $traces \
  --html-details "$build/report/index.html" --html-title gpu-gate --csv "$build/report/coverage.csv" \
  --txt "$build/report/lines.txt" >"$build/report/gcovr.log" 2>&1 || { cat "$build/report/gcovr.log" >&2; exit 1; }
python3 - "$build/report/coverage.csv" <<'EOT'
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
total = {key: sum(int(row[key]) for row in rows) for key in ("line_total", "line_covered", "branch_total", "branch_covered")}
for row in rows + [{"filename": "all", **total}]:
    parts = [(int(row[kind + "_covered"]), int(row[kind + "_total"])) for kind in ("line", "branch")]
    print(f"{row['filename']:34}" + "".join(f"  {name} {100 * part / (of or 1):5.1f} % of {of:<5}"
                                            for name, (part, of) in zip(("lines", "branches"), parts) if of))
EOT
echo "$build/report/index.html"
