/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Slots: where the bytes of paged-out pages are (store/store.h), and the table of an
 * object's.
 *
 * A slot never changes while anybody has a reference on it, but for its mark. The
 * table has one; so has whoever is just reading from it, so that to drop a slot needs
 * no wait (R87). A slot's memory is only ever used for slots under RCU, so a look-up
 * takes a reference first and sees whether it is the right one afterwards.
 */
#ifndef COWMEM_SLOT_H
#define COWMEM_SLOT_H

#include <utility>

#include "kernel/kapi.h"

namespace cowmem {

/* The number of a page in an object. */
using Index = unsigned long;

/* Where one page's bytes are. */
struct StoreSlot {
	kapi_refcount references;
	unsigned short
		length;     /* bytes that it takes in the store; in the backing store: is_lost() */
	unsigned char how;  /* how to read it: the store's business */
	bool written;       /* kapi_folio_written() of the page that went out */
	unsigned long what; /* a handle of the store; the word that fills the page; a place */

	/* `how`: the word in `what` fills the page; otherwise a compressor's number, but for the last. */
	static constexpr unsigned char same_filled = 0;
	/* `how`: in the backing store, at the place and with the checksum in `what`. */
	static constexpr unsigned char backed = 255;

	/* `how`: no bytes, but a hole, where an ancestor has something (layers/pages.h). */
	static constexpr unsigned char hole = 254;

	bool is_backed() const { return how == backed; }
	bool is_hole() const { return how == hole; }
	/* Whether the last read from the backing store failed. */
	bool is_lost() const { return __atomic_load_n(&length, __ATOMIC_RELAXED); }
	void set_lost(bool value) { __atomic_store_n(&length, value, __ATOMIC_RELAXED); }
	bool is_written() const { return __atomic_load_n(&written, __ATOMIC_RELAXED); }
	void set_written(bool value) { __atomic_store_n(&written, value, __ATOMIC_RELAXED); }
	bool take_written() { return __atomic_exchange_n(&written, false, __ATOMIC_RELAXED); }
};
static_assert(sizeof(StoreSlot) == 16, "slots are metadata of every paged-out page");

/* Gives back what @slot has in the store, and its memory. */
void free_slot(StoreSlot *slot);

/* One reference on a slot, or none. */
class SlotRef {
public:
	constexpr SlotRef() = default;
	/* Takes over a reference that the caller has. */
	explicit SlotRef(StoreSlot *owned) : slot_{owned} {}
	SlotRef(SlotRef &&other) : slot_{std::exchange(other.slot_, nullptr)} {}
	SlotRef &operator=(SlotRef &&other)
	{
		std::swap(slot_, other.slot_);
		return *this;
	}
	~SlotRef()
	{
		if (slot_ && kapi_ref_put(&slot_->references))
			free_slot(slot_);
	}

	explicit operator bool() const { return slot_; }
	StoreSlot *operator->() const { return slot_; }
	StoreSlot &operator*() const { return *slot_; }
	StoreSlot *get() const { return slot_; }
	[[nodiscard]] StoreSlot *release() { return std::exchange(slot_, nullptr); }

private:
	StoreSlot *slot_ = nullptr;
};

/* Slots that say that there is nothing, made before a lock is taken under which they are wanted. */
class Holes {
public:
	Holes() = default;
	~Holes();
	Holes(const Holes &) = delete;
	Holes &operator=(const Holes &) = delete;

	/* Has at least @wanted from now on. False: no memory. Sleeps, and may reclaim. */
	[[nodiscard]] bool have(unsigned int wanted);
	unsigned int count() const { return count_; }
	/* One of them, of which there must be one. Never sleeps. */
	SlotRef take();

private:
	StoreSlot *first_ = nullptr; /* each has the next for its `what` */
	unsigned int count_ = 0;
};

/* The slots of an object, by the index of their pages. Holes are not in any sum. */
class Slots {
public:
	/* What they are and take, for STORE_STAT. */
	struct Sum {
		unsigned long slots = 0, same_filled = 0, bytes = 0, backed = 0;
	};

	Slots() = default;
	~Slots() { kapi_table_free(table_); }
	Slots(const Slots &) = delete;
	Slots &operator=(const Slots &) = delete;

	/* Whether there was memory for it. Sleeps. To be called once. */
	[[nodiscard]] bool create() { return table_ = kapi_table_create(); }

	bool empty() const { return kapi_table_empty(table_); }
	/* Whether there is one at @index, if nobody changes that. */
	bool has(Index index) const { return !empty() && kapi_table_load(table_, index); }
	/* Whether it is in the backing store; cheap where none is. A hint, as has(). */
	bool is_backed(Index index) const
	{
		if (!__atomic_load_n(&sum_.backed, __ATOMIC_RELAXED))
			return false;

		const SlotRef slot = get(index);

		return slot && slot->is_backed();
	}
	/* The slot at @index, or none. Never sleeps. */
	SlotRef get(Index index) const;
	/* The same for who keeps the table from being changed. */
	StoreSlot *at(Index index) const
	{
		return empty() ? nullptr : static_cast<StoreSlot *>(kapi_table_load(table_, index));
	}
	/* Puts @slot at @index, in the place of another or none. False: no memory, and no change. */
	[[nodiscard]] bool set(Index index, SlotRef &slot);
	/* Has memory for a slot at @index, where there is none. False: there is no memory. Sleeps. */
	[[nodiscard]] bool reserve(Index index) { return kapi_table_reserve(table_, index); }
	/* All are @to's then, which has none. */
	void give_all(Slots &to);
	/* Puts the slot at @index, which there is, at the same in @to, which has reserved it. */
	void move(Index index, Slots &to);
	/* Drops what is at @index, if there is a slot. */
	void drop(Index index);
	/* The same for @first to @last, but for holes before @end_of_holes. Sleeps. */
	void drop(Index first, Index last, Index end_of_holes);
	/* Makes @index that of the first slot at or after it and not after @last; or false. */
	bool find(Index &index, Index last) const
	{
		return !empty() && kapi_table_find(table_, &index, last);
	}

	Sum sum() const;
	unsigned long count() const { return __atomic_load_n(&sum_.slots, __ATOMIC_RELAXED); }

private:
	void add(const StoreSlot &slot, unsigned long sign);

	xarray *table_ = nullptr;
	Sum sum_;
};

} /* namespace cowmem */

#endif /* COWMEM_SLOT_H */
