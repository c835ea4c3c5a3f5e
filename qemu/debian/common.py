# SPDX-License-Identifier: GPL-2.0
"""What the scripts of this folder share: TAP for scripts/test.py, and the two mounts."""
import contextlib
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback

COWMEM, TMPFS = "/mnt/cowmem", "/mnt/tmpfs"
LONG = "long" in sys.argv[1:]
WRITERS = 2
LIMIT = 1800 if LONG else 300  # seconds, for what takes moments, or, of the largest, minutes: longer is a hang


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


def still(what):
    """Ever again, for a loop that waits for something; it fails when that takes longer than LIMIT."""
    end = time.monotonic() + LIMIT
    while time.monotonic() < end:
        yield
    raise AssertionError(f"{what}: no end after {LIMIT} s")


def wait_until(condition, what):
    for _ in still(what):
        if condition():
            return
        time.sleep(0.1)


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


class Valkey:
    """A server, with its data in `folder`, and a connection to it."""

    def __init__(self, folder, *options, **environment):
        path = f"/tmp/{os.path.basename(folder)}.socket"
        self.log = f"/tmp/{os.path.basename(folder)}.log"
        self.process = subprocess.Popen(
            ["valkey-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--save", "",
             "--enable-debug-command", "yes", *options],
            stdout=open(self.log, "w"), stderr=subprocess.STDOUT, env=os.environ | environment)  # fmt: skip
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(LIMIT)
        wait_until(lambda: self.is_listening(path), "the start of valkey-server")
        self.stream = self.socket.makefile("rwb")
        wait_until(self.has_loaded, "valkey-server's loading")

    def is_listening(self, path):
        check(self.process.poll() is None, "valkey-server ended:", open(self.log).read())
        return not self.socket.connect_ex(path)

    def has_loaded(self):
        try:
            return self.ask("PING") == b"PONG"
        except RuntimeError as told:
            check("LOADING" in str(told), told)
            return False

    def send(self, *words):
        self.stream.write(b"*%d\r\n" % len(words))
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            self.stream.write(b"$%d\r\n%s\r\n" % (len(word), word))

    def answer(self):
        self.stream.flush()
        line = self.stream.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind == b"*":
            return [self.answer() for _ in range(int(rest))]
        if kind == b"$" and int(rest) >= 0:
            return self.stream.read(int(rest) + 2)[:-2]
        return rest

    def ask(self, *words):
        self.send(*words)
        return self.answer()

    def digest(self):
        return self.ask("DEBUG", "DIGEST")

    def is_saving(self):
        told = self.ask("INFO", "persistence").decode()
        return "rdb_bgsave_in_progress:1" in told or "aof_rewrite_in_progress:1" in told

    def wait_until_saved(self):
        wait_until(lambda: not self.is_saving(), "a save")

    def end(self):
        self.process.kill()
        self.process.wait()


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
