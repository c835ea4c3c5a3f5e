# SPDX-License-Identifier: GPL-2.0
"""What the scripts of this folder share: TAP for scripts/test.py, and the two mounts."""
import contextlib
import multiprocessing
import os
import shutil
import subprocess
import sys
import traceback

COWMEM, TMPFS = "/mnt/cowmem", "/mnt/tmpfs"
LONG = "long" in sys.argv[1:]
WRITERS = 2


class Skipped(Exception):
    """There is nothing to be tested, for a reason that is not ours."""


def check(condition, *told):
    if not condition:
        raise AssertionError(" ".join(map(str, told)))


def say(*words):
    for line in " ".join(map(str, words)).splitlines():
        print("#", line)


def run(*command, status=0, **options):
    """What a program says, which must end with `status`."""
    done = subprocess.run([str(word) for word in command], text=True, errors="replace", stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)  # fmt: skip
    check(done.returncode == status, *command, "ended with", done.returncode, "and said:\n", done.stdout)
    return done.stdout


def used():
    """Pages that the mount counts."""
    fs = os.statvfs(COWMEM)
    return fs.f_blocks - fs.f_bfree


def reflink(source, copy):
    """cp --reflink=always: what it takes is told in pages."""
    before = used()
    run("cp", "-a", "--reflink=always", source, copy)
    return used() - before


@contextlib.contextmanager
def running(function, *arguments):
    """WRITERS processes that call it, each with a number of its own; what comes back says whether none has ended."""
    started = [multiprocessing.Process(target=function, args=(*arguments, n), daemon=True) for n in range(WRITERS)]
    for process in started:
        process.start()
    try:
        yield lambda: all(process.is_alive() for process in started)
    finally:
        for process in started:
            process.kill()
            process.join()


def version(package):
    with open("/etc/packages") as packages:
        return next(line.split("\t")[1].strip() for line in packages if line.startswith(package + "\t"))


def empty(folder):
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def main(*cases):
    """Each case, a function with a docstring that is its name or a pair of name and function, on empty mounts."""
    print("TAP version 13")
    print(f"1..{len(cases)}", flush=True)
    failed = False
    for number, case in enumerate(cases, 1):
        name, function = case if isinstance(case, tuple) else (case.__doc__, case)
        ok, why = "ok", ""
        try:
            function()
        except Skipped as reason:
            why = f" # SKIP {reason}"
        except BaseException:
            say(traceback.format_exc())
            ok, failed = "not ok", True
        print(f"{ok} {number} {name}{why}", flush=True)
        for folder in (COWMEM, TMPFS):
            empty(folder)
    sys.exit(failed)
