/* SPDX-License-Identifier: GPL-2.0 */
/* Collapse: 512 pages of a block become one large folio (store/large.h). */
#ifndef COWMEM_COLLAPSE_H
#define COWMEM_COLLAPSE_H

#include "layers/object.h"

namespace cowmem {

/* What became of a block that was to be a large folio. */
enum class Collapsed {
	done,
	is_large, /* it is one, and all the object's own */
	sparse,   /* there is a hole */
	shared,   /* something is the family's */
	busy,     /* somebody has a reference to a page, or it has just gone out */
	poisoned,
	no_memory,
	io_error, /* the store cannot give a page back */
};

/*
 * Has the block of @object that begins with page @first become a large folio, with the bytes that it has, if it
 * can: @result. If it @waits, what is out is brought in before, and write() is waited for; else both make it busy. If not done, all is as
 * it was, but perhaps mapped nowhere, and in no slot. 0; -EINTR: a fatal signal. Sleeps. Kernel counterpart: collapse_file().
 */
int collapse_block(Object &object, Index first, bool waits, Collapsed &result);

/* The first block at or after page @from where there is something, if all of it lies before @end; or no_index. */
Index next_block(const Pages &pages, Index from, Index end);

/*
 * Has all blocks of all objects that are to take large folios, and whose pages have nothing to lose by it, become some. It stops
 * before the machine goes to sleep. By a worker. Sleeps. Kernel counterpart: khugepaged_do_scan().
 */
void collapse_all();

} /* namespace cowmem */

#endif /* COWMEM_COLLAPSE_H */
