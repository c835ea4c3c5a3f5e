/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page-table entries, and the page table that holds them.
 *
 * PageTable answers seed 002's question about tables freed under a walker. The table
 * is found without a lock, under RCU, which keeps it from being freed (a collapse
 * frees through RCU, and munmap() cannot come as far while the walker holds the lock
 * of the tree that the VMA is in). Its lock is taken, and the pmd read again: if it
 * still says the same the table is in use, and will be until the lock goes (R37-R41).
 */
#ifndef COWMEM_PTE_H
#define COWMEM_PTE_H

#include "kernel/kapi.h"
#include "kernel/rcu.h"
#include "kernel/vm_flags.h"

namespace cowmem {

/* One page-table entry, read. */
class Pte {
public:
	Pte() = default;
	constexpr explicit Pte(unsigned long value) : value_{value} {}

	unsigned long value() const { return value_; }
	bool none() const { return kapi_pte_none(value_); }
	bool present() const { return kapi_pte_present(value_); }
	bool young() const { return kapi_pte_young(value_); }
	bool dirty() const { return kapi_pte_dirty(value_); }
	bool writable() const { return kapi_pte_write(value_); }
	bool soft_dirty() const { return kapi_pte_soft_dirty(value_); }
	bool uffd_wp() const { return kapi_pte_uffd_wp(value_); }

	/* Whether it maps the page @page, which may be none. */
	bool maps(const folio *page) const
	{
		return page && present() && kapi_pte_pfn(value_) == kapi_folio_pfn(page);
	}

	/* Whether it stands in for @page while that is being moved. */
	bool migrates(const folio *page) const
	{
		return page && !none() && !present() && kapi_swp_pte_migrates(value_) &&
		       kapi_swp_pte_pfn(value_) == kapi_folio_pfn(page);
	}

	/* Whether it says that @page was taken away because it is poisoned. */
	bool poisons(const folio *page) const
	{
		return page && !none() && !present() && kapi_swp_pte_poisons(value_) &&
		       kapi_swp_pte_pfn(value_) == kapi_folio_pfn(page);
	}

	/* The migration entry that takes the place of this one, and keeps its bits. */
	Pte migration() const
	{
		unsigned long entry = kapi_swp_pte_migration(kapi_pte_pfn(value_), writable());

		if (kapi_pte_soft_dirty(value_))
			entry = kapi_swp_pte_mksoft_dirty(entry);
		return Pte{uffd_wp() ? kapi_swp_pte_mkuffd_wp(entry) : entry};
	}

	/* The entry for @page that takes the place of this one, a migration entry. */
	Pte migrated(vm_area_struct *vma, folio *page) const
	{
		/* The protection of a pinnable mapping permits stores, and the entry need not have. */
		const Pte to_read{kapi_pte_cleaned(kapi_pte_of(page, kapi_vma_protection(vma)))};
		unsigned long pte =
			kapi_pte_set_soft_dirty(to_read.value(), kapi_swp_pte_soft_dirty(value_));

		if (kapi_swp_pte_write(value_))
			return Pte{kapi_pte_mkwrite(pte)};
		return Pte{kapi_swp_pte_uffd_wp(value_) ? kapi_pte_mkuffd_wp(pte) : pte};
	}

	/* The same entry without permission to write, and clean. */
	Pte cleaned() const { return Pte{kapi_pte_cleaned(value_)}; }

private:
	unsigned long value_;
};

/*
 * Whether stores through a mapping of @mm with @flags are permitted, and nobody needs a fault at the first: not soft-dirty
 * tracking, and no secondary MMU, which takes an entry that lets stores through for its permission
 * to write, and need not say when it did (KVM's gfn_to_pfn_cache never does). Without that it
 * asks for a page to write to by a fault, which leaves a dirty bit.
 */
inline bool may_store_untold(VmFlags flags, mm_struct *mm)
{
	return flags.may_store() && !flags.tracks_soft_dirty() && !kapi_mm_has_notifiers(mm);
}

/* The lock of a pmd, which exists as long as its VMA, for a scope. */
class PmdLock {
public:
	PmdLock(mm_struct *mm, pmd_t *pmd) : lock_{kapi_pmd_lock(mm, pmd)} {}
	~PmdLock() { kapi_spin_unlock(lock_); }
	PmdLock(const PmdLock &) = delete;
	PmdLock &operator=(const PmdLock &) = delete;

private:
	spinlock *const lock_;
};

/*
 * The page table that covers an address, kept from being freed for a scope; or none:
 * the pmd is empty or maps a huge page. Nothing sleeps in that scope.
 */
class PageTable {
public:
	PageTable(mm_struct *mm, unsigned long address)
		: base_{address}, mm_{mm}, pmd_{find(mm, address)}
	{
	}
	/* The same with the pmd known. */
	PageTable(mm_struct *mm, pmd_t *pmd, unsigned long address)
		: base_{address}, mm_{mm}, pmd_{pmd}
	{
	}
	~PageTable()
	{
		if (lock_)
			kapi_spin_unlock(lock_);
	}
	PageTable(const PageTable &) = delete;
	PageTable &operator=(const PageTable &) = delete;

	explicit operator bool() const { return ptes_; }
	/* Whether there is none because one entry in its place maps a large folio; that entry. */
	bool is_huge() const { return kapi_pmd_is_huge(value_); }
	pmd_t *pmd() const { return pmd_; }
	/*
	 * Where there is neither: whether there is, when those are done who have the lock of the pmd. One of them may
	 * have looked at the tree, and be about to have one entry map a large folio there (map_block()); or have
	 * taken such an entry out, and not yet counted that, nor put it where mremap() moves it. TLBs may be flushed later:
	 * of a large folio whoever does it has a reference till then; of a table, see kapi_flush_tlb_late(). Kernel
	 * counterpart: PVMW_SYNC.
	 */
	bool fills_late() const
	{
		if (!pmd_ || !kapi_empty_pmd_needs_lock())
			return false;

		const PmdLock lock{mm_, pmd_};
		const unsigned long value = kapi_pmd_get(pmd_);

		return kapi_pmd_is_table(value) || kapi_pmd_is_huge(value);
	}

	/*
	 * Takes the table's lock until the end of the scope. False: it is not in use any
	 * more, the lock was not taken, and another look-up may find another table.
	 */
	[[nodiscard, gnu::always_inline]] bool lock()
	{
		spinlock *lock = kapi_pmd_lockptr(mm_, value_);

		kapi_spin_lock(lock);
		if (kapi_pmd_get(pmd_) != value_) {
			kapi_spin_unlock(lock);
			return false;
		}
		lock_ = lock;
		return true;
	}

	/* The entry for @address, which lies in this table. */
	pte_t *at(unsigned long address) const
	{
		return kapi_pte_advance(ptes_,
		                        static_cast<long>(address - base_) >> KAPI_PAGE_SHIFT);
	}

private:
	static pmd_t *find(mm_struct *mm, unsigned long address)
	{
		p4d_t *p4d = kapi_pgd_p4d(kapi_mm_pgd(mm, address), address);
		pud_t *pud = p4d ? kapi_p4d_pud(p4d, address) : nullptr;

		return pud ? kapi_pud_pmd(pud, address) : nullptr;
	}

	const Rcu rcu_;
	const unsigned long base_;
	mm_struct *const mm_;
	pmd_t *const pmd_;
	const unsigned long value_ = pmd_ ? kapi_pmd_get(pmd_) : 0;
	pte_t *const ptes_ = kapi_pmd_is_table(value_) ? kapi_pmd_pte(value_, base_) : nullptr;
	spinlock *lock_ = nullptr;
};

/*
 * Takes out the entry that maps a large folio at @address, if there is one: each page can be mapped by an
 * entry of its own then. The caller keeps @vma. False: there was none. Kernel counterpart: split_huge_pmd_address().
 */
inline bool split_huge(vm_area_struct *vma, unsigned long address)
{
	pmd_t *pmd;
	{
		const PageTable table{kapi_vma_mm(vma), address};

		if (!table.is_huge())
			return false;
		pmd = table.pmd();
	}
	kapi_pmd_split(vma, pmd, address);
	kapi_count(COWMEM_COUNT_large_unmapped);
	return true;
}

} /* namespace cowmem */

#endif /* COWMEM_PTE_H */
