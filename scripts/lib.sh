# SPDX-License-Identifier: GPL-2.0
# What the shell scripts share: where things are kept, how to report, and what
# each architecture is called by whom. Sourced, never run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${COWMEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cowmem}

llvm=-19     # what LLVM= is to kbuild, and the suffix of the packages and tools

# The kernels that the module supports, oldest first, by a name that begins with the series:
# which of Debian's are meant, as an extended regular expression for what `uname -r` says
# before the architecture. This is the only list of them.
kernels=(6.1 6.12 6.12-deb13 7.2 7.3)
declare -A releases=(
	[6.1]='6\.1\.0-[0-9]+'
	[6.12]='6\.12\.[0-9]+\+deb12'
	[6.12-deb13]='6\.12\.[0-9]+\+deb13'
	[7.2]='7\.2\.[0-9]+\+deb13'
	[7.3]='7\.3\.[0-9]+\+deb13'
)
# The options of a kernel with which the module is not: other pages than of 4 KiB.
without_options=(ARM64_16K_PAGES ARM64_64K_PAGES)
main_kernel=6.12  # the one that most is shown with: the default, and where debug kernels' source is from

declare -A deb_arch=([x86_64]=amd64 [arm64]=arm64)
declare -A boot_image=([x86_64]=arch/x86/boot/bzImage [arm64]=arch/arm64/boot/Image)

progress() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { progress "$@"; exit 1; }

# Hold the lock on one directory of the cache while we make it, so that two runs do not collide.
lock() {
	mkdir -p "$cache"
	exec {lock_fd}>"$cache/$1.lock"
	flock -n "$lock_fd" || { progress "waiting for another run that makes $1"; flock "$lock_fd"; }
}

# Where Debian has the kernels, what the newer of them need, and the programs.
suites=("debian bookworm" "debian-security bookworm-security"
	"debian trixie" "debian-security trixie-security" "debian trixie-backports")

# apt with both architectures, and with sources and a state of its own: the system's are left alone, no root is needed.
private_apt() {
	local command=$1 state=$cache/apt key=/usr/share/keyrings/debian-archive-keyring.gpg
	shift
	mkdir -p "$state/lists/partial" "$state/archives/partial"
	printf "deb [signed-by=$key] http://deb.debian.org/%s main\n" "${suites[@]}" >"$state/sources.list"
	"$command" -q -o Dir::Etc::SourceList="$state/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o Dir::State::Lists="$state/lists" -o Dir::Cache="$state" -o Acquire::Languages=none \
		-o APT::Architectures::=amd64 -o APT::Architectures::=arm64 \
		-o APT::Sandbox::User=root -o Acquire::Retries=3 "$@"
}
