"""A job that closes or reuses the descriptors of its claim keeps its cards: as long as the process that became the
command lives, and no longer."""

import json
import os
import shutil
import signal

import pytest

from fixtures import needs_mounts
from harness import ALICE, BOB, NEVER, ROOT, each, state_of, wait_until
from traced import NO_LEAK_CHECK, STRACE

CLOSE_ALL = "import os, time; os.closerange(3, 4096);"
STAY = "print('closed', flush=True); time.sleep(1000)"
SETS_OF_WORDS = {
    "a script that uses 200 itself": ["bash", "-c", "exec 200>own; flock -n 200; echo closed; sleep 1000"],
    "a script that closes all it can": ["bash", "-c", "for i in {3..1100}; do eval \"exec $i>&-\"; done; echo closed; sleep 1000"],
    "a script that uses the very number": ["bash", "-c", "exec 720>own; echo closed; exec sleep 1000"],
    "Python's closerange": ["python3", "-c", CLOSE_ALL + STAY],
    "a daemon in the foreground": ["/usr/sbin/start-stop-daemon", "--start", "--pidfile", "/nonexistent", "--exec", "/bin/sh", "--", "-c", "echo closed; exec sleep 1000"],
    "a C shell": ["tcsh", "-f", "-c", "echo closed; exec sleep 1000"],
    "the first thread ends": ["python3", "-c", CLOSE_ALL + "import ctypes, threading;"
                              f"threading.Thread(target=lambda: exec(\"{STAY}\")).start();"
                              "ctypes.CDLL(None).pthread_exit(None)"],
}


def second(box, user=BOB):
    """Another that must not get the card."""
    return box.run("run", "-q", "--timeout", 0, "--", "echo", "TWICE", user=user)


def start_closed(box, words, user=ALICE, **options):
    job = box.start("run", "--", *words, user=user, cwd=box.folder, **options)
    job.wait_for("closed", stdout=True)
    return job


def held_until_it_ends(box, job):
    assert second(box).status == 124
    claim = box.status()[0]["claim"]
    assert claim and claim["pid"] == job.pid, claim
    waiter = box.wait_in_line(*NEVER, user=BOB)
    assert "claimed by" in waiter.err
    job.signal(signal.SIGKILL)  # and nobody reaps it
    assert waiter.finish(5) == 0, waiter
    assert state_of(job.pid) == "Z"
    assert box.claimed() == []


@pytest.mark.parametrize("name", SETS_OF_WORDS)
def test_a_job_that_closes_the_descriptor_of_its_claim_keeps_the_card_until_it_ends(box, name):
    words = SETS_OF_WORDS[name]
    if not shutil.which(words[0]):
        pytest.skip(f"there is no {words[0]} here")
    held_until_it_ends(box, start_closed(box, words))


def test_screen_in_the_foreground_keeps_the_card(box):
    if not shutil.which("screen"):
        pytest.skip("there is no screen here")
    mark = box.folder / "mark"
    (box.folder / "screens").mkdir(mode=0o700)
    shutil.chown(box.folder / "screens", ALICE.name)
    job = box.start("run", "--", "screen", "-D", "-m", "sh", "-c", f"touch {mark}; exec sleep 1000", user=ALICE,
                    env={"SCREENDIR": box.folder / "screens", "TERM": "dumb"})
    wait_until(mark.exists, "screen's own command runs")
    held_until_it_ends(box, job)


def test_a_command_that_becomes_another_user_keeps_the_card(box):
    """As sudo and doas do, which close all descriptors, too."""
    script = CLOSE_ALL + f"os.setgid({ALICE.gid}); os.setuid({ALICE.uid});" + STAY
    held_until_it_ends(box, start_closed(box, ["python3", "-c", script], user=ROOT))


def test_all_cards_of_a_job_that_closed_one_descriptor_stay_claimed(make_box):
    box = make_box(cards=3)
    job = box.start("run", "-n", 2, "--", "bash", "-c", "exec 720>&-; echo closed; exec sleep 1000", user=ALICE)
    job.wait_for("closed", stdout=True)
    assert box.claimed() == [0, 1]
    waiter = box.wait_in_line(*NEVER, "-n", 3, user=BOB)
    job.kill()
    assert waiter.finish(5) == 0


def test_a_background_process_keeps_the_card_when_the_job_has_closed_it(box):
    """Whichever is longer."""
    job = start_closed(box, ["bash", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!; exec 720>&-; echo closed; exec sleep 1000"])
    child = int(job.out.split()[0])
    job.kill()
    assert box.claimed() == [0] and second(box).status == 124
    waiter = box.wait_in_line(*NEVER, user=BOB)
    os.kill(child, signal.SIGKILL)
    assert waiter.finish(5) == 0


def test_a_call_inside_a_job_that_closed_its_descriptors_gets_the_jobs_card(box):
    script = (CLOSE_ALL + "import subprocess; subprocess.run([os.environ['GATE'], 'run', '--timeout', '0', '--', 'echo', 'inner']);"
              + STAY)
    job = start_closed(box, ["python3", "-c", script], env={"GATE": box.gate})
    assert job.out == "inner\nclosed\n", job


def test_a_hold_ends_with_its_own_time_and_not_with_its_owner(box):
    owner = box.start_plain("sleep", 1000)
    assert box.run("hold", "--pid", owner.pid, "--for", "0.05s").status == 0
    wait_until(lambda: box.claimed() == [], "the time is over")
    assert owner.alive()
    assert box.run("hold", "--pid", owner.pid).status == 0
    [keeper] = [pid for pid in box.running() if pid != owner.pid]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: box.claimed() == [], "the keeper is gone")
    assert owner.alive()


# A claim or a place whose record this program does not know.


def make_newer(record):
    content = json.loads(record.read_text())
    content["version"] = 2
    fresh = record.with_suffix(".fresh")
    fresh.write_text(json.dumps(content))
    shutil.chown(fresh, record.stat().st_uid, record.stat().st_gid)
    fresh.rename(record)


def test_a_claim_with_a_record_of_a_newer_version_is_a_claim(box):
    job = start_closed(box, ["python3", "-c", CLOSE_ALL + STAY])
    [record] = (box.lock / "claims").glob("*.json")
    make_newer(record)
    held_until_it_ends(box, job)


def test_a_waiter_with_a_record_of_a_newer_version_keeps_its_place_and_its_cards(make_box):
    box = make_box(cards=2)
    holders = [box.hold("--only", card) for card in (0, 1)]
    first = box.wait_in_line(*NEVER, user=ALICE, command=("sh", "-c", "echo first; exec sleep 1000"))
    [record] = (box.lock / "queue").glob("*.json")
    make_newer(record)
    first.stop()
    for holder in holders:
        holder.kill()
    assert second(box).status == 124
    assert "waiting: 1" in box.run("status").out
    first.signal(signal.SIGCONT)
    first.wait_for("first", stdout=True)
    assert second(box).status == 0


# What keeps the process from being looked at or watched.


def test_a_process_that_cannot_be_watched_keeps_its_card_and_costs_no_spinning(make_box):
    def check(error):
        with make_box(cards=1) as box:
            job = start_closed(box, ["python3", "-c", CLOSE_ALL + STAY])
            box.log_calls()
            waiter = box.start_plain(*STRACE, "-o", "/dev/null", "-e", f"inject=pidfd_open:error={error}", box.gate, "run",
                                     "--poll", 0.2, "--", "true", env=NO_LEAK_CHECK)
            box.wait_for_looks(3)
            looks = box.looks()
            assert waiter.alive() and looks < 30, looks
            job.kill()
            assert waiter.finish() == 0

    each(["ENOSYS", "EPERM"], check)


@needs_mounts
@pytest.mark.parametrize("hidepid", ["noaccess", "invisible"])
def test_a_process_that_cannot_be_looked_at_keeps_its_card(box, hidepid):
    job = start_closed(box, ["python3", "-c", CLOSE_ALL + STAY])
    script = (f"mount -t proc -o hidepid={hidepid} proc /proc && "
              f'exec setpriv --reuid {BOB.uid} --regid {BOB.gid} --clear-groups "$@"')

    def hidden(*words):
        return ("unshare", "-m", "sh", "-c", script, "sh", box.gate, *words)

    seen = box.run_plain("unshare", "-m", "sh", "-c", script, "sh", "ls", f"/proc/{job.pid}/fd")
    assert seen.status != 0
    done = box.run_plain(*hidden("run", "-q", "--timeout", 0, "--", "echo", "TWICE"))
    assert (done.status, done.out) == (124, ""), done
    waiter = box.start_plain(*hidden("run", *NEVER, "--", "echo", "served"))
    waiter.wait_for("in line")
    job.signal(signal.SIGKILL)
    assert waiter.finish(5) == 0
    assert waiter.out == "served\n"
