// SPDX-License-Identifier: GPL-2.0
/*
 * Private copies that the kernel swapped out (here to zram) are still found with all
 * who share them, whoever brings them in first.
 */
#include "cgroup.h"
#include "counts.h"
#include "store.h"
#include "walks.h"

#include "../zram.h"

#define PAGES 64

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

	if (access(ZRAM_FILE("disksize"), W_OK))
		SKIP("this kernel has no zram");
	dying = dying_cgroups();
	MUST(zram_swap_on(32, NULL));
	CHECK_EQ(run_in_cgroup("max", swap_out_and_in), 0);
	MUST(zram_swap_off());
	check_cgroup_goes(dying);
}

/* As many as the seed counts. */
#define MANY 512

/* Reads, then writes each page that is paged out: minor and major faults. */
static void read_then_write(char *p, long *minor, long *major)
{
	*minor = minor_faults(), *major = major_faults();
	for (int i = 0; i < MANY; i++)
		(*(volatile char *)(p + i * PAGE))++;
	*minor = minor_faults() - *minor, *major = major_faults() - *major;
}

/* Seed 003's program on anonymous memory, in the same boot: cowmem takes no more faults. */
static void no_more_faults_than_anonymous_memory(void)
{
	long minor, major, its_minor, its_major;
	struct counts before = counts_now();
	struct cowmem_info info = {.size = sizeof(info)};
	char *its =
		mmap(NULL, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p;
	int fd;

	if (access(ZRAM_FILE("disksize"), W_OK))
		SKIP("this kernel has no zram");
	MUST(zram_swap_on(32, NULL));
	/* EINVAL: there are no huge pages (PREEMPT_RT). */
	MUST(its != MAP_FAILED && (!madvise(its, MANY * PAGE, MADV_NOHUGEPAGE) || errno == EINVAL));
	memset(its, 1, MANY * PAGE);
	for (int i = 0; i < 100 && !swapped(its + (MANY - 1) * PAGE); i++)
		MUST(!madvise(its, MANY * PAGE, MADV_PAGEOUT));
	read_then_write(its, &its_minor, &its_major);
	munmap(its, MANY * PAGE);
	MUST(zram_swap_off());

	fd = object_open();
	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	p = object_map(fd, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(p, 1, MANY * PAGE);
	CHECK_EQ(page_out_all(fd, MANY), MANY);
	read_then_write(p, &minor, &major);
	ksft_print_msg("minor + major: cowmem %ld + %ld, anonymous memory on zram %ld + %ld\n",
	               minor, major, its_minor, its_major);
	CHECK_EQ(major + SINCE(before, pages_brought_along), MANY);
	CHECK_EQ(minor, info.features & COWMEM_FEATURE_DIRTY_BIT ? 0 : MANY);
	CHECK(minor + major <= its_minor + its_major ||
	      !(info.features & COWMEM_FEATURE_DIRTY_BIT));
	munmap(p, MANY * PAGE);
	close(fd);
}

static const struct test_case cases[] = {
	{"a copy that a child brought in is found through the parent", "R78",
         found_through_the_parent},
	{"no more faults than anonymous memory on zram takes", "R45",
         no_more_faults_than_anonymous_memory},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
