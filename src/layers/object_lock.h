/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The lock of an object, and the sequence count by which a fault that holds no lock of ours
 * knows that nobody has held it alone meanwhile.
 *
 * It is shared by who adds something to what the object has: faults, copies, what comes out of
 * the store. It is held alone by who takes something away, or freezes it: PUNCH, RESIZE,
 * RESTORE, SNAPSHOT, CLONE, MOVE, POISON, COLLAPSE, asked for or not, FIDEDUPERANGE of this object,
 * what fallocate(), write() and PREFETCH undo, the end of a snapshot whose limit is reached. No other object's faults take it.
 *
 * The count is even when quiet, odd while the lock is held alone, and grows by 2 each time. It
 * is no seqlock: a reader that meets an odd count does not wait for it to become even, it takes
 * the lock instead, so a writer may sleep as long as it likes. A reader does the same when the
 * count has changed.
 *
 * The commit rule. A reader stores a PTE only under the PTE lock, after a full barrier, with
 * the count as it was before the look-up of what the PTE maps. A writer makes the count odd,
 * has a full barrier, unmaps, and changes what the object has after that. Then a PTE that maps
 * what the writer removes is either seen by the writer or never stored:
 *
 *   - Where the writer takes the PTE lock, one of the two comes first. The writer: the reader
 *     sees the odd count, which was stored before. The reader: the writer sees the PTE.
 *   - Where the writer takes no PTE lock, it found no page table. Its look for one comes after
 *     its barrier, the reader's load of the count after the reader's, and the reader had found
 *     a page table, or put one there, before. So not both can have missed the other: that is
 *     the store-buffer pattern, forbidden by the two barriers.
 *
 * kunit/model/speculate.pml is this, over weak memory, with every interleaving.
 *
 * Two changes leave the count alone, so that they disturb no other page's fault:
 *
 *   - Copy-on-write (layers/break_cow.cc) takes nothing away. It puts the copy into the tree,
 *     has a full barrier, and makes every entry that maps the old page map the copy; only then
 *     is the copy the object's own. So a reader of a page that is not the object's own looks at
 *     the tree once more after its barrier, and a page that is to be written must be the
 *     object's own then.
 *   - Page-out (reclaim/page_out.h) takes away what nobody uses: a reader has a reference.
 *
 * Why not the kernel's own mm_lock_seq, which counts the writers of an mm: a handler of ours
 * runs under the VMA lock or mmap_lock, so the mapping it works for cannot change. That count
 * would tell it of changes to other mappings only, and abort it for nothing; and it says
 * nothing of the object, whose writers need not have an mm.
 */
#ifndef COWMEM_OBJECT_LOCK_H
#define COWMEM_OBJECT_LOCK_H

#include "kernel/kapi.h"
#include "kernel/thread_safety.h"

namespace cowmem {

class CAPABILITY("object") ObjectLock {
public:
	ObjectLock() { kapi_rwsem_init(&lock_, KAPI_LOCK_OBJECT); }
	ObjectLock(const ObjectLock &) = delete;
	ObjectLock &operator=(const ObjectLock &) = delete;

	void lock_shared() ACQUIRE_SHARED()
	{
		count_wait();
		kapi_rwsem_lock_shared(&lock_);
	}
	/* False: a fatal signal ended the wait, which that does only if @killable. */
	[[nodiscard]] bool lock_shared(bool killable) TRY_ACQUIRE_SHARED(true)
	{
		if (killable) {
			count_wait();
			return !kapi_rwsem_lock_shared_killable(&lock_);
		}
		lock_shared();
		return true;
	}
	bool try_lock_shared() TRY_ACQUIRE_SHARED(true)
	{
		return kapi_rwsem_trylock_shared(&lock_);
	}
	void unlock_shared() RELEASE_SHARED() { kapi_rwsem_unlock_shared(&lock_); }
	void lock() ACQUIRE()
	{
		kapi_rwsem_lock(&lock_);
		make_odd();
	}
	/* False: a fatal signal ended the wait. */
	[[nodiscard]] bool lock_killable() TRY_ACQUIRE(true)
	{
		if (kapi_rwsem_lock_killable(&lock_))
			return false;
		make_odd();
		return true;
	}
	/* The same for who takes those of several objects, in the order that rmap/walk.h has for them. */
	void lock_of_set(kapi_lock_set &set) ACQUIRE()
	{
		kapi_rwsem_lock_of_set(&lock_, &set);
		make_odd();
	}
	void unlock() RELEASE()
	{
		__atomic_store_n(&count_, count_ + 1, __ATOMIC_RELEASE);
		kapi_rwsem_unlock(&lock_);
	}
	/* The same for who holds another object's, which is no snapshot. */
	void lock_shared_below() ACQUIRE_SHARED() { kapi_rwsem_lock_shared_below(&lock_); }
	/* What the count was when a reader began. */
	class Reading {
	public:
		/* Whether nobody held the lock alone; otherwise there is nothing to attempt. */
		bool quiet() const { return value_ % 2 == 0; }

	private:
		friend class ObjectLock;
		explicit Reading(unsigned long value) : value_{value} {}
		unsigned long value_;
	};

	/* Begins an attempt: what is looked up afterwards is at least as new. */
	Reading read() const { return Reading{__atomic_load_n(&count_, __ATOMIC_ACQUIRE)}; }
	/* Whether nobody has held it alone since @reading, as far as what was read until now. */
	bool unchanged(Reading reading) const
	{
		kapi_smp_rmb();
		return count() == reading.value_;
	}
	/*
	 * The same, under the PTE lock that was just taken: true holds until that lock
	 * is dropped, for every page table entry under it (the commit rule).
	 */
	bool may_commit(Reading reading) const
	{
		kapi_smp_mb_after_lock();
		return count() == reading.value_;
	}

	/* For tests and statistics. */
	unsigned long count() const { return __atomic_load_n(&count_, __ATOMIC_RELAXED); }
#ifdef COWMEM_KUNIT
	/* Holds off all who take the lock, but the count stays even. */
	void lock_quietly() { kapi_rwsem_lock(&lock_); }
	void unlock_quietly() { kapi_rwsem_unlock(&lock_); }
#endif

private:
	void count_wait() const
	{
		if (!read().quiet())
			kapi_count(COWMEM_COUNT_object_lock_waits);
	}

	void make_odd()
	{
		__atomic_store_n(&count_, count_ + 1, __ATOMIC_RELAXED);
		kapi_smp_mb();
		kapi_count(COWMEM_COUNT_object_locked_alone);
	}

	unsigned long count_ = 0;
	kapi_rwsem lock_;
};

/* Holds the lock of a snapshot shared for a scope in which another object's is held. */
class SCOPED_CAPABILITY SharedBelow {
public:
	explicit SharedBelow(ObjectLock &lock) ACQUIRE_SHARED(lock) : lock_{lock}
	{
		lock_.lock_shared_below();
	}
	~SharedBelow() RELEASE_ANY() { lock_.unlock_shared(); }
	SharedBelow(const SharedBelow &) = delete;
	SharedBelow &operator=(const SharedBelow &) = delete;

private:
	ObjectLock &lock_;
};

} /* namespace cowmem */

#endif /* COWMEM_OBJECT_LOCK_H */
