"""What the driver's library may answer, and what becomes of it."""

import json
import os
import pathlib
import shutil
import signal
import time

import pytest

import harness
from harness import ALICE, Order, compile_library, each, uuid, wait_until

VARIANTS = ["current", "r535", "old"]


@pytest.fixture(params=VARIANTS)
def any_driver(request, make_box):
    """A machine with two idle cards and each kind of driver in turn. The old one has no reserved memory: it cannot tell it
    from what is in use."""
    return make_box(cards=2, variant=request.param, reserved=0 if request.param == "old" else 600)


def granted(box, *options):
    """One try: the indices, or nothing."""
    done = box.run("run", "-q", "--timeout", "0", *options, "--", "printenv", "GPU_GATE_INDICES")
    assert done.status in (0, 124), done
    return done.out.strip() or None


def one_line(box, *words, status=4, **options):
    """Runs to a failure that is told in one line (the stand-in may add its own)."""
    done = box.run(*words, **options)
    lines = [line for line in done.lines if line.startswith("gpu-gate: ")]
    assert done.status == status, done
    assert done.out == ("[]\n" if "--json" in words else "") and len(lines) == 1, done
    return lines[0]


# Every driver.

def test_every_driver_tells_memory_and_processes(any_driver):
    box = any_driver
    box.set(0, used=5000)
    box.list_processes(*(f"gpu=0 pid={900000 + i} memory={100 * i} type={'graphics' if i == 4 else 'compute'}"
                         for i in range(1, 5)))
    first, second = box.status()
    reserved = 0 if box.variant == "old" else 600
    assert (first["memory_total_mb"], first["memory_used_mb"], first["memory_free_mb"]) == (46068, 5000, 41068 - reserved)
    assert [(p["pid"], p["memory_mb"], p["type"]) for p in first["processes"]] == [
        (900001, 100, "compute"), (900002, 200, "compute"), (900003, 300, "compute"), (900004, 400, "graphics")]
    assert second["processes"] == []


def test_every_driver_tells_a_real_job_apart_from_an_idle_card(any_driver):
    box = any_driver
    job = box.start_plain(box.sim_job, "--memory", 3000, "--util", 77, "--for", -1, user=ALICE,
                          env={"CUDA_VISIBLE_DEVICES": 0, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    wait_until(lambda: box.status()[0]["processes"], "the job on the card")
    first = box.status()[0]
    assert [(p["pid"], p["user"], p["memory_mb"], p["claimed"]) for p in first["processes"]] == [
        (job.pid, "games", 3000, False)]
    assert first["utilization_pct"] == 77
    assert granted(box) == "1"


def test_many_processes_are_all_listed(any_driver):
    box = any_driver
    box.list_processes(*(f"gpu=1 pid={900000 + i} memory={i} type=compute" for i in range(200)))
    found = box.status()[1]["processes"]
    assert [(p["pid"], p["memory_mb"]) for p in found] == [(900000 + i, i) for i in range(200)]


def test_a_library_that_answers_lists_otherwise_than_nvml_ends_no_waiter(any_driver):
    box = any_driver
    for lists in ("checked", "counted", "filled"):
        box.extra = [f"process_lists {lists}"]
        box.list_processes()
        holder = box.hold("-n", "2")
        waiter = box.wait_in_line("--poll", "0.05")
        box.list_processes(*(f"gpu={card} pid={900001 + i} memory=100 type=compute" for card in (0, 1) for i in range(12)))
        holder.kill()
        waiter.wait_for(r"GPUs? 0[^:]*: in use without gpu-gate by pid 900001")
        assert [len(gpu["processes"]) for gpu in box.status()] == [12, 12], lists
        box.list_processes()
        assert waiter.finish() == 0, lists


def test_a_waiter_is_served_with_every_driver(any_driver):
    box = any_driver
    holder = box.hold("-n", "2")
    waiter = box.wait_in_line("-n", "2", command=("printenv", "GPU_GATE_UUIDS"))
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.out == f"{uuid(0)},{uuid(1)}\n"


def test_the_memory_that_status_tells_adds_up(any_driver):
    box = any_driver
    box.set(0, used=5000, reserved=600)
    box.set(1, used=5000, reserved=600, reserved_in_used=1)
    for gpu in box.status():
        told = gpu["memory_used_mb"], gpu["memory_free_mb"], gpu["memory_reserved_mb"]
        assert told == ((5600, 40468, None) if box.variant == "old" else (5000, 40468, 600))
        assert sum(number or 0 for number in told) == gpu["memory_total_mb"]


def test_what_the_driver_reserves_keeps_no_card_out_whatever_it_says_is_used(box):
    box.set(0, reserved=4000, used=512, reserved_in_used=1)
    assert granted(box) == "0"


# Queries that fail.

def test_a_failing_new_memory_query_falls_back_to_the_first(box):
    for error in (1, 2, 3, 13, 25, 999):
        box.set(0, memory_v2_error=error, reserved=300, used=7000)
        gpu = box.status()[0]
        assert (gpu["health"], gpu["memory_total_mb"], gpu["memory_free_mb"]) == ("ok", 46068, 38768), error
        assert granted(box, "--min-free-mb", "38768") == "0", error
        assert granted(box, "--min-free-mb", "38769") is None, error


def test_an_idle_card_is_free_also_where_reserved_memory_cannot_be_told_apart(make_box):
    for reserved in (100, 500, 700):
        assert granted(make_box(cards=1, variant="old", reserved=reserved)) == "0", reserved
        box = make_box(cards=1, reserved=reserved)
        box.set(0, memory_v2_error=999)
        assert granted(box) == "0", reserved


def test_a_card_whose_handle_fails_costs_no_other_card(make_box):
    box = make_box(cards=3)
    for error in (4, 15, 16, 28, 999):
        box.set(1, handle_error=error)
        found = box.status()
        assert [gpu["index"] for gpu in found] == [0, 1, 2]
        assert [("error" in gpu) for gpu in found] == [False, True, False]
        assert f"(NVML {error})" in found[1]["error"]
        assert granted(box, "-n", "2") == "0,2", error
        assert granted(box, "--only", "2") == "2", error
        assert granted(box, "--exclude", "1", "-n", "2") == "0,2", error


def test_a_lost_card_costs_no_other_card(make_box):
    box = make_box(cards=3)
    box.set(1, lost=1)
    for options, chosen in (((), "0"), (("-n", "2"), "0,2"), (("--only", "0"), "0"), (("--exclude", "1"), "0"),
                            (("--only", uuid(2)), "2"), (("--only", "1"), None)):
        assert granted(box, *options) == chosen, options


def test_a_lost_card_is_listed_with_what_is_known(make_box):
    box = make_box(cards=2)
    box.set(0, lost=1)
    first, second = box.status()
    assert first["health"] == "lost" and "15" in first["error"]
    assert second["health"] == "ok" and "error" not in second
    text = box.run("status").out
    assert "lost" in text and "NVIDIA L40S" in text


def test_all_cards_lost_is_no_failure_of_status(make_box):
    box = make_box(cards=2)
    for card in (0, 1):
        box.set(card, lost=1)
    assert [gpu["health"] for gpu in box.status()] == ["lost", "lost"]


def test_a_card_that_asks_for_a_recovery_is_not_granted(make_box):
    box = make_box(cards=2)
    for action in range(1, 8):
        box.set(0, recovery=action)
        assert granted(box) == "1", action
        assert granted(box, "--only", "0", "--min-free-mb", "0") is None, action
        assert box.status()[0]["health"] == "reset_required", action


def test_a_card_with_failed_memory_is_taken_last_and_said_so(make_box):
    box = make_box(cards=2)
    for key, words in (("remap_pending", "failed memory is replaced at the next reset"),
                       ("retire_pending", "failed memory is retired at the next reset"),
                       ("remap_failed", "failed memory could not be replaced")):
        box.set(0, **{key: 1})
        assert granted(box) == "1", key
        assert granted(box, "-n", "2") == "0,1", key
        assert granted(box, "--only", "0") == "0", key
        first, second = box.status()
        assert (first["repair"], first["health"], second["repair"]) == (key, "ok", None)
        assert words in box.run("status").out
        box.set(0, **{key: 0})
    assert "failed memory" not in box.run("status").out


def meminfo_mib(field):
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    [kib] = [int(line.split()[1]) for line in lines if line.startswith(f"{field}:")]
    return kib // 1024


@pytest.mark.parametrize("keys", [{"memory_error": 3, "memory_v2_error": 3}, {"memory": 0, "reserved": 0},
                                  {"memory": meminfo_mib("MemTotal"), "reserved": 0, "capability": "12.1"}],
                         ids=["not supported", "none", "the system's"])
def test_a_gpu_that_shares_the_systems_memory_is_measured_by_that(box, keys):
    box.set(0, **keys, used=0)
    total = meminfo_mib("MemTotal")
    gpu, = box.status()
    assert gpu["memory_total_mb"] == total
    assert abs(gpu["memory_free_mb"] - meminfo_mib("MemAvailable")) < total / 10
    assert granted(box) == "0"  # whatever the system uses of it
    assert granted(box, "--min-free-mb", str(gpu["memory_free_mb"] // 2)) == "0"
    assert granted(box, "--min-free-mb", str(total)) is None
    assert box.run("run", "--min-free-mb", str(total + 1), "--", "true").status == 3
    box.list_processes(f"gpu=0 pid={os.getpid()} memory=10")
    assert granted(box) is None


def test_memory_that_is_a_numa_node_does_not_make_a_gpu_busy_but_processes_do(box):
    box.set(0, numa_node=1, used=9000)
    assert granted(box) == "0"
    assert granted(box, "--min-free-mb", "40000") is None
    assert "no visible process" not in box.run("status").out
    box.list_processes(f"gpu=0 pid={os.getpid()} memory=9000")
    assert granted(box) is None


def test_a_prohibited_card_is_not_granted_and_an_exclusive_one_is(make_box):
    box = make_box(cards=2)
    box.set(0, mode="prohibited")
    box.set(1, mode="exclusive")
    assert granted(box) == "1"
    assert granted(box, "--only", "0") is None
    assert box.status()[0]["health"] == "prohibited"


def test_a_card_with_mig_on_is_not_granted_and_mig_off_is_as_any(make_box):
    box = make_box(cards=2)
    box.set(1, mig=0)
    for util in (0, 3):
        box.set(0, mig=1, util=util)
        assert granted(box) == granted(box, "--min-free-mb", "0") == "1"
    assert box.run("run", "-n", "2", "--", "true").status == 3
    assert box.status()[0]["health"] == "mig"


def test_a_card_with_mig_on_that_may_not_be_monitored_is_no_card_to_wait_for(make_box):
    box = make_box(cards=2)
    box.set(0, mig=1, memory_error=4, memory_v2_error=4, process_error=4, util_error=3)
    assert granted(box) == "1"
    gpu = box.status()[0]
    assert gpu["health"] == "mig" and "error" not in gpu
    done = box.run("run", "-n", "2", "--", "true")
    assert done.status == 3 and "GPU 0: MIG is on" in done.err


def test_a_card_with_mig_on_whose_utilisation_is_unsupported_is_listed(box):
    box.set(0, mig=1, util_error=3)
    assert box.status()[0]["utilization_pct"] is None


def test_an_unreadable_utilisation_is_unknown(box):
    for error in (3, 15, 999):
        box.set(0, util=80, util_error=error)
        assert box.status()[0]["utilization_pct"] is None, error
        assert box.run("status").out.splitlines()[1].split("MiB")[2].split() == ["-", "-"], error


def test_unreadable_processes_leave_the_memory_to_tell(box):
    for error in (3, 4, 999):
        box.set(0, process_error=error, used=0)
        assert granted(box) == "0", error
        box.set(0, used=9000)
        assert granted(box) is None, error
        assert box.status()[0]["processes"] == []


def test_unknown_memory_of_a_process_is_null(box):
    box.set(0, process_memory="unknown", used=4000)
    box.list_processes("gpu=0 pid=900001 memory=4000 type=compute")
    assert box.status()[0]["processes"][0]["memory_mb"] is None
    text = box.run("status").out
    assert "pid 900001" in text and "184467" not in text and "-1 MiB" not in text
    assert granted(box) is None


def test_a_card_that_shares_the_systems_memory_is_measured_by_that(box):
    box.set(0, memory_error=3, memory_v2_error=3)
    with open("/proc/meminfo") as file:
        total = int(next(line for line in file if line.startswith("MemTotal")).split()[1]) // 1024
    gpu = box.status()[0]
    assert gpu["memory_total_mb"] == total
    assert 0 < gpu["memory_free_mb"] <= total
    assert gpu["memory_used_mb"] == total - gpu["memory_free_mb"]
    assert granted(box) == "0"
    assert granted(box, "--min-free-mb", "1") == "0"
    assert box.run("run", "--min-free-mb", str(total + 1), "--", "true").status == 3
    box.list_processes("gpu=0 pid=900001 memory=unknown type=compute")
    assert granted(box) is None


def test_a_card_whose_memory_cannot_be_read_is_listed_and_not_granted(make_box):
    box = make_box(cards=2)
    for error in (15, 16, 999):
        box.set(0, memory_error=error, memory_v2_error=error)
        assert f"(NVML {error})" in box.status()[0]["error"]
        assert granted(box) == "1", error
        assert granted(box, "--only", "0") is None, error


# All that the driver need not answer.
OPTIONAL = ["MemoryInfo_v2", "UtilizationRates", "MinorNumber", "ComputeMode", "MigMode", "FieldValues", "PciInfo_v3", "Name",
            "ComputeRunningProcesses_v3", "MPSComputeRunningProcesses_v3", "GraphicsRunningProcesses_v3"]


def test_a_function_that_fails_costs_no_card_that_can_be_told_free_without_it(make_box):
    def check(name, error):
        box = make_box(cards=2)
        box.extra = [f"fails nvmlDeviceGet{name} {error}"]
        box.write()
        assert granted(box, "-n", "2") == "0,1"
        assert all(gpu["health"] == "ok" for gpu in box.status())

    each([(name, error) for name in OPTIONAL for error in (2, 3, 13, 999)], check)


def test_a_library_with_old_layouts_is_read_all_the_same(any_driver):
    box = any_driver
    box.extra = ["layouts old"]
    box.list_processes("gpu=0 pid=900001 memory=300 type=compute")
    gpu = box.status()[0]
    assert gpu["pci_bus_id"] == "0000:10:00.0"
    assert [(p["pid"], p["memory_mb"]) for p in gpu["processes"]] == [(900001, 300)]
    assert granted(box) == granted(box, "--only", "0000:11:00.0") == "1"


# A card that goes and comes back.

def test_a_card_that_is_lost_while_others_wait_comes_back_to_the_first_in_line(box):
    holder = box.hold()
    first = box.wait_in_line("--poll", "0.05", command=("sh", "-c", "echo first; exec sleep 1000"))
    second = box.wait_in_line("--poll", "0.05", command=("echo", "second"))
    box.set(0, lost=1)
    holder.kill()
    first.wait_for(r"GPU 0: .*lost")
    assert first.alive() and second.alive()
    assert first.out == second.out == ""
    box.set(0, lost=None)
    first.wait_for("first", stdout=True)
    assert second.alive()
    first.kill()
    assert second.finish() == 0


def test_a_card_whose_handle_fails_while_others_wait_comes_back(box):
    holder = box.hold()
    waiter = box.wait_in_line("--poll", "0.05")
    box.set(0, lost=1, handle_error=999)
    holder.kill()
    waiter.wait_for(r"GPU 0: .*999")
    box.set(0, lost=None, handle_error=None)
    assert waiter.finish() == 0


def test_a_card_that_was_lost_still_belongs_to_its_job(box):
    box.hold()
    box.set(0, lost=1)
    assert granted(box) is None
    box.set(0, lost=None)
    assert box.status()[0]["claim"]["user"] == "root"
    assert granted(box) is None


def test_a_card_that_vanishes_and_returns_is_granted_to_who_waits(make_box):
    box = make_box(cards=2)
    holder = box.hold("-n", "2")
    waiter = box.wait_in_line("--poll", "0.05", "-n", "2", command=("printenv", "GPU_GATE_INDICES"))
    box.set(1, lost=1)
    waiter.wait_for(r"GPU 1: .*lost")
    gone = box.cards.pop()
    box.write()
    box.wait_for_looks(4)  # the driver has been opened anew without the card
    holder.kill()
    waiter.wait_for(r"GPU 0: free")
    box.cards.append(gone)
    box.set(1, lost=None)
    assert waiter.finish() == 0  # it polls, and an event there is none
    assert waiter.out == "0,1\n"


# No driver at all.

def test_a_driver_that_does_not_answer_is_4_with_one_line_that_helps(box):
    for error, helps in ((9, "modprobe nvidia"), (18, "reboot"), (17, "/dev/nvidiactl"), (4, "/dev/nvidiactl"),
                         (999, "nvidia-smi")):
        box.extra = [f"init_error {error}"]
        box.write()
        for words in (("run", "--", "true"), ("wait",), ("status",), ("status", "--json")):
            line = one_line(box, *words)
            assert helps in line and f"NVML {error}" in line


def test_without_a_machine_there_is_no_driver(box):
    assert "NVML 9" in one_line(box, "run", "--", "true", env={"GPU_SIM_MACHINE": None})


def test_no_library_is_4_and_names_it(box):
    for library in ("/nonexistent/libnvidia-ml.so.1", None, "", "libnvidia-ml-no-such.so"):
        line = one_line(box, "run", "--", "true", env={"GPU_GATE_NVML": library})
        assert (library or "libnvidia-ml.so.1") in line
        assert "install the NVIDIA driver" in line


def test_a_file_that_is_not_a_library_is_4(box):
    file = box.folder / "libnvidia-ml.so.1"
    for content in (b"", b"not a library\n", b"\x7fELF", bytes(4096)):
        file.write_bytes(content)
        assert str(file) in one_line(box, "status", env={"GPU_GATE_NVML": file}), content[:20]


def test_a_directory_in_place_of_the_library_is_4(box):
    assert str(box.folder) in one_line(box, "status", env={"GPU_GATE_NVML": box.folder})


def build(box, source):
    """A driver's library of one's own."""
    return compile_library(box.folder, source, "libnvidia-ml.so.1")


LEAST = """
typedef void* device;
static int count = 1;
int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }
int nvmlDeviceGetCount_v2(unsigned* n) { *n = COUNT; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned i, device* d) { *d = &count; return 0; }
int nvmlDeviceGetUUID(device d, char* text, unsigned size) { __builtin_strcpy(text, UUID); return 0; }
int nvmlDeviceGetName(device d, char* text, unsigned size) { __builtin_strcpy(text, "Least"); return 0; }
int nvmlDeviceGetMemoryInfo(device d, unsigned long long* m) { m[0] = 8ULL << 30; m[1] = 8ULL << 30; m[2] = 0; return 0; }
#ifndef NO_PCI
int nvmlDeviceGetPciInfo_v3(device d, void* p) { __builtin_memset(p, 0, 68); return 0; }
#endif
"""
USUAL = f'#define COUNT 1\n#define UUID "{uuid(0)}"\n'


def test_a_library_without_the_symbols_is_4_and_names_the_first(box):
    library = build(box, "int nothing;\n")
    line = one_line(box, "run", "--", "true", env={"GPU_GATE_NVML": library})
    assert str(library) in line and "nvmlInit_v2" in line


def test_a_library_that_lacks_one_symbol_is_4_and_names_it(box):
    library = build(box, "#define NO_PCI\n" + USUAL + LEAST)
    assert "nvmlDeviceGetPciInfo" in one_line(box, "run", "--", "true", env={"GPU_GATE_NVML": library})


def test_a_library_with_nothing_but_the_required_symbols_is_enough(box):
    env = {"GPU_GATE_NVML": build(box, USUAL + LEAST)}
    gpu = box.status(env=env)[0]
    assert (gpu["name"], gpu["memory_free_mb"], gpu["utilization_pct"], gpu["processes"]) == ("Least", 8192, None, [])
    assert box.run("run", "--timeout", "0", "--", "true", env=env).status == 0


def test_whole_gpus_are_listed_also_where_the_job_is_to_see_the_parts_of_an_mps_server(box):
    source = USUAL + LEAST.replace("nvmlInit_v2(void) { return 0; }", """nvmlInit_v2(void)
        { extern char* getenv(const char*); return getenv("NVML_MPS_DEVICE_ENUMERATION") ? 999 : 0; }""")
    for value in ("1", "0", ""):
        env = {"GPU_GATE_NVML": build(box, source), "NVML_MPS_DEVICE_ENUMERATION": value}
        assert box.run("status", env=env).status == 0
        job = box.start("run", "--", "sh", "-c", "env | grep ^NVML_MPS; exec sleep 1000", env=env)
        job.wait_for(f"^NVML_MPS_DEVICE_ENUMERATION={value}$", stdout=True)
        waiter = box.wait_in_line("--poll", "0.05", env=env, command=("printenv", "NVML_MPS_DEVICE_ENUMERATION"))
        job.kill()
        assert waiter.finish() == 0
        assert waiter.out == value + "\n"


def test_a_library_that_tells_of_a_million_cards_is_4(box):
    library = build(box, f'#define COUNT 1000000\n#define UUID "{uuid(0)}"\n' + LEAST)
    assert "1000000" in one_line(box, "status", env={"GPU_GATE_NVML": library})


def test_a_card_whose_uuid_is_no_uuid_is_not_granted_and_names_no_file(box):
    for name in ("../../escape", "a/b", ""):
        library = build(box, f'#define COUNT 1\n#define UUID "{name}"\n' + LEAST)
        done = box.run("run", "--timeout", "0", "--", "true", env={"GPU_GATE_NVML": library})
        assert done.status in (3, 124), (name, done)
        assert set(os.listdir(box.folder)) <= {"machine.txt", "libnvidia-ml.so.1.c", "libnvidia-ml.so.1", "lock"}, name


def test_a_broken_machine_is_4_with_one_line(box):
    for content in ("gpu memory=lots\n", "\x00\xff" * 100, "nonsense\n", "gpu " * 1000):
        box.machine.write_text(content)
        assert "NVML 999" in one_line(box, "run", "--", "true"), content[:20]


def test_status_shows_claims_and_line_where_the_cards_cannot_be_read_and_ends_with_4(make_box):
    box = make_box(cards=3)
    pair, single = box.hold("-n", "2"), box.hold()
    box.wait_in_line("-n", "2", command=("echo", "waits"))
    box.extra = ["driver_error 18"]
    box.write()
    done = box.run("status")
    assert done.status == 4 and "NVML 18" in done.err and len(done.lines) == 1, done
    rows = [line.split() for line in done.out.splitlines()]
    assert [row[:5] for row in rows[1:4]] == [["?", uuid(i), "-", "-", "-"] for i in range(3)]
    for row, job in zip(rows[1:4], (pair, pair, single)):
        assert row[5] == "root:" and f"{job.pid}," in row, done
    assert rows[4] == ["waiting:", "1"] and rows[5][:4] == ["1", "root", "2", "GPUs"] and "echo" in rows[5]
    assert len(rows) == 6

    done = box.run("status", "--json")
    assert done.status == 4
    gpus = json.loads(done.out)
    assert [(gpu["index"], gpu["uuid"], gpu["health"], gpu["claim"]["pid"]) for gpu in gpus] == [
        (None, uuid(i), "unreadable", job.pid) for i, job in enumerate((pair, pair, single))]
    assert gpus[0]["claim"]["devices"] == [uuid(0), uuid(1)]
    assert all("NVML 18" in gpu["error"] for gpu in gpus)


def test_status_without_a_driver_and_without_claims_shows_who_waits(box):
    holder = box.hold()
    box.wait_in_line("--only", "0", "--poll", "1000")
    box.extra = ["driver_error 9"]
    box.write()
    holder.kill()
    wait_until(lambda: "?" not in box.run("status").out, "the claim has ended")
    done = box.run("status")
    assert done.status == 4 and done.out.splitlines()[0].strip() == "waiting: 1", done


# A driver that goes away while jobs wait.

def driver_goes(box, error):
    """From here on no call is answered, in no session."""
    box.extra.append(f"driver_error {error}")
    box.write()


def driver_returns(box):
    box.extra = [line for line in box.extra if not line.startswith("driver_error")]
    box.write()


AWAY = r"the GPUs cannot be read; keeping the place and trying again: "
BACK = r"the GPUs can be read again"


def test_a_driver_that_goes_away_costs_nobody_in_line_the_place_or_the_turn(box):
    order = Order(box)
    holder = box.hold()
    waiters = [box.wait_in_line("--poll", "0.05", command=order.signs_and_stays(name)) for name in "abcd"]
    driver_goes(box, 18)
    waiters[0].wait_for(AWAY + r".*\(NVML 18\).*reboot")
    for at, waiter in enumerate(waiters[1:], 1):
        box.ring(at)
        waiter.wait_for(AWAY)
    assert "NVML 18" in one_line(box, "run", "--", "true")  # who comes now
    holder.kill()
    driver_returns(box)
    for at, waiter in enumerate(waiters):
        wait_until(lambda: order.names() == list("abcd"[: at + 1]), "it is the next one's turn")
        waiter.wait_for(BACK)
        assert len([line for line in waiter.lines if "cannot be read" in line]) == 1, waiter
        waiter.kill()


def test_a_leader_that_leaves_while_the_driver_is_away_is_followed_by_the_next(box):
    order = Order(box)
    box.hold()
    first, second, third = [box.wait_in_line("--poll", "0.05", command=order.signs(name)) for name in "abc"]
    driver_goes(box, 9)
    first.wait_for(AWAY)
    first.kill()
    second.wait_for(AWAY)
    second.signal(signal.SIGTERM)
    assert second.finish() == -signal.SIGTERM
    third.wait_for(AWAY)
    box.processes[0].kill()
    driver_returns(box)
    assert third.finish() == 0
    assert order.names() == ["c"]


def test_a_wait_without_a_driver_ends_by_its_own_time_out_or_a_signal(make_box):
    def check(*words):
        box = make_box(cards=1)
        holder = box.hold()
        for timeout, number, status in ((None, signal.SIGTERM, -signal.SIGTERM), ("1", None, 124)):
            more = ["--timeout", timeout] if timeout else []
            waiter = box.start(words[0], "--poll", "0.05", *more, *words[1:])
            waiter.wait_for("in line")
            driver_goes(box, 999)
            waiter.wait_for(AWAY)
            if number:
                waiter.signal(number)
            assert waiter.finish() == status
            assert waiter.out == ""
            driver_returns(box)
        assert holder.alive()

    each([("run", "--", "true"), ("wait",), ("hold", "--for", "1"), ("hold", "--pid", str(os.getpid()))], check, 2)


def test_wait_and_hold_go_on_when_the_driver_is_back(make_box):
    def check(*words):
        box = make_box(cards=1)
        holder = box.hold()
        waiter = box.start(*words, "--poll", "0.05")
        waiter.wait_for("in line")
        driver_goes(box, 18)
        waiter.wait_for(AWAY)
        holder.kill()
        driver_returns(box)
        assert waiter.finish() == 0
        waiter.wait_for(BACK)
        assert waiter.out == "0\n"

    each([("wait",), ("hold", "--for", "0.1")], check, 2)


def test_a_quiet_waiter_goes_on_too_and_says_nothing(box):
    holder = box.hold()
    waiter = box.start("run", "-q", "--poll", "0.05", "--", "true")
    wait_until(lambda: box.waiting() == 1, "it stands in line")
    driver_goes(box, 18)
    box.log_calls()
    wait_until(lambda: sum(call.endswith(" nvmlInit_v2") for call in box.calls()) > 3, "it tries again")
    holder.kill()
    driver_returns(box)
    assert waiter.finish() == 0
    assert waiter.err == ""


def test_a_library_that_vanishes_and_is_replaced_while_jobs_wait_is_loaded_anew(box):
    library = box.folder / "libnvidia-ml.so.1"
    shutil.copy(harness.BIN / "current" / "libnvidia-ml.so.1", library)
    env = {"GPU_GATE_NVML": library}
    box.set(0, used=40000)  # as the library tells that is there at first
    first = box.wait_in_line("--poll", "0.05", env=env)
    second = box.wait_in_line("--poll", "0.05", env=env)
    library.unlink()
    driver_goes(box, 18)
    first.wait_for(AWAY + r".*\(NVML 18\)|" + AWAY + ".*cannot load")
    box.ring(1)
    second.wait_for(AWAY + ".*cannot load the NVIDIA driver's library")
    wait_until(lambda: str(library) not in pathlib.Path(f"/proc/{first.pid}/maps").read_text(), "the old one is unloaded")
    other = compile_library(box.folder, USUAL + LEAST, "new.so")  # it knows of nothing in use
    other.rename(library)
    assert first.finish() == second.finish() == 0
    for waiter in (first, second):
        waiter.wait_for(BACK)


def test_a_lock_directory_replaced_while_the_driver_is_away_is_stood_in_anew(box):
    box.hold()
    waiter = box.wait_in_line("--poll", "0.05")
    driver_goes(box, 18)
    waiter.wait_for(AWAY)
    box.lock.rename(box.folder / "away")
    wait_until(lambda: box.lock.exists() and box.bells(), "it stands in the new one")
    driver_returns(box)
    assert waiter.finish() == 0


# What each look costs the driver.

def test_refused_invocations_and_typos_never_ask_the_driver(box):
    box.log_calls()
    box.run("run", "-n", "0", "--", "true")
    box.run("run", "--", "no-such-command")
    box.run("--version")
    assert not box.calls()


def test_only_the_first_in_line_asks_the_driver(box):
    box.hold()
    box.wait_in_line("--poll", "0.05")
    others = [box.wait_in_line("--poll", "0.05") for _ in range(4)]
    box.wait_for_looks(5)
    asked = {int(line.split()[0]) for line in box.calls()}
    assert not asked & {process.pid for process in others}


def test_a_driver_that_answers_slowly_delays_but_breaks_nothing(box):
    box.extra = ["delay_ms 20"]
    box.write()
    holder = box.hold()
    waiter = box.wait_in_line()
    holder.signal(signal.SIGKILL)
    assert waiter.finish() == 0


def test_a_process_that_stays_listed_after_its_end_does_not_keep_the_first_in_line_busy(box):
    """The driver may list a process a while longer; its pidfd is ready all that time."""
    outsider = box.start_plain("sleep", "1000")
    box.log_calls()
    box.list_processes(f"gpu=0 pid={outsider.pid} memory=300 type=compute")
    waiter = box.wait_in_line("--poll", "1000")
    before = box.looks(waiter.pid)
    outsider.kill()
    wait_until(lambda: box.looks(waiter.pid) > before + 5, "the end is noticed")
    before, began = box.looks(waiter.pid), time.monotonic()
    time.sleep(1)  # a rate is measured
    assert (box.looks(waiter.pid) - before) / (time.monotonic() - began) < 40
    box.list_processes()
    assert waiter.finish() == 0


def has_driver_open(box, process):
    """Its library is loaded, which has the device nodes open."""
    return "libnvidia-ml" in pathlib.Path(f"/proc/{process.pid}/maps").read_text()


def called(box, process, function):
    """How often it has made this call, as far as calls are written down."""
    return box.calls().count(f"{process.pid} {function}")


def test_who_waits_lets_go_of_the_driver_between_looks_so_that_it_can_be_reset(box):
    holder = box.hold()
    box.log_calls()
    waiters = [box.wait_in_line("--poll", "1000"), box.wait_in_line("--poll", "1000")]
    for waiter in waiters:
        wait_until(lambda: not has_driver_open(box, waiter), "the driver is closed")
        assert called(box, waiter, "nvmlShutdown") == called(box, waiter, "nvmlInit_v2") == 1
    box.ring()
    wait_until(lambda: called(box, waiters[0], "nvmlShutdown") == 2, "it has looked once more")
    holder.kill()
    for waiter in waiters:
        assert waiter.finish() == 0


def test_who_looks_more_often_than_once_a_second_keeps_the_driver_open(box):
    box.hold()
    box.log_calls()
    waiter = box.wait_in_line("--poll", "0.5")
    box.wait_for_looks(5)
    assert called(box, waiter, "nvmlInit_v2") == 1 and called(box, waiter, "nvmlShutdown") == 0


def test_without_persistence_mode_the_first_in_line_keeps_the_driver_open_and_status_says_so(box):
    box.set(0, persistence=0)
    holder = box.hold()
    box.log_calls()
    assert "persistence" not in box.run("status").out
    first, second = box.wait_in_line("--poll", "1000"), box.wait_in_line("--poll", "1000")
    wait_until(lambda: called(box, first, "nvmlDeviceGetPersistenceMode"), "it asks whether the card stays awake")
    box.ring()
    wait_until(lambda: called(box, first, "nvmlDeviceGetPersistenceMode") == 2, "it asks again after the next look")
    assert has_driver_open(box, first) and called(box, first, "nvmlInit_v2") == 1
    assert not has_driver_open(box, second)
    assert [line for line in box.run("status").out.splitlines() if "persistence mode is off" in line and "-pm 1" in line]
    box.set(0, persistence=1)
    assert "persistence" not in box.run("status").out
    box.ring()
    wait_until(lambda: not has_driver_open(box, first), "the driver is closed")
    holder.kill()
    assert first.finish() == second.finish() == 0
