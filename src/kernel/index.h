/* SPDX-License-Identifier: GPL-2.0 */
/* The numbers of pages in an object. */
#ifndef COWMEM_INDEX_H
#define COWMEM_INDEX_H

#include "kernel/kapi.h"

namespace cowmem {

using Index = unsigned long;

constexpr Index no_index = ~0UL;

/* The first page at or after byte @bytes, and the page that byte @bytes lies in. */
constexpr Index index_up(long long bytes)
{
	return (static_cast<unsigned long>(bytes) + KAPI_PAGE_SIZE - 1) >> KAPI_PAGE_SHIFT;
}
constexpr Index index_of(long long bytes)
{
	return static_cast<unsigned long>(bytes) >> KAPI_PAGE_SHIFT;
}
constexpr long long bytes_at(Index index)
{
	return static_cast<long long>(index << KAPI_PAGE_SHIFT);
}

/* A block: where a large folio may be, as many pages as that has. */
constexpr Index first_of_block(Index index)
{
	return index & ~(KAPI_LARGE_PAGES - 1UL);
}
constexpr Index last_of_block(Index index)
{
	return index | (KAPI_LARGE_PAGES - 1UL);
}
/* The same of a leaf of a tree. */
constexpr Index first_of_leaf(Index index)
{
	return index & ~(KAPI_LEAF_PAGES - 1UL);
}
constexpr Index last_of_leaf(Index index)
{
	return index | (KAPI_LEAF_PAGES - 1UL);
}

} /* namespace cowmem */

#endif /* COWMEM_INDEX_H */
