"""How long users wait who come after one with many jobs, in the order of turns and by arrival."""

import statistics

from arena import Failed, wait_until
from table import Row, at_most

DEVICES = 8
JOB_MS, QUICK_JOB_MS = 1000, 500
FIRST_JOBS, SECOND_JOBS = 200, 20
THIRD_COUNT = 4  # GPUs of the third user's only job


def measure(arena, options):
    users = arena.other_users()
    job_ms = options.of(JOB_MS, QUICK_JOB_MS)
    theirs = Line(arena, users, job_ms, "order = arrival\n")
    ours = Line(arena, users, job_ms, "order = turns\n")
    name = f"fairness, jobs of {job_ms / 1000:g} s"
    second = f"{name}: wait of the second user's"
    return [
        Row(f"{second} first job", ours.second[0], "s", theirs.second[0]),
        Row(f"{second} {SECOND_JOBS} jobs, median", statistics.median(ours.second), "s",
            statistics.median(theirs.second)),
        Row(f"{second} last job", ours.second[-1], "s", theirs.second[-1]),
        at_most(f"{name}: wait of the third user's job for {THIRD_COUNT} GPUs", ours.third, 2 * job_ms / 1000, "s",
                theirs.third),
        Row(f"{name}: wait of the first user's last job", ours.first[-1], "s", theirs.first[-1]),
        Row(f"{name}: until all is done", ours.all_s, "s", theirs.all_s),
    ]


class Line:
    """Three users come one after the other; their waits in seconds, the shortest first."""

    def __init__(self, arena, users, job_ms, policy):
        self.machine = arena.machine(devices=DEVICES)
        self.notices = self.machine.folder / "notices"
        self.job_ms = job_ms
        self.jobs = {}  # number to child
        # Root makes the lock directory, which is what makes its policy count.
        if self.machine.start(*self.machine.gate_run("/bin/true")).wait() != 0:
            raise Failed("gpu-gate made no lock directory")
        (self.machine.lock_dir / "policy").write_text(policy)
        first = self.come(users[0], FIRST_JOBS)
        second = self.come(users[1], SECOND_JOBS)
        third = self.come(users[2], 1, "-n", THIRD_COUNT)
        for child in self.jobs.values():
            if child.wait() != 0:
                raise Failed(f"a job ended with {child.status}: {self.notices.read_text()[-1000:]}")
        starts = {int(number): int(ns) / 1e9 for what, number, ns in self.machine.log_lines() if what == "start"}
        ends = [int(ns) / 1e9 for what, _, ns in self.machine.log_lines() if what == "end"]
        self.first, self.second, [self.third] = (
            sorted(starts[number] - self.jobs[number].started for number in numbers)
            for numbers in (first, second, third))
        self.all_s = max(ends) - min(starts.values())

    def come(self, user, jobs, *options):
        """Puts jobs in line and returns their numbers once all of them stand there, or have started."""
        numbers = range(len(self.jobs), len(self.jobs) + jobs)
        for number in numbers:
            words = self.machine.gate_run(*self.machine.job(number, self.job_ms), options=options)
            self.jobs[number] = self.machine.start(*words, user=user, stderr=self.notices)
        wait_until(lambda: self.in_line() + self.started() >= len(self.jobs), f"user {user} is in line", pause_s=0.01)
        return numbers

    def in_line(self):
        return sum(place.suffix == ".json" for place in (self.machine.lock_dir / "queue").iterdir())

    def started(self):
        return sum(what == "start" for what, *_ in self.machine.log_lines())
