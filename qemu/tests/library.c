// SPDX-License-Identifier: GPL-2.0
/*
 * libcowmem: each of its calls, as root and as a user who is nobody.
 *
 * library [memfd]: with that, without the module: the same calls of memfds, which this machine can
 * answer, too; what those cannot do has to say so.
 */
#include "as_user.h"

#include <cowmem/cowmem.h>
#include <limits.h>

#define PAGES(n) ((n) * PAGE)
enum { MANY = 1300 /* more than one call answers, and than PREFETCH takes */ };

static bool without_module;

/* A new object of so many pages, each with its number in its words; or of holes. */
static int new_object(uint64_t pages, bool filled)
{
	unsigned char page[PAGE];
	const int fd = cowmem_object_create("library", without_module ? COWMEM_CREATE_MEMFD : 0);

	MUST(fd >= 0);
	MUST(!cowmem_object_resize(fd, PAGES(pages), COWMEM_RESIZE_GROWS));
	for (uint64_t i = 0; filled && i < pages; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, (off_t)PAGES(i)) == (ssize_t)PAGE);
	}
	return fd;
}

static void write_page(int fd, uint64_t number, uint64_t generation)
{
	unsigned char page[PAGE];

	fill_page(page, number, generation);
	MUST(pwrite(fd, page, PAGE, (off_t)PAGES(number)) == (ssize_t)PAGE);
}

/* Whether page @number is as fill_page() made it, or, of generation 0, all zeroes. */
static bool has_page(int fd, uint64_t number, uint64_t generation)
{
	static const unsigned char zeroes[PAGE];
	unsigned char page[PAGE];

	MUST(pread(fd, page, PAGE, (off_t)PAGES(number)) == (ssize_t)PAGE);
	return generation ? page_is(page, number, generation) : !memcmp(page, zeroes, PAGE);
}

static uint64_t size_of(int fd)
{
	struct cowmem_stat stat;

	MUST(!cowmem_object_stat(fd, &stat));
	return stat.bytes;
}

/* --- the cases --- */
static void tells_features(void)
{
	uint64_t here, of_object;
	const int fd = new_object(1, false);
	struct cowmem_info info;

	CHECK_EQ(cowmem_object_features(fd, &of_object), 0);
	CHECK_EQ(!!(of_object & COWMEM_FEATURE_SNAPSHOT), !without_module);
	CHECK_EQ(!!(of_object & COWMEM_FEATURE_COPIES), without_module);
	CHECK_EQ(!!(of_object & COWMEM_FEATURE_RMAP), !without_module);
	CHECK(of_object & COWMEM_FEATURE_FILES);
	if (!without_module || access(COWMEM_DEVICE, F_OK)) {
		CHECK_EQ(cowmem_features(&here), 0);
		CHECK_EQ(here, of_object);
	}
	for (unsigned int bit = 0; bit < 64; bit++)
		if (of_object & 1ULL << bit)
			CHECK(cowmem_feature_name(1ULL << bit));
	CHECK(!cowmem_feature_name(1ULL << 40));
	CHECK(!strcmp(cowmem_feature_name(COWMEM_FEATURE_PAGE_OUT), "page-out"));
	CHECK_EQ(cowmem_object_info(fd, &info), 0);
	CHECK_EQ(info.page_size, PAGE);
	CHECK_EQ(info.abi_version, without_module ? 0 : COWMEM_ABI_VERSION);
	CHECK_EQ(info.features, of_object);
	CHECK_EQ(cowmem_object_is_module(fd), !without_module);
	CHECK(!strcmp(cowmem_version(), COWMEM_VERSION));
	close(fd);
}

static void creates(void)
{
	char name[COWMEM_NAME_MAX + 3], path[64], link[PATH_MAX] = "";
	uint64_t id = 0, again = 0;
	struct cowmem_stat pinnable = {.size = sizeof(pinnable)};
	struct stat stat;
	int fd = new_object(3, true), other, file;

	CHECK_EQ(size_of(fd), PAGES(3));
	CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	CHECK(!fstat(fd, &stat) && S_ISREG(stat.st_mode) && (stat.st_mode & 0777) == 0600);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	CHECK(readlink(path, link, sizeof(link) - 1) > 0);
	CHECK(!strcmp(link,
	              without_module ? "/memfd:library (deleted)" : "/cowmem:library (deleted)"));
	CHECK_EQ(cowmem_object_id(fd, &id), 0);
	CHECK_EQ(id, stat.st_ino);

	other = cowmem_object_create_by(fd, NULL);
	CHECK(other >= 0);
	CHECK_EQ(cowmem_object_is_module(other), !without_module);
	CHECK_EQ(size_of(other), 0);
	CHECK_EQ(cowmem_object_id(other, &again), 0);
	CHECK(again != id);
	close(other);

	/* The same object. */
	file = cowmem_object_file(fd);
	CHECK(file >= 0 && file != fd);
	write_page(file, 1, 7);
	CHECK(has_page(fd, 1, 7));
	CHECK_EQ(cowmem_object_id(file, &again), 0);
	CHECK_EQ(again, id);
	close(file);
	close(fd);

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	CHECK_EQ(cowmem_object_create(name, without_module ? COWMEM_CREATE_MEMFD : 0),
	         -ENAMETOOLONG);
	CHECK_EQ(cowmem_object_create(NULL, 1U << 7), -EINVAL);
	CHECK_EQ(cowmem_object_create(NULL, COWMEM_CREATE_MODULE | COWMEM_CREATE_MEMFD), -EINVAL);
	fd = cowmem_object_create(NULL, COWMEM_CREATE_PINNABLE |
	                                        (without_module ? COWMEM_CREATE_MEMFD : 0));
	CHECK_EQ(cowmem_object_stat(fd, &pinnable), 0);
	CHECK(pinnable.state & COWMEM_STATE_PINNABLE);
	close(fd);
	CHECK_EQ(cowmem_object_create(NULL, COWMEM_CREATE_HUGE | COWMEM_CREATE_MEMFD), -EOPNOTSUPP);
	CHECK_EQ(cowmem_object_create(NULL, COWMEM_CREATE_HUGE | COWMEM_CREATE_PINNABLE),
	         -EOPNOTSUPP);

	fd = cowmem_object_open_device();
	if (without_module) {
		CHECK_EQ(fd, -ENODEV);
		CHECK_EQ(cowmem_object_create(NULL, COWMEM_CREATE_MODULE), -ENODEV);
		return;
	}
	CHECK(fd >= 0);
	CHECK_EQ(cowmem_object_id(fd, &id), 0);
	CHECK(fd < 0 || (!fstat(fd, &stat) && S_ISCHR(stat.st_mode) && id != stat.st_ino));
	close(fd);
	/* Not in place of the module, but beside it. */
	fd = cowmem_object_create(NULL, COWMEM_CREATE_MEMFD);
	CHECK_EQ(cowmem_object_is_module(fd), 0);
	close(fd);
	fd = cowmem_object_create(NULL, COWMEM_CREATE_MODULE);
	CHECK_EQ(cowmem_object_is_module(fd), 1);
	close(fd);
}

static void resizes_and_punches(void)
{
	const int fd = new_object(8, true);
	struct cowmem_stat stat;
	uint64_t next = 1;

	CHECK_EQ(cowmem_object_stat(fd, &stat), 0);
	CHECK_EQ(stat.resident_pages, 8);
	CHECK_EQ(cowmem_object_punch(fd, PAGES(2), PAGES(3), &next), 0);
	CHECK_EQ(next, PAGES(5));
	CHECK(has_page(fd, 1, 1) && has_page(fd, 2, 0) && has_page(fd, 4, 0) && has_page(fd, 5, 1));
	CHECK_EQ(cowmem_object_stat(fd, &stat), 0);
	CHECK_EQ(stat.resident_pages, 5);
	/* What lies beyond the end is no matter. */
	CHECK_EQ(cowmem_object_punch(fd, PAGES(7), PAGES(100), NULL), 0);
	CHECK(has_page(fd, 7, 0));
	CHECK_EQ(cowmem_object_punch(fd, PAGES(100), PAGES(1), NULL), 0);
	CHECK_EQ(cowmem_object_punch(fd, 1, PAGES(1), &next), -EINVAL);
	CHECK_EQ(next, 1);
	CHECK_EQ(cowmem_object_punch(fd, 0, 0, NULL), -EINVAL);
	CHECK_EQ(cowmem_object_punch(fd, PAGES(1), -PAGE, NULL), -EINVAL);

	CHECK_EQ(cowmem_object_resize(fd, PAGES(1) + 5, COWMEM_RESIZE_GROWS), 0);
	CHECK_EQ(size_of(fd), PAGES(1) + 5);
	CHECK_EQ(cowmem_object_resize(fd, PAGES(2), 1U << 9), -EINVAL);
	CHECK_EQ(cowmem_object_resize(fd, UINT64_MAX, COWMEM_RESIZE_GROWS), -EFBIG);
	/* A size for good is one that write() does not move. */
	CHECK_EQ(cowmem_object_resize(fd, PAGES(2), 0), without_module ? -EOPNOTSUPP : 0);
	if (!without_module)
		CHECK_ERRNO(pwrite(fd, "x", 1, (off_t)PAGES(2)), ENOSPC);
	close(fd);
}

static void maps(void)
{
	const int fd = new_object(4, true);
	unsigned char *shared, *private;
	void *none = &shared;

	CHECK_EQ(cowmem_object_map(fd, PAGES(1), PAGES(3), PROT_READ | PROT_WRITE, MAP_SHARED,
	                           (void **)&shared),
	         0);
	CHECK(page_is(shared, 1, 1));
	fill_page(shared, 1, 9);
	CHECK(has_page(fd, 1, 9));
	CHECK_EQ(cowmem_object_set_cow(fd, COWMEM_COW_HANDLER), without_module ? -EOPNOTSUPP : 0);
	CHECK_EQ(cowmem_object_set_cow(fd, COWMEM_COW_CORE), 0);
	CHECK_EQ(cowmem_object_set_cow(fd, 7), -EINVAL);
	CHECK_EQ(cowmem_object_map(fd, 0, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE,
	                           (void **)&private),
	         0);
	fill_page(private, 0, 3);
	CHECK(has_page(fd, 0, 1) && page_is(private, 0, 3));
	CHECK_EQ(cowmem_object_map(fd, 1, PAGE, PROT_READ, MAP_SHARED, &none), -EINVAL);
	CHECK(!none);
	CHECK_EQ(cowmem_object_map(fd, 1ULL << 63, PAGE, PROT_READ, MAP_SHARED, &none), -EOVERFLOW);
	munmap(shared, PAGES(3));
	munmap(private, PAGES(4));
	close(fd);
}

static void snapshots_and_clones(void)
{
	const int fd = new_object(6, true);
	const int snapshot = cowmem_object_snapshot(fd);
	int clone, part;
	struct cowmem_stat stat;

	CHECK(snapshot >= 0);
	write_page(fd, 2, 2);
	CHECK(has_page(snapshot, 2, 1) && has_page(fd, 2, 2));
	CHECK_EQ(fcntl(snapshot, F_GETFD), FD_CLOEXEC);
	CHECK_ERRNO(pwrite(snapshot, "x", 1, 0), EBADF);
	CHECK_EQ(cowmem_object_stat(snapshot, &stat), 0);
	CHECK(stat.state & COWMEM_STATE_FROZEN);
	CHECK_EQ(stat.layers, without_module ? 0 : 1);
	/* Whatever writes is not for a snapshot. */
	CHECK_EQ(cowmem_object_resize(snapshot, 0, COWMEM_RESIZE_GROWS), -EBADF);
	CHECK_EQ(cowmem_object_punch(snapshot, 0, PAGE, NULL), -EBADF);
	CHECK_EQ(cowmem_object_restore(snapshot, snapshot), -EBADF);

	clone = cowmem_object_clone(snapshot);
	CHECK(clone >= 0);
	write_page(clone, 3, 3);
	CHECK(has_page(clone, 2, 1) && has_page(clone, 3, 3) && has_page(snapshot, 3, 1) &&
	      has_page(fd, 3, 1));
	part = cowmem_object_clone_range(fd, PAGES(1), PAGES(2));
	CHECK(part >= 0);
	CHECK_EQ(size_of(part), PAGES(6));
	CHECK(has_page(part, 0, 0) && has_page(part, 1, 1) && has_page(part, 2, 2) &&
	      has_page(part, 3, 0));
	CHECK_EQ(cowmem_object_clone_range(fd, 0, 0), -EINVAL);
	CHECK_EQ(cowmem_object_clone_range(fd, 5, PAGE), -EINVAL);
	close(part);
	close(clone);
	close(snapshot);
	close(fd);
}

static void limits_snapshots(void)
{
	const int fd = new_object(4, true);
	int limited, dropped;
	struct cowmem_stat stat;

	if (without_module) {
		CHECK_EQ(cowmem_object_snapshot_limited(fd, 1, false), -EOPNOTSUPP);
		close(fd);
		return;
	}
	limited = cowmem_object_snapshot_limited(fd, 1, false);
	CHECK(limited >= 0);
	write_page(fd, 0, 2);
	CHECK_ERRNO(pwrite(fd, "x", 1, PAGE), EDQUOT);
	CHECK_EQ(cowmem_object_punch(fd, PAGE, PAGE, NULL), -EDQUOT);
	CHECK_EQ(cowmem_object_stat(limited, &stat), 0);
	CHECK_EQ(stat.copies, 1);
	CHECK_EQ(stat.max_copies, 1);
	close(limited);

	dropped = cowmem_object_snapshot_limited(fd, 0, true);
	CHECK(dropped >= 0);
	write_page(fd, 1, 2);
	CHECK_EQ(cowmem_object_clone(dropped), -ESTALE);
	CHECK_EQ(cowmem_object_stat(dropped, &stat), 0);
	CHECK(stat.state & COWMEM_STATE_DROPPED);
	close(dropped);
	close(fd);
}

static void takes_sets(void)
{
	int objects[3], snapshots[3] = {-1, -1, -1};

	for (int i = 0; i < 3; i++)
		objects[i] = new_object(2, true);
	CHECK_EQ(cowmem_object_snapshot_set(objects, snapshots, 0), -EINVAL);
	if (without_module) {
		CHECK_EQ(cowmem_object_snapshot_set(objects, snapshots, 3), -EOPNOTSUPP);
	} else {
		CHECK_EQ(cowmem_object_snapshot_set(objects, snapshots, 3), 0);
		write_page(objects[2], 1, 2);
		CHECK(has_page(snapshots[2], 1, 1));
		CHECK_EQ(
			cowmem_object_snapshot_set((int[]){objects[0], objects[0]}, (int[2]){0}, 2),
			-EINVAL);
	}
	for (int i = 0; i < 3; i++) {
		close(objects[i]);
		if (!without_module)
			close(snapshots[i]);
	}
}

static void restores(void)
{
	const int fd = new_object(5, true), snapshot = cowmem_object_snapshot(fd);
	const int stranger = new_object(1, true), of_stranger = cowmem_object_snapshot(stranger);
	uint64_t next = 0;

	MUST(snapshot >= 0 && of_stranger >= 0);
	write_page(fd, 1, 2);
	write_page(fd, 2, 2);
	write_page(fd, 6, 2);
	CHECK_EQ(size_of(fd), PAGES(7));
	CHECK_EQ(cowmem_object_restore_range(fd, snapshot, PAGES(2), PAGES(2), &next), 0);
	CHECK_EQ(next, PAGES(4));
	CHECK(has_page(fd, 1, 2) && has_page(fd, 2, 1) && has_page(fd, 6, 2));
	CHECK_EQ(cowmem_object_restore_range(fd, snapshot, PAGES(4), PAGES(3), NULL), 0);
	CHECK(has_page(fd, 4, 1) && has_page(fd, 6, 0));
	CHECK_EQ(cowmem_object_restore(fd, snapshot), 0);
	CHECK_EQ(size_of(fd), PAGES(5));
	CHECK(has_page(fd, 1, 1));
	/* Of an object that is none. */
	CHECK_EQ(cowmem_object_restore(fd, stranger), -EINVAL);
	CHECK_EQ(cowmem_object_restore_range(fd, snapshot, 0, 1, &next), -EINVAL);
	CHECK_EQ(cowmem_object_restore(fd, -1), -EBADF);
	/* A copy has no family. */
	CHECK_EQ(cowmem_object_restore(fd, of_stranger), without_module ? 0 : -EINVAL);
	close(of_stranger);
	close(stranger);
	close(snapshot);
	close(fd);
}

static void tells_what_differs(void)
{
	const int fd = new_object(MANY * 2 + 8, true), snapshot = cowmem_object_snapshot(fd);
	struct cowmem_diff_iter *iter;
	struct cowmem_changed range;
	unsigned int count = 0;

	MUST(snapshot >= 0);
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, snapshot, 0, 0), 0);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 0);
	cowmem_diff_iter_free(iter);

	/* Every other page, more than one answer has; then a range, and a hole next to it. */
	for (unsigned int i = 0; i < MANY; i++)
		write_page(fd, 2 * i, 2);
	for (unsigned int i = 0; i < 3; i++)
		write_page(fd, MANY * 2 + 2 + i, 2);
	MUST(!cowmem_object_punch(fd, PAGES(MANY * 2 + 5), PAGES(2), NULL));
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, snapshot, 0, 0), 0);
	while (count < MANY && cowmem_diff_iter_next(iter, &range) == 1) {
		if (range.offset != PAGES(2 * count) || range.length != PAGE || range.flags)
			break;
		count++;
	}
	CHECK_EQ(count, MANY);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 1);
	CHECK_EQ(range.offset, PAGES(MANY * 2 + 2));
	CHECK_EQ(range.length, PAGES(3));
	CHECK_EQ(range.flags, 0);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 1);
	CHECK_EQ(range.offset, PAGES(MANY * 2 + 5));
	CHECK_EQ(range.length, PAGES(2));
	CHECK_EQ(range.flags, COWMEM_CHANGED_HOLE);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 0);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 0);
	cowmem_diff_iter_free(iter);

	/* What only the other has differs, too; and a part can be asked about. */
	MUST(!cowmem_object_resize(fd, PAGES(1), COWMEM_RESIZE_GROWS));
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, snapshot, 0, 0), 0);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 1);
	CHECK_EQ(range.length, PAGE);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 1);
	CHECK_EQ(range.offset, PAGE);
	CHECK_EQ(range.length, PAGES(MANY * 2 + 7));
	CHECK_EQ(range.flags, COWMEM_CHANGED_HOLE);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 0);
	cowmem_diff_iter_free(iter);
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, snapshot, PAGES(2), PAGES(2)), 0);
	CHECK_EQ(cowmem_diff_iter_next(iter, &range), 1);
	CHECK_EQ(range.offset, PAGES(2));
	CHECK_EQ(range.length, PAGES(2));
	cowmem_diff_iter_free(iter);
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, snapshot, 3, 0), -EINVAL);
	CHECK(!iter);
	CHECK_EQ(cowmem_diff_iter_new(&iter, fd, -1, 0, 0), -EBADF);
	cowmem_diff_iter_free(NULL);
	close(snapshot);
	close(fd);
}

static void tells_of_pages(void)
{
	const int fd = new_object(MANY, true);
	struct cowmem_pagemap_iter *iter;
	struct cowmem_page page;
	uint64_t offset, count = 0;
	int last = 0;

	if (without_module) {
		CHECK_EQ(cowmem_pagemap_iter_new(&iter, fd, 0, 0, 0), -EOPNOTSUPP);
		CHECK(!iter);
		close(fd);
		return;
	}
	CHECK_EQ(cowmem_pagemap_iter_new(&iter, fd, 0, 0, COWMEM_PAGEMAP_CLEAR_DIRTY), 0);
	while ((last = cowmem_pagemap_iter_next(iter, &offset, &page)) == 1 &&
	       offset == PAGES(count) && page.flags & COWMEM_PAGE_RESIDENT)
		count++;
	CHECK_EQ(last, 0);
	CHECK_EQ(count, MANY);
	CHECK_EQ(cowmem_pagemap_iter_next(iter, &offset, &page), 0);
	cowmem_pagemap_iter_free(iter);

	/* The flags arrive, and a range. */
	write_page(fd, 700, 2);
	CHECK_EQ(cowmem_pagemap_iter_new(&iter, fd, PAGES(699), PAGES(2), 0), 0);
	CHECK_EQ(cowmem_pagemap_iter_next(iter, &offset, &page), 1);
	CHECK_EQ(offset, PAGES(699));
	CHECK(!(page.flags & COWMEM_PAGE_DIRTY));
	CHECK_EQ(cowmem_pagemap_iter_next(iter, &offset, &page), 1);
	CHECK(page.flags & COWMEM_PAGE_DIRTY);
	CHECK_EQ(cowmem_pagemap_iter_next(iter, &offset, &page), 0);
	cowmem_pagemap_iter_free(iter);
	CHECK_EQ(cowmem_pagemap_iter_new(&iter, fd, 0, 0, 1U << 9), 0);
	CHECK_EQ(cowmem_pagemap_iter_next(iter, &offset, &page), -EINVAL);
	cowmem_pagemap_iter_free(iter);
	close(fd);
}

static void tells_who_maps(void)
{
	enum { TIMES = 700 };
	const int fd = new_object(MANY, true);
	struct cowmem_rmap_iter *iter;
	struct cowmem_mapping mapping;
	unsigned int count = 0, of_first = 0;
	unsigned char *all, *first[TIMES];

	if (without_module) {
		CHECK_EQ(cowmem_rmap_iter_new(&iter, fd, 0, 0, 0), -EOPNOTSUPP);
		CHECK(!iter);
		close(fd);
		return;
	}
	all = object_map(fd, PAGES(MANY), PROT_READ, MAP_SHARED | MAP_POPULATE);
	/* Of one page more entries than a first answer has room for. */
	for (unsigned int i = 0; i < TIMES; i++)
		first[i] = object_map(fd, PAGE, PROT_READ, MAP_SHARED | MAP_POPULATE);
	CHECK_EQ(cowmem_rmap_iter_new(&iter, fd, 0, 0, 0), 0);
	while (cowmem_rmap_iter_next(iter, &mapping) == 1) {
		CHECK_EQ(mapping.pid, getpid());
		CHECK(mapping.flags & COWMEM_MAPPING_SHARED);
		of_first += !mapping.offset;
		count++;
	}
	CHECK_EQ(of_first, TIMES + 1);
	CHECK_EQ(count, TIMES + MANY);
	CHECK_EQ(cowmem_rmap_iter_hidden(iter), 0);
	CHECK(cowmem_rmap_iter_probes(iter) >= count);
	cowmem_rmap_iter_free(iter);
	for (unsigned int i = 0; i < TIMES; i++)
		munmap(first[i], PAGE);
	munmap(all, PAGES(MANY));

	all = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	all[0] = all[PAGE] = 1;
	CHECK_EQ(cowmem_rmap_iter_new(&iter, fd, (uintptr_t)all, PAGES(4), COWMEM_RMAP_OF_COPIES),
	         0);
	CHECK_EQ(cowmem_rmap_iter_next(iter, &mapping), 1);
	CHECK_EQ(mapping.address, (uintptr_t)all);
	CHECK(mapping.flags & COWMEM_MAPPING_COPY);
	CHECK_EQ(cowmem_rmap_iter_next(iter, &mapping), 1);
	CHECK_EQ(cowmem_rmap_iter_next(iter, &mapping), 0);
	cowmem_rmap_iter_free(iter);
	CHECK_EQ(cowmem_rmap_iter_new(&iter, fd, 0, 0, COWMEM_RMAP_OF_COPIES), -EINVAL);
	munmap(all, PAGES(4));
	cowmem_rmap_iter_free(NULL);
	close(fd);
}

static void pages_out(void)
{
	const int fd = new_object(MANY * 2, true);
	struct cowmem_page_out result;
	struct cowmem_store_stat store;
	static struct cowmem_range ranges[MANY];
	uint64_t pages = 9;

	for (unsigned int i = 0; i < MANY; i++)
		ranges[i] = (struct cowmem_range){.offset = PAGES(2 * i), .length = PAGE};
	if (without_module) {
		CHECK_EQ(cowmem_object_page_out(fd, 0, 0, 0, &result), -EOPNOTSUPP);
		CHECK_EQ(cowmem_object_prefetch(fd, ranges, 1, &pages), -EOPNOTSUPP);
		CHECK_EQ(pages, 0);
		CHECK_EQ(cowmem_object_prefetch_to_write(fd, ranges, 1, &pages), -EOPNOTSUPP);
		CHECK_EQ(cowmem_object_store_stat(fd, &store), -EOPNOTSUPP);
		CHECK_EQ(cowmem_object_store_limit(fd, 1), -EOPNOTSUPP);
		close(fd);
		return;
	}
	CHECK_EQ(cowmem_object_page_out(fd, 0, 0, COWMEM_PAGE_OUT_ACCESSED, &result), 0);
	CHECK_EQ(result.out, MANY * 2);
	CHECK_EQ(result.next, PAGES(MANY * 2));
	CHECK_EQ(cowmem_object_store_stat(fd, &store), 0);
	CHECK_EQ(store.slots, MANY * 2);
	CHECK_EQ(cowmem_object_prefetch(fd, ranges, MANY, &pages), 0);
	CHECK_EQ(pages, MANY);
	CHECK_EQ(cowmem_object_prefetch_to_write(fd, ranges, MANY, &pages), 0);
	CHECK_EQ(pages, 0);
	MUST(!cowmem_object_punch(fd, 0, PAGE, NULL));
	CHECK_EQ(cowmem_object_prefetch_to_write(fd, ranges, MANY, &pages), 0);
	CHECK_EQ(pages, 1);
	ranges[MANY - 1].length = 1;
	CHECK_EQ(cowmem_object_prefetch(fd, ranges, MANY, &pages), -EINVAL);
	CHECK(has_page(fd, 5, 1));
	CHECK_EQ(cowmem_object_page_out(fd, 0, 0, COWMEM_PAGE_OUT_AGE, &result), 0);
	CHECK_EQ(result.out, 0);
	CHECK_EQ(result.next, PAGES(MANY * 2));
	CHECK_EQ(cowmem_object_page_out(fd, 0, 0, COWMEM_PAGE_OUT_AGE | COWMEM_PAGE_OUT_ACCESSED,
	                                &result),
	         -EINVAL);
	CHECK_EQ(cowmem_object_store_limit(fd, 5), 0);
	CHECK_EQ(cowmem_object_store_stat(fd, &store), 0);
	CHECK_EQ(store.max_slots, 5);
	CHECK_EQ(cowmem_object_page_out(fd, 1, PAGE, 0, &result), -EINVAL);
	MUST(!cowmem_object_resize(fd, 0, COWMEM_RESIZE_GROWS));
	CHECK_EQ(cowmem_object_page_out(fd, 0, 0, 0, &result), 0); /* of nothing */
	CHECK_EQ(result.out, 0);
	close(fd);
}

static void moves_and_poisons(void)
{
	const int fd = new_object(4, true);
	struct cowmem_move moved;
	uint64_t poisoned = 0;

	if (without_module) {
		CHECK_EQ(cowmem_object_move(fd, 0, 0, 0, &moved), -EOPNOTSUPP);
		CHECK_EQ(cowmem_object_poison(fd, 0, PAGE, NULL), -EOPNOTSUPP);
		close(fd);
		return;
	}
	CHECK_EQ(cowmem_object_move(fd, 0, 0, 1, &moved), 0);
	CHECK_EQ(cowmem_object_move(fd, 0, 0, 0, &moved), 0);
	CHECK_EQ(moved.moved, 4);
	CHECK_EQ(moved.next, PAGES(4));
	CHECK(has_page(fd, 3, 1));
	CHECK_EQ(cowmem_object_move(fd, 0, 0, 1000, &moved), -ENODEV);
	if (is_user) {
		CHECK_EQ(cowmem_object_poison(fd, 0, PAGE, &poisoned), -EPERM);
	} else {
		CHECK_EQ(cowmem_object_poison(fd, 0, PAGE, &poisoned), 0);
		CHECK_EQ(poisoned, 1);
		CHECK_ERRNO(pread(fd, &poisoned, 1, 0), EIO);
	}
	close(fd);
}

/*
 * --- structs that grow ---
 * A struct as a program has it that knows another version, with bytes behind it which are the program's.
 */
union versions {
	unsigned char bytes[PAGE + 64];
	uint64_t words[PAGE / 8];
	struct cowmem_info info;
	struct cowmem_stat stat;
	struct cowmem_page_out page_out;
	struct cowmem_store_stat store_stat;
	struct cowmem_move move;
};

enum { CANARY = 0xA5, LATER = 48 /* bytes that a struct of some later time has behind today's */ };

static int object_of_versions; /* what each is asked about */

static int ask_info(union versions *to, size_t size)
{
	return cowmem_object_info_sized(object_of_versions, &to->info, size);
}

static int ask_stat(union versions *to, size_t size)
{
	return cowmem_object_stat_sized(object_of_versions, &to->stat, size);
}

static int ask_page_out(union versions *to, size_t size)
{
	return cowmem_object_page_out_sized(object_of_versions, 0, PAGES(2), 0, &to->page_out,
	                                    size);
}

static int ask_store_stat(union versions *to, size_t size)
{
	return cowmem_object_store_stat_sized(object_of_versions, &to->store_stat, size);
}

static int ask_move(union versions *to, size_t size)
{
	return cowmem_object_move_sized(object_of_versions, 0, PAGES(2), 0, &to->move, size);
}

/* The same of a program that was compiled with 1.0: it calls these. */
int old_info(int fd, void *info) __asm__("cowmem_object_info");
int old_stat(int fd, void *stat) __asm__("cowmem_object_stat");
int old_page_out(int fd, uint64_t offset, uint64_t length, unsigned int flags,
                 void *result) __asm__("cowmem_object_page_out");
int old_store_stat(int fd, void *stat) __asm__("cowmem_object_store_stat");
int old_move(int fd, uint64_t offset, uint64_t length, unsigned int node,
             void *result) __asm__("cowmem_object_move");

static int ask_old_info(union versions *to)
{
	return old_info(object_of_versions, to);
}

static int ask_old_stat(union versions *to)
{
	return old_stat(object_of_versions, to);
}

static int ask_old_page_out(union versions *to)
{
	return old_page_out(object_of_versions, 0, PAGES(2), 0, to);
}

static int ask_old_store_stat(union versions *to)
{
	return old_store_stat(object_of_versions, to);
}

static int ask_old_move(union versions *to)
{
	return old_move(object_of_versions, 0, PAGES(2), 0, to);
}

/* From @from on, all bytes are @value. */
static bool all_are(const union versions *of, size_t from, size_t to, unsigned char value)
{
	for (size_t i = from; i < to; i++)
		if (of->bytes[i] != value)
			return false;
	return true;
}

/* Bytes of each: of the first version, of 1.0, and now. A word that is not 0, by its place. */
static const struct version_row {
	const char *name;
	int (*ask)(union versions *to, size_t size);
	int (*ask_old)(union versions *to);
	size_t first, of_1_0, now, at;
	bool of_memfd;
} version_rows[] = {
	{"info", ask_info, ask_old_info, 32, 32, sizeof(struct cowmem_info),
         offsetof(struct cowmem_info, max_bytes), true},
	{"stat", ask_stat, ask_old_stat, COWMEM_STAT_SIZE_VER0, 80, sizeof(struct cowmem_stat),
         offsetof(struct cowmem_stat, bytes), true},
	{"page_out", ask_page_out, ask_old_page_out, 120, 120, sizeof(struct cowmem_page_out),
         offsetof(struct cowmem_page_out, next), false},
	{"store_stat", ask_store_stat, ask_old_store_stat, 56, 56, sizeof(struct cowmem_store_stat),
         offsetof(struct cowmem_store_stat, max_slots), false},
	{"move", ask_move, ask_old_move, 56, 56, sizeof(struct cowmem_move),
         offsetof(struct cowmem_move, next), false},
};

static void check_version(const struct version_row *row, size_t size, int expected)
{
	union versions asked;
	int err;

	memset(&asked, CANARY, sizeof(asked));
	err = row->ask(&asked, size);
	ksft_print_msg("%s of %zu bytes: %d\n", row->name, size, err);
	CHECK_EQ(err, expected);
	if (expected && expected != -EOPNOTSUPP) {
		CHECK(all_are(&asked, 0, sizeof(asked), CANARY));
		return;
	}
	CHECK_EQ(*(uint32_t *)asked.bytes, size);
	CHECK(all_are(&asked, size, sizeof(asked), CANARY));
	if (size > row->now)
		CHECK(all_are(&asked, row->now, size, 0));
	if (!expected)
		CHECK(asked.words[row->at / 8] &&
		      asked.words[row->at / 8] != CANARY * (~0ULL / 255));
}

static void grow(void)
{
	object_of_versions = new_object(3, true);
	for (size_t i = 0; i < ARRAY_LENGTH(version_rows); i++) {
		const struct version_row *row = &version_rows[i];
		const int expected = without_module && !row->of_memfd ? -EOPNOTSUPP : 0;
		union versions asked;

		check_version(row, row->first, expected);
		check_version(row, row->now, expected);
		check_version(row, row->now + LATER, expected);
		check_version(row, PAGE, expected);
		check_version(row, row->first - 1, -EINVAL);
		check_version(row, 0, -EINVAL);
		check_version(row, PAGE + 1, -E2BIG);

		memset(&asked, CANARY, sizeof(asked));
		CHECK_EQ(row->ask_old(&asked), expected);
		CHECK(all_are(&asked, row->of_1_0, sizeof(asked), CANARY));
		CHECK_EQ(*(uint32_t *)asked.bytes, row->of_1_0);
		CHECK(expected || asked.words[row->at / 8] != CANARY * (~0ULL / 255));
	}
	close(object_of_versions);
}

/* Pages of 2 MiB, where the kernel has them. */
static void collapses(void)
{
	const int fd = new_object(512, true);
	struct cowmem_collapse result;
	struct cowmem_stat stat;
	uint64_t features;

	MUST(!cowmem_object_features(fd, &features));
	if (!(features & COWMEM_FEATURE_COLLAPSE)) {
		CHECK_EQ(cowmem_object_collapse(fd, 0, 0, &result), -EOPNOTSUPP);
		CHECK_EQ(cowmem_object_set_huge(fd, COWMEM_HUGE_ALWAYS), -EOPNOTSUPP);
		close(fd);
		return;
	}
	CHECK_EQ(cowmem_object_set_huge(fd, 3), -EINVAL);
	CHECK_EQ(cowmem_object_set_huge(fd, COWMEM_HUGE_ADVISE), 0);
	CHECK_EQ(cowmem_object_stat(fd, &stat), 0);
	CHECK_EQ(stat.huge, COWMEM_HUGE_ADVISE);
	CHECK_EQ(cowmem_object_collapse(fd, PAGE, PAGE, &result), 0);
	CHECK_EQ(result.collapsed + result.sparse, 0);
	CHECK_EQ(cowmem_object_collapse_sized(fd, 0, 0, &result, 8), -EINVAL);
	CHECK_EQ(cowmem_object_collapse_sized(fd, 0, 0, &result, sizeof(result)), 0);
	CHECK_EQ(result.collapsed, 1);
	CHECK_EQ(result.next, PAGES(512));
	CHECK_EQ(cowmem_object_collapse(fd, 0, 0, &result), 0);
	CHECK_EQ(result.huge, 1);
	CHECK(has_page(fd, 0, 1) && has_page(fd, 511, 1));
	close(fd);
}

/* What is no object at all. */
static void refuses_others(void)
{
	int ends[2], file;
	struct cowmem_stat stat;
	uint64_t features;

	MUST(!pipe(ends));
	file = open("/tmp", O_TMPFILE | O_RDWR, 0600);
	MUST(file >= 0);
	CHECK_EQ(cowmem_object_stat(-1, &stat), -EBADF);
	CHECK_EQ(cowmem_object_stat(ends[0], &stat), -ENOTTY);
	CHECK_EQ(cowmem_object_stat(file, &stat), -ENOTTY);
	CHECK_EQ(cowmem_object_features(file, &features), -ENOTTY);
	CHECK_EQ(cowmem_object_is_module(file), -ENOTTY);
	CHECK_EQ(cowmem_object_snapshot(file), -ENOTTY);
	CHECK_EQ(cowmem_object_clone(ends[1]), -ENOTTY);
	CHECK_EQ(cowmem_object_resize(-1, 0, 0), -EBADF);
	CHECK_EQ(cowmem_object_punch(file, 0, PAGE, NULL), -ENOTTY);
	CHECK_EQ(cowmem_object_restore(file, file), -ENOTTY);
	CHECK_EQ(cowmem_object_page_out(file, 0, 0, 0, NULL), -ENOTTY);
	CHECK_EQ(cowmem_object_create_by(file, NULL), -ENOTTY);
	CHECK_EQ(cowmem_object_file(file), -ENOTTY);
	close(file);
	close(ends[0]);
	close(ends[1]);
}

#define CASES(X)                                                           \
	X(tells_features, "features are told, and have names")             \
	X(creates, "objects are made, and made files of")                  \
	X(resizes_and_punches, "objects are resized and punched")          \
	X(maps, "objects are mapped; who copies is set")                   \
	X(snapshots_and_clones, "snapshots stay, clones go their own way") \
	X(limits_snapshots, "snapshots have a limit")                      \
	X(takes_sets, "several snapshots are taken at once")               \
	X(restores, "an object is restored, all of it or a range")         \
	X(tells_what_differs, "DIFF is one long answer")                   \
	X(tells_of_pages, "PAGEMAP is one long answer")                    \
	X(tells_who_maps, "RMAP is one long answer")                       \
	X(pages_out, "pages go out and come back")                         \
	X(moves_and_poisons, "pages are moved and poisoned")               \
	X(grow, "structs of another version, shorter and longer")          \
	X(collapses, "pages of 2 MiB are made of others")                  \
	X(refuses_others, "what is no object is refused")

CASES(AS_USER)

static const struct test_case cases[] = {CASES(BOTH)};

int main(int argc, char **argv)
{
	without_module = argc > 1 && !strcmp(argv[1], "memfd");
	if (!without_module)
		open_device_to_all();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
