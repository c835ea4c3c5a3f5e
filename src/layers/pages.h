/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The pages of an object: what it sees at each index (layers/view.h), what changes that, and its
 * lock (layers/object_lock.h).
 *
 * A page is at home with one object or with a family (store/home.h). Only the object may write
 * a page that is at home with it, its own; nobody else has that. Pages of the family are
 * written by none: a write first makes one the object's own (layers/break_cow.cc), by a copy,
 * or, if nobody else can see it, as it is.
 *
 * Invariants:
 *   P1  an entry's page is an order-0 folio, or a part of a large one (store/large.h), uptodate, whose index says where it is, and whose
 *       home is the object, if the tree marks the entry as its own, and else the family. The
 *       entry is a name of it
 *   P2  own_pages() is the number of pages that are at home with the object: those in its tree,
 *       and those that RESTORE left and has not freed yet
 *   P3  what is its own, and in its tree, becomes another's, or goes, only with the lock held
 *       alone; but a page that nobody has a reference to may go out to the store
 *   P4  when remove() returns, no page table maps a removed page as a page of the object, and
 *       none will
 *   P5  a page that is in a slot, without PG_dirty and without a dirty entry in a page table,
 *       has the slot's bytes, but while page-out or PAGEMAP, which have claimed it, take that mark.
 *       What is in no slot is not in the store
 *   P6  a page of the family is mapped read-only everywhere, and nobody has a reference to
 *       write through
 *
 * User memory is never touched with the lock held, since a fault takes it; the order of all
 * locks is in rmap/walk.h.
 */
#ifndef COWMEM_PAGES_H
#define COWMEM_PAGES_H

#include "kernel/minmax.h"
#include "layers/copy_limit.h"
#include "layers/fresh.h"
#include "layers/marks.h"
#include "layers/view.h"
#include "rmap/walk.h"

namespace cowmem {

struct Writer;
class FreshLarge;

/* On whose behalf a page is made an object's own. */
struct Asker {
	/* A fault, whose mapping may say on which node, and stays. */
	const vm_fault *vmf = nullptr;
	/* A fault through an entry; without one there is no reference on the page. */
	Writer *writer = nullptr;
	/* A fatal signal ends a wait for the backing store. */
	bool killable = true;
};

/* What remove() does with the copies that private mappings made of removed pages. */
enum class PrivateCopies : bool { keep, zap };

class Pages : public View {
public:
	/* @space: what limits its pages, or null. */
	Pages(address_space *mapping, cowmem_space *space) : View{mapping, space}
	{
		kapi_users_init(&users_);
	}

	/*
	 * Its family, and if there is none, @family, of which another reference is taken, or, if that
	 * is null, a new one. Null: no memory. Sleeps.
	 */
	Family *have_family(Family *family);
	/* Whether it is a snapshot: it writes nothing. To be called before anybody has a file of it. */
	void set_frozen() { frozen_ = true; }
	bool frozen() const { return frozen_; }
	/*
	 * Whether others may pin its pages to write them for long. Then mappings that may store have
	 * pages of its own only: what becomes the family's is taken out of them. The same.
	 */
	void set_pinnable() { pinnable_ = true; }
	bool pinnable() const { return pinnable_; }
	/* Whether it came of a clone, or is one. The same. */
	void set_of_clone() { __atomic_store_n(&of_clone_, true, __ATOMIC_RELAXED); }
	bool of_clone() const { return __atomic_load_n(&of_clone_, __ATOMIC_RELAXED); }
	/*
	 * Whether its holder may learn, and decide, what of the family's pages is in memory: of a
	 * snapshot, but of one that came of a clone. What one who was given a clone could find out
	 * with that is what others touch.
	 */
	bool oversees() const { return frozen_ && !of_clone(); }
	/* Whether it ever had relatives: then the family has a home. */
	bool has_relatives() const { return __atomic_load_n(&is_member_, __ATOMIC_RELAXED); }
	/* A member it is no more, and nobody keeps it. Sleeps. */
	void leave_family()
	{
		if (family())
			family()->remove(*this);
	}

	Marks &marks() { return marks_; }

	/* --- what changes no page --- */
	/* Has @fresh, which names the same page, at @index in place of @old: whether that was there. Drops the other name. */
	bool exchange(Index index, Entry old, Entry fresh) const;
	/*
	 * A page of its own that is seen there is in its slot no more, which is stale. Page-out is
	 * kept from it, and its home from becoming another: by the page lock, or the object's.
	 */
	void leave_slot(Index index, const Seen &seen);

	/* --- what adds a page --- */
	/*
	 * The page at @index, referenced; where there is none @fresh is put in, with what
	 * is in the store, or zeroes. None: there is none, and @fresh has no page, or the
	 * error. Sleeps.
	 */
	FolioRef get_or_fill(Index index, Fresh &fresh) REQUIRES_SHARED(this)
	{
		FolioRef found = get(index);

		return found || !fresh.page ? std::move(found) : fill(index, fresh);
	}
	/* The same where there probably is none, and @fresh has a page. */
	FolioRef fill(Index index, Fresh &fresh) REQUIRES_SHARED(this);
	/*
	 * Has in memory what is in the store at @index, in @page, and of what follows up to @last
	 * what a read of the backing store can have on the way, on @node, if that is one
	 * (reclaim/swap_in.cc); adds to @count the pages that its holder may know of. 0, -ENOMEM: there is no @page, or no memory;
	 * -EIO, -EINTR: a fatal signal. Sleeps.
	 */
	int swap_in(Index index, Index last, unsigned long long &count, FolioRef page, int node)
		EXCLUDES(this);
	/* The same where the task's policy says on which node. */
	int swap_in(Index index, Index last, unsigned long long &count) EXCLUDES(this)
	{
		return swap_in(index, last, count, FolioRef{kapi_folio_alloc(false)},
		               KAPI_ANY_NODE);
	}
	/* All that is not in memory from @first to @last, one after the other. 0, -ENOMEM, -EIO, -EINTR. Sleeps. */
	int swap_in_all(Index first, Index last, unsigned long long &count) EXCLUDES(this);
	/*
	 * The same for the compressed pages from @first to @last, if only those @in_a_row up to the first that is none, as far as
	 * the lock and memory are to be had at once: how many. Nobody has asked for them yet.
	 */
	unsigned int bring_along(Index first, Index last, int node, bool in_a_row) EXCLUDES(this);

	/*
	 * Has what it sees at @index for its own (layers/break_cow.cc), for @asker. 0, also if it is its own, or nothing;
	 * -ENOMEM, -EIO, -EHWPOISON; -EINTR: a fatal signal, if that may end a wait; -EDQUOT: a CopyLimit. Sleeps.
	 */
	int break_cow(Index index, const Asker &asker = {}) EXCLUDES(this);

	/* --- large folios (layers/large.cc) --- */
	/* Puts @fresh into the holes of the block at @first: that. None, and all is as it was: as fill_leaf(), or memory of it has failed. */
	FolioRef fill_block(Index first, FreshLarge &fresh) REQUIRES_SHARED(this);
	/* Puts @fresh into the leaf of @index: the page there. None, and all is as it was: no hole, no space, no memory for the tree. */
	FolioRef fill_leaf(Index index, FreshLeaf &fresh) REQUIRES_SHARED(this);
	bool bring_home(folio *large, Index first); /* False: memory of it has failed. Sleeps. */
	void send_away(folio *large); /* The reverse, with no part in a tree. Sleeps. */
	/* Whether all of the block at @first is what @large is: under RCU, or with what keeps it so. */
	bool sees_block(Index first, folio *large) const;
	/*
	 * Has the block of @index, all of which is what the large folio @part is of, and which nobody else sees, for its
	 * own as it is, for @writer, if there is one. 0, also if it was; -EAGAIN: it is not so, or somebody has a reference. Sleeps.
	 */
	int try_reuse_block(Index index, folio *part, Writer *writer) REQUIRES_SHARED(this);
	/*
	 * Has the large folio that it has for its own at @index, if that is so, become pages. False: it has
	 * one still, since somebody has a reference, or, unless it @waits, the page lock. Sleeps.
	 */
	bool break_block(Index index, bool waits);
	/* The same of the large folio of the family's that it sees at @index, which all members see as pages then. Reclaim may call this. */
	bool break_shared_block(Index index, bool waits);
	/* The same for all from @first to @last: what somebody has a reference to stays. */
	void break_blocks(Index first, Index last);

	/* --- what takes pages away --- */
	/*
	 * All that is its own becomes the family's, and can be written by none; and @made, which has
	 * nothing and is nobody's yet, has the same tree. What somebody may be writing without a page
	 * table stays its own, and @made has a copy. 0; -ENOMEM, -EINTR, a fatal signal: @made has
	 * nothing, and some is the family's, which does no harm. After protect(). Sleeps.
	 * Of what stays its own, and has the bytes that its last snapshot has, no other copy is made.
	 * (layers/freeze.cc)
	 */
	int freeze(Pages &made) REQUIRES(this);
	/*
	 * None of its own pages is written through a page table any more, until the lock is let
	 * go. False: a fatal signal. Sleeps.
	 */
	[[nodiscard]] bool protect() REQUIRES(this);
	/*
	 * Removes the pages from @first to @last, unmaps that range from every page
	 * table and frees what nobody else sees or references (P4). To be called after
	 * tree().own_way() for both ends. Sleeps.
	 */
	void remove(Index first, Index last, PrivateCopies copies) REQUIRES(this);
	/*
	 * Sees what @target, which is frozen, sees, and nothing else any more. What it saw goes to
	 * @left, an empty tree: that can be freed when the object's faults go on. 0; -EINTR: a
	 * fatal signal, and it sees what it saw, but entries of page tables are gone. Sleeps.
	 */
	[[nodiscard]] int become(const Pages &target, Tree &left) REQUIRES(this);
	/* The same for one part. False: no memory, and it sees what it saw. */
	[[nodiscard]] bool become(const Pages &target, Tree::Part part) REQUIRES(this);
	/* The first part from @from to @last of which this may be to see what @target sees; or first is no_index. */
	Tree::Part next_part(const Pages &target, Index from, Index last) const
	{
		return Tree::next_part(tree_, target.tree_, from, last);
	}
	/* Takes the object's pages from @first to @last out of all page tables; what faults add meanwhile is for the commit rule. Sleeps. */
	void unmap(Index first, Index last, PrivateCopies copies);
	/*
	 * Puts @fresh, with the same bytes, in the place of @old, its own page at @index. Of
	 * @old the page lock and one reference are the caller's, and no page table maps it.
	 * 0; -EAGAIN: somebody else has a reference on it, -EHWPOISON: it is damaged, and
	 * nothing changed. Kernel counterpart: __migrate_folio().
	 */
	int replace(Index index, folio *old, FolioRef &fresh) REQUIRES(this);
	/* Frees all, of what no file and no mapping can reach any more. Sleeps. */
	void remove_all();

	/* No other object has or had it; of a snapshot, a greater one than those that were taken before. */
	unsigned long number() const { return __atomic_load_n(&number_, __ATOMIC_RELAXED); }
	/* Of a snapshot: its limit, and what counts for that. */
	const Counted &counted() const { return counted_; }
	/*
	 * This snapshot, which nobody has yet, is the youngest, and counts what @origin leaves to it;
	 * that is nothing, if @origin is one, too. With @origin's lock held alone.
	 */
	void count_for(Pages &origin, CopyLimit limit)
	{
		__atomic_store_n(&number_, next_number(), __ATOMIC_RELAXED);
		if (origin.frozen_)
			return;
		counted_.origin = origin.number_;
		counted_.limit = limit;
		if (limit.max != ~0UL)
			origin.limits_.add();
	}
	/* Has a snapshot given up, because of its limit: it sees nothing any more. Sleeps. */
	void drop() EXCLUDES(this);
	/* Whether it was. With the lock held, if it is to stay so. */
	bool dropped() const { return __atomic_load_n(&dropped_, __ATOMIC_RELAXED); }

private:
	friend class Check; /* testing/check.cc */
	friend class Family;
	friend class Members;
	friend class Object;
	friend class CopyLimits;
	friend class CopyLimits::Leaving;

	static unsigned long next_number();
	/* Where a page that fills a hole is at home. */
	Home &home_of_new() { return frozen_ ? *family()->home() : home_; }
	FolioRef fill_hole(Index index, Fresh &fresh) REQUIRES_SHARED(this);
	FolioRef fill_slot(Index index, Seen &seen, Fresh &fresh) REQUIRES_SHARED(this);
	bool bring_one_along(Index index, int node) REQUIRES_SHARED(this);
	int put(Index index, Entry old, Entry entry, bool own, const Home *payer, bool ahead);
	bool put_leaves(Index index, folio *first, unsigned int count) REQUIRES_SHARED(this);
	void adopt(Index index, const Seen &seen) REQUIRES_SHARED(this);
	void forget_poisoned(Index first, Index last) REQUIRES(this);
	void break_edge(Index index) REQUIRES(this);
	void mark_changed(Index first, Index last) REQUIRES(this);
	int try_replace(Index index, folio *old, folio *page) REQUIRES(this);
	/* layers/break_cow.cc */
	int try_reuse(Index index, const Seen &seen, Writer *writer) REQUIRES_SHARED(this);
	int try_copy(Index index, const Seen &seen, const Asker &asker) EXCLUDES(this);
	void put_in_front(Index index, const Seen &seen, folio *page, Writer *writer)
		REQUIRES_SHARED(this);
	void reuse_around(Index index, Writer *writer) REQUIRES_SHARED(this);
	/* layers/freeze.cc */
	struct Kept;
	static bool is_kept(Index index, folio *page, const Kept *kept);
	void give_away(Index index, folio *page, const StoreSlot *slot) REQUIRES(this);
	int freeze_one(Index index, Tree::OwnWalk &walk, Kept *&kept) REQUIRES(this);
	Seen last_copy(Index index) const REQUIRES(this);
	bool share_copy(Index index, folio *page, Entry &copy) REQUIRES(this);
	int make_copy(Index index, folio *page, Entry &copy) REQUIRES(this);
	int put_copy(Index index, folio *page, Kept *&kept) REQUIRES(this);
	int put_back(folio *page) REQUIRES(this);
	void clear_marks(Index last) REQUIRES(this);

	Marks marks_;
	bool frozen_ = false;
	bool pinnable_ = false;
	bool of_clone_ = false;
	bool dropped_ = false;
	unsigned long number_ = next_number();
	Counted counted_;
	CopyLimits limits_;

	/* Of the family, which alone changes them. */
	bool is_member_ = false, has_left_ = false;
	Pages *next_member_ = nullptr, *previous_member_ = nullptr;
	kapi_users users_;
};

} /* namespace cowmem */

#endif /* COWMEM_PAGES_H */
