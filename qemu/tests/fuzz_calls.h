/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls that the fuzzer knows, each with what its arguments are: all of the module's interface, and
 * what the kernel offers on top of it. One that needs a descriptor or a mapping takes that of the slot
 * that it names, or the next of use, so that most calls succeed.
 */
#ifndef COWMEM_FUZZ_CALLS_H
#define COWMEM_FUZZ_CALLS_H

#include "cgroup.h"
#include "fuzz_state.h"
#include "parameters.h"
#include "passing.h"
#include "written.h"

#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/sendfile.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* --- objects --- */
static long run_open(const uint64_t *a)
{
	return keep(a[0], CALL(open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC)),
	            (struct held){.is = WRITES, .look = -1});
}

static long run_create(const uint64_t *a)
{
	static const char *const names[] = {NULL, "", "a name", "slash/ed"};
	struct cowmem_create create = {.size = sizeof(create), .name = (uintptr_t)names[a[2]]};
	long done;

	PICK(any, a[1], 0);
	done = CALL(ioctl(any->fd, COWMEM_IOC_CREATE, &create));
	return keep(a[0], done ? done : create.fd,
	            (struct held){.is = WRITES | REGULAR, .look = -1});
}

static long run_file(const uint64_t *a)
{
	struct cowmem_file file = {.size = sizeof(file)};
	struct held is;
	long done;

	PICK(of, a[1], 0);
	is = *of;
	is.is |= REGULAR;
	done = CALL(ioctl(of->fd, COWMEM_IOC_FILE, &file));
	return keep(a[0], done ? done : file.fd, is);
}

static const char *name_in_mount(uint64_t number)
{
	static char name[2][32];
	static unsigned int nth;

	nth = !nth;
	snprintf(name[nth], sizeof(name[0]), FUZZ_MOUNT "/%llu", (unsigned long long)number);
	return name[nth];
}

static long run_creat(const uint64_t *a)
{
	return keep(a[0],
	            CALL(open(name_in_mount(a[1]),
	                      O_CREAT | O_RDWR | O_CLOEXEC | (a[2] ? 0 : O_TRUNC), 0600)),
	            (struct held){.is = WRITES | REGULAR | NAMED, .look = -1});
}

static long run_tmpfile(const uint64_t *a)
{
	return keep(a[0], CALL(open(FUZZ_MOUNT, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)),
	            (struct held){.is = WRITES | REGULAR | NAMED, .look = -1});
}

static long run_link(const uint64_t *a)
{
	PICK(file, a[0], NAMED);
	unlink(name_in_mount(a[1]));
	return CALL(linkat(file->fd, "", AT_FDCWD, name_in_mount(a[1]), AT_EMPTY_PATH));
}

static long run_unlink(const uint64_t *a)
{
	return CALL(unlink(name_in_mount(a[0])));
}

static long run_rename(const uint64_t *a)
{
	return CALL(rename(name_in_mount(a[0]), name_in_mount(a[1])));
}

static long run_reopen(const uint64_t *a)
{
	char path[32];
	struct held is;

	PICK(of, a[1], REGULAR);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", of->fd);
	is = *of;
	if (!a[2] && !(is.is & SNAPSHOT))
		return keep(a[0], CALL(open(path, O_RDWR | O_CLOEXEC)), is);
	is.is &= ~WRITES;
	return keep(a[0], CALL(open(path, O_RDONLY | O_CLOEXEC)), is);
}

static long run_dup(const uint64_t *a)
{
	struct held is;

	PICK(of, a[1], 0);
	is = *of;
	return keep(a[0], CALL(fcntl(of->fd, F_DUPFD_CLOEXEC, 0)), is);
}

static long run_close(const uint64_t *a)
{
	int fd;

	PICK(is, a[0], 0);
	fd = is->fd;
	is->fd = -1;
	return CALL(close(fd));
}

static long run_send(const uint64_t *a)
{
	unsigned int nth;

	PICK(is, a[0], 0);
	nth = atomic_fetch_add(&shared->nr_sent, 1) % SENT;
	shared->sent[nth] = *is;
	return CALL(send_fd(sockets[a[1]][0], is->fd, nth) ? 0 : -1);
}

static long run_receive(const uint64_t *a)
{
	unsigned int nth = 0;
	const int fd = receive_fd(sockets[self][1], &nth, MSG_DONTWAIT);

	return fd < 0 ? SKIPPED : keep(a[0], fd, shared->sent[nth % SENT]);
}

/* --- what an object tells --- */
static long run_info(const uint64_t *a)
{
	struct cowmem_info info = {.size = sizeof(info)};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_GET_INFO, &info));
}

static long run_stat(const uint64_t *a)
{
	struct cowmem_stat stat = {.size = a[1] ? sizeof(stat) : COWMEM_STAT_SIZE_VER0};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_STAT, &stat));
}

static long run_fstat(const uint64_t *a)
{
	struct statfs statfs;
	struct stat stat;

	PICK(is, a[0], 0);
	return a[1] ? CALL(fstat(is->fd, &stat)) : CALL(fstatfs(is->fd, &statfs));
}

static long run_fdinfo(const uint64_t *a)
{
	char path[64], text[1024];
	long done;
	int fd;

	PICK(is, a[0], 0);
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", is->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	done = CALL(read(fd, text, sizeof(text)));
	close(fd);
	return done;
}

static long run_rmap(const uint64_t *a)
{
	struct cowmem_mapping to[24];
	struct cowmem_rmap rmap = {.size = sizeof(rmap),
	                           .offset = a[1] * PAGE,
	                           .length = a[2] * PAGE,
	                           .mappings = (uintptr_t)to,
	                           .capacity = a[3] ? ARRAY_LENGTH(to) : 1};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_RMAP, &rmap));
}

static struct held *descriptor_of(uint64_t object)
{
	for (unsigned int i = 0; i < DESCRIPTORS; i++)
		if (held[i].fd >= 0 && held[i].object == object)
			return &held[i];
	return NULL;
}

static long run_copies(const uint64_t *a)
{
	struct cowmem_mapping to[24];
	struct cowmem_rmap rmap = {.size = sizeof(rmap),
	                           .flags = COWMEM_RMAP_OF_COPIES,
	                           .mappings = (uintptr_t)to,
	                           .capacity = ARRAY_LENGTH(to)};
	struct mapped *is = NULL;
	struct held *of;
	size_t length;

	for (unsigned int i = 0; i < MAPPINGS && !is; i++) {
		struct mapped *at = &mapped[(a[0] + i) % MAPPINGS];

		if (at->pages && at->flags == MAP_PRIVATE && descriptor_of(at->object))
			is = at;
	}
	if (!is)
		return SKIPPED;
	of = descriptor_of(is->object);
	rmap.offset = (uintptr_t)part_of(is, a[1], a[2], &length);
	rmap.length = length;
	return CALL(ioctl(of->fd, COWMEM_IOC_RMAP, &rmap));
}

static long run_pagemap(const uint64_t *a)
{
	struct cowmem_page to[40];
	struct cowmem_pagemap pagemap = {.size = sizeof(pagemap),
	                                 .flags = (uint32_t)a[3],
	                                 .offset = a[1] * PAGE,
	                                 .length = a[2] * PAGE,
	                                 .pages = (uintptr_t)to,
	                                 .capacity = ARRAY_LENGTH(to)};

	PICK(is, a[0], a[3] ? WRITES : 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_PAGEMAP, &pagemap));
}

static long run_move(const uint64_t *a)
{
	struct cowmem_move move = {.size = sizeof(move),
	                           .offset = a[1] * PAGE,
	                           .length = a[2] * PAGE,
	                           .node = (uint32_t)a[3]};

	PICK(is, a[0], WRITES);
	return CALL(ioctl(is->fd, COWMEM_IOC_MOVE, &move));
}

static long run_poison(const uint64_t *a)
{
	struct cowmem_poison poison = {
		.size = sizeof(poison), .offset = a[1] % 16 * PAGE, .length = PAGE};
	long done;

	PICK(is, a[0], WRITES);
	if (atomic_load(&shared->poisoned) >= MOST_POISONED)
		return SKIPPED;
	done = CALL(ioctl(is->fd, COWMEM_IOC_POISON, &poison));
	atomic_fetch_add(&shared->poisoned, poison.poisoned);
	return done;
}

/* --- size and holes --- */
static long run_resize(const uint64_t *a)
{
	struct cowmem_resize resize = {
		.size = sizeof(resize), .bytes = a[1], .flags = (uint32_t)a[2]};

	PICK(is, a[0], WRITES);
	return CALL(ioctl(is->fd, COWMEM_IOC_RESIZE, &resize));
}

static long run_ftruncate(const uint64_t *a)
{
	PICK(is, a[0], WRITES | REGULAR);
	return CALL(ftruncate(is->fd, (off_t)a[1]));
}

static long run_punch(const uint64_t *a)
{
	struct cowmem_punch punch = {.size = a[3] ? sizeof(punch) : COWMEM_PUNCH_SIZE_VER0,
	                             .offset = a[1] * PAGE,
	                             .length = a[2] * PAGE};

	PICK(is, a[0], WRITES);
	return CALL(ioctl(is->fd, COWMEM_IOC_PUNCH, &punch));
}

static long run_fallocate(const uint64_t *a)
{
	static const int modes[] = {0,
	                            FALLOC_FL_KEEP_SIZE,
	                            FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
	                            FALLOC_FL_ZERO_RANGE,
	                            FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	                            FALLOC_FL_COLLAPSE_RANGE};

	PICK(is, a[0], WRITES | REGULAR);
	return CALL(fallocate(is->fd, modes[a[1]], (off_t)a[2], (off_t)a[3]));
}

static long run_fadvise(const uint64_t *a)
{
	PICK(is, a[0], REGULAR);
	return -posix_fadvise(is->fd, (off_t)a[1], (off_t)a[2], (int)a[3]);
}

static long run_set_cow(const uint64_t *a)
{
	struct cowmem_set_cow set = {.size = sizeof(set), .cow = (uint32_t)a[1]};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_SET_COW, &set));
}

/* --- the store --- */
static long run_page_out(const uint64_t *a)
{
	struct cowmem_page_out out = {.size = sizeof(out),
	                              .flags = (uint32_t)a[3],
	                              .offset = a[1] * PAGE,
	                              .length = a[2] * PAGE};

	PICK(is, a[0], a[4] ? SNAPSHOT : WRITES);
	return CALL(ioctl(is->fd, COWMEM_IOC_PAGE_OUT, &out));
}

static long run_prefetch(const uint64_t *a)
{
	struct cowmem_range ranges[] = {{a[1] * PAGE, a[2] * PAGE}, {a[3] * PAGE, PAGE}};
	struct cowmem_prefetch prefetch = {
		.size = sizeof(prefetch), .ranges = (uintptr_t)ranges, .count = 2};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_PREFETCH, &prefetch));
}

static long run_store_stat(const uint64_t *a)
{
	struct cowmem_store_stat stat = {.size = sizeof(stat)};

	PICK(is, a[0], 0);
	return CALL(ioctl(is->fd, COWMEM_IOC_STORE_STAT, &stat));
}

static long run_store_limit(const uint64_t *a)
{
	struct cowmem_store_limit limit = {.size = sizeof(limit), .max_slots = a[1] - 1};

	PICK(is, a[0], WRITES);
	return CALL(ioctl(is->fd, COWMEM_IOC_STORE_LIMIT, &limit));
}

/* Kilobytes of what the fuzzer's cgroup has. EAGAIN: there is not as much. */
static long run_reclaim(const uint64_t *a)
{
	static const char *const sizes[] = {"16K", "128K", "1M"};
	int fd = open(CGROUP "/memory.reclaim", O_WRONLY | O_CLOEXEC);
	const long done = fd < 0 ? SKIPPED : CALL(write(fd, sizes[a[0]], strlen(sizes[a[0]])));

	close(fd);
	return done == -EAGAIN ? 0 : done;
}

/* --- relatives --- */
static const unsigned int limits[] = {0, 0, 0, COWMEM_SNAPSHOT_LIMIT,
                                      COWMEM_SNAPSHOT_LIMIT | COWMEM_SNAPSHOT_DROP};

static long run_snapshot(const uint64_t *a)
{
	struct cowmem_snapshot arg = {
		.size = sizeof(arg), .flags = limits[a[3]], .max_copies = limits[a[3]] ? a[4] : 0};
	struct held is, *made;
	int source;
	long done;

	PICK(of, a[0], 0);
	is = (struct held){
		.is = SNAPSHOT | REGULAR | (of->is & NAMED), .family = of->family, .look = -1};
	source = of->fd;
	done = CALL(ioctl(of->fd, COWMEM_IOC_SNAPSHOT, &arg));
	if (done)
		return done;
	/* The source's slot may be the snapshot's. */
	source = fcntl(source, F_DUPFD_CLOEXEC, 0);
	done = keep(a[1], arg.fd, is);
	made = &held[a[1] % EXACTLY % DESCRIPTORS];
	/* A snapshot with a limit may be dropped while it is looked at. */
	if (a[2] && !limits[a[3]])
		remember(made, source);
	close(source);
	return done;
}

static long run_clone(const uint64_t *a)
{
	struct cowmem_snapshot arg = {.size = sizeof(arg)};
	struct held is;
	long done;
	int source;

	PICK(of, a[0], 0);
	is = (struct held){
		.is = WRITES | REGULAR | (of->is & NAMED), .family = of->family, .look = -1};
	if (a[3]) {
		arg.offset = a[2] * PAGE;
		arg.length = a[3] * PAGE;
	}
	done = CALL(ioctl(of->fd, COWMEM_IOC_CLONE, &arg));
	if (done)
		return done;
	source = fcntl(of->fd, F_DUPFD_CLOEXEC, 0);
	done = keep(a[1], arg.fd, is);
	if (!a[3] && a[4] && is_quiet()) {
		const struct look was = look_at(source), now = look_at(arg.fd);

		compare_looks(&was, &now, "a clone is not as its object");
	}
	close(source);
	return done;
}

static long run_snapshot_set(const uint64_t *a)
{
	int objects[2], made[2];
	struct cowmem_snapshot_set arg = {.size = sizeof(arg),
	                                  .objects = (uintptr_t)objects,
	                                  .snapshots = (uintptr_t)made,
	                                  .count = 2};
	struct held is[2];
	long done;

	PICK(first, a[0], 0);
	PICK(second, a[1], 0);
	if (first->object == second->object)
		arg.count = 1;
	is[0] = *first;
	is[1] = *second;
	for (unsigned int i = 0; i < 2; i++) {
		objects[i] = is[i].fd;
		is[i] = (struct held){.is = SNAPSHOT | REGULAR | (is[i].is & NAMED),
		                      .family = is[i].family,
		                      .look = -1};
	}
	done = CALL(ioctl(first->fd, COWMEM_IOC_SNAPSHOT_SET, &arg));
	for (unsigned int i = 0; !done && i < arg.count; i++) {
		const int source = fcntl(objects[i], F_DUPFD_CLOEXEC, 0);

		/* The first may have taken the place of the second's object. */
		keep(a[2 + i], made[i], is[i]);
		if (source >= 0 && a[4] && (!i || a[2] % EXACTLY % DESCRIPTORS != a[1] % EXACTLY))
			remember(&held[a[2 + i] % EXACTLY % DESCRIPTORS], i ? made[i] : source);
		close(source);
	}
	return done;
}

static long run_restore(const uint64_t *a)
{
	struct cowmem_restore arg = {.size = a[4] ? sizeof(arg) : COWMEM_RESTORE_SIZE_VER0};
	struct held *to;
	long done;

	PICK(is, a[0], WRITES);
	to = pick_relative(is, a[1], SNAPSHOT);
	if (!to)
		return SKIPPED;
	arg.fd = to->fd;
	if (a[3] && a[4]) {
		arg.offset = a[2] * PAGE;
		arg.length = a[3] * PAGE;
	}
	done = CALL(ioctl(is->fd, COWMEM_IOC_RESTORE, &arg));
	if (!done && !(a[3] && a[4]) && is_quiet()) {
		const struct look was = look_at(to->fd), now = look_at(is->fd);

		compare_looks(&was, &now, "an object is not as what it was taken back to");
	}
	return done;
}

static long run_diff(const uint64_t *a)
{
	struct cowmem_changed to[16];
	struct cowmem_diff diff = {.size = sizeof(diff),
	                           .offset = a[2] * PAGE,
	                           .length = a[3] * PAGE,
	                           .ranges = (uintptr_t)to,
	                           .capacity = a[4] ? ARRAY_LENGTH(to) : 1};
	struct held *other;

	PICK(is, a[0], 0);
	other = pick_relative(is, a[1], 0);
	if (!other)
		return SKIPPED;
	diff.fd = other->fd;
	return CALL(ioctl(is->fd, COWMEM_IOC_DIFF, &diff));
}

/* Two files of one file system; the first can be written. */
#define PICK_FILES(to, from, a)                                                          \
	PICK(to, (a)[0], WRITES | REGULAR);                                              \
	struct held *const from = (a)[1] & 1 ? pick_relative(to, (a)[1], REGULAR)        \
	                                     : pick((a)[1], REGULAR | (to->is & NAMED)); \
	if (!from)                                                                       \
	return SKIPPED

static long run_ficlone(const uint64_t *a)
{
	PICK_FILES(to, from, a);
	return CALL(ioctl(to->fd, FICLONE, from->fd));
}

static long run_ficlonerange(const uint64_t *a)
{
	PICK_FILES(to, from, a);
	struct file_clone_range range = {from->fd, a[2] * PAGE, a[3] * PAGE,
	                                 (a[4] ? a[4] : a[2]) * PAGE};

	return CALL(ioctl(to->fd, FICLONERANGE, &range));
}

static long run_dedupe(const uint64_t *a)
{
	struct {
		struct file_dedupe_range range;
		struct file_dedupe_range_info info;
	} arg;
	long done;

	PICK_FILES(to, from, a);
	memset(&arg, 0, sizeof(arg));
	arg.range.src_offset = a[2] * PAGE;
	arg.range.src_length = a[3] * PAGE;
	arg.range.dest_count = 1;
	arg.info.dest_fd = to->fd;
	arg.info.dest_offset = a[2] * PAGE;
	done = CALL(ioctl(from->fd, FIDEDUPERANGE, &arg));
	return done ? done : arg.info.status < 0 ? arg.info.status : 0;
}

static long run_copy_range(const uint64_t *a)
{
	off_t from_at = (off_t)a[2], to_at = (off_t)a[3];

	PICK_FILES(to, from, a);
	return CALL(copy_file_range(from->fd, &from_at, to->fd, &to_at, a[4], 0));
}

static long run_splice(const uint64_t *a)
{
	loff_t from_at = (loff_t)a[2], to_at = (loff_t)a[3];
	int ends[2];
	long done;

	PICK_FILES(to, from, a);
	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	done = CALL(splice(from->fd, &from_at, ends[1], NULL, a[4], SPLICE_F_NONBLOCK));
	if (done > 0)
		done = CALL(splice(ends[0], NULL, to->fd, &to_at, (size_t)done, SPLICE_F_NONBLOCK));
	close(ends[0]);
	close(ends[1]);
	return done;
}

static long run_sendfile(const uint64_t *a)
{
	off_t at = (off_t)a[2];

	PICK_FILES(to, from, a);
	return CALL(sendfile(to->fd, from->fd, &at, a[3]));
}

/* --- bytes --- */
enum { MOST_BYTES = 64 * 4096 };

static unsigned char buffer[MOST_BYTES];

/* Odd bytes give pages that do not compress. */
static void fill_buffer(uint64_t length, uint64_t byte)
{
	uint64_t word = byte;

	if (byte % 2 == 0) {
		memset(buffer, (int)byte, length);
		return;
	}
	for (uint64_t i = 0; i + 8 <= length; i += 8) {
		word = word * 6364136223846793005 + 1442695040888963407;
		memcpy(buffer + i, &word, 8);
	}
}

static long run_pwrite(const uint64_t *a)
{
	const uint64_t length = a[2] % MOST_BYTES;

	PICK(is, a[0], WRITES);
	fill_buffer(length, a[3]);
	return CALL(pwrite(is->fd, buffer, length, (off_t)a[1]));
}

static long run_pread(const uint64_t *a)
{
	PICK(is, a[0], 0);
	return CALL(pread(is->fd, buffer, a[2] % MOST_BYTES, (off_t)a[1]));
}

/* To, or from, memory of a mapping. */
static long run_transfer(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK(is, a[0], a[4] ? WRITES : 0);
	PICK_MAPPING(memory, a[1]);
	at = part_of(memory, a[2], 2, &length);
	return a[4] ? CALL(pwrite(is->fd, at, length, (off_t)(a[3] * PAGE)))
	            : CALL(pread(is->fd, at, length, (off_t)(a[3] * PAGE)));
}

static long run_append(const uint64_t *a)
{
	PICK(is, a[0], WRITES);
	fill_buffer(a[1] % MOST_BYTES, a[2]);
	return CALL(write(is->fd, buffer, a[1] % MOST_BYTES));
}

static long run_lseek(const uint64_t *a)
{
	PICK(is, a[0], 0);
	return CALL(lseek(is->fd, (off_t)a[1], (int)a[2]));
}

static long run_fsync(const uint64_t *a)
{
	PICK(is, a[0], REGULAR);
	return CALL(fsync(is->fd));
}

/* --- mappings --- */
static const int prots[] = {PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE};

static long run_mmap(const uint64_t *a)
{
	struct mapped *to = &mapped[a[1] % EXACTLY % MAPPINGS];
	const size_t pages = 1 + (a[3] - 1) % 1024;
	const int flags = a[4] & 1 ? MAP_PRIVATE : MAP_SHARED;
	int prot = prots[a[4] >> 1 & 3];
	char *at = at_slot(slot_of(to));
	long done;

	PICK(is, a[0], 0);
	if (flags == MAP_SHARED && !(is->is & WRITES))
		prot &= ~PROT_WRITE;
	munmap(at, ROOM);
	to->pages = 0;
	done = CALL(mmap(at, pages * PAGE, prot,
	                 flags | MAP_FIXED | (a[4] & 8 ? MAP_POPULATE : 0) |
	                         (a[4] & 16 ? MAP_NORESERVE : 0),
	                 is->fd, (off_t)(a[2] * PAGE)));
	if (done < 0)
		return done;
	*to = (struct mapped){pages, a[2], is->object, prot, flags};
	return 0;
}

/* Some of it; all, and the slot is free. */
static long run_munmap(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	if (length == is->pages * PAGE)
		is->pages = 0;
	return CALL(munmap(at, length));
}

static long run_mprotect(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	return CALL(mprotect(at, length, prots[a[3]]));
}

static long run_mremap(const uint64_t *a)
{
	struct mapped *to = &mapped[a[1] % EXACTLY % MAPPINGS];
	size_t pages;
	long done;

	PICK_MAPPING(is, a[0]);
	pages = a[2] ? 1 + (a[2] - 1) % 1024 : is->pages;
	if (to == is)
		done = CALL(mremap(at_slot(slot_of(is)), is->pages * PAGE, pages * PAGE, 0));
	else
		done = CALL(mremap(at_slot(slot_of(is)), is->pages * PAGE, pages * PAGE,
		                   MREMAP_MAYMOVE | MREMAP_FIXED, at_slot(slot_of(to))));
	if (done < 0)
		return done;
	*to = *is;
	to->pages = pages;
	if (to != is)
		is->pages = 0;
	return 0;
}

static long run_madvise(const uint64_t *a)
{
	static const int advices[] = {
		MADV_DONTNEED,       MADV_WILLNEED, MADV_COLD,      MADV_PAGEOUT,
		MADV_REMOVE,         MADV_FREE,     MADV_RANDOM,    MADV_SEQUENTIAL,
		MADV_NORMAL,         MADV_DONTFORK, MADV_DOFORK,    MADV_POPULATE_READ,
		MADV_POPULATE_WRITE, MADV_COLLAPSE, MADV_MERGEABLE, MADV_HUGEPAGE};
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	return CALL(madvise(at, length, advices[a[3]]));
}

static long run_mlock(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	return a[3] == 2 ? CALL(munlock(at, length))
	                 : CALL(mlock2(at, length, a[3] ? MLOCK_ONFAULT : 0));
}

static long run_msync(const uint64_t *a)
{
	unsigned char resident[1024];
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	if (a[3] == 2)
		return CALL(
			mincore(at, length < sizeof(resident) * PAGE ? length : PAGE, resident));
	return CALL(msync(at, length, a[3] ? MS_SYNC : MS_ASYNC | MS_INVALIDATE));
}

static long run_load(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	for (size_t i = 0; i < length && i < 64 * PAGE; i += PAGE) {
		const long done = CALL(touch(at + i, READ) ? (errno = EFAULT, -1) : 0);

		if (done)
			return done;
	}
	return 0;
}

static long run_store(const uint64_t *a)
{
	size_t length;
	char *at;

	PICK_MAPPING(is, a[0]);
	at = part_of(is, a[1], a[2], &length);
	for (size_t i = 0; i < length && i < 64 * PAGE; i += PAGE) {
		const long done =
			CALL(touch(at + i + a[3] * 8, (int)a[3]) ? (errno = EFAULT, -1) : 0);

		if (done)
			return done;
	}
	return 0;
}

static long run_thread(const uint64_t *a)
{
	PICK_MAPPING(is, a[0]);
	if (toucher.is_there)
		return SKIPPED;
	toucher = (struct toucher){.slot = slot_of(is),
	                           .pages = (unsigned int)(is->pages < 32 ? is->pages : 32),
	                           .seed = (unsigned int)a[1] + 1};
	atomic_fetch_add(&shared->threads, 1);
	toucher.is_there = !pthread_create(&toucher.thread, NULL, touch_on, &toucher);
	if (!toucher.is_there)
		atomic_fetch_sub(&shared->threads, 1);
	return toucher.is_there ? 0 : -EAGAIN;
}

/* A pipe has the page, as one that is under I/O has a reference on it. */
static long run_hold(const uint64_t *a)
{
	struct iovec memory;

	PICK_MAPPING(is, a[0]);
	if (pipes[0] < 0 && pipe2(pipes, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	memory.iov_base = part_of(is, a[1], 1, &memory.iov_len);
	return CALL(vmsplice(pipes[1], &memory, 1, SPLICE_F_NONBLOCK));
}

static long run_let_go(const uint64_t *a)
{
	(void)a;
	if (pipes[0] < 0)
		return SKIPPED;
	return CALL(read(pipes[0], buffer, sizeof(buffer)));
}

/* Of another process, where this one has its mapping. */
static long run_remote(const uint64_t *a)
{
	struct iovec local = {buffer, PAGE}, remote;
	pid_t pid;

	PICK_MAPPING(is, a[0]);
	pid = atomic_load(&shared->pid[a[2]]);
	if (!pid || atomic_load(&shared->state[a[2]]) != RUNS)
		return SKIPPED;
	remote.iov_base = part_of(is, a[1], 1, &remote.iov_len);
	return a[3] ? CALL(process_vm_writev(pid, &local, 1, &remote, 1, 0))
	            : CALL(process_vm_readv(pid, &local, 1, &remote, 1, 0));
}

/* --- what keeps track --- */
static long run_write_protect(const uint64_t *a)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
	struct uffdio_register reg = {.mode = UFFDIO_REGISTER_MODE_WP};
	struct uffdio_writeprotect protect = {.mode = UFFDIO_WRITEPROTECT_MODE_WP};
	size_t length;
	long done;

	PICK_MAPPING(is, a[0]);
	if (uffd < 0) {
		uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
		if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api)) {
			close(uffd);
			uffd = -1;
			return SKIPPED;
		}
	}
	reg.range.start = (uintptr_t)part_of(is, a[1], a[2], &length);
	reg.range.len = length;
	protect.range = reg.range;
	if (a[3] == 1)
		return CALL(ioctl(uffd, UFFDIO_UNREGISTER, &reg.range));
	if (a[3] == 2)
		protect.mode = 0;
	done = CALL(ioctl(uffd, UFFDIO_REGISTER, &reg));
	return done ? done : CALL(ioctl(uffd, UFFDIO_WRITEPROTECT, &protect));
}

static long run_scan(const uint64_t *a)
{
	struct page_region regions[32];
	struct pm_scan_arg arg = {.size = sizeof(arg),
	                          .flags = a[3] ? PM_SCAN_WP_MATCHING : 0,
	                          .vec = (uintptr_t)regions,
	                          .vec_len = ARRAY_LENGTH(regions),
	                          .category_mask = PAGE_IS_WRITTEN,
	                          .return_mask = PAGE_IS_WRITTEN};
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct mapped *is = pick_mapping(a[0]);
	long done = SKIPPED;
	size_t length;

	if (fd >= 0 && is) {
		arg.start = (uintptr_t)part_of(is, a[1], a[2], &length);
		arg.end = arg.start + length;
		done = CALL(ioctl(fd, PAGEMAP_SCAN, &arg));
	}
	close(fd);
	return done == -ENOTTY ? SKIPPED : done;
}

static long run_clear_refs(const uint64_t *a)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	const long done = fd < 0 ? SKIPPED : CALL(write(fd, a[0] ? "4" : "3", 1));

	close(fd);
	return done;
}

/* User space makes the page, or has it mapped, and nobody touches it meanwhile. */
static long run_user_fill(const uint64_t *a)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register reg = {.mode = a[2] == 2 ? UFFDIO_REGISTER_MODE_MINOR
	                                                : UFFDIO_REGISTER_MODE_MISSING};
	struct cowmem_info info = {.size = sizeof(info)};
	size_t length;
	long done;
	int fd;

	PICK(any, 0, 0);
	PICK_MAPPING(is, a[0]);
	if (ioctl(any->fd, COWMEM_IOC_GET_INFO, &info) ||
	    !(info.features & COWMEM_FEATURE_USERFAULTFD))
		return SKIPPED;
	fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return SKIPPED;
	reg.range.start = (uintptr_t)part_of(is, a[1], 1, &length);
	reg.range.len = length;
	done = ioctl(fd, UFFDIO_API, &api) ? -errno : CALL(ioctl(fd, UFFDIO_REGISTER, &reg));
	if (!done && a[2] == 2) {
		struct uffdio_continue go_on = {.range = reg.range};

		done = CALL(ioctl(fd, UFFDIO_CONTINUE, &go_on));
	} else if (!done && a[2] == 1) {
		struct uffdio_zeropage zero = {.range = reg.range};

		done = CALL(ioctl(fd, UFFDIO_ZEROPAGE, &zero));
	} else if (!done) {
		struct uffdio_copy copy = {
			.dst = reg.range.start, .src = (uintptr_t)buffer, .len = PAGE};

		done = CALL(ioctl(fd, UFFDIO_COPY, &copy));
	}
	close(fd);
	return done;
}

/* --- processes --- */
static void begin_process(unsigned int number);

static long run_fork(const uint64_t *a)
{
	const unsigned int number = (unsigned int)a[0];
	long pid;

	if (!number || atomic_load(&shared->state[number]) != NONE)
		return SKIPPED;
	atomic_store(&shared->state[number], RUNS);
	begin_failing();
	pid = fork();
	if (!pid) {
		begin_process(number);
		return 0;
	}
	if (pid < 0) {
		pid = -errno;
		atomic_store(&shared->state[number], NONE);
	} else {
		atomic_store(&shared->pid[number], (pid_t)pid);
	}
	end_failing();
	return pid;
}

static long run_kill(const uint64_t *a)
{
	const pid_t pid = atomic_load(&shared->pid[a[0]]);

	if (!a[0] || a[0] == self || !pid || atomic_load(&shared->state[a[0]]) != RUNS)
		return SKIPPED;
	kill(pid, SIGKILL);
	atomic_store(&shared->state[a[0]], GONE);
	return 0;
}

/* --- the module's parameters --- */
static const struct {
	const char *name, *value[3];
} parameters[] = {
	{"speculate_private", {"N", "Y", "N"}},
	{"speculate_read", {"N", "Y", "N"}},
	{"speculate_shared_write", {"N", "Y", "N"}},
	{"around_pages", {"1", "16", "512"}},
	{"around_shared", {"lockfree", "trylock", "lockfree"}},
	{"reuse", {"N", "Y", "N"}},
	{"cow_via", {"core", "handler", "core"}},
	{"store_max_mib", {"0", "64", "1"}},
};

static long run_parameter(const uint64_t *a)
{
	atomic_store(&shared->sets_parameters, true);
	parameter_set(parameters[a[0]].name, parameters[a[0]].value[a[1]]);
	return 0;
}

/* --- what is no proper call --- */
static const unsigned int commands[] = {
	COWMEM_IOC_GET_INFO,    COWMEM_IOC_STAT,
	COWMEM_IOC_RESIZE,      COWMEM_IOC_PUNCH,
	COWMEM_IOC_SET_COW,     COWMEM_IOC_CREATE,
	COWMEM_IOC_FILE,        COWMEM_IOC_PAGE_OUT,
	COWMEM_IOC_PREFETCH,    COWMEM_IOC_STORE_STAT,
	COWMEM_IOC_STORE_LIMIT, COWMEM_IOC_SNAPSHOT,
	COWMEM_IOC_CLONE,       COWMEM_IOC_RESTORE,
	COWMEM_IOC_DIFF,        COWMEM_IOC_SNAPSHOT_SET,
	COWMEM_IOC_RMAP,        COWMEM_IOC_PAGEMAP,
	COWMEM_IOC_MOVE,        _IO(COWMEM_IOC_TYPE, 0x4f),
};

static long run_odd(const uint64_t *a)
{
	uint64_t words[PAGE / 8];
	uint32_t sizes[2] = {(uint32_t)a[2], (uint32_t)(a[3] >> 32) & 3};

	PICK(is, a[0], 0);
	for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
		words[i] = i < 16 ? (a[3] >> i) * (i % 3) : 0;
	memcpy(words, sizes, sizeof(sizes));
	return CALL(ioctl(is->fd, commands[a[1]], a[4] ? (uintptr_t)words : a[3]));
}

#define FD {DESCRIPTOR, 0}
#define MAP {MAPPING, 0}
#define PAGE_ARG {AT_PAGE, 0}
#define PAGES_ARG {PAGES, 0}
#define ONE_BELOW(n) {NUMBER, n}

static const struct description descriptions[] = {
	{"open", 4, {FD}, run_open},
	{"create", 4, {FD, FD, ONE_BELOW(4)}, run_create},
	{"file", 3, {FD, FD}, run_file},
	{"creat", 5, {FD, ONE_BELOW(4), ONE_BELOW(2)}, run_creat},
	{"tmpfile", 4, {FD}, run_tmpfile},
	{"link", 2, {FD, ONE_BELOW(4)}, run_link},
	{"unlink", 1, {ONE_BELOW(4)}, run_unlink},
	{"rename", 1, {ONE_BELOW(4), ONE_BELOW(4)}, run_rename},
	{"reopen", 3, {FD, FD, ONE_BELOW(2)}, run_reopen},
	{"dup", 2, {FD, FD}, run_dup},
	{"close", 5, {FD}, run_close},
	{"send", 3, {FD, ONE_BELOW(PROCESSES)}, run_send},
	{"receive", 4, {FD}, run_receive},
	{"info", 1, {FD}, run_info},
	{"stat", 2, {FD, ONE_BELOW(2)}, run_stat},
	{"fstat", 1, {FD, ONE_BELOW(2)}, run_fstat},
	{"fdinfo", 2, {FD}, run_fdinfo},
	{"rmap", 5, {FD, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_rmap},
	{"copies", 4, {MAP, PAGE_ARG, PAGES_ARG}, run_copies},
	{"pagemap", 7, {FD, PAGE_ARG, PAGES_ARG, {BITS, 3}}, run_pagemap},
	{"move", 4, {FD, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_move},
	{"poison", 1, {FD, PAGE_ARG}, run_poison},
	{"resize", 5, {FD, {AT_BYTE, 0}, {BITS, COWMEM_RESIZE_GROWS}}, run_resize},
	{"ftruncate", 5, {FD, {AT_BYTE, 0}}, run_ftruncate},
	{"punch", 7, {FD, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_punch},
	{"fallocate", 6, {FD, ONE_BELOW(6), {AT_BYTE, 0}, {BYTES, 0}}, run_fallocate},
	{"fadvise", 3, {FD, {AT_BYTE, 0}, {BYTES, 0}, ONE_BELOW(6)}, run_fadvise},
	{"set_cow", 3, {FD, ONE_BELOW(2)}, run_set_cow},
	{"page_out",
         12,
         {FD,
          PAGE_ARG,
          PAGES_ARG,
          {BITS, COWMEM_PAGE_OUT_ACCESSED | COWMEM_PAGE_OUT_AGE},
          ONE_BELOW(2)},
         run_page_out},
	{"prefetch", 5, {FD, PAGE_ARG, PAGES_ARG, PAGE_ARG}, run_prefetch},
	{"store_stat", 2, {FD}, run_store_stat},
	{"store_limit", 2, {FD, ONE_BELOW(4)}, run_store_limit},
	{"reclaim", 4, {ONE_BELOW(3)}, run_reclaim},
	{"snapshot", 16, {FD, FD, ONE_BELOW(2), ONE_BELOW(5), ONE_BELOW(5)}, run_snapshot},
	{"clone", 9, {FD, FD, PAGE_ARG, ONE_BELOW(3), ONE_BELOW(2)}, run_clone},
	{"snapshot_set", 5, {FD, FD, FD, FD, ONE_BELOW(2)}, run_snapshot_set},
	{"restore", 10, {FD, FD, PAGE_ARG, ONE_BELOW(6), ONE_BELOW(2)}, run_restore},
	{"diff", 7, {FD, FD, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_diff},
	{"ficlone", 5, {FD, FD}, run_ficlone},
	{"ficlonerange", 4, {FD, FD, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_ficlonerange},
	{"dedupe", 5, {FD, FD, PAGE_ARG, PAGES_ARG}, run_dedupe},
	{"copy_range", 3, {FD, FD, {AT_BYTE, 0}, {AT_BYTE, 0}, {BYTES, 0}}, run_copy_range},
	{"splice", 3, {FD, FD, {AT_BYTE, 0}, {AT_BYTE, 0}, {BYTES, 0}}, run_splice},
	{"sendfile", 2, {FD, FD, {AT_BYTE, 0}, {BYTES, 0}}, run_sendfile},
	{"pwrite", 12, {FD, {AT_BYTE, 0}, {BYTES, 0}, ONE_BELOW(256)}, run_pwrite},
	{"pread", 7, {FD, {AT_BYTE, 0}, {BYTES, 0}}, run_pread},
	{"transfer", 4, {FD, MAP, PAGE_ARG, PAGE_ARG, ONE_BELOW(2)}, run_transfer},
	{"append", 3, {FD, {BYTES, 0}, ONE_BELOW(256)}, run_append},
	{"lseek", 3, {FD, {AT_BYTE, 0}, ONE_BELOW(5)}, run_lseek},
	{"fsync", 1, {FD}, run_fsync},
	{"mmap", 14, {FD, MAP, PAGE_ARG, PAGES_ARG, {NUMBER, 32}}, run_mmap},
	{"munmap", 4, {MAP, PAGE_ARG, PAGES_ARG}, run_munmap},
	{"mprotect", 4, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(4)}, run_mprotect},
	{"mremap", 4, {MAP, MAP, PAGES_ARG}, run_mremap},
	{"madvise", 8, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(16)}, run_madvise},
	{"mlock", 4, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(3)}, run_mlock},
	{"msync", 2, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(3)}, run_msync},
	{"load", 12, {MAP, PAGE_ARG, PAGES_ARG}, run_load},
	{"store", 20, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(256)}, run_store},
	{"thread", 2, {MAP, ONE_BELOW(256)}, run_thread},
	{"hold", 4, {MAP, PAGE_ARG}, run_hold},
	{"let_go", 2, {{NUMBER, 1}}, run_let_go},
	{"remote", 4, {MAP, PAGE_ARG, ONE_BELOW(PROCESSES), ONE_BELOW(2)}, run_remote},
	{"write_protect", 4, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(4)}, run_write_protect},
	{"scan", 3, {MAP, PAGE_ARG, PAGES_ARG, ONE_BELOW(2)}, run_scan},
	{"clear_refs", 1, {ONE_BELOW(2)}, run_clear_refs},
	{"user_fill", 4, {MAP, PAGE_ARG, ONE_BELOW(3)}, run_user_fill},
	{"fork", 7, {ONE_BELOW(PROCESSES)}, run_fork},
	{"exit", 1, {{NUMBER, 1}}, NULL},
	{"kill", 1, {ONE_BELOW(PROCESSES)}, run_kill},
	{"parameter", 2, {{NUMBER, ARRAY_LENGTH(parameters)}, ONE_BELOW(3)}, run_parameter},
	{"odd",
         4,
         {FD, {NUMBER, ARRAY_LENGTH(commands)}, {ANY, 0}, {ANY, 0}, ONE_BELOW(2)},
         run_odd},
};
static const unsigned int nr_descriptions = ARRAY_LENGTH(descriptions);

#undef FD
#undef MAP
#undef PAGE_ARG
#undef PAGES_ARG
#undef ONE_BELOW

#endif /* COWMEM_FUZZ_CALLS_H */
