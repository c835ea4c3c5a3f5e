// SPDX-License-Identifier: GPL-2.0
/*
 * Bringing pages back into memory (Pages::swap_in()), and readahead: a read of the
 * backing store takes along what follows in the object and lies close by there, as
 * a cluster that went out together does. From compressed memory, where nothing is to be
 * had for the same price, only who reads in order gets more. The neighbours are clean and
 * keep their slots, so that one that nobody wants costs no write.
 */
#include "store/store.h"
#include "kernel/minmax.h"
#include "layers/pages.h"

namespace cowmem {

namespace {

/* Whether @fresh was brought in, and the holder of @pages may know that it was out. */
bool may_be_told(const Pages &pages, const Fresh &fresh)
{
	return fresh.brought_in && (fresh.is_own || pages.oversees());
}

/* Pages that follow one which has to be read, on their way with it. */
class Neighbours {
public:
	/* Finds those with slots close behind @slot, the slot of @index. */
	void find(const Pages &pages, Index index, Index last, const StoreSlot &slot)
	{
		const unsigned int window = min_of(kapi_backing_readahead(), max + 1);

		first_ = index + 1;
		count_ = 0;
		while (count_ + 1 < window && index + count_ < last) {
			const Index next = first_ + count_;
			Fresh &fresh = fresh_[count_];

			fresh = {{}, false};
			fresh.ahead = true;

			Seen seen = pages.see(next);

			if (!seen.page)
				fresh.backed = std::move(seen.slot);
			if (!fresh.backed || !fresh.backed->is_backed() ||
			    Backing::place(fresh.backed->location()) -
			                    Backing::place(slot.location()) >=
			            window)
				break;
			count_++;
		}
	}

	/* Nobody asked for them: as many as there is memory for at once. */
	void allocate(int node)
	{
		for (unsigned int i = 0; i < count_; i++) {
			fresh_[i].page = FolioRef{kapi_folio_alloc_ahead(node)};
			if (!fresh_[i].page)
				count_ = i;
		}
	}

	/* Begins to read them. */
	void start()
	{
		for (unsigned int i = 0; i < count_; i++)
			read_[i] = backing.start_read(*fresh_[i].backed, fresh_[i].page.get());
	}

	/* Waits for them; those that cannot be read stay out. */
	void finish()
	{
		for (unsigned int i = 0; i < count_; i++) {
			Fresh &fresh = fresh_[i];

			if (backing.finish_read(std::move(read_[i]), *fresh.backed,
			                        fresh.page.get(), Wait::killable))
				fresh.page = {};
		}
	}

	/* Puts in those that are still wanted: how many of which the holder may know. */
	unsigned int insert(Pages &pages) REQUIRES_SHARED(pages)
	{
		unsigned int inserted = 0, told = 0;

		for (unsigned int i = 0; i < count_; i++) {
			Fresh &fresh = fresh_[i];

			/* Without its slot it is no longer what was paged out, but a hole. */
			if (fresh.page && pages.see(first_ + i).slot.get() == fresh.backed.get())
				pages.get_or_fill(first_ + i, fresh);
			inserted += fresh.brought_in;
			told += may_be_told(pages, fresh);
		}
		count_ = 0;
		kapi_count_n(COWMEM_COUNT_backing_readahead, inserted);
		return told;
	}

private:
	static constexpr unsigned int max = 15;

	Index first_ = 0;
	unsigned int count_ = 0;
	Fresh fresh_[max] = {};
	BackingRead read_[max];
};

/* Reads the bytes that @fresh waits for, and @neighbours, with no lock held. */
int read_together(Fresh &fresh, Neighbours &neighbours, int node)
{
	const Stall stall;
	BackingRead read;

	neighbours.allocate(node);
	{
		const Together together;

		read = backing.start_read(*fresh.backed, fresh.page.get());
		neighbours.start();
	}

	const int err = backing.finish_read(std::move(read), *fresh.backed, fresh.page.get(),
	                                    Wait::killable);

	neighbours.finish();
	return err == -KAPI_EAGAIN ? read_slot(*fresh.backed, fresh.page.get(), Wait::killable)
	                           : err;
}

} /* namespace */

int Pages::swap_in(Index index, Index last, unsigned long long &count, FolioRef page, int node)
{
	Fresh fresh{std::move(page), false};
	Neighbours neighbours;

	if (!fresh.page)
		return -KAPI_ENOMEM;
	for (;;) {
		{
			if (!lock_shared(true))
				return -KAPI_EINTR;

			Shared lock{*this, held};

			if (!is_hole(index))
				get_or_fill(index, fresh);
			count += neighbours.insert(*this);
			if (fresh.error == -KAPI_EAGAIN)
				neighbours.find(*this, index, last, *fresh.backed);
		}
		count += may_be_told(*this, fresh);
		if (fresh.error != -KAPI_EAGAIN)
			return fresh.error;
		fresh.error = read_together(fresh, neighbours, node);
		if (fresh.error)
			return fresh.error;
	}
}

/* Whether there was something to be had. */
bool Pages::bring_one_along(Index index, int node)
{
	Seen seen = see(index);

	if (seen.page || !seen.slot || seen.slot->is_backed())
		return false;

	Fresh fresh{FolioRef{kapi_folio_alloc_ahead(node)}, false};

	fresh.ahead = true;
	if (fresh.page)
		fill_slot(index, seen, fresh);
	return fresh.brought_in;
}

unsigned int Pages::bring_along(Index first, Index last, int node, bool in_a_row)
{
	unsigned int brought = 0;

	/* With a writer there the fault starts over, and comes by again. */
	if (!try_lock_shared())
		return 0;
	for (Index index = first; index <= last; index++) {
		if (bring_one_along(index, node))
			brought++;
		else if (in_a_row)
			break;
	}
	unlock_shared();
	kapi_count_n(COWMEM_COUNT_pages_brought_along, brought);
	return brought;
}

int Pages::swap_in_all(Index first, Index last, unsigned long long &count)
{
	for (Index index = first;; index++) {
		index = next_out(index, last);
		if (index == no_index)
			return 0;
		if (kapi_signal_pending())
			return -KAPI_EINTR;
		if (const int err = swap_in(index, last, count))
			return err;
		kapi_cond_resched();
		if (index == last)
			return 0;
	}
}

} /* namespace cowmem */
