/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a tree has at one index: nothing, a page, or a slot of the store, which may have the
 * page, too, while that is in memory. It names what it has (store/home.h).
 */
#ifndef COWMEM_ENTRY_H
#define COWMEM_ENTRY_H

#include "store/slot.h"

namespace cowmem {

class Entry {
public:
	constexpr Entry() = default;
	explicit Entry(folio *page) : value_{reinterpret_cast<unsigned long>(page)} {}
	explicit Entry(StoreSlot *slot) : value_{reinterpret_cast<unsigned long>(slot) | is_slot} {}
	/* In a leaf that is no tree's any more: the look-up has to start over. */
	static constexpr Entry dead() { return Entry{is_dead}; }

	explicit operator bool() const { return value_; }
	bool operator==(const Entry &) const = default;

	/* The slot, or null. */
	StoreSlot *slot() const
	{
		return value_ & is_slot ? reinterpret_cast<StoreSlot *>(value_ - is_slot) : nullptr;
	}
	/* The page, if it is that alone, or null. */
	folio *bare() const
	{
		return value_ & (is_slot | is_dead) ? nullptr : reinterpret_cast<folio *>(value_);
	}
	/* The page in memory, or null. */
	folio *page() const
	{
		if (!(value_ & (is_slot | is_dead)))
			return reinterpret_cast<folio *>(value_);
		return slot() ? slot()->page() : nullptr;
	}

	/* Whether both are the same version of a page: one may be in a slot by now. Of what is dead nobody knows. */
	bool same_as(Entry other) const
	{
		return (*this == other && *this != dead()) || (bare() && bare() == other.page()) ||
		       (other.bare() && other.bare() == page());
	}

	/* Drops the name that it is. Sleeps. */
	void drop() const
	{
		if (slot())
			SlotRef{slot()};
		else if (*this)
			drop_name(bare());
	}

	/*
	 * The same for a tree that does not have it any more. A fault that has an own page locked
	 * may map it late, also if somebody else has its slot, which keeps the page.
	 */
	void remove() const
	{
		if (slot())
			if (const FolioRef page{slot()->try_get_page()})
				unmap_late(page.get());
		drop();
	}

private:
	friend class Node;
	static constexpr unsigned long is_slot = 1, is_dead = 2;

	constexpr explicit Entry(unsigned long value) : value_{value} {}

	unsigned long value_ = 0;
};

} /* namespace cowmem */

#endif /* COWMEM_ENTRY_H */
