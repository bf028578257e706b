"""Inside a Slurm allocation gpu-gate chooses among the cards of that allocation, never wider. What Slurm says stands in
the environment, so most of this needs no Slurm."""

import json
import os
import shlex

import pytest

from amd_box import AmdBox
from fixtures import needs_mounts
from harness import ALICE, BOB, NEVER, each, uuid
from test_choice import where_these_are_the_devices

IMPOSSIBLE = 3
COMMANDS = (("run", "--", "true"), ("wait",), ("hold", "--for", "0.01"))


def job(cards, number=7, **more):
    """The environment of a job of Slurm's on a node; None: without a list of cards."""
    return {"SLURM_JOB_ID": number, "SLURMD_NODENAME": "n1", "CUDA_VISIBLE_DEVICES": cards, **more}


LOGIN = {"SLURM_JOB_ID": 7, "CUDA_VISIBLE_DEVICES": None}  # salloc's shell on the machine where it was typed


@pytest.fixture
def node(make_box):
    return make_box(cards=4)


def test_the_choice_is_among_the_cards_of_the_allocation(node):
    for words, printed in ((("wait",), "2\n"), (("wait", "-n", "2"), "2,3\n"), (("wait", "--only", "3"), "3\n"),
                           (("run", "--", "printenv", "CUDA_VISIBLE_DEVICES"), "2\n"), (("hold", "--for", "0.01"), "2\n")):
        assert node.run(*words, env=job("2,3")).out == printed, words
    assert node.run("wait", env=job(uuid(1))).out == "1\n"


def test_more_cards_than_the_allocation_has_are_refused_with_the_line_that_asks_for_them(node):
    done = node.run("run", "-n", 3, "--", "sh", "a b.sh", env=job("2,3"))
    assert done.status == IMPOSSIBLE
    assert "GPUs 0-1: hidden by the inherited CUDA_VISIBLE_DEVICES" in done.err
    assert done.lines[-1] == ("gpu-gate: Slurm job 7 has no other GPU here; where you start a job, ask for more: "
                              "srun -N1 --gpus=3 gpu-gate run -n 3 -- sh 'a b.sh'")
    assert "unset" not in done.err
    assert node.run("wait", "--only", 0, env=job("2,3")).status == IMPOSSIBLE


def test_a_job_without_cards_gets_none_and_is_told_how_to_ask(node):
    def check(list_of_cards, words):
        done = node.run(*words, env=job(list_of_cards, SLURM_STEP_GPUS="0", SLURM_GPUS_ON_NODE="1"))
        assert done.status == IMPOSSIBLE and done.out == "", done
        assert done.lines[0].startswith("gpu-gate: Slurm job 7 was given no GPU (CUDA_VISIBLE_DEVICES is ")
        assert done.lines[0].endswith(f": srun --gpus=1 gpu-gate {shlex.join(words)}")
        assert "--gpus-per-node=TYPE:N" in done.lines[1] and len(done.lines) == 2

    each([(cards, words) for cards in (None, "", "NoDevFiles") for words in COMMANDS], check)


def test_in_the_shell_of_salloc_on_the_machine_that_asked_the_line_goes_to_the_node(node):
    for words in (*COMMANDS, ("run", "-n", "2", "--", "sh", "a b.sh")):
        done = node.run(*words, env=LOGIN)
        assert done.status == IMPOSSIBLE and done.out == "" and len(done.lines) == 1, done
        assert done.lines[0].endswith(f"; write srun gpu-gate {shlex.join(words)}"), done
    done = node.run("hold", "--export", "--pid", os.getpid(), env=LOGIN)
    assert done.status == IMPOSSIBLE and done.lines[0].endswith("; write srun --pty bash"), done
    assert done.out == "(exit 3)\n"


def test_that_shell_needs_no_driver_to_be_told(node):
    done = node.run("run", "--", "true", env={**LOGIN, "GPU_GATE_NVML": "/nonexistent"})
    assert done.status == IMPOSSIBLE and "write srun" in done.err


def test_no_card_is_given_twice_to_the_steps_of_a_job_and_to_other_jobs_on_the_node(node):
    steps = [node.hold(env=job("0,1"), user=ALICE) for _ in range(2)]
    assert sorted(step.held for step in steps) == ["0", "1"]
    other = node.hold(env=job("1,2", number=8), user=BOB)
    assert other.held == "2"
    third = node.start("run", *NEVER, "--", "printenv", "CUDA_VISIBLE_DEVICES", env=job("0,1"), user=ALICE)
    third.wait_for("1st in line")
    freed = steps[1]
    freed.kill()
    third.finish()
    assert third.out == freed.held + "\n"


@needs_mounts
def test_two_jobs_of_which_each_calls_its_only_card_0_have_different_cards(make_box):
    box = make_box(cards=2)
    for card in range(2):
        box.set(card, minor=card)

    def start(card, number):
        """As in a job whose device cgroup leaves it this card, and in which Slurm counts from it."""
        modes = {f"nvidia{each}": 0o666 if each == card else 0o600 for each in range(2)}
        words = where_these_are_the_devices(box, nvidiactl=0o666, **modes)
        (box.folder / "dev").rename(box.folder / f"dev{number}")
        words[4] = words[4].replace(f"{box.folder}/dev ", f"{box.folder}/dev{number} ")
        script = "echo held $CUDA_VISIBLE_DEVICES; exec sleep 1000"
        process = box.start_plain(*words, box.gate, "run", "--timeout", 0, "--", "sh", "-c", script, env=job("0", number))
        return process.wait_for(r"^held (\S+)$", stdout=True)[1]

    assert [start(0, 7), start(1, 8)] == [uuid(0), uuid(1)]
    assert box.claimed() == [0, 1]


def test_status_shows_all_cards_also_inside(node):
    for env in (job("2,3"), job(None), LOGIN):
        assert len(json.loads(node.run("status", "--json", env=env).out)) == 4


def test_a_job_of_gpu_gate_inside_hands_out_its_cards_as_ever(node):
    inner = f"{node.gate} run -q -- printenv CUDA_VISIBLE_DEVICES"
    for line in (inner, f"env -u CUDA_VISIBLE_DEVICES {inner}", f"env -u SLURMD_NODENAME -u CUDA_VISIBLE_DEVICES {inner}"):
        done = node.run("run", "-n", 2, "--", "sh", "-c", line, env=job("1,2,3"))
        assert done.out == "1\n", (line, done)
    more = node.run("run", "-n", 2, "--", "sh", "-c", f"{node.gate} run -n 3 -- true", env=job("1,2,3"))
    assert more.status == IMPOSSIBLE


def test_a_claim_that_is_no_longer_alive_does_not_open_other_cards(node):
    ended = node.hold(env=job("0"))
    ended.kill()
    assert node.run("wait", env=job(None, GPU_GATE_CLAIM=ended.claim)).status == IMPOSSIBLE
    assert node.run("wait", env={**LOGIN, "GPU_GATE_CLAIM": ended.claim}).status == IMPOSSIBLE
    assert node.run("wait", env=job("3", GPU_GATE_CLAIM=ended.claim)).out == "3\n"


def test_of_amd_cards_their_own_list_counts():
    with AmdBox(cards=2) as box:
        rocr = {**job(None), "ROCR_VISIBLE_DEVICES": "1"}
        assert json.loads(box.run("wait", "--json", env=rocr).out)["indices"] == [1]
        done = box.run("wait", env=job(None))
        assert done.status == IMPOSSIBLE and "was given no GPU" in done.err


def test_the_list_that_slurm_writes_for_all_vendors_counts_once_on_amds_cards():
    with AmdBox(cards=4) as box:
        env = job("1,3", ROCR_VISIBLE_DEVICES="1,3")
        assert json.loads(box.run("wait", "-n", "2", "--json", env=env).out)["indices"] == [1, 3]
        script = 'echo "$GPU_GATE_INDICES ${CUDA_VISIBLE_DEVICES-none}"'
        assert box.run("run", "-q", "-n", "2", "--", "sh", "-c", script, env=env).out == "1,3 none\n"


def test_a_list_of_another_vendor_does_not_open_all_cards(node):
    done = node.run("wait", env={**job(None), "ROCR_VISIBLE_DEVICES": "1"})
    assert done.status == IMPOSSIBLE and "CUDA_VISIBLE_DEVICES is not set" in done.err


def test_doctor_says_what_a_job_lacks_and_nothing_where_it_has_cards(node):
    def told(env):
        findings = json.loads(node.run("doctor", "--json", env=env).out)["findings"]
        return [(each["level"], each["what"], each["remedy"]) for each in findings if each["subject"] == "Slurm"]

    assert told(job("0")) == []
    [(level, what, remedy)] = told(job(None))
    assert (level, remedy) == ("note", "srun --gpus=1 gpu-gate run -- COMMAND") and "no GPU" in what
    [(level, what, remedy)] = told(LOGIN)
    assert (level, remedy) == ("note", "srun gpu-gate run -- COMMAND") and "another machine" in what


# With a real Slurm, whose nodes have cards 0 and 1 of type l40s, 2 and 3 of type h100; all jobs run on the machine
# that the box simulates.

def submit(node, slurm, *words):
    return node.run_plain(*words, user=ALICE, env=slurm.env, cwd="/tmp")


def test_a_step_of_srun_chooses_among_the_cards_that_slurm_gave_it(node, slurm):
    script = f"{node.gate} run -q -- printenv CUDA_VISIBLE_DEVICES; {node.gate} wait -n 2"
    step = submit(node, slurm, "srun", "--input=none", "-N1", "-n1", "--gpus=h100:2", "sh", "-c", script)
    assert step.out == "2\n2,3\n", step
    more = submit(node, slurm, "srun", "--input=none", "-N1", "-n1", "--gpus=2", node.gate, "wait", "-n", 3)
    assert more.status == IMPOSSIBLE and "has no other GPU here" in more.err, more


def test_slurm_writes_one_list_for_all_vendors_where_it_is_not_told_which_they_are(node, slurm):
    words = ("printenv", "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    assert submit(node, slurm, "srun", "--input=none", "-N1", "-n1", "--gpus=h100:2", *words).out == "2,3\n2,3\n"


def test_parts_of_one_allocation_have_different_cards(node, slurm):
    part = f"{node.gate} run -q -- sh -c 'echo $CUDA_VISIBLE_DEVICES; sleep 0.2' &"
    step = submit(node, slurm, "srun", "--input=none", "-N1", "-n1", "--gpus=l40s:2", "sh", "-c", f"{part} {part} wait")
    assert sorted(step.out.split()) == ["0", "1"], step


def test_a_job_that_slurm_gave_no_card_or_does_not_tell_of_it_is_refused(node, slurm):
    def check(*options):
        done = submit(node, slurm, "srun", "--input=none", "-N1", *options, node.gate, "run", "--", "true")
        assert done.status == IMPOSSIBLE and "was given no GPU" in done.err, done

    each([("-n1",), ("-n2", "--gpus-per-task=h100:1")], check)


def test_the_line_that_the_shell_of_salloc_is_told_to_write_works(node, slurm):
    told = submit(node, slurm, "salloc", "-Q", "-N1", "--gpus=h100:1", node.gate, "wait")
    assert told.status == IMPOSSIBLE, told
    line = told.lines[-1].partition("; write ")[2]
    assert line == "srun gpu-gate wait"
    done = submit(node, slurm, "salloc", "-Q", "-N1", "--gpus=h100:1", "sh", "-c", line.replace("gpu-gate", node.gate))
    assert done.out == "2\n", done
