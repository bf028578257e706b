"""One run on a free GPU: what `gpu-gate run` adds to a command."""

import os
import statistics

from arena import Failed
from table import Row, at_most, at_most_times

ROUNDS, QUICK_ROUNDS = 300, 60
TRUE = "/bin/true"
STAGES = {  # how far gpu-gate gets: the exit status that proves it, and the arguments
    "linked": (0, ["--version"]),
    "options read": (2, ["run", "--count", "none", "--", TRUE]),
    "GPU read": (3, ["run", "--count", "99", "--", TRUE]),  # there is only one
    "turn decided": (0, ["wait"]),
    "run": (0, ["run", "--", TRUE]),
    "status": (0, ["status"]),
}


def measure(arena, options):
    machine = arena.machine(devices=1)
    commands = {  # the exit status expected, and the words
        "bare exec": (0, [TRUE]),
        "flock": (0, [arena.flock, machine.folder / "flock", TRUE]),
        "second exec": (0, ["/usr/bin/env", TRUE]),
        "NVML": (0, [arena.nvml, machine.driver, machine.folder / "nvml.ns"]),
    }
    gates = [("ours", arena.gate)] + ([("other", arena.other_gate)] if arena.other_gate else [])
    for build, gate in gates:
        # A lock directory for each build, so that neither clears away what the other left.
        env = [f"GPU_GATE_LOCK_DIR={machine.lock_dir}.{build}"]
        for stage, (status, words) in STAGES.items():
            commands[build, stage] = (status, [*env, gate, *words])
        kept = machine.folder / f"history.{build}"
        kept.mkdir()
        commands[build, "with a history"] = (0, [*env, f"GPU_GATE_HISTORY={kept}", gate, *STAGES["run"][1]])
    wall, peak = medians(machine, commands, options.of(ROUNDS, QUICK_ROUNDS))
    nvml = statistics.median(map(int, (machine.folder / "nvml.ns").read_text().split())) / 1e6
    steps = {build: Steps(build, wall, nvml) for build, _ in gates}
    ours, other = steps["ours"], steps.get("other")
    rows = [
        at_most_times("start: with a history (the same without)", wall["ours", "with a history"], wall["ours", "run"], 1.15,
                      "ms"),
        at_most_times("start: without the simulated NVML (flock)", ours.net, wall["flock"], 2.0, "ms"),
        Row("start: the same (bare exec)", ours.net, "ms", wall["bare exec"]),
        Row("start: with the simulated NVML (flock)", ours.whole, "ms", wall["flock"]),
        at_most("start: peak memory (flock)", peak["ours", "run"], 6, "MiB", peak["flock"]),
        Row("  of it: bare exec", wall["bare exec"], "ms"),
        *(Row(f"  + {name}", ms, "ms", other.added[name] if other else None)
          for name, ms in ours.added.items()),
        Row("  + the simulated NVML, measured apart", nvml, "ms"),
        Row("  to compare: a second exec (env)", wall["second exec"] - wall["bare exec"], "ms"),
        Row("  to compare: gpu-gate status", wall["ours", "status"], "ms"),
    ]
    if other:
        rows += [
            Row("start: without the simulated NVML (other build)", ours.net, "ms", other.net),
            Row("start: the same less a bare exec (other build)", ours.net - wall["bare exec"], "ms",
                other.net - wall["bare exec"]),
            Row("start: peak memory (other build)", peak["ours", "run"], "MiB", peak["other", "run"]),
        ]
    return rows


class Steps:
    """The figures of one build in ms; `nvml` is what the library costs."""

    def __init__(self, build, wall, nvml):
        def from_to(before, after):
            return wall[build, after] - wall[build, before]

        self.whole = wall[build, "run"]
        self.net = self.whole - nvml
        self.added = {
            "load and link gpu-gate": wall[build, "linked"] - wall["bare exec"],
            "read the options": from_to("linked", "options read"),
            "directory, reading the GPU but for NVML": from_to("options read", "GPU read") - nvml,
            "mutex and decision": from_to("GPU read", "turn decided"),
            "claim, exec of the command": from_to("turn decided", "run"),
        }


def medians(machine, commands, rounds):
    """The median wall time of each in ms, and the highest peak memory in MiB."""
    words = []
    for _, command in commands.values():
        words += ["---", *command] if words else command
    results = {name: [] for name in commands}
    for which, *figures, wait_status in machine.launch("each", rounds, *words):
        name = list(commands)[which]
        results[name].append(figures)
        expected = commands[name][0]
        if os.waitstatus_to_exitcode(wait_status) != expected:
            raise Failed(f"{name}: wait status {wait_status}, exit status {expected} was expected")
    wall = {name: statistics.median(wall_ns for wall_ns, *_ in runs) / 1e6 for name, runs in results.items()}
    peak = {name: max(peak_kib for _, peak_kib, _ in runs) / 1024 for name, runs in results.items()}
    return wall, peak
