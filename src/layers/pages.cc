// SPDX-License-Identifier: GPL-2.0
/* The pages of an object (layers/pages.h). */
#include "layers/own_entries.h"
#include "layers/pages.h"
#include "rmap/unmap.h"
#include "store/store.h"

namespace cowmem {

namespace {

/* Takes away the entries of pages that go; or stay, if who restores is killed. */
struct Erase : LockedBefore {
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	static bool enters(const vm_area_struct *) { return true; }

	static bool visit(FoundPte &found)
	{
		take_away(found);
		return true;
	}
};

} /* namespace */

bool Pages::exchange(Index index, Entry old, Entry fresh) const
{
	bool done;
	{
		const Rcu rcu;

		done = tree_.exchange(index, old, fresh);
	}
	(done ? old : fresh).drop();
	return done;
}

/* --- what adds a page --- */
/* 0; -EAGAIN: something else than @old is there by now; -ENOMEM, -ENOSPC. As Tree::put() says. */
int Pages::put(Index index, Entry old, Entry entry, bool own, const Home *payer, bool ahead)
{
	UNINITIALIZED Tree::Spare spare;

	for (;;) {
		switch (tree_.put(index, old, entry, own, payer, spare)) {
		case Tree::Change::done:
			return 0;
		case Tree::Change::changed:
			return -KAPI_EAGAIN;
		case Tree::Change::no_space:
			return -KAPI_ENOSPC;
		case Tree::Change::no_memory:
			if (ahead || !tree_.fill(spare, index))
				return -KAPI_ENOMEM;
		}
	}
}

/* Puts @fresh where nothing is. None and no error: another CPU was first. */
FolioRef Pages::fill_hole(Index index, Fresh &fresh)
{
	folio *page = fresh.page.get();
	Home &home = home_of_new();

	if (!fresh.zeroed)
		kapi_folio_zero_range(page, 0, KAPI_PAGE_SIZE);
	fresh.zeroed = true;
	note_write(page);
	home.attach(page, index);
	kapi_folio_get(page);
	/* Before the page is seen, so that none is counted too few. */
	if (frozen_)
		counted_.add_others(1);
	if (const int err = put(index, {}, Entry{page}, !frozen_, &home, fresh.ahead)) {
		if (frozen_)
			counted_.add_others(-1);
		home.unattach(page);
		kapi_folio_put(page);
		fresh.error = err == -KAPI_EAGAIN ? 0 : err;
		return {};
	}
	add_to_lru(page, fresh.ahead);
	kapi_count(COWMEM_COUNT_pages_allocated);
	return std::move(fresh.page);
}

/*
 * What is out, and seen by nobody else, is its own, so that it can be mapped to be written. The
 * mark keeps a thread that has the slot, and is copying what it has, from putting the copy here.
 */
void Pages::adopt(Index index, const Seen &seen)
{
	constexpr int tree_and_caller = 2;
	StoreSlot &slot = *seen.slot;

	if (frozen_ || is_own(seen) || !tree_.may_be_alone(index) ||
	    !tree_.set_own(index, seen.entry))
		return;

	SharedHome &shared = *family()->home();

	if (kapi_ref_read(&slot.references) == tree_and_caller && slot.take_out_of(shared, home_))
		home_.take_slot(shared);
	else
		tree_.clear_own(index);
}

/*
 * Puts @fresh, with the bytes of the slot that is seen, into that. None and no error: another
 * CPU was first. As long as nobody writes the page, it can go out again without being stored.
 * What the core allocates is clean.
 */
FolioRef Pages::fill_slot(Index index, Seen &seen, Fresh &fresh)
{
	folio *page = fresh.page.get();
	StoreSlot &slot = *seen.slot;

	/* Wherever they were, they have been read; and they are the same anywhere else. */
	if (&slot != fresh.backed.get()) {
		fresh.zeroed = false;
		fresh.error = store.read(slot, page);
		if (fresh.error == -KAPI_EAGAIN)
			fresh.backed = std::move(seen.slot);
		if (fresh.error)
			return {};
	}
	adopt(index, seen);
	if (slot.is_written())
		kapi_folio_keep_written(page);

	Home &home = slot.home();
	obj_cgroup *const allocated_for = kapi_folio_get_owner(page);

	kapi_folio_set_owner(page, slot.owner().cgroup());
	home.attach(page, index);
	kapi_folio_get(page);
	if (fresh.ahead)
		kapi_folio_mark_ahead(page);

	const bool first = slot.come_in(page);

	if (!first) {
		home.unattach(page);
		kapi_folio_take_ahead(page);
		kapi_folio_put(page);
		/* The caller may use it for something else. */
		kapi_folio_return(page, allocated_for);
	}
	kapi_owner_put(allocated_for);
	if (!first)
		return {};
	add_to_lru(page, fresh.ahead);
	kapi_count(COWMEM_COUNT_pages_allocated);
	kapi_count(COWMEM_COUNT_pages_brought_in);
	fresh.brought_in = true;
	fresh.is_own = &home == &home_;
	return std::move(fresh.page);
}

FolioRef Pages::fill(Index index, Fresh &fresh)
{
	fresh.error = 0;
	for (;;) {
		Seen seen;

		if (!is_hole(index))
			seen = see(index);
		if (seen.page)
			return std::move(seen.page);

		FolioRef page = seen.slot ? fill_slot(index, seen, fresh) : fill_hole(index, fresh);

		if (page || fresh.error)
			return page;
	}
}

/* --- what takes pages away --- */
void Pages::unmap(Index first, Index last, PrivateCopies copies)
{
	const unsigned long long to_the_end = 0;
	const unsigned long long length =
		last == no_index ? to_the_end
				 : static_cast<unsigned long long>(bytes_at(last - first + 1));

	kapi_mapping_unmap(mapping(), static_cast<unsigned long long>(bytes_at(first)), length,
	                   copies == PrivateCopies::zap);
}

/* Pages that are damaged are not seen there any more: what stands for them in page tables goes. */
void Pages::forget_poisoned(Index first, Index last)
{
	if (!__atomic_load_n(&some_are_poisoned, __ATOMIC_RELAXED))
		return;
	for (Index index = first; (index = next_resident(index, last)) != no_index; index++) {
		const FolioRef page = get(index);

		if (page && kapi_folio_poisoned(page.get()))
			forget_poison(mapping(), index, page.get());
		if (index == last)
			break;
	}
}

/* All that is seen there goes, and PAGEMAP is to tell of that. */
void Pages::mark_changed(Index first, Index last)
{
	if (marks_.empty())
		return;

	const Index end = last == no_index ? marks_.cut(first) : last + 1;

	for (Index index = first; index < end && (index = next_data(index, end - 1)) != no_index;
	     index++) {
		marks_.set_changed(index);
		kapi_cond_resched();
	}
}

/*
 * Unmapped twice, as the kernel's truncation does it: first the bulk, so that hardly
 * any page is still mapped when it loses its name; and, where private copies have to go,
 * once more at the end, for the copy that the core was making of a locked page, which is
 * waited for as it loses its name: the core makes none of a page that relatives may see. A
 * copy that the handler makes cannot be under way: it is mapped with the lock held
 * shared, or by the commit rule (layers/object_lock.h).
 */
void Pages::remove(Index first, Index last, PrivateCopies copies)
{
	unmap(first, last, copies);
	forget_poisoned(first, last);
	mark_changed(first, last);
	tree_.remove(first, last);
	if (home_.large()) {
		break_edge(first);
		if (last != no_index)
			break_edge(last);
	}
	if (copies == PrivateCopies::zap)
		unmap(first, last, copies);
}

int Pages::become(const Pages &target, Tree &left)
{
	if (!visit_own_entries<Erase>(*this))
		return -KAPI_EINTR;
	for (Index from = 0; from != no_index;) {
		const Index first = Tree::next_difference(tree_, target.tree_, from, no_index);

		if (first == no_index)
			break;

		marks_.set_changed(first);

		folio *page = resident(first);

		if (page && !owns(page))
			unmap(first, first, PrivateCopies::keep);
		if (page)
			forget_poisoned(first, first);
		if (kapi_signal_pending())
			return -KAPI_EINTR;
		kapi_cond_resched();
		from = first + 1;
	}
	left.become(tree_);
	tree_.become(target.tree_);
	return 0;
}

bool Pages::become(const Pages &target, Tree::Part part)
{
	const auto next_difference = [&](Index from, Index last) {
		return Tree::next_difference(tree_, target.tree_, from, last);
	};

	/* What differs one behind the other is unmapped at once. */
	for (Index first = part.first, end;
	     first <= part.last && (first = next_difference(first, part.last)) != no_index;
	     first = end) {
		for (end = first;
		     end == first || (end <= part.last && next_difference(end, end) == end); end++)
			marks_.set_changed(end);
		unmap(first, end - 1, PrivateCopies::keep);
		forget_poisoned(first, end - 1);
	}
	return tree_.become(target.tree_, part);
}

/*
 * With its references frozen nobody can take another on the old page: not GUP, which
 * has seen it in a page table, nor write(), which has one while it stores. It is on no LRU then: the list's
 * lock may sleep (PREEMPT_RT), and of the owner, whose list that is, it is here that it is exchanged.
 */
int Pages::try_replace(Index index, folio *old, folio *page)
{
	constexpr int name_and_caller = 2;
	const NoPreemption who_waits_for_it_goes_on;

	if (!kapi_folio_freeze(old, name_and_caller))
		return -KAPI_EAGAIN;
	/* Reclaim may have put it back. */
	const int err = kapi_lru_has(old) ? -KAPI_EAGAIN : kapi_folio_copy(page, old);
	if (err) {
		kapi_folio_unfreeze(old, name_and_caller);
		return err;
	}
	if (kapi_folio_written(old))
		kapi_folio_keep_written(page);
	if (kapi_folio_dirty(old))
		kapi_folio_set_dirty(page);
	home_.attach(page, index);
	{
		const Rcu rcu;
		const Entry entry = tree_.at(index);

		if (entry.slot())
			entry.slot()->hold_instead(page);
		else
			tree_.exchange(index, entry, Entry{page});
	}
	leave_home(old);
	kapi_folio_exchange_owners(page, old);
	kapi_folio_unfreeze(old, 1);
	return 0;
}

int Pages::replace(Index index, folio *old, FolioRef &fresh)
{
	folio *page = fresh.get();
	const PageLock lock{page};

	kapi_lru_del(old);
	if (const int err = try_replace(index, old, page)) {
		kapi_lru_add(old);
		return err;
	}
	add_to_lru(fresh.release());
	kapi_count(COWMEM_COUNT_pages_allocated);
	kapi_count(COWMEM_COUNT_pages_moved);
	return 0;
}

unsigned long Pages::next_number()
{
	static unsigned long last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

/* Its file is good for nothing any more. */
void Pages::drop()
{
	Exclusive lock{*this};

	if (dropped_)
		return;
	__atomic_store_n(&dropped_, true, __ATOMIC_RELAXED);
	kapi_inode_set_size(kapi_mapping_host(mapping()), 0);
	remove(0, no_index, PrivateCopies::keep);
	kapi_count(COWMEM_COUNT_snapshots_dropped);
	kapi_wake_pollers();
}

Family *Pages::have_family(Family *family)
{
	Family *none = nullptr;

	if (Family *const mine = this->family())
		return mine;

	Family *const made = family ? &family->get() : Family::create(home_.space());

	if (!made || __atomic_compare_exchange_n(&family_, &none, made, false, __ATOMIC_ACQ_REL,
	                                         __ATOMIC_ACQUIRE))
		return made;
	made->put();
	return none;
}

void Pages::remove_all()
{
	tree_.clear();
}

} /* namespace cowmem */
