/* SPDX-License-Identifier: GPL-2.0 */
/* The module's counters, all at once, and what must balance among them. */
#ifndef COWMEM_COUNTS_H
#define COWMEM_COUNTS_H

#include "cowmem_test.h"

#include "../../src/kernel/counters.h"

struct counts {
	unsigned long of[COWMEM_NR_COUNTERS];
};

/* Like counter(), but the file stays open: opening it takes a debug kernel 20 ms. */
static inline unsigned long count_of(enum cowmem_counter which)
{
	static const char *const names[] = {
#define X(name, what) #name,
		COWMEM_COUNTERS(X)
#undef X
	};
	static int files[COWMEM_NR_COUNTERS];
	char text[32] = "";

	if (!files[which]) {
		char path[128];

		snprintf(path, sizeof(path), "/sys/class/misc/cowmem/counters/%s", names[which]);
		files[which] = open(path, O_RDONLY | O_CLOEXEC);
	}
	MUST(pread(files[which], text, sizeof(text) - 1, 0) > 0);
	return strtoul(text, NULL, 10);
}

static inline struct counts counts_now(void)
{
	struct counts now;

	for (int i = 0; i < COWMEM_NR_COUNTERS; i++)
		now.of[i] = count_of(i);
	return now;
}

#define SINCE(before, name) (count_of(COWMEM_COUNT_##name) - (before).of[COWMEM_COUNT_##name])

/* Every page lock that a handler took was released once, by it or by the core (R16). */
static inline void check_locks(struct counts before)
{
	CHECK_EQ(SINCE(before, page_locks),
	         SINCE(before, page_unlocks) + SINCE(before, page_locks_handed_over));
}

/* Every object and page made since came back, and every page lock was released once. */
static inline void check_returned(struct counts before)
{
	CHECK(COMES(SINCE(before, objects_freed) == SINCE(before, objects_created)));
	CHECK_EQ(SINCE(before, pages_freed), SINCE(before, pages_allocated));
	check_locks(before);
}

#endif /* COWMEM_COUNTS_H */
