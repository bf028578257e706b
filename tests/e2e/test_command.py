"""The command: gpu-gate becomes it, and changes nothing but what it promises."""

import contextlib
import fcntl
import os
import resource
import signal
import sys
import threading

import pytest

import traced
from harness import children_of, each, uuid, wait_until

FIVE = {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "GPU_GATE_INDICES", "GPU_GATE_UUIDS", "GPU_GATE_CLAIM"}

# Each open descriptor of the process itself with what it is, but the one that lists them.
LIST_DESCRIPTORS = 'for f in /proc/$$/fd/*; do t=$(readlink $f) && echo "${f##*/} $t"; done'


@contextlib.contextmanager
def behind_another(box):
    """Inside, the only card is held; it is let go once somebody waits for it."""
    holder = box.hold()

    def let_go():
        try:
            wait_until(lambda: any((box.lock / "queue").glob("*.json")), "a waiter")
        finally:
            os.kill(holder.pid, signal.SIGKILL)

    thread = threading.Thread(target=let_go)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.fixture(params=["at_once", "after_a_wait"])
def run(request, box):
    """Runs the command with gpu-gate on a free card, or after it had to wait for the card."""
    def run(*words, **options):
        with behind_another(box) if request.param == "after_a_wait" else contextlib.nullcontext():
            return box.run("run", "--", *words, **options)
    return run


# One process.

def test_the_command_has_the_pid_of_gpu_gate(box):
    process = box.start("run", "--", "sh", "-c", "echo $$ $PPID")
    assert process.finish() == 0
    assert process.out == f"{process.pid} {os.getpid()}\n"


@pytest.mark.parametrize("new_session", [False, True])
def test_the_command_stays_in_its_process_group_and_session(run, new_session):
    done = run("cat", "/proc/self/stat", start_new_session=new_session)
    pid, _, _, parent, group, session = done.out.split()[:6]
    assert int(parent) == os.getpid()
    assert group == (pid if new_session else str(os.getpgid(0)))
    assert session == (pid if new_session else str(os.getsid(0)))


def test_no_process_stays_beside_the_command(box):
    process = box.hold()
    assert children_of(process.pid) == []
    assert os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) != "gpu-gate"


def test_the_exit_status_is_the_commands(box):
    for status in (0, 1, 2, 3, 7, 124, 127, 255):
        assert box.run("run", "--", "sh", "-c", f"exit {status}").status == status


def test_death_by_a_signal_is_the_commands(run):
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGSEGV, signal.SIGHUP, signal.SIGPIPE):
        assert run("sh", "-c", f"kill -{int(number)} $$").status == -number


def test_a_shell_sees_128_and_the_signal(box):
    done = box.run_plain("sh", "-c", '"$0" run -q -- sh -c "kill -9 \\$\\$"; echo $?', box.gate)
    assert done.out == "137\n"


# Streams and descriptors.

def test_stdin_reaches_the_command_whole(run):
    data = bytes(range(256)) * 4096
    done = run("cat", input=data)
    assert os.fsencode(done.out) == data


def test_a_seekable_stdin_is_not_read_ahead(box):
    (box.folder / "input").write_bytes(b"line 1\nline 2\n")
    with open(box.folder / "input", "rb") as file:
        os.lseek(file.fileno(), 7, os.SEEK_SET)
        assert box.run("run", "--", "cat", stdin=file).out == "line 2\n"


def test_stdout_belongs_to_the_command(run):
    assert run("printf", "only this").out == "only this"


def test_quiet_leaves_stderr_to_the_command_as_well(box):
    with behind_another(box):
        done = box.run("run", "-q", "--", "sh", "-c", "echo error >&2")
    assert done.err == "error\n"


def test_closed_standard_descriptors_stay_closed(box, run):
    script = f"cd /proc/$$/fd; for n in 0 1 2; do [ -e $n ] || set -- \"$@\" $n; done; echo \"$@\" > {box.folder}/closed"
    for closed in ((0,), (1,), (2,), (0, 1), (0, 1, 2)):
        assert run("sh", "-c", script, "name", preexec_fn=lambda: [os.close(fd) for fd in closed]).status == 0, closed
        assert (box.folder / "closed").read_text() == " ".join(map(str, closed)) + "\n"


def test_the_command_inherits_claim_descriptors_from_200_on_and_no_other(make_box):
    box = make_box(cards=2)
    before = box.run_plain("sh", "-c", LIST_DESCRIPTORS).out.splitlines()
    after = box.run("run", "-n", "2", "--", "sh", "-c", LIST_DESCRIPTORS).out.splitlines()
    numbers = [line.split()[0] for line in before]
    more = [line.split() for line in after if line.split()[0] not in numbers]
    assert len(after) == len(before) + 2
    assert all(int(number) >= 200 for number, _ in more), more
    held = sorted(os.path.basename(target).split("@")[0] for _, target in more)
    assert held == [uuid(0), uuid(1)]


def test_after_a_wait_no_further_descriptor_is_inherited(box):
    before = box.run_plain("sh", "-c", LIST_DESCRIPTORS).out.splitlines()
    with behind_another(box):
        after = box.run("run", "--", "sh", "-c", LIST_DESCRIPTORS).out.splitlines()
    assert len(after) == len(before) + 1, after


def test_after_a_wait_for_claims_strangers_and_others_in_line_no_further_descriptor_is_inherited(make_box):
    box = make_box(cards=2)
    before = box.run_plain("sh", "-c", LIST_DESCRIPTORS).out.splitlines()
    stranger = box.start_plain(box.sim_job, "--for", "-1", env={"CUDA_VISIBLE_DEVICES": "1"})
    stranger.wait_for("holds", stdout=True)
    holder = box.hold("--only", "0")
    first = box.wait_in_line("-n", "2")
    waiter = box.wait_in_line(command=("sh", "-c", LIST_DESCRIPTORS))
    for process in (first, holder, stranger):
        process.signal(signal.SIGKILL)
    assert waiter.finish() == 0
    assert len(waiter.out.splitlines()) == len(before) + 1, waiter.out


def test_the_users_own_descriptors_reach_the_command_also_where_claims_would_go(box):
    taken = [5, 200, 201]
    read, write = os.pipe()
    os.write(write, b"hello")
    os.close(write)

    def spread():
        for number in taken:
            os.dup2(read, number)

    script = LIST_DESCRIPTORS + "; cat <&5"
    done = box.run("run", "--", "bash", "-c", script, preexec_fn=spread, close_fds=False, pass_fds=())
    os.close(read)
    found = dict(line.split(" ", 1) for line in done.out.splitlines() if " " in line)
    assert found["5"] == found["200"] == found["201"]
    assert any(int(number) > 201 and "claims" in target for number, target in found.items()), found
    assert done.out.endswith("hello")


def test_a_low_limit_on_open_files_is_enough(make_box):
    box = make_box(cards=4)
    for limit in (24, 64, 200, 201):
        done = box.run("run", "-n", "4", "--", "sh", "-c", LIST_DESCRIPTORS + "; ulimit -n",
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        lines = done.out.splitlines()
        assert done.status == 0, (limit, done)
        claims = [int(line.split()[0]) for line in lines if "/claims/" in line]
        assert len(claims) == 4
        assert all(3 <= number < limit for number in claims), limit
        assert lines[-1] == str(limit)


def test_the_table_of_descriptors_grows_before_the_driver_may_start_a_thread(box):
    """Seen beside a real driver: the number for the claim took 11 to 18 ms, as the kernel makes a process with threads
    wait for all readers of the old table."""
    calls = traced.trace_lines(box, ["run", "--", "true"])
    first = {name: next(i for i, call in enumerate(calls) if name in call) for name in ("F_DUPFD", "libnvidia-ml.so.1")}
    assert first["F_DUPFD"] < first["libnvidia-ml.so.1"], calls
    number = int(calls[first["F_DUPFD"]].rpartition(" = ")[2])
    claims = [call for call in calls if "F_DUPFD, " in call]
    assert len(claims) == 1 and int(claims[0].rpartition(" = ")[2]) <= number, claims


# Signals, limits and the rest of a process.

def signal_lines(output):
    return [line for line in output.splitlines() if line.startswith(("SigBlk", "SigIgn", "SigCgt", "SigPnd", "ShdPnd"))]


SIGNALS = [  # (blocked, ignored)
    ((), ()),
    ((), (signal.SIGHUP,)),                 # nohup
    ((), (signal.SIGINT, signal.SIGQUIT)),  # a background job
    ((signal.SIGUSR1, signal.SIGCHLD), ()),
    ((signal.SIGTERM, signal.SIGINT, signal.SIGPIPE), (signal.SIGHUP, signal.SIGTERM)),
]


@pytest.mark.parametrize("restore", [True, False], ids=["plain", "sigpipe_ignored"])
def test_the_signal_mask_and_ignored_signals_stay_as_they_were(box, run, restore):
    def check(blocked, ignored):
        def prepare():
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)

        words = ("cat", "/proc/self/status")
        expected = box.run_plain(*words, preexec_fn=prepare, restore_signals=restore)
        done = run(*words, preexec_fn=prepare, restore_signals=restore)
        assert signal_lines(done.out) == signal_lines(expected.out) != []

    for blocked, ignored in SIGNALS:
        check(blocked, ignored)


def test_after_a_wait_for_the_mutex_no_signal_and_no_descriptor_is_different(box):
    words = ("sh", "-c", "cat /proc/self/status; " + LIST_DESCRIPTORS)
    expected = box.run_plain(*words)
    box.run("run", "--", "true")  # makes the directory
    with open(box.lock / "mutex") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        waiter = box.start("run", "--", *words)
        waiter.wait_for("everybody waits")
    assert waiter.finish() == 0
    assert signal_lines(waiter.out) == signal_lines(expected.out)
    assert len(waiter.out.splitlines()) == len(expected.out.splitlines()) + 1


def test_under_nohup_a_hang_up_ends_neither_waiter_nor_command(box):
    holder = box.hold()
    waiter = box.start("run", "--", "sh", "-c", "kill -HUP $$; echo survived",
                       preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    waiter.wait_for("in line")
    waiter.signal(signal.SIGHUP)
    holder.kill()
    assert waiter.finish() == 0
    assert waiter.out == "survived\n"


def test_the_resource_limits_stay_as_they_were(box, run):
    def lower():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 4096))
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, 500))
        resource.setrlimit(resource.RLIMIT_STACK, (4 << 20, 16 << 20))

    words = ("cat", "/proc/self/limits")
    assert run(*words, preexec_fn=lower).out == box.run_plain(*words, preexec_fn=lower).out


def test_the_umask_stays_as_it_was(run):
    for umask in (0o000, 0o022, 0o077, 0o777):
        done = run("sh", "-c", "umask", preexec_fn=lambda: os.umask(umask))
        assert int(done.out, 8) == umask, done


def test_the_directory_the_priority_and_the_affinity_stay_as_they_were(box, run):
    def prepare():
        os.nice(3)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    words = ("sh", "-c", "pwd; nice; grep Cpus_allowed: /proc/self/status; cat /proc/self/oom_score_adj")
    done = run(*words, cwd=box.folder, preexec_fn=prepare)
    assert done.out == box.run_plain(*words, cwd=box.folder, preexec_fn=prepare).out


# The environment.

def environment(output):
    return dict(entry.split("=", 1) for entry in output.split("\0")[:-1])


def test_exactly_five_variables_change(box, run):
    more = {"EMPTY": "", "LINES": "a\n", "EQUALS": "a=b=c", "CUDA_VISIBLE_DEVICESX": "7", "XCUDA_DEVICE_ORDER": "x",
            "cuda_visible_devices": "3", "LD_LIBRARY_PATH": "/nowhere"}
    before = environment(box.run_plain("env", "-0", env=more).out)
    after = environment(run("env", "-0", env=more).out)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert changed == FIVE
    assert after["CUDA_VISIBLE_DEVICES"] == "0"
    assert after["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert after["GPU_GATE_INDICES"] == "0"
    assert after["GPU_GATE_UUIDS"] == uuid(0)
    assert after["GPU_GATE_CLAIM"].isdigit()


def test_no_variable_is_set_twice(box):
    old = {name: "1" for name in FIVE} | {"CUDA_VISIBLE_DEVICES": "0"}
    output = box.run("run", "--", "env", "-0", env=old).out
    names = [entry.split("=")[0] for entry in output.split("\0")[:-1]]
    assert len(names) == len(set(names))
    assert environment(output)["GPU_GATE_UUIDS"] == uuid(0)


def test_a_value_that_is_not_utf8_reaches_the_command(box):
    done = box.run("run", "--", "env", "-0", env={"ODD": os.fsdecode(b"\xff\xfe\x01")})
    assert os.fsencode(environment(done.out)["ODD"]) == b"\xff\xfe\x01"


def test_the_lists_of_several_cards_have_the_same_order(make_box):
    box = make_box(cards=4)
    box.set(0, used=400)
    found = environment(box.run("run", "-n", "3", "--", "env", "-0").out)
    assert found["CUDA_VISIBLE_DEVICES"] == found["GPU_GATE_INDICES"] == "1,2,3"
    assert found["GPU_GATE_UUIDS"] == ",".join(map(uuid, (1, 2, 3)))


def test_the_claim_variable_is_the_ticket_of_the_claim(box):
    ticket = box.hold().claim
    assert (box.lock / "claims" / f"{uuid(0)}@{ticket}").is_fifo()
    assert str(box.status()[0]["claim"]["ticket"]) == ticket


def test_where_another_device_order_is_pinned_the_cards_are_named_by_uuid(make_box):
    box = make_box(cards=2)
    box.set(0, used=400)
    for order, named, after in (
        (None, "1", "PCI_BUS_ID"),
        ("", "1", "PCI_BUS_ID"),
        ("PCI_BUS_ID", "1", "PCI_BUS_ID"),
        ("FASTEST_FIRST", uuid(1), "FASTEST_FIRST"),
    ):
        found = environment(box.run("run", "--", "env", "-0", env={"CUDA_DEVICE_ORDER": order}).out)
        assert (found["CUDA_VISIBLE_DEVICES"], found["CUDA_DEVICE_ORDER"]) == (named, after), order
        assert found["GPU_GATE_INDICES"] == "1"


def test_ids_uuid_names_the_cards_by_uuid(make_box):
    box = make_box(cards=2)
    found = environment(box.run("run", "-n", "2", "--ids", "uuid", "--", "env", "-0").out)
    assert found["CUDA_VISIBLE_DEVICES"] == f"{uuid(0)},{uuid(1)}"
    assert found["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert found["GPU_GATE_INDICES"] == "0,1"


# An inherited CUDA_VISIBLE_DEVICES.

INHERITED = [  # and the options, and what is shown to the command
    ("1", (), "1"),
    ("3", (), "3"),
    ("3,1", ("-n", "2"), "1,3"),
    ("0,1,2,3", ("-n", "4"), "0,1,2,3"),
    (uuid(2), (), "2"),
    ("GPU-00000002", (), "2"),
    (f"{uuid(3)},GPU-00000001", ("-n", "2"), "1,3"),
    ("2,9,1", (), "2"),
    ("2,-1,1", (), "2"),
    ("2,x,1", (), "2"),
    ("2,,1", (), "2"),
    ("2,GPU-00000001", (), "2"),
    ("GPU-00000002,1", (), "2"),
    ("GPU-00000002,GPU-0000,GPU-00000001", (), "2"),
    ("1,2", ("--only", "2-3"), "2"),
    ("1,2", ("--exclude", "1"), "2"),
    ("1", ("--ids", "uuid"), uuid(1)),
]


def test_an_inherited_list_limits_the_choice(make_box):
    box = make_box(cards=4)

    def check(inherited, options, shown):
        done = box.run("run", *options, "--", "printenv", "CUDA_VISIBLE_DEVICES", env={"CUDA_VISIBLE_DEVICES": inherited})
        assert (done.status, done.out) == (0, shown + "\n"), done

    each(INHERITED, check)


TOO_FEW_INHERITED = [
    ("", ()),
    ("-1", ()),
    ("NoDevFiles", ()),
    ("none", ()),
    ("1,1", ()),
    (f"{uuid(1)},GPU-00000001", ()),
    ("9,1", ()),
    ("GPU-0000", ()),
    ("GPU-99999999", ()),
    ("2,9,1", ("-n", "2")),
    ("2,GPU-00000001", ("-n", "2")),
    ("1", ("-n", "2")),
    ("1", ("--only", "0")),
    ("MIG-5e8f9d5a-0000-5000-8000-000000000000", ()),
]


def test_an_inherited_list_that_leaves_too_few_is_3_with_the_reason(make_box):
    box = make_box(cards=4)

    def check(inherited, options):
        done = box.run("run", *options, "--", "true", env={"CUDA_VISIBLE_DEVICES": inherited})
        assert done.status == 3, done
        assert f"CUDA_VISIBLE_DEVICES is '{inherited}'" in done.err and "unset it" in done.err, done
        assert "waiting" not in done.err, done

    each(TOO_FEW_INHERITED, check)


def test_the_notice_says_that_the_inherited_list_narrows_the_choice(make_box):
    box = make_box(cards=2)
    holder = box.hold("--only", "1")
    waiter = box.wait_in_line(env={"CUDA_VISIBLE_DEVICES": "1"}, command=("printenv", "CUDA_VISIBLE_DEVICES"))
    assert "CUDA_VISIBLE_DEVICES" in waiter.err
    holder.kill()
    assert waiter.finish() == 0 and waiter.out == "1\n"
    assert waiter.lines[-1].endswith("within the inherited CUDA_VISIBLE_DEVICES=1")


def test_an_inherited_list_that_hides_nothing_is_no_news(box):
    box.hold()
    waiter = box.wait_in_line(env={"CUDA_VISIBLE_DEVICES": "0"})
    assert "inherited" not in waiter.err


# Words.

def test_arguments_that_are_not_utf8_reach_the_command(run):
    assert run("printf", "%s|", b"\xff\xfe", b"\xc3").out == os.fsdecode(b"\xff\xfe|\xc3|")


def test_the_command_gets_its_name_as_it_was_written(box):
    done = box.run("run", "--", "sh", "-c", "tr '\\0' '\\n' < /proc/$$/cmdline | head -n 1")
    assert done.out == "sh\n"


def test_a_long_command_line_reaches_the_command(box):
    words = ["x" * 100_000] * 8
    done = box.run("run", "--", "sh", "-c", 'echo $# ${#1} ${#8}', "name", *words)
    assert done.out == "8 100000 100000\n", done.err


def test_a_binary_that_is_not_ours_behaves_as_without_gpu_gate(run):
    done = run(sys.executable, "-c", "import sys; sys.stdin.read(); print(sys.argv[1:]); sys.exit(5)", "a b", "", input=b"x")
    assert (done.status, done.out) == (5, "['a b', '']\n")
