/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the benchmark programs share: the kinds of memory that they compare, and
 * objects of one.
 */
#ifndef COWMEM_BENCH_H
#define COWMEM_BENCH_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
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

enum kind { COWMEM, MEMFD, ANON, NR_KINDS };

static const char *const kind_names[] = {"cowmem", "memfd", "anon"};

/* Memory of one kind, of a size; anonymous memory has no descriptor. */
struct object {
	enum kind kind;
	int fd;
	size_t bytes;
	size_t mappings; /* how many others, or clones, map it, for a work that is about that */
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

#endif /* COWMEM_BENCH_H */
