"""A user who means harm: BOB acts here with his own rights, in a process of his own."""

import re

from harness import ALICE, BOB, NEVER, ROOT

REMEDY = r"GPU_GATE_LOCK_DIR|chmod|free some space|make its parent|remove"

PRELUDE = """
import contextlib, ctypes, fcntl, json, os, pathlib, random, signal, socket, sys, time
lock = pathlib.Path(os.environ["GPU_GATE_LOCK_DIR"])
queue, claims, mutex = lock / "queue", lock / "claims", lock / "mutex"
holding = []

def counters():
    return [int(word) for word in mutex.read_bytes()[:42].split()]

def live(path):
    "A FIFO that counts as held."
    os.mkfifo(path, 0o644)
    holding.append(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    return holding[-1]

def record(**more):
    stat = pathlib.Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return {"version": 1, "pid": os.getpid(), "start": int(stat[19]), "since": 0, "command": "evil",
            "pid_namespace": os.stat("/proc/self/ns/pid").st_ino, **more}

def ready(*words):
    print("ready", *words, flush=True)

def stay():
    while True:
        signal.pause()
"""


def intruder(box, code, user=BOB):
    """Runs this code as BOB, who lives on afterwards; returns once the code says ready()."""
    process = box.start_plain("python3", "-c", PRELUDE + code + "\nready()\nstay()\n", user=user)
    process.wait_for("^ready", stdout=True)
    return process


def made_by_root(make_box, cards=1):
    """A machine whose lock directory belongs to root, as a package or an administrator makes it."""
    box = make_box(cards=cards)
    assert box.run("run", "--", "true").status == 0
    return box


def all_goes_on(box):
    """Two other users take turns, the line moves on a release alone, and status tells of it."""
    holder = box.hold("--only", 0, user=ALICE)
    first = box.wait_in_line(*NEVER, "--only", 0, user=ROOT)
    second = box.wait_in_line(*NEVER, "--only", 0, user=ALICE)
    told = box.run("status", user=ALICE)
    assert told.status == 0, told
    assert "games: s" in told.out and "waiting: 2" in told.out, told
    holder.kill()
    for waiter in (first, second):
        assert waiter.finish(5) == 0


def refused(done):
    """One line that says what is wrong and what helps."""
    assert done.status == 5, done
    assert len(done.lines) == 1 and done.err.startswith("gpu-gate: "), done
    assert re.search(REMEDY, done.err), done
