// SPDX-License-Identifier: GPL-2.0
/*
 * Who writes a page otherwise than through a page table, and marks it as the kernel's own writers
 * do, while PAGEMAP clears what says so; and a page-out at the same time.
 */
#include <linux/mmu_notifier.h>
#include <linux/pagemap.h>

#include "relatives.h"

static unsigned long at;

/* Whether PAGEMAP calls the first page dirty. */
static bool is_dirty(struct mapping *m)
{
	struct cowmem_page page;

	cowmem_test_describe(m->file, 0, 0, &page);
	return page.flags & COWMEM_PAGE_DIRTY;
}

static bool clear(struct mapping *m)
{
	struct cowmem_page page;

	cowmem_test_describe(m->file, 0, COWMEM_PAGEMAP_CLEAR_DIRTY, &page);
	return page.flags & COWMEM_PAGE_DIRTY;
}

/* One page of 0x11, which is dirty. */
static struct mapping *dirty_page(struct kunit *test)
{
	struct mapping *m = test->priv;

	at = mapping_source(m, 1, 0x11);
	KUNIT_EXPECT_EQ(test, 0, write_byte(m->file, 1, 0x22));
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(mapping_folio(m, 0)));
	return m;
}

/* As KVM does for its guest, which asks nobody whether the page is dirty already. */
static void a_mark_that_was_there_already_is_told(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	for (int twice = 0; twice < 2; twice++) {
		KUNIT_EXPECT_TRUE(test, clear(m));
		KUNIT_EXPECT_FALSE(test, is_dirty(m));
		folio_set_dirty(mapping_folio(m, 0));
		KUNIT_EXPECT_TRUE(test, is_dirty(m));
	}
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, clear(m));
}

#ifdef CONFIG_MMU_NOTIFIER
static struct folio *of_guest; /* which it may write, or none */

static int lose_permission(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	if (of_guest && range->event == MMU_NOTIFY_PROTECTION_PAGE)
		folio_set_dirty(xchg(&of_guest, NULL));
	return 0;
}

static const struct mmu_notifier_ops guest_ops = {.invalidate_range_start = lose_permission};

/* KVM says what its guest wrote when it loses the permission, and that is when it is told. */
static void what_a_guest_wrote_is_told_once(struct kunit *test)
{
	struct mmu_notifier guest = {.ops = &guest_ops};
	struct mapping *m = dirty_page(test);

	of_guest = mapping_folio(m, 0);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_EQ(test, 0, poke(at, 0x44));
	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&guest, m->mm));
	KUNIT_EXPECT_TRUE(test, clear(m));
	mmu_notifier_unregister(&guest, m->mm);
	KUNIT_EXPECT_NULL(test, of_guest);
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}
#endif

/* The same, and then the page is a snapshot's, too. */
static void a_mark_outlives_a_snapshot(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	KUNIT_EXPECT_TRUE(test, clear(m));
	folio_set_dirty(mapping_folio(m, 0));
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_NOT_NULL(test, shared_of(m, m->file, 0));
	KUNIT_EXPECT_TRUE(test, is_dirty(m));
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}

/* As O_DIRECT does: bio_set_pages_dirty() before, bio_check_pages_dirty() behind. */
static void a_transfer_over_the_clearing_is_told(struct kunit *test)
{
	struct mapping *m = dirty_page(test);
	struct page *page;

	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_ASSERT_EQ(test, 1, pin_user_pages_fast(at, 1, FOLL_WRITE, &page));
	set_page_dirty_lock(page);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_TRUE(test, clear(m));
	/* Somebody else marks it meanwhile, and so the transfer does not. */
	set_page_dirty_lock(page);
	memset(page_address(page) + 2, 0x33, 1);
	KUNIT_EXPECT_TRUE(test, PageDirty(page));
	unpin_user_page(page);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
	KUNIT_EXPECT_EQ(test, 0x33, peek(at + 2));
}

/* A pin may be for a write, which the page says nothing of until it is done. */
static void a_pin_is_told(struct kunit *test)
{
	struct mapping *m = dirty_page(test);
	struct page *page;

	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_ASSERT_EQ(test, 1, pin_user_pages_fast(at, 1, 0, &page));
	KUNIT_EXPECT_TRUE(test, is_dirty(m));
	unpin_user_page(page);
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
	KUNIT_ASSERT_EQ(test, 1, pin_user_pages_fast(at, 1, 0, &page));
	KUNIT_EXPECT_TRUE(test, clear(m));
	unpin_user_page(page);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}

/* --- while the store has the bytes, and the page is still mapped --- */
static struct cowmem_page_out out;
static bool told;

static void clear_now(struct mapping *m, struct vm_fault *vmf)
{
	told = clear(m);
}

static void ask_now(struct mapping *m, struct vm_fault *vmf)
{
	told = is_dirty(m);
}

/* As KVM writes it. */
static void write_and_clear(struct mapping *m, struct vm_fault *vmf)
{
	struct folio *folio = mapping_folio(m, 0);

	memset(folio_address(folio) + 2, 0x33, 1);
	folio_set_dirty(folio);
	told = clear(m);
}

static void page_out(struct mapping *m, void (*turn)(struct mapping *m, struct vm_fault *vmf))
{
	told = false;
	mapping_at(m, COWMEM_STEP_STORED, turn);
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	KUNIT_EXPECT_NULL(m->test, m->turn);
	KUNIT_EXPECT_TRUE(m->test, told);
}

/* What page-out has taken from the page is not to be had: it is told then, and later. */
static void what_is_going_out_is_told_later(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_EQ(test, 0, poke(at, 0x44));
	page_out(m, clear_now);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
	KUNIT_EXPECT_EQ(test, 0x44, peek(at));
}

/* Who only asks is told the same. */
static void what_is_going_out_may_have_changed(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	KUNIT_EXPECT_TRUE(test, clear(m));
	page_out(m, ask_now);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}

/* Later is also when it is not there any more. */
static void what_was_going_out_is_told_when_it_is_gone(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	page_out(m, clear_now);
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}

/* And a mark that it looks for is left, or what was written would go. */
static void clearing_hides_no_write_from_page_out(struct kunit *test)
{
	struct mapping *m = dirty_page(test);

	KUNIT_EXPECT_TRUE(test, clear(m));
	page_out(m, write_and_clear);
	KUNIT_EXPECT_EQ(test, 0ULL, out.out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.busy);
	KUNIT_EXPECT_EQ(test, 0x33, peek(at + 2));
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, 0x33, peek(at + 2));
	KUNIT_EXPECT_TRUE(test, clear(m));
	KUNIT_EXPECT_FALSE(test, is_dirty(m));
}

static struct kunit_case dirty_cases[] = {
	KUNIT_CASE(a_mark_that_was_there_already_is_told),
#ifdef CONFIG_MMU_NOTIFIER
	KUNIT_CASE(what_a_guest_wrote_is_told_once),
#endif
	KUNIT_CASE(a_mark_outlives_a_snapshot),
	KUNIT_CASE(a_transfer_over_the_clearing_is_told),
	KUNIT_CASE(a_pin_is_told),
	KUNIT_CASE(what_is_going_out_is_told_later),
	KUNIT_CASE(what_is_going_out_may_have_changed),
	KUNIT_CASE(what_was_going_out_is_told_when_it_is_gone),
	KUNIT_CASE(clearing_hides_no_write_from_page_out),
	{},
};

static struct kunit_suite dirty_suite = {
	.name = "cowmem_dirty",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = dirty_cases,
};

kunit_test_suites(&dirty_suite);
