"""Finding and running the program gpu-gate."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import sysconfig
from _thread import RLock
from collections.abc import Iterable

from ._errors import GpuGateError, error_of

HOLD_BACK_S = 0.1  # a notice is shown after this long: a line that the end follows at once is the error's
PATIENCE_S = 1.0  # for the program to end in order before it is told by a signal


def find_program() -> str:
    """$GPU_GATE_PROGRAM, else the program installed with this package, else the one on PATH."""
    chosen = os.environ.get("GPU_GATE_PROGRAM")
    if chosen:
        return chosen
    folders = [sysconfig.get_path("scripts")]
    if "posix_user" in sysconfig.get_scheme_names():
        folders.append(sysconfig.get_path("scripts", "posix_user"))  # pip install --user
    here = os.path.dirname(os.path.abspath(__file__))
    folders.append(os.path.join(os.path.dirname(here), "bin"))  # pip install --target
    for folder in folders:
        program = os.path.join(folder, "gpu-gate")
        if os.access(program, os.X_OK):
            return program
    found = shutil.which("gpu-gate")
    if found is None:
        raise GpuGateError("the program gpu-gate was not found, neither beside this Python nor on PATH")
    return found


def option(name: str, value: object) -> list[str]:
    """["--name=value"], or nothing for None. Lists become "a,b"; the program judges the values."""
    if value is None:
        return []
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = ",".join(str(item) for item in value)
    return [f"--{name}={value}"]


class Call:
    """A running gpu-gate and its output.

    What it says while it waits goes to sys.stderr, so that notebooks show it too; what it says last
    becomes the text of the exception. It has a session of its own: Ctrl-C is for this process alone,
    which then decides whether the claim ends.

    The pipe to its standard input is its lifeline: a forked child closes its copy at once, so that the
    claim depends on this process only.
    """

    def __init__(self, words: list[str], *, quiet: bool = True) -> None:
        program = find_program()
        self._quiet = quiet
        self._out = b""
        self._err = b""
        self._pid = os.getpid()
        try:
            with _forking:  # a fork amid this would leave copies of the pipes' other ends behind
                self.popen = subprocess.Popen(
                    [program, *words],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=True,
                )
                _running.add(self)
        except OSError as error:
            raise GpuGateError(f"{program}: {error.strerror}") from error
        assert self.popen.stdin and self.popen.stdout and self.popen.stderr
        self._stdin = self.popen.stdin
        self._stdout = self.popen.stdout
        self._stderr = self.popen.stderr
        os.set_blocking(self._stdout.fileno(), False)
        os.set_blocking(self._stderr.fileno(), False)
        self._open = [self._stdout.fileno(), self._stderr.fileno()]

    def line(self) -> str:
        """Waits for the first line of its output. Raises the exception of its exit code if it ends first."""
        poll = select.poll()
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        while not self._answered():
            events = poll.poll(HOLD_BACK_S * 1000 if self._err else None)
            if not events:
                self._show()
            for fd, _ in events:
                if not self._take(fd):
                    poll.unregister(fd)
        return self._answer()

    async def line_async(self) -> str:
        """The same for asyncio."""
        import asyncio

        loop = asyncio.get_running_loop()
        done = loop.create_future()
        timer: asyncio.TimerHandle | None = None

        def ready(fd: int) -> None:
            nonlocal timer
            if not self._take(fd):
                loop.remove_reader(fd)
            if timer is not None:
                timer.cancel()
            timer = loop.call_later(HOLD_BACK_S, self._show)
            if self._answered() and not done.done():
                done.set_result(None)

        for fd in self._open:
            loop.add_reader(fd, ready, fd)
        try:
            await done
        finally:
            for fd in self._open:
                loop.remove_reader(fd)
            if timer is not None:
                timer.cancel()
        return self._answer()

    def output(self) -> str:
        """Waits for its end; returns all its output."""
        out, err = self.popen.communicate()
        with _forking:
            _running.discard(self)
        if self.popen.returncode != 0:
            raise error_of(self.popen.returncode, err.decode(errors="replace"))
        return out.decode()

    def ended(self) -> bool:
        """Has it ended, though nobody told it to?"""
        return self._pid == os.getpid() and self.popen.poll() is not None

    def end(self, *, at_once: bool = False) -> None:
        """Makes it end and returns when it has: by the end of its input, and where that does not
        suffice, or at_once, by a signal. In a forked child it does nothing."""
        if self._pid != os.getpid():
            return
        with _forking:
            _running.discard(self)
        self._stdin.close()
        try:
            if at_once:
                self.popen.terminate()
            for stronger in (self.popen.terminate, self.popen.kill):
                if self._ends_within(PATIENCE_S):
                    break
                stronger()
            self.popen.wait()
        finally:
            self._stdout.close()
            self._stderr.close()

    def let_go_after_fork(self) -> None:
        self._stdin.close()

    def _ends_within(self, seconds: float) -> bool:
        """Waits for the end of its output, which comes with its own."""
        poll = select.poll()
        poll.register(self._stdout.fileno(), 0)  # POLLHUP
        return bool(poll.poll(seconds * 1000))

    def _take(self, fd: int) -> bool:
        """Reads what is there; False at the end."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return True
        if not data:
            self._open.remove(fd)
            return False
        if fd == self._stdout.fileno():
            self._out += data
        else:
            self._err += data
        return True

    def _show(self) -> None:
        text, self._err = self._err.decode(errors="replace"), b""
        if text and not self._quiet and sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()

    def _answered(self) -> bool:
        return b"\n" in self._out or self._stdout.fileno() not in self._open

    def _answer(self) -> str:
        if b"\n" in self._out:
            self._show()
            return self._out.decode()
        exit_code = self.popen.wait()
        while self._stderr.fileno() in self._open and self._take(self._stderr.fileno()):
            pass
        raise error_of(exit_code, self._err.decode(errors="replace"))


_forking = RLock()
_running: set[Call] = set()


def _after_fork_in_child() -> None:
    for call in _running:
        call.let_go_after_fork()
    _running.clear()
    _forking.release()


os.register_at_fork(
    before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_after_fork_in_child
)
