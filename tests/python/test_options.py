"""claim() and wait() have a keyword for each option of `gpu-gate hold`, as the program's own table lists them."""

import inspect
import subprocess

import pytest

import gpu_gate
import gpu_gate._claim
import gpu_gate._program
import harness

# What the front does itself: it holds for the block, reads the line for eval, and has docstrings.
NO_KEYWORDS = {"--pid", "--for", "--ids", "--json", "--export", "--help"}
OTHER_NAMES = {"--share": "share_mb"}  # a Python number has no unit: the name has it, as in min_free_mb


def options_of_hold():
    """{"--count": (its value's name or "" for a flag, its default or "")}."""
    rows = subprocess.run([harness.BUILD / "reference"], check=True, capture_output=True, text=True).stdout.splitlines()
    split = [row.split("\t") for row in rows]
    return {name: (value, fallback) for name, value, fallback, verbs in split if "hold" in verbs.split()}


OPTIONS = {name: row for name, row in options_of_hold().items() if name not in NO_KEYWORDS}


def keyword(option):
    return OTHER_NAMES.get(option, option[2:].replace("-", "_"))


class Recorded(Exception):
    """Instead of a running gpu-gate: the words it would have been started with."""

    line = None

    def __init__(self, words, *, quiet):
        super().__init__()
        self.words = words
        raise self


@pytest.fixture(params=[lambda **options: gpu_gate.claim(**options).__enter__(), gpu_gate.wait], ids=["claim", "wait"])
def words_of(request, monkeypatch):
    for module in (gpu_gate._claim, gpu_gate._program):
        monkeypatch.setattr(module, "Call", Recorded)

    def words(**options):
        with pytest.raises(Recorded) as caught:
            request.param(**options)
        return caught.value.words

    return words


def test_what_has_no_keyword_is_an_option():
    assert NO_KEYWORDS < set(options_of_hold())


@pytest.mark.parametrize("function,more", [(gpu_gate.claim, {"environ"}), (gpu_gate.wait, set())], ids=["claim", "wait"])
def test_there_is_a_keyword_for_each_option_with_its_default(function, more):
    parameters = {name: each.default for name, each in inspect.signature(function).parameters.items() if name not in more}
    assert set(parameters) == {keyword(option) for option in OPTIONS}
    for option, (value, fallback) in OPTIONS.items():
        default = parameters[keyword(option)]
        # None: nothing is said, and the program's own default holds.
        assert default is (None if value else False) or str(default) == fallback, option


def test_each_keyword_becomes_its_option(words_of):
    usual = words_of()
    for option, (value, _) in OPTIONS.items():
        words = words_of(**{keyword(option): "7" if value else True})
        assert (f"{option}=7" if value else option) in set(words) - set(usual), option
