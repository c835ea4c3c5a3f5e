#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Check libcowmem, libcowmem-fork and the tool `cowmem` on this machine, without the module: the
library's calls on memfds, its bindings, and streams that are damaged, all with ASan and UBSan; forks;
what the libraries export; what is installed; the completion; the manuals; the metadata of the packages.

    scripts/userspace.py      prints TAP
"""
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

import guest
import manual
import packages

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "test" / "userspace"
SANITIZED = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
WARNINGS = ["-Wall", "-Wextra", "-Werror"]
INCLUDE = ["-Iinclude", "-Iinclude/uapi"]
HEADER = ROOT / "include/cowmem/cowmem.h"
TOOLS = OUT / "plain"


@dataclasses.dataclass
class Check:
    """One of them. `output` is a program's TAP, `status` its exit code; else `wrong` is empty if all is well."""

    name: str
    output: list[str] | None = None
    status: int = 0
    wrong: list[str] = dataclasses.field(default_factory=list)


def make(folder, *options):
    guest.run("make", "-s", "-f", "src/tool/Makefile", "tools", f"TOOLS={folder}", *options)


def run_program(name, *command, **environment):
    done = subprocess.run([str(word) for word in command], cwd=ROOT, text=True, env=os.environ | environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    return Check(name, output=done.stdout.splitlines(), status=done.returncode)


def check_programs(kselftest):
    """The programs that run on memfds, each with the sanitizers."""
    built = OUT / "sanitized"
    make(built, "SANITIZE=1")
    library = built / "libcowmem.a"
    for name, compiler, code, *more in (
        ("library", "gcc", "qemu/tests/library.c", library),
        ("library_cxx", "g++", "qemu/tests/library_cxx.cc", library),
        ("fuzz", "gcc", "src/tool/tests/fuzz.c", built / "tool/stream.o", library, "-lzstd"),
    ):
        dialect = guest.CXXFLAGS if compiler == "g++" else ["-std=gnu11"]
        guest.run(compiler, *dialect, *SANITIZED, *WARNINGS, *INCLUDE, "-isystem", kselftest, code, *more, "-o", built / name)
        yield run_program(name, built / name, "memfd")
    # Not with the sanitizers, which want to be the first library.
    guest.run("gcc", "-O2", "-pthread", *WARNINGS, "qemu/debian/forked.c", "-o", OUT / "forked")
    yield run_program("fork", OUT / "forked", TOOLS / "libcowmem-fork.so", "memfd")
    yield run_program("format", sys.executable, "-B", "src/tool/tests/format.py", TOOLS / "cowmem")
    yield run_program("binding", guest.PYTHON, "-B", "qemu/tests/binding.py", "memfd", PYTHONPATH="src/lib",
                      COWMEM_LIBRARY=str(TOOLS / "libcowmem.so.1"))  # fmt: skip


def declared():
    """The functions that the library's header has."""
    text = re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)
    return set(re.findall(r"\b(cowmem_\w+)\(", text))


# What is compiled into its caller, and always was; what came after 1.0.
IN_HEADER = {"cowmem_object_collapse"}
SINCE_1_1 = {"cowmem_object_set_huge", "cowmem_object_prefetch_to_write"}


def check_exports():
    """What the shared library exports is what its header declares, by the version of the interface."""
    said = guest.run("nm", "-D", "--defined-only", TOOLS / "libcowmem.so")
    exported = dict(re.findall(r" T (\w+)@@(\S+)", said))
    wrong = [f"{name} is declared, and not exported" for name in sorted(declared() - exported.keys() - IN_HEADER)]
    wrong += [f"{name} is exported, and not declared" for name in sorted(exported.keys() - declared())]
    # What a release has stays as it is: functions that came later are of that later version.
    wrong += [f"{name} is of {version}" for name, version in exported.items()
              if version != ("LIBCOWMEM_1.1" if name.endswith("_sized") or name in SINCE_1_1 else "LIBCOWMEM_1.0")]  # fmt: skip
    if "SONAME               libcowmem.so.1\n" not in guest.run("objdump", "-p", TOOLS / "libcowmem.so"):
        wrong.append("the soname is not libcowmem.so.1")
    yield Check("the library exports what its header declares", wrong=wrong)


# Whatever the struct is that this is compiled with, the library leaves alone what lies behind it.
OF_VERSION = """\
#include <cowmem/cowmem.h>
#include <string.h>
#include <unistd.h>
static struct { struct cowmem_stat stat; unsigned char behind[4096]; } all;
int main(void)
{
	int fd = cowmem_object_create("version", COWMEM_CREATE_MEMFD);

	memset(&all, 0xA5, sizeof(all));
	if (fd < 0 || write(fd, "a", 1) != 1 || cowmem_object_stat(fd, &all.stat))
		return 1;
	for (size_t i = 0; i < sizeof(all.behind); i++)
		if (all.behind[i] != 0xA5)
			return 2;
	if (all.stat.size != sizeof(all.stat) || all.stat.bytes != 1 || all.stat.resident_pages != 1)
		return 3;
	return IS_LATER ? 4 : 0;
}
"""
LAST = re.compile(r"^\t__u64 large_pages;.*\n", re.MULTILINE)  # member of struct cowmem_stat
LATER = "\t__u64 later[5];\n"


def check_versions():
    """A program that was compiled with an older, or a later, linux/cowmem.h runs with this library."""
    uapi = (ROOT / "include/uapi/linux/cowmem.h").read_text()
    for name, text, is_later in (
        ("an older", LAST.sub("", uapi), "0"),
        ("this", uapi, "0"),
        ("a later", LAST.sub(lambda match: match[0] + LATER, uapi), "all.stat.later[0] || all.stat.later[4]"),
    ):
        wrong = [] if name == "this" or text != uapi else ["the struct is as it was"]
        folder = OUT / f"version-{name.split()[-1]}"
        (folder / "linux").mkdir(parents=True, exist_ok=True)
        (folder / "linux/cowmem.h").write_text(text)
        (folder / "program.c").write_text(OF_VERSION)
        guest.run("gcc", "-O1", *WARNINGS, f"-DIS_LATER=({is_later})", f"-I{folder}", "-Iinclude", folder / "program.c",
                  TOOLS / "libcowmem.so", "-o", folder / "program")  # fmt: skip
        done = run_program("", folder / "program", LD_LIBRARY_PATH=str(TOOLS))
        wrong += [f"exit code {done.status}", *done.output] if done.status else []
        yield Check(f"a program that was compiled with {name} header", wrong=wrong)


PROGRAM = """\
#include <cowmem/cowmem.h>
#include <stdio.h>
int main(void) { return puts(cowmem_version()) < 0; }
"""


def check_install():
    """A program is built with what was installed, by the flags that the pkg-config file has."""
    root = OUT / "root"
    subprocess.run(["rm", "-rf", root], check=True)
    guest.run("make", "-s", "install-tools", f"TOOLS={TOOLS}", f"DESTDIR={root}", "PREFIX=/usr")
    text = (root / "usr/lib/pkgconfig/libcowmem.pc").read_text()
    values = dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
    words = " ".join(re.findall(r"^(?:Cflags|Libs): (.*)$", text, re.MULTILINE))
    while "${" in words:
        words = re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], words)
    words = [re.sub(r"^-([IL])", rf"-\1{root}", word) for word in words.split()]
    code = OUT / "installed.c"
    code.write_text(PROGRAM)
    guest.run("gcc", *WARNINGS, code, *words, "-o", OUT / "installed")
    done = run_program("", OUT / "installed", LD_LIBRARY_PATH=str(root / "usr/lib"))
    version = re.search(r'COWMEM_VERSION "(.*)"', HEADER.read_text())[1]
    wrong = [] if done.output == [version] and not done.status else done.output or ["nothing was said"]
    wrong += [f"{name} is not installed" for name in ("usr/sbin/cowmem", "usr/include/cowmem/cowmem.hpp", "usr/lib/libcowmem-fork.so")
              if not (root / name).exists()]  # fmt: skip
    yield Check("what is installed builds a program", wrong=wrong)
    # Where it is installed unless it is said otherwise, Debian's own Python finds it.
    guest.run("make", "-s", "install-tools", f"TOOLS={TOOLS}", f"DESTDIR={root}")
    paths = guest.run("/usr/bin/python3", "-c", "import sys; print(*sys.path, sep='\\n')").split()
    found = [path for path in root.glob("usr/local/**/cowmem.py") if f"/{path.parent.relative_to(root)}" in paths]
    yield Check("Python finds what is installed", wrong=[] if found else [f"it is in none of {' '.join(paths)}"])


def complete(*words):
    """What bash's completion offers for the last word."""
    script = ('source src/tool/cowmem.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
              '_cowmem "$0"; printf "%s\\n" "${COMPREPLY[@]}"')  # fmt: skip
    return guest.run("bash", "-c", script, TOOLS / "cowmem", "cowmem", *words).split()


def check_completion():
    wrong = []
    for words, offered in ((("sna",), {"snapshot"}), (("st",), {"stat"}), (("receive", "--h"), {"--how-far"}),
                           (("stat", "--"), {"--json", "--pid", "--fd"}), (("stat", "READ"), {"README.md"})):  # fmt: skip
        if set(complete(*words)) != offered:
            wrong.append(f"{' '.join(words)}: {complete(*words)}, not {sorted(offered)}")
    yield Check("completion offers what the tool has", wrong=wrong)


def said_by_tool(*words):
    return guest.run(TOOLS / "cowmem", *words)


def named_in(pages):
    return "\n".join(manual.text_of(page) for page in manual.PAGES if page.suffix in pages)


def check_manual():
    """The pages are well formed, and name all that there is: functions, commands, options, parameters."""
    wrong = []
    for page in manual.PAGES:
        done = subprocess.run(["groff", "-t", "-ww", "-man", "-Tutf8", "-z", page], text=True, capture_output=True)
        wrong += (done.stderr + done.stdout).splitlines()
        if not manual.blocks(page):
            wrong.append(f"{page.name} has no example")
    commands = re.findall(r"^  ([a-z-]+) ", said_by_tool("help"), re.MULTILINE)
    options = {option for command in commands for option in re.findall(r"^  (--[a-z-]+)", said_by_tool(command, "--help"), re.MULTILINE)}
    parameters = re.findall(r"MODULE_PARM_DESC\((\w+)", (ROOT / "src/device/module.c").read_text())
    uapi = (ROOT / "include/uapi/linux/cowmem.h").read_text()
    for pages, names in ((".8", [*(f".B{command}" for command in commands), *options, *parameters]), (".3", declared()),
                         (".4", re.findall(r"define (COWMEM_IOC_(?!TYPE)\w+)", uapi)),
                         (".3", re.findall(r"define (COWMEM_CREATE_\w+)", HEADER.read_text()))):  # fmt: skip
        text = named_in({pages})
        for name in sorted(names):
            if not re.search(rf"(?<![\w-]){re.escape(name.removeprefix('.B'))}(?![\w-])", text):
                wrong.append(f"the pages of section {pages[1:]} do not name {name}")
    names = re.findall(r"^\.SH NAME\n(.*?) - ", named_in({".3"}), re.MULTILINE)
    described = {name for line in names for name in line.split(", ")}
    wrong += [f"no page is {name}'s" for name in sorted(declared() - described)]
    yield Check("the manual is well formed, and whole", wrong=wrong)


def called_by(name):
    """The source of a test, without comments."""
    return re.sub(r"/\*.*?\*/", "", (ROOT / "qemu/tests" / name).read_text(), flags=re.DOTALL)


def check_tests():
    """What there is, the tests of the VM call: each option of each subcommand, each function, each method."""
    wrong = []
    text = called_by("tool.c")
    commands = re.findall(r"^  ([a-z-]+) ", said_by_tool("help"), re.MULTILINE)
    lines = [line.split() for line in re.findall(rf'"((?:{"|".join(commands)})\b[^"]*)"', text)]
    for command in commands:
        used = {word for line in lines if line[0] == command for word in line}
        options = re.findall(r"^  (--[a-z-]+)", said_by_tool(command, "--help"), re.MULTILINE)
        wrong += [f"tool.c never runs {command} {option}" for option in options if option not in used]
    wrong += [f"library.c never calls {name}" for name in sorted(declared()) if f"{name}(" not in called_by("library.c")]
    methods = re.findall(r"^\t(?:static )?(?:result<.*>|std::span<.*>|std::uint64_t|int) (\w+)\(",
                         (ROOT / "include/cowmem/cowmem.hpp").read_text(), re.MULTILINE)  # fmt: skip
    for name in sorted(set(methods) - {"made", "part"}):
        if not re.search(rf"[.>:]{name}(?:<\S+>)?\(", called_by("library_cxx.cc")):
            wrong.append(f"library_cxx.cc never calls {name}")
    functions = re.findall(r"^ *def ([a-z]\w*)\(", (ROOT / "src/lib/cowmem.py").read_text(), re.MULTILINE)
    text = called_by("binding.py")
    wrong += [f"binding.py never calls {name}" for name in functions if not re.search(rf"\.{name}\b", text)]
    yield Check("the tests call all that there is", wrong=wrong)


def check_examples():
    """The C programs of the manual that need no module, with the sanitizers."""
    for page in manual.PAGES:
        for number, text in enumerate(manual.programs(page) if page.suffix == ".3" else [], 1):
            code, program = OUT / f"{page.name}-{number}.c", OUT / f"{page.name}-{number}"
            code.write_text(text)
            guest.run("gcc", *SANITIZED, *WARNINGS, *INCLUDE, code, OUT / "sanitized/libcowmem.a", "-o", program)
            done = run_program("", program)
            yield Check(f"example {number} of {page.name}", wrong=[f"exit code {done.status}", *done.output] if done.status else [])


def check_all():
    """All checks, one after the other."""
    OUT.mkdir(parents=True, exist_ok=True)
    make(TOOLS)
    yield from check_programs(guest.kernel("source") / "tools/testing/selftests")
    yield from check_exports()
    yield from check_versions()
    yield from check_install()
    yield from check_completion()
    yield from check_manual()
    yield from check_tests()
    yield from check_examples()
    yield Check("the packages' metadata is as the rest", wrong=list(packages.check_metadata()))


def main():
    failed = False
    for check in check_all():
        failed |= bool(check.status or check.wrong)
        print("\n".join(check.output or [f"{'not ' if check.wrong else ''}ok {check.name}", *check.wrong]))
    return failed


if __name__ == "__main__":
    sys.exit(main())
