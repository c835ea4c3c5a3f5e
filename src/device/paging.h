/* SPDX-License-Identifier: GPL-2.0 */
/* Page-out and prefetch of a range, for the ioctls and for hints. */
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

/* Brings in what is paged out from @first to @last, and adds to @count. 0, -ENOMEM, -EIO, -EINTR. Sleeps. */
int bring_in_range(Object &object, Index first, Index last, unsigned long long &count);

} /* namespace cowmem */

#endif /* COWMEM_PAGING_H */
