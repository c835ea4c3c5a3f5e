// SPDX-License-Identifier: GPL-2.0
/*
 * The backing store: pages that compressed memory does not take go to a file or a block
 * device, and come back from there byte for byte or not at all.
 */
#include "bus.h"
#include "answers.h"
#include "cgroup.h"
#include "counts.h"
#include "disks.h"
#include "numa.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <sys/mount.h>
#include <sys/resource.h>

#define PAGES 256 /* of noise: 1 MiB */
#define FAIL "/sys/kernel/debug/fail_make_request/"

/* --- what goes out comes back --- */
/* Noise, and as much again that compresses, but is more than store_max_mib permits. */
static void survive(void)
{
	const uint64_t all = 4 * PAGES;
	struct counts before = counts_now();
	static char page[PAGE];
	struct cowmem_store_stat stat;
	struct cowmem_page_out out;
	int fd;
	char *p;

	parameter_set("make_room", "N");
	limit_store(1);
	fd = object_open();
	p = object_map(fd, all * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < all; i++)
		if (i < PAGES)
			noise_page(p + i * PAGE, i, 1);
		else
			fill_page(p + i * PAGE, i, 1);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, all));
	CHECK_EQ(out.out, all);
	CHECK_EQ(out.incompressible + out.full + out.io_error, 0);
	stat = store_stat(fd);
	CHECK_EQ(stat.slots, all);
	CHECK(stat.backing_slots > PAGES && stat.backing_slots < all);
	CHECK(stat.bytes > 0 && stat.pool_bytes <= 2 << 20);
	CHECK_EQ(SINCE(before, backing_written), stat.backing_slots);
	CHECK_EQ(SINCE(before, pages_stored), all);
	CHECK_EQ(SINCE(before, pages_incompressible), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);

	/* By faults, to read and to write. */
	for (uint64_t i = 0; i < all; i++) {
		if (i % 64 == 7)
			*(volatile char *)(p + i * PAGE + 5) ^=
				0; /* a write fault, the same bytes */
		if (!(i < PAGES ? noise_is(p + i * PAGE, i, 1) : page_is(p + i * PAGE, i, 1)))
			test_failed = true;
	}
	CHECK(!test_failed);
	CHECK_EQ(SINCE(before, backing_read), SINCE(before, backing_written));
	CHECK(SINCE(before, backing_readahead) > PAGES / 2);
	CHECK(SINCE(before, waited) > 0);
	CHECK_EQ(SINCE(before, pages_brought_in), all);

	/* What nobody wrote needs no I/O to go; what was written does, and is not mistaken. */
	for (uint64_t i = 0; i < PAGES; i += 16)
		noise_page(p + i * PAGE, i, 2);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, all));
	CHECK_EQ(out.out, all);
	CHECK_EQ(out.reused, all - PAGES / 16 - all / 64);
	for (uint64_t i = 0; i < PAGES; i++) {
		MUST(pread(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		if (!noise_is(page, i, i % 16 ? 1 : 2))
			test_failed = true;
	}
	CHECK(!test_failed);

	/* Private copies, a write(), a prefetch. */
	MUST(page_out_all(fd, all) == PAGES);
	{
		char *private = mmap(NULL, all * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

		MUST(private != MAP_FAILED);
		for (uint64_t i = 1; i < PAGES; i += 16) {
			private[i * PAGE + 9] ^= 1;
			private[i * PAGE + 9] ^= 1;
			if (!noise_is(private + i * PAGE, i, 1))
				test_failed = true;
		}
		munmap(private, all * PAGE);
	}
	CHECK(!test_failed);
	page_out_all(fd, all);
	MUST(pwrite(fd, "xyz", 3, 3 * PAGE + 1000) == 3);
	CHECK(!memcmp(p + 3 * PAGE + 1000, "xyz", 3));
	noise_page(page, 3, 1);
	CHECK(!memcmp(p + 3 * PAGE, page, 1000) &&
	      !memcmp(p + 3 * PAGE + 1003, page + 1003, PAGE - 1003));
	page_out_all(fd, all);
	CHECK_EQ(prefetch_ask(fd, 100, 77), 77);
	CHECK_EQ(object_stat(fd).resident_pages, 77);
	CHECK_EQ(SINCE(before, backing_errors) + SINCE(before, checksum_errors), 0);
	limit_store(store_default_mib());
	parameter_set("make_room", "Y");
	let_go(fd, p, all);
	check_returned(before);
}

static void survive_in_a_file(void)
{
	int file = use_file(8 * PAGES);

	survive();
	let_file_go(file);
}

static void survive_on_a_device(void)
{
	struct disk disk = use_disk(8 * PAGES);

	parameter_set("cow_via", "core");
	survive();
	parameter_set("cow_via", "handler");
	let_disk_go(disk);
}

static void survive_by_the_locked_path(void)
{
	int file = use_file(8 * PAGES);

	set_speculation(false);
	survive();
	set_speculation(true);
	let_file_go(file);
}

static double seconds(void)
{
	struct timespec now;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec + now.tv_nsec * 1e-9;
}

/* Reads all pages in order, at most @window at a time: how many faults had to wait. */
static unsigned long sweep(int fd, const char *p, const char *window)
{
	const struct counts before = counts_now();
	double start;

	MUST(page_out_all(fd, PAGES) > 0);
	parameter_set("backing_readahead", window);
	start = seconds();
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	ksft_print_msg("%d pages in order, %s at a time: %.1f ms, %lu faults that waited\n", PAGES,
	               window, (seconds() - start) * 1e3, SINCE(before, waited));
	CHECK_EQ(SINCE(before, backing_read), PAGES);
	return SINCE(before, waited);
}

static void neighbours_come_along(void)
{
	int file = use_file(PAGES), fd;
	char *p = noise_object(&fd, PAGES);
	struct counts before;

	MUST(page_out_all(fd, PAGES) == PAGES);
	before = counts_now();
	CHECK(noise_is(p, 0, 1));
	CHECK_EQ(SINCE(before, backing_read), 8);
	CHECK_EQ(SINCE(before, backing_readahead), 7);
	CHECK_EQ(object_stat(fd).resident_pages, 8);
	parameter_set("backing_readahead", "1");
	CHECK(noise_is(p + 100 * PAGE, 100, 1));
	CHECK_EQ(SINCE(before, backing_read), 9);
	parameter_set("backing_readahead", "99");
	CHECK(noise_is(p + 200 * PAGE, 200, 1));
	CHECK_EQ(SINCE(before, backing_read), 9 + 16);
	parameter_set("backing_readahead", "8");
	/* What is in memory already is not read again. */
	CHECK(noise_is(p + 97 * PAGE, 97, 1));
	CHECK_EQ(SINCE(before, backing_read), 9 + 16 + 3);

	CHECK_EQ(sweep(fd, p, "1"), PAGES);
	CHECK_EQ(sweep(fd, p, "8"), PAGES / 8);
	let_go(fd, p, PAGES);
	let_file_go(file);
}

/* --- the parameter --- */
static void is_set_with_care(void)
{
	int fd, exclusive, parameter, status;
	struct disk disk;
	pid_t child;
	char *p;

	CHECK_EQ(backing_set("/tmp/nowhere"), ENOENT);
	CHECK_EQ(backing_set("tmp/backing"), EINVAL);
	CHECK_EQ(backing_set("/tmp"), EINVAL);
	CHECK_EQ(backing_set("/dev/null"), EINVAL);
	CHECK_EQ(backing_set("/proc/version"), EINVAL); /* no O_DIRECT */
	close(make_file(PAGES));
	MUST(!truncate(STORE, PAGE - 1));
	CHECK_EQ(backing_set(STORE), ENOSPC);

	/* What somebody else has to himself is not taken, nor is it given away. */
	disk = make_disk_over(make_file(PAGES));
	exclusive = open(disk.path, O_RDWR | O_EXCL | O_CLOEXEC);
	MUST(exclusive >= 0);
	CHECK_EQ(backing_set(disk.path), EBUSY);
	close(exclusive);
	CHECK_EQ(backing_set(disk.path), 0);
	CHECK_ERRNO(open(disk.path, O_RDWR | O_EXCL | O_CLOEXEC), EBUSY);

	/* The same again changes nothing, and what cannot be had leaves it in use. */
	p = noise_object(&fd, 8);
	MUST(page_out_all(fd, 8) == 8);
	CHECK_EQ(backing_set(disk.path), 0);
	CHECK_EQ(backing_set("/tmp/nowhere"), ENOENT);
	CHECK_EQ(store_stat(fd).backing_slots, 8);
	MUST(!unlink(STORE)); /* what the device has is another file from here on */
	close(make_file(PAGES));
	CHECK(noise_is(p + 7 * PAGE, 7, 1));
	MUST(page_out_all(fd, 8) > 0);
	CHECK_EQ(backing_set(STORE), 0);
	CHECK_EQ(store_stat(fd).backing_slots, 8);
	let_go(fd, p, 8);
	let_disk_go(disk);

	/* Root alone, even if he leaves the file to somebody else. */
	parameter = open(BACKING, O_WRONLY | O_CLOEXEC);
	MUST(parameter >= 0);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		if (setgid(65534) || setuid(65534))
			_exit(2);
		if (open(BACKING, O_RDONLY) >= 0 || open(BACKING, O_WRONLY) >= 0 || errno != EACCES)
			_exit(3);
		_exit(write(parameter, "/dev/null", 9) < 0 && errno == EPERM ? 0 : 4);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	close(parameter);
}

static void without_one_nothing_changes(void)
{
	struct counts before = counts_now();
	struct cowmem_page_out out;
	int fd;
	char *p = noise_object(&fd, 8);

	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 8));
	CHECK_EQ(out.incompressible, 8);
	CHECK_EQ(SINCE(before, pages_incompressible), 8);
	CHECK_EQ(store_stat(fd).slots, 0);
	let_go(fd, p, 8);
	check_returned(before);
}

/* --- what can go wrong --- */
/* What mlock() says, which brings pages in without a limit to its tries; killed after a while. */
static int mlock_error(const void *page)
{
	int status;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		alarm(300); /* one that hangs */
		_exit(mlock(page, PAGE) ? errno : 0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void damage_is_found(void)
{
	struct disk disk = use_disk(PAGES);
	int file = disk.file, fd;
	struct counts before = counts_now();
	char *p = noise_object(&fd, 64), *private, page[PAGE];
	off_t place;

	private = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	MUST(private != MAP_FAILED);
	MUST(page_out_all(fd, 64) == 64);
	place = place_of(file, 20);
	damage(file, place + 4000);

	CHECK_EQ(mlock_error(p + 20 * PAGE), ENOMEM);
	CHECK_EQ(mlock_error(p + 21 * PAGE), 0);
	CHECK(touch(p + 20 * PAGE, false));
	CHECK(touch(p + 20 * PAGE, true));
	CHECK(touch(private + 20 * PAGE, true));
	CHECK_ERRNO(pread(fd, page, PAGE, 20 * PAGE), EIO);
	CHECK_ERRNO(pwrite(fd, page, 1, 20 * PAGE), EIO);
	CHECK_EQ(prefetch_ask(fd, 20, 1), -EIO);
	CHECK_ERRNO(object_resize(fd, 20 * PAGE + 1), EIO);
	CHECK_EQ(object_stat(fd).bytes, 64 * PAGE);
	CHECK(SINCE(before, checksum_errors) >= 6);
	CHECK_EQ(SINCE(before, unreadable), 4);
	for (uint64_t i = 0; i < 64; i++)
		CHECK(i == 20 || noise_is(p + i * PAGE, i, 1));

	/* Its slot stays: what is repaired can be read. */
	damage(file, place + 4000);
	CHECK(noise_is(private + 20 * PAGE, 20, 1));
	CHECK(noise_is(p + 20 * PAGE, 20, 1));

	/* And so does what is punched. */
	MUST(page_out_all(fd, 64) == 64);
	damage(file, place + 4000);
	CHECK(touch(p + 20 * PAGE, false));
	MUST(!object_punch(fd, 20 * PAGE, PAGE));
	CHECK_EQ(p[20 * PAGE], 0);
	munmap(private, 64 * PAGE);
	let_go(fd, p, 64);
	check_returned(before);
	let_disk_go(disk);
}

/* Another page's bytes are wrong, even though they are as they were written. */
static void places_are_not_mixed_up(void)
{
	struct disk disk = use_disk(PAGES);
	int file = disk.file, fd;
	char *p = noise_object(&fd, 8), page[PAGE];

	MUST(page_out_all(fd, 8) == 8);
	MUST(pread(file, page, PAGE, place_of(file, 5)) == (ssize_t)PAGE);
	MUST(pwrite(file, page, PAGE, place_of(file, 6)) == (ssize_t)PAGE);
	CHECK(noise_is(p + 5 * PAGE, 5, 1));
	CHECK(touch(p + 6 * PAGE, false));
	let_go(fd, p, 8);
	let_disk_go(disk);
}

static void a_full_store(void)
{
	int file = use_file(16), fd;
	struct counts before = counts_now();
	struct cowmem_page_out out;
	char *p = noise_object(&fd, 64);

	for (int round = 0; round < 2; round++) {
		MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 64));
		CHECK_EQ(out.out, 16);
		CHECK_EQ(out.full, 48);
		CHECK_EQ(object_stat(fd).resident_pages, 48);
		CHECK_EQ(store_stat(fd).backing_slots, 16);
		for (uint64_t i = 0; i < 64; i++)
			CHECK(noise_is(p + i * PAGE, i, 1));
		/* Places of pages that were written, or are gone, are free again. */
		for (uint64_t i = 0; i < 64; i++)
			noise_page(p + i * PAGE, i, 1);
		MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 8));
		MUST(!object_punch(fd, 0, 64 * PAGE));
		CHECK_EQ(store_stat(fd).slots, 0);
		for (uint64_t i = 0; i < 64; i++)
			noise_page(p + i * PAGE, i, 1);
	}
	let_go(fd, p, 64);
	check_returned(before);
	let_file_go(file);
}

static void a_device_cut_short(void)
{
	struct disk disk = use_disk(64);
	int file = disk.file, fd;
	struct counts before = counts_now();
	char *p = noise_object(&fd, 32), page[PAGE];
	off_t place;

	/* So that the device gives what the file beneath does not have as an error, not as zeroes. */
	MUST(!ioctl(disk.fd, LOOP_SET_DIRECT_IO, 1UL));
	MUST(page_out_all(fd, 32) == 32);
	place = place_of(file, 31);
	MUST(pread(file, page, PAGE, place) == (ssize_t)PAGE);
	MUST(!ftruncate(file, place));
	CHECK(touch(p + 31 * PAGE, false));
	CHECK(SINCE(before, backing_errors) >= 1);
	CHECK_EQ(SINCE(before, checksum_errors), 0);
	CHECK(noise_is(p + 30 * PAGE, 30, 1));
	MUST(pwrite(file, page, PAGE, place) == (ssize_t)PAGE);
	CHECK(noise_is(p + 31 * PAGE, 31, 1));

	/* It was read, and is a page as any other: who comes next waits for it with no lock held. */
	MUST(page_out_all(fd, 32) > 0);
	before = counts_now();
	CHECK(noise_is(p + 31 * PAGE, 31, 1));
	CHECK_EQ(SINCE(before, waited), 1);
	let_go(fd, p, 32);
	let_disk_go(disk);
}

static void io_errors(void)
{
	char fails[64];
	struct cowmem_page_out out;
	struct counts before;
	struct disk disk;
	int fd;
	char *p, byte;

	if (access(FAIL "probability", W_OK))
		SKIP("this kernel injects no I/O errors");
	disk = use_disk(PAGES);
	snprintf(fails, sizeof(fails), "/sys/block/loop%d/make-it-fail", disk.number);
	MUST(write_text(FAIL "verbose", "0") && write_text(FAIL "times", "-1") &&
	     write_text(FAIL "interval", "1") && write_text(FAIL "probability", "100"));
	before = counts_now();
	p = noise_object(&fd, 64);

	/* Written in vain: nothing is lost, and the next attempt may do better. */
	MUST(write_text(fails, "1"));
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 64));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.io_error, 64);
	CHECK_EQ(SINCE(before, backing_errors), 64);
	CHECK_EQ(store_stat(fd).slots, 0);
	MUST(write_text(fails, "0"));
	for (uint64_t i = 0; i < 64; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	MUST(page_out_all(fd, 64) == 64);

	/* Read in vain: the same. */
	MUST(write_text(fails, "1"));
	CHECK(touch(p + 9 * PAGE, false));
	CHECK_ERRNO(pread(fd, &byte, 1, 9 * PAGE), EIO);
	CHECK_EQ(store_stat(fd).slots, 64);
	MUST(write_text(fails, "0"));
	for (uint64_t i = 0; i < 64; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	CHECK_EQ(SINCE(before, checksum_errors), 0);
	MUST(write_text(FAIL "probability", "0"));
	let_go(fd, p, 64);
	check_returned(before);
	let_disk_go(disk);
}

/* --- memory pressure, and company --- */
static struct {
	int fd;
	uint64_t pages;
} noise;

static void fill_with_noise(void)
{
	char *p = object_map(noise.fd, noise.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (uint64_t i = 0; i < noise.pages; i++)
		noise_page(p + i * PAGE, i, 1);
	munmap(p, noise.pages * PAGE);
}

/*
 * A device that has no room for most of its pages: thin provisioning. Reclaim writes there no more
 * after some failures, until PAGE_OUT does well.
 */
static void a_failing_device_is_left_alone(void)
{
	enum { FAILURES = 32, CLUSTER = 32 };
	const long dying = dying_cgroups();
	struct counts before = counts_now(), at_first = before;
	struct cowmem_page_out out;
	struct disk disk;
	int file;

	MUST(!mkdir("/small", 0700) && !mount("none", "/small", "tmpfs", 0, "size=64k"));
	file = open("/small/store", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(file >= 0 && !ftruncate(file, PAGES * PAGE));
	disk = make_disk_over(file);
	parameter_set("backing_reclaim", "always");
	MUST(!backing_set(disk.path));
	noise.fd = object_open();
	noise.pages = fewer_if_debug(512);
	MUST(!object_resize(noise.fd, noise.pages * PAGE));
	CHECK_EQ(run_in_cgroup("max", fill_with_noise), 0);
	reclaim_all();
	ksft_print_msg("%lu pages could be written, %lu not\n", SINCE(before, backing_written),
	               SINCE(before, backing_errors));
	CHECK(SINCE(before, backing_errors) >= FAILURES);
	CHECK(SINCE(before, backing_errors) < FAILURES + CLUSTER);
	before = counts_now();
	reclaim_all();
	CHECK_EQ(SINCE(before, backing_errors), 0);
	CHECK_EQ(SINCE(before, backing_written), 0);
	/* Who asks for it may try, and then it is as good as any. */
	MUST(!page_out_ask(noise.fd, &out, COWMEM_PAGE_OUT_ACCESSED, noise.pages / 2, 32));
	CHECK(out.io_error > 0);
	MUST(!mount("none", "/small", "tmpfs", MS_REMOUNT, "size=16m"));
	reclaim_all();
	CHECK_EQ(SINCE(before, backing_written), 0);
	MUST(!page_out_ask(noise.fd, &out, COWMEM_PAGE_OUT_ACCESSED, noise.pages / 2, 32));
	CHECK_EQ(out.io_error, 0);
	before = counts_now();
	reclaim_all();
	CHECK(SINCE(before, backing_written) > 0);
	close(noise.fd);
	CHECK_EQ(backing_set(""), 0);
	parameter_set("backing_reclaim", "auto");
	MUST(!ioctl(disk.fd, LOOP_CLR_FD));
	close(disk.fd);
	close(disk.file);
	MUST(!unlink("/small/store") && !umount("/small") && !rmdir("/small"));
	check_cgroup_goes(dying);
	check_returned(at_first);
}

/* Reclaims noise, and tells by its exit code whether some went to the backing store. */
static void shrink(void)
{
	const uint64_t pages = 32;
	struct cowmem_store_stat stat;
	int fd;
	char *p = noise_object(&fd, pages);

	reclaim_all();
	stat = store_stat(fd);
	for (uint64_t i = 0; i < pages; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	let_go(fd, p, pages);
	if (!test_failed)
		_exit(stat.backing_slots ? 100 : 101);
}

/* Whether memory reclaim writes to the backing store, if the parameter says so. */
static bool pressure_writes(const char *reclaim)
{
	const long dying = dying_cgroups();
	int how;

	parameter_set("backing_reclaim", reclaim);
	how = WEXITSTATUS(run_in_cgroup("max", shrink));
	CHECK(how == 100 || how == 101);
	check_cgroup_goes(dying);
	return how == 100;
}

/* Of devices not to one that may wait for others, unless that is asked for: a loop device waits for a file system. */
static void pressure_uses_devices_only(void)
{
	struct disk disk = use_disk(2 * PAGES);
	struct counts before = counts_now();
	int file;

	CHECK(pressure_writes("always"));
	CHECK(SINCE(before, pages_shrunk) > 0);
	CHECK(!pressure_writes("auto"));
	CHECK(!pressure_writes("never"));
	let_disk_go(disk);
	file = use_file(2 * PAGES);
	CHECK(!pressure_writes("always"));
	CHECK(!pressure_writes("auto"));
	let_file_go(file);

	MUST(write_text("/sys/block/zram0/disksize", "4M") && !backing_set("/dev/zram0"));
	CHECK(pressure_writes("auto"));
	CHECK(!pressure_writes("never"));
	CHECK(pressure_writes("always"));
	CHECK_EQ(backing_set(""), 0);
	parameter_set("backing_reclaim", "auto");
	MUST(write_text("/sys/block/zram0/reset", "1"));
}

/* --- what a device wants to know, and to have --- */
static void lose_nothing_in_use(unsigned int seconds);

/* Pages of memory that the device's file has. */
static uint64_t pages_of(const struct disk *disk)
{
	struct stat stat;

	MUST(!fstat(disk->file, &stat));
	return (uint64_t)stat.st_blocks * 512 / PAGE;
}

/* The device is told what is free, when that is asked for, and then only. */
static void free_places_are_discarded(void)
{
	struct disk disk = use_disk(2 * PAGES);
	struct counts before = counts_now();
	int fd;
	char *p = noise_object(&fd, PAGES);

	MUST(page_out_all(fd, PAGES) == PAGES);
	MUST(COMES(pages_of(&disk) == PAGES));
	MUST(!object_punch(fd, 0, PAGES / 4 * PAGE));
	usleep(1500000);
	CHECK_EQ(SINCE(before, backing_discarded), 0);
	CHECK_EQ(pages_of(&disk), PAGES);

	parameter_set("backing_discard", "Y");
	MUST(!object_punch(fd, PAGES / 4 * PAGE, PAGES / 2 * PAGE));
	CHECK(COMES(SINCE(before, backing_discarded) >= PAGES / 2));
	CHECK_EQ(SINCE(before, backing_discarded), PAGES / 2);
	CHECK_EQ(pages_of(&disk), PAGES / 2);
	for (uint64_t i = PAGES * 3 / 4; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	/* They can be used again. */
	for (uint64_t i = 0; i < PAGES; i++)
		noise_page(p + i * PAGE, i, 2);
	MUST(page_out_all(fd, PAGES) == PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 2));
	MUST(page_out_all(fd, PAGES) == PAGES);
	/* What is left of it goes at the end. */
	let_go(fd, p, PAGES);
	CHECK_EQ(backing_set(""), 0);
	CHECK(pages_of(&disk) <=
	      PAGES / 4); /* what came free before anybody wanted to know, at most */
	check_returned(before);
	let_disk_go(disk);

	disk = use_disk(2 * PAGES);
	before = counts_now();
	lose_nothing_in_use(2);
	CHECK(SINCE(before, backing_discarded) > 0);
	let_disk_go(disk);
	parameter_set("backing_discard", "N");
}

/* A device that wants that gets copies, which nobody writes; one that does not gets the pages. */
static void some_devices_get_copies(void)
{
	struct disk disk = use_disk(4 * PAGES);
	struct counts before = counts_now();
	char wants[64];
	int fd;
	char *p = noise_object(&fd, PAGES);

	snprintf(wants, sizeof(wants), "/sys/block/loop%d/queue/stable_writes", disk.number);
	CHECK_EQ(read_number(wants, ""), 0);
	MUST(page_out_all(fd, PAGES) == PAGES);
	CHECK_EQ(SINCE(before, backing_written), PAGES);
	CHECK_EQ(SINCE(before, backing_copied), 0);
	MUST(write_text(wants, "1"));
	for (uint64_t i = 0; i < PAGES; i++)
		noise_page(p + i * PAGE, i, 2);
	before = counts_now();
	MUST(page_out_all(fd, PAGES) == PAGES);
	CHECK_EQ(SINCE(before, backing_written), PAGES);
	CHECK_EQ(SINCE(before, backing_copied), PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 2));
	/* What is moved nobody else has. */
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(p + i * PAGE, i, 3);
	before = counts_now();
	MUST(page_out_all(fd, PAGES) == PAGES);
	parameter_set("writeback", "0");
	CHECK_EQ(SINCE(before, backing_moved), PAGES);
	CHECK_EQ(SINCE(before, backing_copied), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 3));
	let_go(fd, p, PAGES);
	lose_nothing_in_use(2);
	CHECK(SINCE(before, backing_copied) > 0);
	let_disk_go(disk);
}

/* Bytes that the cgroup's I/O controller says were written to a device. */
static unsigned long written_by_cgroup(dev_t disk)
{
	char text[4096] = "", key[32], *found;
	int fd = open(CGROUP "/io.stat", O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	snprintf(key, sizeof(key), "%u:%u ", major(disk), minor(disk));
	found = strstr(text, key);
	found = found ? strstr(found, "wbytes=") : NULL;
	return found ? strtoul(found + strlen("wbytes="), NULL, 10) : 0;
}

/* Whoever has a cgroup's pages paged out, the I/O is that cgroup's. */
static void io_is_the_pages_cgroups(void)
{
	const long dying = dying_cgroups();
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel tells no cgroup of its I/O");
	before = counts_now();
	noise.fd = object_open();
	noise.pages = PAGES;
	MUST(!object_resize(noise.fd, PAGES * PAGE));
	CHECK_EQ(run_in_cgroup("max", fill_with_noise), 0);
	CHECK_EQ(written_by_cgroup(slow_disk), 0);
	MUST(page_out_all(noise.fd, PAGES) == PAGES);
	CHECK_EQ(written_by_cgroup(slow_disk), PAGES * PAGE);
	CHECK_EQ(SINCE(before, backing_copied),
	         PAGES); /* zram compresses what must not change meanwhile */
	close(noise.fd);
	check_returned(before);
	let_slow_disk_go();
	check_cgroup_goes(dying);
}

static void *read_one(void *page)
{
	return (void *)(uintptr_t)noise_is(page, 3, 1);
}

/* While a page is on its way: what others may do, and how soon the one who waits can be killed. */
static void wait_for_a_page(void)
{
	const struct counts before = counts_now();
	pthread_t thread;
	void *good;
	pid_t child;
	int fd;
	char *p = noise_object(&fd, 8);

	MUST(page_out_all(fd, 8) == 8);
	MUST(set_speed(SLOWLY));
	MUST(!pthread_create(&thread, NULL, read_one, p + 3 * PAGE));
	CHECK(COMES(SINCE(before, speculative_abort_backing)));
	usleep(200000);
	/* These want the mapping, and the object, to themselves. */
	MUST(!mprotect(p, 8 * PAGE, PROT_READ));
	MUST(!object_punch(fd, 7 * PAGE, PAGE));
	CHECK_EQ(SINCE(before, backing_read), 0);

	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(!read_one(p + 5 * PAGE));
	usleep(500000);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	CHECK_EQ(SINCE(before, backing_read), 0);

	MUST(set_speed(NULL));
	MUST(!pthread_join(thread, &good));
	CHECK(good);
	CHECK(noise_is(p + 5 * PAGE, 5, 1));
	CHECK_EQ(p[7 * PAGE], 0);
	let_go(fd, p, 8);
}

/* Neighbours that are read along are where the mapping wants the page that is asked for. */
static void readahead_heeds_mbind(void)
{
	struct disk disk = use_disk(2 * PAGES);
	struct counts before = counts_now();
	cpu_set_t node_0, all;
	int fd;
	char *p = noise_object(&fd, PAGES);

	CPU_ZERO(&node_0);
	CPU_SET(0, &node_0);
	MUST(!sched_getaffinity(0, sizeof(all), &all) &&
	     !sched_setaffinity(0, sizeof(node_0), &node_0));
	MUST(page_out_all(fd, PAGES) == PAGES);
	bind_to_node_1(p, PAGES);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	CHECK(SINCE(before, backing_readahead) > 0);
	CHECK_EQ(SINCE(before, backing_read), PAGES);
	CHECK_EQ(not_on_node_1(p, PAGES), 0);
	MUST(!sched_setaffinity(0, sizeof(all), &all));
	let_go(fd, p, PAGES);
	check_returned(before);
	let_disk_go(disk);
}

static int zero;

/* What the kernel copies to a page, as read() does it: how many major faults that took, or -1. */
static void *copy_to(void *page)
{
	struct rusage before, after;

	MUST(!getrusage(RUSAGE_THREAD, &before));
	if (read(zero, page, PAGE) != (ssize_t)PAGE)
		return (void *)-1L;
	MUST(!getrusage(RUSAGE_THREAD, &after));
	return (void *)(after.ru_majflt - before.ru_majflt);
}

/*
 * The same for the kernel's own store to a page of a snapshot: what has to be read first is to
 * be copied then. It waits with nothing locked, takes neighbours along, can be killed, and is
 * what PSI and the cgroup's count of major faults tell of.
 */
static void wait_to_copy_a_snapshots_page(void)
{
	struct counts before;
	pthread_t thread;
	long majors, events, stalled;
	pid_t child;
	int fd, then, status;
	char *p = noise_object(&fd, 8);

	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	MUST(zero >= 0);
	then = snapshot(fd);
	MUST(page_out_all(then, 8) == 8);
	MUST(set_speed(SLOWLY));
	before = counts_now();
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(copy_to(p + 5 * PAGE) == (void *)-1L);
	CHECK(COMES(SINCE(before, speculative_abort_backing)));
	usleep(200000);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	MUST(!kill(child, SIGKILL));
	MUST(COMES(waitpid(child, &status, WNOHANG) == child));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(SINCE(before, backing_read), 0);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);

	before = counts_now();
	events = read_number(CGROUP "/memory.stat", "pgmajfault ");
	stalled = read_number(CGROUP "/memory.pressure", "total=");
	MUST(!pthread_create(&thread, NULL, copy_to, p + 3 * PAGE));
	CHECK(COMES(SINCE(before, speculative_abort_backing)));
	usleep(200000);
	/* These want the mapping, and the object, to themselves. */
	MUST(!mprotect(p, PAGE, PROT_READ));
	MUST(!object_punch(fd, 7 * PAGE, PAGE));
	CHECK_EQ(SINCE(before, backing_read), 0);
	MUST(set_speed(NULL));
	MUST(!pthread_join(thread, (void **)&majors));
	CHECK_EQ(majors, 1);
	CHECK_EQ(SINCE(before, waited), 1);
	CHECK_EQ(SINCE(before, pages_copied_up), 1);
	CHECK(SINCE(before, backing_readahead) > 0);
	CHECK(SINCE(before, major_faults) >= 1);
	/* The kernel adds these up now and then. */
	CHECK(COMES(read_number(CGROUP "/memory.stat", "pgmajfault ") - events >= 1));
	CHECK(COMES(read_number(CGROUP "/memory.pressure", "total=") > stalled));
	for (uint64_t i = 0; i < 7; i++)
		CHECK(i == 3 ? !p[i * PAGE] && !memcmp(p + i * PAGE, p + i * PAGE + 1, PAGE - 1)
		             : noise_is(p + i * PAGE, i, 1));
	close(then);
	close(zero);
	let_go(fd, p, 8);
}

static void who_waits_is_in_nobodys_way(void)
{
	const long dying = dying_cgroups();
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel cannot slow I/O down");
	before = counts_now();
	CHECK_EQ(run_in_cgroup("max", wait_for_a_page), 0);
	check_returned(before);
	MUST(!rmdir(CGROUP));
	CHECK_EQ(run_in_cgroup("max", wait_to_copy_a_snapshots_page), 0);
	check_returned(before);
	let_slow_disk_go();
	check_cgroup_goes(dying);
}

static char *busy_pages;
static bool busy_end;

/* Writes every second page of its own, again and again, and sees to it that the last is there. */
static void *be_busy(void *arg)
{
	const uint64_t self = (uintptr_t)arg;
	uint64_t generation[PAGES / 2] = {};

	for (uint64_t n = self; !__atomic_load_n(&busy_end, __ATOMIC_RELAXED); n += 7919) {
		const uint64_t i = n % (PAGES / 2);
		char *page = busy_pages + (2 * i + self) * PAGE;

		if (generation[i] && !noise_is(page, 2 * i + self, generation[i]))
			return "a write was lost";
		if (n % 3)
			noise_page(page, 2 * i + self, ++generation[i]);
		usleep(3000); /* others have a chance meanwhile */
	}
	for (uint64_t i = 0; i < PAGES / 2; i++)
		if (generation[i] &&
		    !noise_is(busy_pages + (2 * i + self) * PAGE, 2 * i + self, generation[i]))
			return "a write is not there at the end";
	return NULL;
}

static void lose_nothing_in_use(unsigned int seconds)
{
	struct counts before = counts_now();
	pthread_t threads[2];
	uint64_t out = 0;
	time_t end;
	void *lost;
	int fd;

	busy_pages = noise_object(&fd, PAGES);
	end = time(NULL) + seconds;
	busy_end = false;
	for (uintptr_t i = 0; i < 2; i++)
		MUST(!pthread_create(&threads[i], NULL, be_busy, (void *)i));
	while (time(NULL) < end || (!SINCE(before, backing_read) && time(NULL) < end + 60))
		out += page_out_all(fd, PAGES);
	__atomic_store_n(&busy_end, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 2; i++) {
		MUST(!pthread_join(threads[i], &lost));
		if (lost)
			ksft_print_msg("%s\n", (char *)lost);
		CHECK(!lost);
	}
	ksft_print_msg("%lu pages out, %lu written, %lu read, %lu of them ahead\n", (long)out,
	               SINCE(before, backing_written), SINCE(before, backing_read),
	               SINCE(before, backing_readahead));
	CHECK(SINCE(before, backing_read) > 0);
	CHECK_EQ(SINCE(before, checksum_errors) + SINCE(before, backing_errors), 0);
	let_go(fd, busy_pages, PAGES);
	check_returned(before);
}

static void nothing_is_lost_in_use(void)
{
	struct disk disk = use_disk(4 * PAGES);

	lose_nothing_in_use(4);
	let_disk_go(disk);
}

/* --- who else has the file --- */
/* Whether the kernel's log says @what since it was last asked for. */
static bool log_says(const char *what)
{
	static int log = -1;
	bool said = false;
	char line[1024];
	ssize_t n;

	if (log < 0)
		MUST((log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC)) >= 0);
	while ((n = read(log, line, sizeof(line) - 1)) > 0 || errno == EPIPE) {
		line[n > 0 ? n : 0] = '\0';
		said |= strstr(line, "cannot use " STORE) && strstr(line, what);
	}
	return said;
}

static void a_file_is_nobody_elses(void)
{
	static const mode_t open_to_others[] = {0640, 0620, 0604, 0602, 0644, 0666};
	struct counts before = counts_now();
	int fd, writer = make_file(PAGES);
	char *mapping, *p;

	/* What others may read or write, or have to write, is not taken, and the log says why. */
	log_says("");
	CHECK_EQ(backing_set(STORE), ETXTBSY);
	CHECK(log_says("open for writing"));
	mapping = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, writer, 0);
	MUST(mapping != MAP_FAILED);
	close(writer);
	CHECK_EQ(backing_set(STORE), ETXTBSY);
	munmap(mapping, PAGE);
	for (size_t i = 0; i < ARRAY_LENGTH(open_to_others); i++) {
		MUST(!chmod(STORE, open_to_others[i]));
		CHECK_EQ(backing_set(STORE), EPERM);
		CHECK(log_says("chmod 600"));
	}
	MUST(!chmod(STORE, 0600) && !chown(STORE, 1000, 0));
	CHECK_EQ(backing_set(STORE), EPERM);
	MUST(!chown(STORE, 0, 1000));

	/* While it is the backing store, it is nobody else's to write, and as long as it is. */
	for (int round = 0; round < 2; round++) {
		CHECK_EQ(backing_set(STORE), 0);
		p = noise_object(&fd, 8);
		MUST(page_out_all(fd, 8) == 8);
		CHECK_ERRNO(open(STORE, O_WRONLY | O_CLOEXEC), ETXTBSY);
		CHECK_ERRNO(open(STORE, O_RDWR | O_TRUNC | O_CLOEXEC), ETXTBSY);
		CHECK_ERRNO(truncate(STORE, PAGE), ETXTBSY);
		CHECK_EQ(backing_set(STORE), 0); /* is what it is */
		MUST(!symlink(STORE, STORE "-link"));
		CHECK_EQ(backing_set(STORE "-link"), ETXTBSY); /* not even ours, again */
		MUST(!unlink(STORE "-link"));
		CHECK_ERRNO(open(STORE, O_WRONLY | O_CLOEXEC), ETXTBSY);
		for (uint64_t i = 0; i < 8; i++)
			CHECK(noise_is(p + i * PAGE, i, 1));
		let_go(fd, p, 8);
		CHECK_EQ(backing_set(""), 0);

		writer = open(STORE, O_RDWR | O_CLOEXEC);
		CHECK(writer >= 0);
		CHECK_EQ(pwrite(writer, "x", 1, 0), 1);
		CHECK_EQ(ftruncate(writer, PAGES * PAGE), 0);
		CHECK_EQ(backing_set(STORE), ETXTBSY);
		close(writer);
	}
	CHECK_EQ(SINCE(before, checksum_errors) + SINCE(before, backing_errors), 0);
	check_returned(before);
	unlink(STORE);
}

/* --- every kind of fault that may come again --- */
struct waits {
	const char *name;
	int flags; /* of mmap() */
	uint32_t cow;
	bool snapshot; /* the pages are one's */
	bool writes, kernel;
};

static const struct waits *waits;
static int sink; /* the kernel reads what is written there */

/* Touches @page as that kind does: how many major faults that took, or -1. */
static void *touch_as(void *page)
{
	struct rusage before, after;

	MUST(!getrusage(RUSAGE_THREAD, &before));
	if (waits->kernel && (waits->writes ? read(zero, page, 1) : write(sink, page, 1)) != 1)
		return (void *)-1L;
	if (!waits->kernel && waits->writes)
		*(volatile char *)page = 0;
	if (!waits->kernel && !waits->writes)
		(void)*(volatile char *)page;
	MUST(!getrusage(RUSAGE_THREAD, &after));
	return (void *)(after.ru_majflt - before.ru_majflt);
}

/* Beside one that waits for page 3: the mapping is free, and one that waits for page 5 can be killed. */
static void wait_as(void)
{
	struct counts before;
	pthread_t thread;
	long majors = 0;
	pid_t child;
	int fd, then, status;
	char *p = noise_object(&fd, 8), *q, page[PAGE];

	then = waits->snapshot ? snapshot(fd) : -1;
	MUST(!object_set_cow(fd, waits->cow));
	q = object_map(fd, 8 * PAGE, PROT_READ | PROT_WRITE, waits->flags);
	MUST(page_out_all(then >= 0 ? then : fd, 8) == 8);
	MUST(set_speed(SLOWLY));
	before = counts_now();
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(touch_as(q + 5 * PAGE) == (void *)-1L);
	CHECK(COMES(SINCE(before, fault_read) + SINCE(before, fault_shared_write) +
	            SINCE(before, fault_private_write)));
	usleep(200000);
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	MUST(!kill(child, SIGKILL));
	MUST(COMES(waitpid(child, &status, WNOHANG) == child));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK_EQ(SINCE(before, killed), 1);
	CHECK_EQ(SINCE(before, waited), 0);
	CHECK_EQ(SINCE(before, backing_read), 0);

	before = counts_now();
	MUST(!pthread_create(&thread, NULL, touch_as, q + 3 * PAGE));
	usleep(200000);
	MUST(!mprotect(q, PAGE, PROT_READ));
	MUST(!object_punch(fd, 7 * PAGE, PAGE));
	CHECK_EQ(SINCE(before, backing_read), 0);
	MUST(set_speed(NULL));
	MUST(!pthread_join(thread, (void **)&majors));
	CHECK_EQ(majors, 1);
	CHECK_EQ(SINCE(before, waited), 1);
	CHECK_EQ(SINCE(before, killed), 0);
	CHECK_EQ(SINCE(before, lost_races), 0);
	CHECK(SINCE(before, backing_readahead) > 0);
	CHECK_EQ(SINCE(before, major_faults), 1);
	CHECK_EQ(SINCE(before, pages_copied_up), waits->snapshot && waits->writes);
	noise_page(page, 3, 1);
	CHECK(!memcmp(q + 3 * PAGE + 1, page + 1, PAGE - 1));
	CHECK_EQ(q[3 * PAGE], waits->writes ? 0 : page[0]);
	for (uint64_t i = 0; i < 7; i++)
		CHECK(i == 3 || (noise_is(q + i * PAGE, i, 1) && noise_is(p + i * PAGE, i, 1)));
	if (test_failed)
		ksft_print_msg("that was: %s\n", waits->name);
	munmap(q, 8 * PAGE);
	if (then >= 0)
		close(then);
	let_go(fd, p, 8);
}

static void every_kind_waits_unlocked(void)
{
	static const struct waits kinds[] = {
		{"shared read", MAP_SHARED, COWMEM_COW_HANDLER, false, false, false},
		{"shared read by the kernel", MAP_SHARED, COWMEM_COW_HANDLER, false, false, true},
		{"shared write", MAP_SHARED, COWMEM_COW_HANDLER, false, true, false},
		{"shared write by the kernel", MAP_SHARED, COWMEM_COW_HANDLER, false, true, true},
		{"read of a snapshot's page", MAP_SHARED, COWMEM_COW_HANDLER, true, false, false},
		{"write to one", MAP_SHARED, COWMEM_COW_HANDLER, true, true, false},
		{"write to one by the kernel", MAP_SHARED, COWMEM_COW_HANDLER, true, true, true},
		{"private read", MAP_PRIVATE, COWMEM_COW_HANDLER, false, false, false},
		{"private write, handler", MAP_PRIVATE, COWMEM_COW_HANDLER, false, true, false},
		{"the same by the kernel", MAP_PRIVATE, COWMEM_COW_HANDLER, false, true, true},
		{"private write, core", MAP_PRIVATE, COWMEM_COW_CORE, false, true, false},
		{"the same by the kernel", MAP_PRIVATE, COWMEM_COW_CORE, false, true, true},
	};
	const long dying = dying_cgroups();
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel cannot slow I/O down");
	zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	sink = memfd_create("sink", MFD_CLOEXEC);
	MUST(zero >= 0 && sink >= 0);
	before = counts_now();
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		MUST(!i || !rmdir(CGROUP));
		waits = &kinds[i];
		CHECK_EQ(run_in_cgroup("max", wait_as), 0);
	}
	check_returned(before);
	close(sink);
	close(zero);
	let_slow_disk_go();
	check_cgroup_goes(dying);
}

/* --- every call that waits for the disk --- */
/* Whether @child sleeps where no signal ends that, or only a fatal one. */
static bool sleeps_deeply(pid_t child)
{
	char text[512];

	return proc_stat(child, text, sizeof(text))[1] == 'D';
}

enum { RESIZES, PREFETCHES, DIFFERS, READS, WRITES, CALLS };

/* Each uses page 5, which is out. */
static void call_as(int call, int fd, int clone)
{
	struct cowmem_changed changed;
	struct cowmem_diff diff;
	char byte = 0;

	switch (call) {
	case RESIZES:
		object_resize(fd, 5 * PAGE + 1);
		break;
	case PREFETCHES:
		prefetch_ask(fd, 5, 1);
		break;
	case DIFFERS:
		diff_ask(fd, clone, &diff, 0, 8, &changed, 1);
		break;
	case READS:
		(void)!pread(fd, &byte, 1, 5 * PAGE);
		break;
	case WRITES:
		(void)!pwrite(fd, &byte, 1, 5 * PAGE);
		break;
	}
}

/* Who is killed in one of them is gone at once, and nothing has changed. */
static void be_killed_in_each_call(void)
{
	int fd, clone, status;
	char *p = noise_object(&fd, 8);

	MUST(page_out_all(fd, 8) == 8);
	clone = clone_of(fd);
	MUST(pwrite(clone, "x", 1, 5 * PAGE) == 1);
	MUST(page_out_all(fd, 8) == 0);
	MUST(set_speed(SLOWLY));
	for (int call = 0; call < CALLS; call++) {
		const struct counts before = counts_now();
		pid_t child = fork();

		MUST(child >= 0);
		if (!child) {
			call_as(call, fd, clone);
			_exit(0);
		}
		MUST(COMES(sleeps_deeply(child)));
		CHECK(!kill(child, SIGKILL));
		MUST(COMES(waitpid(child, &status, WNOHANG) == child));
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		CHECK_EQ(SINCE(before, backing_read), 0);
		CHECK_EQ(SINCE(before, pages_brought_in), 0);
		CHECK_EQ(object_stat(fd).bytes, 8 * PAGE);
		if (test_failed)
			ksft_print_msg("that was call %d\n", call);
	}
	MUST(set_speed(NULL));
	for (uint64_t i = 0; i < 8; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	close(clone);
	let_go(fd, p, 8);
}

static void every_call_that_waits_can_be_killed(void)
{
	const long dying = dying_cgroups();
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel cannot slow I/O down");
	before = counts_now();
	CHECK_EQ(run_in_cgroup("max", be_killed_in_each_call), 0);
	check_returned(before);
	let_slow_disk_go();
	check_cgroup_goes(dying);
}

/* --- readahead takes no more than there is --- */
#define FAILSLAB "/sys/kernel/debug/failslab/"
#define NODES "/sys/kernel/slab/cowmem_leaf/failslab"

/* Whether allocations fail that may not sleep: nodes of an index, for this thread. */
static void fail_nodes(bool fail)
{
	MUST(write_text(FAILSLAB "verbose", "0"));
	MUST(write_text(FAILSLAB "ignore-gfp-wait", "Y"));
	MUST(write_text(FAILSLAB "cache-filter", fail ? "Y" : "N"));
	MUST(write_text(FAILSLAB "task-filter", fail ? "Y" : "N"));
	MUST(write_text(FAILSLAB "times", fail ? "-1" : "1"));
	MUST(write_text(NODES, fail ? "1" : "0"));
	MUST(write_text("/proc/thread-self/make-it-fail", fail ? "1" : "0"));
	MUST(write_text(FAILSLAB "probability", fail ? "100" : "0"));
}

/* What comes in has its place in the object's tree already, which takes no memory. */
static void readahead_takes_what_there_is(void)
{
	struct disk disk;
	struct counts before;
	char *p;
	int fd;

	if (!can_be_written(NODES) || !can_be_written(FAILSLAB "verbose"))
		SKIP("this kernel has no fault injection");
	disk = use_disk(2 * PAGES);
	p = noise_object(&fd, 96);
	MUST(page_out_all(fd, 96) == 96);
	before = counts_now();
	fail_nodes(true);
	(void)*(volatile char *)(p + 62 * PAGE);
	fail_nodes(false);
	CHECK_EQ(SINCE(before, backing_read), 8);
	CHECK_EQ(SINCE(before, backing_readahead), 7);
	CHECK_EQ(object_stat(fd).resident_pages, 8);
	for (uint64_t i = 0; i < 96; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	let_go(fd, p, 96);
	let_disk_go(disk);
}

static const struct test_case cases[] = {
	{"without a backing store incompressible pages stay", "", without_one_nothing_changes},
	{"noise, and more than memory may hold, survives in a file", "", survive_in_a_file},
	{"the same on a block device, with the core copying", "", survive_on_a_device},
	{"the same by the locked path", "", survive_by_the_locked_path},
	{"neighbours come along", "", neighbours_come_along},
	{"the parameter is root's, and what is in use stays", "", is_set_with_care},
	{"damaged bytes are SIGBUS or EIO, and of one page only", "", damage_is_found},
	{"another page's bytes are damage, too", "", places_are_not_mixed_up},
	{"when all places are taken, pages stay", "", a_full_store},
	{"a device that was cut short is an error of what was cut", "", a_device_cut_short},
	{"I/O errors lose nothing", "", io_errors},
	{"memory reclaim leaves a failing device alone", "", a_failing_device_is_left_alone},
	{"memory pressure writes to block devices that wait for nobody", "",
         pressure_uses_devices_only},
	{"a device is told which places are free", "", free_places_are_discarded},
	{"a device that wants stable pages gets copies", "", some_devices_get_copies},
	{"what PAGE_OUT writes is the page's cgroup's I/O", "", io_is_the_pages_cgroups},
	{"who waits for a page is in nobody's way, and can be killed", "",
         who_waits_is_in_nobodys_way},
	{"pages in use go out and come back with every write", "R48 R59", nothing_is_lost_in_use},
	{"a file that others may read, or write, is not taken or given", "",
         a_file_is_nobody_elses},
	{"readahead heeds mbind", "", readahead_heeds_mbind},
	{"every kind of fault waits with nothing locked, and can be killed", "",
         every_kind_waits_unlocked},
	{"every call that waits for the backing store can be killed", "",
         every_call_that_waits_can_be_killed},
	{"readahead takes no memory for the index", "", readahead_takes_what_there_is},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
