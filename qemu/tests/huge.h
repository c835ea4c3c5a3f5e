/* SPDX-License-Identifier: GPL-2.0 */
/* Objects that take large pages, and what is in many pages. */
#ifndef COWMEM_HUGE_H
#define COWMEM_HUGE_H

#include "counts.h"
#include "relatives.h"

#define BLOCK_PAGES 512UL
#define BLOCK (BLOCK_PAGES * PAGE)

/* The module's answer, which is one for all of a boot. */
static inline bool has_huge(void)
{
	const int fd = object_open();
	const uint64_t features = object_features(fd);

	close(fd);
	return features & COWMEM_FEATURE_HUGE;
}

/* Ends the case where the kernel has none. */
#define NEED_HUGE()                                                      \
	do {                                                             \
		if (!has_huge())                                         \
			SKIP("this kernel's large folios are not used"); \
	} while (0)

static inline int huge_create(unsigned long bytes)
{
	const int device = object_open();
	struct cowmem_create create = {.size = sizeof(create), .flags = COWMEM_CREATE_HUGE};

	MUST(!ioctl(device, COWMEM_IOC_CREATE, &create));
	close(device);
	MUST(!ftruncate(create.fd, (off_t)bytes));
	return create.fd;
}

/* A line of the mapping at @address in smaps, in KiB, or -1. */
static inline long smaps(const void *address, const char *field)
{
	char line[256];
	unsigned long start, end;
	bool here = false;
	long kib = -1;
	FILE *file = fopen("/proc/self/smaps", "re");

	MUST(file);
	while (kib < 0 && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start <= (uintptr_t)address && (uintptr_t)address < end;
		else if (here && !strncmp(line, field, strlen(field)))
			kib = strtol(line + strlen(field), NULL, 10);
	}
	fclose(file);
	return kib;
}

static inline long pmd_mapped(const void *address)
{
	return smaps(address, "FilePmdMapped:");
}

static inline void fill_pages(char *map, unsigned long first, unsigned long pages,
                              unsigned int generation)
{
	for (unsigned long i = first; i < first + pages; i++)
		fill_page(map + i * PAGE, i, generation);
}

static inline bool pages_are(const char *map, unsigned long first, unsigned long pages,
                             unsigned int generation)
{
	for (unsigned long i = first; i < first + pages; i++)
		if (!page_is(map + i * PAGE, i, generation))
			return false;
	return true;
}

static inline bool pages_are_zero(const char *map, unsigned long first, unsigned long pages)
{
	for (unsigned long i = first * PAGE; i < (first + pages) * PAGE; i++)
		if (map[i])
			return false;
	return true;
}

/* The same as a descriptor says. */
static inline bool file_is(int fd, unsigned long first, unsigned long pages,
                           unsigned int generation)
{
	char page[PAGE];

	for (unsigned long i = first; i < first + pages; i++)
		if (pread(fd, page, PAGE, (off_t)(i * PAGE)) != PAGE ||
		    !page_is(page, i, generation))
			return false;
	return true;
}

/* The end of a case about @fd, of which @bytes are mapped at @map, if that is one: all memory has come back. */
static inline void finish(int fd, void *map, unsigned long bytes, struct counts before)
{
	CHECK(layers_are_sound(fd));
	if (map)
		munmap(map, bytes);
	close(fd);
	check_returned(before);
}

#endif /* COWMEM_HUGE_H */
