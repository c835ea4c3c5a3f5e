#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Measure programs of Debian's in a VM with 6 GiB: how long Valkey stops to save, with libcowmem-fork and
with plain fork(), and how fast streams are, beside cat and zstd (qemu/debian/fork.py, send.py). What
these print is printed; with --record it is put into qemu/bench.md.

Times are of an emulated machine: what is beside each other there is to be compared.
"""
import argparse
import pathlib
import re
import sys

import guest
import test as runner
import vm

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench"
PAGE = ROOT / "qemu" / "bench.md"
PROGRAMS = {"fork": "Valkey ", "send": "MiB of "}  # and how what each tells of its figures begins
ARCH = "x86_64"
MEM = 6144  # MiB: what two servers of 1 GiB and a dump take
PLAN = runner.Plan("stock", ARCH, 3600, 1800, storm=1, mem=MEM, programs=tuple(PROGRAMS))
SILENCE = 1800  # a size may take as long


def measure(programs):
    """The lines that the scripts say of their figures, for each program."""
    codes = [runner.DEBIAN / f"{name}.py" for name in programs]
    codes, disk = runner.have_debian(PLAN, codes)
    if not codes:
        sys.exit("bench_programs.py: Debian's programs cannot be had")
    kernel = guest.kernel("stock", ARCH)
    files, steps = runner.prepare(PLAN, codes, False, kernel, guest.kernel("source"))
    OUT.mkdir(parents=True, exist_ok=True)
    image = runner.write_initramfs(PLAN, files, steps)
    tables = {}

    def on_step(step):
        if step.line.startswith("run "):
            name = step.line.split()[2]
            said = [line.removeprefix("# ") for line in step.program if line.startswith("# ")]
            first = next((i for i, line in enumerate(said) if line.startswith(PROGRAMS[name])), len(said))
            tables[name] = said[first:]
            if step.status or any(line.startswith("not ok") for line in step.program):
                raise RuntimeError("\n".join([f"{step.line}: {step.status}", *step.program]))
            print("\n".join(tables[name]), flush=True)

    result = vm.boot(ARCH, kernel, image, OUT / f"{'-'.join(programs)}.log", mem=MEM, silence=SILENCE, extra_qemu=disk, on_step=on_step)
    if result.problems:
        raise RuntimeError("\n".join(result.problems))
    return (kernel / "release").read_text().strip(), tables


def record(release, tables):
    text = PAGE.read_text()
    for name, lines in tables.items():
        block = "\n".join([f"    Linux {release}, {ARCH}, 2 CPUs and {MEM} MiB, emulated", *(f"    {line}" for line in lines)])
        begin, end = f"<!-- make bench-programs RECORD=1: {name} -->", "<!-- end -->"
        text, count = re.subn(rf"{re.escape(begin)}.*?{end}", lambda _: f"{begin}\n\n{block}\n\n{end}", text, count=1, flags=re.DOTALL)
        if not count:
            raise RuntimeError(f"{PAGE.name} has no place for {name}")
    PAGE.write_text(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", choices=PROGRAMS)
    parser.add_argument("--record", action="store_true", help="put what was measured into qemu/bench.md")
    options = parser.parse_args()
    release, tables = measure([options.only] if options.only else PROGRAMS)
    if options.record:
        record(release, tables)


if __name__ == "__main__":
    main()
