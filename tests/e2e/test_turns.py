"""Turns between users: who holds fewest GPUs goes first, and what the machine's administrator may say about it."""

import json
import os
import signal
import time

from at_once import at_once
from harness import ALICE, BOB, LIMIT, NEVER, ROOT, Order, User, lateness, wait_until

SETTLE = 10.0  # seconds that a card is kept for a waiter that cannot use it yet


def policy(box, text, owner=0, mode=0o644):
    """The administrator's file in the lock directory."""
    box.run("wait", "--timeout", 0)  # which makes the directory
    path = box.lock / "policy"
    path.write_text(text)
    os.chown(path, owner, -1)
    path.chmod(mode)


def test_one_user_with_many_jobs_lets_others_in_between(box):
    order = Order(box)
    holder = box.hold()
    many = [box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob")) for _ in range(5)]
    few = [box.wait_in_line(*NEVER, user=ALICE, command=order.signs("alice")) for _ in range(2)]
    holder.kill()
    for process in (*many, *few):
        assert process.finish() == 0
    assert order.names() == ["bob", "alice", "bob", "alice", "bob", "bob", "bob"]


def test_of_more_users_than_cards_each_comes_to_its_turn(make_box):
    box = make_box(cards=1)
    order = Order(box)
    holder = box.hold()
    users = (BOB, ALICE, User("www-data"))
    waiters = [box.wait_in_line(*NEVER, user=user, command=order.signs(user.name)) for user in users for _ in range(3)]
    holder.kill()
    for process in waiters:
        assert process.finish() == 0
    assert order.names() == 3 * [user.name for user in users]


def test_who_holds_fewest_goes_first(make_box):
    box = make_box(cards=3)
    order = Order(box)
    box.hold("-n", 2, user=BOB)
    holder = box.hold()
    bob = box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob"))
    alice = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("alice"))
    holder.kill()
    assert alice.finish() == bob.finish() == 0
    assert order.names() == ["alice", "bob"]


def test_a_newcomer_that_holds_less_takes_the_free_card_that_one_with_more_keeps(make_box):
    box = make_box(cards=3)
    box.hold("-n", 2, user=BOB)
    box.wait_in_line(*NEVER, "-n", 2, user=BOB)
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 124
    assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 0


def test_what_a_waiter_keeps_goes_to_another_once_its_user_holds_more(make_box):
    # Of Bob's two requests the later one is served, and by that Alice comes to stand ahead of his first: the
    # card that it has kept is hers.
    box = make_box(cards=3)
    box.hold("--only", 0)
    third = box.hold("--only", 2)
    box.wait_in_line(*NEVER, "--only", "0,1", "-n", 2, user=BOB)
    later = box.start("run", *NEVER, "--only", 2, "--", "sleep", 1000, user=BOB)
    later.wait_for("in line")
    alice = box.wait_in_line(*NEVER, "--only", 1, user=ALICE)
    third.kill()
    later.wait_for("using GPU 2")
    assert alice.finish() == 0


def test_a_turn_of_one_that_claims_nothing_counts_and_is_told(make_box):
    # By it Alice has had her turn, and the card that her first request keeps is Bob's.
    box = make_box(cards=3)
    box.hold("--only", 1)
    third = box.hold("--only", 2)
    box.wait_in_line(*NEVER, "--only", "0,1", "-n", 2, user=ALICE)
    bob = box.wait_in_line(*NEVER, "--only", 0, user=BOB)
    waits = box.start("wait", *NEVER, "--only", 2, user=ALICE)
    waits.wait_for("in line")
    third.kill()
    assert waits.finish() == 0
    assert bob.finish() == 0


def test_the_end_of_a_job_brings_its_user_forward(make_box):
    # Bob's job ends on a card that nobody in line may have; by that he holds less than Alice, and the card that
    # her request keeps is his.
    box = make_box(cards=4)
    box.hold("--only", 3)
    bobs = box.hold("--only", 0, user=BOB)
    box.hold("--only", 1, user=ALICE)
    box.wait_in_line(*NEVER, "--only", "2,3", "-n", 2, user=ALICE)
    bob = box.wait_in_line(*NEVER, "--only", 2, user=BOB)
    bobs.kill()
    assert bob.finish() == 0


def test_the_last_in_line_that_dies_leaves_what_it_kept_to_those_it_had_overtaken(make_box):
    box = make_box(cards=2)
    box.hold("--only", 1, user=ALICE)
    holder = box.hold("--only", 0)
    alice = box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    bob = box.wait_in_line(*NEVER, "-n", 2, user=BOB)
    box.log_calls()
    holder.kill()
    wait_until(lambda: box.looks(alice.pid) >= 1, "the leader has looked")
    assert alice.alive()
    bob.signal(signal.SIGKILL)
    assert alice.finish() == 0


def test_one_that_came_forward_while_another_was_called_leaves_that_one_its_turn_when_it_dies(make_box):
    box = make_box(cards=3)
    box.hold("--only", 2)
    box.wait_in_line(*NEVER, "--only", 2)  # leads
    box.hold("--only", 1, user=ALICE)
    holder = box.hold("--only", 0)
    alice = box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    alice.stop()
    holder.kill()
    wait_until(lambda: not box.answered(box.bells()[1]), "she is called")
    bob = box.wait_in_line(*NEVER, "--only", "0,1", "-n", 2, user=BOB)
    box.log_calls()
    alice.signal(signal.SIGCONT)
    wait_until(lambda: box.looks(alice.pid) >= 1, "she has looked")
    bob.signal(signal.SIGKILL)
    assert alice.finish() == 0


def test_what_parts_of_a_job_hold_counts_once(make_box):
    box = make_box(cards=3)
    order = Order(box)
    parts = box.start("run", "-n", 1, "--", box.gate, "run", "--", "sleep", 1000, user=BOB)
    parts.wait_for("using GPU 0")
    box.hold("-n", 1, user=ALICE)
    holder = box.hold()
    bob = box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob"))
    alice = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("alice"))
    holder.kill()
    assert alice.finish() == bob.finish() == 0
    assert order.names() == ["bob", "alice"]  # each holds one: first come, first served


def test_the_place_in_line_tells_who_goes_first_and_why(make_box):
    box = make_box(cards=3)
    box.hold("-n", 2, user=BOB)
    box.hold()
    bob = box.start("run", "--", "true", user=BOB)
    bob.wait_for("^gpu-gate: 1st in line$")
    box.wait_in_line(user=ALICE)
    box.ring()
    bob.wait_for(rf"^gpu-gate: 2nd in line \({ALICE.name} holds fewer GPUs than you\)$")


def test_status_shows_the_line_in_the_order_of_turns(make_box):
    box = make_box(cards=3)
    box.hold("-n", 2, user=BOB)
    holder = box.hold()
    box.wait_in_line(*NEVER, user=BOB, command=("sleep", 21))
    box.wait_in_line(*NEVER, "-n", 2, user=ALICE, command=("sleep", 22))
    box.wait_in_line(*NEVER, "--nice", user=ROOT, command=("sleep", 23))
    holder.kill()
    lines = box.run("status").out.splitlines()
    assert "kept for place 1" in lines[3], lines
    waiting = lines[lines.index("  waiting: 3") + 1:]
    assert [line.split()[:2] for line in waiting] == [["1", ALICE.name], ["2", BOB.name], ["3", "root"]]
    assert ", nice" in waiting[2] and ", nice" not in waiting[1]


def test_a_part_of_a_job_that_loses_its_claim_does_not_pass_those_in_the_line_of_the_machine(box):
    # It has stood in the line inside the claim, and knows nobody in the other one yet.
    order = Order(box)
    shell = box.start("hold", "--json", "--for", 1000, user=ALICE)
    claim = json.loads(shell.wait_for(r"^\{.*\}$", stdout=True).group())["claim"]
    inside = {"GPU_GATE_CLAIM": claim}
    part = box.hold(user=ALICE, env=inside)
    bob = box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob"))
    other = box.wait_in_line(*NEVER, user=ALICE, env=inside, command=order.signs("part"))
    other.stop()
    bob.stop()
    shell.kill()
    part.kill()
    box.log_calls()
    other.signal(signal.SIGCONT)
    wait_until(lambda: box.looks(other.pid) >= 1, "it has looked")
    bob.signal(signal.SIGCONT)
    assert bob.finish() == other.finish() == 0
    assert order.names() == ["bob", "part"]


# --nice


def test_a_nice_request_lets_all_others_go_first(box):
    order = Order(box)
    holder = box.hold()
    nice = box.wait_in_line(*NEVER, "--nice", user=ALICE, command=order.signs("nice"))
    others = [box.wait_in_line(*NEVER, user=user, command=order.signs("other")) for user in (ALICE, BOB, BOB)]
    holder.kill()
    for process in (nice, *others):
        assert process.finish() == 0
    assert order.names() == ["other", "other", "other", "nice"]


def test_a_nice_request_that_nobody_else_competes_with_starts_at_once(box):
    assert box.run("run", "--nice", "--timeout", 0, "--", "true").status == 0


def test_a_newcomer_takes_the_free_card_that_a_nice_request_keeps(make_box):
    box = make_box(cards=2)
    box.hold()
    box.wait_in_line(*NEVER, "--nice", "-n", 2, user=ALICE)
    assert box.run("run", "--nice", "--timeout", 0, "--", "true", user=BOB).status == 124
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0


# The policy of the machine.


def test_by_arrival_it_is_first_come_first_served(box):
    policy(box, "order = arrival\n")
    order = Order(box)
    holder = box.hold()
    many = [box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob")) for _ in range(3)]
    alice = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("alice"))
    holder.kill()
    for process in (*many, alice):
        assert process.finish() == 0
    assert order.names() == ["bob", "bob", "bob", "alice"]


def test_the_policy_is_read_anew_at_each_decision(box):
    order = Order(box)
    holder = box.hold()
    many = [box.wait_in_line(*NEVER, user=BOB, command=order.signs("bob")) for _ in range(3)]
    alice = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("alice"))
    policy(box, "order = arrival  # from today\n")
    holder.kill()
    for process in (*many, alice):
        assert process.finish() == 0
    assert order.names() == ["bob", "bob", "bob", "alice"]


def test_nobody_gets_more_than_one_user_may_hold(make_box):
    box = make_box(cards=4)
    policy(box, "max-per-user = 2\n")
    first = box.hold("-n", 2, user=BOB)
    waiter = box.start("run", *NEVER, "--", "true", user=BOB)
    waiter.wait_for("GPUs 2-3: free, but you would hold more GPUs than one user may")
    # It keeps nothing from others meanwhile.
    assert box.run("run", "-n", 2, "--timeout", 0, "--", "true", user=ALICE).status == 0
    first.kill()
    assert waiter.finish() == 0


def test_a_request_for_more_than_one_user_may_hold_is_refused_at_once(make_box):
    box = make_box(cards=4)
    policy(box, "max-per-user = 2\n")
    done = box.run("run", "-n", 3, "--", "true", user=BOB)
    assert done.status == 3
    assert "3 GPUs asked for, but on this machine one user may hold at most 2 GPUs at a time (max-per-user" in done.err
    # Root is a user like any other.
    assert box.run("run", "-n", 3, "--", "true").status == 3


def test_who_waits_already_goes_on_waiting_when_the_limit_comes_down(make_box):
    box = make_box(cards=2)
    holder = box.hold()
    waiter = box.wait_in_line("--poll", 0.1, "-n", 2, user=BOB)
    policy(box, "max-per-user = 1\n")
    holder.kill()
    waiter.wait_for("free, but you would hold more")
    policy(box, "max-per-user = 2\n")
    assert waiter.finish() == 0


def test_parts_of_a_job_have_no_limit_of_their_own(make_box):
    box = make_box(cards=2)
    policy(box, "max-per-user = 2\n")
    done = box.run("run", "-n", 2, "--", box.gate, "run", "-n", 2, "--timeout", 0, "--", "true", user=BOB)
    assert done.status == 0, done.err


def test_a_policy_that_somebody_else_could_write_says_nothing(make_box):
    box = make_box(cards=2)
    for owner, mode in ((BOB.uid, 0o644), (0, 0o664), (0, 0o646)):
        policy(box, "max-per-user = 1\n", owner, mode)
        assert box.run("run", "-n", 2, "--timeout", 0, "--", "true", user=BOB).status == 0
    policy(box, "max-per-user = 1\n")
    assert box.run("run", "-n", 2, "--timeout", 0, "--", "true", user=BOB).status == 3


def test_a_link_or_a_pipe_in_the_place_of_the_policy_says_nothing(box):
    policy(box, "max-per-user = 1\n")
    path = box.lock / "policy"
    path.rename(box.lock / "elsewhere")
    path.symlink_to("elsewhere")
    assert box.run("run", "--timeout", 0, "--", "true").status == 0
    path.unlink()
    os.mkfifo(path)
    assert box.run("run", "--timeout", 0, "--", "true").status == 0


def test_status_names_the_lines_of_the_policy_that_cannot_be_read(box):
    policy(box, "max-per-user = 0\norder = arrival\n")
    lines = box.run("status").out.splitlines()
    assert lines[-1] == "  ignored in the policy file: max-per-user = 0"


# A lost card.


@at_once
def test_the_healthy_cards_do_not_stand_idle_for_a_request_that_needs_a_lost_one(make_box):
    box = make_box(cards=3)
    holder = box.hold("-n", 3)
    every = box.wait_in_line(*NEVER, "-n", 3, user=ALICE)
    box.set(2, lost=1)
    holder.kill()
    began = time.monotonic()
    modest = box.start("run", *NEVER, "--", "sleep", 1000, user=BOB)
    modest.wait_for("using GPU", SETTLE + LIMIT)
    assert SETTLE - 0.2 <= time.monotonic() - began <= SETTLE + 2 + lateness()
    # It is served as before when the card has returned and all are free.
    box.set(2, lost=None)
    box.ring()
    modest.signal(signal.SIGKILL)
    assert every.finish() == 0


def test_who_is_next_by_turns_needs_no_leader_at_the_end_of_a_job(make_box):
    box = make_box(cards=2)
    box.hold()
    holder = box.hold(user=ALICE)
    first, second = (box.wait_in_line(*NEVER) for _ in range(2))
    bob = box.wait_in_line(*NEVER, user=BOB)
    box.ring()  # a look of the leader, which tells bob

    def watches_the_claim():
        fds = f"/proc/{bob.pid}/fd"
        return any(f"@{holder.claim}" in os.readlink(f"{fds}/{fd}") for fd in os.listdir(fds))

    wait_until(watches_the_claim, "bob is told")
    for waiter in (first, second):
        waiter.stop()
    began = time.monotonic()
    holder.kill()
    assert bob.finish() == 0
    assert time.monotonic() - began < 3 + lateness(), "it has not waited until the others are passed over"
