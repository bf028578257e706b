#!/usr/bin/python3
"""Everything at once, for as long as you like: the gate must not break.

Jobs of three users come in bursts to a few cards, from one more than from another; a tenth of them ask with
--nice, and a tenth close all descriptors at their start. Waiters and holders are killed, stopped and sent on;
others use cards without asking; cards get lost and return; memory drains slowly; the disk of the lock
directory is full for moments; the administrator's policy comes, changes and goes. Each job is its own judge:
it takes a lock of its own on every card that it was given. What the jobs wrote down is checked at the end:

  - no card ever had two jobs, and each job had as many cards as it asked for;
  - nobody was overtaken, and nobody got more than one user may hold, where that can be told (see Order);
  - every job that nobody killed ran and ended with its own status, or timed out, or was told that the
    disk is full while it was, or that it asks for more than one user may hold while it did;
  - nothing is left over.

Needs root, since it becomes other users. Prints its seed and its figures; the exit status is 0 or 1.
"""

import argparse
import collections
import contextlib
import ctypes
import dataclasses
import heapq
import itertools
import json
import os
import pathlib
import random
import signal
import stat
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent / "e2e"))
import harness
from harness import ALICE, BOB, ROOT, User

CARDS = 4
MEMORY_MIB = 46068
LINGER_MS = 120
HANG_S = 45        # nobody has ended for so long: something hangs
QUIET = 0.03       # how often the house empties before more come: then no later event mends a lost wake-up
LONG_STOP_S = 4    # a waiter that is stopped for longer may be passed over, and others with it (see Order)
USERS = (ALICE, BOB, User("www-data"))
WEIGHTS = (5, 3, 2)  # so many of the jobs are theirs: they hold different numbers of cards
LOOK_S = 2         # the policy that a claim is made by was read no longer ago
LONG_LOOK_S = 12   # the same while anybody is stopped for long
LEFTOVER_S = 0.5   # what a job that was killed before it ran has left running has ended by then

# The lock has a higher number than the claim's descriptors, since a process that dies lets go of its
# files from the last to the first (task_work_run() in the kernel). That is no promise, so a lock that is
# taken is judged later: did its holder's end come first?
JUDGE = r"""
kind=$1 number=$2 count=$3 length=$4 fate=$5 status=$6
say() { local IFS=' '; echo "$* $EPOCHREALTIME" >>"$JUDGE/log"; }
if [ -n "$CLOSES" ]; then
    [ -e "$GPU_GATE_LOCK_DIR/claims/$GPU_GATE_CLAIM.json" ] || say unrecorded $number
    for fd in /proc/$$/fd/*; do
        fd=${fd##*/}
        [ $fd -le 2 ] || eval "exec $fd>&-"
    done
fi
cards=$GPU_GATE_INDICES
IFS=,
set -- $cards
case $CUDA_VISIBLE_DEVICES in
"$GPU_GATE_INDICES" | "$GPU_GATE_UUIDS") ;;  # by UUID while a card is lost
*) say wrong $number "$CUDA_VISIBLE_DEVICES" "$cards" ;;
esac
[ $# -eq "$count" ] || say wrong $number "$CUDA_VISIBLE_DEVICES" "$cards"
fd=800
[ $kind = job ] || fd=900
for card in "$@"; do
    eval "exec $fd>>$JUDGE/$kind/$card"
    if ! flock -n $fd; then
        read -r holder <"$JUDGE/$kind/$card.holder"
        say busy $number $card ${holder:-?}
        flock -w 0.2 $fd || say overlap $number $card ${holder:-?}
    fi
    echo $number >"$JUDGE/$kind/$card.holder"
    [ -z "$CLOSES" ] || alone="$alone $fd>&-"  # what outlives such a job has no claim, and no lock
    fd=$((fd + 1))
done
unset IFS
[ $kind = job ] && say start $number $GPU_GATE_CLAIM $cards
case $fate in
sleep) eval "sleep $length $alone" ;;
memory) eval '"$SIM_JOB" --quiet --memory 3000 --for ${length#0.} 2>/dev/null' "$alone" ;;
die) sleep $length; say end $number; kill -KILL $$ ;;
parts)
    part=0
    while [ $part -le $count ]; do
        { "$GATE" run -q --poll 1 -- bash -c "$SCRIPT" judge part $number 1 $length sleep 0
          say part $number $? $cards; } &
        part=$((part + 1))
    done
    wait ;;
esac
[ $kind = job ] && say end $number
exit $status
"""


# --- the machine --------------------------------------------------------------------------------


class Disk:
    """A small file system for the lock directory, which can be full."""

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.full_times = []  # (from, until)
        self.missing = None   # why there is none
        # In a mount namespace of our own, so that it goes with us. 600 inodes and 2 MiB: more than the line
        # ever needs, and filled in some milliseconds.
        self._libc = ctypes.CDLL(None, use_errno=True)
        clone_newns, private, recursive = 0x20000, 1 << 18, 1 << 14  # linux/sched.h, linux/mount.h
        if (self._libc.unshare(clone_newns) != 0
                or self._libc.mount(b"none", b"/", None, private | recursive, None) != 0
                or self._libc.mount(b"tmpfs", bytes(self.folder), b"tmpfs", 0, b"size=2m,nr_inodes=600,mode=1777") != 0):
            self.missing = os.strerror(ctypes.get_errno())
            self.folder.chmod(0o1777)

    def fill(self, chance):
        self.full_times.append([time.time(), float("inf")])
        try:
            if chance.random() < 0.5:
                with open(self.folder / "ballast", "wb", buffering=0) as file:
                    while True:
                        file.write(bytes(4096))
            for number in itertools.count():
                (self.folder / f"ballast.{number}").touch()
        except OSError:
            pass

    def free(self):
        for path in self.folder.glob("ballast*"):
            path.unlink()
        if self.full_times:
            self.full_times[-1][1] = time.time()

    def was_full(self, begin, end):
        return any(begin <= until and since <= end for since, until in self.full_times)

    def close(self):
        if not self.missing:
            self._libc.umount2(bytes(self.folder), 2)  # MNT_DETACH


@dataclasses.dataclass(frozen=True)
class Policy:
    """What the administrator's file says."""

    order: str = "turns"
    most: float = float("inf")  # cards that one user may hold


class Administrator:
    """Writes the policy of the machine, and remembers when which was in force."""

    def __init__(self, lock):
        self.file = lock / "policy"
        self.periods = [[0.0, float("inf"), Policy()]]  # (from, until, policy): for a moment both may be in force

    def change(self, chance):
        """Another policy, or none; returns what was done. Nothing is done where the disk is full."""
        policy, lines = Policy(), [chance.choice(["", "# as agreed", " \t", "\0\xff\x1b[2J"])]
        if chance.random() < 0.9:
            policy = Policy(chance.choice(["turns", "arrival"]), chance.choice([2, 3, float("inf"), float("inf")]))
            lines += [f"order = {policy.order}"] * (policy.order != "turns" or chance.random() < 0.5)
            lines += [f"max-per-user={policy.most}  # cards"] * (policy.most <= CARDS)
        lines += chance.sample(["order = fair", "max-per-user = 0", "max-per-user = 1 2", "max-per-user", "=", "nice = 1",
                                "max-per-user = 99999999999999999999", "order = ARRIVAL"], chance.randint(0, 3))
        chance.shuffle(lines)
        text = "\n".join(lines) + chance.choice(["", "\n"])
        if policy == Policy() and chance.random() < 0.5:
            text = None
        return self.write(policy, text)

    def write(self, policy, text):
        began = time.time()
        try:
            if text is None:
                self.file.unlink(missing_ok=True)
            else:
                new = self.file.with_name("policy.new")
                new.write_text(text, encoding="latin-1")
                new.rename(self.file)
        except OSError:
            return None
        self.periods[-1][1] = time.time()
        self.periods.append([began, float("inf"), policy])
        return "the policy went" if text is None else f"the policy became {policy}: {text!r}"

    def in_force(self, since, until):
        """All that may have been in force at any moment of that."""
        return {policy for begin, end, policy in self.periods if begin <= until and since <= end}


@dataclasses.dataclass(eq=False)
class Job:
    number: int
    user: User
    count: int
    only: frozenset
    min_free: int | None
    timeout: float | None
    kind: str     # run or wait
    fate: str     # what the judge does
    code: int     # its exit status
    shot: float | None  # how long after its start as a holder it is killed
    nice: bool = False
    closes: bool = False  # all its descriptors, at its start
    unrecorded: bool = False  # and its claim has no record, which would keep its cards then
    spawned: float = 0
    popen: subprocess.Popen = None
    ended: float = 0
    status: int = None
    killed: float = 0       # when a signal was sent to end it
    stopped: bool = False   # at any time
    ticket: int = None      # of its place in line, if it was seen there
    seen: float = 0         # when it was, for the first time
    stood: float = 0        # and for the last time
    claim: int = None       # what the judge wrote down
    cards: frozenset = frozenset()
    started: float = 0
    finished: float = 0
    errors: str = ""

    def could_use_all_that(self, other):
        """Is every card that is eligible for `other` eligible for this too, at any moment?"""
        if not self.only >= other.only:
            return False
        if self.min_free is None:
            return other.min_free is None
        # A card that nobody is on has at least 40000 MiB free.
        return (40000 if other.min_free is None else other.min_free) >= self.min_free

    def held_until(self):
        """When it certainly still held its cards. (Without a record they are let go when it closes its descriptors.)"""
        return self.started if self.unrecorded else self.finished or self.killed or self.started

    def __str__(self):
        return (f"job {self.number} of {self.user.name} ({self.kind}{' --nice' * self.nice} -n {self.count} "
                f"only {sorted(self.only)} min-free {self.min_free} timeout {self.timeout} {self.fate}): ticket {self.ticket}, "
                f"claim {self.claim} on {sorted(self.cards)}, status {self.status}, "
                f"lived {self.spawned:.3f}-{self.ended:.3f}, ran {self.started:.6f}-{self.finished:.6f}, "
                f"killed {self.killed:.6f}, {'stopped once' if self.stopped else 'never stopped'}"
                + ", closed all descriptors" * self.closes + ", without a record" * self.unrecorded)


# --- the run ------------------------------------------------------------------------------------


class Run:
    def __init__(self, options, chance):
        self.options = options
        self.chance = chance
        self.box = harness.Box(cards=CARDS, memory=MEMORY_MIB)
        self.box.extra = [f"linger_ms {LINGER_MS}"]
        self.box.write()
        self.disk = Disk(self.box.folder / "disk")
        self.box.lock = self.disk.folder / "lock"
        self.queue = self.box.lock / "queue"
        self.administrator = Administrator(self.box.lock)
        self.judge = self.box.folder / "judge"
        for name in ("job", "part"):
            (self.judge / name).mkdir(parents=True)
            for card in range(CARDS):
                for path in (self.judge / name / str(card), self.judge / name / f"{card}.holder"):
                    path.touch()
                    path.chmod(0o666)
        self.log = self.judge / "log"
        self.log.touch()
        self.log.chmod(0o666)
        self.log_file = open(self.log, "rb", buffering=0)
        self.jobs = []
        self.running = {}       # pid to Job
        self.others = {}        # pid to (what, Popen): outsiders, status
        self.events = []        # a heap of (when, order, action)
        self.order = itertools.count()
        self.known = {}         # name of a record in line that was read to its Job, if that runs
        self.stopped_now = set()
        self.long_stops = []    # (from, until)
        self.stay = 0.5         # how long a job is in the house, on a moving average
        self.figures = collections.Counter()
        self.failures = []
        self.happenings = []    # (when, what), to explain failures by
        self.last_progress = time.monotonic()
        self.starting = True

    # Events.

    def at(self, seconds, action):
        heapq.heappush(self.events, (time.monotonic() + seconds, next(self.order), action))

    def drive(self):
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        began = time.monotonic()
        for action in (self.outsider_comes, self.card_gets_lost, self.disk_gets_full, self.policy_changes,
                       self.ask_for_status):
            self.at(self.chance.uniform(0.2, 1), action)
        self.at(0, self.next_burst)
        try:
            while self.starting or self.running or self.others:
                if self.starting and time.monotonic() - began > self.options.seconds:
                    self.starting = False
                self.happen()
                self.read_tickets()
                self.shoot_holders()
                self.reap()
                if time.monotonic() - self.last_progress > HANG_S:
                    self.explain_the_hang()
                    break
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.took = time.monotonic() - began

    def happen(self):
        while self.events and self.events[0][0] <= time.monotonic():
            heapq.heappop(self.events)[2]()
        pause = self.events[0][0] - time.monotonic() if self.events else 0.01
        signal.sigtimedwait({signal.SIGCHLD}, min(max(pause, 0), 0.01))

    # Jobs.

    def next_burst(self):
        for _ in range(self.chance.choice([1, 1, 2, 3, 8, 24])):
            if len(self.jobs) >= self.options.jobs:
                self.starting = False
            if not self.starting or len(self.running) >= self.options.in_flight:
                break
            self.start_job()
        if self.starting and self.chance.random() < QUIET:
            self.figures["times it emptied"] += 1
            self.at(0, self.burst_when_empty)
        elif self.starting:
            self.at(self.chance.choice([0, 0.005, self.chance.uniform(0, 0.1)]), self.next_burst)

    def burst_when_empty(self):
        self.at(0.02, self.burst_when_empty) if self.running else self.next_burst()

    def start_job(self):
        chance = self.chance
        everything = frozenset(range(CARDS))
        count = chance.choices([1, 2, 3], [70, 20, 10])[0]
        only = everything
        if chance.random() < 0.15:
            only = frozenset(chance.sample(range(CARDS), chance.randint(count, CARDS)))
        job = Job(
            number=len(self.jobs), user=chance.choices(USERS, WEIGHTS)[0], count=count, only=only,
            min_free=chance.choice([0, 1000, 40000]) if chance.random() < 0.2 else None,
            timeout=chance.choice([0, chance.uniform(0, 2 * self.stay)]) if chance.random() < 0.08 else None,
            kind="wait" if chance.random() < 0.03 else "run",
            fate=chance.choices(["sleep", "memory", "die", "parts"], [80, 10, 5, 5])[0],
            code=chance.choice([0, 0, 0, 7, 124, 255]),
            shot=chance.uniform(0, 0.05) if chance.random() < 0.06 else None)
        job.nice = chance.random() < 0.1
        job.closes = job.kind == "run" and job.fate != "parts" and chance.random() < 0.1
        words = [job.kind, "--poll", "1000", "-n", count]
        if only != everything:
            words += ["--only", ",".join(map(str, sorted(only)))]
        if job.min_free is not None:
            words += ["--min-free-mb", job.min_free]
        if job.timeout is not None:
            words += ["--timeout", f"{job.timeout:.3f}"]
        if job.nice:
            words.append("--nice")
        if chance.random() < 0.3:
            words.append("-q")
        if job.kind == "run":
            length = chance.uniform(0.2, 0.6) if chance.random() < 0.03 else chance.uniform(0, 0.05)
            words += ["--", "bash", "-c", JUDGE, "judge", "job", job.number, count, f"{length:.3f}", job.fate, job.code]
        env = self.box.env(JUDGE=self.judge, SIM_JOB=self.box.sim_job, GATE=self.box.gate, SCRIPT=JUDGE, CLOSES="yes" if job.closes else None)
        job.spawned = time.time()
        with open(self.judge / f"{job.number}.err", "wb") as errors, open(self.judge / f"{job.number}.out", "wb") as out:
            job.popen = subprocess.Popen([self.box.gate, *map(str, words)], env=env, stdin=subprocess.DEVNULL,
                                         stdout=out, stderr=errors, start_new_session=True, **job.user.options())
        self.jobs.append(job)
        self.running[job.popen.pid] = job
        if chance.random() < 0.12:
            # While it starts; at any time; about when its turn comes.
            when = chance.choice([chance.uniform(0, 0.01), chance.uniform(0, self.stay),
                                  max(0, self.stay + chance.uniform(-0.05, 0.05))])
            number = chance.choices([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP], [80, 10, 10])[0]
            whole = chance.random() < 0.2
            self.at(when, lambda: self.kill(job, number, whole))
        if chance.random() < 0.06:
            self.at(chance.uniform(0, self.stay), lambda: self.stop(job))

    def shoot_holders(self):
        for line in self.log_file.read().splitlines():
            what, number, *_ = line.split()
            job = self.jobs[int(number)]
            if what == b"start" and job.shot is not None:
                whole = self.chance.random() < 0.5
                self.at(job.shot, lambda job=job, whole=whole: self.kill(job, signal.SIGKILL, whole))

    def kill(self, job, number, whole):
        if job.popen.pid not in self.running:
            return
        job.killed = time.time()
        (os.killpg if whole else os.kill)(job.popen.pid, number)
        if number != signal.SIGKILL and job in self.stopped_now:
            self.send_on(job)  # else it would never learn of it

    def stop(self, job):
        if job.popen.pid not in self.running:
            return
        long = self.chance.random() < 0.04
        seconds = self.chance.uniform(5.5, 7) if long else self.chance.uniform(0.01, 0.3)
        if long:
            self.long_stops.append((time.time(), time.time() + seconds + 1))
        job.stopped = True
        self.stopped_now.add(job)
        self.note("stopped", f"job {job.number} was stopped for {seconds:.3f} s")
        self.figures["stopped for 5 s and more"] += long
        os.kill(job.popen.pid, signal.SIGSTOP)
        self.at(seconds, lambda: self.send_on(job))

    def send_on(self, job):
        self.stopped_now.discard(job)
        if job.popen.pid in self.running:
            os.kill(job.popen.pid, signal.SIGCONT)

    def read_tickets(self):
        """The process at each place: its record names it."""
        now = time.time()
        try:
            records = {name for name in os.listdir(self.queue) if name.endswith(".json") and "@" not in name}
        except FileNotFoundError:
            return
        for name in self.known.keys() - records:
            del self.known[name]
        for name in records - self.known.keys():
            try:
                record = json.loads((self.queue / name).read_text())
            except (OSError, ValueError):
                continue  # gone, or only half there
            self.known[name] = job = self.running.get(record["pid"])
            if job and job.ticket is None:
                job.ticket, job.seen = int(name.removesuffix(".json")), time.time()
        for job in self.known.values():
            # A process that is killed leaves its record behind.
            if job and not job.killed and job.popen.pid in self.running:
                job.stood = now

    def reap(self):
        while self.running or self.others:
            try:
                pid, wait_status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            status = os.waitstatus_to_exitcode(wait_status)
            if pid in self.others:
                what, popen = self.others.pop(pid)
                popen.returncode = status
                if what == "status" and status != 0:
                    self.failures.append(f"gpu-gate status ended with {status}")
                continue
            job = self.running.pop(pid)
            job.popen.returncode = job.status = status
            job.ended = time.time()
            self.stopped_now.discard(job)
            self.stay += 0.05 * (job.ended - job.spawned - self.stay)
            self.last_progress = time.monotonic()
            for ending in ("err", "out"):
                path = self.judge / f"{job.number}.{ending}"
                job.errors += path.read_text(errors="replace")
                path.unlink()

    # What else happens.

    def note(self, figure, what):
        self.figures[figure] += 1
        self.happenings.append((time.time(), what))

    def around(self, *jobs):
        """What happened while these lived."""
        begin, end = min(job.spawned for job in jobs) - 1, max(job.ended for job in jobs)
        return "".join(f"\n    {when:.3f} {what}" for when, what in self.happenings if begin <= when <= end)

    def start_other(self, what, *words, user=ROOT, env=None):
        popen = subprocess.Popen([str(word) for word in words], env=self.box.env(**(env or {})), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user.options())
        self.others[popen.pid] = what, popen
        return popen

    def outsider_comes(self):
        """A job that does not ask; also where another is running."""
        if not self.starting:
            return
        seconds = self.chance.uniform(0.05, 0.5)
        outsider = self.start_other("outsider", self.box.sim_job, "--memory", self.chance.choice([400, 3000, 20000]),
                                    "--for", int(seconds * 1000), user=self.chance.choice(USERS),
                                    env={"CUDA_VISIBLE_DEVICES": self.chance.randrange(CARDS)})
        self.note("outsiders", f"an outsider came, pid {outsider.pid}")
        if self.chance.random() < 0.3:
            self.at(seconds / 2, lambda: outsider.pid in self.others and os.kill(outsider.pid, signal.SIGKILL))
        self.at(self.chance.uniform(0.3, 2), self.outsider_comes)

    def card_gets_lost(self):
        if not self.starting:
            return
        card = self.chance.randrange(CARDS)
        self.box.set(card, lost=1)
        self.note("cards lost", f"card {card} got lost")
        self.at(self.chance.uniform(0.05, 0.8), lambda: self.card_returns(card))

    def card_returns(self, card):
        self.box.set(card, lost=None)
        self.happenings.append((time.time(), f"card {card} returned"))
        self.ring_the_first()
        self.at(self.chance.uniform(0.5, 4), self.card_gets_lost)

    def ring_the_first(self):
        """A card that returns wakes nobody, nor does another policy, and here nobody polls: so this rings then. All
        other wake-ups are gpu-gate's own."""
        try:
            tickets = sorted(int(name) for name in os.listdir(self.queue) if name.isdigit())
        except FileNotFoundError:
            return
        asleep = {job.ticket for job in self.stopped_now}
        for ticket in tickets:
            if ticket in asleep:
                continue
            try:
                bell = os.open(self.queue / f"{ticket}.bell", os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue
            with contextlib.suppress(BrokenPipeError):  # it may just have left
                os.write(bell, b"l")
            os.close(bell)
            return

    def disk_gets_full(self):
        if not self.starting or self.disk.missing:
            return
        self.disk.fill(self.chance)
        self.note("disk full", "the disk got full")
        self.at(self.chance.uniform(0.01, 0.1), self.disk.free)
        self.at(self.chance.uniform(1, 5), self.disk_gets_full)

    def policy_changes(self):
        if not self.starting:
            if self.administrator.write(Policy(), None):
                self.ring_the_first()
            return
        done = self.box.lock.exists() and self.administrator.change(self.chance)
        if done:
            self.note("policies", done)
            self.ring_the_first()
        self.at(self.chance.uniform(0.5, 8), self.policy_changes)

    def ask_for_status(self):
        if not self.starting:
            return
        self.start_other("status", self.box.gate, "status", user=self.chance.choice(USERS))
        self.figures["status"] += 1
        self.at(self.chance.uniform(0.1, 1), self.ask_for_status)

    def mend(self):
        self.disk.free()
        self.administrator.write(Policy(), None)
        for card in range(CARDS):
            self.box.set(card, lost=None)

    def explain_the_hang(self):
        self.failures.append(f"nothing has ended for {HANG_S} s")
        for pid, job in sorted(self.running.items()):
            self.failures.append(f"hangs: pid {pid} {job}")
        self.failures += [f"hangs: pid {pid}, {what}" for pid, (what, _) in self.others.items()]
        for path in sorted(self.box.lock.glob("*/*")):
            self.failures.append(f"there: {path.parent.name}/{path.name}")

    def close(self):
        self.box.close()
        self.disk.close()
        self.box.close()  # the folder, now that nothing is mounted in it


# --- the verdict --------------------------------------------------------------------------------


class Order:
    """Was anybody overtaken, and did anybody get more than one user may hold?

    Places and claims are numbered by one counter, under the mutex in which all is decided. So what stood in line
    and what was claimed at the decision for a claim, B's, is told by numbers: a place with a lower one whose
    waiter has a later claim, or was seen there after B had begun to run, was there (`stood_at`); and since a
    card has one claim at a time, it belonged to the last one before B's, or to nobody. No clock is asked but
    for what has ended: before a job that has a lower number was started, so before B's decision (`not_before`).

    A waiter A that stood in line then was ahead of B if
      - both are of one user and ask alike (with --nice or without), and A came first;
      - only B asks with --nice;
      - both ask alike, and the policy was `order = arrival`, and A came first;
      - both ask alike, the order was `turns`, and what A's user held, with the requests ahead of A, was less than
        what B's user held, with those ahead of B. Of A's user all is counted that may have been so (`at_most`),
        of B's user only what certainly was (`at_least`). Who had their turn last is not asked: where users hold
        equally many, nothing is judged.
    Where the policy may have been another one in B's last look, nothing is judged that hangs on it.

    If A was ahead and could use all that B could, it was overtaken unless there were cards left for it at that
    moment: then both had their turn, and which of the two woke first is no matter. A card was certainly not
    left if somebody with an earlier claim still held it when B began to run.

    Who may have had to wait for jobs of their own user (max-per-user) kept nothing from others, and was not
    overtaken. A job that was stopped may be overtaken. So may others while it is stopped for so long that those
    that wait for it do not hear their bell in time."""

    RULES = ("within one user", "--nice", "arrival", "turns")

    def __init__(self, run):
        self.run = run
        self.figures = collections.Counter({f"{rule}: {what}": 0 for rule in self.RULES
                                            for what in ("in order", "side by side")})
        self.figures["within the limit"] = 0
        self.failures = []
        self.last = {}  # card to the last job that claimed it so far
        holders = sorted((job for job in run.jobs if job.claim), key=lambda job: job.claim)
        coming = iter(run.jobs)
        following = next(coming, None)
        numbered = sorted((min(filter(None, (job.ticket, job.claim))), job.spawned) for job in run.jobs
                          if job.ticket or job.claim)
        numbers = iter(numbered)
        number = next(numbers, None)
        self.not_before = 0.0
        self.around = []  # all jobs that may have waited or held something at the decision
        latest = list(itertools.accumulate((job.started for job in holders), max))
        for place, claimer in enumerate(holders):
            while number and number[0] <= claimer.claim:
                self.not_before = max(self.not_before, number[1])
                number = next(numbers, None)
            while following and following.spawned <= latest[place]:
                self.around.append(following)
                following = next(coming, None)
            self.around = [job for job in self.around
                           if job.ended + LEFTOVER_S >= self.not_before or job in self.last.values()]
            self.judge(claimer, holders[max(0, place - 200):place])
            for card in claimer.cards:
                self.last[card] = claimer

    def judge(self, claimer, before):
        policies = self.policies_of(claimer)
        self.check_limit(claimer, policies)
        taken = {card for holder in before if holder.held_until() > claimer.started for card in holder.cards}
        for waiter in self.around:
            if waiter is claimer or not self.stood_at(waiter, claimer):
                continue
            rule = self.why_ahead(waiter, claimer, claimer, policies)
            if (rule and self.counts(waiter) and waiter.could_use_all_that(claimer)
                    and not self.waits_for_own(waiter, claimer, policies)):
                if len(waiter.only - taken - claimer.cards) >= waiter.count:
                    self.figures[f"{rule}: side by side"] += 1
                else:
                    self.failures.append(f"overtaken ({rule}, {self.numbers(waiter, claimer)}):\n    {waiter}\n"
                                         f"    by {claimer}{self.run.around(waiter, claimer)}")
            elif claimer.could_use_all_that(waiter):
                rule = self.why_ahead(claimer, waiter, claimer, policies)
                if rule:
                    self.figures[f"{rule}: in order"] += 1

    def numbers(self, waiter, claimer):
        """What their users held, with the requests ahead."""
        return (f"{waiter.user.name} {self.at_least(waiter, claimer)} to {self.at_most(waiter, claimer)}, "
                f"{claimer.user.name} {self.at_least(claimer, claimer)} to {self.at_most(claimer, claimer)}")

    def counts(self, waiter):
        return not waiter.stopped and not self.stopped_for_long(waiter.spawned, waiter.ended)

    def stopped_for_long(self, begin, end):
        return any(since <= end and begin <= until for since, until in self.run.long_stops)

    def policies_of(self, claimer):
        """All that may have been in force when it read the policy, which it decided by."""
        since = self.not_before - LOOK_S
        if claimer.stopped or self.stopped_for_long(self.not_before - LONG_LOOK_S, claimer.started):
            since = self.not_before - LONG_LOOK_S
        return self.run.administrator.in_force(since, claimer.started)

    @staticmethod
    def stood_at(waiter, claimer):
        """Did it certainly stand in line when that claim was made?"""
        if not waiter.ticket or waiter.ticket > claimer.claim:
            return False
        return waiter.claim > claimer.claim if waiter.claim else waiter.stood > claimer.started

    @staticmethod
    def came_first(one, other):
        """Has it certainly the lower place, of two who stand in line or come just then?"""
        if not one.ticket:
            return False
        return one.ticket < other.ticket if other.ticket else other.spawned > one.seen

    def why_ahead(self, one, other, claimer, policies):
        """The rule by which the one was certainly ahead of the other when that claim was made."""
        if one.nice != other.nice:
            return None if one.nice else "--nice"
        if one.user == other.user:
            return "within one user" if self.came_first(one, other) else None
        orders = {policy.order for policy in policies}
        if orders == {"arrival"}:
            return "arrival" if self.came_first(one, other) else None
        if orders == {"turns"} and self.at_most(one, claimer) < self.at_least(other, claimer):
            return "turns"
        return None

    def at_least(self, job, claimer):
        """What its user certainly held then, with the requests that were certainly ahead of it."""
        amount = self.certainly_held(job.user, claimer)
        for other in self.around:
            if other.user != job.user or other in (job, claimer) or not self.stood_at(other, claimer):
                continue
            if job.nice > other.nice or job.nice == other.nice and self.came_first(other, job):
                amount += other.count
        return amount

    def certainly_held(self, user, claimer):
        return sum(len(job.cards) for job in self.around
                   if job.user == user and job.claim and job.claim < claimer.claim and job.held_until() > claimer.started)

    def at_most(self, job, claimer):
        """What its user may have held then, with the requests that may have been ahead of it."""
        amount = sum(holder.user == job.user and (bool(holder.killed) or holder.ended >= self.not_before)
                     for card, holder in self.last.items() if card not in claimer.cards)
        for other in self.around:
            if other.user != job.user or other in (job, claimer) or other.spawned > claimer.started:
                continue
            if other.claim and other.claim < claimer.claim:
                continue
            # One that was killed may have claimed before it could say so; all others may at most have waited.
            if not other.killed or other.claim or self.stood_at(other, claimer):
                if other.ended < self.not_before or other.ticket and other.ticket > claimer.claim:
                    continue
                if other.nice > job.nice or other.nice == job.nice and self.came_first(job, other):
                    continue
            amount += other.count
        return amount

    def waits_for_own(self, waiter, claimer, policies):
        """May it have had to wait for jobs of its own user?"""
        most = min(policy.most for policy in policies)
        return most <= CARDS and self.at_most(waiter, claimer) + waiter.count > most

    def check_limit(self, claimer, policies):
        most = max(policy.most for policy in policies)
        if most > CARDS:
            return
        self.figures["within the limit"] += 1
        held = self.certainly_held(claimer.user, claimer)
        if held + claimer.count > most:
            self.failures.append(f"{claimer.user.name} held {held} and got {claimer.count} more where {most} are allowed: "
                                 f"{claimer}{self.run.around(claimer)}")


def read_log(run):
    """Writes down in the jobs what the judges said; returns the rest."""
    rest = []
    for line in run.log.read_text().splitlines():
        what, *words, when = line.split()
        when = float(when)
        if what == "start":
            job = run.jobs[int(words[0])]
            job.claim, job.started = int(words[1]), when
            job.cards = frozenset(map(int, words[2].split(",")))
        elif what == "end":
            run.jobs[int(words[0])].finished = when
        else:
            rest.append((what, words, when))
    return rest


def check_what_judges_said(run, said):
    for what, words, when in said:
        job = run.jobs[int(words[0])]
        if what == "unrecorded":
            job.unrecorded = True
            run.figures["closed without a record"] += 1
            if not run.disk.was_full(job.spawned, when):
                run.failures.append(f"no record though there was room: {job}")
        elif what == "wrong":
            run.failures.append(f"wrong cards {words[1:]}: {job}")
        elif what == "part":
            run.figures["calls inside jobs"] += 1
            full = run.disk.was_full(job.started, when)
            if words[1] != "0" and not (job.killed or words[1] == "5" and full):
                run.failures.append(f"a part of it ended with {words[1]} {job.errors!r}: {job}")
        elif what in ("busy", "overlap"):
            holder = run.jobs[int(words[2])] if words[2].isdigit() else None
            gone = holder and (holder.finished or holder.killed)
            if holder and holder.unrecorded:
                # On a full disk a claim does without its record, and then lasts only as long as its descriptors.
                run.figures["closed without a record, and lost a card"] += 1
            elif what == "busy" and gone and gone <= when:
                run.figures["locks that outlived their claim"] += 1
            else:
                since = "at" if what == "busy" else "until"
                run.failures.append(f"two jobs on card {words[1]} {since} {when:.6f}: {job} and {holder or words[2]}")


def check_ends(run):
    for job in run.jobs:
        fault = fault_in_its_end(run, job)
        if fault:
            run.failures.append(f"{fault} {job.errors!r}: {job}")


def fault_in_its_end(run, job):
    full = run.disk.was_full(job.spawned, job.ended)
    if job.killed and job.status in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP):
        run.figures["killed"] += 1
        run.figures["killed as holder"] += bool(job.claim)
        return None
    if not job.claim and job.status == 124 and job.timeout is not None:
        run.figures["timed out"] += 1
        late = job.ended - job.spawned - job.timeout
        if late > 3 and not job.stopped and not any(s <= job.ended and job.spawned <= e for s, e in run.long_stops):
            return f"timed out {late:.1f} s late"
        return None
    if not job.claim and job.status == 5 and full and "No space left" in job.errors:
        run.figures["told that the disk is full"] += 1
        return None
    if not job.claim and job.status == 3 and "max-per-user" in job.errors and any(
            policy.most < job.count for policy in run.administrator.in_force(job.spawned, job.ended)):
        run.figures["told that it asks for more than one user may hold"] += 1
        return None
    if job.kind == "wait":
        run.figures["waited"] += 1
        lines = job.errors.splitlines()
        good = job.status == 0 and lines and len(set(lines[-1].split(","))) == job.count
        return None if good else "a wait that ended badly"
    if not job.claim:
        return "never ran"
    run.figures["ran"] += 1
    run.figures["closed all descriptors"] += job.closes
    expected = -signal.SIGKILL if job.fate == "die" else job.code
    if job.status != expected:
        return f"ended with {job.status}, not {expected}"
    return None if job.finished else "did not end its work"


def check_leftovers(run):
    """One call of each user gets all cards and clears away what its dead have left."""
    box = run.box
    for user in (*USERS, ROOT):
        done = box.run("wait", "--timeout", 10, "-n", CARDS, user=user)
        if done.status != 0:
            run.failures.append(f"afterwards {user.name} cannot have all cards: {done.err}")
    for part in ("queue", "claims"):
        for path in sorted((box.lock / part).iterdir()):
            run.failures.append(f"left over: {part}/{path.name}")
    mode = stat.S_IMODE(box.lock.stat().st_mode)
    if mode != 0o1777:
        run.failures.append(f"the lock directory has mode {mode:o}")
    harness.wait_until(lambda: not box.running(), "the end of the memory's keepers", 5)


def main():
    parser = argparse.ArgumentParser(description="Everything at once: the gate must not break.")
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--seconds", type=float, default=86400, help="start no more jobs after so long")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--in-flight", type=int, default=24, help="waiters and holders at a time")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("chaos: needs root, since it becomes other users")
    print(f"chaos: seed {options.seed}", flush=True)
    harness.set_bin(harness.install_binaries())
    run = Run(options, random.Random(options.seed))
    try:
        if run.disk.missing:
            print(f"chaos: mount: {run.disk.missing}: the disk is never full in this run")
        run.drive()
        run.mend()
        said = read_log(run)
        check_what_judges_said(run, said)
        check_ends(run)
        order = Order(run)
        run.failures += order.failures
        check_leftovers(run)
    finally:
        run.close()
        harness.remove_binaries()
    for failure in run.failures:
        print(f"chaos: {failure}")
    run.figures.update(order.figures)
    print(f"chaos: {len(run.jobs)} jobs in {run.took:.1f} s: "
          + ", ".join(f"{name} {number}" for name, number in run.figures.items())
          + f"; {len(run.failures)} failures")
    return 1 if run.failures else 0


if __name__ == "__main__":
    sys.exit(main())
