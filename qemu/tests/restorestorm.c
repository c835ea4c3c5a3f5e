// SPDX-License-Identifier: GPL-2.0
/*
 * None, one or fifty pages are written, and RESTORE takes them back: again and again, for as
 * many rounds as the first argument says. What the last thousand rounds take is what the first
 * thousand took, in pages, nodes of trees and faults, and in the end nothing is left.
 */
#include "cgroup.h"
#include "counts.h"
#include "relatives.h"

enum { PAGES = 1024, MOST = 50 };

static unsigned long rounds;     /* at least */
static unsigned int block = 999; /* rounds, as many of each kind; a debug kernel does fewer */

static struct {
	int fd, snapshot;
	char *map;
} o;

/* The round writes fresh bytes to pages that only its number chooses. */
static unsigned int do_round(unsigned int round)
{
	static const unsigned int few[] = {0, 1, MOST};
	const unsigned int pages = few[round % ARRAY_LENGTH(few)];
	unsigned int random = round + 1, wrong = 0;
	unsigned long place[MOST];
	uint64_t word;

	for (unsigned int i = 0; i < pages; i++) {
		place[i] = (unsigned long)rand_r(&random) % PAGES;
		*(volatile uint64_t *)(o.map + place[i] * PAGE) = ~0UL;
	}
	MUST(!restore(o.fd, o.snapshot));
	for (unsigned int i = 0; i < pages; i++) {
		MUST(pread(o.fd, &word, sizeof(word), (off_t)(place[i] * PAGE)) == sizeof(word));
		wrong += word != place[i];
	}
	return wrong;
}

/* In @cache; as the kernel counts, to whom what a CPU keeps free is in use, if it is not told to give that up. */
static long nodes_of(const char *cache)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/shrink", cache);
	MUST(write_text(path, "1"));
	snprintf(path, sizeof(path), "/sys/kernel/slab/%s/objects", cache);
	return read_number(path, "");
}

/* Of all trees, and what has left them a moment ago. */
static long nodes(void)
{
	return nodes_of("cowmem_leaf") + nodes_of("cowmem_node");
}

/* The counters of a thousand rounds. */
static struct counts do_block(void)
{
	const struct counts before = counts_now();
	struct counts taken;
	unsigned int wrong = 0;

	for (unsigned int round = 0; round < block; round++)
		wrong += do_round(round);
	CHECK_EQ(wrong, 0);
	taken = counts_now();
	for (int i = 0; i < COWMEM_NR_COUNTERS; i++)
		taken.of[i] -= before.of[i];
	return taken;
}

#define TAKEN(taken, name) ((taken).of[COWMEM_COUNT_##name])

/* Faults are as many, but for those that something else in the machine adds or saves. */
#define CHECK_NO_MORE(last, first, name)                                                    \
	do {                                                                                \
		const unsigned long most_ = TAKEN(first, name) + TAKEN(first, name) / 100;  \
		if (TAKEN(last, name) > most_) {                                            \
			test_failed = true;                                                 \
			ksft_print_msg("the last block has %lu " #name ", the first %lu\n", \
			               TAKEN(last, name), TAKEN(first, name));              \
		}                                                                           \
	} while (0)

static void begin(void)
{
	count_faults_exactly();
	o.fd = object_open();
	o.map = object_map(o.fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned long i = 0; i < PAGES; i++)
		*(volatile uint64_t *)(o.map + i * PAGE) = i;
	o.snapshot = snapshot(o.fd);
}

static void end(void)
{
	munmap(o.map, PAGES * PAGE);
	close(o.fd);
	close(o.snapshot);
}

static void written_and_restored(void)
{
	enum {
		LEAST = 2,
		SLACK = 500
	}; /* blocks; nodes: less than one for each round of a block */
	const struct counts before = counts_now();
	const long nodes_before = nodes();
	struct counts first, last;
	unsigned int blocks = 0;
	long nodes_at_first;

	begin();
	nodes_at_first = nodes();
	do_block(); /* from now on all is as it was a block before */
	first = last = do_block();
	while (++blocks < LEAST || (unsigned long)blocks * block < rounds)
		last = do_block();
	CHECK(COMES(nodes() < nodes_at_first + SLACK));
	ksft_print_msg(
		"%u times %u rounds; %lu and %lu pages copied, %lu and %lu faults, "
		"%ld and %ld nodes\n",
		blocks + 1, block, TAKEN(first, pages_copied_up), TAKEN(last, pages_copied_up),
		TAKEN(first, fault_shared_write) + TAKEN(first, mkwrite),
		TAKEN(last, fault_shared_write) + TAKEN(last, mkwrite), nodes_at_first, nodes());
	CHECK_EQ(TAKEN(last, restores), block);
	CHECK(TAKEN(first, pages_copied_up) > block / 3 * MOST * 9 / 10);
	CHECK_EQ(TAKEN(last, pages_copied_up), TAKEN(first, pages_copied_up));
	CHECK_EQ(TAKEN(last, pages_allocated), TAKEN(first, pages_allocated));
	CHECK_EQ(TAKEN(last, pages_freed), TAKEN(last, pages_allocated));
	CHECK_EQ(TAKEN(last, pages_taken_over), 0);
	CHECK_EQ(object_stat(o.fd).resident_pages, 0);
	CHECK_EQ(object_stat(o.snapshot).resident_pages, PAGES);
	CHECK_EQ(object_stat(o.snapshot).shared_pages, PAGES);
	CHECK_NO_MORE(last, first, fault_shared_write);
	CHECK_NO_MORE(last, first, mkwrite);
	CHECK_NO_MORE(last, first, mkwrite_again);
	CHECK_NO_MORE(last, first, page_locks);
	CHECK_NO_MORE(last, first, speculative_attempts);
	CHECK_NO_MORE(last, first, locked_retries);
	end();
	CHECK(COMES(nodes() < nodes_before + SLACK));
	check_returned(before);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"a few pages are written, and restored, without end", "", written_and_restored},
	};

	if (argc > 1)
		rounds = strtoul(argv[1], NULL, 0);
	if (debug_kernel())
		block = 99;
	return run_tests(cases, ARRAY_LENGTH(cases));
}
