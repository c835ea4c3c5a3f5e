// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O of the backing store (src/store/backing.h): a page at a time to or from
 * a regular file or a block device, asynchronous and past the page cache.
 *
 * A block device is given its I/O by whoever wants it, memory reclaim too: it takes no
 * lock on the way and has reserves of its own. What a file system does on the way is
 * nobody's business but a worker's: it would heed the caller's RLIMIT_FSIZE, and its
 * locks may be held by just the one whom memory reclaim is to help.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/blkdev.h>
#include <linux/completion.h>
#include <linux/cred.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include "kernel/module.h"

/* One page on its way. The I/O keeps the page, the file and the module; whoever waits may leave. */
struct cowmem_transfer {
	struct kiocb iocb;
	struct bio_vec bytes;
	struct work_struct work;
	struct completion done;
	refcount_t users; /* the I/O, and who waits */
	bool writes;
	long result; /* bytes, or -errno */
};

static struct workqueue_struct *workers;

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

/* kiocb::ki_complete: perhaps in an interrupt. */
static void end_transfer(struct kiocb *iocb, long result)
{
	struct cowmem_transfer *transfer = container_of(iocb, struct cowmem_transfer, iocb);
	struct file *file = iocb->ki_filp;

	if (transfer->writes && !is_device(file))
		kiocb_end_write(iocb);
	transfer->result = result;
	put_page(transfer->bytes.bv_page);
	fput(file);
	rcu_read_lock(); /* what frees the module's code waits for that */
	complete(&transfer->done);
	put(transfer);
	module_put(THIS_MODULE);
	rcu_read_unlock();
}

/* By the file's own operations, as loop does it: no business of the caller's security module. */
static void submit(struct cowmem_transfer *transfer)
{
	struct kiocb *iocb = &transfer->iocb;
	const struct file_operations *fops = iocb->ki_filp->f_op;
	struct iov_iter iter;
	ssize_t result;

	iov_iter_bvec(&iter, transfer->writes ? ITER_SOURCE : ITER_DEST, &transfer->bytes, 1,
	              PAGE_SIZE);
	if (transfer->writes && !is_device(iocb->ki_filp))
		kiocb_start_write(iocb);
	result = transfer->writes ? fops->write_iter(iocb, &iter) : fops->read_iter(iocb, &iter);
	if (result != -EIOCBQUEUED)
		end_transfer(iocb, result);
}

static void work(struct work_struct *item)
{
	const unsigned int before = memalloc_noio_save();

	submit(container_of(item, struct cowmem_transfer, work));
	memalloc_noio_restore(before);
}

/*
 * Begins to read or write page @place of @file; none: no memory. A write allocates without reclaim,
 * and out of the reserves only if it is one (@reserves).
 */
struct cowmem_transfer *cowmem_transfer_start(struct file *file, unsigned long place,
                                              struct folio *folio, bool writes, bool reserves)
{
	const gfp_t gfp = GFP_NOWAIT | __GFP_NOWARN | (reserves ? 0 : __GFP_NOMEMALLOC);
	struct cowmem_transfer *transfer = kmalloc(sizeof(*transfer), writes ? gfp : GFP_KERNEL);

	if (!transfer)
		return NULL;
	init_sync_kiocb(&transfer->iocb, get_file(file));
	transfer->iocb.ki_flags |= IOCB_DIRECT | (writes ? IOCB_WRITE : 0);
	transfer->iocb.ki_pos = (loff_t)place << PAGE_SHIFT;
	transfer->iocb.ki_complete = end_transfer;
	bvec_set_folio(&transfer->bytes, folio, PAGE_SIZE, 0);
	folio_get(folio);
	__module_get(THIS_MODULE);
	init_completion(&transfer->done);
	refcount_set(&transfer->users, 2);
	transfer->writes = writes;
	INIT_WORK(&transfer->work, work);
	if (is_device(file))
		submit(transfer);
	else
		queue_work(workers, &transfer->work);
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
struct file *cowmem_backing_open(const char *name, void *holder, unsigned long *pages, bool *device)
{
	struct file *file = open_protected(name, holder);

	if (IS_ERR(file)) {
		pr_err("cannot use %s as backing store (%ld): %s\n", name, PTR_ERR(file),
		       reason(PTR_ERR(file)));
		return file;
	}
	*pages = min_t(u64, i_size_read(file->f_mapping->host) >> PAGE_SHIFT, U32_MAX);
	*device = is_device(file);
	if (*device)
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

int cowmem_backing_init(void)
{
	int err = init_srcu_struct(&cowmem_bytes_stay);

	if (err)
		return err;
	workers = alloc_workqueue("cowmem", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (workers)
		return 0;
	cleanup_srcu_struct(&cowmem_bytes_stay);
	return -ENOMEM;
}

void cowmem_backing_exit(void)
{
	destroy_workqueue(workers);
	cleanup_srcu_struct(&cowmem_bytes_stay);
}
