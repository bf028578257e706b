"""One run on a free card: what `gpu-gate run` adds to a command."""

import os
import statistics

from arena import Failed
from table import Row, at_most, at_most_times

ROUNDS, QUICK_ROUNDS = 200, 50
TRUE = "/bin/true"


def measure(arena, options):
    machine = arena.machine(cards=1)
    run = [arena.gate, "run"]
    commands = {  # how far each comes, and the exit status that shows it
        "bare exec": (0, [TRUE]),
        "flock": (0, [arena.flock, machine.folder / "flock", TRUE]),
        "gpu-gate": (0, [*run, "--", TRUE]),
        "linked": (0, [arena.gate, "--version"]),
        "options read": (2, [*run, "--count", "none", "--", TRUE]),
        "cards read": (3, [*run, "--count", "99", "--", TRUE]),  # there is one
        "turn decided": (0, [arena.gate, "wait"]),
        "second exec": (0, ["/usr/bin/env", TRUE]),
        "status": (0, [arena.gate, "status"]),
    }
    words = []
    for _, command in commands.values():
        words += ["---", *command] if words else command
    results = {name: [] for name in commands}
    for which, *figures, wait_status in machine.launch("each", options.of(ROUNDS, QUICK_ROUNDS), *words):
        name = list(commands)[which]
        results[name].append(figures)
        expected = commands[name][0]
        if os.waitstatus_to_exitcode(wait_status) != expected:
            raise Failed(f"{name}: wait status {wait_status}, exit status {expected} was expected")
    wall = {name: statistics.median(wall_ns for wall_ns, *_ in runs) / 1e6 for name, runs in results.items()}
    peak = {name: max(peak_kib for _, peak_kib, _ in runs) / 1024 for name, runs in results.items()}
    return [
        at_most_times("start: wall, median (flock)", wall["gpu-gate"], wall["flock"], 2.0, "ms"),
        Row("start: the same (bare exec)", wall["gpu-gate"], "ms", wall["bare exec"]),
        at_most("start: peak memory (flock)", peak["gpu-gate"], 6, "MiB", peak["flock"]),
        Row("  of it: bare exec", wall["bare exec"], "ms"),
        Row("  + load and link gpu-gate", wall["linked"] - wall["bare exec"], "ms"),
        Row("  + read the options", wall["options read"] - wall["linked"], "ms"),
        Row("  + directory, NVML, read the card", wall["cards read"] - wall["options read"], "ms"),
        Row("  + mutex and decision", wall["turn decided"] - wall["cards read"], "ms"),
        Row("  + claim, exec of the command", wall["gpu-gate"] - wall["turn decided"], "ms"),
        Row("  to compare: a second exec (env)", wall["second exec"] - wall["bare exec"], "ms"),
        Row("  to compare: gpu-gate status", wall["status"], "ms"),
    ]
