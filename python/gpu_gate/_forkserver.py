"""multiprocessing's fork server: a process that forks the others, with the environment that it was started with."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from ._errors import GpuGateError

# Servers that new processes do not come from any more: the pid and the descriptor that keeps it running. One that
# has children stays for their exit codes.
_left: list[tuple[int, int]] = []


def leave() -> None:
    """To be called where os.environ has changed: what is started from now on comes from a fork server of its own,
    and so has os.environ as it is now."""
    module = sys.modules.get("multiprocessing.forkserver")
    if module is None:
        return
    server = getattr(module, "_forkserver", None)
    try:
        with server._lock:
            pid, alive = server._forkserver_pid, server._forkserver_alive_fd
            if pid is not None:
                _left.append((pid, alive))
                # As ensure_running() does where it finds that its server has ended.
                server._forkserver_pid = server._forkserver_alive_fd = server._forkserver_address = None
                if hasattr(server, "_forkserver_authkey"):  # from 3.14 on
                    server._forkserver_authkey = None
    except AttributeError as error:
        raise GpuGateError(
            "the fork server of this Python cannot be replaced, and would start processes with other GPUs: "
            'call multiprocessing.set_start_method("spawn"), or claim with environ=False'
        ) from error
    for each in _left[:]:
        if _is_over(*each):
            _left.remove(each)


def _is_over(pid: int, alive: int) -> bool:
    """Has it ended? Ends it where it has no children."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0] == 0:
            if _has_children(pid):
                return False
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
    except ChildProcessError:
        pass  # reaped by others; or this is a forked child, and it is its parent's
    os.close(alive)
    return True


def _has_children(pid: int) -> bool:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/task/{pid}/children") as children:
        return children.read() != ""
    return True  # as far as is known


def _after_fork_in_child() -> None:
    for _, alive in _left:
        os.close(alive)
    _left.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
