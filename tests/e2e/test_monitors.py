"""Monitors of others run on the simulated driver: it answers as they expect of the real one."""

import os
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


@pytest.fixture(scope="module")
def nvidia_smi(tmp_path_factory):
    """The program nvidia-smi of driver 550, from Debian 13's non-free."""
    folder = tmp_path_factory.mktemp("nvidia-smi")

    def run(*words):
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, check=True).stdout

    try:
        mirror = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Label: Debian").split()[0]
        keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
        (folder / "sources.list").write_text(f"deb [signed-by={keys}] {mirror} trixie non-free\n")
        (folder / "lists/partial").mkdir(parents=True)
        # A list of sources of its own: what is installed, and from where, stays as it is.
        apt_get = ("apt-get", "-o", f"Dir::Etc::sourcelist={folder}/sources.list", "-o", "Dir::Etc::sourceparts=-",
                   "-o", f"Dir::State::lists={folder}/lists", "-o", f"Dir::Cache={folder}", "-o", "APT::Sandbox::User=root")
        run(*apt_get, "update")
        run(*apt_get, "download", "nvidia-smi")
        run("dpkg-deb", "-x", *folder.glob("nvidia-smi_*.deb"), folder)
    except (OSError, IndexError, subprocess.SubprocessError):
        pytest.skip("nvidia-smi cannot be had here")
    return folder / "usr/lib/nvidia/current/nvidia-smi"


@pytest.fixture
def show(make_box):
    """What a monitor prints of an example machine: show("two-4090s", monitors / "gpustat", "--no-color"). More lines may
    be added to the machine's."""

    def run(machine, program, *words, more=()):
        box = make_box(cards=0)
        box.extra = (MACHINES / f"{machine}.txt").read_text().splitlines() + list(more)
        box.write()
        done = box.run_plain(program, *words,
                             env={"LD_LIBRARY_PATH": str(harness.BIN / "current"), "TERM": "xterm", "LC_ALL": "C.UTF-8"})
        assert done.status == 0, done
        return done.out

    return run


def test_gpustat_shows_cards_their_memory_and_load(show, monitors):
    text = show("two-4090s", monitors / "gpustat", "--no-color")
    assert re.search(r"^\[0\] NVIDIA GeForce RTX 4090 .* 4 % \| +612 / 24564 MB", text, re.M), text
    assert re.search(r"^\[1\] NVIDIA GeForce RTX 4090 .* 0 % \| +18 / 24564 MB", text, re.M), text


def test_nvitop_shows_cards_and_processes(show, monitors):
    text = show("two-4090s", monitors / "nvitop", "-1")
    assert re.search(r"00000000:01:00.0 .*", text) and text.count("GeForce RTX 4090") == 2, text
    assert re.findall(r"^. +(\d) +(\d+) G +\S+ +([\d.]+)MiB", text, re.M) == [
        ("0", "1893", "286.0"), ("0", "2041", "142.0"), ("0", "2417", "88.00"), ("0", "3316", "96.00"),
        ("1", "1893", "9.00"), ("1", "2041", "9.00")], text


def test_nvitop_shows_the_instances_of_cards_in_mig_mode(show, monitors):
    text = show("a100-mig", monitors / "nvitop", "-1")
    assert text.count("Enabled") == 2 and text.count("Disabled") == 2, text
    rows = re.findall(r"(\d:\d) +(\S+) @ GI/CI: *(\d+/\d+) *│ *0B / +(\d+)MiB", text)
    assert rows == [(f"2:{i}", "1g.5gb", f"{7 + i}/0", "4864") for i in range(7)] + [
        ("3:0", "3g.20gb", "1/0", "19968"), ("3:1", "1c.2g.10gb", "5/0", "9856"), ("3:2", "1c.2g.10gb", "5/1", "9856")], text


def test_nvidia_smi_lists_cards_and_instances(show, nvidia_smi):
    assert show("four-gpus", nvidia_smi, "-L") == """\
GPU 0: NVIDIA L40S (UUID: GPU-7a90c1de-52f3-4c08-b1d4-06e9f2a83c15)
GPU 1: NVIDIA L40S (UUID: GPU-1b64e8f0-93a7-4d5c-8e02-c7f51a0d6b29)
GPU 2: NVIDIA L40S (UUID: GPU-d25f3b87-0c6e-4a91-a7f8-4e1b90c5d732)
GPU 3: NVIDIA L40S (UUID: GPU-98e0a46c-b7d1-4f23-9c5a-3d08f71e2b64)
"""
    text = show("a100-mig", nvidia_smi, "-L")
    assert re.findall(r"^  MIG (\S+) +Device +(\d+): \(UUID: MIG-", text, re.M) == [
        ("1g.5gb", f"{i}") for i in range(7)] + [("3g.20gb", "0"), ("1c.2g.10gb", "1"), ("1c.2g.10gb", "2")], text
    assert "Device  2: (UUID: MIG-940873ca-2d51-56b7-b9af-071c5a628edb)" in text


def test_nvidia_smi_answers_questions_about_cards(show, nvidia_smi):
    what = "index,uuid,name,memory.total,memory.used,memory.free,memory.reserved,utilization.gpu,compute_mode," \
           "persistence_mode,mig.mode.current,pci.bus_id"
    question = (f"--query-gpu={what}", "--format=csv,noheader")
    assert show("two-4090s", nvidia_smi, *question) == """\
0, GPU-a4c81f5e-07d9-4b36-8e12-b95d3a7c60f1, NVIDIA GeForce RTX 4090, 24564 MiB, 612 MiB, 23616 MiB, 336 MiB, 4 %, \
Default, Disabled, [N/A], 00000000:01:00.0
1, GPU-3b5f92d0-e861-4a7c-95b4-c80e1d62f7a9, NVIDIA GeForce RTX 4090, 24564 MiB, 18 MiB, 24210 MiB, 336 MiB, 0 %, \
Default, Disabled, [N/A], 00000000:05:00.0
"""
    mig = show("a100-mig", nvidia_smi, *question).splitlines()
    assert [line.split(", ")[-2] for line in mig] == ["Disabled", "Disabled", "Enabled", "Enabled"], mig
    assert mig[2] == "2, GPU-81d6f3b2-a094-4c57-8e6d-19f07c25ab38, NVIDIA A100-SXM4-40GB, 40960 MiB, 87 MiB, 40440 MiB, " \
                     "433 MiB, [N/A], Default, Enabled, Enabled, 00000000:47:00.0"
    assert show("dgx-h100", nvidia_smi, *question).count("NVIDIA H100 80GB HBM3, 81559 MiB, 0 MiB, 81008 MiB, 551 MiB") == 8


def test_nvidia_smi_shows_cards_and_processes(show, nvidia_smi):
    text = show("two-4090s", nvidia_smi, more=[f"process gpu=1 pid={os.getpid()} memory=300",
                                               f"process gpu=1 pid={os.getpid()} memory=0 type=mps"])
    assert re.findall(r"(\d+)MiB / +24564MiB .* (\d+)% ", text) == [("612", "4"), ("318", "0")], text
    rows = re.findall(r"^\| +(\d) +N/A +N/A +(\d+) +(\S+) +(\S.*\S) +(\d+)MiB", text, re.M)
    name = pathlib.Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    gone = "[Not Found]"  # Such processes are only in the file.
    assert sorted(rows) == sorted([
        ("0", "1893", "G", gone, "286"), ("0", "2041", "G", gone, "142"), ("0", "2417", "G", gone, "88"),
        ("0", "3316", "G", gone, "96"), ("1", "1893", "G", gone, "9"), ("1", "2041", "G", gone, "9"),
        ("1", f"{os.getpid()}", "M+C", name, "300")]), text


def test_nvidia_smi_shows_instances_and_their_processes(show, nvidia_smi):
    text = show("a100-mig", nvidia_smi, more=["process gpu=2 instance=2 pid=4999999 memory=1000"])
    rows = re.findall(r"^\| +(\d) +(\d+) +(\d) +(\d) +\| +(?:(\d+)MiB / +(\d+)MiB)? +\|", text, re.M)
    assert rows == [("2", f"{7 + i}", "0", f"{i}", "1000" if i == 2 else "0", "4864") for i in range(7)] + [
        ("3", "1", "0", "0", "0", "19968"), ("3", "5", "0", "1", "0", "9856"), ("3", "5", "1", "2", "", "")], text
    assert re.search(r"^\| +2 +9 +0 +4999999 +C +\[Not Found\] +1000MiB", text, re.M), text


def test_nvidia_smi_answers_questions_about_processes(show, nvidia_smi):
    told = show("four-gpus", nvidia_smi, "--query-compute-apps=pid,used_memory,gpu_uuid", "--format=csv",
                more=["process gpu=0 pid=11 memory=700", "process gpu=2 pid=12 memory=unknown", "process gpu=2 pid=13 memory=5",
                      "process gpu=1 pid=14 memory=30 type=graphics"])
    assert told == """\
pid, used_gpu_memory [MiB], gpu_uuid
11, 700 MiB, GPU-7a90c1de-52f3-4c08-b1d4-06e9f2a83c15
12, [N/A], GPU-d25f3b87-0c6e-4a91-a7f8-4e1b90c5d732
13, 5 MiB, GPU-d25f3b87-0c6e-4a91-a7f8-4e1b90c5d732
"""
