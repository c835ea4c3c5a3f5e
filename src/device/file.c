// SPDX-License-Identifier: GPL-2.0
/* Files of objects: the tables that name the C++ entry points, and how a file is made. */
#include <linux/file.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/splice.h>

#include "kernel/module.h"

/* With a map_pages, the handlers run under the VMA lock, without mmap_lock. */
#define FAULT_OPERATIONS .fault = cowmem_fault, .map_pages = cowmem_map_pages
#define VM_OPERATIONS FAULT_OPERATIONS, .page_mkwrite = cowmem_page_mkwrite

const struct vm_operations_struct cowmem_vm_ops = {VM_OPERATIONS};

#if compat_has_uffd_ops
/* Not read-write protection: entries without access that are in memory only, which page-out takes away. */
static bool can_userfault(struct vm_area_struct *vma, vm_flags_t modes)
{
	return !(modes & VM_UFFD_RWP);
}

/* Nor what is minor, of private mappings. */
static bool can_userfault_privately(struct vm_area_struct *vma, vm_flags_t modes)
{
	return !(modes & (VM_UFFD_RWP | VM_UFFD_MINOR));
}

/* Who fills it is charged for it, as who writes it is. */
static struct folio *alloc_folio(struct vm_area_struct *vma, unsigned long address)
{
	return vma_alloc_folio(GFP_HIGHUSER | __GFP_ACCOUNT, 0, vma, address);
}

static int add_folio(struct folio *folio, struct vm_area_struct *vma, unsigned long address)
{
	return cowmem_user_fill(vma, linear_page_index(vma, address), folio);
}

/* Its entry was not stored. Others may have seen it, or written it, by now: it stays. */
static void leave_folio(struct folio *folio, struct vm_area_struct *vma)
{
	folio_unlock(folio);
}

static struct folio *find_folio(struct inode *inode, pgoff_t index)
{
	struct folio *folio;
	int err = cowmem_user_find(inode->i_private, index, &folio);

	/* Of a large one the core finds the page at @index by itself. */
	return err ? ERR_PTR(err) : page_folio(&folio->page);
}

static const struct vm_uffd_ops uffd_ops = {
	.can_userfault = can_userfault,
	.get_folio_noalloc = find_folio,
	.alloc_folio = alloc_folio,
	.filemap_add = add_folio,
	.filemap_remove = leave_folio,
};

/* A private mapping may be that of a process which may only read the file: UFFDIO_CONTINUE would copy for the object. */
static const struct vm_uffd_ops private_uffd_ops = {.can_userfault = can_userfault_privately};
#endif

/* Of the device's inode the core would not know where the object ends. */
const struct vm_operations_struct cowmem_file_vm_ops = {
	VM_OPERATIONS WITH_UFFD_OPS(, .uffd_ops = &uffd_ops)};
/*
 * Of shared mappings that may store, of a pinnable object. The core lets others pin pages of a mapping to
 * write them for long only if nobody wants to know of first stores. It makes entries writable
 * by itself then, so none may have a page that is not the object's own.
 */
const struct vm_operations_struct cowmem_pinnable_vm_ops = {
	FAULT_OPERATIONS WITH_UFFD_OPS(, .uffd_ops = &uffd_ops)};
const struct vm_operations_struct cowmem_private_vm_ops = {
	VM_OPERATIONS WITH_UFFD_OPS(, .uffd_ops = &private_uffd_ops)};

#if compat_has_large
#define LARGE_OPERATIONS VM_OPERATIONS, .huge_fault = cowmem_large_fault

/* Of objects that take large folios: of the device's inode, or as for single pages above. */
const struct vm_operations_struct cowmem_large_vm_ops = {LARGE_OPERATIONS};
const struct vm_operations_struct cowmem_large_file_vm_ops = {
	LARGE_OPERATIONS WITH_UFFD_OPS(, .uffd_ops = &uffd_ops)};
const struct vm_operations_struct cowmem_large_private_vm_ops = {
	LARGE_OPERATIONS WITH_UFFD_OPS(, .uffd_ops = &private_uffd_ops)};

/* Mappings begin where one entry can map a large folio, and fault-around finds whole leaves. */
#define AND_AREA , .get_unmapped_area = thp_get_unmapped_area
#else
#define AND_AREA
#endif

/* Sizes are in pages. */
static void show_fdinfo(struct seq_file *m, struct file *file)
{
	struct cowmem_told told;

	cowmem_tell(file, &told);
	seq_printf(m, "cowmem-kind:\t%s\n", told.kind);
	if (told.pinnable)
		seq_puts(m, "cowmem-pinnable:\t1\n");
	seq_printf(m, "cowmem-family:\t%lu\n", told.family);
	seq_printf(m, "cowmem-parent:\t%lu\n", told.parent);
	seq_printf(m, "cowmem-pages:\t%lu\n", told.pages);
	seq_printf(m, "cowmem-own-pages:\t%lu\n", told.own_pages);
	seq_printf(m, "cowmem-large-pages:\t%lu\n", told.large_pages);
	seq_printf(m, "cowmem-own-slots:\t%lu\n", told.own_slots);
	if (told.max_slots != ULONG_MAX)
		seq_printf(m, "cowmem-max-slots:\t%lu\n", told.max_slots);
	if (told.max_copies != ULONG_MAX)
		seq_printf(m, "cowmem-copies:\t%lu of %lu\n", told.copies, told.max_copies);
}

/* What files of the device and of objects' own inodes have alike. */
#define COMMON_OPERATIONS                                                                         \
	.owner = THIS_MODULE, .mmap = cowmem_mmap, .unlocked_ioctl = cowmem_ioctl,                \
	.compat_ioctl = compat_ptr_ioctl, .llseek = cowmem_llseek, .read_iter = cowmem_read_iter, \
	.write_iter = cowmem_write_iter, .splice_read = copy_splice_read,                         \
	.splice_write = iter_file_splice_write, .fsync = noop_fsync,                              \
	.show_fdinfo = show_fdinfo AND_AREA

const struct file_operations cowmem_fops = {
	COMMON_OPERATIONS,
	.open = cowmem_open,
	.release = cowmem_release,
};

/* Opened by a path: the object is the inode's, which the path keeps. */
static int open_file(struct inode *inode, struct file *file)
{
	file->private_data = inode->i_private;
	file->f_mode |= FMODE_CAN_ODIRECT;
	return generic_file_open(inode, file);
}

/* Whether @length bytes at @position may be compared and shared: whole pages, but at the end of both. */
static int check_dedupe(const struct inode *in, const struct inode *out, loff_t position,
                        loff_t length)
{
	const loff_t end = position + length;

	if (end > i_size_read(in) || end > i_size_read(out))
		return -EINVAL;
	if (end & ~PAGE_MASK && (end != i_size_read(in) || end != i_size_read(out)))
		return -EINVAL;
	return in == out ? -EINVAL : 0;
}

/*
 * Pages can be shared where they have the same index. copy_file_range(), which may shorten, comes
 * here, too: for what is not many pages a copy costs less than a snapshot of all the file.
 */
static loff_t remap_file_range(struct file *in, loff_t position, struct file *out, loff_t to,
                               loff_t length, unsigned int flags)
{
	const loff_t few = 256 * PAGE_SIZE;
	int err;

	if (flags & ~(REMAP_FILE_DEDUP | REMAP_FILE_ADVISORY) || position != to ||
	    position & ~PAGE_MASK)
		return -EINVAL;
	if (flags & REMAP_FILE_DEDUP) {
		err = check_dedupe(file_inode(in), file_inode(out), position, length)
		              ?: cowmem_dedupe(in, out, position, position + length);
		return err ?: length;
	}
	if (flags & REMAP_FILE_CAN_SHORTEN && length < few)
		return -EOPNOTSUPP;
	lock_two_nondirectories(file_inode(in), file_inode(out));
	err = generic_remap_file_range_prep(in, position, out, to, &length, flags);
	if (!err && length)
		err = cowmem_join(in, out); /* no other two join meanwhile that one of them is of */
	unlock_two_nondirectories(file_inode(in), file_inode(out));
	if (!err && length)
		err = cowmem_reflink(in, out, position, position + length);
	return err ?: length;
}

const struct file_operations cowmem_file_fops = {
	COMMON_OPERATIONS,
	.open = open_file,
	.fallocate = cowmem_fallocate,
	.fadvise = cowmem_fadvise,
	.setlease = generic_setlease,
	.remap_file_range = remap_file_range,
};

/* One for all: what happens to snapshots happens seldom. */
static DECLARE_WAIT_QUEUE_HEAD(snapshot_events);

void cowmem_wake_pollers(void)
{
	/* Whoever calls this had a barrier behind what has happened, as poll_snapshot() has. */
	if (waitqueue_active(&snapshot_events))
		wake_up_all(&snapshot_events);
}

static __poll_t poll_snapshot(struct file *file, struct poll_table_struct *table)
{
	poll_wait(file, &snapshot_events, table);
	smp_mb(); /* the waiter is on the queue before it looks; with kapi_wake_pollers() */
	return (cowmem_has_news(file) ? EPOLLIN | EPOLLRDNORM : 0) |
	       (cowmem_is_last(file) ? EPOLLHUP : 0);
}

/* Of a snapshot: nobody writes it, and what happens to it can be waited for. */
const struct file_operations cowmem_snapshot_fops = {
	COMMON_OPERATIONS,
	.open = open_file,
	.fadvise = cowmem_fadvise,
	.setlease = generic_setlease,
	.remap_file_range = remap_file_range,
	.poll = poll_snapshot,
};

/*
 * @made: a file of @inode, of which it takes the reference, on the mount of the asker's @by, or,
 * if the inode is not there, on the internal one. 0, -ENOMEM, -ENFILE.
 */
int cowmem_file_create(struct inode *inode, const struct file *by, const char *name, bool writable,
                       struct file **made)
{
	const bool is_named = inode->i_sb != cowmem_inode_mount()->mnt_sb;
	struct vfsmount *mount = is_named ? by->f_path.mnt : cowmem_inode_mount();
	const int flags = (writable ? O_RDWR : O_RDONLY) | O_LARGEFILE;
	struct file *file, *opened;

	if (WARN_ON_ONCE(mount->mnt_sb != inode->i_sb))
		return -EINVAL;
	file = alloc_file_pseudo(inode, mount, name, is_named ? O_RDONLY : flags, inode->i_fop);
	if (IS_ERR(file))
		return PTR_ERR(file);
	__module_get(THIS_MODULE); /* as open() does; the caller's file, or the device's, has one */
	if (is_named) {
		/* Writers of a mount's files are counted, which a memfd's are not. */
		opened = dentry_open(&file->f_path, flags, current_cred());
		if (IS_ERR(opened))
			ihold(inode); /* the reference is the caller's again */
		fput(file);
		if (IS_ERR(opened))
			return PTR_ERR(opened);
		file = opened;
	}
	file->f_mode |= FMODE_PREAD | FMODE_PWRITE | FMODE_ATOMIC_POS | FMODE_CAN_ODIRECT;
	file->private_data = inode->i_private;
	*made = file;
	return 0;
}
