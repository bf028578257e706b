import shutil
import sys
import pathlib

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import harness


@pytest.fixture(scope="session", autouse=True)
def binaries():
    folder = harness.install_binaries()
    harness.set_bin(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_box():
    """Makes simulated machines: make_box(cards=4)."""
    boxes = []

    def make(*args, **options):
        boxes.append(harness.Box(*args, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()


@pytest.fixture
def box(make_box):
    """A machine with one idle card."""
    return make_box(cards=1)
