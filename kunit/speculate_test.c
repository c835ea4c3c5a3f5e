// SPDX-License-Identifier: GPL-2.0
/*
 * The speculative path: it holds nothing, and a writer at any point between the
 * look-up and the commit has it give up and leave no trace.
 */
#include <linux/delay.h>
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/sched/coredump.h>
#include <linux/set_memory.h>

#include "kernel/symbols.h"

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static struct other other;

/* --- it takes no lock --- */

static DECLARE_COMPLETION(held);
static DECLARE_COMPLETION(release);

static void hold_locks(struct other *holder)
{
	struct folio *folio = mapping_folio(holder->mapping, 0);

	cowmem_test_lock(holder->mapping->file);
	folio_lock(folio);
	complete(&held);
	wait_for_completion(&release);
	folio_unlock(folio);
	cowmem_test_unlock(holder->mapping->file);
}

/*
 * Another thread has the object's lock and its page's: whoever wanted one of them now
 * would wait for ever.
 */
static void lock_everything(struct mapping *m)
{
	reinit_completion(&held);
	reinit_completion(&release);
	other_start(&other, m, hold_locks);
	wait_for_completion(&held);
}

static void unlock_everything(struct mapping *m)
{
	complete(&release);
	other_finish(&other);
}

/* Two pages; the second is touched, so that the first one's page table is there. */
static unsigned long map_beside(struct mapping *m, unsigned long flags)
{
	unsigned long address = mapping_map(m, 2, flags);

	KUNIT_ASSERT_EQ(m->test, 0x11, peek(address + PAGE_SIZE));
	return address;
}

static void expect_committed(struct mapping *m, unsigned long attempts, unsigned long commits)
{
	KUNIT_EXPECT_EQ(m->test, attempts + 1, COUNT(speculative_attempts));
	KUNIT_EXPECT_EQ(m->test, commits + 1, COUNT(speculative_commits));
	KUNIT_EXPECT_EQ(m->test, 0U, m->fault.allocations);
	KUNIT_EXPECT_EQ(m->test, 0, m->fault.locks_held);
}

static void a_private_write_holds_no_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long attempts, commits, private, locks;
	long rss;

	SHOWS(test, "R14 R42 R44");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	attempts = COUNT(speculative_attempts);
	commits = COUNT(speculative_commits);
	locks = COUNT(page_locks);
	rss = mapping_rss(m);
	lock_everything(m);
	m->faults = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	unlock_everything(m);
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	expect_committed(m, attempts, commits);
	KUNIT_EXPECT_EQ(test, locks, COUNT(page_locks));
	KUNIT_EXPECT_EQ(test, rss + 1, mapping_rss(m));
	KUNIT_EXPECT_TRUE(test, PageAnon(m->cow_page) && PageAnonExclusive(m->cow_page));
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(mapping_folio(m, 0)));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

static void a_read_holds_no_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long attempts, commits, again;
	long rss;

	SHOWS(test, "R42");
	mapping_source(m, 2, 0x11);
	again = map_beside(m, MAP_SHARED);
	attempts = COUNT(speculative_attempts);
	commits = COUNT(speculative_commits);
	rss = mapping_rss(m);
	lock_everything(m);
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	unlock_everything(m);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	expect_committed(m, attempts, commits);
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, again)));
	KUNIT_EXPECT_FALSE(test, pte_dirty(mapping_pte(m, again)));
	KUNIT_EXPECT_EQ(test, rss + 1, mapping_rss(m));
	KUNIT_EXPECT_EQ(test, 3, folio_ref_count(mapping_folio(m, 0)));
	KUNIT_EXPECT_EQ(test, 2, folio_mapcount(mapping_folio(m, 0)));
}

static void a_shared_write_holds_no_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared, attempts, commits, again;
	pte_t pte;

	SHOWS(test, "R42");
	shared = mapping_source(m, 2, 0x11);
	again = map_beside(m, MAP_SHARED);
	attempts = COUNT(speculative_attempts);
	commits = COUNT(speculative_commits);
	lock_everything(m);
	m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(again, 0x22));
	unlock_everything(m);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	KUNIT_EXPECT_EQ(test, 0U, m->mkwrites);
	expect_committed(m, attempts, commits);
	pte = mapping_pte(m, again);
	KUNIT_EXPECT_TRUE(test, pte_write(pte) && pte_dirty(pte));
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared));
}

static void a_write_after_a_read_holds_no_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared, again;
	pte_t pte;

	SHOWS(test, "R42");
	shared = mapping_source(m, 1, 0x11);
	again = mapping_map(m, 1, MAP_SHARED);
	cowmem_parameters.reuse = false;
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	lock_everything(m);
	m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(again, 0x22));
	unlock_everything(m);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->mkwrite.code);
	KUNIT_EXPECT_EQ(test, 0U, m->mkwrite.allocations);
	pte = mapping_pte(m, again);
	KUNIT_EXPECT_TRUE(test, pte_write(pte) && pte_dirty(pte));
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared));
	KUNIT_EXPECT_EQ(test, 3, folio_ref_count(mapping_folio(m, 0)));
}

/* --- a writer in between --- */

static void truncate_now(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_resize(m->file, PAGE_SIZE);
}

static void punch_now(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
}

/*
 * A whole writer section at @step; or, where the PTE lock is held, one that has begun, and
 * waits for it. The page is the second of two: gone when the locked path looks for it.
 */
static void truncation_at(struct kunit *test, int step, unsigned long flags,
                          enum cowmem_counter reason)
{
	struct mapping *m = test->priv;
	unsigned long address, commits, aborts, retries, copies, freed, count;
	long rss;

	mapping_source(m, 2, 0x11);
	address = mapping_map(m, 2, flags);
	KUNIT_ASSERT_EQ(test, 0x11, peek(address));
	commits = COUNT(speculative_commits);
	aborts = cowmem_counter_sum(reason);
	retries = COUNT(locked_retries);
	copies = COUNT(copies);
	freed = COUNT(pages_freed);
	count = cowmem_test_count(m->file);
	rss = mapping_rss(m);
	other.bytes = PAGE_SIZE;
	other_at(&other, m, step, other_resize);
	m->faults = 0;
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(address + PAGE_SIZE, 0x22));
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	EXPECT_CODE(test, VM_FAULT_SIGBUS, m->fault.code);
	KUNIT_EXPECT_EQ(test, commits, COUNT(speculative_commits));
	KUNIT_EXPECT_EQ(test, aborts + 1, cowmem_counter_sum(reason));
	KUNIT_EXPECT_EQ(test, retries + 1, COUNT(locked_retries));
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_EQ(test, freed + 1, COUNT(pages_freed));
	KUNIT_EXPECT_EQ(test, count + 2, cowmem_test_count(m->file));
	/* Less the page that mapping_source() had mapped there. */
	KUNIT_EXPECT_EQ(test, rss - 1, mapping_rss(m));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address + PAGE_SIZE)));
	KUNIT_EXPECT_EQ(test, 0, m->fault.locks_held);
	if (m->cow_page)
		KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
}

#define TRUNCATION_AT(name, step, flags, reason)                                           \
	static void name(struct kunit *test)                                               \
	{                                                                                  \
		SHOWS(test, "R18 R29 R32 R33 R36");                                        \
		truncation_at(test, step, flags, COWMEM_COUNT_speculative_abort_##reason); \
	}

TRUNCATION_AT(private_write_writer_before_look_up, COWMEM_STEP_COUNT_READ, MAP_PRIVATE, end)
TRUNCATION_AT(private_write_writer_after_look_up, COWMEM_STEP_SNAPSHOT, MAP_PRIVATE, snapshot)
TRUNCATION_AT(private_write_writer_after_copy, COWMEM_STEP_PREPARED, MAP_PRIVATE, changed)
TRUNCATION_AT(private_write_writer_under_pte_lock, COWMEM_STEP_TABLE_LOCKED, MAP_PRIVATE, changed)
TRUNCATION_AT(shared_write_writer_before_look_up, COWMEM_STEP_COUNT_READ, MAP_SHARED, end)
TRUNCATION_AT(shared_write_writer_after_look_up, COWMEM_STEP_SNAPSHOT, MAP_SHARED, snapshot)
TRUNCATION_AT(shared_write_writer_under_pte_lock, COWMEM_STEP_TABLE_LOCKED, MAP_SHARED, changed)

/* A punch leaves a hole: what the locked path finds is that, not the old page. */
static void private_write_punch_after_copy(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, aborts, copies = COUNT(copies), zero_fills = COUNT(zero_fills);

	SHOWS(test, "R32 R33");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	aborts = COUNT(speculative_abort_changed);
	mapping_at(m, COWMEM_STEP_PREPARED, punch_now);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, aborts + 1, COUNT(speculative_abort_changed));
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_EQ(test, zero_fills + 1, COUNT(zero_fills));
	KUNIT_EXPECT_EQ(test, 0, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

static void truncate_all(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_resize(m->file, 0);
}

/* The entry that page_mkwrite was called for is gone: neither written nor put back. */
static void write_after_a_read_writer_after_look_up(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared, aborts = COUNT(speculative_abort_snapshot);

	SHOWS(test, "R18 R32 R33");
	shared = mapping_map(m, 1, MAP_SHARED);
	cowmem_parameters.reuse = false;
	KUNIT_ASSERT_EQ(test, 0, peek(shared));
	mapping_at(m, COWMEM_STEP_SNAPSHOT, truncate_all);
	m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(shared, 0x22));
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, aborts + 1, COUNT(speculative_abort_snapshot));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, shared)));
}

/*
 * A writer asleep inside its section: it waits for a page lock. Who reads the count
 * now does not spin, it goes and waits for the object's lock.
 */
static void an_odd_count_means_the_locked_path(struct kunit *test)
{
	struct mapping *m = test->priv;
	static struct other writer;
	unsigned long private, odd, retries;
	struct folio *last;

	SHOWS(test, "R29 R30 R31");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	last = mapping_folio(m, 1);
	folio_get(last);
	folio_lock(last);
	writer.bytes = PAGE_SIZE;
	other_start(&writer, m, other_resize);
	KUNIT_ASSERT_TRUE(test, other_is_blocked(&writer));
	KUNIT_EXPECT_EQ(test, 1UL, cowmem_test_count(m->file) % 2);
	odd = COUNT(speculative_abort_odd);
	retries = COUNT(locked_retries);
	other.address = private;
	other_start(&other, m, other_poke);
	KUNIT_EXPECT_TRUE(test, other_is_blocked(&other));
	KUNIT_EXPECT_EQ(test, odd + 1, COUNT(speculative_abort_odd));
	KUNIT_EXPECT_EQ(test, retries + 1, COUNT(locked_retries));
	folio_unlock(last);
	folio_put(last);
	other_finish(&writer);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, odd + 1, COUNT(speculative_abort_odd));
	KUNIT_EXPECT_EQ(test, 0xee, peek(private));
}

/* --- page tables that are missing, or go --- */

static pmd_t taken_away;

static void put_the_table_back(struct mapping *m, struct vm_fault *vmf)
{
	*vmf->pmd = taken_away;
}

static void take_the_table_away(struct mapping *m, struct vm_fault *vmf)
{
	taken_away = *vmf->pmd;
	pmd_clear(vmf->pmd);
	mapping_at(m, COWMEM_STEP_LOCKED, put_the_table_back);
}

static void a_page_table_that_goes_means_the_locked_path(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, no_table, retries;

	SHOWS(test, "R33 R39");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	no_table = COUNT(speculative_abort_no_table);
	retries = COUNT(locked_retries);
	mapping_at(m, COWMEM_STEP_PREPARED, take_the_table_away);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, no_table + 1, COUNT(speculative_abort_no_table));
	KUNIT_EXPECT_EQ(test, retries + 1, COUNT(locked_retries));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

/*
 * Where a mapping has pages of the object, which are @value, and no page table for them.
 * It has those on either side, so that nothing else is missing.
 */
static unsigned long map_without_table(struct mapping *m, unsigned long flags, u8 value)
{
	const unsigned long pages = 3 * PTRS_PER_PTE;
	unsigned long source = mapping_map(m, pages, MAP_SHARED);
	unsigned long start = mapping_map(m, pages, flags);
	unsigned long address = round_up(start + 1, PMD_SIZE);

	KUNIT_ASSERT_EQ(m->test, 0, poke(source, value));
	KUNIT_ASSERT_EQ(m->test, 0, poke(source + (address - start), value));
	KUNIT_ASSERT_EQ(m->test, 0, poke(source + (address - start) + PAGE_SIZE, value));
	KUNIT_ASSERT_EQ(m->test, value, peek(start));
	KUNIT_ASSERT_EQ(m->test, 0, peek(address + PMD_SIZE));
	return address;
}

/* Memory of the mm's page tables, in tables of PTEs. */
static unsigned long tables(struct mapping *m)
{
	return mm_pgtables_bytes(m->mm) / (PTRS_PER_PTE * sizeof(pte_t));
}

static void a_missing_table_is_put_in(struct kunit *test, unsigned long flags, vm_fault_t code)
{
	struct mapping *m = test->priv;
	unsigned long address = map_without_table(m, flags, 0x11);
	unsigned long attempts = COUNT(speculative_attempts), commits = COUNT(speculative_commits);
	unsigned long copies = COUNT(copies), before = tables(m);

	lock_everything(m);
	m->faults = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(address + 1, 0x22));
	unlock_everything(m);
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	EXPECT_CODE(test, code, m->fault.code);
	expect_committed(m, attempts, commits);
	KUNIT_EXPECT_EQ(test, copies + (flags == MAP_PRIVATE), COUNT(copies));
	KUNIT_EXPECT_EQ(test, before + 1, tables(m));
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, address)));
	KUNIT_EXPECT_EQ(test, 0x11, peek(address));
	KUNIT_EXPECT_EQ(test, 0x22, peek(address + 1));
}

static void a_private_write_puts_the_missing_table_in(struct kunit *test)
{
	SHOWS(test, "R2 R42 R44");
	a_missing_table_is_put_in(test, MAP_PRIVATE, VM_FAULT_DONE_COW);
}

static void a_shared_write_puts_the_missing_table_in(struct kunit *test)
{
	SHOWS(test, "R42");
	a_missing_table_is_put_in(test, MAP_SHARED, VM_FAULT_NOPAGE);
}

/* All that a writer in between leaves of the attempt is the table, with nothing in it. */
static void a_table_put_in_too_late_stays_empty(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address = map_without_table(m, MAP_PRIVATE, 0x11);
	unsigned long changed = COUNT(speculative_abort_changed), before = tables(m);

	SHOWS(test, "R18 R32 R33");
	mapping_at(m, COWMEM_STEP_PREPARED, truncate_now);
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(address, 0x22));
	EXPECT_CODE(test, VM_FAULT_SIGBUS, m->fault.code);
	KUNIT_EXPECT_EQ(test, changed + 1, COUNT(speculative_abort_changed));
	KUNIT_EXPECT_EQ(test, before + 1, tables(m));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address)));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
}

static void let_other_put_the_table_in(struct mapping *m, struct vm_fault *vmf)
{
	other.address = vmf->address + PAGE_SIZE;
	other_start(&other, m, other_poke);
	other_finish(&other);
}

/* Each has a table allocated: the slower one's goes back, and its page into the other's. */
static void two_that_miss_a_table_share_one(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long address = map_without_table(m, MAP_PRIVATE, 0x11);
	unsigned long commits = COUNT(speculative_commits), before = tables(m);

	SHOWS(test, "R7 R33");
	mapping_at(m, COWMEM_STEP_PREPARED, let_other_put_the_table_in);
	KUNIT_EXPECT_EQ(test, 0, poke(address, 0x22));
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, commits + 2, COUNT(speculative_commits));
	KUNIT_EXPECT_EQ(test, before + 1, tables(m));
	KUNIT_EXPECT_EQ(test, 0x22, peek(address));
	KUNIT_EXPECT_EQ(test, 0xee, peek(address + PAGE_SIZE));
}

/* --- other doubts --- */

static void make_unstable(struct mapping *m, struct vm_fault *vmf)
{
	mm_flags_set(MMF_UNSTABLE, m->mm);
}

static void a_reaped_address_space_gets_nothing(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(speculative_abort_reaped);

	SHOWS(test, "R33");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_PREPARED, make_unstable);
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(private, 0x22));
	mm_flags_clear(MMF_UNSTABLE, m->mm);
	EXPECT_CODE(test, VM_FAULT_SIGBUS, m->fault.code);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(speculative_abort_reaped));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, private)));
}

static void let_other_store(struct mapping *m, struct vm_fault *vmf)
{
	other.address = vmf->address;
	other_start(&other, m, other_poke);
	other_finish(&other);
}

/* Nothing is wrong, somebody was faster: that is an answer, and no reason to lock. */
static void the_slower_of_two_private_writes_retries(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, lost = COUNT(lost_races), retries, copies = COUNT(copies);

	SHOWS(test, "R7 R8 R9");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	retries = COUNT(locked_retries);
	mapping_at(m, COWMEM_STEP_PREPARED, let_other_store);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, 0, other.result);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	KUNIT_EXPECT_EQ(test, lost + 1, COUNT(lost_races));
	KUNIT_EXPECT_EQ(test, retries, COUNT(locked_retries));
	KUNIT_EXPECT_EQ(test, copies + 1, COUNT(copies));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
	KUNIT_EXPECT_EQ(test, 0xee, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

static void a_poisoned_page_is_left_to_the_locked_path(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(speculative_abort_poisoned);

	SHOWS(test, "R10 R33");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	SetPageHWPoison(folio_page(mapping_folio(m, 0), 0));
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(private, 0x22));
	EXPECT_CODE(test, VM_FAULT_HWPOISON, m->fault.code);
	ClearPageHWPoison(folio_page(mapping_folio(m, 0), 0));
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(speculative_abort_poisoned));
}

#ifdef CONFIG_X86
/* Has every access to the memory of @folio fault, or none, as one to damaged memory does. */
static void set_damaged(struct kunit *test, struct folio *folio, bool damaged)
{
	typeof(set_memory_np) *set = (typeof(set_memory_np) *)cowmem_symbol_find(
		damaged ? "set_memory_np" : "set_memory_p");

	KUNIT_ASSERT_NOT_NULL(test, set);
	KUNIT_ASSERT_EQ(test, 0, set((unsigned long)folio_address(folio), 1));
}

/* The kernel's memory failure code hears of it, and marks the page, a little later. */
static bool becomes_poisoned(struct folio *folio)
{
	for (int i = 0; i < 500 && !folio_test_hwpoison(folio); i++)
		msleep(20);
	return folio_test_hwpoison(folio);
}

/*
 * A private write whose copy meets damaged memory, in the second page of two. That is
 * what it is @answered, or the page has been truncated by then.
 */
static void write_from_damaged(struct kunit *test, bool answered, vm_fault_t code)
{
	struct mapping *m = test->priv;
	unsigned long private, copies = COUNT(copies), commits, poisoned, changed, retries;
	struct folio *source;

	if (!boot_cpu_has(X86_FEATURE_ERMS))
		kunit_skip(test, "the kernel's copy does not recover on this CPU");
	mapping_source(m, 2, 0x11);
	private = mapping_map(m, 2, MAP_PRIVATE);
	source = mapping_folio(m, 1);
	folio_get(source);
	set_damaged(test, source, true);
	commits = COUNT(speculative_commits);
	poisoned = COUNT(poisoned);
	changed = COUNT(speculative_abort_changed);
	retries = COUNT(locked_retries);
	if (!answered)
		mapping_at(m, COWMEM_STEP_PREPARED, truncate_now);
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(private + PAGE_SIZE, 0x22));
	set_damaged(test, source, false);
	EXPECT_CODE(test, code, m->fault.code);
	KUNIT_EXPECT_EQ(test, commits + answered, COUNT(speculative_commits));
	KUNIT_EXPECT_EQ(test, poisoned + answered, COUNT(poisoned));
	KUNIT_EXPECT_EQ(test, changed + !answered, COUNT(speculative_abort_changed));
	KUNIT_EXPECT_EQ(test, retries + !answered, COUNT(locked_retries));
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, private + PAGE_SIZE)));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
	KUNIT_EXPECT_TRUE(test, becomes_poisoned(source));
	folio_put(source);
}

static void damaged_memory_is_read_once(struct kunit *test)
{
	SHOWS(test, "R10 R33");
	write_from_damaged(test, true, VM_FAULT_HWPOISON);
}

static void damaged_memory_that_is_gone_is_no_answer(struct kunit *test)
{
	SHOWS(test, "R10 R32 R33");
	write_from_damaged(test, false, VM_FAULT_SIGBUS);
}
#endif

static void a_hole_is_filled_and_mapped_at_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 3, MAP_SHARED), commits, locks;
	pte_t pte;

	SHOWS(test, "R23 R44");
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x11));
	commits = COUNT(speculative_commits);
	locks = COUNT(page_locks);
	KUNIT_EXPECT_EQ(test, 0, peek(shared + PAGE_SIZE));
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	pte = mapping_pte(m, shared + PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, pte_present(pte) && pte_write(pte) && !pte_dirty(pte));
	m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(shared + 2 * PAGE_SIZE, 0x22));
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	pte = mapping_pte(m, shared + 2 * PAGE_SIZE);
	KUNIT_EXPECT_TRUE(test, pte_present(pte) && pte_write(pte) && pte_dirty(pte));
	KUNIT_EXPECT_EQ(test, 0U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, commits + 2, COUNT(speculative_commits));
	KUNIT_EXPECT_EQ(test, locks, COUNT(page_locks));
	KUNIT_EXPECT_EQ(test, pte_pfn(pte), folio_pfn(mapping_folio(m, 2)));
	/* The table's reference and the mapping's. */
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(mapping_folio(m, 2)));
}

static void punch_the_second_page(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_punch(m->file, PAGE_SIZE, PAGE_SIZE);
}

/* What was put into the hole is gone before it is mapped: it must not be mapped then. */
static void a_filled_hole_that_is_punched_is_not_mapped(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 2, MAP_SHARED), aborts, freed;

	SHOWS(test, "R32 R33");
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x11));
	aborts = COUNT(speculative_abort_shared);
	freed = COUNT(pages_freed);
	mapping_at(m, COWMEM_STEP_PREPARED, punch_the_second_page);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + PAGE_SIZE, 0x22));
	KUNIT_EXPECT_NULL(test, m->turn);
	/* It is not the object's own any more. */
	KUNIT_EXPECT_EQ(test, aborts + 1, COUNT(speculative_abort_shared));
	KUNIT_EXPECT_EQ(test, freed + 1, COUNT(pages_freed));
	KUNIT_EXPECT_EQ(test, pte_pfn(mapping_pte(m, shared + PAGE_SIZE)),
	                folio_pfn(mapping_folio(m, 1)));
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared + PAGE_SIZE));
}

static void each_kind_can_be_switched_off(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, shared, attempts;

	SHOWS(test, "R44");
	mapping_source(m, 2, 0x11);
	private = map_beside(m, MAP_PRIVATE);
	shared = map_beside(m, MAP_SHARED);
	attempts = COUNT(speculative_attempts);
	cowmem_parameters.speculate_private = false;
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	KUNIT_EXPECT_EQ(test, attempts, COUNT(speculative_attempts));
	cowmem_parameters.speculate_read = false;
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	KUNIT_EXPECT_EQ(test, attempts, COUNT(speculative_attempts));
	cowmem_parameters.speculate_shared_write = false;
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x22));
	KUNIT_EXPECT_EQ(test, attempts, COUNT(speculative_attempts));
}

static struct kunit_case speculate_cases[] = {
	KUNIT_CASE(a_private_write_holds_no_lock),
	KUNIT_CASE(a_read_holds_no_lock),
	KUNIT_CASE(a_shared_write_holds_no_lock),
	KUNIT_CASE(a_write_after_a_read_holds_no_lock),
	KUNIT_CASE(private_write_writer_before_look_up),
	KUNIT_CASE(private_write_writer_after_look_up),
	KUNIT_CASE(private_write_writer_after_copy),
	KUNIT_CASE(private_write_writer_under_pte_lock),
	KUNIT_CASE(private_write_punch_after_copy),
	KUNIT_CASE(shared_write_writer_before_look_up),
	KUNIT_CASE(shared_write_writer_after_look_up),
	KUNIT_CASE(shared_write_writer_under_pte_lock),
	KUNIT_CASE(write_after_a_read_writer_after_look_up),
	KUNIT_CASE(an_odd_count_means_the_locked_path),
	KUNIT_CASE(a_page_table_that_goes_means_the_locked_path),
	KUNIT_CASE(a_private_write_puts_the_missing_table_in),
	KUNIT_CASE(a_shared_write_puts_the_missing_table_in),
	KUNIT_CASE(a_table_put_in_too_late_stays_empty),
	KUNIT_CASE(two_that_miss_a_table_share_one),
	KUNIT_CASE(a_reaped_address_space_gets_nothing),
	KUNIT_CASE(the_slower_of_two_private_writes_retries),
	KUNIT_CASE(a_poisoned_page_is_left_to_the_locked_path),
#ifdef CONFIG_X86
	KUNIT_CASE(damaged_memory_is_read_once),
	KUNIT_CASE(damaged_memory_that_is_gone_is_no_answer),
#endif
	KUNIT_CASE(a_hole_is_filled_and_mapped_at_once),
	KUNIT_CASE(a_filled_hole_that_is_punched_is_not_mapped),
	KUNIT_CASE(each_kind_can_be_switched_off),
	{},
};

static struct kunit_suite speculate_suite = {
	.name = "cowmem_speculate",
	.init = mapping_init_speculative,
	.exit = mapping_exit,
	.test_cases = speculate_cases,
};
kunit_test_suite(speculate_suite);
