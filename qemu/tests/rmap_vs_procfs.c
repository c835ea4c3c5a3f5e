// SPDX-License-Identifier: GPL-2.0
/*
 * RMAP against the truth, which a family of processes makes up at random (family.h).
 * After each round nobody moves, and what RMAP and PAGEMAP say of every page must be
 * what all processes' /proc/PID/smaps and /proc/PID/pagemap say, entry by entry.
 */
#include "counts.h"
#include "family.h"

#include <time.h>

#define ROUNDS 40 /* at most, and as long as there are SECONDS left, but ENOUGH of them */
#define ENOUGH 3
#define SECONDS (debug_kernel() ? 6 : 15)

/* Whether every member has done the round, or is no more. */
static bool round_is_done(int round)
{
	free_places();
	for (int i = 0; i < PROCESSES; i++) {
		const struct member *member = &family->member[i];

		if (atomic_load(&member->pid) &&
		    (atomic_load(&member->gone) || atomic_load(&member->round) != round))
			return false;
	}
	return true;
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
	const uint32_t compared =
		COWMEM_MAPPING_SHARED | COWMEM_MAPPING_LOCKED | COWMEM_MAPPING_COPY;
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

	family_start(PROCESSES / 2);
	int round = 1;

	for (; round <= ROUNDS && (time(NULL) < end || round <= ENOUGH) && !test_failed; round++) {
		atomic_store(&family->round, round);
		while (!round_is_done(round))
			usleep(1000);
		compare(&entries, &copies);
	}
	family_end();
	ksft_print_msg("%d rounds, %lu entries compared, %lu of them copies; "
	               "forks %lu, exits %lu, moves %lu\n",
	               round - 1, entries, copies, family->did[FORK], family->did[EXIT],
	               family->did[MOVE_AWAY]);
	CHECK(round > ENOUGH && entries > 100 && copies > 10);
	CHECK_EQ(family->foreign, 0);
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
