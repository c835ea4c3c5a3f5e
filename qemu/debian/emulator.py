# SPDX-License-Identifier: GPL-2.0
"""QEMU with the guest's RAM in a file of the mount: what the guest gives back is given back,
and a second guest goes on from a reflink of that file while the first runs.

The guest (guest.c) has 32 MiB with a letter in each page, which can be typed, and counts.
"""
import json
import os
import re
import socket
import subprocess
import time

from common import COWMEM, check, main, reflink, say, version

PAGE, FILLED = 4096, 32 << 20  # bytes
RAM = 256 << 20  # Linux reports pages as free as long as it has 64 MiB of them
BALLOON = 64 << 20
PATIENCE = 900  # seconds: a guest in a guest is slow


class Guest:
    """One QEMU with its RAM at `path`, its console and its monitor."""

    def __init__(self, path, *more):
        self.name, self.path, self.text = os.path.basename(path), path, ""
        sockets = {what: f"/tmp/{self.name}.{what}" for what in ("console", "monitor")}
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-M", "pc,accel=tcg,memory-backend=ram", "-cpu", "qemu64", "-m", f"{RAM >> 20}M",
             "-object", f"memory-backend-file,id=ram,size={RAM},share=on,mem-path={path}",
             "-nodefaults", "-display", "none", "-no-reboot", "-kernel", "/opt/Image", "-initrd", "/opt/guest.gz",
             "-append", "console=ttyS0 nokaslr mitigations=off no_timer_check tsc=reliable quiet rdinit=/init",
             "-device", "virtio-balloon-pci,id=balloon,free-page-reporting=on",
             "-serial", f"unix:{sockets['console']},server=on,wait=off",
             "-qmp", f"unix:{sockets['monitor']},server=on,wait=off", *more],
            stdin=subprocess.DEVNULL, stdout=open(f"/tmp/{self.name}.log", "w"), stderr=subprocess.STDOUT)  # fmt: skip
        self.console, self.monitor = (self.connect(path) for path in sockets.values())
        self.answers = self.monitor.makefile("r")
        self.answers.readline()
        self.ask("qmp_capabilities")

    def said(self):
        with open(f"/tmp/{self.name}.log") as log:
            return log.read()

    def connect(self, path):
        it = socket.socket(socket.AF_UNIX)
        it.settimeout(PATIENCE)
        until = time.monotonic() + PATIENCE
        while it.connect_ex(path):
            check(self.process.poll() is None and time.monotonic() < until, "QEMU:", self.said())
            time.sleep(0.1)
        return it

    def ask(self, command, **arguments):
        self.monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        while True:
            line = self.answers.readline()
            check(line, "QEMU ended:", self.said())
            answer = json.loads(line)
            check("error" not in answer, command, answer)
            if "return" in answer:
                return answer["return"]

    def wait_for(self, command, condition):
        until = time.monotonic() + PATIENCE
        while not condition(answer := self.ask(command)):
            check(time.monotonic() < until, command, answer)
            time.sleep(0.2)
        return answer

    def counts(self, letter):
        """Waits until the guest says that all its pages have a letter: what it has counted to."""
        wanted = FILLED // PAGE if letter != "0" else 0
        until = time.monotonic() + PATIENCE
        while True:
            for line in re.findall(rf"count (\d+) {letter} (\d+)\r", self.text):
                if int(line[1]) == wanted:
                    self.text = ""
                    return int(line[0])
            check(time.monotonic() < until, "the guest said", self.text[-500:])
            more = self.console.recv(4096)
            check(more, "QEMU ended:", self.said())
            self.text += more.decode(errors="replace")

    def type(self, letter):
        self.text = ""
        self.console.sendall(letter.encode())
        return self.counts(letter)

    def migrate_ram_apart(self):
        self.ask("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])

    def pages(self):
        return os.stat(self.path).st_blocks * 512 // PAGE

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def comes_below(guest, pages):
    until = time.monotonic() + PATIENCE
    while guest.pages() > pages:
        check(time.monotonic() < until, guest.pages(), "pages are still there, not", pages)
        time.sleep(0.5)
    return guest.pages()


def gives_back(guest):
    """What the guest frees, and what its balloon takes, leaves the file."""
    full = guest.pages()
    guest.type("0")
    freed = comes_below(guest, full - FILLED // PAGE // 2)
    guest.type("b")
    again = guest.pages()
    check(again >= freed + FILLED // PAGE // 4, "the guest's pages do not come back:", again, freed)
    guest.type("0")
    before = comes_below(guest, full - FILLED // PAGE // 2)
    guest.ask("balloon", value=RAM - BALLOON)
    guest.wait_for("query-balloon", lambda told: told["actual"] == RAM - BALLOON)
    taken = guest.pages()
    check(taken <= before - FILLED // PAGE // 4, "the balloon's pages are still there:", taken, before)
    guest.ask("balloon", value=RAM)
    guest.wait_for("query-balloon", lambda told: told["actual"] == RAM)
    guest.type("c")
    say(f"pages in the file: {full}; {freed} when the guest freed {FILLED // PAGE}, {again} when it used them again; "
        f"{before}, and {taken} with a balloon of {BALLOON // PAGE} more")  # fmt: skip


def save(guest, path):
    """The state of its devices; its RAM is in its file."""
    guest.ask("stop")
    guest.migrate_ram_apart()
    guest.ask("migrate", uri=f"file:{path}")
    told = guest.wait_for("query-migrate", lambda told: told["status"] in ("completed", "failed"))
    check(told["status"] == "completed", told)
    check(os.stat(path).st_size < RAM // 16, "the state has the RAM:", os.stat(path).st_size)


def goes_two_ways(first):
    """A second guest goes on from a reflink of the first one's RAM, while that goes on, too."""
    at = first.counts("c")
    save(first, "/tmp/state")
    began = time.monotonic()
    took = reflink(first.path, f"{COWMEM}/copy")
    seconds = time.monotonic() - began
    check(took == 0, "a reflink took", took, "pages")
    first.ask("cont")
    first.type("d")
    with Guest(f"{COWMEM}/copy", "-incoming", "defer") as second:
        second.migrate_ram_apart()
        second.ask("migrate-incoming", uri="file:/tmp/state")
        second.wait_for("query-status", lambda told: told["status"] == "paused")
        second.ask("cont")
        went_on = second.counts("c")
        check(went_on > at, "the second counts from", went_on, "and not from", at)
        second.type("e")
        check(first.type("f") > at)
        second.text = first.text = ""
        second.counts("e")
        first.counts("f")
    say(f"stopped after {at}; cp --reflink of {RAM >> 20} MiB in {seconds:.2f} s took {took} pages; "
        f"the second went on at {went_on}")  # fmt: skip


def ram_is_a_file():
    began = time.monotonic()
    with Guest(f"{COWMEM}/ram") as guest:
        guest.counts("a")
        say(f"a guest in a guest boots in {time.monotonic() - began:.0f} s")
        gives_back(guest)
        goes_two_ways(guest)


main((f"QEMU {version('qemu-system-x86')}: a guest's RAM is a file; discard, balloon, a second guest from a reflink", ram_is_a_file))
