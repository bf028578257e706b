"""Jobs of different sizes on a few GPUs: beside each other, with --share, and with a GPU for each."""

import os
import pathlib
import random
import sys

from arena import Failed
from table import Row, at_least_times, at_most

JOBS, QUICK_JOBS = 100, 30
GPUS = 4
MEMORY_MIB, RESERVED_MIB = 46068, 600
USABLE_MIB = MEMORY_MIB - RESERVED_MIB
JOB_MIB = 2048, 20480
JOB_S = 0.25, 0.75
JOB = pathlib.Path(__file__).with_name("packing_job.py")


def measure(arena, options):
    chance = random.Random(options.seed)
    jobs = [(chance.randint(*JOB_MIB), chance.uniform(*JOB_S)) for _ in range(options.of(JOBS, QUICK_JOBS))]
    alone = Run(arena, jobs, lambda mib: ["--min-free-mb", mib])
    shared = Run(arena, jobs, lambda mib: ["--share", mib])
    name = f"packing, {len(jobs)} on {GPUS} GPUs"
    return [
        at_least_times(f"{name} (a GPU for each)", shared.rate, alone.rate, 2, "jobs/h"),
        at_most("packing: most that was promised of a GPU", shared.most_mib, USABLE_MIB, "MiB", alone.most_mib),
        Row("packing: promised while a job waited, of all", shared.part * 100, "%", alone.part * 100),
    ]


class Run:
    """All the jobs, which stand in line in this order before the first one starts."""

    def __init__(self, arena, jobs, options):
        self.machine = arena.machine(devices=0, lines=GPUS * [f"gpu memory={MEMORY_MIB} reserved={RESERVED_MIB}"])
        self.ledger = self.machine.folder / "ledger"
        blocker = self.machine.blocker(lambda *words: self.machine.gate_run(*words, options=["-n", GPUS]))
        line = [self.come(number, mib, seconds, options(mib)) for number, (mib, seconds) in enumerate(jobs)]
        os.close(blocker)
        for number, child in enumerate(line):
            if child.wait() != 0:
                notices = (self.machine.folder / f"notices.{number}").read_text()
                raise Failed(f"job {number} of {jobs[number][0]} MiB ended with {child.status}: {notices}")
        self.machine.arena.end_children()
        self.account(len(jobs))

    def come(self, number, mib, seconds, options):
        # A share's memory gpu-sim-job knows from $GPU_GATE_SHARE_MB. It becomes the job and keeps the memory taken.
        memory = [] if "--share" in options else ["--memory", mib]
        job = [sys.executable, "-I", "-S", JOB, self.ledger, USABLE_MIB, mib, seconds]
        return self.machine.start_in_line(self.machine.arena.sim_job, "--quiet", *memory, "--", *job, number=number,
                                          options=options)

    def account(self, jobs):
        """The jobs' ledger, from the end of what held all GPUs until the last job ends, or starts."""
        [released_ns] = [int(ns) for what, _, ns in self.machine.log_lines() if what == "end"]
        lines = [line.split() for line in self.ledger.read_text().splitlines()]
        if len(lines) != 2 * jobs:
            raise Failed(f"{jobs} jobs left {len(lines)} lines in their ledger")
        promised = {}  # GPU to MiB
        self.most_mib = mib_ns = waiting_mib_ns = 0
        before_ns = waited_ns = released_ns
        for gpu, mib, ns in lines:
            mib_ns += sum(promised.values()) * (int(ns) - before_ns)
            before_ns = int(ns)
            promised[gpu] = promised.get(gpu, 0) + int(mib)
            self.most_mib = max(self.most_mib, promised[gpu])
            if int(mib) > 0:
                waited_ns, waiting_mib_ns = before_ns, mib_ns
        self.rate = jobs / (before_ns - released_ns) * 3600e9
        self.part = waiting_mib_ns / (waited_ns - released_ns) / (GPUS * USABLE_MIB)
