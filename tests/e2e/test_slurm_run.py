"""run and wait with --on slurm, on a real cluster of two nodes (slurm.py)."""

import json
import os
import pathlib
import re
import signal
import time

import pytest

import terminal
from harness import ALICE, children_of, each, state_of, wait_until
from slurm import GPUS

pytestmark = pytest.mark.usefixtures("slurm")

WAITS = "sleep 1000"
UP = "echo up; "


class Site:
    """gpu-gate of a user of the cluster."""

    def __init__(self, box, slurm):
        self.box, self.slurm = box, slurm

    def options(self, options):
        options["env"] = {**self.slurm.env, **options.pop("env", {})}
        return options

    def run(self, *words, verb="run", **options):
        """Runs `gpu-gate run --on slurm` with these words to its end."""
        return self.box.run(verb, "--on", "slurm", *words, **self.options(options))

    def sh(self, script, *options, **more):
        return self.run(*options, "--", "sh", "-c", script, **more)

    def start(self, *words, verb="run", **options):
        return self.box.start(verb, "--on", "slurm", *words, **self.options(options))

    def start_sh(self, script, *options, **more):
        """Returns once the script has said `up`."""
        process = self.start(*options, "--", "sh", "-c", UP + script, **more)
        process.wait_for("^up$", stdout=True)
        return process

    def fill(self):
        """Jobs that hold every GPU of the cluster."""
        return [self.start_sh("exec sleep 1000", "-n", 4, f"--slurm-args=-w {node}") for node in ("n1", "n2")]

    def wait_in_line(self, *options, command=("true",), **more):
        """One that waits in Slurm's queue, with .job, its number there."""
        process = self.start(*options, "--", *command, **more)
        process.job = int(process.wait_for(r"waiting for .* on Slurm \(job (\d+)").group(1))
        return process


@pytest.fixture
def site(box, slurm):
    yield Site(box, slurm)
    # In order: of a srun that is killed Slurm learns only seconds later.
    for process in box.processes:
        if process.alive():
            process.signal(signal.SIGKILL)
    if slurm.pid("controller"):
        wait_until(lambda: slurm.try_run("squeue", "-h") == "", "the jobs have ended")


@pytest.fixture
def full(site):
    """The site with every GPU taken; .holders are the two jobs that have them."""
    site.holders = site.fill()
    return site


def end(process, number=signal.SIGTERM):
    process.signal(number)
    process.finish()


# How it ends.

def test_the_exit_code_is_that_of_the_command(site):
    cases = [("exit 0", 0), ("exit 7", 7), ("exit 251", 251), ("exit 252", 252), ("exit 124", 124), ("kill -9 $$", 137),
             ("kill -TERM $$", 143), ("exec /no/such/file", 127), ("exec /etc/passwd", 126)]
    each(cases, lambda script, status: same(site.sh(script).status, status), at_once=3)


def same(one, other):
    assert one == other


def test_a_command_that_the_node_does_not_have_or_cannot_execute(site):
    missing = site.run("--", "frobnicate")
    assert missing.status == 127 and missing.lines[-1] == "gpu-gate: frobnicate: command not found on n1"
    closed = site.run("--", "/etc/passwd")
    assert closed.status == 126 and closed.lines[-1].startswith("gpu-gate: ")


def test_a_directory_that_the_node_lacks_is_126(site, box):
    folder = box.folder / "gone"
    folder.mkdir()
    os.chown(folder, ALICE.uid, ALICE.gid)
    script = 'chmod 0 . && exec "$0" run --on slurm -- true'
    done = box.run_plain("sh", "-c", script, box.gate, user=ALICE, cwd=folder, **site.options({}))
    assert done.status == 126 and "--slurm-args=--chdir=DIR" in done.err, done
    assert site.run("--slurm-args=--chdir=/usr", "--", "pwd", cwd=box.folder).out == "/usr\n"


def test_the_command_starts_where_it_was_called(site, box):
    real, link = box.folder / "real", box.folder / "link"
    real.mkdir()
    link.symlink_to(real)
    assert site.sh("pwd", cwd=real, env={"PWD": link}).out == f"{link}\n"
    assert site.sh("pwd", cwd=real, env={"PWD": "/usr"}).out == f"{real}\n"


# Streams.

def test_the_streams_stay_apart_and_srun_says_nothing(site):
    done = site.sh("echo out; echo err >&2; exit 3")
    assert done.status == 3 and done.out == "out\n"
    assert done.lines == ["gpu-gate: using GPU 0 of n1", "err"]
    assert site.sh("kill -KILL $$", "-q").err == ""


def test_output_is_not_kept_back(site):
    for stream, where in (("stdout", ""), ("stderr", " >&2")):
        read_end, write_end = os.pipe()
        process = site.start("-q", "--", "sh", "-c", f"printf part{where}; exec sleep 1000", **{stream: write_end})
        os.close(write_end)
        with open(read_end, "rb") as reader:
            assert reader.read(4) == b"part"
            end(process)


def test_binary_data_goes_through_both_ways(site, box):
    data = os.urandom(5 << 20)
    (box.folder / "data").write_bytes(data)
    out = box.folder / "out"
    with open(box.folder / "data", "rb") as source, open(out, "wb") as target:
        done = site.run("-q", "--", "cat", stdin=source, stdout=target)
    assert done.status == 0 and out.read_bytes() == data
    with open(out, "wb") as target:
        done = site.run("-q", "--", "cat", input=data, stdout=target)
    assert done.status == 0 and out.read_bytes() == data


def test_standard_input_may_be_closed_or_nothing(site, box):
    shell = [box.gate, "run", "--on", "slurm", "-q", "--", "sh", "-c", "cat; echo done"]
    done = box.run_plain("sh", "-c", '"$@" <&-', "sh", *shell, **site.options({}))
    assert (done.status, done.out) == (0, "done\n")
    assert site.sh("cat; echo done").out == "done\n"


def test_a_closed_standard_output_or_error_does_no_harm(site, box):
    shell = [box.gate, "run", "--on", "slurm", "--", "sh", "-c", "echo out; echo err >&2; exit 4"]
    done = box.run_plain("sh", "-c", '"$@" >&- 2>&-', "sh", *shell, **site.options({}))
    assert (done.status, done.out, done.err) == (4, "", "")


def test_a_reader_that_leaves_ends_the_command_as_sigpipe_does(site, box):
    line = f"{box.gate} run --on slurm -q -- yes | head -n 1; echo ${{PIPESTATUS[0]}}"
    done = box.run_plain("bash", "-c", line, **site.options({}))
    assert done.out == "y\n141\n", done


def test_a_full_disk_is_told_and_does_not_stop_the_command(site):
    with open("/dev/full", "wb") as full:
        done = site.sh("echo x; exit 6", stdout=full)
    assert done.status == 6 and "gpu-gate: cannot write to standard output: No space left on device" in done.lines, done


def test_input_is_not_read_before_the_command_starts(full, box):
    script = 'while read -r line; do echo "$line"; "$@" </dev/stdin; done; true'
    words = [box.gate, "run", "--on", "slurm", "-q", "--timeout", "0.3", "--", "cat"]
    done = box.run_plain("sh", "-c", script, "sh", *words, input=b"one\ntwo\nthree\n", **full.options({}))
    assert done.out == "one\ntwo\nthree\n", done


def test_output_of_a_command_that_is_killed_is_kept(site):
    cases = [(f"seq {count}; kill -9 $$", count) for count in (1, 30, 3000)]

    def kept(script, count):
        done = site.sh(script, "-q")
        assert done.status == 137 and done.out.split() == [str(n + 1) for n in range(count)]

    each(cases, kept)


def test_a_slow_reader_loses_nothing(site, box):
    line = f"{box.gate} run --on slurm -q -- seq 300000 | (sleep 0.5; md5sum)"
    want = box.run_plain("sh", "-c", "seq 300000 | md5sum").out
    assert box.run_plain("bash", "-c", line, **site.options({})).out == want


# What the command sees.

def test_the_environment_of_the_command(site):
    done = site.run("-n", 2, "-q", "--slurm-args=--gpus=h100:2", "--", "env", env={
        "GPU_GATE_CLAIM": "7", "GPU_GATE_SHARE_MB": "8", "CUDA_VISIBLE_DEVICES": "5", "SLURM_EXIT_ERROR": "9", "n": "mine",
        "line": "mine", "MINE": "a b\tc"})
    seen = dict(line.split("=", 1) for line in done.out.splitlines() if "=" in line)
    assert {name: seen.get(name) for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_INDICES",
                                              "GPU_GATE_UUIDS", "n", "line", "MINE")} == {
        "CUDA_VISIBLE_DEVICES": "2,3", "CUDA_DEVICE_ORDER": "PCI_BUS_ID", "GPU_GATE_INDICES": "2,3", "GPU_GATE_UUIDS": "",
        "n": "mine", "line": "mine", "MINE": "a b\tc"}
    assert not [name for name in seen if name.startswith(("SLURM_EXIT_", "GPU_GATE_CLAIM", "GPU_GATE_SHARE"))]


def test_words_arrive_as_they_are(site):
    words = ["", " ", "a b", "$HOME", "`x`", "it's", '"', "\\", "*", "-n", "--", "ä\n"]
    done = site.run("-q", "--", "printf", "<%s>", *words)
    assert done.out == "".join(f"<{word}>" for word in words)


def test_squeue_shows_the_command_and_the_note(full):
    waiter = full.wait_in_line("--note", "bert large", "--nice", command=("/bin/sleep", "1"), user=ALICE)
    shown = full.slurm.run("squeue", "-h", "-j", str(waiter.job), "-o", "%j|%k|%y|%u|%b")
    assert shown.startswith("sleep|bert large|") and "|games|" in shown
    assert int(shown.split("|")[2]) > 2147483645 - 200 or int(shown.split("|")[2]) == 100, shown
    end(waiter)


# Signals.

def test_a_signal_reaches_the_command_which_ends_in_its_own_time(site):
    script = """for s in INT TERM HUP USR1 USR2; do trap "echo got $s" $s; done
        trap 'sleep 3; echo saved; exit 5' QUIT; echo ready; while :; do sleep 0.05; done"""
    process = site.start("-q", "--", "sh", "-c", script)
    process.wait_for("^ready$", stdout=True)
    for name in ("INT", "TERM", "HUP", "USR1", "USR2", "INT"):
        count = process.out.count(f"got {name}")
        process.signal(getattr(signal, f"SIG{name}"))
        wait_until(lambda: process.out.count(f"got {name}") == count + 1, f"the command has got {name}: {process}")
    process.signal(signal.SIGQUIT)  # longer than Slurm's KillWait
    assert process.finish() == 5 and "saved" in process.out


def test_a_command_that_dies_of_a_signal_that_was_passed_on(site):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = site.start_sh("exec sleep 1000")
        end(process, number)
        assert process.status == -number and process.lines == ["gpu-gate: using GPU 0 of n1"], process


def test_a_signal_at_the_very_start_reaches_the_command_too(site):
    def at(delay):
        process = site.start("-q", "--", "sleep", "1000")
        time.sleep(delay)
        process.signal(signal.SIGTERM)
        assert process.finish(20) == -signal.SIGTERM, process

    each([(0.005 * i,) for i in range(16)], at, at_once=4)
    site.slurm.wait_until_idle()


def test_a_signal_while_it_waits_takes_the_request_back(full):
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        waiter = full.wait_in_line()
        end(waiter, number)
        assert waiter.status == -number
        assert waiter.job not in full.slurm.jobs()


@pytest.fixture
def on_terminal(site):
    """on_terminal(script): gpu-gate run --on slurm in the foreground of a terminal."""
    screens = []

    def run(script):
        words = ("run", "--on", "slurm", "--", "sh", "-c", script)
        screens.append(terminal.Terminal(site.box, site.box.gate, *words, env=site.slurm.env))
        return screens[-1]

    yield run
    for screen in screens:
        screen.close()


def test_ctrl_c_on_a_terminal(on_terminal):
    screen = on_terminal('trap "echo one more; trap - INT" INT; echo up; while :; do sleep 0.05; done')
    screen.wait_for("up")
    screen.press("\x03")
    screen.wait_for("one more")
    screen.press("\x03")
    assert screen.process.finish() == -signal.SIGINT


def test_what_is_typed_reaches_the_command(on_terminal):
    screen = on_terminal('read a; echo "got $a"; cat; echo over')
    screen.wait_for("using GPU")
    screen.press("hello\n")
    screen.wait_for("got hello")
    screen.press("\x04")
    screen.wait_for("over")
    assert screen.process.finish() == 0


def test_in_the_background_it_leaves_the_terminal_alone(site):
    screen = terminal.Terminal(site.box, "bash", "--norc", "-i", env={**site.slurm.env, "PS1": "prompt> "})
    screen.wait_for("prompt>")
    screen.press(f"{site.box.gate} run --on slurm -q -- sh -c 'echo u''p; sleep 1.5; echo job do''ne' &\n")
    screen.wait_for(r"\bup$")
    screen.press("echo read''y; read x; echo read $x\n")
    screen.wait_for("ready$")
    screen.press("mine\n")
    screen.wait_for("read mine$")
    screen.wait_for("job done$")
    screen.press("exit\n")
    screen.process.finish()
    screen.close()


# SIGKILL.

def has_ended(pid):
    """Whoever it was left to may not have asked for its status yet."""
    return state_of(pid) in ("", "Z")


def test_a_running_command_ends_with_a_gpu_gate_that_is_killed(site, box):
    pid_file = box.folder / "pid"
    process = site.start_sh(f"echo $$ > {pid_file}; trap '' HUP INT TERM; while :; do sleep 0.1; done")
    command = int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), "its pid"))
    process.kill()
    wait_until(lambda: has_ended(command), "the command has ended", 20)
    site.slurm.wait_until_idle(20)


def test_a_running_command_ends_when_all_that_is_called_gpu_gate_is_killed(site):
    """As by `pkill -9 -f gpu-gate` and `killall -9 gpu-gate`."""
    process = site.start_sh("exec sleep 1000", "-q")

    def names(pid):
        folder = pathlib.Path(f"/proc/{pid}")
        return (folder / "comm").read_bytes() + (folder / "cmdline").read_bytes().split(b"\0")[0]

    beside = [pid for pid in children_of(process.pid) if b"gpu-gate" in names(pid)]
    for pid in [process.pid, *beside]:
        os.kill(pid, signal.SIGKILL)
    site.slurm.wait_until_idle(20)


def test_a_waiting_command_never_starts_after_gpu_gate_was_killed(full, box):
    sign = box.folder / "started"
    waiter = full.wait_in_line(command=("touch", sign))
    waiter.kill()
    for holder in full.holders:
        end(holder)
    full.slurm.wait_until_idle(20)
    assert not sign.exists()


def test_a_gpu_gate_that_is_killed_at_the_very_start_leaves_nothing(site, box):
    sign = box.folder / "started"
    sign.touch()

    def at(delay):
        process = site.start("-q", "--", "sh", "-c", f"echo $$ >>{sign}; exec sleep 1000")
        time.sleep(delay)
        process.kill()

    each([(0.003 * i,) for i in range(30)], at, at_once=4)
    site.slurm.wait_until_idle(20)
    wait_until(lambda: all(map(has_ended, sign.read_text().split())), "every command has ended", 20)


def test_a_srun_that_is_killed_is_told(site):
    process = site.start_sh("exec sleep 1000", "-q")
    os.kill(children_of(process.pid)[0], signal.SIGKILL)
    assert process.finish() == 125 and process.lines == ["gpu-gate: srun was killed: Killed"], process
    site.slurm.wait_until_idle(20)


# Waiting.

def test_what_it_says_while_it_waits(full):
    waiter = full.wait_in_line("-n", 2, "--poll", "0.2")
    assert f"gpu-gate: waiting for 2 free GPUs on Slurm (job {waiter.job})" in waiter.lines
    waiter.wait_for(rf"^gpu-gate: waiting for 2 free GPUs on Slurm \(job {waiter.job}: (Resources|Priority)\)$")
    end(full.holders[0])
    waiter.finish()
    assert waiter.status == 0 and re.fullmatch(r"gpu-gate: using GPUs 0,1 of n1 after \d+s", waiter.lines[-1]), waiter
    assert not [line for line in waiter.lines if not line.startswith("gpu-gate: ")]


def test_quiet_says_nothing(full):
    waiter = full.start("-q", "--", "true")
    full.slurm.wait_for_job("PENDING")
    end(full.holders[0])
    assert waiter.finish() == 0 and waiter.err == ""


def test_timeout_is_124_and_leaves_nothing(full):
    for timeout in ("0.5", "0"):
        done = full.run("--timeout", timeout, "--", "true")
        assert done.status == 124 and "--timeout" in done.lines[-1], done
        assert len(full.slurm.jobs()) == 2
    assert full.run("-q", "--timeout", 0, "-n", 5, "--", "true").status == 3


def test_timeout_does_not_count_the_running_command(site):
    assert site.sh("sleep 1; exit 9", "--timeout", "0.5").status == 9
    assert site.sh("sleep 1; exit 9", "--timeout", "0").status == 9


def test_a_request_that_is_cancelled_by_others(full):
    waiter = full.wait_in_line()
    full.slurm.run("scancel", str(waiter.job))
    assert waiter.finish() == -signal.SIGTERM
    assert f"gpu-gate: job {waiter.job} was cancelled while it waited" in waiter.lines


def test_a_job_that_is_cancelled_by_others(site):
    process = site.start_sh("exec sleep 1000")
    site.slurm.run("scancel", str(site.slurm.wait_for_job("RUNNING")))
    assert process.finish() == 143
    assert re.match(r"gpu-gate: error: \*\*\* STEP \d+\.0 ON n1 CANCELLED AT ", process.lines[-1]), process


def test_drained_nodes_are_waited_for(site):
    site.slurm.run("scontrol", "update", "NodeName=n[1-2]", "State=DRAIN", "Reason=test")
    waiter = site.wait_in_line("--poll", "0.2")
    waiter.wait_for(r"job \d+: .*(Drain|DRAIN|Unavail|not available)")
    site.slurm.run("scontrol", "update", "NodeName=n[1-2]", "State=RESUME")
    assert waiter.finish() == 0


# What can never be, and what is not there.

def test_what_the_cluster_can_never_meet_is_3(site):
    cases = [(("-n", 5), "Requested node configuration is not available"),
             (("--slurm-args=-p nowhere",), "Invalid partition name specified"),
             (("--slurm-args=-C frob",), "Invalid feature specification"),
             (("--slurm-args=--gpus=frob:1",), "Requested node configuration is not available")]
    for options, reason in cases:
        done = site.run(*options, "--", "true")
        assert done.status == 3 and reason in done.lines[-1] and len(done.lines) == 1, done


def test_options_that_srun_does_not_know_are_2(site):
    done = site.run("--slurm-args=--frob", "--", "true")
    assert done.status == 2 and "--slurm-args" in done.err and "--frob" in done.err and len(done.lines) == 1, done


def test_slurm_args_reach_srun(site):
    done = site.run("-q", "--slurm-args=-w n2 -t 7", "--slurm-args", "-p other", "--", "sh", "-c",
                    "echo $SLURMD_NODENAME; squeue -h -j $SLURM_JOB_ID -o '%l %P'")
    assert done.out == "n2\n7:00 other\n"


def refused(done, *words):
    assert done.status == 2 and len(done.lines) == 1, done
    for word in words:
        assert word in done.lines[0], done


def test_what_slurm_cannot_do_is_refused_with_what_does(site):
    for option, instead in (("--only=0", "-w NODE"), ("--exclude=0", "-x NODE"), ("--share=8G", "whole GPUs"),
                            ("--vendor=amd", "--gpus=TYPE:N"), ("--ids=uuid", "GPU_GATE_UUIDS"),
                            ("--slurm-args=-n2", "one task"), ("--slurm-args=--pty", "srun --pty"),
                            ("--slurm-args=-p gpu --input=none", "--input=none"), ("--slurm-args=-l", "streams")):
        refused(site.run(option, "--", "true"), option.split("=")[0], instead)
    refused(site.box.run("hold", "--on", "slurm"), "salloc")
    refused(site.box.run("run", "--slurm-args=-p x", "--", "true"), "--on slurm")
    done = site.run("--max-util", 10, "--", "true")
    assert done.status == 0 and "--max-util is not part of the request" in done.err


def test_without_slurms_commands_it_is_4(box):
    done = box.run("run", "--on", "slurm", "--", "true", env={"PATH": "/nonexistent"})
    assert done.status == 4 and done.lines == ["gpu-gate: there is no srun here: --on slurm needs Slurm's client commands "
                                               "in PATH, as on a login node of the cluster"]


def test_a_missing_configuration_is_4_at_once(site):
    done = site.run("--", "true", env={"SLURM_CONF": "/nonexistent/slurm.conf"}, limit=5)
    assert done.status == 4 and "/nonexistent/slurm.conf" in done.err and len(done.lines) == 1
    done = site.run("--", "true", env={"SLURM_CONF": None}, limit=10)
    assert done.status == 4 and len(done.lines) == 1, done


def within_10_s(site, **options):
    began = time.monotonic()
    done = site.run("--", "true", **options)
    assert done.status == 4 and len(done.lines) == 1 and "Slurm cannot be reached" in done.err, done
    assert time.monotonic() - began < 10


def test_a_slurm_that_does_not_answer_is_4(site):
    controller = site.slurm.pid("controller")
    os.kill(controller, signal.SIGSTOP)
    try:
        within_10_s(site)
    finally:
        os.kill(controller, signal.SIGCONT)
    site.slurm.stop("munge")
    within_10_s(site)
    site.slurm.stop("controller")
    within_10_s(site)


# While it waits or runs, the cluster has troubles.

def test_a_controller_that_is_restarted_while_it_waits(full):
    waiter = full.wait_in_line()
    full.slurm.stop("controller")
    full.slurm.start("controller")
    end(full.holders[0])
    assert waiter.finish(60) == 0, waiter


def test_a_controller_that_is_restarted_while_the_command_runs(site, box):
    go = box.folder / "go"
    process = site.start_sh(f"while [ ! -e {go} ]; do sleep 0.05; done; echo bye; exit 8")
    site.slurm.stop("controller")
    site.slurm.start("controller")
    go.touch()
    assert process.finish(60) == 8 and process.out == "up\nbye\n"


def test_a_slurmd_that_is_killed_under_a_command_does_not_end_it(site, box):
    go = box.folder / "go"
    process = site.start_sh(f"while [ ! -e {go} ]; do sleep 0.05; done; echo bye; exit 8")
    site.slurm.stop("n1", signal.SIGKILL)
    process.signal(signal.SIGUSR1)  # which it cannot be sent now
    process.wait_for("could not pass User defined signal 1 on to the command, send it again: ")
    site.slurm.start("n1")
    go.touch()
    assert process.finish(60) == 8 and process.out == "up\nbye\n"
    site.slurm.wait_until_idle(60)


def test_a_node_that_goes_down_under_a_command(site):
    process = site.start_sh("exec sleep 1000")
    site.slurm.run("scontrol", "update", "NodeName=n1", "State=DOWN", "Reason=test")
    assert process.finish(60) in (125, 143)
    assert process.lines.count("gpu-gate: Node failure on n1") == 1, process


# The memory of types.

TABLE = """
prefer = ["l40s"]
[memory_mb]
l40s = 46_068
h100 = 81559
"""


def test_memory_chooses_a_type(site, box):
    table = box.folder / "slurm.toml"
    table.write_text(TABLE)
    env = {"GPU_GATE_SLURM": table}
    assert site.sh("echo $CUDA_VISIBLE_DEVICES", "-q", "--min-free-mb", "48G", env=env).out == "2\n"
    assert site.sh("echo $CUDA_VISIBLE_DEVICES", "-q", "--min-free-mb", "40G", env=env).out == "0\n"
    done = site.run("--min-free-mb", "100G", "--", "true", env=env)
    assert done.status == 3 and "l40s 46068 MiB, h100 81559 MiB" in done.err, done
    table.write_text("[memory_mb]\nl40s = big\n")
    done = site.run("--min-free-mb", "40G", "--", "true", env=env)
    assert done.status == 2 and f"{table}:2: 'big' is not a number of MiB" in done.err, done
    refused(site.run("--min-free-mb", 1, "--", "true", env={"GPU_GATE_SLURM": "/nonexistent"}), "/nonexistent", "GPU_GATE_SLURM")


def test_without_a_table_memory_is_told_not_to_be_asked_for(site):
    done = site.run("--min-free-mb", "40G", "--", "true")
    assert done.status == 0 and "--min-free-mb is not part of the request" in done.lines[0]
    assert site.run("--min-free-mb", 0, "--", "true").lines == ["gpu-gate: using GPU 0 of n1"]


# wait

def test_wait_prints_node_and_indices_and_holds_nothing(site):
    assert site.run("-n", 2, verb="wait").out == "n1:0,1\n"
    shown = json.loads(site.run("--json", verb="wait").out)
    assert shown == {"node": "n1", "indices": [0], "uuids": [], "cuda_visible_devices": "0"}
    site.slurm.wait_until_idle()


def test_wait_waits(full):
    waiter = full.start("-n", 2, verb="wait")
    waiter.wait_for("waiting for 2 free GPUs on Slurm")
    end(full.holders[1])
    assert waiter.finish() == 0 and waiter.out == "n2:0,1\n"


# Inside an allocation.

def inside(site, script, *options, how="salloc"):
    words = {"salloc": ["salloc", "-Q"], "step": ["srun"]}[how]
    return site.box.run_plain(*words, "-N1", "-n1", "-c4", *options, "sh", "-c", script, site.box.gate, **site.options({}))


def test_inside_an_allocation_it_is_a_step_of_that(site):
    script = """echo $SLURM_JOB_ID
        "$0" run --on slurm -q -n 1 -- sh -c 'echo $SLURM_JOB_ID $CUDA_VISIBLE_DEVICES'
        "$0" run --on slurm -n 3 -- true; echo $?"""
    done = inside(site, script, "--gpus=2")
    job, step, code = done.out.splitlines()
    assert step == f"{job} 0" and code == "3", done
    assert "Step requested gres=gpu:3 is more than the job's gres=gpu:2" in done.err


def test_steps_of_an_allocation_share_its_gpus_out(site):
    script = """for i in 1 2 3; do
        "$0" run --on slurm -q -- sh -c 'echo + $CUDA_VISIBLE_DEVICES; sleep 0.5; echo - $CUDA_VISIBLE_DEVICES' & done; wait"""
    held = set()
    for sign, gpu in (line.split() for line in inside(site, script, "--gpus=2").out.splitlines()):
        assert (gpu in held) == (sign == "-")
        (held.add if sign == "+" else held.remove)(gpu)


def test_a_step_of_an_allocation_that_is_given_up_leaves_nothing(site):
    script = """"$0" run --on slurm -q -- sleep 1000 & holder=$!; sleep 0.5
        "$0" run --on slurm --timeout 0 -- true; echo $?
        "$0" run --on slurm --timeout 0.4 -- true; echo $?
        for delay in 0.02 0.5 1; do "$0" run --on slurm -- true & sleep $delay; kill -TERM $!; wait $!; echo $?; done
        squeue -h -s -o %j; kill $holder; "$0" wait --on slurm"""
    done = inside(site, script, "--gpus=1")
    assert done.out == "124\n124\n143\n143\n143\nsleep\nn1:0\n", done


def test_inside_a_step_that_has_the_gpus_it_is_3_and_no_deadlock(site):
    done = inside(site, '"$0" run --on slurm -- true; echo $?', "--gpus=1", how="step")
    assert done.out == "3\n" and "leave out --on slurm" in done.err, done


# Many.

def test_many_jobs_none_lost_and_no_gpu_given_twice(site, box):
    log = box.folder / "log"
    log.touch()
    log.chmod(0o666)
    script = f"""g=$SLURMD_NODENAME:$CUDA_VISIBLE_DEVICES; mkdir {box.folder}/$g || echo twice $g >>{log}
        sleep 0.2; rmdir {box.folder}/$g; echo done >>{log}"""
    jobs = [site.start("-q", "--", "sh", "-c", script) for _ in range(24)]
    assert [job.finish(60) for job in jobs] == [0] * 24
    assert log.read_text().split() == ["done"] * 24
    assert len(GPUS) == 8
