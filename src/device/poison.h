/* SPDX-License-Identifier: GPL-2.0 */
/* Taking memory of an object for damaged. */
#ifndef COWMEM_POISON_H
#define COWMEM_POISON_H

#include "layers/pages.h"

namespace cowmem {

/*
 * Marks the page at @index, which must be one, as damaged and has every page table
 * that maps it, of those who see it as a snapshot's, too, give SIGBUS there (R94). False:
 * it was so already. Sleeps; takes the locks from the page lock down. Kernel counterpart:
 * memory_failure().
 */
bool poison_page(Pages &pages, Index index) REQUIRES(pages);

/*
 * The same for a page whose memory has failed, which the caller has a reference on, wherever
 * it is. False: it is no object's, or its object is just going. Sleeps; takes all locks from
 * the family's down.
 */
bool memory_failed(folio *page);

/*
 * Empties the entries that poison_page() left for @page, which leaves @mapping: what
 * comes to its place is sound. The kernel's own unmapping of a hole keeps them.
 */
void forget_poison(address_space *mapping, Index index, folio *page);

} /* namespace cowmem */

#endif /* COWMEM_POISON_H */
