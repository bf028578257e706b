"""Several jobs on one GPU: run --share M."""

import json
import os
import re
import signal

import pytest

from harness import ALICE, BOB, NEVER, Order, wait_until

USABLE = 45468  # MiB of a simulated card


def job(box, *options, memory=None, **rest):
    """One that takes memory on its cards, its share unless told otherwise, and keeps it."""
    taking = [] if memory is None else ["--memory", memory]
    process = box.start("run", *options, "--", box.sim_job, "--for", -1, *taking, **rest)
    process.wait_for(r"holds \d+ MiB", stdout=True)
    return process


def got(box, *options, **rest):
    """The cards that a request gets at once, as a string, or the exit status."""
    done = box.run("run", "-q", "--timeout", "0", *options, "--", "printenv", "GPU_GATE_INDICES", **rest)
    return done.out.strip() if done.status == 0 else done.status


def claims_on(box, card=0):
    return [(claim["user"], claim["share_mb"]) for claim in box.status()[card]["claims"]]


# Room.

def test_cards_take_shares_as_long_as_there_is_room(box):
    box.hold("--share", 20000)
    box.hold("--share", 20000, user=BOB)
    assert got(box, "--share", USABLE - 40000 + 1) == 124
    assert got(box, "--share", USABLE - 40000) == "0"
    assert claims_on(box) == [("root", 20000), ("man", 20000)]


def test_memory_that_is_promised_and_not_taken_yet_is_not_promised_again(box):
    box.hold("--share", 40000)  # takes nothing
    assert box.status()[0]["memory_used_mb"] == 0
    assert got(box, "--share", 6000) == 124


def test_what_a_job_has_taken_of_its_share_counts_once(box):
    job(box, "--share", 40000)
    assert got(box, "--share", USABLE - 40000) == "0"


def test_what_a_job_takes_beyond_its_share_counts(box):
    job(box, "--share", 10000, memory=30000)
    box.hold("--share", 5000)
    assert got(box, "--share", USABLE - 35000 + 1) == 124
    assert got(box, "--share", USABLE - 35000) == "0"


def test_what_a_child_of_a_job_takes_is_of_its_share(box):
    script = f"{box.sim_job} --memory 30000 --for -1 & wait"
    parent = box.start("run", "--share", 30000, "--", "sh", "-c", script)
    parent.wait_for(r"holds 30000 MiB", stdout=True)
    assert got(box, "--share", USABLE - 30000) == "0"


def test_what_an_outsider_takes_counts_beside_the_shares(box):
    box.outsider(memory=20000, user=ALICE)
    box.hold("--share", 10000)
    assert got(box, "--share", USABLE - 30000 + 1) == 124
    assert got(box, "--share", USABLE - 30000) == "0"
    assert got(box) == 124


def test_memory_in_use_of_no_visible_process_counts(box):
    box.set(0, used=40000)
    assert got(box, "--share", USABLE - 40000 + 1) == 124
    assert got(box, "--share", USABLE - 40000) == "0"


def test_how_busy_the_card_is_counts_only_if_asked(box):
    box.set(0, util=80)
    assert got(box, "--share", 100) == "0"
    assert got(box, "--share", 100, "--max-util", 79) == 124


def test_several_cards_have_the_share_each(make_box):
    box = make_box(cards=3)
    box.hold("--share", 20000, "--only", 1)
    process = box.hold("-n", 2, "--share", 20000)
    assert process.held == "0,1", "the one that has shares, and one more"
    assert got(box, "-n", 3, "--share", 5000) == "0,1,2"
    assert got(box, "-n", 3, "--share", 6000) == 124


def test_of_many_at_once_only_as_many_as_have_room_get_a_share(make_box):
    box = make_box(cards=2)
    waiters = [box.start("run", "-q", "--share", 20000, "--timeout", 0, "--", "sleep", 1000) for _ in range(8)]
    wait_until(lambda: sum(each.alive() for each in waiters) == 4, "two on each card")
    assert [len(card["claims"]) for card in box.status()] == [2, 2]
    assert {each.status for each in waiters} == {None, 124}


# Whole cards beside shared ones.

def test_a_request_without_share_waits_for_all_who_share(box):
    sharers = [box.hold("--share", 1000, user=user) for user in (ALICE, BOB)]
    waiter = box.wait_in_line(*NEVER, command=("echo", "alone"))
    waiter.wait_for(r"GPU 0: shared by games: .*, shares 1000 MiB\) and 1 other")
    sharers[0].kill()
    wait_until(lambda: len(claims_on(box)) == 1, "one is gone")
    assert waiter.alive()
    sharers[1].kill()
    assert waiter.finish() == 0


def test_a_whole_claim_is_alone(box):
    holder = box.hold()
    waiter = box.wait_in_line("--share", 1, *NEVER)
    waiter.wait_for(r"GPU 0: claimed by root")
    holder.kill()
    assert waiter.finish() == 0


def test_a_share_without_its_record_counts_as_the_whole_card(box):
    holder = box.hold("--share", 1000)
    (box.lock / "claims" / f"{holder.claim}.json").unlink()
    assert claims_on(box) == [("root", None)]
    assert got(box, "--share", 1) == 124


# Which card.

def test_the_card_with_least_room_left_is_taken(make_box):
    box = make_box(cards=4)
    for card, mib in ((0, 10000), (1, 30000), (2, 20000)):
        box.hold("--share", mib, "--only", card)
    assert got(box, "--share", 15000) == "1"
    assert got(box, "--share", 20000) == "2"
    assert got(box, "--share", 30000) == "0"
    assert got(box, "--share", 40000) == "3", "one without a claim only where no other has room"


@pytest.mark.parametrize("delay", [0, 5], ids=["", "slow driver"])
def test_shares_that_come_at_once_come_to_lie_on_one_card(make_box, delay):
    box = make_box(cards=4)
    box.extra.append(f"delay_ms {delay}")
    box.write()
    jobs = [box.start("run", "--share", 8000, "--", "sh", "-c", "echo got $GPU_GATE_INDICES; exec sleep 1000")
            for _ in range(5)]
    assert {job.wait_for(r"^got (\d)$", stdout=True)[1] for job in jobs} == {"0"}


def test_more_than_any_card_has_can_never_be(make_box):
    box = make_box(cards=2)
    done = box.run("run", "--share", "50G", "--", "true")
    assert done.status == 3
    assert done.err == ("gpu-gate: 51200 MiB of a GPU asked for, none of the 2 here can ever be used:\n"
                        "gpu-gate:   GPUs 0-1: 45468 MiB in all, 51200 MiB asked for\n")


@pytest.mark.parametrize("words, text", [
    (["--share", "0"], "run: --share: '0' is less than 1 MiB; write MiB"),
    (["--share", "-5"], "run: --share: '-5' is less than 0; write MiB"),
    (["--share", "lots"], "run: --share: 'lots' is not a size; write MiB"),
    (["--share", "5", "--min-free-mb", "5"], "run: --share and --min-free-mb exclude each other"),
])
def test_a_wrong_share_is_refused_and_nothing_is_done(box, words, text):
    done = box.run("run", *words, "--", "true")
    assert done.status == 2
    assert done.err.startswith(f"gpu-gate: {text}") and done.err.count("\n") == 1
    assert not box.lock.exists()


# The line.

def test_a_share_that_ends_makes_room_at_once(box):
    first = box.hold("--share", 30000)
    box.hold("--share", 10000)
    waiter = box.wait_in_line("--share", 20000, *NEVER)
    waiter.wait_for(r"waiting for 20000 MiB of a GPU \.\.\.")
    waiter.wait_for(r"GPU 0: 5468 MiB left to share, 20000 MiB asked for")
    first.kill()
    assert waiter.finish() == 0
    assert "using 20000 MiB of GPU 0" in waiter.err


def test_memory_that_is_freed_makes_room_at_once(box):
    over = job(box, "--share", 10000, memory=40000)
    waiter = box.wait_in_line("--share", 20000, *NEVER)
    over.kill()
    assert waiter.finish() == 0


def test_every_share_of_a_card_is_watched_also_behind_others(box):
    sharers = [box.hold("--share", 5000) for _ in range(9)]
    waiter = box.wait_in_line("--share", 4000, *NEVER)
    sharers[6].kill()
    assert waiter.finish() == 0


def test_small_shares_do_not_starve_a_whole_card(make_box):
    box = make_box(cards=2)
    order = Order(box)
    on_0, on_1 = box.hold("--share", 40000, "--only", 0), box.hold("--share", 30000, "--only", 1)
    whole = box.wait_in_line(*NEVER, user=BOB, command=order.signs("whole"))
    small = box.wait_in_line("--share", 10000, *NEVER, command=order.signs("small"))
    small.wait_for(r"GPU 1: kept for somebody ahead in line")
    assert got(box, "--share", 5000, user=ALICE) == "0", "the card with less room"
    on_1.kill()
    assert whole.finish() == small.finish() == 0
    assert order.names() == ["whole", "small"]
    on_0.kill()


def test_small_shares_do_not_starve_a_large_one(box):
    order = Order(box)
    holders = [box.hold("--share", 15000) for _ in range(2)]
    large = box.wait_in_line("--share", 30000, *NEVER, command=order.signs("large"))
    small = box.wait_in_line("--share", 10000, *NEVER, command=order.signs("small"))
    small.wait_for(r"GPU 0: kept for somebody ahead in line")
    holders[0].kill()
    assert large.finish() == small.finish() == 0
    assert order.names() == ["large", "small"]


def test_a_share_counts_for_turns_as_its_part_of_the_card(make_box):
    box = make_box(cards=3)
    order = Order(box)
    box.hold("--share", 15000, "--only", 0, user=BOB)
    box.hold("--only", 1, user=ALICE)
    holder = box.hold("--only", 2)
    alice = box.wait_in_line(*NEVER, "--only", 2, user=ALICE, command=order.signs("alice"))
    bob = box.wait_in_line(*NEVER, "--only", 2, user=BOB, command=order.signs("bob"))
    holder.kill()
    assert alice.finish() == bob.finish() == 0
    assert order.names() == ["bob", "alice"]


def test_who_waits_for_a_share_is_shown_so(box):
    box.hold()
    box.wait_in_line("--share", 8000, user=BOB)
    box.wait_in_line("-n", 1, "--share", "2G", "--max-util", 50, user=ALICE)
    shown = box.run("status").out
    assert re.search(r"\d  man +8000 MiB of a GPU ", shown)
    assert "2048 MiB of a GPU, at most 50% busy" in shown


# What is told.

def test_status_tells_who_shares_how_much_and_who_is_over(box):
    job(box, "--share", 8000, memory=7410, user=ALICE)
    job(box, "--share", 4000, memory=4500, user=BOB)
    shown = box.run("status").out
    assert re.search(r"games: \S+ .*\(pid \d+, \d+s, shares 8000 MiB, uses 7410\)\n", shown)
    assert re.search(r"man: \S+ .*\(pid \d+, \d+s, shares 4000 MiB but uses 4500\)\n", shown)
    assert "no claim" not in shown
    card = box.status()[0]
    assert [claim["share_mb"] for claim in card["claims"]] == [8000, 4000]
    assert card["claim"] == card["claims"][0]


def test_the_job_is_told_its_share(make_box):
    box = make_box(cards=2)
    box.set(1, memory=23034)
    done = box.run("run", "-q", "-n", 2, "--share", "8G", "--", "printenv", "GPU_GATE_SHARE_MB", "GPU_GATE_SHARE_FRACTION")
    assert done.out == "8192\n0.355\n"
    stale = {"GPU_GATE_SHARE_MB": 1, "GPU_GATE_SHARE_FRACTION": "0.5"}
    assert box.run("run", "-q", "--", "env", env=stale).out.count("GPU_GATE_SHARE") == 0


def test_hold_and_wait_tell_the_share(box):
    waited = json.loads(box.run("wait", "--share", 8000, "--json").out)
    assert waited["share_mb"] == 8000
    assert box.claimed() == []
    holder = box.start("hold", "--share", 8000, "--export", "--for", 1000)
    holder.wait_for("^export .* GPU_GATE_SHARE_MB='8000' GPU_GATE_SHARE_FRACTION='0.173'$", stdout=True)
    assert claims_on(box) == [("root", 8000)]


def test_a_shell_forgets_its_earlier_share(box):
    script = 'GPU_GATE_SHARE_MB=1; export GPU_GATE_SHARE_MB; eval "$("$0" hold --export --pid $$)"; echo "[$GPU_GATE_SHARE_MB]"'
    assert box.run_plain("sh", "-c", script, box.gate).out == "[]\n"


# Shares inside claims.

def inside(box, claim, *options):
    """What a part of that job gets at once."""
    return got(box, *options, env={"GPU_GATE_CLAIM": claim})


def test_parts_of_a_share_have_its_room_among_them(box):
    outer = box.hold("--share", 8000)
    box.hold("--share", 20000, user=BOB)
    part = box.hold("--share", 5000, env={"GPU_GATE_CLAIM": outer.claim})
    assert inside(box, outer.claim, "--share", 3001) == 124
    assert inside(box, outer.claim, "--share", 3000) == "0"
    assert inside(box, outer.claim, "--share", 8001) == 3
    assert inside(box, outer.claim) == 124, "without --share it wants all of it"
    assert got(box, "--share", USABLE - 28000) == "0", "for others it is the outer share that counts"
    part.kill()
    wait_until(lambda: inside(box, outer.claim) == "0", "all of it is free")


def test_a_part_without_share_has_the_share_of_the_job(box):
    outer = box.hold("--share", 8000)
    done = box.run("run", "-q", "--", "printenv", "GPU_GATE_SHARE_MB", env={"GPU_GATE_CLAIM": outer.claim})
    assert done.out == "8000\n"
    assert inside(box, outer.claim, "-n", 2) == 3


def test_parts_of_a_whole_claim_may_share_its_cards(make_box):
    box = make_box(cards=2)
    outer = box.hold()
    first = box.hold("--share", 30000, env={"GPU_GATE_CLAIM": outer.claim})
    assert first.held == outer.held
    assert inside(box, outer.claim, "--share", 15000) == "0"
    assert inside(box, outer.claim, "--share", 16000) == 124
    assert inside(box, outer.claim) == 124


def test_a_part_that_outlives_its_share_goes_on_counting(box):
    outer = box.hold("--share", 8000)
    box.hold("--share", 5000, env={"GPU_GATE_CLAIM": outer.claim})
    outer.kill()
    wait_until(lambda: claims_on(box) == [("root", 5000)], "the outer one is gone")
    assert got(box, "--share", USABLE - 5000) == "0"
    assert got(box, "--share", USABLE - 4999) == 124


def test_a_stopped_sharer_keeps_its_share(box):
    holder = box.hold("--share", 40000)
    os.kill(holder.pid, signal.SIGSTOP)
    assert got(box, "--share", 6000) == 124


def test_memory_that_the_driver_is_still_freeing_is_looked_for_again(box):
    box.extra.append("linger_ms 1500")
    box.write()
    job(box, "--share", 1000)
    ending = job(box, "--share", 40000)
    waiter = box.wait_in_line("--share", 30000, *NEVER)
    ending.kill()
    assert waiter.finish() == 0
