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
#include "rmap/own_entries.h"

namespace cowmem {

namespace {

/*
 * Takes the permission to write from the entries, and the dirty bits to the pages. Kernel
 * counterpart: page_mkclean_one().
 */
struct Protect {
	static constexpr kapi_notify event = KAPI_NOTIFY_PROTECTION_PAGE;

	static bool enters(const vm_area_struct *vma) { return kapi_vma_shared(vma); }

	/*
	 * Who has locked a page before the entry is read may be about to map it; who does
	 * so later is none of the faults, which find nothing while the family is locked.
	 */
	void looks_at(const folio *page, Index index)
	{
		if (kapi_folio_locked(page))
			locked = min_of(locked, index);
		kapi_smp_rmb();
	}

	static bool visit(Slot &slot)
	{
		if (!slot.pte.dirty() && !slot.pte.writable())
			return false;
		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		kapi_pte_set(slot.vma, slot.address, slot.entry, slot.pte.cleaned().value());
		if (slot.pte.dirty()) {
			kapi_folio_set_dirty(slot.page);
			kapi_folio_keep_written(slot.page);
		}
		return true;
	}

	Index locked = no_index; /* the first page that a fault had locked */
};

} /* namespace */

/* No page of its own is written through a page table any more, when this returns. */
void Pages::write_protect()
{
	for (Index first = 0; first != no_index;) {
		Protect protect;

		visit_own_entries(*this, first, protect);
		first = protect.locked;
		if (first != no_index)
			PageLock mapped_by_now{at(first)};
	}
}

/* Somebody has a reference to @page, locked, and may be writing it: @to gets a copy instead. */
void Pages::keep(Index index, folio *page, Pages &to)
{
	FolioRef copy{kapi_folio_alloc_surely(kapi_folio_node(page))};

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
