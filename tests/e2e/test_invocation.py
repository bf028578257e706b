"""What is refused, and how it is said; odd forms that are right; the command looked up before all else."""

import stat

import pytest

from harness import ALICE, uuid

RIGHT_FORM = "gpu-gate run [options] -- COMMAND"

# Values that are refused: one for each kind; src/cli/options_test.cpp has them all.
BAD_VALUES = {
    "--count": ["", "two"],
    "--min-free-mb": ["8G"],
    "--max-util": ["101"],
    "--only": ["1,,2", "0 1"],
    "--exclude": ["MIG-5e8f9d5a"],
    "--poll": ["nan"],
    "--timeout": ["-1"],
    "--ids": ["index,uuid"],
}
CASES = [(option, value) for option, values in BAD_VALUES.items() for value in values]


def refusal(box, *words):
    """Runs a refused invocation; returns its one line."""
    done = box.call(*words)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 2, (done.returncode, lines, done.stdout)
    assert done.stdout == b""
    assert len(lines) == 1 and lines[0].startswith("gpu-gate: "), lines
    assert not box.lock.exists(), "the lock directory was made"
    return lines[0]


@pytest.mark.parametrize("option,value", CASES, ids=[f"{option}={value!r}" for option, value in CASES])
def test_a_bad_value_is_refused_with_one_line_that_names_option_and_value(box, option, value):
    line = refusal(box, "run", option, value, "--", "touch", str(box.folder / "ran"))
    assert option in line
    assert f"'{value}'" in line
    assert not (box.folder / "ran").exists()


@pytest.mark.parametrize("option,value", [("--count", "0"), ("--only", "x")])
def test_wait_refuses_the_same_values(box, option, value):
    line = refusal(box, "wait", f"{option}={value}")
    assert option in line
    assert f"'{value}'" in line


@pytest.mark.parametrize("option,value", [("--only", ""), ("--exclude", " ")])
def test_an_empty_list_is_refused_and_never_means_all(box, option, value):
    line = refusal(box, "run", option, value, "--", "true")
    assert option in line and "empty" in line


@pytest.mark.parametrize("option", ["--timeout", "-n"])
@pytest.mark.parametrize("tail", [(), ("--", "true")], ids=["at_the_end", "before_the_command"])
def test_an_option_without_its_value_is_refused_in_words_of_the_users(box, option, tail):
    line = refusal(box, "run", option, *tail)
    assert option in line or "--count" in line
    assert "needs a value" in line


@pytest.mark.parametrize("option", ["--count", "--only"])
def test_an_option_with_an_equals_sign_and_nothing_is_refused(box, option):
    line = refusal(box, "run", f"{option}=", "--", "true")
    assert option in line
    assert "needs a value" in line


@pytest.mark.parametrize("words", [
    ("run", "true"),
    ("run", "-n", "2", "python", "train.py"),
    ("run",),
    ("run", "--"),
    ("--", "true"),
    ("--min-free-mb", "8000", "--", "true"),
    (),
], ids=lambda words: " ".join(words) or "nothing")
def test_without_a_command_after_the_two_dashes_the_right_form_is_shown(box, words):
    assert RIGHT_FORM in refusal(box, *words)


@pytest.mark.parametrize("verb,wrong,right", [
    ("run", "--cuont", "--count"),
    ("run", "--min-free", "--min-free-mb"),
    ("run", "--cuont=2", "--count"),
    ("run", "-nn", None),
    ("run", "-x", None),
    ("run", "--json", None),
    ("wait", "--jsno", "--json"),
    ("status", "--jsn", "--json"),
    ("status", "-q", None),
])
def test_an_unknown_option_is_refused_with_the_nearest_known_one(box, verb, wrong, right):
    line = refusal(box, verb, wrong, *(("--", "true") if verb == "run" else ()))
    if wrong != "-nn":  # that is -n with the value "n"
        assert f"'{wrong.split('=')[0]}'" in line
    if right:
        assert f"did you mean {right}?" in line


@pytest.mark.parametrize("word,right", [
    ("rnu", "run"), ("stat", "status"), ("nvidia-smi", None), ("", None), ("-x", None), ("--helpp", None),
])
def test_an_unknown_subcommand_is_refused_with_the_nearest_known_one(box, word, right):
    line = refusal(box, word, "--", "true")
    assert f"'{word}'" in line
    if right:
        assert f"did you mean {right}?" in line


@pytest.mark.parametrize("words", [
    ("wait", "true"), ("wait", "--"), ("status", "--", "true"),
], ids=" ".join)
def test_wait_and_status_take_no_command(box, words):
    assert words[0] in refusal(box, *words)


@pytest.mark.parametrize("words", [
    ("run", "--quiet=yes", "--", "true"), ("status", "--json=1"),
], ids=" ".join)
def test_a_value_for_an_option_that_takes_none_is_refused(box, words):
    option = next(word for word in words if word.startswith("-")).split("=")[0]
    assert option in refusal(box, *words)


@pytest.mark.parametrize("words", [
    ("run", "-n", "1\n2", "--", "true"),
    ("a\nb",),
    ("run", "--ids", "\x1b[31mred", "--", "true"),
], ids=repr)
def test_a_word_with_control_characters_is_shown_in_one_line_without_them(box, words):
    assert not any(ord(c) < 0x20 or ord(c) == 0x7F for c in refusal(box, *words))


def test_a_word_that_is_not_utf8_is_refused_in_one_line(box):
    done = box.call("run", "-n", b"\xff\xfe", "--", "true")
    assert done.returncode == 2 and done.stderr.count(b"\n") == 1
    assert b"--count" in done.stderr


# Odd, but right.

@pytest.mark.parametrize("words,shown", [
    (("--only", " 1 , 2 ", "-n", "2"), "1,2"),
    (("--only", "\t3"), "3"),
    (("--only=2-3", "--count=2"), "2,3"),
    (("-n2", "--only", "0-1"), "0,1"),
    (("-qn2", "--only", "1-2"), "1,2"),
    (("--only", "2-2"), "2"),
    (("--only", "0-2,1", "-n", "3"), "0,1,2"),
    (("--only", "3,0", "-n", "2"), "0,3"),
    (("--only", "GPU-00000002"), "2"),
    (("--only", "gpu-00000002"), "2"),
    (("--only", uuid(1)), "1"),
    (("--only", uuid(1).upper().replace("GPU", "gpu")), "1"),
    (("--only", "0000:1a:00.0"), "3"),
    (("--only", "0000:1A:00.0"), "3"),
    (("--only", "00000000:1A:00.0"), "3"),
    (("--only", "1a:00.0"), "3"),
    (("--only", "0, GPU-00000001 ,0000:12:00.0", "-n", "3"), "0,1,2"),
    (("--exclude", "0-2"), "3"),
    (("--exclude", "0-2,77"), "3"),
    (("--exclude", "0", "--exclude", "1-3"), "0"),
    (("-n", "3", "-n", "1", "--only", "1"), "1"),
    (("--count", "9", "-n", "1"), "0"),
    (("--only", "3", "--only", "2"), "2"),
    (("--ids", "uuid", "--ids", "index"), "0"),
    (("--poll", "0.01"), "0"),
    (("--poll", "0"), "0"),
    (("--poll", "inf"), "0"),
    (("--poll=1e3",), "0"),
    (("--timeout", "inf"), "0"),
    (("--timeout", "0"), "0"),
    (("--timeout", "1e300"), "0"),
    (("--timeout", ".5"), "0"),
    (("--min-free-mb", "0"), "0"),
    (("--max-util", "0"), "0"),
    (("--max-util=100",), "0"),
    (("-n", "01"), "0"),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else value)
def test_an_odd_form_that_is_right_is_accepted(make_box, words, shown):
    box = make_box(cards=4)
    box.set(3, pci="0000:1a:00.0")
    done = box.call("run", *words, "--", "printenv", "CUDA_VISIBLE_DEVICES")
    assert (done.returncode, done.stdout.decode()) == (0, shown + "\n"), done.stderr


def test_everything_after_the_first_two_dashes_is_the_commands_own(box):
    words = ["-n", "7", "--help", "--", "--only", "", " ", "[a,b]", "{}", "{a,b}", "'q'", '"dq"', "%%", "++", "a\nb",
             "--quiet=yes", "\\", "#", "=", "~", "$HOME", "--version", "-"]
    done = box.call("run", "-q", "--", "sh", "-c", 'printf "%s\\0" "$@"', "name", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().split("\0")[:-1] == words


@pytest.mark.parametrize("word", ["-n", "--", "--help", "--version", "run", "[a,b]", "{}"])
def test_the_commands_name_may_look_like_an_option(box, word):
    tool = box.folder / word
    tool.write_text("#!/bin/sh\necho tool \"$@\"\n")
    tool.chmod(0o755)
    done = box.call("run", "--", word, "--", "x", env={"PATH": f"{box.folder}:/usr/bin:/bin"})
    assert (done.returncode, done.stdout) == (0, b"tool -- x\n"), done.stderr


@pytest.mark.parametrize("words,said", [
    (("--help",), b"gpu-gate run"),
    (("-h",), b"gpu-gate run"),
    (("run", "--help"), b"--min-free-mb"),
    (("run", "-n", "2", "-h"), b"--min-free-mb"),
    (("run", "--help", "--", "true"), b"--min-free-mb"),
    (("wait", "--help"), b"--json"),
    (("status", "--help"), b"--json"),
    (("--version",), b"gpu-gate "),
], ids=lambda value: " ".join(value) if isinstance(value, tuple) else "")
def test_help_and_version_need_neither_driver_nor_lock_directory(box, words, said):
    done = box.call(*words, env={"GPU_GATE_NVML": "/nonexistent", "PATH": None})
    assert (done.returncode, done.stderr) == (0, b"")
    assert said in done.stdout
    assert not box.lock.exists()


@pytest.mark.parametrize("option", ["--count", "--min-free-mb", "--max-util", "--only", "--exclude", "--poll", "--timeout",
                                    "--ids", "--quiet", "--help"])
def test_help_tells_every_option(box, option):
    assert option.encode() in box.call("run", "--help").stdout


# The command is looked up before any waiting.

def not_executable(box):
    file = box.folder / "plain"
    file.write_text("#!/bin/sh\n")
    return str(file)


BAD_COMMANDS = [
    ("not_found", lambda box: "no-such-command", 127),
    ("path_not_found", lambda box: str(box.folder / "missing"), 127),
    ("below_a_file", lambda box: str(box.machine / "x"), 127),
    ("empty_word", lambda box: "", 127),
    ("directory", lambda box: str(box.folder), 126),
    ("not_executable", not_executable, 126),
    ("device", lambda box: "/dev/null", 126),
]


def snapshot(folder):
    """Every file below a folder with its times and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path)] = (info.st_ino, info.st_mtime_ns, info.st_mode, content)
    return found


@pytest.mark.parametrize("command,status", [case[1:] for case in BAD_COMMANDS], ids=[case[0] for case in BAD_COMMANDS])
def test_a_command_that_cannot_be_run_fails_at_once_while_the_card_is_busy(box, command, status):
    box.hold()
    word = command(box)
    box.extra = [f"log {box.folder}/nvml.log"]
    box.write()
    before = snapshot(box.lock)
    done = box.call("run", "--", word)
    lines = done.stderr.decode().splitlines()
    assert done.returncode == status, lines
    assert len(lines) == 1 and lines[0].startswith(f"gpu-gate: {word or chr(39) * 2}: "), lines
    assert done.stdout == b""
    assert snapshot(box.lock) == before
    assert not (box.folder / "nvml.log").exists(), "the driver was asked"


@pytest.mark.parametrize("command,status", [case[1:] for case in BAD_COMMANDS], ids=[case[0] for case in BAD_COMMANDS])
def test_a_command_that_cannot_be_run_touches_nothing(box, command, status):
    done = box.call("run", "--", command(box), env={"GPU_GATE_NVML": "/nonexistent"})
    assert done.returncode == status, done.stderr
    assert not box.lock.exists()


def test_a_command_name_with_a_line_break_is_shown_in_one_line(box):
    done = box.call("run", "--", "no\nsuch\x1b[31m")
    assert done.returncode == 127
    assert done.stderr.count(b"\n") == 1 and b"\x1b" not in done.stderr, done.stderr


def test_a_program_of_another_user_that_may_not_be_run_is_126(box):
    tool = box.folder / "private"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    assert box.call("run", "--", str(tool), user=ALICE).returncode == 126


def write_tool(folder, text="#!/bin/sh\necho here\n", mode=0o755, name="tool"):
    folder.mkdir(exist_ok=True)
    tool = folder / name
    tool.write_text(text)
    tool.chmod(mode)
    return tool


def test_the_path_goes_on_after_a_file_that_cannot_be_run(box):
    write_tool(box.folder / "a", mode=0o644)
    write_tool(box.folder / "b")
    done = box.call("run", "--", "tool", env={"PATH": f"{box.folder}/a:{box.folder}/b"})
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr


def test_only_a_file_that_cannot_be_run_in_the_path_is_126(box):
    write_tool(box.folder / "a", mode=0o644)
    done = box.call("run", "--", "tool", env={"PATH": f"/nonexistent:{box.folder}/a:/usr/bin"})
    assert done.returncode == 126, done.stderr


def test_a_directory_in_the_path_is_not_the_command(box):
    (box.folder / "a" / "tool").mkdir(parents=True)
    write_tool(box.folder / "b")
    done = box.call("run", "--", "tool", env={"PATH": f"{box.folder}/a:{box.folder}/b"})
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr


@pytest.mark.parametrize("path", ["", ":", ":/nonexistent", "/nonexistent:", "/nonexistent::/usr/bin"])
def test_an_empty_entry_of_the_path_is_the_current_directory(box, path):
    write_tool(box.folder / "here")
    done = box.call("run", "--", "tool", env={"PATH": path}, cwd=box.folder / "here")
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr


def test_without_a_path_the_systems_default_is_searched(box):
    assert box.call("run", "--", "true", env={"PATH": None}).returncode == 0


def test_a_relative_path_is_taken_from_the_current_directory(box):
    write_tool(box.folder / "here")
    done = box.call("run", "--", "./tool", cwd=box.folder / "here")
    assert (done.returncode, done.stdout) == (0, b"here\n"), done.stderr


def test_a_script_without_an_interpreter_line_runs_like_in_a_shell(box):
    tool = write_tool(box.folder / "a", text='echo "$0" "$@"\nexit 7\n')
    done = box.call("run", "--", str(tool), "-n", "", "x y")
    assert (done.returncode, done.stdout.decode()) == (7, f"{tool} -n  x y\n"), done.stderr


def test_a_script_whose_interpreter_is_missing_is_127_and_says_so(box):
    tool = write_tool(box.folder / "a", text="#!/nonexistent/python\n")
    done = box.call("run", "-q", "--", str(tool))
    assert done.returncode == 127
    assert b"interpreter" in done.stderr and done.stderr.count(b"\n") == 1, done.stderr


def test_a_failed_exec_leaves_the_card_free(box):
    tool = write_tool(box.folder / "a", text="#!/nonexistent/python\n")
    box.call("run", "--", str(tool))
    assert box.call("run", "--timeout", "0", "--", "true").returncode == 0
