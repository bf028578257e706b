"""The simulated AMD cards: what /sys shows of them, and that rocm-smi's library reads the same there."""

import ctypes.util
import itertools
import json
import os
import signal
import sys

import pytest

import harness
from amd_box import MIB, AmdBox, unique_id
from fixtures import needs_mounts
from harness import ALICE, BOB, ROOT, each, wait_until

pytestmark = needs_mounts


@pytest.fixture
def amd_box():
    """Makes boxes with AMD cards, and ends all that is left on them."""
    boxes = []

    def make(*args, **options):
        boxes.append(AmdBox(*args, **options))
        return boxes[-1]

    yield make
    for box in boxes:
        box.close()


def address(index):
    return f"0000:{0x10 + index:02x}:00.0"


def holds(box, user=ROOT, rocm=(), **env):
    """The render nodes of the GPUs that a job finds, in its order; nothing if it finds none."""
    done = box.run_plain(box.sim_job, "--memory", 10, "--for", 0, *rocm, env=env, user=user)
    assert done.status == 0 or "no ROCm-capable device" in done.err, done
    return [int(line.split("renderD")[1].split()[0]) for line in done.out.splitlines()]


# The files.

def test_the_cards_stand_beside_what_is_real(amd_box):
    box = amd_box(cards=2)
    shown = box.run_plain("sh", "-c", "ls /sys /sys/class /sys/devices /dev; echo x >/dev/null && cat /sys/class/drm/card1/device/vendor")
    assert shown.status == 0, shown
    words = shown.out.split()
    assert {"fs", "kernel", "net", "drm", "kfd", "system", "virtual", "dri", "null", "pts", "0x1002"} <= set(words), words


def test_the_real_sys_and_dev_stay_as_they_are(amd_box):
    before = sorted(os.listdir("/sys/class")), sorted(os.listdir("/dev"))
    amd_box(cards=2).run_plain("true")
    assert (sorted(os.listdir("/sys/class")), sorted(os.listdir("/dev"))) == before


def test_a_command_keeps_its_folder_pid_and_status(amd_box):
    box = amd_box()
    done = box.run_plain("sh", "-c", "pwd; echo $$; exit 7", cwd="/usr")
    assert (done.out.split(), done.status) == (["/usr", str(done.pid)], 7)


def test_kfd_counts_processors_first_and_partitions_one_by_one(amd_box):
    box = amd_box(example="mi300x-cpx")
    nodes = box.sysfs("class/kfd/kfd/topology/nodes")
    found = []
    for number in range(len(list(nodes.iterdir()))):
        lines = (nodes / str(number) / "properties").read_text().splitlines()
        node = dict(line.split() for line in lines)
        found.append((node["simd_count"], node["drm_render_minor"], int(node["location_id"]) >> 28, node["num_xcc"])
                     if node["simd_count"] != "0" else "cpu")
    assert found == ["cpu", *[("152", str(128 + i), i, "1") for i in range(8)], ("1216", "136", 0, "8")]
    assert len(set(box.gpu_ids())) == 9


def test_only_a_cards_first_partition_has_the_cards_files(amd_box):
    box = amd_box(example="mi300x-cpx")
    drm = box.sysfs("class/drm")
    assert (drm / "renderD128/device/mem_info_vram_total").read_text() == f"{196592 * MIB}\n"
    assert (drm / "renderD129/device").is_dir()
    assert not (drm / "renderD129/device/vendor").exists()
    opened = box.run_plain("sh", "-c", "ls /dev/dri | grep render").out.split()
    assert opened == [f"renderD{number}" for number in range(128, 137)]


def test_cards_of_a_hive_are_linked_with_all_others(amd_box):
    box = amd_box(example="mi300x")
    nodes = box.sysfs("class/kfd/kfd/topology/nodes")
    links = [dict(line.split() for line in file.read_text().splitlines())
             for file in (nodes / "2/io_links").glob("*/properties")]
    assert sorted(int(link["node_to"]) for link in links if link["type"] == "11") == list(range(3, 10))


def test_a_file_that_a_card_has_not_is_not_there(amd_box):
    box = amd_box(example="two-radeons")
    folder = box.card_folder("0000:03:00.0")
    assert (folder / "gpu_busy_percent").read_text() == "0\n"
    assert not [name for name in ("unique_id", "product_name", "current_compute_partition") if (folder / name).exists()]


# Jobs.

def test_a_job_is_seen_in_all_files_and_gone_from_them_after_its_end(amd_box):
    box = amd_box(cards=2)
    job = box.outsider(card=1, memory=4000)
    assert box.listed_pids() == [job.pid]
    assert (box.vram_mib(job.pid), box.queues(job.pid)) == ([0, 4000], [1])
    assert [(box.used_mib(address(i)), box.busy(address(i))) for i in range(2)] == [(0, 0), (4000, 90)]
    job.signal(signal.SIGTERM)
    wait_until(lambda: box.used_mib(address(1)) == 0, "the memory is free")
    assert (box.listed_pids(), box.busy(address(1))) == ([], 0)


def test_memory_of_a_killed_job_lingers_without_a_process(amd_box):
    box = amd_box()
    box.extra = ["linger_ms 3600000"]
    box.write()
    job = box.outsider()
    job.kill()
    wait_until(lambda: not box.listed_pids(), "KFD lists nobody")
    assert (box.used_mib(address(0)), box.busy(address(0))) == (4000, 0)


def test_users_share_the_cards(amd_box):
    box = amd_box()
    jobs = [box.outsider(user=user, memory=1000) for user in (ALICE, BOB, ROOT)]
    assert box.listed_pids() == sorted(job.pid for job in jobs)
    assert box.used_mib(address(0)) == 3000
    for job, left in zip(jobs, (2000, 1000, 0)):
        job.kill()
        wait_until(lambda: box.used_mib(address(0)) == left, f"{left} MiB are used")
    assert box.listed_pids() == []


def test_a_job_takes_no_more_than_there_is(amd_box):
    box = amd_box(vram=8000)
    box.set(0, used=100)
    box.outsider(memory=7000)
    done = box.run_plain(box.sim_job, "--memory", 1000)
    assert (done.status, "HIP out of memory" in done.err, "900 MiB free" in done.err) == (1, True, True), done


def test_what_a_killed_keeper_left_is_gone_with_the_next_change(amd_box):
    box = amd_box()
    job = box.outsider(memory=500)
    [keeper] = [pid for pid in box.running() if pid != job.pid]
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: harness.state_of(keeper) in ("", "Z"), "the keeper is dead")
    box.set(0, busy=1)
    assert (box.used_mib(address(0)), box.listed_pids()) == (0, [])


def test_partitions_share_their_cards_memory(amd_box):
    box = amd_box(example="mi300x-cpx")
    job = box.outsider(card="1,3", memory=2000)
    assert box.vram_mib(job.pid) == [0, 2000, 0, 2000, 0, 0, 0, 0, 0]
    assert box.used_mib("0000:0c:00.0") == 284 + 4000


def as_user(box, machine, *words):
    """Runs a command on this machine as alice from the start."""
    done = harness.Process([box.layer, str(machine), *words], box.env(), ALICE)
    done.finish()
    if "unshare(CLONE_NEWUSER)" in done.err:
        pytest.skip("no user may make a namespace here")
    return done


def test_a_user_without_rights_can_have_cards(amd_box):
    box = amd_box()
    mine = box.folder / "mine"
    harness.Process(["sh", "-c", f"echo amd >{mine}"], box.env(), ALICE).finish()
    done = as_user(box, mine, "--", box.sim_job, "--for", "0")
    assert done.status == 0 and "holds 4000 MiB" in done.out, done


def test_another_users_cards_are_taken_as_they_are(amd_box):
    box = amd_box()
    box.write_text("amd\namd\n")
    done = as_user(box, box.machine, "--", "sh", "-c", "ls /dev/dri | grep -c render; echo x >/dev/null")
    assert (done.status, done.out, done.err) == (0, "1\n", "")


# What a ROCm program finds.

def test_a_job_finds_what_rocm_would(amd_box):
    box = amd_box(cards=4)
    name = [f"GPU-{unique_id(i)}" for i in range(4)]

    def check(expected, env):
        assert holds(box, **env) == [128 + place for place in expected], env

    rocr, hip, cuda = "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"
    each([
        ([0, 1, 2, 3], {}),
        ([], {rocr: ""}),
        ([2], {rocr: "2"}),
        ([3, 1], {rocr: "3,1"}),
        ([3, 1], {rocr: " 3 , 1 "}),
        ([1], {rocr: "1,9,2"}),         # nothing after a mistake
        ([1], {rocr: "1,1,2"}),         # nor after one named twice
        ([], {rocr: "-1"}),
        ([2], {rocr: name[2]}),
        ([2], {rocr: name[2].lower()[:9]}),
        ([], {rocr: "GPU-"}),           # too short
        ([], {rocr: "GPU-" + "0" * 17}),
        ([0], {rocr: f"0,{name[0]}"}),
        ([2], {rocr: "3,2", hip: "1"}),  # counted among those of ROCR
        ([3, 2], {hip: "3,2,3"}),
        ([3], {hip: "3", cuda: "1"}),
        ([1], {hip: "", cuda: "1"}),
        ([0, 1, 2, 3], {hip: "", cuda: ""}),
        ([], {hip: "-1"}),
        ([1], {hip: name[1]}),
    ], check, at_once=4)


def test_a_beginning_that_fits_two_is_no_name(amd_box):
    box = amd_box(example="mi300x-cpx")
    box.extra = [line.replace("partition=CPX", "partition=DPX unique_id=a1") for line in box.extra]
    box.write()
    assert holds(box, ROCR_VISIBLE_DEVICES="GPU-00000000000000a1") == []
    assert holds(box, ROCR_VISIBLE_DEVICES="1") == [129]
    box.extra = [line.replace("unique_id=a1", "unique_id=a1 own_ids=1") for line in box.extra]
    box.write()
    assert holds(box, ROCR_VISIBLE_DEVICES="GPU-00000000000000a2") == [129]


def test_cards_without_a_node_have_no_number(amd_box):
    box = amd_box(cards=3)
    for kind in ("gone", "cgroup"):
        box.set(0, closed=kind)
        assert holds(box, user=ALICE, ROCR_VISIBLE_DEVICES="0") == [129]
    unread = box.run_plain("cat", "/sys/class/kfd/kfd/topology/nodes/1/gpu_id", user=ALICE)
    assert unread.status == 1


def test_a_node_that_may_not_be_opened_hides_all(amd_box):
    box = amd_box(cards=3)
    box.set(1, closed=1)
    assert (holds(box, user=ALICE), holds(box)) == ([], [128, 129, 130])


# Changes.

READER = """
import json, sys
seen = set()
while int(sys.argv[2]) not in seen:
    with open(sys.argv[1], "rb") as file:
        text = file.read()
    assert text.endswith(b"\\n"), text
    seen.add(int(text))
print(json.dumps(sorted(seen)))
"""


def test_a_card_that_is_lost_is_gone_under_a_running_program(amd_box):
    box = amd_box(cards=2)
    watcher = box.start_plain("sh", "-c", "while read turn; do echo $turn: $(ls /sys/bus/pci/devices /sys/class/drm); done", stdin=-1)
    turns = itertools.count()

    def look():
        turn = next(turns)
        watcher.popen.stdin.write(f"{turn}\n".encode())
        watcher.popen.stdin.flush()
        return watcher.wait_for(rf"^{turn}: (.*)", stdout=True).group(1)

    assert "0000:11:00.0" in look()
    box.set(1, lost=1)
    left = look()
    assert "0000:11:00.0" not in left and "renderD129" not in left and "renderD128" in left
    assert len(box.gpu_ids()) == 1
    box.set(1, lost=0)
    assert "renderD129" in look()


def test_other_partitions_take_the_place_of_the_old_ones(amd_box):
    box = amd_box(example="mi300x-cpx")
    box.extra = [line.replace("CPX", "QPX") for line in box.extra]
    box.write()
    assert len(box.gpu_ids()) == 5
    assert (box.card_folder("0000:0c:00.0") / "current_compute_partition").read_text() == "QPX\n"


def test_a_reader_never_sees_half_a_number(amd_box):
    box = amd_box(cards=1, vram=2_000_000)
    reader = box.start_plain(sys.executable, "-c", READER, box.card_folder(address(0)) / "mem_info_vram_used", 3 * MIB)
    for i in range(100):
        box.set(0, used=(1, 1_999_999)[i % 2])
    box.set(0, used=3)
    assert reader.finish() == 0, reader
    assert set(json.loads(reader.out)) <= {0, MIB, 1_999_999 * MIB, 3 * MIB}, reader


def test_processes_of_the_machine_file_are_listed_and_leave(amd_box):
    box = amd_box(cards=2)
    box.list_processes("amd=0 pid=4242 memory=300", "amd=1 pid=4242 memory=20 queue=0", "amd=1 pid=7 memory=9 type=graphics")
    assert box.listed_pids() == [4242]
    assert (box.vram_mib(4242), box.queues(4242)) == ([300, 20], [0])
    assert [box.used_mib(address(i)) for i in range(2)] == [300, 29]
    box.list_processes("amd=0 pid=4242 memory=500")
    assert box.vram_mib(4242) == [500, 0]
    box.list_processes()
    assert (box.listed_pids(), box.used_mib(address(0))) == ([], 0)


# The machine file.

def test_a_mistake_is_named_with_its_line(amd_box):
    box = amd_box()

    def check(line, what):
        path = box.folder / f"bad-{abs(hash(line))}"
        path.write_text(f"# machine\n{line}\n")
        done = harness.Process([box.layer, str(path), "--update"], box.env())
        assert done.finish() == 1
        assert done.err == f"gpu-sim-sysfs: {path}:2: {what}\n"

    each([
        ("amd vram=many", "bad value for 'vram'"),
        ("amd memory=3", "unknown key 'memory'"),
        ("amd unique_id=0", "bad value for 'unique_id'"),
        ("amd partition=XPX", "bad value for 'partition'"),
        ("amd partition=CPX xcc=9", "bad value for 'xcc'"),
        ("amd partition=DPX", "more partitions than xcc"),
        ("amd used=30000", "more used than vram"),
        ("process amd=0 pid=3", "process on amd 0, of 0 amd lines"),
        ("process amd=0 gpu=0 pid=3", "a process is on gpu or on amd"),
    ], check)


def test_a_machine_with_amd_cards_only_has_no_nvidia_driver(amd_box):
    box = amd_box()
    script = "import ctypes, os; print(ctypes.CDLL(os.environ['GPU_GATE_NVML']).nvmlInit_v2())"
    assert [box.run_plain(sys.executable, "-c", script, env={"GPU_GATE_NVML": harness.BIN / variant / "libnvidia-ml.so.1"}).out
            for variant in ("current", "r535", "old")] == ["9\n"] * 3
    box.extra = ["gpu"]
    box.write()
    assert box.run_plain(sys.executable, "-c", script).out == "0\n"
    assert "NVIDIA L40S" in box.run_plain(box.sim_job, "--for", 0).out
    assert holds(box, rocm=["--rocm"]) == [128]


# Somebody else's reader.

SMI = """
import ctypes, json
smi = ctypes.CDLL("librocm_smi64.so.1")
assert smi.rsmi_init(ctypes.c_uint64(0)) == 0
def get(function, kind, *words):
    value = kind()
    status = getattr(smi, function)(*words, ctypes.byref(value))
    return value.value if status == 0 else None
class Process(ctypes.Structure):
    _fields_ = [("pid", ctypes.c_uint32), ("pasid", ctypes.c_uint32), ("vram", ctypes.c_uint64),
                ("sdma", ctypes.c_uint64), ("units", ctypes.c_uint32)]
u32, u64 = ctypes.c_uint32, ctypes.c_uint64
cards = [[get("rsmi_dev_pci_id_get", u64, i), get("rsmi_dev_memory_total_get", u64, i, 0),
          get("rsmi_dev_memory_usage_get", u64, i, 0), get("rsmi_dev_busy_percent_get", u32, i),
          get("rsmi_dev_unique_id_get", u64, i)] for i in range(get("rsmi_num_monitor_devices", u32))]
count = u32(0)
assert smi.rsmi_compute_process_info_get(None, ctypes.byref(count)) == 0
listed = (Process * count.value)()
assert smi.rsmi_compute_process_info_get(listed, ctypes.byref(count)) == 0
processes = []
for each in listed:
    one, places, room = Process(), (u32 * 64)(), u32(64)
    assert smi.rsmi_compute_process_info_by_pid_get(each.pid, ctypes.byref(one)) == 0
    assert smi.rsmi_compute_process_gpus_get(each.pid, places, ctypes.byref(room)) == 0
    processes.append([each.pid, one.vram, sorted(places[:room.value])])
print(json.dumps({"cards": cards, "processes": sorted(processes)}))
"""

needs_rocm_smi = pytest.mark.skipif(ctypes.util.find_library("rocm_smi64") is None and
                                    not any(os.path.exists(f"/usr/lib/{place}librocm_smi64.so.1") for place in ("", "x86_64-linux-gnu/")),
                                    reason="there is no librocm-smi64-1 here")


def rocm_smi(box):
    done = box.run_plain("/usr/bin/python3", "-c", SMI)
    assert done.status == 0, done
    return json.loads(done.out)


@needs_rocm_smi
def test_rocm_smi_agrees_on_eight_cards_and_their_jobs(amd_box):
    box = amd_box(example="mi300x")
    ids = [f"{0xABC000 + i:x}" for i in range(8)]
    amd = [line for line in box.extra if line.startswith("amd")]
    box.extra = [f"{line} unique_id={unique}" for line, unique in zip(amd, ids)]
    box.extra[7] += " busy=33"
    box.listed = ["amd=7 pid=4242 memory=1000"]
    box.write()
    job = box.outsider(card="2,5", user=ALICE, memory=3000)
    told = rocm_smi(box)
    buses = (0x0C, 0x22, 0x38, 0x5C, 0x9F, 0xAF, 0xBF, 0xDF)
    used = [284, 284, 3284, 284, 284, 3284, 284, 1000]
    busy = [0, 0, 90, 0, 0, 90, 0, 33]
    assert told["cards"] == [[bus << 8, 196592 * MIB, mib * MIB, percent, int(unique, 16)]
                             for bus, mib, percent, unique in zip(buses, used, busy, ids)]
    assert told["processes"] == sorted([[job.pid, 6000 * MIB, [2, 5]], [4242, 1000 * MIB, [7]]])


@needs_rocm_smi
def test_rocm_smi_agrees_on_cards_without_unique_id(amd_box):
    told = rocm_smi(amd_box(example="two-radeons"))
    assert told == {"cards": [[bus << 8, 8176 * MIB, 16 * MIB, 0, None] for bus in (0x03, 0x2D)], "processes": []}


@needs_rocm_smi
def test_rocm_smi_agrees_on_the_memory_of_a_card_in_partitions(amd_box):
    box = amd_box(example="mi300x-cpx")
    box.extra.append("process amd=0 part=3 pid=4242 memory=3000 type=graphics")  # it knows no processes on partitions
    box.write()
    assert [card[1:3] for card in rocm_smi(box)["cards"]] == [[196592 * MIB, 3000 * MIB], [196592 * MIB, 284 * MIB]]
