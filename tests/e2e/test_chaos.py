"""Hundreds of jobs of two users over four cards, a tenth of them killed at any moment.

Each job is its own judge: it takes a lock of its own on every card it was given, and says so if
somebody else has it.
"""

import os
import random
import signal
import threading
import time

from harness import ALICE, BOB

JOBS = int(os.environ.get("GPU_GATE_CHAOS_JOBS", 300))
AT_ONCE = 24  # waiters and holders

# The lock has a higher number than the claim's descriptors: a process that ends lets go of its files
# from the last to the first (task_work_run() in the kernel), so the lock never outlives the claim.
JUDGE = """
length=$1
IFS=,
set -- $GPU_GATE_INDICES
fd=300
for card in "$@"; do
    eval "exec $fd>>$JUDGE/$card"
    flock -n $fd || { echo "overlap on card $card"; exit 66; }
    fd=$((fd + 1))
done
sleep $length
echo "ran on $# cards"
"""


class Killer:
    """Kills processes at given times."""

    def __init__(self):
        self.killed = set()
        self._timers = []

    def kill_after(self, process, seconds):
        timer = threading.Timer(seconds, self._kill, (process,))
        timer.start()
        self._timers.append(timer)

    def _kill(self, process):
        if process.alive():
            process.signal(signal.SIGKILL)
            self.killed.add(process)

    def finish(self):
        for timer in self._timers:
            timer.join()


def words_of_a_job(rng):
    count = rng.choice([1, 1, 1, 1, 2, 2, 3, 4])
    words = ["--poll", "1000", "-n", count]
    if count == 1 and rng.random() < 0.3:
        words += ["--only", rng.choice(["0", "1", "2-3", "0,3"])]
    if rng.random() < 0.3:
        words += ["--min-free-mb", rng.choice([0, 1000, 40000])]
    return count, words


def test_no_two_jobs_share_a_card_and_none_is_lost(make_box):
    seed = int(os.environ.get("GPU_GATE_SEED", random.randrange(1 << 31)))
    print("GPU_GATE_SEED =", seed)
    rng = random.Random(seed)
    box = make_box(cards=4)
    judge = box.folder / "judge"
    judge.mkdir()
    for card in range(4):
        (judge / str(card)).touch()
        (judge / str(card)).chmod(0o666)
    room = threading.Semaphore(AT_ONCE)
    killer = Killer()
    jobs = []

    def watch(process):
        process.wait()
        room.release()

    began = time.monotonic()
    for number in range(JOBS):
        count, words = words_of_a_job(rng)
        assert room.acquire(timeout=60), "nobody has ended for a minute"
        job = box.start("run", *words, "--", "bash", "-c", JUDGE, "judge", f"{rng.uniform(0, 0.03):.3f}",
                        user=rng.choice([ALICE, BOB]), env={"JUDGE": judge})
        jobs.append((job, count))
        threading.Thread(target=watch, args=(job,), daemon=True).start()
        if rng.random() < 0.1:
            killer.kill_after(job, rng.uniform(0, 0.25))
        time.sleep(rng.choice([0, 0, 0, rng.uniform(0, 0.01)]))  # they come in bursts
    killer.finish()
    for job, count in jobs:
        status = job.finish(60)
        if job in killer.killed:
            assert "overlap" not in "".join(job.out), (job.out, job.lines)
        else:
            assert (status, job.out) == (0, [f"ran on {count} cards"]), (status, job.out, job.lines)
    took = time.monotonic() - began
    print(f"{JOBS} jobs, {len(killer.killed)} killed, {took:.1f} s")

    assert [card["claim"] for card in box.status()] == [None] * 4
    assert "waiting" not in box.run("status").output
    for user in (ALICE, BOB):
        assert box.run("wait", "--timeout", 0, "-n", 4, user=user).status == 0
    for part in ("queue", "claims"):
        assert list((box.lock / part).iterdir()) == []
