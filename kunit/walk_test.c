// SPDX-License-Identifier: GPL-2.0
/*
 * Reverse-map walks over a real mm: what each visitor does to an entry, in which
 * order, what secondary MMUs hear of it, and what a walk does when the page table or
 * the anon_vma goes away under it.
 */
#include <linux/cgroup-defs.h>
#include <linux/memcontrol.h>
#include <linux/mman.h>
#include <linux/mmu_notifier.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/sched/mm.h>
#include <linux/swap.h>
#include <linux/swapops.h>
#include <linux/userfaultfd_k.h>

#include "mapping.h"

/* One page of an object, mapped shared at @at and written; its page lock is held. */
struct subject {
	struct mapping *m;
	struct folio *folio;
	unsigned long at;
};

/* What the object's table and the shared mapping have on it, and the subject itself. */
#define SUBJECT_REFS 3

static struct subject subject_of(struct kunit *test)
{
	struct mapping *m = test->priv;
	struct subject s = {.m = m, .at = mapping_source(m, 1, 0x11)};

	s.folio = mapping_folio(m, 0);
	KUNIT_ASSERT_NOT_NULL(test, s.folio);
	folio_get(s.folio);
	folio_lock(s.folio);
	return s;
}

static void subject_done(struct subject *s)
{
	folio_unlock(s->folio);
	folio_put(s->folio);
}

static void set_vma_flag(struct mapping *m, unsigned long address, vm_flags_t flag, bool set)
{
	mmap_write_lock(m->mm);
	if (set)
		vm_flags_set(vma_lookup(m->mm, address), flag);
	else
		vm_flags_clear(vma_lookup(m->mm, address), flag);
	mmap_write_unlock(m->mm);
}

/* The entry for @address and the pmd above it: both exist. */
static pmd_t *pmd_at(struct mapping *m, unsigned long address)
{
	return pmd_offset(pud_offset(p4d_offset(pgd_offset(m->mm, address), address), address),
	                  address);
}

static pte_t *entry_at(struct mapping *m, unsigned long address)
{
	return pte_offset_kernel(pmd_at(m, address), address);
}

static long file_rss(struct mapping *m)
{
	return percpu_counter_sum(&m->mm->rss_stat[MM_FILEPAGES]);
}

/* --- one visitor after the other --- */

static void young_entries_are_counted_once(struct kunit *test)
{
	struct subject s = subject_of(test);
	unsigned long again = mapping_map(s.m, 1, MAP_SHARED);
	struct cowmem_test_walk walk;

	SHOWS(test, "R63");
	KUNIT_EXPECT_EQ(test, 0x11, peek(s.at));
	walk = cowmem_test_referenced(s.folio, NULL);
	KUNIT_EXPECT_EQ(test, 1U, walk.result);
	KUNIT_EXPECT_FALSE(test, pte_young(mapping_pte(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_referenced(s.folio, NULL).result);
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(s.m, again)));
	subject_done(&s);
}

static void locked_counts_where_the_page_is(struct kunit *test)
{
	struct subject s = subject_of(test);
	unsigned long elsewhere = mapping_map(s.m, 1, MAP_SHARED);

	SHOWS(test, "R64");
	set_vma_flag(s.m, elsewhere, VM_LOCKED, true);
	KUNIT_EXPECT_FALSE(test, cowmem_test_referenced(s.folio, NULL).locked);
	set_vma_flag(s.m, elsewhere, VM_LOCKED, false);
	set_vma_flag(s.m, s.at, VM_LOCKED, true);
	KUNIT_EXPECT_TRUE(test, cowmem_test_referenced(s.folio, NULL).locked);
	set_vma_flag(s.m, s.at, VM_LOCKED, false);
	subject_done(&s);
}

static void sequential_and_foreign_readers_do_not_count(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct mem_cgroup *nobodys = kunit_kzalloc(test, sizeof(*nobodys), GFP_KERNEL);

	SHOWS(test, "R65");
	KUNIT_ASSERT_NOT_NULL(test, nobodys);
	nobodys->css.cgroup = kunit_kzalloc(test, sizeof(struct cgroup), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, nobodys->css.cgroup);
	nobodys->css.cgroup->level = 1;
	set_vma_flag(s.m, s.at, VM_SEQ_READ, true);
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_referenced(s.folio, NULL).result);
	set_vma_flag(s.m, s.at, VM_SEQ_READ, false);
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_referenced(s.folio, nobodys).result);
	/* Not counted is not cleared either: it is still young for those who ask for all. */
	KUNIT_EXPECT_TRUE(test, pte_young(mapping_pte(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_referenced(s.folio, NULL).result);
	subject_done(&s);
}

static void cleaning_write_protects_shared_mappings(struct kunit *test)
{
	struct subject s = subject_of(test);
	unsigned long private = mapping_map(s.m, 1, MAP_PRIVATE);
	struct cowmem_test_walk walk;
	pte_t pte;

	SHOWS(test, "R67");
	folio_unlock(s.folio);
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	folio_lock(s.folio);
	walk = cowmem_test_clean(s.folio);
	KUNIT_EXPECT_EQ(test, 1U, walk.result);
	KUNIT_EXPECT_EQ(test, 1UL, walk.probes); /* the private mapping is not even looked at */
	pte = mapping_pte(s.m, s.at);
	KUNIT_EXPECT_TRUE(test, pte_present(pte) && !pte_write(pte) && !pte_dirty(pte));
	pte = mapping_pte(s.m, private);
	KUNIT_EXPECT_TRUE(test, pte_present(pte) && pte_write(pte) && pte_dirty(pte));
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_clean(s.folio).result);
	folio_unlock(s.folio);
	s.m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(s.at, 0x33));
	KUNIT_EXPECT_EQ(test, 1U, s.m->mkwrites);
	folio_lock(s.folio);
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	subject_done(&s);
}

/* Each way an unmapping can end, and nothing lost in any of them. */
static void unmapping_ends_in_four_ways(struct kunit *test)
{
	struct subject s = subject_of(test);
	long rss = file_rss(s.m);

	SHOWS(test, "R71 R72 R73");
	set_vma_flag(s.m, s.at, VM_LOCKED, true);
	KUNIT_EXPECT_EQ(test, TEST_MLOCKED, cowmem_test_unmap(s.folio, false, true).result);
	set_vma_flag(s.m, s.at, VM_LOCKED, false);
	KUNIT_EXPECT_EQ(test, TEST_YOUNG, cowmem_test_unmap(s.folio, false, false).result);
	KUNIT_EXPECT_EQ(test, 1, folio_mapcount(s.folio));
	KUNIT_EXPECT_EQ(test, SUBJECT_REFS, folio_ref_count(s.folio));
	KUNIT_EXPECT_TRUE(test, pte_present(mapping_pte(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, rss, file_rss(s.m));

	/* Old now, so it goes. */
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, false, false).result);
	KUNIT_EXPECT_EQ(test, 0, folio_mapcount(s.folio));
	KUNIT_EXPECT_EQ(test, SUBJECT_REFS - 1, folio_ref_count(s.folio));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, rss - 1, file_rss(s.m));
	folio_unlock(s.folio);
	KUNIT_EXPECT_EQ(test, 0x11, peek(s.at));
	folio_lock(s.folio);
	subject_done(&s);
}

/* A mapping that the walk cannot come by: counted, but in no page table that it finds. */
static void unmapping_that_misses_one_says_so(struct kunit *test)
{
	struct subject s = subject_of(test);
	pmd_t *pmd = pmd_at(s.m, s.at), table = *pmd;

	SHOWS(test, "R39 R72");
	pmd_clear(pmd);
	KUNIT_EXPECT_EQ(test, TEST_AGAIN, cowmem_test_unmap(s.folio, true, true).result);
	*pmd = table;
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	subject_done(&s);
}

static void the_peak_of_rss_is_kept(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct percpu_counter *rss = &s.m->mm->rss_stat[MM_ANONPAGES];
	const long many = 100000; /* more than what a per-CPU counter keeps to itself */

	SHOWS(test, "R89");
	percpu_counter_add(rss, many);
	s.m->mm->hiwater_rss = 0;
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	KUNIT_EXPECT_GE(test, s.m->mm->hiwater_rss, (unsigned long)many);
	percpu_counter_add(rss, -many);
	subject_done(&s);
}

static void userfaultfd_s_marker_stays(struct kunit *test)
{
	struct subject s = subject_of(test);
	pte_t *entry = entry_at(s.m, s.at);

	SHOWS(test, "R69");
	set_vma_flag(s.m, s.at, VM_UFFD_WP, true);
	*entry = pte_mkuffd(pte_wrprotect(*entry));
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	KUNIT_EXPECT_TRUE(test, pte_is_uffd_wp_marker(mapping_pte(s.m, s.at)));
	*entry = __pte(0);
	set_vma_flag(s.m, s.at, VM_UFFD_WP, false);
	subject_done(&s);
}

/* --- the order of things --- */

/* The entry is gone, and the TLBs' too; everything else is still as it was. */
static void expect_only_the_entry_gone(struct mapping *m, struct vm_fault *vmf)
{
	struct folio *folio = mapping_folio(m, 0);

	KUNIT_EXPECT_EQ(m->test, 1, folio_mapcount(folio));
	KUNIT_EXPECT_EQ(m->test, SUBJECT_REFS, folio_ref_count(folio));
	KUNIT_EXPECT_EQ(m->test, 0UL, m->mm->hiwater_rss);
	KUNIT_EXPECT_FALSE(m->test, folio_test_checked(folio));
	m->faults = 1000;
}

static void an_entry_goes_before_its_reference(struct kunit *test)
{
	struct subject s = subject_of(test);

	SHOWS(test, "R69");
	folio_clear_checked(s.folio);
	s.m->mm->hiwater_rss = 0;
	mapping_at(s.m, COWMEM_STEP_FLUSHED, expect_only_the_entry_gone);
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	KUNIT_EXPECT_EQ(test, 1000U, s.m->faults);
	/* The dirty bit is the page's now. */
	KUNIT_EXPECT_TRUE(test, folio_test_checked(s.folio));
	subject_done(&s);
}

/* --- secondary MMUs --- */
#ifdef CONFIG_MMU_NOTIFIER
struct listener {
	struct mmu_notifier notifier;
	struct subject *subject;
	unsigned int starts, ends, youngs;
	enum mmu_notifier_event event;
	bool entry_at_start, entry_at_end, writable_at_start, writable_at_end;
	int refs_at_end;
};

static int on_start(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct listener *l = container_of(notifier, struct listener, notifier);
	struct subject *s = l->subject;

	if (range->start > s->at || range->end <= s->at)
		return 0;
	l->starts++;
	l->event = range->event;
	l->entry_at_start = pte_present(ptep_get(entry_at(s->m, s->at)));
	l->writable_at_start = pte_write(ptep_get(entry_at(s->m, s->at)));
	return 0;
}

static void on_end(struct mmu_notifier *notifier, const struct mmu_notifier_range *range)
{
	struct listener *l = container_of(notifier, struct listener, notifier);
	struct subject *s = l->subject;

	if (range->start > s->at || range->end <= s->at)
		return;
	l->ends++;
	l->entry_at_end = pte_present(ptep_get(entry_at(s->m, s->at)));
	l->writable_at_end = pte_write(ptep_get(entry_at(s->m, s->at)));
	l->refs_at_end = folio_ref_count(s->folio);
}

static compat_young on_young(struct mmu_notifier *notifier, struct mm_struct *mm,
                             unsigned long start, unsigned long end)
{
	container_of(notifier, struct listener, notifier)->youngs++;
	return 0;
}

static const struct mmu_notifier_ops listener_ops = {
	.invalidate_range_start = on_start,
	.invalidate_range_end = on_end,
	.clear_flush_young = on_young,
};

static void secondary_mmus_hear_of_every_change(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct listener l = {.notifier.ops = &listener_ops, .subject = &s};

	SHOWS(test, "R68 R96");
	folio_unlock(s.folio);
	KUNIT_ASSERT_EQ(test, 0, mmu_notifier_register(&l.notifier, s.m->mm));
	folio_lock(s.folio);

	cowmem_test_referenced(s.folio, NULL);
	KUNIT_EXPECT_EQ(test, 1U, l.youngs);
	KUNIT_EXPECT_EQ(test, 0U, l.starts);

	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	KUNIT_EXPECT_EQ(test, 1U, l.starts);
	KUNIT_EXPECT_EQ(test, 1U, l.ends);
	KUNIT_EXPECT_EQ(test, MMU_NOTIFY_PROTECTION_PAGE, l.event);
	KUNIT_EXPECT_TRUE(test, l.writable_at_start && !l.writable_at_end && l.entry_at_end);

	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	KUNIT_EXPECT_EQ(test, 2U, l.starts);
	KUNIT_EXPECT_EQ(test, 2U, l.ends);
	KUNIT_EXPECT_EQ(test, MMU_NOTIFY_CLEAR, l.event);
	KUNIT_EXPECT_TRUE(test, l.entry_at_start && !l.entry_at_end);
	/* It cannot have been reused before they heard: the object still has it. */
	KUNIT_EXPECT_EQ(test, SUBJECT_REFS - 1, l.refs_at_end);
	mmu_notifier_unregister(&l.notifier, s.m->mm);
	subject_done(&s);
}
#endif

/* --- tables that go away --- */
static pmd_t taken_away;

static void take_the_table_away(struct mapping *m, struct vm_fault *vmf)
{
	taken_away = *(pmd_t *)m->cookie;
	pmd_clear((pmd_t *)m->cookie);
}

static void a_table_that_vanishes_is_noticed_under_its_lock(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct cowmem_test_walk walk;

	SHOWS(test, "R38 R39 R40 R41");
	s.m->cookie = pmd_at(s.m, s.at);
	mapping_at(s.m, COWMEM_STEP_TABLE, take_the_table_away);
	walk = cowmem_test_clean(s.folio);
	KUNIT_EXPECT_TRUE(test, pmd_none(*pmd_at(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, 0U, walk.result);
	*pmd_at(s.m, s.at) = taken_away;
	KUNIT_EXPECT_TRUE(test, pte_write(mapping_pte(s.m, s.at)));
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	subject_done(&s);
}

static bool under_rcu;

static void ask_for_rcu(struct mapping *m, struct vm_fault *vmf)
{
	under_rcu = rcu_read_lock_held();
}

/*
 * A collapse, which no lock of a walk or a fault keeps out, frees tables through RCU
 * (pte_free_defer()): from the look at a pmd to the last at its table none ends.
 */
static void a_table_is_looked_at_under_rcu(struct kunit *test)
{
	struct subject s;
	unsigned long again;

	if (!IS_ENABLED(CONFIG_DEBUG_LOCK_ALLOC))
		kunit_skip(test, "nobody notes who is under RCU");
	s = subject_of(test);
	again = mapping_map(s.m, 1, MAP_SHARED);
	SHOWS(test, "R37");
	mapping_at(s.m, COWMEM_STEP_TABLE, ask_for_rcu);
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	KUNIT_EXPECT_NULL(test, s.m->turn);
	KUNIT_EXPECT_TRUE(test, under_rcu);
	subject_done(&s);

	under_rcu = false;
	cowmem_parameters.speculate_read = true;
	mapping_at(s.m, COWMEM_STEP_TABLE_LOCKED, ask_for_rcu);
	KUNIT_EXPECT_EQ(test, 0x11, peek(again));
	KUNIT_EXPECT_NULL(test, s.m->turn);
	KUNIT_EXPECT_TRUE(test, under_rcu);
	KUNIT_EXPECT_FALSE(test, rcu_read_lock_held());
}

static pte_t put_aside;

static void put_the_entry_back(struct mapping *m, struct vm_fault *vmf)
{
	*(pte_t *)m->cookie = put_aside;
}

/* An entry that appears between look and lock: a strict walk sees it, a racy one may not. */
static void only_racy_walks_look_before_they_lock(struct kunit *test)
{
	struct subject s = subject_of(test);
	pte_t *entry = entry_at(s.m, s.at);

	SHOWS(test, "R62");
	s.m->cookie = entry;
	put_aside = *entry;
	*entry = __pte(0);
	mapping_at(s.m, COWMEM_STEP_TABLE, put_the_entry_back);
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_referenced(s.folio, NULL).result);
	KUNIT_EXPECT_NOT_NULL(test, s.m->turn); /* it did not come as far as the lock */
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	KUNIT_EXPECT_NULL(test, s.m->turn);
	subject_done(&s);
}

static void a_page_that_nothing_maps_is_a_short_walk(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long at = mapping_source(m, 1, 0x11);
	struct folio *folio = mapping_folio(m, 0);
	struct cowmem_test_walk walk;

	SHOWS(test, "R83");
	KUNIT_ASSERT_EQ(test, 0, vm_munmap(at, PAGE_SIZE));
	folio_lock(folio);
	walk = cowmem_test_referenced(folio, NULL);
	KUNIT_EXPECT_EQ(test, 0U, walk.result);
	KUNIT_EXPECT_EQ(test, 0UL, walk.probes);
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(folio, false, false).result);
	folio_unlock(folio);
}

/* --- private copies --- */
static void unmap_the_copy(struct mapping *m, struct vm_fault *vmf)
{
	KUNIT_EXPECT_EQ(m->test, 0, vm_munmap((unsigned long)m->cookie, PAGE_SIZE));
}

/* The mapping, and with it the anon_vma's last user, goes while the walk has it pinned. */
static void the_walk_can_drop_the_last_reference(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE);
	struct folio *copy;

	SHOWS(test, "R80 R81");
	KUNIT_EXPECT_EQ(test, 0, poke(private, 0x22));
	copy = page_folio(m->cow_page);
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_sharers(copy));
	m->cookie = (void *)private;
	mapping_at(m, COWMEM_STEP_PINNED, unmap_the_copy);
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_sharers(copy));
	KUNIT_EXPECT_NULL(test, m->turn);
	KUNIT_EXPECT_FALSE(test, folio_mapped(copy));
	KUNIT_EXPECT_EQ(test, 0U, cowmem_test_sharers(copy));
}

/* --- what the kernel asks of reclaim --- */
static void walks_are_fit_for_reclaim(struct kunit *test)
{
	struct subject s = subject_of(test);

	SHOWS(test, "R82");
	fs_reclaim_acquire(GFP_KERNEL);
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_referenced(s.folio, NULL).result);
	KUNIT_EXPECT_EQ(test, 1U, cowmem_test_clean(s.folio).result);
	KUNIT_EXPECT_EQ(test, TEST_UNMAPPED, cowmem_test_unmap(s.folio, true, true).result);
	fs_reclaim_release(GFP_KERNEL);
	subject_done(&s);
}

/* --- PAGEMAP --- */
static void a_locked_page_counts_as_referenced(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct cowmem_page page;

	SHOWS(test, "R66");
	cowmem_test_describe(s.m->file, 0, COWMEM_PAGEMAP_CLEAR_REFERENCED, &page);
	KUNIT_EXPECT_TRUE(test, page.flags & COWMEM_PAGE_REFERENCED);
	KUNIT_EXPECT_TRUE(test, pte_young(mapping_pte(s.m, s.at)));
	folio_unlock(s.folio);
	cowmem_test_describe(s.m->file, 0, COWMEM_PAGEMAP_CLEAR_REFERENCED, &page);
	KUNIT_EXPECT_TRUE(test, page.flags & COWMEM_PAGE_REFERENCED);
	cowmem_test_describe(s.m->file, 0, COWMEM_PAGEMAP_CLEAR_REFERENCED, &page);
	KUNIT_EXPECT_FALSE(test, page.flags & COWMEM_PAGE_REFERENCED);
	folio_lock(s.folio);
	subject_done(&s);
}

static void a_pinned_page_is_said_to_be(struct kunit *test)
{
	struct subject s = subject_of(test);
	struct cowmem_page page;
	struct page *pinned;

	cowmem_test_describe(s.m->file, 0, 0, &page);
	KUNIT_EXPECT_FALSE(test, page.flags & COWMEM_PAGE_PINNED);
	KUNIT_ASSERT_EQ(test, 1, pin_user_pages_fast(s.at, 1, FOLL_WRITE, &pinned));
	cowmem_test_describe(s.m->file, 0, 0, &page);
	KUNIT_EXPECT_TRUE(test, page.flags & COWMEM_PAGE_PINNED);
	unpin_user_page(pinned);
	subject_done(&s);
}

static struct kunit_case cases[] = {
	KUNIT_CASE(young_entries_are_counted_once),
	KUNIT_CASE(locked_counts_where_the_page_is),
	KUNIT_CASE(sequential_and_foreign_readers_do_not_count),
	KUNIT_CASE(cleaning_write_protects_shared_mappings),
	KUNIT_CASE(unmapping_ends_in_four_ways),
	KUNIT_CASE(unmapping_that_misses_one_says_so),
	KUNIT_CASE(the_peak_of_rss_is_kept),
	KUNIT_CASE(userfaultfd_s_marker_stays),
	KUNIT_CASE(an_entry_goes_before_its_reference),
#ifdef CONFIG_MMU_NOTIFIER
	KUNIT_CASE(secondary_mmus_hear_of_every_change),
#endif
	KUNIT_CASE(a_table_that_vanishes_is_noticed_under_its_lock),
	KUNIT_CASE(a_table_is_looked_at_under_rcu),
	KUNIT_CASE(only_racy_walks_look_before_they_lock),
	KUNIT_CASE(a_page_that_nothing_maps_is_a_short_walk),
	KUNIT_CASE(the_walk_can_drop_the_last_reference),
	KUNIT_CASE(walks_are_fit_for_reclaim),
	KUNIT_CASE(a_locked_page_counts_as_referenced),
	KUNIT_CASE(a_pinned_page_is_said_to_be),
	{},
};

static struct kunit_suite suite = {
	.name = "cowmem_walk",
	.init = mapping_init,
	.exit = mapping_exit,
	.test_cases = cases,
};
kunit_test_suite(suite);
