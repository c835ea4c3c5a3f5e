#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Print compile_commands.json for a build of the module, C++ included, which the
kernel's own generator passes over.

    scripts/compile_commands.py OUT
"""
import json
import pathlib
import re
import sys

SAVED = re.compile(r"^savedcmd_\S+ := (.*?-c -o \S+ (\S+\.(?:c|cc)))\s*(?:;.*)?$", re.M)


def entries(out):
    for command_file in sorted(out.rglob(".*.cmd")):
        found = SAVED.search(command_file.read_text())
        if found:
            command, source = found.groups()
            source = pathlib.Path(source).resolve()
            yield {"directory": str(out), "command": command, "file": str(source)}


json.dump(list(entries(pathlib.Path(sys.argv[1]).resolve())), sys.stdout, indent=1)
