/* SPDX-License-Identifier: GPL-2.0 */
/* Where pages are, on a VM of two NUMA nodes, and where they have to be. */
#ifndef COWMEM_NUMA_H
#define COWMEM_NUMA_H

#include "cowmem_test.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>

/* The NUMA node of the page at @address, or -errno. */
static inline int node_of(void *address)
{
	int node = -1;

	return syscall(SYS_move_pages, 0, 1UL, &address, NULL, &node, 0) ? -errno : node;
}

/* Has @pages pages from @p on, when they come, on node 1 and nowhere else. */
static inline void bind_to_node_1(char *p, uint64_t pages)
{
	const unsigned long mask = 1UL << 1;

	MUST(!syscall(SYS_mbind, p, pages * PAGE, MPOL_BIND, &mask, 8 * sizeof(mask), 0));
}

/* How many of them are not. */
static inline unsigned int not_on_node_1(char *p, uint64_t pages)
{
	unsigned int elsewhere = 0;

	for (uint64_t i = 0; i < pages; i++)
		elsewhere += node_of(p + i * PAGE) != 1;
	return elsewhere;
}

#endif /* COWMEM_NUMA_H */
