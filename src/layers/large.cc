// SPDX-License-Identifier: GPL-2.0
/* Large folios of an object (store/large.h). */
#include "layers/viewers.h"
#include "rmap/unmap.h"
#include "rmap/visitors.h"
#include "store/large.h"

namespace cowmem {

namespace {

/*
 * A fault that maps a part without the page lock, and began before this, has its page table locked, and is done
 * behind it. In a frame of its own, since a debug kernel pads what is in it.
 */
[[gnu::noinline]] void wait_for_faults(address_space *mapping, Index first, folio *large)
{
	const ObjectMappings mappings{mapping};

	for (unsigned int n = 0; n < KAPI_LARGE_PAGES; n += Batch::max) {
		UNINITIALIZED Batch batch{first + n, Batch::max};
		Inspect seen;

		for (unsigned int i = 0; i < batch.count; i++)
			batch.page[i] = kapi_folio_part(large, n + i);
		walk(mappings, batch, seen);
	}
}

} /* namespace */

/*
 * Has the tree have @first, and the pages behind it in memory, as many as @count leaves have, from @index on. False: some are
 * there by now, or there is no space, or no memory: for a block none is waited for, as others wait for their turn.
 */
bool Pages::put_leaves(Index index, folio *first, unsigned int count)
{
	UNINITIALIZED Tree::Spare spare;
	Node *leaf[KAPI_LARGE_PAGES / Node::entries];
	unsigned int made = 0;
	const bool waits = count == 1;

	for (; made < count && (leaf[made] = Node::create(true, waits)); made++)
		for (unsigned int i = 0; i < Node::entries; i++) {
			leaf[made]->set(i, Entry{kapi_folio_part(first, made * Node::entries + i)});
			leaf[made]->set_own(i);
		}
	while (made == count) {
		const Tree::Change change = tree_.put_leaves(index, leaf, count, home_, spare);

		if (change == Tree::Change::done)
			return true;
		if (change != Tree::Change::no_memory || !waits ||
		    !tree_.fill(spare, max_of(index, Index{Node::entries})))
			break;
	}
	while (made)
		kapi_node_free(leaf[--made]);
	return false;
}

/* Memory that fails behind this, memory_failed() finds at home. */
bool Pages::bring_home(folio *large, Index first)
{
	home_.attach_large(large, first);
	kapi_smp_mb(); /* the kernel marks what has failed before memory_failed() looks for the home */
	if (!kapi_large_has_failed(large))
		return true;
	send_away(large);
	return false;
}

void Pages::send_away(folio *large)
{
	const PageLock lock{large}; /* with memory_failed() */

	home_.unattach_large(large);
}

FolioRef Pages::fill_block(Index first, FreshLarge &fresh)
{
	folio *const large = fresh.get();

	note_write(large);
	if (!bring_home(large, first))
		return {};
	if (!put_leaves(first, large, KAPI_LARGE_PAGES / Node::entries)) {
		send_away(large);
		return {};
	}

	FolioRef filled = fresh.release();

	add_to_lru(large);
	kapi_count_n(COWMEM_COUNT_pages_allocated, KAPI_LARGE_PAGES);
	kapi_count(COWMEM_COUNT_large_allocated);
	return filled;
}

FolioRef Pages::fill_leaf(Index index, FreshLeaf &fresh)
{
	const Index first = first_of_leaf(index);

	for (unsigned int i = 0; i < KAPI_LEAF_PAGES; i++) {
		note_write(fresh.page(i));
		home_.attach(fresh.page(i), first + i);
		kapi_folio_get(fresh.page(i));
	}
	if (!put_leaves(first, fresh.page(0), 1)) {
		for (unsigned int i = 0; i < KAPI_LEAF_PAGES; i++) {
			home_.unattach(fresh.page(i));
			kapi_folio_put(fresh.page(i));
		}
		return {};
	}
	kapi_count_n(COWMEM_COUNT_pages_allocated, KAPI_LEAF_PAGES);
	kapi_count(COWMEM_COUNT_leaves_filled);

	FolioRef wanted;

	for (unsigned int i = 0; i < KAPI_LEAF_PAGES; i++) {
		FolioRef page = fresh.release();

		add_to_lru(page.get());
		if (first + i == index)
			wanted = std::move(page);
	}
	return wanted;
}

bool Pages::sees_block(Index first, folio *large) const
{
	Tree::Walk walk{tree_, first, first + KAPI_LARGE_PAGES - 1};

	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		if (walk.next() != kapi_folio_part(large, i))
			return false;
	return true;
}

/*
 * As try_reuse(): that nobody else can come to the entries is seen before it is seen that nobody has come by them.
 */
int Pages::try_reuse_block(Index index, folio *part, Writer *writer)
{
	folio *const large = kapi_folio_whole(part);
	const Index first = first_of_block(index);
	const bool held = writer && kapi_folio_whole(writer->held) == large;
	const int known = 1 + held;
	unsigned int own = 0;

	/* Who pages it out has the page lock for long. */
	if (!tree_.may_be_alone(first) || kapi_folio_all_names(large) != KAPI_LARGE_PAGES)
		return -KAPI_EAGAIN;

	const PageLock lock{large};

	if (owns(large))
		return 0;
	for (unsigned int i = 0; i < KAPI_LARGE_PAGES; i++)
		if (!tree_.may_be_alone(first + i) ||
		    entry_of(first + i) != Entry{kapi_folio_part(large, i)})
			return -KAPI_EAGAIN;
	if (kapi_folio_all_names(large) != KAPI_LARGE_PAGES || kapi_large_poisoned(large))
		return -KAPI_EAGAIN;
	wait_for_faults(mapping(), first, large);
	if (foreign_references(large) > known)
		return -KAPI_EAGAIN;
	while (own < KAPI_LARGE_PAGES &&
	       tree_.set_own(first + own, Entry{kapi_folio_part(large, own)}))
		own++;
	if (own < KAPI_LARGE_PAGES) {
		while (own--)
			tree_.clear_own(first + own);
		return -KAPI_EAGAIN;
	}
	home_.take(large, nullptr);
	kapi_count_n(COWMEM_COUNT_pages_taken_over, KAPI_LARGE_PAGES);
	return 0;
}

namespace {

/* The large folio that @part, which may be none, is of, if it is at home in @home. */
FolioRef large_of(const FolioRef &part, const Home *home)
{
	if (!part || !home || !kapi_folio_is_large(part.get()) || !home->owns(part.get()))
		return {};
	kapi_folio_get(part.get());
	return FolioRef{kapi_folio_whole(part.get())};
}

/* Has @large become pages, if it is at home in @home still, and mapped nowhere behind @unmap, with the page lock held. */
template <class Unmap>
bool lock_and_break(folio *large, const Home &home, bool waits, Unmap unmap)
{
	if (!kapi_folio_trylock(large)) {
		if (!waits)
			return false;
		lock_page(large);
	}

	bool broken = home.owns(large) && kapi_folio_is_large(large);

	if (broken) {
		unmap();
		broken = break_large(large);
	}
	kapi_folio_unlock(large);
	return broken;
}

} /* namespace */

bool Pages::break_block(Index index, bool waits)
{
	const FolioRef large = large_of(get(index), &home_);

	return !large || lock_and_break(large.get(), home_, waits, [] {});
}

namespace {

/*
 * Takes out all entries that map parts of @large, which is at home in @home. In a frame of its own, as above. What is not a part, but a member's own, stays mapped.
 */
[[gnu::noinline]] void unmap_parts(const Home &home, folio *large)
{
	for (unsigned int n = 0; n < KAPI_LARGE_PAGES; n += Batch::max) {
		UNINITIALIZED Batch batch{kapi_folio_index(large) + n, Batch::max};
		Unmap<Leave::nothing> unmap{{.mlock = false, .access = true}};

		for (unsigned int i = 0; i < batch.count; i++)
			batch.page[i] = kapi_folio_part(large, n + i);
		walk_viewers(home, batch, unmap);
	}
}

} /* namespace */

/*
 * Who maps it again, or makes another name of a part, has a reference from before until there is an entry, or a
 * name: then the references are more than was counted, or the names are (break_large()).
 */
bool Pages::break_shared_block(Index index, bool waits)
{
	constexpr int known = 1;
	const Home *const home = shared_home();
	const FolioRef large = large_of(get(index), home);

	if (!large)
		return true;
	/* What will fail is not to cost the mappings. */
	if (foreign_references(large.get()) > known)
		return false;
	return lock_and_break(large.get(), *home, waits, [&] { unmap_parts(*home, large.get()); });
}

void Pages::break_blocks(Index first, Index last)
{
	for (Index at = first; at <= last && (at = next_resident(at, last)) != no_index; at++) {
		break_block(at, true);
		/* Of what is small now, or stays large, all of the block is seen to be so. */
		at = last_of_block(at);
		if (at == no_index)
			break;
	}
}

/* Of the block that @index is in some pages have gone: what else it has is to be all that it takes. */
void Pages::break_edge(Index index)
{
	const Index last = last_of_block(index);

	for (Index at = first_of_block(index); (at = next_resident(at, last)) != no_index; at++) {
		if (!is_large(at))
			continue;
		break_block(at, true);
		return;
	}
}

} /* namespace cowmem */
