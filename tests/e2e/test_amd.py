"""AMD's GPUs, as the kernel shows them in sysfs (sim/README.md, "AMD cards in /sys")."""

import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest

from amd_box import AmdBox
from fixtures import needs_mounts
from harness import ALICE, BOB, NEVER, ROOT, Box, uuid

pytestmark = needs_mounts

MI210 = {"name": '"AMD Instinct MI210"', "vram": 65520, "used": 11, "gfx": 90010, "numa": 0}
SHOW = ("sh", "-c", "echo got $ROCR_VISIBLE_DEVICES")
LISTS = "echo ${ROCR_VISIBLE_DEVICES-none} ${HIP_VISIBLE_DEVICES-none} ${CUDA_VISIBLE_DEVICES-none} $GPU_GATE_INDICES $GPU_GATE_UUIDS"


class Machine(AmdBox):
    """One with these AMD cards, and with NVIDIA's beside them if asked for."""

    def __init__(self, *amd, nvidia=0):
        self.amd = [dict(card) for card in amd]
        Box.__init__(self, cards=nvidia)

    def write(self):
        lines = [*self.extra, *("gpu " + _pairs(card) for card in self.cards), *("amd " + _pairs(card) for card in self.amd)]
        self.write_text("\n".join(lines) + "\n")
        subprocess.run([self.layer, self.machine, "--update"], check=True)

    def hold(self, *options, **more):
        process = self.start("run", *options, "--", "sh", "-c", "echo held $GPU_GATE_INDICES; exec sleep 1000", **more)
        process.held = process.wait_for(r"^held (\S+)$", stdout=True).group(1)
        return process

    def uuids(self):
        return [card["uuid"] for card in self.status("--vendor", "amd")]

    def status(self, *words, **options):
        done = self.run("status", "--json", *words, **options)
        assert done.status == 0, done
        return json.loads(done.out)


def _pairs(card):
    return " ".join(f"{key}={value}" for key, value in card.items())


@pytest.fixture
def amd_box():
    boxes = []

    def make(*amd, **options):
        boxes.append(Machine(*amd, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()


def mi300x(**more):
    return {"name": '"AMD Instinct MI300X"', "vram": 196592, "used": 284, "xcc": 8, "units": 304, "gfx": 90402,
            "partition": "SPX", **more}


def no_id(**more):
    return {"vram": 8176, "used": 16, "unique_id": "none", **more}


# What is seen.

def test_status_shows_the_cards_with_their_memory_and_who_is_on_them(amd_box):
    box = amd_box({**MI210, "unique_id": "00c0ffee00c0ffee", "pci": "0000:c1:00.0", "busy": 7}, MI210)
    box.outsider(1, user=BOB, memory=20000)
    first, second = box.status(user=ALICE)
    assert first["index"] == 0 and first["name"] == "AMD Instinct MI210" and first["vendor"] == "amd", first
    assert first["uuid"] == "GPU-00c0ffee00c0ffee" and first["pci_bus_id"] == "0000:c1:00.0", first
    assert (first["memory_total_mb"], first["memory_used_mb"], first["memory_free_mb"]) == (65520, 11, 65509), first
    assert first["utilization_pct"] == 7 and first["health"] == "ok" and first["accessible"], first
    (process,) = second["processes"]
    assert process["user"] == BOB.name and process["memory_mb"] == 20000 and not process["claimed"], process
    done = box.run("status", user=ALICE)
    assert "(no claim)" in done.out and "AMD Instinct MI210" in done.out, done


def test_a_card_that_sleeps_is_idle_and_one_that_cannot_tell_is_unknown(amd_box):
    box = amd_box({**MI210, "asleep": 1, "busy": 50}, {**MI210, "busy": "none"})
    assert [card["utilization_pct"] for card in box.status()] == [0, None]
    assert box.run("run", "-n", 2, "--max-util", 0, "--timeout", 0, "--", "true").status == 0


# What a job gets.

@pytest.mark.parametrize("ids", ("index", "uuid"))
def test_a_job_is_told_by_uuid_in_rocms_variable_alone(amd_box, ids):
    box = amd_box(*[MI210] * 3)
    names = box.uuids()
    done = box.run("run", "-n", 2, "--ids", ids, "--exclude", "1", "--", "sh", "-c", LISTS, user=ALICE,
                   env={"CUDA_DEVICE_ORDER": "FASTEST_FIRST"})
    assert done.out == f"{names[0]},{names[2]} none none 0,2 {names[0]},{names[2]}\n", done


def test_without_unique_id_a_job_is_told_by_rocms_number_for_its_user(amd_box):
    box = amd_box(no_id(pci="0000:03:00.0", closed="gone"), no_id(pci="0000:23:00.0"), no_id(pci="0000:43:00.0"))
    done = box.run("run", "-n", 2, "--", "sh", "-c", LISTS, user=ALICE)
    assert done.out == "0,1 none none 1,2 PCI-0000-23-00-0,PCI-0000-43-00-0\n", done


def test_the_job_runs_on_the_card_that_it_was_given(amd_box):
    box = amd_box(*[MI210] * 3)
    job = box.start("run", "--only", 2, "--", box.sim_job, "--memory", 9000, "--for", -1, user=ALICE)
    job.wait_for("holds", stdout=True)
    used = [card["memory_used_mb"] for card in box.status()]
    assert used[2] > 9000 and used[:2] == [11, 11], used
    assert box.status()[2]["processes"][0]["claimed"]


@pytest.mark.parametrize("lists, choice", (
    ({"ROCR_VISIBLE_DEVICES": "2,0"}, "0,2"),
    ({"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "0"}, "2"),
    ({"ROCR_VISIBLE_DEVICES": "2,0", "HIP_VISIBLE_DEVICES": "", "CUDA_VISIBLE_DEVICES": "1"}, "0"),
    ({"HIP_VISIBLE_DEVICES": "1", "CUDA_VISIBLE_DEVICES": "0"}, "1"),
    ({"CUDA_VISIBLE_DEVICES": "0,2"}, "0,2"),
))
def test_inherited_lists_limit_the_choice_and_the_job_has_none_of_them(amd_box, lists, choice):
    box = amd_box(*[MI210] * 3)
    count = len(choice.split(","))
    done = box.run("run", "-n", count, "--", "sh", "-c", LISTS, env=lists)
    names = ",".join(box.uuids()[int(index)] for index in choice.split(","))
    assert done.out == f"{names} none none {choice} {names}\n", done
    for name, value in lists.items():
        assert not value or f"{name}={value}" in done.err or name == "CUDA_VISIBLE_DEVICES", done.err
    refused = box.run("run", "-n", count + 1, "--timeout", 0, "--", "true", env=lists)
    assert refused.status == 3, refused
    name = next(iter(lists))
    assert f"{name} is '{lists[name]}'" in refused.err, refused.err


def test_an_empty_list_of_rocms_is_no_gpu(amd_box):
    box = amd_box(MI210)
    done = box.run("run", "--", "true", env={"ROCR_VISIBLE_DEVICES": ""})
    assert done.status == 3 and "ROCR_VISIBLE_DEVICES is '', which means no GPU" in done.err, done


def test_hold_exports_rocms_variable_and_unsets_what_would_count_within_it(amd_box):
    box = amd_box(MI210)
    done = box.start_plain("sh", "-c", f'eval "$({box.gate} hold --export --pid $$)"; {LISTS}; {box.gate} run --timeout 0 -- true; echo $?',
                           env={"HIP_VISIBLE_DEVICES": "0", "CUDA_VISIBLE_DEVICES": "5"})
    assert done.finish() == 0
    (name,) = box.uuids()
    assert done.out == f"{name} none none 0 {name}\n0\n", done


def test_wait_prints_what_rocms_variable_would_be(amd_box):
    box = amd_box(no_id(pci="0000:03:00.0"), no_id(pci="0000:23:00.0"))
    assert box.run("wait", "-n", 2).out == "0,1\n"
    assert json.loads(box.run("wait", "--json").out) == {
        "indices": [0], "uuids": ["PCI-0000-03-00-0"], "cuda_visible_devices": None, "rocr_visible_devices": "0"}


# The line and the claims.

def test_two_users_take_turns_on_the_only_card(amd_box):
    box = amd_box(MI210)
    holder = box.hold(user=ALICE)
    waiter = box.wait_in_line(*NEVER, user=BOB, command=SHOW)
    assert f"claimed by {ALICE.name}" in waiter.err, waiter
    holder.signal(signal.SIGKILL)
    assert waiter.finish() == 0
    assert waiter.out == f"got {box.uuids()[0]}\n"


def test_a_card_is_handed_over_when_its_memory_is_free(amd_box):
    box = amd_box(MI210)
    holder = box.start("run", "--", box.sim_job, "--memory", 30000, "--linger", 300, "--for", -1, user=ALICE)
    holder.wait_for("holds", stdout=True)
    waiter = box.wait_in_line(*NEVER, "--min-free-mb", 60000, user=BOB)
    holder.signal(signal.SIGKILL)
    assert waiter.finish() == 0, waiter


def test_a_card_with_somebody_on_it_is_given_when_that_one_ends(amd_box):
    box = amd_box(MI210)
    outsider = box.outsider(user=BOB, memory=100)
    waiter = box.wait_in_line(*NEVER, user=ALICE)
    assert "in use without gpu-gate by" in waiter.err, waiter
    outsider.signal(signal.SIGKILL)
    assert waiter.finish() == 0, waiter


def test_a_job_that_closes_the_descriptor_of_its_claim_keeps_its_card_until_it_ends(amd_box):
    box = amd_box(MI210)
    job = box.start("run", "--", "python3", "-c", "import os, time; os.closerange(3, 4096); print('closed', flush=True); time.sleep(1000)",
                    user=ALICE)
    job.wait_for("closed", stdout=True)
    assert box.run("run", "-q", "--timeout", 0, "--", "true", user=BOB).status == 124
    job.kill()
    assert box.run("run", "-q", "--timeout", 0, "--", "true", user=BOB).status == 0


def test_a_share_of_a_card_is_what_its_jobs_leave(amd_box):
    box = amd_box(MI210)
    box.hold("--share", "40G", user=ALICE)
    assert box.run("run", "--share", "20G", "--timeout", 0, "--", "true", user=BOB).status == 0
    refused = box.run("run", "--share", "30G", "--timeout", 0, "--", "true", user=BOB)
    assert refused.status == 124 and "left to share" in refused.err, refused


def test_a_job_hands_its_own_cards_out(amd_box):
    box = amd_box(no_id(pci="0000:03:00.0"), MI210, MI210)
    part = f"{box.gate} run --timeout 0 -- sh -c 'echo part $GPU_GATE_INDICES'; {box.gate} run --timeout 0 -n 3 -- true; echo $?"
    done = box.run("run", "--only", "0,2", "-n", 2, "--", "sh", "-c", part)
    assert done.out == "part 2\n3\n", done


# Who may open what.

@pytest.mark.parametrize("closed", ("1", "gone", "cgroup"))
def test_a_closed_card_keeps_its_index_and_is_not_given(amd_box, closed):
    box = amd_box({**MI210, "closed": closed}, MI210)
    first, second = box.status(user=ALICE)
    assert not first["accessible"] and second["accessible"] and second["index"] == 1
    assert "closed to you" in box.run("status", user=ALICE).out
    done = box.run("run", "--", "printenv", "GPU_GATE_INDICES", user=ALICE)
    assert done.out == "1\n", done
    refused = box.run("run", "-n", 2, "--", "true", user=ALICE)
    assert refused.status == 3 and "GPU 0: this user may not open its device node" in refused.err, refused


def test_who_may_not_open_a_card_keeps_it_from_nobody(amd_box):
    box = amd_box({**MI210, "closed": "cgroup"}, MI210)
    node = pathlib.Path(f"{box.machine}.sysfs/dev/dri/renderD128")  # root is in no such cgroup
    node.write_text("")
    node.chmod(0o600)
    box.hold("--only", 1, user=ROOT)
    box.wait_in_line(*NEVER, user=ALICE)
    done = box.run("run", "--timeout", 0, "--", "printenv", "GPU_GATE_INDICES", user=ROOT)
    assert done.out == "0\n", done


def test_doctor_names_the_group_of_a_device_file_that_is_closed(amd_box):
    box = amd_box({**MI210, "closed": 1}, MI210)
    os.chown(next(pathlib.Path(f"{box.machine}.sysfs").glob("dev/dri/renderD128")), 0, 44)  # video
    os.chmod(pathlib.Path(f"{box.machine}.sysfs/dev/dri/renderD128"), 0o660)
    done = box.run("doctor", user=ALICE)
    assert done.status == 1 and "GPU 0" in done.out and "you may not open its device file" in done.out, done
    assert 'sudo usermod -aG video "$USER"' in done.out and "nvidia" not in done.out.lower(), done
    assert box.run("doctor").status == 0


# Partitions, and parts of the CPU.

@pytest.mark.parametrize("own_ids", (0, 1))
def test_each_partition_is_a_gpu_of_its_own(amd_box, own_ids):
    box = amd_box(mi300x(partition="CPX", own_ids=own_ids, pci="0000:0c:00.0"), mi300x(pci="0000:22:00.0"))
    cards = box.status()
    assert [card["index"] for card in cards] == list(range(9))
    assert len({card["uuid"] for card in cards}) == 9
    assert cards[3]["name"] == "AMD Instinct MI300X CPX 3" and cards[8]["name"] == "AMD Instinct MI300X"
    assert {card["memory_total_mb"] for card in cards} == {196592}
    holder = box.hold("--only", 3, user=ALICE)
    assert box.run("run", "--only", 3, "-q", "--timeout", 0, "--", "true", user=BOB).status == 124
    done = box.run("run", "--only", "2,3", "--timeout", 0, "--", "sh", "-c", LISTS, user=BOB)
    name = cards[2]["uuid"]
    assert done.out == f"{name if own_ids else 2} none none 2 {name}\n", done
    holder.kill()
    job = box.start("run", "--only", 5, "--", box.sim_job, "--memory", 50000, "--for", -1, user=ALICE)
    job.wait_for("holds", stdout=True)
    on = [len(card["processes"]) for card in box.status()]
    assert on == [0, 0, 0, 0, 0, 1, 0, 0, 0], on
    done = box.run("run", "--only", 6, "--timeout", 0, "--", "true", user=BOB)
    assert done.status == 0, "the memory of the card is in use, but nobody is on this partition"


def test_a_part_of_the_cpu_is_given_only_to_who_names_it(amd_box):
    box = amd_box(no_id(vram=512, used=190, apu=1), MI210)
    assert box.run("run", "--", "printenv", "GPU_GATE_INDICES").out == "1\n"
    refused = box.run("run", "-n", 2, "--", "true")
    assert refused.status == 3, refused
    assert "GPU 0: part of the CPU, with 512 MiB of its own: taken only if named (--only 0)" in refused.err, refused
    assert box.run("run", "--only", 0, "--", "printenv", "GPU_GATE_INDICES").out == "0\n"
    assert box.run("run", "--only", 0, "--", box.gate, "run", "--timeout", 0, "--", "true").status == 0


# Both makers.

def test_where_there_are_both_makers_nvidias_are_used_unless_amds_are_asked_for(amd_box):
    box = amd_box(MI210, nvidia=2)
    assert [card["vendor"] for card in box.status()] == ["nvidia", "nvidia"]
    assert [card["vendor"] for card in box.status("--vendor", "amd")] == ["amd"]
    (name,) = box.uuids()
    lists = ("sh", "-c", LISTS)
    assert box.run("run", "--", *lists).out == f"none none 0 0 {uuid(0)}\n"
    assert box.run("run", "--vendor=amd", "--", *lists).out == f"{name} none none 0 {name}\n"
    assert box.run("run", "--", *lists, env={"GPU_GATE_VENDOR": "amd"}).out == f"{name} none none 0 {name}\n"
    assert box.run("run", "--vendor", "nvidia", "--", *lists, env={"GPU_GATE_VENDOR": "amd"}).out == f"none none 0 0 {uuid(0)}\n"


def test_a_maker_that_is_not_here_is_refused_with_what_there_is(amd_box):
    box = amd_box(MI210, MI210)
    done = box.run("run", "--vendor", "nvidia", "--", "true")
    assert done.status == 3 and "there is no NVIDIA GPU on this machine (it has 2 GPUs of AMD)" in done.err, done
    for words, env, text in ((("--vendor", "x"), {}, "--vendor: 'x' is not known; write nvidia or amd"),
                             ((), {"GPU_GATE_VENDOR": "x"}, "GPU_GATE_VENDOR is 'x': it must be nvidia or amd")):
        done = box.run("run", *words, "--", "true", env=env)
        assert done.status == 2 and text in done.err and len(done.lines) == 1, done


def test_a_machine_of_nvidias_alone_is_refused_amds(box):
    done = box.run("run", "--vendor", "amd", "--", "true")
    assert done.status == 3 and "(it has 1 GPU of NVIDIA)" in done.err, done


def test_those_who_wait_for_one_maker_neither_lead_nor_keep_anything_from_those_of_the_other(amd_box):
    box = amd_box(MI210, nvidia=1)
    on_nvidia = Box.hold(box, user=ALICE)
    on_amd = box.hold("--vendor", "amd", user=ALICE)
    for_nvidia = box.wait_in_line(*NEVER, user=BOB, command=("sh", "-c", "echo got $CUDA_VISIBLE_DEVICES; exec sleep 1000"))
    for_amd = box.wait_in_line(*NEVER, "--vendor", "amd", user=BOB, command=SHOW)
    assert for_amd.wait_for(r"(\S+) in line").group(1) == "1st", "each has a line"
    text = box.run("status").out
    assert "waiting: 2" in text and ", of AMD" in text, text
    on_amd.kill()
    assert for_amd.finish() == 0 and for_amd.out == f"got {box.uuids()[0]}\n", for_amd
    on_nvidia.kill()
    for_nvidia.wait_for("got 0", stdout=True)


def test_the_longest_waiter_of_its_maker_is_next_also_where_the_other_ones_driver_fails(amd_box):
    box = amd_box(MI210, nvidia=1)
    holder = box.hold("--vendor", "amd", user=ALICE)
    Box.hold(box, user=ALICE)
    box.wait_in_line(*NEVER, user=BOB)
    waiters = [box.wait_in_line(*NEVER, "--vendor", "amd", user=BOB, command=SHOW) for _ in range(2)]
    box.extra.append("driver_error 9")
    box.write()
    holder.kill()
    for waiter in waiters:
        assert waiter.finish() == 0, waiter


def test_a_part_of_a_job_on_amds_cards_is_among_these_without_saying_so(amd_box):
    box = amd_box(MI210, MI210, nvidia=1)
    inner = f"unset GPU_GATE_VENDOR; exec {box.gate} run --timeout 0 -- sh -c 'echo $GPU_GATE_INDICES $ROCR_VISIBLE_DEVICES'"
    done = box.run("run", "--vendor", "amd", "--only", 1, "--", "sh", "-c", inner)
    assert done.out == f"1 {box.uuids()[1]}\n", done


@pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace here")
def test_where_nvidia_has_cards_nothing_of_amds_is_read(amd_box):
    box = amd_box(MI210, nvidia=1)
    done = box.run_plain("strace", "-f", "-qq", "-e", "trace=%file", "-o", box.folder / "trace", box.gate, "run", "--", "true")
    assert done.status == 0, done
    trace = (box.folder / "trace").read_text()
    assert "libnvidia-ml.so.1" in trace and "/sys/class" not in trace and "/dev/kfd" not in trace


@pytest.mark.skipif(not shutil.which("strace"), reason="there is no strace here")
def test_no_device_file_of_amds_is_opened(amd_box):
    """To open one wakes a card that sleeps, and /dev/kfd makes a process one that computes."""
    box = amd_box(MI210)
    for words in (("run", "--", "true"), ("status",), ("doctor",)):
        box.run_plain("strace", "-f", "-qq", "-e", "trace=open,openat", "-o", box.folder / "trace", box.gate, *words)
        trace = (box.folder / "trace").read_text()
        assert "mem_info_vram_used" in trace and "/dev/kfd" not in trace and "/dev/dri/renderD" not in trace, words
