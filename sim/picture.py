#!/usr/bin/env python3
"""Draws docs/board.svg: what gpu-gate prints on a simulated box with four GPUs and four users.

The words in the picture are the built program's own, as a terminal shows them; users and jobs are real processes, in
namespaces of their own. `--check` makes them anew and compares: only times and pids may differ. Needs root; exit
status 77 where no mount may be made.
"""

import argparse
import fcntl
import html
import os
import pathlib
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs/board.svg"
COLUMNS = 116
SKIPPED = 77

USERS = {"alice": 4001, "bob": 4002, "carol": 4003, "dave": 4004}
# (the user, the words, what of each GPU it takes and how busy that is, how long it has run in the picture);
# no memory: it waits.
JOBS = [
    ("carol", ["python", "notebook.py"], (38400, 0), 9),
    ("alice", ["gpu-gate", "run", "-n", "2", "--", "python", "train.py"], (31200, 97), 5),
    ("bob", ["gpu-gate", "run", "--min-free-mb", "16000", "--", "python", "serve.py"], (12400, 35), 4),
    ("alice", ["gpu-gate", "run", "--", "python", "eval.py"], None, 2),
    ("dave", ["gpu-gate", "run", "-n", "2", "--", "python", "pretrain.py"], None, 1),
]
SHOWN = JOBS[-1]  # whose notices stand above the board

# What train.py and the others are: takes its memory, and then says so, as `python train.py` again, and stays.
JOB = """
import os, signal, sys
if "MEMORY" in os.environ:
    memory = os.environ.pop("MEMORY")
    os.execvp("gpu-sim-job", ["gpu-sim-job", "--quiet", "--memory", memory, "--util", os.environ["UTIL"], "--",
                              "python", *sys.argv])
print("ready", flush=True)
signal.pause()
"""


# --- the box --------------------------------------------------------------------------------------

class Box:
    def __init__(self, build, folder):
        self.folder = folder
        (folder / "bin").mkdir()
        for program in ("gpu-gate", "sim/gpu-sim-job", "sim/current/libnvidia-ml.so.1"):
            shutil.copy(build / program, folder / "bin")
        (folder / "bin/python").symlink_to("/usr/bin/python3")
        for _, words, _, _ in JOBS:
            (folder / words[-1]).write_text(JOB)
        shutil.copy(ROOT / "sim/machines/four-gpus.txt", folder / "machine.txt")
        (folder / "machine.txt.state").mkdir()
        for shared in (folder, folder / "machine.txt.state"):
            shared.chmod(0o1777)
        self.env = {"PATH": f"{folder}/bin:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TERM": "xterm-256color",
                    "GPU_SIM_MACHINE": f"{folder}/machine.txt", "GPU_GATE_NVML": f"{folder}/bin/libnvidia-ml.so.1",
                    "GPU_GATE_LOCK_DIR": f"{folder}/lock"}

    def start(self, user, words, takes):
        """A job, once it has its memory or stands in line: what it was told until then."""
        env = dict(self.env)
        if words[0] != "gpu-gate":
            env["CUDA_VISIBLE_DEVICES"] = "3"
        if takes:
            env |= {"MEMORY": str(takes[0]), "UTIL": str(takes[1])}
        job = subprocess.Popen(words, env=env, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, user=USERS[user], group=USERS[user], extra_groups=[])
        if takes:
            job.stdout.readline()
            return []
        told = []
        while not told or "in line" not in told[-1]:
            told.append(job.stderr.readline().rstrip("\n"))
            assert told[-1], f"{words} ended: {told}"
        return told

    def board(self):
        """What `gpu-gate status` writes on a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
            os.execvpe("gpu-gate", ["gpu-gate", "status"], self.env)
        text = b""
        try:
            while True:
                text += os.read(terminal, 65536)
        except OSError:  # it has ended
            pass
        assert os.waitpid(pid, 0)[1] == 0, text
        return text.decode().replace("\r\n", "\n").splitlines()


def lines_of(build, hurry):
    """What the terminal shows, with its colours."""
    users = "".join(f"{name}:x:{uid}:{uid}::/:/bin/sh\n" for name, uid in USERS.items())
    with tempfile.TemporaryDirectory(prefix="gpu-gate-picture-") as folder:
        folder = pathlib.Path(folder)
        (folder / "passwd").write_text(pathlib.Path("/etc/passwd").read_text() + users)
        subprocess.run(["mount", "--bind", folder / "passwd", "/etc/passwd"], check=True)
        box = Box(build, folder)
        told = []
        for job in JOBS:
            user, words, takes, seconds = job
            told = box.start(user, words, takes)
            if not hurry:
                later = JOBS[JOBS.index(job) + 1][3] if job is not JOBS[-1] else 0
                time.sleep(seconds - later)
        prompt = f"{SHOWN[0]}$ "
        lines = [prompt + " ".join(SHOWN[1]), *told, "", prompt + "gpu-gate status", *box.board()]
        subprocess.run(["umount", "/etc/passwd"], check=True)
        os.kill(-1, signal.SIGKILL)  # all in this pid namespace but its first process, this one
        return lines


def in_namespaces(arguments):
    """Runs this program with mounts and processes of its own: its exit status."""
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0 or subprocess.run([*namespaces, "true"], stderr=subprocess.DEVNULL).returncode:
        print("picture: needs root, and the right to make mounts", file=sys.stderr)
        return SKIPPED
    return subprocess.run([*namespaces, sys.executable, __file__, "--inside", *arguments]).returncode


# --- drawing --------------------------------------------------------------------------------------

CELL, LINE, MARGIN, TITLE = 8.0, 19, 16, 34
PAPER, FRAME, INK, DIM = "#161b22", "#30363d", "#e6edf3", "#8b949e"
COLOURS = {"31": "#ff7b72", "32": "#7ee787", "33": "#f2cc60", "35": "#d2a8ff", "2": DIM}
PROMPT = "#79c0ff"


def runs(line):
    """(column, text, colour): what of a line is of one colour, and has no more than one blank in a row."""
    column, colour = 0, INK
    for code, text in re.findall(r"\x1b\[(\d*)m|([^\x1b]+)", line):
        if not text:
            colour = COLOURS.get(code, INK)
            continue
        for part in re.finditer(r"[█░]+|[^\s█░]+(?: [^\s█░]+)*", text):
            yield column + part.start(), part[0], colour
        column += len(text)


def draw(lines):
    width = int(COLUMNS * CELL + 2 * MARGIN)
    height = TITLE + len(lines) * LINE + MARGIN
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'role="img" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        'font-size="13">',
        "<title>A job waits for two GPUs, and gpu-gate status shows who has them and who waits</title>",
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8" fill="{PAPER}" stroke="{FRAME}"/>',
        *[f'<circle cx="{MARGIN + 4 + 18 * i}" cy="17" r="5" fill="{FRAME}"/>' for i in range(3)],
    ]
    for number, line in enumerate(lines):
        y = TITLE + number * LINE
        for column, text, colour in runs(line):
            x = MARGIN + column * CELL
            if text[0] in "█░":
                full = text.count("█")
                svg.append(f'<rect x="{x:g}" y="{y + 3}" width="{len(text) * CELL:g}" height="11" fill="{FRAME}"/>')
                if full:
                    svg.append(f'<rect x="{x:g}" y="{y + 3}" width="{full * CELL:g}" height="11" fill="{colour}"/>')
            else:
                if re.match(r"\w+\$ ", line):
                    colour = PROMPT
                svg.append(f'<text x="{x:g}" y="{y + 13}" fill="{colour}" textLength="{len(text) * CELL:g}" '
                           f'lengthAdjust="spacingAndGlyphs">{html.escape(text)}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"


def words(svg):
    """What stands in the picture, without times and pids."""
    text = " ".join(re.findall(r">([^<]*)</text>", svg))
    return re.sub(r"\b(?:\d+[smhd])+\b", "T", re.sub(r"pid \d+", "pid N", text)).split()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--check", action="store_true", help="does the picture show what the program prints?")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        return in_namespaces(sys.argv[1:])
    made = draw(lines_of(options.build.resolve(), hurry=options.check))
    if not options.check:
        PICTURE.write_text(made, encoding="utf-8")
        return 0
    shown, printed = words(PICTURE.read_text(encoding="utf-8")), words(made)
    if shown != printed:
        print(f"{PICTURE} is not what the program prints; make it anew: ./dev picture", file=sys.stderr)
        print(f"shown:   {' '.join(shown)}\nprinted: {' '.join(printed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
