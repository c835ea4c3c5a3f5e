# SPDX-License-Identifier: GPL-2.0
"""SQLite with memory-mapped I/O, written by several processes and copied meanwhile."""
import os
import random
import sqlite3
import time

from common import COWMEM, LONG, check, main, reflink, running, say, version

ACCOUNTS, EACH = 200, 1000
COPIES = 20 if LONG else 2
MAPPED = 64 << 20


def connect(path, journal):
    base = sqlite3.connect(path, isolation_level=None, timeout=120)
    check(base.execute(f"PRAGMA mmap_size={MAPPED}").fetchone()[0] == MAPPED)
    check(base.execute(f"PRAGMA journal_mode={journal}").fetchone()[0] == journal)
    base.execute("PRAGMA synchronous=FULL")
    # A writer would move pages of the log to the file behind its transaction, amid a reflink.
    base.execute("PRAGMA wal_autocheckpoint=0")
    return base


def create(path, journal):
    base = connect(path, journal)
    base.execute("CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER, filler BLOB)")
    base.execute("CREATE TABLE transfer (id INTEGER PRIMARY KEY, source INTEGER, target INTEGER, note TEXT)")
    base.execute("CREATE INDEX by_source ON transfer (source, target)")
    base.execute("BEGIN")
    base.executemany("INSERT INTO account VALUES (?, ?, randomblob(700))", ((i, EACH) for i in range(ACCOUNTS)))
    base.execute("COMMIT")
    return base


def write(path, journal, seed):
    """Transfers for ever; no transaction changes the sum of all."""
    base, chance = connect(path, journal), random.Random(seed)
    while True:
        source, target = chance.sample(range(ACCOUNTS), 2)
        base.execute("BEGIN IMMEDIATE")
        base.execute("UPDATE account SET balance = balance - 1 WHERE id = ?", (source,))
        base.execute("UPDATE account SET balance = balance + 1, filler = randomblob(?) WHERE id = ?",
                     (chance.randrange(3000), target))  # fmt: skip
        base.execute("INSERT INTO transfer (source, target, note) VALUES (?, ?, hex(randomblob(?)))",
                     (source, target, chance.randrange(500)))  # fmt: skip
        if chance.random() < 0.1:
            base.execute("DELETE FROM transfer WHERE id % 7 = ?", (chance.randrange(7),))
        base.execute("ROLLBACK" if chance.random() < 0.1 else "COMMIT")


def content(base):
    """What all must agree about."""
    return (base.execute("SELECT sum(balance), total(length(filler)) FROM account").fetchone(),
            base.execute("SELECT count(*), max(id), total(length(note)) FROM transfer").fetchone())  # fmt: skip


def is_whole(base):
    check(base.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "integrity_check")
    check(base.execute("PRAGMA foreign_key_check").fetchall() == [], "foreign_key_check")
    check(content(base)[0][0] == ACCOUNTS * EACH, "money was lost", content(base))


def copy_between(base, path, copy):
    """A reflinked copy while nobody is in a transaction, and what it must have."""
    base.execute("BEGIN IMMEDIATE")
    now = content(base)
    took = reflink(path, copy)
    if os.path.exists(path + "-wal"):
        took += reflink(path + "-wal", copy + "-wal")
    base.execute("COMMIT")
    check(took == 0, "a reflink took", took, "pages")
    return now


def copy_and_write(base, path, copy, journal):
    """A copy has what it was made of, is whole, and is written without the other seeing that. The last transfer in it."""
    now = copy_between(base, path, copy)
    other = connect(copy, journal)
    check(content(other) == now, "the copy has", content(other), "instead of", now)
    is_whole(other)
    other.execute("DELETE FROM transfer")
    other.execute("UPDATE account SET balance = 0, filler = zeroblob(5000)")
    other.execute("VACUUM")
    other.close()
    for name in os.listdir(COWMEM):
        if name.startswith("copy"):
            os.unlink(f"{COWMEM}/{name}")
    return now[1][1]


def with_journal(journal):
    path = f"{COWMEM}/base"
    base = create(path, journal)
    done = 0
    with running(write, path, journal) as is_well:
        for _ in range(COPIES):
            until = time.monotonic() + (3 if LONG else 1)
            while time.monotonic() < until or (content(base)[1][1] or 0) <= done:
                check(is_well(), "a writer ended")
                time.sleep(0.05)
                if journal == "wal":
                    base.execute("PRAGMA wal_checkpoint(PASSIVE)")
            done = copy_and_write(base, path, f"{COWMEM}/copy", journal)
    base.close()
    base = connect(path, journal)
    is_whole(base)
    say(f"SQLite {version('libsqlite3-0')}, {journal}: {COPIES} copies, {content(base)[1][1]} transfers, "
        f"{os.stat(path).st_size >> 10} KiB")  # fmt: skip
    base.close()


main(("SQLite with a rollback journal, and reflinked copies of it", lambda: with_journal("delete")),
     ("SQLite with a write-ahead log, and reflinked copies of it", lambda: with_journal("wal")))  # fmt: skip
