/* SPDX-License-Identifier: GPL-2.0 */
/* Page-out of a range, for the ioctl and for hints. */
#ifndef COWMEM_PAGING_H
#define COWMEM_PAGING_H

#include "layers/object.h"
#include "reclaim/page_out.h"

namespace cowmem {

/*
 * Pages out what it can from @next to @last, also what was used lately if @accessed. @next becomes
 * the first page that was not looked at, because of a fatal signal. Sleeps.
 */
PagedOut page_out_range(Object &object, Index &next, Index last, bool accessed);

} /* namespace cowmem */

#endif /* COWMEM_PAGING_H */
