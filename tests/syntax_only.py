"""syntax_only.py COMPILE_COMMANDS FOLDER FILE: has the compiler read a source alone as the build would, or a header
that has no source, and write nothing.

Most of the time would go into the headers of libraries. Those that the file includes anyway, itself or by ours, come
from a precompiled one, in FOLDER: no others, for whether it includes all that it needs is the question. It is that of
the source's own header, too: this is read alone if the source does not begin with it, or includes more.
"""

import fcntl
import functools
import hashlib
import json
import pathlib
import re
import shlex
import subprocess
import sys

# Each with those before it; most files of ours read all of one or more.
LEVELS = ["string string_view optional", "vector tl/expected.hpp", "chrono functional map memory set"]


def includes(file):
    """What it includes itself, in order: (a file of ours or None, a header of a library or "")."""
    for ours, library in re.findall(r'^#include (?:"(.*)"|<(.*)>)', file.read_text(), re.M):
        path = pathlib.Path("src", ours)
        yield (path if ours and path.exists() else None), library


@functools.cache
def reached(file):
    """The headers of libraries that it includes, itself or by ours."""
    found = set()
    for ours, library in includes(file):
        found |= reached(ours) if ours else {library}
    return found


def ready(file):
    """Those of the headers that it reads which come from a precompiled one."""
    names = []
    for level in LEVELS:
        if not reached(file).issuperset(level.split()):
            break
        names += level.split()
    return names


def precompiled(folder, compiler, names):
    """The words that have the compiler begin with these headers."""
    if not names:
        return []
    text = "".join(f"#include <{name}>\n" for name in names)
    header = folder / f"{hashlib.sha256(f'{compiler}{text}'.encode()).hexdigest()[:16]}.h"
    with open(f"{header}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not header.exists():
            fresh = header.with_suffix(".new")
            fresh.write_text(text)
            subprocess.run([*compiler, "-x", "c++-header", fresh, "-o", f"{header}.gch"], check=True)
            fresh.rename(header)
    return ["-include", header]


def main():
    root = pathlib.Path.cwd()
    commands, folder, file = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve(), pathlib.Path(sys.argv[3])
    known = {pathlib.Path(each["file"]): each for each in json.loads(commands.read_text())}
    command = known.get(root / file) or next(each for each in known.values() if "each_source_alone" in each["command"])
    compiler = shlex.split(command["command"])
    # Without what tells a program from a library, one precompiled header is enough for both.
    compiler = [word for word in compiler[:compiler.index("-o")] if word not in ("-fPIE", "-fPIC")]
    compiler += ["-O0", "-U_FORTIFY_SOURCE"]
    header = file.with_suffix(".h")
    begins_with = next((ours for ours, _ in includes(file) if ours), None)
    to_read = [file]
    if header != file and header.exists() and (begins_with != header or ready(header) != ready(file)):
        to_read.append(header)
    readings = [[*compiler, "-fsyntax-only", *precompiled(folder, compiler, ready(each)),
                 *(["-include", root / each, "-x", "c++", "/dev/null"] if each.suffix == ".h" else [root / each])]
                for each in to_read]
    sys.exit(any([subprocess.run(words, cwd=command["directory"]).returncode for words in readings]))


main()
