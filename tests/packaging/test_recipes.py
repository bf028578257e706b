"""docs/recipes.md, recipe by recipe, as it stands there.

The blocks of sh are run; a block below "In `NAME`:" becomes that file. The GPUs are simulated, and
train.py fails if another has its GPU.
"""

import hashlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap

import pytest

import harness
from conftest import SOURCE
from fixtures import needs_mounts
from harness import Process, wait_until

PAGE = (SOURCE / "docs" / "recipes.md").read_text()

TRAIN = """#!/usr/bin/python3
import argparse, fcntl, os, pathlib, time
parser = argparse.ArgumentParser()
parser.add_argument("--seed")
parser.add_argument("--out")
options = parser.parse_args()
folder = pathlib.Path(os.environ["CARDS"])
name = os.environ["CUDA_VISIBLE_DEVICES"]
card = int(name[4:12], 16) if name.startswith("GPU-") else int(name)
lock = open(folder / f"card{card}", "w")
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
time.sleep(0.02)  # its work
with open(folder / "done", "a") as log:
    log.write(f"{options.seed} {card}\\n")
if options.out:
    pathlib.Path(options.out).touch()
"""


def recipes():
    """{heading: (commands, files)}"""
    found = {}
    for heading, text in re.findall(r"^## (.*)\n((?:(?!^## ).*\n)*)", PAGE, re.M):
        blocks = re.findall(r"(?:in\s`([^`]+)`:\n\n)?^```(\w+)\n(.*?)^```", text, re.M | re.S | re.I)
        commands = [body for file, language, body in blocks if not file and language == "sh"]
        files = {file: body for file, _, body in blocks if file}
        assert len(commands) + len(files) == len(blocks) == text.count("```") / 2, f"{heading}: a block is not used"
        found[heading] = (commands, files)
    return found


class Place:
    """A folder with train.py, on a machine with two GPUs, and the recipe of one heading."""

    def __init__(self, box, folder, heading):
        self.box, self.folder = box, folder
        self.commands, self.files = recipes()[heading]
        for name, text in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        (folder / "train.py").write_text(TRAIN)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.program("gpu-gate", f'exec {box.gate} "$@"')
        self.program("python", 'exec /usr/bin/python3 "$@"')
        (folder / "cards").mkdir()
        (folder / "runtime").mkdir(mode=0o700)

    def program(self, name, script):
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def env(self, **more):
        return self.box.env(**{"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": self.folder, "CARDS": self.folder / "cards",
                               "TMUX_TMPDIR": self.folder, "XDG_RUNTIME_DIR": self.folder / "runtime",
                               **more})

    def run(self, script, limit=harness.LIMIT * 2, status=0, **options):
        options.setdefault("stdin", subprocess.DEVNULL)
        if "input" in options:
            del options["stdin"]
        done = subprocess.run(["bash", "-e", "-c", script], cwd=self.folder, env=options.pop("env", self.env()),
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit, **options)
        assert done.returncode == status, done.stdout
        return done.stdout

    def log(self):
        """What train.py has done: (seed, card)."""
        file = self.folder / "cards" / "done"
        return [tuple(line.split()) for line in file.read_text().splitlines()] if file.exists() else []

    def was_a_sweep(self, seeds):
        assert sorted(int(seed) for seed, _ in self.log()) == list(range(1, seeds + 1))
        assert {card for _, card in self.log()} == {"0", "1"}

    def claims(self):
        return [gpu["claim"] for gpu in self.box.status() if gpu["claim"]]


@pytest.fixture
def place(request, make_box, tmp_path):
    return Place(make_box(cards=2), tmp_path, request.node.get_closest_marker("recipe").args[0])


def recipe(heading):
    return pytest.mark.recipe(heading)


def test_every_recipe_is_tested():
    tested = re.findall(r'^@recipe\("(.*)"\)', open(__file__).read(), re.M)
    assert list(dict.fromkeys(tested)) == list(recipes())


@recipe("A shell with a GPU")
def test_shell(place):
    claimed, held = place.commands
    place.box.hold("--only", 0)
    assert place.run(claimed, input="echo $CUDA_VISIBLE_DEVICES $GPU_GATE_INDICES\n") == \
        "gpu-gate: using GPU 1 (NVIDIA L40S, 45468 MiB free)\n1 1\n"
    place.run(held + "python train.py --seed 1\ngpu-gate run -q -- python train.py --seed 2\ngpu-gate status >status")
    assert place.log() == [("1", "1"), ("2", "1")]
    assert "root: bash" in (place.folder / "status").read_text()
    wait_until(lambda: len(place.claims()) == 1, "the shell has ended, and so has its claim")


@recipe("A script with a GPU")
def test_script(place):
    script, parts = place.commands
    place.run(script)
    assert place.log() == [("1", "0"), ("2", "0")]
    wait_until(lambda: not place.claims(), "the script has ended, and so has its claim")
    place.run(script.replace("--timeout 600", "-n 3"), status=3)
    assert len(place.log()) == 2, "without a GPU it goes no further"

    place.run(parts + "gpu-gate run -n 2 --timeout 20 -q -- echo both are free again")
    assert sorted(seed for seed, _ in place.log()[2:]) == ["10", "11", "20", "21"]
    assert {card for _, card in place.log()[2:]} == {"0", "1"}


@recipe("A sweep")
@pytest.mark.parametrize("which", [0, 1, 2])
def test_sweep(place, which):
    place.run(place.commands[which])
    place.was_a_sweep(20)


@recipe("A sweep")
def test_a_sweep_in_a_script_can_be_interrupted(place):
    holders = [place.box.hold("--only", card) for card in (0, 1)]
    holders[1].kill()
    place.program("python", "exec sleep 1000")
    (place.folder / "sweep").write_text(place.commands[1])
    sweep = Process(["bash", "sweep"], place.env(), harness.ROOT, cwd=place.folder, start_new_session=True)
    wait_until(lambda: len(place.claims()) == 2 and place.box.waiting() == 19, "one runs, the others wait")
    os.killpg(sweep.pid, signal.SIGINT)  # as the terminal does
    sweep.finish()
    wait_until(lambda: len(place.claims()) == 1 and place.box.waiting() == 0, "all have ended")


@recipe("A sweep")
def test_a_gpu_that_fails_every_job_is_left_out(place):
    place.run(place.commands[3])
    assert sorted(int(seed) for seed, _ in place.log()) == list(range(1, 21))
    assert {card for _, card in place.log()} == {"0"}


@recipe("Leaving the terminal")
def test_setsid(place):
    place.run(place.commands[0])
    wait_until(place.log, "the job has run")
    assert "using GPU 0" in (place.folder / "train.log").read_text()


@recipe("Leaving the terminal")
def test_task_spooler(place):
    env = place.env(TS_SOCKET=place.folder / "tsp", TMPDIR=place.folder)
    try:
        place.run(place.commands[1], env=env)
        wait_until(lambda: len(place.log()) == 20, "the sweep has run")
        place.was_a_sweep(20)
    finally:
        place.run("tsp -K", env=env)


@recipe("Leaving the terminal")
def test_pueue(place):
    place.program("pueue", 'case $1 in add) shift 2; exec sh -c "$*" ;; *) echo "$*" >>told ;; esac')
    place.run(place.commands[2])  # where there is none; it hands its words to a shell as well
    assert (place.folder / "told").read_text() == "parallel 4\n"
    assert sorted(int(seed) for seed, _ in place.log()) == list(range(1, 21))


@recipe("A time limit")
def test_time_limits(place):
    [command] = place.commands
    place.run(command)
    assert place.log() == [("1", "0")]
    place.program("python", "trap : TERM; while :; do sleep 0.01; done")  # which SIGTERM does not end
    place.run(command.replace("1m 8h", "0.1 0.1").rstrip() + " || exit $?", status=137)
    wait_until(lambda: not place.claims(), "the job has been killed, and its GPU is free")
    place.box.hold("-n", 2)
    place.run(command.replace("--timeout 2h", "--timeout 0"), status=124)


@recipe("Several small jobs in one claim")
def test_several_jobs_in_one_claim(place):
    place.program("python", 'echo "$3 $CUDA_VISIBLE_DEVICES" >>"$CARDS/done"')
    place.run(place.commands[0])
    assert sorted(place.log(), key=lambda entry: int(entry[0])) == [(str(seed), "0") for seed in range(1, 21)]
    place.run(place.commands[1])
    assert place.log()[20:] == [("1", "0"), ("2", "0")]


@recipe("Several small jobs in one claim")
def test_parts_of_one_claim(make_box, tmp_path):
    place = Place(make_box(cards=4), tmp_path, "Several small jobs in one claim")
    place.run(place.commands[2])
    assert sorted(int(seed) for seed, _ in place.log()) == list(range(1, 21))
    assert {card for _, card in place.log()} == {"0", "1", "2", "3"}


@recipe("A note when a job starts or ends")
def test_notes(place):
    place.program("notify-send", 'echo "$1, $CUDA_VISIBLE_DEVICES" >>notes')
    place.program("mail", 'echo "to $3: $(cat)" >>notes')
    place.run(place.commands[0])
    assert place.log() == [("1", "0")]
    place.program("python", "exit 7")
    place.run("set +e\n" + place.commands[1], env=place.env(USER="alice"))
    assert (place.folder / "notes").read_text().splitlines() == [
        "train.py has a GPU, 0", "to alice: train.py has ended with exit code 7"]


@recipe("Once more after a failure")
@pytest.mark.parametrize("which", [0, 1])
def test_retries(place, which):
    place.program("python", 'echo tried >>tries; [ "$(wc -l <tries)" -ge 3 ]')
    place.run(place.commands[which])
    assert (place.folder / "tries").read_text() == "tried\n" * 3


@recipe("At night")
def test_a_job_at_night(place):
    place.program("at", 'echo "$1" >hour; exec sh')  # which would wait until then
    place.run(place.commands[0])
    assert (place.folder / "hour").read_text() == "22:00\n" and place.log() == [("1", "0")]


@recipe("At night")
def test_a_sweep_at_night(place):
    sweep = place.commands[1].replace("seq 500", "seq 20")
    place.program("date", 'echo "$((22 + $(ls done.* 2>/dev/null | wc -l)))" | sed "s/2[4-9]/03/; s/3./08/"')
    place.run(sweep, status=124)
    first = len(place.log())
    assert 8 <= first < 20, "from 7:00 on no job starts"
    place.program("date", "echo 23")
    place.run(sweep)
    place.was_a_sweep(20)


@recipe("Sharing a GPU")
def test_a_server_and_a_notebook(place):
    (place.folder / "torch.py").write_text(textwrap.dedent("""
        import os, pathlib, time
        class cuda:
            def set_per_process_memory_fraction(fraction):
                pathlib.Path("serves.new").write_text(f"{fraction} of {os.environ['CUDA_VISIBLE_DEVICES']}")
                os.rename("serves.new", "serves")
                while not os.path.exists("seen"):
                    time.sleep(0.02)
        """))
    place.program("jupyter", "gpu-gate status >seen.new; mv seen.new seen")
    server = Process(["bash", "-c", place.commands[0]], place.env(), harness.ROOT, cwd=place.folder)
    wait_until((place.folder / "serves").exists, "the server runs")
    place.run(place.commands[1])
    server.finish()
    assert (place.folder / "serves").read_text() == "0.355 of 0"
    first = (place.folder / "seen").read_text().split("\n    1 ")[0]  # of the GPUs
    assert re.search("root: .*serve.py .*shares 16384 MiB", first) and re.search("root: .*jupyter lab .*shares 8192 MiB", first)


@recipe("Sharing a GPU")
def test_jax_has_its_part(place):
    place.program("python", 'echo "$XLA_PYTHON_CLIENT_MEM_FRACTION of $CUDA_VISIBLE_DEVICES, $*" >got')
    place.run(place.commands[2])
    assert (place.folder / "got").read_text() == "0.177 of 0, train.py --seed 1\n"


@recipe("Sharing a GPU")
def test_a_polite_sweep(place):
    # Five shares fit on each of the two GPUs: ten jobs are to be there at once, and never a sixth on one.
    (place.folder / "train.py").write_text(textwrap.dedent("""
        import fcntl, os, sys, time
        card = os.environ["CUDA_VISIBLE_DEVICES"]
        for slot in range(5):
            lock = open(f"{os.environ['CARDS']}/card{card}.{slot}", "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                assert slot < 4, "there are more jobs than shares on this GPU"
        open(f"{os.environ['CARDS']}/started{sys.argv[2]}", "w").close()
        while sum(name.startswith("started") for name in os.listdir(os.environ["CARDS"])) < 10:
            time.sleep(0.02)
        with open(os.environ["CARDS"] + "/done", "a") as log:
            log.write(f"{sys.argv[2]} {card}\\n")
        """))
    place.run(place.commands[3])
    place.was_a_sweep(20)


@recipe("torchrun, accelerate, DeepSpeed")
def test_launchers(place):
    for name in ("torchrun", "accelerate", "deepspeed"):
        place.program(name, 'printf "%s\\n" "$0" "$@" >>got')  # where there are none
    for command in place.commands:
        place.run(command)
    got = (place.folder / "got").read_text().replace(f"{place.bin}/", "").split()
    assert got == ["torchrun", "--standalone", "--nproc-per-node", "gpu", "train.py",
                   "accelerate", "launch", "--gpu_ids", "all", "--num_processes", "2", "--main_process_port", "0",
                   "train.py",
                   "deepspeed", "--include", "localhost:0,1", "--master_port", "29500", "train.py"]


@recipe("GNU parallel")
def test_parallel(place):
    place.run(place.commands[0])
    place.was_a_sweep(20)
    assert len((place.folder / "sweep.log").read_text().splitlines()) == 21


@recipe("tmux")
def test_tmux(place):
    place.run(place.commands[0])
    wait_until(place.log, "the job in tmux has run")
    wait_until(lambda: place.run("tmux list-sessions 2>&1 || true").count("train:") == 0, "its session has ended")


# A session of systemd, with a journal, in namespaces and a control group of its own: runs the commands
# from its standard input, and ends with that.
SESSION = """
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/system /run/cgroup
mount -t cgroup2 cgroup2 /run/cgroup
export own=/run/cgroup/gpu-gate-test-$$
mkdir $own
trap 'find $own -depth -type d -exec rmdir {} +' EXIT
sh -c 'echo 0 >$own/cgroup.procs; exec unshare --mount --cgroup --pid --fork --mount-proc sh -ec "$0"' '
  mount --bind $own /sys/fs/cgroup
  service=/sys/fs/cgroup/user.slice/user-0.slice/user@0.service  # so that the journal knows whose it is
  mkdir -p $service
  /lib/systemd/systemd-journald &
  until [ -S /run/systemd/journal/stdout ]; do kill -0 $!; sleep 0.05; done
  sh -c "echo 0 >$service/cgroup.procs; exec /lib/systemd/systemd --user" &
  until systemctl --user --quiet is-active basic.target 2>/dev/null; do kill -0 $!; sleep 0.05; done
  exec sh'
"""


@recipe("systemd")
@needs_mounts
def test_systemd(place):
    [commands] = place.commands
    session = Process(["unshare", "--mount", "sh", "-ec", SESSION], place.env(), harness.ROOT, cwd=place.folder,
                      stdin=subprocess.PIPE, start_new_session=True)
    try:
        session.popen.stdin.write(f"{commands.strip()} &\n".encode())  # the last one follows the journal
        session.popen.stdin.flush()
        session.wait_for("gpu-gate: using GPU 0", stdout=True)
        wait_until(place.log, "the job has run")
    finally:
        session.popen.stdin.close()
        session.wait()


@recipe("Make")
def test_make(place):
    place.run(place.commands[0])
    place.was_a_sweep(20)
    assert len(list(place.folder.glob("model-*.pt"))) == 20
    assert "Nothing to be done" in place.run(place.commands[0])


@pytest.fixture(scope="session")
def venv():
    """What the recipes use from PyPI, installed once."""
    wanted = SOURCE / "tests" / "packaging" / "requirements.txt"
    folder = harness.BUILD / f"recipes-{hashlib.sha256(wanted.read_bytes()).hexdigest()[:8]}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([folder / "bin/pip", "install", "--quiet", "--disable-pip-version-check", "-r", wanted],
                       check=True)
        (folder / "complete").touch()
    return folder


@recipe("Snakemake")
def test_snakemake(place, venv):
    place.run(place.commands[0], env=place.env(PATH=f"{place.bin}:{venv}/bin:/usr/bin:/bin"))
    place.was_a_sweep(20)


@recipe("pytest")
def test_pytest_with_a_gpu_for_each_worker(make_box, tmp_path, venv):
    place = Place(make_box(cards=4), tmp_path, "pytest")
    (place.folder / "test_job.py").write_text(textwrap.dedent("""
        import os, subprocess, pytest
        @pytest.mark.parametrize("seed", range(1, 21))
        def test_job(seed, worker_id):
            subprocess.run(["python", "train.py", "--seed", str(seed)], check=True)
            with open(os.environ["CARDS"] + "/workers", "a") as log:
                log.write(worker_id + " " + os.environ["CUDA_VISIBLE_DEVICES"] + "\\n")
        """))
    assert "20 passed" in place.run(place.commands[0], env=place.env(PATH=f"{place.bin}:{venv}/bin:/usr/bin:/bin"))
    assert sorted(int(seed) for seed, _ in place.log()) == list(range(1, 21))
    workers = set((place.folder / "cards/workers").read_text().splitlines())
    assert len(workers) == 4 and len({line.split()[1] for line in workers}) == 4, "each worker keeps its GPU"
    assert not place.claims()


KERNEL = """
import signal
from jupyter_client.manager import KernelManager
kernel = KernelManager(kernel_name="gpu")
kernel.start_kernel()
client = kernel.client()
client.start_channels()
client.wait_for_ready(timeout=60)

def answer(code, hook=lambda: None):
    request, texts = client.execute(code), []
    while True:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != request:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            texts.append(content["text"])
            hook()
        elif kind == "error":
            texts.append(content["ename"])
        elif kind == "status" and content["execution_state"] == "idle":
            return "".join(texts).strip()

print("visible", answer("import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"))
print("interrupted", answer("import time; print('begun', flush=True); time.sleep(60)", kernel.interrupt_kernel))
print(answer("import subprocess; print(subprocess.run(['gpu-gate', 'status'], capture_output=True, text=True).stdout)"))
kernel.shutdown_kernel()
"""


@recipe("Jupyter")
def test_jupyter(place, venv):
    env = place.env(PATH=f"{place.bin}:{venv}/bin:/usr/bin:/bin")
    place.run(place.commands[0], env=env)
    shown = place.run(f"{venv}/bin/python3 -c {shlex.quote(KERNEL)}", env=env)
    assert "visible 0\n" in shown and "interrupted begun\nKeyboardInterrupt" in shown
    assert "root: python3 -m ipykernel_launcher" in shown
    assert not place.claims()


@recipe("Containers")
def test_containers(place):
    for name in ("docker", "podman"):
        place.program(name, 'printf "%s\\n" "$0" "$@" >>got')  # where there are no containers
    for command in place.commands:
        place.run(command)
    got = (place.folder / "got").read_text().replace(f"{place.bin}/", "").split()
    assert got == ["docker", "run", "--rm", "--gpus", f'"device={harness.uuid(0)}"', "IMAGE", "python", "train.py",
                   "podman", "run", "--rm", "--device", "nvidia.com/gpu=0", "IMAGE", "python", "train.py"]


@recipe("Runners of GitHub and GitLab")
def test_runners(place):
    import yaml
    github = yaml.safe_load(place.files[".github/workflows/gpu.yml"])
    [step] = [step for step in github["jobs"]["test"]["steps"] if "run" in step]
    (place.folder / "step").write_text(step["run"])
    place.run(step["shell"].replace("{0}", "step"))  # as the runner does
    gitlab = yaml.safe_load(place.files[".gitlab-ci.yml"])
    place.run("\n".join(gitlab["test"]["script"]))
    assert place.log() == [("1", "0"), ("1", "0")]


@recipe("Prometheus and Grafana")
def test_metrics_for_prometheus(place):
    page = place.folder / "gpu-gate.prom"

    def collect(status=0, **env):
        place.run("umask 077; sh gpu-gate-metrics .", status=status, env=place.env(**env))
        assert not list(place.folder.glob("*.new")), "node_exporter sees no half of a page"

    collect()
    assert "gpu_gate_gpu_healthy{" in page.read_text()
    assert page.stat().st_mode & 0o777 == 0o644, "node_exporter may read it"
    place.box.hold("--only", 0)
    collect(GPU_GATE_NVML="/nonexistent")
    assert page.read_text().count("\ngpu_gate_gpu_claimed{") == 1 and "healthy" not in page.read_text()
    collect(status=1, GPU_GATE_LOCK_DIR="relative")
    assert not page.exists(), "no old numbers are left where nothing is known"

    program = "/usr/local/bin/gpu-gate-metrics"
    units = [name for name in place.files if "." in name]
    for name in units:
        text = place.files[name]
        (place.folder / name).write_text(text.replace(program, str(place.folder / "gpu-gate-metrics")))
    (place.folder / "gpu-gate-metrics").chmod(0o755)
    place.run(f"systemd-analyze verify {' '.join('./' + name for name in units)}")
    place.program("sudo", 'echo "$@"')
    assert place.run(place.commands[0]).splitlines() == [
        "install -m 755 gpu-gate-metrics /usr/local/bin/",
        f"install -m 644 {' '.join(units)} /etc/systemd/system/", f"systemctl enable --now {units[1]}"]
