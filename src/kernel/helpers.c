// SPDX-License-Identifier: GPL-2.0
/*
 * The helpers of kernel/kapi.h: one line each over the kernel's inlines and
 * macros. Compiled to bitcode and inlined into the C++ side; no logic here.
 */
#include <linux/blkdev.h>
#include <linux/cpuset.h>
#include <linux/falloc.h>
#include <linux/fadvise.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/interval_tree_generic.h>
#include <linux/iopoll.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/oom.h>
#include <linux/pagemap.h>
#include <linux/percpu_counter.h>
#include <linux/psi.h>
#include <linux/ptrace.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/uaccess.h>
#include <linux/uio.h>
#include <linux/xarray.h>
#include <asm/tlbflush.h>

#include "kernel/compat.h"
#include "kernel/kapi.h"
#include "kernel/large.h"
#include "kernel/module.h"
#include "kernel/symbols.h"
#ifdef COWMEM_KUNIT
#include "testing/testing.h"
#endif
#include "kernel/trace.h"

#define HELPER __always_inline

/* One line each, however long. */
/* clang-format off */

#define SAME(ours, kernels) static_assert((unsigned long)(ours) == (__force unsigned long)(kernels))
SAME(KAPI_VM_FAULT_OOM, VM_FAULT_OOM);
SAME(KAPI_VM_FAULT_SIGBUS, VM_FAULT_SIGBUS);
SAME(KAPI_VM_FAULT_MAJOR, VM_FAULT_MAJOR);
SAME(KAPI_VM_FAULT_HWPOISON, VM_FAULT_HWPOISON);
SAME(KAPI_VM_FAULT_NOPAGE, VM_FAULT_NOPAGE);
SAME(KAPI_VM_FAULT_LOCKED, VM_FAULT_LOCKED);
SAME(KAPI_VM_FAULT_RETRY, VM_FAULT_RETRY);
SAME(KAPI_VM_FAULT_FALLBACK, VM_FAULT_FALLBACK);
SAME(KAPI_VM_FAULT_DONE_COW, VM_FAULT_DONE_COW);
SAME(KAPI_MM_FILEPAGES, MM_FILEPAGES);
SAME(KAPI_MM_ANONPAGES, MM_ANONPAGES);
SAME(KAPI_FAULT_FLAG_WRITE, FAULT_FLAG_WRITE);
SAME(KAPI_FAULT_FLAG_ALLOW_RETRY, FAULT_FLAG_ALLOW_RETRY);
SAME(KAPI_FAULT_FLAG_RETRY_NOWAIT, FAULT_FLAG_RETRY_NOWAIT);
SAME(KAPI_FAULT_FLAG_KILLABLE, FAULT_FLAG_KILLABLE);
SAME(KAPI_FAULT_FLAG_TRIED, FAULT_FLAG_TRIED);
SAME(KAPI_PAGE_SHIFT, PAGE_SHIFT);
SAME(KAPI_ANY_NODE, NUMA_NO_NODE);
SAME(KAPI_FALLOC_KEEP_SIZE, FALLOC_FL_KEEP_SIZE);
SAME(KAPI_FALLOC_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE);
SAME(KAPI_FALLOC_ZERO_RANGE, FALLOC_FL_ZERO_RANGE);
SAME(KAPI_FADV_WILLNEED, POSIX_FADV_WILLNEED);
SAME(KAPI_FADV_DONTNEED, POSIX_FADV_DONTNEED);
SAME(KAPI_FADV_NOREUSE, POSIX_FADV_NOREUSE);
SAME(KAPI_SEEK_DATA, SEEK_DATA);
SAME(KAPI_SEEK_HOLE, SEEK_HOLE);
SAME(KAPI_NOTIFY_CLEAR, MMU_NOTIFY_CLEAR);
SAME(KAPI_NOTIFY_PROTECTION_PAGE, MMU_NOTIFY_PROTECTION_PAGE);
SAME(KAPI_EPERM, EPERM);
SAME(KAPI_ENOENT, ENOENT);
SAME(KAPI_EINTR, EINTR);
SAME(KAPI_EIO, EIO);
SAME(KAPI_ENXIO, ENXIO);
SAME(KAPI_E2BIG, E2BIG);
SAME(KAPI_EBADF, EBADF);
SAME(KAPI_EAGAIN, EAGAIN);
SAME(KAPI_ENOMEM, ENOMEM);
SAME(KAPI_EACCES, EACCES);
SAME(KAPI_EFAULT, EFAULT);
SAME(KAPI_EEXIST, EEXIST);
SAME(KAPI_EBUSY, EBUSY);
SAME(KAPI_EHWPOISON, EHWPOISON);
SAME(KAPI_ENODEV, ENODEV);
SAME(KAPI_EINVAL, EINVAL);
SAME(KAPI_ENOTTY, ENOTTY);
SAME(KAPI_EFBIG, EFBIG);
SAME(KAPI_ENOSPC, ENOSPC);
SAME(KAPI_EROFS, EROFS);
SAME(KAPI_ENAMETOOLONG, ENAMETOOLONG);
SAME(KAPI_EMLINK, EMLINK);
SAME(KAPI_EBADE, EBADE);
SAME(KAPI_ENODATA, ENODATA);
SAME(KAPI_ESTALE, ESTALE);
SAME(KAPI_EDQUOT, EDQUOT);
SAME(KAPI_EOVERFLOW, EOVERFLOW);
SAME(KAPI_EOPNOTSUPP, EOPNOTSUPP);
#undef SAME

/* Pages of an object are unmovable user pages, charged to whoever makes them. */
#define OBJECT_PAGE_GFP(zeroed) (GFP_HIGHUSER | __GFP_ACCOUNT | ((zeroed) ? __GFP_ZERO : 0))

/* The kernel's iterators over its own trees are not exported; these are the same over the same nodes. */
#define vma_first(vma) ((vma)->vm_pgoff)
#define vma_last(vma) ((vma)->vm_pgoff + vma_pages(vma) - 1)
#define avc_first(avc) vma_start_anon_pgoff((avc)->vma)
#define avc_last(avc) (avc_first(avc) + vma_pages((avc)->vma) - 1)
INTERVAL_TREE_DEFINE(struct vm_area_struct, shared.rb, unsigned long, shared.rb_subtree_last, vma_first, vma_last, static __maybe_unused, cowmem_vma)
INTERVAL_TREE_DEFINE(struct anon_vma_chain, rb, unsigned long, rb_subtree_last, avc_first, avc_last, static __maybe_unused, cowmem_avc)

/* x86 has these out of line and unexported; it does not flush TLBs for a young bit (arch/x86/mm/). */
#ifdef CONFIG_X86
#define flush_tlb_range(vma, start, end) cowmem_symbol_call(flush_tlb_mm_range)((vma)->vm_mm, start, end, PAGE_SHIFT, false)
#define clear_young(vma, address, entry) (pte_young(ptep_get(entry)) && test_and_clear_bit(_PAGE_BIT_ACCESSED, (unsigned long *)&(entry)->pte))
#else
#define clear_young ptep_clear_flush_young
#endif

/*
 * A pointer that C++ has is to the page that it is about, which may be a part of a large folio: what
 * that has once for all of its parts is in its first one. Until there is one (kernel/large.h), nobody looks.
 *
 * The compiler takes the answer for one that depends on the pointer alone. So a function that has asked once,
 * and goes another way then, does not ask again. Who made the first large folio waited before until no CPU
 * could have an older answer for a pointer to a part.
 */
#ifdef CONFIG_X86
#define LOAD_LARGE_USED "movzbl cowmem_large_used(%%rip), %k0"
#else
#define LOAD_LARGE_USED "adrp %0, cowmem_large_used\n\tldrb %w0, [%0, :lo12:cowmem_large_used]"
#endif
HELPER bool large_used(const struct folio *part) { unsigned long used; asm(LOAD_LARGE_USED : "=r"(used) : "r"(part)); return used; }
#define has_large(part) (compat_has_large && unlikely(large_used(part)))
HELPER bool kapi_may_be_large(const struct folio *part) { return has_large(part); }
HELPER bool is_large(const struct folio *part) { return has_large(part) && PageCompound((struct page *)&part->page); }
HELPER struct folio *whole(const struct folio *part) { return has_large(part) ? page_folio((struct page *)&part->page) : (struct folio *)part; }
HELPER unsigned long part_of(const struct folio *part) { return has_large(part) ? (unsigned long)(&part->page - &whole(part)->page) : 0; }

/* --- struct vm_fault and struct vm_area_struct --- */
HELPER struct vm_area_struct *kapi_vmf_vma(const struct vm_fault *vmf) { return vmf->vma; }
HELPER struct page *kapi_vmf_cow_page(const struct vm_fault *vmf) { return vmf->cow_page; }
HELPER struct folio *kapi_vmf_folio(const struct vm_fault *vmf) { return (struct folio *)vmf->page; }
HELPER unsigned int kapi_vmf_flags(const struct vm_fault *vmf) { return vmf->flags; }
HELPER unsigned long kapi_vmf_pgoff(const struct vm_fault *vmf) { return vmf->pgoff; }
HELPER void kapi_vmf_set_folio(struct vm_fault *vmf, struct folio *folio) { vmf->page = &folio->page; }
HELPER void kapi_vmf_unlock(struct vm_fault *vmf) { release_fault_lock(vmf); }
HELPER struct file *kapi_vma_file(const struct vm_area_struct *vma) { return vma->vm_file; }
HELPER unsigned long kapi_vma_first_index(const struct vm_area_struct *vma) { return vma->vm_pgoff; }
HELPER unsigned long kapi_vma_first_copy_index(const struct vm_area_struct *vma) { return vma_start_anon_pgoff(vma); }
HELPER unsigned long kapi_vma_end_index(const struct vm_area_struct *vma) { return vma->vm_pgoff + ((vma->vm_end - vma->vm_start) >> PAGE_SHIFT); }
HELPER unsigned long kapi_vma_pages(const struct vm_area_struct *vma) { return (vma->vm_end - vma->vm_start) >> PAGE_SHIFT; }
HELPER unsigned long kapi_vma_private(const struct vm_area_struct *vma) { return (unsigned long)vma->vm_private_data; }
HELPER void kapi_vma_set_private(struct vm_area_struct *vma, unsigned long value) { vma->vm_private_data = (void *)value; }
HELPER const struct vm_operations_struct *file_ops(const struct vm_area_struct *vma, bool pinnable) { return pinnable && vma->vm_flags & VM_SHARED ? &cowmem_pinnable_vm_ops : vma->vm_flags & VM_MAYSHARE ? &cowmem_file_vm_ops : &cowmem_private_vm_ops; }
HELPER void kapi_vma_set_ops(struct vm_area_struct *vma, bool pinnable) { vma->vm_ops = S_ISREG(file_inode(vma->vm_file)->i_mode) ? file_ops(vma, pinnable) : &cowmem_vm_ops; }
HELPER bool kapi_vma_pinnable(const struct vm_area_struct *vma) { return !vma->vm_ops->page_mkwrite; }
HELPER bool kapi_vma_thp_disabled(struct vm_area_struct *vma) { return !compat_has_large || cowmem_thp_disabled(vma); }
HELPER void kapi_vma_set_large_ops(struct vm_area_struct *vma, bool always) { if (compat_has_large) cowmem_set_large_ops(vma, always); }
HELPER struct mm_struct *kapi_vma_mm(const struct vm_area_struct *vma) { return vma->vm_mm; }
HELPER unsigned long kapi_vma_start(const struct vm_area_struct *vma) { return vma->vm_start; }
HELPER unsigned int kapi_vmf_ask_user_space(struct vm_fault *vmf, bool missing) { return (__force unsigned int)cowmem_ask_user_space(vmf, missing ? VM_UFFD_MISSING : VM_UFFD_MINOR); }
HELPER bool kapi_vma_has_recency(const struct vm_area_struct *vma) { return vma_has_recency((struct vm_area_struct *)vma); }
HELPER bool kapi_vma_maps_privately(const struct vm_area_struct *vma, const struct address_space *mapping) { return vma->vm_file && vma->vm_file->f_mapping == mapping && !(vma->vm_flags & VM_MAYSHARE); }

/* --- a mapping's flags --- */
HELPER unsigned long kapi_vma_flags(const struct vm_area_struct *vma) { return READ_ONCE(vma->vm_flags); }
HELPER bool kapi_vm_flags_shared(unsigned long flags) { return flags & VM_MAYSHARE; }
HELPER bool kapi_vm_flags_locked(unsigned long flags) { return flags & VM_LOCKED; }
HELPER bool kapi_vm_flags_reapable(unsigned long flags) { return !(flags & VM_SHARED); }
HELPER bool kapi_vm_flags_may_store(unsigned long flags) { return (flags & (VM_SHARED | VM_WRITE)) == (VM_SHARED | VM_WRITE); }
HELPER bool kapi_vm_flags_tracks_soft_dirty(unsigned long flags) { return IS_ENABLED(CONFIG_MEM_SOFT_DIRTY) && !(flags & VM_SOFTDIRTY); }
HELPER bool kapi_vm_flags_asks_for_large(unsigned long flags) { return flags & VM_HUGEPAGE; }
HELPER bool kapi_vm_flags_refuses_large(unsigned long flags) { return flags & VM_NOHUGEPAGE; }
HELPER bool kapi_vm_flags_may_map_around(unsigned long flags) { return !(flags & (VM_UFFD_WP | VM_UFFD_MINOR | VM_UFFD_RWP)); }
HELPER bool kapi_vm_flags_asks_for_missing(unsigned long flags) { return compat_has_uffd_ops && flags & VM_UFFD_MISSING; }
HELPER bool kapi_vm_flags_asks_for_minor(unsigned long flags) { return compat_has_uffd_ops && flags & VM_UFFD_MINOR; }


/* On x86 without ERMS the kernel's copy recovers from a machine check only if it was made to (mce=recovery, or a quirk of old servers), which no module can ask; otherwise it is a slow memcpy(). */
#ifdef CONFIG_X86
#define copy_recovers() boot_cpu_has(X86_FEATURE_ERMS)
#else
#define copy_recovers() true
#endif
HELPER int kapi_vmf_copy_cow_page(const struct vm_fault *vmf, struct folio *source) { return copy_recovers() ? copy_mc_user_highpage(vmf->cow_page, &source->page, vmf->address, vmf->vma) : (copy_user_highpage(vmf->cow_page, &source->page, vmf->address, vmf->vma), 0); }
HELPER void kapi_vmf_clear_cow_page(const struct vm_fault *vmf) { clear_user_highpage(vmf->cow_page, vmf->address); }
HELPER void kapi_vmf_cow_page_uptodate(const struct vm_fault *vmf) { __folio_mark_uptodate(page_folio(vmf->cow_page)); }
HELPER unsigned int kapi_finish_fault(struct vm_fault *vmf) { return (__force unsigned int)cowmem_symbol_call(finish_fault)(vmf); }

/* --- the page table under a fault --- */
HELPER bool kapi_vmf_has_table(const struct vm_fault *vmf) { return vmf->prealloc_pte; }
HELPER bool kapi_vmf_entry_maps_page(const struct vm_fault *vmf) { return pte_present(vmf->orig_pte) && vmf->page && pte_pfn(vmf->orig_pte) == page_to_pfn(vmf->page); }
HELPER unsigned long kapi_vmf_address(const struct vm_fault *vmf) { return vmf->address; }
HELPER unsigned long kapi_vmf_pte_index(const struct vm_fault *vmf) { return pte_index(vmf->address); }
HELPER struct folio *kapi_vmf_cow_folio(const struct vm_fault *vmf) { return page_folio(vmf->cow_page); }
HELPER bool kapi_mm_reaped(const struct mm_struct *mm) { return check_stable_address_space((struct mm_struct *)mm); }
HELPER void kapi_pmd_install(struct vm_fault *vmf) { cowmem_symbol_call(pmd_install)(vmf->vma->vm_mm, vmf->pmd, &vmf->prealloc_pte); }
HELPER pmd_t *kapi_vmf_pmd(const struct vm_fault *vmf) { return vmf->pmd; }
HELPER void kapi_vmf_set_pte(struct vm_fault *vmf, pte_t *pte) { vmf->pte = pte; }
HELPER void kapi_pte_install_copy(struct vm_fault *vmf) { cowmem_install_copy(vmf); }
HELPER bool kapi_pte_changed(const struct vm_fault *vmf) { return vmf->flags & FAULT_FLAG_ORIG_PTE_VALID ? !pte_same(ptep_get(vmf->pte), vmf->orig_pte) : !pte_none(ptep_get(vmf->pte)); }
HELPER bool kapi_pte_replaced(const struct vm_fault *vmf) { return !pte_same(ptep_get(vmf->pte), vmf->orig_pte); }
/* Not maybe_mkwrite(): page_mkwrite is for writable mappings only, and none of ours is a shadow stack. */
#ifndef CONFIG_X86
#define pte_clear_saveddirty(pte) (pte)
#endif
HELPER pte_t written(pte_t pte) { return pte_mkdirty(pte_clear_saveddirty(pte_mkwrite_novma(pte_mkyoung(pte)))); }
HELPER unsigned long kapi_pte_written(unsigned long pte) { return pte_val(written(__pte(pte))); }
HELPER void kapi_pte_make_writable(struct vm_fault *vmf) { if (cowmem_set_access_flags(vmf->vma, vmf->address, vmf->pte, written(vmf->orig_pte))) update_mmu_cache_range(vmf, vmf->vma, vmf->address, vmf->pte, 1); }

HELPER bool kapi_vmf_write_protected(const struct vm_fault *vmf) { return (vmf->flags & FAULT_FLAG_ORIG_PTE_VALID) && pte_is_uffd_wp_marker(vmf->orig_pte); }
/* Only the architectures that want them old say so in a header. */
#ifndef arch_wants_old_prefaulted_pte
#define arch_wants_old_prefaulted_pte() false
#endif
HELPER bool kapi_neighbours_start_old(void) { return arch_wants_old_prefaulted_pte(); }

/* --- folios --- */
HELPER struct folio *kapi_zero_folio(void) { return page_folio(ZERO_PAGE(0)); }
HELPER struct folio *kapi_folio_alloc(bool zeroed) { return folio_alloc(OBJECT_PAGE_GFP(zeroed), 0); }
HELPER struct folio *kapi_folio_alloc_near(int node) { return __folio_alloc_node(OBJECT_PAGE_GFP(false), 0, node); }
#define AHEAD_GFP ((OBJECT_PAGE_GFP(false) & ~__GFP_DIRECT_RECLAIM) | __GFP_NOWARN)
HELPER struct folio *kapi_folio_alloc_ahead(int node) { return node == KAPI_ANY_NODE ? folio_alloc(AHEAD_GFP, 0) : __folio_alloc_node(AHEAD_GFP | __GFP_THISNODE, 0, node); }
HELPER struct folio *kapi_folio_alloc_for(const struct vm_fault *vmf, bool zeroed) { return vma_policy(vmf->vma) ? vma_alloc_folio(OBJECT_PAGE_GFP(zeroed), 0, vmf->vma, vmf->address) : kapi_folio_alloc(zeroed); }
HELPER bool kapi_vma_has_policy(const struct vm_area_struct *vma) { return vma_policy(vma); }
HELPER void kapi_folio_get(struct folio *folio) { folio_get(whole(folio)); }
HELPER bool kapi_folio_try_get(struct folio *folio) { return has_large(folio) && PageTail(&folio->page) ? cowmem_part_try_get(folio) : folio_try_get(folio); }
HELPER void kapi_cpu_relax(void) { cpu_relax(); }
HELPER bool kapi_folio_locked(const struct folio *folio) { return folio_test_locked(whole(folio)); }
HELPER bool kapi_folio_locked_atomic(struct folio *folio) { return atomic_long_fetch_add(0, (atomic_long_t *)folio_flags_word(whole(folio))) & BIT(PG_locked); }
HELPER void kapi_folio_put(struct folio *folio) { folio_put(whole(folio)); }
HELPER void kapi_folio_lock(struct folio *folio) { folio_lock(whole(folio)); }
HELPER void kapi_folio_unlock(struct folio *folio) { folio_unlock(whole(folio)); }
HELPER void kapi_folio_mark_uptodate(struct folio *folio) { __folio_mark_uptodate(folio); }
HELPER void kapi_folio_mark_dirty(struct folio *folio) { folio_mark_dirty(whole(folio)); }
HELPER bool kapi_folio_poisoned(const struct folio *folio) { return PageHWPoison(&folio->page); }
HELPER struct address_space *kapi_folio_mapping(const struct folio *folio) { return has_large(folio) ? cowmem_part_mapping(folio) : READ_ONCE(folio->mapping); }
HELPER unsigned long kapi_folio_index(const struct folio *folio) { return READ_ONCE(whole(folio)->index) + part_of(folio); }
HELPER bool kapi_folio_uptodate(const struct folio *folio) { return folio_test_uptodate(whole(folio)); }
HELPER bool kapi_folio_dirty(const struct folio *folio) { return folio_test_dirty(whole(folio)); }
HELPER bool kapi_folio_mapped(const struct folio *folio) { return folio_mapped(whole(folio)); }
HELPER void kapi_folio_attach(struct folio *folio, struct address_space *mapping, unsigned long index) { INIT_LIST_HEAD(&folio->lru); WRITE_ONCE(folio->index, index); WRITE_ONCE(folio->mapping, mapping); }
HELPER void kapi_folio_rehome(struct folio *folio, struct address_space *mapping) { smp_store_release(&whole(folio)->mapping, mapping); } /* with who loads it, and then what was done before */
HELPER void kapi_folio_detach(struct folio *folio) { WRITE_ONCE(whole(folio)->mapping, NULL); }
HELPER void kapi_folio_zero_range(struct folio *folio, size_t offset, size_t length) { folio_zero_range(folio, offset, length); }
HELPER atomic_long_t *names_of(const struct folio *folio) { return (atomic_long_t *)&folio->private; }
HELPER unsigned long kapi_folio_names(const struct folio *folio) { return is_large(folio) ? cowmem_large_names(folio) : atomic_long_read(names_of(folio)); }
HELPER void kapi_folio_set_names(struct folio *folio, unsigned long names) { if (is_large(folio)) cowmem_large_forget_names(folio); else atomic_long_set(names_of(folio), names); }
HELPER void kapi_folio_add_name(struct folio *folio) { if (is_large(folio)) cowmem_large_add_name(folio); else atomic_long_inc(names_of(folio)); }
HELPER bool kapi_folio_try_add_name(struct folio *folio) { return !is_large(folio) && atomic_long_inc_not_zero(names_of(folio)); }
HELPER bool kapi_folio_drop_name(struct folio *folio) { return is_large(folio) ? cowmem_large_drop_name(folio) : atomic_long_dec_and_test(names_of(folio)); }
HELPER size_t kapi_folio_copy_to_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *to) { return copy_folio_to_iter(folio, offset, n, to); }
HELPER size_t kapi_folio_copy_from_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *from) { size_t copied = copy_page_from_iter(&folio->page, offset, n, from); flush_dcache_folio(whole(folio)); return copied; }
HELPER bool kapi_folio_trylock(struct folio *folio) { return folio_trylock(whole(folio)); }
HELPER bool kapi_folio_lock_soon(struct folio *f) { bool got; return !read_poll_timeout(folio_trylock, got, got, 10000, 1000000, false, whole(f)); }
HELPER unsigned long kapi_folio_pfn(const struct folio *folio) { return folio_pfn((struct folio *)folio); }
/* The node is in one word with the page's flags, and never changes as they do. */
HELPER int kapi_folio_node(const struct folio *folio) { return data_race(folio_nid(folio)); }
HELPER unsigned int kapi_folio_mapcount(const struct folio *folio) { return folio_mapcount(whole(folio)); }
HELPER bool kapi_folio_maybe_pinned(const struct folio *folio) { return is_large(folio) ? cowmem_large_maybe_pinned(folio) : folio_ref_count(folio) - folio_mapcount(folio) >= (int)GUP_PIN_COUNTING_BIAS; }
HELPER void kapi_folio_poison(struct folio *folio) { if (is_large(folio)) cowmem_large_note_poison(folio); SetPageHWPoison(&folio->page); }
HELPER bool kapi_folio_written(const struct folio *folio) { return folio_test_checked(whole(folio)); }
HELPER void kapi_folio_keep_written(struct folio *folio) { folio_set_checked(whole(folio)); }
HELPER void kapi_folio_set_dirty(struct folio *folio) { folio_set_dirty(whole(folio)); }
HELPER bool kapi_folio_take_dirty(struct folio *folio) { return folio_test_clear_dirty(whole(folio)); }
HELPER void kapi_folio_mark_written(struct folio *folio) { cowmem_mark_written(whole(folio)); }
HELPER bool kapi_folio_try_begin_page_out(struct folio *folio) { return !test_and_set_bit_lock(PG_owner_2, folio_flags_word(whole(folio))); }
HELPER void kapi_folio_end_page_out(struct folio *folio) { clear_bit_unlock(PG_owner_2, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_going_out(const struct folio *folio) { return test_bit(PG_owner_2, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_has_mark(const struct folio *folio) { return READ_ONCE(*folio_flags_word(whole(folio))) & (BIT(PG_checked) | BIT(PG_dirty) | BIT(PG_owner_2)); }
HELPER int kapi_folio_references(const struct folio *folio) { return folio_ref_count(whole(folio)); }
HELPER bool kapi_folio_refused(const struct folio *folio) { return test_bit(PG_private_2, folio_flags_word(whole(folio))); }
HELPER void kapi_folio_set_refused(struct folio *folio) { set_bit(PG_private_2, folio_flags_word(whole(folio))); }
HELPER void kapi_folio_forget_refused(struct folio *folio) { if (kapi_folio_refused(folio)) clear_bit(PG_private_2, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_referenced(const struct folio *folio) { return folio_test_referenced(whole(folio)); }
HELPER bool kapi_folio_take_referenced(struct folio *folio) { return folio_test_clear_referenced(whole(folio)); }
HELPER void kapi_folio_mark_referenced(struct folio *folio) { struct folio *all = whole(folio); if (!folio_test_referenced(all)) folio_set_referenced(all); }
HELPER void kapi_folio_mark_ahead(struct folio *folio) { set_bit(PG_readahead, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_take_ahead(struct folio *folio) { return test_bit(PG_readahead, folio_flags_word(whole(folio))) && test_and_clear_bit(PG_readahead, folio_flags_word(whole(folio))); }
HELPER void kapi_folio_mark_working(struct folio *folio) { if (!folio_test_workingset(whole(folio))) folio_set_workingset(whole(folio)); }
HELPER bool kapi_folio_take_working(struct folio *folio) { return folio_test_workingset(whole(folio)) && test_and_clear_bit(PG_workingset, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_mlocked(const struct folio *folio) { return folio_test_mlocked(whole(folio)); }
HELPER void *kapi_folio_map(struct folio *folio) { return kmap_local_folio(folio, 0); }
HELPER void kapi_folio_unmap(const void *bytes) { kunmap_local(bytes); }
HELPER void kapi_folio_flush(struct folio *folio) { flush_dcache_folio(whole(folio)); }
HELPER bool kapi_folio_take_written(struct folio *folio) { return test_and_clear_bit(PG_checked, folio_flags_word(whole(folio))); }
HELPER bool kapi_folio_freeze(struct folio *folio, int count) { return folio_ref_freeze(whole(folio), count); }
HELPER void kapi_folio_unfreeze(struct folio *folio, int count) { folio_ref_unfreeze(whole(folio), count); }
/* Of a folio, the kernel's would copy all. */
#if compat_has_large
#define copy_page(to, from) (copy_mc_highpage(&(to)->page, &(from)->page) ? -EHWPOISON : 0)
#else
#define copy_page(to, from) folio_mc_copy(to, from)
#endif
HELPER int kapi_folio_copy(struct folio *to, struct folio *from) { return copy_recovers() ? copy_page(to, from) : (copy_highpage(&to->page, &from->page), 0); }
HELPER struct folio *kapi_folio_alloc_on(int node) { return __folio_alloc_node(GFP_HIGHUSER | __GFP_ACCOUNT | __GFP_THISNODE | __GFP_NORETRY | __GFP_NOWARN, 0, node); }
HELPER void kapi_folio_add_rmap(struct folio *folio, struct vm_area_struct *vma) { cowmem_add_rmap(whole(folio), &folio->page, vma); }
#ifdef CONFIG_MEMCG
#define charged_alike(a, b) (READ_ONCE((a)->memcg_data) == READ_ONCE((b)->memcg_data))
#else
#define charged_alike(a, b) true
#endif
HELPER bool kapi_folio_inc_mapcount(struct folio *folio) { return atomic_inc_and_test(&folio->_mapcount); }
HELPER bool kapi_folio_counts_like(const struct folio *a, const struct folio *b) { return charged_alike(a, b) && kapi_folio_node(a) == kapi_folio_node(b); }
HELPER void kapi_folio_count_mapped(struct folio *folio, int n) { lruvec_stat_mod_folio(folio, NR_FILE_MAPPED, n); }
HELPER void kapi_folio_remove_rmap(struct folio *folio, struct vm_area_struct *vma) { cowmem_remove_rmap(whole(folio), &folio->page, vma); }
HELPER bool kapi_folio_is_copy(const struct folio *folio) { return folio_test_anon(folio) && !folio_test_ksm(folio) && !folio_test_large(folio); }
HELPER struct folio *kapi_page_folio(struct page *page) { return page_folio(page); }
HELPER void kapi_drain_folio_batches(void) { cowmem_symbol_call(lru_add_drain)(); }
HELPER void kapi_drain_folio_batches_everywhere(void) { cowmem_symbol_call(lru_add_drain_all)(); }

/* --- large folios --- */
HELPER bool kapi_has_large(void) { return compat_has_large && cowmem_large_is_possible(); }
HELPER void kapi_large_begin(void) { if (compat_has_large) cowmem_large_begin(); }
HELPER bool kapi_large_wanted_unasked(void) { return READ_ONCE(cowmem_parameters.collapse); }
HELPER bool kapi_folio_is_large(const struct folio *part) { return is_large(part); }
HELPER unsigned int kapi_folio_pages(const struct folio *part) { return is_large(part) ? KAPI_LARGE_PAGES : 1; }
HELPER struct folio *kapi_folio_whole(struct folio *part) { return whole(part); }
HELPER struct folio *kapi_folio_part(struct folio *large, unsigned int i) { return (struct folio *)(&large->page + i); }
HELPER unsigned long kapi_folio_all_names(const struct folio *part) { return is_large(part) ? cowmem_large_all_names(part) : kapi_folio_names(part); }
HELPER bool kapi_folio_leave_part(struct folio *part) { return !is_large(part) || cowmem_large_leave_part(part); }
HELPER struct mutex *kapi_large_lock_turn(const struct address_space *mapping, unsigned long index) { struct mutex *turn = compat_has_large ? cowmem_large_turn(mapping, index) : NULL; return turn && !mutex_lock_killable(turn) ? turn : NULL; }
HELPER void kapi_large_unlock_turn(struct mutex *turn) { if (turn) mutex_unlock(turn); }
HELPER struct folio *kapi_large_alloc(const struct vm_fault *vmf) { return compat_has_large ? cowmem_large_alloc(vmf) : NULL; }
HELPER struct folio *kapi_large_alloc_to_write(bool zeroed) { return compat_has_large ? cowmem_large_alloc_to_write(zeroed) : NULL; }
HELPER struct folio *kapi_large_alloc_on(int node, bool zeroed) { return compat_has_large ? cowmem_large_alloc_on(node, zeroed) : NULL; }
HELPER struct folio *kapi_large_alloc_as(struct folio *page) { return compat_has_large ? cowmem_large_alloc_as(page) : NULL; }
HELPER struct folio *kapi_leaf_alloc(void) { return compat_has_large ? cowmem_leaf_alloc() : NULL; }
HELPER bool kapi_huge_sizes_have_block(void) { return READ_ONCE(cowmem_parameters.huge_sizes) & PMD_SIZE; }
HELPER bool kapi_huge_sizes_have_leaf(void) { return READ_ONCE(cowmem_parameters.huge_sizes) & KAPI_LEAF_SIZE; }
HELPER void kapi_vma_free_empty_table(struct vm_area_struct *vma, unsigned long index) { if (compat_has_large) cowmem_free_empty_table(vma, index); }
HELPER void kapi_large_abandon(struct folio *large) { if (compat_has_large) cowmem_large_abandon(large); }
HELPER void kapi_large_attach(struct folio *large, struct address_space *mapping, unsigned long index) { if (compat_has_large) cowmem_large_attach(large, mapping, index); }
HELPER void kapi_large_unattach(struct folio *large) { folio_ref_sub(large, KAPI_LARGE_PAGES); }
HELPER bool kapi_large_break(struct folio *large, unsigned int *unnamed) { return compat_has_large && cowmem_large_break(large, unnamed); }
HELPER bool kapi_pmd_is_huge(unsigned long pmd) { return compat_has_large && pmd_trans_huge(__pmd(pmd)); }
HELPER unsigned long kapi_pmd_part(struct vm_area_struct *vma, unsigned long pmd, unsigned long address) { return compat_has_large ? cowmem_pmd_part(vma, pmd, address) : 0; }
HELPER bool kapi_pmd_protect(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address, bool *dirty) { *dirty = false; return compat_has_large && cowmem_pmd_protect(vma, pmd, address, dirty); }
HELPER void kapi_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address) { if (compat_has_large) cowmem_pmd_split(vma, pmd, address); }
HELPER struct spinlock *kapi_pmd_lock(struct mm_struct *mm, pmd_t *pmd) { return (struct spinlock *)pmd_lock(mm, pmd); }
HELPER bool kapi_vmf_fits_block(const struct vm_fault *vmf) { return compat_has_large && cowmem_fits_block(vmf); }
HELPER bool kapi_vmf_pmd_none(const struct vm_fault *vmf) { return pmd_none(*vmf->pmd); }
HELPER void kapi_vmf_map_block(struct vm_fault *vmf, struct folio *large, bool write) { if (compat_has_large) cowmem_map_block(vmf, large, write); }
HELPER bool kapi_large_has_failed(const struct folio *large) { return compat_has_large && cowmem_large_has_failed(large); }
HELPER bool kapi_large_poisoned(struct folio *large) { return compat_has_large && cowmem_large_poisoned(large); }
HELPER bool kapi_vma_asks_user_space(struct vm_area_struct *vma) { return userfaultfd_armed(vma); }

/* --- locks --- */
static_assert(sizeof(struct kapi_rwsem) >= sizeof(struct rw_semaphore));
static struct lock_class_key object_lock, limits_lock, set_lock, spinlock_class;
HELPER struct rw_semaphore *rwsem_of(const struct kapi_rwsem *lock) { return (struct rw_semaphore *)lock; }
HELPER void kapi_rwsem_init(struct kapi_rwsem *lock, enum kapi_lock_class of) { if (of == KAPI_LOCK_OBJECT) __init_rwsem(rwsem_of(lock), "cowmem_object", &object_lock); else __init_rwsem(rwsem_of(lock), "cowmem_limits", &limits_lock); }
HELPER void kapi_rwsem_lock_shared(struct kapi_rwsem *lock) { down_read(rwsem_of(lock)); }
HELPER void kapi_rwsem_lock_shared_below(struct kapi_rwsem *lock) { down_read_nested(rwsem_of(lock), SINGLE_DEPTH_NESTING); }
HELPER int kapi_rwsem_lock_shared_killable(struct kapi_rwsem *lock) { return down_read_killable(rwsem_of(lock)); }
HELPER bool kapi_rwsem_trylock_shared(struct kapi_rwsem *lock) { return down_read_trylock(rwsem_of(lock)); }
HELPER void kapi_rwsem_unlock_shared(struct kapi_rwsem *lock) { up_read(rwsem_of(lock)); }
HELPER void kapi_rwsem_lock(struct kapi_rwsem *lock) { down_write(rwsem_of(lock)); }
HELPER int kapi_rwsem_lock_killable(struct kapi_rwsem *lock) { return down_write_killable(rwsem_of(lock)); }
HELPER void kapi_rwsem_unlock(struct kapi_rwsem *lock) { up_write(rwsem_of(lock)); }
struct lock_set { struct lockdep_map dep_map; };
static_assert(sizeof(struct kapi_lock_set) >= sizeof(struct lock_set));
HELPER struct lock_set *set_of(struct kapi_lock_set *set) { return (struct lock_set *)set; }
HELPER void kapi_lock_set_begin(struct kapi_lock_set *set) { lockdep_init_map(&set_of(set)->dep_map, "cowmem_set", &set_lock, 0); mutex_acquire(&set_of(set)->dep_map, 0, 0, _RET_IP_); }
HELPER void kapi_lock_set_end(struct kapi_lock_set *set) { mutex_release(&set_of(set)->dep_map, _RET_IP_); }
HELPER void kapi_rwsem_lock_of_set(struct kapi_rwsem *lock, struct kapi_lock_set *set) { down_write_nest_lock(rwsem_of(lock), set_of(set)); }
static_assert(sizeof(struct kapi_spinlock) >= sizeof(spinlock_t));
HELPER spinlock_t *spinlock_of(struct kapi_spinlock *lock) { return (spinlock_t *)lock; }
HELPER void kapi_spinlock_init(struct kapi_spinlock *lock) { spin_lock_init(spinlock_of(lock)); lockdep_set_class(spinlock_of(lock), &spinlock_class); }
HELPER bool kapi_spinlock_is_locked(struct kapi_spinlock *lock) { return spin_is_locked(spinlock_of(lock)); }
HELPER void kapi_spinlock_lock(struct kapi_spinlock *lock) { spin_lock(spinlock_of(lock)); }
HELPER void kapi_spinlock_unlock(struct kapi_spinlock *lock) { spin_unlock(spinlock_of(lock)); }

/* What need not come out of the reserves is had without, also by who may. */
#define STORE_GFP(reserves) (GFP_NOWAIT | __GFP_NOWARN | ((reserves) ? 0 : __GFP_NOMEMALLOC))

/* --- a few numbers by their index --- */
static_assert(sizeof(struct kapi_values) >= sizeof(struct xarray));
HELPER struct xarray *values_of(const struct kapi_values *values) { return (struct xarray *)values; }
HELPER void kapi_values_init(struct kapi_values *values) { xa_init_flags(values_of(values), XA_FLAGS_ACCOUNT); }
HELPER void kapi_values_destroy(struct kapi_values *values) { xa_destroy(values_of(values)); }
HELPER bool kapi_values_empty(const struct kapi_values *values) { return xa_empty(values_of(values)); }
HELPER unsigned long kapi_values_get(struct kapi_values *values, unsigned long index) { void *entry = xa_load(values_of(values), index); return entry ? xa_to_value(entry) : 0; }
HELPER bool kapi_values_make(struct kapi_values *values, unsigned long index) { return xa_insert(values_of(values), index, xa_mk_value(0), GFP_KERNEL) != -ENOMEM; }
HELPER bool kapi_values_take_next(struct kapi_values *values, unsigned long *index) { return xa_find(values_of(values), index, ULONG_MAX, XA_PRESENT) && xa_erase(values_of(values), *index); }
HELPER bool kapi_values_exchange(struct kapi_values *values, unsigned long index, unsigned long old, unsigned long fresh) { return xa_cmpxchg(values_of(values), index, xa_mk_value(old), xa_mk_value(fresh), 0) == xa_mk_value(old); }

/* --- a few things by their number --- */
HELPER struct xarray *table_of(const struct kapi_table *table) { return values_of(&table->xarray); }
HELPER void kapi_table_init(struct kapi_table *table) { xa_init_flags(table_of(table), XA_FLAGS_ALLOC1); }
HELPER void kapi_table_destroy(struct kapi_table *table) { xa_destroy(table_of(table)); }
HELPER void *kapi_table_get(struct kapi_table *table, unsigned long number) { return xa_load(table_of(table), number); }
HELPER bool kapi_table_put(struct kapi_table *table, unsigned long number, void *thing, bool reserves) { return !xa_insert(table_of(table), number, thing, STORE_GFP(reserves)); }
HELPER bool kapi_table_number(struct kapi_table *table, void *thing, unsigned int *number, bool reserves) { return !xa_alloc(table_of(table), number, thing, xa_limit_32b, STORE_GFP(reserves)); }
HELPER void kapi_table_remove(struct kapi_table *table, unsigned long number) { xa_erase(table_of(table), number); }
HELPER void *kapi_table_next(struct kapi_table *table, unsigned long *number) { return xa_find(table_of(table), number, ULONG_MAX, XA_PRESENT); }

/* --- nodes of trees --- */
HELPER void *kapi_node_alloc(bool leaf, bool may_reclaim) { return kmem_cache_alloc(leaf ? cowmem_leaf_cache : cowmem_node_cache, __GFP_ZERO | (may_reclaim ? GFP_KERNEL : GFP_NOWAIT | __GFP_NOWARN)); }
HELPER void kapi_node_free(void *node) { cowmem_node_free(node); }

/* --- the object's address_space --- */
HELPER void kapi_mapping_set_home(struct address_space *mapping, void *home) { mapping_owner(mapping) = home; }
HELPER void *kapi_mapping_home(const struct address_space *mapping) { return mapping_owner(mapping); }
HELPER int kapi_mapping_call_present(struct address_space *mapping) { return cowmem_mapping_call_present(mapping); }
HELPER void kapi_mapping_unmap(struct address_space *mapping, unsigned long long offset, unsigned long long length, bool private_copies) { unmap_mapping_range(mapping, offset, length, private_copies); }
HELPER bool kapi_mapping_mapped(struct address_space *mapping) { return mapping_mapped(mapping); }
HELPER struct inode *kapi_mapping_host(const struct address_space *mapping) { return mapping->host; }

/* --- the trees of VMAs --- */
HELPER void kapi_mapping_lock_vmas(struct address_space *mapping) { i_mmap_lock_read(mapping); }
HELPER void kapi_mapping_unlock_vmas(struct address_space *mapping) { i_mmap_unlock_read(mapping); }
HELPER struct vm_area_struct *kapi_mapping_first_vma(struct address_space *mapping, unsigned long first, unsigned long last) { return cowmem_vma_iter_first(&mapping->i_mmap, first, last); }
HELPER struct vm_area_struct *kapi_mapping_next_vma(struct vm_area_struct *vma, unsigned long first, unsigned long last) { return cowmem_vma_iter_next(vma, first, last); }
HELPER struct anon_vma *kapi_folio_anon_vma(const struct folio *folio) { return kapi_folio_is_copy(folio) ? (struct anon_vma *)((unsigned long)READ_ONCE(folio->mapping) & ~FOLIO_MAPPING_FLAGS) : NULL; }
HELPER bool kapi_anon_vma_try_get(struct anon_vma *anon_vma) { return atomic_inc_not_zero(&anon_vma->refcount); }
HELPER void kapi_anon_vma_put(struct anon_vma *anon_vma) { put_anon_vma(anon_vma); }
HELPER void kapi_anon_vma_lock(struct anon_vma *anon_vma) { anon_vma_lock_read(anon_vma); }
HELPER void kapi_anon_vma_unlock(struct anon_vma *anon_vma) { anon_vma_unlock_read(anon_vma); }
HELPER struct anon_vma_chain *kapi_anon_vma_first(struct anon_vma *anon_vma, unsigned long first, unsigned long last) { return cowmem_avc_iter_first(&anon_vma->rb_root, first, last); }
HELPER struct anon_vma_chain *kapi_anon_vma_next(struct anon_vma_chain *avc, unsigned long first, unsigned long last) { return cowmem_avc_iter_next(avc, first, last); }
HELPER struct vm_area_struct *kapi_anon_vma_vma(const struct anon_vma_chain *avc) { return avc->vma; }

/* --- address spaces and their page tables --- */
HELPER pgd_t *kapi_mm_pgd(struct mm_struct *mm, unsigned long address) { return pgd_offset(mm, address); }
HELPER p4d_t *kapi_pgd_p4d(pgd_t *pgd, unsigned long address) { return pgd_present(*pgd) ? p4d_offset(pgd, address) : NULL; }
HELPER pud_t *kapi_p4d_pud(p4d_t *p4d, unsigned long address) { return p4d_present(*p4d) ? pud_offset(p4d, address) : NULL; }
HELPER pmd_t *kapi_pud_pmd(pud_t *pud, unsigned long address) { return pud_present(*pud) ? pmd_offset(pud, address) : NULL; }
HELPER unsigned long kapi_pmd_get(pmd_t *pmd) { return pmd_val(pmdp_get_lockless(pmd)); }
HELPER bool kapi_pmd_is_table(unsigned long pmd) { return pmd_present(__pmd(pmd)) && !pmd_leaf(__pmd(pmd)) && !pmd_bad(__pmd(pmd)); }
HELPER struct spinlock *kapi_pmd_lockptr(struct mm_struct *mm, unsigned long pmd) { return pte_lockptr(mm, (pmd_t[]){__pmd(pmd)}); }
HELPER pte_t *kapi_pmd_pte(unsigned long pmd, unsigned long address) { return pte_offset_kernel((pmd_t[]){__pmd(pmd)}, address); }
HELPER unsigned long kapi_table_end(unsigned long address) { return (address & PMD_MASK) + PMD_SIZE; }
HELPER pte_t *kapi_pte_advance(pte_t *entry, long n) { return entry + n; }
HELPER unsigned long kapi_pte_get(pte_t *entry) { return pte_val(ptep_get(entry)); }
HELPER bool kapi_pte_none(unsigned long pte) { return pte_none(__pte(pte)); }
HELPER bool kapi_pte_present(unsigned long pte) { return pte_present(__pte(pte)); }
HELPER bool kapi_pte_young(unsigned long pte) { return pte_young(__pte(pte)); }
HELPER bool kapi_pte_dirty(unsigned long pte) { return pte_dirty(__pte(pte)); }
HELPER bool kapi_pte_write(unsigned long pte) { return pte_write(__pte(pte)); }
HELPER bool kapi_pte_uffd_wp(unsigned long pte) { return pte_uffd(__pte(pte)); }
HELPER bool kapi_pte_soft_dirty(unsigned long pte) { return pte_soft_dirty(__pte(pte)); }
HELPER unsigned long kapi_pte_pfn(unsigned long pte) { return pte_pfn(__pte(pte)); }
HELPER bool kapi_pte_maps_anon(unsigned long pte) { return is_zero_pfn(pte_pfn(__pte(pte))) || PageAnon(pte_page(__pte(pte))); }
HELPER unsigned long kapi_pte_cleaned(unsigned long pte) { return pte_val(pte_mkclean(pte_wrprotect(__pte(pte)))); }
HELPER unsigned long kapi_vma_protection(const struct vm_area_struct *vma) { return pgprot_val(READ_ONCE(vma->vm_page_prot)); }
HELPER unsigned long kapi_vma_protection_to_read(const struct vm_area_struct *vma) { return pgprot_val(vm_get_page_prot(vma->vm_flags & ~VM_SHARED)); }
HELPER __flatten unsigned long kapi_pte_of(struct folio *folio, unsigned long protection) { return pte_val(pte_mkold(mk_pte(&folio->page, __pgprot(protection)))); }
HELPER unsigned long kapi_pte_repoint(unsigned long pte, struct folio *folio) { return pte_val(pfn_pte(folio_pfn(folio), pte_pgprot(__pte(pte)))); }
HELPER __flatten unsigned long kapi_pte_of_young(struct folio *folio, unsigned long protection) { return pte_val(pte_mkyoung(mk_pte(&folio->page, __pgprot(protection)))); }
HELPER unsigned long kapi_pte_mkwrite(unsigned long pte) { return pte_val(pte_mkwrite_novma(__pte(pte))); }
HELPER unsigned long kapi_pte_mkuffd_wp(unsigned long pte) { return pte_val(pte_mkuffd(__pte(pte))); }
HELPER unsigned long kapi_pte_set_soft_dirty(unsigned long pte, bool soft_dirty) { return pte_val(soft_dirty ? pte_mksoft_dirty(__pte(pte)) : pte_clear_soft_dirty(__pte(pte))); }
HELPER bool kapi_swp_pte_migrates(unsigned long pte) { return softleaf_is_migration(softleaf_from_pte(__pte(pte))); }
HELPER bool kapi_swp_pte_poisons(unsigned long pte) { return softleaf_is_hwpoison(softleaf_from_pte(__pte(pte))); }
HELPER unsigned long kapi_swp_pte_pfn(unsigned long pte) { return softleaf_to_pfn(softleaf_from_pte(__pte(pte))); }
HELPER bool kapi_swp_pte_write(unsigned long pte) { return softleaf_is_migration_write(softleaf_from_pte(__pte(pte))); }
HELPER bool kapi_swp_pte_uffd_wp(unsigned long pte) { return pte_swp_uffd(__pte(pte)); }
HELPER bool kapi_swp_pte_soft_dirty(unsigned long pte) { return pte_swp_soft_dirty(__pte(pte)); }
HELPER unsigned long kapi_swp_pte_migration(unsigned long pfn, bool writable) { return pte_val(softleaf_to_pte(writable ? make_writable_migration_entry(pfn) : make_readable_migration_entry(pfn))); }
HELPER unsigned long kapi_swp_pte_mkuffd_wp(unsigned long pte) { return pte_val(pte_swp_mkuffd(__pte(pte))); }
HELPER unsigned long kapi_swp_pte_mksoft_dirty(unsigned long pte) { return pte_val(pte_swp_mksoft_dirty(__pte(pte))); }
HELPER unsigned long kapi_swp_pte_poison(struct folio *folio) { return pte_val(softleaf_to_pte(make_hwpoison_entry(&folio->page))); }
HELPER bool kapi_pte_clear_young(struct vm_area_struct *vma, unsigned long address, pte_t *entry) { int young = clear_young(vma, address, entry); young |= mmu_notifier_clear_flush_young(vma->vm_mm, address, address + PAGE_SIZE); return young; }
HELPER bool kapi_pmd_clear_young(struct vm_area_struct *vma, unsigned long address, pmd_t *pmd) { return compat_has_large && cowmem_pmd_clear_young(vma, address, pmd); }
HELPER unsigned long kapi_pte_get_and_clear(struct vm_area_struct *vma, unsigned long address, pte_t *entry) { return pte_val(ptep_get_and_clear(vma->vm_mm, address, entry)); }
HELPER void kapi_pte_clear(struct vm_area_struct *vma, unsigned long address, pte_t *entry) { pte_clear(vma->vm_mm, address, entry); }
HELPER void kapi_pte_set(struct vm_area_struct *vma, unsigned long address, pte_t *entry, unsigned long pte) { set_pte_at(vma->vm_mm, address, entry, __pte(pte)); }
HELPER void kapi_map_parts(struct vm_area_struct *vma, unsigned long address, pte_t *entries, struct folio *part, unsigned long first, unsigned int count) { if (compat_has_large) cowmem_map_parts(vma, address, entries, part, first, count); }
HELPER void kapi_pte_leave_marker(struct vm_area_struct *vma, unsigned long address, pte_t *entry, unsigned long pte) { if (userfaultfd_wp(vma) && (pte_present(__pte(pte)) ? pte_uffd(__pte(pte)) : pte_swp_uffd_any(__pte(pte)))) set_pte_at(vma->vm_mm, address, entry, make_pte_marker(PTE_MARKER_UFFD_WP)); }
/* Others who change these page tables know then that TLBs may not yet have what the tables say. */
HELPER void kapi_mm_begin_flush_later(struct mm_struct *mm) { inc_tlb_flush_pending(mm); }
HELPER void kapi_mm_end_flush_later(struct mm_struct *mm) { dec_tlb_flush_pending(mm); }
HELPER void kapi_flush_cache_page(struct vm_area_struct *vma, unsigned long address, struct folio *folio) { flush_cache_page(vma, address, folio_pfn(folio)); }
HELPER void kapi_flush_tlb_refusals(struct vm_area_struct *vma, unsigned long start, unsigned long end) { if (!IS_ENABLED(CONFIG_X86)) flush_tlb_range(vma, start, end); }
HELPER void kapi_flush_tlb_late(struct vm_area_struct *vma, unsigned long start, unsigned long end) { if (IS_ENABLED(CONFIG_PT_RECLAIM) && mm_tlb_flush_pending(vma->vm_mm)) flush_tlb_range(vma, start, end); }
HELPER bool kapi_empty_pmd_needs_lock(void) { return IS_ENABLED(CONFIG_PT_RECLAIM) || (compat_has_large && READ_ONCE(cowmem_large_used)); }
HELPER void kapi_flush_tlb_range(struct vm_area_struct *vma, unsigned long start, unsigned long end) { flush_tlb_range(vma, start, end); }
HELPER void kapi_update_mmu_cache(struct vm_area_struct *vma, unsigned long address, pte_t *entry) { update_mmu_cache(vma, address, entry); }
#ifdef CONFIG_MMU_NOTIFIER
static_assert(sizeof(struct kapi_notifier_range) >= sizeof(struct mmu_notifier_range));
#define RANGE(range) ((struct mmu_notifier_range *)(range)->opaque)
HELPER bool kapi_mm_has_notifiers(struct mm_struct *mm) { return mm_has_notifiers(mm); }
HELPER void kapi_notify_start(struct kapi_notifier_range *range, struct mm_struct *mm, unsigned long start, unsigned long end, enum kapi_notify event) { mmu_notifier_range_init(RANGE(range), (enum mmu_notifier_event)event, MMU_NOTIFIER_RANGE_BLOCKABLE, mm, start, end); cowmem_symbol_call(__mmu_notifier_invalidate_range_start)(RANGE(range)); }
HELPER void kapi_notify_end(struct kapi_notifier_range *range) { cowmem_notify_end(RANGE(range)); }
#else
HELPER bool kapi_mm_has_notifiers(struct mm_struct *mm) { return false; }
HELPER void kapi_notify_start(struct kapi_notifier_range *range, struct mm_struct *mm, unsigned long start, unsigned long end, enum kapi_notify event) { }
HELPER void kapi_notify_end(struct kapi_notifier_range *range) { }
#endif
HELPER void kapi_mm_update_peak(struct mm_struct *mm) { update_hiwater_rss(mm); }
/* What add_mm_counter() does, but for a tracepoint that is not exported. */
HELPER void kapi_rss_add(struct mm_struct *mm, enum kapi_mm_counter counter, long pages) { compat_add_rss(mm, counter, pages); }
HELPER bool kapi_mm_in_cgroup(struct mm_struct *mm, struct mem_cgroup *group) { return mm_match_cgroup(mm, group); }
#ifdef CONFIG_MEMCG
HELPER struct task_struct *kapi_mm_owner(const struct mm_struct *mm) { return rcu_dereference(mm->owner); }
#else
HELPER struct task_struct *kapi_mm_owner(const struct mm_struct *mm) { return NULL; }
#endif
HELPER const struct mm_struct *kapi_task_mm(const struct task_struct *task) { return READ_ONCE(task->mm); }
HELPER int kapi_task_pid(struct task_struct *task) { return task_tgid_vnr(task); }
HELPER bool kapi_task_readable(struct task_struct *task) { return cowmem_symbol_call(ptrace_may_access)(task, PTRACE_MODE_READ_FSCREDS | PTRACE_MODE_NOAUDIT); }
HELPER void kapi_own_mm_lock(void) { mmap_read_lock(current->mm); }
HELPER void kapi_own_mm_unlock(void) { mmap_read_unlock(current->mm); }
HELPER struct vm_area_struct *kapi_own_vma(unsigned long address) { return vma_lookup(current->mm, address); }
HELPER bool kapi_own_page(unsigned long address, struct page **page) { return get_user_pages_fast(address, 1, FOLL_NOFAULT, page) == 1; }

/* --- the object's inode --- */
HELPER int kapi_inode_create(const struct inode *like, struct inode **made) { return PTR_ERR_OR_ZERO(*made = cowmem_inode_create_like(like)); }
HELPER struct cowmem_space *kapi_inode_space(const struct inode *inode) { return inode->i_sb->s_fs_info; }
HELPER bool kapi_space_pinnable(const struct cowmem_space *space) { return READ_ONCE(space->pinnable); }
HELPER void kapi_space_get(struct cowmem_space *space) { refcount_inc(&space->references); }
HELPER void kapi_space_put(struct cowmem_space *space) { cowmem_space_put(space); }
HELPER unsigned int kapi_space_huge(const struct cowmem_space *space) { return READ_ONCE(space->huge); }
HELPER bool kapi_space_take_pages(struct cowmem_space *space, unsigned long pages) { return cowmem_limit_take(&space->pages, pages); }
HELPER void kapi_space_give_page(struct cowmem_space *space) { atomic_long_dec(&space->pages.used); }
HELPER void kapi_inode_set_snapshot(struct inode *inode) { inode->i_mode &= ~0222; inode->i_fop = &cowmem_snapshot_fops; }
HELPER void kapi_wake_pollers(void) { smp_mb(); cowmem_wake_pollers(); } /* with poll_snapshot() */
HELPER void kapi_inode_get(struct inode *inode) { ihold(inode); }
HELPER void kapi_inode_set_object(struct inode *inode, void *object) { inode->i_private = object; }
HELPER bool kapi_inode_is_only(const struct inode *inode) { return atomic_read(&inode->i_count) == 1; }
HELPER void kapi_inode_put(struct inode *inode) { iput(inode); }
HELPER bool kapi_inode_try_get(struct inode *inode) { return igrab(inode); }
HELPER struct super_block *kapi_inode_super_try_get(const struct inode *inode) { return atomic_inc_not_zero(&inode->i_sb->s_active) ? inode->i_sb : NULL; }
HELPER void kapi_super_put(struct super_block *super) { deactivate_super(super); }
HELPER bool kapi_folio_is_ours(const struct folio *folio) { return cowmem_folio_is_ours(folio); }
HELPER void *kapi_inode_object(const struct inode *inode) { return inode->i_private; }
HELPER struct address_space *kapi_inode_mapping(struct inode *inode) { return inode->i_mapping; }
HELPER unsigned long kapi_inode_number(const struct inode *inode) { return inode->i_ino; }
HELPER long long kapi_inode_size(const struct inode *inode) { return i_size_read(inode); }
HELPER void kapi_inode_set_size(struct inode *inode, long long bytes) { i_size_write(inode, bytes); }
HELPER bool kapi_inode_trylock(struct inode *inode) { return inode_trylock(inode); }
HELPER int kapi_inode_lock_killable(struct inode *inode) { return down_write_killable(&inode->i_rwsem); }
HELPER void kapi_inode_unlock(struct inode *inode) { inode_unlock(inode); }
HELPER void kapi_inode_lock_size(struct inode *inode) { spin_lock(&inode->i_lock); }
HELPER void kapi_inode_unlock_size(struct inode *inode) { spin_unlock(&inode->i_lock); }
HELPER long long kapi_max_bytes(void) { return COWMEM_MAX_BYTES; }

/* --- files and I/O --- */
HELPER void kapi_file_get(struct file *file) { get_file(file); }
HELPER void kapi_file_put(struct file *file) { fput(file); }
HELPER void *kapi_file_private(const struct file *file) { return file->private_data; }
HELPER bool kapi_file_readable(const struct file *file) { return file->f_mode & FMODE_READ; }
HELPER bool kapi_file_writable(const struct file *file) { return file->f_mode & FMODE_WRITE; }
HELPER void kapi_file_bind(struct file *file, struct inode *inode, void *object) { cowmem_file_bind(file, inode, object); }
HELPER int kapi_file_create(struct inode *inode, const struct file *by, const char *name, bool writable, struct file **made) { return cowmem_file_create(inode, by, name, writable, made); }
HELPER struct file *kapi_file_of_fd(int fd) { return fget(fd); }
HELPER bool kapi_file_is_ours(const struct file *file) { return cowmem_file_is_ours(file); }
HELPER int kapi_fd_reserve(void) { return get_unused_fd_flags(O_CLOEXEC); }
HELPER void kapi_fd_install(int fd, struct file *file) { fd_install(fd, file); }
HELPER void kapi_fd_cancel(int fd) { put_unused_fd(fd); }
HELPER bool kapi_vma_owns(const struct vm_area_struct *vma, const struct folio *folio) { return READ_ONCE(whole(folio)->mapping) == vma->vm_file->f_mapping; }
HELPER long long kapi_file_seek(struct file *file, long long offset, int whence, long long max, long long eof) { return generic_file_llseek_size(file, offset, whence, max, eof); }
HELPER long long kapi_file_set_position(struct file *file, long long position, long long max) { return vfs_setpos(file, position, max); }
HELPER struct file *kapi_iocb_file(const struct kiocb *iocb) { return iocb->ki_filp; }
HELPER long long kapi_iocb_position(const struct kiocb *iocb) { return iocb->ki_pos; }
HELPER void kapi_iocb_set_position(struct kiocb *iocb, long long position) { iocb->ki_pos = position; }
HELPER bool is_regular(const struct file *file) { return S_ISREG(file_inode(file)->i_mode); }
HELPER int kapi_file_modified(struct file *file) { return is_regular(file) ? file_modified(file) : 0; }
HELPER void kapi_file_accessed(struct file *file) { if (is_regular(file)) file_accessed(file); }
HELPER int kapi_file_may_reach(const struct file *file, long long bytes) { return inode_newsize_ok(file_inode(file), bytes); }
HELPER long kapi_iocb_write_checks(struct kiocb *iocb, struct iov_iter *from) { return generic_write_checks(iocb, from); }
HELPER size_t kapi_iter_count(const struct iov_iter *iter) { return iov_iter_count(iter); }
/* Whether something of the next @n bytes can be read: user memory is made present. */
HELPER bool kapi_iter_fault_in(const struct iov_iter *from, size_t n) { return fault_in_iov_iter_readable(from, n) < n; }
HELPER void kapi_iter_revert(struct iov_iter *iter, size_t n) { iov_iter_revert(iter, n); }
HELPER size_t kapi_iter_zero(struct iov_iter *to, size_t n) { return iov_iter_zero(n, to); }
HELPER int kapi_user_size(unsigned long arg, unsigned int *size) { return get_user(*size, (u32 __user *)arg); }
HELPER long kapi_user_get_string(char *to, size_t room, unsigned long arg) { return strncpy_from_user(to, (const char __user *)arg, room); }
HELPER int kapi_user_get(void *to, size_t known, unsigned long arg, size_t size) { return copy_struct_from_user(to, known, (void __user *)arg, size); }
HELPER int kapi_user_put(unsigned long arg, const void *from, size_t n) { return copy_to_user((void __user *)arg, from, n) ? -EFAULT : 0; }

/* --- the LRU of objects' pages --- */
#ifdef CONFIG_MEMCG
/* The cgroup that a page is charged to, under RCU. A page that it lost went to its parent, with its list. */
HELPER struct mem_cgroup *memcg_of(const struct folio *folio) { return folio_memcg((struct folio *)folio); }
HELPER bool lru_is_there(struct folio *folio) { struct mem_cgroup *memcg = memcg_of(folio); return memcg_kmem_id(memcg) < 0 || xa_load(&cowmem_lru.xa, memcg_kmem_id(memcg)); }
HELPER struct mem_cgroup *get_memcg_of(struct folio *folio) { return get_mem_cgroup_from_objcg(folio_objcg(folio)); }
HELPER int make_list(struct mem_cgroup *memcg, gfp_t gfp) { int err = cowmem_symbol_call(memcg_list_lru_alloc)(memcg, &cowmem_lru, gfp); mem_cgroup_put(memcg); return err; }
HELPER bool kapi_lru_prepare(struct folio *folio, bool ahead) { return !make_list(get_memcg_of(folio), ahead ? GFP_NOWAIT | __GFP_NOWARN : GFP_KERNEL); }
#else
HELPER struct mem_cgroup *memcg_of(const struct folio *folio) { return NULL; }
HELPER bool lru_is_there(struct folio *folio) { return true; }
HELPER bool kapi_lru_prepare(struct folio *folio, bool ahead) { return true; }
#endif
HELPER bool kapi_lru_add(struct folio *folio) { bool there; rcu_read_lock(); there = lru_is_there(folio); if (there) list_lru_add(&cowmem_lru, &folio->lru, kapi_folio_node(folio), memcg_of(folio)); rcu_read_unlock(); return there; }
HELPER void kapi_lru_del(struct folio *folio) { rcu_read_lock(); list_lru_del(&cowmem_lru, &folio->lru, kapi_folio_node(folio), memcg_of(folio)); rcu_read_unlock(); }
HELPER bool kapi_lru_has(const struct folio *folio) { return !list_empty(&folio->lru); }

/* --- whom memory is charged to --- */
/* With __GFP_HIGH a charge is made beyond the limit where it cannot wait. */
#define FORCED_CHARGE_GFP (GFP_NOWAIT | __GFP_HIGH | __GFP_NOWARN)
#ifdef CONFIG_MEMCG
HELPER struct obj_cgroup *owner_of(struct folio *folio) { return folio_memcg_kmem(folio) ? folio_objcg(folio) : NULL; }
HELPER struct obj_cgroup *get_owner(struct obj_cgroup *owner) { if (owner) obj_cgroup_get(owner); return owner; }
HELPER bool charge(struct obj_cgroup *owner, gfp_t gfp, size_t size) { return !owner || !cowmem_symbol_call(obj_cgroup_charge)(owner, gfp, size); }
HELPER void set_owner(struct folio *folio, struct obj_cgroup *owner) { WRITE_ONCE(folio->memcg_data, owner ? (unsigned long)owner | MEMCG_DATA_KMEM : 0); }
HELPER struct obj_cgroup *kapi_folio_get_owner(struct folio *folio) { return get_owner(owner_of(whole(folio))); }
HELPER void kapi_owner_put(struct obj_cgroup *owner) { if (owner) obj_cgroup_put(owner); }
HELPER struct obj_cgroup *kapi_folio_owner(struct folio *folio) { return owner_of(whole(folio)); }
HELPER void kapi_owner_get(struct obj_cgroup *owner) { obj_cgroup_get(owner); }
HELPER const struct mem_cgroup *kapi_group_parent(const struct mem_cgroup *group) { return group->css.parent && group->css.parent->parent ? container_of(group->css.parent, struct mem_cgroup, css) : NULL; }
HELPER const struct mem_cgroup *kapi_owner_group(struct obj_cgroup *owner) { const struct mem_cgroup *group = obj_cgroup_memcg(owner); return group->css.parent ? group : NULL; }
HELPER unsigned int kapi_group_level(const struct mem_cgroup *group) { return group->css.cgroup->level; }
HELPER unsigned long kapi_group_serial(const struct mem_cgroup *group) { return group->css.serial_nr; }
HELPER unsigned long kapi_group_id(const struct mem_cgroup *group) { return cgroup_id(group->css.cgroup); }
HELPER bool kapi_owner_charge(struct obj_cgroup *owner, size_t size) { return charge(owner, FORCED_CHARGE_GFP, size); }
HELPER void kapi_owner_uncharge(struct obj_cgroup *owner, size_t size) { if (owner) cowmem_symbol_call(obj_cgroup_uncharge)(owner, size); }
HELPER void replace_owner(struct folio *folio, struct obj_cgroup *old, struct obj_cgroup *owner) { set_owner(folio, get_owner(owner)); kapi_owner_uncharge(old, PAGE_SIZE); kapi_owner_put(old); }
/* Of one whose cgroup was removed the parent is charged: as with swap, who uses the page is to be, then. */
HELPER bool is_online(struct obj_cgroup *owner) { return owner && !percpu_ref_is_dying(&owner->refcnt); }
HELPER void kapi_folio_set_owner(struct folio *folio, struct obj_cgroup *owner) { if (is_online(owner) && owner != owner_of(folio) && charge(owner, GFP_NOWAIT | __GFP_NOWARN, PAGE_SIZE)) replace_owner(folio, owner_of(folio), owner); }
HELPER void kapi_folio_return(struct folio *folio, struct obj_cgroup *owner) { if (owner != owner_of(folio) && kapi_owner_charge(owner, PAGE_SIZE)) replace_owner(folio, owner_of(folio), owner); }
HELPER void kapi_folio_exchange_owners(struct folio *a, struct folio *b) { struct obj_cgroup *owner = owner_of(a); set_owner(a, owner_of(b)); set_owner(b, owner); }
#else
HELPER struct obj_cgroup *kapi_folio_get_owner(struct folio *folio) { return NULL; }
HELPER void kapi_owner_put(struct obj_cgroup *owner) { }
HELPER struct obj_cgroup *kapi_folio_owner(struct folio *folio) { return NULL; }
HELPER void kapi_owner_get(struct obj_cgroup *owner) { }
HELPER const struct mem_cgroup *kapi_group_parent(const struct mem_cgroup *group) { return NULL; }
HELPER const struct mem_cgroup *kapi_owner_group(struct obj_cgroup *owner) { return NULL; }
HELPER unsigned int kapi_group_level(const struct mem_cgroup *group) { return 0; }
HELPER unsigned long kapi_group_serial(const struct mem_cgroup *group) { return 0; }
HELPER unsigned long kapi_group_id(const struct mem_cgroup *group) { return 0; }
HELPER bool kapi_owner_charge(struct obj_cgroup *owner, size_t size) { return true; }
HELPER void kapi_owner_uncharge(struct obj_cgroup *owner, size_t size) { }
HELPER void kapi_folio_set_owner(struct folio *folio, struct obj_cgroup *owner) { }
HELPER void kapi_folio_return(struct folio *folio, struct obj_cgroup *owner) { }
HELPER void kapi_folio_exchange_owners(struct folio *a, struct folio *b) { }
#endif

/* --- slots of paged-out pages --- */
static_assert(sizeof(struct kapi_refcount) == sizeof(refcount_t));
HELPER refcount_t *ref_of(struct kapi_refcount *ref) { return (refcount_t *)ref; }
HELPER void kapi_ref_init(struct kapi_refcount *ref) { smp_wmb(); refcount_set(ref_of(ref), 1); } /* pairs with the one below */
HELPER bool kapi_ref_try_get(struct kapi_refcount *ref) { bool got = refcount_inc_not_zero(ref_of(ref)); smp_rmb(); return got; }
HELPER void kapi_ref_get(struct kapi_refcount *ref) { refcount_inc(ref_of(ref)); }
HELPER int kapi_ref_read(const struct kapi_refcount *ref) { return refcount_read((const refcount_t *)ref); }
HELPER bool kapi_ref_is_one(const struct kapi_refcount *ref) { return smp_load_acquire(&ref->value) == 1; } /* with the release of who drops another */
HELPER void kapi_users_init(struct kapi_users *users) { refcount_set(ref_of(&users->count), 1); }
HELPER bool kapi_users_try_get(struct kapi_users *users) { return refcount_inc_not_zero(ref_of(&users->count)); }
HELPER void kapi_users_put(struct kapi_users *users) { if (refcount_dec_and_test(ref_of(&users->count))) { smp_mb__after_atomic(); wake_up_var(users); } } /* with the one of who waits */
HELPER void kapi_users_put_and_wait(struct kapi_users *users) { if (!refcount_dec_and_test(ref_of(&users->count))) wait_var_event(users, !refcount_read(ref_of(&users->count))); }
HELPER bool kapi_ref_put(struct kapi_refcount *ref) { return refcount_dec_and_test(ref_of(ref)); }
HELPER void *kapi_slot_alloc_nowait(bool reserves) { return kmem_cache_alloc(cowmem_slot_cache, STORE_GFP(reserves)); }
HELPER size_t kapi_slot_size(void) { return compat_slot_size; }
HELPER void kapi_slot_free(void *slot) { kmem_cache_free(cowmem_slot_cache, slot); }

/* --- compressed memory --- */
HELPER struct zs_pool *kapi_zs_create(void) { return zs_create_pool("cowmem"); }
HELPER void kapi_zs_destroy(struct zs_pool *pool) { zs_destroy_pool(pool); }
HELPER unsigned long valid_handle(unsigned long handle) { return IS_ERR_VALUE(handle) ? 0 : handle; }
HELPER unsigned long kapi_zs_alloc(struct zs_pool *pool, size_t size, bool reserves) { return valid_handle(zs_malloc(pool, size, STORE_GFP(reserves) | __GFP_HIGHMEM | __GFP_MOVABLE, NUMA_NO_NODE)); }
HELPER unsigned long kapi_zs_alloc_waiting(struct zs_pool *pool, size_t size) { return valid_handle(zs_malloc(pool, size, GFP_KERNEL | __GFP_HIGHMEM | __GFP_MOVABLE, NUMA_NO_NODE)); }
HELPER void kapi_zs_free(struct zs_pool *pool, unsigned long handle) { zs_free(pool, handle); }
HELPER void kapi_zs_write(struct zs_pool *pool, unsigned long handle, void *bytes, size_t n) { zs_obj_write(pool, handle, bytes, n); }
HELPER const void *kapi_zs_read_begin(struct zs_pool *pool, unsigned long handle, size_t n, void *buffer) { return zs_obj_read_begin(pool, handle, n, buffer); }
HELPER void kapi_zs_read_end(struct zs_pool *pool, unsigned long handle, size_t n, const void *bytes) { zs_obj_read_end(pool, handle, n, (void *)bytes); }
HELPER unsigned long kapi_zs_pages(struct zs_pool *pool) { return zs_get_total_pages(pool); }
HELPER void kapi_zs_compact(struct zs_pool *pool) { zs_compact(pool); }
HELPER size_t kapi_zs_huge_size(struct zs_pool *pool) { return zs_huge_class_size(pool); }
HELPER int kapi_comp_create(const char *name, struct crypto_acomp **comp)
{
	struct crypto_acomp *made = crypto_alloc_acomp(name, 0, CRYPTO_ALG_ASYNC);

	if (!IS_ERR(made))
		*comp = made;
	return PTR_ERR_OR_ZERO(made);
}
HELPER void kapi_comp_free(struct crypto_acomp *comp) { crypto_free_acomp(comp); }
#define WITH_REQUEST(comp, from, n, to, room, does) ({ int err; ACOMP_REQUEST_ON_STACK(req, comp); acomp_request_set_src_nondma(req, from, n); acomp_request_set_dst_nondma(req, to, *(room)); err = does(req); *(room) = req->dlen; err; })
HELPER int kapi_comp_compress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to, unsigned int *room) { return WITH_REQUEST(comp, from, n, to, room, crypto_acomp_compress); }
HELPER int kapi_comp_decompress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to, unsigned int *room) { return WITH_REQUEST(comp, from, n, to, room, crypto_acomp_decompress); }
HELPER struct mutex *kapi_mutex_create(enum kapi_mutex_class of)
{
	static struct lock_class_key class[KAPI_NR_MUTEXES];
	struct mutex *mutex = kmalloc(sizeof(*mutex), GFP_KERNEL);

	if (mutex) {
		mutex_init(mutex);
		lockdep_set_class(mutex, &class[of]);
	}
	return mutex;
}
HELPER void kapi_mutex_free(struct mutex *mutex) { kfree(mutex); }
HELPER void kapi_mutex_lock(struct mutex *mutex) { mutex_lock(mutex); }
HELPER void kapi_mutex_unlock(struct mutex *mutex) { mutex_unlock(mutex); }
HELPER int kapi_mutex_lock_interruptible(struct mutex *mutex) { return mutex_lock_interruptible(mutex); }
HELPER int kapi_bytes_stay_begin(void) { return srcu_read_lock(&cowmem_bytes_stay); }
HELPER void kapi_bytes_stay_end(int which) { srcu_read_unlock(&cowmem_bytes_stay, which); }
HELPER void kapi_bytes_stay_wait(void) { synchronize_srcu(&cowmem_bytes_stay); }
HELPER unsigned int kapi_cpus(void) { return num_online_cpus(); }
HELPER unsigned int kapi_this_cpu(void) { return raw_smp_processor_id(); }
HELPER void kapi_copy(void *to, const void *from, size_t n) { memcpy(to, from, n); }
HELPER void kapi_fill(unsigned long *words, unsigned long value, size_t n) { memset_l(words, value, n); }
HELPER bool kapi_same_bytes(const void *a, const void *b, size_t n) { return !data_race(memcmp(a, b, n)); } /* whatever is being written: either answer is right */
HELPER bool kapi_same_name(const char *a, const char *b) { return sysfs_streq(a, b); }

/* --- the backing store --- */
static_assert(sizeof(struct kapi_plug) >= sizeof(struct blk_plug));
HELPER void kapi_plug_begin(struct kapi_plug *plug) { blk_start_plug((struct blk_plug *)plug); }
HELPER void kapi_plug_end(struct kapi_plug *plug) { blk_finish_plug((struct blk_plug *)plug); }
HELPER int kapi_backing_open(const char *path, struct file **file, unsigned long *pages, enum cowmem_backing_kind *kind) { return PTR_ERR_OR_ZERO(*file = cowmem_backing_open(path, file, pages, kind)); }
HELPER void kapi_backing_close(struct file *file) { cowmem_backing_close(file); }
HELPER bool kapi_serves_reclaim(enum cowmem_backing_kind kind) { return cowmem_serves_reclaim(kind); }
HELPER unsigned int kapi_backing_discards(const struct file *file) { return cowmem_backing_discards(file); }
HELPER void kapi_backing_discard(struct file *file, unsigned long place, unsigned long n) { cowmem_backing_discard(file, place, n); }
HELPER bool kapi_wants_discards(void) { return READ_ONCE(cowmem_parameters.backing_discard); }
HELPER void kapi_discard_soon(void) { cowmem_discard_soon(); }
HELPER struct cowmem_transfer *kapi_transfer_start(struct file *file, unsigned long place, struct folio *folio, enum cowmem_transfer_for what, struct obj_cgroup *owner) { return cowmem_transfer_start(file, place, folio, what, owner); }
HELPER int kapi_transfer_wait(struct cowmem_transfer *transfer, bool killable) { return cowmem_transfer_wait(transfer, killable); }
HELPER void kapi_transfer_leave(struct cowmem_transfer *transfer) { cowmem_transfer_leave(transfer); }
HELPER unsigned int kapi_crc32c(const void *bytes, size_t n) { return crc32c(~0U, bytes, n); }
HELPER void kapi_say_damaged(unsigned long place) { pr_err_ratelimited("cowmem: page %lu of the backing store is not what was written there\n", place); }
HELPER void kapi_say_given_up(void) { pr_err("cowmem: memory reclaim leaves the backing store alone, which failed too often, until PAGE_OUT can write to it\n"); }
HELPER unsigned long *kapi_bits_alloc(unsigned long n) { return kvcalloc(BITS_TO_LONGS(n), sizeof(unsigned long), GFP_KERNEL); }
HELPER unsigned long kapi_bits_next_clear(const unsigned long *bits, unsigned long n, unsigned long from) { return find_next_zero_bit(bits, n, from); }
HELPER bool kapi_bit_test_and_set(unsigned long *bits, unsigned long i) { return test_and_set_bit(i, bits); }
HELPER void kapi_bit_clear(unsigned long *bits, unsigned long i) { clear_bit_unlock(i, bits); }
HELPER void kapi_bit_set(unsigned long *bits, unsigned long i) { set_bit(i, bits); }
HELPER bool kapi_bit_test(const unsigned long *bits, unsigned long i) { return test_bit(i, bits); }
HELPER unsigned long kapi_bits_next_set(const unsigned long *bits, unsigned long n, unsigned long from) { return find_next_bit(bits, n, from); }
HELPER void kapi_make_room_soon(void) { cowmem_make_room_soon(); }
HELPER unsigned int kapi_backing_readahead(void) { return READ_ONCE(cowmem_parameters.backing_readahead); }

/* --- the rest --- */
/* Only the task itself changes its flags, but the scheduler reads one of them whenever it switches to it. */
HELPER unsigned int kapi_no_reclaim_begin(void) { return data_race(memalloc_noreclaim_save()); }
HELPER void kapi_no_reclaim_end(unsigned int before) { data_race(({ memalloc_noreclaim_restore(before); 0; })); } /* the same */
HELPER bool kapi_makes_room(void) { return READ_ONCE(cowmem_parameters.make_room); }
HELPER bool kapi_reuse(void) { return READ_ONCE(cowmem_parameters.reuse); }
HELPER bool kapi_has_dirty_bit(void) { return cowmem_has_dirty_bit(); }
HELPER unsigned long kapi_jiffies(void) { return jiffies; }
HELPER unsigned long kapi_store_max_pages(void) { return READ_ONCE(cowmem_parameters.store_max_pages); }
HELPER unsigned long kapi_share(void) { return READ_ONCE(cowmem_parameters.share); }
HELPER void kapi_warn_if(bool wrong) { WARN_ON_ONCE(wrong); }
HELPER void kapi_event_major_fault(struct mm_struct *mm) { count_vm_event(PGMAJFAULT); count_memcg_event_mm(mm, PGMAJFAULT); }
HELPER void kapi_stall_begin(unsigned long *flags) { psi_memstall_enter(flags); }
HELPER void kapi_stall_end(unsigned long *flags) { psi_memstall_leave(flags); }
HELPER void *kapi_zalloc(size_t size) { return kzalloc(size, GFP_KERNEL_ACCOUNT); }
HELPER void *kapi_zalloc_nowait(size_t size, bool reserves) { return kzalloc(size, STORE_GFP(reserves)); }
HELPER void kapi_free(const void *p) { kfree(p); }
HELPER void kapi_free_rcu(const void *p) { kvfree_rcu_mightsleep(p); }
HELPER void *kapi_alloc_array(size_t n, size_t size) { return kvmalloc_array(n, size, GFP_KERNEL_ACCOUNT); }
HELPER void kapi_free_array(const void *p) { kvfree(p); }
HELPER void kapi_rcu_lock(void) { rcu_read_lock(); }
HELPER void kapi_rcu_unlock(void) { rcu_read_unlock(); }
HELPER void kapi_spin_lock(struct spinlock *lock) { spin_lock(lock); }
HELPER void kapi_spin_unlock(struct spinlock *lock) { spin_unlock(lock); }
HELPER bool kapi_capable_admin(void) { return capable(CAP_SYS_ADMIN); }
HELPER bool kapi_has_uffd_ops(void) { return compat_has_uffd_ops; }
HELPER bool kapi_knows_poison(void) { return IS_ENABLED(CONFIG_MEMORY_FAILURE); }
HELPER bool kapi_node_has_memory(unsigned int node) { return node < MAX_NUMNODES && node_state(node, N_MEMORY); }
HELPER bool kapi_node_allowed(unsigned int node) { return node_isset(node, cpuset_current_mems_allowed); }
HELPER void kapi_sleep_killable(void) { schedule_timeout_killable(HZ / 100 + 1); }
HELPER void kapi_cond_resched(void) { cond_resched(); }
HELPER void kapi_preempt_disable(void) { preempt_disable(); }
HELPER void kapi_preempt_enable(void) { preempt_enable(); }
HELPER void kapi_smp_mb(void) { smp_mb(); } /* src/layers/object_lock.h: with what it pairs */
HELPER void kapi_smp_rmb(void) { smp_rmb(); } /* the same */
HELPER void kapi_smp_mb_after_lock(void) { smp_mb__after_spinlock(); }
HELPER bool kapi_speculate_private(void) { return READ_ONCE(cowmem_parameters.speculate_private); }
HELPER bool kapi_speculate_read(void) { return READ_ONCE(cowmem_parameters.speculate_read); }
HELPER bool kapi_speculate_shared_write(void) { return READ_ONCE(cowmem_parameters.speculate_shared_write); }
HELPER unsigned int kapi_around_pages(void) { return READ_ONCE(cowmem_parameters.around_pages); }
HELPER bool kapi_around_lock_free(void) { return READ_ONCE(cowmem_parameters.around_shared) == COWMEM_AROUND_LOCKFREE; }
HELPER bool kapi_signal_pending(void) { return fatal_signal_pending(current); }
HELPER bool kapi_is_interrupted(void) { return signal_pending(current) || (current->flags & PF_WQ_WORKER && READ_ONCE(cowmem_machine_goes_to_sleep)); }
HELPER unsigned int kapi_default_huge(void) { return READ_ONCE(cowmem_default_huge); }
HELPER unsigned int kapi_default_cow(void) { return READ_ONCE(cowmem_default_cow); }
HELPER void kapi_count(enum cowmem_counter counter) { this_cpu_inc(cowmem_counts.value[counter]); }
HELPER void kapi_count_n(enum cowmem_counter counter, unsigned long n) { this_cpu_add(cowmem_counts.value[counter], n); }
HELPER void kapi_trace_fault(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome, bool major) { trace_cowmem_fault(vmf, kind, outcome, major); }
#ifdef COWMEM_KUNIT
HELPER void kapi_test_step(unsigned int step, struct vm_fault *vmf) { if (cowmem_test_step) cowmem_test_step(step, vmf); }
#else
HELPER void kapi_test_step(unsigned int step, struct vm_fault *vmf) { }
#endif
