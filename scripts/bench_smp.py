#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The benchmarks of contention behind `make bench-smp`: Debian's own kernel with 4
CPUs that run at once, and qemu/bench_smp.c in it. Only ratios are told: what a fault
takes here is QEMU's and the machine's doing, but alike for both of a pair.
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
CPUS, MILLISECONDS, ROUNDS = 4, 100, 15

TITLES = {
    "private": "private, one mapping of one object",
    "shared": "shared, one mapping of one object",
    "page_fault2_threads": "page_fault2, threads",
    "page_fault2_processes": "page_fault2, processes",
    "page_fault3_threads": "page_fault3, threads",
    "page_fault3_processes": "page_fault3, processes",
}


def ratios(lines, peer):
    """{work: {tasks: quartiles of cowmem's faults per second / the peer's}}: each round is a pair."""
    rates = collections.defaultdict(list)
    for line in lines:
        word, *rest = line.split()
        if word == "smp":
            work, side, tasks, faults, microseconds = rest
            rates[work, int(tasks), side].append(int(faults) / int(microseconds))
    found = collections.defaultdict(dict)
    for work, tasks in dict.fromkeys((work, tasks) for work, tasks, _ in rates):
        pairs = zip(rates[work, tasks, "cowmem"], rates[work, tasks, peer])
        found[work][tasks] = statistics.quantiles(ours / theirs for ours, theirs in pairs)
    return found


def abort_rates(lines):
    """{work: {tasks: aborts / attempts of the speculative path}}, over all rounds."""
    sums = collections.defaultdict(lambda: collections.defaultdict(lambda: [0, 0]))
    for line in lines:
        word, *rest = line.split()
        if word == "speculative":
            work, tasks, attempts, commits = rest
            sums[work][int(tasks)][0] += int(attempts) - int(commits)
            sums[work][int(tasks)][1] += int(attempts)
    return {work: {tasks: aborts / attempts for tasks, (aborts, attempts) in of_tasks.items()}
            for work, of_tasks in sums.items()}  # fmt: skip


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
    found = {peer: ratios(said, peer) for peer in ("memfd", "locked")}
    aborts = abort_rates(said)
    print(f"\nLinux {release}, {arch}, {CPUS} CPUs of QEMU, medians of {ROUNDS} pairs; in brackets, what the middle half gave")
    tell("faults per second, cowmem / memfd; more than 1: cowmem is faster", found["memfd"], quartiles)
    tell("faults per second, with the speculative path / without it", found["locked"], quartiles)
    tell("aborts / attempts of the speculative path", aborts, "{:.4f}".format)
    results = {"kernel": release, "arch": arch, "memfd": found["memfd"], "locked": found["locked"], "aborts": aborts}
    (out / "bench-smp.json").write_text(json.dumps(results, indent=1) + "\n")
    print(f"\nwritten: {(out / 'bench-smp.json').relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"bench_smp.py: {error}")
