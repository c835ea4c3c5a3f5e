// SPDX-License-Identifier: GPL-2.0
/*
 * Reflinks (layers/object.h): an object that exists already gets pages of another, shared. What it
 * gets is that of a snapshot of the other, which is taken for it and goes again, but for what
 * both see then. And its own pages can be given back for what reads the same: a relative's, or holes.
 */
#include "layers/object.h"

namespace cowmem {

namespace {

constexpr Index at_once = 256; /* pages that are compared while the faults of their object wait */

/* A snapshot of an object for a scope: of one that is a snapshot, itself. */
class Then {
public:
	Then() = default;
	~Then()
	{
		if (made_)
			made_->discard();
	}
	Then(const Then &) = delete;
	Then &operator=(const Then &) = delete;

	/* 0, or as Object::snapshot(). */
	int take(Object &source)
	{
		then_ = &source;
		if (source.frozen())
			return 0;
		if (const int err = source.snapshot(made_))
			return err;
		then_ = made_;
		return 0;
	}
	Object &operator*() const { return *then_; }

private:
	Object *then_ = nullptr, *made_ = nullptr;
};

/* Whether two pages, of which one may be a hole, are the same to read. */
bool reads_same(const folio *a, const folio *b)
{
	folio *const some = const_cast<folio *>(a ? a : b);

	if (a == b)
		return true;

	const auto *bytes = static_cast<const unsigned long *>(kapi_folio_map(some));
	bool same = true;

	if (a && b) {
		const void *others = kapi_folio_map(const_cast<folio *>(b));

		same = kapi_same_bytes(bytes, others, KAPI_PAGE_SIZE);
		kapi_folio_unmap(others);
	} else {
		for (size_t i = 0; i < KAPI_PAGE_SIZE / sizeof(*bytes) && same; i++)
			same = !__atomic_load_n(bytes + i, __ATOMIC_RELAXED);
	}
	kapi_folio_unmap(bytes);
	return same;
}

/* Whether somebody besides page tables and names has @page, and may be reading or writing it. The caller has a reference. */
bool is_used(const folio *page)
{
	return page && foreign_references(page) > 1;
}

/*
 * The same of what @seen has, which @pages, whose lock is held alone, has at @index. It is unmapped: a fault
 * that may still commit is over then, no other comes to have it, and what is read of it behind this
 * is what it stays, if it is not used. Only of what may go by a look before: what stays is to keep its
 * entries, and what these say of writes.
 */
bool stays_used(Pages &pages, Index index, const Seen &seen)
{
	if (is_used(seen.page.get()))
		return true;
	pages.unmap(index, index, PrivateCopies::keep);
	/* A fault that had it locked before has mapped it by now. */
	if (seen.page)
		unmap_late(seen.page.get());

	const bool used = is_used(seen.page.get());

	kapi_smp_rmb(); /* a user of it is done before its bytes are looked at */
	return used;
}

/* Whether a page was seen that is not in memory. */
bool is_out(const Seen &seen)
{
	return seen.slot && !seen.page;
}

/* Whether it is, and has zeroes only. */
bool is_out_as_zeroes(const Seen &seen)
{
	return is_out(seen) && seen.slot->how == Location::same_filled && !seen.slot->what;
}

bool is_damaged(const Seen &seen)
{
	return seen.page && kapi_folio_poisoned(seen.page.get());
}

} /* namespace */

int Object::join(Object &source)
{
	const bool comes = pages_.family() && !source.pages_.family();

	if (pages_.family() && source.pages_.family() && pages_.family() != source.pages_.family())
		return -KAPI_EOPNOTSUPP;

	Family *const family = source.pages_.have_family(pages_.family());

	if (!family)
		return -KAPI_ENOMEM;
	/* Before either has anything that the other had: who comes to relatives may not watch them. */
	if (comes)
		source.pages_.set_of_clone();
	family->set_joined();
	if (!family->make_home() || !pages_.have_family(family))
		return -KAPI_ENOMEM;
	pages_.set_of_clone();
	set_parent(source);
	return 0;
}

int Object::reflink(Object &source, long long begin, long long end)
{
	Index next = index_of(begin);
	Then then;

	if (!pages_.family()->add(source.pages_, pages_))
		return -KAPI_EMLINK;
	if (const int err = then.take(source))
		return err;

	const WriteLock writes{*this};

	if (!writes)
		return -KAPI_EINTR;

	if (end > size() && growth() == Growth::none)
		return -KAPI_ENOSPC;
	/* It stays so long if the rest fails: somebody may have stored there by then. */
	if (const int err = extend(end))
		return err;
	/* Behind an end within a page there is to be nothing: it may have grown since this was asked. */
	return take_parts(*then, next, index_up(end) - 1, end);
}

/* -EAGAIN: once more; -EBADE: they differ; -ENODATA: what is to be compared is not in memory. */
int Object::dedupe_some(Object &then, Index first, Index last)
{
	CopyLimits::Leaving leaving{pages_};

	if (!pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};
	SharedBelow undropped{then.pages_};
	int err = then.pages_.dropped() ? -KAPI_ESTALE : 0;

	if (last >= end_index())
		return -KAPI_EINVAL; /* it was cut since this was asked */
	for (Index index = first; !err && index <= last; index++) {
		const Seen mine = pages_.see(index), theirs = then.pages_.see(index);

		if (is_out(mine) || is_out(theirs))
			return -KAPI_ENODATA;
		if (is_damaged(mine) || is_damaged(theirs))
			return -KAPI_EIO;
		if (!reads_same(mine.page.get(), theirs.page.get()))
			return -KAPI_EBADE;
		if (mine.page.get() == theirs.page.get() || stays_used(pages_, index, mine))
			continue;
		if (!reads_same(mine.page.get(), theirs.page.get()))
			return -KAPI_EBADE;
		err = leaving.may_become(then.pages_, index, index);
		if (!err && !pages_.become(then.pages_, {index, index}))
			err = -KAPI_ENOMEM;
		if (!err)
			leaving.done();
	}
	return err;
}

/* Whether what @seen has at @index is zeroes, or nobody's any more. */
bool Object::is_for_nothing(Index index, const Seen &seen) const
{
	return !holds(index) || is_out_as_zeroes(seen) ||
	       (seen.page && !is_damaged(seen) && reads_same(seen.page.get(), nullptr));
}

/* Whether what is at @index is for nothing, and nobody uses it, or lies behind the end. @all becomes false if somebody does use what lies before the end. */
bool Object::is_left_over(Index index, bool &all)
{
	const Seen seen = pages_.see(index);

	if (!seen || !pages_.is_own(seen) || !is_for_nothing(index, seen))
		return false;

	const bool used = stays_used(pages_, index, seen);
	const bool goes = !holds(index) || (!used && is_for_nothing(index, seen));

	all &= goes || !used;
	return goes;
}

/* False: something stays that is for nothing, but used. */
bool Object::empty_some(Index first, Index last)
{
	Exclusive lock{pages_};
	bool all = true;

	/* Runs go at once, and with no reference that would keep a large folio as it is. */
	for (Index index = first; index <= last; index++) {
		const Index from = index;

		while (index <= last && is_left_over(index, all))
			index++;
		if (index > from && pages_.tree().own_way(from) && pages_.tree().own_way(index - 1))
			pages_.remove(from, index - 1, PrivateCopies::keep);
	}
	return all;
}

bool Object::try_empty_again(Index first, Index last)
{
	bool all = true;

	for (Index from = first; from <= last; from += at_once)
		all &= empty_some(from, min_of(last, from + at_once - 1));
	return all;
}

void Object::empty_again(Index first, Index last)
{
	if (try_empty_again(first, last))
		return;
	/* What page-out has at the moment is out soon, or back. */
	kapi_sleep_killable();
	try_empty_again(first, last);
}

int Object::dedupe(Object &source, Index &next, Index last)
{
	unsigned long long count = 0;
	Then then;

	if (frozen_)
		return -KAPI_EROFS;
	if (!is_relative_of(source))
		return -KAPI_EOPNOTSUPP;
	if (const int err = then.take(source))
		return err;
	while (next <= last) {
		const Index stop = min_of(last, next + at_once - 1);
		const int err = dedupe_some(*then, next, stop);

		if (!err)
			next = stop + 1;
		else if (err == -KAPI_ENODATA) {
			if (const int lost = (*then).pages_.swap_in_all(next, stop, count))
				return lost;
			if (const int lost = pages_.swap_in_all(next, stop, count))
				return lost;
		} else if (err != -KAPI_EAGAIN) {
			return err;
		}
		if (next <= last && kapi_signal_pending())
			return -KAPI_EINTR;
	}
	return 0;
}

} /* namespace cowmem */
