// SPDX-License-Identifier: GPL-2.0
/*
 * Draining: when the backing store or the compressor is another, what was stored before moves, while
 * all go on with it.
 */
#include "answers.h"
#include "bus.h"
#include "counts.h"
#include "disks.h"
#include "relatives.h"
#include "store.h"

#include <stdatomic.h>

#define LEAVING PARAMETERS "leaving"
#define OTHER_STORE "/tmp/backing-2"
#define OTHER_NAME "/tmp/backing-link"
#define PAGES 128

static long leaving(void)
{
	return read_number(LEAVING, "");
}

/* A second disk, which is no backing store yet. */
static struct disk make_other_disk(uint64_t pages)
{
	return make_disk_over(make_file_at(OTHER_STORE, pages));
}

static void let_other_disk_go(struct disk disk)
{
	unmake_disk(disk);
	unlink(OTHER_STORE);
}

/* Whether nobody else has it to himself: a read that nobody waited for may be on its way. */
static bool is_free(const struct disk *disk)
{
	int fd = -1;

	MUST(COMES((fd = open(disk->path, O_RDWR | O_EXCL | O_CLOEXEC)) >= 0 || errno != EBUSY));
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/* 0 or the errno of setting the parameter. */
static int compressor_set(const char *name)
{
	int fd = open(PARAMETERS "compressor", O_WRONLY | O_CLOEXEC), err;

	MUST(fd >= 0);
	err = write(fd, name, strlen(name)) < 0 ? errno : 0;
	close(fd);
	return err;
}

/* --- holders of slots, at rest --- */
enum { ALONE = 3, HOLDERS = ALONE + 3 };
struct holders {
	int fd[HOLDERS]; /* three that have no relatives; one, a snapshot and a clone of it */
	char *p[HOLDERS];
};

/* Which generation page @i of holder @n is of: each has some that no other has. */
static uint64_t generation_of(int n, uint64_t i)
{
	if (n == ALONE && i < PAGES / 4)
		return 2;
	if (n == ALONE + 2 && i >= PAGES - PAGES / 4)
		return 3;
	return 1;
}

/* All of it is out. @fill: noise_page() or fill_page(). */
static struct holders make_holders(void (*fill)(void *, uint64_t, uint64_t))
{
	struct holders all;

	for (int n = 0; n <= ALONE; n++) {
		all.fd[n] = object_open();
		all.p[n] = object_map(all.fd[n], PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		for (uint64_t i = 0; i < PAGES; i++)
			fill(all.p[n] + i * PAGE, i, 1);
	}
	all.fd[ALONE + 1] = snapshot(all.fd[ALONE]);
	all.p[ALONE + 1] = object_map(all.fd[ALONE + 1], PAGES * PAGE, PROT_READ, MAP_SHARED);
	all.fd[ALONE + 2] = clone_of(all.fd[ALONE + 1]);
	all.p[ALONE + 2] =
		object_map(all.fd[ALONE + 2], PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int n = ALONE; n < HOLDERS; n++)
		for (uint64_t i = 0; i < PAGES; i++)
			if (generation_of(n, i) != 1)
				fill(all.p[n] + i * PAGE, i, generation_of(n, i));
	for (int n = 0; n < HOLDERS; n++)
		page_out_all(all.fd[n], PAGES);
	return all;
}

/* Those that are out, each counted once. */
enum { VERSIONS = (ALONE + 1) * PAGES + 2 * (PAGES / 4) };

static void check_holders(const struct holders *all, bool (*is)(const void *, uint64_t, uint64_t))
{
	unsigned int wrong = 0;

	for (int n = 0; n < HOLDERS; n++)
		for (uint64_t i = 0; i < PAGES; i++)
			wrong += !is(all->p[n] + i * PAGE, i, generation_of(n, i));
	CHECK_EQ(wrong, 0);
	for (int n = 0; n < HOLDERS; n++)
		CHECK(layers_are_sound(all->fd[n]));
}

static void let_holders_go(const struct holders *all)
{
	for (int n = 0; n < HOLDERS; n++)
		let_go(all->fd[n], all->p[n], PAGES);
}

/* --- the cases --- */
/* To another device, and to none: the first is released, and holders are visited once for each. */
static void backing_changes(void)
{
	struct disk first = use_disk(8 * PAGES), second = make_other_disk(8 * PAGES);
	struct counts at_first = counts_now(), before;
	struct holders all = make_holders(noise_page);
	struct cowmem_store_stat stat;

	CHECK(!test_failed);
	CHECK_EQ(leaving(), 0);
	/* By another name it is the same, and would be written over. */
	MUST(!symlink(first.path, OTHER_NAME));
	CHECK_EQ(backing_set(OTHER_NAME), EBUSY);
	MUST(!unlink(OTHER_NAME));
	before = counts_now();
	CHECK_EQ(backing_set(second.path), 0);
	CHECK_EQ(leaving(), 0);
	CHECK_EQ(SINCE(before, drain_visits), HOLDERS);
	CHECK_EQ(SINCE(before, backing_read), VERSIONS);
	CHECK_EQ(SINCE(before, backing_written), VERSIONS);
	CHECK(is_free(&first));
	CHECK_ERRNO(open(second.path, O_RDWR | O_EXCL | O_CLOEXEC), EBUSY);
	CHECK_EQ(store_stat(all.fd[0]).backing_slots, PAGES);
	CHECK_EQ(store_stat(all.fd[ALONE + 1]).backing_slots, PAGES);
	CHECK_EQ(object_stat(all.fd[0]).resident_pages, 0);
	/* What the first has is of no use to anybody any more. */
	MUST(!ftruncate(first.file, 0) && !ftruncate(first.file, 8 * PAGES * PAGE));
	check_holders(&all, noise_is);

	for (int n = 0; n < HOLDERS; n++)
		page_out_all(all.fd[n], PAGES);
	before = counts_now();
	CHECK_EQ(backing_set(""), 0);
	CHECK_EQ(leaving(), 0);
	CHECK_EQ(SINCE(before, drain_visits), HOLDERS);
	CHECK_EQ(SINCE(before, backing_read), VERSIONS);
	CHECK_EQ(SINCE(before, backing_written), 0);
	CHECK(is_free(&second));
	stat = store_stat(all.fd[0]);
	CHECK_EQ(stat.backing_slots, 0);
	CHECK_EQ(stat.bytes, PAGES * PAGE); /* as they are */
	CHECK(stat.pool_bytes >= VERSIONS * PAGE);
	MUST(!ftruncate(second.file, 0) && !ftruncate(second.file, 8 * PAGES * PAGE));
	check_holders(&all, noise_is);
	let_holders_go(&all);
	check_returned(at_first);
	let_other_disk_go(second);
	let_disk_go(first);
}

/* What is in memory, too, and may have been written since, does not move: it needs no slot. */
static void what_is_in_memory_stays_there(void)
{
	struct disk first = use_disk(2 * PAGES);
	struct counts before = counts_now();
	int fd;
	char *p = noise_object(&fd, PAGES);

	MUST(page_out_all(fd, PAGES) == PAGES);
	for (uint64_t i = 0; i < PAGES / 2; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	for (uint64_t i = 0; i < PAGES / 4; i++)
		noise_page(p + i * PAGE, i, 2);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES / 2);
	before = counts_now();
	CHECK_EQ(backing_set(""), 0);
	CHECK_EQ(SINCE(before, backing_read), PAGES / 2);
	CHECK_EQ(store_stat(fd).slots, PAGES / 2);
	CHECK_EQ(store_stat(fd).bytes, PAGES / 2 * PAGE);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, i < PAGES / 4 ? 2 : 1));
	CHECK(layers_are_sound(fd));
	let_go(fd, p, PAGES);
	let_disk_go(first);
}

/* Each is made anew by the other compressor, once. */
static void compressor_changes(void)
{
	struct counts at_first = counts_now(), before;
	struct cowmem_store_stat was, is;
	struct holders all;

	CHECK_EQ(compressor_set("lzo"), 0);
	all = make_holders(fill_page);
	was = store_stat(all.fd[0]);
	if (compressor_set("zstd") == ENOENT)
		CHECK_EQ(compressor_set("lzo-rle"), 0);
	CHECK_EQ(leaving(), 0);
	is = store_stat(all.fd[0]);
	CHECK_EQ(is.slots, PAGES);
	CHECK(is.bytes != was.bytes);
	check_holders(&all, page_is);
	for (int n = 0; n < HOLDERS; n++)
		page_out_all(all.fd[n], PAGES);
	before = counts_now();
	CHECK_EQ(compressor_set("lzo"), 0);
	CHECK_EQ(SINCE(before, drain_visits), HOLDERS);
	CHECK_EQ(SINCE(before, pages_brought_in), 0);
	CHECK_EQ(store_stat(all.fd[0]).bytes, was.bytes);
	before = counts_now();
	CHECK_EQ(compressor_set("lzo"), 0);
	CHECK_EQ(SINCE(before, drain_visits), 0);
	check_holders(&all, page_is);
	let_holders_go(&all);
	check_returned(at_first);
	CHECK_EQ(compressor_set("lzo-rle"), 0);
}

/* A page that cannot be read stays where it is, and is told; repaired, it follows. */
static void a_page_that_cannot_be_read_stays(void)
{
	struct disk first = use_disk(8 * PAGES), second = make_other_disk(8 * PAGES);
	struct counts at_first = counts_now(), before;
	struct holders all = make_holders(noise_page);
	const off_t at = 5 * PAGE + 100; /* whichever page that is of */
	unsigned int lost = 0;

	damage(first.file, at);
	before = counts_now();
	CHECK_EQ(backing_set(second.path), EIO);
	CHECK_EQ(leaving(), 1);
	CHECK_EQ(SINCE(before, drain_visits), HOLDERS);
	CHECK_EQ(SINCE(before, backing_written), VERSIONS - 1);
	CHECK(SINCE(before, checksum_errors) >= 1);
	CHECK_ERRNO(open(first.path, O_RDWR | O_EXCL | O_CLOEXEC), EBUSY);
	for (int n = 0; n < HOLDERS; n++)
		for (uint64_t i = 0; i < PAGES; i++) {
			const char *p = all.p[n] + i * PAGE;

			if (touch((char *)p, false))
				lost++;
			else
				CHECK(noise_is(p, i, generation_of(n, i)));
		}
	CHECK(lost == 1 || lost == 2 || lost == 3); /* relatives may share it */
	CHECK_EQ(backing_set(second.path), EIO);
	CHECK_EQ(leaving(), 1);

	damage(first.file, at);
	CHECK_EQ(backing_set(second.path), 0);
	CHECK_EQ(leaving(), 0);
	CHECK(is_free(&first));
	check_holders(&all, noise_is);
	let_holders_go(&all);
	check_returned(at_first);
	let_disk_go(second);
	let_other_disk_go(first);
}

/* One that several see, by leaves of their own, is tried once, and the others move. */
static void what_several_see_fails_once(void)
{
	enum { LEAF = 16, RELATIVES = 4, SHARED = 5 };
	struct disk first = use_disk(8 * PAGES), second = make_other_disk(8 * PAGES);
	struct counts at_first = counts_now(), before;
	int fd, then, other[RELATIVES];
	char *p = noise_object(&fd, PAGES);
	off_t at;

	then = snapshot(fd);
	for (int n = 0; n < RELATIVES; n++) {
		char page[PAGE];

		other[n] = clone_of(then);
		for (uint64_t i = 0; i < PAGES; i += LEAF) {
			noise_page(page, i, 2 + n);
			MUST(pwrite(other[n], page, PAGE, i * PAGE) == (ssize_t)PAGE);
		}
	}
	page_out_all(then, PAGES);
	for (int n = 0; n < RELATIVES; n++)
		page_out_all(other[n], PAGES);
	at = place_of(first.file, SHARED) + 100;
	damage(first.file, at);
	before = counts_now();
	CHECK_EQ(backing_set(second.path), EIO);
	CHECK_EQ(leaving(), 1);
	/* Once more in another round, since there may be others to move then. */
	CHECK(SINCE(before, checksum_errors) <= 2);
	CHECK_EQ(SINCE(before, backing_written), PAGES + RELATIVES * (PAGES / LEAF) - 1);
	damage(first.file, at);
	CHECK_EQ(backing_set(second.path), 0);
	CHECK_EQ(leaving(), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 1));
	for (int n = 0; n < RELATIVES; n++)
		close(other[n]);
	close(then);
	let_go(fd, p, PAGES);
	check_returned(at_first);
	let_disk_go(second);
	let_other_disk_go(first);
}

/* Where memory may have no more, the rest stays; when it may, it follows. */
static void a_store_that_is_full(void)
{
	struct disk first = use_disk(8 * PAGES);
	struct counts at_first = counts_now();
	struct holders all = make_holders(noise_page);

	limit_store(1);
	CHECK_EQ(backing_set(""), ENOSPC);
	CHECK(leaving() > 0 && leaving() < VERSIONS);
	CHECK_ERRNO(open(first.path, O_RDWR | O_EXCL | O_CLOEXEC), EBUSY);
	check_holders(&all, noise_is);
	limit_store(store_default_mib());
	CHECK_EQ(backing_set(""), 0);
	CHECK_EQ(leaving(), 0);
	CHECK(is_free(&first));
	check_holders(&all, noise_is);
	let_holders_go(&all);
	check_returned(at_first);
	let_disk_go(first);
}

/* --- killed amid it --- */
static struct disk slow_other;

static void be_killed(void)
{
	struct counts before;
	int fd, status;
	char *p = noise_object(&fd, PAGES), page[PAGE];
	pid_t child;

	MUST(page_out_all(fd, PAGES) == PAGES);
	MUST(set_speed("65536")); /* a batch in two seconds */
	before = counts_now();
	child = fork();
	MUST(child >= 0);
	if (!child)
		_exit(backing_set(slow_other.path));
	MUST(COMES(SINCE(before, backing_written) > 0));
	/* It goes on, and everybody else with it. */
	CHECK(leaving() > 0);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES);
	MUST(!kill(child, SIGKILL));
	MUST(COMES(waitpid(child, &status, WNOHANG) == child));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	CHECK(leaving() > 0 && leaving() < PAGES);
	CHECK_EQ(store_stat(fd).backing_slots, PAGES);

	/* Both are in use: what goes out goes to the new one. */
	MUST(set_speed(NULL));
	for (uint64_t i = 0; i < PAGES; i += 2) {
		MUST(pread(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		CHECK(noise_is(page, i, 1));
		noise_page(p + i * PAGE, i, 2);
	}
	page_out_all(fd, PAGES);
	CHECK(leaving() > 0 && leaving() < PAGES);
	for (uint64_t i = 0; i < PAGES; i++) {
		MUST(pread(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		CHECK(noise_is(page, i, 2 - i % 2));
	}
	page_out_all(fd, PAGES);
	CHECK_EQ(backing_set(slow_other.path), 0);
	CHECK_EQ(leaving(), 0);
	for (uint64_t i = 0; i < PAGES; i++)
		CHECK(noise_is(p + i * PAGE, i, 2 - i % 2));
	let_go(fd, p, PAGES);
}

static void who_drains_can_be_killed(void)
{
	struct counts before;

	if (!use_slow_disk())
		SKIP("this kernel cannot slow I/O down");
	before = counts_now();
	slow_other = make_other_disk(4 * PAGES);
	CHECK_EQ(run_in_cgroup("max", be_killed), 0);
	check_returned(before);
	let_slow_disk_go();
	MUST(!rmdir(CGROUP));
	let_other_disk_go(slow_other);
}

/* --- live users --- */
enum { USERS = 4, STRIPE = 32 };
static struct live {
	_Atomic bool stop;
	_Atomic unsigned long rounds[USERS];
} *live;

/* Writes its stripe of an object that all have, and one of its own, again and again, and looks what is there. */
static void use(int n, int fd, char *p)
{
	const uint64_t first = n * STRIPE;
	uint64_t generation = 1;
	struct cowmem_page_out out;
	char page[PAGE], *mine;
	int own;

	test_failed = false;
	mine = noise_object(&own, STRIPE);
	for (; !live->stop && !test_failed; live->rounds[n]++) {
		int then, other;

		generation++;
		for (uint64_t i = first; i < first + STRIPE; i += 1 + generation % 3)
			noise_page(p + i * PAGE, i, generation);
		for (uint64_t i = first; i < first + STRIPE; i++)
			if (i % 4 == generation % 4)
				fill_page(mine + (i - first) * PAGE, i, generation);
		MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, first, STRIPE));
		page_out_all(own, STRIPE);
		then = snapshot(fd);
		other = clone_of(then);
		page_out_all(then, USERS * STRIPE);
		for (uint64_t i = first; i < first + STRIPE; i++) {
			const bool written = !((i - first) % (1 + generation % 3));

			if (written) {
				MUST(pread(other, page, PAGE, i * PAGE) == (ssize_t)PAGE);
				CHECK(noise_is(page, i, generation));
				CHECK(noise_is(p + i * PAGE, i, generation));
			}
			if (i % 4 == generation % 4)
				CHECK(page_is(mine + (i - first) * PAGE, i, generation));
		}
		MUST(pwrite(other, "x", 1, first * PAGE) == 1);
		page_out_all(other, USERS * STRIPE);
		close(then);
		close(other);
	}
	let_go(own, mine, STRIPE);
	fflush(stdout);
	_exit(test_failed);
}

static void users_go_on(void)
{
	struct disk first = use_disk(16 * PAGES), second = make_other_disk(16 * PAGES);
	struct counts before = counts_now();
	const unsigned int rounds = fewer_if_debug(16);
	int fd, then;
	char *p = noise_object(&fd, USERS * STRIPE);
	pid_t child[USERS];
	unsigned long drained = 0;

	live = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(live != MAP_FAILED);
	then = snapshot(fd); /* holds slots over all of it */
	page_out_all(then, USERS * STRIPE);
	for (int n = 0; n < USERS; n++) {
		child[n] = fork();
		MUST(child[n] >= 0);
		if (!child[n])
			use(n, fd, p);
	}
	for (unsigned int i = 0; i < rounds; i++) {
		const unsigned long seen = live->rounds[0];

		CHECK_EQ(backing_set(i % 4 == 3 ? "" : i % 2 ? second.path : first.path), 0);
		drained++;
		CHECK(is_free(i % 2 ? &first : &second));
		if (i % 2)
			CHECK_EQ(compressor_set(i % 4 == 1 ? "lzo" : "lzo-rle"), 0);
		CHECK(COMES(live->rounds[0] > seen || waitpid(child[0], NULL, WNOHANG)));
	}
	CHECK_EQ(backing_set(""), 0);
	live->stop = true;
	for (int n = 0; n < USERS; n++) {
		int status;

		MUST(waitpid(child[n], &status, 0) == child[n]);
		CHECK_EQ(status, 0);
		CHECK(live->rounds[n] > 0);
	}
	CHECK_EQ(leaving(), 0);
	CHECK(SINCE(before, drain_visits) >= drained);
	for (uint64_t i = 0; i < USERS * STRIPE; i++) {
		char page[PAGE];

		MUST(pread(then, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		CHECK(noise_is(page, i, 1));
	}
	CHECK(layers_are_sound(fd));
	CHECK_EQ(SINCE(before, checksum_errors) + SINCE(before, backing_errors), 0);
	close(then);
	let_go(fd, p, USERS * STRIPE);
	munmap((void *)live, PAGE);
	check_returned(before);
	CHECK_EQ(compressor_set("lzo-rle"), 0);
	let_other_disk_go(second);
	let_disk_go(first);
}

static const struct test_case cases[] = {
	{"another backing store, then none: all moves, each holder is visited once", "R88",
         backing_changes},
	{"what is in memory leaves its slot", "", what_is_in_memory_stays_there},
	{"another compressor: each is made anew", "R88", compressor_changes},
	{"a page that cannot be read stays, and is told", "R88", a_page_that_cannot_be_read_stays},
	{"what several see, and cannot be read, is tried once", "", what_several_see_fails_once},
	{"what memory may not have stays", "", a_store_that_is_full},
	{"who drains can be killed, and others can go on with it", "R88", who_drains_can_be_killed},
	{"processes write, snapshot, clone, page out and close meanwhile", "R88", users_go_on},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
