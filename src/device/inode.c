// SPDX-License-Identifier: GPL-2.0
/*
 * The inode of each object, a regular file's: its own address_space (so its own i_mmap tree
 * and invalidate lock), its own size, and an end of life when the last file, and so the last
 * mapping, is gone. Those that have no name live on a kernel-internal mount.
 */
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/pseudo_fs.h>
#include <linux/sched.h>

#include "kernel/module.h"

static struct vfsmount *cowmem_mount;

/* A page that mincore() finds; and as many bits as the index of any has, in whole nodes of an xarray. */
static struct folio *present;
#define MAX_INDEX_BITS 54

/* The last reference is gone: no file, no mapping, no walker can come any more. */
void cowmem_inode_evict(struct inode *inode)
{
	cowmem_evict(inode->i_private);
	xa_destroy(&inode->i_data.i_pages);
	truncate_inode_pages_final(&inode->i_data);
	clear_inode(inode);
}

/* Of one without a name. The module was kept for it: something may have it that is no file of ours, as with O_PATH. */
static void evict_unnamed(struct inode *inode)
{
	cowmem_inode_evict(inode);
	if (S_ISREG(inode->i_mode)) /* and not the mount's root */
		module_put(THIS_MODULE);
}

static const struct super_operations super_operations = {
	.statfs = simple_statfs,
	.evict_inode = evict_unnamed,
};

static int init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *context = init_pseudo(fc, COWMEM_FS_MAGIC);

	if (!context)
		return -ENOMEM;
	context->ops = &super_operations;
	return 0;
}

/* No owner: the mount must not pin the module; each inode does. */
static struct file_system_type file_system_type = {
	.name = "cowmem",
	.init_fs_context = init_fs_context,
	.kill_sb = kill_anon_super,
};

/*
 * A page was written: by a store whose dirty bit left the page table, or by the kernel
 * itself. It is asked only where PG_dirty is not set yet, which is why that is the mark
 * for "not as in the store" (layers/pages.h), and PAGEMAP takes it, too. Nobody else would
 * clean the page.
 */
static bool dirty_folio(struct address_space *mapping, struct folio *folio)
{
	if (!folio_test_checked(folio))
		folio_set_checked(folio);
	return !folio_test_set_dirty(folio);
}

/* A clean page need not be one that the store has, too, and is none that anybody else may drop. */
static bool release_folio(struct folio *folio, gfp_t gfp)
{
	return false;
}

static const struct address_space_operations address_space_operations = {
	.dirty_folio = dirty_folio,
	.release_folio = release_folio,
};

/* A snapshot is written by none, whoever asks: as with a read-only subvolume of btrfs. */
static int permission(struct mnt_idmap *idmap, struct inode *inode, int mask)
{
	if (mask & MAY_WRITE && cowmem_is_frozen(inode->i_private))
		return -EROFS;
	return generic_permission(idmap, inode, mask);
}

static int setattr(struct mnt_idmap *idmap, struct dentry *dentry, struct iattr *attr)
{
	struct inode *inode = d_inode(dentry);
	int err = setattr_prepare(idmap, dentry, attr);

	if (!err && attr->ia_valid & ATTR_SIZE)
		err = cowmem_resize(inode->i_private, attr->ia_size);
	if (err)
		return err;
	if (attr->ia_valid & ATTR_SIZE)
		inode_set_mtime_to_ts(inode, inode_set_ctime_current(inode));
	setattr_copy(idmap, inode, attr);
	return 0;
}

static int getattr(struct mnt_idmap *idmap, const struct path *path, struct kstat *stat,
                   u32 request_mask, unsigned int query_flags)
{
	struct inode *inode = d_inode(path->dentry);

	generic_fillattr(idmap, request_mask, inode, stat);
	if (request_mask & STATX_BLOCKS)
		stat->blocks = cowmem_blocks(inode->i_private);
	return 0;
}

static const struct inode_operations inode_operations = {
	.permission = permission,
	.setattr = setattr,
	.getattr = getattr,
};

struct vfsmount *cowmem_inode_mount(void)
{
	return cowmem_mount;
}

/*
 * A new inode of @mode on @sb, or, if that is NULL, on the internal mount: a regular file's is for
 * an object that it does not have yet. It has no link. Or ERR_PTR(): -ENOMEM, -ENOSPC. May sleep.
 */
struct inode *cowmem_inode_create(struct super_block *sb, umode_t mode)
{
	struct cowmem_space *space = sb ? sb->s_fs_info : NULL;
	struct inode *inode;

	if (space && !cowmem_limit_take(&space->inodes, 1))
		return ERR_PTR(-ENOSPC);
	inode = new_inode(sb ?: cowmem_mount->mnt_sb);
	if (!inode) {
		if (space)
			atomic_long_dec(&space->inodes.used);
		return ERR_PTR(-ENOMEM);
	}
	if (space)
		atomic_long_inc(&space->live);
	else
		__module_get(THIS_MODULE); /* its maker keeps the module */
	inode->i_ino = get_next_ino();
	inode_init_owner(&nop_mnt_idmap, inode, NULL, mode);
	simple_inode_init_ts(inode);
	if (S_ISREG(mode)) {
		inode->i_op = &inode_operations;
		inode->i_fop = &cowmem_file_fops;
	}
	inode->i_mapping->a_ops = &address_space_operations;
	mapping_set_release_always(inode->i_mapping);
	clear_nlink(inode);
	return inode;
}

/* The same where @like is, or, if that is NULL, on the internal mount: on another it may get a name. */
struct inode *cowmem_inode_create_like(const struct inode *like)
{
	struct inode *inode = cowmem_inode_create(like ? like->i_sb : NULL, S_IFREG | 0600);

	if (!IS_ERR(inode) && inode->i_sb != cowmem_mount->mnt_sb)
		inode_state_set_raw(inode, I_LINKABLE); /* nobody else has it yet */
	return inode;
}

/* Whether @folio, which may be any page and is locked, is one of an object or a family. */
bool cowmem_folio_is_ours(const struct folio *folio)
{
	const struct address_space *mapping = page_folio(&folio->page)->mapping;

	return mapping && !((unsigned long)mapping & FOLIO_MAPPING_FLAGS) &&
	       mapping->a_ops == &address_space_operations;
}

/*
 * mincore() looks for pages where the kernel has those of files, which is not where ours are.
 * It must not call absent what is in memory, since tools save what it names: so one page, of
 * which nothing else is known, is there for all.
 * khugepaged finds it, too: one that is on no list of the kernel's, which it leaves alone.
 * 0, -ENOMEM.
 */
int cowmem_mapping_call_present(struct address_space *mapping)
{
	XA_STATE_ORDER(xas, &mapping->i_pages, 0UL, MAX_INDEX_BITS);

	if (!xa_empty(&mapping->i_pages))
		return 0;
	do {
		xas_lock_irq(&xas);
		xas_store(&xas, present);
		xas_unlock_irq(&xas);
	} while (xas_nomem(&xas, GFP_KERNEL_ACCOUNT));
	return xas_error(&xas);
}

int cowmem_inode_init(void)
{
	present = folio_alloc(GFP_KERNEL, 0);
	if (!present)
		return -ENOMEM;
	__folio_mark_uptodate(present);
	cowmem_mount = kern_mount(&file_system_type);
	if (IS_ERR(cowmem_mount)) {
		folio_put(present);
		return PTR_ERR(cowmem_mount);
	}
	cowmem_mount->mnt_sb->s_maxbytes = COWMEM_MAX_BYTES;
	/* An object may have text, as a memfd may; newer kernels think otherwise of such a mount. */
	cowmem_mount->mnt_sb->s_iflags &= ~SB_I_NOEXEC;
	return 0;
}

void cowmem_inode_exit(void)
{
	kern_unmount(cowmem_mount);
	/* The last thread that looks at the super block, as sync() does, takes it from the type. */
	while (!hlist_empty(&file_system_type.fs_supers))
		schedule_timeout_uninterruptible(1);
	rcu_barrier(); /* free_inode() has returned */
	folio_put(present);
}
