/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * libcowmem: objects of memory that can be mapped, snapshotted, cloned and paged out, by the
 * module cowmem (linux/cowmem.h), or, where that is not loaded, by a memfd.
 *
 * An object is a file descriptor: it can be mapped, read, written, inherited and passed over a
 * socket as any other, and close() gives it up. What the structs' members and flags mean is in
 * linux/cowmem.h. Offsets and lengths are in bytes, and multiples of the page size; where both
 * may be 0, that is all of the object, to the end of its last page.
 *
 * A function that can fail gives a negative errno, and does not set errno; what it gives
 * otherwise is said with each. Those of every call: -EBADF: the descriptor is not open, or not for
 * what the call does. -EINVAL: a flag or a range that cannot be. -ENOTTY: the descriptor is no
 * object's. -ESTALE: of a snapshot that was dropped. -EOPNOTSUPP: the object, being a memfd, or
 * the module that is loaded, cannot do it; cowmem_object_features() tells before.
 *
 * The structs that functions fill in grow at their end, as linux/cowmem.h says of the ioctls' own: a
 * program has those that it was compiled with, and the library, and the module, may know less of them,
 * or more. So the library is told their size, by functions whose names end in _sized: what the caller's
 * struct has no room for is left out, and what the library or the module does not know is 0. `size` is
 * then the size told. -EINVAL: it is less than the struct's first version had. -E2BIG: it is more than a
 * page. In C and C++ sizeof is told for the caller, by functions of the same names without _sized; those
 * of the library that have these names fill in what 1.0 had. The parts of long answers, and ranges, do
 * not grow.
 *
 * The functions keep no state but what their caller holds, and may be called by any thread; one
 * iterator is for one thread at a time. A call that the kernel ends early goes on by itself
 * where it stopped. What is asked of an object that is a memfd:
 *
 *  - has: create, stat, resize, punch, map.
 *  - by a copy of all the bytes, so that it costs the size, and is not of one instant while
 *    somebody writes: snapshot, clone, restore, diff. COWMEM_FEATURE_COPIES says so.
 *  - has not: all else.
 */
#ifndef COWMEM_COWMEM_H
#define COWMEM_COWMEM_H

#include <linux/cowmem.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of a release: of the module, the library, the tool and the packages. */
#define COWMEM_VERSION "1.1.0"

/* That of the library that runs, as COWMEM_VERSION is the one that was compiled with. */
const char *cowmem_version(void);

/* --- what can be had --- */

/*
 * A feature of the library's beside those of linux/cowmem.h: SNAPSHOT, CLONE, RESTORE and DIFF
 * are there, but by copying. An object has this, or COWMEM_FEATURE_SNAPSHOT, and never both.
 */
#define COWMEM_FEATURE_COPIES (1ULL << 63)

/*
 * The features of objects that cowmem_object_create() makes here, in @features: COWMEM_FEATURE_*.
 * 0, or what cowmem_object_create() fails with.
 */
int cowmem_features(uint64_t *features);

/* The same of an object that is there. */
int cowmem_object_features(int fd, uint64_t *features);

/* The word for one feature bit ("snapshot", "page-out"), or NULL if the library knows none. */
const char *cowmem_feature_name(uint64_t feature);

/* Whether the object is the module's: 1, or 0: it is a memfd. */
int cowmem_object_is_module(int fd);

/* All that GET_INFO says; of a memfd, abi_version is 0. 0. */
int cowmem_object_info_sized(int fd, struct cowmem_info *info, size_t size);
static inline int cowmem_object_info(int fd, struct cowmem_info *info)
{
	return cowmem_object_info_sized(fd, info, sizeof(*info));
}

/* --- objects --- */

#define COWMEM_CREATE_MODULE (1U << 0) /* no memfd in its place: -ENODEV without the module */
#define COWMEM_CREATE_MEMFD (1U << 1)  /* a memfd, even if there is the module */

/*
 * A new, empty object that is a regular file without a link, of @name, which /proc/PID/maps shows
 * and which may be NULL; closed on exec. If the module is not loaded it is a memfd. The
 * descriptor, or: -EACCES: /dev/cowmem is not for the caller. -ENAMETOOLONG: @name is longer than
 * COWMEM_NAME_MAX (a memfd's, 249). -ENOMEM, -EMFILE, -ENFILE.
 * @flags: the above, and of linux/cowmem.h COWMEM_CREATE_PINNABLE, which a memfd is in any case, and
 * COWMEM_CREATE_HUGE, which no memfd can be: -EOPNOTSUPP.
 * -EOPNOTSUPP: the module cannot.
 */
int cowmem_object_create(const char *name, unsigned int flags);

/* The same with the module that @by, any object, is of, where /dev/cowmem is not for the caller. */
int cowmem_object_create_by(int by, const char *name);

/*
 * A new, empty object as /dev/cowmem itself gives it: it grows when it is mapped, and is no
 * regular file. Only with the module. The descriptor, or: -ENODEV: it is not loaded. -EACCES.
 */
int cowmem_object_open_device(void);

/* Another descriptor of the same object, that is a regular file (COWMEM_IOC_FILE). */
int cowmem_object_file(int fd);

/*
 * What the object has: @stat->bytes is its size. Of a memfd, resident_pages is what the kernel has
 * for it, swapped pages included, and `layers`, `copies` and `shared_pages` are 0. 0.
 */
int cowmem_object_stat_sized(int fd, struct cowmem_stat *stat, size_t size);
static inline int cowmem_object_stat(int fd, struct cowmem_stat *stat)
{
	return cowmem_object_stat_sized(fd, stat, sizeof(*stat));
}

/*
 * The number of the object's inode: as the `parent` of others in /proc/PID/fdinfo names it. 0, with
 * the number in @id.
 */
int cowmem_object_id(int fd, uint64_t *id);

/*
 * Set the size, in bytes. @flags: COWMEM_RESIZE_*. 0, -EFBIG, -ENOMEM, -EIO, -EDQUOT. A memfd always
 * grows by write(): without COWMEM_RESIZE_GROWS, -EOPNOTSUPP.
 */
int cowmem_object_resize(int fd, uint64_t bytes, unsigned int flags);

/*
 * Give back the memory of a range, which is zeroes from then on. @next, if it is not NULL: how far
 * it came, also on failure. 0, -ENOMEM, -EDQUOT.
 */
int cowmem_object_punch(int fd, uint64_t offset, uint64_t length, uint64_t *next);

/* Who copies for private mappings to come. 0. */
int cowmem_object_set_cow(int fd, enum cowmem_cow cow);

/*
 * Map @length bytes at @offset; @prot and @flags as for mmap(). 0, with where it is in @address, or
 * what mmap() fails with. munmap() takes it away.
 */
int cowmem_object_map(int fd, uint64_t offset, size_t length, int prot, int flags, void **address);

/* --- snapshots and clones --- */

/* An object that stays as this one is now, and cannot be written: its descriptor, or -ENOMEM,
 * -EMFILE, -ENFILE, -EMLINK, -ENOSPC. */
int cowmem_object_snapshot(int fd);

/*
 * The same with a limit on the pages that are kept for it alone. @drop: what would leave it one
 * more is done, and the snapshot given up; else that fails with EDQUOT, or SIGBUS.
 */
int cowmem_object_snapshot_limited(int fd, uint64_t max_copies, bool drop);

/*
 * One snapshot of each of @count objects, all of one instant, in @snapshots. 0; on failure there is
 * no new descriptor.
 */
int cowmem_object_snapshot_set(const int *objects, int *snapshots, unsigned int count);

/* An object that is as this one is now, and goes its own way; of a snapshot too. Its descriptor. */
int cowmem_object_clone(int fd);

/* The same with the pages of a range only, and holes elsewhere. The range may not be empty. */
int cowmem_object_clone_range(int fd, uint64_t offset, uint64_t length);

/* Have the object as @snapshot is, in content and size. 0, -EDQUOT; then nothing changed. */
int cowmem_object_restore(int fd, int snapshot);

/*
 * Have the pages of a range as they are in @snapshot. @next, if it is not NULL: how far it came,
 * also on failure. 0, -EDQUOT, -ENOMEM.
 */
int cowmem_object_restore_range(int fd, int snapshot, uint64_t offset, uint64_t length,
                                uint64_t *next);

/* --- where the memory is --- */

/*
 * Have the pages of a range in the store rather than in memory. @flags: COWMEM_PAGE_OUT_*.
 * @result, if it is not NULL: the sums, and in `next` how far it came. 0.
 */
int cowmem_object_page_out_sized(int fd, uint64_t offset, uint64_t length, unsigned int flags,
                                 struct cowmem_page_out *result, size_t size);
static inline int cowmem_object_page_out(int fd, uint64_t offset, uint64_t length,
                                         unsigned int flags, struct cowmem_page_out *result)
{
	return cowmem_object_page_out_sized(fd, offset, length, flags, result, sizeof(*result));
}

/*
 * Bring what is paged out in @count ranges, however many, back into memory. @brought_in, if it is
 * not NULL: pages, also on failure. 0, -ENOMEM, -EIO.
 */
int cowmem_object_prefetch(int fd, const struct cowmem_range *ranges, size_t count,
                           uint64_t *brought_in);
/*
 * The same, and each page is the object's own then: holes are filled, what relatives see is copied. @brought_in: pages
 * that were not so. 0, -ENOMEM, -EIO, -EBADF: not open for writing, -EDQUOT: a snapshot's limit, -ENOSPC: the mount's.
 */
int cowmem_object_prefetch_to_write(int fd, const struct cowmem_range *ranges, size_t count,
                                    uint64_t *brought_in);

/* What the object, and all objects, have in the store. 0. */
int cowmem_object_store_stat_sized(int fd, struct cowmem_store_stat *stat, size_t size);
static inline int cowmem_object_store_stat(int fd, struct cowmem_store_stat *stat)
{
	return cowmem_object_store_stat_sized(fd, stat, sizeof(*stat));
}

/* How many of the object's pages may have a place in the store; UINT64_MAX: no limit. 0. */
int cowmem_object_store_limit(int fd, uint64_t max_slots);

/*
 * Have the pages of a range on one NUMA node. @result, if it is not NULL: the sums, and in `next`
 * how far it came, also on failure. 0, -ENODEV, -EACCES, -ENOMEM.
 */
int cowmem_object_move_sized(int fd, uint64_t offset, uint64_t length, unsigned int node,
                             struct cowmem_move *result, size_t size);
static inline int cowmem_object_move(int fd, uint64_t offset, uint64_t length, unsigned int node,
                                     struct cowmem_move *result)
{
	return cowmem_object_move_sized(fd, offset, length, node, result, sizeof(*result));
}

/* When memory is to be taken in pages of 2 MiB. 0, -EINVAL, -EOPNOTSUPP. */
int cowmem_object_set_huge(int fd, enum cowmem_huge huge);

/*
 * Have one page of 2 MiB wherever 2 MiB of a range are the object's own pages of 4 KiB. @result, if it is not NULL: how many
 * have become one, and why others stay. 0, -EOPNOTSUPP.
 */
int cowmem_object_collapse_sized(int fd, uint64_t offset, uint64_t length,
                                 struct cowmem_collapse *result, size_t size);
static inline int cowmem_object_collapse(int fd, uint64_t offset, uint64_t length,
                                         struct cowmem_collapse *result)
{
	return cowmem_object_collapse_sized(fd, offset, length, result, sizeof(*result));
}

/* Treat the memory of a range as damaged. @poisoned, if it is not NULL: pages. 0, -EPERM. */
int cowmem_object_poison(int fd, uint64_t offset, uint64_t length, uint64_t *poisoned);

/*
 * --- questions with long answers ---
 * An iterator is made by ..._new(): 0, with the iterator in the first argument, or -ENOMEM and what
 * STAT fails with. ..._next() gives 1 and the next part, 0 at the end, or a negative errno, after
 * which it may be called again. ..._free() takes NULL, too. The descriptors stay the caller's,
 * and open. With a range of 0, 0 all of the object is asked about, as long as it is then.
 */

/* The ranges that differ (COWMEM_IOC_DIFF): neighbours that are alike in kind are one. */
struct cowmem_diff_iter;
int cowmem_diff_iter_new(struct cowmem_diff_iter **iter, int fd, int other, uint64_t offset,
                         uint64_t length);
int cowmem_diff_iter_next(struct cowmem_diff_iter *iter, struct cowmem_changed *range);
void cowmem_diff_iter_free(struct cowmem_diff_iter *iter);

/* The state of each page (COWMEM_IOC_PAGEMAP), with its offset. @flags: COWMEM_PAGEMAP_*. */
struct cowmem_pagemap_iter;
int cowmem_pagemap_iter_new(struct cowmem_pagemap_iter **iter, int fd, uint64_t offset,
                            uint64_t length, unsigned int flags);
int cowmem_pagemap_iter_next(struct cowmem_pagemap_iter *iter, uint64_t *offset,
                             struct cowmem_page *page);
void cowmem_pagemap_iter_free(struct cowmem_pagemap_iter *iter);

/*
 * Who maps each page (COWMEM_IOC_RMAP). @flags: COWMEM_RMAP_*; with COWMEM_RMAP_OF_COPIES the range
 * is one of addresses, and may not be 0, 0. -ENOSPC: a page is mapped more than COWMEM_RMAP_MAX
 * times.
 */
struct cowmem_rmap_iter;
int cowmem_rmap_iter_new(struct cowmem_rmap_iter **iter, int fd, uint64_t offset, uint64_t length,
                         unsigned int flags);
int cowmem_rmap_iter_next(struct cowmem_rmap_iter *iter, struct cowmem_mapping *mapping);
/* Entries, of those passed so far, of processes that the caller may not see. */
uint64_t cowmem_rmap_iter_hidden(const struct cowmem_rmap_iter *iter);
/* Page-table entries that were looked at so far. */
uint64_t cowmem_rmap_iter_probes(const struct cowmem_rmap_iter *iter);
void cowmem_rmap_iter_free(struct cowmem_rmap_iter *iter);

#ifdef __cplusplus
}
#endif

#endif /* COWMEM_COWMEM_H */
