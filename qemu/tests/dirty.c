// SPDX-License-Identifier: GPL-2.0
/*
 * PAGEMAP's DIRTY says of each place of an object whether that has changed since it was
 * cleared: by whatever way, and whatever is done between the change and the question.
 */
#include "absent.h"
#include "cgroup.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <linux/loop.h>
#include <pthread.h>
#include <sys/uio.h>

/*
 * Four kinds of places, of each one that is left alone and, behind those, one that is changed.
 * At the snapshot that is RESTOREd the object had nothing but what it shares, and OUT, written
 * since.
 */
enum kind { OWN, SHARED, HOLE, OUT, KINDS };
enum { PAGES = 2 * KINDS, CHANGED = KINDS };

static enum kind kind_of(unsigned int page)
{
	return page % KINDS;
}

struct object {
	int fd, then;
	unsigned char *map;
	int relative; /* that a turn made, or -1 */
};

static void write_byte(int fd, uint64_t page, unsigned char byte)
{
	MUST(pwrite(fd, &byte, 1, (off_t)(page * PAGE)) == 1);
}

static unsigned char byte_of(int fd, uint64_t page)
{
	unsigned char byte;

	MUST(pread(fd, &byte, 1, (off_t)(page * PAGE)) == 1);
	return byte;
}

static bool page_out_one(int fd, uint64_t page)
{
	struct cowmem_page_out out;

	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, page, 1));
	return out.out == 1;
}

/* Which pages are told as dirty, a bit for each. */
static unsigned int dirty_pages(int fd, uint32_t flags)
{
	struct cowmem_page state[PAGES];
	unsigned int dirty = 0;

	MUST(!pagemap_ask(fd, flags, 0, PAGES, state));
	for (unsigned int i = 0; i < PAGES; i++)
		dirty |= state[i].flags & COWMEM_PAGE_DIRTY ? 1U << i : 0;
	return dirty;
}

static unsigned int pages_of(unsigned int first, bool with_holes)
{
	unsigned int pages = 0;

	for (unsigned int i = first; i < PAGES; i++)
		pages |= with_holes || kind_of(i) != HOLE ? 1U << i : 0;
	return pages;
}

static void object_begin(struct object *o)
{
	*o = (struct object){.fd = object_open(), .relative = -1};
	MUST(!object_resize(o->fd, PAGES * PAGE));
	for (unsigned int i = 0; i < PAGES; i++)
		if (kind_of(i) == SHARED || kind_of(i) == OUT)
			write_byte(o->fd, i, 1);
	o->then = snapshot(o->fd);
	o->map = object_map(o->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (kind_of(i) == OWN || kind_of(i) == OUT)
			o->map[i * PAGE] = 2;
		if (kind_of(i) == SHARED)
			MUST(*(volatile unsigned char *)(o->map + i * PAGE) == 1);
		if (kind_of(i) == OUT)
			MUST(page_out_one(o->fd, i));
	}
}

static void object_end(struct object *o)
{
	if (o->relative >= 0)
		close(o->relative);
	munmap(o->map, PAGES * PAGE);
	close(o->then);
	close(o->fd);
}

/* --- what changes pages CHANGED and up --- */
static void store_to_mapping(struct object *o)
{
	for (unsigned int i = CHANGED; i < PAGES; i++)
		o->map[i * PAGE] = 3;
}

static void write_to_file(struct object *o)
{
	for (unsigned int i = CHANGED; i < PAGES; i++)
		write_byte(o->fd, i, 3);
}

/* By GUP, into a mapping that permits it to the process, page by page. */
static void write_to_process(struct object *o)
{
	unsigned char byte = 3;

	for (unsigned int i = CHANGED; i < PAGES; i++) {
		struct iovec from = {&byte, 1}, to = {o->map + i * PAGE, 1};

		MUST(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1);
	}
}

static void write_to_memory_file(struct object *o)
{
	int fd = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
	unsigned char byte = 3;

	MUST(fd >= 0);
	for (unsigned int i = CHANGED; i < PAGES; i++)
		MUST(pwrite(fd, &byte, 1, (off_t)(uintptr_t)(o->map + i * PAGE)) == 1);
	close(fd);
}

static void punch(struct object *o)
{
	MUST(!object_punch(o->fd, CHANGED * PAGE, (PAGES - CHANGED) * PAGE));
}

static void cut_off(struct object *o)
{
	MUST(!object_resize(o->fd, CHANGED * PAGE));
	MUST(!object_resize(o->fd, PAGES * PAGE));
}

static void go_back(struct object *o)
{
	MUST(!restore(o->fd, o->then));
}

static void go_back_in_part(struct object *o)
{
	uint64_t next;

	MUST(!restore_range(o->fd, o->then, CHANGED * PAGE, (PAGES - CHANGED) * PAGE, &next));
}

/* A block device of a file in memory. */
static int disk = -1;

static bool have_disk(void)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), backing, loop, number;
	static unsigned char threes[(PAGES - CHANGED) * PAGE];
	char path[64];

	if (control < 0)
		return false;
	number = ioctl(control, LOOP_CTL_GET_FREE);
	MUST(number >= 0);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	backing = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	loop = open(path, O_RDWR | O_CLOEXEC);
	memset(threes, 3, sizeof(threes));
	MUST(backing >= 0 && loop >= 0);
	MUST(write(backing, threes, sizeof(threes)) == sizeof(threes));
	MUST(!ioctl(loop, LOOP_SET_FD, backing));
	disk = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	MUST(disk >= 0 && !ioctl(loop, LOOP_CLR_FD, 0)); /* when the last who has it open is gone */
	close(loop);
	close(backing);
	close(control);
	return true;
}

static void read_directly(struct object *o)
{
	const size_t length = (PAGES - CHANGED) * PAGE;

	MUST(pread(disk, o->map + CHANGED * PAGE, length, 0) == (ssize_t)length);
}

static const struct change {
	const char *name;
	void (*make)(struct object *o);
	enum { WRITES, EMPTIES, RESTORES, RESTORES_PART } what;
} changes[] = {
	{"a store", store_to_mapping, WRITES},
	{"write()", write_to_file, WRITES},
	{"process_vm_writev()", write_to_process, WRITES},
	{"/proc/self/mem", write_to_memory_file, WRITES},
	{"O_DIRECT", read_directly, WRITES},
	{"PUNCH", punch, EMPTIES},
	{"RESIZE", cut_off, EMPTIES},
	{"RESTORE", go_back, RESTORES},
	{"RESTORE of a range", go_back_in_part, RESTORES_PART},
};

static unsigned int changed_by(const struct change *change)
{
	unsigned int pages = 0;

	switch (change->what) {
	case WRITES:
		return pages_of(CHANGED, true);
	case EMPTIES:
		return pages_of(CHANGED, false);
	case RESTORES:
	case RESTORES_PART:
		for (unsigned int i = change->what == RESTORES ? 0 : CHANGED; i < PAGES; i++)
			pages |= kind_of(i) == OWN || kind_of(i) == OUT ? 1U << i : 0;
	}
	return pages;
}

/* --- what is done then --- */
static void nothing(struct object *o)
{
	(void)o;
}

static void take_snapshot(struct object *o)
{
	o->relative = snapshot(o->fd);
}

static void take_clone(struct object *o)
{
	o->relative = clone_of(o->fd);
}

static void restore_to_now(struct object *o)
{
	o->relative = snapshot(o->fd);
	MUST(!restore(o->fd, o->relative));
}

/* What relatives have, too, stays. */
static void page_out(struct object *o)
{
	page_out_all(o->fd, PAGES);
	CHECK(!(page_state(o->fd, 0, 0).flags & COWMEM_PAGE_RESIDENT));
}

static void page_out_and_in(struct object *o)
{
	page_out(o);
	MUST(prefetch_ask(o->fd, 0, PAGES) >= 0);
}

static void page_out_and_take_snapshot(struct object *o)
{
	page_out(o);
	take_snapshot(o);
}

static void page_out_snapshot(struct object *o)
{
	o->relative = snapshot(o->fd);
	page_out_all(o->relative, PAGES);
}

static void page_out_snapshot_and_in(struct object *o)
{
	page_out_snapshot(o);
	MUST(prefetch_ask(o->fd, 0, PAGES) >= 0);
}

/* Its pages are the object's alone again, and may be its own. */
static void outlive_snapshot(struct object *o)
{
	const struct counts before = counts_now();

	page_out_snapshot(o);
	close(o->relative);
	o->relative = -1;
	CHECK(COMES(SINCE(before, objects_freed)));
	for (unsigned int i = 0; i < PAGES; i++)
		byte_of(o->fd, i);
}

static const struct turn {
	const char *name;
	void (*take)(struct object *o);
	bool exact; /* what was not changed is not told as dirty */
} turns[] = {
	{"nothing", nothing, true},
	{"SNAPSHOT", take_snapshot, true},
	{"CLONE", take_clone, true},
	{"RESTORE", restore_to_now, true},
	{"PAGE_OUT", page_out, true},
	{"PAGE_OUT and PREFETCH", page_out_and_in, true},
	{"PAGE_OUT and SNAPSHOT", page_out_and_take_snapshot, true},
	{"PAGE_OUT of a snapshot", page_out_snapshot, true},
	{"PAGE_OUT of a snapshot and PREFETCH", page_out_snapshot_and_in, true},
	{"a snapshot that goes", outlive_snapshot, false},
};

static void expect(const char *change, const char *turn, const char *when, unsigned int is,
                   unsigned int must, unsigned int may)
{
	if (!(must & ~is) && !(is & ~may))
		return;
	test_failed = true;
	ksft_print_msg("%s, then %s, %s: dirty are %#x, not %#x\n", change, turn, when, is, must);
}

/* All but the holes are news; when that is cleared, none is. */
static void clear(struct object *o, const char *change, const char *turn)
{
	const unsigned int all = pages_of(0, false);

	expect(change, turn, "at first", dirty_pages(o->fd, COWMEM_PAGEMAP_CLEAR_DIRTY), all, all);
	expect(change, turn, "cleared", dirty_pages(o->fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 0, 0);
}

static void ask(struct object *o, const char *change, const struct turn *turn, unsigned int changed)
{
	const unsigned int any = ~0U;

	expect(change, turn->name, "asked", dirty_pages(o->fd, 0), changed,
	       turn->exact ? changed : any);
	expect(change, turn->name, "asked and cleared",
	       dirty_pages(o->fd, COWMEM_PAGEMAP_CLEAR_DIRTY), changed,
	       turn->exact ? changed : any);
	expect(change, turn->name, "cleared again", dirty_pages(o->fd, 0), 0, 0);
}

static void change_is_told(const struct change *change, const struct turn *turn)
{
	struct object o;

	object_begin(&o);
	clear(&o, change->name, turn->name);
	change->make(&o);
	turn->take(&o);
	ask(&o, change->name, turn, changed_by(change));
	for (unsigned int i = 0; change->what == WRITES && i < PAGES; i++)
		CHECK_EQ(byte_of(o.fd, i), i >= CHANGED           ? 3
		                           : kind_of(i) == HOLE   ? 0
		                           : kind_of(i) == SHARED ? 1
		                                                  : 2);
	CHECK(layers_are_sound(o.fd));
	object_end(&o);
}

static void changes_are_told(void)
{
	const struct counts before = counts_now();

	have_disk(); /* from a file of tmpfs O_DIRECT copies, as write() does */
	for (unsigned int c = 0; c < ARRAY_LENGTH(changes); c++)
		for (unsigned int t = 0; t < ARRAY_LENGTH(turns); t++)
			if (changes[c].make != read_directly || disk >= 0)
				change_is_told(&changes[c], &turns[t]);
	if (disk >= 0)
		close(disk);
	check_returned(before);
}

/* No change: none is told. */
static void others_are_not_told(void)
{
	const struct counts before = counts_now();

	for (unsigned int t = 0; t < ARRAY_LENGTH(turns); t++) {
		struct object o;

		if (!turns[t].exact)
			continue;
		object_begin(&o);
		clear(&o, "nothing", turns[t].name);
		turns[t].take(&o);
		ask(&o, "nothing", &turns[t], 0);
		object_end(&o);
	}
	check_returned(before);
}

/* --- writes that are under way while it is cleared --- */
struct transfer {
	struct object *object;
	struct absent source;
	pthread_t thread;
};

enum { IN_FLIGHT = PAGES - CHANGED };

static void *transfer(void *argument)
{
	struct transfer *t = argument;
	struct iovec from = {t->source.at, IN_FLIGHT * PAGE},
		     to = {t->object->map + CHANGED * PAGE, IN_FLIGHT * PAGE};

	MUST(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == IN_FLIGHT * PAGE);
	return NULL;
}

/* Has the pages pinned to be written, when this returns. False: the kernel has no userfaultfd. */
static bool transfer_begin(struct transfer *t, struct object *o)
{
	t->object = o;
	if (!absent_begin(&t->source, IN_FLIGHT))
		return false;
	MUST(!pthread_create(&t->thread, NULL, transfer, t));
	absent_is_waited_for(&t->source);
	return true;
}

static void transfer_end(struct transfer *t)
{
	absent_comes(&t->source, 3);
	MUST(!pthread_join(t->thread, NULL));
	absent_end(&t->source);
}

/* What is pinned is told as dirty each time, and once more when it is not, since it was written. */
static void writes_in_flight_are_told(void)
{
	const struct counts before = counts_now();
	const unsigned int changed = pages_of(CHANGED, true);

	for (unsigned int t = 0; t < ARRAY_LENGTH(turns); t++) {
		struct transfer flight;
		struct object o;

		object_begin(&o);
		clear(&o, "in flight", turns[t].name);
		if (!transfer_begin(&flight, &o)) {
			object_end(&o);
			SKIP("this kernel has no userfaultfd");
		}
		for (int twice = 0; twice < 2; twice++)
			expect("in flight", turns[t].name, "cleared under way",
			       dirty_pages(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY), changed, changed);
		CHECK(page_state(o.fd, 0, CHANGED).flags & COWMEM_PAGE_PINNED);
		transfer_end(&flight);
		turns[t].take(&o);
		ask(&o, "in flight", &turns[t], changed);
		for (unsigned int i = CHANGED; i < PAGES; i++)
			CHECK_EQ(byte_of(o.fd, i), 3);
		object_end(&o);
	}
	check_returned(before);
}

/* --- what is cleared is not lost --- */
/* What a page that came back from the store was written by is told, cleared, and goes out again. */
static void cleared_pages_are_stored(void)
{
	const struct counts before = counts_now();
	struct object o;

	object_begin(&o);
	clear(&o, "a write to what came back", "PAGE_OUT");
	MUST(prefetch_ask(o.fd, 0, PAGES) >= 0);
	CHECK_EQ(store_stat(o.fd).slots, 2);
	o.map[OUT * PAGE] = 4;              /* a dirty entry */
	write_byte(o.fd, CHANGED + OUT, 4); /* a dirty page */
	CHECK_EQ(dirty_pages(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 1U << OUT | 1U << (CHANGED + OUT));
	CHECK_EQ(store_stat(o.fd).slots, 0); /* where they have what is old now */
	CHECK(layers_are_sound(o.fd));
	CHECK(page_out_one(o.fd, OUT) && page_out_one(o.fd, CHANGED + OUT));
	CHECK_EQ(SINCE(before, pages_reused), 0);
	CHECK_EQ(dirty_pages(o.fd, 0), 0);
	CHECK_EQ(byte_of(o.fd, OUT), 4);
	CHECK_EQ(byte_of(o.fd, CHANGED + OUT), 4);
	/* What was not written since goes out as it is. */
	MUST(prefetch_ask(o.fd, 0, PAGES) >= 0);
	CHECK_EQ(dirty_pages(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 0);
	CHECK(page_out_one(o.fd, OUT) && page_out_one(o.fd, CHANGED + OUT));
	CHECK_EQ(SINCE(before, pages_reused), 2);
	object_end(&o);
	check_returned(before);
}

/* A page that could not go out was not written by that. */
static void trying_is_no_change(void)
{
	struct cowmem_store_limit limit = {.size = sizeof(limit)};
	const struct counts before = counts_now();
	struct cowmem_page_out out;
	struct object o;

	object_begin(&o);
	MUST(prefetch_ask(o.fd, 0, PAGES) >= 0);
	o.map[OUT * PAGE] = o.map[(CHANGED + OUT) * PAGE] = 3; /* its slot is stale then */
	clear(&o, "nothing", "PAGE_OUT");
	MUST(!ioctl(o.fd, COWMEM_IOC_STORE_LIMIT, &limit));
	MUST(!page_out_ask(o.fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.full, 4);
	ask(&o, "nothing", &(struct turn){"PAGE_OUT of what stays", NULL, true}, 0);
	object_end(&o);
	check_returned(before);
}

/* A place that had nothing when it was cleared, and has nothing again, had something meanwhile. */
static void holes_are_told(void)
{
	const struct counts before = counts_now();
	const int fd = object_open();

	MUST(!object_resize(fd, PAGES * PAGE));
	CHECK_EQ(dirty_pages(fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 0);
	write_byte(fd, 1, 1);
	write_byte(fd, 2, 1);
	MUST(!object_punch(fd, 2 * PAGE, 2 * PAGE));
	CHECK_EQ(dirty_pages(fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 1U << 1 | 1U << 2);
	CHECK_EQ(dirty_pages(fd, COWMEM_PAGEMAP_CLEAR_DIRTY), 0);
	close(fd);
	check_returned(before);
}

/* Nor where they are in the store, or in memory again. */
static void relatives_changes_are_not_told(void)
{
	const struct counts before = counts_now();
	struct object o;
	int other;

	object_begin(&o);
	other = clone_of(o.fd);
	CHECK_EQ(dirty_pages(other, COWMEM_PAGEMAP_CLEAR_DIRTY), pages_of(0, false));
	store_to_mapping(&o);
	MUST(!object_punch(o.fd, 0, PAGE));
	CHECK_EQ(dirty_pages(other, 0), 0);
	page_out_snapshot(&o);
	CHECK_EQ(dirty_pages(other, 0), 0);
	MUST(!restore(o.fd, o.then));
	CHECK_EQ(dirty_pages(other, COWMEM_PAGEMAP_CLEAR_DIRTY), 0);
	/* What he writes himself is. */
	write_byte(other, 1, 5);
	CHECK_EQ(dirty_pages(other, 0), 1U << 1);
	close(other);
	object_end(&o);
	check_returned(before);
}

/* --- memory of the marks --- */
/* Places so far from each other that the marks of each take a node of the kernel's for themselves. */
enum { APART = 64 * 31, FAR = 4000 };

static void marks_beyond_an_end_set_by(int (*cut)(int fd, int then))
{
	const long enough = FAR * 512L; /* less than the nodes are */
	const uint64_t bytes = (uint64_t)FAR * APART * PAGE;
	const int fd = object_open();
	long before, with;
	int then;

	MUST(!object_resize(fd, 2 * APART * PAGE));
	then = snapshot(fd);
	MUST(!object_resize(fd, bytes));
	write_byte(fd, 3 * APART, 1);
	before = read_number(CGROUP "/memory.stat", "\nslab ");
	for (uint64_t i = 0; i < FAR; i++)
		CHECK_EQ(!!(page_state(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, i * APART).flags &
		            COWMEM_PAGE_DIRTY),
		         i == 3);
	CHECK(COMES((with = read_number(CGROUP "/memory.stat", "\nslab ")) > before + enough));
	MUST(!cut(fd, then));
	CHECK(COMES(read_number(CGROUP "/memory.stat", "\nslab ") < with - enough));
	/* It is told of what was cut off all the same, once, and of nothing before the end. */
	MUST(!object_resize(fd, bytes));
	for (int cleared = 0; cleared < 2; cleared++)
		CHECK_EQ(!!(page_state(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 3 * APART).flags &
		            COWMEM_PAGE_DIRTY),
		         !cleared);
	CHECK(!(page_state(fd, 0, APART).flags & COWMEM_PAGE_DIRTY));
	close(then);
	close(fd);
}

static int cut_by_resize(int fd, int then)
{
	return object_resize(fd, object_stat(then).bytes);
}

static void marks_beyond_an_end(void)
{
	marks_beyond_an_end_set_by(cut_by_resize);
	marks_beyond_an_end_set_by(restore);
}

static void marks_end_with_the_object(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();

	CHECK_EQ(run_in_cgroup("max", marks_beyond_an_end), 0);
	check_cgroup_goes(dying);
	check_returned(before);
}

/* --- answers that cannot be given --- */
enum { MANY = 200 };

static unsigned int count_dirty(int fd, uint32_t flags, uint64_t first, uint64_t pages)
{
	struct cowmem_page state[MANY];
	unsigned int count = 0;

	MUST(pages <= MANY && !pagemap_ask(fd, flags, first * PAGE, pages, state));
	for (uint64_t i = 0; i < pages; i++)
		count += !!(state[i].flags & COWMEM_PAGE_DIRTY);
	return count;
}

/* Room for @fit answers, and behind them nothing. */
static struct cowmem_page *room_for(unsigned int fit)
{
	char *room =
		mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(room != MAP_FAILED && !munmap(room + PAGE, PAGE));
	return (struct cowmem_page *)(room + PAGE) - fit;
}

/* How far a call comes that clears all and has room for @fit answers: those are whole. */
static uint64_t fails_behind(int fd, struct cowmem_page *room, unsigned int fit)
{
	struct cowmem_pagemap ask = {.size = sizeof(ask),
	                             .flags = COWMEM_PAGEMAP_CLEAR_DIRTY,
	                             .length = MANY * PAGE,
	                             .pages = (uintptr_t)room,
	                             .capacity = MANY};

	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PAGEMAP, &ask), EFAULT);
	CHECK(ask.next % PAGE == 0 && ask.next > 0 && ask.next <= fit * PAGE);
	for (uint64_t i = 0; i < ask.next / PAGE; i++)
		CHECK(room[i].flags & COWMEM_PAGE_DIRTY);
	return ask.next / PAGE;
}

static void answers_that_fail_lose_nothing(void)
{
	enum { NEW, WRITTEN, FROZEN, STORED, STATES };
	const struct counts before = counts_now();
	const unsigned int fit = 100; /* not a whole number of those that are told of at once */
	struct cowmem_page *room = room_for(fit);

	for (int state = NEW; state < STATES; state++) {
		const int fd = object_open();
		int then = -1;
		uint64_t told;

		for (int twice = 0; twice < 2; twice++) {
			for (uint64_t i = 0; i < MANY; i++)
				write_byte(fd, i, 1);
			if (state != NEW && !twice)
				CHECK_EQ(count_dirty(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, MANY),
				         MANY);
		}
		if (state == FROZEN)
			then = snapshot(fd);
		if (state == STORED)
			CHECK_EQ(page_out_all(fd, MANY), MANY);
		told = fails_behind(fd, room, fit);
		CHECK_EQ(count_dirty(fd, 0, 0, told), 0);
		CHECK_EQ(count_dirty(fd, 0, told, MANY - told), MANY - told);
		CHECK_EQ(count_dirty(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, told, MANY - told),
		         MANY - told);
		CHECK_EQ(count_dirty(fd, 0, 0, MANY), 0);
		if (then >= 0)
			close(then);
		close(fd);
	}
	munmap((void *)((uintptr_t)room & -PAGE), PAGE);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"each change is told, whatever comes then", "", changes_are_told},
	{"where nothing changed, nothing is told", "", others_are_not_told},
	{"writes under way while it is cleared are told", "", writes_in_flight_are_told},
	{"what is cleared goes to the store all the same", "", cleared_pages_are_stored},
	{"a page that cannot go out is not changed by that", "", trying_is_no_change},
	{"what a hole had meanwhile is told", "", holes_are_told},
	{"what relatives change is not told", "", relatives_changes_are_not_told},
	{"beyond an object's end marks take no memory", "", marks_end_with_the_object},
	{"answers that cannot be given lose nothing", "", answers_that_fail_lose_nothing},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
