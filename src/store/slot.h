/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Slots: where the bytes of paged-out pages are (store/store.h).
 *
 * A slot's bytes never change, but where they are may (store/relocation.h). Each tree that has it for
 * an entry has a reference; so has whoever is just reading from it, so that to drop a slot needs no
 * wait. A slot's memory is only ever used for slots under RCU, so a look-up takes a reference first
 * and sees whether it is the right one afterwards.
 *
 * A slot and what it has in memory is charged to whom the page was that it was made of, whoever
 * makes it, and the page is when it comes back.
 *
 * A page that has a slot is in it, also while it is in memory: then it is there once for all
 * who see it, and can go out again without being stored. If such a page is dirty, the slot's
 * bytes are stale.
 */
#ifndef COWMEM_SLOT_H
#define COWMEM_SLOT_H

#include <utility>

#include "kernel/rcu.h"
#include "store/home.h"
#include "store/owners.h"

namespace cowmem {

/* Where one page's bytes are. */
struct Location {
	unsigned short length = 0; /* bytes of memory that they take */
	unsigned char how = 0;     /* how to read them */
	unsigned long what = 0; /* the word that fills the page; a handle of the store; a place */

	/* `how`: the word in `what` fills the page; otherwise a compressor's number, or one of these. */
	static constexpr unsigned char same_filled = 0;
	/* `how`: in memory as they are, where no compressor makes less of them. */
	static constexpr unsigned char raw = 250;
	/* `how`, of a slot for an instant: it is being changed. */
	static constexpr unsigned char changing = 251;
	/* `how`, with the number of a file or device: there, at the place and with the checksum in `what`. */
	static constexpr unsigned char backed = 252;
	static constexpr unsigned int max_devices = 4;

	bool is_backed() const { return how >= backed; }
	bool is_compressed() const { return how > same_filled && how < raw; }
	/* Whether bytes of memory have it, more than the slot itself. */
	bool is_in_memory() const { return how > same_filled && how < changing; }
	unsigned int device() const { return how - backed; }
	bool operator==(const Location &) const = default;
};

/* A slot. */
struct StoreSlot {
	kapi_refcount references;
	unsigned short length; /* these three are its Location */
	unsigned char how;
	unsigned char marks; /* written, counted, lost; tried() */
	unsigned long what;
	unsigned long where; /* the page, which this is a name of; or, out of memory, its home */
	unsigned int owner_number; /* whom it is charged to, and the page when it comes back */
	unsigned int used; /* when the page went out, or was last copied from here: tick() */

	Owner &owner() const { return owners.at(owner_number); }

	/* Whether its bytes are in the backing store: a hint. */
	bool is_backed() const
	{
		return __atomic_load_n(&how, __ATOMIC_RELAXED) >= Location::backed;
	}
	/*
	 * Where its bytes are: they stay there only for who holds a BytesStay from before. `how` is read
	 * once more behind the others, as a sequence count is: it does not come back to what it was while
	 * there is a BytesStay.
	 */
	Location location() const
	{
		for (;;) {
			const unsigned char before = __atomic_load_n(&how, __ATOMIC_ACQUIRE);
			const Location found{__atomic_load_n(&length, __ATOMIC_RELAXED), before,
			                     __atomic_load_n(&what, __ATOMIC_RELAXED)};

			kapi_smp_rmb();
			if (before != Location::changing &&
			    __atomic_load_n(&how, __ATOMIC_RELAXED) == before)
				return found;
		}
	}
	/* That is @at. Of who has just made the slot. */
	void begin_at(const Location &at)
	{
		length = at.length;
		how = at.how;
		what = at.what;
		touch();
	}
	/* It is used now: what is not goes on to the backing store first (reclaim/writeback.h). */
	void touch() { __atomic_store_n(&used, tick(kapi_jiffies()), __ATOMIC_RELAXED); }
	/*
	 * For how many jiffies it was not used at @now, to the next tick; 0, if it has been since. After more than two years, at the
	 * least, it begins anew.
	 */
	unsigned long age(unsigned long now) const
	{
		constexpr unsigned int longest = ~0U - (1U << 16); /* what is more was used since */
		const unsigned int age = tick(now) - __atomic_load_n(&used, __ATOMIC_RELAXED);

		return age > longest ? 0 : static_cast<unsigned long>(age) << tick_shift;
	}
	/* They are at @to from now on; they were put there before. Of who alone does that. */
	void set_location(const Location &to)
	{
		set_tried(0);

		const NoPreemption who_waits_for_it_goes_on;

		__atomic_store_n(&how, Location::changing, __ATOMIC_RELAXED);
		kapi_smp_mb(); /* with the one of location() */
		__atomic_store_n(&length, to.length, __ATOMIC_RELAXED);
		__atomic_store_n(&what, to.what, __ATOMIC_RELAXED);
		__atomic_store_n(&how, to.how, __ATOMIC_RELEASE);
	}
	/* The page, or null: it is out. */
	folio *page() const
	{
		const unsigned long value = __atomic_load_n(&where, __ATOMIC_ACQUIRE);

		return value & is_out ? nullptr : reinterpret_cast<folio *>(value);
	}
	/* The home of the page: it stays, for who keeps it from becoming another's. */
	Home &home() const
	{
		for (;;) {
			const unsigned long value = __atomic_load_n(&where, __ATOMIC_ACQUIRE);

			if (value & is_out)
				return *reinterpret_cast<Home *>(value - is_out);
			if (const FolioRef kept{try_get_page()})
				return Home::of(kept.get());
		}
	}
	/* Whether its page is at home in @home, in memory or not: a hint, under RCU. One that is free, and taken again, has none yet. */
	bool is_of(const Home &home) const
	{
		const unsigned long value = __atomic_load_n(&where, __ATOMIC_ACQUIRE);

		return value & is_out ? value - is_out == reinterpret_cast<unsigned long>(&home)
		                      : value && home.owns(reinterpret_cast<folio *>(value));
	}
	/* The page, referenced, or null. */
	folio *try_get_page() const
	{
		while (folio *found = page()) {
			if (!kapi_folio_try_get(found))
				continue;
			if (page() == found)
				return found;
			kapi_folio_put(found);
		}
		return nullptr;
	}
	/* The page, which is in memory, is in it from now on: a name. Of who has just made it. */
	void hold(folio *page)
	{
		where = reinterpret_cast<unsigned long>(page);
		marks = counted;
		Home::of(page).add_slot();
	}
	/* @home, that of its page, which is locked, does not count it any more. */
	void uncount(Home &home)
	{
		if (clear(counted))
			home.remove_slot();
	}
	bool is_counted() const { return __atomic_load_n(&marks, __ATOMIC_RELAXED) & counted; }
	/* The same for a page that is there instead of another, whose name it takes over. */
	void hold_instead(folio *page)
	{
		__atomic_store_n(&where, reinterpret_cast<unsigned long>(page), __ATOMIC_RELEASE);
	}
	/* The page has come into memory, and is at home there. False: another was faster. */
	[[nodiscard]] bool come_in(folio *page)
	{
		unsigned long home = reinterpret_cast<unsigned long>(&Home::of(page)) + is_out;

		return __atomic_compare_exchange_n(&where, &home,
		                                   reinterpret_cast<unsigned long>(page), false,
		                                   __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
	/* The page, whose home is @home, goes out. */
	void go_out(const Home &home)
	{
		touch();
		__atomic_store_n(&where, reinterpret_cast<unsigned long>(&home) + is_out,
		                 __ATOMIC_RELEASE);
	}
	/* The page is out, and at home in @home from now on. False: it comes in, or was faster to be so. */
	[[nodiscard]] bool take_out_of(Home &from, Home &home)
	{
		unsigned long old = reinterpret_cast<unsigned long>(&from) + is_out;

		return __atomic_compare_exchange_n(&where, &old,
		                                   reinterpret_cast<unsigned long>(&home) + is_out,
		                                   false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
	}
	static constexpr unsigned long is_out = 1;
	/* Whether the last read from the backing store failed. */
	bool is_lost() const { return __atomic_load_n(&marks, __ATOMIC_RELAXED) & lost; }
	void set_lost(bool value) { set(lost, value); }
	/* kapi_folio_written() of the page that went out. */
	bool is_written() const { return __atomic_load_n(&marks, __ATOMIC_RELAXED) & written; }
	void set_written(bool value) { set(written, value); }
	bool take_written() { return clear(written); }
	/* When (Store::turn()) its bytes were made no smaller as they were cold, or 0. Only who relocates sets it. */
	unsigned char tried() const
	{
		return __atomic_load_n(&marks, __ATOMIC_RELAXED) >> tried_at;
	}
	void set_tried(unsigned char turn)
	{
		clear(static_cast<unsigned char>(~0U << tried_at));
		set(static_cast<unsigned char>(turn << tried_at), true);
	}

private:
	/* `marks`: of the page; among the slots of its home; of the bytes; and above these a number. */
	static constexpr unsigned char written = 1, counted = 2, lost = 4;
	static constexpr unsigned int tried_at = 4;
	static constexpr unsigned int tick_shift = 4; /* 16 jiffies */

	static unsigned int tick(unsigned long jiffies)
	{
		return static_cast<unsigned int>(jiffies >> tick_shift);
	}
	void set(unsigned char mark, bool value)
	{
		if (value)
			__atomic_fetch_or(&marks, mark, __ATOMIC_RELAXED);
		else
			clear(mark);
	}
	bool clear(unsigned char mark)
	{
		return __atomic_fetch_and(&marks, static_cast<unsigned char>(~mark),
		                          __ATOMIC_RELAXED) &
		       mark;
	}
};
static_assert(sizeof(StoreSlot) == 32, "slots are metadata of every paged-out page");

/* While one lives, bytes of a slot stay where the slot said behind its beginning that they are. May sleep; below all locks. */
class BytesStay {
public:
	BytesStay() : which_{kapi_bytes_stay_begin()} {}
	~BytesStay() { kapi_bytes_stay_end(which_); }
	BytesStay(const BytesStay &) = delete;
	BytesStay &operator=(const BytesStay &) = delete;

private:
	const int which_;
};

/* Gives back what @slot has in the store, and its memory. Not inline: most references that end are none. */
[[gnu::noinline]] void free_slot(StoreSlot *slot);

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

} /* namespace cowmem */

#endif /* COWMEM_SLOT_H */
