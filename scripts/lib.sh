# SPDX-License-Identifier: GPL-2.0
# What the shell scripts share: where things are kept, how to report, and what
# each architecture is called by whom. Sourced, never run.
# shellcheck shell=bash disable=SC2034
set -euo pipefail
shopt -s inherit_errexit

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=${COWMEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/cowmem}

llvm=-19     # what LLVM= is to kbuild, and the suffix of the packages and tools
series=6.12  # the kernel we build for

declare -A deb_arch=([x86_64]=amd64 [arm64]=arm64)
declare -A boot_image=([x86_64]=arch/x86/boot/bzImage [arm64]=arch/arm64/boot/Image)

progress() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { progress "$@"; exit 1; }
