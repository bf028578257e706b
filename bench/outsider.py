"""A GPU that somebody outside gpu-gate gives back, and memory that takes its time to be free."""

import ctypes
import os
import random
import select
import statistics
import time

from arena import PATIENCE_S, Failed, wait_until
from table import Row, at_most

LINGER_MS = (0, 100, 500, 2000)
TIMES, QUICK_TIMES = 10, 3
JITTER_MS = 40  # so that the times to the free memory are not in step with gpu-gate's looks
LIMIT_MS = 50
POLL_S = 1000  # no ordinary look comes to help: only the end of the process is noticed

IN_DELETE = 0x200  # inotify(7)


def measure(arena, options):
    chance = random.Random(options.seed)
    rows = []
    for linger_ms in LINGER_MS:
        late_ms = [start_after_memory(arena, linger_ms + (chance.uniform(0, JITTER_MS) if linger_ms else 0))
                   for _ in range(options.of(TIMES, QUICK_TIMES))]
        name = f"outsider, memory free {linger_ms} ms after"
        rows += [
            at_most(f"{name}: worst", max(late_ms), LIMIT_MS, "ms"),
            Row(f"{name}: median", statistics.median(late_ms), "ms"),
        ]
    return rows


def start_after_memory(arena, linger_ms):
    """Milliseconds from the moment the memory is free to the start of the first in line."""
    machine = arena.machine(devices=1)
    outsider = machine.start(arena.sim_job, "--for", "-1", "--linger", round(linger_ms))
    wait_until(lambda: machine.state.exists() and any(machine.state.iterdir()), "the outsider is there")
    waiter = machine.start_in_line(*machine.job("waiter", 0), number=0, options=["--poll", POLL_S])
    time.sleep(0.1)
    free_ns = time_of_deletion(machine.state, outsider.kill)
    if waiter.wait() != 0:
        raise Failed(f"the waiter ended with {waiter.status}")
    outsider.wait()
    [started_ns] = [int(ns) for what, _, ns in machine.log_lines() if what == "start"]
    return (started_ns - free_ns) / 1e6


def time_of_deletion(folder, trigger):
    """When the simulated driver frees the memory, which is when it removes the file that stands for it."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_CLOEXEC)
    try:
        if libc.inotify_add_watch(watch, os.fsencode(folder), IN_DELETE) < 0:
            raise Failed("inotify_add_watch: " + os.strerror(ctypes.get_errno()))
        trigger()
        poll = select.poll()
        poll.register(watch, select.POLLIN)
        if not poll.poll(PATIENCE_S * 1000):
            raise Failed("the memory was not freed")
        return time.monotonic_ns()
    finally:
        os.close(watch)
