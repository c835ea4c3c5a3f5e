// SPDX-License-Identifier: GPL-2.0
/*
 * The file system "cowmem": objects with names. Directories and links are libfs's, held by the
 * dentry cache; a regular file is an object (device/inode.c). What its files take is limited,
 * page by page and inode by inode. Only the administrator may mount it: what user namespaces are
 * to be trusted with is charged to nobody yet.
 */
#include <linux/fs_context.h>
#include <linux/fs_parser.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/statfs.h>
#include <linux/wait_bit.h>

#include <linux/cowmem.h>

#include "kernel/large.h"
#include "kernel/module.h"

struct options {
	struct cowmem_space space;                          /* its limits, and nothing used */
	bool has_pages, has_inodes, has_pinnable, has_huge; /* was said */
	umode_t mode;
	kuid_t uid;
	kgid_t gid;
};

#define NO_LIMIT LONG_MAX /* and 0 to users, as of a tmpfs */

static const struct inode_operations directory_inode_operations;

/* --- inodes --- */

/* An inode of any kind, with one link, that @dir is to have; a regular file's has its object. Or ERR_PTR(). */
static struct inode *make_inode(struct mnt_idmap *idmap, struct super_block *sb, struct inode *dir,
                                umode_t mode, dev_t dev)
{
	struct inode *inode = cowmem_inode_create(sb, mode);
	int err = 0;

	if (IS_ERR(inode))
		return inode;
	inode_init_owner(idmap, inode, dir, mode);
	set_nlink(inode, 1);
	switch (mode & S_IFMT) {
	case S_IFREG:
		err = cowmem_create_at(inode);
		break;
	case S_IFDIR:
		inode->i_op = &directory_inode_operations;
		inode->i_fop = &simple_dir_operations;
		inc_nlink(inode);
		break;
	case S_IFLNK:
		inode->i_op = &simple_symlink_inode_operations;
		break;
	default:
		init_special_inode(inode, mode, dev);
	}
	lockdep_annotate_inode_mutex_key(inode);
	if (err)
		iput(inode);
	return err ? ERR_PTR(err) : inode;
}

/* @dentry of @dir is @inode's from now on, and stays in the cache until it is unlinked. 0 or -errno, and the inode is put. */
static int link_new(struct inode *dir, struct dentry *dentry, struct inode *inode)
{
	int err = security_inode_init_security(inode, dir, &dentry->d_name, NULL, NULL);

	if (err) {
		iput(inode);
		return err;
	}
	d_make_persistent(dentry, inode);
	inode_set_mtime_to_ts(dir, inode_set_ctime_current(dir));
	return 0;
}

static int make_node(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
                     umode_t mode, dev_t dev)
{
	struct inode *inode = make_inode(idmap, dir->i_sb, dir, mode, dev);

	return IS_ERR(inode) ? PTR_ERR(inode) : link_new(dir, dentry, inode);
}

static int create(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
                  umode_t mode BEFORE_7_3(, bool exclusive))
{
	return make_node(idmap, dir, dentry, mode | S_IFREG, 0);
}

static compat_mkdir make_directory(struct mnt_idmap *idmap, struct inode *dir,
                                   struct dentry *dentry, umode_t mode)
{
	int err = make_node(idmap, dir, dentry, mode | S_IFDIR, 0);

	if (!err)
		inc_nlink(dir);
	return compat_mkdir_result(err);
}

static int make_symlink(struct mnt_idmap *idmap, struct inode *dir, struct dentry *dentry,
                        const char *target)
{
	char *copy = kstrdup(target, GFP_KERNEL_ACCOUNT);
	struct inode *inode;

	if (!copy)
		return -ENOMEM;
	inode = make_inode(idmap, dir->i_sb, dir, S_IFLNK | 0777, 0);
	if (IS_ERR(inode)) {
		kfree(copy);
		return PTR_ERR(inode);
	}
	inode->i_link = copy;
	inode->i_size = strlen(copy);
	return link_new(dir, dentry, inode);
}

/* O_TMPFILE. */
static int make_unnamed(struct mnt_idmap *idmap, struct inode *dir, struct file *file, umode_t mode)
{
	struct inode *inode = make_inode(idmap, dir->i_sb, dir, mode, 0);
	int err;

	if (IS_ERR(inode))
		return PTR_ERR(inode);
	err = security_inode_init_security(inode, dir, &file_dentry(file)->d_name, NULL, NULL);
	if (err)
		iput(inode);
	else
		d_tmpfile(file, inode);
	return finish_open_simple(file, err);
}

static const struct inode_operations directory_inode_operations = {
	.lookup = simple_lookup,
	.create = create,
	.tmpfile = make_unnamed,
	.mkdir = make_directory,
	.symlink = make_symlink,
	.mknod = make_node,
	.link = simple_link,
	.unlink = simple_unlink,
	.rmdir = simple_rmdir,
	.rename = simple_rename,
};

/* --- the super block --- */

/* Reclaim may have inodes whose files are gone. It looks at each for a short time, and puts it. */
static void put_super(struct super_block *sb)
{
	struct cowmem_space *space = sb->s_fs_info;

	wait_var_event(&space->live, !atomic_long_read(&space->live));
}

/* After a grace period: nobody looks at the inode, or by it at the super block, any more. */
static void free_inode(struct inode *inode)
{
	struct cowmem_space *space = inode->i_sb->s_fs_info;

	if (S_ISLNK(inode->i_mode))
		kfree(inode->i_link);
	free_inode_nonrcu(inode);
	if (atomic_long_dec_and_test(&space->live))
		wake_up_var(&space->live);
}

static void evict_inode(struct inode *inode)
{
	struct cowmem_space *space = inode->i_sb->s_fs_info;

	cowmem_inode_evict(inode);
	atomic_long_dec(&space->inodes.used);
}

/* What users are told of a limit: how many, and how many are left. */
static u64 told_most(const struct cowmem_limit *limit)
{
	const long most = READ_ONCE(limit->most);

	return most == NO_LIMIT ? 0 : most;
}

static u64 told_left(const struct cowmem_limit *limit)
{
	return max_t(s64, told_most(limit) - atomic_long_read(&limit->used), 0);
}

static int statfs(struct dentry *dentry, struct kstatfs *buf)
{
	const struct cowmem_space *space = dentry->d_sb->s_fs_info;
	const int err = simple_statfs(dentry, buf);

	buf->f_blocks = told_most(&space->pages);
	buf->f_bfree = buf->f_bavail = told_left(&space->pages);
	buf->f_files = told_most(&space->inodes);
	buf->f_ffree = told_left(&space->inodes);
	return err;
}

static int show_options(struct seq_file *m, struct dentry *root)
{
	const struct cowmem_space *space = root->d_sb->s_fs_info;
	const struct inode *inode = d_inode(root);

	seq_printf(m, ",size=%lluk", told_most(&space->pages) << (PAGE_SHIFT - 10));
	seq_printf(m, ",nr_inodes=%llu", told_most(&space->inodes));
	if (READ_ONCE(space->pinnable))
		seq_puts(m, ",pinnable");
	if (READ_ONCE(space->huge))
		seq_printf(m, ",huge=%s",
		           READ_ONCE(space->huge) == COWMEM_HUGE_ALWAYS ? "always" : "advise");
	seq_printf(m, ",mode=%03ho", inode->i_mode & S_IALLUGO);
	seq_printf(m, ",uid=%u,gid=%u", from_kuid_munged(seq_user_ns(m), inode->i_uid),
	           from_kgid_munged(seq_user_ns(m), inode->i_gid));
	return 0;
}

static const struct super_operations super_operations = {
	.statfs = statfs,
	.drop_inode = inode_just_drop,
	.free_inode = free_inode,
	.evict_inode = evict_inode,
	.put_super = put_super,
	.show_options = show_options,
};

/* --- mounting --- */
enum parameter { SIZE, NR_INODES, PINNABLE, HUGE, MODE, UID, GID };

/* A tmpfs' words. No large folio reaches beyond its file's end, so two of them are one. */
static const struct constant_table huge_words[] = {
	{"never", COWMEM_HUGE_NEVER},
	{"advise", COWMEM_HUGE_ADVISE},
	{"within_size", COWMEM_HUGE_ALWAYS},
	{"always", COWMEM_HUGE_ALWAYS},
	{},
};

static const struct fs_parameter_spec parameters[] = {
	fsparam_string("size", SIZE),
	fsparam_string("nr_inodes", NR_INODES),
	fsparam_flag_no("pinnable", PINNABLE),
	fsparam_enum("huge", HUGE, huge_words),
	fsparam_u32oct("mode", MODE),
	fsparam_uid("uid", UID),
	fsparam_gid("gid", GID),
	{},
};

/* A number with a suffix of memparse(), or, if @of, a percentage of that. */
static int parse_number(const char *text, unsigned long long of, unsigned long long *number)
{
	char *rest;

	*number = memparse(text, &rest);
	if (of && *rest == '%') {
		if (*number > 100)
			return -EINVAL;
		*number = mul_u64_u64_div_u64(*number, of, 100);
		rest++;
	}
	return *rest || rest == text ? -EINVAL : 0;
}

static int parse(struct fs_context *fc, struct fs_parameter *param)
{
	struct options *options = fc->fs_private;
	struct fs_parse_result result;
	unsigned long long number;
	const int parameter = fs_parse(fc, parameters, param, &result);

	if (parameter < 0)
		return parameter;
	switch ((enum parameter)parameter) {
	case SIZE:
		if (parse_number(param->string, totalram_pages() << PAGE_SHIFT, &number) ||
		    number > COWMEM_MAX_BYTES)
			return invalfc(fc, "size: bytes, with k, m or g, or a percentage");
		options->space.pages.most = DIV_ROUND_UP_ULL(number, PAGE_SIZE) ?: NO_LIMIT;
		options->has_pages = true;
		return 0;
	case NR_INODES:
		if (parse_number(param->string, 0, &number) || number > LONG_MAX)
			return invalfc(fc, "nr_inodes: a number, with k, m or g");
		options->space.inodes.most = number ?: NO_LIMIT;
		options->has_inodes = true;
		return 0;
	case PINNABLE:
		options->space.pinnable = !result.negated;
		options->has_pinnable = true;
		return 0;
	case HUGE:
		if (result.uint_32 && !(compat_has_large && cowmem_large_is_possible()))
			return invalfc(fc, "huge: this kernel's large pages are not used");
		options->space.huge = result.uint_32;
		options->has_huge = true;
		return 0;
	case MODE:
		options->mode = result.uint_32 & 07777;
		return 0;
	case UID: {
		const kuid_t uid = compat_uid(fc, &result);

		if (!uid_valid(uid))
			return -EINVAL;
		options->uid = uid;
		return 0;
	}
	case GID: {
		const kgid_t gid = compat_gid(fc, &result);

		if (!gid_valid(gid))
			return -EINVAL;
		options->gid = gid;
		return 0;
	}
	}
	return -EINVAL;
}

static int fill_super(struct super_block *sb, struct fs_context *fc)
{
	const struct options *options = fc->fs_private;
	struct inode *root;

	sb->s_maxbytes = COWMEM_MAX_BYTES;
	sb->s_blocksize = PAGE_SIZE;
	sb->s_blocksize_bits = PAGE_SHIFT;
	sb->s_magic = COWMEM_FS_MAGIC;
	sb->s_op = &super_operations;
	sb->s_time_gran = 1;
	sb->s_fs_info = kmemdup(&options->space, sizeof(options->space), GFP_KERNEL);
	if (!sb->s_fs_info)
		return -ENOMEM;
	refcount_set(&((struct cowmem_space *)sb->s_fs_info)->references, 1);
	root = make_inode(&nop_mnt_idmap, sb, NULL, S_IFDIR | options->mode, 0);
	if (IS_ERR(root))
		return PTR_ERR(root);
	root->i_uid = options->uid;
	root->i_gid = options->gid;
	sb->s_root = d_make_root(root);
	if (!sb->s_root) {
		rcu_barrier(); /* for free_inode() of the root, which put_super() waits for otherwise */
		return -ENOMEM;
	}
	return 0;
}

static int get_tree(struct fs_context *fc)
{
	struct options *options = fc->fs_private;

	if (options->space.pinnable && !options->has_huge)
		options->space.huge = COWMEM_HUGE_NEVER;
	if (options->space.pinnable && options->space.huge)
		return invalfc(fc, "pinnable and huge do not go together");
	return get_tree_nodev(fc, fill_super);
}

/* Has @limit at @most. False: there are more. */
static bool move_limit(struct cowmem_limit *limit, long most)
{
	const long before = limit->most;

	WRITE_ONCE(limit->most, most);
	if (atomic_long_read(&limit->used) <= most)
		return true;
	WRITE_ONCE(limit->most, before);
	return false;
}

/*
 * Limits may be moved, but not below what is used; files that are made from then on are pinnable, or huge, or not; the
 * rest is the root's and changed there.
 */
static int reconfigure(struct fs_context *fc)
{
	const struct options *options = fc->fs_private;
	struct cowmem_space *space = fc->root->d_sb->s_fs_info;

	const unsigned int huge = options->has_huge ? options->space.huge : space->huge;

	if (huge && (options->has_pinnable ? options->space.pinnable : space->pinnable))
		return invalfc(fc, "pinnable and huge do not go together");
	if (options->has_pages && !move_limit(&space->pages, options->space.pages.most))
		return invalfc(fc, "size: more is used");
	if (options->has_inodes && !move_limit(&space->inodes, options->space.inodes.most))
		return invalfc(fc, "nr_inodes: more are used");
	if (options->has_pinnable)
		WRITE_ONCE(space->pinnable, options->space.pinnable);
	WRITE_ONCE(space->huge, huge);
	return 0;
}

static void free_context(struct fs_context *fc)
{
	kfree(fc->fs_private);
}

static const struct fs_context_operations context_operations = {
	.free = free_context,
	.parse_param = parse,
	.get_tree = get_tree,
	.reconfigure = reconfigure,
};

/* As of a tmpfs, half of the memory, and as many inodes as that has pages. */
static int init_fs_context(struct fs_context *fc)
{
	struct options *options = kzalloc(sizeof(*options), GFP_KERNEL);

	if (!options)
		return -ENOMEM;
	options->space.pages.most = options->space.inodes.most = totalram_pages() / 2;
	options->space.huge = READ_ONCE(cowmem_default_huge);
	options->mode = 01777;
	options->uid = current_fsuid();
	options->gid = current_fsgid();
	fc->fs_private = options;
	fc->ops = &context_operations;
	return 0;
}

static void kill_super(struct super_block *sb)
{
	struct cowmem_space *space = sb->s_fs_info;

	compat_kill_tree(sb);
	if (space)
		cowmem_space_put(space);
}

static struct file_system_type file_system_type = {
	.owner = THIS_MODULE,
	.name = "cowmem",
	.init_fs_context = init_fs_context,
	.parameters = parameters,
	.kill_sb = kill_super,
};
MODULE_ALIAS_FS("cowmem");

int cowmem_mount_init(void)
{
	return register_filesystem(&file_system_type);
}

void cowmem_mount_exit(void)
{
	unregister_filesystem(&file_system_type);
}
