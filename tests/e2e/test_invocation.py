"""What is refused, and how it is said; odd forms that are right; the command looked up before all else."""

import pathlib
import re
import stat

import pytest

from harness import ALICE, each, uuid

RIGHT_FORM = "gpu-gate run [options] -- COMMAND"

# Values that are refused. The line names the option and the value.
BAD_VALUES = {
    "--count": ["", " ", "0", "00", "-1", "1.5", "0x10", "1e1", "two", "nan", "inf", "+1", "1 ", "1,2", "½"],
    "--min-free-mb": ["", " ", "-5", "-1", "-8G", "0x10", "8 G", "8P", "8B", "G", "1e3", "nan", "inf", "1,000"],
    "--max-util": ["", " ", "-1", "101", "150", "1.5", "0x10", "50%%", "nan", "99999999999999999999"],
    "--only": ["1,,2", "0,", ",0", ",", "3-1", "a,b", "x", "-", "1-", "-1", "1-2-3", "0 1", "0;1", "0x1", "1.5", "all",
               "[0]", "{}", "*", "GPU-", "GPU-xyz", "MIG-xyz", "0:", "0:1-2", ":0",
               "GPU-5e8f9d5a-0000-5000-8000-000000000000/1/0", "17:00", "0000:zz:00.0", "0000:17:00"],
    "--exclude": ["x", "1,,2", "3-1", "-1", ",", "0:", "0.5", "nan"],
    "--poll": ["", " ", "nan", "-nan", "-1", "-0.5", "-inf", "0x10", "1w", "1S", "1,5", "soon", "1 "],
    "--timeout": ["", " ", "nan", "-1", "-0.001", "-inf", "0x10", "10M", "10min", "1h30", "-1h", "1h 30m", "1,5", "never", "0 0"],
    "--ids": ["", " ", "INDEX", "name", "pci", "uuids", "index,uuid", "0"],
}


def refusal(box, *words):
    """Runs a refused invocation; returns its one line."""
    done = box.run(*words)
    assert done.status == 2, done
    assert done.out == ""
    assert len(done.lines) == 1 and done.err.startswith("gpu-gate: "), done
    assert not box.lock.exists(), "the lock directory was made"
    return done.lines[0]


@pytest.mark.parametrize("option", BAD_VALUES)
def test_a_bad_value_is_refused_with_one_line_that_names_option_and_value(box, option):
    def check(value):
        line = refusal(box, "run", option, value, "--", "touch", box.folder / "ran")
        assert option in line
        assert f"'{value}'" in line
        assert not (box.folder / "ran").exists()

    each(BAD_VALUES[option], check)


def test_wait_refuses_the_same_values(box):
    for option, values in BAD_VALUES.items():
        line = refusal(box, "wait", f"{option}={values[-1]}")
        assert option in line
        assert f"'{values[-1]}'" in line


def test_an_empty_list_is_refused_and_never_means_all(box):
    for option in ("--only", "--exclude"):
        for value in ("", " ", "\t"):
            line = refusal(box, "run", option, value, "--", "true")
            assert option in line and "empty" in line


def test_an_option_without_its_value_is_refused_in_words_of_the_users(box):
    def check(option, *tail):
        line = refusal(box, "run", option, *tail)
        assert option.rstrip("=") in line or "--count" in line

    each([(option, *tail) for option in (*BAD_VALUES, "-n") for tail in ((), ("--", "true"))], check)
    each([(f"{option}=", "--", "true") for option in BAD_VALUES], check)


def test_without_a_command_after_the_two_dashes_the_right_form_is_shown(box):
    def check(*words):
        assert RIGHT_FORM in refusal(box, *words)

    each([
        ("run", "--only", "0", "1"),
        ("run", "true", "--", "true"),
        ("run",),
        ("run", "-q"),
        ("run", "--"),
        ("run", "-n", "2", "--"),
        ("-n", "2"),
        (),
    ], check)


def test_a_command_without_run_or_the_two_dashes_is_answered_with_the_whole_right_line(box):
    """Pasted into a shell it does what was meant."""
    tool = write_tool(box.folder / "bin", '#!/bin/sh\nprintf "<%s>" "$@"\n', name="my job")
    for words in (
        ("run", tool, "-n", "5"),
        ("run", "-q", "-n", "1", tool, "a b", "it's", '"', "$HOME", "", "*"),
        ("run", "-q", tool, "--only=7"),
        ("-n", "1", "--", tool, "--", "x"),
        ("-n", "1", tool, "x"),
        ("--", tool, "x"),
        (tool, "x", "--quiet"),
    ):
        refused = box.run(*words)
        assert refused.status == 2 and len(refused.lines) == 1, refused
        line = re.search(r"gpu-gate run .*", refused.err).group()
        done = box.run_plain("sh", "-c", line, env={"PATH": f"{pathlib.Path(box.gate).parent}:/usr/bin:/bin"})
        arguments = words[words.index(tool) + 1:]
        assert (done.status, done.out) == (0, "".join(f"<{word}>" for word in arguments)), (line, done)


def test_a_word_of_other_programs_is_answered_with_our_option_and_the_value(box):
    def check(words, right):
        assert right in refusal(box, "run", *words, "--", "true")

    each([
        (("--gpus", "2"), "--count 2"),
        (("--gpu", "0"), "--only 0"),
        (("--gpu-index", "1"), "--only 1"),
        (("--mem", "8G"), "--min-free-mb 8G"),
        (("--memory=8G",), "--min-free-mb 8G"),
    ], check)


def test_a_number_of_gpus_that_is_none_is_answered_with_what_would_do(box):
    for value in ("0", "all"):
        assert "1 or more" in refusal(box, "run", "-n", value, "--", "true")


def test_a_command_in_quotes_is_told_to_leave_them_out(box):
    for word, right in (("python3 train.py --lr 1", "-- python3 train.py --lr 1"), ("cd x && y", "-- sh -c 'cd x && y'")):
        done = box.run("run", "--", word)
        assert done.status == 127 and done.err.startswith(f"gpu-gate: {word}: command not found"), done
        assert done.err.endswith(right + "\n"), done


MISSPELT_OPTIONS = [
    ("run", "--cuont", "--count"),
    ("run", "--counts", "--count"),
    ("run", "--min-free", "--min-free-mb"),
    ("run", "--min_free_mb", "--min-free-mb"),
    ("run", "--max-utill", "--max-util"),
    ("run", "--onyl", "--only"),
    ("run", "--exlude", "--exclude"),
    ("run", "--timout", "--timeout"),
    ("run", "--pol", "--poll"),
    ("run", "--id", "--ids"),
    ("run", "--quite", "--quiet"),
    ("run", "--hepl", "--help"),
    ("run", "--cuont=2", "--count"),
    ("run", "-nn", None),
    ("run", "-x", None),
    ("run", "---", None),
    ("run", "--json", None),
    ("wait", "--jsno", "--json"),
    ("wait", "--timeuot", "--timeout"),
    ("status", "--jsn", "--json"),
    ("status", "--only", None),
    ("status", "-n", None),
    ("status", "-q", None),
]


def test_an_unknown_option_is_refused_with_the_nearest_known_one(box):
    def check(verb, wrong, right):
        line = refusal(box, verb, wrong, *(("--", "true") if verb == "run" else ()))
        if wrong != "-nn":  # that is -n with the value "n"
            assert f"'{wrong.split('=')[0]}'" in line
        if right:
            assert f"did you mean {right}?" in line

    each(MISSPELT_OPTIONS, check)


def test_an_unknown_subcommand_is_refused_with_the_nearest_known_one(box):
    def check(word, right):
        line = refusal(box, word, "--", "true")
        assert f"'{word}'" in line
        if right:
            assert f"did you mean {right}?" in line

    each([
        ("rnu", "run"), ("runn", "run"), ("RUN", "run"), ("wiat", "wait"), ("wayt", "wait"), ("stat", "status"),
        ("statsu", "status"), ("exec", None), ("nvidia-smi", None), ("", None), ("-", None), ("-x", None), ("--helpp", None),
    ], check)


def test_wait_and_status_take_no_command(box):
    for words in (("wait", "true"), ("wait", "--", "true"), ("wait", "--"), ("status", "true"), ("status", "--", "true"),
                  ("status", "0")):
        assert words[0] in refusal(box, *words)


def test_a_value_for_an_option_that_takes_none_is_refused(box):
    for words in (("run", "--quiet=yes", "--", "true"), ("run", "-q=5", "--", "true"), ("wait", "--json=1"),
                  ("status", "--json=1"), ("run", "--help=x")):
        option = next(word for word in words if word.startswith("-")).split("=")[0]
        assert option in refusal(box, *words)


def test_a_word_with_control_characters_is_shown_in_one_line_without_them(box):
    def check(*words):
        assert not any(ord(c) < 0x20 or ord(c) == 0x7F for c in refusal(box, *words))

    each([
        ("run", "-n", "1\n2", "--", "true"),
        ("run", "--only", "a\nb", "--", "true"),
        ("run", "--a\nb", "--", "true"),
        ("run", "a\nb"),
        ("a\nb",),
        ("run", "--ids", "\x1b[31mred", "--", "true"),
        ("run", "--\x1b]0;title\x07", "--", "true"),
    ], check)


def test_a_word_that_is_not_utf8_is_refused_in_one_line(box):
    assert "--count" in refusal(box, "run", "-n", b"\xff\xfe", "--", "true")


# Odd, but right.

ODD_FORMS = [  # and what is shown to the command
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
    (("--timeout", "1h30m"), "0"),
    (("--timeout", "500ms"), "0"),
    (("--poll", "0.5s"), "0"),
    (("--min-free-mb", "0"), "0"),
    (("--min-free-mb", "8G"), "0"),
    (("--min-free-mb", "7.5GiB"), "0"),
    (("--min-free-mb=8000m",), "0"),
    (("--max-util", "0"), "0"),
    (("--max-util=100",), "0"),
    (("-n", "01"), "0"),
]


def test_an_odd_form_that_is_right_is_accepted(make_box):
    box = make_box(cards=4)
    box.set(3, pci="0000:1a:00.0")

    def check(words, shown):
        done = box.run("run", *words, "--", "printenv", "CUDA_VISIBLE_DEVICES")
        assert (done.status, done.out) == (0, shown + "\n"), done

    each(ODD_FORMS, check)


def test_everything_after_the_first_two_dashes_is_the_commands_own(box):
    words = ["-n", "7", "--help", "--", "--only", "", " ", "[a,b]", "{}", "{a,b}", "'q'", '"dq"', "%%", "++", "a\nb",
             "--quiet=yes", "\\", "#", "=", "~", "$HOME", "--version", "-"]
    done = box.run("run", "-q", "--", "sh", "-c", 'printf "%s\\0" "$@"', "name", *words)
    assert done.status == 0, done.err
    assert done.out.split("\0")[:-1] == words


def test_the_commands_name_may_look_like_an_option(box):
    for word in ("-n", "--", "--help", "--version", "run", "[a,b]", "{}"):
        write_tool(box.folder, "#!/bin/sh\necho tool \"$@\"\n", name=word)
        done = box.run("run", "--", word, "--", "x", env={"PATH": f"{box.folder}:/usr/bin:/bin"})
        assert (done.status, done.out) == (0, "tool -- x\n"), done


def test_help_and_version_need_neither_driver_nor_lock_directory(box):
    def check(words, said):
        done = box.run(*words, env={"GPU_GATE_NVML": "/nonexistent", "PATH": None})
        assert (done.status, done.err) == (0, "")
        assert said in done.out
        assert not box.lock.exists()

    each([
        (("--help",), "gpu-gate run"),
        (("-h",), "gpu-gate run"),
        (("run", "--help"), "--min-free-mb"),
        (("run", "-n", "2", "-h"), "--min-free-mb"),
        (("run", "--help", "--", "true"), "--min-free-mb"),
        (("wait", "--help"), "--json"),
        (("status", "--help"), "--json"),
        (("--version",), "gpu-gate "),
    ], check)


def test_help_tells_every_option(box):
    told = box.run("run", "--help").out
    for option in ("--count", "--min-free-mb", "--max-util", "--only", "--exclude", "--poll", "--timeout", "--ids",
                   "--quiet", "--help"):
        assert option in told


# The command is looked up before any waiting.

def not_executable(box):
    file = box.folder / "plain"
    file.write_text("#!/bin/sh\n")
    return str(file)


BAD_COMMANDS = [
    (lambda box: "no-such-command", 127),
    (lambda box: box.folder / "missing", 127),
    (lambda box: box.machine / "x", 127),  # below a file
    (lambda box: "", 127),
    (lambda box: box.folder, 126),
    (not_executable, 126),
    (lambda box: "/dev/null", 126),
]


def snapshot(folder):
    """Every file below a folder with its times and content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(info.st_mode) else None
        found[str(path)] = (info.st_ino, info.st_mtime_ns, info.st_mode, content)
    return found


def test_a_command_that_cannot_be_run_fails_at_once_while_the_card_is_busy(box):
    box.hold()
    box.log_calls()
    before = snapshot(box.lock)
    for command, status in BAD_COMMANDS:
        word = str(command(box))
        done = box.run("run", "--", word)
        assert done.status == status, done
        assert len(done.lines) == 1 and done.err.startswith(f"gpu-gate: {word or chr(39) * 2}: "), done
        assert done.out == ""
        assert snapshot(box.lock) == before
        assert not box.calls(), "the driver was asked"


def test_a_command_that_cannot_be_run_touches_nothing(box):
    for command, status in BAD_COMMANDS:
        done = box.run("run", "--", command(box), env={"GPU_GATE_NVML": "/nonexistent"})
        assert done.status == status, done
        assert not box.lock.exists()


def test_a_command_name_with_a_line_break_is_shown_in_one_line(box):
    done = box.run("run", "--", "no\nsuch\x1b[31m")
    assert done.status == 127
    assert done.err.count("\n") == 1 and "\x1b" not in done.err, done


def test_a_program_of_another_user_that_may_not_be_run_is_126(box):
    tool = box.folder / "private"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o700)
    assert box.run("run", "--", str(tool), user=ALICE).status == 126


def write_tool(folder, text="#!/bin/sh\necho here\n", mode=0o755, name="tool"):
    folder.mkdir(exist_ok=True)
    tool = folder / name
    tool.write_text(text)
    tool.chmod(mode)
    return tool


def test_the_path_goes_on_after_a_file_that_cannot_be_run(box):
    write_tool(box.folder / "a", mode=0o644)
    write_tool(box.folder / "b")
    done = box.run("run", "--", "tool", env={"PATH": f"{box.folder}/a:{box.folder}/b"})
    assert (done.status, done.out) == (0, "here\n"), done.err


def test_only_a_file_that_cannot_be_run_in_the_path_is_126(box):
    write_tool(box.folder / "a", mode=0o644)
    done = box.run("run", "--", "tool", env={"PATH": f"/nonexistent:{box.folder}/a:/usr/bin"})
    assert done.status == 126, done.err


def test_a_directory_in_the_path_is_not_the_command(box):
    (box.folder / "a" / "tool").mkdir(parents=True)
    write_tool(box.folder / "b")
    done = box.run("run", "--", "tool", env={"PATH": f"{box.folder}/a:{box.folder}/b"})
    assert (done.status, done.out) == (0, "here\n"), done.err


def test_an_empty_entry_of_the_path_is_the_current_directory(box):
    write_tool(box.folder / "here")
    for path in ("", ":", ":/nonexistent", "/nonexistent:", "/nonexistent::/usr/bin"):
        done = box.run("run", "--", "tool", env={"PATH": path}, cwd=box.folder / "here")
        assert (done.status, done.out) == (0, "here\n"), (path, done)


def test_without_a_path_the_systems_default_is_searched(box):
    assert box.run("run", "--", "true", env={"PATH": None}).status == 0


def test_a_relative_path_is_taken_from_the_current_directory(box):
    write_tool(box.folder / "here")
    done = box.run("run", "--", "./tool", cwd=box.folder / "here")
    assert (done.status, done.out) == (0, "here\n"), done.err


def test_a_script_without_an_interpreter_line_runs_like_in_a_shell(box):
    tool = write_tool(box.folder / "a", text='echo "$0" "$@"\nexit 7\n')
    done = box.run("run", "--", str(tool), "-n", "", "x y")
    assert (done.status, done.out) == (7, f"{tool} -n  x y\n"), done.err


def test_a_script_whose_interpreter_is_missing_is_127_and_says_so(box):
    tool = write_tool(box.folder / "a", text="#!/nonexistent/python\n")
    done = box.run("run", "-q", "--", str(tool))
    assert done.status == 127
    assert "interpreter" in done.err and done.err.count("\n") == 1, done.err


def test_a_failed_exec_leaves_the_card_free(box):
    tool = write_tool(box.folder / "a", text="#!/nonexistent/python\n")
    box.run("run", "--", str(tool))
    assert box.run("run", "--timeout", "0", "--", "true").status == 0
