/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Draining: when the backing store is another, or none, or the compressor is, what was stored before goes
 * where pages go now (store/relocation.h), while all that uses it goes on. Kernel counterpart: swapoff().
 *
 * Slots are found by their holders: all objects are looked through, one after the other, and what they share once.
 * Only what came to one that had been looked through from one that had not, as RESTORE does, and what was
 * just being stored, is left for another round.
 */
#ifndef COWMEM_DRAIN_H
#define COWMEM_DRAIN_H

#include "layers/objects.h"
#include "store/relocation.h"

namespace cowmem {

/*
 * Empties and closes what was left. 0; or some of it is as it was, and can be drained again: -EINTR: a
 * signal; -EIO: it cannot be read, or the new one not be written; -ENOSPC: the store may have no more;
 * -ENOMEM. Sleeps; waits for another.
 */
int drain();

} /* namespace cowmem */

#endif /* COWMEM_DRAIN_H */
