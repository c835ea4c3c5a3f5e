# SPDX-License-Identifier: GPL-2.0
"""How fast the tool's streams are made and taken in, beside cat and zstd on the same bytes, of the same
level and with one thread. What comes back is compared; the table is told, and not judged."""
import filecmp
import os
import random
import re
import statistics
import subprocess
import time

from common import COWMEM, LONG, TMPFS, check, main, run, say, version

TOOL = "/opt/cowmem"
MIB = 1 << 20
SIZES, ROUNDS = ((16, 64), 3) if LONG else ((4,), 1)  # MiB; of as many rounds the median is told
LEVEL = 3
WRITTEN = 100  # of so many pages one is written before a difference is sent
PAGE = 4096


def text(size):
    """What compresses as text does."""
    words = [b"%x " % random.getrandbits(random.choice((8, 16, 32))) for _ in range(4096)]
    return b"".join(random.choices(words, k=size // 4))[:size].ljust(size, b".")


def noise(size):
    """What does not get smaller."""
    return random.randbytes(size)


def took(command):
    """Seconds of a line of the shell's."""
    start = time.monotonic()
    subprocess.run(["sh", "-e", "-c", command], check=True)
    return time.monotonic() - start


def median(command, after=""):
    times = []
    for _ in range(ROUNDS):
        times.append(took(command))
        if after:
            run("sh", "-c", after)
    return statistics.median(times)


def tell(mib, kind, what, ours, theirs, size=None, other=None):
    sizes = f"{size / MIB:9.1f} {other / MIB:9.1f}" if size is not None else ""
    say(f"{mib:5} {kind:6} {what:22}{mib / ours:9.1f} {mib / theirs:9.1f} {theirs / ours:7.2f} {sizes}".rstrip())


def measure(mib, make):
    image, snapshot = f"{COWMEM}/image", f"{COWMEM}/snapshot"
    stream, packed = f"{TMPFS}/stream", f"{TMPFS}/packed"
    kind = make.__name__
    random.seed(mib)
    with open(image, "wb") as file:
        for _ in range(mib):
            file.write(make(MIB))
    run(TOOL, "snapshot", image, snapshot)
    ours = median(f"{TOOL} send --level {LEVEL} {snapshot} >{stream}")
    theirs = median(f"cat {snapshot} | zstd -q -{LEVEL} -T1 >{packed}")
    tell(mib, kind, "send; cat | zstd", ours, theirs, os.path.getsize(stream), os.path.getsize(packed))
    gone = f"rm -f {COWMEM}/copy"
    ours = median(f"{TOOL} receive {COWMEM}/copy <{stream}", gone)
    theirs = median(f"zstd -q -d -T1 <{packed} | cat >{COWMEM}/copy", gone)
    tell(mib, kind, "receive; zstd -d | cat", ours, theirs)
    took(f"{TOOL} receive {COWMEM}/copy <{stream}")
    check(filecmp.cmp(f"{COWMEM}/copy", image, shallow=False), "what came is not what was sent")
    # One page in a hundred is written, and what changed is sent: all that others can do is send all.
    with open(image, "r+b") as file:
        for page in range(0, mib * MIB // PAGE, WRITTEN):
            file.seek(page * PAGE)
            file.write(noise(PAGE))
    run(TOOL, "snapshot", image, f"{COWMEM}/later")
    ours = median(f"{TOOL} send --level {LEVEL} --from {snapshot} {COWMEM}/later >{stream}")
    theirs = median(f"cat {COWMEM}/later | zstd -q -{LEVEL} -T1 >{packed}")
    tell(mib, kind, f"1 in {WRITTEN} written, --from", ours, theirs, os.path.getsize(stream), os.path.getsize(packed))
    took(f"{TOOL} receive --from {COWMEM}/copy {COWMEM}/other <{stream}")
    check(filecmp.cmp(f"{COWMEM}/other", image, shallow=False), "what came of the difference is not what was sent")
    for path in (image, snapshot, f"{COWMEM}/copy", f"{COWMEM}/later", f"{COWMEM}/other", stream, packed):
        os.unlink(path)


def rates():
    """Streams are what was sent; their rates beside cat and zstd"""
    said = re.search(r"v([\d.]+)", run("zstd", "--version"))
    check(said, "zstd has no version")
    say(f"MiB of the object a second, at level {LEVEL}, zstd {version('zstd')}")
    say(f"{'MiB':>5} {'':6} {'':22}{'cowmem':>9} {'zstd':>9} {'ratio':>7} {'stream':>9} {'zstd, MiB':>9}")
    for mib in SIZES:
        for make in (text, noise):
            measure(mib, make)


main(rates)
