/* SPDX-License-Identifier: GPL-2.0 */
/* Taking memory of an object for damaged. */
#ifndef COWMEM_POISON_H
#define COWMEM_POISON_H

#include "layers/pages.h"

namespace cowmem {

/*
 * Marks the page at @index, which must be one, as damaged and has every page table
 * that maps it give SIGBUS there (R94). False:
 * it was so already. Sleeps; takes the locks from the page lock down. Kernel counterpart:
 * memory_failure().
 */
bool poison_page(Pages &pages, Index index) REQUIRES(pages);

/*
 * The same for a page whose memory has failed, which the caller has a reference on, wherever
 * it is. False: it is no object's. Sleeps; takes the locks from the page lock down.
 */
bool memory_failed(folio *page);

} /* namespace cowmem */

#endif /* COWMEM_POISON_H */
