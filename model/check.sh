#!/bin/sh
# Proves line.pml with spin, then plants each deliberate error and sees that spin finds it.
# No arguments. Exit code 0: every proof complete and without error, every planted error found.
set -u
model=$(cd "$(dirname "$0")" && pwd)/line.pml || exit 1
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work" || exit 1
failed=0

# search "C FLAGS" "PAN FLAGS" SPIN FLAGS...: the whole output in `out`, seconds in $took.
search() {
  began=$(date +%s)
  cflags=$1 flags=$2
  shift 2
  rm -f pan pan.c
  # pan ends on its own far below these limits; out of memory or depth shows in its output.
  # shellcheck disable=SC2086
  { spin -a "$@" "$model" && "${CC:-cc}" -w -O1 -DMEMLIM=1500 $cflags -o pan pan.c &&
    ./pan $flags -m1000000; } >out 2>&1
  took=$(($(date +%s) - began))
  states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' out)
}

report() {  # report ok|FAILED WHAT
  printf '%-6s %-62s %10s states %3s s\n' "$1" "$2" "${states:-?}" "$took"
  if [ "$1" != ok ]; then
    failed=1
    tail -n 40 out >&2
  fi
}

# Is the search whole and without an error?
is_proof() {
  grep -q 'errors: 0$' out && [ -n "$states" ] && grep -q 'Full statespace search' out &&
    ! grep -qiE 'max search depth too small|out of memory|reached -DMEMLIM|aborting|interrupted|not completed' out
}

prove() {  # prove WHAT CFLAGS PANFLAGS SPINFLAGS...
  what=$1
  shift
  search "$@"
  if is_proof; then report ok "proved: $what"; else report FAILED "proved: $what"; fi
  # The steps of a waiter that no proof so far has reached.
  sed -n '/unreached in proctype Waiter/,/states)/s/^.*line.pml:/line.pml:/p' out | sort >missed
  if [ -f unreached ]; then comm -12 unreached missed >both; else cp missed both; fi
  mv both unreached
}

# find PROPERTY NAME CFLAGS PANFLAGS SPINFLAGS...: pan has to stop at that property.
find_error() {
  property=$1 name=$2
  shift 2
  case $property in
    a) shows='assertion violated.*claims.*&granted' ;;
    b) shows='assertion violated.*cand' ;;
    c) shows='assertion violated.*(taken&granted)' ;;
    d) shows='non-progress cycle (at depth' ;;
  esac
  search "$@" "-D$name"
  if grep -q "^pan:1: $shows" out; then report ok "found:  $name breaks ($property)"
  else report FAILED "found:  $name breaks ($property)"; fi
}

# The deliberate errors are searched in the other order of processes, which finds them sooner.
safety=-DSAFETY
sooner='-DSAFETY -DREVERSE -O0'

prove 'three waiters, all may end (a-d)' "$safety" ''
prove 'three and an outsider on card 0, all may end (a-d)' "$safety" '' -DSTRANGER -DOUTSIDER=1
prove 'three and an outsider on card 1, all may end (a-d)' "$safety" '' -DSTRANGER -DOUTSIDER=2
prove 'four waiters, the second and third may end (a-d)' "$safety" '' -DLONG_LINE
prove 'three waiters, two may end, jobs close their descriptors (a-d)' "$safety" '' -DCLOSES -DHARM=2
prove 'two shares of a card and one for all of it, all may end (a-d)' "$safety" '' -DSHARES
prove 'two users and a job on both cards, all may end (a-d)' "$safety" '' -DUSERS
# With -E, for some wait for ever.
prove 'the same, one card used by nobody in line (a-c)' "$safety" -E -DKEEPER
prove 'two users, one takes a card while its other one waits (a-c)' "$safety" -E -DTAKES
prove 'three users and a job, the last may end (a-c)' "$safety" -E -DARRIVAL
prove 'two users, two of --nice, one may end (a-c)' "$safety" -E -DPOLITE -DHARM=1
# Only the end of the process, which it never comes to.
if ! grep -q -e '-end-' unreached || grep -v -e '-end-' unreached >out; then
  report FAILED 'reached: every step of a waiter'
fi
prove 'three waiters, one may end: no endless round (d)' -DNP -l -DLIVELOCK -DHARM=1
prove 'two users and a job, one may end: no endless round (d)' -DNP -l -DLIVELOCK -DUSERS -DHARM=1

find_error b PROBE_BEFORE_OPEN "$sooner" '' -DLONG_LINE
find_error b SCANS_APART "$sooner" '' -DHARM=1
find_error b COUNT_FIRST "$sooner" '' -DHARM=1
find_error b NO_STALE_CHECK "$sooner" '' -DHARM=1
find_error b ANSWER_LATE "$sooner" '' -DSTRANGER -DOUTSIDER=1 -DHARM=0
find_error b NO_RING "$sooner" '' -DSTRANGER -DOUTSIDER=1 -DHARM=0
find_error b RING_LATE "$sooner" '' -DSTRANGER -DOUTSIDER=1 -DHARM=1
find_error b HANGUP_DROPPED "$sooner" '' -DLONG_LINE
find_error b JOINS_UNSEEN "$sooner" '' -DSTRANGER -DOUTSIDER=2 -DHARM=0
find_error a CLOSED_IS_ENDED '-DSAFETY -O0' '' -DCLOSES -DHARM=0
find_error b PROCESS_UNWATCHED "$sooner" '' -DCLOSES -DHARM=0
find_error a NO_MUTEX "$sooner" '' -DHARM=1
find_error c NO_RESERVE '-DSAFETY -O0' '' -DHARM=1
find_error c LEADER_NEVER_YIELDS "$sooner" -E -DKEEPER
find_error b LEADER_FIRST "$sooner" -E -DKEEPER
find_error b OWN_TURN_UNHEARD "$sooner" -E -DKEEPER
find_error b OWN_CARDS_WATCHED "$sooner" -E -DKEEPER
find_error b LAST_UNWATCHED "$sooner" -E -DKEEPER
find_error b LAST_LATE "$sooner" -E -DKEEPER
find_error b COMES_UNHEARD "$sooner" -E -DARRIVAL
find_error b COMES_LATE "$sooner" -E -DARRIVAL
find_error b COMES_FOR_ITSELF "$sooner" -E -DPOLITE -DHARM=0
find_error b ONE_SHARE_WATCHED "$sooner" '' -DSHARES -DHARM=0
find_error b SHARE_END_MISSED "$sooner" '' -DSHARES -DHARM=0
find_error c NO_RESERVE "$sooner" '' -DSHARES -DHARM=0
find_error d NO_ANSWER '-DNP -DREVERSE -O0' -l -DLIVELOCK -DHARM=1

exit $failed
