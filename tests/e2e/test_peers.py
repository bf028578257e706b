"""Failures that were seen in other programs for the same task, each shown not to happen here.

Those that are held in another file:

    failure                                                      held in
    an impossible request waits for ever, or takes cards         test_choice: what_can_never_be_...
    bad values end in a traceback, or are accepted               test_invocation: a_bad_value_..., an_empty_list_...
    options behind the command are taken as one's own            test_invocation: everything_after_the_first_two_dashes_...
    a typo is told only once a card is free; 126, 127            test_invocation: a_command_that_cannot_be_run_...
    a child under a waiting process in place of exec             test_command: the_command_has_the_pid_..., no_process_stays_...
    death by a signal becomes another status                     test_command: death_by_a_signal_..., a_shell_sees_128_...
    the time-out is rounded up to the poll                       test_line: a_timeout_is_kept_however_long_the_poll_is
    a background child loses its card with the main process      test_claim: a_background_process_of_the_job_keeps_the_claim
    a removed lock file frees a card that is in use              test_claim: a_card_whose_fifo_a_cleaner_removed_stays_claimed
    a second user cannot open what the first one made            test_claim: a_second_user_can_use_the_directory_...
    a lock directory that cannot be used ends in a traceback     test_lock_dir: a_missing_parent_is_refused, a_directory_...
    the reason why NVML does not answer is not told              test_nvml: a_driver_that_does_not_answer_is_4_...
    one lost card, or one without permission, ends everything    test_nvml: a_lost_card_costs_no_other_card, ...
    a query that is not supported ends everything                test_nvml: an_unreadable_utilisation_..., a_card_that_shares_...
    an inherited CUDA_VISIBLE_DEVICES or _ORDER is ignored       test_command: an_inherited_list_..., where_another_device_order_...
    cards full of others' processes are granted by default       test_choice: full_and_busy_cards_of_others_...
    reserved memory counts as used                               test_choice: up_to_512_mib_..._whatever_the_driver_reserves
    a call inside a job waits for itself                         test_claim: a_call_inside_a_job_gets_the_jobs_own_card
    the order is the order of luck; many cards are starved       test_line
    status does not show who holds a card                        test_output: the_table_names_the_holder
    a line a poll                                                test_output: later_a_line_comes_when_something_changed_...
    a signal does not end a wait, or runs the command            test_line: a_waiter_that_dies_leaves_the_line_at_once_...
    a job shorter than any poll wakes nobody                     test_line: many_waiters_of_two_users_start_in_the_order_they_came
    half a second until a card is back for one who does not wait test_peers: a_free_card_is_not_held_up_by_somebodys_look
    half a minute until an outsider's end is noticed             test_claim: an_outsider_that_ends_is_noticed_at_once
    the card of a command that is not found stays in use         test_invocation: a_command_that_cannot_be_run_touches_nothing, ...
    status ends in a traceback with one card lost                test_nvml: a_lost_card_is_listed_with_what_is_known
    the parent of MIG devices is handed out                      test_nvml: a_card_with_mig_on_is_not_granted_...
    an empty process list is taken for an idle card              test_nvml: unreadable_processes_leave_the_memory_to_tell
    every job ends with 0                                        test_command: the_exit_status_is_the_commands
    a banner, a progress line, a colour in $(...)                test_output: wait_prints_the_cards_and_nothing_else
    two waits at once are told the same card                     test_line: wait_stands_in_the_same_line_...
    every waiter asks the driver                                 test_nvml: only_the_first_in_line_asks_the_driver
"""

import os
import signal

import pytest

from fixtures import needs_mounts
from harness import ALICE, BOB, state_of, uuid, wait_until

# Signals.

@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_job_that_saves_its_work_when_interrupted_is_given_the_time(box, number):
    """Seen: the job was killed 0.3 s after the Ctrl-C."""
    os.mkfifo(box.folder / "go")
    script = f"trap 'echo saving; read x < {box.folder}/go; echo saved; exit 3' INT TERM; echo ready; while :; do sleep 0.01; done"
    process = box.start("run", "--", "sh", "-c", script, start_new_session=True)
    process.wait_for("ready", stdout=True)
    os.killpg(process.pid, number)  # as the terminal does: to the whole group
    process.wait_for("saving", stdout=True)
    assert box.status()[0]["claim"]["pid"] == process.pid, "the card is let go while the job still saves"
    (box.folder / "go").write_text("\n")
    assert process.finish() == 3
    assert process.out == "ready\nsaving\nsaved\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_never_leaves_the_job_running_beside_the_next_one(box, number):
    """Seen: the signal ended the gate, the job lived on, and the next one was given its card."""
    process = box.start("run", "--", "sh", "-c", "trap '' HUP TERM; echo ready; exec sleep 1000")
    process.wait_for("ready", stdout=True)
    process.signal(number)
    if number == signal.SIGKILL:
        assert process.finish() == -number
        assert box.run("run", "--timeout", "0", "--", "true").status == 0
    else:
        assert box.run("run", "--timeout", "0", "--", "true").status == 124
        assert process.alive()


# Users and their sessions.

def in_default_place(box, *words):
    """The words for gpu-gate with no lock directory named: /run/lock is a folder of this machine."""
    script = f'mount --bind {box.folder}/shared /run/lock && exec setpriv --reuid "$0" --regid "$0" --clear-groups "$@"'
    return ["unshare", "-m", "sh", "-c", script, *words]


@needs_mounts
def test_sessions_with_and_without_a_runtime_directory_share_one_line(box):
    """Seen: a login shell and cron, or two users, had a lock directory each and were given the same card."""
    if os.path.exists("/run/gpu-gate") or not os.path.isdir("/run/lock"):
        pytest.skip("this machine's own default place is another")
    (box.folder / "shared").mkdir()
    (box.folder / "shared").chmod(0o1777)
    holder = box.start_plain(*in_default_place(box, str(ALICE.uid), box.gate, "run", "--", "sh", "-c", "echo held; exec sleep 1000"),
                             env={"GPU_GATE_LOCK_DIR": None, "XDG_RUNTIME_DIR": "/run/user/5"})
    holder.wait_for("held", stdout=True)
    for user, runtime in ((ALICE, None), (BOB, "/run/user/6"), (BOB, None)):
        done = box.run_plain(*in_default_place(box, str(user.uid), box.gate, "run", "--timeout", "0", "--", "true"),
                               env={"GPU_GATE_LOCK_DIR": None, "XDG_RUNTIME_DIR": runtime})
        assert done.status == 124, done


# Losing a race.

def test_of_forty_at_once_none_is_lost_and_no_card_is_given_twice(make_box):
    """Seen: 2.5 % of the jobs ended in a traceback because another one was quicker."""
    box = make_box(cards=2)
    marks = box.folder / "marks"
    marks.mkdir()
    script = f'cd {marks} && mkdir $CUDA_VISIBLE_DEVICES || exit 9; rmdir $CUDA_VISIBLE_DEVICES; exit 7'
    jobs = [box.start("run", "-q", "--", "sh", "-c", script) for _ in range(40)]
    assert [(job.finish(), job.err) for job in jobs] == [(7, "")] * 40


def test_a_free_card_is_not_held_up_by_somebodys_look(box):
    """Seen: a card that another one was just probing counted as busy until the next poll."""
    watchers = [box.start_plain("sh", "-c", f"while :; do {box.gate} status; done >/dev/null") for _ in range(2)]
    for _ in range(50):
        assert box.run("run", "-q", "--timeout", "0", "--", "true").status == 0
    for watcher in watchers:
        watcher.kill()


# Releases and outsiders.

def test_a_job_that_nobody_reaps_does_not_keep_its_card(box):
    """Seen: a zombie counted as running."""
    job = box.start("run", "-q", "--", "true")
    wait_until(lambda: state_of(job.pid) == "Z", "the job to end unreaped")
    assert box.run("run", "--timeout", "0", "--", "true").status == 0
    job.wait()


def test_a_job_needs_nothing_in_its_path(box):
    """Seen: a job in whose PATH a helper was missing stayed "running" for ever."""
    assert box.run("run", "--", "/usr/bin/true", env={"PATH": "/nonexistent"}).status == 0
    assert box.run("run", "--timeout", "0", "--", "true").status == 0


# Impossible, or unusable, and the others.

def test_with_one_card_lost_jobs_run_on_the_other(make_box):
    """Seen: no job ever started, and nothing was said."""
    box = make_box(cards=2)
    box.set(0, lost=1)
    jobs = [box.start("run", "--", "sh", "-c", "echo on $CUDA_VISIBLE_DEVICES; exit 5") for _ in range(4)]
    assert [(job.finish(), job.out) for job in jobs] == [(5, f"on {uuid(1)}\n")] * 4


# The command's own.

def test_the_card_that_cuda_sees_is_the_card_that_was_claimed(make_box):
    """Seen: NVML's order in CUDA_VISIBLE_DEVICES, another order in CUDA."""
    box = make_box(cards=3)
    for card, address in enumerate(["0000:c1:00.0", "0000:41:00.0", "0000:05:00.0"]):
        box.set(card, pci=address)
    box.set(0, used=500)
    box.set(2, used=500)
    job = box.start("run", "--", box.sim_job, "--memory", "3000", "--for", "-1")
    wait_until(lambda: any(gpu["processes"] for gpu in box.status()), "the job on its card")
    used = {gpu["uuid"]: [process["pid"] for process in gpu["processes"]] for gpu in box.status()}
    claimed = next(gpu for gpu in box.status() if gpu["claim"])
    assert claimed["index"] == 1
    assert used[claimed["uuid"]] == [job.pid]


