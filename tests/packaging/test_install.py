"""What `cmake --install` puts where."""

import os
import shutil
import subprocess

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


def test_destdir(tmp_path):
    install("--prefix", "/opt/gate", DESTDIR=str(tmp_path))
    assert files_in(tmp_path / "opt/gate") == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["opt"]


def test_without_scdoc_the_man_page_is_left_out_and_that_is_said(tmp_path):
    folder = tmp_path / "bin"  # the system's programs without scdoc
    folder.mkdir()
    for place in ("/usr/bin", "/bin"):
        for name in set(os.listdir(place)) - {"scdoc", "scdoc.exe"}:
            if not (folder / name).exists():
                (folder / name).symlink_to(f"{place}/{name}")
    hide = "-DCMAKE_IGNORE_PATH=/usr/bin;/bin;/usr/local/bin;/usr/sbin;/sbin"
    done = subprocess.run(["cmake", "-G", "Ninja", "-S", SOURCE, "-B", tmp_path / "build", "-DGPU_GATE_SIM=OFF",
                           hide, f"-DCMAKE_PROGRAM_PATH={folder}"],
                          capture_output=True, text=True, env={"PATH": str(folder), "HOME": "/nonexistent"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no man page" in done.stdout
    assert "gpu-gate.1" not in (tmp_path / "build/cmake_install.cmake").read_text()
    shutil.rmtree(tmp_path / "build")
