#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The order of the rooms of src/: no file includes one of a room above its own, and no
header has more than 300 lines. Print what is not so.

    scripts/rooms.py
"""
import pathlib
import re
import sys

SRC = pathlib.Path(__file__).resolve().parent.parent / "src"
ORDER = ["kernel", "rmap", "store", "layers", "reclaim", "fault", "device", "testing"]
MOST_LINES = 300
# What only a test build has, and the one list of all helpers.
EXCEPT = {("kernel/helpers.c", "testing/testing.h")}
INCLUDE = re.compile(r'^#include "((\w+)/\w+\.h)"', re.M)


def wrong():
    for file in sorted(SRC.rglob("*.[ch]*")):
        name = str(file.relative_to(SRC))
        text = file.read_text()
        for included, room in INCLUDE.findall(text):
            if ORDER.index(room) > ORDER.index(file.parent.name) and (name, included) not in EXCEPT:
                yield f"src/{name} includes {included}, which is above it"
        if file.suffix == ".h" and text.count("\n") > MOST_LINES:
            yield f"src/{name} has more than {MOST_LINES} lines"


for line in wrong():
    print(line)
