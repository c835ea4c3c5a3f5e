/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmark and demonstration programs share: the kinds of memory that they
 * compare, objects of one, what keeps or clones it, and what a time or memory is measured with.
 */
#ifndef COWMEM_BENCH_H
#define COWMEM_BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/cowmem.h>

#define PAGE 4096UL
#define AFTER_BOOT 5 /* seconds: the kernel's workers are busy for a while */

/* A benchmark that cannot do what it measures has no result. */
#define MUST(condition)                                                                     \
	do {                                                                                \
		if (!(condition)) {                                                         \
			printf("%s:%d: must be: %s (%s)\n", __FILE__, __LINE__, #condition, \
			       strerror(errno));                                            \
			exit(1);                                                            \
		}                                                                           \
	} while (0)

static inline void write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	MUST(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

#define COUNTERS "/sys/class/misc/cowmem/counters"
static inline unsigned long counter(const char *name)
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

static inline uint64_t microseconds(void)
{
	struct timespec t;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &t));
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static inline int by_size(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* Sorts @figures. */
static inline uint64_t median(uint64_t *figures, size_t count)
{
	qsort(figures, count, sizeof(*figures), by_size);
	return figures[count / 2];
}

/* Free memory of the machine, with what lies on the CPU's own lists. */
static inline uint64_t free_bytes(void)
{
	unsigned long value;
	uint64_t pages = 0;
	char line[256];
	FILE *zones;

	write_text("/proc/sys/vm/stat_refresh", "1");
	zones = fopen("/proc/zoneinfo", "re");
	MUST(zones);
	while (fgets(line, sizeof(line), zones))
		if (sscanf(line, " pages free %lu", &value) == 1 ||
		    sscanf(line, " count: %lu", &value) == 1)
			pages += value;
	fclose(zones);
	return pages * PAGE;
}

enum kind { COWMEM, MEMFD, ANON, NR_KINDS };

static const char *const kind_names[] = {"cowmem", "memfd", "anon"};

/* Memory of one kind, of a size; anonymous memory has no descriptor. */
struct object {
	enum kind kind;
	int fd;
	size_t bytes;
	size_t mappings;  /* how many others, or clones, map it, for a work that is about that */
	size_t snapshots; /* how many of it are open, the same */
	size_t kib;       /* of large pages that it takes, the same; or 0 */
};

static inline struct object object_make(enum kind kind, size_t bytes)
{
	struct object o = {.kind = kind, .fd = -1, .bytes = bytes};

	if (kind == COWMEM)
		o.fd = open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC);
	if (kind == MEMFD)
		o.fd = memfd_create("bench", MFD_CLOEXEC);
	MUST(kind == ANON || o.fd >= 0);
	/* cowmem grows to what is mapped or written; so that both know their size: */
	if (kind == COWMEM) {
		struct cowmem_resize resize = {.size = sizeof(resize), .bytes = bytes};

		MUST(!ioctl(o.fd, COWMEM_IOC_RESIZE, &resize));
	}
	if (kind == MEMFD)
		MUST(!ftruncate(o.fd, (off_t)bytes));
	return o;
}

static inline void object_free(struct object *o)
{
	if (o->fd >= 0)
		close(o->fd);
	o->fd = -1;
}

/* @flags: MAP_SHARED or MAP_PRIVATE. Pages are small ones, whatever the kernel prefers. */
static inline char *object_map(const struct object *o, int flags)
{
	const int anonymous = o->kind == ANON ? MAP_ANONYMOUS : 0;
	char *p = mmap(NULL, o->bytes, PROT_READ | PROT_WRITE, flags | anonymous | MAP_NORESERVE,
	               o->fd, 0);

	MUST(p != MAP_FAILED);
	MUST(!madvise(p, o->bytes, MADV_NOHUGEPAGE));
	return p;
}

/* The descriptor of a snapshot or clone of what @fd has: SNAPSHOT or CLONE. */
static inline int object_relative(int fd, unsigned long command)
{
	struct cowmem_snapshot made = {.size = sizeof(made)};

	MUST(!ioctl(fd, command, &made));
	return made.fd;
}

/* Fills the object by write(), so that nothing is mapped. */
static inline void object_fill(const struct object *o)
{
	static char data[16 * PAGE];

	memset(data, 0x5a, sizeof(data));
	for (size_t at = 0; at < o->bytes; at += sizeof(data))
		MUST(pwrite(o->fd, data, sizeof(data), (off_t)at) == (ssize_t)sizeof(data));
}

static inline void object_punch(const struct object *o)
{
	struct cowmem_punch punch = {.size = sizeof(punch), .length = o->bytes};

	if (o->kind == COWMEM)
		MUST(!ioctl(o->fd, COWMEM_IOC_PUNCH, &punch));
	else
		MUST(!fallocate(o->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		                (off_t)o->bytes));
}

static inline void read_pages(char *p, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += PAGE)
		(void)*(const volatile char *)(p + at);
}

/* The page at @from and every @step bytes on. */
static inline void write_every(char *p, size_t bytes, size_t from, size_t step)
{
	for (size_t at = from; at < bytes; at += step)
		*(volatile char *)(p + at) = 1;
}

static inline void write_pages(char *p, size_t bytes)
{
	write_every(p, bytes, 0, PAGE);
}

/* A child that stays, and does @use with what it has at @p, if there is something to do. */
static inline pid_t child_with(void (*use)(char *p, size_t bytes), char *p, size_t bytes)
{
	pid_t child = fork();

	MUST(child >= 0);
	if (child)
		return child;
	if (use)
		use(p, bytes);
	for (;;)
		pause();
}

/* What has all pages as they are now: a snapshot's descriptor, or a child's PID. */
static inline int keep(const struct object *o)
{
	return o->kind == COWMEM ? object_relative(o->fd, COWMEM_IOC_SNAPSHOT)
	                         : child_with(NULL, NULL, 0);
}

static inline void let_go(const struct object *o, int kept)
{
	if (o->kind == COWMEM) {
		close(kept);
		return;
	}
	MUST(!kill(kept, SIGKILL));
	MUST(waitpid(kept, NULL, 0) == kept);
}

/* All of it written once. */
static inline char *map_written(const struct object *o)
{
	char *p = object_map(o, o->kind == COWMEM ? MAP_SHARED : MAP_PRIVATE);

	write_pages(p, o->bytes);
	return p;
}

/* A clone of @source, a snapshot of @o, mapped at *@at. */
static inline struct object mapped_clone(const struct object *o, int source, char **at)
{
	struct object clone = {
		.kind = COWMEM, .fd = object_relative(source, COWMEM_IOC_CLONE), .bytes = o->bytes};

	*at = object_map(&clone, MAP_SHARED);
	return clone;
}

#endif /* COWMEM_BENCH_H */
