// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark of contention, inside the guest: how many faults a second several
 * threads or processes get done, on cowmem and on a memfd, in one boot. Its figures
 * mean nothing but in comparison: QEMU's CPUs are threads of the host.
 *
 *   bench_smp MILLISECONDS ROUNDS
 *
 * Prints "smp WORK SIDE TASKS PAGES MICROSECONDS" for each round of each, a fault for each
 * page, and how many were attempted without locks, and became of them: "speculative WORK TASKS
 * ATTEMPTS COMMITS ABORTS".
 */
#include "crowd.h"

#include <dirent.h>

#define AREA (4UL << 20) /* bytes, for each task */
#define AREA_PAGES (AREA / PAGE)

enum sharing {
	ONE_MAPPING, /* of one object, each task has a part of it */
	OWN_OBJECT,  /* and mapping: what will-it-scale does */
};

struct work {
	const char *name;
	enum sharing sharing;
	int flags; /* of the mapping */
	bool processes;
};

/* page_fault2 and page_fault3 are will-it-scale's: write all, unmap, again. */
static const struct work works[] = {
	{"private", ONE_MAPPING, MAP_PRIVATE, false},
	{"shared", ONE_MAPPING, MAP_SHARED, false},
	{"page_fault2_threads", OWN_OBJECT, MAP_PRIVATE, false},
	{"page_fault2_processes", OWN_OBJECT, MAP_PRIVATE, true},
	{"page_fault3_threads", OWN_OBJECT, MAP_SHARED, false},
	{"page_fault3_processes", OWN_OBJECT, MAP_SHARED, true},
};

/* Who competes: cowmem with and without the speculative path, and a memfd. */
static const struct side {
	const char *name;
	enum kind kind;
	bool speculates;
} sides[] = {
	{"cowmem", COWMEM, true},
	{"locked", COWMEM, false},
	{"memfd", MEMFD, true},
};

static void set_speculation(bool on)
{
	static const char *const names[] = {"private", "read", "shared_write"};
	char path[96];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "/sys/module/cowmem/parameters/speculate_%s",
		         names[i]);
		write_text(path, on ? "Y" : "N");
	}
}

/* The aborts, whatever the reason. */
static unsigned long aborts(void)
{
	static const char prefix[] = "speculative_abort_";
	const struct dirent *entry;
	unsigned long sum = 0;
	DIR *counters = opendir(COUNTERS);

	MUST(counters);
	while ((entry = readdir(counters)))
		if (!strncmp(entry->d_name, prefix, strlen(prefix)))
			sum += counter(entry->d_name);
	closedir(counters);
	return sum;
}

/* What the tasks of one round are about. */
struct round {
	const struct work *work;
	const struct side *side;
	long milliseconds;
	struct object common;
	char *map; /* of the common object */
};

/* Writes each page of the part once, in an order that no two neighbours have in common. */
static void write_part(char *part)
{
	const size_t stride = 601; /* prime to the number of pages */

	for (size_t i = 0; i < AREA_PAGES; i++)
		*(volatile char *)(part + i * stride % AREA_PAGES * PAGE) = 1;
}

static void run_task(const struct task *task)
{
	const struct round *round = task->work;
	const struct work *work = round->work;
	struct object own = {.fd = -1};
	uint64_t until, faults = 0;

	if (work->sharing == OWN_OBJECT)
		own = object_make(round->side->kind, AREA);
	until = task_begins(task) + (uint64_t)round->milliseconds * 1000;
	do {
		if (work->sharing == OWN_OBJECT) {
			char *p = object_map(&own, work->flags);

			write_part(p);
			MUST(!munmap(p, AREA));
		} else {
			char *part = round->map + (size_t)task->number * AREA;

			write_part(part);
			MUST(!madvise(part, AREA, MADV_DONTNEED));
		}
		faults += AREA_PAGES;
	} while (microseconds() < until);
	task_ends(task, faults);
	object_free(&own);
}

static void run(struct crowd *crowd, const struct work *work, const struct side *side, int tasks,
                long milliseconds)
{
	const unsigned long attempts = counter("speculative_attempts");
	const unsigned long commits = counter("speculative_commits");
	const unsigned long aborted = aborts();
	struct round round = {.work = work, .side = side, .milliseconds = milliseconds};

	set_speculation(side->speculates);
	if (work->sharing == ONE_MAPPING) {
		round.common = object_make(side->kind, AREA * (size_t)tasks);
		object_fill(&round.common);
		round.map = object_map(&round.common, work->flags);
	}
	crowd_run(crowd, tasks, work->processes, run_task, &round, work->name, side->name);
	if (work->sharing == ONE_MAPPING) {
		MUST(!munmap(round.map, round.common.bytes));
		object_free(&round.common);
	}
	if (side->kind == COWMEM && side->speculates)
		printf("speculative %s %d %lu %lu %lu\n", work->name, tasks,
		       counter("speculative_attempts") - attempts,
		       counter("speculative_commits") - commits, aborts() - aborted);
}

int main(int argc, char **argv)
{
	const long milliseconds = argc > 1 ? atol(argv[1]) : 0;
	const long rounds = argc > 2 ? atol(argv[2]) : 0;
	struct crowd *crowd = crowd_make();

	MUST(milliseconds && rounds);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sleep(AFTER_BOOT);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		for (int tasks = 1; tasks <= MAX_TASKS; tasks *= 2)
			for (long n = 0; n < rounds; n++)
				for (size_t side = 0; side < sizeof(sides) / sizeof(*sides); side++)
					run(crowd, &works[i], &sides[side], tasks, milliseconds);
	return 0;
}
