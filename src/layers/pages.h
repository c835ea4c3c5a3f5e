/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of an object: a sparse index -> folio table of those in memory, the slots
 * of those that were paged out, and the lock that keeps a page's removal apart from
 * everything between its look-up and its use. What has neither page nor slot is a hole.
 *
 * The table is the inode's own i_pages, so that the kernel's mincore() and rmap see
 * what they expect of a file. The lock is the family's: faults share it, so they do
 * not wait for each other (R13); removal takes it alone. Who holds it alone is also a
 * writer of the family's count (layers/family.h), which keeps removal apart from those
 * who hold nothing.
 *
 * Objects of a family share pages as layers. What an object has neither page nor slot
 * for, it sees in its parent, which is frozen: nothing is written there any more, and
 * nothing removed as long as somebody sees it. Who wants to write such a page makes it
 * his own first (src/layers/own.cc): a copy, or, if nobody else can see it, the page itself.
 * What is a page's or slot's object is always the layer that has it, so a walk for one
 * that an object has for itself is about the mappings of that object only.
 *
 * Invariants:
 *   P1  every entry is an order-0 folio, uptodate, whose mapping and index say where
 *       it is, when no writer is at work; the entry owns one reference on it
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
 *       then for the slot does not miss both. The same is so of parents
 *   P7  only leaves of the tree of parents are written. A frozen page is mapped
 *       read-only everywhere, and nobody has a reference to write through
 *
 * User memory is never touched with Pages held, since a fault takes it; the order of
 * all locks is in rmap/walk.h.
 */
#ifndef COWMEM_PAGES_H
#define COWMEM_PAGES_H

#include "layers/family.h"
#include "kernel/folio.h"
#include "kernel/kapi.h"
#include "kernel/minmax.h"
#include "rmap/pte.h"
#include "store/slot.h"
#include "kernel/thread_safety.h"

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

struct Batch;
struct Source;

/* How many pages may be kept for a snapshot alone, and what if that is not enough. */
struct CopyLimit {
	unsigned long max = ~0UL;
	bool drops = false; /* the snapshot is given up; otherwise the write fails */
};

/* A fault that is about to write to a page through an entry of a shared mapping. */
struct Writer {
	folio *held; /* what is there now, with a reference of the writer's */
	vm_area_struct *vma;
	unsigned long address;
	bool may_write = false; /* out: the entry permits it now */
};

/* On whose behalf a page is made an object's own. */
struct Asker {
	/* A fault, whose mapping may say on which node, and stays. */
	const vm_fault *vmf = nullptr;
	/* A fault through an entry; without one there is no reference on the page. */
	Writer *writer = nullptr;
	/* A fatal signal ends a wait for the backing store. */
	bool killable = true;
};

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
	bool ahead = false; /* nobody has asked for it: no memory is reclaimed for its sake */
};

class CAPABILITY("family") Pages {
public:
	Pages(address_space *mapping, Family &family) : mapping_{mapping}, family_{family} {}
	/* Whether there was memory for what they need. Sleeps. To be called once. */
	[[nodiscard]] bool create() { return slots_.create(); }
	Pages(const Pages &) = delete;
	Pages &operator=(const Pages &) = delete;

	void lock_shared() ACQUIRE_SHARED() { family_.lock_shared(); }
	void unlock_shared() RELEASE_SHARED() { family_.unlock_shared(); }
	void lock() ACQUIRE() { family_.lock(); }
	void unlock() RELEASE() { family_.unlock(); }
	/* The same for who must not wait. */
	bool try_lock_shared() TRY_ACQUIRE_SHARED(true) { return family_.try_lock_shared(); }
	bool try_lock() TRY_ACQUIRE(true) { return family_.try_lock(); }
	/* Who holds the lock of one of a family has that of all. */
	void held_shared() const ASSERT_SHARED_CAPABILITY(this) {}
	void held() const ASSERT_CAPABILITY(this) {}

	Family &family() const { return family_; }

	/* What is seen somewhere: the layer that has it, as a page in memory or a slot. */
	struct Seen {
		Pages &layer; /* the one that looked, if there is neither */
		folio *page;
	};
	/*
	 * With the lock held, or under RCU: then the family's count tells. @held is a page that
	 * was seen there, if one was, and is not looked for where it is still.
	 */
	Seen look(Index index, folio *held = nullptr)
	{
		for (Pages *layer = this;;) {
			folio *page = held && layer->owns(held)
			                      ? held
			                      : kapi_mapping_load(layer->mapping_, index);

			if (page)
				return {*layer, page};

			Pages *up = layer->parent();

			if (!up && layer == this)
				return {*this, nullptr};
			if (layer->slots_.has(index))
				return {*layer, nullptr};
			if (!up || index >= layer->end_of_parent())
				return {*this, nullptr};
			layer = up;
		}
	}
	/* The layer of that. */
	Pages &layer_of(Index index) { return parent() ? look(index).layer : *this; }
	const Pages &layer_of(Index index) const
	{
		return const_cast<Pages *>(this)->layer_of(index);
	}
	/* Whether this layer has a page or a slot at @index. */
	bool has(Index index) const { return may_be_resident(index) || slots_.has(index); }

	Pages *parent() const { return __atomic_load_n(&parent_, __ATOMIC_CONSUME); }
	/* The first index from which on the parent is not looked at. */
	Index end_of_parent() const { return __atomic_load_n(&end_of_parent_, __ATOMIC_RELAXED); }
	bool has_children() const { return first_child_; }
	/* Its only child, or null. */
	Pages *only_child() const REQUIRES_SHARED(this)
	{
		return first_child_ && !first_child_->next_sibling_ ? first_child_ : nullptr;
	}
	/* How many layers there are above. */
	unsigned int depth() const REQUIRES_SHARED(this);

	/* Has @parent, of the same family, up to @end for its parent from now on, or none. */
	void set_parent(Pages *parent, Index end) REQUIRES(this);
	/* Does not see of its parent what is at or after @end. */
	void cut_parent(Index end) REQUIRES(this)
	{
		__atomic_store_n(&end_of_parent_, min_of(end, end_of_parent()), __ATOMIC_RELAXED);
	}

	/*
	 * The next after @at, in a walk of this layer and all below that can see its pages of
	 * @first to @last; null at the end.
	 */
	const Pages *next_viewer(const Pages *at, Index first, Index last) const
		REQUIRES_SHARED(this);

	/* Whether there is a file, and so may be mappings. With the lock held to change it. */
	bool in_use() const { return in_use_; }
	void set_in_use(bool in_use) { in_use_ = in_use; }
	/* Whether there was ever a parent or a child. */
	bool has_relatives() const { return has_relatives_; }
	/*
	 * With nobody to use it any more, goes from the tree, as do those above that were there
	 * for its sake only. A list of them, before @gone, for put_gone(). (src/layers/tree.cc) Sleeps.
	 */
	Pages *leave(Pages *gone = nullptr) REQUIRES(this);
	bool left() const REQUIRES(this) { return left_; }
	/* The last references of the tree to those: they may be freed here, with no lock held. Sleeps. */
	static void put_gone(Pages *gone);

	/* Of a layer that @by, its only child, was frozen into: how many pages @by may copy. */
	void limit_copies(const Pages &by, CopyLimit limit) REQUIRES(this);
	/* How many it has, since that, or since it was restored. */
	unsigned long copies() const { return __atomic_load_n(&copies_, __ATOMIC_RELAXED); }
	/* Their limit. */
	const CopyLimit &copy_limit() const { return copy_limit_; }
	/*
	 * It is about to see all of @target, a layer above, again: what it has copied or left since
	 * that counts neither for @target nor for the layers above that any more.
	 */
	void uncount_copies(Pages &target) REQUIRES(this);
	/* Whether it was given up because of its limit. With the lock held, if it is to stay so. */
	bool dropped() const { return __atomic_load_n(&dropped_, __ATOMIC_RELAXED); }

	/*
	 * Has what it sees at @index, in a parent, for its own (src/layers/own.cc), for @asker. 0, also
	 * if it is its own or nothing; -ENOMEM, -EIO, -EHWPOISON; -EINTR: a fatal signal, if
	 * that may end a wait; -EDQUOT: a CopyLimit. Sleeps.
	 */
	int own(Index index, const Asker &asker = {}) EXCLUDES(this);

	/*
	 * Gives all that it has to @to, which has nothing, has no viewers, and is to be frozen:
	 * the pages are write-protected, and what somebody may be writing without a page table
	 * stays, and is copied. Sleeps. (src/layers/freeze.cc)
	 */
	void give_all(Pages &to) REQUIRES(this);

	/* The page at @index, or none; it stays that as long as the lock is held. */
	folio *at(Index index) const REQUIRES_SHARED(this)
	{
		return kapi_mapping_load(mapping_, index);
	}

	/* The same for what is seen, in this layer or in one above. */
	folio *seen(Index index) const REQUIRES_SHARED(this)
	{
		return const_cast<Pages *>(this)->look(index).page;
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
		const auto [layer, found] = const_cast<Pages *>(this)->look(index);

		if (found && !kapi_folio_try_get(found))
			return false;
		page = FolioRef{found};
		/* Now that it stays what it is: the page that was looked for, or another by now. */
		return !found || (layer.owns(found) && kapi_folio_index(found) == index);
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
		/* The same, fast where they are few, with the lock held alone. */
		folio *next_far() { return kapi_walk_next_far(&walk_, last_); }
		/* Where next() found it. */
		Index index() const { return kapi_walk_index(&walk_); }
		/* Whether it is still there. */
		bool finds(const folio *page) { return kapi_walk_reload(&walk_) == page; }

	private:
		Rcu rcu_;
		kapi_walk walk_;
		const Index last_;
	};

	/* This layer's slot at @index, or none; for what has no page. */
	SlotRef slot(Index index) const { return slots_.get(index); }
	/* Whether there is one: a hint without the lock. */
	bool has_slot(Index index) const { return slots_.has(index); }

private:
	/* What @ask says of the slots of the layer that is seen at @index, which RCU keeps. */
	template <class Ask>
	auto with_slots_of(Index index, Ask ask) const
	{
		if (!parent())
			return ask(slots_);

		Rcu rcu;

		return ask(layer_of(index).slots_);
	}

public:
	/* The slot that is seen at @index, or none. Without the lock as for try_get(). */
	SlotRef seen_slot(Index index) const
	{
		return with_slots_of(index, [&](const Slots &slots) { return slots.get(index); });
	}
	/* The slot that has the bytes which are seen at @index, if they are not in memory. A hint without the lock. */
	SlotRef seen_out(Index index) const
	{
		Rcu rcu;
		const auto [layer, page] = const_cast<Pages *>(this)->look(index);
		SlotRef slot = page ? SlotRef{} : layer.slots_.get(index);

		return slot && slot->is_hole() ? SlotRef{} : std::move(slot);
	}
	/* Whether there is one: a hint without the lock. */
	bool sees_slot(Index index) const
	{
		return with_slots_of(index, [&](const Slots &slots) { return slots.has(index); });
	}
	/* The same for one in the backing store. */
	bool sees_backed_slot(Index index) const
	{
		return with_slots_of(index,
		                     [&](const Slots &slots) { return slots.is_backed(index); });
	}
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

	/*
	 * Whether what is read at @index takes a page into a layer that others look to where
	 * they have a hole, too, which is nothing for the shared lock.
	 */
	bool must_fill_alone(Index index) const REQUIRES_SHARED(this)
	{
		return has_children() && is_hole(index);
	}

	/* The same where there probably is none, and @fresh has a page. */
	FolioRef fill(Index index, Fresh &fresh) REQUIRES_SHARED(this);

	/*
	 * Has in memory what is in the store at @index, in @page, and of what follows up to @last
	 * what a read of the backing store can have on the way, on @node, if that is one
	 * (src/reclaim/bring_in.cc); adds to @count, pages. 0, -ENOMEM: there is no @page, or no memory;
	 * -EIO, -EINTR: a fatal signal. Sleeps.
	 */
	int bring_in(Index index, Index last, unsigned long long &count, FolioRef page, int node)
		EXCLUDES(this);
	/* The same where the task's policy says on which node. */
	int bring_in(Index index, Index last, unsigned long long &count) EXCLUDES(this)
	{
		return bring_in(index, last, count, FolioRef{kapi_folio_alloc(false)},
		                KAPI_ANY_NODE);
	}

	/*
	 * The same for the compressed pages from @first to @last, up to the first that is none, as
	 * far as the lock and memory are to be had at once: how many. Nobody has asked for them yet.
	 */
	unsigned int bring_along(Index first, Index last, int node) EXCLUDES(this);

	/*
	 * About how many pages of its own lie one behind the other before @index: a power of
	 * two up to 16, or none. A hint, with no lock: who was there one by one will go on.
	 */
	unsigned int run_before(Index index) const
	{
		unsigned int run = 0;

		for (unsigned int n = 1; n <= 16 && n <= index && may_be_resident(index - n);
		     n *= 2)
			run = n;
		return run;
	}

	/* The first page in memory at or after @from and not after @last, or no_index. */
	Index next(Index from, Index last) const REQUIRES_SHARED(this);

	/* The same for what this layer has, also holes and what is paged out. */
	Index next_own(Index from, Index last) const REQUIRES_SHARED(this)
	{
		Index slot = from;
		const Index page = next(from, last);

		return slots_.find(slot, last) ? min_of(slot, page) : page;
	}

	/*
	 * The same for what is in some layer that is seen, from this one up to, and without,
	 * @stop, if that is one of them: slots, holes among them, and, with @pages, pages.
	 */
	Index next_entry(Index from, Index last, bool pages, const Pages *stop) const
		REQUIRES_SHARED(this);

	/* The same for pages wherever they are. */
	Index next_data(Index from, Index last) const REQUIRES_SHARED(this);

	/* The same for pages that are paged out. */
	Index next_paged_out(Index from, Index last) const REQUIRES_SHARED(this);

	/* Whether nothing is seen at @index. */
	bool is_hole(Index index) const REQUIRES_SHARED(this);

	/* The first hole at or after @from; last + 1 if there is none up to @last. */
	Index next_hole(Index from, Index last) const REQUIRES_SHARED(this);

	/*
	 * Removes the pages from @first to @last, unmaps that range from every page
	 * table and frees what nobody else references (R6, R18, P4). Sleeps.
	 */
	void remove(Index first, Index last, PrivateCopies copies) REQUIRES(this);

	/* The same for all pages and holes that are its own, where it has some. */
	void remove_own() REQUIRES(this);

	/* Unmaps the range from every page table of this one's; private copies stay. */
	void unmap_all(Index first, Index last) REQUIRES(this)
	{
		unmap(first, last, PrivateCopies::keep);
		unmap_parents(first, last);
	}

	/* Unmaps what @layer has from every page table of this one's. */
	void unmap_where(const Pages &layer) REQUIRES(this, layer);

	/*
	 * Puts @fresh, with the same bytes, in the place of @old, the page at @index. Of
	 * @old the page lock and one reference are the caller's, and no page table maps it.
	 * 0; -EAGAIN: somebody else has a reference on it, -EHWPOISON: it is damaged, and
	 * nothing changed. Kernel counterpart: __migrate_folio().
	 */
	int replace(Index index, folio *old, FolioRef &fresh) REQUIRES(this);

	/*
	 * Has holes from @first on where it would see something of its parent, beside pages of
	 * its own if it has some, up to @last, or less, which is @last then. What it leaves to
	 * snapshots by that counts for them. 0; or nothing has changed: -EAGAIN: as many as
	 * @missing have to be in @holes, or snapshots were dropped, as count_left() says; -ENOMEM;
	 * -EDQUOT: a CopyLimit. Sleeps.
	 */
	int hide_parent(Index first, Index &last, Holes &holes, unsigned int &missing, Pages *&gone)
		REQUIRES(this);

	/*
	 * What it sees in its parents from @first to @last is about to be left to them: counts
	 * that for the snapshots. 0; or nothing is counted: -EDQUOT: a CopyLimit; -EAGAIN: the
	 * snapshots for which it is too much were dropped, and may have gone, to @gone, so
	 * that the parents are others now. Sleeps. (src/layers/copy_limit.cc)
	 */
	int count_left(Index first, Index last, Pages *&gone) REQUIRES(this);
	/* It is not left to them after all, and all is as it was when it was counted. */
	void uncount_left(Index first, Index last) REQUIRES(this);

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

	/* Where the kernel keeps the VMAs that map these pages (rmap/walk.h). */
	address_space *mapping() const { return mapping_; }

	/* Pages of memory held. */
	unsigned long resident() const { return __atomic_load_n(&resident_, __ATOMIC_RELAXED); }

	/*
	 * Whether @page is an entry of this table; with the page lock held, it stays one.
	 */
	bool owns(const folio *page) const { return kapi_folio_mapping(page) == mapping_; }

private:
	friend class Check; /* src/testing/check.cc */
	/* Nobody else can come any more. Not the lock: the last reference may go in reclaim. */
	void assume_alone() const ASSERT_CAPABILITY(this) {}
	static unsigned long next_number();
	bool sees_of_parent(Index first, Index last) const;
	int insert(Index index, folio *page, bool ahead = false) REQUIRES_SHARED(this);
	bool bring_one_along(Index index, int node) REQUIRES_SHARED(this);
	FolioRef fill_from(const StoreSlot *slot, Index index, Fresh &fresh) REQUIRES_SHARED(this);
	/* src/layers/own.cc */
	bool is_last_viewer_of(const Pages &layer) const REQUIRES_SHARED(this, layer);
	int put_in_front(Index index, folio *old, folio *page, Writer *writer) REQUIRES(this);
	static Source source_of(const Pages &layer, Index index, folio *page)
		REQUIRES_SHARED(layer);
	int try_take_over(Index index, Writer *writer) EXCLUDES(this);
	struct Found;
	int try_copy(Index index, const Found &found, const Asker &asker) EXCLUDES(this);
	int take_page(Index index, Pages &from, const folio *held) REQUIRES(this, from);
	int move_page(Index index, Pages &from, folio *page) REQUIRES(this, from);
	int take_over(Index index, Pages &from, const folio *held) REQUIRES(this, from);
	void lock_seen(const Pages &from, Batch &batch) REQUIRES(this, from);
	unsigned int worth_taking(Index index) const REQUIRES(this);
	void take_along(Index index, Pages &from, Writer *writer) REQUIRES(this, from);
	/* src/layers/copy_limit.cc: whether a page of @source may be copied, and that it was */
	bool is_over_limit(const Pages &writer, unsigned long more = 0) const REQUIRES_SHARED(this);
	bool may_copy(const Pages &source) const REQUIRES(this);
	Pages *count_copy(const Pages &source) REQUIRES(this);
	void add_copies(const Pages &writer, const Pages &source, unsigned long n) REQUIRES(this);
	bool counts_above(const Pages &writer) const REQUIRES(this);
	void uncount_above(const Pages &writer, Index index) REQUIRES(this);
	void add_left(Index first, Index last, unsigned long n) REQUIRES(this);
	Pages *drop_over_limit(Pages *gone) REQUIRES(this);
	/* hide_parent()'s */
	bool has_hole(Index index) const
	{
		const StoreSlot *slot = slots_.at(index);

		return slot && slot->is_hole();
	}
	Index next_of_parent(Index from, Index last) const REQUIRES(this);
	unsigned int count_to_hide(Index first, Index last) const REQUIRES(this);
	bool reserve_to_hide(Index first, Index last) REQUIRES(this);
	void unreserve(Index first, Index last) REQUIRES(this);
	void put_holes(Index first, Index last, Holes &holes) REQUIRES(this);
	Pages *drop(Pages *gone) REQUIRES(this);
	/* src/layers/freeze.cc */
	/* All pages of its own, linked, as they lie one behind the other. The first, or null. */
	folio *link_all() REQUIRES(this);
	Index link_some(Index first, folio *&last) const REQUIRES(this);
	void write_protect() REQUIRES(this);
	void keep(Index index, folio *page, Pages &to) REQUIRES(this);
	/* src/layers/tree.cc */
	bool take_all(Pages &from) REQUIRES(this, from);
	bool give_to_parent(Pages &to) REQUIRES(this, to);
	Pages *merge_with_only_child() REQUIRES(this);
	void add_to_gone(Pages *&gone) REQUIRES(this);
	void unmap(Index first, Index last, PrivateCopies copies);
	void unmap_late(const Pages &layer, Index first, Index last) REQUIRES(this, layer);
	void unmap_parents(Index first, Index last) REQUIRES(this);
	Index end_of_run(Index first) const;
	void forget(folio *page);
	void detach(Index index, folio *page) REQUIRES(this);
	void let_go(Index index, folio *page) REQUIRES(this);
	void detach_all(folio *pages) REQUIRES(this);
	folio *detach_range(Index first, Index last) REQUIRES(this);
	void free_list(folio *list);

	address_space *const mapping_;
	Family &family_;
	Slots slots_;
	unsigned long resident_ = 0;

	/* The tree, with the lock held alone to change it. */
	Pages *parent_ = nullptr;
	Index end_of_parent_ = 0;
	Pages *first_child_ = nullptr, *previous_sibling_ = nullptr, *next_sibling_ = nullptr;
	Pages *next_gone_ = nullptr;
	bool left_ = false; /* the tree, for good */
	bool has_relatives_ = false;
	bool in_use_ = false; /* there is a file, and so there may be mappings */
	bool dropped_ = false;
	CopyLimit copy_limit_;
	unsigned long copies_ = 0;
	unsigned long copied_by_ = 0; /* the number of the layer whose copies count */
	const unsigned long number_ = next_number(); /* no other layer has or had it */
};

} /* namespace cowmem */

#endif /* COWMEM_PAGES_H */
