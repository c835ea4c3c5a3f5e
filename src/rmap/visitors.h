/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a reverse-map walk (rmap/walk.h) can do with the entries that it finds. The
 * result of a visitor is in its members afterwards.
 */
#ifndef COWMEM_VISITORS_H
#define COWMEM_VISITORS_H

#include "rmap/walk.h"

namespace cowmem {

/* An entry no longer maps its page: that is not counted any more, nor referenced. */
inline void give_back(const Slot &slot)
{
	kapi_folio_remove_rmap(slot.page, slot.vma);
	/* That put it into munlock's batch of this CPU, with a reference. */
	if (kapi_vma_locked(slot.vma))
		kapi_drain_folio_batches();
	kapi_folio_put(slot.page);
}

/* Looks at each page's entries and changes nothing. Kernel counterpart: page_mapped_in_vma(). */
struct Inspect : Visitor {
	bool visit(Slot &slot)
	{
		entries[slot.nth]++;
		dirty[slot.nth] |= slot.pte.dirty();
		locked[slot.nth] |= kapi_vma_locked(slot.vma);
		young[slot.nth] += slot.pte.young() && kapi_vma_has_recency(slot.vma);
		return false;
	}

	unsigned int entries[Batch::max] = {};
	bool dirty[Batch::max] = {};         /* some entry is */
	bool locked[Batch::max] = {};        /* some VMA is: mlock() */
	unsigned int young[Batch::max] = {}; /* entries, as Referenced counts them */
};

/*
 * Counts the young entries of each page and makes them old. Mappings that say they
 * read in order (MADV_SEQUENTIAL, MADV_RANDOM) are no sign of use and are left alone,
 * so are those of other memory cgroups than @group, if one is given (R63-R65).
 * Secondary MMUs are asked, too. Kernel counterpart: folio_referenced_one().
 */
struct Referenced : Visitor {
	static constexpr bool racy = true;

	/* @taken: of which pages of the batch, by bits; of the others all stays as it is. */
	explicit Referenced(mem_cgroup *only = nullptr, unsigned int taken = ~0U)
		: group{only}, taken_{taken}
	{
	}

	bool enters(const vm_area_struct *vma)
	{
		return !group || kapi_mm_in_cgroup(kapi_vma_mm(vma), group);
	}

	bool visit(Slot &slot)
	{
		locked |= kapi_vma_locked(slot.vma);
		written[slot.nth] |= slot.pte.dirty() || (slot.pte.writable() && is_told(slot));
		if (!kapi_vma_has_recency(slot.vma))
			return false;
		young[slot.nth] += is_young(slot);
		return false;
	}

	mem_cgroup *const group;
	unsigned int young[Batch::max] = {};
	/* By some entry; or perhaps by a secondary MMU through one, which says so when it has to let go. */
	bool written[Batch::max] = {};
	bool locked = false; /* some page is really mapped where mlock() holds it (R64) */

private:
	bool is_young(const Slot &slot) const
	{
		if (taken_ >> slot.nth & 1)
			return kapi_pte_clear_young(slot.vma, slot.address, slot.entry);
		return slot.pte.young() || kapi_mm_young(kapi_vma_mm(slot.vma), slot.address);
	}
	static bool is_told(const Slot &slot)
	{
		return kapi_mm_has_notifiers(kapi_vma_mm(slot.vma));
	}

	const unsigned int taken_;
};

/*
 * Takes the permission to write and the dirty bit from the entries of shared mappings:
 * the next store comes to page_mkwrite (R67). The dirty bits are the caller's then.
 * Kernel counterpart: page_mkclean_one().
 */
struct Clean : Visitor {
	static constexpr kapi_notify event = KAPI_NOTIFY_PROTECTION_PAGE;

	bool enters(const vm_area_struct *vma) { return kapi_vma_shared(vma); }

	bool visit(Slot &slot)
	{
		if (!slot.pte.dirty() && !slot.pte.writable())
			return false;
		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		kapi_pte_set(slot.vma, slot.address, slot.entry, slot.pte.cleaned().value());
		dirty[slot.nth] |= slot.pte.dirty();
		cleaned++;
		return true;
	}

	bool dirty[Batch::max] = {}; /* the page had a dirty entry */
	unsigned int cleaned = 0;    /* entries */
};

/*
 * What became of a page of an Unmap (R72): the seed's SWAP_SUCCESS, _MLOCK, _FAIL and
 * _AGAIN; tracked is a soft-dirty bit that would be lost (R54).
 */
enum class Unmapped : unsigned char { success, mlocked, young, again, tracked };

/* What stays where an entry was. */
enum class Leave {
	nothing, /* or the marker that userfaultfd's write protection wants */
	poison,  /* an entry that gives SIGBUS */
};

/* What an Unmap may do all the same (the seed's TTU_IGNORE_*). */
struct Despite {
	bool mlock, access;
};

/* Whether an entry has a soft-dirty bit that somebody tracks, and that would go with it (R54). */
inline bool is_tracked(const Slot &slot)
{
	return slot.pte.soft_dirty() && kapi_vma_tracks_soft_dirty(slot.vma);
}

/* What would become of unused pages in an Unmap, which is not done. */
struct Foresee : Visitor {
	static constexpr bool racy = true;

	bool visit(Slot &slot)
	{
		if (kapi_vma_locked(slot.vma))
			becomes[slot.nth] = Unmapped::mlocked;
		else if (is_tracked(slot))
			becomes[slot.nth] = Unmapped::tracked;
		return false;
	}

	Unmapped becomes[Batch::max] = {};
};

/*
 * Takes every entry of the batch's pages away, in the order of R69: data cache, entry,
 * TLBs, dirty bit to the page, peak of RSS, what stays, counters, rmap, reference. An
 * entry of an mlocked VMA or a young one spares its page, unless @despite says otherwise
 * (R71, R73). The page locks must be held; whether an
 * entry came behind the walk its holder has to find out. Kernel counterpart: try_to_unmap_one().
 */
template <Leave leave>
struct Unmap : Visitor {
	static constexpr bool racy = leave == Leave::nothing; /* poison may miss no entry */
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	explicit Unmap(Despite what) : despite{what} {}

	bool visit(Slot &slot)
	{
		Unmapped &page = became[slot.nth];

		if (page == Unmapped::success)
			page = spared(slot);
		if (page != Unmapped::success)
			return false;
		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		return true;
	}

	void settle(const Slot &slot)
	{
		mm_struct *mm = kapi_vma_mm(slot.vma);

		if (slot.pte.dirty())
			kapi_folio_mark_dirty(slot.page);
		kapi_mm_update_peak(mm);
		if constexpr (leave == Leave::poison)
			kapi_pte_set(slot.vma, slot.address, slot.entry,
			             kapi_swp_pte_poison(slot.page));
		else
			kapi_pte_leave_marker(slot.vma, slot.address, slot.entry, slot.pte.value());
		kapi_rss_add(mm, KAPI_MM_FILEPAGES, -1);
		kapi_folio_remove_rmap(slot.page, slot.vma);
		kapi_folio_put(slot.page);
	}

	/* What became of the @nth page; of its page lock's holder only (R72). */
	Unmapped result(const Batch &batch, unsigned int nth) const
	{
		if (became[nth] == Unmapped::success && kapi_folio_mapped(batch.page[nth]))
			return Unmapped::again;
		return became[nth];
	}

	const Despite despite;
	Unmapped became[Batch::max] = {};

private:
	/* Why the entry stays; or success: it goes. */
	Unmapped spared(const Slot &slot) const
	{
		if (!despite.mlock && kapi_vma_locked(slot.vma))
			return Unmapped::mlocked;
		if (leave == Leave::nothing && is_tracked(slot))
			return Unmapped::tracked;
		if (!despite.access && kapi_pte_clear_young(slot.vma, slot.address, slot.entry))
			return Unmapped::young;
		return Unmapped::success;
	}
};

/* Empties the entries that an Unmap with Leave::poison left for a page. */
struct Unpoison : Visitor {
	bool matches(Pte pte, const folio *page) const { return pte.poisons(page); }

	bool visit(Slot &slot)
	{
		kapi_pte_clear(slot.vma, slot.address, slot.entry);
		return false;
	}
};

/* A fault that is about to write to a page through an entry of a shared mapping. */
struct Writer {
	folio *held; /* what is there now, with a reference of the writer's */
	vm_area_struct *vma;
	unsigned long address;
	bool may_write = false; /* out: the entry permits it now */
};

/* What @pte becomes, the new entry of @slot: as after a store, if that is what @writer came for. */
inline unsigned long written_by(Writer *writer, const Slot &slot, Pte pte)
{
	if (!writer || slot.vma != writer->vma || slot.address != writer->address || pte.uffd_wp())
		return pte.value();
	writer->may_write = true;
	return kapi_pte_written(pte.value());
}

/*
 * Has every entry of a page, none of which can be written through, map @page instead. The
 * bytes must be the same. Kernel counterpart: wp_page_copy(), replace_page().
 */
struct Replace : Visitor {
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	explicit Replace(folio *by, Writer *fault) : page{by}, writer{fault} {}

	bool visit(Slot &slot)
	{
		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		return true;
	}

	void settle(const Slot &slot)
	{
		kapi_folio_get(page);
		kapi_folio_add_rmap(page, slot.vma);
		kapi_pte_set(
			slot.vma, slot.address, slot.entry,
			written_by(writer, slot, Pte{kapi_pte_repoint(slot.pte.value(), page)}));
		kapi_update_mmu_cache(slot.vma, slot.address, slot.entry);
		give_back(slot);
	}

	folio *const page;
	Writer *const writer;
};

/*
 * Lets stores through the entries of pages that were a snapshot's and are the object's
 * alone now: clean, so that a dirty bit will tell of the first; where page_mkwrite is not
 * wanted for more than the snapshot's sake, as in FaultTable::may_reuse().
 */
struct Permit : Visitor {
	explicit Permit(Writer *fault) : writer{fault} {}

	/* Under the PTE lock: who forbids stores changes the VMA first, and the entries then. */
	bool visit(Slot &slot)
	{
		if (!may_store_untold(slot.vma) || slot.pte.uffd_wp() || slot.pte.writable())
			return false;
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		return true;
	}

	void settle(const Slot &slot)
	{
		kapi_pte_set(slot.vma, slot.address, slot.entry,
		             written_by(writer, slot, Pte{kapi_pte_mkwrite(slot.pte.value())}));
		kapi_update_mmu_cache(slot.vma, slot.address, slot.entry);
	}

	Writer *const writer;
};

/*
 * Replaces every entry of a page by a migration entry, the kernel's own: who touches
 * it waits for the page lock, which must be held until Thaw (R74). Permission to
 * write and the bits of soft-dirty and uffd-wp are kept in it, dirty goes to the page.
 * RSS stays: the address still has a page. Kernel counterpart: try_to_migrate_one().
 */
struct Freeze : Visitor {
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	bool visit(Slot &slot)
	{
		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		return true;
	}

	void settle(const Slot &slot)
	{
		if (slot.pte.dirty())
			kapi_folio_mark_dirty(slot.page);
		kapi_pte_set(slot.vma, slot.address, slot.entry, slot.pte.migration().value());
		give_back(slot);
	}
};

/*
 * Puts @page where Freeze left migration entries for the batch's: the same page, or
 * what it was moved to. Kernel counterpart: remove_migration_pte().
 */
struct Thaw : Visitor {
	explicit Thaw(folio *target) : page{target} {}

	bool matches(Pte pte, const folio *frozen) const { return pte.migrates(frozen); }

	bool visit(Slot &slot)
	{
		kapi_folio_get(page);
		kapi_folio_add_rmap(page, slot.vma);
		kapi_pte_set(slot.vma, slot.address, slot.entry,
		             slot.pte.migrated(slot.vma, page).value());
		kapi_update_mmu_cache(slot.vma, slot.address, slot.entry);
		return false;
	}

	folio *const page;
};

/* Empties the entries of @mapping that an Unmap with Leave::poison left for @page, page @index of it. */
inline void forget_poison(address_space *mapping, Index index, folio *page)
{
	const ObjectMappings mappings{mapping};
	Unpoison unpoison;

	walk(mappings, Batch{index, page}, unpoison);
}

} /* namespace cowmem */

#endif /* COWMEM_VISITORS_H */
