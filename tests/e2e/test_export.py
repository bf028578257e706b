"""gpu-gate hold --export: a line for the eval of any POSIX shell, which fails where hold fails."""

import os
import pty
import shutil
import signal
import subprocess

import pytest

from harness import ALICE, BOB, compile_library, processes_with, state_of, wait_until

SHELLS = [shell for shell in ("sh", "bash", "dash", "zsh", "ksh", "mksh", "yash", "busybox") if shutil.which(shell)]
VARIABLES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_INDICES", "GPU_GATE_UUIDS")


def shell(box, script, *, which="sh", **options):
    """A shell with $gate; it waits for its standard input to end where the script says `read`."""
    options["env"] = {"gate": box.gate, **options.get("env", {})}
    options.setdefault("stdin", subprocess.PIPE)
    words = ["busybox", "sh"] if which == "busybox" else [which]
    return box.start_plain(*words, "-c", script, **options)


def finish(process):
    process.popen.stdin.close()
    return process.finish()


@pytest.mark.parametrize("which", SHELLS)
def test_a_shell_gets_what_run_would_set(make_box, which):
    box = make_box(cards=3)
    given = dict(line.split("=", 1) for line in box.run("run", "-q", "-n", "2", "--", "env").out.splitlines())
    holder = shell(box, 'eval "$("$gate" hold -n 2 --export --pid $$)" || exit; env; echo "end of it"; read line; exit 0',
                   which=which, user=ALICE)
    holder.wait_for("^end of it$", stdout=True)
    got = dict(line.split("=", 1) for line in holder.out.splitlines() if "=" in line)
    assert {name: got[name] for name in VARIABLES} == {name: given[name] for name in VARIABLES}
    assert int(got["GPU_GATE_CLAIM"]) > int(given["GPU_GATE_CLAIM"])
    assert box.claimed() == [0, 1] and box.status()[0]["claim"]["pid"] == holder.pid
    assert finish(holder) == 0
    wait_until(lambda: not box.claimed(), "the claim ends with the shell")


@pytest.mark.parametrize("which", SHELLS)
def test_every_value_is_quoted(box, which):
    """The user's own CUDA_DEVICE_ORDER comes back as it was, whatever is in it."""
    order = "it's $(touch evil) `touch evil` \\ \"x\"\n; touch evil #"
    done = shell(box, 'eval "$("$gate" hold --export --pid $$)" || exit; printenv CUDA_DEVICE_ORDER CUDA_VISIBLE_DEVICES',
                 which=which, env={"CUDA_DEVICE_ORDER": order}, cwd=box.folder)
    assert finish(done) == 0
    assert done.out == f"{order}\nGPU-00000000-0000-4000-8000-000000000000\n"
    assert not (box.folder / "evil").exists()


def test_gpu_gate_inside_such_a_shell_hands_out_its_own_cards(make_box):
    """As inside a job of run: the shell has no descriptor of the claim, but the claim lives."""
    box = make_box(cards=4)
    owner = shell(box, """
        eval "$("$gate" hold -n 2 --only 1,3 --export --pid $$)" || exit
        for i in 1 2 3; do "$gate" run -- sh -c 'echo "has $CUDA_VISIBLE_DEVICES."; exec sleep 1000' & done
        read line
        "$gate" run -q --timeout 0 -- echo TWICE; echo "a third: $?"
        "$gate" run -q -n 3 -- echo TWICE; echo "too many: $?"
        read line
        """, user=ALICE)
    owner.wait_for(r"^has 1\.$", stdout=True)
    owner.wait_for(r"^has 3\.$", stdout=True)
    owner.wait_for("1st in line")
    owner.popen.stdin.write(b"\n")
    owner.popen.stdin.flush()
    owner.wait_for("^a third: 124$", stdout=True)
    owner.wait_for("^too many: 3$", stdout=True)
    assert owner.out.count("has") == 2 and "TWICE" not in owner.out
    other = box.run("run", "-q", "--", "printenv", "GPU_GATE_INDICES", user=BOB)
    assert other.out == "0\n", "other users choose among what is left"


def test_when_the_claim_has_ended_the_shell_is_like_any_other(make_box):
    box = make_box(cards=2)
    owner = shell(box, """
        eval "$("$gate" hold --only 1 --export --pid $$)" || exit
        echo holds
        read line
        unset CUDA_VISIBLE_DEVICES
        "$gate" run -q -- printenv GPU_GATE_INDICES
        """, user=ALICE)
    owner.wait_for("^holds$", stdout=True)
    [holder] = processes_with("cmdline", box.gate.encode() + b"\0hold")
    os.kill(holder, signal.SIGTERM)
    wait_until(lambda: state_of(holder) in ("", "Z"), "the holder ends")
    assert finish(owner) == 0
    assert owner.out == "holds\n0\n"


# Failure.

FAILS = 'eval "$("$gate" hold --export --pid $$ {words})"; echo "failed with $?"'


@pytest.mark.parametrize("which", SHELLS)
@pytest.mark.parametrize("words,code", [("-n 0", 2), ("--bogus", 2), ("--only", 2), ("--json", 2), ("--pid 4194304", 2),
                                        ("-n 2", 3), ("-q --timeout 0", 124)])
def test_eval_fails_with_the_exit_code_and_the_shell_lives(box, which, words, code):
    box.hold()
    done = shell(box, FAILS.format(words=words), which=which)
    assert finish(done) == 0
    assert done.out == f"failed with {code}\n" and done.err.startswith("gpu-gate: "), done


def test_the_line_of_a_failure_is_an_exit_in_a_subshell(box):
    done = box.run("hold", "--export", "--pid", os.getpid(), "-n", "2")
    assert (done.status, done.out) == (3, "(exit 3)\n")


def test_eval_fails_without_a_driver_and_without_a_directory(box):
    for env, code in (({"GPU_GATE_NVML": "/nonexistent"}, 4), ({"GPU_GATE_LOCK_DIR": "/proc/none"}, 5)):
        done = shell(box, FAILS.format(words=""), env=env)
        assert finish(done) == 0
        assert done.out == f"failed with {code}\n", done


def test_a_script_goes_no_further_without_a_gpu(box):
    box.hold()
    for script in ('eval "$("$gate" hold -q --timeout 0 --export --pid $$)" || exit; echo ON',
                   'set -e; eval "$("$gate" hold -q --timeout 0 --export --pid $$)"; echo ON'):
        done = shell(box, script)
        assert finish(done) == 124
        assert "ON" not in done.out


def test_a_signal_while_it_waits_makes_eval_fail(box):
    box.hold()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        script = 'eval "$(echo $$ >&2; exec "$gate" hold --export --pid $$)"; echo "failed with $?"'
        done = shell(box, "trap : HUP INT TERM; " + script)
        done.wait_for("1st in line")
        [waiter] = [pid for pid in processes_with("cmdline", box.gate.encode() + b"\0hold\0--export")]
        os.kill(waiter, number)
        done.wait_for(f"^failed with {128 + number}$", stdout=True)
        finish(done)


def test_a_program_that_dies_in_the_driver_makes_eval_fail(box):
    # The sanitizer takes a fault for its own.
    for name in ("SIGTERM", "SIGINT", *(() if "GPU_GATE_SANITIZED" in os.environ else ("SIGSEGV", "SIGABRT"))):
        folder = box.folder / name
        folder.mkdir()
        source = f"#include <signal.h>\n__attribute__((constructor)) static void loaded(void) {{ raise({name}); }}"
        library = compile_library(folder, source, "libnvidia-ml.so.1")
        done = shell(box, FAILS.format(words=""), env={"GPU_GATE_NVML": library})
        assert finish(done) == 0
        assert done.out == f"failed with {128 + signal.Signals[name]}\n", done


def test_a_terminal_is_no_owner_for_it(box):
    """In $( ) the shell would wait for ever."""
    main, side = pty.openpty()
    done = box.start("hold", "--export", stdin=side)
    os.close(side)
    assert done.finish() == 2
    assert done.out == "(exit 2)\n" and len(done.lines) == 1 and "--pid $$" in done.err, done
    os.close(main)


def test_with_a_pipe_it_holds_as_long_as_that_is_open(box):
    hold = box.start("hold", "--export", stdin=subprocess.PIPE)
    hold.wait_for("^export CUDA_VISIBLE_DEVICES='0' ", stdout=True)
    assert box.claimed() == [0]
    hold.signal(signal.SIGTERM)
    assert hold.finish() == -signal.SIGTERM
    assert hold.out.count("\n") == 1, "what was a success is none of a failure later"
