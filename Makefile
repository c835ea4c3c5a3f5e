# SPDX-License-Identifier: GPL-2.0
#
# cowmem: `make help` lists what this can do.

ARCH ?= $(patsubst aarch64,arm64,$(shell uname -m))
KDIR ?= /lib/modules/$(shell uname -r)/build
OUT ?= build/$(ARCH)
CLANG ?= clang-19
LLVM := $(patsubst clang%,%,$(CLANG))

# Debian's kernels were built by gcc and their configuration says so. The compiler
# at hand is clang: told the truth, the kernel's makefiles use clang's flags. objtool
# finds the ftrace call sites then, where gcc would have recorded them itself. (The
# configured headers still declare per-CPU data in gcc's named address spaces, which
# clang has too, and remarks on.)
truth := CONFIG_CC_IS_GCC= CONFIG_GCC_VERSION=0 CONFIG_CC_IS_CLANG=y CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough \
	CONFIG_FTRACE_MCOUNT_USE_CC= $(if $(filter x86_64,$(ARCH)),CONFIG_FTRACE_MCOUNT_USE_OBJTOOL=y KCFLAGS=-Wno-duplicate-decl-specifier)
built-by-gcc = $(shell grep -s CONFIG_CC_IS_GCC=y $(KDIR)/include/config/auto.conf)

# No BTF for the module: pahole cannot read debug information of C and C++ in one object.
kbuild = $(MAKE) -C $(KDIR) M=$(abspath $(OUT)) ARCH=$(ARCH) LLVM=$(LLVM) CC=$(CLANG) \
	CONFIG_DEBUG_INFO_BTF_MODULES= \
	$(if $(built-by-gcc),$(truth)) $(if $(KUNIT),COWMEM_KUNIT=1)

module:
	@mkdir -p $(OUT)
	@cp -rsf $(abspath Kbuild src include kunit) $(OUT)/
	+$(kbuild) modules
