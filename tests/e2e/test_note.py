"""--note: a text that others see beside the user."""

import json
import os
import subprocess

from harness import ALICE, BOB

NOTE = "carol's sweep"


def record_of(folder):
    [file] = [path for path in folder.iterdir() if path.suffix == ".json"]
    return json.loads(file.read_text())


def test_the_note_of_a_job_is_shown_beside_its_user_in_status_notices_and_json(box):
    job = box.hold("--note", NOTE, user=ALICE)
    assert f"{ALICE.name} ({NOTE}): " in box.run("status").out
    waiter = box.wait_in_line(user=BOB)
    assert f"claimed by {ALICE.name} ({NOTE}): " in waiter.err
    claim = box.status()[0]["claim"]
    assert (claim["note"], claim["pid"]) == (NOTE, job.pid)


def test_the_note_of_a_waiter_is_shown_beside_its_user(box):
    box.hold()
    box.wait_in_line("--note", NOTE, user=ALICE)
    assert f"  1  {ALICE.name} ({NOTE})  1 GPU  " in box.run("status").out


def test_hold_has_a_note_too_and_wait(box):
    hold = box.start("hold", "--note", NOTE, stdin=subprocess.PIPE)
    hold.wait_for("^0$", stdout=True)
    assert box.status()[0]["claim"]["note"] == NOTE
    waiter = box.start("wait", "--note", "another")
    waiter.wait_for("in line")
    assert "root (another)" in box.run("status").out


def test_without_a_note_there_is_none(box):
    box.hold(user=ALICE)
    assert box.status()[0]["claim"]["note"] is None
    assert "note" not in record_of(box.lock / "claims")
    assert f"{ALICE.name}: " in box.run("status").out


def test_the_note_stands_in_the_record_and_an_older_program_reads_the_rest(box):
    """What older versions read is there as ever; the key is one more, as any that a later version may add."""
    box.hold("--note", "é", user=ALICE)
    record = record_of(box.lock / "claims")
    assert record["note"] == "é" and record["version"] == 1


def test_a_note_has_at_most_64_characters_whatever_their_bytes(box):
    for good in ("x" * 64, "é" * 64, "語" * 64):
        assert box.run("run", "--note", good, "--", "true").status == 0, good
    for bad in ("x" * 65, "é" * 65, b"\xff" * 65):
        done = box.run("run", "--note", bad, "--", "true")
        assert done.status == 2 and len(done.lines) == 1, done
        assert "--note" in done.err and "at most 64 characters" in done.err


def test_a_note_of_any_bytes_is_shown_in_one_harmless_line(box):
    box.hold("--note", b"a\nb\x1b[31m\xff\xe2\x80\xae", user=ALICE)
    waiter = box.wait_in_line(user=BOB)
    shown = r"(a\nb\x1b[31m�\u{202e})"
    assert shown in box.run("status").out
    assert shown in waiter.err
    assert box.status()[0]["claim"]["note"] == "a\nb\x1b[31m�\u202e"


def test_a_note_that_somebody_wrote_into_a_record_by_hand_is_no_longer_than_others(box):
    job = box.hold(user=ALICE)
    [file] = [path for path in (box.lock / "claims").iterdir() if path.suffix == ".json"]
    record = json.loads(file.read_text())
    for note, shown in (("y" * 5000, "y" * 64), (7, None), ("", None), ([], None)):
        file.write_text(json.dumps({**record, "note": note}))
        assert os.stat(file).st_uid == ALICE.uid
        claim = box.status()[0]["claim"]
        assert (claim["note"], claim["pid"]) == (shown, job.pid)
