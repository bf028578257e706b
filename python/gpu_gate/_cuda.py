"""Has CUDA been initialised in this process? Then it has read CUDA_VISIBLE_DEVICES for good."""

from __future__ import annotations

import os
import sys

_CUDA_ERROR_NOT_INITIALIZED = 3  # cuda.h
_USERS = ("torch", "cupy", "jax", "tensorflow", "numba", "pycuda", "cuda")


def refusal() -> str | None:
    """Why a claim would come too late; None if it would not."""
    if not (_torch_is_initialized() or _driver_is_initialized()):
        return None
    users = [name for name in _USERS if name in sys.modules]
    by = f" (by {' or '.join(users)}?)" if users else ""
    return (
        f"CUDA is already initialised in this process{by}, so CUDA_VISIBLE_DEVICES no longer has an effect. "
        "Claim before the first use of CUDA (asking whether it is available is one), "
        "or start the program with gpu-gate run"
    )


def _torch_is_initialized() -> bool:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    is_initialized = getattr(cuda, "is_initialized", None)
    return bool(is_initialized and is_initialized())


def _driver_is_initialized() -> bool:
    """Asks the driver's library if it is loaded; never loads it."""
    try:
        with open("/proc/self/maps", "rb") as maps:
            if b"/libcuda.so" not in maps.read():
                return False
    except OSError:
        return False
    import ctypes

    try:
        driver = ctypes.CDLL("libcuda.so.1", mode=os.RTLD_NOLOAD)
        count = ctypes.c_int()
        return bool(driver.cuDeviceGetCount(ctypes.byref(count)) != _CUDA_ERROR_NOT_INITIALIZED)
    except (OSError, AttributeError):
        return False
