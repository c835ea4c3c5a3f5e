/* SPDX-License-Identifier: GPL-2.0 */
/* Short names for the ioctls that walk the reverse map. */
#ifndef COWMEM_WALKS_H
#define COWMEM_WALKS_H

#include "cowmem_test.h"

/* RMAP of @pages pages at @offset, up to @capacity entries into @to. 0 or -errno; the answer in @rmap. */
static inline int rmap_ask(int fd, struct cowmem_rmap *rmap, uint32_t flags, uint64_t offset,
                           uint64_t pages, struct cowmem_mapping *to, uint32_t capacity)
{
	*rmap = (struct cowmem_rmap){.size = sizeof(*rmap),
	                             .flags = flags,
	                             .offset = offset,
	                             .length = pages * PAGE,
	                             .mappings = (uintptr_t)to,
	                             .capacity = capacity};
	return ioctl(fd, COWMEM_IOC_RMAP, rmap) ? -errno : 0;
}

/* PAGEMAP of @pages pages at @offset. 0 or -errno. */
static inline int pagemap_ask(int fd, uint32_t flags, uint64_t offset, uint64_t pages,
                              struct cowmem_page *to)
{
	struct cowmem_pagemap pagemap = {.size = sizeof(pagemap),
	                                 .flags = flags,
	                                 .offset = offset,
	                                 .length = pages * PAGE,
	                                 .pages = (uintptr_t)to,
	                                 .capacity = pages};

	if (ioctl(fd, COWMEM_IOC_PAGEMAP, &pagemap))
		return -errno;
	CHECK_EQ(pagemap.next, offset + pages * PAGE);
	return 0;
}

/* The state of one page. */
static inline struct cowmem_page page_state(int fd, uint32_t flags, uint64_t index)
{
	struct cowmem_page page = {.flags = ~0U};

	MUST(!pagemap_ask(fd, flags, index * PAGE, 1, &page));
	return page;
}

/* MOVE @pages pages at @offset to @node. 0 or -errno; the answer in @move. */
static inline int move_ask(int fd, struct cowmem_move *move, uint64_t offset, uint64_t pages,
                           uint32_t node)
{
	*move = (struct cowmem_move){
		.size = sizeof(*move), .offset = offset, .length = pages * PAGE, .node = node};
	return ioctl(fd, COWMEM_IOC_MOVE, move) ? -errno : 0;
}

/* POISON one page: how many that were, or -errno. */
static inline int poison_ask(int fd, uint64_t index)
{
	struct cowmem_poison poison = {
		.size = sizeof(poison), .offset = index * PAGE, .length = PAGE};

	return ioctl(fd, COWMEM_IOC_POISON, &poison) ? -errno : (int)poison.poisoned;
}

/* Entries of /proc/PID/pagemap. */
#define PROC_PRESENT (1ULL << 63)
#define PROC_SWAPPED (1ULL << 62)
#define PROC_PFN(entry) ((entry) & ((1ULL << 55) - 1))

/* @n entries from @address on. */
static inline void proc_pagemap(int pid, uint64_t address, uint64_t n, uint64_t *entries)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	MUST(pread(fd, entries, n * sizeof(*entries), (off_t)(address / PAGE * sizeof(*entries))) ==
	     (ssize_t)(n * sizeof(*entries)));
	close(fd);
}

/* --- soft-dirty bits --- */
#define SOFT_DIRTY (1ULL << 55)

static inline bool have_soft_dirty(void)
{
	volatile unsigned char *page =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t entry;

	MUST(page != MAP_FAILED);
	*page = 1;
	proc_pagemap(getpid(), (uintptr_t)page, 1, &entry);
	munmap((void *)page, PAGE);
	return entry & SOFT_DIRTY;
}

static inline void forget_soft_dirty(void)
{
	MUST(write_text("/proc/self/clear_refs", "4"));
}

#endif /* COWMEM_WALKS_H */
