// SPDX-License-Identifier: GPL-2.0
/* Files that share pages: FICLONE, FICLONERANGE, FIDEDUPERANGE, and what a mount's size counts of them. */
#include "bus.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

enum { PAGES_ = 64, SIZE = PAGES_ * PAGE };
#define MOUNT "/tmp/reflink"

static int create(void)
{
	int device = object_open(), fd = object_create(device, "test");

	MUST(fd >= 0);
	close(device);
	return fd;
}

static void write_pages(int fd, unsigned int first, unsigned int count, uint64_t generation)
{
	char page[PAGE];

	for (unsigned int i = first; i < first + count; i++) {
		fill_page(page, i, generation);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
}

static bool are(int fd, unsigned int first, unsigned int count, uint64_t generation)
{
	char page[PAGE];
	bool all = true;

	for (unsigned int i = first; i < first + count; i++)
		all &= pread(fd, page, PAGE, i * PAGE) == PAGE && page_is(page, i, generation);
	return all;
}

static int clone_to(int to, int from, uint64_t offset, uint64_t length)
{
	struct file_clone_range arg = {
		.src_fd = from, .src_offset = offset, .src_length = length, .dest_offset = offset};

	return ioctl(to, FICLONERANGE, &arg);
}

/* What FIDEDUPERANGE answers of one: bytes, or its status, or -errno. */
static long long dedupe(int to, int from, uint64_t offset, uint64_t length)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = {.range = {.src_offset = offset, .src_length = length, .dest_count = 1},
	         .info = {.dest_fd = to, .dest_offset = offset}};

	if (ioctl(from, FIDEDUPERANGE, &arg))
		return -errno;
	return arg.info.status ? arg.info.status : (long long)arg.info.bytes_deduped;
}

static unsigned long own(int fd)
{
	return object_stat(fd).resident_pages;
}

static struct stat stat_of(int fd)
{
	struct stat stat;

	MUST(!fstat(fd, &stat));
	return stat;
}

/* --- FICLONE --- */

/* A clone costs no memory, and both sides go their own ways. */
static void whole_file(void)
{
	struct counts before = counts_now();
	int from = create(), to = create();
	char *map;

	write_pages(from, 0, PAGES_, 1);
	MUST(!ftruncate(from, SIZE - 100));
	map = object_map(to, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	MUST(pwrite(to, "old", 3, PAGE) == 3);
	CHECK_EQ(map[PAGE], 'o');
	const unsigned long allocated = count_of(COWMEM_COUNT_pages_allocated);

	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK_EQ(count_of(COWMEM_COUNT_pages_allocated), allocated);
	CHECK_EQ(stat_of(to).st_size, SIZE - 100);
	CHECK_EQ(stat_of(to).st_blocks, SIZE / 512);
	CHECK_EQ(own(from) + own(to), 0);
	CHECK(are(to, 0, PAGES_ - 1, 1) && are(from, 0, PAGES_ - 1, 1));
	CHECK(page_is(map + PAGE, 1, 1));
	/* Either side is written. */
	fill_page(map + PAGE, 1, 2);
	write_pages(from, 2, 1, 3);
	CHECK(are(to, 1, 1, 2) && are(from, 1, 1, 1) && are(to, 2, 1, 1) && are(from, 2, 1, 3));
	CHECK_EQ(own(from), 1);
	CHECK_EQ(own(to), 1);
	/* Again, as it is now; and the other way round. */
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	CHECK(are(to, 1, 1, 1) && are(to, 2, 1, 3) && page_is(map + PAGE, 1, 1));
	write_pages(to, 5, 1, 4);
	CHECK_EQ(ioctl(from, FICLONE, to), 0);
	CHECK(are(from, 5, 1, 4) && are(to, 5, 1, 4));
	munmap(map, SIZE);
	close(from);
	CHECK(are(to, 0, 2, 1) && are(to, 5, 1, 4));
	close(to);
	check_returned(before);
}

/* A range, also beyond the end of the other file, and from a snapshot. */
static void ranges(void)
{
	int from = create(), to = create(), then;

	write_pages(from, 0, PAGES_, 1);
	write_pages(to, 0, 8, 2);
	CHECK_EQ(clone_to(to, from, 4 * PAGE, 2 * PAGE), 0);
	CHECK(are(to, 0, 4, 2) && are(to, 4, 2, 1) && are(to, 6, 2, 2));
	CHECK_EQ(stat_of(to).st_size, 8 * PAGE);
	CHECK_EQ(clone_to(to, from, 20 * PAGE, 10 * PAGE), 0);
	CHECK_EQ(stat_of(to).st_size, 30 * PAGE);
	CHECK(are(to, 20, 10, 1) && are(to, 6, 2, 2));
	CHECK_EQ(lseek(to, 8 * PAGE, SEEK_DATA), 20 * PAGE);
	/* Whole leaves, holes, and what is out. */
	MUST(!fallocate(from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 17 * PAGE, 20 * PAGE));
	CHECK_EQ(posix_fadvise(from, 40 * PAGE, 20 * PAGE, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(clone_to(to, from, 0, 0), 0);
	CHECK_EQ(stat_of(to).st_size, SIZE);
	CHECK(are(to, 0, 17, 1) && are(to, 37, PAGES_ - 37, 1));
	CHECK_EQ(lseek(to, 0, SEEK_HOLE), 17 * PAGE);
	CHECK_EQ(lseek(to, 17 * PAGE, SEEK_DATA), 37 * PAGE);
	then = snapshot(from);
	write_pages(from, 0, PAGES_, 5);
	CHECK_EQ(clone_to(to, from, PAGE, PAGE), 0);
	CHECK_EQ(clone_to(to, then, 2 * PAGE, PAGE), 0);
	CHECK(are(to, 1, 1, 5) && are(to, 2, 1, 1));
	/* copy_file_range() of much is a clone, too. */
	const unsigned long allocated = count_of(COWMEM_COUNT_pages_allocated);
	off_t in = 0, out = 0;

	MUST(!ftruncate(from, 2048 * PAGE));
	CHECK_EQ(copy_file_range(from, &in, to, &out, 2048 * PAGE, 0), 2048 * PAGE);
	CHECK_EQ(count_of(COWMEM_COUNT_pages_allocated), allocated);
	CHECK(are(to, 0, PAGES_, 5));
	close(then);
	close(to);
	close(from);
}

static void refused(void)
{
	int from = create(), to = create(), third = create(), read_only, device = object_open();
	struct file_clone_range other = {.src_fd = from, .src_length = PAGE, .dest_offset = PAGE};
	char path[32];

	write_pages(from, 0, 4, 1);
	write_pages(to, 0, 4, 2);
	write_pages(third, 0, 4, 3);
	MUST(!ftruncate(from, 3 * PAGE + 10));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", to);
	read_only = open(path, O_RDONLY | O_CLOEXEC);
	CHECK_ERRNO(ioctl(read_only, FICLONE, from), EBADF);
	CHECK_ERRNO(ioctl(to, FICLONE, -1), EBADF);
	CHECK_ERRNO(ioctl(to, FICLONERANGE, &other), EINVAL);
	CHECK_ERRNO(clone_to(to, from, 1, PAGE), EINVAL);
	CHECK_ERRNO(clone_to(to, from, PAGE, 100), EINVAL);
	CHECK_ERRNO(clone_to(to, from, 4 * PAGE, PAGE), EINVAL);
	/* The part of a page at the end goes to the end only. */
	CHECK_ERRNO(clone_to(to, from, 3 * PAGE, 10), EINVAL);
	CHECK_ERRNO(clone_to(to, to, 0, PAGE), EINVAL);
	CHECK_ERRNO(ioctl(to, FICLONE, device), EXDEV);
	CHECK(are(to, 0, 4, 2));
	MUST(!ftruncate(to, 3 * PAGE));
	CHECK_EQ(clone_to(to, from, 3 * PAGE, 10), 0);
	CHECK_EQ(stat_of(to).st_size, 3 * PAGE + 10);
	/* What does not grow. */
	CHECK_EQ(object_resize(to, PAGE), 0);
	CHECK_ERRNO(clone_to(to, from, 0, 2 * PAGE), ENOSPC);
	CHECK_EQ(clone_to(to, from, 0, PAGE), 0);
	/* Who has relatives already, and others. */
	close(snapshot(third));
	CHECK_ERRNO(clone_to(third, from, 0, PAGE), EOPNOTSUPP);
	CHECK(are(third, 0, 4, 3));
	close(device);
	close(read_only);
	close(third);
	close(to);
	close(from);
}

/* Many times, while somebody writes: what is cloned is of one moment. */
static void of_one_moment(void)
{
	const unsigned int turns = fewer_if_debug(200);
	int from = create(), to = create(), status;
	pid_t child;

	MUST(!ftruncate(from, SIZE));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		volatile uint64_t *map = object_map(from, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);

		for (uint64_t n = 1;; n++) {
			map[0] = n;
			map[(PAGES_ - 1) * PAGE / 8] = n;
		}
	}
	for (unsigned int i = 0; i < turns; i++) {
		uint64_t first, last;

		CHECK_EQ(ioctl(to, FICLONE, from), 0);
		MUST(pread(to, &first, 8, 0) == 8 && pread(to, &last, 8, (PAGES_ - 1) * PAGE) == 8);
		CHECK(first == last || first == last + 1);
	}
	kill(child, SIGKILL);
	MUST(waitpid(child, &status, 0) == child);
	close(to);
	close(from);
}

/* --- FIDEDUPERANGE --- */
static void deduplication(void)
{
	int from = create(), to = create(), stranger = create();
	char *map;

	write_pages(from, 0, PAGES_, 1);
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	/* The clone writes again what is there: it has its own, which is given back. */
	map = object_map(to, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned int i = 0; i < 32; i++)
		fill_page(map + i * PAGE, i, 1);
	CHECK_EQ(own(to), 32);
	CHECK_EQ(dedupe(to, from, 0, 16 * PAGE), 16 * PAGE);
	CHECK_EQ(own(to), 16);
	CHECK(are(to, 0, PAGES_, 1) && page_is(map, 0, 1));
	/* What was merged is not taken for its own: a write copies. */
	fill_page(map, 0, 2);
	CHECK(are(from, 0, 1, 1) && are(to, 0, 1, 2));
	CHECK_EQ(own(to), 17);
	/* Different bytes stay. */
	CHECK_EQ(dedupe(to, from, 0, 2 * PAGE), FILE_DEDUPE_RANGE_DIFFERS);
	CHECK(are(to, 0, 1, 2) && are(from, 0, 1, 1));
	/* What is out comes in to be compared. */
	CHECK_EQ(posix_fadvise(to, 20 * PAGE, 4 * PAGE, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(dedupe(to, from, 16 * PAGE, 16 * PAGE), 16 * PAGE);
	CHECK_EQ(own(to), 1);
	/* Zeroes and holes are the same. */
	CHECK_EQ(fallocate(to, FALLOC_FL_ZERO_RANGE, 40 * PAGE, PAGE), 0);
	CHECK_EQ(fallocate(from, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 40 * PAGE, PAGE), 0);
	CHECK_EQ(own(to), 2);
	CHECK_EQ(dedupe(to, from, 40 * PAGE, PAGE), PAGE);
	CHECK_EQ(own(to), 1);
	CHECK_EQ(lseek(to, 40 * PAGE, SEEK_HOLE), 40 * PAGE);
	/* Errors. */
	CHECK_EQ(dedupe(to, from, 1, PAGE), -EINVAL);
	CHECK_EQ(dedupe(to, from, 0, SIZE + PAGE), -EINVAL);
	CHECK_EQ(dedupe(to, from, PAGE, 100), -EINVAL);
	write_pages(stranger, 0, 4, 1);
	CHECK_EQ(dedupe(stranger, from, 0, PAGE), -EOPNOTSUPP);
	munmap(map, SIZE);
	close(stranger);
	close(to);
	close(from);
}

/* What a snapshot has stays, whoever asks; and what is written while files are compared is not lost. */
static void deduplication_loses_nothing(void)
{
	const unsigned int turns = fewer_if_debug(400);
	int from = create(), to = create(), then, status;
	char ones[PAGE], twos[PAGE], page[PAGE];
	pid_t child;

	write_pages(from, 0, 4, 1);
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	then = snapshot(to);
	CHECK_EQ(dedupe(then, from, 0, PAGE), -EROFS);
	close(then);
	fill_page(ones, 0, 1);
	fill_page(twos, 0, 2);
	child = fork();
	MUST(child >= 0);
	if (!child)
		for (;;)
			dedupe(to, from, 0, PAGE);
	for (unsigned int i = 0; i < turns; i++) {
		MUST(pwrite(to, twos, PAGE, 0) == PAGE);
		CHECK(pread(to, page, PAGE, 0) == PAGE && !memcmp(page, twos, PAGE));
		MUST(pwrite(to, ones, PAGE, 0) == PAGE);
		MUST(pwrite(to, "two", 3, 0) == 3);
		CHECK(pread(to, page, PAGE, 0) == PAGE && !memcmp(page, "two", 3));
	}
	kill(child, SIGKILL);
	MUST(waitpid(child, &status, 0) == child);
	close(to);
	close(from);
}

/* Nor what is stored through a mapping that has neither an entry nor a page table yet. */
static void deduplication_loses_no_store(void)
{
	const unsigned int turns = debug_kernel() ? 500 : 4000;
	int from = create(), to = create(), status;
	char ones[PAGE];
	pid_t child;

	write_pages(from, 0, 1, 1);
	CHECK_EQ(ioctl(to, FICLONE, from), 0);
	fill_page(ones, 0, 1);
	child = fork();
	MUST(child >= 0);
	if (!child)
		for (;;)
			dedupe(to, from, 0, PAGE);
	for (unsigned int i = 0; i < turns && !test_failed; i++) {
		uint64_t stored = i + 2, found;
		char *map;

		MUST(pwrite(to, ones, PAGE, 0) == PAGE);
		map = object_map(to, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		*(volatile uint64_t *)map = stored;
		munmap(map, PAGE);
		CHECK(pread(to, &found, sizeof(found), 0) == sizeof(found) && found == stored);
	}
	kill(child, SIGKILL);
	MUST(waitpid(child, &status, 0) == child);
	close(to);
	close(from);
}

/*
 * The holder of a clone has a file of his own come to the clone's relatives: neither it nor what
 * comes of it tells of them, or has them paged out.
 */
static void who_joins_oversees_nothing(void)
{
	int template = create(), own_file = create(), clone, then, mine;
	struct cowmem_page_out out;

	write_pages(template, 0, 4, 1);
	clone = clone_of(template);
	write_pages(own_file, 0, 1, 2);
	CHECK_EQ(clone_to(clone, own_file, 0, PAGE), 0);
	then = snapshot(clone);
	CHECK_EQ(restore(own_file, then), 0);
	CHECK(are(own_file, 1, 3, 1));
	mine = snapshot(own_file);
	CHECK_EQ(page_out_ask(mine, &out, COWMEM_PAGE_OUT_ACCESSED, 1, 3), 0);
	CHECK_EQ(out.out, 0);
	CHECK_EQ(own(mine), 0);
	close(mine);
	close(then);
	close(clone);
	close(own_file);
	close(template);
}

/* Two files become relatives by two calls at once, one from the other: both find the same family. */
static void crossing(void)
{
	for (unsigned int i = 0; i < fewer_if_debug(200); i++) {
		int a = create(), b = create(), status;
		pid_t child;

		write_pages(a, 0, 2, 1);
		write_pages(b, 0, 2, 1);
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(!!ioctl(a, FICLONE, b));
		CHECK_EQ(ioctl(b, FICLONE, a), 0);
		MUST(waitpid(child, &status, 0) == child);
		CHECK_EQ(status, 0);
		close(a);
		close(b);
	}
}

/* What keeps a path of an object, and no file, keeps the module. */
static void paths_keep_the_module(void)
{
	char path[32], count[16] = "";
	int fd = create(), only_path, file;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	only_path = open(path, O_PATH | O_CLOEXEC);
	MUST(only_path >= 0);
	close(fd);
	file = open("/sys/module/cowmem/refcnt", O_RDONLY | O_CLOEXEC);
	MUST(file >= 0 && read(file, count, sizeof(count) - 1) > 0);
	CHECK_EQ(strtol(count, NULL, 10), 1);
	close(only_path);
	CHECK(COMES(pread(file, count, sizeof(count) - 1, 0) > 0 && !strtol(count, NULL, 10)));
	close(file);
}

/* --- what a mount's size counts --- */
static long used(void)
{
	struct statfs fs;

	MUST(!statfs(MOUNT, &fs));
	return fs.f_blocks - fs.f_bfree;
}

static void space_is_exact(void)
{
	struct counts before = counts_now();
	struct statfs fs;
	int a, b, then, c;
	char page[PAGE], *map;

	MUST(!mkdir(MOUNT, 0755) || errno == EEXIST);
	CHECK_ERRNO(mount("none", MOUNT, "cowmem", 0, "size=100x"), EINVAL);
	CHECK_ERRNO(mount("none", MOUNT, "cowmem", 0, "nr_inodes=5x"), EINVAL);
	CHECK_ERRNO(mount("none", MOUNT, "cowmem", 0, "what=1"), EINVAL);
	MUST(!mount("none", MOUNT, "cowmem", 0, "size=400k,nr_inodes=5"));
	MUST(!statfs(MOUNT, &fs));
	CHECK_EQ(fs.f_blocks, 100);
	CHECK_EQ(fs.f_bfree, 100);
	CHECK_EQ(fs.f_files, 5);
	CHECK_EQ(fs.f_ffree, 4);
	CHECK_EQ(fs.f_bsize, PAGE);
	a = open(MOUNT "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	b = open(MOUNT "/b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(a >= 0 && b >= 0);
	write_pages(a, 0, 40, 1);
	CHECK_EQ(used(), 40);
	CHECK_EQ(ioctl(b, FICLONE, a), 0);
	CHECK_EQ(used(), 40);
	write_pages(b, 0, 10, 2);
	CHECK_EQ(used(), 50);
	/* Paged out, and in, and written again. */
	CHECK_EQ(posix_fadvise(b, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(own(b), 0);
	CHECK_EQ(used(), 50);
	CHECK(are(b, 0, 10, 2) && are(b, 10, 30, 1));
	write_pages(b, 0, 5, 3);
	CHECK_EQ(used(), 50);
	/* A snapshot of it is counted as an inode, and its pages once. */
	then = snapshot(b);
	MUST(!statfs(MOUNT, &fs));
	CHECK_EQ(fs.f_ffree, 1);
	write_pages(b, 0, 20, 4);
	CHECK_EQ(used(), 70);
	/* It gets a name. */
	CHECK_EQ(linkat(then, "", AT_FDCWD, MOUNT "/then", AT_EMPTY_PATH), 0);
	CHECK_EQ(stat_of(then).st_nlink, 1);
	close(then);
	CHECK_ERRNO(open(MOUNT "/then", O_RDWR | O_CLOEXEC), EROFS);
	then = open(MOUNT "/then", O_RDONLY | O_CLOEXEC);
	MUST(then >= 0);
	CHECK(are(then, 0, 5, 3) && are(then, 5, 5, 2) && are(then, 10, 30, 1));
	CHECK_EQ(used(), 70);
	/* The limit is not moved below what is used. */
	CHECK_ERRNO(mount("none", MOUNT, NULL, MS_REMOUNT, "size=276k"), EINVAL);
	CHECK_EQ(mount("none", MOUNT, NULL, MS_REMOUNT, "size=280k"), 0);
	CHECK_ERRNO(pwrite(b, "x", 1, 25 * PAGE), ENOSPC);
	CHECK_EQ(mount("none", MOUNT, NULL, MS_REMOUNT, "size=400k"), 0);
	/* Full: neither write(), nor a store, nor a copy of what is shared takes more. */
	c = open(MOUNT "/c", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(c >= 0);
	write_pages(c, 0, 30, 5);
	CHECK_EQ(used(), 100);
	CHECK_ERRNO(pwrite(c, "x", 1, 30 * PAGE), ENOSPC);
	CHECK_ERRNO(pwrite(b, "x", 1, 30 * PAGE), ENOSPC);
	CHECK_ERRNO(fallocate(c, 0, 0, 31 * PAGE), ENOSPC);
	CHECK_EQ(stat_of(c).st_size, 30 * PAGE);
	map = object_map(b, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	{
		int status;
		pid_t child = fork();

		MUST(child >= 0);
		if (!child) {
			signal(SIGBUS, SIG_DFL);
			map[30 * PAGE] = 1;
			_exit(0);
		}
		MUST(waitpid(child, &status, 0) == child);
		CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	}
	CHECK_EQ(used(), 100);
	CHECK(are(b, 30, 10, 1) && are(c, 0, 30, 5));
	map[0] = map[0]; /* its own already */
	CHECK_ERRNO(open(MOUNT "/d", O_RDWR | O_CREAT | O_CLOEXEC, 0600), ENOSPC);
	CHECK_ERRNO(relative(c, COWMEM_IOC_SNAPSHOT), ENOSPC);
	CHECK_ERRNO(relative(c, COWMEM_IOC_CLONE), ENOSPC);
	/* And back. */
	CHECK_EQ(unlink(MOUNT "/c"), 0);
	CHECK_EQ(used(), 100);
	close(c);
	CHECK_EQ(used(), 70);
	munmap(map, SIZE);
	close(b);
	CHECK_EQ(unlink(MOUNT "/b"), 0);
	CHECK_EQ(used(), 50);
	CHECK_ERRNO(umount(MOUNT), EBUSY);
	CHECK_EQ(pread(a, page, PAGE, 0), PAGE);
	close(a);
	close(then);
	CHECK_EQ(unlink(MOUNT "/a"), 0);
	CHECK_EQ(used(), 40);
	CHECK_EQ(unlink(MOUNT "/then"), 0);
	CHECK_EQ(used(), 0);
	MUST(!statfs(MOUNT, &fs));
	CHECK_EQ(fs.f_ffree, 4);
	CHECK_EQ(umount(MOUNT), 0);
	check_returned(before);
}

/* Every file of a mount's object keeps it mounted, and a writable one keeps it writable. */
static void busy(void)
{
	int fd, file, clone, unnamed;
	char path[32];

	MUST(!mount("none", MOUNT, "cowmem", 0, "size=1m"));
	fd = open(MOUNT "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	write_pages(fd, 0, 4, 1);
	file = object_file(fd);
	clone = clone_of(fd);
	MUST(file >= 0);
	CHECK_EQ(stat_of(file).st_ino, stat_of(fd).st_ino);
	close(fd);
	CHECK_ERRNO(umount(MOUNT), EBUSY);
	CHECK_ERRNO(mount("none", MOUNT, NULL, MS_REMOUNT | MS_RDONLY, ""), EBUSY);
	close(file);
	CHECK_ERRNO(mount("none", MOUNT, NULL, MS_REMOUNT | MS_RDONLY, ""), EBUSY);
	CHECK_EQ(linkat(clone, "", AT_FDCWD, MOUNT "/clone", AT_EMPTY_PATH), 0);
	CHECK_ERRNO(mount("none", MOUNT, NULL, MS_REMOUNT | MS_RDONLY, ""), EBUSY);
	CHECK_ERRNO(umount(MOUNT), EBUSY);
	close(clone);
	/* What was made never to have a name gets none. */
	unnamed = open(MOUNT, O_RDWR | O_TMPFILE | O_EXCL | O_CLOEXEC, 0600);
	MUST(unnamed >= 0);
	CHECK_ERRNO(linkat(unnamed, "", AT_FDCWD, MOUNT "/no", AT_EMPTY_PATH), ENOENT);
	close(unnamed);
	unnamed = open(MOUNT, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	MUST(unnamed >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", unnamed);
	CHECK_EQ(linkat(AT_FDCWD, path, AT_FDCWD, MOUNT "/yes", AT_SYMLINK_FOLLOW), 0);
	close(unnamed);
	/* An object is no place for what is paged out of objects. */
	MUST(!truncate(MOUNT "/yes", 64 * PAGE));
	CHECK(!write_text("/sys/module/cowmem/parameters/backing", MOUNT "/yes"));
	CHECK_EQ(errno, EPERM);
	CHECK_EQ(mount("none", MOUNT, NULL, MS_REMOUNT | MS_RDONLY, ""), 0);
	CHECK_ERRNO(open(MOUNT "/clone", O_RDWR | O_CLOEXEC), EROFS);
	fd = open(MOUNT "/clone", O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	CHECK(are(fd, 0, 4, 1));
	close(fd);
	CHECK_EQ(umount(MOUNT), 0);
}

static unsigned long used_of_mount(void)
{
	struct statfs fs;

	MUST(!statfs(MOUNT, &fs));
	return fs.f_blocks - fs.f_bfree;
}

/*
 * fallocate() that finds no room gives back what it had taken; but not what somebody has stored
 * there meanwhile, through a mapping. Nobody sees a size that it does not come to have.
 */
static void failed_allocation_loses_nothing(void)
{
	const unsigned int turns = fewer_if_debug(1000);
	unsigned int failed = 0;
	pid_t child, watcher;
	int fd, status;
	char *map;

	MUST(!mount("none", MOUNT, "cowmem", 0, "size=160k,huge=never"));
	fd = open(MOUNT "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, SIZE));
	MUST(pwrite(fd, "first", 5, 5 * PAGE) == 5);
	map = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(map[9 * PAGE], 0); /* a page of zeroes, which nobody wrote */
	watcher = fork();
	MUST(watcher >= 0);
	while (!watcher)
		if (stat_of(fd).st_size != SIZE)
			_exit(1);
	child = fork();
	MUST(child >= 0);
	for (unsigned int i = 0; !child && i < turns; i++) {
		const off_t at = 16 * PAGE + i % 4 * PAGE;

		/* At any moment of the other's call, in which there may be no room. */
		for (volatile unsigned int spin = i * 131 % 20000; spin; spin--)
			;
		if (touch(map + at, true))
			continue;
		(void)!fallocate(fd, FALLOC_FL_KEEP_SIZE, at, PAGE); /* waits for that call's end */
		if (((volatile char *)map)[at] != 'x')
			_exit(1);
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, PAGE))
			_exit(2);
	}
	if (!child)
		_exit(0);
	do {
		CHECK_ERRNO(fallocate(fd, failed % 2 ? FALLOC_FL_KEEP_SIZE : 0, 0, SIZE + PAGE),
		            ENOSPC);
		failed++;
	} while (!waitpid(child, &status, WNOHANG));
	CHECK_EQ(status, 0);
	CHECK(failed > 3);
	CHECK_EQ(waitpid(watcher, NULL, WNOHANG), 0);
	MUST(!kill(watcher, SIGKILL) && waitpid(watcher, NULL, 0) == watcher);
	CHECK_EQ(stat_of(fd).st_size, SIZE);
	CHECK_EQ(used_of_mount(), 2);
	CHECK(!strcmp(map + 5 * PAGE, "first"));
	/* Nor does it hold what it would have given back: there is room for all of that. */
	CHECK_EQ(fallocate(fd, 0, 0, 40 * PAGE), 0);
	munmap(map, SIZE);
	close(fd);
	CHECK_EQ(umount(MOUNT), 0);
}

/* A fallocate() that is killed gives back all, also what has gone out by then; older pages stay. */
static void killed_allocation_gives_all_back(void)
{
	const off_t many = (off_t)(fewer_if_debug(65536) * PAGE);

	for (int grows = 0; grows < 2; grows++) {
		const off_t size = grows ? (off_t)(10 * PAGE) : many;
		int fd, status;
		pid_t child;

		MUST(!mount("none", MOUNT, "cowmem", 0, ""));
		fd = open(MOUNT "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
		MUST(fd >= 0 && !ftruncate(fd, size));
		write_pages(fd, 2, 3, 1);
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(fallocate(fd, grows ? 0 : FALLOC_FL_KEEP_SIZE, 0, many) ? 1 : 0);
		CHECK(COMES(used_of_mount() > 100));
		MUST(page_out_all(fd, 100) > 0);
		MUST(!kill(child, SIGKILL) && waitpid(child, &status, 0) == child);
		if (!WIFSIGNALED(status) && !status) {
			ksft_print_msg("it was done before the signal came\n");
			test_failed = true;
		}
		CHECK_EQ(used_of_mount(), 3);
		CHECK_EQ(stat_of(fd).st_size, size);
		CHECK(are(fd, 2, 3, 1));
		close(fd);
		CHECK_EQ(umount(MOUNT), 0);
	}
}

/* Files are freed with the mount. */
static void unmounted(void)
{
	struct counts before = counts_now();
	int fd;

	MUST(!mount("none", MOUNT, "cowmem", 0, ""));
	fd = open(MOUNT "/a", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	write_pages(fd, 0, PAGES_, 1);
	CHECK_EQ(posix_fadvise(fd, 0, SIZE / 2, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(mkdir(MOUNT "/d", 0755), 0);
	CHECK_EQ(link(MOUNT "/a", MOUNT "/d/a"), 0);
	close(fd);
	fd = open(MOUNT "/d/b", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0);
	close(fd);
	CHECK(write_text("/proc/sys/vm/drop_caches", "3"));
	CHECK_EQ(umount(MOUNT), 0);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"FICLONE: no memory, and each goes its own way", "", whole_file},
	{"FICLONERANGE: ranges, holes, what is out, a snapshot", "", ranges},
	{"FICLONE: what is refused", "", refused},
	{"FICLONE: of one moment", "", of_one_moment},
	{"FIDEDUPERANGE", "", deduplication},
	{"FIDEDUPERANGE loses nothing", "", deduplication_loses_nothing},
	{"FIDEDUPERANGE loses no store", "", deduplication_loses_no_store},
	{"FICLONE: who joins oversees nothing", "", who_joins_oversees_nothing},
	{"FICLONE: each from the other at once", "", crossing},
	{"a path keeps the module", "", paths_keep_the_module},
	{"a mount's size is exact", "", space_is_exact},
	{"what keeps a mount busy", "", busy},
	{"fallocate() that fails loses nothing", "", failed_allocation_loses_nothing},
	{"fallocate() that is killed gives all back", "", killed_allocation_gives_all_back},
	{"files go with the mount", "", unmounted},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
