// SPDX-License-Identifier: GPL-2.0
/*
 * Making one's own what is seen in a frozen parent (Pages::own()): by a copy, or, if
 * nobody else can see it, by taking it over. Kernel counterpart: wp_page_copy(), wp_can_reuse_anon_folio().
 */
#include <cowmem/pages.h>
#include <cowmem/source.h>
#include <cowmem/visitors.h>

namespace cowmem {

namespace {

/*
 * How many references are neither the table's nor a page table's. What maps pages without
 * their lock, and began before us, has its page table locked, and is done after the walk.
 */
int references_to_read(address_space *mapping, Index index, folio *page)
{
	const ObjectMappings mappings{mapping};
	Inspect seen;

	walk(mappings, Batch{index, page}, seen);
	return foreign_references(page);
}

} /* namespace */

/* Whether nobody but this one, a leaf, can see what is in its parent. */
bool Pages::is_last_viewer_of(const Pages &layer) const
{
	return &layer == parent_ && layer.only_child() == this && !layer.in_use_;
}

int Pages::own(Index index, const folio *held)
{
	int err = try_take_over(index, held);

	while (err == -KAPI_EAGAIN)
		err = try_copy(index);
	return err;
}

/* Without a copy. -EAGAIN: others see it, or have a reference. */
int Pages::try_take_over(Index index, const folio *held)
{
	{
		Shared lock{*this};
		const Pages &layer = layer_of(index);

		layer.held_shared();
		if (&layer == this)
			return 0;
		if (!is_last_viewer_of(layer))
			return -KAPI_EAGAIN;
	}

	Exclusive lock{*this};
	Pages &layer = layer_of(index);

	layer.held();
	if (&layer == this)
		return 0;

	const int err = is_last_viewer_of(layer) ? take_over(index, layer, held) : -KAPI_EAGAIN;

	kapi_count_n(COWMEM_COUNT_pages_taken_over, err ? 0 : 1);
	return err;
}

/* By a copy. -EAGAIN: it is elsewhere now. */
int Pages::try_copy(Index index)
{
	Source source;
	{
		Shared lock{*this};
		const Pages &layer = layer_of(index);

		layer.held_shared();
		if (&layer == this)
			return 0;
		source.page = layer.get(index);
		source.slot = source.page ? SlotRef{} : layer.slot(index);
		source.layer = layer.number_;
	}

	const FolioRef fresh{kapi_folio_alloc(false)};

	if (!fresh)
		return -KAPI_ENOMEM;
	if (const int err = copy(fresh.get(), source))
		return err;

	Exclusive lock{*this};
	const Pages &layer = layer_of(index);

	layer.held();
	if (&layer == this)
		return 0;
	return source.layer == layer.number_ ? put_in_front(index, layer, fresh.get())
	                                     : -KAPI_EAGAIN;
}

/*
 * A fault that returned the page of @layer may still be about to map it; the core does so
 * with the page lock, so the walk comes after it. The bytes are the same, so who reads
 * through an entry while it is replaced sees one or the other.
 */
int Pages::put_in_front(Index index, const Pages &layer, folio *page)
{
	const FolioRef old = layer.get(index);

	kapi_folio_set_dirty(page);
	kapi_folio_keep_written(page);
	kapi_count(COWMEM_COUNT_pages_copied_up);
	if (!old)
		return insert(index, page);

	PageLock lock{old.get()};

	if (const int err = insert(index, page))
		return err;

	ObjectMappings mappings{mapping_};
	Replace replace{page};

	walk(mappings, Batch{index, old.get()}, replace);
	return 0;
}

/*
 * From @from to here: the page, if it is in memory. 0; -ENOMEM, or -EAGAIN: somebody has a
 * reference, other than the one on @held, and might read there what is written from now
 * on; and nothing changed.
 */
int Pages::take_page(Index index, Pages &from, const folio *held)
{
	folio *page = from.at(index);

	if (!page)
		return 0;

	PageLock lock{page};

	if (!has_children() && references_to_read(mapping_, index, page) > (page == held))
		return -KAPI_EAGAIN;
	if (const int err = kapi_mapping_insert(mapping_, index, page))
		return err;
	kapi_folio_rehome(page, mapping_);
	kapi_mapping_erase(from.mapping_, index);
	__atomic_fetch_sub(&from.resident_, 1, __ATOMIC_RELAXED);
	__atomic_fetch_add(&resident_, 1, __ATOMIC_RELAXED);
	return 0;
}

int Pages::take_over(Index index, Pages &from, const folio *held)
{
	const bool has_slot = from.slots_.has(index);

	if (has_slot && !slots_.reserve(index))
		return -KAPI_ENOMEM;
	if (const int err = take_page(index, from, held)) {
		slots_.drop(index);
		return err;
	}
	if (has_slot)
		from.slots_.move(index, slots_);
	return 0;
}

} /* namespace cowmem */
