/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The only place that knows versions of the kernel. The module speaks the names of the newest
 * that it supports (scripts/lib.sh lists them); here the older ones get these, a block for each
 * version that changed something, in their order: when the oldest kernel is dropped, the blocks
 * at the top go that the next one is past, and the files of the oldest, compat_6_1.h and .c.
 *
 * What is said to be before 7.2 may have changed in any version between that and 6.12.
 */
#ifndef COWMEM_COMPAT_H
#define COWMEM_COMPAT_H

#include <linux/blkdev.h>
#include <linux/bvec.h>
#include <linux/crc32.h>
#include <linux/crypto.h>
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/highmem.h>
#include <linux/list_lru.h>
#include <linux/memcontrol.h>
#include <linux/mempolicy.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/namei.h>
#include <linux/rmap.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/uio.h>
#include <linux/userfaultfd_k.h>
#include <linux/version.h>
#include <linux/zsmalloc.h>

#define IS_BEFORE(major, minor) (KERNEL_VERSION(major, minor, 0) > LINUX_VERSION_CODE)

/* Rows of tables that only some kernels have (kernel/symbols.h), and arguments. */
#if IS_BEFORE(6, 12)
#define SINCE_6_12(...)
#define BEFORE_6_12(...) __VA_ARGS__
#else
#define SINCE_6_12(...) __VA_ARGS__
#define BEFORE_6_12(...)
#endif
#if IS_BEFORE(7, 2)
#define SINCE_7_2(...)
#define BEFORE_7_2(...) __VA_ARGS__
#else
#define SINCE_7_2(...) __VA_ARGS__
#define BEFORE_7_2(...)
#endif
/* The same where vm_operations_struct has uffd_ops. */
#if IS_BEFORE(7, 2) || !defined(CONFIG_USERFAULTFD)
#define compat_has_uffd_ops 0
#define WITH_UFFD_OPS(...)
#else
#define compat_has_uffd_ops 1
#define WITH_UFFD_OPS(...) __VA_ARGS__
#endif
/* Large folios (kernel/large.h). What 6.1 has of them counts mappings in another way, and frees no page table behind RCU. */
#if IS_BEFORE(6, 12) || !defined(CONFIG_TRANSPARENT_HUGEPAGE)
#define compat_has_large 0
#define WITH_LARGE(...)
#else
#define compat_has_large 1
#define WITH_LARGE(...) __VA_ARGS__
#endif
#if IS_BEFORE(7, 3)
#define BEFORE_7_3(...) __VA_ARGS__
#define SINCE_7_3(...)
#else
#define BEFORE_7_3(...)
#define SINCE_7_3(...) __VA_ARGS__
#endif

#if IS_BEFORE(6, 12)
#include "kernel/compat_6_1.h"
#else
#include <linux/filelock.h>

#define compat_uid(fc, result) ((result)->uid)
#define compat_gid(fc, result) ((result)->gid)
#define compat_add_rss(mm, counter, n) percpu_counter_add(&(mm)->rss_stat[counter], n)
#define compat_reclaimed(state) ((state)->reclaimed)
/* Whether vmscan counts what shrinkers free in reclaim of a cgroup, too. */
#define compat_shrinkers_count_for_cgroups false
#define compat_slot_size 32

/* The block device at @path, had alone. An ERR_PTR. */
static inline struct file *compat_open_device(const struct path *path, void *holder)
{
	return bdev_file_open_by_dev(d_backing_inode(path->dentry)->i_rdev,
	                             BLK_OPEN_READ | BLK_OPEN_WRITE, holder, NULL);
}
#endif

#if IS_BEFORE(6, 13)
/* What the callbacks of walks were given, the lock, is not among what they need. */
struct compat_lru_walk {
	enum lru_status (*isolate)(struct list_head *item, struct list_lru_one *list, void *arg);
	void *arg;
};

static inline enum lru_status compat_isolate(struct list_head *item, struct list_lru_one *list,
                                             spinlock_t *lock, void *arg)
{
	const struct compat_lru_walk *walk = arg;

	return walk->isolate(item, list, walk->arg);
}

#define list_lru_shrink_walk(lru, sc, callback, argument) \
	list_lru_shrink_walk(lru, sc, compat_isolate, &(struct compat_lru_walk){callback, argument})

static inline struct folio *compat_vma_alloc_folio(gfp_t gfp, int order, struct vm_area_struct *vma,
                                                   unsigned long address)
{
	return vma_alloc_folio(gfp, order, vma, address, false);
}

#undef vma_alloc_folio
#define vma_alloc_folio compat_vma_alloc_folio
#endif

#if IS_BEFORE(6, 14)
/* The same function; what is called crc32c() is in a module of its own. */
#define crc32c __crc32c_le
#endif

#if IS_BEFORE(6, 15)
/* Synchronous compression had an interface of its own. */
#define crypto_acomp crypto_comp
#define crypto_alloc_acomp(name, type, mask) crypto_alloc_comp(name, type, 0)
#define crypto_free_acomp crypto_free_comp

struct compat_acomp_req {
	struct crypto_comp *tfm;
	const u8 *src;
	u8 *dst;
	unsigned int slen, dlen;
};

#define acomp_req compat_acomp_req
#define ACOMP_REQUEST_ON_STACK(name, comp)           \
	struct acomp_req *name = &(struct acomp_req) \
	{                                            \
		.tfm = comp                          \
	}

static inline void acomp_request_set_src_nondma(struct acomp_req *req, const u8 *src,
                                                unsigned int slen)
{
	req->src = src;
	req->slen = slen;
}

static inline void acomp_request_set_dst_nondma(struct acomp_req *req, u8 *dst, unsigned int dlen)
{
	req->dst = dst;
	req->dlen = dlen;
}

static inline int crypto_acomp_compress(struct acomp_req *req)
{
	return crypto_comp_compress(req->tfm, req->src, req->slen, req->dst, &req->dlen);
}

static inline int crypto_acomp_decompress(struct acomp_req *req)
{
	return crypto_comp_decompress(req->tfm, req->src, req->slen, req->dst, &req->dlen);
}
#else
#include <crypto/acompress.h>
#endif

#if IS_BEFORE(6, 15)
#define compat_mkdir int
#define compat_mkdir_result(err) (err)
#else
/* What inode_operations::mkdir returns: NULL, or an ERR_PTR. */
#define compat_mkdir struct dentry *
#define compat_mkdir_result(err) ERR_PTR(err)
#endif

#if IS_BEFORE(6, 16)
/* An object was mapped, not read and written. */
static inline void zs_obj_write(struct zs_pool *pool, unsigned long handle, void *bytes, size_t n)
{
	memcpy(zs_map_object(pool, handle, ZS_MM_WO), bytes, n);
	zs_unmap_object(pool, handle);
}

#define zs_obj_read_begin(pool, handle, n, buffer) zs_map_object(pool, handle, ZS_MM_RO)
#define zs_obj_read_end(pool, handle, n, bytes) zs_unmap_object(pool, handle)
#define zs_malloc(pool, n, gfp, node) zs_malloc(pool, n, gfp)
#endif

#if IS_BEFORE(6, 17)
#define FOLIO_MAPPING_FLAGS PAGE_MAPPING_FLAGS
#endif

#if IS_BEFORE(6, 18)
#define folio_flags_word(folio) (&(folio)->flags)
#define mm_flags_set(flag, mm) set_bit(flag, &(mm)->flags)
#define mm_flags_clear(flag, mm) clear_bit(flag, &(mm)->flags)
/* What a generator of a KUnit suite's parameters is given. */
#define compat_gen_params(previous, name) const void *previous, char *name
#else
#define compat_gen_params(previous, name) struct kunit *test, const void *previous, char *name
#define folio_flags_word(folio) (&(folio)->flags.f)
#endif

#if IS_BEFORE(6, 19)
#define softleaf_from_pte(pte) pte_to_swp_entry(pte) /* some 6.12 have these two, too */
#define softleaf_to_pfn(entry) swp_offset_pfn(entry)
#define softleaf_to_pte swp_entry_to_pte
#define softleaf_is_hwpoison is_hwpoison_entry
#define softleaf_is_migration is_migration_entry
#define softleaf_is_migration_write is_writable_migration_entry
#define pte_is_uffd_wp_marker pte_marker_uffd_wp
#define inode_state_set_raw(inode, flag) ((inode)->i_state |= (flag))
#endif

#if IS_BEFORE(7, 2)
#define folio_objcg __folio_objcg
#define lruvec_stat_mod_folio __lruvec_stat_mod_folio
#define mapping_owner(mapping) ((mapping)->i_private_data)
#define compat_young int
#define folio_mk_pmd(folio, prot) mk_huge_pmd(&(folio)->page, prot)
/* Of a file system that is in the dentry cache: it holds the dentries, and lets them go at its end. */
#define d_make_persistent(dentry, inode) d_instantiate(dget(dentry), inode)
#define compat_kill_tree kill_litter_super
#define inode_just_drop generic_delete_inode
#else
#define compat_young bool
#define compat_kill_tree kill_anon_super

/* The word for that is gone. This one says where writeback goes on, which ours know nothing of. */
#define mapping_owner(mapping) (*(void **)&(mapping)->writeback_index)

/* As in mm/internal.h, which no module sees. */
void __put_anon_vma(struct anon_vma *anon_vma);

static inline void put_anon_vma(struct anon_vma *anon_vma)
{
	if (atomic_dec_and_test(&anon_vma->refcount))
		__put_anon_vma(anon_vma);
}

static inline void anon_vma_lock_read(struct anon_vma *anon_vma)
{
	down_read(&anon_vma->root->rwsem);
}

static inline void anon_vma_unlock_read(struct anon_vma *anon_vma)
{
	up_read(&anon_vma->root->rwsem);
}
#endif

#if IS_BEFORE(7, 3)
/* Private copies had the index of what they are copies of. */
#define vma_start_anon_pgoff(vma) ((vma)->vm_pgoff)
#define VM_UFFD_RWP VM_NONE
#define pte_uffd pte_uffd_wp
#define pte_mkuffd pte_mkuffd_wp
#define pmd_uffd pmd_uffd_wp
#define pte_swp_uffd pte_swp_uffd_wp
#define pte_swp_mkuffd pte_swp_mkuffd_wp
#define pte_swp_uffd_any pte_swp_uffd_wp_any
/* Kernel threads had the root of the first task. */
#define scoped_with_init_fs()
#endif

#endif /* COWMEM_COMPAT_H */
