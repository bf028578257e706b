import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from fixtures import binaries, box, make_box, new_box  # noqa: F401
