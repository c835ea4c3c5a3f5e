# SPDX-License-Identifier: GPL-2.0
"""PostgreSQL, with checksums of its pages, copied between two transactions while it runs."""
import os
import shutil

from common import COWMEM, LONG, check, main, reflink, run, say, used, version

PROGRAMS = "/usr/lib/postgresql/17/bin"
COPIES = 6 if LONG else 2
SECONDS = 15 if LONG else 4


def postgres(program, *arguments, **options):
    return run(f"{PROGRAMS}/{program}", *arguments, user="postgres", group="postgres", extra_groups=[], cwd="/tmp", **options)


class Server:
    def __init__(self, folder):
        self.folder, self.port = folder, {"base": 5432, "copy": 5433}[os.path.basename(folder)]
        postgres("pg_ctl", "-D", folder, "-l", f"/tmp/{self.port}.log", "-w", "-t", "600", "-o",
                 f"-p {self.port} -k /tmp -c listen_addresses= -c shared_buffers=16MB -c autovacuum=off", "start")  # fmt: skip

    def ask(self, sql):
        return postgres("psql", "-h", "/tmp", "-p", self.port, "-At", "-c", sql, "postgres").strip()

    def bench(self, *arguments):
        postgres("pgbench", "-h", "/tmp", "-p", self.port, *arguments, "postgres")

    def sums(self):
        """pgbench's transactions leave these the same; and how many there were."""
        told = self.ask("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches),"
                        " (SELECT sum(tbalance) FROM pgbench_tellers), (SELECT coalesce(sum(delta), 0) FROM pgbench_history),"
                        " (SELECT count(*) FROM pgbench_history)").split("|")  # fmt: skip
        check(len(set(told[:4])) == 1, "money was lost", told)
        return told

    def is_whole(self):
        self.ask("CREATE EXTENSION IF NOT EXISTS amcheck")
        postgres("pg_amcheck", "-h", "/tmp", "-p", self.port, "--heapallindexed", "-d", "postgres")

    def stop(self, how):
        postgres("pg_ctl", "-D", self.folder, "-w", "-t", "600", "-m", how, "stop")


def copies():
    folder, copy = f"{COWMEM}/base", f"{COWMEM}/copy"
    os.mkdir(folder, 0o700)
    shutil.chown(folder, "postgres", "postgres")
    postgres("initdb", "-D", folder, "-k", "--no-locale", "-E", "UTF8", "-A", "trust")
    os.chmod("/tmp", 0o1777)
    server = Server(folder)
    try:
        server.bench("-i", "-q", "-s", "1")
        for _ in range(COPIES):
            server.bench("-n", "-c", "4", "-j", "2", "-T", SECONDS)
            server.ask("CHECKPOINT")
            was = server.sums()
            all_of_it = used()
            took = reflink(folder, copy)
            # The server's own processes write a little now and then.
            check(took < all_of_it // 20, "a reflink of", all_of_it, "pages took", took)
            os.unlink(f"{copy}/postmaster.pid")
            other = Server(copy)
            try:
                check(other.sums() == was, "the copy has", other.sums(), "instead of", was)
                other.is_whole()
                other.bench("-n", "-c", "2", "-T", "1")
                other.ask("DROP TABLE pgbench_accounts")
            finally:
                other.stop("fast")
            postgres("pg_checksums", "--check", "-D", copy)
            shutil.rmtree(copy)
            check(server.sums() == was, "what the copy's server did is seen here")
            server.is_whole()
        server.stop("immediate")  # as if the machine had ended
        server = Server(folder)
        check(server.sums() == was, "after the recovery it has", server.sums())
        server.is_whole()
    finally:
        server.stop("fast")
    postgres("pg_checksums", "--check", "-D", folder)
    say(f"PostgreSQL {version('postgresql-17')}: {COPIES} copies, {was[4]} transactions; "
        f"the last reflink of {all_of_it} pages took {took}")  # fmt: skip


main(("PostgreSQL, and reflinked copies of it", copies))
