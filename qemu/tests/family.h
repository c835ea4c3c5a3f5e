/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A family of processes that fork, map, unmap, move, protect, lock, discard, write and
 * exit at random, all with one object. What they write says which page it is in.
 */
#ifndef COWMEM_FAMILY_H
#define COWMEM_FAMILY_H

#include "answers.h"
#include "walks.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

#define PAGES 96
#define STAMP(page) (0x5741000000000000ULL | (page)) /* what each word of a page is, or 0 */
#define MAPPINGS 6                                   /* of one process at most */
#define PROCESSES 12
#define STEPS 15 /* of each process, each round */

struct member {
	_Atomic pid_t pid; /* 0: the place is free */
	_Atomic int round; /* the last one that it has done */
	_Atomic bool gone; /* it will not come back: its place is free when it is no more */
};

static struct family {
	_Atomic int round; /* to be done; -1: go home */
	struct member member[PROCESSES];
	_Atomic unsigned long did[16];
	_Atomic unsigned long foreign; /* words read that were of another page */
} *family;

struct range {
	char *at;
	uint64_t first; /* its first page in the object */
	size_t pages;
	int prot;
};

static struct range mapped[MAPPINGS];
static int object;

static struct range *any_mapping(void)
{
	return &mapped[random_below(MAPPINGS)];
}

enum deed { MAP, UNMAP, MOVE_AWAY, PROTECT, LOCK, DISCARD, TOUCH, WRITE, FORK, EXIT, DEEDS };

static void map_something(struct range *range)
{
	const size_t first = random_below(PAGES), pages = 1 + random_below(PAGES - first);
	const int flags = random_below(2) ? MAP_SHARED : MAP_PRIVATE;

	if (range->at)
		munmap(range->at, range->pages * PAGE);
	range->prot = PROT_READ | PROT_WRITE;
	range->pages = pages;
	range->first = first;
	range->at = mmap(NULL, pages * PAGE, range->prot, flags, object, (off_t)(first * PAGE));
	if (range->at == MAP_FAILED)
		range->at = NULL;
}

/* Unmaps some of it: what is left is told of as long as the front is there. */
static void unmap_some(struct range *range)
{
	const size_t keep = random_below((uint32_t)range->pages);

	munmap(range->at + keep * PAGE, (range->pages - keep) * PAGE);
	range->pages = keep;
	if (!keep)
		range->at = NULL;
}

static void move_away(struct range *range)
{
	char *to = mmap(NULL, range->pages * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (to == MAP_FAILED)
		return;
	if (mremap(range->at, range->pages * PAGE, range->pages * PAGE,
	           MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
		munmap(to, range->pages * PAGE);
	else
		range->at = to;
}

static void part_of(const struct range *range, char **at, size_t *length)
{
	const size_t first = random_below((uint32_t)range->pages);

	*at = range->at + first * PAGE;
	*length = (1 + random_below((uint32_t)(range->pages - first))) * PAGE;
}

static void touch(struct range *range, bool write)
{
	char *at;
	size_t length;

	part_of(range, &at, &length);
	for (size_t i = 0; i < length; i += PAGE) {
		const uint64_t page = range->first + (uint64_t)(at + i - range->at) / PAGE;
		volatile uint64_t *word = (volatile uint64_t *)(at + i) + random_below(PAGE / 8);

		if (write)
			*word = STAMP(page);
		else if (*word && *word != STAMP(page))
			atomic_fetch_add(&family->foreign, 1);
	}
}

static void live(struct member *self);

static void have_child(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct member *place = &family->member[i];
		pid_t free = 0, pid;

		if (!atomic_compare_exchange_strong(&place->pid, &free, -1))
			continue;
		atomic_store(&place->gone, false);
		atomic_store(&place->round, atomic_load(&family->round));
		pid = fork();
		if (!pid) {
			random_state ^= (uint64_t)getpid() << 20;
			atomic_store(&place->pid, getpid());
			live(place);
		}
		if (pid < 0)
			atomic_store(&place->pid, 0);
		else
			while (atomic_load(&place->pid) == -1)
				sched_yield();
		return;
	}
}

static void do_something(struct member *self)
{
	enum deed deed = random_below(DEEDS);
	struct range *range = any_mapping();
	size_t length;
	char *at;

	if ((deed == FORK || deed == EXIT) && random_below(4))
		deed = WRITE;
	if (!range->at && deed != FORK && deed != EXIT)
		deed = MAP;
	atomic_fetch_add(&family->did[deed], 1);
	switch (deed) {
	case MAP:
		map_something(range);
		break;
	case UNMAP:
		unmap_some(range);
		break;
	case MOVE_AWAY:
		move_away(range);
		break;
	case PROTECT:
		range->prot ^= PROT_WRITE;
		mprotect(range->at, range->pages * PAGE, range->prot);
		break;
	case LOCK:
		part_of(range, &at, &length);
		if (random_below(2))
			mlock(at, length);
		else
			munlock(at, length);
		break;
	case DISCARD:
		part_of(range, &at, &length);
		madvise(at, length, MADV_DONTNEED);
		break;
	case TOUCH:
	case WRITE:
		touch(range, deed == WRITE && range->prot & PROT_WRITE);
		break;
	case FORK:
		have_child();
		break;
	case EXIT:
		if (self == &family->member[0])
			break;
		atomic_store(&self->gone, true);
		_exit(0);
	case DEEDS:
		break;
	}
}

static void live(struct member *self)
{
	int done = atomic_load(&self->round);

	prctl(PR_SET_PDEATHSIG, 0);
	for (;;) {
		int round = atomic_load(&family->round);

		if (round < 0)
			_exit(0);
		if (round == done) {
			usleep(1000);
			continue;
		}
		for (int i = 0; i < STEPS; i++)
			do_something(self);
		done = round;
		atomic_store(&self->round, done);
	}
}

/* A family of @members around a fresh object of PAGES pages, waiting for its first round. */
static void family_start(int members)
{
	object = object_open();
	MUST(!object_resize(object, PAGES * PAGE));
	signal(SIGCHLD, SIG_IGN);
	family = mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	MUST(family != MAP_FAILED);
	for (int i = 0; i < members; i++)
		have_child();
}

/* Ends it all; every process is gone when this returns. */
static void family_end(void)
{
	atomic_store(&family->round, -1);
	for (int i = 0; i < PROCESSES; i++) {
		const pid_t pid = atomic_load(&family->member[i].pid);

		while (pid > 0 && !kill(pid, 0))
			usleep(1000);
	}
	close(object);
	signal(SIGCHLD, SIG_DFL);
}

/* Frees the places of those who are no more: with SIGCHLD ignored the dead vanish at once. */
static void free_places(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		const pid_t pid = atomic_load(&family->member[i].pid);

		if (pid > 0 && kill(pid, 0) && errno == ESRCH)
			atomic_store(&family->member[i].pid, 0);
	}
}

#endif /* COWMEM_FAMILY_H */
