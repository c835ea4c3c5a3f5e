#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Checks a built cowmem.ko for what no compiler flag enforces:
#   - no call is left between the C++ side and a one-line helper: every helper that
#     is an inline or a macro of the kernel became instructions (the disassembly);
#   - no undefined symbol of a C++ runtime, and no static constructor;
#   - on x86_64, no indirect branch in the fault handler: the unexported functions
#     that it needs are reached by static calls.
#
# usage: check-module.sh DIR    (where Kbuild left cowmem.ko and src/)
set -euo pipefail

dir=$1
module=$dir/cowmem.ko
tool() { ls /usr/lib/llvm-*/bin/"$1" | sort -V | tail -n 1; }
objdump=$(tool llvm-objdump) nm=$(tool llvm-nm) readelf=$(tool llvm-readelf)
failed=0
fail() { echo "check-module: $module: $*" >&2; failed=1; }

calls=$("$objdump" -dr --no-show-raw-insn "$module")
helpers=$(grep -ohE '\bkapi_[a-z_0-9]+' "$dir"/src/kernel/kapi*.h | sort -u)

left=$(grep -oE '\b(kapi_[a-z_0-9]+)\b' <<< "$calls" | sort -u | grep -Fxf <(echo "$helpers") || true)
[ -z "$left" ] || fail "helpers left as functions:" $left

runtime=$("$nm" -u "$module" | grep -E ' (_Z|__cxa_|_Unwind|__gxx|__aarch64_)' || true)
[ -z "$runtime" ] || fail "undefined C++ runtime symbols: $runtime"

# KASAN and GCOV kernels add a constructor of their own to every object.
constructors=$("$readelf" -SW "$module" | grep -E '\.(init_array|ctors)\b' || true)
instrumented=$("$nm" -u "$module" | grep -cE ' (__asan_register_globals|__llvm_gcov_init|__tsan_init)$' || true)
[ -z "$constructors" ] || [ "$instrumented" -gt 0 ] || fail "static constructors: $constructors"

groups=$("$readelf" -gW "$module" | grep -c 'COMDAT' || true)
[ "$groups" = 0 ] || fail "$groups COMDAT groups"

# A KUnit build calls its tests between the steps of a fault, through a pointer.
symbols=$("$nm" "$module")
header=$("$readelf" -hSW "$module")
if [[ $header == *X86-64* && $symbols != *cowmem_test_step* ]]; then
	[[ $header == *.static_call_sites* ]] || fail "no static calls"
	fault=$(awk '/<cowmem_fault>:/ { on = 1 } on && /^$/ { on = 0 } on' <<< "$calls")
	indirect=$(grep -E 'indirect_thunk|(call|jmp)q?[[:space:]]+\*' <<< "$fault" || true)
	[ -n "$fault" ] || fail "no cowmem_fault"
	[ -z "$indirect" ] || fail "indirect branches in cowmem_fault: $indirect"
fi

[ $failed = 0 ] && echo "check-module: $(basename "$dir"): $(wc -w <<< "$helpers") helpers inlined, no C++ runtime, no constructors, no COMDAT groups"
exit $failed
