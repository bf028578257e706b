"""status()."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, TypeVar

from ._program import Call, ask


@dataclass(frozen=True)
class GpuProcess:
    """A process on a GPU, as the driver lists it."""

    pid: int
    user: str | None
    uid: int | None
    command: str
    memory_mb: int | None
    type: str  # "compute" or "graphics"
    claimed: bool  # it belongs to a claim on this GPU


@dataclass(frozen=True)
class GpuClaim:
    """Who holds a GPU."""

    user: str
    uid: int
    pid: int | None  # this and the next two: None where the claim has no record that can be read
    command: str | None
    since: int | None  # seconds since the epoch
    devices: tuple[str, ...]  # the UUIDs of all its GPUs
    share_mb: int | None  # of each of them; None: all of it
    note: str | None  # what its user wants others to read (--note)


@dataclass(frozen=True)
class Gpu:
    """A GPU of this machine."""

    index: int | str  # its position in PCI bus order, as nvidia-smi shows it; "0:1" for an instance
    name: str
    uuid: str
    memory_total_mb: int
    memory_used_mb: int
    memory_free_mb: int
    memory_reserved_mb: int | None  # by the driver; None: it does not tell, and this is part of memory_used_mb
    utilization_pct: int | None
    pci_bus_id: str
    processes: tuple[GpuProcess, ...]
    claim: GpuClaim | None  # the first of `claims`
    claims: tuple[GpuClaim, ...]  # several where they share it, or where jobs have parts with claims of their own
    health: str  # "ok", "lost", "reset_required", "prohibited", "mig", "unreadable"
    repair: str | None  # failed memory that it works without: "remap_pending", "retire_pending", "remap_failed"
    error: str | None  # why it cannot be read


def status() -> list[Gpu]:
    """Every GPU of this machine, in the order of the indices. Raises ProbeError, LockDirError."""
    gpus = []
    for told in json.loads(ask(["status", "--json"], Call.output)):
        told["processes"] = tuple(_plain(GpuProcess, process) for process in told["processes"])
        told["claims"] = tuple(_claim(claim) for claim in told["claims"])
        told["claim"] = told["claims"][0] if told["claims"] else None
        gpus.append(_plain(Gpu, told))
    return gpus


def _claim(told: dict[str, Any]) -> GpuClaim:
    return _plain(GpuClaim, {**told, "devices": tuple(told["devices"])})


T = TypeVar("T")


def _plain(kind: type[T], told: dict[str, Any]) -> T:
    """Keys that a newer program adds are left out."""
    return kind(**{field.name: told.get(field.name) for field in fields(kind)})  # type: ignore[arg-type]
