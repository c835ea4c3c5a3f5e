// SPDX-License-Identifier: GPL-2.0
/* Streams of objects: stream.h has what they are. */
#define _GNU_SOURCE
#include "stream.h"

#include <cowmem/cowmem.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

_Static_assert(sizeof(struct stream_header) == 40 && sizeof(struct stream_record) == 32,
               "the format has no padding");
_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "the module's machines are little-endian");

static const unsigned char zeroes[STREAM_PAGE];

__attribute__((format(printf, 3, 4))) static bool wrong(struct stream_error *error, int err,
                                                        const char *format, ...)
{
	va_list args;

	error->err = err;
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return false;
}

/* --- checks --- */

uint32_t stream_crc(uint32_t crc, const void *bytes, size_t length)
{
	/* Of a byte with as many zero bytes behind it: eight bytes are taken at once. */
	static uint32_t tables[8][256];
	const unsigned char *at = bytes;

	if (!tables[0][1])
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t value = i;

			for (int behind = 0; behind < 8; behind++) {
				for (int bit = 0; bit < 8; bit++)
					value = value >> 1 ^ (value & 1 ? 0x82F63B78U : 0);
				tables[behind][i] = value;
			}
		}
	crc = ~crc;
	for (; length >= 8; length -= 8, at += 8) {
		uint64_t eight;

		memcpy(&eight, at, sizeof(eight));
		eight ^= crc;
		crc = 0;
		for (int i = 0; i < 8; i++)
			crc ^= tables[7 - i][eight >> 8 * i & 255];
	}
	while (length--)
		crc = crc >> 8 ^ tables[0][(crc ^ *at++) & 255];
	return ~crc;
}

static uint64_t mix(uint64_t value)
{
	value = (value ^ value >> 32) * 0xD6E8FEB86659FD93ULL;
	value = (value ^ value >> 32) * 0xD6E8FEB86659FD93ULL;
	return value ^ value >> 32;
}

/*
 * Each sum takes each word in turn, in a step that no two values of it come out of alike: no change
 * of one word goes unseen.
 */
void stream_add_page(struct stream_digest *digest, uint64_t index, const void *page)
{
	uint64_t sums[2] = {mix(2 * index + 1), mix(2 * index + 2)};
	const unsigned char *at = page;

	if (!memcmp(page, zeroes, STREAM_PAGE))
		return;
	for (size_t i = 0; i < STREAM_PAGE; i += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at + i, sizeof(word));
		for (int which = 0; which < 2; which++) {
			sums[which] = (sums[which] ^ word) * 0x9E3779B97F4A7C15ULL;
			sums[which] = sums[which] << 29 | sums[which] >> 35;
		}
	}
	for (int which = 0; which < 2; which++)
		digest->sums[which] += mix(sums[which]);
}

/* --- bytes --- */

static int write_all(int fd, const void *bytes, size_t length)
{
	const unsigned char *at = bytes;

	while (length) {
		const ssize_t done = write(fd, at, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		at += done;
		length -= (size_t)done;
	}
	return 0;
}

/* As many of @length bytes as come before the end; or -errno. */
static ssize_t read_all(int fd, void *bytes, size_t length)
{
	size_t have = 0;

	while (have < length) {
		const ssize_t done = read(fd, (char *)bytes + have, length - have);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (!done)
			break;
		have += (size_t)done;
	}
	return (ssize_t)have;
}

/* @length bytes of the object at @offset, and zeroes behind its end. 0 or -errno. */
static int read_object(int fd, unsigned char *to, uint64_t offset, size_t length)
{
	while (length) {
		const ssize_t done = pread(fd, to, length, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		if (!done) {
			memset(to, 0, length);
			return 0;
		}
		to += done;
		offset += (uint64_t)done;
		length -= (size_t)done;
	}
	return 0;
}

static int write_object(int fd, const unsigned char *from, uint64_t offset, size_t length)
{
	while (length) {
		const ssize_t done = pwrite(fd, from, length, (off_t)offset);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0)
			return -errno;
		from += done;
		offset += (uint64_t)done;
		length -= (size_t)done;
	}
	return 0;
}

/* The next range of whole pages behind @offset that is no hole, within @end; false: there is none. */
static bool next_data(int fd, uint64_t offset, uint64_t end, uint64_t *begin, uint64_t *stop)
{
	const off_t data = offset < end ? lseek(fd, (off_t)offset, SEEK_DATA) : -1;
	off_t hole;

	if (data < 0 || (uint64_t)data >= end)
		return false;
	hole = lseek(fd, data, SEEK_HOLE);
	*begin = (uint64_t)data / STREAM_PAGE * STREAM_PAGE;
	*stop = hole < 0 ? end : ((uint64_t)hole + STREAM_PAGE - 1) / STREAM_PAGE * STREAM_PAGE;
	if (*stop > end)
		*stop = end;
	return true;
}

static uint64_t in_pages(uint64_t bytes)
{
	return (bytes + STREAM_PAGE - 1) / STREAM_PAGE * STREAM_PAGE;
}

/* The digest of the object's pages before @end. 0 or -errno. */
static int digest_object(int fd, uint64_t end, unsigned char *chunk, struct stream_digest *digest)
{
	uint64_t begin, stop;
	int err = 0;

	for (uint64_t at = 0; !err && next_data(fd, at, end, &begin, &stop);) {
		const size_t length = stop - begin < STREAM_CHUNK ? stop - begin : STREAM_CHUNK;

		err = read_object(fd, chunk, begin, length);
		for (size_t page = 0; !err && page < length; page += STREAM_PAGE)
			stream_add_page(digest, (begin + page) / STREAM_PAGE, chunk + page);
		at = begin + length;
	}
	return err;
}

/* --- sending --- */

struct sender {
	int fd, out, level;
	uint64_t records;
	ZSTD_CCtx *zstd;
	unsigned char *chunk, *packed; /* of STREAM_CHUNK, and what that can become */
	struct stream_digest *digest;  /* of what is read to be sent; NULL: that is not all of it */
	struct stream_progress *progress;
	struct stream_error *error;
};

static void moved(struct stream_progress *progress, uint64_t done, size_t bytes)
{
	progress->done += done;
	progress->moved += bytes;
	if (progress->report)
		progress->report(progress);
}

static bool put(struct sender *sender, enum stream_type type, uint64_t offset, uint64_t length,
                const void *payload, size_t stored)
{
	struct stream_record record = {
		.type = type, .stored = (uint32_t)stored, .offset = offset, .length = length};
	int err;

	record.crc = stream_crc(0, &record, offsetof(struct stream_record, crc));
	record.crc = stream_crc(record.crc, payload, stored);
	err = write_all(sender->out, &record, sizeof(record));
	if (!err)
		err = write_all(sender->out, payload, stored);
	if (err)
		return wrong(sender->error, err, "the stream cannot be written");
	sender->records++;
	moved(sender->progress, type == STREAM_END ? 0 : length, sizeof(record) + stored);
	return true;
}

static bool put_data(struct sender *sender, uint64_t offset, const unsigned char *bytes,
                     size_t length)
{
	const size_t packed =
		ZSTD_compressCCtx(sender->zstd, sender->packed, ZSTD_compressBound(STREAM_CHUNK),
	                          bytes, length, sender->level);

	if (ZSTD_isError(packed))
		return wrong(sender->error, 0, "zstd: %s", ZSTD_getErrorName(packed));
	if (packed >= length)
		return put(sender, STREAM_DATA, offset, length, bytes, length);
	return put(sender, STREAM_DATA, offset, length, sender->packed, packed);
}

/* The pages of a range; those that are all zero are left out if the receiver has holes there. */
static bool send_range(struct sender *sender, uint64_t begin, uint64_t stop, bool is_sparse)
{
	while (begin < stop) {
		const size_t length = stop - begin < STREAM_CHUNK ? stop - begin : STREAM_CHUNK;
		const int err = read_object(sender->fd, sender->chunk, begin, length);
		size_t from = 0, at = 0;

		if (err)
			return wrong(sender->error, err, "the object cannot be read at %llu",
			             (unsigned long long)begin);
		while (at < length) {
			const bool skip =
				is_sparse && !memcmp(sender->chunk + at, zeroes, STREAM_PAGE);

			if (sender->digest)
				stream_add_page(sender->digest, (begin + at) / STREAM_PAGE,
				                sender->chunk + at);
			if (skip && at > from &&
			    !put_data(sender, begin + from, sender->chunk + from, at - from))
				return false;
			at += STREAM_PAGE;
			from = skip ? at : from;
		}
		if (at > from && !put_data(sender, begin + from, sender->chunk + from, at - from))
			return false;
		begin += length;
	}
	return true;
}

static bool send_all(struct sender *sender, uint64_t at, uint64_t end)
{
	uint64_t begin, stop;

	for (; next_data(sender->fd, at, end, &begin, &stop); at = stop) {
		if (begin < at)
			begin = at;
		if (!send_range(sender, begin, stop, true))
			return false;
	}
	return true;
}

static bool send_changes(struct sender *sender, int from, uint64_t at, uint64_t end)
{
	struct cowmem_diff_iter *iter;
	struct cowmem_changed range;
	int err = end ? cowmem_diff_iter_new(&iter, sender->fd, from, at, end - at) : 0;
	bool good = true;

	if (err || !end)
		return !err || wrong(sender->error, err, "they cannot be compared");
	while (good && (err = cowmem_diff_iter_next(iter, &range)) == 1) {
		if (range.flags & COWMEM_CHANGED_HOLE)
			good = put(sender, STREAM_HOLE, range.offset, range.length, "", 0);
		else
			good = send_range(sender, range.offset, range.offset + range.length, false);
	}
	cowmem_diff_iter_free(iter);
	if (good && err)
		return wrong(sender->error, err, "they cannot be compared");
	return good;
}

static bool send_stream(struct sender *sender, int from, uint64_t at, uint64_t bytes)
{
	struct stream_header header = {.magic = STREAM_MAGIC,
	                               .version = STREAM_VERSION,
	                               .flags = from >= 0 ? STREAM_INCREMENTAL : 0,
	                               .page_size = STREAM_PAGE,
	                               .bytes = bytes,
	                               .at = at};
	struct stream_digest digest = {{0}};
	const uint64_t end = in_pages(bytes);
	int err;

	header.crc = stream_crc(0, &header, offsetof(struct stream_header, crc));
	err = write_all(sender->out, &header, sizeof(header));
	if (err)
		return wrong(sender->error, err, "the stream cannot be written");
	if (from < 0 && !at)
		sender->digest = &digest;
	if (at < end &&
	    !(from < 0 ? send_all(sender, at, end) : send_changes(sender, from, at, end)))
		return false;
	err = sender->digest ? 0 : digest_object(sender->fd, end, sender->chunk, &digest);
	if (err)
		return wrong(sender->error, err, "the object cannot be read");
	return put(sender, STREAM_END, sender->records, 0, &digest, sizeof(digest));
}

bool stream_send(int fd, int from, uint64_t at, int level, int out,
                 struct stream_progress *progress, struct stream_error *error)
{
	struct sender sender = {.fd = fd,
	                        .out = out,
	                        .level = level,
	                        .zstd = ZSTD_createCCtx(),
	                        .chunk = malloc(STREAM_CHUNK),
	                        .packed = malloc(ZSTD_compressBound(STREAM_CHUNK)),
	                        .progress = progress,
	                        .error = error};
	struct cowmem_stat stat;
	const int err = cowmem_object_stat(fd, &stat);
	bool good;

	if (err)
		good = wrong(error, err, "the object");
	else if (at % STREAM_PAGE || at > in_pages(stat.bytes))
		good = wrong(error, 0, "the object has nothing at %llu", (unsigned long long)at);
	else if (!sender.zstd || !sender.chunk || !sender.packed)
		good = wrong(error, -ENOMEM, "the stream");
	else
		good = send_stream(&sender, from, at, stat.bytes);
	ZSTD_freeCCtx(sender.zstd);
	free(sender.chunk);
	free(sender.packed);
	return good;
}

/* --- receiving --- */

/* What is behind the end of an object that is being received, and may be kept. */
struct state {
	char magic[8];
	uint64_t bytes, at;
	uint32_t flags, crc;
};
#define STATE_MAGIC "cowmempt"

struct receiver {
	int in, fd;
	const struct stream_header *header;
	uint64_t end;  /* of the object's last page */
	uint64_t next; /* nothing before this may come any more */
	uint64_t records;
	bool keep_state;
	ZSTD_DCtx *zstd;
	unsigned char *chunk, *packed;
	struct stream_progress *progress;
	struct stream_error *error;
};

static bool read_exactly(int in, void *to, size_t length, struct stream_error *error)
{
	const ssize_t got = read_all(in, to, length);

	if (got < 0)
		return wrong(error, (int)got, "the stream cannot be read");
	if ((size_t)got < length)
		return wrong(error, 0, "the stream ends too early: it broke, or was cut");
	return true;
}

bool stream_read_header(int in, struct stream_header *header, struct stream_error *error)
{
	const ssize_t got = read_all(in, header, sizeof(*header));

	if (got < 0)
		return wrong(error, (int)got, "the stream cannot be read");
	if (!got)
		return wrong(error, 0, "the stream is empty");
	if ((size_t)got >= sizeof(header->magic) &&
	    memcmp(header->magic, STREAM_MAGIC, sizeof(header->magic)))
		return wrong(error, 0, "this is no stream of cowmem send's");
	if ((size_t)got < sizeof(*header))
		return wrong(error, 0, "the stream ends too early: it broke, or was cut");
	if (header->crc != stream_crc(0, header, offsetof(struct stream_header, crc)))
		return wrong(error, 0, "the stream is damaged, at its very beginning");
	if (header->version != STREAM_VERSION)
		return wrong(error, 0, "the stream is of version %u, and this tool knows %u",
		             header->version, STREAM_VERSION);
	if (header->flags & ~STREAM_INCREMENTAL || header->reserved ||
	    header->page_size != STREAM_PAGE || header->bytes > INT64_MAX - 2 * STREAM_PAGE ||
	    header->at % STREAM_PAGE || header->at > in_pages(header->bytes))
		return wrong(error, 0, "the stream says of itself what cannot be");
	return true;
}

static bool save_state(struct receiver *receiver)
{
	struct state state = {.magic = STATE_MAGIC,
	                      .bytes = receiver->header->bytes,
	                      .at = receiver->next,
	                      .flags = receiver->header->flags};
	int err;

	if (!receiver->keep_state)
		return true;
	state.crc = stream_crc(0, &state, offsetof(struct state, crc));
	err = write_object(receiver->fd, (void *)&state, receiver->end, sizeof(state));
	return !err || wrong(receiver->error, err, "how far it came cannot be kept");
}

static bool read_state(int fd, struct state *state)
{
	struct cowmem_stat stat;
	uint64_t at;

	if (cowmem_object_stat(fd, &stat) || stat.bytes % STREAM_PAGE || !stat.bytes)
		return false;
	at = stat.bytes - STREAM_PAGE;
	return !read_object(fd, (void *)state, at, sizeof(*state)) &&
	       !memcmp(state->magic, STATE_MAGIC, sizeof(state->magic)) &&
	       state->crc == stream_crc(0, state, offsetof(struct state, crc)) &&
	       in_pages(state->bytes) == at && state->at <= at;
}

bool stream_how_far(int fd, uint64_t *at)
{
	struct state state;

	if (!read_state(fd, &state))
		return false;
	*at = state.at;
	return true;
}

static bool take_data(struct receiver *receiver, const struct stream_record *record)
{
	const unsigned char *bytes = receiver->packed;
	size_t length;
	int err;

	if (record->stored < record->length) {
		length = ZSTD_decompressDCtx(receiver->zstd, receiver->chunk, STREAM_CHUNK,
		                             receiver->packed, record->stored);
		if (ZSTD_isError(length) || length != record->length)
			return wrong(receiver->error, 0,
			             "the stream is damaged: its data at %llu cannot be unpacked",
			             (unsigned long long)record->offset);
		bytes = receiver->chunk;
	}
	err = write_object(receiver->fd, bytes, record->offset, record->length);
	return !err || wrong(receiver->error, err, "the object cannot be written at %llu",
	                     (unsigned long long)record->offset);
}

static bool take_hole(struct receiver *receiver, const struct stream_record *record)
{
	const int err = cowmem_object_punch(receiver->fd, record->offset, record->length, NULL);

	return !err || wrong(receiver->error, err, "the object cannot be punched at %llu",
	                     (unsigned long long)record->offset);
}

/* Whether the object is what the stream's digest is of. */
static bool verify(struct receiver *receiver)
{
	struct stream_digest said, is = {{0}};
	unsigned char more;
	int err;

	memcpy(&said, receiver->packed, sizeof(said));
	if (read_all(receiver->in, &more, 1))
		return wrong(receiver->error, 0, "something follows the end of the stream");
	if (ftruncate(receiver->fd, (off_t)receiver->header->bytes))
		return wrong(receiver->error, -errno, "the object's size");
	err = digest_object(receiver->fd, receiver->end, receiver->chunk, &is);
	if (err)
		return wrong(receiver->error, err, "the object cannot be read");
	if (memcmp(&said, &is, sizeof(is)))
		return wrong(receiver->error, 0, "what came is not what was sent%s",
		             receiver->header->flags & STREAM_INCREMENTAL
		                     ? ": most likely --from is not what it was sent with"
		             : receiver->header->at ? ": what was kept is of another object"
		                                    : "");
	return true;
}

/* Whether the ranges and lengths that a record names can be; none is believed before. */
static bool is_possible(const struct receiver *receiver, const struct stream_record *record)
{
	const uint64_t end = receiver->end;

	if (record->reserved)
		return false;
	if (record->type == STREAM_END)
		return record->offset == receiver->records && !record->length &&
		       record->stored == sizeof(struct stream_digest);
	if ((record->offset | record->length) % STREAM_PAGE || !record->length ||
	    record->offset < receiver->next || record->offset > end ||
	    record->length > end - record->offset)
		return false;
	if (record->type == STREAM_HOLE)
		return !record->stored;
	return record->type == STREAM_DATA && record->length <= STREAM_CHUNK && record->stored &&
	       record->stored <= record->length;
}

/* One record; @ended: it was the last. */
static bool take_record(struct receiver *receiver, bool *ended)
{
	struct stream_record record;
	uint32_t crc;

	if (!read_exactly(receiver->in, &record, sizeof(record), receiver->error))
		return false;
	if (!is_possible(receiver, &record))
		return wrong(receiver->error, 0, "the stream is damaged, at record %llu",
		             (unsigned long long)receiver->records);
	if (!read_exactly(receiver->in, receiver->packed, record.stored, receiver->error))
		return false;
	crc = stream_crc(0, &record, offsetof(struct stream_record, crc));
	if (record.crc != stream_crc(crc, receiver->packed, record.stored))
		return wrong(receiver->error, 0, "the stream is damaged, at record %llu",
		             (unsigned long long)receiver->records);
	*ended = record.type == STREAM_END;
	if (*ended)
		return verify(receiver);
	if (!(record.type == STREAM_DATA ? take_data(receiver, &record)
	                                 : take_hole(receiver, &record)))
		return false;
	receiver->records++;
	receiver->next = record.offset + record.length;
	moved(receiver->progress, record.length, sizeof(record) + record.stored);
	return save_state(receiver);
}

/* The object as large as it will be, and, to go on with what was kept, as far as the stream says. */
static bool prepare(struct receiver *receiver)
{
	const struct stream_header *header = receiver->header;
	struct state state;

	if (header->at) {
		if (!read_state(receiver->fd, &state) || state.bytes != header->bytes ||
		    state.flags != header->flags)
			return wrong(receiver->error, 0,
			             "the stream goes on with what is not here");
		if (state.at != header->at)
			return wrong(receiver->error, 0,
			             "the stream goes on at %llu, and what was kept came to %llu",
			             (unsigned long long)header->at, (unsigned long long)state.at);
	} else if (ftruncate(receiver->fd, (off_t)header->bytes)) {
		return wrong(receiver->error, -errno, "a size of %llu bytes",
		             (unsigned long long)header->bytes);
	}
	if (receiver->keep_state && ftruncate(receiver->fd, (off_t)(receiver->end + STREAM_PAGE)))
		return wrong(receiver->error, -errno, "a size of %llu bytes",
		             (unsigned long long)receiver->end + STREAM_PAGE);
	return save_state(receiver);
}

bool stream_receive(int in, const struct stream_header *header, int fd, bool keep_state,
                    struct stream_progress *progress, struct stream_error *error)
{
	struct receiver receiver = {.in = in,
	                            .fd = fd,
	                            .header = header,
	                            .end = in_pages(header->bytes),
	                            .next = header->at,
	                            .keep_state = keep_state,
	                            .zstd = ZSTD_createDCtx(),
	                            .chunk = malloc(STREAM_CHUNK),
	                            .packed = malloc(STREAM_CHUNK),
	                            .progress = progress,
	                            .error = error};
	bool ended = false, good = true;

	progress->moved += sizeof(*header);
	if (!receiver.zstd || !receiver.chunk || !receiver.packed)
		good = wrong(error, -ENOMEM, "the stream");
	else
		good = prepare(&receiver);
	while (good && !ended)
		good = take_record(&receiver, &ended);
	ZSTD_freeDCtx(receiver.zstd);
	free(receiver.chunk);
	free(receiver.packed);
	return good;
}
