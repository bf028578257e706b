"""gpu-gate under strace: which system calls it makes, and what happens if one of them fails or is its last.

The list of calls comes from a real trace, so a call that is added later is covered without anyone
remembering.
"""

import collections
import contextlib
import os
import re
import signal
import subprocess

STRACE = ["strace", "-f", "-qq"]
MAIN = "main"  # stands in a list of calls for the first one that main makes: is descriptor 0 open?
# The leak check of a sanitizer build does not work under strace.
NO_LEAK_CHECK = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}


def inject(name, nth, what):
    """The words for strace that do this to the n-th call of a name: `error=EIO`, `signal=KILL`."""
    return ["-e", f"inject={name}:{what}:when={nth}"]


class Call(str):
    """The name of a call. Those that the simulated driver makes are not gpu-gate's."""

    of_driver = False


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
        if name == "openat" and "/machine.txt" in rest:
            driver_fds.add(rest.rpartition(" = ")[2].split()[0])
            call.of_driver = True
        elif fd in driver_fds and name in ("read", "close"):
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
    for name in calls[start + 1 :]:
        seen[name] += 1
        yield name, seen[name]


def run(box, words, what=(), limit=60):
    """Runs gpu-gate to its end; returns it as subprocess.run does, and the log."""
    log = box.folder / "trace"
    done = subprocess.run(
        [*STRACE, "-e", "signal=none", "-o", log, *what, box.gate, *words], env=box.env(**NO_LEAK_CHECK),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=limit, check=False,
    )
    return done, log.read_text(errors="replace")


class Traced:
    """A gpu-gate that runs; strace can stop it."""

    def __init__(self, box, what, *words, **options):
        self.log = box.folder / "trace"
        self.process = box.start_plain(*STRACE, "-o", self.log, *what, box.gate, *words, env=NO_LEAK_CHECK, **options)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def naps(self):
        """How often it has gone to sleep."""
        return self.text().count(" ppoll(")

    def sleeps(self, naps=1):
        """Does it sleep, for the naps-th time at least?"""
        text = self.text()
        return " = " not in text.rpartition("\n")[2] and text.count(" ppoll(") >= naps

    def stopped(self):
        return "--- stopped by SIGSTOP ---" in self.text()

    def go_on(self):
        with contextlib.suppress(OSError, ValueError):  # it may have ended
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children") as file:
                os.kill(int(file.read()), signal.SIGCONT)
