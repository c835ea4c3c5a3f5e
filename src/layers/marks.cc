// SPDX-License-Identifier: GPL-2.0
/* Marks of an object's places (layers/marks.h). */
#include "layers/marks.h"

namespace cowmem {

Mark Marks::at(Index index) const
{
	return mark_in(kapi_values_get(&values_, index / places), index);
}

bool Marks::make_room(Index first, Index last)
{
	for (Index at = first / places; at <= last / places; at++)
		if (!kapi_values_make(&values_, at)) {
			forget(first);
			return false;
		}
	return true;
}

void Marks::forget(Index from)
{
	Index now = __atomic_load_n(&forgotten_, __ATOMIC_RELAXED);

	while (from < now && !__atomic_compare_exchange_n(&forgotten_, &now, from, false,
	                                                  __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

Index Marks::cut(Index end)
{
	unsigned long at = (end + places - 1) / places;
	const Index behind = at * places;

	if (kapi_values_take_next(&values_, &at))
		forget(behind);
	while (kapi_values_take_next(&values_, &at))
		kapi_cond_resched();
	return behind;
}

Mark Marks::set(Index index, Mark mark)
{
	for (;;) {
		const unsigned long old = kapi_values_get(&values_, index / places);
		const unsigned long fresh = (old & ~(mask << shift_of(index))) |
		                            static_cast<unsigned long>(mark) << shift_of(index);

		if (old == fresh || kapi_values_exchange(&values_, index / places, old, fresh))
			return mark_in(old, index);
	}
}

} /* namespace cowmem */
