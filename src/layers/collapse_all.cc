// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse that no call asks for (layers/collapse.h): of blocks that write() filled by pages, or whose large folio
 * was taken apart for something that is over. Where PAGEMAP or soft-dirty bits tell which pages have changed, pages stay: a
 * large folio has changed as a whole. And mlock() holds what is mapped, so that stays, too.
 */
#include <linux/cowmem.h>

#include "kernel/vm_flags.h"
#include "layers/collapse.h"
#include "layers/objects.h"

namespace cowmem {

namespace {

/* Whether all of the block at @first is in memory, in pages of its own. A hint: they may go meanwhile. */
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

bool goes_on()
{
	return kapi_large_wanted_unasked() && !kapi_is_interrupted();
}

/* All of the object's: what has no memory costs little, and the next may be another cgroup's, or on another node. */
void collapse_object(const Objects &at)
{
	Object &object = *at;
	Index index = 0, block;

	while (goes_on() && !at.is_abandoned() && object.huge() != COWMEM_HUGE_NEVER &&
	       (block = next_block(object.pages(), index, object.end_index())) != no_index) {
		Collapsed result = Collapsed::busy;

		if (is_ripe(object.pages(), block) && is_wanted(object, block))
			collapse_block(object, block, false, result);
		index = last_of_block(block) + 1;
		kapi_cond_resched();
	}
}

} /* namespace */

bool is_wanted(Object &object, Index first)
{
	const Pages &pages = object.pages();
	const Index last = last_of_block(first);
	const unsigned int huge = object.huge();
	bool wanted = huge == COWMEM_HUGE_ALWAYS, refused = huge == COWMEM_HUGE_NEVER;

	if (pages.frozen() || !object.pages().marks().empty())
		return false;
	kapi_mapping_lock_vmas(pages.mapping());
	for (vm_area_struct *vma = kapi_mapping_first_vma(pages.mapping(), first, last);
	     vma && !refused; vma = kapi_mapping_next_vma(vma, first, last)) {
		const VmFlags flags{vma};

		wanted = wanted || flags.asks_for_large();
		refused = flags.refuses_large() || flags.locked() || flags.tracks_soft_dirty();
		kapi_cond_resched();
	}
	kapi_mapping_unlock_vmas(pages.mapping());
	return wanted && !refused;
}

} /* namespace cowmem */

/*
 * By a worker (src/layers/collapser.c): along all objects, until the parameter says that there is to be none, or the machine is going to
 * sleep. Kernel counterpart: khugepaged_do_scan().
 */
extern "C" void cowmem_collapse_all(void)
{
	using namespace cowmem;

	for (Objects at; at && goes_on(); at.next())
		collapse_object(at);
}
