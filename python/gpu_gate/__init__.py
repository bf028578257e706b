"""Claim free GPUs of a shared machine: the Python front of the program gpu-gate.

    import gpu_gate

    with gpu_gate.claim(count=2, min_free_mb=8000) as gpus:
        print(gpus.indices)   # (0, 2); CUDA_VISIBLE_DEVICES is set for the block
        train()

    async with gpu_gate.claim() as gpus: ...

    with gpu_gate.claim(share_mb=8000) as gpus:   # 8000 MiB of a GPU, beside others
        torch.cuda.set_per_process_memory_fraction(gpus.share_fraction)

    gpu_gate.wait()           # (0,): waits for a free GPU and holds nothing
    gpu_gate.status()         # every GPU, who holds it, who is on it

The claim lasts to the end of the block, or of the process, however that ends.
"""

from ._errors import (
    BadRequest,
    CudaInitialized,
    GpuGateError,
    GpuTimeout,
    LockDirError,
    NeverSatisfiable,
    ProbeError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._claim import Claim, Gpus, claim, wait
    from ._status import Gpu, GpuClaim, GpuProcess, status

__all__ = [
    "BadRequest",
    "Claim",
    "CudaInitialized",
    "Gpu",
    "GpuClaim",
    "GpuGateError",
    "GpuProcess",
    "GpuTimeout",
    "Gpus",
    "LockDirError",
    "NeverSatisfiable",
    "ProbeError",
    "claim",
    "status",
    "wait",
]

# What needs subprocess, json and the like is loaded when it is used: importing costs nothing.
_HOMES = {
    "Claim": "_claim",
    "Gpus": "_claim",
    "claim": "_claim",
    "wait": "_claim",
    "Gpu": "_status",
    "GpuClaim": "_status",
    "GpuProcess": "_status",
    "status": "_status",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
