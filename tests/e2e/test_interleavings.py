"""Something happens between any two system calls of a waiter, and nobody sleeps through it.

One waiter is stopped behind its n-th call, for every n; then the one thing happens that a waiter waits
for, and the stopped one goes on, or is killed there. That must serve the waiter whose turn it is: no later
look would mend a wake-up that was lost.
"""

import os
import signal
import time

import pytest

from harness import ALICE, BOB, NEVER, ROOT, Box, Order, children_of, each, state_of, wait_until
from traced import Traced, calls_in, inject, numbered, up_to_the_command

SOON = 4.0   # seconds; everybody looks at the line again after five
TRIES = 5    # a wake-up that is lost is lost each time; a machine that is late is not
AT_ONCE = 4  # performances; each waits for others most of the time
# The calls in which a waiter sees or changes what it shares with others.
SHARED = {"openat", "read", "getdents64", "flock", "pread64", "pwrite64", "mknodat", "fchmod", "write", "unlinkat",
          "renameat", "ppoll", "pidfd_open"}


def rests(pid):
    """It sleeps, or waits for the mutex, which a stopped process may hold; or it is stopped, or has ended."""
    for _ in range(5):
        if state_of(pid) not in ("S", "T", "t", "Z", ""):
            return False
        time.sleep(0.002)
    return True


class Scene:
    every = 1  # behind every such call it is stopped
    others = ()  # who is served as well

    def over(self):
        """What must be true in the end."""

    def set_going(self, what):
        """The stopped one goes on, if it was stopped; returns whether it was."""
        stopped = self.traced.stopped()
        self.happen()
        if what and not stopped:  # on a slow machine it may have slept once more, and come there only now
            wait_until(lambda: self.traced.stopped() or not self.served().alive(), "it is stopped, or all is over")
        self.traced.go_on()
        return stopped


class Newcomer(Scene):
    """The waiter that is stopped comes last, and is to be served: anywhere up to its first sleep."""

    user = ROOT
    command = ("true",)

    def come(self, what, **options):
        self.traced = Traced(self.box, what, "run", *NEVER, *self.options, "--", *self.command, user=self.user, **options)
        self.traced.rests()

    def calls(self):
        calls = calls_in(self.traced.text())
        sleep = next(i for i, call in enumerate(calls) if call.waits)
        return numbered(calls[: sleep + 1])

    def served(self):
        return self.traced.process


class InALook(Scene):
    """One that stands in line is stopped: anywhere in a look."""

    def look_again(self, at, make_it_look):
        """When it, at this place in line, has answered its bell and sleeps."""
        bell = self.box.bells()[at]
        wait_until(lambda: self.traced.stopped() or self.box.answered(bell) and self.traced.sleeps(), "it sleeps again")
        self.before, looks = self.traced.text(), self.traced.looks()
        make_it_look()
        self.traced.rests(looks)
        self.after = self.traced.text()

    def calls(self):
        return numbered(calls_in(self.after))[len(numbered(calls_in(self.before))):]


class First(InALook):
    """The leader, which has to notice it for one behind, is stopped."""

    def wait_first(self, what, user=ROOT):
        self.traced = Traced(self.box, what, "run", *NEVER, "--only", 0, "--", "true", user=user)
        self.traced.rests()

    def served(self):
        return self.behind


class Dies(Scene):
    """The waiter that is stopped is killed there. By turns it is ahead of Alice's, which it keeps a card from; it
    has come last, so that nobody stands behind it. Hers, which is to be served, has looked meanwhile."""

    def set_going(self, what):
        stopped = self.traced.stopped()
        looks = self.box.looks(self.alice.pid)
        self.happen()
        wait_until(lambda: not self.alice.alive() or self.box.looks(self.alice.pid) > looks and rests(self.alice.pid),
                   "Alice's has looked, and rests")
        for pid in children_of(self.traced.process.pid):
            os.kill(pid, signal.SIGKILL)
        return stopped

    def served(self):
        return self.alice


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
        self.look_again(0, self.box.ring)


class ReserverEndsAsTheFirstLooks(First, ReserverEnds):
    def prepare(self, what):
        self.box.hold("--only", 0)
        self.box.hold("--only", 2)
        self.wait_first(what)
        self.reserver_comes()
        self.behind = self.box.wait_in_line(*NEVER, "--only", 1, user=BOB)
        self.look_again(0, self.box.ring)


# Two users, of whom one holds more: not the first to come is next.


class ReleaseForOneThatHoldsLess(Newcomer):
    """The claim on the card ends. It is for the newcomer: Bob, who leads, holds another card."""

    cards = 2
    options = ("--only", 0)
    user = ALICE

    def prepare(self, what):
        self.box.hold("--only", 1, user=BOB)
        self.holder = self.box.hold("--only", 0)
        self.box.wait_in_line(*NEVER, "--only", 0, user=BOB)
        self.come(what)

    def happen(self):
        self.holder.kill()


class ReleaseForOneThatHoldsLessAsTheFirstLooks(First, ReleaseForOneThatHoldsLess):
    def prepare(self, what):
        self.box.hold("--only", 1, user=BOB)
        self.holder = self.box.hold("--only", 0)
        self.wait_first(what, BOB)
        self.behind = self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.look_again(0, self.box.ring)


class ReleaseBringsForward(ReleaseForOneThatHoldsLess):
    """The claim on a card that nobody in line can use ends: by that its user, the newcomer, holds less than Bob."""

    cards = 4
    options = ("--only", 0)
    every = 2

    def prepare(self, what):
        self.box.hold("--only", 3)
        self.box.hold("--only", 1, user=BOB)
        self.holder = self.box.hold("--only", 2, user=ALICE)
        self.box.wait_in_line(*NEVER, "--only", "0,3", "-n", 2, user=BOB)
        self.come(what)


class TheLastDies(Dies, Newcomer):
    """A newcomer comes forward, and dies. Alice's, which leads, was just called."""

    cards = 2
    options = ("-n", 2, "--only", "0,1")
    user = BOB

    def prepare(self, what):
        self.first_comes()
        self.box.hold("--only", 1, user=ALICE)
        holder = self.box.hold("--only", 0)
        self.alice = self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.alice.stop()
        holder.kill()
        self.come(what)

    def first_comes(self):
        pass

    def happen(self):
        self.alice.signal(signal.SIGCONT)


class TheLastDiesBehindOthers(TheLastDies):
    """The same, but another one leads, which waits for another card, and knows of the newcomer only what that tells.
    (The second in line would tell it of the release.)"""

    cards = 3

    def first_comes(self):
        self.box.hold("--only", 2)
        for _ in range(2):
            self.box.wait_in_line(*NEVER, "--only", 2)


class TheLastDiesAsItLooks(Dies, InALook):
    """The last in line, which is ahead, dies in a later look."""

    cards = 2

    def prepare(self, what):
        self.box.hold("--only", 1, user=ALICE)
        self.holder = self.box.hold("--only", 0)
        self.alice = self.box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        self.traced = Traced(self.box, what, "run", *NEVER, "-n", 2, "--", "true", user=BOB)
        self.traced.rests()
        self.look_again(1, lambda: self.box.ring(1))

    def happen(self):
        self.holder.kill()


class TheLastDiesAsTheFirstLooks(First):
    """The last in line, which is ahead, dies while the leader looks at the card that it keeps from it."""

    cards = 2

    def prepare(self, what):
        self.box.hold("--only", 1, user=ALICE)
        holder = self.box.hold("--only", 0)
        self.wait_first(what, ALICE)
        self.bob = self.box.wait_in_line(*NEVER, "-n", 2, user=BOB)
        self.look_again(0, holder.kill)

    def happen(self):
        self.bob.kill()

    def served(self):
        return self.traced.process


# Shares.


class ShareEnds(Newcomer):
    """Of two shares the younger one ends."""

    cards = 1
    options = ("--share", 20000)
    every = 2

    def prepare(self, what):
        self.box.hold("--share", 20000, user=ALICE)
        self.holder = self.box.hold("--share", 20000, user=ALICE)
        self.come(what)

    def happen(self):
        self.holder.kill()


class RoomForOne(Newcomer):
    """Two shares come at once to a card that has room for one: each is served, the one after the other."""

    cards = 1
    options = ("--share", 30000)
    theirs = ("--share", 30000)

    def prepare(self, what):
        self.box.hold("--share", 5000, user=BOB)
        self.come_alone(what)

    def come_alone(self, what):
        # Without a process of its own, which strace would stop, too; and it leaves the room before it ends: what the
        # kernel lets go of for an ended process, locks and claims, it lets go of in any order.
        alone = "mkdir $ARGV[0] or exit 1; select undef, undef, undef, 0.02; rmdir $ARGV[0]"
        self.command = ("perl", "-e", alone, self.box.folder / "room")
        self.come(what)

    def calls(self):
        return numbered(up_to_the_command(calls_in(self.traced.text())))

    def happen(self):
        self.others = [self.box.start("run", *NEVER, *self.theirs, "--", *self.command, user=ALICE)]
        wait_until(lambda: rests(self.others[0].pid), "it rests, or has ended")


class RoomForAShareOrAll(RoomForOne):
    """A request for all of a card and one for a share of it come at once."""

    options = ()

    def prepare(self, what):
        self.come_alone(what)


class TheWholeKeepsRoom(Newcomer):
    """Of two shares one ends while a request for all of the card waits, and a small share behind it. Then the other."""

    cards = 1
    options = ("--share", 1000)
    every = 2

    def prepare(self, what):
        order = Order(self.box)
        self.names = order.names
        self.holders = [self.box.hold("--share", 20000, user=ALICE) for _ in range(2)]
        self.others = [self.box.wait_in_line(*NEVER, user=BOB, command=order.signs("whole"))]
        self.command = order.signs("share")
        self.come(what)

    def happen(self):
        self.holders[0].kill()

    def set_going(self, what):
        stopped = super().set_going(what)
        wait_until(lambda: all(map(rests, children_of(self.traced.process.pid))), "it rests, or has ended")
        assert self.names() == []
        self.holders[1].kill()
        return stopped

    def over(self):
        assert self.names() == ["whole", "share"]


class AShareEndsAsTheWholeLooks(InALook):
    """The other one of two shares ends while the leader, which wants all of the card, looks after the end of the one."""

    cards = 1
    every = 2

    def prepare(self, what):
        order = Order(self.box)
        self.names = order.names
        self.holders = [self.box.hold("--share", 20000, user=ALICE) for _ in range(2)]
        self.traced = Traced(self.box, what, "run", *NEVER, "--", *order.signs("whole"), user=BOB)
        self.traced.rests()
        self.others = [self.box.wait_in_line(*NEVER, "--share", 1000, command=order.signs("share"))]
        self.look_again(0, self.holders[0].kill)

    def happen(self):
        self.holders[1].kill()

    def served(self):
        return self.traced.process

    def over(self):
        assert self.names() == ["whole", "share"]


class PartOfAShareEnds(Newcomer):
    """Inside a share, a part of it ends. Another one is beside it on the card."""

    cards = 1
    options = ("--share", 10000)
    every = 2

    def prepare(self, what):
        outer = self.box.hold("--share", 20000)
        self.box.hold("--share", 20000, user=ALICE)
        inside = {"GPU_GATE_CLAIM": outer.claim}
        self.box.hold("--share", 5000, env=inside)
        self.holder = self.box.hold("--share", 10000, env=inside)
        self.come(what, env=inside)

    def happen(self):
        self.holder.kill()


@pytest.mark.parametrize("scene", [Release, ReleaseOfMemory, OutsiderEnds, ReserverEnds, OutsiderEndsAsTheFirstLooks,
                                   ReserverEndsAsTheFirstLooks, ReleaseForOneThatHoldsLess,
                                   ReleaseForOneThatHoldsLessAsTheFirstLooks, ReleaseBringsForward, TheLastDies,
                                   TheLastDiesBehindOthers, TheLastDiesAsItLooks, TheLastDiesAsTheFirstLooks, ShareEnds,
                                   RoomForOne, RoomForAShareOrAll, TheWholeKeepsRoom, AShareEndsAsTheWholeLooks,
                                   PartOfAShareEnds])
def test_what_happens_between_any_two_calls_is_not_slept_through(scene):
    def play(what=()):
        """One performance; returns the calls behind which the waiter can be stopped, whether it was, and whether
        whose turn it is was served soon."""
        actors = scene()
        with Box(cards=scene.cards) as actors.box:
            actors.prepare(what)
            stopped = actors.set_going(what)
            began = time.monotonic()
            for process in (actors.served(), *actors.others):
                assert process.finish() == 0, process
            actors.over()
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
    each([(name, nth) for name, nth in calls if name in SHARED and not name.of_driver][:: scene.every], check, AT_ONCE)
    assert sum(met) > 20
