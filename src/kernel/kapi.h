/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The line between C and C++: everything of the kernel that the C++ side can see.
 *
 * Kernel headers do not compile as C++, so the C++ side knows kernel structures
 * by name only and touches them through the one-line helpers declared here and
 * defined in src/kernel/helpers.c. Both sides are compiled to LLVM bitcode and optimised
 * as one unit, so a helper over an inline or a macro becomes the instructions
 * themselves (scripts/check-module.sh proves it on the built object).
 *
 * The enumerators are the kernel's own constants; src/kernel/helpers.c asserts each.
 */
#ifndef COWMEM_KAPI_H
#define COWMEM_KAPI_H

#ifdef __cplusplus
#include <stddef.h>
struct pgd_t;
struct p4d_t;
struct pud_t;
struct pmd_t;
struct pte_t;
#define KAPI_BEGIN extern "C" {
#define KAPI_END }
#else
#include <linux/pgtable.h>
#include <linux/types.h>
#define KAPI_BEGIN
#define KAPI_END
#endif

#include "kernel/counters.h"

KAPI_BEGIN

struct address_space;
struct anon_vma;
struct anon_vma_chain;
struct cowmem_transfer;
struct crypto_acomp;
struct file;
struct folio;
struct inode;
struct iov_iter;
struct kiocb;
struct mem_cgroup;
struct mm_struct;
struct mutex;
struct obj_cgroup;
struct page;
struct spinlock;
struct task_struct;
struct vm_area_struct;
struct vm_fault;
struct xarray;
struct zs_pool;

/* vm_fault_t bits (include/linux/mm_types.h). */
enum kapi_vm_fault {
	KAPI_VM_FAULT_OOM = 0x000001,
	KAPI_VM_FAULT_SIGBUS = 0x000002,
	KAPI_VM_FAULT_MAJOR = 0x000004,
	KAPI_VM_FAULT_HWPOISON = 0x000010,
	KAPI_VM_FAULT_NOPAGE = 0x000100,
	KAPI_VM_FAULT_LOCKED = 0x000200,
	KAPI_VM_FAULT_RETRY = 0x000400,
	KAPI_VM_FAULT_DONE_COW = 0x001000,
};

/* Which count of an mm's resident pages. */
enum kapi_mm_counter {
	KAPI_MM_FILEPAGES = 0,
	KAPI_MM_ANONPAGES = 1,
};

enum kapi_fault_flag {
	KAPI_FAULT_FLAG_WRITE = 0x01,
	KAPI_FAULT_FLAG_ALLOW_RETRY = 0x04,
	KAPI_FAULT_FLAG_RETRY_NOWAIT = 0x08,
	KAPI_FAULT_FLAG_KILLABLE = 0x10,
	KAPI_FAULT_FLAG_TRIED = 0x20,
};

/* Page geometry: 4 KiB pages are the only ones that the module is built for. */
enum kapi_page {
	KAPI_PAGE_SHIFT = 12,
	KAPI_PAGE_SIZE = 1 << KAPI_PAGE_SHIFT,
};

/* What secondary MMUs are told (enum mmu_notifier_event), or nothing. */
enum kapi_notify {
	KAPI_NOTIFY_CLEAR = 1,
	KAPI_NOTIFY_PROTECTION_PAGE = 3,
	KAPI_NOTIFY_NOTHING = -1,
};

/* struct mmu_notifier_range. */
struct kapi_notifier_range {
	unsigned long opaque[7];
};

enum kapi_seek {
	KAPI_SEEK_DATA = 3,
	KAPI_SEEK_HOLE = 4,
};

enum kapi_fallocate {
	KAPI_FALLOC_KEEP_SIZE = 1,
	KAPI_FALLOC_PUNCH_HOLE = 2,
	KAPI_FALLOC_ZERO_RANGE = 16,
};

enum kapi_fadvise {
	KAPI_FADV_WILLNEED = 3,
	KAPI_FADV_DONTNEED = 4,
	KAPI_FADV_NOREUSE = 5, /* the last */
};

/* The errnos that the C++ side returns. */
enum kapi_errno {
	KAPI_ENOENT = 2,
	KAPI_EINTR = 4,
	KAPI_EIO = 5,
	KAPI_EPERM = 1,
	KAPI_ENXIO = 6,
	KAPI_E2BIG = 7,
	KAPI_EBADF = 9,
	KAPI_EAGAIN = 11,
	KAPI_ENOMEM = 12,
	KAPI_EACCES = 13,
	KAPI_EFAULT = 14,
	KAPI_EBUSY = 16,
	KAPI_EEXIST = 17,
	KAPI_ENODEV = 19,
	KAPI_EINVAL = 22,
	KAPI_ENOTTY = 25,
	KAPI_EFBIG = 27,
	KAPI_ENOSPC = 28,
	KAPI_EROFS = 30,
	KAPI_ENAMETOOLONG = 36,
	KAPI_EMLINK = 31,
	KAPI_EBADE = 52,
	KAPI_ENODATA = 61,
	KAPI_ESTALE = 116,
	KAPI_EDQUOT = 122,
	KAPI_EOVERFLOW = 75,
	KAPI_EOPNOTSUPP = 95,
	KAPI_EHWPOISON = 133,
};

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
void kapi_vma_set_ops(struct vm_area_struct *vma);
struct mm_struct *kapi_vma_mm(const struct vm_area_struct *vma);
unsigned long kapi_vma_start(const struct vm_area_struct *vma);
bool kapi_vma_shared(const struct vm_area_struct *vma); /* MAP_SHARED */
bool kapi_vma_locked(const struct vm_area_struct *vma);
/* Whether a read fault may map neighbours, or userfaultfd wants to know of each. */
bool kapi_vma_may_map_around(struct vm_area_struct *vma);
/* Whether userfaultfd wants to be asked first, of a place that is a hole, and of one that is none. */
bool kapi_vma_asks_for_missing(struct vm_area_struct *vma);
bool kapi_vma_asks_for_minor(struct vm_area_struct *vma);
bool kapi_vma_has_recency(const struct vm_area_struct *vma);
/* Whether stores to the object through it are permitted now: shared, and writable. */
bool kapi_vma_may_store(const struct vm_area_struct *vma);
/* Whether soft-dirty bits of its entries mean something: they were cleared once. */
bool kapi_vma_tracks_soft_dirty(const struct vm_area_struct *vma);

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
bool kapi_vmf_entry_present(const struct vm_fault *vmf);
unsigned long kapi_vmf_address(const struct vm_fault *vmf);
unsigned long kapi_vmf_slot(const struct vm_fault *vmf);
struct folio *kapi_vmf_cow_folio(const struct vm_fault *vmf);
bool kapi_vma_reaped(const struct vm_area_struct *vma);
void kapi_pmd_install(struct vm_fault *vmf);
pmd_t *kapi_vmf_pmd(const struct vm_fault *vmf);
void kapi_vmf_set_pte(struct vm_fault *vmf, pte_t *pte);
bool kapi_pte_changed(const struct vm_fault *vmf);
bool kapi_pte_replaced(const struct vm_fault *vmf);
/* Maps cow_page, with all that belongs to a new page of the process, also in its counts. */
void kapi_pte_install_copy(struct vm_fault *vmf);
void kapi_pte_make_writable(struct vm_fault *vmf);
/* Whether entries that nobody asked for are old ones at first: the hardware makes them young. */
bool kapi_neighbours_start_old(void);
/* Whether the marker of userfaultfd's write protection is where the fault was. */
bool kapi_vmf_write_protected(const struct vm_fault *vmf);

/* --- folios: order 0, of the object's mapping --- */
struct folio *kapi_zero_folio(void); /* the kernel's page of zeroes, for who reads */
struct folio *kapi_folio_alloc(bool zeroed);
struct folio *kapi_folio_alloc_near(int node); /* there, if it has memory */
enum kapi_node {
	KAPI_ANY_NODE = -1,
};

/* None, rather than to sleep; on @node only, if that is one: else as the task's policy says. */
struct folio *kapi_folio_alloc_ahead(int node);
bool kapi_vma_has_policy(const struct vm_area_struct *vma); /* of NUMA, by mbind() */
struct folio *kapi_folio_alloc_for(const struct vm_fault *vmf, bool zeroed);
void kapi_folio_get(struct folio *folio);
bool kapi_folio_try_get(struct folio *folio);
bool kapi_folio_locked(const struct folio *folio);
bool kapi_folio_locked_atomic(struct folio *folio); /* by a read-modify-write, a full barrier */
void kapi_folio_put(struct folio *folio);
void kapi_folio_lock(struct folio *folio);
void kapi_folio_unlock(struct folio *folio);
void kapi_folio_mark_uptodate(struct folio *folio);
void kapi_folio_mark_dirty(struct folio *folio); /* as who takes a dirty bit out of a page table */
bool kapi_folio_poisoned(const struct folio *folio);
struct address_space *kapi_folio_mapping(const struct folio *folio);
unsigned long kapi_folio_index(const struct folio *folio);
bool kapi_folio_uptodate(const struct folio *folio);
bool kapi_folio_mapped(const struct folio *folio);
void kapi_folio_attach(struct folio *folio, struct address_space *mapping, unsigned long index);
/* From one mapping to another, with the page lock held; behind all that was done before. */
void kapi_folio_rehome(struct folio *folio, struct address_space *mapping);
void kapi_folio_detach(struct folio *folio);
void kapi_folio_zero_range(struct folio *folio, size_t offset, size_t length);
/* How many names it has (store/home.h). True: that was the last. */
unsigned long kapi_folio_names(const struct folio *folio);
void kapi_folio_set_names(struct folio *folio, unsigned long names);
void kapi_folio_add_name(struct folio *folio);
bool kapi_folio_try_add_name(struct folio *folio); /* false: it has none */
bool kapi_folio_drop_name(struct folio *folio);
bool kapi_folio_trylock(struct folio *folio);
/* Waits for a second at most. Sleeps. */
bool kapi_folio_lock_soon(struct folio *folio);
unsigned long kapi_folio_pfn(const struct folio *folio);
int kapi_folio_node(const struct folio *folio);
unsigned int kapi_folio_mapcount(const struct folio *folio);
/* Whether it has the references of a DMA pin, beside those of its mappings. */
bool kapi_folio_maybe_pinned(const struct folio *folio);
void kapi_folio_poison(struct folio *folio);
/* The mark for "written since PAGEMAP last cleared that", beside the dirty bits of page tables. */
bool kapi_folio_written(const struct folio *folio);
void kapi_folio_keep_written(struct folio *folio);
bool kapi_folio_take_written(struct folio *folio); /* clears it: whether it was set */
/*
 * PG_dirty: written since its slot in the store was, or since PAGEMAP last cleared that, but for
 * the dirty bits of page tables.
 */
bool kapi_folio_dirty(const struct folio *folio);
void kapi_folio_set_dirty(struct folio *folio);
bool kapi_folio_take_dirty(struct folio *folio); /* clears it: whether it was set; a full barrier */
/* Somebody wrote it, without a page table: both. */
void kapi_folio_mark_written(struct folio *folio);
/* One page-out at a time for a page; no lock, and nobody waits for it. */
bool kapi_folio_try_begin_page_out(struct folio *folio);
void kapi_folio_end_page_out(struct folio *folio);
bool kapi_folio_going_out(const struct folio *folio); /* somebody has begun */
/* Any of these: written, dirty, going out; of one moment, as page-out moves what it finds. */
bool kapi_folio_has_mark(const struct folio *folio);
int kapi_folio_references(const struct folio *folio);
/* mlock() holds it: a hint. */
/* The store refused what it has, or had before it was written. Set with the page locked, at its home. */
bool kapi_folio_refused(const struct folio *folio);
void kapi_folio_set_refused(struct folio *folio);
void kapi_folio_forget_refused(struct folio *folio);
/* Used, other than by an entry of a page table that is still there. */
bool kapi_folio_referenced(const struct folio *folio);
bool kapi_folio_take_referenced(struct folio *folio);
void kapi_folio_mark_referenced(struct folio *folio);
bool kapi_folio_mlocked(const struct folio *folio);
/* Its bytes, for a short time in which nothing sleeps but what may be preempted. */
void *kapi_folio_map(struct folio *folio);
void kapi_folio_unmap(const void *bytes);
void kapi_folio_flush(struct folio *folio); /* the CPU wrote its bytes */
/* Makes the reference count 0 if it is @count; and @count again. */
bool kapi_folio_freeze(struct folio *folio, int count);
void kapi_folio_unfreeze(struct folio *folio, int count);
/* 0 or -EHWPOISON. Does not sleep. */
int kapi_folio_copy(struct folio *to, struct folio *from);
struct folio *kapi_folio_alloc_on(int node);
void kapi_folio_add_rmap(struct folio *folio, struct vm_area_struct *vma);
/* One more entry maps it; true: it is the first. What else there is to count, NewMappings does. */
bool kapi_folio_inc_mapcount(struct folio *folio);
/* Whether one count of pages that are mapped has both; adds to that which has this one. */
bool kapi_folio_counts_like(const struct folio *folio, const struct folio *other);
void kapi_folio_count_mapped(struct folio *folio, int n);
void kapi_folio_remove_rmap(struct folio *folio, struct vm_area_struct *vma);
/* Empties this CPU's batches of folios on the way between LRU lists. */
void kapi_drain_folio_batches(void);
void kapi_drain_folio_batches_everywhere(void);
size_t kapi_folio_copy_to_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *to);
size_t kapi_folio_copy_from_iter(struct folio *folio, size_t offset, size_t n,
                                 struct iov_iter *from);

/* --- reference counts --- */
struct kapi_refcount {
	int value;
};
void kapi_ref_init(struct kapi_refcount *ref);
bool kapi_ref_try_get(struct kapi_refcount *ref);
bool kapi_ref_put(struct kapi_refcount *ref); /* true: that was the last */

/* How many use something, and who waits until nobody does. */
struct kapi_users {
	struct kapi_refcount count;
};
void kapi_ref_get(struct kapi_refcount *ref);
int kapi_ref_read(const struct kapi_refcount *ref);
/* Whether there is only one; what who dropped another did before is seen then. */
bool kapi_ref_is_one(const struct kapi_refcount *ref);
void kapi_users_init(struct kapi_users *users); /* one */
bool kapi_users_try_get(struct kapi_users *users);
void kapi_users_put(struct kapi_users *users);
/* The first one goes, and waits for the others; nobody comes any more. */
void kapi_users_put_and_wait(struct kapi_users *users);

/* --- locks --- */
#ifdef COWMEM_DEBUG_LOCKS
#define KAPI_LOCK_WORDS 32
#else
#define KAPI_LOCK_WORDS 6
#endif
/* struct rw_semaphore, and spinlock_t, with what a debug kernel adds. */
struct kapi_rwsem {
	unsigned long opaque[KAPI_LOCK_WORDS];
};
enum kapi_lock_class { KAPI_LOCK_OBJECT, KAPI_LOCK_LIMITS };
void kapi_rwsem_init(struct kapi_rwsem *lock, enum kapi_lock_class of);
void kapi_rwsem_lock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_lock_shared_below(struct kapi_rwsem *lock);   /* with another of its class held */
int kapi_rwsem_lock_shared_killable(struct kapi_rwsem *lock); /* -EINTR: a fatal signal */
bool kapi_rwsem_trylock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_unlock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_lock(struct kapi_rwsem *lock);
int kapi_rwsem_lock_killable(struct kapi_rwsem *lock); /* -EINTR: a fatal signal */
void kapi_rwsem_unlock(struct kapi_rwsem *lock);
/*
 * Tells lockdep, for a scope, that the locks of one class which are taken with it are taken in an
 * order; nobody waits for it. Kernel counterpart: struct ww_acquire_ctx.
 */
struct kapi_lock_set {
	unsigned long opaque[KAPI_LOCK_WORDS > 6 ? 8 : 1];
};
void kapi_lock_set_begin(struct kapi_lock_set *set);
void kapi_lock_set_end(struct kapi_lock_set *set);
void kapi_rwsem_lock_of_set(struct kapi_rwsem *lock, struct kapi_lock_set *set);
struct kapi_spinlock {
	unsigned long opaque[KAPI_LOCK_WORDS > 6 ? 12 : 1];
};
void kapi_spinlock_init(struct kapi_spinlock *lock);
bool kapi_spinlock_is_locked(struct kapi_spinlock *lock); /* a hint */
void kapi_spinlock_lock(struct kapi_spinlock *lock);
void kapi_spinlock_unlock(struct kapi_spinlock *lock);

/* --- a few numbers by their index --- */
/* struct xarray, with what a debug kernel adds. */
struct kapi_values {
	unsigned long opaque[KAPI_LOCK_WORDS > 6 ? 14 : 2];
};
void kapi_values_init(struct kapi_values *values);
void kapi_values_destroy(struct kapi_values *values);
bool kapi_values_empty(const struct kapi_values *values);
unsigned long kapi_values_get(struct kapi_values *values, unsigned long index); /* or 0 */
/* Has a number there: 0, if there was none. False: no memory. Sleeps. */
bool kapi_values_make(struct kapi_values *values, unsigned long index);
/* Takes away the first that there is at or behind @index, which is its index then. False: none is there. Never sleeps. */
bool kapi_values_take_next(struct kapi_values *values, unsigned long *index);
/* Puts @fresh in the place of @old, if that is there. Never sleeps. */
bool kapi_values_exchange(struct kapi_values *values, unsigned long index, unsigned long old,
                          unsigned long fresh);

/* --- nodes of trees --- */
/* Zeroed, at an address that 16 divides. May reclaim, or never sleeps. */
void *kapi_node_alloc(bool leaf, bool may_reclaim);
void kapi_node_free(void *node); /* after a grace period */

/* --- the object's address_space: its page index, its mappings --- */
/* What the module has for a mapping of its own. */
void kapi_mapping_set_home(struct address_space *mapping, void *home);
void *kapi_mapping_home(const struct address_space *mapping);
/* Has mincore() say that all of it is in memory, rather than nothing. */
int kapi_mapping_call_present(struct address_space *mapping);
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
/* A clean and old entry for @folio as @vma would have it, and changes to one. */
unsigned long kapi_pte_of(struct vm_area_struct *vma, struct folio *folio);
unsigned long kapi_pte_of_young(struct vm_area_struct *vma, struct folio *folio);
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
/* Whether some secondary MMU says that @address was used. */
bool kapi_mm_young(struct mm_struct *mm, unsigned long address);
unsigned long kapi_pte_get_and_clear(struct vm_area_struct *vma, unsigned long address,
                                     pte_t *entry);
void kapi_pte_clear(struct vm_area_struct *vma, unsigned long address, pte_t *entry);
void kapi_pte_set(struct vm_area_struct *vma, unsigned long address, pte_t *entry,
                  unsigned long pte);
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
/* --- the object's inode --- */
/* @made: a regular file's, where @like is, or, if that is null, where what has no name is. 0, -ENOMEM, -ENOSPC. */
int kapi_inode_create(const struct inode *like, struct inode **made);
/* What limits the pages of a mounted file system's files, or null. */
struct cowmem_space *kapi_inode_space(const struct inode *inode);
void kapi_space_get(struct cowmem_space *space);
void kapi_space_put(struct cowmem_space *space);
bool kapi_space_take_page(struct cowmem_space *space);
void kapi_space_give_page(struct cowmem_space *space);
void kapi_inode_get(struct inode *inode);
void kapi_inode_set_snapshot(struct inode *inode);
void kapi_inode_set_object(struct inode *inode, void *object);
void kapi_inode_put(struct inode *inode);
bool kapi_inode_try_get(struct inode *inode); /* false: it is on its way out */
/* Whether any page, which is locked, is one of the module's. */
bool kapi_folio_is_ours(const struct folio *folio);
void *kapi_inode_object(const struct inode *inode);
struct address_space *kapi_inode_mapping(struct inode *inode);
unsigned long kapi_inode_number(const struct inode *inode);
long long kapi_inode_size(const struct inode *inode);
void kapi_inode_set_size(struct inode *inode, long long bytes);
bool kapi_inode_trylock(struct inode *inode);
int kapi_inode_lock_killable(struct inode *inode); /* -EINTR: a fatal signal */
void kapi_inode_unlock(struct inode *inode);
void kapi_inode_lock_size(struct inode *inode);
void kapi_inode_unlock_size(struct inode *inode);
long long kapi_max_bytes(void);

/* --- files and I/O --- */
void kapi_file_get(struct file *file);
void kapi_file_put(struct file *file);
void *kapi_file_private(const struct file *file);
bool kapi_file_readable(const struct file *file);
bool kapi_file_writable(const struct file *file);
void kapi_file_bind(struct file *file, struct inode *inode, void *object);
/* @made: a new file of @inode, of which it takes the reference, on the mount of the asker's @by; for reading at least. 0, -ENOMEM, -ENFILE. */
int kapi_file_create(struct inode *inode, const struct file *by, const char *name, bool writable,
                     struct file **made);
struct file *kapi_file_of_fd(int fd); /* with a reference; null: it is not open */
/* Something happened to a snapshot, or to its relatives, and is there to be seen. */
void kapi_wake_pollers(void);
bool kapi_file_is_ours(const struct file *file);
int kapi_fd_reserve(void); /* a number for a file, closed on exec; or -errno */
void kapi_fd_install(int fd, struct file *file);
void kapi_fd_cancel(int fd);
long long kapi_file_seek(struct file *file, long long offset, int whence, long long max,
                         long long eof);
long long kapi_file_set_position(struct file *file, long long position, long long max);
struct file *kapi_iocb_file(const struct kiocb *iocb);
long long kapi_iocb_position(const struct kiocb *iocb);
void kapi_iocb_set_position(struct kiocb *iocb, long long position);
/* A regular file is about to be written, with the inode's lock held, or was read: times, and privileges. */
int kapi_file_modified(struct file *file);
void kapi_file_accessed(struct file *file);
/* Whether the file may grow to @bytes: 0, -EFBIG, with a signal. */
int kapi_file_may_reach(const struct file *file, long long bytes);
long kapi_iocb_write_checks(struct kiocb *iocb, struct iov_iter *from);
size_t kapi_iter_count(const struct iov_iter *iter);
bool kapi_iter_fault_in(const struct iov_iter *from, size_t n);
size_t kapi_iter_zero(struct iov_iter *to, size_t n);
int kapi_user_size(unsigned long arg, unsigned int *size);
int kapi_user_get(void *to, size_t known, unsigned long arg, size_t size);
/* The length of a string at @arg, of which @room bytes are had at most; @room: it is longer. Or -EFAULT. */
long kapi_user_get_string(char *to, size_t room, unsigned long arg);
int kapi_user_put(unsigned long arg, const void *from, size_t n);

/* --- the LRU of objects' pages (src/reclaim/shrinker.c) --- */
#define KAPI_MAX_ISOLATED 32
/* Pages of one home, less than as many apart, that were taken off it, referenced. */
struct kapi_isolated {
	unsigned int count, most;
	struct folio *folio[KAPI_MAX_ISOLATED];
	unsigned int scanned; /* then: these, or as many as went, with their neighbours */
};
/* Adds a page at the end. False: there is no list for its cgroup yet. */
bool kapi_lru_add(struct folio *folio);
/* Makes that list. False: no memory. Sleeps. */
bool kapi_lru_prepare(struct folio *folio, bool ahead); /* may reclaim, unless it is @ahead */
void kapi_lru_del(struct folio *folio);

/* --- whom memory is charged to: a memory cgroup, or null: nobody --- */
/* A reference on whom @folio, one of the allocator's or of an object's, is charged to. */
struct obj_cgroup *kapi_folio_get_owner(struct folio *folio);
void kapi_owner_put(struct obj_cgroup *owner);
/* Whether it is charged to @owner: a hint, unless the caller has a reference on it. */
bool kapi_folio_is_owned_by(const struct folio *folio, const struct obj_cgroup *owner);
/* Charges @size bytes, also beyond the limit: for what lets more go than it takes. False: it could not be. */
bool kapi_owner_charge(struct obj_cgroup *owner, size_t size);
void kapi_owner_uncharge(struct obj_cgroup *owner, size_t size);
/*
 * Has @folio, which nobody else has seen, charged to @owner, if that is still a cgroup's and has
 * room at once. Never sleeps.
 */
void kapi_folio_set_owner(struct folio *folio, struct obj_cgroup *owner);
/* The same again to @owner, to whom it was charged before that. */
void kapi_folio_return(struct folio *folio, struct obj_cgroup *owner);
/* Each is charged to whom the other was: neither is on the LRU. */
void kapi_folio_exchange_owners(struct folio *a, struct folio *b);

/* --- slots of paged-out pages --- */
/* The memory of a slot stays a slot's under RCU. Does not sleep; @reserves: for memory reclaim. */
void *kapi_slot_alloc_nowait(bool reserves);
void kapi_slot_free(void *slot);
size_t kapi_slot_size(void); /* bytes that one takes, with what the allocator keeps of it */

/* --- compressed memory: zsmalloc, and the crypto API's compressors --- */
struct zs_pool *kapi_zs_create(void);
void kapi_zs_destroy(struct zs_pool *pool);
unsigned long kapi_zs_alloc(struct zs_pool *pool, size_t size,
                            bool reserves);                             /* or 0; does not sleep */
unsigned long kapi_zs_alloc_waiting(struct zs_pool *pool, size_t size); /* the same; sleeps */
void kapi_zs_free(struct zs_pool *pool, unsigned long handle);
void kapi_zs_write(struct zs_pool *pool, unsigned long handle, void *bytes, size_t n);
/* The object's @n bytes, perhaps in @buffer, which has room for as many; nothing sleeps until the end. */
const void *kapi_zs_read_begin(struct zs_pool *pool, unsigned long handle, size_t n, void *buffer);
void kapi_zs_read_end(struct zs_pool *pool, unsigned long handle, size_t n, const void *bytes);
unsigned long kapi_zs_pages(struct zs_pool *pool);
void kapi_zs_compact(struct zs_pool *pool);     /* gives back pages that are half empty; sleeps */
size_t kapi_zs_huge_size(struct zs_pool *pool); /* from which on a page is no smaller */
/* 0; -ENOENT: there is none; -ENOMEM, -EINTR; and @comp as it was. Sleeps, may load a module. */
int kapi_comp_create(const char *name, struct crypto_acomp **comp);
void kapi_comp_free(struct crypto_acomp *comp);
int kapi_comp_compress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to,
                       unsigned int *room);
int kapi_comp_decompress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to,
                         unsigned int *room);
struct mutex *kapi_mutex_create(void);
void kapi_mutex_free(struct mutex *mutex);
void kapi_mutex_lock(struct mutex *mutex);
void kapi_mutex_unlock(struct mutex *mutex);
unsigned int kapi_cpus(void);
unsigned int kapi_this_cpu(void); /* a hint: the caller may be elsewhere by now */
void kapi_copy(void *to, const void *from, size_t n);
void kapi_fill(unsigned long *words, unsigned long value, size_t n);
bool kapi_same_bytes(const void *a, const void *b, size_t n); /* somebody may be writing them */
bool kapi_same_name(const char *a, const char *b);

/* --- the backing store: a file or block device (src/store/backing_io.c) --- */
/* Neighbouring I/O of the caller is collected between the two; struct blk_plug. */
struct kapi_plug {
	unsigned long opaque[8];
};
void kapi_plug_begin(struct kapi_plug *plug);
void kapi_plug_end(struct kapi_plug *plug);
/* Its size in pages, and whether it is a device. 0 or -errno, with a line in the log. */
int kapi_backing_open(const char *path, struct file **file, unsigned long *pages, bool *device);
void kapi_backing_close(struct file *file);
/* Begins to read or write a page there; or null: no memory. */
struct cowmem_transfer *kapi_transfer_start(struct file *file, unsigned long place,
                                            struct folio *folio, bool writes);
int kapi_transfer_wait(struct cowmem_transfer *transfer, bool killable);
void kapi_transfer_leave(struct cowmem_transfer *transfer);
unsigned int kapi_crc32c(const void *bytes, size_t n);
void kapi_say_damaged(unsigned long place);
void kapi_say_given_up(void);
unsigned long *kapi_bits_alloc(unsigned long n); /* all clear; kapi_free_array() frees them */
unsigned long kapi_bits_next_clear(const unsigned long *bits, unsigned long n, unsigned long from);
bool kapi_bit_test_and_set(unsigned long *bits, unsigned long i);
void kapi_bit_clear(unsigned long *bits, unsigned long i);
/* How many pages one read brings in at most, with their neighbours. */
unsigned int kapi_backing_readahead(void);

/* --- the rest --- */
/* For a scope, allocations dip into the reserves rather than reclaim: what is freed is more. */
unsigned int kapi_no_reclaim_begin(void);
void kapi_no_reclaim_end(unsigned int before);
bool kapi_reuse(void);
/* Whether the hardware sets dirty bits; without, a write through a clean entry is a fault. */
bool kapi_has_dirty_bit(void);
unsigned long kapi_store_max_pages(void);
void kapi_event_major_fault(struct mm_struct *mm);
/* The task waits for memory that it had: what PSI tells of. */
void kapi_stall_begin(unsigned long *flags);
void kapi_stall_end(unsigned long *flags);
void *kapi_zalloc(size_t size);
void kapi_free(const void *p);
void kapi_free_rcu(const void *p); /* after a grace period */
void *kapi_alloc_array(size_t n, size_t size);
void kapi_free_array(const void *p);
void kapi_rcu_lock(void);
void kapi_rcu_unlock(void);
void kapi_spin_lock(struct spinlock *lock);
void kapi_spin_unlock(struct spinlock *lock);
bool kapi_capable_admin(void);
/* Whether the kernel can mark memory as damaged. */
bool kapi_knows_poison(void);
/* Whether userfaultfd takes mappings of a module's files. */
bool kapi_has_uffd_ops(void);
bool kapi_node_has_memory(unsigned int node);
bool kapi_node_allowed(unsigned int node);
void kapi_cond_resched(void);
void kapi_sleep_killable(void); /* for a hundredth of a second, or to a fatal signal */
void kapi_preempt_disable(void);
void kapi_preempt_enable(void);
void kapi_smp_mb(void);
void kapi_smp_rmb(void);
void kapi_smp_mb_after_lock(void);
bool kapi_speculate_private(void);
bool kapi_speculate_read(void);
bool kapi_speculate_shared_write(void);
unsigned int kapi_around_pages(void);
bool kapi_around_lock_free(void);
bool kapi_signal_pending(void);
unsigned int kapi_default_cow(void);
void kapi_count(enum cowmem_counter counter);
void kapi_count_n(enum cowmem_counter counter, unsigned long n);
void kapi_trace_fault(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome,
                      bool major);
/* Nothing in an ordinary build; in a KUnit build, the test's turn (kernel/steps.h). */
void kapi_test_step(unsigned int step, struct vm_fault *vmf);

KAPI_END

#endif /* COWMEM_KAPI_H */
