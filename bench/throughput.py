"""Many short jobs at once."""

import statistics

from arena import in_turn
from table import Row, at_least_times, at_most

JOBS = 200
DEVICES = 4
RUNS, QUICK_RUNS = 7, 3
TRUE = "/bin/true"


def measure(arena, options):
    ours, theirs, other = Rates(), Rates(), Rates()
    turns = [lambda: theirs.add(behind_flock(arena)), lambda: ours.add(behind_gate(arena, arena.gate))]
    if arena.other_gate:
        turns.append(lambda: other.add(behind_gate(arena, arena.other_gate)))
    in_turn(turns, options.of(RUNS, QUICK_RUNS))
    name = f"throughput, {JOBS} on {DEVICES} GPUs"
    rows = [
        at_least_times(f"{name} (flock: 1 lock)", ours.median(), theirs.median(), 0.5, "jobs/s"),
        at_most("throughput: failed", ours.failed + theirs.failed, 0, ""),
    ]
    if arena.other_gate:
        rows.append(Row(f"{name} (other build)", ours.median(), "jobs/s", other.median()))
    return rows


class Rates:
    """Jobs a second, run by run."""

    def __init__(self):
        self.rates = []
        self.failed = 0

    def add(self, report):
        [[wall_ns, not_0]] = report
        self.rates.append(JOBS / (wall_ns / 1e9))
        self.failed += not_0

    def median(self):
        return statistics.median(self.rates)


def behind_flock(arena):
    machine = arena.machine(devices=DEVICES)
    return machine.launch("together", JOBS, arena.flock, machine.folder / "flock", TRUE)


def behind_gate(arena, gate):
    machine = arena.machine(devices=DEVICES, gate=gate)
    return machine.launch("together", JOBS, *machine.gate_run(TRUE))
