/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Large folios: 512 neighbouring pages, at a block of 512 aligned indexes, that the allocator gave as
 * one. One entry of a page table can map all of them.
 *
 * Trees name the parts, as they name pages; each part has its own names, with a reference of the whole for
 * each, and lock, references, home and marks are the whole's. So what one part has is found, copied, frozen
 * and given up as a page is, and the whole goes with the last name of its last part. Between, what has no name
 * any more takes memory for nothing: break_large() ends that.
 */
#ifndef COWMEM_STORE_LARGE_H
#define COWMEM_STORE_LARGE_H

#include "store/home.h"

namespace cowmem {

/* A large folio that is for a block; at the end it is abandoned, unless it is at home by then. */
class FreshLarge {
public:
	/* @made: what the allocator gave, or null. */
	explicit FreshLarge(folio *made = nullptr) : large_{made} {}
	~FreshLarge()
	{
		if (large_)
			kapi_large_abandon(large_);
	}
	FreshLarge(const FreshLarge &) = delete;
	FreshLarge &operator=(FreshLarge &&other)
	{
		std::swap(large_, other.large_);
		return *this;
	}

	explicit operator bool() const { return large_; }
	folio *get() const { return large_; }
	/* The reference on what comes home now. */
	FolioRef release() { return FolioRef{std::exchange(large_, nullptr)}; }

private:
	folio *large_;
};

/*
 * The turn at the block of an index, for a scope, with the object's lock shared: of a fault, write(), fallocate or PREFETCH to write, which may
 * have a new large folio there, or reuse the family's as it is. It waits for others without a reference: one that waited for a lock
 * with it would keep the others from reusing the folio, and would be kept from that by theirs. Kernel counterpart:
 * hugetlb_fault_mutex_table.
 */
class Turn {
public:
	/* A fatal signal ends the wait. Sleeps. */
	Turn(const address_space *mapping, Index index)
		: turn_{kapi_large_lock_turn(mapping, index)}
	{
	}
	~Turn() { kapi_large_unlock_turn(turn_); }
	Turn(const Turn &) = delete;
	Turn &operator=(const Turn &) = delete;

	/* False: the signal came. */
	explicit operator bool() const { return turn_; }

private:
	struct mutex *const turn_;
};

/*
 * @large, locked, of which the caller has one reference, becomes pages, as they were named, mapped nowhere; parts without a
 * name are freed. Faults map them again. What is a family's the caller has unmapped. Takes no memory. False: somebody
 * else has a reference, and it stays. Sleeps. Kernel counterpart: split_huge_page_to_list_to_order().
 */
bool break_large(folio *large);

} /* namespace cowmem */

#endif /* COWMEM_STORE_LARGE_H */
