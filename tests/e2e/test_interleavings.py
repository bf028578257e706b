"""Something happens between any two system calls of a waiter, and nobody sleeps through it.

One waiter is stopped behind its n-th call, for every n; then the one thing happens that a waiter waits
for, and the stopped one goes on. That must serve the waiter whose turn it is: no later look would mend
a wake-up that was lost.
"""

import time

import pytest

from harness import ALICE, BOB, NEVER, Box, each, wait_until
from traced import Traced, calls_in, inject, numbered

SOON = 4.0   # seconds; everybody looks at the line again after five
TRIES = 5    # a wake-up that is lost is lost each time; a machine that is late is not
AT_ONCE = 4  # performances; each waits for others most of the time
# The calls in which a waiter sees or changes what it shares with others.
SHARED = {"openat", "read", "getdents64", "flock", "pread64", "pwrite64", "mknodat", "fchmod", "write", "unlinkat",
          "renameat", "ppoll", "pidfd_open"}


class Newcomer:
    """The waiter that is stopped comes last, and is to be served: anywhere up to its first sleep."""

    def come(self, what):
        self.traced = Traced(self.box, what, "run", *NEVER, *self.options, "--", "true")
        self.traced.rests()

    def calls(self):
        calls = calls_in(self.traced.text())
        sleep = next(i for i, call in enumerate(calls) if call.waits)
        return numbered(calls[: sleep + 1])

    def served(self):
        return self.traced.process


class First:
    """The leader, which has to notice it for one behind, is stopped: anywhere in a look."""

    def wait_first(self, what):
        self.traced = Traced(self.box, what, "run", *NEVER, "--only", 0, "--", "true")
        self.traced.rests()

    def look_again(self):
        """Rings it once more, when it has answered its bell and sleeps."""
        [bell, *_] = self.box.bells()
        wait_until(lambda: self.traced.stopped() or self.box.answered(bell) and self.traced.sleeps(), "the first sleeps again")
        self.before, looks = self.traced.text(), self.traced.looks()
        self.box.ring()
        self.traced.rests(looks)
        self.after = self.traced.text()

    def calls(self):
        return numbered(calls_in(self.after))[len(numbered(calls_in(self.before))):]

    def served(self):
        return self.behind


# What is there, and what happens.


class Release(Newcomer):
    """The claim on the card ends."""

    cards = 1
    options = ()

    def prepare(self, what):
        self.holder = self.box.hold(user=ALICE)
        self.come(what)

    def happen(self):
        self.holder.kill()


class ReleaseOfMemory(Newcomer):
    """The claim on the card ends, and the driver frees the job's memory only a moment later."""

    cards = 1
    options = ()

    def prepare(self, what):
        self.holder = self.box.hold_memory(user=ALICE, linger=0.2)
        self.come(what)

    def happen(self):
        self.holder.kill()


class OutsiderEnds(Newcomer):
    """A process without gpu-gate ends. The leader, which wants another card, does not know of it."""

    cards = 2
    options = ("--only", 1)

    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.outsider_comes()
        self.come(what)

    def outsider_comes(self):
        self.outsider = self.box.outsider(1)

    def happen(self):
        self.outsider.kill()


class ReserverEnds(Newcomer):
    """The waiter that is ahead and keeps the card dies; the leader, which has to decide, wants another card."""

    cards = 3
    options = ("--only", 1)

    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.reserver_comes()
        self.come(what)

    def reserver_comes(self):
        self.reserver = self.box.wait_in_line(*NEVER, "--only", "1,2", "-n", 2, user=ALICE)

    def happen(self):
        self.reserver.kill()


class OutsiderEndsAsTheFirstLooks(First, OutsiderEnds):
    def prepare(self, what):
        self.box.hold("--only", 0)
        self.wait_first(what)
        self.outsider_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again()


class ReserverEndsAsTheFirstLooks(First, ReserverEnds):
    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.wait_first(what)
        self.reserver_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again()


@pytest.mark.parametrize("scene", [Release, ReleaseOfMemory, OutsiderEnds, ReserverEnds, OutsiderEndsAsTheFirstLooks,
                                   ReserverEndsAsTheFirstLooks])
def test_what_happens_between_any_two_calls_is_not_slept_through(scene):
    def play(what=()):
        """One performance; returns the calls behind which the waiter can be stopped, whether it was, and whether
        whose turn it is was served soon."""
        actors = scene()
        with Box(cards=scene.cards) as actors.box:
            actors.prepare(what)
            stopped = actors.traced.stopped()
            actors.happen()
            if what and not stopped:  # on a slow machine it may have slept once more, and come there only now
                wait_until(lambda: actors.traced.stopped() or not actors.served().alive(), "it is stopped, or all is over")
            actors.traced.go_on()
            began = time.monotonic()
            assert actors.served().finish() == 0
            return [] if what else actors.calls(), stopped, time.monotonic() - began < SOON

    def check(name, nth):
        for _ in range(TRIES):
            _, stopped, soon = play(inject(name, nth, "signal=STOP"))
            if soon:
                met.append(stopped)
                return
        raise AssertionError(f"it was served only later than {SOON} s, {TRIES} times")

    met = []
    calls, _, _ = play()
    each([(name, nth) for name, nth in calls if name in SHARED and not name.of_driver], check, AT_ONCE)
    assert sum(met) > 20
