// SPDX-License-Identifier: GPL-2.0
/* What an object sees (layers/view.h). */
#include "layers/view.h"

namespace cowmem {

bool View::try_get(Index index, FolioRef &page) const
{
	const Rcu rcu;
	const Entry entry = tree_.at(index);
	folio *found = entry.page();

	if (found && !kapi_folio_try_get(found))
		return false;
	page = FolioRef{found};
	return !found || (tree_.at(index) == entry && entry.page() == found);
}

/* The first index from @from to @last that @next finds and @is says yes of; or no_index. */
template <class Next, class Is>
Index View::next_that(Index from, Index last, Next next, Is is)
{
	for (Index index = from; (index = next(index, last)) != no_index; index++) {
		if (is(index))
			return index;
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return no_index;
}

Index View::next_resident(Index from, Index last) const
{
	return next_that(
		from, last, [&](Index at, Index end) { return next_data(at, end); },
		[&](Index at) { return resident(at) != nullptr; });
}

Index View::next_out(Index from, Index last) const
{
	return next_that(
		from, last, [&](Index at, Index end) { return next_data(at, end); },
		[&](Index at) { return is_out(at); });
}

Index View::next_own(Index from, Index last) const
{
	return next_that(
		from, last, [&](Index at, Index end) { return tree_.next_own(at, end); },
		[&](Index at) { return is_own_page(at); });
}

} /* namespace cowmem */
