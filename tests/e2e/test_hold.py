"""gpu-gate hold: a claim for another process, exactly as long as its owner."""

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import subprocess
import termios

import pytest

from fixtures import needs_mounts
from harness import ALICE, BOB, each, processes_with, state_of, wait_until
from traced import NO_LEAK_CHECK, STRACE


def free(box):
    return box.run("run", "-q", "--timeout", "0", "--", "true").status == 0


def test_it_holds_as_long_as_the_pipe_to_its_owner_is_open(box):
    hold = box.start("hold", stdin=subprocess.PIPE, user=ALICE)
    hold.wait_for("^0$", stdout=True)
    assert not free(box)
    hold.popen.stdin.write(b"what is written does not matter\n")
    hold.popen.stdin.flush()
    assert hold.alive() and not free(box)
    hold.popen.stdin.close()
    assert hold.finish() == 0
    assert free(box)


def test_it_ends_when_its_owner_is_killed(box):
    owner = box.start_plain("sh", "-c", f"sleep 1000 | {box.gate} hold", user=ALICE)
    owner.wait_for("^0$", stdout=True)
    subprocess.run(["pkill", "-KILL", "-P", str(owner.pid), "sleep"], check=True)
    assert owner.finish() == 0
    assert free(box)


def test_with_pid_it_goes_to_the_background_and_lasts_as_long_as_that_process(box):
    owner = box.start_plain("sleep", "1000", user=ALICE)
    done = box.run("hold", "--pid", owner.pid, user=ALICE)
    assert (done.status, done.out, done.err) == (0, "0\n", "")
    claim = box.status()[0]["claim"]
    assert claim["pid"] == owner.pid and claim["command"] == "sleep 1000" and claim["user"] == ALICE.name
    # The next one waits for the process behind it, which so must not be a mild one.
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in box.running()} == {os.getpriority(os.PRIO_PROCESS, 0)}
    owner.kill()
    waiter = box.run("run", "--", "echo", "next", user=BOB)
    assert waiter.out == "next\n"


def test_a_shell_can_hold_a_card_for_itself(box):
    shell = box.start_plain(
        "sh", "-c", f'export CUDA_VISIBLE_DEVICES=$({box.gate} hold --pid $$); echo "got $CUDA_VISIBLE_DEVICES"; read line',
        stdin=subprocess.PIPE, user=ALICE,
    )
    shell.wait_for("^got 0$", stdout=True)
    assert not free(box)
    shell.popen.stdin.close()
    shell.finish()
    assert box.run("run", "--timeout", "20", "--", "true").status == 0


def test_it_is_not_ended_by_the_terminal_of_its_owner(box):
    """Ctrl-C in the shell that holds a card interrupts what runs there, not the hold."""
    owner = box.start_plain("sleep", "1000")
    assert box.run("hold", "--pid", owner.pid).status == 0
    [holder] = processes_with("cmdline", box.gate.encode() + b"\0hold")
    assert os.getsid(holder) == holder
    assert {os.readlink(f"/proc/{holder}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    owner.kill()
    wait_until(lambda: state_of(holder) in ("", "Z"), "the holder ends")


def test_for_ends_it(box):
    done = box.run("hold", "--for", "0.3s")
    assert (done.status, done.out) == (0, "0\n")
    assert free(box)


def test_for_ends_it_in_the_background_too(box):
    owner = box.start_plain("sleep", "1000")
    assert box.run("hold", "--pid", owner.pid, "--for", "0.2").status == 0
    assert box.run("run", "--timeout", "20", "--", "true").status == 0
    assert owner.alive()


def test_a_signal_ends_it(box):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        hold = box.start("hold", "--for", "1h")
        hold.wait_for("^0$", stdout=True)
        hold.signal(number)
        assert hold.finish() == -number
        assert free(box), number


def test_while_it_waits_the_end_of_its_owner_ends_the_wait(box):
    holder = box.hold()
    piped = box.start("hold", stdin=subprocess.PIPE)
    piped.wait_for("in line")
    owner = box.start_plain("sleep", "1000")
    bound = box.start("hold", "--pid", owner.pid)
    bound.wait_for("in line")
    piped.popen.stdin.close()
    owner.kill()
    assert piped.finish() == 124 and bound.finish() == 124
    assert piped.out == "" and bound.out == ""
    assert list((box.lock / "queue").iterdir()) == []
    assert holder.alive()


def test_it_stands_in_the_same_line_and_takes_the_same_options(make_box):
    box = make_box(cards=3)
    first = box.hold("-n", "2")
    hold = box.start("hold", "-n", "2", "--only", "0-1", "--ids", "uuid", stdin=subprocess.PIPE)
    hold.wait_for("1st in line")
    first.kill()
    assert hold.wait_for("^GPU-", stdout=True)
    assert [gpu["claim"] is not None for gpu in box.status()] == [True, True, False]


def test_json_tells_the_claim_with_which_the_job_can_call_gpu_gate_again(make_box):
    box = make_box(cards=2)
    hold = box.start("hold", "-n", "2", "--json", stdin=subprocess.PIPE)
    told = json.loads(hold.wait_for(r"^\{.*\}$", stdout=True).group(0))
    assert told["indices"] == [0, 1] and told["cuda_visible_devices"] == "0,1" and len(told["uuids"]) == 2
    inner = box.run("run", "--timeout", "0", "--", "printenv", "CUDA_VISIBLE_DEVICES", env={"GPU_GATE_CLAIM": told["claim"]})
    assert inner.out == "0\n"
    assert not free(box)


def test_a_terminal_is_an_owner_too(box):
    main, side = pty.openpty()
    hold = box.start("hold", stdin=side)
    os.close(side)
    hold.wait_for("^0$", stdout=True)
    os.write(main, b"\x04")  # Ctrl-D
    assert hold.finish() == 0
    os.close(main)


@contextlib.contextmanager
def on_terminal(box, *words, **options):
    """hold with its stderr on a terminal, and what it says there in the end."""
    main, side = pty.openpty()
    hold = box.start("hold", *words, stderr=side, **options)
    os.close(side)
    try:
        yield hold, lambda: read_line(main)
    finally:
        os.close(main)


def read_line(main):
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(main, 1000)
    return text.decode().rstrip()


CARD = r"gpu-gate: holding GPU 0 \(NVIDIA L40S, 45468 MiB free\)"


def test_on_a_terminal_it_says_what_it_holds_and_what_ends_it(box):
    owner = box.start_plain("sleep", "1000")
    with on_terminal(box, "--pid", owner.pid) as (hold, line):
        told = re.fullmatch(rf"{CARD} until process {owner.pid} ends; kill (\d+) ends it sooner", line())
        assert hold.finish() == 0
        assert not free(box)
    subprocess.run(["kill", told[1]], check=True)
    wait_until(lambda: free(box), "the card is free")
    with on_terminal(box, "--pid", owner.pid, "--for", "2h") as (hold, line):
        told = re.fullmatch(rf"{CARD} for 2h, or until process {owner.pid} ends; kill (\d+) ends it sooner", line())
    subprocess.run(["kill", told[1]], check=True)
    wait_until(lambda: free(box), "the card is free")
    with on_terminal(box, "--for", "2h") as (hold, line):
        assert re.fullmatch(rf"{CARD} for 2h; kill {hold.pid} ends it sooner", line())
        hold.signal(signal.SIGTERM)
        hold.finish()
    with on_terminal(box, stdin=subprocess.PIPE) as (hold, line):
        assert re.fullmatch(rf"{CARD} until standard input ends; kill {hold.pid} ends it sooner", line())


def test_in_the_foreground_of_its_terminal_it_names_the_keys_that_end_it(box):
    main, side = pty.openpty()

    def take_the_terminal():
        os.setsid()
        fcntl.ioctl(side, termios.TIOCSCTTY, 0)

    hold = box.start("hold", stdin=side, stderr=side, preexec_fn=take_the_terminal)
    os.close(side)
    assert re.fullmatch(rf"{CARD}; Ctrl-D or Ctrl-C ends it", read_line(main))
    os.write(main, b"\x03")
    assert hold.finish() == -signal.SIGINT
    os.close(main)


def test_elsewhere_and_with_quiet_it_says_nothing(box):
    owner = box.start_plain("sleep", "0.3")
    with on_terminal(box, "--pid", owner.pid, "-q") as (hold, line):
        assert hold.finish() == 0
        with contextlib.suppress(OSError):  # the terminal has no other end any more
            assert line() == ""


def test_cards_that_its_process_uses_already_may_be_taken(make_box):
    """Itself, or its descendants, are no strangers; without --pid they are."""
    box = make_box(cards=2)
    job = box.outsider(0, user=ALICE)
    shell = box.start_plain("sh", "-c", f"{box.sim_job} --memory 3000 --for -1 & wait", user=ALICE,
                            env={"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    shell.wait_for("holds", stdout=True)
    assert box.run("wait", "--timeout", "0", "--only", "0").status == 124
    for owner, card in ((job, 0), (shell, 1)):
        done = box.run("hold", "--pid", owner.pid, "--only", card, "--timeout", "0", user=ALICE)
        assert (done.status, done.out) == (0, f"{card}\n"), done
    assert [gpu["claim"]["pid"] for gpu in box.status()] == [job.pid, shell.pid]
    assert [process["claimed"] for gpu in box.status() for process in gpu["processes"]] == [True, True]


def test_what_others_have_on_these_cards_still_keeps_them_out(make_box):
    box = make_box(cards=1)
    job = box.outsider(0, user=ALICE)
    stranger = box.outsider(0, user=BOB)
    done = box.run("hold", "--pid", job.pid, "--timeout", "0", user=ALICE)
    assert done.status == 124
    assert f"(pid {stranger.pid}, " in done.err and f"(pid {job.pid}, " not in done.err


def test_where_only_one_process_may_be_on_a_card_it_may_be_its_own(make_box):
    box = make_box(cards=1)
    box.set(0, mode="exclusive")
    job = box.outsider(0, user=ALICE)
    assert box.run("hold", "--pid", job.pid, "--timeout", "0", user=ALICE).status == 0


def test_one_that_waits_for_cards_that_its_process_uses_gets_them_when_they_are_let_go(make_box):
    box = make_box(cards=1)
    claim = box.hold(user=BOB)
    job = box.outsider(0, user=ALICE)
    hold = box.start("hold", "--pid", job.pid, user=ALICE)
    hold.wait_for("in line")
    claim.kill()
    assert hold.finish() == 0 and hold.out == "0\n"


def test_a_bad_hold_is_refused_in_one_line(box):
    def check(words, named):
        done = box.run("hold", *words)
        assert done.status == 2 and done.out == ""
        assert len(done.lines) == 1 and done.err.startswith("gpu-gate: ") and named in done.err, done
        assert not box.lock.exists()

    each([
        ((), "until when"), (("--pid", "0"), "--pid"), (("--pid", "-1"), "--pid"), (("--pid", "x"), "--pid"),
        (("--pid", "4194305"), "4194305"), (("--for", "2w"), "--for"), (("--for", ""), "--for"), (("--for", "-1"), "--for"),
        (("--pid",), "--pid"), (("--", "true"), "hold"), (("true",), "hold"),
    ], check)


def test_what_cannot_be_printed_is_not_held(box):
    owner = box.start_plain("sleep", "1000")
    with open("/dev/full", "w") as full:
        assert box.run("hold", "--pid", owner.pid, stdout=full).status == 125
    assert box.run("run", "--timeout", "20", "--", "true").status == 0


# What the holder keeps open.


def holder_of(box):
    """The process in the background that holds."""
    def found():
        with contextlib.suppress(ProcessLookupError):  # the one that printed is about to end
            return [pid for pid in processes_with("cmdline", box.gate.encode() + b"\0hold") if os.getsid(pid) == pid]

    [holder] = wait_until(found, "it is in the background")
    return holder


def descriptors(pid):
    """{number: where it leads}"""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return found


def has_ended(pipe):
    """Has the pipe no writer any more?"""
    os.set_blocking(pipe, False)

    def ended():
        with contextlib.suppress(BlockingIOError):
            return os.read(pipe, 1) == b""

    return wait_until(ended, "the pipe has no writer any more")


def check_what_it_keeps(box, holder, cards=1):
    kept = [path for fd, path in descriptors(holder).items() if fd > 2]
    claims = [path for path in kept if path.startswith(str(box.lock / "claims"))]
    others = sorted(set(kept) - set(claims))
    assert len(claims) == cards, kept
    assert all(path.startswith("anon_inode:") for path in others) and len(others) <= 2, others  # pidfd, signalfd


@pytest.mark.parametrize("trouble", [[], ["-e", "inject=?close_range:error=ENOSYS"]], ids=["", "without close_range"])
def test_in_the_background_it_keeps_nothing_of_its_callers_open(box, trouble):
    """The caller's locks, pipes and devices end with the caller's own descriptors."""
    owner = box.start_plain("sleep", "1000", user=ALICE)
    lock = box.folder / "callers.lock"
    lock.touch()
    lock.chmod(0o666)
    traced = [*STRACE, "-o", box.folder / "trace", *trouble] if trouble else []
    read_end, write_end = os.pipe()
    script = f'exec 9>{lock}; flock 9; exec 200>&9 77>&{write_end}; "$@" 3>&1 >/dev/null'
    caller = box.start_plain("bash", "-c", script, "-", *traced, box.gate, "hold", "--pid", owner.pid, user=ALICE,
                             env=NO_LEAK_CHECK, pass_fds=[write_end])
    os.close(write_end)
    wait_until(lambda: box.claimed() == [0], "it holds")
    holder = holder_of(box)
    wait_until(lambda: len(descriptors(holder)) <= 6, "it has closed what it does not need")
    check_what_it_keeps(box, holder)
    if not trouble:  # strace itself stays until the holder ends
        assert caller.finish() == 0, caller
        assert has_ended(read_end)
        assert box.run_plain("flock", "-n", lock, "true").status == 0
    os.close(read_end)
    owner.kill()


def test_a_command_substitution_ends_whatever_descriptors_it_has(box):
    owner = box.start_plain("sleep", "1000")
    script = 'held=$(exec 3>&1 250>&1; "$@"); echo "got $held"'
    done = box.run_plain("bash", "-c", script, "-", box.gate, "hold", "--pid", owner.pid)
    assert (done.status, done.out) == (0, "got 0\n")
    assert not free(box)


def test_a_lock_of_the_caller_does_not_live_on(box):
    owner = box.start_plain("sleep", "1000")
    lock = box.folder / "callers.lock"
    assert box.run_plain("flock", lock, box.gate, "hold", "--pid", owner.pid).status == 0
    assert box.run_plain("flock", "-n", lock, "true").status == 0
    assert not free(box)


def test_in_the_foreground_it_keeps_its_three_streams_and_nothing_else(box):
    read_end, write_end = os.pipe()
    hold = box.start("hold", stdin=subprocess.PIPE, pass_fds=[write_end])
    os.close(write_end)
    hold.wait_for("^0$", stdout=True)
    assert has_ended(read_end)
    os.close(read_end)
    check_what_it_keeps(box, hold.pid)


def test_the_claim_of_the_job_around_it_is_not_kept(make_box):
    box = make_box(cards=2)
    owner = box.start_plain("sleep", "1000")
    job = box.run("run", "-q", "-n", "2", "--", box.gate, "hold", "--only", "1", "--pid", owner.pid)
    assert (job.status, job.out) == (0, "1\n")
    assert box.claimed() == [1]


def test_a_holder_that_is_killed_holds_nothing_though_its_owner_lives(box):
    owner = box.start_plain("sleep", "1000")
    for words, end in (((), signal.SIGKILL), ((), signal.SIGTERM), (("--for", "0.2"), None)):
        assert box.run("hold", "--pid", owner.pid, *words).status == 0
        if end:
            os.kill(holder_of(box), end)
        assert box.run("run", "-q", "--timeout", "20", "--", "true").status == 0, words
    hold = box.start("hold", stdin=subprocess.PIPE)
    hold.wait_for("^0$", stdout=True)
    hold.kill()
    assert free(box), "its parent, which is recorded as the owner, lives"


# A kernel without pidfd, and processes that cannot be looked at.


@pytest.mark.parametrize("errno", ["ENOSYS", "EPERM", "EINVAL"])
def test_without_a_pidfd_the_end_of_the_owner_is_seen_all_the_same(box, errno):
    """Before Linux 5.3 there is none, and a seccomp filter (containers) may refuse it."""
    trouble = [*STRACE, "-o", "/dev/null", "-e", f"inject=pidfd_open:error={errno}", box.gate, "hold"]
    owner = box.start_plain("sleep", "1000")
    held = box.start_plain(*trouble, "--pid", owner.pid, env=NO_LEAK_CHECK)
    held.wait_for("^0$", stdout=True)
    assert len(held.lines) == 1 and "pidfd_open: " in held.err and f"process {owner.pid}" in held.err, held
    other = box.start_plain("sleep", "1000")
    waiting = box.start_plain(*trouble, "-q", "--pid", other.pid, env=NO_LEAK_CHECK)
    wait_until(lambda: box.waiting() == 1, "it stands in line")
    assert waiting.err == ""
    other.kill()
    assert waiting.finish() == 124 and "ended" in waiting.err, waiting
    assert not free(box)
    owner.kill()
    assert held.finish() == 0
    assert free(box)


@pytest.mark.parametrize("errno", ["ENOSYS", "EPERM", "ESRCH"])
def test_a_process_that_is_not_there_is_told_whatever_the_kernel_lacks(box, errno):
    done = box.run_plain(*STRACE, "-o", "/dev/null", "-e", f"inject=pidfd_open:error={errno}", box.gate, "hold", "--pid",
                         4194304, env=NO_LEAK_CHECK)
    assert done.status == 2 and "there is no process 4194304" in done.err, done


@needs_mounts
@pytest.mark.parametrize("errno", [None, "ENOSYS"])
def test_a_process_that_is_hidden_can_be_held_for(box, errno):
    """With hidepid=2 (proc(5)) /proc shows a user nothing of the processes of others."""
    owner = box.start_plain("sleep", "1000")
    gone = box.start_plain("true")
    gone.finish()
    traced = [*STRACE, "-o", "/dev/null", "-e", f"inject=pidfd_open:error={errno}"] if errno else []
    script = ("mount -t proc -o hidepid=2 proc /proc && "
              f"exec setpriv --reuid {ALICE.uid} --regid {ALICE.gid} --clear-groups \"$@\"")

    def hold(pid):
        return box.start_plain("unshare", "-m", "sh", "-c", script, "-", *traced, box.gate, "hold", "--pid", pid,
                               env=NO_LEAK_CHECK)

    assert hold(gone.pid).finish() == 2
    held = hold(owner.pid)
    held.wait_for("^0$", stdout=True)
    assert not free(box)
    owner.kill()
    assert held.finish() == 0
    wait_until(lambda: free(box), "the claim ends with its owner")
