"""What the machine refuses to gpu-gate itself: descriptors, memory, processes, a sleep. That is no fault of the lock
directory, nothing may stay claimed, and the exit status is 125, as with timeout(1)."""

import fcntl
import os
import pty
import termios

from fixtures import needs_mounts
from harness import ALICE, NEVER, each, uuid, wait_until
from traced import NO_LEAK_CHECK, STRACE, Traced, inject, run as run_traced


def fails_by_itself(done, call):
    assert done.status == 125, done
    assert len(done.lines) == 1 and done.lines[0].startswith("gpu-gate: ") and call in done.lines[0], done
    assert "lock directory" not in done.err, done


def free(box):
    return box.run("run", "-q", "--timeout", 0, "--", "true").status == 0


def test_a_call_that_is_refused_for_want_of_something_is_told_as_such(make_box):
    def check(name, errno):
        with make_box(cards=1) as box:
            fails_by_itself(run_traced(box, ["wait"], inject(name, 1, f"error={errno}")), "(")
            assert free(box)

    # Each is made on the lock directory and on nothing else.
    each([("mkdirat", "ENOMEM"), ("fstatfs", "ENOMEM")], check)


def test_a_limit_on_the_size_of_files_ends_nobody_by_a_signal(make_box):
    """Seen: SIGXFSZ ended it, at the first byte of the mutex or of a log."""
    def limited(box, *words, to=""):
        return box.run_plain("sh", "-c", f'ulimit -f 0; exec "$@" {to}', "sh", box.gate, *words, user=ALICE)

    def check(*words):
        box = make_box(cards=1)
        for taken in (False, True):
            if taken:
                box.hold()
            done = limited(box, *words)
            assert (done.status, len(done.lines)) == (125, 1) and "ulimit -f" in done.err, done
            assert limited(box, *words, to=f"2>>{box.folder}/log").status == 125
            assert len(list((box.lock / "claims").iterdir())) == (2 if taken else 0)
            assert list((box.lock / "queue").iterdir()) == []

    each([("run", "--", "true"), ("hold", "--for", 1), ("run", "-n", 1, "--poll", 1, "--", "true")], check)
    box = make_box(cards=1)
    assert limited(box, "wait").out == "0\n"
    done = limited(box, "wait", to=f">>{box.folder}/log")
    assert done.status == 125 and "standard output" in done.err, done
    assert limited(box, "status").status == 0


def test_who_stands_in_line_has_the_descriptors_for_its_turn(make_box):
    """Seen: with ulimit -n 16 and two cards, "Too many open files" came after the wait."""
    served = []
    for number in range(8, 32):
        box = make_box(cards=2)
        holder, other = box.hold("-n", 2), box.wait_in_line(*NEVER, "-n", 2)
        waiter = box.start_plain("sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", box.gate, "run", *NEVER, "-n", 2,
                                 "--", "true", user=ALICE)
        wait_until(lambda: "in line" in waiter.err or not waiter.alive(), "it stands in line or has ended")
        stood = "in line" in waiter.err
        holder.kill()
        assert other.finish(5) == 0
        assert waiter.finish(5) == (0 if stood else waiter.status), (number, waiter)
        assert stood or waiter.status in (4, 125, 127), (number, waiter)
        served.append(stood)
        box.close()
    assert served[-1] and not served[0] and served == sorted(served), served


def test_a_waiter_that_cannot_sleep_ends_and_leaves_the_line(make_box):
    def check(name, errno):
        with make_box(cards=1) as box:
            box.hold()
            done = run_traced(box, ["run", "-q", "--", "true"], inject(name, 1, f"error={errno}"))
            fails_by_itself(done, name.rstrip("4"))
            assert list((box.lock / "queue").iterdir()) == []

    each([("ppoll", "ENOMEM"), ("signalfd4", "EMFILE")], check)


def test_a_hold_that_cannot_sleep_ends_and_says_so(make_box):
    """Seen: it ended with 0, as if the time were over."""
    def check(name, errno):
        with make_box(cards=1) as box:
            done = run_traced(box, ["hold", "--for", "1h"], inject(name, 1, f"error={errno}"))
            fails_by_itself(done, name.rstrip("4"))
            assert done.out == "0\n" and free(box)

    each([("ppoll", "ENOMEM"), ("signalfd4", "EMFILE")], check)


def test_a_hold_that_cannot_fork_holds_nothing(box):
    owner = box.start_plain("sleep", 1000)
    done = run_traced(box, ["hold", "--pid", owner.pid], ["-e", "inject=clone:error=EAGAIN"])
    fails_by_itself(done, "fork")
    assert done.out == "" and free(box)


def test_where_it_came_as_far_as_the_claim_the_command_gets_it(box):
    """Seen: 10 descriptors were enough for all but the hand-over, which asked for a number beyond the limit."""
    statuses = []
    for number in range(6, 16):
        done = box.run_plain("sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", box.gate, "run", "-q", "--", "true", user=ALICE)
        if done.status != 0:
            assert "Too many open files" in done.err and "fcntl" not in done.err, (number, done)
        statuses.append(done.status)
        assert free(box)
    assert statuses[-1] == 0 and 0 not in statuses[:2], statuses


def test_a_claim_that_cannot_be_watched_is_polled_and_not_looked_at_without_end(box):
    """Its FIFO was removed, so it lasts as long as its process; the kernel has no pidfd to watch that by."""
    holder = box.hold()
    (box.lock / "claims" / f"{uuid(0)}@{holder.claim}").unlink()
    waiter = Traced(box, ["-e", "inject=pidfd_open:error=ENOSYS"], "run", "--poll", 0.2, "--", "true")
    waiter.rests(looks=2)  # it sleeps between the looks
    assert waiter.process.alive() and waiter.looks() < 20
    holder.kill()
    assert waiter.process.finish() == 0


def test_waiting_on_a_terminal_does_not_count_the_line_anew_every_second(box):
    """Seen: 500 waiters on terminals took 1.2 cores to tell that nothing had changed."""
    box.hold()
    master, slave = pty.openpty()
    trace = box.folder / "trace"
    waiter = box.start_plain(*STRACE, "-o", trace, "-e", "trace=openat,write", box.gate, "run", "--", "true",
                             env={**NO_LEAK_CHECK, "TERM": "xterm"}, stderr=slave,
                             preexec_fn=lambda: (os.setsid(), fcntl.ioctl(slave, termios.TIOCSCTTY, 0)))
    os.close(slave)

    def ticks():
        return [i for i, line in enumerate(trace.read_text().splitlines()) if "waited " in line] if trace.exists() else []

    wait_until(lambda: len(ticks()) >= 4, "four ticks")
    begin, *_, end = ticks()[:4]
    between = trace.read_text().splitlines()[begin:end]
    assert not any("openat" in line for line in between), between
    waiter.kill()
    os.close(master)


class FullLockDirectory:
    """A lock directory of its own small file system, in a mount namespace of its own."""

    def __init__(self, box, pages):
        self.box = box
        box.lock.mkdir()
        box.lock.chmod(0o1777)
        self.keeper = box.start_plain("unshare", "-m", "sh", "-c", f"mount -t tmpfs -o mode=1777,size={pages * 4096} none {box.lock} && "
                                      "echo mounted && exec sleep 1000")
        self.keeper.wait_for("mounted", stdout=True)

    def words(self, *words):
        return ("nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "--", *words)

    def start(self, *words):
        return self.box.start_plain(*self.words(self.box.gate, *words))

    def run(self, *words):
        return self.box.run_plain(*self.words(*words))

    def fill(self):
        self.run("sh", "-c", f"dd if=/dev/zero of={self.box.lock}/filler bs=4096 2>/dev/null")


@needs_mounts
def test_a_full_lock_directory_costs_a_waiter_neither_its_turn_nor_its_claim(box):
    """Seen: the waiter whose turn it was ended with 5, however long it had waited."""
    full = FullLockDirectory(box, 8)
    outsider = box.outsider()
    waiter = full.start("run", *NEVER, "--", "sh", "-c", "echo runs; exec sleep 1000")
    waiter.wait_for("in line")
    full.fill()
    newcomer = full.run(box.gate, "run", *NEVER, "--", "true")
    assert newcomer.status == 5 and "No space left" in newcomer.lines[-1], newcomer
    assert newcomer.lines[-1].startswith("gpu-gate: "), newcomer
    outsider.kill()
    waiter.wait_for("^runs$", stdout=True)
    second = full.run(box.gate, "run", "-q", "--timeout", 0, "--", "true")
    assert second.status == 124, second


@needs_mounts
def test_a_share_without_a_record_is_one_to_its_own_job(box):
    """Seen: its parts got the whole GPU, and together more than the share."""
    full = FullLockDirectory(box, 8)
    full.run(box.gate, "run", "--", "true")
    full.run(box.gate, "wait")
    full.fill()
    parts = f"""echo runs; while [ -e {box.lock}/filler ]; do sleep 0.05; done
{box.gate} run -q -- sh -c 'echo all of $GPU_GATE_SHARE_MB; {box.gate} run -q --share 2001 -- true; echo more: $?'
{box.gate} run -q --share 1500 -- sh -c 'unset GPU_GATE_SHARE_MB; GPU_GATE_CLAIM='$GPU_GATE_CLAIM' GPU_GATE_SHARE_MB=2000 \
    {box.gate} run -q --timeout 0 --share 501 -- true; echo beside: $?'"""
    job = full.start("run", *NEVER, "--share", "2000", "--", "sh", "-c", parts)
    job.wait_for("^runs$", stdout=True)
    full.run("rm", f"{box.lock}/filler")
    for line in ("all of 2000", "more: 3", "beside: 124"):
        job.wait_for(f"^{line}$", stdout=True)


@needs_mounts
def test_a_claim_needs_no_room_but_that_of_its_fifo(box):
    full = FullLockDirectory(box, 8)
    full.run(box.gate, "run", "--", "true")  # makes the directory and the mutex,
    full.run(box.gate, "wait")               # and clears away the claim
    full.fill()
    done = full.run(box.gate, "run", "-q", "--timeout", 0, "--", "sh", "-c", f"{box.gate} status; echo ran")
    assert done.status == 0 and "ran" in done.out and "root" in done.out, done
