"""syntax_only.py COMPILE_COMMANDS SOURCE: has the compiler read a source as the build would, and write nothing."""

import json
import os
import pathlib
import shlex
import sys

commands, source = (pathlib.Path(word).resolve() for word in sys.argv[1:])
[command] = [each for each in json.loads(commands.read_text()) if pathlib.Path(each["file"]) == source]
words = shlex.split(command["command"])
os.chdir(command["directory"])
os.execvp(words[0], [*words[:words.index("-o")], "-O0", "-U_FORTIFY_SOURCE", "-fsyntax-only", str(source)])
