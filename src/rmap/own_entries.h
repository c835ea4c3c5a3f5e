/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All entries of all pages that an object has for itself, in one mapping after the other.
 *
 * Not by walk(), which goes from some pages to their mappings: here that would be the same
 * page tables again and again, and a TLB flush for each few pages. This goes along the
 * pages, which are linked by Pages::link_all(), and flushes once, behind the last: who
 * changes these page tables, too, knows by tlb_flush_pending. Kernel counterpart:
 * change_protection(), zap_page_range_single().
 */
#ifndef COWMEM_OWN_ENTRIES_H
#define COWMEM_OWN_ENTRIES_H

#include "kernel/minmax.h"
#include "rmap/walk.h"

namespace cowmem {

/*
 * A visitor V has, besides `event` and enters() as those of walk():
 *
 *   looks_at   a page, before its entry is read, or it is seen that there is no page table
 *   visit      an entry that maps its page, under the PTE lock; true: TLBs are to be flushed
 */
template <class V>
class OwnEntries {
public:
	OwnEntries(vm_area_struct *vma, const Pages &pages, V &visitor)
		: vma_{vma}, pages_{pages}, last_{kapi_vma_end_index(vma) - 1}, visitor_{visitor}
	{
	}

	/* Visits those of the pages from @first on. Sleeps. */
	void run(Index first)
	{
		mm_struct *mm = kapi_vma_mm(vma_);

		first = max_of(first, kapi_vma_first_index(vma_));

		folio *page = first <= last_ ? find(first) : nullptr;

		if (!page)
			return;

		const Notified<V::event> notified{mm, *address_of(vma_, first),
		                                  *address_of(vma_, last_) + KAPI_PAGE_SIZE};

		kapi_mm_begin_flush_later(mm);
		while (page) {
			page = visit_some(page);
			kapi_cond_resched();
		}
		if (end_)
			kapi_flush_tlb_range(vma_, start_, end_);
		kapi_test_step(COWMEM_STEP_FLUSHED, nullptr);
		kapi_mm_end_flush_later(mm);
	}

private:
	/* The first page at or after @first. */
	folio *find(Index first) const
	{
		return kapi_mapping_find(pages_.mapping(), &first, last_);
	}

	/*
	 * Visits some pages from @page on, within one page table and one hold of its lock (R75).
	 * Where to go on, or null.
	 */
	folio *visit_some(folio *page)
	{
		const unsigned long address = *address_of(vma_, kapi_folio_index(page));
		const Index behind = kapi_folio_index(page) +
		                     ((kapi_table_end(address) - address) >> KAPI_PAGE_SHIFT);
		PageTable table{kapi_vma_mm(vma_), address};

		if (table) {
			kapi_test_step(COWMEM_STEP_TABLE, nullptr);
			return table.lock() ? go_along(page, behind, &table) : page;
		}

		folio *const next = go_along(page, behind, nullptr);

		/* Who had one of them locked put a table there before he let go of it. */
		kapi_test_step(COWMEM_STEP_NO_TABLE, nullptr);
		return PageTable{kapi_vma_mm(vma_), address} ? page : next;
	}

	/* From @page on, before index @behind, with @table locked or none there. */
	folio *go_along(folio *page, Index behind, const PageTable *table)
	{
		for (unsigned int n = 0; n < Batch::max; n++) {
			const Index index = kapi_folio_index(page);

			if (index >= behind)
				return page;
			visitor_.looks_at(page, index);
			if (table)
				visit(*table, page, *address_of(vma_, index));
			page = kapi_folio_next(page);
			if (!page || kapi_folio_index(page) > last_)
				return nullptr;
		}
		return page;
	}

	void visit(const PageTable &table, folio *page, unsigned long address)
	{
		pte_t *entry = table.at(address);
		Slot slot{vma_, address, entry, Pte{kapi_pte_get(entry)}, 0, page};

		if (!slot.pte.maps(page) || !visitor_.visit(slot))
			return;
		if (!end_)
			start_ = address;
		end_ = address + KAPI_PAGE_SIZE;
	}

	vm_area_struct *const vma_;
	const Pages &pages_;
	const Index last_;
	V &visitor_;
	unsigned long start_ = 0, end_ = 0; /* addresses, of what is to be flushed */
};

/* The same in all mappings. */
template <class V>
void visit_own_entries(const Pages &pages, Index first, V &visitor)
{
	const ObjectMappings mappings{pages.mapping()};

	for (auto *at = mappings.first(first, no_index); at;
	     at = mappings.next(at, first, no_index))
		if (visitor.enters(at))
			OwnEntries<V>{at, pages, visitor}.run(first);
}

} /* namespace cowmem */

#endif /* COWMEM_OWN_ENTRIES_H */
