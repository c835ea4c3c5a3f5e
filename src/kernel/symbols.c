// SPDX-License-Identifier: GPL-2.0
/*
 * Resolving the kernel's unexported functions (kernel/symbols.h): a kprobe on
 * kallsyms_lookup_name finds that function, and that function finds the rest.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/kallsyms.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#ifdef CONFIG_ARM64_BTI_KERNEL
#include <asm/insn.h>
#endif

#include "kernel/symbols.h"

#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
#define X(name) DEFINE_STATIC_CALL_NULL(cowmem_##name, name);
#define SET(name, address) static_call_update(cowmem_##name, (typeof(name) *)(address))
#else
#define X(name) typeof(name) *cowmem_##name __ro_after_init;
#define SET(name, address) (cowmem_##name = (typeof(name) *)(address))
#endif
X(kallsyms_lookup_name)
COWMEM_SYMBOLS(X)
#undef X

/* Whether a call to @address arrives, given how this kernel guards its branches. */
static bool can_be_called(unsigned long address)
{
#ifdef CONFIG_ARM64_BTI_KERNEL
	const u32 hint = 0xd503201f, paciasp = 0xd503233f;
	u32 insn = le32_to_cpup((__le32 *)address);

	return insn == (hint | AARCH64_INSN_HINT_BTIC) ||
	       insn == (hint | AARCH64_INSN_HINT_BTIJC) || insn == paciasp;
#else
	return true;
#endif
}

/*
 * The kernel's look-up function, found by letting a kprobe find it. On x86 the
 * probe sits behind the function's landing pad, which a direct call does not need.
 */
static int find_lookup_name(void)
{
	struct kprobe probe = {.symbol_name = "kallsyms_lookup_name"};
	int err = register_kprobe(&probe);

	if (err) {
		pr_err("cannot probe kallsyms_lookup_name (%d): does the kernel allow kprobes?\n",
		       err);
		return err;
	}
	unregister_kprobe(&probe);
	if (!can_be_called((unsigned long)probe.addr)) {
		pr_err("kallsyms_lookup_name has no landing pad\n");
		return -ENOENT;
	}
	SET(kallsyms_lookup_name, probe.addr);
	return 0;
}

/* The address of the kernel function @name, or 0 and a line in the log. */
unsigned long cowmem_symbol_find(const char *name)
{
	unsigned long address = cowmem_symbol_call(kallsyms_lookup_name)(name);

	if (!address)
		pr_err("this kernel has no function %s\n", name);
	else if (!can_be_called(address)) {
		pr_err("%s has no landing pad: an indirect call would fault\n", name);
		address = 0;
	}
	return address;
}

int cowmem_symbols_resolve(void)
{
	int missing = 0, err = find_lookup_name();
	unsigned long address;

	if (err)
		return err;
#define X(name)                              \
	address = cowmem_symbol_find(#name); \
	if (address)                         \
		SET(name, address);          \
	else                                 \
		missing++;
	COWMEM_SYMBOLS(X)
#undef X
	return missing ? -ENOENT : 0;
}

/*
 * What inline functions of the kernel's headers call by its own name. Without these
 * the module would not link; with them the inlines work here as anywhere.
 */
void __put_anon_vma(struct anon_vma *anon_vma)
{
	cowmem_symbol_call(__put_anon_vma)(anon_vma);
}

#if defined(CONFIG_ARM64) && defined(CONFIG_DEBUG_VM)
bool pgattr_change_is_safe(pteval_t old, pteval_t new)
{
	return cowmem_symbol_call(pgattr_change_is_safe)(old, new);
}
#endif

#ifdef CONFIG_ARM64_MTE
#define CALL_TO(name, first, second)            \
	void name(first, second)                \
	{                                       \
		cowmem_symbol_call(name)(a, b); \
	}
BEFORE_6_12(CALL_TO(mte_sync_tags, pte_t a, pte_t b))
SINCE_6_12(CALL_TO(mte_sync_tags, pte_t a, unsigned int b))
#undef CALL_TO
#endif

#ifdef CONFIG_ARM64_ERRATUM_4193714
void sme_do_dvmsync(const struct cpumask *mask)
{
	cowmem_symbol_call(sme_do_dvmsync)(mask);
}
#endif

#ifdef CONFIG_MMU_NOTIFIER
compat_young __mmu_notifier_clear_flush_young(struct mm_struct *mm, unsigned long start,
                                              unsigned long end)
{
	return cowmem_symbol_call(__mmu_notifier_clear_flush_young)(mm, start, end);
}

#define CALL_TO(name)                                                           \
	void name(struct mm_struct *mm, unsigned long start, unsigned long end) \
	{                                                                       \
		cowmem_symbol_call(name)(mm, start, end);                       \
	}
SINCE_6_12(CALL_TO(__mmu_notifier_arch_invalidate_secondary_tlbs))
#undef CALL_TO
#endif

#ifdef CONFIG_MEMCG
#define CALL_TO(name)                                                                     \
	void name(struct mem_cgroup *memcg, enum vm_event_item item, unsigned long count) \
	{                                                                                 \
		cowmem_symbol_call(name)(memcg, item, count);                             \
	}
BEFORE_7_2(CALL_TO(__count_memcg_events))
SINCE_7_2(CALL_TO(count_memcg_events))
#undef CALL_TO
#endif
