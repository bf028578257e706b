"""Every system call that gpu-gate makes is made to fail, and is where the process is killed.

The outcome must be one of two: the command ran under a proper claim, or one clear line and
the right exit code. Never two owners, never a hang, never a leaked claim.
"""

import collections
import os

import pytest

import traced
from harness import wait_until
from traced import Traced, calls_in, inject, numbered, up_to_the_command

# What the manual pages allow, as far as a caller can meet it on a file, a FIFO, a descriptor or /proc.
ERRNOS = {
    "openat": ["EACCES", "EINTR", "EMFILE", "ENFILE", "ENOENT", "ENOMEM", "ENOSPC", "EIO", "ELOOP", "EEXIST"],
    "read": ["EINTR", "EIO", "EAGAIN"],
    "write": ["EINTR", "EIO", "ENOSPC", "EDQUOT", "EPIPE", "EAGAIN"],
    "pread64": ["EINTR", "EIO"],
    "pwrite64": ["EINTR", "EIO", "ENOSPC", "EDQUOT"],
    "newfstatat": ["EACCES", "ENOENT", "ENOMEM", "ELOOP"],
    "stat": ["EACCES", "ENOENT", "ENOMEM", "ELOOP"],
    "fstat": ["ENOMEM"],
    "fstatfs": ["EIO", "EINTR", "ENOSYS"],
    "mkdir": ["EACCES", "EEXIST", "ENOSPC", "EROFS", "EDQUOT"],
    "mkdirat": ["EACCES", "EEXIST", "ENOSPC", "EROFS", "EDQUOT"],
    "mknodat": ["EACCES", "EEXIST", "ENOSPC", "EDQUOT", "ENOENT", "EPERM"],
    "fchmod": ["EIO", "EPERM", "EROFS"],
    "flock": ["EINTR", "ENOLCK"],
    "unlinkat": ["EACCES", "EBUSY", "EIO", "ENOENT", "EPERM"],
    "renameat": ["EACCES", "EIO", "ENOSPC"],
    "getdents64": ["EIO", "ENOENT"],
    "fcntl": ["EMFILE", "EINVAL"],
    "poll": ["EINTR", "ENOMEM"],
    "ppoll": ["EINTR", "ENOMEM"],
    "socket": ["EACCES", "EMFILE", "ENFILE", "ENOMEM"],
    "connect": ["EACCES", "EAGAIN", "ECONNREFUSED", "EINTR"],
    "signalfd4": ["EMFILE", "ENFILE", "ENOMEM", "ENODEV"],
    "pidfd_open": ["EMFILE", "ENOSYS", "ESRCH", "EPERM"],
    "timer_create": ["EAGAIN", "ENOMEM"],
    "timer_settime": ["EINVAL"],
    "ioctl": ["ENOTTY", "EIO"],
    "faccessat2": ["EACCES", "EIO", "ENOENT"],
    "access": ["EACCES", "ENOENT"],
    "execve": ["EACCES", "ENOMEM", "ENOENT", "ETXTBSY", "E2BIG", "EIO", "EMFILE"],
    "prlimit64": ["EPERM"],
    "getrandom": ["EAGAIN", "EINTR"],
}
# Calls that do not fail by their manual pages, or whose failure belongs to the C library's start. An
# error of close is told after the descriptor is gone (close(2)), but strace would leave it open.
NEVER_FAIL = {
    "arch_prctl", "brk", "clock_nanosleep", "close", "exit_group", "futex", "getegid", "geteuid", "getgid",
    "getpid", "gettid", "getuid", "mmap", "mprotect", "munmap", "rseq", "rt_sigaction", "rt_sigprocmask",
    "rt_sigtimedwait", "sched_yield", "set_robust_list", "set_tid_address", "timer_delete", "umask",
    "restart_syscall", "rt_sigreturn", "tgkill", "clock_gettime", "lseek", "uname", "sysinfo", "madvise",
    "getcwd", "kill",
    # Of the sanitizers:
    "sigaltstack", "readlink", "prctl", "personality",
}
SANITIZED = "GPU_GATE_SANITIZED" in os.environ  # which is slow, so less is tried


def trace(box, words):
    """The calls that gpu-gate makes, up to and with the exec of the command."""
    done, log = traced.run(box, words)
    assert done.returncode == 0, done.stderr
    return list(numbered(up_to_the_command(calls_in(log))))


def nothing_left(box):
    """No claim lives and nobody stands in line, as the next caller sees it."""
    done = box.run("run", "-q", "--timeout", "20", "--", "sh", "-c", "echo free")
    return done.output == "free" and done.status == 0, done.text


# A card whose state could not be read for once is looked at again at the next poll.
JOB = ["--", "sh", "-c", 'test -n "$GPU_GATE_CLAIM" && echo ran $CUDA_VISIBLE_DEVICES']
COMMAND = ["run", "--poll", "0.05", *JOB]


def test_every_call_is_known(make_box):
    calls = {name for name, _ in [*trace(make_box(cards=1), COMMAND), *Wait(make_box(cards=2)).calls()]}
    assert calls <= set(ERRNOS) | NEVER_FAIL, calls - set(ERRNOS) - NEVER_FAIL


def check_outcome(box, done, what):
    out, err = done.stdout.decode(), done.stderr.decode()
    if done.returncode == 0:
        assert out == "ran 0\n", (what, out, err)
    else:
        assert out == "", (what, out, err)
        assert done.returncode in (3, 4, 5, 125, 126, 127), (what, done.returncode, err)
        # A failed write to stderr cannot be told on stderr.
        own = [line for line in err.splitlines() if not line.startswith("nvml-sim: ")]
        if "write" not in what:
            assert own and all(line.startswith("gpu-gate: ") for line in own), (what, err)
        assert "terminate called" not in err and "Aborted" not in err, (what, err)
    free, text = nothing_left(box)
    assert free, (what, text)


@pytest.mark.parametrize("first", [True, False], ids=["new directory", "used directory"])
def test_every_call_that_fails_ends_in_a_run_or_a_clear_line(make_box, first):
    reference = make_box(cards=1)
    if not first:
        assert reference.run(*COMMAND).status == 0
    todo = trace(reference, COMMAND)
    assert len(todo) > 50
    tried = 0
    for name, nth in todo:
        for errno in ERRNOS.get(name, []):
            box = reference
            if first:
                box = make_box(cards=1)
            done, _ = traced.run(box, COMMAND, inject(name, nth, f"error={errno}"))
            check_outcome(box, done, f"{name} #{nth} {errno}")
            tried += 1
            if first:
                box.close()
    assert tried > 100


def test_a_process_killed_at_any_call_leaves_nothing_behind(make_box):
    for name, nth in trace(make_box(cards=1), COMMAND):
        box = make_box(cards=1)
        done, _ = traced.run(box, COMMAND, inject(name, nth, "signal=KILL"))
        assert done.returncode in (-9, 137), (name, nth, done)
        assert done.stdout == b"", (name, nth)
        free, text = nothing_left(box)
        assert free, (f"killed at {name} #{nth}", text)
        box.close()


class Wait:
    """One waits behind another, then as the first in line, and then is served; an outsider is on another card."""

    def __init__(self, box, what=()):
        outsider = box.start_plain("sleep", 1000)
        box.list_processes(f"gpu=1 pid={outsider.pid} memory=300 type=compute")
        self.holder = box.hold()
        self.first = box.wait_in_line("--poll", 1000)
        self.waiter = Traced(box, what, "run", "--poll", "0.5", *JOB)
        self.process = self.waiter.process
        self.rests(1)

    def rests(self, naps):
        # Not by what it prints: that may be what fails.
        wait_until(lambda: not self.process.alive() or self.waiter.sleeps(naps), "it sleeps, or has ended")

    def end(self):
        """All goes its way; returns the exit status."""
        naps = self.waiter.naps()
        self.first.kill()
        self.rests(naps + 1)
        self.holder.kill()
        return self.process.finish()

    def calls(self):
        """The calls that gpu-gate makes in all this, from when it looks at the lock directory."""
        assert self.end() == 0
        calls = list(numbered(up_to_the_command(calls_in(self.waiter.text()))))
        begin = next(i for i, (name, _) in enumerate(calls) if name == "signalfd4")
        return [(name, nth) for name, nth in calls[begin:] if not name.of_driver]


def test_a_waiter_killed_at_any_call_lets_the_next_one_through(make_box):
    calls = Wait(make_box(cards=2)).calls()[:: 5 if SANITIZED else 1]
    killed = 0
    for name, nth in calls:
        box = make_box(cards=2)
        wait = Wait(box, inject(name, nth, "signal=KILL"))
        behind = box.wait_in_line("--poll", 1000, command=("echo", "ran"))
        status = wait.end()
        assert status in (0, -9, 137), (name, nth)  # 0: it polled once less than when it was traced
        killed += status != 0
        assert behind.finish() == 0, (name, nth, behind.lines)
        assert behind.out == ["ran"]
        box.close()
    assert killed > len(calls) / 2


def test_every_call_of_a_waiter_that_fails_is_survived(make_box):
    counted = collections.Counter()
    for name, nth in Wait(make_box(cards=2)).calls():
        errnos = ERRNOS.get(name, [])
        if SANITIZED and errnos:  # one at each place
            counted[name] += 1
            errnos = [errnos[counted[name] % len(errnos)]]
        for errno in errnos:
            box = make_box(cards=2)
            what = f"{name} #{nth} {errno}"
            wait = Wait(box, inject(name, nth, f"error={errno}"))
            status, process = wait.end(), wait.process
            if status == 0:
                assert process.out == ["ran 0"], what
            else:
                assert status in (4, 5, 125, 126, 127), (what, status, process.lines)
                assert process.out == [], what
            free, text = nothing_left(box)
            assert free, (what, text)
            box.close()
