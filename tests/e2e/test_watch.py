"""`gpu-gate status --watch` in a terminal, and where there is none."""

import json
import re
import signal
import termios

import pytest

from harness import ALICE, BOB, NEVER, SAMPLE, each, wait_until
from terminal import ENTER, LEAVE, Terminal

SELDOM = "--watch=1000"  # what is shown before that is shown because something happened


@pytest.fixture
def at_terminal():
    """Starts `gpu-gate status --watch` in a terminal: at_terminal(box, "--watch=0.1", size=(40, 10))."""
    terminals = []

    def start(box, *words, **options):
        terminals.append(Terminal(box, box.gate, "status", *(words or ("--watch",)), **options))
        return terminals[-1]

    yield start
    for terminal in terminals:
        if terminal.process.alive():
            terminal.process.kill()
        terminal.close()


@pytest.fixture
def lab(make_box):
    """Two GPUs of alice's, one of bob's, and a line."""
    box = make_box(cards=4)
    box.set(3, util=90)
    box.hold("-n", 2, "--only", "0,2", user=ALICE)
    box.hold("--only", 3, user=BOB)
    box.wait_in_line(*NEVER, "-n", 2, "--only", "1,3", user=BOB, command=("python3", "pretrain.py"))
    for seed in range(3):
        box.wait_in_line(*NEVER, "--only", 3, user=ALICE, command=("python3", "sweep.py", seed))
    return box


def row(index, state, *rest):
    """A row begins with the GPU's index, and has its state word."""
    return rf"^ +{index} .* {state}\b" + "".join(f".*{re.escape(each)}" for each in rest)


def is_as_before(terminal):
    assert terminal.mode() == terminal.before
    terminal.wait_until(lambda: terminal.raw.count(ENTER) == terminal.raw.count(LEAVE), "it has left its screen")
    assert terminal.raw.rindex("\x1b[?25h") > terminal.raw.rindex("\x1b[?25l"), "the cursor is to be seen"


def test_the_board_is_shown_at_every_size_and_q_ends_it(lab, at_terminal):
    def check(width, height):
        terminal = at_terminal(lab, size=(width, height))
        terminal.wait_for(row(0, "held", ALICE.name))
        terminal.wait_for(row(1, "kept", "for place 1"))
        terminal.wait_for(row(2, "held", ALICE.name, "= GPU 0"))
        terminal.wait_for(row(3, "held", BOB.name))
        terminal.wait_for(rf"^ +1 +{BOB.name} +2 GPUs, 1 kept" + (".*pretrain" if width >= 80 else ""))
        terminal.wait_for(rf"^ +2-4 +{ALICE.name} +1 GPU each" + (r".*\(\+2\)" if width >= 80 else ""))
        terminal.wait_for(r"q quit")
        terminal.press("q")
        assert terminal.process.wait() == 0
        terminal.wait_until(lambda: terminal.left is not None and "4 waiting" in terminal.left, "the last picture stays")
        assert "q quit" not in terminal.left
        is_as_before(terminal)

    each([(40, 10), (80, 24), (100, 30), (200, 60)], check, at_once=4)


def test_what_happens_is_shown_at_once(make_box, at_terminal):
    box = make_box(cards=2)
    terminal = at_terminal(box, SELDOM)
    terminal.wait_for(row(0, "free"))
    assert "2 free   0 waiting" in terminal.lines[0]
    job = box.hold("--only", 0, user=ALICE)
    terminal.wait_for(row(0, "held", ALICE.name))
    waiter = box.wait_in_line(*NEVER, "--only", 0, user=BOB, command=("sleep", 1000))
    terminal.wait_for(rf"^ +1 +{BOB.name} ")
    job.kill()
    terminal.wait_for(row(0, "held", BOB.name))
    waiter.kill()
    terminal.wait_for(r"2 free   0 waiting")


def test_a_waiter_that_is_killed_leaves_the_board_at_once(make_box, at_terminal):
    box = make_box(cards=1)
    box.hold(user=ALICE)
    waiters = [box.wait_in_line(*NEVER, user=BOB) for _ in range(2)]
    terminal = at_terminal(box, SELDOM)
    terminal.wait_for(r"2 waiting")
    waiters[1].kill()
    terminal.wait_for(r"1 waiting")


def test_m_hides_others_and_w_shows_whole_commands(make_box, at_terminal):
    box = make_box(cards=2)
    long = "x" * 100 + "-end"
    for card, user in ((0, ALICE), (1, BOB)):
        job = box.start("run", "--only", card, "--", "sh", "-c", f"echo up; : {long}; sleep 1000; :", user=user)
        job.wait_for("up", stdout=True)
    box.wait_in_line(*NEVER, user=BOB)
    terminal = at_terminal(box, SELDOM, user=ALICE)
    terminal.wait_for(row(1, "held", BOB.name))
    terminal.press("m")
    terminal.wait_for(rf"\b{BOB.name}\b", absent=True)
    assert re.search(row(0, "held", ALICE.name), terminal.text, re.M)
    assert "-end" not in terminal.text
    terminal.press("w")
    terminal.wait_for("-end")
    terminal.press("mw")
    terminal.wait_for(rf"\b{BOB.name}\b")
    terminal.press("?")
    terminal.wait_for(r"broken +works for nobody")
    terminal.press("x")
    terminal.wait_for(row(0, "held"))
    assert all(card["claim"] for card in box.status()), "no key has ended a job"


def test_the_arrows_scroll_and_space_freezes(make_box, at_terminal):
    box = make_box(cards=12)
    terminal = at_terminal(box, "--watch=0.1", size=(80, 10))
    terminal.wait_for(r"\.\.\. 6 more GPUs$")
    terminal.press("\x1b[B")
    terminal.wait_for(r"\.\.\. 6 more GPUs, 1 of them above")
    terminal.press("\x1bOB" * 20)
    terminal.wait_for(r"^ +11 ")
    terminal.press("\x1b[H")
    terminal.wait_for(r"^ +0 ")
    terminal.press(" ")
    terminal.wait_for(r"frozen")
    box.hold("--only", 0, user=ALICE)
    box.log_calls()
    terminal.press("?")
    terminal.wait_for(r"broken +works")
    terminal.press("?")
    terminal.wait_for(r"^ +0 .* free")
    assert not box.looks(terminal.process.pid), "a frozen board asks nobody"
    terminal.press(" ")
    terminal.wait_for(row(0, "held", ALICE.name))


def test_it_is_painted_anew_for_another_size(lab, at_terminal):
    terminal = at_terminal(lab, SELDOM)
    terminal.wait_for(r"^ GPU  memory ")
    terminal.resize(40, 10)
    terminal.wait_for(r"^ GPU +GiB")
    terminal.wait_for(r"^  2-4 .*\n q quit")
    terminal.resize(200, 60)
    terminal.wait_for(r"^ GPU .*command$")
    assert len(terminal.lines) == 60


ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGALRM, signal.SIGSEGV,
        signal.SIGABRT, signal.SIGPIPE, signal.SIGRTMIN]


def test_a_signal_ends_it_as_that_signal_and_leaves_the_terminal_as_it_was(make_box, at_terminal):
    box = make_box(cards=1)

    def check(number):
        terminal = at_terminal(box, SELDOM)
        terminal.wait_for(r"q quit")
        terminal.process.signal(number)
        assert terminal.process.wait() == -number
        terminal.wait_until(lambda: terminal.left is not None and "1 free" in terminal.left, "the last picture stays")
        is_as_before(terminal)

    each(ENDS[::SAMPLE], check, at_once=5)


def test_ctrl_c_ends_it_and_also_while_the_driver_hangs(make_box, at_terminal):
    box = make_box(cards=1)
    terminal = at_terminal(box, "--watch=0.05")
    terminal.wait_for(r"q quit")
    box.extra.append("delay_ms 60000")
    box.log_calls()
    wait_until(box.calls, "it asks the driver, which does not answer")
    terminal.press("\x03")
    assert terminal.process.wait() == -signal.SIGINT
    is_as_before(terminal)


def test_a_terminal_that_takes_no_output_keeps_it_from_nothing(make_box, at_terminal):
    box = make_box(cards=1)
    terminal = at_terminal(box, "--watch=0.05")
    terminal.wait_for(r"q quit")
    termios.tcflow(terminal.slave, termios.TCOOFF)  # as Ctrl-S does
    box.wait_for_looks(5)
    terminal.process.signal(signal.SIGTERM)
    assert terminal.process.wait() == -signal.SIGTERM
    termios.tcflow(terminal.slave, termios.TCOON)
    assert terminal.mode() == terminal.before


def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(make_box, at_terminal):
    box = make_box(cards=1)
    script = f"set -m; {box.gate} status {SELDOM}; echo stopped; fg >/dev/null; echo ended $?"
    (box.folder / "script").write_text(script)
    terminal = Terminal(box, "bash", str(box.folder / "script"))
    try:
        terminal.wait_for(r"q quit")
        raw = terminal.mode()
        assert raw != terminal.before
        terminal.press("\x1a")
        terminal.wait_until(lambda: "stopped" in terminal.raw, "the shell has the terminal")
        terminal.wait_until(lambda: terminal.raw.count(ENTER) == 2, "the board is back")
        terminal.wait_for(r"q quit")
        assert terminal.mode() == raw
        job = box.hold(user=ALICE)
        terminal.wait_for(row(0, "held", ALICE.name))
        job.kill()
        terminal.press("q")
        terminal.wait_until(lambda: "ended 0" in terminal.raw, "the board has ended")
        is_as_before(terminal)
    finally:
        terminal.close()


def test_a_driver_that_goes_away_does_not_end_it(make_box, at_terminal):
    box = make_box(cards=2)
    box.hold("--only", 0, user=ALICE)
    terminal = at_terminal(box, "--watch=0.1")
    terminal.wait_for(row(0, "held", ALICE.name))
    box.extra = ["init_error 18", "driver_error 18"]
    box.write()
    terminal.wait_for(r"(?i)driver")
    terminal.wait_for(row(0, "held", ALICE.name))
    box.extra = []
    box.write()
    terminal.wait_for(r"1 free   0 waiting")
    terminal.wait_for(r"(?i)mismatch", absent=True)


def test_a_lock_directory_that_is_replaced_is_followed(make_box, at_terminal):
    box = make_box(cards=1)
    old = box.hold(user=ALICE)
    terminal = at_terminal(box, SELDOM)
    terminal.wait_for(row(0, "held", ALICE.name))
    box.lock.rename(box.folder / "moved")
    terminal.wait_for(r"1 free   0 waiting")
    box.hold(user=BOB)
    terminal.wait_for(row(0, "held", BOB.name))
    assert old.alive()


def test_it_has_the_driver_open_only_as_it_looks(make_box, at_terminal):
    box = make_box(cards=1)
    terminal = at_terminal(box, SELDOM)
    terminal.wait_for(r"q quit")
    maps = open(f"/proc/{terminal.process.pid}/maps").read()
    assert "libnvidia-ml" not in maps
    assert not box.lock.exists(), "it stands in no line, and makes nothing"


def test_plain_text_is_for_terminals_that_know_no_better(make_box, at_terminal):
    box = make_box(cards=1)
    ascii_only = at_terminal(box, env={"LC_ALL": "C", "NO_COLOR": "1"})
    ascii_only.wait_for(r"^ +0 .* free")
    assert all(line.isascii() for line in ascii_only.lines) and not re.search(r"\x1b\[[0-9;]*[1-9]m", ascii_only.raw)
    dumb = at_terminal(box, "--watch=0.05", env={"TERM": "dumb"})
    dumb.wait_until(lambda: dumb.raw.count("idx  name") >= 3, "a plain board each time")
    assert "\x1b" not in dumb.raw


def test_without_a_terminal_a_board_comes_each_time(make_box):
    box = make_box(cards=1)
    process = box.start("status", "--watch=0.05")
    wait_until(lambda: process.out.count("idx  name") >= 3, "three boards")
    assert "\x1b" not in process.out
    process.signal(signal.SIGTERM)
    assert process.finish() == -signal.SIGTERM and not process.err, process


def test_json_is_an_object_in_a_line_also_when_something_happens(make_box):
    box = make_box(cards=1)
    process = box.start("status", SELDOM, "--json")
    process.wait_for(r'^\{"gpus":\[', stdout=True)
    box.hold(user=ALICE)
    process.wait_for(rf'"user":"{ALICE.name}"', stdout=True)
    box.wait_in_line(*NEVER, user=BOB)
    process.wait_for(r'"waiting":\[\{', stdout=True)
    last = json.loads(process.out.splitlines()[-1])
    assert set(last) == {"gpus", "waiting"}
    assert last["gpus"][0]["claim"]["user"] == ALICE.name
    assert [(each["place"], each["user"], each["count"]) for each in last["waiting"]] == [(1, BOB.name, 1)]


def test_exit_statuses_of_the_first_look_are_those_of_status(make_box):
    box = make_box(cards=1)
    box.hold(user=ALICE)
    done = box.run("status", "--watch", env={"GPU_GATE_NVML": "/nonexistent/libnvidia-ml.so.1"})
    assert done.status == 4 and ALICE.name in done.out, done
    assert box.run("status", "--watch", env={"GPU_GATE_LOCK_DIR": "relative"}).status == 2
    for words, meant in ((("--watch", "2"), "--watch=2"), (("--watch=x",), "'x' is not a time"),
                         (("--watch", "--metrics"), "leave out --watch")):
        done = box.run("status", *words)
        assert done.status == 2 and meant in done.err, done
