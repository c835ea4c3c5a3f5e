# SPDX-License-Identifier: GPL-2.0
#
# cowmem: `make help` lists what this can do.

ARCH ?= $(patsubst aarch64,arm64,$(shell uname -m))
KDIR ?= /lib/modules/$(shell uname -r)/build
OUT ?= build/$(ARCH)
CLANG ?= clang-19
DESTDIR ?=

# Debian's kernels were built by gcc and their configuration says so. The compiler
# at hand is clang: told the truth, the kernel's makefiles use clang's flags. objtool
# finds the ftrace call sites then, where gcc would have recorded them itself; it must
# leave them as calls, as gcc does, since the running kernel expects to patch calls.
# An objtool that cannot leave them makes none: our functions are not traced then.
has-config = $(shell grep -s ^CONFIG_$(1)=y $(KDIR)/include/config/auto.conf)
truth = CONFIG_CC_IS_GCC= CONFIG_GCC_VERSION=0 CONFIG_CC_IS_CLANG=y \
	CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough CONFIG_FTRACE_MCOUNT_USE_CC= \
	CONFIG_CC_HAS_MIN_FUNCTION_ALIGNMENT= CONFIG_UBSAN_BOUNDS_STRICT= \
	$(if $(filter x86_64,$(ARCH)),$(if $(call has-config,HAVE_OBJTOOL_NOP_MCOUNT),\
		CONFIG_FTRACE_MCOUNT_USE_OBJTOOL=y CONFIG_HAVE_OBJTOOL_NOP_MCOUNT=,CC_FLAGS_FTRACE=)) \
	KCFLAGS="-include $(CURDIR)/src/kernel/clang_for_gcc_kernel.h"

# No BTF for the module: pahole cannot read debug information of C and C++ in one object, so
# that it makes no difference which pahole there is.
kbuild = $(MAKE) -C $(KDIR) M=$(abspath $(OUT)) ARCH=$(ARCH) \
	LLVM=$(patsubst clang%,%,$(CLANG)) CC=$(CLANG) CONFIG_DEBUG_INFO_BTF_MODULES= \
	'PAHOLE_VERSION=$$(CONFIG_PAHOLE_VERSION)' \
	$(if $(call has-config,CC_IS_GCC),$(truth)) $(if $(KUNIT),COWMEM_KUNIT=1) $(if $(PEER),COWMEM_PEER=1) \
	$(if $(COVERAGE),COWMEM_COVERAGE=1)

module: check-kernel ## build cowmem.ko for KDIR (default: the running kernel) into OUT
	@mkdir -p $(OUT)
	@cp -rsf $(abspath $(wildcard Kbuild src include kunit)) $(OUT)/
	@find $(OUT) -xtype l -delete
	+$(kbuild) modules
	@scripts/check-module.sh $(OUT)

check-kernel:
	@EXPERIMENTAL=$(EXPERIMENTAL) scripts/check-kernel.sh $(KDIR) $(CLANG)

demo: ## boot Debian's kernel in QEMU and serve a real file out of /dev/cowmem
	@scripts/setup.sh test
	@scripts/demo.py

test: ## the tests, in ten VMs: stock and debug kernels, x86_64 and arm64, each series, and costs; ALL=1: all on each
	@scripts/setup.sh test
	@scripts/test.py $(if $(ALL),--everything)

test-all: ## the same, and all on every supported kernel of Debian's
	@scripts/setup.sh test
	@scripts/test.py --everything --every-kernel

bench: ## what each work costs, in instructions, against memfd (ARCH, KERNEL=7.3); PROFILE=1, RECORD=1
	@scripts/setup.sh test
	@scripts/bench.py $(if $(PROFILE),--profile) $(if $(RECORD),--record) $(if $(KERNEL),--kernel $(KERNEL)) $(ARCH)

bench-smp: ## contention: faults against memfd, clones against fork (ARCH); ONLY=faults|relatives, MIB=
	@scripts/setup.sh test
	@scripts/bench_smp.py $(if $(ONLY),--only $(ONLY)) $(if $(MIB),--mib $(MIB)) $(ARCH)

bench-programs: ## Valkey's saves under libcowmem-fork and plain fork(), streams and zstd; RECORD=1, ONLY=fork|send
	@scripts/setup.sh test
	@scripts/bench_programs.py $(if $(RECORD),--record) $(if $(ONLY),--only $(ONLY))

soak: ## all tests on debug kernels of three kinds, storms and other programs for minutes, the fuzzer for hours
	@scripts/setup.sh test
	@scripts/test.py --soak

lint: ## clang-format, sparse and checkpatch
	@scripts/setup.sh test
	@scripts/lint.sh

compile_commands.json: module ## for clangd, from what the last build did
	@scripts/compile_commands.py $(OUT) > $@

install: module ## install the module and the udev rule (DESTDIR)
	$(kbuild) modules_install
	install -D -m 0644 scripts/60-cowmem.rules $(DESTDIR)/lib/udev/rules.d/60-cowmem.rules
	install -D -m 0644 include/uapi/linux/cowmem.h $(DESTDIR)/usr/include/linux/cowmem.h

tools: ## build libcowmem, libcowmem-fork and the tool `cowmem` (CC, CFLAGS, ARCH, STATIC=1) into build/tools/ARCH
	+$(MAKE) -f src/tool/Makefile tools

install-tools: ## install them, with headers and manuals (DESTDIR, PREFIX=/usr/local, LIBDIR)
	+$(MAKE) -f src/tool/Makefile install

deb: ## build Debian's packages in a clean root of Debian 12, into build/deb (needs root)
	@scripts/setup.sh packages
	@scripts/packages.py build

test-deb: ## and install, upgrade, boot, remove and purge them in roots of Debian 12 and 13 (SUITE=bookworm|trixie)
	@scripts/setup.sh packages
	@scripts/packages.py test $(SUITE)

clean: ## remove what was built here; the kernels' cache stays
	rm -rf build compile_commands.json

help: ## this list
	@echo "usage: make TARGET [KDIR=headers] [ARCH=x86_64|arm64] [OUT=folder] [KUNIT=1] [PEER=1] [COVERAGE=1] [EXPERIMENTAL=1]"
	@sed -n 's/^\([a-z_.-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

.PHONY: module check-kernel demo test test-all soak bench bench-smp bench-programs lint compile_commands.json install tools install-tools deb test-deb clean help
