"""Many in line, slow drivers, waiters that are stopped together: what a fair line costs, and how fast it goes on."""

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
