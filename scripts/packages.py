#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Debian's packages of cowmem: build them, and try them. This needs root, debootstrap and a network.

    scripts/packages.py build            into build/deb, in a clean root of Debian 12; lintian has to be content
    scripts/packages.py test [SUITE...]  install, upgrade, boot, remove and purge them in roots of Debian's

A root has Debian's own kernel, for which DKMS builds the module. It is booted as a machine is: with
its own initramfs, systemd and udev.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import guest
import vm

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "deb"
WORK = ROOT / "build" / "test"
BUILT_ON = "bookworm"
SUITES = ("bookworm", "trixie")
OF_BUILD = ["build-essential", "lintian"]
OF_MACHINE = ["linux-image-amd64", "systemd-sysv", "udev", "kmod"]
# What a user has beside what the packages depend on: DKMS makes the key of its signatures with
# the one, and a program is compiled with the others.
OF_SIGNATURES, OF_PROGRAMS = ["openssl"], ["gcc", "libc6-dev"]
CHANGELOG, CONTROL = (pathlib.Path(name) for name in ("debian/changelog", "debian/control"))
# Where the version of a release is, and how it is written there.
VERSIONED = {str(CHANGELOG): "cowmem ({}) ", "src/device/module.c": 'MODULE_VERSION("{}")',
             "include/cowmem/cowmem.h": '#define COWMEM_VERSION "{}"',
             **{str(page.relative_to(ROOT)): ' "cowmem {}" ' for page in sorted(ROOT.glob("src/*/*.[34578]"))}}  # fmt: skip
OLDER_OUT = WORK / "packages-older"  # where the packages are that are upgraded
LOG = WORK / "packages.log"
OTHER_SERIES = "5.10.0-99-amd64"  # no series that is supported
# What is not looked through for what a purge leaves: what dpkg and apt keep for themselves, what
# is not kept, and where no package has anything, but this test has; and files that netbase, which
# Python's packages depend on, makes and never removes.
NOT_OURS = ["etc/hosts", "etc/networks", "dev", "proc", "run", "sys", "tmp", "var/cache", "var/lib/apt", "var/lib/dpkg", "var/log", "root", "usr/local"]
# Nor what Python, which came along, makes as it is installed: it compiles itself.
OF_PYTHON = re.compile(r"(^|/)__pycache__(/|$)|^etc/python3(/|$)|^var/lib/python(/|$)|^etc/inputrc$")
SHOWN, SERVICE = "/usr/local/sbin/shown", "/usr/local/lib/systemd/system/shown.service"  # in the VM
UNIT = f"""\
[Unit]
After=systemd-udev-settle.service
Wants=systemd-udev-settle.service
[Service]
Type=oneshot
ExecStart={SHOWN}
StandardOutput=tty
StandardError=tty
ExecStopPost=systemctl poweroff --force
"""
# Each step is told to scripts/vm.py, as PID 1 of the other VMs tells it.
STEPS = r"""#!/bin/bash
step() {
	printf '\n#VM begin %s\n' "$1"
	bash -o pipefail -c "$1" 2>&1 | sed 's/^/| /'
	printf '#VM end %s %s\n' "${PIPESTATUS[0]}" "$1"
}
step 'grep "^cowmem " /proc/modules'
step 'test "$(stat -c %a:%U:%G /dev/cowmem)" = 660:root:cowmem'
step 'setpriv --reuid=nobody --regid=nogroup --groups=cowmem cat /dev/cowmem'
step '! setpriv --reuid=nobody --regid=nogroup --clear-groups cat /dev/cowmem'
step 'cowmem doctor'
step 'mount -t cowmem none /mnt -o size=64m'
step 'head -c 1M /dev/urandom > /mnt/image && cowmem snapshot /mnt/image /mnt/monday && cowmem clone /mnt/monday /mnt/mine'
step 'head -c 4096 /dev/urandom | dd of=/mnt/mine conv=notrunc status=none && cowmem diff /mnt/monday /mnt/mine'
step 'cowmem send --no-progress /mnt/monday | cowmem receive --no-progress /mnt/copy && cmp /mnt/image /mnt/copy'
step 'cowmem who --tree /mnt/image'
step '/root/program'
step 'python3 -c "import cowmem; print(cowmem.version()); assert cowmem.Object(\"binding\").is_module()"'
step 'COWMEM_FORK_LOG=/run/forks LD_PRELOAD=libcowmem-fork.so python3 -c "import os, sys; sys.exit(os.fork() and os.wait()[1])"'
step 'cat /run/forks && grep "fork: clone of" /run/forks'
step 'umount /mnt && modprobe -r cowmem && ! grep "^cowmem " /proc/modules'
printf '\n#VM done\n'
"""
PROGRAM = """\
#include <cowmem/cowmem.h>
#include <stdio.h>
int main(void)
{
	int fd = cowmem_object_create("program", 0);

	if (fd < 0)
		return 1;
	puts(cowmem_object_is_module(fd) ? "an object of the module's" : "a memfd");
	return !cowmem_object_is_module(fd);
}
"""


class Failure(Exception):
    """What was to be shown is not so."""


def shell(root, *command):
    """Run a command in a root: what it said, and its exit code."""
    done = subprocess.run([ROOT / "scripts/root.sh", "run", root, *command], text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
    with open(LOG, "a") as log:
        log.write(f"# {root.name}: {' '.join(map(str, command))}\n{done.stdout}# exit code {done.returncode}\n")
    return done.stdout, done.returncode


def succeed(root, *command):
    said, status = shell(root, *command)
    if status:
        raise Failure(f"{' '.join(command)}: exit code {status}\n{said[-3000:]}")
    return said


def new_root(folder, suite, packages):
    root = pathlib.Path(folder) / suite
    subprocess.run([ROOT / "scripts/root.sh", "make", root, suite, *packages], check=True, stdout=sys.stderr)
    return root


def version():
    """That of the release."""
    return re.match(r"cowmem \((.*?)\)", (ROOT / CHANGELOG).read_text())[1]


def older():
    """The version of what is upgraded."""
    return f"{version()}~older"


def out_of(of_version):
    return OLDER_OUT if of_version == older() else OUT


def check_metadata():
    """What in debian/ has to be as it is elsewhere, and is not."""
    yield from (f"{path} is not of {version()}, as {CHANGELOG} is" for path, written in VERSIONED.items()
                if written.format(version()) not in (ROOT / path).read_text())  # fmt: skip
    text = (ROOT / CONTROL).read_text()
    words = guest.run("bash", "-c", ". scripts/lib.sh && echo $llvm ${!deb_arch[*]} ${deb_arch[*]}").split()
    depends = re.search(r"^Package: cowmem-dkms\n.*?^Depends: ((?:.|\n )*)", text, re.MULTILINE | re.DOTALL)[1]
    yield from (f"cowmem-dkms does not depend on {name}{words[0]}" for name in ("clang", "llvm", "lld")
                if not re.search(rf"\b{name}{words[0]}\b", depends))  # fmt: skip


def copy_source(folder, of_version):
    """The files that git knows, or would; with another version, if that is meant."""
    names = guest.run("git", "ls-files", "-co", "--exclude-standard").splitlines()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).exists():
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    for path, written in VERSIONED.items():
        text = (folder / path).read_text()
        (folder / path).write_text(text.replace(written.format(version()), written.format(of_version)))


def build(root, of_version):
    folder = root / "src" / of_version / "cowmem"
    copy_source(folder, of_version)
    where = f"/src/{of_version}/cowmem"
    succeed(root, "sh", "-c", f"apt-get -q -y --no-install-recommends build-dep {where}")
    succeed(root, "sh", "-c", f"cd {where} && dpkg-buildpackage -us -uc -b")
    said = succeed(root, "sh", "-c", f"cd {where}/.. && lintian --allow-root --fail-on error,warning --display-info *.changes")
    print(said, end="")
    out = out_of(of_version)
    out.mkdir(parents=True, exist_ok=True)
    for path in out.glob("*.deb"):
        path.unlink()
    for path in folder.parent.glob("*.deb"):
        if "-dbgsym_" not in path.name:
            shutil.copy(path, out)
            print(f"{out.relative_to(ROOT)}/{path.name}")


def build_all(versions):
    with tempfile.TemporaryDirectory() as folder:
        root = new_root(folder, BUILT_ON, OF_BUILD)
        for of_version in versions:
            build(root, of_version)


def apt_install(root, *packages):
    succeed(root, "apt-get", "-q", "-y", "--no-install-recommends", "install", *packages)


def install(root, of_version):
    """As a user does, with nothing beside what they depend on but what the module is signed with."""
    folder = root / "root" / of_version
    shutil.copytree(out_of(of_version), folder)
    apt_install(root, *OF_SIGNATURES, *(f"/root/{of_version}/{path.name}" for path in sorted(folder.iterdir())))
    shutil.rmtree(folder)


def check_status(root, wanted):
    """What DKMS has, and nothing beside it."""
    status = succeed(root, "dkms", "status")
    if status != f"cowmem/{wanted}\n":
        raise Failure(f"dkms status: {status}")


def check_installed(root, release, of_version):
    """DKMS built this version for the root's kernel, and no other is there."""
    check_status(root, f"{of_version}, {release}, x86_64: installed")
    for field, wanted in (("version", of_version), ("vermagic", release), ("signer", "DKMS module signing key")):
        said = succeed(root, "modinfo", "-k", release, "-F", field, "cowmem")
        if not re.match(rf"{re.escape(wanted)}\s", said):
            raise Failure(f"the module's {field} is {said.strip()}, not {wanted}")


def check_refusal(root, release):
    """DKMS says why, and such a kernel, or its headers, can be installed all the same."""
    module = f"cowmem/{version()}"
    for kernel, config in ((OTHER_SERIES, ""), (f"{release}-16k", "CONFIG_ARM64_16K_PAGES=y\n")):
        folder = root / "lib/modules" / kernel
        (folder / "build/include").mkdir(parents=True)
        (folder / "build/.config").write_text(config)
        for hook in ("postinst", "header_postinst"):
            check_refused(root, kernel, 0, f"/etc/kernel/{hook}.d/dkms", kernel)
        check_refused(root, kernel, 77, "dkms", "build", module, "-k", kernel)
        shutil.rmtree(folder)
    check_refused(root, f"{release} (armv7l)", 77, "dkms", "build", module, "-k", release, "-a", "armv7l")
    check_installed(root, release, version())


def check_refused(root, what, wanted, *command):
    said, status = shell(root, *command)
    if status != wanted or f"it is not built for {what}" not in said:
        raise Failure(f"{' '.join(command)}: exit code {status}: {said}")


def check_development(root):
    (root / "root/program.c").write_text(PROGRAM)
    apt_install(root, *OF_PROGRAMS)
    succeed(root, "cc", "/root/program.c", "-o", "/root/program", "-lcowmem")


def check_boot(root, release, out):
    for name, text in ((SHOWN, STEPS), (SERVICE, UNIT)):
        (root / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (root / name[1:]).write_text(text)
    (root / SHOWN[1:]).chmod(0o755)
    out.mkdir(parents=True, exist_ok=True)
    shutil.copy(root / f"boot/vmlinuz-{release}", out / "Image")
    shutil.copy(root / f"boot/initrd.img-{release}", out / "initrd")
    disk = out / "disk.img"
    disk.unlink(missing_ok=True)
    guest.run("/sbin/mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", root, disk, "6G")
    result = vm.boot("x86_64", out, out / "initrd", out / "console.log", mem=2048,
                     append="root=/dev/vda rw systemd.show_status=0 systemd.mask=serial-getty@ttyS0.service "
                     f"systemd.wants={pathlib.Path(SERVICE).name}",
                     extra_qemu=["-drive", f"file={disk},if=virtio,format=raw"])  # fmt: skip
    disk.unlink()
    for step in result.steps:
        print(f"    {step.line}: {step.status}", *(f"      {line}" for line in step.program), sep="\n")
    if result.problems:
        raise Failure("\n".join(result.problems))


def files(root):
    """All that is in a root, without what is in NOT_OURS."""
    without = [word for name in NOT_OURS for word in ("-o", "-path", root / name)][1:]
    return set(guest.run("find", root, "(", *without, ")", "-prune", "-o", "-printf", "%P\\n").splitlines())


def belongs(root):
    """What of a root belongs to its packages: /bin and the like are links into /usr. With DKMS's own key."""
    for listed in (root / "var/lib/dpkg/info").glob("*.list"):
        for name in listed.read_text().splitlines():
            yield from (name[1:], f"usr{name}")
    yield from ("var/lib/dkms", "var/lib/dkms/mok.key", "var/lib/dkms/mok.pub")


def is_alternative(path):
    return path.parent.name == "alternatives" or path.is_symlink() and str(path.readlink()).startswith("/etc/alternatives/")


def check_gone(root, release, before):
    packages = guest.run("sed", "-n", "s/^Package: //p", CONTROL).split()
    succeed(root, "apt-get", "-q", "-y", "remove", *packages)
    if shell(root, "modinfo", "-k", release, "cowmem")[1] == 0:
        raise Failure("the module is there after the packages were removed")
    succeed(root, "dpkg", "--purge", *packages)  # apt knows none that left nothing to be purged
    named = succeed(root, "find", "/", "-xdev", "-name", "*cowmem*", "-not", "-path", "/proc/*").split()
    # What was installed for them stays.
    others = files(root) - before - set(belongs(root))
    left = named + sorted(name for name in others if not is_alternative(root / name) and not OF_PYTHON.search(name))
    if left:
        raise Failure(f"left after purge, of {len(left)}: {' '.join(left[:20])}")


def test(suite):
    """Yield what was shown, one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        root = new_root(folder, suite, OF_MACHINE)
        before = files(root)
        release = next((root / "boot").glob("vmlinuz-*")).name.removeprefix("vmlinuz-")
        on = f"{suite}, Linux {release}"
        install(root, older())
        check_status(root, f"{older()}: added")
        yield f"{on}: {older()} is installed without the kernel's headers"
        apt_install(root, f"linux-headers-{release}")
        check_installed(root, release, older())
        yield f"{on}: as the headers are installed, DKMS builds the module"
        install(root, version())
        check_installed(root, release, version())
        yield f"{on}: it is upgraded to {version()}"
        check_refusal(root, release)
        yield f"{on}: kernels of another series, kind or machine are refused, with the reason, and can be installed"
        check_development(root)
        yield f"{on}: a program is built with the library"
        check_boot(root, release, WORK / f"packages-{suite}")
        yield f"{on}: boots, loads the module, and the tool works"
        check_gone(root, release, before)
        yield f"{on}: the packages are removed and purged, and leave no file"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=["build", "test"])
    parser.add_argument("suites", nargs="*", metavar="SUITE", help=f"of {', '.join(SUITES)}")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    LOG.unlink(missing_ok=True)
    if options.what == "build":
        build_all([version()])
        return 0
    passed = failed = 0
    build_all([older(), version()])
    for suite in options.suites or SUITES:
        try:
            for shown in test(suite):
                print(f"ok {shown}", flush=True)
                passed += 1
        except Failure as failure:
            print(f"not ok {suite}: {failure}", flush=True)
            failed += 1
    print(f"{passed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
