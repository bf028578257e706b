"""What the kernel tells of AMD cards cannot be read for once: a card is not given twice by it, nor under another name."""

import pytest

from amd_box import AmdBox, unique_id
from fixtures import needs_mounts
from harness import each
from traced import inject, injected, of_folder, run

pytestmark = needs_mounts
AT_ONCE = 4
# One of each kind: a refusal, and any other. (ENOENT is that of a file that is not there, as on another machine.)
ERRNOS = {"openat": ["EACCES", "EMFILE"], "read": ["EINTR", "EIO"], "getdents64": ["EIO"], "newfstatat": ["ENOMEM"],
          "access": ["EACCES", "EIO"]}
JOB = ["--poll", "0.05", "--", "sh", "-c", "echo ran $ROCR_VISIBLE_DEVICES $GPU_GATE_UUIDS"]


def each_failure(check, make_box, words):
    """check(done, call) for gpu-gate with these words, where a call by which it reads /sys or /dev fails; for each of them."""
    def fail(name, nth):
        for errno in ERRNOS[name]:
            with make_box() as box:
                done = run(box, words, inject(name, nth, f"error={errno}"))
                check(box, done, f"{name} #{nth} {errno}")
                met.append(injected(box))

    met = []
    with make_box() as box:
        run(box, words)
        text = (box.folder / "trace").read_text(errors="replace")
    calls = [call for folder in ("/sys/", "/dev/kfd", "/dev/dri") for call in of_folder(text, folder) if call[0] in ERRNOS]
    each(calls, fail, AT_ONCE)
    assert len(met) > 30 and all(met)


def test_what_cannot_be_read_of_a_free_card_ends_in_a_run_or_a_clear_line():
    def check(box, done, what):
        if done.status == 0:
            uuid = f"GPU-{unique_id(0)}"
            assert done.out == f"ran {uuid} {uuid}\n", (what, done)
        else:
            assert done.out == "" and done.status in (3, 4), (what, done)
            assert done.lines and all(line.startswith("gpu-gate: ") for line in done.lines), (what, done)

    each_failure(check, lambda: AmdBox(cards=1), ["run", *JOB])


MACHINES = {
    "one": "amd",
    "without unique_id": "amd unique_id=none",
    "in two parts": "amd partition=DPX xcc=8 unique_id=a1",
    "in two parts with ids of their own": "amd partition=DPX xcc=8 own_ids=1 unique_id=a1",
}


@pytest.mark.parametrize("machine", MACHINES)
def test_a_card_that_is_held_is_not_given_again_whatever_cannot_be_read(machine):
    def make_box():
        box = AmdBox(cards=0)
        box.extra = [MACHINES[machine]]
        box.write()
        box.hold("-n", 2 if "parts" in machine else 1)
        return box

    def check(box, done, what):
        assert done.out == "" and done.status in (3, 4, 124), (what, done)

    each_failure(check, make_box, ["run", "--timeout", "0", *JOB])
