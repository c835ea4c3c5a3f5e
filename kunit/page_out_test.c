// SPDX-License-Identifier: GPL-2.0
/*
 * Page-out and swap-in over a real mm: who comes by between the steps of a page-out, and
 * what the entry of a page that came back permits.
 */
#include <linux/file.h>
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include "mapping.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static struct cowmem_page_out out, inner;

/* Pages the first page out, used or not. */
static unsigned long page_out(struct mapping *m)
{
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	return out.out;
}

/* --- somebody comes by while the store has the bytes, and the page is still mapped --- */

/* The page's address; where it is mapped privately; the reference of a turn. */
static unsigned long shared, private;
static struct page *pinned;

static void store(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 0, poke(shared + 1, 0x22));
}

static void write_to_file(struct mapping *m, struct vm_fault *vmf)
{
	const u8 byte = 0x22;
	loff_t position = 1;

	KUNIT_EXPECT_EQ(m->test, 1, kernel_write(m->file, &byte, 1, &position));
}

static void store_and_unmap(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 0, poke(shared + 1, 0x22));
	KUNIT_EXPECT_EQ(m->test, 0, vm_munmap(shared, PAGE_SIZE));
}

/* A page that becomes dirty is still only the first one's to page out. */
static void store_unmap_and_page_out(struct mapping *m, struct vm_fault *vmf)
{
	store_and_unmap(m, vmf);
	cowmem_test_page_out(m->file, 0, 0, true, &inner);
	KUNIT_EXPECT_EQ(m->test, 0ULL, inner.out);
	KUNIT_EXPECT_EQ(m->test, 1ULL, inner.busy);
}

static void pin(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 1, pin_user_pages_fast(shared, 1, FOLL_WRITE, &pinned));
	memset(page_address(pinned) + 1, 0x22, 1);
}

static void punch_and_refill(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_punch(m->file, 0, PAGE_SIZE);
	KUNIT_EXPECT_EQ(m->test, 0, poke(shared, 0x11));
	KUNIT_EXPECT_EQ(m->test, 0, poke(shared + 1, 0x22));
}

/* One page of 0x11, on its way out when @turn comes; it stays, for it was written. */
static struct mapping *out_when(struct kunit *test,
                                void (*turn)(struct mapping *m, struct vm_fault *vmf))
{
	struct mapping *m = test->priv;

	shared = mapping_source(m, 1, 0x11);
	mapping_at(m, COWMEM_STEP_STORED, turn);
	KUNIT_EXPECT_EQ(test, 0UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 1ULL, out.busy);
	KUNIT_EXPECT_NULL(test, m->turn);
	return m;
}

/* What was written is there; and after it was in the store, too. */
static void expect_written(struct mapping *m, unsigned long at)
{
	for (int twice = 0; twice < 2; twice++) {
		KUNIT_EXPECT_EQ(m->test, 0x11, peek(at));
		KUNIT_EXPECT_EQ(m->test, 0x22, peek(at + 1));
		KUNIT_EXPECT_EQ(m->test, 1UL, page_out(m));
		KUNIT_EXPECT_NULL(m->test, mapping_folio(m, 0));
	}
	KUNIT_EXPECT_EQ(m->test, 0x11, peek(at));
	KUNIT_EXPECT_EQ(m->test, 0x22, peek(at + 1));
}

static void a_store_meanwhile_keeps_the_page(struct kunit *test)
{
	SHOWS(test, "R48 R58 R59 R72");
	expect_written(out_when(test, store), shared);
}

static void a_write_meanwhile_keeps_the_page(struct kunit *test)
{
	SHOWS(test, "R48 R59 R72");
	expect_written(out_when(test, write_to_file), shared);
}

static void a_mapping_that_goes_leaves_what_it_wrote(struct kunit *test)
{
	struct mapping *m = out_when(test, store_and_unmap);

	SHOWS(test, "R48 R59");
	expect_written(m, mapping_map(m, 1, MAP_SHARED));
}

static void a_page_is_paged_out_by_one_at_a_time(struct kunit *test)
{
	struct mapping *m = out_when(test, store_unmap_and_page_out);

	SHOWS(test, "R48 R72");
	expect_written(m, mapping_map(m, 1, MAP_SHARED));
}

static void a_pinned_page_stays(struct kunit *test)
{
	struct mapping *m = out_when(test, pin);

	SHOWS(test, "R51 R72");
	KUNIT_EXPECT_EQ(test, 0UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 1ULL, out.busy);
	KUNIT_EXPECT_PTR_EQ(test, page_folio(pinned), mapping_folio(m, 0));
	unpin_user_pages_dirty_lock(&pinned, 1, true);
	expect_written(m, shared);
}

static void write_and_unpin(struct mapping *m, struct vm_fault *vmf)
{
	memset(page_address(pinned) + 1, 0x22, 1);
	unpin_user_page(pinned);
	pinned = NULL;
}

static void pin_until_stored(struct mapping *m, struct vm_fault *vmf)
{
	const unsigned int flags = FOLL_WRITE | FOLL_LONGTERM;

	KUNIT_EXPECT_EQ(m->test, 1, pin_user_pages_fast(shared, 1, flags, &pinned));
	mapping_at(m, COWMEM_STEP_STORED, write_and_unpin);
}

/* As io_uring lets go of a registered buffer: nothing says then that the page was written. */
static void a_pin_that_goes_without_a_mark_keeps_the_page(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R51 R72");
	mapping_set_pinnable(m);
	shared = mapping_source(m, 1, 0x11);
	KUNIT_ASSERT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared)); /* it is as the store has it */
	mapping_at(m, COWMEM_STEP_CLAIMED, pin_until_stored);
	KUNIT_EXPECT_EQ(test, 0UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 1ULL, out.busy);
	KUNIT_EXPECT_NOT_NULL(test, m->turn); /* it was not even stored */
	m->turn = NULL;
	if (pinned)
		write_and_unpin(m, NULL);
	expect_written(m, shared);
}

static void a_page_that_was_replaced_stays(struct kunit *test)
{
	SHOWS(test, "R48");
	expect_written(out_when(test, punch_and_refill), shared);
}

/* PAGEMAP takes the mark of what was written, and has it leave its slot. */
static void store_and_clear(struct mapping *m, struct vm_fault *vmf)
{
	struct cowmem_page page;

	KUNIT_EXPECT_EQ(m->test, 0, poke(shared + 1, 0x22));
	cowmem_test_describe(m->file, 0, COWMEM_PAGEMAP_CLEAR_DIRTY, &page);
	KUNIT_EXPECT_TRUE(m->test, page.flags & COWMEM_PAGE_DIRTY);
}

static void a_page_that_has_left_its_slot_is_stored(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R48 R72");
	shared = mapping_source(m, 1, 0x11);
	KUNIT_ASSERT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	mapping_at(m, COWMEM_STEP_CLAIMS, store_and_clear);
	KUNIT_EXPECT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 0ULL, out.reused);
	KUNIT_EXPECT_NULL(test, m->turn);
	expect_written(m, shared);
}

static void cut_off(struct mapping *m, struct vm_fault *vmf)
{
	cowmem_test_resize(m->file, 0);
}

static void a_page_that_was_cut_off_takes_no_slot(struct kunit *test)
{
	struct mapping *m = out_when(test, cut_off);

	SHOWS(test, "R6");
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_slots(m->file));
	KUNIT_EXPECT_EQ(test, -EFAULT, peek(shared));
}

static void copy_privately(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 0, poke(private + 1, 0x33));
}

static void a_private_write_meanwhile_lets_the_page_go(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R59");
	shared = mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	mapping_at(m, COWMEM_STEP_STORED, copy_privately);
	KUNIT_EXPECT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_EXPECT_EQ(test, 0x33, peek(private + 1));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared + 1));
}

static void a_foreign_reference_keeps_the_page(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct folio *folio;

	SHOWS(test, "R51 R72");
	shared = mapping_source(m, 1, 0x11);
	folio = mapping_folio(m, 0);
	folio_get(folio);
	KUNIT_EXPECT_EQ(test, 0UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 1ULL, out.busy);
	KUNIT_EXPECT_PTR_EQ(test, folio, mapping_folio(m, 0));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	folio_put(folio);
	KUNIT_EXPECT_EQ(test, 1UL, page_out(m));
}

static void set_flag(struct mapping *m, unsigned long address, vm_flags_t flag, bool set)
{
	mmap_write_lock(m->mm);
	if (set)
		vm_flags_set(vma_lookup(m->mm, address), flag);
	else
		vm_flags_clear(vma_lookup(m->mm, address), flag);
	mmap_write_unlock(m->mm);
}

/* The entry for @address, whose page table exists. */
static pte_t *entry_at(struct mapping *m, unsigned long address)
{
	p4d_t *p4d = p4d_offset(pgd_offset(m->mm, address), address);

	return pte_offset_kernel(pmd_offset(pud_offset(p4d, address), address), address);
}

static void each_result_is_told_apart(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R71 R72 R73");
	shared = mapping_source(m, 1, 0x11);
	cowmem_test_page_out(m->file, 0, 0, false, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.accessed);
	set_flag(m, shared, VM_LOCKED, true);
	cowmem_test_page_out(m->file, 0, 0, false, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.locked);
	set_flag(m, shared, VM_LOCKED, false);
	KUNIT_EXPECT_TRUE(test, pte_present(mapping_pte(m, shared)));
	cowmem_test_page_out(m->file, 0, 0, false, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, 0ULL, out.accessed + out.locked + out.busy + out.tracked);
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, shared)));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
}

static void many_may_share_a_slot(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R87");
	shared = mapping_source(m, 1, 0x11);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + 1, 0x22)); /* not one word repeated */
	KUNIT_ASSERT_EQ(test, 1UL, page_out(m));
	KUNIT_ASSERT_EQ(test, 1UL, cowmem_test_slots(m->file));
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_share_slot(m->file, 0, 70000));
	KUNIT_EXPECT_EQ(test, 0UL, cowmem_test_slots(m->file));
	KUNIT_EXPECT_EQ(test, 0, peek(shared)); /* a hole now */
}

/* --- a slot that another one takes the place of --- */
static struct file *then;

/* Of the first page, which has been let go of by then. */
static void write_page_out_and_snapshot(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 0, poke(shared + 1, 0x22));
	cowmem_test_page_out(m->file, 0, 0, true, &inner);
	then = cowmem_test_snapshot(m->file, ULONG_MAX);
}

/*
 * A page-out keeps the slots of the pages that it has let go of to its end. If one of these pages has got
 * another slot and another home by then, its old slot is in no sum.
 */
static void a_slot_that_another_replaced_is_not_counted(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct cowmem_test_wrong wrong;
	loff_t position = 0;
	u8 byte;

	SHOWS(test, "R72");
	shared = mapping_source(m, 2, 0x11);
	cowmem_test_page_out(m->file, 0, 1, true, &out);
	KUNIT_ASSERT_EQ(test, 2ULL, out.out);
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared + PAGE_SIZE));
	cowmem_test_page_out(m->file, 0, 1, false, &out);
	KUNIT_ASSERT_EQ(test, 2ULL, out.accessed);
	/* Now the first is used, and the second is not. */
	KUNIT_ASSERT_EQ(test, 1, kernel_read(m->file, &byte, 1, &position));
	mapping_at(m, COWMEM_STEP_STORED, write_page_out_and_snapshot);
	cowmem_test_page_out(m->file, 0, 1, false, &out);
	KUNIT_EXPECT_GE(test, out.accessed,
	                1ULL); /* the second may count as used by the snapshot */
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_ASSERT_NOT_NULL(test, then);
	wrong = cowmem_test_check(m->file);
	KUNIT_EXPECT_NULL_MSG(test, wrong.what, "%s, page %lu", wrong.what, wrong.index);
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared + 1));
	KUNIT_EXPECT_LE(test, cowmem_test_slots(m->file), 2UL);
	fput(then);
}

/* --- the store does not take it --- */
#ifdef CONFIG_FAULT_INJECTION
enum { KINDS = 4 };

/*
 * The first page, mapped in each way: written; written, and forbidden to be by now; read, and let
 * be written by that; only to be read.
 */
struct kinds {
	unsigned long at[KINDS];
	pte_t pte[KINDS];
};

static void map_kinds(struct mapping *m, struct kinds *k)
{
	for (int i = 0; i < KINDS; i++)
		k->at[i] = mapping_map(m, 2, MAP_SHARED);
	for (unsigned long i = 0; i < 2 * PAGE_SIZE; i += 8)
		KUNIT_ASSERT_EQ(m->test, 0, poke(k->at[0] + i, i >> 3));
	KUNIT_ASSERT_EQ(m->test, 0, poke(k->at[1], 0));
	set_flag(m, k->at[1], VM_WRITE, false);
	set_pte(entry_at(m, k->at[1]), pte_wrprotect(mapping_pte(m, k->at[1])));
	KUNIT_ASSERT_EQ(m->test, 0, peek(k->at[2]));
	set_flag(m, k->at[3], VM_WRITE, false);
	KUNIT_ASSERT_EQ(m->test, 0, peek(k->at[3]));
	for (int i = 0; i < KINDS; i++)
		k->pte[i] = mapping_pte(m, k->at[i]);
	KUNIT_ASSERT_TRUE(m->test, pte_dirty(k->pte[0]) && pte_write(k->pte[0]));
	KUNIT_ASSERT_TRUE(m->test, pte_dirty(k->pte[1]) && !pte_write(k->pte[1]));
	KUNIT_ASSERT_TRUE(m->test, !pte_dirty(k->pte[2]) && pte_write(k->pte[2]));
	KUNIT_ASSERT_TRUE(m->test, !pte_dirty(k->pte[3]) && !pte_write(k->pte[3]));
}

static void unmap_kinds(struct mapping *m, const struct kinds *k)
{
	set_flag(m, k->at[1], VM_WRITE, true);
	set_flag(m, k->at[3], VM_WRITE, true);
	for (int i = 0; i < KINDS; i++)
		KUNIT_ASSERT_EQ(m->test, 0, vm_munmap(k->at[i], 2 * PAGE_SIZE));
	KUNIT_ASSERT_EQ(m->test, 0, cowmem_test_punch(m->file, 0, 2 * PAGE_SIZE));
}

/*
 * Each allocation of a page-out fails in its turn: a slot, a handle, what describes new memory;
 * and what the kernel's own debugging would have had, which does without.
 */
static void a_page_that_gets_no_slot_is_mapped_as_before(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned int refused = 0;
	bool failed = true;
	struct kinds k;

	SHOWS(test, "R70");
	for (int nth = 1; failed && nth < 30; nth++) {
		map_kinds(m, &k);
		current->fail_nth = nth;
		page_out(m);
		failed = !current->fail_nth;
		current->fail_nth = 0;
		KUNIT_EXPECT_EQ(test, 0ULL, out.busy);
		for (int i = 0; i < KINDS; i++)
			KUNIT_EXPECT_EQ(test, out.out ? 0 : pte_val(k.pte[i]),
			                pte_val(mapping_pte(m, k.at[i])));
		KUNIT_EXPECT_EQ(test, (unsigned long)out.out, cowmem_test_slots(m->file));
		KUNIT_EXPECT_TRUE(test, failed || out.out);
		refused += !out.out;
		unmap_kinds(m, &k);
	}
	KUNIT_EXPECT_FALSE(test, failed);
	KUNIT_EXPECT_GE(test, refused, 2U); /* the slot, and the handle */
}

static struct file *taken;

static void take_a_snapshot(struct mapping *m, struct vm_fault *vmf)
{
	taken = cowmem_test_snapshot(m->file, ULONG_MAX);
}

/* What was taken from its entry is not the object's to give back by then. */
static void what_a_snapshot_has_by_then_stays_protected(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = mapping_source(m, 1, 0x11), seen;

	SHOWS(test, "R70");
	KUNIT_ASSERT_EQ(test, 0, poke(at, 0x22));
	mapping_at(m, COWMEM_STEP_STORED, take_a_snapshot);
	current->fail_nth = 1;
	page_out(m);
	KUNIT_EXPECT_EQ(test, 0, current->fail_nth);
	current->fail_nth = 0;
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_ASSERT_NOT_NULL(test, taken);
	KUNIT_EXPECT_EQ(test, 0ULL, out.out);
	KUNIT_EXPECT_TRUE(test, pte_present(mapping_pte(m, at)));
	KUNIT_EXPECT_FALSE(test, pte_write(mapping_pte(m, at)));
	KUNIT_EXPECT_EQ(test, 0, poke(at, 0x33));
	seen = mapping_map_of(m, taken, 1, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0x22, peek(seen));
	KUNIT_EXPECT_EQ(test, 0x33, peek(at));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(seen, PAGE_SIZE));
	fput(taken);
}

static vm_flags_t taken_away;

static void take_flag_away(struct mapping *m, struct vm_fault *vmf)
{
	set_flag(m, shared, taken_away, false);
}

/* Where stores are forbidden, or tracked, by then, an entry that let them through is not given back. */
static void what_forbids_or_tracks_stores_by_then_has_its_way(struct kunit *test)
{
	static const vm_flags_t flags[] = {VM_WRITE, VM_SOFTDIRTY};
	struct mapping *m = test->priv;

	SHOWS(test, "R70");
	mapping_source(m, 1, 0x11);
	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		if (!flags[i])
			continue; /* this architecture has no soft-dirty bits */
		taken_away = flags[i];
		shared = mapping_map(m, 1, MAP_SHARED);
		KUNIT_ASSERT_EQ(test, 0x11, peek(shared));
		KUNIT_ASSERT_TRUE(test, pte_write(mapping_pte(m, shared)));
		mapping_at(m, COWMEM_STEP_STORED, take_flag_away);
		current->fail_nth = 1;
		page_out(m);
		KUNIT_EXPECT_EQ(test, 0, current->fail_nth);
		current->fail_nth = 0;
		KUNIT_EXPECT_EQ(test, 0ULL, out.out);
		KUNIT_EXPECT_TRUE(test, pte_present(mapping_pte(m, shared)));
		KUNIT_EXPECT_FALSE(test, pte_write(mapping_pte(m, shared)));
		set_flag(m, shared, flags[i], true);
		KUNIT_EXPECT_EQ(test, 0, vm_munmap(shared, PAGE_SIZE));
	}
}

static void a_page_that_gets_no_slot_keeps_no_neighbour(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = mapping_source(m, 2, 0x11);
	pte_t before = mapping_pte(m, at);

	SHOWS(test, "R70");
	current->fail_nth = 1;
	cowmem_test_page_out(m->file, 0, 1, true, &out);
	KUNIT_EXPECT_EQ(test, 0, current->fail_nth);
	current->fail_nth = 0;
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, pte_val(before), pte_val(mapping_pte(m, at)));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, at + PAGE_SIZE)));
}
#endif

/* --- two at once at a page that is out --- */
static struct other other;

static void another_reads(struct mapping *m, struct vm_fault *vmf)
{
	other.address = shared + 1;
	other_start(&other, m, other_peek);
	other_finish(&other);
	KUNIT_EXPECT_EQ(m->test, 0x11, other.result);
}

static void another_writes(struct mapping *m, struct vm_fault *vmf)
{
	other.address = shared + 1;
	other_start(&other, m, other_poke);
	other_finish(&other);
	KUNIT_EXPECT_EQ(m->test, 0, other.result);
}

static void one_brings_in_at(struct kunit *test, int step)
{
	struct mapping *m = test->priv;
	unsigned long again, before;

	shared = mapping_source(m, 1, 0x11);
	again = mapping_map(m, 1, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	KUNIT_ASSERT_EQ(test, 1UL, page_out(m));
	before = COUNT(pages_brought_in);
	mapping_at(m, step, another_reads);
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, before + 1, COUNT(pages_brought_in));
	KUNIT_EXPECT_EQ(test, pte_pfn(mapping_pte(m, again)), pte_pfn(mapping_pte(m, shared)));
	/* The table's reference and two mappings'. */
	KUNIT_EXPECT_EQ(test, 3, folio_ref_count(mapping_folio(m, 0)));
}

/* The page is put in, and written, between the two looks of a private write. */
static void a_page_in_transit_is_no_hole_at(struct kunit *test, int step)
{
	struct mapping *m = test->priv;

	shared = mapping_source(m, 1, 0x11);
	private = mapping_map(m, 1, MAP_PRIVATE);
	KUNIT_EXPECT_EQ(test, 0x11, peek(private));
	KUNIT_ASSERT_EQ(test, 1UL, page_out(m));
	mapping_at(m, step, another_writes);
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x33));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_EQ(test, 0x33, peek(private));
	KUNIT_EXPECT_EQ(test, 0x11, peek(private + 2));
	KUNIT_EXPECT_EQ(test, 0xee, peek(shared + 1));
}

static void two_read_faults_bring_in_one_page(struct kunit *test)
{
	SHOWS(test, "R7 R58");
	one_brings_in_at(test, COWMEM_STEP_LOCKED);
}

static void a_page_in_transit_is_no_hole(struct kunit *test)
{
	SHOWS(test, "R5 R58");
	a_page_in_transit_is_no_hole_at(test, COWMEM_STEP_LOOKED_UP);
}

static void two_read_faults_without_locks_bring_in_one_page(struct kunit *test)
{
	SHOWS(test, "R7 R58");
	one_brings_in_at(test, COWMEM_STEP_SNAPSHOT);
}

static void a_page_in_transit_is_no_hole_without_locks(struct kunit *test)
{
	SHOWS(test, "R5 R32");
	a_page_in_transit_is_no_hole_at(test, COWMEM_STEP_SNAPSHOT);
}

/* --- what the entry permits of a page that came back --- */

/* A page that is out, and whose page table is there. */
static unsigned long paged_out(struct mapping *m, unsigned long flags)
{
	unsigned long at;

	shared = mapping_source(m, 2, 0x11);
	at = mapping_map(m, 2, flags);
	KUNIT_EXPECT_EQ(m->test, 0x11, peek(at + PAGE_SIZE));
	KUNIT_ASSERT_EQ(m->test, 1UL, page_out(m));
	return at;
}

/* Reads it: whether the entry can be written through then. It is clean, and written once. */
static bool read_makes_writable(struct mapping *m, unsigned long at)
{
	unsigned long reused = COUNT(reused);
	pte_t pte;

	m->faults = m->mkwrites = 0;
	KUNIT_EXPECT_EQ(m->test, 0x11, peek(at));
	KUNIT_EXPECT_EQ(m->test, 1U, m->faults);
	KUNIT_EXPECT_EQ(m->test, 0U, m->mkwrites);
	pte = mapping_pte(m, at);
	KUNIT_EXPECT_TRUE(m->test, pte_present(pte));
	KUNIT_EXPECT_FALSE(m->test, pte_dirty(pte));
	KUNIT_EXPECT_EQ(m->test, !!pte_write(pte), COUNT(reused) - reused);
	return pte_write(pte);
}

static void a_read_of_what_came_back_permits_writes(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);

	SHOWS(test, "R46 R49 R55 R57");
	KUNIT_EXPECT_TRUE(test, read_makes_writable(m, at));
	/* Its place in the store is still good. */
	KUNIT_EXPECT_EQ(test, 1UL, cowmem_test_slots(m->file));
	KUNIT_EXPECT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_EQ(test, 1ULL, out.reused);
	/* And a second mapping of what was written since. */
	KUNIT_EXPECT_EQ(test, 0, poke(at, 0x11));
	KUNIT_EXPECT_TRUE(test, pte_dirty(mapping_pte(m, at)));
	KUNIT_EXPECT_TRUE(test, read_makes_writable(m, shared));
}

static void a_write_to_what_is_out_maps_it_dirty(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);
	pte_t pte;

	SHOWS(test, "R46 R56");
	m->faults = m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(at, 0x22));
	KUNIT_EXPECT_EQ(test, 1U, m->faults);
	KUNIT_EXPECT_EQ(test, 0U, m->mkwrites);
	pte = mapping_pte(m, at);
	KUNIT_EXPECT_TRUE(test, pte_write(pte) && pte_dirty(pte));
}

static void a_private_mapping_gets_no_permission(struct kunit *test)
{
	struct mapping *m = test->priv;

	SHOWS(test, "R49 R50");
	KUNIT_EXPECT_FALSE(test, read_makes_writable(m, paged_out(m, MAP_PRIVATE)));
}

static void no_permission_without_the_parameter(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);

	SHOWS(test, "R49 R55");
	cowmem_parameters.reuse = false;
	KUNIT_EXPECT_FALSE(test, read_makes_writable(m, at));
}

static void no_permission_without_the_mappings(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);
	bool writable;

	SHOWS(test, "R49 R52 R55");
	set_flag(m, at, VM_WRITE, false);
	writable = read_makes_writable(m, at);
	set_flag(m, at, VM_WRITE, true);
	KUNIT_EXPECT_FALSE(test, writable);
}

static void no_permission_where_userfaultfd_protects(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = mapping_source(m, 2, 0x11);
	pte_t *entry = entry_at(m, at);

	SHOWS(test, "R49 R53 R55");
	shared = at;
	set_flag(m, at, VM_UFFD_WP, true);
	set_pte(entry, pte_mkuffd(pte_wrprotect(ptep_get(entry))));
	KUNIT_EXPECT_EQ(test, 1UL, page_out(m));
	KUNIT_EXPECT_TRUE(test, pte_is_uffd_wp_marker(mapping_pte(m, at)));
	KUNIT_EXPECT_FALSE(test, read_makes_writable(m, at));
	KUNIT_EXPECT_TRUE(test, pte_uffd(mapping_pte(m, at)));
	set_flag(m, at, VM_UFFD_WP, false);
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(at, 2 * PAGE_SIZE));
}

static void no_permission_where_soft_dirty_is_tracked(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);

	if (!IS_ENABLED(CONFIG_MEM_SOFT_DIRTY))
		kunit_skip(test, "no soft-dirty bits");
	SHOWS(test, "R49 R54 R55");
	set_flag(m, at, VM_SOFTDIRTY, false);
	KUNIT_EXPECT_FALSE(test, read_makes_writable(m, at));
}

/* As the core may try it with a poisoned page, and drop_caches with any. */
static void a_clean_page_is_not_the_kernels_to_drop(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = paged_out(m, MAP_SHARED);
	struct folio *page;

	KUNIT_EXPECT_TRUE(test, read_makes_writable(m, at));
	page = mapping_folio(m, 0);
	KUNIT_ASSERT_NOT_NULL(test, page);
	KUNIT_EXPECT_FALSE(test, folio_test_dirty(page));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(at, 2 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(shared, 2 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0UL, invalidate_mapping_pages(m->file->f_mapping, 0, -1));
	KUNIT_EXPECT_PTR_EQ(test, page, mapping_folio(m, 0));
}

/* --- what memory reclaim does with what was used --- */

/* The first page: whether it went. */
static unsigned long reclaimed(struct mapping *m)
{
	cowmem_test_reclaim(m->file, 0, 0, &out);
	KUNIT_EXPECT_EQ(m->test, 1ULL, out.out + out.accessed);
	return out.out;
}

/* A page that is in use as reclaim comes by stays, and once more when it is not. */
static void reclaim_spares_what_was_used_twice(struct kunit *test)
{
	struct mapping *m = test->priv;

	shared = mapping_source(m, 1, 0x11);
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	KUNIT_EXPECT_EQ(test, 0UL, reclaimed(m));
	KUNIT_EXPECT_EQ(test, 0UL, reclaimed(m));
	KUNIT_EXPECT_EQ(test, 1UL, reclaimed(m));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
}

static struct kunit_case page_out_cases[] = {
	KUNIT_CASE(a_store_meanwhile_keeps_the_page),
	KUNIT_CASE(a_write_meanwhile_keeps_the_page),
	KUNIT_CASE(a_mapping_that_goes_leaves_what_it_wrote),
	KUNIT_CASE(a_page_is_paged_out_by_one_at_a_time),
	KUNIT_CASE(a_pinned_page_stays),
	KUNIT_CASE(a_pin_that_goes_without_a_mark_keeps_the_page),
	KUNIT_CASE(a_page_that_was_replaced_stays),
	KUNIT_CASE(a_page_that_has_left_its_slot_is_stored),
	KUNIT_CASE(a_page_that_was_cut_off_takes_no_slot),
	KUNIT_CASE(a_private_write_meanwhile_lets_the_page_go),
	KUNIT_CASE(a_foreign_reference_keeps_the_page),
	KUNIT_CASE(each_result_is_told_apart),
	KUNIT_CASE(reclaim_spares_what_was_used_twice),
	KUNIT_CASE(many_may_share_a_slot),
	KUNIT_CASE(a_slot_that_another_replaced_is_not_counted),
	KUNIT_CASE(two_read_faults_bring_in_one_page),
	KUNIT_CASE(a_page_in_transit_is_no_hole),
	{},
};

static struct kunit_case swap_in_cases[] = {
#ifdef CONFIG_FAULT_INJECTION
	KUNIT_CASE(a_page_that_gets_no_slot_is_mapped_as_before),
	KUNIT_CASE(what_a_snapshot_has_by_then_stays_protected),
	KUNIT_CASE(what_forbids_or_tracks_stores_by_then_has_its_way),
	KUNIT_CASE(a_page_that_gets_no_slot_keeps_no_neighbour),
#endif
	KUNIT_CASE(two_read_faults_without_locks_bring_in_one_page),
	KUNIT_CASE(a_page_in_transit_is_no_hole_without_locks),
	KUNIT_CASE(a_read_of_what_came_back_permits_writes),
	KUNIT_CASE(a_write_to_what_is_out_maps_it_dirty),
	KUNIT_CASE(a_private_mapping_gets_no_permission),
	KUNIT_CASE(no_permission_without_the_parameter),
	KUNIT_CASE(no_permission_without_the_mappings),
	KUNIT_CASE(no_permission_where_userfaultfd_protects),
	KUNIT_CASE(no_permission_where_soft_dirty_is_tracked),
	KUNIT_CASE(a_clean_page_is_not_the_kernels_to_drop),
	{},
};

static struct kunit_suite page_out_suite = {
	.name = "cowmem_page_out",
	.init = mapping_init,
	.exit = mapping_exit,
	.test_cases = page_out_cases,
};

static struct kunit_suite swap_in_suite = {
	.name = "cowmem_swap_in",
	.init = mapping_init_speculative,
	.exit = mapping_exit,
	.test_cases = swap_in_cases,
};

kunit_test_suites(&page_out_suite, &swap_in_suite);
