/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): faults, the mappings that they are of, and the page table under one. */
#ifndef COWMEM_KAPI_FAULT_H
#define COWMEM_KAPI_FAULT_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/* --- struct vm_fault and struct vm_area_struct --- */
struct vm_area_struct *kapi_vmf_vma(const struct vm_fault *vmf);
struct page *kapi_vmf_cow_page(const struct vm_fault *vmf);
struct folio *kapi_vmf_folio(const struct vm_fault *vmf);
unsigned int kapi_vmf_flags(const struct vm_fault *vmf);
unsigned long kapi_vmf_pgoff(const struct vm_fault *vmf);
void kapi_vmf_set_folio(struct vm_fault *vmf, struct folio *folio);
/* Lets go of the lock that a fault holds on its mapping, which is not to be looked at then. */
void kapi_vmf_unlock(struct vm_fault *vmf);
struct file *kapi_vma_file(const struct vm_area_struct *vma);
/* Whether a page is of the object that is mapped, and not of one that this sees. */
bool kapi_vma_owns(const struct vm_area_struct *vma, const struct folio *folio);
unsigned long kapi_vma_first_index(const struct vm_area_struct *vma);
/* The index by which the kernel knows the first page of a private mapping, if that is a copy. */
unsigned long kapi_vma_first_copy_index(const struct vm_area_struct *vma);
unsigned long kapi_vma_pages(const struct vm_area_struct *vma);
unsigned long kapi_vma_end_index(const struct vm_area_struct *vma);
unsigned long kapi_vma_private(const struct vm_area_struct *vma);
void kapi_vma_set_private(struct vm_area_struct *vma, unsigned long value);
void kapi_vma_set_ops(struct vm_area_struct *vma, bool pinnable);
/* Whether the core lets stores through it without page_mkwrite, and others pin its pages to write them. */
bool kapi_vma_pinnable(const struct vm_area_struct *vma);
/* The same for an object that takes large folios; @always: also where nobody asked for them by madvise(). */
void kapi_vma_set_large_ops(struct vm_area_struct *vma, bool always);
/* Whether MADV_NOHUGEPAGE, or PR_SET_THP_DISABLE, was said of it. */
bool kapi_vma_thp_disabled(struct vm_area_struct *vma);
/* Whether userfaultfd has to do with it at all. */
bool kapi_vma_asks_user_space(struct vm_area_struct *vma);
struct mm_struct *kapi_vma_mm(const struct vm_area_struct *vma);
unsigned long kapi_vma_start(const struct vm_area_struct *vma);
bool kapi_vma_has_recency(const struct vm_area_struct *vma);

/* --- a mapping's flags (kernel/vm_flags.h) --- */
unsigned long kapi_vma_flags(const struct vm_area_struct *vma);
bool kapi_vm_flags_shared(unsigned long flags);
bool kapi_vm_flags_locked(unsigned long flags);
bool kapi_vm_flags_reapable(unsigned long flags);
bool kapi_vm_flags_may_store(unsigned long flags);
bool kapi_vm_flags_tracks_soft_dirty(unsigned long flags);
bool kapi_vm_flags_may_map_around(unsigned long flags);
bool kapi_vm_flags_asks_for_large(unsigned long flags);
bool kapi_vm_flags_refuses_large(unsigned long flags);
bool kapi_vm_flags_asks_for_missing(unsigned long flags);
bool kapi_vm_flags_asks_for_minor(unsigned long flags);

/* Copy @source into the fault's cow_page, machine checks caught: 0, or not if poisoned. */
int kapi_vmf_copy_cow_page(const struct vm_fault *vmf, struct folio *source);
void kapi_vmf_clear_cow_page(const struct vm_fault *vmf);
void kapi_vmf_cow_page_uptodate(const struct vm_fault *vmf);

/*
 * Asks user space for the fault, @missing or minor: a vm_fault_t. It waits for the answer, and
 * the mapping may be gone then. Sleeps. mm/userfaultfd.c handle_userfault(), resolved at load.
 */
unsigned int kapi_vmf_ask_user_space(struct vm_fault *vmf, bool missing);

/* mm/memory.c finish_fault(), resolved at load (src/kernel/symbols.h). */
unsigned int kapi_finish_fault(struct vm_fault *vmf);

/* --- the page table under a fault (fault/fault_table.h) --- */
bool kapi_vmf_has_table(const struct vm_fault *vmf);
/* In page_mkwrite: whether the fault found an entry with its page. Without one, what the core saw is of another level, or nothing. */
bool kapi_vmf_entry_maps_page(const struct vm_fault *vmf);
unsigned long kapi_vmf_address(const struct vm_fault *vmf);
unsigned long kapi_vmf_pte_index(const struct vm_fault *vmf);
struct folio *kapi_vmf_cow_folio(const struct vm_fault *vmf);
/* Whether the OOM reaper has begun to take what @mm maps. */
bool kapi_mm_reaped(const struct mm_struct *mm);
void kapi_pmd_install(struct vm_fault *vmf);
pmd_t *kapi_vmf_pmd(const struct vm_fault *vmf);
void kapi_vmf_set_pte(struct vm_fault *vmf, pte_t *pte);
bool kapi_pte_changed(const struct vm_fault *vmf);
bool kapi_pte_replaced(const struct vm_fault *vmf);
/* Maps cow_page, with all that belongs to a new page of the process, also in its counts. */
void kapi_pte_install_copy(struct vm_fault *vmf);
void kapi_pte_make_writable(struct vm_fault *vmf);
/* Whether the mapping has room, and at the right place, for an entry that maps a large folio there. */
bool kapi_vmf_fits_block(const struct vm_fault *vmf);
/* With kapi_pmd_lock(): whether nothing is there; has one entry, which has a reference then, map all of @large. */
bool kapi_vmf_pmd_none(const struct vm_fault *vmf);
void kapi_vmf_map_block(struct vm_fault *vmf, struct folio *large, bool write);
/* Whether entries that nobody asked for are old ones at first: the hardware makes them young. */
bool kapi_neighbours_start_old(void);
/* Whether the marker of userfaultfd's write protection is where the fault was. */
bool kapi_vmf_write_protected(const struct vm_fault *vmf);

KAPI_END

#endif /* COWMEM_KAPI_FAULT_H */
