// SPDX-License-Identifier: GPL-2.0
/* Poisoning pages (cowmem/poison.h). */
#include <cowmem/poison.h>
#include <cowmem/visitors.h>

namespace cowmem {

/*
 * A fault that found the page before it was marked may still be about to map it. The
 * core does so with the page lock, so the walk comes after it; what the handler maps
 * itself follows the commit rule (cowmem/family.h), and this is a writer.
 */
bool poison_page(Pages &pages, Index index)
{
	folio *page = pages.at(index);

	if (kapi_folio_poisoned(page))
		return false;

	PageLock lock{page};
	ObjectMappings mappings{pages.mapping()};
	Unmap<Leave::poison> unmap{{.mlock = true, .access = true}};

	kapi_folio_poison(page);
	walk(mappings, Batch{index, page}, unmap);
	kapi_count(COWMEM_COUNT_pages_poisoned);
	return true;
}

void forget_poison(address_space *mapping, Index index, folio *page)
{
	ObjectMappings mappings{mapping};
	Unpoison unpoison;

	walk(mappings, Batch{index, page}, unpoison);
}

} /* namespace cowmem */
