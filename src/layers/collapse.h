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
 * can: @result. What is out is brought in before. If not done, all is as it was, but perhaps mapped nowhere, and in no slot. 0;
 * -EINTR: a fatal signal. Sleeps. Kernel counterpart: collapse_file().
 *
 * If it was not @asked for, it waits neither for the store nor for write() nor for page locks, takes memory as
 * kapi_large_alloc_as(), and leaves what nobody wants large (is_wanted()), and what mlock() or soft-dirty bits keep mapped:
 * all of that is busy.
 */
int collapse_block(Object &object, Index first, bool asked, Collapsed &result);

/* The first block at or after page @from where there is something, if all of it lies before @end; or no_index. */
Index next_block(const Pages &pages, Index from, Index end);

/*
 * Whether large folios are to be made of pages at the block at @first, though no call asks for it: the object, or a mapping, takes them,
 * and nothing is kept by pages. A hint, without the object's lock held alone. Sleeps.
 */
bool is_wanted(Object &object, Index first);

} /* namespace cowmem */

#endif /* COWMEM_COLLAPSE_H */
