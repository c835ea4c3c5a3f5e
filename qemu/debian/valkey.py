# SPDX-License-Identifier: GPL-2.0
"""Valkey with its append-only file and its dumps, copied between two of its transactions."""
import os
import random
import shutil

from common import COWMEM, LONG, Valkey, check, main, reflink, run, say, version

COPIES, COMMANDS = (12, 1500) if LONG else (2, 300)


class Appending(Valkey):
    """One with an append-only file."""

    def __init__(self, folder):
        super().__init__(folder, "--appendonly", "yes", "--appendfsync", "always")


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
    server = Appending(folder)
    for turn in range(COPIES):
        fill(server, chance)
        server.ask("BGREWRITEAOF" if turn % 2 else "BGSAVE")
        server.wait_until_saved()
        if turn:
            fill(server, chance)
        os.mkdir(copy)
        took = reflink(f"{folder}/.", copy)
        check(took == 0, "a reflink took", took, "pages")
        check_files(copy)
        other = Appending(copy)
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
    server = Appending(folder)
    check(server.digest() == was, "started again, it has something else")
    server.end()
    say(f"Valkey {version('valkey-server')}: {COPIES} copies, {size} keys")


main(copies)
