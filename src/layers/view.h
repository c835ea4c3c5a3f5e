/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What an object sees at each index (layers/tree.h), and which of that is its own: the part of
 * Pages (layers/pages.h) that changes nothing.
 */
#ifndef COWMEM_VIEW_H
#define COWMEM_VIEW_H

#include "kernel/rcu.h"
#include "layers/family.h"
#include "layers/object_lock.h"
#include "layers/tree.h"

namespace cowmem {

/* What an object sees at an index, kept: a page in memory, or a slot, or neither: a hole. */
struct Seen {
	FolioRef page;
	SlotRef slot;
	Entry entry; /* what the tree had */

	explicit operator bool() const { return page || slot; }
};

/* With no lock held, all that it says is a hint, or may be old when it returns. */
class View : public ObjectLock {
public:
	/* @space: what limits its pages, or null. */
	View(address_space *mapping, cowmem_space *space) : home_{mapping, space} {}

	/* Its family, which stays, or null: it never had relatives. */
	Family *family() const { return __atomic_load_n(&family_, __ATOMIC_ACQUIRE); }
	Home &home() { return home_; }
	const Home &home() const { return home_; }
	/* Where what it shares is at home, or null: it never had relatives. */
	SharedHome *shared_home() const
	{
		const Family *family = this->family();

		return family ? family->home() : nullptr;
	}
	Tree &tree() { return tree_; }
	const Tree &tree() const { return tree_; }
	/* Where the kernel keeps the VMAs that map these pages (rmap/walk.h). */
	address_space *mapping() const { return home_.mapping(); }
	unsigned long own_slots() const { return home_.slot_count(); }
	/* Pages of memory that are its own. */
	unsigned long own_pages() const { return home_.pages(); }
	/*
	 * Whether @page is its own; a hint, unless the page lock is held, or the object's, and the
	 * page was found in the tree with that.
	 */
	[[gnu::always_inline]] bool owns(const folio *page) const { return home_.owns(page); }

	/* The page in memory at @index, or null: not to be looked into. */
	folio *resident(Index index) const
	{
		const Rcu rcu;

		return tree_.at(index).page();
	}
	/* The same under RCU, for who knows by the count or the page lock. */
	folio *resident_rcu(Index index) const { return tree_.at(index).page(); }
	/* What is there. Never sleeps, but may give back a slot, which does. */
	Seen see(Index index) const
	{
		return see_what([&] { return tree_.at(index); });
	}
	/*
	 * Puts into @page what is at @index, a page referenced or none: only the count can tell
	 * whether it still is. False: it was just going. Never sleeps.
	 */
	bool try_get(Index index, FolioRef &page) const;
	/* Whether a part of a large folio is there. */
	bool is_large(Index index) const
	{
		const Rcu rcu;
		const folio *page = tree_.at(index).page();

		return page && kapi_folio_is_large(page);
	}
	/* The page in memory at @index, referenced, or none. */
	FolioRef get(Index index) const { return see(index).page; }
	/* What there is, of a place where no page is in memory. */
	struct Missing {
		bool something, backed, shared; /* in the store, on the disk there, the family's */
	};
	Missing missing(Index index) const
	{
		const Rcu rcu;
		const Entry entry = tree_.at(index);
		const StoreSlot *slot = entry.slot();

		return {static_cast<bool>(entry), slot && slot->is_backed(),
		        slot && !slot->is_of(home_)};
	}
	/* Whether there is something that is not in memory. */
	bool is_out(Index index) const
	{
		const Rcu rcu;
		const Entry entry = tree_.at(index);

		return entry && !entry.page();
	}
	/* Whether there is something that is the family's. */
	bool sees_shared(Index index) const
	{
		const Rcu rcu;
		const Entry entry = tree_.at(index);
		const folio *page = entry.bare();

		return page ? !owns(page) : entry.slot() && !entry.slot()->is_of(home_);
	}
	bool is_hole(Index index) const
	{
		const Rcu rcu;

		return !tree_.at(index);
	}
	/*
	 * About how many pages in memory lie one behind the other before @index: a power of
	 * two up to 16, or none. Who was there one by one will go on.
	 */
	unsigned int run_before(Index index) const
	{
		return run(index, [&](Index at) { return resident(at) != nullptr; });
	}

	/* At how many indexes there is something. */
	unsigned long count_data() const { return tree_.count(); }
	/* The first index at or after @from, and not after @last, where there is something; or no_index. */
	Index next_data(Index from, Index last) const
	{
		const Rcu rcu;

		return tree_.next(from, last);
	}
	/* The same for a page in memory, and for what is not in memory. */
	Index next_resident(Index from, Index last) const;
	Index next_out(Index from, Index last) const;
	/* Whether nothing is in the block that begins at @first. */
	bool is_hole_block(Index first) const
	{
		return next_data(first, last_of_block(first)) == no_index;
	}
	/* The same of the leaf. */
	bool is_hole_leaf(Index first) const
	{
		return next_data(first, last_of_leaf(first)) == no_index;
	}
	/* The same for a page in memory that is its own. */
	Index next_own(Index from, Index last) const REQUIRES(this);
	/* The first hole at or after @from; last + 1 if there is none up to @last. */
	Index next_hole(Index from, Index last) const
	{
		while (from <= last && !is_hole(from))
			from++;
		return from;
	}

protected:
	bool is_own(const Seen &seen) const
	{
		return seen.page ? owns(seen.page.get()) : &seen.slot->home() == &home_;
	}
	Entry entry_of(Index index) const
	{
		const Rcu rcu;

		return tree_.at(index);
	}

	/* How many places before @index are such that @is says yes: about, as run_before() says. */
	template <class Is>
	static unsigned int run(Index index, Is is)
	{
		unsigned int found = 0;

		for (unsigned int n = 1; n <= 16 && n <= index && is(index - n); n *= 2)
			found = n;
		return found;
	}
	unsigned int own_run_before(Index index) const
	{
		return run(index, [&](Index at) { return is_own_page(at); });
	}
	bool is_own_page(Index index) const
	{
		const folio *page = resident(index);

		return page && owns(page);
	}
	/* What @look_up finds in the tree each time that it is called. As see(). */
	template <class LookUp>
	static Seen see_what(LookUp look_up)
	{
		for (;;) {
			Seen seen;
			const Rcu rcu;

			seen.entry = look_up();
			if (!seen.entry)
				return seen;

			StoreSlot *slot = seen.entry.slot();
			folio *page = seen.entry.page();

			if (slot && kapi_ref_try_get(&slot->references))
				seen.slot = SlotRef{slot};
			if (page && kapi_folio_try_get(page))
				seen.page = FolioRef{page};
			/* Now that they stay what they are: what was looked for, or something else by now. */
			if (seen.slot.get() == slot && seen.page.get() == page &&
			    look_up() == seen.entry && seen.entry.page() == page)
				return seen;
		}
	}

	template <class Next, class Is>
	static Index next_that(Index from, Index last, Next next, Is is);

	Home home_;
	Tree tree_;
	Family *family_ = nullptr; /* with a reference; set once */
};

} /* namespace cowmem */

#endif /* COWMEM_VIEW_H */
