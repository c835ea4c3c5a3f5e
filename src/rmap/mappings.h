/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The sources of a reverse-map walk (rmap/walk.h), which tell it the VMAs that can see a batch of
 * neighbouring pages. A source is a guard: as long as there is one its tree stands still. There
 * are two, the mappings of an object (ObjectMappings: its i_mmap) and those of one private copy
 * (CopyMappings: the anon_vma that a private write left it with).
 */
#ifndef COWMEM_MAPPINGS_H
#define COWMEM_MAPPINGS_H

#include <optional>

#include "kernel/folio.h"
#include "kernel/index.h"
#include "kernel/rcu.h"
#include "kernel/steps.h"

namespace cowmem {

/*
 * Neighbouring pages, for one walk; a hole, or a page that the walk is to leave alone, is null.
 * Whoever makes one has a reference on each.
 */
struct Batch {
	static constexpr unsigned int max = 32; /* seed 001's CLUSTER_SIZE (R75) */

	Batch(Index at, folio *only) : first{at}, count{1} { page[0] = only; }
	/* Some places, for which the pages are still to be filled in. */
	Batch(Index at, unsigned int places) : first{at}, count{places} {}
	Index last() const { return first + count - 1; }
	Index end() const { return first + count; }
	/* Whether any of @pages places from @nth on has a page. */
	bool has_some(unsigned int nth, unsigned int pages) const
	{
		for (unsigned int i = nth; i < nth + pages; i++)
			if (page[i])
				return true;
		return false;
	}

	const Index first;
	const unsigned int count;
	folio *page[max];
};

/*
 * Where a VMA has page @index of what it maps, or "outside" (R60). A walk counts on from
 * there, so nothing converts back.
 */
inline std::optional<unsigned long> address_of(const vm_area_struct *vma, Index index)
{
	if (index < kapi_vma_first_index(vma) || index >= kapi_vma_end_index(vma))
		return std::nullopt;
	return kapi_vma_start(vma) + ((index - kapi_vma_first_index(vma)) << KAPI_PAGE_SHIFT);
}

/* Which page of what it maps a VMA has at an address of its. */
inline Index index_of(const vm_area_struct *vma, unsigned long address)
{
	return kapi_vma_first_index(vma) + ((address - kapi_vma_start(vma)) >> KAPI_PAGE_SHIFT);
}

/* Every VMA that maps an object. Holds its i_mmap_rwsem, shared; may sleep. */
class ObjectMappings {
public:
	explicit ObjectMappings(address_space *mapping) : mapping_{mapping}
	{
		kapi_mapping_lock_vmas(mapping_);
	}
	~ObjectMappings() { kapi_mapping_unlock_vmas(mapping_); }
	ObjectMappings(const ObjectMappings &) = delete;
	ObjectMappings &operator=(const ObjectMappings &) = delete;

	vm_area_struct *first(Index from, Index last) const
	{
		return kapi_mapping_first_vma(mapping_, from, last);
	}
	vm_area_struct *next(vm_area_struct *at, Index from, Index last) const
	{
		return kapi_mapping_next_vma(at, from, last);
	}
	static vm_area_struct *vma(vm_area_struct *at) { return at; }
	/* The index of the page at its beginning. */
	static Index first_index(const vm_area_struct *vma) { return kapi_vma_first_index(vma); }

private:
	address_space *const mapping_;
};

/*
 * Every VMA that can map one private copy, a locked and referenced anonymous folio.
 * Holds its anon_vma, and that one's root lock, shared; may sleep. None: it is not
 * mapped, or is merged with others (KSM, R93).
 *
 * The copy's mapping names an anon_vma as long as the copy is mapped. RCU keeps that
 * memory an anon_vma, a reference keeps it this one, and that the copy is still mapped
 * afterwards shows that it was the right one (R80); the page lock keeps it so.
 */
class CopyMappings {
public:
	explicit CopyMappings(folio *copy) : anon_vma_{pin(copy)}
	{
		if (anon_vma_)
			kapi_anon_vma_lock(anon_vma_);
	}
	~CopyMappings()
	{
		if (!anon_vma_)
			return;
		kapi_anon_vma_unlock(anon_vma_);
		kapi_anon_vma_put(anon_vma_); /* perhaps the last: outside the lock and RCU (R81) */
	}
	CopyMappings(const CopyMappings &) = delete;
	CopyMappings &operator=(const CopyMappings &) = delete;

	explicit operator bool() const { return anon_vma_; }

	anon_vma_chain *first(Index from, Index last) const
	{
		return kapi_anon_vma_first(anon_vma_, from, last);
	}
	anon_vma_chain *next(anon_vma_chain *at, Index from, Index last) const
	{
		return kapi_anon_vma_next(at, from, last);
	}
	static vm_area_struct *vma(const anon_vma_chain *at) { return kapi_anon_vma_vma(at); }
	static Index first_index(const vm_area_struct *vma)
	{
		return kapi_vma_first_copy_index(vma);
	}

private:
	static anon_vma *pin(folio *copy)
	{
		anon_vma *found;
		{
			Rcu rcu;

			found = kapi_folio_mapped(copy) ? kapi_folio_anon_vma(copy) : nullptr;
			if (!found || !kapi_anon_vma_try_get(found))
				return nullptr;
		}
		kapi_test_step(COWMEM_STEP_PINNED, nullptr);
		if (kapi_folio_mapped(copy))
			return found;
		kapi_anon_vma_put(found);
		return nullptr;
	}

	anon_vma *const anon_vma_;
};

} /* namespace cowmem */

#endif /* COWMEM_MAPPINGS_H */
