/* SPDX-License-Identifier: GPL-2.0 */
/* Short names for the ioctls of snapshots and clones. */
#ifndef COWMEM_RELATIVES_H
#define COWMEM_RELATIVES_H

#include "cowmem_test.h"

static inline int relative(int fd, unsigned int command)
{
	struct cowmem_snapshot arg = {.size = sizeof(arg)};

	if (ioctl(fd, command, &arg))
		return -1;
	return arg.fd;
}

static inline int snapshot(int fd)
{
	int made = relative(fd, COWMEM_IOC_SNAPSHOT);

	MUST(made >= 0);
	return made;
}

static inline int clone_of(int fd)
{
	int made = relative(fd, COWMEM_IOC_CLONE);

	MUST(made >= 0);
	return made;
}

static inline int restore(int fd, int to)
{
	struct cowmem_restore arg = {.size = sizeof(arg), .fd = to};

	return ioctl(fd, COWMEM_IOC_RESTORE, &arg);
}

/* DIFF of @pages pages at page @index, against @other. 0 or -errno; the answer in @diff. */
static inline int diff_ask(int fd, int other, struct cowmem_diff *diff, uint64_t index,
                           uint64_t pages, struct cowmem_changed *to, uint32_t capacity)
{
	*diff = (struct cowmem_diff){.size = sizeof(*diff),
	                             .offset = index * PAGE,
	                             .length = pages * PAGE,
	                             .ranges = (uintptr_t)to,
	                             .capacity = capacity,
	                             .fd = other};
	return ioctl(fd, COWMEM_IOC_DIFF, diff) ? -errno : 0;
}

#endif /* COWMEM_RELATIVES_H */
