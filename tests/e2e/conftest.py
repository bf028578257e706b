import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import at_once
import harness
from fixtures import binaries, box, make_box, make_places, new_box  # noqa: F401
from slurm import slurm, slurm_cluster  # noqa: F401


def pytest_collection_modifyitems(items):
    items[:] = at_once.last(items[::harness.SAMPLE])


@pytest.fixture(scope="session", autouse=True)
def tests_at_once(request, binaries):
    at_once.start(request.session.items)
