/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The line between C and C++: everything of the kernel that the C++ side can see.
 *
 * Kernel headers do not compile as C++, so the C++ side knows kernel structures
 * by name only and touches them through the one-line helpers declared here and
 * defined in src/helpers.c. Both sides are compiled to LLVM bitcode and optimised
 * as one unit, so a helper over an inline or a macro becomes the instructions
 * themselves (scripts/check-module.sh proves it on the built object).
 *
 * The enumerators are the kernel's own constants; src/helpers.c asserts each.
 */
#ifndef COWMEM_KAPI_H
#define COWMEM_KAPI_H

#ifdef __cplusplus
#include <stddef.h>
#define KAPI_BEGIN extern "C" {
#define KAPI_END }
#else
#include <linux/types.h>
#define KAPI_BEGIN
#define KAPI_END
#endif

#include <cowmem/counters.h>

KAPI_BEGIN

struct address_space;
struct file;
struct folio;
struct inode;
struct iov_iter;
struct kiocb;
struct page;
struct vm_area_struct;
struct vm_fault;

/* vm_fault_t bits (include/linux/mm_types.h). */
enum kapi_vm_fault {
	KAPI_VM_FAULT_OOM = 0x000001,
	KAPI_VM_FAULT_SIGBUS = 0x000002,
	KAPI_VM_FAULT_HWPOISON = 0x000010,
	KAPI_VM_FAULT_NOPAGE = 0x000100,
	KAPI_VM_FAULT_LOCKED = 0x000200,
	KAPI_VM_FAULT_DONE_COW = 0x001000,
};

/* Which count of an mm's resident pages. */
enum kapi_mm_counter {
	KAPI_MM_FILEPAGES = 0,
	KAPI_MM_ANONPAGES = 1,
};

enum kapi_fault_flag {
	KAPI_FAULT_FLAG_WRITE = 0x01,
};

/* Page geometry: 4 KiB pages are the only ones that the module is built for. */
enum kapi_page {
	KAPI_PAGE_SHIFT = 12,
	KAPI_PAGE_SIZE = 1 << KAPI_PAGE_SHIFT,
};

enum kapi_seek {
	KAPI_SEEK_DATA = 3,
	KAPI_SEEK_HOLE = 4,
};

/* The errnos that the C++ side returns. */
enum kapi_errno {
	KAPI_EINTR = 4,
	KAPI_EIO = 5,
	KAPI_ENXIO = 6,
	KAPI_E2BIG = 7,
	KAPI_EBADF = 9,
	KAPI_ENOMEM = 12,
	KAPI_EFAULT = 14,
	KAPI_EINVAL = 22,
	KAPI_ENOTTY = 25,
	KAPI_EFBIG = 27,
	KAPI_ENOSPC = 28,
	KAPI_EOVERFLOW = 75,
};

/* --- struct vm_fault and struct vm_area_struct --- */
struct vm_area_struct *kapi_vmf_vma(const struct vm_fault *vmf);
struct page *kapi_vmf_cow_page(const struct vm_fault *vmf);
struct folio *kapi_vmf_folio(const struct vm_fault *vmf);
unsigned int kapi_vmf_flags(const struct vm_fault *vmf);
unsigned long kapi_vmf_pgoff(const struct vm_fault *vmf);
void kapi_vmf_set_folio(struct vm_fault *vmf, struct folio *folio);
struct file *kapi_vma_file(const struct vm_area_struct *vma);
unsigned long kapi_vma_first_index(const struct vm_area_struct *vma);
unsigned long kapi_vma_end_index(const struct vm_area_struct *vma);
unsigned long kapi_vma_private(const struct vm_area_struct *vma);
void kapi_vma_set_private(struct vm_area_struct *vma, unsigned long value);
void kapi_vma_set_ops(struct vm_area_struct *vma);

/* Copy @source into the fault's cow_page, machine checks caught: 0, or not if poisoned. */
int kapi_vmf_copy_cow_page(const struct vm_fault *vmf, struct folio *source);
void kapi_vmf_clear_cow_page(const struct vm_fault *vmf);
void kapi_vmf_cow_page_uptodate(const struct vm_fault *vmf);

/* mm/memory.c finish_fault(), resolved at load (include/cowmem/symbols.h). */
unsigned int kapi_finish_fault(struct vm_fault *vmf);

/* --- the page table under a fault (cowmem/page_table.h) --- */
bool kapi_vmf_has_table(const struct vm_fault *vmf);
bool kapi_vmf_entry_present(const struct vm_fault *vmf);
unsigned long kapi_vmf_address(const struct vm_fault *vmf);
unsigned long kapi_vmf_slot(const struct vm_fault *vmf);
struct folio *kapi_vmf_cow_folio(const struct vm_fault *vmf);
bool kapi_vma_shared(const struct vm_area_struct *vma);
bool kapi_vma_reaped(const struct vm_area_struct *vma);
void kapi_rss_add(const struct vm_area_struct *vma, enum kapi_mm_counter counter, long pages);
unsigned long kapi_pmd_load(const struct vm_fault *vmf);
bool kapi_pmd_is_table(unsigned long pmd);
void kapi_pmd_install(struct vm_fault *vmf);
void kapi_pte_lock(struct vm_fault *vmf, unsigned long pmd);
void kapi_pte_unlock(struct vm_fault *vmf);
bool kapi_pte_changed(const struct vm_fault *vmf);
bool kapi_pte_replaced(const struct vm_fault *vmf);
bool kapi_pte_none(const struct vm_fault *vmf, unsigned long address);
void kapi_pte_install(struct vm_fault *vmf, struct folio *folio, unsigned long address);
void kapi_pte_make_writable(struct vm_fault *vmf);

/* --- folios: order 0, of the object's mapping --- */
struct folio *kapi_folio_alloc(void);
struct folio *kapi_folio_alloc_for(const struct vm_fault *vmf);
void kapi_folio_get(struct folio *folio);
bool kapi_folio_try_get(struct folio *folio);
bool kapi_folio_locked(const struct folio *folio);
bool kapi_folio_trylock(struct folio *folio);
void kapi_folio_put(struct folio *folio);
void kapi_folio_lock(struct folio *folio);
void kapi_folio_unlock(struct folio *folio);
void kapi_folio_mark_uptodate(struct folio *folio);
void kapi_folio_mark_dirty(struct folio *folio);
void kapi_folio_count_mapping(struct folio *folio, struct vm_area_struct *vma);
void kapi_folio_uncount_mapping(struct folio *folio, struct vm_area_struct *vma);
bool kapi_folio_poisoned(const struct folio *folio);
struct address_space *kapi_folio_mapping(const struct folio *folio);
unsigned long kapi_folio_index(const struct folio *folio);
bool kapi_folio_uptodate(const struct folio *folio);
bool kapi_folio_dirty(const struct folio *folio);
bool kapi_folio_mapped(const struct folio *folio);
void kapi_folio_attach(struct folio *folio, struct address_space *mapping, unsigned long index);
void kapi_folio_detach(struct folio *folio);
void kapi_folio_zero_range(struct folio *folio, size_t offset, size_t length);
void kapi_folio_push(struct folio **list, struct folio *folio);
struct folio *kapi_folio_pop(struct folio **list);
size_t kapi_folio_copy_to_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *to);
size_t kapi_folio_copy_from_iter(struct folio *folio, size_t offset, size_t n,
                                 struct iov_iter *from);

/* --- the object's address_space: its page index, its lock, its mappings --- */
void kapi_mapping_lock_shared(struct address_space *mapping);
void kapi_mapping_unlock_shared(struct address_space *mapping);
void kapi_mapping_lock(struct address_space *mapping);
void kapi_mapping_unlock(struct address_space *mapping);
struct folio *kapi_mapping_load(struct address_space *mapping, unsigned long index);
struct folio *kapi_mapping_find(struct address_space *mapping, unsigned long *index,
                                unsigned long last);
int kapi_mapping_insert(struct address_space *mapping, unsigned long index, struct folio *folio);
void kapi_mapping_erase(struct address_space *mapping, unsigned long index);
void kapi_mapping_unmap(struct address_space *mapping, unsigned long long offset,
                        unsigned long long length, bool private_copies);

/* The kernel's cursor over an xarray, under RCU; src/helpers.c checks that it fits. */
struct kapi_walk {
	unsigned long state[7];
};
void kapi_walk_start(struct kapi_walk *walk, struct address_space *mapping, unsigned long first);
struct folio *kapi_walk_next(struct kapi_walk *walk, unsigned long last);
struct folio *kapi_walk_reload(struct kapi_walk *walk);
unsigned long kapi_walk_index(const struct kapi_walk *walk);

/* --- the object's inode --- */
struct inode *kapi_inode_create(void);
void kapi_inode_set_object(struct inode *inode, void *object);
void kapi_inode_put(struct inode *inode);
struct address_space *kapi_inode_mapping(struct inode *inode);
long long kapi_inode_size(const struct inode *inode);
void kapi_inode_set_size(struct inode *inode, long long bytes);
void kapi_inode_lock(struct inode *inode);
void kapi_inode_unlock(struct inode *inode);
void kapi_inode_lock_size(struct inode *inode);
void kapi_inode_unlock_size(struct inode *inode);
long long kapi_max_bytes(void);

/* --- files and I/O --- */
void *kapi_file_private(const struct file *file);
bool kapi_file_writable(const struct file *file);
void kapi_file_bind(struct file *file, struct inode *inode, void *object);
long long kapi_file_seek(struct file *file, long long offset, int whence, long long max,
                         long long eof);
long long kapi_file_set_position(struct file *file, long long position, long long max);
struct file *kapi_iocb_file(const struct kiocb *iocb);
long long kapi_iocb_position(const struct kiocb *iocb);
void kapi_iocb_set_position(struct kiocb *iocb, long long position);
long kapi_iocb_write_checks(struct kiocb *iocb, struct iov_iter *from);
size_t kapi_iter_count(const struct iov_iter *iter);
bool kapi_iter_fault_in(const struct iov_iter *from, size_t n);
size_t kapi_iter_zero(struct iov_iter *to, size_t n);
int kapi_user_size(unsigned long arg, unsigned int *size);
int kapi_user_get(void *to, size_t known, unsigned long arg, size_t size);
int kapi_user_put(unsigned long arg, const void *from, size_t n);

/* --- the rest --- */
void *kapi_zalloc(size_t size);
void kapi_free(const void *p);
void kapi_cond_resched(void);
void kapi_rcu_read_lock(void);
void kapi_rcu_read_unlock(void);
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
void kapi_trace_fault(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome);
/* Nothing in an ordinary build; in a KUnit build, the test's turn (cowmem/steps.h). */
void kapi_test_step(unsigned int step, struct vm_fault *vmf);

KAPI_END

#endif /* COWMEM_KAPI_H */
