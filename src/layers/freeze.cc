// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing: what is an object's own becomes the family's, where nobody writes it any more
 * (Pages::freeze()). What it costs follows the pages that were the object's own: those that
 * were written since the last time. No tree is copied: the snapshot has the same root.
 *
 * A snapshot made so is of one instant, though its pages are write-protected one after the
 * other, and TLBs are flushed once, behind that. Who writes a page that is protected
 * already waits until all are; so nothing that happens after a write which came too late
 * can be in the snapshot.
 */
#include "kernel/alloc.h"
#include "layers/own_entries.h"

namespace cowmem {

namespace {

/*
 * Takes the permission to write from the entries, and the dirty bits to the pages; or, from
 * a pinnable object's mapping that may store, the entries: there the core gives the permission back by itself.
 * Kernel counterpart: page_mkclean_one().
 */
template <bool pinnable>
struct Protect : LockedBefore {
	static constexpr kapi_notify event =
		pinnable ? KAPI_NOTIFY_CLEAR : KAPI_NOTIFY_PROTECTION_PAGE;

	static constexpr bool visits_huge = !pinnable;

	static bool enters(const vm_area_struct *vma) { return VmFlags{vma}.shared(); }

	static bool visit_huge(vm_area_struct *vma, pmd_t *pmd, unsigned long address, folio *page)
	{
		bool dirty;
		const bool changed = kapi_pmd_protect(vma, pmd, address, &dirty);

		if (dirty)
			note_write(page);
		return changed;
	}

	static bool visit(FoundPte &found)
	{
		if (pinnable && kapi_vma_pinnable(found.vma)) {
			take_away(found);
			return true;
		}
		if (!found.pte.dirty() && !found.pte.writable())
			return false;
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		kapi_pte_set(found.vma, found.address, found.ptep, found.pte.cleaned().value());
		if (found.pte.dirty()) {
			note_write(found.page);
		}
		return true;
	}
};

/* Whether a page that is in a slot was written since, or page-out is just finding that out. */
bool may_be_stale(folio *page)
{
	bool stale = kapi_folio_dirty(page);

	/* Page-out claims a page before it takes the mark, and gives that back before the claim. */
	kapi_smp_rmb();
	stale |= kapi_folio_going_out(page);
	kapi_smp_rmb();
	return stale || kapi_folio_dirty(page);
}

} /* namespace */

/* A page that stays an object's own, whose name this has until it is at its place again. */
struct Pages::Kept : Allocated {
	folio *page;
	Kept *next;
};

/*
 * Whether another part of the large folio that @page, at @index, is of was kept: all has one home. Of the block other
 * pages may have been kept behind that one, so all that the block has is looked through.
 */
bool Pages::is_kept(Index index, folio *page, const Kept *kept)
{
	if (!kapi_folio_is_large(page))
		return false;
	for (; kept && kapi_folio_index(kept->page) >= first_of_block(index); kept = kept->next)
		if (kapi_folio_whole(kept->page) == kapi_folio_whole(page))
			return true;
	return false;
}

/* Its own page at @index becomes the family's, and its slot with it: PAGEMAP asks the page no more. */
void Pages::give_away(Index index, folio *page, const StoreSlot *slot)
{
	if (may_have_changed(page) && !marks_.empty()) {
		const bool large = kapi_folio_is_large(page);
		const Index last = large ? last_of_block(index) : index;

		for (Index at = large ? first_of_block(index) : index; at <= last; at++)
			marks_.set_changed(at);
	}
	family()->home()->take(page, slot);
}

/*
 * What its youngest snapshot has at @index, if that is one of the relatives that came last: a look
 * is to cost no more than a copy. The members are not kept where memory is allocated: reclaim may come to
 * be the one that removes them, and waits for who keeps them.
 */
Seen Pages::last_copy(Index index) const
{
	unsigned int left = 64;

	for (Members at{family()}; at && left; at.next(), left--)
		if (at->counted_.origin == number_)
			return at->see(index);
	return {};
}

/*
 * Whether the last snapshot has a page with the bytes of @page, its own at @index: @copy is another
 * name of that then. Nobody writes a page of the family, nor takes it out of that, or into a slot, while
 * it is locked; and who would reuse it sees the name.
 */
bool Pages::share_copy(Index index, folio *page, Entry &copy)
{
	const Seen last = last_copy(index);
	folio *const found = last.page.get();

	if (!found || kapi_folio_poisoned(page) || !kapi_folio_trylock(found))
		return false;

	bool shares = family()->home()->owns(found) && !kapi_folio_poisoned(found);

	if (shares) {
		const Mapped now{page}, then{found};

		shares = kapi_same_bytes(now.bytes(), then.bytes(), KAPI_PAGE_SIZE);
	}
	if (shares && last.slot) {
		kapi_ref_get(&last.slot->references);
		copy = Entry{last.slot.get()};
	} else if (shares) {
		/* Without a name it is just leaving its home: the snapshot is being closed. */
		shares = kapi_folio_try_add_name(found);
		if (shares) {
			kapi_folio_get(found);
			copy = Entry{found};
		}
	}
	kapi_folio_unlock(found);
	return shares;
}

/* @copy: a name of a new page of the family with the bytes of @page. 0, -ENOMEM, -ENOSPC, -EHWPOISON. */
int Pages::make_copy(Index index, folio *page, Entry &copy)
{
	FolioRef made{kapi_folio_alloc_near(kapi_folio_node(page))};
	SharedHome &shared = *family()->home();

	if (!made)
		return -KAPI_ENOMEM;
	if (!shared.charge())
		return -KAPI_ENOSPC;
	/* Damaged: who reads it will be told. Of what is large other parts may be kept already. */
	if (const int err = kapi_folio_copy(made.get(), page)) {
		if (!kapi_folio_is_large(page)) {
			shared.uncharge();
			return err;
		}
		kapi_folio_poison(made.get());
	}
	note_write(made.get());
	shared.attach(made.get(), index);
	kapi_count(COWMEM_COUNT_pages_allocated);
	copy = Entry{made.release()};
	return 0;
}

/*
 * Somebody has a reference to its own @page at @index, locked, and may be writing it: the tree
 * gets a copy for the family instead, and the page goes to @kept.
 */
int Pages::put_copy(Index index, folio *page, Kept *&kept)
{
	const Entry entry = entry_of(index);
	auto *keeps = new (Gfp::kernel_account) Kept{{}, page, kept};
	Entry copy;

	if (!keeps)
		return -KAPI_ENOMEM;

	const bool shares = share_copy(index, page, copy);
	int err = shares ? 0 : make_copy(index, page, copy);

	if (err == -KAPI_EHWPOISON)
		give_away(index, page, entry.slot()); /* damaged: who reads it will be told */
	if (err) {
		delete keeps;
		return err == -KAPI_EHWPOISON ? 0 : err;
	}
	note_write(page);
	err = put(index, entry, copy, false, nullptr, false);
	if (err) {
		copy.drop();
		delete keeps;
		return -KAPI_ENOMEM;
	}
	/* With a slot, the name of the page goes with that. */
	if (entry.slot()) {
		entry.slot()->uncount(home_);
		kapi_folio_get(page);
		add_name(page);
		entry.drop();
	}
	/* Page-out is to find it in the tree. */
	if (!shares)
		add_to_lru(copy.page());
	kapi_count(shares ? COWMEM_COUNT_pages_frozen_shared : COWMEM_COUNT_pages_frozen_copied);
	kept = keeps;
	return 0;
}

/* The slot at @index, whose bytes are stale, is not in the tree any more, but the page alone. */
void Pages::leave_slot(Index index, const Seen &seen)
{
	kapi_folio_get(seen.page.get());
	add_name(seen.page.get());
	if (exchange(index, seen.entry, Entry{seen.page.get()}))
		seen.slot->uncount(home_);
}

/*
 * What is its own at @index, where @walk is, becomes the family's; or a copy of that, and the page goes to @kept. Of a large
 * folio all does: @walk goes behind the block then, if no part is without a name, where the block may have other pages.
 */
int Pages::freeze_one(Index index, Tree::OwnWalk &walk, Kept *&kept)
{
	SharedHome &shared = *family()->home();

	for (;;) {
		const Seen seen = see_what([&] { return walk.entry(); });
		folio *page = seen.page.get();

		if (!page) {
			if (!seen.slot || !seen.slot->take_out_of(home_, shared))
				return 0;
			if (seen.slot->is_written())
				marks_.set_changed(index);
			shared.take_slot(home_);
			return 0;
		}

		const PageLock lock{page};

		/* Page-out may have put it into a slot, or have taken it out. */
		if (walk.entry() != seen.entry)
			continue;
		if (!owns(page))
			return 0;
		if (foreign_references(page) > 1 || is_kept(index, page, kept))
			return put_copy(index, page, kept);
		if (seen.slot && may_be_stale(page)) {
			leave_slot(index, seen);
			continue;
		}
		give_away(index, page, seen.slot.get());
		if (kapi_folio_is_large(page) && kapi_folio_all_names(page) == KAPI_LARGE_PAGES)
			walk.skip_to(last_of_block(index) + 1);
		return 0;
	}
}

/* @page, which was kept, is its own at its place again, where a copy is. 0 or -ENOMEM. */
int Pages::put_back(folio *page)
{
	const Index index = kapi_folio_index(page);

	for (;;) {
		const Entry copy = entry_of(index);

		switch (put(index, copy, Entry{page}, true, nullptr, false)) {
		case 0:
			copy.drop();
			return 0;
		case -KAPI_ENOMEM:
			return -KAPI_ENOMEM;
		}
	}
}

/* What has become the family's, up to @last, until memory was short or a signal came, is no object's own. */
void Pages::clear_marks(Index last)
{
	UNINITIALIZED Tree::OwnWalk walk{tree_, 0, last};

	for (Index index; (index = walk.next()) != no_index;) {
		const Seen seen = see(index);

		if (!seen || !is_own(seen))
			tree_.clear_own(index);
		kapi_cond_resched();
	}
}

bool Pages::protect()
{
	return pinnable_ ? visit_own_entries<Protect<true>>(*this)
	                 : visit_own_entries<Protect<false>>(*this);
}

int Pages::freeze(Pages &made)
{
	UNINITIALIZED Tree::OwnWalk walk{tree_, 0, no_index};
	Kept *kept = nullptr;
	Index index;
	int err = 0;

	kapi_test_step(COWMEM_STEP_FREEZES, nullptr);
	while (!err && (index = walk.next()) != no_index) {
		err = kapi_signal_pending() ? -KAPI_EINTR : freeze_one(index, walk, kept);
		kapi_cond_resched();
	}
	if (!err) {
		tree_.clear_own();
		made.tree_.become(tree_);
	} else {
		/* Of a large folio more has become the family's than the part that this came to. */
		clear_marks(last_of_block(index));
	}
	while (kept) {
		if (!put_back(kept->page)) {
			made.counted_.add_others(1);
			delete std::exchange(kept, kept->next);
			continue;
		}
		/* Without the other tree the way there is this one's alone, which takes no memory. */
		err = -KAPI_ENOMEM;
		made.tree_.clear();
	}
	return err;
}

} /* namespace cowmem */
