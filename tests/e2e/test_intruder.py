"""What another user may plant in the lock directory, open, lock and ring: everybody else goes on as ever.

His hands on the mutex are in test_mutex, a directory that he made in test_lock_dir.
"""

import re
import resource
import shutil
import time

import pytest

from at_once import at_once
from harness import ALICE, BOB, NEVER, ROOT, SOURCE, each, uuid, wait_until
from intruder import PRELUDE, all_goes_on, intruder, made_by_root

# What he plants.

KINDS = {
    "link to a file": "path.symlink_to(bait)",
    "link to nothing": "path.symlink_to(lock / 'nowhere')",
    "link to itself": "path.symlink_to(path)",
    "fifo": "os.mkfifo(path, 0o644)",
    "fifo for all": "os.mkfifo(path); path.chmod(0o666)",
    "file": "path.write_text('')",
    "closed file": "path.write_text('x'); path.chmod(0)",
    "folder": "path.mkdir()",
    "socket": "os.chdir(folder); holding.append(socket.socket(socket.AF_UNIX)); holding[-1].bind(name[:100])",
    "huge file": "open(path, 'w').truncate(1 << 40)",
    "garbage": "path.write_bytes(os.urandom(4096))",
    "deep nesting": "path.write_text('[' * 60000)",
    "many values": "path.write_text('[' + '1,' * 30000 + '1]')",
    "wrong types": "path.write_text(json.dumps(record(pid='1', count=[], barred={}, devices=7)))",
}

NAMES = f"""
bait = lock / "bait"
bait.write_text("x")
bait.chmod(0o644)
last = counters()[0]
names = ["1", "1.json", "1.bell", "1@1", "1@1.json", "0", "01", "-1", "+1", " 1", "1 ", "a", "@", "x@", ".json",
         "1\\n", "\\x1b[31mred\\x1b[0m", "1\\x1b]0;title\\x07", "%s%n", "\\udcff", "9" * 20, "9" * 20 + ".json", "9" * 200,
         str(10**17), str(10**17) + ".json", "{uuid(0)}@1", "{uuid(0)}@" + "9" * 20, "{uuid(0)}@0", "{uuid(0)}@x",
         "{uuid(0)}@" + str(10**17), "GPU-\\n@1", str(last), str(last + 1), str(last + 2) + ".json",
         str(last + 3) + ".bell", "{uuid(0)}@" + str(last + 4), str(last + 5) + ".new"]
for folder in (queue, claims):
    for name in names:
        path = folder / name
        with contextlib.suppress(FileExistsError, UnicodeEncodeError):
"""


def test_planted_files_of_any_kind_and_name_are_stepped_over(make_box):
    def check(kind):
        box = made_by_root(make_box)
        intruder(box, NAMES + "            " + KINDS[kind])
        all_goes_on(box)
        for user in (ALICE, ROOT):
            told = box.run("status", user=user)
            assert told.status == 0, told
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", told.out), told.out

    each(KINDS, check)


def test_the_next_tickets_made_beforehand_are_stepped_over(make_box):
    def check(number):
        box = made_by_root(make_box)
        intruder(box, f"""
last = counters()[0]
for ticket in range(last + 1, last + 1 + {number}):
    (queue / str(ticket)).write_text("")
    (claims / f"{{ticket}}.json").write_text("")
""")
        all_goes_on(box)

    each([20, 300], check)


def test_nothing_is_written_through_links(make_box):
    box = made_by_root(make_box)
    precious = box.folder / "precious"
    precious.write_text("precious")
    precious.chmod(0o666)
    intruder(box, f"""
last = counters()[0]
for ticket in range(last + 1, last + 10):
    for folder in (queue, claims):
        for name in ("{{}}", "{{}}.json", "{{}}.bell", "{{}}.new", "{uuid(0)}@{{}}"):
            (folder / name.format(ticket)).symlink_to({str(precious)!r})
""")
    all_goes_on(box)
    assert precious.read_text() == "precious"
    assert not list(box.folder.glob("nowhere"))


def test_names_and_commands_of_others_cannot_write_to_a_terminal(make_box):
    box = made_by_root(make_box)
    holder = box.start("run", "--", "sh", "-c", "echo held; sleep 1000; : #\x1b]0;title\x07\x9b31m\n\r\u202eevil", user=BOB)
    holder.wait_for("held", stdout=True)
    waiter = box.wait_in_line(user=ALICE)
    told = box.run("status", user=ALICE)
    for text in (waiter.err, told.out):
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202e]", text), text
        assert r"\x1b]0;title" in text and "evil" in text


# Places and claims that are not what they seem.

PLACES = {
    "alone": "",
    "with a bell that nobody reads": "os.mkfifo(queue / '1.bell'); (queue / '1.bell').chmod(0o622)",
    "with a bell that he never answers": "live(queue / '1.bell'); (queue / '1.bell').chmod(0o622)",
    "with a bell that is a file": "(queue / '1.bell').write_text(''); (queue / '1.bell').chmod(0o666)",
    "with a bell that nobody may ring": "live(queue / '1.bell'); (queue / '1.bell').chmod(0o600)",
}
ASKS = {
    "without a record": "",
    "who asks for all": "(queue / '1.json').write_text(json.dumps(record(count=1000000, barred=[])))",
}


@at_once
def test_a_place_ahead_of_all_that_never_answers_is_passed_over(make_box):
    """Each takes up to the five seconds of the promise."""
    def check(place, asks):
        box = made_by_root(make_box)
        holder = box.hold(user=ALICE)
        intruder(box, "live(queue / '1')\n" + PLACES[place] + "\n" + ASKS[asks])
        first = box.wait_in_line(*NEVER, user=ALICE)
        second = box.wait_in_line(*NEVER, user=ROOT)
        holder.kill()
        assert first.finish(12) == 0
        assert second.finish(12) == 0
        newcomer = box.run("run", *NEVER, "--timeout", 12, "--", "true", user=ALICE)
        assert newcomer.status == 0, newcomer

    each([(place, asks) for place in PLACES for asks in ASKS], check, at_once=10)


def test_a_place_in_an_unknown_claim_keeps_nobody_waiting(make_box):
    box = made_by_root(make_box)
    intruder(box, "live(queue / '1@1'); live(queue / f'1@{counters()[0] + 1}')")
    all_goes_on(box)


@pytest.fixture
def usual_limit():
    """As many descriptors as a login gives; children inherit it."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_record_that_names_a_thousand_cards_is_no_harm(make_box, usual_limit):
    box = made_by_root(make_box)
    intruder(box, "(claims / '1.json').write_text(json.dumps(record(devices=[f'GPU-{i}' for i in range(1024)])))")
    all_goes_on(box)


def test_claims_on_a_thousand_cards_that_do_not_exist_are_no_harm(make_box, usual_limit):
    box = made_by_root(make_box)
    for half in range(2):
        intruder(box, f"for i in range(600): live(claims / f'GPU-{half}-{{i}}@1')")
    all_goes_on(box)


def test_a_hundred_claims_on_one_card_end_like_one(make_box):
    box = made_by_root(make_box)
    evil = intruder(box, f"for i in range(1, 101): live(claims / f'{uuid(0)}@{{i}}')")
    waiter = box.wait_in_line(*NEVER, user=ALICE)
    assert "claimed by man" in waiter.err
    evil.kill()
    assert waiter.finish(5) == 0


def test_a_record_about_another_users_process_claims_nothing(make_box):
    box = made_by_root(make_box)
    outsider = box.start_plain("sleep", 1000, user=ALICE)
    intruder(box, f"""
stat = pathlib.Path("/proc/{outsider.pid}/stat").read_text().rpartition(")")[2].split()
(claims / "1.json").write_text(json.dumps(record(pid={outsider.pid}, start=int(stat[19]), devices=["{uuid(0)}"])))
""")
    all_goes_on(box)


# What he opens, locks and rings.


def test_a_record_that_another_user_wrote_is_not_believed(make_box):
    """Seen: where a cleaner had removed the record of a claim, a waiter was told of the one that BOB put there."""
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    record = box.lock / "claims" / f"{holder.claim}.json"
    record.unlink()
    intruder(box, f"(claims / '{record.name}').write_text(json.dumps(record(devices=['{uuid(0)}'])))")
    waiter = box.start("run", *NEVER, "--", "true")
    assert waiter.wait_for("GPU 0: .*").group(0) == "GPU 0: claimed by games", waiter
    assert "evil" not in waiter.err + box.run("status").out
    holder.kill()
    assert waiter.finish() == 0


def test_a_claim_from_the_future_was_never_given_out(make_box):
    box = made_by_root(make_box)
    intruder(box, f"live(claims / '{uuid(0)}@9999999999999999999')")
    assert box.run("run", "-q", "--timeout", 0, "--", "true").status == 0


def test_holding_the_read_ends_of_all_fifos_keeps_nothing_alive(make_box):
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    first = box.wait_in_line(*NEVER, user=ROOT)
    second = box.wait_in_line(*NEVER, user=ALICE)
    evil = intruder(box, """
for folder in (queue, claims):
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            holding.append(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
assert len(holding) >= 3, holding
""")
    first.kill()
    holder.kill()
    assert second.finish(5) == 0
    assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 0
    assert evil.alive()


def test_locking_every_file_but_the_mutex_harms_nobody(make_box):
    def check(mode):
        box = made_by_root(make_box)
        dead = box.hold(user=ALICE)
        dead.kill()
        holder = box.hold(user=ALICE)
        waiter = box.wait_in_line(*NEVER, user=ROOT)
        intruder(box, f"""
for path in (lock, queue, claims, *queue.iterdir(), *claims.iterdir()):
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with contextlib.suppress(OSError):
            holding.append(os.open(path, flags | os.O_NONBLOCK))
            fcntl.flock(holding[-1], fcntl.{mode} | fcntl.LOCK_NB)
assert len(holding) >= 5, holding
""")
        holder.kill()
        assert waiter.finish(5) == 0
        all_goes_on(box)

    each(["LOCK_SH", "LOCK_EX"], check)


RINGS = """
if os.fork() == 0:
    while True:
        for path in queue.glob("*.bell"):
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
                os.write(fd, b"l" * 4096)
                os.close(fd)
"""


def test_ringing_all_the_time_neither_serves_nor_starves_anybody(make_box):
    box = made_by_root(make_box)
    box.log_calls()
    holder = box.hold(user=ALICE)
    waiter = box.wait_in_line(*NEVER, user=ROOT)
    intruder(box, RINGS)
    wait_until(lambda: box.looks(waiter.pid) > 5, "the rings arrive")
    before, began = box.looks(waiter.pid), time.monotonic()
    time.sleep(1)  # a rate is measured
    per_second = (box.looks(waiter.pid) - before) / (time.monotonic() - began)
    assert per_second <= 60, per_second  # one look each 20 ms at the most
    assert waiter.alive()
    holder.kill()
    assert waiter.finish(5) == 0
    all_goes_on(box)


ATTACKS = """
tried = done = 0
for path in (queue, claims, mutex, *queue.iterdir(), *claims.iterdir()):
    if path.lstat().st_uid == os.geteuid() and path.parent != lock:
        continue  # what is left of his own jobs
    (lock / "mine").write_text("") if not (lock / "mine").exists() else None
    for attack in (lambda: path.unlink(), lambda: path.rename(lock / "taken"), lambda: (lock / "mine").rename(path),
                   lambda: path.chmod(0o666), lambda: path.rmdir(), lambda: os.truncate(path, 0) if path != mutex else 1/0):
        tried += 1
        with contextlib.suppress(OSError, ZeroDivisionError):
            attack()
            done += 1
            print("done", path, flush=True)
print("tried", tried, done, flush=True)
"""


def test_others_files_can_be_neither_removed_nor_renamed_nor_replaced(make_box):
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    waiter = box.wait_in_line(*NEVER, user=ROOT)
    evil = intruder(box, ATTACKS)
    assert re.match(r"tried \d+ 0\n", evil.out), evil.out
    holder.kill()
    assert waiter.finish(5) == 0


POSTINST = f"sh {SOURCE}/packaging/debian/postinst configure"
TMPFILES = f"systemd-tmpfiles --create {SOURCE}/packaging/debian/tmpfiles.conf"
BARE = "mkdir /run/gpu-gate; chmod 1777 /run/gpu-gate"


@pytest.mark.parametrize("made, mended", [
    (POSTINST, ""), (TMPFILES, ""),
    (BARE, POSTINST), (BARE, TMPFILES), (BARE, "root's own run"),
])
def test_in_roots_directory_nobody_can_remove_anothers_live_file_whoever_came_first(make_box, make_places, made, mended):
    if TMPFILES in (made, mended) and not shutil.which("systemd-tmpfiles"):
        pytest.skip("no systemd-tmpfiles here")
    box = make_box(cards=2)
    places = make_places(box)
    places.root(made)
    assert places.run("run", "--", "true", user=BOB).status == 0
    holder = places.hold("-n", 2, user=ALICE)
    if mended.startswith("root"):
        assert places.run("run", "--timeout", 0, "--", "true", user=ROOT).status == 124
    elif mended:
        places.root(mended)
    waiter = places.start("run", *NEVER, "--", "true", user=ALICE)
    waiter.wait_for("in line")
    evil = places.run_plain("python3", "-c", PRELUDE + ATTACKS, user=BOB, env={"GPU_GATE_LOCK_DIR": "/run/gpu-gate"})
    assert re.match(r"tried \d+ 0\n", evil.out), evil
    assert places.run("run", "--timeout", 0, "--", "true", user=BOB).status == 124
    holder.kill()
    assert waiter.finish(5) == 0


@pytest.mark.parametrize("link", ["queue", "claims", "mutex"])
def test_the_package_follows_no_link_that_a_user_planted(make_box, make_places, link):
    places = make_places(make_box(cards=1))
    places.root(f"{BARE}; mkdir /run/precious; touch /run/precious/file")
    target = "/run/precious/file" if link == "mutex" else "/run/precious"
    assert places.run_plain("ln", "-s", target, f"/run/gpu-gate/{link}", user=BOB).status == 0
    places.root(POSTINST)
    assert places.root("stat -c %a /run/precious /run/precious/file") == "755\n644\n"
    assert places.run("run", "--", "true").status == 0


def test_a_dead_claim_cannot_be_made_to_look_alive_by_another_user(make_box):
    box = made_by_root(make_box)
    holder = box.hold(user=ALICE)
    evil = intruder(box, f"""
opened = 0
for path in [*claims.iterdir(), *queue.iterdir()]:
    for flags in (os.O_RDWR, os.O_WRONLY):
        with contextlib.suppress(OSError):
            holding.append(os.open(path, flags | os.O_NONBLOCK))
            opened += 1
    for way in (f"/proc/{holder.pid}/fd/200", f"/proc/{holder.pid}/fd/201"):
        with contextlib.suppress(OSError):
            holding.append(os.open(way, os.O_RDWR | os.O_NONBLOCK))
            opened += 1
print("opened", opened, flush=True)
""")
    assert evil.out.startswith("opened 0\n"), evil.out
    holder.kill()
    assert box.run("run", "--timeout", 0, "--", "true", user=ALICE).status == 0
