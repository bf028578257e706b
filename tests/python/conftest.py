import os
import pathlib
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(SOURCE / "tests" / "e2e"), str(SOURCE / "python")]
from fixtures import binaries, box, new_box  # noqa: F401


@pytest.fixture
def make_box(new_box, monkeypatch):
    """Makes simulated machines: make_box(cards=4). gpu_gate in this process, and in Python programs
    started with box.python, uses the last one."""
    def make(*args, **options):
        box = new_box(*args, **options)
        env = box.env(GPU_GATE_PROGRAM=box.gate, PYTHONPATH=SOURCE / "python", PYTHONUNBUFFERED=1)
        for name, value in env.items():
            if name.startswith("GPU_"):
                monkeypatch.setenv(name, value)
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_CLAIM", "GPU_GATE_SHARE_MB",
                     "GPU_GATE_SHARE_FRACTION"):
            monkeypatch.delenv(name, raising=False)
        box.python = lambda code, *words, **rest: box.start_plain(sys.executable, "-c", code, *words, env=env, **rest)
        return box

    return make


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Every test leaves os.environ as it was, and no program behind."""
    import gpu_gate._program

    before = dict(os.environ)
    yield
    assert not gpu_gate._program._running
    changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
    assert not {name for name in changed if name.startswith(("CUDA_", "GPU_GATE_CLAIM", "GPU_GATE_SHARE"))}
