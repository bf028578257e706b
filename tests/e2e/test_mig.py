"""Instances of GPUs in MIG mode: devices of their own, seen through all that the driver tells of them."""

import json
import re

import pytest

from harness import ALICE, BOB, ROOT, uuid

DRIVERS = ("current", "r535")


def mig(number):
    return f"MIG-{number:08x}-0000-5000-8000-000000000000"


@pytest.fixture
def divided(make_box):
    """GPU 0 in MIG mode with so many instances; further cards behind it: divided(2, cards=2)."""

    def make(instances=2, cards=1, memory=4864, **options):
        box = make_box(cards=cards, **options)
        box.cards[0]["mig"] = 1
        box.instances = [f"gpu=0 gi={i + 1} uuid={mig(i)} memory={memory}" for i in range(instances)]
        box.write()
        return box

    return make


def granted(box, *options, user=ROOT, env=None):
    """What a job that gets its GPUs at once is told: its visible devices, indices and UUIDs."""
    script = 'echo "$CUDA_VISIBLE_DEVICES $GPU_GATE_INDICES $GPU_GATE_UUIDS"'
    done = box.run("run", "-q", "--timeout", "0", *options, "--", "sh", "-c", script, user=user, env=env)
    assert done.status == 0, done
    return done.out.split()


# Names and choice.

@pytest.mark.parametrize("variant", DRIVERS)
def test_an_instance_is_given_by_uuid_whatever_ids_says(divided, variant):
    box = divided(variant=variant)
    for ids in ((), ("--ids", "index"), ("--ids", "uuid")):
        assert granted(box, *ids) == [mig(0), "0:0", mig(0)]
    assert granted(box, "-n", "2") == [f"{mig(0)},{mig(1)}", "0:0,0:1", f"{mig(0)},{mig(1)}"]


def test_instances_are_devices_of_their_own_and_their_card_is_shown_and_never_given(divided):
    box = divided(instances=2, cards=2)
    job = box.hold("--only", "0:1", user=ALICE)
    card, *instances, whole = box.status()
    assert [each["index"] for each in (card, *instances, whole)] == [0, "0:0", "0:1", 1]
    assert card["health"] == "mig" and card["claim"] is None and "error" not in card
    assert [each["claim"] and each["claim"]["user"] for each in instances] == [None, ALICE.name]
    assert instances[1]["claim"]["devices"] == [mig(1)] and instances[1]["claim"]["pid"] == job.pid
    assert instances[0]["name"] == "NVIDIA L40S MIG 1g.5gb" and instances[0]["memory_total_mb"] == 4864
    text = box.run("status").out
    assert re.search(r"^ +0 .* MIG is on: only its instances can be used$", text, re.M), text
    assert re.search(rf"^ +0:1 +NVIDIA L40S MIG 1g\.5gb .*{ALICE.name}: .*\(pid {job.pid}, ", text, re.M), text


def test_one_gpu_is_the_best_of_cards_and_instances(divided):
    box = divided(cards=2)
    assert granted(box)[1] == "1"
    held = box.hold()
    assert granted(box)[1] == "0:0"
    held.kill()


def test_several_are_cards_or_instances_and_never_both(divided):
    box = divided(instances=3, cards=2)
    assert granted(box, "-n", "3")[1] == "0:0,0:1,0:2"
    done = box.run("run", "-n", "4", "--", "true")
    assert done.status == 3 and "only 3 of the 5 here can ever be used" in done.err, done
    box = divided(instances=2, cards=3)
    assert granted(box, "-n", "2")[1] == "1,2"
    box.hold("--only", "2")
    assert granted(box, "-n", "2")[1] == "0:0,0:1"


def test_links_are_those_of_cards_also_behind_the_instances_of_another_one(divided):
    box = divided(instances=3, cards=5)
    box.extra = ["link gpu=1 to=4 count=4", "link gpu=2 to=3 count=4"]
    box.write()
    assert granted(box, "-n", "2", "--only", "1,2,4")[1] == "1,4"
    assert granted(box, "-n", "2", "--exclude", "1")[1] == "2,3"


def test_a_job_for_several_instances_is_told_that_cuda_shows_a_process_one(divided):
    box = divided()
    done = box.run("run", "-n", "2", "--", "sh", "-c", f"exec {box.sim_job} --for 0")
    assert "CUDA shows a process only the first of several instances" in done.err
    assert done.out.count("holds") == 1 and mig(0) in done.out, done.out
    assert "several instances" not in box.run("run", "--", "true").err


LISTS = [
    (("--only", "0:1"), "0:1"), (("--only", "0:*", "--exclude", "0:0"), "0:1"), (("--only", mig(1)), "0:1"),
    (("--only", mig(1).lower()[:12]), "0:1"), (("--only", f"MIG-{uuid(0)}/2/0"), "0:1"), (("--exclude", "0,2"), "1"),
    (("--exclude", uuid(0)), "1"), (("--exclude", "0000:10:00.0"), "1"), (("--only", "0:*,1", "--exclude", "1"), "0:0"),
]


@pytest.mark.parametrize("options, index", LISTS)
def test_lists_name_instances(divided, options, index):
    assert granted(divided(cards=3), *options)[1] == index


@pytest.mark.parametrize("options, reason", [
    (("--only", "0"), "GPU 0: MIG is on: only its instances can be used, which --only N:* names"),
    (("--only", "0:9"), "--only: there is no instance 0:9 on this machine (GPU 0 has 0:0, 0:1)"),
    (("--only", "1:0"), "--only: there is no instance 1:0 on this machine (GPU 1 has none)"),
    (("--only", "1:*"), "--only: there is no instance 1:* on this machine (GPU 1 has none)"),
    (("--only", "7:*"), "--only: there is no instance 7:* on this machine (it has GPUs 0-1)"),
    (("--only", "MIG-ffffffff"), "--only: there is no GPU MIG-ffffffff on this machine (it has GPUs 0-1)"),
    (("--exclude", "0,1"), "GPUs 0, 0:0 to 0:1, 1: in --exclude"),
])
def test_what_no_instance_can_meet_is_3_with_the_reason(divided, options, reason):
    done = divided(cards=2).run("run", *options, "--", "true")
    assert done.status == 3 and reason in done.err, done


@pytest.mark.parametrize("inherited, index", [
    (mig(1), "0:1"), (mig(1)[:12], "0:1"), (f"{mig(1)},{mig(0)}", "0:0"), (f"MIG-{uuid(0)}/2/0", "0:1"), ("0", "1"),
])
def test_an_inherited_list_of_instances_limits_the_choice(divided, inherited, index):
    box = divided(cards=2)
    assert granted(box, env={"CUDA_VISIBLE_DEVICES": inherited})[1] == index


def test_a_job_with_an_instance_can_hand_it_on(divided):
    box = divided(cards=2)
    inner = f'{box.gate} run -q -- printenv GPU_GATE_INDICES'
    assert box.run("run", "-q", "--only", "0:1", "--", "sh", "-c", inner).out == "0:1\n"


def test_a_share_of_an_instance_is_a_part_of_it(divided):
    box = divided(instances=1)
    first = box.hold("--share", "3000")
    done = box.run("run", "-q", "--timeout", "0", "--share", "3000", "--", "true")
    assert done.status == 124, done
    first.kill()
    script = "echo $GPU_GATE_SHARE_FRACTION"
    assert box.run("run", "-q", "--share", "2432", "--", "sh", "-c", script).out == "0.500\n"


def test_wait_and_hold_name_instances(divided):
    box = divided()
    assert box.run("wait").out == f"{mig(0)}\n"
    told = json.loads(box.run("wait", "--json").out)
    assert told["indices"] == ["0:0"] and told["uuids"] == [mig(0)] and told["cuda_visible_devices"] == mig(0)
    line = box.run("hold", "--export", "--timeout", "0", "--for", "0.001").out
    assert f"CUDA_VISIBLE_DEVICES='{mig(0)}'" in line and "GPU_GATE_INDICES='0:0'" in line, line


# Who is on one.

def test_a_stranger_on_an_instance_keeps_that_one_out_and_no_other(divided):
    box = divided(instances=2)
    stranger = box.start_plain(box.sim_job, "--memory", 300, "--for", -1, user=BOB, env={"CUDA_VISIBLE_DEVICES": mig(0)})
    stranger.wait_for("holds", stdout=True)
    assert granted(box)[1] == "0:1"
    card, first, second = box.status()
    assert card["processes"] == [] and second["processes"] == []
    assert [each["pid"] for each in first["processes"]] == [stranger.pid]
    waiter = box.wait_in_line("--only", "0:0", command=("echo", "RAN"))
    assert f"in use without gpu-gate by {BOB.name}" in waiter.err
    stranger.kill()
    waiter.finish()
    assert waiter.out == "RAN\n"


def test_of_instances_with_the_same_memory_processes_alone_tell_who_is_on_one(divided):
    box = divided()
    box.instances = [f"gpu=0 gi=1 ci={i} uuid={mig(i)} memory=9856" for i in range(2)]
    box.write()
    job = box.start("run", "-q", "--", box.sim_job, "--memory", "4000", "--for", "-1")
    job.wait_for("holds", stdout=True)
    assert [each["memory_used_mb"] for each in box.status()[1:]] == [4000, 4000]
    assert granted(box)[1] == "0:1"
    done = box.run("run", "--share", "1000", "--", "true")
    assert done.status == 3 and "other instances have the same memory" in done.err, done


def test_a_card_that_may_not_be_monitored_still_has_its_instances(divided):
    box = divided()
    box.set(0, memory_error=4, memory_v2_error=4, process_error=4)
    assert granted(box)[1] == "0:0"
    assert "error" not in box.status()[0]


def test_a_job_takes_the_memory_of_its_instance_and_frees_it(divided):
    box = divided()
    job = box.start("run", "-q", "--only", "0:1", "--", box.sim_job, "--memory", "4000", "--for", "-1")
    job.wait_for("holds", stdout=True)
    assert [each["memory_used_mb"] for each in box.status()] == [4000, 0, 4000]
    waiter = box.wait_in_line("--only", "0:1", "--min-free-mb", "4800", command=("echo", "RAN"))
    job.kill()
    waiter.finish()
    assert waiter.out == "RAN\n"


# In line.

def test_waiters_of_two_users_get_instances_as_they_become_free(divided):
    box = divided()
    first, second = box.hold(user=ALICE), box.hold(user=ALICE)
    alice = box.wait_in_line(user=ALICE, command=("sh", "-c", "echo RAN $GPU_GATE_INDICES"))
    bob = box.wait_in_line(user=BOB, command=("sh", "-c", "echo RAN $GPU_GATE_INDICES"))
    second.kill()
    bob.finish()
    assert bob.out == "RAN 0:1\n"
    first.kill()
    alice.finish()
    assert re.fullmatch("RAN 0:[01]\n", alice.out)


def test_an_instance_counts_as_its_part_of_the_card(divided):
    box = divided(instances=3, cards=3)
    box.lock.mkdir()
    box.lock.chmod(0o1777)
    (box.lock / "policy").write_text("max-per-user = 1\n")
    for instance in range(3):
        box.hold("--only", f"0:{instance}", user=ALICE)
    waiter = box.wait_in_line("--only", "1", user=ALICE)
    assert "max-per-user" in waiter.err, waiter.err  # 3 x 0.1 and a whole one
    waiter.kill()
    done = box.run("run", "-n", "2", "--only", "1,0:*", "--timeout", "0", "--", "true", user=ALICE)
    assert done.status == 124, "two instances are less than one GPU"
    done = box.run("run", "-n", "2", "--only", "1-2", "--", "true", user=ALICE)
    assert done.status == 3 and "at most 1 GPU" in done.err, done


def test_an_instance_that_appears_is_taken_by_who_waits(divided):
    box = divided(instances=1)
    box.hold()
    waiter = box.wait_in_line("--poll", "0.1", command=("sh", "-c", "echo RAN $GPU_GATE_INDICES"))
    box.instances.append(f"gpu=0 gi=2 slot=5 uuid={mig(7)}")
    box.write()
    waiter.finish()
    assert waiter.out == "RAN 0:5\n"


def test_an_instance_that_is_gone_is_waited_for_and_nothing_else_is_taken_for_it(divided):
    box = divided(instances=2)
    held = box.hold("--only", "0:1")
    waiter = box.wait_in_line("--only", "0:1", "--poll", "0.1", command=("sh", "-c", "echo RAN $GPU_GATE_INDICES"))
    before = list(box.instances)
    box.log_calls()
    box.instances = [before[0], f"gpu=0 gi=5 slot=4 uuid={mig(9)}"]  # another one has come
    box.write()
    held.kill()
    box.wait_for_looks(3)
    assert waiter.status is None and granted(box)[1] == "0:0", "the others are nobody's"
    assert granted(box, "--only", "0:4")[1] == "0:4"
    box.instances = before
    box.write()
    waiter.finish()
    assert waiter.out == "RAN 0:1\n"


def test_who_waits_when_the_last_instance_goes_waits_on(divided):
    box = divided(instances=1)
    held = box.hold()
    waiter = box.wait_in_line("--poll", "0.1", command=("echo", "RAN"))
    before = list(box.instances)
    box.instances = []
    box.write()
    held.kill()
    newcomer = box.run("run", "--", "true")
    assert newcomer.status == 3 and "GPU 0: MIG is on" in newcomer.err, newcomer
    assert waiter.status is None
    box.instances = before
    box.write()
    waiter.finish()
    assert waiter.out == "RAN\n"


def test_a_card_whose_mig_mode_is_turned_off_is_one_again(divided):
    box = divided(instances=2)
    box.hold("--only", "0:0")
    box.hold("--only", "0:1")
    waiter = box.wait_in_line("--poll", "0.1", command=("sh", "-c", "echo RAN $GPU_GATE_INDICES"))
    box.instances = []
    box.set(0, mig=0)
    waiter.finish()
    assert waiter.out == "RAN 0\n"


# Names of before R470.

@pytest.mark.parametrize("variant", DRIVERS)
def test_old_names_are_given_to_the_job_as_the_driver_has_them(divided, variant):
    box = divided(variant=variant)
    box.instances = [line + " old_name=1" for line in box.instances]
    box.write()
    old = f"MIG-{uuid(0)}/2/0"
    key = old.replace("/", "-")
    assert granted(box, "--only", "0:1") == [old, "0:1", key]
    assert granted(box, "--only", old)[1] == "0:1"
    assert granted(box, env={"CUDA_VISIBLE_DEVICES": old})[1] == "0:1"
    job = box.start("run", "-q", "--only", "0:1", "--", box.sim_job, "--for", "-1")
    job.wait_for("holds", stdout=True)
    assert [claim.name for claim in (box.lock / "claims").glob("*MIG*")] != []
    second = box.run("run", "-q", "--timeout", "0", "--only", "0:1", "--", "echo", "TWICE")
    assert second.status == 124 and second.out == "", second


# The nodes that give access.

CLOSE = """
mount -t tmpfs none /proc/driver && mkdir -p /proc/driver/nvidia-caps /tmp/dev/nvidia-caps
cat > /proc/driver/nvidia-caps/mig-minors <<END
config 1
monitor 2
gpu0/gi1/access 12
gpu0/gi1/ci0/access 13
gpu0/gi2/access 21
gpu0/gi2/ci0/access 22
END
mount --bind "$0/dev" /dev
exec "$@"
"""


@pytest.mark.parametrize("closed", ["nvidia-cap12", "nvidia-cap13"])
@pytest.mark.parametrize("how", ["mode", "gone"])
def test_an_instance_of_which_a_node_is_closed_is_not_given(divided, closed, how):
    box = divided()
    box.set(0, minor=0)
    dev = box.folder / "dev"
    (dev / "nvidia-caps").mkdir(parents=True)
    for name in ("nvidiactl", "nvidia0", "null", *(f"nvidia-caps/nvidia-cap{n}" for n in (12, 13, 21, 22))):
        (dev / name).touch()
        (dev / name).chmod(0o666)
    node = dev / "nvidia-caps" / closed
    node.chmod(0o600) if how == "mode" else node.unlink()

    def run(*words):
        return box.run_plain("unshare", "-m", "sh", "-ec", CLOSE, box.folder, "setpriv", f"--reuid={ALICE.uid}",
                             f"--regid={ALICE.gid}", "--clear-groups", box.gate, *words)

    box.lock.mkdir()
    box.lock.chmod(0o1777)
    done = run("run", "-q", "--timeout", "0", "--", "printenv", "GPU_GATE_INDICES")
    assert done.out == "0:1\n", done
    done = run("run", "--only", "0:0", "--", "true")
    assert done.status == 3 and "GPU 0:0: this user may not open its device node" in done.err, done
    assert [each["accessible"] for each in json.loads(run("status", "--json").out)] == [True, False, True]
    assert "GPU 0:0: you may not open its device file" in run("doctor").out


# Doctor.

def test_doctor_tells_of_mig_without_instances(divided):
    box = divided(instances=0, cards=2)
    done = box.run("doctor", "--json")
    found = [each for each in json.loads(done.out)["findings"] if each["subject"] == "GPU 0"]
    assert [each["level"] for each in found] == ["note"] and "no instances" in found[0]["what"], found
    assert "nvidia-smi mig" in found[0]["remedy"]
    box.instances = [f"gpu=0 uuid={mig(0)}"]
    box.write()
    assert "no instances" not in box.run("doctor").out
