/* SPDX-License-Identifier: GPL-2.0 */
/* What is done to things, and to what each of them should be then. */
#ifndef COWMEM_STORM_OPS_H
#define COWMEM_STORM_OPS_H

#include "passing.h"
#include "store.h"
#include "storm_model.h"

#include <sys/uio.h>

/* What compresses well, or not at all, or is the same all over. */
static void scribble(struct self *self, unsigned char *bytes, size_t length)
{
	const uint64_t word =
		(uint64_t)rand_r(&self->random) << 32 ^ (uint64_t)rand_r(&self->random);
	const unsigned int kind = below(self, 4);
	uint64_t next = word;

	for (size_t i = 0; i < length; i += sizeof(next)) {
		memcpy(bytes + i, &next, length - i < sizeof(next) ? length - i : sizeof(next));
		if (kind == 0)
			next = next * 6364136223846793005ULL + word;
		else if (kind == 1)
			next++;
	}
}

enum road { BY_MAPPING, BY_CALL, BY_PIN };

/* The kernel copies to or from the mapping, by pages that it has pinned for that long. */
static bool copy_by_pin(bool to_mapping, unsigned char *bytes, unsigned char *map, size_t length)
{
	const struct iovec here_is = {bytes, length}, there_is = {map, length};

	return (to_mapping ? process_vm_writev(getpid(), &here_is, 1, &there_is, 1, 0)
	                   : process_vm_readv(getpid(), &here_is, 1, &there_is, 1, 0)) ==
	       (ssize_t)length;
}

static void store_by(struct self *self, unsigned int t, enum road road)
{
	struct content *is;
	size_t first, length;

	any_bytes(self, arena->thing[t].is.bytes, &first, &length);
	is = intend(self, t, first, length);
	scribble(self, is->byte + first, length);
	begin(self);
	if (road == BY_CALL)
		MUST(pwrite(here[t].fd, is->byte + first, length, (off_t)first) == (ssize_t)length);
	else if (road == BY_PIN)
		MUST(copy_by_pin(true, is->byte + first, map_of(t) + first, length));
	else
		memcpy(map_of(t) + first, is->byte + first, length);
	done(self, t);
}

static void store(struct self *self, unsigned int t)
{
	store_by(self, t, below(self, 8) ? BY_MAPPING : BY_PIN);
}

static void write_some(struct self *self, unsigned int t)
{
	store_by(self, t, BY_CALL);
}

/* One page, and all of it. */
static void fill(struct self *self, unsigned int t)
{
	const size_t bytes = arena->thing[t].is.bytes;
	const size_t first = below(self, (unsigned int)bytes) / PAGE * PAGE;
	const size_t length = bytes - first < PAGE ? bytes - first : PAGE;
	struct content *is = intend(self, t, first, length);

	scribble(self, is->byte + first, length);
	begin(self);
	memcpy(map_of(t) + first, is->byte + first, length);
	done(self, t);
}

static void punch(struct self *self, unsigned int t)
{
	struct content *is;
	size_t first, count;

	any_pages(self, &first, &count);
	is = intend(self, t, first * PAGE, count * PAGE);
	memset(is->byte + first * PAGE, 0, count * PAGE);
	begin(self);
	MUST(!object_punch(here[t].fd, first * PAGE, count * PAGE));
	done(self, t);
}

static void resize(struct self *self, unsigned int t)
{
	struct content *is = intend(self, t, 0, BYTES);

	is->bytes = 1 + below(self, BYTES);
	memset(is->byte + is->bytes, 0, BYTES - is->bytes);
	begin(self);
	MUST(!object_resize(here[t].fd, is->bytes));
	done(self, t);
}

static void go_back(struct self *self, unsigned int t)
{
	struct pending *pending = &arena->worker[self->number].pending;
	const int to = any_thing(self, is_snapshot_for, t);

	if (to < 0)
		return;
	*intend(self, t, 0, BYTES) = arena->thing[to].is;
	pending->whole = true;
	begin(self);
	MUST(!restore(here[t].fd, here[to].fd));
	done(self, t);
}

static void refused(struct self *self, unsigned int t)
{
	const int to = any_thing(self, is_stranger, t);

	if (to < 0)
		return;
	if (!restore(here[t].fd, here[to].fd) || errno != EINVAL)
		complain(self, t, 0, -EINVAL, -errno);
}

/* --- the other deeds --- */
static void look(struct self *self, unsigned int t)
{
	const struct content *is = &arena->thing[t].is;
	unsigned char bytes[BYTES];
	size_t first, length;

	any_bytes(self, is->bytes, &first, &length);
	if (below(self, 2))
		return compare(self, t, map_of(t), first, length, is->byte);
	if (below(self, 8))
		MUST(pread(here[t].fd, bytes + first, length, (off_t)first) == (ssize_t)length);
	else
		MUST(copy_by_pin(false, bytes + first, map_of(t) + first, length));
	compare(self, t, bytes, first, length, is->byte);
}

/* All of it, by both roads, and how large it is. */
static void look_at_all(const struct self *self, unsigned int t)
{
	const struct content *is = &arena->thing[t].is;
	const size_t found = object_stat(here[t].fd).bytes;
	unsigned char bytes[BYTES];

	if (found != is->bytes)
		return complain(self, t, is->bytes, (int)is->bytes, (int)found);
	MUST(pread(here[t].fd, bytes, BYTES, 0) == (ssize_t)is->bytes);
	compare(self, t, bytes, 0, is->bytes, is->byte);
	compare(self, t, map_of(t), 0, is->bytes, is->byte);
}

static void relate(struct self *self, unsigned int t, bool seal)
{
	const unsigned int clones = arena->thing[t].clones + !seal;
	struct thing *from = &arena->thing[t], *made;
	unsigned int most = atomic_load(&arena->most_clones);
	int to;

	if (self->doomed) { /* nobody else could have it */
		MUST(!close(seal ? snapshot(here[t].fd) : clone_of(here[t].fd)));
		return;
	}
	to = new_thing();
	if (to < 0)
		return drop(self, t);
	made = &arena->thing[to];
	made->sealed = seal;
	made->family = from->family;
	made->clones = clones;
	while (clones > most && !atomic_compare_exchange_weak(&arena->most_clones, &most, clones))
		;
	made->is = from->is;
	own(self, to, seal ? snapshot(here[t].fd) : clone_of(here[t].fd));
}

static void seal(struct self *self, unsigned int t)
{
	relate(self, t, true);
}

static void copy(struct self *self, unsigned int t)
{
	relate(self, t, false);
}

/* Half of the families are of objects that keep what is not their own out of their mappings. */
static int any_object(struct self *self)
{
	const int fd = object_open(), file = below(self, 2) ? object_create_pinnable(fd) : fd;

	MUST(file >= 0 && (file == fd || !close(fd)));
	return file;
}

static void start_afresh(struct self *self, unsigned int instead)
{
	const int t = new_thing();
	struct thing *thing = &arena->thing[t];

	(void)instead;
	if (t < 0)
		return;
	thing->sealed = false;
	thing->family = atomic_fetch_add(&arena->families, 1);
	thing->clones = 0;
	memset(&thing->is, 0, sizeof(thing->is));
	thing->is.bytes = 1 + below(self, BYTES);
	own(self, t, any_object(self));
	MUST(!object_resize(here[t].fd, thing->is.bytes));
}

static void page_out(struct self *self, unsigned int t)
{
	struct cowmem_page_out out;
	size_t first, count;

	any_pages(self, &first, &count);
	MUST(!page_out_ask(here[t].fd, &out, below(self, 3) ? COWMEM_PAGE_OUT_ACCESSED : 0, first,
	                   count));
}

static void prefetch(struct self *self, unsigned int t)
{
	size_t first, count;

	any_pages(self, &first, &count);
	if (arena->thing[t].sealed || below(self, 2))
		MUST(prefetch_ask(here[t].fd, first, count) >= 0);
	else
		MUST(prefetch_to_write_ask(here[t].fd, first, count) >= 0);
}

static void discard(struct self *self, unsigned int t)
{
	size_t first, count;

	any_pages(self, &first, &count);
	MUST(!madvise(map_of(t) + first * PAGE, count * PAGE, MADV_DONTNEED));
}

static void act_on(struct self *self, unsigned int t, enum deed deed);

/* Something that is not done through the mapping. */
static void act_aside(struct self *self, unsigned int t)
{
	act_on(self, t,
	       arena->thing[t].sealed ? PREFETCH + below(self, CLONE + 1 - PREFETCH)
	                              : WRITE + below(self, CLONE + 1 - WRITE));
}

/* Some of the mapping permits nothing, or no writes, while the object goes on. */
static void protect(struct self *self, unsigned int t)
{
	const int all = PROT_READ | (arena->thing[t].sealed ? 0 : PROT_WRITE);
	unsigned char *map = map_of(t);
	size_t first, count;

	any_pages(self, &first, &count);
	MUST(!mprotect(map + first * PAGE, count * PAGE, below(self, 2) ? PROT_NONE : PROT_READ));
	act_aside(self, t);
	if (owns(self, t))
		MUST(!mprotect(map + first * PAGE, count * PAGE, all));
}

static unsigned char *moved(unsigned char *from, size_t bytes, int flags)
{
	void *to = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(to != MAP_FAILED);
	MUST(mremap(from, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED | flags, to) == to);
	return to;
}

/* Some of the mapping is somewhere else, too, while the object goes on. */
static void have_alias(struct self *self, unsigned int t)
{
	const struct content *is = &arena->thing[t].is;
	unsigned char *map = map_of(t), *alias;
	size_t first, count;

	any_pages(self, &first, &count);
	alias = moved(map + first * PAGE, count * PAGE, MREMAP_DONTUNMAP);
	act_aside(self, t);
	if (owns(self, t) && first * PAGE < is->bytes) {
		const size_t rest = is->bytes - first * PAGE;

		compare(self, t, alias - first * PAGE, first * PAGE,
		        rest < count * PAGE ? rest : count * PAGE, is->byte);
	}
	MUST(!munmap(alias, count * PAGE));
}

/* The mapping is moved, cut and grows again, or some of it is in two places. */
static void move(struct self *self, unsigned int t)
{
	const size_t part = (1 + below(self, PAGES - 1)) * PAGE;

	switch (below(self, 3)) {
	case 0:
		here[t].map = moved(map_of(t), BYTES, 0);
		break;
	case 1:
		MUST(mremap(map_of(t), BYTES, part, 0) == here[t].map);
		here[t].map = mremap(here[t].map, part, BYTES, MREMAP_MAYMOVE);
		MUST(here[t].map != MAP_FAILED);
		break;
	default:
		have_alias(self, t);
	}
}

/* Has the pipe refer to what is at @from of the object's mapping, or of that of a clone which goes then. */
static void fill_pipe(unsigned int t, int pipe, size_t from, size_t length, bool by_clone)
{
	const int clone = by_clone ? clone_of(here[t].fd) : -1;
	unsigned char *map = by_clone ? object_map(clone, BYTES, PROT_READ, MAP_SHARED) : map_of(t);
	const struct iovec piece = {map + from, length};

	MUST(vmsplice(pipe, &piece, 1, 0) == (ssize_t)length);
	if (by_clone)
		MUST(!munmap(map, BYTES) && !close(clone));
}

/*
 * A pipe has references to some pages, over a SNAPSHOT and a RESTORE. What it gets is one of
 * what each of them was meanwhile; or, since a clone stays as it is, what they were at first.
 */
static void pin(struct self *self, unsigned int t)
{
	const enum deed any = STORE + below(self, DEEDS_OF_THE_DOOMED - STORE);
	const enum deed acts[] = {STORE, FILL, SNAPSHOT, any, RESTORE, STORE};
	enum { PINNED = 8, ACTS = ARRAY_LENGTH(acts) };
	const struct content *is = &arena->thing[t].is;
	const size_t pages = (is->bytes + PAGE - 1) / PAGE;
	const size_t first = below(self, (unsigned int)pages);
	const size_t most = pages - first < PINNED ? pages - first : PINNED;
	const size_t length = (1 + below(self, (unsigned int)most)) * PAGE;
	const bool by_clone = below(self, 2);
	unsigned char was[ACTS + 1][PINNED * PAGE], found[PINNED * PAGE];
	unsigned int n = 0;
	int ends[2];

	MUST(!pipe2(ends, O_CLOEXEC));
	fill_pipe(t, ends[1], first * PAGE, length, by_clone);
	memcpy(was[0], is->byte + first * PAGE, length);
	for (int i = 0; i < ACTS && owns(self, t); i++) {
		act_on(self, t, acts[i]);
		if (owns(self, t) && !by_clone)
			memcpy(was[++n], is->byte + first * PAGE, length);
	}
	MUST(read(ends[0], found, length) == (ssize_t)length);
	for (size_t at = 0; at < length; at += PAGE) {
		unsigned int i = 0;

		while (i <= n && memcmp(found + at, was[i] + at, PAGE))
			i++;
		if (i > n)
			complain(self, t, first * PAGE + at, -1, -1);
	}
	MUST(!close(ends[0]) && !close(ends[1]));
}

/* Copies of one's own, while the object goes on, and with a child that has them, too. */
static void write_privately(struct self *self, unsigned int t)
{
	const struct content *is = &arena->thing[t].is;
	const size_t pages = (is->bytes + PAGE - 1) / PAGE;
	unsigned char *map = object_map(here[t].fd, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned char expected[BYTES];
	bool copied[PAGES] = {};

	memcpy(expected, is->byte, BYTES);
	for (unsigned int n = 1 + below(self, 6); n; n--) {
		const size_t page = below(self, (unsigned int)pages);
		const size_t at = page * PAGE + below(self, PAGE);

		if (at >= is->bytes)
			continue;
		map[at] = expected[at] = (unsigned char)below(self, 256);
		copied[page] = true;
	}
	if (!arena->thing[t].sealed)
		act_on(self, t, below(self, 2) ? STORE : PUNCH);
	if (!below(self, 20)) {
		const pid_t pid = fork();

		MUST(pid >= 0);
		if (!pid) {
			memset(map, 1, is->bytes);
			_exit(0);
		}
		MUST(waitpid(pid, NULL, 0) == pid);
	}
	for (size_t page = 0; page < pages; page++) {
		const size_t rest = is->bytes - page * PAGE;

		compare(self, t, map, page * PAGE, rest < PAGE ? rest : PAGE,
		        copied[page] ? expected : is->byte);
	}
	MUST(!munmap(map, BYTES));
}

/* Hands a thing on, or of a snapshot another descriptor. */
static void pass(struct self *self, unsigned int t)
{
	const unsigned int to = (self->number + 1 + below(self, WORKERS - 1)) % WORKERS;
	const int fd = here[t].fd; /* it may be the other thread's in a moment */

	unmap(self, t);
	atomic_store(&arena->thing[t].owner, (int)(SENT + to));
	if (send_fd(inbox[to][1], fd, t))
		MUST(!close(fd));
	else
		atomic_store(&arena->thing[t].owner, (int)self->number);
}

static void share(struct self *self, unsigned int t)
{
	const int to = arena->thing[t].sealed ? new_thing() : -1;
	struct thing *made = &arena->thing[to];

	if (to < 0)
		return;
	made->sealed = true;
	made->family = arena->thing[t].family;
	made->clones = arena->thing[t].clones;
	made->is = arena->thing[t].is;
	own(self, to, fcntl(here[t].fd, F_DUPFD_CLOEXEC, 0));
	MUST(here[to].fd >= 0);
	pass(self, (unsigned int)to);
}

static void receive_all(const struct self *self)
{
	unsigned int t;

	for (int fd; (fd = receive_fd(inbox[self->number][0], &t, MSG_DONTWAIT)) >= 0;)
		own(self, (int)t, fd);
}

#endif /* COWMEM_STORM_OPS_H */
