/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Snapshots of several objects, all of one instant: the locks of all are held alone from before
 * the first is write-protected until the last is frozen, and all are write-protected before the
 * first is frozen. So a writer that is late in one of them waits for all, and nothing that it
 * does after that is in any of the snapshots.
 *
 * The order of the objects' locks keeps two such sets from waiting for each other, and RESTORE, FICLONE
 * and FIDEDUPERANGE, which hold an object's lock and that of a snapshot; nothing else takes two.
 * write() may hold an object's write lock for as long as the user's memory takes, so a set waits for a write lock with no other held, and a write() that
 * begins then waits a moment, if the set's descriptor of the object may write.
 */
#ifndef COWMEM_SNAPSHOT_SET_H
#define COWMEM_SNAPSHOT_SET_H

#include <linux/cowmem.h>

#include "layers/object.h"

namespace cowmem {

class SnapshotSet {
public:
	/* One more, the object of @by, whose snapshot's file goes to @made. False: it is one of them already. At most COWMEM_SNAPSHOT_SET_MAX. */
	[[nodiscard]] bool add(const file *by, file *&made);
	/*
	 * Takes them all. 0, -ENOMEM, -ENFILE, -EMLINK; -ESTALE: one was dropped; and the files that
	 * are made by then are good for nothing; -EINTR: a fatal signal. Takes the write locks and the locks of the objects. Sleeps.
	 */
	int take();

private:
	static bool goes_before(const Object &a, const Object &b);
	Object *try_lock_writes(const Object *but);
	int lock_writes();
	int lock();
	void unlock();

	struct Member {
		Object *object;
		const file *by;
		file **made;
	} member_[COWMEM_SNAPSHOT_SET_MAX]; /* in the order of their locks */
	unsigned int count_ = 0;
	kapi_lock_set set_;
};

} /* namespace cowmem */

#endif /* COWMEM_SNAPSHOT_SET_H */
