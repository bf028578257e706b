"""What a line costs while nothing happens."""

import os
import pathlib
import re
import resource
import select
import time

from arena import Failed, wait_until
from handoff import blocked_on
from table import Row, at_most

WAITERS = 64
WINDOW_S, QUICK_WINDOW_S = 20, 5
CPU_LIMIT_S = 0.1  # in 20 s
ON_TERMINALS = 1000
JOINED_S = 5  # until the last to come have counted those ahead of them
TERMINALS_LIMIT = 0.02  # of a core


def measure(arena, options):
    window_s = options.of(WINDOW_S, QUICK_WINDOW_S)
    nvml_log = arena.folder / "nvml.log"
    machine = arena.machine(devices=1, lines=[f"log {nvml_log}"])
    # The GPU is busy as it usually is: claimed, with a process and its memory on it.
    machine.start(*machine.gate_run(arena.sim_job, "--for", "-1"))
    wait_until(lambda: machine.state.exists() and any(machine.state.iterdir()), "the GPU is taken")
    gates = [machine.start_in_line("/bin/true", number=i) for i in range(WAITERS)]
    flocks = wait_behind_flock(machine)

    time.sleep(1)  # until the last to arrive have finished joining
    seen = nvml_log.stat().st_size
    before = cpu_s(gates), cpu_s(flocks)
    time.sleep(window_s)
    if not all(child.running() for child in gates + flocks):
        raise Failed("a waiter did not wait")
    cpu, flock_cpu = cpu_s(gates) - before[0], cpu_s(flocks) - before[1]
    calls = [line.split()[0] for line in nvml_log.read_text()[seen:].splitlines()]
    memory, flock_memory = [pss_mib(child) for child in gates], [pss_mib(child) for child in flocks]
    arena.end_children()
    name = f"waiting, {WAITERS}"
    return [
        at_most(f"{name}: CPU in {window_s} s", cpu, CPU_LIMIT_S * window_s / WINDOW_S, "s", flock_cpu),
        at_most(f"{name}: processes that read NVML", len(set(calls)), 1, ""),
        Row(f"{name}: NVML calls", len(calls) / window_s, "/s"),
        at_most(f"{name}: memory (PSS) of the largest but the first", max(memory[1:]), 1, "MiB",
                max(flock_memory)),
        Row(f"{name}: memory of the first", memory[0], "MiB", max(flock_memory)),
        Row(f"{name}: memory of all", sum(memory), "MiB", sum(flock_memory)),
        *measure_on_terminals(arena, options),
    ]


def measure_on_terminals(arena, options):
    """Each rewrites a line on a terminal of its own, and the terminal is read."""
    window_s = options.of(WINDOW_S, QUICK_WINDOW_S)
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))  # two for each terminal

    def join(terminals):
        machine = arena.machine(devices=1)
        machine.env["TERM"] = "xterm"
        machine.start(*machine.gate_run("/bin/sleep", "1000"))
        wait_until(lambda: list(machine.lock_dir.glob("claims/*.json")), "the GPU is taken")
        began = time.monotonic()
        children = [machine.start(*machine.gate_run("/bin/true", options=() if terminal else ("-q",)), terminal=terminal)
                    for terminal in terminals]
        wait_until(lambda: len(list(machine.lock_dir.glob("queue/*.json"))) == len(children), "all are in line", pause_s=0.02)
        return children, time.monotonic() - began

    _, quiet_s = join(ON_TERMINALS * [None])
    arena.end_children()
    pairs = [os.openpty() for _ in range(ON_TERMINALS)]
    gates, joined_s = join([os.ttyname(side) for _, side in pairs])
    readers = select.poll()
    for main, _ in pairs:
        readers.register(main, select.POLLIN)
    end, before = time.monotonic() + window_s + JOINED_S, None
    while (left := end - time.monotonic()) > 0:
        for main, _ in readers.poll(1000 * min(left, 0.5)):
            os.read(main, 65536)
        if before is None and left <= window_s:
            before = cpu_s(gates)
    cpu = (cpu_s(gates) - before) / window_s
    if not all(child.running() for child in gates):
        raise Failed("a waiter did not wait")
    arena.end_children()
    for main, side in pairs:
        os.close(main)
        os.close(side)
    name = f"waiting on terminals, {ON_TERMINALS}"
    return [
        at_most(f"{name}: CPU of a core", 100 * cpu, 100 * TERMINALS_LIMIT, "%"),
        at_most(f"{name}: until all are in line", joined_s, 1.3 * quiet_s, "s", quiet_s),
    ]


def wait_behind_flock(machine):
    lock = machine.folder / "flock"
    machine.start(machine.arena.flock, lock, "/bin/sleep", "1000")
    wait_until(lambda: lock.exists() and is_locked(lock), "flock holds")
    flocks = [machine.start(machine.arena.flock, lock, "/bin/true") for _ in range(WAITERS)]
    wait_until(lambda: blocked_on(lock) == WAITERS, "all of flock's block")
    return flocks


def is_locked(path):
    return f":{path.stat().st_ino} " in pathlib.Path("/proc/locks").read_text()


def cpu_s(children):
    """Time on a CPU so far; /proc/PID/stat counts in ticks of 10 ms, which is too coarse."""
    total_ns = 0
    for child in children:
        for task in os.scandir(f"/proc/{child.pid}/task"):
            total_ns += int(pathlib.Path(task.path, "schedstat").read_text().split()[0])
    return total_ns / 1e9


def pss_mib(child):
    """Memory, with each page that several processes share divided among them."""
    text = pathlib.Path(f"/proc/{child.pid}/smaps_rollup").read_text()
    return int(re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)[1]) / 1024
