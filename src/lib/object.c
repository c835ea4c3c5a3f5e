// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/* libcowmem: the calls on one object, by the module or by a memfd. */
#define _GNU_SOURCE
#include "internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

const char *cowmem_version(void)
{
	return COWMEM_VERSION;
}

int call(int fd, unsigned long command, void *argument)
{
	int result;

	do
		result = ioctl(fd, command, argument);
	while (result < 0 && errno == EINTR);
	return result < 0 ? -errno : result;
}

/* --- structs that grow --- */

/* Bytes of the first versions, of those for which linux/cowmem.h does not say it. */
enum {
	INFO_VER0 = 32,
	PAGE_OUT_VER0 = 120,
	STORE_STAT_VER0 = 56,
	MOVE_VER0 = 56,
	COLLAPSE_VER0 = 96
};

/* Each begins with it. */
typedef uint32_t told_size;

int begin_answer(void *to, size_t size, size_t least)
{
	const told_size told = (told_size)size;

	if (size < least)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	memset(to, 0, size);
	memcpy(to, &told, sizeof(told));
	return 0;
}

void give_answer(void *to, size_t size, const void *known, size_t known_size)
{
	const size_t both = size < known_size ? size : known_size;

	memcpy((char *)to + sizeof(told_size), (const char *)known + sizeof(told_size),
	       both - sizeof(told_size));
}

/* --- what can be had --- */

int is_module(int fd)
{
	struct cowmem_info info = {.size = sizeof(info)};
	const int err = call(fd, COWMEM_IOC_GET_INFO, &info);
	int seals;

	if (!err)
		return 1;
	if (err != -ENOTTY)
		return err;
	/* A file of a tmpfs has seals, too, but takes no more: it is somebody's file, and no object. */
	seals = fcntl(fd, F_GET_SEALS);

	return seals < 0 || seals & F_SEAL_SEAL ? -ENOTTY : 0;
}

int needs_module(int fd)
{
	const int module = is_module(fd);

	return module < 0 ? module : module ? 0 : -EOPNOTSUPP;
}

int cowmem_object_is_module(int fd)
{
	return is_module(fd);
}

int cowmem_object_info_sized(int fd, struct cowmem_info *info, size_t size)
{
	static const struct cowmem_info of_memfd = {
		.page_size = PAGE_SIZE,
		.features = COWMEM_FEATURE_COW_CORE | COWMEM_FEATURE_RESIZE_GROWS |
	                    COWMEM_FEATURE_PUNCH | COWMEM_FEATURE_FILES | COWMEM_FEATURE_PINNABLE |
	                    COWMEM_FEATURE_COPIES,
		.max_bytes = INT64_MAX / PAGE_SIZE * PAGE_SIZE,
	};
	const int err = begin_answer(info, size, INFO_VER0), module = is_module(fd);

	if (err || module < 0)
		return err ? err : module;
	if (module)
		return call(fd, COWMEM_IOC_GET_INFO, info);
	give_answer(info, size, &of_memfd, sizeof(of_memfd));
	return 0;
}

int cowmem_object_features(int fd, uint64_t *features)
{
	struct cowmem_info info;
	const int err = cowmem_object_info(fd, &info);

	*features = info.features;
	return err;
}

int cowmem_features(uint64_t *features)
{
	const int fd = cowmem_object_create(NULL, 0);
	int err = fd;

	*features = 0;
	if (fd >= 0) {
		err = cowmem_object_features(fd, features);
		close(fd);
	}
	return err;
}

const char *cowmem_feature_name(uint64_t feature)
{
	static const struct {
		uint64_t feature;
		const char *name;
	} names[] = {
		{COWMEM_FEATURE_COW_HANDLER, "cow-handler"},
		{COWMEM_FEATURE_COW_CORE, "cow-core"},
		{COWMEM_FEATURE_RESIZE, "resize"},
		{COWMEM_FEATURE_PUNCH, "punch"},
		{COWMEM_FEATURE_RMAP, "rmap"},
		{COWMEM_FEATURE_PAGEMAP, "pagemap"},
		{COWMEM_FEATURE_MOVE, "move"},
		{COWMEM_FEATURE_POISON, "poison"},
		{COWMEM_FEATURE_PAGE_OUT, "page-out"},
		{COWMEM_FEATURE_DIRTY_BIT, "dirty-bit"},
		{COWMEM_FEATURE_SNAPSHOT, "snapshot"},
		{COWMEM_FEATURE_DIFF, "diff"},
		{COWMEM_FEATURE_RESIZE_GROWS, "resize-grows"},
		{COWMEM_FEATURE_SNAPSHOT_SET, "snapshot-set"},
		{COWMEM_FEATURE_RESTORE_RANGE, "restore-range"},
		{COWMEM_FEATURE_CLONE_RANGE, "clone-range"},
		{COWMEM_FEATURE_FILES, "files"},
		{COWMEM_FEATURE_USERFAULTFD, "userfaultfd"},
		{COWMEM_FEATURE_PINNABLE, "pinnable"},
		{COWMEM_FEATURE_HUGE, "huge"},
		{COWMEM_FEATURE_COLLAPSE, "collapse"},
		{COWMEM_FEATURE_SET_HUGE, "set-huge"},
		{COWMEM_FEATURE_PAGE_OUT_AGE, "page-out-age"},
		{COWMEM_FEATURE_COPIES, "copies"},
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].feature == feature)
			return names[i].name;
	return NULL;
}

/* --- objects --- */

int cowmem_object_open_device(void)
{
	const int fd = open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0)
		return fd;
	/* The node stays where udev does not run, when the module goes. */
	return errno == ENOENT || errno == ENXIO ? -ENODEV : -errno;
}

/* What it does with huge pages is the machine's to say. */
static int create_memfd(const char *name, unsigned int flags)
{
	return flags & COWMEM_CREATE_HUGE ? -EOPNOTSUPP : memfd_create_object(name);
}

static int create_by(int by, const char *name, unsigned int flags)
{
	struct cowmem_create create = {
		.size = sizeof(create), .flags = flags, .name = (uintptr_t)name};
	const int module = is_module(by);
	int err;

	if (module < 0)
		return module;
	if (!module)
		return create_memfd(name, flags);
	err = call(by, COWMEM_IOC_CREATE, &create);
	/* A module without it gives no regular files; nor do all know of the flag, which is all it can refuse. */
	if (err == -ENOTTY || (flags && err == -EINVAL))
		return -EOPNOTSUPP;
	return err ? err : create.fd;
}

int cowmem_object_create_by(int by, const char *name)
{
	return create_by(by, name, 0);
}

int cowmem_object_create(const char *name, unsigned int flags)
{
	int device, fd;

	const unsigned int either = COWMEM_CREATE_MODULE | COWMEM_CREATE_MEMFD;
	const unsigned int modules = COWMEM_CREATE_PINNABLE | COWMEM_CREATE_HUGE;

	if (flags & ~(either | modules) || (flags & either) == either)
		return -EINVAL;
	if (flags & COWMEM_CREATE_MEMFD)
		return create_memfd(name, flags);
	device = cowmem_object_open_device();
	if (device == -ENODEV && !(flags & COWMEM_CREATE_MODULE))
		return create_memfd(name, flags);
	if (device < 0)
		return device;
	fd = create_by(device, name, flags & modules);
	close(device);
	return fd;
}

int cowmem_object_file(int fd)
{
	struct cowmem_file file = {.size = sizeof(file)};
	const int module = is_module(fd);
	int err;

	if (module < 0)
		return module;
	if (!module) {
		err = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		return err < 0 ? -errno : err;
	}
	err = call(fd, COWMEM_IOC_FILE, &file);
	return err == -ENOTTY ? -EOPNOTSUPP : err ? err : file.fd;
}

int cowmem_object_stat_sized(int fd, struct cowmem_stat *stat, size_t size)
{
	int err = begin_answer(stat, size, COWMEM_STAT_SIZE_VER0);
	const int module = is_module(fd);
	struct cowmem_stat of_memfd = {.bytes = 0};

	if (err || module < 0)
		return err ? err : module;
	if (module)
		return call(fd, COWMEM_IOC_STAT, stat);
	err = memfd_stat(fd, &of_memfd);
	if (!err)
		give_answer(stat, size, &of_memfd, sizeof(of_memfd));
	return err;
}

int cowmem_object_id(int fd, uint64_t *id)
{
	/* The inode of a descriptor of the device is the device's. */
	const int file = cowmem_object_file(fd);
	struct stat stat;
	int err = 0;

	if (file < 0)
		return file;
	if (fstat(file, &stat))
		err = -errno;
	else
		*id = stat.st_ino;
	close(file);
	return err;
}

int cowmem_object_resize(int fd, uint64_t bytes, unsigned int flags)
{
	struct cowmem_resize resize = {.size = sizeof(resize), .flags = flags, .bytes = bytes};
	const int module = is_module(fd);

	if (module < 0)
		return module;
	if (module)
		return call(fd, COWMEM_IOC_RESIZE, &resize);
	if (flags & ~COWMEM_RESIZE_GROWS)
		return -EINVAL;
	/* A memfd always grows by write(): a size for good would be a promise that it breaks. */
	return flags & COWMEM_RESIZE_GROWS ? memfd_resize(fd, bytes) : -EOPNOTSUPP;
}

int check_range(uint64_t offset, uint64_t length)
{
	return (offset | length) % PAGE_SIZE || !length || offset + length < offset ? -EINVAL : 0;
}

int take_range(int fd, uint64_t *offset, uint64_t *length)
{
	struct cowmem_stat stat;
	int err;

	if (*offset || *length)
		return check_range(*offset, *length);
	err = cowmem_object_stat(fd, &stat);
	*length = (stat.bytes + PAGE_SIZE - 1) / PAGE_SIZE * PAGE_SIZE;
	return err;
}

int cowmem_object_punch(int fd, uint64_t offset, uint64_t length, uint64_t *next)
{
	const uint64_t end = offset + length;
	const int module = is_module(fd);
	int err = module < 0 ? module : check_range(offset, length);

	while (!err && offset < end) {
		struct cowmem_punch punch = {.size = sizeof(punch),
		                             .offset = offset,
		                             .length = end - offset,
		                             .next = offset};

		err = module ? call(fd, COWMEM_IOC_PUNCH, &punch)
		             : memfd_punch(fd, offset, end - offset);
		offset = module || err ? punch.next : end;
	}
	if (next)
		*next = offset;
	return err;
}

int cowmem_object_set_cow(int fd, enum cowmem_cow cow)
{
	struct cowmem_set_cow set = {.size = sizeof(set), .cow = cow};
	const int module = is_module(fd);

	if (module < 0)
		return module;
	if (module)
		return call(fd, COWMEM_IOC_SET_COW, &set);
	return cow == COWMEM_COW_CORE ? 0 : cow == COWMEM_COW_HANDLER ? -EOPNOTSUPP : -EINVAL;
}

int cowmem_object_map(int fd, uint64_t offset, size_t length, int prot, int flags, void **address)
{
	void *at;

	*address = NULL;
	if (offset > INT64_MAX)
		return -EOVERFLOW;
	at = mmap(NULL, length, prot, flags, fd, (off_t)offset);
	if (at == MAP_FAILED)
		return -errno;
	*address = at;
	return 0;
}

/* --- snapshots and clones --- */

int cowmem_object_snapshot(int fd)
{
	struct cowmem_snapshot snapshot = {.size = sizeof(snapshot)};
	const int module = is_module(fd);
	int err;

	if (module < 0)
		return module;
	if (!module)
		return memfd_snapshot(fd);
	err = call(fd, COWMEM_IOC_SNAPSHOT, &snapshot);
	return err ? err : snapshot.fd;
}

int cowmem_object_snapshot_limited(int fd, uint64_t max_copies, bool drop)
{
	struct cowmem_snapshot snapshot = {.size = sizeof(snapshot),
	                                   .flags = COWMEM_SNAPSHOT_LIMIT |
	                                            (drop ? COWMEM_SNAPSHOT_DROP : 0),
	                                   .max_copies = max_copies};
	int err = needs_module(fd);

	if (!err)
		err = call(fd, COWMEM_IOC_SNAPSHOT, &snapshot);
	return err ? err : snapshot.fd;
}

int cowmem_object_snapshot_set(const int *objects, int *snapshots, unsigned int count)
{
	struct cowmem_snapshot_set set = {.size = sizeof(set),
	                                  .objects = (uintptr_t)objects,
	                                  .snapshots = (uintptr_t)snapshots,
	                                  .count = count};
	int err = count ? needs_module(objects[0]) : -EINVAL;

	return err ? err : call(objects[0], COWMEM_IOC_SNAPSHOT_SET, &set);
}

static int clone_pages(int fd, uint64_t offset, uint64_t length)
{
	struct cowmem_snapshot clone = {.size = sizeof(clone), .offset = offset, .length = length};
	const int module = is_module(fd);
	int err;

	if (module < 0)
		return module;
	if (!module)
		return memfd_clone(fd, offset, length);
	err = call(fd, COWMEM_IOC_CLONE, &clone);
	return err ? err : clone.fd;
}

int cowmem_object_clone(int fd)
{
	return clone_pages(fd, 0, 0);
}

int cowmem_object_clone_range(int fd, uint64_t offset, uint64_t length)
{
	const int err = check_range(offset, length);

	return err ? err : clone_pages(fd, offset, length);
}

int cowmem_object_restore(int fd, int snapshot)
{
	struct cowmem_restore restore = {.size = sizeof(restore), .fd = snapshot};
	const int module = is_module(fd);

	if (module < 0)
		return module;
	return module ? call(fd, COWMEM_IOC_RESTORE, &restore) : memfd_restore(fd, snapshot, 0, 0);
}

int cowmem_object_restore_range(int fd, int snapshot, uint64_t offset, uint64_t length,
                                uint64_t *next)
{
	const uint64_t end = offset + length;
	const int module = is_module(fd);
	int err = module < 0 ? module : check_range(offset, length);

	while (!err && offset < end) {
		struct cowmem_restore restore = {.size = sizeof(restore),
		                                 .fd = snapshot,
		                                 .offset = offset,
		                                 .length = end - offset,
		                                 .next = offset};

		err = module ? call(fd, COWMEM_IOC_RESTORE, &restore)
		             : memfd_restore(fd, snapshot, offset, end - offset);
		offset = module || err ? restore.next : end;
	}
	if (next)
		*next = offset;
	return err;
}

/* --- where the memory is --- */

int cowmem_object_page_out_sized(int fd, uint64_t offset, uint64_t length, unsigned int flags,
                                 struct cowmem_page_out *result, size_t size)
{
	struct cowmem_page_out sum = {.flags = flags};
	int err = result ? begin_answer(result, size, PAGE_OUT_VER0) : 0;

	if (err)
		return err;
	err = needs_module(fd);
	if (!err)
		err = take_range(fd, &offset, &length);
	sum.offset = sum.next = offset;
	sum.length = length;
	while (!err && sum.next < offset + length) {
		struct cowmem_page_out part = {.size = sizeof(part),
		                               .flags = flags,
		                               .offset = sum.next,
		                               .length = offset + length - sum.next};

		err = call(fd, COWMEM_IOC_PAGE_OUT, &part);
		if (err)
			break;
		sum.next = part.next;
		sum.out += part.out;
		sum.reused += part.reused;
		sum.accessed += part.accessed;
		sum.locked += part.locked;
		sum.busy += part.busy;
		sum.incompressible += part.incompressible;
		sum.full += part.full;
		sum.no_memory += part.no_memory;
		sum.poisoned += part.poisoned;
		sum.tracked += part.tracked;
		sum.io_error += part.io_error;
	}
	if (result)
		give_answer(result, size, &sum, sizeof(sum));
	return err;
}

static int prefetch(int fd, uint32_t flags, const struct cowmem_range *ranges, size_t count,
                    uint64_t *brought_in)
{
	int err = needs_module(fd);
	uint64_t pages = 0;

	for (size_t done = 0; !err && done < count; done += COWMEM_PREFETCH_MAX) {
		const size_t left = count - done;
		struct cowmem_prefetch prefetch = {
			.size = sizeof(prefetch),
			.flags = flags,
			.ranges = (uintptr_t)(ranges + done),
			.count = left < COWMEM_PREFETCH_MAX ? (uint32_t)left : COWMEM_PREFETCH_MAX};

		err = call(fd, COWMEM_IOC_PREFETCH, &prefetch);
		pages += prefetch.brought_in;
	}
	if (brought_in)
		*brought_in = pages;
	return err;
}

int cowmem_object_prefetch(int fd, const struct cowmem_range *ranges, size_t count,
                           uint64_t *brought_in)
{
	return prefetch(fd, 0, ranges, count, brought_in);
}

int cowmem_object_prefetch_to_write(int fd, const struct cowmem_range *ranges, size_t count,
                                    uint64_t *brought_in)
{
	return prefetch(fd, COWMEM_PREFETCH_TO_WRITE, ranges, count, brought_in);
}

int cowmem_object_store_stat_sized(int fd, struct cowmem_store_stat *stat, size_t size)
{
	int err = begin_answer(stat, size, STORE_STAT_VER0);

	if (!err)
		err = needs_module(fd);
	return err ? err : call(fd, COWMEM_IOC_STORE_STAT, stat);
}

int cowmem_object_store_limit(int fd, uint64_t max_slots)
{
	struct cowmem_store_limit limit = {.size = sizeof(limit), .max_slots = max_slots};
	int err = needs_module(fd);

	return err ? err : call(fd, COWMEM_IOC_STORE_LIMIT, &limit);
}

int cowmem_object_move_sized(int fd, uint64_t offset, uint64_t length, unsigned int node,
                             struct cowmem_move *result, size_t size)
{
	struct cowmem_move sum = {.node = node};
	int err = result ? begin_answer(result, size, MOVE_VER0) : 0;

	if (err)
		return err;
	err = needs_module(fd);
	if (!err)
		err = take_range(fd, &offset, &length);
	sum.offset = sum.next = offset;
	sum.length = length;
	while (!err && sum.next < offset + length) {
		struct cowmem_move part = {.size = sizeof(part),
		                           .offset = sum.next,
		                           .length = offset + length - sum.next,
		                           .node = node};

		part.next = part.offset;
		err = call(fd, COWMEM_IOC_MOVE, &part);
		sum.next = part.next;
		sum.moved += part.moved;
		sum.busy += part.busy;
	}
	if (result)
		give_answer(result, size, &sum, sizeof(sum));
	return err;
}

int cowmem_object_set_huge(int fd, enum cowmem_huge huge)
{
	struct cowmem_set_huge set = {.size = sizeof(set), .huge = huge};
	int err = needs_module(fd);

	if (!err)
		err = call(fd, COWMEM_IOC_SET_HUGE, &set);
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int cowmem_object_collapse_sized(int fd, uint64_t offset, uint64_t length,
                                 struct cowmem_collapse *result, size_t size)
{
	struct cowmem_collapse answer = {.size = sizeof(answer)};
	int err = result ? begin_answer(result, size, COLLAPSE_VER0) : 0;

	if (err)
		return err;
	err = needs_module(fd);
	if (!err)
		err = take_range(fd, &offset, &length);
	answer.offset = answer.next = offset;
	answer.length = length;
	if (!err && length)
		err = call(fd, COWMEM_IOC_COLLAPSE, &answer);
	if (result)
		give_answer(result, size, &answer, sizeof(answer));
	return err == -ENOTTY ? -EOPNOTSUPP : err;
}

int cowmem_object_poison(int fd, uint64_t offset, uint64_t length, uint64_t *poisoned)
{
	struct cowmem_poison poison = {.size = sizeof(poison), .offset = offset, .length = length};
	int err = needs_module(fd);

	if (!err)
		err = call(fd, COWMEM_IOC_POISON, &poison);
	if (poisoned)
		*poisoned = poison.poisoned;
	return err;
}
