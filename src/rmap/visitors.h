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
inline void give_back(const FoundPte &found)
{
	kapi_folio_remove_rmap(found.page, found.vma);
	/* That put it into munlock's batch of this CPU, with a reference. */
	if (kapi_vma_locked(found.vma))
		kapi_drain_folio_batches();
	kapi_folio_put(found.page);
}

/* Looks at each page's entries and changes nothing. Kernel counterpart: page_mapped_in_vma(). */
struct Inspect : Visitor {
	bool visit(FoundPte &found)
	{
		entries[found.nth]++;
		dirty[found.nth] |= found.pte.dirty();
		locked[found.nth] |= kapi_vma_locked(found.vma);
		young[found.nth] += found.pte.young() && kapi_vma_has_recency(found.vma);
		return false;
	}

	unsigned int entries[Batch::max] = {};
	bool dirty[Batch::max] = {};         /* some entry is */
	bool locked[Batch::max] = {};        /* some VMA is: mlock() */
	unsigned int young[Batch::max] = {}; /* entries, as Referenced counts them */
};

/*
 * Counts the young entries of each page, and makes those of @taken old. Mappings that say they
 * read in order (MADV_SEQUENTIAL, MADV_RANDOM) are no sign of use, and their entries stay young;
 * those of other memory cgroups than @group, if one is given, are passed over. Secondary MMUs are
 * asked, too. Kernel counterpart: folio_referenced_one().
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

	bool visit(FoundPte &found)
	{
		locked |= kapi_vma_locked(found.vma);
		written[found.nth] |= found.pte.dirty() || (found.pte.writable() && is_told(found));
		if (!kapi_vma_has_recency(found.vma))
			return false;
		young[found.nth] += is_young(found);
		return false;
	}

	mem_cgroup *const group;
	unsigned int young[Batch::max] = {};
	/* By some entry; or perhaps by a secondary MMU through one, which says so when it has to let go. */
	bool written[Batch::max] = {};
	bool locked = false; /* some page is really mapped where mlock() holds it (R64) */

private:
	bool is_young(const FoundPte &found) const
	{
		if (taken_ >> found.nth & 1)
			return kapi_pte_clear_young(found.vma, found.address, found.ptep);
		return found.pte.young() || kapi_mm_young(kapi_vma_mm(found.vma), found.address);
	}
	static bool is_told(const FoundPte &found)
	{
		return kapi_mm_has_notifiers(kapi_vma_mm(found.vma));
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

	bool visit(FoundPte &found)
	{
		if (!found.pte.dirty() && !found.pte.writable())
			return false;
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		kapi_pte_set(found.vma, found.address, found.ptep, found.pte.cleaned().value());
		dirty[found.nth] |= found.pte.dirty();
		cleaned++;
		return true;
	}

	/* Takes PG_dirty of the pages of @batch: whether it was set somewhere. */
	bool take_dirty(const Batch &batch)
	{
		bool some = false;

		for (unsigned int i = 0; i < batch.count; i++)
			if (batch.page[i] && kapi_folio_take_dirty(batch.page[i]))
				dirty[i] = some = true;
		return some;
	}

	bool dirty[Batch::max] = {}; /* the page, or an entry of it, was */
	unsigned int cleaned = 0;    /* entries */
};

/*
 * Takes all that says that the pages of @batch were written, so that a store from now on says it
 * again. @walk walks @batch with @found, which tells of what there was.
 *
 * Code that moves a dirty bit from an entry to its page sets PG_dirty first, and flushes TLBs then,
 * with the entry's lock held: until the flush, stores say nothing. So the entries come behind
 * PG_dirty, and each walk waits for their locks. Where PG_dirty is back behind the first walk,
 * such code was late, or a secondary MMU has said there what it wrote: then the same once more.
 */
template <class Walk>
void clean(const Batch &batch, Clean &found, Walk walk)
{
	found.take_dirty(batch);
	walk();
	if (found.take_dirty(batch))
		walk();
}

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
	return found.pte.soft_dirty() && kapi_vma_tracks_soft_dirty(found.vma);
}

/* What would become of unused pages in an Unmap, which is not done. */
struct Foresee : Visitor {
	static constexpr bool racy = true;

	bool visit(FoundPte &found)
	{
		if (kapi_vma_locked(found.vma))
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

		if (found.pte.dirty())
			kapi_folio_mark_dirty(found.page);
		kapi_mm_update_peak(mm);
		if constexpr (leave == Leave::poison)
			kapi_pte_set(found.vma, found.address, found.ptep,
			             kapi_swp_pte_poison(found.page));
		else
			kapi_pte_leave_marker(found.vma, found.address, found.ptep, found.pte.value());
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
		if (!despite.mlock && kapi_vma_locked(found.vma))
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

/* A fault that is about to write to a page through an entry of a shared mapping. */
struct Writer {
	folio *held; /* what is there now, with a reference of the writer's */
	vm_area_struct *vma;
	unsigned long address;
	bool may_write = false; /* out: the entry permits it now */
};

/* What @pte becomes, the new entry of @found: as after a store, if that is what @writer came for. */
inline unsigned long written_by(Writer *writer, const FoundPte &found, Pte pte)
{
	if (!writer || found.vma != writer->vma || found.address != writer->address || pte.uffd_wp())
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

	bool visit(FoundPte &found)
	{
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		return true;
	}

	void settle(const FoundPte &found)
	{
		kapi_folio_get(page);
		kapi_folio_add_rmap(page, found.vma);
		kapi_pte_set(
			found.vma, found.address, found.ptep,
			written_by(writer, found, Pte{kapi_pte_repoint(found.pte.value(), page)}));
		kapi_update_mmu_cache(found.vma, found.address, found.ptep);
		give_back(found);
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
	bool visit(FoundPte &found)
	{
		if (!may_store_untold(found.vma) || found.pte.uffd_wp() || found.pte.writable())
			return false;
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		return true;
	}

	void settle(const FoundPte &found)
	{
		kapi_pte_set(found.vma, found.address, found.ptep,
		             written_by(writer, found, Pte{kapi_pte_mkwrite(found.pte.value())}));
		kapi_update_mmu_cache(found.vma, found.address, found.ptep);
	}

	Writer *const writer;
};

/*
 * Replaces every entry of a page by a migration entry, the kernel's own: who touches
 * it waits for the page lock, which must be held until MigrateIn (R74). Permission to
 * write and the bits of soft-dirty and uffd-wp are kept in it, dirty goes to the page.
 * RSS stays: the address still has a page. Kernel counterpart: try_to_migrate_one().
 */
struct MigrateOut : Visitor {
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	bool visit(FoundPte &found)
	{
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		return true;
	}

	void settle(const FoundPte &found)
	{
		if (found.pte.dirty())
			kapi_folio_mark_dirty(found.page);
		kapi_pte_set(found.vma, found.address, found.ptep, found.pte.migration().value());
		give_back(found);
	}
};

/*
 * Puts @page where MigrateOut left migration entries for the batch's: the same page, or
 * what it was moved to. Kernel counterpart: remove_migration_pte().
 */
struct MigrateIn : Visitor {
	explicit MigrateIn(folio *target) : page{target} {}

	bool matches(Pte pte, const folio *frozen) const { return pte.migrates(frozen); }

	bool visit(FoundPte &found)
	{
		kapi_folio_get(page);
		kapi_folio_add_rmap(page, found.vma);
		kapi_pte_set(found.vma, found.address, found.ptep,
		             found.pte.migrated(found.vma, page).value());
		kapi_update_mmu_cache(found.vma, found.address, found.ptep);
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
