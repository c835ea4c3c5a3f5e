/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * libcowmem-fork: the heap, one object, mapped shared in a range of addresses that is reserved for
 * it: what is at base + n is the object's byte n. Of the range, areas are in use.
 *
 * The functions keep to the lock that fork() holds, too: but for heap_start() and heap_has(), the
 * caller has it. They allocate nothing. Those that can fail give a negative errno. Ranges are of
 * whole pages, not empty, and within the reserved range.
 */
#ifndef COWMEM_FORK_HEAP_H
#define COWMEM_FORK_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

struct range {
	uintptr_t start, end;
};

struct area {
	struct range at;
	int prot; /* or FOREIGN */
};

/* Something else, which the program has mapped in a place of the heap's: fork() does as ever. */
#define FOREIGN (-1)

/*
 * Has an object, and a range of addresses reserved for it. 0, or why there is none: then there is
 * no heap, and heap_has() is false of all addresses.
 */
int heap_start(bool memfd);

/* Whether some of the range is the heap's. */
bool heap_has(struct range range);
bool heap_has_all(struct range range);

/* How many bytes of the object's, in how many areas, are in use. */
size_t heap_bytes(size_t *areas);

/*
 * Zeroes at an address that is free, @hint if that is; at @hint itself with @fixed, whatever is
 * there. @flags: of mmap(), MAP_POPULATE and MAP_LOCKED. 0, with the place in @hint.
 */
int heap_map(uintptr_t *hint, size_t length, int prot, int flags, bool fixed);

/* Gives a range back, whose bytes are lost. */
int heap_unmap(struct range range);

/* Whether there is room for heap_cede(), which what is mapped in a place of the heap's has now. */
bool heap_has_room(void);
void heap_cede(struct range range);

/* -ENOMEM, as mprotect(), if some of it is not in use; what is before that is changed. */
int heap_protect(struct range range, int prot);

/* As madvise() with MADV_DONTNEED: has zeroes in a range, whose memory is given back. */
int heap_lose(struct range range);

/* Whether a range is free, and the area that has all of a range, or NULL. */
bool heap_is_free(struct range range);
const struct area *heap_area(struct range range);

/* A clone of the object as it is now: its descriptor, closed on exec. */
int heap_clone(void);

/*
 * In the child: have the heap be that of a clone, at the same addresses. It is
 * async-signal-safe.
 */
int heap_become(int clone);

#endif /* COWMEM_FORK_HEAP_H */
