// SPDX-License-Identifier: GPL-2.0
/*
 * Every way a fault can end, over a real mm: what the handler answers, what it
 * leaves mapped, referenced and locked.
 */
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/sched/coredump.h>

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static void expect_untouched_source(struct mapping *m, unsigned long shared, u8 value)
{
	struct folio *source = mapping_folio(m, 0);

	KUNIT_ASSERT_NOT_NULL(m->test, source);
	KUNIT_EXPECT_EQ(m->test, value, peek(shared));
	/* The table's reference and the shared mapping's. */
	KUNIT_EXPECT_EQ(m->test, 2, folio_ref_count(source));
	KUNIT_EXPECT_FALSE(m->test, folio_test_locked(source));
}

static void private_write_is_done_by_the_handler(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 1, 0x11);
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE);
	unsigned long copies = COUNT(copies), locks = COUNT(page_locks);
	pte_t pte;

	SHOWS(test, "R1 R2 R5 R8 R11 R12 R16");
	m->faults = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_TRUE(test, m->fault.had_cow_page);
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	KUNIT_EXPECT_EQ(test, 0, m->fault.locks_held);
	KUNIT_EXPECT_EQ(test, 0U, m->fault.allocations);
	KUNIT_EXPECT_EQ(test, copies + 1, COUNT(copies));
	KUNIT_EXPECT_EQ(test, locks, COUNT(page_locks));

	pte = mapping_pte(m, private);
	KUNIT_EXPECT_TRUE(test, pte_present(pte) && pte_write(pte) && pte_dirty(pte));
	KUNIT_EXPECT_EQ(test, pte_pfn(pte), page_to_pfn(m->cow_page));
	KUNIT_EXPECT_TRUE(test, PageAnon(m->cow_page) && PageAnonExclusive(m->cow_page));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
	expect_untouched_source(m, shared, 0x11);
}

static void private_write_to_a_hole_takes_no_page_of_the_object(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE);
	unsigned long zero_fills = COUNT(zero_fills), pages = COUNT(pages_allocated);

	SHOWS(test, "R2");
	KUNIT_EXPECT_EQ(test, 0, poke(private + 100, 0x22));
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	KUNIT_EXPECT_EQ(test, zero_fills + 1, COUNT(zero_fills));
	KUNIT_EXPECT_EQ(test, pages, COUNT(pages_allocated));
	KUNIT_EXPECT_EQ(test, 0, peek(private + 99));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 100));
}

static void private_write_can_be_left_to_the_core(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 1, 0x11), private, copies = COUNT(copies);

	SHOWS(test, "R3 R5 R12 R16");
	cowmem_test_set_cow(m->file, COWMEM_COW_CORE);
	private = mapping_map(m, 1, MAP_PRIVATE);
	m->faults = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_TRUE(test, m->fault.had_cow_page);
	EXPECT_CODE(test, VM_FAULT_LOCKED, m->fault.code);
	KUNIT_EXPECT_TRUE(test, m->fault.page_set && m->fault.page_locked);
	KUNIT_EXPECT_EQ(test, 0, m->fault.locks_held);
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
	expect_untouched_source(m, shared, 0x11);
}

static void two_mappings_of_one_object_copy_in_their_own_way(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long by_handler, by_core;

	SHOWS(test, "R4");
	mapping_source(m, 1, 0x11);
	by_handler = mapping_map(m, 1, MAP_PRIVATE);
	cowmem_test_set_cow(m->file, COWMEM_COW_CORE);
	by_core = mapping_map(m, 1, MAP_PRIVATE);
	KUNIT_EXPECT_EQ(test, 0, poke(by_core + 1, 0x22));
	EXPECT_CODE(test, VM_FAULT_LOCKED, m->fault.code);
	KUNIT_EXPECT_EQ(test, 0, poke(by_handler + 1, 0x22));
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	for (unsigned long i = 0; i < PAGE_SIZE; i++)
		if (peek(by_handler + i) != peek(by_core + i))
			KUNIT_FAIL(test, "they differ at byte %lu", i);
}

static void read_fault_returns_the_page_locked(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 1, MAP_SHARED);

	SHOWS(test, "R1 R5 R16");
	KUNIT_EXPECT_EQ(test, 0, peek(shared));
	KUNIT_EXPECT_FALSE(test, m->fault.had_cow_page);
	EXPECT_CODE(test, VM_FAULT_LOCKED, m->fault.code);
	KUNIT_EXPECT_TRUE(test, m->fault.page_set && m->fault.page_locked);
	KUNIT_EXPECT_EQ(test, 0, m->fault.locks_held);
	KUNIT_EXPECT_FALSE(test, pte_write(mapping_pte(m, shared)));
	expect_untouched_source(m, shared, 0);
}

static void shared_write_passes_page_mkwrite_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 1, MAP_SHARED), locks = COUNT(page_locks);

	SHOWS(test, "R1 R17");
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x33));
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	KUNIT_EXPECT_FALSE(test, m->fault.had_cow_page);
	KUNIT_EXPECT_FALSE(test, m->mkwrite.had_cow_page);
	EXPECT_CODE(test, VM_FAULT_LOCKED, m->mkwrite.code);
	KUNIT_EXPECT_TRUE(test, m->mkwrite.page_locked);
	/* One in fault, one in page_mkwrite: the core unlocks in between. */
	KUNIT_EXPECT_EQ(test, locks + 2, COUNT(page_locks));
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, shared)));
	KUNIT_EXPECT_FALSE(test, folio_test_locked(mapping_folio(m, 0)));
}

static void first_store_after_a_read_takes_one_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 1, MAP_SHARED), locks;

	SHOWS(test, "R17");
	KUNIT_EXPECT_EQ(test, 0, peek(shared));
	locks = COUNT(page_locks);
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x33));
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, locks + 1, COUNT(page_locks));
	KUNIT_EXPECT_EQ(test, 0x33, peek(shared));
}

static void a_read_only_entry_is_replaced_not_doubled(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 1, 0x11);
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE);
	pte_t before, after;

	SHOWS(test, "R8");
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	before = mapping_pte(m, private);
	KUNIT_EXPECT_EQ(test, pte_pfn(before), folio_pfn(mapping_folio(m, 0)));
	KUNIT_EXPECT_FALSE(test, pte_write(before));
	KUNIT_EXPECT_EQ(test, 2, folio_mapcount(mapping_folio(m, 0)));
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	after = mapping_pte(m, private);
	KUNIT_EXPECT_NE(test, pte_pfn(after), pte_pfn(before));
	KUNIT_EXPECT_TRUE(test, pte_write(after));
	KUNIT_EXPECT_EQ(test, 1, folio_mapcount(mapping_folio(m, 0)));
	expect_untouched_source(m, shared, 0x11);
}

/* A fault that fails: this answer, nothing mapped, nothing held, cow_page freed. */
static void expect_failed_private_write(struct mapping *m, unsigned long private, vm_fault_t code)
{
	KUNIT_EXPECT_EQ(m->test, -EFAULT, poke(private, 0x22));
	EXPECT_CODE(m->test, code, m->fault.code);
	KUNIT_EXPECT_EQ(m->test, 0, m->fault.locks_held);
	KUNIT_EXPECT_FALSE(m->test, m->fault.page_set);
	KUNIT_EXPECT_TRUE(m->test, pte_none(mapping_pte(m, private)));
	KUNIT_EXPECT_EQ(m->test, 1, page_ref_count(m->cow_page));
}

static void beyond_the_end_is_sigbus(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 2, 0x11);
	unsigned long private = mapping_map(m, 2, MAP_PRIVATE);
	unsigned long before = COUNT(beyond_end);

	SHOWS(test, "R9 R12");
	cowmem_test_resize(m->file, PAGE_SIZE);
	expect_failed_private_write(m, private + PAGE_SIZE, VM_FAULT_SIGBUS);
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(shared + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(shared + PAGE_SIZE, 1));
	KUNIT_EXPECT_EQ(test, before + 3, COUNT(beyond_end));
	KUNIT_EXPECT_EQ(test, 0, poke(private, 1));
}

static void a_poisoned_source_is_reported_not_copied(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long copies = COUNT(copies), private, other;

	SHOWS(test, "R9 R10 R12");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	other = mapping_map(m, 1, MAP_SHARED);
	SetPageHWPoison(folio_page(mapping_folio(m, 0), 0));
	expect_failed_private_write(m, private, VM_FAULT_HWPOISON);
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(other));
	EXPECT_CODE(test, VM_FAULT_HWPOISON, m->fault.code);
	ClearPageHWPoison(folio_page(mapping_folio(m, 0), 0));
	KUNIT_EXPECT_EQ(test, 0, poke(private, 1));
}

static void make_unstable(struct mapping *m, struct vm_fault *vmf)
{
	mm_flags_set(MMF_UNSTABLE, m->mm);
}

static void a_reaped_address_space_gets_nothing_installed(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(address_space_gone);

	SHOWS(test, "R9 R12");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_COPIED, make_unstable);
	expect_failed_private_write(m, private, VM_FAULT_SIGBUS);
	mm_flags_clear(MMF_UNSTABLE, m->mm);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(address_space_gone));
	KUNIT_EXPECT_EQ(test, 0, poke(private, 1));
}

static void a_private_write_ignores_the_source_s_page_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private;
	struct folio *source;

	SHOWS(test, "R14");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	source = mapping_folio(m, 0);
	folio_lock(source);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_TRUE(test, folio_test_locked(source));
	folio_unlock(source);
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
}

static void note_whether_locked(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_FALSE(m->test, folio_test_locked(mapping_folio(m, 0)));
	KUNIT_EXPECT_TRUE(m->test, pte_none(*pte_offset_kernel(vmf->pmd, vmf->address)));
	m->step = -1;
}

static void the_source_is_unlocked_at_the_install(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private;

	SHOWS(test, "R15");
	mapping_source(m, 2, 0x11);
	private = mapping_map(m, 2, MAP_PRIVATE);
	/* Page 1 first, so that the page table of page 0 is there to look at. */
	KUNIT_EXPECT_EQ(test, 0, poke(private + PAGE_SIZE, 0x22));
	mapping_at(m, COWMEM_STEP_COPIED, note_whether_locked);
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	KUNIT_EXPECT_EQ(test, -1, m->step);
}

static struct kunit_case fault_cases[] = {
	KUNIT_CASE(private_write_is_done_by_the_handler),
	KUNIT_CASE(private_write_to_a_hole_takes_no_page_of_the_object),
	KUNIT_CASE(private_write_can_be_left_to_the_core),
	KUNIT_CASE(two_mappings_of_one_object_copy_in_their_own_way),
	KUNIT_CASE(read_fault_returns_the_page_locked),
	KUNIT_CASE(shared_write_passes_page_mkwrite_once),
	KUNIT_CASE(first_store_after_a_read_takes_one_lock),
	KUNIT_CASE(a_read_only_entry_is_replaced_not_doubled),
	KUNIT_CASE(beyond_the_end_is_sigbus),
	KUNIT_CASE(a_poisoned_source_is_reported_not_copied),
	KUNIT_CASE(a_reaped_address_space_gets_nothing_installed),
	KUNIT_CASE(a_private_write_ignores_the_source_s_page_lock),
	KUNIT_CASE(the_source_is_unlocked_at_the_install),
	{},
};

static struct kunit_suite fault_suite = {
	.name = "cowmem_fault",
	.init = mapping_init,
	.exit = mapping_exit,
	.test_cases = fault_cases,
};
kunit_test_suite(fault_suite);
