"""Something happens between any two system calls of a waiter, and nobody sleeps through it.

One waiter is stopped behind its n-th call, for every n; then the one thing happens that a waiter waits
for, and the stopped one goes on. Whose turn it is must be served by that: no later look would mend a
wake-up that was lost.
"""

import os

import pytest

from harness import ALICE, BOB, wait_until
from traced import Traced, calls_in, inject, numbered

NEVER = ("--poll", 1000)  # whoever waits for the next look waits for ever
SOON = 4.0                # seconds; everybody looks at the line again after five
# The calls in which a waiter sees or changes what it shares with others.
SHARED = {"openat", "read", "getdents64", "flock", "pread64", "pwrite64", "mknodat", "fchmod", "write", "unlinkat",
          "renameat", "ppoll", "pidfd_open"}


class Newcomer:
    """The waiter that is stopped comes last, and is to be served: anywhere up to its first sleep."""

    def come(self, what):
        self.traced = Traced(self.box, what, "run", *NEVER, *self.options, "--", "true")
        wait_until(lambda: self.traced.stopped() or self.traced.sleeps(), "it is stopped, or sleeps")

    def calls(self):
        calls = calls_in(self.traced.text())
        return numbered(calls[: calls.index("ppoll") + 1])

    def served(self):
        return self.traced.process


class First:
    """The first in line is stopped, who has to notice it for one behind: anywhere in a look."""

    def wait_first(self, what):
        self.traced = Traced(self.box, what, "run", *NEVER, "--only", 0, "--", "true")
        wait_until(self.traced.sleeps, "the first sleeps")

    def look_again(self, naps):
        """Rings it when it has gone to sleep so often."""
        self.naps = naps
        wait_until(lambda: self.traced.sleeps(naps), "the first sleeps again")
        bell = min((self.box.lock / "queue").glob("*.bell"))
        with open(os.open(bell, os.O_WRONLY | os.O_NONBLOCK), "wb") as file:
            file.write(b"l")
        wait_until(lambda: self.traced.stopped() or self.traced.sleeps(naps + 1), "it is stopped, or sleeps")

    def calls(self):
        calls = list(numbered(calls_in(self.traced.text())))
        before, after = (calls.index(("ppoll", nap)) + 1 for nap in (self.naps, self.naps + 1))
        return calls[before:after]

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


class OutsiderEnds(Newcomer):
    """A process ends that knows nothing of gpu-gate. Nor does the first know of it, who wants another card."""

    cards = 2
    options = ("--only", 1)

    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.outsider_comes()
        self.come(what)

    def outsider_comes(self):
        self.outsider = self.box.start_plain(self.box.sim_job, "--for", -1, env={"CUDA_VISIBLE_DEVICES": 1})
        wait_until(lambda: self.box.status()[1]["processes"], "the outsider has the card")

    def happen(self):
        self.outsider.kill()


class ReserverEnds(Newcomer):
    """Who is ahead and keeps the card dies; the first in line, who has to decide, wants another card."""

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
        self.look_again(naps=2)  # (it was rung by the one behind)


class ReserverEndsAsTheFirstLooks(First, ReserverEnds):
    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.wait_first(what)
        self.reserver_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again(naps=1)


@pytest.mark.parametrize("scene", [Release, OutsiderEnds, ReserverEnds, OutsiderEndsAsTheFirstLooks,
                                   ReserverEndsAsTheFirstLooks])
def test_what_happens_between_any_two_calls_is_not_slept_through(make_box, scene):
    def play(what=()):
        """One performance; returns the calls behind which the waiter can be stopped, and whether it was."""
        actors = scene()
        actors.box = make_box(cards=scene.cards)
        actors.prepare(what)
        stopped = actors.traced.stopped()
        actors.happen()
        if what and not stopped:  # on a slow machine it may have slept once more, and come there only now
            wait_until(lambda: actors.traced.stopped() or not actors.served().alive(), "it is stopped, or all is over")
        actors.traced.go_on()
        assert actors.served().finish(SOON) == 0, what
        calls = [] if what else list(actors.calls())
        actors.box.close()
        return calls, stopped

    met = 0
    for name, nth in play()[0]:
        if name in SHARED and not name.of_driver:
            met += play(inject(name, nth, "signal=STOP"))[1]
    assert met > 20
