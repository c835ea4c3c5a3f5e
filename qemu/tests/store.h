/* SPDX-License-Identifier: GPL-2.0 */
/* Short names for the ioctls of page-out, and pages that compress well. */
#ifndef COWMEM_STORE_TEST_H
#define COWMEM_STORE_TEST_H

#include "cowmem_test.h"
#include "parameters.h"

/* What the store may have unless it is told otherwise, in MiB: half of memory. */
static inline unsigned long store_default_mib(void)
{
	return sysconf(_SC_PHYS_PAGES) / 2 >> 8;
}

/* How many times what is left a cgroup may have, unless it is told otherwise. */
#define SHARE_DEFAULT "8"

/* How much the store may have from now on. */
static inline void limit_store(unsigned long mib)
{
	char text[32];

	snprintf(text, sizeof(text), "%lu", mib);
	parameter_set("store_max_mib", text);
}

/* PAGE_OUT @pages pages at page @index. 0 or -errno; the answer in @out. */
static inline int page_out_ask(int fd, struct cowmem_page_out *out, uint32_t flags, uint64_t index,
                               uint64_t pages)
{
	*out = (struct cowmem_page_out){.size = sizeof(*out),
	                                .flags = flags,
	                                .offset = index * PAGE,
	                                .length = pages * PAGE};
	return ioctl(fd, COWMEM_IOC_PAGE_OUT, out) ? -errno : 0;
}

/* Pages out the first @pages pages, used lately or not: how many went. */
static inline uint64_t page_out_all(int fd, uint64_t pages)
{
	struct cowmem_page_out out;

	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, pages));
	MUST(out.next == pages * PAGE);
	return out.out;
}

/* PREFETCH @pages pages at page @index: how many came, or -errno. */
static inline long prefetch_ask(int fd, uint64_t index, uint64_t pages)
{
	struct cowmem_range range = {.offset = index * PAGE, .length = pages * PAGE};
	struct cowmem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = (uintptr_t)&range, .count = 1};

	return ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch) ? -errno : (long)prefetch.brought_in;
}

/* The same, to write. */
static inline long prefetch_to_write_ask(int fd, uint64_t index, uint64_t pages)
{
	struct cowmem_range range = {.offset = index * PAGE, .length = pages * PAGE};
	struct cowmem_prefetch prefetch = {.size = sizeof(prefetch),
	                                   .flags = COWMEM_PREFETCH_TO_WRITE,
	                                   .ranges = (uintptr_t)&range,
	                                   .count = 1};

	return ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch) ? -errno : (long)prefetch.brought_in;
}

static inline struct cowmem_store_stat store_stat(int fd)
{
	struct cowmem_store_stat stat = {.size = sizeof(stat)};

	MUST(!ioctl(fd, COWMEM_IOC_STORE_STAT, &stat));
	return stat;
}

static inline long major_faults(void)
{
	struct rusage usage;

	MUST(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_majflt;
}

#endif /* COWMEM_STORE_TEST_H */
