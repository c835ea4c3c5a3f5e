/* SPDX-License-Identifier: GPL-2.0 */
/* What write() and fallocate() have in common. */
#ifndef COWMEM_IO_H
#define COWMEM_IO_H

#include "kernel/minmax.h"
#include "layers/object.h"

namespace cowmem {

/*
 * The page to write at @index, referenced and the object's own, into @page. 0, -ENOSPC, -ENOMEM,
 * -EIO, -EDQUOT, -EINTR. Of who has locked out other write()s. Sleeps.
 */
int page_to_write(Object &object, Index index, FolioRef &page);

/*
 * Fills the block from @first on with a large folio, if it is a hole and the object takes these always. All of it lies within the
 * object, or will when the caller is done, as for page_to_write(). @waits: until memory is put together for it, if that is soon.
 * False: it is to be filled by pages, or a fatal signal came. Sleeps.
 */
bool fill_block(Object &object, Index first, bool waits);

/*
 * Has each page from @first to @last that lies within the object in memory, and the object's own; in
 * large folios where there is nothing and it takes these always. To @count are added the pages that were not so.
 * 0 or as page_to_write() says; what was done stays. Locks out other write()s for a block at a time. Sleeps.
 * Kernel counterpart: faultin_page_range(), for MADV_POPULATE_WRITE.
 */
int populate(Object &object, Index first, Index last, unsigned long long &count);

/* Of the pages from @first to @last, which the caller has made, those behind the end become holes again. With write() locked out. Sleeps. */
inline void empty_behind_end(Object &object, Index first, Index last)
{
	const Index end = object.end_index();

	if (end <= last)
		object.empty_again(max_of(first, end), last);
}

/* Zeroes the bytes from @begin to before @end, which lie in one page; a hole stays one. The same. */
int zero(Object &object, long long begin, long long end);

} /* namespace cowmem */

#endif /* COWMEM_IO_H */
