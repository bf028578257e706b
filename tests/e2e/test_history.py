"""The history: who claimed which card from when to when, written by each job and a small process beside it."""

import contextlib
import json
import os
import pathlib
import re
import signal
import xml.etree.ElementTree

import pytest

from harness import ALICE, BOB, WRAPPER, Box, children_of, each, may_mount, state_of, uuid, wait_until
from test_faults import NEVER_FAIL, SANITIZED
from traced import MAIN, calls_in, inject, injected, numbered, run, trace_lines, up_to_the_command

BESIDE = b"gpu-gate: notes the end of a claim"


def keep(box):
    """From here on the machine keeps a history."""
    box.history.mkdir()
    box.history.chmod(0o1777)
    return box


@pytest.fixture
def kept(box):
    return keep(box)


def history(box, *options, **more):
    done = box.run("history", "--json", *options, **more)
    assert (done.status, done.err) == (0, ""), done
    return json.loads(done.out)


def ended(box, count=1):
    """The claims, once so many of them have an end that was written down."""
    def they():
        claims = history(box)
        return claims if sum(claim["until"] is not None and not claim["at_latest"] for claim in claims) == count else None

    return wait_until(they, f"the end of {count} claims is written down")


def beside(box):
    """The small processes on this machine, as soon as they show what they are."""
    return [pid for pid in box.running() if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().startswith(BESIDE)]


def one_beside(box):
    [pid] = wait_until(lambda: beside(box), "a process is beside the job")
    return pid


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: state_of(pid) in ("", "Z"), "it has ended")


def test_without_the_directory_there_is_one_look_and_no_process(box):
    done = run(box, ["run", "--", "/bin/true"])
    assert done.status == 0, done
    lines = (box.folder / "trace").read_text().splitlines()
    assert len([line for line in lines if str(box.history) in line]) == 1
    assert not {"fork", "vfork", "clone", "clone3"} & set(calls_in("\n".join(lines)))
    done = box.run("history")
    assert (done.status, done.out) == (0, "") and f"sudo install -d -m 1777 {box.history}" in done.err
    assert box.run("history", "--json").out == "[]\n"


def test_each_claim_is_told_with_its_user_its_cards_and_how_long_it_waited(make_box):
    box = keep(make_box(cards=2))
    holder = box.hold("-n", 2, user=BOB, umask=0o077)
    [claim] = history(box, user=ALICE)
    assert (claim["user"], claim["command"], claim["indices"], claim["until"]) == (BOB.name, "sh", [0, 1], None)
    assert (claim["devices"], claim["share_mb"], claim["note"]) == ([uuid(0), uuid(1)], None, None)
    waiter = box.wait_in_line("--share", 8000, "--note", "carol's", user=ALICE)
    holder.kill()
    assert waiter.finish() == 0
    first, second = ended(box, 2)
    assert first["since"] < first["until"] <= second["since"] <= second["until"]
    assert (second["user"], second["note"], second["share_mb"], second["pid"]) == (ALICE.name, "carol's", 8000, waiter.pid)
    assert second["waited_s"] > 0 == first["waited_s"]
    files = {file.name: file.stat() for file in box.history.iterdir()}
    assert {name: (info.st_uid, info.st_mode & 0o7777) for name, info in files.items()} == {
        f"{user.uid}.jsonl": (user.uid, 0o644) for user in (ALICE, BOB)}
    assert re.search(rf"^  {BOB.name} .* 1 .*\n  {ALICE.name} ", box.run("history").out, re.M)
    jobs = box.run("history", "--jobs", "--user", ALICE.name, "--since", "1h", "--gpu", "0-1").out
    assert "true (pid" in jobs and "shares 8000 MiB" in jobs and len(jobs.splitlines()) == 2
    assert history(box, "--user", BOB.uid, "--gpu", "0000:11:00.0")[0]["pid"] == holder.pid
    assert history(box, "--until", "1h") == [] == history(box, "--gpu", 7)


def test_the_process_beside_the_job_has_nothing_of_it(kept):
    reads, writes = os.pipe()
    os.set_inheritable(writes, True)
    job = kept.hold(user=ALICE, pass_fds=[writes], cwd=kept.folder)
    os.close(writes)
    pid = one_beside(kept)
    folder = pathlib.Path(f"/proc/{pid}")
    own = {os.readlink(folder / "fd" / fd) for fd in os.listdir(folder / "fd")}
    assert own == {"/dev/null", str(next((kept.lock / "claims").glob("GPU-*")))}
    assert os.readlink(folder / "cwd") == "/"
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != job.pid and pid not in children_of(job.pid) and int(fields[3]) != os.getsid(job.pid)
    [pss] = re.findall(r"^Pss: +(\d+) kB", (folder / "smaps_rollup").read_text(), re.M)
    assert int(pss) < 1024 or SANITIZED or WRAPPER
    os.kill(pid, signal.SIGTERM)  # as a session that is closed does; it has something to do yet
    job.kill()
    assert os.read(reads, 1) == b""
    os.close(reads)
    assert ended(kept)[0]["pid"] == job.pid
    wait_until(lambda: not beside(kept), "it ends with the claim")


JOB_THAT_LOOKS = """import ctypes, os, signal
adopts = ctypes.c_int()
ctypes.CDLL(None).prctl(37, ctypes.byref(adopts), 0, 0, 0)
try:
    os.waitpid(-1, os.WNOHANG)
    print("has a child")
except ChildProcessError:
    print("has no child", adopts.value, signal.SIGCHLD in signal.sigpending(), os.times().children_user)
"""
CALLER = """import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
os.execv(sys.argv[1], sys.argv[1:])
"""


def test_the_job_sees_no_child_even_if_it_adopts_orphans_and_has_sigchld_blocked(kept):
    job = ["run", "-q", "--", "python3", "-c", JOB_THAT_LOOKS]
    assert kept.run(*job).out.startswith("has no child 0 False")
    assert kept.run_plain("python3", "-c", CALLER, kept.gate, *job).out.startswith("has no child 1 False")
    ended(kept, 2)


def test_an_end_that_nobody_wrote_down_is_told_as_the_latest(kept):
    first = kept.hold(user=ALICE)
    kill(one_beside(kept))
    assert history(kept)[0]["until"] is None  # the job lives
    first.kill()
    lost, = history(kept)
    assert lost["at_latest"] and lost["until"] >= lost["since"]
    second = kept.hold(user=BOB)
    kill(one_beside(kept))
    lost, running = history(kept)
    assert lost["at_latest"] and lost["until"] == running["since"] and running["until"] is None
    second.kill()
    line = kept.run("history", "--jobs").out.splitlines()[1]
    assert "<= 20" in line and f"pid {first.pid}" in line


def test_the_claim_ends_as_it_ends_for_others(kept):
    """With the last process that has its descriptor, or with the process where that has closed it."""
    left = kept.start("run", "-q", "--", "sh", "-c", "sleep 1000 >/dev/null 2>&1 & echo $!")
    child = int(left.wait_for(r"^(\d+)$", stdout=True).group(1))
    assert left.wait() == 0 and history(kept)[0]["until"] is None
    os.kill(child, signal.SIGKILL)
    ended(kept, 1)
    closes = "import os, signal; os.closerange(3, 4096); print('closed', flush=True); signal.pause()"
    daemon = kept.start("run", "-q", "--", "python3", "-c", closes)
    daemon.wait_for("closed", stdout=True)
    assert len([claim for claim in history(kept) if claim["until"] is None]) == 1
    daemon.kill()
    ended(kept, 2)
    for hold in (["--for", "1000s"], ["--pid", os.getpid()]):
        count = len(ended(kept, len(history(kept))))
        keeper = kept.start("hold", *hold)
        keeper.wait_for("^0$", stdout=True)
        one_beside(kept)
        pids = [pid for pid in kept.running() if pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2] == [b"hold"]]
        assert history(kept)[-1]["until"] is None
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # one that only prints may have ended meanwhile
                os.kill(pid, signal.SIGKILL)
        ended(kept, count + 1)


def test_a_part_of_a_job_counts_once(make_box):
    box = keep(make_box(cards=2))
    assert box.run("run", "-q", "-n", 2, "--", box.gate, "run", "-q", "--", "true").status == 0
    outer, inner = ended(box, 2)
    assert (outer["inside"], inner["inside"]) == (None, outer["claim"])
    assert re.search(r"^  root +\S+ +1 ", box.run("history").out, re.M)
    assert "inside another claim" in box.run("history", "--jobs").out


def test_the_picture_has_a_bar_for_each_claim_and_each_of_its_cards(make_box):
    box = keep(make_box(cards=2))
    holder = box.hold("-n", 2, user=BOB)
    assert box.run("run", "-q", "--timeout", 0, "--", "true", user=ALICE).status == 124
    file = box.folder / "picture.svg"
    file.write_text("x" * 100_000)
    done = box.run("history", "--svg", file)
    assert (done.status, done.out, done.err) == (0, "", ""), done
    root = xml.etree.ElementTree.parse(file).getroot()
    svg = "{http://www.w3.org/2000/svg}"
    assert root.tag == svg + "svg" and not root.findall(f".//{svg}script")
    titles = [rect.find(svg + "title").text for rect in root.iter(svg + "rect") if rect.find(svg + "title") is not None]
    assert len(titles) == 2 and all(f"{BOB.name}: sh (pid {holder.pid})" in title and "from 20" in title for title in titles)
    assert {title.splitlines()[1].split("  ")[0] for title in titles} == {"GPU 0", "GPU 1"}
    for bad in (box.folder, "/dev/full", box.folder / "no" / "such"):
        done = box.run("history", "--svg", bad)
        assert done.status == 125 and str(bad) in done.err, done
    assert box.run("history", "--svg", file, "--json").status == 2


def test_what_others_put_into_the_directory_neither_counts_nor_hangs_nor_hides_ones_own(kept):
    assert kept.run("run", "-q", "--", "true", user=BOB).status == 0
    [line] = {json.dumps(claim) for claim in ended(kept)}
    text = (kept.history / f"{BOB.uid}.jsonl").read_text().splitlines()[1]
    (kept.history / f"{BOB.uid}.jsonl").unlink()
    taken = kept.history / f"{ALICE.uid}.jsonl"  # in Alice's name, but Bob's
    taken.write_bytes(text.replace('"command":"true"', r'"command":"\u001b[31mred\n"').encode() + b"\n\0\0\xff garbage\n" + text[:99].encode())
    os.chown(taken, BOB.uid, BOB.gid)
    os.mkfifo(kept.history / "pipe.jsonl")
    (kept.history / "folder.jsonl").mkdir()
    secret = kept.folder / "secret"
    secret.write_text(text)
    (kept.history / "link.jsonl").symlink_to(secret)
    (kept.history / f"{ALICE.uid}-1.jsonl").symlink_to(secret)
    assert kept.run("run", "-q", "--", "true", user=ALICE).status == 0
    own = kept.history / f"{ALICE.uid}-2.jsonl"
    wait_until(lambda: own.exists() and own.read_text().count("\n") == 2, "Alice's lines have a file of their own")
    done = kept.run("history", "--jobs")
    assert "2 lines in" in done.err and "\x1b" not in done.out and r"\x1b[31mred\n" in done.out
    assert [row.split()[-4] for row in done.out.splitlines()[1:]] == [BOB.name, ALICE.name]
    assert secret.read_text() == text


def test_half_a_line_costs_that_line_only(kept):
    assert kept.run("run", "-q", "--", "true").status == 0
    ended(kept)
    file = kept.history / "0.jsonl"
    file.write_text(file.read_text() + file.read_text()[:200])  # as a power cut leaves it
    assert kept.run("run", "-q", "--", "true").status == 0
    wait_until(lambda: file.read_text().count('"end_ms"') == 2, "the end is written down")
    done = kept.run("history", "--json")
    assert len(json.loads(done.out)) == 2 and "1 line in" in done.err


@pytest.mark.skipif(not may_mount(), reason="no mount namespaces here")
def test_a_full_disk_costs_the_line_and_not_the_job(kept):
    script = f"""set -e; mount -t tmpfs -o size=4k,mode=1777 none {kept.history}; H={kept.history}/0.jsonl
        head -c 4000 /dev/zero | tr '\\0' ' ' >$H; {kept.gate} run -q -- echo ran
        until [ $(stat -c %s $H) = 4096 ]; do :; done; mount -o remount,size=1m {kept.history}
        {kept.gate} run -q -- echo ran; until grep -q end_ms $H; do :; done; {kept.gate} history --jobs | wc -l"""
    done = kept.run_plain("unshare", "-m", "sh", "-c", script)
    # The end of the first one may still have found room.
    assert re.fullmatch("ran\nran\n[23]\n", done.out) and "cannot be read" in done.err, done


LIST_DESCRIPTORS = ["run", "--", "sh", "-c", "echo /proc/self/fd/*"]
ERRNOS = {"access": "EIO", "openat": "EMFILE", "newfstatat": "ENOMEM", "write": "ENOSPC", "read": "EIO",
          "vfork": "EAGAIN", "prctl": "EINVAL", "wait4": "EINTR"}
OF_THE_OTHER = [("clone", 1), ("close_range", 1), ("setsid", 1), ("setpriority", 1), ("dup2", 1), ("dup2", 3)]


def test_every_call_for_the_history_that_fails_costs_a_line_and_not_the_job(kept):
    bare = kept.run(*LIST_DESCRIPTORS, env={"GPU_GATE_HISTORY": "/none"}).out
    lines = trace_lines(kept, LIST_DESCRIPTORS)
    main = [line for line in lines if line.startswith(lines[0].split()[0] + " ")]
    calls = up_to_the_command(calls_in("\n".join(main)))
    begin = next(i for i, call in enumerate(calls) if str(kept.history) in call.rest)
    assert {call for call in calls[begin:-1]} <= set(ERRNOS) | NEVER_FAIL
    cases = [(call, nth) for call, nth in numbered(calls)[begin - calls.index(MAIN) - 1:] if call in ERRNOS]
    assert len(cases) > 8, cases

    def check(name, nth):
        with Box() as box:
            assert keep(box).run(*LIST_DESCRIPTORS, env={"GPU_GATE_HISTORY": "/none"}).out == bare
            done = run(box, LIST_DESCRIPTORS, inject(name, nth, f"error={ERRNOS.get(name, 'EPERM')}"))
            assert (done.status, done.out) == (0, bare) and injected(box), done
            assert len(history(box)) <= 1
            assert box.run("run", "-q", "--timeout", 20, "--", "true").status == 0

    each([*cases, *OF_THE_OTHER], check, 4)


def test_every_call_that_fails_at_the_end_costs_the_end_only(kept):
    def check(name, nth, errno):
        with Box() as box:
            job = keep(box).hold()
            pid, trace = one_beside(box), box.folder / "trace"
            strace = box.start_plain("strace", "-p", pid, "-o", trace, *inject(name, nth, f"error={errno}"))
            wait_until(lambda: trace.exists() and "ppoll" in trace.read_text(), "it is traced")
            job.kill()
            strace.finish()
            assert injected(box) and not beside(box)
            [claim] = history(box)
            assert claim["until"] and claim["at_latest"] == ((name, nth) != ("openat", 1)), claim

    each([("openat", 1, "EIO"), ("openat", 2, "EMFILE"), ("write", 1, "ENOSPC")], check, 3)
