// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark of what reclaim keeps: a process in a cgroup of its own uses a hot set of 80 % of what
 * that may have, again and again, and reads in order, time and again, what is used no more than that. How often does it wait
 * for a page that had gone?
 *
 *   bench_hot ROUNDS
 *
 * Prints "bench hot-HOW-OVER-WHAT KIND UNITS TOTAL" for each distribution of accesses: how many thousand accesses,
 * of the hot set, of what is cold, and of both, and how many major faults they took. A cowmem object pages out to its store,
 * anonymous memory is swapped to zram, and to zswap before a disk; all of them by the same compressor. scripts/bench.py makes a table of it.
 */
#include "bench.h"
#include "zram.h"

#include <linux/loop.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define CGROUPS "/sys/fs/cgroup"
#define CGROUP CGROUPS "/hot"
#define ZSWAP "/sys/module/zswap/parameters/"
#define SWAP_FILE "/tmp/hot-swap"
#define COMPRESSOR "lz4"

/* In pages: the limit of the cgroup, which has some memory besides; the hot set, and what is cold. */
enum { LIMIT = 4096, HOT = LIMIT * 8 / 10, COLD = 2 * LIMIT, ALL = HOT + COLD, SWAP_MIB = 64 };
/* Accesses of the hot set for each page of the cold, in batches, and passes over what is cold. */
enum { HOT_FOR_COLD = 4, BATCH = 16, WARM_UP = 1, PASSES = 2 };
/* Bytes of a page that do not compress: what is compressed is charged, too, but for zram's, and has room beside the hot set. */
#define VARIED 64

/* --- numbers by chance, the same in each run --- */
static uint64_t state;

static uint64_t chance(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return state;
}

/* A page of the hot set for a rank in it, so that those that are used as much are no neighbours. */
static unsigned int place_of[HOT];

static void shuffle(void)
{
	for (unsigned int i = 0; i < HOT; i++)
		place_of[i] = i;
	for (unsigned int i = HOT - 1; i; i--) {
		const unsigned int j = chance() % (i + 1), other = place_of[j];

		place_of[j] = place_of[i];
		place_of[i] = other;
	}
}

static unsigned int uniform(void)
{
	return chance() % HOT;
}

/* Four of five accesses are of a fifth of the pages. */
static unsigned int fifth(void)
{
	return chance() % 5 ? chance() % (HOT / 5) : HOT / 5 + chance() % (HOT - HOT / 5);
}

/* The chance of a rank is as one over it. */
static unsigned int zipf(void)
{
	static uint64_t sum[HOT]; /* of all up to it */
	unsigned int low = 0, high = HOT - 1;
	uint64_t drawn;

	if (!sum[0])
		for (unsigned int i = 0; i < HOT; i++)
			sum[i] = (i ? sum[i - 1] : 0) + (1ULL << 40) / (i + 1);
	drawn = chance() % sum[HOT - 1];
	while (low < high) {
		const unsigned int middle = (low + high) / 2;

		if (sum[middle] > drawn)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static const struct distribution {
	const char *name;
	unsigned int (*rank)(void);
} distributions[] = {{"uniform", uniform}, {"fifth", fifth}, {"zipf", zipf}};

/* --- the process --- */
static long major_faults(void)
{
	struct rusage usage;

	MUST(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_majflt;
}

static void fill(char *page)
{
	uint64_t *word = (uint64_t *)page;

	memset(page, 0x5a, PAGE);
	for (unsigned int i = 0; i < VARIED / sizeof(*word); i++)
		word[i] = chance();
}

/* A byte is read, or, of one in four, changed. */
static void use(char *page)
{
	volatile char *byte = page + chance() % VARIED;

	if (chance() % 4)
		(void)*byte;
	else
		++*byte;
}

struct faults {
	unsigned long hot, cold;
};

/* The faults of one pass over what is cold, and of as many accesses of the hot set as belong to it. */
static struct faults pass(char *p, const struct distribution *d)
{
	struct faults faults = {0, 0};

	for (unsigned int cold = 0; cold < COLD; cold += BATCH) {
		long before = major_faults(), between;

		for (unsigned int i = 0; i < BATCH * HOT_FOR_COLD; i++)
			use(p + place_of[d->rank()] * PAGE);
		between = major_faults();
		for (unsigned int i = 0; i < BATCH; i++)
			(void)*(volatile char *)(p + (HOT + cold + i) * PAGE);
		faults.hot += between - before;
		faults.cold += major_faults() - between;
	}
	return faults;
}

static void say(const struct distribution *d, const char *over, const char *of, const char *kind,
                unsigned long accesses, unsigned long faults)
{
	printf("bench hot-%s%s%s %s %lu %lu\n", d->name, of, over, kind, accesses / 1000, faults);
}

/* In the cgroup. What @over swaps to; an empty one of an object. */
static void be_in_cgroup(enum kind kind, const struct distribution *d, const char *over)
{
	struct object o = object_make(kind, ALL * PAGE);
	struct faults sum = {0, 0};
	char *p;

	write_text(CGROUP "/cgroup.procs", "0");
	state = 0x9e3779b97f4a7c15ULL;
	shuffle();
	p = object_map(&o, kind == COWMEM ? MAP_SHARED : MAP_PRIVATE);
	for (unsigned int i = 0; i < ALL; i++)
		fill(p + i * PAGE);
	for (unsigned int i = 0; i < WARM_UP; i++)
		pass(p, d);
	for (unsigned int i = 0; i < PASSES; i++) {
		const struct faults some = pass(p, d);

		sum.hot += some.hot;
		sum.cold += some.cold;
	}
	say(d, over, "", kind_names[kind], PASSES * COLD * HOT_FOR_COLD, sum.hot);
	say(d, over, "-cold", kind_names[kind], PASSES * COLD, sum.cold);
	say(d, over, "-all", kind_names[kind], PASSES * COLD * (1 + HOT_FOR_COLD),
	    sum.hot + sum.cold);
	exit(0);
}

static void run(enum kind kind, const struct distribution *d, const char *over)
{
	static const char *const told[] = {"pages_shrunk", "pages_stored", "pages_reused",
	                                   "pages_brought_in", "pages_brought_along"};
	unsigned long before[sizeof(told) / sizeof(*told)];
	char limit[32];
	pid_t child;
	int status;

	snprintf(limit, sizeof(limit), "%lu", LIMIT * PAGE);
	MUST(!mkdir(CGROUP, 0755));
	write_text(CGROUP "/memory.max", limit);
	for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
		before[i] = counter(told[i]);
	child = fork();
	MUST(child >= 0);
	if (!child)
		be_in_cgroup(kind, d, over);
	MUST(waitpid(child, &status, 0) == child && !status);
	if (kind == COWMEM)
		for (size_t i = 0; i < sizeof(told) / sizeof(*told); i++)
			printf("%s: %lu %s\n", d->name, counter(told[i]) - before[i], told[i]);
	MUST(!rmdir(CGROUP));
}

/* --- what anonymous memory is swapped to --- */
/* A disk, over a file in memory: with zswap before it nothing comes there. */
static void swap_to_zswap(void)
{
	static char header[4096];
	uint32_t *info = (uint32_t *)(header + 1024);
	const int file = open(SWAP_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	const int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	int disk;
	char path[32];

	info[0] = 1;
	info[1] = (SWAP_MIB << 8) - 1;
	memcpy(header + sizeof(header) - 10, "SWAPSPACE2", 10);
	MUST(file >= 0 && control >= 0 && !ftruncate(file, (off_t)SWAP_MIB << 20));
	MUST(write(file, header, sizeof(header)) == (ssize_t)sizeof(header));
	snprintf(path, sizeof(path), "/dev/loop%d", ioctl(control, LOOP_CTL_GET_FREE));
	disk = open(path, O_RDWR | O_CLOEXEC);
	MUST(disk >= 0 && !ioctl(disk, LOOP_SET_FD, file));
	write_text(ZSWAP "compressor", COMPRESSOR);
	write_text(ZSWAP "enabled", "Y");
	MUST(!swapon(path, 0));
	close(control);
	close(file);
	close(disk);
}

/* For each distribution and round. */
static void run_all(enum kind kind, const char *over, long rounds)
{
	for (size_t i = 0; i < sizeof(distributions) / sizeof(*distributions); i++)
		for (long round = 0; round < rounds; round++)
			run(kind, &distributions[i], over);
}

int main(int argc, char **argv)
{
	const long rounds = argc > 1 ? atol(argv[1]) : 0;

	MUST(rounds);
	setvbuf(stdout, NULL, _IOLBF, 0);
	write_text("/sys/module/cowmem/parameters/compressor", COMPRESSOR);
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	sleep(AFTER_BOOT);
	run_all(COWMEM, "", rounds);
	MUST(zram_swap_on(SWAP_MIB, COMPRESSOR));
	run_all(ANON, "-zram", rounds);
	MUST(zram_swap_off());
	swap_to_zswap();
	run_all(ANON, "-zswap", rounds);
	return 0;
}
