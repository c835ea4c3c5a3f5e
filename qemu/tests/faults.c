// SPDX-License-Identifier: GPL-2.0
/*
 * What faults cost: how many there are with which window, which locks they take, and
 * that the paths with and without locks show the same memory.
 */
#include "counts.h"
#include "parameters.h"

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
	const unsigned long attempts = speculation ? N : 0;
	long faults = minor_faults();

	set_speculation(speculation);
	write_all(map);
	CHECK_EQ(minor_faults() - faults, N);
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

#define LOCK_STAT "/proc/lock_stat"
#define LOCK_STAT_ON "/proc/sys/kernel/lock_stat"

/* How often the lock of any family of objects was taken since the reset. */
static unsigned long acquisitions(void)
{
	FILE *file = fopen(LOCK_STAT, "re");
	char line[512];
	unsigned long sum = 0;

	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long taken;
		char *numbers = strchr(line, ':');

		if (strstr(line, "cowmem_family") && numbers &&
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
		{"private writes take the object's lock only if told to", "R13", no_sleeping_lock},
	};

	stay_on_one_cpu();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
