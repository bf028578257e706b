"""Many in line, slow drivers, waiters that are stopped together: what a fair line costs, and how fast it goes on."""

import signal
import time

from at_once import at_once
from harness import ALICE, BOB, NEVER, Order, lateness, wait_until

CARDS = 16


def slow_down(box):
    """From here on a look at this machine's cards takes longer than all else; returns how long, in seconds."""
    box.extra.append("delay_ms 8")
    box.write()
    began = time.monotonic()
    assert box.run("wait", "--only", 0, "--timeout", 0).status in (0, 124)
    return time.monotonic() - began


def within_looks(order, count, look):
    """All have started by then; the same time again is for a machine that has more to do than sleep."""
    began = time.monotonic()
    wait_until(lambda: len(order.names()) == CARDS, f"{CARDS} jobs start", limit=10 * look * CARDS)
    took = time.monotonic() - began
    assert took < 2 * count * look + lateness(), f"{took:.1f} s for looks of {look:.1f} s"


@at_once
def test_all_for_whom_there_is_a_card_start_within_two_looks_of_a_slow_driver(make_box):
    box = make_box(cards=CARDS)
    order = Order(box)
    wide = box.hold("-n", CARDS)
    waiters = [box.wait_in_line(*NEVER, user=(ALICE, BOB)[i % 2], command=order.signs_and_stays(i)) for i in range(CARDS)]
    look = slow_down(box)
    wide.kill()
    within_looks(order, 2, look)
    assert sorted(waiter.wait_for(r"using GPU (\d+)")[1] for waiter in waiters) == sorted(str(i) for i in range(CARDS))


@at_once
def test_all_who_come_at_once_to_free_cards_start_within_two_looks_of_a_slow_driver(make_box):
    box = make_box(cards=CARDS)
    order = Order(box)
    look = slow_down(box)
    for i in range(CARDS):
        box.start("run", *NEVER, "--", *order.signs_and_stays(i), user=(ALICE, BOB)[i % 2])
    within_looks(order, 2, look)
    assert box.claimed() == list(range(CARDS))


@at_once
def test_who_is_in_a_slow_driver_is_not_passed_over_like_one_who_is_stopped(make_box):
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold(user=BOB)
    first = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("first"))
    second = box.wait_in_line(*NEVER, user=BOB, command=order.signs("second"))
    box.log_calls()
    box.extra.append("delay_ms 1000")  # for each of some eight questions
    box.write()
    holder.kill()
    wait_until(lambda: box.looks(first.pid), "the first is in the driver")
    box.ring(0)      # which it hears only when it is out again
    box.extra.pop()  # for all who look from here on
    box.write()
    for process in (first, second):
        assert process.finish() == 0
    assert order.names() == ["first", "second"]


# How often the first looks.


@at_once
def test_a_short_poll_behind_the_first_counts(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0)
    outsider = box.start_plain("sleep", 1000)
    box.set(1, util=97)
    box.list_processes(f"gpu=1 pid={outsider.pid} memory=300 type=compute")
    first = box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    second = box.wait_in_line("--only", 1, "--max-util", 10, "--poll", 0.1, user=BOB)
    box.log_calls()
    began = time.monotonic()
    box.wait_for_looks(8)
    took = time.monotonic() - began
    assert 6 < took < 12 + lateness(), f"{took:.1f} s for 8 looks, one a second"
    assert box.looks(second.pid) == 0
    box.set(1, util=0)
    assert second.finish(5) == 0
    assert first.alive()


# Many that are stopped.


def stopped_ahead(make_box, count):
    """One who waits behind so many that are stopped as the card is given back; returns how long until it runs,
    the stopped ones, and who runs in which order."""
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold(user=BOB)
    stopped = [box.wait_in_line(*NEVER, user=ALICE, command=order.signs(i)) for i in range(count)]
    behind = box.wait_in_line(*NEVER, user=BOB, command=order.signs_and_stays("behind"))
    for process in reversed(stopped):
        box.stop_between_looks(process)
    holder.kill()
    began = time.monotonic()
    wait_until(order.names, "the one behind runs", limit=20 * (count + 1))
    return time.monotonic() - began, box, stopped, behind, order


@at_once
def test_ten_who_are_stopped_are_passed_over_in_the_time_of_one(make_box):
    one = stopped_ahead(make_box, 1)[0]
    took, box, stopped, behind, order = stopped_ahead(make_box, 10)
    # Behind one that is stopped, the second watches the release itself; behind ten, up to 5 s pass until anybody asks.
    assert took < 2.5 * one + lateness(), f"{took:.1f} s for ten, {one:.1f} s for one"
    for process in stopped:
        process.signal(signal.SIGCONT)
    wait_until(lambda: all(box.answered(bell) for bell in box.bells()), "all answer their bells")
    behind.kill()
    for process in stopped:
        assert process.finish() == 0
    assert order.names() == ["behind", *(str(i) for i in range(10))]


@at_once
def test_ten_who_are_stopped_behind_one_who_is_awake_are_passed_over_together(make_box):
    def take(count):
        box = make_box(cards=2)
        box.hold("--only", 0, user=BOB)
        holder = box.hold("--only", 1, user=BOB)
        box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
        stopped = [box.wait_in_line(*NEVER, user=ALICE) for _ in range(count)]
        behind = box.wait_in_line(*NEVER, user=BOB)
        for process in stopped:
            box.stop_between_looks(process)
        holder.kill()
        began = time.monotonic()
        assert behind.finish(20 * count) == 0
        return time.monotonic() - began

    one, ten = take(1), take(10)
    assert ten < 1.5 * one + lateness(), f"{ten:.1f} s for ten, {one:.1f} s for one"
