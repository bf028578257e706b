"""Finding and running the program gpu-gate."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterable
from typing import IO, TypeVar

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
    """A gpu-gate that start() runs, and its output.

    What it says while it waits goes to sys.stderr, so that notebooks show it too; what it says last
    becomes the text of the exception. It has a session of its own: Ctrl-C is for this process alone,
    which then decides whether the claim ends.

    The pipe to its standard input is its lifeline: a forked child closes its copy at once, so that the
    claim depends on this process only.
    """

    def __init__(self, words: list[str], *, quiet: bool = True) -> None:
        self._words = words
        self._quiet = quiet
        self._out = b""
        self._err = b""
        self._pid = os.getpid()
        self._popen: subprocess.Popen[bytes] | None = None
        self._over = False
        self._was_lost = False

    def start(self) -> None:
        """To be called once. Whatever interrupts it, end() finds what there is to end."""
        words = [find_program(), *self._words]
        if "--export" not in words and signal.getsignal(signal.SIGCHLD) != signal.SIG_DFL:
            words = [*_TELLING_ITS_EXIT_CODE, *words]
        try:
            _uninterrupted(lambda: self._start(words))
        except OSError as error:
            raise GpuGateError(f"{error.filename or words[0]}: {error.strerror}") from error

    def _start(self, words: list[str]) -> None:
        with _forking:  # a fork amid this would leave copies of the pipes' other ends behind
            if self._over:
                return
            self._popen = subprocess.Popen(
                words,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                start_new_session=True,
            )
            _running.add(self)
        os.set_blocking(self._stdout.fileno(), False)
        os.set_blocking(self._stderr.fileno(), False)
        self._open = [self._stdout.fileno(), self._stderr.fileno()]

    @property
    def popen(self) -> subprocess.Popen[bytes]:
        assert self._popen is not None
        return self._popen

    @property
    def _stdin(self) -> IO[bytes]:
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def _stdout(self) -> IO[bytes]:
        assert self.popen.stdout is not None
        return self.popen.stdout

    @property
    def _stderr(self) -> IO[bytes]:
        assert self.popen.stderr is not None
        return self.popen.stderr

    def line(self) -> str:
        """Waits for the first line of its output. Raises the exception of its exit code if it ends first."""
        self._read_until(lambda: b"\n" in self._out, hold_back_s=HOLD_BACK_S)
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
            if (b"\n" in self._out or self._at_end()) and not done.done():
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
        """Waits for its end; returns all its output. Raises the exception of its exit code."""
        self._read_until(lambda: False)
        self._raise_if_failed()
        return self._out.decode()

    def end(self, *, at_once: bool = False) -> bool:
        """Makes it end and returns when it has: by the end of its input, and where that does not
        suffice, or at_once, by a signal. In a forked child, and the second time, it does nothing.
        False where it had ended before, though nobody told it to."""
        if self._pid != os.getpid():
            return True
        _uninterrupted(lambda: self._end(at_once))
        return not self._was_lost

    def _end(self, at_once: bool) -> None:
        with _forking:
            self._over = True
            if self not in _running:
                return
            _running.discard(self)
        self._was_lost = self.popen.poll() is not None
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
            self._popen = None

    def let_go_after_fork(self) -> None:
        self._stdin.close()

    def _ends_within(self, seconds: float) -> bool:
        """Waits for the end of its output, which comes with its own."""
        poll = select.poll()
        poll.register(self._stdout.fileno(), 0)  # POLLHUP
        return bool(poll.poll(seconds * 1000))

    def _read_until(self, enough: Callable[[], bool], *, hold_back_s: float | None = None) -> None:
        """Reads until that, or its end. Shows what it says as soon as it pauses that long."""
        poll = select.poll()
        for fd in self._open:
            poll.register(fd, select.POLLIN)
        while not (enough() or self._at_end()):
            events = poll.poll(hold_back_s * 1000 if hold_back_s is not None and self._err else None)
            if not events:
                self._show()
            for fd, _ in events:
                if not self._take(fd):
                    poll.unregister(fd)

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

    def _at_end(self) -> bool:
        return self._stdout.fileno() not in self._open

    def _answer(self) -> str:
        if self._at_end() or _FAILURE.fullmatch(self._out):
            self._raise_if_failed()
        self._show()
        return self._out.decode()

    def _raise_if_failed(self) -> None:
        _uninterrupted(self.popen.wait)
        exit_code = self.popen.returncode
        failure = _FAILURE.search(self._out)
        if exit_code == 0 and failure:  # somebody else has taken the exit code: SIGCHLD is ignored, say
            exit_code = int(failure[1])
        if exit_code == 0 and self._out:
            return
        while self._stderr.fileno() in self._open and self._take(self._stderr.fileno()):
            pass
        raise error_of(exit_code, self._err.decode(errors="replace"))


T = TypeVar("T")


def ask(words: list[str], question: Callable[[Call], T], *, quiet: bool = True) -> T:
    """Runs the program for one answer."""
    call = Call(words, quiet=quiet)
    try:
        call.start()
        answer = question(call)
        call.end(at_once=True)
    except BaseException:  # an interrupt may come at any moment, also amid the end
        call.end(at_once=True)
        raise
    return answer


# With SIGCHLD ignored, or a handler that reaps every child, nobody can ask for an exit code. hold --export tells
# it on standard output where it fails; a shell does so for what is called without.
_FAILURE = re.compile(rb"^\(exit (\d+)\)\n\Z", re.MULTILINE)
_TELLING_ITS_EXIT_CODE = ["/bin/sh", "-c", '"$0" "$@" || echo "(exit $?)"']


def _uninterrupted(work: Callable[[], object]) -> None:
    """Runs it to its end, whatever Python's signal handlers raise meanwhile (KeyboardInterrupt), and raises
    that then. Handlers run in the main thread alone, so the work has a thread of its own."""
    if threading.current_thread() is not threading.main_thread():
        work()
        return
    once, going_on = allocate_lock(), allocate_lock()
    going_on.acquire()
    outcome: list[BaseException | None] = []

    def run() -> None:
        if not once.acquire(blocking=False):
            return
        try:
            work()
            outcome.append(None)
        except BaseException as error:
            outcome.append(error)
        going_on.release()

    interrupt: BaseException | None = None
    started = False
    while not outcome:
        try:
            if not started:  # as far as is known: it may have been interrupted just then
                start_new_thread(run, ())
                started = True
            with going_on:
                pass
        except RuntimeError:  # no thread is to be had: there are too many, or the interpreter is at its end
            run()
        except BaseException as error:
            interrupt = error
    error = outcome[0] or interrupt
    if error is not None:
        raise error


_forking = threading.RLock()
_running: set[Call] = set()


def _after_fork_in_child() -> None:
    for call in _running:
        call.let_go_after_fork()
    _running.clear()
    _forking.release()


os.register_at_fork(
    before=_forking.acquire, after_in_parent=_forking.release, after_in_child=_after_fork_in_child
)
