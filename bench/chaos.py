"""Many short jobs, a tenth of them killed: no GPU may ever have two, and nobody else may be lost."""

import heapq
import os
import random
import re
import signal
import time

from arena import PATIENCE_S, Failed
from table import Row, at_most

JOBS, QUICK_JOBS = 2000, 400
DEVICES = 4
IN_FLIGHT = 100  # as many as two cores can bear
KILLED_PART = 0.12  # some end before their kill comes; a tenth remains
TWO_DEVICES_PART = 0.1
JOB_MS = (1, 10)
START_UP_MS = 5
AFTERWARDS_S = 5


def measure(arena, options):
    jobs = options.of(JOBS, QUICK_JOBS)
    run = Run(arena.machine(devices=DEVICES), random.Random(options.seed))
    began = time.monotonic()
    run.drive(jobs)
    rate = jobs / (time.monotonic() - began)
    return [
        at_most("chaos: GPUs with two jobs", run.overlaps(), 0, ""),
        at_most("chaos: jobs lost that nobody killed", run.lost(), 0, ""),
        at_most("chaos: files left over after one more run", run.left_over(), 0, ""),
        Row("chaos: killed while starting or waiting", run.killed - run.killed_holding, ""),
        Row("chaos: killed while holding a GPU", run.killed_holding, ""),
        Row("chaos: rate", rate, "jobs/s"),
    ]


class Run:
    def __init__(self, machine, chance):
        self.machine = machine
        self.chance = chance
        self.locks = machine.folder / "devices"
        self.locks.mkdir()
        self.running = {}  # pid to (number, child)
        self.kills = []    # a heap of (when, number, child)
        self.ends = {}     # number to exit status
        self.stay_s = 0.3  # moving average of the time from a job's start to its end
        self.killed = 0
        self.killed_holding = 0
        self.log = []
        self.missing = []

    def drive(self, jobs):
        # A pending SIGCHLD cuts the sleep until the next kill short.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        try:
            last_end = time.monotonic()
            number = 0
            while number < jobs or self.running:
                if number < jobs and len(self.running) < IN_FLIGHT:
                    self.start(number)
                    number += 1
                self.kill_due()
                if self.reap():
                    last_end = time.monotonic()
                elif number == jobs or len(self.running) == IN_FLIGHT:
                    self.sleep()
                if time.monotonic() - last_end > PATIENCE_S:
                    raise Failed(f"{len(self.running)} jobs hang: {[n for n, _ in self.running.values()]}")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.account(jobs)

    def start(self, number):
        ms = self.chance.uniform(*JOB_MS)
        more = [self.locks]
        options = ["-n", 2] if self.chance.random() < TWO_DEVICES_PART else []
        kill_after_s = None
        if self.chance.random() < KILLED_PART:
            # While it starts; at any time; about when its turn comes; while it holds the GPU.
            match self.chance.randrange(4):
                case 0:
                    kill_after_s = self.chance.uniform(0, START_UP_MS / 1000)
                case 1:
                    kill_after_s = self.chance.uniform(0, self.stay_s)
                case 2:
                    kill_after_s = self.stay_s + self.chance.uniform(-0.02, 0.02)
                case 3:
                    more.append(self.chance.uniform(0, ms))
        child = self.machine.start(
            *self.machine.gate_run(*self.machine.job(number, ms, *more), options=options),
            stderr=self.machine.folder / "notices")
        self.running[child.pid] = number, child
        if kill_after_s is not None:
            heapq.heappush(self.kills, (child.started + max(kill_after_s, 0), number, child))

    def kill_due(self):
        while self.kills and self.kills[0][0] <= time.monotonic():
            heapq.heappop(self.kills)[2].kill()

    def reap(self):
        found = False
        while self.running:
            pid, wait_status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            found = True
            number, child = self.running.pop(pid)
            child.ended(wait_status)
            self.ends[number] = child.status
            self.stay_s += 0.05 * (time.monotonic() - child.started - self.stay_s)
        return found

    def sleep(self):
        next_kill_s = self.kills[0][0] - time.monotonic() if self.kills else 1
        signal.sigtimedwait({signal.SIGCHLD}, min(max(next_kill_s, 0), 1))

    def account(self, jobs):
        self.log = self.machine.log_lines()
        started = {int(number) for what, number, *_ in self.log if what == "start"}
        finished = {int(number) for what, number, *_ in self.log if what == "end"}
        killed = {number for number, status in self.ends.items() if status == -signal.SIGKILL}
        self.killed = len(killed)
        self.killed_holding = len(killed & started - finished)
        self.missing = [number for number in range(jobs) if number not in killed
                        and (self.ends.get(number) != 0 or number not in finished)]

    def overlaps(self):
        for line in self.log:
            if line[0] == "overlap":
                print("chaos: " + " ".join(line))
        return sum(line[0] == "overlap" for line in self.log)

    def lost(self):
        for number in self.missing:
            print(f"chaos: job {number} ended with {self.ends.get(number)}")
        return len(self.missing)

    def left_over(self):
        """One more run takes all the GPUs and clears away what is dead: only the files of its own claim stay."""
        notices = self.machine.folder / "notices.last"
        last = self.machine.gate_run("/bin/true", options=["-n", DEVICES, "--timeout", AFTERWARDS_S])
        if self.machine.start(*last, stderr=notices).wait() != 0:
            raise Failed("afterwards not all GPUs were free: " + notices.read_text())
        names = [path.name for folder in ("queue", "claims")
                 for path in (self.machine.lock_dir / folder).iterdir()]
        last_ticket = max(int(re.search(r"@(\d+)$", name)[1]) for name in names if "GPU-" in name)
        dead = [name for name in names
                if not name.endswith(f"@{last_ticket}") and name != f"{last_ticket}.json"]
        for name in dead[:20]:
            print(f"chaos: left over: {name}")
        return len(dead)
