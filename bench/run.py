#!/usr/bin/python3
"""Measures gpu-gate on simulated machines and prints one table; see bench/README.md."""

import argparse
import json
import os
import pathlib
import platform
import random
import signal
import sys
import tempfile

import arena
import chaos
import fairness
import handoff
import on_slurm
import outsider
import packing
import start
import table
import throughput
import waiting
import watching

BENCHMARKS = {
    "start": start,
    "handoff": handoff,
    "throughput": throughput,
    "waiting": waiting,
    "watching": watching,
    "outsider": outsider,
    "fairness": fairness,
    "packing": packing,
    "slurm": on_slurm,
    "chaos": chaos,
}


def usual_folder():
    """In memory, as /run/lock is wherever systemd runs; else wherever temporary files go."""
    for folder in ("/run/lock", "/dev/shm"):
        if os.access(folder, os.W_OK) and arena.file_system(folder) == "tmpfs":
            return folder
    return tempfile.gettempdir()


class Options(argparse.Namespace):
    def of(self, full, quick):
        return quick if self.quick else full


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", default=pathlib.Path(__file__).parents[1] / "build",
                        help="where gpu-gate and sim/ were built")
    parser.add_argument("--programs", help="where bench-launch and bench-job are (BUILD/bench)")
    parser.add_argument("--against", metavar="BUILD",
                        help="another build of gpu-gate, measured in turn with this one: start, handoff, throughput")
    parser.add_argument("--folder", default=usual_folder(),
                        help="where the lock directory and all else is made (%(default)s)")
    parser.add_argument("--only", action="append", choices=BENCHMARKS, metavar="NAME",
                        help="only this one, may be repeated: " + ", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="fewer and smaller runs")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of what is random")
    parser.add_argument("--json", metavar="FILE", help="write the figures there as well")
    return parser.parse_args(namespace=Options())


def stop(*_):
    sys.exit(128 + signal.SIGTERM)


def write_json(path, options, rows):
    figures = {
        "seed": options.seed,
        "quick": options.quick,
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "file_system": arena.file_system(options.folder),
        "rows": table.as_json(rows),
    }
    pathlib.Path(path).write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, stop)
    print(f"{os.cpu_count()} cores, Linux {platform.release()}, files on "
          f"{arena.file_system(options.folder)}, seed {options.seed}", flush=True)
    rows = []
    failed = False
    try:
        with arena.Arena(options.build, options.programs, options.folder, options.against) as place:
            for name in options.only or BENCHMARKS:
                print(f"{name} ...", file=sys.stderr, flush=True)
                try:
                    rows += BENCHMARKS[name].measure(place, options)
                except arena.Skipped as reason:
                    print(f"{name}: skipped: {reason}", file=sys.stderr)
                except arena.Failed as problem:
                    print(f"{name}: {problem}", file=sys.stderr)
                    failed = True
                place.end_children()
    except arena.Failed as problem:
        sys.exit(f"bench: {problem}")
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    table.print_table(rows)
    if options.json:
        write_json(options.json, options, rows)
    return 1 if failed or any(row.met is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
