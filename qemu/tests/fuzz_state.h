/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the processes of one of the fuzzer's programs have: descriptors and mappings, in slots, which
 * fork() copies; and what all of them share.
 */
#ifndef COWMEM_FUZZ_STATE_H
#define COWMEM_FUZZ_STATE_H

#include "fuzz_program.h"
#include "injection.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define FUZZ_MOUNT "/tmp/fuzz" /* a mount of cowmem's, for files with names */
#define ARENA ((char *)0x200000000000UL)
#define ROOM (64UL << 20) /* of the arena, for each mapping */
#define SKIPPED LONG_MIN  /* a call found nothing that it is about */

enum {
	/* What a descriptor is good for. */
	WRITES = 1 << 0,
	SNAPSHOT = 1 << 1,
	REGULAR = 1 << 2,
	NAMED = 1 << 3, /* a file of FUZZ_MOUNT */

	LOOKS_KEPT = 64, /* of one program */
	SENT = 32,
	MOST_POISONED = 400, /* pages that a whole run may have the kernel lose */
};

struct held {
	int fd; /* -1: nothing */
	unsigned int is;
	uint64_t object; /* two descriptors of one object have the same */
	uint32_t family;
	int look; /* what a snapshot's bytes were, in `looks`; -1: nobody has looked */
};

struct mapped {
	size_t pages; /* 0: nothing */
	uint64_t first, object;
	int prot, flags;
};

/* Places whose bytes are compared. */
static const uint64_t places[] = {0,
                                  1,
                                  2,
                                  3,
                                  4,
                                  5,
                                  6,
                                  7,
                                  8,
                                  12,
                                  15,
                                  31,
                                  32,
                                  511,
                                  512,
                                  FAR_PAGES - 1,
                                  FAR_PAGES,
                                  2 * FAR_PAGES,
                                  LAST_PAGE - 1,
                                  LAST_PAGE};

enum { UNREADABLE = 1 };

/* What was seen of an object: its size, and a hash of each place (but for the last byte, which the last place has not), or UNREADABLE. */
struct look {
	uint64_t bytes, hash[ARRAY_LENGTH(places)];
};

enum state { NONE, RUNS, DONE, GONE };

static struct shared {
	_Atomic uint32_t turn, end_turn, over;
	_Atomic int state[PROCESSES];
	_Atomic pid_t pid[PROCESSES];
	_Atomic uint32_t families, nr_looks, nr_sent, threads;
	_Atomic bool sets_parameters;
	_Atomic bool wrong;
	char why[256];
	struct look looks[LOOKS_KEPT];
	struct held sent[SENT];

	/* Of the whole run. */
	_Atomic unsigned long did[128], succeeded[128], poisoned;
} *shared;

static const struct program *running;
static unsigned int self; /* the number of this process */
static struct held held[DESCRIPTORS];
static struct mapped mapped[MAPPINGS];
static int sockets[PROCESSES][2];
static int pipes[2] = {-1, -1}; /* what is held by vmsplice() */
static int uffd = -1;
static unsigned int failing; /* the call's allocation of this number fails */
static bool can_fail;

/* --- what is wrong --- */
__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list args;

	if (atomic_exchange(&shared->wrong, true))
		return;
	va_start(args, format);
	vsnprintf(shared->why, sizeof(shared->why), format, args);
	va_end(args);
}

/* --- one system call, of which an allocation may be told to fail --- */
static void begin_failing(void)
{
	if (!failing || !can_fail)
		return;
	if (fail_nth < 0)
		fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	arm(failing);
}

static void end_failing(void)
{
	if (failing && can_fail)
		disarm();
}

#define CALL(call)                               \
	({                                       \
		begin_failing();                 \
		const long done_ = (long)(call); \
		const int errno_ = errno;        \
		end_failing();                   \
		done_ < 0 ? -errno_ : done_;     \
	})

/* --- turns --- */
static void wait_while(_Atomic uint32_t *word, uint32_t value)
{
	const struct timespec a_while = {.tv_nsec = 50000000};

	syscall(SYS_futex, word, FUTEX_WAIT, value, &a_while, NULL, 0);
}

static void set_and_wake(_Atomic uint32_t *word, uint32_t value)
{
	atomic_store(word, value);
	syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* The next call of a process that is there has its turn. */
static void pass_turn(unsigned int from)
{
	unsigned int next = from + 1;

	if (running->together)
		return;
	while (next < running->count &&
	       atomic_load(&shared->state[running->call[next].process]) != RUNS)
		next++;
	set_and_wake(&shared->turn, next);
}

/* Whether nobody but this call changes anything. */
static bool is_quiet(void)
{
	return !running->together && !atomic_load(&shared->threads);
}

/* --- descriptors --- */
static bool is_held(const struct held *is, unsigned int needs)
{
	return is->fd >= 0 && (is->is & needs) == needs;
}

/* The descriptor in a slot, or the next that is good for as much; or null. */
static struct held *pick(uint64_t slot, unsigned int needs)
{
	if (slot & EXACTLY)
		return is_held(&held[slot % EXACTLY % DESCRIPTORS], 0)
		               ? &held[slot % EXACTLY % DESCRIPTORS]
		               : NULL;
	for (unsigned int i = 0; i < DESCRIPTORS; i++) {
		struct held *is = &held[(slot + i) % DESCRIPTORS];

		if (is_held(is, needs))
			return is;
	}
	return NULL;
}

/* The same of a relative of @of, and, if there is none, of any. */
static struct held *pick_relative(const struct held *of, uint64_t slot, unsigned int needs)
{
	for (unsigned int i = 0; i < DESCRIPTORS && !(slot & EXACTLY); i++) {
		struct held *is = &held[(slot + i) % DESCRIPTORS];

		if (is_held(is, needs) && is->family == of->family && is->object != of->object)
			return is;
	}
	return pick(slot, needs);
}

#define PICK(name, ...)                              \
	struct held *const name = pick(__VA_ARGS__); \
	if (!name)                                   \
	return SKIPPED

static long keep(uint64_t slot, long fd, struct held is)
{
	struct held *to = &held[slot % EXACTLY % DESCRIPTORS];
	struct stat stat;

	if (fd < 0)
		return fd;
	if (to->fd >= 0)
		close(to->fd);
	*to = is;
	to->fd = (int)fd;
	if (is.is & REGULAR && !fstat(to->fd, &stat))
		to->object = stat.st_ino;
	for (unsigned int i = 0; i < DESCRIPTORS && !to->family; i++)
		if (held[i].fd >= 0 && held[i].object == to->object)
			to->family = held[i].family;
	if (!to->family)
		to->family = 1 + atomic_fetch_add(&shared->families, 1);
	if (!to->object)
		to->object = 1ULL << 60 | to->family;
	return 0;
}

/* --- what is seen --- */
static uint64_t hash_of(const unsigned char *page)
{
	const uint64_t *word = (const uint64_t *)page;
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < PAGE / sizeof(*word); i++)
		hash = (hash ^ word[i]) * 0x100000001b3 + (hash >> 29);
	return hash | 2;
}

static struct look look_at(int fd)
{
	struct cowmem_stat stat = {.size = sizeof(stat)};
	struct look seen = {.bytes = ~0ULL};

	if (!ioctl(fd, COWMEM_IOC_STAT, &stat))
		seen.bytes = stat.bytes;
	for (size_t i = 0; i < ARRAY_LENGTH(places); i++) {
		unsigned char page[PAGE] __attribute__((aligned(8))) = "";

		seen.hash[i] = pread(fd, page, PAGE - 1, (off_t)(places[i] * PAGE)) < 0
		                       ? UNREADABLE
		                       : hash_of(page);
	}
	return seen;
}

static void compare_looks(const struct look *was, const struct look *is, const char *what)
{
	if (was->bytes != is->bytes)
		wrong("%s: the size is %llu, not %llu", what, (unsigned long long)is->bytes,
		      (unsigned long long)was->bytes);
	for (size_t i = 0; i < ARRAY_LENGTH(places); i++)
		if (was->hash[i] != UNREADABLE && is->hash[i] != UNREADABLE &&
		    was->hash[i] != is->hash[i])
			wrong("%s: page %llu has other bytes", what, (unsigned long long)places[i]);
}

/* From now on what @snapshot, which was just taken of @source, shows is known. */
static void remember(struct held *snapshot, int source)
{
	const unsigned int nth = atomic_fetch_add(&shared->nr_looks, 1);

	if (nth >= LOOKS_KEPT)
		return;
	shared->looks[nth] = look_at(snapshot->fd);
	snapshot->look = (int)nth;
	if (is_quiet()) {
		const struct look now = look_at(source);

		compare_looks(&now, &shared->looks[nth], "a snapshot is not as its object");
	}
}

/* --- memory --- */
static __thread sigjmp_buf trap;
static __thread volatile sig_atomic_t trapped;

static void on_trap(int signal)
{
	if (!trapped)
		_exit(100);
	siglongjmp(trap, signal);
}

static char *at_slot(unsigned int slot)
{
	return ARENA + slot * ROOM;
}

static unsigned int slot_of(const struct mapped *is)
{
	return (unsigned int)(is - mapped);
}

static struct mapped *pick_mapping(uint64_t slot)
{
	for (unsigned int i = 0; i < MAPPINGS; i++) {
		struct mapped *is = &mapped[(slot % EXACTLY + i) % MAPPINGS];

		if (is->pages || slot & EXACTLY)
			return is->pages ? is : NULL;
	}
	return NULL;
}

#define PICK_MAPPING(name, slot)                        \
	struct mapped *const name = pick_mapping(slot); \
	if (!name)                                      \
	return SKIPPED

/* A part of a mapping: from @page on, and @pages of it, as far as it goes. */
static char *part_of(const struct mapped *is, uint64_t page, uint64_t pages, size_t *length)
{
	const size_t first = page % is->pages, left = is->pages - first;

	*length = (pages && pages < left ? pages : left) * PAGE;
	return at_slot(slot_of(is)) + first * PAGE;
}

enum { READ = -1 };

/* Reads a word, or writes one of such bytes. 0; -EFAULT: SIGBUS or SIGSEGV. */
static long touch(char *at, int byte)
{
	volatile uint64_t *word = (volatile uint64_t *)at;

	if (sigsetjmp(trap, 0)) {
		trapped = 0;
		return -EFAULT;
	}
	trapped = 1;
	if (byte == READ)
		(void)*word;
	else
		*word = 0x0101010101010101ULL * (unsigned int)(byte & 0xff);
	trapped = 0;
	return 0;
}

static long copy_page(const char *at, unsigned char *to)
{
	if (sigsetjmp(trap, 0)) {
		trapped = 0;
		return -EFAULT;
	}
	trapped = 1;
	memcpy(to, at, PAGE);
	trapped = 0;
	return 0;
}

/* A thread that goes on reading and writing, until the process has made all its calls. */
static struct toucher {
	pthread_t thread;
	bool is_there;
	_Atomic bool stops;
	unsigned int slot, pages, seed;
} toucher;

static void *touch_on(void *argument)
{
	struct toucher *is = argument;
	unsigned int random = is->seed;

	while (!atomic_load(&is->stops)) {
		char *at = at_slot(is->slot) + (unsigned int)rand_r(&random) % is->pages * PAGE;

		touch(at + 8 * ((unsigned int)rand_r(&random) % 512),
		      rand_r(&random) % 2 ? READ : rand_r(&random));
		if (rand_r(&random) % 8 == 0)
			sched_yield();
	}
	return NULL;
}

static void end_toucher(void)
{
	if (!toucher.is_there)
		return;
	atomic_store(&toucher.stops, true);
	pthread_join(toucher.thread, NULL);
	toucher.is_there = false;
	atomic_fetch_sub(&shared->threads, 1);
}

#endif /* COWMEM_FUZZ_STATE_H */
