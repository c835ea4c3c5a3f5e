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
main_kernel=6.12  # the one that most is shown with: the default, and where debug kernels' source is from

declare -A deb_arch=([x86_64]=amd64 [arm64]=arm64)
declare -A boot_image=([x86_64]=arch/x86/boot/bzImage [arm64]=arch/arm64/boot/Image)

progress() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { progress "$@"; exit 1; }
