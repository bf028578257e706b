"""The Python front among threads, processes, tasks and signals."""

import asyncio
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import gpu_gate
from harness import LIMIT, wait_until

sys.path.insert(0, os.path.dirname(__file__))  # a spawned process imports this file


def free_cards(box):
    return [gpu["index"] for gpu in box.status() if gpu["claim"] is None]


def in_threads(functions):
    """Runs them at once; returns what they return, or raises what one of them raises."""
    results = [None] * len(functions)

    def run(at):
        try:
            results[at] = functions[at]()
        except BaseException as error:
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
        assert not thread.is_alive()
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


# Threads.


def test_threads_with_environments_of_their_own_get_different_cards(make_box):
    box = make_box(cards=4)
    together = threading.Barrier(4)

    def work():
        with gpu_gate.claim(environ=False) as gpus:
            together.wait(LIMIT)
            assert "CUDA_VISIBLE_DEVICES" not in os.environ
            done = subprocess.run(["sh", "-c", "echo $CUDA_VISIBLE_DEVICES"], capture_output=True, text=True,
                                  env={**os.environ, **gpus.environ})
            assert done.stdout.strip() == gpus.visible_devices
            return gpus.indices[0]

    assert sorted(in_threads([work] * 4)) == [0, 1, 2, 3]
    assert free_cards(box) == [0, 1, 2, 3]


def test_more_threads_than_cards_take_turns(make_box):
    make_box(cards=2)
    inside = [0, 0]

    def work():
        with gpu_gate.claim(environ=False, quiet=True) as gpus:
            index, = gpus.indices
            inside[index] += 1
            assert inside[index] == 1
            time.sleep(0.01)
            inside[index] -= 1

    in_threads([work] * 10)


def test_threads_share_out_the_cards_of_the_block_around_them(make_box):
    make_box(cards=4)
    together = threading.Barrier(2)

    def work():
        with gpu_gate.claim(environ=False) as gpus:
            together.wait(LIMIT)
            return gpus.indices[0]

    with gpu_gate.claim(count=2, only="1,3"):
        assert sorted(in_threads([work] * 2)) == [1, 3]


def test_a_second_thread_is_refused_the_environment(box):
    with gpu_gate.claim():
        with pytest.raises(gpu_gate.GpuGateError, match="environ=False"):
            in_threads([lambda: gpu_gate.claim().__enter__()])
    with box_claim_in_a_thread() as gpus:
        assert gpus.indices == (0,)


def box_claim_in_a_thread():
    claim = gpu_gate.claim()
    in_threads([lambda: setattr(claim, "gpus", claim.__enter__())])

    class Left:
        def __enter__(self):
            return claim.gpus

        def __exit__(self, *_):
            in_threads([lambda: claim.__exit__(None, None, None)])

    return Left()


# fork.


def test_a_forked_child_that_ends_leaves_the_claim_alone(box):
    with gpu_gate.claim():
        for end in (lambda: os._exit(0), lambda: sys.exit(0)):
            child = os.fork()
            if child == 0:
                try:
                    end()
                finally:
                    os._exit(0)
            os.waitpid(child, 0)
            assert free_cards(box) == []
        child = multiprocessing.get_context("fork").Process(target=print)
        child.start()
        child.join(LIMIT)
        assert free_cards(box) == []
    assert free_cards(box) == [0]


def test_a_forked_child_that_lives_on_does_not_keep_the_claim(box):
    with gpu_gate.claim():
        child = os.fork()
        if child == 0:
            time.sleep(1000)
            os._exit(0)
    try:
        assert free_cards(box) == [0]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_a_forked_child_does_not_keep_the_claim_of_a_killed_parent(box):
    program = box.python("import gpu_gate, os, time\n"
                         "with gpu_gate.claim():\n child = os.fork()\n if child: print('in')\n time.sleep(1000)")
    program.wait_for("^in$", stdout=True)
    assert free_cards(box) == []
    os.kill(program.pid, signal.SIGKILL)
    wait_until(lambda: free_cards(box) == [0], "the card is free")


def test_a_forked_child_that_leaves_the_block_leaves_the_claim_to_its_parent(box):
    program = box.python("""
import gpu_gate, os, sys
with gpu_gate.claim():
    child = os.fork()
    if child:
        assert os.waitpid(child, 0)[1] == 0
        print("child has left")
        sys.stdin.read()
assert "CUDA_VISIBLE_DEVICES" not in os.environ
""", stdin=subprocess.PIPE)
    program.wait_for("child has left", stdout=True)
    assert free_cards(box) == []
    program.popen.stdin.close()
    assert program.finish() == 0, program
    assert free_cards(box) == [0]


def test_a_forked_child_can_claim_within_the_claim(make_box):
    make_box(cards=4)
    with gpu_gate.claim(count=2, only="1,3"):
        with multiprocessing.get_context("fork").Pool(2) as pool:
            assert pool.apply(claimed_indices) == (1,)


def test_a_child_that_another_thread_has_forked_can_claim_too(make_box):
    make_box(cards=4)

    def fork():
        child = os.fork()
        if child == 0:
            try:
                os._exit(0 if claimed_indices() == (1,) else 1)
            finally:
                os._exit(2)
        return os.waitpid(child, 0)[1]

    with gpu_gate.claim(count=2, only="1,3"):
        assert in_threads([fork]) == [0]


def test_a_fork_that_python_knows_nothing_of_does_not_keep_the_claim(box):
    program = box.python("""
import ctypes, gpu_gate, time
with gpu_gate.claim():
    if ctypes.CDLL(None).fork() == 0:
        time.sleep(1000)
print("left")
""")
    program.wait_for("^left$", stdout=True)
    assert free_cards(box) == [0]


def test_forks_amid_claims_of_other_threads_keep_nothing(make_box):
    box = make_box(cards=2)
    stop = threading.Event()
    children = []

    def fork():
        while not stop.is_set():
            child = os.fork()
            if child == 0:
                time.sleep(1000)
                os._exit(0)
            children.append(child)
            time.sleep(0.001)

    def work():
        for _ in range(20):
            with gpu_gate.claim(environ=False, quiet=True, timeout=20):
                pass
        stop.set()

    try:
        in_threads([fork, work])
        assert len(children) > 5
        assert free_cards(box) == [0, 1]
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_a_program_started_in_the_block_does_not_keep_the_claim(box):
    with gpu_gate.claim():
        child = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        assert free_cards(box) == [0]
    finally:
        child.kill()
        child.wait()


# spawn.


def claimed_indices():
    with gpu_gate.claim() as gpus:
        return gpus.indices


def visible_devices():
    return os.environ["CUDA_VISIBLE_DEVICES"]


def test_a_spawned_process_has_the_environment_and_can_claim_within(make_box):
    make_box(cards=4)
    with gpu_gate.claim(count=2, only="1,3"):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(visible_devices) == "1,3"
            assert pool.apply(claimed_indices) == (1,)


# asyncio.


def test_async_with(make_box):
    box = make_box(cards=2)

    async def main():
        async with gpu_gate.claim() as gpus:
            assert os.environ["CUDA_VISIBLE_DEVICES"] == gpus.visible_devices == "0"
            assert free_cards(box) == [1]
            async with gpu_gate.claim() as same:
                assert same == type(gpus)(gpus.indices, gpus.uuids, gpus.visible_devices, same.environ)
        assert free_cards(box) == [0, 1]
        with pytest.raises(gpu_gate.NeverSatisfiable):
            async with gpu_gate.claim(count=3):
                pass

    asyncio.run(main())


def test_the_loop_goes_on_while_a_claim_waits(box):
    async def main():
        async with gpu_gate.claim(environ=False):
            waiter = asyncio.create_task(gpu_gate.claim(environ=False, quiet=True).__aenter__())
            ticks = 0
            while box.waiting() == 0:
                await asyncio.sleep(0.001)
                ticks += 1
            assert ticks and not waiter.done()
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
            assert box.waiting() == 0

    asyncio.run(main())


def test_a_claim_that_is_cancelled_while_it_waits_leaves_the_line(box):
    holder = box.hold()

    async def main():
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(gpu_gate.claim(quiet=True).__aenter__(), 0.5)
        assert box.waiting() == 0
        assert "CUDA_VISIBLE_DEVICES" not in os.environ
        holder.kill()
        async with gpu_gate.claim(timeout=20) as gpus:
            assert gpus.indices == (0,)

    asyncio.run(main())


def test_a_task_that_is_cancelled_in_the_block_ends_the_claim(box):
    async def work(inside):
        async with gpu_gate.claim():
            inside.set()
            await asyncio.sleep(1000)

    async def main():
        inside = asyncio.Event()
        task = asyncio.create_task(work(inside))
        await inside.wait()
        with pytest.raises(gpu_gate.GpuGateError, match="another thread or task"):
            await gpu_gate.claim().__aenter__()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert free_cards(box) == [0]

    asyncio.run(main())


def test_a_task_that_only_the_garbage_collector_can_end_keeps_nobody_from_claiming(box):
    """As an interrupt in the midst of the event loop leaves one."""
    async def forgotten(inside):
        async with gpu_gate.claim():
            inside.set()
            await asyncio.sleep(1000)

    async def begin():
        inside = asyncio.Event()
        asyncio.get_running_loop().create_task(forgotten(inside))
        await inside.wait()

    gc.disable()
    try:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(begin())
        loop.close()
        del loop
        assert free_cards(box) == []
        with gpu_gate.claim() as gpus:
            assert gpus.indices == (0,)
    finally:
        gc.enable()
    assert free_cards(box) == [0]


def test_many_tasks_share_few_cards(make_box):
    box = make_box(cards=2)
    inside = [0, 0]

    async def work():
        async with gpu_gate.claim(environ=False, quiet=True) as gpus:
            index, = gpus.indices
            inside[index] += 1
            assert inside[index] == 1
            await asyncio.sleep(0.005)
            inside[index] -= 1

    async def main():
        await asyncio.gather(*(work() for _ in range(12)))

    asyncio.run(main())
    assert free_cards(box) == [0, 1]


# Ctrl-C: the terminal sends it to the whole process group.


def test_ctrl_c_while_it_waits_is_a_keyboard_interrupt_and_leaves_the_line(box):
    box.hold()
    program = box.python("""
import gpu_gate, sys
for call in (gpu_gate.wait, lambda: gpu_gate.claim().__enter__()):
    try: call()
    except KeyboardInterrupt: print("interrupted")
    sys.stdin.readline()
""", stdin=subprocess.PIPE, start_new_session=True)
    for turn in (1, 2):
        wait_until(lambda: box.waiting() == 1, "it stands in line")
        os.killpg(program.pid, signal.SIGINT)
        wait_until(lambda: program.out.count("\n") == turn, "the interrupt")
        assert box.waiting() == 0
        program.popen.stdin.write(b"\n")
        program.popen.stdin.flush()
    assert program.finish() == 0, program


def test_ctrl_c_in_the_block_leaves_the_claim_until_the_block_ends(box):
    program = box.python("""
import gpu_gate, sys, time
with gpu_gate.claim():
    try:
        print("in")
        time.sleep(1000)
    except KeyboardInterrupt:
        print("saving")
        sys.stdin.readline()
""", stdin=subprocess.PIPE, start_new_session=True)
    program.wait_for("^in$", stdout=True)
    os.killpg(program.pid, signal.SIGINT)
    program.wait_for("^saving$", stdout=True)
    assert free_cards(box) == []
    program.popen.stdin.close()
    assert program.finish() == 0, program
    assert free_cards(box) == [0]


def test_a_signal_handler_does_not_disturb_the_wait(box):
    holder = box.hold()
    program = box.python("""
import gpu_gate, signal
signal.signal(signal.SIGUSR1, lambda *_: print("handled"))
with gpu_gate.claim(): print("in")
""")
    wait_until(lambda: box.waiting() == 1, "it stands in line")
    os.kill(program.pid, signal.SIGUSR1)
    program.wait_for("^handled$", stdout=True)
    holder.kill()
    program.wait_for("^in$", stdout=True)
    assert program.finish() == 0, program
