import pathlib
import re
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[2]
sys.path[:0] = [str(SOURCE / "tests" / "e2e"), str(pathlib.Path(__file__).parent)]
import harness
from bare import Root
from fixtures import binaries, make_box, new_box  # noqa: F401

VERBS = ("run", "wait", "hold", "status", "queue", "cancel", "history", "doctor")


def pytest_configure(config):
    config.addinivalue_line("markers", "recipe(heading): the heading in docs/recipes.md")


@pytest.fixture
def make_root(tmp_path):
    """Makes bare systems, make_root("g++"), and ends what runs in them."""
    if not harness.may_mount():
        pytest.skip("no mount may be made here (is / a mount?)")
    roots = []

    def make(*packages):
        roots.append(Root(tmp_path / f"root{len(roots)}", *packages))
        return roots[-1]

    yield make
    for root in roots:
        root.close()


def help_text(*words):
    return subprocess.run([harness.BUILD / "gpu-gate", *words, "--help"], check=True, capture_output=True,
                          text=True).stdout


def help_options(verb):
    """What `gpu-gate VERB --help` says of each option: {"--count": (its short form, its value, its text)}."""
    options, last = {}, None
    for line in help_text(verb).splitlines():
        match = re.fullmatch(r"  (?:(-\w), |    )(--[a-z-]+)(?:(?: |\[=)(\S+?)\]?)? {2,}(\S.*)", line)
        if match:
            last = match[2]
            options[last] = (match[1], match[3] or "", match[4])
        elif last and line.startswith(" " * 23):
            short, value, before = options[last]
            options[last] = (short, value, before + " " + line.lstrip())
        else:
            last = None
    return options


def default_in(text):
    """Of "one try; default: never" it is never."""
    match = re.search(r"\bdefault:? ([\w.]+)", text)
    return match and match[1]
