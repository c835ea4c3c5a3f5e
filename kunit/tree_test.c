// SPDX-License-Identifier: GPL-2.0
/*
 * What an object and its relatives share: the nodes of their trees, and the pages, by their
 * names; what a writer copies, and who has to wait for whom.
 */
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>

#include "mapping.h"
#include "relatives.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static struct other other;

/* That the tree marks just those places as the object's own. */
static void expect_own(struct kunit *test, struct file *file, const unsigned long *places,
                       unsigned int n)
{
	unsigned long from = 0;

	for (unsigned int i = 0; i < n; i++) {
		KUNIT_EXPECT_EQ(test, places[i], cowmem_test_next_own(file, from));
		from = places[i] + 1;
	}
	KUNIT_EXPECT_EQ(test, ~0UL, cowmem_test_next_own(file, from));
}

static void write_page(struct kunit *test, struct file *file, pgoff_t index, u8 byte)
{
	KUNIT_ASSERT_EQ(test, 0, write_byte(file, (loff_t)index * PAGE_SIZE, byte));
}

static void expect_valid(struct mapping *m)
{
	KUNIT_EXPECT_STREQ(m->test, cowmem_test_check(m->file).what ?: "", "");
}

/* --- nodes --- */

/* Near and far, in memory and in the store, and one with a reference. */
static void a_snapshot_has_the_same_tree(struct kunit *test)
{
	static const unsigned long places[] = {0, 1, 2, 63, 64, 600};
	enum { BESIDE, OUT, REFERENCED, LAST = 5, N = ARRAY_SIZE(places) };
	struct mapping *m = test->priv;
	struct cowmem_page_out out;
	struct folio *folio[N];

	for (unsigned int i = 0; i < N; i++)
		write_page(test, m->file, places[i], 0x11);
	expect_own(test, m->file, places, N);
	cowmem_test_page_out(m->file, places[OUT], places[OUT], true, &out);
	KUNIT_ASSERT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, 1UL, cowmem_test_slots(m->file));
	for (unsigned int i = 0; i < N; i++) {
		folio[i] = own_of(m->file, places[i]);
		KUNIT_ASSERT_EQ(test, i == OUT, !folio[i]);
	}
	folio_get(folio[REFERENCED]);
	snapshot = snapshot_of(m, ANY);
	folio_put(folio[REFERENCED]);
	expect_own(test, snapshot, NULL, 0);
	expect_own(test, m->file, &places[REFERENCED], 1);
	KUNIT_EXPECT_PTR_EQ(test, folio[REFERENCED], own_of(m->file, places[REFERENCED]));
	/* The slot is the family's, too. */
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_slots(snapshot));
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_slots(m->file));
	for (unsigned int i = 0; i < N; i++) {
		struct folio *given = shared_of(m, snapshot, places[i]);

		if (i == OUT)
			continue;
		KUNIT_ASSERT_NOT_NULL(test, given);
		KUNIT_EXPECT_EQ(test, places[i], given->index);
		KUNIT_EXPECT_EQ(test, i == REFERENCED, given != folio[i]);
		KUNIT_EXPECT_EQ(test, i == REFERENCED,
		                given != cowmem_test_seen(m->file, places[i]));
		/* Only the leaf that has what stays the object's own was copied. */
		KUNIT_EXPECT_EQ(test, i == BESIDE ? 2L : 1L, names(given));
	}
	write_page(test, m->file, places[LAST], 0x22);
	KUNIT_EXPECT_NOT_NULL(test, own_of(m->file, places[LAST]));
	expect_own(test, m->file, (unsigned long[]){places[REFERENCED], places[LAST]}, 2);
	made = snapshot_of(m, ANY);
	expect_own(test, m->file, NULL, 0);
	expect_own(test, made, NULL, 0);
	KUNIT_EXPECT_PTR_EQ(test, folio[REFERENCED], shared_of(m, made, places[REFERENCED]));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(shared_of(m, made, places[LAST]), 0));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(shared_of(m, snapshot, places[LAST]), 0));
	expect_valid(m);
}

/* The first place in a tree of each height, and the last. */
static const unsigned long heights[] = {
	3, 15, 16, 1023, 1024, 65535, 65536, 4194303, 4194304,
};

static void a_tree_grows(struct kunit *test)
{
	enum { N = ARRAY_SIZE(heights) };
	struct mapping *m = test->priv;
	unsigned long freed;

	for (unsigned int i = 0; i < N; i++) {
		write_page(test, m->file, heights[i], i + 1);
		expect_own(test, m->file, heights, i + 1);
		for (unsigned int j = 0; j <= i; j++)
			KUNIT_EXPECT_EQ(test, j + 1, byte_of(own_of(m->file, heights[j]), 0));
	}
	freed = COUNT(pages_freed);
	cowmem_test_punch(m->file, 0, ((loff_t)heights[N - 1] + 1) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, freed + N, COUNT(pages_freed));
	expect_own(test, m->file, NULL, 0);
	/* Empty it is of no height; it begins with the one that is needed. */
	for (unsigned int i = N; i--;) {
		write_page(test, m->file, heights[i], 0x22);
		expect_own(test, m->file, &heights[i], N - i);
	}
	expect_valid(m);
}

/* Above what others have, too, which stays theirs until something there is written. */
static void a_shared_tree_grows(struct kunit *test)
{
	static const unsigned long low = 3, high = 65536;
	struct mapping *m = test->priv;
	struct folio *folio;

	write_page(test, m->file, low, 0x11);
	/* What is behind an end within the page is zeroed when the object grows: that were a write. */
	KUNIT_ASSERT_EQ(test, 0, write_byte(m->file, (low + 1) * PAGE_SIZE - 1, 0));
	folio = own_of(m->file, low);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	snapshot = snapshot_of(m, ANY);
	made = clone_of(m);
	write_page(test, m->file, high, 0x22);
	expect_own(test, m->file, &high, 1);
	KUNIT_EXPECT_PTR_EQ(test, folio, shared_of(m, m->file, low));
	KUNIT_EXPECT_EQ(test, 1L, names(folio));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(snapshot, high));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(made, high));
	write_page(test, made, low, 0x33);
	expect_own(test, made, &low, 1);
	KUNIT_EXPECT_EQ(test, 1L, names(folio));
	write_page(test, m->file, low, 0x44);
	expect_own(test, m->file, (const unsigned long[]){low, high}, 2);
	KUNIT_EXPECT_EQ(test, 0x44, byte_of(own_of(m->file, low), 0));
	KUNIT_EXPECT_EQ(test, 0x33, byte_of(own_of(made, low), 0));
	KUNIT_EXPECT_EQ(test, 1L, names(folio));
	KUNIT_EXPECT_PTR_EQ(test, folio, shared_of(m, snapshot, low));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(folio, 0));
	expect_valid(m);
}

/* From within one leaf to within another, with leaves and a whole node between. */
static void a_range_is_punched(struct kunit *test)
{
	static const unsigned long places[] = {10, 12, 20, 1020, 1030, 2050, 2060, 2070};
	enum { FIRST = 1, LAST = 5, N = ARRAY_SIZE(places) };
	static const long names_then[] = {2, 1, 1, 1, 1, 1, 2, 1};
	struct mapping *m = test->priv;
	unsigned long count, freed = COUNT(pages_freed);
	struct folio *folio[N];

	SHOWS(test, "R6");
	for (unsigned int i = 0; i < N; i++) {
		write_page(test, m->file, places[i], 0x11);
		folio[i] = own_of(m->file, places[i]);
	}
	snapshot = snapshot_of(m, ANY);
	count = cowmem_test_count(m->file);
	cowmem_test_punch(m->file, places[FIRST] * PAGE_SIZE,
	                  (places[LAST] + 1 - places[FIRST]) * PAGE_SIZE);
	/* The count moves for each inner node of 1,024 pages by itself. */
	KUNIT_EXPECT_EQ(test, count + 3 * 2, cowmem_test_count(m->file));
	KUNIT_EXPECT_EQ(test, freed, COUNT(pages_freed));
	for (unsigned int i = 0; i < N; i++) {
		KUNIT_EXPECT_PTR_EQ(test, i < FIRST || i > LAST ? folio[i] : NULL,
		                    cowmem_test_seen(m->file, places[i]));
		KUNIT_EXPECT_PTR_EQ(test, folio[i], shared_of(m, snapshot, places[i]));
		/* The two leaves that it is punched out of in part were copied. */
		KUNIT_EXPECT_EQ_MSG(test, names_then[i], names(folio[i]), "page %lu", places[i]);
	}
	expect_valid(m);
	close_now(&snapshot);
	KUNIT_EXPECT_EQ(test, freed + LAST - FIRST + 1, COUNT(pages_freed));
	KUNIT_EXPECT_EQ(test, 1L, names(folio[0]));
	KUNIT_EXPECT_EQ(test, 1L, names(folio[N - 2]));
	KUNIT_EXPECT_EQ(test, 1L, names(folio[N - 1]));
	/* Now all that is left. */
	cowmem_test_punch(m->file, 0, (places[N - 1] + 1) * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, freed + N, COUNT(pages_freed));
	expect_valid(m);
}

/* The same, restored: leaves that lie within the range are shared, those at its ends copied. */
static void a_range_is_restored(struct kunit *test)
{
	static const unsigned long places[] = {10, 12, 20, 1020, 1030, 2050, 2060, 2070};
	enum { FIRST = 1, LAST = 5, N = ARRAY_SIZE(places) };
	struct mapping *m = test->priv;
	unsigned long count, freed;
	struct folio *folio[N];

	for (unsigned int i = 0; i < N; i++) {
		write_page(test, m->file, places[i], 0x11);
		folio[i] = own_of(m->file, places[i]);
	}
	snapshot = snapshot_of(m, ANY);
	for (unsigned int i = 0; i < N; i++)
		write_page(test, m->file, places[i], 0x22);
	/* What the snapshot has not: in a leaf that it has, in another, and in another inner node. */
	write_page(test, m->file, 21, 0x22);
	write_page(test, m->file, 500, 0x22);
	write_page(test, m->file, 1500, 0x22);
	count = cowmem_test_count(m->file);
	freed = COUNT(pages_freed);
	KUNIT_EXPECT_EQ(test, 0,
	                cowmem_test_restore_range(m->file, snapshot, places[FIRST], places[LAST]));
	/* The count moves for each end, and for each inner node by itself. */
	KUNIT_EXPECT_EQ(test, count + 4 * 2, cowmem_test_count(m->file));
	KUNIT_EXPECT_EQ(test, freed + LAST - FIRST + 1 + 3, COUNT(pages_freed));
	for (unsigned int i = 0; i < N; i++) {
		const bool within = i >= FIRST && i <= LAST;
		/* A name for each leaf: that of the snapshot, and what the ends have copied. */
		const bool copied = i == FIRST || i == LAST;

		KUNIT_EXPECT_PTR_EQ(test, folio[i], shared_of(m, snapshot, places[i]));
		if (within)
			KUNIT_EXPECT_PTR_EQ(test, folio[i], shared_of(m, m->file, places[i]));
		else
			KUNIT_EXPECT_EQ(test, 0x22, byte_of(own_of(m->file, places[i]), 0));
		KUNIT_EXPECT_EQ_MSG(test, copied ? 2L : 1L, names(folio[i]), "page %lu", places[i]);
	}
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, 21));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, 500));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, 1500));
	expect_own(test, m->file, (const unsigned long[]){places[0], places[6], places[7]}, 3);
	/* A leaf that is shared is copied by who writes there. */
	write_page(test, m->file, places[2], 0x33);
	KUNIT_EXPECT_PTR_EQ(test, folio[2], shared_of(m, snapshot, places[2]));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(folio[2], 0));
	expect_own(test, m->file,
	           (const unsigned long[]){places[0], places[2], places[6], places[7]}, 4);
	expect_valid(m);
	/* Nothing differs there: nothing is done. */
	count = cowmem_test_count(m->file);
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore_range(m->file, snapshot, 32, places[LAST]));
	KUNIT_EXPECT_EQ(test, count, cowmem_test_count(m->file));
}

/* From and to trees of other heights, and none; leaves are shared whatever the heights. */
static void a_range_of_another_height(struct kunit *test)
{
	static const unsigned long low = 3, high = 65536;
	struct mapping *m = test->priv;
	struct file *first = snapshot_of(m, ANY);
	struct folio *folio;

	write_page(test, m->file, low, 0x11);
	/* What is behind an end within the page is zeroed when the object grows: that were a write. */
	KUNIT_ASSERT_EQ(test, 0, write_byte(m->file, (low + 1) * PAGE_SIZE - 1, 0));
	folio = own_of(m->file, low);
	KUNIT_ASSERT_NOT_NULL(test, folio);
	snapshot = snapshot_of(m, ANY);
	write_page(test, m->file, high, 0x22);
	write_page(test, m->file, low + 1, 0x22);
	/* Of one leaf alone into a high one. */
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore_range(m->file, snapshot, 0, 15));
	KUNIT_EXPECT_PTR_EQ(test, folio, shared_of(m, m->file, low));
	KUNIT_EXPECT_EQ(test, 1L, names(folio));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, low + 1));
	expect_own(test, m->file, &high, 1);
	made = snapshot_of(m, ANY);
	/* Of none. */
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore_range(m->file, first, 0, high));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, low));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, high));
	expect_own(test, m->file, NULL, 0);
	/* Of a high one into none: what lies within the size. */
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore_range(m->file, made, 0, high - 1));
	KUNIT_EXPECT_PTR_EQ(test, folio, shared_of(m, m->file, low));
	KUNIT_EXPECT_EQ(test, 1L, names(folio));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, high));
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore_range(m->file, made, high, high + 100));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(shared_of(m, m->file, high), 0));
	expect_valid(m);
	close_now(&first);
}

/* --- names --- */

enum { A, B, C, OUT, NAMED };

static void expect_names(struct kunit *test, struct folio *const *folio, long a, long b, long c)
{
	KUNIT_EXPECT_EQ(test, a, names(folio[A]));
	KUNIT_EXPECT_EQ(test, b, names(folio[B]));
	KUNIT_EXPECT_EQ(test, c, names(folio[C]));
}

/* The object, a snapshot and a clone have one leaf, until each writes a page there. */
static void a_leaf_of_three(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long copied, over, freed, clones;
	struct cowmem_page_out out;
	struct folio *folio[NAMED], *again;

	for (pgoff_t index = 0; index < NAMED; index++) {
		write_page(test, m->file, index, 0x11);
		folio[index] = own_of(m->file, index);
	}
	snapshot = snapshot_of(m, ANY);
	made = clone_of(m);
	expect_names(test, folio, 1, 1, 1);
	copied = COUNT(pages_copied_up);
	over = COUNT(pages_taken_over);
	write_page(test, m->file, A, 0x22);
	expect_names(test, folio, 1, 2, 2);
	KUNIT_EXPECT_EQ(test, 1L, names(own_of(m->file, A)));
	write_page(test, made, B, 0x33);
	expect_names(test, folio, 2, 2, 3);
	KUNIT_EXPECT_EQ(test, copied + 2, COUNT(pages_copied_up));
	KUNIT_EXPECT_PTR_EQ(test, folio[A], shared_of(m, made, A));
	KUNIT_EXPECT_PTR_EQ(test, folio[B], shared_of(m, m->file, B));
	/* What goes out does so for all, and comes back for all, into its slot, which is its name. */
	cowmem_test_page_out(m->file, OUT, OUT, true, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(m->file, OUT));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(snapshot, OUT));
	KUNIT_EXPECT_NULL(test, cowmem_test_seen(made, OUT));
	clones = mapping_map_of(m, made, NAMED, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0x11, peek(clones + OUT * PAGE_SIZE));
	again = shared_of(m, made, OUT);
	KUNIT_ASSERT_NOT_NULL(test, again);
	KUNIT_EXPECT_PTR_EQ(test, again, shared_of(m, m->file, OUT));
	KUNIT_EXPECT_PTR_EQ(test, again, shared_of(m, snapshot, OUT));
	KUNIT_EXPECT_EQ(test, 1L, names(again));
	expect_valid(m);
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(clones, NAMED * PAGE_SIZE));
	freed = COUNT(pages_freed);
	close_now(&snapshot);
	expect_names(test, folio, 1, 1, 2);
	KUNIT_EXPECT_EQ(test, freed, COUNT(pages_freed));
	/* The last who sees a page has it for its own, and writes it as it is. */
	write_page(test, m->file, B, 0x44);
	KUNIT_EXPECT_EQ(test, over + 1, COUNT(pages_taken_over));
	KUNIT_EXPECT_EQ(test, copied + 2, COUNT(pages_copied_up));
	KUNIT_EXPECT_PTR_EQ(test, folio[B], own_of(m->file, B));
	KUNIT_EXPECT_EQ(test, 0x33, byte_of(own_of(made, B), 0));
	expect_valid(m);
}

/* What nobody else sees goes with who closes, or is cut. */
static void each_is_closed(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct folio *folio[NAMED];
	unsigned long freed;

	for (pgoff_t index = 0; index < NAMED; index++) {
		write_page(test, m->file, index, 0x11);
		folio[index] = own_of(m->file, index);
	}
	snapshot = snapshot_of(m, ANY);
	made = clone_of(m);
	write_page(test, m->file, A, 0x22);
	write_page(test, made, A, 0x33);
	write_page(test, made, B, 0x33);
	expect_names(test, folio, 1, 2, 3);
	freed = COUNT(pages_freed);
	close_now(&made);
	expect_names(test, folio, 1, 2, 2);
	KUNIT_EXPECT_EQ(test, freed + 2, COUNT(pages_freed));
	cowmem_test_resize(m->file, 0);
	KUNIT_EXPECT_EQ(test, freed + 3, COUNT(pages_freed));
	expect_names(test, folio, 1, 1, 1);
	KUNIT_EXPECT_PTR_EQ(test, folio[A], shared_of(m, snapshot, A));
	expect_valid(m);
	close_now(&snapshot);
	KUNIT_EXPECT_EQ(test, freed + 3 + NAMED, COUNT(pages_freed));
}

/* --- the count, and who waits --- */

static void only_what_holds_the_lock_alone_is_counted(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared, clones, count, clones_count, over;
	struct file *second;

	SHOWS(test, "R29");
	shared = mapping_map(m, 4, MAP_SHARED);
	for (pgoff_t index = 0; index < 4; index++)
		KUNIT_ASSERT_EQ(test, 0, poke(shared + index * PAGE_SIZE, 0x11));
	count = cowmem_test_count(m->file);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_EQ(test, count + 2, cowmem_test_count(m->file));
	made = clone_of(m);
	KUNIT_EXPECT_EQ(test, count + 4, cowmem_test_count(m->file));
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore(m->file, snapshot));
	KUNIT_EXPECT_EQ(test, count + 6, cowmem_test_count(m->file));
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, count + 8, cowmem_test_count(m->file));
	cowmem_test_resize(m->file, 3 * PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, count + 10, cowmem_test_count(m->file));
	/* A copy, and what a relative does. */
	clones = mapping_map_of(m, made, 4, MAP_SHARED);
	clones_count = cowmem_test_count(made);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + PAGE_SIZE, 0x22));
	KUNIT_EXPECT_EQ(test, 0, poke(clones + PAGE_SIZE, 0x33));
	KUNIT_EXPECT_EQ(test, clones_count, cowmem_test_count(made));
	second = cowmem_test_snapshot(made, ANY);
	KUNIT_ASSERT_NOT_NULL(test, second);
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore(made, second));
	cowmem_test_punch(made, 0, PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, clones_count + 6, cowmem_test_count(made));
	close_now(&second);
	close_now(&snapshot);
	/* Nobody else sees it: it is taken as it is. */
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(clones, 4 * PAGE_SIZE));
	close_now(&made);
	over = COUNT(pages_taken_over);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + 2 * PAGE_SIZE, 0x44));
	KUNIT_EXPECT_EQ(test, over + 1, COUNT(pages_taken_over));
	KUNIT_EXPECT_EQ(test, count + 10, cowmem_test_count(m->file));
}

/* The clone's mapping, by locked faults and not, and its ioctls. */
static void do_what_a_relative_does(struct other *o)
{
	struct file *second;

	o->result = peek(o->address);
	o->result |= poke(o->address, 0x22);
	cowmem_parameters.speculate_read = cowmem_parameters.speculate_shared_write = false;
	o->result |= peek(o->address + PAGE_SIZE) | poke(o->address + PAGE_SIZE, 0x22);
	o->result |= write_byte(made, 2 * PAGE_SIZE, 0x22);
	second = cowmem_test_snapshot(made, ANY);
	o->result |= second ? cowmem_test_restore(made, second) : -ENOMEM;
	cowmem_test_punch(made, 0, PAGE_SIZE);
	close_now(&second);
}

static void a_relative_does_not_wait_for(struct kunit *test, struct file **holder)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 3, MAP_SHARED);

	for (pgoff_t index = 0; index < 3; index++)
		KUNIT_ASSERT_EQ(test, 0, poke(shared + index * PAGE_SIZE, 0x11));
	snapshot = snapshot_of(m, ANY);
	made = clone_of(m);
	other.address = mapping_map_of(m, made, 3, MAP_SHARED);
	cowmem_test_lock(*holder);
	other_start(&other, m, do_what_a_relative_does);
	KUNIT_EXPECT_TRUE(test, other_ends(&other));
	cowmem_test_unlock(*holder);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0x11, other.result);
	for (pgoff_t index = 0; index < 3; index++)
		KUNIT_EXPECT_EQ(test, 0x11, peek(shared + index * PAGE_SIZE));
}

static void a_clone_does_not_wait_for_its_origin(struct kunit *test)
{
	a_relative_does_not_wait_for(test, &((struct mapping *)test->priv)->file);
}

static void a_clone_does_not_wait_for_a_snapshot(struct kunit *test)
{
	a_relative_does_not_wait_for(test, &snapshot);
}

static void dedupe_page(struct other *o)
{
	o->result = cowmem_test_dedupe(made, o->mapping->file, 0, 0);
}

static void dedupe_then(struct mapping *m, struct vm_fault *vmf)
{
	other_start(&other, m, dedupe_page);
	KUNIT_EXPECT_TRUE(m->test, other_ends(&other));
}

/* FIDEDUPERANGE leaves alone what a fault is about to map to be written. */
static void deduplication_leaves_what_a_fault_maps(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long clones;

	write_page(test, m->file, 0, 0x11);
	made = clone_of(m);
	write_page(test, made, 0, 0x11);
	KUNIT_ASSERT_NOT_NULL(test, own_of(made, 0));
	cowmem_parameters.speculate_shared_write = false;
	clones = mapping_map_of(m, made, 1, MAP_SHARED);
	mapping_at(m, STEP_ANSWERED, dedupe_then);
	KUNIT_EXPECT_EQ(test, 0, poke(clones, 0x22));
	KUNIT_ASSERT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, 0x22, peek(clones));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(own_of(made, 0), 0));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(cowmem_test_seen(m->file, 0), 0));
}

static void empty_page(struct other *o)
{
	cowmem_test_empty_again(o->mapping->file, 0, 0);
}

static void empty_then(struct mapping *m, struct vm_fault *vmf)
{
	other_start(&other, m, empty_page);
	KUNIT_EXPECT_TRUE(m->test, other_ends(&other));
}

/* A fallocate() that undoes takes no page of zeros that a fault is about to map to be written. */
static void undoing_leaves_what_a_fault_maps(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED);

	write_page(test, m->file, 0, 0);
	KUNIT_ASSERT_NOT_NULL(test, own_of(m->file, 0));
	cowmem_parameters.speculate_shared_write = false;
	mapping_at(m, STEP_ANSWERED, empty_then);
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x22));
	KUNIT_ASSERT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0x22, peek(a));
	KUNIT_ASSERT_NOT_NULL(test, own_of(m->file, 0));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(own_of(m->file, 0), 0));
}

/* Nor does it leave what went out as zeroes. */
static void undoing_takes_what_is_out(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct cowmem_page_out out;

	write_page(test, m->file, 0, 0);
	write_page(test, m->file, 1, 0x11);
	cowmem_test_page_out(m->file, 0, 1, true, &out);
	KUNIT_ASSERT_EQ(test, 2ULL, out.out);
	KUNIT_ASSERT_EQ(test, 2UL, cowmem_test_slots(m->file));
	cowmem_test_empty_again(m->file, 0, 1);
	KUNIT_EXPECT_EQ(test, 1UL, cowmem_test_slots(m->file));
	KUNIT_EXPECT_EQ(test, 0x11, peek(mapping_map(m, 2, MAP_SHARED) + PAGE_SIZE));
}

/* A page that holds data stays, and zeroes on both sides of it go. */
static void undoing_takes_runs(struct kunit *test)
{
	struct mapping *m = test->priv;

	for (unsigned long i = 0; i < 40; i++)
		write_page(test, m->file, i, i == 21 ? 0x11 : 0);
	cowmem_test_empty_again(m->file, 2, 37);
	for (unsigned long i = 0; i < 40; i++)
		KUNIT_EXPECT_EQ(test, i < 2 || i == 21 || i > 37, !!own_of(m->file, i));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(own_of(m->file, 21), 0));
}

static void let_it_copy(struct mapping *m, struct vm_fault *vmf)
{
	other_start(&other, m, other_write);
	KUNIT_EXPECT_TRUE(m->test, other_ends(&other));
}

/* Nor does a copy wait for a fault in another page, which has the lock, too. */
static void copies_share_the_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), copied = COUNT(pages_copied_up);

	KUNIT_ASSERT_EQ(test, 0, poke(a, 0x11));
	KUNIT_ASSERT_EQ(test, 0, poke(a + PAGE_SIZE, 0x11));
	snapshot = snapshot_of(m, ANY);
	cowmem_parameters.speculate_private = false;
	will_write(m->file, 1, 1);
	mapping_at(m, COWMEM_STEP_COPIED, let_it_copy);
	KUNIT_EXPECT_EQ(test, 0, poke(mapping_map(m, 2, MAP_PRIVATE), 0x22));
	KUNIT_ASSERT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, copied + 1, COUNT(pages_copied_up));
}

/* --- a read fault that has found what is copied then --- */

static void copied_at(struct kunit *test, int step, enum cowmem_counter reason)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), b = mapping_map(m, 2, MAP_SHARED);
	unsigned long count, before;
	struct folio *frozen;

	SHOWS(test, "R32 R33");
	KUNIT_ASSERT_EQ(test, 0, poke(a, 0x11));
	KUNIT_ASSERT_EQ(test, 0, poke(a + PAGE_SIZE, 0x11));
	KUNIT_ASSERT_EQ(test, 0x11, peek(b + PAGE_SIZE));
	snapshot = snapshot_of(m, ANY);
	frozen = shared_of(m, m->file, 0);
	KUNIT_ASSERT_NOT_NULL(test, frozen);
	KUNIT_EXPECT_TRUE(test, maps(m, a, frozen));
	count = cowmem_test_count(m->file);
	before = cowmem_counter_sum(reason);
	other.result = -1;
	will_write(m->file, 0, 1);
	other_at_until(&other, m, step, other_write, is_written);
	KUNIT_EXPECT_EQ(test, 0x11, peek(b));
	KUNIT_ASSERT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, before + 1, cowmem_counter_sum(reason));
	KUNIT_EXPECT_EQ(test, count, cowmem_test_count(m->file));
	KUNIT_EXPECT_TRUE(test, maps(m, a, own_of(m->file, 0)));
	KUNIT_EXPECT_TRUE(test, maps(m, b, own_of(m->file, 0)));
	KUNIT_EXPECT_EQ(test, 0xee, peek(b + 1));
	/* The snapshot's leaf has it, and nobody else. */
	KUNIT_EXPECT_PTR_EQ(test, frozen, shared_of(m, snapshot, 0));
	KUNIT_EXPECT_EQ(test, 1L, names(frozen));
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(frozen));
	KUNIT_EXPECT_EQ(test, 0, folio_mapcount(frozen));
	KUNIT_EXPECT_EQ(test, 0, byte_of(frozen, 1));
}

static void a_page_that_is_copied_after_the_look_up(struct kunit *test)
{
	copied_at(test, COWMEM_STEP_SNAPSHOT, COWMEM_COUNT_speculative_abort_shared);
}

static void a_page_that_is_copied_under_the_pte_lock(struct kunit *test)
{
	copied_at(test, COWMEM_STEP_TABLE_LOCKED, COWMEM_COUNT_speculative_abort_shared);
}

static void a_page_that_is_copied_beside_the_locked_path(struct kunit *test)
{
	cowmem_parameters.speculate_read = false;
	copied_at(test, COWMEM_STEP_LOOKED_UP, COWMEM_COUNT_lost_races);
}

static struct kunit_case tree_cases[] = {
	KUNIT_CASE(a_snapshot_has_the_same_tree),
	KUNIT_CASE(a_tree_grows),
	KUNIT_CASE(a_shared_tree_grows),
	KUNIT_CASE(a_range_is_punched),
	KUNIT_CASE(a_range_is_restored),
	KUNIT_CASE(a_range_of_another_height),
	KUNIT_CASE(a_leaf_of_three),
	KUNIT_CASE(each_is_closed),
	KUNIT_CASE(only_what_holds_the_lock_alone_is_counted),
	KUNIT_CASE(a_clone_does_not_wait_for_its_origin),
	KUNIT_CASE(a_clone_does_not_wait_for_a_snapshot),
	KUNIT_CASE(deduplication_leaves_what_a_fault_maps),
	KUNIT_CASE(undoing_leaves_what_a_fault_maps),
	KUNIT_CASE(undoing_takes_what_is_out),
	KUNIT_CASE(undoing_takes_runs),
	KUNIT_CASE(copies_share_the_lock),
	KUNIT_CASE(a_page_that_is_copied_after_the_look_up),
	KUNIT_CASE(a_page_that_is_copied_under_the_pte_lock),
	KUNIT_CASE(a_page_that_is_copied_beside_the_locked_path),
	{},
};

static struct kunit_suite tree_suite = {
	.name = "cowmem_tree",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = tree_cases,
};
kunit_test_suite(tree_suite);
