// SPDX-License-Identifier: GPL-2.0
/*
 * Faults where nothing is mapped in a whole block, or one entry maps it and does not let a store through: a
 * large folio (store/large.h) is mapped there by one entry, and had, where all of the block is a hole.
 *
 * This has the object's lock, shared, from the look-up to the entry: one fault does the work of 512. Who
 * changes what the object has, alone with the lock, comes before or behind it. A copy that is made of one page
 * (layers/break_cow.cc) shares the lock, too: it is put into the tree, and behind a barrier the walk looks for
 * entries; here the block is looked at behind the pmd's lock and a barrier, so that one of the two sees the
 * other. What cannot be done here is left to the fault of one page.
 */
#include "fault/fault.h"
#include "rmap/walk.h"
#include "store/large.h"

namespace cowmem {

namespace {

/* What is at the fault's block. */
struct Block {
	FolioRef large; /* its folio; none: something else is there, or */
	bool is_hole;   /* nothing */
};

Block look_at(const Fault &fault, Index first)
{
	const Pages &pages = fault.object->pages();
	Block block{{}, pages.is_hole_block(first)};

	if (block.is_hole)
		return block;
	block.large = pages.get(first);
	if (block.large && !kapi_folio_is_large(block.large.get()))
		block.large = {};
	return block;
}

bool is_write(const Fault &fault)
{
	return kapi_vmf_flags(fault.vmf) & KAPI_FAULT_FLAG_WRITE;
}

/* Whether one entry may map the block for the fault at all. */
bool may_map_block(const Fault &fault)
{
	return kapi_vmf_fits_block(fault.vmf) &&
	       (fault.mapping.flags.shared() || !is_write(fault)) &&
	       !kapi_vma_asks_user_space(fault.vma()) && !fault.reaped() &&
	       fault.object->holds(last_of_block(fault.index()));
}

/* Whether another thread's fault was faster: the entry that is there maps @large, and lets the access through. The pmd is locked. */
bool is_served(const Fault &fault, const folio *large)
{
	const unsigned long value = kapi_pmd_get(kapi_vmf_pmd(fault.vmf));

	if (!kapi_pmd_is_huge(value))
		return false;

	const Pte first{
		kapi_pmd_part(fault.vma(), value, fault.address_of(first_of_block(fault.index())))};

	return first.maps(large) && (!is_write(fault) || first.writable());
}

/*
 * Whether a read may let the stores that follow through: that @large changed is known of it, since a store in a secondary
 * MMU would tell nobody.
 */
bool lets_stores_through(const Fault &fault, const folio *large)
{
	return may_write_ahead(fault.mapping, fault.vma()) && kapi_folio_dirty(large) &&
	       kapi_folio_written(large);
}

/*
 * Maps @large, which the object's lock keeps in its tree if it is own; @filled: this has put it there, so that all of the block
 * is known to be it. A reader is let through to write, too, where nobody wants to see the first store.
 */
bool map_block(const Fault &fault, Index first, folio *large, bool filled)
{
	const Pages &pages = fault.object->pages();
	const bool own = pages.owns(large);
	const bool write = own && fault.mapping.flags.shared() &&
	                   (is_write(fault) || lets_stores_through(fault, large));

	if (is_write(fault) && !own)
		return false;
	{
		const PmdLock lock{kapi_vma_mm(fault.vma()), kapi_vmf_pmd(fault.vmf)};

		if (is_served(fault, large))
			return true;
	}
	/* What is there does not let the store through. */
	split_huge(fault.vma(), kapi_vmf_address(fault.vmf));

	const PmdLock lock{kapi_vma_mm(fault.vma()), kapi_vmf_pmd(fault.vmf)};

	kapi_smp_mb_after_lock();
	if (is_served(fault, large))
		return true;
	/* Who marks it as poisoned walks behind a barrier, and takes the lock of the pmd. */
	if (!kapi_vmf_pmd_none(fault.vmf) || fault.reaped() || kapi_large_poisoned(large))
		return false;

	const Rcu rcu;

	/* A part that only the kernel knows to have failed is found by a look at each. */
	if (!filled && (!pages.sees_block(first, large) || kapi_large_has_failed(large)))
		return false;
	if (is_write(fault))
		mark_dirty(large);
	kapi_vmf_map_block(fault.vmf, large, write);
	kapi_count(COWMEM_COUNT_large_mapped);
	return true;
}

/* True: the fault has been served. */
bool serve_block(const Fault &fault)
{
	Pages &pages = fault.object->pages();
	const Index first = first_of_block(fault.index());
	FreshLarge fresh;

	if (!may_map_block(fault))
		return false;
	/* Without a reference: who waits with one looks to SNAPSHOT, and to who would reuse the folio, like one who may use it. */
	if (pages.is_hole_block(first)) {
		if (pages.frozen())
			return false;
		if (!takes_large(fault) || !kapi_huge_sizes_have_block())
			return false;
		fresh = FreshLarge{kapi_large_alloc(fault.vmf)};
		if (!fresh) {
			kapi_count(COWMEM_COUNT_large_fallbacks);
			return false;
		}
	} else if (!pages.is_large(first)) {
		return false;
	}

	/* The fault of one page says so if a fatal signal ends the wait. */
	if (!pages.lock_shared(true))
		return false;

	Shared lock{pages, held};

	const Turn turn{pages.mapping(), first};

	if (!turn || !may_map_block(fault))
		return false;

	Block block = look_at(fault, first);

	if (block.is_hole && fresh)
		block.large = pages.fill_block(first, fresh);
	if (block.large && is_write(fault) && !pages.owns(block.large.get()))
		pages.try_reuse_block(first, block.large.get(), nullptr);
	return block.large && map_block(fault, first, block.large.get(), block.is_hole);
}

} /* namespace */

} /* namespace cowmem */

/* vm_operations_struct::huge_fault, of what a pmd can map. Sleeps. Kernel counterpart: do_set_pmd(), do_huge_pmd_anonymous_page(). */
extern "C" unsigned int cowmem_large_fault(vm_fault *vmf, unsigned int order)
{
	using namespace cowmem;

	return order == KAPI_LARGE_SHIFT && serve_block(Fault{vmf}) ? KAPI_VM_FAULT_NOPAGE
	                                                            : KAPI_VM_FAULT_FALLBACK;
}
