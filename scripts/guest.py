#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Build what goes into a guest: the kernel, the module, programs and the kernel's
own modules, for the scripts that boot one.
"""
import lzma
import pathlib
import platform
import subprocess
import threading

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ROOT / "build" / "guest"
MODULES = ROOT / "build" / "modules"
COMPILER = {"x86_64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}
CXX_COMPILER = {"x86_64": "g++", "arm64": "aarch64-linux-gnu-g++"}
CXXFLAGS = ["-std=c++20", "-fno-exceptions"]
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
tools_lock = threading.Lock()  # one make at a time
LINKED = ["-static"]
# Where no other program has code: what is traced is known by its address only (bench_profile.py).
# A library that is to be preloaded into a program is linked to it as it starts.
LINKED_OF = {"bench": ["-static", "-Wl,-Ttext-segment=0x10000000"], "forked": []}


def run(*command):
    """Run a command on the host; its stdout comes back, an error carries all that it said."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def kernel(*what):
    """A directory that scripts/kernel.sh makes; its progress goes to our stderr."""
    done = subprocess.run([ROOT / "scripts/kernel.sh", *what], text=True, stdout=subprocess.PIPE)
    if done.returncode:
        raise RuntimeError(f"scripts/kernel.sh {' '.join(what)} failed")
    return pathlib.Path(done.stdout.strip())


def other_kernels():
    """The names of Debian's supported kernels, but for the main one."""
    names = run("scripts/kernel.sh", "list").split()
    return names[1:]


# Two boots may want the same module.
module_locks = {}
module_locks_lock = threading.Lock()


def build_module(kernel_dir, arch, kunit=False, peer=False, coverage=False, out=None):
    """The folder that has cowmem.ko for a kernel, `out` if given; with `kunit`, its suites too; with `peer`,
    cowmem_peer.ko; with `coverage`, the module tells which of its branches have run (coverage.py)."""
    options = [name for name, wanted in (("KUNIT", kunit), ("PEER", peer), ("COVERAGE", coverage)) if wanted]
    # With suites or the peer, cowmem.ko is the same: what one of these builds has compiled is there for the next.
    kinds = [name for name, is_one in (("tested", kunit or peer), ("coverage", coverage)) if is_one]
    out = out or MODULES / "-".join([kernel_dir.name, *kinds])
    with module_locks_lock:
        lock = module_locks.setdefault(out, threading.Lock())
    with lock:
        run("make", "-s", "module", f"KDIR={kernel_dir / 'build'}", f"ARCH={arch}", f"OUT={out}",
            *(f"{option}=1" for option in options))  # fmt: skip
    return out


def build_tools(arch):
    """The folder that has libcowmem.a and the tool `cowmem`, static."""
    out = PROGRAMS / arch / "tools"
    zstd = []
    if arch != platform.machine():
        folder = kernel("package", "libzstd-dev", arch)
        zstd = [f"ZSTD_CFLAGS=-I{folder}/usr/include", f"ZSTD_LIBS={next(folder.glob('usr/lib/*/libzstd.a'))}"]
    with tools_lock:
        run("make", "-s", "-f", "src/tool/Makefile", "tools", f"ARCH={arch}", f"CC={COMPILER[arch]}", f"TOOLS={out}", "STATIC=1", *zstd)
    return out


def busybox(arch):
    """The path of a static busybox."""
    own = arch == platform.machine()
    return pathlib.Path("/bin/busybox") if own else kernel("package", "busybox-static", arch) / "bin/busybox"


def uses_library(code):
    return "#include <cowmem/" in code.read_text()


def linked_to(path):
    """A program or a library of this machine, and what it is linked to: each path, from the root, and its file."""
    listed = [word for word in run("ldd", path).split() if word.startswith("/")]
    return {name.lstrip("/"): (pathlib.Path(name).read_bytes(), 0o755) for name in [str(path), *listed]}


PYTHON = "/usr/bin/python3.11"  # Debian 12's
# Prints the files of all modules that a program which imports these has.
IMPORTED = """
import sys, collections, ctypes, errno, mmap, os, traceback
print(*filter(None, (getattr(module, "__file__", None) for module in list(sys.modules.values()))), sep="\\n")
"""


def binding(arch, code):
    """The test of the binding for Python, and all that it needs in a guest of this machine's architecture."""
    files = linked_to(PYTHON)
    for path in map(pathlib.Path, run(PYTHON, "-S", "-c", IMPORTED).split()):
        files |= linked_to(path) if path.suffix == ".so" else {str(path).lstrip("/"): (path.read_bytes(), 0o644)}
    library = build_tools(arch) / "libcowmem.so.1"
    script = f"#!{PYTHON} -SB\n{code.read_text()}"
    return files | {f"bin/{code.stem}": (script.encode(), 0o755), "bin/cowmem.py": ((ROOT / "src/lib/cowmem.py").read_bytes(), 0o644),
                    f"lib/{arch}-linux-gnu/{library.name}": (library.read_bytes(), 0o755)}  # fmt: skip


def build_program(code, arch, source=None):
    """A static guest program from one file of C or C++, built again only if something it is made of is newer.

    One that uses kselftest.h needs the kernel's `source`.
    """
    program = PROGRAMS / arch / code.stem
    library = [build_tools(arch) / "libcowmem.a"] if uses_library(code) else []
    made_of = [code, *code.parent.glob("*.h"), *(ROOT / "src/examples").glob("*.h"), *(ROOT / "include").rglob("*.h"), ROOT / "src/kernel/counters.h", *library]
    if not program.exists() or any(path.stat().st_mtime > program.stat().st_mtime for path in made_of):
        program.parent.mkdir(parents=True, exist_ok=True)
        fresh = program.with_suffix(f".{threading.get_ident()}")
        include = ["-Iinclude/uapi", *(["-Iinclude"] if library else []), *(["-isystem", source / "tools/testing/selftests"] if source else [])]
        compiler = [CXX_COMPILER[arch], *CXXFLAGS] if code.suffix == ".cc" else [COMPILER[arch]]
        run(*compiler, *CFLAGS, *LINKED_OF.get(code.stem, LINKED), *include, code, *library, "-o", fresh)
        fresh.rename(program)
    return program


def disk_image(path, mib):
    """An empty file system of so many MiB."""
    path.unlink(missing_ok=True)
    run("/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", path, f"{mib}M")
    return path


class NotToBeHad(RuntimeError):
    """What has to be downloaded cannot be, just now."""


def debian(arch):
    """A disk image with programs of Debian's (scripts/debian.sh)."""
    done = subprocess.run([ROOT / "scripts/debian.sh", arch], text=True, stdout=subprocess.PIPE)
    if done.returncode == 4:
        raise NotToBeHad("Debian's packages cannot be had: is there a network?")
    if done.returncode:
        raise RuntimeError(f"scripts/debian.sh {arch} failed")
    return pathlib.Path(done.stdout.strip())


def module_files(kernel_dir, names):
    """The kernel's own modules and what they need, uncompressed, in the order to load them."""
    release = (kernel_dir / "release").read_text().strip()
    files = {}
    for name in names:
        for line in run("modprobe", "-d", kernel_dir, "-S", release, "-D", name).splitlines():
            if line.startswith("insmod "):
                path = pathlib.Path(line.split()[1])
                data = path.read_bytes()
                files[path.name.partition(".")[0]] = lzma.decompress(data) if path.suffix == ".xz" else data
    return files
