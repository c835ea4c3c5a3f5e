// SPDX-License-Identifier: GPL-2.0
/* Questions about an object's pages (device/query.h): their state, and who maps them. */
#include "device/query.h"
#include "kernel/told.h"
#include "layers/object.h"
#include "layers/pages.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/* Locks those pages of a batch that nobody else has locked, and takes out the others. */
class TriedLocks {
public:
	explicit TriedLocks(Batch &batch) : batch_{batch}
	{
		for (unsigned int i = 0; i < batch_.count; i++) {
			if (!batch_.page[i])
				continue;
			along_[i] = is_locked_by_this(i);
			if (!along_[i] && !kapi_folio_trylock(batch_.page[i])) {
				batch_.page[i] = nullptr;
				missed_[i] = true;
			}
		}
	}
	~TriedLocks()
	{
		for (unsigned int i = 0; i < batch_.count; i++)
			if (batch_.page[i] && !along_[i])
				kapi_folio_unlock(batch_.page[i]);
	}
	TriedLocks(const TriedLocks &) = delete;
	TriedLocks &operator=(const TriedLocks &) = delete;

	bool missed(unsigned int nth) const { return missed_[nth]; }

private:
	/* The parts of a large folio have one lock. */
	bool is_locked_by_this(unsigned int i) const
	{
		folio *const page = batch_.page[i];

		if (kapi_folio_is_large(page))
			for (unsigned int before = 0; before < i; before++)
				if (batch_.page[before] &&
				    kapi_folio_whole(batch_.page[before]) == kapi_folio_whole(page))
					return true;
		return false;
	}

	Batch &batch_;
	bool missed_[Batch::max] = {}, along_[Batch::max] = {};
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
 * DIRTY, or nothing, for page @index, where @something is, or a hole; @says: that has changed, by
 * what it says itself.
 */
unsigned int dirty_flag(Pages &pages, Index index, bool something, bool says)
{
	bool is_dirty = true;

	switch (pages.marks().at(index)) {
	case Mark::unknown:
		is_dirty = pages.marks().is_news(index, something);
		break;
	case Mark::clean:
		is_dirty = says;
		break;
	case Mark::changed:
		break;
	}
	return is_dirty ? COWMEM_PAGE_DIRTY : 0;
}

/*
 * What the holder of a clone may know of a page that relatives see, too: that it is there, and
 * what his own mappings say of it. Whether it is in memory tells of what others touched.
 */
unsigned int describe_shared(Pages &pages, Index index, const folio *page, const Inspect &seen,
                             unsigned int nth, cowmem_page &answer)
{
	answer.mapcount = seen.entries[nth];
	answer.referenced = seen.young[nth];
	return COWMEM_PAGE_SHARED | dirty_flag(pages, index, true, false) |
	       (seen.entries[nth] ? COWMEM_PAGE_RESIDENT : 0) |
	       (seen.locked[nth] ? COWMEM_PAGE_LOCKED : 0) |
	       (page && kapi_folio_poisoned(page) ? COWMEM_PAGE_POISONED : 0);
}

/* A page that was not in memory: what its slot knows, or a hole; or it came in just now. */
unsigned int describe_paged_out(Pages &pages, Index index)
{
	const Seen seen = pages.see(index);
	const bool came_in = static_cast<bool>(seen.page);

	if (!seen.slot)
		return dirty_flag(pages, index, came_in, came_in);

	const bool own = &seen.slot->home() == &pages.home();

	return COWMEM_PAGE_PAGED_OUT | (own ? 0 : COWMEM_PAGE_SHARED) |
	       dirty_flag(pages, index, true, came_in || (own && seen.slot->is_written()));
}

/*
 * The pages of a batch that are the object's own, claimed from page-out; takes out the others.
 * While they are, nobody but us takes their marks, or puts them into a slot or out of it. What
 * page-out has claimed, or has just done with, is missed.
 */
class Claims {
public:
	Claims(const Pages &pages, Batch &batch) : batch_{batch}
	{
		for (unsigned int i = 0; i < batch_.count; i++) {
			if (!batch_.page[i] || claim(pages, i))
				continue;
			missed_[i] = !pages.sees_shared(batch_.first + i);
			batch_.page[i] = nullptr;
		}
	}
	~Claims()
	{
		for (unsigned int i = 0; i < batch_.count; i++)
			if (batch_.page[i])
				kapi_folio_end_page_out(batch_.page[i]);
	}
	Claims(const Claims &) = delete;
	Claims &operator=(const Claims &) = delete;

	bool missed(unsigned int nth) const { return missed_[nth]; }

private:
	bool claim(const Pages &pages, unsigned int i) const
	{
		folio *page = batch_.page[i];

		/* A large folio has one mark for all: each of its pages has changed, also the next time. */
		if (!pages.owns(page) || kapi_folio_is_large(page) ||
		    !kapi_folio_try_begin_page_out(page))
			return false;
		if (pages.owns(page) && pages.resident(batch_.first + i) == page)
			return true;
		kapi_folio_end_page_out(page);
		return false;
	}

	Batch &batch_;
	bool missed_[Batch::max] = {};
};

/*
 * Takes what says that a place changed: whether something did. Of what is out; where that comes in
 * just now, the page has the mark, too, or this one is taken first.
 */
bool take_mark_of_slot(Pages &pages, Index index)
{
	const Seen seen = pages.see(index);

	return seen.slot && &seen.slot->home() == &pages.home() && seen.slot->take_written();
}

/*
 * The same of @page, which is claimed and clean now; @was_dirty: it was not. PG_dirty is taken,
 * too: where that is set the kernel's own writers set nothing (bio_check_pages_dirty(),
 * unpin_user_pages_dirty_lock()), or nothing else (KVM). With it goes that a slot has other
 * bytes (P5).
 *
 * What may be being written through a pin has changed the next time, too. Whoever pins it and is
 * not seen here finds its entry cleaned, and sets a mark later.
 */
bool take_marks_of_page(Pages &pages, Index index, folio *page, bool was_dirty)
{
	const bool written = kapi_folio_take_written(page);
	const bool pinned = kapi_folio_maybe_pinned(page);

	if (was_dirty)
		kapi_folio_forget_refused(page); /* which nobody else finds out any more */
	if (const Seen seen = was_dirty ? pages.see(index) : Seen{}; seen.slot)
		pages.leave_slot(index, seen);
	if (pinned)
		pages.marks().set_changed(index);
	return written || was_dirty || pinned;
}

/*
 * Has all places of the batch clean, and tells of what was not, and what is not to be had now:
 * that has changed the next time, too. All that is taken is told, so that what is not seen by one
 * step is found by the next one, or the next time. Without memory all stays as it is.
 */
[[gnu::noinline]] void clean_places(Pages &pages, Batch batch, cowmem_page *answer)
{
	Marks &marks = pages.marks();
	Clean found;

	if (!marks.make_room(batch.first, batch.last()))
		return;

	const Claims claims{pages, batch};

	for (unsigned int i = 0; i < batch.count; i++) {
		const bool missed = claims.missed(i);
		const Mark before =
			marks.set(batch.first + i, missed ? Mark::changed : Mark::clean);

		if (missed || before == Mark::changed)
			answer[i].flags |= COWMEM_PAGE_DIRTY;
	}
	{
		const ObjectMappings mappings{pages.mapping()};

		clean(batch, found, [&] { walk(mappings, batch, found); });
	}
	for (unsigned int i = 0; i < batch.count; i++) {
		const Index index = batch.first + i;
		folio *page = batch.page[i];

		if (page ? take_marks_of_page(pages, index, page, found.dirty[i])
		         : take_mark_of_slot(pages, index))
			answer[i].flags |= COWMEM_PAGE_DIRTY;
	}
}

/* What is said of the @nth page of @batch; and how it is mapped, in @answer. */
unsigned int describe_page(Pages &pages, const Batch &batch, unsigned int nth, const Inspect &seen,
                           cowmem_page &answer)
{
	const Index index = batch.first + nth;
	const folio *page = batch.page[nth];

	if (!pages.oversees() && (page ? !pages.owns(page) : pages.sees_shared(index)))
		return describe_shared(pages, index, page, seen, nth, answer);
	if (!page)
		return describe_paged_out(pages, index);
	answer.mapcount = kapi_folio_is_large(page) ? seen.entries[nth] : kapi_folio_mapcount(page);
	answer.referenced = seen.young[nth];
	return COWMEM_PAGE_RESIDENT |
	       dirty_flag(pages, index, true, seen.dirty[nth] || may_have_changed(page)) |
	       (seen.locked[nth] ? COWMEM_PAGE_LOCKED : 0) |
	       (kapi_folio_maybe_pinned(page) ? COWMEM_PAGE_PINNED : 0) |
	       (kapi_folio_poisoned(page) ? COWMEM_PAGE_POISONED : 0) |
	       (pages.owns(page) ? 0 : COWMEM_PAGE_SHARED);
}

/* An entry of RMAP's answer for what @found found; its page is the object's, or a copy. */
unsigned int mapping_flags(const FoundPte &found, bool is_copy)
{
	unsigned int flags = is_copy ? COWMEM_MAPPING_COPY : 0;

	flags |= VmFlags{found.vma}.shared() ? COWMEM_MAPPING_SHARED : 0;
	flags |= VmFlags{found.vma}.locked() ? COWMEM_MAPPING_LOCKED : 0;
	flags |= found.pte.writable() ? COWMEM_MAPPING_WRITABLE : 0;
	flags |= found.pte.dirty() ? COWMEM_MAPPING_DIRTY : 0;
	flags |= found.pte.young() ? COWMEM_MAPPING_YOUNG : 0;
	flags |= found.pte.uffd_wp() ? COWMEM_MAPPING_UFFD_WP : 0;
	return flags;
}

/*
 * Writes down every entry: of the batch's pages and, if @copies, whatever else is
 * present at their places, which are private copies. R77; no kernel counterpart.
 */
template <bool copies>
struct Enumerate : Visitor {
	static constexpr bool splits = false;
	explicit Enumerate(MappingList &to) : list{to} {}

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

	bool visit(FoundPte &found)
	{
		const bool is_copy = kapi_pte_maps_anon(found.pte.value());
		const Index index = index_of(found.vma, found.address);

		list.add({.offset = static_cast<unsigned long long>(bytes_at(index)),
		          .address = found.address,
		          .pid = static_cast<unsigned int>(pid),
		          .flags = mapping_flags(found, is_copy)});
		return false;
	}

	MappingList &list;
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
	{
		const ObjectMappings mappings{pages.mapping()};
		Inspect seen;

		walk(mappings, batch, seen);
		for (unsigned int i = 0; i < batch.count; i++) {
			answer[i] = {};
			answer[i].flags = describe_page(pages, batch, i, seen, answer[i]);
		}
		if (clear & COWMEM_PAGEMAP_CLEAR_REFERENCED)
			age(mappings, batch, answer);
	}
	if (clear & COWMEM_PAGEMAP_CLEAR_DIRTY)
		clean_places(pages, batch, answer);
	for (unsigned int i = 0; i < batch.count; i++)
		answer[i].flags |= answer[i].referenced ? COWMEM_PAGE_REFERENCED : 0;
}

void tell_again(Pages &pages, Index first, unsigned int count, const cowmem_page *answer)
{
	Shared lock{pages};

	for (unsigned int i = 0; i < count; i++)
		if (answer[i].flags & COWMEM_PAGE_DIRTY)
			pages.marks().set_changed(first + i);
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
		Enumerate<true> enumerate{list};

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
	const Batch batch{kapi_folio_index(copy), copy};
	Enumerate<false> enumerate{list};

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

/* For poll(): whether a snapshot was dropped, or may soon be, or soon keeps others from writing. */
extern "C" bool cowmem_has_news(const file *f)
{
	const cowmem::Pages &pages = cowmem::Object::of(f).pages();

	return pages.dropped() || pages.counted().is_near_limit();
}

/* Whether a snapshot's last relative is gone. */
extern "C" bool cowmem_is_last(const file *f)
{
	const cowmem::Family *family = cowmem::Object::of(f).pages().family();

	return family && family->members() == 1;
}

/* For file_operations::show_fdinfo: what the holder of @f may know. */
extern "C" void cowmem_tell(const file *f, cowmem_told *told)
{
	using namespace cowmem;
	const Object &object = Object::of(f);
	const Pages &pages = object.pages();

	*told = {
		.kind = object.frozen()    ? pages.dropped() ? "dropped snapshot" : "snapshot"
	                : pages.of_clone() ? "clone"
	                                   : "object",
		.pinnable = pages.pinnable(),
		.family = pages.shared_home() ? kapi_inode_number(kapi_mapping_host(
							pages.shared_home()->mapping()))
	                                      : 0,
		.parent = object.parent(),
		.own_pages = pages.own_pages(),
		.large_pages = pages.home().large(),
		.own_slots = pages.own_slots(),
		.pages = pages.count_data(),
		.max_slots = object.max_slots(),
		.copies = count_copies(pages),
		.max_copies = pages.counted().limit.max,
	};
}
