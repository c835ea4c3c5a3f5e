/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page faults on mappings of an object: what a fault is, and how it can end.
 *
 * Seed 000's question "why infer the state from a NULL page?" is answered with an
 * explicit outcome for every way out (R12); each has one vm_fault_t and one counter.
 */
#ifndef COWMEM_FAULT_H
#define COWMEM_FAULT_H

#include <linux/cowmem.h>

#include "layers/object.h"
#include "rmap/pte.h"
#include "store/store.h"

namespace cowmem {

/* What the access wants. The core says "private write" by a cow_page (R1). */
enum class Kind : unsigned int { read, shared_write, private_write, mkwrite };

/* How the handler answered. src/kernel/trace.h names them in this order. */
enum class Outcome : unsigned int {
	done_cow,           /* cow_page filled and mapped by the handler */
	page_locked,        /* vmf->page set and locked: the core maps it, or copies from it */
	lost_race,          /* the PTE changed meanwhile: the access is simply retried */
	beyond_end,         /* SIGBUS */
	poisoned,           /* the memory is damaged: SIGBUS, BUS_MCEERR_AR */
	no_memory,          /* the core frees some or kills */
	address_space_gone, /* the OOM reaper has been through it: SIGBUS */
	truncated,          /* the page left the object before page_mkwrite: retried */
	made_writable,      /* page_mkwrite: the page is locked and still the object's */
	mapped,             /* the object's page was mapped, or made writable, by the handler */
	unreadable,         /* the store cannot give the page's bytes back: SIGBUS */
	over_limit,         /* a snapshot, or the file system, allows no other page: SIGBUS */
	waited,  /* it was brought in, or is to be, with the fault's locks dropped: retried */
	killed,  /* a fatal signal ended a wait, and the fault's locks are dropped */
	again,   /* page_mkwrite: the page is the object's own now, but not yet writable: retried */
	missing, /* a hole that userfaultfd is to fill: as that answers */
	minor,   /* something that userfaultfd is to map: the same */
};

/* Keeps an object, by a file of it, from take() on. */
class FilePin {
public:
	FilePin() = default;
	~FilePin()
	{
		if (file_)
			kapi_file_put(file_);
	}
	FilePin(const FilePin &) = delete;
	FilePin &operator=(const FilePin &) = delete;

	/* Once. */
	void take(file *f)
	{
		kapi_file_get(f);
		file_ = f;
	}

private:
	file *file_ = nullptr;
};

/*
 * What a fault goes by of its mapping. It is read once, before anything else: no change to the
 * mapping while the fault is under way can have two steps of it disagree.
 */
struct Attributes {
	explicit Attributes(vm_area_struct *vma)
		: flags{vma},
		  protection{kapi_vma_pinnable(vma) ? kapi_vma_protection_to_read(vma)
	                                            : kapi_vma_protection(vma)},
		  first{kapi_vma_first_index(vma)},
		  end{kapi_vma_end_index(vma)},
		  pinnable{kapi_vma_pinnable(vma)},
		  handler_copies{kapi_vma_private(vma) == COWMEM_COW_HANDLER}
	{
	}

	VmFlags flags;
	unsigned long protection; /* of entries to read */
	Index first, end;    /* the pages of the object that it maps: @end is behind the last */
	bool pinnable;       /* it may have the object's own pages only (device/file.c) */
	bool handler_copies; /* private writes; otherwise the core */
};

/* Whether a fault of @kind may map only what is the object's own. */
inline bool wants_own(const Attributes &mapping, Kind kind)
{
	return kind == Kind::shared_write || kind == Kind::mkwrite ||
	       (kind == Kind::read && mapping.pinnable);
}

/* One fault in flight. On the stack; the hot part is one cache line (R11). */
struct Fault {
	explicit Fault(vm_fault *f)
		: vmf{f}, object{&Object::of(kapi_vmf_vma(f))}, mapping{kapi_vmf_vma(f)}
	{
	}

	Index index() const { return kapi_vmf_pgoff(vmf); }
	/* Where the same mapping has the page @index of the object. */
	unsigned long address_of(Index index) const
	{
		return kapi_vmf_address(vmf) + ((index - this->index()) << KAPI_PAGE_SHIFT);
	}
	/* Only to hand on: what it is like, @mapping says. */
	vm_area_struct *vma() const { return kapi_vmf_vma(vmf); }
	/* Whether the OOM reaper has been through what is mapped: that has to be seen as it is now. */
	bool reaped() const
	{
		return mapping.flags.reapable() && kapi_mm_reaped(kapi_vma_mm(vma()));
	}

	vm_fault *vmf;
	Object *object;
	[[no_unique_address]] Attributes mapping; /* and what follows in its last word */
	bool unlocked = false; /* what @vmf says of the mapping is not to be looked at any more */
	bool major = false;    /* it had to be brought in from the store */
	FilePin pin;           /* for when the mapping, which has a file of the object, is let go */
};
static_assert(sizeof(Fault) <= 64, "the fault context is one cache line (R11)");

/* As the core has it: an entry that is dirty has a page that is. */
inline void mark_dirty(folio *page)
{
	if (!kapi_folio_dirty(page))
		kapi_folio_mark_dirty(page);
}

/* Whether pages that nobody shares may be mapped writable before they are written. */
inline bool may_write_ahead(const Attributes &mapping, vm_area_struct *vma)
{
	return kapi_reuse() && may_store_untold(mapping.flags, kapi_vma_mm(vma));
}

/* A page for a place that has none, if there is memory: zeroed, if it is for a hole. */
inline Fresh fresh_page(const Fault &fault, bool zeroed)
{
	return {FolioRef{kapi_folio_alloc_for(fault.vmf, zeroed)}, zeroed};
}

/*
 * Fills cow_page with what is at the fault's index, which has no page: out of the store
 * (and the object's page stays out), or zeroes. 0; -EIO; -EAGAIN: @backed is the slot
 * whose bytes have to be read into cow_page first, with no lock held.
 */
inline int fill_cow_page_without_page(Fault &fault, SlotRef &backed)
{
	Seen seen = fault.object->pages().see(fault.index());
	SlotRef slot = std::move(seen.slot);

	/* It may have come in just now. */
	if (seen.page)
		return kapi_vmf_copy_cow_page(fault.vmf, seen.page.get()) ? -KAPI_EIO : 0;
	fault.major = static_cast<bool>(slot);
	if (!slot) {
		kapi_vmf_clear_cow_page(fault.vmf);
		return 0;
	}
	if (slot.get() == backed.get())
		return 0;

	const int err = store.read(*slot, kapi_vmf_cow_folio(fault.vmf));

	if (err == -KAPI_EAGAIN)
		backed = std::move(slot);
	else
		slot->touch();
	return err;
}

/*
 * Whether a hole is to be filled with more than a page, as the object, and its mapping, want it. What madvise() and prctl()
 * refuse the core does not ask for; who is not asked by it looks at kapi_vma_thp_disabled().
 */
inline bool takes_large(const Fault &fault)
{
	switch (fault.object->huge()) {
	case COWMEM_HUGE_ALWAYS:
		return true;
	case COWMEM_HUGE_ADVISE:
		return fault.mapping.flags.asks_for_large();
	}
	return false;
}

/* The node for pages that come along with @page, which was made for the fault; or any. */
inline int node_for_neighbours(const Fault &fault, const folio *page)
{
	return page && kapi_vma_has_policy(fault.vma()) ? kapi_folio_node(page) : KAPI_ANY_NODE;
}

/* For all errors but -EINTR, after which a fault has to let go of its mapping. */
inline Outcome outcome_of_fill(int error)
{
	if (error == -KAPI_EHWPOISON)
		return Outcome::poisoned;
	if (error == -KAPI_EDQUOT || error == -KAPI_ENOSPC)
		return Outcome::over_limit;
	return error == -KAPI_EIO ? Outcome::unreadable : Outcome::no_memory;
}

} /* namespace cowmem */

#endif /* COWMEM_FAULT_H */
