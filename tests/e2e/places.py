"""The default places of the lock directory, /run, /run/lock and /tmp, and of the history, for one machine alone: its
processes see none of the real ones. Needs `fixtures.needs_mounts`."""

import subprocess

import harness
from harness import ALICE

SCRIPT = """
set -e
umask 022
mount -t tmpfs -o mode=755 none /run
mkdir -p /run/keep/box /run/keep/bin
mount --bind "$1" /run/keep/box
mount --bind "$2" /run/keep/bin
mount -t tmpfs -o mode=1777 none /tmp
mount -t tmpfs none /var/lib
mkdir "$1" "$2"
mount --move /run/keep/box "$1"
mount --move /run/keep/bin "$2"
rm -r /run/keep
mkdir /run/lock
chmod "$3" /run/lock
echo ready
exec cat
"""


class Places:
    """run(...) and start(...) are those of the box, with this view of the file system and without
    GPU_GATE_LOCK_DIR. `lock_mode`: of /run/lock, which on some distributions only root may write to."""

    def __init__(self, box, lock_mode="1777"):
        self.box = box
        self.keeper = subprocess.Popen(["unshare", "--mount", "sh", "-c", SCRIPT, "sh", box.folder, harness.BIN, lock_mode],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.keeper.stdout.readline() == b"ready\n"

    def words(self, user, words):
        return ["nsenter", f"--mount=/proc/{self.keeper.pid}/ns/mnt", "setpriv", f"--reuid={user.uid}", f"--regid={user.gid}",
                "--clear-groups", *words]

    def start_plain(self, *words, user=ALICE, env=None, **options):
        return self.box.start_plain(*self.words(user, words), env={"GPU_GATE_LOCK_DIR": None, **(env or {})}, **options)

    def start(self, *words, **options):
        return self.start_plain(self.box.gate, *words, **options)

    def run_plain(self, *words, **options):
        process = self.start_plain(*words, **options)
        process.finish()
        return process

    def run(self, *words, **options):
        return self.run_plain(self.box.gate, *words, **options)

    def root(self, script):
        """What root does there, in a shell."""
        done = self.run_plain("sh", "-ec", script, user=harness.ROOT)
        assert done.status == 0, done
        return done.out

    def hold(self, *options, **more):
        """A job that holds its claim until it is told to end; returns once the command runs."""
        process = self.start("run", *options, "--", "sh", "-c", "echo held; exec sleep 1000", **more)
        process.wait_for("^held$", stdout=True)
        return process

    def close(self):
        self.keeper.kill()
        self.keeper.wait()
