/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that is not there until a test says so: who touches it waits. */
#ifndef COWMEM_ABSENT_H
#define COWMEM_ABSENT_H

#include "cowmem_test.h"

#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sys/syscall.h>

struct absent {
	unsigned char *at;
	size_t pages;
	int uffd;
};

/* False: the kernel has no userfaultfd. */
static inline bool absent_begin(struct absent *absent, size_t pages)
{
	struct uffdio_api api = {.api = UFFD_API};

	*absent = (struct absent){.pages = pages, .uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC)};
	if (absent->uffd < 0)
		return false;
	absent->at = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
	                  -1, 0);
	MUST(absent->at != MAP_FAILED);

	struct uffdio_register reg = {.range = {(uintptr_t)absent->at, pages * PAGE},
	                              .mode = UFFDIO_REGISTER_MODE_MISSING};

	MUST(!ioctl(absent->uffd, UFFDIO_API, &api) && !ioctl(absent->uffd, UFFDIO_REGISTER, &reg));
	return true;
}

/* Until somebody waits for it. */
static inline void absent_is_waited_for(const struct absent *absent)
{
	struct uffd_msg message;

	MUST(read(absent->uffd, &message, sizeof(message)) == sizeof(message));
	MUST(message.event == UFFD_EVENT_PAGEFAULT);
}

/* It is there now, with @byte all over, and whoever waits goes on. */
static inline void absent_comes(const struct absent *absent, unsigned char byte)
{
	const size_t length = absent->pages * PAGE;
	void *bytes =
		mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_copy copy = {
		.dst = (uintptr_t)absent->at, .src = (uintptr_t)bytes, .len = length};

	MUST(bytes != MAP_FAILED);
	memset(bytes, byte, length);
	MUST(!ioctl(absent->uffd, UFFDIO_COPY, &copy));
	munmap(bytes, length);
}

static inline void absent_end(struct absent *absent)
{
	munmap(absent->at, absent->pages * PAGE);
	close(absent->uffd);
}

/* A write() of one page, at the beginning of an object, that waits for its source. */
struct stuck_write {
	struct absent source;
	int fd;
	pthread_t thread;
};

static inline void *stuck_write_run(void *argument)
{
	const struct stuck_write *stuck = argument;

	MUST(pwrite(stuck->fd, stuck->source.at, PAGE, 0) == (ssize_t)PAGE);
	return NULL;
}

/* It waits when this returns. False: the kernel has no userfaultfd. */
static inline bool stuck_write_begin(struct stuck_write *stuck, int fd)
{
	stuck->fd = fd;
	if (!absent_begin(&stuck->source, 1))
		return false;
	MUST(!pthread_create(&stuck->thread, NULL, stuck_write_run, stuck));
	absent_is_waited_for(&stuck->source);
	return true;
}

static inline void stuck_write_end(struct stuck_write *stuck)
{
	absent_comes(&stuck->source, 3);
	MUST(!pthread_join(stuck->thread, NULL));
	absent_end(&stuck->source);
}

#endif /* COWMEM_ABSENT_H */
