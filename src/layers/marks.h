/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which places of an object changed since PAGEMAP last cleared that. A page alone cannot tell: it
 * may be a relative's, too, or be gone. So there is a mark for each place of each object:
 *
 *   unknown   it was never cleared: what is there is new
 *   clean     it was cleared; if it changed since, then what is there is the object's own, and
 *             says so: the page (may_have_changed(), or a dirty entry of a page table), or, when
 *             that is out, its slot. What is the family's there, or a hole, did not change
 *   changed   it has changed since, and what is there need not say so
 *
 * Who takes away what says so makes a clean place changed first, with the object's lock held
 * alone: SNAPSHOT and CLONE (layers/freeze.cc), RESTORE, PUNCH and RESIZE (layers/pages.cc). That
 * takes no memory, and cannot fail. Only who clears a place for the first time needs some; an
 * object of which nothing was ever cleared has none, and what an object is cut to has none behind
 * its end, until somebody clears that.
 *
 * With the object's lock shared, as PAGEMAP has it, a mark is changed by another PAGEMAP only.
 * Each change is atomic, so of two that clear a place each has what was there before it.
 */
#ifndef COWMEM_MARKS_H
#define COWMEM_MARKS_H

#include "kernel/index.h"

namespace cowmem {

enum class Mark : unsigned char { unknown, clean, changed };

class Marks {
public:
	Marks() { kapi_values_init(&values_); }
	~Marks() { kapi_values_destroy(&values_); }
	Marks(const Marks &) = delete;
	Marks &operator=(const Marks &) = delete;

	/* Whether nothing was ever cleared. */
	bool empty() const { return kapi_values_empty(&values_); }
	Mark at(Index index) const;
	/*
	 * Whether a place that is unknown, and where @something is or not, has to be told as dirty:
	 * always, if it is forgotten that it was cleared, or was to be, and so it may be for all
	 * places behind the first of which that is so. Who clears them all makes none unknown.
	 */
	bool is_news(Index index, bool something) const
	{
		return something || index >= __atomic_load_n(&forgotten_, __ATOMIC_RELAXED);
	}

	/* Memory for the marks from @first to @last, for set(). False: there is none. Sleeps. */
	[[nodiscard]] bool make_room(Index first, Index last);
	/*
	 * The object ends at @end: what lies behind that need take no memory. The first place that is
	 * unknown from then on, as are all behind it: what has a mark until there keeps it. With the
	 * object's lock held alone. Sleeps.
	 */
	Index cut(Index end);
	/* The mark from now on, after make_room() under the same lock: what it was. Never sleeps. */
	Mark set(Index index, Mark mark);
	/* What was clean has changed. Never sleeps, and cannot fail. */
	void set_changed(Index index)
	{
		if (!empty() && at(index) == Mark::clean)
			set(index, Mark::changed);
	}

private:
	/* A number has the marks of some neighbours, two bits for each. */
	static constexpr Index places = 31;
	static constexpr unsigned long mask = 3;

	static unsigned int shift_of(Index index)
	{
		return static_cast<unsigned int>(index % places) * 2;
	}
	static Mark mark_in(unsigned long value, Index index)
	{
		return static_cast<Mark>(value >> shift_of(index) & mask);
	}

	void forget(Index from);

	mutable kapi_values values_;
	Index forgotten_ = no_index; /* the first place that may be, as may all behind it */
};

/*
 * Whether @page, an object's own, says that it has changed since it was cleared, or may be
 * changing; but for the dirty entries of page tables, which are to be looked at before. Whoever
 * writes through a pin marks the page before the pin goes.
 */
inline bool may_have_changed(const folio *page)
{
	const bool pinned = kapi_folio_maybe_pinned(page);

	kapi_smp_rmb();
	return pinned || kapi_folio_has_mark(page);
}

} /* namespace cowmem */

#endif /* COWMEM_MARKS_H */
