// SPDX-License-Identifier: GPL-2.0
/*
 * Making one's own what is seen in a frozen parent (Pages::own()): by a copy, or, if
 * nobody else can see it, by taking it over. Kernel counterpart: wp_page_copy(), wp_can_reuse_anon_folio().
 */
#include <optional>

#include "layers/pages.h"
#include "store/source.h"
#include "rmap/visitors.h"

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

/* What is to be copied, and when it was what is seen. */
struct Pages::Found {
	Source source;
	Pages *layer;
	Family::Reading when;
};

Source Pages::source_of(const Pages &layer, Index index, folio *page)
{
	if (!page)
		return {FolioRef{}, layer.slot(index), layer.number_};
	kapi_folio_get(page);
	return {FolioRef{page}, SlotRef{}, layer.number_};
}

/* Whether nobody but this one, a leaf, can see what is in its parent. */
bool Pages::is_last_viewer_of(const Pages &layer) const
{
	return &layer == parent_ && layer.only_child() == this && !layer.in_use_;
}

int Pages::own(Index index, const Asker &asker)
{
	Writer *const writer = asker.writer;
	folio *const held = writer ? writer->held : nullptr;

	for (bool may_take = true;;) {
		std::optional<Found> found;
		{
			Shared lock{*this};
			const auto [layer, page] = look(index, held);

			layer.held_shared();
			if (&layer == this)
				return 0;
			if (!may_take || !is_last_viewer_of(layer))
				found.emplace(source_of(layer, index, page), &layer,
				              family_.read());
		}
		const int err =
			found ? try_copy(index, *found, asker) : try_take_over(index, writer);

		if (err != -KAPI_EAGAIN)
			return err;
		may_take &= found.has_value();
	}
}

/* Without a copy. -EAGAIN: others see it, or have a reference. */
int Pages::try_take_over(Index index, Writer *writer)
{
	Exclusive lock{*this};
	Pages &layer = layer_of(index);

	layer.held();
	if (&layer == this)
		return 0;
	if (!is_last_viewer_of(layer))
		return -KAPI_EAGAIN;
	if (const int err = take_over(index, layer, writer ? writer->held : nullptr))
		return err;
	kapi_count(COWMEM_COUNT_pages_taken_over);
	take_along(index, layer, writer);
	return 0;
}

/* By a copy. -EAGAIN: it is elsewhere now. */
int Pages::try_copy(Index index, const Found &found, const Asker &asker)
{
	const Source &source = found.source;
	Writer *const writer = asker.writer;
	const FolioRef fresh{asker.vmf ? kapi_folio_alloc_for(asker.vmf, false)
	                               : kapi_folio_alloc(false)};

	if (!fresh)
		return -KAPI_ENOMEM;
	if (const int err =
	            copy(fresh.get(), source, asker.killable ? Wait::killable : Wait::to_the_end))
		return err;

	Pages *gone = nullptr;
	int err = 0;
	{
		Exclusive lock{*this};
		/* Without another writer a page is where it was, but what is out may have come in. */
		const auto [layer, page] = source.page && family_.unchanged_before(found.when)
		                                   ? Seen{*found.layer, source.page.get()}
		                                   : look(index, writer ? writer->held : nullptr);

		if (&layer == this)
			return 0;
		if (source.layer != layer.number_)
			return -KAPI_EAGAIN;
		/* Over a hole the snapshots keep nothing. */
		const bool keeps = source.page || !source.slot->is_hole();

		err = !keeps || may_copy(layer) ? put_in_front(index, page, fresh.get(), writer)
		                                : -KAPI_EDQUOT;
		if (!err && keeps)
			gone = count_copy(layer);
	}
	kapi_count_n(COWMEM_COUNT_pages_copied_up, err ? 0 : 1);
	put_gone(gone);
	return err;
}

/*
 * Puts @page at @index, in front of @old, the page of a parent, if that is in memory. A fault
 * that returned @old may still be about to map it; the core does so with the page lock, so
 * the walk comes after it. The bytes are the same, so who reads through an entry while it
 * is replaced sees one or the other; and the entry through which they may change is the last.
 */
int Pages::put_in_front(Index index, folio *old, folio *page, Writer *writer)
{
	kapi_folio_set_dirty(page);
	kapi_folio_keep_written(page);
	if (!old)
		return insert(index, page);

	PageLock lock{old};
	/* Who maps it as a neighbour, with a count read before ours began, passes over what is locked. */
	PageLock hidden{page};

	if (const int err = insert(index, page))
		return err;

	ObjectMappings mappings{mapping_};
	Replace replace{page, writer};

	walk(mappings, Batch{index, old}, replace, writer ? writer->vma : nullptr);
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
	return move_page(index, from, page);
}

/* A locked page. 0 or -ENOMEM. */
int Pages::move_page(Index index, Pages &from, folio *page)
{
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

/*
 * How many pages behind @index are worth having with it: twice as many as there are of its
 * own before it. What is taken over and not written costs the next snapshot, which is to
 * follow what was written.
 */
unsigned int Pages::worth_taking(Index index) const
{
	return min_of(2 * run_before(index), Batch::max - 1);
}

/* The pages of @from that are seen at the batch's places but the first, locked: those that are easily had. */
void Pages::lock_seen(const Pages &from, Batch &batch)
{
	Walk own{*this, batch.first, batch.last()}, theirs{from, batch.first + 1, batch.last()};
	unsigned int hidden = 0;

	for (unsigned int i = 0; i < batch.count; i++)
		batch.page[i] = nullptr;
	while (own.next())
		hidden |= 1U << (own.index() - batch.first);
	while (folio *page = theirs.next()) {
		const Index index = theirs.index();
		const unsigned int nth = static_cast<unsigned int>(index - batch.first);

		if (index < end_of_parent() && !(hidden & 1U << nth) && !slots_.has(index) &&
		    !from.slots_.has(index) && kapi_folio_trylock(page))
			batch.page[nth] = page;
	}
}

/*
 * Who writes one page after the other that nobody else sees any more will write the next: they
 * are taken over, too, as far as that is easy, and written without a fault then.
 */
void Pages::take_along(Index index, Pages &from, Writer *writer)
{
	Batch batch{index, 1 + worth_taking(index)};
	Permit permit{writer};
	unsigned long taken = 0;

	lock_seen(from, batch);
	if (batch.count > 1) {
		const ObjectMappings mappings{mapping_};
		Inspect seen;

		walk(mappings, batch, seen);
	}
	for (unsigned int i = 0; i < batch.count; i++) {
		folio *page = batch.page[i];

		if (!page)
			continue;
		if (foreign_references(page) || kapi_folio_poisoned(page) ||
		    move_page(batch.first + i, from, page))
			batch.page[i] = nullptr;
		else
			taken++;
		kapi_folio_unlock(page);
	}
	kapi_count_n(COWMEM_COUNT_pages_taken_over, taken);
	kapi_count_n(COWMEM_COUNT_pages_taken_along, taken);
	if (folio *page = at(index); page && !kapi_folio_poisoned(page))
		batch.page[0] = page;

	const ObjectMappings mappings{mapping_};

	walk(mappings, batch, permit);
}

} /* namespace cowmem */
