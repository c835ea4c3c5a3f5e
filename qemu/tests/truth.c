// SPDX-License-Identifier: GPL-2.0
/*
 * RMAP against the truth: a family of processes that fork, map, unmap, move, protect,
 * lock, discard, write and exit at random. After each round nobody moves, and what
 * RMAP and PAGEMAP say of every page must be what all processes' /proc/PID/maps and
 * /proc/PID/pagemap say, entry by entry.
 */
#include "answers.h"
#include "counts.h"
#include "walks.h"

#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <time.h>

#define PAGES 96
#define MAPPINGS 6  /* of one process at most */
#define PROCESSES 12
#define ROUNDS 40   /* at most, and as long as there are SECONDS left */
#define SECONDS 15
#define STEPS 15    /* of each process, each round */

/* --- the family --- */
struct member {
	_Atomic pid_t pid;   /* 0: the place is free */
	_Atomic int round;   /* the last one that it has done */
	_Atomic bool gone;   /* it will not come back: its place is free when it is no more */
};

static struct family {
	_Atomic int round; /* to be done; -1: go home */
	struct member member[PROCESSES];
	_Atomic unsigned long did[16];
} *family;

struct range {
	char *at;
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
	for (size_t i = 0; i < length; i += PAGE)
		if (write)
			at[i] = (char)random_below(255);
		else
			(void)*(volatile char *)(at + i);
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

/* Waits until every member has done the round, or is no more. */
static void wait_for_round(int round)
{
	for (int i = 0; i < PROCESSES; i++) {
		struct member *member = &family->member[i];

		for (;;) {
			const pid_t pid = atomic_load(&member->pid);

			if (!pid || (pid > 0 && !atomic_load(&member->gone) &&
			             atomic_load(&member->round) == round))
				break;
			/* Its memory is gone before it is reaped; with SIGCHLD ignored both are soon. */
			if (pid > 0 && kill(pid, 0) && errno == ESRCH) {
				atomic_store(&member->pid, 0);
				break;
			}
			usleep(1000);
		}
	}
}

/* --- the truth --- */
#define ROOM (PROCESSES * MAPPINGS * PAGES * 2)
static struct cowmem_mapping truth[ROOM], answer[ROOM];
static unsigned int truths;
static uint64_t frame[PAGES]; /* where the object's pages are, 0: a hole */

static void add_truth(int pid, uint64_t entry, uint64_t address, uint64_t index, bool shared,
                      bool locked)
{
	if (!(entry & PROC_PRESENT))
		return;
	MUST(truths < ROOM);
	truth[truths++] = (struct cowmem_mapping){
		.offset = index * PAGE,
		.address = address,
		.pid = (uint32_t)pid,
		.flags = (shared ? COWMEM_MAPPING_SHARED : 0) |
	                 (locked ? COWMEM_MAPPING_LOCKED : 0) |
	                 (PROC_PFN(entry) == frame[index] ? 0 : COWMEM_MAPPING_COPY)};
}

/* Every page of the object that a process has, from its /proc/PID/smaps and pagemap. */
static void add_truths_of(int pid)
{
	unsigned long start = 0, end = 0, offset = 0, from, to, of;
	bool ours = false;
	char path[64], line[512], prot[8], kind = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/smaps", pid);
	file = fopen(path, "re");
	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		/* "Anonymous:" begins with a hexadecimal digit, too. */
		if (sscanf(line, "%lx-%lx %4s %lx", &from, &to, prot, &of) == 4) {
			start = from, end = to, offset = of;
			ours = strstr(line, COWMEM_DEVICE);
			kind = prot[3];
		} else if (ours && !strncmp(line, "VmFlags:", 8)) {
			uint64_t entries[PAGES];

			MUST(end - start <= sizeof(entries) / sizeof(entries[0]) * PAGE);
			proc_pagemap(pid, start, (end - start) / PAGE, entries);
			for (unsigned long at = start; at < end; at += PAGE)
				add_truth(pid, entries[(at - start) / PAGE], at,
				          (offset + at - start) / PAGE, kind == 's',
				          strstr(line, " lo"));
		}
	}
	fclose(file);
}

static int by_place(const void *a, const void *b)
{
	const struct cowmem_mapping *x = a, *y = b;

	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

/* Where the object's pages are: from a mapping of one's own, of those that it has. */
static void find_frames(const struct cowmem_page *pages)
{
	char *all = object_map(object, PAGES * PAGE, PROT_READ, MAP_SHARED);

	for (int i = 0; i < PAGES; i++)
		if (pages[i].flags & COWMEM_PAGE_RESIDENT)
			(void)*(volatile char *)(all + i * PAGE);
	proc_pagemap(getpid(), (uintptr_t)all, PAGES, frame);
	for (int i = 0; i < PAGES; i++)
		frame[i] = frame[i] & PROC_PRESENT ? PROC_PFN(frame[i]) : 0;
	munmap(all, PAGES * PAGE);
}

static void compare(unsigned long *entries, unsigned long *copies)
{
	const uint32_t compared = COWMEM_MAPPING_SHARED | COWMEM_MAPPING_LOCKED |
	                          COWMEM_MAPPING_COPY;
	unsigned int mapcount[PAGES] = {};
	struct cowmem_page pages[PAGES];
	struct cowmem_rmap rmap;

	MUST(!pagemap_ask(object, 0, 0, PAGES, pages));
	find_frames(pages);
	truths = 0;
	for (int i = 0; i < PROCESSES; i++)
		if (atomic_load(&family->member[i].pid))
			add_truths_of(atomic_load(&family->member[i].pid));
	qsort(truth, truths, sizeof(truth[0]), by_place);

	CHECK_EQ(rmap_ask(object, &rmap, 0, 0, PAGES, answer, ROOM), 0);
	CHECK_EQ(rmap.hidden, 0);
	CHECK_EQ(rmap.next, PAGES * PAGE);
	qsort(answer, rmap.count, sizeof(answer[0]), by_place);
	CHECK_EQ(rmap.count, truths);
	for (unsigned int i = 0; i < truths && i < rmap.count && !test_failed; i++) {
		CHECK_EQ(answer[i].offset, truth[i].offset);
		CHECK_EQ(answer[i].pid, truth[i].pid);
		CHECK_EQ(answer[i].address, truth[i].address);
		CHECK_EQ(answer[i].flags & compared, truth[i].flags);
		if (truth[i].flags & COWMEM_MAPPING_COPY)
			++*copies;
		else
			mapcount[truth[i].offset / PAGE]++;
	}
	for (int i = 0; i < PAGES; i++)
		CHECK_EQ(pages[i].mapcount, mapcount[i]);
	*entries += truths;
}

static void rmap_tells_the_truth(void)
{
	unsigned long entries = 0, copies = 0;
	struct counts before = counts_now();
	const time_t end = time(NULL) + SECONDS;

	object = object_open();
	MUST(!object_resize(object, PAGES * PAGE));
	signal(SIGCHLD, SIG_IGN);
	family = mmap(NULL, sizeof(*family), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
	              -1, 0);
	MUST(family != MAP_FAILED);
	for (int i = 0; i < PROCESSES / 2; i++)
		have_child();
	int round = 1;

	for (; round <= ROUNDS && time(NULL) < end && !test_failed; round++) {
		atomic_store(&family->round, round);
		wait_for_round(round);
		compare(&entries, &copies);
	}
	atomic_store(&family->round, -1);
	for (int i = 0; i < PROCESSES; i++) {
		const pid_t pid = atomic_load(&family->member[i].pid);

		while (pid > 0 && !kill(pid, 0))
			usleep(1000);
	}
	close(object);
	signal(SIGCHLD, SIG_DFL);
	ksft_print_msg("%d rounds, %lu entries compared, %lu of them copies; "
	               "forks %lu, exits %lu, moves %lu\n",
	               round - 1, entries, copies, family->did[FORK], family->did[EXIT],
	               family->did[MOVE_AWAY]);
	CHECK(round > 2 && entries > 100 && copies > 10);
	for (int deed = 0; deed < FORK; deed++)
		CHECK(family->did[deed] > 0);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"RMAP and PAGEMAP say what /proc says, of random families", "R60 R61 R64 R77 R80",
         rmap_tells_the_truth},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
