// SPDX-License-Identifier: GPL-2.0
/*
 * An object that is a regular file (COWMEM_IOC_CREATE) is as a memfd is: each row of the table
 * makes the same system calls on both, and all that these give must be the same, but for what
 * `differences` lists. A listed difference that is none fails, too.
 *
 * calls [MAKE]: of what make the other file is (makes.h), instead of COWMEM. Then nothing may
 * differ: with MEMFD that shows that the rows themselves always give the same.
 */
#include "alike.h"
#include "bus.h"
#include "makes.h"
#include "passing.h"

#include <grp.h>
#include <linux/aio_abi.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/loop.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>

#define PAGES(n) ((n) * PAGE)

/* What a program says that is run out of a file (executes). */
#define LEAVE "leave"
enum { LEFT = 42 };

/* Volatile, lest the compiler warn of what we do with them. */
static volatile int bad_counts[] = {-1, 1025};

/* What make the files are of that are asked just now. */
static const char *make;

static int another(void)
{
	return new_file(make);
}

/* 0, or -1: whether a mapping can be had. It goes again. */
static int maps(int fd, size_t length, int prot, int flags, off_t offset)
{
	void *p = mmap(NULL, length, prot, flags, fd, offset);

	return p == MAP_FAILED ? -1 : munmap(p, length);
}

static char *map_all(int fd, size_t length, int flags)
{
	return object_map(fd, length, PROT_READ | PROT_WRITE, flags);
}

static int tmp_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	return fd;
}

static int reopen(int fd, int flags)
{
	return open(name_of(fd), flags | O_CLOEXEC, 0600);
}

/* Opens it once more, and closes that: 0, or -1. */
static int opens(int fd, int flags)
{
	int again = reopen(fd, flags);

	return again < 0 ? -1 : close(again);
}

/* --- what a file has in it --- */
enum { LOOKED_AT = 64 * 4096 };

/* A number that stands for the bytes, up to LOOKED_AT, behind @p. */
static long long sum_of(const void *p, size_t length)
{
	const unsigned char *byte = p;
	uint64_t sum = 0xcbf29ce484222325ULL;

	for (size_t i = 0; i < length; i++)
		sum = (sum ^ byte[i]) * 0x100000001b3ULL;
	return (long long)(sum >> 2);
}

static long long bytes_of(int fd)
{
	static char bytes[LOOKED_AT];
	ssize_t length = pread(fd, bytes, sizeof(bytes), 0);

	return length < 0 ? -1 : sum_of(bytes, (size_t)length);
}

/* Where the data and the holes begin, as one number. */
static long long holes_of(int fd)
{
	off_t at[64] = {0};
	size_t n = 0;

	for (off_t from = 0; n < ARRAY_LENGTH(at) && from >= 0; n++)
		from = at[n] = lseek(fd, from, n % 2 ? SEEK_HOLE : SEEK_DATA);
	return sum_of(at, sizeof(at));
}

static struct stat stat_of(int fd)
{
	struct stat st;

	MUST(!fstat(fd, &st));
	return st;
}

#define LOOK(answers, fd, ...)                                                     \
	do {                                                                       \
		const char *after_ = text_of(__VA_ARGS__);                         \
		ASK_AS(answers, stat_of(fd).st_size, "size after %s", after_);     \
		ASK_AS(answers, stat_of(fd).st_blocks, "blocks after %s", after_); \
		ASK_AS(answers, bytes_of(fd), "bytes after %s", after_);           \
		ASK_AS(answers, holes_of(fd), "holes after %s", after_);           \
	} while (0)

/* Makes the call as a user who is nobody: 0, or -1. */
static int as_nobody(int (*call)(int fd), int fd)
{
	enum { NOBODY = 65534 };
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		if (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) ||
		    setresuid(NOBODY, NOBODY, NOBODY) || prctl(PR_SET_DUMPABLE, 1))
			_exit(255);
		_exit(call(fd) < 0 ? errno : 0);
	}
	MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
	errno = WEXITSTATUS(status);
	MUST(errno != 255);
	return errno ? -1 : 0;
}

/* Makes the call in a child: what it gives, or -1. */
static int in_child(int (*call)(int fd), int fd)
{
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		const int result = call(fd);

		_exit(result < 0 ? 128 + errno : result);
	}
	MUST(waitpid(child, &status, 0) == child);
	if (WIFSIGNALED(status))
		return 1000 + WTERMSIG(status);
	if (WEXITSTATUS(status) < 128)
		return WEXITSTATUS(status);
	errno = WEXITSTATUS(status) - 128;
	return -1;
}

/* --- what it is --- */
static void ask_stat(struct answers *answers, int fd, const char *after)
{
	const struct stat st = stat_of(fd);

	ASK_AS(answers, st.st_mode, "mode after %s", after);
	ASK_AS(answers, st.st_nlink, "nlink after %s", after);
	ASK_AS(answers, st.st_uid, "uid after %s", after);
	ASK_AS(answers, st.st_gid, "gid after %s", after);
	ASK_AS(answers, st.st_rdev, "rdev after %s", after);
	ASK_AS(answers, st.st_size, "size after %s", after);
	ASK_AS(answers, st.st_blksize, "blksize after %s", after);
	ASK_AS(answers, st.st_blocks, "blocks after %s", after);
	ASK_AS(answers, st.st_ino != 0, "ino after %s", after);
}

static void is_told_of(struct answers *answers, int fd, int arg)
{
	const struct stat first = stat_of(fd);
	int again = reopen(fd, O_RDONLY), other = another();

	(void)arg;
	ask_stat(answers, fd, "creation");
	MUST(!fchmod(fd, 0777));
	make_image(fd);
	ask_stat(answers, fd, "writing");
	ASK(answers, ftruncate(fd, PAGES(100)));
	ask_stat(answers, fd, "growing");
	ASK(answers, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGES(4), PAGE));
	ask_stat(answers, fd, "punching");
	ASK(answers, ftruncate(fd, PAGES(1) + 1));
	ask_stat(answers, fd, "shrinking");
	MUST(again >= 0);
	ASK(answers, stat_of(again).st_ino == first.st_ino);
	ASK(answers, stat_of(again).st_dev == first.st_dev);
	ASK(answers, stat_of(other).st_ino != first.st_ino);
	ASK(answers, stat_of(other).st_dev == first.st_dev);
	ask_stat(answers, again, "opening again");
	close(again);
	close(other);
}

static void is_told_more_of(struct answers *answers, int fd, int arg)
{
	struct statx st = {0};

	(void)arg;
	make_image(fd);
	ASK(answers, statx(fd, "", AT_EMPTY_PATH, STATX_ALL | STATX_DIOALIGN, &st));
	ASK(answers, st.stx_mask);
	ASK(answers, st.stx_attributes);
	ASK(answers, st.stx_attributes_mask);
	ASK(answers, st.stx_mode);
	ASK(answers, st.stx_size);
	ASK(answers, st.stx_blocks);
	ASK(answers, st.stx_btime.tv_sec != 0);
	ASK(answers, st.stx_dio_mem_align);
	ASK(answers, st.stx_dio_offset_align);
	ASK(answers, statx(fd, "x", 0, STATX_SIZE, &st));
	ASK(answers, statx(fd, "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &st));
}

static void has_a_file_system(struct answers *answers, int fd, int arg)
{
	struct statfs st;

	(void)arg;
	ASK(answers, fstatfs(fd, &st));
	ASK(answers, st.f_type);
	ASK(answers, st.f_bsize);
	ASK(answers, st.f_frsize);
	ASK(answers, st.f_blocks);
	ASK(answers, st.f_bfree);
	ASK(answers, st.f_files);
	ASK(answers, st.f_ffree);
	ASK(answers, st.f_namelen);
	ASK(answers, st.f_flags);
	ASK(answers, fpathconf(fd, _PC_NAME_MAX));
	ASK(answers, fpathconf(fd, _PC_LINK_MAX));
	ASK(answers, fpathconf(fd, _PC_REC_XFER_ALIGN));
}

/* As /proc has it: "/MAKE:file (deleted)". */
static bool is_its_name(const char *text)
{
	char name[64];

	snprintf(name, sizeof(name), "/%s:file (deleted)", make);
	return !strcmp(text, name);
}

static void has_a_name(struct answers *answers, int fd, int arg)
{
	char *p = map_all(fd, PAGE, MAP_SHARED), line[512], name[128] = "", start[32];
	FILE *file = fopen("/proc/self/maps", "re");

	(void)arg;
	ASK(answers, readlink(name_of(fd), name, sizeof(name) - 1) > 0);
	ASK(answers, is_its_name(name));
	MUST(file);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (fgets(line, sizeof(line), file)) {
		unsigned int major = 0, minor = 0;
		unsigned long inode = 0, offset = 1;
		char how[8] = "";
		int at = 0;

		if (strncmp(line, start, strlen(start)))
			continue;
		line[strcspn(line, "\n")] = 0;
		ASK(answers, sscanf(line, "%*x-%*x %7s %lx %x:%x %lu %n", how, &offset, &major,
		                    &minor, &inode, &at));
		ASK(answers, strcmp(how, "rw-s"));
		ASK(answers, offset);
		ASK(answers, inode == stat_of(fd).st_ino);
		ASK(answers, major == stat_of(fd).st_dev >> 8);
		ASK(answers, is_its_name(line + at));
	}
	fclose(file);
	munmap(p, PAGE);
}

/* What /proc/self/fdinfo says of any file, but for the mount and the inode. */
static void has_information(struct answers *answers, int fd, int arg)
{
	char path[64], line[256];
	unsigned long number = 0;
	FILE *file;

	(void)arg;
	MUST(lseek(fd, 77, SEEK_SET) == 77);
	MUST(!flock(fd, LOCK_EX));
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	MUST(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "pos: %lu", &number) == 1)
			ASK_AS(answers, number, "pos");
		else if (sscanf(line, "flags: %lo", &number) == 1)
			ASK_AS(answers, number, "flags");
		else if (!strncmp(line, "lock:", 5))
			ASK_AS(answers, 1, "a lock");
	fclose(file);
}

/* --- opening it again --- */
static void opens_again(struct answers *answers, int fd, int flags)
{
	char bytes[16] = "";
	int again;

	if (flags & O_DIRECT && !tmpfs_is_direct())
		return; /* ours are */
	make_image(fd);
	again = reopen(fd, flags);
	ASK(answers, again < 0 ? -1 : 0);
	LOOK(answers, fd, "opening");
	if (again < 0)
		return;
	ASK(answers, fcntl(again, F_GETFL));
	ASK(answers, lseek(again, 0, SEEK_CUR));
	ASK(answers, read(again, bytes, 10));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	ASK(answers, write(again, "hello", 5));
	ASK(answers, lseek(again, 0, SEEK_CUR));
	ASK(answers, pwrite(again, "there", 5, 3));
	ASK(answers, ftruncate(again, PAGES(5)));
	ASK(answers, fallocate(again, 0, 0, PAGES(2)));
	ASK(answers, maps(again, PAGE, PROT_READ, MAP_SHARED, 0));
	ASK(answers, maps(again, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, 0));
	ASK(answers, maps(again, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0));
	ASK(answers, lseek(fd, 0, SEEK_SET)); /* a position of its own */
	ASK(answers, lseek(again, 1, SEEK_SET));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	LOOK(answers, fd, "writing to it");
	close(again);
}

static void opens_from_a_mapping(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(3), MAP_SHARED), path[96], name[128] = "";
	int again;

	make_image(fd);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
	         (unsigned long)p + PAGES(3));
	again = open(path, flags | O_CLOEXEC);
	ASK(answers, again < 0 ? -1 : 0);
	ASK(answers, readlink(path, name, sizeof(name) - 1) > 0);
	ASK(answers, is_its_name(name));
	if (again >= 0) {
		ASK(answers, bytes_of(again));
		ASK(answers, stat_of(again).st_ino == stat_of(fd).st_ino);
		ASK(answers, pwrite(again, "x", 1, 5));
		ASK(answers, p[5]);
		close(again);
	}
	munmap(p, PAGES(3));
}

static int reads_it(int fd)
{
	return opens(fd, O_RDONLY);
}

static int writes_it(int fd)
{
	return opens(fd, O_WRONLY);
}

static int chmods_it(int fd)
{
	return fchmod(fd, 0777);
}

static int chowns_it(int fd)
{
	return fchown(fd, 65534, 65534);
}

static int touches_it(int fd)
{
	return futimens(fd, (struct timespec[2]){{1000, 0}, {1000, 0}});
}

static int touches_it_now(int fd)
{
	return futimens(fd, NULL);
}

static int appends_to_it(int fd)
{
	return write(fd, "x", 1) == 1 ? 0 : -1;
}

static int may_execute_it(int fd)
{
	return faccessat(fd, "", X_OK, AT_EMPTY_PATH | AT_EACCESS);
}

static void has_permissions(struct answers *answers, int fd, int mode)
{
	ASK(answers, fchmod(fd, (mode_t)mode));
	ASK(answers, stat_of(fd).st_mode);
	ASK(answers, opens(fd, O_RDWR)); /* root may */
	ASK(answers, as_nobody(reads_it, fd));
	ASK(answers, as_nobody(writes_it, fd));
	ASK(answers, as_nobody(may_execute_it, fd));
	ASK(answers, as_nobody(chmods_it, fd));
	ASK(answers, as_nobody(chowns_it, fd));
	ASK(answers, as_nobody(touches_it, fd));
	ASK(answers, as_nobody(touches_it_now, fd));
	ASK(answers, as_nobody(appends_to_it, fd)); /* the descriptor is open already */
	ASK(answers, stat_of(fd).st_mode);          /* set-user-ID went */
	ASK(answers, fchown(fd, 65534, 65534));
	ASK(answers, stat_of(fd).st_mode);
	ASK(answers, stat_of(fd).st_uid);
	ASK(answers, stat_of(fd).st_gid);
	ASK(answers, as_nobody(reads_it, fd));
	ASK(answers, as_nobody(chmods_it, fd));
	ASK(answers, as_nobody(touches_it, fd));
	ASK(answers, stat_of(fd).st_mode);
	ASK(answers, fchown(fd, (uid_t)-1, 7));
	ASK(answers, stat_of(fd).st_gid);
	ASK(answers, fchmodat(AT_FDCWD, name_of(fd), 0400, 0));
	ASK(answers, stat_of(fd).st_mode);
	ASK(answers, faccessat(AT_FDCWD, name_of(fd), W_OK, 0));
}

/* --- its size --- */
static void is_truncated(struct answers *answers, int fd, int arg)
{
	static const off_t sizes[] = {
		0,
		1,
		PAGE - 1,
		PAGE,
		PAGES(3) + 5,
		PAGES(2) + 5,
		PAGES(2) + 100,
		PAGES(4),
		1L << 50,
		PAGES(5),
		-1,
		INT64_MIN,
		0,
	};
	char *p = map_all(fd, PAGES(8), MAP_SHARED);
	int only_read = reopen(fd, O_RDONLY), only_path = reopen(fd, O_PATH);

	(void)arg;
	make_image(fd);
	for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
		ASK_AS(answers, ftruncate(fd, sizes[i]), "ftruncate %lld", (long long)sizes[i]);
		LOOK(answers, fd, "ftruncate %lld", (long long)sizes[i]);
		for (int page = 0; page < 6; page++)
			ASK_AS(answers, touch(p + PAGES(page) + 50, page == 1),
			       "page %d after ftruncate %lld", page, (long long)sizes[i]);
	}
	ASK(answers, ftruncate(only_read, 1));
	ASK(answers, ftruncate(only_path, 1));
	ASK(answers, truncate(name_of(fd), PAGES(2)));
	ASK(answers, stat_of(fd).st_size);
	munmap(p, PAGES(8));
	close(only_read);
	close(only_path);
}

/* What lay behind the end is not seen when the file grows. */
static void grows_with_zeroes(struct answers *answers, int fd, int arg)
{
	char *p = map_all(fd, PAGES(2), MAP_SHARED);

	(void)arg;
	make_image(fd);
	ASK(answers, ftruncate(fd, 100));
	ASK(answers, p[99] == 0);
	ASK(answers, sum_of(p, PAGE));
	p[200] = 'x';
	ASK(answers, ftruncate(fd, 150));
	ASK(answers, ftruncate(fd, PAGES(1)));
	LOOK(answers, fd, "growing");
	ASK(answers, sum_of(p, PAGE));
	munmap(p, PAGES(2));
}

static void obeys_the_file_size_limit(struct answers *answers, int fd, int arg)
{
	struct rlimit was, limit;
	int file = tmp_file();
	off_t from = 0;

	(void)arg;
	MUST(!getrlimit(RLIMIT_FSIZE, &was));
	limit = (struct rlimit){.rlim_cur = PAGES(2) + 10, .rlim_max = was.rlim_max};
	make_image(file);
	MUST(!setrlimit(RLIMIT_FSIZE, &limit));
	ASK(answers, ftruncate(fd, PAGES(2) + 10));
	ASK(answers, ftruncate(fd, PAGES(2) + 11));
	ASK(answers, pwrite(fd, "0123456789", 10, PAGES(2) + 5));
	ASK(answers, pwrite(fd, "0123456789", 10, PAGES(2) + 10));
	ASK(answers, pwrite(fd, "0123456789", 10, PAGES(7)));
	ASK(answers, fallocate(fd, 0, 0, PAGES(3)));
	ASK(answers, fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PAGES(3)));
	ASK(answers, sendfile(fd, file, &from, PAGES(4)));
	LOOK(answers, fd, "all");
	MUST(!setrlimit(RLIMIT_FSIZE, &was));
	close(file);
}

static void is_allocated(struct answers *answers, int fd, int mode)
{
	static const struct {
		off_t offset, length;
	} ranges[] = {
		{0, PAGE},
		{PAGES(2), PAGES(2)},
		{PAGES(1) + 100, 200},
		{PAGES(1) + 100, PAGES(3)},
		{PAGES(3) - 1, 2},
		{PAGES(6), PAGES(1)},
		{PAGES(6) + 10, 1},
		{PAGES(8), PAGES(2)},
		{PAGES(10) + 1, 7},
		{1L << 40, PAGES(1)},
		{PAGE, 0},
		{-1, PAGE},
		{0, -1},
		{INT64_MAX, PAGE},
		{PAGE, INT64_MAX},
	};
	int only_read = reopen(fd, O_RDONLY), ends[2];
	char *p = map_all(fd, PAGES(8), MAP_SHARED);

	make_image(fd);
	for (int i = 0; i < 6; i++)
		ASK_AS(answers, touch(p + PAGES(i), false), "page %d before", i);
	for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
		const off_t offset = ranges[i].offset, length = ranges[i].length;

		/* Only what would take all memory is not tried. */
		if (length == INT64_MAX && !(mode & ~FALLOC_FL_KEEP_SIZE))
			continue;
		ASK_AS(answers, fallocate(fd, mode, offset, length), "fallocate(%lld, %lld)",
		       (long long)offset, (long long)length);
		LOOK(answers, fd, "fallocate(%lld, %lld)", (long long)offset, (long long)length);
		if (stat_of(fd).st_size >= (off_t)PAGES(6))
			ASK_AS(answers, sum_of(p, PAGES(6)), "mapping after (%lld, %lld)",
			       (long long)offset, (long long)length);
	}
	ASK(answers, fallocate(only_read, mode, 0, PAGE));
	MUST(!pipe2(ends, O_CLOEXEC));
	ASK(answers, fallocate(ends[1], mode, 0, PAGE));
	close(ends[0]);
	close(ends[1]);
	close(only_read);
	munmap(p, PAGES(8));
}

/* To be given zeroes, in memory. */
static void is_zeroed(struct answers *answers, int fd, int mode)
{
	make_image(fd);
	ASK(answers, fallocate(fd, mode, PAGES(1) + 5, PAGES(2)));
}

/* The last bytes that there can be. */
static void is_as_large_as_can_be(struct answers *answers, int fd, int arg)
{
	const int other = another();
	loff_t in = 0, out = INT64_MAX - 5;

	(void)arg;
	make_image(other);
	ASK(answers, lseek(fd, INT64_MAX, SEEK_SET));
	ASK(answers, lseek(fd, INT64_MAX - PAGE, SEEK_SET));
	ASK(answers, ftruncate(fd, INT64_MAX));
	ASK(answers, ftruncate(fd, INT64_MAX - PAGE));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, copy_file_range(other, &in, fd, &out, PAGE, 0));
	ASK(answers,
	    fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, INT64_MAX - PAGE, PAGE));
	ASK(answers, fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, INT64_MAX - PAGE, PAGE));
	close(other);
}

/* --- reading and writing --- */
static void reads_and_writes(struct answers *answers, int fd, int arg)
{
	char *pages =
		mmap(NULL, PAGES(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int only_read = reopen(fd, O_RDONLY), only_write = reopen(fd, O_WRONLY);
	char bytes[64] = "";

	(void)arg;
	MUST(pages != MAP_FAILED && !munmap(pages + PAGE, PAGE));
	memset(pages, 'p', PAGE);
	ASK(answers, read(fd, bytes, 10));
	ASK(answers, write(fd, "hello", 5));
	ASK(answers, pread(fd, bytes, 10, 1));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	ASK(answers, pwrite(fd, "far", 3, PAGES(5) - 1));
	ASK(answers, pread(fd, bytes, 10, PAGES(5)));
	ASK(answers, pread(fd, bytes, 10, PAGES(9)));
	ASK(answers, pread(fd, bytes, 10, -1));
	ASK(answers, pwrite(fd, bytes, 10, -1));
	ASK(answers, pread(fd, bytes, 10, INT64_MAX));
	ASK(answers, pwrite(fd, bytes, 10, INT64_MAX));
	ASK(answers, pwrite(fd, bytes, 10, INT64_MAX - 5));
	ASK(answers, pread(fd, bytes, 0, 0));
	ASK(answers, pwrite(fd, bytes, 0, PAGES(9)));
	ASK(answers, pread(fd, NULL, 0, 0));
	LOOK(answers, fd, "some writes");
	ASK(answers, pwrite(fd, pages + PAGE - 10, 20, PAGES(2))); /* 10 of them are there */
	ASK(answers, pwrite(fd, pages + PAGE, 20, PAGES(3)));
	LOOK(answers, fd, "writes from nowhere");
	/* How many of the 10 there are is up to how the architecture copies, and how often that is tried. */
	ASK(answers, pread(fd, pages + PAGE - 10, 20, 0) > 0);
	ASK(answers, pread(fd, pages + PAGE, 20, 0));
	ASK(answers, sum_of(pages, PAGE - 10));
	ASK(answers, read(only_write, bytes, 1));
	ASK(answers, pread(only_write, bytes, 1, 0));
	ASK(answers, write(only_read, bytes, 1));
	ASK(answers, pwrite(only_read, bytes, 1, 0));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	munmap(pages, PAGE);
	close(only_read);
	close(only_write);
}

static void reads_and_writes_vectors(struct answers *answers, int fd, int arg)
{
	static struct iovec many[1025];
	static char bytes[1025];
	char one[3] = "", two[PAGE] = "", three[7] = "";
	const struct iovec from[] = {{"ab", 2}, {"", 0}, {"cdefg", 5}, {NULL, 0}};
	const struct iovec to[] = {{one, 3}, {two, PAGE}, {three, 7}};
	const struct iovec bad[] = {{one, 3}, {(void *)8, 5}};
	const struct iovec long_ones[] = {{one, INT64_MAX}, {two, INT64_MAX}};

	(void)arg;
	for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
		many[i] = (struct iovec){bytes + i, 1};
	memset(bytes, 'm', sizeof(bytes));
	make_image(fd);
	ASK(answers, writev(fd, from, ARRAY_LENGTH(from)));
	ASK(answers, writev(fd, from, 0));
	ASK(answers, writev(fd, from, bad_counts[0]));
	ASK(answers, writev(fd, bad, 2));
	ASK(answers, writev(fd, long_ones, 2));
	ASK(answers, pwritev(fd, from, 4, PAGES(2)));
	ASK(answers, pwritev(fd, many, 1024, PAGES(7) - 9));
	ASK(answers, pwritev(fd, many, bad_counts[1], 0));
	LOOK(answers, fd, "writing vectors");
	memset(one, 0, sizeof(one)), memset(two, 0, sizeof(two)), memset(three, 0, sizeof(three));
	ASK(answers, preadv(fd, to, 3, PAGE - 5));
	ASK(answers, sum_of(one, sizeof(one)));
	ASK(answers, sum_of(two, sizeof(two)));
	ASK(answers, sum_of(three, sizeof(three)));
	ASK(answers, readv(fd, to, 3));
	ASK(answers, preadv(fd, bad, 2, 0));
	ASK(answers, preadv(fd, to, 3, PAGES(6)));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
}

static void reads_and_writes_with(struct answers *answers, int fd, int flags)
{
	char bytes[10] = "";
	const struct iovec from = {"rwf", 3}, to = {bytes, 10};

	make_image(fd);
	ASK(answers, preadv2(fd, &to, 1, 5, flags));
	ASK(answers, preadv2(fd, &to, 1, PAGES(2), flags)); /* a hole */
	ASK(answers, preadv2(fd, &to, 1, -1, flags));
	ASK(answers, preadv2(fd, &to, 1, PAGES(9), flags));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	ASK(answers, pwritev2(fd, &from, 1, 7, flags));
	ASK(answers, pwritev2(fd, &from, 1, PAGES(3), flags));
	ASK(answers, pwritev2(fd, &from, 1, -1, flags));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	LOOK(answers, fd, "writing");
	ASK(answers, fcntl(fd, F_SETFL, O_APPEND));
	ASK(answers, pwritev2(fd, &from, 1, 7, flags));
	LOOK(answers, fd, "appending");
}

static void writes_with_flag(struct answers *answers, int fd, int flag)
{
	char *bytes =
		mmap(NULL, PAGES(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(bytes != MAP_FAILED);
	make_image(fd);
	ASK(answers, fcntl(fd, F_SETFL, flag));
	ASK(answers, fcntl(fd, F_GETFL));
	ASK(answers, write(fd, bytes, PAGE));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	ASK(answers, pwrite(fd, "abc", 3, 1));
	ASK(answers, pwrite(fd, bytes + 1, PAGE, PAGE));
	ASK(answers, pwrite(fd, bytes, PAGE, PAGES(3) + 512));
	ASK(answers, pread(fd, bytes, PAGE, 0));
	ASK(answers, pread(fd, bytes + 3, 5, 9));
	LOOK(answers, fd, "writing");
	munmap(bytes, PAGES(2));
}

/* To and from what is mapped of it, the same pages and others. */
static void reads_and_writes_its_mapping(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(8), flags);

	make_image(fd);
	ASK(answers, ftruncate(fd, PAGES(8)));
	ASK(answers, pwrite(fd, p, PAGES(2), PAGE));
	LOOK(answers, fd, "writing its mapping over itself");
	ASK(answers, pwrite(fd, p + 5, PAGE, 5));
	ASK(answers, pwrite(fd, p + PAGES(3), PAGE, PAGES(7)));
	LOOK(answers, fd, "writing a hole of its mapping");
	ASK(answers, pread(fd, p + 100, PAGES(2), 200));
	ASK(answers, pread(fd, p + PAGES(4), PAGE, PAGES(4)));
	ASK(answers, sum_of(p, PAGES(8)));
	LOOK(answers, fd, "reading into its mapping");
	ASK(answers, ftruncate(fd, PAGES(2)));
	ASK(answers, pwrite(fd, p + PAGES(2) - 10, 20, 0)); /* ends where the file does */
	ASK(answers, pread(fd, p + PAGES(4), 20, 0));
	LOOK(answers, fd, "writing from behind the end");
	munmap(p, PAGES(8));
}

static void seeks(struct answers *answers, int fd, int whence)
{
	static const off_t offsets[] = {
		-1,
		0,
		1,
		PAGE - 1,
		PAGE,
		PAGES(2) - 1,
		PAGES(2),
		PAGES(3),
		PAGES(4),
		PAGES(4) + 9,
		PAGES(6),
		PAGES(6) + 9,
		PAGES(6) + 10,
		PAGES(6) + 11,
		PAGES(40),
		1L << 62,
		INT64_MIN,
		-PAGES(1),
	};

	make_image(fd);
	for (size_t i = 0; i < ARRAY_LENGTH(offsets); i++) {
		ASK_AS(answers, lseek(fd, offsets[i], whence), "lseek %lld", (long long)offsets[i]);
		ASK_AS(answers, lseek(fd, 0, SEEK_CUR), "place after lseek %lld",
		       (long long)offsets[i]);
	}
	ASK(answers, ftruncate(fd, PAGES(40)));
	ASK(answers, lseek(fd, PAGES(7), whence));
	ASK(answers, lseek(fd, PAGES(30) + 1, whence));
}

/* --- from file to file --- */
static void is_sent(struct answers *answers, int fd, int arg)
{
	int file = tmp_file(), other = another(), ends[2], sockets[2];
	char bytes[100] = "";
	off_t at = 0;

	(void)arg;
	make_image(fd);
	ASK(answers, sendfile(file, fd, &at, IMAGE + 100));
	ASK(answers, at);
	ASK(answers, bytes_of(file));
	ASK(answers, sendfile(file, fd, &at, 1));
	at = PAGES(2) + 7;
	ASK(answers, sendfile(other, fd, &at, PAGES(2)));
	LOOK(answers, other, "sending to another of its kind");
	ASK(answers, sendfile(fd, file, NULL, 10));
	ASK(answers, lseek(file, 0, SEEK_SET));
	ASK(answers, lseek(fd, PAGES(8), SEEK_SET));
	ASK(answers, sendfile(fd, file, NULL, IMAGE));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	LOOK(answers, fd, "receiving");
	at = 0;
	ASK(answers, lseek(fd, PAGES(1), SEEK_SET));
	ASK(answers, sendfile(fd, fd, &at, PAGES(1)));
	LOOK(answers, fd, "sending to itself");
	at = -1;
	ASK(answers, sendfile(file, fd, &at, 1));
	MUST(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets));
	at = PAGE - 50;
	ASK(answers, sendfile(ends[1], fd, &at, 100));
	ASK(answers, read(ends[0], bytes, 100));
	ASK(answers, sum_of(bytes, 100));
	at = PAGES(2) - 50;
	ASK(answers, sendfile(sockets[0], fd, &at, 100));
	ASK(answers, read(sockets[1], bytes, 100));
	ASK(answers, sum_of(bytes, 100));
	at = 0;
	ASK(answers, fcntl(fd, F_SETFL, O_APPEND));
	ASK(answers, sendfile(fd, file, &at, 10));
	close(ends[0]), close(ends[1]), close(sockets[0]), close(sockets[1]);
	close(file), close(other);
}

static void is_spliced(struct answers *answers, int fd, int arg)
{
	static char bytes[PAGES(4)];
	int ends[2], more[2];
	loff_t at = PAGE + 10;

	(void)arg;
	make_image(fd);
	MUST(!pipe2(ends, O_CLOEXEC | O_NONBLOCK) && !pipe2(more, O_CLOEXEC | O_NONBLOCK));
	ASK(answers, splice(fd, &at, ends[1], NULL, PAGES(2), 0));
	ASK(answers, at);
	ASK(answers, tee(ends[0], more[1], PAGES(2), SPLICE_F_NONBLOCK));
	/* What is in the pipe is the file's page, as long as that is not another one. */
	ASK(answers, pwrite(fd, "later", 5, PAGE + 20));
	ASK(answers, read(more[0], bytes, sizeof(bytes)));
	ASK(answers, sum_of(bytes, PAGES(2)));
	at = PAGES(9) + 3;
	ASK(answers, splice(ends[0], NULL, fd, &at, PAGE, 0));
	ASK(answers, at);
	LOOK(answers, fd, "splicing into it");
	ASK(answers, lseek(fd, PAGES(4), SEEK_SET));
	ASK(answers, splice(ends[0], NULL, fd, NULL, PAGE, SPLICE_F_MOVE));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	LOOK(answers, fd, "moving into it");
	ASK(answers, splice(fd, NULL, ends[1], NULL, 10, 0));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	at = PAGES(20);
	ASK(answers, splice(fd, &at, ends[1], NULL, 10, 0));
	at = -1;
	ASK(answers, splice(fd, &at, ends[1], NULL, 10, 0));
	ASK(answers, splice(fd, NULL, fd, NULL, 10, 0));
	ASK(answers, fcntl(fd, F_SETFL, O_APPEND));
	ASK(answers, splice(ends[0], NULL, fd, NULL, 10, 0));
	close(ends[0]), close(ends[1]), close(more[0]), close(more[1]);
}

static void is_vmspliced(struct answers *answers, int fd, int flags)
{
	static char bytes[PAGES(2)];
	char *p = map_all(fd, PAGES(4), MAP_SHARED);
	struct iovec piece = {p + PAGE, PAGES(2)};
	int ends[2];

	make_image(fd);
	MUST(!pipe2(ends, O_CLOEXEC | O_NONBLOCK));
	ASK(answers, vmsplice(ends[1], &piece, 1, (unsigned int)flags));
	memset(p + PAGE, 'v', 10);
	ASK(answers, read(ends[0], bytes, sizeof(bytes)));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	LOOK(answers, fd, "vmsplice");
	munmap(p, PAGES(4));
	close(ends[0]), close(ends[1]);
}

static void is_copied(struct answers *answers, int fd, int arg)
{
	int file = tmp_file(), other = another(), only_read = reopen(fd, O_RDONLY);
	loff_t in = PAGE, out = PAGES(8);

	(void)arg;
	make_image(fd);
	make_image(file);
	ASK(answers, copy_file_range(fd, &in, fd, &out, PAGES(2), 0));
	ASK(answers, in);
	ASK(answers, out);
	LOOK(answers, fd, "copying within it");
	in = 0, out = 100;
	ASK(answers, copy_file_range(fd, &in, fd, &out, PAGE, 0)); /* overlapping */
	in = 50, out = PAGES(20) + 1;
	ASK(answers, copy_file_range(fd, &in, other, &out, PAGES(100), 0));
	ASK(answers, in);
	LOOK(answers, other, "copying to another of its kind");
	in = PAGES(99), out = 0;
	ASK(answers, copy_file_range(fd, &in, other, &out, PAGE, 0)); /* behind the end */
	in = 0, out = PAGES(4);
	ASK(answers, copy_file_range(fd, &in, file, &out, PAGES(3), 0));
	ASK(answers, bytes_of(file));
	in = 0, out = PAGES(4);
	ASK(answers, copy_file_range(file, &in, fd, &out, PAGES(3), 0));
	LOOK(answers, fd, "copying from a file");
	in = 0, out = 0;
	ASK(answers, copy_file_range(fd, &in, other, &out, PAGE, 1));
	ASK(answers, copy_file_range(fd, &in, only_read, &out, PAGE, 0));
	ASK(answers, copy_file_range(fd, &in, other, &out, 0, 0));
	ASK(answers, lseek(fd, 10, SEEK_SET));
	ASK(answers, copy_file_range(fd, NULL, other, NULL, 100, 0));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	ASK(answers, lseek(other, 0, SEEK_CUR));
	ASK(answers, fcntl(other, F_SETFL, O_APPEND));
	ASK(answers, copy_file_range(fd, NULL, other, NULL, 100, 0));
	close(file), close(other), close(only_read);
}

/* --- mappings --- */
static void is_mapped_with(struct answers *answers, int fd, int flags)
{
	static const int prots[] = {
		PROT_NONE,
		PROT_READ,
		PROT_WRITE,
		PROT_READ | PROT_WRITE,
		PROT_READ | PROT_EXEC,
		PROT_READ | PROT_WRITE | PROT_EXEC,
	};
	static const int modes[] = {O_RDWR, O_RDONLY, O_WRONLY, O_PATH};

	make_image(fd);
	for (size_t m = 0; m < ARRAY_LENGTH(modes); m++) {
		const int again = reopen(fd, modes[m]);

		MUST(again >= 0);
		for (size_t i = 0; i < ARRAY_LENGTH(prots); i++)
			ASK_AS(answers, maps(again, PAGES(2), prots[i], flags, 0),
			       "mmap of open mode %d, prot %d", modes[m], prots[i]);
		close(again);
	}
	ASK(answers, maps(fd, PAGE, PROT_READ, flags, 100));
	ASK(answers, maps(fd, 0, PROT_READ, flags, 0));
	ASK(answers, maps(fd, 1, PROT_READ, flags, PAGES(20)));
	ASK(answers, maps(fd, PAGE, PROT_READ, flags, 1L << 50));
	ASK(answers, maps(fd, PAGES(2), PROT_READ, flags, INT64_MAX - PAGE + 1));
	ASK(answers, maps(fd, PAGE, PROT_READ, flags, INT64_MAX - PAGE + 1));
	ASK(answers, maps(fd, PAGES(2), PROT_READ, flags, -(off_t)PAGE));
	LOOK(answers, fd, "mapping");
}

static void protects(struct answers *answers, int fd, int flags)
{
	const int only_read = reopen(fd, O_RDONLY);
	char *p;

	make_image(fd);
	p = object_map(only_read, PAGES(4), PROT_READ, flags);
	ASK(answers, mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	ASK(answers, mprotect(p + PAGE, PAGE, PROT_READ | PROT_EXEC));
	ASK(answers, mprotect(p + PAGES(2), PAGE, PROT_NONE));
	ASK(answers, mprotect(p + PAGES(2), PAGE, PROT_READ));
	ASK(answers, sum_of(p, PAGES(4)));
	munmap(p, PAGES(4));
	close(only_read);
}

/* Runs a function of the file's: it returns 7. */
static void runs_what_is_mapped(struct answers *answers, int fd, int flags)
{
#if defined(__x86_64__)
	static const unsigned char code[] = {0xb8, 7, 0, 0, 0, 0xc3};
#elif defined(__aarch64__)
	static const uint32_t code[] = {0x528000e0, 0xd65f03c0};
#endif
	char *p;
	int (*function)(void);

	ASK(answers, pwrite(fd, code, sizeof(code), PAGE));
	p = mmap(NULL, PAGE, PROT_READ | PROT_EXEC, flags, fd, PAGE);
	ASK(answers, p == MAP_FAILED ? -1 : 0);
	if (p == MAP_FAILED)
		return;
	__builtin___clear_cache(p, p + sizeof(code));
	memcpy(&function, &p, sizeof(p));
	ASK(answers, function());
	munmap(p, PAGE);
}

static void is_touched(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(12), flags);

	make_image(fd);
	for (int page = 0; page < 9; page++) {
		ASK_AS(answers, touch(p + PAGES(page) + 9, false), "read of page %d", page);
		ASK_AS(answers, touch(p + PAGES(page) + 9, true), "write of page %d", page);
	}
	ASK(answers, touch(p + PAGES(7) - 1, true)); /* behind the end, in the last page */
	LOOK(answers, fd, "touching");
	ASK(answers, ftruncate(fd, PAGES(9)));
	ASK(answers, touch(p + PAGES(8), true));
	ASK(answers, touch(p + PAGES(9), true));
	LOOK(answers, fd, "growing");
	ASK(answers, ftruncate(fd, PAGES(2)));
	ASK(answers, touch(p + PAGES(1), false));
	ASK(answers, touch(p + PAGES(2), false));
	ASK(answers, touch(p + PAGES(8), true)); /* the copy has gone, too */
	ASK(answers, ftruncate(fd, PAGES(9)));
	ASK(answers, sum_of(p, PAGES(9)));
	LOOK(answers, fd, "shrinking and growing");
	munmap(p, PAGES(12));
	ASK(answers, bytes_of(fd));
}

/* A call of the kernel's gets no further than the file. */
static void is_read_from_behind_the_end(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(4), flags);
	int ends[2];

	MUST(!pipe2(ends, O_CLOEXEC | O_NONBLOCK) && !ftruncate(fd, PAGES(2)));
	ASK(answers, write(ends[1], p + PAGES(2) - 5, 10));
	ASK(answers, write(ends[1], p + PAGES(2), 10));
	ASK(answers, read(ends[0], p + PAGES(3), 3));
	ASK(answers, read(ends[0], p, 3));
	munmap(p, PAGES(4));
	close(ends[0]), close(ends[1]);
}

static void is_synced(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(10), MAP_SHARED);

	make_image(fd);
	memset(p, 's', 100);
	ASK(answers, msync(p, PAGES(10), flags));
	ASK(answers, msync(p, PAGES(2), flags));
	ASK(answers, msync(p + 1, PAGE, flags));
	ASK(answers, msync(p, 0, flags));
	ASK(answers, mlock(p, PAGE));
	ASK(answers, msync(p, PAGES(2), flags));
	ASK(answers, munmap(p + PAGES(5), PAGES(2)));
	ASK(answers, msync(p, PAGES(10), flags));
	LOOK(answers, fd, "msync");
	munmap(p, PAGES(10));
}

static void is_advised(struct answers *answers, int fd, int advice, int flags)
{
	char *p = map_all(fd, PAGES(8), flags);
	const int only_read = reopen(fd, O_RDONLY);
	char *q = object_map(only_read, PAGES(8), PROT_READ, flags);

	make_image(fd);
	for (int page = 0; page < 7; page++)
		MUST(!touch(p + PAGES(page), page % 4 == 1)); /* no hole */
	ASK(answers, madvise(p + PAGES(1), PAGES(4), advice));
	ASK(answers, sum_of(p, PAGES(7)));
	LOOK(answers, fd, "madvise");
	ASK(answers, madvise(p + PAGES(6), PAGES(1), advice));
	ASK(answers, madvise(p + PAGES(6), PAGES(2), advice)); /* one behind the end */
	ASK(answers, madvise(p + 1, PAGE, advice));
	ASK(answers, madvise(p, 0, advice));
	ASK(answers, madvise(q, PAGE, advice));
	ASK(answers, mlock(p, PAGE));
	ASK(answers, madvise(p, PAGE, advice));
	ASK(answers, sum_of(p, PAGES(7)));
	LOOK(answers, fd, "more of madvise");
	munmap(p, PAGES(8));
	munmap(q, PAGES(8));
	close(only_read);
}

static void shared_is_advised(struct answers *answers, int fd, int advice)
{
	is_advised(answers, fd, advice, MAP_SHARED);
}

static void private_is_advised(struct answers *answers, int fd, int advice)
{
	is_advised(answers, fd, advice, MAP_PRIVATE);
}

static int runs_after_fork(int fd)
{
	static char *p;

	if (fd >= 0) { /* the parent */
		p = map_all(fd, PAGES(2), MAP_SHARED);
		return madvise(p, PAGE, MADV_DONTFORK);
	}
	return msync(p, PAGE, MS_ASYNC);
}

static void stays_with_the_parent(struct answers *answers, int fd, int arg)
{
	(void)arg;
	MUST(!ftruncate(fd, PAGES(2)));
	ASK(answers, runs_after_fork(fd));
	ASK(answers, in_child(runs_after_fork, -1));
}

static void is_remapped(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(4), flags), *q;

	make_image(fd);
	for (int page = 0; page < 4; page++)
		MUST(!touch(p + PAGES(page), page % 4 == 1)); /* no hole */
	q = mremap(p, PAGES(4), PAGES(9), MREMAP_MAYMOVE);
	ASK(answers, q == MAP_FAILED ? -1 : 0);
	ASK(answers, sum_of(q, PAGES(7)));
	ASK(answers, touch(q + PAGES(7), true));
	p = mremap(q, PAGES(9), PAGES(2), 0);
	ASK(answers, p == q);
	q = mremap(p, 0, PAGES(2), MREMAP_MAYMOVE); /* of a shared one another */
	ASK(answers, q == MAP_FAILED ? -1 : 0);
	if (q != MAP_FAILED) {
		ASK(answers, sum_of(q, PAGES(2)));
		munmap(q, PAGES(2));
	}
	q = mremap(p, PAGES(2), PAGES(2), MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	ASK(answers, q == MAP_FAILED ? -1 : 0);
	if (q != MAP_FAILED) {
		ASK(answers, sum_of(q, PAGES(2)));
		ASK(answers, sum_of(p, PAGES(2)));
		munmap(q, PAGES(2));
	}
	munmap(p, PAGES(2));
	LOOK(answers, fd, "mremap");
}

static void is_remapped_in_pages(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(4), flags);

	make_image(fd);
	ASK(answers, remap_file_pages(p, PAGE, 0, 1, 0));
	ASK(answers, remap_file_pages(p + PAGE, PAGES(2), 0, 4, 0));
	ASK(answers, sum_of(p, PAGES(4)));
	munmap(p, PAGES(4));
}

static void is_in_core(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(10), flags);
	unsigned char vector[10];

	make_image(fd);
	ASK(answers, mincore(p, PAGES(10), vector));
	for (int i = 0; i < 10; i++)
		ASK_AS(answers, vector[i], "page %d before", i);
	ASK(answers, touch(p + PAGES(2), true));
	ASK(answers, touch(p + PAGES(3), false));
	ASK(answers, mincore(p, PAGES(10), vector));
	for (int i = 0; i < 10; i++)
		ASK_AS(answers, vector[i], "page %d after", i);
	munmap(p, PAGES(10));
}

static void is_locked(struct answers *answers, int fd, int flags)
{
	char *p = map_all(fd, PAGES(8), flags);

	make_image(fd);
	ASK(answers, mlock(p, PAGES(7)));
	LOOK(answers, fd, "mlock");
	ASK(answers, mlock(p, PAGES(8))); /* one behind the end */
	ASK(answers, munlock(p, PAGES(8)));
	ASK(answers, mlock2(p, PAGES(8), MLOCK_ONFAULT));
	ASK(answers, munlock(p, PAGES(8)));
	munmap(p, PAGES(8));
	ASK(answers, maps(fd, PAGES(7), PROT_READ | PROT_WRITE, flags | MAP_LOCKED, 0));
	ASK(answers, maps(fd, PAGES(8), PROT_READ | PROT_WRITE, flags | MAP_LOCKED, 0));
	LOOK(answers, fd, "MAP_LOCKED");
}

/* What the kernel says of the mapping: one answer for each thing that it may say. */
static void has_flags(struct answers *answers, int fd, int flags)
{
	static const char *const names[] = {
		"rd", "wr", "ex", "sh", "mr", "mw", "me", "ms", "gd", "pf", "dw",
		"lo", "io", "sr", "rr", "dc", "de", "ac", "nr", "ht", "sf", "ar",
		"wf", "dd", "mm", "hg", "nh", "mg", "um", "uw", "sl",
	};
	static const char *const sizes[] = {
		"Size:",         "Rss:",           "Pss:",           "Shared_Clean:",
		"Shared_Dirty:", "Private_Clean:", "Private_Dirty:", "Anonymous:",
		"Swap:",         "Locked:",        "THPeligible:",
	};
	char *p, line[512], start[32];
	FILE *file;
	bool here = false, done = false;

	/* An object that always takes large pages says so in VmFlags. A memfd has no such call. */
	object_set_huge(fd, COWMEM_HUGE_NEVER);
	p = map_all(fd, PAGES(8), flags);
	make_image(fd);
	ASK(answers, touch(p, true));
	ASK(answers, touch(p + PAGES(1), false));
	ASK(answers, touch(p + PAGES(2), false));
	file = fopen("/proc/self/smaps", "re");
	MUST(file);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (!done && fgets(line, sizeof(line), file)) {
		here = here || !strncmp(line, start, strlen(start));
		if (!here)
			continue;
		for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
			if (!strncmp(line, sizes[i], strlen(sizes[i])))
				ASK_AS(answers, atol(line + strlen(sizes[i])), "%s", sizes[i]);
		done = !strncmp(line, "VmFlags:", 8);
		for (size_t i = 0; done && i < ARRAY_LENGTH(names); i++) {
			char word[5];

			snprintf(word, sizeof(word), " %s ", names[i]);
			ASK_AS(answers, strstr(line, word) != NULL, "VmFlags %s", names[i]);
		}
	}
	fclose(file);
	MUST(done);
	munmap(p, PAGES(8));
}

static void has_entries(struct answers *answers, int fd, int flags)
{
	enum { COUNT = 7 };
	char *p = map_all(fd, PAGES(8), flags);
	uint64_t entry[COUNT];
	int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);

	make_image(fd);
	ASK(answers, touch(p, true));
	ASK(answers, touch(p + PAGES(1), false));
	ASK(answers, touch(p + PAGES(2), false));
	MUST(pagemap >= 0 && pread(pagemap, entry, sizeof(entry), (uintptr_t)p / PAGE * 8) ==
	                             (ssize_t)sizeof(entry));
	/* Present, swapped, of a file, mapped only here. Which more are mapped is left to it. */
	for (int i = 0; i < 3; i++)
		ASK_AS(answers, entry[i] >> 56, "state of page %d", i);
	close(pagemap);
	munmap(p, PAGES(8));
}

static void has_faults_handled(struct answers *answers, int fd, int mode)
{
	char *p = map_all(fd, PAGES(4), MAP_SHARED);
	int uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register asked = {.range = {(uintptr_t)p, PAGES(4)},
	                                .mode = (unsigned int)mode};

	ASK(answers, uffd < 0 ? -1 : 0);
	if (uffd >= 0) {
		MUST(!ioctl(uffd, UFFDIO_API, &api));
		ASK(answers, ioctl(uffd, UFFDIO_REGISTER, &asked));
		ASK(answers, asked.ioctls);
		close(uffd);
	}
	munmap(p, PAGES(4));
}

/* --- reaching into a mapping --- */
static void is_reached_by_others(struct answers *answers, int fd, int flags)
{
	static char bytes[PAGES(3)];
	char *p = map_all(fd, PAGES(8), flags);
	struct iovec here = {bytes, sizeof(bytes)}, there = {p + 100, sizeof(bytes)};
	const int mem = open("/proc/self/mem", O_RDWR | O_CLOEXEC);

	make_image(fd);
	MUST(mem >= 0);
	ASK(answers, process_vm_readv(getpid(), &here, 1, &there, 1, 0));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	ASK(answers, pread(mem, bytes, 100, (off_t)(uintptr_t)(p + PAGES(4) - 50)));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	memset(bytes, 'w', sizeof(bytes));
	ASK(answers, process_vm_writev(getpid(), &here, 1, &there, 1, 0));
	LOOK(answers, fd, "process_vm_writev");
	ASK(answers, pwrite(mem, "mem", 3, (off_t)(uintptr_t)(p + PAGES(5) - 1)));
	ASK(answers, sum_of(p, PAGES(7)));
	LOOK(answers, fd, "writing /proc/self/mem");
	there.iov_base = p + PAGES(6);
	ASK(answers, process_vm_readv(getpid(), &here, 1, &there, 1, 0)); /* ends behind the end */
	ASK(answers, mprotect(p, PAGE, PROT_READ));
	ASK(answers, pwrite(mem, "force", 5, (off_t)(uintptr_t)p));
	ASK(answers, sum_of(p, PAGES(7)));
	LOOK(answers, fd, "writing what is write-protected");
	munmap(p, PAGES(8));
	close(mem);
}

static int wait_for_word(int fd)
{
	uint32_t *word = (uint32_t *)map_all(fd, PAGE, MAP_SHARED);

	/* Woken before it waited, it finds another value. */
	if (syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0) && errno != EAGAIN)
		return -1;
	return 5;
}

static int wake_at_word(int fd)
{
	uint32_t *word = (uint32_t *)map_all(fd, PAGE, MAP_SHARED);

	return COMES(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0) == 1) ? 6 : 7;
}

/* Each has a mapping of its own: what they wait at is known by the file. */
static void wakes_another(struct answers *answers, int fd, int arg)
{
	pid_t child;
	int status;

	(void)arg;
	MUST(!ftruncate(fd, PAGE));
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(wait_for_word(fd));
	ASK(answers, in_child(wake_at_word, fd));
	MUST(waitpid(child, &status, 0) == child);
	ASK(answers, status);
}

/* Whether the dump of a child that dies has the words that it has mapped. */
static void is_dumped(struct answers *answers, int fd, int flags)
{
	const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
	char folder[] = "/tmp/dump-XXXXXX", path[64], pattern[128] = "";
	FILE *file = fopen("/proc/sys/kernel/core_pattern", "re");
	int status, core, found = 0;
	pid_t child;

	MUST(mkdtemp(folder) && file && fgets(pattern, sizeof(pattern), file));
	fclose(file);
	make_image(fd);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		char *p = map_all(fd, PAGES(4), flags);

		for (int i = 0; i < 4; i++)
			memcpy(p + PAGES(i) + 8, &(uint64_t[]){0x1234567890abcdef, 0xfedcba98, i},
			       24);
		if (chdir(folder) || setrlimit(RLIMIT_CORE, &all))
			_exit(1);
		abort();
	}
	MUST(waitpid(child, &status, 0) == child);
	ASK(answers, WTERMSIG(status));
	ASK(answers, WCOREDUMP(status) != 0);
	snprintf(path, sizeof(path), "%s/core", folder);
	core = open(path, O_RDONLY | O_CLOEXEC);
	if (core < 0) {
		snprintf(path, sizeof(path), "%s/core.%d", folder, child);
		core = open(path, O_RDONLY | O_CLOEXEC);
	}
	ASK(answers, core >= 0);
	if (core >= 0) {
		const size_t length = (size_t)stat_of(core).st_size;
		char *dump = object_map(core, length, PROT_READ, MAP_PRIVATE);

		for (uint64_t i = 0; i < 4; i++)
			found |= !!memmem(dump, length,
			                  &(uint64_t[]){0x1234567890abcdef, 0xfedcba98, i}, 24)
			         << i;
		ASK(answers, found);
		munmap(dump, length);
		close(core);
		unlink(path);
	}
	rmdir(folder);
}

/* --- advice, and what is written back --- */
static void takes_advice(struct answers *answers, int fd, int advice)
{
	make_image(fd);
	ASK(answers, posix_fadvise(fd, 0, 0, advice));
	ASK(answers, posix_fadvise(fd, PAGE, PAGES(2), advice));
	ASK(answers, posix_fadvise(fd, PAGES(100), PAGE, advice));
	ASK(answers, posix_fadvise(fd, 0, -1, advice));
	LOOK(answers, fd, "fadvise");
}

static void is_read_ahead(struct answers *answers, int fd, int arg)
{
	int only_write = reopen(fd, O_WRONLY);

	(void)arg;
	make_image(fd);
	ASK(answers, readahead(fd, 0, PAGES(4)));
	ASK(answers, readahead(fd, PAGES(100), PAGES(4)));
	ASK(answers, readahead(only_write, 0, PAGES(4)));
	LOOK(answers, fd, "readahead");
	close(only_write);
}

static void is_written_back(struct answers *answers, int fd, int arg)
{
	int only_read = reopen(fd, O_RDONLY);

	(void)arg;
	make_image(fd);
	ASK(answers, fsync(fd));
	ASK(answers, fdatasync(fd));
	ASK(answers, fsync(only_read));
	ASK(answers, syncfs(fd));
	for (unsigned int flags = 0; flags < 16; flags++)
		ASK_AS(answers, sync_file_range(fd, 0, PAGES(3), flags), "sync_file_range, %u",
		       flags);
	ASK(answers, sync_file_range(fd, -1, PAGES(3), 0));
	ASK(answers, sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
	LOOK(answers, fd, "writing back");
	close(only_read);
}

/* How much of it is in the page cache. */
static void is_in_the_cache(struct answers *answers, int fd, int arg)
{
	struct {
		uint64_t offset, length;
	} range = {0, 0};
	struct {
		uint64_t cache, dirty, writeback, evicted, recently_evicted;
	} stat = {0};

	(void)arg;
	make_image(fd);
	ASK(answers, syscall(451 /* cachestat */, fd, &range, &stat, 0));
	ASK(answers, stat.cache);
	ASK(answers, stat.dirty);
}

/* --- locks --- */
static void is_locked_whole(struct answers *answers, int fd, int arg)
{
	int other = reopen(fd, O_RDONLY), same = dup(fd);

	(void)arg;
	ASK(answers, flock(fd, LOCK_EX | LOCK_NB));
	ASK(answers, flock(other, LOCK_SH | LOCK_NB));
	ASK(answers, flock(same, LOCK_EX | LOCK_NB));
	ASK(answers, flock(same, LOCK_SH | LOCK_NB));
	ASK(answers, flock(other, LOCK_SH | LOCK_NB));
	ASK(answers, flock(fd, LOCK_EX | LOCK_NB));
	ASK(answers, flock(other, LOCK_UN));
	ASK(answers, flock(fd, LOCK_EX | LOCK_NB));
	close(same); /* the lock is of what both were opened by */
	ASK(answers, flock(other, LOCK_SH | LOCK_NB));
	ASK(answers, flock(fd, 77));
	close(other);
}

static int lock_range(int fd, int command, short type, off_t start, off_t length)
{
	struct flock lock = {
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
	const int result = fcntl(fd, command, &lock);

	/* What a question is answered: the lock that is in the way, and where. */
	if (!result && (command == F_GETLK || command == F_OFD_GETLK))
		return lock.l_type == F_UNLCK ? 0 : 1 + lock.l_type + (int)lock.l_start * 4;
	return result;
}

static void is_locked_by_opens(struct answers *answers, int fd, int arg)
{
	int other = reopen(fd, O_RDWR), only_read = reopen(fd, O_RDONLY);

	(void)arg;
	make_image(fd);
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_WRLCK, 100, 100));
	ASK(answers, lock_range(other, F_OFD_SETLK, F_WRLCK, 0, 100));
	ASK(answers, lock_range(other, F_OFD_SETLK, F_WRLCK, 150, 100));
	ASK(answers, lock_range(other, F_OFD_GETLK, F_RDLCK, 0, 0));
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_UNLCK, 120, 10));
	ASK(answers, lock_range(other, F_OFD_SETLK, F_RDLCK, 120, 10));
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_RDLCK, 100, 100));
	ASK(answers, lock_range(other, F_OFD_SETLK, F_RDLCK, 100, 100));
	ASK(answers, lock_range(only_read, F_OFD_SETLK, F_WRLCK, 500, 1));
	ASK(answers, lock_range(only_read, F_OFD_SETLK, F_RDLCK, 500, 1));
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_RDLCK, -1, 1));
	close(other);
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, 0));
	ASK(answers, lock_range(fd, F_OFD_SETLK, F_WRLCK, 0, 300));
	close(only_read);
}

static int locks_in_the_way(int fd)
{
	return lock_range(fd, F_GETLK, F_WRLCK, 0, 0);
}

static int locks_it(int fd)
{
	return lock_range(fd, F_SETLK, F_WRLCK, 0, 1);
}

static void is_locked_by_processes(struct answers *answers, int fd, int arg)
{
	(void)arg;
	make_image(fd);
	ASK(answers, lock_range(fd, F_SETLK, F_WRLCK, 0, 1));
	ASK(answers, in_child(locks_in_the_way, fd));
	ASK(answers, in_child(locks_it, fd));
	ASK(answers, lock_range(fd, F_SETLK, F_RDLCK, 20, 1));
	ASK(answers, lock_range(fd, F_SETLK, F_UNLCK, 0, 1));
	ASK(answers, in_child(locks_in_the_way, fd));
	ASK(answers, in_child(locks_it, fd));
	ASK(answers, opens(fd, O_RDONLY)); /* closing any descriptor takes the locks away */
	ASK(answers, in_child(locks_in_the_way, fd));
	ASK(answers, lock_range(fd, F_SETLKW, F_WRLCK, 0, 0));
	ASK(answers, lock_range(fd, F_SETLK, 77, 0, 0));
}

/* --- fcntl --- */
static void takes_flags(struct answers *answers, int fd, int arg)
{
	static const int flags[] = {0,        O_APPEND, O_NONBLOCK, O_ASYNC, O_NOATIME,
	                            O_DIRECT, O_SYNC,   O_RDONLY,   O_TRUNC, O_CLOEXEC};

	(void)arg;
	ASK(answers, fcntl(fd, F_GETFL));
	ASK(answers, fcntl(fd, F_GETFD));
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++) {
		const char *name = flags[i] == O_DIRECT ? "O_DIRECT" : text_of("%o", flags[i]);

		ASK_AS(answers, fcntl(fd, F_SETFL, flags[i]), "F_SETFL %s", name);
		ASK_AS(answers, fcntl(fd, F_GETFL), "F_GETFL after %s", name);
	}
	ASK(answers, fcntl(fd, F_SETFD, 0));
	ASK(answers, fcntl(fd, F_GETFD));
	ASK(answers, fcntl(fd, F_GETSIG));
	ASK(answers, fcntl(fd, F_SETSIG, SIGUSR1));
	ASK(answers, fcntl(fd, F_GETOWN));
	ASK(answers, fcntl(fd, F_NOTIFY, DN_MODIFY));
	ASK(answers, fcntl(fd, F_GETPIPE_SZ));
	ASK(answers, fcntl(fd, F_SET_RW_HINT, &(uint64_t){RWH_WRITE_LIFE_SHORT}));
	ASK(answers, fcntl(fd, F_GET_RW_HINT, &(uint64_t){0}));
	ASK(answers, fcntl(fd, 9999));
}

static void has_seals(struct answers *answers, int fd, int arg)
{
	static const int seals[] = {F_SEAL_WRITE, F_SEAL_GROW,         F_SEAL_SHRINK,
	                            F_SEAL_SEAL,  F_SEAL_FUTURE_WRITE, 1 << 20};
	int only_read = reopen(fd, O_RDONLY);

	(void)arg;
	ASK(answers, fcntl(fd, F_GET_SEALS));
	for (size_t i = 0; i < ARRAY_LENGTH(seals); i++)
		ASK_AS(answers, fcntl(fd, F_ADD_SEALS, seals[i]), "F_ADD_SEALS %d", seals[i]);
	ASK(answers, fcntl(only_read, F_ADD_SEALS, F_SEAL_GROW));
	ASK(answers, write(fd, "unsealed", 8));
	ASK(answers, ftruncate(fd, 4));
	close(only_read);
}

static void is_leased(struct answers *answers, int fd, int lease)
{
	int other = another(), only_read = reopen(other, O_RDONLY);

	signal(SIGIO, SIG_IGN);
	ASK(answers, fcntl(fd, F_SETLEASE, lease));
	ASK(answers, fcntl(fd, F_GETLEASE));
	ASK(answers, opens(fd, O_RDWR | O_NONBLOCK));
	ASK(answers, opens(fd, O_RDONLY | O_NONBLOCK));
	ASK(answers, fcntl(fd, F_SETLEASE, F_UNLCK));
	ASK(answers, fcntl(fd, F_GETLEASE));
	close(other);
	/* Of one that nobody writes. */
	ASK(answers, fcntl(only_read, F_SETLEASE, lease));
	ASK(answers, fcntl(only_read, F_GETLEASE));
	ASK(answers, opens(only_read, O_WRONLY | O_NONBLOCK));
	ASK(answers, fcntl(only_read, F_GETLEASE));
	ASK(answers, fcntl(only_read, F_SETLEASE, F_UNLCK));
	ASK(answers, opens(only_read, O_WRONLY | O_NONBLOCK));
	close(only_read);
}

/* --- times --- */
/* Which of access (1), modification (2) and change (4) have another time than before @act. */
static int times_after(int fd, void (*act)(int fd, char *p), char *p)
{
	static const struct timespec old[2] = {{1000, 5}, {2000, 7}};
	struct timespec now;
	struct stat before, after;

	MUST(!futimens(fd, old));
	before = stat_of(fd);
	do { /* till the file system's clock tells another time */
		usleep(1000);
		MUST(!clock_gettime(CLOCK_REALTIME_COARSE, &now));
	} while (now.tv_sec == before.st_ctim.tv_sec && now.tv_nsec <= before.st_ctim.tv_nsec);
	act(fd, p);
	after = stat_of(fd);
	return (after.st_atim.tv_sec != 1000 || after.st_atim.tv_nsec != 5) |
	       (after.st_mtim.tv_sec != 2000 || after.st_mtim.tv_nsec != 7) << 1 |
	       (!!memcmp(&after.st_ctim, &before.st_ctim, sizeof(after.st_ctim))) << 2;
}

static void act_read(int fd, char *p)
{
	(void)p;
	MUST(pread(fd, &(char){0}, 1, 0) == 1);
}

static void act_read_nothing(int fd, char *p)
{
	(void)p;
	MUST(pread(fd, &(char){0}, 1, PAGES(99)) == 0);
}

static void act_write(int fd, char *p)
{
	(void)p;
	MUST(pwrite(fd, "x", 1, 0) == 1);
}

static void act_write_nothing(int fd, char *p)
{
	(void)p;
	MUST(pwrite(fd, "x", 0, 0) == 0);
}

static void act_grow(int fd, char *p)
{
	(void)p;
	MUST(!ftruncate(fd, PAGES(9)));
}

static void act_shrink(int fd, char *p)
{
	(void)p;
	MUST(!ftruncate(fd, PAGES(8)));
}

static void act_keep_size(int fd, char *p)
{
	(void)p;
	MUST(!ftruncate(fd, stat_of(fd).st_size));
}

static void act_punch(int fd, char *p)
{
	(void)p;
	MUST(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
}

static void act_allocate(int fd, char *p)
{
	(void)p;
	MUST(!fallocate(fd, 0, 0, PAGES(3)));
}

static void act_chmod(int fd, char *p)
{
	(void)p;
	MUST(!fchmod(fd, 0640));
}

static void act_load(int fd, char *p)
{
	(void)fd;
	MUST(!touch(p, false));
}

static void act_store(int fd, char *p)
{
	(void)fd;
	MUST(!touch(p, true));
}

static void act_store_and_sync(int fd, char *p)
{
	(void)fd;
	MUST(!touch(p + PAGE, true) && !msync(p, PAGES(2), MS_SYNC));
}

static void act_open(int fd, char *p)
{
	(void)p;
	MUST(!opens(fd, O_RDWR));
}

static void act_truncate_by_open(int fd, char *p)
{
	(void)p;
	MUST(!opens(fd, O_RDWR | O_TRUNC));
}

static void act_send(int fd, char *p)
{
	int file = tmp_file();

	(void)p;
	MUST(sendfile(file, fd, &(off_t){0}, 10) >= 0);
	close(file);
}

static void act_copy(int fd, char *p)
{
	(void)p;
	MUST(copy_file_range(fd, &(loff_t){0}, fd, &(loff_t){PAGES(2)}, PAGE, 0) >= 0);
}

static void has_times(struct answers *answers, int fd, int arg)
{
	char *p = map_all(fd, PAGES(2), MAP_SHARED);

	(void)arg;
	make_image(fd);
	ASK(answers, times_after(fd, act_read, p));
	ASK(answers, times_after(fd, act_read_nothing, p));
	ASK(answers, times_after(fd, act_write, p));
	ASK(answers, times_after(fd, act_write_nothing, p));
	ASK(answers, times_after(fd, act_load, p));
	ASK(answers, times_after(fd, act_store, p));
	ASK(answers, times_after(fd, act_store_and_sync, p));
	ASK(answers, times_after(fd, act_grow, p));
	ASK(answers, times_after(fd, act_shrink, p));
	ASK(answers, times_after(fd, act_keep_size, p));
	ASK(answers, times_after(fd, act_punch, p));
	ASK(answers, times_after(fd, act_allocate, p));
	ASK(answers, times_after(fd, act_chmod, p));
	ASK(answers, times_after(fd, act_open, p));
	ASK(answers, times_after(fd, act_send, p));
	ASK(answers, times_after(fd, act_copy, p));
	ASK(answers, times_after(fd, act_truncate_by_open, p));
	munmap(p, PAGES(2));
}

static void takes_times(struct answers *answers, int fd, int arg)
{
	struct timespec times[2] = {{-5, 999999999}, {1L << 33, 1}};
	struct stat st;

	(void)arg;
	ASK(answers, futimens(fd, times));
	st = stat_of(fd);
	ASK(answers, st.st_atim.tv_sec);
	ASK(answers, st.st_atim.tv_nsec);
	ASK(answers, st.st_mtim.tv_sec);
	ASK(answers, st.st_mtim.tv_nsec);
	times[0].tv_nsec = UTIME_OMIT, times[1].tv_nsec = UTIME_NOW;
	ASK(answers, futimens(fd, times));
	st = stat_of(fd);
	ASK(answers, st.st_atim.tv_sec);
	ASK(answers, st.st_mtim.tv_sec != 1L << 33);
	times[0].tv_nsec = 1000000000;
	ASK(answers, futimens(fd, times));
	ASK(answers, utimensat(AT_FDCWD, name_of(fd), NULL, 0));
	times[0] = (struct timespec){INT64_MAX, 0};
	times[1] = (struct timespec){INT64_MIN, 0};
	ASK(answers, futimens(fd, times));
	st = stat_of(fd);
	ASK(answers, st.st_atim.tv_sec);
	ASK(answers, st.st_mtim.tv_sec);
}

/* --- extended attributes, flags, names --- */
static void has_attributes(struct answers *answers, int fd, int arg)
{
	static const char *const names[] = {
		"user.colour",   "trusted.colour", "security.colour", "system.posix_acl_access",
		"system.colour", "colour",         "user.",
	};
	char text[256];

	(void)arg;
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
		ASK_AS(answers, fgetxattr(fd, names[i], text, sizeof(text)), "get %s", names[i]);
		ASK_AS(answers, fsetxattr(fd, names[i], "blue", 4, 0), "set %s", names[i]);
		ASK_AS(answers, fsetxattr(fd, names[i], "blue", 4, XATTR_CREATE), "create %s",
		       names[i]);
		ASK_AS(answers, fgetxattr(fd, names[i], text, sizeof(text)), "get set %s",
		       names[i]);
		ASK_AS(answers, fgetxattr(fd, names[i], text, 1), "get little of %s", names[i]);
	}
	ASK(answers, flistxattr(fd, text, sizeof(text)));
	ASK(answers, flistxattr(fd, NULL, 0));
	for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
		ASK_AS(answers, fremovexattr(fd, names[i]), "remove %s", names[i]);
	ASK(answers, flistxattr(fd, text, sizeof(text)));
}

static void is_no_directory(struct answers *answers, int fd, int arg)
{
	char bytes[256];

	(void)arg;
	ASK(answers, fchdir(fd));
	ASK(answers, openat(fd, "x", O_RDONLY));
	ASK(answers, mkdirat(fd, "x", 0700));
	ASK(answers, unlinkat(fd, "x", 0));
	ASK(answers, syscall(SYS_getdents64, fd, bytes, sizeof(bytes)));
	ASK(answers, readlinkat(fd, "", bytes, sizeof(bytes)));
	ASK(answers, fchdir(-1));
}

static void is_linked(struct answers *answers, int fd, int arg)
{
	(void)arg;
	ASK(answers, linkat(fd, "", AT_FDCWD, "/tmp/linked", AT_EMPTY_PATH));
	ASK(answers, linkat(AT_FDCWD, name_of(fd), AT_FDCWD, "/tmp/linked", AT_SYMLINK_FOLLOW));
	ASK(answers, linkat(fd, "", fd, "linked", AT_EMPTY_PATH));
	ASK(answers, unlink(name_of(fd)));
	ASK(answers, rename(name_of(fd), "/tmp/linked"));
	ASK(answers, stat_of(fd).st_nlink);
}

static void has_a_handle(struct answers *answers, int fd, int arg)
{
	union {
		struct file_handle handle;
		char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
	} is = {.handle.handle_bytes = MAX_HANDLE_SZ};
	int mount, again;

	(void)arg;
	ASK(answers, name_to_handle_at(fd, "", &is.handle, &mount, AT_EMPTY_PATH));
	ASK(answers, is.handle.handle_bytes);
	again = open_by_handle_at(fd, &is.handle, O_RDONLY | O_CLOEXEC);
	ASK(answers, again < 0 ? -1 : 0);
	if (again >= 0)
		close(again);
}

static void takes_ioctls(struct answers *answers, int fd, int arg)
{
	static const struct {
		const char *name;
		unsigned long number;
	} commands[] = {
		{"FIONREAD", FIONREAD},
		{"FIOASYNC", FIOASYNC},
		{"FIONBIO", FIONBIO},
		{"FIOQSIZE", FIOQSIZE},
		{"FIBMAP", FIBMAP},
		{"FIGETBSZ", FIGETBSZ},
		{"FIDEDUPERANGE", FIDEDUPERANGE},
		{"FS_IOC_GETFLAGS", FS_IOC_GETFLAGS},
		{"FS_IOC_SETFLAGS", FS_IOC_SETFLAGS},
		{"FS_IOC_FSGETXATTR", FS_IOC_FSGETXATTR},
		{"FS_IOC_GETVERSION", FS_IOC_GETVERSION},
		{"FS_IOC_FIEMAP", FS_IOC_FIEMAP},
		{"FS_IOC_GETFSLABEL", FS_IOC_GETFSLABEL},
		{"FITRIM", FITRIM},
		{"BLKGETSIZE", BLKGETSIZE},
		{"TCGETS", TCGETS},
	};
	union {
		int number;
		char room[512];
	} argument;

	(void)arg;
	make_image(fd);
	ASK(answers, lseek(fd, 1000, SEEK_SET));
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		memset(&argument, 0, sizeof(argument));
		ASK_AS(answers, ioctl(fd, commands[i].number, &argument), "%s", commands[i].name);
		ASK_AS(answers, argument.number, "answer of %s", commands[i].name);
	}
	ASK(answers, ioctl(fd, FIOCLEX));
	ASK(answers, fcntl(fd, F_GETFD));
	ASK(answers, ioctl(fd, FIONCLEX));
	ASK(answers, fcntl(fd, F_GETFD));
	ASK(answers, ioctl(fd, _IO('?', 77)));
}

static void is_cloned(struct answers *answers, int fd, int arg)
{
	int other = another(), file = tmp_file();
	struct file_clone_range range = {.src_fd = fd, .src_length = PAGE};

	(void)arg;
	make_image(fd);
	make_image(file);
	ASK(answers, ioctl(other, FICLONE, fd));
	LOOK(answers, other, "FICLONE");
	ASK(answers, ioctl(other, FICLONERANGE, &range));
	ASK(answers, ioctl(file, FICLONE, fd));
	ASK(answers, ioctl(fd, FICLONE, file));
	LOOK(answers, fd, "FICLONE of a file");
	close(other), close(file);
}

/* --- who has it --- */
static int reads_on(int fd)
{
	char text[4] = "";

	return read(fd, text, 3) == 3 ? (int)(sum_of(text, 3) % 97) : -1;
}

static void is_handed_on(struct answers *answers, int fd, int arg)
{
	int ends[2], same = dup(fd), number = 7, received;
	unsigned int sent;
	char text[4] = "";

	(void)arg;
	make_image(fd);
	ASK(answers, lseek(same, PAGE, SEEK_SET));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	ASK(answers, in_child(reads_on, fd));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends));
	ASK(answers, send_fd(ends[0], fd, (unsigned int)number));
	close(same);
	received = receive_fd(ends[1], &sent, 0);
	ASK(answers, received >= 0);
	ASK(answers, read(received, text, 3));
	ASK(answers, sum_of(text, 3));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	ASK(answers, fcntl(received, F_GETFL));
	ASK(answers, fcntl(fd, F_DUPFD_CLOEXEC, 100) == 100);
	close(100);
	close(received), close(ends[0]), close(ends[1]);
}

static void is_fetched(struct answers *answers, int fd, int arg)
{
	int process = (int)syscall(SYS_pidfd_open, getpid(), 0), fetched;

	(void)arg;
	MUST(process >= 0 && write(fd, "fetch", 5) == 5);
	fetched = (int)syscall(SYS_pidfd_getfd, process, fd, 0);
	ASK(answers, fetched < 0 ? -1 : 0);
	ASK(answers, lseek(fetched, 0, SEEK_CUR));
	close(fetched), close(process);
}

static int leaves(int fd)
{
	char *const argv[] = {"calls", LEAVE, NULL}, *const env[] = {NULL};

	return fexecve(fd, argv, env);
}

static void executes(struct answers *answers, int fd, int arg)
{
	int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), other = another(), only_read;
	off_t from = 0, size;

	(void)arg;
	MUST(self >= 0);
	size = stat_of(self).st_size;
	while (from < size)
		MUST(sendfile(other, self, &from, (size_t)(size - from)) > 0);
	MUST(!fchmod(other, 0777));
	only_read = reopen(other, O_RDONLY);
	ASK(answers, in_child(leaves, other)); /* open for writing */
	close(other);
	ASK(answers, in_child(leaves, only_read));
	ASK(answers, fchmod(only_read, 0600));
	ASK(answers, in_child(leaves, only_read));
	ASK(answers, write(fd, "#! /nowhere\n", 12));
	ASK(answers, fchmod(fd, 0700));
	only_read = dup2(reopen(fd, O_RDONLY), only_read);
	ASK(answers, in_child(leaves, only_read));
	close(self), close(only_read);
}

/* --- asynchronously --- */
static int submit(aio_context_t context, struct iocb *block)
{
	struct io_event event = {0};

	if (syscall(SYS_io_submit, context, 1, &block) != 1)
		return -1;
	MUST(syscall(SYS_io_getevents, context, 1, 1, &event, NULL) == 1);
	if (event.res >= 0)
		return (int)event.res;
	errno = (int)-event.res;
	return -1;
}

static void is_asked_asynchronously(struct answers *answers, int fd, int flags)
{
	static char bytes[PAGES(2)] __attribute__((aligned(4096)));
	aio_context_t context = 0;
	struct iocb block = {.aio_fildes = (uint32_t)fd, .aio_buf = (uintptr_t)bytes};

	make_image(fd);
	ASK(answers, fcntl(fd, F_SETFL, flags));
	ASK(answers, syscall(SYS_io_setup, 4, &context));
	if (!context)
		return;
	block.aio_lio_opcode = IOCB_CMD_PREAD, block.aio_nbytes = PAGES(2), block.aio_offset = PAGE;
	ASK(answers, submit(context, &block));
	ASK(answers, sum_of(bytes, sizeof(bytes)));
	block.aio_lio_opcode = IOCB_CMD_PWRITE, block.aio_offset = PAGES(7);
	ASK(answers, submit(context, &block));
	block.aio_rw_flags = RWF_NOWAIT, block.aio_flags = 0;
	ASK(answers, submit(context, &block));
	block.aio_lio_opcode = IOCB_CMD_PREAD;
	ASK(answers, submit(context, &block));
	block.aio_rw_flags = 0, block.aio_nbytes = block.aio_offset = block.aio_buf = 0;
	block.aio_lio_opcode = IOCB_CMD_FSYNC;
	ASK(answers, submit(context, &block));
	block.aio_lio_opcode = IOCB_CMD_FDSYNC;
	ASK(answers, submit(context, &block));
	block.aio_lio_opcode = IOCB_CMD_POLL, block.aio_buf = POLLIN;
	ASK(answers, submit(context, &block));
	LOOK(answers, fd, "io_submit");
	ASK(answers, syscall(SYS_io_destroy, context));
}

static void is_waited_for(struct answers *answers, int fd, int arg)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLHUP};
	struct epoll_event event = {.events = EPOLLIN};
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	fd_set reads;

	(void)arg;
	ASK(answers, poll(&poll_fd, 1, 0));
	ASK(answers, poll_fd.revents);
	ASK(answers, epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	FD_ZERO(&reads);
	FD_SET(fd, &reads);
	ASK(answers, select(fd + 1, &reads, NULL, NULL, &(struct timeval){0}));
	close(epoll);
}

/* Does all that others may be told of. */
static void act_for_watchers(int fd)
{
	char *p = map_all(fd, PAGE, MAP_SHARED), byte;
	int again = reopen(fd, O_RDWR);

	MUST(again >= 0 && write(again, "abc", 3) == 3 && pread(again, &byte, 1, 0) == 1);
	MUST(!ftruncate(fd, PAGE) && !fchmod(fd, 0700));
	p[5] = 'p';
	MUST(!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE));
	MUST(!futimens(fd, NULL));
	munmap(p, PAGE);
	close(again);
	MUST(!opens(fd, O_RDONLY));
}

static void is_watched(struct answers *answers, int fd, int arg)
{
	static char bytes[PAGE] __attribute__((aligned(8)));
	int watcher = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	ssize_t length;

	(void)arg;
	ASK(answers, watcher < 0 ? -1 : 0);
	if (watcher < 0)
		return;
	ASK(answers, inotify_add_watch(watcher, name_of(fd), IN_ALL_EVENTS) > 0);
	act_for_watchers(fd);
	length = read(watcher, bytes, sizeof(bytes));
	ASK(answers, length);
	for (ssize_t at = 0; at < length;) {
		const struct inotify_event *event = (void *)(bytes + at);

		ASK_AS(answers, event->mask, "event at %zd", at);
		at += (ssize_t)sizeof(*event) + event->len;
	}
	close(watcher);
}

static void is_watched_by_all(struct answers *answers, int fd, int arg)
{
	static struct fanotify_event_metadata events[64];
	int watcher = fanotify_init(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY);
	const uint64_t mask = FAN_ACCESS | FAN_MODIFY | FAN_CLOSE | FAN_OPEN;
	ssize_t length;

	(void)arg;
	ASK(answers, watcher < 0 ? -1 : 0);
	if (watcher < 0)
		return;
	ASK(answers, fanotify_mark(watcher, FAN_MARK_ADD, mask, AT_FDCWD, name_of(fd)));
	act_for_watchers(fd);
	length = read(watcher, events, sizeof(events));
	ASK(answers, length);
	for (ssize_t i = 0; i < length / (ssize_t)sizeof(*events); i++) {
		ASK_AS(answers, events[i].mask, "event %zd", i);
		if (events[i].fd >= 0)
			close(events[i].fd);
	}
	close(watcher);
}

/* --- as the kernel's own files --- */
static void is_a_disk(struct answers *answers, int fd, int arg)
{
	static char bytes[PAGE];
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), number, loop;
	char path[32];

	(void)arg;
	make_image(fd);
	MUST(!ftruncate(fd, PAGES(16)));
	number = control < 0 ? -1 : ioctl(control, LOOP_CTL_GET_FREE);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	loop = number < 0 ? -1 : open(path, O_RDWR | O_CLOEXEC);
	ASK(answers, loop >= 0);
	if (loop < 0)
		return;
	ASK(answers, ioctl(loop, LOOP_SET_FD, fd));
	ASK(answers, pread(loop, bytes, PAGE, PAGES(4)));
	ASK(answers, sum_of(bytes, PAGE));
	ASK(answers, pwrite(loop, bytes, PAGE, PAGES(9)));
	ASK(answers, fsync(loop));
	ASK(answers, fallocate(loop, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, PAGE));
	ASK(answers, fsync(loop));
	LOOK(answers, fd, "writing the disk");
	ASK(answers, ioctl(loop, LOOP_CLR_FD, 0));
	close(loop), close(control);
}

static void is_no_swap(struct answers *answers, int fd, int arg)
{
	(void)arg;
	MUST(!fchmod(fd, 0600) && !ftruncate(fd, PAGES(16)));
	ASK(answers, pwrite(fd, "SWAPSPACE2", 10, PAGE - 10));
	ASK(answers, pwrite(fd, &(uint32_t[]){1, 15, 0}, 12, 1024));
	ASK(answers, swapon(name_of(fd), 0));
}

static void is_no_module(struct answers *answers, int fd, int arg)
{
	(void)arg;
	make_image(fd);
	ASK(answers, syscall(SYS_finit_module, fd, "", 0));
	ASK(answers, syscall(SYS_finit_module, fd, "", 77));
}

/* --- the table --- */
static const struct row {
	const char *name;
	void (*ask)(struct answers *answers, int fd, int arg);
	int arg;
} rows[] = {
	{"fstat", is_told_of, 0},
	{"statx", is_told_more_of, 0},
	{"fstatfs, fpathconf", has_a_file_system, 0},
	{"its name in /proc", has_a_name, 0},
	{"/proc/self/fdinfo", has_information, 0},

	{"open again, O_RDONLY", opens_again, O_RDONLY},
	{"open again, O_WRONLY", opens_again, O_WRONLY},
	{"open again, O_RDWR", opens_again, O_RDWR},
	{"open again, O_RDWR and O_TRUNC", opens_again, O_RDWR | O_TRUNC},
	{"open again, O_RDONLY and O_TRUNC", opens_again, O_RDONLY | O_TRUNC},
	{"open again, O_RDWR and O_APPEND", opens_again, O_RDWR | O_APPEND},
	{"open again, O_RDWR and O_SYNC", opens_again, O_RDWR | O_SYNC},
	{"open again, O_RDWR and O_DIRECT", opens_again, O_RDWR | O_DIRECT},
	{"open again, O_RDWR and O_NONBLOCK", opens_again, O_RDWR | O_NONBLOCK},
	{"open again, O_RDWR and O_NOATIME", opens_again, O_RDWR | O_NOATIME},
	{"open again, O_RDWR and O_CREAT", opens_again, O_RDWR | O_CREAT},
	{"open again, O_CREAT and O_EXCL", opens_again, O_RDWR | O_CREAT | O_EXCL},
	{"open again, O_DIRECTORY", opens_again, O_DIRECTORY},
	{"open again, O_TMPFILE", opens_again, O_TMPFILE | O_RDWR},
	{"open again, O_NOFOLLOW", opens_again, O_NOFOLLOW},
	{"open again, O_PATH", opens_again, O_PATH},
	{"open by map_files, O_RDONLY", opens_from_a_mapping, O_RDONLY},
	{"open by map_files, O_RDWR", opens_from_a_mapping, O_RDWR},

	{"permissions, 0600", has_permissions, 0600},
	{"permissions, 0444", has_permissions, 0444},
	{"permissions, 0666", has_permissions, 0666},
	{"permissions, 06777", has_permissions, 06777},
	{"permissions, 01000", has_permissions, 01000},

	{"ftruncate", is_truncated, 0},
	{"ftruncate, what lay behind the end", grows_with_zeroes, 0},
	{"RLIMIT_FSIZE", obeys_the_file_size_limit, 0},
	{"fallocate", is_allocated, 0},
	{"fallocate, KEEP_SIZE", is_allocated, FALLOC_FL_KEEP_SIZE},
	{"fallocate, PUNCH_HOLE", is_allocated, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE},
	{"fallocate, PUNCH_HOLE alone", is_allocated, FALLOC_FL_PUNCH_HOLE},
	{"fallocate, ZERO_RANGE", is_zeroed, FALLOC_FL_ZERO_RANGE},
	{"fallocate, ZERO_RANGE and KEEP_SIZE", is_zeroed,
         FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	{"fallocate, COLLAPSE_RANGE", is_allocated, FALLOC_FL_COLLAPSE_RANGE},
	{"fallocate, INSERT_RANGE", is_allocated, FALLOC_FL_INSERT_RANGE},
	{"fallocate, UNSHARE_RANGE", is_allocated, FALLOC_FL_UNSHARE_RANGE},
	{"fallocate, NO_HIDE_STALE", is_allocated, FALLOC_FL_NO_HIDE_STALE},
	{"fallocate, PUNCH_HOLE and ZERO_RANGE", is_allocated,
         FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE},
	{"fallocate, no such mode", is_allocated, 1 << 20},

	{"the largest size", is_as_large_as_can_be, 0},

	{"read, write, pread, pwrite", reads_and_writes, 0},
	{"readv, writev, preadv, pwritev", reads_and_writes_vectors, 0},
	{"preadv2, pwritev2", reads_and_writes_with, 0},
	{"preadv2, pwritev2, RWF_HIPRI", reads_and_writes_with, RWF_HIPRI},
	{"preadv2, pwritev2, RWF_DSYNC", reads_and_writes_with, RWF_DSYNC},
	{"preadv2, pwritev2, RWF_SYNC", reads_and_writes_with, RWF_SYNC},
	{"preadv2, pwritev2, RWF_NOWAIT", reads_and_writes_with, RWF_NOWAIT},
	{"preadv2, pwritev2, RWF_APPEND", reads_and_writes_with, RWF_APPEND},
	{"preadv2, pwritev2, RWF_NOAPPEND", reads_and_writes_with, 0x20},
	{"preadv2, pwritev2, RWF_ATOMIC", reads_and_writes_with, 0x40},
	{"preadv2, pwritev2, RWF_DONTCACHE", reads_and_writes_with, 0x80},
	{"preadv2, pwritev2, no such flag", reads_and_writes_with, 1 << 20},
	{"write, O_APPEND", writes_with_flag, O_APPEND},
	{"write, O_DIRECT", writes_with_flag, O_DIRECT},
	{"write, O_NONBLOCK", writes_with_flag, O_NONBLOCK},
	{"read and write of a shared mapping", reads_and_writes_its_mapping, MAP_SHARED},
	{"read and write of a private mapping", reads_and_writes_its_mapping, MAP_PRIVATE},
	{"lseek, SEEK_SET", seeks, SEEK_SET},
	{"lseek, SEEK_CUR", seeks, SEEK_CUR},
	{"lseek, SEEK_END", seeks, SEEK_END},
	{"lseek, SEEK_DATA", seeks, SEEK_DATA},
	{"lseek, SEEK_HOLE", seeks, SEEK_HOLE},
	{"lseek, no such whence", seeks, 5},

	{"sendfile", is_sent, 0},
	{"splice, tee", is_spliced, 0},
	{"vmsplice", is_vmspliced, 0},
	{"vmsplice, SPLICE_F_GIFT", is_vmspliced, SPLICE_F_GIFT},
	{"copy_file_range", is_copied, 0},

	{"mmap, MAP_SHARED", is_mapped_with, MAP_SHARED},
	{"mmap, MAP_PRIVATE", is_mapped_with, MAP_PRIVATE},
	{"mmap, MAP_SHARED_VALIDATE", is_mapped_with, MAP_SHARED_VALIDATE},
	{"mmap, MAP_SYNC", is_mapped_with, MAP_SHARED_VALIDATE | MAP_SYNC},
	{"mmap, MAP_POPULATE", is_mapped_with, MAP_SHARED | MAP_POPULATE},
	{"mmap, MAP_POPULATE, private", is_mapped_with, MAP_PRIVATE | MAP_POPULATE},
	{"mmap, MAP_HUGETLB", is_mapped_with, MAP_SHARED | MAP_HUGETLB},
	{"mmap, MAP_NORESERVE", is_mapped_with, MAP_SHARED | MAP_NORESERVE},
	{"mmap, no such type", is_mapped_with, 0},
	{"mprotect of a shared mapping", protects, MAP_SHARED},
	{"mprotect of a private mapping", protects, MAP_PRIVATE},
	{"code in a shared mapping", runs_what_is_mapped, MAP_SHARED},
	{"code in a private mapping", runs_what_is_mapped, MAP_PRIVATE},
	{"touching a shared mapping", is_touched, MAP_SHARED},
	{"touching a private mapping", is_touched, MAP_PRIVATE},
	{"calls beyond the end, shared", is_read_from_behind_the_end, MAP_SHARED},
	{"calls beyond the end, private", is_read_from_behind_the_end, MAP_PRIVATE},
	{"msync, MS_SYNC", is_synced, MS_SYNC},
	{"msync, MS_ASYNC", is_synced, MS_ASYNC},
	{"msync, MS_INVALIDATE", is_synced, MS_SYNC | MS_INVALIDATE},
	{"msync, MS_SYNC and MS_ASYNC", is_synced, MS_SYNC | MS_ASYNC},
	{"madvise shared, WILLNEED", shared_is_advised, MADV_WILLNEED},
	{"madvise shared, DONTNEED", shared_is_advised, MADV_DONTNEED},
	{"madvise shared, DONTNEED_LOCKED", shared_is_advised, MADV_DONTNEED_LOCKED},
	{"madvise shared, REMOVE", shared_is_advised, MADV_REMOVE},
	{"madvise shared, FREE", shared_is_advised, MADV_FREE},
	{"madvise shared, COLD", shared_is_advised, MADV_COLD},
	{"madvise shared, PAGEOUT", shared_is_advised, MADV_PAGEOUT},
	{"madvise shared, POPULATE_READ", shared_is_advised, MADV_POPULATE_READ},
	{"madvise shared, POPULATE_WRITE", shared_is_advised, MADV_POPULATE_WRITE},
	{"madvise shared, SEQUENTIAL", shared_is_advised, MADV_SEQUENTIAL},
	{"madvise shared, RANDOM", shared_is_advised, MADV_RANDOM},
	{"madvise shared, MERGEABLE", shared_is_advised, MADV_MERGEABLE},
	{"madvise shared, HUGEPAGE", shared_is_advised, MADV_HUGEPAGE},
	{"madvise shared, NOHUGEPAGE", shared_is_advised, MADV_NOHUGEPAGE},
	{"madvise shared, WIPEONFORK", shared_is_advised, MADV_WIPEONFORK},
	{"madvise shared, DONTDUMP", shared_is_advised, MADV_DONTDUMP},
	{"madvise shared, no such advice", shared_is_advised, 77},
	{"madvise private, WILLNEED", private_is_advised, MADV_WILLNEED},
	{"madvise private, DONTNEED", private_is_advised, MADV_DONTNEED},
	{"madvise private, REMOVE", private_is_advised, MADV_REMOVE},
	{"madvise private, FREE", private_is_advised, MADV_FREE},
	{"madvise private, PAGEOUT", private_is_advised, MADV_PAGEOUT},
	{"madvise private, POPULATE_READ", private_is_advised, MADV_POPULATE_READ},
	{"madvise private, POPULATE_WRITE", private_is_advised, MADV_POPULATE_WRITE},
	{"madvise private, MERGEABLE", private_is_advised, MADV_MERGEABLE},
	{"madvise private, WIPEONFORK", private_is_advised, MADV_WIPEONFORK},
	{"madvise, DONTFORK", stays_with_the_parent, 0},
	{"mremap of a shared mapping", is_remapped, MAP_SHARED},
	{"mremap of a private mapping", is_remapped, MAP_PRIVATE},
	{"remap_file_pages", is_remapped_in_pages, MAP_SHARED},
	{"mincore, shared", is_in_core, MAP_SHARED},
	{"mincore, private", is_in_core, MAP_PRIVATE},
	{"mlock, shared", is_locked, MAP_SHARED},
	{"mlock, private", is_locked, MAP_PRIVATE},
	{"smaps, shared", has_flags, MAP_SHARED},
	{"smaps, private", has_flags, MAP_PRIVATE},
	{"pagemap, shared", has_entries, MAP_SHARED},
	{"pagemap, private", has_entries, MAP_PRIVATE},
	{"userfaultfd, missing", has_faults_handled, UFFDIO_REGISTER_MODE_MISSING},
	{"userfaultfd, write-protected", has_faults_handled, UFFDIO_REGISTER_MODE_WP},
	{"userfaultfd, minor", has_faults_handled, UFFDIO_REGISTER_MODE_MINOR},
	{"process_vm_readv, /proc/self/mem, shared", is_reached_by_others, MAP_SHARED},
	{"process_vm_readv, /proc/self/mem, private", is_reached_by_others, MAP_PRIVATE},
	{"futex", wakes_another, 0},
	{"core dump, shared", is_dumped, MAP_SHARED},
	{"core dump, private", is_dumped, MAP_PRIVATE},

	{"fadvise, NORMAL", takes_advice, POSIX_FADV_NORMAL},
	{"fadvise, RANDOM", takes_advice, POSIX_FADV_RANDOM},
	{"fadvise, SEQUENTIAL", takes_advice, POSIX_FADV_SEQUENTIAL},
	{"fadvise, WILLNEED", takes_advice, POSIX_FADV_WILLNEED},
	{"fadvise, DONTNEED", takes_advice, POSIX_FADV_DONTNEED},
	{"fadvise, NOREUSE", takes_advice, POSIX_FADV_NOREUSE},
	{"fadvise, no such advice", takes_advice, 77},
	{"readahead", is_read_ahead, 0},
	{"fsync, fdatasync, syncfs, sync_file_range", is_written_back, 0},
	{"cachestat", is_in_the_cache, 0},

	{"flock", is_locked_whole, 0},
	{"locks of open files", is_locked_by_opens, 0},
	{"locks of processes", is_locked_by_processes, 0},
	{"fcntl", takes_flags, 0},
	{"seals", has_seals, 0},
	{"lease, F_RDLCK", is_leased, F_RDLCK},
	{"lease, F_WRLCK", is_leased, F_WRLCK},

	{"times", has_times, 0},
	{"futimens, utimensat", takes_times, 0},
	{"extended attributes", has_attributes, 0},
	{"a directory's calls", is_no_directory, 0},
	{"linkat, unlink, rename", is_linked, 0},
	{"name_to_handle_at", has_a_handle, 0},
	{"ioctl", takes_ioctls, 0},
	{"FICLONE", is_cloned, 0},

	{"dup, fork, SCM_RIGHTS", is_handed_on, 0},
	{"pidfd_getfd", is_fetched, 0},
	{"fexecve", executes, 0},
	{"io_submit", is_asked_asynchronously, 0},
	{"io_submit, O_DIRECT", is_asked_asynchronously, O_DIRECT},
	{"poll, epoll, select", is_waited_for, 0},
	{"inotify", is_watched, 0},
	{"fanotify", is_watched_by_all, 0},
	{"a loop device on it", is_a_disk, 0},
	{"swapon", is_no_swap, 0},
	{"finit_module", is_no_module, 0},
};

/* --- what differs, and is meant to --- */
#define MODE "nobody else is to have it"
#define BIRTH "it does not know when it was made"
#define FLAGS "it has no flags as chattr sets them"
#define SIZES "an object ends with a whole page"
#define BEHIND "what a mapping stores behind the end is gone when that moves on"
#define COPIES "a private copy of a hole leaves the hole"
#define O_DIRECT_SET "a memfd can be opened so, and not be set so"
#define PIPE "what is in a pipe stays as it was"
#define ATTRIBUTES "it has no extended attributes"
#define CACHE "it has no page cache"
#define SHMEM_ONLY "the kernel knows only its own files"
#define USERFAULTFD "this kernel's userfaultfd knows only its own files"
#define PROTECTION "so does its write protection"
#define LEAVES_PAGE "a memfd has a page where a write found nothing to write"
#define PRESENT "it never says absent of what may be in memory"
#define DIRTY "a page that a read made is never clean"
#define ZEROES "it has that"
#define ALLOCATED "what is allocated is zeroes, which are data"
#define REFLINKS "it has reflinks"

static const struct difference differences[] = {
	{"read, write, pread, pwrite", "blocks after writes from nowhere", LEAVES_PAGE},
	{"read, write, pread, pwrite", "holes after writes from nowhere", LEAVES_PAGE},
	{"fstat", "mode after creation", MODE},
	{"statx", "st.stx_mode", MODE},
	{"statx", "st.stx_mask", BIRTH},
	{"statx", "st.stx_btime.tv_sec != 0", BIRTH},
	{"statx", "st.stx_attributes_mask", FLAGS},
	{"fstatfs, fpathconf", "st.f_type", "it is a file system of its own"},
	{"ftruncate, what lay behind the end", "bytes after growing", BEHIND},
	{"ftruncate, what lay behind the end", "sum_of(p, PAGE)", BEHIND},
	{"RLIMIT_FSIZE", "fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, PAGES(3))", "the size stays"},
	{"open again, O_RDWR and O_TRUNC", "holes after writing to it", ALLOCATED},
	{"fallocate", "holes after *", ALLOCATED},
	{"fallocate, KEEP_SIZE", "blocks after *", "nothing is behind the end"},
	{"fallocate, ZERO_RANGE", "fallocate(*", ZEROES},
	{"fallocate, ZERO_RANGE and KEEP_SIZE", "fallocate(*", ZEROES},
	{"the largest size", "lseek(fd, INT64_MAX, SEEK_SET)", SIZES},
	{"the largest size", "ftruncate(fd, INT64_MAX)", SIZES},
	{"the largest size", "copy_file_range(*", SIZES},
	{"the largest size", "fallocate(*", SIZES},
	{"write, O_DIRECT", "fcntl(*", O_DIRECT_SET},
	{"fcntl", "F_SETFL O_DIRECT", O_DIRECT_SET},
	{"fcntl", "F_GETFL after O_DIRECT", O_DIRECT_SET},
	{"io_submit, O_DIRECT", "fcntl(*", O_DIRECT_SET},
	{"splice, tee", "sum_of(bytes, PAGES(2))", PIPE},
	{"splice, tee", "bytes after *", PIPE},
	{"touching a shared mapping", "bytes after growing", BEHIND},
	{"touching a private mapping", "blocks after growing", COPIES},
	{"touching a private mapping", "holes after growing", COPIES},
	{"mlock, private", "blocks after *", COPIES},
	{"mlock, private", "holes after *", COPIES},
	{"mincore, shared", "page *", PRESENT},
	{"mincore, private", "page *", PRESENT},
	{"smaps, shared", "Private_*", DIRTY},
	{"smaps, private", "Private_*", DIRTY},
	{"userfaultfd, missing", "*", USERFAULTFD},
	{"userfaultfd, write-protected", "*", PROTECTION},
	{"userfaultfd, minor", "*", USERFAULTFD},
	{"cachestat", "stat.cache", CACHE},
	{"seals", "fcntl(fd, F_GET_SEALS)", SHMEM_ONLY},
	{"seals", "F_ADD_SEALS *", SHMEM_ONLY},
	{"extended attributes", "*", ATTRIBUTES},
	{"name_to_handle_at", "*", "it cannot be found by a handle"},
	{"ioctl", "answer of FIOQSIZE", "only stat() has its blocks counted"},
	{"ioctl", "FS_IOC_*", FLAGS},
	{"ioctl", "FIDEDUPERANGE", REFLINKS},
	{"FICLONE", "ioctl(other, *", REFLINKS},
	{"FICLONE", "size after FICLONE", REFLINKS},
	{"FICLONE", "blocks after FICLONE", REFLINKS},
	{"FICLONE", "bytes after FICLONE", REFLINKS},
	{"FICLONE", "holes after FICLONE", REFLINKS},
};

static bool has_userfaultfd(void)
{
	struct cowmem_info info = {.size = sizeof(info)};
	int fd = object_open();

	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	close(fd);
	return info.features & COWMEM_FEATURE_USERFAULTFD;
}

/* On 6.1 not on arm64. */
static bool protects_memfds(void)
{
	struct uffdio_api api = {.api = UFFD_API};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);

	MUST(fd >= 0 && !ioctl(fd, UFFDIO_API, &api));
	close(fd);
	return api.features & UFFD_FEATURE_WP_HUGETLBFS_SHMEM;
}

static bool memfd_leaves_page(void)
{
	int fd = memfd_create("leaves", MFD_CLOEXEC);
	char *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;

	MUST(fd >= 0 && nowhere != MAP_FAILED && pwrite(fd, nowhere, 1, 0) == -1);
	MUST(!fstat(fd, &st));
	close(fd);
	munmap(nowhere, PAGE);
	return st.st_blocks;
}

/* Whether the kernel has what it is about: the debug kernels have not all of it. */
static bool is_here(const struct difference *listed)
{
	if (!strcmp(listed->reason, USERFAULTFD))
		return !has_userfaultfd();
	if (!strcmp(listed->reason, PROTECTION))
		return !has_userfaultfd() && protects_memfds();
	if (!strcmp(listed->reason, LEAVES_PAGE))
		return memfd_leaves_page();
	if (!strcmp(listed->reason, CACHE))
		return syscall(451 /* cachestat */, -1, NULL, NULL, 0) && errno != ENOSYS;
	return !debug_kernel() ||
	       (strcmp(listed->reason, ATTRIBUTES) && strcmp(listed->question, "FS_IOC_*"));
}

static struct alike alike = {
	.reference = MEMFD,
	.other = COWMEM,
	.differences = differences,
	.count = ARRAY_LENGTH(differences),
	.is_here = is_here,
};

static void ask_row(struct answers *answers, const struct row *row, const char *of)
{
	int fd;

	make = of;
	answers->count = 0;
	fd = another();
	row->ask(answers, fd, row->arg);
	close(fd);
}

int main(int argc, char **argv)
{
	static struct answers reference, other;

	if (argc > 1 && !strcmp(argv[1], LEAVE))
		return LEFT;
	if (argc > 1) {
		alike.other = argv[1];
		alike.count = 0; /* what is listed is about cowmem */
	}
	signal(SIGXFSZ, SIG_IGN);
	ksft_print_header();
	ksft_set_plan(ARRAY_LENGTH(rows) + 1);
	for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
		test_failed = false;
		ask_row(&reference, &rows[i], alike.reference);
		ask_row(&other, &rows[i], alike.other);
		compare_row(&alike, rows[i].name, &reference, &other);
		ksft_test_result(!test_failed, "%s\n", rows[i].name);
	}
	say_what_differs(&alike);
	ksft_finished();
}
