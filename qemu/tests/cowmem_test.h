/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the guest's test programs share: cases that assert, TAP on standard output
 * (the kernel's kselftest.h), and short names for the device's calls.
 *
 * A case names the requirements that it shows (kunit/requirements.md); the runner
 * reads them off the "# shows:" line before the case's result.
 */
#ifndef COWMEM_TEST_H
#define COWMEM_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <kselftest.h>
#include <linux/cowmem.h>

#define PAGE 4096UL
#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

/*
 * Whether the kernel checks everything that it does. In an emulated machine such a one takes
 * ten times as long, and what it is for it finds in less.
 */
static inline bool debug_kernel(void)
{
	struct utsname name;

	return !uname(&name) && strstr(name.release, "-cowmem-");
}

static inline unsigned int fewer_if_debug(unsigned int n)
{
	return debug_kernel() ? n / 4 : n;
}

struct test_case {
	const char *name;
	const char *shows; /* "R1 R2", or "" */
	void (*run)(void);
};

static bool test_failed;
static const char *test_skipped;

/* How often a wait looks again, each time after a millisecond: only what hangs takes as long. */
enum { LOOKS = 60000 };

/* Whether @condition comes to be so; a busy machine may need long for it. */
#define COMES(condition)                                                                 \
	({                                                                               \
		bool came_;                                                              \
		for (int looks_ = 0; !(came_ = (condition)) && looks_ < LOOKS; looks_++) \
			usleep(1000);                                                    \
		came_;                                                                   \
	})

/* Records a failure of the running case and goes on. */
#define CHECK(condition)                                                                       \
	do {                                                                                   \
		if (!(condition)) {                                                            \
			test_failed = true;                                                    \
			ksft_print_msg("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
		}                                                                              \
	} while (0)

#define CHECK_EQ(actual, expected)                                                          \
	do {                                                                                \
		long long a_ = (long long)(actual), e_ = (long long)(expected);             \
		if (a_ != e_) {                                                             \
			test_failed = true;                                                 \
			ksft_print_msg("%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, \
			               #actual, a_, e_);                                    \
		}                                                                           \
	} while (0)

/* The call must fail with this errno. */
#define CHECK_ERRNO(call, error)                                                                 \
	do {                                                                                     \
		errno = 0;                                                                       \
		long long r_ = (long long)(call);                                                \
		int e_ = errno;                                                                  \
		if (r_ != -1 || e_ != (error)) {                                                 \
			test_failed = true;                                                      \
			ksft_print_msg("%s:%d: %s gave %lld, errno %d (%s), not %s\n", __FILE__, \
			               __LINE__, #call, r_, e_, strerror(e_), #error);           \
		}                                                                                \
	} while (0)

/* Without this the rest makes no sense: the program ends, and the plan is broken. */
#define MUST(condition)                                                                           \
	do {                                                                                      \
		if (!(condition))                                                                 \
			ksft_exit_fail_msg("%s:%d: must be: %s (errno %d)\n", __FILE__, __LINE__, \
			                   #condition, errno);                                    \
	} while (0)

/* Ends the case as skipped; the reason must be one that no change of ours removes. */
#define SKIP(reason)                     \
	do {                             \
		test_skipped = (reason); \
		return;                  \
	} while (0)

static inline int run_tests(const struct test_case *cases, unsigned int count)
{
	ksft_print_header();
	ksft_set_plan(count);
	for (unsigned int i = 0; i < count; i++) {
		test_failed = false;
		test_skipped = NULL;
		cases[i].run();
		if (cases[i].shows[0])
			ksft_print_msg("shows: %s\n", cases[i].shows);
		if (test_skipped && !test_failed)
			ksft_test_result_skip("%s: %s\n", cases[i].name, test_skipped);
		else
			ksft_test_result(!test_failed, "%s\n", cases[i].name);
	}
	ksft_finished();
}

/* --- the device --- */
static inline int object_open(void)
{
	int fd = open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

/* A new object that is a regular file; @fd: any descriptor of the module's. Or -1. */
static inline int object_create(int fd, const char *name)
{
	struct cowmem_create create = {.size = sizeof(create), .name = (uintptr_t)name};

	return ioctl(fd, COWMEM_IOC_CREATE, &create) ? -1 : create.fd;
}

/* The same, whose memory devices may write for long. */
static inline int object_create_pinnable(int fd)
{
	struct cowmem_create create = {.size = sizeof(create), .flags = COWMEM_CREATE_PINNABLE};

	return ioctl(fd, COWMEM_IOC_CREATE, &create) ? -1 : create.fd;
}

/* The object of @fd as a regular file, or -1. */
static inline int object_file(int fd)
{
	struct cowmem_file file = {.size = sizeof(file)};

	return ioctl(fd, COWMEM_IOC_FILE, &file) ? -1 : file.fd;
}

static inline struct cowmem_stat object_stat(int fd)
{
	struct cowmem_stat stat = {.size = sizeof(stat)};

	MUST(!ioctl(fd, COWMEM_IOC_STAT, &stat));
	return stat;
}

static inline int object_resize(int fd, uint64_t bytes)
{
	struct cowmem_resize resize = {.size = sizeof(resize), .bytes = bytes};

	return ioctl(fd, COWMEM_IOC_RESIZE, &resize);
}

static inline int object_punch(int fd, uint64_t offset, uint64_t length)
{
	struct cowmem_punch punch = {.size = sizeof(punch), .offset = offset, .length = length};

	return ioctl(fd, COWMEM_IOC_PUNCH, &punch);
}

static inline int object_set_cow(int fd, uint32_t cow)
{
	struct cowmem_set_cow set = {.size = sizeof(set), .cow = cow};

	return ioctl(fd, COWMEM_IOC_SET_COW, &set);
}

/* COWMEM_FEATURE_*. */
static inline uint64_t object_features(int fd)
{
	struct cowmem_info info = {.size = sizeof(info)};

	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	return info.features;
}

static inline int object_set_huge(int fd, uint32_t huge)
{
	struct cowmem_set_huge set = {.size = sizeof(set), .huge = huge};

	return ioctl(fd, COWMEM_IOC_SET_HUGE, &set);
}

/* A new object of pages of 4 KiB, also where every object takes large ones. */
static inline int object_open_small(void)
{
	const int fd = object_open();

	MUST(!object_set_huge(fd, COWMEM_HUGE_NEVER));
	return fd;
}

static inline void *object_map(int fd, size_t length, int prot, int flags)
{
	void *p = mmap(NULL, length, prot, flags, fd, 0);

	MUST(p != MAP_FAILED);
	return p;
}

/* A counter of src/kernel/counters.h. They are the whole module's: compare differences. */
static inline unsigned long counter(const char *name)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/misc/cowmem/counters/%s", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return strtoul(text, NULL, 10);
}

/* Writes all of @text to the file at @path, or says that it could not. */
static inline bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	const bool done = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return done;
}

/* Whether the kernel has a file at @path, and takes writes to it: to root, access() says so of each file. */
static inline bool can_be_written(const char *path)
{
	struct stat st;

	return !stat(path, &st) && st.st_mode & S_IWUSR;
}

#define NUMA_BALANCING "/proc/sys/kernel/numa_balancing"
static inline void balance_again(void)
{
	write_text(NUMA_BALANCING, "1");
}

/*
 * Faults that are no access of the program's own must not be among those that it counts. Another
 * CPU's TLB may still have an entry read-only that was made writable here; a page of code may be
 * touched for the first time; and NUMA balancing takes entries away from what runs for a second.
 */
static inline void count_faults_exactly(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	MUST(!sched_setaffinity(0, sizeof(one), &one));
	MUST(!mlockall(MCL_CURRENT) && !munlockall());
	if (write_text(NUMA_BALANCING, "0"))
		atexit(balance_again);
}

/* The next number of a row that looks as if it had no order, above all by its upper bits. */
static inline uint64_t next_random(uint64_t *random)
{
	*random = *random * 6364136223846793005ULL + 1442695040888963407ULL;
	return *random;
}

/* The reverse of count_faults_exactly(), for a thread of a storm. */
static inline void use_all_cpus(void)
{
	cpu_set_t all;

	CPU_ZERO(&all);
	for (int cpu = 0; cpu < sysconf(_SC_NPROCESSORS_ONLN); cpu++)
		CPU_SET(cpu, &all);
	MUST(!sched_setaffinity(0, sizeof(all), &all));
}

/*
 * Pages on their way between LRU lists, or to be unlocked, are in batches of the CPUs, which
 * newer kernels do not empty at munmap(): moving a page does, on all of them.
 */
static inline void empty_batches(void)
{
	void *page = (void *)((uintptr_t)&page / PAGE * PAGE);
	int node = 0, status;

	MUST(!syscall(SYS_move_pages, 0, 1UL, &page, &node, &status, 1 << 1 /* MPOL_MF_MOVE */));
}

static inline long minor_faults(void)
{
	struct rusage usage;

	MUST(!getrusage(RUSAGE_THREAD, &usage));
	return usage.ru_minflt;
}

/* What /proc/PID/stat says behind the name, in @text: a blank, the state, and so on. */
static inline const char *proc_stat(pid_t pid, char *text, size_t room)
{
	char path[32], *name_end;
	ssize_t length;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0);
	length = read(fd, text, room - 1);
	MUST(length > 0);
	close(fd);
	text[length] = 0;
	name_end = strrchr(text, ')');
	MUST(name_end);
	return name_end + 1;
}

/* Every 8-byte word of a page says which page it is, and which @generation. */
static inline void fill_page(void *page, uint64_t number, uint64_t generation)
{
	uint64_t *word = page;

	for (size_t i = 0; i < PAGE / sizeof(*word); i++)
		word[i] = number << 32 | generation << 16 | i;
}

static inline bool page_is(const void *page, uint64_t number, uint64_t generation)
{
	const uint64_t *word = page;

	for (size_t i = 0; i < PAGE / sizeof(*word); i++)
		if (word[i] != (number << 32 | generation << 16 | i))
			return false;
	return true;
}

#endif /* COWMEM_TEST_H */
