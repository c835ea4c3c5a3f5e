// SPDX-License-Identifier: GPL-2.0
/* The table of an object's slots (store/slot.h). */
#include "rmap/pte.h"
#include "store/slot.h"
#include "store/store.h"

namespace cowmem {

namespace {

constexpr unsigned long one_more = 1, one_less = ~0UL;

} /* namespace */

SlotRef Slots::get(Index index) const
{
	if (empty())
		return {};

	Rcu rcu;

	for (;;) {
		auto *found = static_cast<StoreSlot *>(kapi_table_load(table_, index));

		if (!found)
			return {};
		if (!kapi_ref_try_get(&found->references))
			continue; /* it was just dropped, and so is gone from the table */

		SlotRef slot{found};

		/* Now that it stays what it is: the slot that was looked for, or another by now. */
		if (kapi_table_load(table_, index) == found)
			return slot;
	}
}

bool Slots::set(Index index, SlotRef &slot)
{
	void *old;

	if (kapi_table_store(table_, index, slot.get(), &old))
		return false;
	add(*slot.release(), one_more);
	if (const SlotRef replaced{static_cast<StoreSlot *>(old)})
		add(*replaced, one_less);
	return true;
}

void Slots::drop(Index index)
{
	if (empty())
		return;
	if (const SlotRef dropped{static_cast<StoreSlot *>(kapi_table_erase(table_, index))})
		add(*dropped, one_less);
}

void Slots::drop(Index first, Index last, Index end_of_holes)
{
	if (!table_)
		return; /* there was no memory for it, and so there is no slot */
	for (Index index = first; find(index, last); index++) {
		if (index >= end_of_holes || !get(index)->is_hole())
			drop(index);
		kapi_cond_resched();
		if (index == last)
			break;
	}
}

void Slots::move(Index index, Slots &to)
{
	SlotRef moved{static_cast<StoreSlot *>(kapi_table_erase(table_, index))};

	add(*moved, one_less);
	(void)to.set(index, moved); /* which needs no memory */
}

void Slots::give_all(Slots &to)
{
	const auto give = [](unsigned long &from, unsigned long &gets) {
		__atomic_store_n(&gets, __atomic_exchange_n(&from, 0, __ATOMIC_RELAXED),
		                 __ATOMIC_RELAXED);
	};

	kapi_table_give(table_, to.table_);
	give(sum_.slots, to.sum_.slots);
	give(sum_.same_filled, to.sum_.same_filled);
	give(sum_.bytes, to.sum_.bytes);
	give(sum_.backed, to.sum_.backed);
}

Slots::Sum Slots::sum() const
{
	return {count(), __atomic_load_n(&sum_.same_filled, __ATOMIC_RELAXED),
	        __atomic_load_n(&sum_.bytes, __ATOMIC_RELAXED),
	        __atomic_load_n(&sum_.backed, __ATOMIC_RELAXED)};
}

void Slots::add(const StoreSlot &slot, unsigned long sign)
{
	if (slot.is_hole())
		return;
	__atomic_fetch_add(&sum_.slots, sign, __ATOMIC_RELAXED);
	if (slot.is_backed()) {
		__atomic_fetch_add(&sum_.backed, sign, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&sum_.same_filled, slot.length ? 0 : sign, __ATOMIC_RELAXED);
	__atomic_fetch_add(&sum_.bytes, slot.length * sign, __ATOMIC_RELAXED);
}

} /* namespace cowmem */
