"""Processes that multiprocessing starts have the GPUs of the block that they are started in, whatever the start method.

The fork server, the default on Linux from Python 3.14 on, starts them with the environment of its own start.
"""

import concurrent.futures
import multiprocessing
import multiprocessing.forkserver
import multiprocessing.resource_tracker
import os
import sys
import warnings

import pytest

import gpu_gate
from harness import state_of

sys.path.insert(0, os.path.dirname(__file__))  # a process of a server imports this file

METHODS = ["forkserver", "spawn", "fork"]


def visible_devices(*_):
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def visible_devices_of_a_child(method):
    """Of a process that this one starts, itself within a claim of its own."""
    with gpu_gate.claim():
        return visible_devices(), seen(method)  # an executor that nobody shuts down may keep its process for ever


def exit_with(number, gate):
    gate.wait()
    sys.exit(number)


def pool(method):
    return concurrent.futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context(method))


def seen(method):
    """What a new process has in its environment."""
    with pool(method) as executor:
        return executor.submit(visible_devices).result()


@pytest.fixture(autouse=True)
def no_server():
    """Every test begins and ends without a fork server."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that of a machine before has ended with it
        multiprocessing.resource_tracker.ensure_running()
    multiprocessing.forkserver._forkserver._stop()
    yield
    multiprocessing.forkserver._forkserver._stop()


@pytest.mark.parametrize("method", METHODS)
def test_processes_of_each_block_have_its_cards(make_box, method):
    make_box(cards=4)
    with gpu_gate.claim(only=1):
        assert seen(method) == "1"
    assert seen(method) is None
    with gpu_gate.claim(only=2) as gpus:
        assert seen(method) == "2"
        with multiprocessing.get_context(method).Pool(1) as workers:
            assert workers.map(visible_devices, [0]) == [gpus.visible_devices]


@pytest.mark.parametrize("method", METHODS)
def test_a_server_that_ran_before_the_block_does_not_serve_it(make_box, method):
    make_box(cards=4)
    assert seen(method) is None
    with gpu_gate.claim(only=3):
        assert seen(method) == "3"
        with gpu_gate.claim(only=3):
            assert seen(method) == "3"


@pytest.mark.parametrize("method", METHODS)
def test_a_block_within_a_block_has_its_own_cards_and_then_those_of_the_outer(make_box, method):
    make_box(cards=4)
    with gpu_gate.claim(count=2, only="1,3"):
        assert seen(method) == "1,3"
        with gpu_gate.claim(only=3):
            assert seen(method) == "3"
        assert seen(method) == "1,3"


def test_a_block_that_fails_leaves_no_server_with_its_cards(make_box):
    make_box(cards=4)
    with pytest.raises(ZeroDivisionError):
        with gpu_gate.claim(only=1):
            assert seen("forkserver") == "1"
            1 / 0
    assert seen("forkserver") is None


def test_children_that_live_on_keep_their_server_and_their_exit_codes(make_box):
    make_box(cards=4)
    context = multiprocessing.get_context("forkserver")
    gate = context.Event()
    child = context.Process(target=exit_with, args=(7, gate))
    child.start()
    first = multiprocessing.forkserver._forkserver._forkserver_pid
    with gpu_gate.claim(only=1):
        assert seen("forkserver") == "1"
        gate.set()
        child.join()
        assert child.exitcode == 7
        assert state_of(first) not in ("", "Z")
    assert state_of(first) == "", "it ends when it has no children and the next block begins or ends"


def test_an_executor_that_outlives_the_block_does_not_hold_it_up(make_box):
    make_box(cards=4)
    with gpu_gate.claim(only=1):
        executor = pool("forkserver")
        assert executor.submit(visible_devices).result() == "1"
    assert executor.submit(visible_devices).result() == "1"  # its worker has begun in the block
    assert seen("forkserver") is None
    executor.shutdown()


def test_servers_leave_no_zombies(make_box):
    make_box(cards=4)
    servers = []
    for card in (1, 2):
        with gpu_gate.claim(only=card):
            seen("forkserver")
            servers.append(multiprocessing.forkserver._forkserver._forkserver_pid)
    with gpu_gate.claim():
        pass
    assert [state_of(pid) for pid in servers] == ["", ""]


def test_with_an_environment_of_its_own_a_claim_leaves_the_server_alone(make_box):
    make_box(cards=4)
    assert seen("forkserver") is None
    server = multiprocessing.forkserver._forkserver._forkserver_pid
    with gpu_gate.claim(environ=False):
        assert seen("forkserver") is None
    assert multiprocessing.forkserver._forkserver._forkserver_pid == server


@pytest.mark.parametrize("method", METHODS)
def test_a_process_of_the_block_can_claim_and_start_processes_itself(make_box, method):
    make_box(cards=4)
    with gpu_gate.claim(count=2, only="1,3"):
        with pool(method) as executor:
            assert executor.submit(visible_devices_of_a_child, method).result() == ("1", "1")


def test_where_a_server_cannot_be_replaced_it_says_what_helps(make_box, monkeypatch):
    box = make_box(cards=4)
    monkeypatch.setattr(multiprocessing.forkserver, "_forkserver", object())
    try:
        with pytest.raises(gpu_gate.GpuGateError, match="set_start_method"):
            gpu_gate.claim().__enter__()
    finally:
        monkeypatch.undo()
    assert box.claimed() == []
