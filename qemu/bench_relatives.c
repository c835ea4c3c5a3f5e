// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark of contention among relatives, inside the guest: what several clones, or
 * threads after a snapshot, get done a second, and what takes their place with fork(), in
 * one boot. Its figures mean nothing but in comparison, as those of bench_smp.
 *
 *   bench_relatives MIB MILLISECONDS ROUNDS
 *
 * Prints "smp WORK SIDE TASKS PAGES MICROSECONDS" for each round of each.
 */
#include "crowd.h"

#define BETWEEN 100000 /* microseconds: what the last round freed is under way */
#define EVERY_4TH (4 * PAGE)
#define FEW 50      /* pages, between one RESTORE and the next */
#define AROUND 16   /* pages, that one fault maps */
#define STRIDE 6151 /* pages; prime to the number of pages: nothing lies next to another */

struct work {
	const char *name;
	enum kind peer; /* what is mapped where fork() takes cowmem's place */
	bool processes;
	void (*run)(const struct task *task);
};

/* What the tasks of one round come from: all of it written. */
struct family {
	long milliseconds;
	struct object origin;
	char *map; /* of the origin, in the first process */
	int kept;  /* a snapshot, or a child that sleeps */
};

/* The memory of a process of its own: a clone's, or what its parent had. */
static char *own_memory(const struct family *family, struct object *own)
{
	char *p = family->map;

	*own = family->origin;
	if (own->kind == COWMEM)
		*own = mapped_clone(&family->origin, family->kept, &p);
	return p;
}

static uint64_t time_out(const struct family *family, uint64_t began)
{
	return began + (uint64_t)family->milliseconds * 1000;
}

/* One page in @step bytes, all or until @until; how many comes back. */
static uint64_t write_until(char *p, size_t bytes, size_t step, uint64_t until)
{
	uint64_t pages = 0;

	for (size_t at = 0; at < bytes && microseconds() < until; at += step, pages++)
		*(volatile char *)(p + at) = 1;
	return pages;
}

static void restore(const struct family *family, const struct object *own)
{
	struct cowmem_restore to = {.size = sizeof(to), .fd = family->kept};

	MUST(!ioctl(own->fd, COWMEM_IOC_RESTORE, &to));
}

static void write_own(const struct task *task)
{
	const struct family *family = task->work;
	struct object own;
	char *p = own_memory(family, &own);
	const uint64_t until = time_out(family, task_begins(task));

	task_ends(task, write_until(p, own.bytes, EVERY_4TH, until));
}

static void write_part(const struct task *task)
{
	const struct family *family = task->work;
	const size_t bytes = family->origin.bytes / (size_t)task->tasks;
	char *part = family->map + (size_t)task->number * bytes;
	const uint64_t until = time_out(family, task_begins(task));

	task_ends(task, write_until(part, bytes, EVERY_4TH, until));
}

/* From the @first on, in an order that goes through all pages. */
static void write_few(char *p, size_t bytes, size_t first)
{
	for (size_t i = first; i < first + FEW; i++)
		*(volatile char *)(p + i * STRIDE % (bytes / PAGE) * PAGE) = 1;
}

/* Writes a few pages and gives them back: by RESTORE, or as a child that exits. */
static void write_and_restore(const struct task *task)
{
	const struct family *family = task->work;
	struct object own;
	char *p = own_memory(family, &own);
	const uint64_t until = time_out(family, task_begins(task));
	size_t pages = 0;

	do {
		if (own.kind == COWMEM) {
			write_few(p, own.bytes, pages);
			restore(family, &own);
		} else {
			pid_t child = fork();
			int status;

			MUST(child >= 0);
			if (!child) {
				write_few(p, own.bytes, pages);
				_exit(0);
			}
			MUST(waitpid(child, &status, 0) == child && !status);
		}
		pages += FEW;
	} while (microseconds() < until);
	task_ends(task, pages);
}

/* Reads all in order, again and again, and each time with faults. */
static uint64_t read_until(char *p, size_t bytes, uint64_t until)
{
	uint64_t pages = 0;

	do {
		const size_t at = pages * PAGE % bytes;

		if (!at)
			MUST(!madvise(p, bytes, MADV_DONTNEED));
		read_pages(p + at, AROUND * PAGE);
		pages += AROUND;
	} while (microseconds() < until);
	return pages;
}

/* The first one reads; the others write all, again and again, and do not count. */
static void read_among_writers(const struct task *task)
{
	const struct family *family = task->work;
	struct object own;
	char *p = own_memory(family, &own);
	const uint64_t until = time_out(family, task_begins(task));
	uint64_t read = 0;

	if (!task->number)
		read = read_until(p, own.bytes, until);
	while (microseconds() < until) {
		write_until(p, own.bytes, PAGE, until);
		if (own.kind == COWMEM)
			restore(family, &own);
		else
			MUST(!madvise(p, own.bytes, MADV_DONTNEED));
	}
	task_ends(task, read);
}

/*
 * A child of fork() has its parent's page tables, and reads without a fault: the reader is
 * compared with one of what a memfd has, of which each child copies what it writes.
 */
static const struct work works[] = {
	{"clones", ANON, true, write_own},
	{"threads", ANON, false, write_part},
	{"restore", ANON, true, write_and_restore},
	{"reader", MEMFD, true, read_among_writers},
};

static void run(struct crowd *crowd, const struct work *work, enum kind kind, int tasks,
                size_t bytes, long milliseconds)
{
	struct family family = {.milliseconds = milliseconds, .origin = object_make(kind, bytes)};
	const bool has_map = kind != COWMEM || !work->processes;
	const bool has_kept = kind == COWMEM || !work->processes;

	usleep(BETWEEN);
	if (kind != ANON)
		object_fill(&family.origin);
	if (has_map)
		family.map = object_map(&family.origin, kind == COWMEM ? MAP_SHARED : MAP_PRIVATE);
	if (has_map && kind != MEMFD)
		write_pages(family.map, bytes);
	if (has_kept)
		family.kept = keep(&family.origin);
	crowd_run(crowd, tasks, work->processes, work->run, &family, work->name,
	          kind == COWMEM ? "cowmem" : "fork");
	if (has_kept)
		let_go(&family.origin, family.kept);
	if (has_map)
		MUST(!munmap(family.map, bytes));
	object_free(&family.origin);
}

int main(int argc, char **argv)
{
	const size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) << 20 : 0;
	const long milliseconds = argc > 2 ? atol(argv[2]) : 0;
	const long rounds = argc > 3 ? atol(argv[3]) : 0;
	struct crowd *crowd = crowd_make();

	MUST(bytes && milliseconds && rounds);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sleep(AFTER_BOOT);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		for (int tasks = 1; tasks <= MAX_TASKS; tasks *= 2)
			for (long n = 0; n < rounds; n++) {
				run(crowd, &works[i], COWMEM, tasks, bytes, milliseconds);
				run(crowd, &works[i], works[i].peer, tasks, bytes, milliseconds);
			}
	return 0;
}
