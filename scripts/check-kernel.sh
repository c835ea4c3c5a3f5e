#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Before a build: are the kernel's headers there, of a series and with options that the module
# supports, and is there a compiler for it? Says what to do where not. With
# EXPERIMENTAL=1 in the environment any series is let pass that is newer than the main one;
# of those between it and older ones, some would compile and be wrong.
#
#   scripts/check-kernel.sh KDIR CLANG
. "$(dirname "$0")/lib.sh"

kdir=$1 clang=$2
release_file=$kdir/include/config/kernel.release
makefile=$kdir/Makefile

[[ -e $makefile ]] || die "no kernel headers in $kdir: install linux-headers-$(uname -r), or say KDIR=..."
release=$(cat "$release_file" 2>/dev/null ||
	sed -n 's/^override KERNELRELEASE = //p' "$kdir/.kernelvariables" 2>/dev/null || true)
series=$(sed -nE 's/^([0-9]+\.[0-9]+).*/\1/p' <<<"${release:-}")
mapfile -t supported < <(printf '%s\n' "${kernels[@]%%-*}" | uniq)
is_newer=$(printf '%s\n' "$main_kernel" "$series" | sort -CV && echo yes || true)
[[ " ${supported[*]} " == *" ${series:-none} "* || ${EXPERIMENTAL:-} && $is_newer ]] ||
	die "cowmem supports Linux ${supported[*]}; the headers in $kdir are of ${release:-an unknown version}${is_newer:+ (EXPERIMENTAL=1 tries them)}"
for option in "${without_options[@]}"; do
	if grep -qsx "CONFIG_$option=y" "$kdir/include/config/auto.conf"; then
		die "cowmem supports no kernel with CONFIG_$option, as that is of which the headers are in $kdir"
	fi
done
command -v "$clang" >/dev/null || die "no $clang: run scripts/setup.sh build"
