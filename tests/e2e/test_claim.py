"""The claim: as long as any process of the job lives, and no longer."""

import json
import os
import re
import shutil
import signal
import time

import pytest

from harness import ALICE, BOB, NEVER, ROOT, children_of, each, lateness, uuid, wait_until


def is_refused(box, user=BOB, options=()):
    """A newcomer does not get a card now."""
    return box.run("run", "--timeout", 0, *options, "--", "true", user=user).status == 124


def kill(pid):
    os.kill(pid, signal.SIGKILL)


# What holds it.


def test_a_background_process_of_the_job_keeps_the_claim(box):
    job = box.start("run", "--", "sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo $!", user=ALICE)
    assert job.finish() == 0
    waiter = box.wait_in_line(*NEVER, user=BOB)
    assert "claimed by games" in waiter.err
    assert box.claimed() == [0]
    kill(int(job.out))
    assert waiter.finish(5) == 0


def test_the_claim_ends_with_the_last_process_of_the_job(box):
    job = box.start("run", "--", "sh", "-c", "for i in 1 2 3; do setsid sleep 1000 >/dev/null 2>&1 & echo $!; done",
                    user=ALICE)
    assert job.finish() == 0
    waiter = box.wait_in_line(*NEVER, user=BOB)
    pids = [int(word) for word in job.out.split()]
    for pid in pids:
        assert waiter.alive()
        assert box.claimed() == [0]
        kill(pid)
    assert waiter.finish(5) == 0


def test_however_the_job_ends_the_card_is_free_at_once(box):
    gate = box.folder / "go"
    os.mkfifo(gate, 0o666)
    gate.chmod(0o666)
    for end in ("exit 0", "exit 3", "kill -KILL $$", "kill -SEGV $$", "kill -TERM $$"):
        job = box.start("run", "--", "sh", "-c", f"ulimit -c 0; echo runs; read line <{gate}; {end}", user=ALICE)
        job.wait_for("runs", stdout=True)
        waiter = box.wait_in_line(*NEVER, user=BOB)
        gate.write_text("\n")
        assert waiter.finish(3) == 0, end
        job.wait()
        assert box.claimed() == [], end


def test_the_claim_has_high_descriptors_only(make_box):
    box = make_box(cards=3)
    done = box.run("run", "-n", 3, "--", "sh", "-c", "ls -l /proc/self/fd")
    numbers = [int(number) for number in re.findall(r" (\d+) -> .*/lock/", done.out)]
    assert len(numbers) == 3 and min(numbers) >= 200, done.out


def test_a_waiter_claims_nothing_and_its_command_keeps_no_place(box):
    holder = box.hold(user=BOB)
    waiter = box.wait_in_line(*NEVER, user=ALICE, command=("ls", "-l", "/proc/self/fd"))
    assert box.status()[0]["claim"]["user"] == "man"
    holder.kill()
    assert waiter.finish(5) == 0
    assert "/claims/" in waiter.out and "/queue/" not in waiter.out


# Users.


@pytest.mark.parametrize("mask", [0, 0o077, 0o777])
def test_a_second_user_can_use_the_directory_that_the_first_made(box, mask):
    done = box.run("run", "--", "sh", "-c", "umask", user=ALICE, preexec_fn=lambda: os.umask(mask))
    assert done.status == 0, done.err
    assert int(done.out, 8) == mask
    for path in (box.lock, box.lock / "queue", box.lock / "claims"):
        assert path.stat().st_mode & 0o7777 == 0o1777, path
    holder = box.hold(user=BOB, preexec_fn=lambda: os.umask(mask))
    waiter = box.start("run", *NEVER, "--", "true", user=ALICE, preexec_fn=lambda: os.umask(mask))
    waiter.wait_for("claimed by man")
    waiter.wait_for("1st in line")
    behind = box.wait_in_line(*NEVER, user=ROOT)
    holder.kill()
    assert waiter.finish(5) == 0
    assert behind.finish(5) == 0


def test_users_who_begin_at_the_same_time_share_one_directory(make_box):
    box = make_box(cards=8)
    jobs = [box.start("run", *NEVER, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES; exec sleep 1000", user=(ALICE, BOB)[i % 2])
            for i in range(8)]
    cards = [job.wait_for(r"^\d$", stdout=True).group() for job in jobs]
    assert sorted(cards) == list("01234567")


# Several cards.


def test_the_command_gets_as_many_cards_as_asked_for(make_box):
    box = make_box(cards=8)
    for count in (1, 2, 3, 4, 8):
        job = box.hold("-n", count, user=ALICE)
        cards = [int(word) for word in job.held.split(",")]
        assert len(set(cards)) == count and cards == sorted(cards)
        assert box.claimed() == cards
        claim = box.status()[cards[0]]["claim"]
        assert (claim["user"], claim["pid"], claim["devices"]) == ("games", job.pid, [uuid(card) for card in cards])
        job.kill()
        assert box.claimed() == [], count


def test_a_request_is_served_all_or_nothing(make_box):
    box = make_box(cards=3)
    holders = [box.hold("--only", 0), box.hold("--only", 1)]
    waiter = box.wait_in_line(*NEVER, "-n", 3, user=ALICE, command=("sh", "-c", "echo got $CUDA_VISIBLE_DEVICES"))
    assert box.claimed() == [0, 1]
    holders[0].kill()
    assert is_refused(box)  # what is free is kept for the waiter, but it claims nothing yet
    assert box.claimed() == [1]
    assert waiter.alive()
    holders[1].kill()
    assert waiter.finish(5) == 0
    assert waiter.out == "got 0,1,2\n"


def test_a_request_that_gives_up_has_claimed_nothing(make_box):
    box = make_box(cards=2)
    box.hold("--only", 1)
    assert box.run("run", "-n", 2, "--timeout", 0.2, "--", "true", user=ALICE).status == 124
    assert box.claimed() == [1]
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0


# Calls inside a job.


def test_a_call_inside_a_job_gets_the_jobs_own_card(box):
    done = box.run("run", "--", box.gate, "run", "--timeout", 0, "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES $GPU_GATE_UUIDS",
                   user=ALICE)
    assert (done.status, done.out) == (0, f"0 {uuid(0)}\n"), done.err


def test_calls_three_deep_share_one_card(box):
    inner = [box.gate, "run", "--timeout", 0, "--"]
    done = box.run("run", "--", *inner, *inner, "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", user=ALICE)
    assert (done.status, done.out) == (0, "0\n"), done.err


PARTS = '''
"$GATE" run --poll 1000 -- sh -c 'echo one $CUDA_VISIBLE_DEVICES; exec sleep 1000' &
"$GATE" run --poll 1000 -- sh -c 'echo two $CUDA_VISIBLE_DEVICES; exec sleep 1000' &
wait
'''


def test_a_job_hands_out_its_cards_to_its_parts(make_box):
    box = make_box(cards=4)
    box.hold("--only", 0, user=BOB)
    job = box.start("run", "-n", 2, "--", "sh", "-c", PARTS, user=ALICE, env={"GATE": box.gate})
    cards = {job.wait_for(rf"^{part} (\d)$", stdout=True).group(1) for part in ("one", "two")}
    assert cards == {"1", "2"}
    assert box.claimed() == [0, 1, 2]


def test_parts_of_a_job_queue_among_themselves(box):
    script = '''
    "$GATE" run -- sh -c 'echo first; read line <"$GO"; echo ends' &
    sleep 0  # the second one starts once the first runs
    read line <"$STARTED"
    "$GATE" run --poll 1000 -- echo second
    wait
    '''
    for name in ("go", "started"):
        os.mkfifo(box.folder / name)
        (box.folder / name).chmod(0o666)
    job = box.start("run", "--", "sh", "-c", script, user=ALICE,
                    env={"GATE": box.gate, "GO": box.folder / "go", "STARTED": box.folder / "started"})
    job.wait_for("^first$", stdout=True)
    (box.folder / "started").write_text("\n")
    job.wait_for("1st in line")
    # The line of the job is no part of the machine's: a stranger is told what he waits for.
    stranger = box.wait_in_line(*NEVER, user=BOB)
    stranger.wait_for("1st in line")
    (box.folder / "go").write_text("\n")
    assert job.finish(5) == 0
    assert job.out == "first\nends\nsecond\n"
    assert stranger.finish(5) == 0


def test_more_than_the_job_has_is_refused_at_once(make_box):
    box = make_box(cards=4)
    done = box.run("run", "-n", 2, "--", box.gate, "run", "-n", 3, "--", "true", user=ALICE)
    assert done.status == 3
    assert "not among the GPUs that this job has claimed" in done.err


def test_what_outlives_the_job_keeps_its_own_card_only(make_box):
    """A part whose descriptors of the outer claim were closed, as Python's subprocess does."""
    box = make_box(cards=2)
    script = ("import os, subprocess; p = subprocess.Popen([os.environ['GATE'], 'run', '--', 'sh', '-c', "
              "'echo part $CUDA_VISIBLE_DEVICES $$; exec >/dev/null 2>&1; exec sleep 1000'], start_new_session=True);"
              "input()")
    os.mkfifo(box.folder / "in")
    job = box.start("run", "-n", 2, "--", "python3", "-c", script, user=ALICE, env={"GATE": box.gate},
                    stdin=os.open(box.folder / "in", os.O_RDWR))
    card, pid = job.wait_for(r"^part (\d) (\d+)$", stdout=True).groups()
    assert box.claimed() == [0, 1]
    job.kill()
    wait_until(lambda: box.claimed() == [int(card)], "only the part's card is claimed")
    assert is_refused(box, options=("--only", card))
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB).status == 0
    kill(int(pid))
    wait_until(lambda: box.claimed() == [], "the part's card is free")


def test_what_outlives_the_job_with_its_descriptors_keeps_all_cards(make_box):
    box = make_box(cards=2)
    script = '"$GATE" run -- sh -c \'echo part $$; exec >/dev/null 2>&1; exec sleep 1000\' & sleep 1000'
    job = box.start("run", "-n", 2, "--", "sh", "-c", script, user=ALICE, env={"GATE": box.gate})
    pid = int(job.wait_for(r"^part (\d+)$", stdout=True).group(1))
    [sleeper] = wait_until(lambda: [child for child in children_of(job.pid) if child != pid], "its own sleep")
    job.kill()
    kill(sleeper)
    assert box.claimed() == [0, 1]
    kill(pid)
    wait_until(lambda: box.claimed() == [], "both cards are free")


def test_pythons_subprocess_inside_a_job_does_not_wait_for_itself(box):
    script = ("import os, subprocess; print(subprocess.run([os.environ['GATE'], 'run', '--timeout', '0', '--', "
              "'sh', '-c', 'echo got $CUDA_VISIBLE_DEVICES'], stdout=subprocess.PIPE, text=True).stdout)")
    done = box.run("run", "--", "python3", "-c", script, user=ALICE, env={"GATE": box.gate})
    assert done.out.startswith("got 0\n"), done


def test_wait_inside_a_job_chooses_among_its_cards(make_box):
    box = make_box(cards=3)
    box.hold("--only", 0, user=BOB)
    done = box.run("run", "-n", 2, "--", box.gate, "wait", "-n", 2, "--timeout", 0, user=ALICE)
    assert (done.status, done.out) == (0, "1,2\n"), done.err


def test_a_part_that_waits_when_its_job_ends_goes_on_like_anybody_else(make_box):
    box = make_box(cards=1)
    script = ("import os, subprocess, sys; g = os.environ['GATE'];"
              "a = subprocess.Popen([g, 'run', '--', 'sh', '-c', 'echo one $$; exec sleep 1000'], start_new_session=True);"
              "input(); b = subprocess.Popen([g, 'run', '--poll', '1000', '--', 'echo', 'two'], start_new_session=True); input()")
    os.mkfifo(box.folder / "in")
    feed = os.open(box.folder / "in", os.O_RDWR)
    job = box.start("run", "--", "python3", "-c", script, user=ALICE, env={"GATE": box.gate}, stdin=feed)
    pid = int(job.wait_for(r"^one (\d+)$", stdout=True).group(1))
    os.write(feed, b"\n")
    job.wait_for("1st in line")
    job.kill()
    kill(pid)
    job.wait_for("^two$", stdout=True, limit=5)
    os.close(feed)


def test_a_claim_that_is_not_alive_is_ignored(box):
    dead = box.run("run", "--", "printenv", "GPU_GATE_CLAIM").out.strip()
    values = [{"GPU_GATE_CLAIM": value} for value in (dead, "", "0", "-1", "1x", "9" * 26, "../../1")]
    for env in values:
        assert box.run("run", "--timeout", 0, "--", "true", user=ALICE, env=env).status == 0, env
    box.hold(user=BOB)
    for env in values:
        waiter = box.wait_in_line(*NEVER, user=ALICE, env=env)
        assert "claimed by man" in waiter.err, env
        waiter.kill()


def test_another_users_claim_is_no_way_in(box):
    claim = {"GPU_GATE_CLAIM": box.hold(user=ALICE).claim}
    assert box.run("run", "--timeout", 0, "--", "true", user=BOB, env=claim).status == 124
    assert box.run("run", "--timeout", 0, "--", "true", user=ALICE, env=claim).status == 0


def test_a_claim_of_another_lock_directory_is_ignored(make_box):
    box = make_box(cards=2)
    other = {"GPU_GATE_LOCK_DIR": box.folder / "other"}
    assert box.run("run", "--", "true", user=ALICE, env=other).status == 0
    script = '"$GATE" run -n 2 --timeout 0 -- echo both'
    done = box.run("run", "-n", 1, "--", "sh", "-c", f"unset CUDA_VISIBLE_DEVICES; GPU_GATE_LOCK_DIR={box.folder}/other {script}",
                   user=ALICE, env={"GATE": box.gate})
    assert (done.status, done.out) == (0, "both\n"), done.err


# Files that cleaners take or others break.


def files_of_claims(box):
    return [path for path in (box.lock / "claims").iterdir()]


def test_a_card_whose_fifo_a_cleaner_removed_stays_claimed(box):
    holder = box.hold(user=ALICE)
    for path in files_of_claims(box):
        if path.is_fifo():
            path.unlink()
    assert box.claimed() == [0]
    assert is_refused(box)
    waiter = box.wait_in_line(*NEVER, user=BOB)
    holder.kill()
    assert waiter.finish(5) == 0


def test_one_of_two_cards_whose_fifo_a_cleaner_removed_stays_claimed(make_box):
    def check(removed):
        box = make_box(cards=2)
        holder = box.hold("-n", 2, user=ALICE)
        [path] = [path for path in files_of_claims(box) if path.name.startswith(uuid(removed))]
        path.unlink()
        assert box.claimed() == [0, 1]
        assert is_refused(box)
        waiter = box.wait_in_line(*NEVER, "--only", removed, user=BOB)
        holder.kill()
        assert waiter.finish(5) == 0

    each([0, 1], check)


def test_a_claim_whose_record_is_lost_holds_all_the_same(make_box):
    def check(fate):
        box = make_box(cards=1)
        holder = box.hold(user=ALICE)
        [record] = [path for path in files_of_claims(box) if path.suffix == ".json"]
        if fate in ("removed", "a folder"):
            record.unlink()
        if fate == "a folder":
            record.mkdir()
        if fate == "emptied":
            record.write_text("")
        if fate == "garbled":
            record.write_text('{"version":1,"pid":"x","devices":[1,2,{}]}')
        if fate == "huge":
            record.write_text(json.dumps({"version": 1, "command": "x" * 1000000}))
        assert box.run("status").status == 0
        assert box.claimed() == [0]
        assert box.status()[0]["claim"]["user"] == "games"
        assert is_refused(box)
        waiter = box.wait_in_line(*NEVER, user=BOB)
        assert "claimed by games" in waiter.err
        holder.kill()
        assert waiter.finish(5) == 0

    each(["removed", "emptied", "garbled", "huge", "a folder"], check)


def test_dead_files_are_cleared_away_by_the_next_call_of_their_owner(box):
    for user in (ALICE, BOB):
        holder = box.hold(user=user)
        waiter = box.wait_in_line(*NEVER, user=user)
        waiter.kill()
        holder.kill()
    assert files_of_claims(box)
    for user in (ALICE, BOB):
        assert box.run("run", "--", "true", user=user).status == 0
    for user in (ALICE, BOB):  # what that call itself left
        assert box.run("wait", user=user).status == 0
    assert files_of_claims(box) == []
    assert list((box.lock / "queue").iterdir()) == []


def test_the_end_of_a_share_whose_record_is_lost_is_noticed_beside_another(box):
    box.hold("--share", 5000, user=ALICE)
    unrecorded = box.hold("--share", 5000, user=BOB)
    (box.lock / "claims" / f"{unrecorded.claim}.json").unlink()  # all of the card, as far as can be seen
    waiter = box.wait_in_line(*NEVER, "--share", 20000)
    unrecorded.kill()
    assert waiter.finish(5) == 0


# Outsiders and the driver.


def test_an_outsider_that_ends_is_noticed_at_once(box, record_property):
    latencies = []
    for _ in range(5):
        outsider = box.outsider(user=ALICE)
        waiter = box.start("run", *NEVER, "--", "date", "+%s.%N", user=BOB)
        waiter.wait_for("in use without gpu-gate by games")
        waiter.wait_for("in line")
        ended = time.time()
        outsider.kill()
        assert waiter.finish(5) == 0
        latencies.append(float(waiter.out) - ended)
    record_property("outsider noticed after s", latencies)
    print("an outsider's end was noticed after", [f"{1000 * s:.1f} ms" for s in latencies])
    assert max(latencies) < 1.0 + lateness()


def test_the_next_job_starts_soon_after_the_driver_has_freed_the_memory(box):
    linger = 0.6
    holder = box.hold_memory(user=ALICE, linger=linger)
    waiter = box.start("run", *NEVER, "--", "date", "+%s.%N", user=BOB)
    waiter.wait_for("in line")
    ended = time.time()
    holder.kill()
    assert waiter.finish(25) == 0
    late = float(waiter.out) - ended - linger
    print(f"started {1000 * late:.1f} ms after the memory was free")
    assert -0.02 <= late < 0.3 + lateness()


def test_a_share_is_granted_soon_after_the_driver_has_freed_the_memory_beside_a_job_that_stays(box):
    linger = 0.6
    staying = box.hold_memory("--share", 5000, user=ALICE)
    (box.folder / "ready").unlink()
    ended = box.hold_memory("--share", 20000, user=ALICE, linger=linger)
    ended.kill()
    freed = time.time() + linger
    waiter = box.start("run", *NEVER, "--share", 20000, "--", "date", "+%s.%N", user=BOB)
    assert waiter.finish(25) == 0
    assert float(waiter.out) - freed < 0.3 + lateness()
    assert staying.alive()


def test_an_outsider_and_a_claim_on_two_cards_are_both_waited_for(make_box):
    box = make_box(cards=2)
    outsider = box.outsider(1)
    holder = box.hold(user=ALICE)
    assert holder.held == "0"
    waiter = box.wait_in_line(*NEVER, "-n", 2, user=BOB)
    holder.kill()
    waiter.wait_for("GPU 0: free")
    outsider.kill()
    assert waiter.finish(5) == 0


def test_a_job_that_ends_on_a_card_with_an_outsider_does_not_free_it(box):
    holder = box.hold(user=ALICE)
    outsider = box.outsider()
    waiter = box.wait_in_line(*NEVER, user=BOB)
    holder.kill()
    waiter.wait_for("in use without gpu-gate by root")
    outsider.kill()
    assert waiter.finish(5) == 0


def test_a_place_inside_a_claim_that_has_ended_is_cleared_away(box):
    outer = box.hold(user=ALICE)
    inside = {"GPU_GATE_CLAIM": outer.claim}
    first = box.hold(user=ALICE, env=inside)
    waiter = box.wait_in_line(user=ALICE, env=inside)
    for process in (waiter, first, outer):
        process.kill()
    assert list((box.lock / "queue").iterdir()) != []
    assert box.run("run", "--", "true", user=ALICE).status == 0
    assert list((box.lock / "queue").iterdir()) == []


def test_a_call_inside_a_job_waits_while_the_jobs_own_card_is_lost(box):
    outer = box.hold(user=ALICE)
    box.set(0, lost=1)
    inner = box.wait_in_line("--poll", 0.05, user=ALICE, env={"GPU_GATE_CLAIM": outer.claim}, command=("echo", "inner"))
    box.set(0, lost=None)
    assert inner.finish() == 0 and inner.out == "inner\n"


def test_what_outlives_a_job_with_one_of_its_descriptors_keeps_that_card_and_its_record(make_box):
    box = make_box(cards=2)
    script = "sleep 1000 720>&- >/dev/null 2>&1 & echo $!"
    job = box.start("run", "-n", 2, "--", "bash", "-c", script, user=ALICE)
    assert job.finish() == 0
    for user in (ALICE, BOB, ROOT):  # each of them clears away what is dead
        done = box.run("run", "--", "sh", "-c", "echo $CUDA_VISIBLE_DEVICES", user=user)
        assert done.out == "0\n", done
        free, kept = [gpu["claim"] for gpu in box.status()]
        assert free is None
        assert kept is not None and kept["user"] == "games", (user.name, kept)
    kill(int(job.out))
    assert box.run("run", "-n", 2, "--", "true").status == 0


def test_a_fifo_that_somebody_else_plants_under_a_claims_ticket_costs_it_nothing(box):
    job = box.hold(user=ALICE)
    (record,) = (box.lock / "claims").glob("*.json")
    planted = box.lock / "claims" / f"GPU-ffffffff@{record.stem}"
    box.start_plain("mkfifo", planted, user=BOB).finish()
    assert box.run("run", "--timeout", "0", "--", "true", user=ROOT).status == 124  # root may remove everything
    claim = box.status()[0]["claim"]
    assert claim["pid"] == job.pid and claim["command"], claim


def test_a_job_without_its_environment_does_not_wait_for_itself(make_box):
    """Seen: `env -i` and `sudo -i` take GPU_GATE_CLAIM away, and the job waited for the GPU that it held."""
    keep = 'env -i PATH="$PATH" GPU_GATE_NVML="$GPU_GATE_NVML" GPU_SIM_MACHINE="$GPU_SIM_MACHINE" GPU_GATE_LOCK_DIR="$GPU_GATE_LOCK_DIR"'
    inner = f'{keep} "$GATE" run --timeout 0 -- sh -c "echo got \\$CUDA_VISIBLE_DEVICES"'

    def check(way):
        box = make_box(cards=2)
        box.hold("--only", 0, user=BOB)
        job = box.run("run", "--", *way, inner, user=ALICE, env={"GATE": box.gate})
        assert job.out == "got 1\n", job

    each([["sh", "-c"],
          ["python3", "-c", "import subprocess, sys; subprocess.run(['sh', '-c', sys.argv[1]])"],  # no descriptor
          ["setsid", "sh", "-c"],
          ["sh", "-c", 'setsid sh -c "$0" & wait']], check)


def test_root_inside_a_users_job_is_a_part_of_it(box):
    """As after sudo -i: descriptors closed, environment gone, another user."""
    sudo = box.folder / "sudo"
    shutil.copy("/usr/bin/python3", sudo)
    sudo.chmod(0o4755)
    script = ("import os, subprocess, sys; os.setresuid(0, 0, 0);"
              "keep = {name: os.environ[name] for name in ('PATH', 'GPU_GATE_NVML', 'GPU_SIM_MACHINE', 'GPU_GATE_LOCK_DIR')};"
              "subprocess.run([sys.argv[1], 'run', '--timeout', '0', '--', 'sh', '-c', 'id -u; echo got $CUDA_VISIBLE_DEVICES'],"
              " env=keep)")
    job = box.run("run", "--", sudo, "-c", script, box.gate, user=ALICE)
    if "PermissionError" in job.err:
        pytest.skip("no program can become root here")
    assert job.out == "0\ngot 0\n", job


