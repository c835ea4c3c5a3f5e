// SPDX-License-Identifier: GPL-2.0
/*
 * Freezing: an object gives its pages to a layer of their own, where nobody writes them
 * any more (Pages::give_all()). What it costs follows the pages that it had for itself:
 * those that were written since the last time.
 *
 * A snapshot made so is of one instant, though its pages are write-protected one batch
 * after the other. Who writes a page that is protected already waits until all are; so
 * nothing that happens after a write which came too late can be in the snapshot.
 */
#include <cowmem/pages.h>
#include <cowmem/visitors.h>

namespace cowmem {

/* Has memory in @to's tables for all that is here. */
bool Pages::reserve_in(Pages &to)
{
	bool enough = true;

	for (Index index = 0; enough && kapi_mapping_find(mapping_, &index, no_index); index++) {
		enough = kapi_mapping_reserve(to.mapping_, index);
		kapi_cond_resched();
	}
	for (Index index = 0; enough && slots_.find(index, no_index); index++) {
		enough = to.slots_.reserve(index);
		kapi_cond_resched();
	}
	if (!enough) {
		kapi_mapping_unreserve(to.mapping_);
		to.slots_.unreserve();
	}
	return enough;
}

/* Puts @page where there is memory for it; the reference is the table's then. */
void Pages::store_reserved(Index index, folio *page)
{
	kapi_mapping_lock_table(mapping_);
	kapi_mapping_store_locked(mapping_, index, page);
	kapi_mapping_unlock_table(mapping_);
	__atomic_fetch_add(&resident_, 1, __ATOMIC_RELAXED);
}

/* A locked page, which nobody can write through a page table. */
void Pages::give_page(Index index, folio *page, Pages &to)
{
	kapi_mapping_erase(mapping_, index);
	__atomic_fetch_sub(&resident_, 1, __ATOMIC_RELAXED);
	kapi_folio_rehome(page, to.mapping_);
	to.store_reserved(index, page);
}

/* The same for a page that somebody has a reference to, who may be writing it. */
void Pages::give_copy(Index index, folio *page, Pages &to)
{
	FolioRef copy{kapi_folio_alloc_surely()};

	if (kapi_folio_copy(copy.get(), page))
		return give_page(index, page, to); /* it is damaged: who reads it will be told */
	kapi_folio_set_dirty(page);
	kapi_folio_keep_written(page);
	kapi_folio_set_dirty(copy.get());
	kapi_folio_keep_written(copy.get());
	kapi_folio_mark_uptodate(copy.get());
	kapi_folio_attach(copy.get(), to.mapping_, index);
	add_to_lru(copy.get());
	to.store_reserved(index, copy.release());
	kapi_count(COWMEM_COUNT_pages_allocated);
	kapi_count(COWMEM_COUNT_pages_frozen_copied);
}

void Pages::give_batch(const Batch &batch, Pages &to)
{
	Clean found;

	for (unsigned int i = 0; i < batch.count; i++)
		if (batch.page[i])
			kapi_folio_lock(batch.page[i]);
	{
		ObjectMappings mappings{mapping_};

		walk(mappings, batch, found);
	}
	for (unsigned int i = 0; i < batch.count; i++) {
		folio *page = batch.page[i];

		if (!page)
			continue;
		if (found.dirty[i]) {
			kapi_folio_set_dirty(page);
			kapi_folio_keep_written(page);
		}
		if (foreign_references(page) || kapi_folio_maybe_pinned(page))
			give_copy(batch.first + i, page, to);
		else
			give_page(batch.first + i, page, to);
		kapi_folio_unlock(page);
	}
}

int Pages::give_all(Pages &to)
{
	if (!reserve_in(to))
		return -KAPI_ENOMEM;
	for (Index index = 0; (index = next(index, no_index)) != no_index;) {
		Batch batch{index, Batch::max - static_cast<unsigned int>(index % Batch::max)};

		for (unsigned int i = 0; i < batch.count; i++)
			batch.page[i] = at(index + i);
		give_batch(batch, to);
		index = batch.end();
		kapi_cond_resched();
	}
	for (Index index = 0; slots_.find(index, no_index); index++) {
		slots_.move(index, to.slots_);
		kapi_cond_resched();
	}
	return 0;
}

} /* namespace cowmem */
