// SPDX-License-Identifier: GPL-2.0
/*
 * The I/O of the backing store (include/cowmem/backing.h): a page at a time to or from
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
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/namei.h>
#include <linux/ratelimit.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include <linux/workqueue.h>

#include <cowmem/module.h>

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

/* Begins to read or write page @place of @file; none: no memory. A write allocates without reclaim. */
struct cowmem_transfer *cowmem_transfer_start(struct file *file, unsigned long place,
                                              struct folio *folio, bool writes)
{
	struct cowmem_transfer *transfer =
		kmalloc(sizeof(*transfer), writes ? GFP_NOWAIT | __GFP_NOWARN : GFP_KERNEL);

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

static struct file *open_path(const char *name)
{
	static char holder; /* of block devices: no file system, no swap beside us */
	struct path path;
	umode_t mode;
	int err = *name == '/' ? kern_path(name, LOOKUP_FOLLOW, &path) : -EINVAL;

	if (err)
		return ERR_PTR(err);
	mode = d_backing_inode(path.dentry)->i_mode;
	path_put(&path);
	if (S_ISBLK(mode))
		return bdev_file_open_by_path(name, BLK_OPEN_READ | BLK_OPEN_WRITE, &holder, NULL);
	return S_ISREG(mode) ? filp_open(name, O_RDWR | O_LARGEFILE | O_DIRECT, 0)
	                     : ERR_PTR(-EINVAL);
}

/* Opens the file or device at @name, of so many whole pages. An ERR_PTR, and a line in the log. */
struct file *cowmem_backing_open(const char *name, unsigned long *pages, bool *device)
{
	struct file *file = open_path(name);

	if (IS_ERR(file)) {
		pr_err("cannot use %s as backing store (%ld): it must be the absolute path of a "
		       "block device that nobody else uses, or of a file that can be opened "
		       "O_DIRECT\n",
		       name, PTR_ERR(file));
		return file;
	}
	*pages = min_t(u64, i_size_read(file->f_mapping->host) >> PAGE_SHIFT, U32_MAX);
	*device = is_device(file);
	if (*device)
		invalidate_bdev(file_bdev(file)); /* so that no I/O goes through the page cache */
	if (*pages)
		return file;
	pr_err("cannot use %s as backing store: it has not one page\n", name);
	fput(file);
	return ERR_PTR(-ENOSPC);
}

int cowmem_backing_init(void)
{
	workers = alloc_workqueue("cowmem", WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	return workers ? 0 : -ENOMEM;
}

void cowmem_backing_exit(void)
{
	destroy_workqueue(workers);
}
