/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A family of objects: those that can share pages, since one is a snapshot or a clone of
 * the other. What they have in common is a lock (as Pages hold it: who has it for one
 * object has it for all of its family), and a sequence count, by which a fault that holds
 * no lock of ours knows that no writer came by (seed 002).
 *
 * The count is even when quiet and odd inside a writer section, and grows by 2 with
 * each (R29). It is no seqlock: a reader that meets an odd count does not wait for it
 * to become even, it takes the lock instead (R30), so a writer may sleep as long as it
 * likes inside its section (R31). A reader does the same when the count has changed.
 *
 * The commit rule. A reader stores a PTE only under the PTE lock, after a full barrier,
 * with the count as it was before the look-up of what the PTE maps. A writer makes the
 * count odd, has a full barrier, unmaps, and changes the table after that. Then a PTE
 * that maps what the writer removes is either seen by the writer or never stored:
 *
 *   - Where the writer takes the PTE lock, one of the two comes first. The writer:
 *     the reader sees the odd count, which was stored before. The reader: the writer
 *     sees the PTE.
 *   - Where the writer takes no PTE lock, it found no page table. Its look for one
 *     comes after its barrier, the reader's load of the count after the reader's, and
 *     the reader had found a page table, or put one there, before. So not both can have missed the other:
 *     that is the store-buffer pattern, forbidden by the two barriers.
 *
 * kunit/model/speculate.pml is this, over weak memory, with every interleaving.
 *
 * Why not the kernel's own mm_lock_seq, which counts the writers of an mm: a handler
 * of ours runs under the VMA lock or mmap_lock, so the mapping it works for cannot
 * change. That count would tell it of changes to other mappings only, and abort it for
 * nothing; and it says nothing of the object, whose writers need not have an mm.
 */
#ifndef COWMEM_FAMILY_H
#define COWMEM_FAMILY_H

#include "kernel/alloc.h"
#include "kernel/kapi.h"

namespace cowmem {

class Family : public Allocated {
public:
	/* What the count was when a reader began. */
	class Reading {
	public:
		/* Whether no writer was inside; otherwise there is nothing to attempt. */
		bool quiet() const { return value_ % 2 == 0; }

	private:
		friend class Family;
		explicit Reading(unsigned long value) : value_{value} {}
		unsigned long value_;
	};

	/* With the one reference that the caller has then. Sleeps. Or null: no memory. */
	static Family *create()
	{
		auto *family = new (Gfp::kernel_account) Family;

		if (family) {
			kapi_ref_init(&family->references_);
			kapi_rwsem_init(&family->lock_);
		}
		return family;
	}
	/* Another reference, for who has one. */
	Family &get()
	{
		kapi_ref_try_get(&references_);
		return *this;
	}
	void put()
	{
		if (kapi_ref_put(&references_))
			delete this;
	}

	Family(const Family &) = delete;
	Family &operator=(const Family &) = delete;

	/* Begins an attempt: what is looked up afterwards is at least as new. */
	Reading read() const { return Reading{__atomic_load_n(&count_, __ATOMIC_ACQUIRE)}; }

	/* Whether no writer came by since @reading, as far as what was read until now. */
	bool unchanged(Reading reading) const
	{
		kapi_smp_rmb();
		return count() == reading.value_;
	}

	/* The same for a writer, whose own section does not count. */
	bool unchanged_before(Reading reading) const { return count() == reading.value_ + 1; }

	/*
	 * The same, under the PTE lock that was just taken: true holds until that lock
	 * is dropped, for every page table entry under it (the commit rule).
	 */
	bool may_commit(Reading reading) const
	{
		kapi_smp_mb_after_lock();
		return count() == reading.value_;
	}

#ifdef COWMEM_KUNIT
	/* Holds off all who take the lock, but is no writer. */
	void lock_quietly() { kapi_rwsem_lock(&lock_); }
	void unlock_quietly() { kapi_rwsem_unlock(&lock_); }
#endif

	/* For tests and statistics. */
	unsigned long count() const { return __atomic_load_n(&count_, __ATOMIC_RELAXED); }

private:
	Family() = default;
	~Family() = default;

	/*
	 * Writer sections are begun and ended by Pages::lock() and unlock() alone, and
	 * each function that removes something REQUIRES that lock: a writer that forgets
	 * the count does not compile (R36). The lock also keeps writers apart.
	 */
	friend class Pages;
	void lock_shared() { kapi_rwsem_lock_shared(&lock_); }
	bool try_lock_shared() { return kapi_rwsem_trylock_shared(&lock_); }
	void unlock_shared() { kapi_rwsem_unlock_shared(&lock_); }
	void lock()
	{
		kapi_rwsem_lock(&lock_);
		begin_writing();
	}
	bool try_lock()
	{
		if (!kapi_rwsem_trylock(&lock_))
			return false;
		begin_writing();
		return true;
	}
	void unlock()
	{
		end_writing();
		kapi_rwsem_unlock(&lock_);
	}
	void begin_writing()
	{
		__atomic_store_n(&count_, count_ + 1, __ATOMIC_RELAXED);
		kapi_smp_mb();
	}
	void end_writing() { __atomic_store_n(&count_, count_ + 1, __ATOMIC_RELEASE); }

	unsigned long count_ = 0;
	kapi_refcount references_; /* one for each object */
	kapi_rwsem lock_;
};

} /* namespace cowmem */

#endif /* COWMEM_FAMILY_H */
