#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Run the tests: boot each kernel in a VM, load cowmem, run the programs of
qemu/tests and, on the KUnit kernels, the KUnit suites; on stock ones programs of Debian's on
a mount of cowmem's (qemu/debian); all of them with --every-kernel --everything; hold what a few works cost
against the record of it; check the models of kunit/model, and that the tests show every
errno of the interface; check the library and the tool on this machine; then say what passed and which requirements of kunit/requirements.md
that shows. With --soak: all of it on the debug kernels of each kind, the storms for minutes, and
those against a model and the one of RESTOREs on a stock one; and for hours the fuzzer, after
which comes how much of each file of the module it has run. Where all kinds of debug kernels were booted a table
says what each had switched on, and how its tests went.

A test claims requirements by printing "# shows: R1 R2" before its result (from
KUnit: kunit_info(test, "shows: R1 R2")). The last line is the sum of it all.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import importlib
import io
import itertools
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback

import bench
import bench_smp
import coverage
import errnos
import guest
import initramfs
import manual
import model
import userspace
import vm

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "test"
REQUIREMENTS = ROOT / "kunit" / "requirements.md"

AT_ONCE = 3  # VMs, each with two CPUs, which wait now and then
EXCERPT = 30  # log lines told of a failed test
LOAD_SUITES = "load /lib/cowmem_kunit.ko"  # KUnit runs them as the module comes in
SEEDED_RACE = r"KCSAN: data-race in cowmem_test_race\b"  # kunit/kcsan_test.c


@dataclasses.dataclass(frozen=True)
class Plan:
    """What to do with one kernel."""

    kind: str
    arch: str
    program_limit: int  # seconds of a machine that does nothing else (qemu/init.c): longer is a hang
    seconds: int  # what the whole takes there, about
    modules: tuple[str, ...] = ()  # of the kernel's own, with all that they need
    storm: int = 0  # seconds, for each program that is a storm; 0: what it does by itself
    operations: int = 0  # for COUNTED, in each of their cases; 0: what they do by themselves
    smp: int = 2
    mem: int = 1024  # MiB
    append: str = ""  # to the kernel's command line
    cpu: str = ""  # QEMU's; otherwise one that has everything
    machine: str = ""  # more properties of QEMU's machine
    programs: tuple[str, ...] = ()  # no others are run here; none named: all
    leaves_out: tuple[str, ...] = ()  # these are run here only if everything is asked for
    contention: bool = False  # whether to run qemu/bench_smp.c, too
    kernel: str = ""  # as scripts/kernel.sh calls it, if it is not the main one
    parameters: str = ""  # of cowmem's
    has_suites: bool = True  # of KUnit, if the kernel has that at all
    coverage: bool = False  # whether the module tells which of its branches have run, and the runner where they are

    @property
    def name(self):
        return "-".join(filter(None, [self.kind, self.kernel, self.arch, self.cpu, f"{self.mem}m" if self.mem != 1024 else "",
                                      self.parameters.replace("=", "-"),
                                      "coverage" if self.coverage else ""]))  # fmt: skip

    @property
    def extra_qemu(self):
        lacks = LACKS[self.arch] if self.kind in DEBUG_KERNELS or self.storm else ""
        cpu = ",".join(filter(None, [self.cpu or "max", lacks]))
        return (["-cpu", cpu] if cpu != "max" else []) + (["-machine", self.machine] if self.machine else [])

    def arguments(self, code):
        if code == CONTENTION:
            return CONTENTION_ARGUMENTS
        if code in COUNTED:
            return str(self.operations or "")
        if code.parent == DEBIAN:
            return "long" if self.storm else ""
        return str(self.storm or "") if code.stem.endswith("storm") or code == FUZZ else ""

    def wants(self, codes, everything):
        left_out = () if everything else self.leaves_out
        return [code for code in codes if (not self.programs or code.stem in self.programs) and
                code.stem not in left_out and (self.contention or code != CONTENTION) and
                (code.parent != DEBIAN or self.kind == "stock") and
                (code != EMULATOR or self.arch == "x86_64" and not self.kernel) and
                (code != BINDING or self.arch == platform.machine())]  # fmt: skip


# What the CPU of a debug kernel, and of the long runs of `soak`, does not have, as QEMU's -cpu says it. arm64: QEMU authenticates a kernel's
# return addresses one by one, which takes half the time of a debug kernel; Debian's kernel has that switched on. x86_64: an interrupt that
# comes while a kernel asks what its first CPU can finds it without five levels of page tables, and KASAN takes its own memory for a wild
# address: that was seen on 7.3, once.
LACKS = {"arm64": "pauth=off", "x86_64": f"{vm.COPIES},la57=off"}

# What no architecture has a say in: on arm64 that is left to those who ask for everything.
ALIKE = ("backing", "badinput", "calls", "cold", "copylimit", "depth", "diff", "drain", "escape", "fileops", "files", "forks", "fuzz", "layerstorm", "limits", "manual", "memory", "module", "move", "names", "numa", "object", "populate", "pressure", "probes", "ranges", "reclaim", "reflink", "restorestorm", "rmap_vs_procfs", "several", "shares", "tool")  # fmt: skip

# What measures the machine's memory: a debug kernel's red zones and quarantine are charged to nobody,
# and half of `reclaim` is skipped there.
MEASURES = ("escape", "reclaim")

# What user space makes of the interface: no kernel that checks itself finds more by it.
USERS = ("library", "library_cxx", "binding", "tool", "manual")

# KVM is not built into the debug kernels; on arm64 it needs a CPU that begins in EL2, which is
# slower, so that one boot there has that.
KVM = ROOT / "qemu/tests/kvm.c"
# What no debug kernel runs, but for who asks for everything.
NOT_DEBUGGED = (*MEASURES, *USERS, KVM.stem)
MICROVM = ROOT / "src/examples/microvm.c"  # which it runs

# What a kernel of Debian's has as modules, and tests or cowmem itself need.
MODULES = {"x86_64": ("loop", "zram", "zstd", "mce-inject", "kvm-amd"), "arm64": ("loop", "zram", "zstd")}
# What the disk with Debian's programs takes, and the steps to it.
DEBIAN_MODULES = ("virtio_pci", "virtio_blk", "ext4")
DEBIAN = ROOT / "qemu/debian"
EMULATOR = DEBIAN / "emulator.py"  # QEMU in QEMU, which takes minutes: in one boot only
FORK = DEBIAN / "fork.py"  # what it preloads, and into what, comes along
SEND = DEBIAN / "send.py"  # and the tool
FORK_PAGE = ROOT / "src/fork/libcowmem-fork.7"  # its example is for programs of Debian's
IN_DEBIAN = "/bin/debian "
# Of these only what is short, or shows what nothing else does, is not left to who asks for everything.
SHORT_SCRIPTS = ("sqlite", "fork", "send")
LONG_SCRIPTS = ("mdb", "valkey", "fio", "stress", "postgres", "emulator")
# It is for its figures, and those on x86_64 say as much.
TIMED = ("bench_smp",)
# A file system for /tmp, on kernels other than the main one: their tmpfs may have no files that can be opened O_DIRECT. Debug kernels have
# it built in.
DIRECT = ("ext4",)

# What takes a debug kernel longest of what judges accounts, orders and answers more than locks: run there only with --every-kernel, or --everything.
LONG = ("backing", "calls", "cold", "drain", "fileops", "memory", "module", "names", "pressure", "ranges", "reflink", "restorestorm", "shares")
# The same on arm64, of what the debug kernel of x86_64 runs, too.
LONG_ON_ARM64 = ("large", "large_io", "pageout", "races", "snapshot")

PLANS = [
    Plan("kunit", "x86_64", 600, 600, operations=1_000, leaves_out=NOT_DEBUGGED + LONG),
    Plan("kunit", "arm64", 600, 400, operations=1_000, leaves_out=NOT_DEBUGGED + ALIKE + LONG_ON_ARM64),
    Plan("stock", "x86_64", 600, 300, modules=MODULES["x86_64"], contention=True, leaves_out=LONG_SCRIPTS),
    Plan("stock", "arm64", 600, 150, modules=MODULES["arm64"], contention=True, leaves_out=ALIKE + LONG_SCRIPTS + SHORT_SCRIPTS + TIMED + (KVM.stem,)),
    # A CPU whose page tables have no dirty bit that the hardware sets (N11), and one with KVM.
    Plan("stock", "arm64", 600, 40, cpu="cortex-a72", machine="virtualization=on", programs=("pageout", "dirty", "kvm")),
]
# Of Debian's other kernels, what is run unless everything is asked for.
SELECTION = ("cow", "diff", "faults", "files", "lazy", "object", "pageout", "rmap", "snapshot", "swapped")
NOT_SELECTED = tuple(path.stem for folder in (ROOT / "qemu/tests", DEBIAN) for path in folder.iterdir()
                     if path.stem not in SELECTION)  # fmt: skip
# Those, and debug kernels of the oldest and the newest series.
OTHER_KERNELS = [
    Plan("stock", arch, 600, 300, modules=MODULES[arch] + DIRECT, kernel=kernel, leaves_out=NOT_SELECTED)
    for kernel in guest.other_kernels() for arch in ("x86_64", "arm64")
]
OTHER_KERNELS += [
    Plan("kunit", "x86_64", 600, 700, kernel="6.1", has_suites=False),  # its KUnit gives them no address space
    Plan("kunit", "x86_64", 600, 900, kernel="7.3"),
]
# What a kernel can be asked to check, as its configuration has it. Not all is to be had at once: hence the kinds of
# debug kernels. KCSAN watches one access in 300 instead of one in 4000.
CHECKS = {"PREEMPT": "preemption", "PREEMPT_RT": "PREEMPT_RT", "PROVE_LOCKING": "lockdep", "DEBUG_ATOMIC_SLEEP": "atomic sleep",
          "KASAN": "KASAN", "KCSAN": "KCSAN", "UBSAN": "UBSAN"}  # fmt: skip
DEBUG_KERNELS = {"kunit": "", "rt": "", "kcsan": "kcsan.skip_watch=300"}  # and what is appended to their command lines
OTHER_KERNELS += [
    Plan(kind, arch, 900, 900, operations=1_500, append=append, leaves_out=NOT_DEBUGGED)
    for kind, append in DEBUG_KERNELS.items() if kind != "kunit" for arch in ("x86_64", "arm64")
]
# Each series once: the architectures take turns.
SELECTED_KERNELS = [dataclasses.replace(plan, seconds=60) for i, plan in enumerate(OTHER_KERNELS)
                    if plan.kind == "stock" and i % 4 in (0, 3)]  # fmt: skip
# Every object takes large pages where it can, but where a test says that it is about those of 4 KiB. On a debug kernel, what is about locks
# and order.
ALWAYS_HUGE = "huge=always"
TESTS = tuple(path.stem for path in (ROOT / "qemu/tests").glob("*.c") if path.stem != "module")  # that loads the module anew, without
STORMS = tuple(name for name in TESTS if name.endswith("storm")) + ("forks", "fuzz", "pageout", "pins", "races", "snapshot")
OTHER_KERNELS += [
    Plan("stock", arch, 600, 400, modules=MODULES[arch], parameters=ALWAYS_HUGE, programs=TESTS) for arch in ("x86_64", "arm64")
]
OTHER_KERNELS += [Plan("kunit", "x86_64", 600, 300, operations=1_000, parameters=ALWAYS_HUGE, programs=STORMS, has_suites=False)]
OTHER_KERNELS += [Plan("stock", "x86_64", 600, 120, modules=MODULES["x86_64"], kernel="7.3", parameters=ALWAYS_HUGE, programs=(*STORMS, "lazy"))]
# More CPUs than there are, so that they stop anywhere.
SOAK = [
    Plan(kind, arch, 900, 1800, storm=180, operations=20_000, smp=4, append=append,
         leaves_out=NOT_DEBUGGED)  # fmt: skip
    for kind, append in DEBUG_KERNELS.items() for arch in ("x86_64", "arm64")
]
# Millions of operations against the model, of RESTOREs, and of other programs', which a debug
# kernel is too slow for.
SOAK += [
    Plan("stock", arch, 3600, 2500, storm=180, operations=1_000_000, smp=4,
         programs=("layerstorm", "restorestorm", "fileops", *SHORT_SCRIPTS, *LONG_SCRIPTS))  # fmt: skip
    for arch in ("x86_64", "arm64")
]
# Hours of calls that are made up, and kept by what of the module's code they are the first to reach.
SOAK += [Plan("kunit", "x86_64", 9000, 7200, storm=7200, smp=2, programs=("fuzz",), coverage=True)]
FUZZ = ROOT / "qemu/tests/fuzz.c"
FILEOPS = ROOT / "qemu/tests/fileops.c"
COUNTED = FILEOPS, ROOT / "qemu/tests/restorestorm.c"
MODULE = ROOT / "qemu/tests/module.c"
CONTENTION = ROOT / "qemu/bench_smp.c"
TOOL = ROOT / "qemu/tests/tool.c"  # runs the tool `cowmem`
BINDING = ROOT / "qemu/tests/binding.py"  # runs only in a guest of this machine's architecture
MANUAL = ROOT / "qemu/tests/manual.c"  # runs the manual's examples
DISK = "/lib/disk.img"
CONTENTION_ARGUMENTS = "10 1"  # milliseconds, rounds: whether it works, not how fast
COSTS = {f"costs-{arch}": arch for arch in bench.ARCHITECTURES}
OTHER_SECONDS = {"costs-x86_64": 120, "costs-arm64": 160, "setup": 1, "userspace": 20, "errnos": 1, "builds": 350, "rebuilds": 500, "model": 60, "touch": 200}  # as Plan.seconds
# What the module is built with, besides an architecture: Debian's kernels have no KUnit. The
# kernel is as scripts/kernel.sh takes it.
BUILDS = [((kind,), kunit, peer) for kind in ("stock", "kunit") for kunit in (False, True) for peer in (False, True)
          if kind == "kunit" or not kunit]  # fmt: skip
OTHER_BUILDS = [(("stock", kernel), False, False) for kernel in guest.other_kernels()]


@dataclasses.dataclass
class Test:
    """One test in one boot."""

    name: str
    status: str  # passed, failed or skipped
    shows: list[str] = dataclasses.field(default_factory=list)
    why: str = ""
    log: list[str] = dataclasses.field(default_factory=list)
    boot: str = ""


results = []
output_lock = threading.Lock()


def say(text):
    with output_lock:
        print(text, flush=True)


class Progress:
    """How many steps of all boots are done, and how long the rest will take, about."""

    def __init__(self):
        self.planned = {}  # boot: steps, seconds
        self.done = collections.Counter()  # boot: steps
        self.began = None

    def plan(self, boot, steps, seconds):
        self.planned[boot] = steps, seconds

    def step(self, boot):
        """One step of @boot is done: in words, how far that is."""
        self.done[boot] += 1
        done = {name: min(1, self.done[name] / steps) * seconds for name, (steps, seconds) in self.planned.items()}
        spent, total = sum(done.values()), sum(seconds for _, seconds in self.planned.values())
        text = f"{sum(self.done.values())} of {sum(steps for steps, _ in self.planned.values())} steps"
        minutes = (time.monotonic() - self.began) * (total - spent) / spent / 60
        return text + (f", about {minutes:.0f} min left" if minutes >= 1 else "")


progress = Progress()


def count(tests):
    by_status = collections.Counter(test.status for test in tests)
    return ", ".join(f"{by_status[s]} {s}" for s in ("passed", "failed", "skipped") if s != "skipped" or by_status[s])


def report(boot, title, tests, seconds):
    """Take in the tests of one step of one boot; tell about them in one line, more where one failed."""
    for test in tests:
        test.boot = boot
    lines = [f"{boot:12}  {title}: {count(tests)} ({seconds:.1f} s; {progress.step(boot)})"]
    for test in tests:
        if test.status == "failed":
            lines.append(f"    FAILED {test.name}" + (f": {test.why}" if test.why else ""))
            lines += [f"      | {line}" for line in test.log[-EXCERPT:]]
    results.extend(tests)
    say("\n".join(lines))


# ---- Reading results -------------------------------------------------------------------

SHOWS = re.compile(r"^\s*#\s*(?:(\S+): )?shows:\s*(.*)$")
RESULT = re.compile(r"^(not )?ok (\d+)(?: -)? ?(.*)$")
DIRECTIVE = re.compile(r"\s*# (SKIP|XFAIL|error)\b\s*", re.IGNORECASE)
PLAN = re.compile(r"^1\.\.(\d+)( # SKIP\s*(.*))?$")


def read_tap(program, lines, status):
    """The tests of one user-space program, from its output and its exit status (None: none)."""
    tests, shows, log, planned, skip = [], [], [], None, None
    for line in lines:
        log.append(line)
        if match := SHOWS.match(line):
            shows += re.findall(r"\bR\d+\b", match[2])
        elif match := PLAN.match(line):
            planned, skip = int(match[1]), match[3] if match[2] else None
        elif match := RESULT.match(line):
            directive = DIRECTIVE.search(match[3])
            # "name # SKIP why", or "# SKIP name": kselftest.h says it the second way.
            name, why = match[3], ""
            if directive:
                name, why = name[: directive.start()], name[directive.end() :]
                name, why = (name, why) if name else (why, "")
            state = "failed" if match[1] else "skipped" if directive else "passed"
            tests.append(Test(f"{program}: {name.strip()}", state, shows, why, log))
            shows, log = [], []
    if planned == 0 and skip is not None and not tests and status in (0, vm.SKIPPED):
        return [Test(program, "skipped", shows, skip)]
    if status is None and not lines:
        return [Test(program, "failed", [], "did not run")]

    wrong = []
    if planned is None:
        wrong.append("no plan")
    elif planned != len(tests):
        wrong.append(f"{planned} planned, {len(tests)} seen")
    if status is None:
        wrong.append("did not end")
    elif status and not any(test.status == "failed" for test in tests):
        wrong.append(f"exit status {status}")
    if wrong:
        tests.append(Test(program, "failed", shows, "; ".join(wrong), log))
    return tests


def read_ktap(lines, source):
    """The tests of KUnit, from the kernel log, read by the kernel's own parser."""
    sys.path.insert(0, str(source / "tools/testing/kunit"))
    parser = importlib.import_module("kunit_parser")
    sys.path.pop(0)
    with output_lock:
        chatter = io.StringIO()
        parser.stdout = importlib.import_module("kunit_printer").Printer(chatter)
        tree = parser.parse_run_tests(lines)
    statuses = parser.TestStatus
    states = {statuses.SUCCESS: "passed", statuses.SKIPPED: "skipped"}
    tests = []

    def shown_by(test, shows):
        for line in test.log:
            if (match := SHOWS.match(line)) and match[1]:
                # Each run of a case with parameters says it again.
                shows[match[1]] += set(re.findall(r"\bR\d+\b", match[2])) - set(shows[match[1]])
        for subtest in test.subtests:
            shown_by(subtest, shows)
        return shows

    def leaves(test, path, shows):
        path = [*path, test.name or "a test that is missing"]
        before = len(tests)
        for subtest in test.subtests:
            leaves(subtest, path, shows)
        state = states.get(test.status, "failed")
        # A node above speaks for itself only if it failed and nothing below it did.
        if test.subtests and (state != "failed" or any(t.status == "failed" for t in tests[before:])):
            return
        why = "" if state == "passed" else test.status.name.lower()
        tests.append(Test(".".join(path), state, shows[path[1]] if len(path) > 1 else [], why, test.log))

    for suite in tree.subtests:
        leaves(suite, [], shown_by(suite, collections.defaultdict(list)))
    errors = re.findall(r"\[ERROR\] (.*)", chatter.getvalue())
    if not tests or errors and not any(test.status == "failed" for test in tests):
        tests.append(Test("KUnit", "failed", [], "; ".join(errors) or "no KTAP in the log", lines))
    return tests


def read_contention(boot, lines, status):
    """Faults got done at every number of tasks, with the speculative path and without, and
    every attempt was a commit or an abort. How many a second is told, and not judged."""
    said = bench_smp.Contention(lines)
    tests = []
    for work, title in bench_smp.TITLES.items():
        told = []
        for tasks in bench_smp.TASKS:
            rates = [said.rates[work, tasks, side] for side in ("cowmem", "locked")]
            if not all(rates) or not all(map(all, rates)) or not said.accounted_for(work, tasks):
                break  # at this number of tasks
            told.append("{:,.0f} / {:,.0f}".format(*said.both(work, tasks, "locked")) +
                        f" {said.aborts(work, tasks):.1%}")  # fmt: skip
        passed = status == 0 and len(told) == len(bench_smp.TASKS)
        tests.append(Test(f"contention: {title}", "passed" if passed else "failed", ["R43"],
                          why="" if passed else f"at {tasks} tasks, status {status}", log=lines))  # fmt: skip
        if passed:
            say(f"{boot:12}  {title}: faults/s with / without attempts, aborts, 1..16 tasks: {'; '.join(told)}")
    return tests


# ---- One boot ----------------------------------------------------------------------------


def foreign_modules(plan):
    """cowmem.ko for other kernels, by what `uname -r` says there: for the main one, or, there, for two others."""
    is_main = plan.kind == "stock" and not plan.kernel
    modules = {}
    others = [other.kernel for other in SELECTED_KERNELS if other.arch == plan.arch]
    for kernel in others if is_main else [""]:
        kernel_dir = guest.kernel("stock", *filter(None, [kernel]), plan.arch)
        release = (kernel_dir / "release").read_text().strip()
        modules[f"foreign/{release}"] = (guest.build_module(kernel_dir, plan.arch) / "cowmem.ko").read_bytes()
    return modules


def module_of(plan, kernel_dir):
    return guest.build_module(kernel_dir, plan.arch, kunit=plan.kind != "stock" and plan.has_suites, coverage=plan.coverage)


def prepare(plan, codes, suites, kernel_dir, source):
    """Build all that one boot needs; the files for its initramfs and the steps it will take come back."""
    out = OUT / plan.name
    out.mkdir(parents=True, exist_ok=True)
    module = module_of(plan, kernel_dir)
    scripts = [code for code in codes if code.parent == DEBIAN]
    modules = guest.module_files(kernel_dir, plan.modules + (DEBIAN_MODULES if scripts else ()))
    modules["cowmem"] = (module / "cowmem.ko").read_bytes()
    foreign = foreign_modules(plan) if MODULE in codes else {}

    steps = [f"limit {plan.program_limit}"]
    steps += [f"load /lib/{name}.ko {plan.parameters if name == 'cowmem' else ''}".rstrip() for name in modules]
    if plan.kernel:
        steps.append(f"direct {DISK}")
    steps += [f"run {IN_DEBIAN if code in scripts else '/bin/'}{code.stem} {plan.arguments(code)}".rstrip()
              for code in codes]  # fmt: skip
    if suites:
        modules["cowmem_kunit"] = (module / "cowmem_kunit.ko").read_bytes()
        steps += [LOAD_SUITES, "unload cowmem_kunit"]
    steps += ["unload cowmem", "kmemleak"]

    files = {f"lib/{name}.ko": (data, 0o644) for name, data in (modules | foreign).items()}
    if f"direct {DISK}" in steps:
        files[DISK] = (guest.disk_image(out / "disk.img", 64).read_bytes(), 0o600)
    if EMULATOR in scripts:
        balloon = guest.module_files(kernel_dir, ("virtio_balloon",))
        inner = OUT / plan.name / "guest.gz"
        initramfs.write(inner, {
            "init": (guest.build_program(DEBIAN / "guest.c", plan.arch).read_bytes(), 0o755),
            **{f"{name}.ko": (data, 0o644) for name, data in balloon.items()},
        })  # fmt: skip
        files["lib/debian/guest.gz"] = (inner.read_bytes(), 0o644)
        files["lib/debian/Image"] = ((kernel_dir / "Image").read_bytes(), 0o644)
    if scripts:
        files |= {f"lib/debian/{path.name}": (path.read_bytes(), 0o644) for path in DEBIAN.glob("*.py")}
    if FORK in scripts:
        files |= {
            "lib/debian/libcowmem-fork.so": ((guest.build_tools(plan.arch) / "libcowmem-fork.so").read_bytes(), 0o755),
            "lib/debian/libcowmem-fork.sh": (manual.script(FORK_PAGE).encode(), 0o644),
            "lib/debian/forked": (guest.build_program(DEBIAN / "forked.c", plan.arch).read_bytes(), 0o755),
            "lib/debian/busybox": (guest.busybox(plan.arch).read_bytes(), 0o755),
        }  # fmt: skip
    if SEND in scripts:
        files["lib/debian/cowmem"] = ((guest.build_tools(plan.arch) / "cowmem").read_bytes(), 0o755)
    if BINDING in codes:
        files |= guest.binding(plan.arch, BINDING)
    code_files = [code for code in codes if code not in scripts and code != BINDING]
    for code in code_files + ([ROOT / "qemu/debian.c"] if scripts else []):
        files[f"bin/{code.stem}"] = (guest.build_program(code, plan.arch, source).read_bytes(), 0o755)
    if {TOOL, MANUAL} & set(codes):
        files["bin/cowmem"] = ((guest.build_tools(plan.arch) / "cowmem").read_bytes(), 0o755)
    if MANUAL in codes:
        files |= examples(plan.arch)
    if KVM in codes:
        files["bin/microvm"] = (guest.build_program(MICROVM, plan.arch).read_bytes(), 0o755)
    files["init"] = (guest.build_program(ROOT / "qemu/init.c", plan.arch, source).read_bytes(), 0o755)
    return files, steps


def examples(arch):
    """The files that the manual's examples are, and a shell to run them."""
    files = {"bin/busybox": (guest.busybox(arch).read_bytes(), 0o755)}
    for page in manual.PAGES:
        if page != FORK_PAGE and (text := manual.script(page)):
            files[f"etc/manual/{page.name}.sh"] = (text.encode(), 0o644)
        for number, text in enumerate(manual.programs(page), 1):
            code = OUT / "manual" / arch / f"{page.name.replace('.', '_')}-{number}.c"
            code.parent.mkdir(parents=True, exist_ok=True)
            if not code.exists() or code.read_text() != text:
                code.write_text(text)
            files[f"etc/manual/{page.name}-{number}"] = (guest.build_program(code, arch).read_bytes(), 0o755)
    return files


def write_initramfs(plan, files, steps):
    path = OUT / plan.name / "initramfs.gz"
    initramfs.write(path, files | {"etc/run": ("\n".join([*steps, ""]).encode(), 0o644)})
    return path


def have_debian(plan, codes):
    """The codes that can be run, and QEMU's options for the disk that some need."""
    scripts = [code for code in codes if code.parent == DEBIAN]
    if not scripts:
        return codes, []
    try:
        disk = guest.debian(plan.arch)
    except guest.NotToBeHad as why:
        for code in scripts:
            report(plan.name, code.stem, [Test(code.stem, "skipped", why=str(why))], 0)
        return [code for code in codes if code not in scripts], []
    return codes, ["-drive", f"file={disk},if=virtio,format=raw,readonly=on"]


def boot(plan, codes, suites):
    out = OUT / plan.name
    source = guest.kernel("source")
    kernel_dir = guest.kernel(plan.kind, *filter(None, [plan.kernel]), plan.arch)
    detects_races = plan.kind == "kcsan"
    codes, disk = have_debian(plan, codes)
    files, steps = prepare(plan, codes, suites, kernel_dir, source)
    again = []  # steps that a second VM takes once more, to come where the first was
    left = list(steps)  # those that have not come to their end

    def resume(finished):
        again[:] = dict.fromkeys(step.line for step in finished if step.line.startswith(("limit ", "load ")))
        return write_initramfs(plan, files, [*again, *left])

    def on_step(step):
        if again:
            again.pop(0)
            return
        left.remove(step.line)
        word, _, argument = step.line.partition(" ")
        name = pathlib.Path(argument.removeprefix(IN_DEBIAN).partition(" ")[0]).stem
        if word == "run" and name == CONTENTION.stem:
            report(plan.name, name, read_contention(plan.name, step.program, step.status), step.seconds)
        elif word == "run":
            report(plan.name, name, read_tap(name, step.program, step.status), step.seconds)
            if plan.coverage and (places := coverage.places_told(step.program)):
                say("\n".join(coverage.table(module_of(plan, kernel_dir) / "cowmem.ko", places)))
        elif step.line == LOAD_SUITES:
            report(plan.name, "KUnit", read_ktap(step.kernel, source), step.seconds)

    log = out / "console.log"
    say(f"{plan.name:12}  booting, log in {log.relative_to(ROOT)}")
    result = vm.boot(plan.arch, kernel_dir, write_initramfs(plan, files, steps), log, nodes=2, smp=plan.smp,
                     append=plan.append, mem=plan.mem, extra_qemu=plan.extra_qemu + disk,
                     allow=[SEEDED_RACE] if detects_races else (), on_step=on_step, resume=resume)  # fmt: skip
    # What the VM's end cut off or kept from running has failed, too.
    unfinished = {step.line: step for step in result.steps if step.status is None}
    again.clear()
    for line in list(left):
        on_step(unfinished.get(line) or vm.Step(line, 0.0))
    tests = [Test(f"log of {plan.name} is clean", "failed" if result.problems else "passed", log=result.problems)]
    if detects_races and suites:
        tests.append(Test(f"the race that {plan.name} has to find", "passed" if result.allowed else "failed"))
    report(plan.name, "log", tests, result.seconds)


def check_costs(name, arch):
    """What works cost, in instructions, against the record (bench.py)."""
    say(f"{name:12}  booting, log in {(OUT / name / 'console.log').relative_to(ROOT)}")
    figures = bench.measure_guarded(arch, OUT / name)
    tests = []
    idle = dict(bench.compare_idle(figures))
    if max(idle.values()) > 1 + bench.IDLE_ERROR:
        # What else the kernel does in one boot only adds: of two the smaller cost is nearer to it.
        again = dict(bench.compare_idle(bench.measure_guarded(arch, OUT / name)))
        idle = {work: min(cost, again[work]) for work, cost in idle.items()}
    for work, cost in idle.items():
        tests.append(Test(f"cost of {work} with the module idle", "failed" if cost > 1 + bench.IDLE_ERROR else "passed",
                          ["R99"], f"{cost:.5f} of that without"))  # fmt: skip
    growth, memfd = (bench.growth_of_children(figures, kind) for kind in ("cowmem", "memfd"))
    tests.append(Test("cost of one of many children", "failed" if growth > bench.CHILD_GOAL else "passed", ["R98"],
                      f"{growth:.3f} of an only one; a memfd's {memfd:.3f}"))  # fmt: skip
    say(f"{name:12}  one of many children costs {growth:.3f} of an only one, with a memfd {memfd:.3f}")
    for guarded in bench.compare_with_record(arch, figures):
        why = f"{guarded.cost:.3f} of the {guarded.of} recorded"
        tests.append(Test(f"cost of {guarded.row.work}", "failed" if guarded.too_much else "passed", why=why))
        if guarded.far_less:
            say(f"{name:12}  {guarded.row.work} costs only {why}: `make bench RECORD=1 ARCH={arch}` keeps that")
    report(name, "costs", tests, figures.seconds)


def check_touch():
    """What passes over much memory cost in pages of 2 MiB, against THP and shmem's."""
    say(f"touch         booting, log in {(OUT / 'touch' / 'console.log').relative_to(ROOT)}")
    figures = bench.measure_touch("x86_64", OUT / "touch", [bench.FIVE_PASSES])
    figures.check_clock()
    tests = []
    for peer in ("anon", "memfd"):
        ratio = figures.of(bench.FIVE_PASSES, "cowmem") / figures.of(bench.FIVE_PASSES, peer)
        say(f"touch         five passes over 3 GiB cost {ratio:.3f} of {peer}'s")
        tests.append(Test(f"cost of five passes over 3 GiB, against {peer}", "failed" if ratio > bench.TOUCH_GOAL else "passed",
                          ["R97"], f"{ratio:.3f}"))  # fmt: skip
    report("touch", "passes", tests, figures.seconds)


def check_builds(builds):
    """The module, with all that can be built in, for each kernel and architecture."""
    start = time.monotonic()
    tests = []
    for arch in bench.ARCHITECTURES:
        for kernel, kunit, peer in builds:
            name = " ".join(["build for", *kernel, arch, *(["KUNIT=1"] if kunit else []), *(["PEER=1"] if peer else [])])
            try:
                guest.build_module(guest.kernel(*kernel, arch), arch, kunit, peer)
                tests.append(Test(name, "passed"))
            except RuntimeError as error:
                tests.append(Test(name, "failed", log=str(error).splitlines()))
    report("builds", "builds", tests, time.monotonic() - start)


def check_rebuilds():
    """Ten builds in a row, in one place, each for another kernel or architecture: what comes is as where nothing was."""
    start = time.monotonic()
    out = OUT / "rebuilds"
    targets = [(guest.kernel("stock", *kernel, arch), arch)
               for arch in bench.ARCHITECTURES for kernel in [(), *((name,) for name in guest.other_kernels())]]  # fmt: skip
    fresh, tests = {}, []
    for target in targets:
        shutil.rmtree(out, ignore_errors=True)
        guest.build_module(*target, out=out)
        fresh[target] = (out / "cowmem.ko").read_bytes()
    for target in targets:
        guest.build_module(*target, out=out)
        same = (out / "cowmem.ko").read_bytes() == fresh[target]
        tests.append(Test(f"build for {target[0].name} after others is as a fresh one", "passed" if same else "failed"))
    report("rebuilds", "builds", tests, time.monotonic() - start)


# A database of dpkg's: what is installed, what was once, and what others only mention.
DPKG_STATUS = """\
Package: make
Status: install ok installed
Architecture: amd64
Version: 1
Maintainer: nobody
Suggests: flex, bison
Description: there

Package: gcc
Status: deinstall ok config-files
Architecture: amd64
Version: 1
Maintainer: nobody
Description: removed
"""


def check_setup():
    """What scripts/setup.sh takes for installed."""
    start = time.monotonic()
    database = OUT / "dpkg"
    for folder in ("info", "updates"):
        (database / folder).mkdir(parents=True, exist_ok=True)
    (database / "status").write_text(DPKG_STATUS)
    done = subprocess.run([ROOT / "scripts/setup.sh", "missing", "test"], text=True, capture_output=True,
                          env=os.environ | {"DPKG_ADMINDIR": str(database)})  # fmt: skip
    missing = done.stdout.split()
    tests = [Test(f"setup: {name} is {'missing' if wanted else 'there'}",
                  "passed" if not done.returncode and (name in missing) == wanted else "failed",
                  log=[done.stderr, done.stdout])
             for name, wanted in (("make", False), ("gcc", True), ("flex", True), ("bison", True), ("kmod", True))]  # fmt: skip
    report("setup", "packages", tests, time.monotonic() - start)


def attempt(name, check, *arguments):
    """One kernel that cannot be tested is a failure, but keeps no other from being tested."""
    try:
        check(*arguments)
    except Exception as error:
        told = str(error) if isinstance(error, RuntimeError) else traceback.format_exc()
        report(name, "boot", [Test(f"boot of {name}", "failed", log=told.splitlines())], 0)


# ---- The models ----------------------------------------------------------------------


def check_models():
    """Every model of kunit/model, on this machine."""
    start = time.monotonic()
    checks = list(model.check_all())
    report("model", f"{sum(check.states for check in checks)} states",
           [Test(f"model: {c.name}", "passed" if c.passed else "failed", c.shows, log=c.log) for c in checks],
           time.monotonic() - start)  # fmt: skip


def check_errnos():
    """The errnos that the interface names are those that the tests show."""
    start = time.monotonic()
    checks = list(errnos.check_all())
    report("errnos", f"{sum(check.rows for check in checks)} of {len(checks)} commands",
           [Test(f"errnos of {c.command}", "failed" if c.wrong else "passed", log=c.wrong) for c in checks],
           time.monotonic() - start)  # fmt: skip


def check_userspace():
    """The library and the tool, as far as they need no module."""
    start = time.monotonic()
    tests = []
    for check in userspace.check_all():
        if check.output is None:
            tests.append(Test(f"userspace: {check.name}", "failed" if check.wrong else "passed", log=check.wrong))
        else:
            tests += read_tap(f"userspace: {check.name}", check.output, check.status)
    report("userspace", "library and tool", tests, time.monotonic() - start)


# The checks that need no VM of a plan's.
OTHER_CHECKS = {"setup": check_setup, "userspace": check_userspace, "errnos": check_errnos, "builds": check_builds,
                "rebuilds": check_rebuilds, "model": check_models, "touch": check_touch}  # fmt: skip
LONG_CHECKS = "rebuilds", "touch", "costs-arm64"


# ---- All of it ---------------------------------------------------------------------------


def say_boots():
    """A line for each boot: what came of its tests; and below it why some were skipped."""
    tests_of = collections.defaultdict(list)
    for test in results:
        tests_of[test.boot].append(test)
    for boot, tests in tests_of.items():
        print(f"{boot:24} {count(tests)}")
        # kselftest.h has the reason behind the name.
        whys = collections.Counter(test.why or test.name.rpartition(": ")[2] for test in tests if test.status == "skipped")
        for why, n in whys.most_common():
            print(f"    {n:2} skipped: {why}")


def say_debug_kernels(plans):
    """A line for each kind of debug kernel: what it checks, and what came of its tests. With all kinds of both architectures
    that is a test, too: all that can be checked was, of all that there is to run, and nothing was wrong."""
    checked = collections.defaultdict(set)
    right = True
    for plan in plans:
        config = (guest.kernel(plan.kind, plan.arch) / "build/.config").read_text()
        checks = [name for symbol, name in CHECKS.items() if f"\nCONFIG_{symbol}=y\n" in config]
        checked[plan.arch] |= set(checks)
        tests = [test for test in results if test.boot == plan.name]
        right &= not any(test.status == "failed" for test in tests)
        print(f"{plan.name:14} {', '.join(checks):50} {count(tests)}")
    if {(plan.kind, plan.arch) for plan in plans} == set(itertools.product(DEBUG_KERNELS, bench.ARCHITECTURES)):
        right &= all(checks == set(CHECKS.values()) for checks in checked.values())
        results.append(Test("whole suite on all debug kernels", "passed" if right else "failed", ["R100"]))


def say_requirements():
    """One line for each requirement: a claim counts only if every test that makes it passed."""
    if not REQUIREMENTS.exists():
        return
    known = re.findall(r"^\|\s*(R\d+)\s*\|", REQUIREMENTS.read_text(), re.MULTILINE)
    claims = collections.defaultdict(list)
    for test in results:
        for requirement in test.shows:
            claims[requirement].append(test)
    shown = 0
    for requirement in known:
        passed = {test.name for test in claims[requirement] if test.status == "passed"}
        failed = [f"{test.name} ({test.boot})" for test in claims[requirement] if test.status == "failed"]
        if failed:
            print(f"{requirement} FAILED in {', '.join(failed)}")
        elif passed:
            shown += 1
            print(f"{requirement} shown by {len(passed)} test{'s' * (len(passed) != 1)}")
        else:
            print(f"{requirement} not shown")
    unknown = sorted(claims.keys() - set(known))
    if unknown:
        results.append(Test("requirements", "failed"))
        print(f"FAILED: claimed, but not in {REQUIREMENTS.relative_to(ROOT)}: {', '.join(unknown)}")
    print(f"{shown} of {len(known)} requirements shown")


def choose(given, possible, what):
    """The possible ones that a comma-separated option names; all of them without it."""
    wanted = given.split(",") if given else possible
    if unknown := set(wanted) - set(possible):
        sys.exit(f"no such {what}: {', '.join(sorted(unknown))}; there are {', '.join(possible)}")
    return [name for name in possible if name in wanted]


def run_all(jobs):
    """The jobs are of attempt()."""
    pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
    try:
        for future in [pool.submit(attempt, *job) for job in jobs]:
            future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        vm.kill_all()
        pool.shutdown()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--only", metavar="BOOT,...", help="e.g. stock-x86_64,kunit-arm64,model")
    parser.add_argument("--test", metavar="NAME,...",
                        help="programs of qemu/tests, `kunit` for the KUnit suites, `costs`, `setup`, `userspace`, `errnos`, `builds` (for every kernel), `rebuilds`, `model`, `touch`")  # fmt: skip
    parser.add_argument("--everything", action="store_true", help="what a debug kernel leaves to others, too")
    parser.add_argument("--every-kernel", action="store_true", help="all that Debian has of the supported ones, too")
    parser.add_argument("--soak", action="store_true", help="the storms, for minutes each")
    options = parser.parse_args()
    programs = {path.stem: path for name in ("*.c", "*.cc", "*.py") for path in sorted((ROOT / "qemu/tests").glob(name))}
    programs |= {path.stem: path for path in sorted(DEBIAN.glob("*.py")) if path.stem != "common"}
    if not options.soak:
        programs[CONTENTION.stem] = CONTENTION
    others = OTHER_KERNELS if options.every_kernel or options.only else SELECTED_KERNELS
    possible = SOAK if options.soak else PLANS + others
    if options.every_kernel:
        # What all debug kernels have run is the whole suite.
        possible = [dataclasses.replace(plan, leaves_out=NOT_DEBUGGED) if plan.kind in DEBUG_KERNELS else plan for plan in possible]
    boots = choose(options.only, [*(plan.name for plan in possible), *COSTS, *OTHER_CHECKS], "boot")
    tests = choose(options.test, [*programs, "kunit", *(() if options.soak else ("costs", *OTHER_CHECKS))], "test")
    codes = [programs[name] for name in tests if name in programs]
    everything = options.everything or bool(options.test)
    jobs = [(plan.name, boot, plan, plan.wants(codes, everything),
             "kunit" in tests and plan.has_suites and not plan.programs and plan.kind != "stock")
            for plan in possible if plan.wants(codes, everything) or "kunit" in tests and not plan.programs]  # fmt: skip
    left_out = () if options.every_kernel or options.test or options.only else LONG_CHECKS
    jobs += [(name, check_costs, name, arch) for name, arch in COSTS.items() if "costs" in tests and name not in left_out]
    builds = BUILDS + (OTHER_BUILDS if options.every_kernel or options.test else [])
    jobs += [(name, check, *([builds] if name == "builds" else [])) for name, check in OTHER_CHECKS.items()
             if name in tests and name not in left_out]  # fmt: skip
    jobs = [job for job in jobs if job[0] in boots]
    for name, _, *arguments in jobs:
        plan, codes, suites = arguments if len(arguments) == 3 else (None, (), False)
        # Each program, the suites, and the log.
        progress.plan(name, len(codes) + suites + 1 if plan else 1, plan.seconds if plan else OTHER_SECONDS[name])
    # The longest first, so that all of what runs AT_ONCE end together.
    jobs.sort(key=lambda job: progress.planned[job[0]][1], reverse=True)
    progress.began = time.monotonic()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    try:
        run_all(jobs)
        if options.every_kernel:
            say_boots()
        if not options.test:
            say_debug_kernels([job[2] for job in jobs if job[1] is boot and job[2].kind in DEBUG_KERNELS and
                               not job[2].kernel and not job[2].parameters and not job[2].coverage])  # fmt: skip
        say_requirements()
    except BaseException as error:
        traceback.print_exception(error)
        results.append(Test("the test runner", "failed"))
    say(count(results))
    return any(test.status == "failed" for test in results)


if __name__ == "__main__":
    sys.exit(main())
