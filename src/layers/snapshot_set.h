/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Snapshots of several objects, all of one instant: the locks of all are held alone from before
 * the first is write-protected until the last is frozen. So who is late to write one of them
 * waits for all, and nothing that he does after that is in any of the snapshots.
 *
 * The order of the locks keeps two such sets, and RESTORE, from waiting for each other; nothing
 * else takes the locks of two objects. What somebody holds a lock for that is asked for here
 * keeps nobody else waiting but for the objects of the set: there is no lock for all sets.
 */
#ifndef COWMEM_SNAPSHOT_SET_H
#define COWMEM_SNAPSHOT_SET_H

#include <linux/cowmem.h>

#include "layers/object.h"

namespace cowmem {

class SnapshotSet {
public:
	/* One more, of which the file goes to @made. False: the object is one of them already. At most COWMEM_SNAPSHOT_SET_MAX. */
	[[nodiscard]] bool add(Object &object, file *&made);
	/*
	 * Takes them all. 0, -ENOMEM, -ENFILE, -EMLINK; -ESTALE: one was dropped; and the files that
	 * are made by then are good for nothing. Takes the write locks and the locks of the objects. Sleeps.
	 */
	int take();

private:
	static bool goes_before(const Object &a, const Object &b);
	void lock();
	void unlock();

	struct Member {
		Object *object;
		file **made;
	} member_[COWMEM_SNAPSHOT_SET_MAX]; /* in the order of their locks */
	unsigned int count_ = 0;
	kapi_lock_set set_;
};

} /* namespace cowmem */

#endif /* COWMEM_SNAPSHOT_SET_H */
