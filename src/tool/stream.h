/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A stream of an object: all that is in it, or what changed since a snapshot. cowmem(5) has the
 * format. All numbers are little-endian.
 *
 * A header; records of data and of holes, by rising offset, that touch no page twice; a record of
 * the end, with a digest of all of the object; and nothing behind that. Header and records each
 * have a CRC-32C, over all of them but that. So damage is found where it is, and what was left out,
 * or put on another base, at the end.
 */
#ifndef COWMEM_STREAM_H
#define COWMEM_STREAM_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STREAM_MAGIC "cowmem\r\n"
#define STREAM_VERSION 1
#define STREAM_CHUNK (1U << 20) /* bytes of an object that one record has at most */
#define STREAM_PAGE 4096U

#define STREAM_INCREMENTAL 1 /* it is for a copy of the snapshot that it is a difference to */

struct stream_header {
	char magic[8];
	uint16_t version, flags;
	uint32_t page_size;
	uint64_t bytes; /* the object's size */
	uint64_t at; /* what lies before was in a stream that broke; a multiple of the page size */
	uint32_t reserved, crc;
};

enum stream_type { STREAM_DATA = 1, STREAM_HOLE = 2, STREAM_END = 3 };

/*
 * DATA: `length` bytes at `offset`, STREAM_CHUNK at most, which follow as one frame of zstd's that
 * takes `stored` bytes, or, if that is `length`, as they are. HOLE: the range has nothing. END: 16
 * bytes follow, struct stream_digest; `offset` is the number of records before. All ranges are of
 * whole pages; what lies behind the object's end is zeroes.
 */
struct stream_record {
	uint32_t type, stored;
	uint64_t offset, length;
	uint32_t reserved, crc;
};

/*
 * Two sums over all pages that are not all zero, each by its own start, modulo 2^64: so that holes
 * and pages of zeroes are the same. stream_add_page() says what is summed.
 */
struct stream_digest {
	uint64_t sums[2];
};

/* Counts page @index, of STREAM_PAGE bytes, in. */
void stream_add_page(struct stream_digest *digest, uint64_t index, const void *page);

/* The CRC-32C of @length bytes, going on from that of what was before, or 0. */
uint32_t stream_crc(uint32_t crc, const void *bytes, size_t length);

/* What goes on, for who shows it; `report` may be NULL. */
struct stream_progress {
	uint64_t done, total; /* bytes of the object; total: 0: not known */
	uint64_t moved;       /* bytes of the stream */
	void (*report)(const struct stream_progress *progress);
};

/* What went wrong: a negative errno, or 0 and only words. */
struct stream_error {
	int err;
	char text[200];
};

/*
 * Write to @out the object @fd, which nobody writes: all of it, or what it has unlike the snapshot
 * @from, unless that is -1; from offset @at on, if that is not 0. @level: zstd's. false: see @error.
 */
bool stream_send(int fd, int from, uint64_t at, int level, int out,
                 struct stream_progress *progress, struct stream_error *error);

/* Read a header. */
bool stream_read_header(int in, struct stream_header *header, struct stream_error *error);

/*
 * Have the object @fd, which is empty or a clone of what the stream is a difference to, as the rest
 * of the stream of @header says, and check that it is; @keep_state: a page behind its end tells all
 * the while how far that came (stream_how_far()). The object has no more than the stream's memory
 * written whatever the stream says; on failure it is to be thrown away.
 */
bool stream_receive(int in, const struct stream_header *header, int fd, bool keep_state,
                    struct stream_progress *progress, struct stream_error *error);

/* How far an object that was kept came: a multiple of the page size; false: it is none of those. */
bool stream_how_far(int fd, uint64_t *at);

#endif /* COWMEM_STREAM_H */
