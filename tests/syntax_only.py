"""syntax_only.py COMPILE_COMMANDS FOLDER FILE: has the compiler read a source alone as the build would, or a header
that has no source, and write nothing.

Most of the time would go into the headers of libraries. Those that the file reads anyway, before any code of ours,
come from a precompiled one, in FOLDER: no others, for whether it includes all that it needs is the question.
"""

import fcntl
import functools
import hashlib
import json
import os
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


def precompiled(folder, compiler, file):
    """The words that have the compiler take as much as it may from a precompiled header."""
    # A source is first what its own header is, which may lack nothing that the source includes later.
    read = reached(next((ours for ours, _ in includes(file) if ours), file) if file.suffix == ".cpp" else file)
    names = []
    for level in LEVELS:
        if not read.issuperset(level.split()):
            break
        names += level.split()
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
    words = shlex.split(command["command"])
    # Without what tells a program from a library, one precompiled header is enough for both.
    words = [word for word in words[:words.index("-o")] if word not in ("-fPIE", "-fPIC")]
    words += ["-O0", "-U_FORTIFY_SOURCE"]
    end = [root / file] if file.suffix == ".cpp" else ["-include", root / file, "-x", "c++", "/dev/null"]
    words += ["-fsyntax-only", *precompiled(folder, words, file), *end]
    os.chdir(command["directory"])
    os.execvp(words[0], words)


main()
