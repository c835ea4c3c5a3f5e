// SPDX-License-Identifier: GPL-2.0
/*
 * The windows between the steps of a fault, each with another thread in it: a
 * truncation, a fault at the same address, a fault elsewhere.
 */
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static struct other other;

/* --- truncation while a private write is on its way --- */

static void start_truncation(struct mapping *m, struct vm_fault *vmf)
{
	other.bytes = 0;
	other_start(&other, m, other_resize);
	KUNIT_EXPECT_TRUE(m->test, other_is_blocked(&other));
	KUNIT_EXPECT_EQ(m->test, (loff_t)PAGE_SIZE, i_size_read(m->file->f_mapping->host));
}

/*
 * From the look-up to the install the truncation waits; afterwards it takes the
 * private copy, too, and frees the source.
 */
static void truncation_waits(struct kunit *test, enum cowmem_step step)
{
	struct mapping *m = test->priv;
	unsigned long private, freed = COUNT(pages_freed);

	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, step, start_truncation);
	m->faults = 0;
	/* The store itself, or its retry, may or may not come before the truncation. */
	poke(private, 0x22);
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->first.code);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, freed + 1, COUNT(pages_freed));
	KUNIT_EXPECT_NULL(test, mapping_folio(m, 0));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, private)));
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(private));
}

static void truncation_after_the_lock(struct kunit *test)
{
	SHOWS(test, "R5 R6");
	truncation_waits(test, COWMEM_STEP_LOCKED);
}

static void truncation_after_the_look_up(struct kunit *test)
{
	SHOWS(test, "R5 R6");
	truncation_waits(test, COWMEM_STEP_LOOKED_UP);
}

static void truncation_after_the_copy(struct kunit *test)
{
	SHOWS(test, "R5 R6");
	truncation_waits(test, COWMEM_STEP_COPIED);
}

static void truncation_after_the_install(struct kunit *test)
{
	SHOWS(test, "R5 R6");
	truncation_waits(test, COWMEM_STEP_INSTALLED);
}

static void truncate_now(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_resize(m->file, 0);
}

static void truncation_before_the_lock(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, copies = COUNT(copies);

	SHOWS(test, "R6 R9");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_ENTERED, truncate_now);
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(private, 0x22));
	EXPECT_CODE(test, VM_FAULT_SIGBUS, m->fault.code);
	KUNIT_EXPECT_EQ(test, copies, COUNT(copies));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
}

static void start_truncation_of_locked_page(struct mapping *m, struct vm_fault *vmf)
{
	other.bytes = 0;
	other_start(&other, m, other_resize);
	/* It has the object's lock, has unmapped what was mapped, and waits for the page. */
	KUNIT_EXPECT_TRUE(m->test, other_is_blocked(&other));
	KUNIT_EXPECT_EQ(m->test, (loff_t)0, i_size_read(m->file->f_mapping->host));
}

/*
 * The page that the core copies from is locked until the copy is mapped: a truncation
 * that began in between takes that copy in its second pass.
 */
static void truncation_while_the_core_copies(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private;

	SHOWS(test, "R6");
	mapping_source(m, 1, 0x11);
	cowmem_test_set_cow(m->file, COWMEM_COW_CORE);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, STEP_ANSWERED, start_truncation_of_locked_page);
	m->faults = 0;
	poke(private, 0x22);
	EXPECT_CODE(test, VM_FAULT_LOCKED, m->first.code);
	other_finish(&other);
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, private)));
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(private));
}

/* Of a page that relatives may see, and which may be another's by then, it makes none. */
static void the_core_copies_nothing_that_is_shared(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, copies = COUNT(copies);
	struct file *snapshot;

	mapping_source(m, 1, 0x11);
	snapshot = cowmem_test_snapshot(m->file, ~0UL);
	KUNIT_ASSERT_NOT_NULL(test, snapshot);
	cowmem_test_set_cow(m->file, COWMEM_COW_CORE);
	private = mapping_map(m, 1, MAP_PRIVATE);
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	EXPECT_CODE(test, VM_FAULT_DONE_COW, m->fault.code);
	KUNIT_EXPECT_EQ(test, copies + 1, COUNT(copies));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private));
	filp_close(snapshot, NULL);
}

static void start_punch(struct mapping *m, struct vm_fault *vmf)
{
	other_start(&other, m, other_punch);
	KUNIT_EXPECT_TRUE(m->test, other_is_blocked(&other));
}

/* A punch takes the object's page, not the copy that was made of it. */
static void punch_keeps_the_complete_private_copy(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 1, 0x11);
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE);

	SHOWS(test, "R6");
	mapping_at(m, COWMEM_STEP_LOOKED_UP, start_punch);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
	KUNIT_EXPECT_EQ(test, 0, peek(shared));
}

/* --- truncation before page_mkwrite has the page lock --- */

static void truncation_before_page_mkwrite(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 1, MAP_SHARED), before = COUNT(mkwrite_truncated);

	SHOWS(test, "R18");
	KUNIT_EXPECT_EQ(test, 0, peek(shared));
	mapping_at(m, COWMEM_STEP_MKWRITE, truncate_now);
	KUNIT_EXPECT_EQ(test, -EFAULT, poke(shared, 0x33));
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->mkwrite.code);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(mkwrite_truncated));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, shared)));
}

static void punch_now(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
}

static void punch_before_page_mkwrite(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 1, 0x11), again, before = COUNT(mkwrite_truncated);

	SHOWS(test, "R18");
	again = mapping_map(m, 1, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	mapping_at(m, COWMEM_STEP_MKWRITE, punch_now);
	/* Retried on a fresh page: the store is there, the old content is not. */
	KUNIT_EXPECT_EQ(test, 0, poke(again + 1, 0x33));
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(mkwrite_truncated));
	KUNIT_EXPECT_EQ(test, 0, peek(shared));
	KUNIT_EXPECT_EQ(test, 0x33, peek(shared + 1));
}

/* --- somebody else at the same address --- */

static void let_other_store(struct mapping *m, struct vm_fault *vmf)
{
	other.address = vmf->address;
	other_start(&other, m, other_poke);
	other_finish(&other);
}

static void the_second_of_two_private_writes_loses(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(lost_races), copies = COUNT(copies);

	SHOWS(test, "R7 R8 R9 R13");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	m->faults = 0;
	mapping_at(m, COWMEM_STEP_COPIED, let_other_store);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->fault.code);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(lost_races));
	KUNIT_EXPECT_EQ(test, copies + 2, COUNT(copies));
	/* The loser's page is nobody's but ours; the winner's has both stores. */
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
	KUNIT_EXPECT_NE(test, pte_pfn(mapping_pte(m, private)), page_to_pfn(m->cow_page));
	KUNIT_EXPECT_EQ(test, 0xee, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private + 2));
}

static void let_other_load(struct mapping *m, struct vm_fault *vmf)
{
	other.address = vmf->address;
	other_start(&other, m, other_peek);
	other_finish(&other);
}

/* A read-only entry appeared: dropped, and the retry copies from that entry. */
static void a_read_in_between_is_not_overwritten(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(lost_races);

	SHOWS(test, "R8 R9");
	mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_COPIED, let_other_load);
	KUNIT_EXPECT_EQ(test, 0, poke(private + 1, 0x22));
	KUNIT_EXPECT_EQ(test, 0x11, other.result);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(lost_races));
	KUNIT_EXPECT_EQ(test, 1, page_ref_count(m->cow_page));
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, private)));
	KUNIT_EXPECT_NE(test, pte_pfn(mapping_pte(m, private)), page_to_pfn(m->cow_page));
	KUNIT_EXPECT_EQ(test, 1, folio_mapcount(mapping_folio(m, 0)));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
}

/* --- somebody else at another address --- */

static void let_other_store_elsewhere(struct mapping *m, struct vm_fault *vmf)
{
	other.address = vmf->address + PAGE_SIZE;
	other_start(&other, m, other_poke);
	other_finish(&other);
}

/* In the middle of one private write another one runs from end to end. */
static void private_writes_do_not_exclude_each_other(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private, before = COUNT(done_cow);

	SHOWS(test, "R13");
	mapping_source(m, 2, 0x11);
	private = mapping_map(m, 2, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_LOOKED_UP, let_other_store_elsewhere);
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, before + 2, COUNT(done_cow));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private));
	KUNIT_EXPECT_EQ(test, 0xee, peek(private + PAGE_SIZE));
}

/* --- a fault that waits for the object's lock --- */

static void poke_killably(struct other *at)
{
	allow_signal(SIGKILL);
	other_poke(at);
}

static void peek_killably(struct other *at)
{
	allow_signal(SIGKILL);
	other_peek(at);
}

/* Kills the thread whose fault waits for the object: it is gone while the wait would go on. */
static void kill_in_fault(struct mapping *m, unsigned long address, void (*run)(struct other *))
{
	struct kunit *test = m->test;
	const unsigned long killed = COUNT(killed), majors = COUNT(major_faults);

	other.address = address;
	cowmem_test_lock(m->file);
	other_start(&other, m, run);
	KUNIT_EXPECT_TRUE(test, other_is_blocked(&other));
	KUNIT_EXPECT_EQ(test, killed, COUNT(killed));
	send_sig(SIGKILL, other.task, 1);
	KUNIT_EXPECT_TRUE(test, other_ends(&other));
	cowmem_test_unlock(m->file);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, -EFAULT, other.result);
	KUNIT_EXPECT_EQ(test, killed + 1, COUNT(killed));
	KUNIT_EXPECT_EQ(test, majors, COUNT(major_faults));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address)));
}

static void a_fault_that_waits_for_the_object_can_be_killed(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared, private;
	struct file *snapshot;

	shared = mapping_map(m, 3, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x11));
	snapshot = cowmem_test_snapshot(m->file, ~0UL);
	KUNIT_ASSERT_NOT_NULL(test, snapshot);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + PAGE_SIZE, 0x22));
	private = mapping_map(m, 2, MAP_PRIVATE);
	shared = mapping_map(m, 3, MAP_SHARED);
	kill_in_fault(m, private, poke_killably);
	kill_in_fault(m, shared, poke_killably);
	kill_in_fault(m, shared + PAGE_SIZE, peek_killably);
	kill_in_fault(m, shared + 2 * PAGE_SIZE, poke_killably);
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x33));
	KUNIT_EXPECT_EQ(test, 0x33, peek(private));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + PAGE_SIZE));
	filp_close(snapshot, NULL);
}

/* Kills the thread whose fault waits for what another copies: a snapshot has a limit. */
static void kill_who_waits_for_limits(struct mapping *m, struct vm_fault *vmf)
{
	other_start(&other, m, poke_killably);
	KUNIT_EXPECT_TRUE(m->test, other_is_blocked(&other));
	send_sig(SIGKILL, other.task, 1);
	KUNIT_EXPECT_TRUE(m->test, other_ends(&other));
}

static void a_fault_that_waits_for_limits_can_be_killed(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_source(m, 2, 0x11), again;
	struct file *snapshot = cowmem_test_snapshot(m->file, 2);
	const unsigned long killed = COUNT(killed);
	const u8 byte = 0x22;
	loff_t start = 0;

	KUNIT_ASSERT_NOT_NULL(test, snapshot);
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	again = mapping_map(m, 2, MAP_SHARED);
	other.address = again + PAGE_SIZE;
	mapping_at(m, COWMEM_STEP_LIMITS, kill_who_waits_for_limits);
	KUNIT_EXPECT_EQ(test, 1, kernel_write(m->file, &byte, 1, &start));
	KUNIT_EXPECT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, -EFAULT, other.result);
	KUNIT_EXPECT_EQ(test, killed + 1, COUNT(killed));
	KUNIT_EXPECT_EQ(test, 0x22, peek(again));
	KUNIT_EXPECT_EQ(test, 0x11, peek(again + PAGE_SIZE));
	filp_close(snapshot, NULL);
}

/* --- a call that waits --- */

static struct file *asked, *older;

static void take_snapshot(struct other *at)
{
	struct file *taken = cowmem_test_snapshot(asked, ~0UL);

	at->result = taken ? 0 : -EINTR;
	if (taken)
		filp_close(taken, NULL);
}

static void take_clone(struct other *at)
{
	struct file *taken = cowmem_test_clone(asked);

	at->result = taken ? 0 : -EINTR;
	if (taken)
		filp_close(taken, NULL);
}

static void restore_all(struct other *at)
{
	at->result = cowmem_test_restore(asked, older);
}

static void restore_page(struct other *at)
{
	at->result = cowmem_test_restore_range(asked, older, 0, 0);
}

static void write_one(struct other *at)
{
	const u8 byte = 0xee;
	loff_t start = 0;

	at->result = kernel_write(asked, &byte, 1, &start);
}

static void punch_page(struct other *at)
{
	at->result = cowmem_test_punch(asked, 0, PAGE_SIZE);
}

static void cut_all(struct other *at)
{
	at->result = cowmem_test_resize(asked, 0);
}

static struct {
	void (*run)(struct other *at);
	bool takes_pages, takes_writes; /* which locks it waits for */
} const calls[] = {
	{take_snapshot, true, true}, {take_clone, true, true}, {restore_all, true, true},
	{restore_page, true, false}, {write_one, false, true}, {punch_page, true, false},
	{cut_all, true, false},
};

static void run_killably(struct other *at)
{
	allow_signal(SIGKILL);
	calls[at->address].run(at);
}

/* The thread whose @call waits for a lock that this one has: it is gone while the wait would go on. */
static void kill_in_call(struct mapping *m, unsigned long call)
{
	struct kunit *test = m->test;

	other.address = call;
	other.result = 0;
	other_start(&other, m, run_killably);
	KUNIT_EXPECT_TRUE(test, other_is_blocked(&other));
	send_sig(SIGKILL, other.task, 1);
	KUNIT_EXPECT_TRUE(test, other_ends(&other));
}

static void a_call_that_waits_for_the_object_can_be_killed(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct inode *inode = m->file->f_mapping->host;
	unsigned long shared, snapshots, clones, restores, count;

	asked = m->file;
	shared = mapping_map(m, 1, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x11));
	older = cowmem_test_snapshot(asked, ~0UL);
	KUNIT_ASSERT_NOT_NULL(test, older);
	KUNIT_EXPECT_EQ(test, 0, poke(shared, 0x22));
	snapshots = COUNT(snapshots);
	clones = COUNT(clones);
	restores = COUNT(restores);
	count = cowmem_test_count(asked);
	for (unsigned long call = 0; call < ARRAY_SIZE(calls); call++) {
		if (calls[call].takes_pages) {
			cowmem_test_lock(asked);
			kill_in_call(m, call);
			cowmem_test_unlock(asked);
			other_finish(&other);
			KUNIT_EXPECT_EQ(test, -EINTR, other.result);
		}
		if (calls[call].takes_writes) {
			inode_lock(inode);
			kill_in_call(m, call);
			inode_unlock(inode);
			other_finish(&other);
			KUNIT_EXPECT_EQ(test, -EINTR, other.result);
		}
	}
	KUNIT_EXPECT_EQ(test, snapshots, COUNT(snapshots));
	KUNIT_EXPECT_EQ(test, clones, COUNT(clones));
	KUNIT_EXPECT_EQ(test, restores, COUNT(restores));
	KUNIT_EXPECT_EQ(test, count, cowmem_test_count(asked));
	KUNIT_EXPECT_EQ(test, (loff_t)PAGE_SIZE, i_size_read(inode));
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(m, shared)));
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared));
	filp_close(older, NULL);
}

static struct kunit_case race_cases[] = {
	KUNIT_CASE(a_fault_that_waits_for_the_object_can_be_killed),
	KUNIT_CASE(a_call_that_waits_for_the_object_can_be_killed),
	KUNIT_CASE(a_fault_that_waits_for_limits_can_be_killed),
	KUNIT_CASE(truncation_before_the_lock),
	KUNIT_CASE(truncation_after_the_lock),
	KUNIT_CASE(truncation_after_the_look_up),
	KUNIT_CASE(truncation_after_the_copy),
	KUNIT_CASE(truncation_after_the_install),
	KUNIT_CASE(truncation_while_the_core_copies),
	KUNIT_CASE(the_core_copies_nothing_that_is_shared),
	KUNIT_CASE(punch_keeps_the_complete_private_copy),
	KUNIT_CASE(truncation_before_page_mkwrite),
	KUNIT_CASE(punch_before_page_mkwrite),
	KUNIT_CASE(the_second_of_two_private_writes_loses),
	KUNIT_CASE(a_read_in_between_is_not_overwritten),
	KUNIT_CASE(private_writes_do_not_exclude_each_other),
	{},
};

static struct kunit_suite race_suite = {
	.name = "cowmem_race",
	.init = mapping_init,
	.exit = mapping_exit,
	.test_cases = race_cases,
};
kunit_test_suite(race_suite);
