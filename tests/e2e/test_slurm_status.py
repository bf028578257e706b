"""status --on slurm: the cards of a real cluster, who holds them and who waits, and what it says where Slurm cannot be
asked."""

import json
import os
import re
import signal
import time

import pytest

from harness import ALICE, BOB, ROOT, each, wait_until
from terminal import Terminal

BAD, UNREACHABLE = 2, 4


@pytest.fixture
def cluster(slurm, box):
    """What a user of the cluster does: submit(words of srun), status(options)."""
    class Cluster:
        def submit(self, *words, user=ALICE, state="RUNNING", name="train"):
            """A job that stays; returns its number once it is in this state."""
            before = set(slurm.jobs())
            box.start_plain("srun", "--input=none", "--quiet", f"--job-name={name}", *words, "sleep", 1000, user=user,
                            env=slurm.env, cwd="/tmp")

            def found():
                return [job for job, (seen, _) in slurm.jobs().items() if job not in before and seen == state]

            return wait_until(found, f"a new job is {state}")[0]

        def status(self, *options, user=ROOT, env=None):
            return box.run("status", "--on", "slurm", *options, user=user, env={**slurm.env, **(env or {})})

        def cards(self, **options):
            done = self.status("--json", **options)
            assert done.status == 0 and done.err == "", done
            return json.loads(done.out)

    return Cluster()


def row(text, node, indices):
    """The cells of these cards' line behind the type."""
    return re.search(rf"^ {node} +{indices}  \w+ +(.*)$", text, re.M)[1]


def test_an_idle_cluster_has_all_its_cards_free(cluster):
    assert [(card["node"], card["index"], card["name"], card["claim"], card["state"]) for card in cluster.cards()] == [
        (node, index, name, None, "idle") for node in ("n1", "n2") for index, name in enumerate(("l40s", "l40s", "h100", "h100"))]
    done = cluster.status()
    assert done.status == 0 and done.err == "" and "waiting" not in done.out
    assert done.out.splitlines()[0].split() == ["node", "idx", "type", "who", "since", "job"]
    assert row(done.out, "n2", "2-3") == "-"


def test_it_says_who_holds_each_card_and_who_waits_for_which(cluster):
    first = cluster.submit("-N1", "-n1", "-wn1", "--gpus=h100:1")
    both = cluster.submit("-N2", "--gpus-per-node=l40s:1", user=BOB, name="wide")
    waits = cluster.submit("-N1", "-n1", "--gpus=h100:2", "-wn1", user=BOB, state="PENDING", name="big")
    more = cluster.submit("-N1", "-n1", "--gpus=2", "-wn1", state="PENDING", name="more")
    held = {(card["node"], card["index"]): card["claim"] for card in cluster.cards() if card["claim"]}
    assert {place: (claim["user"], claim["job"], claim["command"]) for place, claim in held.items()} == {
        ("n1", 2): (ALICE.name, first, "train"), ("n1", 0): (BOB.name, both, "wide"), ("n2", 0): (BOB.name, both, "wide")}
    assert all(abs(claim["since"] - time.time()) < 60 for claim in held.values())
    text = cluster.status(user=ALICE).out
    assert re.fullmatch(rf"{ALICE.name} +\d+s +{first}  train", row(text, "n1", 2)), text
    assert row(text, "n1", 3) == "-"
    assert re.search(rf"^ waiting: 2\n   1  {BOB.name} +2 h100 +\d+s +{waits} +\w+ +big\n"
                     rf"   2  {ALICE.name} +2 GPUs +\d+s +{more} +\w+ +more\n", text, re.M), text


def test_jobs_without_cards_and_those_that_have_ended_are_not_told_of(cluster, slurm):
    slurm.run("srun", "-N1", "-n1", "--gpus=1", "true")
    cluster.submit("-N1", "-n1")
    wait_until(lambda: not [card for card in cluster.cards() if card["claim"]], "nobody has a card")
    cluster.submit("-N2", "--exclusive", state="PENDING")
    assert "waiting" not in cluster.status().out


def test_a_node_that_takes_no_jobs_says_why(cluster, slurm):
    job = cluster.submit("-N1", "-n1", "-wn2", "--gpus=l40s:1")
    slurm.run("scontrol", "update", "NodeName=n2", "State=DRAIN", "Reason=bad fan, ask bob")
    text = cluster.status().out
    assert row(text, "n2", 1) == "draining: bad fan, ask bob"
    assert re.search(rf"{job}  train \(draining\)$", row(text, "n2", 0)), text
    assert row(text, "n1", "0-1") == "-"
    assert {(card["node"], card["state"], card["reason"]) for card in cluster.cards()} == {
        ("n1", "idle", None), ("n2", "draining", "bad fan, ask bob")}


def test_text_of_others_cannot_reach_the_terminal_as_it_is(cluster):
    cluster.submit("-N1", "-n1", "--gpus=1", name="evil\x1b[31m")
    text = cluster.status().out
    assert "evil\\x1b[31m" in text and "\x1b" not in text


@pytest.mark.parametrize("width", (40, 80, 120))
def test_on_a_terminal_no_line_is_wider_than_it(cluster, slurm, box, width):
    cluster.submit("-N1", "-n1", "--gpus=1", name="n" * 150)
    cluster.submit("-N2", "--gpus-per-node=4", state="PENDING", name="w" * 150)
    terminal = Terminal(box, box.gate, "status", "--on", "slurm", size=(width, 30), env=slurm.env)
    try:
        assert terminal.process.finish() == 0
        terminal.wait_for("^   1  ")
        lines = [re.sub(r"\x1b\[\d*m", "", line) for line in terminal.raw.splitlines()]
        assert len(lines) == 8 and max(map(len, lines)) <= width, lines
    finally:
        terminal.close()


def test_a_job_of_gpu_gate_is_shown_with_its_program_and_note(cluster, slurm, box):
    box.start("run", "--on", "slurm", "--note", "bert-large", "--", "sleep", 1000, user=ALICE, env=slurm.env, cwd="/tmp")
    job = slurm.wait_for_job("RUNNING")
    text = cluster.status().out
    assert re.search(rf" {ALICE.name} \(bert-large\) +\d+s +{job}  sleep$", text, re.M), text
    [claim] = [card["claim"] for card in cluster.cards() if card["claim"]]
    assert (claim["command"], claim["note"]) == ("sleep", "bert-large")


# Where Slurm cannot be asked.

def refused(done, began, *words):
    assert done.status == UNREACHABLE and done.out == "" and len(done.lines) == 1, done
    assert all(word in done.err for word in words), done
    assert time.monotonic() - began < 10


def test_without_slurms_commands_it_says_so(box):
    folder = box.folder / "empty"
    folder.mkdir()
    began = time.monotonic()
    refused(box.run("status", "--on", "slurm", env={"PATH": folder}), began, "no srun here", "PATH")


def test_a_missing_configuration_is_told_at_once(cluster):
    began = time.monotonic()
    refused(cluster.status(env={"SLURM_CONF": "/nonexistent/slurm.conf"}), began, "SLURM_CONF", "/nonexistent/slurm.conf")
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("how", (signal.SIGKILL, signal.SIGSTOP))
def test_a_controller_that_is_away_or_hangs_is_told_in_time(cluster, slurm, how):
    pid = slurm.pid("controller")
    if how == signal.SIGSTOP:
        os.kill(pid, how)
    else:
        slurm.stop("controller")
    try:
        began = time.monotonic()
        refused(cluster.status(), began, "scontrol ping" if how == signal.SIGSTOP else "DOWN")
    finally:
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)


def test_without_munge_it_says_so_in_time(cluster, slurm):
    slurm.stop("munge")
    began = time.monotonic()
    refused(cluster.status(), began)


def test_what_squeue_prints_instead_of_a_list_is_no_crash(cluster, slurm, box):
    folder = box.folder / "bin"
    folder.mkdir()

    def check(script, *words):
        (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "squeue").chmod(0o755)
        refused(cluster.status(env={"PATH": f"{folder}:/usr/bin:/bin"}), time.monotonic(), "squeue", *words)

    each([("echo '{'",), ("echo 'more\nsqueue: error: \x1b[31mno' >&2; exit 1", "\\x1b[31mno"), ("kill -9 $$",),
          ("head -c 100000 /dev/urandom",)], check)


def test_where_squeue_knows_no_json_all_but_names_and_some_indices_is_told(cluster, box):
    folder = box.folder / "bin"
    folder.mkdir()
    (folder / "squeue").write_text("""#!/bin/sh
case "$*" in *--json*) echo "squeue: unrecognized option '--json'" >&2; exit 1 ;; esac
exec /usr/bin/squeue "$@"
""")
    (folder / "squeue").chmod(0o755)
    env = {"PATH": f"{folder}:/usr/bin:/bin"}
    one = cluster.submit("-N1", "-n1", "-wn1", "--gpus=h100:1", name="a\n9  forged")
    wide = cluster.submit("-N2", "--gpus-per-node=l40s:2", user=BOB)
    waits = cluster.submit("-N1", "-n1", "--gpus=l40s:1", state="PENDING")
    held = [(card["node"], card["index"], card["name"], card["claim"]["user"], card["claim"]["job"], card["claim"]["command"])
            for card in cluster.cards(env=env) if card["claim"]]
    assert held == [("n1", None, "l40s", BOB.name, wide, None), ("n1", None, "l40s", BOB.name, wide, None),
                    ("n1", None, "h100", ALICE.name, one, None), ("n2", None, "l40s", BOB.name, wide, None),
                    ("n2", None, "l40s", BOB.name, wide, None)]
    text = cluster.status(env=env).out
    assert re.search(rf"^ waiting: 1\n   1  {ALICE.name} +1 l40s +\d+s +{waits} +\w+\n", text, re.M), text
    assert "forged" not in text and re.search(rf" {BOB.name} +\d+s +{wide}$", text, re.M), text


def test_what_it_cannot_do_on_slurm_is_refused(cluster):
    def check(options, hint):
        done = cluster.status(*options)
        assert done.status == BAD and len(done.lines) == 1 and hint in done.err, done

    each([(("--watch",), "watch -n 5 gpu-gate status --on slurm"), (("--metrics",), "--json"),
          (("--vendor", "amd"), "--vendor")], check)
