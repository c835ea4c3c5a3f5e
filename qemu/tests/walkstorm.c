// SPDX-License-Identifier: GPL-2.0
/*
 * Walks against everything that changes what they walk: a family of processes
 * (family.h) that never rests, while threads ask who maps what, take young and dirty
 * bits away, and move the pages to and fro. Nobody may read what was not written to
 * that page, and nothing may be left in the end. As long as argv[1] says, in seconds.
 */
#include "counts.h"
#include "family.h"

#include <pthread.h>
#include <time.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static time_t end;
static unsigned long seconds = 6;

static bool go_on(void)
{
	return time(NULL) < end;
}

/* What one walker did: calls, and what it counted in the answers. */
struct walker {
	pthread_t id;
	unsigned long calls, counted;
	bool wrong;
};

/* Entries of a process that is just exiting are hidden: they are nobody's any more. */
static void *ask_who(void *walker)
{
	static struct cowmem_mapping found[4096];
	struct walker *self = walker;
	struct cowmem_rmap rmap;

	for (; go_on(); self->calls++) {
		self->wrong |= rmap_ask(object, &rmap, 0, 0, PAGES, found, ARRAY_LENGTH(found)) ||
		               rmap.next != PAGES * PAGE;
		for (unsigned int i = 0; i < rmap.count; i++)
			self->wrong |= found[i].offset >= PAGES * PAGE || !found[i].pid ||
			               found[i].address % PAGE;
		self->counted += rmap.count;
	}
	return NULL;
}

static void *clear_bits(void *walker)
{
	struct walker *self = walker;
	struct cowmem_page pages[PAGES];

	for (; go_on(); self->calls++) {
		self->wrong |= pagemap_ask(object,
		                           self->calls % 2 ? COWMEM_PAGEMAP_CLEAR_DIRTY
		                                           : COWMEM_PAGEMAP_CLEAR_REFERENCED,
		                           0, PAGES, pages);
		for (int i = 0; i < PAGES; i++)
			self->counted += !!(pages[i].flags & COWMEM_PAGE_REFERENCED);
	}
	return NULL;
}

static void *move_to_and_fro(void *walker)
{
	struct walker *self = walker;
	struct cowmem_move move;

	for (; go_on(); self->calls++) {
		self->wrong |= move_ask(object, &move, 0, PAGES, self->calls % 2);
		self->counted += move.moved;
	}
	return NULL;
}

/* A copy of one's own is shared by fork, written, discarded and asked about, all at once. */
static void *share_copies(void *walker)
{
	static struct cowmem_mapping found[64];
	struct walker *self = walker;
	struct cowmem_rmap rmap;
	char *p = object_map(object, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (; go_on(); self->calls++) {
		pid_t child;

		for (uint64_t i = 0; i < 8; i++)
			*(volatile uint64_t *)(p + i * PAGE) = STAMP(i);
		child = fork();
		if (!child) {
			*(volatile uint64_t *)p = STAMP(0);
			madvise(p + PAGE, PAGE, MADV_DONTNEED);
			_exit(0);
		}
		for (int i = 0; i < 3; i++) {
			self->wrong |= rmap_ask(object, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p,
			                        8, found, ARRAY_LENGTH(found));
			self->counted += rmap.count;
		}
		/* The kernel does not make huge pages of ours; it may try. */
		madvise(p, 8 * PAGE, MADV_COLLAPSE);
		madvise(p + 2 * PAGE, PAGE, MADV_DONTNEED);
	}
	munmap(p, 8 * PAGE);
	return NULL;
}

/* Takes pages out of the object under everybody, so that walks meet holes and fresh pages. */
static void *punch(void *walker)
{
	struct walker *self = walker;

	for (; go_on(); self->calls++) {
		self->wrong |= object_punch(object, self->calls * 7 % PAGES * PAGE, PAGE);
		usleep(500);
	}
	return NULL;
}

static void walks_and_storms(void)
{
	static void *(*const body[])(void *) = {ask_who, clear_bits, move_to_and_fro, share_copies,
	                                        punch};
	static const char *const name[] = {"RMAP calls", "PAGEMAP calls", "MOVE calls",
	                                   "RMAP calls of copies", "punches"};
	struct walker walkers[ARRAY_LENGTH(body)] = {};
	struct counts before = counts_now();

	family_start(PROCESSES / 2);
	end = time(NULL) + (time_t)seconds;
	for (size_t i = 0; i < ARRAY_LENGTH(body); i++)
		MUST(!pthread_create(&walkers[i].id, NULL, body[i], &walkers[i]));
	for (int round = 1; go_on(); round++) {
		atomic_store(&family->round, round);
		free_places();
		usleep(20000);
	}
	for (size_t i = 0; i < ARRAY_LENGTH(body); i++) {
		MUST(!pthread_join(walkers[i].id, NULL));
		ksft_print_msg("%lu %s, %lu counted\n", walkers[i].calls, name[i],
		               walkers[i].counted);
		CHECK(walkers[i].calls > 0);
		CHECK(!walkers[i].wrong);
	}
	family_end();
	ksft_print_msg("forks %lu, exits %lu, writes %lu\n", family->did[FORK], family->did[EXIT],
	               family->did[WRITE]);
	CHECK(walkers[0].counted && walkers[1].counted && walkers[2].counted && walkers[3].counted);
	CHECK(family->did[WRITE] > 0 && family->did[FORK] > 0);
	CHECK_EQ(family->foreign, 0);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"walks against a family that never rests", "R38 R40 R61 R74 R80 R82", walks_and_storms},
};

int main(int argc, char **argv)
{
	if (argc > 1)
		seconds = strtoul(argv[1], NULL, 10);
	return run_tests(cases, ARRAY_LENGTH(cases));
}
