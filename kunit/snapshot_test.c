// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots over a real mm: whoever freezes pages, copies them or takes them away, at every step
 * of a fault; what freezing does to the entries; and what a page that becomes the object's own
 * permits of its entries.
 */
#include <linux/mm.h>
#include <linux/mm_inline.h>
#include <linux/mman.h>
#include <linux/page_ref.h>
#include <linux/pagemap.h>
#include <linux/sched/signal.h>

#include "mapping.h"
#include "relatives.h"

#define COUNT(name) cowmem_counter_sum(COWMEM_COUNT_##name)

static struct other other;

static bool permits_writes(struct mapping *m, unsigned long address)
{
	const pte_t pte = mapping_pte(m, address);

	return pte_present(pte) && pte_write(pte);
}

static bool is_dirty(struct mapping *m, unsigned long address)
{
	const pte_t pte = mapping_pte(m, address);

	return pte_present(pte) && pte_dirty(pte);
}

/*
 * What is seen at @index of the object of @file is mapped there, or
 * nothing, or a private copy; and it may be written only if it is that object's own. Of a pinnable
 * object nothing else is there at all.
 */
static void expect_entry(struct mapping *m, struct file *file, unsigned long start, pgoff_t index)
{
	const pte_t pte = mapping_pte(m, start + index * PAGE_SIZE);
	struct folio *folio;

	if (!pte_present(pte))
		return;
	folio = page_folio(pte_page(pte));
	if (folio_test_anon(folio))
		return;
	KUNIT_EXPECT_PTR_EQ(m->test, cowmem_test_seen(file, index), folio);
	if (pte_write(pte) || (m->pinnable && file->f_mode & FMODE_WRITE))
		KUNIT_EXPECT_PTR_EQ(m->test, file->f_mapping, folio->mapping);
}

/* --- a writer at every step of a fault --- */

#define PAGES 4UL

/*
 * The pages of the object: the first is the fault's. The second is what the snapshot has. The
 * others are the object's own.
 */
enum { SUBJECT, SNAPSHOTS, OWN };

struct fault_kind {
	const char *name;
	enum { IS_OWN, IS_FROZEN, IS_HOLE } subject;
	enum { TO_READ, TO_WRITE, TO_WRITE_WHAT_IS_READ } access;
	unsigned long flags;
	bool locked; /* speculation is off */
	bool around;
	int steps[8]; /* up to a 0 */
	bool pinnable;
};

#define SPECULATIVE COWMEM_STEP_COUNT_READ, COWMEM_STEP_SNAPSHOT, COWMEM_STEP_TABLE_LOCKED
#define HANDED_OVER COWMEM_STEP_LOCKED, STEP_ANSWERED, COWMEM_STEP_MKWRITE
#define AROUND COWMEM_STEP_AROUND_COUNT_READ, COWMEM_STEP_AROUND_FOUND

/* clang-format off */
static const struct fault_kind kinds[] = {
	{"private write", IS_OWN, TO_WRITE, MAP_PRIVATE, false, false, {SPECULATIVE, COWMEM_STEP_PREPARED}},
	{"private write, frozen", IS_FROZEN, TO_WRITE, MAP_PRIVATE, false, false, {SPECULATIVE, COWMEM_STEP_PREPARED}},
	{"read", IS_OWN, TO_READ, MAP_SHARED, false, false, {SPECULATIVE}},
	{"read, frozen", IS_FROZEN, TO_READ, MAP_SHARED, false, false, {SPECULATIVE}},
	{"write, hole", IS_HOLE, TO_WRITE, MAP_SHARED, false, false, {SPECULATIVE, COWMEM_STEP_PREPARED}},
	{"write", IS_OWN, TO_WRITE, MAP_SHARED, false, false, {SPECULATIVE}},
	{"mkwrite", IS_OWN, TO_WRITE_WHAT_IS_READ, MAP_SHARED, false, false, {SPECULATIVE}},
	{"write, frozen", IS_FROZEN, TO_WRITE, MAP_SHARED, false, false, {COWMEM_STEP_COUNT_READ, COWMEM_STEP_SNAPSHOT, HANDED_OVER}},
	{"mkwrite, frozen", IS_FROZEN, TO_WRITE_WHAT_IS_READ, MAP_SHARED, false, false, {COWMEM_STEP_MKWRITE, STEP_ANSWERED}},
	{"locked write", IS_OWN, TO_WRITE, MAP_SHARED, true, false, {COWMEM_STEP_LOOKED_UP, HANDED_OVER}},
	{"locked mkwrite", IS_OWN, TO_WRITE_WHAT_IS_READ, MAP_SHARED, true, false, {COWMEM_STEP_MKWRITE, STEP_ANSWERED}},
	{"around, private", IS_OWN, TO_READ, MAP_PRIVATE, false, true, {AROUND}},
	{"around, private, frozen", IS_FROZEN, TO_READ, MAP_PRIVATE, false, true, {AROUND}},
	{"around, shared", IS_OWN, TO_READ, MAP_SHARED, false, true, {AROUND}},
	{"around, shared, frozen", IS_FROZEN, TO_READ, MAP_SHARED, false, true, {AROUND}},
	{"pinnable read", IS_OWN, TO_READ, MAP_SHARED, false, false, {SPECULATIVE}, true},
	{"pinnable read, frozen", IS_FROZEN, TO_READ, MAP_SHARED, false, false, {COWMEM_STEP_COUNT_READ, COWMEM_STEP_SNAPSHOT, COWMEM_STEP_LOCKED}, true},
	{"pinnable read, hole", IS_HOLE, TO_READ, MAP_SHARED, false, false, {SPECULATIVE, COWMEM_STEP_PREPARED}, true},
	{"pinnable write", IS_OWN, TO_WRITE, MAP_SHARED, false, false, {SPECULATIVE}, true},
	{"pinnable write, frozen", IS_FROZEN, TO_WRITE, MAP_SHARED, false, false, {COWMEM_STEP_COUNT_READ, COWMEM_STEP_SNAPSHOT, COWMEM_STEP_LOCKED, STEP_ANSWERED}, true},
	{"pinnable locked write", IS_OWN, TO_WRITE, MAP_SHARED, true, false, {COWMEM_STEP_LOOKED_UP, COWMEM_STEP_LOCKED, STEP_ANSWERED}, true},
	{"pinnable, around", IS_OWN, TO_READ, MAP_SHARED, false, true, {AROUND}, true},
	{"pinnable, around, frozen", IS_FROZEN, TO_READ, MAP_SHARED, false, true, {AROUND}, true},
};
/* clang-format on */

static const char *const step_names[] = {
	[COWMEM_STEP_LOCKED] = "locked",
	[COWMEM_STEP_LOOKED_UP] = "looked up",
	[COWMEM_STEP_MKWRITE] = "page_mkwrite entered",
	[COWMEM_STEP_COUNT_READ] = "count read",
	[COWMEM_STEP_SNAPSHOT] = "page found",
	[COWMEM_STEP_PREPARED] = "prepared",
	[COWMEM_STEP_TABLE_LOCKED] = "table locked",
	[COWMEM_STEP_AROUND_FOUND] = "candidate found",
	[COWMEM_STEP_AROUND_COUNT_READ] = "count read",
	[STEP_ANSWERED] = "answered",
};

static void take_snapshot(struct other *o)
{
	made = cowmem_test_snapshot(o->mapping->file, ANY);
}

static void take_clone(struct other *o)
{
	made = cowmem_test_clone(o->mapping->file);
}

static void restore(struct other *o)
{
	o->result = cowmem_test_restore(o->mapping->file, snapshot);
}

static void close_snapshot(struct other *o)
{
	close_now(&snapshot);
}

static bool is_closed(struct other *o)
{
	return !READ_ONCE(snapshot);
}

/* The first hold the object's lock alone; the others leave its count alone. */
enum { SNAPSHOT, CLONE, RESTORE, CLOSE, DROP, A_WRITE };

static const struct writer {
	const char *name;
	void (*run)(struct other *o);
	bool (*has_begun)(struct other *o); /* or the count has changed */
} writers[] = {
	[SNAPSHOT] = {"SNAPSHOT", take_snapshot},
	[CLONE] = {"CLONE", take_clone},
	[RESTORE] = {"RESTORE", restore},
	[CLOSE] = {"a snapshot closed", close_snapshot, is_closed},
	/* By one copy more than it allows. */
	[DROP] = {"a snapshot dropped", other_write, is_written},
	[A_WRITE] = {"a write", other_write, is_written},
};

struct interleaving {
	unsigned int kind, writer, step;
};

/* Every writer at every step of every fault. */
static const void *next_interleaving(compat_gen_params(previous, description))
{
	static struct interleaving at;

	if (!previous) {
		at = (struct interleaving){};
	} else if (!kinds[at.kind].steps[++at.step]) {
		at.step = 0;
		at.writer++;
	}
	if (at.writer == ARRAY_SIZE(writers)) {
		at.writer = 0;
		at.kind++;
	}
	if (at.kind == ARRAY_SIZE(kinds))
		return NULL;
	snprintf(description, KUNIT_PARAM_DESC_SIZE, "%s; %s; %s", kinds[at.kind].name,
	         step_names[kinds[at.kind].steps[at.step]], writers[at.writer].name);
	return &at;
}

/* One interleaving, and where its object is mapped. */
struct scene {
	struct mapping *m;
	const struct fault_kind *kind;
	unsigned int writer;
	int step;
	unsigned long shared, address; /* by who made the pages; by the fault */
	unsigned long snapshots;       /* the snapshot's mapping, or 0 */
	unsigned long mades;           /* the mapping of what the writer made, or 0 */
};

/* Whether the fault ends before the writer, which waits for one of its locks. */
static bool fault_is_first(const struct scene *s)
{
	return s->step == COWMEM_STEP_LOCKED || s->step == COWMEM_STEP_LOOKED_UP ||
	       s->step == STEP_ANSWERED;
}

static void poke_page(struct mapping *m, unsigned long start, pgoff_t index, u8 value)
{
	KUNIT_ASSERT_EQ(m->test, 0, poke(start + index * PAGE_SIZE, value));
}

static struct scene set(struct kunit *test)
{
	const struct interleaving *at = test->param_value;
	const struct fault_kind *kind = &kinds[at->kind];
	struct mapping *m = test->priv;
	struct scene s = {
		.m = m,
		.kind = kind,
		.writer = at->writer,
		.step = kind->steps[at->step],
	};

	if (kind->pinnable)
		mapping_set_pinnable(m);
	s.shared = mapping_map(m, PAGES, MAP_SHARED);

	if (kind->subject != IS_HOLE)
		poke_page(m, s.shared, SUBJECT, 0x11);
	poke_page(m, s.shared, SNAPSHOTS, 0x11);
	snapshot = snapshot_of(m, s.writer == DROP ? kind->subject == IS_OWN : ANY);
	if (s.writer != CLOSE) {
		s.snapshots = mapping_map_of(m, snapshot, PAGES, MAP_SHARED);
		KUNIT_ASSERT_EQ(test, 0x11, peek(s.snapshots + SNAPSHOTS * PAGE_SIZE));
		/* To read a hole would be to fill it. */
		if (kind->subject != IS_HOLE)
			KUNIT_ASSERT_EQ(test, 0x11, peek(s.snapshots));
	}
	for (pgoff_t index = OWN; index < PAGES; index++)
		poke_page(m, s.shared, index, 0x22);
	if (kind->subject == IS_OWN)
		poke_page(m, s.shared, SUBJECT, 0x22);
	if (kind->around) {
		s.address = mapping_map_around(m, PAGES, kind->flags);
		return s;
	}
	/* There is its page table, and of the subject an entry if that is wanted. */
	s.address = mapping_map(m, PAGES, kind->flags);
	if (kind->pinnable) /* which would copy what the snapshot has */
		KUNIT_ASSERT_EQ(test, 0x22, peek(s.address + OWN * PAGE_SIZE));
	else
		KUNIT_ASSERT_EQ(test, 0x11, peek(s.address + SNAPSHOTS * PAGE_SIZE));
	cowmem_parameters.reuse = false;
	if (kind->access == TO_WRITE_WHAT_IS_READ)
		KUNIT_ASSERT_LE(test, 0, peek(s.address));
	cowmem_parameters.reuse = true;
	if (kind->locked)
		cowmem_parameters.speculate_shared_write = false;
	return s;
}

/* Whether an attempt that has found the family's page finds that it was copied meanwhile. */
static bool finds_a_copy(const struct scene *s)
{
	return s->kind->subject == IS_FROZEN && s->kind->flags == MAP_SHARED &&
	       (s->step == COWMEM_STEP_SNAPSHOT || s->step == COWMEM_STEP_TABLE_LOCKED);
}

/* The counter that has to say why the attempt at the fault gave up, if it has to. */
static enum cowmem_counter abort_of(const struct scene *s)
{
	if (s->writer == A_WRITE && finds_a_copy(s))
		return COWMEM_COUNT_speculative_abort_shared;
	if (writers[s->writer].has_begun)
		return COWMEM_NR_COUNTERS;
	switch (s->step) {
	case COWMEM_STEP_COUNT_READ:
	case COWMEM_STEP_SNAPSHOT:
		return COWMEM_COUNT_speculative_abort_snapshot;
	case COWMEM_STEP_PREPARED:
		/* What filled the hole is gone. (With its reference a SNAPSHOT leaves it.) */
		return s->kind->subject == IS_HOLE && s->writer == RESTORE
		               ? COWMEM_COUNT_speculative_abort_shared
		               : COWMEM_COUNT_speculative_abort_changed;
	case COWMEM_STEP_TABLE_LOCKED:
		return COWMEM_COUNT_speculative_abort_changed;
	case COWMEM_STEP_AROUND_COUNT_READ:
		return COWMEM_COUNT_around_overtaken;
	}
	return COWMEM_NR_COUNTERS;
}

/* The fault, with the writer at its step. */
static void let_them_meet(const struct scene *s)
{
	struct kunit *test = s->m->test;
	const struct writer *writer = &writers[s->writer];
	const enum cowmem_counter reason = abort_of(s);
	const unsigned long aborts = reason < COWMEM_NR_COUNTERS ? cowmem_counter_sum(reason) : 0;
	const unsigned long dropped = COUNT(snapshots_dropped);
	const unsigned long count = cowmem_test_count(s->m->file);

	other.result = 0;
	if (s->writer == DROP)
		will_write(s->m->file, SNAPSHOTS, 1);
	else
		will_write(s->m->file, SUBJECT, 3);
	if (writer->has_begun)
		other_at_until(&other, s->m, s->step, writer->run, writer->has_begun);
	else
		other_at(&other, s->m, s->step, writer->run);
	if (s->kind->access == TO_READ)
		KUNIT_EXPECT_LE(test, 0, peek(s->address));
	else
		KUNIT_EXPECT_EQ(test, 0, poke(s->address + 1, 0x77));
	KUNIT_ASSERT_NULL(test, s->m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, dropped + (s->writer == DROP), COUNT(snapshots_dropped));
	KUNIT_EXPECT_EQ(test, count + (writer->has_begun ? 0 : 2), cowmem_test_count(s->m->file));
	if (reason < COWMEM_NR_COUNTERS)
		KUNIT_EXPECT_EQ(test, aborts + 1, cowmem_counter_sum(reason));
}

static void expect_entries(const struct scene *s)
{
	for (pgoff_t index = 0; index < PAGES; index++) {
		expect_entry(s->m, s->m->file, s->shared, index);
		expect_entry(s->m, s->m->file, s->address, index);
		if (s->snapshots)
			expect_entry(s->m, snapshot, s->snapshots, index);
		if (s->mades)
			expect_entry(s->m, made, s->mades, index);
	}
}

/* What the fault read or wrote is there: what the writer gave the object, or left it. */
static void expect_bytes(const struct scene *s)
{
	struct kunit *test = s->m->test;
	const bool writes = s->kind->access != TO_READ, private = s->kind->flags == MAP_PRIVATE;
	const bool restored = s->writer == RESTORE;
	const int own = s->kind->subject == IS_OWN && !restored ? 0x22 : 0x11;
	const int stored = peek(s->address + 1);

	KUNIT_EXPECT_EQ(test, s->kind->subject == IS_HOLE ? 0 : own, peek(s->address));
	KUNIT_EXPECT_EQ(test, peek(s->address), peek(s->shared));
	/* What was written before a RESTORE is gone. */
	if (!restored || !fault_is_first(s) || stored)
		KUNIT_EXPECT_EQ(test, writes ? 0x77 : 0, stored);
	KUNIT_EXPECT_EQ(test, private ? 0 : stored, peek(s->shared + 1));
	KUNIT_EXPECT_EQ(test, s->writer == A_WRITE ? 0xee : 0, peek(s->shared + 3));
	/* A private copy may have been made before. */
	if (!private || !writes)
		KUNIT_EXPECT_EQ(test, peek(s->shared + 3), peek(s->address + 3));
	KUNIT_EXPECT_EQ(test, 0x11, peek(s->shared + SNAPSHOTS * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, s->writer == DROP ? 0xee : 0,
	                peek(s->shared + SNAPSHOTS * PAGE_SIZE + 1));
	KUNIT_EXPECT_EQ(test, restored ? 0 : 0x22, peek(s->shared + OWN * PAGE_SIZE));
	for (pgoff_t index = SNAPSHOTS; index < PAGES; index++)
		KUNIT_EXPECT_EQ(test, peek(s->shared + index * PAGE_SIZE),
		                peek(s->address + index * PAGE_SIZE));
}

/* The snapshot that there was is as it was, or there is nothing of it. */
static void expect_snapshot(const struct scene *s)
{
	struct kunit *test = s->m->test;

	if (!s->snapshots)
		return;
	if (s->writer == DROP) {
		for (pgoff_t index = SUBJECT; index <= SNAPSHOTS; index++)
			KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(
							s->m, s->snapshots + index * PAGE_SIZE)));
		KUNIT_EXPECT_EQ(test, -EFAULT, peek(s->snapshots));
		return;
	}
	KUNIT_EXPECT_EQ(test, s->kind->subject == IS_HOLE ? 0 : 0x11, peek(s->snapshots));
	KUNIT_EXPECT_EQ(test, 0, peek(s->snapshots + 1));
	KUNIT_EXPECT_EQ(test, 0, peek(s->snapshots + 3));
	KUNIT_EXPECT_EQ(test, 0x11, peek(s->snapshots + SNAPSHOTS * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, peek(s->snapshots + OWN * PAGE_SIZE));
}

/*
 * What the writer made has what the object had then: not what the fault wrote, unless that was
 * first. And it does not see what is written now; nor is a clone's write seen elsewhere.
 */
static void expect_made(struct scene *s)
{
	struct kunit *test = s->m->test;
	const int stored = peek(s->shared + 1);
	int then;

	KUNIT_ASSERT_NOT_NULL(test, made);
	s->mades = mapping_map_of(s->m, made, PAGES, MAP_SHARED);
	then = peek(s->mades + 1);
	if (!fault_is_first(s) || then)
		KUNIT_EXPECT_EQ(test, fault_is_first(s) ? stored : 0, then);
	for (pgoff_t index = 0; index < PAGES; index++)
		KUNIT_EXPECT_EQ(test, peek(s->shared + index * PAGE_SIZE),
		                peek(s->mades + index * PAGE_SIZE));
	expect_entries(s);
	if (s->writer == CLONE)
		KUNIT_EXPECT_EQ(test, 0, poke(s->mades + 2, 0x99));
	KUNIT_EXPECT_EQ(test, 0, poke(s->shared + 1, 0x88));
	KUNIT_EXPECT_EQ(test, then, peek(s->mades + 1));
	KUNIT_EXPECT_EQ(test, 0, peek(s->shared + 2));
}

static void a_writer_between_two_steps(struct kunit *test)
{
	struct scene s;

	SHOWS(test, "R18 R26 R31 R32 R33 R36");
	s = set(test);
	let_them_meet(&s);
	expect_entries(&s);
	expect_bytes(&s);
	expect_snapshot(&s);
	if (s.writer == SNAPSHOT || s.writer == CLONE)
		expect_made(&s);
	expect_entries(&s);
	KUNIT_EXPECT_STREQ(test, cowmem_test_check(s.m->file).what ?: "", "");
	if (made)
		KUNIT_EXPECT_STREQ(test, cowmem_test_check(made).what ?: "", "");
}

/* --- what freezing does --- */

static pmd_t *pmd_at(struct mapping *m, unsigned long address)
{
	pud_t *pud = pud_offset(p4d_offset(pgd_offset(m->mm, address), address), address);

	return pmd_offset(pud, address);
}

/* The entry of @address, which there is. */
static pte_t *entry_at(struct mapping *m, unsigned long address)
{
	return pte_offset_kernel(pmd_at(m, address), address);
}

/* As if nobody had ever written the page, so that the entries alone know. */
static void forget_written(struct folio *folio)
{
	folio_clear_dirty(folio);
	folio_clear_checked(folio);
}

static void entries_of_all_mappings_are_protected(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 3, MAP_SHARED), b = mapping_map(m, 3, MAP_SHARED);
	unsigned long private = mapping_map(m, 3, MAP_PRIVATE);
	struct folio *folio[2];
	pte_t copy;

	for (pgoff_t index = 0; index < 2; index++) {
		poke_page(m, a, index, 0x11);
		poke_page(m, b, index, 0x22);
		folio[index] = mapping_folio(m, index);
		forget_written(folio[index]);
		KUNIT_ASSERT_TRUE(test, permits_writes(m, a + index * PAGE_SIZE));
		KUNIT_ASSERT_TRUE(test, permits_writes(m, b + index * PAGE_SIZE));
	}
	KUNIT_ASSERT_EQ(test, 0x22, peek(private));
	poke_page(m, private, 1, 0x33);
	copy = mapping_pte(m, private + PAGE_SIZE);
	snapshot = snapshot_of(m, ANY);
	for (pgoff_t index = 0; index < 2; index++) {
		KUNIT_EXPECT_PTR_EQ(test, folio[index], shared_of(m, m->file, index));
		KUNIT_EXPECT_PTR_EQ(test, folio[index], shared_of(m, snapshot, index));
		KUNIT_EXPECT_EQ(test, 1L, names(folio[index]));
		KUNIT_EXPECT_TRUE(test, maps(m, a + index * PAGE_SIZE, folio[index]));
		KUNIT_EXPECT_TRUE(test, maps(m, b + index * PAGE_SIZE, folio[index]));
		KUNIT_EXPECT_FALSE(test, permits_writes(m, a + index * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, permits_writes(m, b + index * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, is_dirty(m, a + index * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, is_dirty(m, b + index * PAGE_SIZE));
		KUNIT_EXPECT_TRUE(test, folio_test_dirty(folio[index]));
		KUNIT_EXPECT_TRUE(test, folio_test_checked(folio[index]));
	}
	/* A private copy is nobody's business. */
	KUNIT_EXPECT_TRUE(test, maps(m, private, folio[0]));
	KUNIT_EXPECT_EQ(test, pte_val(copy), pte_val(mapping_pte(m, private + PAGE_SIZE)));
	/* The TLB knows of it, too: each first write is a fault. */
	m->mkwrites = 0;
	poke_page(m, a, 0, 0x44);
	poke_page(m, a, 1, 0x44);
	KUNIT_EXPECT_EQ(test, 2U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, 0x44, peek(b));
}

/* How often @counted was taken; at the time that is @due there is a turn. */
static unsigned int times, due;
static void (*on_time)(struct mapping *m);

static void count_step(struct mapping *m, struct vm_fault *vmf)
{
	mapping_at(m, m->step, count_step);
	if (++times == due)
		on_time(m);
}

/* Counts how often @step comes from now on; at the @nth time there is @turn. */
static void count_at(struct mapping *m, int step, unsigned int nth, void (*turn)(struct mapping *m))
{
	times = 0;
	due = nth;
	on_time = turn;
	mapping_at(m, step, count_step);
}

/* More pages than a page-table lock is held for, and two page tables. */
static void each_mapping_is_flushed_once(struct kunit *test)
{
	struct mapping *m = test->priv;
	const unsigned long pages = PTRS_PER_PTE + 40;
	unsigned long a = mapping_map(m, pages, MAP_SHARED), b = mapping_map(m, pages, MAP_SHARED);
	unsigned long beyond = mapping_map(m, 1, MAP_SHARED);

	mapping_map(m, pages, MAP_PRIVATE);
	for (pgoff_t index = 0; index < 40; index++) {
		poke_page(m, a, index, 0x11);
		poke_page(m, a, PTRS_PER_PTE + index, 0x11);
		KUNIT_ASSERT_EQ(test, 0, poke(b + index * PAGE_SIZE + 1, 0x22));
	}
	KUNIT_ASSERT_EQ(test, 0x11, peek(beyond));
	count_at(m, COWMEM_STEP_FLUSHED, 0, NULL);
	snapshot = snapshot_of(m, ANY);
	m->turn = NULL;
	KUNIT_EXPECT_EQ(test, 3U, times);
	for (pgoff_t index = 0; index < 40; index++) {
		KUNIT_EXPECT_FALSE(test, permits_writes(m, a + index * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, permits_writes(m, b + index * PAGE_SIZE));
		KUNIT_EXPECT_FALSE(test, permits_writes(m, a + (PTRS_PER_PTE + index) * PAGE_SIZE));
	}
}

static void kill_myself(struct mapping *m, struct vm_fault *vmf)
{
	send_sig(SIGKILL, current, 1);
}

/* Has a fatal signal come to this thread when the entries of the pages have been visited. */
static void will_be_killed(struct mapping *m)
{
	allow_signal(SIGKILL);
	mapping_at(m, COWMEM_STEP_FLUSHED, kill_myself);
}

static void was_killed(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, fatal_signal_pending(current));
	flush_signals(current);
	disallow_signal(SIGKILL);
}

static void a_snapshot_that_is_killed_leaves_nothing(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), taken = COUNT(snapshots);

	poke_page(m, a, 0, 0x11);
	poke_page(m, a, 1, 0x11);
	will_be_killed(m);
	snapshot = cowmem_test_snapshot(m->file, ANY);
	was_killed(test);
	KUNIT_EXPECT_NULL(test, snapshot);
	KUNIT_EXPECT_EQ(test, taken, COUNT(snapshots));
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x22));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(own_of(m->file, 0), 0));
	KUNIT_EXPECT_EQ(test, 0x11, peek(a + PAGE_SIZE));
}

static void a_restore_that_is_killed_changes_nothing(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), restored = COUNT(restores);

	poke_page(m, a, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x22));
	will_be_killed(m);
	KUNIT_EXPECT_EQ(test, -EINTR, cowmem_test_restore(m->file, snapshot));
	was_killed(test);
	KUNIT_EXPECT_EQ(test, restored, COUNT(restores));
	KUNIT_EXPECT_EQ(test, 0x22, peek(a));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(own_of(m->file, 0), 0));
	KUNIT_EXPECT_EQ(test, 0, cowmem_test_restore(m->file, snapshot));
	KUNIT_EXPECT_EQ(test, 0x11, peek(a));
}

/* What was stored through an entry that was clean, of a page that the store has otherwise. */
static void a_restore_that_is_killed_loses_no_write(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED);
	struct cowmem_page_out out;

	poke_page(m, a, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x22));
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	KUNIT_ASSERT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, 0x22, peek(a));
	KUNIT_ASSERT_TRUE(test, permits_writes(m, a) && !is_dirty(m, a));
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x33));
	will_be_killed(m);
	KUNIT_EXPECT_EQ(test, -EINTR, cowmem_test_restore(m->file, snapshot));
	was_killed(test);
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, a)));
	cowmem_test_page_out(m->file, 0, 0, true, &out);
	KUNIT_EXPECT_EQ(test, 1ULL, out.out);
	KUNIT_EXPECT_EQ(test, 0x33, peek(a));
}

static void a_restore_that_is_killed_leaves_limits(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 3, MAP_SHARED), dropped = COUNT(snapshots_dropped);

	snapshot = snapshot_of(m, ANY);
	poke_page(m, a, 0, 0x11);
	poke_page(m, a, 1, 0x11);
	made = snapshot_of(m, 1);
	poke_page(m, a, 2, 0x22);
	will_be_killed(m);
	KUNIT_EXPECT_EQ(test, -EINTR, cowmem_test_restore(m->file, snapshot));
	was_killed(test);
	poke_page(m, a, 0, 0x22);
	KUNIT_EXPECT_EQ(test, dropped, COUNT(snapshots_dropped));
	poke_page(m, a, 1, 0x22);
	KUNIT_EXPECT_EQ(test, dropped + 1, COUNT(snapshots_dropped));
}

/*
 * RESTORE has let go of the object, but has not freed the page yet that page_mkwrite was called
 * for: another page keeps it from that. What is written then is in what was restored.
 */
static void what_a_restore_leaves_is_not_written(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), b;
	struct file *closed;
	struct folio *first;

	poke_page(m, a, 1, 0x11);
	snapshot = snapshot_of(m, ANY);
	poke_page(m, a, 0, 0x22);
	closed = snapshot_of(m, ANY);
	poke_page(m, a, 1, 0x33);
	close_now(&closed);
	first = shared_of(m, m->file, 0);
	KUNIT_ASSERT_NOT_NULL(test, first);
	folio_get(first);
	folio_lock(first);
	b = mapping_map(m, 2, MAP_SHARED);
	cowmem_parameters.speculate_shared_write = false;
	other.result = 0;
	other_at(&other, m, COWMEM_STEP_MKWRITE, restore);
	KUNIT_EXPECT_EQ(test, 0, poke(b + PAGE_SIZE + 1, 0x77));
	KUNIT_EXPECT_FALSE(test, completion_done(&other.done));
	folio_unlock(first);
	folio_put(first);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, 0x11, peek(b + PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0x77, peek(b + PAGE_SIZE + 1));
	KUNIT_EXPECT_EQ(test, 0x77, peek(a + PAGE_SIZE + 1));
}

/* The entries of a page for one who writes and for one who reads, and the page that is frozen. */
static struct {
	unsigned long writer, reader;
	struct folio *frozen;
	unsigned int early; /* times that the one could store what the other would not load */
} pair;

static void look_at_both(struct mapping *m, struct vm_fault *vmf)
{
	mapping_at(m, m->step, look_at_both);
	times++;
	pair.early += pte_write(ptep_get(entry_at(m, pair.writer))) &&
	              pte_pfn(ptep_get(entry_at(m, pair.reader))) == folio_pfn(pair.frozen);
}

static void write_for_both(struct mapping *m, unsigned long writer, unsigned long reader)
{
	struct kunit *test = m->test;

	times = 0;
	pair.writer = writer;
	pair.reader = reader;
	pair.frozen = page_folio(pte_page(mapping_pte(m, reader)));
	mapping_at(m, COWMEM_STEP_TABLE, look_at_both);
	KUNIT_EXPECT_EQ(test, 0, poke(writer, 0x22));
	m->turn = NULL;
	KUNIT_EXPECT_EQ(test, 2U, times);
	KUNIT_EXPECT_FALSE(test, maps(m, reader, pair.frozen));
	KUNIT_EXPECT_EQ(test, 0x22, peek(reader));
}

/* While somebody still sees the snapshot's page, nobody may write the object's. */
static void the_writers_entry_is_the_last(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 2, MAP_SHARED), b = mapping_map(m, 2, MAP_SHARED);

	pair.early = 0;
	for (pgoff_t index = 0; index < 2; index++) {
		poke_page(m, a, index, 0x11);
		KUNIT_ASSERT_EQ(test, 0x11, peek(b + index * PAGE_SIZE));
	}
	snapshot = snapshot_of(m, ANY);
	/* Whichever mapping comes first in the tree. */
	write_for_both(m, a, b);
	write_for_both(m, b + PAGE_SIZE, a + PAGE_SIZE);
	KUNIT_EXPECT_EQ(test, 0U, pair.early);
}

/* A fault's own page, a neighbour, and one that is copied while the fault maps neighbours. */
enum { FAULTED, NEIGHBOUR, COPIED };

/* Others still see the snapshot's page then, and nobody may write to the object's. */
static void a_page_being_copied_is_no_neighbour(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 3, MAP_SHARED), b = mapping_map(m, 3, MAP_SHARED);
	unsigned long address = mapping_map(m, 3, MAP_SHARED), passed;

	for (pgoff_t index = FAULTED; index <= COPIED; index++)
		poke_page(m, a, index, 0x11);
	KUNIT_ASSERT_EQ(test, 0x11, peek(b + COPIED * PAGE_SIZE));
	snapshot = snapshot_of(m, ANY);
	poke_page(m, a, FAULTED, 0x22);
	poke_page(m, a, NEIGHBOUR, 0x22);
	passed = COUNT(around_skipped_shared);
	other.result = 0;
	will_write(m->file, COPIED, 1);
	/* Goes on when the copy is in the tree; the entries wait for the page table, which is locked. */
	other_at_until(&other, m, COWMEM_STEP_AROUND_FOUND, other_write, is_written);
	KUNIT_EXPECT_EQ(test, 0, poke(address, 0x33));
	KUNIT_ASSERT_NULL(test, m->turn);
	other_finish(&other);
	KUNIT_EXPECT_EQ(test, 0, other.result);
	KUNIT_EXPECT_EQ(test, passed + 1, COUNT(around_skipped_shared));
	KUNIT_EXPECT_TRUE(test, permits_writes(m, address + NEIGHBOUR * PAGE_SIZE));
	KUNIT_EXPECT_TRUE(test, pte_none(mapping_pte(m, address + COPIED * PAGE_SIZE)));
	KUNIT_EXPECT_TRUE(test, maps(m, b + COPIED * PAGE_SIZE, own_of(m->file, COPIED)));
	KUNIT_EXPECT_EQ(test, 0xee, peek(address + COPIED * PAGE_SIZE + 1));
}

/* Two mappings, and a page that is locked as by a fault which is about to map it. */
static unsigned long late[2];
static struct folio *locked;

/* As the core does with a page that it was handed. */
static void map_writable_and_unlock(struct mapping *m)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(late); i++) {
		pte_t *entry = entry_at(m, late[i]);

		set_pte(entry, pte_mkdirty(pte_mkwrite_novma(ptep_get(entry))));
	}
	folio_unlock(locked);
}

/*
 * A page that a fault has locked when freezing begins is mapped writable at some step: then it
 * is looked at again, and is read-only at the end.
 */
static void mapped_late_at(struct kunit *test, int step, unsigned int nth)
{
	struct mapping *m = test->priv;

	late[0] = mapping_map(m, 2, MAP_SHARED);
	late[1] = mapping_map(m, 2, MAP_SHARED);
	poke_page(m, late[0], 0, 0x11);
	poke_page(m, late[0], 1, 0x11);
	KUNIT_ASSERT_EQ(test, 0x11, peek(late[1]));
	locked = mapping_folio(m, 0);
	folio_lock(locked);
	count_at(m, step, nth, map_writable_and_unlock);
	snapshot = snapshot_of(m, ANY);
	m->turn = NULL;
	KUNIT_EXPECT_GE(test, times, nth);
	KUNIT_EXPECT_FALSE(test, folio_test_locked(locked));
	for (unsigned int i = 0; i < ARRAY_SIZE(late); i++) {
		KUNIT_EXPECT_TRUE(test, maps(m, late[i], locked));
		KUNIT_EXPECT_FALSE(test, permits_writes(m, late[i]));
		KUNIT_EXPECT_FALSE(test, is_dirty(m, late[i]));
	}
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(locked));
}

static void mapped_late_at_the_first_table(struct kunit *test)
{
	mapped_late_at(test, COWMEM_STEP_TABLE, 1);
}

static void mapped_late_at_the_second_table(struct kunit *test)
{
	mapped_late_at(test, COWMEM_STEP_TABLE, 2);
}

static void mapped_late_at_the_first_flush(struct kunit *test)
{
	mapped_late_at(test, COWMEM_STEP_FLUSHED, 1);
}

static void mapped_late_at_the_last_flush(struct kunit *test)
{
	mapped_late_at(test, COWMEM_STEP_FLUSHED, 2);
}

/* Who has a reference goes on writing to the object; the snapshot has other memory. */
static void a_page_with_a_reference_is_copied(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 2, MAP_SHARED);
	unsigned long copied = COUNT(pages_frozen_copied);
	struct folio *kept, *given, *copy;

	SHOWS(test, "R51");
	poke_page(m, shared, 0, 0x11);
	poke_page(m, shared, 1, 0x22);
	kept = mapping_folio(m, 0);
	given = mapping_folio(m, 1);
	folio_get(kept);
	forget_written(kept);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_EQ(test, copied + 1, COUNT(pages_frozen_copied));
	KUNIT_EXPECT_PTR_EQ(test, kept, own_of(m->file, 0));
	KUNIT_EXPECT_NULL(test, own_of(m->file, 1));
	KUNIT_EXPECT_PTR_EQ(test, given, shared_of(m, snapshot, 1));
	copy = shared_of(m, snapshot, 0);
	KUNIT_ASSERT_NOT_NULL(test, copy);
	KUNIT_EXPECT_PTR_NE(test, kept, copy);
	KUNIT_EXPECT_EQ(test, 1, folio_ref_count(copy));
	KUNIT_EXPECT_EQ(test, 1L, names(copy));
	KUNIT_EXPECT_EQ(test, 1L, names(kept));
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(kept) && folio_test_checked(kept));
	KUNIT_EXPECT_TRUE(test, folio_test_dirty(copy));
	KUNIT_EXPECT_TRUE(test, folio_test_checked(copy));
	KUNIT_EXPECT_FALSE(test, permits_writes(m, shared));
	memset(folio_address(kept) + 1, 0x33, 1);
	KUNIT_EXPECT_EQ(test, 0x33, peek(shared + 1));
	KUNIT_EXPECT_EQ(test, 0x11, byte_of(copy, 0));
	KUNIT_EXPECT_EQ(test, 0, byte_of(copy, 1));
	/* The tree's, the mapping's and ours. */
	KUNIT_EXPECT_EQ(test, 3, folio_ref_count(kept));
	folio_put(kept);
}

/* --- what TLBs still have --- */
#ifdef CONFIG_PT_RECLAIM
/* A store, if this CPU's TLB has what lets it through: whether it had. */
static bool store_by_tlb(unsigned long address, u8 value)
{
	bool stored;

	pagefault_disable();
	stored = !__copy_to_user_inatomic((void __user *)address, &value, 1);
	pagefault_enable();
	return stored;
}

/*
 * As MADV_DONTNEED between the moment when it has emptied a page table, of which it has told the page, and taken that out of its place,
 * and its flush; the page is mapped until then. The same where a fault has put a table there since.
 */
static void emptied_and_not_flushed(struct kunit *test, bool is_there_again)
{
	struct mapping *m = test->priv;
	unsigned long at = mapping_source(m, 1, 0x11);
	pmd_t *pmd = pmd_at(m, at), table;
	pte_t *entry = entry_at(m, at), was;
	bool is_known = false;

	KUNIT_ASSERT_TRUE(test, permits_writes(m, at));
	inc_tlb_flush_pending(m->mm);
	folio_mark_dirty(mapping_folio(m, 0));
	/* An interrupt may have the TLB flushed. Nobody else has this mm. */
	for (int tries = 0; tries < 100 && !is_known; tries++) {
		preempt_disable();
		store_by_tlb(at, 0x11);
		was = ptep_get_and_clear(m->mm, at, entry);
		table = *pmd;
		if (!is_there_again)
			pmd_clear(pmd);
		is_known = store_by_tlb(at, 0x22);
		if (!is_known) {
			set_pmd(pmd, table);
			set_pte_at(m->mm, at, entry, was);
		}
		preempt_enable();
	}
	KUNIT_ASSERT_TRUE(test, is_known);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_FALSE(test, store_by_tlb(at, 0x33));
	KUNIT_EXPECT_EQ(test, 0x22, byte_of(shared_of(m, snapshot, 0), 0));
	if (!is_there_again)
		set_pmd(pmd, table);
	set_pte_at(m->mm, at, entry, pte_wrprotect(pte_mkclean(was)));
	dec_tlb_flush_pending(m->mm);
}

static void a_table_that_is_gone_is_flushed(struct kunit *test)
{
	emptied_and_not_flushed(test, false);
}

static void a_table_that_came_since_is_flushed(struct kunit *test)
{
	emptied_and_not_flushed(test, true);
}
#endif

/* --- several at once --- */
static pte_t *to_be_protected[2];

static void expect_all_protected(struct mapping *m, struct vm_fault *vmf)
{
	for (int i = 0; i < 2; i++)
		KUNIT_EXPECT_FALSE(m->test, pte_write(ptep_get(to_be_protected[i])));
}

/* What is frozen may be written by who has a reference, and what that writes is to be told of in no other. */
static void all_of_a_set_are_protected_before_one_is_frozen(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED), b;
	struct file *objects[2], *taken[2];

	poke_page(m, a, 0, 0x11);
	made = clone_of(m);
	b = mapping_map_of(m, made, 1, MAP_SHARED);
	KUNIT_EXPECT_EQ(test, 0, poke(a, 0x22));
	KUNIT_EXPECT_EQ(test, 0, poke(b, 0x33));
	KUNIT_EXPECT_TRUE(test, permits_writes(m, a) && permits_writes(m, b));
	to_be_protected[0] = entry_at(m, a);
	to_be_protected[1] = entry_at(m, b);
	objects[0] = m->file;
	objects[1] = made;
	mapping_at(m, COWMEM_STEP_FREEZES, expect_all_protected);
	KUNIT_ASSERT_EQ(test, 0, cowmem_test_snapshot_set(objects, taken, 2));
	KUNIT_EXPECT_NULL(test, m->turn);
	close_now(&taken[0]);
	close_now(&taken[1]);
}

/* --- a page that becomes the object's own --- */

static void let_the_other_mapping_be_written(struct mapping *m, struct vm_fault *vmf)
{
	other.address = *(unsigned long *)m->cookie;
	other_start(&other, m, other_poke);
	other_finish(&other);
	KUNIT_EXPECT_EQ(m->test, 0, other.result);
}

/* Who finds the page copied meanwhile, by another mapping's writer, may not write through his entry yet. */
static void the_second_of_two_writers_comes_again(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED), b = mapping_map(m, 1, MAP_SHARED);
	unsigned long copies, again;

	poke_page(m, a, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	KUNIT_ASSERT_EQ(test, 0x11, peek(b));
	copies = COUNT(pages_copied_up);
	again = COUNT(mkwrite_again);
	m->mkwrites = 0;
	m->cookie = &b;
	mapping_at(m, COWMEM_STEP_MKWRITE, let_the_other_mapping_be_written);
	KUNIT_EXPECT_EQ(test, 0, poke(a + 1, 0x22));
	KUNIT_EXPECT_EQ(test, copies + 1, COUNT(pages_copied_up));
	KUNIT_EXPECT_EQ(test, again + 1, COUNT(mkwrite_again));
	KUNIT_EXPECT_EQ(test, 2U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, 0xee, peek(a));
	KUNIT_EXPECT_EQ(test, 0x22, peek(b + 1));
	KUNIT_EXPECT_TRUE(test, permits_writes(m, a) && permits_writes(m, b));
}

static void the_writers_entry_is_the_one_to_write_through(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED), b = mapping_map(m, 1, MAP_SHARED);
	unsigned long private = mapping_map(m, 1, MAP_PRIVATE), snapshots, copies;
	struct folio *frozen, *own;

	SHOWS(test, "R56");
	poke_page(m, a, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	snapshots = mapping_map_of(m, snapshot, 1, MAP_SHARED);
	KUNIT_ASSERT_EQ(test, 0x11, peek(b));
	KUNIT_ASSERT_EQ(test, 0x11, peek(private));
	KUNIT_ASSERT_EQ(test, 0x11, peek(snapshots));
	frozen = shared_of(m, snapshot, 0);
	KUNIT_ASSERT_NOT_NULL(test, frozen);
	/* The leaf's reference, and the entries'. */
	KUNIT_EXPECT_EQ(test, 5, folio_ref_count(frozen));
	copies = COUNT(pages_copied_up);
	m->faults = m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(a + 1, 0x22));
	KUNIT_EXPECT_EQ(test, copies + 1, COUNT(pages_copied_up));
	KUNIT_EXPECT_EQ(test, 0U, m->faults);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->mkwrite.code);
	own = own_of(m->file, 0);
	KUNIT_ASSERT_NOT_NULL(test, own);
	KUNIT_EXPECT_PTR_NE(test, frozen, own);
	KUNIT_EXPECT_TRUE(test, maps(m, a, own) && maps(m, b, own) && maps(m, private, own));
	KUNIT_EXPECT_TRUE(test, maps(m, snapshots, frozen));
	KUNIT_EXPECT_TRUE(test, permits_writes(m, a) && is_dirty(m, a));
	KUNIT_EXPECT_FALSE(test, permits_writes(m, b) || is_dirty(m, b));
	KUNIT_EXPECT_FALSE(test, permits_writes(m, private) || is_dirty(m, private));
	KUNIT_EXPECT_FALSE(test, permits_writes(m, snapshots) || is_dirty(m, snapshots));
	KUNIT_EXPECT_EQ(test, 4, folio_ref_count(own));
	KUNIT_EXPECT_EQ(test, 3, folio_mapcount(own));
	KUNIT_EXPECT_EQ(test, 2, folio_ref_count(frozen));
	KUNIT_EXPECT_EQ(test, 1, folio_mapcount(frozen));
	KUNIT_EXPECT_EQ(test, 0x22, peek(b + 1));
	KUNIT_EXPECT_EQ(test, 0x22, peek(private + 1));
	KUNIT_EXPECT_EQ(test, 0, peek(snapshots + 1));
}

/* Without an entry of its own the writer has none to be made writable at once. */
static void a_write_where_nothing_is_mapped_permits_no_other(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, 1, MAP_SHARED), b = mapping_map(m, 1, MAP_SHARED);

	poke_page(m, a, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	KUNIT_EXPECT_EQ(test, 0, poke(b + 1, 0x22));
	KUNIT_EXPECT_TRUE(test, maps(m, a, own_of(m->file, 0)));
	KUNIT_EXPECT_TRUE(test, maps(m, b, own_of(m->file, 0)));
	KUNIT_EXPECT_FALSE(test, permits_writes(m, a) || is_dirty(m, a));
	KUNIT_EXPECT_TRUE(test, permits_writes(m, b));
	KUNIT_EXPECT_EQ(test, 0x22, peek(a + 1));
}

/* Nobody else sees it, but somebody may be reading it: he is not to see what is written now. */
static void a_page_with_a_reference_is_not_taken_over(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 1, MAP_SHARED);
	unsigned long over = COUNT(pages_taken_over), copied = COUNT(pages_copied_up);
	struct folio *frozen;

	SHOWS(test, "R51");
	poke_page(m, shared, 0, 0x11);
	snapshot = snapshot_of(m, ANY);
	close_now(&snapshot);
	frozen = shared_of(m, m->file, 0);
	KUNIT_ASSERT_NOT_NULL(test, frozen);
	folio_get(frozen);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + 1, 0x22));
	KUNIT_EXPECT_EQ(test, over, COUNT(pages_taken_over));
	KUNIT_EXPECT_EQ(test, copied + 1, COUNT(pages_copied_up));
	KUNIT_EXPECT_NOT_NULL(test, own_of(m->file, 0));
	KUNIT_EXPECT_PTR_NE(test, frozen, own_of(m->file, 0));
	KUNIT_EXPECT_EQ(test, 0, byte_of(frozen, 1));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared));
	KUNIT_EXPECT_EQ(test, 0x22, peek(shared + 1));
	folio_put(frozen);
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

/*
 * The pages of an object that alone sees what a snapshot had; most have a reason not to be
 * taken over with the one that is written. What is its own lies before them, so that as many
 * as there can be are wanted.
 */
enum {
	BEFORE = 16,
	WRITTEN = BEFORE,
	PLAIN,
	LOCKED,
	REFERENCED,
	STORED, /* in a slot, which becomes the object's, too */
	POISONED,
	IN_FRONT,              /* the object has its own */
	OUT_IN_FRONT,          /* the same, paged out */
	PROTECTED,             /* by userfaultfd, in one mapping */
	BEYOND = WRITTEN + 32, /* more than are taken at once */
	NEIGHBOURHOOD,
};

static const u8 neighbours[] = {WRITTEN,  PLAIN,    LOCKED,       REFERENCED, STORED,
                                POISONED, IN_FRONT, OUT_IN_FRONT, PROTECTED,  BEYOND};

static bool is_taken(unsigned int place)
{
	return place == WRITTEN || place == PLAIN || place == STORED || place == PROTECTED;
}

/* All neighbours mapped to read only, as they are now. */
static unsigned long map_neighbours(struct mapping *m, unsigned long flags)
{
	unsigned long start = mapping_map(m, NEIGHBOURHOOD, flags);

	cowmem_parameters.reuse = false;
	for (unsigned int i = 0; i < ARRAY_SIZE(neighbours); i++)
		KUNIT_ASSERT_LE(m->test, 0, peek(start + neighbours[i] * PAGE_SIZE));
	cowmem_parameters.reuse = true;
	return start;
}

/* What the entries of a mapping permit: writes to what was taken, if @writable, but not @not. */
static void expect_permitted(struct mapping *m, unsigned long start, bool writable,
                             unsigned int not)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(neighbours); i++) {
		const unsigned int place = neighbours[i];
		const bool expected = writable && is_taken(place) && place != not;

		KUNIT_EXPECT_EQ_MSG(m->test, expected, permits_writes(m, start + place * PAGE_SIZE),
		                    "page %u", place);
		expect_entry(m, m->file, start, place);
	}
}

static void neighbours_are_taken_as_far_as_that_is_easy(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long a = mapping_map(m, NEIGHBOURHOOD, MAP_SHARED), b, private, tracking, guarded;
	unsigned long over, around;
	struct folio *was[NEIGHBOURHOOD], *in_front;
	struct cowmem_page_out out;

	SHOWS(test, "R49 R51 R53 R54");
	for (unsigned int i = 0; i < ARRAY_SIZE(neighbours); i++)
		poke_page(m, a, neighbours[i], 0x11);
	cowmem_test_page_out(m->file, STORED, STORED, true, &out);
	KUNIT_ASSERT_EQ(test, 1ULL, out.out);
	KUNIT_ASSERT_EQ(test, 0x11, peek(a + STORED * PAGE_SIZE));
	for (pgoff_t index = 0; index < BEFORE; index++)
		poke_page(m, a, index, 0x11);
	snapshot = snapshot_of(m, ANY);
	for (pgoff_t index = 0; index < BEFORE; index++)
		poke_page(m, a, index, 0x22);
	poke_page(m, a, IN_FRONT, 0x22);
	poke_page(m, a, OUT_IN_FRONT, 0x22);
	in_front = own_of(m->file, IN_FRONT);
	KUNIT_ASSERT_NOT_NULL(test, in_front);
	close_now(&snapshot);
	b = map_neighbours(m, MAP_SHARED);
	private = map_neighbours(m, MAP_PRIVATE);
	tracking = map_neighbours(m, MAP_SHARED);
	guarded = map_neighbours(m, MAP_SHARED);
	for (unsigned int i = 0; i < ARRAY_SIZE(neighbours); i++) {
		was[neighbours[i]] = cowmem_test_seen(m->file, neighbours[i]);
		KUNIT_ASSERT_NOT_NULL(test, was[neighbours[i]]);
	}
	KUNIT_ASSERT_NULL(test, own_of(m->file, PLAIN));
	KUNIT_ASSERT_EQ(test, 0UL, cowmem_test_slots(m->file));
	cowmem_test_page_out(m->file, OUT_IN_FRONT, OUT_IN_FRONT, true, &out);
	KUNIT_ASSERT_EQ(test, 1ULL, out.out);
	was[OUT_IN_FRONT] = NULL;
	/* The one written there is not protected; now it is. */
	set_pte(entry_at(m, a + IN_FRONT * PAGE_SIZE),
	        pte_wrprotect(mapping_pte(m, a + IN_FRONT * PAGE_SIZE)));
	set_flag(m, tracking, VM_SOFTDIRTY, false);
	set_flag(m, guarded, VM_UFFD_WP, true);
	set_pte(entry_at(m, guarded + PROTECTED * PAGE_SIZE),
	        pte_mkuffd(mapping_pte(m, guarded + PROTECTED * PAGE_SIZE)));
	folio_lock(was[LOCKED]);
	folio_get(was[REFERENCED]);
	SetPageHWPoison(folio_page(was[POISONED], 0));
	over = COUNT(pages_taken_over);
	around = COUNT(pages_taken_along);
	m->faults = m->mkwrites = 0;
	KUNIT_EXPECT_EQ(test, 0, poke(a + WRITTEN * PAGE_SIZE + 1, 0x33));
	ClearPageHWPoison(folio_page(was[POISONED], 0));
	folio_put(was[REFERENCED]);
	folio_unlock(was[LOCKED]);
	EXPECT_CODE(test, VM_FAULT_NOPAGE, m->mkwrite.code);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, over + 4, COUNT(pages_taken_over));
	KUNIT_EXPECT_EQ(test, around + 3, COUNT(pages_taken_along));
	/* The one that was paged out, and the one that came back. */
	KUNIT_EXPECT_EQ(test, 2UL, cowmem_test_slots(m->file));
	for (unsigned int i = 0; i < ARRAY_SIZE(neighbours); i++) {
		const unsigned int place = neighbours[i];

		KUNIT_EXPECT_PTR_EQ_MSG(test, is_taken(place) ? was[place] : NULL,
		                        place == IN_FRONT ? NULL : own_of(m->file, place),
		                        "page %u", place);
		KUNIT_EXPECT_PTR_EQ(test, was[place], cowmem_test_seen(m->file, place));
	}
	KUNIT_EXPECT_PTR_EQ(test, in_front, own_of(m->file, IN_FRONT));
	expect_permitted(m, a, true, NEIGHBOURHOOD);
	expect_permitted(m, b, true, NEIGHBOURHOOD);
	expect_permitted(m, private, false, NEIGHBOURHOOD);
	expect_permitted(m, tracking, !IS_ENABLED(CONFIG_MEM_SOFT_DIRTY), NEIGHBOURHOOD);
	expect_permitted(m, guarded, true, PROTECTED);
	KUNIT_EXPECT_TRUE(test, pte_uffd(mapping_pte(m, guarded + PROTECTED * PAGE_SIZE)));
	KUNIT_EXPECT_TRUE(test, is_dirty(m, a + WRITTEN * PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, is_dirty(m, a + PLAIN * PAGE_SIZE));
	KUNIT_EXPECT_FALSE(test, is_dirty(m, b + WRITTEN * PAGE_SIZE) ||
	                                 is_dirty(m, b + PLAIN * PAGE_SIZE));
	/* So that the neighbour is written without a fault. */
	poke_page(m, a, PLAIN, 0x44);
	KUNIT_EXPECT_EQ(test, 1U, m->mkwrites);
	KUNIT_EXPECT_EQ(test, 0U, m->faults);
	KUNIT_EXPECT_TRUE(test, is_dirty(m, a + PLAIN * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0x22, peek(a + IN_FRONT * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0x22, peek(a + OUT_IN_FRONT * PAGE_SIZE));
	set_flag(m, guarded, VM_UFFD_WP, false);
	KUNIT_EXPECT_EQ(test, 0, vm_munmap(guarded, NEIGHBOURHOOD * PAGE_SIZE));
}

/* What was cut off and is behind the end of what the object sees stays where it is. */
static void what_was_cut_off_is_not_taken(struct kunit *test)
{
	struct mapping *m = test->priv;
	unsigned long shared = mapping_map(m, 4, MAP_SHARED), around;

	SHOWS(test, "R6");
	for (pgoff_t index = 0; index < 4; index++)
		poke_page(m, shared, index, 0x11);
	snapshot = snapshot_of(m, ANY);
	poke_page(m, shared, 0, 0x22);
	cowmem_test_resize(m->file, 3 * PAGE_SIZE);
	cowmem_test_resize(m->file, 4 * PAGE_SIZE);
	close_now(&snapshot);
	KUNIT_ASSERT_NOT_NULL(test, shared_of(m, m->file, 2));
	around = COUNT(pages_taken_along);
	KUNIT_EXPECT_EQ(test, 0, poke(shared + PAGE_SIZE + 1, 0x22));
	KUNIT_EXPECT_EQ(test, around + 1, COUNT(pages_taken_along));
	KUNIT_EXPECT_NOT_NULL(test, own_of(m->file, 2));
	KUNIT_EXPECT_NULL(test, mapping_folio(m, 3));
	KUNIT_EXPECT_EQ(test, 0x11, peek(shared + 2 * PAGE_SIZE));
	KUNIT_EXPECT_EQ(test, 0, peek(shared + 3 * PAGE_SIZE));
}

static struct kunit_case interleaving_cases[] = {
	KUNIT_CASE_PARAM(a_writer_between_two_steps, next_interleaving),
	{},
};

static struct kunit_case freeze_cases[] = {
	KUNIT_CASE(entries_of_all_mappings_are_protected),
	KUNIT_CASE(each_mapping_is_flushed_once),
	KUNIT_CASE(a_snapshot_that_is_killed_leaves_nothing),
	KUNIT_CASE(a_restore_that_is_killed_changes_nothing),
	KUNIT_CASE(a_restore_that_is_killed_loses_no_write),
	KUNIT_CASE(a_restore_that_is_killed_leaves_limits),
	KUNIT_CASE(what_a_restore_leaves_is_not_written),
	KUNIT_CASE(the_writers_entry_is_the_last),
	KUNIT_CASE(a_page_being_copied_is_no_neighbour),
	KUNIT_CASE(mapped_late_at_the_first_table),
	KUNIT_CASE(mapped_late_at_the_second_table),
	KUNIT_CASE(mapped_late_at_the_first_flush),
	KUNIT_CASE(mapped_late_at_the_last_flush),
	KUNIT_CASE(a_page_with_a_reference_is_copied),
#ifdef CONFIG_PT_RECLAIM
	KUNIT_CASE(a_table_that_is_gone_is_flushed),
	KUNIT_CASE(a_table_that_came_since_is_flushed),
#endif
	KUNIT_CASE(all_of_a_set_are_protected_before_one_is_frozen),
	{},
};

static struct kunit_case own_cases[] = {
	KUNIT_CASE(the_writers_entry_is_the_one_to_write_through),
	KUNIT_CASE(the_second_of_two_writers_comes_again),
	KUNIT_CASE(a_write_where_nothing_is_mapped_permits_no_other),
	KUNIT_CASE(a_page_with_a_reference_is_not_taken_over),
	KUNIT_CASE(neighbours_are_taken_as_far_as_that_is_easy),
	KUNIT_CASE(what_was_cut_off_is_not_taken),
	{},
};

static struct kunit_suite interleaving_suite = {
	.name = "cowmem_snapshot_interleaved",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = interleaving_cases,
};

static struct kunit_suite freeze_suite = {
	.name = "cowmem_snapshot_freeze",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = freeze_cases,
};

static struct kunit_suite own_suite = {
	.name = "cowmem_snapshot_own",
	.init = relatives_init,
	.exit = relatives_exit,
	.test_cases = own_cases,
};

kunit_test_suites(&interleaving_suite, &freeze_suite, &own_suite);
