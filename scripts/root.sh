#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A root of Debian's, as a machine of its own has it, made by debootstrap. What is made is kept in
# the cache; to get newer packages, remove it there. This needs root.
#
#   scripts/root.sh make DIR SUITE [PACKAGE...]  put one with these packages into DIR, which is new
#   scripts/root.sh run DIR COMMAND...           run a command in it, as root, with a /proc of its own
. "$(dirname "$0")/lib.sh"

((!EUID)) || die "a root of Debian's is made, and used, by root only"

run() (
	dir=$1
	suite=$(. "$dir/etc/os-release" && echo "$VERSION_CODENAME")
	archives=$cache/archives-$suite
	lock "archives-$suite"
	mkdir -p "$archives/partial"
	# What is mounted, and what was started, is gone with the command.
	unshare --mount --pid --fork --kill-child bash -e -c '
		mount -t proc proc "$1/proc"
		mount --bind "$2" "$1/var/cache/apt/archives"
		exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
			DEBIAN_FRONTEND=noninteractive "${@:3}"' run "$dir" "$archives" "${@:2}"
)

make_root() { # DIR SUITE PACKAGE...
	local dir=$1 suite=$2 tar tmp
	tar=$cache/root-$suite-$(cat "${BASH_SOURCE[0]}" - <<<"${*:2}" | sha256sum | head -c 12).tar
	tmp=$cache/root-$suite.tmp
	[[ ! -e $dir ]] || die "$dir is there"
	lock "root-$suite"
	if [[ ! -e $tar ]]; then
		progress "making a root of $suite with ${*:3}"
		rm -rf "$tmp"
		debootstrap --variant=minbase "$suite" "$tmp" http://deb.debian.org/debian >&2
		printf 'deb http://deb.debian.org/%s main\n' "debian $suite" "debian-security $suite-security" >"$tmp/etc/apt/sources.list"
		cp /etc/resolv.conf "$tmp/etc/"
		run "$tmp" apt-get -q update >&2
		run "$tmp" apt-get -q -y --no-install-recommends install "${@:3}" >&2
		tar -C "$tmp" -cf "$tar.tmp" .
		mv "$tar.tmp" "$tar"
		rm -rf "$tmp"
	fi
	mkdir -p "$dir"
	tar -C "$dir" -xf "$tar"
}

case ${1:-} in
make) make_root "${@:2}" ;;
run) run "${@:2}" ;;
*) die "usage: ${0##*/} make DIR SUITE [PACKAGE...], run DIR COMMAND..." ;;
esac
