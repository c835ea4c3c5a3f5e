# SPDX-License-Identifier: GPL-2.0
"""Programs under libcowmem-fork: one that forks in all ways that there are, and Valkey, whose
dumps are compared with what it had, beside the same under plain fork(). The table is told, and not
judged."""
import os
import random
import re
import shutil
import statistics
import time

from common import LONG, TMPFS, Valkey, check, main, run, say, still, version

LIBRARY = "/opt/libcowmem-fork.so"
COUNTERS = "/sys/class/misc/cowmem/counters"
MIB = 1 << 20
VALUE = 4096  # bytes, of each key
RATES, BETWEEN = ((0, 100, 1000), 1) if LONG else ((300,), 0.1)  # writes a second; seconds from one save to the next
# MiB, of values: saves at each rate, of which the medians are told.
SIZES = {64: 3, 256: 1, 1024: 1} if LONG else {4: 1}
WAYS = ("cowmem", "plain") if LONG else ("cowmem",)
READS = 100  # a second, beside the writes
ROOM = 3  # times the values: for them, their dump, and what is written meanwhile


def counter(name):
    with open(f"{COUNTERS}/{name}") as file:
        return int(file.read())


def free_memory():
    """Bytes, without the dump that is just being written."""
    with open("/proc/meminfo") as file:
        free = int(re.search(r"^MemFree: *(\d+)", file.read(), re.MULTILINE)[1]) * 1024
    fs = os.statvfs(TMPFS)
    return free + (fs.f_blocks - fs.f_bfree) * fs.f_bsize


class Load:
    """Who asks the server, at a rate, and how long each answer took, in milliseconds."""

    def __init__(self, server, keys, rate):
        self.server, self.keys, self.rate = server, keys, rate
        self.random = random.Random(rate)
        self.start_again()

    def start_again(self):
        self.took, self.written, self.since = [], 0, time.monotonic()

    def ask(self):
        """One request, after its share of a second."""
        time.sleep(self.random.expovariate(self.rate + READS))
        key = f"key:{self.random.randrange(self.keys)}"
        start = time.monotonic()
        if self.random.random() < self.rate / (self.rate + READS):
            self.server.ask("SET", key, self.random.randbytes(VALUE))
            self.written += 1
        else:
            self.server.ask("GET", key)
        self.took.append((time.monotonic() - start) * 1000)

    def run(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.ask()

    def written_a_second(self):
        return self.written / (time.monotonic() - self.since)

    def p99(self):
        return sorted(self.took)[len(self.took) * 99 // 100]


def check_dump(folder, digest):
    """The dump has what the server had."""
    loading = f"{folder}-loading"
    os.mkdir(loading)
    os.rename(f"{folder}/dump.rdb", f"{loading}/dump.rdb")
    other = Valkey(loading, "--rdbchecksum", "no")
    loaded = other.digest()
    other.end()
    shutil.rmtree(loading)
    check(loaded == digest, "the dump has something else")


def save(server, folder, load):
    """One BGSAVE, amid a load: its figures."""
    load.run(BETWEEN)
    digest = server.digest()
    free = least = free_memory()
    start = time.monotonic()
    server.ask("BGSAVE")
    pause = (time.monotonic() - start) * 1000
    load.start_again()
    for _ in still("BGSAVE"):
        if not server.is_saving():
            break
        for _ in range(20):
            load.ask()
        least = min(least, free_memory())
    took, rate = time.monotonic() - start, load.written_a_second()
    told = server.ask("INFO").decode()
    check("rdb_last_bgsave_status:ok" in told, told)
    check(load.rate == 0 or "rdb_changes_since_last_save:0\r" not in told, "nothing was written meanwhile")
    check_dump(folder, digest)
    fork = int(re.search(r"latest_fork_usec:(\d+)", told)[1]) / 1000
    return rate, took, fork, pause, load.p99(), (free - least) / MIB


def lines_of(log):
    if not os.path.exists(log):
        return []
    with open(log) as file:
        return file.read().splitlines()


def measure(mib, saves, way):
    """The rows of one server. All of it was just written at the first save."""
    folder, log = f"{TMPFS}/{way}", f"/tmp/{way}.forks"
    os.mkdir(folder)
    under = {"LD_PRELOAD": LIBRARY, "COWMEM_FORK_LOG": log} if way == "cowmem" else {}
    server = Valkey(folder, "--rdbcompression", "no", "--rdbchecksum", "no", **under)
    # On arm64 it has forked already, to see how the kernel does that.
    clones, before = counter("clones"), lines_of(log)
    keys = mib * MIB // VALUE
    server.ask("DEBUG", "POPULATE", keys, "key", VALUE)
    rows = {"first": save(server, folder, Load(server, keys, RATES[0]))}
    for rate in RATES:
        figures = [save(server, folder, Load(server, keys, rate)) for _ in range(saves)]
        rows[f"{rate}"] = [statistics.median(of_all) for of_all in zip(*figures)]
    server.end()
    shutil.rmtree(folder)
    forks = 1 + len(RATES) * saves
    if not under:
        check(counter("clones") == clones, "there were clones")
        return rows
    check(counter("clones") - clones == forks, counter("clones") - clones, "clones, not", forks)
    lines = lines_of(log)[len(before):]
    os.unlink(log)
    heaps = [int(match[1]) for line in lines if (match := re.search(r"fork: clone of (\d+) bytes", line))]
    check(len(heaps) == len(lines) == forks, lines)
    check(min(heaps) > mib * MIB, "the values are not in the heap", lines)
    return rows


def programs():
    """Ways to fork, and what is in the child, and in the parent"""
    clones = counter("clones")
    told = run("/opt/forked", LIBRARY)
    check("not ok" not in told, told)
    say(f"{told.count('ok ')} cases, {counter('clones') - clones} clones")
    check(counter("clones") > clones)


def manual():
    """The manual's example"""
    run("/opt/busybox", "sh", "/opt/libcowmem-fork.sh", env=os.environ | {"LD_LIBRARY_PATH": "/opt"})


def dumps():
    """Valkey's dumps, and how long it stops for them"""
    say(f"Valkey {version('valkey-server')}, values of {VALUE} bytes; while it saves: p99 of requests, extra memory")
    say(f"{'MiB':>5} {'asked for':>10} {'':8}{'written/s':>10} {'save, s':>8} {'fork, ms':>9} {'BGSAVE, ms':>11} {'p99, ms':>8} {'extra, MiB':>11}")
    for mib, saves in SIZES.items():
        if free_memory() < mib * MIB * ROOM:
            say(f"{mib:5}  this VM has no memory for it")
            continue
        rows = {way: measure(mib, saves, way) for way in WAYS}
        for rate in rows["cowmem"]:
            for way, of in rows.items():
                written, took, fork, pause, p99, extra = of[rate]
                say(f"{mib:5} {rate:>10} {way:8}{written:10.0f} {took:8.1f} {fork:9.2f} {pause:11.2f} {p99:8.2f} {extra:11.1f}")


main(programs, manual, dumps)
