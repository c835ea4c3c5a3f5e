// SPDX-License-Identifier: GPL-2.0
/*
 * The worker that has pages become large folios again (src/layers/collapse_all.cc), if the parameter `collapse` says how often.
 * Kernel counterpart: khugepaged.
 */
#include <linux/minmax.h>
#include <linux/workqueue.h>

#include "kernel/large.h"
#include "kernel/module.h"

static struct workqueue_struct *queue;

static void collapse(struct work_struct *work);
static DECLARE_DELAYED_WORK(collapser, collapse);

/* At the earliest in @rest jiffies. */
static void collapse_in(unsigned long rest)
{
	struct workqueue_struct *to = READ_ONCE(queue);
	const unsigned long seconds = READ_ONCE(cowmem_parameters.collapse);

	if (to && seconds)
		mod_delayed_work(to, &collapser, max(seconds * HZ, rest));
}

/* A run walks along all objects: at least as long as it took is for others. */
static void collapse(struct work_struct *work)
{
	const unsigned long began = jiffies;

	cowmem_collapse_all();
	collapse_in(jiffies - began);
}

/* Of parameters only one is set at a time. */
int cowmem_collapse_every(unsigned int seconds)
{
	if (seconds && !(compat_has_large && cowmem_large_is_possible()))
		return -EOPNOTSUPP;
	WRITE_ONCE(cowmem_parameters.collapse, seconds);
	if (!seconds)
		cancel_delayed_work(&collapser);
	collapse_in(0);
	return 0;
}

/* A run ends soon if the parameter is 0, and then it has. Sleeps. */
void cowmem_collapse_wait(void)
{
	flush_work(&collapser.work);
}

/* Not while the machine is put to sleep. */
int cowmem_collapser_init(void)
{
	struct workqueue_struct *made =
		alloc_workqueue("cowmem_collapse", WQ_UNBOUND | WQ_FREEZABLE, 1);

	if (!made)
		return -ENOMEM;
	kernel_param_lock(THIS_MODULE);
	WRITE_ONCE(queue, made);
	collapse_in(0);
	kernel_param_unlock(THIS_MODULE);
	return 0;
}

/* Whoever sets the parameter behind this finds that there is no queue. */
void cowmem_collapser_exit(void)
{
	struct workqueue_struct *was = queue;

	kernel_param_lock(THIS_MODULE);
	WRITE_ONCE(queue, NULL);
	kernel_param_unlock(THIS_MODULE);
	cancel_delayed_work_sync(&collapser);
	destroy_workqueue(was);
}
