// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing: an object gives its pages to a layer of their own, where nobody writes them
 * any more (Pages::give_all()). What it costs follows the pages that it had for itself:
 * those that were written since the last time. No table is copied: the layer gets the
 * object's, and the object an empty one.
 *
 * A snapshot made so is of one instant, though its pages are write-protected one after the
 * other, and TLBs are flushed once, behind that. Who writes a page that is protected
 * already waits until all are; so nothing that happens after a write which came too late
 * can be in the snapshot.
 */
#include <cowmem/minmax.h>
#include <cowmem/pages.h>
#include <cowmem/walk.h>

namespace cowmem {

namespace {

/*
 * Takes the permission to write from one mapping's entries of an object's own pages, and the
 * dirty bits to the pages. Not by walk(), which goes from each page to its mappings: here
 * that is the same page table again and again. Kernel counterpart: page_mkclean_one(), and
 * change_protection() for the flush behind all.
 */
class Protection {
public:
	/* The pages are linked by link_all(). */
	Protection(vm_area_struct *vma, const Pages &pages)
		: vma_{vma}, pages_{pages}, last_{kapi_vma_end_index(vma) - 1}
	{
	}

	/* Of the pages from @first on. The first of them that a fault had locked, or no_index. */
	Index run(Index first)
	{
		mm_struct *mm = kapi_vma_mm(vma_);

		first = max_of(first, kapi_vma_first_index(vma_));

		folio *page = first <= last_ ? find(first) : nullptr;

		if (!page)
			return no_index;

		const Notified<KAPI_NOTIFY_PROTECTION_PAGE> notified{
			mm, *address_of(vma_, first), *address_of(vma_, last_) + KAPI_PAGE_SIZE};

		kapi_mm_begin_flush_later(mm);
		while (page) {
			page = protect_some(page);
			kapi_cond_resched();
		}
		if (end_)
			kapi_flush_tlb_range(vma_, start_, end_);
		kapi_test_step(COWMEM_STEP_FLUSHED, nullptr);
		kapi_mm_end_flush_later(mm);
		return locked_;
	}

private:
	/*
	 * Of some pages from @page on, within one page table and one hold of its lock (R75).
	 * Where to go on, or null.
	 */
	folio *protect_some(folio *page)
	{
		const unsigned long address = *address_of(vma_, kapi_folio_index(page));
		const Index behind = kapi_folio_index(page) +
		                     ((kapi_table_end(address) - address) >> KAPI_PAGE_SHIFT);
		PageTable table{kapi_vma_mm(vma_), address};

		/* A fault may be about to put a page into a table that is not there yet. */
		if (table) {
			kapi_test_step(COWMEM_STEP_TABLE, nullptr);
			if (!table.lock())
				return page;
		}
		for (unsigned int n = 0; n < Batch::max; n++) {
			const Index index = kapi_folio_index(page);

			if (index >= behind)
				return page;
			note_lock(page, index);
			if (table)
				protect(table, page, *address_of(vma_, index));
			page = kapi_folio_next(page);
			if (!page || kapi_folio_index(page) > last_)
				return nullptr;
		}
		return page;
	}

	/* The first page at or after @first. */
	folio *find(Index first) const
	{
		return kapi_mapping_find(pages_.mapping(), &first, last_);
	}

	/*
	 * Who has locked a page before the entry is looked at may be about to map it; who does
	 * so later is none of the faults, which find nothing while the family is locked.
	 */
	void note_lock(const folio *page, Index index)
	{
		if (kapi_folio_locked(page))
			locked_ = min_of(locked_, index);
		kapi_smp_rmb();
	}

	void protect(const PageTable &table, folio *page, unsigned long address)
	{
		pte_t *entry = table.at(address);
		Pte pte{kapi_pte_get(entry)};

		if (!pte.maps(page) || (!pte.dirty() && !pte.writable()))
			return;
		kapi_flush_cache_page(vma_, address, page);
		pte = Pte{kapi_pte_get_and_clear(vma_, address, entry)};
		kapi_pte_set(vma_, address, entry, pte.cleaned().value());
		if (pte.dirty()) {
			kapi_folio_set_dirty(page);
			kapi_folio_keep_written(page);
		}
		if (!end_)
			start_ = address;
		end_ = address + KAPI_PAGE_SIZE;
	}

	vm_area_struct *const vma_;
	const Pages &pages_;
	const Index last_;
	unsigned long start_ = 0, end_ = 0; /* addresses, of what is to be flushed */
	Index locked_ = no_index;
};

/* Of all mappings, from page @first on. What was locked meanwhile, as above. */
Index write_protect_from(const Pages &pages, Index first)
{
	const ObjectMappings mappings{pages.mapping()};
	Index locked = no_index;

	for (auto *at = mappings.first(first, no_index); at;
	     at = mappings.next(at, first, no_index))
		if (kapi_vma_shared(at))
			locked = min_of(locked, Protection{at, pages}.run(first));
	return locked;
}

/* Links some pages from @first on behind @last, if that is one. Where to go on, or no_index. */
Index link_some(const Pages &pages, Index first, folio *&last)
{
	constexpr unsigned int at_once = 512; /* between looks at whether others want the CPU */
	Pages::Walk walk{pages, first, no_index};

	for (unsigned int n = 0; folio *page = walk.next_far(); n++) {
		if (n == at_once)
			return walk.index();
		kapi_folio_link(page, nullptr);
		if (last)
			kapi_folio_link(last, page);
		last = page;
	}
	return no_index;
}

} /* namespace */

/* All pages of its own, linked, as they lie one behind the other. The first, or null. */
folio *Pages::link_all()
{
	folio *last = nullptr;

	for (Index index = 0; index != no_index;) {
		index = link_some(*this, index, last);
		kapi_cond_resched();
	}
	return at(next(0, no_index));
}

/* No page of its own is written through a page table any more, when this returns. */
void Pages::write_protect()
{
	for (Index first = 0; (first = write_protect_from(*this, first)) != no_index;) {
		const PageLock mapped_by_now{at(first)};
	}
}

/* Somebody has a reference to @page, locked, and may be writing it: @to gets a copy instead. */
void Pages::keep(Index index, folio *page, Pages &to)
{
	FolioRef copy{kapi_folio_alloc_surely()};

	if (kapi_folio_copy(copy.get(), page)) {
		kapi_folio_rehome(page, to.mapping_); /* it is damaged: who reads it will be told */
		return;
	}
	kapi_folio_set_dirty(page);
	kapi_folio_keep_written(page);
	kapi_folio_set_dirty(copy.get());
	kapi_folio_keep_written(copy.get());
	kapi_folio_mark_uptodate(copy.get());
	kapi_folio_attach(copy.get(), to.mapping_, index);
	add_to_lru(copy.get());
	kapi_mapping_lock_table(to.mapping_);
	kapi_mapping_store_locked(to.mapping_, index, copy.release());
	kapi_mapping_unlock_table(to.mapping_);
	kapi_mapping_insert_surely(mapping_, index, page);
	__atomic_fetch_add(&resident_, 1, __ATOMIC_RELAXED);
	kapi_count(COWMEM_COUNT_pages_allocated);
	kapi_count(COWMEM_COUNT_pages_frozen_copied);
}

void Pages::give_all(Pages &to)
{
	folio *pages = link_all();

	to.held();
	write_protect();
	kapi_mapping_give_table(mapping_, to.mapping_);
	slots_.give_all(to.slots_);
	__atomic_store_n(&to.resident_, resident_, __ATOMIC_RELAXED);
	__atomic_store_n(&resident_, 0, __ATOMIC_RELAXED);
	while (folio *page = kapi_folio_pop(&pages)) {
		const PageLock lock{page};

		if (foreign_references(page))
			keep(kapi_folio_index(page), page, to);
		else
			kapi_folio_rehome(page, to.mapping_);
		kapi_cond_resched();
	}
}

} /* namespace cowmem */
