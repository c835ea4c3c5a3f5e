// SPDX-License-Identifier: GPL-2.0
/*
 * RESTORE of a range: what is in it is as the snapshot's, and nothing else has changed. CLONE of
 * one: that and nothing else is in it.
 */
#include "answers.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <signal.h>
#include <sys/resource.h>

/* --- a model: plain memory --- */
/* More than two inner nodes of 1,024 pages, and no whole leaf of 16 at the end. */
enum { PAGES = 2100, SNAPSHOTS = 4, CHECKED_PAGES = 40 };
#define BYTES (PAGES * PAGE)

/* An object, or a snapshot, and what is in it: zeroes beyond its end. */
struct model {
	int fd;
	uint64_t pages; /* its size */
	unsigned char *byte;
};

static struct model object, then[SNAPSHOTS];
static unsigned char *map;

static struct model new_model(int fd)
{
	struct model made = {.fd = fd};

	made.byte = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(made.byte != MAP_FAILED);
	return made;
}

/* A range of whole pages, often of whole leaves, sometimes of whole inner nodes. */
static void some_range(uint64_t *first, uint64_t *count)
{
	static const uint64_t units[] = {1, 1, 16, 16, 1024};
	const uint64_t unit = units[random_below(ARRAY_LENGTH(units))];
	const uint64_t most[] = {20, 1 + PAGES / unit};

	*first = random_below(PAGES) / unit * unit;
	*count = (1 + random_below(most[random_below(2)])) * unit;
	if (*first + *count > PAGES)
		*count = PAGES - *first;
}

static void zero(struct model *of, uint64_t first, uint64_t count)
{
	memset(of->byte + first * PAGE, 0, count * PAGE);
}

static void write_some(void)
{
	uint64_t first, count;

	some_range(&first, &count);
	for (uint64_t i = first; i < first + count && i < object.pages; i += 1 + random_below(3)) {
		const uint64_t number = random_state;

		fill_page(map + i * PAGE, i, number & 0xffff);
		fill_page(object.byte + i * PAGE, i, number & 0xffff);
	}
}

static void resize_it(void)
{
	const uint64_t pages = random_below(4) ? PAGES : 1 + random_below(PAGES);

	MUST(!object_resize(object.fd, pages * PAGE));
	if (pages < object.pages)
		zero(&object, pages, object.pages - pages);
	object.pages = pages;
}

static void restore_some(void)
{
	const struct model *from = &then[random_below(SNAPSHOTS)];
	uint64_t first, count, next;

	if (from->fd < 0)
		return;
	some_range(&first, &count);
	CHECK_EQ(restore_range(object.fd, from->fd, first * PAGE, count * PAGE, &next), 0);
	CHECK_EQ(next, (first + count) * PAGE);
	if (first >= object.pages)
		return;
	if (first + count > object.pages)
		count = object.pages - first;
	memcpy(object.byte + first * PAGE, from->byte + first * PAGE, count * PAGE);
}

static void take_another(void)
{
	struct model *made = &then[random_below(SNAPSHOTS)];

	if (made->fd >= 0)
		close(made->fd);
	made->fd = snapshot(object.fd);
	made->pages = object.pages;
	memcpy(made->byte, object.byte, BYTES);
}

static void page_out_some(void)
{
	const struct model *of = &then[random_below(SNAPSHOTS)];
	struct cowmem_page_out out;
	uint64_t first, count;

	some_range(&first, &count);
	MUST(!page_out_ask(of->fd >= 0 ? of->fd : object.fd, &out, COWMEM_PAGE_OUT_ACCESSED, first,
	                   count));
}

static void punch_some(void)
{
	uint64_t first, count;

	some_range(&first, &count);
	MUST(!object_punch(object.fd, first * PAGE, count * PAGE));
	zero(&object, first, count);
}

static bool file_is(const struct model *model)
{
	static unsigned char bytes[CHECKED_PAGES * PAGE];

	for (uint64_t at = 0; at < model->pages; at += CHECKED_PAGES) {
		const uint64_t left = model->pages - at;
		const size_t some = (left < CHECKED_PAGES ? left : CHECKED_PAGES) * PAGE;

		MUST(pread(model->fd, bytes, some, (off_t)(at * PAGE)) == (ssize_t)some);
		if (memcmp(bytes, model->byte + at * PAGE, some))
			return false;
	}
	return true;
}

/* Some of the object or of a snapshot, which goes its own way. */
static void clone_some(void)
{
	const struct model *from = &then[random_below(SNAPSHOTS)];
	struct model clone;
	uint64_t first, count;

	if (from->fd < 0)
		from = &object;
	some_range(&first, &count);
	clone = new_model(clone_range(from->fd, first * PAGE, count * PAGE));
	MUST(clone.fd >= 0);
	clone.pages = from->pages;
	memcpy(clone.byte + first * PAGE, from->byte + first * PAGE, count * PAGE);
	CHECK_EQ(object_stat(clone.fd).bytes, from->pages * PAGE);
	CHECK(file_is(&clone));
	if (first < clone.pages) {
		fill_page(clone.byte + first * PAGE, first, 1);
		MUST(pwrite(clone.fd, clone.byte + first * PAGE, PAGE, (off_t)(first * PAGE)) ==
		     (ssize_t)PAGE);
		CHECK(file_is(&clone));
	}
	CHECK(layers_are_sound(clone.fd));
	munmap(clone.byte, BYTES);
	close(clone.fd);
}

static void as_the_model_says(void)
{
	static void (*const deeds[])(void) = {
		write_some,   write_some,    restore_some, restore_some, restore_some,
		take_another, page_out_some, punch_some,   resize_it,    clone_some};
	const unsigned int count = fewer_if_debug(320);
	struct counts before = counts_now();

	random_state = 7;
	object = new_model(object_open());
	object.pages = PAGES;
	MUST(!object_resize(object.fd, BYTES));
	map = object_map(object.fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < SNAPSHOTS; i++)
		then[i] = new_model(-1);
	for (unsigned int n = 0; n < count && !test_failed; n++) {
		deeds[random_below(ARRAY_LENGTH(deeds))]();
		CHECK_EQ(object_stat(object.fd).bytes, object.pages * PAGE);
		if (n % 8)
			continue;
		CHECK(!memcmp(map, object.byte, object.pages * PAGE));
		CHECK(file_is(&object));
		for (int i = 0; i < SNAPSHOTS; i++)
			CHECK(then[i].fd < 0 || file_is(&then[i]));
		CHECK(n % 64 || layers_are_sound(object.fd));
	}
	ksft_print_msg("%lu snapshots, %lu restored, %lu pages copied, %lu taken over\n",
	               SINCE(before, snapshots), SINCE(before, restores),
	               SINCE(before, pages_copied_up), SINCE(before, pages_taken_over));
	CHECK(SINCE(before, restores) > count / 16);
	CHECK(SINCE(before, pages_brought_in) > 100);
	munmap(map, BYTES);
	munmap(object.byte, BYTES);
	close(object.fd);
	for (int i = 0; i < SNAPSHOTS; i++) {
		munmap(then[i].byte, BYTES);
		if (then[i].fd >= 0)
			close(then[i].fd);
	}
	check_returned(before);
}

/* --- what stays mapped, and what does not --- */
#define FEW 48UL

static unsigned int mapped(int fd, uint64_t index)
{
	return page_state(fd, 0, index).mapcount;
}

static void only_what_differs_is_unmapped(void)
{
	struct counts before = counts_now();
	int fd = object_open(), to;
	char *shared = object_map(fd, FEW * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, FEW * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uint64_t next;

	for (uint64_t i = 0; i < FEW; i++)
		fill_page(shared + i * PAGE, i, 1);
	to = snapshot(fd);
	for (uint64_t i = 0; i < FEW; i += 4)
		fill_page(shared + i * PAGE, i, 2);
	fill_page(private + 8 * PAGE, 8, 3);
	for (uint64_t i = 0; i < FEW; i++)
		CHECK(page_is(shared + i * PAGE, i, i % 4 ? 1 : 2));
	/* Within a leaf, a whole one, and within another. */
	CHECK_EQ(restore_range(fd, to, 4 * PAGE, 36 * PAGE, &next), 0);
	CHECK_EQ(next, 40 * PAGE);
	for (uint64_t i = 0; i < FEW; i++)
		CHECK_EQ(mapped(fd, i), !(i >= 4 && i < 40 && i % 4 == 0));
	for (uint64_t i = 0; i < FEW; i++)
		CHECK(page_is(shared + i * PAGE, i, (i < 4 || i >= 40) && i % 4 == 0 ? 2 : 1));
	CHECK(page_is(private + 8 * PAGE, 8, 3));
	CHECK_EQ(object_stat(fd).resident_pages, 3);
	/* The same again does nothing. */
	CHECK_EQ(restore_range(fd, to, 4 * PAGE, 36 * PAGE, &next), 0);
	for (uint64_t i = 0; i < FEW; i++)
		CHECK_EQ(mapped(fd, i), 1);
	munmap(private, FEW * PAGE);
	munmap(shared, FEW * PAGE);
	close(to);
	close(fd);
	check_returned(before);
}

/* A clone of a range is one in all but the pages beside that, which are let go with what it is of. */
static void a_range_is_cloned(void)
{
	enum { ALL = 1200, FIRST = 24, COUNT = 1100 };
	struct counts before = counts_now();
	int fd = object_open(), clone, of_clone;
	char page[PAGE];

	for (uint64_t i = 0; i < ALL; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
	clone = clone_range(fd, FIRST * PAGE, COUNT * PAGE);
	MUST(clone >= 0);
	CHECK_EQ(fcntl(clone, F_GETFD), FD_CLOEXEC);
	CHECK_EQ(object_stat(clone).bytes, ALL * PAGE);
	CHECK_EQ(object_stat(clone).state, 0);
	CHECK_EQ(lseek(clone, 0, SEEK_DATA), FIRST * PAGE);
	CHECK_EQ(lseek(clone, FIRST * PAGE, SEEK_HOLE), (FIRST + COUNT) * PAGE);
	CHECK_EQ(lseek(clone, (FIRST + COUNT) * PAGE, SEEK_DATA), -1);
	/* Beyond the end, and of nothing: all holes. */
	of_clone = clone_range(clone, 10 * ALL * PAGE, PAGE);
	MUST(of_clone >= 0);
	CHECK_EQ(lseek(of_clone, 0, SEEK_DATA), -1);
	CHECK_EQ(object_stat(of_clone).bytes, ALL * PAGE);
	close(of_clone);
	CHECK_EQ(SINCE(before, pages_allocated), ALL);
	CHECK_EQ(SINCE(before, clones), 2);
	close(fd);
	CHECK(COMES(SINCE(before, pages_freed) == ALL - COUNT));
	for (uint64_t i = FIRST; i < FIRST + COUNT; i++)
		CHECK(pread(clone, page, PAGE, (off_t)(i * PAGE)) == PAGE && page_is(page, i, 1));
	CHECK(layers_are_sound(clone));
	close(clone);
	check_returned(before);
}

/* Size, growth and limits are not the range's. */
static void the_rest_stays(void)
{
	struct counts before = counts_now();
	int fd = object_open(), to;
	char page[PAGE];
	uint64_t next;

	for (uint64_t i = 0; i < 3; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
	to = snapshot(fd);
	/* Larger than the snapshot: holes. */
	fill_page(page, 5, 2);
	MUST(pwrite(fd, page, PAGE, (off_t)(5 * PAGE)) == (ssize_t)PAGE);
	CHECK_EQ(restore_range(fd, to, 2 * PAGE, 4 * PAGE, &next), 0);
	CHECK_EQ(object_stat(fd).bytes, 6 * PAGE);
	CHECK_EQ(object_stat(fd).state, 0);
	CHECK_EQ(lseek(fd, (off_t)(3 * PAGE), SEEK_DATA), -1);
	/* Smaller: what lies beyond does not come, nor if the object grows again. */
	MUST(!object_resize(fd, PAGE + 1));
	CHECK_EQ(restore_range(fd, to, 0, 1000 * PAGE, &next), 0);
	CHECK_EQ(next, 1000 * PAGE);
	CHECK_EQ(restore_range(fd, to, 500 * PAGE, PAGE, &next), 0);
	CHECK_EQ(next, 501 * PAGE);
	CHECK_EQ(object_stat(fd).bytes, PAGE + 1);
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_FIXED_SIZE);
	MUST(!object_resize(fd, 4 * PAGE));
	CHECK_EQ(lseek(fd, (off_t)(2 * PAGE), SEEK_DATA), -1);
	CHECK_EQ(pread(fd, page, PAGE, 0), PAGE);
	CHECK(page_is(page, 0, 1));
	close(to);
	close(fd);
	check_returned(before);
}

/* More nodes that are not shared any more, and have the same, than are looked at in one go. */
static void what_is_the_same_again_is_passed_over(void)
{
	enum {
		LEAF = 16,
		LEAVES = 400,
		FIRST = 3,
		EVERY = 7,
		CHANGED = (LEAVES - FIRST + EVERY - 1) / EVERY
	};
	struct counts before = counts_now();
	int fd = object_open(), to;
	char *all = object_map(fd, LEAVES * LEAF * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_changed changed[CHANGED + 1];
	struct cowmem_diff diff;
	uint64_t next;

	for (uint64_t i = 0; i < LEAVES; i++)
		all[(i * LEAF + 1) * PAGE] = 1;
	to = snapshot(fd);
	for (uint64_t i = 0; i < LEAVES; i++) {
		all[(i * LEAF + 1) * PAGE] = 2;
		CHECK_EQ(restore_range(fd, to, (i * LEAF + 1) * PAGE, PAGE, &next), 0);
	}
	CHECK_EQ(diff_ask(fd, to, &diff, 0, LEAVES * LEAF, changed, CHANGED + 1), 0);
	CHECK_EQ(diff.count, 0);
	CHECK_EQ(SINCE(before, pages_compared), 0);
	for (uint64_t i = FIRST; i < LEAVES; i += EVERY)
		all[i * LEAF * PAGE] = 3;
	CHECK_EQ(diff_ask(fd, to, &diff, 0, LEAVES * LEAF, changed, CHANGED + 1), 0);
	CHECK_EQ(diff.count, CHANGED);
	CHECK_EQ(SINCE(before, pages_compared), CHANGED);
	for (uint64_t i = 0; i < diff.count; i++)
		CHECK_EQ(changed[i].offset, (FIRST + i * EVERY) * LEAF * PAGE);
	CHECK_EQ(restore_range(fd, to, 0, LEAVES * LEAF * PAGE, &next), 0);
	for (uint64_t i = 0; i < LEAVES; i++)
		CHECK(!all[i * LEAF * PAGE] && all[(i * LEAF + 1) * PAGE] == 1);
	CHECK(layers_are_sound(fd));
	munmap(all, LEAVES * LEAF * PAGE);
	close(to);
	close(fd);
	check_returned(before);
}

/* Who is killed in it leaves it where it is: what lies before that is restored, and the rest is not. */
static void it_can_be_killed(void)
{
	enum { MANY = 8192, ROUNDS = 50 };
	struct counts before = counts_now();
	uint64_t restored = MANY;

	/* It may be done before the signal comes. */
	for (int round = 0; round < ROUNDS && restored == MANY; round++) {
		int fd = object_open(), to;
		char *all = object_map(fd, MANY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		uint64_t next;
		pid_t child;

		for (uint64_t i = 0; i < MANY; i++)
			all[i * PAGE] = 1;
		to = snapshot(fd);
		for (uint64_t i = 0; i < MANY; i++)
			all[i * PAGE] = 2;
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(restore_range(fd, to, 0, MANY * PAGE, &next) ? 1 : 0);
		while (object_stat(fd).resident_pages == MANY)
			;
		MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
		restored = MANY - object_stat(fd).resident_pages;
		for (uint64_t i = 0; i < MANY; i++)
			CHECK_EQ(all[i * PAGE], i < restored ? 1 : 2);
		CHECK(layers_are_sound(fd));
		munmap(all, MANY * PAGE);
		close(to);
		close(fd);
	}
	CHECK(restored < MANY);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"ranges are restored and cloned as a model says", "", as_the_model_says},
		{"only what differs is unmapped", "", only_what_differs_is_unmapped},
		{"a range is cloned", "", a_range_is_cloned},
		{"size and growth stay", "", the_rest_stays},
		{"what is the same again is passed over", "",
	         what_is_the_same_again_is_passed_over},
		{"a long RESTORE of a range can be killed", "", it_can_be_killed},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
