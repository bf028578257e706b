#!/usr/bin/env python3
"""What gpu-gate and a real NVIDIA driver do together, for whoever has a GPU: `./dev test-gpu`, or

    gpu_check.py GPU_GATE [BENCH_NVML]

Runs real CUDA programs under gpu-gate and compares with nvidia-smi and CUDA, in about two minutes. It needs a GPU that nobody uses,
Python 3.8 and the driver, nothing else; torch and cupy are tried where they are there. It changes no setting and uses a lock directory
of its own. Prints a table that can be pasted into a report. Exit code 1: something is not as promised; 77: there is no GPU.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

LIMIT_S = 120      # for an event that has to happen
ROUNDS = 5         # of a hand-over
STARTS = 15        # of a program whose start is timed
LATE_MS = 100      # a start this much later than the memory is free is a fault
COST_RATIO = 1.1   # of what a start may take beside a program that makes the same calls
HIDDEN = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_CLAIM", "GPU_GATE_NVML")

# CUDA programs: each takes so many MiB of the first GPU that it sees, writes a line "PID SECONDS UUID" to a file, and stays.
DRIVER_JOB = """
import ctypes, os, sys, time
cuda = ctypes.CDLL("libcuda.so.1")
def demand(code):
    if code: sys.exit(f"CUDA error {code}")
device, context, memory, raw = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64(), (ctypes.c_ubyte * 16)()
demand(cuda.cuInit(0))
demand(cuda.cuDeviceGet(ctypes.byref(device), 0))
demand(cuda.cuDeviceGetUuid(raw, device))
demand(cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device))
if int(sys.argv[1]): demand(cuda.cuMemAlloc_v2(ctypes.byref(memory), ctypes.c_size_t(int(sys.argv[1]) << 20)))
uuid = bytes(raw).hex()
"""
TORCH_JOB = """
import os, sys, time
import torch
keep = torch.empty(int(sys.argv[1]) << 20, dtype=torch.uint8, device="cuda")
torch.cuda.synchronize()
uuid = str(torch.cuda.get_device_properties(0).uuid)
"""
CUPY_JOB = """
import ctypes, os, sys, time
import cupy
keep = cupy.zeros(int(sys.argv[1]) << 20, dtype=cupy.uint8)
cupy.cuda.Device().synchronize()
raw = (ctypes.c_ubyte * 16)()  # the UUID in cupy's own properties ends at its first zero byte
assert ctypes.CDLL("libcuda.so.1").cuDeviceGetUuid(raw, 0) == 0
uuid = bytes(raw).hex()
"""
AND_STAYS = """
with open(sys.argv[2], "a") as log: log.write(f"{os.getpid()} {time.monotonic()} {uuid.replace('-', '')}\\n")
time.sleep(float(sys.argv[3]))
"""
JOBS = {"driver API": DRIVER_JOB, "torch": TORCH_JOB, "cupy": CUPY_JOB}
# The UUIDs and sizes of the GPUs in CUDA's order.
CUDA_ORDER = """
import ctypes, json
cuda = ctypes.CDLL("libcuda.so.1")
count, device, raw, size, found = ctypes.c_int(), ctypes.c_int(), (ctypes.c_ubyte * 16)(), ctypes.c_size_t(), []
assert cuda.cuInit(0) == 0 and cuda.cuDeviceGetCount(ctypes.byref(count)) == 0
for i in range(count.value):
    assert cuda.cuDeviceGet(ctypes.byref(device), i) == 0 and cuda.cuDeviceGetUuid(raw, device) == 0
    assert cuda.cuDeviceTotalMem_v2(ctypes.byref(size), device) == 0
    found.append([bytes(raw).hex(), size.value >> 20])
print(json.dumps(found))
"""


class Missing(Exception):
    """What a step needs is not on this machine."""


class Table:
    def __init__(self):
        self.bad = 0

    def row(self, verdict, what, seen=""):
        self.bad += verdict == "BAD"
        print(f"| {verdict:4} | {what:46} | {seen} |", flush=True)

    def note(self, what, seen):
        self.row("", what, seen)

    def check(self, what, good, seen):
        self.row("ok" if good else "BAD", what, seen)

    def step(self, function, *words):
        """One step that fails does not hide the others."""
        try:
            function(self, *words)
        except Missing as reason:
            self.row("skip", function.__name__.replace("_", " "), reason)
        except Exception as problem:  # pylint: disable=broad-except
            self.row("BAD", function.__name__.replace("_", " "), f"{type(problem).__name__}: {problem}")


class Machine:
    """gpu-gate on this machine, with a lock directory of its own."""

    def __init__(self, gate, folder):
        self.gate = gate
        self.folder = pathlib.Path(folder)
        self.env = {name: value for name, value in os.environ.items() if name not in HIDDEN}
        self.env["GPU_GATE_LOCK_DIR"] = str(self.folder / "lock")
        self.env["GPU_GATE_HISTORY"] = str(self.folder / "history")  # which does not exist
        self.names = 0

    def new_path(self):
        self.names += 1
        return self.folder / f"log{self.names}"

    def call(self, *words, **env):
        return subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                              timeout=LIMIT_S, env={**self.env, **env})

    @contextlib.contextmanager
    def command(self, *words):
        """gpu-gate in the background."""
        with subprocess.Popen([str(word) for word in (self.gate, *words)], env=self.env) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, *words):
        return self.call(self.gate, "run", *words)

    def status(self):
        return json.loads(self.call(self.gate, "status", "--json").stdout)

    def smi(self, fields):
        out = self.call("nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader,nounits").stdout
        return [[cell.strip() for cell in line.split(",")] for line in out.splitlines() if line.strip()]

    @contextlib.contextmanager
    def job(self, mib, *options, kind="driver API", gate=True):
        """A CUDA program that runs and has its memory: (process, [pid, seconds, uuid])."""
        log = self.new_path()
        words = [sys.executable, "-c", JOBS[kind] + AND_STAYS, str(mib), str(log), "300"]
        env = self.env
        if gate:
            words = [str(self.gate), "run", "-q", *options, "--", *words]
        else:
            env = {**env, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "0"}
        with subprocess.Popen(words, env=env, stderr=subprocess.PIPE, text=True) as process:
            try:
                wait_until(lambda: process.poll() is not None or log.exists() and log.read_text().endswith("\n"), "a CUDA job runs")
                if not log.exists():
                    raise Missing(f"{kind}: {process.stderr.read().strip().splitlines()[-1:]}")
                yield process, log.read_text().split()
            finally:
                process.kill()


def wait_until(ready, what, limit_s=LIMIT_S):
    end = time.monotonic() + limit_s
    while True:
        got = ready()
        if got:
            return got
        if time.monotonic() > end:
            raise TimeoutError(f"not within {limit_s} s: {what}")
        time.sleep(0.001)


def plain(uuid):
    return uuid.replace("GPU-", "").replace("-", "").lower()


# --- the steps ------------------------------------------------------------------------------------


def the_machine(table, machine):
    for fields in ("name", "driver_version", "persistence_mode", "compute_mode", "mig.mode.current"):
        table.note(fields, ", ".join(sorted({cells[0] for cells in machine.smi(fields)})))
    table.note("kernel", platform.release())
    table.note("gpu-gate", machine.call(machine.gate, "--version").stdout.strip())


def the_board(table, machine):
    fields = "index,uuid,name,pci.bus_id,memory.total,memory.reserved,memory.used,memory.free,utilization.gpu"
    theirs = machine.smi(fields)
    ours = machine.status()
    table.check("as many GPUs as nvidia-smi", len(ours) == len(theirs), f"{len(ours)}, {len(theirs)}")
    for gpu, cells in zip(ours, theirs):
        name = f"GPU {gpu['index']}: "
        same = [str(gpu["index"]), gpu["uuid"], gpu["name"]] == cells[:3] and gpu["pci_bus_id"].lower() == cells[3].lower()
        table.check(name + "index, UUID, name, PCI address", same, f"{gpu['uuid']} {gpu['pci_bus_id']}")
        memory = [gpu[key] for key in ("memory_total_mb", "memory_reserved_mb", "memory_used_mb", "memory_free_mb")]
        # nvidia-smi rounds each of them by itself.
        same = all(number is None or abs(number - int(cell)) <= 1 for number, cell in zip(memory, cells[4:8]))
        table.check(name + "total, reserved, used, free MiB", same, f"{memory} beside {cells[4:8]}")
        table.note(name + "utilisation, health", f"{gpu['utilization_pct']} beside {cells[8]}, {gpu['health']}")


def the_order_of_cuda(table, machine):
    done = machine.call(sys.executable, "-c", CUDA_ORDER, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    if done.returncode != 0:
        raise Missing(done.stderr.strip().splitlines()[-1:])
    ours = [gpu for gpu in machine.status() if gpu["accessible"] and gpu["health"] != "mig"]
    theirs = json.loads(done.stdout)
    table.check("CUDA's order of GPUs", [plain(gpu["uuid"]) for gpu in ours] == [uuid for uuid, _ in theirs],
                [f"{uuid[:8]} {mib} MiB" for uuid, mib in theirs])


def a_job_is_seen(table, machine, kind):
    with machine.job(2048, kind=kind) as (process, (pid, _, uuid)):
        [gpu] = [gpu for gpu in machine.status() if gpu["claim"]]
        table.check(f"{kind}: the job sees the GPU that it was given", plain(uuid) == plain(gpu["uuid"]), uuid)
        table.check(f"{kind}: it has gpu-gate's pid", int(pid) == process.pid == gpu["claim"]["pid"], pid)
        listed = [one for one in gpu["processes"] if one["pid"] == process.pid]
        table.check(f"{kind}: it is listed with its memory and its claim",
                    len(listed) == 1 and listed[0]["claimed"] and listed[0]["memory_mb"] >= 2048, [one["memory_mb"] for one in listed])
        again = machine.run("-q", "--timeout", "0", "--only", gpu["uuid"], "--min-free-mb", "0", "--", "true")
        table.check(f"{kind}: its GPU is not given again", again.returncode == 124, again.returncode)


def an_outsider_is_seen(table, machine):
    with machine.job(0, gate=False):
        taken = machine.status()[0]
        done = machine.run("-q", "--timeout", "0", "--only", "0", "--", "true")
        table.check("a job without a claim keeps its GPU", done.returncode == 124 and len(taken["processes"]) == 1,
                    f"{done.returncode}, {taken['memory_used_mb']} MiB in use")


def two_share(table, machine):
    with machine.job(1024, "--share", "4G", "--only", "0") as (one, _), machine.job(1024, "--share", "4G", "--only", "0") as (other, _):
        gpu = machine.status()[0]
        used = {process["pid"]: process["memory_mb"] for process in gpu["processes"]}
        table.check("two jobs share a GPU", [claim["share_mb"] for claim in gpu["claims"]] == [4096, 4096]
                    and set(used) == {one.pid, other.pid}, used)
        whole = machine.run("-q", "--timeout", "0", "--only", "0", "--min-free-mb", "0", "--", "true")
        more = machine.run("-q", "--timeout", "0", "--only", "0", "--share", str(gpu["memory_total_mb"] - 8000), "--", "true")
        table.check("no whole claim beside them, nor more than there is room", (whole.returncode, more.returncode) == (124, 124),
                    f"{whole.returncode}, {more.returncode}")


class Reader:
    """How much of GPU 0 is in use, by NVML and as little else as can be."""

    def __init__(self):
        self.nvml = ctypes.CDLL("libnvidia-ml.so.1")
        self.device = ctypes.c_void_p()
        began = time.perf_counter()
        if self.nvml.nvmlInit_v2() or self.nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self.device)):
            raise Missing("NVML cannot be initialised")
        self.init_ms = (time.perf_counter() - began) * 1000

    def used_mib(self):
        memory = (ctypes.c_ulonglong * 3)()
        self.nvml.nvmlDeviceGetMemoryInfo(self.device, memory)
        return memory[2] >> 20

    def close(self):
        self.nvml.nvmlShutdown()


def a_hand_over(table, machine, who, mib):
    """From the end of a job to free memory, as read a thousand times a second, and to the start of the next command."""
    freed, started = [], []
    for turn in range(ROUNDS):
        mark = machine.new_path()
        with machine.job(mib, "--only", "0", gate=who != "an outsider") as (first, _):
            reader = Reader()
            full = reader.used_mib()
            with machine.command("run", "-q", "--only", "0", "--", "touch", mark) as following:
                wait_until(lambda: machine.call(machine.gate, "status").stdout.find("waiting: 1") >= 0, "the next one stands in line")
                time.sleep(1.5)  # as most have: the driver's session is closed by then
                first.send_signal(signal.SIGTERM if turn % 2 else signal.SIGKILL)
                first.wait()
                ended, free, start = time.monotonic(), None, None
                while (free is None or start is None) and time.monotonic() < ended + 30:
                    if free is None and reader.used_mib() < full - mib // 2:
                        free = time.monotonic()
                    if start is None and mark.exists():
                        start = time.monotonic()
                    time.sleep(0.001)
                reader.close()
                following.wait(LIMIT_S)
            if free is None or start is None:
                raise TimeoutError("the memory stays in use" if free is None else "the next one does not start")
            freed.append((free - ended) * 1000)
            started.append((start - ended) * 1000)
    late = statistics.median(start - free for start, free in zip(started, freed))
    table.note(f"{who} of {mib} MiB: end to free memory, ms", [round(ms, 1) for ms in freed])
    table.note(f"{who} of {mib} MiB: end to the next start, ms", [round(ms, 1) for ms in started])
    table.check(f"{who}: the next starts when the memory is free", late < LATE_MS, f"{late:.1f} ms later in the median")


def what_it_costs(table, machine, nvml_program):
    def wall_ms(*words):
        began = time.perf_counter()
        subprocess.run([str(word) for word in words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, env=machine.env)
        return (time.perf_counter() - began) * 1000

    reader = Reader()
    table.note("nvmlInit and a handle, ms", round(reader.init_ms, 2))
    reader.close()
    commands = {"true": ["true"], "gpu-gate status": [machine.gate, "status"], "gpu-gate run -- true": [machine.gate, "run", "-q", "--", "true"]}
    if nvml_program:
        commands["the same NVML calls and no more"] = [nvml_program, "libnvidia-ml.so.1", machine.new_path()]
    times = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, words in commands.items():
            times[name].append(wall_ms(*words))
    medians = {name: statistics.median(each) for name, each in times.items()}
    for name, ms in medians.items():
        table.note(f"{name}, ms", round(ms, 2))
    if nvml_program:
        # The program is one start, run and its command are two.
        ratio = medians["gpu-gate run -- true"] / (medians["the same NVML calls and no more"] + medians["true"])
        table.check("a start beside the same NVML calls", ratio <= COST_RATIO, f"{ratio:.2f} times")


def main():
    if not 2 <= len(sys.argv) <= 3 or not os.access(sys.argv[1], os.X_OK):
        sys.exit(__doc__)
    gate = pathlib.Path(sys.argv[1]).resolve()
    if not shutil.which("nvidia-smi") or subprocess.run(["nvidia-smi", "-L"], stdout=subprocess.DEVNULL, check=False).returncode:
        print("no NVIDIA GPU here")
        sys.exit(77)
    table = Table()
    with tempfile.TemporaryDirectory(prefix="gpu-gate-check-") as folder:
        machine = Machine(gate, folder)
        for step in (the_machine, the_board, the_order_of_cuda):
            table.step(step, machine)
        for kind in JOBS:
            table.step(a_job_is_seen, machine, kind)
        for step in (an_outsider_is_seen, two_share):
            table.step(step, machine)
        for who, mib in (("a job", 8192), ("an outsider", 8192), ("a small job", 64)):
            table.step(a_hand_over, machine, who, mib)
        table.step(what_it_costs, machine, sys.argv[2] if len(sys.argv) == 3 else None)
    print(f"{table.bad} BAD")
    sys.exit(1 if table.bad else 0)


if __name__ == "__main__":
    main()
