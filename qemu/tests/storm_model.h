/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Things: descriptors of objects, each with a model of what is behind it, in memory that all
 * processes of layerstorm share. One worker has a thing at a time.
 */
#ifndef COWMEM_STORM_MODEL_H
#define COWMEM_STORM_MODEL_H

#include "relatives.h"

#include <stdatomic.h>

enum {
	WORKERS = 5, /* the first two are threads of one process */
	THINGS = 48,
	PAGES = 40,
	BYTES = PAGES * 4096,
	CHILDREN = 2, /* of a worker, while it goes on */
};

enum deed {
	LOOK,
	STORE,
	FILL,
	WRITE,
	PUNCH,
	RESIZE,
	RESTORE,
	OUT,
	PREFETCH,
	SNAPSHOT,
	CLONE,
	MOVE,
	PROTECT,
	DEEDS_OF_THE_DOOMED,
	DISCARD = DEEDS_OF_THE_DOOMED,
	MAP_AGAIN,
	PRIVATE,
	PIN,
	REFUSED,
	CLOSE,
	PASS,
	SHARE,
	OPEN,
	READER,
	FOLLOWER,
	DOOMED,
	EXIT,
	DEEDS
};

struct content {
	size_t bytes;
	unsigned char byte[BYTES]; /* beyond `bytes`, zeroes */
};

enum { NOBODY = -1, NEW = -2, SENT = WORKERS /* to worker 0, and so on */ }; /* owners */

/* A descriptor, and what is to be found behind it. */
struct thing {
	_Atomic int owner;
	bool sealed;
	unsigned int family; /* of those that came from one object */
	unsigned int clones; /* on the way from that one to this */
	struct content is;
};

enum phase { GO, STAND, COMPARE, INSPECT, HOME };

/* What a doomed child is just doing, to the only thing that it touches. */
struct pending {
	_Atomic bool begun, is;
	bool whole;           /* there is nothing between before and after */
	size_t first, length; /* the bytes in question; those of the two are what they may be */
	struct content before, after;
};

static struct arena {
	_Atomic int phase;
	_Atomic unsigned int families, most_clones; /* on the way to any */
	_Atomic unsigned long did[DEEDS], doomed, unsettled;
	_Atomic unsigned long wrong;
	struct {
		unsigned int worker, deed, thing;
		size_t offset, bytes;
		int expected, found;
	} first_wrong;
	struct thing thing[THINGS];
	struct {
		_Atomic int at; /* phase */
		enum deed deed; /* the last one begun */
		unsigned int lives;
		struct pending pending;
	} worker[WORKERS];
} *arena;

static int inbox[WORKERS][2]; /* to receive, to send */

/* Where this process has its things. */
static struct {
	int fd;
	unsigned char *map; /* all that can be, shared; or none */
} here[THINGS];

struct self {
	unsigned int number, random;
	enum deed deed;
	bool doomed;
	pid_t child[CHILDREN]; /* or 0 */
};

static unsigned int below(struct self *self, unsigned int bound)
{
	return (unsigned int)rand_r(&self->random) % bound;
}

static void complain(const struct self *self, unsigned int t, size_t offset, int expected,
                     int found)
{
	if (atomic_fetch_add(&arena->wrong, 1))
		return;
	arena->first_wrong.worker = self->number;
	arena->first_wrong.deed = self->deed;
	arena->first_wrong.thing = t;
	arena->first_wrong.offset = offset;
	arena->first_wrong.bytes = arena->thing[t].is.bytes;
	arena->first_wrong.expected = expected;
	arena->first_wrong.found = found;
}

static void compare(const struct self *self, unsigned int t, const unsigned char *found,
                    size_t first, size_t length, const unsigned char *expected)
{
	if (!memcmp(found + first, expected + first, length))
		return;
	for (size_t i = first; i < first + length; i++)
		if (found[i] != expected[i])
			return complain(self, t, i, expected[i], found[i]);
	complain(self, t, first, -1, -1); /* by now it is as it should be */
}

/* Some bytes of the object, mostly few. */
static void any_bytes(struct self *self, size_t bytes, size_t *first, size_t *length)
{
	*first = below(self, (unsigned int)bytes);
	*length = 1 + below(self, (unsigned int)(bytes - *first));
	if (below(self, 64) && *length > 200)
		*length = 1 + below(self, 200);
}

/* The same of pages. */
static void any_pages(struct self *self, size_t *first, size_t *count)
{
	*first = below(self, PAGES);
	*count = 1 + below(self, (unsigned int)(PAGES - *first));
	if (below(self, 2) && *count > 3)
		*count = 1 + below(self, 3);
}

/* --- things --- */
static unsigned char *map_of(unsigned int t)
{
	if (!here[t].map)
		here[t].map = object_map(here[t].fd, BYTES,
		                         PROT_READ | (arena->thing[t].sealed ? 0 : PROT_WRITE),
		                         MAP_SHARED);
	return here[t].map;
}

static void unmap(struct self *self, unsigned int t)
{
	(void)self;
	if (here[t].map)
		MUST(!munmap(here[t].map, BYTES));
	here[t].map = NULL;
}

/* A place for another thing, or -1: there is none. */
static int new_thing(void)
{
	for (int t = 0; t < THINGS; t++) {
		int owner = NOBODY;

		if (atomic_compare_exchange_strong(&arena->thing[t].owner, &owner, NEW))
			return t;
	}
	return -1;
}

static void own(const struct self *self, int t, int fd)
{
	here[t].fd = fd;
	here[t].map = NULL;
	atomic_store(&arena->thing[t].owner, (int)self->number);
}

static bool owns(const struct self *self, unsigned int t)
{
	return atomic_load(&arena->thing[t].owner) == (int)self->number;
}

/* Any thing of one's own that the condition is true of, or -1. */
static int any_thing(struct self *self, bool (*is_right)(unsigned int t, unsigned int for_whom),
                     unsigned int for_whom)
{
	const unsigned int start = below(self, THINGS);

	for (unsigned int i = 0; i < THINGS; i++) {
		const unsigned int t = (start + i) % THINGS;

		if (owns(self, t) && is_right(t, for_whom))
			return (int)t;
	}
	return -1;
}

static bool is_any(unsigned int t, unsigned int for_whom)
{
	(void)t, (void)for_whom;
	return true;
}

/* A snapshot that it can be restored to. */
static bool is_snapshot_for(unsigned int t, unsigned int whom)
{
	return arena->thing[t].sealed && arena->thing[t].family == arena->thing[whom].family;
}

static bool is_stranger(unsigned int t, unsigned int whom)
{
	return arena->thing[t].sealed && arena->thing[t].family != arena->thing[whom].family;
}

static void drop(struct self *self, unsigned int t)
{
	unmap(self, t);
	MUST(!close(here[t].fd));
	atomic_store(&arena->thing[t].owner, NOBODY);
}

/* --- what changes a thing: its model first, so that who is killed leaves word --- */
static struct content *intend(const struct self *self, unsigned int t, size_t first, size_t length)
{
	struct pending *pending = &arena->worker[self->number].pending;
	struct content *is = &arena->thing[t].is;

	if (!self->doomed)
		return is;
	pending->first = first;
	pending->length = length;
	pending->whole = false;
	pending->before.bytes = pending->after.bytes = is->bytes;
	memcpy(pending->before.byte + first, is->byte + first, length);
	memcpy(pending->after.byte + first, is->byte + first, length);
	return &pending->after;
}

static void begin(const struct self *self)
{
	if (self->doomed)
		atomic_store(&arena->worker[self->number].pending.is, true);
}

static void done(const struct self *self, unsigned int t)
{
	struct pending *pending = &arena->worker[self->number].pending;

	if (!self->doomed)
		return;
	arena->thing[t].is.bytes = pending->after.bytes;
	memcpy(arena->thing[t].is.byte + pending->first, pending->after.byte + pending->first,
	       pending->length);
	atomic_store(&pending->is, false);
}

#endif /* COWMEM_STORM_MODEL_H */
