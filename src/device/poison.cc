// SPDX-License-Identifier: GPL-2.0
/* Poisoning pages (device/poison.h). */
#include "layers/object.h"
#include "device/poison.h"
#include "layers/viewers.h"
#include "rmap/unmap.h"

namespace cowmem {

namespace {

/*
 * Of a locked page. A fault that found it before it was marked may still be about to map it.
 * The core does so with the page lock, so the walk comes after it; the handler looks for the
 * mark with the page table locked.
 */
void mark_and_unmap(const Home &home, Index index, folio *page)
{
	Unmap<Leave::poison> unmap{{.mlock = true, .access = true}};

	kapi_folio_poison(page);
	kapi_smp_mb(); /* a fault looks for the mark under the PTE lock, which the walk takes after this */
	__atomic_store_n(&some_are_poisoned, true, __ATOMIC_RELAXED);
	walk_viewers(home, Batch{index, page}, unmap);
	kapi_count(COWMEM_COUNT_pages_poisoned);
}

} /* namespace */

bool poison_page(Pages &pages, Index index)
{
	if (pages.home().large())
		pages.break_blocks(index, index);

	const FolioRef page = pages.get(index);

	if (!page || kapi_folio_poisoned(page.get()))
		return false;

	const PageLock lock{page.get()};

	mark_and_unmap(pages.home(), index, page.get());
	return true;
}

/*
 * The kernel may have marked it, but unmaps none of ours; and a fault may be about to map what nobody maps now. As long as the
 * page is locked it stays at home where it is, and its home stays.
 */
bool memory_failed(folio *page)
{
	/* A page of an object is locked for moments only; a page that stays locked is no object's. */
	if (!kapi_folio_lock_soon(page))
		return false;

	const bool ours = kapi_folio_is_ours(page);

	if (ours)
		mark_and_unmap(Home::of(page), kapi_folio_index(page), page);
	kapi_folio_unlock(page);
	return ours;
}

} /* namespace cowmem */

/* From the notifier of machine checks; as memory_failed() says. */
extern "C" bool cowmem_memory_failed(folio *page)
{
	return cowmem::memory_failed(page);
}
