"""Which cards are eligible, which are taken first, and what can never be."""

import itertools
import json
import pathlib
import re
import subprocess

import pytest

from fixtures import needs_mounts
from harness import ALICE, NEVER, each, uuid

NOT_NOW = 124  # of --timeout 0
IMPOSSIBLE = 3
SOURCE = pathlib.Path(__file__).parents[2]


def choose(box, *options, env=None):
    """One try: the cards' indices as a string, or the exit status."""
    done = box.run("run", "-q", "--timeout", "0", *options, "--", "printenv", "GPU_GATE_INDICES", env=env)
    return done.out.strip() if done.status == 0 else done.status


# Free: nobody else is on the card.

def test_up_to_512_mib_in_use_count_as_nobodys_whatever_the_driver_reserves(box):
    def check(reserved, used, chosen):
        box.set(0, reserved=reserved, used=used)
        assert choose(box) == chosen

    used = [(0, "0"), (1, "0"), (511, "0"), (512, "0"), (513, NOT_NOW), (9000, NOT_NOW)]
    each([(reserved, *case) for reserved in (0, 600, 4000) for case in used], check)


def test_memory_of_graphics_processes_does_not_count_and_the_rest_does(box):
    box.list_processes("gpu=0 pid=900001 memory=1000 type=graphics", "gpu=0 pid=900002 memory=900 type=graphics")
    for others, chosen in ((0, "0"), (512, "0"), (513, NOT_NOW)):
        box.set(0, used=1900 + others)
        assert choose(box) == chosen, others


def test_a_desktop_is_nobody_and_a_renderer_is_somebody(box):
    for memory, chosen in ((1048, "0"), (1049, NOT_NOW), (19000, NOT_NOW)):
        box.list_processes("gpu=0 pid=900001 memory=1000 type=graphics", f"gpu=0 pid=900002 memory={memory} type=graphics")
        assert choose(box) == chosen, memory
        assert choose(box, "--min-free-mb", "20000") == "0", memory
    waiter = box.wait_in_line("--poll", "0.05")
    waiter.wait_for(r"GPU 0: in use without gpu-gate by pid 900001, 1000 MiB; pid 900002, 19000 MiB")
    box.list_processes("gpu=0 pid=900001 memory=1000 type=graphics")
    assert waiter.finish() == 0


def mps_server(box):
    """The entry of the process list of one that runs, and has no client."""
    server = box.start_plain("nvidia-cuda-mps-server", "1000", executable="/bin/sleep")
    return f"gpu=0 pid={server.pid} memory=28 type=compute"


def test_an_idle_mps_server_is_nobody_and_its_clients_are_somebody(make_box):
    for variant in ("current", "r535", "old"):
        box = make_box(cards=1, variant=variant)
        server = mps_server(box)
        box.list_processes(server)
        assert choose(box) == "0", variant
        assert "(MPS server)" in box.run("status").out
        box.list_processes(server, "gpu=0 pid=900001 memory=0 type=mps")
        assert choose(box) == NOT_NOW, variant
        waiter = box.wait_in_line("--poll", "0.05")
        waiter.wait_for(r"GPU 0: in use without gpu-gate by pid 900001, 0 MiB$")
        box.list_processes(server)
        assert waiter.finish() == 0


def test_any_compute_process_of_others_keeps_a_card_out(box):
    for memory in ("0", "1", "300", "unknown"):
        box.list_processes(f"gpu=0 pid=900001 memory={memory} type=compute")
        assert choose(box) == NOT_NOW, memory


def test_a_process_that_draws_and_computes_counts_as_computing(box):
    box.list_processes("gpu=0 pid=900001 memory=100 type=graphics", "gpu=0 pid=900001 memory=100 type=compute")
    assert choose(box) == NOT_NOW


def test_a_graphics_process_of_unknown_memory_keeps_no_card_out_by_itself(box):
    box.list_processes("gpu=0 pid=900001 memory=unknown type=graphics")
    assert choose(box) == "0"


def test_a_busy_card_without_a_process_or_memory_is_free(box):
    box.set(0, util=97)
    assert choose(box) == "0"


def test_full_and_busy_cards_of_others_are_never_granted_by_default(make_box):
    box = make_box(cards=2)
    for card in (0, 1):
        box.set(card, used=45000, util=100)
    assert choose(box) == NOT_NOW


# --min-free-mb and --max-util are exactly those tests.

def test_min_free_mb_is_exact(make_box):
    box = make_box(memory=10000, reserved=600)
    box.set(0, used=2000)
    for wanted, chosen in ((0, "0"), (7399, "0"), (7400, "0"), (7401, NOT_NOW), (9400, NOT_NOW), (9401, IMPOSSIBLE),
                           (99999999, IMPOSSIBLE), (10 ** 30, IMPOSSIBLE)):
        assert choose(box, "--min-free-mb", wanted) == chosen, wanted


def test_max_util_is_exact(box):
    box.set(0, util=40, used=20000)
    for most, chosen in ((0, NOT_NOW), (39, NOT_NOW), (40, "0"), (41, "0"), (100, "0")):
        assert choose(box, "--max-util", most) == chosen, most


def test_both_together_are_both_tests(box):
    box.set(0, util=40, used=19400)
    for free, most, chosen in ((26068, 40, "0"), (26069, 100, NOT_NOW), (0, 39, NOT_NOW)):
        assert choose(box, "--min-free-mb", free, "--max-util", most) == chosen, (free, most)


def test_with_either_test_the_processes_of_others_do_not_matter(box):
    box.list_processes("gpu=0 pid=900001 memory=3000 type=compute")
    for option in (("--min-free-mb", "1000"), ("--max-util", "50"), ("--min-free-mb", "0")):
        assert choose(box, *option) == "0", option


def test_an_exclusive_card_with_a_compute_process_is_not_usable_whatever_the_options(box):
    box.set(0, mode="exclusive")
    server = mps_server(box)
    anything = ((), ("--min-free-mb", "0"), ("--min-free-mb", "1000"), ("--max-util", "100"))
    for listed, chosen in (([], "0"), (["gpu=0 pid=900001 memory=100 type=graphics"], "0"), ([server], "0"),
                           (["gpu=0 pid=900001 memory=100 type=compute"], NOT_NOW)):
        box.list_processes(*listed)
        for options in anything:
            assert choose(box, *options) == chosen, (listed, options)


def test_the_end_of_the_process_on_an_exclusive_card_lets_the_next_one_on_it(box):
    box.set(0, mode="exclusive")
    outsider = box.outsider()
    waiter = box.wait_in_line("--min-free-mb", "1000", *NEVER)
    waiter.wait_for(r"GPU 0: in use without gpu-gate by root: .*; compute mode EXCLUSIVE_PROCESS admits no second process$")
    outsider.kill()
    assert waiter.finish() == 0


def test_min_free_mb_0_means_any_unclaimed_card(box):
    box.set(0, used=45468, util=100)
    box.list_processes("gpu=0 pid=900001 memory=300 type=compute")
    assert choose(box, "--min-free-mb", "0") == "0"
    box.hold("--min-free-mb", "0")
    assert choose(box, "--min-free-mb", "0") == NOT_NOW


def test_an_unknown_utilisation_keeps_no_card_out(box):
    box.set(0, util=90, util_error=3)
    for options in (("--max-util", "0"), ("--max-util", "0", "--min-free-mb", "1"), ()):
        assert choose(box, *options) == "0", options


# Ranking.

def ranked(box):
    """All cards in the order in which they are taken, each job keeping its card."""
    return [int(box.hold().held) for _ in box.cards]


def test_most_free_memory_comes_first(make_box):
    for used in itertools.permutations([0, 100, 200]):
        box = make_box(cards=3)
        for card, mib in enumerate(used):
            box.set(card, used=mib)
        assert ranked(box) == sorted(range(3), key=lambda card: used[card]), used


def test_then_the_lowest_utilisation(make_box):
    box = make_box(cards=3)
    for card, percent in enumerate([30, 10, 20]):
        box.set(card, util=percent)
    assert ranked(box) == [1, 2, 0]


def test_free_memory_counts_before_utilisation(make_box):
    box = make_box(cards=2)
    box.set(0, used=100, util=0)
    box.set(1, used=0, util=99)
    assert ranked(box) == [1, 0]


def test_then_the_lowest_index(make_box):
    assert ranked(make_box(cards=4)) == [0, 1, 2, 3]


def test_an_unknown_utilisation_is_never_taken_for_0(make_box):
    box = make_box(cards=2)
    box.set(0, util_error=3)
    assert ranked(box) == [1, 0]


def test_the_larger_card_has_more_free_memory(make_box):
    box = make_box(cards=3)
    box.set(2, memory=81559)
    assert ranked(box) == [2, 0, 1]


def test_the_best_n_are_exported_in_ascending_index(make_box):
    box = make_box(cards=4)
    for card, mib in enumerate([50, 300, 0, 100]):
        box.set(card, used=mib)
    assert choose(box, "-n", "2") == "0,2"
    assert choose(box, "-n", "3") == "0,2,3"


def test_the_same_machine_gives_the_same_choice(make_box):
    box = make_box(cards=4)
    box.set(1, used=10)
    assert {choose(box, "-n", "2") for _ in range(5)} == {"0,2"}


# Order.

def test_the_index_is_the_position_in_pci_order_whatever_nvmls_is(make_box):
    box = make_box(cards=4)
    for card, address in enumerate(["0001:01:00.0", "0000:c1:00.0", "0000:41:00.0", "0000:05:00.0"]):
        box.set(card, pci=address)
    box.set(2, used=0)
    for card in (0, 1, 3):
        box.set(card, used=400)
    done = box.run("run", "--", "printenv", "GPU_GATE_INDICES", "GPU_GATE_UUIDS", "CUDA_VISIBLE_DEVICES")
    assert done.out.split() == ["1", uuid(2), "1"]
    assert [gpu["uuid"] for gpu in box.status()] == [uuid(3), uuid(2), uuid(1), uuid(0)]
    assert [gpu["index"] for gpu in box.status()] == [0, 1, 2, 3]


def test_buses_and_devices_are_hexadecimal_numbers_not_words(make_box):
    box = make_box(cards=3)
    for card, address in enumerate(["0000:80:00.0", "0000:1f:01.0", "0000:1f:00.0"]):
        box.set(card, pci=address)
    assert [gpu["uuid"] for gpu in box.status()] == [uuid(2), uuid(1), uuid(0)]


def test_only_and_exclude_use_the_same_index(make_box):
    box = make_box(cards=2)
    box.set(0, pci="0000:c1:00.0")
    box.set(1, pci="0000:05:00.0")
    done = box.run("run", "--only", "0", "--", "printenv", "GPU_GATE_UUIDS")
    assert done.out.strip() == uuid(1)
    done = box.run("run", "--exclude", "0", "--", "printenv", "GPU_GATE_UUIDS")
    assert done.out.strip() == uuid(0)


# Allowed.

def test_only_and_exclude_limit_the_choice(make_box):
    box = make_box(cards=4)
    for options, chosen in (
        (("--only", "2"), "2"),
        (("--only", "1-3", "--exclude", "1,3"), "2"),
        (("--exclude", "0"), "1"),
        (("--exclude", "GPU-00000000,0000:11:00.0"), "2"),
        (("--only", "0000:13:00.0"), "3"),
        (("--only", "1,2", "-n", "2"), "1,2"),
    ):
        assert choose(box, *options) == chosen, options


def test_a_better_card_outside_only_is_not_taken(make_box):
    box = make_box(cards=2)
    box.set(1, used=500)
    assert choose(box, "--only", "1") == "1"


def where_these_are_the_devices(box, **modes):
    """Words before a program that let an ordinary user run it where /dev has these files and null."""
    devices = box.folder / "dev"
    devices.mkdir()
    for name, mode in {"null": 0o666, **modes}.items():
        (devices / name).write_text("")
        (devices / name).chmod(mode)
    script = f'mount --bind {devices} /dev && exec setpriv --reuid {ALICE.uid} --regid {ALICE.gid} --clear-groups "$@"'
    return ["unshare", "-m", "sh", "-c", script, "name"]


@pytest.fixture
def gate(make_box):
    """gpu-gate as ALICE calls it, on a machine with three cards of which the first is closed to her."""
    box = make_box(cards=3)
    for card in range(3):
        box.set(card, minor=card)
    words = where_these_are_the_devices(box, nvidiactl=0o666, nvidia0=0o600, nvidia1=0o666, nvidia2=0o666)
    return lambda *more, **env: box.run_plain(*words, box.gate, *more, env=env)


@needs_mounts
def test_a_card_whose_device_node_may_not_be_opened_is_never_chosen(gate):
    done = gate("run", "--timeout", "0", "--", "printenv", "GPU_GATE_INDICES")
    assert done.out == "1\n", done.err
    done = gate("run", "--timeout", "0", "-n", "3", "--", "true")
    assert done.status == IMPOSSIBLE
    assert "GPU 0: this user may not open its device node" in done.err


@needs_mounts
def test_a_simulated_card_is_not_judged_by_the_devices_of_the_machine_that_simulates_it(make_box):
    box = make_box(cards=4)
    words = where_these_are_the_devices(box, nvidiactl=0o666, nvidia0=0o600)
    done = box.run_plain(*words, box.gate, "run", "-n", "4", "--", "printenv", "GPU_GATE_INDICES")
    assert done.out == "0,1,2,3\n", done.err
    for machine in sorted((SOURCE / "sim" / "machines").glob("*.txt")):
        if "\ngpu " not in machine.read_text():
            continue  # AMD's are files of its own /dev
        box.machine.write_text(machine.read_text())
        done = box.run_plain(*words, box.gate, "run", "-n", "999", "--", "true")
        assert done.status == IMPOSSIBLE and re.search(r"GPUs? 0.*: could be used", done.err), done
        assert "device node" not in done.err, machine


@needs_mounts
def test_where_a_card_is_closed_to_the_user_the_others_are_named_by_uuid(gate):
    for words in (("run", "--", "printenv", "CUDA_VISIBLE_DEVICES"), ("wait",), ("hold", "--for", "0.01"),
                  ("wait", "--ids", "uuid")):
        assert gate(*words).out == uuid(1) + "\n", words
    assert json.loads(gate("wait", "--json", "-n", "2").out) == {
        "indices": [1, 2], "uuids": [uuid(1), uuid(2)], "cuda_visible_devices": f"{uuid(1)},{uuid(2)}"}
    assert gate("run", "--", "printenv", "GPU_GATE_INDICES").out == "1\n"


@needs_mounts
def test_an_inherited_number_counts_the_cards_that_the_user_can_open(gate):
    for value, chosen in (("0", 1), ("1", 2), ("1,0", 1), (uuid(2), 2)):
        assert gate("wait", CUDA_VISIBLE_DEVICES=value).out == uuid(chosen) + "\n", value
    for value in ("2", uuid(0)):
        assert gate("wait", CUDA_VISIBLE_DEVICES=value).status == IMPOSSIBLE, value


@needs_mounts
def test_status_shows_a_card_as_closed_to_one_who_may_not_open_it(gate):
    first, second, third = (line.split("%  ")[1] for line in gate("status").out.splitlines()[1:])
    assert (first, second, third) == ("closed to you", "-", "-")
    assert [gpu["accessible"] for gpu in json.loads(gate("status", "--json").out)] == [False, True, True]


MISSING = [{"lost": 1}, {"mig": 1}, {"handle_error": 4}, {"handle_error": 15}]  # for CUDA


def test_where_cuda_counts_fewer_cards_the_others_are_named_by_uuid(make_box):
    def check(trouble):
        box = make_box(cards=3)
        assert box.run("wait").out == "0\n"
        box.set(0, **trouble)
        for words in (("run", "--", "printenv", "CUDA_VISIBLE_DEVICES"), ("wait",), ("hold", "--for", "0.01")):
            assert box.run(*words).out == uuid(1) + "\n", words
        job = box.run("run", "--only", "2", "--", box.sim_job, "--for", "0")
        assert uuid(2) in job.out, job
        assert box.run("run", "--", "printenv", "GPU_GATE_INDICES").out == "1\n"
        # The driver may still be freeing what the job had.
        assert box.run("wait", "--poll", "0.05", env={"CUDA_VISIBLE_DEVICES": "1"}).out == uuid(2) + "\n"
        assert choose(box, env={"CUDA_VISIBLE_DEVICES": "2"}) == IMPOSSIBLE

    each(MISSING, check)


def test_a_job_hands_out_its_cards_also_when_another_is_missing_by_then(make_box):
    """Seen: its own CUDA_VISIBLE_DEVICES=2 was counted anew and meant another card than the one it had."""
    def check(trouble):
        box = make_box(cards=4)
        script = 'echo runs; read line; "$GATE" run --timeout 0 -- printenv GPU_GATE_INDICES'
        job = box.start("run", "-n", "2", "--only", "1-2", "--", "sh", "-c", script, env={"GATE": box.gate}, stdin=subprocess.PIPE)
        job.wait_for("^runs$", stdout=True)
        box.set(0, **trouble)
        job.popen.stdin.close()
        assert job.finish() == 0, job
        assert job.out == "runs\n1\n", job

    each(MISSING, check)


def test_status_shows_a_card_whose_handle_the_driver_refuses_as_closed(make_box):
    box = make_box(cards=2)
    box.set(0, handle_error=4)
    first, second = box.status()
    assert (first["accessible"], second["accessible"]) == (False, True)
    assert box.run("status").out.splitlines()[1].endswith("closed to you")


# What can never be is said at once, with the reason for each card.

REQUESTS = [
    ("too_many", ("-n", "3"), ["3 GPUs", "this machine has 2", "GPUs 0-1: could be used"]),
    ("far_too_many", ("-n", "99999999999999999999"), ["GPUs 0-1: "]),
    ("more_memory_than_any_has", ("--min-free-mb", "99999999"),
     ["GPU 0: 45468 MiB in all, 99999999 MiB asked for", "GPU 1: 8000 MiB in all, 99999999 MiB asked for"]),
    ("more_memory_than_one_has", ("-n", "2", "--min-free-mb", "9000"),
     ["GPU 0: could be used", "GPU 1: 8000 MiB in all, 9000 MiB asked for"]),
    ("all_excluded", ("--exclude", "0,1"), ["none of the 2 here", "GPUs 0-1: in --exclude"]),
    ("only_and_exclude_contradict", ("--only", "1", "--exclude", "1"), ["GPU 0: not in --only", "GPU 1: in --exclude"]),
    ("too_few_allowed", ("--only", "1", "-n", "2"), ["GPU 0: not in --only", "GPU 1: could be used"]),
    ("no_such_index", ("--only", "77"), ["--only", "77"]),
    ("huge_index", ("--only", "99999999999999999999"), ["--only", "99999999999999999999"]),
    ("one_of_a_range", ("--only", "0-2"), ["--only", "0-2"]),
    ("no_such_uuid", ("--only", "GPU-abcd"), ["--only", "GPU-abcd"]),
    ("ambiguous_uuid", ("--only", "GPU-0"), ["--only", "GPU-0"]),
    ("no_such_address", ("--only", "0000:99:00.0"), ["--only", "0000:99:00.0"]),
]


@pytest.mark.parametrize("state", ["idle", "busy"])
def test_what_can_never_be_is_3_at_once_with_the_reasons(make_box, state):
    box = make_box(cards=2)
    box.set(1, memory=8600)
    if state == "busy":
        box.hold("-n", "2")

    def check(verb, name, options, fragments):
        done = box.run(verb, *options, *(("--", "touch", box.folder / "ran") if verb == "run" else ()))
        assert done.status == IMPOSSIBLE, done
        assert done.out == "" and not (box.folder / "ran").exists()
        assert all(line.startswith("gpu-gate: ") for line in done.lines), done
        assert "waiting" not in done.err
        for fragment in fragments:
            assert fragment in done.err
        # It took no card, and blocks nobody.
        assert box.claimed() == ([] if state == "idle" else [0, 1])

    each([(verb, *request) for verb in ("run", "wait") for request in REQUESTS], check)
    if state == "idle":
        assert choose(box, "-n", "2") == "0,1"


def test_a_machine_without_a_gpu_is_3(make_box):
    box = make_box(cards=0)
    done = box.run("run", "--", "true")
    assert done.status == IMPOSSIBLE
    assert done.err == "gpu-gate: there is no GPU on this machine\n"


def test_cards_with_mig_on_are_3_with_the_reason(make_box):
    box = make_box(cards=2)
    for card in (0, 1):
        box.set(card, mig=1)
    done = box.run("run", "--", "true")
    assert done.status == IMPOSSIBLE
    assert "GPUs 0-1: MIG is on" in done.err


def test_reasons_come_in_the_order_of_the_index(make_box):
    done = make_box(cards=4).run("run", "-n", "5", "--exclude", "1", "--", "true")
    assert [line.strip() for line in done.lines[1:]] == [
        "gpu-gate:   GPUs 0, 2-3: could be used", "gpu-gate:   GPU 1: in --exclude"]


# What may come yet is waited for.

PASSING = [{"lost": 1}, {"mode": "prohibited"}, {"recovery": 1}, {"handle_error": 15}, {"handle_error": 4}, {"memory_v2_error": 15}]


def test_a_card_that_is_unusable_for_now_is_waited_for(make_box):
    def check(trouble):
        box = make_box(cards=1)
        box.set(0, **trouble)
        assert choose(box) == NOT_NOW
        assert choose(box, "--min-free-mb", "0") == NOT_NOW
        waiter = box.wait_in_line("--poll", "0.05")
        box.set(0, **{key: None for key in trouble})
        assert waiter.finish() == 0

    each(PASSING, check)


def test_one_usable_and_one_unusable_card_are_two_to_wait_for(make_box):
    def check(trouble):
        box = make_box(cards=2)
        box.set(0, **trouble)
        assert choose(box, "-n", "2") == NOT_NOW
        assert choose(box) == "1"
        assert choose(box, "-n", "3") == IMPOSSIBLE

    each(PASSING, check)


UNKNOWN_SIZE = [{"lost": 1}, {"handle_error": 15}, {"handle_error": 4}, {"memory_error": 999, "memory_v2_error": 999}]


def test_memory_that_no_known_card_has_is_3_with_a_word_about_the_card_of_unknown_size(make_box):
    def check(trouble):
        box = make_box(cards=2)
        box.set(1, memory=81559, **trouble)
        for verb in (("run", "--min-free-mb", "60000", "--", "true"), ("wait", "--min-free-mb", "60000")):
            done = box.run(*verb)
            assert done.status == IMPOSSIBLE, done
            assert "GPU 0: 45468 MiB in all, 60000 MiB asked for" in done.err
            assert [line for line in done.lines if "GPU 1: " in line and "how much memory it has is not known" in line], done
        assert choose(box, "--min-free-mb", "40000", "-n", "2") == NOT_NOW
        assert choose(box, "--min-free-mb", "40000") == "0"
        assert choose(box, "--min-free-mb", "60000", "--only", "1") == NOT_NOW

    each(UNKNOWN_SIZE, check)


def test_a_request_in_line_outlives_the_loss_of_the_only_card_that_can_hold_it(make_box):
    box = make_box(cards=2)
    box.set(1, memory=81559)
    holder = box.hold("--only", "1")
    waiter = box.wait_in_line("--min-free-mb", "60000", "--poll", "0.05", command=("printenv", "GPU_GATE_INDICES"))
    box.set(1, lost=1)
    holder.kill()
    waiter.wait_for(r"GPU 1: .*lost")
    box.set(1, lost=None)
    assert waiter.finish() == 0 and waiter.out == "1\n"


# All or nothing.

def test_never_with_fewer_cards_than_asked_for(make_box):
    box = make_box(cards=3)
    box.hold("--only", "1")
    done = box.run("run", "-n", "3", "--timeout", "0", "--", "touch", str(box.folder / "ran"))
    assert done.status == NOT_NOW
    assert not (box.folder / "ran").exists()
    assert choose(box, "-n", "2") == "0,2"


def test_a_request_that_must_wait_takes_no_card_meanwhile(make_box):
    box = make_box(cards=2)
    holder = box.hold("--only", "1")
    waiter = box.wait_in_line("-n", "2", command=("printenv", "GPU_GATE_INDICES"))
    assert [gpu["claim"] is not None for gpu in box.status()] == [False, True]
    holder.kill()
    assert waiter.finish() == 0 and waiter.out == "0,1\n"


def test_many_cards_are_granted_at_once(make_box):
    box = make_box(cards=16)
    assert choose(box, "-n", "16") == ",".join(map(str, range(16)))
