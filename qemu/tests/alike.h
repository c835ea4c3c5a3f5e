/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tables of questions that two makes of a thing answer alike, but for what is listed: a
 * difference that is not listed fails, and a listed one that is none.
 */
#ifndef COWMEM_ALIKE_H
#define COWMEM_ALIKE_H

#include "answers.h"

#include <stdarg.h>

/* Where the question ends with a *, all of the row that begin so are meant. */
struct difference {
	const char *row, *question, *reason;
};

struct alike {
	const char *reference, *other; /* what is asked */
	const struct difference *differences;
	size_t count;                               /* of these */
	bool met[100];                              /* whether that difference was seen */
	bool (*is_here)(const struct difference *); /* whether this kernel has what it is about */
	long compared, differ;
};

__attribute__((format(printf, 1, 2))) static inline const char *text_of(const char *format, ...)
{
	char *text;
	va_list args;

	va_start(args, format);
	MUST(vasprintf(&text, format, args) >= 0); /* stays as long as the answers do */
	va_end(args);
	return text;
}

/* As ASK, of a question that has to be told from others of the same words. */
#define ASK_AS(answers, call, ...)                                                   \
	do {                                                                         \
		ASK(answers, call);                                                  \
		(answers)->at[(answers)->count - 1].question = text_of(__VA_ARGS__); \
	} while (0)

/* Whether files of tmpfs, as memfds are, can be opened O_DIRECT: since Linux 6.6. */
static inline bool tmpfs_is_direct(void)
{
	char path[32];
	int fd = memfd_create("direct", MFD_CLOEXEC), again;

	MUST(fd >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (again >= 0)
		close(again);
	close(fd);
	return again >= 0;
}

static inline bool is_like(const char *question, const char *pattern)
{
	const size_t length = strcspn(pattern, "*");

	return pattern[length] ? !strncmp(question, pattern, length) : !strcmp(question, pattern);
}

/* Whether it is listed; then it was met. */
static inline bool is_meant(struct alike *alike, const char *row, const char *question)
{
	bool found = false;

	for (size_t i = 0; i < alike->count && !found; i++) {
		found = !strcmp(alike->differences[i].row, row) &&
		        is_like(question, alike->differences[i].question);
		alike->met[i] |= found;
	}
	return found;
}

static inline void compare_row(struct alike *alike, const char *row,
                               const struct answers *reference, const struct answers *other)
{
	for (int i = 0; i < reference->count && i < other->count; i++) {
		const char *question = reference->at[i].question;

		alike->compared++;
		if (strcmp(other->at[i].question, question)) {
			test_failed = true; /* all that follows is another question, too */
			ksft_print_msg("%s was not asked of %s\n", question, alike->other);
			return;
		}
		if (other->at[i].answer == reference->at[i].answer)
			continue;
		alike->differ++;
		if (is_meant(alike, row, question))
			continue;
		test_failed = true;
		ksft_print_msg("%s: %s says %lld, %s %lld\n", question, alike->other,
		               other->at[i].answer, alike->reference, reference->at[i].answer);
	}
	CHECK_EQ(other->count, reference->count);
}

/* The last result: how much was compared, and whether all that is listed differs. */
static inline void say_what_differs(const struct alike *alike)
{
	test_failed = false;
	for (size_t i = 0; i < alike->count; i++) {
		const struct difference *listed = &alike->differences[i];

		if (alike->met[i] || !alike->is_here(listed))
			continue;
		test_failed = true;
		ksft_print_msg("%s, %s: no difference any more (%s)\n", listed->row,
		               listed->question, listed->reason);
	}
	ksft_test_result(!test_failed, "%ld calls compared, %ld differ, as listed\n",
	                 alike->compared, alike->differ);
}

#endif /* COWMEM_ALIKE_H */
