"""A simulated machine, its users, and gpu-gate as they run it.

Everything here is real but the driver: the built program, real processes of real users, real signals.
Tests wait for events, never for time: every wait has a limit after which it fails and says what it saw.

    box.run("status")                 runs gpu-gate to its end: .status, .out, .err, .lines
    box.start("run", "--", "true")    starts it: .wait_for(pattern), .signal(n), .finish(), .status, ...
    box.hold(), box.wait_in_line()    one that holds a card, one that stands in line
    box.run_plain(...), start_plain   the same with another program
"""

import concurrent.futures
import contextlib
import fcntl
import functools
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import struct
import subprocess
import tempfile
import termios
import threading
import time

SOURCE = pathlib.Path(__file__).parents[2]
BUILD = pathlib.Path(os.environ.get("GPU_GATE_BUILD", SOURCE / "build"))
LIMIT = float(os.environ.get("GPU_GATE_TEST_LIMIT", "30"))  # seconds until a missing event is a failure
SAMPLE = int(os.environ.get("GPU_GATE_TEST_SAMPLE", "1"))  # 8: every eighth test and case only
WRAPPER = os.environ.get("GPU_GATE_WRAPPER", "").split()  # words before gpu-gate: valgrind and its options

# What was started in the background ignores SIGINT, and whatever it starts would, too.
for _number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
    if signal.getsignal(_number) == signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)


class User:
    """A real account of the machine; the tests run as root and become it."""

    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.name, self.uid, self.gid = name, entry.pw_uid, entry.pw_gid

    def options(self):
        if self.uid == os.geteuid():
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


ROOT = User("root")
ALICE = User("games")  # accounts that every Debian and Ubuntu has; their names appear in what is printed
BOB = User("man")


NEVER = ("--poll", 1000)  # a waiter that waits for the next look waits for ever


def uuid(index):
    return f"GPU-{index:08x}-0000-4000-8000-{index:012x}"


# Time.

def lateness():
    """How many seconds late this machine is just now with what takes moments: nothing, or more where a hundred
    others compute. It is measured by some empty programs, each a matter of 1 ms."""
    began = time.monotonic()
    for _ in range(5):
        subprocess.run(["/bin/true"], check=True)
    return 5 * max(0.0, time.monotonic() - began - 0.05)


class Limit:
    """So many seconds from now, and as many more as the machine is late when they are over."""

    def __init__(self, seconds):
        self.seconds, self.began, self.late = seconds, time.monotonic(), None

    def left(self):
        """How long one may wait still; 0 once it is over."""
        left = self.began + self.seconds + (self.late or 0) - time.monotonic()
        if left <= 0 and self.late is None:
            self.late = lateness()
            return self.late
        return max(left, 0)

    def __str__(self):
        return f"{self.seconds} s" + (f" and {self.late:.1f} s for a late machine" if self.late else "")


def wait_until(condition, what, limit=LIMIT):
    """Polls a condition that has no event of its own; returns its first true value."""
    limit = Limit(limit)
    while True:
        value = condition()
        if value:
            return value
        if not limit.left():
            raise AssertionError(f"not within {limit}: {what}")
        time.sleep(0.005)


# Processes.

def state_of(pid):
    """The letter of its state, or nothing where there is no such process any more."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def children_of(pid):
    """The pids of what it has started and not reaped, oldest first."""
    try:
        return [int(word) for word in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


def processes_with(file, text, since=0.0):
    """The pids of all processes whose /proc/PID/FILE holds these bytes; one may end while it is looked at. Those
    whose /proc/PID the kernel knew before this time (of time.time()) are passed over, which costs less."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{entry}").st_ctime >= since and text in pathlib.Path("/proc", entry, file).read_bytes():
                yield int(entry)


class Process:
    """A program that runs, or has run.

    .out and .err are what it has written so far, and all of it after finish(). What is no UTF-8 stands there as
    surrogates: os.fsencode() gives the bytes back. .lines are the whole lines of .err, where gpu-gate speaks.
    .status is its exit status (negative: the signal), None while it runs.
    """

    def __init__(self, words, env, user=ROOT, input=None, **options):
        self.words = words
        self._out, self._err = [], []
        self._changed = threading.Condition()
        options.setdefault("stdin", subprocess.DEVNULL if input is None else subprocess.PIPE)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        self.popen = subprocess.Popen(words, env=env, **user.options(), **options)
        self._open = 0  # streams that can still bring something
        self._threads = []
        for stream, lines in ((self.popen.stdout, self._out), (self.popen.stderr, self._err)):
            if stream:
                self._open += 1
                self._threads.append(threading.Thread(target=self._read, args=(stream, lines), daemon=True))
        if input is not None:
            self._threads.append(threading.Thread(target=self._write, args=(input,), daemon=True))
        for thread in self._threads:
            thread.start()

    def _read(self, stream, lines):
        with stream:
            for raw in stream:
                with self._changed:
                    lines.append(raw.decode("utf-8", "surrogateescape"))
                    self._changed.notify_all()
        with self._changed:
            self._open -= 1
            self._changed.notify_all()

    def _write(self, data):
        with contextlib.suppress(BrokenPipeError), self.popen.stdin as stream:
            stream.write(data)

    @property
    def pid(self):
        return self.popen.pid

    @property
    def status(self):
        return self.popen.poll()

    @property
    def out(self):
        return "".join(self._out)

    @property
    def err(self):
        return "".join(self._err)

    @property
    def lines(self):
        return [line.removesuffix("\n") for line in self._err]

    def __repr__(self):
        return f"{self.words}: status {self.status}, stderr {self.err!r}, stdout {self.out!r}"

    def wait_for(self, pattern, limit=LIMIT, stdout=False):
        """Waits for a line (of stderr) that matches; returns the match."""
        lines, limit = self._out if stdout else self._err, Limit(limit)
        with self._changed:
            while True:
                for line in lines:
                    match = re.search(pattern, line.removesuffix("\n"))
                    if match:
                        return match
                if not self._open:
                    raise AssertionError(f"ended without a line {pattern!r}: {self}")
                left = limit.left()
                if not left:
                    raise AssertionError(f"no line {pattern!r} within {limit}: {self}")
                self._changed.wait(min(left, 0.5))

    def wait(self, limit=LIMIT):
        """Waits for the end; returns the exit status."""
        limit = Limit(limit)
        while left := limit.left():
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.popen.wait(left)
        raise AssertionError(f"still running after {limit}: {self}")

    def finish(self, limit=LIMIT):
        """The same, and all its output has been read (no process of it is left that could write)."""
        status = self.wait(limit)
        for thread in self._threads:
            thread.join(LIMIT)
        return status

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def stop(self):
        """Stops it, as the terminal or a debugger does; go on with SIGCONT."""
        self.signal(signal.SIGSTOP)
        wait_until(lambda: state_of(self.pid) == "T", "the process is stopped")

    def kill(self):
        self.popen.kill()
        self.popen.wait()


class Order:
    """Commands that write down in which order they run."""

    def __init__(self, box):
        self.path = box.folder / "order"
        self.path.write_text("")
        self.path.chmod(0o666)

    def signs(self, name):
        return ("sh", "-c", f"echo {name} >>{self.path}")

    def signs_and_stays(self, name):
        return ("sh", "-c", f"echo {name} >>{self.path}; exec sleep 1000")

    def names(self):
        return self.path.read_text().split()


class Box:
    """One simulated machine with its lock directory, in a folder that all users can reach."""

    place = "/tmp"

    def __init__(self, cards=1, variant="current", memory=46068, reserved=600):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-test-", dir=self.place))
        self.folder.chmod(0o1777)
        self.began = time.time() - 0.1  # the kernel's time stamps come from a coarse clock
        self.machine = self.folder / "machine.txt"
        self.lock = self.folder / "lock"
        self.history = self.folder / "history"  # kept where a test makes it
        self.variant = variant
        self.extra = []   # further lines of the machine file: "linger_ms 200"
        self.instances = []  # "gpu=0 gi=1"
        self.listed = []  # static entries of the process list
        self.cards = [
            {"name": '"NVIDIA L40S"', "uuid": uuid(i), "pci": f"0000:{0x10 + i:02x}:00.0", "memory": memory,
             "reserved": reserved}
            for i in range(cards)
        ]
        self.processes = []
        self.write()

    # The machine.

    def write(self):
        """Writes the machine file; one atomic step, so a reader sees the old machine or the new one."""
        lines = list(self.extra)
        for card in self.cards:
            lines.append("gpu " + " ".join(f"{key}={value}" for key, value in card.items()))
        lines += ["instance " + line for line in self.instances]
        lines += ["process " + line for line in self.listed]
        fresh = self.folder / "machine.new"
        fresh.write_text("\n".join(lines) + "\n")
        fresh.chmod(0o644)
        fresh.rename(self.machine)

    def set(self, card, **values):
        """Changes a card: set(0, util=97); None removes a key."""
        for key, value in values.items():
            if value is None:
                self.cards[card].pop(key, None)
            else:
                self.cards[card][key] = value
        self.write()

    def list_processes(self, *lines):
        """Static entries of the driver's process list: "gpu=0 pid=1234 memory=300 type=compute"."""
        self.listed = list(lines)
        self.write()

    # The programs.

    @property
    def gate(self):
        return str(BIN / "gpu-gate")

    @property
    def sim_job(self):
        return str(BIN / "gpu-sim-job")

    def env(self, **extra):
        env = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/nonexistent",
            "LANG": "C.UTF-8",
            "GPU_GATE_NVML": str(BIN / self.variant / "libnvidia-ml.so.1"),
            "GPU_SIM_MACHINE": str(self.machine),
            "GPU_GATE_LOCK_DIR": str(self.lock),
            "GPU_GATE_HISTORY": str(self.history),
        }
        for key in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LLVM_PROFILE_FILE", "GCOV_PREFIX", "GCOV_ERROR_FILE"):
            if key in os.environ:
                env[key] = os.environ[key]
        for key, value in extra.items():
            if value is None:
                env.pop(key, None)
            else:
                env[key] = str(value)
        return env

    def start_plain(self, *words, user=ROOT, env=None, **options):
        """Starts any program on this machine; options as those of subprocess.Popen, and input."""
        words = [word if isinstance(word, bytes) else str(word) for word in words]
        process = Process(words, self.env(**(env or {})), user, **options)
        self.processes.append(process)
        return process

    def start(self, *words, **options):
        """Starts gpu-gate with these words: start("run", "--", "sleep", "9")."""
        return self.start_plain(*WRAPPER, self.gate, *words, **options)

    def run_plain(self, *words, limit=LIMIT, **options):
        """Runs any program to its end."""
        process = self.start_plain(*words, **options)
        process.finish(limit)
        return process

    def run(self, *words, limit=LIMIT, **options):
        """Runs gpu-gate to its end: run("wait", user=ALICE).out == "0\\n"."""
        return self.run_plain(*WRAPPER, self.gate, *words, limit=limit, **options)

    def status(self, **options):
        """What `gpu-gate status --json` tells: a list of cards."""
        done = self.run("status", "--json", **options)
        assert done.status == 0, done
        return json.loads(done.out)

    def claimed(self):
        """The indices of the cards that are claimed."""
        return [card["index"] for card in self.status() if card["claim"]]

    def waiting(self):
        """How many wait, as status tells."""
        done = self.run("status")
        assert done.status == 0, done
        match = re.search(r"waiting: (\d+)", done.out)
        return int(match.group(1)) if match else 0

    def hold(self, *options, user=ROOT, env=None, **more):
        """A job that holds its claim until it is told to end: returns once the command runs, with .held (the
        cards) and .claim (its ticket)."""
        script = "echo held ${CUDA_VISIBLE_DEVICES-$ROCR_VISIBLE_DEVICES} $GPU_GATE_CLAIM; exec sleep 1000"
        process = self.start("run", *options, "--", "sh", "-c", script, user=user, env=env, **more)
        process.held, process.claim = process.wait_for(r"^held (\S+) (\d+)$", stdout=True).groups()
        return process

    def wait_in_line(self, *options, user=ROOT, env=None, command=("true",), **more):
        """A waiter that is known to stand in line."""
        process = self.start("run", *options, "--", *command, user=user, env=env, **more)
        process.wait_for(r"in line")
        return process

    def ring(self, at=0):
        """Makes the waiter at this place in line look."""
        with open(os.open(self.bells()[at], os.O_WRONLY | os.O_NONBLOCK), "wb") as bell:
            bell.write(b"l")

    def bells(self):
        """Of the waiters in line, in their order."""
        return sorted((self.lock / "queue").glob("*.bell"), key=lambda bell: int(bell.stem))

    def bell_of(self, process):
        """That of a waiter."""
        (record,) = [r for r in (self.lock / "queue").glob("*.json") if f'"pid":{process.pid},' in r.read_text()]
        return record.with_suffix(".bell")

    def mutex_is_free(self):
        with open(self.lock / "mutex") as mutex:
            try:
                fcntl.flock(mutex, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def stop_between_looks(self, waiter):
        """In the driver it would have 30 s to answer, which the x in the bell's mode tells; and who is stopped with the
        mutex makes everybody wait."""
        bell = self.bell_of(waiter)

        def stopped_between():
            waiter.stop()
            if not bell.stat().st_mode & 0o111 and self.mutex_is_free():
                return True
            waiter.signal(signal.SIGCONT)
            return False

        wait_until(stopped_between, "it is stopped outside the driver and without the mutex")

    @staticmethod
    def answered(bell):
        """Has the waiter with this bell read it, or left the line?"""
        try:
            fd = os.open(bell, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return True
        try:
            return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0] == 0
        finally:
            os.close(fd)

    def outsider(self, card=0, user=ROOT, memory=4000):
        """A process that uses a card without asking: returns once the driver lists it."""
        process = self.start_plain(self.sim_job, "--memory", memory, "--for", -1, user=user,
                                   env={"CUDA_VISIBLE_DEVICES": card, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
        process.wait_for("holds", stdout=True)
        return process

    def hold_memory(self, *options, user=ROOT, linger=None):
        """A job that has memory on its card, which the driver frees so many seconds after its end."""
        if linger is not None:
            self.extra.append(f"linger_ms {int(1000 * linger)}")
            self.write()
        ready = self.folder / "ready"
        process = self.start("run", *options, "--", self.sim_job, "--memory", 20000, "--for", -1, "--ready", ready, user=user)
        wait_until(ready.exists, "the job has its memory")
        return process

    # What the driver is asked.

    @property
    def log(self):
        return self.folder / "nvml.log"

    def log_calls(self):
        """From here on the simulated driver writes down its calls."""
        if f"log {self.log}" not in self.extra:
            self.log.touch()  # the folder is root's: another user's gpu-gate could not make it
            self.log.chmod(0o666)
            self.extra.append(f"log {self.log}")
            self.write()

    def calls(self):
        """Those calls, each as "PID NAME"."""
        return self.log.read_text().splitlines() if self.log.exists() else []

    def looks(self, pid=None):
        """How often gpu-gate, or that one, has looked at the cards since calls are written down."""
        found = [line for line in self.calls() if line.endswith(" nvmlDeviceGetMemoryInfo_v2")]
        return sum(pid is None or line.startswith(f"{pid} ") for line in found) // max(1, len(self.cards))

    def wait_for_looks(self, count):
        """Waits until gpu-gate has looked at the cards so many times more."""
        self.log_calls()
        end = self.looks() + count
        wait_until(lambda: self.looks() >= end, f"{count} looks at the cards")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def running(self):
        """The pids of all that runs on this machine."""
        marker = f"GPU_SIM_MACHINE={self.machine}\0".encode()
        return [pid for pid in processes_with("environ", marker, self.began) if pid != os.getpid()]

    def close(self):
        """Ends all that runs on it, and removes it."""
        for process in self.processes:
            if process.alive():
                with contextlib.suppress(ProcessLookupError):
                    process.popen.send_signal(signal.SIGCONT)
                    process.kill()
        # What the tests' jobs left running: all that has this machine in its environment.
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def each(cases, check, at_once=1):
    """Checks every case, so many at the same time, and names all those that fail."""
    def tell(case):
        try:
            check(*case) if isinstance(case, tuple) else check(case)
        except Exception as error:
            return f"{case!r}: {type(error).__name__}: {error}"

    cases = list(cases)[::SAMPLE]
    assert cases
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        failed = [text for text in pool.map(tell, cases) if text]
    assert not failed, f"{len(failed)} of {len(cases)}:\n" + "\n".join(failed)


@functools.cache
def may_mount():
    """Has this place mount namespaces that may be changed? Not in a chroot whose / is not a mount."""
    return subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0


def compile_library(folder, source, name):
    """A shared library of this C source; without a compiler the test is skipped."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("g++") or shutil.which("clang")
    if compiler is None:
        import pytest  # here only, since tests/chaos.py does without it

        pytest.skip("no compiler here")
    library, file = folder / name, folder / f"{name}.c"
    file.write_text(source)
    subprocess.run([compiler, "-x", "c", "-shared", "-fPIC", "-o", library, file, "-ldl"], check=True, timeout=60)
    return library


def install_binaries():
    """Copies the programs to where every user can run them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-bin-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copy(BUILD / "gpu-gate", folder / "gpu-gate")
    for name in ("gpu-sim-job", "gpu-sim-sysfs"):
        shutil.copy(BUILD / "sim" / name, folder / name)
    for variant in ("current", "r535", "old"):
        (folder / variant).mkdir()
        shutil.copy(BUILD / "sim" / variant / "libnvidia-ml.so.1", folder / variant)
    return folder


BIN = None


def set_bin(folder):
    global BIN
    BIN = folder


def remove_binaries():
    shutil.rmtree(BIN, ignore_errors=True)
