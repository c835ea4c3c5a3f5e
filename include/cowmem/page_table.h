/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The page table under a fault, mapped and locked for a scope.
 *
 * A page table can go while we look at it, though the VMA is locked: file-range
 * collapse detaches it under other locks. It is then freed by RCU on every
 * configuration (and munmap(), which frees at once on some, is kept out by the VMA
 * lock), so RCU is what pins it here, never disabled interrupts (R37). Taking its lock
 * is only safe within, and means something only if the pmd still points to it (R41):
 * no entry, a huge one or another one is "no table", and the caller falls back (R39).
 */
#ifndef COWMEM_PAGE_TABLE_H
#define COWMEM_PAGE_TABLE_H

#include <cowmem/kapi.h>

namespace cowmem {

class RcuRead {
public:
	RcuRead() { kapi_rcu_read_lock(); }
	~RcuRead() { kapi_rcu_read_unlock(); }
	RcuRead(const RcuRead &) = delete;
	RcuRead &operator=(const RcuRead &) = delete;
};

/* Puts the table that the core allocated beforehand where there is none yet. */
inline void install_allocated_table(vm_fault *vmf)
{
	if (kapi_vmf_has_table(vmf))
		kapi_pmd_install(vmf);
}

class PageTable {
public:
	/* Locks the table for the fault's address, if there is one. Sets vmf->pte and ptl. */
	explicit PageTable(vm_fault *vmf) : vmf_{vmf}
	{
		const unsigned long pmd = kapi_pmd_load(vmf_);

		if (!kapi_pmd_is_table(pmd))
			return;
		kapi_pte_lock(vmf_, pmd);
		if (kapi_pmd_load(vmf_) == pmd)
			locked_ = true;
		else
			kapi_pte_unlock(vmf_);
	}
	~PageTable()
	{
		if (locked_)
			kapi_pte_unlock(vmf_);
	}
	PageTable(const PageTable &) = delete;
	PageTable &operator=(const PageTable &) = delete;

	explicit operator bool() const { return locked_; }

	/* Whether the fault's entry is no longer the one that the core saw. */
	bool entry_changed() const { return kapi_pte_changed(vmf_); }

	/* The same for an entry with a page, which page_mkwrite was called for. */
	bool entry_replaced() const { return kapi_pte_replaced(vmf_); }

	/* Whether nothing is at @address: no page, no swap entry, no marker. */
	bool empty_at(unsigned long address) const { return kapi_pte_none(vmf_, address); }

	/*
	 * Maps @page at @address, as the core would: young or old, writable, uffd-wp, rmap
	 * and cow_page's LRU. A reference goes to the entry. The mm's counter is the caller's.
	 */
	void install(folio *page, unsigned long address) { kapi_pte_install(vmf_, page, address); }

	/* Makes the fault's entry, which is as the core saw it, writable and dirty. */
	void make_writable() { kapi_pte_make_writable(vmf_); }

private:
	RcuRead rcu_;
	vm_fault *const vmf_;
	bool locked_ = false;
};

} /* namespace cowmem */

#endif /* COWMEM_PAGE_TABLE_H */
