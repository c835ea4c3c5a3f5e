// SPDX-License-Identifier: GPL-2.0
/* Slots (store/slot.h). */
#include "store/slot.h"
#include "store/store.h"

namespace cowmem {

void SlotSum::add(const StoreSlot &slot, unsigned long n)
{
	__atomic_fetch_add(&slots, n, __ATOMIC_RELAXED);
	if (slot.is_backed()) {
		__atomic_fetch_add(&backed, n, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&same_filled, slot.length ? 0 : n, __ATOMIC_RELAXED);
	__atomic_fetch_add(&bytes, slot.length * n, __ATOMIC_RELAXED);
}

void free_slot(StoreSlot *slot)
{
	folio *page = slot->where ? slot->page() : nullptr;

	if (slot->is_counted())
		(page ? Home::of(page) : slot->home()).remove_slot(*slot);
	if (page)
		drop_name(page);
	else if (slot->where)
		slot->home().uncharge();
	store.free(slot);
}

} /* namespace cowmem */
