// SPDX-License-Identifier: GPL-2.0
/*
 * Page-out under memory pressure: what reclaim takes off the LRU, with the neighbours,
 * goes the way of a page-out that waits for nothing (cowmem/page_out.h).
 */
#include <cowmem/object.h>
#include <cowmem/page_out.h>
#include <cowmem/walk.h>

namespace cowmem {

namespace {

/* Keeps the object of a page for a scope; or none, if the page has left it or it is going. */
class PagesOwner {
public:
	explicit PagesOwner(folio *page)
	{
		/* As long as the page is locked and its object's, the object stays (P3). */
		if (!kapi_folio_trylock(page))
			return;

		const address_space *mapping = kapi_folio_mapping(page);
		inode *host = mapping ? kapi_mapping_host(mapping) : nullptr;

		if (host && kapi_inode_try_get(host)) {
			inode_ = host;
			index_ = kapi_folio_index(page);
		}
		kapi_folio_unlock(page);
	}
	~PagesOwner()
	{
		if (inode_)
			kapi_inode_put(inode_);
	}
	PagesOwner(const PagesOwner &) = delete;
	PagesOwner &operator=(const PagesOwner &) = delete;

	explicit operator bool() const { return inode_; }
	Object &object() const { return *static_cast<Object *>(kapi_inode_object(inode_)); }
	Index index() const { return index_; }

private:
	inode *inode_ = nullptr;
	Index index_ = 0;
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

/* The cluster of neighbours, as one page table has them, that a page belongs to. */
Index cluster_of(Index index)
{
	return index - index % Batch::max;
}

unsigned long page_out_cluster(Object &object, Index first)
{
	PagedOut result;

	page_out(object.pages(), first, first + Batch::max - 1,
	         {.waits = false, .accessed = false, .max_slots = object.max_slots()}, result);
	kapi_count_n(COWMEM_COUNT_pages_shrunk, result.out);
	return result.out;
}

} /* namespace */

} /* namespace cowmem */

/* From memory reclaim: pages taken off the LRU, with a reference each. Returns how many pages it freed. */
extern "C" unsigned long cowmem_shrink(kapi_isolated *isolated)
{
	using namespace cowmem;
	const Object *tried = nullptr;
	Index tried_cluster = 0;
	unsigned long freed = 0;

	for (unsigned int i = 0; i < isolated->count; i++) {
		FolioRef page{isolated->folio[i]};
		const PagesOwner owner{page.get()};

		put_back(page.get());
		page = {};
		/* Neighbours are mostly taken off together, and one attempt is for all of them. */
		if (!owner ||
		    (tried == &owner.object() && tried_cluster == cluster_of(owner.index())))
			continue;
		tried = &owner.object();
		tried_cluster = cluster_of(owner.index());
		freed += page_out_cluster(owner.object(), tried_cluster);
	}
	return freed;
}
