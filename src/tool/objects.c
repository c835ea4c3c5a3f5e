// SPDX-License-Identifier: GPL-2.0
/* The subcommands on one object, or two. */
#define _GNU_SOURCE
#include "tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One without a path is held; the other gets it. @fd is closed. */
static int keep(int fd, const char *path)
{
	int status;

	if (options.hold) {
		status = hold(fd);
	} else {
		struct told told = {.kind = ""};

		status = give_name(fd, path);
		if (!status) {
			tell(0, fd, &told);
			out_begin();
			out_fact("path", NULL, path);
			out_fact("kind", NULL, told.kind);
			out_number("id", NULL, NUMBER, told.id);
			out_end();
		}
	}
	close(fd);
	return status;
}

/* --- create --- */

static int create_held(void)
{
	const int fd =
		cowmem_object_create(options.name, options.pinnable ? COWMEM_CREATE_PINNABLE : 0);
	int err;

	if (fd < 0)
		return fail(fd, COWMEM_DEVICE);
	err = options.has_size ? cowmem_object_resize(fd, options.size, COWMEM_RESIZE_GROWS) : 0;
	if (err) {
		close(fd);
		return fail(err, "a size of %s", size_text(options.size));
	}
	return keep(fd, NULL);
}

/* A file of a mount is what the mount says. */
static int check_pinnable(int fd)
{
	struct cowmem_stat stat;
	const int err = cowmem_object_stat(fd, &stat);

	if (err)
		return fail(err, "%s", options.operands[0]);
	if (options.pinnable && !(stat.state & COWMEM_STATE_PINNABLE))
		return fail_hint(-EOPNOTSUPP, "remount it with -o pinnable, or take --hold",
		                 "a pinnable file in that mount");
	return DONE;
}

int run_create(void)
{
	const char *path = options.operands[0];
	int fd, status;

	if (options.hold)
		return create_held();
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0)
		return fail(-errno, "%s", path);
	if (cowmem_object_is_module(fd) != 1)
		status = fail(-ENOTTY, "a file at %s", path);
	else if (options.has_size && ftruncate(fd, (off_t)options.size))
		status = fail(-errno, "a size of %s", size_text(options.size));
	else
		status = check_pinnable(fd);
	if (status) {
		unlink(path);
	} else {
		out_begin();
		out_fact("path", NULL, path);
		out_end();
	}
	close(fd);
	return status;
}

/* --- stat --- */

static void print_states(uint32_t state)
{
	static const struct {
		uint32_t bit;
		const char *word;
	} words[] = {
		{COWMEM_STATE_FIXED_SIZE, "fixed-size"},
		{COWMEM_STATE_DROPPED, "dropped"},
		{COWMEM_STATE_FROZEN, "frozen"},
		{COWMEM_STATE_MAY_BE_DROPPED, "may-be-dropped"},
		{COWMEM_STATE_GROWS_BY_WRITE, "grows-by-write"},
		{COWMEM_STATE_PINNABLE, "pinnable"},
	};

	out_list_begin("state", "state");
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (state & words[i].bit)
			out_list_item(words[i].word);
	out_list_end();
}

int run_stat(void)
{
	struct cowmem_store_stat store;
	struct cowmem_stat stat;
	struct told told;
	int next, fd = open_first(READ, &next), err;

	if (fd < 0)
		return FAILED;
	err = cowmem_object_stat(fd, &stat);
	if (err) {
		close(fd);
		return fail(err, "%s", first_name());
	}
	if (!tell(0, fd, &told))
		snprintf(told.kind, sizeof(told.kind), "memfd");
	if (cowmem_object_id(fd, &told.id))
		told.id = NO_LIMIT; /* of a dropped snapshot */
	out_begin();
	out_fact("name", "name", first_name());
	out_fact("kind", "kind", told.kind);
	print_states(stat.state);
	out_number("bytes", "size", BYTES, stat.bytes);
	out_number("pages", "pages", PAGES, told.pages);
	out_number("resident_pages", "in memory", PAGES, stat.resident_pages);
	out_number("own_pages", "of its own", PAGES, told.own_pages);
	out_number("shared_pages", "the family's", PAGES, stat.shared_pages);
	out_number("large_pages", "its own, in 2 MiB", PAGES, stat.large_pages);
	out_number("relatives", "relatives", NUMBER, stat.layers);
	out_number("copies", "kept for it alone", PAGES, stat.copies);
	out_number("max_copies", "at most", PAGES, stat.max_copies);
	out_fact("copies_by", "private copies by",
	         stat.cow == COWMEM_COW_HANDLER ? "handler" : "core");
	err = cowmem_object_store_stat(fd, &store);
	if (!err) {
		out_number("slots", "in the store", PAGES, store.slots);
		out_number("same_filled", "of one word", PAGES, store.same_filled);
		out_number("stored_bytes", "compressed to", BYTES, store.bytes);
		out_number("backing_slots", "in backing store", PAGES, store.backing_slots);
		out_number("max_slots", "at most", PAGES, store.max_slots);
	}
	out_number("id", "id", NUMBER, told.id);
	out_number("family", "family", NUMBER, told.family);
	out_number("parent", "parent", NUMBER, told.parent);
	out_end();
	close(fd);
	return DONE;
}

/* --- snapshot, clone, restore --- */

int run_snapshot(void)
{
	int next, fd = open_first(READ, &next), made;

	if (fd < 0)
		return FAILED;
	made = options.has_max_copies
	               ? cowmem_object_snapshot_limited(fd, options.max_copies, options.drop)
	               : cowmem_object_snapshot(fd);
	close(fd);
	if (options.drop && !options.has_max_copies) {
		if (made >= 0)
			close(made);
		return fail_hint(0, "say how many pages it may keep", "--drop needs --max-copies");
	}
	if (made < 0)
		return fail(made, "a snapshot of %s", first_name());
	return keep(made, options.hold ? NULL : options.operands[next]);
}

int run_clone(void)
{
	int next, fd = open_first(READ, &next), made;

	if (fd < 0)
		return FAILED;
	made = options.has_range ? cowmem_object_clone_range(fd, options.offset, options.length)
	                         : cowmem_object_clone(fd);
	close(fd);
	if (made < 0)
		return fail(made, "a clone of %s", first_name());
	return keep(made, options.hold ? NULL : options.operands[next]);
}

int run_restore(void)
{
	int next, fd = open_first(WRITE, &next), snapshot, err;
	uint64_t came = 0;

	if (fd < 0)
		return FAILED;
	snapshot = open_path(options.operands[next], READ);
	if (snapshot < 0) {
		close(fd);
		return FAILED;
	}
	err = options.has_range ? cowmem_object_restore_range(fd, snapshot, options.offset,
	                                                      options.length, &came)
	                        : cowmem_object_restore(fd, snapshot);
	close(snapshot);
	close(fd);
	if (err == -EINVAL)
		return fail_hint(
			err, "it is no snapshot of the same family: cowmem who --tree shows that",
			"%s to %s", first_name(), options.operands[next]);
	if (err)
		return fail(err, "%s to %s", first_name(), options.operands[next]);
	out_begin();
	out_fact("restored", NULL, first_name());
	out_fact("to", NULL, options.operands[next]);
	out_end();
	return DONE;
}

/* --- diff --- */

int run_diff(void)
{
	static const struct column columns[] = {
		{"offset", "OFFSET", NUMBER}, {"length", "LENGTH", NUMBER}, {"hole", "HOLE", FLAG}};
	int next, fd = open_first(READ, &next), other, err;
	struct cowmem_diff_iter *iter = NULL;
	struct cowmem_stat stat, of_other;
	uint64_t pages = 0, holes = 0, ranges = 0;
	struct cowmem_changed range;
	struct sheet sheet;

	if (fd < 0)
		return FAILED;
	other = open_path(options.operands[next], READ);
	if (other < 0) {
		close(fd);
		return FAILED;
	}
	sheet_begin(&sheet, columns, 3);
	err = cowmem_object_stat(fd, &stat);
	if (!err)
		err = cowmem_object_stat(other, &of_other);
	if (!err)
		err = cowmem_diff_iter_new(&iter, fd, other, options.offset, options.length);
	while (!err && (err = cowmem_diff_iter_next(iter, &range)) == 1) {
		err = 0;
		ranges++;
		pages += range.length / PAGE_SIZE;
		if (range.flags & COWMEM_CHANGED_HOLE)
			holes += range.length / PAGE_SIZE;
		sheet_number(&sheet, range.offset);
		sheet_number(&sheet, range.length);
		sheet_number(&sheet, range.flags & COWMEM_CHANGED_HOLE);
	}
	cowmem_diff_iter_free(iter);
	close(other);
	close(fd);
	if (err == -EINVAL)
		return fail_hint(err, "they are not of one family: cowmem who --tree shows that",
		                 "%s and %s", first_name(), options.operands[next]);
	if (err)
		return fail(err, "%s and %s", first_name(), options.operands[next]);
	out_begin();
	out_number("bytes", "size", BYTES, stat.bytes);
	out_number("other_bytes", "size of the other", BYTES, of_other.bytes);
	out_number("pages", "pages that differ", PAGES, pages);
	out_number("holes", "of these, holes", PAGES, holes);
	out_number("range_count", "in ranges", NUMBER, ranges);
	if (options.ranges)
		sheet_print(&sheet, "ranges");
	out_end();
	return DONE;
}

/* --- page-out, prefetch --- */

int run_page_out(void)
{
	int next, fd = open_first(WRITE_IF_POSSIBLE, &next), err;
	struct cowmem_page_out result;

	if (fd < 0)
		return FAILED;
	err = options.has_unused ? cowmem_object_page_out(fd, options.offset, options.length,
	                                                  COWMEM_PAGE_OUT_AGE, &result)
	                         : 0;
	if (!err) {
		sleep((unsigned int)options.unused);
		err = cowmem_object_page_out(fd, options.offset, options.length,
		                             options.accessed ? COWMEM_PAGE_OUT_ACCESSED : 0,
		                             &result);
	}
	close(fd);
	if (err)
		return fail(err, "%s", first_name());
	out_begin();
	out_number("out", "went out", PAGES, result.out);
	out_number("reused", "of these, not stored again", PAGES, result.reused);
	out_number("accessed", "stay: used lately", PAGES, result.accessed);
	out_number("locked", "stay: mlock", PAGES, result.locked);
	out_number("busy", "stay: in use", PAGES, result.busy);
	out_number("incompressible", "stay: no smaller", PAGES, result.incompressible);
	out_number("full", "stay: store is full", PAGES, result.full);
	out_number("no_memory", "stay: no memory", PAGES, result.no_memory);
	out_number("poisoned", "stay: damaged", PAGES, result.poisoned);
	out_number("tracked", "stay: soft-dirty", PAGES, result.tracked);
	out_number("io_error", "stay: I/O error", PAGES, result.io_error);
	out_end();
	return DONE;
}

int run_prefetch(void)
{
	int next, fd = open_first(options.to_write ? WRITE : READ, &next), err;
	struct cowmem_range range = {.offset = options.offset, .length = options.length};
	struct cowmem_stat stat;
	uint64_t pages = 0;

	if (fd < 0)
		return FAILED;
	err = cowmem_object_stat(fd, &stat);
	if (!err && !options.has_range)
		range.length = (stat.bytes + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	if (!err && range.length)
		err = (options.to_write ? cowmem_object_prefetch_to_write
		                        : cowmem_object_prefetch)(fd, &range, 1, &pages);
	close(fd);
	if (err)
		return fail(err, "%s", first_name());
	out_begin();
	out_number("brought_in", options.to_write ? "can be written now" : "came back", PAGES,
	           pages);
	out_end();
	return DONE;
}

/* --- collapse --- */

int run_collapse(void)
{
	int next, fd = open_first(WRITE, &next), err;
	struct cowmem_collapse result;

	if (fd < 0)
		return FAILED;
	err = cowmem_object_collapse(fd, options.offset, options.length, &result);
	close(fd);
	if (err)
		return fail(err, "%s", first_name());
	out_begin();
	out_number("collapsed", "have become 2 MiB", NUMBER, result.collapsed);
	out_number("huge", "were 2 MiB", NUMBER, result.huge);
	out_number("sparse", "stay: a hole", NUMBER, result.sparse);
	out_number("shared", "stay: shared", NUMBER, result.shared);
	out_number("busy", "stay: pinned or in use", NUMBER, result.busy);
	out_number("poisoned", "stay: damaged", NUMBER, result.poisoned);
	out_number("no_memory", "stay: no memory", NUMBER, result.no_memory);
	out_number("io_error", "stay: I/O error", NUMBER, result.io_error);
	out_end();
	return DONE;
}
