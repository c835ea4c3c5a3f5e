// SPDX-License-Identifier: GPL-2.0
/* Slots (store/slot.h). */
#include "store/slot.h"
#include "store/store.h"

namespace cowmem {

void free_slot(StoreSlot *slot)
{
	folio *page = slot->where ? slot->page() : nullptr;

	if (slot->is_counted())
		(page ? Home::of(page) : slot->home()).remove_slot();
	if (page)
		drop_name(page);
	else if (slot->where)
		slot->home().uncharge();
	store.free(slot);
}

} /* namespace cowmem */
