"""What a newcomer types, and the answer to each: one line that says what to write, ready to paste."""

import pathlib
import re
import shlex

from harness import each

# The words behind `gpu-gate`, as a shell splits them, and what the one line has to say. A line that begins with
# "gpu-gate ..." or "-- ..." is whole: it stands at the end.
REFUSED = [
    # The command without `run` or without `--`.
    ("run python train.py", "gpu-gate run -- python train.py"),
    ("python train.py --lr 3", "gpu-gate run -- python train.py --lr 3"),
    ("run -n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("-n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("-n 2 -- python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("-- python train.py", "gpu-gate run -- python train.py"),
    ("2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run --python train.py", "gpu-gate run -- python train.py"),
    ("run 'python train.py'", "gpu-gate run -- python train.py"),
    ("run 'python train.py > log'", "gpu-gate run -- sh -c 'python train.py > log'"),
    ("run ./my\\ job \"it's\"", "gpu-gate run -- './my job' 'it'\\''s'"),
    ("wait python train.py", "gpu-gate run -- python train.py"),
    ("wait -- python train.py", "gpu-gate run -- python train.py"),
    ("hold -n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("VAR=1 python train.py", "gpu-gate run -- env VAR=1 python train.py"),
    ("run VAR=1 python train.py", "gpu-gate run -- env VAR=1 python train.py"),
    ("run CUDA_VISIBLE_DEVICES=0 python train.py", "gpu-gate run --only 0 -- python train.py"),
    ("run cd /tmp", "gpu-gate run -- sh -c 'cd /tmp && COMMAND'"),
    ("run source env.sh", "gpu-gate run -- bash -c 'source env.sh && COMMAND'"),
    ("run", "gpu-gate run [options] -- COMMAND [ARG ...]"),
    ("", "as in gpu-gate run [options] -- COMMAND [ARG ...] (see gpu-gate --help)"),
    # Words of other programs.
    ("list", "did you mean status? Write gpu-gate status"),
    ("ls", "did you mean status? Write gpu-gate status"),
    ("ps", "did you mean status? Write gpu-gate status"),
    ("top", "did you mean status? Write gpu-gate status"),
    ("info", "did you mean status? Write gpu-gate status"),
    ("show", "did you mean status? Write gpu-gate status"),
    ("jobs", "did you mean queue? Write gpu-gate queue"),
    ("squeue", "did you mean queue? Write gpu-gate queue"),
    ("kill", "to end a job, write kill PID (status shows it); to end a request that waits, gpu-gate cancel PID"),
    ("kill 42", "to end a job, write kill 42 (status shows it); to end a request that waits, gpu-gate cancel 42"),
    ("scancel 42", "gpu-gate cancel 42"),
    ("release", "gpu-gate cancel PID"),
    ("submit python train.py", "did you mean run? Write gpu-gate run -- python train.py"),
    ("submit", "gpu-gate run [options] -- COMMAND [ARG ...]"),
    ("exec -n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("srun -n 2 -- python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("reserve", "did you mean hold? Write gpu-gate hold"),
    ("check", "did you mean doctor? Write gpu-gate doctor"),
    ("stats", "did you mean status?"),
    ("rum -- python train.py", "did you mean run?"),
    ("frobnicate", "(run, wait, hold, status, "),
    # Help and version.
    ("help foo", "help: there is no subcommand 'foo' (run, wait, hold, status, "),
    ("help list", "did you mean status?"),
    ("--status", "did you mean gpu-gate status?"),
    ("--list", "did you mean gpu-gate status?"),
    ("--json", "gpu-gate status --json"),
    ("-v", "did you mean --version?"),
    ("-help", "did you mean --help?"),
    ("run --version", "did you mean gpu-gate --version?"),
    # Options of other programs.
    ("run --wait 5m -- x", "did you mean --timeout? Write --timeout 5m"),
    ("run -t 5m -- x", "did you mean --timeout? Write --timeout 5m"),
    ("run -t5m -- x", "did you mean --timeout? Write --timeout 5m"),
    ("run --time=1:30:00 -- x", "did you mean --timeout? Write --timeout 1h30m"),
    ("run --no-wait -- x", "did you mean --timeout? Write --timeout 0"),
    ("run --memory 8G -- x", "did you mean --min-free-mb? Write --min-free-mb 8G, or --share 8G to share a GPU"),
    ("run --vram 8G -- x", "Write --min-free-mb 8G, or --share 8G to share a GPU"),
    ("run --mem 8G -- x", "Write --min-free-mb 8G, or --share 8G to share a GPU"),
    ("run --mem=8GB -- x", "Write --min-free-mb 8GB, or --share 8GB to share a GPU"),
    ("run --util 10 -- x", "Write --max-util 10"),
    ("run -g 2 -- x", "did you mean --count? Write --count 2"),
    ("run -g2 -- x", "did you mean --count? Write --count 2"),
    ("run -g 0 -- x", "did you mean --only? Write --only 0"),
    ("run -g 0,1 -- x", "did you mean --only? Write --only 0,1"),
    ("run --gpus 2 -- x", "did you mean --count? Write --count 2"),
    ("run --gpus=2 -- x", "did you mean --count? Write --count 2"),
    ("run --gpus 0,1 -- x", "did you mean --only? Write --only 0,1"),
    ("run --ngpus 2 -- x", "did you mean --count? Write --count 2"),
    ("run --num-gpus 2 -- x", "did you mean --count? Write --count 2"),
    ("run --num_gpus=2 -- x", "did you mean --count? Write --count 2"),
    ("run --gres=gpu:2 -- x", "did you mean --count? Write --count 2"),
    ("run --gpu 0 -- x", "did you mean --only? Write --only 0"),
    ("run --device cuda:0 -- x", "did you mean --only? Write --only 0"),
    ("run -i 0 -- x", "did you mean --only? Write --only 0"),
    ("run --n 2 -- x", "did you mean --count? Write --count 2"),
    ("run --except 0 -- x", "did you mean --exclude? Write --exclude 0"),
    ("run --low-priority -- x", "did you mean --nice?"),
    ("run --comment sweep -- x", "did you mean --note? Write --note sweep"),
    ("run --uuid -- x", "did you mean --ids? Write --ids uuid"),
    ("run --min_free_mb 8000 -- x", "did you mean --min-free-mb?"),
    ("run --json -- x", "'--json' is an option of wait, hold, status, "),
    ("run --pid 5 -- x", "'--pid' is an option of hold"),
    # Values.
    ("run -n all -- x", "for all of them, their number"),
    ("run -n two -- x", "'two' is not a whole number; write --count 2"),
    ("run -n=2 -- x", "write --count 2"),
    ("run -n 0,1 -- x", "to choose which, write --only 0,1"),
    ("run -n -- x", "--count needs a value"),
    ("run --only 0..3 -- x", "'0..3' is not a GPU; write --only 0-3"),
    ("run --only '0 1' -- x", "'0 1' is not a GPU; write --only 0,1"),
    ("run --only 0 1 -- x", "--only takes one word: write --only 0,1"),
    ("run --only cuda:0 -- x", "'cuda:0' is not a GPU; write --only 0"),
    ("run --only gpu1 -- x", "write --only 1"),
    ("run --only '[0,1]' -- x", "write --only 0,1"),
    ("run --only 3-1 -- x", "write --only 1-3"),
    ("run --only all -- x", "write no --only to choose among all GPUs"),
    ("run --max-util 150% -- x", "--max-util: '150%' is more than 100; write a number from 0 to 100"),
    ("run --min-free-mb 8 GB -- x", "--min-free-mb takes one word: write --min-free-mb 8GB"),
    ("run --min-free-mb '8 GB' -- x", "write --min-free-mb 8G"),
    ("run --min-free-mb 8,000 -- x", "write --min-free-mb 8000"),
    ("run --timeout 10min -- x", "write --timeout 10m"),
    ("run --timeout 10 min -- x", "--timeout takes one word: write --timeout 10m"),
    ("run --timeout never -- x", "write --timeout inf"),
    ("run --note my run -- x", "--note takes one word: write --note 'my run'"),
    ("run --ids UUID -- x", "write --ids uuid"),
    ("run --share 8G --min-free-mb 8G -- x", "leave out --min-free-mb"),
    ("cancel all", "without any it cancels all of yours"),
    ("status 0", "status takes no arguments"),
    ("hold", "--pid PID"),
    # Dashes and quotation marks of a web page.
    ("run –n 2 -- python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run —count 2 -- python train.py", "gpu-gate run --count 2 -- python train.py"),
    ("run −n 2 -- python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run -n 2 – python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run -n 2 — python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run –n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
    ("run --only “0,1” -- python train.py", "gpu-gate run --only 0,1 -- python train.py"),
    ("run --only 0–3 -- x", "write --only 0-3"),
    ("–n 2 python train.py", "gpu-gate run -n 2 -- python train.py"),
]

# What is no program: exit 127, or 126 for a file that may not be executed.
NOT_FOUND = [
    ("run -- VAR=1 python train.py", "-- env VAR=1 python train.py"),
    ("run -- export VAR=1", "-- env VAR=1 COMMAND"),
    ("run -- CUDA_VISIBLE_DEVICES=0 python train.py", "gpu-gate sets this variable itself: to choose GPUs, write --only"),
    ("run -- cd /tmp", "-- sh -c 'cd /tmp && COMMAND'"),
    ("run -- source env.sh", "-- bash -c 'source env.sh && COMMAND'"),
    ("run -- ulimit -v 1000", "-- sh -c 'ulimit -v 1000 && COMMAND'"),
    ("run -- 'python train.py'", "-- python train.py"),
    ("run -- 'cd x && python train.py'", "-- sh -c 'cd x && python train.py'"),
    ("run -- -n 2 python train.py", "options of gpu-gate come before the `--`"),
    ("run -- train.py --lr 3", "-- python3 train.py --lr 3"),
    ("run -- here", "-- ./here"),
    ("run -- nosuchprogram", "nosuchprogram: command not found"),
]


def words_of(line):
    return shlex.split(line)


def check_line(done):
    """One line, without a value that is quoted twice, as a shell would not either."""
    assert done.out == "" and len(done.lines) == 1 and done.err.startswith("gpu-gate: "), done
    quoted = re.findall(r"'[^']+'", done.lines[0].replace("'\\''", ""))
    assert len(quoted) == len(set(quoted)), done
    assert len(done.lines[0]) <= 300, done


def check_answer(done, answer):
    line = done.lines[0]
    if answer.startswith(("gpu-gate ", "-- ")):
        assert line.endswith(" " + answer), done
    else:
        assert answer in line, done


def test_each_mistake_is_answered_with_what_to_write(box):
    assert len(REFUSED) + len(NOT_FOUND) > 100

    def check(line, answer):
        done = box.run(*words_of(line))
        assert done.status == 2, done
        check_line(done)
        check_answer(done, answer)
        assert not box.lock.exists()

    each(REFUSED, check)


def test_a_command_that_is_no_program_is_answered_with_how_to_run_it(box):
    folder = box.folder / "work"
    folder.mkdir()
    (folder / "train.py").write_text("")
    here = folder / "here"
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)

    def check(line, answer):
        done = box.run(*words_of(line), cwd=folder)
        assert done.status == 127, done
        check_line(done)
        check_answer(done, answer)

    each(NOT_FOUND, check)


def test_a_script_that_may_not_be_executed_is_answered_with_its_interpreter(box):
    for name, right in (("x.py", "-- python3 ./x.py 1"), ("x.sh", "-- sh ./x.sh 1")):
        (box.folder / name).write_text("")
        done = box.run("run", "--", f"./{name}", "1", cwd=box.folder)
        assert done.status == 126 and done.err.endswith(right + "\n"), done


def test_where_python_is_called_python3_that_is_said(box):
    folder = box.folder / "bin"
    folder.mkdir()
    (folder / "python3").symlink_to("/bin/true")
    done = box.run("run", "--", "python", "x", env={"PATH": folder})
    assert done.status == 127 and done.err.endswith("python: command not found; here it is called python3\n"), done


def test_every_whole_line_of_an_answer_can_be_pasted(make_box):
    """It runs the command that was meant, with its words."""
    box = make_box(cards=4)
    folder = box.folder / "bin"
    folder.mkdir()
    for name in ("python", "my job"):
        (folder / name).write_text('#!/bin/sh\necho ran "$@"\n')
        (folder / name).chmod(0o755)
    lines = {answer for _, answer in REFUSED if answer.startswith("gpu-gate run") and "COMMAND" not in answer}

    def check(line):
        path = f"{folder}:{pathlib.Path(box.gate).parent}:/usr/bin:/bin"
        done = box.run_plain("sh", "-c", line, env={"PATH": path}, cwd=folder)
        assert done.status == 0 and (done.out.startswith("ran ") or ">" in line), done

    each(sorted(lines), check)


def test_help_and_version_are_found_whatever_they_are_called(box):
    def check(line, said):
        done = box.run(*words_of(line))
        assert (done.status, done.err) == (0, "") and said in done.out, done

    each([
        ("help", "gpu-gate run"), ("--help", "gpu-gate run"), ("-h", "gpu-gate run"), ("help run", "--min-free-mb"),
        ("run help", "--min-free-mb"), ("run --help", "--min-free-mb"), ("--help run", "--min-free-mb"),
        ("run -h", "--min-free-mb"), ("status help", "--json"), ("cancel help", "PID"), ("queue --help", "--json"),
        ("--version", "gpu-gate "), ("-V", "gpu-gate "), ("version", "gpu-gate "),
    ], check)


def test_no_line_of_a_help_is_wider_than_80_columns(box):
    verbs = re.findall(r"^  gpu-gate ([a-z]+) ", box.run("--help").out, re.M)
    assert {"run", "wait", "hold", "status", "queue", "cancel", "doctor"} <= set(verbs)
    for verb in ("", *verbs):
        for line in box.run("help", verb).out.splitlines():
            assert len(line) <= 80, line


def test_a_percent_sign_is_taken(make_box):
    box = make_box(cards=2)
    box.set(0, util=50)
    assert box.run("wait", "--max-util", "10%").out == "1\n"


def test_too_many_gpus_are_answered_with_how_many_there_are(make_box):
    box = make_box(cards=4)
    done = box.run("run", "-n", "8", "--", "true")
    assert done.status == 3 and done.lines[0] == "gpu-gate: 8 GPUs asked for, this machine has 4:", done
    done = box.run("run", "--only", "7", "--", "true")
    assert done.status == 3 and done.lines == ["gpu-gate: --only: there is no GPU 7 on this machine (it has GPUs 0-3)"], done
