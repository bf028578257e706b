"""Monitors of others run on the simulated driver: it answers as they expect of the real one."""

import pathlib
import re
import subprocess
import sys

import pytest

import harness

MACHINES = pathlib.Path(__file__).parents[2] / "sim/machines"


@pytest.fixture(scope="module")
def monitors(tmp_path_factory):
    """A folder with the programs gpustat and nvitop, from the Python package index."""
    folder = tmp_path_factory.mktemp("monitors")
    install = [folder / "bin/pip", "install", "-q", "--disable-pip-version-check", "gpustat", "nvitop"]
    for command in ([sys.executable, "-m", "venv", folder], install):
        if subprocess.run(command, capture_output=True, timeout=300).returncode != 0:
            pytest.skip("gpustat and nvitop cannot be installed here")
    return folder / "bin"


@pytest.fixture
def show(make_box, monitors):
    """What a monitor prints of an example machine: show("two-4090s", "gpustat", "--no-color")."""

    def run(machine, program, *words):
        box = make_box(cards=0)
        box.extra = (MACHINES / f"{machine}.txt").read_text().splitlines()
        box.write()
        done = box.run_plain(monitors / program, *words,
                             env={"LD_LIBRARY_PATH": str(harness.BIN / "current"), "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        assert done.status == 0, done
        return done.out

    return run


def test_gpustat_shows_cards_their_memory_and_load(show):
    text = show("two-4090s", "gpustat", "--no-color")
    assert re.search(r"^\[0\] NVIDIA GeForce RTX 4090 .* 4 % \| +612 / 24564 MB", text, re.M), text
    assert re.search(r"^\[1\] NVIDIA GeForce RTX 4090 .* 0 % \| +18 / 24564 MB", text, re.M), text


def test_nvitop_shows_cards_and_processes(show):
    text = show("two-4090s", "nvitop", "-1")
    assert re.search(r"00000000:01:00.0 .*", text) and text.count("GeForce RTX 4090") == 2, text
    assert re.findall(r"^. +(\d) +(\d+) G +\S+ +([\d.]+)MiB", text, re.M) == [
        ("0", "1893", "286.0"), ("0", "2041", "142.0"), ("0", "2417", "88.00"), ("0", "3316", "96.00"),
        ("1", "1893", "9.00"), ("1", "2041", "9.00")], text


def test_nvitop_shows_the_instances_of_cards_in_mig_mode(show):
    text = show("a100-mig", "nvitop", "-1")
    assert text.count("Enabled") == 2 and text.count("Disabled") == 2, text
    rows = re.findall(r"(\d:\d) +(\S+) @ GI/CI: *(\d+/\d+) *│ *0B / +(\d+)MiB", text)
    assert rows == [(f"2:{i}", "1g.5gb", f"{7 + i}/0", "4864") for i in range(7)] + [
        ("3:0", "3g.20gb", "1/0", "19968"), ("3:1", "1c.2g.10gb", "5/0", "9856"), ("3:2", "1c.2g.10gb", "5/1", "9856")], text
