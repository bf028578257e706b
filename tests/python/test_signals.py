"""The Python front where signals are ignored, or come at any moment."""

import pytest

import harness

IGNORE = "import signal; signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
REAP_ALL = """
import os, signal
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]: pass
    except ChildProcessError: pass
signal.signal(signal.SIGCHLD, reap)
"""
IN_A_THREAD = """
import threading
def in_a_thread(work):
    thread = threading.Thread(target=work); thread.start(); thread.join()
"""

TELL = """
import gpu_gate
def tell(work):
    try: work()
    except gpu_gate.GpuGateError as error: print(type(error).__name__, error.exit_code, bool(str(error)))
    else: print("no error")
"""


@pytest.mark.parametrize("trouble", ["", IGNORE, REAP_ALL], ids=["", "ignored", "reaped by a handler"])
@pytest.mark.parametrize("where", ["tell(lambda: {})", IN_A_THREAD + "in_a_thread(lambda: tell(lambda: {}))"],
                         ids=["", "in a thread"])
def test_the_class_of_an_error_does_not_depend_on_sigchld(box, trouble, where):
    def told(call, **env):
        settings = "import os\n" + "".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in env.items())
        program = box.python(TELL + settings + trouble + where.replace("{}", call))
        assert program.finish() == 0, program
        return program.out.strip()

    for call in ("gpu_gate.wait({})", "gpu_gate.claim({}).__enter__()"):
        assert told(call.replace("{}", "count=2")) == "NeverSatisfiable 3 True"
        assert told(call.replace("{}", "count=0")) == "BadRequest 2 True"
        assert told(call.replace("{}", ""), GPU_GATE_NVML="/nonexistent") == "ProbeError 4 True"
        assert told(call.replace("{}", ""), GPU_GATE_LOCK_DIR="/proc/none") == "LockDirError 5 True"
        assert told(call.replace("{}", "")) == "no error"
    assert told("gpu_gate.status()") == "no error"
    assert told("gpu_gate.status()", GPU_GATE_NVML="/nonexistent") == "ProbeError 4 True"
    holder = box.hold()
    assert told("gpu_gate.wait(timeout=0)") == "GpuTimeout 124 True"
    holder.kill()


# A call that is interrupted again and again, each time at another moment: what is left of it?
INTERRUPTED = """
import asyncio, gc, glob, os, random, signal, sys, time
import gpu_gate, gpu_gate._program

def block():
    with gpu_gate.claim(quiet=True): pass

async def task():
    async with gpu_gate.claim(quiet=True): pass

calls = {"claim": block, "async claim": lambda: asyncio.run(task()), "wait": gpu_gate.wait, "status": gpu_gate.status}
call, rounds = calls[sys.argv[1]], int(sys.argv[2])

def left():
    gc.collect()  # of an event loop that was interrupted amid its making
    children = []
    for file in glob.glob("/proc/self/task/*/children"):
        try: children += open(file).read().split()
        except FileNotFoundError: pass  # a thread that has just ended
    variables = [name for name in os.environ if name.startswith(("CUDA_", "GPU_GATE_CLAIM"))]
    return len(children), len(os.listdir("/proc/self/fd")), variables, set(gpu_gate._program._running)

def interrupted(after):
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, after)
            call()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    return False

def interrupt(number, frame):
    # Amid a step of the event loop's own it would be asyncio that loses something: its word for "wake up", say.
    while frame is not None and os.path.basename(os.path.dirname(frame.f_code.co_filename)) != "gpu_gate":
        if frame.f_code.co_filename.endswith(("/selectors.py", "/socket.py")) or "/asyncio/" in frame.f_code.co_filename:
            signal.setitimer(signal.ITIMER_REAL, 1e-4)  # no sooner: the next one would come before this has returned
            return
        frame = frame.f_back
    raise KeyboardInterrupt

signal.signal(signal.SIGALRM, interrupt)
call()
began = time.monotonic()
call()
takes, before, interrupts = time.monotonic() - began, left(), 0
while interrupts < rounds: interrupts += interrupted(random.uniform(1e-6, takes))
print("left", before, left())
"""


@pytest.mark.parametrize("call", ["claim", "async claim", "wait", "status"])
def test_an_interrupt_at_any_moment_leaves_nothing(box, call):
    """A KeyboardInterrupt may come between any two steps, as it does in a notebook that goes on."""
    rounds = 100 // harness.SAMPLE
    program = box.python(INTERRUPTED, call, rounds)
    assert program.finish() == 0, program
    before, after = program.wait_for(r"^left (\(.*?\)) (\(.*\))$", stdout=True).groups()
    assert after == before
    assert box.claimed() == []
