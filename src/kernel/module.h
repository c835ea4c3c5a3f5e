/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the module's C files share: the entry points that the kernel calls, which
 * are C++ (src/, .cc), and the tables that name them, which are C (src/device/file.c).
 */
#ifndef COWMEM_MODULE_H
#define COWMEM_MODULE_H

#include <linux/fs.h>
#include <linux/list_lru.h>
#include <linux/pagemap.h>
#include <linux/mm_types.h>
#include <linux/percpu.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/srcu.h>
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#endif

#include "kernel/compat.h"
#include "kernel/counters.h"
#include "kernel/told.h"
#include "kernel/transfer.h"

/* Of mappings of the device, and of objects' own inodes. */
extern const struct vm_operations_struct cowmem_vm_ops, cowmem_file_vm_ops, cowmem_private_vm_ops,
	cowmem_pinnable_vm_ops;
/* Files of the device, and those of objects' own inodes (src/device/file.c). */
extern const struct file_operations cowmem_fops, cowmem_file_fops, cowmem_snapshot_fops;
void cowmem_wake_pollers(void);
int cowmem_file_create(struct inode *inode, const struct file *by, const char *name, bool writable,
                       struct file **made);

static inline bool cowmem_file_is_ours(const struct file *file)
{
	return file->f_op == &cowmem_fops || file->f_op == &cowmem_file_fops ||
	       file->f_op == &cowmem_snapshot_fops;
}

/* Has @file, of the device, for one of an object's; its mappings are found through @inode. */
static inline void cowmem_file_bind(struct file *file, struct inode *inode, void *object)
{
	file->f_mapping = inode->i_mapping;
	file->private_data = object;
	file->f_mode |= FMODE_ATOMIC_POS;
}
extern unsigned int cowmem_default_cow, cowmem_default_huge;

/* What fault-around does about the page locks of a shared mapping. */
enum cowmem_around { COWMEM_AROUND_TRYLOCK, COWMEM_AROUND_LOCKFREE };

extern const struct vm_operations_struct cowmem_large_vm_ops, cowmem_large_file_vm_ops,
	cowmem_large_private_vm_ops;

/* To which backing stores memory reclaim writes: devices that are not known to wait for others, all devices, or none. */
enum cowmem_backing_reclaim { COWMEM_RECLAIM_AUTO, COWMEM_RECLAIM_ALWAYS, COWMEM_RECLAIM_NEVER };

/* Parameters that can be set while faults are under way; each explained in src/device/module.c. */
struct cowmem_parameters {
	bool speculate_private;
	bool speculate_read;
	bool speculate_shared_write;
	unsigned int around_pages;
	unsigned int around_shared; /* enum cowmem_around */
	bool reuse;
	bool make_room;
	unsigned long store_max_pages;
	unsigned int share;
	unsigned int backing_readahead;
	unsigned int backing_reclaim; /* enum cowmem_backing_reclaim */
	bool backing_discard;
	unsigned int collapse;   /* seconds, or 0 */
	unsigned int huge_sizes; /* bytes, one bit each: of a leaf, of a block */
};
extern struct cowmem_parameters cowmem_parameters;

static inline bool cowmem_serves_reclaim(enum cowmem_backing_kind kind)
{
	const unsigned int to = READ_ONCE(cowmem_parameters.backing_reclaim);

	return kind != COWMEM_BACKING_FILE &&
	       (to == COWMEM_RECLAIM_ALWAYS ||
	        (to == COWMEM_RECLAIM_AUTO && kind == COWMEM_BACKING_DEVICE));
}

/* The largest object: whole pages, each with an index and a byte offset. */
#define COWMEM_MAX_BYTES (MAX_LFS_FILESIZE & PAGE_MASK)

struct cowmem_counts {
	unsigned long value[COWMEM_NR_COUNTERS];
};
DECLARE_PER_CPU(struct cowmem_counts, cowmem_counts);

/* A counter over all CPUs; it may miss what happens meanwhile. */
unsigned long cowmem_counter_sum(enum cowmem_counter counter);

/* How many of something there may be, and are. */
struct cowmem_limit {
	long most;
	atomic_long_t used;
};

/* What a mounted file system may take: its s_fs_info. */
struct cowmem_space {
	struct cowmem_limit pages, inodes;
	bool pinnable;         /* what regular files are from now on */
	unsigned int huge;     /* enum cowmem_huge, the same */
	atomic_long_t live;    /* inodes that are not freed */
	refcount_t references; /* the mount's, and that of each home of pages */
};

static inline void cowmem_space_put(struct cowmem_space *space)
{
	if (refcount_dec_and_test(&space->references))
		kfree(space);
}

/* @n more. False: there are more than may be then. */
static inline bool cowmem_limit_take(struct cowmem_limit *limit, long n)
{
	long used = atomic_long_read(&limit->used);

	do {
		if (used > READ_ONCE(limit->most) - n)
			return false;
	} while (!atomic_long_try_cmpxchg(&limit->used, &used, used + n));
	return true;
}

#define COWMEM_FS_MAGIC 0x636f776d /* "cowm" */

/* The file system that can be mounted (src/device/mount.c). */
int cowmem_mount_init(void);
void cowmem_mount_exit(void);

/* The inodes behind the objects (src/device/inode.c). */
struct inode *cowmem_inode_create(struct super_block *sb, umode_t mode);
struct inode *cowmem_inode_create_like(const struct inode *like);
struct vfsmount *cowmem_inode_mount(void);
void cowmem_inode_evict(struct inode *inode);
int cowmem_inode_init(void);
void cowmem_inode_exit(void);
bool cowmem_folio_is_ours(const struct folio *folio);
int cowmem_mapping_call_present(struct address_space *mapping);

/* Machine checks of objects' pages (src/device/memory_failure.c). */
int cowmem_memory_failure_init(void);
void cowmem_memory_failure_exit(void);

/* The LRU of objects' pages, and what shrinks it under memory pressure (src/reclaim/shrinker.c). */
extern struct list_lru cowmem_lru;
int cowmem_shrinker_init(void);
void cowmem_shrinker_exit(void);

/* What a round of reclaim wants of that, and is told (src/reclaim/scan_control.c). */
int cowmem_scan_control_init(void);
unsigned long cowmem_reclaim_wants(const struct mem_cgroup *memcg);
void cowmem_reclaim_account(unsigned long pages);

/* The file or device of the backing store (src/store/backing_io.c). */
struct cowmem_transfer;
struct obj_cgroup;
struct cowmem_transfer *cowmem_transfer_start(struct file *file, unsigned long place,
                                              struct folio *folio, enum cowmem_transfer_for what,
                                              struct obj_cgroup *owner);
int cowmem_transfer_wait(struct cowmem_transfer *transfer, bool killable);
void cowmem_transfer_leave(struct cowmem_transfer *transfer);
struct file *cowmem_backing_open(const char *name, void *holder, unsigned long *pages,
                                 enum cowmem_backing_kind *kind);
unsigned int cowmem_backing_discards(const struct file *file);
void cowmem_backing_discard(struct file *file, unsigned long place, unsigned long n);
void cowmem_discard_soon(void);
void cowmem_discard_exit(void);
void cowmem_backing_close(struct file *file);
extern struct srcu_struct cowmem_bytes_stay;
int cowmem_backing_init(void);
void cowmem_backing_exit(void);

/* The task that has what is cold make room in the store (src/reclaim/room.c). */
extern bool cowmem_machine_goes_to_sleep;
void cowmem_make_room_soon(void);
int cowmem_room_init(void);
void cowmem_room_exit(void);

/* The worker that has pages become large folios again (src/layers/collapser.c). */
int cowmem_collapse_every(unsigned int seconds);
void cowmem_collapse_wait(void);
int cowmem_collapser_init(void);
void cowmem_collapser_exit(void);

/* Slots of the store: their memory stays a slot's under RCU. Nodes of trees: freed after a grace period. */
extern struct kmem_cache *cowmem_slot_cache, *cowmem_leaf_cache, *cowmem_node_cache;
void cowmem_node_free(void *node);

/*
 * A page was written: PAGEMAP will say so, and the store's copy is no longer good. Who
 * clears a mark, with a full barrier, and then reads the page, sees the mark again or
 * what was written before it.
 */
static inline void cowmem_mark_written(struct folio *folio)
{
	smp_mb__before_atomic(); /* with the atomic that clears the mark */
	folio_set_checked(folio);
	folio_set_dirty(folio);
}

/* Whether the hardware sets dirty bits; without, a write through a clean entry is a fault (N11). */
static inline bool cowmem_has_dirty_bit(void)
{
#ifdef CONFIG_ARM64
	const u64 features = read_sanitised_ftr_reg(SYS_ID_AA64MMFR1_EL1);

	return IS_ENABLED(CONFIG_ARM64_HW_AFDBM) &&
	       cpuid_feature_extract_unsigned_field(features, ID_AA64MMFR1_EL1_HAFDBS_SHIFT) >=
	               ID_AA64MMFR1_EL1_HAFDBS_DBM;
#else
	return true;
#endif
}

/* Entry points; each is described where it is defined. */
vm_fault_t cowmem_fault(struct vm_fault *vmf);
vm_fault_t cowmem_page_mkwrite(struct vm_fault *vmf);
vm_fault_t cowmem_large_fault(struct vm_fault *vmf, unsigned int order);
vm_fault_t cowmem_map_pages(struct vm_fault *vmf, pgoff_t first, pgoff_t last);
int cowmem_user_fill(struct vm_area_struct *vma, pgoff_t index, struct folio *folio);
int cowmem_user_find(void *object, pgoff_t index, struct folio **found);
int cowmem_open(struct inode *inode, struct file *file);
int cowmem_release(struct inode *inode, struct file *file);
int cowmem_mmap(struct file *file, struct vm_area_struct *vma);
long cowmem_ioctl(struct file *file, unsigned int command, unsigned long arg);
loff_t cowmem_llseek(struct file *file, loff_t offset, int whence);
ssize_t cowmem_read_iter(struct kiocb *iocb, struct iov_iter *to);
ssize_t cowmem_write_iter(struct kiocb *iocb, struct iov_iter *from);
bool cowmem_has_news(const struct file *file);
bool cowmem_is_last(const struct file *file);
void cowmem_tell(const struct file *file, struct cowmem_told *told);
int cowmem_join(struct file *in, struct file *out);
int cowmem_reflink(struct file *in, struct file *out, loff_t begin, loff_t end);
int cowmem_dedupe(struct file *in, struct file *out, loff_t begin, loff_t end);
int cowmem_create_at(struct inode *inode);
void cowmem_evict(void *object);
bool cowmem_is_frozen(const void *object);
int cowmem_resize(void *object, loff_t bytes);
blkcnt_t cowmem_blocks(const void *object);
long cowmem_fallocate(struct file *file, int mode, loff_t offset, loff_t length);
int cowmem_fadvise(struct file *file, loff_t offset, loff_t length, int advice);
int cowmem_store_init(const char *compressor);
void cowmem_store_exit(void);
int cowmem_store_select(const char *compressor);
int cowmem_store_select_cold(const char *compressor);
unsigned long cowmem_store_left(void);
void cowmem_objects_init(void);
int cowmem_debug_init(void);
void cowmem_debug_exit(void);
int cowmem_relocation_init(void);
void cowmem_relocation_exit(void);
int cowmem_drain(void);
int cowmem_write_back(unsigned long age);
int cowmem_recompress(unsigned long age);
bool cowmem_make_room(void);
void cowmem_collapse_all(void);
int cowmem_backing_set(const char *path);
void cowmem_discard(void);
bool cowmem_memory_failed(struct folio *folio);
struct kapi_isolated;
unsigned long cowmem_shrink(struct kapi_isolated *isolated);
struct kapi_group;
bool cowmem_group_next(unsigned long *from, struct kapi_group *found);

#endif /* COWMEM_MODULE_H */
