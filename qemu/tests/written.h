/* SPDX-License-Identifier: GPL-2.0 */
/* Which pages were written: userfaultfd's asynchronous write protection, PAGEMAP_SCAN. */
#ifndef COWMEM_WRITTEN_H
#define COWMEM_WRITTEN_H

#include "cowmem_test.h"

#include <linux/userfaultfd.h>
#include <sys/syscall.h>

/* Newer than the build host's headers. */
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#ifndef PAGEMAP_SCAN
#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)
#define PAGE_IS_WRITTEN (1 << 1)
#define PM_SCAN_WP_MATCHING (1 << 0)
#define PM_SCAN_CHECK_WPASYNC (1 << 1)
struct page_region {
	__u64 start, end, categories;
};
struct pm_scan_arg {
	__u64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
	__u64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#endif

#define NO_ASYNC_WP "this kernel's userfaultfd does not keep track of writes by itself"

static inline bool have_async_wp(void)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	const bool have = fd >= 0 && !ioctl(fd, UFFDIO_API, &api);

	if (fd >= 0)
		close(fd);
	return have;
}

/* Has the kernel keep track of writes to @pages pages at @p: a file descriptor, or -1. */
static inline int wp_register(void *p, size_t pages)
{
	struct uffdio_api api = {.api = UFFD_API, .features = UFFD_FEATURE_WP_ASYNC};
	struct uffdio_register reg = {.range = {(uintptr_t)p, pages * PAGE},
	                              .mode = UFFDIO_REGISTER_MODE_WP};
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	MUST(!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg));
	return fd;
}

/* The pages written since the last call, which are protected again. */
static inline void scan_written(int pagemap_fd, const void *p, size_t pages, bool *written)
{
	struct page_region regions[pages];
	struct pm_scan_arg arg = {
		.size = sizeof(arg),
		.flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
		.start = (uintptr_t)p,
		.end = (uintptr_t)p + pages * PAGE,
		.vec = (uintptr_t)regions,
		.vec_len = pages,
		.category_mask = PAGE_IS_WRITTEN,
		.return_mask = PAGE_IS_WRITTEN,
	};
	const long count = ioctl(pagemap_fd, PAGEMAP_SCAN, &arg);

	MUST(count >= 0 && arg.walk_end == arg.end);
	memset(written, 0, pages * sizeof(*written));
	for (long i = 0; i < count; i++)
		for (uint64_t at = regions[i].start; at < regions[i].end; at += PAGE)
			written[(at - (uintptr_t)p) / PAGE] = true;
}

#endif /* COWMEM_WRITTEN_H */
