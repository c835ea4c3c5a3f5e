#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The benchmarks behind `make bench`: boot Debian's own kernel under QEMU's -icount
with one CPU, where guest time counts instructions, run qemu/bench.c, and print what
each work costs with cowmem and with what a user would take instead: a table, a JSON
file and a chart.

To add a work: a function and a line of the table in qemu/bench.c, and a Row here.
"""
import argparse
import collections
import dataclasses
import json
import pathlib
import shutil
import statistics
import sys

import bench_profile
import chart
import guest
import initramfs
import vm

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "bench"
MIB, ROUNDS = 64, 3
GUARD_MIB = 8
GUARD_ERROR = {"instructions": 0.02, "ratio": 0.05}  # of a cost, against the record of it
PAGE = ROOT / "qemu" / "bench.md"
RECORD = ROOT / "qemu" / "bench-record.json"
CLOCK_ERROR = 0.02  # of the clock, against a loop of known length

ARCHITECTURES = "x86_64", "arm64"


@dataclasses.dataclass(frozen=True)
class Floor:
    """What no handler can avoid of a work, out of what the kernel does for anonymous
    memory, which has no object behind it: the sum of (work, part of it).
    """

    title: str
    parts: tuple[tuple[str, float], ...]


TRAP = Floor("trap and PTE: a read of untouched anonymous memory", (("read-zero", 1),))
TRAP_OF_16 = Floor("a sixteenth of that", (("read-zero", 1 / 16),))
NEW_PAGE = Floor("trap, page and PTE: the first write to anonymous memory", (("write-hole", 1),))
NEW_COPY = Floor("that and the copy of a page", (("write-hole", 1), ("copy", 1)))
BROKEN_COPY = Floor("a write to anonymous memory that was only read, and the copy of a page",
                    (("write-private-after-read", 1), ("copy", 1)))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of a table: a work of qemu/bench.c and what it is compared with."""

    work: str
    title: str
    goal: float | None = None  # cowmem / peer, at most
    floor: Floor | None = None
    peer: str = "memfd"
    unit: str = "instructions"
    than: str | None = None  # the peer's work, if it is another


ROWS = [
    Row("write-hole", "first write to a hole, shared", 0.65, NEW_PAGE),
    Row("write-hole", "  the same, against anonymous memory", None, NEW_PAGE, peer="anon"),
    Row("write-private", "first write, private, populated source", 0.85, NEW_COPY),
    Row("write-private-after-read", "first write after a read fault, private", 1.00, BROKEN_COPY),
    Row("write-shared", "first shared write of a populated page", 0.70, TRAP),
    Row("read-shared", "sequential read, fault-around 16", 0.80, TRAP_OF_16),
    Row("read-write-shared", "read, then write of each of these", 1.00),
    Row("unmap-shared", "unmap of shared pages", 1.00),
    Row("free-last", "free on last close", 0.70),
    Row("punch-mapped", "punch of mapped pages", 0.80),
    Row("snapshot", "snapshot of 256 MiB, 1 % written; fork", 0.02, peer="anon"),
    Row("restore", "restore of 256 MiB, 100 pages; fork, exit", 0.01, peer="anon"),
    Row("write-after-snapshot", "first write after a snapshot; fork", 1.00, peer="anon"),
    Row("write-of-last-holder", "and after it is gone; the child's exit", 0.90, peer="anon"),
    Row("memory-resident", "kernel's memory per resident page", 1.00, unit="bytes"),
]

SCALING = [
    Row("write-hole-of-1-MiB", "first write to a hole, object of 1 MiB"),
    Row("write-hole-of-64-MiB", "first write to a hole, object of 64 MiB"),
    Row("write-hole-of-4096-MiB", "first write to a hole, object of 4 GiB"),
    Row("write-private-of-1-MiB", "first write, private, object of 1 MiB"),
    Row("write-private-of-64-MiB", "first write, private, object of 64 MiB"),
    Row("write-private-of-4096-MiB", "first write, private, object of 4 GiB"),
    Row("write-private-among-1", "first write, private, among 1 mapping"),
    Row("write-private-among-30", "first write, private, among 30"),
    Row("write-private-among-1000", "first write, private, among 1,000"),
    Row("write-shared-among-1", "first write, shared, among 1 mapping"),
    Row("write-shared-among-30", "first write, shared, among 30"),
    Row("write-shared-among-1000", "first write, shared, among 1,000"),
]

WALKS = [
    Row("walk-1", "young bits of a page mapped once", 0.80),
    Row("walk-10", "of a page mapped 10 times", 0.80),
    Row("walk-100", "of a page mapped 100 times", 0.80),
    Row("walk-1000", "of a page mapped 1,000 times", 0.80),
    Row("walk-clone-1", "of a page that a clone wrote", 0.80, than="walk-1"),
    Row("walk-clone-10", "that one of 10 clones wrote", 0.80, than="walk-1"),
    Row("walk-clone-100", "that one of 100 wrote", 0.80, than="walk-1"),
    Row("walk-clone-1000", "that one of 1,000 wrote", 0.80, than="walk-1"),
]

CLONES = [
    Row("clone-of-64-MiB", "64 MiB", peer="anon"),
    Row("clone-of-1024-MiB", "1 GiB", peer="anon"),
    Row("clone-of-1024-MiB", "  the same, against one of 64 MiB", 1.10, peer="cowmem", than="clone-of-64-MiB"),
    Row("clone-memory", "64 MiB: kernel's memory, mapped, untouched", 1.00, peer="anon", unit="bytes"),
    Row("clone-memory-used", "  the same, 1 % read and 1 % written", 1.00, peer="anon", unit="bytes"),
]

AMONG_SNAPSHOTS = [
    Row(f"{work}-among-250-snapshots", title, 1.25, peer="cowmem", than=f"{work}-among-1-snapshots")
    for work, title in (
        ("read", "read fault"),
        ("write", "first write"),
        ("snapshot", "SNAPSHOT, 1 % written"),
        ("clone", "CLONE, the same"),
        ("restore", "RESTORE to the last, the same"),
        ("diff", "DIFF with the last, the same"),
    )
]

FEW_CHILDREN, MANY_CHILDREN, CHILD_GOAL = "children-1", "children-512", 1.2
CHILDREN = [
    Row("children-1", "an only child"),
    Row("children-8", "one of 8"),
    Row("children-64", "one of 64"),
    Row("children-512", "one of 512"),
    Row(MANY_CHILDREN, "  the same, against an only one", CHILD_GOAL, peer="cowmem", than=FEW_CHILDREN),
]

# What an object costs whose memory devices may write for long, against an ordinary one.
PINNABLE = [
    Row(f"pinnable-{work}", title, peer="cowmem", than=work)
    for work, title in (
        ("write-hole", "first write to a hole, shared"),
        ("write-shared", "first shared write of a populated page"),
        ("read-shared", "sequential read, fault-around 16"),
        ("snapshot", "snapshot of 256 MiB, 1 % written"),
        ("read-after-snapshot", "first read after a snapshot"),
        ("write-after-snapshot", "first write after a snapshot"),
    )
]

# In pages of both sizes, against anonymous memory, with THP and without, and a memfd, the same.
TOUCH_MEM, TOUCH_ROUNDS, TOUCH_GOAL = 4608, 1, 1.02  # MiB of the machine
FIVE_PASSES = "touch-five-2m"
TOUCH = [
    Row(f"touch-{work}-{size}", title if peer == "anon" else "  the same, against a memfd", goal if size == "2m" else None, peer=peer)
    for size in ("4k", "64k", "2m")
    for work, title, goal in (
        ("first", f"{size}: 1 GiB, first pass: all bytes", None),
        ("five", f"{size}: 3 GiB, five passes", TOUCH_GOAL),
    )
    for peer in ("anon", "memfd")
] + [
    Row(f"touch-load-{size}", f"{size}: 256 MiB, by write()", peer="memfd") for size in ("4k", "2m")
] + [
    Row(f"touch-{work}-{size}", f"{size}: {title}", peer="anon")
    for size in ("4k", "64k", "2m")
    for work, title in (("keep", "1 GiB, all written: SNAPSHOT; fork"), ("kept", "512 MiB: a byte of each page after it"))
] + [
    Row("touch-keep-2m", "SNAPSHOT of 2 MiB pages, against 4 KiB", 0.01, peer="cowmem", than="touch-keep-4k"),
    Row("touch-kept-2m", "  a byte of each page after it, the same", 1.10, peer="cowmem", than="touch-kept-4k"),
]

PAGING = [
    Row(f"page-{work}-{data}", f"{title}{of}", goal, peer="anon")
    for data, of in (("records", ""), ("words", ", of one word"))
    for work, title, goal in (
        ("out", "page-out", 0.80),
        ("in-read", "read of a paged-out page", 0.80),
        ("in-read-write", "read, then write of one", 0.60),
        ("in-private", "private write of one", 0.70),
    )
] + [
    Row("page-out-memory", "kernel's memory per paged-out page", 1.00, unit="bytes"),
    Row("page-out-memory", "  the same, against anonymous memory", None, peer="anon", unit="bytes"),
]

# What reclaim keeps: major faults of a thousand accesses, in a cgroup whose hot set takes 80 % of its limit.
HOT_ROUNDS, HOT_GOAL = 1, 0.80
HOT = [
    Row(f"hot-{distribution}{of}", f"{title}{what}", HOT_GOAL if of != "-cold" else None, peer="anon", unit="faults",
        than=f"hot-{distribution}{of}-{peer}")
    for peer in ("zram", "zswap")
    for distribution, title in (("uniform", "all alike"), ("fifth", "4 of 5 of a fifth"), ("zipf", "as one over the rank"))
    for of, what in (("", f": {peer}"), ("-cold", ", the scan"), ("-all", ", both"))
]  # fmt: skip


# ---- Measuring ---------------------------------------------------------------------------


class Figures:
    """What one boot measured: the median of its rounds, per page."""

    def __init__(self, kernel, lines, seconds):
        self.kernel, self.seconds = kernel, seconds
        self.rounds = collections.defaultdict(list)
        self.order = []  # of (work, kind, units), as they were run
        for line in lines:
            word, *rest = line.split()
            if word == "bench":
                work, kind, units, total = rest
                self.rounds[work, kind].append(int(total) / int(units))
                self.order.append((work, kind, int(units)))

    def take(self, other, rows):
        """Add what another boot of the same kernel measured of `rows`."""
        works = {work for row in rows for work in (row.work, row.than)}
        self.rounds.update({key: rounds for key, rounds in other.rounds.items() if key[0] in works})

    def has(self, rows):
        return (rows[0].work, "cowmem") in self.rounds

    def of(self, work, kind):
        return statistics.median(self.rounds[work, kind])

    def check_clock(self):
        """The calibrating loop's instructions took one nanosecond each, and no less."""
        wrong = abs(self.of("calibrate", "anon") - 1)
        if wrong > CLOCK_ERROR:
            raise RuntimeError(f"the guest's clock is wrong by {wrong:.1%}: it does not count instructions")
        return wrong

    def floor(self, row):
        return sum(part * self.of(work, "anon") for work, part in row.floor.parts) if row.floor else None

    def peer(self, row):
        return self.of(row.than or row.work, row.peer)

    def ratio(self, row):
        return self.of(row.work, "cowmem") / self.peer(row)


# A program is where it was the last time, and its page tables are as many.
STILL = "norandmaps"


def run_in_guest(arch, out, program, runs, before=(), peer=False, kernels=(), idle=None, series=None, mem=2048, **options):
    """Boot Debian's kernel, the main one or the newest of another series, take the steps `before` and
    run a program of qemu/, once with each of the arguments `runs`, and with `idle`, if there are any, by turns
    with cowmem loaded and unloaded; the kernel's release, what the program said and how long it all took come back.
    With `peer`, the module of kunit/peer is there, and cowmem built for tests; `kernels` are
    modules of the kernel's own.
    """
    out.mkdir(parents=True, exist_ok=True)
    kernel = guest.kernel("stock", *filter(None, [series]), arch)
    module = guest.build_module(kernel, arch, peer=peer)
    modules = ["cowmem", *(["cowmem_peer"] if peer else [])]
    needed = filter(None, guest.run("modinfo", "-F", "depends", module / "cowmem.ko").strip().split(","))
    others = guest.module_files(kernel, (*needed, *kernels))
    programs = {name: guest.build_program(ROOT / f"qemu/{name}.c", arch) for name in ("init", program)}
    load = [f"load /lib/{name}.ko" for name in modules]
    unload = [f"unload {name}" for name in reversed(modules)]
    turn = [f"run /bin/{program} {idle}", *unload, f"run /bin/{program} {idle}", *load]
    steps = [*(f"load /lib/{name}.ko" for name in others), *load, *before, *(f"run /bin/{program} {run}" for run in runs),
             *(turn * IDLE_TURNS if idle else []), *unload]  # fmt: skip
    initramfs.write(out / "initramfs.gz", {
        "init": (programs["init"].read_bytes(), 0o755),
        f"bin/{program}": (programs[program].read_bytes(), 0o755),
        **{f"lib/{name}.ko": ((module / f"{name}.ko").read_bytes(), 0o644) for name in modules},
        **{f"lib/{name}.ko": (data, 0o644) for name, data in others.items()},
        "etc/run": ("\n".join([*steps, ""]).encode(), 0o644),
    })  # fmt: skip
    result = vm.boot(arch, kernel, out / "initramfs.gz", out / "console.log", mem=mem, **options)
    said = [line for step in result.steps for line in step.program]
    if result.problems:
        raise RuntimeError("\n".join(["the boot was not clean", *result.problems, *said[-5:]]))
    return (kernel / "release").read_text().strip(), said, result.seconds


def measure(arch, out, arguments, before=(), extra_qemu=(), peer=False, kernels=(), more=(), idle=None, series=None, mem=2048):
    """The Figures of qemu/bench.c with `arguments`, and of more runs of it."""
    return Figures(*run_in_guest(arch, out, "bench", [arguments, *more], before, peer, kernels, idle, series, mem, smp=1,
                                 icount=True, append=STILL, extra_qemu=extra_qemu))  # fmt: skip


def measure_walks(arch, out, series):
    """The Figures of the reverse-map walks, in a boot of their own."""
    return measure(arch, out, f"{MIB} {ROUNDS} calibrate {' '.join(row.work for row in WALKS)}", peer=True, series=series)


def measure_paging(arch, out, series):
    """The Figures of page-out and what follows, in a boot that swaps to zram."""
    works = dict.fromkeys(row.work for row in PAGING)
    return measure(arch, out, f"{MIB} {ROUNDS} calibrate {' '.join(works)}", kernels=("zram", "lz4"), series=series)


def measure_touch(arch, out, works=tuple(dict.fromkeys(row.work for row in TOUCH))):
    """The Figures of passes over much memory, in a boot of their own."""
    return measure(arch, out, f"{MIB} {TOUCH_ROUNDS} calibrate {' '.join(works)}", mem=TOUCH_MEM)


def measure_hot(arch, out, series=None):
    """The Figures of what reclaim keeps, beside swap to zram and to zswap, in a boot of their own."""
    said = run_in_guest(arch, out, "bench_hot", [HOT_ROUNDS], kernels=("zram", "loop", "lz4"), series=series, smp=1, icount=True, append=STILL)
    return Figures(*said)


# ---- Telling -----------------------------------------------------------------------------


def table(figures, rows):
    head = f"{'':42}{'cowmem':>9}{'peer':>11}  {'':7}{'ratio':>5}{'goal':>7}{'floor':>8}"
    lines = [head]
    for row in rows:
        ratio, floor = figures.ratio(row), figures.floor(row)
        digits = 0 if row.unit == "instructions" else 1
        lines.append(
            f"{row.title:42}{figures.of(row.work, 'cowmem'):9,.{digits}f}{figures.peer(row):11,.{digits}f}"
            f"  {row.peer:7}{ratio:5.2f}" + (f"{row.goal:7.2f}" if row.goal else " " * 7) +
            (f"{floor:8,.0f}" if floor else " " * 8) + ("  misses" if row.goal and ratio > row.goal else "")
        )  # fmt: skip
    return [line.rstrip() for line in lines]


def describe(arch, figures, wrong):
    floors = {row.floor.title: figures.floor(row) for row in ROWS if row.floor}
    return [
        f"cowmem's benchmarks: Linux {figures.kernel}, {arch}, one CPU under -icount",
        f"instructions per page (bytes where it says memory), {MIB} MiB, median of {ROUNDS} rounds",
        f"the clock against a loop of known length: {wrong:.2%} off",
        "",
        *table(figures, ROWS),
        "",
        "floors, measured in the same boot:",
        *(f"  {value:8,.0f}  {title}" for title, value in floors.items()),
        "",
        "cost per fault as the object and the mappings grow:",
        *table(figures, SCALING),
        "",
        "clone of a snapshot, each, against fork() of a process that has written as much:",
        *table(figures, CLONES),
        "",
        "a child, from fork() to its end, with a mapping of its own and 24 private copies:",
        *table(figures, CHILDREN),
        "",
        "among 250 open snapshots, 1 % written between each and the next, against one:",
        *table(figures, AMONG_SNAPSHOTS),
        "",
        "an object whose memory devices may write for long, against an ordinary one:",
        *table(figures, PINNABLE),
        "",
        "reverse-map walk, per mapping, against the kernel's folio_referenced() of a memfd's page:",
        *table(figures, WALKS),
        "",
        "paging, against memory that is swapped to zram, both by lz4, same data:",
        *table(figures, PAGING),
        "",
        *([f"passes over much memory, in pages of 4 KiB, 64 KiB and 2 MiB, with {TOUCH_MEM} MiB in the machine:",
           *table(figures, TOUCH), ""] if figures.has(TOUCH) else []),
        "major faults of 1,000 accesses of a hot set of 80 % of a cgroup's memory.max, and of a scan of twice as much as that besides:",
        *table(figures, HOT),
    ]


def as_json(arch, figures):
    def of(row):
        floor = figures.floor(row)
        return {
            "work": row.work, "title": row.title.strip(), "unit": row.unit, "peer": row.peer, "than": row.than,
            "cowmem": round(figures.of(row.work, "cowmem"), 1), "of_peer": round(figures.peer(row), 1),
            "ratio": round(figures.ratio(row), 3), "goal": row.goal, "floor": floor and round(floor, 1),
        }  # fmt: skip

    return {"kernel": figures.kernel, "arch": arch, "mib": MIB,
            "rows": [of(row) for row in ROWS], "scaling": [of(row) for row in SCALING],
            "clones": [of(row) for row in CLONES], "children": [of(row) for row in CHILDREN], "snapshots": [of(row) for row in AMONG_SNAPSHOTS],
            "pinnable": [of(row) for row in PINNABLE],
            "walks": [of(row) for row in WALKS], "paging": [of(row) for row in PAGING], "touch": [of(row) for row in TOUCH if figures.has(TOUCH)],
            "hot": [of(row) for row in HOT]}  # fmt: skip


def put_in_page(begin, lines):
    """The page of benchmarks says between two comments what the last record was. Whether it does for this one."""
    begin, end = f"<!-- {begin} -->\n", "<!-- end -->\n"
    before, found, rest = PAGE.read_text().partition(begin)
    if found:
        block = "".join(f"    {line}".rstrip() + "\n" for line in lines)
        PAGE.write_text(f"{before}{begin}\n{block}\n{end}{rest.partition(end)[2]}")
    return bool(found)


def tell_table(arch, out, record, series):
    figures = measure(arch, out, f"{MIB} {ROUNDS}", series=series)
    walks = measure_walks(arch, out / "walks", series)
    walks.check_clock()
    figures.take(walks, WALKS)
    paging = measure_paging(arch, out / "paging", series)
    paging.check_clock()
    figures.take(paging, PAGING)
    if not series:  # the others have no pages of 2 MiB
        touch = measure_touch(arch, out / "touch")
        touch.check_clock()
        figures.take(touch, TOUCH)
    figures.take(measure_hot(arch, out / "hot", series), HOT)
    lines = describe(arch, figures, figures.check_clock())
    print("\n" + "\n".join(lines) + "\n")
    result = as_json(arch, figures)
    (out / "bench.json").write_text(json.dumps(result, indent=1) + "\n")
    (out / "bench.svg").write_text(chart.ratios(result["rows"], f"cowmem / peer, {figures.kernel}, {arch}"))
    print(f"written: {(out / 'bench.json').relative_to(ROOT)}, {(out / 'bench.svg').relative_to(ROOT)}")
    begin = f"make bench RECORD=1 ARCH={arch}"
    if record and series:
        put_in_page(f"{begin} KERNEL={series}", lines)
    elif record:
        write_record(arch, measure_guarded(arch, out / "guard"))
        if put_in_page(begin, lines):
            shutil.copy(out / "bench.svg", RECORD.with_name(f"bench-{arch}.svg"))
        print(f"recorded: {RECORD.relative_to(ROOT)}; if it tells of {arch}, {PAGE.relative_to(ROOT)} and its chart")


def tell_profile(arch, out):
    """The same works once more, with every instruction put down to its function."""
    columns = {row: [(row.work, "cowmem"), (row.work, row.peer),
                     *((work, "anon") for work, _ in (row.floor.parts if row.floor else ()))]
               for row in ROWS if row.unit == "instructions"}  # fmt: skip
    works = sorted({work for of_row in columns.values() for work, _ in of_row})
    tracer = bench_profile.Tracer(out, guest.build_program(ROOT / "qemu/bench.c", arch))
    figures = measure(arch, out, f"{MIB} {ROUNDS} {' '.join(works)}", [tracer.step], tracer.qemu)
    found = tracer.read(figures.order)
    lines = [f"Instructions per page by function: Linux {figures.kernel}, {arch}, {MIB} MiB, mean of {ROUNDS} rounds", ""]
    for row, of_row in columns.items():
        lines += [row.title, *bench_profile.table(found, of_row), ""]
    (out / "profile.txt").write_text("\n".join(lines))
    print(f"written: {(out / 'profile.txt').relative_to(ROOT)}")


# ---- Guarding ----------------------------------------------------------------------------

GUARDED = [row for row in ROWS if row.peer == "memfd" and row.work.startswith(("write", "read", "unmap"))]


# What a machine does all the time, and no page of it is an object's: (work, kind of memory).
# Nobody is to notice that the module is there.
IDLE = [("idle-calls", "anon"), ("idle-files", "anon"), ("idle-pipe", "anon"), ("idle-maps", "anon"), ("idle-forks", "anon"),
        ("idle-holes", "memfd"), ("idle-holes", "anon"), ("idle-copies", "memfd"), ("idle-reads", "memfd")]  # fmt: skip
IDLE_MIB, IDLE_TURNS, IDLE_ROUNDS, IDLE_ERROR = 16, 3, 4, 0.001


def measure_guarded(arch, out):
    works = " ".join(["calibrate", *(row.work for row in GUARDED)])
    idle = f"{IDLE_MIB} {IDLE_ROUNDS} {' '.join(dict.fromkeys(work for work, _ in IDLE))}"
    figures = measure(arch, out, f"{GUARD_MIB} {ROUNDS} {works}",
                      more=[f"{GUARD_MIB} 1 {FEW_CHILDREN} {MANY_CHILDREN}"], idle=idle)  # fmt: skip
    figures.check_clock()
    return figures


def compare_idle(figures):
    """What each work of IDLE costs with the module, in parts of what it costs without: of the
    rounds the least is taken, to which interrupts have added the fewest. Turns with the module
    and without alternate, since a kernel changes as it works.
    """
    for work, kind in IDLE:
        yield f"{work} {kind}", min(figures.rounds[work, kind]) / min(figures.rounds[f"{work}-without", kind])


def growth_of_children(figures, kind):
    """What one of many children costs, in parts of what an only one does."""
    return figures.of(MANY_CHILDREN, kind) / figures.of(FEW_CHILDREN, kind)


@dataclasses.dataclass
class Guarded:
    """A cost now, in parts of what is recorded of it."""

    row: Row
    cost: float
    of: str  # what was compared

    @property
    def too_much(self):
        return self.cost > 1 + GUARD_ERROR[self.of]

    @property
    def far_less(self):
        return self.cost < 1 - GUARD_ERROR[self.of]


def compare_with_record(arch, figures):
    """Instructions, on the kernel that was recorded: they are the same in every boot. On
    another the ratio to the peer, since what the kernel does around a handler costs both.
    """
    recorded = json.loads(RECORD.read_text())[arch]
    for row in GUARDED:
        of = "instructions" if figures.kernel == recorded["kernel"] else "ratio"
        now = {"instructions": figures.of(row.work, "cowmem"), "ratio": figures.ratio(row)}[of]
        yield Guarded(row, now / recorded["works"][row.work][of], of)


def write_record(arch, figures):
    records = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    records[arch] = {
        "kernel": figures.kernel,
        "works": {row.work: {"instructions": round(figures.of(row.work, "cowmem")), "ratio": round(figures.ratio(row), 3)}
                  for row in GUARDED},
    }  # fmt: skip
    RECORD.write_text(json.dumps(records, indent=1, sort_keys=True) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("arch", choices=ARCHITECTURES)
    parser.add_argument("--profile", action="store_true", help="where the instructions go, instead of the table")
    parser.add_argument("--record", action="store_true", help="these costs are what `make test` is to expect")
    parser.add_argument("--kernel", metavar="SERIES", choices=guest.other_kernels(), help="another one of Debian's, for the table")
    options = parser.parse_args()
    if options.kernel and options.profile:
        parser.error("a profile is of the main kernel")
    out = OUT / "-".join(filter(None, [options.arch, options.kernel]))
    print(f"bench: booting, log in {(out / 'console.log').relative_to(ROOT)}", flush=True)
    if options.profile:
        tell_profile(options.arch, out)
    else:
        tell_table(options.arch, out, options.record, options.kernel)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        sys.exit(f"bench.py: {error}")
