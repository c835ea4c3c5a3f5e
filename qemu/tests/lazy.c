// SPDX-License-Identifier: GPL-2.0
/*
 * Lazy restore from user space: what an object has not comes from whoever answers its faults by
 * userfaultfd (COPY, ZEROPAGE, CONTINUE), and nothing is seen there before that.
 */
#include "huge.h"
#include "store.h"

#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

enum { PAGES = 64 };
#define BYTES (PAGES * PAGE)
#define NOT_HERE "userfaultfd takes no mapping of this kernel's modules"

/* Newer than the build host's headers. */
#ifndef UFFDIO_REGISTER_MODE_RWP
#define UFFDIO_REGISTER_MODE_RWP ((__u64)1 << 3)
#define UFFD_FEATURE_RWP (1 << 17)
#endif

static bool is_had(void)
{
	struct cowmem_info info = {.size = sizeof(info)};
	int fd = object_open();

	MUST(!ioctl(fd, COWMEM_IOC_GET_INFO, &info));
	close(fd);
	return info.features & COWMEM_FEATURE_USERFAULTFD;
}

/* A regular file of PAGES pages, all of them holes. */
static int file_of_holes(void)
{
	int device = object_open(), fd = object_create(device, "lazy");

	MUST(fd >= 0 && !ftruncate(fd, BYTES));
	close(device);
	return fd;
}

static void write_page(int fd, unsigned int page, unsigned int generation)
{
	static char bytes[PAGE];

	fill_page(bytes, page, generation);
	MUST(pwrite(fd, bytes, PAGE, page * PAGE) == (ssize_t)PAGE);
}

static bool file_has(int fd, unsigned int page, unsigned int generation)
{
	char bytes[PAGE];

	MUST(pread(fd, bytes, PAGE, page * PAGE) == (ssize_t)PAGE);
	return page_is(bytes, page, generation);
}

static bool is_zero(const char *p)
{
	for (unsigned int i = 0; i < PAGE; i++)
		if (p[i])
			return false;
	return true;
}

/* --- who answers --- */
enum answer { COPY, ZERO, CONTINUE, UNPROTECT };

struct server {
	int uffd, stop[2];
	char *at; /* the mapping that it answers for */
	enum answer answer;
	pthread_t thread;
	char *beside; /* for CONTINUE: where it changes the page before that is seen; or NULL */
	_Atomic unsigned int asked;
	unsigned int asked_for[PAGES];
	unsigned long long flags; /* of all that it was asked */
};

/* A userfaultfd with @features, or -1. */
static int uffd_open(unsigned long long features)
{
	struct uffdio_api api = {.api = UFFD_API, .features = features};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);

	MUST(fd >= 0);
	if (!ioctl(fd, UFFDIO_API, &api))
		return fd;
	close(fd);
	return -1;
}

static int try_register(int uffd, void *at, unsigned long long mode)
{
	struct uffdio_register asked = {.range = {(uintptr_t)at, BYTES}, .mode = mode};

	return ioctl(uffd, UFFDIO_REGISTER, &asked);
}

static int copy_to(int uffd, char *at, unsigned int page, unsigned int generation)
{
	char bytes[PAGE];
	struct uffdio_copy copy = {
		.dst = (uintptr_t)at + page * PAGE, .src = (uintptr_t)bytes, .len = PAGE};

	fill_page(bytes, page, generation);
	return ioctl(uffd, UFFDIO_COPY, &copy);
}

static int zero_at(int uffd, char *at, unsigned int page)
{
	struct uffdio_zeropage zero = {.range = {(uintptr_t)at + page * PAGE, PAGE}};

	return ioctl(uffd, UFFDIO_ZEROPAGE, &zero);
}

static int continue_at(int uffd, char *at, unsigned int page)
{
	struct uffdio_continue go_on = {.range = {(uintptr_t)at + page * PAGE, PAGE}};

	return ioctl(uffd, UFFDIO_CONTINUE, &go_on);
}

static int protect(int uffd, char *at, unsigned int page, bool protected)
{
	struct uffdio_writeprotect wp = {
		.range = {(uintptr_t)at + page * PAGE, PAGE},
		.mode = protected ? UFFDIO_WRITEPROTECT_MODE_WP : 0,
	};

	return ioctl(uffd, UFFDIO_WRITEPROTECT, &wp);
}

static void wake(int uffd, char *at, unsigned int page)
{
	struct uffdio_range range = {(uintptr_t)at + page * PAGE, PAGE};

	MUST(!ioctl(uffd, UFFDIO_WAKE, &range));
}

static int answer(struct server *s, unsigned int page)
{
	switch (s->answer) {
	case COPY:
		return copy_to(s->uffd, s->at, page, 1);
	case ZERO:
		return zero_at(s->uffd, s->at, page);
	case CONTINUE:
		if (s->beside)
			fill_page(s->beside + page * PAGE, page, 2);
		return continue_at(s->uffd, s->at, page);
	case UNPROTECT:
		return protect(s->uffd, s->at, page, false);
	}
	return -1;
}

static void *serve(void *argument)
{
	struct server *s = argument;
	struct pollfd of[2] = {{.fd = s->uffd, .events = POLLIN},
	                       {.fd = s->stop[0], .events = POLLIN}};
	struct uffd_msg message;
	unsigned int page;

	while (poll(of, 2, -1) > 0 && !of[1].revents) {
		if (read(s->uffd, &message, sizeof(message)) != sizeof(message))
			continue;
		MUST(message.event == UFFD_EVENT_PAGEFAULT);
		page = (message.arg.pagefault.address - (uintptr_t)s->at) / PAGE;
		MUST(page < PAGES);
		s->flags |= message.arg.pagefault.flags;
		s->asked_for[page]++;
		atomic_fetch_add(&s->asked, 1);
		if (answer(s, page)) {
			/* Somebody was faster, or has taken away what is to be mapped. */
			MUST(errno == EEXIST || errno == EAGAIN || errno == EFAULT);
			wake(s->uffd, s->at, page);
		}
	}
	return NULL;
}

static void start(struct server *s, char *at, unsigned long long mode, enum answer answer,
                  char *beside)
{
	*s = (struct server){.uffd = uffd_open(0), .at = at, .answer = answer, .beside = beside};
	MUST(s->uffd >= 0 && !pipe(s->stop));
	MUST(!try_register(s->uffd, at, mode));
	MUST(!pthread_create(&s->thread, NULL, serve, s));
}

static void stop(struct server *s)
{
	MUST(write(s->stop[1], "", 1) == 1);
	MUST(!pthread_join(s->thread, NULL));
	for (int i = 0; i < 2; i++)
		close(s->stop[i]);
	close(s->uffd);
}

/* --- cases --- */
/* A write, of what fill_page() has there. */
static void store_the_same(char *p, unsigned int page)
{
	((volatile char *)p)[page * PAGE] = 0;
}

static void what_is_missing_is_copied(void)
{
	unsigned long before = counter("user_missing");
	struct server s;
	char *p, *beside;
	int fd;

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	write_page(fd, 5, 9);
	p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	beside = object_map(fd, BYTES, PROT_READ, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_MISSING, COPY, NULL);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i % 3 == 1)
			store_the_same(p, i);
		CHECK(page_is(p + i * PAGE, i, i == 5 ? 9 : 1));
	}
	stop(&s);
	CHECK_EQ(s.asked, PAGES - 1);
	CHECK_EQ(counter("user_missing") - before, PAGES - 1);
	CHECK_EQ(s.asked_for[5], 0);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(page_is(beside + i * PAGE, i, i == 5 ? 9 : 1) &&
		      file_has(fd, i, i == 5 ? 9 : 1));
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	CHECK_EQ(page_out_all(fd, PAGES), PAGES);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, i == 5 ? 9 : 1));
	munmap(p, BYTES);
	munmap(beside, BYTES);
	close(fd);
}

/* A private mapping's page is its own; the object has it not. By both who may copy. */
static void private_copies_of_what_is_missing(void)
{
	if (!is_had())
		SKIP(NOT_HERE);
	for (unsigned int core = 0; core < 2; core++) {
		int fd = file_of_holes();
		struct server s;
		char *p;

		write_page(fd, 7, 9);
		MUST(!object_set_cow(fd, core ? COWMEM_COW_CORE : COWMEM_COW_HANDLER));
		p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		start(&s, p, UFFDIO_REGISTER_MODE_MISSING, COPY, NULL);
		for (unsigned int i = 0; i < PAGES; i++) {
			if (i % 2)
				store_the_same(p, i);
			CHECK(page_is(p + i * PAGE, i, i == 7 ? 9 : 1));
		}
		stop(&s);
		CHECK_EQ(s.asked, PAGES - 1);
		CHECK_EQ(object_stat(fd).resident_pages, 1);
		CHECK_ERRNO(lseek(fd, 8 * PAGE, SEEK_DATA), ENXIO);
		munmap(p, BYTES);
		close(fd);
	}
}

static void what_is_missing_is_zero(void)
{
	struct server s;
	char *p;
	int fd;

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_MISSING, ZERO, NULL);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(is_zero(p + i * PAGE));
	p[0] = 1;
	stop(&s);
	CHECK_EQ(s.asked, PAGES);
	CHECK_EQ(object_stat(fd).resident_pages, PAGES);
	CHECK_EQ(lseek(fd, 0, SEEK_HOLE), BYTES);
	munmap(p, BYTES);
	close(fd);
}

/* What is there, in memory, in the store, or a snapshot's, too, is seen when it was said to be right. */
static void what_is_there_is_continued(void)
{
	struct cowmem_page_out out;
	struct server s;
	char *p, *beside;
	int fd, taken;

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	for (unsigned int i = 0; i < PAGES; i++)
		write_page(fd, i, 1);
	taken = snapshot(fd);
	for (unsigned int i = 0; i < PAGES / 2; i++) /* these are its own again */
		write_page(fd, i, 3);
	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, PAGES / 4, PAGES / 4));
	CHECK_EQ(out.out, PAGES / 4);
	MUST(!page_out_ask(taken, &out, COWMEM_PAGE_OUT_ACCESSED, PAGES * 3 / 4, PAGES / 4));
	p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	beside = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_MINOR, CONTINUE, NULL);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i % 2)
			store_the_same(p, i);
		CHECK(page_is(p + i * PAGE, i, i < PAGES / 2 ? 3 : 1));
		/* What the answer maps may be written: that is the object's only. */
		fill_page(p + i * PAGE, i, 4);
	}
	stop(&s);
	CHECK_EQ(s.asked, PAGES);
	CHECK(s.flags & UFFD_PAGEFAULT_FLAG_MINOR);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(page_is(beside + i * PAGE, i, 4) && file_has(fd, i, 4) &&
		      file_has(taken, i, 1));
	CHECK(layers_are_sound(fd));

	/* And it may be set right before that. */
	MUST(!madvise(p, BYTES, MADV_DONTNEED));
	start(&s, p, UFFDIO_REGISTER_MODE_MINOR, CONTINUE, beside);
	for (unsigned int i = 0; i < PAGES; i++)
		CHECK(page_is(p + i * PAGE, i, 2));
	stop(&s);
	CHECK_EQ(s.asked, PAGES);
	munmap(p, BYTES);
	munmap(beside, BYTES);
	close(taken);
	close(fd);
}

/* A hole is one of the object: what a clone inherits is not missing, and what fills one is no relative's. */
static void relatives_do_not_see_what_is_filled(void)
{
	struct server s;
	int fd, taken, clone;
	char *p, bytes[PAGE];

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	write_page(fd, 1, 5);
	taken = snapshot(fd);
	clone = clone_of(taken);
	p = object_map(clone, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_MISSING, COPY, NULL);
	CHECK(page_is(p + PAGE, 1, 5));
	CHECK(page_is(p + 2 * PAGE, 2, 1));
	p[PAGE] = 7;
	stop(&s);
	CHECK_EQ(s.asked, 1);
	CHECK(file_has(clone, 2, 1));
	for (int i = 0; i < 2; i++) {
		int relative = i ? taken : fd;

		MUST(pread(relative, bytes, PAGE, 2 * PAGE) == (ssize_t)PAGE);
		CHECK(is_zero(bytes) && file_has(relative, 1, 5));
	}
	CHECK(layers_are_sound(fd));
	munmap(p, BYTES);
	close(clone);
	close(taken);
	close(fd);
}

static void refusals(void)
{
	int fd, device, taken, uffd, rwp, reader;
	char *p, *of_device, *of_snapshot, *of_reader, name[32];

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	device = object_open();
	MUST(!object_resize(device, BYTES));
	write_page(fd, 0, 1);
	taken = snapshot(fd);
	p = object_map(fd, 2 * BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	of_device = object_map(device, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	of_snapshot = object_map(taken, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	uffd = uffd_open(0);

	/* Of the device's descriptors, and what is minor of a snapshot's. */
	CHECK_ERRNO(try_register(uffd, of_device, UFFDIO_REGISTER_MODE_MISSING), EINVAL);
	CHECK_ERRNO(try_register(uffd, of_device, UFFDIO_REGISTER_MODE_MINOR), EINVAL);
	CHECK_ERRNO(try_register(uffd, of_snapshot, UFFDIO_REGISTER_MODE_MINOR), EINVAL);
	MUST(!try_register(uffd, of_snapshot, UFFDIO_REGISTER_MODE_MISSING));
	CHECK_ERRNO(continue_at(uffd, of_snapshot, 0), EINVAL);
	CHECK_EQ(zero_at(uffd, of_snapshot, 1), 0);
	CHECK(is_zero(of_snapshot + PAGE));

	/* A process that may only read the file copies nothing for the object, which snapshots would count. */
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	reader = open(name, O_RDONLY | O_CLOEXEC);
	MUST(reader >= 0);
	of_reader = object_map(reader, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK_ERRNO(try_register(uffd, of_reader, UFFDIO_REGISTER_MODE_MINOR), EINVAL);
	MUST(!try_register(uffd, of_reader, UFFDIO_REGISTER_MODE_MISSING));
	CHECK_ERRNO(continue_at(uffd, of_reader, 0), EINVAL);
	CHECK_EQ(object_stat(taken).copies, 0);
	munmap(of_reader, BYTES);
	close(reader);

	/* Something is there; it is behind the end; nothing is there. */
	MUST(!try_register(uffd, p, UFFDIO_REGISTER_MODE_MISSING));
	MUST(!try_register(uffd, p + BYTES, UFFDIO_REGISTER_MODE_MISSING));
	CHECK_ERRNO(copy_to(uffd, p, 0, 2), EEXIST);
	CHECK_ERRNO(copy_to(uffd, p, PAGES, 2), EFAULT);
	CHECK_ERRNO(continue_at(uffd, p, 1), EFAULT);
	CHECK(file_has(fd, 0, 1) && file_has(taken, 0, 1));
	CHECK_EQ(object_stat(fd).bytes, BYTES);

	/* What page-out would lose. */
	rwp = uffd_open(UFFD_FEATURE_RWP);
	if (rwp >= 0) {
		CHECK_ERRNO(try_register(rwp, p, UFFDIO_REGISTER_MODE_RWP), EINVAL);
		close(rwp);
	}
	close(uffd);
	munmap(p, 2 * BYTES);
	munmap(of_device, BYTES);
	munmap(of_snapshot, BYTES);
	close(taken);
	close(device);
	close(fd);
}

/* What fills a hole counts for the size of a mount, as what is written does. */
static void a_mount_that_is_full(void)
{
	const unsigned int room = 4;
	struct statfs fs;
	int fd, uffd;
	char *p;

	if (!is_had())
		SKIP(NOT_HERE);
	mkdir("/tmp/lazy", 0700);
	MUST(!mount("none", "/tmp/lazy", "cowmem", 0, "size=16k"));
	fd = open("/tmp/lazy/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, BYTES));
	p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	uffd = uffd_open(0);
	MUST(!try_register(uffd, p, UFFDIO_REGISTER_MODE_MISSING));
	for (unsigned int i = 0; i < room; i++)
		CHECK_EQ(copy_to(uffd, p, i, 1), 0);
	CHECK_ERRNO(copy_to(uffd, p, room, 1), ENOSPC);
	CHECK_ERRNO(lseek(fd, room * PAGE, SEEK_DATA), ENXIO);
	MUST(!statfs("/tmp/lazy", &fs));
	CHECK_EQ(fs.f_bfree, 0);
	MUST(!object_punch(fd, 0, PAGE));
	CHECK_EQ(copy_to(uffd, p, room, 1), 0);
	for (unsigned int i = 1; i <= room; i++)
		CHECK(page_is(p + i * PAGE, i, 1));
	close(uffd);
	munmap(p, BYTES);
	close(fd);
	CHECK(COMES(!umount("/tmp/lazy")));
	rmdir("/tmp/lazy");
}

/* Not by itself: each write to what is protected asks, also when it was out meanwhile. */
static void writes_that_ask(void)
{
	struct server s;
	char *p;
	int fd;

	if (!is_had())
		SKIP(NOT_HERE);
	fd = file_of_holes();
	for (unsigned int i = 0; i < PAGES; i++)
		write_page(fd, i, 1);
	p = object_map(fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_WP, UNPROTECT, NULL);
	for (unsigned int i = 0; i < PAGES; i++) {
		CHECK(page_is(p + i * PAGE, i, 1));
		if (i % 2)
			CHECK_EQ(protect(s.uffd, p, i, true), 0);
	}
	CHECK_EQ(page_out_all(fd, PAGES), PAGES);
	for (unsigned int i = 0; i < PAGES; i++) {
		if (i % 4 < 2)
			CHECK(page_is(p + i * PAGE, i, 1));
		fill_page(p + i * PAGE, i, 2);
	}
	stop(&s);
	CHECK_EQ(s.asked, PAGES / 2);
	CHECK(s.flags & UFFD_PAGEFAULT_FLAG_WP);
	for (unsigned int i = 0; i < PAGES; i++) {
		CHECK_EQ(s.asked_for[i], i % 2);
		CHECK(file_has(fd, i, 2));
	}
	munmap(p, BYTES);
	close(fd);
}

/* Where each page is asked for, no other comes along. */
static void what_is_missing_of_a_block(void)
{
	struct server s;
	char *p;
	int fd;

	if (!is_had())
		SKIP(NOT_HERE);
	NEED_HUGE();
	fd = huge_create(BLOCK);
	p = object_map(fd, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, p, UFFDIO_REGISTER_MODE_MISSING, COPY, NULL);
	for (unsigned int i = 0; i < PAGES; i++) {
		CHECK(page_is(p + i * PAGE, i, 1));
		CHECK_EQ(object_stat(fd).resident_pages, i + 1);
	}
	/* A write() of a block is there as a whole, or not. */
	CHECK_EQ(object_punch(fd, 0, BLOCK), 0);
	{
		char *from = malloc(BLOCK);

		MUST(from);
		fill_pages(from, 0, BLOCK_PAGES, 1);
		CHECK_EQ(pwrite(fd, from, BLOCK, 0), BLOCK);
		free(from);
	}
	CHECK_EQ(object_stat(fd).large_pages, BLOCK_PAGES);
	CHECK(pages_are(p, 0, BLOCK_PAGES, 1));
	stop(&s);
	CHECK_EQ(s.asked, PAGES);
	munmap(p, BLOCK);
	close(fd);
}

/* A part of a large page is mapped as a page is; and the whole is locked by nobody, and referenced by nobody, behind that. */
static void parts_of_a_large_page_are_continued(void)
{
	int fd, uffd;
	char *p;

	if (!is_had())
		SKIP(NOT_HERE);
	NEED_HUGE();

	const struct counts before = counts_now();

	fd = huge_create(BLOCK);
	p = object_map(fd, BLOCK, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill_pages(p, 0, BLOCK_PAGES, 1);
	CHECK_EQ(pmd_mapped(p), BLOCK >> 10);
	MUST(!madvise(p, BLOCK, MADV_DONTNEED));
	uffd = uffd_open(0);
	MUST(!try_register(uffd, p, UFFDIO_REGISTER_MODE_MINOR));
	for (unsigned int i = 0; i < PAGES; i += 7) {
		CHECK_EQ(continue_at(uffd, p, i), 0);
		CHECK_ERRNO(continue_at(uffd, p, i), EEXIST);
		CHECK(page_is(p + i * PAGE, i, 1));
		fill_page(p + i * PAGE, i, 2);
		CHECK(file_has(fd, i, 2));
	}
	CHECK_EQ(object_punch(fd, PAGE, PAGE), 0); /* takes it apart */
	CHECK_EQ(object_stat(fd).resident_pages, BLOCK_PAGES - 1);
	close(uffd);
	finish(fd, p, BLOCK, before);
}

/* --- together with all that takes pages away --- */
struct storm {
	int fd;
	char *p;
	bool minor;
	_Atomic bool stop;
	_Atomic unsigned int wrong;
};

static void *touch_all(void *argument)
{
	struct storm *storm = argument;
	unsigned int random = (unsigned int)(uintptr_t)&random;

	while (!atomic_load(&storm->stop)) {
		unsigned int page = (unsigned int)rand_r(&random) % PAGES;
		volatile uint64_t *word = (uint64_t *)(storm->p + page * PAGE) +
		                          (unsigned int)rand_r(&random) % (PAGE / 8);
		const uint64_t is = *word;

		/* What was copied there, never the zeroes of a hole. */
		if (is >> 16 != ((uint64_t)page << 16 | 1))
			atomic_fetch_add(&storm->wrong, 1);
		else if (rand_r(&random) % 2)
			*word = is;
	}
	return NULL;
}

static void take_away(struct storm *storm, unsigned int random)
{
	struct cowmem_page_out out;
	unsigned int first = random / 8 % PAGES, count = 1 + random / 512 % (PAGES - first);
	int taken;

	switch (random % 4) {
	case 0:
		MUST(!object_punch(storm->fd, first * PAGE, count * PAGE));
		break;
	case 1:
		MUST(!page_out_ask(storm->fd, &out, COWMEM_PAGE_OUT_ACCESSED, first, count));
		break;
	case 2:
		MUST(!madvise(storm->p + first * PAGE, count * PAGE, MADV_DONTNEED));
		break;
	case 3:
		taken = snapshot(storm->fd);
		for (unsigned int i = 0; i < PAGES; i++) {
			off_t data = lseek(taken, i * PAGE, SEEK_DATA);

			if (data == (off_t)(i * PAGE) && !file_has(taken, i, 1))
				atomic_fetch_add(&storm->wrong, 1);
		}
		close(taken);
		break;
	}
}

static void nothing_is_seen_that_was_not_given(void)
{
	unsigned int random = 11, rounds = fewer_if_debug(2000);
	struct storm storm = {};
	pthread_t threads[2];
	struct server s;

	if (!is_had())
		SKIP(NOT_HERE);
	storm.fd = file_of_holes();
	storm.p = object_map(storm.fd, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED);
	start(&s, storm.p, UFFDIO_REGISTER_MODE_MISSING, COPY, NULL);
	for (unsigned int i = 0; i < ARRAY_LENGTH(threads); i++)
		MUST(!pthread_create(&threads[i], NULL, touch_all, &storm));
	while (rounds--)
		take_away(&storm, (unsigned int)rand_r(&random));
	atomic_store(&storm.stop, true);
	for (unsigned int i = 0; i < ARRAY_LENGTH(threads); i++)
		MUST(!pthread_join(threads[i], NULL));
	stop(&s);
	CHECK_EQ(storm.wrong, 0);
	CHECK(s.asked > PAGES);
	ksft_print_msg("asked %u times\n", s.asked);
	CHECK(layers_are_sound(storm.fd));
	munmap(storm.p, BYTES);
	close(storm.fd);
}

static const struct test_case cases[] = {
	{"what is missing is copied there, once, and is the object's", "",
         what_is_missing_is_copied},
	{"a private mapping has its own copies of what is missing", "R1 R4",
         private_copies_of_what_is_missing},
	{"what is missing is zero", "", what_is_missing_is_zero},
	{"what is there is continued, and is the object's own", "", what_is_there_is_continued},
	{"relatives do not see what is filled", "", relatives_do_not_see_what_is_filled},
	{"what is refused leaves nothing", "", refusals},
	{"what fills a hole counts for a mount's size", "", a_mount_that_is_full},
	{"a write to what is protected asks, also when it was out", "R53", writes_that_ask},
	{"each page of a block is asked for", "", what_is_missing_of_a_block},
	{"parts of a large page are continued", "", parts_of_a_large_page_are_continued},
	{"nothing is seen that was not given", "", nothing_is_seen_that_was_not_given},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
