"""A real Slurm cluster on this machine: a controller and two nodes with four GPUs each, on the loopback interface.

The GPUs are device files without a driver behind them: Slurm counts them and names them to the jobs, and nothing else
of them is used. Each node has two of type l40s and two of type h100, with the indices 0 to 3 in this order. All of it
lives in one folder and ends with it; the machine's own Slurm, where it has one, is not touched.

    slurm.run("squeue")               a command of Slurm's, to its end: what it has printed
    slurm.env                         what a client needs in its environment: box.run(..., env=slurm.env)
    slurm.jobs()                      {17: ("RUNNING", "None")}
    slurm.stop("n1"), .start("n1")    a daemon: munge, controller, n1 or n2
"""

import contextlib
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from harness import state_of, wait_until

DAEMONS = ("munge", "controller", "n1", "n2")  # in the order in which they start
NODES = ("n1", "n2")
TYPES = ("l40s", "l40s", "h100", "h100")  # of the GPUs of a node
GPUS = [(node, index) for node in NODES for index in range(len(TYPES))]
PROGRAMS = ("munged", "slurmctld", "slurmd", "srun")

CONFIGURATION = """
ClusterName=lab
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/controller.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/controller.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=1,bf_interval=1
SlurmdParameters=config_overrides
SlurmdTimeout={slurmd_timeout}
KillWait=2
ReturnToService=2
MpiDefault=none
GresTypes=gpu
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs=16 RealMemory=4000 \
Gres=gpu:l40s:2,gpu:h100:2 State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=other Nodes=n2 MaxTime=60 State=UP
"""


def reason_against():
    """Why there can be no cluster here; "" where there can."""
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "Slurm's nodes start jobs as other users, so they need root"
    try:
        socket.gethostbyname(socket.gethostname())
    except OSError:
        return f"the name of this machine, {socket.gethostname()}, has no address: Slurm needs one (/etc/hosts)"
    return ""


def free_ports(count):
    """The first of so many ports in a row that nobody listens on."""
    while True:
        # Below those that the kernel gives to whoever asks for any.
        first = random.randrange(20000, 32000 - count)
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
                return first
            except OSError:
                pass


class Slurm:
    """The cluster; usable once it is made."""

    def __init__(self, slurmd_timeout=300):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="gpu-gate-slurm-", dir="/tmp"))
        self.folder.chmod(0o711)
        self.conf = self.folder / "slurm.conf"
        self.env = {"SLURM_CONF": str(self.conf)}
        try:
            self._write(slurmd_timeout)
            for daemon in DAEMONS:
                self.start(daemon)
            self.wait_until_up()
        except BaseException:
            self.close()
            raise

    def _write(self, slurmd_timeout):
        first = free_ports(3)
        self.conf.write_text(CONFIGURATION.format(folder=self.folder, port=first, first=first + 1, last=first + 2,
                                                  slurmd_timeout=slurmd_timeout).lstrip())
        (self.folder / "state").mkdir()
        devices = self.folder / "dev"
        devices.mkdir()
        gpus = []
        for node, index in GPUS:
            device = devices / f"{node}-{index}"
            try:
                os.mknod(device, 0o20666, os.makedev(195, index))
            except PermissionError:  # a container: only the kind of the file counts
                device.symlink_to("/dev/null")
            gpus.append(f"NodeName={node} Name=gpu Type={TYPES[index]} File={device}")
        (self.folder / "gres.conf").write_text("\n".join(gpus) + "\n")
        for node in NODES:
            (self.folder / node).mkdir()
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))

    # The daemons.

    def _words(self, daemon):
        if daemon == "munge":
            files = {"key-file": "munge.key", "socket": "munge.sock", "pid-file": "munge.pid", "log-file": "munge.log",
                     "seed-file": "munge.seed"}
            return ["munged", "--force", *(f"--{option}={self.folder / name}" for option, name in files.items())]
        if daemon == "controller":
            return ["slurmctld", "-f", self.conf]
        return ["slurmd", "-f", self.conf, "-N", daemon]

    def start(self, daemon):
        """Returns when it has gone to the background."""
        done = subprocess.run(self._words(daemon), env=self._environment(), capture_output=True, text=True, timeout=60,
                              umask=0o022)
        assert done.returncode == 0, f"{daemon}: {done.stderr}"
        wait_until(lambda: self.pid(daemon), f"{daemon} has written its pid")

    def pid(self, daemon):
        """None where it does not run."""
        with contextlib.suppress(FileNotFoundError, ValueError):
            pid = int((self.folder / f"{daemon}.pid").read_text())
            return pid if state_of(pid) not in ("", "Z") else None

    def stop(self, daemon, number=signal.SIGTERM):
        """Ends it; returns when it has ended."""
        pid = self.pid(daemon)
        if pid is None:
            return
        os.kill(pid, number)
        wait_until(lambda: state_of(pid) in ("", "Z"), f"{daemon} has ended")
        with contextlib.suppress(FileNotFoundError):  # of one that was killed
            (self.folder / f"{daemon}.pid").unlink()

    def wait_until_up(self):
        """Waits until the controller answers and has both nodes idle."""
        wait_until(lambda: self.try_run("sinfo", "-h", "-o", "%D %T") == "2 idle\n", f"both nodes are idle: {self.folder}")

    # Its commands.

    def _environment(self):
        return {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", **self.env}

    def try_run(self, *words):
        """What it has printed, or nothing where it failed."""
        done = subprocess.run(words, env=self._environment(), capture_output=True, text=True, timeout=60)
        return done.stdout if done.returncode == 0 else ""

    def run(self, *words):
        done = subprocess.run(words, env=self._environment(), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.returncode}, {done.stderr}"
        return done.stdout

    def jobs(self):
        """{17: ("RUNNING", "None")}: all that wait, run or end, with the reason why they wait."""
        lines = self.run("squeue", "-h", "-o", "%i %T %r").splitlines()
        return {int(job): (state, reason) for job, state, reason in (line.split(" ", 2) for line in lines)}

    def wait_for_job(self, state, reason=None):
        """Waits for a job in this state, and with this reason; returns its number."""
        def found():
            return [job for job, seen in self.jobs().items() if seen[0] == state and reason in (None, seen[1])]

        return wait_until(found, f"a job that is {state} ({reason})")[0]

    def wait_until_idle(self, limit=30):
        """Waits until no job is left and every GPU is free."""
        wait_until(lambda: not self.jobs(), "no job is left", limit)

    def reset(self):
        """As it was at the beginning: every daemon runs, no job is left, both nodes are idle."""
        for daemon in DAEMONS:
            if not self.pid(daemon):
                self.start(daemon)
        wait_until(lambda: self.try_run("scontrol", "ping"), "the controller answers")
        for state in ("PENDING", "RUNNING", "SUSPENDED"):
            self.try_run("scancel", "-Q", f"--state={state}")
        wait_until(lambda: self.try_run("squeue", "-h") == "", "no job is left")
        if self.try_run("sinfo", "-h", "-o", "%D %T") != "2 idle\n":
            self.try_run("scontrol", "update", "NodeName=n[1-2]", "State=RESUME")
            self.wait_until_up()

    def close(self):
        # The last one first: the controller learns of a node's end, and all need munge.
        for daemon in reversed(DAEMONS):
            pid = self.pid(daemon)
            with contextlib.suppress(AssertionError, ProcessLookupError):
                self.stop(daemon)
            if pid and state_of(pid) not in ("", "Z"):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="session")
def slurm_cluster():
    """One for all tests of the session, which take it by `slurm`."""
    reason = reason_against()
    if reason:
        pytest.skip(reason)
    with Slurm() as cluster:
        yield cluster


@pytest.fixture
def slurm(slurm_cluster):
    """The cluster, idle; whatever a test does to it is undone."""
    yield slurm_cluster
    slurm_cluster.reset()
