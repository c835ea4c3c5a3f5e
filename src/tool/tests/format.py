#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Streams of the tool, read by what cowmem(5) says of the format and nothing else: what comes out is
what was sent. format.py TOOL; TAP on stdout.
"""
import os
import struct
import subprocess
import sys
import tempfile

PAGE = 4096
MASK = (1 << 64) - 1


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def mix(v):
    for _ in range(2):
        v = (v ^ v >> 32) * 0xD6E8FEB86659FD93 & MASK
    return v ^ v >> 32


def digest(data):
    """Of the bytes of an object."""
    sums = [0, 0]
    for i in range(0, (len(data) + PAGE - 1) // PAGE):
        page = data[i * PAGE : (i + 1) * PAGE].ljust(PAGE, b"\0")
        if not any(page):
            continue
        for s in (0, 1):
            h = mix(2 * i + 1 + s)
            for w in struct.unpack("<512Q", page):
                h = (h ^ w) * 0x9E3779B97F4A7C15 & MASK
                h = (h << 29 | h >> 35) & MASK
            sums[s] = sums[s] + mix(h) & MASK
    return sums


def read(stream, base=b""):
    """The object that a stream has, and its records' types."""
    header, rest = stream[:40], stream[40:]
    magic, version, flags, page_size, size, at, zero, crc = struct.unpack("<8sHHIQQII", header)
    assert (magic, version, page_size, zero) == (b"cowmem\r\n", 1, PAGE, 0) and crc == crc32c(header[:36])
    assert flags == (1 if base else 0)
    data = bytearray(base[:size].ljust((size + PAGE - 1) // PAGE * PAGE, b"\0"))
    types = []
    while True:
        record, rest = rest[:32], rest[32:]
        kind, stored, offset, length, zero, crc = struct.unpack("<IIQQII", record)
        payload, rest = rest[:stored], rest[stored:]
        assert crc == crc32c(record[:28] + payload) and not zero
        if kind == 3:
            assert offset == len(types) and not length and not rest
            assert list(struct.unpack("<2Q", payload)) == digest(data[:size])
            return bytes(data[:size]), types, at
        types.append(kind)
        if kind == 2:
            data[offset : offset + length] = bytes(length)
            continue
        if stored < length:
            payload = subprocess.run(["zstd", "-dc"], input=payload, capture_output=True, check=True).stdout
        assert kind == 1 and len(payload) == length <= 1 << 20
        data[offset : offset + length] = payload


def sent(tool, fd, *options):
    with tempfile.TemporaryFile() as out:
        subprocess.run([tool, "send", "--pid", str(os.getpid()), "--fd", str(fd), *options], stdout=out, check=True)
        out.seek(0)
        return out.read()


def main(tool):
    fd = os.memfd_create("format", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    first = os.urandom(3 * PAGE) + b"text" * PAGE + bytes(7 * PAGE) + b"end"
    os.pwrite(fd, first, 0)

    def whole():
        return read(sent(tool, fd)) == (first, [1, 1], 0)

    def difference():
        with open(os.memfd_create("before", os.MFD_ALLOW_SEALING), "rb+", buffering=0) as before:
            before.write(first)
            second = bytearray(first + b" and more")
            second[5 * PAGE : 6 * PAGE] = bytes(PAGE)
            second[8 * PAGE] = 1
            os.pwrite(fd, second, 0)
            subprocess.run(["fallocate", "-p", "-o", str(5 * PAGE), "-l", str(PAGE), f"/proc/{os.getpid()}/fd/{fd}"], check=True)
            stream = sent(tool, fd, "--from", f"/proc/{os.getpid()}/fd/{before.fileno()}")
            return read(stream, first) == (bytes(second), [2, 1, 1], 0) and len(stream) < 1000

    cases = [("all of an object", whole), ("a difference, with a hole", difference)]
    failed = False
    print(f"TAP version 13\n1..{len(cases)}")
    for number, (name, run) in enumerate(cases, 1):
        good = run()
        failed |= not good
        print(f"{'' if good else 'not '}ok {number} format: {name}")
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
