// SPDX-License-Identifier: GPL-2.0
/* Page-out and prefetch of a range (device/paging.h). */
#include "device/paging.h"
#include "kernel/minmax.h"

namespace cowmem {

PagedOut page_out_range(Object &object, Index &next, Index last, bool accessed)
{
	/* What relatives see, too, is paged out only by who has a descriptor of the snapshot. */
	const PageOut how{.waits = true,
	                  .accessed = accessed,
	                  .max_slots = object.max_slots(),
	                  .shared = object.pages().oversees()};
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

int bring_in_range(Object &object, Index first, Index last, unsigned long long &count)
{
	for (Index index = first;; index++) {
		index = object.pages().next_out(index, last);
		if (index == no_index)
			return 0;
		if (kapi_signal_pending())
			return -KAPI_EINTR;
		if (const int err = object.pages().bring_in(index, last, count))
			return err;
		kapi_cond_resched();
		if (index == last)
			return 0;
	}
}

} /* namespace cowmem */
