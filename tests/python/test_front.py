"""The Python front: what it promises of the claim, the environment, the errors and the status."""

import contextlib
import glob
import os
import pickle
import subprocess
import sys
import warnings

import pytest

import gpu_gate
from harness import BOB, uuid, wait_until

VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_INDICES", "GPU_GATE_UUIDS", "GPU_GATE_CLAIM")


def free_cards(box):
    return [gpu["index"] for gpu in box.status() if gpu["claim"] is None]


def test_importing_it_loads_nothing_else():
    code = "import sys; before = set(sys.modules); import gpu_gate; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env={**os.environ, "PYTHONPATH": os.path.dirname(gpu_gate.__path__[0])})
    assert done.stdout.split() == ["gpu_gate", "gpu_gate._errors"]


def test_everything_it_names_is_there():
    for name in gpu_gate.__all__:
        assert getattr(gpu_gate, name)
    assert set(gpu_gate.__all__) <= set(dir(gpu_gate))
    with pytest.raises(AttributeError):
        gpu_gate.nonsense


def test_a_block_holds_its_cards_and_no_longer(make_box):
    box = make_box(cards=4)
    with gpu_gate.claim(count=2, only="1-3") as gpus:
        assert gpus.indices == (1, 2)
        assert gpus.uuids == (uuid(1), uuid(2))
        assert gpus.visible_devices == "1,2"
        assert free_cards(box) == [0, 3]
        claim = box.status()[1]["claim"]
        assert claim["pid"] == os.getpid()
    assert free_cards(box) == [0, 1, 2, 3]


def test_the_environment_is_that_of_run_and_is_put_back(box):
    # What run gives: the same variables, the same values but the number of the claim.
    given = box.run("run", "-q", "--", "env").out.splitlines()
    given = dict(line.split("=", 1) for line in given)
    os.environ["CUDA_DEVICE_ORDER"] = ""
    try:
        with gpu_gate.claim() as gpus:
            assert gpus.environ == {name: os.environ[name] for name in VARIABLES}
            for name in VARIABLES[:-1]:
                assert os.environ[name] == given[name]
            assert int(os.environ["GPU_GATE_CLAIM"]) > int(given["GPU_GATE_CLAIM"])
        assert os.environ["CUDA_DEVICE_ORDER"] == ""
        assert not set(VARIABLES) - {"CUDA_DEVICE_ORDER"} & set(os.environ)
    finally:
        del os.environ["CUDA_DEVICE_ORDER"]


def test_a_pinned_order_stays_and_the_cards_are_named_by_uuid(box, monkeypatch):
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    with gpu_gate.claim() as gpus:
        assert os.environ["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"
        assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus.visible_devices == uuid(0)


def test_an_inherited_choice_limits_it_and_is_put_back(make_box, monkeypatch):
    make_box(cards=4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    with gpu_gate.claim() as gpus:
        assert gpus.indices == (2,)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


def test_every_option_arrives(make_box):
    box = make_box(cards=4)
    box.set(0, used=40000)
    box.set(1, util=90)
    assert gpu_gate.wait(min_free_mb=20000, max_util=50) == (2,)
    assert gpu_gate.wait(count=2, only=[2, uuid(3)]) == (2, 3)
    assert gpu_gate.wait(only=3) == (3,)
    assert gpu_gate.wait(min_free_mb=0, exclude="0,2-3", poll=0.5, timeout=20, quiet=True) == (1,)
    assert free_cards(box) == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{"count": 0}, {"count": 1.5}, {"min_free_mb": -1}, {"share_mb": 0},
                                     {"share_mb": -8000}, {"share_mb": "much"}, {"max_util": 101},
                                     {"only": ""}, {"only": []}, {"exclude": "x"}, {"poll": -1}, {"timeout": "soon"}])
def test_a_bad_value_is_named(box, options):
    (name, value), = options.items()
    for function in (gpu_gate.wait, lambda **rest: gpu_gate.claim(**rest).__enter__()):
        with pytest.raises(gpu_gate.BadRequest) as caught:
            function(**options)
        assert "--" + {"share_mb": "share"}.get(name, name).replace("_", "-") in str(caught.value)
        assert not str(caught.value).startswith("gpu-gate")
    assert isinstance(caught.value, ValueError)


def test_each_exit_code_has_its_exception(box, monkeypatch, capsys):
    def refused(kind, code, pattern, **options):
        with pytest.raises(kind, match=pattern) as caught:
            gpu_gate.wait(**options)
        assert caught.value.exit_code == code and isinstance(caught.value, gpu_gate.GpuGateError)
        with pytest.raises(kind, match=pattern):
            with gpu_gate.claim(**options):
                raise AssertionError("it must not get here")

    refused(gpu_gate.NeverSatisfiable, 3, "2 GPUs", count=2)
    with gpu_gate.claim():
        other = {name: os.environ.pop(name) for name in VARIABLES}
        refused(gpu_gate.GpuTimeout, 124, "GPU", timeout=0)
        refused(TimeoutError, 124, "GPU", timeout=0)
        os.environ.update(other)
    with monkeypatch.context() as context:
        context.setenv("GPU_GATE_LOCK_DIR", "/proc/none")
        refused(gpu_gate.LockDirError, 5, "/proc/none")
    with monkeypatch.context() as context:
        context.setenv("GPU_GATE_NVML", "/nonexistent")
        refused(gpu_gate.ProbeError, 4, "/nonexistent")
        with pytest.raises(gpu_gate.ProbeError):
            gpu_gate.status()
    with monkeypatch.context() as context:
        context.setenv("GPU_GATE_PROGRAM", "/nonexistent/gpu-gate")
        refused(gpu_gate.GpuGateError, None, "/nonexistent/gpu-gate: No such file")
    assert capsys.readouterr().err == ""  # the exceptions have told it all


def test_without_the_program_it_says_so(monkeypatch, tmp_path):
    monkeypatch.delenv("GPU_GATE_PROGRAM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sysconfig.get_path", lambda *_: str(tmp_path))
    with pytest.raises(gpu_gate.GpuGateError, match="not found"):
        gpu_gate.status()


def test_the_errors_can_be_sent_to_another_process():
    from gpu_gate._errors import error_of

    for code in (2, 3, 4, 5, 124, 1, -15):
        error = error_of(code, "gpu-gate: one\ngpu-gate:   two\n")
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error) and str(copy) == str(error) and copy.exit_code == error.exit_code
    assert str(error_of(3, "gpu-gate: one\ngpu-gate:   two\n")) == "one\n  two"
    assert error_of(-15, "").exit_code == 143


def test_an_exception_in_the_block_ends_the_claim_and_goes_on(box):
    with pytest.raises(ZeroDivisionError):
        with gpu_gate.claim():
            1 / 0
    assert free_cards(box) == [0]
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_sys_exit_in_the_block_ends_the_claim(box):
    program = box.python("import gpu_gate, sys\nwith gpu_gate.claim(): sys.exit(3)")
    assert program.finish() == 3
    assert box.run("run", "--timeout", "20", "--", "true").status == 0


def test_kill_9_in_the_block_frees_the_card(box):
    program = box.python("import gpu_gate, time\nwith gpu_gate.claim():\n print('in'); time.sleep(1000)")
    program.wait_for("^in$", stdout=True)
    waiter = box.wait_in_line(command=("echo", "next"))
    program.kill()
    waiter.wait_for("^next$", stdout=True)


@pytest.mark.parametrize("call", ["claim().__enter__()", "wait()"])
def test_kill_9_while_it_waits_leaves_the_line(box, call):
    holder = box.hold()
    program = box.python(f"import gpu_gate\ngpu_gate.{call}")
    wait_until(lambda: box.waiting() == 1, "it stands in line")
    program.kill()
    wait_until(lambda: box.waiting() == 0, "it has left the line")
    holder.kill()


def test_a_claim_within_a_claim_chooses_among_its_cards(make_box):
    box = make_box(cards=4)
    with gpu_gate.claim(count=2, only="1,3") as outer:
        before = dict(os.environ)
        with gpu_gate.claim() as first:
            assert first.indices == (1,)
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
            with pytest.raises(gpu_gate.NeverSatisfiable):
                gpu_gate.wait(count=2)
        assert dict(os.environ) == before
        with gpu_gate.claim(count=2) as both:
            assert both.indices == outer.indices
        with pytest.raises(gpu_gate.NeverSatisfiable):
            gpu_gate.claim(count=3).__enter__()
        assert dict(os.environ) == before
    assert free_cards(box) == [0, 1, 2, 3]


def test_a_claim_can_be_used_again_but_not_twice_at_once(box):
    claim = gpu_gate.claim()
    for _ in range(2):
        with claim as gpus:
            assert gpus.indices == (0,)
            with pytest.raises(gpu_gate.GpuGateError, match="in use"):
                claim.__enter__()
        assert free_cards(box) == [0]


def children():
    pids = []
    for file in glob.glob("/proc/self/task/*/children"):
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            pids += open(file).read().split()
    return sorted(pids)


def test_it_leaves_no_descriptor_and_no_child_behind(box):
    def use():
        with gpu_gate.claim():
            pass
        with pytest.raises(gpu_gate.NeverSatisfiable):
            gpu_gate.claim(count=2).__enter__()
        gpu_gate.wait()
        gpu_gate.status()

    use()
    descriptors, processes = os.listdir("/proc/self/fd"), children()
    use()
    assert (os.listdir("/proc/self/fd"), children()) == (descriptors, processes)


def test_a_claim_that_is_never_left_lasts_as_long_as_the_process(box):
    program = box.python(
        "import gc, gpu_gate, sys\ngpus = gpu_gate.claim().__enter__()\ngc.collect()\nprint('in')\nsys.stdin.read()",
        stdin=subprocess.PIPE)
    program.wait_for("^in$", stdout=True)
    assert free_cards(box) == []
    program.popen.stdin.close()
    assert program.finish() == 0
    assert box.run("run", "--timeout", "20", "--", "true").status == 0


def test_blocks_that_are_left_in_the_wrong_order_put_everything_back(make_box):
    make_box(cards=4)
    first, second = gpu_gate.claim(count=2), gpu_gate.claim()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    second.__exit__(None, None, None)
    assert not set(VARIABLES) & set(os.environ)


def test_a_claim_that_was_lost_is_told(box):
    claim = gpu_gate.claim()
    with pytest.warns(RuntimeWarning, match="ended before its block"):
        with claim:
            claim._call.popen.kill()
            claim._call.popen.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with gpu_gate.claim():
            pass


def test_what_it_waits_for_is_said_on_sys_stderr(box):
    holder = box.hold(user=BOB)
    program = box.python("import gpu_gate\nwith gpu_gate.claim(): print('in')")
    program.wait_for("waiting for a free GPU")
    program.wait_for(BOB.name)
    quiet = box.python("import gpu_gate\nwith gpu_gate.claim(quiet=True): print('in')")
    wait_until(lambda: box.waiting() == 2, "both stand in line")
    holder.kill()
    program.wait_for("^in$", stdout=True)
    quiet.wait_for("^in$", stdout=True)
    quiet.finish()
    assert quiet.lines == []


def test_status_is_typed(make_box):
    box = make_box(cards=3)
    box.set(1, util=97, remap_pending=1)
    box.set(2, lost=1)
    box.list_processes(f"gpu=1 pid={os.getpid()} memory=300 type=compute")
    with gpu_gate.claim(only=0, count=1) as gpus:
        zero, one, two = gpu_gate.status()
        assert (zero.index, zero.name, zero.uuid, zero.health) == (0, "NVIDIA L40S", uuid(0), "ok")
        assert zero.claim.pid == os.getpid() and zero.claim.devices == gpus.uuids and zero.claim.since > 1e9
        assert zero.memory_total_mb == 46068 and zero.memory_free_mb > 40000
    assert one.claim is None and one.utilization_pct == 97
    process, = one.processes
    assert (process.pid, process.memory_mb, process.type, process.claimed) == (os.getpid(), 300, "compute", False)
    assert (zero.repair, one.repair) == (None, "remap_pending")
    assert two.health == "lost"
    with pytest.raises(AttributeError):
        zero.index = 5
    assert gpu_gate.status()[0].claim is None


def test_what_the_block_runs_on_its_card_belongs_to_the_claim(box):
    with gpu_gate.claim():
        box.list_processes(f"gpu=0 pid={os.getpid()} memory=3000 type=compute")
        process, = gpu_gate.status()[0].processes
        assert process.claimed
        with gpu_gate.claim(timeout=0, environ=False) as inner:
            assert inner.indices == (0,)


# Shares.

SHARE_VARIABLES = ("GPU_GATE_SHARE_MB", "GPU_GATE_SHARE_FRACTION")


def test_a_block_with_a_share_has_it_in_its_environment_and_no_longer(box):
    with gpu_gate.claim(share_mb=8000) as gpus:
        assert (gpus.share_mb, gpus.share_fraction) == (8000, 0.173)  # 8000 of 46068
        assert gpus.environ == {name: os.environ[name] for name in (*VARIABLES, *SHARE_VARIABLES)}
        assert [os.environ[name] for name in SHARE_VARIABLES] == ["8000", "0.173"]
        claim, = gpu_gate.status()[0].claims
        assert claim.share_mb == 8000 and claim == gpu_gate.status()[0].claim
    assert not set(SHARE_VARIABLES) & set(os.environ)
    with gpu_gate.claim() as gpus:
        assert gpus.share_mb is gpus.share_fraction is None
        assert not set(SHARE_VARIABLES) & (set(os.environ) | set(gpus.environ))
        claim, = gpu_gate.status()[0].claims
        assert claim.share_mb is None


def test_two_shares_stand_beside_each_other_on_one_card(make_box):
    make_box(cards=2)
    with gpu_gate.claim(share_mb=8000, environ=False) as server, gpu_gate.claim(share_mb="20G", environ=False) as notebook:
        assert server.indices == notebook.indices == (0,)
        assert server.environ["GPU_GATE_SHARE_MB"] == "8000" and notebook.share_mb == 20480
        assert not set(SHARE_VARIABLES) & set(os.environ)
        zero, one = gpu_gate.status()
        assert [claim.share_mb for claim in zero.claims] == [8000, 20480]
        assert zero.claim == zero.claims[0] and (one.claim, one.claims) == (None, ())
        assert gpu_gate.wait(share_mb=16000) == (0,)
        assert gpu_gate.wait(share_mb=18000) == (1,), "no room is left for it on the first one"
        with pytest.raises(gpu_gate.GpuTimeout):
            gpu_gate.wait(only=0, timeout=0)


def test_a_claim_inside_a_share_is_a_part_of_it(box):
    with gpu_gate.claim(share_mb=20000):
        before = dict(os.environ)
        with gpu_gate.claim(share_mb=8000) as part:
            assert part.share_mb == 8000 and os.environ["GPU_GATE_SHARE_FRACTION"] == "0.173"
        assert dict(os.environ) == before
        with gpu_gate.claim(share_mb=8000, environ=False):
            assert gpu_gate.wait(share_mb=12000, timeout=0) == (0,)
            with pytest.raises(gpu_gate.GpuTimeout, match="12001 MiB"):
                gpu_gate.wait(share_mb=12001, timeout=0)
        with pytest.raises(gpu_gate.NeverSatisfiable, match="20000 MiB"):
            gpu_gate.wait(share_mb=20001)
        with gpu_gate.claim() as all_of_it:
            assert all_of_it.share_mb == 20000
        assert dict(os.environ) == before


def test_what_the_environment_says_of_another_share_does_not_hold_in_the_block(box, monkeypatch):
    monkeypatch.setenv("GPU_GATE_SHARE_MB", "30000")
    monkeypatch.setenv("GPU_GATE_SHARE_FRACTION", "it's; export")
    before = dict(os.environ)
    with gpu_gate.claim() as gpus:
        assert gpus.share_mb is None and set(gpus.environ) == set(VARIABLES)
        assert not set(SHARE_VARIABLES) & set(os.environ)
        done = subprocess.run(["env"], capture_output=True, text=True, check=True)
        assert "GPU_GATE_SHARE" not in done.stdout
    assert dict(os.environ) == before


def test_blocks_of_shares_that_are_left_in_the_wrong_order_put_everything_back(box, monkeypatch):
    monkeypatch.setenv("GPU_GATE_SHARE_MB", "30000")
    before = dict(os.environ)
    first, second = gpu_gate.claim(), gpu_gate.claim(share_mb=8000)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["GPU_GATE_SHARE_MB"] == "8000"
    second.__exit__(None, None, None)
    assert dict(os.environ) == before


def test_a_share_and_memory_that_must_be_free_exclude_each_other(box):
    for function in (gpu_gate.wait, lambda **rest: gpu_gate.claim(**rest).__enter__()):
        with pytest.raises(gpu_gate.BadRequest, match="--min-free-mb"):
            function(share_mb=8000, min_free_mb=8000)


# CUDA in this process.


class FakeTorch:
    class cuda:
        initialized = True

        @classmethod
        def is_initialized(cls):
            return cls.initialized


def test_it_refuses_when_torch_has_initialised_cuda(box, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", FakeTorch)
    with pytest.raises(gpu_gate.CudaInitialized, match="torch"):
        gpu_gate.claim().__enter__()
    with gpu_gate.claim(environ=False) as gpus:  # for others, it may still claim
        assert gpus.environ["CUDA_VISIBLE_DEVICES"] == "0"
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
    monkeypatch.setattr(FakeTorch.cuda, "initialized", False)
    with gpu_gate.claim():
        pass


def test_it_refuses_when_anybody_has_initialised_the_driver(box, tmp_path):
    source = tmp_path / "cuda.c"
    source.write_text("static int ready; int cuInit(unsigned f) { ready = 1; return 0; }\n"
                      "int cuDeviceGetCount(int *n) { if (!ready) return 3; *n = 1; return 0; }\n")
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", library, source], check=True)
    program = box.python(f"""
import ctypes, gpu_gate
driver = ctypes.CDLL("{library}")
with gpu_gate.claim(): print("early enough")
driver.cuInit(0)
try: gpu_gate.claim().__enter__()
except gpu_gate.CudaInitialized: print("too late")
""")
    assert program.finish() == 0, program
    assert program.out == "early enough\ntoo late\n"
