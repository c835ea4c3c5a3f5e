/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COWMEM_FRESH_H
#define COWMEM_FRESH_H

#include "kernel/folio.h"
#include "store/slot.h"

namespace cowmem {

/* A page to fill a place with that has none, and how that went. */
struct Fresh {
	FolioRef page;
	bool zeroed;             /* it was when it was allocated */
	bool brought_in = false; /* its bytes came out of the store */
	bool is_own = false;     /* then: it is the object's own, not the family's */
	int error = 0;           /* -EIO: they did not; -ENOMEM: no memory for the tree */
	/*
	 * With -EAGAIN, the slot whose bytes are to be read into the page, from the backing
	 * store and with no lock held, before the same is tried again. Then, that has been done.
	 */
	SlotRef backed = {};
	bool ahead = false; /* nobody has asked for it: no memory is reclaimed for its sake */
};

/* As many pages as a leaf has, or none, to fill a hole with. Those that are not released, in their order, are freed at the end. */
class FreshLeaf {
public:
	/* @made: what the allocator gave, or null. */
	explicit FreshLeaf(folio *made) : first_{made} {}
	~FreshLeaf()
	{
		while (first_ && released_ < KAPI_LEAF_PAGES)
			release();
	}
	FreshLeaf(const FreshLeaf &) = delete;
	FreshLeaf &operator=(const FreshLeaf &) = delete;

	explicit operator bool() const { return first_; }
	folio *page(unsigned int i) const { return kapi_folio_part(first_, i); }
	/* The reference on the next one. */
	FolioRef release() { return FolioRef{page(released_++)}; }

private:
	folio *const first_;
	unsigned int released_ = 0;
};

} /* namespace cowmem */

#endif /* COWMEM_FRESH_H */
