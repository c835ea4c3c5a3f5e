// SPDX-License-Identifier: GPL-2.0
/*
 * The limit on what a snapshot may come to hold through copies: what counts, what the
 * write of one page more does, and a snapshot that is dropped under those who use it.
 */
#include "absent.h"
#include "bus.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

#define PAGES 64UL
#define LIMIT 5UL

static int limited(int fd, uint64_t max, bool drops)
{
	struct cowmem_snapshot arg = {.size = sizeof(arg),
	                              .flags = COWMEM_SNAPSHOT_LIMIT |
	                                       (drops ? COWMEM_SNAPSHOT_DROP : 0),
	                              .max_copies = max};

	MUST(!ioctl(fd, COWMEM_IOC_SNAPSHOT, &arg));
	return arg.fd;
}

static char *map_all(int fd, int prot, int flags)
{
	return object_map(fd, PAGES * PAGE, prot, flags);
}

static void fill(char *map, unsigned long first, unsigned long end, unsigned int generation)
{
	for (unsigned long i = first; i < end; i++)
		fill_page(map + i * PAGE, i, generation);
}

static bool map_is(const char *map, unsigned long first, unsigned long end, unsigned int generation)
{
	for (unsigned long i = first; i < end; i++)
		if (!page_is(map + i * PAGE, i, generation))
			return false;
	return true;
}

/* Whether read() gives that generation of all pages. */
static bool file_is(int fd, unsigned int generation)
{
	char page[PAGE];

	for (unsigned long i = 0; i < PAGES; i++)
		if (pread(fd, page, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE ||
		    !page_is(page, i, generation))
			return false;
	return true;
}

static bool dropped(int fd)
{
	return object_stat(fd).state & COWMEM_STATE_DROPPED;
}

/* Nothing that needs a copy can be done, and nothing changes, of an object of @bytes. */
static void check_refused_at(int fd, char *map, unsigned long index, uint64_t bytes)
{
	struct counts before = counts_now();
	const unsigned long resident = object_stat(fd).resident_pages;

	CHECK_ERRNO(pwrite(fd, "x", 1, (off_t)(index * PAGE)), EDQUOT);
	CHECK_EQ(touch(map + index * PAGE, true), BUS_ADRERR);
	CHECK_EQ(SINCE(before, over_limit), 1);
	CHECK_ERRNO(object_resize(fd, index * PAGE + 1), EDQUOT);
	CHECK_EQ(object_stat(fd).bytes, bytes);
	CHECK_EQ(object_stat(fd).resident_pages, resident);
	CHECK_EQ(SINCE(before, pages_copied_up), 0);
	CHECK(page_is(map + index * PAGE, index, 1));
}

static void check_refused(int fd, char *map, unsigned long index)
{
	check_refused_at(fd, map, index, PAGES * PAGE);
}

static void a_copy_more_is_refused(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then, again;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *seen;

	fill(map, 0, PAGES, 1);
	then = limited(fd, LIMIT, false);
	seen = map_all(then, PROT_READ, MAP_SHARED);
	CHECK_EQ(object_stat(then).copies, 0);
	for (unsigned long i = 0; i < LIMIT; i++) {
		fill_page(map + i * PAGE, i, 2);
		fill_page(map + i * PAGE, i, 3); /* its own by now */
		CHECK_EQ(object_stat(then).copies, i + 1);
	}
	check_refused(fd, map, LIMIT);
	check_refused(fd, map, PAGES - 1);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	CHECK(map_is(map, 0, LIMIT, 3) && map_is(map, LIMIT, PAGES, 1));
	CHECK(map_is(seen, 0, PAGES, 1));
	/* What leaves no page to it goes on. */
	fill(map, 0, LIMIT, 4);
	MUST(!object_punch(fd, 0, LIMIT * PAGE));
	fill(map, 0, LIMIT, 4);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	/* Restored to it, the object has no copies any more. */
	CHECK_EQ(restore(fd, then), 0);
	CHECK_EQ(object_stat(then).copies, 0);
	fill(map, 0, LIMIT, 5);
	check_refused(fd, map, LIMIT);
	/* Of a snapshot that was taken since, they are not. */
	again = snapshot(fd);
	CHECK_EQ(object_stat(again).copies, 0);
	fill(map, 0, LIMIT, 6);
	CHECK_EQ(object_stat(again).copies, LIMIT);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	check_refused(fd, map, LIMIT);
	/* Without it the rest may be written. */
	munmap(seen, PAGES * PAGE);
	close(then);
	fill(map, 0, PAGES, 7);
	CHECK(map_is(map, 0, PAGES, 7));
	munmap(map, PAGES * PAGE);
	close(again);
	close(fd);
	check_returned(before);
}

/* What the object gives up stays for the snapshot, as what it writes does. */
static void what_is_cut_or_punched_counts(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_punch punch = {.size = sizeof(punch), .length = 4 * PAGE};

	fill(map, 0, PAGES, 1);
	then = limited(fd, LIMIT, false);
	MUST(!ioctl(fd, COWMEM_IOC_PUNCH, &punch));
	CHECK_EQ(punch.next, 4 * PAGE);
	CHECK_EQ(object_stat(then).copies, 4);
	CHECK_EQ(object_stat(then).max_copies, LIMIT);
	/* Over the limit nothing changes, and nothing is counted. */
	punch.offset = 4 * PAGE;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PUNCH, &punch), EDQUOT);
	CHECK_EQ(punch.next, 4 * PAGE);
	CHECK_ERRNO(object_resize(fd, 32 * PAGE), EDQUOT);
	CHECK_EQ(object_stat(fd).bytes, PAGES * PAGE);
	CHECK_EQ(object_stat(then).copies, 4);
	CHECK(map_is(map, 4, PAGES, 1));
	/* A hole that is written, or punched again, leaves it nothing. */
	fill(map, 0, 4, 2);
	MUST(!object_punch(fd, 0, 4 * PAGE));
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	CHECK_EQ(object_stat(then).copies, 4);
	CHECK_EQ(object_resize(fd, (PAGES - 1) * PAGE), 0);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	check_refused_at(fd, map, 7, (PAGES - 1) * PAGE);
	CHECK(file_is(then, 1));
	munmap(map, PAGES * PAGE);
	close(then);
	/* The same for a snapshot that is dropped instead; by PUNCH, and by RESIZE. */
	for (int by_resize = 0; by_resize < 2; by_resize++) {
		const unsigned long dropped_before = counter("snapshots_dropped");

		MUST(!object_resize(fd, PAGES * PAGE));
		map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
		fill(map, 0, PAGES, 3);
		then = limited(fd, LIMIT, true);
		CHECK_EQ(by_resize ? object_resize(fd, 8 * PAGE)
		                   : object_punch(fd, 8 * PAGE, (PAGES - 8) * PAGE),
		         0);
		CHECK(dropped(then));
		CHECK_EQ(counter("snapshots_dropped") - dropped_before, 1);
		CHECK(map_is(map, 0, 8, 3));
		munmap(map, PAGES * PAGE);
		close(then);
	}
	close(fd);
	check_returned(before);
}

/* A punch drops a snapshot whose parent it sees less of, and goes on with that one for its own parent. */
static void a_punch_drops_what_it_looks_through(void)
{
	struct counts before = counts_now();
	int fd = object_open(), old, then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, PAGES, 1);
	old = snapshot(fd);
	MUST(!object_resize(fd, 10 * PAGE) && !object_resize(fd, PAGES * PAGE));
	fill_page(map + 20 * PAGE, 20, 2);
	then = limited(fd, 0, true);
	/* No copies, but more than @then has, so that what is left of that moves here. */
	for (unsigned long i = 50; i < 60; i++)
		fill_page(map + i * PAGE, i, 3);
	MUST(!object_punch(fd, 0, 30 * PAGE));
	CHECK(dropped(then));
	for (unsigned long i = 0; i < PAGES; i++) {
		const bool there = i >= 50 && i < 60;

		CHECK(there ? page_is(map + i * PAGE, i, 3)
		            : !map[i * PAGE] &&
		                      !memcmp(map + i * PAGE, map + i * PAGE + 1, PAGE - 1));
	}
	CHECK(file_is(old, 1));
	CHECK(layers_are_sound(fd));
	munmap(map, PAGES * PAGE);
	close(then);
	close(old);
	close(fd);
	check_returned(before);
}

/* The same where the object has a page of its own over the snapshot's hole over an older one's page. */
static void a_punch_hides_what_a_dropped_one_hid(void)
{
	struct counts before = counts_now();

	for (unsigned long first = 4; first < 6; first++) {
		const struct counts round = counts_now();
		int fd = object_open(), old, then;
		char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), page[PAGE];

		fill(map, 0, PAGES, 1);
		old = snapshot(fd);
		MUST(!object_punch(fd, 5 * PAGE, PAGE));
		then = limited(fd, 0, true);
		fill_page(map + 5 * PAGE, 5, 2);
		CHECK(!dropped(then)); /* for a hole nothing is kept */
		MUST(!object_punch(fd, first * PAGE, (7 - first) * PAGE));
		CHECK(dropped(then));
		CHECK_EQ(SINCE(round, snapshots_dropped), 1);
		for (unsigned long i = 0; i < PAGES; i++) {
			const bool there = i < first || i > 6;

			CHECK(there ? page_is(map + i * PAGE, i, 1)
			            : !map[i * PAGE] && !memcmp(map + i * PAGE, map + i * PAGE + 1,
			                                        PAGE - 1));
			CHECK(pread(old, page, PAGE, (off_t)(i * PAGE)) == PAGE &&
			      page_is(page, i, 1));
		}
		/* What was left to the one that stays: 5, to begin with, and the others. */
		CHECK_EQ(object_stat(old).copies, 7 - first);
		CHECK(layers_are_sound(fd));
		munmap(map, PAGES * PAGE);
		close(then);
		close(old);
		close(fd);
	}
	check_returned(before);
}

/* A RESIZE that needs one page more than may stay leaves none: neither what it cuts off nor a copy. */
static void a_resize_that_fails_counts_nothing(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, PAGES, 1);
	then = limited(fd, LIMIT, false);
	fill(map, 0, LIMIT - 1, 2);
	CHECK_ERRNO(object_resize(fd, (PAGES - 2) * PAGE + 1), EDQUOT);
	CHECK_EQ(object_stat(then).copies, LIMIT - 1);
	CHECK_EQ(object_stat(fd).resident_pages, LIMIT - 1);
	CHECK_EQ(object_stat(fd).bytes, PAGES * PAGE);
	CHECK(map_is(map, 0, LIMIT - 1, 2) && map_is(map, LIMIT - 1, PAGES, 1));
	/* One may stay, cut off or copied. */
	CHECK_EQ(object_resize(fd, (PAGES - 1) * PAGE + 1), 0);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	CHECK_EQ(object_stat(fd).resident_pages, LIMIT);
	munmap(map, PAGES * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

/* What RESTORE to a younger snapshot discards does not count for an older one any more. */
static void restored_to_a_younger_one(void)
{
	int fd = object_open(), root, young, younger;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, PAGES, 1);
	root = limited(fd, LIMIT, false);
	fill_page(map, 0, 2);
	young = snapshot(fd);
	for (unsigned long i = 0; i < LIMIT; i++) {
		CHECK_EQ(touch(map + 7 * PAGE, true), 0);
		CHECK_EQ(object_stat(root).copies, 2);
		CHECK_EQ(restore(fd, young), 0);
		CHECK_EQ(object_stat(root).copies, 1);
	}
	/* What a snapshot between has of it, twice written, what is punched and what is cut off. */
	fill_page(map, 0, 3);
	fill_page(map + 5 * PAGE, 5, 3);
	CHECK_EQ(object_stat(root).copies, 2);
	younger = snapshot(fd);
	fill_page(map + 5 * PAGE, 5, 4);
	CHECK_EQ(object_stat(root).copies, 2);
	CHECK_EQ(object_stat(younger).copies, 1);
	CHECK_EQ(object_punch(fd, 6 * PAGE, PAGE), 0);
	CHECK_EQ(object_stat(root).copies, 3);
	CHECK_EQ(object_stat(young).copies, 3);
	CHECK_EQ(object_stat(younger).copies, 2);
	CHECK_EQ(object_resize(fd, (PAGES - 1) * PAGE), 0);
	CHECK_EQ(object_stat(root).copies, 4);
	CHECK_EQ(restore(fd, young), 0);
	CHECK_EQ(object_stat(root).copies, 1);
	CHECK_EQ(object_stat(young).copies, 0);
	munmap(map, PAGES * PAGE);
	close(younger);
	close(young);
	close(root);
	close(fd);
}

/* RESTORE of a range leaves pages also to a snapshot younger than the one that it goes back to. */
static void a_restored_range_counts(void)
{
	struct counts before = counts_now();
	int fd = object_open(), root, young, doomed;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	uint64_t next;

	fill(map, 0, PAGES, 1);
	root = snapshot(fd);
	fill(map, 0, LIMIT + 1, 2);
	young = limited(fd, LIMIT, false);
	CHECK_ERRNO(restore_range(fd, root, 0, (LIMIT + 1) * PAGE, &next), EDQUOT);
	CHECK_EQ(next, 0);
	CHECK(map_is(map, 0, LIMIT + 1, 2) && map_is(map, LIMIT + 1, PAGES, 1));
	CHECK_EQ(object_stat(young).copies, 0);
	CHECK_EQ(object_stat(root).copies, LIMIT + 1);
	CHECK_EQ(restore_range(fd, root, PAGE, (PAGES - 1) * PAGE, &next), 0);
	CHECK_EQ(next, PAGES * PAGE);
	CHECK(map_is(map, 0, 1, 2) && map_is(map, 1, PAGES, 1));
	CHECK_EQ(object_stat(young).copies, LIMIT);
	CHECK_EQ(object_stat(root).copies, 1);
	CHECK_ERRNO(restore_range(fd, root, 0, PAGE, &next), EDQUOT);
	/* What it shares again does not count. */
	CHECK_EQ(restore_range(fd, young, 2 * PAGE, PAGES * PAGE, &next), 0);
	CHECK_EQ(object_stat(young).copies, 1);
	CHECK_EQ(restore_range(fd, root, 0, PAGE, &next), 0);
	CHECK_EQ(object_stat(young).copies, 2);
	CHECK(layers_are_sound(fd));
	/* The snapshot may be given up instead. */
	doomed = limited(fd, 0, true);
	CHECK_EQ(restore_range(fd, young, 0, PAGE, &next), 0);
	CHECK(dropped(doomed));
	CHECK(map_is(map, 0, 1, 2));
	CHECK_ERRNO(restore_range(fd, doomed, 0, PAGE, &next), ESTALE);
	CHECK_ERRNO(restore_range(fd, doomed, PAGES * PAGE, PAGE, &next), ESTALE);
	munmap(map, PAGES * PAGE);
	close(doomed);
	close(young);
	close(root);
	close(fd);
	check_returned(before);
}

/* What a snapshot has for itself besides what was left to it: holes that were read, and what was in use. */
static void what_did_not_count_takes_nothing_back(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then, later, ends[2];
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *seen;
	struct iovec piece = {map + 8 * PAGE, 2 * PAGE};
	uint64_t next;

	fill(map, 0, 16, 1);
	MUST(!pipe(ends));
	MUST(vmsplice(ends[1], &piece, 1, 0) == 2 * (ssize_t)PAGE);
	then = limited(fd, LIMIT, false);
	CHECK_EQ(SINCE(before, pages_frozen_copied), 2);
	close(ends[0]);
	close(ends[1]);
	seen = map_all(then, PROT_READ, MAP_SHARED);
	for (unsigned long i = 32; i < 42; i++)
		CHECK_EQ(touch(seen + i * PAGE, false), 0);
	CHECK_EQ(object_stat(then).copies, 0);
	fill(map, 0, 3, 2);
	CHECK_EQ(object_stat(then).copies, 3);
	/* Shared from now on, and nothing was left by any of them. */
	CHECK_EQ(restore_range(fd, then, 8 * PAGE, 2 * PAGE, &next), 0);
	CHECK_EQ(object_stat(then).copies, 3);
	CHECK_EQ(restore_range(fd, then, 32 * PAGE, 10 * PAGE, &next), 0);
	CHECK_EQ(object_stat(then).copies, 3);
	CHECK(map_is(map, 0, 3, 2) && map_is(map, 3, 16, 1));
	/* Now all that it has for itself counts, and so does what was shared and is written. */
	CHECK_EQ(restore_range(fd, then, 0, PAGE, &next), 0);
	CHECK_EQ(object_stat(then).copies, 2);
	fill(map, 8, 9, 2);
	fill(map, 32, 34, 2);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	check_refused(fd, map, 3);
	/* Where the object goes on from a younger one they begin to count no more. */
	CHECK_EQ(restore(fd, then), 0);
	CHECK_EQ(object_stat(then).copies, 0);
	later = snapshot(fd);
	for (unsigned long i = 42; i < 52; i++)
		CHECK_EQ(touch(seen + i * PAGE, false), 0);
	CHECK_EQ(restore(fd, later), 0);
	CHECK_EQ(object_stat(then).copies, 0);
	fill(map, 0, LIMIT, 2);
	CHECK_EQ(object_stat(then).copies, LIMIT);
	check_refused(fd, map, LIMIT);
	CHECK(layers_are_sound(fd));
	munmap(seen, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(later);
	close(then);
	close(fd);
	check_returned(before);
}

struct set_of_two {
	int objects[2], made[2], result;
};

static void *take_set(void *argument)
{
	struct set_of_two *set = argument;

	set->result = snapshot_set(set->objects[0], set->objects, set->made, 2);
	return NULL;
}

/*
 * A snapshot is as old as its content, whenever it was asked for: here one of a set that waits for
 * its other object. What is older than the one that the object is restored to counts on.
 */
static void age_is_when_it_was_taken(void)
{
	struct counts before = counts_now();
	struct set_of_two set = {.objects = {object_open(), object_open()}};
	const int fd = set.objects[0];
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct stuck_write other;
	pthread_t thread;
	int old;

	/* The first snapshot of an object waits for a write() before anything is created. */
	close(snapshot(set.objects[1]));
	if (!stuck_write_begin(&other, set.objects[1]))
		SKIP("this kernel has no userfaultfd");
	fill(map, 0, PAGES, 1);
	MUST(!pthread_create(&thread, NULL, take_set, &set));
	CHECK(COMES(SINCE(before, objects_created) == 5));
	old = limited(fd, 1, false);
	stuck_write_end(&other);
	MUST(!pthread_join(thread, NULL) && !set.result);
	CHECK_EQ(restore(fd, set.made[0]), 0);
	fill_page(map, 0, 2);
	CHECK_EQ(object_stat(old).copies, 1);
	check_refused(fd, map, 1);
	munmap(map, PAGES * PAGE);
	close(old);
	for (int i = 0; i < 2; i++) {
		close(set.made[i]);
		close(set.objects[i]);
	}
	check_returned(before);
}

/* A RESTORE to what a relative has leaves pages to an older snapshot, too. */
static void a_restore_sideways_counts(void)
{
	int fd = object_open(), root, side, there;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *other;

	fill(map, 0, PAGES, 1);
	root = limited(fd, 2, false);
	side = clone_of(root);
	other = map_all(side, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(other, 0, 2, 2);
	there = snapshot(side);
	fill(other, 2, 3, 2);
	CHECK_EQ(restore(fd, there), 0);
	CHECK_EQ(object_stat(root).copies, 2);
	CHECK(map_is(map, 0, 2, 2) && map_is(map, 2, PAGES, 1));
	close(there);
	there = snapshot(side);
	CHECK_ERRNO(restore(fd, there), EDQUOT);
	CHECK(map_is(map, 0, 2, 2) && map_is(map, 2, PAGES, 1));
	CHECK_EQ(restore(fd, root), 0);
	CHECK_EQ(object_stat(root).copies, 0);
	munmap(other, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(there);
	close(side);
	close(root);
	close(fd);
}

/* What a clone restores is nothing to the count of what the object has copied. */
static void a_clone_restores(void)
{
	int fd = object_open(), root, copy;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, PAGES, 1);
	root = limited(fd, LIMIT, false);
	fill_page(map, 0, 2);
	copy = clone_of(root);
	CHECK_EQ(object_stat(root).copies, 1);
	CHECK_EQ(restore(copy, root), 0);
	CHECK_EQ(object_stat(root).copies, 1);
	munmap(map, PAGES * PAGE);
	close(copy);
	close(root);
	close(fd);
}

/* A snapshot never copies, so that a snapshot of one has no limit that is ever reached, and says so. */
static void of_a_snapshot_there_is_none(void)
{
	int fd = object_open(), first, second;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, 1, 1);
	first = snapshot(fd);
	second = limited(first, LIMIT, true);
	CHECK_EQ(object_stat(second).max_copies, object_stat(first).max_copies);
	CHECK_EQ(object_stat(second).flags, object_stat(first).flags);
	munmap(map, PAGES * PAGE);
	close(second);
	close(first);
	close(fd);
}

/* Of a clone, whose holes have a slot over what the image has there. */
static void holes_do_not_count(void)
{
	int fd = object_open(), clone, then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);

	fill(map, 0, PAGES, 1);
	clone = clone_of(fd);
	MUST(!object_punch(clone, 0, PAGE));
	then = limited(clone, 0, false);
	CHECK_EQ(pwrite(clone, "x", 1, 0), 1);
	CHECK_EQ(object_stat(then).copies, 0);
	CHECK_ERRNO(pwrite(clone, "x", 1, PAGE), EDQUOT);
	munmap(map, PAGES * PAGE);
	close(then);
	close(clone);
	close(fd);
}

static void clones_do_not_count(void)
{
	int fd = object_open(), then, below, clone;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *its;

	fill(map, 0, PAGES, 1);
	then = limited(fd, 0, false);
	clone = clone_of(then);
	below = limited(then, 0, false);
	its = map_all(clone, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(its, 0, PAGES, 2);
	CHECK(map_is(its, 0, PAGES, 2) && map_is(map, 0, PAGES, 1));
	CHECK_EQ(object_stat(then).copies, 0);
	check_refused(fd, map, 3);
	close(then);
	fill_page(map, 0, 3); /* the one of the snapshot says nothing */
	CHECK(page_is(map, 0, 3));
	munmap(its, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(clone);
	close(below);
	close(fd);
}

/* What can be asked of a dropped snapshot, and of @fd with it. */
static void check_dropped(int fd, int then)
{
	char page[PAGE];
	struct cowmem_changed changed;
	struct cowmem_diff diff;
	struct cowmem_store_stat stored = {.size = sizeof(stored)};
	struct cowmem_mapping mapping;
	struct cowmem_rmap rmap;
	struct cowmem_page state;
	int made[2];

	CHECK(dropped(then));
	CHECK_EQ(object_stat(then).bytes, 0);
	CHECK_ERRNO(read(then, page, 1), ESTALE);
	CHECK_ERRNO(pread(then, page, PAGE, 5 * PAGE), ESTALE);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, then, 0), ESTALE);
	CHECK_ERRNO(relative(then, COWMEM_IOC_SNAPSHOT), ESTALE);
	CHECK_ERRNO(relative(then, COWMEM_IOC_CLONE), ESTALE);
	CHECK_ERRNO(snapshot_set(fd, (const int[]){fd, then}, made, 2), ESTALE);
	CHECK_ERRNO(restore(fd, then), ESTALE);
	CHECK_EQ(diff_ask(fd, then, &diff, 0, PAGES, &changed, 1), -ESTALE);
	CHECK_EQ(diff_ask(then, fd, &diff, 0, PAGES, &changed, 1), -ESTALE);
	CHECK_ERRNO(object_set_cow(then, COWMEM_COW_CORE), ESTALE);
	CHECK_ERRNO(object_file(then), ESTALE);
	CHECK_EQ(prefetch_ask(then, 0, PAGES), -ESTALE);
	CHECK_ERRNO(ioctl(then, COWMEM_IOC_STORE_STAT, &stored), ESTALE);
	CHECK_EQ(rmap_ask(then, &rmap, 0, 0, PAGES, &mapping, 1), -ESTALE);
	CHECK_EQ(pagemap_ask(then, 0, 0, 1, &state), -ESTALE);
}

static void it_is_dropped_instead(void)
{
	struct counts before = counts_now();
	int fd = object_open(), then;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *seen, *private;

	fill(map, 0, PAGES, 1);
	then = limited(fd, LIMIT, true);
	seen = map_all(then, PROT_READ, MAP_SHARED);
	private = map_all(then, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill_page(private, 0, 9);
	fill(map, 0, LIMIT, 2);
	CHECK(!dropped(then) && map_is(seen, 0, PAGES, 1));
	fill_page(map + LIMIT * PAGE, LIMIT, 2);
	CHECK_EQ(SINCE(before, snapshots_dropped), 1);
	check_dropped(fd, then);
	for (unsigned long i = 0; i < PAGES; i++)
		CHECK_EQ(touch(seen + i * PAGE, false), BUS_ADRERR);
	CHECK(page_is(private, 0, 9)); /* a copy of the process' own */
	CHECK_EQ(touch(private + PAGE, false), BUS_ADRERR);
	/* Nobody else sees the rest, so it is the object's without copies. */
	fill(map, 0, PAGES, 3);
	CHECK(map_is(map, 0, PAGES, 3));
	CHECK_EQ(SINCE(before, pages_copied_up), LIMIT + 1);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	munmap(private, PAGES * PAGE);
	munmap(seen, PAGES * PAGE);
	munmap(map, PAGES * PAGE);
	close(then);
	close(fd);
	check_returned(before);
}

/* An old one goes, by write(); those around it stay, and the object, too, without a file. */
static void others_stay(void)
{
	struct counts before = counts_now();
	int fd = object_open(), old, middle, last, clone;
	char *map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED), *its, page[PAGE];

	fill(map, 0, PAGES, 1);
	old = snapshot(fd);
	fill(map, 0, 8, 2);
	middle = limited(fd, LIMIT, true);
	clone = clone_of(middle);
	its = map_all(clone, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill(map, 0, 3, 3);
	last = snapshot(fd);
	for (unsigned long i = 3; i < 8; i++) {
		fill_page(page, i, 4);
		CHECK_EQ(pwrite(fd, page, PAGE, (off_t)(i * PAGE)), PAGE);
		CHECK_EQ(dropped(middle), i >= LIMIT);
	}
	check_dropped(fd, middle);
	CHECK(!dropped(old) && !dropped(last));
	for (unsigned long i = 0; i < PAGES; i++) {
		CHECK(pread(old, page, PAGE, (off_t)(i * PAGE)) == PAGE && page_is(page, i, 1));
		CHECK(pread(last, page, PAGE, (off_t)(i * PAGE)) == PAGE && page_is(page, i,
		                                                                    i < 3   ? 3
		                                                                    : i < 8 ? 2
		                                                                            : 1));
		CHECK(page_is(its + i * PAGE, i, i < 8 ? 2 : 1));
		CHECK(page_is(map + i * PAGE, i, i < 3 ? 3 : i < 8 ? 4 : 1));
	}
	CHECK_EQ(restore(fd, old), 0);
	CHECK(map_is(map, 0, PAGES, 1));
	munmap(map, PAGES * PAGE);
	close(fd);
	close(middle);
	CHECK(map_is(its, 8, PAGES, 1));
	munmap(its, PAGES * PAGE);
	close(clone);
	close(old);
	close(last);
	check_returned(before);
}

static struct {
	char *map;
	int then;
	_Atomic bool done;
	unsigned long read, wrong;
} readers;

/* Whoever reads it sees what it is, or that it is gone: never anything else. */
static void *read_until_dropped(void *unused)
{
	char page[PAGE];

	while (!readers.done)
		for (unsigned long i = 0; i < PAGES && !readers.done; i++) {
			ssize_t got = pread(readers.then, page, PAGE, (off_t)(i * PAGE));

			if (got == PAGE && page_is(page, i, 1))
				readers.read++;
			else if (got >= 0 || errno != ESTALE)
				readers.wrong++;
		}
	return unused;
}

static void dropped_while_it_is_read(void)
{
	struct counts before = counts_now();
	const int rounds = (int)fewer_if_debug(100);

	for (int round = 0; round < rounds; round++) {
		int fd = object_open();
		pthread_t thread;

		readers.map = map_all(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
		fill(readers.map, 0, PAGES, 1);
		readers.then = limited(fd, LIMIT, true);
		readers.done = false;
		MUST(!pthread_create(&thread, NULL, read_until_dropped, NULL));
		fill(readers.map, 0, PAGES, 2);
		CHECK(dropped(readers.then));
		readers.done = true;
		pthread_join(thread, NULL);
		CHECK(map_is(readers.map, 0, PAGES, 2));
		munmap(readers.map, PAGES * PAGE);
		close(fd);
		close(readers.then);
	}
	ksft_print_msg("%lu pages read of %d snapshots that were dropped meanwhile\n", readers.read,
	               rounds);
	CHECK_EQ(readers.wrong, 0);
	CHECK_EQ(SINCE(before, snapshots_dropped), rounds);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"a copy more than the limit is refused, and nothing changes", "", a_copy_more_is_refused},
	{"what is punched or cut off counts", "", what_is_cut_or_punched_counts},
	{"a hole that is written does not count", "", holes_do_not_count},
	{"a punch drops what it looks through", "", a_punch_drops_what_it_looks_through},
	{"a punch hides what the dropped one hid", "", a_punch_hides_what_a_dropped_one_hid},
	{"a RESIZE that fails counts nothing", "", a_resize_that_fails_counts_nothing},
	{"restored to a younger one", "", restored_to_a_younger_one},
	{"a RESTORE sideways counts", "", a_restore_sideways_counts},
	{"a RESTORE of a range counts", "", a_restored_range_counts},
	{"what did not count takes nothing back", "", what_did_not_count_takes_nothing_back},
	{"a snapshot is as old as what is in it", "", age_is_when_it_was_taken},
	{"a clone restores", "", a_clone_restores},
	{"of a snapshot there is none", "", of_a_snapshot_there_is_none},
	{"what clones write does not count", "", clones_do_not_count},
	{"or the snapshot is dropped, and says so", "", it_is_dropped_instead},
	{"one is dropped, the others stay", "", others_stay},
	{"a snapshot is dropped while it is read", "", dropped_while_it_is_read},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
