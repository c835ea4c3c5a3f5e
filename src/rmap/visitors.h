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
	if (VmFlags{found.vma}.locked())
		kapi_drain_folio_batches();
	kapi_folio_put(found.page);
}

/* Looks at each page's entries and changes nothing. Kernel counterpart: page_mapped_in_vma(). */
struct Inspect : Visitor {
	static constexpr bool splits = false;
	bool visit(FoundPte &found)
	{
		entries[found.nth]++;
		dirty[found.nth] |= found.pte.dirty();
		locked[found.nth] |= VmFlags{found.vma}.locked();
		young[found.nth] += found.pte.young() && kapi_vma_has_recency(found.vma);
		return false;
	}

	unsigned int entries[Batch::max] = {};
	bool dirty[Batch::max] = {};         /* some entry is */
	bool locked[Batch::max] = {};        /* some VMA is: mlock() */
	unsigned int young[Batch::max] = {}; /* entries, as Referenced counts them */
};

/*
 * Counts the young entries of each page, and makes them old. Mappings that say they
 * read in order (MADV_SEQUENTIAL, MADV_RANDOM) are no sign of use, and their entries stay young;
 * those of other memory cgroups than @group, if one is given, are passed over. Secondary MMUs are
 * asked, too. One entry that maps a large folio is young for each part, and becomes old with the last; what
 * secondary MMUs say of the whole is left with it, in PG_referenced. Kernel counterpart: folio_referenced_one().
 */
struct Referenced : Visitor {
	static constexpr bool racy = true;
	static constexpr bool splits = false;

	explicit Referenced(mem_cgroup *only = nullptr) : group{only} {}

	bool enters(const vm_area_struct *vma)
	{
		return !group || kapi_mm_in_cgroup(kapi_vma_mm(vma), group);
	}

	bool visit(FoundPte &found)
	{
		locked |= VmFlags{found.vma}.locked();
		written[found.nth] |= found.pte.dirty() || (found.pte.writable() && is_told(found));
		if (!kapi_vma_has_recency(found.vma))
			return false;
		if (found.huge)
			return visit_huge(found);
		young[found.nth] += kapi_pte_clear_young(found.vma, found.address, found.ptep);
		return false;
	}

	mem_cgroup *const group;
	unsigned int young[Batch::max] = {};
	/* By some entry; or perhaps by a secondary MMU through one, which says so when it has to let go. */
	bool written[Batch::max] = {};
	bool locked = false; /* some page is really mapped where mlock() holds it (R64) */

private:
	bool visit_huge(const FoundPte &found)
	{
		young[found.nth] += found.pte.young();
		if (kapi_folio_index(found.page) % KAPI_LARGE_PAGES == KAPI_LARGE_PAGES - 1 &&
		    kapi_pmd_clear_young(found.vma, found.address, found.huge))
			kapi_folio_mark_referenced(found.page);
		return false;
	}

	static bool is_told(const FoundPte &found)
	{
		return kapi_mm_has_notifiers(kapi_vma_mm(found.vma));
	}
};

/*
 * Takes the permission to write and the dirty bit from the entries of shared mappings:
 * the next store comes to page_mkwrite (R67). The dirty bits are the caller's then.
 * Kernel counterpart: page_mkclean_one().
 */
struct Clean : Visitor {
	static constexpr kapi_notify event = KAPI_NOTIFY_PROTECTION_PAGE;

	bool enters(const vm_area_struct *vma) { return VmFlags{vma}.shared(); }

	bool visit(FoundPte &found)
	{
		if (!found.pte.dirty() && !found.pte.writable())
			return false;
		kapi_flush_cache_page(found.vma, found.address, found.page);
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		kapi_pte_set(found.vma, found.address, found.ptep, found.pte.cleaned().value());
		dirty[found.nth] |= may_be_stored(found);
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
 * PG_dirty, and each walk waits for their locks, or flushes by itself (kapi_flush_tlb_late()). Where PG_dirty is back
 * behind the first walk, such code was late, or a secondary MMU has said there what it wrote: then the same once more.
 */
template <class Walk>
void clean(const Batch &batch, Clean &found, Walk walk)
{
	found.take_dirty(batch);
	walk();
	if (found.take_dirty(batch))
		walk();
}

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
	if (!writer || found.vma != writer->vma || found.address != writer->address ||
	    pte.uffd_wp())
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
		if (!may_store_untold(VmFlags{found.vma}, kapi_vma_mm(found.vma)) ||
		    found.pte.uffd_wp() || found.pte.writable())
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

} /* namespace cowmem */

#endif /* COWMEM_VISITORS_H */
