/* SPDX-License-Identifier: GPL-2.0 */
/* The first block of kernel/compat.h, which includes it: Linux 6.1. */
#ifndef COWMEM_COMPAT_6_1_H
#define COWMEM_COMPAT_6_1_H

/* Much that is only looked at is not said to be. */
#pragma clang diagnostic ignored "-Wincompatible-pointer-types-discards-qualifiers"

/* --- pages --- */
#define PG_owner_2 PG_mappedtodisk /* the same bit */
#define folio_mapcount(folio) (atomic_read(&(folio)->_mapcount) + 1)
#define folio_copy(to, from) copy_highpage(&(to)->page, &(from)->page)
#define folio_mc_copy(to, from) copy_mc_user_highpage(&(to)->page, &(from)->page, 0, NULL)
#define bvec_set_folio(bvec, folio, n, offset) bvec_set_page(bvec, &(folio)->page, n, offset)

/*
 * By its bytes: of a page, a pipe would be given the page itself, which somebody may write then.
 * So generic_file_splice_read() is a copy_splice_read().
 */
static inline size_t compat_copy_folio_to_iter(struct folio *folio, size_t offset, size_t n,
                                               struct iov_iter *to)
{
	return copy_to_iter(folio_address(folio) + offset, n, to);
}

#define copy_folio_to_iter compat_copy_folio_to_iter
#define copy_splice_read generic_file_splice_read

#define MCI_ADDR_PHYSADDR GENMASK_ULL(boot_cpu_data.x86_phys_bits - 1, 0)

/* --- mappings and page tables --- */
#define release_fault_lock(vmf) mmap_read_unlock((vmf)->vma->vm_mm)
#define vma_has_recency(vma) (!((vma)->vm_flags & (VM_SEQ_READ | VM_RAND_READ)))
#define pmdp_get_lockless pmd_read_atomic
#define pte_mkwrite_novma pte_mkwrite
#define pte_clear_saveddirty(pte) (pte)
#define update_mmu_cache_range(vmf, vma, address, entry, n) update_mmu_cache(vma, address, entry)
#define i_private_data private_data
#define compat_add_rss(mm, counter, n) atomic_long_add(n, &(mm)->rss_stat.count[counter])

static inline void compat_range_init(struct mmu_notifier_range *range,
                                     enum mmu_notifier_event event, unsigned int flags,
                                     struct mm_struct *mm, unsigned long start, unsigned long end)
{
	mmu_notifier_range_init(range, event, flags, NULL, mm, start, end);
}

#undef mmu_notifier_range_init
#define mmu_notifier_range_init compat_range_init

/* --- slabs: the freed object's link has no place within --- */
#define compat_slot_size (32 + sizeof(void *))
#define SLAB_NO_MERGE \
	SLAB_NOLEAKTRACE /* which keeps from it, and is nothing else without kmemleak */

struct kmem_cache_args {
	unsigned int align, freeptr_offset;
	bool use_freeptr_offset;
};

static inline struct kmem_cache *compat_cache_create(const char *name, unsigned int size,
                                                     const struct kmem_cache_args *args,
                                                     slab_flags_t flags)
{
	return kmem_cache_create(name, size, args->align, flags, NULL);
}

#define kmem_cache_create compat_cache_create

/* kfree_rcu() is nothing that the end of a slab waits for. */
void compat_kfree(struct rcu_head *head);

#undef kfree_rcu
#define kfree_rcu(pointer, head)                                    \
	do {                                                        \
		static_assert(!offsetof(typeof(*(pointer)), head)); \
		call_rcu(&(pointer)->head, compat_kfree);           \
	} while (0)

static inline void compat_cache_destroy(struct kmem_cache *cache)
{
	rcu_barrier();
	kmem_cache_destroy(cache);
}

#define kmem_cache_destroy compat_cache_destroy

/* --- reclaim (kernel/compat.c) --- */
#define compat_reclaimed(state) ((state)->reclaimed_slab)
#define compat_shrinkers_count_for_cgroups true
#define mm_account_reclaimed_pages(n) \
	(current->reclaim_state ? current->reclaim_state->reclaimed_slab += (n) : 0)
struct shrinker *compat_shrinker_alloc(unsigned int flags, const char *name);
void compat_shrinker_free(struct shrinker *shrinker);
bool compat_lru_add(struct list_lru *lru, struct list_head *item, int node,
                    struct mem_cgroup *memcg);
bool compat_lru_del(struct list_lru *lru, struct list_head *item, int node,
                    struct mem_cgroup *memcg);
#define shrinker_alloc compat_shrinker_alloc
#define shrinker_register(shrinker)
#define shrinker_free compat_shrinker_free
#define list_lru_add compat_lru_add
#define list_lru_del compat_lru_del

/* --- files --- */
#define mnt_idmap user_namespace /* the type, and the function */
#define user_namespace(mnt) mnt_user_ns(mnt)
#define nop_mnt_idmap init_user_ns
#define generic_fillattr(idmap, mask, inode, stat) generic_fillattr(idmap, inode, stat)
#define inode_set_mtime_to_ts(inode, ts) ((inode)->i_mtime = (ts))
#define simple_inode_init_ts(inode) \
	((inode)->i_atime = (inode)->i_mtime = inode_set_ctime_current(inode))
#define fsparam_uid fsparam_u32
#define fsparam_gid fsparam_u32
#define compat_uid(fc, result) make_kuid((fc)->user_ns, (result)->uint_32)
#define compat_gid(fc, result) make_kgid((fc)->user_ns, (result)->uint_32)
#define file_bdev(file) I_BDEV((file)->f_mapping->host)

static inline struct file *compat_open_device(const struct path *path, void *holder)
{
	return dentry_open(path, O_RDWR | O_EXCL | O_LARGEFILE, current_cred());
}

#endif /* COWMEM_COMPAT_6_1_H */
