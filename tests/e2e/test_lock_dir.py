"""A lock directory that is out of order: something else in its place, gone, read-only, full, on a network; and a
process that may open too little.

Everybody is told in one line what is wrong and what helps, or goes on.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess

import pytest

import fuse
import harness
from fixtures import needs_mounts
from harness import ALICE, BOB, NEVER, ROOT, compile_library, each, wait_until
from intruder import PRELUDE, intruder, made_by_root, refused
from traced import NO_LEAK_CHECK

# Something else where a part of the directory should be. BOB made the directory.


def test_a_part_that_is_something_else_is_refused(make_box):
    def check(part, make):
        box = make_box(cards=1)
        intruder(box, f"os.umask(0); lock.mkdir(0o1777); path = {part}; {make}")
        refused(box.run("run", "--", "true", user=ALICE))
        other = box.folder / "other"
        assert not other.exists() or not list(other.iterdir())

    each([(part, make) for part in ("queue", "claims") for make in (
        "(lock.parent / 'other').mkdir(0o777); path.symlink_to(lock.parent / 'other')",
        "path.symlink_to(lock.parent / 'other')",
        "path.write_text('')",
        "os.mkfifo(path)",
        "path.mkdir(0o700)",
    )], check)


def test_something_else_in_place_of_the_directory_is_refused(make_box):
    def check(make):
        box = make_box(cards=1)
        intruder(box, make)
        refused(box.run("run", "--", "true", user=ALICE))
        assert box.run("status", user=ALICE).status in (0, 5)

    each([
        "lock.write_text('')",
        "os.mkfifo(lock); lock.chmod(0o666)",
        "lock.symlink_to(lock.parent / 'nowhere' / 'deep')",
        "(lock.parent / 'f').write_text(''); lock.symlink_to(lock.parent / 'f')",
        "lock.symlink_to(lock)",
    ], check)


# The default place.

needs_default = pytest.mark.skipif(os.path.exists("/run/gpu-gate"), reason="this machine has a /run/gpu-gate")


def in_default_place(box, setup, *words, user=ALICE):
    """Runs gpu-gate without GPU_GATE_LOCK_DIR, with a /run/lock of its own that `setup` prepares."""
    script = f"""
mount -t tmpfs -o mode=1777 none /run/lock || exit 99
cd /run/lock
{setup}
exec setpriv --reuid={user.uid} --regid={user.gid} --clear-groups "$@" """
    return box.run_plain("unshare", "-m", "sh", "-c", script, "sh", box.gate, *words, env={"GPU_GATE_LOCK_DIR": None})


@needs_mounts
@needs_default
def test_a_link_in_the_default_place_is_not_followed(box):
    show = ("run", "--", "stat", "-c", "%a %U", "/run/lock/gpu-gate", "/run/lock/gpu-gate/queue")
    done = in_default_place(box, ":", *show)
    assert (done.status, done.out) == (0, "1777 games\n" * 2), done
    trap = box.folder / "trap"
    trap.mkdir()
    trap.chmod(0o777)
    refused(in_default_place(box, f"ln -s {trap} gpu-gate; chown -h {BOB.uid} gpu-gate", *show))
    assert not list(trap.iterdir())


@needs_mounts
@needs_default
def test_where_nothing_is_writable_by_all_the_line_says_what_to_set(box):
    # (What it needs of /tmp has to be elsewhere first.)
    setup = f"""
mount -t tmpfs none /mnt
mkdir /mnt/box /mnt/bin
mount --bind {box.folder} /mnt/box
mount --bind {harness.BIN} /mnt/bin
mount -t tmpfs -o mode=755 none /tmp
chmod 755 /run/lock
shift
set -- /mnt/bin/gpu-gate "$@"
export GPU_SIM_MACHINE=/mnt/box/machine.txt GPU_GATE_NVML=/mnt/bin/current/libnvidia-ml.so.1"""
    done = in_default_place(box, setup, "run", "--", "true")
    assert (done.status, done.lines) == (5, ["gpu-gate: cannot use the lock directory: there is no /run/gpu-gate, and "
                                        "no other directory that all users may write to; set GPU_GATE_LOCK_DIR"])


NOTICE = ("gpu-gate: the lock directory is /tmp/gpu-gate: a service with a /tmp of its own stands in another line; "
          "root can make one for all: install -d -m 1777 /run/gpu-gate /run/gpu-gate/queue /run/gpu-gate/claims")


@pytest.fixture
def only_tmp(make_box, make_places):
    """A machine on which all may write to /tmp alone, as on Fedora."""
    return make_places(make_box(cards=1), lock_mode="755")


def test_where_the_choice_falls_to_tmp_it_is_told_once_with_what_helps(only_tmp):
    for words in (("run", "--", "true"), ("run", "--timeout", 0, "--", "true"), ("wait",), ("wait", "--json"),
                  ("hold", "--for", 0.1), ("status",)):
        done = only_tmp.run(*words)
        assert done.status == 0 and done.lines.count(NOTICE) == 1, done
        assert "/tmp" not in done.out, done
    holder = only_tmp.hold()
    waiter = only_tmp.start("run", *NEVER, "--", "true", user=BOB)
    waiter.wait_for("in line")
    holder.kill()
    assert waiter.finish() == 0 and waiter.lines.count(NOTICE) == 1, waiter


def test_what_root_is_told_to_do_ends_the_notice(only_tmp):
    only_tmp.root(NOTICE.rpartition("for all: ")[2])
    done = only_tmp.run("run", "--", "true")
    assert (done.status, len(done.lines)) == (0, 1), done
    assert only_tmp.root("ls -A /tmp/gpu-gate 2>&1 || true").count("cannot access") == 1


def test_the_notice_about_tmp_is_not_told_to_who_wants_none_or_json(only_tmp):
    for words in (("run", "-q", "--", "true"), ("wait", "-q"), ("hold", "-q", "--for", 0.1), ("status", "--json")):
        done = only_tmp.run(*words)
        assert (done.status, done.err) == (0, ""), done
    chosen = only_tmp.run("run", "--", "true", env={"GPU_GATE_LOCK_DIR": "/tmp/gpu-gate"})
    assert chosen.status == 0 and NOTICE not in chosen.lines, chosen


def test_where_all_may_write_to_run_lock_nothing_is_told(make_box, make_places):
    done = make_places(make_box(cards=1)).run("run", "--", "true")
    assert (done.status, len(done.lines)) == (0, 1), done


# Claims in other default places than the one in use.

MAKE = f"sh {harness.SOURCE}/packaging/debian/postinst configure"


@pytest.fixture
def places(make_box, make_places):
    return make_places(make_box(cards=1))


def one_try(places, **options):
    return places.run("run", "-q", "--timeout", 0, "--", "true", **options).status


@pytest.mark.parametrize("make", [MAKE, "mkdir -m 1777 /run/gpu-gate"])
def test_a_job_keeps_its_card_when_root_makes_the_directory_meanwhile(places, make):
    holder = places.hold(user=ALICE)
    places.root(f"{make}; test -d /run/lock/gpu-gate")
    for words in (("status",), ("status", "--json")):
        assert "games" in places.run(*words, user=BOB).out
    assert one_try(places, user=BOB) == 124
    waiter = places.start("run", *NEVER, "--", "true", user=BOB)
    assert "claimed by games: s" in waiter.wait_for("GPU 0").string
    waiter.wait_for("in line")
    assert len(places.root("ls /run/gpu-gate/queue").split()) == 3
    holder.kill()
    assert waiter.finish(5) == 0
    assert places.root("ls /run/lock/gpu-gate/queue") == ""


def test_a_job_that_closed_its_claim_keeps_its_card_when_root_makes_the_directory(places):
    closes = "import os, time; os.closerange(3, 65536); print('held', flush=True); time.sleep(1000)"
    holder = places.start("run", "--", "python3", "-c", closes, user=ALICE)
    holder.wait_for("^held$", stdout=True)
    places.root(MAKE)
    assert one_try(places, user=BOB) == 124
    waiter = places.start("run", *NEVER, "--", "true", user=BOB)
    waiter.wait_for("in line")
    holder.kill()
    assert waiter.finish(5) == 0


def test_a_card_is_not_given_twice_where_a_place_that_comes_before_is_opened(make_box, make_places):
    places = make_places(make_box(cards=1), lock_mode="755")
    holder = places.hold(user=ALICE)
    places.root("test -d /tmp/gpu-gate; chmod 1777 /run/lock")
    assert one_try(places, user=BOB) == 124
    holder.kill()
    assert one_try(places, user=BOB) == 0
    assert places.root("ls -d /run/lock/gpu-gate").strip() == "/run/lock/gpu-gate"


def test_with_a_directory_of_ones_own_only_its_claims_count(places):
    places.hold(user=ALICE)
    assert one_try(places, user=BOB) == 124
    own = {"GPU_GATE_LOCK_DIR": "/tmp/own"}
    assert one_try(places, user=BOB, env=own) == 0
    assert json.loads(places.run("status", "--json", env=own).out)[0]["claim"] is None


def test_who_stands_in_line_goes_over_to_the_directory_that_root_makes(places):
    holder = places.hold(user=ALICE)
    first = places.start("run", "--poll", 0.1, "--", "sh", "-c", "echo held; exec sleep 1000", user=ALICE)
    first.wait_for("in line")
    second = places.start("run", "--poll", 0.1, "--", "true", user=BOB)
    second.wait_for("in line")
    places.root(MAKE)
    wait_until(lambda: "json" in places.root("ls /run/gpu-gate/queue"), "the first has gone over")
    holder.kill()
    first.wait_for("^held$", stdout=True)
    assert one_try(places, user=BOB) == 124
    first.kill()
    assert second.finish() == 0
    assert places.root("ls /run/lock/gpu-gate/queue") == ""


PARTS = "cd /run && mkdir -m 700 new && cd new && mkdir -m {} queue claims && install -m {} /dev/null mutex && chmod 755 . && mv /run/new /run/gpu-gate"


@pytest.mark.parametrize("begin, end", [
    ("mkdir -m 755 /run/gpu-gate", "chmod 1777 /run/gpu-gate"),
    (PARTS.format(755, 666), "chmod 1777 /run/gpu-gate/queue /run/gpu-gate/claims /run/gpu-gate"),
    (PARTS.format(1777, 644), "chmod 1666 /run/gpu-gate/mutex; chmod 1777 /run/gpu-gate"),
], ids=["empty", "parts closed", "mutex closed"])
def test_who_stands_in_line_does_not_mind_that_root_makes_the_directory_step_by_step(places, begin, end):
    places.hold(user=ALICE)
    waiter = places.start("run", "--poll", 0.1, "--", "true", user=BOB)
    waiter.wait_for("in line")
    places.root(begin)
    wait_until(lambda: places.root("ls /run/lock/gpu-gate/queue") == "", "it has left the old one")
    # Nobody can use the new one yet; at most look at it.
    assert places.run("run", "--timeout", 0, "--", "true", user=BOB).status in (5, 124)
    places.root(end)
    wait_until(lambda: "json" in places.root("ls /run/gpu-gate/queue 2>/dev/null || true"), "it has gone over")
    assert waiter.alive()


def test_who_stands_in_line_ends_where_the_directory_that_root_makes_cannot_be_used(places):
    places.hold(user=ALICE)
    waiter = places.start("run", "--poll", 0.1, "--timeout", 1000, "--", "true", user=BOB)
    waiter.wait_for("in line")
    places.root("mkdir -m 755 /run/gpu-gate")
    assert waiter.finish() == 5
    assert "/run/gpu-gate" in waiter.err


@pytest.mark.skipif(not shutil.which("strace"), reason="no strace here")
def test_who_is_about_to_claim_while_root_makes_the_directory_claims_nothing_in_the_old_one(places):
    """It has looked and holds the mutex there; another claims in the new directory before it goes on."""
    assert one_try(places, user=ROOT) == 0  # so that all is there
    log = places.box.folder / "trace"
    slow = places.start_plain("strace", "-f", "-qq", "-o", log, "-e", "trace=umask", "-e", "inject=umask:signal=STOP:when=1",
                              places.box.gate, "run", *NEVER, "--", "true", user=ROOT, env=NO_LEAK_CHECK)
    wait_until(lambda: log.exists() and "stopped by SIGSTOP" in log.read_text(), "it is about to make its claim")
    assert places.root("ls /run/lock/gpu-gate/claims") == ""
    places.root(MAKE)
    holder = places.hold(user=ALICE)
    for pid in harness.children_of(slow.pid):
        os.kill(pid, signal.SIGCONT)
    slow.wait_for("in line|using GPU")
    assert "using GPU" not in slow.err, slow
    assert places.root("ls /run/lock/gpu-gate/claims") == ""
    holder.kill()
    assert slow.finish() == 0


def test_a_job_whose_claim_is_in_another_place_hands_out_its_own_card(places):
    gate = places.box.gate
    script = f"echo held; read go; exec {gate} run --timeout 0 -- echo inside"
    job = places.start("run", "--", "sh", "-c", script, user=ALICE, stdin=subprocess.PIPE)
    job.wait_for("^held$", stdout=True)
    places.root(MAKE)
    job.popen.stdin.write(b"\n")
    job.popen.stdin.close()
    job.wait_for("^inside$", stdout=True)
    assert job.finish() == 0


OTHER = "/run/lock/gpu-gate"
PLANTED = {
    "a link": f"mkdir /tmp/mine; ln -s /tmp/mine {OTHER}",
    "a file": f"touch {OTHER}",
    "a pipe": f"mkfifo {OTHER}",
    "closed": f"mkdir -p {OTHER}/claims; chmod 0 {OTHER}",
    "closed claims": f"mkdir -p {OTHER}/claims; chmod 0 {OTHER}/claims",
    "no claims": f"mkdir {OTHER}",
    "a pipe for claims": f"mkdir {OTHER}; mkfifo {OTHER}/claims",
    "a link for claims": f"mkdir -p {OTHER} /tmp/mine; ln -s /tmp/mine {OTHER}/claims",
    "dead claims": f"mkdir -p {OTHER}/claims; mkfifo {OTHER}/claims/{harness.uuid(0)}@5; "
                   f"echo '{{}}' >{OTHER}/claims/5.json; mkfifo {OTHER}/claims/6.json",
    "links to claims": f"mkdir -p {OTHER}/claims; ln -s /run/gpu-gate/claims/alive {OTHER}/claims/{harness.uuid(0)}@5",
    "files": f"mkdir -p {OTHER}/claims; touch {OTHER}/claims/{harness.uuid(0)}@5",
}


def test_what_a_user_plants_in_another_place_harms_nobody(make_box, make_places):
    def check(kind):
        places = make_places(make_box(cards=1))
        places.root(MAKE)
        assert places.run_plain("sh", "-c", f"umask 0; {PLANTED[kind]}", user=BOB).status == 0
        before = places.root(f"find {OTHER} /tmp/mine -ls 2>/dev/null || true")
        holder = places.hold(user=ALICE)
        waiter = places.start("run", *NEVER, "--", "true", user=ALICE)
        waiter.wait_for("in line")
        assert "games: s" in places.run("status").out
        holder.kill()
        assert waiter.finish(5) == 0
        assert places.root(f"find {OTHER} /tmp/mine -ls 2>/dev/null || true") == before

    each(PLANTED, check)


def test_users_who_race_an_intruder_for_the_directory_fail_cleanly_or_run(make_box):
    for _ in range(5):
        box = make_box(cards=8)
        box.start_plain("python3", "-c", PRELUDE + """
for _ in range(200):
    with contextlib.suppress(OSError):
        lock.mkdir(0o1777)
        lock.chmod(0o1777)
    for name in ("queue", "claims"):
        with contextlib.suppress(OSError):
            (lock / name).rmdir()
    with contextlib.suppress(OSError):
        mutex.unlink()
    with contextlib.suppress(OSError):
        lock.rmdir()
""", user=BOB)
        jobs = [box.start("run", "--timeout", 20, "--", "true", user=(ALICE, ROOT)[i % 2]) for i in range(6)]
        for job in jobs:
            assert job.finish() in (0, 5), job
            assert len(job.lines) == 1 or job.status == 0, job


def test_a_relative_path_is_refused_with_the_reason(box):
    """It would make one line for each working directory."""
    def check(path, words):
        done = box.run(*words, user=ALICE, env={"GPU_GATE_LOCK_DIR": path}, cwd=box.folder)
        assert (done.status, done.out, len(done.lines)) == (2, "", 1), done
        assert f"GPU_GATE_LOCK_DIR: '{path}' is not an absolute path" in done.lines[0], done
        assert not (box.folder / path).exists()

    verbs = [("run", "--", "true"), ("wait",), ("hold", "--for", 1), ("status",), ("status", "--json")]
    each([(path, words) for path in ("lock", "./lock", "~/lock") for words in verbs], check)


# The directory goes away.


def rm(path):
    shutil.rmtree(path)


def rm_and_make(path):
    shutil.rmtree(path)
    path.mkdir()
    path.chmod(0o1777)


def move_and_make(path):
    path.rename(path.parent / "old")
    path.mkdir()
    path.chmod(0o1777)


def test_waiters_go_on_when_the_directory_is_removed_or_replaced(make_box):
    def check(how):
        box = made_by_root(make_box)
        holder = box.hold_memory(user=ALICE)
        waiters = [box.wait_in_line("--poll", 0.2, user=user) for user in (ALICE, BOB, ROOT)]
        how(box.lock)
        newcomer = box.wait_in_line("--poll", 0.2, user=ALICE)
        holder.kill()
        for waiter in (*waiters, newcomer):
            assert waiter.finish(5) == 0
        assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0

    each([rm, rm_and_make, move_and_make], check)


def test_a_waiter_that_sleeps_while_the_directory_is_removed_is_woken_by_the_release(make_box):
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    waiters = [box.wait_in_line(*NEVER, user=user) for user in (ALICE, BOB)]
    rm(box.lock)
    holder.kill()
    for waiter in waiters:
        assert waiter.finish(5) == 0


# A file system that cannot be used.


def test_a_directory_without_permission_is_refused(box):
    box.lock.mkdir(0o700)
    refused(box.run("run", "--", "true", user=ALICE))
    box.lock.chmod(0o755)
    refused(box.run("run", "--", "true", user=ALICE))


def test_a_folder_of_claims_in_which_one_may_not_write_is_refused(make_box):
    box = made_by_root(make_box)
    (box.lock / "claims").chmod(0o755)
    refused(box.run("run", "--", "true", user=ALICE))


def test_a_line_in_which_one_may_not_stand_is_refused(make_box):
    box = made_by_root(make_box)
    (box.lock / "queue").chmod(0o755)
    box.hold(user=ROOT)
    refused(box.run("run", "--", "true", user=ALICE))


def test_opening_it_to_all_is_the_remedy_only_where_it_is_not_open(make_box):
    box = make_box(cards=1)
    box.lock.mkdir(0o700)
    assert "chmod 1777" in box.run("run", "--", "true", user=ALICE).err
    box = made_by_root(make_box)
    (box.lock / "mutex").chmod(0o600)
    done = box.run("run", "--", "true", user=ALICE)
    refused(done)
    assert "chmod" not in done.err, done


def test_a_missing_parent_is_refused(box):
    refused(box.run("run", "--", "true", user=ALICE, env={"GPU_GATE_LOCK_DIR": box.folder / "no" / "lock"}))


def test_status_needs_no_lock_directory(box):
    for path in (box.folder / "no" / "lock", box.lock):
        assert box.run("status", user=ALICE, env={"GPU_GATE_LOCK_DIR": path}).status == 0
    assert not box.lock.exists()


@contextlib.contextmanager
def mounted(box, *options):
    place = box.folder / "mnt"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(("mode=1777", *options)), "none", place], check=True)
    box.lock = place / "lock"
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@needs_mounts
@pytest.mark.parametrize("made_before", [False, True])
def test_a_read_only_file_system_is_refused(box, made_before):
    with mounted(box) as place:
        if made_before:
            assert box.run("run", "--", "true").status == 0
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        for user in (ALICE, ROOT):
            done = box.run("run", "--", "true", user=user)
            refused(done)
            assert "mounted read-only" in done.err and "chmod" not in done.err, done
        assert box.run("status", user=ALICE).status == 0


def fill(place):
    with contextlib.suppress(OSError), open(place / "filler", "wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


@needs_mounts
@pytest.mark.parametrize("in_use", [False, True])
def test_a_full_file_system_is_refused_where_even_the_counters_have_no_room(make_box, in_use):
    """Where they have, a claim needs none: its FIFO is enough."""
    box = make_box(cards=2)
    with mounted(box, "size=64k") as place:
        if in_use:
            box.hold(user=ALICE)
        fill(place)
        for user in (ALICE, ROOT):
            done = box.run("run", "--", "true", user=user)
            if in_use:
                assert done.status == 0, done
            else:
                refused(done)
                assert list((box.lock / "claims").iterdir()) == []
        assert list((box.lock / "queue").iterdir()) == []
        (place / "filler").unlink()
        assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 0


@needs_mounts
def test_a_file_system_that_is_full_when_one_must_wait_is_refused(box):
    with mounted(box, "size=64k") as place:
        holder = box.hold(user=ALICE)
        fill(place)
        refused(box.run("run", "--", "true", user=BOB))
        holder.kill()
        (place / "filler").unlink()
        assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0


@needs_mounts
def test_a_waiter_is_served_or_told_when_the_file_system_has_become_full(box):
    with mounted(box, "size=64k") as place:
        holder = box.hold(user=ALICE)
        waiter = box.wait_in_line(*NEVER, user=ALICE)
        fill(place)
        holder.kill()
        assert waiter.finish(5) in (0, 5), waiter


@needs_mounts
def test_a_file_system_without_inodes_is_refused_at_any_step(box):
    statuses = []
    for number in range(2, 12):
        with mounted(box, f"nr_inodes={number}") as place:
            done = box.run("run", "--", "true", user=ALICE)
            statuses.append(done.status)
            if done.status != 0:
                refused(done)
                assert [p for part in ("queue", "claims") if (box.lock / part).exists() for p in (box.lock / part).iterdir()] == []
        place.rmdir()
    assert statuses == sorted(statuses, reverse=True) and statuses[0] == 5 and statuses[-1] == 0, statuses


NETWORK = {
    "nfs": 0x6969, "smb": 0x517B, "cifs": 0xFF534D42, "smb2": 0xFE534D42, "9p": 0x01021997, "afs": 0x5346414F,
    "coda": 0x73757245, "ceph": 0x00C36400, "lustre": 0x0BD00BD0, "gpfs": 0x47504653, "beegfs": 0x19830326,
    "ocfs2": 0x7461636F, "gfs2": 0x01161970, "orangefs": 0x20030528, "panfs": 0xAAD7AAEA, "stornext": 0xBEEFDEAD,
    "virtualbox": 0x786F4256, "vmware": 0xBACBACBC,
}


FAKE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
/* f_type is the first member of struct statfs and statfs64. */
#define FAKE(name) \\
  int name(int fd, long* info) { \\
    int (*real)(int, long*) = (int (*)(int, long*))dlsym(RTLD_NEXT, #name); \\
    int result = real(fd, info); \\
    if (result == 0) *info = strtol(getenv("FAKE_TYPE"), NULL, 0); \\
    return result; \\
  }
FAKE(fstatfs)
FAKE(fstatfs64)
"""


@pytest.fixture(scope="module")
def fake_file_system(binaries):
    """A shim that changes what fstatfs(2) says of a file system, as on a mount that we cannot make."""
    return compile_library(binaries, FAKE, "fake_file_system.so")


def test_a_network_file_system_is_refused(box, fake_file_system):
    def check(name):
        for words in (("run", "--", "true"), ("wait",)):
            done = box.run(*words, user=ALICE, env={"LD_PRELOAD": fake_file_system, "FAKE_TYPE": NETWORK[name]})
            refused(done)
            assert "network file system" in done.err

    each(NETWORK, check)


def test_a_local_file_system_passes_the_same_check(box, fake_file_system):
    for number in (0xEF53, 0x01021994, 0x58465342, 0x9123683E):  # ext, tmpfs, XFS, btrfs
        done = box.run("run", "--", "true", user=ALICE, env={"LD_PRELOAD": fake_file_system, "FAKE_TYPE": number})
        assert done.status == 0, done


@contextlib.contextmanager
def mounted_fuse(box, kind):
    """A file system in user space of this type, in place of the lock directory."""
    box.lock.mkdir()
    server = box.start_plain("python3", fuse.__file__, box.lock, kind)
    server.wait_for("mounted", stdout=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", box.lock], check=True)
        server.kill()


needs_fuse = pytest.mark.skipif(not fuse.may_serve(), reason="no FUSE file system may be mounted here")


@needs_fuse
def test_a_file_system_in_user_space_is_refused_as_one_of_a_network(make_box):
    def check(kind):
        box = make_box(cards=1)
        with mounted_fuse(box, kind):
            for words in (("run", "--", "true"), ("hold", "--for", 1), ("status",)):
                done = box.run(*words, user=ALICE)
                refused(done)
                assert f"a FUSE file system ({kind})" in done.err and "network file system" in done.err, done

    each(["fuse.sshfs", "fuse.glusterfs", "fuse.juicefs", "fuse"], check)


@needs_fuse
def test_a_file_system_in_user_space_that_is_known_to_be_local_is_used(make_box):
    """This one has no files, which is the error then."""
    box = make_box(cards=1)
    with mounted_fuse(box, "fuse.fuse-overlayfs"):
        done = box.run("run", "--", "true", user=ALICE)
        refused(done)
        assert "mkdir(" in done.err and "network" not in done.err, done
        assert box.run("status", user=ALICE).status == 0


# Too few descriptors.


def limited(box, number, *words, user=ALICE):
    return box.run_plain("sh", "-c", f'ulimit -n {number}; exec "$@"', "sh", box.gate, *words, user=user)


def test_with_few_descriptors_it_runs_or_says_why_not(make_box):
    box = made_by_root(make_box, cards=2)
    statuses = []
    for number in range(3, 30):
        done = limited(box, number, "run", "-q", "-n", 2, "--", "true")
        statuses.append(done.status)
        assert done.status in (0, 4, 125, 127), (number, done)  # 127: the loader had none
        if done.status in (4, 125):
            assert len(done.lines) == 1, (number, done)
            assert "Too many open files" in done.lines[0], (number, done)
        assert [card["claim"] for card in box.status()] == [None, None]
    assert statuses[-1] == 0, statuses


def test_a_waiter_with_few_descriptors_waits_or_says_why_not(make_box):
    box = made_by_root(make_box, cards=1)
    box.hold(user=ROOT)
    for number in range(6, 30, 2):
        done = limited(box, number, "run", "--timeout", 0.05, "--", "true")
        assert done.status in (4, 124, 125, 127), (number, done)
        if done.status in (4, 125):
            assert "Too many open files" in done.lines[-1], (number, done)
    assert done.status == 124


def test_more_claims_than_descriptors_never_free_a_card(make_box):
    """What cannot be looked at is not taken for dead."""
    box = made_by_root(make_box, cards=40)
    box.hold("-n", 40, user=BOB)
    for number in (12, 20, 30):
        done = limited(box, number, "run", "--timeout", 0, "--", "true")
        assert done.status in (4, 124, 125), (number, done)
