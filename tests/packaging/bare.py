"""Bare systems of this distribution's release, to install into."""

import contextlib
import fcntl
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


def archive(*packages):
    """A bare system with these packages, as an archive: made once."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    file = harness.BUILD / ("-".join(["bare", release, *packages]) + ".tar")
    with open(file.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not file.exists():
            run("mmdebstrap", "--variant=minbase", "--format=tar", *[f"--include={package}" for package in packages],
                release, file.with_suffix(".new"))
            file.with_suffix(".new").rename(file)
    return file


class Root:
    """A bare system with a simulated GPU. Its own mounts end with this object or the test's process."""

    def __init__(self, folder, *packages):
        self.folder = folder
        self.folder.mkdir()
        self.processes = []
        run("tar", "--extract", "--file", archive(*packages), "--directory", self.folder)
        self.keeper = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c",
             'mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/run" && echo mounted && exec cat', self.folder],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"mounted\n"
        simulation = self.folder / "opt/simulation"
        shutil.copytree(harness.BIN / "current", simulation)
        simulation.chmod(0o755)
        (simulation / "machine.txt").write_text("gpu\n")
        (simulation / "machine.txt.state").mkdir()
        (simulation / "machine.txt.state").chmod(0o1777)

    def words(self, user, words):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "chroot", f"--userspec={user}:{user}",
                self.folder, *words]

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
        shutil.rmtree(self.folder)
