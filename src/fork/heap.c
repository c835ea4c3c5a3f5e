// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/* libcowmem-fork: the heap. System calls are made as such: the functions are interposed. */
#define _GNU_SOURCE
#include "heap.h"

#include <cowmem/cowmem.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESERVED_MAX (1UL << 40) /* bytes of addresses: of memory it takes none */
#define RESERVED_MIN (1UL << 30)
#define AREAS_MAX 65536UL /* about as many as a process may have mappings */
#define HIGH_FD 1000      /* out of the way of programs that count on low ones */
#define GUARD 4096UL      /* at both ends: nobody's memory is next to the heap's */
#define FREE (-2)         /* in place of a protection */

static struct {
	struct range at; /* reserved */
	int fd;          /* the object's, or -1 */
	dev_t device;    /* whose it is, to tell when the program has closed it */
	ino_t inode;
	struct area *areas; /* in use, by address: neighbours that are alike are one */
	size_t count;
} heap = {.fd = -1};

static void *map(uintptr_t at, size_t length, int prot, int flags, int fd, off_t offset)
{
	return (void *)syscall(SYS_mmap, at, length, prot, flags, fd, offset);
}

static int reserve(uintptr_t at, size_t length, int flags)
{
	const int reserved = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;

	return map(at, length, PROT_NONE, reserved | flags, -1, 0) == MAP_FAILED ? -errno : 0;
}

/* Out of the way, and known again. */
static int keep(int fd)
{
	const int high = fcntl(fd, F_DUPFD_CLOEXEC, HIGH_FD);
	struct stat stat;

	if (high >= 0) {
		close(fd);
		fd = high;
	}
	if (fstat(fd, &stat))
		return -errno;
	heap.fd = fd;
	heap.device = stat.st_dev;
	heap.inode = stat.st_ino;
	return 0;
}

int heap_start(bool memfd)
{
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	const int fd =
		cowmem_object_create("heap", memfd ? COWMEM_CREATE_MEMFD : COWMEM_CREATE_MODULE);
	size_t length = RESERVED_MAX;
	char *place;
	void *areas;
	int err;

	if (fd < 0)
		return fd;
	/* An address space may have a limit. */
	do
		place = map(0, length, PROT_NONE, flags, -1, 0);
	while (place == MAP_FAILED && (length /= 2) >= RESERVED_MIN);
	areas = map(0, AREAS_MAX * sizeof(struct area), PROT_READ | PROT_WRITE, flags, -1, 0);
	err = place == MAP_FAILED || areas == MAP_FAILED
	              ? -ENOMEM
	              : cowmem_object_resize(fd, length, COWMEM_RESIZE_GROWS);
	if (!err)
		err = keep(fd);
	if (err) {
		if (place != MAP_FAILED)
			syscall(SYS_munmap, place, length);
		if (areas != MAP_FAILED)
			syscall(SYS_munmap, areas, AREAS_MAX * sizeof(struct area));
		close(fd);
		return err;
	}
	heap.areas = areas;
	heap.at = (struct range){(uintptr_t)place + GUARD, (uintptr_t)place + length - GUARD};
	return 0;
}

bool heap_has(struct range range)
{
	return range.start < heap.at.end && range.end > heap.at.start;
}

bool heap_has_all(struct range range)
{
	return range.start >= heap.at.start && range.end <= heap.at.end;
}

size_t heap_bytes(size_t *areas)
{
	size_t bytes = 0;

	*areas = 0;
	for (const struct area *area = heap.areas; area < heap.areas + heap.count; area++) {
		if (area->prot == FOREIGN)
			continue;
		bytes += area->at.end - area->at.start;
		++*areas;
	}
	return bytes;
}

/* --- the areas --- */

/* The first that ends behind @at. */
static size_t find(uintptr_t at)
{
	size_t low = 0, high = heap.count;

	while (low < high) {
		const size_t middle = (low + high) / 2;

		if (heap.areas[middle].at.end > at)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void replace(size_t i, size_t old, size_t fresh)
{
	struct area *at = heap.areas + i;

	memmove(at + fresh, at + old, (heap.count - i - old) * sizeof(*at));
	heap.count += fresh - old;
}

/* Has no area go across @at. */
static void cut(uintptr_t at)
{
	const size_t i = find(at);
	struct area *area = heap.areas + i;

	if (i == heap.count || area->at.start >= at)
		return;
	replace(i, 0, 1);
	area[0] = area[1];
	area[0].at.end = area[1].at.start = at;
}

/* The indices of the areas in a range, which begin and end with it, if at all. */
static void cut_out(struct range range, size_t *first, size_t *behind)
{
	cut(range.start);
	cut(range.end);
	*first = find(range.start);
	*behind = *first;
	while (*behind < heap.count && heap.areas[*behind].at.start < range.end)
		++*behind;
}

/* Areas that are alike are one again, from before @first to behind @behind. */
static void merge(size_t first, size_t behind)
{
	for (size_t i = behind < heap.count ? behind : heap.count - 1; i > 0 && i + 1 > first;
	     i--) {
		struct area *area = heap.areas + i;

		if (area[-1].at.end != area->at.start || area[-1].prot != area->prot)
			continue;
		area[-1].at.end = area->at.end;
		replace(i, 1, 0);
	}
}

bool heap_has_room(void)
{
	return heap.count + 3 <= AREAS_MAX;
}

/* What a range is from now on: its protection, FOREIGN, or FREE. */
static void note(struct range range, int prot)
{
	size_t first, behind;

	cut_out(range, &first, &behind);
	replace(first, behind - first, prot != FREE);
	if (prot != FREE)
		heap.areas[first] = (struct area){range, prot};
	if (heap.count)
		merge(first, first + 1);
}

bool heap_is_free(struct range range)
{
	const size_t i = find(range.start);

	return heap_has_all(range) && (i == heap.count || heap.areas[i].at.start >= range.end);
}

const struct area *heap_area(struct range range)
{
	const size_t i = find(range.start);
	const struct area *area = heap.areas + i;

	return i < heap.count && area->at.start <= range.start && area->at.end >= range.end ? area
	                                                                                    : NULL;
}

/* The first place that is free, or 0. */
static uintptr_t find_free(size_t length)
{
	uintptr_t at = heap.at.start;

	for (size_t i = 0; i < heap.count && heap.areas[i].at.start - at < length; i++)
		at = heap.areas[i].at.end;
	return heap.at.end - at < length ? 0 : at;
}

/* --- the object --- */

/* Whether the program has left the object's descriptor alone. 0, or -EBADF. */
static int check_fd(int fd)
{
	struct stat stat;

	return fstat(fd, &stat) || stat.st_dev != heap.device || stat.st_ino != heap.inode ? -EBADF
	                                                                                   : 0;
}

/* Maps what the system call leaves out of a child, which is never to have the parent's. */
static int map_object(int fd, struct range range, int prot, int flags)
{
	const size_t length = range.end - range.start;
	const off_t offset = (off_t)(range.start - heap.at.start);

	if (map(range.start, length, prot, MAP_SHARED | MAP_FIXED | flags, fd, offset) ==
	    MAP_FAILED)
		return -errno;
	return syscall(SYS_madvise, range.start, length, MADV_DONTFORK) ? -errno : 0;
}

static int zero(struct range range)
{
	const int err = check_fd(heap.fd);

	return err ? err
	           : cowmem_object_punch(heap.fd, range.start - heap.at.start,
	                                 range.end - range.start, NULL);
}

int heap_map(uintptr_t *hint, size_t length, int prot, int flags, bool fixed)
{
	uintptr_t at = *hint;
	struct range range;
	int err;

	if (!fixed && !(at && heap_is_free((struct range){at, at + length})))
		at = find_free(length);
	if (!at || !heap_has_room())
		return -ENOMEM;
	range = (struct range){at, at + length};
	err = fixed ? zero(range) : check_fd(heap.fd);
	if (!err)
		err = map_object(heap.fd, range, prot, flags);
	if (err)
		return err;
	note(range, prot);
	*hint = at;
	return 0;
}

void heap_cede(struct range range)
{
	/* What does not become zeroes is as good as lost: the place is given to nobody as it is. */
	(void)zero(range);
	note(range, FOREIGN);
}

int heap_unmap(struct range range)
{
	const int err = heap_has_room() ? reserve(range.start, range.end - range.start, MAP_FIXED)
	                                : -ENOMEM;

	if (err)
		return err;
	note(range, zero(range) ? FOREIGN : FREE);
	return 0;
}

/* Calls @change of the areas of a range, up to the first gap: -ENOMEM then. */
static int each(struct range range, int (*change)(struct area *area, int argument), int argument)
{
	uintptr_t at = range.start;
	size_t first, behind;
	int err = 0;

	if (!heap_has_room())
		return -ENOMEM;
	cut_out(range, &first, &behind);
	for (size_t i = first; !err && i < behind && heap.areas[i].at.start == at; i++) {
		err = change(&heap.areas[i], argument);
		at = heap.areas[i].at.end;
	}
	if (heap.count)
		merge(first, behind);
	return err ? err : at == range.end ? 0 : -ENOMEM;
}

static int protect(struct area *area, int prot)
{
	if (syscall(SYS_mprotect, area->at.start, area->at.end - area->at.start, prot))
		return -errno;
	if (area->prot != FOREIGN)
		area->prot = prot;
	return 0;
}

int heap_protect(struct range range, int prot)
{
	return each(range, protect, prot);
}

static int lose(struct area *area, int advice)
{
	if (area->prot != FOREIGN)
		return zero(area->at);
	return syscall(SYS_madvise, area->at.start, area->at.end - area->at.start, advice) ? -errno
	                                                                                   : 0;
}

int heap_lose(struct range range)
{
	return each(range, lose, MADV_DONTNEED);
}

int heap_clone(void)
{
	const int err = check_fd(heap.fd);

	return err ? err : cowmem_object_clone(heap.fd);
}

int heap_become(int clone)
{
	int err;

	close(heap.fd);
	err = keep(clone);
	for (const struct area *area = heap.areas; !err && area < heap.areas + heap.count; area++)
		if (area->prot != FOREIGN)
			err = map_object(heap.fd, area->at, area->prot, 0);
	return err;
}
