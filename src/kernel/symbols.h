/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel functions that the module needs and the kernel does not export: one
 * table, resolved when the module loads. A missing one fails the load by name.
 *
 * Each row: the function; the kernel versions it was checked with; why nothing
 * exported serves. Its type is taken from the kernel's own prototype.
 *
 * On x86 each is reached by a static call, which is a direct branch in the code:
 * these functions are sealed, so under IBT an indirect branch to them would fault,
 * at +0 and at +4 alike. Elsewhere it is a call through a read-only-after-init
 * pointer, refused at load if the kernel enforces landing pads that the function
 * does not have.
 */
#ifndef COWMEM_SYMBOLS_H
#define COWMEM_SYMBOLS_H

#include <linux/list_lru.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/ptrace.h>
#include <linux/rmap.h>
#include <linux/static_call.h>
#include <linux/swap.h>

/*
 * Rows that only some kernels have. Those marked * are called by inline functions of
 * the kernel's headers, so the module has its own function of that name (src/kernel/symbols.c).
 */
#ifdef CONFIG_X86
/* after entries lost a permission or their page; the header hides it from modules */
void flush_tlb_mm_range(struct mm_struct *mm, unsigned long start, unsigned long end,
                        unsigned int stride_shift, bool freed_tables);
/* makes a present entry writable, atomically where the hardware writes it, too */
#define cowmem_set_access_flags cowmem_symbol_call(ptep_set_access_flags)
#define COWMEM_SYMBOLS_ARCH(X) X(flush_tlb_mm_range) X(ptep_set_access_flags)
#else
#define cowmem_set_access_flags cowmem_symbol_call(__ptep_set_access_flags)
#define COWMEM_SYMBOLS_ARCH(X) X(__ptep_set_access_flags)
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
#ifdef CONFIG_MMU_NOTIFIER
/* secondary MMUs hear of changes first (R68); *the last two by inlines that clear entries */
#define COWMEM_SYMBOLS_NOTIFIER(X)               \
	X(__mmu_notifier_invalidate_range_start) \
	X(__mmu_notifier_invalidate_range_end)   \
	X(__mmu_notifier_clear_flush_young)      \
	X(__mmu_notifier_arch_invalidate_secondary_tlbs)
#else
#define COWMEM_SYMBOLS_NOTIFIER(X)
#endif

#ifdef CONFIG_MEMCG
/* makes a list_lru's list for a cgroup; what is exported does it for slab objects only */
/* *count_memcg_event_mm(), for a cgroup's major faults */
#define COWMEM_SYMBOLS_MEMCG(X) X(memcg_list_lru_alloc) X(__count_memcg_events)
#else
#define COWMEM_SYMBOLS_MEMCG(X)
#endif

/* From mm/internal.h, which no module sees. */
void pmd_install(struct mm_struct *mm, pmd_t *pmd, pgtable_t *pte);

#define COWMEM_SYMBOLS(X)                                                                     \
	/* 6.12: maps cow_page under the PTE lock after comparing the PTE (R2, R8); all */    \
	/* exported installers want VM_MIXEDMAP or VM_PFNMAP, or a shared file page */        \
	X(finish_fault)                                                                       \
	/* 6.12: stores a PTE that is not there yet, with rmap, LRU and the architecture's */ \
	/* part of it (R32): neither rmap's nor the LRU's functions are exported */           \
	X(set_pte_range)                                                                      \
	/* 6.12: puts the table that the core allocated beforehand in its place (R24);    */  \
	/* pmd_populate() refers to init_mm in arm64 kernels with CONFIG_DEBUG_VM */          \
	X(pmd_install)                                                                        \
	/* 6.12: a page's count of mappings; nothing exported changes it by itself */         \
	X(folio_add_file_rmap_ptes)                                                           \
	X(folio_remove_rmap_ptes)                                                             \
	/* 6.12: *put_anon_vma(), for a walk that pinned one */                               \
	X(__put_anon_vma)                                                                     \
	/* 6.12: batches on the way between LRU lists keep references; no other way */        \
	X(lru_add_drain)                                                                      \
	X(lru_add_drain_all)                                                                  \
	/* 6.12: who may be told about whose mappings */                                      \
	X(ptrace_may_access)                                                                  \
	COWMEM_SYMBOLS_ARCH(X)                                                                \
	COWMEM_SYMBOLS_ARM64_DEBUG(X)                                                         \
	COWMEM_SYMBOLS_MTE(X)                                                                 \
	COWMEM_SYMBOLS_NOTIFIER(X)                                                            \
	COWMEM_SYMBOLS_MEMCG(X)

#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
#define X(name) DECLARE_STATIC_CALL(cowmem_##name, name);
#define cowmem_symbol_call(name) static_call(cowmem_##name)
#else
#define X(name) extern typeof(name) *cowmem_##name;
#define cowmem_symbol_call(name) cowmem_##name
#endif
COWMEM_SYMBOLS(X)
#undef X

/* Resolve every symbol; may sleep. 0, or an errno with the missing names in the log. */
int cowmem_symbols_resolve(void);

/* The address of one kernel function, or 0 and a line in the log. */
unsigned long cowmem_symbol_find(const char *name);

#endif /* COWMEM_SYMBOLS_H */
