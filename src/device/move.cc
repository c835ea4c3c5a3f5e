// SPDX-License-Identifier: GPL-2.0
/* Moving pages (device/move.h). */
#include "device/move.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

constexpr int max_tries = 10; /* as migrate_pages() has it */

/* What fork() or mremap() copies of the entries between this walk and migrate_in() is found by the second. */
void migrate_out(const Pages &pages, const Batch &batch)
{
	ObjectMappings mappings{pages.mapping()};
	MigrateOut visitor;

	walk(mappings, batch, visitor);
}

void migrate_in(const Pages &pages, const Batch &batch, folio *page)
{
	ObjectMappings mappings{pages.mapping()};
	MigrateIn visitor{page};

	walk(mappings, batch, visitor);
}

} /* namespace */

Moved move_page(Pages &pages, Index index, int node)
{
	if (pages.home().large())
		pages.break_blocks(index, index);

	FolioRef old = pages.get(index);

	if (!old)
		return Moved::busy; /* it has just gone out to the store */
	if (kapi_folio_node(old.get()) == node)
		return Moved::here_already;
	if (kapi_folio_is_large(old.get()) || kapi_folio_poisoned(old.get()) ||
	    kapi_folio_maybe_pinned(old.get()))
		return Moved::busy;

	FolioRef fresh{kapi_folio_alloc_on(node)};

	if (!fresh)
		return Moved::no_memory;

	folio *page = fresh.get();
	/* Until it is mapped: page-out takes away what nobody has. */
	kapi_folio_get(page);
	const FolioRef kept{page};
	PageLock lock{old.get()};
	const Batch batch{index, old.get()};

	migrate_out(pages, batch);

	/* A fault that is just copying from it has a reference, for a moment. */
	int err = -KAPI_EAGAIN;

	for (int tries = 0; err == -KAPI_EAGAIN && tries < max_tries; tries++) {
		kapi_cond_resched();
		err = pages.replace(index, old.get(), fresh);
	}
	migrate_in(pages, batch, err ? old.get() : page);
	return err ? Moved::busy : Moved::moved;
}

} /* namespace cowmem */
