// SPDX-License-Identifier: GPL-2.0
/*
 * Copy-on-write (Pages::break_cow()): an object has a page of the family for its own, by a copy,
 * or, if nobody else can see it, as it is. Kernel counterpart: wp_page_copy(),
 * wp_can_reuse_anon_folio().
 *
 * Nobody waits for a relative here, and writers of different pages do not wait for each other:
 * the object's lock is shared, and the page lock that is held is that of the copy, or of a page
 * that nobody else sees.
 */
#include "layers/copy_limit.h"
#include "layers/pages.h"
#include "rmap/visitors.h"
#include "store/large.h"
#include "store/store.h"

namespace cowmem {

namespace {

/*
 * How many references are neither names nor of page tables. A fault that maps the page without
 * its lock, and began before this, has its page table locked, and is done after the walk.
 */
int references_to_read(address_space *mapping, Index index, folio *page)
{
	const ObjectMappings mappings{mapping};
	Inspect seen;

	walk(mappings, Batch{index, page}, seen);
	return foreign_references(page);
}

/* Whether what is seen has no name but in the object's tree, and the caller's reference. A part of a large folio is no one's for itself. */
bool is_last_name(const Seen &seen)
{
	constexpr int tree_and_caller = 2;

	if (seen.page && kapi_folio_is_large(seen.page.get()))
		return false;
	return (!seen.slot || kapi_ref_read(&seen.slot->references) == tree_and_caller) &&
	       (!seen.page || kapi_folio_names(seen.page.get()) == 1);
}

/* Whether it may be that a large folio has no other names than one for each part: a hint. */
bool may_reuse_block(const Seen &seen)
{
	return seen.page && kapi_folio_is_large(seen.page.get()) &&
	       kapi_folio_all_names(seen.page.get()) == KAPI_LARGE_PAGES;
}

/*
 * Has the block of @index for the object's own, as try_reuse_block() says, of which the caller has no reference. -EINTR: a
 * fatal signal, if that may end a wait.
 */
int reuse_block(Pages &pages, Index index, const Asker &asker)
{
	if (!pages.lock_shared(asker.killable))
		return -KAPI_EINTR;

	Shared lock{pages, held};
	const Turn turn{pages.mapping(), index};
	const FolioRef part = pages.get(index);

	return turn && part && kapi_folio_is_large(part.get())
	               ? pages.try_reuse_block(index, part.get(), asker.writer)
	               : -KAPI_EAGAIN;
}

/*
 * What @seen has, with no lock held, into @page: what is the family's stays as it is. 0, -EIO,
 * -EHWPOISON, -ENOMEM; -EINTR, if @how permits that.
 */
int copy(folio *page, const Seen &seen, Wait how)
{
	if (seen.page)
		return kapi_folio_poisoned(seen.page.get())
		               ? -KAPI_EHWPOISON
		               : kapi_folio_copy(page, seen.page.get());
	seen.slot->touch();
	return read_slot(*seen.slot, page, how);
}

} /* namespace */

int Pages::break_cow(Index index, const Asker &asker)
{
	for (bool tried = false;;) {
		Seen seen = see(index);

		if (!seen || is_own(seen))
			return 0;
		/* The page lock of what others see, too, would be waited for where they write it, too. */
		if (tree_.may_be_alone(index) && is_last_name(seen)) {
			if (!lock_shared(asker.killable))
				return -KAPI_EINTR;

			Shared lock{*this, held};
			const int err = try_reuse(index, seen, asker.writer);

			if (err != -KAPI_EAGAIN)
				return err;
		}

		/* The same of a large folio, without what is seen, which has a reference. */
		if (!tried && may_reuse_block(seen)) {
			tried = true;
			seen = {};

			const int err = reuse_block(*this, index, asker);

			if (err != -KAPI_EAGAIN)
				return err;
			continue;
		}

		const int err = try_copy(index, seen, asker);

		if (err != -KAPI_EAGAIN)
			return err;
	}
}

/*
 * As it is. -EAGAIN: others see it, or somebody has a reference, and might read there what is
 * written from now on. That nobody else can come to the entry is seen before it is seen that
 * nobody else has come by it.
 */
int Pages::try_reuse(Index index, const Seen &seen, Writer *writer)
{
	folio *page = seen.page.get();

	if (!page) {
		adopt(index, seen);
		return is_own(seen) ? 0 : -KAPI_EAGAIN;
	}
	{
		const PageLock lock{page};
		const int known = 1 + (writer && page == writer->held);

		if (owns(page))
			return 0;
		/* Page-out, which puts pages into slots, has the page lock then. */
		if (entry_of(index) != seen.entry || !tree_.may_be_alone(index) ||
		    !is_last_name(seen) || kapi_folio_poisoned(page) ||
		    references_to_read(mapping(), index, page) > known ||
		    !tree_.set_own(index, seen.entry))
			return -KAPI_EAGAIN;
		home_.take(page, seen.slot.get());
	}
	kapi_count(COWMEM_COUNT_pages_taken_over);
	reuse_around(index, writer);
	return 0;
}

/* By a copy. -EAGAIN: something else is there now. */
int Pages::try_copy(Index index, const Seen &seen, const Asker &asker)
{
	FolioRef fresh{asker.vmf ? kapi_folio_alloc_for(asker.vmf, false)
	                         : kapi_folio_alloc(false)};
	folio *const page = fresh.get();

	if (!page)
		return -KAPI_ENOMEM;
	if (const int err = copy(page, seen, asker.killable ? Wait::killable : Wait::to_the_end))
		return err;
	note_write(page);

	CopyLimits::Leaving leaving{*this, asker.killable};
	{
		if (!lock_shared(asker.killable))
			return -KAPI_EINTR;

		Shared lock{*this, held};

		if (const int err = leaving.may_leave(index, index))
			return err;

		SharedHome &shared = *family()->home();

		/* A thread that wants to write the copy, which is not the object's own yet, waits for this. */
		const PageLock hidden{page};

		shared.attach(page, index);
		kapi_folio_get(page);
		if (const int err = put(index, seen.entry, Entry{page}, true, &shared, false)) {
			shared.unattach(page);
			kapi_folio_put(page);
			return err;
		}
		put_in_front(index, seen, page, asker.writer);
		home_.take(page, nullptr);
		add_to_lru(page);
		leaving.done();
	}
	seen.entry.drop();
	kapi_count(COWMEM_COUNT_pages_allocated);
	kapi_count(COWMEM_COUNT_pages_copied_up);
	return 0;
}

/*
 * Has all entries of the object that map what was seen map @page, the copy, which is in the tree
 * now. The bytes are the same, so who reads through an entry while it is replaced sees one or
 * the other; and the entry through which they may change is the last.
 */
void Pages::put_in_front(Index index, const Seen &seen, folio *page, Writer *writer)
{
	kapi_smp_mb(); /* the copy is in the tree before a page table, or what came in late, is looked for */

	/* What was out may have come in until the copy was there to be seen instead. */
	const FolioRef late{seen.page ? nullptr : seen.slot->try_get_page()};
	folio *const old = seen.page ? seen.page.get() : late.get();

	if (!old)
		return;

	const ObjectMappings mappings{mapping()};
	Replace replace{page, writer};

	walk(mappings, Batch{index, old}, replace, writer ? writer->vma : nullptr);
}

/*
 * An object that writes one page after the other that nobody else sees any more will write the
 * next: they become its own, too, as far as that is easy, and are written without a fault then.
 * As many as there are of its own before; what is reused and not written costs the next
 * snapshot, which is to follow what was written.
 */
void Pages::reuse_around(Index index, Writer *writer)
{
	UNINITIALIZED Batch batch{index, 1 + min_of(2 * own_run_before(index), Batch::max - 1)};
	UNINITIALIZED Seen seen[Batch::max];
	Permit permit{writer};
	unsigned long reused = 0;

	for (unsigned int i = 0; i < batch.count; i++) {
		batch.page[i] = nullptr;
		if (i)
			seen[i] = see(index + i);

		folio *page = seen[i].page.get();

		if (page && !owns(page) && is_last_name(seen[i]) && kapi_folio_trylock(page))
			batch.page[i] = page;
	}
	if (batch.count > 1) {
		const ObjectMappings mappings{mapping()};
		Inspect inspected;

		walk(mappings, batch, inspected);
	}
	for (unsigned int i = 1; i < batch.count; i++) {
		folio *page = batch.page[i];

		if (!page)
			continue;
		if (entry_of(index + i) == seen[i].entry && tree_.may_be_alone(index + i) &&
		    is_last_name(seen[i]) && foreign_references(page) <= 1 &&
		    !kapi_folio_poisoned(page) && tree_.set_own(index + i, seen[i].entry)) {
			home_.take(page, seen[i].slot.get());
			reused++;
		} else {
			batch.page[i] = nullptr;
		}
		kapi_folio_unlock(page);
	}
	kapi_count_n(COWMEM_COUNT_pages_taken_over, reused);
	kapi_count_n(COWMEM_COUNT_pages_taken_along, reused);
	seen[0] = see(index);
	if (folio *page = seen[0].page.get(); page && owns(page) && !kapi_folio_poisoned(page))
		batch.page[0] = page;

	const ObjectMappings mappings{mapping()};

	walk(mappings, batch, permit);
}

} /* namespace cowmem */
