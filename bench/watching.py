"""What `gpu-gate status --watch` costs on a terminal, as the line is long and little happens."""

import os
import select
import time

from arena import Failed, wait_until
from table import Row, at_most
from waiting import cpu_s, pss_mib

DEVICES, WAITERS, QUICK_WAITERS = 16, 500, 100
WINDOW_S, QUICK_WINDOW_S = 60, 10
CPU_LIMIT = 1  # percent of a core


def measure(arena, options):
    window_s, waiters = options.of(WINDOW_S, QUICK_WINDOW_S), options.of(WAITERS, QUICK_WAITERS)
    machine = arena.machine(devices=DEVICES)
    machine.env["TERM"] = "xterm"
    for _ in range(DEVICES):
        machine.start(*machine.gate_run(arena.sim_job, "--for", "-1"))
    wait_until(lambda: len(list(machine.lock_dir.glob("claims/*.json"))) == DEVICES, "the GPUs are taken")
    for i in range(waiters):
        machine.start(*machine.gate_run("/bin/true", options=("-q",)))
    wait_until(lambda: len(list(machine.lock_dir.glob("queue/*.json"))) == waiters, "all are in line", pause_s=0.02)
    main, side = os.openpty()
    watch = machine.start(arena.gate, "status", "--watch=1", terminal=os.ttyname(side))
    drawn, before = 0, None
    end = time.monotonic() + window_s + 3
    while (left := end - time.monotonic()) > 0:
        if select.select([main], [], [], min(left, 0.5))[0]:
            drawn += len(os.read(main, 65536))
        if before is None and left <= window_s:  # the first look is done
            before, drawn = cpu_s([watch]), 0
    cpu = (cpu_s([watch]) - before) / window_s
    if not watch.running():
        raise Failed("the watch has ended")
    memory = pss_mib(watch)
    arena.end_children()
    os.close(main)
    os.close(side)
    name = f"status --watch=1, {DEVICES} GPUs, {waiters} waiting"
    return [
        at_most(f"{name}: CPU of a core", 100 * cpu, CPU_LIMIT, "%"),
        Row(f"{name}: memory (PSS)", memory, "MiB"),
        Row(f"{name}: written to the terminal", drawn / window_s, "B/s"),
    ]
