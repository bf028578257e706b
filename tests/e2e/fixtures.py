"""What all tests on simulated machines begin with; each conftest.py takes from here what it needs."""

import shutil

import harness
import places
import pytest

needs_mounts = pytest.mark.skipif(not harness.may_mount(), reason="no mount may be made here (is / a mount?)")


@pytest.fixture(scope="session", autouse=True)
def binaries():
    folder = harness.install_binaries()
    harness.set_bin(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_box():
    """Makes simulated machines, new_box(cards=4), and ends all that is left on them."""
    boxes = []

    def make(*args, **options):
        boxes.append(harness.Box(*args, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()


@pytest.fixture
def make_box(new_box):
    return new_box


@pytest.fixture
def make_places():
    """Gives a machine default places of its own: make_places(box). See places.py."""
    made = []

    def make(*args, **options):
        if not harness.may_mount():
            pytest.skip("no mount may be made here (is / a mount?)")
        made.append(places.Places(*args, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def box(make_box):
    """A machine with one idle card."""
    return make_box(cards=1)
