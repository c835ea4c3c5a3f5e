// SPDX-License-Identifier: GPL-2.0
/* Objects as regular files: CREATE, FILE, what SNAPSHOT and CLONE give, and what a file can do. */
#include "counts.h"
#include "relatives.h"

#include <linux/falloc.h>
#include <linux/mman.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

enum { PAGES_ = 8, SIZE = PAGES_ * PAGE };

static int create(void)
{
	int device = object_open(), fd = object_create(device, "test");

	MUST(fd >= 0);
	close(device);
	return fd;
}

/* Pages 0 to PAGES_ - 1 have their number and @generation. */
static void write_all(int fd, uint64_t generation)
{
	char page[PAGE];

	for (unsigned int i = 0; i < PAGES_; i++) {
		fill_page(page, i, generation);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
}

static bool has_page(int fd, uint64_t i, uint64_t generation)
{
	char page[PAGE];

	return pread(fd, page, PAGE, i * PAGE) == PAGE && page_is(page, i, generation);
}

static struct stat stat_of(int fd)
{
	struct stat stat;

	MUST(!fstat(fd, &stat));
	return stat;
}

/* What is behind @fd, opened again by its path. */
static int reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* Whether touching @address, for writing or not, is SIGBUS. */
static bool is_bus_error(char *address, bool write)
{
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		signal(SIGBUS, SIG_DFL);
		if (write)
			*(volatile char *)address = 1;
		else
			(void)*(volatile char *)address;
		_exit(0);
	}
	MUST(waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS;
}

/* Whether /proc/self/maps has a line with @text for the mapping at @address. */
static bool maps_say(const void *address, const char *text)
{
	char begin[32], line[512];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "re");

	MUST(maps);
	snprintf(begin, sizeof(begin), "%lx-", (unsigned long)address);
	while (fgets(line, sizeof(line), maps))
		found |= !strncmp(line, begin, strlen(begin)) && strstr(line, text);
	fclose(maps);
	return found;
}

/* --- what CREATE, FILE, SNAPSHOT and CLONE give --- */

static void created(void)
{
	int fd = create(), other = create();
	struct stat stat = stat_of(fd), device;
	char *map;

	CHECK(S_ISREG(stat.st_mode));
	CHECK_EQ(stat.st_mode & 07777, 0600);
	CHECK_EQ(stat.st_nlink, 0);
	CHECK_EQ(stat.st_size, 0);
	CHECK_EQ(stat.st_blocks, 0);
	CHECK_EQ(stat.st_uid, getuid());
	CHECK(stat.st_ino != stat_of(other).st_ino);
	MUST(!lstat(COWMEM_DEVICE, &device));
	CHECK(device.st_dev != stat.st_dev);
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_GROWS_BY_WRITE);

	/* A mapping does not make it larger, write() does. */
	map = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(maps_say(map, "/cowmem:test (deleted)"));
	CHECK_EQ(stat_of(fd).st_size, 0);
	CHECK(is_bus_error(map, false) && is_bus_error(map, true));
	CHECK_EQ(pwrite(fd, "x", 1, PAGE), 1);
	CHECK_EQ(stat_of(fd).st_size, PAGE + 1);
	CHECK_EQ(map[PAGE], 'x');
	CHECK_EQ(map[0], 0);
	CHECK(is_bus_error(map + 2 * PAGE, false));
	/* And goes on to do so when ftruncate() has set the size. */
	CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
	CHECK_EQ(pwrite(fd, "y", 1, 3 * PAGE), 1);
	CHECK_EQ(stat_of(fd).st_size, 3 * PAGE + 1);
	/* RESIZE fixes it. */
	CHECK_EQ(object_resize(fd, 2 * PAGE), 0);
	CHECK_ERRNO(pwrite(fd, "y", 1, 3 * PAGE), ENOSPC);
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_FIXED_SIZE);
	munmap(map, SIZE);
	close(other);
	close(fd);
}

static void bad_arguments(void)
{
	char name[COWMEM_NAME_MAX + 2], want[sizeof(name) + 32];
	struct counts before = counts_now();
	int fd = object_open(), null = open("/dev/null", O_RDWR | O_CLOEXEC), made;
	struct {
		union {
			struct cowmem_create create;
			struct cowmem_file file;
		};
		char beyond[8];
	} arg;
	const struct {
		unsigned int number;
		uint32_t size, flags; /* that it knows */
	} commands[] = {
		{COWMEM_IOC_CREATE, sizeof(struct cowmem_create),
	         COWMEM_CREATE_PINNABLE | COWMEM_CREATE_HUGE},
		{COWMEM_IOC_FILE, sizeof(struct cowmem_file), 0},
	};
	char *map;

	MUST(null >= 0);
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		memset(&arg, 0, sizeof(arg));
		CHECK_ERRNO(ioctl(null, commands[i].number, &arg), ENOTTY);
		CHECK_ERRNO(ioctl(fd, commands[i].number, NULL), EFAULT);
		for (arg.create.size = 0; arg.create.size < commands[i].size; arg.create.size++)
			CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
		arg.create.size = PAGE + 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), E2BIG);
		arg.create.size = commands[i].size + 8;
		((char *)&arg)[commands[i].size] = 1;
		CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), E2BIG);
		((char *)&arg)[commands[i].size] = 0;
		for (int bit = 0; bit < 32; bit++) {
			arg.create.flags = 1U << bit;
			if (!(commands[i].flags & 1U << bit))
				CHECK_ERRNO(ioctl(fd, commands[i].number, &arg), EINVAL);
		}
	}
	arg.create = (struct cowmem_create){.size = sizeof(arg.create), .__reserved = 1};
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CREATE, &arg), EINVAL);
	arg.file = (struct cowmem_file){.size = sizeof(arg.file), .__reserved = 1};
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_FILE, &arg), EINVAL);
	CHECK_ERRNO(object_create(fd, (const char *)8), EFAULT);
	memset(name, 'n', sizeof(name));
	name[COWMEM_NAME_MAX + 1] = 0;
	CHECK_ERRNO(object_create(fd, name), ENAMETOOLONG);
	name[COWMEM_NAME_MAX] = 0;
	made = object_create(fd, name);
	MUST(made >= 0 && !ftruncate(made, PAGE));
	map = object_map(made, PAGE, PROT_READ, MAP_SHARED);
	snprintf(want, sizeof(want), "/cowmem:%s (deleted)", name);
	CHECK(maps_say(map, want));
	munmap(map, PAGE);
	close(made);
	close(null);
	close(fd);
	check_returned(before);
}

/* FILE is the same object, with the rights of the descriptor. */
static void file_of_device(void)
{
	struct counts before = counts_now();
	int fd = object_open(), file, same, read_only, path;
	char *map;

	write_all(fd, 1);
	file = object_file(fd);
	MUST(file >= 0);
	CHECK(S_ISREG(stat_of(file).st_mode));
	CHECK_EQ(stat_of(file).st_size, SIZE);
	CHECK_EQ(stat_of(file).st_blocks, SIZE / 512);
	CHECK(has_page(file, 3, 1));
	same = object_file(file);
	MUST(same >= 0);
	CHECK_EQ(stat_of(same).st_ino, stat_of(file).st_ino);
	CHECK_EQ(SINCE(before, objects_created), 1);
	/* It grows as the device's descriptor has it, until ftruncate(). */
	map = object_map(file, 2 * SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(stat_of(file).st_size, 2 * SIZE);
	CHECK_EQ(ftruncate(file, SIZE), 0);
	CHECK_EQ(object_stat(fd).bytes, SIZE);
	CHECK(is_bus_error(map + SIZE, false));
	munmap(map, 2 * SIZE);
	path = reopen(file, O_RDONLY);
	MUST(path >= 0);
	read_only = object_file(path);
	MUST(read_only >= 0);
	close(path);
	CHECK_ERRNO(pwrite(read_only, "x", 1, 0), EBADF);
	path = reopen(file, O_WRONLY);
	CHECK_ERRNO(object_file(path), EBADF);
	close(path);
	/* The object outlives the device's descriptor. */
	close(fd);
	CHECK(has_page(file, 3, 1) && has_page(read_only, 3, 1));
	CHECK_EQ(SINCE(before, objects_freed), 0);
	close(file);
	close(same);
	close(read_only);
	check_returned(before);
}

/* Opened again by path it is the same object, with the rights that its mode allows. */
static void reopened(void)
{
	int fd = create(), again, read_only, then, clone, path;
	struct stat stat;
	char *map, name[64];

	write_all(fd, 1);
	again = reopen(fd, O_RDWR);
	read_only = reopen(fd, O_RDONLY);
	MUST(again >= 0 && read_only >= 0);
	CHECK_EQ(stat_of(again).st_ino, stat_of(fd).st_ino);
	CHECK_EQ(pwrite(again, "new", 3, PAGE), 3);
	map = object_map(read_only, SIZE, PROT_READ, MAP_SHARED);
	CHECK(!memcmp(map + PAGE, "new", 3));
	CHECK_ERRNO(pwrite(read_only, "x", 1, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, read_only, 0), EACCES);
	CHECK_EQ(object_stat(again).bytes, SIZE);

	/* By the mapping. */
	snprintf(name, sizeof(name), "/proc/self/map_files/%lx-%lx", (unsigned long)map,
	         (unsigned long)map + SIZE);
	path = open(name, O_RDONLY | O_CLOEXEC);
	MUST(path >= 0);
	CHECK_EQ(stat_of(path).st_ino, stat_of(fd).st_ino);
	close(path);

	/* A snapshot is not opened for writing, whoever asks, a clone is. */
	then = snapshot(fd);
	clone = clone_of(then);
	stat = stat_of(then);
	CHECK(S_ISREG(stat.st_mode) && (stat.st_mode & 07777) == 0400);
	CHECK_EQ(stat.st_size, SIZE);
	CHECK_EQ(stat.st_blocks, SIZE / 512);
	CHECK_EQ(stat.st_nlink, 0);
	CHECK_ERRNO(reopen(then, O_RDWR), EROFS);
	CHECK_ERRNO(reopen(then, O_WRONLY), EROFS);
	CHECK_ERRNO(reopen(then, O_RDONLY | O_TRUNC), EROFS);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", then);
	CHECK_ERRNO(truncate(name, 0), EROFS);
	path = reopen(then, O_RDONLY);
	MUST(path >= 0);
	CHECK(has_page(path, 0, 1));
	close(path);
	path = reopen(clone, O_RDWR);
	MUST(path >= 0);
	CHECK_EQ(stat_of(path).st_mode & 07777, 0600);
	write_all(path, 2);
	CHECK(has_page(clone, 5, 2) && has_page(fd, 5, 1) && has_page(then, 5, 1));
	close(path);
	/* O_TRUNC empties. */
	path = reopen(clone, O_RDWR | O_TRUNC);
	CHECK_EQ(stat_of(clone).st_size, 0);
	CHECK_EQ(stat_of(clone).st_blocks, 0);
	CHECK(has_page(fd, 5, 1));
	close(path);
	munmap(map, SIZE);
	close(clone);
	close(then);
	close(read_only);
	close(again);
	close(fd);
}

/* --- the size, and what lies behind it --- */

/* What a mapping stores behind the end, in the last page, is not seen when the end moves on. */
static void nothing_from_behind_the_end(void)
{
	char page[PAGE], zeroes[PAGE] = {};
	int fd = create(), then;
	char *map;

	for (int how = 0; how < 4; how++) {
		CHECK_EQ(ftruncate(fd, 0), 0);
		CHECK_EQ(pwrite(fd, "begin", 5, 0), 5);
		map = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		memset(map + 5, 'x', PAGE - 5);
		then = how % 2 ? snapshot(fd) : -1;
		if (how < 2)
			CHECK_EQ(pwrite(fd, "end", 3, 2 * PAGE), 3);
		else
			CHECK_EQ(ftruncate(fd, 2 * PAGE), 0);
		CHECK_EQ(pread(fd, page, PAGE, 0), PAGE);
		CHECK(!memcmp(page, "begin", 5) && !memcmp(page + 5, zeroes, PAGE - 5));
		CHECK(!memcmp(map + 5, zeroes, PAGE - 5));
		if (then >= 0)
			close(then);
		munmap(map, PAGE);
	}
	close(fd);
}

/* --- fallocate --- */

static void allocation(void)
{
	struct counts before;
	int fd = create();
	struct rlimit limit, old;

	/* Memory for the holes, and the size. */
	CHECK_EQ(pwrite(fd, "data", 4, PAGE), 4);
	before = counts_now();
	CHECK_EQ(fallocate(fd, 0, 100, 3 * PAGE), 0);
	CHECK_EQ(stat_of(fd).st_size, 3 * PAGE + 100);
	CHECK_EQ(stat_of(fd).st_blocks, 4 * PAGE / 512);
	CHECK_EQ(SINCE(before, pages_allocated), 3);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), 3 * PAGE + 100);
	/* Behind the end there is nothing. */
	CHECK_EQ(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, SIZE), 0);
	CHECK_EQ(stat_of(fd).st_size, 3 * PAGE + 100);
	CHECK_EQ(stat_of(fd).st_blocks, 4 * PAGE / 512);

	/* Modes that it has not. */
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 0, PAGE), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_INSERT_RANGE, 0, PAGE), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE), EOPNOTSUPP);
	CHECK_ERRNO(fallocate(fd, 0, 0, 0), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, -1, PAGE), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, INT64_MAX, 1), EFBIG);
	CHECK_ERRNO(fallocate(reopen(fd, O_RDONLY), 0, 0, PAGE), EBADF);
	/* A limit of the process. */
	MUST(!getrlimit(RLIMIT_FSIZE, &old));
	limit = (struct rlimit){SIZE, old.rlim_max};
	signal(SIGXFSZ, SIG_IGN);
	MUST(!setrlimit(RLIMIT_FSIZE, &limit));
	CHECK_ERRNO(fallocate(fd, 0, 0, SIZE + 1), EFBIG);
	CHECK_ERRNO(ftruncate(fd, SIZE + 1), EFBIG);
	MUST(!setrlimit(RLIMIT_FSIZE, &old));
	/* What does not grow. */
	CHECK_EQ(object_resize(fd, 2 * PAGE), 0);
	CHECK_ERRNO(fallocate(fd, 0, 0, 2 * PAGE + 1), ENOSPC);
	CHECK_EQ(fallocate(fd, 0, 0, 2 * PAGE), 0);
	close(fd);
}

/* Holes and zeroes of any bytes, next to a model in memory; also where pages are shared. */
static void holes_and_zeroes(void)
{
	static const int modes[] = {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                            FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	                            FALLOC_FL_ZERO_RANGE};
	static const long edges[] = {0, 1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 3 * PAGE - 7};
	static char model[SIZE], now[SIZE];
	int fd = create();

	for (size_t mode = 0; mode < ARRAY_LENGTH(modes); mode++)
		for (size_t i = 0; i < ARRAY_LENGTH(edges); i++)
			for (size_t j = i + 1; j < ARRAY_LENGTH(edges); j++)
				for (int shared = 0; shared < 2; shared++) {
					long begin = edges[i], end = edges[j];
					int then;

					write_all(fd, 1);
					MUST(pread(fd, model, SIZE, 0) == SIZE);
					then = shared ? snapshot(fd) : -1;
					CHECK_EQ(fallocate(fd, modes[mode], begin, end - begin), 0);
					memset(model + begin, 0, end - begin);
					CHECK_EQ(pread(fd, now, SIZE, 0), SIZE);
					CHECK(!memcmp(model, now, SIZE));
					if (shared) {
						for (unsigned int page = 0; page < PAGES_; page++)
							CHECK(has_page(then, page, 1));
						close(then);
					}
				}
	/* A hole takes no memory, zeroes do. */
	CHECK_EQ(fallocate(fd, modes[0], 0, SIZE), 0);
	CHECK_EQ(stat_of(fd).st_blocks, 0);
	CHECK_EQ(fallocate(fd, modes[1], 1, SIZE - 2), 0);
	CHECK_EQ(stat_of(fd).st_blocks, SIZE / 512);
	CHECK_EQ(stat_of(fd).st_size, SIZE);
	CHECK_EQ(fallocate(fd, modes[2], 0, SIZE + 1), 0);
	CHECK_EQ(stat_of(fd).st_size, SIZE + 1);
	close(fd);
}

static void madvise_remove(void)
{
	int fd = create();
	char *map;

	write_all(fd, 1);
	map = object_map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(madvise(map + PAGE, 2 * PAGE, MADV_REMOVE), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), PAGE);
	CHECK_EQ(lseek(fd, PAGE, SEEK_DATA), 3 * PAGE);
	CHECK(page_is(map, 0, 1) && page_is(map + 3 * PAGE, 3, 1));
	CHECK_EQ(map[PAGE] | map[2 * PAGE], 0);
	munmap(map, SIZE);
	close(fd);
}

/* --- hints --- */
static void hints(void)
{
	struct counts before;
	int fd = create(), read_only;
	char *map;

	write_all(fd, 1);
	read_only = reopen(fd, O_RDONLY);
	CHECK_EQ(posix_fadvise(read_only, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES_);
	CHECK_EQ(posix_fadvise(fd, PAGE, 2 * PAGE + 1, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES_ - 2);
	CHECK_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(stat_of(fd).st_blocks, SIZE / 512);
	CHECK_EQ(posix_fadvise(read_only, PAGE + 1, 1, POSIX_FADV_WILLNEED), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	map = object_map(read_only, SIZE, PROT_READ, MAP_SHARED);
	CHECK_EQ(madvise(map + 4 * PAGE, 2 * PAGE, MADV_WILLNEED), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 3);
	before = counts_now();
	CHECK(page_is(map + 4 * PAGE, 4, 1) && page_is(map + 5 * PAGE, 5, 1));
	CHECK_EQ(SINCE(before, pages_allocated), 0);
	CHECK(page_is(map + 7 * PAGE, 7, 1));
	CHECK_EQ(posix_fadvise(fd, 0, 0, 6), EINVAL);
	munmap(map, SIZE);
	close(read_only);
	close(fd);
}

/* --- what is the inode's --- */
static void locks_and_times(void)
{
	/* A machine may know no more of the time than how long it runs. */
	const struct timespec times[2] = {{1, 0}, {2, 0}};
	int fd = create(), other = create(), again = reopen(fd, O_RDWR);
	struct flock region = {.l_type = F_WRLCK};
	char byte;

	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	CHECK_ERRNO(flock(again, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	CHECK_EQ(flock(other, LOCK_EX | LOCK_NB), 0);
	CHECK_EQ(fcntl(fd, F_OFD_SETLK, &region), 0);
	CHECK_ERRNO(fcntl(again, F_OFD_SETLK, &region), EAGAIN);
	CHECK_EQ(fcntl(other, F_OFD_SETLK, &region), 0);

	CHECK_EQ(futimens(fd, times), 0);
	CHECK_EQ(stat_of(fd).st_mtim.tv_sec, 2);
	CHECK_EQ(pwrite(again, "x", 1, 0), 1);
	CHECK(stat_of(fd).st_mtim.tv_sec > 2);
	CHECK_EQ(futimens(fd, times), 0);
	CHECK_EQ(pread(again, &byte, 1, 0), 1);
	CHECK(stat_of(fd).st_atim.tv_sec > 1);
	CHECK_EQ(stat_of(fd).st_mtim.tv_sec, 2);
	CHECK_EQ(ftruncate(fd, PAGE), 0);
	CHECK(stat_of(fd).st_mtim.tv_sec > 2);
	CHECK_EQ(fchmod(fd, 0640), 0);
	CHECK_EQ(stat_of(again).st_mode & 07777, 0640);
	CHECK_EQ(fchown(fd, 5, 6), 0);
	CHECK_EQ(stat_of(again).st_uid, 5);
	CHECK_EQ(stat_of(again).st_gid, 6);
	close(again);
	close(other);
	close(fd);
}

static void copies_between_files(void)
{
	int from = create(), to = create();
	off_t in = PAGE, out = 0;

	write_all(from, 1);
	CHECK_EQ(copy_file_range(from, &in, to, &out, 2 * PAGE, 0), 2 * PAGE);
	CHECK_EQ(stat_of(to).st_size, 2 * PAGE);
	char page[PAGE];
	CHECK_EQ(pread(to, page, PAGE, PAGE), PAGE);
	CHECK(page_is(page, 2, 1));
	close(from);
	close(to);
}

/* --- what the kernel tells, and tries --- */

/* The number, or the word, that /proc/self/fdinfo has of @fd behind @name, in @text. */
static const char *told(int fd, const char *name, char *text, size_t room)
{
	char path[48], *line;
	ssize_t length;
	int info;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	info = open(path, O_RDONLY | O_CLOEXEC);
	MUST(info >= 0);
	length = read(info, text, room - 1);
	MUST(length > 0);
	text[length] = 0;
	close(info);
	line = strstr(text, name);
	if (!line)
		return "";
	line += strlen(name) + 2;
	line[strcspn(line, "\n")] = 0;
	return line;
}

static void fdinfo(void)
{
	char a[1024], b[1024];
	struct cowmem_snapshot limited = {
		.size = sizeof(limited), .flags = COWMEM_SNAPSHOT_LIMIT, .max_copies = 5};
	int fd = create(), then, clone;

	write_all(fd, 1);
	CHECK(!strcmp(told(fd, "cowmem-kind", a, sizeof(a)), "object"));
	CHECK(!strcmp(told(fd, "cowmem-family", a, sizeof(a)), "0"));
	CHECK(!strcmp(told(fd, "cowmem-own-pages", a, sizeof(a)), "8"));
	CHECK(!strcmp(told(fd, "cowmem-copies", a, sizeof(a)), ""));
	MUST(!ioctl(fd, COWMEM_IOC_SNAPSHOT, &limited));
	then = limited.fd;
	clone = clone_of(then);
	write_all(clone, 2);
	CHECK_EQ(posix_fadvise(clone, 0, 3 * PAGE, POSIX_FADV_DONTNEED), 0);
	MUST(pwrite(fd, "x", 1, 0) == 1);
	CHECK(!strcmp(told(then, "cowmem-kind", a, sizeof(a)), "snapshot"));
	CHECK(!strcmp(told(clone, "cowmem-kind", a, sizeof(a)), "clone"));
	CHECK(!strcmp(told(then, "cowmem-family", a, sizeof(a)),
	              told(clone, "cowmem-family", b, sizeof(b))));
	CHECK_EQ(strtoul(told(then, "cowmem-parent", a, sizeof(a)), NULL, 10), stat_of(fd).st_ino);
	CHECK_EQ(strtoul(told(clone, "cowmem-parent", a, sizeof(a)), NULL, 10),
	         stat_of(then).st_ino);
	CHECK(!strcmp(told(then, "cowmem-copies", a, sizeof(a)), "1 of 5"));
	CHECK(!strcmp(told(fd, "cowmem-own-pages", a, sizeof(a)), "1"));
	CHECK(!strcmp(told(fd, "cowmem-pages", a, sizeof(a)), "8"));
	CHECK(!strcmp(told(clone, "cowmem-own-pages", a, sizeof(a)), "5"));
	CHECK(!strcmp(told(clone, "cowmem-own-slots", a, sizeof(a)), "3"));
	CHECK(!strcmp(told(clone, "cowmem-pages", a, sizeof(a)), "8"));
	close(clone);
	close(then);
	close(fd);
}

/* What poll() says of @fd at once. */
static int polled(int fd)
{
	struct pollfd ask = {.fd = fd, .events = POLLIN | POLLOUT};

	MUST(poll(&ask, 1, 0) >= 0);
	return ask.revents;
}

/* Waits for news of the descriptor that it is given, and says which. */
static int wait_for_news(int fd)
{
	pid_t child = fork();

	MUST(child >= 0);
	if (!child) {
		struct pollfd ask = {.fd = fd, .events = POLLIN};

		MUST(!close_range(3, fd - 1, 0) && !close_range(fd + 1, ~0U, 0));
		_exit(poll(&ask, 1, -1) == 1 ? ask.revents : 0);
	}
	return child;
}

static int news_of(pid_t child)
{
	int status;

	MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool sleeps(pid_t child)
{
	char text[512];

	return proc_stat(child, text, sizeof(text))[1] == 'S';
}

/* Of a snapshot: its limit is near, it was dropped, its last relative is gone. */
static void polling(void)
{
	struct cowmem_snapshot limited = {.size = sizeof(limited),
	                                  .flags = COWMEM_SNAPSHOT_LIMIT | COWMEM_SNAPSHOT_DROP,
	                                  .max_copies = PAGES_ - 2};
	int fd = create(), then, other;
	pid_t child;

	write_all(fd, 1);
	CHECK_EQ(polled(fd), POLLIN | POLLOUT);
	MUST(!ioctl(fd, COWMEM_IOC_SNAPSHOT, &limited));
	then = limited.fd;
	CHECK_EQ(polled(then), 0);
	child = wait_for_news(then);
	CHECK(COMES(sleeps(child)));
	for (int i = 0; i < PAGES_ - 3; i++)
		MUST(pwrite(fd, "x", 1, i * PAGE) == 1);
	CHECK(sleeps(child));
	CHECK_EQ(polled(then), 0);
	MUST(pwrite(fd, "x", 1, (PAGES_ - 3) * PAGE) == 1);
	CHECK_EQ(news_of(child), POLLIN);
	CHECK_EQ(polled(then), POLLIN);
	CHECK(!(object_stat(then).state & COWMEM_STATE_DROPPED));
	MUST(pwrite(fd, "x", 1, (PAGES_ - 2) * PAGE) == 1);
	CHECK(object_stat(then).state & COWMEM_STATE_DROPPED);
	CHECK_EQ(polled(then), POLLIN);
	/* The relatives of another go; a file of the same is no relative. */
	close(then);
	then = snapshot(fd);
	other = reopen(fd, O_RDWR);
	child = wait_for_news(then);
	CHECK(COMES(sleeps(child)));
	close(fd);
	CHECK_EQ(polled(then), 0);
	close(other);
	CHECK_EQ(news_of(child), POLLHUP);
	CHECK_EQ(polled(then), POLLHUP);
	close(then);
}

/* What makes huge pages of files' read-only text finds nothing that it may take. */
static void no_huge_pages_of_text(void)
{
	enum { HUGE = 2 << 20 };
	char *area = mmap(NULL, 2 * HUGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), *text;
	int fd = create(), read_only;
	struct counts before;

	MUST(area != MAP_FAILED && !ftruncate(fd, HUGE) && !fchmod(fd, 0700));
	for (unsigned int i = 0; i < HUGE / PAGE; i++) {
		char page[PAGE];

		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == PAGE);
	}
	read_only = reopen(fd, O_RDONLY);
	MUST(read_only >= 0);
	close(fd);
	text = (char *)(((uintptr_t)area + HUGE - 1) & ~(HUGE - 1UL));
	MUST(mmap(text, HUGE, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED, read_only, 0) == text);
	for (unsigned int i = 0; i < HUGE / PAGE; i++)
		CHECK(page_is(text + i * PAGE, i, 1));
	before = counts_now();
	errno = 0;
	CHECK(madvise(text, HUGE, MADV_COLLAPSE) == -1);
	CHECK(errno == EINVAL || errno == EAGAIN || errno == EBUSY || errno == ENOMEM);
	CHECK_EQ(SINCE(before, pages_freed), 0);
	for (unsigned int i = 0; i < HUGE / PAGE; i++)
		CHECK(page_is(text + i * PAGE, i, 1));
	CHECK_EQ(object_stat(read_only).resident_pages, HUGE / PAGE);
	munmap(area, 2 * HUGE);
	close(read_only);
}

static const struct test_case cases[] = {
	{"CREATE: a regular file that grows by write()", "", created},
	{"CREATE, FILE: bad arguments", "", bad_arguments},
	{"FILE: the object of a descriptor of the device", "", file_of_device},
	{"opened again by path", "", reopened},
	{"nothing is seen from behind the end", "", nothing_from_behind_the_end},
	{"fallocate: memory, and the size", "", allocation},
	{"fallocate: holes and zeroes of any bytes", "", holes_and_zeroes},
	{"MADV_REMOVE", "", madvise_remove},
	{"posix_fadvise and MADV_WILLNEED", "", hints},
	{"locks, times, mode and owner are the inode's", "", locks_and_times},
	{"copy_file_range", "", copies_between_files},
	{"fdinfo", "", fdinfo},
	{"poll() of a snapshot", "", polling},
	{"no huge pages of text", "", no_huge_pages_of_text},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
