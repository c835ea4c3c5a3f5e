// SPDX-License-Identifier: GPL-2.0
/*
 * Whether all is so that is said of a family's pages (layers/pages.h): every page, slot and
 * page-table entry is looked at. For tests, which see to it that nobody faults or maps meanwhile:
 * a fault that holds a page lock only may be about to map what it found.
 */
#include <linux/cowmem.h>

#include "layers/object.h"
#include "layers/viewers.h"
#include "store/store.h"
#include "testing/testing.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/* Compares all that is mapped at the batch's places with the batch, what is seen there. */
struct Compare : Visitor {
	static constexpr bool splits = false;
	bool matches(Pte pte, const folio *) const { return pte.present(); }

	bool visit(FoundPte &found)
	{
		if (!VmFlags{found.vma}.shared() && kapi_pte_maps_anon(found.pte.value()))
			return false;
		/* One entry may map all pages of a large folio. */
		entries += found.ptep || index_of(found.vma, found.address) % KAPI_LARGE_PAGES == 0;
		stale[found.nth] |= !found.pte.maps(found.page);
		to_write[found.nth] |=
			found.pte.writable() || found.pte.dirty() || kapi_vma_pinnable(found.vma);
		return false;
	}

	unsigned long entries = 0;
	bool stale[Batch::max] = {}, to_write[Batch::max] = {};
};

/* Neighbouring places of an object, each of which one mapping at least can show. */
struct Places {
	Index first, last;
};

/* The next such at or after @from; @first is no_index: there are none. */
Places next_mapped(const Pages &pages, Index from)
{
	const ObjectMappings mappings{pages.mapping()};
	const vm_area_struct *vma = mappings.first(from, no_index);

	if (!vma)
		return {no_index, no_index};
	return {max_of(from, kapi_vma_first_index(vma)), kapi_vma_end_index(vma) - 1};
}

bool same_bytes(folio *a, folio *b)
{
	const Mapped first{a}, second{b};

	return kapi_same_bytes(first.bytes(), second.bytes(), KAPI_PAGE_SIZE);
}

} /* namespace */

class Check {
public:
	cowmem_test_wrong family_of(Pages &some);

private:
	void fail(const char *what, const Pages &pages, Index index = no_index)
	{
		if (!wrong_.what)
			wrong_ = {what, pages.number_, index};
	}
	template <class Visit>
	void each(Pages &some, Visit visit);
	void member(Pages &pages);
	void page(Pages &pages, Index index, const Seen &seen);
	void saved(const Pages &pages, Index index, const Seen &seen);
	void end(const Pages &pages);
	void mappings(const Pages &pages);
	void entries(const Pages &pages, const Batch &batch);
	static void forget(const Pages &pages);

	cowmem_test_wrong wrong_ = {nullptr, 0, 0};
	unsigned long mapped_ = 0, found_ = 0, shared_ = 0, own_ = 0;
	const FolioRef scratch_{kapi_folio_alloc(false)};
};

/* Each member, or the one that has no relatives. */
template <class Visit>
void Check::each(Pages &some, Visit visit)
{
	if (!some.is_member_)
		visit(some);
	for (Members at{some.family()}; at; at.next())
		visit(*at);
}

/*
 * A page that is in a slot without any mark that it was written is in the store, byte for byte.
 * Dirty entries of other objects than its own are wrong in any case, and found by entries().
 */
void Check::saved(const Pages &pages, Index index, const Seen &seen)
{
	folio *page = seen.page.get();

	if (!seen.slot || kapi_folio_dirty(page) || kapi_folio_poisoned(page))
		return;
	{
		const ObjectMappings own{pages.mapping()};
		Inspect inspected;

		walk(own, Batch{index, page}, inspected);
		if (inspected.dirty[0])
			return;
	}
	if (!seen.slot->is_backed() &&
	    (store.read(*seen.slot, scratch_.get()) || !same_bytes(scratch_.get(), page)))
		fail("a clean page is not as in the store", pages, index);
}

/* P1; a page that is seen by several members is counted once: it is claimed, until all have been looked at. */
void Check::page(Pages &pages, Index index, const Seen &seen)
{
	folio *page = seen.page.get();
	constexpr int known = 1;

	if (!pages.owns(page) && !(pages.is_member_ && pages.shared_home()->owns(page)))
		fail("a page is at home elsewhere", pages, index);
	if (kapi_folio_index(page) != index)
		fail("a page says that it is elsewhere", pages, index);
	if (!kapi_folio_uptodate(page))
		fail("a page is not uptodate", pages, index);
	if (!kapi_folio_names(page) || kapi_folio_names(page) > 1UL << 40)
		fail("a page has no name", pages, index);
	if (foreign_references(page) < known)
		fail("a page has too few references", pages, index);
	saved(pages, index, seen);
	if (kapi_folio_try_begin_page_out(page)) {
		mapped_ += kapi_folio_mapcount(page);
		/* Parts without a name go with the rest. */
		(pages.owns(page) ? own_ : shared_) += kapi_folio_pages(page);
	}
}

/* P2 */
void Check::member(Pages &pages)
{
	unsigned long own_slots = 0, data = 0;

	own_ = 0;

	for (Index index = 0; (index = pages.next_data(index, no_index)) != no_index; index++) {
		const Seen seen = pages.see(index);

		data += static_cast<bool>(seen);
		if (seen.page)
			page(pages, index, seen);
		own_slots += seen.slot && &seen.slot->home() == &pages.home();
		if (seen.page && pages.owns(seen.page.get()) &&
		    pages.tree().next_own(index, index) == no_index)
			fail("an own page has no mark", pages, index);
		if (seen && !pages.is_own(seen) && pages.tree().next_own(index, index) != no_index)
			fail("what is the family's has a mark", pages, index);
		kapi_cond_resched();
	}
	if (own_ != pages.own_pages())
		fail("own_pages() is wrong", pages);
	if (data != pages.count_data())
		fail("count_data() is wrong", pages);
	if (own_slots != pages.own_slots())
		fail("the sum of slots is wrong", pages);
	end(pages);
	mappings(pages);
}

/* O1 */
void Check::end(const Pages &pages)
{
	const Object &object = Object::of(pages);

	if (object.growth() != Growth::none)
		return;
	if (const Index index = pages.next_data(object.end_index(), no_index); index != no_index)
		fail("something is seen beyond the end", pages, index);
}

/* P4, P6: nothing is mapped but what is seen, and nothing shared can be written. */
void Check::entries(const Pages &pages, const Batch &batch)
{
	const ObjectMappings own{pages.mapping()};
	Compare found;

	walk(own, batch, found);
	found_ += found.entries;
	for (unsigned int i = 0; i < batch.count; i++) {
		if (found.stale[i])
			fail("what is mapped is not what is seen", pages, batch.first + i);
		else if (found.to_write[i] && !pages.owns(batch.page[i]))
			fail("a shared page can be written", pages, batch.first + i);
	}
}

/* Only places that are mapped, since a mapping may be of the last page that an object can have. */
void Check::mappings(const Pages &pages)
{
	Places at = next_mapped(pages, 0);

	while (at.first != no_index) {
		const SeenBatch seen{pages, at.first, at.last};

		entries(pages, seen.batch);
		at = next_mapped(pages, seen.batch.end());
		kapi_cond_resched();
	}
}

void Check::forget(const Pages &pages)
{
	for (Index index = 0; (index = pages.next_resident(index, no_index)) != no_index; index++)
		if (const FolioRef page = pages.get(index))
			kapi_folio_end_page_out(page.get());
}

cowmem_test_wrong Check::family_of(Pages &some)
{
	each(some, [&](Pages &pages) { member(pages); });
	each(some, [&](Pages &pages) { forget(pages); });
	if (mapped_ != found_)
		fail("a page is mapped where nobody sees it", some);
	if (some.is_member_ && shared_ != some.shared_home()->pages())
		fail("the family has other pages than are seen", some);
	return wrong_;
}

} /* namespace cowmem */

extern "C" cowmem_test_wrong cowmem_test_check(file *f)
{
	cowmem::Object &object = cowmem::Object::of(f);
	cowmem::Pages &pages = object.pages();
	const cowmem::WriteLock all_is_freed{object}; /* that RESTORE has left */
	cowmem::Exclusive lock{pages};

	return cowmem::Check{}.family_of(pages);
}
