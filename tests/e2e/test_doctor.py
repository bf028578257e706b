"""doctor: each trouble is planted, found, and told with a line that helps; where that line can be run here, it is run
and helps. doctor itself changes nothing."""

import json
import os
import pathlib
import shutil

import pytest

import harness
from fixtures import needs_mounts
from harness import ALICE, BOB, ROOT, compile_library, each, processes_with, state_of, wait_until
from test_choice import where_these_are_the_devices

OWN_PIDS = os.stat("/proc/self/ns/pid").st_ino != 0xEFFFFFFC  # then there is always a note
SUDO = 'sudo() { "$@"; }; '


def examine(run, **options):
    """What doctor finds; its exit status tells whether there are faults, and its two forms say the same."""
    done = run("doctor", "--json", **options)
    told = json.loads(done.out)
    findings = told["findings"]
    faults = [finding for finding in findings if finding["level"] == "fault"]
    assert done.status == (1 if faults else 0) and done.err == "", done
    assert list(told) == ["lock_directory", "findings"]
    assert findings == sorted(findings, key=lambda finding: finding["level"])
    text = run("doctor", **options)
    assert text.status == done.status and text.err == "", text
    for finding in findings:
        assert list(finding) == ["level", "subject", "what", "remedy"]
        assert finding["remedy"] and "\n" not in finding["remedy"], finding
        line = f"{finding['level']:<6} {finding['subject']}: {finding['what']}\n         {finding['remedy']}\n"
        assert line in text.out, (line, text.out)
    assert len(text.out.splitlines()) == 2 * len(findings) + 1
    return told


def find(run, level, subject, what, **options):
    """The remedy of the one finding that says this."""
    findings = examine(run, **options)["findings"]
    matching = [each for each in findings if what in each["what"]]
    assert len(matching) == 1, findings
    [found] = matching
    assert (found["level"], found["subject"]) == (level, subject), found
    return found["remedy"]


def finds_nothing(run, what, **options):
    findings = examine(run, **options)["findings"]
    assert not [each for each in findings if what in each["what"]], findings


@pytest.fixture
def places(box, make_places):
    return make_places(box)


def made_by_root(places):
    places.root("install -d -m 1777 /run/gpu-gate /run/gpu-gate/queue /run/gpu-gate/claims;"
                "install -m 1666 /dev/null /run/gpu-gate/mutex")


# Nothing wrong.

@pytest.mark.skipif(OWN_PIDS, reason="in a pid namespace there is a note")
def test_where_nothing_is_wrong_one_line_says_so_and_which_lock_directory_is_used(places):
    if any(state_of(pid) != "Z" for pid in processes_with("comm", b"slurmd\n")):
        pytest.skip("a node of Slurm's runs here, of which there is a note")
    made_by_root(places)
    done = places.run("doctor")
    assert (done.status, done.err) == (0, ""), done
    assert done.out == "nothing wrong; lock directory: /run/gpu-gate, made for all users (root, 1777, tmpfs)\n"
    assert json.loads(places.run("doctor", "--json").out) == {"lock_directory": "/run/gpu-gate", "findings": []}


def test_the_last_line_says_why_this_lock_directory_is_used(box, make_places):
    places = make_places(box)
    assert "lock directory: /run/lock/gpu-gate, since there is no /run/gpu-gate (not made yet" in places.run("doctor").out
    places.run("run", "--", "true", user=BOB)
    assert f"since there is no /run/gpu-gate ({BOB.name}, 1777, tmpfs)" in places.run("doctor").out
    chosen = places.run("doctor", env={"GPU_GATE_LOCK_DIR": "/tmp/own"})
    assert "lock directory: /tmp/own, from GPU_GATE_LOCK_DIR (not made yet, tmpfs)" in chosen.out
    assert examine(places.run, env={"GPU_GATE_LOCK_DIR": "/tmp/own"})["lock_directory"] == "/tmp/own"


def test_it_makes_nothing_and_changes_nothing(box, make_places):
    def tree(places):
        return places.root("find /run /tmp -printf '%p %m %u %s %T@ %C@\n' | sort")

    places = make_places(box)
    for prepare in ("true", "install -d -m 1777 /run/gpu-gate", "install -d -m 1777 /run/gpu-gate/queue /run/gpu-gate/claims"):
        places.root(prepare)
        before = tree(places)
        for user in (ALICE, ROOT):
            examine(places.run, user=user)
            examine(places.run, user=user, env={"GPU_GATE_LOCK_DIR": "/tmp/own"})
        assert tree(places) == before


# The driver.

def test_a_driver_that_does_not_answer_is_a_fault(box):
    for error, what, helps in ((9, "the NVIDIA kernel module is not loaded", "sudo modprobe nvidia"),
                               (18, "its old kernel module is still loaded", "sudo reboot"),
                               (17, "may not open /dev/nvidiactl", "sudo chmod 666 /dev/nvidiactl"),
                               (4, "may not open /dev/nvidiactl", "sudo chmod 666 /dev/nvidiactl"),
                               (999, "nvmlInit", "nvidia-smi")):
        box.extra = [f"init_error {error}"]
        box.write()
        assert find(box.run, "fault", "driver", what) == helps
        assert f"NVML {error}" in box.run("doctor").out


def test_a_library_that_is_missing_is_a_fault(box):
    for library, helps in ((None, "sudo apt install nvidia-driver"), ("/nonexistent/libnvidia-ml.so.1", "unset GPU_GATE_NVML")):
        env = {"GPU_GATE_NVML": library}
        assert find(box.run, "fault", "driver", "cannot load the NVIDIA driver's library", env=env).startswith(helps)


def test_a_library_that_is_too_old_or_not_the_drivers_is_a_fault(box):
    library = compile_library(box.folder, "int nvmlInit_v2(void) { return 0; }", "libnvidia-ml.so.1")
    assert find(box.run, "fault", "driver", "has no nvmlShutdown", env={"GPU_GATE_NVML": library}) == "unset GPU_GATE_NVML"


def test_the_stub_of_the_cuda_toolkit_is_a_fault_that_run_names_too(box):
    stubs = box.folder / "stubs"
    stubs.mkdir()
    shutil.copy(harness.BIN / "current" / "libnvidia-ml.so.1", stubs)
    box.extra = ["init_error 12"]
    box.write()
    for env, helps in (({"GPU_GATE_NVML": stubs / "libnvidia-ml.so.1"}, "GPU_GATE_NVML"),
                       ({"GPU_GATE_NVML": None, "LD_LIBRARY_PATH": stubs}, "LD_LIBRARY_PATH")):
        assert find(box.run, "fault", "driver", "is a stub of the CUDA toolkit", env=env) == f"unset {helps}"
        done = box.run("run", "--", "true", env=env)
        assert done.status == 4 and f"a stub of the CUDA toolkit, not the driver's library; take it out of {helps}" in done.err


def test_a_machine_without_a_gpu_is_a_fault(make_box):
    assert "lspci" in find(make_box(cards=0).run, "fault", "driver", "it finds no GPU")


def test_persistence_mode_that_is_off_is_a_note(box):
    finds_nothing(box.run, "persistence")
    box.set(0, persistence=0)
    assert find(box.run, "note", "driver", "persistence mode is off") == "sudo nvidia-smi -pm 1"


# Device files.

@needs_mounts
def test_device_files_that_are_closed_to_the_user_are_faults(make_box):
    def check(name, subject, what):
        box = make_box(cards=1)
        box.set(0, minor=0)
        modes = {"nvidiactl": 0o666, "nvidia-uvm": 0o666, "nvidia0": 0o666, name: 0o600}
        words = where_these_are_the_devices(box, **modes)

        def run(*more, **options):
            return box.run_plain(*words, box.gate, *more, **options)

        assert find(run, "fault", subject, what) == f"sudo chmod 666 /dev/{name}"
        file = box.folder / "dev" / name
        file.chmod(0o660)
        shutil.chown(file, "root", "video")
        assert find(run, "fault", subject, what).startswith('sudo usermod -aG video "$USER"')
        file.chmod(0o666)
        finds_nothing(run, what)

    each([("nvidiactl", "/dev/nvidiactl", "you may not open it"), ("nvidia-uvm", "/dev/nvidia-uvm", "you may not open it"),
          ("nvidia0", "GPU 0", "you may not open its device file")], check)


# The GPUs.

def test_what_is_wrong_with_a_gpu_is_told_of_that_gpu(make_box):
    def check(values, level, what, helps):
        box = make_box(cards=2)
        finds_nothing(box.run, what)
        box.set(1, **values)
        assert find(box.run, level, "GPU 1", what) == helps

    each([
        ({"lost": 1}, "fault", "the driver has lost it", "sudo reboot"),
        ({"recovery": 1}, "fault", "it must be reset", "sudo nvidia-smi -r -i 1  # if that fails: sudo reboot"),
        ({"mode": "prohibited"}, "fault", "PROHIBITED", "sudo nvidia-smi -i 1 -c DEFAULT"),
        ({"mode": "exclusive"}, "note", "EXCLUSIVE_PROCESS", "sudo nvidia-smi -i 1 -c DEFAULT"),
        ({"remap_failed": 1}, "fault", "failed memory could not be replaced", "nvidia-smi -q -i 1 -d ROW_REMAPPER"),
        ({"remap_pending": 1}, "note", "failed memory is replaced at the next reset", "sudo nvidia-smi -r -i 1"),
        ({"retire_pending": 1}, "note", "failed memory is retired at the next reset", "sudo nvidia-smi -r -i 1"),
        ({"memory_error": 999, "memory_v2_error": 999}, "fault", "its state cannot be read", "nvidia-smi -q -i 1"),
    ], check)


@pytest.mark.skipif(OWN_PIDS, reason="the driver does not list the processes outside")
def test_memory_that_belongs_to_no_process_is_a_fault(box):
    box.outsider(memory=6000)
    finds_nothing(box.run, "MiB")
    box.set(0, used=9000)
    assert "fuser -v /dev/nvidia*" in find(box.run, "fault", "GPU 0", "9000 MiB in use by no visible process")


# The lock directory.

def test_a_lock_directory_that_cannot_be_used_is_a_fault_and_the_remedy_helps(make_box):
    def check(prepare, what, remedy, helped):
        box = make_box(cards=1)
        places = f"lock={box.lock}; folder={box.folder}; "
        assert box.run_plain("sh", "-ec", places + prepare).status == 0
        found = find(box.run, "fault", "lock directory", what, user=ALICE)
        assert found == remedy.format(lock=box.lock)
        assert "queue" in prepare or box.run("run", "--", "true", user=ALICE).status == 5  # that one may not have to wait
        if helped:
            assert box.run_plain("sh", "-ec", SUDO + found).status == 0
            finds_nothing(box.run, "it cannot be used", user=ALICE)
            assert box.run("run", "--", "true", user=ALICE).status == 0

    unset = "unset GPU_GATE_LOCK_DIR"
    each([
        ("mkdir -m 700 $lock", "Permission denied", "sudo chmod 1777 {lock}", True),
        ("mkdir -m 755 $lock", "Permission denied", "sudo chmod 1777 {lock}", True),
        ("mkdir -m 1777 $lock; mkdir -m 755 $lock/queue", "Permission denied",
         "sudo chmod 1777 {lock}/queue", True),
        ("mkdir -m 1777 $lock; mkdir -m 700 $lock/claims", "Permission denied",
         "sudo chmod 1777 {lock}/claims", True),
        ("touch $lock", "Not a directory", unset, False),
        ("mkdir -m 1777 $lock; mkfifo -m 666 $lock/mutex", "not a regular file", unset, False),
        ("mkdir -m 1777 $lock; install -m 600 /dev/null $lock/mutex", "open(mutex): Permission denied", unset, False),
    ], check)


def test_a_lock_directory_whose_parent_is_missing_is_a_fault_and_the_remedy_helps(box):
    lock = box.folder / "not there" / "lock"
    env = {"GPU_GATE_LOCK_DIR": lock}
    remedy = find(box.run, "fault", "lock directory", "No such file or directory", env=env)
    assert remedy == f"mkdir -p '{lock.parent}'"
    assert box.run_plain("sh", "-ec", remedy).status == 0
    finds_nothing(box.run, "it cannot be used", env=env)
    assert box.run("run", "--", "true", env=env).status == 0


def test_a_lock_directory_that_is_no_absolute_path_is_a_fault(box):
    assert find(box.run, "fault", "lock directory", "not an absolute path",
                env={"GPU_GATE_LOCK_DIR": "locks"}) == "unset GPU_GATE_LOCK_DIR"


@needs_mounts
def test_a_lock_directory_on_a_file_system_that_is_read_only_or_full_is_a_fault(box):
    def mounted(options, prepare):
        box.lock.mkdir(exist_ok=True)
        script = (f"mount -t tmpfs -o mode=1777,{options} none {box.lock} && cd {box.lock} && mkdir -m 1777 queue claims && "
                  f"{prepare} && cd / && exec setpriv --reuid {ALICE.uid} --regid {ALICE.gid} --clear-groups \"$@\"")
        return lambda *words, **more: box.run_plain("unshare", "-m", "sh", "-c", script, "sh", box.gate, *words, **more)

    read_only = mounted("size=1m", f"mount -o remount,ro {box.lock}")
    assert "remount,rw" in find(read_only, "fault", "lock directory", "Read-only file system")
    full = mounted("size=64k", "{ head -c 1m /dev/zero >fill; true; } 2>/dev/null")
    assert find(full, "fault", "lock directory", "No space left") == "unset GPU_GATE_LOCK_DIR"
    no_more_files = mounted("nr_inodes=4", "touch last")
    assert find(no_more_files, "fault", "lock directory", "No space left") == "unset GPU_GATE_LOCK_DIR"
    assert full("run", "--", "true").status == 5 == no_more_files("run", "--", "true").status


def test_a_second_lock_directory_in_use_is_a_fault_as_long_as_it_is(places):
    job = places.hold(user=BOB)
    finds_nothing(places.run, "is in use too")
    made_by_root(places)
    remedy = find(places.run, "fault", "lock directory", f"/run/lock/gpu-gate is in use too ({BOB.name}, pid {job.pid})")
    shown = places.run_plain("sh", "-ec", f"PATH={pathlib.Path(places.box.gate).parent}:$PATH; {remedy}")
    assert f"{BOB.name}: sleep 1000 (pid" in shown.out, shown
    job.kill()
    wait_until(lambda: "in use too" not in places.run("doctor").out, "the job has ended")


def test_a_default_lock_directory_in_use_beside_one_of_ones_own_is_a_fault(places):
    own = {"GPU_GATE_LOCK_DIR": "/tmp/own"}
    finds_nothing(places.run, "is in use too", env=own)
    places.hold(user=BOB)
    assert find(places.run, "fault", "lock directory", "/run/lock/gpu-gate is in use too", env=own) == "unset GPU_GATE_LOCK_DIR"
    finds_nothing(places.run, "is in use too", env={"GPU_GATE_LOCK_DIR": "/run/lock/gpu-gate"})


def test_what_is_wrong_with_the_policy_file_is_a_fault(box):
    box.run("run", "--", "true")
    policy = box.lock / "policy"
    policy.write_text("order = arrival\nmax-per-user = many\n")
    policy.chmod(0o644)
    remedy = find(box.run, "fault", "policy file", "this line is ignored: max-per-user = many")
    assert remedy.startswith(f"sudoedit {policy}  #") and "max-per-user = N" in remedy
    policy.write_text("max-per-user = 2\n")
    finds_nothing(box.run, "ignored")
    policy.chmod(0o666)
    shutil.chown(policy, BOB.name)
    remedy = find(box.run, "fault", "policy file", "it is ignored")
    assert box.run_plain("sh", "-ec", SUDO + remedy).status == 0
    finds_nothing(box.run, "it is ignored")


def test_tmp_as_the_lock_directory_is_a_note_and_the_remedy_helps(box, make_places):
    places = make_places(box, lock_mode="755")
    remedy = find(places.run, "note", "lock directory", "/tmp/gpu-gate: a service with a /tmp of its own")
    places.root(SUDO + remedy)
    finds_nothing(places.run, "a service")
    assert examine(places.run)["lock_directory"] == "/run/gpu-gate"


def test_a_default_lock_directory_that_is_not_open_to_all_is_a_note_to_its_owner(places):
    places.root("install -d -m 755 /run/gpu-gate")
    remedy = find(places.run, "note", "lock directory", "has mode 755, not 1777", user=ROOT)
    places.root(SUDO + remedy)
    finds_nothing(places.run, "has mode 755, not 1777", user=ROOT)


# What is around it.

@needs_mounts
def test_a_proc_that_hides_processes_is_a_note_and_the_remedy_helps(box):
    def hidden(then):
        script = f'mount -t proc -o hidepid=invisible proc /proc && {then} && exec "$@"'
        return lambda *words, **more: box.run_plain("unshare", "-m", "sh", "-c", script, "sh", box.gate, *words, **more)

    remedy = find(hidden("true"), "note", "/proc", "hidepid")
    finds_nothing(hidden(SUDO + remedy), "hidepid")


@needs_mounts
def test_a_pid_namespace_is_a_note(box):
    def inside(*words, **more):
        return box.run_plain("unshare", "--pid", "--fork", "--mount-proc", box.gate, *words, **more)

    box.set(0, used=9000)
    assert "--pid=host" in find(inside, "note", "pid namespace", "processes outside it cannot be seen")
    finds_nothing(inside, "by no visible process")


@needs_mounts
def test_a_container_without_the_hosts_lock_directory_is_a_note(box):
    own = box.folder / "run"
    own.mkdir()
    (own / "lock").mkdir()
    (own / "lock").chmod(0o1777)
    if os.stat(own).st_dev != os.stat("/").st_dev:
        pytest.skip("/tmp is no part of the file system of / here")

    def inside(mount):
        return lambda *words, **more: box.run_plain("unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh", box.gate, *words,
                                                    **more)

    env = {"GPU_GATE_LOCK_DIR": None, "container": "podman"}
    what = "it does not have the host's lock directory"
    assert "-v /run/gpu-gate:/run/gpu-gate" in find(inside(f"mount --bind {own} /run"), "note", "container", what, env=env)
    finds_nothing(inside("mount -t tmpfs none /run && mkdir -m 1777 /run/gpu-gate"), what, env=env)


def test_pinned_variables_are_notes_but_not_those_that_a_job_is_given(box):
    for name, value in (("CUDA_VISIBLE_DEVICES", "0"), ("CUDA_VISIBLE_DEVICES", ""), ("CUDA_DEVICE_ORDER", "FASTEST_FIRST")):
        assert find(box.run, "note", name, f"set to '{value}'", env={name: value}) == f"unset {name}"
    finds_nothing(box.run, "set to", env={"CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
    finds_nothing(box.run, "set to", env={"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_ID": "7"})
    job = box.run("run", "--", box.gate, "doctor", "--json")
    assert not [each for each in json.loads(job.out)["findings"] if "set to" in each["what"]]


def test_a_history_that_cannot_be_written_is_a_note_and_the_remedy_helps(box):
    history = box.folder / "history"
    env = {"GPU_GATE_HISTORY": history}
    finds_nothing(box.run, "cannot be written", env=env, user=ALICE)
    history.mkdir(mode=0o755)
    remedy = find(box.run, "note", "history", f"{history} cannot be written", env=env, user=ALICE)
    assert box.run_plain("sh", "-ec", SUDO + remedy).status == 0
    finds_nothing(box.run, "cannot be written", env=env, user=ALICE)


def test_slurm_on_the_same_machine_is_a_note(box):
    daemon = box.folder / "slurmd"
    shutil.copy("/bin/sleep", daemon)
    running = box.start_plain(daemon, 1000)
    wait_until(lambda: pathlib.Path(f"/proc/{running.pid}/comm").read_text() == "slurmd\n", "it runs")
    assert "srun --gpus=1" in find(box.run, "note", "Slurm", "it starts jobs on this machine")


# Its own.

def test_it_never_waits_for_the_line(box):
    box.hold()
    box.wait_in_line()
    finds_nothing(box.run, "it cannot be used")
    assert box.waiting() == 1


def test_output_that_cannot_be_written_is_125(box):
    with open("/dev/full", "w") as full:
        assert box.run("doctor", stdout=full).status == 125
