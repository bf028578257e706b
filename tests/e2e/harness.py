"""A simulated machine, its users, and gpu-gate as they run it.

Everything here is real but the driver: the built program, real processes of real users, real signals.
Tests wait for events, never for time: every wait has a limit after which it fails and says what it saw.
"""

import contextlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time

BUILD = pathlib.Path(os.environ.get("GPU_GATE_BUILD", pathlib.Path(__file__).parents[2] / "build"))
LIMIT = float(os.environ.get("GPU_GATE_TEST_LIMIT", "30"))  # seconds until a missing event is a failure
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


def uuid(index):
    return f"GPU-{index:08x}-0000-4000-8000-{index:012x}"


def wait_until(condition, what, limit=LIMIT):
    """Polls a condition that has no event of its own; returns its first true value."""
    end = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.005)


class Process:
    """A running program whose output lines can be waited for."""

    def __init__(self, words, env, user, **options):
        self.words = words
        self.lines = []
        self.out = []
        self._changed = threading.Condition()
        self._ended = 0  # of the two streams
        options.setdefault("stdin", subprocess.DEVNULL)
        self.popen = subprocess.Popen(
            words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **user.options(), **options
        )
        self._threads = [
            threading.Thread(target=self._read, args=(self.popen.stderr, self.lines), daemon=True),
            threading.Thread(target=self._read, args=(self.popen.stdout, self.out), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _read(self, stream, lines):
        for raw in stream:
            with self._changed:
                lines.append(raw.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended += 1
            self._changed.notify_all()

    @property
    def pid(self):
        return self.popen.pid

    def wait_for(self, pattern, limit=LIMIT, stdout=False):
        """Waits for a line that matches; returns the match."""
        lines = self.out if stdout else self.lines
        end = time.monotonic() + limit
        with self._changed:
            while True:
                for line in lines:
                    match = re.search(pattern, line)
                    if match:
                        return match
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line {pattern!r} within {limit} s; stderr: {self.lines}, stdout: {self.out}")
                if self._ended == len(self._threads):
                    raise AssertionError(f"ended without a line {pattern!r}; stderr: {self.lines}, stdout: {self.out}")
                self._changed.wait(min(left, 0.5))

    def wait(self, limit=LIMIT):
        """Waits for the end; returns the exit status (negative: the signal)."""
        try:
            status = self.popen.wait(limit)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running after {limit} s: {self.words}; stderr: {self.lines}") from None
        return status

    def finish(self, limit=LIMIT):
        """The same, and all its output has been read (no process of it is left that could write)."""
        status = self.wait(limit)
        for thread in self._threads:
            thread.join(limit)
        return status

    def alive(self):
        return self.popen.poll() is None

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        self.popen.kill()
        self.popen.wait()


class Box:
    """One simulated machine with its lock directory, in a folder that all users can reach."""

    def __init__(self, cards=1, variant="current", memory=46068, reserved=600):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-test-", dir="/tmp"))
        self.folder.chmod(0o1777)
        self.machine = self.folder / "machine.txt"
        self.lock = self.folder / "lock"
        self.variant = variant
        self.extra = []   # further lines of the machine file: "linger_ms 200"
        self.listed = []  # static entries of the process list
        self.cards = [
            {"name": '"NVIDIA L40S"', "uuid": uuid(i), "pci": f"0000:{0x10 + i:02x}:00.0", "minor": i,
             "memory": memory, "reserved": reserved}
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

    def start(self, *words, user=ROOT, env=None, **options):
        """Starts gpu-gate with these words: start("run", "--", "sleep", "9")."""
        process = Process([*WRAPPER, self.gate, *map(str, words)], self.env(**(env or {})), user, **options)
        self.processes.append(process)
        return process

    def start_plain(self, *words, user=ROOT, env=None, **options):
        """Starts another program on this machine: an outsider."""
        process = Process([*map(str, words)], self.env(**(env or {})), user, **options)
        self.processes.append(process)
        return process

    def run(self, *words, user=ROOT, env=None, limit=LIMIT, **options):
        """Runs gpu-gate to its end; returns it with .status, .text (stderr) and .output (stdout)."""
        process = self.start(*words, user=user, env=env, **options)
        process.status = process.finish(limit)
        process.text = "\n".join(process.lines)
        process.output = "\n".join(process.out)
        return process

    def call(self, *words, user=ROOT, env=None, limit=LIMIT, **options):
        """Runs gpu-gate to its end; returns it with .returncode, and .stdout and .stderr as bytes."""
        if "input" not in options:
            options.setdefault("stdin", subprocess.DEVNULL)
        options.setdefault("stdout", subprocess.PIPE)
        options.setdefault("stderr", subprocess.PIPE)
        return subprocess.run([*WRAPPER, self.gate, *words], env=self.env(**(env or {})), timeout=limit,
                              **user.options(), **options)

    def status(self, **options):
        done = self.run("status", "--json", **options)
        assert done.status == 0, done.text
        return json.loads(done.output)

    def wait_for_looks(self, count):
        """Waits until gpu-gate has looked at the cards so many times more."""
        log = self.folder / "nvml.log"
        if f"log {log}" not in self.extra:
            self.extra.append(f"log {log}")
            self.write()

        def seen():
            return log.read_text().count("nvmlDeviceGetMemoryInfo_v2") if log.exists() else 0

        end = seen() + count * max(1, len(self.cards))
        wait_until(lambda: seen() >= end, f"{count} looks at the cards")

    def hold(self, *options, user=ROOT, env=None):
        """A job that holds its claim until it is told to end: returns once the command runs."""
        process = self.start("run", *options, "--", "sh", "-c", "echo held $CUDA_VISIBLE_DEVICES; exec sleep 1000",
                             user=user, env=env)
        process.held = process.wait_for(r"^held (.*)", stdout=True).group(1)
        return process

    def wait_in_line(self, *options, user=ROOT, env=None, command=("true",)):
        """A waiter that is known to stand in line."""
        process = self.start("run", *options, "--", *command, user=user, env=env)
        process.wait_for(r"in line")
        return process

    def close(self):
        for process in self.processes:
            if process.alive():
                with contextlib.suppress(ProcessLookupError):
                    process.popen.send_signal(signal.SIGCONT)
                    process.kill()
        # What the tests' jobs left running (they are all children of this folder's machine).
        marker = str(self.machine).encode()
        for entry in pathlib.Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            with contextlib.suppress(OSError):
                if b"GPU_SIM_MACHINE=" + marker in (entry / "environ").read_bytes():
                    os.kill(int(entry.name), signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


def install_binaries():
    """Copies the programs to where every user can run them."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-bin-", dir="/tmp"))
    folder.chmod(0o755)
    shutil.copy(BUILD / "gpu-gate", folder / "gpu-gate")
    shutil.copy(BUILD / "sim" / "gpu-sim-job", folder / "gpu-sim-job")
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
