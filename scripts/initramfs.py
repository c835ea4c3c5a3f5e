#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Make a gzip'd newc cpio for a VM to boot from. The same input makes the same
bytes; neither root nor a program outside Python is needed.

    scripts/initramfs.py OUT HOST:GUEST[:MODE]...   copy a file (mode octal, else the host's)
    scripts/initramfs.py OUT GUEST/...              make a directory

Parent directories and /dev/console come by themselves.
"""
import gzip
import pathlib
import stat
import sys

CONSOLE = (5, 1)


def member(inode, path, mode, data=b"", device=(0, 0)):
    """One cpio member: 13 fields of 8 hex digits, name and data padded to 4 bytes."""
    name = path.encode() + b"\0"
    fields = (inode, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(name), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + name
    return b"".join(part + bytes(-len(part) % 4) for part in (head, data))


def write(out, files, directories=()):
    """Write to `out` the `files`, a dict of guest path to (bytes, mode)."""
    members = {"dev/console": (stat.S_IFCHR | 0o600, b"", CONSOLE)}
    for guest, (data, mode) in files.items():
        members[guest.strip("/")] = (stat.S_IFREG | mode, data)
    parents = {
        str(parent)
        for path in [*members, *(d.strip("/") + "/x" for d in directories)]
        for parent in pathlib.PurePosixPath(path).parents
    } - {"."}
    for parent in parents:
        members[parent] = (stat.S_IFDIR | 0o755,)
    archive = b"".join(member(i, path, *members[path]) for i, path in enumerate(sorted(members), 1))
    archive += member(0, "TRAILER!!!", 0)
    pathlib.Path(out).write_bytes(gzip.compress(archive, compresslevel=1, mtime=0))


def main(out, *specs):
    files, directories = {}, []
    for spec in specs:
        host, _, guest = spec.partition(":")
        if not guest:
            directories.append(host)
            continue
        guest, _, mode = guest.partition(":")
        path = pathlib.Path(host)
        files[guest] = (path.read_bytes(), int(mode, 8) if mode else path.stat().st_mode & 0o777)
    write(out, files, directories)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
