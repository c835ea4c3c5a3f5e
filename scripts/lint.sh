#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# The source's checks: clang-format over C and C++, checkpatch and sparse over the
# C side (sparse knows no C++), shell and Python syntax.
. "$(dirname "$0")/lib.sh"
cd "$root"

failed=0
check() { # NAME COMMAND...
	local name=$1 said
	shift
	if said=$("$@" 2>&1) && [[ -z $said ]]; then
		progress "$name: clean"
	else
		progress "$name:"
		printf '%s\n' "$said" >&2
		failed=1
	fi
}

mapfile -t sources < <(git ls-files '*.c' '*.cc' '*.h' '*.hpp')
# The tables of X() rows and of trace events are laid out by hand.
mapfile -t formatted < <(printf '%s\n' "${sources[@]}" | grep -v -e '/trace\.h$' -e '/counters\.h$')
# Those of user space are not what checkpatch is about.
mapfile -t c_side < <(grep -L -E '^(namespace|extern "C") ' "${sources[@]}" |
	grep -v -e '\.cc$' -e '^qemu/' -e '^include/cowmem/' -e '^src/examples/' -e '^src/fork/' -e '^src/lib/' -e '^src/tool/')

check clang-format "clang-format$llvm" --dry-run -Werror "${formatted[@]}"

tree=$("$root/scripts/kernel.sh" source)
# Spaces align behind tabs here; X() tables and one-line helpers are what they are;
# the versions are checked on purpose.
ignored=CODE_INDENT,LEADING_SPACE,COMPLEX_MACRO,MULTISTATEMENT_MACRO_USE_DO_WHILE,MACRO_ARG_UNUSED
ignored+=,TRAILING_SEMICOLON,EXPORT_SYMBOL,TRAILING_STATEMENTS,LINUX_VERSION_CODE,SPLIT_STRING
ignored+=,LONG_LINE,LONG_LINE_STRING,SPACING,REPEATED_WORD,INDENTED_LABEL,USE_LOCKDEP
check checkpatch perl "$tree/scripts/checkpatch.pl" --no-tree --terse --no-summary --quiet \
	--ignore "$ignored" -f "${c_side[@]}"

run_sparse() {
	local kernel
	kernel=$("$root/scripts/kernel.sh" kunit x86_64 2>/dev/null)
	rm -rf build/sparse
	make -s module KDIR="$kernel/build" ARCH=x86_64 OUT=build/sparse KUNIT=1 C=2 |
		sed '/^check-module: /d'
}
check sparse run_sparse

check rooms scripts/rooms.py
for script in $(git ls-files '*.sh' .ci/run); do check "$script" bash -n "$script"; done
for script in $(git ls-files '*.py'); do check "$script" python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$script"; done
exit $failed
