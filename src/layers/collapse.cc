// SPDX-License-Identifier: GPL-2.0
/*
 * Collapse: the 512 pages of a block become one large folio (store/large.h), where they are the object's own and nobody
 * has a reference to one of them. Kernel counterpart: collapse_file().
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
#include "layers/object.h"

namespace cowmem {

namespace {

/* Has the VMAs of @mapping without the page tables in which nothing of the block at @first is mapped any more. */
void free_tables(address_space *mapping, Index first)
{
	kapi_mapping_lock_vmas(mapping);
	for (vm_area_struct *vma = kapi_mapping_first_vma(mapping, first, first); vma;
	     vma = kapi_mapping_next_vma(vma, first, first))
		kapi_vma_free_empty_table(vma, first);
	kapi_mapping_unlock_vmas(mapping);
}

} /* namespace */

/* The pages of a block in their order, each with a reference and its page lock. */
class Pages::Block : public Allocated {
public:
	Block() = default;
	~Block()
	{
		while (count_) {
			folio *page = page_[--count_];

			kapi_folio_unlock(page);
			kapi_folio_put(page);
		}
	}
	Block(const Block &) = delete;
	Block &operator=(const Block &) = delete;

	/* Who has one locked waits for no other, but tries those. Sleeps. */
	void add(FolioRef page)
	{
		lock_page(page.get());
		page_[count_++] = page.release();
	}
	folio *operator[](unsigned int i) const { return page_[i]; }
	/* Whether nobody has a reference but names, entries of page tables, and this. */
	bool is_left_alone() const
	{
		for (unsigned int i = 0; i < count_; i++)
			if (foreign_references(page_[i]) > 1)
				return false;
		return true;
	}
	/* Makes all reference counts 0, if they are what a name and this have. False: none is. */
	bool freeze()
	{
		for (unsigned int i = 0; i < count_; i++)
			if (!kapi_folio_freeze(page_[i], name_and_this)) {
				while (i--)
					kapi_folio_unfreeze(page_[i], name_and_this);
				return false;
			}
		return true;
	}
	/* Behind freeze(): they have lost their names. */
	void unfreeze()
	{
		for (unsigned int i = 0; i < count_; i++)
			kapi_folio_unfreeze(page_[i], 1);
	}

private:
	static constexpr int name_and_this = 2;

	unsigned int count_ = 0;
	folio *page_[KAPI_LARGE_PAGES];
};

Collapsed Pages::may_collapse(Index first) const
{
	const Rcu rcu;

	for (Index at = first; at <= last_of_block(first); at++) {
		const Entry entry = tree_.at(at);
		folio *const page = entry.page();

		if (!entry)
			return Collapsed::sparse;
		if (page ? !owns(page) : !entry.slot() || !entry.slot()->is_of(home_))
			return Collapsed::shared;
		if (page && kapi_folio_is_large(page))
			return sees_block(first, kapi_folio_whole(page)) ? Collapsed::is_large
			                                                 : Collapsed::busy;
		if (page && kapi_folio_poisoned(page))
			return Collapsed::poisoned;
	}
	return Collapsed::done;
}

int Pages::node_of(Index index) const
{
	const FolioRef page = get(index);

	return page ? kapi_folio_node(page.get()) : KAPI_ANY_NODE;
}

Collapsed Pages::lock_block(Index first, Block &block)
{
	if (const Collapsed result = may_collapse(first); result != Collapsed::done)
		return result;
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++) {
		FolioRef page = get(first + i);

		if (!page)
			return Collapsed::busy;
		block.add(std::move(page));
		/* It may have gone out, and another have come in, until it was locked. */
		if (resident(first + i) != block[i] || !owns(block[i]))
			return Collapsed::busy;
		if (kapi_folio_poisoned(block[i]))
			return Collapsed::poisoned;
	}
	return Collapsed::done;
}

/* Those of the block that are in slots are that no more: what is large has none. */
void Pages::leave_slots(Index first, const Block &block)
{
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++) {
		if (entry_of(first + i) == Entry{block[i]})
			continue;
		if (const Seen seen = see(first + i); seen.slot)
			leave_slot(first + i, seen);
	}
}

/* @large, which has the bytes, is what the object has there. False: somebody has a reference to a page. */
bool Pages::put_in_place(Index first, Block &block, folio *large)
{
	const NoPreemption who_waits_for_it_goes_on;

	if (!block.freeze())
		return false;
	home_.attach_large(large, first);
	{
		const Rcu rcu;

		for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
			tree_.exchange(first + i, Entry{block[i]},
			               Entry{kapi_folio_part(large, i)});
	}
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		detach(block[i]);
	block.unfreeze();
	return true;
}

Collapsed Pages::collapse(Index first, FreshLarge &fresh, Block &block)
{
	constexpr int max_tries = 10; /* as MOVE */
	folio *const large = fresh.get();

	if (const Collapsed result = lock_block(first, block); result != Collapsed::done)
		return result;
	/* What will fail is not to cost the mappings. */
	if (!block.is_left_alone())
		return Collapsed::busy;
	unmap(first, last_of_block(first), PrivateCopies::keep);
	if (!block.is_left_alone()) {
		kapi_drain_folio_batches_everywhere(); /* with references to what mlock() had held */
		if (!block.is_left_alone())
			return Collapsed::busy;
	}
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++) {
		if (kapi_folio_copy(kapi_folio_part(large, i), block[i]))
			return Collapsed::poisoned;
		if (kapi_folio_written(block[i]))
			kapi_folio_keep_written(large);
		if (kapi_folio_dirty(block[i]))
			kapi_folio_set_dirty(large);
		kapi_cond_resched();
	}
	leave_slots(first, block);
	for (int tries = 0; !put_in_place(first, block, large); tries++) {
		if (tries == max_tries)
			return Collapsed::busy;
		kapi_cond_resched();
	}

	const FolioRef home = fresh.release();

	add_to_lru(large);
	kapi_count_n(COWMEM_COUNT_pages_allocated, KAPI_LARGE_PAGES);
	kapi_count(COWMEM_COUNT_large_allocated);
	kapi_count(COWMEM_COUNT_large_collapsed);
	free_tables(mapping(), first);
	return Collapsed::done;
}

/* What it locked it lets go of at the end, when the large folio is in its place. */
Collapsed Pages::collapse(Index first, FreshLarge &fresh)
{
	auto *block = new (Gfp::kernel_account) Block;
	const Collapsed result = block ? collapse(first, fresh, *block) : Collapsed::no_memory;

	delete block;
	return result;
}

int Object::collapse(Index first, Collapsed &result)
{
	unsigned long long count = 0;

	result = pages_.may_collapse(first);
	if (result != Collapsed::done)
		return 0;

	/* Before what is out is brought in: what there is little of goes out for it. */
	FreshLarge fresh{kapi_large_alloc_on(pages_.node_of(first))};

	if (!fresh) {
		result = Collapsed::no_memory;
		return 0;
	}
	if (const int err = pages_.swap_in_all(first, last_of_block(first), count)) {
		result = err == -KAPI_ENOMEM ? Collapsed::no_memory : Collapsed::io_error;
		return err == -KAPI_EINTR ? err : 0;
	}
	let_sets_go_first();

	const WriteLock writes{*this};

	if (!writes || !pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};

	result = pages_.collapse(first, fresh);
	return 0;
}

} /* namespace cowmem */
