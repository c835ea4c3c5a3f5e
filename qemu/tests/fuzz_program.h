/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzzer's programs: short sequences of calls, how they are made up, changed, written as text and
 * read again. What the calls are and do is in fuzz_calls.h.
 *
 * As text a program is one line, its calls separated by ";". Each is the process that makes it, the
 * call's name, its arguments, and "!N" if its Nth allocation is to fail:
 *
 *	0 open 0; 0 pwrite 0 0 4096 7; 0 snapshot 0 1 1 0 !3
 *
 * It begins with "together" if its processes do not take turns.
 */
#ifndef COWMEM_FUZZ_PROGRAM_H
#define COWMEM_FUZZ_PROGRAM_H

#include "answers.h"

enum {
	CALLS = 28,
	ARGUMENTS = 5,
	PROCESSES = 4,
	DESCRIPTORS = 10,
	MAPPINGS = 5,
	EXACTLY = 32, /* added to a slot: whatever is in it, and not the next that is of use */
	TEXT = CALLS * 160,
};

#define FAR_PAGES (1ULL << 19) /* 2 GiB */
#define LAST_PAGE ((uint64_t)INT64_MAX >> 12)

/* What a call's argument is. */
enum kind {
	NOTHING,
	DESCRIPTOR, /* a slot with one, or for one */
	MAPPING,    /* the same */
	AT_PAGE,    /* the number of a page */
	PAGES,      /* how many */
	AT_BYTE,
	BYTES,
	NUMBER, /* from 0 to `bound` - 1 */
	BITS,   /* any of `bound` */
	ANY,    /* a number of 64 bits */
};

struct argument {
	enum kind kind;
	uint64_t bound;
};

/* One call of a program. */
struct call {
	unsigned int what; /* its place in `descriptions` */
	unsigned int process;
	unsigned int fails; /* its allocation of this number fails; 0: none */
	uint64_t argument[ARGUMENTS];
};

struct program {
	bool together;
	unsigned int count;
	struct call call[CALLS];
};

/* What is known of a kind of call. */
struct description {
	const char *name;
	unsigned int weight; /* how often it is made up, beside the others */
	struct argument argument[ARGUMENTS];
	/* 0 or more: it succeeded; -errno; or SKIPPED. */
	long (*run)(const uint64_t *argument);
};

static const struct description descriptions[];
static const unsigned int nr_descriptions;

/* --- values --- */

static inline bool one_in(uint32_t n)
{
	return !random_below(n);
}

static inline uint64_t random_64(void)
{
	const uint64_t high = random_below(UINT32_MAX);

	return high << 32 | random_below(UINT32_MAX);
}

#define ONE_OF(table) ((table)[random_below(ARRAY_LENGTH(table))])

static inline uint64_t any_page(void)
{
	static const uint64_t odd[] = {31,
	                               32,
	                               511,
	                               512,
	                               513,
	                               FAR_PAGES - 1,
	                               FAR_PAGES,
	                               2 * FAR_PAGES,
	                               LAST_PAGE - 1,
	                               LAST_PAGE,
	                               LAST_PAGE + 1,
	                               UINT64_MAX >> 12};

	return one_in(8) ? ONE_OF(odd) : random_below(one_in(3) ? 16 : 6);
}

static inline uint64_t any_pages(void)
{
	static const uint64_t odd[] = {0, 31, 32, 33, 512, 1024, FAR_PAGES, UINT64_MAX >> 12};

	return one_in(12) ? ONE_OF(odd) : 1 + random_below(one_in(3) ? 16 : 4);
}

static inline uint64_t any_bytes(void)
{
	static const uint64_t odd[] = {0,         1,          7,          8,          2047,
	                               INT32_MAX, 1ULL << 31, UINT32_MAX, 1ULL << 32, INT64_MAX};
	const uint64_t near[] = {0, 0, 0, 1, 8, 2048, PAGE - 1};

	return one_in(16) ? ONE_OF(odd) : any_pages() % 64 * PAGE - (one_in(4) ? ONE_OF(near) : 0);
}

static inline uint64_t any_number(void)
{
	static const uint64_t odd[] = {0,          1,         2,          PAGE - 1,   PAGE,
	                               PAGE + 1,   INT32_MAX, 1ULL << 31, UINT32_MAX, 1ULL << 32,
	                               1ULL << 63, INT64_MAX, UINT64_MAX, 16,         24,
	                               32,         40,        48,         64,         120};

	return one_in(4) ? random_64() : ONE_OF(odd);
}

static inline uint64_t any_argument(struct argument is)
{
	switch (is.kind) {
	case NOTHING:
		return 0;
	case DESCRIPTOR:
		return random_below(DESCRIPTORS) + (one_in(24) ? EXACTLY : 0);
	case MAPPING:
		return random_below(MAPPINGS) + (one_in(24) ? EXACTLY : 0);
	case AT_PAGE:
		return any_page();
	case PAGES:
		return any_pages();
	case AT_BYTE:
		return one_in(3) ? any_bytes() : any_page() % (LAST_PAGE + 1) * PAGE;
	case BYTES:
		return any_bytes() % (64 * PAGE);
	case NUMBER:
		return random_below((uint32_t)is.bound);
	case BITS:
		return one_in(32) ? any_number() : random_64() & is.bound;
	case ANY:
		return any_number();
	}
	return 0;
}

/* --- programs that are made up --- */

static inline int description_of(const char *name)
{
	for (unsigned int i = 0; i < nr_descriptions; i++)
		if (!strcmp(descriptions[i].name, name))
			return (int)i;
	return -1;
}

static inline void fill_call(struct call *call, unsigned int what)
{
	*call = (struct call){.what = what};
	for (unsigned int i = 0; i < ARGUMENTS; i++)
		call->argument[i] = any_argument(descriptions[what].argument[i]);
	if (one_in(4))
		call->process = 1 + random_below(PROCESSES - 1);
	if (one_in(24))
		call->fails = 1 + random_below(one_in(3) ? 40 : 8);
}

static inline void any_call(struct call *call)
{
	static unsigned int sum;
	unsigned int left, what = 0;

	for (unsigned int i = 0; !sum && i < nr_descriptions; i++)
		what += descriptions[i].weight;
	sum = sum ? sum : what;
	left = random_below(sum);
	for (what = 0; left >= descriptions[what].weight; what++)
		left -= descriptions[what].weight;
	fill_call(call, what);
}

/* Whether there was room. */
static inline bool insert_call(struct program *program, unsigned int at)
{
	if (program->count == CALLS)
		return false;
	memmove(&program->call[at + 1], &program->call[at],
	        (program->count - at) * sizeof(program->call[0]));
	program->count++;
	return true;
}

static inline void remove_call(struct program *program, unsigned int at)
{
	program->count--;
	memmove(&program->call[at], &program->call[at + 1],
	        (program->count - at) * sizeof(program->call[0]));
}

/* It begins with an object that has pages and is mapped, since most calls are about such. */
static inline void make_up(struct program *program)
{
	static const char *const objects[] = {"open", "create", "creat", "tmpfile"};
	const char *const begins[] = {ONE_OF(objects), "pwrite", "mmap", "store", "fork"};

	*program = (struct program){.together = one_in(4)};
	for (size_t i = 0; i < ARRAY_LENGTH(begins) - (one_in(2) ? 0 : 1); i++) {
		struct call *call = &program->call[program->count++];

		fill_call(call, (unsigned int)description_of(begins[i]));
		call->process = 0;
		call->fails = 0;
	}
	for (unsigned int more = 4 + random_below(CALLS - 10); more; more--)
		any_call(&program->call[program->count++]);
}

/* One change; @other: a program that parts may be taken from. */
static inline void change_once(struct program *program, const struct program *other)
{
	const unsigned int at = random_below(program->count);
	struct call *call = &program->call[at];

	switch (random_below(10)) {
	case 0:
	case 1:
	case 2:
		if (insert_call(program, at + 1))
			any_call(&program->call[at + 1]);
		break;
	case 3:
		if (program->count > 1)
			remove_call(program, at);
		break;
	case 4:
	case 5:
	case 6: {
		const unsigned int nth = random_below(ARGUMENTS);

		call->argument[nth] = any_argument(descriptions[call->what].argument[nth]);
		break;
	}
	case 7:
		if (insert_call(program, at + 1))
			program->call[at + 1] = program->call[random_below(program->count)];
		break;
	case 8: {
		const unsigned int from = random_below(other->count);
		unsigned int length = 1 + random_below(other->count - from);

		length = length < CALLS - at ? length : CALLS - at;
		memcpy(call, &other->call[from], length * sizeof(*call));
		if (at + length > program->count)
			program->count = at + length;
		break;
	}
	default:
		if (one_in(4))
			program->together = !program->together;
		else if (one_in(2))
			call->fails = call->fails ? 0 : 1 + random_below(20);
		else
			call->process = random_below(PROCESSES);
	}
}

/* --- as text --- */

static inline const char *text_of_program(const struct program *program, char text[TEXT])
{
	char *at = text + sprintf(text, "%s", program->together ? "together" : "");

	for (unsigned int i = 0; i < program->count; i++) {
		const struct call *call = &program->call[i];
		const struct description *is = &descriptions[call->what];

		at += sprintf(at, "%s%u %s", at == text ? "" : "; ", call->process, is->name);
		for (unsigned int n = 0; n < ARGUMENTS && is->argument[n].kind; n++)
			at += sprintf(at, " %llu", (unsigned long long)call->argument[n]);
		if (call->fails)
			at += sprintf(at, " !%u", call->fails);
	}
	return text;
}

/* False: it is no program. */
static inline bool program_of_text(const char *line, struct program *program)
{
	char text[TEXT], *rest = text, *one;

	*program = (struct program){.together = false};
	if (strlen(line) >= TEXT)
		return false;
	strcpy(text, line);
	while ((one = strsep(&rest, ";"))) {
		struct call *call = &program->call[program->count];
		char name[32], *word;
		int used, what;

		one += strspn(one, " ");
		if (!strcmp(one, "together")) {
			program->together = true;
			continue;
		}
		if (program->count == CALLS ||
		    sscanf(one, "%u %31s%n", &call->process, name, &used) != 2)
			return false;
		what = description_of(name);
		if (what < 0 || call->process >= PROCESSES)
			return false;
		call->what = (unsigned int)what;
		one += used;
		for (unsigned int n = 0; (word = strsep(&one, " "));) {
			if (!*word)
				continue;
			if (*word == '!')
				call->fails = (unsigned int)atoi(word + 1);
			else if (n < ARGUMENTS && descriptions[what].argument[n].kind)
				call->argument[n++] = strtoull(word, NULL, 10);
			else
				return false;
		}
		program->count++;
	}
	return program->count > 0;
}

#endif /* COWMEM_FUZZ_PROGRAM_H */
