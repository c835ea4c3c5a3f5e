#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The benchmarks of contention behind `make bench-smp`: Debian's own kernel with 4
CPUs that run at once, and in it qemu/bench_smp.c, for faults, and then, in a boot of its
own, qemu/bench_relatives.c, for snapshots and clones next to fork(). Only ratios say
something: what a fault takes here is QEMU's and the machine's doing, but alike for both
of a pair.
"""
import argparse
import collections
import json
import pathlib
import statistics
import sys

import bench

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench-smp"
CPUS, ROUNDS = 4, 5
MILLISECONDS, RELATIVES_MILLISECONDS = 100, 500  # a round, if it is not done before
MIB = 64  # of each object or process of relatives; all is written anew for each round

TITLES = {
    "private": "private, one mapping of one object",
    "shared": "shared, one mapping of one object",
    "page_fault2_threads": "page_fault2, threads",
    "page_fault2_processes": "page_fault2, processes",
    "page_fault3_threads": "page_fault3, threads",
    "page_fault3_processes": "page_fault3, processes",
}

RELATIVES = {
    "clones": "clones; children",
    "threads": "threads after a snapshot; after fork()",
    "restore": "50 pages, RESTORE; a child of 50 pages",
    "reader": "one reads among writers; of a memfd",
}

TASKS = (1, 2, 4, 8, 16)


class Contention:
    """What qemu/bench_smp.c, or qemu/bench_relatives.c, said."""

    def __init__(self, lines):
        self.rates = collections.defaultdict(list)  # work, tasks, side: pages per second, of each round
        self.attempts = collections.defaultdict(list)  # work, tasks: attempts, commits, aborts, of each round
        for line in lines:
            word, *rest = line.split()
            if word == "smp":
                work, side, tasks, pages, microseconds = rest
                self.rates[work, int(tasks), side].append(1e6 * int(pages) / int(microseconds))
            elif word == "speculative":
                work, tasks, *counts = rest
                self.attempts[work, int(tasks)].append([int(count) for count in counts])

    def per_second(self, work, tasks, side):
        return statistics.median(self.rates[work, tasks, side])

    def both(self, work, tasks, peer):
        """Pages per second of cowmem and of the peer."""
        return self.per_second(work, tasks, "cowmem"), self.per_second(work, tasks, peer)

    def against_one(self, work, tasks, peer):
        """What both do, in parts of what each does with one task."""
        return tuple(now / alone for now, alone in zip(self.both(work, tasks, peer), self.both(work, 1, peer)))

    def ratio(self, work, tasks, peer):
        """Quartiles of cowmem's rate to the peer's: each round is a pair."""
        pairs = zip(self.rates[work, tasks, "cowmem"], self.rates[work, tasks, peer])
        return statistics.quantiles(ours / theirs for ours, theirs in pairs)

    def aborts(self, work, tasks):
        """Aborts / attempts, over all rounds."""
        attempts, _, aborts = map(sum, zip(*self.attempts[work, tasks]))
        return aborts / attempts

    def accounted_for(self, work, tasks):
        """Whether each attempt was a commit or an abort, and there were some in each round."""
        counts = self.attempts[work, tasks]
        return bool(counts) and all(a and a == commits + aborts for a, commits, aborts in counts)


def by_work(works, value, *arguments):
    """{work: {tasks: value(work, tasks, ...)}}"""
    return {work: {tasks: value(work, tasks, *arguments) for tasks in TASKS} for work in works}


def tell(title, titles, found, cell):
    print(f"\n{title}\n")
    print(f"{'tasks':40}" + "".join(f"{tasks:<19}" for tasks in TASKS))
    for work, of_tasks in found.items():
        print(f"{titles[work]:40}" + "".join(f"{cell(value):<19}" for value in of_tasks.values()).rstrip())


def quartiles(value):
    low, median, high = value
    return f"{median:.2f} ({low:.2f}..{high:.2f})"


def rates(pair):
    return "{:,.0f} / {:,.0f}".format(*pair)


def parts(pair):
    return "{:.2f} / {:.2f}".format(*pair)


def tell_faults(arch, out):
    release, said, seconds = bench.run_in_guest(arch, out, "bench_smp", [f"{MILLISECONDS} {ROUNDS}"], smp=CPUS)
    said = Contention(said)
    found = {peer: by_work(TITLES, said.ratio, peer) for peer in ("memfd", "locked")}
    found |= {"per second": by_work(TITLES, said.both, "locked"), "aborts": by_work(TITLES, said.aborts)}
    print(f"\nFaults: Linux {release}, {arch}, {CPUS} CPUs of QEMU, medians of {ROUNDS} pairs; "
          f"in brackets, what the middle half gave; {seconds:.0f} s")  # fmt: skip
    tell("faults per second, cowmem / memfd; more than 1: cowmem is faster", TITLES, found["memfd"], quartiles)
    tell("faults per second, with the speculative path / without it", TITLES, found["locked"], quartiles)
    tell("faults per second in the VM, with / without", TITLES, found["per second"], rates)
    tell("aborts / attempts of the speculative path", TITLES, found["aborts"], "{:.4f}".format)
    return {"kernel": release, "arch": arch, **found}


def tell_relatives(arch, out, mib):
    arguments = f"{mib} {RELATIVES_MILLISECONDS} {ROUNDS}"
    release, said, seconds = bench.run_in_guest(arch, out, "bench_relatives", [arguments], smp=CPUS)
    said = Contention(said)
    found = {"fork": by_work(RELATIVES, said.ratio, "fork")}
    found |= {"per second": by_work(RELATIVES, said.both, "fork"), "against one": by_work(RELATIVES, said.against_one, "fork")}
    print(f"\nRelatives: Linux {release}, {arch}, {CPUS} CPUs of QEMU, objects of {mib} MiB, medians of {ROUNDS} pairs; "
          f"in brackets, what the middle half gave; {seconds:.0f} s")  # fmt: skip
    tell("pages per second, cowmem / fork(); more than 1: cowmem is faster", RELATIVES, found["fork"], quartiles)
    tell("pages per second in the VM, cowmem / fork()", RELATIVES, found["per second"], rates)
    tell("pages per second / those of one task alone, cowmem / fork()", RELATIVES, found["against one"], parts)
    return {"kernel": release, "arch": arch, "mib": mib, **found}


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("arch", choices=bench.ARCHITECTURES)
    parser.add_argument("--only", choices=("faults", "relatives"), help="one of the two boots")
    parser.add_argument("--mib", type=int, default=MIB, help="size of what relatives share")
    options = parser.parse_args()
    boots = {"faults": lambda out: tell_faults(options.arch, out),
             "relatives": lambda out: tell_relatives(options.arch, out, options.mib)}  # fmt: skip
    for name, tell_all in boots.items():
        if options.only in (None, name):
            out = OUT / options.arch / name
            print(f"bench-smp: booting, log in {(out / 'console.log').relative_to(ROOT)}", flush=True)
            results = tell_all(out)
            (out / "bench-smp.json").write_text(json.dumps(results, indent=1) + "\n")
            print(f"\nwritten: {(out / 'bench-smp.json').relative_to(ROOT)}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"bench_smp.py: {error}")
