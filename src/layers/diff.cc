// SPDX-License-Identifier: GPL-2.0
/*
 * The pages that differ between two objects of a family (layers/diff.h).
 *
 * What both see in the same layer is the same, so only what is in a layer that one of them
 * sees and the other does not can differ: that is what was written since they parted. There
 * the bytes decide. References are taken with the lock held, a few at a time, and bytes are
 * read without it.
 */
#include "layers/diff.h"
#include "store/source.h"

namespace cowmem {

namespace {

/* The lowest layer that both see, or are; null: there is none. */
const Pages *common_layer(const Pages &a, const Pages &b) REQUIRES_SHARED(a, b)
{
	const Pages *at_a = &a, *at_b = &b;
	unsigned int above_a = a.depth(), above_b = b.depth();

	while (at_a != at_b) {
		const bool up_a = above_a >= above_b, up_b = above_b >= above_a;

		if (up_a) {
			at_a = at_a->parent();
			above_a--;
		}
		if (up_b) {
			at_b = at_b->parent();
			above_b--;
		}
	}
	return at_a;
}

/* The first index from which on @below does not look to @above, which is itself or above it. */
Index end_of_view(const Pages &below, const Pages &above)
{
	Index end = no_index;

	for (const Pages *layer = &below; layer != &above; layer = layer->parent())
		end = min_of(end, layer->end_of_parent());
	return end;
}

/* Where two objects see something in different layers. The lock is held as long as there is one. */
class Parted {
public:
	Parted(const Pages &a, const Pages &b) REQUIRES_SHARED(a, b)
		: a_{a}, b_{b}, common_{common_layer(a, b)}
	{
		if (!common_)
			return;

		const Index end_a = end_of_view(a, *common_), end_b = end_of_view(b, *common_);

		first_of_one_ = min_of(end_a, end_b);
		end_of_one_ = max_of(end_a, end_b);
	}

	/* The first such page at or after @from and not after @last, or no_index. */
	Index next(Index from, Index last) const
	{
		a_.held_shared();
		b_.held_shared();

		const Index found = min_of(a_.next_entry(from, last, true, common_),
		                           b_.next_entry(from, last, true, common_));

		from = max_of(from, first_of_one_);
		if (from > last || from >= end_of_one_)
			return found;
		common_->held_shared();
		return min_of(found, common_->next_entry(from, min_of(last, end_of_one_ - 1), true,
		                                         nullptr));
	}

private:
	const Pages &a_, &b_;
	const Pages *const common_;
	/* From here to there only one of them looks to the common layer; the other was cut. */
	Index first_of_one_ = 0, end_of_one_ = 0;
};

/* What is seen at @index; neither page nor slot: a hole. */
Source seen_at(const Pages &pages, Index index) REQUIRES_SHARED(pages)
{
	const Pages &layer = pages.layer_of(index);
	Source seen;

	layer.held_shared();
	seen.page = layer.get(index);
	if (!seen.page)
		seen.slot = layer.slot(index);
	if (seen.slot && seen.slot->is_hole())
		seen.slot = {};
	return seen;
}

/* A page that may differ. */
struct Candidate {
	static constexpr int at_once = 8;

	Index index;
	Source here, there;
};

/* The next ones from @index on; @index is behind them then, last + 1 at the end. How many; or -ESTALE. */
int find_some(Pages &here, const Pages &there, Index &index, Index last, Candidate *found)
{
	Shared lock{here};

	there.held_shared();

	if (here.dropped() || there.dropped())
		return -KAPI_ESTALE;

	const Parted parted{here, there};
	int count = 0;

	while (index <= last && count < Candidate::at_once) {
		const Index next = parted.next(index, last);

		index = min_of(next, last) + 1;
		if (next != no_index)
			found[count++] = {next, seen_at(here, next), seen_at(there, next)};
	}
	return count;
}

/* Reads what two see at an index, and compares it. */
class Comparison {
public:
	/* 0: the same, 1: not the same, or who knows; -ENOMEM, -EINTR. Sleeps. */
	int differ(const Candidate &at)
	{
		folio *here, *there;
		int err = bytes_of(at.here, here_, here);

		if (!err)
			err = bytes_of(at.there, there_, there);
		kapi_count(COWMEM_COUNT_pages_compared);
		if (err)
			return err == -KAPI_EIO || err == -KAPI_EHWPOISON ? 1 : err;

		const Mapped a{here}, b{there};

		return !kapi_same_bytes(a.bytes(), b.bytes(), KAPI_PAGE_SIZE);
	}

private:
	/* A page with these bytes: its own, the one of zeroes, or @room, for what is paged out. */
	static int bytes_of(const Source &source, FolioRef &room, folio *&page)
	{
		page = source.page ? source.page.get() : kapi_zero_folio();
		if (!source.slot)
			return kapi_folio_poisoned(page) ? -KAPI_EHWPOISON : 0;
		if (!room)
			room = FolioRef{kapi_folio_alloc(false)};
		page = room.get();
		return page ? copy(page, source) : -KAPI_ENOMEM;
	}

	FolioRef here_, there_;
};

} /* namespace */

int list_changed(Pages &here, const Pages &there, Index &index, Index last, ChangedList &list)
{
	Comparison comparison;

	while (index <= last) {
		Candidate found[Candidate::at_once];
		Index next = index;
		const int count = find_some(here, there, next, last, found);

		if (count < 0)
			return count;
		for (int i = 0; i < count; i++) {
			index = found[i].index;

			const bool is_hole = !found[i].here.page && !found[i].here.slot;
			const unsigned int flags = is_hole ? COWMEM_CHANGED_HOLE : 0;
			int err = kapi_signal_pending() ? -KAPI_EINTR : comparison.differ(found[i]);

			if (err > 0) {
				if (!list.has_room(index, flags))
					return 0;
				err = list.add(index, flags);
			}
			if (err)
				return err;
			kapi_cond_resched();
		}
		index = next;
	}
	return 0;
}

} /* namespace cowmem */
