#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The examples of the manual's pages, to be run: what is between .EX and .EE is a C program, if it
includes something, or lines of a shell, each behind "# " or "$ ", with what it prints below.

    scripts/manual.py         prints the shell's examples as scripts
"""
import pathlib
import re
import shlex

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("src/tool/*.[458]"), *ROOT.glob("src/lib/*.3"), *ROOT.glob("src/fork/*.7")])
PROMPTS = ("# ", "$ ")
# Where they are run the module is there already, and the other machine is the same.
STAND_INS = """\
modprobe() { grep -q "^$1 " /proc/modules; }
ssh() { shift; "$@"; }
"""


def text_of(page):
    """What a page says, without what the formatter is told."""
    text = page.read_text()
    for said, meant in ((r"\-", "-"), (r"\~", " "), (r"\e", "\\"), (r"\&", "")):
        text = text.replace(said, meant)
    return re.sub(r"\\f.", "", text)


def blocks(page):
    return re.findall(r"^\.EX\n(.*?)^\.EE$", text_of(page), re.DOTALL | re.MULTILINE)


def programs(page):
    """The C programs of a page."""
    return [block for block in blocks(page) if block.startswith("#include")]


def script(page):
    """The shell's examples of a page, one after the other, which ends with the first that fails; or ""."""
    lines = []
    for block in blocks(page):
        if block.startswith("#include"):
            continue
        for line in block.splitlines():
            if line.startswith(PROMPTS):
                lines.append([line[2:]])
            else:
                lines[-1].append(line)
    steps = []
    for command, *said in lines:
        if said:
            steps.append(f"said=$({command})\n[ \"$said\" = {shlex.quote(chr(10).join(said))} ]")
        else:
            steps.append(command)
    return "\n".join([STAND_INS + "set -ex -o pipefail", *steps, ""]) if steps else ""


def main():
    for page in PAGES:
        if script(page):
            print(f"# {page.name}\n{script(page)}")


if __name__ == "__main__":
    main()
