"""The mutex of the lock directory, which every user may lock and write to, in the hands of a user who means harm."""

import os
import signal
import time

from at_once import at_once
from harness import ALICE, NEVER, Order, ROOT, each, lateness
from intruder import all_goes_on, intruder, made_by_root, refused

# The counters in it.

GARBLED = {
    "empty": "b''",
    "zeros": "bytes(42)",
    "words": "b'garbage'",
    "binary": "bytes(range(256))",
    "nines": "b'9' * 20 + b' ' + b'9' * 20",
    "greatest": "b'18446744073709551615 18446744073709551615'",
    "negative": "b'-1 -1'",
    "far future": "b'00099999999999999999 00000000000000000001'",
    "the beginning": "b'00000000000000000005 00000000000000000001'",
    "one": "b'1 1'",
    "huge": "b'7' * 1000000",
}


def test_garbled_counters_change_neither_the_order_nor_a_claim(make_box):
    def check(content):
        box = made_by_root(make_box)
        order = Order(box)
        holder = box.hold(user=ALICE)
        first = box.wait_in_line(*NEVER, user=ROOT, command=order.signs("first"))
        intruder(box, f"mutex.write_bytes({GARBLED[content]})")
        second = box.wait_in_line(*NEVER, user=ALICE, command=order.signs("second"))
        assert "2nd in line" in second.err
        intruder(box, f"mutex.write_bytes({GARBLED[content]})")
        assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 124
        holder.kill()
        assert first.finish(5) == 0
        assert second.finish(5) == 0
        assert order.names() == ["first", "second"]

    each(GARBLED, check)


def test_a_job_inside_a_claim_is_kept_apart_though_the_counters_are_set_back(make_box):
    """A claim made later must count as later, or two parts of a job get the same card."""
    box = made_by_root(make_box)
    intruder_code = "mutex.write_text(f'{5:020} {1:020}\\n')"
    script = '"$GATE" run --timeout 0 -- sh -c \'echo one $$; exec sleep 1000\' & read line; "$GATE" run --timeout 0 -- true; echo status $?'
    os.mkfifo(box.folder / "in")
    feed = os.open(box.folder / "in", os.O_RDWR)
    job = box.start("run", "--", "sh", "-c", "echo outer; read line; " + script, user=ALICE, env={"GATE": box.gate}, stdin=feed)
    job.wait_for("outer", stdout=True)
    intruder(box, intruder_code)
    os.write(feed, b"\n")
    job.wait_for("one", stdout=True)
    os.write(feed, b"\n")
    job.wait_for("^status 124$", stdout=True)
    os.close(feed)


def test_counters_that_change_all_the_time_keep_nobody_from_a_free_card(make_box):
    box = made_by_root(make_box)
    intruder(box, """
if os.fork() == 0:
    fd = os.open(mutex, os.O_RDWR)
    while True:
        os.pwrite(fd, b"%020d %020d\\n" % (counters_base + random.randrange(1000), random.randrange(1 << 60)), 0)
""".replace("counters_base", "int(time.time() * 1000)"))
    for user in (ALICE, ROOT, ALICE):
        done = box.run("run", "--timeout", 5, "--", "true", user=user)
        assert done.status == 0, done.err


# A holder that is stopped.

HOLDS_MUTEX = """
holding.append(os.open(mutex, os.O_RDWR))
fcntl.flock(holding[-1], fcntl.{mode})
signal.signal(signal.SIGUSR1, lambda *_: fcntl.flock(holding[-1], fcntl.LOCK_UN))
"""


def holds_mutex_and_is_stopped(box, mode="LOCK_EX"):
    evil = intruder(box, HOLDS_MUTEX.format(mode=mode))
    evil.stop()
    return evil


def goes_on(evil):
    evil.signal(signal.SIGUSR1)
    evil.signal(signal.SIGCONT)


@at_once
def test_a_mutex_held_by_a_stopped_process_is_told_and_waited_for(make_box):
    box = made_by_root(make_box)
    evil = holds_mutex_and_is_stopped(box)
    held_up = [box.start("run", *NEVER, "--", "true", user=user) for user in (ALICE, ROOT)]
    for process in held_up:
        line = process.wait_for(rf"man: .*\(pid {evil.pid}\)").string
        assert "mutex" in line
    for process in held_up:
        assert process.alive()
    goes_on(evil)
    for process in held_up:
        assert process.finish(5) == 0


@at_once
def test_an_alarm_that_the_caller_has_set_ends_it_while_it_waits_for_the_mutex(make_box):
    """Seen: it was taken for the clock of the wait itself, and lost. alarm(2) outlasts exec."""
    box = made_by_root(make_box)
    evil = holds_mutex_and_is_stopped(box)
    script = "import os, signal, sys; signal.alarm(1); os.execv(sys.argv[1], sys.argv[1:])"
    held_up = box.start_plain("python3", "-c", script, box.gate, "run", "--", "true", user=ALICE)
    assert held_up.finish() == -signal.SIGALRM
    goes_on(evil)


@at_once
def test_who_locks_the_mutex_for_reading_is_told_as_well(make_box):
    box = made_by_root(make_box)
    evil = holds_mutex_and_is_stopped(box, "LOCK_SH")
    held_up = box.start("run", *NEVER, "--", "true", user=ALICE)
    held_up.wait_for("holds the lock directory's mutex")
    assert f"(pid {evil.pid})" in held_up.lines[-1]
    goes_on(evil)
    assert held_up.finish(5) == 0


@at_once
def test_a_waiter_and_a_job_are_served_after_the_mutex_was_held_by_a_stopped_process(make_box):
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    waiter = box.wait_in_line(*NEVER, user=ALICE)
    evil = holds_mutex_and_is_stopped(box)
    assert box.run("status", user=ALICE).status == 0  # looks without the mutex
    holder.kill()
    waiter.wait_for(rf"man: .*\(pid {evil.pid}\)")
    goes_on(evil)
    assert waiter.finish(5) == 0


@at_once
def test_a_timeout_is_kept_while_a_stopped_process_holds_the_mutex(make_box):
    box = made_by_root(make_box)
    holds_mutex_and_is_stopped(box)
    for seconds in (0.5, 3):
        began = time.monotonic()
        done = box.run("run", "--timeout", seconds, "--", "true", user=ALICE)
        took = time.monotonic() - began
        assert done.status == 124, done.err
        assert seconds <= took <= seconds + 0.7 + lateness(), took
    began = time.monotonic()
    assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 124
    assert time.monotonic() - began < 3 + lateness()  # one try may wait a moment for the mutex


@at_once
def test_signals_end_one_who_waits_for_the_mutex(make_box):
    box = made_by_root(make_box)
    holds_mutex_and_is_stopped(box)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
        held_up = box.start("run", "--", "true", user=ALICE)
        held_up.wait_for("mutex")
        held_up.signal(number)
        assert held_up.finish(3) == -number


def test_a_mutex_removed_while_somebody_holds_it_is_made_anew(make_box):
    box = made_by_root(make_box)
    holds_mutex_and_is_stopped(box)
    held_up = box.start("run", *NEVER, "--", "true", user=ALICE)
    (box.lock / "mutex").unlink()  # by root, the owner of the directory: the remedy for a stuck one
    assert box.run("run", "--timeout", 2, "--", "true", user=ALICE).status == 0
    held_up.kill()
    all_goes_on(box)


# Something else in its place, in a directory that BOB made.

MUTEX_KINDS = {
    "fifo": "os.mkfifo(mutex); mutex.chmod(0o666)",
    "folder": "mutex.mkdir()",
    "link to nothing": "mutex.symlink_to(lock / 'elsewhere')",
    "link to a file": "(lock / 'elsewhere').write_text('x'); (lock / 'elsewhere').chmod(0o666); mutex.symlink_to(lock / 'elsewhere')",
    "link to another user's file": "mutex.symlink_to(lock.parent / 'precious')",
    "socket": "socket.socket(socket.AF_UNIX).bind(str(mutex))",
    "closed file": "mutex.write_text(''); mutex.chmod(0o600)",
    "read-only file": "mutex.write_text(''); mutex.chmod(0o644)",
}


def test_a_mutex_that_is_something_else_is_refused(make_box):
    def check(kind):
        box = make_box(cards=1)
        precious = box.folder / "precious"
        precious.write_text("precious")
        precious.chmod(0o666)
        intruder(box, "os.umask(0); lock.mkdir(0o1777)\n" + MUTEX_KINDS[kind])
        refused(box.run("run", "--", "true", user=ALICE))
        refused(box.run("wait", user=ALICE))
        assert precious.read_text() == "precious"
        assert not (box.lock / "elsewhere").exists() or (box.lock / "elsewhere").read_text() == "x"

    each(MUTEX_KINDS, check)
