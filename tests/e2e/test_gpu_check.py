"""The check for a real machine (tests/gpu_check.py), as far as the simulated driver can stand in for one: its own
table must be right there, and what needs CUDA is skipped."""

import os
import shutil
import sys

import pytest

import harness
from harness import SOURCE

CHECK = SOURCE / "tests/gpu_check.py"
# Answers from what gpu-gate says, by fields of its own: only that the check compares them is tested.
NVIDIA_SMI = """#!{python}
import json, os, subprocess, sys
if "-L" in sys.argv:
    sys.exit(0)
[fields] = [word.partition("=")[2].split(",") for word in sys.argv if word.startswith("--query-gpu=")]
env = {{**os.environ, "GPU_GATE_LOCK_DIR": "{lock}"}}
for gpu in json.loads(subprocess.check_output(["{gate}", "status", "--json"], env=env)):
    names = {{"index": "index", "uuid": "uuid", "name": "name", "pci.bus_id": "pci_bus_id", "memory.total": "memory_total_mb",
             "memory.reserved": "memory_reserved_mb", "memory.used": "memory_used_mb", "memory.free": "memory_free_mb"}}
    print(", ".join(str(gpu[names[field]]) if field in names else "0" for field in fields))
"""


def check(box, path, **env):
    return box.run_plain(sys.executable, "-B", CHECK, box.gate, env={"PATH": path, **env})


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="this machine may have a GPU")
def test_without_a_gpu_it_says_so(box):
    done = check(box, os.environ["PATH"])
    assert (done.status, done.out) == (77, "no NVIDIA GPU here\n")


@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="this machine may have a GPU")
@pytest.mark.parametrize("wrong", [False, True], ids=["as it should be", "another number"])
def test_its_table_compares_with_nvidia_smi(make_box, tmp_path, wrong):
    box = make_box(cards=2)
    text = NVIDIA_SMI.format(python=sys.executable, gate=box.gate, lock=box.lock)
    if wrong:
        text = text.replace('"memory.free": "memory_free_mb"', '"memory.free": "memory_used_mb"')
    program = tmp_path / "nvidia-smi"
    program.write_text(text)
    program.chmod(0o755)
    done = check(box, f"{tmp_path}:{os.environ['PATH']}", LD_LIBRARY_PATH=str(harness.BIN / "current"))
    rows = [[cell.strip() for cell in line.split("|")[1:4]] for line in done.out.splitlines() if line.startswith("|")]
    verdicts = {what: verdict for verdict, what, _ in rows if verdict}
    assert verdicts["as many GPUs as nvidia-smi"] == verdicts["GPU 1: index, UUID, name, PCI address"] == "ok", done.out
    bad = [what for what, verdict in verdicts.items() if verdict == "BAD"]
    assert bad == [f"GPU {i}: total, reserved, used, free MiB" for i in (0, 1)] * wrong, done.out
    assert done.status == wrong, done
    assert [seen for _, what, seen in rows if what == "gpu-gate run -- true, ms" and float(seen) > 0], rows
