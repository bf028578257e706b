"""The Debian package: its content, and its life on a bare system with two users."""

import hashlib
import os
import re
import shutil
import subprocess

import pytest

import harness
from bare import run
from conftest import SOURCE

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
    commit = re.search(r"\((.*?),", run(harness.BUILD / "gpu-gate", "--version"))[1]
    (source / "COMMIT").write_text(commit)  # since the copy has no .git
    date = re.search(r"\d+", (harness.BUILD / "cpack_date.cmake").read_text())[0]
    cache = (harness.BUILD / "CMakeCache.txt").read_text()
    [compiler] = re.findall(r"^CMAKE_CXX_COMPILER:.*?=(.*)", cache, re.M)
    elsewhere = {**os.environ, "SOURCE_DATE_EPOCH": date, "TZ": "Asia/Tokyo", "LC_ALL": "C", "HOME": str(tmp_path),
                 "CCACHE_DISABLE": "1"}
    build = tmp_path / "build"
    run("cmake", "-G", "Ninja", "-S", source, "-B", build, "-DCMAKE_BUILD_TYPE=Release", "-DGPU_GATE_SIM=OFF",
        f"-DCMAKE_CXX_COMPILER={compiler}", env=elsewhere)
    run("ninja", "-C", build, env=elsewhere)
    second = make_package(build, tmp_path / "package", env=elsewhere)
    assert second.name == package.name
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (package, second)]
    assert digests[0] == digests[1], run("dpkg-deb", "--contents", second)


@pytest.fixture
def root(make_root):
    root = make_root()
    for name in ("alice", "bob"):
        root.run("useradd", "--create-home", name)
    return root


PARTS = ["1777 root .", "1777 root queue", "1777 root claims", "1666 root mutex"]


def parts(root):
    """Mode and owner of what the lock directory consists of."""
    return root.run("sh", "-c", "cd /run/gpu-gate; stat --format='%a %U %n' . queue claims mutex").splitlines()


def test_installed_used_by_two_users_upgraded_removed(root, package):
    shutil.copy(package, root.folder / "opt/gpu-gate.deb")
    before = root.files()
    root.run("dpkg", "--install", "/opt/gpu-gate.deb")
    folders = {"/usr/share/bash-completion", "/usr/share/fish", "/usr/share/zsh", "/usr/share/doc/gpu-gate"}
    fresh = {path for path in root.files() - before if not any(path.startswith(folder) for folder in folders)}
    assert {path for path in FILES if not any(path.startswith(folder) for folder in folders)} <= fresh
    assert parts(root) == PARTS

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
    assert re.search(r"alice +[0-9.]+ +1 ", root.run("gpu-gate", "history", user="bob"))

    root.run("dpkg", "--remove", "gpu-gate")
    assert root.run("stat", "--format=%a %U", "/var/lib/gpu-gate") == "1777 root\n"
    assert bob.alive() and root.run("ls", "/run/gpu-gate")  # the claim of a running job
    root.run("dpkg", "--purge", "gpu-gate")
    assert root.files() == before
    assert "gpu-gate" not in root.run("dpkg-query", "--list")


def test_an_upgrade_makes_root_the_owner_where_a_user_was_there_first(root, package):
    shutil.copy(package, root.folder / "opt/gpu-gate.deb")
    root.run("dpkg", "--install", "/opt/gpu-gate.deb")
    root.run("sh", "-c", "rm -r /run/gpu-gate/*")
    job = root.start("gpu-gate", "run", "--", "sh", "-c", "echo runs; exec tail -f /dev/null", user="alice")
    job.wait_for("^runs$", stdout=True)
    assert parts(root) == ["1777 root .", "1777 alice queue", "1777 alice claims", "1666 alice mutex"]
    root.run("dpkg", "--install", "/opt/gpu-gate.deb")
    assert parts(root) == PARTS
    assert "alice: tail" in root.run("gpu-gate", "status", user="bob")


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
    (tmp_path / "var/lib").mkdir(parents=True)
    run("systemd-tmpfiles", "--create", f"--root={tmp_path}", SOURCE / "packaging/debian/tmpfiles.conf")
    modes = {"": 0o1777, "queue": 0o1777, "claims": 0o1777, "mutex": 0o1666}
    for part, mode in modes.items():
        made = (tmp_path / "run/gpu-gate" / part).stat()
        assert (made.st_mode & 0o7777, made.st_uid) == (mode, 0), part
    made = (tmp_path / "var/lib/gpu-gate").stat()
    assert (made.st_mode & 0o7777, made.st_uid) == (0o1777, 0)


def test_readme_names_the_same_parts_as_the_snippet():
    snippet = re.findall(r"^[df] /run/.*", (SOURCE / "packaging/debian/tmpfiles.conf").read_text(), re.M)
    assert snippet == re.findall(r"^    ([df] /run/.*)", (SOURCE / "README.md").read_text(), re.M)
