"""Bare systems of this distribution's release, to install into."""

import contextlib
import fcntl
import os
import pathlib
import platform
import shutil
import subprocess

import harness
from harness import Process, User


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}"
    return done.stdout


def tree(*packages):
    """A bare system with these packages, in a folder that nobody writes to: made once."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    folder = harness.BUILD / "-".join(["bare", release, *packages])
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            fresh = f"{folder}.{os.getpid()}"
            run("mmdebstrap", "--variant=minbase", "--format=directory", *[f"--include={package}" for package in packages],
                release, fresh)
            os.rename(fresh, folder)
    return folder


# What is written goes to memory, and ends with the mounts. Where there is no overlay, all is copied there.
MOUNTS = """
mount -t tmpfs -o mode=755 tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o lowerdir="$0",upperdir=upper,workdir=work overlay root 2>/dev/null || cp -a "$0/." root
mount -t proc proc root/proc
mount -t tmpfs tmpfs root/run
echo mounted
exec cat
"""


class Root:
    """A bare system with a simulated GPU. Its own mounts end with this object or the test's process."""

    def __init__(self, folder, *packages):
        folder.mkdir()
        self.inside = folder / "root"  # for its own processes
        self.processes = []
        self.keeper = subprocess.Popen(["unshare", "--mount", "sh", "-ec", MOUNTS, tree(*packages), folder],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.folder = pathlib.Path(f"/proc/{self.keeper.pid}/root{self.inside}")  # for everybody
        assert self.keeper.stdout.readline() == b"mounted\n"
        simulation = self.folder / "opt/simulation"
        shutil.copytree(harness.BIN / "current", simulation)
        simulation.chmod(0o755)
        (simulation / "machine.txt").write_text("gpu\n")
        (simulation / "machine.txt.state").mkdir()
        (simulation / "machine.txt.state").chmod(0o1777)

    def words(self, user, words):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "chroot", f"--userspec={user}:{user}",
                self.inside, *words]

    ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "DEBIAN_FRONTEND": "noninteractive",
           "GPU_GATE_NVML": "/opt/simulation/libnvidia-ml.so.1", "GPU_SIM_MACHINE": "/opt/simulation/machine.txt"}

    def run(self, *words, user="root", **env):
        return run(*self.words(user, words), env={**self.ENV, **env})

    def start(self, *words, user):
        process = Process([str(word) for word in self.words(user, words)], self.ENV, User("root"))
        self.processes.append(process)
        return process

    def files(self):
        """Every path, but what dpkg notes down for itself and what comes with the boot."""
        found = self.run("find", "/", "-xdev", "-path", "/var/lib/dpkg", "-prune", "-o", "-path", "/var/log", "-prune",
                         "-o", "-path", "/tmp", "-prune", "-o", "-print")
        return set(found.splitlines())

    def close(self):
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        self.keeper.kill()
        self.keeper.wait()
