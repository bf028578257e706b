"""From the end of one job to the start of the next, with a line of known order."""

import os

from arena import Failed, in_turn, wait_until
from table import Row, at_most, at_most_times, percentile

JOB_MS = 20
RUNS = {16: 6, 128: 3, 512: 2}
QUICK_RUNS = {16: 2, 128: 1}


def measure(arena, options):
    rows = []
    for waiters, runs in options.of(RUNS, QUICK_RUNS).items():
        ours, theirs, other = Latencies(), Latencies(), Latencies()
        turns = [
            lambda: theirs.add(behind_flock(arena, waiters)),
            lambda: ours.add(behind_gate(arena, waiters, arena.gate)),
        ]
        if arena.other_gate:
            turns.append(lambda: other.add(behind_gate(arena, waiters, arena.other_gate)))
        in_turn(turns, runs)
        name = f"hand-off, {waiters} waiting"
        rows += [
            at_most_times(f"{name}: p50", ours.at(50), theirs.at(50), 1.5, "ms"),
            at_most_times(f"{name}: p99", ours.at(99), theirs.at(99), 3, "ms"),
            Row(f"{name}: worst", ours.at(100), "ms", theirs.at(100)),
            at_most(f"{name}: inversions", ours.inversions, 0, "", theirs.inversions),
        ]
        if arena.other_gate:
            rows += [Row(f"{name}: p{percent} (other build)", ours.at(percent), "ms", other.at(percent))
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


def behind_gate(arena, waiters, gate):
    machine = arena.machine(devices=1, gate=gate)
    blocker = machine.blocker(machine.gate_run)
    line = [machine.start_in_line(*machine.job(i, JOB_MS), number=i) for i in range(waiters)]
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
