/* SPDX-License-Identifier: GPL-2.0 */
/* The least of io_uring: one ring, one request at a time, one registered buffer. */
#ifndef COWMEM_RING_H
#define COWMEM_RING_H

#include "cowmem_test.h"

#include <linux/io_uring.h>
#include <sys/uio.h>

static struct {
	int fd;
	unsigned int *sq_tail, *cq_head, sq_mask, cq_mask, *sq_array;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static inline bool ring_open(void)
{
	struct io_uring_params params = {0};
	char *rings;

	ring.fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (ring.fd < 0)
		return false;
	MUST(params.features & IORING_FEAT_SINGLE_MMAP);
	rings = object_map(ring.fd, params.cq_off.cqes + params.cq_entries * sizeof(*ring.cqes),
	                   PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE);
	ring.sqes = mmap(NULL, params.sq_entries * sizeof(*ring.sqes), PROT_READ | PROT_WRITE,
	                 MAP_SHARED | MAP_POPULATE, ring.fd, IORING_OFF_SQES);
	MUST(ring.sqes != MAP_FAILED);
	ring.sq_tail = (unsigned int *)(rings + params.sq_off.tail);
	ring.cq_head = (unsigned int *)(rings + params.cq_off.head);
	ring.sq_mask = params.sq_entries - 1;
	ring.cq_mask = params.cq_entries - 1;
	ring.sq_array = (unsigned int *)(rings + params.sq_off.array);
	ring.cqes = (struct io_uring_cqe *)(rings + params.cq_off.cqes);
	return true;
}

/* The result of a request about @buffer and the beginning of @file. */
static inline ssize_t ring_do(int opcode, int file, void *buffer, size_t length)
{
	unsigned int at = *ring.sq_tail & ring.sq_mask;
	ssize_t result;

	ring.sqes[at] = (struct io_uring_sqe){.opcode = (__u8)opcode,
	                                      .fd = file,
	                                      .addr = (uintptr_t)buffer,
	                                      .len = (__u32)length};
	ring.sq_array[at] = at;
	__atomic_store_n(ring.sq_tail, *ring.sq_tail + 1, __ATOMIC_RELEASE);
	MUST(syscall(SYS_io_uring_enter, ring.fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	result = ring.cqes[*ring.cq_head & ring.cq_mask].res;
	__atomic_store_n(ring.cq_head, *ring.cq_head + 1, __ATOMIC_RELEASE);
	return result;
}

/* Has the pages of @buffer pinned, to be written, until ring_unregister(). 0 or -errno. */
static inline int ring_register(void *buffer, size_t length)
{
	struct iovec vector = {buffer, length};

	return syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &vector, 1) ? -errno
	                                                                                    : 0;
}

static inline void ring_unregister(void)
{
	MUST(!syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0));
}

/* Whether this kernel takes mappings of files for registered buffers, but for those of tmpfs. */
static inline bool ring_takes_files(void)
{
	int fd = object_open();
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	const int err = ring_register(p, PAGE);

	if (!err)
		ring_unregister();
	munmap(p, PAGE);
	close(fd);
	return err != -EOPNOTSUPP;
}

#endif /* COWMEM_RING_H */
