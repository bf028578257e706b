"""gpu-gate queue: who waits, in the order of turns."""

import json
import re
import time

import pytest

from harness import ALICE, BOB, wait_until

KEYS = ["place", "user", "uid", "pid", "command", "note", "since", "count", "min_free_mb", "share_mb", "max_util_pct",
        "nice", "stopped", "reason"]


def queue(box, *words, status=0):
    done = box.run("queue", "--json", *words)
    assert done.status == status, done
    return json.loads(done.out)


def test_where_nobody_waits_it_says_so(box):
    assert (box.run("queue").out, queue(box)) == ("nobody waits\n", [])
    box.hold()
    assert (box.run("queue").out, queue(box)) == ("nobody waits\n", [])
    assert box.run("queue").status == 0


def test_it_makes_nothing(box):
    box.run("queue")
    assert not box.lock.exists()


def test_it_shows_the_line_that_status_shows_in_the_order_of_turns(box):
    """20 requests of Bob and one of Carol stand Bob, Carol, Bob, ..., whoever came first."""
    box.hold(user=ALICE)
    first = box.wait_in_line(user=ALICE)
    second = box.wait_in_line("--min-free-mb", 8000, user=ALICE)
    third = box.wait_in_line("--note", "sweep", user=BOB)
    lines = box.run("queue").out.splitlines()
    assert lines[0].split() == ["place", "user", "wants", "waited", "command"]
    assert [line.split()[:2] for line in lines[1:]] == [["1", BOB.name], ["2", ALICE.name], ["3", ALICE.name]]
    in_status = box.run("status").out.splitlines()

    def without_time(line):
        return re.sub(r" \d+s ", " ", line).split()

    of_status = [without_time(line) for line in in_status[in_status.index("  waiting: 3") + 1:]]
    assert [without_time(line) for line in lines[1:]] == of_status
    assert [(each["place"], each["pid"]) for each in queue(box)] == [(1, third.pid), (2, first.pid), (3, second.pid)]


def test_the_json_has_every_key_of_a_request(box):
    box.hold(user=ALICE)
    waiter = box.wait_in_line("--min-free-mb", 8000, "--max-util", 20, "--nice", "--note", "n", user=BOB, command=("sleep", "9"))
    request, = queue(box)
    assert list(request)[:len(KEYS)] == KEYS
    assert abs(request.pop("since") - time.time()) < 60
    reason = request.pop("reason")
    assert reason.startswith(f"GPU 0: claimed by {ALICE.name}: ")
    told = {"place": 1, "user": BOB.name, "uid": BOB.uid, "pid": waiter.pid, "command": "sleep 9", "note": "n", "count": 1,
            "min_free_mb": 8000, "share_mb": None, "max_util_pct": 20, "nice": True, "stopped": False}
    assert {key: request[key] for key in told} == told


def test_what_was_not_asked_for_is_null(box):
    box.hold()
    box.wait_in_line()
    request, = queue(box)
    assert [request[key] for key in ("note", "min_free_mb", "share_mb", "max_util_pct")] == [None] * 4
    assert request["nice"] is False


def test_a_share_is_told(box):
    box.hold()
    box.wait_in_line("--share", "8G")
    assert queue(box)[0]["share_mb"] == 8192
    assert "8192 MiB of a GPU" in box.run("queue").out


def test_the_reason_names_each_card_and_who_it_is_kept_for(make_box):
    box = make_box(cards=2)
    box.hold("--only", 0, user=ALICE)
    box.wait_in_line("-n", 2, user=BOB)
    box.wait_in_line("--only", 1, user=BOB)
    first, second = queue(box)
    assert first["reason"].startswith(f"GPU 0: claimed by {ALICE.name}: ")
    assert first["reason"].endswith("; GPU 1: free, but 2 are asked for")
    assert second["reason"] == "GPU 0: not among those that it may have; GPU 1: kept for somebody ahead in line"


def test_one_that_is_stopped_is_marked(box):
    box.hold()
    waiter = box.wait_in_line(user=ALICE)
    waiter.stop()
    assert [each["stopped"] for each in queue(box)] == [True]
    assert f"(pid {waiter.pid}, stopped)" in box.run("queue").out
    assert f"(pid {waiter.pid}, stopped)" in box.run("status").out


def test_where_the_gpus_cannot_be_read_the_line_is_shown_all_the_same_and_it_ends_with_4(box):
    box.hold()
    waiter = box.wait_in_line()
    done = box.run("queue", env={"GPU_GATE_NVML": "/nonexistent"})
    assert done.status == 4 and f"(pid {waiter.pid})" in done.out and len(done.lines) == 1
    done = box.run("queue", "--json", env={"GPU_GATE_NVML": "/nonexistent"})
    request, = json.loads(done.out)
    assert (done.status, request["pid"], request["reason"]) == (4, waiter.pid, None)


def test_a_request_inside_a_claim_has_no_place_in_the_line_of_all(make_box):
    box = make_box(cards=1)
    job = box.hold()
    inner = {"GPU_GATE_CLAIM": job.claim}
    box.hold(env=inner)
    box.wait_in_line(env=inner)
    request, = queue(box)
    assert (request["place"], request["within"]) == (None, job.claim)


@pytest.mark.parametrize("words", [("x",), ("--", "true"), ("-n", "2")])
def test_what_it_does_not_take_is_refused(box, words):
    done = box.run("queue", *words)
    assert done.status == 2 and len(done.lines) == 1
