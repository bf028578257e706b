"""Which cards go together: NVLink and the ways over PCI express decide among cards that are alike."""

import pathlib

import pytest

from harness import ALICE, BOB, wait_until

MACHINES = pathlib.Path(__file__).parents[2] / "sim/machines"
LINK_CALLS = ("nvmlDeviceGetTopologyCommonAncestor", "nvmlDeviceGetNvLinkState", "nvmlDeviceGetNvLinkRemotePciInfo_v2")
ALL_DRIVERS = ("current", "r535", "old")


@pytest.fixture
def example(make_box):
    """A box with the cards and links of sim/machines: example("dgx-1v")."""

    def make(name, variant="current"):
        box = make_box(cards=0, variant=variant)
        box.extra = (MACHINES / f"{name}.txt").read_text().splitlines()
        box.log_calls()
        return box

    return make


@pytest.fixture
def linked(make_box):
    """Cards without a word about PCI express, and these NVLinks: linked(4, "01", "23")."""

    def make(cards, *pairs):
        box = make_box(cards=cards)
        box.extra = [f"link gpu={a} to={b} count=4" for a, b in pairs]
        box.log_calls()
        return box

    return make


def given(box, *options, env=None):
    """The cards that a job gets, which has ended when this returns."""
    done = box.run("run", "-q", "--timeout", "0", *options, "--", "printenv", "GPU_GATE_INDICES", env=env)
    assert done.status == 0, done.err
    return done.out.strip()


def link_calls(box):
    calls = [line.split() for line in box.calls()]
    return sum(name in LINK_CALLS for _, name in calls)


# Boxes.

@pytest.mark.parametrize("variant", ALL_DRIVERS)
def test_the_halves_of_a_dgx_1v_go_to_two_jobs_for_four(example, variant):
    box = example("dgx-1v", variant)
    assert [box.hold("-n", "4").held for _ in range(2)] == ["0,1,2,3", "4,5,6,7"]


def test_a_job_for_four_on_a_dgx_1v_gets_the_half_that_is_whole(example):
    box = example("dgx-1v")
    box.hold()
    taken = box.hold("--only", "2")
    assert given(box, "-n", "4") == "4,5,6,7"
    taken.kill()


def test_jobs_for_two_on_a_dgx_1v_get_cards_with_two_links(example):
    box = example("dgx-1v")
    double = ("0,3", "0,4", "1,2", "1,5", "2,3", "4,7", "5,6", "6,7")
    held = [box.hold("-n", "2").held for _ in range(4)]
    assert all(pair in double for pair in held[:2]), held


@pytest.mark.parametrize("variant", ALL_DRIVERS)
def test_on_an_nvswitch_pci_express_decides(example, variant):
    box = example("dgx-h100", variant)
    box.hold("--only", "0")
    assert box.hold("-n", "4").held == "4,5,6,7"
    assert given(box, "-n", "2") == "1,2"


def test_one_job_on_an_nvswitch_does_not_break_up_a_socket_that_is_whole(example):
    box = example("dgx-h100")
    box.hold("--only", "6")
    assert [box.hold().held for _ in range(3)] == ["4", "5", "7"]


@pytest.mark.parametrize("variant", ALL_DRIVERS)
def test_crossed_bridges_are_followed(example, variant):
    box = example("four-crossed", variant)
    assert [box.hold("-n", "2").held for _ in range(2)] == ["0,3", "1,2"]


def test_bridged_pairs_are_kept(example):
    box = example("eight-bridged")
    box.hold("--only", "3")
    assert box.hold("-n", "2").held == "0,1"
    assert box.hold().held == "2"
    assert box.hold("-n", "4").held == "4,5,6,7"


def test_without_nvlink_the_nearest_cards_go_together(example):
    box = example("two-sockets")
    box.hold("--only", "1")
    assert box.hold("-n", "2").held == "2,3"
    assert box.hold("-n", "4").held == "4,5,6,7"
    assert given(box) == "0"


def test_with_a_lost_card_the_links_are_those_of_the_others(example):
    box = example("dgx-1v")
    box.extra = [line + " lost=1" if "pci=0000:06" in line else line for line in box.extra]
    box.write()
    assert given(box, "-n", "4") == given(box, "-n", "4", "--exclude", "1")


# Among cards that are alike, and no others.

def test_memory_ranks_first(linked):
    box = linked(4, "01", "23")
    box.hold("--only", "1")
    for used, chosen in ((0, "2,3"), (921, "2,3"), (922, "0,2")):  # 2 % of 46068 MiB are 921
        box.set(3, used=used)
        assert given(box, "-n", "2", "--min-free-mb", "1000") == chosen, used


def test_a_card_that_is_more_than_ten_points_busier_is_not_alike(linked):
    box = linked(4, "01", "23")
    box.hold("--only", "1")
    for util, chosen in ((10, "2,3"), (11, "0,2")):
        box.set(3, util=util)
        assert given(box, "-n", "2", "--max-util", "50") == chosen, util


def test_one_job_takes_the_odd_card(linked):
    box = linked(5, "01", "23")
    assert given(box) == "4"
    box.hold("--only", "3")
    assert box.hold().held == "2"
    assert box.hold().held == "4"
    assert given(box) == "0"


def test_where_nothing_is_known_of_links_the_ranking_holds(linked):
    box = linked(4)
    assert (given(box), given(box, "-n", "2"), given(box, "-n", "3")) == ("0", "0,1", "0,1,2")
    box.set(0, used=1)
    box.set(2, used=1)
    assert (given(box), given(box, "-n", "2"), given(box, "-n", "3")) == ("1", "1,3", "0,1,3")


def test_a_driver_that_fails_to_tell_costs_the_links_only(example):
    for error in (3, 13, 999):
        box = example("dgx-1v")
        box.extra += [f"fails {call} {error}" for call in LINK_CALLS]
        box.write()
        box.hold("--only", "0")
        assert given(box, "-n", "4") == "1,2,3,4", error


def test_only_and_exclude_limit_the_sets(linked):
    box = linked(6, "01", "23", "45")
    assert given(box, "-n", "2", "--only", "0,2,4,5") == "4,5"
    assert given(box, "-n", "2", "--exclude", "0") == "2,3"
    assert given(box, "--only", "0,1,2") == "2"


def test_wait_and_hold_choose_the_same(linked):
    box = linked(4, "03", "12")
    assert box.run("wait", "-n", "2", "--only", "1-3").out == "1,2\n"
    assert box.run("hold", "-n", "2", "--exclude", "0", "--for", "0").out == "1,2\n"


def test_inside_a_claim_its_own_cards_are_chosen_by_their_links(linked):
    box = linked(6, "05", "23")
    outer = box.hold("-n", "4", "--only", "0-3")
    env = {"GPU_GATE_CLAIM": outer.claim}
    assert given(box, "-n", "2", env=env) == "2,3"
    assert given(box, env=env) == "0"


def test_shares_go_by_their_room_and_not_by_links(linked):
    box = linked(4, "23")
    assert given(box, "-n", "2", "--share", "8000") == "0,1"
    assert link_calls(box) == 0


# What it costs.

def test_links_are_asked_for_only_where_they_matter(example, make_box):
    box = example("dgx-1v")
    assert given(box, "-n", "8") == "0,1,2,3,4,5,6,7"
    assert given(box, "--only", "5") == "5"
    assert given(box, "-n", "2", "--only", "5,0") == "0,5"
    box.run("status")
    box.hold("-n", "7", "--exclude", "3")
    assert given(box) == "3"
    assert link_calls(box) == 0
    one = make_box(cards=1)
    one.log_calls()
    assert given(one) == "0"
    assert link_calls(one) == 0


def test_links_are_asked_for_once_in_a_session(linked):
    box = linked(3, "01")
    box.hold("--only", "2", user=ALICE)
    pair = box.hold("-n", "2", user=ALICE)
    leader = box.wait_in_line("--poll", "0.05", user=ALICE)
    box.wait_in_line("-n", "3", user=BOB)  # comes later, is ahead by turns, and keeps the two cards
    pair.kill()

    def calls(name):
        return box.calls().count(f"{leader.pid} {name}")

    wait_until(lambda: calls("nvmlDeviceGetTopologyCommonAncestor"), "the leader asks for links")
    before = box.looks(leader.pid)
    wait_until(lambda: box.looks(leader.pid) > before + 10, "ten more looks")
    assert calls("nvmlDeviceGetTopologyCommonAncestor") <= 3 * calls("nvmlInit_v2")
    assert box.looks(leader.pid) > 2 * calls("nvmlInit_v2")
