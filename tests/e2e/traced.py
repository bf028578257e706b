"""gpu-gate under strace: which system calls it makes, and what happens if one of them fails or is its last.

The list of calls comes from a real trace, so a call that is added later is covered without anyone
remembering. Where a waiter stands is told by its looks at the cards, which the driver counts, and not by how
often it polls.
"""

import collections
import contextlib
import os
import re
import signal

import harness

STRACE = ["strace", "-f", "-qq"]
MAIN = "main"  # stands in a list of calls for the first one that main makes: is descriptor 0 open?
# The leak check of a sanitizer build does not work under strace.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
# One of the calls that can wait, and would wait: a time-out of 0 asks only.
WAITS = re.compile(r"\d+ +(?:poll\(.*, [^0 ]\S*|ppoll\((?!.*tv_sec=0, tv_nsec=0\}).*|epoll_\w*wait2?\(.*|p?select6?\(.*)")
WAITING = ["?poll", "ppoll", "?epoll_wait", "epoll_pwait", "?epoll_pwait2", "?select", "pselect6"]


def inject(name, nth, what):
    """The words for strace that do this to the n-th call of a name: `error=EIO`, `signal=KILL`. It writes down
    these calls only, and those by which it is seen to sleep."""
    # A filter in the kernel lets all other calls pass at once, but where it stops a call no signal can be sent.
    quick = ["--seccomp-bpf"] if what.startswith("error=") else []
    return [*quick, "-e", f"trace={','.join({name, *WAITING})}", "-e", f"inject={name}:{what}:when={nth}"]


def injected(box):
    """Did the call come that was to fail?"""
    return "(INJECTED)" in (box.folder / "trace").read_text(errors="replace")


class Call(str):
    """The name of a call. Those that the simulated driver makes are not gpu-gate's."""

    of_driver = False
    waits = False
    fd = None  # its first argument, if that is a number
    rest = ""  # the line behind the name


def calls_in(text):
    """The traced calls in order, with MAIN where main begins."""
    calls, driver_fds = [], set()
    for line in text.splitlines():
        match = re.match(r"\d+ +(\w+)\((?:(\d+)\b)?(.*)", line)
        if not match:
            continue
        name, fd, rest = match.groups()
        if name == "fcntl" and fd == "0" and rest.startswith(", F_GETFD") and MAIN not in calls:
            calls.append(Call(MAIN))
        call = Call(name)
        call.fd, call.rest, call.waits = fd, rest, WAITS.match(line) is not None
        if name == "openat" and ("/machine.txt" in rest or "/nvml.log" in rest):
            driver_fds.add(rest.rpartition(" = ")[2].split()[0])
            call.of_driver = True
        elif fd in driver_fds and name in ("read", "write", "close"):
            call.of_driver = True
            if name == "close":
                driver_fds.remove(fd)
        calls.append(call)
    return calls


def up_to_the_command(calls):
    return calls[: [i for i, name in enumerate(calls) if name == "execve"][1] + 1]


def numbered(calls):
    """(name, which of that name) for each call that main makes, not the dynamic linker before it."""
    start = calls.index(MAIN)
    seen = collections.Counter(name for name in calls[:start])
    del seen["execve"]  # strace begins to count behind its own exec of the program
    numbers = []
    for name in calls[start + 1 :]:
        seen[name] += 1
        numbers.append((name, seen[name]))
    return numbers


def run(box, words, what=(), limit=60):
    """Runs gpu-gate to its end."""
    return box.run_plain(*STRACE, "-e", "signal=none", "-o", box.folder / "trace", *what, box.gate, *words,
                         env=NO_LEAK_CHECK, limit=limit)


def trace_lines(box, words):
    """What strace tells of it, a line a call."""
    done = run(box, words)
    assert done.status == 0, done
    return (box.folder / "trace").read_text(errors="replace").splitlines()


def trace(box, words):
    """The calls that it makes, up to and with the exec of the command."""
    return numbered(up_to_the_command(calls_in("\n".join(trace_lines(box, words)))))


class Traced:
    """A gpu-gate that runs; strace can stop it."""

    def __init__(self, box, what, *words, env=None, **options):
        self.box = box
        box.log_calls()
        self.log = box.folder / "trace"
        self.process = box.start_plain(*STRACE, "-o", self.log, *what, box.gate, *words,
                                       env={**NO_LEAK_CHECK, **(env or {})}, **options)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def looks(self):
        """How often it has looked at the cards."""
        pids = harness.children_of(self.process.pid)
        return self.box.looks(pids[0]) if pids else 0

    def sleeps(self):
        """Does it wait for something to happen?"""
        last = self.text().rpartition("\n")[2]
        return " = " not in last and WAITS.match(last) is not None

    def stopped(self):
        return "--- stopped by SIGSTOP ---" in self.text()

    def rests(self, looks=0):
        """Waits until it sleeps after a look, the first after so many; or is stopped, or has ended."""
        # The looks are counted first: what it sleeps in then comes after them.
        harness.wait_until(lambda: not self.process.alive() or self.looks() > looks and self.sleeps() or self.stopped(),
                           "it sleeps, or is stopped, or has ended")

    def go_on(self):
        with contextlib.suppress(ProcessLookupError):
            for pid in harness.children_of(self.process.pid):
                os.kill(pid, signal.SIGCONT)


def of_folder(text, folder):
    """(name, which of that name) for each call by which main reads what is in a folder: an open, or on what it opened."""
    calls, fds, of = calls_in(text), set(), []
    for call in calls:
        opened = call.rest.rpartition(" = ")[2].split()[:1]
        if f'"{folder}' in call.rest:
            of.append(True)
            if call == "openat":
                fds.add(opened[0])
        else:
            of.append(call.fd in fds)
            if call == "close" and call.fd in fds:
                fds.remove(call.fd)
    begun = calls.index(MAIN) + 1
    return [one for one, is_of in zip(numbered(calls), of[begun:]) if is_of]
