/* SPDX-License-Identifier: GPL-2.0 */
/* Moving pages of an object elsewhere while they are mapped: NUMA migration. */
#ifndef COWMEM_MOVE_H
#define COWMEM_MOVE_H

#include "layers/pages.h"

namespace cowmem {

enum class Moved {
	here_already,
	moved,
	busy,      /* somebody has it pinned, or is just using it; or it is poisoned */
	no_memory, /* the node has none */
};

/*
 * Has the page at @index, which must be one, on NUMA node @node. Who touches it
 * meanwhile waits and finds the old page or the new one (R74). Sleeps; takes the locks
 * from the page lock down. Kernel counterpart: unmap_and_move().
 */
Moved move_page(Pages &pages, Index index, int node) REQUIRES(pages);

} /* namespace cowmem */

#endif /* COWMEM_MOVE_H */
