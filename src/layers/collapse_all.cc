// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse of what nobody asked for (layers/collapse.h): of blocks that write() filled by pages, or whose large folio
 * was taken apart for something that is over. Where somebody is told which pages have changed, by PAGEMAP or by soft-dirty bits,
 * they stay: a large folio has changed as a whole.
 */
#include <linux/cowmem.h>

#include "kernel/vm_flags.h"
#include "layers/collapse.h"
#include "layers/objects.h"

namespace cowmem {

namespace {

/* For a scope, and by a worker: what is allocated is charged to whom the page at @index is. */
class ChargedAs {
public:
	ChargedAs(const Pages &pages, Index index)
	{
		const FolioRef page = pages.get(index);

		kapi_charge_as(page.get());
	}
	~ChargedAs() { kapi_charge_nobody(); }
	ChargedAs(const ChargedAs &) = delete;
	ChargedAs &operator=(const ChargedAs &) = delete;
};

/* Whether all of the block at @first is in memory, in pages of its own. A hint. */
bool is_ripe(const Pages &pages, Index first)
{
	const Rcu rcu;
	Tree::Walk walk{pages.tree(), first, last_of_block(first)};

	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++) {
		const folio *page = walk.next();

		if (!page || !pages.owns(page) || kapi_folio_is_large(page))
			return false;
	}
	return true;
}

/* Whether the object, or a mapping of the block at @first, wants it large, and no mapping has it small. */
bool is_wanted(const Object &object, Index first)
{
	address_space *mapping = object.pages().mapping();
	const Index last = last_of_block(first);
	bool wanted = object.huge() == COWMEM_HUGE_ALWAYS, refused = false;

	kapi_mapping_lock_vmas(mapping);
	for (vm_area_struct *vma = kapi_mapping_first_vma(mapping, first, last); vma && !refused;
	     vma = kapi_mapping_next_vma(vma, first, last)) {
		const VmFlags flags{vma};

		wanted = wanted || flags.asks_for_large();
		refused = flags.refuses_large() || flags.tracks_soft_dirty();
	}
	kapi_mapping_unlock_vmas(mapping);
	return wanted && !refused;
}

/* All of the object's, or until there is no memory for one. */
void collapse_object(Object &object)
{
	Pages &pages = object.pages();
	Index index = 0, block;

	if (object.huge() == COWMEM_HUGE_NEVER || pages.frozen() || !pages.marks().empty())
		return;
	while (!kapi_is_interrupted() &&
	       (block = next_block(pages, index, object.end_index())) != no_index) {
		Collapsed result = Collapsed::busy;

		if (is_ripe(pages, block) && is_wanted(object, block)) {
			const ChargedAs owner{pages, block};

			if (collapse_block(object, block, false, result) ||
			    result == Collapsed::no_memory)
				return;
		}
		index = last_of_block(block) + 1;
		kapi_cond_resched();
	}
}

} /* namespace */

void collapse_all()
{
	for (Objects at; at && !kapi_is_interrupted(); at.next())
		if (!at.is_abandoned())
			collapse_object(*at);
}

} /* namespace cowmem */

/* By a worker (src/layers/collapser.c). As collapse_all() says. */
extern "C" void cowmem_collapse_all(void)
{
	cowmem::collapse_all();
}
