// SPDX-License-Identifier: GPL-2.0
/*
 * What faults cost: how many there are with which window, which locks they take, and
 * that the paths with and without locks show the same memory.
 */
#include "counts.h"
#include "parameters.h"
#include "relatives.h"
#include "walks.h"

#define TABLE (512 * PAGE) /* what one page table maps */
#define N 512U

static int object_filled(void)
{
	static unsigned char page[PAGE];
	int fd = object_open();

	for (unsigned int i = 0; i < N; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	return fd;
}

/* The whole object where one page table maps it all. */
static unsigned char *map_aligned(int fd, int flags)
{
	unsigned char *room = mmap(NULL, 2 * TABLE, PROT_NONE,
	                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	unsigned char *at;

	MUST(room != MAP_FAILED);
	at = (unsigned char *)(((uintptr_t)room + TABLE - 1) & ~(TABLE - 1));
	MUST(mmap(at, TABLE, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == at);
	return at;
}

static long read_all(const unsigned char *map)
{
	long faults = minor_faults();

	for (unsigned int i = 0; i < N; i++)
		if (!page_is(map + i * PAGE, i, 1)) {
			CHECK(page_is(map + i * PAGE, i, 1));
			break;
		}
	return minor_faults() - faults;
}

/* --- windows --- */

static void sequential_read(int flags, const char *mode)
{
	static const unsigned int windows[] = {1, 16, 64, 512};
	int fd = object_filled();

	parameter_set("around_shared", mode);
	for (size_t i = 0; i < ARRAY_LENGTH(windows); i++) {
		const bool tries = flags == MAP_SHARED && !strcmp(mode, "trylock");
		struct counts before;
		unsigned char *map;
		char text[16];

		snprintf(text, sizeof(text), "%u", windows[i]);
		parameter_set("around_pages", text);
		map = map_aligned(fd, flags);
		before = counts_now();
		CHECK_EQ(read_all(map), N / windows[i]);
		CHECK_EQ(SINCE(before, around_calls), N / windows[i]);
		CHECK_EQ(SINCE(before, around_mapped), N);
		CHECK_EQ(SINCE(before, fault_read), 0);
		CHECK_EQ(SINCE(before, page_locks), 0);
		CHECK_EQ(SINCE(before, around_page_locks), tries ? N : 0);
		munmap(map, TABLE);
	}
	parameter_set("around_pages", "16");
	parameter_set("around_shared", "trylock");
	close(fd);
}

static void sequential_private(void)
{
	sequential_read(MAP_PRIVATE, "trylock");
}

static void sequential_shared(void)
{
	sequential_read(MAP_SHARED, "trylock");
}

static void sequential_shared_lockfree(void)
{
	sequential_read(MAP_SHARED, "lockfree");
}

static void holes_are_not_mapped_around(void)
{
	int fd = object_filled();
	unsigned char *map = map_aligned(fd, MAP_PRIVATE);
	struct counts before;

	MUST(!object_punch(fd, 4 * PAGE, 4 * PAGE));
	before = counts_now();
	CHECK(page_is(map + 1 * PAGE, 1, 1));
	CHECK_EQ(SINCE(before, around_mapped), 12);
	CHECK_EQ(SINCE(before, pages_allocated), 0);
	CHECK_EQ(map[5 * PAGE], 0);
	CHECK_EQ(SINCE(before, pages_allocated), 1);
	munmap(map, TABLE);
	close(fd);
}

/* --- locks --- */

static void write_all(unsigned char *map)
{
	for (unsigned int i = 0; i < N; i++)
		*(volatile unsigned char *)(map + i * PAGE) = 0xee;
}

/* Faults of each kind over N resident pages, and what they took. */
static void take_faults(int flags, bool speculation)
{
	int fd = object_filled();
	unsigned char *map = map_aligned(fd, flags);
	struct counts before = counts_now();
	const unsigned long each = flags == MAP_SHARED && speculation ? N / 16 : N;
	const unsigned long attempts = speculation ? each : 0;
	long faults = minor_faults();

	set_speculation(speculation);
	write_all(map);
	CHECK_EQ(minor_faults() - faults, each);
	CHECK_EQ(SINCE(before, speculative_attempts), attempts);
	/* All of them: the first puts the page table in, too. */
	CHECK_EQ(SINCE(before, speculative_commits), attempts);
	CHECK_EQ(SINCE(before, page_locks), flags == MAP_PRIVATE || speculation ? 0 : 2 * N);
	for (unsigned int i = 0; i < N; i++)
		CHECK(map[i * PAGE] == 0xee && map[i * PAGE + 8] == 1);
	set_speculation(true);
	munmap(map, TABLE);
	close(fd);
}

static void private_writes(void)
{
	take_faults(MAP_PRIVATE, true);
	take_faults(MAP_PRIVATE, false);
}

static void shared_writes(void)
{
	take_faults(MAP_SHARED, true);
	take_faults(MAP_SHARED, false);
}

/* --- writes map their neighbours writable and clean --- */

/* Faults of writing each page of @map, and how many neighbours these @took. */
static void check_writes(unsigned char *map, unsigned long faults, unsigned long mapped,
                         unsigned long permitted)
{
	struct counts before = counts_now();

	write_all(map);
	CHECK_EQ(SINCE(before, fault_shared_write) + SINCE(before, mkwrite), faults);
	CHECK_EQ(SINCE(before, around_mapped_to_write), mapped);
	CHECK_EQ(SINCE(before, around_permitted), permitted);
	CHECK_EQ(SINCE(before, page_locks), 0);
}

static void writes_with_neighbours(void)
{
	static const unsigned int windows[] = {1, 16, 64, 512};
	int fd = object_filled();

	for (size_t i = 0; i < ARRAY_LENGTH(windows); i++) {
		const unsigned int faults = N / windows[i];
		unsigned char *map = map_aligned(fd, MAP_SHARED);
		char text[16];

		snprintf(text, sizeof(text), "%u", windows[i]);
		parameter_set("around_pages", text);
		check_writes(map, faults, N - faults, 0);
		munmap(map, TABLE);
		/* What was read can be written, or is, without reuse, mapped read-only. */
		for (int reuse = 0; reuse < 2; reuse++) {
			set_reuse(reuse);
			map = map_aligned(fd, MAP_SHARED);
			for (unsigned int page = 0; page < N; page++)
				(void)*(volatile unsigned char *)(map + page * PAGE);
			set_reuse(true);
			check_writes(map, reuse ? 0 : faults, 0, reuse ? 0 : N - faults);
			munmap(map, TABLE);
		}
	}
	parameter_set("around_pages", "16");
	close(fd);
}

/* Only what is written becomes dirty, as far as the hardware can tell. */
static void neighbours_are_clean(void)
{
	int fd = object_filled();
	unsigned char *map = map_aligned(fd, MAP_SHARED);
	struct cowmem_page pages[N];
	struct counts before;

	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, N, pages));
	before = counts_now();
	for (unsigned int i = 5; i < N; i += 16)
		map[i * PAGE] = 1;
	CHECK_EQ(SINCE(before, around_mapped_to_write), N - N / 16);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, N, pages));
	for (unsigned int i = 0; i < N; i++)
		CHECK_EQ(!!(pages[i].flags & COWMEM_PAGE_DIRTY), i % 16 == 5);
	/* To tell of the next writes the entries are read-only again, and those come along. */
	before = counts_now();
	map[7 * PAGE] = 1;
	map[8 * PAGE] = 1;
	MUST(!pagemap_ask(fd, 0, 0, N, pages));
	for (unsigned int i = 0; i < N; i++)
		CHECK_EQ(!!(pages[i].flags & COWMEM_PAGE_DIRTY), i == 7 || i == 8);
	munmap(map, TABLE);
	close(fd);
}

/* Where each first write is to be seen, or reuse is switched off, none is let through. */
static void neighbours_are_not_for_all(void)
{
	int fd = object_filled(), then;
	unsigned char *map = map_aligned(fd, MAP_SHARED);
	struct counts before;

	set_reuse(false);
	check_writes(map, N, 0, 0);
	set_reuse(true);
	munmap(map, TABLE);
	if (have_soft_dirty()) {
		map = map_aligned(fd, MAP_SHARED);
		forget_soft_dirty();
		check_writes(map, N, 0, 0);
		munmap(map, TABLE);
	}
	/* Nor of what a snapshot has: that is copied. */
	map = map_aligned(fd, MAP_SHARED);
	then = snapshot(fd);
	before = counts_now();
	write_all(map);
	CHECK_EQ(SINCE(before, around_mapped_to_write) + SINCE(before, around_permitted), 0);
	CHECK_EQ(SINCE(before, pages_copied_up), N);
	close(then);
	munmap(map, TABLE);
	close(fd);
}

#define LOCK_STAT "/proc/lock_stat"
#define LOCK_STAT_ON "/proc/sys/kernel/lock_stat"

/* How often the lock of any object was taken since the reset. */
static unsigned long acquisitions(void)
{
	FILE *file = fopen(LOCK_STAT, "re");
	char line[512];
	unsigned long sum = 0;

	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long taken;
		char *numbers = strchr(line, ':');

		if (strstr(line, "cowmem_object") && numbers &&
		    sscanf(numbers + 1, "%*s %*s %*s %*s %*s %*s %*s %lu", &taken) == 1)
			sum += taken;
	}
	fclose(file);
	return sum;
}

static void no_sleeping_lock(void)
{
	unsigned char *map;
	int fd;

	if (access(LOCK_STAT, F_OK))
		SKIP("the kernel has no lock_stat");
	fd = object_filled();
	map = map_aligned(fd, MAP_PRIVATE);
	MUST(write_text(LOCK_STAT, "0"));
	MUST(write_text(LOCK_STAT_ON, "1"));
	write_all(map);
	CHECK_EQ(acquisitions(), 0);
	munmap(map, TABLE);

	/* That it would have been seen: */
	set_speculation(false);
	map = map_aligned(fd, MAP_PRIVATE);
	write_all(map);
	CHECK(acquisitions() >= N);
	set_speculation(true);
	MUST(write_text(LOCK_STAT_ON, "0"));
	munmap(map, TABLE);
	close(fd);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"sequential read, private: N / window faults, no page lock", "R20 R27",
	         sequential_private},
		{"sequential read, shared: N / window faults, page locks tried", "R21 R27",
	         sequential_shared},
		{"sequential read, shared, lock-free: N / window faults, no page lock", "R22 R27",
	         sequential_shared_lockfree},
		{"holes are not mapped around, and not filled", "R25", holes_are_not_mapped_around},
		{"private writes, with and without locks", "R14 R33 R44", private_writes},
		{"shared writes, with and without locks", "R17 R33", shared_writes},
		{"a shared write maps its neighbours: N / window faults", "",
	         writes_with_neighbours},
		{"and only what is written is dirty", "", neighbours_are_clean},
		{"not where first writes are told apart, nor a snapshot's pages", "",
	         neighbours_are_not_for_all},
		{"private writes take the object's lock only if told to", "R13", no_sleeping_lock},
	};

	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
