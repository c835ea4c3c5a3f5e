/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of an object: a sparse index -> folio table of those in memory, the slots
 * of those that were paged out, and the lock that keeps a page's removal apart from
 * everything between its look-up and its use. What has neither page nor slot is a hole.
 *
 * The table is the inode's own i_pages, so that the kernel's fault-around, mincore()
 * and rmap see what they expect of a file. The lock is the address_space's
 * invalidate_lock, the kernel's lock for exactly this: faults share it, so they do
 * not wait for each other (R13); removal takes it alone. Who holds it alone is also a
 * writer of the family's count (cowmem/family.h), which keeps removal apart from those
 * who hold nothing.
 *
 * Invariants:
 *   P1  every entry is an order-0 folio, uptodate, whose mapping and index say where
 *       it is; the entry owns one reference on it
 *   P2  resident() is the number of entries
 *   P3  an entry goes, and its folio's mapping becomes NULL, only with the lock held
 *       alone (so inside a writer section) and the page lock held; a folio found under
 *       the shared lock stays an entry until that lock is dropped; one found without
 *       it was an entry as long as the count has not changed
 *   P4  when remove() returns, no page table maps a removed folio as a page of the
 *       object, and none will
 *   P5  a page without PG_dirty, and without a dirty entry in a page table, has a slot
 *       with the same bytes, or a page-out is about to give it one. An index with a
 *       slot and no page has its bytes there. (A slot beside a dirty page is stale.)
 *   P6  a slot is set or dropped with the lock held alone: who looks for the page and
 *       then for the slot does not miss both
 *
 * User memory is never touched with Pages held, since a fault takes it; the order of
 * all locks is in cowmem/walk.h.
 */
#ifndef COWMEM_PAGES_H
#define COWMEM_PAGES_H

#include <cowmem/family.h>
#include <cowmem/folio.h>
#include <cowmem/kapi.h>
#include <cowmem/pte.h>
#include <cowmem/slot.h>
#include <cowmem/thread_safety.h>

namespace cowmem {

constexpr Index no_index = ~0UL;

/* The first page at or after byte @bytes, and the page that byte @bytes lies in. */
constexpr Index index_up(long long bytes)
{
	return (static_cast<unsigned long>(bytes) + KAPI_PAGE_SIZE - 1) >> KAPI_PAGE_SHIFT;
}
constexpr Index index_of(long long bytes)
{
	return static_cast<unsigned long>(bytes) >> KAPI_PAGE_SHIFT;
}
constexpr long long bytes_at(Index index)
{
	return static_cast<long long>(index << KAPI_PAGE_SHIFT);
}

/* What remove() does with the copies that private mappings made of removed pages. */
enum class PrivateCopies : bool { keep, zap };

/* A page to fill a place with that has none, and how that went. */
struct Fresh {
	FolioRef page;
	bool zeroed;             /* it was when it was allocated */
	bool brought_in = false; /* its bytes came out of the store */
	int error = 0;           /* -EIO: they did not; -ENOMEM: no memory for the table */
	/*
	 * With -EAGAIN, the slot whose bytes are to be read into the page, from the backing
	 * store and with no lock held, before the same is tried again. Then, that has been done.
	 */
	SlotRef backed = {};
};

class CAPABILITY("invalidate_lock") Pages {
public:
	Pages(address_space *mapping, Family &family) : mapping_{mapping}, family_{family} {}
	/* Whether there was memory for what they need. Sleeps. To be called once. */
	[[nodiscard]] bool create() { return slots_.create(); }
	Pages(const Pages &) = delete;
	Pages &operator=(const Pages &) = delete;

	void lock_shared() ACQUIRE_SHARED() { kapi_mapping_lock_shared(mapping_); }
	void unlock_shared() RELEASE_SHARED() { kapi_mapping_unlock_shared(mapping_); }
	void lock() ACQUIRE()
	{
		kapi_mapping_lock(mapping_);
		family_.begin_writing();
	}
	void unlock() RELEASE()
	{
		family_.end_writing();
		kapi_mapping_unlock(mapping_);
	}
	/* The same for who must not wait. */
	bool try_lock_shared() TRY_ACQUIRE_SHARED(true)
	{
		return kapi_mapping_trylock_shared(mapping_);
	}
	bool try_lock() TRY_ACQUIRE(true)
	{
		if (!kapi_mapping_trylock(mapping_))
			return false;
		family_.begin_writing();
		return true;
	}

	/* The page at @index, or none; it stays that as long as the lock is held. */
	folio *at(Index index) const REQUIRES_SHARED(this)
	{
		return kapi_mapping_load(mapping_, index);
	}

	/* The page at @index, referenced, or none. */
	FolioRef get(Index index) const REQUIRES_SHARED(this)
	{
		folio *found = at(index);

		if (found)
			kapi_folio_get(found);
		return FolioRef{found};
	}

	/*
	 * Puts into @page what is at @index, a page referenced or none, with no lock held:
	 * only the family's count can tell whether it still is. False: it was just going.
	 */
	bool try_get(Index index, FolioRef &page) const
	{
		Rcu rcu;
		folio *found = kapi_mapping_load(mapping_, index);

		if (found && !kapi_folio_try_get(found))
			return false;
		page = FolioRef{found};
		/* Now that it stays what it is: the page that was looked for, or another by now. */
		return !found || (owns(found) && kapi_folio_index(found) == index);
	}

	/* Whether there is a page at @index: a hint, with no lock but RCU. */
	bool may_be_resident(Index index) const { return kapi_mapping_load(mapping_, index); }

	/*
	 * The pages from @first to @last, one after the other, with no lock but RCU: none
	 * is referenced, and the table may change between the calls.
	 */
	class Walk {
	public:
		Walk(const Pages &pages, Index first, Index last) : last_{last}
		{
			kapi_walk_start(&walk_, pages.mapping_, first);
		}
		/* The next page, or null. */
		folio *next() { return kapi_walk_next(&walk_, last_); }
		/* Where next() found it. */
		Index index() const { return kapi_walk_index(&walk_); }
		/* Whether it is still there. */
		bool finds(const folio *page) { return kapi_walk_reload(&walk_) == page; }

	private:
		Rcu rcu_;
		kapi_walk walk_;
		const Index last_;
	};

	/* The slot at @index, or none; for what has no page. Without the lock as for try_get(). */
	SlotRef slot(Index index) const { return slots_.get(index); }
	/* Whether there is one: a hint without the lock. */
	bool has_slot(Index index) const { return slots_.has(index); }
	/* The same for one in the backing store. */
	bool has_backed_slot(Index index) const { return slots_.is_backed(index); }
	const Slots &slots() const { return slots_; }

	/*
	 * The page at @index, referenced; where there is none @fresh is put in, with what
	 * is in the store, or zeroes. None: there is none, and @fresh has no page, or the
	 * error. Sleeps.
	 */
	FolioRef get_or_fill(Index index, Fresh &fresh) REQUIRES_SHARED(this)
	{
		FolioRef found = get(index);

		return found || !fresh.page ? std::move(found) : fill(index, fresh);
	}

	/* The same where there probably is none, and @fresh has a page. */
	FolioRef fill(Index index, Fresh &fresh) REQUIRES_SHARED(this);

	/*
	 * Has in memory what is in the store at @index, and of what follows up to @last what
	 * a read of the backing store can have on the way (src/bring_in.cc); adds to @count,
	 * pages. 0, -ENOMEM, -EIO, -EINTR: a fatal signal. Sleeps.
	 */
	int bring_in(Index index, Index last, unsigned long long &count) EXCLUDES(this);

	/* The first page in memory at or after @from and not after @last, or no_index. */
	Index next(Index from, Index last) const REQUIRES_SHARED(this);

	/* The same for pages wherever they are. */
	Index next_data(Index from, Index last) const REQUIRES_SHARED(this);

	/* The same for pages that are paged out. */
	Index next_paged_out(Index from, Index last) const REQUIRES_SHARED(this);

	/* The first hole at or after @from; last + 1 if there is none up to @last. */
	Index next_hole(Index from, Index last) const REQUIRES_SHARED(this);

	/*
	 * Removes the pages from @first to @last, unmaps that range from every page
	 * table and frees what nobody else references (R6, R18, P4). Sleeps.
	 */
	void remove(Index first, Index last, PrivateCopies copies) REQUIRES(this);

	/*
	 * Puts @fresh, with the same bytes, in the place of @old, the page at @index. Of
	 * @old the page lock and one reference are the caller's, and no page table maps it.
	 * 0; -EAGAIN: somebody else has a reference on it, -EHWPOISON: it is damaged, and
	 * nothing changed. Kernel counterpart: __migrate_folio().
	 */
	int replace(Index index, folio *old, FolioRef &fresh) REQUIRES(this);

	/* Gives the page at @index the slot in which its bytes are now. False: no memory. */
	[[nodiscard]] bool set_slot(Index index, SlotRef &slot) REQUIRES(this)
	{
		return slots_.set(index, slot);
	}
	/* The slot at @index, if there is one, is not good, or not wanted. */
	void drop_slot(Index index) REQUIRES(this) { slots_.drop(index); }

	/*
	 * Takes @page out of memory: the page at @index, whose bytes are in its slot. The
	 * page lock and one reference are the caller's, and no page table maps it. False:
	 * somebody else has a reference, or has written it; nothing changed. Kernel
	 * counterpart: __remove_mapping().
	 */
	bool page_out(Index index, folio *page) REQUIRES(this);

	/* Frees every page of a table that no file and no mapping can reach any more. */
	void remove_all();

	/* Where the kernel keeps the VMAs that map these pages (cowmem/walk.h). */
	address_space *mapping() const { return mapping_; }

	/* Pages of memory held. */
	unsigned long resident() const { return __atomic_load_n(&resident_, __ATOMIC_RELAXED); }

	/*
	 * Whether @page is an entry of this table; with the page lock held, it stays one.
	 */
	bool owns(const folio *page) const { return kapi_folio_mapping(page) == mapping_; }

	/* Checks P1, P2 and P5 over the whole table: for tests. */
	bool check() REQUIRES(this);

private:
	/* Nobody else can come any more. Not the lock: the last reference may go in reclaim. */
	void assume_alone() const ASSERT_CAPABILITY(this) {}
	void unmap(Index first, Index last, PrivateCopies copies);
	void forget(folio *page);
	void detach(Index index, folio *page) REQUIRES(this);
	folio *detach_range(Index first, Index last) REQUIRES(this);
	void free_list(folio *list);

	address_space *const mapping_;
	Family &family_;
	Slots slots_;
	unsigned long resident_ = 0;
};

} /* namespace cowmem */

#endif /* COWMEM_PAGES_H */
