/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page-out: pages go from memory into the store.
 *
 * In three steps, for a cluster of neighbours at a time, and with no lock of an object or a
 * family, so that no fault ever waits for a page to be compressed:
 *
 *   1  Pages that were used lately are passed over (second chance). The others are
 *      write-protected, and lose PG_dirty.
 *   2  Those that have no good slot are compressed. They stay mapped, to be read; who writes
 *      one does as ever, and its dirty bit tells. For what the store has no
 *      room or memory, the entries are put back as they were, as far as that is no more of
 *      them than of pages. What is incompressible stays clean, and is not tried again until
 *      a store makes it dirty.
 *   3  Each is locked, and put into its slot, which takes its place in all trees that name it;
 *      then it is unmapped for all who see it. Where no dirty bit came back, from any page
 *      table or from who writes without one, and nobody has a reference, the slot has what the
 *      page has: the page is taken out of the slot, with its references frozen. Kernel
 *      counterpart: __remove_mapping().
 *
 * While the store reads a page nobody has it exclusively, since whoever writes it makes
 * what is being stored worthless (R59).
 */
#ifndef COWMEM_PAGE_OUT_H
#define COWMEM_PAGE_OUT_H

#include "layers/pages.h"

namespace cowmem {

/* On whose behalf, and what may be paged out. */
struct PageOut {
	bool waits;              /* for locks: false in memory reclaim */
	bool accessed;           /* pages, too, that were used lately (R71) */
	unsigned long max_slots; /* that the object may have */
	bool shared;             /* pages, too, that relatives may see */
	bool forgets = false;    /* that they were used, which is counted, and nothing goes */
	/*
	 * Of the pages of one cluster, those that are meant, by the bits of their places. Their neighbours, which were looked at
	 * at another time, would go for having not been used since then, however short that is.
	 */
	unsigned int named = ~0U;
};

/* What became of the pages, and why; a page that is not in memory is not counted. */
struct PagedOut {
	unsigned long out = 0;      /* they are in the store now */
	unsigned long reused = 0;   /* of these, their slot was still good (R47) */
	unsigned long accessed = 0; /* used lately (R71) */
	unsigned long mlocked = 0;  /* mapped where mlock() holds them (R73) */
	unsigned long busy = 0;     /* pinned, being written, or just in use (R72) */
	unsigned long incompressible = 0;
	unsigned long full = 0;      /* the store, or the object's share of it */
	unsigned long no_memory = 0; /* to store them in */
	unsigned long poisoned = 0;
	unsigned long tracked = 0;  /* their soft-dirty bits would be lost (R54) */
	unsigned long io_error = 0; /* the backing store could not be written */
};

/*
 * Pages out what it can of what @pages sees from @first to @last, some at a time, and adds to
 * @result. Sleeps unless told otherwise, but on the locks of mappings.
 */
void page_out(Pages &pages, Index first, Index last, const PageOut &how, PagedOut &result)
	EXCLUDES(pages);

} /* namespace cowmem */

#endif /* COWMEM_PAGE_OUT_H */
