"""The scripts of docs/slurm.md, as they stand there: the one that goes to the cluster where this machine is full, and
the one that hands out the cards of an allocation."""

import re

import pytest

from harness import SOURCE

PAGE = (SOURCE / "docs" / "slurm.md").read_text()
RECIPE = re.search(r"^```sh\n(gpu-gate run --timeout .*?)^```", PAGE, re.M | re.S)[1]
BATCH = re.search(r"^```sh\n(#!/bin/sh\n#SBATCH .*?)^```", PAGE, re.M | re.S)[1]


@pytest.fixture
def run(box):
    """Runs it: what train.py ends with here and on the cluster. Returns its exit code, and where train.py ran."""
    folder = box.folder / "bin"
    folder.mkdir()

    def program(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    def run_recipe(here, there):
        ran = box.folder / "ran"
        ran.write_text("")
        program("gpu-gate", f'case "$*" in *"--on slurm"*) echo there >>{ran}; exit {there} ;; esac; exec {box.gate} "$@"')
        program("python", f"echo here >>{ran}; exit {here}")
        script = RECIPE.replace("--timeout 10m", "--timeout 0.05")
        assert script != RECIPE
        done = box.run_plain("bash", "-c", script, env={"PATH": f"{folder}:/usr/bin:/bin"})
        return done.status, ran.read_text().split()

    return run_recipe


def test_where_this_machine_has_a_gpu_the_cluster_is_not_asked_whatever_becomes_of_the_command(run):
    for code in (0, 1, 3, 4, 127, 137):
        assert run(code, 99) == (code, ["here"])


def test_where_it_is_full_the_code_is_that_of_the_cluster(box, run):
    box.hold()
    for code in (0, 5, 124):
        assert run(0, code) == (code, ["there"])


def test_an_error_is_no_reason_to_go_to_the_cluster(box, run):
    box.extra.append("init_error 18")
    box.write()
    assert run(0, 0) == (4, [])


def test_a_batch_job_hands_out_its_cards_to_many_small_ones_and_none_twice(new_box, slurm):
    box = new_box(cards=4)
    folder = box.folder / "bin"
    folder.mkdir()
    (folder / "gpu-gate").symlink_to(box.gate)
    # It has its card to itself as long as it works; else it does not say so. (No exec: the lock has to end before
    # the process that the claim lasts as long as.)
    (folder / "python").write_text(f"""#!/bin/sh
flock --nonblock {box.folder}/card$CUDA_VISIBLE_DEVICES sh -c "sleep 0.01; echo $3 $CUDA_VISIBLE_DEVICES"
""")
    (folder / "python").chmod(0o755)
    script = box.folder / "script"
    script.write_text(BATCH)
    out = box.folder / "out"
    done = box.run_plain("sbatch", "-N1", f"--output={out}", script,
                         env={**slurm.env, "PATH": f"{folder}:/usr/bin:/bin"}, cwd=box.folder)
    assert done.status == 0, done
    slurm.wait_until_idle(limit=120)
    ran = [line.split() for line in out.read_text().splitlines()]
    assert sorted(int(seed) for seed, _ in ran) == list(range(1, 101)), ran
    assert {card for _, card in ran} == {"0", "1", "2", "3"}
