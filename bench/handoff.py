"""From the end of one job to the start of the next, with a line of known order."""

import os
import sys

from arena import Failed, Skipped, in_turn, wait_until
from table import Row, at_most, at_most_times, percentile

JOB_MS = 20
RUNS = {16: 6, 128: 3, 512: 2}
QUICK_RUNS = {16: 2, 128: 1}


def measure(arena, options):
    try:
        users = arena.other_users()
    except Skipped as reason:
        print(f"handoff: only with one user: {reason}", file=sys.stderr)
        users = []
    rows = []
    for waiters, runs in options.of(RUNS, QUICK_RUNS).items():
        rows += measure_with(arena, waiters, runs, users)
    return rows


def measure_with(arena, waiters, runs, users):
    theirs, ours, mixed, other = Latencies(), Latencies(), Latencies(), Latencies()
    turns = [
        lambda: theirs.add(behind_flock(arena, waiters)),
        lambda: ours.add(behind_gate(arena, waiters, arena.gate)),
    ]
    if users:
        turns.append(lambda: mixed.add(behind_gate(arena, waiters, arena.gate, users)))
    if arena.other_gate:
        turns.append(lambda: other.add(behind_gate(arena, waiters, arena.other_gate)))
    in_turn(turns, runs)
    name = f"hand-off, {waiters} waiting"
    rows = [
        at_most_times(f"{name}: p50", ours.at(50), theirs.at(50), 1.5, "ms"),
        at_most_times(f"{name}: p99", ours.at(99), theirs.at(99), 3, "ms"),
        Row(f"{name}: worst", ours.at(100), "ms", theirs.at(100)),
        at_most(f"{name}: inversions", ours.inversions, 0, "", theirs.inversions),
    ]
    if users:
        of_users = f"{name}, {len(users)} users"
        rows += [Row(f"{of_users}: p{percent} (one user)", mixed.at(percent), "ms", ours.at(percent))
                 for percent in (50, 99)]
        rows.append(at_most(f"{of_users}: inversions", mixed.inversions, 0, ""))
    if arena.other_gate:
        rows += [Row(f"{name}: p{percent} (other build)", ours.at(percent), "ms", other.at(percent))
                 for percent in (50, 99)]
    if arena.other_gate and users:
        rows += [Row(f"{of_users}: p{percent} (other build, one user)", mixed.at(percent), "ms", other.at(percent))
                 for percent in (50, 99)]
    return rows


class Latencies:
    def __init__(self):
        self.ms = []
        self.inversions = 0

    def add(self, log):
        starts = [(int(number), int(ns)) for what, number, ns in log
                  if what == "start" and number != "blocker"]
        starts.sort(key=lambda start: start[1])
        ends = sorted(int(ns) for what, _, ns in log if what == "end")
        late_ms = [(start - end) / 1e6 for end, (_, start) in zip(ends, starts)]
        if min(late_ms) < 0:
            raise Failed("two jobs ran at once")
        self.ms += late_ms
        order = [number for number, _ in starts]
        self.inversions += sum(order[i] > later for i in range(len(order)) for later in order[i + 1:])

    def at(self, percent):
        return percentile(self.ms, percent)


def behind_gate(arena, waiters, gate, users=()):
    """With several users, one after the other puts as many in line as all others; the numbers of the jobs say in
    which order they are to start, which is by turns."""
    machine = arena.machine(devices=1, gate=gate)
    blocker = machine.blocker(machine.gate_run)
    line = []
    for user in users or [None]:
        line += [machine.start_in_line(*machine.job(number, JOB_MS), number=number, user=user)
                 for number in range(users.index(user) if users else 0, waiters, len(users) or 1)]
    return release(machine, blocker, line)


def behind_flock(arena, waiters):
    machine = arena.machine(devices=1)
    lock = machine.folder / "flock"
    blocker = machine.blocker(lambda *words: [arena.flock, lock, *words])
    line = []
    for i in range(waiters):
        line.append(machine.start(arena.flock, lock, *machine.job(i, JOB_MS)))
        wait_until(lambda: blocked_on(lock) == len(line), "flock blocks")
    return release(machine, blocker, line)


def blocked_on(path):
    """How many processes wait for a lock on this file: the lines "5: -> FLOCK ..." of /proc/locks (proc(5))."""
    inode = f":{path.stat().st_ino} "
    with open("/proc/locks", encoding="ascii") as locks:
        return sum("->" in entry and inode in entry for entry in locks)


def release(machine, blocker, line):
    os.close(blocker)
    line[-1].wait()  # first, so that no other job's end wakes this process
    for child in line:
        if child.wait() != 0:
            raise Failed(f"a job of the hand-off ended with {child.status}")
    machine.arena.end_children()
    log = machine.log_lines()
    if len(log) != 2 * len(line) + 2:
        raise Failed(f"{len(line)} jobs and the blocker left {len(log)} log lines")
    return log
