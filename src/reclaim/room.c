// SPDX-License-Identifier: GPL-2.0
/*
 * The task that has what is cold make room in the store (src/reclaim/writeback.h), so that who reclaims memory need not write,
 * and wait. Kernel counterpart: shrink_wq of zswap.
 */
#include <linux/minmax.h>
#include <linux/rcupdate.h>
#include <linux/suspend.h>
#include <linux/workqueue.h>

#include "kernel/module.h"

#define LONGEST_REST 6U /* 2^5 seconds */

static struct workqueue_struct *queue;
static unsigned int in_vain;     /* runs, one after the other, that were of no use */
static unsigned long not_before; /* in jiffies: when the next run is due, at the earliest */

static void make_room(struct work_struct *work);
static DECLARE_DELAYED_WORK(room, make_room);

static void ask(void)
{
	struct workqueue_struct *to;
	long rest;

	rcu_read_lock();
	to = READ_ONCE(queue);
	rest = READ_ONCE(not_before) - jiffies;
	if (to)
		queue_delayed_work(to, &room, max(rest, 0L));
	rcu_read_unlock();
}

/* A run walks along all objects: as long as it took is for others, and more if it was of no use. */
static void make_room(struct work_struct *work)
{
	const unsigned long began = jiffies;

	if (time_before(began, READ_ONCE(not_before)))
		return ask(); /* that was asked for while the one before ran */
	in_vain = cowmem_make_room() ? 0 : min(in_vain + 1, LONGEST_REST);
	WRITE_ONCE(not_before, jiffies + max(jiffies - began,
	                                     in_vain ? (unsigned long)HZ << (in_vain - 1) : 0UL));
}

/* From then on, and until the exit: each page that goes into a store near its limit asks for it. */
void cowmem_make_room_soon(void)
{
	if (!delayed_work_pending(&room))
		ask();
}

/*
 * A workqueue that can be frozen waits for what it is at, and so does suspend, but not for long: so workers end what they are at
 * (kapi_is_interrupted()) from before user space is frozen, and go on when the machine wakes up.
 */
bool cowmem_machine_goes_to_sleep;

static int note_sleep(struct notifier_block *block, unsigned long event, void *unused)
{
	switch (event) {
	case PM_SUSPEND_PREPARE:
	case PM_HIBERNATION_PREPARE:
	case PM_RESTORE_PREPARE:
		WRITE_ONCE(cowmem_machine_goes_to_sleep, true);
		break;
	default:
		WRITE_ONCE(cowmem_machine_goes_to_sleep, false);
		cowmem_make_room_soon();
		if (READ_ONCE(cowmem_parameters.backing_discard))
			cowmem_discard_soon();
	}
	return NOTIFY_DONE;
}

static struct notifier_block sleep_notifier = {.notifier_call = note_sleep};

/* Not while the machine is put to sleep: then nobody writes to disks. */
int cowmem_room_init(void)
{
	struct workqueue_struct *made =
		alloc_workqueue("cowmem_room", WQ_UNBOUND | WQ_FREEZABLE, 1);
	int err;

	if (!made)
		return -ENOMEM;
	err = register_pm_notifier(&sleep_notifier);
	if (err) {
		destroy_workqueue(made);
		return err;
	}
	not_before = jiffies;
	WRITE_ONCE(queue, made);
	return 0;
}

/* Memory reclaim may still have an object in its hands that has no descriptor any more, and ask. */
void cowmem_room_exit(void)
{
	struct workqueue_struct *was = queue;

	unregister_pm_notifier(&sleep_notifier);
	WRITE_ONCE(queue, NULL);
	synchronize_rcu();
	cancel_delayed_work_sync(&room);
	destroy_workqueue(was);
}
