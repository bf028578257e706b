#!/bin/sh
# Which lines and branches of src/ the unit and end-to-end tests reach: coverage.sh BUILD, a build with
# GPU_GATE_COVERAGE. What a process that is killed had counted is lost; an exec is no end and loses nothing.
set -eu
build=$(cd "$1" && pwd)
source=$(cd "$(dirname "$0")/.." && pwd)

# The tests run as several users, who must all be able to add to the counts, wherever the build is. The
# files are there beforehand, since with O_CREAT the kernel would refuse another user's file in a folder
# that all may write to (fs.protected_regular, proc(5)).
counts=$(mktemp -d)
trap 'rm -rf "$counts"' EXIT
chmod 755 "$counts"
find "$build" -name '*.gcda' -delete
find "$build" -name '*.gcno' | while read -r notes; do
  file=$counts${notes%.gcno}.gcda
  mkdir -p "${file%/*}"
  : >"$file"
  chmod 666 "$file"
done
find "$counts" -type d -exec chmod 755 {} +
export GCOV_PREFIX="$counts" GPU_GATE_BUILD="$build" PYTHONDONTWRITEBYTECODE=1

"$build/tests/unit_tests" --gtest_brief=1
# Counting costs time, memory and system calls of its own, so a few tests of just these fail.
/usr/bin/python3 -m pytest -q -p no:cacheprovider --tb=no "$source/tests/e2e" || true

(cd "$counts$build" && find . -name '*.gcda' -size +0 -print0) | (cd "$counts$build" && xargs -0 cp --parents -t "$build")
rm -rf "$build/report"
mkdir -p "$build/report"
gcovr --root "$source" --filter "$source/src/" --exclude '.*_test\.cpp' --exclude-throw-branches \
  --exclude-unreachable-branches --html-details "$build/report/index.html" --html-title gpu-gate \
  --csv "$build/report/coverage.csv" --txt "$build/report/lines.txt" "$build" >"$build/report/gcovr.log" 2>&1 ||
  { cat "$build/report/gcovr.log" >&2; exit 1; }
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
