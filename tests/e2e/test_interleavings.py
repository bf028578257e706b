"""Something happens between any two system calls of a waiter, and nobody sleeps through it.

One waiter is stopped behind its n-th call, for every n; then the one thing happens that a waiter waits
for, and the stopped one goes on. Whose turn it is must be served by that: no later look would mend a
wake-up that was lost.
"""

import os
import signal

import pytest

from harness import ALICE, BOB, wait_until
from test_faults import NO_LEAK_CHECK, names_of, own_part

NEVER = ("--poll", 1000)  # whoever waits for the next look waits for ever
SOON = 4.0                # seconds; everybody looks at the line again after five
# The calls in which a waiter sees or changes what it shares with others.
SHARED = {"openat", "read", "getdents64", "flock", "pread64", "pwrite64", "mknodat", "fchmod", "write", "unlinkat",
          "renameat", "ppoll", "pidfd_open"}


class Traced:
    """A waiter under strace, which can stop it."""

    def __init__(self, box, inject, *options, **more):
        self.log = box.folder / "trace"
        self.process = box.start_plain("strace", "-f", "-qq", *inject, "-o", self.log, box.gate, "run", *NEVER, *options,
                                       "--", "true", env=NO_LEAK_CHECK, **more)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def sleeps(self, times=1):
        text = self.text()
        return text.count(" ppoll(") == times and " = " not in text.rpartition("\n")[2]

    def stopped(self):
        return "--- stopped by SIGSTOP ---" in self.text()

    def go_on(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
            os.kill(int(file.read()), signal.SIGCONT)


class Newcomer:
    """The waiter that is stopped comes last, and is to be served: anywhere up to its first sleep."""

    def come(self, inject):
        self.traced = Traced(self.box, inject, *self.options)
        wait_until(lambda: self.traced.stopped() or self.traced.sleeps(), "it is stopped, or sleeps")

    def calls(self):
        names = names_of(self.traced.log)
        return list(own_part(names[: names.index("ppoll") + 1]))

    def served(self):
        return self.traced.process


class First:
    """The first in line is stopped, who has to notice it for one behind: anywhere in a look."""

    def wait_first(self, inject):
        self.traced = Traced(self.box, inject, "--only", 0)
        wait_until(self.traced.sleeps, "the first sleeps")

    def look_again(self, slept):
        """Rings it when it has gone to sleep so often."""
        self.slept = slept
        wait_until(lambda: self.traced.sleeps(slept), "the first sleeps again")
        bell = min((self.box.lock / "queue").glob("*.bell"))
        with open(os.open(bell, os.O_WRONLY | os.O_NONBLOCK), "wb") as file:
            file.write(b"l")
        wait_until(lambda: self.traced.stopped() or self.traced.sleeps(slept + 1), "it is stopped, or sleeps")

    def calls(self):
        names = names_of(self.traced.log)
        sleeps = [i for i, name in enumerate(names) if name == "ppoll"]
        before = names[: sleeps[self.slept - 1] + 1]
        return list(own_part(names[: sleeps[self.slept] + 1]))[len(list(own_part(before))):]


# What is there, and what happens.


class Release(Newcomer):
    """The claim on the card ends."""

    cards = 1
    options = ()

    def prepare(self, inject):
        self.holder = self.box.hold(user=ALICE)
        self.come(inject)

    def happen(self):
        self.holder.kill()


class OutsiderEnds(Newcomer):
    """A process ends that knows nothing of gpu-gate. Nor does the first know of it, who wants another card."""

    cards = 2
    options = ("--only", 1)

    def prepare(self, inject):
        self.box.hold("--only", 0)
        self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.outsider_comes()
        self.come(inject)

    def outsider_comes(self):
        self.outsider = self.box.start_plain(self.box.sim_job, "--for", -1, env={"CUDA_VISIBLE_DEVICES": 1})
        wait_until(lambda: self.box.status()[1]["processes"], "the outsider has the card")

    def happen(self):
        self.outsider.kill()


class ReserverEnds(Newcomer):
    """Who is ahead and keeps the card dies; the first in line, who has to decide, wants another card."""

    cards = 3
    options = ("--only", 1)

    def prepare(self, inject):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.reserver_comes()
        self.come(inject)

    def reserver_comes(self):
        self.reserver = self.box.wait_in_line(*NEVER, "--only", "1,2", "-n", 2, user=ALICE)

    def happen(self):
        self.reserver.kill()


class OutsiderEndsAsTheFirstLooks(First, OutsiderEnds):
    def prepare(self, inject):
        self.box.hold("--only", 0)
        self.wait_first(inject)
        self.outsider_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again(slept=2)  # (it was rung by the one behind)

    def served(self):
        return self.behind


class ReserverEndsAsTheFirstLooks(First, ReserverEnds):
    def prepare(self, inject):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.wait_first(inject)
        self.reserver_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again(slept=1)

    def served(self):
        return self.behind


@pytest.mark.parametrize("scene", [Release, OutsiderEnds, ReserverEnds, OutsiderEndsAsTheFirstLooks,
                                   ReserverEndsAsTheFirstLooks])
def test_what_happens_between_any_two_calls_is_not_slept_through(make_box, scene):
    def play(inject=()):
        """One performance; returns the calls at which the waiter could have been stopped, and whether it was."""
        actors = scene()
        actors.box = make_box(cards=scene.cards)
        actors.prepare(inject)
        stopped = actors.traced.stopped()
        actors.happen()
        if stopped:
            actors.traced.go_on()
        assert actors.served().finish(SOON) == 0, inject
        calls = actors.calls() if not inject else None
        actors.box.close()
        return calls, stopped

    calls, _ = play()
    met = 0
    for name, nth in calls:
        if name in SHARED:
            _, stopped = play(("-e", f"inject={name}:signal=STOP:when={nth}"))
            met += stopped
    assert met > 20
