#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Boot a kernel with an initramfs in QEMU and judge what it said on the console.

The guest's PID 1 (qemu/init.c) brackets every step it takes with "#VM begin" and
"#VM end STATUS", starts every line that a program printed with "| ", and ends
with "#VM done"; all other lines are the kernel's own. A run is clean if it came
to that end, every step gave status 0, and the kernel said nothing bad. A VM that has
said nothing for SILENCE, not even that a program still runs, hangs: it is ended.
A kernel that ends before PID 1, as now and then one does on QEMU (a timer that is not
seen to tick, its own code patched under another CPU), is booted once more.
"""
import argparse
import dataclasses
import itertools
import os
import pathlib
import re
import select
import subprocess
import sys
import threading
import time

SILENCE = 600  # seconds
RESUMES = 3  # VMs that go on where one before ended of an int3 of its own kernel's
SKIPPED = 4  # a program's exit code for "nothing here to test" (kselftest)

# QEMU's program, the machine, and what the kernel is told. On a busy machine x86's timer may
# not tick in the moment that the kernel gives it to show that it does. A CPU with nothing to do is to
# halt, not to look for work for a while first, which takes this machine's CPU from other VMs. A page is
# to be copied by quadwords: QEMU runs, and counts, `rep movsb` byte by byte.
COPIES = "erms=off,fsrm=off"
MACHINES = {
    "x86_64": ("qemu-system-x86_64", ["-M", "q35", "-cpu", f"max,{COPIES}"], "console=ttyS0 no_timer_check cpuidle.off=1"),
    "arm64": ("qemu-system-aarch64", ["-M", "virt,gic-version=3", "-cpu", "max,pauth-impdef=on"], "console=ttyAMA0"),
}

STAMP = re.compile(r"^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? ?")
MARK = re.compile(r"^#VM (begin|end (\d+)|alive|done) ?(.*)$")
PROGRAM = "| "

# What a healthy kernel never says. "Call Trace:" is not among it: an OOM kill or an
# injected fault that a test asked for prints one too, and every real complaint has a title.
BAD = re.compile(
    r"""
    \bWARNING:
    | \bBUG:? | kernel\ BUG\ at | \bOops\b | Kernel\ panic | Internal\ error
    | \bKASAN: | \bKFENCE: | \bKCSAN: | \bUBSAN:
    | \bINFO:\ (?:rcu|possible|task|trying|inconsistent) | suspicious\ RCU | self-detected\ stall
    | possible\ (?:recursive|irq|circular|deadlock) | inconsistent\ lock\ state | bad\ unlock\ balance
    | held\ lock\ freed | lock\ held\ when\ returning | still\ held | Invalid\ wait\ context
    | soft\ lockup | hard\ LOCKUP | blocked\ for\ more\ than | hung_task: | scheduling\ while\ atomic
    | sleeping\ function\ called | general\ protection\ fault | Unable\ to\ handle\ kernel
    | unable\ to\ handle\ page\ fault | stack-protector | CFI\ failure | Missing\ ENDBR
    | [Bb]ad\ page | Bad\ rss-counter | non-zero\ pgtables_bytes | Bad\ swap | swap_free:
    | page_table_check: | kernel\ tried\ to | pagealloc:.*corruption | page\ dumped\ because
    | unreferenced\ object | new\ suspected\ memory\ leaks | kmemleak:.*(?:disabled|error)
    | list_(?:add|del)\ corruption | refcount_t: | Objects\ remaining | Slab\ corruption
    | ODEBUG: | percpu\ ref.*underflow
    """,
    re.VERBOSE,
)


RACE = "BUG: KCSAN:"  # the first line of a report, which a ruler ends
RULER = "======"
# KCSAN is at a loss how to print a report, which follows: a new task goes on with an access that its parent was just watched for.
LOST = re.compile(r"WARNING: .* at kernel/kcsan/report\.c")
PLAIN = re.compile(r"\b(?:read|write) (?:\(reordered\) )?to 0x")  # not "(marked)"; where it is comes next
OURS = re.compile(r"\[cowmem\w*\]")
SLOW = "blocked for more than"  # seconds: a task of the kernel's
INT3 = "Oops: int3"
RIP = re.compile(r"\bRIP: 0010:(\S+)")

stopping = threading.Event()  # no VM is booted once more
running = set()  # the QEMU processes, for kill_all()


@dataclasses.dataclass
class Step:
    """One line of the guest's /etc/run: what it did, what came of it."""

    line: str
    began: float
    status: int | None = None  # None: it never ended
    seconds: float = 0.0
    kernel: list[str] = dataclasses.field(default_factory=list)
    program: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Result:
    """One run of a VM. `problems` is empty if it was clean."""

    steps: list[Step] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    allowed: list[str] = dataclasses.field(default_factory=list)
    foreign: list[str] = dataclasses.field(default_factory=list)  # data races of the kernel's own
    stale_int3: str = ""  # where the kernel's own code hit one, which was the end
    seconds: float = 0.0


class Console:
    """Reads the console line by line into a Result."""

    def __init__(self, result, allow, on_step):
        self.result, self.on_step = result, on_step
        self.allow = [re.compile(pattern) for pattern in allow]
        self.step = None
        self.done = False
        self.race = []  # the lines of a KCSAN report that has not come to its end
        self.int3 = ""  # an oops of which it is not known yet where that was

    def feed(self, raw):
        line = STAMP.sub("", raw.rstrip("\r\n"))
        if line.startswith(PROGRAM) or line == PROGRAM.rstrip():
            if self.step:
                self.step.program.append(line[len(PROGRAM):])
        elif mark := MARK.match(line):
            self.mark(*mark.groups())
        else:
            if self.step:
                self.step.kernel.append(line)
            if self.int3 or INT3 in line:
                self.feed_int3(line)
            elif self.result.stale_int3:
                pass  # how the kernel ended for it
            elif self.race or RACE in line:
                self.feed_race(line)
            elif LOST.search(line):
                self.result.foreign.append(line)
            elif SLOW in line and not self.result.steps:
                pass  # before PID 1 the kernel waits for its own initramfs, on a busy machine for minutes
            elif BAD.search(line):
                self.judge(line)

    def judge(self, line):
        allowed = any(pattern.search(line) for pattern in self.allow)
        (self.result.allowed if allowed else self.result.problems).append(line)

    def feed_int3(self, line):
        """While the kernel patches its code there is an int3, which it expects. On several CPUs QEMU
        may go on executing that when it is not there any more (it drops translated code before
        it stores, and another CPU may translate in between): then the kernel oopses.
        """
        self.int3 = self.int3 or line
        if not (where := RIP.search(line)):
            return
        if OURS.search(line):
            self.judge(self.int3)
        else:
            self.result.stale_int3 = where[1]
        self.int3 = ""

    def feed_race(self, line):
        """The kernel has data races of its own. Ours is one with a plain access in our code."""
        if not line.startswith(RULER):
            self.race.append(line)
            return
        ours = any(PLAIN.search(access) and OURS.search(where) for access, where in itertools.pairwise(self.race))
        if ours:
            self.judge(self.race[0])
        else:
            self.result.foreign.append(self.race[0])
        self.race = []

    def mark(self, word, status, line):
        if word == "begin":
            self.step = Step(line, time.monotonic())
            self.result.steps.append(self.step)
            return
        if word == "alive":
            return
        if word == "done":
            self.done = True
            return
        step, self.step = self.step or Step(line, time.monotonic()), None
        step.status, step.seconds = int(status), time.monotonic() - step.began
        if step.status not in ((0, SKIPPED) if line.startswith("run ") else (0,)):
            self.result.problems.append(f"status {status} from: {line}")
        if self.on_step:
            self.on_step(step)


def numa(nodes, smp, mem):
    """QEMU's options for that many NUMA nodes, each with its part of the CPUs and the memory."""
    options = ["-smp", f"{smp},sockets={nodes}", "-m", f"{mem}M"]
    for node in range(nodes if nodes > 1 else 0):
        cpus = f"{node * smp // nodes}-{(node + 1) * smp // nodes - 1}"
        options += ["-object", f"memory-backend-ram,id=m{node},size={mem // nodes}M",
                    "-numa", f"node,nodeid={node},cpus={cpus},memdev=m{node}"]  # fmt: skip
    return options


def boot(arch, kernel_dir, initramfs, log_path, *, smp=2, nodes=1, mem=1024, append="", silence=SILENCE,
         icount=False, extra_qemu=(), allow=(), on_step=None, resume=None):
    """Run a VM with `mem` MiB to its end, or until it has said nothing for `silence` seconds;
    the whole console goes to `log_path`.

    With `icount`, which takes one CPU, a nanosecond of the guest is one instruction.

    `allow` lists patterns of bad lines that the caller expects: they end in
    `allowed`, not in `problems`. `on_step` is called with each Step as it ends. `resume`
    makes an initramfs for what is left to do after some Steps: a VM that ended of a stale
    int3 is followed by another.
    """
    qemu, machine, told = MACHINES[arch]
    clock = ["-accel", "tcg,thread=multi"]
    if icount:
        clock = ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"]
    command = [
        qemu, *machine, *clock, *numa(nodes, smp, mem),
        "-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(pathlib.Path(kernel_dir) / "Image"), "-initrd", str(initramfs),
        "-append", f"{told} rdinit=/init panic=-1 oops=panic printk.devkmsg=on {append}".strip(),
        *extra_qemu,
    ]  # fmt: skip
    result = run(command, log_path, silence, allow, on_step)
    if not result.steps and not stopping.is_set():
        print(f"vm: {qemu} ended before PID 1 after {result.seconds:.0f} s ({'; '.join(result.problems)}): "
              f"booting once more", file=sys.stderr, flush=True)  # fmt: skip
        result = run(command, log_path, silence, allow, on_step, "a")
    for _ in range(RESUMES):
        if not result.stale_int3 or not resume or stopping.is_set():
            break
        finished = [step for step in result.steps if step.status is not None]
        print(f"vm: {qemu} ran an int3 that the kernel had patched away, in {result.stale_int3}: "
              f"another VM goes on after {finished[-1].line if finished else 'nothing'}", file=sys.stderr, flush=True)  # fmt: skip
        command[command.index("-initrd") + 1] = str(resume(finished))
        rest = run(command, log_path, silence, allow, on_step, "a")
        rest.steps[:0], rest.seconds = finished, rest.seconds + result.seconds
        rest.problems[:0], rest.allowed[:0] = result.problems, result.allowed
        result = rest
    if result.stale_int3:
        result.problems.append(f"an int3 that the kernel had patched away, in {result.stale_int3}")
    return result


def run(command, log_path, silence, allow, on_step, mode="w"):
    """One run of QEMU; `mode` is how the log is opened."""
    result = Result()
    console = Console(result, allow, on_step)
    start = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    running.add(process)
    hangs = False
    try:
        with process, open(log_path, mode, buffering=1) as log:
            for line in lines_of(process.stdout, silence):
                hangs = line is None
                if hangs:
                    process.kill()
                    break
                log.write(line.rstrip("\r\n") + "\n")
                console.feed(line)
    finally:
        process.kill()
        running.discard(process)
    result.seconds = time.monotonic() - start
    if console.race:
        result.problems.append(console.race[0])
    if hangs:
        where = f" during: {console.step.line}" if console.step else ""
        result.problems.append(f"nothing said for {silence} s{where}")
    elif not console.done and not result.stale_int3:
        result.problems.append(f"the VM ended (QEMU's exit code {process.returncode}) before its run did")
    return result


def lines_of(pipe, silence):
    """The lines that come out of `pipe`, and None if none came for `silence` seconds."""
    rest = b""
    while select.select([pipe], [], [], silence)[0]:
        data = os.read(pipe.fileno(), 65536)
        *lines, rest = (rest + data).split(b"\n")
        if not data and rest:
            lines = [rest]
        yield from (line.decode(errors="replace") for line in lines)
        if not data:
            return
    yield None


def kill_all():
    """End every VM at once."""
    stopping.set()
    for process in list(running):
        process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("arch", choices=MACHINES)
    parser.add_argument("kernel_dir", help="as scripts/kernel.sh prints it")
    parser.add_argument("initramfs")
    parser.add_argument("--log", dest="log_path", default="/dev/stdout")
    parser.add_argument("--smp", type=int, default=2)
    parser.add_argument("--nodes", type=int, default=1, help="NUMA nodes")
    parser.add_argument("--mem", type=int, default=1024, help="MiB")
    parser.add_argument("--append", default="", help="more kernel arguments")
    parser.add_argument("--silence", type=float, default=SILENCE, help="seconds after which a VM that says nothing hangs")
    parser.add_argument("--allow", action="append", default=[], metavar="REGEX")
    result = boot(**vars(parser.parse_args()))
    for line in result.allowed:
        print(f"allowed: {line}")
    for line in result.foreign:
        print(f"foreign: {line}")
    for line in result.problems:
        print(f"problem: {line}")
    print(f"{len(result.steps)} steps, {len(result.problems)} problems, {result.seconds:.1f} s")
    return bool(result.problems)


if __name__ == "__main__":
    sys.exit(main())
