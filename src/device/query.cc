// SPDX-License-Identifier: GPL-2.0
/* Questions about an object's pages (device/query.h): their state, and who maps them. */
#include "device/query.h"
#include "layers/pages.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/* Locks those pages of a batch that nobody else has locked, and takes out the others. */
class TriedLocks {
public:
	explicit TriedLocks(Batch &batch) : batch_{batch}
	{
		for (unsigned int i = 0; i < batch_.count; i++)
			if (batch_.page[i] && !kapi_folio_trylock(batch_.page[i])) {
				batch_.page[i] = nullptr;
				missed_[i] = true;
			}
	}
	~TriedLocks()
	{
		for (unsigned int i = 0; i < batch_.count; i++)
			if (batch_.page[i])
				kapi_folio_unlock(batch_.page[i]);
	}
	TriedLocks(const TriedLocks &) = delete;
	TriedLocks &operator=(const TriedLocks &) = delete;

	bool missed(unsigned int nth) const { return missed_[nth]; }

private:
	Batch &batch_;
	bool missed_[Batch::max] = {};
};

/* Makes young entries old. A page that somebody has locked counts as used, and is not waited for (R66). */
void age(const ObjectMappings &mappings, Batch batch, cowmem_page *answer)
{
	TriedLocks locks{batch};
	Referenced found;

	walk(mappings, batch, found);
	for (unsigned int i = 0; i < batch.count; i++) {
		answer[i].referenced = found.young[i];
		answer[i].flags |= locks.missed(i) ? COWMEM_PAGE_REFERENCED : 0;
	}
}

/*
 * The mark first, then the entries: a store through an entry that is still writable
 * when the walk comes is told now, one that comes later sets the mark again.
 */
void clean(const ObjectMappings &mappings, const Batch &batch, cowmem_page *answer)
{
	Clean found;

	for (unsigned int i = 0; i < batch.count; i++)
		if (batch.page[i] && kapi_folio_take_written(batch.page[i]))
			answer[i].flags |= COWMEM_PAGE_DIRTY;
	walk(mappings, batch, found);
	for (unsigned int i = 0; i < batch.count; i++) {
		if (!found.dirty[i])
			continue;
		answer[i].flags |= COWMEM_PAGE_DIRTY;
		kapi_folio_set_dirty(batch.page[i]); /* not as in the store */
	}
}

/* Those of a batch that are the object's own: what relatives see stays as it is. */
Batch own_of(const Pages &pages, Batch batch)
{
	for (unsigned int i = 0; i < batch.count; i++)
		if (batch.page[i] && !pages.owns(batch.page[i]))
			batch.page[i] = nullptr;
	return batch;
}

/*
 * What the holder of a clone may know of a page that relatives see, too: that it is there, and
 * what his own mappings say of it. Whether it is in memory tells of what others touched.
 */
unsigned int describe_shared(const Pages &pages, Index index, const folio *page,
                             const Inspect &seen, unsigned int nth, cowmem_page &answer)
{
	if (pages.is_hole(index))
		return 0;
	answer.mapcount = seen.entries[nth];
	answer.referenced = seen.young[nth];
	return COWMEM_PAGE_SHARED | COWMEM_PAGE_DIRTY |
	       (seen.entries[nth] ? COWMEM_PAGE_RESIDENT : 0) |
	       (seen.locked[nth] ? COWMEM_PAGE_LOCKED : 0) |
	       (page && kapi_folio_poisoned(page) ? COWMEM_PAGE_POISONED : 0);
}

/* A page that is not in memory: what its slot knows, or a hole. */
unsigned int describe_paged_out(Pages &pages, Index index, unsigned int clear)
{
	const Seen seen = pages.see(index);

	if (!seen.slot)
		return 0;

	const bool own = &seen.slot->home() == &pages.home();
	const bool written = own && clear & COWMEM_PAGEMAP_CLEAR_DIRTY ? seen.slot->take_written()
	                                                               : seen.slot->is_written();

	return COWMEM_PAGE_PAGED_OUT | (own ? 0 : COWMEM_PAGE_SHARED) |
	       (written ? COWMEM_PAGE_DIRTY : 0);
}

/* An entry of RMAP's answer for what @slot found; its page is the object's, or a copy. */
unsigned int mapping_flags(const Slot &slot, bool is_copy)
{
	unsigned int flags = is_copy ? COWMEM_MAPPING_COPY : 0;

	flags |= kapi_vma_shared(slot.vma) ? COWMEM_MAPPING_SHARED : 0;
	flags |= kapi_vma_locked(slot.vma) ? COWMEM_MAPPING_LOCKED : 0;
	flags |= slot.pte.writable() ? COWMEM_MAPPING_WRITABLE : 0;
	flags |= slot.pte.dirty() ? COWMEM_MAPPING_DIRTY : 0;
	flags |= slot.pte.young() ? COWMEM_MAPPING_YOUNG : 0;
	flags |= slot.pte.uffd_wp() ? COWMEM_MAPPING_UFFD_WP : 0;
	return flags;
}

/*
 * Writes down every entry: of the batch's pages and, if @copies, whatever else is
 * present at their places, which are private copies. R77; no kernel counterpart.
 */
template <bool copies>
struct Enumerate : Visitor {
	Enumerate(MappingList &to, Index only) : list{to}, index{only} {}

	/* Who it is, before the PTE lock: asking for permission takes locks. */
	bool enters(const vm_area_struct *vma)
	{
		Rcu rcu;
		const mm_struct *mm = kapi_vma_mm(vma);
		task_struct *owner = kapi_mm_owner(mm);
		const bool shown = owner && kapi_task_readable(owner) && kapi_task_mm(owner) == mm;

		pid = shown ? kapi_task_pid(owner) : 0;
		return true;
	}

	bool matches(Pte pte, const folio *page) const
	{
		return copies ? pte.present() : pte.maps(page);
	}

	bool visit(Slot &slot)
	{
		const bool is_copy = kapi_pte_maps_anon(slot.pte.value());

		list.add({.offset = static_cast<unsigned long long>(bytes_at(index)),
		          .address = slot.address,
		          .pid = static_cast<unsigned int>(pid),
		          .flags = mapping_flags(slot, is_copy)});
		return false;
	}

	MappingList &list;
	const Index index;
	int pid = 0;
};

/* Holds the caller's address space still for a scope: its mmap_lock, shared. */
class OwnMm {
public:
	OwnMm() { kapi_own_mm_lock(); }
	~OwnMm() { kapi_own_mm_unlock(); }
	OwnMm(const OwnMm &) = delete;
	OwnMm &operator=(const OwnMm &) = delete;
};

} /* namespace */

/* In a frame of its own: a debug kernel pads what is in it. */
[[gnu::noinline]] void describe(Pages &pages, const Batch &batch, unsigned int clear,
                                cowmem_page *answer)
{
	ObjectMappings mappings{pages.mapping()};
	Inspect seen;

	walk(mappings, batch, seen);
	for (unsigned int i = 0; i < batch.count; i++) {
		folio *page = batch.page[i];
		unsigned int flags = page ? COWMEM_PAGE_RESIDENT : 0;

		answer[i] = {};
		if (!pages.frozen() && pages.sees_shared(batch.first + i)) {
			answer[i].flags =
				describe_shared(pages, batch.first + i, page, seen, i, answer[i]);
			continue;
		}
		if (!page) {
			answer[i].flags = describe_paged_out(pages, batch.first + i, clear);
			continue;
		}
		flags |= seen.dirty[i] || kapi_folio_written(page) ? COWMEM_PAGE_DIRTY : 0;
		flags |= seen.locked[i] ? COWMEM_PAGE_LOCKED : 0;
		flags |= kapi_folio_maybe_pinned(page) ? COWMEM_PAGE_PINNED : 0;
		flags |= kapi_folio_poisoned(page) ? COWMEM_PAGE_POISONED : 0;
		flags |= pages.owns(page) ? 0 : COWMEM_PAGE_SHARED;
		answer[i].flags = flags;
		answer[i].mapcount = kapi_folio_mapcount(page);
		answer[i].referenced = seen.young[i];
	}
	if (clear & COWMEM_PAGEMAP_CLEAR_REFERENCED)
		age(mappings, batch, answer);
	if (clear & COWMEM_PAGEMAP_CLEAR_DIRTY)
		clean(mappings, own_of(pages, batch), answer);
	for (unsigned int i = 0; i < batch.count; i++)
		answer[i].flags |= answer[i].referenced ? COWMEM_PAGE_REFERENCED : 0;
}

Index list_mappings(Pages &pages, Index first, Index last, MappingList &list)
{
	for (Index index = first;; index++) {
		Shared lock{pages};
		ObjectMappings mappings{pages.mapping()};
		const vm_area_struct *vma = mappings.first(index, last);

		if (!vma)
			return last + 1;
		index = max_of(index, kapi_vma_first_index(vma));

		const FolioRef page = pages.get(index);
		const Batch batch{index, page.get()};
		Enumerate<true> enumerate{list, index};

		list.begin_page();
		list.count_probes(walk(mappings, batch, enumerate));
		if (!list.end_page() || kapi_signal_pending())
			return index;
		if (index == last)
			return last + 1;
	}
}

bool list_sharers(folio *copy, MappingList &list)
{
	PageLock lock{copy};
	CopyMappings mappings{copy};
	const Index index = kapi_folio_index(copy);
	const Batch batch{index, copy};
	Enumerate<false> enumerate{list, index};

	list.begin_page();
	if (mappings)
		list.count_probes(walk(mappings, batch, enumerate));
	return list.end_page();
}

Found own_copy(unsigned long address, const Pages &pages, FolioRef &copy)
{
	{
		OwnMm lock;
		const vm_area_struct *vma = kapi_own_vma(address);

		if (!vma || !kapi_vma_maps_privately(vma, pages.mapping()))
			return Found::not_mapped;
	}

	page *found;

	if (!kapi_own_page(address, &found))
		return Found::nothing;
	copy = FolioRef{kapi_page_folio(found)};
	return kapi_folio_is_copy(copy.get()) ? Found::copy : Found::nothing;
}

} /* namespace cowmem */
