// SPDX-License-Identifier: GPL-2.0
/* Files of objects: the tables that name the C++ entry points, and how a file is made. */
#include <linux/file.h>
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

/* What files of the device and of objects' own inodes have alike. */
#define COMMON_OPERATIONS                                                                         \
	.owner = THIS_MODULE, .mmap = cowmem_mmap, .unlocked_ioctl = cowmem_ioctl,                \
	.compat_ioctl = compat_ptr_ioctl, .llseek = cowmem_llseek, .read_iter = cowmem_read_iter, \
	.write_iter = cowmem_write_iter, .splice_read = copy_splice_read,                         \
	.splice_write = iter_file_splice_write, .fsync = noop_fsync

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

const struct file_operations cowmem_file_fops = {
	COMMON_OPERATIONS,
	.open = open_file,
	.fallocate = cowmem_fallocate,
	.fadvise = cowmem_fadvise,
};

/*
 * @made: a file of @inode, of which it takes the reference, on the mount of the asker's @by, or,
 * if the inode is not there, on the internal one. 0, -ENOMEM, -ENFILE.
 */
int cowmem_file_create(struct inode *inode, const struct file *by, const char *name, bool writable,
                       struct file **made)
{
	struct vfsmount *mount =
		by && by->f_path.mnt->mnt_sb == inode->i_sb ? by->f_path.mnt : cowmem_inode_mount();
	struct file *file = alloc_file_pseudo(inode, mount, name, writable ? O_RDWR : O_RDONLY,
	                                      &cowmem_file_fops);

	if (IS_ERR(file))
		return PTR_ERR(file);
	__module_get(THIS_MODULE); /* as open() does; the caller's file, or the device's, has one */
	file->f_flags |= O_LARGEFILE;
	file->f_mode |= FMODE_PREAD | FMODE_PWRITE | FMODE_ATOMIC_POS | FMODE_CAN_ODIRECT;
	file->private_data = inode->i_private;
	*made = file;
	return 0;
}
