"""The Debian package: its content, and its life on a bare system with two users."""

import contextlib
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import tarfile
import tempfile

import pytest

import harness
from conftest import SOURCE
from harness import Process, User

FILES = {
    "/usr/bin/gpu-gate",
    "/usr/lib/tmpfiles.d/gpu-gate.conf",
    "/usr/share/bash-completion/completions/gpu-gate",
    "/usr/share/doc/gpu-gate/changelog.gz",
    "/usr/share/doc/gpu-gate/copyright",
    "/usr/share/fish/vendor_completions.d/gpu-gate.fish",
    "/usr/share/man/man1/gpu-gate.1.gz",
    "/usr/share/zsh/vendor-completions/_gpu-gate",
}


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, text=True, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}"
    return done.stdout


def make_package(build, folder, **options):
    options = {"umask": 0o022} | options  # as ./dev package; cpack writes it into the package
    run("cpack", "-G", "DEB", "--config", build / "CPackConfig.cmake", "-B", folder, cwd=build, **options)
    [package] = folder.glob("*.deb")
    return package


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    return make_package(harness.BUILD, tmp_path_factory.mktemp("package"))


def test_it_holds_these_files(package):
    listed = run("dpkg-deb", "--contents", package).splitlines()
    files = {line.split()[-1][1:]: line for line in listed if not line.startswith("d")}
    assert set(files) == FILES
    assert all(line.split()[1] == "root/root" for line in listed)
    executable = {name for name, line in files.items() if "x" in line.split()[0]}
    assert executable == {"/usr/bin/gpu-gate"}


def test_the_umask_does_not_reach_its_folders(tmp_path):
    listed = run("dpkg-deb", "--contents", make_package(harness.BUILD, tmp_path, umask=0o077)).splitlines()
    assert {line.split()[0] for line in listed if line.startswith("d")} == {"drwxr-xr-x"}


def test_lintian_has_neither_an_error_nor_a_warning(package):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", package],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_changelog_is_that_of_the_project(package, tmp_path):
    run("dpkg-deb", "--extract", package, tmp_path)
    changelog = run("zcat", tmp_path / "usr/share/doc/gpu-gate/changelog.gz")
    version = run("dpkg-deb", "--field", package, "Version").strip()
    assert changelog.startswith(f"gpu-gate ({version}) ")
    items = re.findall(r"^- ", (SOURCE / "CHANGELOG.md").read_text(), re.M)
    assert len(re.findall(r"^  \* ", changelog, re.M)) == len(items)


def test_a_second_build_in_another_folder_is_the_same_bit_for_bit(package, tmp_path):
    source = tmp_path / "elsewhere" / "source"
    left_out = shutil.ignore_patterns("build", "dist", ".git", "__pycache__", ".*cache", "third_party")
    shutil.copytree(SOURCE, source, ignore=left_out)
    date = re.search(r"\d+", (harness.BUILD / "cpack_date.cmake").read_text())[0]
    cache = (harness.BUILD / "CMakeCache.txt").read_text()
    [compiler] = re.findall(r"^CMAKE_CXX_COMPILER:.*?=(.*)", cache, re.M)
    commit = re.search(r"\((.*?),", run(harness.BUILD / "gpu-gate", "--version"))[1]  # the copy has no .git
    elsewhere = {**os.environ, "SOURCE_DATE_EPOCH": date, "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(tmp_path),
                 "CCACHE_DISABLE": "1"}
    build = tmp_path / "build"
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DGPU_GATE_SIM=OFF",
        f"-DCMAKE_CXX_COMPILER={compiler}", f"-DGPU_GATE_COMMIT={commit}", env=elsewhere)
    run("ninja", "-C", build, env=elsewhere)
    second = make_package(build, tmp_path / "package", env=elsewhere)
    assert second.name == package.name
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (package, second)]
    assert digests[0] == digests[1], run("dpkg-deb", "--contents", second)


def bare_system():
    """A bare system of this distribution's release, as an archive: made once."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    archive = harness.BUILD / f"bare-{release}.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory(dir=harness.BUILD) as folder:
            root = pathlib.Path(folder) / "root"
            run("debootstrap", "--variant=minbase", release, root)
            shutil.rmtree(root / "var/cache/apt")
            run("tar", "--create", "--file", archive.with_suffix(".new"), "--directory", root, "--one-file-system", ".")
        archive.with_suffix(".new").rename(archive)
    return archive


class Root:
    """That system, with a simulated GPU and two users. Its own mounts end with this object."""

    def __init__(self, folder):
        self.folder = folder / "root"
        self.folder.mkdir()
        run("tar", "--extract", "--file", bare_system(), "--directory", self.folder)
        self.processes = []
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
        for name in ("alice", "bob"):
            self.run("useradd", "--create-home", name)

    def words(self, user, words):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "chroot", f"--userspec={user}:{user}",
                self.folder, *words]

    ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/", "DEBIAN_FRONTEND": "noninteractive",
           "GPU_GATE_NVML": "/opt/simulation/libnvidia-ml.so.1", "GPU_SIM_MACHINE": "/opt/simulation/machine.txt"}

    def run(self, *words, user="root"):
        return run(*self.words(user, words), env=self.ENV)

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


@pytest.fixture
def root(tmp_path):
    tmp_path.chmod(0o755)
    made = Root(tmp_path)
    yield made
    made.close()
    shutil.rmtree(made.folder)


def test_installed_used_by_two_users_upgraded_removed(root, package):
    shutil.copy(package, root.folder / "opt/gpu-gate.deb")
    before = root.files()
    root.run("dpkg", "--install", "/opt/gpu-gate.deb")
    folders = {"/usr/share/bash-completion", "/usr/share/fish", "/usr/share/zsh", "/usr/share/doc/gpu-gate"}
    fresh = {path for path in root.files() - before if not any(path.startswith(folder) for folder in folders)}
    assert {path for path in FILES if not any(path.startswith(folder) for folder in folders)} <= fresh
    assert root.run("stat", "--format=%a %U", "/run/gpu-gate") == "1777 root\n"

    job = ["gpu-gate", "run", "--", "sh", "-c", "echo has $CUDA_VISIBLE_DEVICES; exec tail -f /dev/null"]
    alice = root.start(*job, user="alice")
    alice.wait_for("^has 0$", stdout=True)
    bob = root.start(*job, user="bob")
    bob.wait_for(r"GPU 0: .*alice")
    assert "alice" in root.run("gpu-gate", "status", user="bob")

    root.run("dpkg", "--install", "/opt/gpu-gate.deb")  # as an upgrade does, while it is used
    assert alice.alive() and bob.alive() and not bob.out
    alice.kill()
    bob.wait_for("^has 0$", stdout=True)

    root.run("dpkg", "--remove", "gpu-gate")
    assert bob.alive() and root.run("ls", "/run/gpu-gate")  # the claim of a running job
    root.run("dpkg", "--purge", "gpu-gate")
    assert root.files() == before
    assert "gpu-gate" not in root.run("dpkg-query", "--list")


def test_where_systemd_runs_it_makes_the_lock_directory(root, package):
    stand_in = root.folder / "usr/bin/systemd-tmpfiles"
    stand_in.write_text('#!/bin/sh\necho "$@" >>/opt/called\n')
    stand_in.chmod(0o755)
    root.run("mkdir", "-p", "/run/systemd/system")
    shutil.copy(package, root.folder / "opt/gpu-gate.deb")
    root.run("dpkg", "--install", "/opt/gpu-gate.deb")
    assert (root.folder / "opt/called").read_text() == "--create gpu-gate.conf\n"


def test_systemd_tmpfiles_understands_the_snippet(tmp_path):
    (tmp_path / "run").mkdir()
    run("systemd-tmpfiles", "--create", f"--root={tmp_path}", SOURCE / "packaging/debian/tmpfiles.conf")
    made = (tmp_path / "run/gpu-gate").stat()
    assert (made.st_mode & 0o7777, made.st_uid) == (0o1777, 0)
