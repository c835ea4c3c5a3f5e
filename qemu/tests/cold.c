// SPDX-License-Identifier: GPL-2.0
/*
 * Writeback: what is compressed in memory and was not used for long goes on to the backing store, when that is asked for, and
 * as the store comes near its limit; and not a byte is lost.
 */
#include "bus.h"
#include "cgroup.h"
#include "counts.h"
#include "disks.h"
#include "relatives.h"
#include "store.h"

#include <stdatomic.h>
#include <sys/mount.h>
#include <time.h>

#define WRITEBACK PARAMETERS "writeback"
#define FOLDER "/tmp/cold"
#define PAGES 256
#define NOISE 1024 /* bytes of a page that do not compress */

/* Takes about a fourth of itself, compressed. */
static void cold_page(void *page, uint64_t number, uint64_t generation)
{
	noise_page(page, number, generation);
	memset((char *)page + NOISE, (int)(number % 251), PAGE - NOISE);
}

static bool cold_is(const void *page, uint64_t number, uint64_t generation)
{
	static __thread char expected[PAGE];

	cold_page(expected, number, generation);
	return !memcmp(page, expected, PAGE);
}

static char *cold_object(int *fd, uint64_t pages)
{
	char *p;

	*fd = object_open_small();
	p = object_map(*fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < pages; i++)
		cold_page(p + i * PAGE, i, 1);
	return p;
}

/* 0 or the errno of setting a parameter. */
static int ask(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), err;

	MUST(fd >= 0);
	err = write(fd, *value ? value : "\n", *value ? strlen(value) : 1) < 0 ? errno : 0;
	close(fd);
	return err;
}

static int write_back(const char *seconds)
{
	return ask(WRITEBACK, seconds);
}

/* Sectors that were written to it. */
static unsigned long sectors_of(const struct disk *disk)
{
	char path[64];
	unsigned long sectors;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/block/loop%d/stat", disk->number);
	file = fopen(path, "re");
	MUST(file && fscanf(file, "%*u %*u %*u %*u %*u %*u %lu", &sectors) == 1);
	fclose(file);
	return sectors;
}

/* --- asked for --- */
enum { SAME = 16, IN_MEMORY = 8 };

static void one_object(void)
{
	struct counts before = counts_now();
	struct cowmem_store_stat was, is;
	struct cowmem_page_out out;
	int fd;
	char *p = cold_object(&fd, PAGES + SAME);

	for (uint64_t i = PAGES; i < PAGES + SAME; i++)
		memset(p + i * PAGE, 'x', PAGE);
	MUST(page_out_all(fd, PAGES + SAME) == PAGES + SAME);
	CHECK_EQ(SINCE(before, backing_written), 0);
	for (uint64_t i = 0; i < IN_MEMORY; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	was = store_stat(fd);
	CHECK_EQ(write_back("0"), 0);
	is = store_stat(fd);
	CHECK_EQ(is.slots, PAGES + SAME);
	CHECK_EQ(is.same_filled, SAME);
	/* Those in memory need not be read from the disk, and one of one word takes nothing. */
	CHECK(is.backing_slots >= PAGES - 2 * IN_MEMORY && is.backing_slots <= PAGES - IN_MEMORY);
	CHECK_EQ(SINCE(before, backing_moved), is.backing_slots);
	CHECK_EQ(SINCE(before, backing_written), is.backing_slots);
	CHECK(is.bytes < was.bytes / 10);
	CHECK(is.pool_bytes < was.pool_bytes / 4);
	CHECK(object_stat(fd).resident_pages < 2 * IN_MEMORY + SAME);
	CHECK(layers_are_sound(fd));
	/* There is no more of it. */
	CHECK_EQ(write_back("0\n"), 0);
	CHECK_EQ(SINCE(before, backing_moved), is.backing_slots);

	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	CHECK_EQ(SINCE(before, backing_read), is.backing_slots);
	CHECK(SINCE(before, backing_readahead) > PAGES / 2);
	/* Not written since, they go out without a write. */
	for (uint64_t i = 0; i < PAGES; i += 4)
		cold_page(p + i * PAGE, i, 2);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.out, PAGES);
	CHECK_EQ(out.reused, PAGES - PAGES / 4);
	CHECK_EQ(SINCE(before, backing_written), is.backing_slots);
	CHECK_EQ(write_back("0"), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, i % 4 ? 1 : 2));
	CHECK_EQ(SINCE(before, backing_errors) + SINCE(before, checksum_errors), 0);
	let_go(fd, p, PAGES + SAME);
	check_returned(before);
}

static void goes_to_a_device(void)
{
	struct disk disk;
	unsigned long sectors;

	CHECK_EQ(write_back("0"), ENODEV);
	CHECK_EQ(write_back("-1"), EINVAL);
	CHECK_EQ(write_back("soon"), EINVAL);
	disk = use_disk(4 * PAGES);
	sectors = sectors_of(&disk);
	one_object();
	CHECK(sectors_of(&disk) - sectors >= PAGES * (PAGE / 512));
	let_disk_go(disk);
}

static void goes_to_a_file(void)
{
	int file = use_file(4 * PAGES);

	one_object();
	let_file_go(file);
}

/* What relatives share goes once; also what was put into memory as it is, since nothing else was there. */
static void relatives_share_it(void)
{
	struct disk disk = use_disk(8 * PAGES);
	struct counts before = counts_now();
	int fd, then, other;
	char *p = cold_object(&fd, PAGES), *q;
	const uint64_t versions = PAGES + PAGES / 4;

	for (uint64_t i = 0; i < PAGES; i += 8)
		noise_page(p + i * PAGE, i, 1);
	then = snapshot(fd);
	other = clone_of(then);
	q = object_map(other, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 1; i < PAGES; i += 4)
		cold_page(q + i * PAGE, i, 3);
	page_out_all(fd, PAGES);
	page_out_all(then, PAGES);
	page_out_all(other, PAGES);
	CHECK_EQ(SINCE(before, backing_written), PAGES / 8);
	CHECK_EQ(backing_set(""), 0);
	CHECK_EQ(store_stat(then).backing_slots, 0);
	CHECK_EQ(backing_set(disk.path), 0);
	before = counts_now();
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(SINCE(before, backing_moved), versions);
	CHECK_EQ(store_stat(then).backing_slots, PAGES);
	CHECK_EQ(store_stat(other).backing_slots, PAGES / 4);
	CHECK(store_stat(fd).pool_bytes < 64 * PAGE);
	for (uint64_t i = 0; i < PAGES; i++) {
		CHECK(i % 8 ? cold_is(p + i * PAGE, i, 1) : noise_is(p + i * PAGE, i, 1));
		if (i % 8)
			CHECK(cold_is(q + i * PAGE, i, i % 4 == 1 ? 3 : 1));
	}
	CHECK(layers_are_sound(fd) && layers_are_sound(then) && layers_are_sound(other));
	close(then);
	let_go(other, q, PAGES);
	let_go(fd, p, PAGES);
	let_disk_go(disk);
}

/* However many see it, it is come by once; but what one has written has a leaf of its own. */
static void what_is_shared_is_met_once(void)
{
	enum { LEAF = 16, SNAPSHOTS = 8, PARTS = 3 };
	struct disk disk = use_disk(2 * PAGES);
	struct counts before;
	int fd, then[SNAPSHOTS];
	char *p = cold_object(&fd, PAGES);

	for (int i = 0; i < SNAPSHOTS; i++)
		then[i] = snapshot(fd);
	page_out_all(then[0], PAGES);
	before = counts_now();
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(SINCE(before, leaves_walked), PAGES / LEAF);
	CHECK_EQ(SINCE(before, backing_moved), PAGES);
	for (uint64_t i = 0; i < PARTS; i++)
		cold_page(p + i * 2 * LEAF * PAGE, i, 5);
	before = counts_now();
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(SINCE(before, leaves_walked), PAGES / LEAF + PARTS);
	CHECK_EQ(SINCE(before, backing_moved), 0);
	for (int i = 0; i < SNAPSHOTS; i++)
		close(then[i]);
	let_go(fd, p, PAGES);
	let_disk_go(disk);
}

/* --- memory for what moves --- */
#define FAILSLAB "/sys/kernel/debug/failslab/"

/* Whether all allocations of this thread fail that may not sleep. */
static void fail_what_cannot_wait(bool fail)
{
	MUST(write_text(FAILSLAB "verbose", "0"));
	MUST(write_text(FAILSLAB "ignore-gfp-wait", "Y"));
	MUST(write_text(FAILSLAB "cache-filter", "N"));
	MUST(write_text(FAILSLAB "task-filter", fail ? "Y" : "N"));
	MUST(write_text(FAILSLAB "times", fail ? "-1" : "1"));
	MUST(write_text("/proc/thread-self/make-it-fail", fail ? "1" : "0"));
	MUST(write_text(FAILSLAB "probability", fail ? "100" : "0"));
}

static void who_moves_may_wait_for_memory(void)
{
	struct disk disk;
	int fd;
	char *p;

	if (access(FAILSLAB "verbose", W_OK))
		SKIP("this kernel has no fault injection");
	disk = use_disk(2 * PAGES);
	p = cold_object(&fd, PAGES);
	MUST(page_out_all(fd, PAGES) == PAGES);
	fail_what_cannot_wait(true);
	CHECK_EQ(write_back("0"), 0);
	fail_what_cannot_wait(false);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	let_go(fd, p, PAGES);
	let_disk_go(disk);
}

/* --- who is charged --- */
enum { CHARGED = 4 * PAGES };

/* Without what CPUs keep in stock; but where that is of several cgroups, 64 pages may stay with each CPU. */
static long charged_now(void)
{
	displace_stocks();
	return read_number(CGROUP "/memory.current", "");
}

static void be_charged_less(void)
{
	int fd;
	char *p = cold_object(&fd, CHARGED);
	uint64_t bytes;
	long was, is;

	MUST(page_out_all(fd, CHARGED) == CHARGED);
	bytes = store_stat(fd).bytes;
	/* From without: a loop device keeps the cgroup of who used it for minutes. */
	MUST(write_text(CGROUPS "/cgroup.procs", "0"));
	was = charged_now();
	CHECK_EQ(write_back("0"), 0);
	is = charged_now();
	ksft_print_msg("memory.current: %ld KiB, and %ld without the %lu that were compressed\n",
	               was >> 10, is >> 10, (unsigned long)bytes >> 10);
	CHECK(was - is > (long)(bytes / 2));
	CHECK_EQ(store_stat(fd).backing_slots, CHARGED);
	for (uint64_t i = 0; i < CHARGED; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	/* All is charged again, to whom it was before. */
	CHECK(charged_now() - is > (long)(CHARGED / 2 * PAGE));
	let_go(fd, p, CHARGED);
}

static void the_cgroup_has_it_back(void)
{
	struct disk disk = use_disk(CHARGED);
	const long dying = dying_cgroups();

	CHECK_EQ(run_in_cgroup("max", be_charged_less), 0);
	let_disk_go(disk);
	check_cgroup_goes(dying);
}

/* --- by age --- */
static double seconds(void)
{
	struct timespec now;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec + now.tv_nsec * 1e-9;
}

enum { COPIED = 16 };

/*
 * What went out @age seconds before the other, or was copied from the store since, is told from it. False: this machine took
 * longer than that for something.
 */
static bool by_age(unsigned int age)
{
	char asked[16];
	const struct counts before = counts_now();
	int old, young;
	char *p = cold_object(&old, PAGES), *q = cold_object(&young, PAGES), *copies;
	double begin;
	bool in_time;

	MUST(page_out_all(old, PAGES) == PAGES);
	sleep(age + 1);
	begin = seconds();
	copies = mmap(NULL, COPIED * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, old, 0);
	MUST(copies != MAP_FAILED);
	for (uint64_t i = 0; i < COPIED; i++)
		copies[i * PAGE] = 1; /* not read before, the page stays out */
	MUST(page_out_all(young, PAGES) == PAGES);
	snprintf(asked, sizeof(asked), "%u", age);
	CHECK_EQ(write_back(asked), 0);
	in_time = seconds() - begin < age - 0.5;
	if (in_time) {
		CHECK_EQ(store_stat(old).backing_slots, PAGES - COPIED);
		CHECK_EQ(store_stat(young).backing_slots, 0);
		CHECK_EQ(SINCE(before, backing_moved), PAGES - COPIED);
		CHECK_EQ(write_back("0"), 0);
		CHECK_EQ(store_stat(old).backing_slots, PAGES);
		CHECK_EQ(store_stat(young).backing_slots, PAGES);
	}
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1) && cold_is(q + i * PAGE, i, 1));
	munmap(copies, COPIED * PAGE);
	let_go(old, p, PAGES);
	let_go(young, q, PAGES);
	return in_time;
}

static void the_young_stay(void)
{
	struct disk disk = use_disk(4 * PAGES);
	unsigned int age = 3;

	while (!by_age(age))
		MUST((age *= 2) < 200);
	let_disk_go(disk);
}

/* --- by a stronger compressor --- */
/* Whether there is one, which is named then. */
static bool name_cold(void)
{
	const int err = ask(PARAMETERS "compressor_cold", "zstd");

	MUST(!err || err == ENOENT);
	return !err;
}

/* Mostly chance, of which no compressor makes less: what there is besides takes each of them some bytes, and zsmalloc alike. */
static void tough_page(void *page, uint64_t number)
{
	uint64_t *word = page;

	memset(page, 0, PAGE);
	for (uint64_t i = 0; i < 3152 / sizeof(*word); i++) {
		uint64_t mixed = (number * PAGE + i + 1) * 0x9e3779b97f4a7c15;

		mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9;
		mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111eb;
		word[i] = mixed ^ mixed >> 31;
	}
}

static bool half_is(const void *page, uint64_t number)
{
	static char expected[PAGE];

	if (number < PAGES / 2)
		return page_is(page, number, 1);
	tough_page(expected, number);
	return !memcmp(page, expected, PAGE);
}

/* Half of the pages get smaller by it, and half do not, which is not tried again. */
static void the_cold_get_smaller(void)
{
	struct counts before = counts_now();
	struct cowmem_store_stat was, is;
	struct disk disk;
	int fd;
	char *p;

	CHECK_EQ(ask(PARAMETERS "recompress", "0"), ENODEV);
	if (!name_cold())
		SKIP("this kernel has no zstd");
	p = cold_object(&fd, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		if (i < PAGES / 2)
			fill_page(p + i * PAGE, i, 1);
		else
			tough_page(p + i * PAGE, i);
	MUST(page_out_all(fd, PAGES) == PAGES);
	was = store_stat(fd);
	CHECK_EQ(ask(PARAMETERS "recompress", "1000000"), 0);
	CHECK_EQ(SINCE(before, pages_recompressed), 0);
	CHECK_EQ(ask(PARAMETERS "recompress", "0"), 0);
	is = store_stat(fd);
	ksft_print_msg("%lu bytes, and %lu behind it; the pool has %lu KiB, and %lu\n",
	               (unsigned long)was.bytes, (unsigned long)is.bytes,
	               (unsigned long)was.pool_bytes >> 10, (unsigned long)is.pool_bytes >> 10);
	CHECK_EQ(SINCE(before, pages_recompressed), PAGES / 2);
	CHECK(is.bytes < was.bytes && is.pool_bytes < was.pool_bytes);
	CHECK_EQ(is.slots, PAGES);
	CHECK_EQ(read_number(PARAMETERS "leaving", ""), 0);
	CHECK_EQ(SINCE(before, pages_incompressible), PAGES / 2);
	CHECK_EQ(ask(PARAMETERS "recompress", "0"), 0);
	CHECK_EQ(SINCE(before, pages_recompressed), PAGES / 2);
	CHECK_EQ(SINCE(before, pages_incompressible), PAGES / 2);
	CHECK(layers_are_sound(fd));
	for (uint64_t i = 0; i < PAGES; i += 2)
		CHECK(half_is(p + i * PAGE, i));
	MUST(page_out_all(fd, PAGES) == PAGES / 2);

	/* What it made goes to the disk as well, and is made anew where there is no such compressor any more. */
	CHECK_EQ(ask(PARAMETERS "compressor_cold", ""), 0);
	CHECK_EQ(store_stat(fd).bytes, was.bytes);
	CHECK(name_cold());
	CHECK_EQ(ask(PARAMETERS "recompress", "0"), 0);
	CHECK_EQ(store_stat(fd).bytes, is.bytes);
	disk = use_disk(PAGES);
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(half_is(p + i * PAGE, i));
	let_go(fd, p, PAGES);
	check_returned(before);
	let_disk_go(disk);
	CHECK_EQ(ask(PARAMETERS "compressor_cold", ""), 0);
}

/* --- by the limit --- */
enum { LIMIT = 1 << 20, OLD = 512, YOUNG = 688 };

/* What the only one may have of LIMIT, in thousandths: all, or seven eighths, below which nobody is asked for his share. */
static unsigned int all_of_it;

/*
 * Whether 8 more pages fit, each of which may take some pages more for its size. Room is asked for by a page that goes in where 95 %
 * of that are taken: what came behind it has not asked.
 */
static bool has_room(int old, int young)
{
	const struct cowmem_store_stat is = store_stat(young);

	return is.pool_bytes + (is.slots + store_stat(old).slots) * 32 <
	       LIMIT / 1000 * all_of_it / 1000 * 960;
}

/*
 * Who pages out waits for nothing, and what is oldest makes room, though it is what a walk meets last. False: this machine
 * took so long that all was as old.
 */
static bool the_oldest_first(void)
{
	const struct counts before = counts_now();
	const unsigned int pages = YOUNG * all_of_it / 1000 / 8 * 8;
	int old, young;
	char *q = cold_object(&young, pages), *p = cold_object(&old, OLD);
	struct cowmem_page_out out;
	double begin, all_out;
	bool in_time = true;
	uint64_t gone = 0;

	limit_store(LIMIT >> 20);
	MUST(page_out_all(old, OLD) == OLD);
	CHECK_EQ(SINCE(before, backing_written), 0);
	sleep(3);
	begin = seconds();
	for (uint64_t i = 0; in_time && i < pages; i += 8) {
		MUST(!page_out_ask(young, &out, COWMEM_PAGE_OUT_ACCESSED, i, 8));
		CHECK_EQ(out.out, 8);
		while (in_time && !has_room(old, young))
			in_time = seconds() - begin < 15 && !usleep(1000);
	}
	all_out = seconds();
	ksft_print_msg("of %d old pages %lu moved, of %u young ones %lu\n", OLD,
	               (unsigned long)store_stat(old).backing_slots, pages,
	               (unsigned long)store_stat(young).backing_slots);
	if (in_time) {
		CHECK(store_stat(old).backing_slots > OLD / 2);
		CHECK_EQ(store_stat(young).backing_slots, 0);
	}
	CHECK(COMES(SINCE(before, backing_moved) == SINCE(before, backing_written)));
	/* Where nothing is left that is older, the young follow. */
	for (uint64_t i = 0; i < OLD; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	for (uint64_t i = 0; i < OLD; i++)
		cold_page(p + i * PAGE, i, 2);
	sleep(1);
	begin = seconds();
	/* What stays while room is made goes when it is asked for again. */
	MUST(COMES((gone += page_out_all(old, OLD)) == OLD));
	in_time = in_time && seconds() - begin < begin - all_out;
	if (in_time)
		CHECK(COMES(store_stat(young).backing_slots > 0));
	for (uint64_t i = 0; i < pages; i++)
		CHECK((i >= OLD || cold_is(p + i * PAGE, i, 2)) && cold_is(q + i * PAGE, i, 1));
	limit_store(store_default_mib());
	let_go(old, p, OLD);
	let_go(young, q, pages);
	check_returned(before);
	return in_time;
}

static void the_oldest_make_room(void)
{
	struct disk disk = use_disk(OLD + YOUNG);

	for (int shared = 0; shared <= 1; shared++) {
		int tries = 0;

		parameter_set("share", shared ? SHARE_DEFAULT : "0");
		all_of_it = shared ? 875 : 1000;
		/* A debug kernel may never be in time: it looks at the bytes, and at its locks. */
		while (!the_oldest_first() && !debug_kernel())
			MUST(++tries < 10);
	}
	let_disk_go(disk);
}

/* --- a machine that is put to sleep --- */
#define POWER "/sys/power/"

/* The worker ends what it is at, so that suspend need not wait for it; and goes on behind that. */
static void suspend_need_not_wait(void)
{
	enum { MANY = 6000, EXCESS = 3000 };
	struct counts before;
	struct disk disk;
	unsigned long moved;
	int fd, err;
	char *p;

	/* Only as far as all are frozen, and back. */
	if (!write_text(POWER "pm_test", "freezer"))
		SKIP("this kernel cannot test its suspend");
	write_text("/sys/module/suspend/parameters/pm_test_delay", "1");
	MUST(write_text(POWER "pm_freeze_timeout", "1000"));
	disk = use_disk(MANY);
	p = cold_object(&fd, MANY);
	MUST(page_out_all(fd, MANY) == MANY);
	before = counts_now();
	limit_store(1);
	page_out_all(fd, 1); /* which is out: a page that goes in asks for room */
	cold_page(p, 0, 1);
	page_out_all(fd, 1);
	MUST(COMES(SINCE(before, backing_moved) > 0));
	err = ask(POWER "state", "freeze");
	moved = SINCE(before, backing_moved);
	ksft_print_msg("%lu pages had moved as the machine woke up\n", moved);
	CHECK_EQ(err, 0);
	CHECK(moved < EXCESS);
	CHECK(COMES(SINCE(before, backing_moved) > EXCESS));
	MUST(write_text(POWER "pm_freeze_timeout", "20000") && write_text(POWER "pm_test", "none"));
	limit_store(store_default_mib());
	for (uint64_t i = 0; i < MANY; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	let_go(fd, p, MANY);
	let_disk_go(disk);
}

/* --- what cannot be written --- */
static void a_device_that_is_full(void)
{
	struct disk disk = use_disk(PAGES / 2);
	const struct counts before = counts_now();
	int fd;
	char *p = cold_object(&fd, PAGES);

	MUST(page_out_all(fd, PAGES) == PAGES);
	CHECK_EQ(write_back("0"), ENOSPC);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES / 2);
	CHECK_EQ(SINCE(before, backing_moved), PAGES / 2);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	MUST(page_out_all(fd, PAGES) == PAGES);
	MUST(!object_punch(fd, 0, PAGES / 2 * PAGE));
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES / 2);
	for (uint64_t i = PAGES / 2; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	let_go(fd, p, PAGES);
	check_returned(before);
	let_disk_go(disk);
}

/* A disk over a file that has room for @kib. */
static struct disk disk_of(const char *kib)
{
	char options[32];
	struct disk disk;

	snprintf(options, sizeof(options), "size=%s", kib);
	MUST(!mkdir(FOLDER, 0700) && !mount("none", FOLDER, "tmpfs", 0, options));
	disk = make_disk_over(make_file_at(FOLDER "/disk", 4 * PAGES));
	MUST(!backing_set(disk.path));
	return disk;
}

/* What the disk does not take is in memory as before, and the next try moves it. */
static void a_write_that_fails_loses_nothing(void)
{
	struct disk disk = disk_of("256k");
	const struct counts before = counts_now();
	uint64_t moved;
	int fd;
	char *p = cold_object(&fd, PAGES), page[PAGE];

	MUST(page_out_all(fd, PAGES) == PAGES);
	CHECK_EQ(write_back("0"), EIO);
	moved = store_stat(fd).backing_slots;
	ksft_print_msg("%lu of %d pages moved before writes failed\n", (unsigned long)moved, PAGES);
	CHECK(moved > 0 && moved <= 64);
	CHECK_EQ(SINCE(before, backing_moved), moved);
	CHECK(SINCE(before, backing_errors) > 0);
	for (uint64_t i = 0; i < PAGES; i += 2) {
		MUST(pread(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		CHECK(cold_is(page, i, 1));
	}
	page_out_all(fd, PAGES);
	MUST(!mount("none", FOLDER, "tmpfs", MS_REMOUNT, "size=64m"));
	CHECK_EQ(write_back("0"), 0);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	CHECK_EQ(SINCE(before, checksum_errors), 0);
	let_go(fd, p, PAGES);
	check_returned(before);
	CHECK_EQ(backing_set(""), 0);
	unmake_disk(disk);
	MUST(COMES(!umount(FOLDER)) && !rmdir(FOLDER));
}

/* --- killed amid it --- */
static bool slow_writes(const char *bytes)
{
	char limit[64];

	snprintf(limit, sizeof(limit), "%u:%u wbps=%s", major(slow_disk), minor(slow_disk), bytes);
	return write_text(CGROUP "/io.max", limit);
}

static void be_killed(void)
{
	struct counts before;
	int fd, status;
	char *p = cold_object(&fd, PAGES);
	pid_t child;

	MUST(page_out_all(fd, PAGES) == PAGES);
	MUST(slow_writes("65536")); /* a batch in two seconds */
	before = counts_now();
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(write_back("0"));
	MUST(COMES(SINCE(before, backing_moved) > 0));
	MUST(!kill(child, SIGKILL));
	MUST(COMES(waitpid(child, &status, WNOHANG) == child));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(SINCE(before, backing_moved) < PAGES);
	CHECK_EQ(store_stat(fd).backing_slots, SINCE(before, backing_moved));
	MUST(slow_writes("max"));
	for (uint64_t i = 0; i < PAGES; i += 2)
		CHECK(cold_is(p + i * PAGE, i, 1));
	CHECK_EQ(write_back("0"), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(cold_is(p + i * PAGE, i, 1));
	let_go(fd, p, PAGES);
}

static void who_asks_can_be_killed(void)
{
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel cannot slow I/O down");
	before = counts_now();
	CHECK_EQ(run_in_cgroup("max", be_killed), 0);
	check_returned(before);
	let_slow_disk_go();
	MUST(!rmdir(CGROUP));
}

/* --- live users --- */
enum { USERS = 4, STRIPE = 32, BALLAST = 1100 };
static struct live {
	_Atomic bool stop;
	_Atomic unsigned long rounds[1 + USERS];
} *live;

/* Writes its stripe of an object that all have, again and again, has relatives, and takes away; and looks what is there. */
static void use(int n, int fd, char *p)
{
	const uint64_t first = (n - 1) * STRIPE;
	uint64_t generation = 1;
	char page[PAGE], *mine;
	int own;

	test_failed = false;
	mine = cold_object(&own, STRIPE);
	for (; !live->stop && !test_failed; live->rounds[n]++) {
		const uint64_t hole = generation % STRIPE;
		struct cowmem_page_out out;
		uint64_t next;
		int then, other, before;

		generation++;
		for (uint64_t i = first; i < first + STRIPE; i += 1 + generation % 3)
			cold_page(p + i * PAGE, i, generation);
		MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, first, STRIPE));
		then = snapshot(fd);
		other = clone_of(then);
		page_out_all(then, USERS * STRIPE);
		for (uint64_t i = first; i < first + STRIPE; i++) {
			if ((i - first) % (1 + generation % 3))
				continue;
			MUST(pread(other, page, PAGE, i * PAGE) == (ssize_t)PAGE);
			CHECK(cold_is(page, i, generation));
			CHECK(cold_is(p + i * PAGE, i, generation));
		}
		MUST(pwrite(other, "x", 1, first * PAGE) == 1);
		page_out_all(other, USERS * STRIPE);
		MUST(!object_punch(other, first * PAGE, STRIPE / 2 * PAGE));

		/* Back to what was, over what is out, and a hole. */
		for (uint64_t i = 0; i < STRIPE; i++)
			cold_page(mine + i * PAGE, i, generation);
		page_out_all(own, STRIPE);
		before = snapshot(own);
		for (uint64_t i = 0; i < STRIPE; i += 3)
			cold_page(mine + i * PAGE, i, generation + 1);
		page_out_all(own, STRIPE);
		MUST(!restore_range(own, before, 0, STRIPE / 2 * PAGE, &next));
		MUST(!restore(own, before));
		close(before);
		MUST(!object_punch(own, hole * PAGE, PAGE));
		for (uint64_t i = 0; i < STRIPE; i++)
			CHECK(i == hole ? !mine[i * PAGE]
			                : cold_is(mine + i * PAGE, i, generation));
		close(then);
		close(other);
	}
	let_go(own, mine, STRIPE);
	fflush(stdout);
	_exit(test_failed);
}

/* Mounts, has a file out, and unmounts. */
static void come_and_go(void)
{
	static char page[PAGE];

	test_failed = false;
	while (!live->stop && !test_failed) {
		int fd;

		MUST(!mount("none", FOLDER, "cowmem", 0, "size=1m"));
		fd = open(FOLDER "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		MUST(fd >= 0);
		for (uint64_t i = 0; i < STRIPE; i++) {
			cold_page(page, i, 7);
			MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		}
		MUST(page_out_all(fd, STRIPE) == STRIPE);
		usleep(1000 * (live->rounds[0] % 8));
		for (uint64_t i = 0; i < STRIPE; i += 5) {
			MUST(pread(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
			CHECK(cold_is(page, i, 7));
		}
		close(fd);
		MUST(!umount(FOLDER));
		live->rounds[0]++;
	}
	fflush(stdout);
	_exit(test_failed);
}

static void users_go_on(void)
{
	struct disk disk = use_disk(64 * PAGES);
	struct counts before = counts_now();
	const unsigned int rounds = debug_kernel() ? 2 : 12;
	int fd, then, heavy;
	char *p = cold_object(&fd, USERS * STRIPE), *ballast = cold_object(&heavy, BALLAST);
	pid_t child[1 + USERS];
	const int children = debug_kernel() ? 3 : 1 + USERS;
	const bool recompresses = name_cold();

	MUST(!mkdir(FOLDER, 0700));
	live = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(live != MAP_FAILED);
	then = snapshot(fd);
	page_out_all(then, USERS * STRIPE);
	for (int n = 0; n < children; n++) {
		child[n] = fork();
		MUST(child[n] >= 0);
		if (!child[n] && n)
			use(n, fd, p);
		if (!child[n])
			come_and_go();
	}
	for (unsigned int i = 0; i < rounds; i++) {
		const unsigned long seen = live->rounds[i % children];

		/* The store is at its limit now and then, and who asks is there at the same time. */
		limit_store(i % 3 ? 1 : store_default_mib());
		for (uint64_t n = i % 4; n < BALLAST; n += 4)
			cold_page(ballast + n * PAGE, n, i + 2);
		page_out_all(heavy, BALLAST);
		if (recompresses && i % 4 == 1)
			CHECK_EQ(ask(PARAMETERS "recompress", "0"), 0);
		CHECK_EQ(write_back(i % 2 ? "0" : "1"), 0);
		for (uint64_t n = i % 4; n < BALLAST; n += 4)
			CHECK(cold_is(ballast + n * PAGE, n, i + 2));
		CHECK(COMES(live->rounds[i % children] > seen ||
		            waitpid(child[i % children], NULL, WNOHANG)));
	}
	live->stop = true;
	for (int n = 0; n < children; n++) {
		int status;

		MUST(waitpid(child[n], &status, 0) == child[n]);
		CHECK_EQ(status, 0);
		CHECK(live->rounds[n] > 0);
	}
	limit_store(store_default_mib());
	ksft_print_msg("%lu pages moved, of %lu written\n", SINCE(before, backing_moved),
	               SINCE(before, backing_written));
	CHECK(SINCE(before, backing_moved) > rounds);
	for (uint64_t i = 0; i < USERS * STRIPE; i++) {
		char page[PAGE];

		MUST(pread(then, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		CHECK(cold_is(page, i, 1));
	}
	CHECK(layers_are_sound(fd) && layers_are_sound(heavy));
	CHECK_EQ(SINCE(before, checksum_errors) + SINCE(before, backing_errors), 0);
	close(then);
	let_go(fd, p, USERS * STRIPE);
	let_go(heavy, ballast, BALLAST);
	munmap((void *)live, PAGE);
	check_returned(before);
	CHECK_EQ(ask(PARAMETERS "compressor_cold", ""), 0);
	MUST(!rmdir(FOLDER));
	let_disk_go(disk);
}

static const struct test_case cases[] = {
	{"what is compressed goes to the device when that is asked for", "", goes_to_a_device},
	{"to a file, too", "", goes_to_a_file},
	{"what relatives share goes once", "", relatives_share_it},
	{"what relatives have in common is met once", "", what_is_shared_is_met_once},
	{"who moves pages may wait for memory", "", who_moves_may_wait_for_memory},
	{"suspend need not wait for what makes room", "", suspend_need_not_wait},
	{"the cgroup has that memory back", "", the_cgroup_has_it_back},
	{"what was used lately stays", "", the_young_stay},
	{"a stronger compressor makes less of what is cold", "", the_cold_get_smaller},
	{"near the limit the oldest make room", "", the_oldest_make_room},
	{"a device that is full: the rest stays", "", a_device_that_is_full},
	{"a write that fails loses nothing", "", a_write_that_fails_loses_nothing},
	{"who asks can be killed", "", who_asks_can_be_killed},
	{"processes write, snapshot, restore, punch and unmount meanwhile", "", users_go_on},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
