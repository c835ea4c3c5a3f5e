/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Relocation: the bytes of slots go to another place, while the slots stay what they are: trees, homes,
 * counts and pages know nothing of it.
 *
 * The bytes are read, and put down where the store puts bytes now, or in the backing store. Then the slot says so, in one step
 * (StoreSlot::set_location()); who has seen where they were is waited for (BytesStay); and that place is
 * given back. Whoever reads from a file or device has that, and looks at the slot again if what he got is
 * not what he was to get. Only one thread at a time relocates: reclaim/drain.h, reclaim/writeback.h.
 */
#ifndef COWMEM_RELOCATION_H
#define COWMEM_RELOCATION_H

#include "store/store.h"

namespace cowmem {

/* The right to relocate, which is one thread's at a time. Had for a scope. */
class Relocating {
public:
	/* Sleeps, and a signal ends that. */
	Relocating() : has_{!kapi_mutex_lock_interruptible(one_relocates)} {}
	~Relocating()
	{
		if (has_)
			kapi_mutex_unlock(one_relocates);
	}
	Relocating(const Relocating &) = delete;
	Relocating &operator=(const Relocating &) = delete;

	/* Whether it was to be had. */
	explicit operator bool() const { return has_; }
	/* The number of a walk along trees, of who has it: another one each time, until they come round; never 0. */
	static unsigned int next_walk()
	{
		if (!++walks)
			walks++;
		return walks;
	}

	static int init();
	static void exit() { kapi_mutex_free(one_relocates); }

private:
	static mutex *one_relocates;
	static unsigned int walks;
	const bool has_;
};

/* Where bytes go. */
enum class Target : unsigned char {
	current, /* where the store puts what comes now */
	backing, /* to the backing store */
	cold,    /* where the compressor for what is cold makes less of them, in memory */
};

/* How far it has come. */
struct Relocated {
	unsigned long moved = 0;
	unsigned long failed =
		0;     /* each slot once, as far as is noted; and what would take no less stays */
	int error = 0; /* of what failed: -EIO, -ENOMEM, -ENOSPC */
};

/* Some slots, relocated together. */
class Relocation : public Allocated {
public:
	/* Null: no memory. Sleeps. */
	static Relocation *create(Target target);

	/* One more; the caller keeps the homes of its pages. Whether that was the last that has room. */
	[[nodiscard]] bool add(SlotRef slot);
	/* Relocates them, and has none any more. 0; -EINTR: a fatal signal, they are where they were, and it was the last run. Sleeps. */
	int run(Relocated &result);
	/* Whether that slot failed, as far as is noted: for who comes by it once more. */
	bool has_failed(const StoreSlot *slot) const;
	/* It may be tried again. */
	void forget_failures() { failures_ = 0; }

private:
	static constexpr unsigned int max = 32, max_failures = 256;

	/* One slot on its way. */
	struct Moving {
		SlotRef slot;
		FolioRef page; /* room for its bytes */
		BackingRead read;
		Transfer write;
		Location from, to;
		int error;
	};

	explicit Relocation(Target target) : target_{target} {}
	int read_all();
	int place(Moving &at) const;
	void place_all();

	const Target target_;
	unsigned int count_ = 0;
	Moving moving_[max];
	/* The first of those that failed. One that is gone by now is no other's that could move: what is new is where it is to be. */
	unsigned int failures_ = 0;
	const StoreSlot *failed_[max_failures];
};

} /* namespace cowmem */

#endif /* COWMEM_RELOCATION_H */
