/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a snapshot may cost. A page that its origin writes is copied, and what was there stays
 * for the snapshot; so does a page that the origin punches, cuts off, or restores away. A
 * snapshot may have a limit to how many pages stay so, beyond which the origin's change fails,
 * or the snapshot is dropped. A hole that is written does not count: nothing is kept there.
 */
#ifndef COWMEM_COPY_LIMIT_H
#define COWMEM_COPY_LIMIT_H

#include "kernel/alloc.h"
#include "kernel/index.h"
#include "kernel/minmax.h"

namespace cowmem {

class Pages;

/* How many pages may be kept for a snapshot alone, and what if that is not enough. */
struct CopyLimit {
	unsigned long max = ~0UL;
	bool drops = false; /* the snapshot is given up; otherwise the change fails */
};

/*
 * Of a snapshot: whose it is, its limit, and what counts for that. It may have more pages that
 * its origin has otherwise, or not: what SNAPSHOT copied because it may be pinned, and holes that
 * were read through a mapping. Which they are is not known, but how many. Where RESTORE has the
 * origin share some pages again, it may be those, and as many stay counted: too many are at most
 * those that the snapshot has for itself, and too few never.
 */
struct Counted {
	unsigned long origin = 0; /* the number of the object whose changes count; or 0 */
	CopyLimit limit = {};
	unsigned long copies = 0;
	/* What the change that is under way adds to the copies, and takes from the others. */
	unsigned long pending = 0;
	long pending_others = 0;

	/* @count more pages, or less, that do not count. */
	void add_others(long count) { __atomic_fetch_add(&others_, count, __ATOMIC_RELAXED); }
	/* A change is under way that leaves it @more pages, and has @again of its pages shared again. */
	void plan(unsigned long more, unsigned long again)
	{
		const long others = max_of(__atomic_load_n(&others_, __ATOMIC_RELAXED), 0L);

		pending_others = min_of(static_cast<long>(again), others);
		pending = more -
		          min_of(copies + more, again - static_cast<unsigned long>(pending_others));
	}
	/* It has been made. */
	void do_planned()
	{
		__atomic_store_n(&copies, copies + pending, __ATOMIC_RELAXED);
		add_others(-pending_others);
		pending = pending_others = 0;
	}

	/* Whether less than an eighth of what the limit permits is left. */
	bool is_near_limit() const
	{
		return limit.max != ~0UL &&
		       __atomic_load_n(&copies, __ATOMIC_RELAXED) >= limit.max - limit.max / 8;
	}

private:
	long others_ =
		0; /* with those that are just coming: below 0 for a moment, where one did not come */
};

/* Of an object: whether changes have to look at limits, and the lock that has one look at a time. */
class CopyLimits {
public:
	CopyLimits() { kapi_rwsem_init(&lock_, KAPI_LOCK_LIMITS); }
	CopyLimits(const CopyLimits &) = delete;
	CopyLimits &operator=(const CopyLimits &) = delete;

	/* One more snapshot has a limit. With the object's lock held alone. */
	void add() { __atomic_store_n(&some_, true, __ATOMIC_RELAXED); }
	/* Whether there may be one. */
	bool some() const { return __atomic_load_n(&some_, __ATOMIC_RELAXED); }

	/*
	 * A change of the object @of that leaves pages to snapshots, for a scope that begins
	 * before the object's lock is taken, and ends behind that: then the snapshots for
	 * which it was too much are dropped. Sleeps.
	 */
	class Leaving {
	public:
		/* @killable: a fatal signal ends the wait for another. */
		explicit Leaving(Pages &of, bool killable = true);
		~Leaving();
		Leaving(const Leaving &) = delete;
		Leaving &operator=(const Leaving &) = delete;

		/*
		 * What @of has from @first to @last is to be left to its snapshots. 0; -EDQUOT: not
		 * so much; -EAGAIN: there is a limit now that was not there when this began;
		 * -EINTR: a fatal signal. With the object's lock.
		 */
		int may_leave(Index first, Index last);
		/* It is to become as @target, the snapshot that it is restored to. The same. */
		int may_become(const Pages &target);
		/* The same from @first to @last only. */
		int may_become(const Pages &target, Index first, Index last);
		/* What was asked for last has been done. */
		void done();

	private:
		bool is_counted(const Pages &snapshot) const;
		int try_without() const;
		int try_all();

		Pages &of_;
		bool locked_ = false, killed_ = false;
		bool dropping_ = false;
		unsigned long youngest_ = ~0UL; /* the number of the last snapshot that counts on */
	};

private:
	bool some_ = false;
	kapi_rwsem lock_;
};

/* How many pages @snapshot keeps that its origin has not, or has otherwise. Sleeps. */
unsigned long count_copies(const Pages &snapshot);

} /* namespace cowmem */

#endif /* COWMEM_COPY_LIMIT_H */
