/* SPDX-License-Identifier: GPL-2.0 */
/* Page-out of a range, for the ioctl and for hints. */
#ifndef COWMEM_PAGING_H
#define COWMEM_PAGING_H

#include "layers/object.h"
#include "reclaim/page_out.h"

namespace cowmem {

/* What becomes of what was used lately. */
enum class Used : unsigned char {
	stays,        /* this time */
	goes,         /* as the rest does */
	is_forgotten, /* that it was; and nothing goes */
};

/*
 * Pages out what it can from @next to @last. @next becomes the first page that was not looked at, because of a fatal
 * signal. Sleeps.
 */
PagedOut page_out_range(Object &object, Index &next, Index last, Used used);

} /* namespace cowmem */

#endif /* COWMEM_PAGING_H */
