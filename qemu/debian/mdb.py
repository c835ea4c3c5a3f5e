# SPDX-License-Identifier: GPL-2.0
"""LMDB with a writable map, written by several processes and copied meanwhile."""
import os
import random
import time

import lmdb
from common import COWMEM, LONG, check, main, reflink, run, running, say, version

ROOM = 64 << 20
ACCOUNTS, EACH = 200, 1000
COPIES = 20 if LONG else 2


def opened(path):
    return lmdb.open(path, map_size=ROOM, subdir=False, lock=True, writemap=True, max_dbs=2)


def write(path, seed):
    """Transfers for ever; no transaction changes the sum of all."""
    base, chance = opened(path), random.Random(seed)
    accounts, notes = base.open_db(b"accounts"), base.open_db(b"notes")
    while True:
        work = base.begin(write=True)
        source, target = (b"%08d" % i for i in chance.sample(range(ACCOUNTS), 2))
        for name, more in ((source, -1), (target, 1)):
            work.put(name, b"%d" % (int(work.get(name, db=accounts)) + more), db=accounts)
        work.put(b"%08d" % chance.randrange(2000), chance.randbytes(chance.randrange(9000)), db=notes)
        work.delete(b"%08d" % chance.randrange(2000), db=notes)
        if chance.random() < 0.1:
            work.abort()
        else:
            work.commit()


def transactions(path):
    """The number of the last one, by mdb_stat."""
    told = run("mdb_stat", "-n", "-e", path)
    return int(told.partition("Last transaction ID: ")[2].split()[0])


def is_whole(path):
    check("Entries: 200\n" in run("mdb_stat", "-n", "-e", "-f", "-a", path))
    base = lmdb.open(path, map_size=ROOM, subdir=False, lock=False, readonly=True, max_dbs=2)
    accounts = base.open_db(b"accounts")
    with base.begin(db=accounts) as work:
        check(sum(int(value) for _, value in work.cursor()) == ACCOUNTS * EACH, "money was lost")
    base.close()


def dump(path):
    return run("mdb_dump", "-n", "-a", path)


def copy_and_write(base, path, copy):
    """A copy has what it was made of, and is written without the other seeing that. Its last transaction."""
    with base.begin(write=True):  # nobody else is in one
        took = reflink(path, copy)
        done, was = transactions(path), dump(path)
    check(took == 0, "a reflink took", took, "pages")
    check(transactions(copy) == done, "the copy is of another transaction")
    check(dump(copy) == was, "the copy has something else")
    is_whole(copy)
    run("mdb_copy", "-n", "-c", copy, f"{COWMEM}/compact")
    is_whole(f"{COWMEM}/compact")
    other = opened(copy)
    accounts, notes = other.open_db(b"accounts"), other.open_db(b"notes")
    with other.begin(write=True) as work:
        work.drop(notes, delete=False)
        for i in range(ACCOUNTS):
            work.put(b"%08d" % i, b"0", db=accounts)
    other.close()
    with base.begin(write=True):
        is_whole(path)
    for name in (copy, f"{copy}-lock", f"{COWMEM}/compact"):
        os.unlink(name)
    return done


def copies():
    """LMDB with MDB_WRITEMAP, and reflinked copies of it"""
    path = f"{COWMEM}/base"
    base = opened(path)
    accounts = base.open_db(b"accounts")
    base.open_db(b"notes")
    with base.begin(write=True, db=accounts) as work:
        for i in range(ACCOUNTS):
            work.put(b"%08d" % i, b"%d" % EACH)
    base.close()  # a process that forks must not have it open
    with running(write, path) as is_well:
        base = opened(path)
        done = transactions(path)
        for _ in range(COPIES):
            until = time.monotonic() + (3 if LONG else 1)
            while time.monotonic() < until or transactions(path) <= done:
                check(is_well(), "a writer ended")
                time.sleep(0.05)
            done = copy_and_write(base, path, f"{COWMEM}/copy")
    is_whole(path)
    say(f"LMDB {version('liblmdb0')}: {COPIES} copies, {transactions(path)} transactions")
    base.close()


main(copies)
