// SPDX-License-Identifier: GPL-2.0
/*
 * The module as the kernel sees it: metadata, parameters, counters and the device.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/device.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/utsname.h>
#include <generated/utsrelease.h>

#include <linux/cowmem.h>
#include "kernel/large.h"
#include "kernel/module.h"
#include "kernel/symbols.h"

/* --- parameters --- */
static const char *const cow_names[] = {
	[COWMEM_COW_HANDLER] = "handler",
	[COWMEM_COW_CORE] = "core",
};

unsigned int cowmem_default_cow = COWMEM_COW_HANDLER;

static int cow_via_set(const char *value, const struct kernel_param *kp)
{
	int cow = sysfs_match_string(cow_names, value);

	if (cow < 0)
		return cow;
	WRITE_ONCE(cowmem_default_cow, cow);
	return 0;
}

static int cow_via_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", cow_names[READ_ONCE(cowmem_default_cow)]);
}

static const struct kernel_param_ops cow_via_ops = {.set = cow_via_set, .get = cow_via_get};
module_param_cb(cow_via, &cow_via_ops, NULL, 0644);
MODULE_PARM_DESC(cow_via, "Who copies a page at the first private write, for objects opened from "
                          "now on: handler (default) or core");

static const char *const huge_names[] = {
	[COWMEM_HUGE_NEVER] = "never",
	[COWMEM_HUGE_ADVISE] = "advise",
	[COWMEM_HUGE_ALWAYS] = "always",
};

unsigned int cowmem_default_huge = COWMEM_HUGE_NEVER;

static int huge_set(const char *value, const struct kernel_param *kp)
{
	int huge = sysfs_match_string(huge_names, value);

	if (huge < 0)
		return huge;
	if (huge && !(compat_has_large && cowmem_large_is_possible()))
		return -EOPNOTSUPP;
	WRITE_ONCE(cowmem_default_huge, huge);
	return 0;
}

static int huge_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", huge_names[READ_ONCE(cowmem_default_huge)]);
}

static const struct kernel_param_ops huge_ops = {.set = huge_set, .get = huge_get};
module_param_cb(huge, &huge_ops, NULL, 0644);
MODULE_PARM_DESC(
	huge,
	"When objects made from now on take memory in pages of 2 MiB, and files of mounts that say "
	"nothing of it: never (default), advise or always");

#define HUGE_SIZES (SZ_64K | SZ_2M)

static int huge_sizes_set(const char *value, const struct kernel_param *kp)
{
	unsigned int sizes;
	const int err = kstrtouint(value, 0, &sizes);

	if (err)
		return err;
	if (sizes & ~HUGE_SIZES)
		return -EINVAL;
	WRITE_ONCE(cowmem_parameters.huge_sizes, sizes);
	return 0;
}

static int huge_sizes_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%#x\n", READ_ONCE(cowmem_parameters.huge_sizes));
}

static const struct kernel_param_ops huge_sizes_ops = {.set = huge_sizes_set,
                                                       .get = huge_sizes_get};
module_param_cb(huge_sizes, &huge_sizes_ops, NULL, 0644);
MODULE_PARM_DESC(huge_sizes,
                 "What faults take at once in objects that take large pages, and calls that fill "
                 "2 MiB, a bit for each size in bytes: 0x10000 (64 KiB), 0x200000 (2 MiB), both "
                 "(default), or 0");

/* Until it is known how much memory there is. */
#define STORE_MAX_DEFAULT ULONG_MAX

struct cowmem_parameters cowmem_parameters = {
	.speculate_private = true,
	.speculate_read = true,
	.speculate_shared_write = true,
	.around_pages = 16,
	.around_shared = COWMEM_AROUND_TRYLOCK,
	.reuse = true,
	.make_room = true,
	.backing_readahead = 8,
	.store_max_pages = STORE_MAX_DEFAULT,
	.share = 8,
	.huge_sizes = HUGE_SIZES,
};

module_param_named(speculate_private, cowmem_parameters.speculate_private, bool, 0644);
MODULE_PARM_DESC(speculate_private, "Serve first private writes without locks if no writer comes "
                                    "by (default Y)");
module_param_named(speculate_read, cowmem_parameters.speculate_read, bool, 0644);
MODULE_PARM_DESC(speculate_read, "The same for reads of a resident page that fault-around did not "
                                 "map (default Y)");
module_param_named(speculate_shared_write, cowmem_parameters.speculate_shared_write, bool, 0644);
MODULE_PARM_DESC(speculate_shared_write, "The same for first writes to a resident page of a shared "
                                         "mapping (default Y)");
module_param_named(around_pages, cowmem_parameters.around_pages, uint, 0644);
MODULE_PARM_DESC(around_pages, "Pages that a fault maps at most, but for 64 KiB of huge_sizes: a "
                               "power of two up to 512, or the "
                               "next below (default 16); debugfs' fault_around_bytes of one page "
                               "turns that off for reads of what is in memory");

static const char *const around_names[] = {
	[COWMEM_AROUND_TRYLOCK] = "trylock",
	[COWMEM_AROUND_LOCKFREE] = "lockfree",
};

/* A parameter that is one of some words. */
struct choice {
	const char *const *names; /* by their values */
	size_t count;
	unsigned int *value;
};

static int choice_set(const char *value, const struct kernel_param *kp)
{
	const struct choice *choice = kp->arg;
	int chosen = __sysfs_match_string(choice->names, choice->count, value);

	if (chosen < 0)
		return chosen;
	WRITE_ONCE(*choice->value, chosen);
	return 0;
}

static int choice_get(char *buffer, const struct kernel_param *kp)
{
	const struct choice *choice = kp->arg;

	return sysfs_emit(buffer, "%s\n", choice->names[READ_ONCE(*choice->value)]);
}

static const struct kernel_param_ops choice_ops = {.set = choice_set, .get = choice_get};

static struct choice around_shared = {around_names, ARRAY_SIZE(around_names),
                                      &cowmem_parameters.around_shared};
module_param_cb(around_shared, &choice_ops, &around_shared, 0644);
MODULE_PARM_DESC(around_shared,
                 "Whether fault-around of shared mappings tries the page lock: trylock "
                 "(default), passing over pages that are locked, or lockfree");

module_param_named(reuse, cowmem_parameters.reuse, bool, 0644);
MODULE_PARM_DESC(reuse,
                 "Map what a read fault finds to be the object's own writable and clean, where "
                 "stores are permitted: no second fault when it is written (default Y)");

static int store_max_set(const char *value, const struct kernel_param *kp)
{
	unsigned long mib;
	int err = kstrtoul(value, 0, &mib);

	if (!err && mib > ULONG_MAX >> 20)
		err = -ERANGE;
	if (!err)
		WRITE_ONCE(cowmem_parameters.store_max_pages, mib << (20 - PAGE_SHIFT));
	return err;
}

static int store_max_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%lu\n",
	                  READ_ONCE(cowmem_parameters.store_max_pages) >> (20 - PAGE_SHIFT));
}

static const struct kernel_param_ops store_max_ops = {.set = store_max_set, .get = store_max_get};
module_param_cb(store_max_mib, &store_max_ops, NULL, 0644);
MODULE_PARM_DESC(store_max_mib, "MiB of memory that pages which are paged out may take, "
                                "compressed and with what tells where they are, in all; 0: no "
                                "limit (default: half of memory)");

/* One would have a store that makes room for itself begin with that as it is empty. */
#define SHARE_LEAST 2U
#define SHARE_MOST 1024U

static int share_set(const char *value, const struct kernel_param *kp)
{
	unsigned int share;
	int err = kstrtouint(value, 0, &share);

	if (!err && share && (share < SHARE_LEAST || share > SHARE_MOST))
		err = -ERANGE;
	if (!err)
		WRITE_ONCE(cowmem_parameters.share, share);
	return err;
}

static const struct kernel_param_ops share_ops = {.set = share_set, .get = param_get_uint};
module_param_cb(share, &share_ops, &cowmem_parameters.share, 0644);
MODULE_PARM_DESC(share,
                 "How many times what is left of that a memory cgroup may have, and what is in "
                 "none: the only one has 8/9, if it is 8 (default), two have 8/17 each; and "
                 "the same of what the parent may have; 2 to 1024; 0: first come, first "
                 "served");

/*
 * Before there is a store, the name is only noted. While the module is being loaded it cannot be set, as the store may go again:
 * parts of the module that come later may not be had.
 */
static char compressor[32] = "lzo-rle";
static enum { NO_STORE, STORE_COMES, HAS_STORE } stage;

static bool has_store_now(void)
{
	return stage == HAS_STORE;
}

/* What takes as long as it takes is done between the two: other parameters can be read and set meanwhile. */
static int let_parameters_go(void)
{
	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	kernel_param_unlock(THIS_MODULE);
	return 0;
}

static void have_parameters_again(void)
{
	kernel_param_lock(THIS_MODULE);
	module_put(THIS_MODULE);
}

/* What was stored before goes where it would go now. */
static int drain(void)
{
	int err = let_parameters_go();

	if (err)
		return err;
	err = cowmem_drain();
	have_parameters_again();
	return err;
}

/* @value, which ends with a newline or not, in @copy. */
static int copy_value(char *copy, const char *value, size_t room)
{
	size_t length = strcspn(value, "\n");

	if (length >= room)
		return -ENAMETOOLONG;
	memcpy(copy, value, length);
	copy[length] = '\0';
	return 0;
}

/* Takes @value for @name, which @select has the store use, if there is one. What was made by the one before is made anew. */
static int name_compressor(char *name, const char *value, int (*select)(const char *name))
{
	char copy[sizeof(compressor)];
	int err = copy_value(copy, value, sizeof(copy));

	if (err)
		return -EINVAL;
	if (stage == STORE_COMES)
		return -EAGAIN;
	if (has_store_now())
		err = select(copy);
	if (err == -ENOENT)
		pr_err("this kernel has no compressor \"%s\"; see /proc/crypto\n", copy);
	if (err)
		return err;
	strscpy(name, copy, sizeof(compressor));
	return has_store_now() ? drain() : 0;
}

static int compressor_set(const char *value, const struct kernel_param *kp)
{
	return name_compressor(compressor, value, cowmem_store_select);
}

static int compressor_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", compressor);
}

static const struct kernel_param_ops compressor_ops = {.set = compressor_set,
                                                       .get = compressor_get};
module_param_cb(compressor, &compressor_ops, NULL, 0644);
MODULE_PARM_DESC(compressor, "The kernel's compressor for pages that are paged out: lzo-rle "
                             "(default), lz4, zstd, ...; those that are out are compressed anew");

static char compressor_cold[sizeof(compressor)];

static int compressor_cold_set(const char *value, const struct kernel_param *kp)
{
	return name_compressor(compressor_cold, value, cowmem_store_select_cold);
}

static int compressor_cold_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", compressor_cold);
}

static const struct kernel_param_ops compressor_cold_ops = {.set = compressor_cold_set,
                                                            .get = compressor_cold_get};
module_param_cb(compressor_cold, &compressor_cold_ops, NULL, 0644);
MODULE_PARM_DESC(
	compressor_cold,
	"The same for those that recompress finds: one that takes longer, and makes less of them; "
	"empty: none (default)");

/* The same. */
static char backing[256];

static int backing_set(const char *value, const struct kernel_param *kp)
{
	char path[sizeof(backing)];
	int err = copy_value(path, value, sizeof(path));

	if (err)
		return err;
	if (stage == STORE_COMES)
		return -EAGAIN;
	if (has_store_now() && !capable(CAP_SYS_ADMIN))
		return -EPERM;
	/* The same once more goes on with what was interrupted. */
	if (has_store_now() && strcmp(path, backing))
		err = cowmem_backing_set(path);
	if (err == -EBUSY)
		pr_err("%s is in use, or too many files and devices have pages that could not "
		       "be moved: nothing changed\n",
		       path);
	if (err)
		return err;
	strscpy(backing, path, sizeof(backing));
	return has_store_now() ? drain() : 0;
}

static int backing_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%s\n", backing);
}

static const struct kernel_param_ops backing_ops = {.set = backing_set, .get = backing_get};
module_param_cb(backing, &backing_ops, NULL, 0600);
MODULE_PARM_DESC(backing,
                 "The file or block device, by its absolute path, for pages that are paged "
                 "out and that memory does not take; what is there is lost; empty: none "
                 "(default). Pages that are where it was before move");

static int leaving_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%lu\n", has_store_now() ? cowmem_store_left() : 0);
}

static const struct kernel_param_ops leaving_ops = {.get = leaving_get};
module_param_cb(leaving, &leaving_ops, NULL, 0444);
MODULE_PARM_DESC(leaving, "Pages that are out and have still to move since backing or compressor "
                          "was set");

/* Has @move do its work on all that was not used for @value seconds. */
static int move_cold(const char *value, int (*move)(unsigned long age))
{
	unsigned int seconds;
	int err = kstrtouint(value, 0, &seconds);

	if (!err && !has_store_now())
		err = -EINVAL;
	if (!err)
		err = let_parameters_go();
	if (err)
		return err;
	err = move((unsigned long)seconds * HZ);
	have_parameters_again();
	return err;
}

static int writeback_set(const char *value, const struct kernel_param *kp)
{
	return move_cold(value, cowmem_write_back);
}

static const struct kernel_param_ops writeback_ops = {.set = writeback_set};
module_param_cb(writeback, &writeback_ops, NULL, 0200);
MODULE_PARM_DESC(
	writeback,
	"Has what is compressed in memory, and was not used for so many seconds, go on to the "
	"backing store now");

static int recompress_set(const char *value, const struct kernel_param *kp)
{
	return move_cold(value, cowmem_recompress);
}

static const struct kernel_param_ops recompress_ops = {.set = recompress_set};
module_param_cb(recompress, &recompress_ops, NULL, 0200);
MODULE_PARM_DESC(recompress, "Has compressor_cold make less of what is compressed, and was not "
                             "used for so many seconds, now");
module_param_named(make_room, cowmem_parameters.make_room, bool, 0644);
MODULE_PARM_DESC(make_room, "Whether what is compressed and coldest goes on to the backing store "
                            "as store_max_mib comes "
                            "near (default)");
module_param_named(backing_readahead, cowmem_parameters.backing_readahead, uint, 0644);
MODULE_PARM_DESC(backing_readahead,
                 "Pages that one read brings in from the backing store at most, "
                 "with their neighbours, up to 16 (default 8); 1: no neighbours");

static const char *const backing_reclaim_names[] = {
	[COWMEM_RECLAIM_AUTO] = "auto",
	[COWMEM_RECLAIM_ALWAYS] = "always",
	[COWMEM_RECLAIM_NEVER] = "never",
};

static struct choice backing_reclaim = {backing_reclaim_names, ARRAY_SIZE(backing_reclaim_names),
                                        &cowmem_parameters.backing_reclaim};
module_param_cb(backing_reclaim, &choice_ops, &backing_reclaim, 0644);
MODULE_PARM_DESC(backing_reclaim,
                 "Whether memory reclaim writes to the backing store, and waits for that: auto "
                 "(default): if it is a block device that is not known to need a file system, a "
                 "network or a process for it; always: if it is a block device; or never");
module_param_named(backing_discard, cowmem_parameters.backing_discard, bool, 0644);
MODULE_PARM_DESC(backing_discard,
                 "Tell the device that is the backing store what is not in use there any more, "
                 "some at a time (default N)");

static int collapse_set(const char *value, const struct kernel_param *kp)
{
	unsigned int seconds;
	int err = kstrtouint(value, 0, &seconds);

	err = err ?: cowmem_collapse_every(seconds);
	if (err || seconds || !has_store_now())
		return err;
	err = let_parameters_go();
	if (err)
		return err;
	cowmem_collapse_wait();
	have_parameters_again();
	return 0;
}

static const struct kernel_param_ops collapse_ops = {.set = collapse_set, .get = param_get_uint};
module_param_cb(collapse, &collapse_ops, &cowmem_parameters.collapse, 0644);
MODULE_PARM_DESC(collapse,
                 "Seconds between two looks for whole blocks of 4 KiB pages, in objects that take "
                 "pages of 2 MiB, that can become one again; 0: none (default)");

/* --- counters, one sysfs file each --- */
DEFINE_PER_CPU(struct cowmem_counts, cowmem_counts);

unsigned long cowmem_counter_sum(enum cowmem_counter counter)
{
	unsigned long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(cowmem_counts, cpu).value[counter]);
	return sum;
}

#define X(name, what)                                                                            \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
	{                                                                                        \
		return sysfs_emit(buf, "%lu\n", cowmem_counter_sum(COWMEM_COUNT_##name));        \
	}                                                                                        \
	static DEVICE_ATTR_RO(name);
COWMEM_COUNTERS(X)
#undef X

static struct attribute *counter_attributes[] = {
#define X(name, what) &dev_attr_##name.attr,
	COWMEM_COUNTERS(X)
#undef X
		NULL,
};

static const struct attribute_group counter_group = {
	.name = "counters",
	.attrs = counter_attributes,
};

static const struct attribute_group *cowmem_groups[] = {&counter_group, NULL};

/* --- the device --- */
static struct miscdevice cowmem_device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "cowmem",
	.fops = &cowmem_fops,
	.groups = cowmem_groups,
	.mode = 0600,
};

/* --- slots (src/store/slot.h) and nodes (src/layers/node.h) --- */
struct kmem_cache *cowmem_slot_cache, *cowmem_leaf_cache, *cowmem_node_cache;

static void memory_exit(void)
{
	kmem_cache_destroy(cowmem_node_cache);
	kmem_cache_destroy(cowmem_leaf_cache);
	kmem_cache_destroy(cowmem_slot_cache);
}

/* Of a slot the second word is free for the allocator's own link, the count is not. */
static int __init memory_init(void)
{
	struct kmem_cache_args slot = {.align = 8, .use_freeptr_offset = true, .freeptr_offset = 8};
	struct kmem_cache_args tree = {.align = 16};
	const slab_flags_t flags = SLAB_ACCOUNT | SLAB_NO_MERGE;

	cowmem_slot_cache = kmem_cache_create("cowmem_slot", 32, &slot, SLAB_TYPESAFE_BY_RCU);
	cowmem_leaf_cache = kmem_cache_create("cowmem_leaf", 144, &tree, flags);
	cowmem_node_cache = kmem_cache_create("cowmem_node", 536, &tree, flags);
	if (cowmem_slot_cache && cowmem_leaf_cache && cowmem_node_cache)
		return 0;
	memory_exit();
	return -ENOMEM;
}

/* The head takes the place of what no look-up reads. */
void cowmem_node_free(void *node)
{
	struct {
		struct rcu_head rcu;
	} *head = node;

	kfree_rcu(head, rcu);
}

/* It knows the inside of the kernel that it was built for: one that is forced upon another is refused, too. */
static int __init kernel_init(void)
{
	if (!strcmp(init_utsname()->release, UTS_RELEASE))
		return 0;
	pr_err("built for Linux %s, and this is %s\n", UTS_RELEASE, init_utsname()->release);
	return -ENOEXEC;
}

static int __init store_init(void)
{
	int err;

	kernel_param_lock(THIS_MODULE);
	stage = STORE_COMES;
	kernel_param_unlock(THIS_MODULE);
	err = cowmem_store_init(compressor);
	if (cowmem_parameters.store_max_pages == STORE_MAX_DEFAULT)
		cowmem_parameters.store_max_pages = totalram_pages() / 2;
	if (err == -ENOENT)
		pr_err("this kernel has no compressor \"%s\"; see /proc/crypto\n", compressor);
	if (err)
		return err;
	err = cowmem_store_select_cold(compressor_cold);
	if (err == -ENOENT)
		pr_err("this kernel has no compressor \"%s\"; see /proc/crypto\n", compressor_cold);
	if (!err)
		err = cowmem_backing_set(backing);
	if (err)
		cowmem_store_exit();
	return err;
}

/* The parameters outlive it: whoever sets one at the same time finds that there is no store. */
static void store_exit(void)
{
	kernel_param_lock(THIS_MODULE);
	if (stage == HAS_STORE)
		stage = NO_STORE;
	cowmem_backing_set("");
	cowmem_discard_exit();
	cowmem_store_exit();
	kernel_param_unlock(THIS_MODULE);
}

/* From here on nothing fails any more. */
static int __init parameters_init(void)
{
	kernel_param_lock(THIS_MODULE);
	stage = HAS_STORE;
	kernel_param_unlock(THIS_MODULE);
	return 0;
}

static int __init objects_init(void)
{
	cowmem_objects_init();
	return 0;
}

static int __init device_init(void)
{
	if (!cowmem_has_dirty_bit())
		pr_info("no dirty bits set by hardware: the first write after a read is a fault\n");
	return misc_register(&cowmem_device);
}

static void device_exit(void)
{
	misc_deregister(&cowmem_device);
}

/* What the module consists of, each part resting on those before it. */
static const struct {
	int (*init)(void);
	void (*exit)(void);
} parts[] = {
	{kernel_init, NULL},
	{cowmem_symbols_resolve, NULL},
	{memory_init, memory_exit},
	{cowmem_backing_init, cowmem_backing_exit},
	{cowmem_relocation_init, cowmem_relocation_exit},
	{objects_init, NULL},
	{store_init, store_exit},
	{cowmem_debug_init, cowmem_debug_exit},
	{cowmem_inode_init, cowmem_inode_exit},
#if compat_has_large
	{cowmem_large_init, NULL},
#endif
	{cowmem_mount_init, cowmem_mount_exit},
	{cowmem_scan_control_init, NULL},
	{cowmem_shrinker_init, cowmem_shrinker_exit},
	{cowmem_room_init, cowmem_room_exit},
	{cowmem_collapser_init, cowmem_collapser_exit},
#if defined(CONFIG_X86_MCE) && defined(CONFIG_MEMORY_FAILURE)
	{cowmem_memory_failure_init, cowmem_memory_failure_exit},
#endif
	{device_init, device_exit},
	{parameters_init, NULL},
};

static void exit_parts(int n)
{
	while (n--)
		if (parts[n].exit)
			parts[n].exit();
}

static int __init cowmem_init(void)
{
	int i, err;

	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		err = parts[i].init();
		if (err) {
			exit_parts(i);
			return err;
		}
	}
	return 0;
}
module_init(cowmem_init);

static void __exit cowmem_exit(void)
{
	exit_parts(ARRAY_SIZE(parts));
}
module_exit(cowmem_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The cowmem authors");
MODULE_DESCRIPTION("Memory that can be mapped, snapshotted, cloned, paged out and inspected, "
                   "behind /dev/cowmem");
MODULE_VERSION("1.1.0");
