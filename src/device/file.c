// SPDX-License-Identifier: GPL-2.0
/* Files of objects: the tables that name the C++ entry points, and how a file is made. */
#include <linux/anon_inodes.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/splice.h>

#include "kernel/module.h"

/* With a map_pages, the handlers run under the VMA lock, without mmap_lock. */
const struct vm_operations_struct cowmem_vm_ops = {
	.fault = cowmem_fault,
	.map_pages = cowmem_map_pages,
	.page_mkwrite = cowmem_page_mkwrite,
};

const struct file_operations cowmem_fops = {
	.owner = THIS_MODULE,
	.open = cowmem_open,
	.release = cowmem_release,
	.mmap = cowmem_mmap,
	.unlocked_ioctl = cowmem_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.llseek = cowmem_llseek,
	.read_iter = cowmem_read_iter,
	.write_iter = cowmem_write_iter,
	.splice_read = copy_splice_read,
	.splice_write = iter_file_splice_write,
	.fsync = noop_fsync,
};

/* @made: a file of @object's, other than of the device; @inode is its. 0, -ENOMEM, -ENFILE. */
int cowmem_file_create(struct inode *inode, void *object, bool writable, struct file **made)
{
	struct file *file =
		anon_inode_getfile("[cowmem]", &cowmem_fops, object, writable ? O_RDWR : O_RDONLY);

	if (IS_ERR(file))
		return PTR_ERR(file);
	/* As open() has them: a position to seek, and no end of what can be written at 2 GiB. */
	file->f_flags |= O_LARGEFILE;
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD | FMODE_PWRITE;
	cowmem_file_bind(file, inode, object);
	*made = file;
	return 0;
}
