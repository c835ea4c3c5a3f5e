#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check that the errnos that include/uapi/linux/cowmem.h names for a command and those
that a test of qemu/tests shows of it are the same.

The header's comments name them as "ENOMEM, EIO: why"; that on top, for every command.
A test shows one where a CHECK...() names both: the command as COWMEM_IOC_..., as a helper
of qemu/tests/*.h that issues it, or, for all in the file's table `commands`, as an entry of
that. An errno that a command's own comment names has to be shown by a check of its own.
"""
import collections
import dataclasses
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HEADER = ROOT / "include" / "uapi" / "linux" / "cowmem.h"
TESTS = ROOT / "qemu" / "tests"

COMMAND = re.compile(r"\bCOWMEM_IOC_(?!TYPE\b)(\w+)")
ERRNO = re.compile(r"\bE[A-Z0-9]+\b")
NAMED = re.compile(r"((?:\bE[A-Z0-9]+,\s+)*\bE[A-Z0-9]+):")
TABLE = re.compile(r"\bcommands\[\] = \{(.*?)\n?\};", re.DOTALL)
OF_TABLE = re.compile(r"CHECK_COMMAND|\bcommands\[")
HELPER = re.compile(r"^static inline [^;{]*?\b(\w+)\([^;{]*?\)\n\{\n(.*?)^\}", re.DOTALL | re.MULTILINE)

# What no kernel here answers: each knows damaged memory.
UNSEEN = {("POISON", "EOPNOTSUPP")}


@dataclasses.dataclass
class Check:
    """One command: what the header names and no test shows, and the other way round."""

    command: str
    rows: int
    wrong: list[str]


def named():
    """The errnos of every command, and those of each, as the header has them."""
    text = HEADER.read_text()
    of_each = {command: set() for command in re.findall(r"^#define COWMEM_IOC_(\w+) _IO\(", text, re.MULTILINE)}
    of_all = set()
    for comment in re.findall(r"/\*(.*?)\*/", text, re.DOTALL):
        lines = [line.removeprefix(" *").strip() for line in comment.splitlines()]
        errnos = {errno for found in NAMED.findall(" ".join(lines)) for errno in ERRNO.findall(found)}
        commands = {line.partition(":")[0] for line in lines} & of_each.keys()
        for command in commands:
            of_each[command] |= errnos
        if "cowmem: memory objects behind /dev/cowmem." in lines:
            of_all = errnos
        elif errnos and not commands:
            raise RuntimeError(f"{HEADER.name}: no command has {', '.join(sorted(errnos))}")
    return of_all, of_each


def checks_of(text):
    """Every CHECK...(...) of a test's source, whole."""
    for start in re.finditer(r"(?<!define )\bCHECK\w*\(", text):
        depth, end = 1, start.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield text[start.start() : end]


def shown():
    """Each (command, errno) that a check names, with where; and those that it names by a table."""
    helpers = {}
    for path in TESTS.glob("*.h"):
        for name, body in HELPER.findall(path.read_text()):
            if len(commands := set(COMMAND.findall(body))) == 1:
                helpers[name] = commands.pop()
    calls = re.compile(rf"\b({'|'.join(helpers)})\(")
    by_itself, by_table = collections.defaultdict(set), collections.defaultdict(set)
    for path in sorted(TESTS.glob("*.[ch]")):
        text = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
        table = [command for rows in TABLE.findall(text) for command in COMMAND.findall(rows)]
        for check in checks_of(text):
            errnos = ERRNO.findall(check)
            for command in COMMAND.findall(check) + [helpers[name] for name in calls.findall(check)]:
                for errno in errnos:
                    by_itself[command, errno].add(path.name)
            for command in table if OF_TABLE.search(check) else ():
                for errno in errnos:
                    by_table[command, errno].add(path.name)
    return by_itself, by_table


def check_all():
    """One Check for each command."""
    of_all, of_each = named()
    by_itself, by_table = shown()
    for command, errnos in of_each.items():
        wrong = [f"{command} {errno}: the header names it, no test shows it"
                 for errno in sorted(errnos) if (command, errno) not in by_itself.keys() | UNSEEN]
        wrong += [f"{command} {errno}: the header names it for every command, no test shows it of this one"
                  for errno in sorted(of_all) if (command, errno) not in by_table]
        wrong += [f"{command} {errno}: {', '.join(sorted(files))} shows it, the header does not name it"
                  for tests in (by_itself, by_table) for (of, errno), files in sorted(tests.items())
                  if of == command and errno not in errnos | of_all]  # fmt: skip
        yield Check(command, len(errnos) + len(of_all), wrong)


def main():
    wrong = [row for check in check_all() for row in check.wrong]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
