"""What `pip install` builds with: scikit-build-core, and the headers that neither the machine nor an sdist brings.

An sdist has all headers (packaging/sdist). For a clone on a machine that lacks those of nlohmann-json or fmt they are
requirements of the build, from PyPI; tl-expected is not there, so that one header lies beside this file.
"""

import importlib.metadata
import os
import pathlib
import shlex
import subprocess

from scikit_build_core import build as _core
from scikit_build_core.build import *  # noqa: F403  the hooks that stay as they are

HERE = pathlib.Path(__file__).resolve().parent
BROUGHT = HERE.parents[1] / "third_party/include"
# The header; what to install, and the folder in it above "include".
FROM_PYPI = {
    "nlohmann/json.hpp": ("nlohmann-json==3.12.0", "nlohmann_json"),
    "fmt/format.h": ("cmeel-fmt==12.2.0", "cmeel.prefix"),
}


def _is_here(header):
    if (BROUGHT / header).exists():
        return True
    compiler = shlex.split(os.environ.get("CXX", "c++"))
    try:
        done = subprocess.run([*compiler, "-E", "-x", "c++", "-"], input=f"#include <{header}>\n".encode(),
                              capture_output=True)
    except FileNotFoundError:  # CMake says so later
        return False
    return done.returncode == 0


def _missing():
    return [source for header, source in FROM_PYPI.items() if not _is_here(header)]


def _show_headers():
    """CMake finds them below $CMAKE_PREFIX_PATH."""
    folders = [HERE]
    for requirement, folder in _missing():
        folders.append(importlib.metadata.distribution(requirement.split("==")[0]).locate_file(folder))
    before = os.environ.get("CMAKE_PREFIX_PATH")
    os.environ["CMAKE_PREFIX_PATH"] = os.pathsep.join(map(str, [before, *folders] if before else folders))


def get_requires_for_build_wheel(config_settings=None):
    return [*_core.get_requires_for_build_wheel(config_settings), *(requirement for requirement, _ in _missing())]


def get_requires_for_build_editable(config_settings=None):
    return [*_core.get_requires_for_build_editable(config_settings), *(requirement for requirement, _ in _missing())]


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    _show_headers()
    return _core.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    _show_headers()
    return _core.build_editable(wheel_directory, config_settings, metadata_directory)
