"""The completions, in the shells themselves."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import harness
from conftest import VERBS, help_options

COMPLETIONS = harness.BUILD / "reference_files"


class Terminal:
    """A shell in a terminal. A key of its own makes it print what its line holds, so that a completion
    is known to be over."""

    SETTINGS = {"TERM": "dumb", "LC_ALL": "C.UTF-8", "HOME": "/nonexistent"}

    def __init__(self, words, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, {**env, **self.SETTINGS})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 160, 0, 0))
        self.read_to("ready> ")

    def read_to(self, pattern):
        text, end = "", time.monotonic() + harness.LIMIT
        while not re.search(pattern, text):
            assert select.select([self.fd], [], [], max(0, end - time.monotonic()))[0], f"only {text!r}"
            text += os.read(self.fd, 65536).decode(errors="replace")
        return text

    def complete(self, line):
        """Writes a line and presses Tab: returns the line then, and what was listed."""
        os.write(self.fd, line.encode() + b"\t\x18d")
        text = self.read_to(r"<<.*>>[^<]*ready> ")
        assert "gpu-gate: " not in text, "an error of gpu-gate is none of a completion's"
        after = re.search(r"<<(.*)>>", text)[1]
        os.write(self.fd, b"\x15\x18d")
        self.read_to(r"<<>>[^<]*ready> ")
        listed = text[:text.index("<<")].split("\n", 1)
        return after, listed[1] if len(listed) > 1 else ""

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


class Bash(Terminal):
    def __init__(self, env, folder):
        rc = folder / "bashrc"
        rc.write_text(f"""
            source /usr/share/bash-completion/bash_completion
            source {COMPLETIONS}/gpu-gate.bash
            bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'
            bind 'set bell-style none'; bind 'set page-completions off'; bind 'set completion-query-items 0'
            bind -x '"\\C-xd": echo "<<$READLINE_LINE>>"'
            PS1='ready> '
            """)
        super().__init__(["bash", "--rcfile", str(rc), "-i"], env)


class Zsh(Terminal):
    def __init__(self, env, folder):
        (folder / ".zshrc").write_text(f"""
            fpath=({COMPLETIONS} $fpath)
            autoload -U compinit; compinit -u -D
            setopt no_beep no_auto_menu; unset zle_bracketed_paste
            LISTMAX=10000
            show() {{ zle -I; print -r -- "<<$BUFFER>>" }}
            zle -N show; bindkey -e; bindkey '^Xd' show
            PS1='ready> '
            """)
        super().__init__(["zsh", "-d", "-i"], {**env, "ZDOTDIR": str(folder)})


class Fish:
    """Its completions can be asked for without a terminal."""

    def __init__(self, env, folder):
        self.env = {**env, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}

    def complete(self, line):
        done = subprocess.run(["fish", "-c", f"source {COMPLETIONS}/gpu-gate.fish; complete -C '{line}'"],
                              capture_output=True, text=True, env=self.env, check=True)
        assert done.stderr == ""
        found = done.stdout.splitlines()
        before, _, last = line.rpartition(" ")
        return (f"{before} " + found[0].split("\t")[0] if len(found) == 1 else line), "\n".join(found)

    def close(self):
        pass


@pytest.fixture(params=[Bash, Zsh, Fish], ids=["bash", "zsh", "fish"])
def shell(request, make_box, tmp_path):
    box = make_box(cards=3)
    box.set(1, name='"NVIDIA [odd]: \'T4\' $(touch /tmp/no)"')
    env = box.env(PATH=f"{harness.BIN}:/usr/bin:/bin")
    shells = []

    def start(**more):
        shells.append(request.param(env | more, tmp_path))
        return shells[-1]

    yield start
    for each in shells:
        each.close()


def words_in(listed):
    return set(re.findall(r"(?<!\S)[\w-]*[a-z0-9][\w,-]*(?!\S)", listed))


def test_every_subcommand_is_offered(shell):
    _, listed = shell().complete("gpu-gate ")
    assert words_in(listed) >= {*VERBS, "help"}
    assert set(VERBS) <= words_in(shell().complete("gpu-gate help ")[1])


def test_the_options_are_those_of_the_help(shell):
    terminal = shell()
    for verb in VERBS:
        options = help_options(verb)
        known = set(options) | {short for short, _, _ in options.values() if short} | {"-h"}
        _, listed = terminal.complete(f"gpu-gate {verb} -")
        assert {word for word in words_in(listed) if word.startswith("-")} == known, verb


def test_gpus_are_offered_by_index_with_their_names(shell):
    terminal = shell()
    for line in ("gpu-gate run --only ", "gpu-gate hold --exclude ", "gpu-gate wait --only="):
        after, listed = terminal.complete(line)
        assert re.search(r"\b0\b", listed) and re.search(r"\b2\b", listed) and "NVIDIA L40S" in listed, line
        assert "NVIDIA odd T4 (touch /tmp/no)" in listed  # what a shell could take for its own is left out
    assert terminal.complete("gpu-gate run --only 1")[0].rstrip(", ") == "gpu-gate run --only 1"
    _, listed = terminal.complete("gpu-gate run --only 0,")
    assert re.search(r"\b2\b", listed) and "NVIDIA" in listed


def test_nothing_is_said_where_there_is_no_gpu(shell):
    line = "gpu-gate run --only "
    after, listed = shell(GPU_GATE_NVML="/nonexistent").complete(line)
    assert after == line and not words_in(listed)


def test_values_that_are_words(shell):
    terminal = shell()
    assert terminal.complete("gpu-gate wait --ids u")[0].rstrip() == "gpu-gate wait --ids uuid"
    assert words_in(terminal.complete(f"gpu-gate hold --pid {os.getpid()}")[0]) >= {str(os.getpid())}


def test_behind_the_dashes_the_command_completes_as_itself(shell):
    terminal = shell()
    assert "gpu-gate run -- dpkg-architecture".startswith(terminal.complete("gpu-gate run -- dpkg-archit")[0].rstrip())
    assert terminal.complete("gpu-gate run -q -- cat /etc/os-rel")[0].rstrip() == "gpu-gate run -q -- cat /etc/os-release"
    # git's own completion, not ours, though the word looks like one of our options.
    assert "--quiet" not in terminal.complete("gpu-gate run -- cat --qui")[0]
    assert terminal.complete("gpu-gate wait -- cat /etc/os-rel")[0] == "gpu-gate wait -- cat /etc/os-rel"


def test_bash_completes_a_command_without_the_package_bash_completion(make_box):
    script = f"""
        source {COMPLETIONS}/gpu-gate.bash
        COMP_WORDS=(gpu-gate run -- dpkg-archit); COMP_CWORD=3
        _gpu_gate gpu-gate dpkg-archit --; echo "${{COMPREPLY[@]}}" """
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    assert set(done.stdout.split()) == {"dpkg-architecture"} and done.stderr == ""
