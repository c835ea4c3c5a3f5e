// SPDX-License-Identifier: GPL-2.0
/* Homes and names of pages (store/home.h). */
#include "store/home.h"
#include "rmap/unmap.h"
#include "store/large.h"

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

namespace {

/* It leaves its home. In this order: reclaim, which puts a page back on its list, looks at the mapping after that. */
void detach(folio *page)
{
	leave_home(page);
	kapi_lru_del(kapi_folio_whole(page));
}

/*
 * @page, locked, has lost its last name. With the page lock held nobody can map the page any more: a fault that returned
 * it locked has mapped it by now, and a fault that maps it without that lock follows the commit rule. True: it, or the large
 * folio that it is a part of, is to leave its home.
 */
bool lose_page(folio *page)
{
	unmap(page);
	if (kapi_folio_poisoned(page))
		forget_poison(kapi_folio_mapping(page), kapi_folio_index(page), page);
	Home::of(page).uncharge();
	return kapi_folio_leave_part(page);
}

/*
 * @large, of which memory failed, has no name any more. The allocator keeps damaged memory back only of what is one page, so it gets
 * pages; where somebody has a reference it gets nothing, ever. True: it has left its home.
 */
bool give_back_failed(folio *large)
{
	if (break_large(large))
		return true;
	kapi_folio_get(large);
	return false;
}

/*
 * Where @page may be a part of a large folio. Names are counted in memory that break_large() frees, which finds with
 * the references frozen that there is one for each name: so this has one more until it is done. While they are frozen
 * none is to be had, and who has frozen them is not preempted.
 */
void drop_name_of_part(folio *page)
{
	while (!kapi_folio_try_get(page))
		kapi_cpu_relax();

	folio *const whole = kapi_folio_whole(page);
	const bool last = kapi_folio_drop_name(page);

	kapi_folio_put(whole); /* the name's */
	if (last) {
		const PageLock lock{whole};

		if (lose_page(page) && !(kapi_folio_is_large(whole) &&
		                         kapi_large_has_failed(whole) && give_back_failed(whole)))
			detach(page);
	}
	kapi_folio_put(whole);
}

} /* namespace */

void drop_name(folio *page)
{
	if (kapi_may_be_large(page)) {
		drop_name_of_part(page);
		return;
	}
	if (kapi_folio_drop_name(page)) {
		const PageLock lock{page};

		if (lose_page(page))
			detach(page);
	}
	kapi_folio_put(page);
}

} /* namespace cowmem */
