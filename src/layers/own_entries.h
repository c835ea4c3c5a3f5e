/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All entries of all pages that are an object's own, in one mapping after the other.
 *
 * Not by walk(), which goes from some pages to their mappings: here that would be the same
 * page tables again and again, and a TLB flush for each few pages. This goes along the
 * pages, and flushes once, behind the last. Until then TLBs may know more than the entries
 * say: the kernel asks for tlb_flush_pending, page-out for the object's count. Kernel
 * counterpart: change_protection(), zap_page_range_single().
 */
#ifndef COWMEM_OWN_ENTRIES_H
#define COWMEM_OWN_ENTRIES_H

#include "layers/pages.h"
#include "rmap/visitors.h"

namespace cowmem {

/*
 * A visitor V has, besides `event` and enters() as those of walk():
 *
 *   looks_at   a page, before its entry is read, or it is seen that there is no page table
 *   visit      an entry that maps its page, under the PTE lock; true: TLBs are to be flushed
 *
 * and, if visits_huge says so, visit_huge() for an entry that maps a large folio, with the pmd's lock, the same; otherwise
 * such an entry is taken out first, and takes its permission and its dirty bit along.
 */
template <class V>
class OwnEntries {
public:
	OwnEntries(vm_area_struct *vma, const Pages &pages, V &visitor)
		: vma_{vma}, pages_{pages}, last_{kapi_vma_end_index(vma) - 1}, visitor_{visitor}
	{
	}

	/* Visits those of the pages from @first on, or some, if a fatal signal comes. Sleeps. */
	void run(Index first)
	{
		mm_struct *mm = kapi_vma_mm(vma_);
		UNINITIALIZED OwnWalk walk{from(max_of(first, kapi_vma_first_index(vma_)))};
		Index index = walk.next();

		if (index == no_index)
			return;

		kapi_mm_begin_flush_later(mm);
		while (index != no_index && !kapi_signal_pending()) {
			index = visit_some(index, walk);
			kapi_cond_resched();
		}
		if (end_)
			kapi_flush_tlb_range(vma_, start_, end_);
		kapi_test_step(COWMEM_STEP_FLUSHED, nullptr);
		kapi_mm_end_flush_later(mm);
		kapi_flush_tlb_late(vma_, kapi_vma_start(vma_),
		                    kapi_vma_start(vma_) +
		                            (kapi_vma_pages(vma_) << KAPI_PAGE_SHIFT));
	}

private:
	using OwnWalk = Tree::OwnWalk;

	OwnWalk from(Index first) const { return {pages_.tree(), first, last_}; }

	/*
	 * Visits some pages, @index and those that @walk finds behind it, within one page table
	 * and one hold of its lock (R75). Where to go on, or no_index.
	 */
	Index visit_some(Index index, OwnWalk &walk)
	{
		const unsigned long address = *address_of(vma_, index);

		const Index behind =
			index + ((kapi_table_end(address) - address) >> KAPI_PAGE_SHIFT);
		/* Secondary MMUs lose these pages, and no others beyond the last. */
		const Notified<V::event> notified{kapi_vma_mm(vma_), address,
		                                  end_of_some(index, behind)};
		pmd_t *huge = nullptr;
		folio *page = nullptr;
		{
			PageTable table{kapi_vma_mm(vma_), address};

			if (table) {
				kapi_test_step(COWMEM_STEP_TABLE, nullptr);
				return table.lock() ? go_along(index, walk, behind, &table) : index;
			}
			if (table.is_huge()) {
				huge = table.pmd();
				page = walk.entry()
				               .page(); /* of a slot under RCU, which @table has */
			} else if (table.fills_late())
				return index;
		}
		/* It is not looked for under RCU. */
		if (huge) {
			if (!visit_huge(huge, page, index, address)) {
				split_huge(vma_, address);
				return index;
			}
			walk.skip_to(last_of_block(index) + 1);
			return walk.next();
		}

		const Index end = [&] {
			const Rcu rcu;

			return go_along(index, walk, behind, nullptr);
		}();

		/* A fault that had one of them locked put a table there before it let go of the page. */
		kapi_test_step(COWMEM_STEP_NO_TABLE, nullptr);
		if (const PageTable again{kapi_vma_mm(vma_), address};
		    !again && !again.fills_late())
			return end;
		walk = from(index);
		return walk.next();
	}

	/*
	 * One entry for all of the block where @page is, at @index. False: V takes such entries out; or there is none any more.
	 * What it maps the object sees: so all that it sees in the block is one large folio.
	 */
	bool visit_huge(pmd_t *pmd, folio *page, Index index, unsigned long address)
	{
		if constexpr (V::visits_huge) {
			constexpr unsigned long bytes = 1UL * KAPI_LARGE_PAGES << KAPI_PAGE_SHIFT;
			const unsigned long start = address & ~(bytes - 1);
			const Notified<V::event> notified{kapi_vma_mm(vma_), start, start + bytes};
			const PmdLock lock{kapi_vma_mm(vma_), pmd};
			const unsigned long value = kapi_pmd_get(pmd);

			if (!kapi_pmd_is_huge(value) ||
			    !Pte{kapi_pmd_part(vma_, value, address)}.maps(page))
				return false;
			visitor_.looks_at(page, index);
			if (visitor_.visit_huge(vma_, pmd, start, page))
				flush(start, start + bytes);
			return true;
		}
		return false;
	}

	void flush(unsigned long start, unsigned long end)
	{
		if (!end_)
			start_ = start;
		end_ = end;
	}

	/* The address behind the last of those that visit_some() visits, if somebody wants to know. */
	unsigned long end_of_some(Index index, Index behind) const
	{
		Index last = index;

		if (!kapi_mm_has_notifiers(kapi_vma_mm(vma_)))
			return 0;

		OwnWalk walk{from(index + 1)};

		for (unsigned int n = 1; n < Batch::max && index < behind; n++) {
			last = index;
			index = walk.next();
		}
		return *address_of(vma_, index < behind ? index : last) + KAPI_PAGE_SIZE;
	}

	/* The same before @behind, with @table locked or none there. */
	Index go_along(Index index, OwnWalk &walk, Index behind, const PageTable *table)
	{
		for (unsigned int n = 0; n < Batch::max && index < behind; n++) {
			/* It may go out to the store just now, but then nothing maps it. */
			if (folio *page = walk.entry().page()) {
				visitor_.looks_at(page, index);
				if (table)
					visit(*table, page, *address_of(vma_, index));
				else if (pages_.home().large() && is_all_of_block(walk, page))
					/* Where the mapping is not aligned the next table has the rest. */
					walk.skip_to(min_of(behind, last_of_block(index) + 1));
			}
			index = walk.next();
		}
		return index;
	}

	/* Whether all of the block where @walk is, and sees @page, is one large folio. What has no reference may be anything by now. */
	static bool is_all_of_block(const OwnWalk &walk, folio *page)
	{
		if (!kapi_folio_try_get(page))
			return false;

		const FolioRef kept{page};

		return walk.entry().page() == page && kapi_folio_is_large(page) &&
		       kapi_folio_all_names(page) == KAPI_LARGE_PAGES;
	}

	void visit(const PageTable &table, folio *page, unsigned long address)
	{
		pte_t *ptep = table.at(address);
		FoundPte found{vma_, address, ptep, Pte{kapi_pte_get(ptep)}, 0, page};

		if (found.pte.maps(page) && visitor_.visit(found))
			flush(address, address + KAPI_PAGE_SIZE);
	}

	vm_area_struct *const vma_;
	const Pages &pages_;
	const Index last_;
	V &visitor_;
	unsigned long start_ = 0, end_ = 0; /* addresses, of what is to be flushed */
};

/* A visitor that remembers the first page that a fault had locked, and may still map. */
struct LockedBefore {
	static constexpr bool visits_huge = false;

	/*
	 * A fault that has locked a page before the entry is read may be about to map it; none
	 * locks a page later, since faults find nothing while the object is locked.
	 */
	void looks_at(const folio *page, Index index)
	{
		if (kapi_folio_locked(page))
			locked = min_of(locked, index);
		kapi_smp_rmb();
	}

	Index locked = no_index;
};

/* Takes away an entry, whose TLBs are flushed later. Kernel counterpart: zap_present_folio_ptes(). */
inline void take_away(FoundPte &found)
{
	mm_struct *mm = kapi_vma_mm(found.vma);

	kapi_flush_cache_page(found.vma, found.address, found.page);
	found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
	/* The page may stay. */
	if (found.pte.dirty())
		note_write(found.page);
	kapi_mm_update_peak(mm);
	kapi_pte_leave_marker(found.vma, found.address, found.ptep, found.pte.value());
	kapi_rss_add(mm, KAPI_MM_FILEPAGES, -1);
	give_back(found); /* not the last reference: the tree's name has one */
}

/*
 * The same in all mappings, until no fault has one of the pages locked any more: then no entry
 * comes that V has not visited. V is a LockedBefore. False: a fatal signal came first.
 */
template <class V>
[[nodiscard]] bool visit_own_entries(const Pages &pages) REQUIRES(pages)
{
	for (Index first = 0; first != no_index;) {
		V visitor;
		{
			const ObjectMappings mappings{pages.mapping()};

			for (auto *at = mappings.first(first, no_index); at;
			     at = mappings.next(at, first, no_index))
				if (visitor.enters(at))
					OwnEntries<V>{at, pages, visitor}.run(first);
		}
		if (kapi_signal_pending())
			return false;
		first = visitor.locked;
		if (first != no_index)
			if (const FolioRef page = pages.get(first))
				PageLock mapped_by_now{page.get()};
	}
	return true;
}

} /* namespace cowmem */

#endif /* COWMEM_OWN_ENTRIES_H */
