#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The benchmarks of contention behind `make bench-smp`: Debian's own kernel with 4
CPUs that run at once, and qemu/bench_smp.c in it. Only ratios say something: what a
fault takes here is QEMU's and the machine's doing, but alike for both of a pair.
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
CPUS, MILLISECONDS, ROUNDS = 4, 100, 9

TITLES = {
    "private": "private, one mapping of one object",
    "shared": "shared, one mapping of one object",
    "page_fault2_threads": "page_fault2, threads",
    "page_fault2_processes": "page_fault2, processes",
    "page_fault3_threads": "page_fault3, threads",
    "page_fault3_processes": "page_fault3, processes",
}

TASKS = (1, 2, 4, 8, 16)


class Contention:
    """What qemu/bench_smp.c said."""

    def __init__(self, lines):
        self.rates = collections.defaultdict(list)  # work, tasks, side: faults per second, of each round
        self.attempts = collections.defaultdict(list)  # work, tasks: attempts, commits, aborts, of each round
        for line in lines:
            word, *rest = line.split()
            if word == "smp":
                work, side, tasks, faults, microseconds = rest
                self.rates[work, int(tasks), side].append(1e6 * int(faults) / int(microseconds))
            elif word == "speculative":
                work, tasks, *counts = rest
                self.attempts[work, int(tasks)].append([int(count) for count in counts])

    def per_second(self, work, tasks, side):
        return statistics.median(self.rates[work, tasks, side])

    def both_ways(self, work, tasks):
        """Faults per second with the speculative path and without it."""
        return self.per_second(work, tasks, "cowmem"), self.per_second(work, tasks, "locked")

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


def by_work(value, *arguments):
    """{work: {tasks: value(work, tasks, ...)}}"""
    return {work: {tasks: value(work, tasks, *arguments) for tasks in TASKS} for work in TITLES}


def tell(title, found, cell):
    print(f"\n{title}\n")
    print(f"{'tasks':36}" + "".join(f"{tasks:<19}" for tasks in next(iter(found.values()))))
    for work, of_tasks in found.items():
        print(f"{TITLES[work]:36}" + "".join(f"{cell(value):<19}" for value in of_tasks.values()).rstrip())


def quartiles(value):
    low, median, high = value
    return f"{median:.2f} ({low:.2f}..{high:.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("arch", choices=bench.CPU)
    arch = parser.parse_args().arch
    out = OUT / arch
    print(f"bench-smp: booting, log in {(out / 'console.log').relative_to(ROOT)}", flush=True)
    release, said, _ = bench.run_in_guest(arch, out, "bench_smp", f"{MILLISECONDS} {ROUNDS}", smp=CPUS)
    said = Contention(said)
    found = {peer: by_work(said.ratio, peer) for peer in ("memfd", "locked")}
    found |= {"per second": by_work(said.both_ways), "aborts": by_work(said.aborts)}
    print(f"\nLinux {release}, {arch}, {CPUS} CPUs of QEMU, medians of {ROUNDS} pairs; in brackets, what the middle half gave")
    tell("faults per second, cowmem / memfd; more than 1: cowmem is faster", found["memfd"], quartiles)
    tell("faults per second, with the speculative path / without it", found["locked"], quartiles)
    tell("faults per second in the VM, with / without", found["per second"], lambda pair: "{:,.0f} / {:,.0f}".format(*pair))
    tell("aborts / attempts of the speculative path", found["aborts"], "{:.4f}".format)
    results = {"kernel": release, "arch": arch, **found}
    (out / "bench-smp.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten: {(out / 'bench-smp.json').relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"bench_smp.py: {error}")
