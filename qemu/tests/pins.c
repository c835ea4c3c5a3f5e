// SPDX-License-Identifier: GPL-2.0
/*
 * Objects whose memory devices may write for long (COWMEM_CREATE_PINNABLE). A registered buffer of
 * io_uring pins the pages of a shared mapping, and what a request reads goes to these pages, whatever
 * has become of the mapping's entries. So each case looks at both sides, the object's and a snapshot's
 * or relative's, after the CPU and the pin have written.
 */
#include "absent.h"
#include "counts.h"
#include "relatives.h"
#include "ring.h"
#include "store.h"

#include <linux/fs.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/uio.h>

enum { PAGES = 16 };
#define BYTES (PAGES * PAGE)
#define NO_PINS "this kernel's io_uring takes no mapping of a file for a registered buffer"

/* --- an object, mapped, and what is in it --- */
struct object {
	int fd;
	unsigned char *map;
};

static int create_pinnable(void)
{
	const int device = object_open(), fd = object_create_pinnable(device);

	MUST(fd >= 0);
	close(device);
	return fd;
}

static unsigned char *map_shared(int fd)
{
	return object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
}

static void fill(unsigned char *map, unsigned int generation)
{
	for (unsigned int i = 0; i < PAGES; i++)
		fill_page(map + i * PAGE, i, generation);
}

/* Of @fd, with PAGES pages that the CPU wrote: generation 1. */
static struct object begin_with(int fd)
{
	struct object o = {.fd = fd};

	MUST(!ftruncate(fd, BYTES));
	o.map = map_shared(fd);
	fill(o.map, 1);
	return o;
}

static struct object begin(void)
{
	return begin_with(create_pinnable());
}

static void end(struct object *o)
{
	munmap(o->map, BYTES);
	close(o->fd);
}

/* Whether read() finds @generation in the pages from @first to before @stop. */
static bool reads(int fd, unsigned int generation, unsigned int first, unsigned int stop)
{
	unsigned char page[PAGE];

	for (unsigned int i = first; i < stop; i++)
		if (pread(fd, page, PAGE, (off_t)(i * PAGE)) != (ssize_t)PAGE ||
		    !page_is(page, i, generation))
			return false;
	return true;
}

static bool all_read(int fd, unsigned int generation)
{
	return reads(fd, generation, 0, PAGES);
}

static bool all_are(const unsigned char *map, unsigned int generation)
{
	for (unsigned int i = 0; i < PAGES; i++)
		if (!page_is(map + i * PAGE, i, generation))
			return false;
	return true;
}

/* How many entries of page tables there are at @map. */
static unsigned int entries_at(const unsigned char *map)
{
	const int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t entry[PAGES];
	unsigned int count = 0;

	MUST(pagemap >= 0);
	MUST(pread(pagemap, entry, sizeof(entry), (off_t)((uintptr_t)map / PAGE * 8)) ==
	     sizeof(entry));
	close(pagemap);
	for (unsigned int i = 0; i < PAGES; i++)
		count += entry[i] >> 63;
	return count;
}

/* Has @pages pages at @p written through the pin: @generation, from page @first on. */
static void write_by_pin(unsigned char *p, unsigned int first, unsigned int pages,
                         unsigned int generation)
{
	static int file = -1;
	unsigned char bytes[PAGES * PAGE];

	if (file < 0)
		file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	MUST(file >= 0);
	for (unsigned int i = 0; i < pages; i++)
		fill_page(bytes + i * PAGE, first + i, generation);
	MUST(pwrite(file, bytes, pages * PAGE, 0) == (ssize_t)(pages * PAGE));
	MUST(ring_do(IORING_OP_READ_FIXED, file, p + first * PAGE, pages * PAGE) ==
	     (ssize_t)(pages * PAGE));
}

/* What the pin sees: whether that is @generation. */
static bool pin_sees(unsigned char *p, unsigned int generation)
{
	const int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool same;

	MUST(file >= 0);
	MUST(ring_do(IORING_OP_WRITE_FIXED, file, p, BYTES) == (ssize_t)BYTES);
	same = all_read(file, generation);
	close(file);
	return same;
}

static bool have_ring(void)
{
	return ring.fd > 0 || ring_open();
}

static bool have_pins(void)
{
	return have_ring() && ring_takes_files();
}

/* --- which mappings take a pin: as the kernel's gup_longterm has it --- */
#define HERE "/tmp/pins"

static int memfd(void)
{
	return memfd_create("pins", MFD_CLOEXEC);
}

/* Of ramfs, or tmpfs. */
static int file_of_root(void)
{
	return open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

static int file_of_mount(void)
{
	int fd;

	MUST(!mkdir(HERE, 0700) && !mount("none", HERE, "cowmem", 0, "pinnable"));
	fd = open(HERE "/file", O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !unlink(HERE "/file"));
	MUST(!umount2(HERE, MNT_DETACH) && !rmdir(HERE));
	return fd;
}

static int ordinary(void)
{
	const int device = object_open(), fd = object_create(device, NULL);

	close(device);
	return fd;
}

static int clone_of_pinnable(void)
{
	const int fd = create_pinnable(), made = clone_of(fd);

	close(fd);
	return made;
}

/* Of a snapshot of one: that knows what its origin was. */
static int clone_of_snapshot(void)
{
	const int fd = create_pinnable(), then = snapshot(fd), made = clone_of(then);

	close(fd);
	close(then);
	return made;
}

static int file_of_device(void)
{
	return object_open();
}

static const struct kind {
	const char *name;
	int (*make)(void);
	bool is_memfd, takes;
} kinds[] = {
	{"memfd", memfd, true, true},
	{"a file of the root's", file_of_root, false, true},
	{"pinnable", create_pinnable, false, true},
	{"a file of a mount that is", file_of_mount, false, true},
	{"a clone of one", clone_of_pinnable, false, true},
	{"a clone of a snapshot of one", clone_of_snapshot, false, true},
	{"ordinary", ordinary, false, false},
	{"the device's", file_of_device, false, false},
};

static const struct way {
	const char *name;
	int flags, protection;
	bool shared, to_write;
} ways[] = {
	{"shared", MAP_SHARED, PROT_READ | PROT_WRITE, true, true},
	{"private", MAP_PRIVATE, PROT_READ | PROT_WRITE, false, true},
	{"shared, to read", MAP_SHARED, PROT_READ, true, false},
	{"private, to read", MAP_PRIVATE, PROT_READ, false, false},
};

static void pins_are_taken_as_of_a_memfd(void)
{
	const struct counts before = counts_now();
	bool takes_files;

	if (!have_ring())
		SKIP("this kernel has no io_uring");
	takes_files = ring_takes_files();
	for (unsigned int k = 0; k < ARRAY_LENGTH(kinds); k++)
		for (unsigned int w = 0; w < ARRAY_LENGTH(ways); w++) {
			const int fd = kinds[k].make();
			unsigned char *p;
			int expected, err;

			MUST(fd >= 0);
			if (kinds[k].make == file_of_device)
				MUST(!object_resize(fd, BYTES));
			else
				MUST(!ftruncate(fd, BYTES));
			p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, ways[w].flags);
			fill(p, 1); /* GUP-fast could have it */
			MUST(!mprotect(p, BYTES, ways[w].protection));
			if (!ways[w].to_write)
				expected = -EFAULT; /* to write is what all are for */
			else if (!takes_files && !kinds[k].is_memfd)
				expected = -EOPNOTSUPP;
			else
				expected = ways[w].shared && !kinds[k].takes ? -EFAULT : 0;
			err = ring_register(p, BYTES);
			if (err != expected)
				ksft_print_msg("%s, %s\n", kinds[k].name, ways[w].name);
			CHECK_EQ(err, expected);
			if (!err) {
				write_by_pin(p, 0, PAGES, 2);
				CHECK(all_are(p, 2));
				CHECK(!ways[w].shared || all_read(fd, 2));
				ring_unregister();
			}
			munmap(p, BYTES);
			close(fd);
		}
	check_returned(before);
}

/* What is there after each step that makes a snapshot, or may lose something; the CPU's stores too. */
static void both_sides_have_their_bytes(void)
{
	const struct counts before = counts_now();
	struct object o;
	int first, second;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	MUST(!ring_register(o.map, BYTES));
	first = snapshot(o.fd);
	write_by_pin(o.map, 0, PAGES, 2);
	CHECK(all_read(first, 1) && all_read(o.fd, 2) && all_are(o.map, 2));
	second = snapshot(o.fd);
	fill(o.map, 3); /* the pin's pages are the object's still */
	CHECK(pin_sees(o.map, 3));
	write_by_pin(o.map, 4, 2, 4);
	CHECK(reads(o.fd, 4, 4, 6) && reads(o.fd, 3, 0, 4) && reads(o.fd, 3, 6, PAGES));
	CHECK(all_read(first, 1) && all_read(second, 2));
	ring_unregister();
	CHECK(reads(o.fd, 4, 4, 6) && page_is(o.map + 5 * PAGE, 5, 4));
	CHECK(layers_are_sound(o.fd));
	close(first);
	CHECK(all_read(second, 2));
	close(second);
	end(&o);
	check_returned(before);
}

/* --- what a snapshot of pinned pages costs --- */
/* Pins that every kernel has: process_vm_writev(), as long as its source is not there. */
struct transfer {
	unsigned char *to;
	struct absent source;
	pthread_t thread;
};

static void *transfer(void *argument)
{
	struct transfer *t = argument;
	struct iovec from = {t->source.at, BYTES}, to = {t->to, BYTES};

	MUST(process_vm_writev(getpid(), &from, 1, &to, 1, 0) == (ssize_t)BYTES);
	return NULL;
}

static bool transfer_begin(struct transfer *t, unsigned char *to)
{
	t->to = to;
	if (!absent_begin(&t->source, PAGES))
		return false;
	MUST(!pthread_create(&t->thread, NULL, transfer, t));
	absent_is_waited_for(&t->source);
	return true;
}

static void transfer_end(struct transfer *t)
{
	absent_comes(&t->source, 0x77);
	MUST(!pthread_join(t->thread, NULL));
	absent_end(&t->source);
}

static uint64_t differing(int fd, int other)
{
	struct cowmem_changed changed[PAGES];
	struct cowmem_diff diff;
	uint64_t bytes = 0;

	MUST(!diff_ask(fd, other, &diff, 0, PAGES, changed, PAGES));
	for (unsigned int i = 0; i < diff.count; i++)
		bytes += changed[i].length;
	return bytes / PAGE;
}

static void copies_only_what_changed(struct object *o)
{
	struct transfer flight;
	struct counts before;
	int then[4];

	if (!transfer_begin(&flight, o->map))
		SKIP("this kernel has no userfaultfd");
	before = counts_now();
	then[0] = snapshot(o->fd);
	CHECK_EQ(SINCE(before, pages_frozen_copied), PAGES);
	CHECK_EQ(SINCE(before, pages_allocated), PAGES);
	then[1] = snapshot(o->fd);
	CHECK_EQ(SINCE(before, pages_frozen_copied), PAGES);
	CHECK_EQ(SINCE(before, pages_frozen_shared), PAGES);
	CHECK_EQ(SINCE(before, pages_allocated), PAGES);
	CHECK_EQ(differing(then[0], then[1]), 0);

	/* One page changes, by the CPU; and the copies are in the store, and in memory again. */
	fill_page(o->map + 3 * PAGE, 3, 2);
	CHECK_EQ(page_out_all(then[1], PAGES), PAGES);
	CHECK_EQ(prefetch_ask(then[1], 0, PAGES), PAGES);
	before = counts_now();
	then[2] = snapshot(o->fd);
	CHECK_EQ(SINCE(before, pages_frozen_copied), 1);
	CHECK_EQ(SINCE(before, pages_frozen_shared), PAGES - 1);
	CHECK_EQ(SINCE(before, pages_allocated), 1);
	CHECK_EQ(differing(then[1], then[2]), 1);

	/* What is not in memory is not brought in for that. */
	CHECK_EQ(page_out_all(then[2], PAGES), PAGES);
	before = counts_now();
	then[3] = snapshot(o->fd);
	CHECK_EQ(SINCE(before, pages_frozen_copied), PAGES);
	CHECK_EQ(SINCE(before, pages_frozen_shared), 0);
	transfer_end(&flight);

	close(then[0]);
	CHECK(all_read(then[1], 1));
	close(then[1]);
	for (int i = 2; i < 4; i++)
		CHECK(reads(then[i], 1, 0, 3) && reads(then[i], 2, 3, 4) &&
		      reads(then[i], 1, 4, PAGES));
	CHECK(o->map[0] == 0x77 && o->map[BYTES - 1] == 0x77);
	CHECK(layers_are_sound(o->fd));
	close(then[3]);
	close(then[2]);
}

static void only_what_changed_is_copied(void)
{
	const struct counts before = counts_now();
	struct object o = begin();

	copies_only_what_changed(&o);
	end(&o);
	check_returned(before);
}

/* The same of an object that nobody need be able to pin for long. */
static void only_what_changed_is_copied_of_any(void)
{
	const struct counts before = counts_now();
	struct object o = begin_with(ordinary());

	copies_only_what_changed(&o);
	end(&o);
	check_returned(before);
}

/* A copy that two snapshots share, and that the last of them, restored, has for itself. */
static void a_shared_copy_is_restored(void)
{
	const struct counts before = counts_now();
	struct object o = begin();
	struct transfer flight;
	int first, second;

	if (!transfer_begin(&flight, o.map)) {
		end(&o);
		SKIP("this kernel has no userfaultfd");
	}
	first = snapshot(o.fd);
	second = snapshot(o.fd);
	transfer_end(&flight);
	MUST(!restore(o.fd, second));
	CHECK(all_are(o.map, 1));
	fill(o.map, 3);
	CHECK(all_read(first, 1) && all_read(second, 1) && all_read(o.fd, 3));
	close(first);
	fill(o.map, 4);
	CHECK(all_read(second, 1) && all_read(o.fd, 4));
	CHECK(layers_are_sound(o.fd));
	close(second);
	end(&o);
	check_returned(before);
}

/* --- no store reaches a snapshot, though the core asks nobody before it --- */
static void is_read(unsigned char *map)
{
	CHECK(all_are(map, 1));
}

static void is_read_beyond_permission(unsigned char *map)
{
	MUST(!mprotect(map, BYTES, PROT_READ));
	CHECK(all_are(map, 1));
	MUST(!mprotect(map, BYTES, PROT_READ | PROT_WRITE));
}

static void is_forbidden_and_permitted(unsigned char *map)
{
	MUST(!mprotect(map, BYTES, PROT_NONE));
	MUST(!mprotect(map, BYTES, PROT_READ | PROT_WRITE));
}

/* Its neighbours are to be mapped along only if they are the object's own. */
static void first_is_read(unsigned char *map)
{
	CHECK(page_is(map, 0, 1));
}

static void is_populated(unsigned char *map)
{
	MUST(!madvise(map, BYTES, MADV_POPULATE_READ));
}

static void is_not_touched(unsigned char *map)
{
	(void)map;
}

static void (*const touches[])(unsigned char *map) = {
	is_not_touched, is_read,      is_read_beyond_permission, is_forbidden_and_permitted,
	first_is_read,  is_populated,
};

enum becomes { SNAPSHOT, CLONE, SNAPSHOT_PAGED_OUT, RESTORED };

static void store_behind(enum becomes how, void (*touch)(unsigned char *map))
{
	struct object o = begin();
	unsigned char *other = map_shared(o.fd);
	int then;

	CHECK(all_are(other, 1));
	then = how == CLONE ? clone_of(o.fd) : snapshot(o.fd);
	/* A write-protected entry would be made writable by the core alone. */
	CHECK_EQ(entries_at(o.map), 0);
	CHECK_EQ(entries_at(other), 0);
	if (how == SNAPSHOT_PAGED_OUT)
		CHECK_EQ(page_out_all(then, PAGES), PAGES);
	if (how == RESTORED) {
		fill(o.map, 5);
		MUST(!restore(o.fd, then));
		CHECK_EQ(entries_at(o.map), 0);
	}
	touch(o.map);
	fill(o.map, 2);
	CHECK(all_read(then, 1) && all_read(o.fd, 2) && all_are(other, 2));
	if (how == CLONE) {
		unsigned char *clone = map_shared(then);

		touch(clone);
		fill(clone, 3);
		CHECK(all_read(then, 3) && all_are(o.map, 2));
		munmap(clone, BYTES);
	}
	CHECK(layers_are_sound(o.fd));
	munmap(other, BYTES);
	close(then);
	end(&o);
}

static void no_store_reaches_a_snapshot(void)
{
	const struct counts before = counts_now();

	for (int speculation = 0; speculation < 2; speculation++) {
		set_speculation(speculation);
		for (unsigned int t = 0; t < ARRAY_LENGTH(touches); t++)
			for (enum becomes how = SNAPSHOT; how <= RESTORED; how++)
				store_behind(how, touches[t]);
	}
	parameter_set("around_shared", "lockfree");
	store_behind(SNAPSHOT, first_is_read);
	parameter_set("around_shared", "trylock");
	set_reuse(false);
	store_behind(SNAPSHOT, is_read);
	set_reuse(true);
	check_returned(before);
}

/* A descriptor to read has a mapping that never stores: it shares a snapshot's pages, as any. */
static void a_mapping_to_read_shares(void)
{
	const struct counts before = counts_now();
	struct object o = begin();
	const int then = snapshot(o.fd);
	const unsigned long own = object_stat(o.fd).resident_pages;
	unsigned char *map;
	char name[32];
	int to_read;

	snprintf(name, sizeof(name), "/proc/self/fd/%d", o.fd);
	to_read = open(name, O_RDONLY | O_CLOEXEC);
	MUST(to_read >= 0);
	map = object_map(to_read, BYTES, PROT_READ, MAP_SHARED);
	CHECK_ERRNO(mprotect(map, BYTES, PROT_READ | PROT_WRITE), EACCES);
	CHECK(all_are(map, 1));
	CHECK_EQ(object_stat(o.fd).resident_pages, own);
	CHECK(all_are(o.map, 1)); /* but this one copies */
	CHECK_EQ(object_stat(o.fd).resident_pages, own + PAGES);
	fill(o.map, 2);
	CHECK(all_are(map, 2) && all_read(then, 1));
	CHECK(layers_are_sound(o.fd));
	munmap(map, BYTES);
	close(to_read);
	close(then);
	end(&o);
	check_returned(before);
}

static sigjmp_buf landing;

static void land(int signal)
{
	siglongjmp(landing, signal);
}

/* A read that copies is one page more for a snapshot with a limit. */
static void a_read_is_limited(void)
{
	const struct counts before = counts_now();
	struct object o = begin();
	struct cowmem_snapshot arg = {
		.size = sizeof(arg), .flags = COWMEM_SNAPSHOT_LIMIT, .max_copies = 1};
	struct sigaction action = {.sa_handler = land}, old;
	volatile bool killed = false;

	MUST(!ioctl(o.fd, COWMEM_IOC_SNAPSHOT, &arg));
	CHECK(page_is(o.map, 0, 1));
	CHECK_EQ(object_stat(arg.fd).copies, 1);
	MUST(!sigaction(SIGBUS, &action, &old));
	if (!sigsetjmp(landing, 1))
		CHECK(page_is(o.map + PAGE, 1, 1));
	else
		killed = true;
	MUST(!sigaction(SIGBUS, &old, NULL));
	CHECK(killed);
	CHECK(all_read(o.fd, 1) && all_read(arg.fd, 1)); /* read() copies nothing */
	close(arg.fd);
	CHECK(all_are(o.map, 1));
	end(&o);
	check_returned(before);
}

/* --- what takes pages away from under a pin --- */
static void taken_away(int (*take)(struct object *o, int then), unsigned int left)
{
	struct object o = begin();
	int then;

	MUST(!ring_register(o.map, BYTES));
	then = snapshot(o.fd);
	write_by_pin(o.map, 0, PAGES, 2);
	MUST(!take(&o, then));
	CHECK(left ? all_read(o.fd, left) : true);
	write_by_pin(o.map, 0, PAGES, 3); /* to what nobody sees */
	CHECK(left ? all_read(o.fd, left) && all_are(o.map, left) : o.map[0] == 0);
	CHECK(all_read(then, 1));
	ring_unregister();
	MUST(!ring_register(o.map, BYTES));
	write_by_pin(o.map, 0, PAGES, 4);
	CHECK(all_read(o.fd, 4) && all_are(o.map, 4) && all_read(then, 1));
	ring_unregister();
	CHECK(layers_are_sound(o.fd));
	close(then);
	end(&o);
}

static int take_by_restore(struct object *o, int then)
{
	return restore(o->fd, then);
}

static int take_by_restore_of_range(struct object *o, int then)
{
	uint64_t next;

	return restore_range(o->fd, then, 0, BYTES, &next);
}

static int take_by_punch(struct object *o, int then)
{
	(void)then;
	return object_punch(o->fd, 0, BYTES);
}

static int take_by_truncation(struct object *o, int then)
{
	(void)then;
	return ftruncate(o->fd, 0) || ftruncate(o->fd, BYTES);
}

static int take_by_reflink(struct object *o, int then)
{
	return ioctl(o->fd, FICLONE, then);
}

static void pages_are_taken_from_under_a_pin(void)
{
	const struct counts before = counts_now();

	if (!have_pins())
		SKIP(NO_PINS);
	taken_away(take_by_restore, 1);
	taken_away(take_by_restore_of_range, 1);
	taken_away(take_by_reflink, 1);
	taken_away(take_by_punch, 0);
	taken_away(take_by_truncation, 0);
	check_returned(before);
}

/* What is pinned is not given back for a relative's page, though the bytes are the same. */
static void what_is_pinned_is_not_deduplicated(void)
{
	const struct counts before = counts_now();
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg = {.range = {.src_length = BYTES, .dest_count = 1}};
	struct object o;
	int then;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	then = snapshot(o.fd);
	MUST(!ring_register(o.map, BYTES)); /* copies all */
	arg.info.dest_fd = o.fd;
	MUST(!ioctl(then, FIDEDUPERANGE, &arg));
	CHECK_EQ(arg.info.status, FILE_DEDUPE_RANGE_SAME);
	write_by_pin(o.map, 0, PAGES, 2);
	CHECK(all_read(o.fd, 2) && all_are(o.map, 2) && all_read(then, 1));
	ring_unregister();
	close(then);
	end(&o);
	check_returned(before);
}

static void a_clone_and_its_origin_are_both_pinned(void)
{
	const struct counts before = counts_now();
	unsigned char *both;
	struct object o;
	int clone;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	MUST(!ring_register(o.map, BYTES));
	clone = clone_of(o.fd);
	CHECK(object_stat(clone).state & COWMEM_STATE_PINNABLE);
	write_by_pin(o.map, 0, PAGES, 2);
	ring_unregister();
	both = map_shared(clone);
	MUST(!ring_register(both, BYTES));
	CHECK(all_are(both, 1));
	write_by_pin(both, 0, PAGES, 3);
	CHECK(all_read(o.fd, 2) && all_are(o.map, 2) && all_read(clone, 3) && all_are(both, 3));
	ring_unregister();
	CHECK(layers_are_sound(o.fd));
	munmap(both, BYTES);
	close(clone);
	end(&o);
	check_returned(before);
}

/* --- the store, and PAGEMAP --- */
static void what_is_pinned_stays_in_memory(void)
{
	const struct counts before = counts_now();
	struct cowmem_page_out out;
	struct object o;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	/* They come back, and are as the store has them. */
	CHECK_EQ(page_out_all(o.fd, PAGES), PAGES);
	CHECK_EQ(prefetch_ask(o.fd, 0, PAGES), PAGES);
	CHECK(all_are(o.map, 1));
	MUST(!ring_register(o.map, BYTES));
	MUST(!page_out_ask(o.fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, PAGES));
	CHECK_EQ(out.out, 0);
	CHECK_EQ(out.busy, PAGES);
	write_by_pin(o.map, 0, PAGES, 2);
	ring_unregister(); /* which tells nobody that they were written */
	CHECK_EQ(page_out_all(o.fd, PAGES), PAGES);
	CHECK_EQ(entries_at(o.map), 0);
	CHECK(all_are(o.map, 2) && all_read(o.fd, 2));
	/* Once more, written by the CPU through entries that the core makes writable. */
	CHECK_EQ(page_out_all(o.fd, PAGES), PAGES);
	CHECK(all_are(o.map, 2));
	fill(o.map, 3);
	CHECK_EQ(page_out_all(o.fd, PAGES), PAGES);
	CHECK(all_are(o.map, 3));
	CHECK(layers_are_sound(o.fd));
	end(&o);
	check_returned(before);
}

/* How many pages PAGEMAP says are DIRTY, and whether all of them are PINNED. */
static unsigned int dirty(int fd, uint32_t flags, bool *pinned)
{
	struct cowmem_page page[PAGES];
	struct cowmem_pagemap arg = {.size = sizeof(arg),
	                             .flags = flags,
	                             .length = BYTES,
	                             .pages = (uintptr_t)page,
	                             .capacity = PAGES};
	unsigned int count = 0;

	MUST(!ioctl(fd, COWMEM_IOC_PAGEMAP, &arg) && arg.next == BYTES);
	*pinned = true;
	for (unsigned int i = 0; i < PAGES; i++) {
		count += page[i].flags & COWMEM_PAGE_DIRTY ? 1 : 0;
		*pinned &= (page[i].flags & COWMEM_PAGE_PINNED) != 0;
	}
	return count;
}

static void pagemap_tells_of_pinned_writes(void)
{
	const struct counts before = counts_now();
	struct object o;
	bool pinned;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	CHECK_EQ(dirty(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, &pinned), PAGES);
	CHECK(!pinned);
	CHECK(all_are(o.map, 1));
	CHECK_EQ(dirty(o.fd, 0, &pinned), 0); /* what is only read is clean */
	MUST(!ring_register(o.map, BYTES));
	write_by_pin(o.map, 0, PAGES, 2);
	for (int twice = 0; twice < 2; twice++) {
		CHECK_EQ(dirty(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, &pinned), PAGES);
		CHECK(pinned);
	}
	write_by_pin(o.map, 0, PAGES, 3);
	ring_unregister();
	CHECK_EQ(dirty(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, &pinned), PAGES);
	CHECK(!pinned);
	CHECK_EQ(dirty(o.fd, 0, &pinned), 0);
	/* The CPU, through entries that were cleaned: the core asks nobody, and the dirty bit tells. */
	fill_page(o.map + 2 * PAGE, 2, 4);
	CHECK_EQ(dirty(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, &pinned), 1);
	/* A snapshot takes the entries, and what was written before is told. */
	fill_page(o.map + 5 * PAGE, 5, 4);
	const int then = snapshot(o.fd);

	CHECK(page_is(o.map, 0, 3));
	CHECK_EQ(dirty(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, &pinned) >= 1, true);
	CHECK_EQ(dirty(o.fd, 0, &pinned), 0);
	fill_page(o.map + 6 * PAGE, 6, 4);
	CHECK_EQ(dirty(o.fd, 0, &pinned), 1);
	close(then);
	end(&o);
	check_returned(before);
}

/* --- fork --- */
static void a_child_has_the_same(void)
{
	const struct counts before = counts_now();
	struct object o;
	int then, status, ends[2];
	char byte = 0;
	pid_t pid;

	if (!have_pins())
		SKIP(NO_PINS);
	o = begin();
	MUST(!ring_register(o.map, BYTES));
	MUST(!pipe2(ends, O_CLOEXEC));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		bool right = read(ends[0], &byte, 1) == 1; /* the snapshot has been taken */

		right &= all_are(o.map, 2);
		fill(o.map, 3);
		_exit(!right);
	}
	CHECK(all_are(o.map, 1));
	then = snapshot(o.fd);
	write_by_pin(o.map, 0, PAGES, 2);
	MUST(write(ends[1], &byte, 1) == 1);
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
	CHECK(pin_sees(o.map, 3));
	CHECK(all_are(o.map, 3) && all_read(o.fd, 3) && all_read(then, 1));
	ring_unregister();
	close(ends[0]);
	close(ends[1]);
	close(then);
	end(&o);
	check_returned(before);
}

/* --- who is told --- */
static bool mounted_with(const char *text)
{
	FILE *file = fopen("/proc/self/mounts", "re");
	char line[512];
	bool found = false;

	MUST(file);
	while (fgets(line, sizeof(line), file))
		found |= strstr(line, " " HERE " cowmem ") && strstr(line, text);
	fclose(file);
	return found;
}

static bool is_pinnable(const char *path)
{
	const int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	bool is;

	MUST(fd >= 0);
	is = object_stat(fd).state & COWMEM_STATE_PINNABLE;
	close(fd);
	return is;
}

static void a_mount_says_what_its_files_are(void)
{
	struct cowmem_info info = {.size = sizeof(info)};
	const int device = object_open();

	MUST(!ioctl(device, COWMEM_IOC_GET_INFO, &info));
	CHECK(info.features & COWMEM_FEATURE_PINNABLE);
	CHECK(!(object_stat(device).state & COWMEM_STATE_PINNABLE));
	close(device);
	MUST(!mkdir(HERE, 0700) && !mount("none", HERE, "cowmem", 0, "pinnable"));
	CHECK(mounted_with(",pinnable"));
	CHECK(is_pinnable(HERE "/a"));
	MUST(!mount(NULL, HERE, NULL, MS_REMOUNT, "size=1m")); /* of that it says nothing */
	CHECK(is_pinnable(HERE "/b"));
	MUST(!mount(NULL, HERE, NULL, MS_REMOUNT, "nopinnable"));
	CHECK(!mounted_with("pinnable"));
	CHECK(is_pinnable(HERE "/a"));
	CHECK(!is_pinnable(HERE "/c"));
	CHECK_ERRNO(mount(NULL, HERE, NULL, MS_REMOUNT, "pinnable=1"), EINVAL);
	MUST(!umount(HERE) && !mount("none", HERE, "cowmem", 0, ""));
	CHECK(!is_pinnable(HERE "/a"));
	MUST(!umount(HERE) && !rmdir(HERE));
}

int main(void)
{
	static const struct test_case cases[] = {
		{"a pinnable object is pinned as a memfd is, and no other", "",
	         pins_are_taken_as_of_a_memfd},
		{"a pin writes the object, and never a snapshot", "", both_sides_have_their_bytes},
		{"what is pinned is copied for a snapshot only if it changed", "",
	         only_what_changed_is_copied},
		{"the same of an ordinary object", "", only_what_changed_is_copied_of_any},
		{"a copy that snapshots share is restored, and written", "",
	         a_shared_copy_is_restored},
		{"no store reaches a snapshot, though nobody is asked before it", "",
	         no_store_reaches_a_snapshot},
		{"a mapping that never stores shares what a snapshot has", "",
	         a_mapping_to_read_shares},
		{"a read that copies is limited", "", a_read_is_limited},
		{"RESTORE, FICLONE, PUNCH and truncation take pages from under a pin", "",
	         pages_are_taken_from_under_a_pin},
		{"what is pinned is not deduplicated", "", what_is_pinned_is_not_deduplicated},
		{"a clone is pinned, too", "", a_clone_and_its_origin_are_both_pinned},
		{"what is pinned stays in memory, and its bytes are not lost after that", "",
	         what_is_pinned_stays_in_memory},
		{"PAGEMAP tells of what a pin wrote", "", pagemap_tells_of_pinned_writes},
		{"a child has the same pages", "", a_child_has_the_same},
		{"a mount says what its files are", "", a_mount_says_what_its_files_are},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
