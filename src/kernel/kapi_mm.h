/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): address_space, the trees of VMAs, and address spaces with their page tables. */
#ifndef COWMEM_KAPI_MM_H
#define COWMEM_KAPI_MM_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/* --- the object's address_space: its page index, its mappings --- */
/* What the module has for a mapping of its own. */
void kapi_mapping_set_home(struct address_space *mapping, void *home);
void *kapi_mapping_home(const struct address_space *mapping);
/* Has mincore() say that all of it is in memory, rather than nothing. */
int kapi_mapping_call_present(struct address_space *mapping);
/*
 * What others have emptied and not yet flushed is flushed, too: the kernel sees that it is not alone (mm_tlb_flush_nested()).
 * Kernel counterpart: unmap_mapping_range().
 */
void kapi_mapping_unmap(struct address_space *mapping, unsigned long long offset,
                        unsigned long long length, bool private_copies);

/* Whether some VMA maps it. */
bool kapi_mapping_mapped(struct address_space *mapping);
struct inode *kapi_mapping_host(const struct address_space *mapping);

/* --- the trees of VMAs: an object's i_mmap, a private copy's anon_vma --- */
void kapi_mapping_lock_vmas(struct address_space *mapping);
void kapi_mapping_unlock_vmas(struct address_space *mapping);
struct vm_area_struct *kapi_mapping_first_vma(struct address_space *mapping, unsigned long first,
                                              unsigned long last);
struct vm_area_struct *kapi_mapping_next_vma(struct vm_area_struct *vma, unsigned long first,
                                             unsigned long last);
/* What a plain anonymous folio's mapping names, or none. */
struct anon_vma *kapi_folio_anon_vma(const struct folio *folio);
bool kapi_anon_vma_try_get(struct anon_vma *anon_vma);
void kapi_anon_vma_put(struct anon_vma *anon_vma);
void kapi_anon_vma_lock(struct anon_vma *anon_vma);
void kapi_anon_vma_unlock(struct anon_vma *anon_vma);
struct anon_vma_chain *kapi_anon_vma_first(struct anon_vma *anon_vma, unsigned long first,
                                           unsigned long last);
struct anon_vma_chain *kapi_anon_vma_next(struct anon_vma_chain *avc, unsigned long first,
                                          unsigned long last);
struct vm_area_struct *kapi_anon_vma_vma(const struct anon_vma_chain *avc);

/* --- address spaces and their page tables --- */
/* Each the entry of the next level for an address, or none. */
pgd_t *kapi_mm_pgd(struct mm_struct *mm, unsigned long address);
p4d_t *kapi_pgd_p4d(pgd_t *pgd, unsigned long address);
pud_t *kapi_p4d_pud(p4d_t *p4d, unsigned long address);
pmd_t *kapi_pud_pmd(pud_t *pud, unsigned long address);
unsigned long kapi_pmd_get(pmd_t *pmd);
bool kapi_pmd_is_table(unsigned long pmd);
/*
 * With the lock of the VMAs: frees the page table of the block that begins with page @index, if all of the block
 * is mapped at a place where one entry can map it, and the table has no entry. Kernel counterpart: retract_page_tables().
 */
void kapi_vma_free_empty_table(struct vm_area_struct *vma, unsigned long index);
/* Whether it maps a large folio; what the entry of the page at @address would be then. */
bool kapi_pmd_is_huge(unsigned long pmd);
unsigned long kapi_pmd_part(struct vm_area_struct *vma, unsigned long pmd, unsigned long address);
/* Takes it out, if it does: faults map the pages again. Who listens to the mapping is told. Sleeps. */
void kapi_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address);
/*
 * With its lock: has it, which maps a large folio at @address, let no store through and be clean. @dirty: whether it was not.
 * True: TLBs are to be flushed. Kernel counterpart: page_mkclean_one().
 */
bool kapi_pmd_protect(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address, bool *dirty);
struct spinlock *kapi_pmd_lock(struct mm_struct *mm, pmd_t *pmd);
struct spinlock *kapi_pmd_lockptr(struct mm_struct *mm, unsigned long pmd);
pte_t *kapi_pmd_pte(unsigned long pmd, unsigned long address);
/* Where the page table that covers @address ends. */
unsigned long kapi_table_end(unsigned long address);
pte_t *kapi_pte_advance(pte_t *entry, long n);
unsigned long kapi_pte_get(pte_t *entry);
bool kapi_pte_none(unsigned long pte);
bool kapi_pte_present(unsigned long pte);
bool kapi_pte_young(unsigned long pte);
bool kapi_pte_dirty(unsigned long pte);
bool kapi_pte_write(unsigned long pte);
bool kapi_pte_uffd_wp(unsigned long pte);
unsigned long kapi_pte_pfn(unsigned long pte);
/* Whether a present entry maps anonymous memory: a private copy. */
bool kapi_pte_maps_anon(unsigned long pte);
unsigned long kapi_pte_cleaned(unsigned long pte);
bool kapi_pte_soft_dirty(unsigned long pte);
/* The protection of a mapping's entries, as it is now. */
unsigned long kapi_vma_protection(const struct vm_area_struct *vma);
/* The same without what would let stores through, as a mapping has it whose first stores are faults. */
unsigned long kapi_vma_protection_to_read(const struct vm_area_struct *vma);
/* A clean and old entry for @folio with that, and changes to one. */
unsigned long kapi_pte_of(struct folio *folio, unsigned long protection);
unsigned long kapi_pte_of_young(struct folio *folio, unsigned long protection);
unsigned long kapi_pte_repoint(unsigned long pte, struct folio *folio); /* the same, for it */
unsigned long kapi_pte_mkwrite(unsigned long pte);
/* The entry of a shared mapping after a store. */
unsigned long kapi_pte_written(unsigned long pte);
unsigned long kapi_pte_mkuffd_wp(unsigned long pte);
unsigned long kapi_pte_set_soft_dirty(unsigned long pte, bool soft_dirty);
/* Entries that are not present: migration entries, those of poisoned memory, their bits. */
bool kapi_swp_pte_migrates(unsigned long pte);
bool kapi_swp_pte_poisons(unsigned long pte);
unsigned long kapi_swp_pte_pfn(unsigned long pte);
bool kapi_swp_pte_write(unsigned long pte);
bool kapi_swp_pte_uffd_wp(unsigned long pte);
bool kapi_swp_pte_soft_dirty(unsigned long pte);
unsigned long kapi_swp_pte_migration(unsigned long pfn, bool writable);
unsigned long kapi_swp_pte_mkuffd_wp(unsigned long pte);
unsigned long kapi_swp_pte_mksoft_dirty(unsigned long pte);
unsigned long kapi_swp_pte_poison(struct folio *folio);
/* Makes an entry old, and asks and tells secondary MMUs: whether it was young. */
bool kapi_pte_clear_young(struct vm_area_struct *vma, unsigned long address, pte_t *entry);
/* The same of the entry that maps a large folio at @address, but what it says is what secondary MMUs do, of all of that. */
bool kapi_pmd_clear_young(struct vm_area_struct *vma, unsigned long address, pmd_t *pmd);
unsigned long kapi_pte_get_and_clear(struct vm_area_struct *vma, unsigned long address,
                                     pte_t *entry);
void kapi_pte_clear(struct vm_area_struct *vma, unsigned long address, pte_t *entry);
void kapi_pte_set(struct vm_area_struct *vma, unsigned long address, pte_t *entry,
                  unsigned long pte);
/*
 * @entries, where nothing is, map @count parts of a large folio, from @part on, with the value @first of the first; a reference
 * each is taken, and the mm and the folio count them. With the PTE lock.
 */
void kapi_map_parts(struct vm_area_struct *vma, unsigned long address, pte_t *entries,
                    struct folio *part, unsigned long first, unsigned int count);
/* Leaves the marker of userfaultfd's write protection in an empty entry that was @pte. */
void kapi_pte_leave_marker(struct vm_area_struct *vma, unsigned long address, pte_t *entry,
                           unsigned long pte);
void kapi_flush_cache_page(struct vm_area_struct *vma, unsigned long address, struct folio *folio);
/* The same for entries that permit more now; where a fault by itself drops what refused it, not needed. */
void kapi_flush_tlb_refusals(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/* From the first change of an entry to the flush, if the lock of its table is dropped between. */
void kapi_mm_begin_flush_later(struct mm_struct *mm);
void kapi_mm_end_flush_later(struct mm_struct *mm);
void kapi_flush_tlb_range(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/*
 * The same where others may have emptied entries, and dropped the lock of the pmd that had their table, but not yet
 * flushed. The caller has looked, behind that lock, or with that of a table that was put there since.
 */
void kapi_flush_tlb_late(struct vm_area_struct *vma, unsigned long start, unsigned long end);
/* Whether what an empty pmd says counts only with its lock: the kernel takes tables away before it flushes, or there may be large folios. */
bool kapi_empty_pmd_needs_lock(void);
void kapi_update_mmu_cache(struct vm_area_struct *vma, unsigned long address, pte_t *entry);
bool kapi_mm_has_notifiers(struct mm_struct *mm);
void kapi_notify_start(struct kapi_notifier_range *range, struct mm_struct *mm, unsigned long start,
                       unsigned long end, enum kapi_notify event);
void kapi_notify_end(struct kapi_notifier_range *range);
/* VmHWM is brought up to date before VmRSS sinks (R89). */
void kapi_mm_update_peak(struct mm_struct *mm);
void kapi_rss_add(struct mm_struct *mm, enum kapi_mm_counter counter, long pages);
bool kapi_mm_in_cgroup(struct mm_struct *mm, struct mem_cgroup *group);
/* A process that uses the mm, under RCU; none if the kernel does not know. */
struct task_struct *kapi_mm_owner(const struct mm_struct *mm);
const struct mm_struct *kapi_task_mm(const struct task_struct *task);
/* Its PID in the caller's namespace, or 0. */
int kapi_task_pid(struct task_struct *task);
/* Whether the caller may ptrace it, for reading. */
bool kapi_task_readable(struct task_struct *task);
/* The caller's own address space: its VMA at an address, with it locked; a page there, referenced, if present. */
void kapi_own_mm_lock(void);
void kapi_own_mm_unlock(void);
struct vm_area_struct *kapi_own_vma(unsigned long address);
bool kapi_own_page(unsigned long address, struct page **page);
/* Whether @vma maps @mapping, and not shared. */
bool kapi_vma_maps_privately(const struct vm_area_struct *vma, const struct address_space *mapping);
struct folio *kapi_page_folio(struct page *page);
/* Whether it is an anonymous page of its own: not large, not merged. */
bool kapi_folio_is_copy(const struct folio *folio);

KAPI_END

#endif /* COWMEM_KAPI_MM_H */
