/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Writeback: what is compressed in memory, and stays out, goes on to the backing store, oldest first: as the store comes near
 * its limit, or when it is asked for. Decompressed, a page a place, as if it had gone there at once: so
 * it is read back as any other. Kernel counterparts: shrink_worker() of zswap; `writeback` of zram. Or it stays in
 * memory, and another compressor, which takes longer, makes less of it: `recompress` of zram.
 *
 * Slots are found by their holders, as for draining (reclaim/drain.h). A slot says when it was last used, and what
 * has to go is found in two walks along all: the first adds up how much is how old, and the
 * second moves what is as old as that comes to. What is in memory, too, needs no slot to be read, and is passed over.
 */
#ifndef COWMEM_WRITEBACK_H
#define COWMEM_WRITEBACK_H

#include "layers/objects.h"
#include "store/relocation.h"

namespace cowmem {

/*
 * Moves all that was not used for @age jiffies to @target. 0; or some of it is as it was: -ENODEV: there is no backing store,
 * or no compressor for what is cold; -ENOSPC: no place is left; -EIO: it cannot be written; -ENOMEM; -EINTR: a
 * signal. Sleeps; waits for who relocates.
 */
int move_cold(Target target, unsigned long age);

/*
 * Moves of the oldest what it takes for the store to have room. False: it has none, and there is nothing that could be
 * moved. The same.
 */
bool make_room();

} /* namespace cowmem */

#endif /* COWMEM_WRITEBACK_H */
