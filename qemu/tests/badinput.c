// SPDX-License-Identifier: GPL-2.0
/*
 * What must be refused, each with its errno, and that nothing has changed when it
 * was. Where the kernel's core answers before the module, memfd is asked as well.
 */
#include "relatives.h"

#include <grp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES(n) ((n) * PAGE)

/* Below mmap_min_addr, so never there. Volatile, lest the compiler warn of what we do with it. */
static void *volatile nowhere = (void *)8;
static volatile int bad_counts[] = {-1, 1025};

#define MAX_BYTES 0x7ffffffffffff000ULL

/* Every command, the size of its struct, and where in it the flags are: always second. */
static const struct command {
	const char *name;
	unsigned int number;
	size_t size;
	bool answers;   /* writes to the struct */
	uint32_t flags; /* that it knows */
} commands[] = {
	{"GET_INFO", COWMEM_IOC_GET_INFO, sizeof(struct cowmem_info), true, 0},
	{"STAT", COWMEM_IOC_STAT, sizeof(struct cowmem_stat), true, 0},
	{"RESIZE", COWMEM_IOC_RESIZE, sizeof(struct cowmem_resize), false, COWMEM_RESIZE_GROWS},
	{"PUNCH", COWMEM_IOC_PUNCH, sizeof(struct cowmem_punch), true, 0},
	{"SET_COW", COWMEM_IOC_SET_COW, sizeof(struct cowmem_set_cow), false, 0},
	{"RMAP", COWMEM_IOC_RMAP, sizeof(struct cowmem_rmap), true, COWMEM_RMAP_OF_COPIES},
	{"PAGEMAP", COWMEM_IOC_PAGEMAP, sizeof(struct cowmem_pagemap), true,
         COWMEM_PAGEMAP_CLEAR_REFERENCED | COWMEM_PAGEMAP_CLEAR_DIRTY},
	{"MOVE", COWMEM_IOC_MOVE, sizeof(struct cowmem_move), true, 0},
	{"POISON", COWMEM_IOC_POISON, sizeof(struct cowmem_poison), true,
         0}, /* of a hole, after PUNCH */
	{"SET_HUGE", COWMEM_IOC_SET_HUGE, sizeof(struct cowmem_set_huge), false, 0},
	{"PAGE_OUT", COWMEM_IOC_PAGE_OUT, sizeof(struct cowmem_page_out), true,
         COWMEM_PAGE_OUT_ACCESSED | COWMEM_PAGE_OUT_AGE},
	{"PREFETCH", COWMEM_IOC_PREFETCH, sizeof(struct cowmem_prefetch), true,
         COWMEM_PREFETCH_TO_WRITE},
	{"STORE_STAT", COWMEM_IOC_STORE_STAT, sizeof(struct cowmem_store_stat), true, 0},
	{"STORE_LIMIT", COWMEM_IOC_STORE_LIMIT, sizeof(struct cowmem_store_limit), false, 0},
	{"DIFF", COWMEM_IOC_DIFF, sizeof(struct cowmem_diff), true, 0},
};
_Static_assert(offsetof(struct cowmem_info, flags) == 4 &&
                       offsetof(struct cowmem_stat, flags) == 4 &&
                       offsetof(struct cowmem_resize, flags) == 4 &&
                       offsetof(struct cowmem_punch, flags) == 4 &&
                       offsetof(struct cowmem_set_cow, flags) == 4 &&
                       offsetof(struct cowmem_rmap, flags) == 4 &&
                       offsetof(struct cowmem_pagemap, flags) == 4 &&
                       offsetof(struct cowmem_move, flags) == 4 &&
                       offsetof(struct cowmem_poison, flags) == 4 &&
                       offsetof(struct cowmem_set_huge, flags) == 4 &&
                       offsetof(struct cowmem_page_out, flags) == 4 &&
                       offsetof(struct cowmem_prefetch, flags) == 4 &&
                       offsetof(struct cowmem_store_stat, flags) == 4 &&
                       offsetof(struct cowmem_store_limit, flags) == 4 &&
                       offsetof(struct cowmem_diff, flags) == 4,
               "");
/* Of all that take a range it is in the same place. */
_Static_assert(
	offsetof(struct cowmem_rmap, length) == offsetof(struct cowmem_punch, length) &&
		offsetof(struct cowmem_pagemap, length) == offsetof(struct cowmem_punch, length) &&
		offsetof(struct cowmem_move, length) == offsetof(struct cowmem_punch, length) &&
		offsetof(struct cowmem_poison, length) == offsetof(struct cowmem_punch, length) &&
		offsetof(struct cowmem_page_out, length) == offsetof(struct cowmem_punch, length) &&
		offsetof(struct cowmem_diff, length) == offsetof(struct cowmem_punch, length),
	"");

/* The size of the first version of a command's struct. */
static size_t first_size(const struct command *command)
{
	switch (command->number) {
	case COWMEM_IOC_STAT:
		return COWMEM_STAT_SIZE_VER0;
	case COWMEM_IOC_PUNCH:
		return COWMEM_PUNCH_SIZE_VER0;
	}
	return command->size;
}

union argument {
	uint32_t size;
	struct {
		uint32_t size_, flags;
	};
	struct cowmem_punch punch;
	char bytes[PAGE];
};

/* The object that is asked: DIFF wants another of the family, and takes the same. */
static int asked;

/* A valid argument of any command, @extra bytes longer than the struct. */
static void make_argument(union argument *argument, const struct command *command, size_t extra)
{
	memset(argument, 0, sizeof(*argument));
	argument->size = command->size + extra;
	if (command->number == COWMEM_IOC_RESIZE)
		((struct cowmem_resize *)argument)->bytes = PAGES(3);
	if (command->number == COWMEM_IOC_PUNCH || command->number == COWMEM_IOC_PAGE_OUT ||
	    (command->number >= COWMEM_IOC_DIFF && command->number != COWMEM_IOC_SET_HUGE))
		argument->punch.length = PAGE;
	if (command->number == COWMEM_IOC_DIFF)
		((struct cowmem_diff *)argument)->fd = asked;
}

static bool unchanged(int fd, const struct cowmem_stat *before)
{
	struct cowmem_stat now = object_stat(fd);

	return !memcmp(&now, before, sizeof(now));
}

/* An object of three pages with data in the first two, of fixed size. */
static int some_object(void)
{
	int fd = object_open();

	MUST(pwrite(fd, "data", 4, 0) == 4 && pwrite(fd, "data", 4, PAGE) == 4);
	MUST(!object_resize(fd, PAGES(3)));
	asked = fd;
	return fd;
}

/* Two pages of which the second is not there: what lies at the end of the first. */
static char *page_before_nothing(void)
{
	char *p = mmap(NULL, PAGES(2), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED && !mprotect(p + PAGE, PAGE, PROT_NONE));
	return p;
}

#define CHECK_COMMAND(command, fd, argument, error)                                              \
	do {                                                                                     \
		errno = 0;                                                                       \
		int r_ = ioctl(fd, (command)->number, argument), e_ = errno;                     \
		if (r_ != ((error) == 0 ? 0 : -1) || (r_ && e_ != (error))) {                    \
			test_failed = true;                                                      \
			ksft_print_msg("%s:%d: %s gave %d, errno %d (%s), not %s\n", __FILE__,   \
			               __LINE__, (command)->name, r_, e_, strerror(e_), #error); \
		}                                                                                \
	} while (0)

static void bad_pointers(void)
{
	union argument argument, *read_only;
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);
	char *page = page_before_nothing();

	read_only = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(read_only != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		CHECK_COMMAND(c, fd, NULL, EFAULT);
		CHECK_COMMAND(c, fd, nowhere, EFAULT);
		CHECK_COMMAND(c, fd, (void *)-1L, EFAULT);
		CHECK_COMMAND(c, fd, (void *)-PAGE, EFAULT);
		CHECK_COMMAND(c, fd, (void *)(1UL << 63), EFAULT);

		/* Only the size is there; all but the last byte is there. */
		make_argument(&argument, c, 0);
		memcpy(page + PAGE - 4, &argument, 4);
		CHECK_COMMAND(c, fd, page + PAGE - 4, EFAULT);
		memcpy(page + PAGE - (c->size - 1), &argument, c->size - 1);
		CHECK_COMMAND(c, fd, page + PAGE - (c->size - 1), EFAULT);
		/* The struct is there, the rest that its size speaks of is not. */
		make_argument(&argument, c, 8);
		memcpy(page + PAGE - c->size, &argument, c->size);
		CHECK_COMMAND(c, fd, page + PAGE - c->size, EFAULT);
	}
	CHECK(unchanged(fd, &before));
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		MUST(!mprotect(read_only, PAGE, PROT_READ | PROT_WRITE));
		make_argument(read_only, c, 0);
		MUST(!mprotect(read_only, PAGE, PROT_READ));
		if (c->answers)
			CHECK_COMMAND(c, fd, read_only, EFAULT);
		else
			CHECK_COMMAND(c, fd, read_only, 0);
		/* To the last byte of what is mapped, and odd addresses. */
		make_argument(&argument, c, 0);
		memcpy(page + PAGE - c->size, &argument, c->size);
		CHECK_COMMAND(c, fd, page + PAGE - c->size, 0);
		memcpy(page + 1, &argument, c->size);
		CHECK_COMMAND(c, fd, page + 1, 0);
	}
	munmap(page, PAGES(2));
	munmap(read_only, PAGE);
	close(fd);
}

static void bad_sizes(void)
{
	union argument argument;
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);

	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		for (uint32_t size = 0; size < first_size(c); size++) {
			make_argument(&argument, c, 0);
			argument.size = size;
			CHECK_COMMAND(c, fd, &argument, EINVAL);
			CHECK_EQ(argument.size, size);
		}
		/* Larger than a page is too large, whatever follows. */
		make_argument(&argument, c, 0);
		argument.size = PAGE + 1;
		CHECK_COMMAND(c, fd, &argument, E2BIG);
		argument.size = -1U;
		CHECK_COMMAND(c, fd, &argument, E2BIG);
		/* A newer caller: what we do not know must be zero, and all of it is looked at. */
		for (size_t extra = 1; extra <= 64; extra++) {
			make_argument(&argument, c, extra);
			argument.bytes[c->size] = 1;
			CHECK_COMMAND(c, fd, &argument, E2BIG);
			make_argument(&argument, c, extra);
			argument.bytes[c->size + extra - 1] = 0x80;
			CHECK_COMMAND(c, fd, &argument, E2BIG);
		}
	}
	CHECK(unchanged(fd, &before));
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		for (size_t extra = 0; extra <= PAGE - c->size; extra += extra < 32 ? 1 : 509) {
			make_argument(&argument, c, extra);
			memset(argument.bytes + c->size + extra, 0x55, PAGE - c->size - extra);
			CHECK_COMMAND(c, fd, &argument, 0);
			CHECK_EQ(argument.size, c->size + extra); /* the caller's own stays */
		}
	}
	CHECK_EQ(object_stat(fd).resident_pages, 1); /* PUNCH did work */
	close(fd);
}

/* A program that was built when structs were shorter: it is served, and nothing behind its struct is touched. */
static void older_callers(void)
{
	union argument argument, whole, *read_only;
	int fd = some_object(), grown = 0;

	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		for (uint32_t size = first_size(c); size < c->size; size++) {
			make_argument(&argument, c, 0);
			make_argument(&whole, c, 0);
			argument.size = size;
			memset(argument.bytes + size, 0x55, PAGE - size);
			CHECK_COMMAND(c, fd, &argument, 0);
			CHECK_COMMAND(c, fd, &whole, 0);
			CHECK_EQ(argument.size, size);
			CHECK(!memcmp(argument.bytes + 4, whole.bytes + 4, size - 4));
			for (size_t j = size; j < PAGE; j++)
				CHECK(argument.bytes[j] == 0x55);
		}
		grown += first_size(c) < c->size;
	}
	CHECK(grown > 0);
	/* PUNCH had no answer then: its struct may be where nothing can be written. */
	read_only = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(read_only != MAP_FAILED);
	read_only->punch = (struct cowmem_punch){.size = COWMEM_PUNCH_SIZE_VER0, .length = PAGE};
	MUST(!mprotect(read_only, PAGE, PROT_READ));
	CHECK_EQ(ioctl(fd, COWMEM_IOC_PUNCH, read_only), 0);
	munmap(read_only, PAGE);
	close(fd);
}

static void unknown_flags(void)
{
	union argument argument;
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);

	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		for (int bit = 0; bit < 32; bit++) {
			if (commands[i].flags & 1U << bit)
				continue;
			make_argument(&argument, &commands[i], 0);
			argument.flags = 1U << bit;
			CHECK_COMMAND(&commands[i], fd, &argument, EINVAL);
		}
		make_argument(&argument, &commands[i], 0);
		argument.flags = -1U;
		CHECK_COMMAND(&commands[i], fd, &argument, EINVAL);
	}
	CHECK(unchanged(fd, &before));
	close(fd);
}

static void bad_cow_mode(void)
{
	struct cowmem_set_cow set = {.size = sizeof(set), .cow = COWMEM_COW_CORE, .__reserved = 1};
	int fd = object_open();

	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SET_COW, &set), EINVAL);
	set.__reserved = 0x80000000;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SET_COW, &set), EINVAL);
	CHECK_ERRNO(object_set_cow(fd, 2), EINVAL);
	CHECK_ERRNO(object_set_cow(fd, 0x100), EINVAL);
	CHECK_ERRNO(object_set_cow(fd, -1U), EINVAL);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_HANDLER);
	CHECK_EQ(object_set_cow(fd, COWMEM_COW_CORE), 0);
	CHECK_ERRNO(object_set_cow(fd, 2), EINVAL);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_CORE);
	close(fd);
}

static void unknown_commands(void)
{
	union argument argument;
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);

	make_argument(&argument, &commands[0], 0);
	for (unsigned int number = 0; number < 256; number++) {
		bool known = false;

		for (size_t i = 0; i < ARRAY_LENGTH(commands); i++)
			known |= commands[i].number == _IO(COWMEM_IOC_TYPE, number);
		/* Theirs are in snapshot.c: each makes a descriptor, or wants one. */
		known |= _IO(COWMEM_IOC_TYPE, number) >= COWMEM_IOC_SNAPSHOT &&
		         _IO(COWMEM_IOC_TYPE, number) <= COWMEM_IOC_SNAPSHOT_SET;
		/* In files.c, for the same reason. */
		known |= _IO(COWMEM_IOC_TYPE, number) == COWMEM_IOC_CREATE ||
		         _IO(COWMEM_IOC_TYPE, number) ==
		                 COWMEM_IOC_COLLAPSE || /* not of all kernels */
		         _IO(COWMEM_IOC_TYPE, number) == COWMEM_IOC_FILE;
		if (!known)
			CHECK_ERRNO(ioctl(fd, _IO(COWMEM_IOC_TYPE, number), &argument), ENOTTY);
		CHECK_ERRNO(ioctl(fd, _IOWR(COWMEM_IOC_TYPE, number, union argument), &argument),
		            ENOTTY);
		CHECK_ERRNO(ioctl(fd, _IO(COWMEM_IOC_TYPE - 1, number), &argument), ENOTTY);
	}
	CHECK_ERRNO(ioctl(fd, 0, &argument), ENOTTY);
	CHECK_ERRNO(ioctl(fd, -1U, &argument), ENOTTY);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_STAT, NULL), EFAULT); /* the command is known */
	CHECK(unchanged(fd, &before));
	close(fd);
}

static void foreign_descriptors(void)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), mem = memfd_create("m", MFD_CLOEXEC);
	int sockets[2], path = open(COWMEM_DEVICE, O_PATH | O_CLOEXEC);
	union argument argument;
	unsigned int number;

	MUST(null >= 0 && mem >= 0 && path >= 0);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		make_argument(&argument, &commands[i], 0);
		CHECK_COMMAND(&commands[i], null, &argument, ENOTTY);
		CHECK_COMMAND(&commands[i], mem, &argument, ENOTTY);
		CHECK_COMMAND(&commands[i], sockets[0], &argument, ENOTTY);
		number = commands[i].number;
		CHECK_ERRNO(ioctl(path, number, &argument), EBADF); /* no object behind it */
		CHECK_ERRNO(ioctl(-1, number, &argument), EBADF);
	}
	close(null);
	close(mem);
	close(path);
	close(sockets[0]);
	close(sockets[1]);
}

static void bad_resize(void)
{
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);

	CHECK_ERRNO(object_resize(fd, MAX_BYTES + 1), EFBIG);
	CHECK_ERRNO(object_resize(fd, MAX_BYTES + PAGE), EFBIG);
	CHECK_ERRNO(object_resize(fd, 1ULL << 63), EFBIG);
	CHECK_ERRNO(object_resize(fd, -1ULL), EFBIG);
	CHECK(unchanged(fd, &before));
	CHECK_EQ(object_resize(fd, MAX_BYTES), 0);
	CHECK_EQ(object_stat(fd).bytes, MAX_BYTES);
	CHECK_EQ(object_stat(fd).resident_pages, 2);
	close(fd);
}

static void bad_ranges(void)
{
	static const uint64_t bad[][2] = {
		{1, PAGE},
		{PAGE - 1, PAGE},
		{0, 1},
		{0, PAGE - 1},
		{0, PAGE + 1},
		{0, 0},
		{PAGE, 0},
		{MAX_BYTES, PAGE},
		{PAGE, MAX_BYTES},
		{MAX_BYTES + PAGE, PAGE},
		{PAGE, -PAGE},
		{-PAGE, PAGE},
		{-PAGE, 2 * PAGE},
		{0, 1ULL << 63},
		{1ULL << 63, PAGE},
	};
	struct cowmem_page_out out = {.size = sizeof(out)};
	struct cowmem_range range;
	struct cowmem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = (uintptr_t)&range, .count = 1};
	int fd = some_object();
	struct cowmem_stat before = object_stat(fd);

	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		out.offset = range.offset = bad[i][0];
		out.length = range.length = bad[i][1];
		CHECK_ERRNO(object_punch(fd, bad[i][0], bad[i][1]), EINVAL);
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PAGE_OUT, &out), EINVAL);
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch), EINVAL);
	}
	prefetch.count = COWMEM_PREFETCH_MAX + 1; /* they are not even looked at */
	prefetch.ranges = (uintptr_t)nowhere;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch), EINVAL);
	prefetch.count = COWMEM_PREFETCH_MAX;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PREFETCH, &prefetch), EFAULT);
	CHECK(unchanged(fd, &before));
	CHECK_EQ(object_punch(fd, MAX_BYTES - PAGE, PAGE), 0);
	CHECK(unchanged(fd, &before));
	CHECK_EQ(object_punch(fd, 0, MAX_BYTES), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	close(fd);
}

static void bad_ranges_of_relatives(void)
{
	static const uint64_t bad[][2] = {
		{1, PAGE},         {0, 1},        {0, PAGE + 1}, {PAGE, 0},       {1, 0},
		{MAX_BYTES, PAGE}, {PAGE, -PAGE}, {-PAGE, PAGE}, {0, 1ULL << 63}, {1ULL << 63, 0},
	};
	int fd = some_object(), then = snapshot(fd), other = some_object();
	struct cowmem_stat before = object_stat(fd);
	struct cowmem_snapshot of_range = {
		.size = sizeof(of_range), .offset = PAGE, .length = PAGE};
	struct cowmem_restore arg = {
		.size = sizeof(arg), .fd = then, .__reserved = 1, .length = PAGE};
	union argument *read_only =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t next;

	MUST(read_only != MAP_FAILED);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
		CHECK_ERRNO(restore_range(fd, then, bad[i][0], bad[i][1], &next), EINVAL);
		CHECK_ERRNO(clone_range(fd, bad[i][0], bad[i][1]), EINVAL);
		CHECK_ERRNO(clone_range(then, bad[i][0], bad[i][1]), EINVAL);
	}
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &of_range), EINVAL);
	of_range.offset = 0;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &of_range), EINVAL);
	of_range.flags = COWMEM_SNAPSHOT_LIMIT;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &of_range), EINVAL);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &of_range), EINVAL);
	CHECK_ERRNO(restore_range(fd, fd, 0, PAGE, &next), EINVAL);
	CHECK_ERRNO(restore_range(other, then, 0, PAGE, &next), EINVAL);
	CHECK_ERRNO(restore_range(fd, -1, 0, PAGE, &next), EBADF);
	CHECK_ERRNO(restore_range(then, then, 0, PAGE, &next), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_RESTORE, &arg), EINVAL);
	CHECK(unchanged(fd, &before));

	/* The answer cannot be told. To all of it there is none, and of that the first version knows alone. */
	arg.__reserved = 0;
	memcpy(read_only, &arg, sizeof(arg));
	MUST(!mprotect(read_only, PAGE, PROT_READ));
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_RESTORE, read_only), EFAULT);
	MUST(!mprotect(read_only, PAGE, PROT_READ | PROT_WRITE));
	read_only->size = COWMEM_RESTORE_SIZE_VER0;
	MUST(!mprotect(read_only, PAGE, PROT_READ));
	MUST(pwrite(fd, "new", 3, PAGE) == 3);
	CHECK_EQ(ioctl(fd, COWMEM_IOC_RESTORE, read_only), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(restore_range(fd, then, 0, 0, &next), 0);

	/* All that there can be. */
	MUST(pwrite(fd, "new", 3, PAGE) == 3);
	CHECK_EQ(restore_range(fd, then, 0, MAX_BYTES, &next), 0);
	CHECK_EQ(next, MAX_BYTES);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	munmap(read_only, PAGE);
	close(other);
	close(then);
	close(fd);
}

/* A program that was built when the struct was shorter is served, and nothing behind that is touched. */
static void older_callers_of_relatives(void)
{
	static const unsigned int numbers[] = {COWMEM_IOC_SNAPSHOT, COWMEM_IOC_CLONE};
	int fd = some_object();

	for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
		for (uint32_t size = COWMEM_SNAPSHOT_SIZE_VER0;
		     size <= sizeof(struct cowmem_snapshot); size++) {
			union {
				struct cowmem_snapshot arg;
				unsigned char bytes[64];
			} older = {.arg.size = size};

			memset(older.bytes + size, 0x55, sizeof(older) - size);
			CHECK_EQ(ioctl(fd, numbers[i], &older), 0);
			CHECK_EQ(older.arg.size, size);
			for (size_t at = size; at < sizeof(older); at++)
				CHECK_EQ(older.bytes[at], 0x55);
			CHECK_EQ(object_stat(older.arg.fd).resident_pages,
			         numbers[i] == COWMEM_IOC_SNAPSHOT ? 2 : 0);
			CHECK_EQ(lseek(older.arg.fd, 0, SEEK_HOLE), 2 * PAGE);
			close(older.arg.fd);
		}
	close(fd);
}

static void read_only_descriptor(void)
{
	int fd = open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC);
	char *p;

	MUST(fd >= 0);
	CHECK_ERRNO(object_resize(fd, PAGE), EBADF);
	CHECK_ERRNO(object_punch(fd, 0, PAGE), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_RESIZE, NULL), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PAGE_OUT, NULL), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_STORE_LIMIT, NULL), EBADF);
	CHECK_EQ(object_stat(fd).state, 0);
	CHECK_ERRNO(write(fd, "x", 1), EBADF);
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	CHECK_EQ(object_stat(fd).bytes, 0);

	p = object_map(fd, PAGE, PROT_READ, MAP_SHARED);
	CHECK_EQ(p[0], 0);
	CHECK_ERRNO(mprotect(p, PAGE, PROT_READ | PROT_WRITE), EACCES);
	munmap(p, PAGE);
	p = object_map(fd, PAGE, PROT_READ, MAP_PRIVATE);
	CHECK_EQ(mprotect(p, PAGE, PROT_READ | PROT_WRITE), 0);
	p[0] = 'x';
	CHECK_EQ(p[0], 'x');
	munmap(p, PAGE);
	p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK_EQ(p[0], 0);
	p[0] = 'y';
	munmap(p, PAGE);
	close(fd);
}

static void write_only_descriptor(void)
{
	int fd = open(COWMEM_DEVICE, O_WRONLY | O_CLOEXEC), readable = object_open();
	struct cowmem_snapshot snapshot = {.size = sizeof(snapshot)};
	struct cowmem_diff diff = {.size = sizeof(diff), .length = PAGE};
	struct cowmem_rmap rmap = {.size = sizeof(rmap), .length = PAGE};
	struct cowmem_pagemap pagemap = {.size = sizeof(pagemap), .length = PAGE};
	char byte;

	MUST(fd >= 0);
	CHECK_EQ(write(fd, "x", 1), 1);
	CHECK_ERRNO(read(fd, &byte, 1), EBADF);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	CHECK_ERRNO(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0), EACCES);
	CHECK_EQ(object_resize(fd, PAGE), 0);
	CHECK_EQ(object_stat(fd).bytes, PAGE);
	/* Nor does it give them by a detour. */
	diff.fd = fd;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_DIFF, &diff), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_RMAP, &rmap), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_PAGEMAP, &pagemap), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &snapshot), EBADF);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &snapshot), EBADF);
	/* DIFF's other descriptor gives bytes, too. */
	MUST(!ioctl(readable, COWMEM_IOC_CLONE, &snapshot));
	CHECK_ERRNO(ioctl(readable, COWMEM_IOC_DIFF, &diff), EBADF);
	diff.fd = snapshot.fd;
	CHECK_EQ(ioctl(readable, COWMEM_IOC_DIFF, &diff), 0);
	close(snapshot.fd);
	close(readable);
	close(fd);
}

static void read_only_descriptor_says_so(void)
{
	int fd = open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC);
	struct cowmem_snapshot snapshot = {.size = sizeof(snapshot)};

	MUST(fd >= 0 && !ioctl(fd, COWMEM_IOC_SNAPSHOT, &snapshot));
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), EBADF);
	CHECK_ERRNO(pwrite(snapshot.fd, "x", 1, 0), EBADF);
	CHECK_ERRNO(write(snapshot.fd, "x", 1), EBADF);
	close(snapshot.fd);
	close(fd);
}

static long raw_mmap(int fd, size_t length, int flags, unsigned long offset)
{
	return syscall(SYS_mmap, NULL, length, PROT_READ | PROT_WRITE, flags, fd, offset);
}

static void bad_mmap(void)
{
	static const int sharing[] = {MAP_SHARED, MAP_PRIVATE, MAP_SHARED_VALIDATE};
	int fds[2] = {object_open(), memfd_create("m", MFD_CLOEXEC)};
	long p;

	for (size_t i = 0; i < 2 * ARRAY_LENGTH(sharing); i++) {
		int fd = fds[i % 2], flags = sharing[i / 2];

		CHECK_ERRNO(raw_mmap(fd, PAGE, flags, 1), EINVAL);
		CHECK_ERRNO(raw_mmap(fd, PAGE, flags, PAGE - 1), EINVAL);
		CHECK_ERRNO(raw_mmap(fd, 0, flags, 0), EINVAL);
		CHECK_ERRNO(raw_mmap(fd, PAGE, flags, 1UL << 63), EOVERFLOW);
		CHECK_ERRNO(raw_mmap(fd, PAGE, flags, -PAGE), EOVERFLOW);
		CHECK_ERRNO(raw_mmap(fd, PAGES(2), flags, -PAGE), EOVERFLOW);
		CHECK_ERRNO(raw_mmap(fd, PAGES(2), flags, MAX_BYTES - PAGE), EOVERFLOW);
		CHECK_ERRNO(raw_mmap(fd, 1UL << 63, flags, 0), ENOMEM);
		CHECK_ERRNO(raw_mmap(fd, -1UL, flags, 0), ENOMEM);
	}
	CHECK_ERRNO(raw_mmap(fds[0], PAGE, 0, 0), EINVAL);
	CHECK_ERRNO(raw_mmap(fds[0], PAGE, MAP_SHARED_VALIDATE | MAP_SYNC, 0), EOPNOTSUPP);
	CHECK_ERRNO(raw_mmap(fds[0], PAGE, MAP_SHARED | MAP_HUGETLB, 0), EINVAL);
	CHECK_EQ(object_stat(fds[0]).bytes, 0);

	/* The last page there can be, and an object then as big as can be. */
	p = raw_mmap(fds[0], PAGE, MAP_SHARED, MAX_BYTES - PAGE);
	CHECK(p != -1);
	if (p != -1) {
		*(char *)p = 'l';
		CHECK_EQ(object_stat(fds[0]).bytes, MAX_BYTES);
		CHECK_EQ(lseek(fds[0], 0, SEEK_DATA), MAX_BYTES - PAGE);
		munmap((void *)p, PAGE);
	}
	close(fds[0]);
	close(fds[1]);
}

static void bad_offsets(void)
{
	int fds[2] = {object_open(), memfd_create("m", MFD_CLOEXEC)};
	struct iovec vector = {"x", 1};
	char byte;

	for (int i = 0; i < 2; i++) {
		CHECK_ERRNO(lseek(fds[i], -1, SEEK_SET), EINVAL);
		CHECK_ERRNO(lseek(fds[i], -1, SEEK_CUR), EINVAL);
		CHECK_ERRNO(lseek(fds[i], -1, SEEK_END), EINVAL);
		CHECK_ERRNO(lseek(fds[i], INT64_MIN, SEEK_SET), EINVAL);
		CHECK_ERRNO(lseek(fds[i], 0, 99), EINVAL);
		CHECK_ERRNO(lseek(fds[i], 0, SEEK_DATA), ENXIO);
		CHECK_ERRNO(lseek(fds[i], -1, SEEK_DATA), ENXIO);
		CHECK_ERRNO(lseek(fds[i], 0, SEEK_HOLE), ENXIO);
		CHECK_ERRNO(pread(fds[i], &byte, 1, -1), EINVAL);
		CHECK_ERRNO(pwrite(fds[i], "x", 1, -1), EINVAL);
		CHECK_ERRNO(pwritev(fds[i], &vector, 1, INT64_MIN), EINVAL);
		CHECK_ERRNO(pwritev(fds[i], &vector, bad_counts[0], 0), EINVAL);
		CHECK_ERRNO(pwritev(fds[i], &vector, bad_counts[1], 0), EINVAL);
		CHECK_EQ(lseek(fds[i], 0, SEEK_END), 0);
	}
	CHECK_ERRNO(lseek(fds[0], MAX_BYTES + 1, SEEK_SET), EINVAL);
	CHECK_EQ(lseek(fds[0], MAX_BYTES, SEEK_SET), MAX_BYTES);
	CHECK_ERRNO(lseek(fds[0], 1, SEEK_CUR), EINVAL);
	CHECK_EQ(read(fds[0], &byte, 1), 0);
	close(fds[0]);
	close(fds[1]);
}

/* No write makes an object larger than GET_INFO's max_bytes. */
static void writes_beyond_the_maximum(void)
{
	int fd = object_open(), append = open(COWMEM_DEVICE, O_RDWR | O_APPEND | O_CLOEXEC);

	MUST(append >= 0);
	CHECK_ERRNO(pwrite(fd, "x", 1, MAX_BYTES), EFBIG);
	CHECK_ERRNO(pwrite(fd, "x", 1, MAX_BYTES + 1), EFBIG);
	CHECK_EQ(object_stat(fd).bytes, 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(pwrite(fd, "xy", 2, MAX_BYTES - 1), 1);
	CHECK_EQ(object_stat(fd).bytes, MAX_BYTES);
	CHECK_EQ(lseek(fd, MAX_BYTES - PAGE, SEEK_DATA), MAX_BYTES - PAGE);
	CHECK_EQ(lseek(fd, MAX_BYTES - PAGE, SEEK_HOLE), MAX_BYTES);
	CHECK(raw_mmap(append, PAGE, MAP_SHARED, MAX_BYTES - PAGE) != -1);
	CHECK_ERRNO(write(append, "x", 1), EFBIG);
	CHECK_EQ(object_stat(append).bytes, MAX_BYTES);
	close(fd);
	close(append);
}

/* What works on a regular file but not on a device, whatever it holds: the core's answers. */
static void not_a_regular_file(void)
{
	int fd = some_object(), mem = memfd_create("m", MFD_CLOEXEC), direct;
	unsigned long created = counter("objects_created"), freed = counter("objects_freed");
	struct cowmem_stat before = object_stat(fd);
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	CHECK_ERRNO(ftruncate(fd, PAGE), EINVAL);
	CHECK_ERRNO(fallocate(fd, 0, 0, PAGE), ENODEV);
	CHECK_ERRNO(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), ENODEV);
	CHECK_ERRNO(copy_file_range(fd, NULL, mem, NULL, PAGE, 0), EINVAL);
	CHECK_ERRNO(copy_file_range(mem, NULL, fd, NULL, PAGE, 0), EINVAL);
	CHECK_ERRNO(readahead(fd, 0, PAGE), EINVAL);
	CHECK_ERRNO(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), EINVAL);
	CHECK_ERRNO(madvise(p, PAGE, MADV_REMOVE), ENODEV);
	CHECK_ERRNO(openat(fd, "x", O_RDONLY), ENOTDIR);
	CHECK_EQ(ftruncate(mem, PAGE), 0);
	CHECK_EQ(fallocate(mem, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, PAGE), 0);

	/* open() fails after the object was made: it must not stay. */
	direct = open(COWMEM_DEVICE, O_RDWR | O_DIRECT | O_CLOEXEC);
	CHECK_EQ(direct, -1);
	CHECK_EQ(errno, EINVAL);
	CHECK(COMES(counter("objects_freed") - freed >= 1));
	CHECK_EQ(counter("objects_freed") - freed, counter("objects_created") - created);
	CHECK_ERRNO(open(COWMEM_DEVICE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), EEXIST);
	CHECK_ERRNO(open(COWMEM_DEVICE, O_RDWR | O_DIRECTORY | O_CLOEXEC), ENOTDIR);
	CHECK(unchanged(fd, &before));
	munmap(p, PAGE);
	close(fd);
	close(mem);
}

static void bad_buffers(void)
{
	char *page = page_before_nothing(), text[PAGES(2)];
	int fds[2] = {object_open(), memfd_create("m", MFD_CLOEXEC)};
	struct iovec good_bad[2] = {{text, 10}, {nowhere, 10}};

	memset(text, 't', sizeof(text));
	memset(page, 'p', PAGE);
	for (int i = 0; i < 2; i++) {
		int fd = fds[i];
		ssize_t n;

		MUST(pwrite(fd, text, PAGES(2), 0) == (ssize_t)PAGES(2));
		CHECK_ERRNO(pread(fd, nowhere, 1, 0), EFAULT);
		CHECK_ERRNO(pread(fd, (void *)-PAGE, 1, 0), EFAULT);
		CHECK_ERRNO(pwrite(fd, nowhere, 1, 0), EFAULT);
		CHECK_ERRNO(pwrite(fd, (void *)-PAGE, 1, 0), EFAULT);
		CHECK_ERRNO(read(fd, page + PAGE, 1), EFAULT);
		CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
		CHECK_ERRNO(preadv(fd, nowhere, 1, 0), EFAULT);
		CHECK_ERRNO(pwritev(fd, nowhere, 1, 0), EFAULT);

		/* Whole pages come, then the hole: a short count. */
		CHECK_EQ(pread(fd, page, PAGES(2), 0), PAGE);
		CHECK(!memcmp(page, text, PAGE));
		memset(page, 'p', PAGE);
		CHECK_EQ(pwrite(fd, page, PAGES(2), 0), PAGE);
		CHECK_EQ(pread(fd, page, 1, PAGE), 1);
		CHECK_EQ(page[0], 't');
		page[0] = 'p';
		CHECK_EQ(preadv(fd, good_bad, 2, 0), 10);
		CHECK_EQ(text[9], 'p');
		CHECK_EQ(text[10], 't');
		memset(text, 't', 10);
		CHECK_EQ(pwritev(fd, good_bad, 2, PAGE + 5), 10);

		/* Within a page, the copy may stop a few bytes early, but never lies. */
		MUST(pwrite(fd, text, PAGE, 0) == (ssize_t)PAGE);
		n = pread(fd, page + PAGE - 100, 200, 50);
		CHECK(n > 0 && n <= 100);
		CHECK_EQ(page[PAGE - 101], 'p');
		for (ssize_t at = 0; at < n; at++)
			CHECK_EQ(page[PAGE - 100 + at], 't');
		memset(page, 'p', PAGE);
		n = pwrite(fd, page + PAGE - 100, 200, 50);
		CHECK(n > 0 && n <= 100);
		CHECK_EQ(pread(fd, page, PAGE, 0), PAGE);
		for (ssize_t at = 0; at < (ssize_t)PAGE; at++)
			if (at < 50 || at >= 150)
				CHECK_EQ(page[at], 't');
			else if (at < 50 + n)
				CHECK_EQ(page[at], 'p');
		memset(page, 'p', PAGE);
		CHECK_EQ(lseek(fd, 0, SEEK_END), PAGES(2));
	}
	munmap(page, PAGES(2));
	close(fds[0]);
	close(fds[1]);
}

/* A write that put down nothing has changed nothing: neither size nor memory. Not of all memfds that is so. */
static void faulting_write_leaves_no_trace(void)
{
	int fd = object_open();
	unsigned long taken = counter("pages_allocated"), freed = counter("pages_freed");

	MUST(pwrite(fd, "abc", 3, 0) == 3);
	CHECK_ERRNO(pwrite(fd, nowhere, 10, PAGES(1000)), EFAULT);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	CHECK_ERRNO(lseek(fd, PAGE, SEEK_DATA), ENXIO);
	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	CHECK_ERRNO(write(fd, nowhere, PAGES(3)), EFAULT);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 0);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 3);
	/* In a hole within the size, too. */
	MUST(!object_resize(fd, PAGES(8)));
	CHECK_ERRNO(pwrite(fd, nowhere, 10, PAGES(5)), EFAULT);
	CHECK_ERRNO(lseek(fd, PAGE, SEEK_DATA), ENXIO);
	CHECK_EQ(counter("pages_allocated") - taken - (counter("pages_freed") - freed), 1);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	close(fd);
}

static volatile sig_atomic_t size_signals;

static void on_size(int signal)
{
	(void)signal;
	size_signals++;
}

static void file_size_limit(void)
{
	struct rlimit old, limit;
	int fds[2] = {object_open(), memfd_create("m", MFD_CLOEXEC)};
	char text[64] = "";

	MUST(signal(SIGXFSZ, on_size) != SIG_ERR);
	MUST(!getrlimit(RLIMIT_FSIZE, &old));
	limit = old;
	limit.rlim_cur = 10000;
	MUST(!setrlimit(RLIMIT_FSIZE, &limit));
	for (int i = 0; i < 2; i++) {
		size_signals = 0;
		CHECK_EQ(pwrite(fds[i], text, 20, 9990), 10);
		CHECK_EQ(size_signals, 0);
		CHECK_ERRNO(pwrite(fds[i], text, 20, 10000), EFBIG);
		CHECK_EQ(size_signals, 1);
		CHECK_ERRNO(pwrite(fds[i], text, 1, 1 << 20), EFBIG);
		CHECK_EQ(size_signals, 2);
		CHECK_EQ(lseek(fds[i], 0, SEEK_END), 10000);
		CHECK_EQ(pwrite(fds[i], text, 20, 100), 20);
	}
	MUST(!setrlimit(RLIMIT_FSIZE, &old));
	MUST(signal(SIGXFSZ, SIG_DFL) != SIG_ERR);
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pwrite(fds[i], text, 20, 10000), 20);
		close(fds[i]);
	}
}

static void unprivileged_user(void)
{
	const char *parameter = "/sys/module/cowmem/parameters/cow_via";
	unsigned long created = counter("objects_created");
	int fd = object_open(), status;
	struct stat st;
	pid_t child;

	MUST(!stat(COWMEM_DEVICE, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0600);
	CHECK_EQ(st.st_uid, 0);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		MUST(!setgroups(0, NULL) && !setresgid(65534, 65534, 65534));
		MUST(!setresuid(65534, 65534, 65534));
		CHECK_ERRNO(open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC), EACCES);
		CHECK_ERRNO(open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC), EACCES);
		CHECK_ERRNO(open(COWMEM_DEVICE, O_WRONLY | O_CLOEXEC), EACCES);
		CHECK_ERRNO(open(parameter, O_WRONLY | O_CLOEXEC), EACCES);
		/* Who is given a descriptor may use it. */
		CHECK_EQ(pwrite(fd, "u", 1, 0), 1);
		CHECK_EQ(object_resize(fd, 1), 0);
		CHECK_EQ(counter("objects_created") - created, 1);
		fflush(stdout);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK_EQ(object_stat(fd).bytes, 1);
	close(fd);
}

static void bad_parameter(void)
{
	static const char *const bad[] = {"nonsense", "",  "\n",   "hand",
	                                  "handlers", "1", "CORE", "core "};
	int fd = open("/sys/module/cowmem/parameters/cow_via", O_RDWR | O_CLOEXEC), object;
	char text[32] = "";

	MUST(fd >= 0);
	for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
		if (*bad[i])
			CHECK_ERRNO(pwrite(fd, bad[i], strlen(bad[i]), 0), EINVAL);
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	CHECK(!strcmp(text, "handler\n"));
	object = object_open();
	CHECK_EQ(object_stat(object).cow, COWMEM_COW_HANDLER);
	close(object);
	close(fd);
}

#ifdef __x86_64__
/* A system call as a 32-bit program makes it. */
static long call32(long number, long a, long b, long c, long d, long e, long f)
{
	long result;

	/* %ebp is the sixth argument, and ours to restore. */
	asm volatile("push %%rbp\n\tmov %%r8, %%rbp\n\tint $0x80\n\tpop %%rbp"
	             : "=a"(result)
	             : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), "r"(f)
	             : "memory", "cc", "r9", "r10", "r11", "r12", "r13", "r14", "r15");
	return (int)result;
}

static void as_32_bit(int fd)
{
	enum { ioctl_ = 54, pread64 = 180, pwrite64 = 181, mmap2 = 192 };
	union argument *low = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
	                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	unsigned int mapped;
	char *p;
	long at = (long)low;

	MUST(low != MAP_FAILED && at >> 32 == 0);
	asked = fd;
	for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
		const struct command *c = &commands[i];

		make_argument(low, c, 0);
		CHECK_EQ(call32(ioctl_, fd, c->number, at, 0, 0, 0), 0);
		CHECK_EQ(call32(ioctl_, fd, c->number, 0, 0, 0, 0), -EFAULT);
		CHECK_EQ(call32(ioctl_, fd, c->number, 0xfffff000, 0, 0, 0), -EFAULT);
		make_argument(low, c, 0);
		low->size = first_size(c) - 1;
		CHECK_EQ(call32(ioctl_, fd, c->number, at, 0, 0, 0), -EINVAL);
		make_argument(low, c, 4);
		CHECK_EQ(call32(ioctl_, fd, c->number, at, 0, 0, 0), 0);
		make_argument(low, c, 4);
		low->bytes[c->size] = 1;
		CHECK_EQ(call32(ioctl_, fd, c->number, at, 0, 0, 0), -E2BIG);
	}
	CHECK_EQ(call32(ioctl_, fd, _IO(COWMEM_IOC_TYPE, 15), at, 0, 0, 0), -ENOTTY);

	make_argument(low, &commands[0], 0);
	CHECK_EQ(call32(ioctl_, fd, COWMEM_IOC_GET_INFO, at, 0, 0, 0), 0);
	CHECK_EQ(((struct cowmem_info *)low)->page_size, PAGE);
	CHECK_EQ(((struct cowmem_info *)low)->max_bytes, MAX_BYTES);
	make_argument(low, &commands[2], 0);
	((struct cowmem_resize *)low)->bytes = 0x500000123;
	CHECK_EQ(call32(ioctl_, fd, COWMEM_IOC_RESIZE, at, 0, 0, 0), 0);
	make_argument(low, &commands[1], 0);
	CHECK_EQ(call32(ioctl_, fd, COWMEM_IOC_STAT, at, 0, 0, 0), 0);
	CHECK_EQ(((struct cowmem_stat *)low)->bytes, 0x500000123);
	CHECK_EQ(((struct cowmem_stat *)low)->state, COWMEM_STATE_FIXED_SIZE);

	/* The offset in two registers; a mapping at page 0x500000. */
	memcpy(low, "thirty-two", 10);
	CHECK_EQ(call32(pwrite64, fd, at, 10, 0x10, 5, 0), 10);
	memset(low, 0, 10);
	CHECK_EQ(call32(pread64, fd, at, 10, 0x10, 5, 0), 10);
	CHECK(!memcmp(low, "thirty-two", 10));
	mapped = call32(mmap2, 0, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0x500000);
	CHECK(mapped < -4095U);
	p = (char *)(unsigned long)mapped;
	if (mapped < -4095U)
		CHECK(!memcmp(p + 0x10, "thirty-two", 10));
}

static void callers_of_32_bits(void)
{
	int fd = object_open(), status;
	pid_t child = fork();

	MUST(child >= 0);
	if (!child) {
		enum { getpid_ = 20 };

		if (call32(getpid_, 0, 0, 0, 0, 0, 0) != getpid())
			_exit(2);
		test_failed = false;
		as_32_bit(fd);
		fflush(stdout);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	close(fd);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV)
		SKIP("this kernel takes no 32-bit system calls");
	CHECK_EQ(status, 0);
}
#else
static void callers_of_32_bits(void)
{
	SKIP("a 64-bit program cannot make a 32-bit system call on this architecture");
}
#endif

static const struct test_case cases[] = {
	{"ioctl: pointers to nothing", "", bad_pointers},
	{"ioctl: short, long and longer structs", "", bad_sizes},
	{"ioctl: structs that were shorter once", "", older_callers},
	{"ioctl: unknown flags", "", unknown_flags},
	{"ioctl: no such copy mode, reserved member", "", bad_cow_mode},
	{"ioctl: unknown commands", "", unknown_commands},
	{"ioctl: descriptors of something else", "", foreign_descriptors},
	{"RESIZE: too large", "", bad_resize},
	{"ioctl: ranges misaligned, empty, overflowing, too many", "", bad_ranges},
	{"bad ranges to restore and to clone", "", bad_ranges_of_relatives},
	{"ioctl: SNAPSHOT and CLONE of an older struct", "", older_callers_of_relatives},
	{"a read-only descriptor", "", read_only_descriptor},
	{"a write-only descriptor", "", write_only_descriptor},
	{"a read-only descriptor says so to pwrite()", "", read_only_descriptor_says_so},
	{"mmap: offsets, lengths, flags", "", bad_mmap},
	{"lseek, pread, pwrite: offsets", "", bad_offsets},
	{"writes beyond the largest size", "", writes_beyond_the_maximum},
	{"calls for regular files", "", not_a_regular_file},
	{"read and write: buffers that are not there", "", bad_buffers},
	{"a write of nothing but a fault leaves no trace", "", faulting_write_leaves_no_trace},
	{"RLIMIT_FSIZE", "", file_size_limit},
	{"an unprivileged user", "", unprivileged_user},
	{"cow_via: bad values", "", bad_parameter},
	{"32-bit callers", "", callers_of_32_bits},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
