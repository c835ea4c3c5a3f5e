// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/* libcowmem: questions whose answers take several calls, as iterators. */
#include "internal.h"

#include <errno.h>
#include <stdlib.h>

enum { ENTRIES = 512 }; /* of one call's answer */

/* --- DIFF --- */

struct cowmem_diff_iter {
	int fd, other;
	bool is_module;
	uint64_t next, end; /* what is to be asked about yet */
	unsigned int at, count;
	struct cowmem_changed ranges[ENTRIES];
};

int cowmem_diff_iter_new(struct cowmem_diff_iter **iter, int fd, int other, uint64_t offset,
                         uint64_t length)
{
	const int module = is_module(fd), of_other = is_module(other);
	const bool whole = !offset && !length;
	uint64_t of_other_offset = 0, of_other_length = 0;
	struct cowmem_diff_iter *made;
	int err;

	*iter = NULL;
	if (module < 0)
		return module;
	if (of_other != module)
		return of_other < 0 && of_other != -ENOTTY ? of_other : -EINVAL;
	err = take_range(fd, &offset, &length);
	/* What only the other has differs, too. */
	if (!err && whole)
		err = take_range(other, &of_other_offset, &of_other_length);
	if (err)
		return err;
	if (length < of_other_length)
		length = of_other_length;
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->fd = fd;
	made->other = other;
	made->is_module = module;
	made->next = offset;
	made->end = offset + length;
	made->at = made->count = 0;
	*iter = made;
	return 0;
}

/* Some more ranges, or none, and how far that came. 0, or -errno. */
static int ask_diff(struct cowmem_diff_iter *iter)
{
	struct cowmem_diff diff = {.size = sizeof(diff),
	                           .offset = iter->next,
	                           .length = iter->end - iter->next,
	                           .ranges = (uintptr_t)iter->ranges,
	                           .capacity = ENTRIES,
	                           .next = iter->next,
	                           .fd = iter->other};
	int err;

	iter->at = iter->count = 0;
	if (iter->is_module) {
		err = call(iter->fd, COWMEM_IOC_DIFF, &diff);
		iter->next = diff.next;
		iter->count = diff.count;
		return err;
	}
	err = memfd_diff(iter->fd, iter->other, iter->next, iter->end, iter->ranges);
	if (err < 0)
		return err;
	iter->count = (unsigned int)err;
	iter->next = err ? iter->ranges[0].offset + iter->ranges[0].length : iter->end;
	return 0;
}

int cowmem_diff_iter_next(struct cowmem_diff_iter *iter, struct cowmem_changed *range)
{
	bool has_some = false;

	/* A range may go on in the next answer. */
	for (;;) {
		const struct cowmem_changed *more = &iter->ranges[iter->at];

		if (iter->at < iter->count) {
			if (!has_some)
				*range = *more;
			else if (range->offset + range->length == more->offset &&
			         range->flags == more->flags)
				range->length += more->length;
			else
				return 1;
			has_some = true;
			iter->at++;
		} else if (iter->next < iter->end) {
			const int err = ask_diff(iter);

			if (err && !iter->count)
				return has_some ? 1 : err;
		} else {
			return has_some;
		}
	}
}

void cowmem_diff_iter_free(struct cowmem_diff_iter *iter)
{
	free(iter);
}

/* --- PAGEMAP --- */

struct cowmem_pagemap_iter {
	int fd;
	unsigned int flags;
	uint64_t next, end, of_first; /* where the answer that there is begins */
	unsigned int at, count;
	struct cowmem_page pages[ENTRIES];
};

int cowmem_pagemap_iter_new(struct cowmem_pagemap_iter **iter, int fd, uint64_t offset,
                            uint64_t length, unsigned int flags)
{
	int err = needs_module(fd);
	struct cowmem_pagemap_iter *made;

	*iter = NULL;
	if (!err)
		err = take_range(fd, &offset, &length);
	if (err)
		return err;
	made = malloc(sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->fd = fd;
	made->flags = flags;
	made->next = offset;
	made->end = offset + length;
	made->at = made->count = 0;
	*iter = made;
	return 0;
}

static int ask_pagemap(struct cowmem_pagemap_iter *iter)
{
	struct cowmem_pagemap pagemap = {.size = sizeof(pagemap),
	                                 .flags = iter->flags,
	                                 .offset = iter->next,
	                                 .length = iter->end - iter->next,
	                                 .pages = (uintptr_t)iter->pages,
	                                 .capacity = ENTRIES,
	                                 .next = iter->next};
	const int err = call(iter->fd, COWMEM_IOC_PAGEMAP, &pagemap);

	iter->of_first = iter->next;
	iter->at = 0;
	iter->count = (unsigned int)((pagemap.next - iter->next) / PAGE_SIZE);
	iter->next = pagemap.next;
	return err;
}

int cowmem_pagemap_iter_next(struct cowmem_pagemap_iter *iter, uint64_t *offset,
                             struct cowmem_page *page)
{
	while (iter->at == iter->count) {
		const int err = iter->next < iter->end ? ask_pagemap(iter) : 0;

		if (err && iter->at == iter->count)
			return err;
		if (iter->at == iter->count && iter->next >= iter->end)
			return 0;
	}
	*offset = iter->of_first + iter->at * PAGE_SIZE;
	*page = iter->pages[iter->at++];
	return 1;
}

void cowmem_pagemap_iter_free(struct cowmem_pagemap_iter *iter)
{
	free(iter);
}

/* --- RMAP --- */

struct cowmem_rmap_iter {
	int fd;
	unsigned int flags;
	uint64_t next, end, hidden, probes;
	unsigned int at, count, capacity;
	struct cowmem_mapping *mappings;
};

int cowmem_rmap_iter_new(struct cowmem_rmap_iter **iter, int fd, uint64_t offset, uint64_t length,
                         unsigned int flags)
{
	int err = needs_module(fd);
	struct cowmem_rmap_iter *made;

	*iter = NULL;
	if (!err)
		err = flags & COWMEM_RMAP_OF_COPIES ? check_range(offset, length)
		                                    : take_range(fd, &offset, &length);
	if (err)
		return err;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->mappings = malloc(ENTRIES * sizeof(*made->mappings));
	if (!made->mappings) {
		free(made);
		return -ENOMEM;
	}
	made->capacity = ENTRIES;
	made->fd = fd;
	made->flags = flags;
	made->next = offset;
	made->end = offset + length;
	*iter = made;
	return 0;
}

/* Makes room for one page's entries; more than one call answers there never is. */
static int enlarge(struct cowmem_rmap_iter *iter, unsigned int needed)
{
	struct cowmem_mapping *more;

	if (needed <= iter->capacity || needed > COWMEM_RMAP_MAX)
		return -ENOSPC;
	more = realloc(iter->mappings, needed * sizeof(*more));
	if (!more)
		return -ENOMEM;
	iter->mappings = more;
	iter->capacity = needed;
	return 0;
}

static int ask_rmap(struct cowmem_rmap_iter *iter)
{
	struct cowmem_rmap rmap = {.size = sizeof(rmap),
	                           .flags = iter->flags,
	                           .offset = iter->next,
	                           .length = iter->end - iter->next,
	                           .mappings = (uintptr_t)iter->mappings,
	                           .capacity = iter->capacity,
	                           .next = iter->next};
	const int err = call(iter->fd, COWMEM_IOC_RMAP, &rmap);

	iter->at = iter->count = 0;
	if (err)
		return err == -ENOSPC ? enlarge(iter, rmap.needed) : err;
	iter->count = rmap.count;
	iter->next = rmap.next;
	iter->hidden += rmap.hidden;
	iter->probes += rmap.probes;
	return 0;
}

int cowmem_rmap_iter_next(struct cowmem_rmap_iter *iter, struct cowmem_mapping *mapping)
{
	while (iter->at == iter->count) {
		const int err = iter->next < iter->end ? ask_rmap(iter) : 0;

		if (err)
			return err;
		if (iter->at == iter->count && iter->next >= iter->end)
			return 0;
	}
	*mapping = iter->mappings[iter->at++];
	return 1;
}

uint64_t cowmem_rmap_iter_hidden(const struct cowmem_rmap_iter *iter)
{
	return iter->hidden;
}

uint64_t cowmem_rmap_iter_probes(const struct cowmem_rmap_iter *iter)
{
	return iter->probes;
}

void cowmem_rmap_iter_free(struct cowmem_rmap_iter *iter)
{
	if (iter)
		free(iter->mappings);
	free(iter);
}
