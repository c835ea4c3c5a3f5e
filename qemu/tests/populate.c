// SPDX-License-Identifier: GPL-2.0
/* PREFETCH with COWMEM_PREFETCH_TO_WRITE: who writes afterwards waits for nothing. */
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <signal.h>
#include <sys/mount.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

#define PAGES 48UL
#define BLOCK 512UL /* pages of 2 MiB */

static int object_of(uint64_t pages)
{
	const int fd = object_open();

	MUST(!object_resize(fd, pages * PAGE));
	return fd;
}

static void put_page(int fd, uint64_t index, uint64_t generation)
{
	char page[PAGE];

	fill_page(page, index, generation);
	MUST(pwrite(fd, page, PAGE, index * PAGE) == (ssize_t)PAGE);
}

static bool has_page(int fd, uint64_t index, uint64_t generation)
{
	char page[PAGE];

	MUST(pread(fd, page, PAGE, index * PAGE) == (ssize_t)PAGE);
	return generation ? page_is(page, index, generation)
	                  : !page[0] && !memcmp(page, page + 1, PAGE - 1);
}

/* Of PAGES pages a third is a snapshot's, one is its own and out, and one holes. */
static int object_of_all_kinds(int *then)
{
	struct cowmem_page_out out;
	const int fd = object_of(PAGES);

	for (uint64_t i = 0; i < 32; i++)
		put_page(fd, i, 1);
	*then = snapshot(fd);
	for (uint64_t i = 16; i < 32; i++)
		put_page(fd, i, 2);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 16, 16) && out.out == 16);
	return fd;
}

static void check_contents(int fd, int then)
{
	for (uint64_t i = 0; i < PAGES; i++) {
		CHECK(has_page(fd, i, i < 16 ? 1 : i < 32 ? 2 : 0));
		CHECK(has_page(then, i, i < 32 ? 1 : 0));
	}
}

static void all_is_its_own(void)
{
	struct counts before = counts_now();
	int then, fd = object_of_all_kinds(&then);
	struct counts prepared;
	long faults;
	char *p;

	/* What lies beyond the end is passed over. */
	CHECK_EQ(prefetch_to_write_ask(fd, 0, 3 * PAGES), PAGES);
	CHECK_EQ(SINCE(before, pages_copied_up), 16 + 16); /* and for the second generation */
	CHECK_EQ(prefetch_to_write_ask(fd, 0, PAGES), 0);
	CHECK_EQ(prefetch_to_write_ask(fd, PAGES, PAGES), 0);
	check_contents(fd, then);

	prepared = counts_now();
	p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	faults = minor_faults();
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 3);
	faults = minor_faults() - faults;
	CHECK(faults <= (long)PAGES / 16 + 1);
	CHECK_EQ(SINCE(prepared, pages_copied_up), 0);
	CHECK_EQ(SINCE(prepared, pages_allocated), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(has_page(fd, i, 3) && has_page(then, i, i < 32 ? 1 : 0));
	munmap(p, PAGES * PAGE);
	close(fd), close(then);
	check_returned(before);
}

static void no_fault_is_left(void)
{
	int then, fd = object_of_all_kinds(&then);
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	long faults;

	CHECK_EQ(prefetch_to_write_ask(fd, 0, PAGES), PAGES);
	CHECK_EQ(madvise(p, PAGES * PAGE, MADV_POPULATE_WRITE), 0);
	faults = minor_faults();
	for (uint64_t i = 0; i < PAGES; i++)
		p[i * PAGE + 8] = 'w';
	CHECK_EQ(minor_faults() - faults, 0);
	munmap(p, PAGES * PAGE);
	close(fd), close(then);
}

static void a_part_is_a_part(void)
{
	int then, fd = object_of_all_kinds(&then);
	const struct counts before = counts_now();

	CHECK_EQ(prefetch_to_write_ask(fd, 10, 30), 30);
	CHECK_EQ(SINCE(before, pages_copied_up), 6);
	CHECK_EQ(object_stat(fd).resident_pages, 30); /* its own */
	check_contents(fd, then);
	CHECK_EQ(prefetch_to_write_ask(fd, 0, PAGES), PAGES - 30);
	check_contents(fd, then);
	close(fd), close(then);
}

static void limits_hold(void)
{
	struct cowmem_range range = {.length = PAGES * PAGE};
	struct cowmem_prefetch ask = {.size = sizeof(ask),
	                              .flags = COWMEM_PREFETCH_TO_WRITE,
	                              .ranges = (uintptr_t)&range,
	                              .count = 1};
	struct cowmem_snapshot limited = {
		.size = sizeof(limited), .flags = COWMEM_SNAPSHOT_LIMIT, .max_copies = 4};
	char folder[] = "/tmp/populate-XXXXXX";
	int fd = object_of(PAGES), then;

	for (uint64_t i = 0; i < PAGES; i++)
		put_page(fd, i, 1);
	MUST(!ioctl(fd, COWMEM_IOC_SNAPSHOT, &limited));
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PREFETCH, &ask), EDQUOT);
	CHECK_EQ(ask.brought_in, 4);
	then = limited.fd;
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(has_page(fd, i, 1) && has_page(then, i, 1));
	CHECK_ERRNO(ioctl(then, COWMEM_IOC_PREFETCH, &ask), EBADF);
	close(then);
	close(fd);

	MUST(mkdtemp(folder) && !mount("none", folder, "cowmem", 0, "size=80k"));
	MUST(!chdir(folder));
	fd = open("file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, PAGES * PAGE));
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PREFETCH, &ask), ENOSPC);
	CHECK_EQ(ask.brought_in, 20);
	MUST(!ftruncate(fd, 0) && !ftruncate(fd, 20 * PAGE));
	CHECK_EQ(prefetch_to_write_ask(fd, 0, PAGES), 20);
	close(fd);
	MUST(!chdir("/") && !umount(folder) && !rmdir(folder));
}

/* By itself only of an object that takes them always, and where all of one lies in the range. */
static void in_pages_of_2_mib(void)
{
	struct counts before = counts_now();
	int fd = object_of(4 * BLOCK);

	if (!(object_features(fd) & COWMEM_FEATURE_HUGE))
		SKIP("no pages of 2 MiB on this kernel");
	MUST(!object_set_huge(fd, COWMEM_HUGE_ALWAYS));
	put_page(fd, 3 * BLOCK + 7, 1);
	CHECK_EQ(prefetch_to_write_ask(fd, 5, 4 * BLOCK), 4 * BLOCK - 5 - 1);
	CHECK_EQ(SINCE(before, large_allocated), 2);
	CHECK_EQ(object_stat(fd).large_pages, 2 * BLOCK);
	CHECK(has_page(fd, 3 * BLOCK + 7, 1) && has_page(fd, 2 * BLOCK, 0));
	MUST(!object_set_huge(fd, COWMEM_HUGE_NEVER));
	MUST(!object_punch(fd, 0, BLOCK * PAGE));
	CHECK_EQ(prefetch_to_write_ask(fd, 0, BLOCK), BLOCK);
	CHECK_EQ(SINCE(before, large_allocated), 2);
	close(fd);
	check_returned(before);
}

/* What was done by then stays. */
static void can_be_killed(void)
{
	struct counts before = counts_now();
	const uint64_t pages = debug_kernel() ? 1UL << 14 : 1UL << 16;
	int fd = object_of(pages), status;
	const pid_t child = fork();
	uint64_t there;

	MUST(child >= 0);
	if (!child)
		_exit(prefetch_to_write_ask(fd, 0, pages) != (long)pages);
	while (!object_stat(fd).resident_pages)
		sched_yield();
	MUST(!kill(child, SIGKILL) && waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	there = object_stat(fd).resident_pages;
	CHECK(there > 0 && there < pages);
	CHECK_EQ(prefetch_to_write_ask(fd, 0, pages), pages - there);
	close(fd);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"every page of a range is the object's own, and in memory", "", all_is_its_own},
	{"MADV_POPULATE_WRITE behind it leaves no fault", "", no_fault_is_left},
	{"a part of an object", "", a_part_is_a_part},
	{"limits hold, and what was done stays", "", limits_hold},
	{"holes become pages of 2 MiB, of who takes these always", "", in_pages_of_2_mib},
	{"it can be killed", "", can_be_killed},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
