// SPDX-License-Identifier: GPL-2.0
/*
 * Whether all is so that is said of a family's layers (layers/pages.h): every link, page,
 * slot and page-table entry is looked at, and nothing is taken from what the module uses to
 * find its way. For tests, which see to it that nobody faults or maps meanwhile: a fault
 * that holds a page lock only may be about to map what it found.
 */
#include <linux/cowmem.h>

#include "layers/object.h"
#include "store/store.h"
#include "testing/testing.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/* Compares all that is mapped at the batch's places with the batch, what is seen there. */
struct Compare : Visitor {
	bool matches(Pte pte, const folio *) const { return pte.present(); }

	bool visit(Slot &slot)
	{
		if (!kapi_vma_shared(slot.vma) && kapi_pte_maps_anon(slot.pte.value()))
			return false;
		entries++;
		stale[slot.nth] |= !slot.pte.maps(slot.page);
		to_write[slot.nth] |= slot.pte.writable() || slot.pte.dirty();
		return false;
	}

	unsigned long entries = 0;
	bool stale[Batch::max] = {}, to_write[Batch::max] = {};
};

Index end_of_mappings(const Pages &layer)
{
	const ObjectMappings mappings{layer.mapping()};
	Index end = 0;

	for (auto *at = mappings.first(0, no_index); at; at = mappings.next(at, 0, no_index))
		end = max_of(end, kapi_vma_end_index(mappings.vma(at)));
	return end;
}

bool same_bytes(folio *a, folio *b)
{
	const Mapped first{a}, second{b};

	return kapi_same_bytes(first.bytes(), second.bytes(), KAPI_PAGE_SIZE);
}

/* The right to page a page out for a scope, if nobody has it: then its marks stand still. */
class NoPageOut {
public:
	explicit NoPageOut(folio *page)
		: page_{kapi_folio_try_begin_page_out(page) ? page : nullptr}
	{
	}
	~NoPageOut()
	{
		if (page_)
			kapi_folio_end_page_out(page_);
	}
	NoPageOut(const NoPageOut &) = delete;
	NoPageOut &operator=(const NoPageOut &) = delete;

	explicit operator bool() const { return page_; }

private:
	folio *const page_;
};

} /* namespace */

class Check {
public:
	/* With the family's lock held alone. */
	cowmem_test_wrong tree_of(const Pages &some);

private:
	void fail(const char *what, const Pages &layer, Index index = no_index)
	{
		if (!wrong_.what)
			wrong_ = {what, layer.number_, index};
	}
	static bool is_frozen(const Pages &layer) { return Object::of(layer).frozen_; }
	static const Pages *next_below(const Pages &top, const Pages *at);
	const Pages *top_of(const Pages &some);
	void links(const Pages &layer);
	void life(const Pages &layer);
	void pages(const Pages &layer);
	void saved(const Pages &layer, Index index, folio *page);
	void slots(const Pages &layer);
	void end(const Pages &layer);
	void mappings(const Pages &layer);
	void entries(const Pages &layer, const Batch &batch);

	cowmem_test_wrong wrong_ = {nullptr, 0, 0};
	unsigned long mapped_ = 0, found_ = 0;
	const FolioRef scratch_{kapi_folio_alloc_surely(0)};
};

/* Each above, up to who has no parent. */
const Pages *Check::top_of(const Pages &some)
{
	const Pages *at = &some;

	for (unsigned int above = 0; at->parent_; above++, at = at->parent_) {
		if (above < COWMEM_LAYERS_MAX)
			continue;
		fail("too many parents, or a circle", some);
		return nullptr;
	}
	return at;
}

/* Over links that links() has seen to be good. */
const Pages *Check::next_below(const Pages &top, const Pages *at)
{
	if (at->first_child_)
		return at->first_child_;
	for (; at != &top; at = at->parent_)
		if (at->next_sibling_)
			return at->next_sibling_;
	return nullptr;
}

/* A child that was met before has another before it, or another parent: so there is no circle. */
void Check::links(const Pages &layer)
{
	const Pages *before = nullptr;

	for (const Pages *child = layer.first_child_; child && !wrong_.what;
	     before = child, child = child->next_sibling_) {
		if (child->parent_ != &layer)
			fail("a child has another parent", *child);
		if (child->previous_sibling_ != before)
			fail("a child has another before it", *child);
		if (&child->family_ != &layer.family_)
			fail("a child is of another family", *child);
		if (!child->has_relatives_ || !layer.has_relatives_)
			fail("a relative is said to have none", *child);
	}
}

/* Only what is frozen has children, and what nobody uses has some, or has left the tree. */
void Check::life(const Pages &layer)
{
	if (layer.first_child_ && !is_frozen(layer))
		fail("a layer with children is not frozen", layer);
	if (!layer.first_child_ && !layer.in_use_ && !layer.left_)
		fail("a layer is there for nobody", layer);
}

/* P1, P2, P5. */
void Check::pages(const Pages &layer)
{
	unsigned long count = 0;

	layer.held();
	for (Index index = 0; folio *page = kapi_mapping_find(layer.mapping_, &index, no_index);
	     index++) {
		if (!layer.owns(page) || kapi_folio_index(page) != index)
			return fail("a page says that it is elsewhere", layer, index);
		if (!kapi_folio_uptodate(page))
			fail("a page is not uptodate", layer, index);
		if (foreign_references(page) < 0)
			fail("a page has too few references", layer, index);
		saved(layer, index, page);
		mapped_ += kapi_folio_mapcount(page);
		count++;
		kapi_cond_resched();
	}
	if (count != layer.resident())
		fail("resident() is wrong", layer);
}

/*
 * A page without any mark that it was written is in the store, byte for byte. Dirty entries
 * of other objects than its own are wrong in any case, and found by entries().
 */
void Check::saved(const Pages &layer, Index index, folio *page)
{
	const NoPageOut claim{page};

	if (!claim || kapi_folio_dirty(page) || kapi_folio_poisoned(page))
		return;
	{
		const ObjectMappings own{layer.mapping_};
		Inspect seen;

		walk(own, Batch{index, page}, seen);
		if (seen.dirty[0])
			return;
	}

	const SlotRef slot = layer.slots_.get(index);

	if (!slot || slot->is_hole())
		fail("a clean page is not in the store", layer, index);
	else if (!slot->is_backed() &&
	         (store.read(*slot, scratch_.get()) || !same_bytes(scratch_.get(), page)))
		fail("a clean page is not as in the store", layer, index);
}

void Check::slots(const Pages &layer)
{
	const Slots::Sum said = layer.slots_.sum();
	Slots::Sum sum;

	for (Index index = 0; layer.slots_.find(index, no_index); index++) {
		const SlotRef slot = layer.slots_.get(index);

		kapi_cond_resched();
		if (slot->is_hole())
			continue;
		sum.slots++;
		sum.backed += slot->is_backed();
		sum.same_filled += !slot->is_backed() && !slot->length;
		sum.bytes += slot->is_backed() ? 0U : slot->length;
	}
	if (sum.slots != said.slots || sum.backed != said.backed ||
	    sum.same_filled != said.same_filled || sum.bytes != said.bytes)
		fail("the sum of slots is wrong", layer);
}

/* O1, also of what is seen of others. */
void Check::end(const Pages &layer)
{
	const Object &object = Object::of(layer);

	layer.held();
	if (!layer.in_use_ || !object.fixed_size())
		return;
	if (const Index index = layer.next_data(object.end_index(), no_index); index != no_index)
		fail("something is seen beyond the end", layer, index);
}

/* P4, P7: nothing is mapped but what is seen, and nothing frozen can be written. */
void Check::entries(const Pages &layer, const Batch &batch)
{
	const ObjectMappings own{layer.mapping_};
	Compare found;

	walk(own, batch, found);
	found_ += found.entries;
	for (unsigned int i = 0; i < batch.count; i++) {
		if (found.stale[i])
			fail("what is mapped is not what is seen", layer, batch.first + i);
		else if (found.to_write[i] && (is_frozen(layer) || !layer.owns(batch.page[i])))
			fail("a frozen page can be written", layer, batch.first + i);
	}
}

void Check::mappings(const Pages &layer)
{
	const Index end = end_of_mappings(layer);

	layer.held();
	if (end && !layer.in_use_ && !layer.dropped_)
		fail("a layer is mapped that has no file", layer);
	for (Index first = 0; first < end; first += Batch::max)
		entries(layer, Batch{layer, first, end - 1});
}

cowmem_test_wrong Check::tree_of(const Pages &some)
{
	const Pages *const top = top_of(some);

	for (const Pages *layer = top; layer && !wrong_.what; layer = next_below(*top, layer)) {
		links(*layer);
		life(*layer);
		pages(*layer);
		slots(*layer);
		end(*layer);
		mappings(*layer);
	}
	if (!wrong_.what && mapped_ != found_)
		fail("a page is mapped where nobody sees it", some);
	return wrong_;
}

} /* namespace cowmem */

extern "C" cowmem_test_wrong cowmem_test_check(file *f)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();
	cowmem::Check check;
	cowmem::Exclusive lock{pages};

	return check.tree_of(pages);
}
