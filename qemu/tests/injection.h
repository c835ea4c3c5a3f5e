/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's fault injection: the nth allocation of a thread fails. */
#ifndef COWMEM_INJECTION_H
#define COWMEM_INJECTION_H

#include "cowmem_test.h"

#define DEBUG "/sys/kernel/debug/"
#define FAIL_NTH "/proc/thread-self/fail-nth"

struct setting {
	const char *path, *wanted;
	char saved[32];
};

static inline void set_all(struct setting *settings, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		int fd = open(settings[i].path, O_RDONLY | O_CLOEXEC);

		MUST(fd >= 0 && read(fd, settings[i].saved, sizeof(settings[i].saved) - 1) > 0);
		close(fd);
		MUST(write_text(settings[i].path, settings[i].wanted));
	}
}

static inline void restore_all(const struct setting *settings, size_t count)
{
	while (count--)
		MUST(write_text(settings[count].path, settings[count].saved));
}

/* --- the Nth allocation of this thread fails --- */
static int fail_nth = -1;

static inline void arm(unsigned int n)
{
	char text[16];
	const int length = snprintf(text, sizeof(text), "%u", n);

	MUST(pwrite(fail_nth, text, length, 0) == length);
}

/* Whether the failure came. */
static inline bool disarm(void)
{
	char text[16] = "";

	MUST(pread(fail_nth, text, sizeof(text) - 1, 0) > 0);
	MUST(pwrite(fail_nth, "0", 1, 0) == 1);
	return atoi(text) == 0;
}

/* Each allocation fails that is told to, without a word in the log. */
static struct setting injection[] = {
	{.path = DEBUG "failslab/verbose", .wanted = "0"},
	{.path = DEBUG "failslab/ignore-gfp-wait", .wanted = "N"},
	{.path = DEBUG "fail_page_alloc/verbose", .wanted = "0"},
	{.path = DEBUG "fail_page_alloc/ignore-gfp-wait", .wanted = "N"},
	{.path = DEBUG "fail_page_alloc/ignore-gfp-highmem", .wanted = "N"},
	{.path = DEBUG "fail_page_alloc/min-order", .wanted = "0"},
};

#endif /* COWMEM_INJECTION_H */
