/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Taking pages out of all mappings (rmap/walk.h): what would become of them (Foresee), the walk
 * that does it (Unmap), and the one that takes back what it left for a poisoned page (Unpoison).
 */
#ifndef COWMEM_UNMAP_H
#define COWMEM_UNMAP_H

#include "rmap/walk.h"

namespace cowmem {

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
inline bool is_tracked(const FoundPte &found)
{
	return found.pte.soft_dirty() && VmFlags{found.vma}.tracks_soft_dirty();
}

/* What would become of unused pages in an Unmap, which is not done. */
struct Foresee : Visitor {
	static constexpr bool splits = false;
	static constexpr bool racy = true;

	bool visit(FoundPte &found)
	{
		if (VmFlags{found.vma}.locked())
			becomes[found.nth] = Unmapped::mlocked;
		else if (is_tracked(found))
			becomes[found.nth] = Unmapped::tracked;
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

	bool visit(FoundPte &found)
	{
		Unmapped &page = became[found.nth];

		if (page == Unmapped::success)
			page = spared(found);
		if (page != Unmapped::success)
			return false;
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		return true;
	}

	void settle(const FoundPte &found)
	{
		mm_struct *mm = kapi_vma_mm(found.vma);

		if (may_be_stored(found))
			kapi_folio_mark_dirty(found.page);
		kapi_mm_update_peak(mm);
		if constexpr (leave == Leave::poison)
			kapi_pte_set(found.vma, found.address, found.ptep,
			             kapi_swp_pte_poison(found.page));
		else
			kapi_pte_leave_marker(found.vma, found.address, found.ptep,
			                      found.pte.value());
		kapi_rss_add(mm, KAPI_MM_FILEPAGES, -1);
		kapi_folio_remove_rmap(found.page, found.vma);
		kapi_folio_put(found.page);
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
	Unmapped spared(const FoundPte &found) const
	{
		if (!despite.mlock && VmFlags{found.vma}.locked())
			return Unmapped::mlocked;
		if (leave == Leave::nothing && is_tracked(found))
			return Unmapped::tracked;
		if (!despite.access && kapi_pte_clear_young(found.vma, found.address, found.ptep))
			return Unmapped::young;
		return Unmapped::success;
	}
};

/* Empties the entries that an Unmap with Leave::poison left for a page. */
struct Unpoison : Visitor {
	bool matches(Pte pte, const folio *page) const { return pte.poisons(page); }

	bool visit(FoundPte &found)
	{
		kapi_pte_clear(found.vma, found.address, found.ptep);
		return false;
	}
};

/* Empties the entries of @mapping that an Unmap with Leave::poison left for @page, page @index of it. */
inline void forget_poison(address_space *mapping, Index index, folio *page)
{
	const ObjectMappings mappings{mapping};
	Unpoison unpoison;

	walk(mappings, Batch{index, page}, unpoison);
}

} /* namespace cowmem */

#endif /* COWMEM_UNMAP_H */
