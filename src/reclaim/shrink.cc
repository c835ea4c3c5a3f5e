// SPDX-License-Identifier: GPL-2.0
/*
 * Page-out under memory pressure: what reclaim takes off the LRU, with the neighbours,
 * goes the way of a page-out that waits for nothing (reclaim/page_out.h).
 */
#include "layers/object.h"
#include "reclaim/page_out.h"

namespace cowmem {

namespace {

/* The cluster of neighbours that a page is in, and an object that sees it, kept for as long as this lives. */
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

	/* Nothing, if the page has left its home, or that is going. */
	void find(folio *page)
	{
		/* As long as the page is locked and at home somewhere, the home stays. */
		if (!kapi_folio_trylock(page))
			return;
		if (const address_space *mapping = kapi_folio_mapping(page)) {
			const Home &home = Home::of(page);
			const Index index = kapi_folio_index(page);

			if (home.is_shared())
				find_member(static_cast<const SharedHome &>(home), index, page);
			else
				keep(kapi_mapping_host(mapping));
			first_ = index / Batch::max * Batch::max;
		}
		kapi_folio_unlock(page);
	}

	explicit operator bool() const { return inode_; }
	bool operator==(const ClusterOf &other) const
	{
		return inode_ == other.inode_ && first_ == other.first_;
	}

	/* How many pages of it could be paged out. */
	unsigned long page_out() const
	{
		auto &object = *static_cast<Object *>(kapi_inode_object(inode_));
		PagedOut result;

		cowmem::page_out(object.pages(), first_, first_ + Batch::max - 1,
		                 {.waits = false,
		                  .accessed = false,
		                  .max_slots = object.max_slots(),
		                  .shared = true},
		                 result);
		kapi_count_n(COWMEM_COUNT_pages_shrunk, result.out);
		return result.out;
	}

private:
	bool keep(inode *node)
	{
		if (kapi_inode_try_get(node))
			inode_ = node;
		return inode_;
	}
	void find_member(const SharedHome &home, Index index, const folio *page)
	{
		for (Members at{home.family()}; at; at.next())
			if (at->resident(index) == page && keep(kapi_mapping_host(at->mapping())))
				return;
	}

	inode *inode_ = nullptr;
	Index first_ = 0;
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
	ClusterOf cluster[KAPI_MAX_ISOLATED];
	unsigned long freed = 0;

	/* All of them first: a reference of ours would keep a neighbour from going. */
	for (unsigned int i = 0; i < isolated->count; i++) {
		const FolioRef page{isolated->folio[i]};

		cluster[i].find(page.get());
		put_back(page.get());
	}
	for (unsigned int i = 0; i < isolated->count; i++)
		if (cluster[i] && (!i || !(cluster[i] == cluster[i - 1])))
			freed += cluster[i].page_out();
	return freed;
}
