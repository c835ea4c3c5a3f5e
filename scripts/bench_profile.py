#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Where the instructions of the benchmarks go, by function of the kernel and the
module: counted one by one by a plugin in QEMU (qemu/profile.c), not sampled, and
named by the guest's own /proc/kallsyms, which comes out through a virtio port.
"""
import bisect
import collections

import guest

USER = 1 << 47  # addresses below are user space's
TOP = 45  # functions of a table


class Tracer:
    """What a boot needs to be traced, and what it left."""

    def __init__(self, out, program):
        self.counts, self.symbols = out / "profile.counts", out / "kallsyms"
        plugin = out / "profile.so"
        out.mkdir(parents=True, exist_ok=True)
        guest.run("gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden",
                  guest.ROOT / "qemu/profile.c", "-o", plugin)  # fmt: skip
        address = {}
        for line in guest.run("llvm-nm-19", program).splitlines():
            *value, _, name = line.split()
            address[name] = value[0] if value else None
        # The guest writes its symbols to the port before anything is measured.
        self.step = "copy /proc/kallsyms /dev/vport0p1"
        self.qemu = [
            "-plugin", f"{plugin},begin={address['bench_start']},end={address['bench_stop']},out={self.counts}",
            "-device", "virtio-serial-pci", "-chardev", f"file,id=symbols,path={self.symbols}",
            "-device", "virtserialport,chardev=symbols",
        ]  # fmt: skip

    def read(self, order):
        """{(work, kind): {function: instructions per unit}}; `order` as in bench.Figures."""
        addresses, names = self.read_symbols()
        found = collections.defaultdict(collections.Counter)
        rounds = collections.Counter((work, kind) for work, kind, _ in order)
        windows = self.counts.read_text().split("window\n")[1:]
        for (work, kind, units), window in zip(order, windows, strict=True):
            for line in window.splitlines():
                address, instructions = line.split()
                at = int(address, 16)
                name = "(user space)" if at < USER else names[bisect.bisect_right(addresses, at) - 1]
                found[work, kind][name] += int(instructions) / units / rounds[work, kind]
        return found

    def read_symbols(self):
        text = []
        for line in self.symbols.read_text().splitlines():
            address, kind, name, *module = line.split()
            if kind in "tTwW":
                text.append((int(address, 16), name, module))
        text.sort()
        mangled = [name for _, name, _ in text if name.startswith("_Z")]
        plain = dict(zip(mangled, guest.run("llvm-cxxfilt-19", "-p", *mangled).splitlines()))
        names = [" ".join([plain.get(name, name), *module]) for _, name, module in text]
        return [address for address, _, _ in text], names


def table(found, columns):
    """The functions, the most expensive on top; a column for each (work, kind)."""
    lines = ["".join(f"{work:>26}" for work, _ in columns), "".join(f"{kind:>26}" for _, kind in columns)]
    by_cost = sorted({name for column in columns for name in found[column]},
                     key=lambda name: (-max(found[column][name] for column in columns), name))  # fmt: skip
    shown = by_cost[:TOP]
    for name in shown:
        lines.append("".join(f"{found[column][name]:26,.0f}" for column in columns) + f"  {name}")
    rest = [sum(found[column].values()) - sum(found[column][name] for name in shown) for column in columns]
    lines.append("".join(f"{value:26,.0f}" for value in rest) + "  all others")
    lines.append("".join(f"{sum(found[column].values()):26,.0f}" for column in columns) + "  together")
    return lines
