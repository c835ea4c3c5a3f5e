#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Before a build: are the kernel's headers there, of a version that the module
# supports, and is there a compiler for it? Says what to do where not.
#
#   scripts/check-kernel.sh KDIR CLANG
. "$(dirname "$0")/lib.sh"

kdir=$1 clang=$2
release_file=$kdir/include/config/kernel.release
makefile=$kdir/Makefile

[[ -e $makefile ]] || die "no kernel headers in $kdir: install linux-headers-$(uname -r), or say KDIR=..."
release=$(cat "$release_file" 2>/dev/null ||
	sed -n 's/^override KERNELRELEASE = //p' "$kdir/.kernelvariables" 2>/dev/null || true)
[[ ${release:-} == "$series".* ]] ||
	die "cowmem supports Linux $series.x; the headers in $kdir are of ${release:-an unknown version}"
command -v "$clang" >/dev/null || die "no $clang: run scripts/setup.sh build"
