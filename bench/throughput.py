"""Many short jobs at once."""

import statistics

from table import at_least_times, at_most

JOBS = 200
CARDS = 4
RUNS, QUICK_RUNS = 7, 3
TRUE = "/bin/true"


def measure(arena, options):
    ours, theirs, failed = [], [], 0
    for _ in range(options.of(RUNS, QUICK_RUNS)):
        machine = arena.machine(cards=CARDS)
        for rates, command in (
            (theirs, [arena.flock, machine.folder / "flock", TRUE]),
            (ours, machine.gate_run(TRUE)),
        ):
            [[wall_ns, not_0]] = machine.launch("together", JOBS, *command)
            rates.append(JOBS / (wall_ns / 1e9))
            failed += not_0
    return [
        at_least_times(f"throughput, {JOBS} on {CARDS} cards (flock: 1 lock)", statistics.median(ours),
                       statistics.median(theirs), 0.5, "jobs/s"),
        at_most("throughput: failed", failed, 0, ""),
    ]
