# SPDX-License-Identifier: GPL-2.0
# Completion for the tool `cowmem` in bash: what there is, the tool's own help says.
_cowmem() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} words=
	if ((COMP_CWORD == 1)); then
		words=$("$1" help 2>/dev/null | sed -n 's/^  \([a-z-]*\) .*/\1/p')
	elif [[ $previous == --pid ]]; then
		words=$(cd /proc && echo [0-9]*)
	elif [[ $previous == --fd ]]; then
		local i
		for ((i = 1; i < COMP_CWORD; i++)); do
			[[ ${COMP_WORDS[i]} != --pid ]] || words=$(ls "/proc/${COMP_WORDS[i + 1]}/fd" 2>/dev/null)
		done
	elif [[ $current == -* ]]; then
		words=$("$1" "${COMP_WORDS[1]}" --help 2>/dev/null | sed -n 's/^  \(--[a-z-]*\) .*/\1/p')
	fi
	if [[ $words ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$current")
		compopt -o filenames 2>/dev/null
	fi
}
complete -F _cowmem cowmem
