// SPDX-License-Identifier: GPL-2.0
/* Homes and names of pages (store/home.h). */
#include "store/home.h"
#include "rmap/unmap.h"

namespace cowmem {

bool some_are_poisoned;

void leave_home(folio *page)
{
	Home &home = Home::of(page);
	const unsigned long pages = kapi_folio_pages(page);

	home.add(-pages);
	if (kapi_folio_is_large(page))
		home.add_large(-pages);
	kapi_folio_set_names(page, 0);
	kapi_folio_forget_refused(page);
	kapi_folio_detach(page);
	kapi_count_n(COWMEM_COUNT_pages_freed, pages);
}

namespace {

/* Takes @page, locked and at home, out of all page tables that still map it. */
void unmap(folio *page)
{
	if (kapi_folio_mapped(page))
		kapi_mapping_unmap(kapi_folio_mapping(page),
		                   kapi_folio_index(page) << KAPI_PAGE_SHIFT, KAPI_PAGE_SIZE,
		                   false);
}

} /* namespace */

void unmap_late(folio *page)
{
	if (Home::of(page).is_shared())
		return;

	const PageLock lock{page};

	if (kapi_folio_mapping(page))
		unmap(page);
}

/*
 * With the page lock held nobody can map the page any more: a fault that returned it locked
 * has mapped it by now, and a fault that maps it without that lock follows the commit rule.
 */
void drop_name(folio *page)
{
	if (kapi_folio_drop_name(page)) {
		const PageLock lock{page};

		unmap(page);
		if (kapi_folio_poisoned(page))
			forget_poison(kapi_folio_mapping(page), kapi_folio_index(page), page);
		Home::of(page).uncharge();
		if (kapi_folio_leave_part(page)) {
			leave_home(page);
			kapi_lru_del(kapi_folio_whole(page));
		}
	}
	kapi_folio_put(page);
}

} /* namespace cowmem */
