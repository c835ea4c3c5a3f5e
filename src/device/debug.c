// SPDX-License-Identifier: GPL-2.0
/*
 * /sys/kernel/debug/cowmem, for root: what each memory cgroup has in the store (src/store/owners.h). A line for each that has
 * something there, or has one below it that does, with the figures of all below it: the inode of its directory, key=value, and its path
 * at the end, if it was not removed.
 */
#include <linux/cgroup.h>
#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "kernel/kapi.h"
#include "kernel/module.h"

static struct dentry *directory;

#ifdef CONFIG_MEMCG
/* Of a cgroup of the one hierarchy, of which the kernel finds one by that number. */
static void show_path(struct seq_file *file, unsigned long id)
{
	struct cgroup *cgroup;
	char *to;
	size_t room;
	int length;

	if (!cgroup_subsys_on_dfl(memory_cgrp_subsys))
		return;
	cgroup = cgroup_get_from_id(id);
	if (IS_ERR(cgroup))
		return;
	seq_puts(file, " path=");
	room = seq_get_buf(file, &to);
	/* Without room there is no buffer, either: all is shown again then, into a larger one. */
	length = room ? cgroup_path(cgroup, to, room) : -1;
	seq_commit(file, length >= 0 && length < room ? length : -1);
	cgroup_put(cgroup);
}
#else
static void show_path(struct seq_file *file, unsigned long id) {}
#endif

static int cgroups_show(struct seq_file *file, void *unused)
{
	struct kapi_group group;

	for (unsigned long from = 0; cowmem_group_next(&from, &group); from++) {
		seq_printf(file, "%lu slots=%lu original=%lu compressed=%lu memory=%lu most=%lu",
		           group.id, group.slots, group.original, group.compressed, group.memory,
		           group.most);
		if (group.id)
			show_path(file, group.id);
		seq_putc(file, '\n');
		if (seq_has_overflowed(file))
			break;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(cgroups);

int cowmem_debug_init(void)
{
	directory = debugfs_create_dir("cowmem", NULL);
	debugfs_create_file("cgroups", 0400, directory, NULL, &cgroups_fops);
	return 0;
}

void cowmem_debug_exit(void)
{
	debugfs_remove(directory);
}
