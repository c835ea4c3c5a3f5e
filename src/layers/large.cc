// SPDX-License-Identifier: GPL-2.0
/* Large folios of an object (store/large.h). */
#include "layers/pages.h"
#include "store/large.h"

namespace cowmem {

bool Pages::fill_block(Index first, folio *large)
{
	unsigned int i = 0, missing = 0;
	int err = 0;

	note_write(large);
	home_.attach_large(large, first);
	kapi_count_n(COWMEM_COUNT_pages_allocated, KAPI_LARGE_PAGES);
	for (; i < KAPI_LARGE_PAGES; i++) {
		folio *part = kapi_folio_part(large, i);

		if (err != -KAPI_ENOMEM)
			err = put(first + i, {}, Entry{part}, true, false);
		if (!err)
			continue;
		missing++;
		drop_name(part);
	}
	if (missing == KAPI_LARGE_PAGES)
		return false;
	add_to_lru(large);
	kapi_count(COWMEM_COUNT_large_allocated);
	return !missing;
}

bool Pages::sees_block(Index first, folio *large) const
{
	Tree::Walk walk{tree_, first, first + KAPI_LARGE_PAGES - 1};

	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		if (walk.next() != kapi_folio_part(large, i))
			return false;
	return true;
}

bool Pages::break_block(Index index, bool waits)
{
	FolioRef large;
	{
		const FolioRef part = get(index);

		if (!part || !kapi_folio_is_large(part.get()) || !owns(part.get()))
			return true;
		kapi_folio_get(part.get());
		large = FolioRef{kapi_folio_whole(part.get())};
	}
	if (!kapi_folio_trylock(large.get())) {
		if (!waits)
			return false;
		lock_page(large.get());
	}

	const bool broken = owns(large.get()) && kapi_folio_is_large(large.get()) &&
	                    break_large(large.get());

	kapi_folio_unlock(large.get());
	return broken;
}

void Pages::break_blocks(Index first, Index last)
{
	for (Index at = first; at <= last && (at = next_resident(at, last)) != no_index; at++) {
		break_block(at, true);
		/* Of what is small now, or stays large, all of the block is seen to be so. */
		at = last_of_block(at);
		if (at == no_index)
			break;
	}
}

/* Of the block that @index is in some pages have gone: what else it has is to be all that it takes. */
void Pages::break_edge(Index index)
{
	const Index last = last_of_block(index);

	for (Index at = first_of_block(index); (at = next_resident(at, last)) != no_index; at++) {
		if (!is_large(at))
			continue;
		break_block(at, true);
		return;
	}
}

} /* namespace cowmem */
