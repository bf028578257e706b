"""The line: first come, first served among users that hold equally much (test_turns.py has the rest)."""

import os
import random
import signal
import time

import pytest

from at_once import at_once
from harness import ALICE, BOB, LIMIT, NEVER, Order, children_of, each, lateness, wait_until

ANSWER = 5.0   # seconds until a waiter that does not answer is passed over
SETTLE = 10.0  # seconds that a card is kept for a waiter that cannot use it yet


# Order.


def test_many_waiters_of_two_users_start_in_the_order_they_came(box):
    order = Order(box)
    holder = box.hold(user=BOB)
    waiters = [
        box.wait_in_line(*NEVER, user=(ALICE, BOB)[i % 2], command=order.signs(i)) for i in range(24)
    ]
    holder.kill()
    for waiter in waiters:
        assert waiter.finish() == 0
    assert order.names() == [str(i) for i in range(24)]


def test_a_newcomer_never_overtakes_the_one_who_waits(box):
    for _ in range(15):
        order = Order(box)
        holder = box.hold(user=ALICE)
        waiter = box.wait_in_line(*NEVER, user=BOB, command=order.signs("waiter"))
        holder.signal(signal.SIGKILL)
        newcomers = [box.start("run", *NEVER, "--", *order.signs("newcomer"), user=ALICE) for _ in range(2)]
        for process in (waiter, *newcomers):
            assert process.finish() == 0
        assert order.names() == ["waiter", "newcomer", "newcomer"]


def test_a_newcomer_that_tries_once_does_not_overtake(make_box):
    box = make_box(cards=2)
    holder = box.hold()
    big = box.wait_in_line("-n", 2, user=ALICE)
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 124
    holder.kill()
    assert big.finish() == 0
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0


def test_the_place_in_line_is_told(box):
    box.hold()
    waiters = [box.wait_in_line(user=user) for user in (ALICE, BOB, ALICE)]
    for waiter, place in zip(waiters, ("1st", "2nd", "3rd")):
        assert waiter.lines[-1] == f"gpu-gate: {place} in line"
    waiters[0].signal(signal.SIGTERM)
    waiters[1].wait_for("1st in line")
    assert box.waiting() == 2


def test_a_request_for_many_cards_is_not_starved_by_small_ones(make_box):
    box = make_box(cards=2)
    order = Order(box)
    holders = [box.hold(user=BOB), box.hold(user=BOB)]
    big = box.wait_in_line(*NEVER, "-n", 2, user=ALICE, command=order.signs("big"))
    small = [box.wait_in_line(*NEVER, user=BOB, command=order.signs("small")) for _ in range(3)]
    holders[0].kill()
    # From here on one card is free; all others, waiting or new, leave it to the big one.
    small.append(box.wait_in_line(*NEVER, user=BOB, command=order.signs("small")))
    assert "kept for somebody ahead in line" in small[-1].err
    assert box.run("run", "--timeout", 0, "--", *order.signs("small")).status == 124
    assert order.names() == []
    holders[1].kill()
    for process in (big, *small):
        assert process.finish() == 0
    assert order.names() == ["big"] + 4 * ["small"]


def test_a_card_that_nobody_ahead_is_allowed_to_use_goes_to_a_newcomer_at_once(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0, user=ALICE)
    box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    assert box.run("run", "--timeout", 0, "--only", "0,1", "--", "true", user=BOB).status == 0


def test_a_card_too_small_for_those_ahead_goes_to_a_newcomer_at_once(make_box):
    box = make_box(cards=2)
    box.set(1, memory=12000)
    box.hold("--only", 0, user=ALICE)
    box.wait_in_line(*NEVER, "--min-free-mb", 20000, user=ALICE)
    done = box.run("run", "--timeout", 0, "--min-free-mb", 8000, "--", "sh", "-c", "echo $GPU_GATE_INDICES", user=BOB)
    assert (done.status, done.out) == (0, "1\n"), done.err


def test_a_released_card_wakes_the_later_waiter_who_alone_can_use_it(make_box):
    box = make_box(cards=3)
    box.hold("--only", 0, user=ALICE)
    other = box.hold("--only", 2, user=ALICE)
    box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    box.hold("--only", 1)
    box.wait_in_line(*NEVER, "--only", 1, user=BOB)
    later = box.wait_in_line(*NEVER, "--only", 2, user=BOB)
    other.kill()
    assert later.finish(5) == 0


def test_whoever_waits_behind_one_that_gives_up_gets_what_was_kept_for_that_one(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0)
    big = box.wait_in_line(*NEVER, "-n", 2, user=ALICE)
    small = [box.wait_in_line(*NEVER, "--only", only, user=BOB) for only in (0, 1)]
    big.signal(signal.SIGKILL)
    assert small[1].finish(5) == 0
    assert small[0].alive()


# Cards that those ahead could use, but not as they are now.


@at_once
def test_a_card_in_use_in_part_goes_to_a_later_waiter_after_ten_seconds(make_box):
    box = make_box(cards=1)
    box.outsider(memory=20000, user=ALICE)
    first = box.wait_in_line(*NEVER, "--min-free-mb", 40000, user=ALICE)
    began = time.monotonic()
    modest = box.start("run", *NEVER, "--min-free-mb", 0, "--", "sleep", 1000, user=BOB)
    modest.wait_for("kept briefly for somebody ahead in line")
    modest.wait_for("using GPU 0", SETTLE + LIMIT)
    took = time.monotonic() - began
    assert SETTLE - 0.2 <= took <= SETTLE + 2 + lateness()
    assert first.alive()


@at_once
def test_a_card_that_one_ahead_may_soon_use_is_not_taken_before_ten_seconds(make_box):
    box = make_box(cards=1)
    order = Order(box)
    outsider = box.outsider(memory=20000)
    first = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("first"))
    modest = box.wait_in_line(*NEVER, "--min-free-mb", 0, user=BOB, command=order.signs("modest"))
    time.sleep(SETTLE - 2)  # the promise itself: so long nothing happens
    assert order.names() == []
    outsider.kill()
    assert first.finish(5) == 0
    assert modest.finish(5) == 0
    assert order.names() == ["first", "modest"]


def counts_again_after(make_box, unusable, seen):
    """A waiter that counts the ten seconds cannot use the card for a moment, which the leader does not see."""
    box = make_box(cards=1)
    box.set(0, used=20000)
    first = box.wait_in_line(*NEVER, "--min-free-mb", 40000, user=ALICE)
    modest = box.wait_in_line(*NEVER, "--min-free-mb", 8000, user=BOB)
    box.log_calls()
    box.ring(0)
    wait_until(lambda: box.looks(first.pid) and box.looks(modest.pid), "the first has looked and told the other to, who did")
    box.stop_between_looks(first)
    box.set(0, **unusable)
    box.ring(1)
    modest.wait_for(seen)
    box.set(0, used=20000, lost=None)
    first.signal(signal.SIGCONT)
    assert modest.finish(SETTLE + ANSWER) == 0
    assert first.alive()


@at_once
def test_who_counts_begins_again_after_it_had_too_little_memory(make_box):
    counts_again_after(make_box, {"used": 45000}, "468 MiB free, 8000")


@at_once
def test_who_counts_begins_again_after_the_card_was_lost(make_box):
    counts_again_after(make_box, {"lost": 1}, "GPU 0: .*(lost|bus)")


def test_a_card_whose_memory_is_being_freed_is_not_snatched_from_the_first_in_line(box):
    order = Order(box)
    holder = box.hold_memory(user=ALICE, linger=0.7)
    first = box.wait_in_line(*NEVER, user=BOB, command=order.signs("first"))
    modest = box.wait_in_line(*NEVER, "--min-free-mb", 0, user=ALICE, command=order.signs("modest"))
    holder.kill()
    first.wait_for("in use by no visible process")
    newcomer = box.wait_in_line(*NEVER, "--min-free-mb", 0, user=ALICE, command=order.signs("newcomer"))
    for process in (first, modest, newcomer):
        assert process.finish(5) == 0
    assert order.names() == ["first", "modest", "newcomer"]


@pytest.mark.parametrize("gate", [True, False], ids=["a job", "an outsider"])
def test_memory_that_is_freed_later_is_noticed_for_one_behind_who_alone_can_use_the_card(make_box, gate):
    box = make_box(cards=2)
    box.extra = ["linger_ms 300"]
    box.write()
    box.hold("--only", 0)
    user = box.hold_memory("--only", 1, user=ALICE) if gate else box.outsider(1, memory=20000)
    box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    behind = box.wait_in_line(*NEVER, "--only", 1, user=BOB)
    user.kill()
    assert behind.finish(ANSWER - 1) == 0  # before it begins to ask by itself


def test_memory_that_is_being_freed_as_one_joins_behind_is_noticed(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0)
    box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    box.set(1, used=20000)
    behind = box.start("run", *NEVER, "--only", 1, "--", "true", user=BOB)
    behind.wait_for("in use by no visible process")
    box.set(1, used=0)
    assert behind.finish(ANSWER - 1) == 0


def looks_become_seldom_and_end(box, prepare):
    """A card that is given back but never gets free: after half a minute there are no looks but the polls."""
    holder = box.hold()
    waiter = box.wait_in_line(*NEVER)
    box.log_calls()
    prepare()
    holder.kill()
    waiter.wait_for("GPU 0: .*in use")
    seen = [(time.monotonic(), box.looks())]

    def quiet():
        if box.looks() != seen[-1][1]:
            seen.append((time.monotonic(), box.looks()))
        return time.monotonic() - seen[-1][0] > 3

    wait_until(quiet, "it looks no more", limit=90)
    assert 100 < box.looks() < 250
    assert 25 < seen[-1][0] - seen[0][0] < 40 + lateness()
    assert waiter.alive()


@at_once
def test_the_looks_for_memory_that_no_process_holds_become_seldom_and_end(make_box):
    box = make_box(cards=1)
    looks_become_seldom_and_end(box, lambda: box.set(0, used=20000))


@at_once
def test_the_looks_for_a_process_of_another_pid_namespace_become_seldom_and_end(make_box):
    box = make_box(cards=1)
    looks_become_seldom_and_end(box, lambda: box.list_processes("gpu=0 pid=4194304 memory=300 type=compute"))


# Waiters that are stopped.


def passed_over_after_five_seconds(process, began, slack=2.0):
    """But not sooner than that since it began, when those ahead were stopped or their turn came."""
    assert process.finish(ANSWER + slack) == 0
    assert time.monotonic() - began >= ANSWER - 0.3, "it was passed over too soon"


def goes_on(box, process):
    """A stopped waiter runs again, and has answered its bell: only then it is not passed over any more."""
    bell = box.bell_of(process)
    process.signal(signal.SIGCONT)
    wait_until(lambda: box.answered(bell), "it answers its bell")


NOTICE = 5.0  # where nobody was about to look: as long again until somebody asks whether the first does


@at_once
def test_the_first_stopped_before_the_release_is_passed_over_and_served_again(make_box):
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold(user=BOB)
    first = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("first"))
    second = box.wait_in_line(*NEVER, user=BOB, command=order.signs_and_stays("second"))
    third = box.wait_in_line(*NEVER, user=BOB, command=order.signs("third"))
    began = time.monotonic()
    box.stop_between_looks(first)
    holder.kill()
    wait_until(order.names, "the second runs", ANSWER + 2)
    assert time.monotonic() - began >= ANSWER - 0.3
    goes_on(box, first)
    second.kill()
    for process in (first, third):
        assert process.finish(5) == 0
    assert order.names() == ["second", "first", "third"]


@at_once
def test_the_first_stopped_after_the_release_is_passed_over(make_box):
    box = make_box(cards=1)
    holder = box.hold_memory(linger=1.5)
    first = box.wait_in_line(*NEVER, user=ALICE)
    second = box.wait_in_line(*NEVER, user=BOB)
    holder.kill()
    began = time.monotonic()
    first.wait_for("in use by no visible process")  # it has looked; the memory is not free yet
    box.stop_between_looks(first)
    passed_over_after_five_seconds(second, began, slack=NOTICE + 3.5)  # 1.5 s of it the memory's
    first.signal(signal.SIGCONT)
    assert first.finish(5) == 0


@at_once
def test_the_first_stopped_while_an_outsider_has_the_card_is_passed_over(make_box):
    box = make_box(cards=1)
    outsider = box.start_plain(box.sim_job, "--for", -1, env={"CUDA_VISIBLE_DEVICES": 0})
    wait_until(lambda: box.status()[0]["processes"], "the outsider is on the card")
    first = box.wait_in_line("--poll", 0.2, user=ALICE)
    second = box.wait_in_line("--poll", 0.2, user=BOB)
    began = time.monotonic()
    box.stop_between_looks(first)
    outsider.kill()
    passed_over_after_five_seconds(second, began, slack=NOTICE + 2)
    first.signal(signal.SIGCONT)
    assert first.finish(5) == 0


@at_once
def test_the_second_stopped_is_passed_over_when_its_turn_comes(make_box):
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold()
    first = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("first"))
    second = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("second"))
    third = box.wait_in_line(*NEVER, user=BOB, command=order.signs("third"))
    box.stop_between_looks(second)
    began = time.monotonic()
    holder.kill()
    assert first.finish(3) == 0
    passed_over_after_five_seconds(third, began, slack=NOTICE + 2)
    second.signal(signal.SIGCONT)
    assert second.finish(5) == 0
    assert order.names() == ["first", "third", "second"]


@at_once
def test_one_stopped_in_the_middle_is_passed_over_when_a_long_job_ahead_ends(make_box):
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold()
    first = box.wait_in_line(*NEVER, user=ALICE, command=order.signs_and_stays("first"))
    middle = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("middle"))
    last = [box.wait_in_line(*NEVER, user=BOB, command=order.signs("last")) for _ in range(2)]
    box.stop_between_looks(middle)
    holder.kill()
    wait_until(order.names, "the first runs")
    time.sleep(ANSWER + 0.5)  # so long the job runs
    first.kill()
    assert last[0].finish(ANSWER + NOTICE + 2) == 0  # at once, if the silent one has been asked before
    assert last[1].finish(5) == 0
    middle.signal(signal.SIGCONT)
    assert middle.finish(5) == 0
    assert order.names() == ["first", "last", "last", "middle"]


@at_once
def test_the_first_two_stopped_are_passed_over(make_box):
    box = make_box(cards=1)
    holder = box.hold()
    stopped = [box.wait_in_line(*NEVER, user=ALICE) for _ in range(2)]
    third = box.wait_in_line(*NEVER, user=BOB)
    began = time.monotonic()
    for process in stopped:
        box.stop_between_looks(process)
    holder.kill()
    passed_over_after_five_seconds(third, began, slack=ANSWER + NOTICE + 2)
    for process in stopped:
        process.signal(signal.SIGCONT)
    for process in stopped:
        assert process.finish(5) == 0


@at_once
def test_a_stopped_waiter_keeps_a_newcomer_off_for_five_seconds_only(make_box):
    box = make_box(cards=1)
    holder = box.hold()
    first = box.wait_in_line(*NEVER, user=ALICE)
    began = time.monotonic()
    box.stop_between_looks(first)
    holder.kill()
    newcomer = box.start("run", *NEVER, "--", "true", user=BOB)
    passed_over_after_five_seconds(newcomer, began)
    first.signal(signal.SIGCONT)
    assert first.finish(5) == 0


@at_once
def test_a_waiter_killed_while_stopped_leaves_the_line_at_once(make_box):
    box = make_box(cards=1)
    holder = box.hold()
    first = box.wait_in_line(*NEVER, user=ALICE)
    second = box.wait_in_line(*NEVER, user=BOB)
    box.stop_between_looks(first)
    first.kill()
    holder.kill()
    assert second.finish(3) == 0


def test_a_card_that_returns_is_kept_for_whoever_joined_while_it_was_lost(make_box):
    box = make_box(cards=3)
    box.hold("--only", 0)
    box.hold("--only", 1)
    box.set(2, lost=1)
    box.wait_in_line(*NEVER, "--only", 0)
    restricted = box.wait_in_line(*NEVER, "--exclude", 0, user=ALICE)
    box.set(2, lost=None)
    assert box.run("run", "--timeout", 0, "--exclude", 0, "--", "true", user=BOB).status == 124
    assert restricted.finish() == 0


def test_a_card_that_returns_is_not_kept_for_one_ahead_who_may_not_have_it(make_box):
    box = make_box(cards=4)  # the last is free, and nobody wants it
    box.hold("--only", 0)
    box.hold("--only", 1)
    box.set(2, lost=1)
    first = box.wait_in_line("--poll", 0.05, "--only", 0, user=ALICE)
    second = box.wait_in_line(*NEVER, "--only", 1, user=ALICE)
    box.wait_for_looks(2)  # the first knows what the second wants
    box.set(2, lost=None)
    last = box.start("run", *NEVER, "--only", 2, "--", "true", user=BOB)
    assert last.finish(ANSWER - 1) == 0  # without waiting for an answer
    assert first.alive() and second.alive()


# wait.


def test_wait_stands_in_the_same_line_and_holds_nothing_afterwards(box):
    order = Order(box)
    holder = box.hold(user=ALICE)
    first = box.start("wait", *NEVER, user=BOB)
    first.wait_for("1st in line")
    behind = box.wait_in_line(*NEVER, user=ALICE, command=order.signs_and_stays("run"))
    last = box.start("wait", *NEVER, user=BOB)
    last.wait_for("3rd in line")
    assert first.out == ""
    holder.kill()
    assert first.finish() == 0
    assert first.out == "0\n"
    wait_until(order.names, "the job runs")
    last.wait_for("1st in line")
    assert last.alive() and last.out == ""
    behind.kill()
    assert last.finish() == 0
    assert last.out == "0\n"
    assert box.status()[0]["claim"] is None


def test_wait_for_many_cards_is_not_starved(make_box):
    box = make_box(cards=2)
    holders = [box.hold(), box.hold()]
    both = box.start("wait", *NEVER, "-n", 2, user=ALICE)
    both.wait_for("in line")
    small = box.wait_in_line(*NEVER, user=BOB)
    holders[0].kill()
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 124
    assert both.alive() and small.alive()
    holders[1].kill()
    assert both.finish() == 0
    assert both.out == "0,1\n"
    assert small.finish() == 0


# Waiters that end.


def test_a_waiter_that_dies_leaves_the_line_at_once_without_running_its_command(make_box):
    def check(place, number):
        box = make_box(cards=1)
        order = Order(box)
        holder = box.hold()
        waiters = {name: box.wait_in_line(*NEVER, user=user, command=order.signs(name))
                   for name, user in (("first", ALICE), ("middle", BOB), ("last", ALICE))}
        gone = waiters.pop(place)
        gone.signal(number)
        assert gone.finish() == -number
        assert box.waiting() == 2
        holder.kill()
        for waiter in waiters.values():
            assert waiter.finish(5) == 0
        assert order.names() == list(waiters)

    signals = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    each([(place, number) for place in ("first", "middle", "last") for number in signals], check)


def test_a_shell_sees_the_signal_that_ended_a_waiter(box):
    box.hold()
    for number, status in ((signal.SIGHUP, 129), (signal.SIGINT, 130), (signal.SIGTERM, 143)):
        # In the foreground: without job control a shell starts a background command with SIGINT ignored.
        shell = box.start_plain("sh", "-c", f'"{box.gate}" run -- true; echo status $?')
        shell.wait_for("in line")
        [pid] = children_of(shell.pid)
        os.kill(pid, number)
        shell.wait_for(f"^status {status}$", stdout=True)


def test_an_ignored_sighup_is_ignored_while_waiting_and_by_the_command(box):
    holder = box.hold()
    waiter = box.start("run", "--", "sh", "-c", "kill -HUP $$; echo alive",
                       preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    waiter.wait_for("in line")
    waiter.signal(signal.SIGHUP)
    assert box.waiting() == 1
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.out == "alive\n"


# --timeout.


def test_a_timeout_is_kept_however_long_the_poll_is(box):
    box.hold()
    for seconds in (0.3, 1.2):
        began = time.monotonic()
        done = box.run("run", *NEVER, "--timeout", seconds, "--", "true")
        took = time.monotonic() - began
        assert done.status == 124
        assert seconds <= took <= seconds + 0.5 + lateness()
        assert box.waiting() == 0


def test_a_timeout_of_zero_is_one_try(box):
    holder = box.hold()
    began = time.monotonic()
    assert box.run("run", "--timeout", 0, "--", "true").status == 124
    assert box.run("wait", "--timeout", 0).status == 124
    assert time.monotonic() - began < 1 + lateness()
    holder.kill()
    done = box.run("run", "--timeout", 0, "--", "echo", "ran")
    assert (done.status, done.out) == (0, "ran\n")
    assert box.run("wait", "--timeout", 0).out == "0\n"


def test_a_timeout_never_counts_the_running_command(box):
    done = box.run("run", "--timeout", 0.2, "--", "sh", "-c", "sleep 0.6; exit 7")
    assert done.status == 7


def test_one_whose_time_is_up_leaves_the_line_to_those_behind(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0)
    big = box.start("run", *NEVER, "-n", 2, "--timeout", 1, "--", "true", user=ALICE)
    big.wait_for("in line")
    small = box.wait_in_line(*NEVER, user=BOB)
    assert big.finish() == 124
    assert small.finish(3) == 0


# Lost wake-ups.


def test_no_release_is_ever_missed(make_box):
    """Hundreds of releases at random moments against newcomers and waiters. The next look never comes
    by itself, so a release that somebody missed would leave him in line until his time is up."""
    box = make_box(cards=2)
    seed = int(os.environ.get("GPU_GATE_SEED", random.randrange(1 << 31)))
    print("GPU_GATE_SEED", seed)
    loop = """
        RANDOM=$1; shift
        for round in $(seq $1); do
            "$GATE" "${@:2}" sleep 0.00$((RANDOM % 10)) || { echo "round $round: status $?"; exit 1; }
            [ $((RANDOM % 3)) = 0 ] || sleep 0.00$((RANDOM % 10))
        done
        echo finished"""
    limits = (*NEVER, "--timeout", 15)
    requests = [("run", *limits, "--"), ("run", *limits, "--"), ("run", *limits, "-n", 2, "--"),
                ("run", *limits, "--only", 1, "--"), ("run", *limits, "--min-free-mb", 0, "--")]
    loops = [
        box.start_plain("bash", "-c", loop, "loop", (seed + i) % 32768, 80, *request,
                        user=(ALICE, BOB)[i % 2], env={"GATE": box.gate})
        for i, request in enumerate(requests)
    ]
    for process in loops:
        assert process.finish(90) == 0, process
        assert process.out == "finished\n"


def test_no_release_is_missed_by_a_single_waiter(box):
    """The release comes at any moment between the waiter's start and its sleep."""
    rng = random.Random(int(os.environ.get("GPU_GATE_SEED", 1)))
    for _ in range(60):
        holder = box.hold(user=ALICE)
        waiter = box.start("run", *NEVER, "--", "true", user=BOB)
        time.sleep(rng.uniform(0, 0.008))  # the random moment itself
        holder.signal(signal.SIGKILL)
        assert waiter.finish(10) == 0
        holder.wait()


def test_a_lost_card_that_returns_is_not_taken_for_one_that_a_waiter_ahead_may_have(make_box):
    box = make_box(cards=2)
    holder = box.hold("--only", 1)
    box.set(0, lost=1)
    first = box.wait_in_line("--only", 1, *NEVER)
    second = box.start("run", *NEVER, "--", "printenv", "GPU_GATE_INDICES")
    second.wait_for("2nd in line")
    box.stop_between_looks(first)
    box.set(0, lost=None)
    began = time.monotonic()
    box.ring(1)
    assert second.finish() == 0 and second.out == "0\n"
    assert time.monotonic() - began < 3 + lateness(), "it has not waited until the one ahead is passed over"
    first.signal(signal.SIGCONT)
    holder.kill()
    assert first.finish() == 0
