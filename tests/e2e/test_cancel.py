"""gpu-gate cancel: ends requests that wait, never a job."""

import os
import signal
import subprocess
import sys

from fixtures import needs_mounts
from harness import ALICE, BOB, each, state_of, wait_until


def cancel(box, *pids, user=ALICE, status=0, **options):
    done = box.run("cancel", *pids, user=user, **options)
    assert done.status == status, done
    return done


def test_all_requests_of_ones_own_end_and_are_named(box):
    job = box.hold(user=ALICE)
    waiters = [box.wait_in_line(user=ALICE, command=("sleep", str(n))) for n in (7, 8)]
    other = box.wait_in_line(user=BOB)
    done = cancel(box)
    assert done.err == ""
    assert sorted(line.rpartition(", after")[0] for line in done.out.splitlines()) == sorted(
        f"cancelled: sleep {n} (pid {waiter.pid})" for n, waiter in zip((7, 8), waiters))
    assert [waiter.finish() for waiter in waiters] == [-signal.SIGTERM] * 2
    assert job.alive() and other.alive()
    assert box.waiting() == 1


def test_only_those_that_are_named_end(box):
    box.hold(user=ALICE)
    first, second, third = (box.wait_in_line(user=ALICE) for _ in range(3))
    done = cancel(box, first.pid, third.pid)
    assert done.out.count("cancelled: ") == 2
    assert (first.finish(), third.finish()) == (-signal.SIGTERM, -signal.SIGTERM)
    assert second.alive()


def test_when_it_is_back_they_have_left_the_line(box):
    box.hold()
    box.wait_in_line(user=ALICE)
    cancel(box)
    assert box.waiting() == 0


def test_without_a_request_of_ones_own_it_says_so(box):
    assert "no request of yours waits" in cancel(box, status=1).err
    box.hold(user=ALICE)
    box.wait_in_line(user=BOB)
    done = cancel(box, status=1)
    assert done.out == "" and "no request of yours waits" in done.err and len(done.lines) == 1
    assert box.waiting() == 1


def test_it_makes_nothing(box):
    cancel(box, status=1)
    assert not box.lock.exists()


def test_a_job_is_named_and_goes_on(box):
    job = box.hold(user=ALICE)
    waiter = box.wait_in_line(user=ALICE)
    done = cancel(box, job.pid, waiter.pid, status=1)
    assert f"cancelled: true (pid {waiter.pid})" in done.out
    assert done.lines == [f"gpu-gate: pid {job.pid} is a job of {ALICE.name}, and does not wait: cancel ends no job; "
                          f"to end it: kill {job.pid}"]
    assert waiter.finish() == -signal.SIGTERM and job.alive()


def test_another_users_request_is_named_and_goes_on(box):
    box.hold()
    waiter = box.wait_in_line(user=BOB)
    done = cancel(box, waiter.pid, status=1)
    assert done.out == ""
    assert done.lines == [f"gpu-gate: pid {waiter.pid} waits for {BOB.name}: only that user and root can cancel it"]
    assert box.waiting() == 1


def test_root_may_name_those_of_others_and_ends_none_unnamed(box):
    box.hold()
    waiter = box.wait_in_line(user=BOB)
    assert box.run("cancel").status == 1 and waiter.alive()
    assert box.run("cancel", waiter.pid).status == 0
    assert waiter.finish() == -signal.SIGTERM


def test_a_pid_that_nobody_has_or_that_waits_for_nothing_is_named(box):
    bystander = box.start_plain("sleep", "1000", user=ALICE)
    done = cancel(box, 4194305, bystander.pid, status=1)
    assert [line.split(" does not wait here")[0] for line in done.lines] == [
        "gpu-gate: pid 4194305", f"gpu-gate: pid {bystander.pid}"]
    assert bystander.alive()


def test_a_word_that_is_no_pid_is_refused_and_nothing_ends(box):
    box.hold()
    box.wait_in_line(user=ALICE)

    def check(*words):
        done = cancel(box, *words, status=2)
        assert len(done.lines) == 1 and done.out == ""

    each([("all",), ("0",), ("-1",), ("1.5",), ("",), ("--all",), ("4242", "x"), ("--", "4242")], check)
    assert box.waiting() == 1


def test_of_hold_the_process_that_waits_ends_and_not_the_one_it_waits_for(box):
    box.hold()
    owner = box.start_plain("sleep", "1000", user=ALICE)
    bound = box.start("hold", "--pid", owner.pid, user=ALICE)
    bound.wait_for("in line")
    piped = box.start("hold", user=ALICE, stdin=subprocess.PIPE)
    piped.wait_for("in line")
    assert cancel(box, owner.pid).out.startswith("cancelled: ")  # as status names it
    assert bound.finish() == -signal.SIGTERM and owner.alive() and piped.alive()
    cancel(box, piped.pid)  # as ps names it
    assert piped.finish() == -signal.SIGTERM


def test_a_stopped_waiter_ends_too(box):
    box.hold()
    waiter = box.wait_in_line(user=ALICE)
    waiter.stop()
    cancel(box)
    assert waiter.finish() == -signal.SIGTERM


def test_one_that_heeds_no_sigterm_is_named(box):
    box.hold()
    waiter = box.start_plain("sh", "-c", f"trap '' TERM; exec {box.gate} run -- true", user=ALICE)
    waiter.wait_for("in line")
    done = cancel(box, status=1)
    assert done.out == "" and f"(pid {waiter.pid}) was told to end and has not yet done so" in done.err
    assert waiter.alive()


def test_one_that_has_its_turn_just_then_becomes_a_job_or_ends_and_no_job_gets_the_signal(make_box):
    """Whoever starts has not heard of it: a job that gets SIGTERM would say so."""
    box = make_box(cards=1)
    job = "trap 'echo hit' TERM; echo began; sleep 0.01; :"
    for _ in range(20):
        holder = box.hold(user=ALICE)
        waiter = box.wait_in_line(user=ALICE, command=("sh", "-c", job))
        holder.popen.kill()
        done = box.run("cancel", waiter.pid, user=ALICE)
        ended = waiter.finish()
        assert "hit" not in waiter.out, waiter
        assert (done.status, ended, waiter.out) in ((0, -signal.SIGTERM, ""), (1, 0, "began\n")), (done, waiter)
        holder.wait()


def test_a_pid_that_a_record_names_without_standing_in_line_gets_no_signal(box):
    """A record can be written by hand, and a pid be given anew: only who has the place open is meant."""
    box.hold()
    waiter = box.wait_in_line(user=ALICE)
    bystander = box.start_plain("sleep", "1000", user=ALICE)
    [record] = (box.lock / "queue").glob("*.json")
    text = record.read_text()
    assert f'"pid":{waiter.pid},' in text
    record.write_text(text.replace(f'"pid":{waiter.pid},', f'"pid":{bystander.pid},'))
    cancel(box, bystander.pid)  # the request with this record
    assert waiter.finish() == -signal.SIGTERM
    assert bystander.alive()


@needs_mounts
def test_one_in_another_pid_namespace_is_out_of_reach(box):
    box.hold()
    inner = box.start_plain("unshare", "--pid", "--fork", "--mount-proc", box.gate, "run", "--", "true")
    inner.wait_for("in line")
    done = box.run("cancel")
    assert done.status == 1 and "another pid namespace" in done.err and done.out == ""
    assert inner.alive() and box.waiting() == 1
