/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel functions that the module needs and the kernel does not export: one
 * table, resolved when the module loads. A missing one fails the load by name.
 *
 * Each row: the function; why nothing exported serves; and where not all supported kernels
 * have it, since or before which version it is there. Its type is taken from the kernel's own
 * prototype.
 *
 * On x86 each is reached by a static call, which is a direct branch in the code:
 * these functions are sealed, so under IBT an indirect branch to them would fault,
 * at +0 and at +4 alike. Elsewhere it is a call through a read-only-after-init
 * pointer, refused at load if the kernel enforces landing pads that the function
 * does not have.
 */
#ifndef COWMEM_SYMBOLS_H
#define COWMEM_SYMBOLS_H

#include <linux/bpf.h>
#include <linux/btf.h>
#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/ptrace.h>
#include <linux/rmap.h>
#include <linux/static_call.h>
#include <linux/swap.h>
#include <linux/userfaultfd_k.h>
#include <asm/tlbflush.h>

#include "kernel/compat.h"

/*
 * Rows that only some kernels have. Those marked * are called by inline functions of
 * the kernel's headers, so the module has its own function of that name (src/kernel/symbols.c).
 */
#ifdef CONFIG_X86
/* after entries lost a permission or their page; the header hides it from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
                        unsigned int stride_shift, bool freed_tables);
/* makes a present entry writable, atomically where the hardware writes it, too */
#define COWMEM_SYMBOLS_ARCH(X) X(flush_tlb_mm_range) X(ptep_set_access_flags)
#else
#define COWMEM_SYMBOLS_ARCH(X)                             \
	BEFORE_6_12(X(ptep_set_access_flags))              \
	SINCE_6_12(BEFORE_7_2(X(__ptep_set_access_flags))) \
	SINCE_7_2(X(__ptep_set_access_flags_anysz))
#endif
#if defined(CONFIG_ARM64) && defined(CONFIG_DEBUG_VM)
/* *set_pte_at(), which checks what it replaces */
#define COWMEM_SYMBOLS_ARM64_DEBUG(X) X(pgattr_change_is_safe)
#else
#define COWMEM_SYMBOLS_ARM64_DEBUG(X)
#endif
#ifdef CONFIG_ARM64_MTE
/* *set_pte_at(), for pages with memory tags */
#define COWMEM_SYMBOLS_MTE(X) X(mte_sync_tags)
#else
#define COWMEM_SYMBOLS_MTE(X)
#endif
#ifdef CONFIG_ARM64_ERRATUM_4193714
/* *flushes of TLBs, for CPUs in streaming mode */
#define COWMEM_SYMBOLS_SME(X) X(sme_do_dvmsync)
#else
#define COWMEM_SYMBOLS_SME(X)
#endif
#ifdef CONFIG_MMU_NOTIFIER
/* secondary MMUs hear of changes first (R68); *the last two by inlines that clear entries */
#define COWMEM_SYMBOLS_NOTIFIER(X)               \
	X(__mmu_notifier_invalidate_range_start) \
	X(__mmu_notifier_invalidate_range_end)   \
	X(__mmu_notifier_clear_flush_young)      \
	SINCE_6_12(X(__mmu_notifier_arch_invalidate_secondary_tlbs))
#else
#define COWMEM_SYMBOLS_NOTIFIER(X)
#endif

#if defined(CONFIG_MEMCG) && defined(CONFIG_DEBUG_INFO_BTF)
/* the layout of a struct that no header has (src/reclaim/scan_control.c) */
#define COWMEM_SYMBOLS_BTF(X) X(bpf_get_btf_vmlinux) X(btf_find_by_name_kind) X(btf_name_by_offset)
#else
#define COWMEM_SYMBOLS_BTF(X)
#endif

#ifdef CONFIG_MEMCG
/* makes a list_lru's list for a cgroup; what is exported does it for slab objects only */
/* *count_memcg_event_mm(), for a cgroup's major faults */
/* a list_lru is now to be looked at for a cgroup; newer list_lru_add() does that */
/* no allocator charges what is neither page nor slab, or what reclaim allocates */
#define COWMEM_SYMBOLS_MEMCG(X)             \
	X(memcg_list_lru_alloc)             \
	X(obj_cgroup_charge)                \
	X(obj_cgroup_uncharge)              \
	BEFORE_6_12(X(set_shrinker_bit))    \
	BEFORE_7_2(X(__count_memcg_events)) \
	SINCE_7_2(X(count_memcg_events))
#else
#define COWMEM_SYMBOLS_MEMCG(X)
#endif

/* maps a large folio by one entry; takes such an entry out, with all that belongs to that */
/* takes a page table out of its place, and frees it when nobody looks at it any more */
#define COWMEM_SYMBOLS_LARGE(X)                                                          \
	WITH_LARGE(X(folio_add_file_rmap_pmd) X(__split_huge_pmd) X(pmdp_collapse_flush) \
	                   X(pte_free_defer))

/* From mm/internal.h, which no module sees; the second is there since 7.3. */
void pmd_install(struct mm_struct *mm, pmd_t *pmd, pgtable_t *pte);
void lru_add_drain(void);

/* clang-format off */
#define COWMEM_SYMBOLS(X)                                                                     \
	/* maps cow_page under the PTE lock after comparing the PTE (R2, R8); all */          \
	/* exported installers want VM_MIXEDMAP or VM_PFNMAP, or a shared file page */        \
	X(finish_fault)                                                                       \
	/* stores a PTE that is not there yet, with rmap, LRU and the architecture's part */  \
	/* of it (R32): neither rmap's nor the LRU's functions are exported */                \
	BEFORE_6_12(X(do_set_pte)) SINCE_6_12(X(set_pte_range))                               \
	/* puts the table that the core allocated beforehand in its place (R24); */           \
	/* pmd_populate() refers to init_mm in arm64 kernels with CONFIG_DEBUG_VM */          \
	X(pmd_install)                                                                        \
	/* a page's count of mappings; nothing exported changes it by itself */               \
	BEFORE_6_12(X(page_add_file_rmap)) SINCE_6_12(X(folio_add_file_rmap_ptes))            \
	BEFORE_6_12(X(page_remove_rmap)) SINCE_6_12(X(folio_remove_rmap_ptes))                \
	/* *put_anon_vma(), for a walk that pinned one */                                     \
	X(__put_anon_vma)                                                                     \
	/* batches on the way between LRU lists keep references; no other way */              \
	X(lru_add_drain) X(lru_add_drain_all)                                                 \
	/* asks user space what is missing, as a fault handler does */                         \
	WITH_UFFD_OPS(X(handle_userfault))                                                    \
	/* who may be told about whose mappings */                                            \
	X(ptrace_may_access)                                                                  \
	COWMEM_SYMBOLS_ARCH(X)                                                                \
	COWMEM_SYMBOLS_ARM64_DEBUG(X)                                                         \
	COWMEM_SYMBOLS_MTE(X)                                                                 \
	COWMEM_SYMBOLS_SME(X)                                                                 \
	COWMEM_SYMBOLS_NOTIFIER(X)                                                            \
	COWMEM_SYMBOLS_BTF(X)                                                                 \
	COWMEM_SYMBOLS_LARGE(X)                                                               \
	COWMEM_SYMBOLS_MEMCG(X)
/* clang-format on */

#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
#define X(name) DECLARE_STATIC_CALL(cowmem_##name, name);
#define cowmem_symbol_call(name) static_call(cowmem_##name)
#else
#define X(name) extern typeof(name) *cowmem_##name;
#define cowmem_symbol_call(name) cowmem_##name
#endif
COWMEM_SYMBOLS(X)
#undef X

/* Makes a present entry more permissive: whether it was changed. */
static __always_inline bool cowmem_set_access_flags(struct vm_area_struct *vma,
                                                    unsigned long address, pte_t *entry, pte_t pte)
{
#ifdef CONFIG_X86
	return cowmem_symbol_call(ptep_set_access_flags)(vma, address, entry, pte, 1);
#else
#if defined(CONFIG_ARM64_CONTPTE) && compat_has_large
	/* Entries of neighbouring parts of a large folio may be one for the hardware. */
	pte = pte_mknoncont(pte);
	if (pte_valid_cont(__ptep_get(entry)))
		return contpte_ptep_set_access_flags(vma, address, entry, pte, 1);
#endif
	BEFORE_6_12(return cowmem_symbol_call(ptep_set_access_flags)(vma, address, entry, pte, 1);)
	SINCE_6_12(BEFORE_7_2(
		return cowmem_symbol_call(__ptep_set_access_flags)(vma, address, entry, pte, 1);))
	SINCE_7_2(return cowmem_symbol_call(__ptep_set_access_flags_anysz)(vma, address, entry, pte,
	                                                                   1, PAGE_SIZE);)
#endif
}

/* Maps the fault's cow_page, and counts it among the pages that the process has. */
static __always_inline void cowmem_install_copy(struct vm_fault *vmf)
{
	BEFORE_6_12(cowmem_symbol_call(do_set_pte)(vmf, vmf->cow_page, vmf->address);)
	SINCE_6_12(cowmem_symbol_call(set_pte_range)(vmf, page_folio(vmf->cow_page), vmf->cow_page,
	                                             1, vmf->address);
	           compat_add_rss(vmf->vma->vm_mm, MM_ANONPAGES, 1);)
}

/* Has user space, which is asked for @reason, a VM_UFFD_*, serve the fault. */
static __always_inline vm_fault_t cowmem_ask_user_space(struct vm_fault *vmf, vm_flags_t reason)
{
	WITH_UFFD_OPS(return cowmem_symbol_call(handle_userfault)(vmf, reason);)
	return VM_FAULT_SIGBUS;
}

/* One more, or less, entry of a page table is about @page, which is of @folio. */
static __always_inline void cowmem_add_rmap(struct folio *folio, struct page *page,
                                            struct vm_area_struct *vma)
{
	BEFORE_6_12(cowmem_symbol_call(page_add_file_rmap)(page, vma, false);)
	SINCE_6_12(cowmem_symbol_call(folio_add_file_rmap_ptes)(folio, page, 1, vma);)
}

static __always_inline void cowmem_remove_rmap(struct folio *folio, struct page *page,
                                               struct vm_area_struct *vma)
{
	BEFORE_6_12(cowmem_symbol_call(page_remove_rmap)(page, vma, false);)
	SINCE_6_12(cowmem_symbol_call(folio_remove_rmap_ptes)(folio, page, 1, vma);)
}

#ifdef CONFIG_MMU_NOTIFIER
static __always_inline void cowmem_notify_end(struct mmu_notifier_range *range)
{
	BEFORE_6_12(cowmem_symbol_call(__mmu_notifier_invalidate_range_end)(range, false);)
	SINCE_6_12(cowmem_symbol_call(__mmu_notifier_invalidate_range_end)(range);)
}
#endif

/* Resolve every symbol; may sleep. 0, or an errno with the missing names in the log. */
int cowmem_symbols_resolve(void);

/* The address of one kernel function, or 0 and a line in the log. */
unsigned long cowmem_symbol_find(const char *name);

#endif /* COWMEM_SYMBOLS_H */
