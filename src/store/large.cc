// SPDX-License-Identifier: GPL-2.0
/* Large folios, taken apart (store/large.h). */
#include "store/large.h"
#include "kernel/rcu.h"

namespace cowmem {

namespace {

/*
 * Lets reclaim find a page that was a part, and gives back its reference. Whoever removes the page takes it
 * off the list after its mapping is gone, so that one of the two sees the other.
 */
void list_and_put(folio *page)
{
	if (kapi_folio_mapping(page)) {
		kapi_lru_add(page);
		if (!kapi_folio_mapping(page))
			kapi_lru_del(page);
	}
	kapi_folio_put(page);
}

} /* namespace */

/*
 * Whoever maps it without the page lock has a reference from the look-up on, as GUP has, so that the count
 * cannot be frozen then; a look-up that comes while it is finds no reference to be had.
 */
bool break_large(folio *large)
{
	constexpr int callers = 1;
	Home &home = Home::of(large);
	unsigned int unnamed;

	/* What will fail is not to cost the mappings. */
	if (foreign_references(large) > callers)
		return false;
	kapi_mapping_unmap(home.mapping(), kapi_folio_index(large) << KAPI_PAGE_SHIFT,
	                   1ULL * KAPI_LARGE_PAGES << KAPI_PAGE_SHIFT, false);
	{
		const NoPreemption who_waits_for_it_goes_on;

		if (!kapi_large_break(large, &unnamed))
			return false;
	}
	home.add(-static_cast<unsigned long>(unnamed));
	home.add_large(-static_cast<unsigned long>(KAPI_LARGE_PAGES));
	if (!kapi_folio_mapping(large))
		kapi_lru_del(large);
	for (unsigned int i = 1; i < KAPI_LARGE_PAGES; i++)
		list_and_put(kapi_folio_part(large, i));
	kapi_count(COWMEM_COUNT_large_broken);
	kapi_count_n(COWMEM_COUNT_pages_freed, unnamed);
	return true;
}

} /* namespace cowmem */
