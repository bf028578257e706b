"""Simulated machines in a folder of their own, and the processes that run on them."""

import contextlib
import os
import pathlib
import select
import shutil
import signal
import tempfile
import time

PATIENCE_S = 120  # for an event that has to happen; later is a failure
OTHER_USERS = range(60601, 60609)  # numbers that no distribution gives to anybody (systemd, UIDS-GIDS.md)


class Failed(Exception):
    """A benchmark that could not be carried out; its figures would mean nothing."""


class Skipped(Exception):
    """A benchmark that this machine, or this user, cannot carry out."""


def wait_until(condition, what, limit_s=PATIENCE_S, pause_s=0.0005):
    """Polls a condition that has no event of its own; returns its first true value."""
    end = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failed(f"not within {limit_s} s: {what}")
        time.sleep(pause_s)


def in_turn(measurements, rounds):
    """Makes each measurement once a round, every second round in reverse order."""
    for _ in range(rounds):
        for measurement in measurements:
            measurement()
        measurements = measurements[::-1]


def file_system(folder):
    """The type of the file system that holds a folder, from /proc/self/mountinfo (proc(5))."""
    device = os.stat(folder).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        mount, _, kind = line.partition(" - ")
        if mount.split()[2] == wanted:
            return kind.split()[0]
    return "unknown"


class Child:
    """A started process. By posix_spawn, because subprocess costs more than what is measured."""

    def __init__(self, words, env, stdin=None, stdout=None, stderr=None, terminal=None):
        actions = []
        for number, place in enumerate((stdin, stdout, stderr)):
            if terminal:  # the first that the leader of a session opens is the session's own (tty_ioctl(4))
                actions.append((os.POSIX_SPAWN_OPEN, number, terminal, os.O_RDWR, 0))
            elif isinstance(place, int):
                actions.append((os.POSIX_SPAWN_DUP2, place, number))
            else:
                flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_APPEND
                actions.append((os.POSIX_SPAWN_OPEN, number, str(place or os.devnull), flags, 0o644))
        words = [str(word) for word in words]
        self.pid = os.posix_spawn(words[0], words, env, file_actions=actions, setsigmask=[],
                                  setsid=terminal is not None)
        self.started = time.monotonic()
        self.status = None

    def wait(self, limit_s=PATIENCE_S):
        """Waits for the end; returns the exit status (negative: the signal)."""
        if self.status is None:
            pidfd = os.pidfd_open(self.pid)
            try:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                if not poll.poll(limit_s * 1000):
                    raise Failed(f"process {self.pid} still runs after {limit_s} s")
            finally:
                os.close(pidfd)
            self.ended(os.waitpid(self.pid, 0)[1])
        return self.status

    def running(self):
        if self.status is not None:
            return False
        return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def ended(self, wait_status):
        self.status = os.waitstatus_to_exitcode(wait_status)

    def kill(self):
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)


class Machine:
    """Some simulated GPUs with a lock directory of their own."""

    def __init__(self, arena, folder, devices, lines, gate):
        self.arena = arena
        self.gate = gate
        self.folder = folder
        self.lock_dir = folder / "lock"
        self.log = folder / "log"  # of bench-job
        self.log.touch()
        self.log.chmod(0o666)
        self.file = folder / "machine"
        self.state = folder / "machine.state"
        self.file.write_text("\n".join([*lines, *devices * ["gpu"]]) + "\n")
        self.driver = arena.build / "sim/current/libnvidia-ml.so.1"
        self.env = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "GPU_GATE_NVML": str(self.driver),
            "GPU_SIM_MACHINE": str(self.file),
            "GPU_GATE_LOCK_DIR": str(self.lock_dir),
            "GPU_GATE_HISTORY": f"{self.lock_dir}.history",  # kept where a benchmark makes it
        }

    def start(self, *words, user=None, **places):
        """Starts a process, as another user if one is named; places: stdin, stdout, stderr."""
        child = Child(words if user is None else self.arena.become(user, words), self.env, **places)
        self.arena.children.append(child)
        return child

    def start_in_line(self, *words, number, options=(), user=None):
        """Starts a waiter and returns once it has said that it is in line."""
        notices = self.folder / f"notices.{number}"
        child = self.start(*self.gate_run(*words, options=options), user=user, stderr=notices)
        wait_until(lambda: notices.exists() and (" in line\n" in notices.read_text() or not child.running()),
                   f"waiter {number} says that it is in line")
        if " in line\n" not in notices.read_text():
            raise Failed(f"waiter {number} does not wait: {notices.read_text()}")
        return child

    def gate_run(self, *words, options=()):
        return [self.gate, "run", *options, "--", *words]

    def job(self, number, ms, *more):
        return [self.arena.job, self.log, number, ms, *more]

    def blocker(self, wrap):
        """Starts a job that runs until the returned descriptor is closed; `wrap` puts it behind a gate."""
        ours, theirs = os.pipe()
        child = self.start(*wrap(*self.job("blocker", "-")), stdin=ours)
        os.close(ours)
        wait_until(lambda: self.log_lines() or not child.running(), "the blocker runs")
        if not child.running():
            raise Failed("the blocker does not run")
        return theirs

    def log_lines(self):
        return [line.split() for line in self.log.read_text().splitlines()]

    def launch(self, *words):
        """Runs bench-launch; returns its output as lists of numbers."""
        output = self.folder / "launch.out"
        output.unlink(missing_ok=True)
        if self.start(self.arena.launcher, *words, stdout=output).wait() != 0:
            raise Failed(f"bench-launch {words[0]} failed")
        return [[int(word) for word in line.split()] for line in output.read_text().splitlines()]


class Arena:
    """All of a run's folders and processes; leaving it ends and removes them."""

    def __init__(self, build, programs, parent, other_build=None):
        self.parent = parent
        self.build = pathlib.Path(build).resolve()
        programs = pathlib.Path(programs).resolve() if programs else self.build / "bench"
        self.gate = self.build / "gpu-gate"
        self.sim_job = self.build / "sim/gpu-sim-job"
        self.launcher = programs / "bench-launch"
        self.job = programs / "bench-job"
        self.nvml = programs / "bench-nvml"
        self.other_gate = pathlib.Path(other_build).resolve() / "gpu-gate" if other_build else None
        self.copies = None
        for program in (self.gate, self.sim_job, self.launcher, self.job, self.nvml):
            if not program.is_file():
                raise Failed(f"{program} is not there: configure with -DGPU_GATE_BENCH=ON and build")
        if self.other_gate and not self.other_gate.is_file():
            raise Failed(f"{self.other_gate} is not there")
        self.flock = shutil.which("flock")
        if self.flock is None:
            raise Failed("there is no flock(1) to compare with")
        self.setpriv = shutil.which("setpriv")
        self.children = []
        self.machines = 0

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-bench-", dir=self.parent))
        # Not beside the other files: /run/lock may be mounted noexec.
        self.copies = pathlib.Path(tempfile.mkdtemp(prefix="measured-", dir=self.launcher.parent))
        for folder in (self.folder, self.copies):
            folder.chmod(0o711)  # other users run what is in there
        self.gate = self.copy(self.gate, "gpu-gate")
        if self.other_gate:
            self.other_gate = self.copy(self.other_gate, "gpu-gate-other")
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        self.end_children()
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.copies:
            shutil.rmtree(self.copies, ignore_errors=True)

    def copy(self, program, name):
        """Copies a program, so that it lies in the page cache as an installed one does. As the linker leaves
        it, in single pages, it starts some hundredths of a millisecond later."""
        copy = self.copies / name
        copy.write_bytes(program.read_bytes())  # one write(2)
        copy.chmod(0o755)
        return copy

    def become(self, user, words):
        """The words that run these as this user: setpriv(1) becomes the program, as gpu-gate does."""
        return [self.setpriv, "--reuid", user, "--regid", user, "--clear-groups", "--", *words]

    def other_users(self):
        """The numbers of eight users; raises Skipped where nobody can become one of them."""
        if self.setpriv is None or os.geteuid() != 0:
            raise Skipped("only root, with setpriv(1), can become other users")
        if Child(self.become(OTHER_USERS[0], [self.gate, "--version"]), {}, stderr=self.folder / "become").wait() != 0:
            raise Skipped(f"user {OTHER_USERS[0]} cannot run {self.gate}: {(self.folder / 'become').read_text()}")
        return list(OTHER_USERS)

    def machine(self, devices=1, lines=(), gate=None):
        """A new machine, for this build's program unless another is named."""
        self.machines += 1
        folder = self.folder / str(self.machines)
        folder.mkdir()
        return Machine(self, folder, devices, lines, gate or self.gate)

    def end_children(self):
        for child in self.children:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
        for child in self.children:
            with contextlib.suppress(ChildProcessError, ProcessLookupError):
                child.wait()
        self.children.clear()
