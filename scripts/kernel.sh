#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Make a kernel available in the cache and print its directory, the only line on
# stdout. The directory holds `Image` (bootable), `build` (what KDIR is to be)
# and `release` (uname -r). What is there already is not made again; to get a
# newer stock kernel, remove its directory.
#
#   scripts/kernel.sh stock [KERNEL] ARCH    Debian's own kernel and headers, unpacked
#   scripts/kernel.sh kunit [KERNEL] ARCH    built from Debian's source and qemu/kunit*.config
#   scripts/kernel.sh kcsan [KERNEL] ARCH    the same with qemu/kcsan.config on top
#   scripts/kernel.sh rt [KERNEL] ARCH       the same with qemu/rt.config on top
#   scripts/kernel.sh source [KERNEL]        only that source; it has no Image
#   scripts/kernel.sh package NAME ARCH      a package of Debian 12's, unpacked; it has no Image
#   scripts/kernel.sh list                   what KERNEL may be, one a line: the default, and the others, oldest first
#
# ARCH is x86_64 or arm64.
. "$(dirname "$0")/lib.sh"

# Have kbuild's programs in @dir run with the libc of the Debian that they were built for, which
# is not this machine's: each becomes a script. @there is where @dir will lie.
run_with_own_libc() {
	local dir=$1 there=$2 loader program
	(cd "$dir" && private_apt apt-get download libc6/trixie >&2 && dpkg -x libc6_*.deb libc && rm libc6_*.deb)
	loader=$there/$(cd "$dir" && find libc -name 'ld-linux-*.so.*' -type f)
	while read -r program; do
		mv "$dir/$program" "$dir/$program.elf"
		printf '#!/bin/sh\nexec "%s" --argv0 "$0" --library-path "%s" "$0.elf" "$@"\n' \
			"$loader" "${loader%/*}" >"$dir/$program"
		chmod +x "$dir/$program"
	done < <(cd "$dir" && find usr/lib/linux-kbuild-* -type f -perm /111 -exec grep -lE '^.ELF' {} +)
}

# The newest release of kernel NAME that has both: images are there for a time without headers,
# and headers for some days without an image that is signed.
newest() { # NAME DEB_ARCH
	local release
	while read -r release; do
		if private_apt apt-get download --print-uris "linux-image-$release:$2" "linux-headers-$release:$2" >/dev/null 2>&1; then
			echo "$release"
			return
		fi
	done < <(private_apt apt-cache pkgnames linux-headers- |
		sed -nE "s/^linux-headers-(${releases[$1]}-$2)\$/\1/p" | sort -rV)
	die "apt serves no image and headers of ${releases[$1]}-$2"
}

stock() {
	local name=$1 arch=$2 deb=${deb_arch[$2]} release base kbuild packages file
	local dir=$cache/stock-$name-$arch tmp=$cache/stock-$name-$arch.tmp
	lock "stock-$name-$arch"
	if [[ ! -e $dir/release ]]; then
		lock apt
		progress "asking apt for the newest $name kernel for $arch"
		private_apt apt-get update >&2
		release=$(newest "$name" "$deb")
		base=${release%"-$deb"}
		# One for the series, or one for each version.
		kbuild=$(private_apt apt-cache depends "linux-headers-$release:$deb" |
			sed -n 's/^ *Depends: \(linux-kbuild-.*\)/\1/p')
		# The image, or the package of its name is empty and these have what makes it.
		packages=$(private_apt apt-cache depends "linux-image-$release:$deb" |
			sed -nE "s/^ *Depends: (linux-(base|binary|modules)-[0-9].*)/\1/p")

		rm -rf "$dir" "$tmp"
		mkdir -p "$tmp/debs"
		progress "downloading $release"
		# shellcheck disable=SC2086
		(cd "$tmp/debs" && private_apt apt-get download "linux-image-$release:$deb" $packages \
			"linux-headers-$release:$deb" "linux-headers-$base-common" "${kbuild%:*}" >&2)
		progress "unpacking $release"
		for file in "$tmp"/debs/*.deb; do dpkg -x "$file" "$tmp"; done
		rm -r "$tmp/debs"
		[[ -e $tmp/lib ]] || ln -s usr/lib "$tmp/lib"
		# The headers expect to lie in /usr/src.
		sed -i "s|/usr/src/|$dir/usr/src/|" "$tmp/usr/src/linux-headers-$release/Makefile"
		[[ $base != *+deb13 ]] || run_with_own_libc "$tmp" "$dir"
		depmod -b "$tmp" "$release"
		file=boot/vmlinuz-$release
		[[ -e $tmp/$file ]] || file=usr/lib/modules/$release/vmlinuz
		ln -s "$file" "$tmp/Image"
		ln -s "usr/src/linux-headers-$release" "$tmp/build"
		echo "$release" >"$tmp/release"
		mv "$tmp" "$dir"
	fi
	echo "$dir"
}

# The version of a kernel's source, as Debian has it: of the main one's, which is installed, or of
# the others', which are taken from apt, once.
source_version() { # NAME
	local file=$cache/source-$1.version package=linux-source-${1%%-*}
	if [[ $1 == "$main_kernel" ]]; then
		dpkg-query -W -f '${Version}' "$package" || die "no $package: run scripts/setup.sh first"
		return
	fi
	lock "source-$1"
	if [[ ! -e $file ]]; then
		lock apt
		progress "asking apt for the newest $package"
		private_apt apt-get update >&2
		private_apt apt-cache policy "$package" | sed -n 's/^ *Candidate: //p' >"$file.tmp"
		mv "$file.tmp" "$file"
	fi
	cat "$file"
}

# What a guest of another architecture than this machine's has of Debian's, and links to.
package() {
	local dir=$cache/$1-$2 tmp=$cache/$1-$2.tmp
	lock "$1-$2"
	if [[ ! -e $dir ]]; then
		lock apt
		progress "downloading $1 for $2"
		private_apt apt-get update >&2
		rm -rf "$tmp"
		mkdir -p "$tmp"
		(cd "$tmp" && private_apt apt-get download "$1:${deb_arch[$2]}/bookworm" >&2 && dpkg -x "$1"_*.deb . && rm "$1"_*.deb)
		mv "$tmp" "$dir"
	fi
	echo "$dir"
}

source_tree() { # NAME
	local version package=linux-source-${1%%-*} dir tar
	version=$(source_version "$1")
	dir=$cache/linux-$version
	lock "linux-$version"
	if [[ ! -e $dir ]]; then
		rm -rf "$dir.tmp" "$dir.deb"
		mkdir "$dir.tmp" "$dir.deb"
		tar=/usr/src/$package.tar.xz
		if [[ $1 != "$main_kernel" ]]; then
			progress "downloading $package $version"
			(cd "$dir.deb" && private_apt apt-get download "$package=$version" >&2 && dpkg -x ./*.deb .)
			tar=$dir.deb$tar
		fi
		progress "unpacking $tar"
		tar -C "$dir.tmp" --strip-components=1 -xf "$tar"
		rm -rf "$dir.deb"
		mv "$dir.tmp" "$dir"
	fi
	echo "$dir"
}

# Every line of the fragments must have survived: kconfig drops what it does not like,
# silently. Of two lines about one symbol the later counts.
check_config() {
	local config=$1 line symbol missing=()
	shift
	while read -r line; do
		case $line in
		CONFIG_*=n | '# CONFIG_'*' is not set')
			symbol=${line#\# }
			symbol=${symbol%%[= ]*}
			! grep -q "^$symbol=" "$config" || missing+=("$line") ;;
		CONFIG_*) grep -qxF -- "$line" "$config" || missing+=("$line") ;;
		esac
	done < <(cat "$@" | sed -n 's/^\(# \)\?\(CONFIG_[A-Z0-9_]*\).*/\2 &/p' |
		awk '{ symbol = $1; sub(/^[^ ]* /, ""); last[symbol] = $0 } END { for (s in last) print last[s] }')
	((${#missing[@]} == 0)) || die "not in the kernel's final configuration: $(printf '\n  %s' "${missing[@]}")"
}

# What make says to build a kernel of one kind, in lines, about.
declare -A build_steps=([kunit-x86_64]=2100 [kunit-arm64]=1550 [kcsan-x86_64]=2100 [kcsan-arm64]=1550
	[rt-x86_64]=2100 [rt-arm64]=1550)

# count_steps WHAT OF: read the output of make and say now and then how far it is.
count_steps() {
	local count=0 next=20 of=$2 left
	SECONDS=0
	while read -r _; do
		count=$((count + 1))
		if ((SECONDS >= next)); then
			left=$((count < of ? SECONDS * (of - count) / count : 0))
			progress "$1: $count of about $of steps, about $(((left + 59) / 60)) min left"
			next=$((SECONDS + 20))
		fi
	done
	progress "$1: $count steps in $SECONDS s, done"
}

# built KIND NAME ARCH: a kernel from Debian's source, allnoconfig plus the fragments, the last of
# which is what only this one has otherwise
built() {
	local kind=$1 name=$2 arch=$3 fragments key dir tree options=()
	local more=$root/qemu/kunit-$name.config
	fragments=("$root/qemu/kunit.config" "$root/qemu/kunit-$arch.config")
	[[ $kind == kunit ]] || fragments+=("$root/qemu/$kind.config")
	[[ ! -e $more ]] || fragments+=("$more")
	# KASAN is to check the module and the kernel around it, not lockdep, whose checks it makes dear.
	[[ $kind != kunit ]] || options=(KASAN_SANITIZE_lockdep.o=n)
	tree=$(source_tree "$name")
	key=$({ source_version "$name"; "clang$llvm" --version; cat "${fragments[@]}"; printf %s "${options[*]}"; } | sha256sum | head -c 12)
	dir=$cache/$kind-$arch-$key
	lock "$kind-$arch-$key"
	# `release` comes last: without it the build is unfinished, and make takes it up where it stopped.
	if [[ ! -e $dir/release ]]; then
		local make=(make -C "$tree" O="$dir/build" ARCH="$arch" LLVM="$llvm" "${options[@]}")
		mkdir -p "$dir/build"
		progress "configuring the $kind kernel for $arch"
		"${make[@]}" -s allnoconfig >&2
		(cd "$tree" && scripts/kconfig/merge_config.sh -m -O "$dir/build" \
			"$dir/build/.config" "${fragments[@]}" >"$dir/merge.log")
		"${make[@]}" -s olddefconfig >&2
		check_config "$dir/build/.config" "${fragments[@]}"

		progress "building the $kind kernel for $arch; the log is $dir/build.log"
		"${make[@]}" -j"$(nproc)" "${boot_image[$arch]##*/}" modules 2>&1 |
			tee "$dir/build.log" | count_steps "$kind kernel for $arch" "${build_steps[$kind-$arch]}" ||
			{ tail -n 30 "$dir/build.log" >&2; die "the $kind kernel for $arch did not build"; }
		ln -sfn "build/${boot_image[$arch]}" "$dir/Image"
		cp "$dir/build/include/config/kernel.release" "$dir/release.tmp"
		mv "$dir/release.tmp" "$dir/release"
	fi
	echo "$dir"
}

case $# in
1) [[ $1 == list ]] || set -- "$1" "$main_kernel" ;;
2) [[ $1 == source ]] || set -- "$1" "$main_kernel" "$2" ;;
esac
[[ $* == list || $1 == package || ${releases[${2:-}]:-} ]] || die "${2:-}: no such kernel"
case "$*" in
"source "*) source_tree "$2" ;;
list) printf '%s\n' "$main_kernel" && printf '%s\n' "${kernels[@]}" | grep -vxF "$main_kernel" ;;
"stock "*" "* | "kunit "*" "* | "kcsan "*" "* | "rt "*" "* | "package "*" "*)
	[[ ${deb_arch[$3]:-} ]] || die "$3: no such architecture"
	case $1 in
	stock | package) "$@" ;;
	*) built "$@" ;;
	esac ;;
*) die "usage: ${0##*/} stock|kunit|kcsan|rt [KERNEL] ARCH, source [KERNEL], package NAME ARCH, list" ;;
esac
