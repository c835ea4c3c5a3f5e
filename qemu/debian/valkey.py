# SPDX-License-Identifier: GPL-2.0
"""Valkey with its append-only file and its dumps, copied between two of its transactions."""
import os
import random
import shutil
import socket
import subprocess
import time

from common import COWMEM, LONG, check, main, reflink, run, say, version

COPIES, COMMANDS = (12, 1500) if LONG else (2, 300)


class Server:
    """One, with its data in `folder`, and a connection to it."""

    def __init__(self, folder):
        path = f"/tmp/{os.path.basename(folder)}.socket"
        self.log = f"/tmp/{os.path.basename(folder)}.log"
        self.process = subprocess.Popen(
            ["valkey-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--appendonly", "yes",
             "--appendfsync", "always", "--save", "", "--enable-debug-command", "yes"],
            stdout=open(self.log, "w"), stderr=subprocess.STDOUT)  # fmt: skip
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(300)
        while self.socket.connect_ex(path):
            check(self.process.poll() is None, "valkey-server ended:", open(self.log).read())
            time.sleep(0.1)
        self.stream = self.socket.makefile("rwb")
        while True:
            try:
                self.ask("PING")
                break
            except RuntimeError:  # it is loading
                time.sleep(0.1)

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

    def end(self):
        self.process.kill()
        self.process.wait()


def fill(server, chance):
    """Transactions of all kinds of values."""
    for _ in range(COMMANDS // 10):
        server.send("MULTI")
        for _ in range(10):
            key = chance.randrange(500)
            kind = chance.randrange(5)
            if kind == 0:
                server.send("SET", f"s{key}", chance.randbytes(chance.randrange(3000)))
            elif kind == 1:
                server.send("HSET", f"h{key}", chance.randrange(50), chance.randbytes(40))
            elif kind == 2:
                server.send("LPUSH", f"l{key}", chance.randbytes(100))
            elif kind == 3:
                server.send("ZADD", f"z{key}", chance.random(), chance.randrange(1000))
            else:
                server.send("DEL", f"s{chance.randrange(500)}")
        server.send("EXEC")
        for _ in range(12):
            server.answer()


def check_files(folder):
    """By Valkey's own programs."""
    names = [os.path.join(where, name) for where, _, found in os.walk(folder) for name in found]
    manifests = [name for name in names if name.endswith(".manifest")]
    check(len(manifests) == 1, names)
    told = run("valkey-check-aof", manifests[0])
    check("All AOF files and manifest are valid" in told, told)
    dump = f"{folder}/dump.rdb"
    if os.path.exists(dump):
        told = run("valkey-check-rdb", dump)
        check("RDB looks OK" in told, told)


def copies():
    """Valkey, and reflinked copies of its files"""
    chance, folder, copy = random.Random(1), f"{COWMEM}/base", f"{COWMEM}/copy"
    os.mkdir(folder)
    server = Server(folder)
    for turn in range(COPIES):
        fill(server, chance)
        server.ask("BGREWRITEAOF" if turn % 2 else "BGSAVE")
        while server.is_saving():
            time.sleep(0.1)
        if turn:
            fill(server, chance)
        os.mkdir(copy)
        took = reflink(f"{folder}/.", copy)
        check(took == 0, "a reflink took", took, "pages")
        check_files(copy)
        other = Server(copy)
        was = server.digest()
        check(other.digest() == was, "the copy has something else")
        other.ask("FLUSHALL")
        fill(other, random.Random(2))
        check(other.digest() != was and server.digest() == was)
        other.end()
        check_files(copy)
        shutil.rmtree(copy)
    was = server.digest()
    size = server.ask("DBSIZE").decode()
    server.end()
    check_files(folder)
    server = Server(folder)
    check(server.digest() == was, "started again, it has something else")
    server.end()
    say(f"Valkey {version('valkey-server')}: {COPIES} copies, {size} keys")


main(copies)
