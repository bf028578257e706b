"""The exceptions: one for each exit code of the program."""


class GpuGateError(Exception):
    """gpu-gate cannot give what was asked for; the text says why."""

    exit_code: "int | None" = None  # the program's, where it has ended with one


class BadRequest(GpuGateError, ValueError):
    """A value that gpu-gate refuses."""

    exit_code = 2


class NeverSatisfiable(GpuGateError):
    """This machine can never meet the request."""

    exit_code = 3


class ProbeError(GpuGateError):
    """The GPUs cannot be read: no driver, an NVML error, a driver/library mismatch."""

    exit_code = 4


class LockDirError(GpuGateError):
    """The lock directory cannot be used."""

    exit_code = 5


class GpuTimeout(GpuGateError, TimeoutError):
    """The GPUs were not free in time."""

    exit_code = 124


class CudaInitialized(GpuGateError, RuntimeError):
    """CUDA has already read CUDA_VISIBLE_DEVICES in this process, so a claim would have no effect."""


_BY_EXIT_CODE = {
    kind.exit_code: kind for kind in (BadRequest, NeverSatisfiable, ProbeError, LockDirError, GpuTimeout)
}


def error_of(exit_code: int, text: str) -> GpuGateError:
    """The exception for an exit code as subprocess gives it (negative: a signal)."""
    prefix = "gpu-gate: "
    lines = [line[len(prefix) :] if line.startswith(prefix) else line for line in text.splitlines()]
    text = "\n".join(lines)
    kind = _BY_EXIT_CODE.get(exit_code)
    if kind is not None:
        return kind(text)
    if exit_code < 0:
        text = f"ended by signal {-exit_code}" + (f": {text}" if text else "")
    error = GpuGateError(text or f"ended with exit code {exit_code}")
    error.exit_code = exit_code if exit_code >= 0 else 128 - exit_code
    return error
