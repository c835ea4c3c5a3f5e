/* SPDX-License-Identifier: GPL-2.0 */
/* Short names for the ioctls of snapshots and clones, and what a debug kernel says of layers. */
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

/* Snapshots of @count objects, asked for with @fd. */
static inline int snapshot_set(int fd, const int *objects, int *snapshots, unsigned int count)
{
	struct cowmem_snapshot_set arg = {
		.size = sizeof(arg),
		.objects = (uintptr_t)objects,
		.snapshots = (uintptr_t)snapshots,
		.count = count,
	};

	return ioctl(fd, COWMEM_IOC_SNAPSHOT_SET, &arg);
}

/* A clone of a range, in bytes. */
static inline int clone_range(int fd, uint64_t offset, uint64_t length)
{
	struct cowmem_snapshot arg = {.size = sizeof(arg), .offset = offset, .length = length};

	return ioctl(fd, COWMEM_IOC_CLONE, &arg) ? -1 : arg.fd;
}

static inline int restore(int fd, int to)
{
	struct cowmem_restore arg = {.size = sizeof(arg), .fd = to};

	return ioctl(fd, COWMEM_IOC_RESTORE, &arg);
}

/* The same of a range, in bytes. How far it came in @next. */
static inline int restore_range(int fd, int to, uint64_t offset, uint64_t length, uint64_t *next)
{
	struct cowmem_restore arg = {
		.size = sizeof(arg), .fd = to, .offset = offset, .length = length};
	const int result = ioctl(fd, COWMEM_IOC_RESTORE, &arg);

	*next = arg.next;
	return result;
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

/*
 * Whether all is so that the module says of the layers around @fd: as far as there is a
 * debug kernel's module, which looks (src/testing/check.cc) and tells the log. Nobody else may be
 * using any of them. The file stays open, as those of counts.h.
 */
static inline bool layers_are_sound(int fd)
{
	static int file;
	char number[16];
	int length;

	if (!file)
		file = open("/sys/module/cowmem/parameters/check", O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return true;
	length = snprintf(number, sizeof(number), "%d", fd);
	return pwrite(file, number, (size_t)length, 0) == length;
}

#endif /* COWMEM_RELATIVES_H */
