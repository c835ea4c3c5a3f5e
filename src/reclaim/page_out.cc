// SPDX-License-Identifier: GPL-2.0
/* Page-out (reclaim/page_out.h). */
#include "reclaim/page_out.h"
#include "store/store.h"
#include "layers/viewers.h"
#include "rmap/unmap.h"
#include "rmap/visitors.h"

namespace cowmem {

namespace {

/*
 * Allocations dip into the reserves for a scope, as in reclaim_pages(): what little they
 * take lets more go, and reclaim must not come here again.
 */
class NoReclaim {
public:
	NoReclaim() : before_{kapi_no_reclaim_begin()} {}
	~NoReclaim() { kapi_no_reclaim_end(before_); }
	NoReclaim(const NoReclaim &) = delete;
	NoReclaim &operator=(const NoReclaim &) = delete;

private:
	const unsigned int before_;
};

/* The right to page a page out, which is one's alone, and a reference on it. */
class Claim {
public:
	Claim() = default;
	~Claim() { give_up(); }
	Claim(const Claim &) = delete;
	Claim &operator=(const Claim &) = delete;

	explicit operator bool() const { return static_cast<bool>(page_); }
	folio *get() const { return page_.get(); }

	/* Whether it could be had. */
	bool take(folio *page)
	{
		if (!kapi_folio_try_begin_page_out(page))
			return false;
		kapi_folio_get(page);
		page_ = FolioRef{page};
		return true;
	}
	void give_up()
	{
		if (page_)
			kapi_folio_end_page_out(page_.get());
		page_ = {};
	}

private:
	FolioRef page_;
};

/* What a page that is on its way out has in the store. */
enum class Copy : unsigned char {
	good,   /* its slot has its bytes */
	wanted, /* it has no good slot yet, and PG_dirty, if it was set, is taken */
	made,   /* its slot was just set, and has its bytes */
	none,   /* the store did not take them */
};

/* What protect() took from entries, of which there are mostly no more than pages. */
class Taken {
public:
	void add(const pte_t *entry, Pte before)
	{
		if (count_ < Batch::max)
			change_[count_++] = {entry, before};
	}
	/* What @entry was, if that is as it was left; or null. */
	const Pte *before(const pte_t *entry, Pte now) const
	{
		for (unsigned int i = 0; i < count_; i++)
			if (change_[i].entry == entry &&
			    change_[i].before.cleaned().value() == now.value())
				return &change_[i].before;
		return nullptr;
	}
	explicit operator bool() const { return count_; }

private:
	struct Change {
		const pte_t *entry; /* only to know it again: it may be gone */
		Pte before;
	};
	unsigned int count_ = 0;
	Change change_[Batch::max];
};

/* Clean, which notes what it takes. */
struct CleanAndNote : Clean {
	explicit CleanAndNote(Taken &notes) : taken{notes} {}

	bool visit(FoundPte &found)
	{
		if (!Clean::visit(found))
			return false;
		taken.add(found.ptep, found.pte);
		return true;
	}

	Taken &taken;
};

/*
 * Makes entries bit for bit what they were before that, where nothing has happened to them or to
 * the object meanwhile. Code that forbids or tracks stores changes the VMA first, and the entries
 * then.
 */
struct Return : Visitor {
	Return(const Taken &notes, const Pages &object, ObjectLock::Reading when)
		: taken{notes}, pages{object}, reading{when}
	{
	}

	bool enters(const vm_area_struct *vma) { return VmFlags{vma}.shared(); }

	bool visit(FoundPte &found)
	{
		const Pte *before = taken.before(found.ptep, found.pte);

		if (!before || (before->writable() && !may_be_writable(found.vma, *before)) ||
		    !pages.may_commit(reading))
			return false;
		found.pte = Pte{kapi_pte_get_and_clear(found.vma, found.address, found.ptep)};
		/* The CPU may have made it young since it was looked at. */
		if (before == taken.before(found.ptep, found.pte))
			found.pte = *before;
		return true;
	}

	void settle(const FoundPte &found)
	{
		kapi_pte_set(found.vma, found.address, found.ptep, found.pte.value());
		kapi_update_mmu_cache(found.vma, found.address, found.ptep);
	}

	const Taken &taken;
	const Pages &pages;
	const ObjectLock::Reading reading;

private:
	/* Where soft-dirty bits are tracked by now, only an entry that has its bit. */
	static bool may_be_writable(const vm_area_struct *vma, Pte before)
	{
		return before.soft_dirty() ? VmFlags{vma}.may_store()
		                           : may_store_untold(VmFlags{vma}, kapi_vma_mm(vma));
	}
};

/* The counter of what an unmapping came to; null: it was done. */
unsigned long *why_it_stays(Unmapped unmapped, PagedOut &result)
{
	switch (unmapped) {
	case Unmapped::mlocked:
		return &result.mlocked;
	case Unmapped::young:
		return &result.accessed;
	case Unmapped::tracked:
		return &result.tracked;
	case Unmapped::again:
		return &result.busy;
	case Unmapped::success:
		break;
	}
	return nullptr;
}

/*
 * Neighbouring pages on their way out; at each step, some drop out. What has a batch of its own has
 * a frame of its own, too: a debug kernel pads both.
 */
class Cluster {
public:
	/*
	 * Of those that are at home in @home; @stores: also what has no good slot yet. Pages of a large folio stay,
	 * and are counted in @large.
	 */
	Cluster(Pages &pages, Home &home, Index first, Index last, const PageOut &how, bool stores,
	        unsigned long &large, PagedOut &result)
		: pages_{pages},
		  home_{home},
		  first_{first},
		  count_{static_cast<unsigned int>(last - first + 1)},
		  how_{how},
		  stores_{stores},
		  result_{result},
		  large_{large}
	{
	}
	~Cluster()
	{
		for (unsigned int i = 0; i < count_; i++)
			give_up(i);
	}
	Cluster(const Cluster &) = delete;
	Cluster &operator=(const Cluster &) = delete;

	/* Whether there is something to do about any page. */
	bool select();
	/* Has none of them used any more, and counts those that were. */
	void forget_uses()
	{
		if (claim_all())
			spare_accessed();
	}
	void store();
	void remove();
	/* Whether it got slots for pages that relatives see, of which none left. */
	bool was_in_vain() const { return home_.is_shared() && stored_ && result_.out == out_; }

private:
	bool claim_all();
	bool is_named(unsigned int i) const { return how_.named >> i & 1; }
	bool may_take(const Seen &seen, unsigned int i) const;
	SlotRef find_slot(Index index, const folio *page) const;
	void note_refused(unsigned int i);
	void stored(unsigned int i, Put result);
	void refuse(unsigned int i, unsigned long &why);
	[[gnu::noinline]] void stay();
	[[gnu::noinline]] void writeback(const Put *refused);
	bool was_used(unsigned int i, bool young) const;
	/* Whether it was refused, and not written since: nothing of that has to be done again. */
	bool is_hopeless(unsigned int i, bool written) const
	{
		const folio *page = claim_[i].get();

		return !slot_[i] && !written && !has_backing_ && kapi_folio_refused(page) &&
		       !kapi_folio_dirty(page);
	}
	[[gnu::noinline]] void spare_accessed();
	bool has_room_for(unsigned int i) const
	{
		return has_backing_ || cowmem::store.has_room_for(claim_[i].get());
	}
	void spare_those_without_room();
	[[gnu::noinline]] void spare_those_that_would_stay();
	void protect();
	void spare_pinned();
	bool lock(unsigned int i);
	bool put_into_slot(unsigned int i);
	bool exchange(const Pages &pages, unsigned int i, Entry old) const;
	bool may_be_in_tlbs() const;
	bool take_out(unsigned int i);
	void drop_stale_slot(unsigned int i) const;
	void finish(unsigned int i, Unmapped unmapped);

	void give_up(unsigned int i)
	{
		if (claim_[i])
			drop_stale_slot(i);
		claim_[i].give_up();
	}
	/* The page is done with; @why is the counter that says how. */
	void drop(unsigned int i, unsigned long &why)
	{
		why++;
		give_up(i);
	}

	/* What is left, for a walk. */
	void fill(Batch &batch) const
	{
		for (unsigned int i = 0; i < count_; i++)
			batch.page[i] = claim_[i].get();
	}

	Pages &pages_;
	Home &home_;
	const ObjectLock::Reading reading_ = pages_.read();
	const Index first_;
	const unsigned int count_;
	const PageOut &how_;
	const bool stores_;
	PagedOut &result_;
	unsigned long &large_;
	const bool has_backing_ = backing.serves(!how_.waits);
	const unsigned long out_ = result_.out;
	bool stored_ = false;
	Claim claim_[Batch::max];
	SlotRef slot_[Batch::max]; /* the page's, or what store() made */
	Copy copy_[Batch::max] = {};
	Taken taken_;
};

/*
 * A page of the object's own whose slot has other bytes needs no memory for both. Where it cannot
 * leave that now, PG_dirty, which may have been taken, says so; in no slot it need not, and then
 * PAGEMAP is not told of a write that was none. What is shared is not written: without a slot it
 * is not in the store, whatever it says.
 */
void Cluster::drop_stale_slot(unsigned int i) const
{
	folio *page = claim_[i].get();
	const bool stale = copy_[i] == Copy::wanted || copy_[i] == Copy::none;

	if (home_.is_shared() || (!stale && !kapi_folio_dirty(page)))
		return;
	if (!kapi_folio_trylock(page)) {
		if (stale)
			kapi_folio_set_dirty(page);
		return;
	}

	const Seen seen = pages_.see(first_ + i);

	if (seen.slot && seen.page.get() == page && home_.owns(page) &&
	    (stale || kapi_folio_dirty(page)))
		pages_.leave_slot(first_ + i, seen);
	kapi_folio_unlock(page);
}

/* Whether it is at home in the cluster's home, and for the caller to take. */
bool Cluster::may_take(const Seen &seen, unsigned int i) const
{
	return is_named(i) && seen.page && home_.owns(seen.page.get()) &&
	       (how_.shared || !home_.is_shared() ||
	        (kapi_folio_names(seen.page.get()) == 1 && pages_.tree().may_be_alone(first_ + i)));
}

/* The slot that a page of the family is in for some member, or none. */
SlotRef Cluster::find_slot(Index index, const folio *page) const
{
	for (Members at{static_cast<SharedHome &>(home_).family()}; at; at.next()) {
		Seen seen = at->see(index);

		if (seen.slot && seen.page.get() == page)
			return std::move(seen.slot);
	}
	return {};
}

bool Cluster::claim_all()
{
	bool some = false;

	for (unsigned int i = 0; i < count_; i++) {
		Seen seen = pages_.see(first_ + i);
		folio *page = seen.page.get();
		constexpr int known = 1;

		if (!may_take(seen, i))
			continue;
		kapi_test_step(COWMEM_STEP_CLAIMS, nullptr);
		if (kapi_folio_poisoned(page))
			result_.poisoned++;
		else if (kapi_folio_is_large(page))
			large_++;
		else if (kapi_folio_mlocked(page))
			result_.mlocked++;
		else if (foreign_references(page) > known || !claim_[i].take(page))
			result_.busy++;

		/* Whoever had claimed it until now may have had it leave its slot, which is stale then. */
		if (claim_[i] && (seen = pages_.see(first_ + i)).page.get() != page) {
			claim_[i].give_up();
			result_.busy++;
		}
		some |= static_cast<bool>(claim_[i]);
		slot_[i] = std::move(seen.slot);
		/* Where a leaf was being copied the page may be in its slot for others only. */
		if (claim_[i] && home_.is_shared() && !slot_[i] && kapi_folio_names(page) > 1)
			slot_[i] = find_slot(first_ + i, page);
	}
	return some;
}

/*
 * In reclaim, what was used when it came by stays once more when it was not, as it may be used now and then; but what was read ahead,
 * which who reads in order uses as he comes by, goes, unless it is used after that. So a hot set outlives a scan. Kernel counterpart:
 * folio_check_references().
 */
bool Cluster::was_used(unsigned int i, bool young) const
{
	folio *page = claim_[i].get();
	const bool used = kapi_folio_take_referenced(page) || young;

	if (how_.forgets) {
		kapi_folio_take_working(page);
		kapi_folio_take_ahead(page);
	}
	if (how_.waits)
		return used;
	if (!used)
		return kapi_folio_take_working(page);
	if (kapi_folio_take_ahead(page))
		return false;
	kapi_folio_mark_working(page);
	return true;
}

/*
 * A page that somebody has locked is being used, and is not waited for (R66). PG_referenced tells
 * of uses that page tables do not tell of, or not any more.
 */
void Cluster::spare_accessed()
{
	Batch batch{first_, count_};
	bool locked[Batch::max];
	Referenced found;

	for (unsigned int i = 0; i < count_; i++) {
		locked[i] = claim_[i] && kapi_folio_trylock(claim_[i].get());
		batch.page[i] = locked[i] ? claim_[i].get() : nullptr;
	}
	walk_viewers(home_, batch, found);
	for (unsigned int i = 0; i < count_; i++) {
		if (locked[i])
			kapi_folio_unlock(claim_[i].get());
		if (claim_[i] && (!locked[i] || was_used(i, found.young[i])))
			drop(i, result_.accessed);
		else if (claim_[i] && is_hopeless(i, found.written[i]))
			drop(i, result_.incompressible);
	}
}

void Cluster::protect()
{
	Batch batch{first_, count_};
	CleanAndNote found{taken_};

	fill(batch);
	clean(batch, found, [&] { walk_viewers(home_, batch, found); });
	for (unsigned int i = 0; i < count_; i++) {
		if (!claim_[i])
			continue;
		kapi_folio_forget_refused(claim_[i].get());
		if (found.dirty[i])
			kapi_folio_keep_written(claim_[i].get());
		if (found.dirty[i] || !slot_[i])
			copy_[i] = Copy::wanted;
	}
}

/*
 * Who pins a page to write it for long says so as the page is pinned, and need not when it is let go (io_uring).
 * What was pinned before protect() took that is found here, or was let go, with all that was written: a
 * pin that comes later leaves a mark again.
 */
void Cluster::spare_pinned()
{
	constexpr int known = 1;

	if (home_.is_shared() || !pages_.pinnable())
		return;
	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i] && foreign_references(claim_[i].get()) > known)
			drop(i, result_.busy);
	kapi_smp_rmb(); /* the references before the bytes */
}

/*
 * Where there is no room only pages go whose slots are good. That is known before anything is
 * write-protected.
 */
void Cluster::spare_those_without_room()
{
	const bool may_have_more = home_.slot_count() < how_.max_slots;

	for (unsigned int i = 0; i < count_; i++) {
		if (!claim_[i] || (slot_[i] && !kapi_folio_dirty(claim_[i].get())))
			continue;
		if ((!slot_[i] && !may_have_more) || !has_room_for(i))
			drop(i, result_.full);
	}
}

/*
 * What is shared keeps the slot that it gets, and then both are charged, beyond any limit: that is
 * for what will leave.
 */
void Cluster::spare_those_that_would_stay()
{
	if (!home_.is_shared())
		return;

	Batch batch{first_, count_};
	Foresee found;

	fill(batch);
	walk_viewers(home_, batch, found);
	for (unsigned int i = 0; i < count_; i++) {
		if (!claim_[i])
			continue;
		if (unsigned long *why = why_it_stays(found.becomes[i], result_))
			drop(i, *why);
		else if (!stores_ && !slot_[i])
			drop(i, result_.busy);
	}
}

bool Cluster::select()
{
	/* While a task takes pages from the object, or freezes it, none would go: reclaim does not wait. */
	if (!how_.waits && may_be_in_tlbs())
		return false;
	if (!claim_all())
		return false;
	if (!how_.accessed)
		spare_accessed();
	spare_those_without_room();
	spare_those_that_would_stay();
	kapi_test_step(COWMEM_STEP_CLAIMED, nullptr);
	protect();
	spare_pinned();
	for (const Claim &claim : claim_)
		if (claim)
			return true;
	return false;
}

/* @why is the counter that says so. */
void Cluster::refuse(unsigned int i, unsigned long &why)
{
	why++;
	copy_[i] = Copy::none;
}

/* The page is marked only while it is at home, which takes the mark off when the page leaves. */
void Cluster::note_refused(unsigned int i)
{
	folio *page = claim_[i].get();

	if (!kapi_folio_trylock(page))
		return;
	if (home_.owns(page))
		kapi_folio_set_refused(page);
	kapi_folio_unlock(page);
}

/* How storing a page ended. */
void Cluster::stored(unsigned int i, Put result)
{
	switch (result) {
	case Put::stored:
		stored_ = true;
		return kapi_count(COWMEM_COUNT_pages_stored);
	case Put::incompressible:
		kapi_count(COWMEM_COUNT_pages_incompressible);
		note_refused(i);
		return drop(i, result_.incompressible);
	case Put::full:
		return refuse(i, result_.full);
	case Put::no_memory:
		return refuse(i, result_.no_memory);
	case Put::io_error:
		kapi_count(COWMEM_COUNT_backing_errors);
		return refuse(i, result_.io_error);
	}
}

/*
 * Those that memory refused go to the backing store, together. In memory reclaim only
 * to a block device, as swap does; a file system could wait for the one who reclaims.
 */
void Cluster::writeback(const Put *refused)
{
	Transfer transfer[Batch::max];
	Put result[Batch::max];
	{
		const Together together;

		for (unsigned int i = 0; i < count_; i++)
			if (refused[i] != Put::stored)
				result[i] = cowmem::store.writeback(claim_[i].get(), slot_[i],
				                                    transfer[i], !how_.waits);
	}
	for (unsigned int i = 0; i < count_; i++) {
		if (refused[i] == Put::stored)
			continue;
		if (result[i] == Put::stored) {
			const bool well = !transfer[i].wait(Wait::to_the_end);

			backing.wrote(well);
			if (well)
				kapi_count(COWMEM_COUNT_backing_written);
			else
				result[i] = Put::io_error;
		}
		stored(i, result[i]);
	}
}

/* What the store did not take stays, and nothing tells that it was to go. */
void Cluster::stay()
{
	Batch batch{first_, count_};
	bool some = false;

	for (unsigned int i = 0; i < count_; i++) {
		const bool stays = claim_[i] && copy_[i] == Copy::none;

		batch.page[i] = stays ? claim_[i].get() : nullptr;
		some |= stays;
	}
	if (some && taken_ && reading_.quiet()) {
		Return returned{taken_, pages_, reading_};

		walk_viewers(home_, batch, returned);
	}
	for (unsigned int i = 0; i < count_; i++)
		if (batch.page[i])
			give_up(i);
}

void Cluster::store()
{
	unsigned long slots = home_.slot_count();
	Put refused[Batch::max] = {}; /* not `stored`: by memory, why */
	bool some = false;

	for (unsigned int i = 0; i < count_; i++) {
		if (!claim_[i] || copy_[i] != Copy::wanted)
			continue;

		const bool more = !slot_[i];

		if (slots >= how_.max_slots && more) {
			stored(i, Put::full);
			continue;
		}

		slot_[i] = {};

		const Put result = cowmem::store.put(claim_[i].get(), slot_[i], !how_.waits);

		if (has_backing_ && (result == Put::incompressible || result == Put::full)) {
			refused[i] = result;
			some = true;
		} else {
			stored(i, result);
		}
		slots += claim_[i] && copy_[i] == Copy::wanted && more;
		kapi_cond_resched();
	}
	if (some)
		writeback(refused);
	kapi_test_step(COWMEM_STEP_STORED, nullptr);
	stay();
}

/*
 * Has what names the page at its place in @pages' tree, @old, name the slot instead: whether that was
 * there. The page is locked.
 */
bool Cluster::exchange(const Pages &pages, unsigned int i, Entry old) const
{
	StoreSlot *slot = slot_[i].get();

	kapi_ref_get(&slot->references);
	/* What is dropped is not the page's last name, so that its lock is not taken again. */
	return pages.exchange(first_ + i, old, Entry{slot});
}

/* Whether the slot is the page's only name then. */
bool Cluster::put_into_slot(unsigned int i)
{
	folio *page = claim_[i].get();

	if (copy_[i] != Copy::good) {
		/* Without a name it is just leaving its home. */
		kapi_folio_get(page);
		if (!kapi_folio_try_add_name(page)) {
			kapi_folio_put(page);
			return false;
		}
		slot_[i]->hold(page);
		copy_[i] = Copy::made;
	}
	if (!home_.is_shared()) {
		const Seen seen = pages_.see(first_ + i);

		const bool is_there = seen.page.get() == page;

		if (copy_[i] != Copy::made)
			return (!is_there || seen.slot.get() == slot_[i].get()) &&
			       kapi_folio_names(page) == 1;
		/* What is not in the tree may be kept until the page is at home elsewhere, which never counted it. */
		if (!is_there || !exchange(pages_, i, seen.entry))
			slot_[i]->uncount(home_);
		else if (seen.slot)
			seen.slot->uncount(home_);
	} else if (kapi_folio_names(page) > 1) {
		for (Members at{static_cast<SharedHome &>(home_).family()}; at; at.next())
			exchange(*at, i, Entry{page});
	}
	return kapi_folio_names(page) == 1;
}

/* Locks what is still a page of the home, and puts it into its slot. */
bool Cluster::lock(unsigned int i)
{
	folio *page = claim_[i].get();

	if (how_.waits)
		lock_page(page);
	else if (!kapi_folio_trylock(page))
		return false;
	if (home_.owns(page) && !kapi_folio_poisoned(page) && put_into_slot(i))
		return true;
	kapi_folio_unlock(page);
	return false;
}

/*
 * Who freezes the object, or has it become another, changes the entries of its own pages first,
 * and flushes TLBs behind the last: until then a page that no entry maps may be written. Whoever
 * begins to after this finds no entry of it.
 */
bool Cluster::may_be_in_tlbs() const
{
	kapi_smp_mb();
	return !home_.is_shared() && !(reading_.quiet() && pages_.unchanged(reading_));
}

/* Takes a page that is mapped nowhere out of its slot. False: somebody has a reference, or has written it. */
bool Cluster::take_out(unsigned int i)
{
	constexpr int slot_and_claim = 2;
	folio *page = claim_[i].get();
	{
		const NoPreemption who_waits_for_it_goes_on;

		if (!kapi_folio_freeze(page, slot_and_claim))
			return false;
		if (kapi_folio_dirty(page) || kapi_folio_poisoned(page) || may_be_in_tlbs()) {
			kapi_folio_unfreeze(page, slot_and_claim);
			return false;
		}
		slot_[i]->set_written(kapi_folio_written(page));
		slot_[i]->go_out(home_);
		leave_home(page);
		kapi_folio_unfreeze(page, 1);
	}
	kapi_lru_del(page);
	kapi_count(COWMEM_COUNT_pages_paged_out);
	return true;
}

/* The page was unmapped, or not, and why. */
void Cluster::finish(unsigned int i, Unmapped unmapped)
{
	folio *page = claim_[i].get();
	const bool out = unmapped == Unmapped::success && take_out(i);

	/* Memory for both is for those pages only that came back and were not written, and for what is shared. */
	if (!out && copy_[i] == Copy::made && !home_.is_shared())
		copy_[i] = Copy::wanted;
	kapi_folio_unlock(page);
	if (unsigned long *why = why_it_stays(unmapped, result_))
		return drop(i, *why);
	if (out && copy_[i] == Copy::good) {
		result_.reused++;
		kapi_count(COWMEM_COUNT_pages_reused);
	}
	return drop(i, out ? result_.out : result_.busy);
}

void Cluster::remove()
{
	Batch batch{first_, count_};
	Unmap<Leave::nothing> unmapped{{.mlock = false, .access = how_.accessed}};

	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i] && !lock(i))
			drop(i, result_.busy);
	fill(batch);
	walk_viewers(home_, batch, unmapped);
	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i])
			finish(i, unmapped.result(batch, i));
}

/*
 * Why the mappings of @large, or what says that it was used, do not let it go; or null. In a frame of its own, since a
 * debug kernel pads what is in it.
 */
[[gnu::noinline]] unsigned long *why_parts_stay(const Home &home, folio *large, const PageOut &how,
                                                PagedOut &result)
{
	bool young = false;

	for (unsigned int n = 0; n < KAPI_LARGE_PAGES; n += Batch::max) {
		UNINITIALIZED Batch batch{kapi_folio_index(large) + n, Batch::max};
		Foresee found;
		Referenced used;

		for (unsigned int i = 0; i < batch.count; i++)
			batch.page[i] = kapi_folio_part(large, n + i);
		walk_viewers(home, batch, found);
		for (const Unmapped becomes : found.becomes)
			if (unsigned long *why = why_it_stays(becomes, result))
				return why;
		if (how.accessed)
			continue;
		walk_viewers(home, batch, used);
		for (const unsigned int entries : used.young)
			young |= entries;
	}
	/* What one entry said is there now. */
	young |= !how.accessed && kapi_folio_take_referenced(large);
	return young ? &result.accessed : nullptr;
}

/*
 * Has the large folio that the object sees at @index, the @nth place of what is meant, become pages, if these may go
 * at all: only what is a folio for itself does. The counter that says why it stays.
 */
unsigned long &break_for_page_out(Pages &pages, Index index, unsigned int nth, const PageOut &how,
                                  PagedOut &result)
{
	bool own;
	{
		const FolioRef page = pages.get(index);

		if (!page || !kapi_folio_is_large(page.get()) || !(how.named >> nth & 1))
			return result.busy;
		own = pages.owns(page.get());
		if (!own && (!how.shared || !pages.shared_home()))
			return result.busy;

		const Home &home = own ? pages.home() : *pages.shared_home();

		if (kapi_folio_mlocked(page.get()))
			return result.mlocked;
		if (home.slot_count() >= how.max_slots ||
		    (!backing.serves(!how.waits) && !store.has_room_for(page.get())))
			return result.full;
		if (unsigned long *why =
		            why_parts_stay(home, kapi_folio_whole(page.get()), how, result))
			return *why;
	}
	if (own)
		pages.break_block(index, how.waits);
	else
		pages.break_shared_block(index, how.waits);
	return result.busy;
}

/*
 * Has no part of the large folio that is the object's own at @index used any more. The counter that says so of one that was,
 * or why it would stay anyway; or @unused.
 */
unsigned long &forget_uses_of_large(const Pages &pages, Index index, const PageOut &how,
                                    PagedOut &result, unsigned long &unused)
{
	const FolioRef page = pages.get(index);

	if (!page || !kapi_folio_is_large(page.get()) || !pages.owns(page.get()))
		return result.busy;

	unsigned long *why =
		why_parts_stay(pages.home(), kapi_folio_whole(page.get()), how, result);

	return why ? *why : unused;
}

/* The first place from @at to @stop where a part of a large folio is, or no_index. */
Index next_large(const Pages &pages, Index at, Index stop)
{
	for (; at <= stop; at++)
		if (pages.is_large(at))
			return at;
	return no_index;
}

/* Of a cluster. False: it was in vain, and so may the next be. */
bool page_out_cluster(Pages &pages, Home &home, Index first, Index last, const PageOut &how,
                      bool stores, unsigned long &large, PagedOut &result)
{
	Cluster cluster{pages, home, first, last, how, stores, large, result};

	if (how.forgets) {
		cluster.forget_uses();
		return true;
	}
	if (!cluster.select())
		return true;
	cluster.store();
	cluster.remove();
	return !cluster.was_in_vain();
}

} /* namespace */

void page_out(Pages &pages, Index first, Index last, const PageOut &how, PagedOut &result)
{
	const NoReclaim scope;
	bool stores = true; /* what is shared */
	unsigned long *large = &result.busy, unused = 0;
	Index decided = no_index; /* the block that this is about */

	for (Index at = first;;) {
		SharedHome *const shared = pages.shared_home();
		Index stop = at + min_of<Index>(last - at, Batch::max - 1);

		/* Once for each block: what was used lately is not asked again behind its first pages. */
		if (pages.home().large() || (shared && shared->large())) {
			stop = min_of(stop, last_of_block(at));
			const Index found = decided != first_of_block(at)
			                            ? next_large(pages, at, stop)
			                            : no_index;

			if (found != no_index) {
				large = how.forgets ? &forget_uses_of_large(pages, found, how,
				                                            result, unused)
				                    : &break_for_page_out(
							      pages, found,
							      static_cast<unsigned int>(found - at),
							      how, result);
				decided = first_of_block(at);
			}
		}
		page_out_cluster(pages, pages.home(), at, stop, how, true, *large, result);
		if (shared)
			stores &= page_out_cluster(pages, *shared, at, stop, how, stores, *large,
			                           result);
		kapi_cond_resched();
		if (stop == last || kapi_signal_pending())
			return;
		at = stop + 1;
	}
}

} /* namespace cowmem */
