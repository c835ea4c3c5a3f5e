// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse (layers/collapse.h): of pages that are the object's own, and to which nobody has a reference.
 *
 * The object's lock is held alone, and write() is locked out, so the bytes change only by an entry of a page
 * table, or by a reference. What keeps these away, in this order:
 *   1. all page locks are taken: what the core maps late, it has mapped by now, and it maps none from now on;
 *   2. the block is unmapped, in all page tables, and nobody maps it again: faults wait, or see the count;
 *   3. only then the references are looked at. Who has none by now gets none to write: not GUP, which finds no entry,
 *      nor write(). So the bytes are copied with nothing frozen, and those who read go on;
 *   4. the references of all pages are frozen, and the parts take their places in the tree. A reader that has come
 *      by a reference makes this fail, and is waited for. Nobody sees some pages of the block exchanged, and others not
 *      to be, but who looks each of them up, and has the same bytes from either.
 * Page-out, which may put a page into a slot, or take it out, has the page lock then.
 */
#include "kernel/alloc.h"
#include "layers/collapse.h"
#include "rmap/mappings.h"
#include "rmap/unmap.h"
#include "store/large.h"

namespace cowmem {

namespace {

/* Frees the page tables in which nothing of the block at @first is mapped any more. */
void free_tables(address_space *mapping, Index first)
{
	kapi_mapping_lock_vmas(mapping);
	for (vm_area_struct *vma = kapi_mapping_first_vma(mapping, first, first); vma;
	     vma = kapi_mapping_next_vma(vma, first, first))
		kapi_vma_free_empty_table(vma, first);
	kapi_mapping_unlock_vmas(mapping);
}

/*
 * Whether the pages from @first on, a block, can become a large folio: done, or why not. What is out is to be
 * brought in first. Without the object's lock held alone, a hint.
 */
Collapsed may_collapse(const Pages &pages, Index first)
{
	const Rcu rcu;

	for (Index at = first; at <= last_of_block(first); at++) {
		const Entry entry = pages.tree().at(at);
		folio *const page = entry.page();

		if (!entry)
			return Collapsed::sparse;
		if (page ? !pages.owns(page) : !entry.slot() || !entry.slot()->is_of(pages.home()))
			return Collapsed::shared;
		if (page && kapi_folio_is_large(page))
			return pages.sees_block(first, kapi_folio_whole(page)) ? Collapsed::is_large
			                                                       : Collapsed::busy;
		if (page && kapi_folio_poisoned(page))
			return Collapsed::poisoned;
	}
	return Collapsed::done;
}

/*
 * Takes what is unmapped away for a while only: what it was used for the page is told. No entry that comes meanwhile may be missed. mlock() and
 * soft-dirty bits keep what they hold.
 */
struct UnmapForAWhile : Unmap<Leave::nothing> {
	static constexpr bool racy = false;

	UnmapForAWhile() : Unmap{{.mlock = false, .access = true}} {}

	void settle(const FoundPte &found)
	{
		if (found.pte.young() && kapi_vma_has_recency(found.vma))
			kapi_folio_mark_referenced(found.page);
		Unmap::settle(found);
	}
};

/* The cgroup that @page, of which the caller has a reference, is charged to, or null. Under RCU. */
const mem_cgroup *group_of(folio *page)
{
	obj_cgroup *owner = kapi_folio_owner(page);

	return owner ? kapi_owner_group(owner) : nullptr;
}

/* A block of an object whose lock is held alone, and whose write() is locked out. */
class Block : public Allocated {
public:
	Block(Pages &pages, Index first, bool asked) : pages_{pages}, first_{first}, asked_{asked}
	{
	}
	~Block() { let_go(); }
	Block(const Block &) = delete;
	Block &operator=(const Block &) = delete;

	/* With that lock, and that locked out. If it is done, @fresh is at home. */
	Collapsed collapse(FreshLarge &fresh);
	/* The pages: their locks, and the references. */
	void let_go()
	{
		while (count_) {
			folio *page = page_[--count_];

			kapi_folio_unlock(page);
			kapi_folio_put(page);
		}
	}

private:
	static constexpr int name_and_this = 2; /* references */

	Collapsed lock();
	bool is_left_alone() const;
	bool is_charged_as(folio *large) const;
	bool unmap_what_may_be();
	Collapsed copy_to(folio *large) const;
	void leave_slots();
	bool freeze();
	bool put_in_place(folio *large);

	Pages &pages_;
	const Index first_;
	const bool asked_;
	unsigned int count_ = 0;
	folio *page_
		[KAPI_LARGE_PAGES]; /* in their order, each with a reference and its page lock */
};

/* Who waits for several page locks of one home, as page-out does, takes them in the order of their indexes. */
Collapsed Block::lock()
{
	if (const Collapsed result = may_collapse(pages_, first_); result != Collapsed::done)
		return result;
	while (count_ < KAPI_LARGE_PAGES) {
		const Index index = first_ + count_;
		FolioRef page = pages_.get(index);

		if (!page)
			return Collapsed::busy;
		if (asked_)
			lock_page(page.get());
		else if (!kapi_folio_trylock(page.get()))
			return Collapsed::busy;
		page_[count_++] = page.release();
		/* It may have gone out, and another have come in, until it was locked. */
		if (pages_.resident(index) != page_[count_ - 1] || !pages_.owns(page_[count_ - 1]))
			return Collapsed::busy;
		if (kapi_folio_poisoned(page_[count_ - 1]))
			return Collapsed::poisoned;
	}
	return Collapsed::done;
}

/* Whether nobody has a reference but names, entries of page tables, and this. */
bool Block::is_left_alone() const
{
	for (folio *page : page_)
		if (foreign_references(page) > 1)
			return false;
	return true;
}

/* Whether @large is charged to the cgroup that all pages are charged to. */
bool Block::is_charged_as(folio *large) const
{
	const Rcu rcu;

	for (folio *page : page_)
		if (group_of(page) != group_of(large))
			return false;
	return true;
}

/* Unmaps all that may be. False: something is mapped still. In a frame of its own, since a debug kernel pads what is in it. */
[[gnu::noinline]] bool Block::unmap_what_may_be()
{
	const ObjectMappings mappings{pages_.mapping()};

	for (unsigned int n = 0; n < KAPI_LARGE_PAGES; n += Batch::max) {
		UNINITIALIZED Batch batch{first_ + n, Batch::max};
		UnmapForAWhile unmap;

		for (unsigned int i = 0; i < batch.count; i++)
			batch.page[i] = page_[n + i];
		walk(mappings, batch, unmap);
		for (unsigned int i = 0; i < batch.count; i++)
			if (unmap.result(batch, i) != Unmapped::success)
				return false;
		kapi_cond_resched();
	}
	return true;
}

/* The bytes, and what the pages are marked with. */
Collapsed Block::copy_to(folio *large) const
{
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++) {
		if (kapi_folio_copy(kapi_folio_part(large, i), page_[i]))
			return Collapsed::poisoned;
		if (kapi_folio_written(page_[i]))
			kapi_folio_keep_written(large);
		if (kapi_folio_dirty(page_[i]))
			kapi_folio_set_dirty(large);
		if (kapi_folio_referenced(page_[i]))
			kapi_folio_mark_referenced(large);
		kapi_cond_resched();
	}
	return Collapsed::done;
}

/* Those that are in slots are that no more: what is large has none. */
void Block::leave_slots()
{
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		if (const Seen seen = pages_.see(first_ + i); seen.slot)
			pages_.leave_slot(first_ + i, seen);
}

/* Makes all reference counts 0, if they are what a name and this have. False: none is. */
bool Block::freeze()
{
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		if (!kapi_folio_freeze(page_[i], name_and_this)) {
			while (i--)
				kapi_folio_unfreeze(page_[i], name_and_this);
			return false;
		}
	return true;
}

/* @large, which has the bytes, and is at home, is what the object has there. False: somebody has a reference to a page. */
bool Block::put_in_place(folio *large)
{
	{
		const NoPreemption who_waits_for_it_goes_on;

		if (!freeze())
			return false;
		{
			const Rcu rcu;

			for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
				pages_.tree().exchange(first_ + i, Entry{page_[i]},
				                       Entry{kapi_folio_part(large, i)});
		}
		for (folio *page : page_) {
			leave_home(page);
			kapi_folio_unfreeze(page, name_and_this - 1);
		}
	}
	for (folio *page : page_)
		kapi_lru_del(page);
	return true;
}

Collapsed Block::collapse(FreshLarge &fresh)
{
	constexpr int max_tries = 10; /* as MOVE */
	folio *const large = fresh.get();

	if (const Collapsed result = lock(); result != Collapsed::done)
		return result;
	/* What will fail is not to cost the mappings. */
	if (!is_left_alone())
		return Collapsed::busy;
	if (!asked_ && !is_charged_as(large))
		return Collapsed::busy;
	if (asked_)
		pages_.unmap(first_, last_of_block(first_), PrivateCopies::keep);
	else if (!unmap_what_may_be())
		return Collapsed::busy;
	if (!is_left_alone()) {
		/*
		 * With references to what mlock() had held; or a fault that finds the lock taken lets go at once, but for
		 * page_mkwrite, which waits for it.
		 */
		asked_ ? kapi_drain_folio_batches_everywhere() : kapi_sleep_killable();
		if (!is_left_alone())
			return Collapsed::busy;
	}
	if (const Collapsed result = copy_to(large); result != Collapsed::done)
		return result;
	leave_slots();
	if (!pages_.bring_home(large, first_))
		return Collapsed::no_memory;
	for (int tries = 0; !put_in_place(large); tries++) {
		if (tries == max_tries) {
			pages_.send_away(large);
			return Collapsed::busy;
		}
		kapi_cond_resched();
	}

	const FolioRef at_home = fresh.release();

	add_to_lru(large);
	kapi_count_n(COWMEM_COUNT_pages_allocated, KAPI_LARGE_PAGES);
	kapi_count(COWMEM_COUNT_large_allocated);
	kapi_count(COWMEM_COUNT_large_collapsed);
	free_tables(pages_.mapping(), first_);
	return Collapsed::done;
}

/* A large folio, charged as the page at @first, and on its node; or null: no memory, or that page is out, or locked. */
folio *alloc_as(const Pages &pages, Index first)
{
	const FolioRef page = pages.get(first);

	if (!page || !kapi_folio_trylock(page.get()))
		return nullptr;

	folio *const large = kapi_large_alloc_as(page.get());

	kapi_folio_unlock(page.get());
	return large;
}

/* The node of the page at @index, or, if none is in memory there, any. */
int node_of(const Pages &pages, Index index)
{
	const FolioRef page = pages.get(index);

	return page ? kapi_folio_node(page.get()) : KAPI_ANY_NODE;
}

/* As collapse_block(), of @block, which is it. */
int collapse(Object &object, Index first, bool asked, Block &block, Collapsed &result)
{
	Pages &pages = object.pages();
	unsigned long long count = 0;

	/* Before what is out is brought in: what there is little of goes out for it. */
	FreshLarge fresh{asked ? kapi_large_alloc_on(node_of(pages, first), false)
	                       : alloc_as(pages, first)};

	if (!fresh)
		return 0;
	if (const int err = asked ? pages.swap_in_all(first, last_of_block(first), count) : 0) {
		result = err == -KAPI_ENOMEM ? Collapsed::no_memory : Collapsed::io_error;
		return err == -KAPI_EINTR ? err : 0;
	}
	if (asked)
		object.let_sets_go_first();

	const WriteLock writes{object, asked};

	result = Collapsed::busy;
	if (!writes && !asked)
		return 0;
	if (!writes || !pages.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages, held};

	if (asked || is_wanted(object, first))
		result = block.collapse(fresh);
	block.let_go();
	return 0;
}

} /* namespace */

Index next_block(const Pages &pages, Index from, Index end)
{
	const Index block = first_of_block(from + KAPI_LARGE_PAGES - 1);
	const Index data = block < end ? pages.next_data(block, end - 1) : no_index;

	return data != no_index && last_of_block(data) < end ? first_of_block(data) : no_index;
}

int collapse_block(Object &object, Index first, bool asked, Collapsed &result)
{
	result = may_collapse(object.pages(), first);
	if (result != Collapsed::done)
		return 0;
	result = Collapsed::no_memory;

	auto *block =
		new (asked ? Gfp::kernel_account : Gfp::nowait) Block{object.pages(), first, asked};
	const int err = block ? collapse(object, first, asked, *block, result) : 0;

	delete block;
	return err;
}

} /* namespace cowmem */
