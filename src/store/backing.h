/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The backing store: a file or block device for the pages that compressed memory does
 * not take, one for all objects, or none.
 *
 * It consists of places, of a page each. A slot knows its place and the checksum of
 * what was written there, so that what comes back is that or an error. A page is written
 * straight from memory while its users may go on writing it: then the slot is as
 * worthless as one whose page changes while it is compressed (reclaim/page_out.h). A
 * slot that is ever read was given to a page that nobody wrote since before the slot
 * was made; there checksum, device and page agree.
 *
 * Reading takes long, so nobody does it with an object's lock held: see Fresh.
 */
#ifndef COWMEM_BACKING_H
#define COWMEM_BACKING_H

#include "store/slot.h"

namespace cowmem {

/* Whether a fatal signal ends a wait. */
enum class Wait : bool { to_the_end, killable };

/*
 * The task waits, for a scope, for memory that went out: what pressure stall information tells
 * of. Kernel counterpart: swap_read_folio().
 */
class Stall {
public:
	Stall() { kapi_stall_begin(&flags_); }
	~Stall() { kapi_stall_end(&flags_); }
	Stall(const Stall &) = delete;
	Stall &operator=(const Stall &) = delete;

private:
	unsigned long flags_;
};

/* A page on its way to the backing store or from there; one that nobody waits for ends by itself. */
class Transfer {
public:
	Transfer() = default;
	explicit Transfer(cowmem_transfer *started) : transfer_{started} {}
	Transfer(Transfer &&other) : transfer_{std::exchange(other.transfer_, nullptr)} {}
	Transfer &operator=(Transfer &&other)
	{
		std::swap(transfer_, other.transfer_);
		return *this;
	}
	~Transfer()
	{
		if (transfer_)
			kapi_transfer_leave(transfer_);
	}

	explicit operator bool() const { return transfer_; }
	/* Sleeps. Once. 0, -EIO, -EINTR. */
	int wait(Wait how)
	{
		return kapi_transfer_wait(std::exchange(transfer_, nullptr), how == Wait::killable);
	}

private:
	cowmem_transfer *transfer_ = nullptr;
};

/* Neighbouring transfers go to the device together at the end of the scope. */
class Together {
public:
	Together() { kapi_plug_begin(&plug_); }
	~Together() { kapi_plug_end(&plug_); }
	Together(const Together &) = delete;
	Together &operator=(const Together &) = delete;

private:
	kapi_plug plug_;
};

class Backing {
public:
	/*
	 * Has @path from now on, or none if that is empty. Sleeps; one call at a time. 0; -EBUSY:
	 * what is there now has pages; -ENOMEM, or as open() says; and all is as it was.
	 */
	int set(const char *path);

	/*
	 * Whether there is one, for who may use file systems, and for who is in memory reclaim.
	 * A hint: write() knows.
	 */
	bool serves(bool reclaim) const
	{
		return __atomic_load_n(&users_, __ATOMIC_ACQUIRE) >= 0 &&
		       (!reclaim || (__atomic_load_n(&device_, __ATOMIC_RELAXED) && !fails()));
	}

	/*
	 * Begins to write @page, and says in @slot where that is. 0; -ENOSPC: no place is
	 * free, or there is no backing store, or none for memory reclaim; -ENOMEM. Does not
	 * sleep for memory.
	 */
	int write(folio *page, StoreSlot &slot, Transfer &transfer, bool reclaim);

	/*
	 * How a write that began ended. After some failures in a row memory reclaim leaves it alone,
	 * which is said once, until PAGE_OUT has written a page.
	 */
	void wrote(bool well);

	/* Begins to read the bytes of @slot into @page; none: no memory. Sleeps. */
	Transfer start_read(const StoreSlot &slot, folio *page) const;
	/* Waits for them. 0; -ENOMEM, -EIO: they are lost or damaged, -EINTR. */
	int finish_read(Transfer transfer, StoreSlot &slot, folio *page, Wait how) const;
	/* Both. */
	int read(StoreSlot &slot, folio *page, Wait how) const
	{
		const Stall stall;

		return finish_read(start_read(slot, page), slot, page, how);
	}

	/* Its place is free. Never sleeps. */
	void free(const StoreSlot &slot);

	/* The number of a slot's place: neighbours differ by one. */
	static unsigned int place(const StoreSlot &slot)
	{
		return static_cast<unsigned int>(slot.what);
	}

private:
	static constexpr long none = -1;
	static constexpr unsigned int max_failures = 32;

	bool begin();
	void end() { __atomic_fetch_sub(&users_, 1, __ATOMIC_RELEASE); }
	bool take_place(unsigned long &place);
	bool fails() const { return __atomic_load_n(&failures_, __ATOMIC_RELAXED) >= max_failures; }

	/* While it is not `none` the rest stands still. Places in use, and who is about to take one. */
	long users_ = none;
	file *file_ = nullptr;
	bool device_ = false;
	unsigned int failures_ = 0;      /* of writes, since one ended well */
	unsigned long count_ = 0;        /* places */
	unsigned long *taken_ = nullptr; /* one bit each */
	unsigned long next_ = 0;         /* where to look for a free one, so that neighbours are */
};

extern Backing backing;

} /* namespace cowmem */

#endif /* COWMEM_BACKING_H */
