import signal

from harness import ALICE, BOB


def test_two_users_take_turns_on_the_only_card(box):
    holder = box.hold(user=ALICE)
    waiter = box.wait_in_line(user=BOB, command=("sh", "-c", "echo got $CUDA_VISIBLE_DEVICES"))
    assert any("claimed by games" in line for line in waiter.lines), waiter.lines
    holder.signal(signal.SIGKILL)
    assert waiter.finish() == 0
    assert waiter.out == "got 0\n"
