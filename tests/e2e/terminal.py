"""A terminal with a program in it, as somebody at the keyboard sees it.

The emulator is pyte. It knows no second screen, so what stands on the normal one after the program is told by
`left`, what came after the last "back to the normal screen".
"""

import codecs
import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import termios
import threading

import pyte

from harness import LIMIT, Limit

ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """terminal.process is the program in it; wait_for(pattern) waits for text on the screen."""

    def __init__(self, box, *words, size=(80, 24), user=None, env=None):
        self.master, self.slave = pty.openpty()
        self.screen = pyte.Screen(*size)
        self.stream = pyte.Stream(self.screen)
        self.raw = ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._changed = threading.Condition()
        self._closed = False
        self.resize(*size)
        self.before = termios.tcgetattr(self.slave)
        slave = self.slave

        def take_terminal():
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

        options = {"user": user} if user else {}
        self.process = box.start_plain(*words, env={"TERM": "xterm-256color", **(env or {})}, stdin=slave, stdout=slave,
                                       stderr=slave, preexec_fn=take_terminal, **options)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while not self._closed:
            with contextlib.suppress(OSError):
                if not select.select([self.master], [], [], 0.1)[0]:
                    continue
                text = self._decode(os.read(self.master, 65536))
                with self._changed:
                    self.raw += text
                    self.stream.feed(text)
                    self._changed.notify_all()
                continue
            return

    def resize(self, columns, lines):
        with self._changed:
            self.screen.resize(lines, columns)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys):
        os.write(self.master, keys.encode())

    @property
    def lines(self):
        with self._changed:
            return [line.rstrip() for line in self.screen.display]

    @property
    def text(self):
        return "\n".join(self.lines)

    @property
    def left(self):
        """What was written since the program went back to the normal screen."""
        return self.raw.rpartition(LEAVE)[2] if LEAVE in self.raw else None

    def wait_until(self, condition, what, limit=LIMIT):
        limit = Limit(limit)
        with self._changed:
            while not condition():
                left = limit.left()
                assert left, f"not within {limit}: {what}; on the screen:\n" + \
                    "\n".join(line.rstrip() for line in self.screen.display)
                self._changed.wait(min(left, 0.5))

    def wait_for(self, pattern, absent=False, limit=LIMIT):
        """Waits until the screen shows it, or shows it no more; returns the match."""
        def found():
            return re.search(pattern, "\n".join(line.rstrip() for line in self.screen.display), re.M)

        self.wait_until(lambda: bool(found()) != absent, f"{pattern!r} {'gone' if absent else 'there'}", limit)
        return found()

    def mode(self):
        return termios.tcgetattr(self.slave)

    def close(self):
        # Its number may be that of another terminal at once, and what that shows would be read here.
        self._closed = True
        self._thread.join()
        for fd in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(fd)
