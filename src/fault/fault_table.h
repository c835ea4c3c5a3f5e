/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page table under a fault, found and locked for a scope (rmap/pte.h), and what a
 * handler that maps pages itself does with it. munmap(), which frees tables at once on
 * some configurations, is kept out by the VMA lock.
 */
#ifndef COWMEM_FAULT_TABLE_H
#define COWMEM_FAULT_TABLE_H

#include "fault/fault.h"
#include "fault/new_mappings.h"

namespace cowmem {

/* Puts the table that the core allocated beforehand where there is none yet. */
inline void install_allocated_table(vm_fault *vmf)
{
	if (kapi_vmf_has_table(vmf))
		kapi_pmd_install(vmf);
}

class FaultTable {
public:
	/* Locks the table for the fault's address, if there is one. Sets vmf->pte. */
	[[gnu::always_inline]] explicit FaultTable(const Fault &fault)
		: vmf_{fault.vmf},
		  mapping_{fault.mapping},
		  table_{kapi_vma_mm(fault.vma()), kapi_vmf_pmd(vmf_), kapi_vmf_address(vmf_)},
		  locked_{table_ && table_.lock()},
		  mappings_{fault.vma(), mapping_.flags.locked()}
	{
		if (locked_)
			kapi_vmf_set_pte(vmf_, table_.at(kapi_vmf_address(vmf_)));
	}

	/* Where a TLB may go on refusing what an entry permits, that has to be told. */
	~FaultTable()
	{
		if (end_of_permitted_)
			kapi_flush_tlb_refusals(kapi_vmf_vma(vmf_), first_permitted_,
			                        end_of_permitted_);
	}
	FaultTable(const FaultTable &) = delete;
	FaultTable &operator=(const FaultTable &) = delete;

	explicit operator bool() const { return locked_; }

	/* Whether the fault's entry is no longer the one that the core saw. */
	bool entry_changed() const { return kapi_pte_changed(vmf_); }

	/* The same for an entry with a page, which page_mkwrite was called for. */
	bool entry_replaced() const { return kapi_pte_replaced(vmf_); }

	/* Whether nothing is at @address: no page, no swap entry, no marker. */
	bool empty_at(unsigned long address) const
	{
		return Pte{kapi_pte_get(table_.at(address))}.none();
	}

	/* Maps the fault's cow_page, as the core would. */
	void install_copy() { kapi_pte_install_copy(vmf_); }

	/*
	 * Maps @page, the object's, for the fault, as the core would: writable, uffd-wp; but
	 * one to read that can be reused, writable and clean. A reference goes to the entry.
	 */
	[[gnu::always_inline]] void install(folio *page)
	{
		unsigned long pte = to_read(page, false);

		if (kapi_vmf_flags(vmf_) & KAPI_FAULT_FLAG_WRITE)
			pte = kapi_pte_written(pte);
		else
			pte = reusable(page, pte);
		store(page, kapi_vmf_address(vmf_),
		      kapi_vmf_write_protected(vmf_) ? kapi_pte_mkuffd_wp(pte) : pte);
	}

	/* The same at @address, where nobody has asked for it: @old, if the hardware will tell. */
	[[gnu::always_inline]] void install_neighbour(folio *page, unsigned long address, bool old)
	{
		store(page, address, reusable(page, to_read(page, old)));
	}

	/* The same for @count parts of a large folio, from @part at @address on; and the references are taken here. */
	void install_parts(folio *part, unsigned long address, unsigned int count)
	{
		kapi_map_parts(kapi_vmf_vma(vmf_), address, table_.at(address), part,
		               to_read(part, kapi_neighbours_start_old()), count);
	}

	/* Makes the fault's entry, which is as the core saw it, writable and dirty. */
	void make_writable() { kapi_pte_make_writable(vmf_); }

	bool may_write_ahead() const
	{
		return cowmem::may_write_ahead(mapping_, kapi_vmf_vma(vmf_));
	}

	/* Maps @page, which nobody shares, writable and clean at @address, where nothing is. */
	[[gnu::always_inline]] void install_writable(folio *page, unsigned long address, bool old)
	{
		store(page, address, kapi_pte_mkwrite(to_read(page, old)));
	}

	/* Lets @page be written at @address, if that is what is there. */
	[[gnu::always_inline]] bool permit(const folio *page, unsigned long address)
	{
		vm_area_struct *vma = kapi_vmf_vma(vmf_);
		pte_t *entry = table_.at(address);
		Pte pte{kapi_pte_get(entry)};

		if (!pte.maps(page) || pte.writable() || pte.uffd_wp())
			return false;
		pte = Pte{kapi_pte_get_and_clear(vma, address, entry)};
		kapi_pte_set(vma, address, entry, kapi_pte_mkwrite(pte.value()));
		if (!end_of_permitted_)
			first_permitted_ = address;
		end_of_permitted_ = address + KAPI_PAGE_SIZE;
		return true;
	}

private:
	/*
	 * Seed 003's decision, once, on the entry as it will be: whether a read fault may
	 * let the writes that follow through. Nobody shares the page; stores are permitted,
	 * and neither userfaultfd nor soft-dirty tracking wants to see the first. Whether the
	 * page was written since it was stored, or cleared by PAGEMAP, the entry's dirty bit
	 * will tell, if the page's own does not yet (P5, layers/marks.h).
	 */
	[[gnu::always_inline]] bool may_reuse(const folio *page) const
	{
		return kapi_vma_owns(kapi_vmf_vma(vmf_), page) && may_write_ahead() &&
		       !kapi_vmf_write_protected(vmf_);
	}

	/* The entry @pte for @page, to read, with what may be permitted beyond that. */
	[[gnu::always_inline]] unsigned long reusable(const folio *page, unsigned long pte) const
	{
		if (!may_reuse(page))
			return pte;
		kapi_count(COWMEM_COUNT_reused);
		return kapi_pte_mkwrite(pte);
	}

	/* What maps @page to read, @old or young. */
	[[gnu::always_inline]] unsigned long to_read(folio *page, bool old) const
	{
		return old ? kapi_pte_of(page, mapping_.protection)
		           : kapi_pte_of_young(page, mapping_.protection);
	}

	/* The entry comes last: who finds it finds the page counted as mapped. */
	[[gnu::always_inline]] void store(folio *page, unsigned long address, unsigned long pte)
	{
		mappings_.add(page);
		kapi_pte_set(kapi_vmf_vma(vmf_), address, table_.at(address), pte);
	}

	vm_fault *const vmf_;
	const Attributes &mapping_;
	PageTable table_;
	const bool locked_;
	NewMappings mappings_;                                     /* told before the lock goes */
	unsigned long first_permitted_ = 0, end_of_permitted_ = 0; /* addresses */
};

} /* namespace cowmem */

#endif /* COWMEM_FAULT_TABLE_H */
