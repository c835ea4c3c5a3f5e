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
# finds the ftrace call sites then, where gcc would have recorded them itself; it must
# leave them as calls, as gcc does, since the running kernel expects to patch calls.
truth := CONFIG_CC_IS_GCC= CONFIG_GCC_VERSION=0 CONFIG_CC_IS_CLANG=y CONFIG_CC_IMPLICIT_FALLTHROUGH=-Wimplicit-fallthrough \
	CONFIG_FTRACE_MCOUNT_USE_CC= $(if $(filter x86_64,$(ARCH)),CONFIG_FTRACE_MCOUNT_USE_OBJTOOL=y CONFIG_HAVE_OBJTOOL_NOP_MCOUNT=) \
	KCFLAGS="-include $(CURDIR)/include/cowmem/clang_for_gcc_kernel.h"
built-by-gcc = $(shell grep -s CONFIG_CC_IS_GCC=y $(KDIR)/include/config/auto.conf)

# No BTF for the module: pahole cannot read debug information of C and C++ in one object.
kbuild = $(MAKE) -C $(KDIR) M=$(abspath $(OUT)) ARCH=$(ARCH) LLVM=$(LLVM) CC=$(CLANG) \
	CONFIG_DEBUG_INFO_BTF_MODULES= \
	$(if $(built-by-gcc),$(truth)) $(if $(KUNIT),COWMEM_KUNIT=1)

module:
	@mkdir -p $(OUT)
	@cp -rsf $(abspath Kbuild src include kunit) $(OUT)/
	+$(kbuild) modules
