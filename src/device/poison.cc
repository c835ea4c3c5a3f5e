// SPDX-License-Identifier: GPL-2.0
/* Poisoning pages (device/poison.h). */
#include "layers/object.h"
#include "device/poison.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/*
 * A fault that found the page before it was marked may still be about to map it. The
 * core does so with the page lock, so the walk comes after it; what the handler maps
 * itself follows the commit rule (layers/family.h), and this is a writer.
 */
void mark_and_unmap(Pages &pages, Index index, folio *page) REQUIRES(pages)
{
	const PageLock lock{page};
	Unmap<Leave::poison> unmap{{.mlock = true, .access = true}};

	kapi_folio_poison(page);
	walk_viewers(pages, Batch{index, page}, unmap);
	kapi_count(COWMEM_COUNT_pages_poisoned);
}

/* The inode of the object that has a page, kept for as long as this lives; or none. */
class Owner {
public:
	/* A page of an object is locked for moments only; a page that stays locked is no object's. */
	explicit Owner(folio *page)
	{
		if (!kapi_folio_lock_soon(page))
			return;
		inode_ = kapi_inode_of(page);
		kapi_folio_unlock(page);
	}
	~Owner()
	{
		if (inode_)
			kapi_inode_put(inode_);
	}
	Owner(const Owner &) = delete;
	Owner &operator=(const Owner &) = delete;

	explicit operator bool() const { return inode_; }
	Pages &pages() const { return static_cast<Object *>(kapi_inode_object(inode_))->pages(); }

private:
	inode *inode_ = nullptr;
};

} /* namespace */

bool poison_page(Pages &pages, Index index)
{
	folio *page = pages.at(index);

	if (kapi_folio_poisoned(page))
		return false;
	mark_and_unmap(pages, index, page);
	return true;
}

/* The kernel may have marked it, but unmaps none of ours. */
bool memory_failed(folio *page)
{
	for (;;) {
		const Owner owner{page};

		if (!owner)
			return false;

		Pages &pages = owner.pages();
		const Exclusive lock{pages};

		/* Otherwise it went to a relative just now, or is gone. */
		if (!pages.owns(page))
			continue;
		if (!kapi_folio_poisoned(page) || kapi_folio_mapped(page))
			mark_and_unmap(pages, kapi_folio_index(page), page);
		return true;
	}
}

void forget_poison(address_space *mapping, Index index, folio *page)
{
	ObjectMappings mappings{mapping};
	Unpoison unpoison;

	walk(mappings, Batch{index, page}, unpoison);
}

} /* namespace cowmem */

/* From the notifier of machine checks; as memory_failed() says. */
extern "C" bool cowmem_memory_failed(folio *page)
{
	return cowmem::memory_failed(page);
}
