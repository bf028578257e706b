import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixtures import binaries, box, make_box, new_box  # noqa: F401


def pytest_collection_modifyitems(items):
    """GPU_GATE_TEST_SAMPLE=8: every eighth test only."""
    items[:] = items[:: int(os.environ.get("GPU_GATE_TEST_SAMPLE", "1"))]
