/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tasks, threads or processes, that start at once, and how long it takes until the last
 * of them has done its work.
 */
#ifndef COWMEM_CROWD_H
#define COWMEM_CROWD_H

#include "bench.h"

#include <pthread.h>

#define MAX_TASKS 16

/* Memory that fork keeps shared. */
struct crowd {
	pthread_barrier_t start, end;
	uint64_t began[MAX_TASKS], ended[MAX_TASKS]; /* microseconds */
	uint64_t pages[MAX_TASKS];                   /* that a task has done */
};

struct task {
	struct crowd *crowd;
	int number, tasks;
	void (*run)(const struct task *task); /* calls task_begins() and task_ends(), each once */
	const void *work;                     /* what it is about */
};

static inline struct crowd *crowd_make(void)
{
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
	                           MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(crowd != MAP_FAILED);
	return crowd;
}

/* Waits until all tasks are ready; the time then, in microseconds, comes back. */
static inline uint64_t task_begins(const struct task *task)
{
	pthread_barrier_wait(&task->crowd->start);
	return task->crowd->began[task->number] = microseconds();
}

/*
 * A task of no @pages is not measured. Waits until all tasks have ended, so that no task is
 * measured while another takes apart what it had.
 */
static inline void task_ends(const struct task *task, uint64_t pages)
{
	task->crowd->pages[task->number] = pages;
	task->crowd->ended[task->number] = microseconds();
	pthread_barrier_wait(&task->crowd->end);
}

static inline void *task_thread(void *data)
{
	const struct task *task = data;

	task->run(task);
	return NULL;
}

/*
 * Has @tasks threads or processes @run, and prints how many pages they did in how many
 * microseconds, from the first's begin to the last's end: "smp WORK SIDE TASKS PAGES
 * MICROSECONDS".
 */
static inline void crowd_run(struct crowd *crowd, int tasks, bool processes,
                             void (*run)(const struct task *task), const void *work,
                             const char *name, const char *side)
{
	struct task task[MAX_TASKS];
	pthread_t threads[MAX_TASKS];
	pthread_barrierattr_t shared;
	uint64_t began = UINT64_MAX, ended = 0, pages = 0;
	int status;

	MUST(!pthread_barrierattr_init(&shared));
	MUST(!pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED));
	MUST(!pthread_barrier_init(&crowd->start, &shared, (unsigned int)tasks));
	MUST(!pthread_barrier_init(&crowd->end, &shared, (unsigned int)tasks));
	for (int i = 0; i < tasks; i++) {
		pid_t child;

		task[i] = (struct task){crowd, i, tasks, run, work};
		if (!processes) {
			MUST(!pthread_create(&threads[i], NULL, task_thread, &task[i]));
			continue;
		}
		child = fork();
		MUST(child >= 0);
		if (!child) {
			run(&task[i]);
			_exit(0);
		}
	}
	for (int i = 0; i < tasks; i++) {
		if (processes)
			MUST(wait(&status) > 0 && !status);
		else
			MUST(!pthread_join(threads[i], NULL));
	}
	for (int i = 0; i < tasks; i++) {
		if (!crowd->pages[i])
			continue;
		if (crowd->began[i] < began)
			began = crowd->began[i];
		if (crowd->ended[i] > ended)
			ended = crowd->ended[i];
		pages += crowd->pages[i];
	}
	printf("smp %s %s %d %llu %llu\n", name, side, tasks, (unsigned long long)pages,
	       (unsigned long long)(ended - began));
}

#endif /* COWMEM_CROWD_H */
