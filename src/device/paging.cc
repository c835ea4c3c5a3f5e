// SPDX-License-Identifier: GPL-2.0
/* Page-out of a range (device/paging.h). */
#include "device/paging.h"
#include "kernel/minmax.h"

namespace cowmem {

PagedOut page_out_range(Object &object, Index &next, Index last, Used used)
{
	/* What relatives see, too, is paged out only by who has a descriptor of the snapshot. */
	const PageOut how{.waits = true,
	                  .accessed = used == Used::goes,
	                  .max_slots = object.max_slots(),
	                  .shared = object.pages().oversees(),
	                  .forgets = used == Used::is_forgotten};
	constexpr Index at_once = 1024; /* between looks at whether the caller was killed */
	PagedOut result;

	/* Pages on their way between LRU lists have references. */
	kapi_drain_folio_batches_everywhere();
	while (next <= last && !kapi_signal_pending()) {
		next = min_of(object.pages().next_data(next, last), last + 1);
		if (next > last)
			break;

		const Index stop = min_of(last, next + at_once - 1);

		page_out(object.pages(), next, stop, how, result);
		next = stop + 1;
	}
	return result;
}

} /* namespace cowmem */
