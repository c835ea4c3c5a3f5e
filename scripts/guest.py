#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Build what goes into a guest: the kernel, the module, programs and the kernel's
own modules, for the scripts that boot one.

What was built of the same files, by the same tools, is not built again, in another tree either: it is kept in the cache.
"""
import contextlib
import fcntl
import functools
import hashlib
import lzma
import os
import pathlib
import platform
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
TOOLS = ROOT / "build" / "guest"
MODULES = ROOT / "build" / "modules"
# As scripts/lib.sh has it.
CACHE = pathlib.Path(os.environ.get("COWMEM_CACHE") or
                     pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "cowmem")  # fmt: skip
VERSIONS_KEPT = 4  # of each thing that is built
# How the names begin of Debian's packages of compilers, of what comes with them, and of what is linked.
BUILD_TOOLS = ("binutils", "clang-", "g++", "gcc", "libc6-dev", "libstdc++", "libzstd-dev", "lld-", "llvm-")
COMPILER = {"x86_64": "gcc", "arm64": "aarch64-linux-gnu-gcc"}
CXX_COMPILER = {"x86_64": "g++", "arm64": "aarch64-linux-gnu-g++"}
CXXFLAGS = ["-std=c++20", "-fno-exceptions"]
CFLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-pthread"]
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


@functools.cache
def tools_installed():
    return [line for line in run("dpkg-query", "-W").splitlines() if line.startswith(BUILD_TOOLS)]


@functools.cache
def content(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def locked(path):
    """Two boots may want the same, of this run or of another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def kept(name, made_of, how, make):
    """The folder of the cache that has what make(folder) makes of some files. It is made once for all trees in which the
    files are the same, and the words that say how it is made, this file, and the tools."""
    files = [(str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path.name), content(path))
             for path in sorted({*made_of, pathlib.Path(__file__)})]  # fmt: skip
    key = hashlib.sha256(repr((files, [str(word) for word in how], tools_installed())).encode()).hexdigest()
    folder = CACHE / "made" / name / key[:16]
    with locked(folder.parent / "lock"):
        if not folder.exists():
            fresh = folder.parent / "fresh"
            shutil.rmtree(fresh, ignore_errors=True)  # what a run that was killed has left
            fresh.mkdir()
            make(fresh)
            fresh.rename(folder)
            versions = sorted(filter(pathlib.Path.is_dir, folder.parent.iterdir()), key=lambda version: version.stat().st_mtime)
            for version in versions[:-VERSIONS_KEPT]:
                shutil.rmtree(version)
        os.utime(folder)
    return folder


def build_module(kernel_dir, arch, kunit=False, peer=False, coverage=False, out=None):
    """The folder that has cowmem.ko for a kernel; with `kunit`, its suites too; with `peer`, cowmem_peer.ko; with `coverage`,
    the module tells which of its branches have run (coverage.py). It is built in `out`, if given, and the module is left there."""
    options = [f"{name}=1" for name, wanted in (("KUNIT", kunit), ("PEER", peer), ("COVERAGE", coverage)) if wanted]
    command = ["make", "-s", "module", f"KDIR={kernel_dir / 'build'}", f"ARCH={arch}", *options]
    if out:
        run(*command, f"OUT={out}")
        return out

    def make(folder):
        # With suites or the peer, cowmem.ko is the same: what one of these builds has compiled is there for the next.
        kinds = [name for name, is_one in (("tested", kunit or peer), ("coverage", coverage)) if is_one]
        place = MODULES / "-".join([kernel_dir.name, *kinds])
        with locked(MODULES / f"{place.name}.lock"):
            run(*command, f"OUT={place}")
            for module in place.glob("*.ko"):
                shutil.copy2(module, folder)

    made_of = [ROOT / "Kbuild", ROOT / "Makefile", *(ROOT / "scripts").glob("*.sh")]
    made_of += [path for room in ("src", "include", *(["kunit"] if options else [])) for path in (ROOT / room).rglob("*") if path.suffix in (".c", ".cc", ".h", ".hpp")]
    how = [kernel_dir.name, (kernel_dir / "release").read_text(), *options, os.environ.get("CLANG", "")]
    return kept("-".join(["module", kernel_dir.name, *options]), made_of, how, make)


def build_tools(arch):
    """The folder that has libcowmem.a and the tool `cowmem`, static."""
    out = TOOLS / arch
    zstd = []
    if arch != platform.machine():
        folder = kernel("package", "libzstd-dev", arch)
        zstd = [f"ZSTD_CFLAGS=-I{folder}/usr/include", f"ZSTD_LIBS={next(folder.glob('usr/lib/*/libzstd.a'))}"]
    with locked(TOOLS / f"{arch}.lock"):
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
    """A static guest program from one file of C or C++. One that uses kselftest.h needs the kernel's `source`."""
    library = [build_tools(arch) / "libcowmem.a"] if uses_library(code) else []
    include = ["-Iinclude/uapi", *(["-Iinclude"] if library else []), *(["-isystem", source / "tools/testing/selftests"] if source else [])]
    compiler = [CXX_COMPILER[arch], *CXXFLAGS] if code.suffix == ".cc" else [COMPILER[arch]]
    command = [*compiler, *CFLAGS, *LINKED_OF.get(code.stem, LINKED), *include, code.relative_to(ROOT), *library]

    def make(folder):
        run(*command, "-o", folder / code.stem)

    made_of = [code, *code.parent.glob("*.h"), *(ROOT / "src/examples").glob("*.h"), *(ROOT / "include").rglob("*.h*"), ROOT / "src/kernel/counters.h", *library]
    how = [compiler, LINKED_OF.get(code.stem, LINKED), *(path.name for path in (source, *library) if path)]
    return kept(f"program-{code.stem}-{arch}", made_of, how, make) / code.stem


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
