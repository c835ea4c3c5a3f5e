/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The store: where the bytes of paged-out pages go. One for all objects.
 *
 * A page whose words are all the same is that word, in its slot. Any other is
 * compressed, by whichever of the kernel's compressors was chosen last, into memory of
 * zsmalloc's. A slot says how it is to be read, so the choice can change at any time; what was made by
 * the compressor before is made anew then (reclaim/drain.h). There may be a second one, for what stays out.
 * What memory does not take goes to the backing store (store/backing.h), if there is one; and what stays out for long, as
 * memory comes near its limit, or is asked for (reclaim/writeback.h).
 */
#ifndef COWMEM_STORE_H
#define COWMEM_STORE_H

#include "store/backing.h"
#include "store/compressor.h"
#include "store/slot.h"

namespace cowmem {

/* How putting a page into the store ended. */
enum class Put {
	stored,
	incompressible, /* it would take as much memory as it gives back */
	full, /* the store has as much memory as it may: store_max_mib; or the page's cgroup has: share */
	no_memory,
	io_error, /* of the backing store */
};

class Store {
public:
	/* 0, -ENOMEM, -EINTR, or -ENOENT: the kernel has no such compressor. Sleeps. */
	int init(const char *compressor);
	/* No slot is left. */
	void exit();
	/* As Backing::set(). */
	int set_backing(const char *path);
	/* As Backing::discard_some(). */
	bool discard_some();
	/* Compresses with @compressor from now on. 0, -ENOMEM, -ENOENT, -EINTR; -ENOSPC: too many. */
	int select(const char *compressor);

	/* The same for what is cold, when that is asked for (reclaim/writeback.h); an empty name: none. */
	int select_cold(const char *compressor);
	/* The number of that compressor, or 0. */
	unsigned char cold() const { return __atomic_load_n(&cold_, __ATOMIC_ACQUIRE); }
	/* It is another one each time that this compressor changes, until it comes round; never 0. */
	unsigned char turn() const { return __atomic_load_n(&turn_, __ATOMIC_ACQUIRE); }

	/* How many slots have their bytes where none goes any more: in another compressor's form, or left by the backing store. */
	unsigned long left() const;
	/* Whether @at is such. */
	bool is_left(const Location &at) const
	{
		return (at.is_compressed() && !is_in_use(at.how)) || backing.is_left(at);
	}
	/* Gives back the compressors, files and devices that were left, and have no slot any more. Sleeps. */
	void release_left();
	/*
	 * Finds another place for the bytes of a slot, which are @page's now and were at @from, and which
	 * @owner is charged for: `stored`, if @transfer, if there is one, ends well. Puts them into memory as
	 * they are if they go nowhere else. `full`: the store may have no more. Sleeps.
	 */
	Put place(folio *page, Owner &owner, const Location &from, Location &to,
	          Transfer &transfer);
	/*
	 * The same in memory, by the compressor for what is cold. `incompressible`: there is none, or it would take no less than
	 * at @from.
	 */
	Put recompress(folio *page, Owner &owner, const Location &from, Location &to);
	/* Gives back what is at @at, where nobody reads any more, and @besides bytes of @owner's charge. Never sleeps. */
	void free_bytes(const Location &at, Owner &owner, unsigned long besides = 0);

	/*
	 * Stores what @page holds, in @slot. If somebody writes the page meanwhile, it is
	 * something in between. Sleeps, but allocates without reclaim, and out of the reserves if
	 * it is one (@reclaim).
	 */
	Put put(folio *page, SlotRef &slot, bool reclaim);
	/*
	 * Begins to store @page, which put() refused, in the backing store: `stored` if
	 * @transfer ends well. `full`: there is none, or no place there, or it
	 * is nothing for memory reclaim. Sleeps as put().
	 */
	Put writeback(folio *page, SlotRef &slot, Transfer &transfer, bool reclaim);
	/* Puts the bytes of @slot, if they are in memory, into @page. 0; -EIO: they are damaged; -EAGAIN: they are in the backing store. Sleeps. */
	int read(const StoreSlot &slot, folio *page);
	/* Gives back what @slot takes, and its memory. Never sleeps. */
	void free(StoreSlot *slot);

	/*
	 * Whether it has less memory than it may have (once it has not, some less than that), and the
	 * cgroup of @page has less than its share; or @page is of one word, which gives back more than it takes at any time. A hint. Sleeps.
	 */
	bool has_room_for(folio *page);
	/* By how many bytes it has more memory than it is to have when what was cold has made room. 0: it has room. */
	unsigned long excess() const;
	/* The memory that the bytes at @at take, in bytes. */
	unsigned int memory_of(const Location &at) const
	{
		return at.is_in_memory() ? taken_by(at.length) : 0;
	}
	/* Gives back memory that is between bytes. Sleeps. */
	void compact() { kapi_zs_compact(pool_); }
	/* Owners::next() of its owners. */
	bool next_group(unsigned long &from, GroupFigures &found) const;
	/* The memory that it has for bytes, in pages. */
	unsigned long pages() const { return kapi_zs_pages(pool_); }

private:
	static constexpr unsigned int max_compressors = 8;
	/* Of zsmalloc's objects: a size includes the handle, and is a multiple of the step. */
	static constexpr unsigned int last_turn = 15; /* what a slot has bits for */
	static constexpr unsigned int handle_size = 8, size_step = 16, least_size = 32;

	/* In pages. */
	unsigned long memory_of_slots() const
	{
		return __atomic_load_n(&slots_, __ATOMIC_RELAXED) * kapi_slot_size() /
		       KAPI_PAGE_SIZE;
	}
	unsigned long memory() const { return pages() + memory_of_slots(); }
	/* How much memory it may have for nobody to come to his share: in pages; of the limit @max. */
	static unsigned long most(unsigned long max)
	{
		const unsigned long share = kapi_share();

		return share ? max - max / share : max;
	}
	/* For whom it has room. */
	enum class Room { everybody, who_has_a_share, nobody };
	void make_room_in_time(unsigned long all, unsigned long has) const;
	Room room();
	bool has_share(Owner &owner) const;
	StoreSlot *new_slot(folio *page, Owner *&owner, bool reserves);
	void drop_slot(StoreSlot *slot, Owner &owner);
	int have(const char *compressor, unsigned char &n);
	bool is_in_use(unsigned char compressor) const
	{
		return compressor == __atomic_load_n(&current_, __ATOMIC_ACQUIRE) ||
		       compressor == cold();
	}
	Put compress(folio *page, Owner &owner, const unsigned char &by, unsigned int bound,
	             Location &to, bool reserves, unsigned long besides = 0);
	Put copy_in(void *bytes, unsigned int length, unsigned char how, Owner &owner, Location &to,
	            bool reserves, unsigned long besides = 0);
	bool measure();
	/* Of one that is raw zsmalloc has the handle elsewhere. */
	unsigned int taken_by(unsigned int length) const
	{
		return length == KAPI_PAGE_SIZE ? KAPI_PAGE_SIZE
		                                : taken_[(length + handle_size - 1) / size_step];
	}

	zs_pool *pool_ = nullptr;
	mutex *changing_ = nullptr; /* for who sets what is current, or gives back what is not */
	unsigned long slots_ = 0;
	bool full_ = false;
	unsigned long compacted_at_ = 0; /* slots that there were when gaps were closed last */
	size_t too_long_ = 0;            /* bytes from which on a compressed page gains nothing */
	/* Bytes of memory that an object of zsmalloc's takes, by its size in steps. */
	unsigned short taken_[KAPI_PAGE_SIZE / size_step] = {};
	/* From 1 on; each stays as long as it is current, or slots need it: for who has a BytesStay. */
	Compressor *compressors_[max_compressors + 1] = {};
	unsigned char current_ = 0, cold_ = 0, turn_ = 1;
};

extern Store store;

/* Store::read(), also of what is in the backing store. 0, -EIO, -ENOMEM; -EINTR, if @how permits that. */
inline int read_slot(StoreSlot &slot, folio *page, Wait how)
{
	for (;;) {
		const int err =
			slot.is_backed() ? backing.read(slot, page, how) : store.read(slot, page);

		/* Else they have just gone from the one to the other. */
		if (err != -KAPI_EAGAIN)
			return err;
	}
}

} /* namespace cowmem */

#endif /* COWMEM_STORE_H */
