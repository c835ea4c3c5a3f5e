# SPDX-License-Identifier: GPL-2.0
"""fio's engines, each with what it reads back verified, as on a tmpfs."""
import json
import os

from common import COWMEM, LONG, TMPFS, Skipped, check, empty, main, run, say, version

MIB = 24 if LONG else 4
# What each job does: fio's options.
JOBS = {
    "random writes": ["--rw=randwrite", "--bsrange=512-64k", "--norandommap"],
    "whole pages, read and written": ["--rw=randrw", "--bs=4k"],
    "in order, at the end of a growing file": ["--rw=write", "--bs=17k", "--fallocate=none"],
}
# Each engine with what it needs to be told.
ENGINES = {
    "sync": [],
    "psync": [],
    "pvsync2": [],
    "mmap": [],
    "libaio": ["--iodepth=16"],
    "libaio, O_DIRECT": ["--iodepth=16", "--direct=1"],
    "io_uring": ["--iodepth=16"],
    "io_uring, O_DIRECT": ["--iodepth=16", "--direct=1"],
    "io_uring, fixed buffers": ["--iodepth=16", "--fixedbufs=1"],
    "splice": [],
    "posixaio": ["--iodepth=16"],
}


def does(folder, engine, told, job):
    """Whether all was written, and was so when it was read."""
    output = f"/tmp/{os.path.basename(folder)}.json"
    said = run("fio", "--name=job", f"--directory={folder}", f"--ioengine={engine.partition(',')[0]}", *told, *job,
               f"--size={MIB}M", "--numjobs=2", "--verify=crc32c", "--verify_fatal=1",
               "--do_verify=1", "--verify_state_save=0", "--randseed=7", "--thread",
               "--output-format=json", f"--output={output}", "--aux-path=/tmp")  # fmt: skip
    with open(output) as text:
        told = text.read()
    jobs = json.loads(told[told.index("{") :])["jobs"]  # warnings come first
    check(len(jobs) == 2 and not any(job["error"] for job in jobs), said)
    check(all(job["write"]["io_bytes"] for job in jobs), said)
    return sum(job["read"]["io_bytes"] + job["write"]["io_bytes"] for job in jobs)


def engine_case(engine):
    def run_it():
        lacks = []
        for name, job in JOBS.items():
            try:
                does(TMPFS, engine, ENGINES[engine], job)
            except AssertionError as error:
                say(f"{engine}, {name}, fails on tmpfs: {error}")
                lacks.append(name)
            empty(TMPFS)
            if name in lacks:
                continue
            done = does(COWMEM, engine, ENGINES[engine], job)
            say(f"{engine}, {name}: {done >> 20} MiB written and verified")
            empty(COWMEM)
        if len(lacks) == len(JOBS):
            raise Skipped("it fails on tmpfs, too")

    return f"fio {version('fio')}, {engine}", run_it


main(*map(engine_case, ENGINES))
