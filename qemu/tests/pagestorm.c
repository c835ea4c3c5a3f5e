// SPDX-License-Identifier: GPL-2.0
/*
 * Page-out and swap-in against everything else, on all CPUs, for as many seconds as the
 * first argument says; and not a byte of it may be lost.
 *
 * Every byte of the object is written by one owner only, a thread or a process, which
 * has the same bytes in its part of a shadow. So it can tell at any time what is to be
 * read there. In some pages each owner has some words only.
 */
#include "counts.h"
#include "parameters.h"
#include "store.h"

#include <pthread.h>
#include <stdatomic.h>

#define OWNERS 4U /* of these, the first two are threads of one process */
#define OWN 24U   /* pages of each, lying in turns */
#define COMMON 16U
#define TAIL 32U /* pages of who resizes */
#define FIRST_COMMON (OWNERS * OWN)
#define FIRST_TAIL (FIRST_COMMON + COMMON)
#define PAGES (FIRST_TAIL + TAIL)
#define RESIZER OWNERS
#define WORDS (PAGE / sizeof(uint64_t))

enum deed {
	LOOK,
	READ,
	STORE,
	FILL,
	WRITE,
	PUNCH,
	OUT,
	PREFETCH,
	COMMON_WORDS,
	DISCARD,
	MAP_AGAIN,
	MOVE_AWAY,
	PROTECT,
	LOCK,
	PRIVATE,
	RESIZE,
	FORK,
	DEEDS
};

static struct arena {
	_Atomic bool stop;
	_Atomic unsigned long wrong;
	unsigned long wrong_page, wrong_offset, wrong_deed;
	_Atomic unsigned long did[DEEDS];
	uint64_t shadow[PAGES][WORDS];
} *arena;

static int seconds = 6;
static int fd;

struct owner {
	unsigned int number, random;
	enum deed deed;
	unsigned char *map; /* the whole object, shared */
};

static unsigned int below(struct owner *o, unsigned int bound)
{
	return (unsigned int)rand_r(&o->random) % bound;
}

static uint64_t any_word(struct owner *o)
{
	return (uint64_t)rand_r(&o->random) << 33 ^ (uint64_t)rand_r(&o->random);
}

static unsigned int any_page_of(struct owner *o)
{
	return o->number == RESIZER ? FIRST_TAIL + below(o, TAIL)
	                            : o->number + OWNERS * below(o, OWN);
}

static void complain(const struct owner *o, unsigned int page, size_t offset)
{
	if (atomic_fetch_add(&arena->wrong, 1))
		return;
	arena->wrong_page = page;
	arena->wrong_offset = offset;
	arena->wrong_deed = o->deed;
}

/* Whether @bytes are what the owner has put into @page. */
static void compare(const struct owner *o, unsigned int page, const void *bytes)
{
	const volatile uint64_t *word = bytes;

	for (size_t i = 0; i < WORDS; i++)
		if (word[i] != arena->shadow[page][i])
			return complain(o, page, i * sizeof(*word));
}

static void any_range(struct owner *o, unsigned int *first, unsigned int *count)
{
	*first = below(o, PAGES);
	*count = 1 + below(o, 2 * (PAGES - *first)) / 2;
}

/* --- the deeds --- */
static void fill(struct owner *o, uint64_t *words)
{
	const uint64_t word = any_word(o);
	const unsigned int kind = below(o, 4);

	for (size_t i = 0; i < WORDS; i++)
		words[i] = kind == 0 ? word : kind == 1 ? any_word(o) : (word & ~0xffffULL) | i;
}

static void store(struct owner *o, unsigned int page)
{
	volatile uint64_t *words = (volatile uint64_t *)(o->map + page * PAGE);

	for (unsigned int n = 1 + below(o, 3); n; n--) {
		const unsigned int i = below(o, WORDS);

		arena->shadow[page][i] = any_word(o);
		words[i] = arena->shadow[page][i];
	}
}

static void write_some(struct owner *o, unsigned int page)
{
	const unsigned int first = below(o, PAGE), length = 1 + below(o, PAGE - first);
	unsigned char *bytes = (unsigned char *)arena->shadow[page] + first;

	memset(bytes, (int)below(o, 256), length);
	MUST(pwrite(fd, bytes, length, (off_t)(page * PAGE + first)) == (ssize_t)length);
}

static void read_all(struct owner *o, unsigned int page)
{
	uint64_t words[WORDS];

	MUST(pread(fd, words, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE);
	compare(o, page, words);
}

/* The words of a page of all owners that are this one's: none of another's is touched. */
static void common_words(struct owner *o)
{
	const unsigned int page = FIRST_COMMON + below(o, COMMON);
	volatile uint64_t *words = (volatile uint64_t *)(o->map + page * PAGE);
	const unsigned int change = below(o, WORDS);

	for (unsigned int i = o->number; i < WORDS; i += OWNERS + 1) {
		uint64_t *shadow = &arena->shadow[page][i];

		if (words[i] != *shadow)
			complain(o, page, i * sizeof(*words));
		if (change % 3 == 0 && i >= change) {
			*shadow = (uint64_t)page << 32 | (any_word(o) & 0xffff0000) | i;
			if (change % 2)
				words[i] = *shadow;
			else
				MUST(pwrite(fd, shadow, sizeof(*shadow),
				            (off_t)(page * PAGE + i * sizeof(*shadow))) ==
				     sizeof(*shadow));
			return;
		}
	}
}

static void move_away(struct owner *o)
{
	void *room = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(room != MAP_FAILED);
	MUST(mremap(o->map, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room) ==
	     room);
	o->map = room;
}

/* Copies of one's own pages, of those that are out too; the object has its own still. */
static void write_privately(struct owner *o)
{
	uint64_t *map = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (unsigned int n = below(o, 12); n; n--) {
		const unsigned int page = any_page_of(o), i = below(o, WORDS);
		uint64_t *words = map + page * WORDS;

		if (below(o, 2))
			compare(o, page, words);
		((volatile uint64_t *)words)[i] = ~arena->shadow[page][i];
		if (((volatile uint64_t *)words)[i] != ~arena->shadow[page][i])
			complain(o, page, i * sizeof(*words));
		words[i] = arena->shadow[page][i];
		compare(o, page, words);
		/* And it follows the object again. */
		if (below(o, 2))
			MUST(!madvise(words, PAGE, MADV_DONTNEED));
		else
			words[i] = 0;
		compare(o, page, o->map + page * PAGE);
		MUST(!madvise(words, PAGE, MADV_DONTNEED));
	}
	MUST(!munmap(map, PAGES * PAGE));
}

/* Down to any byte of the tail, which is nobody else's, and back. */
static void resize(struct owner *o)
{
	const size_t end = FIRST_TAIL * PAGE + below(o, TAIL * PAGE);

	MUST(!object_resize(fd, end));
	MUST(!object_resize(fd, PAGES * PAGE));
	memset((unsigned char *)arena->shadow + end, 0, PAGES * PAGE - end);
}

static void act(struct owner *o, enum deed deed);

/* The dearer ones more rarely; none from @end on. */
static enum deed any_deed(struct owner *o, enum deed end)
{
	const enum deed deed = below(o, end);

	if (o->number == RESIZER && !below(o, 16))
		return RESIZE;
	return deed >= DISCARD && below(o, 4) ? below(o, DISCARD) : deed;
}

/* A child goes on for a while where its parent stands, which waits for it. */
static void fork_and_wait(struct owner *o)
{
	int status;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		o->random += 7;
		for (int i = 0; i < 30; i++)
			act(o, any_deed(o, FORK));
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	if (status)
		complain(o, 0, 0);
}

static void page_out_some(struct owner *o)
{
	struct cowmem_page_out out;
	unsigned int first, count;

	any_range(o, &first, &count);
	MUST(!page_out_ask(fd, &out, below(o, 3) ? COWMEM_PAGE_OUT_ACCESSED : 0, first, count));
}

static void act(struct owner *o, enum deed deed)
{
	const unsigned int page = any_page_of(o);
	unsigned int first, count;

	any_range(o, &first, &count);
	o->deed = deed == RESIZE && o->number != RESIZER ? LOOK : deed;
	atomic_fetch_add_explicit(&arena->did[o->deed], 1, memory_order_relaxed);
	switch (o->deed) {
	case LOOK:
		compare(o, page, o->map + page * PAGE);
		break;
	case READ:
		read_all(o, page);
		break;
	case STORE:
		store(o, page);
		break;
	case FILL:
		fill(o, arena->shadow[page]);
		memcpy(o->map + page * PAGE, arena->shadow[page], PAGE);
		break;
	case WRITE:
		write_some(o, page);
		break;
	case PUNCH:
		memset(arena->shadow[page], 0, PAGE);
		MUST(!object_punch(fd, page * PAGE, PAGE));
		break;
	case OUT:
		page_out_some(o);
		break;
	case PREFETCH:
		MUST(prefetch_ask(fd, first, count) >= 0);
		break;
	case COMMON_WORDS:
		common_words(o);
		break;
	case DISCARD:
		MUST(!madvise(o->map + first * PAGE, count * PAGE, MADV_DONTNEED));
		break;
	case MAP_AGAIN:
		MUST(!munmap(o->map, PAGES * PAGE));
		o->map = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		break;
	case MOVE_AWAY:
		move_away(o);
		break;
	case PROTECT:
		MUST(!mprotect(o->map, PAGES * PAGE, PROT_READ));
		compare(o, page, o->map + page * PAGE);
		MUST(!mprotect(o->map, PAGES * PAGE, PROT_READ | PROT_WRITE));
		break;
	case LOCK:
		MUST(!mlock(o->map + page * PAGE, PAGE));
		page_out_some(o);
		compare(o, page, o->map + page * PAGE);
		MUST(!munlock(o->map + page * PAGE, PAGE));
		break;
	case PRIVATE:
		write_privately(o);
		break;
	case RESIZE:
		resize(o);
		break;
	case FORK:
		fork_and_wait(o);
		break;
	case DEEDS:
		break;
	}
}

static void *own(void *argument)
{
	struct owner o = {.number = (unsigned int)(uintptr_t)argument};

	o.random = o.number + 1;
	o.map = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (enum deed deed = 0; deed < DEEDS; deed++)
		act(&o, deed);
	while (!atomic_load(&arena->stop))
		act(&o, any_deed(&o, DEEDS));
	for (unsigned int page = 0; page < PAGES; page++)
		if (o.number == RESIZER ? page >= FIRST_TAIL
		                        : page < FIRST_COMMON && page % OWNERS == o.number)
			compare(&o, page, o.map + page * PAGE);
	MUST(!munmap(o.map, PAGES * PAGE));
	return NULL;
}

/* Memory pressure of the whole machine, as far as shrinkers go. */
static void reclaim(void)
{
	while (!atomic_load(&arena->stop)) {
		MUST(write_text("/proc/sys/vm/drop_caches", "2"));
		usleep(50000);
	}
}

static pid_t start(void (*run)(void))
{
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		run();
		_exit(0);
	}
	return pid;
}

static void two_owners(void)
{
	pthread_t other;

	MUST(!pthread_create(&other, NULL, own, (void *)1));
	own((void *)0);
	MUST(!pthread_join(other, NULL));
}

static void third_owner(void)
{
	own((void *)2);
}

static void fourth_owner(void)
{
	own((void *)3);
}

static void resizer(void)
{
	own((void *)(uintptr_t)RESIZER);
}

static void storm(bool reuse, bool speculation)
{
	static void (*const all[])(void) = {two_owners, third_owner, fourth_owner, resizer,
	                                    reclaim};
	const struct counts before = counts_now();
	uint64_t pool, words[WORDS];
	pid_t pids[ARRAY_LENGTH(all)];
	struct owner nobody = {.deed = DEEDS};

	set_reuse(reuse);
	set_speculation(speculation);
	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	MUST(arena != MAP_FAILED);
	fd = object_open();
	MUST(!object_resize(fd, PAGES * PAGE));
	pool = store_stat(fd).pool_bytes;
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
		pids[i] = start(all[i]);
	sleep((unsigned int)seconds);
	atomic_store(&arena->stop, true);
	for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
		int status;

		MUST(waitpid(pids[i], &status, 0) == pids[i]);
		CHECK_EQ(status, 0);
	}

	/* Once in memory, once out of the store. */
	for (int twice = 0; twice < 2; twice++) {
		page_out_all(fd, PAGES);
		for (unsigned int page = 0; page < PAGES; page++) {
			MUST(pread(fd, words, PAGE, (off_t)(page * PAGE)) == (ssize_t)PAGE);
			compare(&nobody, page, words);
		}
	}
	if (atomic_load(&arena->wrong))
		ksft_print_msg("%lu pages wrong, the first %lu at byte %lu, deed %lu\n",
		               atomic_load(&arena->wrong), arena->wrong_page, arena->wrong_offset,
		               arena->wrong_deed);
	CHECK_EQ(atomic_load(&arena->wrong), 0);
	for (int deed = 0; deed < DEEDS; deed++)
		CHECK(atomic_load(&arena->did[deed]) > 0);
	CHECK(SINCE(before, pages_paged_out) > PAGES);
	CHECK(SINCE(before, pages_brought_in) > PAGES);
	CHECK(SINCE(before, pages_reused) > 0);
	/* A debug kernel does not come far in a few seconds. */
	CHECK(SINCE(before, copies_from_store) > 0 || atomic_load(&arena->did[PRIVATE]) < 100);
	CHECK_EQ(SINCE(before, reused) > 0, reuse);
	CHECK_EQ(SINCE(before, speculative_commits) > 0, speculation);

	MUST(!object_punch(fd, 0, PAGES * PAGE));
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	CHECK_EQ(store_stat(fd).slots, 0);
	CHECK_EQ(store_stat(fd).bytes, 0);
	CHECK_EQ(store_stat(fd).same_filled, 0);
	CHECK_EQ(store_stat(fd).pool_bytes, pool);
	close(fd);
	check_returned(before);
	ksft_print_msg("out %lu, by pressure %lu, stored %lu, reused slots %lu, in %lu, mapped to "
	               "be written %lu, copied from the store %lu, forks %lu, resizes %lu\n",
	               SINCE(before, pages_paged_out), SINCE(before, pages_shrunk),
	               SINCE(before, pages_stored), SINCE(before, pages_reused),
	               SINCE(before, pages_brought_in), SINCE(before, reused),
	               SINCE(before, copies_from_store), atomic_load(&arena->did[FORK]),
	               atomic_load(&arena->did[RESIZE]));
	MUST(!munmap(arena, sizeof(*arena)));
	set_reuse(true);
	set_speculation(true);
}

static void with_reuse(void)
{
	storm(true, true);
}

static void without_reuse(void)
{
	storm(false, true);
}

static void with_locks(void)
{
	storm(true, false);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"storm of page-out, pages mapped to be written when they are read", "R6 R47 R48",
	         with_reuse},
		{"storm of page-out, without reuse", "R6 R47", without_reuse},
		{"storm of page-out, faults with locks", "R6 R47 R48", with_locks},
	};

	if (argc > 1)
		seconds = atoi(argv[1]);
	seconds /= (int)ARRAY_LENGTH(cases);
	MUST(seconds > 0);
	return run_tests(cases, ARRAY_LENGTH(cases));
}
