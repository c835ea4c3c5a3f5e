/* SPDX-License-Identifier: GPL-2.0 */
/* A writer of two words, one after the other, whose order snapshots of one instant keep. */
#ifndef COWMEM_INSTANT_H
#define COWMEM_INSTANT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

static _Atomic bool stop;

struct pair {
	_Atomic uint64_t *first, *second;
};

/* The second is never ahead of the first. */
static void *keep_in_step(void *argument)
{
	struct pair *pair = argument;

	for (uint64_t n = 1; !atomic_load(&stop); n++) {
		atomic_store(pair->first, n);
		atomic_store(pair->second, n);
	}
	return NULL;
}

#endif /* COWMEM_INSTANT_H */
