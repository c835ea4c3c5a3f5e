/* SPDX-License-Identifier: GPL-2.0 */
/* Pages that do not compress, and files and block devices for them to go to, one of which can be slow. */
#ifndef COWMEM_DISKS_H
#define COWMEM_DISKS_H

#include "cgroup.h"
#include "cowmem_test.h"
#include "parameters.h"

#include <linux/loop.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define BACKING PARAMETERS "backing"
#define STORE "/tmp/backing"

/* --- pages that do not compress --- */
static inline void noise_page(void *page, uint64_t number, uint64_t generation)
{
	uint64_t x = (number << 32 | generation << 1 | 1) * 0x9e3779b97f4a7c15ULL;

	for (size_t i = 0; i < PAGE / 8; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		((uint64_t *)page)[i] = x;
	}
}

static inline bool noise_is(const void *page, uint64_t number, uint64_t generation)
{
	static __thread uint64_t expected[PAGE / 8];

	noise_page(expected, number, generation);
	return !memcmp(page, expected, PAGE);
}

/* --- the backing store --- */
/* 0 or the errno of setting the parameter. */
static inline int backing_set(const char *path)
{
	int fd = open(BACKING, O_WRONLY | O_CLOEXEC), err;

	MUST(fd >= 0);
	err = write(fd, *path ? path : "\n", *path ? strlen(path) : 1) < 0 ? errno : 0;
	close(fd);
	return err;
}

/* A file in memory at @path, of @pages pages. */
static inline int make_file_at(const char *path, uint64_t pages)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	MUST(fd >= 0 && !ftruncate(fd, pages * PAGE));
	return fd;
}

static inline int make_file(uint64_t pages)
{
	return make_file_at(STORE, pages);
}

/* Has a file for backing store from now on, which nobody else has open for writing then. */
static inline int use_file(uint64_t pages)
{
	int fd;

	close(make_file(pages));
	MUST(!backing_set(STORE));
	fd = open(STORE, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	return fd;
}

static inline void let_file_go(int fd)
{
	CHECK_EQ(backing_set(""), 0);
	close(fd);
	unlink(STORE);
}

struct disk {
	int number, fd, file;
	char path[32];
};

/* A block device over @file. */
static inline struct disk make_disk_over(int file)
{
	struct disk disk = {.file = file};
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	MUST(control >= 0);
	disk.number = ioctl(control, LOOP_CTL_GET_FREE);
	MUST(disk.number >= 0);
	snprintf(disk.path, sizeof(disk.path), "/dev/loop%d", disk.number);
	disk.fd = open(disk.path, O_RDWR | O_CLOEXEC);
	MUST(disk.fd >= 0 && !ioctl(disk.fd, LOOP_SET_FD, disk.file));
	close(control);
	return disk;
}

/* Memory reclaim writes there: the file beneath is in memory, and needs nothing of anybody. */
static inline struct disk use_disk(uint64_t pages)
{
	struct disk disk = make_disk_over(make_file(pages));

	parameter_set("backing_reclaim", "always");
	MUST(!backing_set(disk.path));
	return disk;
}

/* It is not the backing store any more. */
static inline void unmake_disk(struct disk disk)
{
	MUST(!ioctl(disk.fd, LOOP_CLR_FD));
	close(disk.fd);
	close(disk.file);
}

static inline void let_disk_go(struct disk disk)
{
	CHECK_EQ(backing_set(""), 0);
	parameter_set("backing_reclaim", "auto");
	unmake_disk(disk);
	unlink(STORE);
}

/* Where page @number of noise is in the backing store's file, in bytes. */
static inline off_t place_of(int file, uint64_t number)
{
	uint64_t page[PAGE / 8];
	struct stat stat;

	MUST(!fstat(file, &stat));
	for (off_t at = 0; at < stat.st_size; at += PAGE) {
		MUST(pread(file, page, PAGE, at) == (ssize_t)PAGE);
		if (noise_is(page, number, 1))
			return at;
	}
	ksft_exit_fail_msg("page %d is not in the backing store\n", (int)number);
}

/* --- objects --- */
static inline char *noise_object(int *fd, uint64_t pages)
{
	char *p;

	*fd = object_open();
	p = object_map(*fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < pages; i++)
		noise_page(p + i * PAGE, i, 1);
	return p;
}

static inline void let_go(int fd, char *p, uint64_t pages)
{
	munmap(p, pages * PAGE);
	close(fd);
}

/* Makes another byte of that at @at; once more, and it is what it was. */
static inline void damage(int file, off_t at)
{
	char byte;

	MUST(pread(file, &byte, 1, at) == 1);
	byte ^= 4;
	MUST(pwrite(file, &byte, 1, at) == 1);
}

#define SLOWLY \
	"8" /* bytes that are read in a second: a page takes eight minutes, unless that is changed */
#define ZRAM_CONTROL "/sys/class/zram-control/"
static dev_t slow_disk;

/*
 * Has the backing store on a disk that set_speed() slows down for CGROUP; false: there is none.
 * Not a loop device, which keeps the cgroup of who used it for minutes.
 */
static inline bool use_slow_disk(void)
{
	struct stat disk;

	if (!write_text(CGROUPS "/cgroup.subtree_control", "+io"))
		return false;
	MUST(read_number(ZRAM_CONTROL "hot_add", "") == 1);
	MUST(write_text("/sys/block/zram1/disksize", "4M") && !stat("/dev/zram1", &disk));
	slow_disk = disk.st_rdev;
	MUST(!backing_set("/dev/zram1"));
	return true;
}

static inline void let_slow_disk_go(void)
{
	CHECK_EQ(backing_set(""), 0);
	MUST(write_text(CGROUPS "/cgroup.subtree_control", "-io"));
	/* Who was killed while he waited has it open until his read has ended. */
	MUST(COMES(write_text("/sys/block/zram1/reset", "1")) &&
	     write_text(ZRAM_CONTROL "hot_remove", "1"));
}

/* Bytes that may be read in a second, from now on; null: all. */
static inline bool set_speed(const char *bytes)
{
	char limit[64];

	snprintf(limit, sizeof(limit), "%u:%u rbps=%s", major(slow_disk), minor(slow_disk),
	         bytes ? bytes : "max");
	return write_text(CGROUP "/io.max", limit);
}

#endif /* COWMEM_DISKS_H */
