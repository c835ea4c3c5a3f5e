// SPDX-License-Identifier: GPL-2.0
/*
 * The object behind a descriptor: its life, its size, its bytes by every road in and
 * out. Where an object should answer as a memfd does, both are asked the same.
 */
#include "bus.h"
#include "answers.h"
#include "passing.h"

#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#define PAGES(n) ((n) * PAGE)

static int memfd(void)
{
	int fd = memfd_create("reference", MFD_CLOEXEC);

	MUST(fd >= 0);
	return fd;
}

static int tmp_file(void)
{
	int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	MUST(fd >= 0);
	return fd;
}

static bool all_zero(const void *from, size_t n)
{
	const char *p = from;

	return !n || (!p[0] && !memcmp(p, p + 1, n - 1));
}

/* Runs @body in a child; true if it exited with 0 and no check of its failed. */
static bool in_child(void (*body)(int fd), int fd)
{
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		body(fd);
		fflush(stdout);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	return status == 0;
}

static unsigned long pages_held(void)
{
	return counter("pages_allocated") - counter("pages_freed");
}

/* The last reference to a file may be dropped a little after close() returns. */
static bool becomes(unsigned long (*value)(void), unsigned long expected)
{
	if (COMES(value() == expected))
		return true;
	ksft_print_msg("%lu, not %lu\n", value(), expected);
	return false;
}

static unsigned long objects_alive(void)
{
	return counter("objects_created") - counter("objects_freed");
}

/* --- life --- */
static void each_open_makes_an_object(void)
{
	unsigned long created = counter("objects_created"), alive = objects_alive();
	int a = object_open(), b = object_open(), c, again;
	char path[64], byte = 0;

	CHECK_EQ(counter("objects_created") - created, 2);
	CHECK_EQ(object_stat(a).bytes, 0);
	CHECK_EQ(object_stat(a).state, 0);
	CHECK_EQ(pwrite(a, "A", 1, 0), 1);
	CHECK_EQ(object_stat(b).bytes, 0);
	CHECK_EQ(pread(b, &byte, 1, 0), 0);

	c = dup(a);
	MUST(c >= 0);
	CHECK_EQ(pread(c, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'A');
	CHECK_EQ(counter("objects_created") - created, 2);

	/* The device node is what is opened again, not the object. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", a);
	again = open(path, O_RDWR | O_CLOEXEC);
	MUST(again >= 0);
	CHECK_EQ(object_stat(again).bytes, 0);
	CHECK_EQ(pwrite(again, "B", 1, 0), 1);
	CHECK_EQ(pread(a, &byte, 1, 0), 1);
	CHECK_EQ(byte, 'A');
	CHECK_EQ(counter("objects_created") - created, 3);

	close(a);
	CHECK_EQ(pread(c, &byte, 1, 0), 1);
	close(b);
	close(again);
	CHECK(becomes(objects_alive, alive + 1));
	close(c);
	CHECK(becomes(objects_alive, alive));
}

static void outlives_its_descriptor(void)
{
	unsigned long alive = objects_alive(), held = pages_held();
	int fd = object_open();
	char *shared = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill_page(shared, 1, 1);
	close(fd);
	CHECK(page_is(private, 1, 1));
	fill_page(shared + PAGES(3), 2, 1);
	CHECK(page_is(private + PAGES(3), 2, 1));
	private[0] = 'p';
	CHECK(page_is(shared, 1, 1));
	CHECK_EQ(objects_alive(), alive + 1);
	CHECK_EQ(pages_held(), held + 2);
	MUST(!munmap(shared, PAGES(4)));
	CHECK(page_is(private + PAGES(3), 2, 1));
	CHECK_EQ(objects_alive(), alive + 1);
	MUST(!munmap(private, PAGES(4)));
	CHECK(becomes(objects_alive, alive));
	CHECK(becomes(pages_held, held));
}

static void memory_comes_back(void)
{
	enum { pages = 64 };
	unsigned long held = pages_held();
	int fds[8];

	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++) {
		char *p;

		fds[i] = object_open();
		p = object_map(fds[i], PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
		for (int page = 0; page < pages; page++)
			p[PAGES(page)] = 1;
		CHECK_EQ(object_stat(fds[i]).resident_pages, pages);
		MUST(!munmap(p, PAGES(pages)));
		CHECK_EQ(object_stat(fds[i]).resident_pages, pages);
	}
	CHECK_EQ(pages_held(), held + ARRAY_LENGTH(fds) * pages);
	for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
		close(fds[i]);
	CHECK(becomes(pages_held, held));
}

static char *inherited_shared, *inherited_private;

static void inherited(int fd)
{
	char byte = 0;

	CHECK_EQ(inherited_shared[0], 'p');
	CHECK_EQ(inherited_private[PAGE], 'q');
	inherited_shared[0] = 'c';
	inherited_private[PAGE] = 'c';
	/* One open file: one position. */
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 7);
	CHECK_EQ(lseek(fd, 2 * PAGE, SEEK_SET), 2 * PAGE);
	CHECK_EQ(write(fd, "w", 1), 1);
	CHECK_EQ(pread(fd, &byte, 1, PAGE), 1);
	CHECK_EQ(byte, 0);
}

static void forks(void)
{
	int fd = object_open();

	inherited_shared = object_map(fd, PAGES(3), PROT_READ | PROT_WRITE, MAP_SHARED);
	inherited_private = object_map(fd, PAGES(3), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	inherited_shared[0] = 'p';
	inherited_private[PAGE] = 'q';
	CHECK_EQ(lseek(fd, 7, SEEK_SET), 7);
	CHECK(in_child(inherited, fd));
	CHECK_EQ(inherited_shared[0], 'c');
	CHECK_EQ(inherited_private[0], 'c');
	CHECK_EQ(inherited_private[PAGE], 'q');
	CHECK_EQ(inherited_shared[2 * PAGE], 'w');
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), 2 * PAGE + 1);
	munmap(inherited_shared, PAGES(3));
	munmap(inherited_private, PAGES(3));
	close(fd);
}

/* In another process, which never had the descriptor by fork. */
static void receiver(int socket)
{
	unsigned int number;
	int fd = receive_fd(socket, &number, 0);
	char *p = object_map(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);
	char byte;

	CHECK_EQ(number, 7);
	CHECK(page_is(p, 5, 1));
	fill_page(p + PAGE, 6, 1);
	CHECK_EQ(pwrite(fd, "sent", 4, 2 * PAGE), 4);
	MUST(write(socket, "1", 1) == 1);  /* written */
	MUST(read(socket, &byte, 1) == 1); /* the sender has let go of it */
	CHECK(page_is(p, 5, 2));
	CHECK_EQ(object_stat(fd).bytes, 2 * PAGE + 4);
}

static void passes_over_a_socket(void)
{
	unsigned long alive = objects_alive();
	int sockets[2], fd, status;
	char text[5] = "", byte;
	pid_t child;
	char *p;

	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		receiver(sockets[1]);
		fflush(stdout);
		_exit(test_failed);
	}
	fd = object_open();
	p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	fill_page(p, 5, 1);
	MUST(send_fd(sockets[0], fd, 7));
	MUST(read(sockets[0], &byte, 1) == 1);
	CHECK_EQ(pread(fd, text, 4, 2 * PAGE), 4);
	CHECK(!strcmp(text, "sent"));
	CHECK_EQ(object_stat(fd).resident_pages, 3);
	fill_page(p, 5, 2);
	munmap(p, PAGE);
	close(fd);
	CHECK_EQ(objects_alive(), alive + 1);
	MUST(write(sockets[0], "1", 1) == 1);
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);

	/* In flight, and never received: it goes with the sockets. */
	fd = object_open();
	CHECK_EQ(pwrite(fd, "x", 1, 0), 1);
	MUST(send_fd(sockets[0], fd, 7));
	close(fd);
	CHECK_EQ(objects_alive(), alive + 1);
	close(sockets[0]);
	close(sockets[1]);
	CHECK(becomes(objects_alive, alive));
}

/* --- size --- */
static void maps_any_range(void)
{
	static const struct {
		off_t offset;
		size_t length;
	} ranges[] = {
		{0, 1},
		{0, 5000},
		{PAGES(3), PAGE},
		{PAGES(7), PAGES(2) + 1},
		{PAGES(1), PAGES(600)},
		{1L << 40, PAGES(2)},
		{1L << 62, 1},
	};
	uint64_t end = 0;
	int fd = object_open();

	for (size_t i = 0; i < ARRAY_LENGTH(ranges); i++) {
		off_t offset = ranges[i].offset;
		size_t length = ranges[i].length, last = (length - 1) / PAGE;
		uint64_t here = offset + PAGES(last + 1);
		uint64_t word = 0, mine = 0x1234 + i;
		char *shared = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
		char *private = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, offset);

		MUST(shared != MAP_FAILED && private != MAP_FAILED);
		end = here > end ? here : end;
		CHECK_EQ(object_stat(fd).bytes, end);

		fill_page(shared + PAGES(last), i, 1);
		CHECK(page_is(private + PAGES(last), i, 1));
		CHECK_EQ(pread(fd, &word, 8, offset + PAGES(last) + 8), 8);
		CHECK_EQ(word, i << 32 | 1 << 16 | 1);
		CHECK_EQ(pwrite(fd, &mine, 8, offset + PAGES(last)), 8);
		CHECK(!memcmp(shared + PAGES(last), &mine, 8));
		CHECK(!memcmp(private + PAGES(last), &mine, 8));
		fill_page(private + PAGES(last), i, 2);
		CHECK(!memcmp(shared + PAGES(last), &mine, 8));
		CHECK(page_is(private + PAGES(last), i, 2));
		CHECK_EQ(object_stat(fd).bytes, end);
		MUST(!munmap(shared, length));
		MUST(!munmap(private, length));
	}
	CHECK_EQ(object_stat(fd).resident_pages, ARRAY_LENGTH(ranges));
	close(fd);
}

static void grows_by_itself(void)
{
	int fd = object_open(), reader = open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC);
	char *p;

	MUST(reader >= 0);
	CHECK_EQ(pwrite(fd, "abc", 3, 10), 3);
	CHECK_EQ(object_stat(fd).bytes, 13);
	CHECK_EQ(pwrite(fd, "abc", 3, 5), 3);
	CHECK_EQ(object_stat(fd).bytes, 13);
	CHECK_EQ(pwrite(fd, "", 0, 1 << 20), 0);
	CHECK_EQ(object_stat(fd).bytes, 13);
	CHECK_EQ(pwrite(fd, "z", 1, PAGES(5) + 1), 1);
	CHECK_EQ(object_stat(fd).bytes, PAGES(5) + 2);
	CHECK_EQ(object_stat(fd).resident_pages, 2);
	CHECK_EQ(object_stat(fd).state, 0);
	p = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(object_stat(fd).bytes, PAGES(8));
	CHECK_EQ(touch(p + PAGES(8) - 1, true), 0);
	munmap(p, PAGES(8));
	CHECK_EQ(object_stat(fd).bytes, PAGES(8));
	p = object_map(reader, PAGES(2), PROT_READ, MAP_SHARED);
	CHECK_EQ(object_stat(reader).bytes, PAGES(2));
	CHECK_EQ(touch(p + PAGE, false), 0);
	munmap(p, PAGES(2));
	close(reader);
	close(fd);
}

static void keeps_a_fixed_size(void)
{
	unsigned long beyond = counter("beyond_end");
	int fd = object_open();
	char text[16] = "", *p[2];

	CHECK_EQ(object_resize(fd, PAGE + 10), 0);
	CHECK_EQ(object_stat(fd).state, COWMEM_STATE_FIXED_SIZE);
	CHECK_EQ(object_stat(fd).bytes, PAGE + 10);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	for (int i = 0; i < 2; i++) {
		p[i] = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE,
		                  i ? MAP_PRIVATE : MAP_SHARED);
		CHECK_EQ(object_stat(fd).bytes, PAGE + 10);
		CHECK_EQ(touch(p[i] + PAGES(2), false), BUS_ADRERR);
		CHECK_EQ(touch(p[i] + PAGES(3) + 5, true), BUS_ADRERR);
		CHECK_EQ(touch(p[i] + PAGES(2) - 1, true), 0); /* the rest of the last page */
		CHECK_EQ(touch(p[i], true), 0);
	}
	CHECK_EQ(counter("beyond_end") - beyond, 4);
	CHECK_EQ(object_stat(fd).resident_pages, 2);

	CHECK_ERRNO(pwrite(fd, "x", 1, PAGE + 10), ENOSPC);
	CHECK_ERRNO(pwrite(fd, "x", 1, PAGES(9)), ENOSPC);
	CHECK_EQ(pwrite(fd, "", 0, PAGE + 10), 0);
	CHECK_EQ(pwrite(fd, "0123456789", 10, PAGE + 6), 4);
	CHECK_EQ(pread(fd, text, sizeof(text), PAGE + 5), 5);
	CHECK(!memcmp(text,
	              "\0"
	              "0123",
	              5));
	CHECK_EQ(pread(fd, text, 1, PAGE + 10), 0);
	CHECK_EQ(p[0][PAGE + 10], 0); /* nothing spilled beyond the end */
	CHECK_EQ(lseek(fd, PAGE + 8, SEEK_SET), PAGE + 8);
	CHECK_EQ(write(fd, "abc", 3), 2);
	CHECK_ERRNO(write(fd, "c", 1), ENOSPC);
	CHECK_EQ(lseek(fd, 0, SEEK_CUR), PAGE + 10);

	/* RESIZE also lets go: what was beyond the end no longer is. */
	CHECK_EQ(object_resize(fd, PAGES(3)), 0);
	CHECK_EQ(touch(p[0] + PAGES(2), true), 0);
	CHECK_EQ(touch(p[1] + PAGES(3), false), BUS_ADRERR);
	CHECK_EQ(object_resize(fd, 0), 0);
	CHECK_EQ(touch(p[0], false), BUS_ADRERR);
	CHECK_EQ(touch(p[1], true), BUS_ADRERR);
	CHECK_ERRNO(pwrite(fd, "x", 1, 0), ENOSPC);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	munmap(p[0], PAGES(4));
	munmap(p[1], PAGES(4));
	close(fd);
}

static void shrink_steps(struct answers *answers, int fd, int (*resize)(int, uint64_t))
{
	char *p = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *q = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	static char bytes[PAGES(8)];

	ASK(answers, resize(fd, PAGES(8)));
	memset(p, 'd', PAGES(8));
	memset(q + PAGES(6), 'p', PAGE);
	ASK(answers, resize(fd, PAGES(2) + 100));
	ASK(answers, p[PAGES(2) + 99]);
	ASK(answers, p[PAGES(2) + 100]);
	ASK(answers, all_zero(p + PAGES(2) + 100, PAGE - 100));
	ASK(answers, touch(p + PAGES(3), false));
	ASK(answers, touch(q + PAGES(6), false)); /* the private copy too */
	ASK(answers, pread(fd, bytes, sizeof(bytes), 0));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, resize(fd, PAGES(7) + 1));
	ASK(answers, pread(fd, bytes, sizeof(bytes), 0));
	ASK(answers, bytes[PAGES(2) + 99]);
	ASK(answers, all_zero(bytes + PAGES(2) + 100, sizeof(bytes) - PAGES(2) - 100));
	ASK(answers, lseek(fd, PAGES(3), SEEK_DATA));
	ASK(answers, q[PAGES(6)]);
	ASK(answers, touch(p + PAGES(7), true));
	ASK(answers, lseek(fd, PAGES(3), SEEK_DATA));
	munmap(p, PAGES(8));
	munmap(q, PAGES(8));
}

static int memfd_resize(int fd, uint64_t bytes)
{
	return ftruncate(fd, bytes);
}

static void shrinks(void)
{
	struct answers object = {0}, reference = {0};
	unsigned long freed = counter("pages_freed");
	int fd = object_open(), mem = memfd();

	MUST(!ftruncate(mem, PAGES(8)));
	shrink_steps(&reference, mem, memfd_resize);
	shrink_steps(&object, fd, object_resize);
	check_same(&object, &reference);
	CHECK_EQ(counter("pages_freed") - freed, 5);
	CHECK_EQ(object_stat(fd).resident_pages, 5); /* 0, 1, 2; 6 and 7 by the last touches */
	CHECK_EQ(object_resize(fd, PAGE + 1), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 2);
	CHECK_EQ(object_resize(fd, PAGE), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	CHECK_EQ(object_resize(fd, 1UL << 50), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	CHECK_EQ(object_stat(fd).bytes, 1UL << 50);
	CHECK_EQ(object_resize(fd, 0), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	close(fd);
	close(mem);
}

static void punch_steps(struct answers *answers, int fd, int (*punch)(int, uint64_t, uint64_t))
{
	char *p = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *q = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	static char bytes[PAGES(8)];

	for (int i = 0; i < 8; i++)
		fill_page(p + PAGES(i), i, 1);
	for (int i = 0; i < 8; i++)
		ASK(answers, page_is(q + PAGES(i), i, 1));
	fill_page(q + PAGES(3), 3, 2);
	ASK(answers, punch(fd, PAGES(2), PAGES(3)));
	ASK(answers, lseek(fd, 0, SEEK_HOLE));
	ASK(answers, lseek(fd, PAGES(2), SEEK_DATA));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, pread(fd, bytes, sizeof(bytes), 0));
	ASK(answers, all_zero(bytes + PAGES(2), PAGES(3)));
	ASK(answers, page_is(bytes + PAGE, 1, 1));
	ASK(answers, page_is(bytes + PAGES(5), 5, 1));
	ASK(answers, all_zero(p + PAGES(2), PAGES(3)));
	ASK(answers, all_zero(q + PAGES(2), PAGE));
	ASK(answers, page_is(q + PAGES(3), 3, 2)); /* private copies stay */
	ASK(answers, page_is(p + PAGES(5), 5, 1));
	fill_page(p + PAGES(4), 4, 3);
	ASK(answers, page_is(q + PAGES(4), 4, 3));
	ASK(answers, punch(fd, PAGES(6), PAGES(100)));
	ASK(answers, lseek(fd, PAGES(6), SEEK_DATA));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, punch(fd, PAGES(1000), PAGE));
	ASK(answers, lseek(fd, 0, SEEK_END));
	munmap(p, PAGES(8));
	munmap(q, PAGES(8));
}

static int memfd_punch(int fd, uint64_t offset, uint64_t length)
{
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

static void punches(void)
{
	struct answers object = {0}, reference = {0};
	unsigned long freed = counter("pages_freed"), taken = counter("pages_allocated");
	int fd = object_open(), mem = memfd();

	MUST(!ftruncate(mem, PAGES(8)));
	punch_steps(&reference, mem, memfd_punch);
	punch_steps(&object, fd, object_punch);
	check_same(&object, &reference);
	/* 8 written, 2-4 punched and taken again by the touches, 6 and 7 punched */
	CHECK_EQ(counter("pages_allocated") - taken, 11);
	CHECK_EQ(counter("pages_freed") - freed, 5);
	CHECK_EQ(object_stat(fd).resident_pages, 6);
	CHECK_EQ(object_stat(fd).state, 0);
	CHECK_EQ(object_punch(fd, 0, 1UL << 60), 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(object_stat(fd).bytes, PAGES(8));
	close(fd);
	close(mem);
}

static void tells_about_itself(void)
{
	struct cowmem_info info = {.size = sizeof(info)};
	const char *parameter = "/sys/module/cowmem/parameters/cow_via";
	int fd = object_open(), other, param;
	struct stat st;

	CHECK_EQ(ioctl(fd, COWMEM_IOC_GET_INFO, &info), 0);
	CHECK_EQ(info.size, sizeof(info));
	CHECK_EQ(info.flags, 0);
	CHECK_EQ(info.abi_version, COWMEM_ABI_VERSION);
	CHECK_EQ(info.page_size, PAGE);
	CHECK_EQ(info.max_bytes, 0x7ffffffffffff000);
	CHECK((info.features & (COWMEM_FEATURE_COW_HANDLER | COWMEM_FEATURE_COW_CORE |
	                        COWMEM_FEATURE_RESIZE | COWMEM_FEATURE_PUNCH)) ==
	      (COWMEM_FEATURE_COW_HANDLER | COWMEM_FEATURE_COW_CORE | COWMEM_FEATURE_RESIZE |
	       COWMEM_FEATURE_PUNCH));

	CHECK_EQ(object_stat(fd).size, sizeof(struct cowmem_stat));
	CHECK_EQ(object_stat(fd).flags, 0);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_HANDLER);
	CHECK_EQ(object_set_cow(fd, COWMEM_COW_CORE), 0);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_CORE);
	other = object_open();
	CHECK_EQ(object_stat(other).cow, COWMEM_COW_HANDLER);
	close(other);

	param = open(parameter, O_WRONLY | O_CLOEXEC);
	MUST(param >= 0);
	CHECK_EQ(write(param, "core\n", 5), 5);
	other = object_open();
	CHECK_EQ(pwrite(param, "handler", 7, 0), 7);
	CHECK_EQ(object_stat(other).cow, COWMEM_COW_CORE);
	CHECK_EQ(object_set_cow(fd, COWMEM_COW_HANDLER), 0);
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_HANDLER);
	close(other);
	close(param);

	MUST(!fstat(fd, &st));
	CHECK(S_ISCHR(st.st_mode));
	CHECK_EQ(st.st_mode & 07777, 0600);
	close(fd);
}

/* --- bytes --- */
enum { model_bytes = 16 * 4096 };

/* One random step on both files; the same random numbers give the same step. */
static void io_step(struct answers *answers, int fd, char *mapped)
{
	static char in[model_bytes], out[model_bytes];
	uint32_t kind = random_below(8), at = random_below(model_bytes);
	uint32_t length = random_below(random_below(4) ? 300 : model_bytes - at + 1);
	uint32_t cut = length ? random_below(length) : 0;
	struct iovec vector[3] = {{out, cut}, {NULL, 0}, {out + cut, length - cut}};
	unsigned int sum = 0;

	if (at + length > model_bytes)
		length = model_bytes - at;
	vector[0].iov_len = cut < length ? cut : length;
	vector[2].iov_base = out + vector[0].iov_len;
	vector[2].iov_len = length - vector[0].iov_len;
	for (uint32_t i = 0; i < length; i++)
		out[i] = random_below(256);

	switch (kind) {
	case 0:
		ASK(answers, pwrite(fd, out, length, at));
		break;
	case 1:
		ASK(answers, pwritev(fd, vector, 3, at));
		break;
	case 2:
		ASK(answers, lseek(fd, at, SEEK_SET));
		ASK(answers, writev(fd, vector, 3));
		ASK(answers, lseek(fd, 0, SEEK_CUR));
		break;
	case 3:
		memcpy(mapped + at, out, length);
		break;
	case 4:
		vector[0].iov_base = in;
		vector[2].iov_base = in + vector[0].iov_len;
		memset(in, 0, sizeof(in));
		ASK(answers, lseek(fd, at, SEEK_SET));
		ASK(answers, readv(fd, vector, 3));
		break;
	default:
		memset(in, 0, sizeof(in));
		ASK(answers, pread(fd, in, length, at));
		break;
	}
	if (kind >= 4)
		for (uint32_t i = 0; i < length; i++)
			sum = sum * 31 + (unsigned char)in[i];
	ASK(answers, sum);
	ASK(answers, lseek(fd, 0, SEEK_END));
}

static void reads_and_writes_as_memfd(void)
{
	static char last[2][model_bytes];
	int fds[2] = {object_open(), memfd()};
	char *mapped[2];

	/* Room for the mapped writes, which neither file grows by. */
	for (int i = 0; i < 2; i++) {
		MUST(pwrite(fds[i], "", 1, model_bytes - 1 - PAGES(2)) == 1);
		mapped[i] = mmap(NULL, model_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 0);
		MUST(mapped[i] != MAP_FAILED);
	}
	/* The mapping grew the object to its own end. */
	MUST(!ftruncate(fds[1], model_bytes));
	for (uint64_t seed = 1; seed <= 300 && !test_failed; seed++) {
		struct answers answers[2] = {0};

		for (int i = 0; i < 2; i++) {
			random_state = seed * 0x9e3779b97f4a7c15;
			io_step(&answers[i], fds[i], mapped[i]);
		}
		check_same(&answers[0], &answers[1]);
	}
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(pread(fds[i], last[i], model_bytes, 0), model_bytes);
		CHECK(!memcmp(mapped[i], last[i], model_bytes));
	}
	CHECK(!memcmp(last[0], last[1], model_bytes));
	CHECK(!all_zero(last[0], model_bytes));
	for (int i = 0; i < 2; i++) {
		munmap(mapped[i], model_bytes);
		close(fds[i]);
	}
}

/* Byte-precise sizes without any mapping in the way. */
static void byte_size_steps(struct answers *answers, int fd)
{
	char text[PAGES(2)];

	ASK(answers, write(fd, "hello", 5));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, pread(fd, text, 100, 0));
	ASK(answers, pread(fd, text, 100, 3));
	ASK(answers, pread(fd, text, 100, 5));
	ASK(answers, pread(fd, text, 100, 6));
	ASK(answers, pwrite(fd, "end", 3, PAGE - 1));
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, pread(fd, text, sizeof(text), 0));
	ASK(answers, memcmp(text, "hello", 5));
	ASK(answers, all_zero(text + 5, PAGE - 6));
	ASK(answers, memcmp(text + PAGE - 1, "end", 3));
	ASK(answers, read(fd, text, 10));
	ASK(answers, lseek(fd, 2, SEEK_SET));
	ASK(answers, read(fd, text, 3));
	ASK(answers, memcmp(text, "llo", 3));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
}

static void has_a_size_in_bytes(void)
{
	struct answers object = {0}, reference = {0};
	int fd = object_open(), mem = memfd();

	byte_size_steps(&object, fd);
	byte_size_steps(&reference, mem);
	check_same(&object, &reference);
	CHECK_EQ(object_stat(fd).bytes, PAGE + 2);
	close(fd);
	close(mem);
}

static void append_steps(struct answers *answers, int fd)
{
	struct iovec vector = {"rwf", 3};
	char text[64] = "";

	ASK(answers, write(fd, "one", 3));
	ASK(answers, lseek(fd, 0, SEEK_SET));
	ASK(answers, write(fd, "two", 3));
	ASK(answers, lseek(fd, 0, SEEK_CUR));
	ASK(answers, pwrite(fd, "six", 3, 1)); /* Linux appends, whatever the offset */
	ASK(answers, lseek(fd, 0, SEEK_END));
	ASK(answers, fcntl(fd, F_SETFL, 0));
	ASK(answers, pwrite(fd, "X", 1, 1));
	ASK(answers, pwritev2(fd, &vector, 1, 0, RWF_APPEND));
	ASK(answers, pread(fd, text, sizeof(text), 0));
	ASK(answers, strcmp(text, "oXetwosixrwf"));
	ASK(answers, fcntl(fd, F_SETFL, O_APPEND));
	ASK(answers, write(fd, "!", 1));
	ASK(answers, lseek(fd, 0, SEEK_END));
}

static void appends(void)
{
	struct answers object = {0}, reference = {0};
	int fd = open(COWMEM_DEVICE, O_RDWR | O_APPEND | O_CLOEXEC), mem = memfd();

	MUST(fd >= 0 && !fcntl(mem, F_SETFL, O_APPEND));
	append_steps(&object, fd);
	append_steps(&reference, mem);
	check_same(&object, &reference);
	CHECK_EQ(object_stat(fd).bytes, 13);
	close(fd);
	close(mem);
}

enum { records = 2000, record_bytes = 24 };

static void append_records(int fd)
{
	char record[record_bytes + 1];

	snprintf(record, sizeof(record), "%0*d", record_bytes, getpid());
	for (int i = 0; i < records; i++)
		CHECK_EQ(write(fd, record, record_bytes), record_bytes);
}

/* What two processes append at the same time is all there, each record in one piece. */
static long long whole_records(int fd)
{
	static char bytes[2 * records * record_bytes + 1];
	pid_t children[2];
	int status;
	long long whole = 0;

	for (int i = 0; i < 2; i++) {
		children[i] = fork();
		MUST(children[i] >= 0);
		if (!children[i]) {
			append_records(fd);
			_exit(0);
		}
	}
	for (int i = 0; i < 2; i++)
		MUST(waitpid(children[i], &status, 0) == children[i]);
	CHECK_EQ(lseek(fd, 0, SEEK_END), 2 * records * record_bytes);
	MUST(pread(fd, bytes, sizeof(bytes) - 1, 0) >= 0);
	for (int i = 0; i < 2 * records; i++) {
		char record[record_bytes + 1];

		for (int child = 0; child < 2; child++) {
			snprintf(record, sizeof(record), "%0*d", record_bytes, children[child]);
			whole += !memcmp(bytes + i * record_bytes, record, record_bytes);
		}
	}
	return whole;
}

static void appends_at_once(void)
{
	int fd = open(COWMEM_DEVICE, O_RDWR | O_APPEND | O_CLOEXEC), mem = memfd();

	MUST(fd >= 0 && !fcntl(mem, F_SETFL, O_APPEND));
	CHECK_EQ(whole_records(mem), 2 * records);
	CHECK_EQ(whole_records(fd), 2 * records);
	close(fd);
	close(mem);
}

static void holes_take_no_memory(void)
{
	unsigned long taken = counter("pages_allocated");
	static char bytes[PAGES(16)];
	int fd = object_open(), file = tmp_file();
	volatile char *p;

	MUST(!object_resize(fd, 1UL << 34));
	memset(bytes, 'n', sizeof(bytes));
	for (off_t at = 1; at < 1L << 34; at += 1L << 30) {
		CHECK_EQ(pread(fd, bytes, sizeof(bytes), at), sizeof(bytes));
		CHECK(all_zero(bytes, sizeof(bytes)));
	}
	CHECK_EQ(sendfile(file, fd, NULL, sizeof(bytes)), sizeof(bytes));
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(counter("pages_allocated") - taken, 0);

	/* A private write of a hole gets a private page, and the object none. */
	p = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	p[0] = 1;
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK(all_zero((char *)p + 1, PAGE - 1));
	/* A mapped read of a hole does take a page, as on tmpfs. */
	CHECK_EQ(p[PAGE], 0);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	munmap((void *)p, PAGES(4));
	close(file);
	close(fd);
}

static void seek_steps(struct answers *answers, int fd, bool far)
{
	static const int data[] = {0, 3, 4, 9};
	static const long offsets[] = {
		-1,
		0,
		1,
		PAGES(1) - 1,
		PAGES(1),
		PAGES(1) + 1,
		PAGES(2),
		PAGES(3) - 1,
		PAGES(3),
		PAGES(3) + 5,
		PAGES(4) + 5,
		PAGES(5),
		PAGES(8) + 7,
		PAGES(9),
		PAGES(9) + 1,
		PAGES(10) - 1,
		PAGES(10),
		PAGES(10) + 99,
		PAGES(10) + 100,
		PAGES(10) + 101,
		PAGES(100),
		1L << 62,
		INT64_MIN,
	};
	static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE};

	for (size_t i = 0; i < ARRAY_LENGTH(data); i++)
		ASK(answers, pwrite(fd, "d", 1, PAGES(data[i]) + 7));
	if (far)
		ASK(answers, pwrite(fd, "d", 1, PAGES(10) + 99));
	ASK(answers, lseek(fd, 0, 5));
	ASK(answers, lseek(fd, 0, -1));
	for (size_t w = 0; w < ARRAY_LENGTH(whences); w++) {
		for (size_t i = 0; i < ARRAY_LENGTH(offsets); i++) {
			ASK(answers, lseek(fd, offsets[i], whences[w]));
			ASK(answers, lseek(fd, 0, SEEK_CUR)); /* kept where it failed */
			if (whences[w] == SEEK_CUR)
				ASK(answers, lseek(fd, PAGES(2), SEEK_SET));
		}
	}
}

static void seeks_as_memfd(void)
{
	for (int far = 0; far < 2; far++) {
		struct answers object = {0}, reference = {0};
		int fd = object_open(), mem = memfd();

		seek_steps(&object, fd, far);
		seek_steps(&reference, mem, far);
		check_same(&object, &reference);
		CHECK_EQ(object_stat(fd).resident_pages, 4 + far);
		close(fd);
		close(mem);
	}
	/* Nothing but a hole, and nothing at all. */
	for (uint64_t bytes = 0; bytes <= 1UL << 50; bytes += 1UL << 50) {
		struct answers answers[2] = {0};
		int fds[2] = {object_open(), memfd()};

		MUST(!object_resize(fds[0], bytes) && !ftruncate(fds[1], bytes));
		for (int i = 0; i < 2; i++) {
			ASK(&answers[i], lseek(fds[i], 0, SEEK_DATA));
			ASK(&answers[i], lseek(fds[i], 0, SEEK_HOLE));
			ASK(&answers[i], lseek(fds[i], 0, SEEK_END));
			ASK(&answers[i], lseek(fds[i], -1, SEEK_END));
			close(fds[i]);
		}
		check_same(&answers[0], &answers[1]);
	}
}

static bool is_image(int fd)
{
	static char bytes[IMAGE + 1];

	if (pread(fd, bytes, sizeof(bytes), 0) != IMAGE)
		return false;
	for (int i = 0; i < 6; i++)
		if (i == 2 || i == 3 ? !all_zero(bytes + PAGES(i), PAGE)
		                     : !page_is(bytes + PAGES(i), i, 1))
			return false;
	return !memcmp(bytes + PAGES(6), "0123456789", 10);
}

static void send_all(int out, int in)
{
	off_t from = 0;
	ssize_t sent;

	while ((sent = sendfile(out, in, &from, IMAGE)) > 0)
		;
	CHECK_EQ(sent, 0);
	CHECK_EQ(from, IMAGE);
}

static void splice_all(int out, int in)
{
	loff_t from = 0, to = 0;
	int ends[2];
	ssize_t n;

	MUST(!pipe2(ends, O_CLOEXEC));
	while ((n = splice(in, &from, ends[1], NULL, 3 * PAGE + 5, 0)) > 0)
		for (ssize_t left = n, put; left; left -= put) {
			put = splice(ends[0], NULL, out, &to, left, 0);
			MUST(put > 0);
		}
	CHECK_EQ(n, 0);
	CHECK_EQ(to, IMAGE);
	close(ends[0]);
	close(ends[1]);
}

static void goes_to_and_from_files(void)
{
	void (*const roads[])(int out, int in) = {send_all, splice_all};

	for (size_t i = 0; i < ARRAY_LENGTH(roads); i++) {
		int file = tmp_file(), back = tmp_file(), fd = object_open(), copy = object_open();

		make_image(file);
		roads[i](fd, file); /* file -> object -> object -> file */
		CHECK(is_image(fd));
		CHECK_EQ(object_stat(fd).bytes, IMAGE);
		roads[i](copy, fd);
		CHECK(is_image(copy));
		roads[i](back, copy);
		CHECK(is_image(back));
		close(file);
		close(back);
		close(fd);
		close(copy);
	}
}

/* What a pipe was given is a copy: who writes the object then does not write what is in the pipe. */
static void splice_copies(void)
{
	int fd = object_open(), ends[2];
	loff_t from = 0;
	char seen[6];

	MUST(!pipe2(ends, O_CLOEXEC) && !object_resize(fd, PAGE));
	MUST(pwrite(fd, "before", 6, 0) == 6);
	CHECK_EQ(splice(fd, &from, ends[1], NULL, PAGE, 0), PAGE);
	MUST(pwrite(fd, "behind", 6, 0) == 6);
	CHECK_EQ(read(ends[0], seen, 6), 6);
	CHECK(!memcmp(seen, "before", 6));
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

static void copies_by_read_and_mmap(void)
{
	int file = tmp_file(), fd = object_open(), copy = object_open();
	char *from, *to;

	make_image(file);
	from = object_map(file, IMAGE, PROT_READ, MAP_SHARED);
	CHECK_EQ(write(fd, from, IMAGE), IMAGE); /* user memory: a file's mapping */
	CHECK(is_image(fd));
	munmap(from, IMAGE);

	/* An object written from, and read into, its own mapping and another's. */
	from = object_map(fd, PAGES(7), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(write(copy, from, IMAGE), IMAGE);
	CHECK(is_image(copy));
	CHECK_EQ(pwrite(fd, from, IMAGE, PAGES(10)), IMAGE);
	CHECK_EQ(pread(fd, from + PAGES(2), PAGES(2), PAGES(10)), PAGES(2));
	CHECK(page_is(from + PAGES(2), 0, 1));
	CHECK(page_is(from + PAGES(3), 1, 1));
	to = object_map(copy, PAGES(7), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK_EQ(pread(fd, to, PAGES(6), PAGES(10)), PAGES(6));
	CHECK(page_is(to + PAGES(5), 5, 1));
	CHECK(all_zero(to + PAGES(2), PAGES(2)));
	munmap(from, PAGES(7));
	munmap(to, PAGES(7));
	close(file);
	close(fd);
	close(copy);
}

static void fixed_size_takes_what_fits(void)
{
	int file = tmp_file(), fd = object_open(), ends[2];
	off_t from = 0;

	make_image(file);
	MUST(!object_resize(fd, PAGE + 100));
	CHECK_EQ(sendfile(fd, file, &from, IMAGE), PAGE + 100);
	CHECK_EQ(from, PAGE + 100);
	CHECK_ERRNO(sendfile(fd, file, &from, IMAGE), ENOSPC);
	MUST(!pipe2(ends, O_CLOEXEC) && write(ends[1], "abc", 3) == 3);
	CHECK_ERRNO(splice(ends[0], NULL, fd, NULL, 3, 0), ENOSPC);
	CHECK_EQ(object_stat(fd).bytes, PAGE + 100);
	close(ends[0]);
	close(ends[1]);
	close(file);
	close(fd);
}

static void syncs(void)
{
	int fd = object_open();
	char *p = object_map(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);

	fill_page(p, 1, 1);
	CHECK_EQ(fsync(fd), 0);
	CHECK_EQ(fdatasync(fd), 0);
	CHECK_EQ(msync(p, PAGES(2), MS_SYNC), 0);
	CHECK_EQ(msync(p, PAGES(2), MS_ASYNC), 0);
	CHECK(page_is(p, 1, 1));
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	munmap(p, PAGES(2));
	close(fd);
}

/* --- mappings move --- */
static void mremap_grows(void)
{
	int fd = object_open();
	char *p = object_map(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);

	fill_page(p + PAGE, 1, 1);
	p = mremap(p, PAGES(2), PAGES(6), MREMAP_MAYMOVE);
	MUST(p != MAP_FAILED);
	CHECK(page_is(p + PAGE, 1, 1));
	CHECK_EQ(object_stat(fd).bytes, PAGES(2)); /* the kernel did not ask; the touch will */
	CHECK_EQ(touch(p + PAGES(4), true), 0);
	CHECK_EQ(object_stat(fd).bytes, PAGES(6));
	CHECK_EQ(touch(p + PAGES(5), false), 0);

	/* Fixed, it does not. */
	MUST(!object_resize(fd, PAGES(6)));
	p = mremap(p, PAGES(6), PAGES(8), MREMAP_MAYMOVE);
	MUST(p != MAP_FAILED);
	CHECK_EQ(touch(p + PAGES(6), false), BUS_ADRERR);
	CHECK_EQ(object_stat(fd).bytes, PAGES(6));
	CHECK(page_is(p + PAGE, 1, 1));
	munmap(p, PAGES(8));
	close(fd);
}

static void move_steps(struct answers *answers, int fd, int flags)
{
	char *area = mmap(NULL, PAGES(64), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = mmap(area, PAGES(8), PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, PAGES(1)), *q;

	MUST(area != MAP_FAILED && p == area);
	for (int i = 0; i < 8; i++)
		fill_page(p + PAGES(i), i, 7);
	/* Move it, with what is mapped. */
	q = mremap(p, PAGES(8), PAGES(8), MREMAP_MAYMOVE | MREMAP_FIXED, area + PAGES(32));
	MUST(q == area + PAGES(32));
	for (int i = 0; i < 8; i++)
		ASK(answers, page_is(q + PAGES(i), i, 7));
	/* Partial unmap, then the halves live on. */
	ASK(answers, munmap(q + PAGES(3), PAGES(2)));
	ASK(answers, page_is(q + PAGES(2), 2, 7));
	ASK(answers, page_is(q + PAGES(5), 5, 7));
	/* Move one half away, shrink the other. */
	p = mremap(q + PAGES(5), PAGES(3), PAGES(3), MREMAP_MAYMOVE | MREMAP_FIXED, area);
	MUST(p == area);
	ASK(answers, page_is(p + PAGES(2), 7, 7));
	fill_page(p, 5, 8);
	MUST(mremap(q, PAGES(3), PAGE, 0) == q);
	ASK(answers, page_is(q, 0, 7));
	/* Old length 0: a second mapping of the same, for shared ones only. */
	q = mremap(p, 0, PAGES(2), MREMAP_MAYMOVE);
	ASK(answers, q == MAP_FAILED ? -1 : page_is(q, 5, 8));
	if (q != MAP_FAILED)
		munmap(q, PAGES(2));
	/* Leave the old place mapped: the pages go along, the old one starts afresh. */
	q = mremap(p, PAGES(3), PAGES(3), MREMAP_MAYMOVE | MREMAP_DONTUNMAP);
	ASK(answers, q == MAP_FAILED ? -1 : page_is(q, 5, 8));
	ASK(answers, page_is(p, 5, 8));
	if (q != MAP_FAILED)
		munmap(q, PAGES(3));
	munmap(area, PAGES(64));
	ASK(answers, lseek(fd, 0, SEEK_END));
	/* A private write has tmpfs make a page to copy from; the object keeps its hole. */
	if (flags == MAP_SHARED)
		ASK(answers, lseek(fd, 0, SEEK_DATA));
}

static void mremap_moves_as_memfd(void)
{
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE};

	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++) {
		struct answers object = {0}, reference = {0};
		int fd = object_open(), mem = memfd();

		MUST(!ftruncate(mem, PAGES(9)));
		move_steps(&object, fd, flags[i]);
		move_steps(&reference, mem, flags[i]);
		check_same(&object, &reference);
		close(fd);
		close(mem);
	}
}

/* Whatever its length: so 16 pages that fault-around maps are in one leaf, and one entry can map 2 MiB. */
static void begins_at_2_mib(void)
{
	const size_t large = 2 << 20, lengths[] = {large, large + PAGE, 3 * large - PAGE};
	int fd = object_open();

	if (!(object_features(fd) & COWMEM_FEATURE_HUGE))
		SKIP("no pages of 2 MiB on this kernel");
	for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++) {
		CHECK_EQ((uintptr_t)object_map(fd, lengths[i], PROT_READ, MAP_SHARED) % large, 0);
		CHECK_EQ((uintptr_t)object_map(fd, lengths[i], PROT_READ, MAP_PRIVATE) % large, 0);
	}
	close(fd);
}

static const struct test_case cases[] = {
	{"each open makes an object", "", each_open_makes_an_object},
	{"the object outlives its descriptor while mapped", "", outlives_its_descriptor},
	{"memory comes back at the last close", "", memory_comes_back},
	{"fork shares descriptor and mappings", "", forks},
	{"SCM_RIGHTS gives another process the object", "", passes_over_a_socket},
	{"maps at any offset and length, shared and private", "R4", maps_any_range},
	{"grows by itself", "", grows_by_itself},
	{"keeps a fixed size: SIGBUS and ENOSPC beyond", "", keeps_a_fixed_size},
	{"RESIZE frees, zeroes and unmaps as ftruncate on memfd", "", shrinks},
	{"PUNCH as on memfd", "", punches},
	{"GET_INFO, STAT, SET_COW, cow_via", "", tells_about_itself},
	{"300 random reads and writes as on memfd", "", reads_and_writes_as_memfd},
	{"sizes are in bytes, as memfd's", "", has_a_size_in_bytes},
	{"O_APPEND as on memfd", "", appends},
	{"two processes append at once and lose nothing", "", appends_at_once},
	{"holes read as zeroes and take no memory", "", holes_take_no_memory},
	{"lseek as on memfd", "", seeks_as_memfd},
	{"sendfile and splice to and from files", "", goes_to_and_from_files},
	{"splice to a pipe copies", "", splice_copies},
	{"read and write through its own and other mappings", "", copies_by_read_and_mmap},
	{"sendfile and splice into a fixed size", "", fixed_size_takes_what_fits},
	{"fsync, fdatasync, msync", "", syncs},
	{"mremap grows an object of unset size", "", mremap_grows},
	{"mremap, partial munmap as on memfd", "", mremap_moves_as_memfd},
	{"mappings of 2 MiB and more begin where 2 MiB do", "", begins_at_2_mib},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
