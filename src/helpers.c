// SPDX-License-Identifier: GPL-2.0
/*
 * The helpers of cowmem/kapi.h: one line each over the kernel's inlines and
 * macros. Compiled to bitcode and inlined into the C++ side; no logic here.
 */
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/percpu_counter.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/xarray.h>

#include <cowmem/kapi.h>
#include <cowmem/module.h>
#include <cowmem/symbols.h>
#ifdef COWMEM_KUNIT
#include <cowmem/testing.h>
#endif
#include "trace.h"

#define HELPER __always_inline

/* One line each, however long. */
/* clang-format off */

#define SAME(ours, kernels) static_assert((unsigned long)(ours) == (__force unsigned long)(kernels))
SAME(KAPI_VM_FAULT_OOM, VM_FAULT_OOM);
SAME(KAPI_VM_FAULT_SIGBUS, VM_FAULT_SIGBUS);
SAME(KAPI_VM_FAULT_HWPOISON, VM_FAULT_HWPOISON);
SAME(KAPI_VM_FAULT_NOPAGE, VM_FAULT_NOPAGE);
SAME(KAPI_VM_FAULT_LOCKED, VM_FAULT_LOCKED);
SAME(KAPI_VM_FAULT_DONE_COW, VM_FAULT_DONE_COW);
SAME(KAPI_MM_FILEPAGES, MM_FILEPAGES);
SAME(KAPI_MM_ANONPAGES, MM_ANONPAGES);
SAME(KAPI_FAULT_FLAG_WRITE, FAULT_FLAG_WRITE);
SAME(KAPI_PAGE_SHIFT, PAGE_SHIFT);
SAME(KAPI_SEEK_DATA, SEEK_DATA);
SAME(KAPI_SEEK_HOLE, SEEK_HOLE);
SAME(KAPI_EINTR, EINTR);
SAME(KAPI_EIO, EIO);
SAME(KAPI_ENXIO, ENXIO);
SAME(KAPI_E2BIG, E2BIG);
SAME(KAPI_EBADF, EBADF);
SAME(KAPI_ENOMEM, ENOMEM);
SAME(KAPI_EFAULT, EFAULT);
SAME(KAPI_EINVAL, EINVAL);
SAME(KAPI_ENOTTY, ENOTTY);
SAME(KAPI_EFBIG, EFBIG);
SAME(KAPI_ENOSPC, ENOSPC);
SAME(KAPI_EOVERFLOW, EOVERFLOW);
#undef SAME

/* Pages of an object are unmovable user pages, charged to whoever makes them. */
#define OBJECT_PAGE_GFP (GFP_HIGHUSER | __GFP_ACCOUNT | __GFP_ZERO)

/* --- struct vm_fault and struct vm_area_struct --- */
HELPER struct vm_area_struct *kapi_vmf_vma(const struct vm_fault *vmf) { return vmf->vma; }
HELPER struct page *kapi_vmf_cow_page(const struct vm_fault *vmf) { return vmf->cow_page; }
HELPER struct folio *kapi_vmf_folio(const struct vm_fault *vmf) { return page_folio(vmf->page); }
HELPER unsigned int kapi_vmf_flags(const struct vm_fault *vmf) { return vmf->flags; }
HELPER unsigned long kapi_vmf_pgoff(const struct vm_fault *vmf) { return vmf->pgoff; }
HELPER void kapi_vmf_set_folio(struct vm_fault *vmf, struct folio *folio) { vmf->page = &folio->page; }
HELPER struct file *kapi_vma_file(const struct vm_area_struct *vma) { return vma->vm_file; }
HELPER unsigned long kapi_vma_first_index(const struct vm_area_struct *vma) { return vma->vm_pgoff; }
HELPER unsigned long kapi_vma_end_index(const struct vm_area_struct *vma) { return vma->vm_pgoff + ((vma->vm_end - vma->vm_start) >> PAGE_SHIFT); }
HELPER unsigned long kapi_vma_private(const struct vm_area_struct *vma) { return (unsigned long)vma->vm_private_data; }
HELPER void kapi_vma_set_private(struct vm_area_struct *vma, unsigned long value) { vma->vm_private_data = (void *)value; }
HELPER void kapi_vma_set_ops(struct vm_area_struct *vma) { vma->vm_ops = &cowmem_vm_ops; }

HELPER int kapi_vmf_copy_cow_page(const struct vm_fault *vmf, struct folio *source) { return copy_mc_user_highpage(vmf->cow_page, &source->page, vmf->address, vmf->vma); }
HELPER void kapi_vmf_clear_cow_page(const struct vm_fault *vmf) { clear_user_highpage(vmf->cow_page, vmf->address); }
HELPER void kapi_vmf_cow_page_uptodate(const struct vm_fault *vmf) { __folio_mark_uptodate(page_folio(vmf->cow_page)); }
HELPER unsigned int kapi_finish_fault(struct vm_fault *vmf) { return (__force unsigned int)cowmem_symbol_call(finish_fault)(vmf); }

/* --- the page table under a fault --- */
HELPER bool kapi_vmf_has_table(const struct vm_fault *vmf) { return vmf->prealloc_pte; }
HELPER bool kapi_vmf_entry_present(const struct vm_fault *vmf) { return pte_present(vmf->orig_pte); }
HELPER unsigned long kapi_vmf_address(const struct vm_fault *vmf) { return vmf->address; }
HELPER unsigned long kapi_vmf_slot(const struct vm_fault *vmf) { return pte_index(vmf->address); }
HELPER struct folio *kapi_vmf_cow_folio(const struct vm_fault *vmf) { return page_folio(vmf->cow_page); }
HELPER bool kapi_vma_shared(const struct vm_area_struct *vma) { return vma->vm_flags & VM_SHARED; }
HELPER bool kapi_vma_reaped(const struct vm_area_struct *vma) { return !(vma->vm_flags & VM_SHARED) && check_stable_address_space(vma->vm_mm); }
/* What add_mm_counter() does, but for a tracepoint that is not exported. */
HELPER void kapi_rss_add(const struct vm_area_struct *vma, enum kapi_mm_counter counter, long pages) { percpu_counter_add(&vma->vm_mm->rss_stat[counter], pages); }
HELPER unsigned long kapi_pmd_load(const struct vm_fault *vmf) { return pmd_val(pmdp_get_lockless(vmf->pmd)); }
HELPER bool kapi_pmd_is_table(unsigned long pmd) { return pmd_present(__pmd(pmd)) && !pmd_trans_huge(__pmd(pmd)) && !pmd_devmap(__pmd(pmd)) && !pmd_bad(__pmd(pmd)); }
HELPER void kapi_pmd_install(struct vm_fault *vmf) { cowmem_symbol_call(pmd_install)(vmf->vma->vm_mm, vmf->pmd, &vmf->prealloc_pte); }
HELPER void kapi_pte_lock(struct vm_fault *vmf, unsigned long value) { pmd_t pmd = __pmd(value); vmf->pte = pte_offset_kernel(&pmd, vmf->address); vmf->ptl = pte_lockptr(vmf->vma->vm_mm, &pmd); spin_lock(vmf->ptl); }
HELPER void kapi_pte_unlock(struct vm_fault *vmf) { spin_unlock(vmf->ptl); }
HELPER bool kapi_pte_changed(const struct vm_fault *vmf) { return vmf->flags & FAULT_FLAG_ORIG_PTE_VALID ? !pte_same(ptep_get(vmf->pte), vmf->orig_pte) : !pte_none(ptep_get(vmf->pte)); }
HELPER bool kapi_pte_replaced(const struct vm_fault *vmf) { return !pte_same(ptep_get(vmf->pte), vmf->orig_pte); }
HELPER pte_t *pte_at(const struct vm_fault *vmf, unsigned long address) { return vmf->pte + pte_index(address) - pte_index(vmf->address); }
HELPER bool kapi_pte_none(const struct vm_fault *vmf, unsigned long address) { return pte_none(ptep_get(pte_at(vmf, address))); }
HELPER void kapi_pte_install(struct vm_fault *vmf, struct folio *folio, unsigned long address) { pte_t *own = vmf->pte; vmf->pte = pte_at(vmf, address); cowmem_symbol_call(set_pte_range)(vmf, folio, &folio->page, 1, address); vmf->pte = own; }
/* Not maybe_mkwrite(): page_mkwrite is for writable mappings only, and none of ours is a shadow stack. */
HELPER void kapi_pte_make_writable(struct vm_fault *vmf) { pte_t entry = pte_mkdirty(pte_mkwrite_novma(pte_mkyoung(vmf->orig_pte))); if (cowmem_set_access_flags(vmf->vma, vmf->address, vmf->pte, entry, 1)) update_mmu_cache_range(vmf, vmf->vma, vmf->address, vmf->pte, 1); }

/* --- folios --- */
HELPER struct folio *kapi_folio_alloc(void) { return folio_alloc(OBJECT_PAGE_GFP, 0); }
HELPER struct folio *kapi_folio_alloc_for(const struct vm_fault *vmf) { return vma_alloc_folio(OBJECT_PAGE_GFP, 0, vmf->vma, vmf->address, false); }
HELPER void kapi_folio_get(struct folio *folio) { folio_get(folio); }
HELPER bool kapi_folio_try_get(struct folio *folio) { return folio_try_get(folio); }
HELPER bool kapi_folio_locked(const struct folio *folio) { return folio_test_locked(folio); }
HELPER bool kapi_folio_trylock(struct folio *folio) { return folio_trylock(folio); }
HELPER void kapi_folio_put(struct folio *folio) { folio_put(folio); }
HELPER void kapi_folio_lock(struct folio *folio) { folio_lock(folio); }
HELPER void kapi_folio_unlock(struct folio *folio) { folio_unlock(folio); }
HELPER void kapi_folio_mark_uptodate(struct folio *folio) { __folio_mark_uptodate(folio); }
HELPER void kapi_folio_mark_dirty(struct folio *folio) { folio_mark_dirty(folio); }
HELPER void kapi_folio_count_mapping(struct folio *folio, struct vm_area_struct *vma) { cowmem_symbol_call(folio_add_file_rmap_ptes)(folio, &folio->page, 1, vma); }
HELPER void kapi_folio_uncount_mapping(struct folio *folio, struct vm_area_struct *vma) { cowmem_symbol_call(folio_remove_rmap_ptes)(folio, &folio->page, 1, vma); }
HELPER bool kapi_folio_poisoned(const struct folio *folio) { return PageHWPoison(&folio->page); }
HELPER struct address_space *kapi_folio_mapping(const struct folio *folio) { return READ_ONCE(folio->mapping); }
HELPER unsigned long kapi_folio_index(const struct folio *folio) { return folio->index; }
HELPER bool kapi_folio_uptodate(const struct folio *folio) { return folio_test_uptodate(folio); }
HELPER bool kapi_folio_dirty(const struct folio *folio) { return folio_test_dirty(folio); }
HELPER bool kapi_folio_mapped(const struct folio *folio) { return folio_mapped(folio); }
HELPER void kapi_folio_attach(struct folio *folio, struct address_space *mapping, unsigned long index) { folio->mapping = mapping; folio->index = index; }
HELPER void kapi_folio_detach(struct folio *folio) { WRITE_ONCE(folio->mapping, NULL); }
HELPER void kapi_folio_zero_range(struct folio *folio, size_t offset, size_t length) { folio_zero_range(folio, offset, length); }
HELPER void kapi_folio_push(struct folio **list, struct folio *folio) { folio->private = *list; *list = folio; }
HELPER struct folio *kapi_folio_pop(struct folio **list) { struct folio *folio = *list; *list = folio ? folio_change_private(folio, NULL) : NULL; return folio; }
HELPER size_t kapi_folio_copy_to_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *to) { return copy_folio_to_iter(folio, offset, n, to); }
HELPER size_t kapi_folio_copy_from_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *from) { size_t copied = copy_page_from_iter(&folio->page, offset, n, from); flush_dcache_folio(folio); return copied; }

/* --- the object's address_space --- */
HELPER void kapi_mapping_lock_shared(struct address_space *mapping) { filemap_invalidate_lock_shared(mapping); }
HELPER void kapi_mapping_unlock_shared(struct address_space *mapping) { filemap_invalidate_unlock_shared(mapping); }
HELPER void kapi_mapping_lock(struct address_space *mapping) { filemap_invalidate_lock(mapping); }
HELPER void kapi_mapping_unlock(struct address_space *mapping) { filemap_invalidate_unlock(mapping); }
HELPER struct folio *kapi_mapping_load(struct address_space *mapping, unsigned long index) { return xa_load(&mapping->i_pages, index); }
HELPER struct folio *kapi_mapping_find(struct address_space *mapping, unsigned long *index, unsigned long last) { return xa_find(&mapping->i_pages, index, last, XA_PRESENT); }
HELPER int kapi_mapping_insert(struct address_space *mapping, unsigned long index, struct folio *folio) { return xa_insert_irq(&mapping->i_pages, index, folio, GFP_KERNEL_ACCOUNT); }
HELPER void kapi_mapping_erase(struct address_space *mapping, unsigned long index) { xa_erase_irq(&mapping->i_pages, index); }
HELPER void kapi_mapping_unmap(struct address_space *mapping, unsigned long long offset, unsigned long long length, bool private_copies) { unmap_mapping_range(mapping, offset, length, private_copies); }

static_assert(sizeof(struct kapi_walk) == sizeof(struct xa_state));
HELPER struct xa_state *xas_of(struct kapi_walk *walk) { return (struct xa_state *)walk; }
HELPER void kapi_walk_start(struct kapi_walk *walk, struct address_space *mapping, unsigned long first) { *xas_of(walk) = (struct xa_state)__XA_STATE(&mapping->i_pages, first, 0, 0); }
HELPER struct folio *kapi_walk_next(struct kapi_walk *walk, unsigned long last) { struct folio *folio; do { folio = xas_next_entry(xas_of(walk), last); } while (xas_retry(xas_of(walk), folio)); return folio; }
HELPER struct folio *kapi_walk_reload(struct kapi_walk *walk) { return xas_reload(xas_of(walk)); }
HELPER unsigned long kapi_walk_index(const struct kapi_walk *walk) { return ((const struct xa_state *)walk)->xa_index; }

/* --- the object's inode --- */
HELPER struct inode *kapi_inode_create(void) { return cowmem_inode_create(); }
HELPER void kapi_inode_set_object(struct inode *inode, void *object) { inode->i_private = object; }
HELPER void kapi_inode_put(struct inode *inode) { iput(inode); }
HELPER struct address_space *kapi_inode_mapping(struct inode *inode) { return inode->i_mapping; }
HELPER long long kapi_inode_size(const struct inode *inode) { return i_size_read(inode); }
HELPER void kapi_inode_set_size(struct inode *inode, long long bytes) { i_size_write(inode, bytes); }
HELPER void kapi_inode_lock(struct inode *inode) { inode_lock(inode); }
HELPER void kapi_inode_unlock(struct inode *inode) { inode_unlock(inode); }
HELPER void kapi_inode_lock_size(struct inode *inode) { spin_lock(&inode->i_lock); }
HELPER void kapi_inode_unlock_size(struct inode *inode) { spin_unlock(&inode->i_lock); }
HELPER long long kapi_max_bytes(void) { return COWMEM_MAX_BYTES; }

/* --- files and I/O --- */
HELPER void *kapi_file_private(const struct file *file) { return file->private_data; }
HELPER bool kapi_file_writable(const struct file *file) { return file->f_mode & FMODE_WRITE; }
HELPER void kapi_file_bind(struct file *file, struct inode *inode, void *object) { file->f_mapping = inode->i_mapping; file->private_data = object; file->f_mode |= FMODE_ATOMIC_POS; }
HELPER long long kapi_file_seek(struct file *file, long long offset, int whence, long long max, long long eof) { return generic_file_llseek_size(file, offset, whence, max, eof); }
HELPER long long kapi_file_set_position(struct file *file, long long position, long long max) { return vfs_setpos(file, position, max); }
HELPER struct file *kapi_iocb_file(const struct kiocb *iocb) { return iocb->ki_filp; }
HELPER long long kapi_iocb_position(const struct kiocb *iocb) { return iocb->ki_pos; }
HELPER void kapi_iocb_set_position(struct kiocb *iocb, long long position) { iocb->ki_pos = position; }
HELPER long kapi_iocb_write_checks(struct kiocb *iocb, struct iov_iter *from) { return generic_write_checks(iocb, from); }
HELPER size_t kapi_iter_count(const struct iov_iter *iter) { return iov_iter_count(iter); }
/* Whether something of the next @n bytes can be read: user memory is made present. */
HELPER bool kapi_iter_fault_in(const struct iov_iter *from, size_t n) { return fault_in_iov_iter_readable(from, n) < n; }
HELPER size_t kapi_iter_zero(struct iov_iter *to, size_t n) { return iov_iter_zero(n, to); }
HELPER int kapi_user_size(unsigned long arg, unsigned int *size) { return get_user(*size, (u32 __user *)arg); }
HELPER int kapi_user_get(void *to, size_t known, unsigned long arg, size_t size) { return copy_struct_from_user(to, known, (void __user *)arg, size); }
HELPER int kapi_user_put(unsigned long arg, const void *from, size_t n) { return copy_to_user((void __user *)arg, from, n) ? -EFAULT : 0; }

/* --- the rest --- */
HELPER void *kapi_zalloc(size_t size) { return kzalloc(size, GFP_KERNEL_ACCOUNT); }
HELPER void kapi_free(const void *p) { kfree(p); }
HELPER void kapi_cond_resched(void) { cond_resched(); }
HELPER void kapi_rcu_read_lock(void) { rcu_read_lock(); }
HELPER void kapi_rcu_read_unlock(void) { rcu_read_unlock(); }
HELPER void kapi_smp_mb(void) { smp_mb(); } /* include/cowmem/family.h: with what it pairs */
HELPER void kapi_smp_rmb(void) { smp_rmb(); } /* the same */
HELPER void kapi_smp_mb_after_lock(void) { smp_mb__after_spinlock(); }
HELPER bool kapi_speculate_private(void) { return READ_ONCE(cowmem_parameters.speculate_private); }
HELPER bool kapi_speculate_read(void) { return READ_ONCE(cowmem_parameters.speculate_read); }
HELPER bool kapi_speculate_shared_write(void) { return READ_ONCE(cowmem_parameters.speculate_shared_write); }
HELPER unsigned int kapi_around_pages(void) { return READ_ONCE(cowmem_parameters.around_pages); }
HELPER bool kapi_around_lock_free(void) { return READ_ONCE(cowmem_parameters.around_shared) == COWMEM_AROUND_LOCKFREE; }
HELPER bool kapi_signal_pending(void) { return fatal_signal_pending(current); }
HELPER unsigned int kapi_default_cow(void) { return READ_ONCE(cowmem_default_cow); }
HELPER void kapi_count(enum cowmem_counter counter) { this_cpu_inc(cowmem_counts.value[counter]); }
HELPER void kapi_trace_fault(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome) { trace_cowmem_fault(vmf, kind, outcome); }
#ifdef COWMEM_KUNIT
HELPER void kapi_test_step(unsigned int step, struct vm_fault *vmf) { if (cowmem_test_step) cowmem_test_step(step, vmf); }
#else
HELPER void kapi_test_step(unsigned int step, struct vm_fault *vmf) { }
#endif
