"""One run on a free card: what `gpu-gate run` adds to a command."""

import statistics

from table import Row, at_most, at_most_times

ROUNDS, QUICK_ROUNDS = 200, 50
TRUE = "/bin/true"


def measure(arena, options):
    machine = arena.machine(cards=1)
    run = [arena.gate, "run"]
    commands = {  # each name says what has been done when the process ends
        "bare exec": [TRUE],
        "flock": [arena.flock, machine.folder / "flock", TRUE],
        "gpu-gate": [*run, "--", TRUE],
        "linked": [arena.gate, "--version"],
        "options read": [*run, "--count", "none", "--", TRUE],
        "status": [arena.gate, "status"],
        "cards read": [*run, "--min-free-mib", "999999999", "--", TRUE],  # no card has as much
    }
    words = []
    for command in commands.values():
        words += ["---", *command] if words else command
    results = {name: [] for name in commands}
    for which, *figures in machine.launch("each", QUICK_ROUNDS if options.quick else ROUNDS, *words):
        results[list(commands)[which]].append(figures)
    wall = {name: statistics.median(wall_ns for wall_ns, *_ in runs) / 1e6 for name, runs in results.items()}
    peak = {name: max(peak_kib for _, peak_kib, *_ in runs) / 1024 for name, runs in results.items()}
    failed = sum(status != 0 for name in ("gpu-gate", "flock") for *_, status in results[name])
    return [
        at_most_times("start: wall, median (flock)", wall["gpu-gate"], wall["flock"], 2.0, "ms"),
        Row("start: the same (bare exec)", wall["gpu-gate"], "ms", wall["bare exec"]),
        at_most("start: peak memory (flock)", peak["gpu-gate"], 6, "MiB", peak["flock"]),
        at_most("start: failed", failed, 0, ""),
        Row("  of it: a process and its end", wall["bare exec"], "ms"),
        Row("  + load and link gpu-gate", wall["linked"] - wall["bare exec"], "ms"),
        Row("  + read the options", wall["options read"] - wall["linked"], "ms"),
        Row("  + open the directory, NVML, read cards", wall["cards read"] - wall["options read"], "ms"),
        Row("  + mutex, claim, exec of the command", wall["gpu-gate"] - wall["cards read"], "ms"),
        Row("  beside it: gpu-gate status", wall["status"], "ms"),
    ]
