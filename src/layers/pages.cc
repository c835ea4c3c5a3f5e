// SPDX-License-Identifier: GPL-2.0
/* The pages of an object (layers/pages.h). */
#include "kernel/minmax.h"
#include "rmap/own_entries.h"
#include "layers/pages.h"
#include "device/poison.h"
#include "store/store.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/* Takes away the entries of pages that go. Kernel counterpart: zap_present_folio_ptes(). */
struct Erase {
	static constexpr kapi_notify event = KAPI_NOTIFY_CLEAR;

	static bool enters(const vm_area_struct *) { return true; }
	static void looks_at(const folio *, Index) {}

	static bool visit(Slot &slot)
	{
		mm_struct *mm = kapi_vma_mm(slot.vma);

		kapi_flush_cache_page(slot.vma, slot.address, slot.page);
		slot.pte = Pte{kapi_pte_get_and_clear(slot.vma, slot.address, slot.entry)};
		kapi_mm_update_peak(mm);
		kapi_pte_leave_marker(slot.vma, slot.address, slot.entry, slot.pte.value());
		kapi_rss_add(mm, KAPI_MM_FILEPAGES, -1);
		give_back(slot); /* not the last reference: the table has one */
		return true;
	}
};

} /* namespace */

/*
 * Puts @fresh at @index, unless another CPU was first: then that one's page it is. The
 * slot stays: as long as nobody writes the page, it can go out again without being
 * stored (R47). What the core allocates is clean.
 */
FolioRef Pages::fill(Index index, Fresh &fresh)
{
	return fill_from(slots_.at(index), index, fresh);
}

FolioRef Pages::fill_from(const StoreSlot *slot, Index index, Fresh &fresh)
{
	folio *page = fresh.page.get();

	if (slot && slot->is_hole())
		slot = nullptr;
	if (!slot || (slot->is_backed() && slot == fresh.backed.get()))
		fresh.error = 0;
	else
		fresh.error = slot->is_backed() ? -KAPI_EAGAIN : store.read(*slot, page);
	if (fresh.error == -KAPI_EAGAIN) {
		fresh.backed = slots_.get(index);
		fresh.zeroed = false; /* by the time that it comes here again */
	}
	if (fresh.error)
		return {};
	if (!slot && !fresh.zeroed)
		kapi_folio_zero_range(page, 0, KAPI_PAGE_SIZE);
	if (!slot)
		kapi_folio_set_dirty(page);
	if (!slot || slot->is_written())
		kapi_folio_keep_written(page);
	if (const int err = insert(index, page, fresh.ahead)) {
		fresh.error = err == -KAPI_ENOMEM ? err : 0;
		return fresh.error ? FolioRef{} : get(index);
	}
	if (slot) {
		fresh.brought_in = true;
		kapi_count(COWMEM_COUNT_pages_brought_in);
	}
	return std::move(fresh.page);
}

/* Puts @page, which has its bytes and marks, where none is. 0, -ENOMEM, -EBUSY: there is one. */
int Pages::insert(Index index, folio *page, bool ahead)
{
	kapi_folio_mark_uptodate(page);
	kapi_folio_attach(page, mapping_, index);
	kapi_folio_get(page); /* the table's: fault-around may look it up at once */

	const int err = ahead ? kapi_mapping_insert_ahead(mapping_, index, page)
	                      : kapi_mapping_insert(mapping_, index, page);

	if (err) {
		kapi_folio_detach(page);
		kapi_folio_put(page);
		return err;
	}
	add_to_lru(page, ahead);
	__atomic_fetch_add(&resident_, 1, __ATOMIC_RELAXED);
	kapi_count(COWMEM_COUNT_pages_allocated);
	return 0;
}

Index Pages::next(Index from, Index last) const
{
	return kapi_mapping_find(mapping_, &from, last) ? from : no_index;
}

bool Pages::is_hole(Index index) const
{
	const Pages &layer = layer_of(index);

	if (kapi_mapping_load(layer.mapping_, index))
		return false;

	const SlotRef slot = layer.slots_.get(index);

	return !slot || slot->is_hole();
}

Index Pages::next_entry(Index from, Index last, bool pages, const Pages *stop) const
{
	Index found = no_index;

	for (const Pages *layer = this; layer != stop; layer = layer->parent()) {
		Index slot = from, page = from;

		if (layer->slots_.find(slot, last))
			found = min_of(found, slot);
		if (pages && kapi_mapping_find(layer->mapping_, &page, last))
			found = min_of(found, page);
		if (!layer->parent() || layer->end_of_parent() <= from)
			break;
		last = min_of(last, layer->end_of_parent() - 1);
	}
	return found;
}

Index Pages::next_paged_out(Index from, Index last) const
{
	for (Index index = from; (index = next_entry(index, last, false, nullptr)) != no_index;
	     index++) {
		if (!kapi_mapping_load(layer_of(index).mapping_, index) && !is_hole(index))
			return index;
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return no_index;
}

Index Pages::next_data(Index from, Index last) const
{
	for (Index index = from; (index = next_entry(index, last, true, nullptr)) != no_index;
	     index++) {
		if (!is_hole(index))
			return index;
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return no_index;
}

Index Pages::next_hole(Index from, Index last) const
{
	while (from <= last && !is_hole(from))
		from++;
	return from;
}

/* --- the tree --- */
unsigned long Pages::next_number()
{
	static unsigned long last;

	return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
}

unsigned int Pages::depth() const
{
	unsigned int above = 0;

	for (const Pages *layer = this; (layer = layer->parent());)
		above++;
	return above;
}

void Pages::set_parent(Pages *parent, Index end)
{
	if (parent_) {
		(previous_sibling_ ? previous_sibling_->next_sibling_ : parent_->first_child_) =
			next_sibling_;
		if (next_sibling_)
			next_sibling_->previous_sibling_ = previous_sibling_;
	}
	__atomic_store_n(&end_of_parent_, end, __ATOMIC_RELAXED);
	__atomic_store_n(&parent_, parent, __ATOMIC_RELEASE);
	if (!parent)
		return;
	has_relatives_ = parent->has_relatives_ = true;
	previous_sibling_ = nullptr;
	next_sibling_ = parent->first_child_;
	if (next_sibling_)
		next_sibling_->previous_sibling_ = this;
	parent->first_child_ = this;
}

/* Whether there is some place from @first to @last where it looks to its parent. */
bool Pages::sees_of_parent(Index first, Index last) const
{
	if (first >= end_of_parent())
		return false;
	for (Index index = first; index <= last; index++)
		if (!has(index))
			return true;
	return false;
}

const Pages *Pages::next_viewer(const Pages *at, Index first, Index last) const
{
	for (const Pages *child = at->first_child_; child; child = child->next_sibling_)
		if (child->sees_of_parent(first, last))
			return child;
	for (; at != this; at = at->parent())
		for (const Pages *next = at->next_sibling_; next; next = next->next_sibling_)
			if (next->sees_of_parent(first, last))
				return next;
	return nullptr;
}

/* The last index of a batch from @first on: as many places as may need a hole with the lock held once. */
static Index end_of_batch(Index first, Index last)
{
	constexpr Index at_once = 512;

	return min_of(last, first + at_once - 1);
}

/* The next place from @from to @last where something is seen of the parent that it has now, or no_index. */
Index Pages::next_of_parent(Index from, Index last) const
{
	if (!parent_ || from > last || from >= end_of_parent())
		return no_index;
	parent_->held_shared();
	return parent_->next_data(from, min_of(last, end_of_parent() - 1));
}

/* How many places from @first to @last need a hole so that nothing is seen of the parent there. */
unsigned int Pages::count_to_hide(Index first, Index last) const
{
	unsigned int count = 0;

	for (Index index = first; (index = next_of_parent(index, last)) != no_index; index++)
		count += !has_hole(index);
	return count;
}

/* Has memory in the table for slots at the places that need a hole. False: no memory, for all of them. */
bool Pages::reserve_to_hide(Index first, Index last)
{
	for (Index index = first; (index = next_of_parent(index, last)) != no_index; index++) {
		if (!has_slot(index) && !slots_.reserve(index))
			return false;
		kapi_cond_resched();
	}
	return true;
}

/* Gives back the memory that reserve_to_hide() had, where no slot has come. */
void Pages::unreserve(Index first, Index last)
{
	for (Index index = first; index <= last; index++)
		if (!has_slot(index))
			slots_.drop(index);
}

/* Has holes where something is seen of the parent; there is memory for them. */
void Pages::put_holes(Index first, Index last, Holes &holes)
{
	for (Index index = first; (index = next_of_parent(index, last)) != no_index; index++) {
		/* A page of its own goes when the range is removed, and is not what the slot says until then. */
		if (folio *page = at(index))
			kapi_folio_set_dirty(page);
		if (!has_hole(index)) {
			SlotRef hole = holes.take();

			(void)set_slot(index, hole);
		}
	}
}

int Pages::hide_parent(Index first, Index &last, Holes &holes, unsigned int &missing, Pages *&gone)
{
	const Index from = next_of_parent(first, last);

	if (from == no_index)
		return 0;
	last = end_of_batch(from, last);
	if (const unsigned int wanted = count_to_hide(from, last); wanted > holes.count()) {
		missing = wanted;
		return -KAPI_EAGAIN;
	}

	const int err = reserve_to_hide(from, last) ? count_left(from, last, gone) : -KAPI_ENOMEM;

	/* After -EAGAIN the holes of a dropped snapshot, under pages of this one's, may be none any more. */
	if (!err)
		put_holes(from, last, holes);
	unreserve(from, last);
	return err;
}

/* Takes the PTEs of a range out of every page table that has some. */
void Pages::unmap(Index first, Index last, PrivateCopies copies)
{
	const unsigned long long to_the_end = 0;
	const unsigned long long length =
		last == no_index ? to_the_end
				 : static_cast<unsigned long long>(bytes_at(last - first + 1));

	kapi_mapping_unmap(mapping_, static_cast<unsigned long long>(bytes_at(first)), length,
	                   copies == PrivateCopies::zap);
}

/* @page has left the table. In this order: who puts a page back on the LRU looks at the mapping after that. */
void Pages::forget(folio *page)
{
	kapi_folio_detach(page);
	kapi_lru_del(page);
}

/*
 * Takes @page out of the table; the table's reference goes to the caller. With the
 * page lock held nobody can map it any more: a fault that returned it has mapped it by
 * now, and who maps without that lock follows the commit rule, with a writer at work.
 */
void Pages::detach(Index index, folio *page)
{
	const PageLock lock{page};

	let_go(index, page);
	kapi_mapping_erase(mapping_, index);
	forget(page);
	__atomic_fetch_sub(&resident_, 1, __ATOMIC_RELAXED);
}

/* The last of what page tables say of @page, locked. */
void Pages::let_go(Index index, folio *page)
{
	if (kapi_folio_mapped(page))
		unmap(index, index, PrivateCopies::keep);
	if (kapi_folio_poisoned(page))
		forget_poison(mapping_, index, page);
}

/* The same for all pages, linked by link_all(): what lies together leaves the table together. */
void Pages::detach_all(folio *pages)
{
	for (folio *page = pages, *next; page; page = next) {
		const Index index = kapi_folio_index(page);

		next = kapi_folio_next(page);
		{
			const PageLock lock{page};

			let_go(index, page);
			forget(page);
		}
		if (!next || !kapi_mapping_lie_together(index, kapi_folio_index(next)))
			kapi_mapping_erase_together(mapping_, index);
		kapi_cond_resched();
	}
	__atomic_store_n(&resident_, 0, __ATOMIC_RELAXED);
}

/*
 * With its references frozen nobody can take another on the old page: not GUP, which
 * has seen it in a page table, nor write(), which has one while it stores.
 */
int Pages::replace(Index index, folio *old, FolioRef &fresh)
{
	constexpr int table_and_caller = 2;
	folio *page = fresh.get();
	PageLock lock{page};

	kapi_folio_mark_uptodate(page);
	kapi_folio_attach(page, mapping_, index);
	kapi_mapping_lock_table(mapping_);

	int err = kapi_folio_freeze(old, table_and_caller) ? 0 : -KAPI_EAGAIN;

	if (!err) {
		err = kapi_folio_copy(page, old);
		if (!err) {
			if (kapi_folio_written(old))
				kapi_folio_keep_written(page);
			if (kapi_folio_dirty(old))
				kapi_folio_set_dirty(page);
			kapi_mapping_store_locked(mapping_, index, fresh.release());
		}
		kapi_folio_unfreeze(old, err ? table_and_caller : 1);
	}
	kapi_mapping_unlock_table(mapping_);
	forget(err ? page : old);
	if (!err) {
		add_to_lru(page);
		kapi_count(COWMEM_COUNT_pages_allocated);
		kapi_count(COWMEM_COUNT_pages_moved);
		kapi_count(COWMEM_COUNT_pages_freed);
	}
	return err;
}

/*
 * The slot was set before the page goes, and the table is changed with the page's
 * references frozen, as in replace(). Who wrote without a page table had one, and left
 * the mark before he let go of it.
 */
bool Pages::page_out(Index index, folio *page)
{
	constexpr int table_and_caller = 2;

	kapi_mapping_lock_table(mapping_);

	bool out = kapi_folio_freeze(page, table_and_caller);

	if (out && (kapi_folio_dirty(page) || kapi_folio_poisoned(page))) {
		kapi_folio_unfreeze(page, table_and_caller);
		out = false;
	}
	if (out)
		kapi_mapping_erase_locked(mapping_, index);
	kapi_mapping_unlock_table(mapping_);
	if (!out)
		return false;
	slots_.get(index)->set_written(kapi_folio_written(page));
	forget(page);
	kapi_folio_unfreeze(page, 1);
	__atomic_fetch_sub(&resident_, 1, __ATOMIC_RELAXED);
	kapi_count(COWMEM_COUNT_pages_paged_out);
	kapi_count(COWMEM_COUNT_pages_freed);
	return true;
}

void Pages::free_list(folio *list)
{
	while (folio *page = kapi_folio_pop(&list)) {
		kapi_folio_put(page);
		kapi_count(COWMEM_COUNT_pages_freed);
		kapi_cond_resched();
	}
}

/* Takes every page from @first to @last out of the table: a list, linked by the folios. */
folio *Pages::detach_range(Index first, Index last)
{
	folio *removed = nullptr;

	for (Index index = first; folio *page = kapi_mapping_find(mapping_, &index, last);
	     index++) {
		detach(index, page);
		kapi_folio_push(&removed, page);
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return removed;
}

/*
 * Unmapped twice, as the kernel's truncation does it: first the bulk, so that hardly
 * any page is still mapped when it is detached; and, where private copies have to go,
 * once more at the end, for the copy that the core was making of a locked page. A
 * copy that the handler makes cannot be under way: it is mapped with the lock held
 * shared, or by the commit rule (layers/family.h).
 */
void Pages::remove(Index first, Index last, PrivateCopies copies)
{
	unmap(first, last, copies);
	unmap_parents(first, last);

	folio *removed = detach_range(first, last);

	slots_.drop(first, last, parent_ ? end_of_parent() : 0);
	if (copies == PrivateCopies::zap)
		unmap(first, last, copies);
	free_list(removed);
}

/* The last of the neighbours from @first on that are all its own. */
Index Pages::end_of_run(Index first) const
{
	while (has(first + 1)) {
		first++;
		kapi_cond_resched();
	}
	return first;
}

/*
 * Unmaps pages of @layer, a parent, from @first to @last once more, where a fault had one
 * locked and was still about to map it.
 */
void Pages::unmap_late(const Pages &layer, Index first, Index last)
{
	for (Index index = first; (index = layer.next(index, last)) != no_index; index++) {
		folio *page = layer.at(index);
		PageLock lock{page};

		if (kapi_folio_mapped(page))
			unmap(index, index, PrivateCopies::keep);
		if (kapi_folio_poisoned(page))
			forget_poison(mapping_, index, page);
		kapi_cond_resched();
		if (index == last)
			break;
	}
}

void Pages::unmap_parents(Index first, Index last)
{
	for (Pages *layer = parent_; layer; layer = layer->parent()) {
		layer->held();
		unmap_late(*layer, first, last);
	}
}

void Pages::unmap_where(const Pages &layer)
{
	for (Index first = 0; (first = layer.next_own(first, no_index)) != no_index; first++) {
		const Index last = layer.end_of_run(first);

		unmap(first, last, PrivateCopies::keep);
		unmap_late(layer, first, last);
		first = last;
	}
}

/* Links some pages from @first on behind @last, if that is one. Where to go on, or no_index. */
Index Pages::link_some(Index first, folio *&last) const
{
	constexpr unsigned int at_once = 512; /* between looks at whether others want the CPU */
	Walk walk{*this, first, no_index};

	for (unsigned int n = 0; folio *page = walk.next_far(); n++) {
		if (n == at_once)
			return walk.index();
		kapi_folio_link(page, nullptr);
		if (last)
			kapi_folio_link(last, page);
		last = page;
	}
	return no_index;
}

folio *Pages::link_all()
{
	folio *last = nullptr;

	for (Index index = 0; index != no_index;) {
		index = link_some(index, last);
		kapi_cond_resched();
	}
	return at(next(0, no_index));
}

/* What a fault has locked, and maps late, is unmapped when it is detached. */
void Pages::remove_own()
{
	folio *const pages = link_all();
	Erase erase;

	visit_own_entries(*this, 0, erase);
	detach_all(pages);
	slots_.drop(0, no_index, 0);
	free_list(pages);
}

void Pages::remove_all()
{
	assume_alone();

	folio *const pages = link_all();

	detach_all(pages);
	slots_.drop(0, no_index, 0);
	free_list(pages);
}

} /* namespace cowmem */
