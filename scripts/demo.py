#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The demonstration behind `make demo`: Debian's own kernel in a VM, this module
in it, and a real file of this machine served out of /dev/cowmem (qemu/demo.c),
memory that is paged out and comes back (qemu/demo_paging.c), a store that is
checkpointed while it is written (qemu/demo_checkpoint.c), one image with 50 clones
(qemu/demo_clones.c), and a file of a mount that this machine's cp copies (qemu/demo_reflink.c).
"""
import pathlib
import sys
import tempfile

import guest
import initramfs
import vm

ROOT = pathlib.Path(__file__).resolve().parent.parent
ARCH = "x86_64"
PROGRAMS = {"demo": "/data", "demo_paging": "", "demo_checkpoint": "", "demo_clones": "", "demo_reflink": ""}  # and their arguments


def real_file():
    """A file of some tens of MB that is on every machine that can build: the compiler's own."""
    for name in ("cc1plus", "cc1"):
        path = pathlib.Path(guest.run("gcc", f"-print-prog-name={name}").strip())
        if path.is_absolute() and path.exists():
            return path
    sys.exit("demo.py: gcc has neither cc1plus nor cc1 here")


def main():
    kernel = guest.kernel("stock", ARCH)
    print("demo: building the module for " + (kernel / "release").read_text().strip(), flush=True)
    module = guest.build_module(kernel, ARCH)
    programs = {name: guest.build_program(ROOT / f"qemu/{name}.c", ARCH) for name in ("init", *PROGRAMS)}
    modules = guest.module_files(kernel, ["zram"])
    modules["cowmem"] = (module / "cowmem.ko").read_bytes()
    runs = [f"run /bin/{name} {argument}".strip() for name, argument in PROGRAMS.items()]
    steps = [*(f"load /lib/{name}.ko" for name in modules), *runs, "unload cowmem"]
    data = real_file()
    print(f"demo: {data.name} of this machine into a VM", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        image = pathlib.Path(folder) / "initramfs.gz"
        initramfs.write(image, {
            "init": (programs["init"].read_bytes(), 0o755),
            **{f"bin/{name}": (programs[name].read_bytes(), 0o755) for name in PROGRAMS},
            "bin/busybox": (pathlib.Path("/bin/busybox").read_bytes(), 0o755),
            **{f"lib/{name}.ko": (data_of, 0o644) for name, data_of in modules.items()},
            **guest.linked_to("/bin/cp"),
            "data": (data.read_bytes(), 0o644),
            "etc/run": ("\n".join([*steps, ""]).encode(), 0o644),
        }, ["proc", "sys", "dev", "tmp"])  # fmt: skip
        result = vm.boot(ARCH, kernel, image, ROOT / "build" / "demo.log")
    print(f"\ncowmem: {data.name} of this machine, served to 8 processes out of /dev/cowmem\n")
    for step in result.steps:
        if step.program:
            print("\n".join(step.program), end="\n\n")
    for problem in result.problems:
        print(f"demo.py: {problem}", file=sys.stderr)
    if not result.problems:
        print(f"no kernel warning, module unloaded; {result.seconds:.0f} s in the VM")
    return bool(result.problems)


if __name__ == "__main__":
    sys.exit(main())
