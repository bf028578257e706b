#!/usr/bin/python3
"""Everything at once, for as long as you like: the gate must not break.

Jobs of three users come in bursts to a few cards, from one more than from another; nearly half of them ask for
a share, small, large or nearly the whole, and some take more memory than theirs; a tenth ask with --nice, and a
tenth close all descriptors at their start. Waiters and holders are killed, stopped and sent on; others use cards
without asking; cards get lost and return; memory drains slowly; the disk of the lock directory is full for
moments; the administrator's policy comes, changes and goes. With --crowd nobody is served before all have come. With --machine mig half of
the devices are instances, which vanish and come back; with --machine amd all cards are of AMD.
Each job is its own judge: it takes a lock of its own on every card that it was given, which those that share a
card have together. What the jobs wrote down is checked at the end:

  - no card ever had two jobs, but shares that together are no more than what is usable of it, and inside a job
    no more than that has; and each job had as many cards as it asked for;
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
from chaos_machines import MACHINES, MEMORY_MIB
from harness import ALICE, BOB, ROOT, User

CARDS = 4
WHOLE = 1000       # a card, as the order of turns counts it: a share is so many thousandths
LINGER_MS = 120
HANG_S = 45        # nobody has ended for so long: something hangs
QUIET = 0.03       # how often the house empties before more come: then no later event mends a lost wake-up
LONG_STOP_S = 4    # a waiter that is stopped for longer may be passed over, and others with it (see Order)
USERS = (ALICE, BOB, *map(User, ("www-data", "mail", "news", "proxy", "backup", "list")))
WEIGHTS = (5, 3, 2, 2, 1, 1, 1, 1)  # so many of the jobs are theirs: they hold different numbers of cards
LOOK_S = 2         # the policy that a claim is made by was read no longer ago
LONG_LOOK_S = 12   # the same while anybody is stopped for long
LEFTOVER_S = 0.5   # what a job that was killed before it ran has left running has ended by then
REMAINS_S = 5      # the same of one that ran, and has parts
MANY = 100         # in line
SILENT_S = 3       # one whose bell has not been answered for so long may be passed over
CROWD_S = 30       # a crowd comes together in less
SETTLED_S = 10     # after so long one behind gets what one ahead can use in principle only

# The lock has a higher number than the claim's descriptors, since a process that dies lets go of its
# files from the last to the first (task_work_run() in the kernel). That is no promise, so a lock that is
# taken is judged later: did its holder's end come first?
JUDGE = r"""
kind=$1 number=$2 count=$3 share=$4 memory=$5 length=$6 fate=$7 status=$8
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
case ${!VARIABLE} in
"$GPU_GATE_INDICES" | "$GPU_GATE_UUIDS") ;;  # by UUID while a card is lost
*) say wrong $number "${!VARIABLE}" "$cards" ;;
esac
[ $# -eq "$count" ] || say wrong $number "${!VARIABLE}" "$cards"
[ "$GPU_GATE_SHARE_MB" = "$share" ] || say wrong $number "share $GPU_GATE_SHARE_MB" "$share"
fd=800 group=
[ $kind = job ] || fd=900 group=${number%.*}.
mode=x
[ -z "$share" ] || mode=s
for card in "$@"; do
    file=$JUDGE/$kind/$group$card
    eval "exec $fd>>$file"
    if ! flock -n$mode $fd; then
        taken=$EPOCHREALTIME overlap=
        flock -w 0.2 -$mode $fd || overlap=yes
        mapfile -t holders <"$file.holders"  # only now has whoever had just taken it said so
        say busy $number $card "${holders[@]}" @$taken
        [ -z "$overlap" ] || say overlap $number $card "${holders[@]}"
    fi
    if [ $mode = x ]; then echo $number >"$file.holders"; else echo $number >>"$file.holders"; fi
    [ -z "$CLOSES" ] || alone="$alone $fd>&-"  # what outlives such a job has no claim, and no lock
    fd=$((fd + 1))
done
unset IFS
if [ $kind = job ]; then say start $number $GPU_GATE_CLAIM $cards; else say begin $number $cards; fi
case $fate in
sleep) eval "sleep $length $alone" ;;
memory) eval '"$SIM_JOB" --quiet --memory $memory --for ${length#0.} 2>/dev/null' "$alone" ;;
die) sleep $length; say end $number; kill -KILL $$ ;;
parts)
    part=0
    for asked in $PARTS; do
        [ $asked = all ] && share= || share=$asked
        has=${share:-$GPU_GATE_SHARE_MB}
        { "$GATE" run -q --poll 1 --timeout 20 ${share:+--share $share} -- \
              bash -c "$SCRIPT" judge part $number.$part 1 "$has" 0 $length sleep 0
          say part $number $part $? $cards; } &
        part=$((part + 1))
    done
    wait ;;
esac
if [ $kind = job ]; then say end $number; else say over $number; fi
exit $status
"""


# --- the machine --------------------------------------------------------------------------------


class Disk:
    """A small file system for the lock directory, which can be full."""

    def __init__(self, folder, in_flight):
        self.folder = folder
        self.folder.mkdir()
        self.full_times = []  # (from, until)
        self.missing = None   # why there is none
        # In a mount namespace of our own, so that it goes with us. 600 inodes and 2 MiB for 24 jobs: more than
        # the line ever needs, and filled in some milliseconds.
        options = f"size={max(2, in_flight // 12)}m,nr_inodes={25 * max(24, in_flight)},mode=1777".encode()
        self._libc = ctypes.CDLL(None, use_errno=True)
        clone_newns, private, recursive = 0x20000, 1 << 18, 1 << 14  # linux/sched.h, linux/mount.h
        if (self._libc.unshare(clone_newns) != 0
                or self._libc.mount(b"none", b"/", None, private | recursive, None) != 0
                or self._libc.mount(b"tmpfs", bytes(self.folder), b"tmpfs", 0, options) != 0):
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

    def __init__(self, lock, limits):
        """`limits`: what max-per-user may be."""
        self.file = lock / "policy"
        self.limits = limits
        self.periods = [[0.0, float("inf"), Policy()]]  # (from, until, policy): for a moment both may be in force

    def change(self, chance):
        """Another policy, or none; returns what was done. Nothing is done where the disk is full."""
        policy, lines = Policy(), [chance.choice(["", "# as agreed", " \t", "\0\xff\x1b[2J"])]
        if chance.random() < 0.9:
            policy = Policy(chance.choice(["turns", "arrival"]), chance.choice(self.limits))
            lines += [f"order = {policy.order}"] * (policy.order != "turns" or chance.random() < 0.5)
            lines += [f"max-per-user={policy.most}  # cards"] * (policy.most < float("inf"))
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
    only: frozenset    # the devices that its --only names
    usable: frozenset  # those that it could ever be given
    min_free: int | None
    share: int | None   # MiB of each card; None: all of it
    parts: tuple        # the shares that calls inside it ask for
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

    def amount(self):
        """What it counts for in the order of turns."""
        return self.count * (WHOLE if self.share is None else max(1, self.share * WHOLE // MEMORY_MIB))

    def can_use_what(self, other):
        """Can it use any card without a claim that the other can use?"""
        needs, has = (40000 if job.share is None and job.min_free is None else job.share or job.min_free
                      for job in (self, other))  # so much is free at least where nobody is
        if self.share is None and self.min_free is None:
            return other.share is None and other.min_free is None
        return needs <= has

    def held_until(self):
        """When it certainly still held its cards. (Without a record they are let go when it closes its descriptors.)"""
        return self.started if self.unrecorded else self.finished or self.killed or self.started

    def __str__(self):
        return (f"job {self.number} of {self.user.name} ({self.kind}{' --nice' * self.nice} -n {self.count} "
                f"{'whole' if self.share is None else f'share {self.share}'} only {sorted(self.only)} "
                f"min-free {self.min_free} timeout {self.timeout} {self.fate}): ticket {self.ticket}, "
                f"claim {self.claim} on {sorted(self.cards)}, status {self.status}, "
                f"lived {self.spawned:.3f}-{self.ended:.3f}, ran {self.started:.6f}-{self.finished:.6f}, "
                f"killed {self.killed:.6f}, {'stopped once' if self.stopped else 'never stopped'}"
                + ", closed all descriptors" * self.closes + ", without a record" * self.unrecorded)


# --- the run ------------------------------------------------------------------------------------


class Run:
    def __init__(self, options, chance):
        self.options = options
        self.chance = chance
        self.machine = MACHINES[options.machine](options.cards)
        self.users, self.weights = USERS[:options.users], WEIGHTS[:options.users]
        self.cards = sorted(self.machine.usable)
        self.record = self.machine.line + ".json"  # the end of its name
        self.box = self.machine.make_box([f"linger_ms {LINGER_MS}"])
        self.disk = Disk(self.box.folder / "disk", options.in_flight)
        self.box.lock = self.disk.folder / "lock"
        self.queue = self.box.lock / "queue"
        self.administrator = Administrator(self.box.lock, self.machine.limits)
        self.judge = self.box.folder / "judge"
        for name in ("job", "part"):
            (self.judge / name).mkdir(parents=True)
            (self.judge / name).chmod(0o777)
        for card in self.cards:
            for path in (self.judge / "job" / card, self.judge / "job" / f"{card}.holders"):
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
        self.read_again = 0     # the names in the queue: of many in line it takes its time
        self.known = {}         # name of a record in line that was read to its Job, if that runs
        self.stopped_now = set()
        self.long_stops = []    # (from, until)
        self.losses = []        # of cards: [card, from, until]
        self.crowd = None       # the one that holds all cards until all have come
        self.stay = 0.5         # how long a job is in the house, on a moving average
        self.parts_over = {}    # "job.part" to when it had done its work
        self.parts = collections.defaultdict(list)  # a job to what is for the ledger of its parts
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
        self.began = began = time.monotonic()
        for action in (self.outsider_comes, self.card_gets_lost, self.disk_gets_full, self.policy_changes,
                       self.ask_for_status):
            self.at(self.chance.uniform(0.2, 1), action)
        self.at(0, self.next_burst)
        if self.options.crowd:
            self.crowd = self.start_other("crowd", self.box.gate, "run", "-q", "-n", len(self.cards), "--", "sleep", 1000)
            harness.wait_until(lambda: len(list((self.box.lock / "claims").glob("*@*"))) == len(self.cards),
                               "all cards are held")
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
                self.at(0, self.let_the_crowd_go)
            if not self.starting or len(self.running) >= self.options.in_flight:
                break
            self.start_job()
        if self.starting and not self.crowd and self.chance.random() < QUIET:
            self.figures["times it emptied"] += 1
            self.at(0, self.burst_when_empty)
        elif self.starting:
            self.at(self.chance.choice([0, 0.005, self.chance.uniform(0, 0.1)]), self.next_burst)

    def burst_when_empty(self):
        self.at(0.02, self.burst_when_empty) if self.running else self.next_burst()

    def let_the_crowd_go(self):
        if not self.crowd:
            return
        standing = [job for job in self.running.values() if job.ticket]
        if len(standing) < len(self.running) - len(self.stopped_now) and time.monotonic() - self.began < CROWD_S:
            self.at(0.05, self.let_the_crowd_go)
            return
        self.figures["stood in line together"] = len(standing)
        self.figures["seconds until they did"] = round(time.monotonic() - self.began, 1)
        self.crowd.kill()
        self.crowd = None

    def start_job(self):
        chance = self.chance
        count, share, min_free, only, usable = self.choose_request()
        job = Job(
            number=len(self.jobs), user=chance.choices(self.users, self.weights)[0], count=count, only=only,
            usable=usable, share=share, min_free=min_free, parts=self.choose_parts(count, share, usable),
            timeout=chance.choice([0, chance.uniform(0, 2 * self.stay)]) if chance.random() < 0.08 else None,
            kind="wait" if chance.random() < 0.03 else "run",
            fate=chance.choices(["sleep", "memory", "die", "parts"], [80, 10, 5, 5])[0],
            code=chance.choice([0, 0, 0, 7, 124, 255]),
            shot=chance.uniform(0, 0.05) if chance.random() < 0.06 else None)
        job.nice = chance.random() < 0.1
        job.closes = job.kind == "run" and job.fate != "parts" and chance.random() < 0.1
        words = [job.kind, "--poll", "1000", "-n", count]
        if only != set(self.cards):
            words += ["--only", ",".join(sorted(only))]
        if share is not None:
            words += ["--share", share]
        if job.min_free is not None:
            words += ["--min-free-mb", job.min_free]
        if job.timeout is not None:
            words += ["--timeout", f"{job.timeout:.3f}"]
        if job.nice:
            words.append("--nice")
        if chance.random() < 0.3:
            words.append("-q")
        if job.kind == "run":
            length = chance.uniform(0.2, 0.6) if chance.random() < 0.03 else chance.uniform(0, 0.05 if share is None else 0.15)
            memory = 3000 if share is None else int(share * chance.choice([0.5, 1, 1, 2])) + chance.choice([0, 0, 4000])
            words += ["--", "bash", "-c", JUDGE, "judge", "job", job.number, count, "" if share is None else share, memory,
                      f"{length:.3f}", job.fate, job.code]
        env = self.box.env(JUDGE=self.judge, SIM_JOB=self.box.sim_job, GATE=self.box.gate, SCRIPT=JUDGE,
                           VARIABLE=self.machine.variable,
                           CLOSES="yes" if job.closes else None, PARTS=" ".join(str(part or "all") for part in job.parts))
        job.spawned = time.time()
        with open(self.judge / f"{job.number}.err", "wb") as errors, open(self.judge / f"{job.number}.out", "wb") as out:
            words, options = self.machine.started_as(job.user, [self.box.gate, *map(str, words)])
            job.popen = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=errors,
                                         start_new_session=True, **options)
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

    def choose_request(self):
        """One that can be met: count, share, free memory, the devices named, those of them that will do."""
        chance = self.chance
        while True:
            count = chance.choices([1, 2, 3], [70, 20, 10])[0]
            share = self.choose_share() if chance.random() < 0.45 else None
            min_free = chance.choice([0, 1000, 40000]) if share is None and chance.random() < 0.2 else None
            only = frozenset(self.cards)
            if chance.random() < (0.2 if share is None else 0.4):
                size = count if chance.random() < 0.5 else chance.randint(count, min(4, len(self.cards)))
                only = frozenset(chance.sample(self.cards, size))
            usable = self.machine.usable_for(count, only, share or min_free or 0)
            if usable:
                return count, share, min_free, only, usable

    def choose_share(self):
        """In MiB: small, of some size, large, nearly all of a card."""
        most = max(self.machine.usable.values())
        low, high = self.chance.choices([(1, 4000), (4000, 20000), (20000, 40000), (most - 400, most)], [45, 30, 15, 10])[0]
        return self.chance.randint(low, high)

    def choose_parts(self, count, share, usable):
        """What calls inside a job ask for: None takes all there is, and one may ask for more than there is."""
        most = share or min(self.machine.usable[card] for card in usable)
        return tuple(self.chance.choice([None, self.chance.randint(1, most), self.chance.randint(1, most), most,
                                         most + self.chance.choice([0, 1])]) for _ in range(count + 1))

    def shoot_holders(self):
        for line in self.log_file.read().splitlines():
            what, number, *_ = line.split()
            job = self.jobs[int(number)] if what == b"start" else None
            if job and job.shot is not None:
                whole = self.chance.random() < 0.5
                self.at(job.shot, lambda job=job, whole=whole: self.kill(job, signal.SIGKILL, whole))

    def kill(self, job, number, whole):
        if job.popen.pid not in self.running:
            return
        job.killed = job.killed or time.time()  # a second time it may be dead, and not yet reaped
        (os.killpg if whole else os.kill)(job.popen.pid, number)
        if number != signal.SIGKILL and job in self.stopped_now:
            self.send_on(job)  # else it would never learn of it

    def stop(self, job):
        if job.popen.pid not in self.running:
            return
        long = self.chance.random() < 0.04 and not self.options.crowd  # or nobody's order could be judged
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
        if now < self.read_again:
            return
        self.read_again = now + len(self.running) / 5000
        try:
            records = {name for name in os.listdir(self.queue)
                       if name.endswith(self.record) and name.removesuffix(self.record).isdigit()}
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
                job.ticket, job.seen = int(name.removesuffix(self.record)), time.time()
        for job in self.known.values():
            # A process that is killed leaves its record behind.
            if job and not job.killed and job.popen.pid in self.running:
                job.stood = now
                if len(self.running) > MANY and not job.stopped and self.is_silent(job, now):
                    job.stopped = True
                    self.figures["too busy to answer"] += 1

    def is_silent(self, job, now):
        """Will it soon be passed over, though it was not stopped? So many may keep a machine, or the mutex, busy."""
        bell = self.queue / f"{job.ticket}{self.machine.line}.bell"
        try:
            return now - bell.stat().st_mtime > SILENT_S and not self.box.answered(bell)
        except OSError:
            return False

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
        words, options = self.machine.started_as(user, [str(word) for word in words])
        popen = subprocess.Popen(words, env=self.box.env(**(env or {})), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
        self.others[popen.pid] = what, popen
        return popen

    def outsider_comes(self):
        """A job that does not ask; also where another is running."""
        if not self.starting:
            return
        seconds = self.chance.uniform(0.05, 0.5)
        outsider = self.start_other("outsider", self.box.sim_job, "--memory", self.chance.choice([400, 3000, 20000]),
                                    "--for", int(seconds * 1000), user=self.chance.choice(self.users),
                                    env={self.machine.variable: self.machine.name(self.chance.choice(self.cards))})
        self.note("outsiders", f"an outsider came, pid {outsider.pid}")
        if self.chance.random() < 0.3:
            self.at(seconds / 2, lambda: outsider.pid in self.others and os.kill(outsider.pid, signal.SIGKILL))
        self.at(self.chance.uniform(0.3, 2), self.outsider_comes)

    def card_gets_lost(self):
        if not self.starting:
            return
        card = self.chance.choice(self.machine.can_be_lost)
        losses = [[each, time.time(), float("inf")] for each in self.machine.gone_with(card)]
        self.losses += losses
        self.machine.lose(card)
        self.note("cards lost", f"card {card} got lost")
        self.at(self.chance.uniform(0.05, 0.8), lambda: self.card_returns(card, losses))

    def card_returns(self, card, losses):
        self.machine.returns(card)
        for loss in losses:
            loss[2] = time.time()
        self.happenings.append((time.time(), f"card {card} returned"))
        self.ring_the_first()
        self.at(self.chance.uniform(0.5, 4), self.card_gets_lost)

    def ring_the_first(self):
        """A card that returns wakes nobody, nor does another policy, and here nobody polls: so this rings then. All
        other wake-ups are gpu-gate's own."""
        try:
            places = [name.removesuffix(self.machine.line) for name in os.listdir(self.queue)
                      if name.endswith(self.machine.line)]
            tickets = sorted(int(name) for name in places if name.isdigit())
        except FileNotFoundError:
            return
        asleep = {job.ticket for job in self.stopped_now}
        for ticket in tickets:
            if ticket in asleep:
                continue
            try:
                bell = os.open(self.queue / f"{ticket}{self.machine.line}.bell", os.O_WRONLY | os.O_NONBLOCK)
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
        self.start_other("status", self.box.gate, "status", user=self.chance.choice(self.users))
        self.figures["status"] += 1
        self.at(self.chance.uniform(0.1, 1), self.ask_for_status)

    def mend(self):
        self.disk.free()
        self.administrator.write(Policy(), None)
        for card in self.machine.can_be_lost:
            self.machine.returns(card)

    def was_lost(self, cards, begin, end):
        return any(card in cards and since <= end and begin <= until for card, since, until in self.losses)

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

    If A was ahead, it was overtaken unless there were cards left for it at that moment, or room for its share: then
    both had their turn, and which of the two woke first is no matter. There was certainly none left on a card
    that somebody with an earlier claim still held whole, or too much of, when B began to run. But B may have got what
    A did not keep:
      - A card without any claim is kept for A if it may use it at all, for 10 s if it cannot as it is now. Of what is
        kept for a share somebody else's may be beside it. (`was_kept`)
      - Of shared cards A keeps all room on as many as it lacks, those with most room, which nobody can tell
        afterwards. So that is judged where those that it may use are certainly no more than it asked for, but for
        those that are held whole; and where none of them was lost, or it keeps nothing. (`room_was_kept`)

    Who may have had to wait for jobs of their own user (max-per-user) kept nothing from others, and was not
    overtaken. A job that was stopped may be overtaken. So may others while it is stopped for so long that those
    that wait for it do not hear their bell in time."""

    RULES = ("within one user", "--nice", "arrival", "turns")
    JUDGED = 60  # of those that waited then, at most, chosen at random

    def __init__(self, run):
        self.run = run
        self.figures = collections.Counter({f"{rule}: {what}": 0 for rule in self.RULES
                                            for what in ("in order", "side by side", "share in order", "share side by side")})
        self.figures["kept room"] = self.figures["within the limit"] = 0
        self.failures = []
        self.chance = random.Random(run.options.seed)
        self.may_hold = collections.defaultdict(list)  # card to those that may hold it or a part of it
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
            for card, holding in self.may_hold.items():
                self.may_hold[card] = [job for job in holding if self.may_last(job)]
            holding = set(itertools.chain(*self.may_hold.values()))
            self.around = [job for job in self.around if job.ended + LEFTOVER_S >= self.not_before or job in holding]
            for card in claimer.cards:  # what ended before that claim was made
                self.may_hold[card] = [job for job in self.may_hold[card] if job.share is not None and claimer.share is not None]
            self.judge(claimer, holders[max(0, place - 200):place])
            for card in claimer.cards:
                self.may_hold[card].append(claimer)

    def may_last(self, holder):
        return holder.ended + (REMAINS_S if holder.killed else 0) >= self.not_before

    def judge(self, claimer, before):
        policies = self.policies_of(claimer)
        self.check_limit(claimer, policies)
        whole, promised = set(), collections.Counter()
        for holder in before:
            if holder.held_until() > claimer.started:
                for card in holder.cards:
                    promised[card] += holder.share or 0
                whole |= holder.cards if holder.share is None else set()
        standing = [job for job in self.around if job is not claimer and self.stood_at(job, claimer)]
        if len(standing) > self.JUDGED:
            standing = self.chance.sample(standing, self.JUDGED)
        for waiter in standing:
            if not waiter.usable & claimer.cards or self.run.machine.may_keep_less(waiter.count, waiter.usable):
                continue
            kept = self.was_kept(waiter, claimer, promised) or self.room_was_kept(waiter, claimer, whole, promised)
            if not kept or not self.counts(waiter):
                continue
            kind = "" if waiter.share is None and claimer.share is None else "share "
            rule = self.why_ahead(waiter, claimer, claimer, policies)
            if rule and not self.waits_for_own(waiter, claimer, policies):
                if self.left_for(waiter, claimer, whole, promised) >= waiter.count:
                    self.figures[f"{rule}: {kind}side by side"] += 1
                else:
                    self.failures.append(f"overtaken ({rule}, {self.numbers(waiter, claimer)}, {kept}, "
                                         f"by {', '.join(map(str, policies))}):\n    {waiter}\n"
                                         f"    by {claimer}{self.run.around(waiter, claimer)}")
            elif not rule:
                rule = self.why_ahead(claimer, waiter, claimer, policies)
                if rule:
                    self.figures["kept room"] += kept.startswith("room")
                    self.figures[f"{rule}: {kind}in order"] += 1

    def fit_together(self, waiter, claimer, card, promised):
        """May both have room on a card of which so much is promised?"""
        return (waiter.share is not None and claimer.share is not None
                and promised + waiter.share + claimer.share <= self.run.machine.usable[card])

    def left_for(self, waiter, claimer, whole, promised):
        """On how many cards there may have been room for it, beside what the claimer got."""
        def may_fit(card):
            if card in claimer.cards:
                return card not in whole and self.fit_together(waiter, claimer, card, promised[card])
            usable = self.run.machine.usable[card]
            return card not in whole and promised[card] + (waiter.share or usable * bool(promised[card])) <= usable

        return sum(map(may_fit, waiter.usable))

    def was_kept(self, waiter, claimer, promised):
        """A card that was certainly unclaimed when the claimer got it."""
        if claimer.started - claimer.spawned > SETTLED_S and not waiter.can_use_what(claimer):
            return None
        for card in waiter.usable & claimer.cards:
            if not self.fit_together(waiter, claimer, card, 0) and (claimer.share is None or self.was_unclaimed(card, claimer)):
                return f"card {card}"
        return None

    def was_unclaimed(self, card, claimer):
        # One that was killed may have claimed before it could say so.
        return not self.may_hold[card] and not any(
            job.killed and not job.claim and card in job.usable and job is not claimer and self.may_last(job)
            for job in self.around)

    def room_was_kept(self, waiter, claimer, whole, promised):
        """Room on a card that was shared when the claimer got its share of it."""
        if claimer.share is None or len(waiter.usable - whole) > waiter.count:
            return None
        if self.run.was_lost(waiter.usable, self.not_before - LONG_LOOK_S, claimer.started):
            return None
        late = claimer.started - claimer.spawned > SETTLED_S
        for card in waiter.usable & claimer.cards:
            if not self.fit_together(waiter, claimer, card, promised[card]) and not (late and not promised[card]):
                return f"room on card {card}, {promised[card]} MiB promised"
        return None

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
        if orders == {"turns"} and self.run.machine.is_uniform and self.at_most(one, claimer) < self.at_least(other, claimer):
            return "turns"
        return None

    def at_least(self, job, claimer):
        """What its user certainly held then, with the requests that were certainly ahead of it."""
        amount = self.certainly_held(job.user, claimer)
        for other in self.around:
            if other.user != job.user or other in (job, claimer) or not self.stood_at(other, claimer):
                continue
            if job.nice > other.nice or job.nice == other.nice and self.came_first(other, job):
                amount += other.amount()
        return amount

    def certainly_held(self, user, claimer):
        return sum(job.amount() for job in self.around
                   if job.user == user and job.claim and job.claim < claimer.claim and job.held_until() > claimer.started)

    def at_most(self, job, claimer):
        """What its user may have held then, with the requests that may have been ahead of it."""
        amount = sum(self.may_count(holder) // holder.count for holding in self.may_hold.values() for holder in holding
                     if holder.user == job.user)
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
            amount += self.may_count(other)
        return amount

    def may_count(self, job):
        """A share on a card that is lost, of which the size is not known then, or without a record counts as all of it."""
        if job.share is None or self.run.disk.was_full(job.spawned, job.ended) or self.run.was_lost(
                set(self.run.cards), self.not_before - LONG_LOOK_S, job.ended + LONG_LOOK_S):
            return job.count * WHOLE
        return job.amount()

    def waits_for_own(self, waiter, claimer, policies):
        """May it have had to wait for jobs of its own user?"""
        most = min(policy.most for policy in policies)
        return self.at_most(waiter, claimer) + self.may_count(waiter) > WHOLE * most

    def check_limit(self, claimer, policies):
        most = max(policy.most for policy in policies)
        if most == float("inf"):
            return
        self.figures["within the limit"] += 1
        held = self.certainly_held(claimer.user, claimer)
        if held + claimer.amount() > WHOLE * most:
            self.failures.append(f"{claimer.user.name} held {held} and got {claimer.amount()} more where {most} are allowed: "
                                 f"{claimer}{self.run.around(claimer)}")


def read_log(run):
    """Writes down in the jobs what the judges said; returns the rest."""
    rest, began = [], {}
    for line in run.log.read_text().splitlines():
        what, *words, when = line.split()
        when = float(when)
        if what == "start":
            job = run.jobs[int(words[0])]
            job.claim, job.started = int(words[1]), when
            job.cards = frozenset(words[2].split(","))
        elif what == "end":
            run.jobs[int(words[0])].finished = when
        elif what == "begin":
            began[words[0]] = when, words[1]
        elif what == "over":
            run.parts_over[words[0]] = when
        else:
            rest.append((what, words, when))
    for name, (when, card) in began.items():
        number, part = map(int, name.split("."))
        job = run.jobs[number]
        share = job.parts[part] or job.share
        run.parts[job].append((when, run.parts_over.get(name, when), {card}, share, job))
    return rest


def check_what_judges_said(run, said):
    for what, words, when in said:
        job = run.jobs[int(words[0].partition(".")[0])]
        if what == "unrecorded":
            job.unrecorded = True
            run.figures["closed without a record"] += 1
            if not run.disk.was_full(job.spawned, when):
                run.failures.append(f"no record though there was room: {job}")
        elif what == "wrong":
            run.failures.append(f"wrong cards or share {words[1:]}: {job}")
        elif what == "part":
            run.figures["calls inside jobs"] += 1
            full = run.disk.was_full(job.started, when)
            too_much = (job.parts[int(words[1])] or 0) > (job.share or max(run.machine.usable[card] for card in job.cards))
            lost = run.was_lost(job.cards, job.started - LOOK_S, when)
            if words[2] == "3" and lost and run.machine.loss_is_absence and not too_much:
                run.figures["told that a device is not there"] += 1
            elif words[2] == "124" and lost and too_much:
                # How much a lost card has is not known when it asks, and then it waits.
                run.figures["asked a lost card for too much"] += 1
            elif words[2] != ("3" if too_much else "0") and not (job.killed or words[2] == "5" and full):
                run.failures.append(f"a part of it ended with {words[2]} {job.errors!r}: {job}")
        elif what == "busy":
            check_lock(run, what, words[:-1], float(words[-1].removeprefix("@")))
        elif what == "overlap":
            check_lock(run, what, words, when)


def check_lock(run, what, words, when):
    """Somebody found the lock of a card taken; was it let go before, or at least soon?"""
    name, card, *names = words
    job, holders = run.jobs[int(name.partition(".")[0])], [run.jobs[int(name.partition(".")[0])] for name in names]
    if any(one.unrecorded for one in [job, *holders]):
        # On a full disk a claim does without its record, and then lasts only as long as its descriptors: that of who
        # had the lock, or of who found it taken.
        run.figures["closed without a record, and lost a card"] += 1
        return
    # Inside a job, a part that has ended says so.
    gone = [run.parts_over.get(name, job.killed) if "." in name else holder.finished or holder.killed
            for name, holder in zip(names, holders)]
    if what == "busy" and any(0 < end <= when for end in gone):
        run.figures["locks that outlived their claim"] += 1
        return
    since = "at" if what == "busy" else "until"
    near = [line for line in run.log.read_text().splitlines() if abs(float(line.split()[-1]) - when) < 0.5]
    run.failures.append(f"two {'parts of a job' if '.' in name else 'jobs'} on card {card} {since} {when:.6f}: {name}, {job} "
                        f"and {', '.join(f'{name}, {holder}' for name, holder in zip(names, holders))}; "
                        f"what all said then: {'; '.join(near)}")


def check_shares(run):
    """The ledger: of no card was ever more promised than is usable of it; inside a job, no more than that has."""
    jobs = [(job.started, job.held_until(), job.cards, job.share, job) for job in run.jobs if job.claim]
    run.figures["shared a card"] = check_ledger(run, jobs, lambda job, card: run.machine.usable[card])
    for job, parts in run.parts.items():
        check_ledger(run, parts, lambda job, card: job.share or run.machine.usable[card])


def check_ledger(run, entries, usable):
    """Entries: (from, until, cards, share, job). Returns how many came to a card that others shared."""
    beside = 0
    holding = collections.defaultdict(list)  # card to those of them that hold it
    for entry in sorted(entries, key=lambda entry: entry[0]):
        since, _, cards, share, job = entry
        for card in cards:
            others = holding[card] = [other for other in holding[card] if other[1] > since]
            if others and (share is None or any(other[3] is None for other in others)):
                run.failures.append(f"beside one that has all of card {card}: {job} "
                                    f"and {', '.join(str(other[4]) for other in others)}")
            elif others:
                beside += 1
                promised = share + sum(other[3] for other in others)
                if promised > usable(job, card):
                    run.failures.append(f"{promised} of {usable(job, card)} MiB promised of card {card}: {job} "
                                        f"beside {', '.join(str(other[4]) for other in others)}")
            others.append(entry)
    return beside


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
        # A crowd that comes at once has to share the processors, and the mutex.
        if late > (10 if run.options.crowd else 3) and not job.stopped and not any(s <= job.ended and job.spawned <= e for s, e in run.long_stops):
            return f"timed out {late:.1f} s late"
        return None
    if not job.claim and job.status == 5 and full and "No space left" in job.errors:
        run.figures["told that the disk is full"] += 1
        return None
    if not job.claim and job.status == 3 and "max-per-user" in job.errors and any(
            WHOLE * policy.most < job.amount() for policy in run.administrator.in_force(job.spawned, job.ended)):
        run.figures["told that it asks for more than one user may hold"] += 1
        return None
    if not job.claim and job.status == 3 and run.machine.loss_is_absence and run.was_lost(
            job.only, job.spawned - LOOK_S, job.ended):
        run.figures["told that a device is not there"] += 1
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
    """A call of each user gets all cards and clears away what its dead have left."""
    box = run.box
    for user, kind in itertools.product((*run.users, ROOT), run.machine.kinds):
        done = box.run("wait", "--timeout", 10, "-n", len(kind), "--only", ",".join(sorted(kind)), user=user)
        if done.status != 0:
            run.failures.append(f"afterwards {user.name} cannot have all of {sorted(kind)}: {done.err}")
    for part in ("queue", "claims"):
        for path in sorted((box.lock / part).iterdir()):
            run.failures.append(f"left over: {part}/{path.name}")
    mode = stat.S_IMODE(box.lock.stat().st_mode)
    if mode != 0o1777:
        run.failures.append(f"the lock directory has mode {mode:o}")
    harness.wait_until(lambda: not box.running(), "the end of the memory's keepers")


def main():
    parser = argparse.ArgumentParser(description="Everything at once: the gate must not break.")
    parser.add_argument("--jobs", type=int, default=250)
    parser.add_argument("--seconds", type=float, default=86400, help="start no more jobs after so long")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--in-flight", type=int, default=24, help="waiters and holders at a time")
    parser.add_argument("--cards", type=int, default=CARDS)
    parser.add_argument("--machine", choices=MACHINES, default="cards")
    parser.add_argument("--users", type=int, default=3, choices=range(1, len(USERS) + 1))
    parser.add_argument("--crowd", action="store_true", help="all come before the first is served")
    options = parser.parse_args()
    if options.crowd and options.machine == "mig":
        parser.error("--crowd: nobody can hold cards and instances together")
    if options.crowd:
        options.in_flight = options.jobs
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
        check_shares(run)
        check_ends(run)
        order = Order(run)
        run.failures += order.failures
        try:
            check_leftovers(run)
        except AssertionError as problem:  # what came before it explains it
            run.failures.append(f"afterwards: {problem}")
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
