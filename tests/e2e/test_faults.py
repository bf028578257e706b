"""Every system call that gpu-gate makes is made to fail, and is where the process is killed.

The list of calls comes from a real trace, so a call that is added later is covered without anyone
remembering. The outcome must be one of two: the command ran under a proper claim, or one clear line and
the right exit code. Never two owners, never a hang, never a leaked claim.
"""

import collections
import os
import re
import subprocess

import pytest

from harness import wait_until

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
TRACE = ["strace", "-f", "-qq", "-e", "signal=none"]
MAIN = "main"  # stands in a list of calls for the first one that main makes: is descriptor 0 open?
# The leak check of a sanitizer build does not work under strace.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def names_of(log):
    """The names of the traced calls in order, with MAIN where main begins."""
    names = []
    for line in log.read_text().splitlines():
        match = re.match(r"\d+ +(\w+)\((.*)", line)
        if not match:
            continue
        if match.group(1) == "fcntl" and match.group(2).startswith("0, F_GETFD") and MAIN not in names:
            names.append(MAIN)
        names.append(match.group(1))
    return names


def up_to_the_command(names):
    return names[: [i for i, name in enumerate(names) if name == "execve"][1] + 1]


def trace(box, words, prepare=None, limit=30):
    """The names of the calls that gpu-gate makes, in order, up to and with the exec of the command."""
    log = box.folder / "trace"
    done = subprocess.run(
        [*TRACE, "-o", str(log), box.gate, *words], env=box.env(**NO_LEAK_CHECK), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit, check=False,
    )
    assert done.returncode == 0, done.stderr
    return up_to_the_command(names_of(log))


def own_part(calls):
    """Without the dynamic linker's start: from the first call that main makes."""
    start = calls.index(MAIN)
    seen = collections.Counter(name for name in calls[:start] if name != MAIN)
    del seen["execve"]  # strace begins to count behind its own exec of the program
    for name in calls[start + 1 :]:
        seen[name] += 1
        yield name, seen[name]


def injected(box, words, name, nth, what):
    log = box.folder / "injected"
    return subprocess.run(
        [*TRACE, "-o", str(log), "-e", f"inject={name}:{what}:when={nth}", box.gate, *words],
        env=box.env(**NO_LEAK_CHECK), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        timeout=60, check=False,
    )


def nothing_left(box):
    """No claim lives and nobody stands in line, as the next caller sees it."""
    done = box.run("run", "-q", "--timeout", "20", "--", "sh", "-c", "echo free")
    return done.output == "free" and done.status == 0, done.text


# A card whose state could not be read for once is looked at again at the next poll.
COMMAND = ["run", "--poll", "0.05", "--", "sh", "-c", 'test -n "$GPU_GATE_CLAIM" && echo ran $CUDA_VISIBLE_DEVICES']


def test_every_call_is_known(box):
    calls = {name for name, _ in own_part(trace(box, COMMAND))}
    assert calls <= set(ERRNOS) | NEVER_FAIL, calls - set(ERRNOS) - NEVER_FAIL


def check_outcome(box, done, what):
    out, err = done.stdout.decode(), done.stderr.decode()
    if done.returncode == 0:
        assert out == "ran 0\n", (what, out, err)
    else:
        assert out == "", (what, out, err)
        assert done.returncode in (3, 4, 5, 126, 127), (what, done.returncode, err)
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
    todo = list(own_part(trace(reference, COMMAND)))
    assert len(todo) > 50
    tried = 0
    for name, nth in todo:
        for errno in ERRNOS.get(name, []):
            box = reference
            if first:
                box = make_box(cards=1)
            done = injected(box, COMMAND, name, nth, f"error={errno}")
            check_outcome(box, done, f"{name} #{nth} {errno}")
            tried += 1
            if first:
                box.close()
    assert tried > 100


def test_a_process_killed_at_any_call_leaves_nothing_behind(make_box):
    reference = make_box(cards=1)
    todo = list(own_part(trace(reference, COMMAND)))
    for name, nth in todo:
        if name in ("exit_group", "rt_sigreturn"):
            continue
        box = make_box(cards=1)
        done = injected(box, COMMAND, name, nth, "signal=KILL")
        assert done.returncode in (-9, 137), (name, nth, done)
        assert done.stdout == b"", (name, nth)
        free, text = nothing_left(box)
        assert free, (f"killed at {name} #{nth}", text)
        box.close()


def test_a_waiter_killed_at_any_call_lets_the_next_one_through(make_box):
    """One holder, a waiter that is killed at its n-th call while it waits or is served, one behind it."""
    reference = make_box(cards=1)
    calls = trace_of_a_waiter(reference)
    # Each call of the waiting part once; the start is covered above.
    todo = [(name, nth) for name, nth in calls if name not in ("exit_group",)]
    for name, nth in todo[:: max(1, len(todo) // 60)]:
        box = make_box(cards=1)
        holder = box.hold()
        victim = box.start_plain(
            *TRACE, "-o", "/dev/null", "-e", f"inject={name}:signal=KILL:when={nth}", box.gate, *COMMAND, env=NO_LEAK_CHECK
        )
        wait_until(lambda: not victim.alive() or any("in line" in line for line in victim.lines), "victim waits")
        behind = box.start("run", "--", "sh", "-c", "echo ran")
        wait_until(lambda: any("in line" in line for line in behind.lines), "the one behind waits")
        holder.kill()
        assert behind.finish() == 0, (name, nth, behind.lines)
        assert behind.out == ["ran"]
        victim.finish()
        box.close()


def trace_of_a_waiter(box):
    log = box.folder / "waiter-trace"
    holder = box.hold()
    waiter = box.start_plain(*TRACE, "-o", str(log), box.gate, *COMMAND, env=NO_LEAK_CHECK)
    waiter.wait_for("in line")
    holder.kill()
    assert waiter.finish() == 0
    return list(own_part(up_to_the_command(names_of(log))))


def test_every_call_of_a_waiter_that_fails_is_survived(make_box):
    reference = make_box(cards=1)
    calls = trace_of_a_waiter(reference)
    counted = collections.Counter()
    for name, nth in calls:
        errnos = ERRNOS.get(name, [])
        if not errnos:
            continue
        # A different errno at each place, so that all of them meet all calls without meeting all places.
        errno = errnos[counted[name] % len(errnos)]
        counted[name] += 1
        box = make_box(cards=1)
        holder = box.hold()
        waiter = box.start_plain(
            *TRACE, "-o", "/dev/null", "-e", f"inject={name}:error={errno}:when={nth}", box.gate, *COMMAND, env=NO_LEAK_CHECK
        )
        # Not by what it prints: that may be what fails.
        wait_until(lambda: not waiter.alive() or any((box.lock / "queue").glob("*.json")), f"{name} {nth}")
        holder.kill()
        status = waiter.finish()
        what = f"{name} #{nth} {errno}"
        if status == 0:
            assert waiter.out == ["ran 0"], what
        else:
            assert status in (4, 5, 126, 127), (what, status, waiter.lines)
            assert waiter.out == [], what
        free, text = nothing_left(box)
        assert free, (what, text)
        box.close()
