#!/bin/sh
# Some of the end-to-end tests with gpu-gate under valgrind: check_valgrind.sh PYTHON. It follows gpu-gate up
# to the exec, not into the command. At an exec it has no exit status to set, so what it finds is logged.
set -eu
cd "$(dirname "$0")/e2e"
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
chmod 1777 "$logs"
GPU_GATE_WRAPPER="valgrind -q --trace-children=no --child-silent-after-fork=yes --leak-check=full
  --show-leak-kinds=definite --errors-for-leak-kinds=definite --error-exitcode=99 --log-file=$logs/%p"
export GPU_GATE_WRAPPER
"$1" -m pytest -q -p no:cacheprovider test_smoke.py \
  'test_claim.py::test_however_the_job_ends_the_card_is_free_at_once[exit 0]' \
  test_claim.py::test_a_request_is_served_all_or_nothing \
  test_claim.py::test_a_request_that_gives_up_has_claimed_nothing \
  'test_claim.py::test_a_claim_whose_record_is_lost_holds_all_the_same[garbled]' \
  test_claim.py::test_dead_files_are_cleared_away_by_the_next_call_of_their_owner \
  test_line.py::test_the_place_in_line_is_told \
  test_line.py::test_a_request_for_many_cards_is_not_starved_by_small_ones \
  test_line.py::test_wait_stands_in_the_same_line_and_holds_nothing_afterwards \
  'test_line.py::test_a_shell_sees_the_signal_that_ended_a_waiter[15-143]' \
  test_nvml.py::test_many_processes_are_all_listed \
  test_nvml.py::test_a_lost_card_is_listed_with_what_is_known \
  test_hold.py::test_it_holds_as_long_as_the_pipe_to_its_owner_is_open
found=0
for log in "$logs"/*; do
  [ ! -s "$log" ] || { cat "$log" >&2; found=1; }
done
[ "$(find "$logs" -type f | wc -l)" -gt 20 ] || { echo "valgrind did not run" >&2; found=1; }
exit "$found"
