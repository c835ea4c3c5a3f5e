/* SPDX-License-Identifier: GPL-2.0 */
/* The bytes that are seen at some index: referenced with the lock held, read without. */
#ifndef COWMEM_SOURCE_H
#define COWMEM_SOURCE_H

#include "kernel/folio.h"
#include "store/store.h"

namespace cowmem {

/* What there is to read, and where it was found. */
struct Source {
	FolioRef page;
	SlotRef slot; /* if there is no page */
	unsigned long layer = 0;
};

/*
 * Into @page, with no lock held: what is frozen stays as it is. 0, -EIO, -EHWPOISON, -ENOMEM;
 * -EINTR, if @how permits that.
 */
inline int copy(folio *page, const Source &source, Wait how = Wait::killable)
{
	if (source.page)
		return kapi_folio_poisoned(source.page.get())
		               ? -KAPI_EHWPOISON
		               : kapi_folio_copy(page, source.page.get());
	return source.slot->is_backed() ? backing.read(*source.slot, page, how)
	                                : store.read(*source.slot, page);
}

} /* namespace cowmem */

#endif /* COWMEM_SOURCE_H */
