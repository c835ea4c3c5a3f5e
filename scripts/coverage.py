#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Which branches of the module have run, by file, from the log of a program that read what
src/testing/coverage.c tells (qemu/tests/fuzz.c).

    scripts/coverage.py cowmem.ko LOG [FILE]    of a build with COVERAGE=1; FILE, as src/layers/tree.cc:
                                                its lines with a branch that has not run
"""
import collections
import pathlib
import re
import sys

import guest

TOLD = re.compile(r"# covered:((?: -?\d+)+)$")
CALL = re.compile(r"^\s*0x([0-9A-F]+) R_\w+ __sanitizer_cov_trace_pc\b")
CALL_BYTES = 4  # from a relocation to what the call returns to, on x86_64 and arm64 alike
OURS = re.compile(r"/src/((?:kernel|rmap|store|layers|reclaim|fault|device)/[\w.]+):(\d+):")


def places_told(lines):
    """The branches that have run: bytes behind cowmem_fault()."""
    return {int(place) for line in lines if (match := TOLD.search(line)) for place in match[1].split()}


def branches(module):
    """Every branch that the module tells of: bytes behind cowmem_fault(), and the file and the line it is at."""
    symbols = guest.run("llvm-nm-19", module)
    begin = int(re.search(r"^(\w+) T cowmem_fault$", symbols, re.M)[1], 16)
    calls, in_text = [], False
    for line in guest.run("llvm-readobj-19", "-r", module).splitlines():
        if line.strip().startswith("Section "):
            in_text = ".rela.text " in line
        elif in_text and (match := CALL.match(line)):
            calls.append(int(match[1], 16))
    addresses = module.with_suffix(".branches")
    addresses.write_text("".join(f"{call:#x}\n" for call in calls))
    # The innermost function's line, without the names of those that it became a part of.
    said = guest.run("llvm-symbolizer-19", f"--obj={module}", "--no-inlines", "--functions=none", f"@{addresses}")
    found = [block.splitlines()[-1] for block in said.split("\n\n") if block.strip()]
    for call, where in zip(calls, found, strict=True):
        if match := OURS.search(where):
            yield call + CALL_BYTES - begin, f"src/{match[1]}", int(match[2])


def table(module, places):
    """A line for each file, and one for all; the kernel's headers are not counted."""
    run, there = collections.Counter(), collections.Counter()
    for place, file, _ in branches(pathlib.Path(module)):
        there[file] += 1
        run[file] += place in places
    for file in sorted(there):
        yield f"  {file:32} {run[file]:5} of {there[file]:5} branches {run[file] / there[file]:6.1%}"
    yield f"  {'all':32} {run.total():5} of {there.total():5} branches {run.total() / there.total():6.1%}"


def main(module, log, file=None):
    places = places_told(pathlib.Path(log).read_text(errors="replace").splitlines())
    if not file:
        print("\n".join(table(module, places)))
        return
    lines = collections.defaultdict(list)
    for place, name, line in branches(pathlib.Path(module)):
        if name == file:
            lines[line].append(place in places)
    for line, ran in sorted(lines.items()):
        if not all(ran):
            print(f"{file}:{line}: {ran.count(False)} of {len(ran)} branches")


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), *sys.argv[2:])
