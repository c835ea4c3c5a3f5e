// SPDX-License-Identifier: GPL-2.0
/*
 * Private copies that the kernel swapped out (here to zram) are still found with all
 * who share them, whoever brings them in first.
 */
#include "cgroup.h"
#include "walks.h"

#include <sys/swap.h>

#define DISK "/dev/zram0"
#define DISK_SIZE "/sys/block/zram0/disksize"
#define PAGES 64

/* What mkswap writes: a header in the first page of a device of @pages pages. */
static void make_swap(unsigned int pages)
{
	static char header[PAGE];
	uint32_t *info = (uint32_t *)(header + 1024);
	int fd = open(DISK, O_WRONLY | O_CLOEXEC);

	info[0] = 1;         /* version */
	info[1] = pages - 1; /* last page */
	memcpy(header + PAGE - 10, "SWAPSPACE2", 10);
	MUST(fd >= 0 && write(fd, header, PAGE) == (ssize_t)PAGE);
	close(fd);
}

static bool swapped(const void *p)
{
	uint64_t entry;

	proc_pagemap(getpid(), (uintptr_t)p, 1, &entry);
	return entry & PROC_SWAPPED;
}

static unsigned int sharers(int fd, const void *p)
{
	struct cowmem_mapping found[8];
	struct cowmem_rmap rmap;

	CHECK_EQ(rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p, 1, found,
	                  ARRAY_LENGTH(found)),
	         0);
	return rmap.count;
}

/* The child waits for a byte, reads its page, says what it read, and waits to be told to end. */
static void be_the_child(int in, int out, volatile char *p)
{
	char c;

	if (read(in, &c, 1) == 1) {
		c = *p;
		if (write(out, &c, 1) == 1)
			(void)!read(in, &c, 1);
	}
	_exit(0);
}

static void swap_out_and_in(void)
{
	int fd = object_open(), down[2], up[2];
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), c = 0;
	pid_t child;

	for (int i = 0; i < PAGES; i++)
		memset(p + i * PAGE, 1 + i, PAGE);
	MUST(!pipe(down) && !pipe(up));
	child = fork();
	MUST(child >= 0);
	if (!child)
		be_the_child(down[0], up[1], p);
	CHECK_EQ(sharers(fd, p), 2);
	for (int i = 0; i < 100 && !swapped(p); i++)
		write_text(CGROUP "/memory.reclaim", "1M"); /* EAGAIN: not as much as that */
	CHECK(swapped(p));
	CHECK_EQ(sharers(fd, p), 0); /* nobody has it in memory, and asking does not change that */
	CHECK(swapped(p));

	MUST(write(down[1], "r", 1) == 1 && read(up[0], &c, 1) == 1);
	CHECK_EQ(c, 1);
	CHECK_EQ(*(volatile char *)p, 1); /* the page that the child brought in */
	CHECK_EQ(sharers(fd, p), 2);
	MUST(write(down[1], "e", 1) == 1);
	MUST(waitpid(child, NULL, 0) == child);
	CHECK_EQ(sharers(fd, p), 1);
	for (int i = 0; i < PAGES; i++)
		CHECK_EQ(*(volatile char *)(p + i * PAGE), 1 + i);
	for (int i = 0; i < 2; i++)
		close(down[i]), close(up[i]);
	munmap(p, PAGES * PAGE);
	close(fd);
}

static void found_through_the_parent(void)
{
	long dying;

	if (access(DISK_SIZE, W_OK))
		SKIP("this kernel has no zram");
	dying = dying_cgroups();
	MUST(write_text(DISK_SIZE, "32M"));
	make_swap((32 << 20) / PAGE);
	MUST(!swapon(DISK, 0));
	CHECK_EQ(run_in_cgroup("max", swap_out_and_in), 0);
	MUST(!swapoff(DISK));
	MUST(write_text("/sys/block/zram0/reset", "1"));
	check_cgroup_goes(dying);
}

static const struct test_case cases[] = {
	{"a copy that a child brought in is found through the parent", "R78",
         found_through_the_parent},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
