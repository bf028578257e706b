"""The man page, the README, and --help say the same."""

import os
import re
import subprocess

import pytest

import harness
from conftest import SOURCE, VERBS, default_in, help_options, help_text

PAGE = (harness.BUILD / "reference_files" / "gpu-gate.1.scd").read_text()


def section(name):
    return re.search(rf"^# {name}\n(.*?)(?=^# |\Z)", PAGE, re.M | re.S)[1]


def entries(text):
    """The entries of a list: a line that begins with a bold word, and the indented text below it."""
    return re.findall(r"^(\*\S.*)\n((?:\t.*\n)+)", text, re.M)


def page_options(verb):
    """As help_options: the headings in OPTIONS name the subcommands they are for."""
    options = {}
    for heading, text in re.findall(r"^## (.*)\n((?:(?!^## ).*\n?)*)", section("OPTIONS"), re.M):
        if verb not in re.split(r"[:, ]+", heading.split(":")[1]):
            continue
        for head, body in entries(text):
            match = re.fullmatch(r"(?:\*(-\w)\*, )?\*(--[a-z-]+)\*(?:(?: |\[=)_(.+)_\]?)?", head)
            assert match, f"not an option: {head}"
            options[match[2]] = (match[1], match[3] or "", body)
    return options


def shape(options):
    return {name: (short, value, default_in(text)) for name, (short, value, text) in options.items()}


@pytest.mark.parametrize("verb", VERBS)
def test_page_and_help_have_the_same_options_values_and_defaults(verb):
    assert help_options(verb), "the help has no options that this test understands"
    helped = {name: ("" if name == "--json" else value) and value
              for name, (_, value, _) in help_options(verb).items()}
    page = shape(page_options(verb))
    help_ = {name: (short, helped[name], default_in(text))
             for name, (short, _, text) in help_options(verb).items()}
    assert page == help_


@pytest.mark.parametrize("verb", VERBS)
def test_the_program_takes_every_option_of_its_help(verb):
    for name, (short, value, _) in help_options(verb).items():
        for option in filter(None, (name, short)):
            words = [f"{name}=?"] if value and option == name else [option] + ["?"] * bool(value)
            done = subprocess.run([harness.BUILD / "gpu-gate", verb, *words],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL,
                                  env={"GPU_GATE_NVML": "/nonexistent", "PATH": os.environ["PATH"]})
            assert "no option" not in done.stderr and "takes no" not in done.stderr, done.stderr


def test_page_and_help_have_the_same_subcommands():
    in_help = re.findall(r"^  gpu-gate ([a-z]+) ", help_text(), re.M)
    synopsis = re.findall(r"^\*gpu-gate ([a-z]+)\*", section("SYNOPSIS"), re.M)
    assert synopsis == [verb for verb in dict.fromkeys(in_help) if verb in VERBS] == list(VERBS)
    described = [head.split("*")[1] for head, _ in entries(section("DESCRIPTION"))]
    assert described == [*VERBS, "help"]


def test_page_and_help_have_the_same_exit_statuses():
    text = re.search(r"Exit status:(.*)", help_text(), re.S)[1]
    numbers = set(re.findall(r"(?<![\w-])\d+(?!\w)", text)) | {"0"}
    assert set(re.findall(r"\*(\d+)\*", section("EXIT STATUS"))) == numbers


def test_page_and_help_have_the_same_environment():
    variables = re.findall(r"^  ([A-Z_]+)  ", help_text(), re.M)
    read, given = section("ENVIRONMENT").split("The command of *run* gets")
    assert re.findall(r"^\*([A-Z_]+)\*", read, re.M) == variables
    set_by_run = set(re.findall(r"\*([A-Z_]+)\*", " ".join(head for head, _ in entries(given))))
    assert set_by_run == set(re.findall(r"\b(?:CUDA|ROCR|GPU_GATE)_[A-Z_]+", help_text("run").split("Which GPUs")[0]))


def test_readme_has_the_options_and_exit_statuses_of_the_help():
    readme = (SOURCE / "README.md").read_text()
    rows = re.findall(r"^\| `(?:-\w`, `)?(--[a-z-]+)", readme, re.M)
    assert sorted(rows) == sorted({name for verb in VERBS for name in help_options(verb)} - {"--help"})
    codes = re.search(r"### Exit codes\n(.*?)\n###", readme, re.S)[1]
    listed = {number for row in re.findall(r"^\| ([\d, ]+) \|", codes, re.M) for number in row.split(", ")}
    assert listed == set(re.findall(r"\*(\d+)\*", section("EXIT STATUS")))


def test_the_page_renders_without_a_warning(tmp_path):
    page = tmp_path / "gpu-gate.1"
    page.write_bytes(subprocess.run(["scdoc"], input=PAGE.encode(), check=True, stdout=subprocess.PIPE).stdout)
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", page], capture_output=True,
                          text=True, env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
    assert done.returncode == 0 and done.stderr == ""
    plain = re.sub(r".\x08|\x1b\[\d*m", "", done.stdout)
    for word in ("gpu-gate hold", "--min-free-mb", "EXIT STATUS", "/run/gpu-gate"):
        assert word in plain
