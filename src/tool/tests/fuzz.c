// SPDX-License-Identifier: GPL-2.0
/*
 * Streams that are cut, damaged or made to deceive: each is refused, with words, and the object
 * that it is a difference to stays as it is; or it is received, and then it is what was sent.
 * On memfds, so that no module is needed. TAP on stdout.
 */
#define _GNU_SOURCE
#include "../stream.h"

#include <cowmem/cowmem.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGES = 12, DECEITS = 4000 };

static bool failed;

#define CHECK(condition)                                                                 \
	do {                                                                             \
		if (!(condition)) {                                                      \
			failed = true;                                                   \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
		}                                                                        \
	} while (0)

#define MUST(condition)                                                                  \
	do {                                                                             \
		if (!(condition)) {                                                      \
			printf("Bail out! %s:%d: %s\n", __FILE__, __LINE__, #condition); \
			exit(1);                                                         \
		}                                                                        \
	} while (0)

struct stream {
	unsigned char *bytes;
	size_t length;
};

/* The bytes of an object, and its size. */
struct content {
	unsigned char bytes[(PAGES + 4) * STREAM_PAGE];
	uint64_t size;
};

static int base, changed; /* snapshots; the second is of the same object, later */
static struct content of_base, of_changed;
static struct stream full, difference;

static struct content content_of(int fd)
{
	static struct content content;
	struct cowmem_stat stat;

	memset(&content, 0, sizeof(content));
	MUST(!cowmem_object_stat(fd, &stat));
	content.size = stat.bytes;
	MUST(pread(fd, content.bytes, sizeof(content.bytes), 0) >= 0);
	return content;
}

static bool is_same(const struct content *a, const struct content *b)
{
	return a->size == b->size && !memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static struct stream make_stream(int fd, int from, uint64_t at)
{
	const int out = memfd_create("stream", 0);
	struct stream_progress progress = {.done = 0};
	struct stream_error error = {0};
	struct stream stream;

	MUST(stream_send(fd, from, at, 3, out, &progress, &error));
	stream.length = (size_t)lseek(out, 0, SEEK_END);
	CHECK(progress.moved + sizeof(struct stream_header) == stream.length);
	stream.bytes = malloc(stream.length);
	MUST(pread(out, stream.bytes, stream.length, 0) == (ssize_t)stream.length);
	close(out);
	return stream;
}

/* What came of a stream: the object, which is the caller's to close; or -1, and @error has words. */
static int receive(const struct stream *stream, struct stream_error *error)
{
	const int in = memfd_create("stream", 0);
	struct stream_progress progress = {.done = 0};
	struct stream_header header;
	int fd = -1;

	*error = (struct stream_error){0};
	MUST(pwrite(in, stream->bytes, stream->length, 0) == (ssize_t)stream->length);
	if (stream_read_header(in, &header, error)) {
		fd = header.flags & STREAM_INCREMENTAL
		             ? cowmem_object_clone(base)
		             : cowmem_object_create(NULL, COWMEM_CREATE_MEMFD);
		MUST(fd >= 0);
		if (!stream_receive(in, &header, fd, false, &progress, error)) {
			close(fd);
			fd = -1;
		}
	}
	close(in);
	CHECK(fd >= 0 || *error->text);
	return fd;
}

static void check_refused(const struct stream *stream, const char *what, size_t where)
{
	struct stream_error error;
	const int fd = receive(stream, &error);

	if (fd >= 0) {
		failed = true;
		printf("# received, although %s at %zu of %zu\n", what, where, stream->length);
		close(fd);
	}
}

static unsigned int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* --- the cases --- */
static void is_received(void)
{
	struct stream_error error;
	struct content content;
	int fd = receive(&full, &error);

	CHECK(fd >= 0);
	content = content_of(fd);
	CHECK(is_same(&content, &of_base));
	close(fd);
	fd = receive(&difference, &error);
	CHECK(fd >= 0);
	content = content_of(fd);
	CHECK(is_same(&content, &of_changed));
	close(fd);
}

static void is_found_cut(void)
{
	const struct stream *const of[] = {&full, &difference};

	for (int i = 0; i < 2; i++)
		for (size_t length = 0; length < of[i]->length; length++)
			check_refused(&(struct stream){of[i]->bytes, length}, "cut", length);
}

static void is_found_damaged(void)
{
	const struct stream *const of[] = {&full, &difference};

	for (int i = 0; i < 2; i++)
		for (size_t at = 0; at < of[i]->length; at++)
			for (unsigned int bit = 0; bit < 9; bit++) {
				const unsigned char mask = bit < 8 ? 1U << bit : 255;

				of[i]->bytes[at] ^= mask;
				check_refused(of[i], "a bit is flipped", at);
				of[i]->bytes[at] ^= mask;
			}
}

static void is_found_longer(void)
{
	struct stream longer = {malloc(2 * full.length), full.length + 1};

	MUST(longer.bytes);
	memcpy(longer.bytes, full.bytes, full.length);
	longer.bytes[full.length] = 0;
	check_refused(&longer, "something follows", full.length);
	memcpy(longer.bytes + full.length, full.bytes, full.length);
	longer.length = 2 * full.length;
	check_refused(&longer, "it comes twice", full.length);
	free(longer.bytes);
}

/* Its first two records, each whole, the other way round: by rising offset is how they come. */
static void is_found_out_of_order(void)
{
	const size_t begin = sizeof(struct stream_header), record = sizeof(struct stream_record);
	struct stream swapped = {malloc(full.length), full.length};
	uint32_t first, second;

	MUST(swapped.bytes);
	memcpy(swapped.bytes, full.bytes, full.length);
	memcpy(&first, full.bytes + begin + 4, sizeof(first));
	first += record;
	memcpy(&second, full.bytes + begin + first + 4, sizeof(second));
	second += record;
	memcpy(swapped.bytes + begin, full.bytes + begin + first, second);
	memcpy(swapped.bytes + begin + second, full.bytes + begin, first);
	check_refused(&swapped, "two records are swapped", begin);
	free(swapped.bytes);
}

static uint64_t any(void)
{
	static uint64_t state = 88172645463325252ULL;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

/* A number that a deceiver would write: near what is there, near a limit, or any. */
static uint64_t deceit(uint64_t is, unsigned int bytes)
{
	const uint64_t limits[] = {0,          STREAM_PAGE, STREAM_CHUNK, PAGES * STREAM_PAGE,
	                           UINT64_MAX, INT64_MAX,   UINT32_MAX,   1};
	uint64_t value;

	switch (any() % 4) {
	case 0:
		value = is + any() % 3 - 1;
		break;
	case 1:
		value = limits[any() % 8] + any() % 3 - 1;
		break;
	case 2:
		value = is + (any() % 9 - 4) * STREAM_PAGE;
		break;
	default:
		value = any();
	}
	return bytes == 8 ? value : value & ((1ULL << 8 * bytes) - 1);
}

/* Replaces one field of a header or a record, and has the sum be right. */
static void deceive(unsigned char *at, size_t room, size_t size, size_t payload)
{
	static const struct {
		unsigned int at, bytes;
	} of_header[] = {{8, 2}, {10, 2}, {12, 4}, {16, 8}, {24, 8}, {32, 4}},
	  of_record[] = {{0, 4}, {4, 4}, {8, 8}, {16, 8}, {24, 4}, {28, 0}};
	const bool is_header = size == sizeof(struct stream_header);
	const unsigned int which = any() % 6;
	const unsigned int offset = is_header ? of_header[which].at : of_record[which].at;
	const unsigned int bytes = is_header ? of_header[which].bytes : of_record[which].bytes;
	uint64_t value = 0;
	uint32_t crc;

	if (bytes) {
		memcpy(&value, at + offset, bytes);
		value = deceit(value, bytes);
		memcpy(at + offset, &value, bytes);
	} else if (payload) { /* of what is packed, or of the digest */
		at[size + any() % payload] ^= 1U << any() % 8;
	}
	MUST(size + payload <= room);
	crc = stream_crc(0, at, size - sizeof(crc));
	crc = is_header ? crc : stream_crc(crc, at + size, payload);
	memcpy(at + size - sizeof(crc), &crc, sizeof(crc));
}

static void is_not_deceived(void)
{
	const struct stream *const of[] = {&full, &difference};
	unsigned int refused = 0;

	for (unsigned int i = 0; i < DECEITS; i++) {
		const struct stream *stream = of[i % 2];
		const size_t records = i % 2 ? 4 : 3;
		unsigned char *copy = malloc(stream->length);
		size_t at = 0, which = any() % (records + 1);
		struct stream_error error;
		int fd;

		MUST(copy);
		memcpy(copy, stream->bytes, stream->length);
		for (size_t part = 0;; part++) {
			const size_t size =
				part ? sizeof(struct stream_record) : sizeof(struct stream_header);
			uint32_t payload = 0;

			if (at + size > stream->length)
				break;
			if (part)
				memcpy(&payload, stream->bytes + at + 4, sizeof(payload));
			if (part == which)
				deceive(copy + at, stream->length - at, size, payload);
			at += size + payload;
		}
		fd = receive(&(struct stream){copy, stream->length}, &error);
		refused += fd < 0;
		if (fd >= 0) {
			/* What it was said to be: the size may have been lied about, in its last page. */
			struct content content = content_of(fd);

			CHECK(!memcmp(content.bytes, (i % 2 ? &of_changed : &of_base)->bytes,
			              sizeof(content.bytes)));
			close(fd);
		}
		free(copy);
	}
	CHECK(refused > DECEITS / 2);
	printf("# %u of %u refused\n", refused, DECEITS);
}

static void is_found_out_on_another_base(void)
{
	const int fd = cowmem_object_clone(base), kept = base;
	struct stream_error error;

	MUST(pwrite(fd, "x", 1, 0) == 1);
	base = cowmem_object_snapshot(fd);
	CHECK(receive(&difference, &error) < 0);
	CHECK(strstr(error.text, "--from"));
	close(base);
	close(fd);
	base = kept;
}

/* Each page, moved, or made another by one bit, has another digest; zeroes count for nothing. */
static void digests_differ(void)
{
	struct stream_digest one = {{0}}, two = {{0}}, moved = {{0}};
	unsigned char page[STREAM_PAGE] = {0};

	stream_add_page(&one, 3, page);
	CHECK(!one.sums[0] && !one.sums[1]);
	page[17] = 1;
	stream_add_page(&one, 3, page);
	stream_add_page(&moved, 4, page);
	CHECK(one.sums[0] != moved.sums[0] && one.sums[1] != moved.sums[1]);
	CHECK(one.sums[0] != one.sums[1]);
	page[4000] ^= 128;
	stream_add_page(&two, 3, page);
	CHECK(one.sums[0] != two.sums[0] && one.sums[1] != two.sums[1]);
	/* The Castagnoli polynomial's check value. */
	CHECK(stream_crc(0, "123456789", 9) == 0xE3069283U);
	CHECK(stream_crc(stream_crc(0, "12345", 5), "6789", 4) == 0xE3069283U);
}

static void changes_nothing_else(void)
{
	const struct content is = content_of(base);

	CHECK(is_same(&is, &of_base));
}

static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	{"a stream that is whole is received", is_received},
	{"a stream that is cut, at any byte, is refused", is_found_cut},
	{"a stream with any bit flipped is refused", is_found_damaged},
	{"a stream with something behind it is refused", is_found_longer},
	{"a stream whose records are not in order is refused", is_found_out_of_order},
	{"a stream that deceives is refused, or is what was sent", is_not_deceived},
	{"a difference to another object is refused", is_found_out_on_another_base},
	{"digests and sums tell what differs", digests_differ},
	{"the object that streams are a difference to is as it was", changes_nothing_else},
};

/* Pages with words in them, a hole, a page that does not compress, and an uneven end. */
static void make_streams(void)
{
	const int fd = cowmem_object_create("fuzz", COWMEM_CREATE_MEMFD);
	unsigned char page[STREAM_PAGE];

	for (unsigned int i = 0; i < PAGES - 1; i++) {
		memset(page, 'a' + (int)i, sizeof(page));
		if (i < 3 || i > 6)
			MUST(pwrite(fd, page, sizeof(page), i * STREAM_PAGE) == sizeof(page));
	}
	MUST(pwrite(fd, "end", 3, (PAGES - 1) * STREAM_PAGE) == 3);
	base = cowmem_object_snapshot(fd);
	MUST(pwrite(fd, "changed", 7, 2 * STREAM_PAGE + 9) == 7);
	MUST(pwrite(fd, "filled", 6, 5 * STREAM_PAGE) == 6);
	MUST(!cowmem_object_punch(fd, 8 * STREAM_PAGE, 2 * STREAM_PAGE, NULL));
	MUST(pwrite(fd, "longer", 6, PAGES * STREAM_PAGE) == 6);
	changed = cowmem_object_snapshot(fd);
	MUST(base >= 0 && changed >= 0);
	close(fd);
	of_base = content_of(base);
	of_changed = content_of(changed);
	full = make_stream(base, -1, 0);
	difference = make_stream(changed, base, 0);
	printf("# streams of %zu and %zu bytes\n", full.length, difference.length);
}

int main(void)
{
	const size_t count = sizeof(cases) / sizeof(*cases);
	unsigned int open;
	int status = 0;

	printf("TAP version 13\n1..%zu\n", count);
	make_streams();
	open = descriptors();
	for (size_t i = 0; i < count; i++) {
		failed = false;
		cases[i].run();
		CHECK(descriptors() == open);
		printf("%sok %zu stream: %s\n", failed ? "not " : "", i + 1, cases[i].name);
		status |= failed;
	}
	free(full.bytes);
	free(difference.bytes);
	return status;
}
