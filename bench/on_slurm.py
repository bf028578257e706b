"""`gpu-gate run --on slurm` beside bare srun, on a cluster of two nodes that the tests bring up on this machine."""

import os
import pathlib
import statistics
import sys
import time

from arena import Skipped, in_turn
from table import Row, at_most, at_most_times

ROUNDS, QUICK_ROUNDS = 40, 10
JOBS, QUICK_JOBS = 200, 24
TRUE = "/bin/true"
# Each job has a folder for its GPU: whoever finds one there has a GPU that another job has.
JOB = 'gpu=$1/$SLURMD_NODENAME-$CUDA_VISIBLE_DEVICES; mkdir "$gpu" || exit 9; sleep 0.05; rmdir "$gpu"'


def measure(arena, options):
    cluster_of = load_cluster(arena)
    with cluster_of.Slurm() as cluster:
        machine = arena.machine(devices=1)
        machine.env.update(cluster.env)
        ours, theirs = [], []
        gate = machine.gate_run(TRUE, options=("-q", "--on", "slurm"))
        in_turn([lambda: theirs.append(one(machine, "/usr/bin/srun", "-N1", "-n1", "--gpus=1", TRUE)),
                 lambda: ours.append(one(machine, *gate))], options.of(ROUNDS, QUICK_ROUNDS))
        jobs = options.of(JOBS, QUICK_JOBS)
        began = time.monotonic()
        statuses = many(machine, jobs)
        took = time.monotonic() - began
    return [
        at_most_times("on Slurm: start (srun)", statistics.median(ours), statistics.median(theirs), 1.2, "ms"),
        Row(f"on Slurm: {jobs} jobs of 50 ms on 8 GPUs", jobs / took, "jobs/s"),
        at_most("on Slurm: GPUs given twice", statuses.count(9), 0, ""),
        at_most("on Slurm: failed", sum(status != 0 for status in statuses), 0, ""),
    ]


def load_cluster(arena):
    os.environ.setdefault("GPU_GATE_BUILD", str(arena.build))
    sys.path.append(str(pathlib.Path(__file__).parents[1] / "tests/e2e"))
    try:
        import slurm
    except ImportError as problem:
        raise Skipped(str(problem)) from None
    reason = slurm.reason_against()
    if reason:
        raise Skipped(reason)
    return slurm


def one(machine, *words):
    """How long it takes, in ms."""
    began = time.monotonic()
    status = machine.start(*words).wait()
    assert status == 0, (words, status)
    return 1000 * (time.monotonic() - began)


def many(machine, jobs):
    folder = machine.folder / "on-slurm"
    folder.mkdir()
    words = machine.gate_run("sh", "-c", JOB, "sh", folder, options=("-q", "--on", "slurm"))
    children = [machine.start(*words) for _ in range(jobs)]
    return [child.wait() for child in children]
