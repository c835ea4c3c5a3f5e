// SPDX-License-Identifier: GPL-2.0
/*
 * The task that has what is cold make room in the store (src/reclaim/writeback.h), so that who reclaims memory need not write,
 * and wait. Kernel counterpart: shrink_wq of zswap.
 */
#include <linux/minmax.h>
#include <linux/workqueue.h>

#include "kernel/module.h"

#define LONGEST_REST 6U /* 2^5 seconds */

static struct workqueue_struct *queue;
static unsigned int in_vain; /* runs, one after the other, that found nothing to be moved */

static void make_room(struct work_struct *work)
{
	WRITE_ONCE(in_vain, cowmem_make_room() ? 0 : min(in_vain + 1, LONGEST_REST));
}

static DECLARE_DELAYED_WORK(room, make_room);

/* From then on, and until the exit: each page that goes into a store near its limit asks for it. */
void cowmem_make_room_soon(void)
{
	struct workqueue_struct *to = READ_ONCE(queue);
	const unsigned int rest = READ_ONCE(in_vain);

	if (to && !delayed_work_pending(&room))
		queue_delayed_work(to, &room, rest ? HZ << (rest - 1) : 0);
}

/* Not while the machine is put to sleep: then nobody writes to disks. */
int cowmem_room_init(void)
{
	struct workqueue_struct *made =
		alloc_workqueue("cowmem_room", WQ_UNBOUND | WQ_FREEZABLE, 1);

	if (!made)
		return -ENOMEM;
	WRITE_ONCE(queue, made);
	return 0;
}

/* No object is left but such as the work still looks at, and so nobody asks for it. */
void cowmem_room_exit(void)
{
	cancel_delayed_work_sync(&room);
	destroy_workqueue(queue);
}
