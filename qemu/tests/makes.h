/* SPDX-License-Identifier: GPL-2.0 */
/* Regular files without a name, of several makes, for tests that ask the same of each. */
#ifndef COWMEM_MAKES_H
#define COWMEM_MAKES_H

#include "cowmem_test.h"

#define MEMFD "memfd"
#define COWMEM "cowmem"

static inline int created(const char *name)
{
	const int device = object_open(), fd = object_create(device, name);

	close(device);
	return fd;
}

/* An empty one: MEMFD, COWMEM, or of the file system that a directory is of. */
static inline int new_file(const char *make)
{
	int fd;

	if (!strcmp(make, MEMFD))
		fd = (int)memfd_create("file", MFD_CLOEXEC);
	else if (!strcmp(make, COWMEM))
		fd = created("file");
	else
		fd = open(make, O_TMPFILE | O_RDWR | O_CLOEXEC, 0777);
	MUST(fd >= 0);
	return fd;
}

/* The name by which this process can open a descriptor's file once more, till the next call. */
static inline const char *name_of(int fd)
{
	static char name[32];

	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	return name;
}

#endif /* COWMEM_MAKES_H */
