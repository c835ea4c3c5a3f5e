/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Homes: an address_space that pages have for their mapping, and how many of them it has.
 * An object is the home of the pages that only it may write; a family, of those that may be
 * seen by several of its members, and are written by none.
 *
 * A page has names: the leaves of trees (layers/tree.h) that have it for an entry, and the
 * slot that it is in, if it is in one. Each name has a reference. With the last name the page
 * leaves its home. Who adds a name has another reference beforehand, and drops a name before
 * its reference, so that whoever counts references and names never counts too few of the first.
 *
 * A mounted file system limits what its files take: the versions of pages, in memory, in the
 * store, or in both. One is charged before it has its first name, and goes with its last one.
 */
#ifndef COWMEM_HOME_H
#define COWMEM_HOME_H

#include "kernel/folio.h"
#include "kernel/index.h"

namespace cowmem {

struct StoreSlot;

class Home {
public:
	/* @space: what limits its pages, or null. */
	Home(address_space *mapping, cowmem_space *space, bool is_shared = false)
		: mapping_{mapping}, space_{space}, is_shared_{is_shared}
	{
		if (space_)
			kapi_space_get(space_);
		kapi_mapping_set_home(mapping, this);
	}
	~Home()
	{
		if (space_)
			kapi_space_put(space_);
	}
	Home(const Home &) = delete;
	Home &operator=(const Home &) = delete;

	/* The home of @page, which has a name, and is locked or has its name kept. */
	static Home &of(const folio *page)
	{
		return *static_cast<Home *>(kapi_mapping_home(kapi_folio_mapping(page)));
	}

	address_space *mapping() const { return mapping_; }
	cowmem_space *space() const { return space_; }
	/* For new versions of @pages pages, of all of them or none. False: there is no space for them. Never sleeps. */
	[[nodiscard]] bool charge(unsigned long pages = 1) const
	{
		return !space_ || kapi_space_take_pages(space_, pages);
	}
	/* One is no more. */
	void uncharge() const
	{
		if (space_)
			kapi_space_give_page(space_);
	}
	/* Whether it is a family's. */
	bool is_shared() const { return is_shared_; }
	/* A hint, unless something keeps @page where it is: its lock, or who alone may move it. */
	[[gnu::always_inline]] bool owns(const folio *page) const
	{
		return kapi_folio_mapping(page) == mapping_;
	}
	/* Pages in memory. */
	unsigned long pages() const { return __atomic_load_n(&pages_, __ATOMIC_RELAXED); }
	/* Of these, parts of large folios, also such as have no name any more. */
	unsigned long large() const { return __atomic_load_n(&large_, __ATOMIC_RELAXED); }

	/* @page, uptodate and of nobody, is page @index of it from now on, with one name, which the caller gives it. */
	void attach(folio *page, Index index)
	{
		kapi_folio_mark_uptodate(page);
		kapi_folio_set_names(page, 1);
		kapi_folio_attach(page, mapping_, index);
		add(1);
	}
	/* The same for the parts of @large, from page @index on: one name each. */
	void attach_large(folio *large, Index index)
	{
		kapi_large_attach(large, mapping_, index);
		add(KAPI_LARGE_PAGES);
		add_large(KAPI_LARGE_PAGES);
	}
	/* The reverse, for a page that nobody has found. */
	void unattach(folio *page)
	{
		forget(page);
		kapi_folio_set_names(page, 0);
		add(~0UL);
	}
	/* The same for @large. */
	void unattach_large(folio *large)
	{
		kapi_large_unattach(large);
		forget(large);
		add(-static_cast<unsigned long>(KAPI_LARGE_PAGES));
		add_large(-static_cast<unsigned long>(KAPI_LARGE_PAGES));
	}
	/* @page, which is locked and another's, is its own from now on, with all that a large one has; and so is its slot, if it is in one. */
	void take(folio *page, const StoreSlot *slot)
	{
		Home &from = of(page);
		const unsigned long pages = kapi_folio_pages(page);

		from.add(-pages);
		add(pages);
		if (kapi_folio_is_large(page)) {
			from.add_large(-pages);
			add_large(pages);
		}
		if (slot)
			take_slot(from);
		kapi_folio_rehome(page, mapping_);
	}
	/* The slot of a page that was @from's counts here from now on. */
	void take_slot(Home &from)
	{
		from.remove_slot();
		add_slot();
	}

	/* The slots of its pages. */
	unsigned long slot_count() const { return __atomic_load_n(&slots_, __ATOMIC_RELAXED); }
	void add_slot() { __atomic_fetch_add(&slots_, 1, __ATOMIC_RELAXED); }
	void remove_slot() { __atomic_fetch_sub(&slots_, 1, __ATOMIC_RELAXED); }

private:
	friend void leave_home(folio *page);
	friend bool break_large(folio *large);
	static void forget(folio *page)
	{
		kapi_folio_detach(page);
		kapi_folio_take_dirty(page);
		kapi_folio_take_written(page);
	}
	void add(unsigned long n) { __atomic_fetch_add(&pages_, n, __ATOMIC_RELAXED); }
	void add_large(unsigned long n) { __atomic_fetch_add(&large_, n, __ATOMIC_RELAXED); }

	address_space *const mapping_;
	cowmem_space *const space_;
	unsigned long pages_ = 0, large_ = 0, slots_ = 0;
	const bool is_shared_;
};

/*
 * @page, locked and mapped nowhere, has lost its last name, and so have all other parts of a large folio: it leaves its home. Who calls takes it off the LRU
 * after that: reclaim, which puts a page back there, looks at the mapping behind that. Never sleeps.
 */
void leave_home(folio *page);

/* Whether some page was ever marked as damaged: page tables may say so. */
extern bool some_are_poisoned;

/* One more name for @page, which has a name that is kept meanwhile; the caller's reference is the new name's. */
inline void add_name(folio *page)
{
	kapi_folio_add_name(page);
}

/* Takes @page, if it is an object's own, out of all page tables, behind who has it locked to map it. Sleeps. */
void unmap_late(folio *page);

/* Drops a name of @page and its reference. Takes the page lock. Sleeps. */
void drop_name(folio *page);

} /* namespace cowmem */

#endif /* COWMEM_HOME_H */
