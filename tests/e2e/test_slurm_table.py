"""The table of a cluster's types of GPU: what gpu-gate reads, Python's TOML reader reads as the same."""

import random
import re

import pytest

tomllib = pytest.importorskip("tomllib", reason="this Python has no tomllib")

PIECES = ["[memory_mb]", "[memory_mb]\n", "[ memory_mb ]", '["memory_mb"]', "[other]", "prefer", "prefer = ", "a", "b-1", "'a'",
          '"a"', '"b-1"', '"\\u0061"', '"""', "'''", "=", " = ", ".", "1", "46068", "46_068", "4_6_0", "0", "07", "-1", "+1", "1.5",
          "0x1F", "1e3", "1_", "_1", "true", "1979-05-27", "[", "]", ",", "{", "}", "#", "# größer", "\t", " ", "\n", "\r\n",
          "\r", "\0", "\x7f", "\ufeff", "\x1b", "\u200b", b"\xef\xbb", b"\xff", "a = 1\n", "b-1 = 2\n", "[memory_mb]\na = 5\n"]
GOOD = ['prefer = ["a", \'b-1\',\n # why\n]\n', "[memory_mb] # MiB\n", "a = 46_068\n", '"b-1"=2 #x\n', "'c.d' = 1\n", "\n"]


def text_of(dice):
    """Some bytes, of which every second one is nearly right."""
    parts = list(GOOD) if dice.random() < 0.5 else []
    for _ in range(dice.randrange(4 if parts else 12)):
        if parts and dice.random() < 0.4:
            del parts[dice.randrange(len(parts))]
        parts.insert(dice.randrange(len(parts) + 1), dice.choice(PIECES))
    return b"".join(part if isinstance(part, bytes) else part.encode() for part in parts)


def read_by_gpu_gate(box, file):
    """{type: MiB}, or nothing where it is refused."""
    done = box.run("run", "--on", "slurm", "--min-free-mb", "999999999999", "--", "true", env={"GPU_GATE_SLURM": file})
    if done.status == 2:
        assert len(done.lines) == 1 and re.match(rf"gpu-gate: {re.escape(str(file))}:\d+: ", done.lines[0]), done
        return None
    assert done.status == 3, done
    return {name: int(mib) for name, mib in re.findall(r"(\S+) (\d+) MiB(?:,|$)", done.err.partition("so much: ")[2])}


def test_it_means_the_same_to_tomllib(box):
    seed = random.randrange(10**6)
    dice, accepted = random.Random(seed), 0
    file = box.folder / "slurm.toml"
    for _ in range(400):
        text = text_of(dice)
        file.write_bytes(text)
        read = read_by_gpu_gate(box, file)
        if read is None:
            continue
        accepted += 1
        table = tomllib.loads(text.decode())
        table["memory_mb"].pop("prefer", None)
        assert read == table["memory_mb"], f"{text!r}, seed {seed}"
    assert accepted > 20
