"""What is printed, where, and that nothing in it can hurt a terminal."""

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time
import unicodedata

import pytest

from at_once import at_once
from harness import ALICE, BOB, LIMIT, Limit, Process, children_of, each, state_of, uuid, wait_until

PIPE_ENV = {"TERM": "xterm"}
HELD = r"(?:sh -c echo held .*|sleep 1000)"  # what box.hold() runs, before its exec and after
HOSTILE = ["\x1b[2J\x1b]0;owned\x07", "x\ngpu-gate: using GPU 9", "\r\b\t", "\u202egnp", "\u009b31m", "\u200b\u2066", "\x7f"]
# Characters that never reach a terminal as they are: controls but the line break, and what hides or turns text.
FORBIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def clean(text):
    """The text, which must be valid and harmless."""
    text.encode()
    assert not FORBIDDEN.search(text), FORBIDDEN.search(text)
    return text


def read_text(path):
    with open(path) as file:
        return file.read()


class Screen(Process):
    """A program in the foreground of a terminal: what was written there is in .screen."""

    def __init__(self, box, *words, columns=80, stdin=False, stdout=False, env=None, preexec=None):
        self.master, slave = pty.openpty()
        self.name = os.ttyname(slave)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.screen = b""

        def take_the_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            if preexec:
                preexec()

        super().__init__(words, box.env(**{"TERM": "xterm", **(env or {})}), stderr=slave,
                         stdin=slave if stdin else subprocess.DEVNULL, stdout=slave if stdout else subprocess.DEVNULL,
                         preexec_fn=take_the_terminal)
        os.close(slave)
        box.processes.append(self)

    def types(self, keys):
        os.write(self.master, keys)

    def shows(self, pattern):
        """Reads until the pattern has been written."""
        limit = Limit(LIMIT)
        while not re.search(pattern, self.screen):
            left = limit.left()
            assert left, f"{pattern} is not on the terminal: {self.screen}"
            if select.select([self.master], [], [], left)[0] and not self._take():
                assert re.search(pattern, self.screen), f"{pattern} is not on the terminal: {self.screen}"

    def _take(self):
        try:
            more = os.read(self.master, 65536)
        except OSError:  # EIO: the last slave is closed
            return False
        self.screen += more
        return bool(more)

    def finish(self, limit=LIMIT):
        while self._take():
            pass
        status = self.wait(limit)  # first, or it would get SIGHUP where it has closed the terminal by itself
        os.close(self.master)
        return status


class Terminal(Screen):
    """gpu-gate on a terminal."""

    def __init__(self, box, *words, **options):
        super().__init__(box, box.gate, *words, **options)


class Shell(Screen):
    """An interactive shell on a terminal; its prompt is a $."""

    def __init__(self, box, **options):
        super().__init__(box, "bash", "--norc", "--noprofile", "--noediting", "-i", stdin=True, stdout=True,
                         env={"PS1": "$ "}, **options)
        self.shows(rb"\$ $")


# status, the table.

def table(box, **options):
    done = box.run("status", **options)
    assert (done.status, done.err) == (0, "")
    return clean(done.out).splitlines()


def test_the_table_of_idle_cards(make_box):
    box = make_box(cards=2)
    box.set(1, used=45256, util=97, name='"NVIDIA H100 80GB HBM3"')
    assert table(box) == [
        "  idx  name                        free      total  util  used by",
        "    0  NVIDIA L40S            45468 MiB  46068 MiB    0%  -",
        "    1  NVIDIA H100 80GB HBM3    212 MiB  46068 MiB   97%  45256 MiB in use by no visible process",
    ]


def test_the_table_names_the_holder(box):
    process = box.hold(user=ALICE)
    line = table(box)[1]
    assert re.search(rf"  games: {HELD} \(pid {process.pid}, \d+s\)$", line), line


def test_the_table_shows_processes_without_a_claim_with_user_pid_and_memory(box):
    outsider = box.start_plain("sleep", "1000", user=ALICE)
    box.list_processes(f"gpu=0 pid={outsider.pid} memory=300 type=compute", "gpu=0 pid=4000001 memory=unknown type=compute",
                       f"gpu=0 pid={os.getpid()} memory=20 type=graphics")
    lines = table(box)
    assert lines[1].endswith(f"games: sleep 1000 (pid {outsider.pid}, 300 MiB) (no claim)")
    assert lines[2].strip() == "pid 4000001 (no claim)"
    assert f"(pid {os.getpid()}, 20 MiB) (graphics)" in lines[3]


def test_the_table_does_not_call_a_jobs_own_process_unclaimed(box):
    process = box.hold(user=ALICE)
    box.list_processes(f"gpu=0 pid={process.pid} memory=300 type=compute")
    lines = table(box)
    assert len(lines) == 2 and "no claim" not in lines[1], lines
    assert box.status()[0]["processes"][0]["claimed"] is True


def test_the_table_calls_a_strangers_process_on_a_claimed_card_unclaimed(box):
    box.hold(user=ALICE)
    stranger = box.start_plain("sleep", "1000", user=BOB)
    box.list_processes(f"gpu=0 pid={stranger.pid} memory=300 type=compute")
    lines = table(box)
    assert lines[2].strip() == f"man: sleep 1000 (pid {stranger.pid}, 300 MiB) (no claim)"


def test_the_table_tells_a_users_other_process_from_those_of_the_job(make_box):
    box = make_box(cards=2)
    beside = box.start_plain("sleep", "1000", user=ALICE)  # of a shell that is older than the job
    job = box.start("run", "--only", "0", "--", "sh", "-c", "sleep 1000 & echo child $!; wait", user=ALICE)
    child = int(job.wait_for(r"^child (\d+)$", stdout=True).group(1))
    box.list_processes(*(f"gpu={gpu} pid={pid} memory=300 type=compute" for gpu in (0, 1) for pid in (child, beside.pid)))
    lines = table(box)
    other = f"games: sleep 1000 (pid {beside.pid}, 300 MiB) (no claim)"
    assert [line.strip() for line in lines[2:]][::2] == [other, other], lines
    assert lines[3].endswith(f"games: sleep 1000 (pid {child}, 300 MiB) strays from GPU 0"), lines
    assert [[(p["pid"], p["claimed"], p["strays"]) for p in gpu["processes"]] for gpu in box.status()] == [
        [(child, True, False), (beside.pid, False, False)], [(child, False, True), (beside.pid, False, False)]]


def test_a_job_that_is_ending_is_not_called_in_use_without_a_claim(make_box):
    box = make_box(cards=1)
    zombie = subprocess.Popen(["true"])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    box.list_processes(f"gpu=0 pid={zombie.pid} memory=300 type=compute")
    assert table(box)[1].endswith("%  its memory is being freed")
    waiter = box.start("run", "--", "true")
    waiter.wait_for("GPU 0: its memory is being freed")
    waiter.kill()
    zombie.wait()


def test_memory_of_no_process_is_being_freed_just_after_a_job_and_else_told_of(box):
    holder = box.hold_memory(user=ALICE, linger=3600)
    holder.kill()
    assert table(box)[1].endswith("%  its memory is being freed")
    assert box.run("wait", "--min-free-mb", "1").status == 0  # and so looks after the line
    then = time.time() - 3600
    os.utime(box.lock / "claims", (then, then))
    assert table(box)[1].endswith(" MiB in use by no visible process")


def test_the_table_lists_who_waits_in_order_with_what_they_want(make_box):
    box = make_box(cards=2)
    box.hold("-n", "2")
    first = box.wait_in_line("-n", "2", "--min-free-mb", "8000", user=BOB, command=("sleep", "7"))
    second = box.wait_in_line("--max-util", "20", user=ALICE, command=("sleep", "8"))
    lines = table(box)
    assert lines[3] == "  waiting: 2"
    assert re.fullmatch(rf"    1  man +2 GPUs, 8000 MiB free +\d+s  sleep 7 \(pid {first.pid}\)", lines[4]), lines
    assert re.fullmatch(rf"    2  games +1 GPU, at most 20% busy +\d+s  sleep 8 \(pid {second.pid}\)", lines[5]), lines


def test_unknown_utilisation_is_a_dash(box):
    box.set(0, util_error=3)
    assert table(box)[1].split("MiB")[2].split() == ["-", "-"]


def test_a_machine_without_a_gpu_says_so(make_box):
    box = make_box(cards=0)
    assert table(box) == ["no GPU on this machine"]
    assert box.status() == []


def test_a_card_that_is_not_well_says_why(make_box):
    box = make_box(cards=4)
    box.set(0, lost=1)
    box.set(1, recovery=1)
    box.set(2, mode="prohibited")
    box.set(3, mig=1)
    lines = table(box)
    for line, word in zip(lines[1:], ("lost", "reset", "PROHIBITED", "MIG")):
        assert word in line


def test_status_without_a_lock_directory_makes_nothing(box):
    before = sorted(os.listdir(box.folder))
    table(box)
    box.status()
    assert sorted(os.listdir(box.folder)) == before


def test_status_changes_nothing_in_the_lock_directory(box):
    box.hold()
    box.wait_in_line()
    before = {path: path.lstat().st_mtime_ns for path in box.lock.rglob("*")}
    table(box)
    box.status()
    assert {path: path.lstat().st_mtime_ns for path in box.lock.rglob("*")} == before


def test_the_table_shows_what_a_job_runs_now(box):
    holder = box.start("run", "--", "sh", "-c", "echo held; read x; exec sleep 1000", input=None, stdin=subprocess.PIPE)
    holder.wait_for("held", stdout=True)
    assert f"root: sh -c echo held; read x; exec sleep 1000 (pid {holder.pid}, " in table(box)[1]
    holder.popen.stdin.write(b"\n")
    holder.popen.stdin.flush()
    wait_until(lambda: f"root: sleep 1000 (pid {holder.pid}, " in table(box)[1], "the job is another program")


def left_behind(box):
    """A job that has ended and left a process which holds its card; returns the pid of that one."""
    job = box.start("run", "--", "sh", "-c", "sleep 1000 & echo left $!", user=ALICE)
    pid = int(job.wait_for(r"^left (\d+)$", stdout=True).group(1))
    job.wait()
    wait_until(lambda: read_text(f"/proc/{pid}/cmdline").startswith("sleep"), "it is sleep by now")
    return pid


def test_where_a_command_has_ended_the_table_names_a_process_of_it_that_holds_the_card(box):
    pid = left_behind(box)
    assert f"games: sleep 1000 (pid {pid}, " in table(box)[1]
    claim = box.status()[0]["claim"]
    assert (claim["pid"], claim["command"], claim["user"]) == (pid, "sleep 1000", "games")


def test_where_a_command_has_ended_and_none_that_holds_can_be_seen_the_table_says_so(box):
    left_behind(box)
    assert re.search(r"games: sh.* \(has ended, but something of it still holds the GPU, ", table(box, user=BOB)[1])
    claim = box.status(user=BOB)[0]["claim"]
    assert (claim["pid"], claim["user"]) == (None, "games") and claim["command"].startswith("sh")
    assert any("has ended, but something of it still holds" in line for line in box.wait_in_line(user=BOB).lines)


# Records.

def records(box):
    return "".join(path.read_text() for path in box.lock.rglob("*.json"))


def test_no_argument_of_a_command_is_left_in_a_record(box):
    job = box.start("run", "-q", "--", "env", "KEY=s3cr3t", "sh", "-c", "echo held; exec sleep 1000", "s3cr3t")
    job.wait_for("held", stdout=True)
    waiter = box.wait_in_line(command=("/usr/bin/env", "KEY=s3cr3t", "true"))
    owner = box.start_plain("sh", "-c", "read x", "s3cr3t", stdin=subprocess.PIPE)
    holder = box.start("hold", "--pid", owner.pid)
    wait_until(lambda: box.waiting() == 2, "both in line")
    assert '"command":"env"' in records(box) and '"command":"sh"' in records(box)
    assert "s3cr3t" not in records(box)
    for process in (job, waiter, holder):
        process.kill()
    assert "s3cr3t" not in records(box)


def test_of_a_waiter_the_table_shows_the_command_that_it_waits_for(box):
    box.hold()
    waiter = box.wait_in_line("-n", "1", "--poll", "7", command=("sh", "-c", "exit 0", "--", "x"))
    assert table(box)[-1].endswith(f"  sh -c exit 0 -- x (pid {waiter.pid})")


# status --json.

KEYS = {"index": int, "name": str, "uuid": str, "memory_total_mb": int, "memory_used_mb": int, "memory_free_mb": int,
        "memory_reserved_mb": int, "utilization_pct": int, "pci_bus_id": str, "processes": list, "claim": dict, "health": str,
        "repair": type(None), "accessible": bool}


def test_the_json_has_every_key_with_its_type(box):
    process = box.hold(user=ALICE)
    box.list_processes(f"gpu=0 pid={process.pid} memory=300 type=compute")
    gpu, = box.status()
    assert {key: type(gpu[key]) for key in KEYS} == KEYS
    assert "error" not in gpu
    claim = gpu["claim"]
    assert (claim["user"], claim["uid"], claim["pid"], claim["devices"]) == ("games", ALICE.uid, process.pid, [uuid(0)])
    assert re.fullmatch(HELD, claim["command"])
    assert abs(claim["since"] - time.time()) < 60
    listed, = gpu["processes"]
    assert (listed["pid"], listed["user"], listed["memory_mb"], listed["type"]) == (process.pid, "games", 300, "compute")


def test_the_json_of_an_idle_card(make_box):
    box = make_box(cards=2)
    box.set(0, util_error=3)
    first, second = box.status()
    assert (first["index"], first["utilization_pct"], first["claim"], first["processes"]) == (0, None, None, [])
    assert (first["memory_total_mb"], first["memory_used_mb"], first["memory_free_mb"]) == (46068, 0, 45468)
    assert (first["name"], first["uuid"], first["health"]) == ("NVIDIA L40S", uuid(0), "ok")
    assert first["pci_bus_id"].endswith("0000:10:00.0")
    assert second["utilization_pct"] == 0


def test_the_json_lists_a_card_that_cannot_be_read_with_an_error(make_box):
    box = make_box(cards=2)
    box.set(0, handle_error=4)
    first, second = box.status()
    assert set(KEYS) <= set(first) and isinstance(first["error"], str) and first["health"] != "ok"
    assert "error" not in second


def test_the_json_has_all_cards_of_a_claim(make_box):
    box = make_box(cards=3)
    box.hold("-n", "2")
    assert [gpu["claim"] and gpu["claim"]["devices"] for gpu in box.status()] == [[uuid(0), uuid(1)]] * 2 + [None]


# wait.

def test_wait_prints_the_cards_and_nothing_else(make_box):
    box = make_box(cards=3)
    box.set(1, used=400)

    def check(options, out):
        done = box.run("wait", *options)
        assert (done.status, done.out, done.err) == (0, out, "")

    each([
        ((), "0\n"),
        (("-n", "2"), "0,2\n"),
        (("-n", "2", "--ids", "uuid"), f"{uuid(0)},{uuid(2)}\n"),
        (("-n", "2", "--json"), f'{{"indices":[0,2],"uuids":["{uuid(0)}","{uuid(2)}"],"cuda_visible_devices":"0,2"}}\n'),
        (("--json", "--ids=uuid"), f'{{"indices":[0],"uuids":["{uuid(0)}"],"cuda_visible_devices":"{uuid(0)}"}}\n'),
    ], check)
    done = box.run_plain("sh", "-c", f'echo "[$({box.gate} wait)]"')
    assert (done.out, done.err) == ("[0]\n", "")


def test_wait_holds_nothing_afterwards(box):
    assert box.run("wait").status == 0
    assert box.status()[0]["claim"] is None
    assert box.run("run", "--timeout", "0", "--", "true").status == 0


def test_wait_keeps_its_notices_off_stdout(box):
    holder = box.hold()
    waiter = box.start("wait")
    waiter.wait_for("in line")
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.out == "0\n"


# Notices on a pipe.

def test_a_free_card_is_one_line(box):
    done = box.run("run", "--", "true")
    assert done.err == "gpu-gate: using GPU 0 (NVIDIA L40S, 45468 MiB free)\n"


def test_several_free_cards_are_one_line(make_box):
    done = make_box(cards=2).run("run", "-n", "2", "--", "true")
    assert done.err == ("gpu-gate: using GPUs 0 (NVIDIA L40S, 45468 MiB free), 1 (NVIDIA L40S, 45468 MiB free)\n")


@pytest.mark.parametrize("count,first", [("1", "gpu-gate: waiting for a free GPU ..."),
                                         ("3", "gpu-gate: waiting for 3 free GPUs ...")])
def test_a_wait_begins_with_a_line_the_reasons_and_the_place(make_box, count, first):
    box = make_box(cards=3)
    holder = box.hold("-n", "3", user=ALICE)
    waiter = box.start("run", "-n", count, "--", "true", env=PIPE_ENV)
    waiter.wait_for("in line")
    clean("\n".join(waiter.lines))
    assert waiter.lines[0] == first
    pattern = rf"gpu-gate:   GPUs 0-2: claimed by games: {HELD} \(pid {holder.pid}, \d+s\)"
    assert re.fullmatch(pattern, waiter.lines[1]), waiter.lines
    assert waiter.lines[2:] == ["gpu-gate: 1st in line"]


def test_the_start_after_a_wait_tells_how_long(box):
    holder = box.hold()
    waiter = box.wait_in_line()
    holder.kill()
    assert waiter.finish() == 0
    assert re.fullmatch(r"gpu-gate: using GPU 0 \(NVIDIA L40S, 45468 MiB free\) after \d+s", waiter.lines[-1])


def test_the_reason_tells_the_memory_and_what_was_asked_for(box):
    box.set(0, used=45256)
    waiter = box.wait_in_line("--min-free-mb", "8000")
    assert "gpu-gate:   GPU 0: 212 MiB free, 8000 MiB asked for" in waiter.lines


def test_the_reason_tells_the_utilisation_and_what_was_asked_for(box):
    box.set(0, util=97)
    waiter = box.wait_in_line("--max-util", "20")
    assert "gpu-gate:   GPU 0: 97% busy, at most 20% asked for" in waiter.lines


def test_the_reason_tells_the_processes_of_others_with_user_and_pid(box):
    outsider = box.start_plain("sleep", "1000", user=ALICE)
    box.list_processes(f"gpu=0 pid={outsider.pid} memory=300 type=compute", "gpu=0 pid=4000001 memory=5 type=compute")
    waiter = box.wait_in_line()
    line = next(line for line in waiter.lines if "GPU 0" in line)
    assert f"games: sleep 1000 (pid {outsider.pid}, 300 MiB)" in line
    assert "pid 4000001, 5 MiB" in line


def test_the_reason_tells_of_memory_that_belongs_to_no_process(box):
    box.set(0, used=9000)
    line, = (line for line in box.wait_in_line().lines if "GPU 0: 9000 MiB in use by no visible process" in line)
    assert "--min-free-mb" in line, "the way out"


def test_the_reason_tells_that_a_card_is_excluded(make_box):
    box = make_box(cards=3)
    box.hold("--only", "2")
    waiter = box.wait_in_line("--exclude", "0", "--only", "0,2")
    assert "gpu-gate:   GPU 0: in --exclude" in waiter.lines
    assert "gpu-gate:   GPU 1: not in --only" in waiter.lines


def test_cards_of_the_same_reason_share_a_line(make_box):
    box = make_box(cards=6)
    box.set(3, util=50)
    box.set(5, util=97)
    waiter = box.wait_in_line("--only", "0-3,5", "--max-util", "20", "-n", "5")
    assert waiter.lines[1:5] == [
        "gpu-gate:   GPUs 0-2: free, but 5 are asked for",
        "gpu-gate:   GPU 3: 50% busy, at most 20% asked for",
        "gpu-gate:   GPU 4: not in --only",
        "gpu-gate:   GPU 5: 97% busy, at most 20% asked for",
    ]


def test_the_reason_tells_that_a_card_is_kept_for_somebody_ahead(make_box):
    box = make_box(cards=2)
    box.hold("--only", "0")
    box.wait_in_line("-n", "2")
    waiter = box.wait_in_line()
    assert "gpu-gate:   GPU 1: kept for somebody ahead in line" in waiter.lines
    waiter.wait_for("gpu-gate: 2nd in line")


def test_the_reason_tells_that_a_card_is_not_well(make_box):
    box = make_box(cards=2)
    box.set(0, mode="prohibited")
    box.set(1, lost=1)
    lines = box.wait_in_line().lines
    assert any("GPU 0" in line and "PROHIBITED" in line for line in lines)
    assert any("GPU 1" in line and "lost" in line for line in lines)


def test_the_place_is_told_again_when_it_changes(box):
    box.hold()
    first = box.wait_in_line()
    second = box.wait_in_line()
    third = box.wait_in_line()
    assert third.lines[-1] == "gpu-gate: 3rd in line"
    first.kill()
    second.wait_for("1st in line")
    second.kill()
    third.wait_for("1st in line")


@at_once
def test_the_place_is_told_again_also_far_back_in_line(make_box):
    box = make_box(cards=1)
    box.hold()
    first = box.wait_in_line()
    box.wait_in_line()
    third = box.wait_in_line()
    first.kill()
    third.wait_for("2nd in line")  # everybody looks at the line now and then


def test_the_place_behind_many_is_told_when_they_are_in_line(make_box):
    box = make_box(cards=1)
    box.hold()
    for _ in range(65):
        box.wait_in_line()
    box.wait_in_line().wait_for("66th in line")


def test_later_a_line_comes_when_something_changed_and_not_with_each_look(box):
    box.set(0, used=45256)
    waiter = box.wait_in_line("--min-free-mb", "8000", "--poll", "0.05")
    before = list(waiter.lines)
    box.wait_for_looks(4)
    box.set(0, used=45300, util=50)
    box.wait_for_looks(4)
    assert waiter.lines == before
    box.set(0, lost=1)
    waiter.wait_for("lost")
    assert len(waiter.lines) == len(before) + 1


def test_a_claim_that_changes_hands_is_told(make_box):
    box = make_box(cards=2)
    box.hold("--only", "0")
    short = box.hold("--only", "1", user=ALICE)
    waiter = box.wait_in_line("-n", "2", "--poll", "0.05")
    short.kill()
    waiter.wait_for("GPU 1: free")


# --quiet.

def test_quiet_says_nothing_while_it_waits_and_starts(box):
    holder = box.hold()
    waiter = box.start("run", "-q", "--", "echo", "ran")
    wait_until(box.waiting, "the waiter in line")
    holder.kill()
    assert waiter.finish() == 0
    assert (waiter.err, waiter.out) == ("", "ran\n")


def test_quiet_keeps_the_errors(box):
    box.hold()
    for words, status in (
        (("run", "-q", "-n", "7", "--", "true"), 3),
        (("run", "-q", "--timeout", "0", "--only", "0", "--", "true"), 124),
        (("run", "-q", "--", "no-such-command"), 127),
        (("wait", "--quiet", "-n", "7"), 3),
    ):
        done = box.run(*words)
        assert done.status == status, done
        assert done.err.startswith("gpu-gate: "), done


def test_a_timeout_is_one_more_line(box):
    box.hold()
    done = box.run("run", "-q", "--timeout", "0.05", "--", "true")
    assert done.status == 124
    assert done.err.count("\n") == 1 and "0.05" in done.err and "--timeout" in done.err


# On a terminal.

def test_on_a_terminal_one_line_is_rewritten_with_time_and_place(box):
    holder = box.hold()
    waiter = Terminal(box, "run", "--", "true")
    waiter.shows(rb"(?s)\r\x1b\[Kgpu-gate: waited (\d+)s, 1st in line.*\r\x1b\[Kgpu-gate: waited (?!\1s)\d+s, 1st in line")
    assert waiter.screen.startswith(b"gpu-gate: waiting for a free GPU ...\r\ngpu-gate:   GPU 0: claimed by")
    holder.kill()
    assert waiter.finish() == 0
    # The rewritten line is gone before the next one comes, which stays.
    assert re.search(rb"\r\x1b\[K(gpu-gate: using GPU 0 \(.*\) after [1-9]\d*s\r\n)$", waiter.screen), waiter.screen
    assert waiter.screen.count(b"\n") == 3


def test_a_narrow_terminal_gets_a_line_that_fits(box):
    holder = box.hold()
    waiter = Terminal(box, "run", "--", "true", columns=24)
    waiter.shows(rb"\x1b\[Kgpu-gate: waited \d+s")
    holder.kill()
    waiter.finish()
    for line in re.findall(rb"\x1b\[K(gpu-gate: waited [^\r]*)\r", waiter.screen):
        assert len(line) < 24


def test_a_terminal_that_cannot_rewrite_gets_plain_lines(box):
    for terminal in ("dumb", None):
        holder = box.hold()
        waiter = Terminal(box, "run", "--", "true", env={"TERM": terminal})
        waiter.shows(rb"1st in line\r\n")
        holder.kill()
        assert waiter.finish() == 0
        clean(waiter.screen.decode().replace("\r\n", "\n"))


def test_quiet_is_quiet_on_a_terminal_too(box):
    holder = box.hold()
    waiter = Terminal(box, "run", "-q", "--", "true")
    wait_until(box.waiting, "the waiter in line")
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.screen == b""


def test_an_interrupted_wait_leaves_no_half_line_on_the_terminal(box):
    box.hold()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        waiter = Terminal(box, "run", "--", "true")
        waiter.shows(rb"waited \d+s")
        waiter.signal(number)
        assert waiter.finish() == -number
        assert waiter.screen.endswith(b"\r\x1b[K") or waiter.screen.endswith(b"\n"), waiter.screen


def test_a_hostile_command_does_not_reach_the_terminal_of_a_waiter(box):
    box.start("run", "--", "sh", "-c", "echo held; sleep 1000; :", *HOSTILE, user=ALICE).wait_for("held", stdout=True)
    waiter = Terminal(box, "run", "--", "true")
    waiter.shows(rb"waited \d+s")
    text = clean(waiter.screen.decode().replace("\r\x1b[K", "").replace("\r\n", "\n"))
    assert "using GPU 9" in text and not re.search(r"(^|\n)gpu-gate: using GPU 9", text)


def wait_for_ticks(pid, count=2):
    """Until a waiter that nothing else wakes has been awake so many times."""
    def awake():
        return int(re.search(r"\nvoluntary_ctxt_switches:\s(\d+)", read_text(f"/proc/{pid}/status")).group(1))

    end = awake() + count
    wait_until(lambda: awake() >= end, "it has been awake")


def jobs_of(shell):
    return wait_until(lambda: children_of(shell.pid), "the shell has a job")


def test_in_the_background_of_a_terminal_nothing_is_rewritten(box):
    box.hold()
    shell = Shell(box)
    shell.types(f"{box.gate} run -- true &\n".encode())
    shell.shows(rb"gpu-gate: 1st in line\r\n")
    shell.types(b"echo half a li")
    wait_for_ticks(*jobs_of(shell))
    shell.types(b"ne\n")
    shell.shows(rb"\nhalf a line\r\n")
    assert b"\x1b" not in shell.screen and b"waited" not in shell.screen, shell.screen


def test_the_line_is_rewritten_while_the_waiter_is_in_the_foreground_and_only_then(box):
    box.hold()
    shell = Shell(box)
    shell.types(f"{box.gate} run -- true\n".encode())
    shell.shows(rb"waited \d+s, 1st in line \(Ctrl-C gives up\)$")
    shell.types(b"\x1a")  # Ctrl-Z
    shell.shows(rb"Stopped[^$]*\$ $")
    waiter, = jobs_of(shell)
    shell.types(b"bg\n")
    wait_until(lambda: state_of(waiter) == "S", "it goes on")
    shown = shell.screen
    wait_for_ticks(waiter)
    shell.types(b"echo back\n")
    shell.shows(rb"\nback\r\n\$ $")
    assert b"\x1b" not in shell.screen[len(shown):], shell.screen
    shell.types(b"fg\n")
    shell.shows(rb"\x1b\[Kgpu-gate: waited \d+s[^\r]*$")
    shell.types(b"\x03")  # Ctrl-C
    shell.shows(rb"\$ $")
    shell.types(b"echo status $?\n")
    shell.shows(rb"status 130")


def test_ctrl_c_is_offered_only_where_it_ends_the_wait(box):
    """A script's background jobs ignore it."""
    box.hold()
    waiter = Terminal(box, "run", "--", "true", preexec=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN))
    waiter.shows(rb"waited \d+s, 1st in line\r")
    assert b"Ctrl-C" not in waiter.screen


def test_a_terminal_that_is_not_its_own_gets_plain_lines(box):
    """setsid, a service, a redirection to another terminal."""
    box.hold()
    outer = Screen(box, "setsid", "--wait", box.gate, "run", "--", "true")
    outer.shows(rb"1st in line\r\n")
    wait_for_ticks(*children_of(outer.pid))
    os.kill(children_of(outer.pid)[0], signal.SIGTERM)
    outer.finish()
    assert b"\x1b" not in outer.screen


# Colour.

def test_colour_and_bar_come_only_on_a_terminal(box):
    status = Terminal(box, "status", stdout=True)
    assert status.finish() == 0
    assert b"\x1b[32m" in status.screen and "░".encode() in status.screen
    assert all(line.count(b"\x1b[32m") == line.count(b"\x1b[0m") for line in status.screen.splitlines())
    piped = box.run("status", env=PIPE_ENV).out
    assert "\x1b" not in piped and "░" not in piped


def test_no_color_turns_it_off(box):
    for value in ("1", "no"):
        status = Terminal(box, "status", stdout=True, env={"NO_COLOR": value})
        assert status.finish() == 0
        assert b"\x1b" not in status.screen, value


def test_json_has_no_colour_on_a_terminal(box):
    status = Terminal(box, "status", "--json", stdout=True)
    assert status.finish() == 0
    assert b"\x1b" not in status.screen
    json.loads(status.screen)


# The width of the terminal.

def width_of(line):
    """In columns, by the Unicode Character Database."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def status_on_terminal(box, columns, **options):
    status = Terminal(box, "status", stdout=True, columns=columns, **options)
    assert status.finish() == 0
    return re.sub(r"\x1b\[\d*m", "", status.screen.decode()).replace("\r\n", "\n").splitlines()


@pytest.fixture
def wide_box(make_box):
    """Long commands, in scripts of all widths: a holder, a process without a claim, a waiter."""
    box = make_box(cards=3)
    box.set(1, name='"NVIDIA RTX PRO 6000 Blackwell Workstation Edition"')
    words = ["训练模型.py", "--имя=обучение", "ｆｕｌｌ", "e\u0301te\u0301", *(f"--option-{i}" for i in range(9))]
    script = "echo held; sleep 1000; :"
    box.holder = box.start("run", "--only", "0", "--", "sh", "-c", script, *words, user=ALICE)
    box.holder.wait_for("held", stdout=True)
    box.stranger = box.start_plain("sh", "-c", "read x; :", *words, user=BOB, stdin=subprocess.PIPE)
    box.list_processes(f"gpu=1 pid={box.stranger.pid} memory=300 type=compute")
    box.waiter = box.wait_in_line("-n", "3", "--max-util", "100", "--min-free-mb", "40000", user=BOB, command=("echo", *words))
    return box


def test_no_line_of_the_table_is_wider_than_the_terminal(wide_box):
    def check(columns, locale):
        lines = status_on_terminal(wide_box, columns, env={"LC_ALL": locale})
        assert all(width_of(line) <= columns for line in lines), lines
        text = "\n".join(lines)
        assert text.isascii() == (locale == "C")
        if columns >= 80:
            assert f"(pid {wide_box.waiter.pid})" in text
            assert re.search(rf"games: .* \(pid {wide_box.holder.pid}, \d+s\)", text), text
            assert re.search(rf"man: .* \(pid {wide_box.stranger.pid}, 300 MiB\) \(no claim\)", text), text
        if columns >= 1000:
            assert "…" not in text and "--option-8" in text and "Workstation Edition" in text
        else:
            assert ("…" if locale != "C" else "...") in text

    each([(columns, locale) for columns in (20, 40, 60, 79, 80, 81, 100, 132, 200, 1000) for locale in ("C.UTF-8", "C")], check)


def test_where_the_terminal_is_narrow_the_bar_goes_first(box):
    holder = box.start("run", "--", "sleep", "1000", *["0"] * 50, user=ALICE)
    wait_until(box.claimed, "the job has its card")
    wide, narrow = status_on_terminal(box, 120), status_on_terminal(box, 80)
    assert "░" in wide[1] and "░" not in narrow[1] and "memory" not in narrow[0]
    assert re.search(rf"  0%  games: sleep .*… \(pid {holder.pid}, \d+s\)$", narrow[1]), narrow


def test_sixteen_cards_are_sixteen_lines_at_100_columns(make_box):
    box = make_box(cards=16)
    for card in range(16):
        box.set(card, name='"NVIDIA H100 80GB HBM3"', memory=81559)
    words = ["torchrun", "--nproc-per-node=8", "--master-addr=localhost", "train.py", *(f"--option-{i}=1" for i in range(20))]
    box.start("run", "-q", "-n", 8, "--", "sh", "-c", "sleep 1000; :", *words, user=ALICE)
    wait_until(lambda: len(box.claimed()) == 8, "the first job has its cards")
    for _ in range(4):
        box.start("run", "-q", "--", "sh", "-c", "sleep 1000; :", *words, user=BOB)
    wait_until(lambda: len(box.claimed()) == 12, "all have their cards")
    stranger = box.start_plain("sh", "-c", "read x; :", *words, user=BOB, stdin=subprocess.PIPE)
    box.list_processes(f"gpu=12 pid={stranger.pid} memory=80000 type=compute")
    head, *cards = status_on_terminal(box, 100)
    assert head.split()[0] == "idx" and [line.split()[0] for line in cards] == [str(card) for card in range(16)], cards
    assert all(width_of(line) <= 100 for line in cards), cards
    assert all(re.search(r"(games|man): sh .*\(pid \d+, .*\)", line) for line in cards[:13]), cards


def test_what_is_no_terminal_gets_whole_lines(wide_box):
    text = wide_box.run("status").out
    assert "…" not in text and text.count("--option-8") == 3


# Text of other users.

@pytest.fixture
def hostile_box(make_box):
    """Two cards: a claim, and a process without one, both with hostile words; and a hostile waiter."""
    box = make_box(cards=2)
    words = [*HOSTILE, b"\xff\xfe", b"\xe2\x80", b"\xed\xa0\x80"]
    job = box.start("run", "-q", "--only", "0", "--", "sh", "-c", "echo held; sleep 1000; :", *words, user=ALICE)
    job.wait_for("held", stdout=True)
    outsider = box.start_plain("sh", "-c", "read x; :", *words, user=ALICE, stdin=subprocess.PIPE)
    box.list_processes(f"gpu=1 pid={outsider.pid} memory=300 type=compute")
    box.start("run", "-q", "--", "echo", *words, user=ALICE)
    wait_until(box.waiting, "the hostile waiter in line")
    return box


def test_hostile_text_is_shown_escaped_in_the_table(hostile_box):
    text = clean(hostile_box.run("status").out)
    assert len(text.splitlines()) == 5, text
    assert text.count("\\x1b[2J") == 3, text
    assert "\\n" in text and "\\xff" in text and "202e" in text


def test_hostile_text_is_shown_escaped_in_notices(hostile_box):
    waiter = hostile_box.wait_in_line()
    text = clean("\n".join(waiter.lines))
    assert all(line.startswith("gpu-gate: ") for line in waiter.lines)
    assert "\\x1b[2J" in text and "\\x07" in text and "\\xff" in text
    assert len(waiter.lines) == 4, waiter.lines


def test_hostile_text_is_harmless_in_the_json_too(hostile_box):
    json.loads(clean(hostile_box.run("status", "--json").out))


def test_a_huge_command_line_does_not_flood_the_table(box):
    process = box.start("run", "--", "sh", "-c", "echo held; sleep 1000; :", *["x" * 100_000] * 5)
    process.wait_for("held", stdout=True)
    assert len(box.run("status").out) < 10_000


# Streams that are closed or full.

WRITERS = [("status",), ("status", "--json"), ("wait",), ("wait", "--json"), ("--help",), ("run", "--help"), ("--version",)]


TOLD = r"gpu-gate: .*standard output.*\n"


def test_a_full_stdout_is_told_and_is_no_success(box):
    def check(*words):
        with open("/dev/full", "wb") as full:
            done = box.run(*words, stdout=full)
        assert done.status == 125
        assert re.fullmatch(TOLD, done.err), done

    each(WRITERS, check)


def test_a_closed_stdout_is_told_and_is_no_success(box):
    def check(*words):
        done = box.run(*words, preexec_fn=lambda: os.close(1))
        assert done.status != 0
        assert re.fullmatch(TOLD, done.err), done

    each(WRITERS, check)


def test_a_reader_that_went_away_ends_it_without_a_mess(box):
    def check(*words):
        read, write = os.pipe()
        os.close(read)
        done = box.run(*words, stdout=write)
        os.close(write)
        assert done.status != 0
        assert done.err.count("\n") <= 1, done

    each(WRITERS, check)


@contextlib.contextmanager
def broken(kind):
    if kind == "full":
        with open("/dev/full", "wb") as full:
            yield {"stderr": full}
    elif kind == "closed":
        yield {"stderr": subprocess.DEVNULL, "preexec_fn": lambda: os.close(2)}
    else:
        read, write = os.pipe()
        os.close(read)
        yield {"stderr": write}
        os.close(write)


@pytest.mark.parametrize("when", ["at_once", "after_a_wait"])
@pytest.mark.parametrize("kind", ["full", "closed", "broken_pipe"])
def test_a_stderr_that_cannot_be_written_does_not_stop_the_job(box, kind, when):
    words = ("sh", "-c", "grep -E 'SigIgn|SigBlk|SigPnd' /proc/self/status; exit 7")
    holder = box.hold() if when == "after_a_wait" else None
    with broken(kind) as options:
        process = box.start("run", "--", *words, **options)
        if holder:
            wait_until(box.waiting, "the waiter in line")
            holder.kill()
        assert process.finish() == 7
    assert process.out == box.run_plain(*words).out != ""


def test_a_stderr_that_nobody_reads_any_more_does_not_stop_a_waiter(box):
    holder = box.hold()
    read, write = os.pipe()
    waiter = box.start("run", "--", "echo", "ran", stderr=write)
    os.close(write)
    assert os.read(read, 10).startswith(b"gpu-gate")
    wait_until(box.waiting, "the waiter in line")
    os.close(read)
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.out == "ran\n"


# A stderr that nobody reads.

CTRL_S, CTRL_Q = b"\x13", b"\x11"


@contextlib.contextmanager
def unread_pipe(room=0):
    """A pipe that takes so many bytes more."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096 + room)
    os.write(write, b"x" * 4096)
    with open(read, "rb"), open(write, "wb"):
        yield write


def unread_pipe_with_room():
    """A pipe that takes a notice or two and no more."""
    return unread_pipe(room=4096)


@contextlib.contextmanager
def unread_socket():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                theirs.send(b"x" * 1000)
        theirs.setblocking(True)
        yield theirs.fileno()


@contextlib.contextmanager
def stopped_terminal():
    """Somebody has pressed Ctrl-S."""
    master, slave = pty.openpty()
    with open(master, "wb", buffering=0) as keyboard, open(slave, "wb"):
        keyboard.write(CTRL_S)
        wait_until(lambda: not select.select([], [slave], [], 0)[1], "the terminal is stopped")
        yield slave


@contextlib.contextmanager
def unread_terminal():
    """Whoever shows it has been stopped: it takes a few bytes and no more."""
    master, slave = pty.openpty()
    with open(master, "rb", buffering=0) as screen, open(slave, "wb"):
        os.set_blocking(slave, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(slave, b"x" * 1000)
        os.set_blocking(slave, True)
        screen.read(100)
        yield slave


UNREAD = [unread_pipe, unread_pipe_with_room, unread_socket, stopped_terminal, unread_terminal]
unread = pytest.mark.parametrize("stream", UNREAD, ids=lambda stream: stream.__name__)


@unread
def test_a_stderr_that_nobody_reads_costs_nobody_the_turn(box, stream):
    holder = box.hold()
    with stream() as stderr:
        waiter = box.start("run", "--", "echo", "ran", stderr=stderr, env=PIPE_ENV)
        wait_until(box.waiting, "the waiter in line")
        holder.kill()
        assert waiter.finish() == 0
    assert waiter.out == "ran\n"


@unread
def test_a_stderr_that_nobody_reads_holds_up_no_job(box, stream):
    with stream() as stderr:
        job = box.run("run", "--", "echo", "ran", stderr=stderr, env=PIPE_ENV)
    assert (job.status, job.out) == (0, "ran\n")


@unread
def test_a_stderr_that_nobody_reads_leaves_the_timeout_its_effect(box, stream):
    box.hold()
    with stream() as stderr:
        assert box.run("run", "--timeout", "0.2", "--", "true", stderr=stderr, env=PIPE_ENV).status == 124


@unread
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stderr_that_nobody_reads_leaves_signals_their_effect(box, stream, number):
    box.hold()
    with stream() as stderr:
        waiter = box.start("run", "--", "true", stderr=stderr, env=PIPE_ENV)
        wait_until(box.waiting, "the waiter in line")
        waiter.signal(number)
        assert waiter.finish() == -number


def takes_text(terminal):
    """Would a write to it go at once?"""
    with open(os.open(terminal, os.O_WRONLY | os.O_NOCTTY), "wb") as fd:
        return bool(select.select([], [fd], [], 0)[1])


def test_ctrl_s_in_the_middle_of_a_wait_costs_nobody_the_turn(box):
    holder = box.hold()
    waiter = Terminal(box, "run", "--", "touch", box.folder / "ran")
    waiter.shows(rb"waited \d+s")
    waiter.types(CTRL_S)
    wait_until(lambda: not takes_text(waiter.name), "the terminal is stopped")
    holder.kill()
    wait_until((box.folder / "ran").exists, "the command has run")
    waiter.types(CTRL_Q)
    assert waiter.finish() == 0


def test_a_refusal_waits_a_little_for_a_reader_who_is_slow(box):
    with unread_pipe() as stderr:
        process = box.start("run", "-n", "none", "--", "true", stderr=stderr)
        wait_until(lambda: state_of(process.pid) in "SZ", "it waits for a reader")
        with open(f"/proc/self/fd/{stderr}", "rb", buffering=0) as reader:
            assert reader.read(4096) == b"x" * 4096
            assert re.fullmatch(rb"gpu-gate: run: --count: .*\n", reader.read(4096))
        assert process.finish() == 2


def test_the_flags_of_the_callers_stderr_stay_as_they_were(box):
    holder = box.hold()
    with unread_pipe() as stderr:
        waiter = box.start("run", "--", "true", stderr=stderr)
        wait_until(box.waiting, "the waiter in line")
        assert os.get_blocking(stderr)
        holder.kill()
        assert waiter.finish() == 0
        assert os.get_blocking(stderr)


def test_a_waiter_in_the_background_is_not_stopped_by_what_it_says(box):
    """stty tostop stops what writes from there, and a waiter that is stopped loses its turn."""
    holder = box.hold()
    shell = Shell(box)
    shell.types(f"stty tostop; {box.gate} run -- touch {box.folder}/ran &\n".encode())
    shell.shows(rb"1st in line")
    holder.kill()
    wait_until((box.folder / "ran").exists, "the command has run")
