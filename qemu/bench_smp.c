// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark of contention, inside the guest: how many faults a second several
 * threads or processes get done, on cowmem and on a memfd, in one boot. Its figures
 * mean nothing but in comparison: QEMU's CPUs are threads of the host.
 *
 *   bench_smp MILLISECONDS ROUNDS
 *
 * Prints "smp WORK SIDE TASKS FAULTS MICROSECONDS" for each round of each, and how many
 * faults were attempted without locks, and became of them: "speculative WORK TASKS
 * ATTEMPTS COMMITS ABORTS".
 */
#include "bench.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>

#define MAX_TASKS 16
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

#define COUNTERS "/sys/class/misc/cowmem/counters"
static unsigned long counter(const char *name)
{
	unsigned long value;
	char path[sizeof(COUNTERS) + 256];
	FILE *file;

	snprintf(path, sizeof(path), COUNTERS "/%s", name);
	file = fopen(path, "re");
	MUST(file && fscanf(file, "%lu", &value) == 1);
	fclose(file);
	return value;
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

/* What the tasks of one round share: memory that fork keeps shared. */
struct round {
	const struct work *work;
	struct object common;
	char *map; /* of the common object */
	const struct side *side;
	uint64_t until; /* microseconds; 0: wait */
	int ready;
	uint64_t faults[MAX_TASKS];
};

struct task {
	struct round *round;
	int number;
};

/* Writes each page of the part once, in an order that no two neighbours have in common. */
static void write_part(char *part)
{
	const size_t stride = 601; /* prime to the number of pages */

	for (size_t i = 0; i < AREA_PAGES; i++)
		*(volatile char *)(part + i * stride % AREA_PAGES * PAGE) = 1;
}

static void *run_task(void *data)
{
	const struct task *task = data;
	struct round *round = task->round;
	const struct work *work = round->work;
	struct object own = {.fd = -1};
	uint64_t until, faults = 0;

	if (work->sharing == OWN_OBJECT)
		own = object_make(round->side->kind, AREA);
	__atomic_fetch_add(&round->ready, 1, __ATOMIC_SEQ_CST);
	while (!(until = __atomic_load_n(&round->until, __ATOMIC_SEQ_CST)))
		sched_yield();
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
	round->faults[task->number] = faults;
	object_free(&own);
	return NULL;
}

static void run_tasks(struct round *round, int tasks, long milliseconds)
{
	struct task task[MAX_TASKS];
	pthread_t threads[MAX_TASKS];
	uint64_t start;
	int status;

	for (int i = 0; i < tasks; i++) {
		task[i] = (struct task){.round = round, .number = i};
		if (!round->work->processes) {
			MUST(!pthread_create(&threads[i], NULL, run_task, &task[i]));
		} else if (!fork()) {
			run_task(&task[i]);
			_exit(0);
		}
	}
	while (__atomic_load_n(&round->ready, __ATOMIC_SEQ_CST) < tasks)
		usleep(1000);
	start = microseconds();
	__atomic_store_n(&round->until, start + (uint64_t)milliseconds * 1000, __ATOMIC_SEQ_CST);
	for (int i = 0; i < tasks; i++) {
		if (round->work->processes)
			MUST(wait(&status) > 0 && !status);
		else
			MUST(!pthread_join(threads[i], NULL));
	}
	for (int i = 1; i < tasks; i++)
		round->faults[0] += round->faults[i];
	printf("smp %s %s %d %llu %llu\n", round->work->name, round->side->name, tasks,
	       (unsigned long long)round->faults[0], (unsigned long long)(microseconds() - start));
}

static void run(struct round *round, const struct work *work, const struct side *side, int tasks,
                long milliseconds)
{
	const unsigned long attempts = counter("speculative_attempts");
	const unsigned long commits = counter("speculative_commits");
	const unsigned long aborted = aborts();

	*round = (struct round){.work = work, .side = side};
	set_speculation(side->speculates);
	if (work->sharing == ONE_MAPPING) {
		round->common = object_make(side->kind, AREA * (size_t)tasks);
		object_fill(&round->common);
		round->map = object_map(&round->common, work->flags);
	}
	run_tasks(round, tasks, milliseconds);
	if (work->sharing == ONE_MAPPING) {
		MUST(!munmap(round->map, round->common.bytes));
		object_free(&round->common);
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
	struct round *round = mmap(NULL, sizeof(*round), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(milliseconds && rounds && round != MAP_FAILED);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sleep(AFTER_BOOT);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		for (int tasks = 1; tasks <= MAX_TASKS; tasks *= 2)
			for (long n = 0; n < rounds; n++)
				for (size_t side = 0; side < sizeof(sides) / sizeof(*sides); side++)
					run(round, &works[i], &sides[side], tasks, milliseconds);
	return 0;
}
