// SPDX-License-Identifier: GPL-2.0
/*
 * The pages that differ between two objects of a family: which are listed, in what pieces,
 * what that costs, and that an old copy with these pages read anew is a new copy.
 */
#include "answers.h"
#include "counts.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <pthread.h>
#include <stdatomic.h>

#define PAGES 16UL
#define BACKING_FILE "/tmp/diff-backing"

/* What DIFF says of a page. */
enum { SAME = '.', CHANGED = 'x', HOLE = 'o' };

/* Asks from page to page, @capacity ranges at a time: a letter for each of the first @pages. */
static void letters_of(int fd, int other, uint32_t capacity, uint64_t pages, char *letters)
{
	static struct cowmem_changed range[64];
	struct cowmem_changed last = {0};

	MUST(capacity <= ARRAY_LENGTH(range));
	memset(letters, SAME, pages);
	letters[pages] = 0;
	for (uint64_t at = 0; at < pages;) {
		struct cowmem_diff diff;

		MUST(!diff_ask(fd, other, &diff, at, pages - at, range, capacity));
		MUST(diff.count <= capacity && diff.next % PAGE == 0);
		MUST(diff.next > at * PAGE && diff.next <= pages * PAGE);
		for (uint32_t i = 0; i < diff.count; i++) {
			const struct cowmem_changed *r = &range[i];
			const bool touches = last.length && r->offset == last.offset + last.length;

			MUST(r->offset >= at * PAGE && r->offset >= last.offset + last.length);
			MUST(r->length && r->length % PAGE == 0 && r->offset % PAGE == 0);
			MUST(r->offset + r->length <= diff.next);
			CHECK_EQ(r->flags & ~COWMEM_CHANGED_HOLE, 0);
			CHECK_EQ(r->__reserved, 0);
			/* Neighbours are one range. */
			CHECK(!touches || r->flags != last.flags);
			memset(letters + r->offset / PAGE,
			       r->flags & COWMEM_CHANGED_HOLE ? HOLE : CHANGED, r->length / PAGE);
			last = *r;
		}
		at = diff.next / PAGE;
	}
}

/* That it says so, with room for @capacity ranges at a time. */
static void check_pieces(int fd, int other, uint32_t capacity, const char *expected)
{
	char letters[64];

	letters_of(fd, other, capacity, strlen(expected), letters);
	if (!strcmp(letters, expected))
		return;
	test_failed = true;
	ksft_print_msg("%u at a time: %s, not %s\n", capacity, letters, expected);
}

/* However much room there is. */
static void check_diff(int fd, int other, const char *expected)
{
	check_pieces(fd, other, 1, expected);
	check_pieces(fd, other, 2, expected);
	check_pieces(fd, other, 64, expected);
}

static char *filled(int *fd)
{
	char *map;

	*fd = object_open();
	MUST(!object_resize(*fd, PAGES * PAGE));
	map = object_map(*fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (uint64_t i = 0; i < PAGES; i++)
		fill_page(map + i * PAGE, i, 1);
	return map;
}

static void change(char *map, uint64_t index)
{
	fill_page(map + index * PAGE, index, 2);
}

static void let_go(int fd, char *map)
{
	munmap(map, PAGES * PAGE);
	close(fd);
}

static void the_bytes_decide(void)
{
	struct counts before = counts_now();
	int fd, then;
	char *map = filled(&fd), page[PAGE] = {0};

	MUST(!object_punch(fd, 12 * PAGE, 4 * PAGE));
	then = snapshot(fd);
	check_diff(fd, then, "................");
	change(map, 1);
	MUST(pwrite(fd, "other", 5, 2 * PAGE) == 5);
	fill_page(map + 3 * PAGE, 3, 1); /* as it was */
	map[5 * PAGE - 1] ^= 1;
	MUST(!object_punch(fd, 5 * PAGE, 2 * PAGE));
	memset(map + 7 * PAGE, 0, PAGE);
	map[8 * PAGE] ^= 1;
	MUST(!object_punch(fd, 9 * PAGE, PAGE));
	fill_page(map + 9 * PAGE, 9, 1); /* as it was, from a hole */
	MUST(pwrite(fd, page, PAGE, 12 * PAGE) == (ssize_t)PAGE);
	change(map, 13);
	CHECK_EQ(map[14 * PAGE], 0); /* takes a page */
	check_diff(fd, then, ".xx.xooxx....x..");
	check_diff(then, fd, ".xx.xxxxx....o..");
	check_diff(fd, fd, "................");
	check_diff(then, then, "................");
	close(then);
	let_go(fd, map);
	check_returned(before);
}

/* What lies behind a cut is gone, though the layer that both see has it. */
static void cuts(void)
{
	struct counts before = counts_now();
	int fd, then, copy;
	char *map = filled(&fd);

	then = snapshot(fd);
	copy = clone_of(then);
	MUST(!object_resize(fd, 10 * PAGE + 100));
	check_diff(fd, then, "..........xooooo");
	check_diff(then, fd, "..........xxxxxx");
	MUST(!object_resize(fd, PAGES * PAGE));
	check_diff(fd, then, "..........xooooo");
	change(map, 12);
	check_diff(fd, then, "..........xoxooo");
	MUST(!object_resize(copy, 4 * PAGE));
	check_diff(fd, copy, "....xxxxxxx.x...");
	check_diff(copy, fd, "....ooooooo.o...");
	MUST(!object_resize(copy, PAGES * PAGE));
	MUST(pwrite(copy, "new", 3, 14 * PAGE) == 3);
	check_diff(fd, copy, "....xxxxxxx.x.o.");
	check_diff(copy, fd, "....ooooooo.o.x.");
	check_diff(copy, then, "....ooooooooooxo");
	close(copy);
	close(then);
	let_go(fd, map);
	check_returned(before);
}

static void relatives_of_all_kinds(void)
{
	struct counts before = counts_now();
	int fd, s[3], copy, empty = object_open(), twin;
	char *map = filled(&fd);

	for (int i = 0; i < 3; i++) {
		s[i] = snapshot(fd);
		change(map, 2 * i + 1);
	}
	check_diff(s[1], s[0], ".x..............");
	check_diff(s[0], s[1], ".x..............");
	check_diff(s[2], s[0], ".x.x............");
	check_diff(fd, s[0], ".x.x.x..........");
	copy = clone_of(s[1]);
	MUST(pwrite(copy, "copy", 4, 9 * PAGE) == 4);
	check_diff(copy, s[2], "...x.....x......");
	check_diff(fd, copy, "...x.x...x......");
	/* The layer between goes, and what it had is part of another. */
	close(s[1]);
	check_diff(s[2], s[0], ".x.x............");
	check_diff(copy, s[0], ".x.......x......");
	MUST(!restore(fd, s[0]));
	check_diff(fd, s[0], "................");
	check_diff(fd, s[2], ".x.x............");
	change(map, 1);
	check_diff(fd, s[2], "...x............");
	/* With nothing above them that both see. */
	twin = clone_of(empty);
	MUST(pwrite(empty, "same", 4, 0) == 4 && pwrite(twin, "same", 4, 0) == 4);
	MUST(pwrite(empty, "here", 4, 2 * PAGE) == 4 && pwrite(twin, "there", 5, 2 * PAGE) == 5);
	MUST(pwrite(twin, "more", 4, 3 * PAGE) == 4);
	check_diff(empty, twin, "..xo");
	check_diff(twin, empty, "..xx");
	close(twin);
	close(empty);
	close(copy);
	close(s[2]);
	close(s[0]);
	let_go(fd, map);
	check_returned(before);
}

static void with_little_room(void)
{
	struct cowmem_changed range[2] = {0};
	struct cowmem_diff diff;
	int fd, then;
	char *map = filled(&fd);

	then = snapshot(fd);
	change(map, 3);
	change(map, 4);
	change(map, 7);
	MUST(!object_punch(fd, 8 * PAGE, PAGE));
	/* None: where the first is. */
	CHECK_EQ(diff_ask(fd, then, &diff, 0, PAGES, NULL, 0), 0);
	CHECK_EQ(diff.count, 0);
	CHECK_EQ(diff.next, 3 * PAGE);
	CHECK_EQ(diff_ask(fd, then, &diff, 0, PAGES, range, 1), 0);
	CHECK_EQ(diff.count, 1);
	CHECK_EQ(diff.next, 7 * PAGE);
	CHECK_EQ(range[0].offset, 3 * PAGE);
	CHECK_EQ(range[0].length, 2 * PAGE);
	CHECK_EQ(range[1].length, 0); /* nothing is written behind its end */
	CHECK_EQ(diff_ask(fd, then, &diff, 7, PAGES - 7, range, 1), 0);
	CHECK_EQ(diff.next, 8 * PAGE);
	CHECK_EQ(diff_ask(fd, then, &diff, 8, PAGES - 8, range, 1), 0);
	CHECK_EQ(diff.count, 1);
	CHECK_EQ(range[0].flags, COWMEM_CHANGED_HOLE);
	CHECK_EQ(diff.next, PAGES * PAGE);
	/* A range that ends among changed pages, and one far beyond all that there is. */
	CHECK_EQ(diff_ask(fd, then, &diff, 4, 1, range, 2), 0);
	CHECK_EQ(diff.count, 1);
	CHECK_EQ(range[0].offset, 4 * PAGE);
	CHECK_EQ(range[0].length, PAGE);
	CHECK_EQ(diff_ask(fd, then, &diff, 9, (1ULL << 51) - 10, range, 2), 0);
	CHECK_EQ(diff.count, 0);
	CHECK_EQ(diff.next, ((1ULL << 51) - 1) * PAGE);
	close(then);
	let_go(fd, map);
}

static void bad_arguments(void)
{
	static const uint64_t bad[][2] = {{1, 1},        {0, 0},        {0, PAGE - 1},  {100, PAGE},
	                                  {-PAGE, PAGE}, {PAGE, -PAGE}, {0, 1ULL << 63}};
	struct cowmem_changed range;
	struct cowmem_diff diff;
	int fd, then, other = object_open(), null = open("/dev/null", O_RDWR | O_CLOEXEC), gone;
	char *map = filled(&fd);

	then = snapshot(fd);
	gone = snapshot(fd);
	close(gone);
	change(map, 1);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		diff = (struct cowmem_diff){
			.size = sizeof(diff), .offset = bad[i][0], .length = bad[i][1], .fd = then};
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_DIFF, &diff), EINVAL);
	}
	CHECK_EQ(diff_ask(fd, other, &diff, 0, PAGES, &range, 1), -EINVAL);
	CHECK_EQ(diff_ask(fd, null, &diff, 0, PAGES, &range, 1), -EINVAL);
	CHECK_EQ(diff_ask(fd, gone, &diff, 0, PAGES, &range, 1), -EBADF);
	CHECK_EQ(diff_ask(fd, -1, &diff, 0, PAGES, &range, 1), -EBADF);
	CHECK_EQ(diff_ask(fd, then, &diff, 0, PAGES, (void *)8, 1), -EFAULT);
	CHECK_EQ(diff_ask(fd, then, &diff, 0, 1, (void *)8, 1), 0); /* nothing to tell */
	CHECK_EQ(diff.count, 0);
	diff.__reserved = 1;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_DIFF, &diff), EINVAL);
	close(null);
	close(other);
	close(then);
	let_go(fd, map);
}

/* --- paged out --- */
/* Pages of all kinds that the store makes a difference between, and a hole. */
static void pattern(void *page, unsigned int value)
{
	unsigned char *byte = page;

	memset(page, value % 4 ? 0 : (int)value / 4, PAGE);
	if (value % 4 == 1)
		byte[PAGE - 1] = (unsigned char)value;
	if (value % 4 == 2)
		fill_page(page, value, 1);
	if (value % 4 == 3)
		for (uint64_t i = 0, x = value; i < PAGE; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			byte[i] = (unsigned char)x;
		}
}

static uint64_t pages_out(int fd)
{
	struct cowmem_page page[PAGES];
	uint64_t count = 0;

	MUST(!pagemap_ask(fd, 0, 0, PAGES, page));
	for (uint64_t i = 0; i < PAGES; i++)
		count += (page[i].flags & (COWMEM_PAGE_PAGED_OUT | COWMEM_PAGE_RESIDENT)) ==
		         COWMEM_PAGE_PAGED_OUT;
	return count;
}

static void stays_out(void)
{
	struct counts before = counts_now();
	int fd, then, file = open(BACKING_FILE, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char *map = filled(&fd);

	MUST(file >= 0 && !ftruncate(file, 4 * PAGES * PAGE));
	close(file); /* with somebody to write it, it is no backing store */
	parameter_set("backing", BACKING_FILE);
	for (unsigned int i = 0; i < PAGES; i++)
		pattern(map + i * PAGE, i);
	then = snapshot(fd);
	/* Two of each kind: one as it was, the other not. Zeroes are the first. */
	for (unsigned int i = 0; i < PAGES; i++)
		pattern(map + i * PAGE, i < 8 ? i : i + 4);
	MUST(!object_punch(fd, 15 * PAGE, PAGE));
	CHECK_EQ(page_out_all(fd, PAGES), PAGES - 1);
	CHECK_EQ(page_out_all(then, PAGES), PAGES);
	CHECK_EQ(pages_out(fd), PAGES - 1);
	CHECK_EQ(pages_out(then), PAGES);
	CHECK(store_stat(fd).same_filled >= 4 && store_stat(fd).bytes > 0);
	CHECK(store_stat(fd).backing_slots >= 3 && store_stat(then).backing_slots >= 4);
	check_diff(fd, then, "........xxxxxxxo");
	check_diff(then, fd, "........xxxxxxxx");
	CHECK_EQ(SINCE(before, pages_brought_in), 0);
	CHECK_EQ(pages_out(fd), PAGES - 1);
	CHECK_EQ(pages_out(then), PAGES);
	CHECK(SINCE(before, backing_read) > 0);
	/* One side in memory. */
	MUST(prefetch_ask(fd, 0, PAGES) == PAGES - 1);
	check_diff(fd, then, "........xxxxxxxo");
	check_diff(then, fd, "........xxxxxxxx");
	CHECK_EQ(pages_out(then), PAGES);
	close(then);
	let_go(fd, map);
	check_returned(before);
	parameter_set("backing", "\n");
	unlink(BACKING_FILE);
}

static void damaged_pages_are_listed(void)
{
	int fd, then;
	char *map = filled(&fd);

	if (poison_ask(fd, PAGES) == -EOPNOTSUPP)
		SKIP("this kernel does not know damaged memory");
	then = snapshot(fd);
	fill_page(map + 5 * PAGE, 5, 1);
	fill_page(map + 6 * PAGE, 6, 1);
	check_diff(fd, then, "................");
	MUST(poison_ask(fd, 5) == 1);
	check_diff(fd, then, ".....x..........");
	check_diff(then, fd, ".....x..........");
	close(then);
	let_go(fd, map);
}

/* --- what it costs --- */
static void cost_follows_what_was_written(void)
{
	const uint64_t all = (1UL << 30) / PAGE, step = 509;
	struct cowmem_changed range[64];
	struct cowmem_diff diff;
	struct counts before;
	int fd = object_open(), then, copy;
	uint64_t written = 0;

	MUST(!object_resize(fd, all * PAGE));
	for (uint64_t i = 0; i < all; i += step)
		MUST(pwrite(fd, &i, sizeof(i), i * PAGE) == sizeof(i));
	then = snapshot(fd);
	copy = clone_of(fd);
	for (uint64_t i = 7; i < all; i += all / 40, written++)
		MUST(pwrite(fd, "here", 4, i * PAGE) == 4);
	before = counts_now();
	CHECK_EQ(diff_ask(fd, then, &diff, 0, all, range, 64), 0);
	CHECK_EQ(diff.count, written);
	CHECK_EQ(diff.next, all * PAGE);
	CHECK_EQ(SINCE(before, pages_compared), written);
	/* Written in either, once in both. */
	MUST(pwrite(copy, "there", 5, 0) == 5 && pwrite(copy, "there", 5, 7 * PAGE) == 5);
	before = counts_now();
	CHECK_EQ(diff_ask(copy, fd, &diff, 0, all, range, 64), 0);
	CHECK_EQ(diff.count, written + 1);
	CHECK_EQ(SINCE(before, pages_compared), written + 1);
	before = counts_now();
	CHECK_EQ(diff_ask(copy, then, &diff, 0, all, range, 64), 0);
	CHECK_EQ(SINCE(before, pages_compared), 2);
	close(copy);
	close(then);
	close(fd);
}

/* --- an incremental checkpoint --- */
static void some_deeds(int fd, char *map)
{
	uint64_t size = object_stat(fd).bytes;

	for (int i = 0; i < 6; i++) {
		const uint64_t at = random_below(PAGES) * PAGE;

		switch (random_below(5)) {
		case 0:
			MUST(!object_punch(fd, at, PAGE));
			break;
		case 1:
			page_out_all(fd, PAGES);
			break;
		case 2:
			if (random_below(3) == 0)
				size = 1 + random_below(PAGES * PAGE);
			MUST(!object_resize(fd, size));
			break;
		default:
			if (at + PAGE <= size)
				pattern(map + at, random_below(40));
			break;
		}
	}
}

/* Makes @copy, which is as @then, as @now. How many bytes were read for that. */
static uint64_t bring_up_to_date(int copy, int now, int then)
{
	struct cowmem_changed range[4];
	struct cowmem_diff diff = {.next = 0};
	uint64_t bytes = 0;
	char page[PAGE];

	MUST(!ftruncate(copy, (off_t)object_stat(now).bytes));
	while (diff.next < PAGES * PAGE) {
		const uint64_t at = diff.next / PAGE;

		MUST(!diff_ask(now, then, &diff, at, PAGES - at, range, ARRAY_LENGTH(range)));
		for (uint32_t i = 0; i < diff.count; i++) {
			off_t offset = (off_t)range[i].offset,
			      end = offset + (off_t)range[i].length;

			if (range[i].flags & COWMEM_CHANGED_HOLE) {
				MUST(!fallocate(copy, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				                offset, end - offset));
				continue;
			}
			for (; offset < end; offset += PAGE) {
				const ssize_t got = pread(now, page, PAGE, offset);

				MUST(got > 0 && pwrite(copy, page, got, offset) == got);
				bytes += got;
			}
		}
	}
	return bytes;
}

static bool same_content(int a, int b)
{
	char x[PAGE], y[PAGE];

	for (off_t at = 0;; at += PAGE) {
		const ssize_t got = pread(a, x, PAGE, at);

		MUST(got >= 0);
		if (pread(b, y, PAGE, at) != got || memcmp(x, y, got))
			return false;
		if (!got)
			return true;
	}
}

static void incremental_checkpoint(void)
{
	enum { ROUNDS = 150 };
	struct counts before = counts_now();
	int fd, copy = memfd_create("copy", MFD_CLOEXEC), then, now;
	char *map = filled(&fd);
	uint64_t read = 0, all = 0;

	then = snapshot(fd);
	MUST(copy >= 0 && write(copy, map, PAGES * PAGE) == PAGES * PAGE);
	CHECK(same_content(copy, then));
	for (unsigned int round = 0; round < fewer_if_debug(ROUNDS) && !test_failed; round++) {
		some_deeds(fd, map);
		now = snapshot(fd);
		some_deeds(fd, map);
		read += bring_up_to_date(copy, now, then);
		all += object_stat(now).bytes;
		CHECK(same_content(copy, now));
		close(then);
		then = now;
	}
	CHECK(read > 0 && read < all / 2);
	ksft_print_msg("%lu of %lu KiB read\n", (long)read / 1024, (long)all / 1024);
	close(copy);
	close(then);
	let_go(fd, map);
	check_returned(before);
}

/* --- while it is in use --- */
enum {
	WRITTEN = 4,
	ONCE = 8, /* pages before the first are being written, before the second were */
	LEAST_ROUNDS = 300,
	MOST_ROUNDS = 100000
};

static _Atomic bool stop;
static _Atomic int frozen; /* how often */
static int in_use;

static void *go_on_writing(void *argument)
{
	char *map = argument;

	for (uint64_t n = 0; !atomic_load(&stop); n++) {
		map[n % WRITTEN * PAGE + n % PAGE] ^= 1;
		if (n % 64 == 0)
			MUST(!object_punch(in_use, n / 64 % WRITTEN * PAGE, PAGE));
	}
	return NULL;
}

static void *go_on_freezing(void *argument)
{
	struct cowmem_page_out out;

	(void)argument;
	while (!atomic_load(&stop)) {
		close(atomic_fetch_add(&frozen, 1) % 2 ? snapshot(in_use) : clone_of(in_use));
		usleep(200);
		MUST(!page_out_ask(in_use, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	}
	return NULL;
}

/* Only what was written since it was last frozen goes out: on a busy machine that takes more rounds. */
static bool was_used(struct counts before)
{
	return atomic_load(&frozen) >= 20 && SINCE(before, pages_paged_out) > 0;
}

static void while_it_is_in_use(void)
{
	struct counts before = counts_now();
	int then;
	char *map = filled(&in_use), letters[PAGES + 1];
	pthread_t threads[2];

	then = snapshot(in_use);
	for (uint64_t i = WRITTEN; i < ONCE; i++)
		change(map, i);
	MUST(!object_punch(in_use, ONCE * PAGE, PAGE));
	atomic_store(&stop, false);
	MUST(!pthread_create(&threads[0], NULL, go_on_writing, map));
	MUST(!pthread_create(&threads[1], NULL, go_on_freezing, NULL));
	for (int round = 0;
	     !test_failed && (round < LEAST_ROUNDS || (!was_used(before) && round < MOST_ROUNDS));
	     round++) {
		letters_of(in_use, then, PAGES, PAGES, letters);
		CHECK(!strcmp(letters + WRITTEN, "xxxxo......."));
		letters_of(then, in_use, PAGES, PAGES, letters);
		CHECK(!strcmp(letters + WRITTEN, "xxxxx......."));
	}
	atomic_store(&stop, true);
	for (int i = 0; i < 2; i++)
		MUST(!pthread_join(threads[i], NULL));
	CHECK(was_used(before));
	close(then);
	let_go(in_use, map);
	check_returned(before);
}

/* --- a model --- */
enum { OBJECTS = 6, MODEL_PAGES = 24, DEEDS = 3000 };

static struct model {
	int fd;
	unsigned char *map;
	bool sealed;
	uint64_t size;
	unsigned char bytes[MODEL_PAGES * PAGE];
} model[OBJECTS];

static unsigned int model_differences, model_holes;

static void model_drop(int i)
{
	munmap(model[i].map, MODEL_PAGES * PAGE);
	close(model[i].fd);
	model[i].fd = -1;
}

static void model_map(int i)
{
	model[i].map = object_map(model[i].fd, MODEL_PAGES * PAGE,
	                          PROT_READ | (model[i].sealed ? 0 : PROT_WRITE), MAP_SHARED);
}

static void model_relative(int i, bool seal)
{
	int to = 0;

	while (to < OBJECTS && model[to].fd >= 0)
		to++;
	if (to == OBJECTS)
		return;
	model[to] = model[i];
	model[to].fd = seal ? snapshot(model[i].fd) : clone_of(model[i].fd);
	model[to].sealed = seal;
	model_map(to);
}

static int model_alive(void)
{
	int alive = 0;

	for (int i = 0; i < OBJECTS; i++)
		alive += model[i].fd >= 0;
	return alive;
}

static void model_restore(int i)
{
	for (int j = 0; j < OBJECTS; j++) {
		if (model[j].fd < 0 || !model[j].sealed || random_below(2))
			continue;
		MUST(!restore(model[i].fd, model[j].fd));
		memcpy(model[i].bytes, model[j].bytes, sizeof(model[i].bytes));
		model[i].size = model[j].size;
		return;
	}
}

static void model_resize(int i, uint64_t size)
{
	MUST(!object_resize(model[i].fd, size));
	if (size < model[i].size)
		memset(model[i].bytes + size, 0, model[i].size - size);
	model[i].size = size;
}

static void model_write(int i, uint64_t at, const void *bytes, uint64_t length)
{
	if (at >= model[i].size)
		return;
	if (length > model[i].size - at)
		length = model[i].size - at;
	memcpy(model[i].bytes + at, bytes, length);
	if (random_below(2))
		memcpy(model[i].map + at, bytes, length);
	else
		MUST(pwrite(model[i].fd, bytes, length, (off_t)at) == (ssize_t)length);
}

/* That @i has what the model says; what was a hole has a page afterwards. */
static void model_read(int i)
{
	CHECK(!memcmp(model[i].map, model[i].bytes, model[i].size));
}

static void model_step(void)
{
	const int i = (int)random_below(OBJECTS);
	const uint64_t page = random_below(MODEL_PAGES),
		       count = 1 + random_below(MODEL_PAGES - page);
	struct cowmem_page_out out;
	unsigned char bytes[PAGE];

	if (model[i].fd < 0)
		return;
	switch (random_below(16)) {
	case 0:
		model_relative(i, true);
		return;
	case 1:
		model_relative(i, false);
		return;
	case 2:
		if (model_alive() > 2)
			model_drop(i);
		return;
	case 3:
		MUST(prefetch_ask(model[i].fd, page, count) >= 0);
		return;
	case 4:
		if (random_below(4) == 0)
			model_read(i);
		return;
	}
	if (model[i].sealed) {
		if (random_below(4) == 0)
			MUST(!page_out_ask(model[i].fd, &out, COWMEM_PAGE_OUT_ACCESSED, page,
			                   count));
		return;
	}
	switch (random_below(10)) {
	case 0:
		model_restore(i);
		break;
	case 1:
	case 2:
		MUST(!page_out_ask(model[i].fd, &out, COWMEM_PAGE_OUT_ACCESSED, page, count));
		break;
	case 3:
		MUST(!object_punch(model[i].fd, page * PAGE, count * PAGE));
		memset(model[i].bytes + page * PAGE, 0, count * PAGE);
		break;
	case 4:
		if (random_below(4) == 0)
			model_resize(i, random_below(3) ? MODEL_PAGES * PAGE
			                                : random_below(MODEL_PAGES * PAGE));
		break;
	case 5: /* as it is */
		model_write(i, page * PAGE, memcpy(bytes, model[i].bytes + page * PAGE, PAGE),
		            PAGE);
		break;
	case 6:
		bytes[0] = (unsigned char)random_below(3);
		model_write(i, page * PAGE + random_below(PAGE), bytes, 1);
		break;
	default: /* so few that others have the same by chance */
		pattern(bytes, random_below(12));
		model_write(i, page * PAGE, bytes, PAGE);
		break;
	}
}

/* The bytes as the model has them, the holes as PAGEMAP. */
static void model_check(int here, int there)
{
	struct cowmem_page page[MODEL_PAGES];
	char expected[MODEL_PAGES + 1] = "";

	MUST(!pagemap_ask(model[here].fd, 0, 0, MODEL_PAGES, page));
	for (uint64_t i = 0; i < MODEL_PAGES; i++) {
		const bool same =
			!memcmp(model[here].bytes + i * PAGE, model[there].bytes + i * PAGE, PAGE);
		const bool is_hole =
			!(page[i].flags &
		          (COWMEM_PAGE_RESIDENT | COWMEM_PAGE_PAGED_OUT | COWMEM_PAGE_SHARED));

		expected[i] = same ? SAME : is_hole ? HOLE : CHANGED;
		model_differences += !same;
		model_holes += expected[i] == HOLE;
	}
	check_pieces(model[here].fd, model[there].fd, 1U << random_below(7), expected);
}

static void as_the_model_says(void)
{
	struct counts before = counts_now();

	for (int i = 0; i < OBJECTS; i++)
		model[i].fd = -1;
	model[0] = (struct model){.fd = object_open(), .size = MODEL_PAGES * PAGE};
	MUST(!object_resize(model[0].fd, model[0].size));
	model_map(0);
	for (unsigned int deed = 0; deed < fewer_if_debug(DEEDS) && !test_failed; deed++) {
		model_step();
		for (int i = 0; i < OBJECTS && deed % 15 == 0; i++)
			for (int j = 0; j < OBJECTS; j++)
				if (model[i].fd >= 0 && model[j].fd >= 0)
					model_check(i, j);
	}
	for (int i = 0; i < OBJECTS; i++)
		if (model[i].fd >= 0)
			model_read(i);
	ksft_print_msg("%u differences, %u of them holes, %lu compared; %lu paged out, "
	               "%lu restored\n",
	               model_differences, model_holes, SINCE(before, pages_compared),
	               SINCE(before, pages_paged_out), SINCE(before, restores));
	CHECK(model_differences > fewer_if_debug(5000));
	CHECK(model_holes > (debug_kernel() ? 125 : 1000));
	CHECK(SINCE(before, pages_paged_out) > fewer_if_debug(300));
	CHECK(SINCE(before, restores) > fewer_if_debug(10));
	for (int i = 0; i < OBJECTS; i++)
		if (model[i].fd >= 0)
			model_drop(i);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"the bytes decide", "", the_bytes_decide},
		{"what was cut off", "", cuts},
		{"snapshots, clones, and what was restored", "", relatives_of_all_kinds},
		{"resumed, with little room", "", with_little_room},
		{"bad arguments are refused", "", bad_arguments},
		{"what is paged out stays out", "", stays_out},
		{"damaged pages are listed", "", damaged_pages_are_listed},
		{"what it costs follows what was written", "", cost_follows_what_was_written},
		{"an incremental checkpoint", "", incremental_checkpoint},
		{"while it is in use", "", while_it_is_in_use},
		{"everything as a model says", "", as_the_model_says},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
