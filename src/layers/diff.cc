// SPDX-License-Identifier: GPL-2.0
/*
 * The pages that differ between two objects of a family (layers/diff.h).
 *
 * What both trees share is the same, so only where they differ can pages: that is what was
 * written since they parted. There the bytes decide. References are taken under RCU, a few at a
 * time, and bytes are read without it.
 */
#include "layers/diff.h"
#include "store/store.h"

namespace cowmem {

namespace {

/* A page that may differ. */
struct Candidate {
	static constexpr int at_once = 8;

	Index index;
	Seen here, there;
};

/* The next ones from @index on; @index is behind them then, last + 1 at the end. How many; or -ESTALE. */
int find_some(const Pages &here, const Pages &there, Index &index, Index last, Candidate *found)
{
	int count = 0;

	while (index <= last && count < Candidate::at_once) {
		const Index next = Tree::next_difference(here.tree(), there.tree(), index, last);

		index = min_of(next, last) + 1;
		if (next != no_index)
			found[count++] = {next, here.see(next), there.see(next)};
	}
	/* Behind the look: what a dropped one has is no answer. */
	return here.dropped() || there.dropped() ? -KAPI_ESTALE : count;
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
	static int bytes_of(const Seen &source, FolioRef &room, folio *&page)
	{
		page = source.page ? source.page.get() : kapi_zero_folio();
		if (source.page || !source.slot)
			return kapi_folio_poisoned(page) ? -KAPI_EHWPOISON : 0;
		if (!room)
			room = FolioRef{kapi_folio_alloc(false)};
		page = room.get();
		if (!page)
			return -KAPI_ENOMEM;
		return read_slot(*source.slot, page, Wait::killable);
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
