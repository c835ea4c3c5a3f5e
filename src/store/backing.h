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
 *
 * When another file or device takes its place, the one that was left serves reads of what is there,
 * until the last page has gone elsewhere (reclaim/drain.h), and is closed then.
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

/* A page on its way from where it was when that began. */
struct BackingRead {
	Transfer transfer;
	Location from;
};

class Backing {
public:
	/*
	 * Has @path from now on, or none if that is empty; what was had before is left. Sleeps; one
	 * call at a time. 0; -EBUSY: too many that were left still have pages; -ENOMEM, or as open()
	 * says; and all is as it was.
	 */
	int set(const char *path);
	/* How many pages are where it was before. */
	unsigned long left() const;
	/* Whether @at is there. */
	bool is_left(const Location &at) const
	{
		return at.is_backed() && at.device() != current();
	}
	/* Closes what was left and has no page any more. Sleeps; one call at a time, also with set(). */
	void close_left();

	/*
	 * Whether there is one, for who may use file systems; and for memory reclaim, one that it
	 * may use and that has a free place. A hint: write() knows.
	 */
	bool serves(bool reclaim) const
	{
		const unsigned int now = current();

		if (now == no_device)
			return false;

		const Device &at = device_[now];

		return reclaim ? takes_more() && at.serves_reclaim()
		               : __atomic_load_n(&at.users, __ATOMIC_ACQUIRE) >= 0;
	}
	/* Whether there is one with a free place, whose writes do not fail. The same. */
	bool takes_more() const
	{
		const unsigned int now = current();

		if (now == no_device || fails())
			return false;

		const Device &at = device_[now];
		const long users = __atomic_load_n(&at.users, __ATOMIC_ACQUIRE);

		return users >= 0 && users < __atomic_load_n(&at.count, __ATOMIC_RELAXED);
	}

	/*
	 * Begins to write @page, for a COWMEM_TRANSFER_ that is a write, and says in @to where that is. 0; -ENOSPC: no place is
	 * free, or there is no backing store, or none for memory reclaim; -ENOMEM. Only to move a page it
	 * sleeps for memory.
	 */
	int write(folio *page, Location &to, Transfer &transfer, cowmem_transfer_for what);

	/*
	 * How a write that began ended. After some failures in a row memory reclaim leaves it alone,
	 * which is said once, until a page is written: by PAGE_OUT, or by what had begun before.
	 */
	void wrote(bool well);

	/* Begins to read the bytes of @slot into @page. Sleeps. */
	BackingRead start_read(const StoreSlot &slot, folio *page) const;
	/*
	 * Waits for them. 0; -ENOMEM, -EIO: they are lost or damaged, -EINTR; -EAGAIN: they are not
	 * there any more, but elsewhere.
	 */
	int finish_read(BackingRead read, StoreSlot &slot, folio *page, Wait how) const;
	/* Both. */
	int read(StoreSlot &slot, folio *page, Wait how) const
	{
		const Stall stall;

		return finish_read(start_read(slot, page), slot, page, how);
	}

	/* That place is free. Never sleeps. */
	void free(const Location &at);
	/*
	 * Tells the device of some places that they are free, if it wants to know, and there are any of which it was not told yet:
	 * whether that was so. Nobody is given them meanwhile. Sleeps; one call at a time, also with set() and close_left().
	 * Kernel counterpart: swap_do_scheduled_discard().
	 */
	bool discard_some();

	/* The number of a place: neighbours differ by one. */
	static unsigned int place(const Location &at) { return static_cast<unsigned int>(at.what); }

private:
	static constexpr long none = -1;
	static constexpr unsigned int max_failures = 32, no_device = ~0U;

	/* A file or device. */
	struct Device {
		/* While it is not `none` the rest stands still. Places in use, and who is about to take one. */
		long users = none;
		file *opened = nullptr;
		cowmem_backing_kind kind = COWMEM_BACKING_FILE;
		long count = 0;                 /* places */
		unsigned long *taken = nullptr; /* one bit each */
		unsigned long next = 0; /* where to look for a free one, so that neighbours are */
		unsigned int granule =
			0; /* places of which the device is told at once that they are free, or 0 */
		/* A bit for each place that was in use, and the device does not know that it is not. */
		unsigned long *freed = nullptr;
		unsigned long discarded = 0; /* up to which that is done; then it begins anew */

		bool begin();
		void end() { __atomic_fetch_sub(&users, 1, __ATOMIC_RELEASE); }
		/* 0, or -ENOSPC; or -ENOMEM: soon there is one. */
		int take_place(unsigned long &place);
		bool serves_reclaim() const
		{
			return kapi_serves_reclaim(__atomic_load_n(&kind, __ATOMIC_RELAXED));
		}
		bool take_granule(unsigned long place);
		bool discard_some();
	};

	unsigned int current() const { return __atomic_load_n(&current_, __ATOMIC_ACQUIRE); }
	bool fails() const { return __atomic_load_n(&failures_, __ATOMIC_RELAXED) >= max_failures; }

	Device device_[Location::max_devices];
	unsigned int current_ = no_device; /* where pages go */
	unsigned int failures_ = 0;        /* of writes, since one ended well */
};

extern Backing backing;

} /* namespace cowmem */

#endif /* COWMEM_BACKING_H */
