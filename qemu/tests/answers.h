/* SPDX-License-Identifier: GPL-2.0 */
/* Asking an object and a memfd the same questions: the answers should not differ. */
#ifndef COWMEM_ANSWERS_H
#define COWMEM_ANSWERS_H

#include "cowmem_test.h"

/* What one file answered to a list of questions: results, or -errno. */
struct answers {
	int count;
	struct {
		const char *question;
		long long answer;
	} at[500];
};

#define ASK(answers, call)                                                         \
	do {                                                                       \
		MUST((answers)->count < (int)ARRAY_LENGTH((answers)->at));         \
		errno = 0;                                                         \
		long long r_ = (long long)(call);                                  \
		(answers)->at[(answers)->count].question = #call;                  \
		(answers)->at[(answers)->count++].answer = r_ == -1 ? -errno : r_; \
	} while (0)

static inline void check_same(const struct answers *object, const struct answers *memfd)
{
	CHECK_EQ(object->count, memfd->count);
	for (int i = 0; i < object->count && i < memfd->count; i++) {
		if (object->at[i].answer == memfd->at[i].answer)
			continue;
		test_failed = true;
		ksft_print_msg("answer %d, %s: the object says %lld, memfd %lld\n", i,
		               object->at[i].question, object->at[i].answer, memfd->at[i].answer);
	}
}

/* Pseudo-random numbers that a seed repeats; it is never 0. */
static uint64_t random_state = 1;

static inline uint32_t random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (random_state >> 16) % bound;
}

/* Data in the pages 0, 1, 4 and 5, a hole between, and 10 bytes more. */
enum { IMAGE = 6 * 4096 + 10 };

static inline void make_image(int fd)
{
	char page[PAGE];

	for (int i = 0; i < 6; i++) {
		fill_page(page, i, 1);
		if (i != 2 && i != 3)
			MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	MUST(pwrite(fd, "0123456789", 10, 6 * PAGE) == 10);
}

#endif /* COWMEM_ANSWERS_H */
