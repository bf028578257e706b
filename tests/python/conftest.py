import os
import pathlib
import shutil
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(SOURCE / "tests" / "e2e"), str(SOURCE / "python")]
import harness


@pytest.fixture(scope="session", autouse=True)
def binaries():
    folder = harness.install_binaries()
    harness.set_bin(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_box(monkeypatch):
    """Makes simulated machines: make_box(cards=4). gpu_gate in this process, and in Python programs
    started with box.python, uses the last one."""
    boxes = []

    def make(*args, **options):
        box = harness.Box(*args, **options)
        boxes.append(box)
        env = box.env(GPU_GATE_PROGRAM=box.gate, PYTHONPATH=SOURCE / "python", PYTHONUNBUFFERED=1)
        for name, value in env.items():
            if name.startswith("GPU_"):
                monkeypatch.setenv(name, value)
        for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_CLAIM"):
            monkeypatch.delenv(name, raising=False)
        box.python = lambda code, **rest: box.start_plain(sys.executable, "-c", code, env=env, **rest)
        return box

    yield make
    for box in boxes:
        box.close()


@pytest.fixture
def box(make_box):
    """A machine with one idle card."""
    return make_box()


@pytest.fixture(autouse=True)
def nothing_is_left():
    """Every test leaves os.environ as it was, and no program behind."""
    import gpu_gate._program

    before = dict(os.environ)
    yield
    assert not gpu_gate._program._running
    changed = {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}
    assert not {name for name in changed if name.startswith("CUDA_") or name.startswith("GPU_GATE_CLAIM")}
