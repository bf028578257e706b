"""Every system call that gpu-gate makes is made to fail, and is where the process is killed.

The outcome must be one of two: the command ran under a proper claim, or one clear line and
the right exit code. Never two owners, never a hang, never a leaked claim.
"""

import collections
import os

from harness import Box, each
from traced import Traced, calls_in, inject, injected, numbered, run, trace, up_to_the_command

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
    "getpid", "getppid", "gettid", "getuid", "mmap", "mprotect", "munmap", "rseq", "rt_sigaction", "rt_sigpending",
    "rt_sigprocmask", "rt_sigtimedwait", "sched_yield", "set_robust_list", "set_tid_address", "timer_delete", "umask",
    "restart_syscall", "rt_sigreturn", "tgkill", "clock_gettime", "lseek", "uname", "sysinfo", "madvise",
    "getcwd", "kill",
    # Of the sanitizers:
    "sigaltstack", "readlink", "prctl", "personality",
}
# Calls by which nothing changes for others: a process that is killed before one leaves what it leaves behind it.
WITHOUT_EFFECT = {
    "access", "brk", "clock_gettime", "faccessat2", "fstat", "fstatfs", "futex", "getcwd", "getdents64", "getegid",
    "geteuid", "getgid", "getpid", "getppid", "getrandom", "gettid", "getuid", "lseek", "madvise", "mmap", "mprotect",
    "munmap", "newfstatat", "pread64", "prlimit64", "readlink", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "sched_yield", "stat", "sysinfo", "timer_create", "timer_delete", "timer_settime", "umask", "uname",
}
SANITIZED = "GPU_GATE_SANITIZED" in os.environ  # which is slow, so less is tried


AT_ONCE = 4  # cases; each waits for others most of the time


def nothing_left(box, what):
    """No claim lives and nobody stands in line, as the next caller sees it."""
    done = box.run("run", "-q", "--timeout", "20", "--", "echo", "free")
    assert (done.status, done.out) == (0, "free\n"), (what, done)


# A card whose state could not be read for once is looked at again at the next poll.
# Where gpu-gate makes one call less than when it was traced, one of the command's own fails.
ITS_OWN = 77
JOB = ["--", "sh", "-c", f'test -n "$GPU_GATE_CLAIM" || exit 1; echo ran $CUDA_VISIBLE_DEVICES || exit {ITS_OWN}']
COMMAND = ["run", "--poll", "0.05", *JOB]


def test_every_call_is_known(make_box):
    calls = {name for name, _ in [*trace(make_box(cards=1), COMMAND), *Wait(make_box(cards=2)).calls()]}
    assert calls <= set(ERRNOS) | NEVER_FAIL, calls - set(ERRNOS) - NEVER_FAIL


def met_often(met):
    """Did the call come that was to fail, in most cases? A machine's pace changes some."""
    return sum(met) > max(len(met) / 2, 20)


def check_outcome(box, done, what):
    if done.status == 0:
        assert done.out == "ran 0\n", (what, done)
    else:
        assert done.out == "", (what, done)
        assert done.status in (3, 4, 5, 125, 126, 127, ITS_OWN), (what, done)
        # A failed write to stderr cannot be told on stderr.
        own = [line for line in done.lines if not line.startswith("nvml-sim: ")]
        if "write" not in what:
            assert own and all(line.startswith("gpu-gate: ") for line in own), (what, done)
        assert "terminate called" not in done.err and "Aborted" not in done.err, (what, done)
    nothing_left(box, what)


def cases(calls):
    """(call, which of that name, its errors) for those that can fail. With the sanitizers each error of a call comes at
    one of its places, and one at least at each: what comes of any error at any place is tried without them."""
    found = [(name, nth, ERRNOS[name]) for name, nth in calls if name in ERRNOS]
    if not SANITIZED:
        return found
    places = collections.Counter(name for name, _, _ in found)
    before = collections.Counter()
    less = []
    for name, nth, errnos in found:
        less.append((name, nth, errnos[before[name] % len(errnos) :: places[name]]))
        before[name] += 1
    return less


def deaths(calls):
    """Of the calls at which it can be killed, those that differ in what is done by then."""
    return [call for before, call in zip([(None, 0), *calls], calls) if before[0] not in WITHOUT_EFFECT]


def test_every_call_that_fails_ends_in_a_run_or_a_clear_line_in_a_new_directory(box):
    met = []

    def check(name, nth, errnos):
        for errno in errnos:
            with Box() as box:
                check_outcome(box, run(box, COMMAND, inject(name, nth, f"error={errno}")), f"{name} #{nth} {errno}")
                met.append(injected(box))

    each(cases(trace(box, COMMAND)), check, AT_ONCE)
    assert met_often(met)


def test_every_call_that_fails_ends_in_a_run_or_a_clear_line_in_a_used_directory(box):
    met = []

    def check(name, nth, errnos):
        with Box() as box:
            assert box.run(*COMMAND).status == 0
            for errno in errnos:
                check_outcome(box, run(box, COMMAND, inject(name, nth, f"error={errno}")), f"{name} #{nth} {errno}")
                met.append(injected(box))

    assert box.run(*COMMAND).status == 0
    each(cases(trace(box, COMMAND)), check, AT_ONCE)
    assert met_often(met)


def test_a_process_killed_at_any_call_leaves_nothing_behind(box):
    def check(name, nth):
        with Box() as box:
            done = run(box, COMMAND, inject(name, nth, "signal=KILL"))
            assert done.status in (-9, 137), done
            assert done.out == ""
            nothing_left(box, "killed")

    each(deaths(trace(box, COMMAND)), check, AT_ONCE)


class Wait:
    """One waits behind another, then as the first in line, and then is served; an outsider is on another card."""

    def __init__(self, box, what=()):
        outsider = box.start_plain("sleep", 1000)
        box.list_processes(f"gpu=1 pid={outsider.pid} memory=300 type=compute")
        self.box = box
        self.holder = box.hold()
        self.first = box.wait_in_line("--poll", 1000)
        self.waiter = Traced(box, what, "run", "--poll", "0.5", *JOB)
        self.process = self.waiter.process
        self.waiter.rests()  # not by what it prints: that may be what fails

    def end(self):
        """All goes its way; returns the exit status."""
        looks = self.waiter.looks()
        self.first.kill()
        self.waiter.rests(looks)
        self.holder.kill()
        return self.process.finish()

    def calls(self):
        """The calls that gpu-gate makes in all this, from when it looks at the lock directory."""
        assert self.end() == 0
        calls = numbered(up_to_the_command(calls_in(self.waiter.text())))
        begin = next(i for i, (name, _) in enumerate(calls) if name == "signalfd4" or str(self.box.lock) in name.rest)
        return [(name, nth) for name, nth in calls[begin:] if not name.of_driver]


def test_a_waiter_killed_at_any_call_lets_the_next_one_through(make_box):
    killed = []

    def check(name, nth):
        with Box(cards=2) as box:
            wait = Wait(box, inject(name, nth, "signal=KILL"))
            behind = box.wait_in_line("--poll", 1000, command=("echo", "ran"))
            status = wait.end()
            assert status in (0, -9, 137)  # 0: it looked once less than when it was traced
            killed.append(status != 0)
            assert behind.finish() == 0
            assert behind.out == "ran\n"

    each(deaths(Wait(make_box(cards=2)).calls())[:: 3 if SANITIZED else 1], check, AT_ONCE)
    assert met_often(killed)


def test_every_call_of_a_waiter_that_fails_is_survived(make_box):
    met = []

    def check(name, nth, errnos):
        for errno in errnos:
            with Box(cards=2) as box:
                what = f"{name} #{nth} {errno}"
                wait = Wait(box, inject(name, nth, f"error={errno}"))
                status = wait.end()
                if status == 0:
                    assert wait.process.out == "ran 0\n", (what, wait.process)
                else:
                    assert status in (4, 5, 125, 126, 127, ITS_OWN), (what, wait.process)
                    assert wait.process.out == "", (what, wait.process)
                nothing_left(box, what)
                met.append(injected(box))

    each(cases(Wait(make_box(cards=2)).calls()), check, AT_ONCE)
    assert met_often(met)
