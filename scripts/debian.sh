#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make a disk image with programs of Debian's, and all that they are linked with, for a VM
# (qemu/debian.c), and print its path, the only line on stdout. Nothing is installed on this
# machine. What is in the cache is not made again; to get newer packages, remove it there.
#
#   scripts/debian.sh ARCH
#
# ARCH is x86_64 or arm64. Exit code 4: it is not there, and the packages cannot be had.
. "$(dirname "$0")/lib.sh"

not_to_be_had() {
	progress "$*"
	exit 4
}

packages=(coreutils dash python3 python3-lmdb lmdb-utils zstd valkey-server valkey-tools postgresql-17 fio stress-ng)
declare -A emulator=([x86_64]=qemu-system-x86) # emulator.py is of that only
# What these come with for uses that are not meant here: graphics, set-up, languages.
left_out='libllvm|mesa-|libz3|perl|libperl|locales|libc-l10n|libx11-data|ssl-cert|openssl_|python3-pip|ipxe-'

# apt as on a machine of that architecture, which has no package.
apt_for() { # DEB_ARCH ARGUMENT...
	private_apt apt-get -o Dir::State::status=/dev/null -o "APT::Architecture=$1" \
		-o APT::Install-Recommends=false "${@:2}"
}

image() {
	local arch=$1 deb=${deb_arch[$1]} key image tmp file list
	key=$(sha256sum <"${BASH_SOURCE[0]}" | head -c 12)
	image=$cache/debian-$arch-$key.img
	tmp=$cache/debian-$arch.tmp
	lock "debian-$arch"
	if [[ ! -e $image ]]; then
		lock apt
		progress "asking apt for ${packages[*]} ${emulator[$arch]:-} for $arch"
		private_apt apt-get update -o APT::Update::Error-Mode=any >&2 ||
			not_to_be_had "apt cannot be asked: is there a network?"
		rm -rf "$tmp"
		mkdir -p "$tmp/debs" "$tmp"/root/{usr/{bin,sbin,lib,lib64},etc,proc,sys,dev,run,tmp,mnt,opt,var/lib}
		mapfile -t list < <(apt_for "$deb" -y --print-uris install "${packages[@]}" ${emulator[$arch]:-} |
			sed -n "s/^'[^']*' \([^ ]*\).*/\1/p" | grep -vE "^($left_out)" | sed 's/_.*//')
		progress "downloading ${#list[@]} packages"
		(cd "$tmp/debs" && apt_for "$deb" download "${list[@]}" >&2) ||
			not_to_be_had "Debian's packages cannot be downloaded"
		progress "unpacking ${#list[@]} packages"
		for file in bin sbin lib lib64; do ln -s "usr/$file" "$tmp/root/$file"; done
		for file in "$tmp"/debs/*.deb; do dpkg -x "$file" "$tmp/root"; done
		rm -rf "$tmp"/root/usr/share/{doc,man,locale,i18n,info,icons}
		printf '%s\n' root:x:0:0::/tmp:/bin/sh postgres:x:100:100::/tmp:/bin/sh >"$tmp/root/etc/passwd"
		printf '%s\n' root:x:0: postgres:x:100: >"$tmp/root/etc/group"
		for file in "$tmp"/debs/*.deb; do dpkg-deb -W "$file"; done >"$tmp/root/etc/packages"
		/sbin/mke2fs -q -t ext4 -O ^has_journal -d "$tmp/root" "$tmp/image" \
			"$(($(du -sm "$tmp/root" | cut -f 1) * 5 / 4 + 32))M" >&2
		mv "$tmp/image" "$image"
		rm -r "$tmp"
	fi
	echo "$image"
}

[[ $# -eq 1 && ${deb_arch[$1]:-} ]] || die "usage: ${0##*/} ARCH"
image "$1"
