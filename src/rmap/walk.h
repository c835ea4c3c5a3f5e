/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The reverse-map walk: from pages to every page-table entry that maps them.
 *
 * One engine, walk(). It asks a *source* for the VMAs that can see a batch of
 * neighbouring pages, finds each VMA's page tables, and shows a *visitor* the entries
 * that really are about those pages: the trees give false positives, so each candidate is confirmed
 * under the PTE lock (R61). Visitors are classes, and each is compiled into a walk of its own: no function pointer stands
 * between the walk and the entry. A table that is empty, gone, or replaced by a huge page is a normal result.
 *
 * The sources are in rmap/mappings.h.
 *
 * Lock order, top first, here and in all of cowmem:
 *
 *   write lock of an object (i_rwsem); of several: tried, with none held while waiting
 *   mmap_lock, VMA lock
 *   what limits of snapshots count (layers/copy_limit.h)
 *   the lock of an object (layers/object_lock.h); of several (layers/snapshot_set.h): by their
 *       addresses, those of snapshots behind all others
 *   page lock; above it the turn at a block (store/large.h)
 *   i_mmap_rwsem, shared        a walk of an object's mappings
 *   anon_vma root, shared       a walk of a private copy's; never with the above
 *   mmu_notifier ranges         opened with the tree locked, before the table is
 *   PTE lock
 *   a tree's spinlock, a family's
 *
 * The walk allocates nothing, so that it can be part of reclaim; it sleeps on the
 * tree's lock, and in what listens to a mapping (mmu notifiers), only. It holds a PTE lock for one batch at most (R75).
 */
#ifndef COWMEM_WALK_H
#define COWMEM_WALK_H

#include "kernel/minmax.h"
#include "kernel/steps.h"
#include "kernel/uninitialized.h"
#include "rmap/mappings.h"
#include "rmap/notified.h"
#include "rmap/pte.h"

namespace cowmem {

/* One entry that a walk found. */
struct FoundPte {
	vm_area_struct *vma;
	unsigned long address;
	pte_t *ptep;      /* null: it is part of what one entry maps */
	Pte pte;          /* what it held */
	unsigned int nth; /* the page's place in the batch */
	folio *page;
	pmd_t *huge = nullptr; /* which that is */
};

/*
 * Whether a store may have come through an entry: it is dirty; or lets stores through where a
 * secondary MMU listens, which need not say when it wrote (may_store_untold()). The core makes entries
 * of pinnable mappings writable by itself.
 */
inline bool may_be_stored(const FoundPte &found)
{
	return found.pte.dirty() ||
	       (found.pte.writable() && kapi_mm_has_notifiers(kapi_vma_mm(found.vma)));
}

/* What a walk cost: entries looked at, and those that were about something else. */
struct Probes {
	unsigned long looked_at = 0, mismatched = 0;
};

/*
 * What a visitor is made from. A visitor's members hide these:
 *
 *   splits   what maps a large folio by one entry is taken out first, and so has nothing
 *            to visit; otherwise it is shown as if each page had an entry, with no ptep
 *   racy     the entries are looked at without the lock first, and where none is
 *            present it is not taken: for walks where a miss does no harm (R62)
 *   event    what secondary MMUs are told about each VMA that is visited, or nothing
 *   enters   whether the VMA is of interest
 *   matches  whether the entry is about the page
 *   visit    the visit, under the PTE lock; true: the entry lost something that TLBs
 *            may still have, and settle() is wanted for it
 *   settle   the second visit, after the TLBs were flushed and under the same hold of
 *            the lock; the found's pte is what visit() left in it
 *   done     whether the walk can end
 */
struct Visitor {
	static constexpr bool splits = true;
	static constexpr bool racy = false;
	static constexpr kapi_notify event = KAPI_NOTIFY_NOTHING;

	bool enters(const vm_area_struct *) { return true; }
	bool matches(Pte pte, const folio *page) const { return pte.maps(page); }
	void settle(const FoundPte &) {}
	bool done() const { return false; }
};

namespace walking {

/* The part of a batch that one VMA and one page table have. */
struct Span {
	vm_area_struct *vma;
	unsigned long start, end; /* addresses */
	unsigned int nth;         /* of start, in the batch */

	unsigned int pages() const
	{
		return static_cast<unsigned int>((end - start) >> KAPI_PAGE_SHIFT);
	}
};

/* The entry for the @i-th page of a span. */
inline FoundPte found_at(const PageTable &table, const Span &span, const Batch &batch,
                         unsigned int i)
{
	const unsigned long address =
		span.start + (static_cast<unsigned long>(i) << KAPI_PAGE_SHIFT);
	pte_t *ptep = table.at(address);

	return {span.vma,     address,
	        ptep,         Pte{kapi_pte_get(ptep)},
	        span.nth + i, batch.page[span.nth + i]};
}

/* What the entries of a span held that a visitor changed. */
class Changes {
public:
	void add(unsigned int i, Pte before)
	{
		if (!which_)
			first_ = i;
		last_ = i;
		which_ |= 1U << i;
		before_[i] = before;
	}
	bool has(unsigned int i) const { return which_ & 1U << i; }
	explicit operator bool() const { return which_; }
	unsigned int first() const { return first_; }
	unsigned int end() const { return last_ + 1; }
	Pte before(unsigned int i) const { return before_[i]; }

private:
	unsigned int which_ = 0, first_ = 0, last_ = 0;
	Pte before_[Batch::max];
};
static_assert(Batch::max <= 32, "one bit for each page of a batch");

/* Shows the entries of a table, whose lock is held, to the visitor. */
template <class V>
void visit_entries(const PageTable &table, const Span &span, const Batch &batch, V &visitor,
                   Probes &probes)
{
	UNINITIALIZED Changes changes;

	for (unsigned int i = 0; i < span.pages() && !visitor.done(); i++) {
		FoundPte found = found_at(table, span, batch, i);

		if (!visitor.matches(found.pte, found.page))
			probes.mismatched += !found.pte.none();
		else if (visitor.visit(found))
			changes.add(i, found.pte);
	}
	if (!changes)
		return;
	kapi_flush_tlb_range(span.vma, span.start + (changes.first() * 1UL << KAPI_PAGE_SHIFT),
	                     span.start + (changes.end() * 1UL << KAPI_PAGE_SHIFT));
	kapi_test_step(COWMEM_STEP_FLUSHED, nullptr);
	for (unsigned int i = changes.first(); i < changes.end(); i++) {
		if (!changes.has(i))
			continue;
		FoundPte found = found_at(table, span, batch, i);

		found.pte = changes.before(i);
		visitor.settle(found);
	}
}

/* Whether some entry of the span is not empty, looked at without the lock. */
inline bool occupied(const PageTable &table, const Span &span)
{
	for (unsigned long at = span.start; at < span.end; at += KAPI_PAGE_SIZE)
		if (!Pte{kapi_pte_get(table.at(at))}.none())
			return true;
	return false;
}

/* The same as visit_entries() for what one entry maps. False: there is a table, or nothing. */
template <class V>
bool visit_huge(const Span &span, const Batch &batch, pmd_t *pmd, V &visitor, Probes &probes)
{
	const PmdLock lock{kapi_vma_mm(span.vma), pmd};
	const unsigned long value = kapi_pmd_get(pmd);

	if (!kapi_pmd_is_huge(value))
		return false;
	for (unsigned int i = 0; i < span.pages() && !visitor.done(); i++) {
		const unsigned long address = span.start + (i * 1UL << KAPI_PAGE_SHIFT);
		FoundPte found{span.vma,     address,
		               nullptr,      Pte{kapi_pmd_part(span.vma, value, address)},
		               span.nth + i, batch.page[span.nth + i],
		               pmd};

		if (visitor.matches(found.pte, found.page))
			visitor.visit(found);
		else
			probes.mismatched++;
	}
	return true;
}

/* False: one entry maps all of it, and has to be split first. */
template <class V>
bool try_visit_table(const Span &span, const Batch &batch, V &visitor, Probes &probes)
{
	for (;;) {
		PageTable table{kapi_vma_mm(span.vma), span.start};

		if (!table) {
			if (!table.is_huge() && (V::racy || !table.fills_late()))
				return true;
			if (table.is_huge() && V::splits)
				return !batch.has_some(span.nth, span.pages());
			if constexpr (!V::splits)
				if (table.is_huge() &&
				    visit_huge(span, batch, table.pmd(), visitor, probes))
					return true;
			continue;
		}
		if (V::racy && !occupied(table, span))
			return true;
		kapi_test_step(COWMEM_STEP_TABLE, nullptr);
		if (!table.lock())
			continue;
		visit_entries(table, span, batch, visitor, probes);
		return true;
	}
}

template <class V>
void visit_table(const Span &span, const Batch &batch, V &visitor, Probes &probes)
{
	probes.looked_at += span.pages();
	/* Not with the table looked for, which is under RCU. */
	while (!try_visit_table(span, batch, visitor, probes))
		split_huge(span.vma, span.start);
}

/* @first: the index of the VMA's first page, as the source of the walk counts. */
template <class V>
void visit_vma(vm_area_struct *vma, Index first, const Batch &batch, V &visitor, Probes &probes)
{
	const Index from = max_of(batch.first, first);
	const Index to = min_of(batch.end(), first + kapi_vma_pages(vma));

	if (from >= to || !visitor.enters(vma))
		return;

	const unsigned long start = kapi_vma_start(vma) + ((from - first) << KAPI_PAGE_SHIFT);
	const unsigned long end = start + ((to - from) << KAPI_PAGE_SHIFT);
	unsigned int nth = static_cast<unsigned int>(from - batch.first);
	Notified<V::event> notified{kapi_vma_mm(vma), start, end};

	for (unsigned long at = start; at < end && !visitor.done();) {
		const Span span{vma, at, min_of(end, kapi_table_end(at)), nth};

		visit_table(span, batch, visitor, probes);
		nth += span.pages();
		at = span.end;
	}
	if constexpr (!V::racy)
		kapi_flush_tlb_late(vma, start, end);
}

} /* namespace walking */

/*
 * Shows @visitor every entry that is about the pages of @batch, in all VMAs of @source; those
 * of @last, which is one of them, when it has seen all others. May sleep between VMAs.
 * Kernel counterpart: rmap_walk(), page_vma_mapped_walk().
 */
template <class Source, class V>
Probes walk(const Source &source, const Batch &batch, V &visitor, vm_area_struct *last = nullptr)
{
	Probes probes;

	for (auto *at = source.first(batch.first, batch.last()); at && !visitor.done();
	     at = source.next(at, batch.first, batch.last())) {
		vm_area_struct *vma = Source::vma(at);

		if (vma == last)
			continue;
		walking::visit_vma(vma, Source::first_index(vma), batch, visitor, probes);
		kapi_cond_resched();
	}
	if (last && !visitor.done())
		walking::visit_vma(last, Source::first_index(last), batch, visitor, probes);
	return probes;
}

} /* namespace cowmem */

#endif /* COWMEM_WALK_H */
