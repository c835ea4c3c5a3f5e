// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/*
 * libcowmem without the module: an object is a memfd, a snapshot one that is sealed and has a copy
 * of the bytes, and what differs is found by comparing them. Holes stay holes.
 */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 }; /* bytes copied, or compared, at once */

static const unsigned char zeroes[CHUNK];

static int create_memfd(const char *name)
{
	const int fd = memfd_create(name ? name : "", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	/* Its one complaint about the arguments is the length of the name. */
	return fd >= 0 ? fd : errno == EINVAL ? -ENAMETOOLONG : -errno;
}

int memfd_create_object(const char *name)
{
	const int fd = create_memfd(name);

	/* As an object of the module's. */
	if (fd >= 0)
		fchmod(fd, 0600);
	return fd;
}

/* Whether nobody can write it, or change its size. */
static bool is_snapshot(int fd)
{
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;

	return (fcntl(fd, F_GET_SEALS) & seals) == seals;
}

static int size_of(int fd, uint64_t *bytes)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	*bytes = (uint64_t)stat.st_size;
	return 0;
}

int memfd_stat(int fd, struct cowmem_stat *stat)
{
	struct stat file;

	if (fstat(fd, &file))
		return -errno;
	stat->bytes = (uint64_t)file.st_size;
	stat->resident_pages = (uint64_t)file.st_blocks * 512 / PAGE_SIZE;
	stat->cow = COWMEM_COW_CORE;
	stat->max_copies = UINT64_MAX;
	stat->state = is_snapshot(fd) ? COWMEM_STATE_FROZEN | COWMEM_STATE_FIXED_SIZE
	                              : COWMEM_STATE_GROWS_BY_WRITE | COWMEM_STATE_PINNABLE;
	return 0;
}

/* As the module: a descriptor that is not for writing is EBADF. */
static int check_writable(int fd)
{
	return (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY || is_snapshot(fd) ? -EBADF : 0;
}

int memfd_resize(int fd, uint64_t bytes)
{
	const int err = check_writable(fd);

	if (err)
		return err;
	if (bytes > INT64_MAX)
		return -EFBIG;
	return ftruncate(fd, (off_t)bytes) ? -errno : 0;
}

int memfd_punch(int fd, uint64_t offset, uint64_t length)
{
	const int err = check_writable(fd);
	uint64_t bytes = 0;

	if (err)
		return err;
	if (size_of(fd, &bytes))
		return -errno;
	if (offset >= bytes)
		return 0;
	if (length > INT64_MAX - offset)
		length = INT64_MAX - offset;
	return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
	                 (off_t)length)
	               ? -errno
	               : 0;
}

/* --- bytes --- */

/* The first byte at or behind @offset that is no hole's, or @end. */
static uint64_t next_data(int fd, uint64_t offset, uint64_t end)
{
	const off_t data = offset < end ? lseek(fd, (off_t)offset, SEEK_DATA) : (off_t)end;

	return data < 0 || (uint64_t)data > end ? end : (uint64_t)data;
}

/* What of [@offset, @offset + @length) the object has, and zeroes behind its end. 0, or -errno. */
static int read_all(int fd, unsigned char *to, uint64_t offset, size_t length)
{
	while (length) {
		const ssize_t got = pread(fd, to, length, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (!got) {
			memset(to, 0, length);
			return 0;
		}
		to += got;
		offset += (uint64_t)got;
		length -= (size_t)got;
	}
	return 0;
}

static int write_all(int fd, const unsigned char *from, uint64_t offset, size_t length)
{
	while (length) {
		const ssize_t put = pwrite(fd, from, length, (off_t)offset);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return -errno;
		from += put;
		offset += (uint64_t)put;
		length -= (size_t)put;
	}
	return 0;
}

/* The data of @from in [@offset, @end) into @to, where there are holes. 0, or -errno. */
static int copy_data(int from, int to, uint64_t offset, uint64_t end)
{
	unsigned char bytes[CHUNK];
	int err = 0;

	while (!err && (offset = next_data(from, offset, end)) < end) {
		const size_t length = end - offset < CHUNK ? (size_t)(end - offset) : CHUNK;

		err = read_all(from, bytes, offset, length);
		/* Part of it may be a hole, which takes nothing in the copy either. */
		for (size_t at = 0; !err && at < length; at += PAGE_SIZE) {
			const size_t part = length - at < PAGE_SIZE ? length - at : PAGE_SIZE;

			if (memcmp(bytes + at, zeroes, part))
				err = write_all(to, bytes + at, offset + at, part);
		}
		offset += length;
	}
	return err;
}

/* --- snapshots and clones --- */

/* A new memfd as @fd is, with the data of the range only; 0, 0: all. */
static int copy_of(int fd, uint64_t offset, uint64_t length)
{
	uint64_t bytes = 0, end;
	int err = size_of(fd, &bytes), copy;

	if (err)
		return err;
	if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY)
		return -EBADF;
	copy = memfd_create_object("");
	if (copy < 0)
		return copy;
	end = length && offset + length < bytes ? offset + length : bytes;
	if (ftruncate(copy, (off_t)bytes))
		err = -errno;
	else
		err = copy_data(fd, copy, offset, end);
	if (err)
		close(copy);
	return err ? err : copy;
}

int memfd_clone(int fd, uint64_t offset, uint64_t length)
{
	return copy_of(fd, offset, length);
}

int memfd_snapshot(int fd)
{
	int copy = copy_of(fd, 0, 0), snapshot;
	char path[32];

	if (copy < 0)
		return copy;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", copy);
	if (fcntl(copy, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW))
		snapshot = -errno;
	else /* Not open for writing, as a snapshot's descriptor is. */
		snapshot = open(path, O_RDONLY | O_CLOEXEC);
	if (snapshot == -1)
		snapshot = -errno;
	close(copy);
	return snapshot;
}

int memfd_restore(int fd, int snapshot, uint64_t offset, uint64_t length)
{
	uint64_t bytes = 0, of_snapshot = 0, end;
	int err = check_writable(fd);

	if (err)
		return err;
	if (fcntl(snapshot, F_GET_SEALS) < 0)
		return errno == EBADF ? -EBADF : -EINVAL;
	if (!is_snapshot(snapshot))
		return -EINVAL;
	if (!err)
		err = size_of(fd, &bytes);
	if (!err)
		err = size_of(snapshot, &of_snapshot);
	if (!err && !length) {
		err = memfd_resize(fd, of_snapshot);
		bytes = of_snapshot;
	}
	if (err)
		return err;
	end = length && offset + length < bytes ? offset + length : bytes;
	if (offset >= end)
		return 0;
	err = memfd_punch(fd, offset, (end - offset + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE);
	return err ? err : copy_data(snapshot, fd, offset, end < of_snapshot ? end : of_snapshot);
}

/* --- what differs --- */

/* How the page at @offset differs: 0: not; 1: it does; 2: and @fd has a hole there. Or -errno. */
static int compare_page(int fd, int other, uint64_t offset)
{
	unsigned char a[PAGE_SIZE], b[PAGE_SIZE];
	int err = read_all(fd, a, offset, PAGE_SIZE);

	if (!err)
		err = read_all(other, b, offset, PAGE_SIZE);
	if (err || !memcmp(a, b, PAGE_SIZE))
		return err;
	return next_data(fd, offset, offset + PAGE_SIZE) == offset + PAGE_SIZE ? 2 : 1;
}

int memfd_diff(int fd, int other, uint64_t offset, uint64_t end, struct cowmem_changed *range)
{
	int kind = 0, first = 0;

	for (; offset < end; offset += PAGE_SIZE) {
		if (!first) {
			/* What neither has does not differ. */
			const uint64_t a = next_data(fd, offset, end);
			const uint64_t b = next_data(other, offset, end);

			offset = (a < b ? a : b) / PAGE_SIZE * PAGE_SIZE;
			if (offset >= end)
				break;
		}
		kind = compare_page(fd, other, offset);
		if (kind < 0)
			return kind;
		if (first && kind != first)
			break;
		if (!first && kind) {
			first = kind;
			*range = (struct cowmem_changed){
				.offset = offset, .flags = kind == 2 ? COWMEM_CHANGED_HOLE : 0};
		}
		if (first)
			range->length += PAGE_SIZE;
	}
	return !!first;
}
