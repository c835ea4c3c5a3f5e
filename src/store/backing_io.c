// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O of the backing store (src/store/backing.h): a page at a time to or from
 * a regular file or a block device, asynchronous and past the page cache.
 *
 * A block device is given its I/O by whoever wants it, memory reclaim too, as swap gives it: it takes no
 * lock on the way and has reserves of its own. What a file system does on the way is
 * nobody's business but a worker's: it would heed the caller's RLIMIT_FSIZE, and its
 * locks may be held by just the one whom memory reclaim is to help.
 *
 * In the I/O controllers' books a read is of the task that wants it, and a write that PAGE_OUT asks for is of the page's
 * cgroup, as with swap; a worker does it in their names, as loop does. What memory reclaim writes, and waits for, is of the task
 * that reclaims: in the name of a cgroup that may hardly write, kswapd would wait for as long as that takes, and everybody
 * for kswapd. The same holds for what one task moves of all cgroups.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/backing-dev.h>
#include <linux/bio.h>
#include <linux/blk-cgroup.h>
#include <linux/blkdev.h>
#include <linux/cgroup.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/ctype.h>
#include <linux/device.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/kthread.h>
#include <linux/memcontrol.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include "kernel/module.h"

/* One page on its way. The I/O keeps the page, the file and the module; whoever waits may leave. */
struct cowmem_transfer {
	union {
		struct bio bio; /* to a device */
		struct {        /* to a file */
			struct kiocb iocb;
			struct work_struct work;
			struct cgroup_subsys_state *css; /* of whom the worker does it, or NULL */
			atomic_t parts; /* the I/O, and the worker: the last of them ends it */
		};
	};
	struct file *file;
	struct bio_vec bytes; /* of the page, or of a copy of it */
	struct completion done;
	refcount_t users; /* the I/O, and who waits */
	bool writes;
	long result; /* bytes, or -errno */
};

/* Those that write wait while the file's file system is frozen; those that read do not, and so not behind them. */
static struct workqueue_struct *readers, *writers;

/* For src/store/relocation.h. */
struct srcu_struct cowmem_bytes_stay;

static bool is_device(const struct file *file)
{
	return S_ISBLK(file_inode(file)->i_mode);
}

static void put(struct cowmem_transfer *transfer)
{
	if (refcount_dec_and_test(&transfer->users))
		kfree(transfer);
}

/* Perhaps in an interrupt. */
static void end_transfer(struct cowmem_transfer *transfer, long result)
{
	transfer->result = result;
	put_page(transfer->bytes.bv_page);
	fput(transfer->file);
	rcu_read_lock(); /* what frees the module's code waits for that */
	complete(&transfer->done);
	put(transfer);
	module_put(THIS_MODULE);
	rcu_read_unlock();
}

/* --- whose I/O it is --- */
#ifdef CONFIG_BLK_CGROUP
/* With a reference; or NULL. */
static struct cgroup_subsys_state *css_of_task(void)
{
	return task_get_css(current, io_cgrp_id);
}

/* The same for whom memory of @owner's is charged to. */
static struct cgroup_subsys_state *css_of_owner(struct obj_cgroup *owner)
{
	struct cgroup_subsys_state *css = NULL;

#ifdef CONFIG_MEMCG
	if (owner) {
		rcu_read_lock();
		css = cgroup_get_e_css(obj_cgroup_memcg(owner)->css.cgroup, &io_cgrp_subsys);
		rcu_read_unlock();
	}
#endif
	return css;
}

static void put_css(struct cgroup_subsys_state *css)
{
	if (css)
		css_put(css);
}
#else
static struct cgroup_subsys_state *css_of_task(void)
{
	return NULL;
}

static struct cgroup_subsys_state *css_of_owner(struct obj_cgroup *owner)
{
	return NULL;
}

static void put_css(struct cgroup_subsys_state *css) {}
#endif

/* --- to a device --- */
static void end_bio(struct bio *bio)
{
	struct cowmem_transfer *transfer = container_of(bio, struct cowmem_transfer, bio);
	const int err = blk_status_to_errno(bio->bi_status);

	bio_uninit(bio);
	end_transfer(transfer, err ?: PAGE_SIZE);
}

/* Kernel counterpart: swap_writepage_bdev_async(). */
static void submit_to_device(struct cowmem_transfer *transfer, unsigned long place,
                             enum cowmem_transfer_for what, struct obj_cgroup *owner)
{
	const blk_opf_t write = REQ_OP_WRITE | REQ_SYNC | REQ_IDLE |
	                        (what == COWMEM_TRANSFER_RECLAIM ? REQ_SWAP : 0);
	struct bio *bio = &transfer->bio;

	bio_init(bio, file_bdev(transfer->file), &transfer->bytes, 1,
	         transfer->writes ? write : REQ_OP_READ);
	bio->bi_vcnt = 1;
	bio->bi_iter.bi_size = PAGE_SIZE;
	bio->bi_iter.bi_sector = (sector_t)place << (PAGE_SHIFT - SECTOR_SHIFT);
	bio->bi_end_io = end_bio;
	if (what == COWMEM_TRANSFER_PAGE_OUT) {
		struct cgroup_subsys_state *css = css_of_owner(owner);

		if (css)
			bio_associate_blkg_from_css(bio, css);
		put_css(css);
	}
	submit_bio(bio);
}

/* --- to a file --- */
/* The I/O may be done before the file system's function is, which looks at the iocb, and its file, until it returns. */
static void end_part(struct cowmem_transfer *transfer)
{
	if (atomic_dec_and_test(&transfer->parts))
		end_transfer(transfer, transfer->result);
}

/* kiocb::ki_complete: perhaps in an interrupt. */
static void end_iocb(struct kiocb *iocb, long result)
{
	struct cowmem_transfer *transfer = container_of(iocb, struct cowmem_transfer, iocb);

	if (transfer->writes)
		kiocb_end_write(iocb);
	transfer->result = result;
	end_part(transfer);
}

/* By the file's own operations, as loop does it: no business of the caller's security module. */
static void submit_to_file(struct cowmem_transfer *transfer)
{
	struct kiocb *iocb = &transfer->iocb;
	const struct file_operations *fops = iocb->ki_filp->f_op;
	struct iov_iter iter;
	ssize_t result;

	iov_iter_bvec(&iter, transfer->writes ? ITER_SOURCE : ITER_DEST, &transfer->bytes, 1,
	              PAGE_SIZE);
	if (transfer->writes)
		kiocb_start_write(iocb);
	result = transfer->writes ? fops->write_iter(iocb, &iter) : fops->read_iter(iocb, &iter);
	if (result != -EIOCBQUEUED)
		end_iocb(iocb, result);
	end_part(transfer);
}

static void work(struct work_struct *item)
{
	struct cowmem_transfer *transfer = container_of(item, struct cowmem_transfer, work);
	struct cgroup_subsys_state *css = transfer->css;
	/* What the task's flags are to others is the kernel's to say: its tick reads them in between. */
	const unsigned int before = data_race(memalloc_noio_save());

	kthread_associate_blkcg(css);
	submit_to_file(transfer);
	kthread_associate_blkcg(NULL);
	put_css(css);
	data_race((memalloc_noio_restore(before), 0)); /* as above */
}

static void give_to_worker(struct cowmem_transfer *transfer, unsigned long place,
                           enum cowmem_transfer_for what, struct obj_cgroup *owner)
{
	init_sync_kiocb(&transfer->iocb, transfer->file);
	transfer->iocb.ki_flags |= IOCB_DIRECT | (transfer->writes ? IOCB_WRITE : 0);
	transfer->iocb.ki_pos = (loff_t)place << PAGE_SHIFT;
	transfer->iocb.ki_complete = end_iocb;
	transfer->css = what == COWMEM_TRANSFER_PAGE_OUT ? css_of_owner(owner) : NULL;
	if (!transfer->css)
		transfer->css = css_of_task();
	atomic_set(&transfer->parts, 2);
	INIT_WORK(&transfer->work, work);
	queue_work(transfer->writes ? writers : readers, &transfer->work);
}

/* --- to either --- */
/* Whether what is written there has to stay as it is until that is done: it is summed up, or mirrored, say. */
static bool wants_stable_pages(const struct file *file)
{
	struct block_device *bdev =
		is_device(file) ? file_bdev((struct file *)file) : file_inode(file)->i_sb->s_bdev;

	return (!is_device(file) && mapping_stable_writes(file->f_mapping)) ||
	       (bdev && bdev_stable_writes(bdev));
}

/*
 * The page to be given to the device for @folio, with a reference; or NULL: no memory. Page-out writes a page that its users
 * may go on writing; where the device cannot have that it gets a copy.
 */
static struct page *page_to_give(const struct file *file, struct folio *folio,
                                 enum cowmem_transfer_for what, gfp_t gfp)
{
	struct page *copy;

	if (what == COWMEM_TRANSFER_READ || what == COWMEM_TRANSFER_MOVE ||
	    !wants_stable_pages(file)) {
		folio_get(page_folio(&folio->page));
		return &folio->page;
	}
	copy = alloc_page(gfp);
	if (copy) {
		copy_highpage(copy, &folio->page);
		this_cpu_inc(cowmem_counts.value[COWMEM_COUNT_backing_copied]);
	}
	return copy;
}

/*
 * Begins to read or write page @place of @file; none: no memory. A write of page-out allocates without reclaim, and
 * out of the reserves only if it is memory reclaim's. @owner: whom the page is charged to, or NULL.
 */
struct cowmem_transfer *cowmem_transfer_start(struct file *file, unsigned long place,
                                              struct folio *folio, enum cowmem_transfer_for what,
                                              struct obj_cgroup *owner)
{
	const bool may_wait = what == COWMEM_TRANSFER_READ || what == COWMEM_TRANSFER_MOVE;
	const gfp_t gfp =
		may_wait ? GFP_KERNEL
			 : GFP_NOWAIT | __GFP_NOWARN |
				   (what == COWMEM_TRANSFER_RECLAIM ? 0 : __GFP_NOMEMALLOC);
	struct cowmem_transfer *transfer = kmalloc(sizeof(*transfer), gfp);
	struct page *page = transfer ? page_to_give(file, folio, what, gfp) : NULL;

	if (!page) {
		kfree(transfer);
		return NULL;
	}
	transfer->file = get_file(file);
	transfer->writes = what != COWMEM_TRANSFER_READ;
	bvec_set_page(&transfer->bytes, page, PAGE_SIZE, 0);
	__module_get(THIS_MODULE);
	init_completion(&transfer->done);
	refcount_set(&transfer->users, 2);
	if (is_device(file))
		submit_to_device(transfer, place, what, owner);
	else
		give_to_worker(transfer, place, what, owner);
	return transfer;
}

/* Leaves @transfer to itself; it goes on. */
void cowmem_transfer_leave(struct cowmem_transfer *transfer)
{
	put(transfer);
}

/* Waits for the end of @transfer, and leaves it. 0, -EIO; -EINTR: a fatal signal came first. */
int cowmem_transfer_wait(struct cowmem_transfer *transfer, bool killable)
{
	int err = 0;

	if (!killable)
		wait_for_completion_io(&transfer->done);
	else if (wait_for_completion_killable(&transfer->done))
		err = -EINTR;
	if (!err && transfer->result != PAGE_SIZE) {
		pr_err_ratelimited("the backing store cannot be %s (%ld)\n",
		                   transfer->writes ? "written" : "read", transfer->result);
		err = -EIO;
	}
	put(transfer);
	return err;
}

/* --- files and devices --- */
/* Whether a disk of that name needs a file system, a network or a process to be written. */
static bool is_name_of_one_that_waits(const char *name)
{
	static const char *const drivers[] = {"drbd", "etherd", "loop",  "nbd",
	                                      "rbd",  "rnbd",   "ublkb", "zd"};

	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++) {
		const size_t length = strlen(drivers[i]);

		if (!strncmp(name, drivers[i], length) && !isalpha(name[length]))
			return true;
	}
	return false;
}

/* The same by what it is a disk of: iSCSI and NVMe over fabrics have names as others do. */
static bool is_of_network(const struct device *device)
{
	static const char *const classes[] = {"iscsi_session", "nvme-fabrics"};

	for (; device; device = device->parent)
		for (size_t i = 0; device->class && i < ARRAY_SIZE(classes); i++)
			if (!strcmp(device->class->name, classes[i]))
				return true;
	return false;
}

static enum cowmem_backing_kind kind_of(struct file *file)
{
	struct gendisk *disk;

	if (!is_device(file))
		return COWMEM_BACKING_FILE;
	disk = file_bdev(file)->bd_disk;
	return is_name_of_one_that_waits(disk->disk_name) || is_of_network(disk_to_dev(disk))
	               ? COWMEM_BACKING_DEVICE_THAT_WAITS
	               : COWMEM_BACKING_DEVICE;
}

/*
 * The file or device that @path is, whatever its name comes to mean meanwhile. What root
 * may open is asked as for open(); a device is had alone, by file systems and swap too, and by @holder,
 * so that it is not had twice.
 */
static struct file *open_path(const struct path *path, void *holder)
{
	struct inode *inode = d_backing_inode(path->dentry);
	int err;

	if (S_ISBLK(inode->i_mode)) {
		if (path->mnt->mnt_flags & MNT_NODEV || path->mnt->mnt_sb->s_iflags & SB_I_NODEV)
			return ERR_PTR(-EACCES);
		return compat_open_device(path, holder);
	}
	if (!S_ISREG(inode->i_mode))
		return ERR_PTR(-EINVAL);
	err = inode_permission(mnt_idmap(path->mnt), inode, MAY_READ | MAY_WRITE);
	if (err)
		return ERR_PTR(err);
	return dentry_open(path, O_RDWR | O_LARGEFILE | O_DIRECT, current_cred());
}

/*
 * Has @file to us: nobody else opens it for writing, or changes its size. It is itself one
 * that is open for writing, which the count of those says; where it is the only one, it
 * becomes one that denies that, as an executable that runs. -ETXTBSY: there are others.
 */
static int deny_others(struct file *file)
{
	return atomic_cmpxchg(&file_inode(file)->i_writecount, 1, -1) == 1 ? 0 : -ETXTBSY;
}

/* The count is again what the end of @file expects, if it is denied by others, too. */
static void allow_others(struct file *file)
{
	atomic_add(2, &file_inode(file)->i_writecount);
}

/* Whether what is in @file is for root's eyes only, and root's to write. */
static bool is_private(const struct file *file)
{
	const struct inode *inode = file_inode(file);

	return uid_eq(inode->i_uid, GLOBAL_ROOT_UID) && !(inode->i_mode & 0077);
}

/* Keeps others from a file that was opened. 0; -EPERM: they may open it; -ETXTBSY: some have. */
static int protect(struct file *file)
{
	if (is_device(file))
		return 0;
	return is_private(file) ? deny_others(file) : -EPERM;
}

static const char *reason(int err)
{
	switch (err) {
	case -EPERM:
		return "it must be root's, of no use to others (chown root, chmod 600), and no "
		       "object";
	case -ETXTBSY:
		return "somebody has it open for writing, or runs it";
	}
	return "it must be the absolute path of a block device that nobody else uses, or of a file "
	       "that can be opened O_DIRECT";
}

static struct file *open_protected(const char *name, void *holder)
{
	struct path path;
	struct file *file;
	int err = *name == '/' ? kern_path(name, LOOKUP_FOLLOW, &path) : -EINVAL;

	if (err)
		return ERR_PTR(err);
	file = open_path(&path, holder);
	path_put(&path);
	if (!IS_ERR(file))
		err = cowmem_file_is_ours(file) ? -EPERM : protect(file);
	if (!err)
		return file;
	fput(file);
	return ERR_PTR(err);
}

/*
 * Opens the file or device at @name, of so many whole pages. While it is open, nobody else
 * opens the file for writing (-ETXTBSY), or the device (-EBUSY), but by the same @holder, which is any
 * address. An ERR_PTR, and a line in the log.
 */
struct file *cowmem_backing_open(const char *name, void *holder, unsigned long *pages,
                                 enum cowmem_backing_kind *kind)
{
	struct file *file = open_protected(name, holder);

	if (IS_ERR(file)) {
		pr_err("cannot use %s as backing store (%ld): %s\n", name, PTR_ERR(file),
		       reason(PTR_ERR(file)));
		return file;
	}
	*pages = min_t(u64, i_size_read(file->f_mapping->host) >> PAGE_SHIFT, U32_MAX);
	*kind = kind_of(file);
	if (*kind != COWMEM_BACKING_FILE)
		invalidate_bdev(file_bdev(file)); /* so that no I/O goes through the page cache */
	if (*pages)
		return file;
	pr_err("cannot use %s as backing store: it has not one page\n", name);
	cowmem_backing_close(file);
	return ERR_PTR(-ENOSPC);
}

/* Gives back what cowmem_backing_open() gave; I/O that nobody waits for may still end. */
void cowmem_backing_close(struct file *file)
{
	if (!is_device(file))
		allow_others(file);
	fput(file);
}

/* So many pages can be given back to it at a time; 0: none can. */
unsigned int cowmem_backing_discards(const struct file *file)
{
	struct block_device *bdev;

	if (!is_device(file))
		return 0;
	bdev = file_bdev((struct file *)file);
	return bdev_max_discard_sectors(bdev)
	               ? max(bdev_discard_granularity(bdev) >> PAGE_SHIFT, 1U)
	               : 0;
}

/* Gives back @n pages from @place on. Sleeps. It is a hint: what the device makes of it is nobody's concern. */
void cowmem_backing_discard(struct file *file, unsigned long place, unsigned long n)
{
	blkdev_issue_discard(file_bdev(file), (sector_t)place << (PAGE_SHIFT - SECTOR_SHIFT),
	                     (sector_t)n << (PAGE_SHIFT - SECTOR_SHIFT), GFP_KERNEL);
}

static void discard(struct work_struct *item)
{
	cowmem_discard();
}

static DECLARE_DELAYED_WORK(discards, discard);

/* Places are free: all that are by then go together. The test for one that is under way is a full barrier, with the work's begin. */
void cowmem_discard_soon(void)
{
	queue_delayed_work(system_freezable_wq, &discards, HZ);
}

/* No slot is left, and so no place comes free any more. What the device has not been told by then, it is not. */
void cowmem_discard_exit(void)
{
	WRITE_ONCE(cowmem_parameters.backing_discard, false);
	cancel_delayed_work_sync(&discards);
}

int cowmem_backing_init(void)
{
	int err = init_srcu_struct(&cowmem_bytes_stay);

	if (err)
		return err;
	readers = alloc_workqueue("cowmem_read", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	writers = alloc_workqueue("cowmem_write", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (readers && writers)
		return 0;
	cowmem_backing_exit();
	return -ENOMEM;
}

void cowmem_backing_exit(void)
{
	if (readers)
		destroy_workqueue(readers);
	if (writers)
		destroy_workqueue(writers);
	cleanup_srcu_struct(&cowmem_bytes_stay);
}
