"""The examples at the top of README.md, run as they stand there: what is printed is what README shows, but for times
and pids. So is the picture (check.board_picture)."""

import re

import pytest

import harness
from conftest import SOURCE
from harness import ALICE, BOB

README = (SOURCE / "README.md").read_text()
SECTION = re.search(r"^## Three uses\n(.*?)^## ", README, re.M | re.S)[1]


def examples():
    """[(commands, what is shown)] of each block."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", SECTION, re.M | re.S):
        lines = block.splitlines()
        found.append(([line[2:] for line in lines if line.startswith("$ ")],
                      [line for line in lines if not line.startswith("$ ")]))
    return found


WAITS, SWEEP, BOARD, SHELL = range(4)

# Takes as much memory as it is told, and then says so, as `python train.py` again, and stays.
JOB = """
import os, signal, sys
if "MEMORY" in os.environ:
    memory = os.environ.pop("MEMORY")
    os.execvp("gpu-sim-job", ["gpu-sim-job", "--quiet", "--memory", memory, "--", "python", *sys.argv])
if "STAYS" in os.environ:
    print("ready", flush=True)
    signal.pause()
"""


class Machine:
    def __init__(self, box):
        self.box = box
        bin_folder = box.folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "python").symlink_to("/usr/bin/python3")
        for program in ("gpu-gate", "gpu-sim-job"):
            (bin_folder / program).symlink_to(harness.BIN / program)
        for name in ("train", "serve", "notebook", "eval"):
            (box.folder / f"{name}.py").write_text(JOB)
        self.env = {"PATH": f"{bin_folder}:/usr/bin:/bin"}

    def start(self, command, memory=None, user=harness.ROOT, **env):
        """A command of README's; with memory, which may be 0, it stays, and has it on return."""
        taken = {} if memory is None else {"MEMORY": memory, "STAYS": 1} if memory else {"STAYS": 1}
        process = self.box.start_plain("bash", "-c", command, user=user, cwd=self.box.folder,
                                       env={**self.env, **taken, **env})
        if memory is not None:
            process.wait_for("^ready$", stdout=True)
        return process


@pytest.fixture
def machine(make_box):
    return Machine(make_box(cards=2))


def same(shown, printed, users=()):
    """Are they the same, but for times, pids, seeds and the names of the users?"""
    def words(lines):
        text = "\n".join(lines)
        for name, user in users:
            text = text.replace(user.name, name)
        text = re.sub(r"(?<=pid )\d+", "N", re.sub(r"\b(?:\d+[smhd])+\b", "T", text))
        return re.sub(r"(?<=--seed )\d+", "N", text).split()

    assert words(shown) == words(printed)


def test_a_job_that_waits(machine):
    [command], shown = examples()[WAITS]
    holder = machine.start("gpu-gate run -q --only 0 -- python serve.py", memory=0, user=ALICE)  # so that none is to be freed
    machine.start("exec python notebook.py", memory=38400, user=BOB, CUDA_VISIBLE_DEVICES=1)
    job = machine.start(command)
    job.wait_for("in line")
    holder.kill()
    job.finish()
    assert job.status == 0
    same(shown, job.lines, [("alice", ALICE), ("bob", BOB)])


def test_a_sweep_and_its_board(machine):
    [sweep], nothing = examples()[SWEEP]
    assert "seq 500 | xargs -P 4 " in sweep and not nothing
    machine.start(sweep, memory=20000, user=ALICE)
    harness.wait_until(lambda: len(machine.box.claimed()) == 2 and machine.box.waiting() == 2, "the sweep has begun")
    machine.box.wait_in_line(user=BOB, command=("python", "eval.py"), env=machine.env, cwd=machine.box.folder)
    [command], shown = examples()[BOARD]
    board = machine.start(command)
    board.finish()
    same(shown, board.out.splitlines(), [("alice", ALICE), ("bob", BOB)])


def test_a_shell_that_keeps_a_gpu(machine):
    machine.start("gpu-gate run -q --only 0 -- python serve.py", memory=20000)
    commands, shown = examples()[SHELL]
    shell = machine.start("exec 2>&1\n" + "\n".join(commands))
    shell.finish()
    assert shell.status == 0
    same(shown, shell.out.splitlines())
