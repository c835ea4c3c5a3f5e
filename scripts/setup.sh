#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Install the Debian packages that are missing here: those that building the
# module needs, or the tool and the library, or (the default) all that the tests need as well,
# or what building and trying packages of it does.
#
#   scripts/setup.sh [build|tools|test|packages]       install
#   scripts/setup.sh missing build|tools|test|packages only say which are missing
. "$(dirname "$0")/lib.sh"

only_say=false
if [[ ${1:-} == missing ]]; then
	only_say=true
	shift
fi

packages=(make gcc libc6-dev kmod xz-utils libelf1
	"clang$llvm" "llvm$llvm" "lld$llvm" libstdc++-12-dev)
case ${1:-test} in
build) ;;
tools) packages=(make gcc libc6-dev libzstd-dev) ;;
packages) packages=(git python3 debootstrap qemu-system-x86 e2fsprogs) ;;
test)
	packages+=(python3 qemu-system-x86 qemu-system-arm busybox-static e2fsprogs) # run the VMs
	packages+=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross) # guest programs
	packages+=(libzstd-dev g++ g++-aarch64-linux-gnu groff-base python3-numpy) # the tool, the library, their manuals
	packages+=("linux-source-$main_kernel" flex bison bc cpio zstd libelf-dev libssl-dev) # KUnit kernels
	packages+=(spin) # the models
	packages+=("clang-format$llvm" sparse git perl) # the checks of the source
	;;
*) die "usage: ${0##*/} [missing] [build|tools|test|packages]" ;;
esac

missing=()
for package in "${packages[@]}"; do
	# One line for each architecture that dpkg knows the package of. A package that others only
	# mention is there too, as "not-installed"; one that was removed may be "config-files".
	dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
		missing+=("$package")
done
((${#missing[@]})) || exit 0
if $only_say; then
	printf '%s\n' "${missing[@]}"
	exit 0
fi

as_root=()
if ((EUID)); then
	command -v sudo >/dev/null || die "need root to install: ${missing[*]}"
	as_root=(sudo)
fi
progress "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -q >&2
"${as_root[@]}" apt-get install -q -y --no-install-recommends "${missing[@]}" >&2 ||
	die "apt-get could not install ${missing[*]} (this needs Debian 12 with its security archive)"
progress "installed ${missing[*]}"
