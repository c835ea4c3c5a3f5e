// SPDX-License-Identifier: GPL-2.0
/*
 * Fault-around: which pages it maps, and every reason to pass one over, brought about
 * between the two steps where it can come up.
 */
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/sched/coredump.h>

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

#define PAGES 4UL /* of the object; the candidate that something happens to is page 0 */

static struct other other;

/* Everything there is to say about page 0 before and after: nothing may be left over. */
struct before {
	int references, mapcount;
	unsigned long mapped, skipped, locks, around_locks;
	long rss;
};

static struct before note(struct mapping *m, enum cowmem_counter reason)
{
	struct folio *folio = mapping_folio(m, 0);

	return (struct before){
		.references = folio_ref_count(folio),
		.mapcount = folio_mapcount(folio),
		.mapped = COUNT(around_mapped),
		.skipped = cowmem_counter_sum(reason),
		.locks = COUNT(page_locks),
		.around_locks = COUNT(around_page_locks),
		.rss = mapping_rss(m),
	};
}

/* A window of @pages around a read of page @at; which of them are mapped then, as bits. */
static unsigned long read_around(struct mapping *m, unsigned long address, unsigned int at,
                                 unsigned int pages)
{
	unsigned long bits = 0;

	KUNIT_EXPECT_EQ(m->test, 0x11, peek(address + at * PAGE_SIZE));
	for (unsigned int i = 0; i < pages; i++)
		if (pte_present(mapping_pte(m, address + i * PAGE_SIZE)))
			bits |= 1UL << i;
	return bits;
}

/* --- one candidate is passed over, for one reason, at one step --- */

static struct folio *changed; /* page 0, to be put right again */

static void lock_it(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_TRUE(m->test, folio_trylock(changed));
}

static void unlock_it(struct mapping *m)
{
	folio_unlock(changed);
}

static int frozen;

static void freeze_it(struct mapping *m, struct vm_fault *vmf)
{
	frozen = folio_ref_count(changed);
	KUNIT_EXPECT_TRUE(m->test, folio_ref_freeze(changed, frozen));
}

static void unfreeze_it(struct mapping *m)
{
	folio_ref_unfreeze(changed, frozen);
}

static void take_it_out(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_TRUE(m->test, cowmem_test_exchange(m->file, 0, changed, NULL));
}

static void put_it_back(struct mapping *m)
{
	KUNIT_EXPECT_TRUE(m->test, cowmem_test_exchange(m->file, 0, NULL, changed));
}

static void make_it_stale(struct mapping *m, struct vm_fault *vmf)
{
	folio_clear_uptodate(changed);
}

static void make_it_uptodate(struct mapping *m)
{
	folio_mark_uptodate(changed);
}

static void poison_it(struct mapping *m, struct vm_fault *vmf)
{
	SetPageHWPoison(folio_page(changed, 0));
}

static void cure_it(struct mapping *m)
{
	ClearPageHWPoison(folio_page(changed, 0));
}

static void disown_it(struct mapping *m, struct vm_fault *vmf)
{
	WRITE_ONCE(changed->mapping, NULL);
}

static void own_it(struct mapping *m)
{
	WRITE_ONCE(changed->mapping, m->file->f_mapping);
}

static void skipped(struct kunit *test, unsigned long flags, int step,
                    void (*change)(struct mapping *m, struct vm_fault *vmf),
                    void (*restore)(struct mapping *m), enum cowmem_counter reason)
{
	struct mapping *m = test->priv;
	unsigned long address;
	struct before before;

	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, flags);
	changed = mapping_folio(m, 0);
	before = note(m, reason);
	mapping_at(m, step, change);
	KUNIT_EXPECT_EQ(test, 0xeUL, read_around(m, address, 1, PAGES));
	restore(m);
	KUNIT_EXPECT_EQ(test, 1U, m->arounds);
	KUNIT_EXPECT_EQ(test, before.skipped + 1, cowmem_counter_sum(reason));
	KUNIT_EXPECT_EQ(test, before.mapped + 3, COUNT(around_mapped));
	KUNIT_EXPECT_EQ(test, before.references, folio_ref_count(changed));
	KUNIT_EXPECT_EQ(test, before.mapcount, folio_mapcount(changed));
	KUNIT_EXPECT_EQ(test, before.rss + 3, mapping_rss(m));
	KUNIT_EXPECT_EQ(test, before.locks, COUNT(page_locks));
	KUNIT_EXPECT_FALSE(test, folio_test_locked(changed));
	KUNIT_EXPECT_EQ(test, 3, folio_ref_count(mapping_folio(m, 1)));
	KUNIT_EXPECT_EQ(test, 2, folio_mapcount(mapping_folio(m, 1)));
	KUNIT_EXPECT_EQ(test, 0U, m->around.allocations);
	KUNIT_EXPECT_EQ(test, 0, m->around.locks_held);
}

#define SKIPPED(name, flags, step, change, restore, reason)                      \
	static void name(struct kunit *test)                                     \
	{                                                                        \
		SHOWS(test, "R19 R23 R24");                                      \
		skipped(test, flags, COWMEM_STEP_AROUND_##step, change, restore, \
		        COWMEM_COUNT_around_skipped_##reason);                   \
	}

SKIPPED(locked_at_first, MAP_PRIVATE, FOUND, lock_it, unlock_it, locked)
SKIPPED(being_freed, MAP_PRIVATE, UNLOCKED, freeze_it, unfreeze_it, reference)
SKIPPED(gone_from_its_slot, MAP_PRIVATE, REFERENCED, take_it_out, put_it_back, moved)
SKIPPED(locked_after_the_reference, MAP_PRIVATE, STILL_THERE, lock_it, unlock_it, locked_again)
SKIPPED(not_uptodate, MAP_PRIVATE, STILL_THERE, make_it_stale, make_it_uptodate, not_uptodate)
SKIPPED(poisoned, MAP_PRIVATE, STILL_THERE, poison_it, cure_it, poisoned)
SKIPPED(disowned, MAP_PRIVATE, READY, disown_it, own_it, owner)
SKIPPED(disowned_under_the_page_lock, MAP_SHARED, SETTLED, disown_it, own_it, owner)

static void shared_and_locked_is_not_waited_for(struct kunit *test)
{
	SHOWS(test, "R19 R21 R23 R24");
	skipped(test, MAP_SHARED, COWMEM_STEP_AROUND_READY, lock_it, unlock_it,
	        COWMEM_COUNT_around_skipped_trylock);
}

static void lock_free_and_locked_is_passed_over(struct kunit *test)
{
	SHOWS(test, "R19 R22 R23 R24");
	cowmem_parameters.around_shared = COWMEM_AROUND_LOCKFREE;
	skipped(test, MAP_SHARED, COWMEM_STEP_AROUND_STILL_THERE, lock_it, unlock_it,
	        COWMEM_COUNT_around_skipped_locked_again);
}

static void lock_free_and_locked_since_is_undone(struct kunit *test)
{
	SHOWS(test, "R19 R22 R23 R24");
	cowmem_parameters.around_shared = COWMEM_AROUND_LOCKFREE;
	skipped(test, MAP_SHARED, COWMEM_STEP_AROUND_COUNTED, lock_it, unlock_it,
	        COWMEM_COUNT_around_undone);
}

static void lock_free_and_disowned_is_undone(struct kunit *test)
{
	SHOWS(test, "R22 R23");
	cowmem_parameters.around_shared = COWMEM_AROUND_LOCKFREE;
	skipped(test, MAP_SHARED, COWMEM_STEP_AROUND_COUNTED, disown_it, own_it,
	        COWMEM_COUNT_around_undone);
}

static void end_before_it(struct mapping *m, struct vm_fault *vmf)
{
	i_size_write(m->file->f_mapping->host, 0);
}

static void beyond_the_end(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, skips = COUNT(around_skipped_end);

	SHOWS(test, "R19 R23 R25");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_AROUND_SETTLED, end_before_it);
	/* The object may still grow by itself: the locked path has it do so. */
	KUNIT_EXPECT_EQ(test, 0x11, peek(address + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, skips + PAGES, COUNT(around_skipped_end));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address)));
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(mapping_folio(m, 0)));
}

static void what_is_there_is_not_overwritten(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, skips = COUNT(around_skipped_present);

	SHOWS(test, "R19 R25");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	KUNIT_EXPECT_EQ(test, 0, poke(address, 0x22));
	KUNIT_EXPECT_EQ(test, 0xfUL, read_around(m, address, 1, PAGES));
	KUNIT_EXPECT_EQ(test, skips + 1, COUNT(around_skipped_present));
	KUNIT_EXPECT_EQ(test, 0x22, peek(address));
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(mapping_folio(m, 0)));
}

static void make_unstable(struct mapping *m, struct vm_fault *vmf)
{
	mm_flags_set(MMF_UNSTABLE, m->mm);
}

static void a_reaped_address_space_gets_nothing(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, mapped;

	SHOWS(test, "R33");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	mapped = COUNT(around_mapped);
	mapping_at(m, COWMEM_STEP_AROUND_COUNT_READ, make_unstable);
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(address));
	mm_flags_clear(MMF_UNSTABLE, m->mm);
	KUNIT_EXPECT_EQ(test, mapped, COUNT(around_mapped));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address)));
}

/* --- page locks --- */

static void private_mappings_take_no_page_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address;
	struct before before;

	SHOWS(test, "R20 R23 R24");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	before = note(m, COWMEM_COUNT_around_skipped_locked);
	changed = mapping_folio(m, 0);
	/* Locked after the tests: of no interest to a private mapping. */
	mapping_at(m, COWMEM_STEP_AROUND_READY, lock_it);
	KUNIT_EXPECT_EQ(test, 0xfUL, read_around(m, address, 1, PAGES));
	folio_unlock(changed);
	KUNIT_EXPECT_EQ(test, before.mapped + PAGES, COUNT(around_mapped));
	KUNIT_EXPECT_EQ(test, before.locks, COUNT(page_locks));
	KUNIT_EXPECT_EQ(test, before.around_locks, COUNT(around_page_locks));
	KUNIT_EXPECT_EQ(test, before.references + 1, folio_ref_count(changed));
	KUNIT_EXPECT_EQ(test, before.mapcount + 1, folio_mapcount(changed));
	KUNIT_EXPECT_EQ(test, before.rss + (long)PAGES, mapping_rss(m));
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->around.code);
}

static void shared_mappings_try_each_page_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, locks;

	SHOWS(test, "R21");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_SHARED);
	locks = COUNT(around_page_locks);
	KUNIT_EXPECT_EQ(test, 0xfUL, read_around(m, address, 1, PAGES));
	KUNIT_EXPECT_EQ(test, locks + PAGES, COUNT(around_page_locks));
	for (unsigned int i = 0; i < PAGES; i++)
		KUNIT_EXPECT_FALSE(test, folio_test_locked(mapping_folio(m, i)));
}

static void lock_free_takes_none(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, locks;

	SHOWS(test, "R22");
	cowmem_parameters.around_shared = COWMEM_AROUND_LOCKFREE;
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_SHARED);
	locks = COUNT(around_page_locks);
	KUNIT_EXPECT_EQ(test, 0xfUL, read_around(m, address, 1, PAGES));
	KUNIT_EXPECT_EQ(test, locks, COUNT(around_page_locks));
}

static DECLARE_COMPLETION(held);
static DECLARE_COMPLETION(release);

static void hold_every_page(struct other *holder)
{
	for (unsigned int i = 0; i < PAGES; i++)
		folio_lock(mapping_folio(holder->mapping, i));
	complete(&held);
	wait_for_completion(&release);
	for (unsigned int i = 0; i < PAGES; i++)
		folio_unlock(mapping_folio(holder->mapping, i));
}

/* Somebody has every page locked: nothing is mapped around, and yet nobody waits. */
static void no_page_lock_is_waited_for(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, skips;

	SHOWS(test, "R14 R20 R21");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	/* The first fault has the page table made. */
	KUNIT_EXPECT_EQ(test, 0, poke(address + (PAGES - 1) * PAGE_SIZE, 0x22));
	skips = COUNT(around_skipped_locked);
	reinit_completion(&held);
	reinit_completion(&release);
	other_start(&other, m, hold_every_page);
	wait_for_completion(&held);
	KUNIT_EXPECT_EQ(test, 0x11, peek(address));
	KUNIT_EXPECT_EQ(test, 0, poke(address + PAGE_SIZE, 0x22));
	complete(&release);
	other_finish(&other);
	/* All but the one that is mapped already. */
	KUNIT_EXPECT_EQ(test, skips + PAGES - 1, COUNT(around_skipped_locked));
	EXPECT_CODE(test, 0, m->around.code);
}

/* --- a writer in between --- */

/*
 * The truncation is inside its section before the page table is locked: nothing is
 * mapped, and the locked path finds the page gone.
 */
static void a_writer_before_the_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, overtaken = COUNT(around_overtaken), mapped;

	SHOWS(test, "R26 R32");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	mapped = COUNT(around_mapped);
	other.bytes = 0;
	other_at(&other, m, COWMEM_STEP_AROUND_COUNT_READ, other_resize);
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(address + PAGE_SIZE));
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, overtaken + 1, COUNT(around_overtaken));
	KUNIT_EXPECT_EQ(test, mapped, COUNT(around_mapped));
	for (unsigned int i = 0; i < PAGES; i++)
		KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address + i * PAGE_SIZE)));
}

/*
 * It begins while the page table is locked: it waits there, with every candidate still
 * in the table, and then takes what was mapped.
 */
static void a_writer_under_the_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address, mapped, freed;

	SHOWS(test, "R26");
	mapping_source(m, PAGES, 0x11);
	address = mapping_map_around(m, PAGES, MAP_PRIVATE);
	mapped = COUNT(around_mapped);
	freed = COUNT(pages_freed);
	other_at(&other, m, COWMEM_STEP_AROUND_FOUND, other_punch);
	KUNIT_EXPECT_EQ(test, 0x11, peek(address + PAGE_SIZE));
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, mapped + PAGES, COUNT(around_mapped));
	KUNIT_EXPECT_EQ(test, freed + 1, COUNT(pages_freed));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address)));
	KUNIT_EXPECT_EQ(test, 0, peek(address));
}

/* --- the window --- */

/*
 * A read of page 5 of a mapping of 16 pages, of which @resident are there: mapped are
 * @around pages from the aligned address or the mapping's beginning, in one page table.
 */
static void window(struct kunit *test, unsigned int parameter, unsigned long around,
                   unsigned int resident)
{
	enum { AT = 5, ALL = 16 };
	struct mapping *m = test->priv;
	unsigned long address, slot, from, expected = 0;

	cowmem_parameters.around_pages = parameter;
	address = mapping_map_around(m, ALL, MAP_PRIVATE);
	slot = pte_index(address + AT * PAGE_SIZE);
	from = slot - min(slot % around, (unsigned long)AT);
	for (unsigned int i = 0; i < resident; i++) {
		const unsigned long at = slot + i - AT;

		if (at >= from && at < from + around && at < PTRS_PER_PTE)
			expected |= 1UL << i;
	}
	KUNIT_EXPECT_EQ(test, expected, read_around(m, address, AT, ALL));
}

static void the_window_is_what_the_parameter_says(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R25");
	mapping_source(m, 16, 0x11);
	window(test, 0, 1, 16);
	window(test, 1, 1, 16);
	window(test, 2, 2, 16);
	window(test, 3, 2, 16);
	window(test, 4, 4, 16);
	window(test, 8, 8, 16);
	window(test, 16, 16, 16);
	window(test, 512, 512, 16);
	window(test, ~0U, 512, 16);
	/* The object's end is within page 6. */
	cowmem_test_resize(m->file, 7 * PAGE_SIZE - 1);
	window(test, 512, 512, 7);
}

static struct kunit_case around_cases[] = {
	KUNIT_CASE(locked_at_first),
	KUNIT_CASE(being_freed),
	KUNIT_CASE(gone_from_its_slot),
	KUNIT_CASE(locked_after_the_reference),
	KUNIT_CASE(not_uptodate),
	KUNIT_CASE(poisoned),
	KUNIT_CASE(shared_and_locked_is_not_waited_for),
	KUNIT_CASE(disowned),
	KUNIT_CASE(disowned_under_the_page_lock),
	KUNIT_CASE(beyond_the_end),
	KUNIT_CASE(what_is_there_is_not_overwritten),
	KUNIT_CASE(lock_free_and_locked_is_passed_over),
	KUNIT_CASE(lock_free_and_locked_since_is_undone),
	KUNIT_CASE(lock_free_and_disowned_is_undone),
	KUNIT_CASE(a_reaped_address_space_gets_nothing),
	KUNIT_CASE(private_mappings_take_no_page_lock),
	KUNIT_CASE(shared_mappings_try_each_page_lock),
	KUNIT_CASE(lock_free_takes_none),
	KUNIT_CASE(no_page_lock_is_waited_for),
	KUNIT_CASE(a_writer_before_the_lock),
	KUNIT_CASE(a_writer_under_the_lock),
	KUNIT_CASE(the_window_is_what_the_parameter_says),
	{},
};

static struct kunit_suite around_suite = {
	.name = "cowmem_around",
	.init = mapping_init_speculative,
	.exit = mapping_exit,
	.test_cases = around_cases,
};
kunit_test_suite(around_suite);
