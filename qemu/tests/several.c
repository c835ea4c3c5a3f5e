// SPDX-License-Identifier: GPL-2.0
/* SNAPSHOT_SET: snapshots of several objects, of one instant, or none at all. */
#include "absent.h"
#include "counts.h"
#include "instant.h"
#include "relatives.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define PAGES 16UL
#define MOST COWMEM_SNAPSHOT_SET_MAX

static void close_all(const int *fds, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++)
		close(fds[i]);
}

static char *map_all(int fd)
{
	return object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
}

static uint64_t word_of(int fd)
{
	uint64_t word;

	MUST(pread(fd, &word, sizeof(word), 0) == sizeof(word));
	return word;
}

/* Each is the snapshot of its object, in the order of those, whatever the order of their locks. */
static void each_has_its_own(void)
{
	struct counts before = counts_now();
	int fd[MOST], then[MOST], again[MOST];

	for (uint64_t i = 0; i < MOST; i++) {
		fd[i] = object_open();
		MUST(pwrite(fd[i], &i, sizeof(i), 0) == sizeof(i));
	}
	CHECK_EQ(snapshot_set(fd[5], fd, then, MOST), 0);
	CHECK_EQ(SINCE(before, snapshots), MOST);
	for (uint64_t i = 0; i < MOST; i++) {
		CHECK_EQ(object_stat(then[i]).state, COWMEM_STATE_FIXED_SIZE | COWMEM_STATE_FROZEN);
		CHECK_EQ(object_stat(then[i]).bytes, sizeof(i));
		CHECK_EQ(object_stat(then[i]).max_copies, ~0ULL);
		CHECK_EQ(object_stat(fd[i]).layers, 1);
		CHECK_EQ(fcntl(then[i], F_GETFD), FD_CLOEXEC);
		MUST(pwrite(fd[i], "x", 1, 0) == 1);
		CHECK_EQ(word_of(then[i]), i);
		CHECK_EQ(object_stat(then[i]).copies, 1);
	}
	/* Snapshots and clones among them, of one family, too; asked through one that is not. */
	for (unsigned int i = 1; i + 1 < MOST; i += 3) {
		close(fd[i]);
		fd[i] = then[i - 1];
		then[i - 1] = -1;
		close(fd[i + 1]);
		fd[i + 1] = clone_of(fd[i]);
	}
	CHECK_EQ(snapshot_set(then[MOST - 1], fd, again, MOST), 0);
	for (unsigned int i = 0; i < MOST; i++) {
		CHECK_EQ(word_of(again[i]), word_of(fd[i]));
		CHECK(layers_are_sound(again[i]));
	}
	/* The array may be the same. */
	close_all(again, MOST);
	memcpy(again, fd, sizeof(fd));
	CHECK_EQ(snapshot_set(fd[0], again, again, MOST), 0);
	for (unsigned int i = 0; i < MOST; i++) {
		CHECK(again[i] != fd[i]);
		CHECK_EQ(word_of(again[i]), word_of(fd[i]));
	}
	close_all(again, MOST);
	close_all(then, MOST);
	close_all(fd, MOST);
	check_returned(before);
}

/* --- one instant --- */
/* What a snapshot has of a pair of which each object has a half, at the same place. */
static void check_in_step(int first, int second, unsigned long page, uint64_t *last,
                          unsigned int *moved)
{
	uint64_t a, b;

	MUST(pread(first, &a, sizeof(a), (off_t)(page * PAGE)) == sizeof(a));
	MUST(pread(second, &b, sizeof(b), (off_t)(page * PAGE)) == sizeof(b));
	if (a - b > 1)
		ksft_print_msg("page %lu: %lu, %lu\n", page, (long)a, (long)b);
	CHECK(a - b <= 1);
	*moved += a != *last;
	*last = a;
}

/*
 * A thread that writes one object first, and a process that writes the other first: so that
 * either order of the two to be frozen would be seen.
 */
static void one_instant(void)
{
	const unsigned int rounds = fewer_if_debug(80);
	struct counts before = counts_now();
	int fd[2] = {object_open(), object_open()}, then[2];
	char *map[2] = {map_all(fd[0]), map_all(fd[1])};
	struct pair forth = {(void *)map[0], (void *)map[1]};
	struct pair back = {(void *)(map[1] + PAGE), (void *)(map[0] + PAGE)};
	unsigned int moved[2] = {0, 0};
	uint64_t last[2] = {0, 0};
	pthread_t thread;
	pid_t child;

	memset(map[0], 0, PAGES * PAGE);
	memset(map[1], 0, PAGES * PAGE);
	child = fork();
	MUST(child >= 0);
	if (!child)
		keep_in_step(&back);
	MUST(!pthread_create(&thread, NULL, keep_in_step, &forth));
	for (unsigned int round = 0; round < rounds; round++) {
		/* It takes a while from the first page to the last. */
		for (unsigned long i = 2; i < PAGES; i++)
			map[0][i * PAGE] = map[1][i * PAGE] = (char)round;
		MUST(!snapshot_set(fd[0], fd, then, 2));
		check_in_step(then[0], then[1], 0, &last[0], &moved[0]);
		check_in_step(then[1], then[0], 1, &last[1], &moved[1]);
		close_all(then, 2);
		usleep(500);
	}
	atomic_store(&stop, true);
	MUST(!pthread_join(thread, NULL));
	MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	CHECK(moved[0] > rounds / 10 && moved[1] > rounds / 10);
	for (int i = 0; i < 2; i++) {
		CHECK(layers_are_sound(fd[i]));
		munmap(map[i], PAGES * PAGE);
		close(fd[i]);
	}
	check_returned(before);
}

/* --- locks: sets in each other's way, in whatever order they name their objects, and what holds two locks --- */
enum { FELLOWS = 4, MEETINGS = 1000 };

static int fellow[FELLOWS];

static void *take_sets(void *argument)
{
	const unsigned int start = *(const unsigned int *)argument;
	int objects[FELLOWS], made[FELLOWS];

	for (unsigned int n = 0; n < fewer_if_debug(MEETINGS); n++) {
		for (unsigned int i = 0; i < FELLOWS; i++)
			objects[i] = fellow[(start * i + n) % FELLOWS];
		MUST(!snapshot_set(objects[0], objects, made, FELLOWS));
		close_all(made, FELLOWS);
	}
	return NULL;
}

/* The last of them is a snapshot that the first is restored to, and a file is written from a mapping of another. */
static void sets_meet(void)
{
	struct counts before = counts_now();
	unsigned int forth = 1, back = FELLOWS - 1;
	pthread_t threads[2];
	char *map;

	for (unsigned int i = 0; i + 1 < FELLOWS; i++) {
		fellow[i] = object_open();
		MUST(pwrite(fellow[i], "x", 1, 0) == 1);
	}
	fellow[FELLOWS - 1] = snapshot(fellow[0]);
	map = object_map(fellow[1], PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	MUST(!pthread_create(&threads[0], NULL, take_sets, &forth));
	MUST(!pthread_create(&threads[1], NULL, take_sets, &back));
	for (unsigned int n = 0; n < fewer_if_debug(MEETINGS); n++) {
		map[1] = (char)n;
		MUST(pwrite(fellow[2], map, PAGE, 0) == (ssize_t)PAGE);
		MUST(pwrite(fellow[0], map, PAGE, 0) == (ssize_t)PAGE);
		CHECK_EQ(restore(fellow[0], fellow[FELLOWS - 1]), 0);
	}
	for (int i = 0; i < 2; i++)
		MUST(!pthread_join(threads[i], NULL));
	munmap(map, PAGE);
	CHECK(layers_are_sound(fellow[0]));
	close_all(fellow, FELLOWS);
	check_returned(before);
}

/* Sets of objects that are written all the time, each by who has its lock for nearly all of it. */
static void sets_of_busy_objects(void)
{
	enum { BUSY = 4, SETS = 10, LENGTH = 1 << 20 };
	struct counts before = counts_now();
	pid_t writer[BUSY];
	int fd[BUSY], made[BUSY];

	for (int i = 0; i < BUSY; i++)
		fd[i] = object_open();
	for (int i = 0; i < BUSY; i++) {
		writer[i] = fork();
		MUST(writer[i] >= 0);
		if (!writer[i]) {
			char *bytes = calloc(1, LENGTH);

			MUST(bytes);
			while (pwrite(fd[i], bytes, LENGTH, 0) == LENGTH)
				;
			_exit(1);
		}
		CHECK(COMES(object_stat(fd[i]).bytes == LENGTH));
	}
	for (int i = 0; i < SETS; i++) {
		MUST(!snapshot_set(fd[0], fd, made, BUSY));
		close_all(made, BUSY);
	}
	for (int i = 0; i < BUSY; i++) {
		MUST(!kill(writer[i], SIGKILL));
		MUST(waitpid(writer[i], NULL, 0) == writer[i]);
	}
	close_all(fd, BUSY);
	check_returned(before);
}

/*
 * A set waits for a write() of one of its objects, which waits for memory: the other can be
 * written meanwhile, whichever is locked first, and who waits can be killed.
 */
static void a_set_that_waits(void)
{
	struct counts before = counts_now();
	int fd[2] = {object_open(), object_open()}, made[2];

	/* The first snapshot of an object waits for a write() before anything is created. */
	for (int i = 0; i < 2; i++)
		close(snapshot(fd[i]));
	for (int i = 0; i < 2; i++) {
		const unsigned long created = SINCE(before, objects_created);
		struct stuck_write other;
		pid_t child;

		if (!stuck_write_begin(&other, fd[i])) {
			close_all(fd, 2);
			SKIP("this kernel has no userfaultfd");
		}
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(snapshot_set(fd[0], fd, made, 2) ? 1 : 0);
		CHECK(COMES(SINCE(before, objects_created) == created + 2));
		MUST(pwrite(fd[!i], "x", 1, 0) == 1);
		MUST(!kill(child, SIGKILL));
		CHECK(COMES(waitpid(child, NULL, WNOHANG) == child));
		stuck_write_end(&other);
		CHECK(COMES(SINCE(before, objects_freed) + 2 == SINCE(before, objects_created)));
	}
	CHECK_EQ(SINCE(before, snapshots), 2);
	close_all(fd, 2);
	check_returned(before);
}

/* --- all or nothing --- */
static int descriptors(void)
{
	int count = 0;

	for (int fd = 0; fd < 256; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void bad_sets(void)
{
	struct counts before = counts_now();
	int fd[MOST + 1], made[MOST + 1], null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int closed, unreadable = open(COWMEM_DEVICE, O_WRONLY | O_CLOEXEC), again, open_before;
	struct cowmem_snapshot_set arg = {.size = sizeof(arg),
	                                  .objects = (uintptr_t)fd,
	                                  .snapshots = (uintptr_t)made,
	                                  .count = 3};
	char *page =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int *at_the_end;

	for (unsigned int i = 0; i <= MOST; i++)
		fd[i] = object_open();
	again = dup(fd[0]);
	closed = dup(null);
	MUST(null >= 0 && unreadable >= 0 && page != MAP_FAILED);
	MUST(!close(closed) && !mprotect(page + PAGE, PAGE, PROT_NONE));
	open_before = descriptors();

	CHECK_ERRNO(ioctl(null, COWMEM_IOC_SNAPSHOT_SET, &arg), ENOTTY);
	CHECK_ERRNO(snapshot_set(fd[0], fd, made, 0), EINVAL);
	CHECK_ERRNO(snapshot_set(fd[0], fd, made, MOST + 1), EINVAL);
	CHECK_ERRNO(snapshot_set(fd[0], fd, made, -1U), EINVAL);
	arg.__reserved = 1;
	CHECK_ERRNO(ioctl(fd[0], COWMEM_IOC_SNAPSHOT_SET, &arg), EINVAL);

	/* The last one is not what it should be. */
	const struct {
		int fd, error;
	} last[] = {
		{closed, EBADF}, {-1, EBADF},     {unreadable, EBADF},
		{null, EINVAL},  {fd[0], EINVAL}, {again, EINVAL},
	};
	for (size_t i = 0; i < ARRAY_LENGTH(last); i++) {
		const int objects[] = {fd[0], fd[1], last[i].fd};

		CHECK_ERRNO(snapshot_set(fd[2], objects, made, 3), last[i].error);
	}
	CHECK_ERRNO(snapshot_set(fd[0], (const int[]){closed}, made, 1), EBADF);
	CHECK_ERRNO(snapshot_set(fd[0], (const int[]){null}, made, 1), EINVAL);

	/* To the last byte of what is there, and beyond; of what is told nothing was done then. */
	CHECK_ERRNO(snapshot_set(fd[0], NULL, made, 3), EFAULT);
	at_the_end = (int *)(page + PAGE) - 2;
	memcpy(at_the_end, fd, 2 * sizeof(*fd));
	CHECK_ERRNO(snapshot_set(fd[0], at_the_end, made, 3), EFAULT);
	CHECK_EQ(object_stat(fd[0]).layers, 0);
	CHECK_ERRNO(snapshot_set(fd[0], fd, NULL, 3), EFAULT);
	CHECK_ERRNO(snapshot_set(fd[0], fd, at_the_end, 3), EFAULT);
	CHECK_EQ(descriptors(), open_before);
	CHECK(COMES(object_stat(fd[0]).layers == 0));
	memcpy(at_the_end, fd, 2 * sizeof(*fd));
	CHECK_EQ(snapshot_set(unreadable, at_the_end, at_the_end, 2), 0);
	CHECK_EQ(descriptors(), open_before + 2);
	close_all(at_the_end, 2);

	munmap(page, 2 * PAGE);
	close_all(fd, MOST + 1);
	close(again);
	close(unreadable);
	close(null);
	check_returned(before);
}

/* The process has descriptors for some of them. */
static void too_few_descriptors(void)
{
	struct counts before = counts_now();
	int fd[4], made[4], open_before;
	struct rlimit files, few;

	for (unsigned int i = 0; i < 4; i++)
		fd[i] = object_open();
	open_before = descriptors();
	MUST(!getrlimit(RLIMIT_NOFILE, &files));
	few = (struct rlimit){(rlim_t)fd[3] + 3, files.rlim_max};
	MUST(!setrlimit(RLIMIT_NOFILE, &few));
	CHECK_ERRNO(snapshot_set(fd[0], fd, made, 4), EMFILE);
	CHECK_EQ(descriptors(), open_before);
	CHECK_EQ(snapshot_set(fd[0], fd, made, 2), 0);
	MUST(!setrlimit(RLIMIT_NOFILE, &files));
	close_all(made, 2);
	close_all(fd, 4);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"each object has its snapshot", "", each_has_its_own},
		{"all are of one instant", "", one_instant},
		{"sets that meet get along, and with who has two locks", "", sets_meet},
		{"sets of objects that are written all the time", "", sets_of_busy_objects},
		{"a set that waits keeps nobody else, and can be killed", "", a_set_that_waits},
		{"a set with something wrong is none", "", bad_sets},
		{"a set has all its descriptors or none", "", too_few_descriptors},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
