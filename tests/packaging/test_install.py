"""What `cmake --install` puts where."""

import os
import re
import shutil
import subprocess

import pytest

import harness
from conftest import SOURCE

FILES = {
    "bin/gpu-gate": 0o755,
    "share/bash-completion/completions/gpu-gate": 0o644,
    "share/fish/vendor_completions.d/gpu-gate.fish": 0o644,
    "share/man/man1/gpu-gate.1": 0o644,
    "share/zsh/site-functions/_gpu-gate": 0o644,
}


def files_in(folder):
    return {str(path.relative_to(folder)): path.stat().st_mode & 0o7777
            for path in folder.rglob("*") if path.is_file()}


def install(*words, **env):
    subprocess.run(["cmake", "--install", harness.BUILD, *words], check=True, capture_output=True,
                   env={**os.environ, **env}, preexec_fn=lambda: os.umask(0o077))


def test_prefix(tmp_path):
    install("--prefix", tmp_path)
    assert files_in(tmp_path) == FILES
    done = subprocess.run([tmp_path / "bin/gpu-gate", "--version"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("gpu-gate ")


def test_it_is_uninstalled_as_readme_says(tmp_path):
    install("--prefix", tmp_path)
    [line] = re.findall(r"^    (xargs .*install_manifest.txt)", (SOURCE / "README.md").read_text(), re.M)
    subprocess.run(["sh", "-ec", line.replace("build/", f"{harness.BUILD}/")], check=True)
    assert files_in(tmp_path) == {}


def test_destdir(tmp_path):
    install("--prefix", "/opt/gate", DESTDIR=str(tmp_path))
    assert files_in(tmp_path / "opt/gate") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["opt"]


def folder_of_programs(folder, *hidden):
    """A folder with links to the system's programs, without these."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin"):
        for name in set(os.listdir(place)) - set(hidden):
            if not (folder / name).exists():
                (folder / name).symlink_to(f"{place}/{name}")
    return folder


PACKAGER = {"CXXFLAGS": "-O3 -D_FORTIFY_SOURCE=1 -fno-stack-protector -fcf-protection=none",
            "LDFLAGS": "-Wl,-z,lazy"}


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    """A build folder as a packager makes it, on a machine without scdoc: (the folder, what CMake said)."""
    folder = tmp_path_factory.mktemp("configured")
    programs = folder_of_programs(folder / "bin", "scdoc", "scdoc.exe")
    hide = "-DCMAKE_IGNORE_PATH=/usr/bin;/bin;/usr/local/bin;/usr/sbin;/sbin"
    done = subprocess.run(["cmake", "-G", "Ninja", "-S", SOURCE, "-B", folder / "build", "-DGPU_GATE_SIM=OFF",
                           hide, f"-DCMAKE_PROGRAM_PATH={programs}", "-DCMAKE_BUILD_TYPE=None",
                           "-DCMAKE_CXX_COMPILER_LAUNCHER=env", "-DCMAKE_INSTALL_BINDIR=games",
                           "-DCMAKE_INSTALL_DATADIR=data"],
                          capture_output=True, text=True,
                          env={"PATH": str(programs), "HOME": "/nonexistent", **PACKAGER})
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "build", done.stdout


def test_without_scdoc_the_man_page_is_left_out_and_that_is_said(configured):
    build, said = configured
    assert "no man page" in said
    assert "gpu-gate.1" not in (build / "cmake_install.cmake").read_text()


def test_the_flags_and_folders_that_a_packager_gives_stand(configured):
    build, _ = configured
    rules = (build / "build.ninja").read_text()
    [compiled] = re.findall(r"^build CMakeFiles/gpu-gate.dir/src/main.cpp.o: .*\n(?:  .*\n)*?  FLAGS = (.*)", rules, re.M)
    words = compiled.split()
    assert [word for word in words if word.startswith("-O")] == ["-O3"]
    for about in ("FORTIFY_SOURCE", "stack-protector", "cf-protection"):
        assert [word for word in words if about in word] == [word for word in PACKAGER["CXXFLAGS"].split() if about in word]
    assert "-D_GLIBCXX_ASSERTIONS" in words and "-fstack-clash-protection" in words, "of which the packager says nothing"
    [linked] = re.findall(r"^build gpu-gate: .*\n(?:  .*\n)*?  LINK_FLAGS = (.*)", rules, re.M)
    assert "-z,lazy" in linked and "-z,now" not in linked and "-z,relro" in linked
    assert "ccache" not in rules, "another launcher is given"
    installs = (build / "cmake_install.cmake").read_text()
    assert "{CMAKE_INSTALL_PREFIX}/games" in installs and "{CMAKE_INSTALL_PREFIX}/data/zsh" in installs


@pytest.fixture
def checkout(tmp_path):
    """./dev alone, with a cmake and a ninja that write down how they are called: checkout(programs to hide, words)
    is what a user without root is told."""
    shutil.copy(SOURCE / "dev", tmp_path)
    (tmp_path / "home").mkdir()

    def call(hidden, *words, status=0, **stand_ins):
        shutil.rmtree(tmp_path / "bin", ignore_errors=True)
        stand_ins = {"cmake": 'echo "cmake $*" >>called', "ninja": "exit 0"} | stand_ins
        programs = folder_of_programs(tmp_path / "bin", "sudo", *stand_ins, *hidden)
        for name, script in stand_ins.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        for path in [tmp_path, *tmp_path.iterdir()]:
            os.chown(path, harness.ALICE.uid, harness.ALICE.gid)
        done = subprocess.run([tmp_path / "dev", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              stdin=subprocess.DEVNULL, env={"PATH": str(programs), "HOME": str(tmp_path / "home")},
                              cwd=tmp_path / "home", **harness.ALICE.options())
        assert done.returncode == status, done.stdout
        return done.stdout

    for parent in tmp_path.parents:  # those of pytest are root's
        if parent.stat().st_mode & 0o077 == 0:
            parent.chmod(0o711)
    return call


def test_dev_installs_without_root_and_without_dpkg_into_a_prefix(checkout, tmp_path):
    for prefix in (["--prefix", tmp_path / "home/.local"], ["--prefix=.local"]):
        told = checkout(["dpkg-query", "apt-get", "apt-cache", "scdoc"], "install", *prefix)
        assert f"installed: {tmp_path}/home/.local/bin/gpu-gate\n" in told and "man page" in told
        assert f'export PATH="{tmp_path}/home/.local/bin:$PATH"' in told
        calls = (tmp_path / "called").read_text().splitlines()
        assert calls[-2:] == ["cmake --preset release",
                              f"cmake --install {tmp_path}/build --prefix {tmp_path}/home/.local"]
    told = checkout(["dpkg-query", "apt-get", "apt-cache"], "install", status=1)
    assert "you may not write into /usr/local; without root: ./dev install --prefix ~/.local" in told


def test_dev_says_once_all_that_an_administrator_has_to_install(checkout):
    said = checkout(["c++"], "install", "--prefix", "x", status=1, **{"dpkg-query": "exit 1"})
    assert said == ("dev: please ask an administrator for: apt-get install g++ cmake ninja-build nlohmann-json3-dev "
                    "libfmt-dev libexpected-dev scdoc\n")
    no_dpkg = ["dpkg-query", "apt-get", "c++"]
    said = checkout(no_dpkg, "install", "--prefix", "x", status=1)
    assert said.count("\n") == 1 and "Fedora: gcc-c++ " in said and "Arch: gcc cmake ninja " in said


def test_dev_updates_the_lists_of_packages_once(checkout, tmp_path):
    checkout([], "check", sudo='[ "$1" != -n ] || shift; exec "$@"', ctest="exit 0",
             **{"dpkg-query": "exit 1", "apt-cache": "echo there is", "apt-get": 'echo "apt-get $*" >>called'})
    calls = [line for line in (tmp_path / "called").read_text().splitlines() if line.startswith("apt-get")]
    assert [line.endswith(" update") for line in calls] == [True, False, False, False, False]
    assert "g++ " not in calls[1] and " libgtest-dev " in calls[1], "what the build needs is here, by whatever way"
