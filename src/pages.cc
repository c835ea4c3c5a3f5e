// SPDX-License-Identifier: GPL-2.0
/* The pages of an object (cowmem/pages.h). */
#include <cowmem/pages.h>

namespace cowmem {

/* Puts @fresh, whose reference it takes over, at @index, unless another CPU was first. */
FolioRef Pages::create(Index index, folio *fresh)
{
	FolioRef page{fresh};

	if (!page)
		return page;
	kapi_folio_mark_uptodate(fresh);
	kapi_folio_mark_dirty(fresh);
	kapi_folio_attach(fresh, mapping_, index);
	kapi_folio_get(fresh); /* the table's; the look-ups under RCU may come at once */

	const int err = kapi_mapping_insert(mapping_, index, fresh);

	if (!err) {
		__atomic_fetch_add(&resident_, 1, __ATOMIC_RELAXED);
		kapi_count(COWMEM_COUNT_pages_allocated);
		return page;
	}
	kapi_folio_detach(fresh);
	kapi_folio_put(fresh);
	return err == -KAPI_ENOMEM ? FolioRef{} : get(index);
}

Index Pages::next(Index from, Index last) const
{
	return kapi_mapping_find(mapping_, &from, last) ? from : no_index;
}

Index Pages::next_hole(Index from) const
{
	while (from != no_index && kapi_mapping_load(mapping_, from)) {
		from++;
		kapi_cond_resched();
	}
	return from;
}

/* Takes @page out of the table; the table's reference goes to the caller. */
void Pages::detach(Index index, folio *page)
{
	/* Whoever holds the page lock maps the page, or is done with it, before this. */
	kapi_folio_lock(page);
	kapi_mapping_erase(mapping_, index);
	kapi_folio_detach(page);
	kapi_folio_unlock(page);
	__atomic_fetch_sub(&resident_, 1, __ATOMIC_RELAXED);
}

void Pages::free_list(folio *list)
{
	while (folio *page = kapi_folio_pop(&list)) {
		kapi_folio_put(page);
		kapi_count(COWMEM_COUNT_pages_freed);
		kapi_cond_resched();
	}
}

/* Takes every page from @first to @last out of the table: a list, linked by the folios. */
folio *Pages::detach_range(Index first, Index last)
{
	folio *removed = nullptr;

	for (Index index = first; folio *page = kapi_mapping_find(mapping_, &index, last);
	     index++) {
		detach(index, page);
		kapi_folio_push(&removed, page);
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return removed;
}

/*
 * Every page is detached first and the range unmapped once, afterwards. A fault
 * that looked its page up earlier either holds the lock shared until its PTE is in
 * place (then remove() has not begun), or holds the page lock until then (then
 * detach() waits for it); so the one pass over the mappings meets every PTE, and
 * the pages are freed only after it.
 */
void Pages::remove(Index first, Index last, PrivateCopies copies)
{
	folio *removed = detach_range(first, last);
	const unsigned long long to_the_end = 0;
	const unsigned long long length =
		last == no_index ? to_the_end
				 : static_cast<unsigned long long>(bytes_at(last - first + 1));

	kapi_mapping_unmap(mapping_, static_cast<unsigned long long>(bytes_at(first)), length,
	                   copies == PrivateCopies::zap);
	free_list(removed);
}

void Pages::remove_all()
{
	free_list(detach_range(0, no_index));
}

bool Pages::check()
{
	unsigned long entries = 0;

	for (Index index = 0; folio *page = kapi_mapping_find(mapping_, &index, no_index);
	     index++) {
		if (!owns(page) || kapi_folio_index(page) != index || !kapi_folio_uptodate(page))
			return false;
		entries++;
	}
	return entries == resident();
}

} /* namespace cowmem */
