// SPDX-License-Identifier: GPL-2.0
/*
 * Page-out under memory pressure: what reclaim takes off the LRU, with the neighbours,
 * goes the way of a page-out that waits for nothing (reclaim/page_out.h).
 */
#include "layers/object.h"
#include "reclaim/page_out.h"

namespace cowmem {

namespace {

/* Pages of one cluster of neighbours, and an object that sees it, kept for as long as this lives. */
class ClusterOf {
public:
	ClusterOf() = default;
	~ClusterOf()
	{
		if (inode_)
			kapi_inode_put(inode_);
	}
	ClusterOf(const ClusterOf &) = delete;
	ClusterOf &operator=(const ClusterOf &) = delete;

	/* Not, if the page has left its home, or that is going, or it is none of this cluster by now. */
	void add(folio *page)
	{
		/* As long as the page is locked and at home somewhere, the home stays. */
		if (!kapi_folio_trylock(page))
			return;
		if (const address_space *mapping = kapi_folio_mapping(page)) {
			const Index index = kapi_folio_index(page);

			if (!inode_)
				find(page, mapping, index);
			/* Members of a family may see different pages at one place. */
			if (inode_ && mapping == mapping_ && index - first_ < Batch::max &&
			    object().pages().resident(index) == page)
				named_ |= 1U << (index - first_);
		}
		kapi_folio_unlock(page);
	}

	/* Whether there is one, and what to do about it. */
	explicit operator bool() const { return named_; }

	/* How many pages of it could be paged out. */
	unsigned int page_out() const
	{
		PagedOut result;

		cowmem::page_out(object().pages(), first_, first_ + Batch::max - 1,
		                 {.waits = false,
		                  .accessed = false,
		                  .max_slots = object().max_slots(),
		                  .shared = true,
		                  .named = named_},
		                 result);
		kapi_count_n(COWMEM_COUNT_pages_shrunk, result.out);
		return static_cast<unsigned int>(result.out);
	}

private:
	Object &object() const { return *static_cast<Object *>(kapi_inode_object(inode_)); }
	bool keep(inode *node)
	{
		if (kapi_inode_try_get(node))
			inode_ = node;
		return inode_;
	}
	void find(folio *page, const address_space *mapping, Index index)
	{
		const Home &home = Home::of(page);

		if (home.is_shared())
			find_member(static_cast<const SharedHome &>(home), index, page);
		else
			keep(kapi_mapping_host(mapping));
		mapping_ = mapping;
		first_ = index / Batch::max * Batch::max;
	}
	void find_member(const SharedHome &home, Index index, const folio *page)
	{
		for (Members at{home.family()}; at; at.next())
			if (at->resident(index) == page && keep(kapi_mapping_host(at->mapping())))
				return;
	}

	inode *inode_ = nullptr;
	const address_space *mapping_ = nullptr;
	Index first_ = 0;
	unsigned int named_ = 0;
};

/*
 * Puts a page that was taken off the LRU back, at its end. Whoever removes a page takes
 * it off after its mapping is gone, so that one of the two sees the other.
 */
void put_back(folio *page)
{
	kapi_lru_add(page);
	if (!kapi_folio_mapping(page))
		kapi_lru_del(page);
}

} /* namespace */

} /* namespace cowmem */

/* From memory reclaim: pages taken off the LRU, with a reference each. Returns how many pages it freed. */
extern "C" unsigned long cowmem_shrink(kapi_isolated *isolated)
{
	using namespace cowmem;
	ClusterOf cluster;
	unsigned int freed = 0;

	/* All of them first: a reference of ours would keep a neighbour from going. */
	for (unsigned int i = 0; i < isolated->count; i++) {
		const FolioRef page{isolated->folio[i]};

		cluster.add(page.get());
		put_back(page.get());
	}
	if (cluster)
		freed = cluster.page_out();
	isolated->scanned = max_of(isolated->count, freed);
	return freed;
}
