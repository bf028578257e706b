"""claim() and wait()."""

from __future__ import annotations

import gc
import os
import shlex
import warnings
import weakref
from _thread import allocate_lock, get_ident
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MethodType, TracebackType
from typing import Any, Union

from . import _cuda, _forkserver
from ._errors import CudaInitialized, GpuGateError
from ._program import Call, ask, option

GpuList = Union[str, int, Iterable[Union[str, int]]]  # "0,2-3", 2, [0, "GPU-3f2a"]


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a claim."""

    indices: tuple[int | str, ...]  # positions in PCI bus order, as nvidia-smi shows them; "0:1" for an instance
    uuids: tuple[str, ...]
    visible_devices: str  # what CUDA_VISIBLE_DEVICES is, or of AMD's GPUs ROCR_VISIBLE_DEVICES
    environ: dict[str, str]  # the variables of the claim: subprocess.run(..., env={**os.environ, **gpus.environ})
    share_mb: int | None = None  # of each GPU; None: all of it
    # What that is of the smallest of them, for torch.cuda.set_per_process_memory_fraction(); None: all of it, or
    # the driver does not tell how much memory they have.
    share_fraction: float | None = None


def claim(
    count: int = 1,
    *,
    min_free_mb: int | None = None,
    share_mb: int | None = None,
    max_util: int | None = None,
    only: GpuList | None = None,
    exclude: GpuList | None = None,
    nice: bool = False,
    note: str | None = None,
    vendor: str | None = None,
    poll: float | None = None,
    timeout: float | None = None,
    environ: bool = True,
    quiet: bool = False,
) -> Claim:
    """Waits for free GPUs and claims them for a `with` or `async with` block.

    The options are those of `gpu-gate run`; share_mb is its --share: so much memory of each GPU, beside
    others who share it. A note is shown to others beside your name. Inside the block, os.environ has the
    variables that the command of `gpu-gate run` gets; afterwards it is as it was before. A claim inside
    the block chooses among the block's GPUs, and inside a share has a part of that.

    The whole process shares os.environ, so two threads or tasks cannot be in such blocks at the same
    time. With environ=False any number can: os.environ stays as it is, and `gpus.environ` is for the
    processes that you start.

    Raises BadRequest, NeverSatisfiable, ProbeError, LockDirError, GpuTimeout; CudaInitialized where
    CUDA_VISIBLE_DEVICES would come too late.
    """
    words = _selection(count, min_free_mb, share_mb, max_util, only, exclude, nice, note, vendor, poll, timeout, quiet)
    return Claim(words, environ=environ, quiet=quiet)


def wait(
    count: int = 1,
    *,
    min_free_mb: int | None = None,
    share_mb: int | None = None,
    max_util: int | None = None,
    only: GpuList | None = None,
    exclude: GpuList | None = None,
    nice: bool = False,
    note: str | None = None,
    vendor: str | None = None,
    poll: float | None = None,
    timeout: float | None = None,
    quiet: bool = False,
) -> tuple[int | str, ...]:
    """Waits in the same line until the GPUs are free and returns their indices; holds nothing afterwards."""
    words = _selection(count, min_free_mb, share_mb, max_util, only, exclude, nice, note, vendor, poll, timeout, quiet)
    # Not `gpu-gate wait`: that would go on standing in line if this process were killed.
    return _indices(_variables(ask(["hold", "--export", *words], Call.line, quiet=quiet))[0])


class _Exit:
    """A method by which a block is left. `with` asks for it before the block begins."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method

    def __get__(self, claim: Claim | None, kind: type[Claim]) -> Callable[..., Any]:
        if claim is None:  # of the class: contextlib.ExitStack
            return self._method
        claim._is_of_a_block = True
        return MethodType(self._method, claim)


class Claim:
    """What claim() returns: a context manager, synchronous and asynchronous, that can be used again."""

    def __init__(self, words: list[str], *, environ: bool, quiet: bool) -> None:
        self._words = words
        self._environ = environ
        self._quiet = quiet
        self._call: Call | None = None
        self._turn: _Turn | None = None
        self._is_of_a_block = False  # otherwise it lasts as long as the process

    def __enter__(self) -> Gpus:
        self._check_use()
        try:
            return self._granted(self._begin(None).line())
        except BaseException:  # KeyboardInterrupt too
            self._abandon()
            raise

    @_Exit
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave()
        except BaseException:  # an interrupt
            self._leave()
            raise

    async def __aenter__(self) -> Gpus:
        import asyncio

        self._check_use()
        try:
            return self._granted(await self._begin(asyncio.current_task()).line_async())
        except BaseException:  # CancelledError too
            self._abandon()
            raise

    @_Exit
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)  # a millisecond

    def __del__(self) -> None:
        # An interrupt may come before the first step of __exit__, and before __aexit__ is called at all.
        if self._is_of_a_block and (self._turn is not None or self._call is not None):
            self._abandon()

    def _check_use(self) -> None:
        if self._call is not None:
            raise GpuGateError("this claim is in use; make another one")

    # An interrupt may come between any two steps: what is made is known before it does anything.

    def _begin(self, task: object) -> Call:
        if self._environ:
            reason = _cuda.refusal()
            if reason is not None:
                raise CudaInitialized(reason)
            self._turn = _Turn(task)
            self._turn.begin()
        self._call = Call(["hold", "--export", *self._words], quiet=self._quiet)
        self._call.start()
        return self._call

    def _abandon(self) -> None:
        try:
            if self._turn is not None:
                self._turn.end()
        finally:
            if self._call is not None:
                self._call.end(at_once=True)
            self._turn = self._call = None

    def _leave(self) -> None:
        """Gives everything back; what is left of that if it has begun already."""
        lasted = True
        try:
            if self._turn is not None:
                self._turn.end()
            self._turn = None
        finally:
            if self._call is not None:
                lasted = self._call.end()
            self._call = None
        if not lasted:
            warnings.warn("the claim has ended before its block: gpu-gate was killed", RuntimeWarning, stacklevel=3)

    def _granted(self, line: str) -> Gpus:
        variables, untrue = _variables(line)
        if self._turn is not None:
            self._turn.set({**variables, **dict.fromkeys(untrue)})
        share, fraction = variables.get("GPU_GATE_SHARE_MB"), variables.get("GPU_GATE_SHARE_FRACTION")
        return Gpus(
            _indices(variables),
            tuple(variables["GPU_GATE_UUIDS"].split(",")),
            variables.get("CUDA_VISIBLE_DEVICES") or variables["ROCR_VISIBLE_DEVICES"],
            variables,
            None if share is None else int(share),
            None if fraction is None else float(fraction),
        )


def _variables(line: str) -> tuple[dict[str, str], list[str]]:
    """What the line of hold --export sets, and the names of what was set and would not be true of this claim:
    unset C D; export A='1' B='2'."""
    words = shlex.split(line)
    at = words.index("export")
    variables = {name: value for name, _, value in (word.partition("=") for word in words[at + 1 :])}
    return variables, [word.rstrip(";") for word in words[1:at]]


def _indices(variables: dict[str, str]) -> tuple[int | str, ...]:
    return tuple(int(index) if index.isdecimal() else index for index in variables["GPU_GATE_INDICES"].split(","))


class _Turn:
    """The right to set os.environ, of which a process has one; turns nest."""

    _stack: list[_Turn] = []
    _lock = allocate_lock()

    def __init__(self, task: object) -> None:
        """`task`: of asyncio; None for a thread."""
        self._thread = get_ident()
        # Weakly: a task that nobody else knows any more is to end, and this with it.
        self._task = None if task is None else weakref.ref(task)
        self._before: dict[str, str | None] = {}

    def begin(self) -> None:
        if self._take():
            return
        # A task of an event loop that was interrupted may be ended by the garbage collector alone.
        gc.collect()
        if not self._take():
            raise GpuGateError(
                "another thread or task of this process is inside claim(), and all of them share os.environ; "
                "use claim(environ=False) and give gpus.environ to the processes that you start"
            )

    def _take(self) -> bool:
        with _Turn._lock:
            if _Turn._stack and not _Turn._stack[-1]._allows(self):
                return False
            _Turn._stack.append(self)
            return True

    def _allows(self, inner: _Turn) -> bool:
        return self._thread == inner._thread and (
            self._task is None or (inner._task is not None and self._task() is inner._task())
        )

    def set(self, variables: Mapping[str, str | None]) -> None:
        self._before = {name: os.environ.get(name) for name in variables}
        _set_environ(variables)
        _forkserver.leave()

    def end(self) -> None:
        """Puts back what was there; a turn inside that is not over will do so in its place."""
        with _Turn._lock:
            stack = _Turn._stack
            at = stack.index(self) if self in stack else -1
            inner = stack[at + 1] if 0 <= at < len(stack) - 1 else None
            if at >= 0:
                del stack[at]
        if inner is not None:
            inner._before.update(self._before)
            return
        _set_environ(self._before)
        if self._before:
            _forkserver.leave()


def _set_environ(variables: Mapping[str, str | None]) -> None:
    """None: it is not set afterwards."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _after_fork_in_child() -> None:
    # The claims are the parent's, and so are the threads that could be inside them.
    _Turn._lock = allocate_lock()
    _Turn._stack.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)


def _selection(
    count: int,
    min_free_mb: int | None,
    share_mb: int | None,
    max_util: int | None,
    only: GpuList | None,
    exclude: GpuList | None,
    nice: bool,
    note: str | None,
    vendor: str | None,
    poll: float | None,
    timeout: float | None,
    quiet: bool,
) -> list[str]:
    return [
        *option("count", count),
        *option("min-free-mb", min_free_mb),
        *option("share", share_mb),
        *option("max-util", max_util),
        *option("only", only),
        *option("exclude", exclude),
        *(["--nice"] if nice else []),
        *option("note", note or None),
        *option("vendor", vendor),
        *option("poll", poll),
        *option("timeout", timeout),
        *(["--quiet"] if quiet else []),
    ]
