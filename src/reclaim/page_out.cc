// SPDX-License-Identifier: GPL-2.0
/* Page-out (reclaim/page_out.h). */
#include "reclaim/page_out.h"
#include "store/store.h"
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
	wanted, /* PG_dirty is taken, but there is no good slot yet */
	made,   /* its slot was just set, and has its bytes */
};

/* Whether there is a slot at @index for a page that has been written since. */
bool is_stale(const Pages &pages, Index index) REQUIRES_SHARED(pages)
{
	const folio *page = pages.at(index);

	return page && kapi_folio_dirty(page) && pages.has_slot(index);
}

/* Neighbouring pages on their way out; at each step, some drop out. */
class Cluster {
public:
	Cluster(Index first, Index last, const PageOut &how, PagedOut &result)
		: first_{first},
		  count_{static_cast<unsigned int>(last - first + 1)},
		  how_{how},
		  result_{result}
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
	bool select(Pages &pages) REQUIRES_SHARED(pages);
	void store(const Pages &pages);
	void remove(Pages &pages) REQUIRES(pages);

private:
	bool claim_all(Pages &pages) REQUIRES_SHARED(pages);
	void stored(unsigned int i, Put result);
	void put_aside(const Put *refused);
	void spare_accessed(const Pages &pages) REQUIRES_SHARED(pages);
	void protect(const Pages &pages) REQUIRES_SHARED(pages);
	bool lock(Pages &pages, unsigned int i) REQUIRES(pages);
	void finish(Pages &pages, unsigned int i, Unmapped unmapped) REQUIRES(pages);

	void give_up(unsigned int i)
	{
		if (claim_[i] && copy_[i] == Copy::wanted)
			kapi_folio_set_dirty(claim_[i].get());
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

	const Index first_;
	const unsigned int count_;
	const PageOut &how_;
	PagedOut &result_;
	Claim claim_[Batch::max];
	SlotRef slot_[Batch::max]; /* what store() made */
	Copy copy_[Batch::max] = {};
};

bool Cluster::claim_all(Pages &pages)
{
	bool some = false;

	for (unsigned int i = 0; i < count_; i++) {
		folio *page = pages.at(first_ + i);

		if (!page)
			continue;
		if (kapi_folio_poisoned(page))
			result_.poisoned++;
		else if (kapi_folio_mlocked(page))
			result_.mlocked++;
		else if (foreign_references(page) || !claim_[i].take(page))
			result_.busy++;
		else
			some = true;
	}
	return some;
}

/* A page that somebody has locked is being used, and is not waited for (R66). */
void Cluster::spare_accessed(const Pages &pages)
{
	Batch batch{first_, count_};
	bool locked[Batch::max];
	Referenced found;

	for (unsigned int i = 0; i < count_; i++) {
		locked[i] = claim_[i] && kapi_folio_trylock(claim_[i].get());
		batch.page[i] = locked[i] ? claim_[i].get() : nullptr;
	}
	walk_viewers(pages, batch, found);
	for (unsigned int i = 0; i < count_; i++) {
		if (locked[i])
			kapi_folio_unlock(claim_[i].get());
		if (claim_[i] && (found.young[i] || !locked[i]))
			drop(i, result_.accessed);
	}
}

/*
 * PG_dirty first, then the entries: who takes a dirty bit out of a page table after that
 * sets it again, and what the walk finds is known here.
 */
void Cluster::protect(const Pages &pages)
{
	Batch batch{first_, count_};
	Clean found;

	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i] &&
		    (kapi_folio_take_dirty(claim_[i].get()) || !pages.has_slot(first_ + i)))
			copy_[i] = Copy::wanted;
	fill(batch);
	walk_viewers(pages, batch, found);
	for (unsigned int i = 0; i < count_; i++) {
		if (!found.dirty[i])
			continue;
		copy_[i] = Copy::wanted;
		kapi_folio_keep_written(claim_[i].get());
	}
}

bool Cluster::select(Pages &pages)
{
	bool stale = false, some = false;

	for (unsigned int i = 0; i < count_; i++)
		stale |= is_stale(pages, first_ + i);
	if (!claim_all(pages))
		return stale;

	if (!how_.accessed)
		spare_accessed(pages);
	protect(pages);
	for (const Claim &claim : claim_)
		some |= static_cast<bool>(claim);
	return stale || some;
}

/* How storing a page ended. */
void Cluster::stored(unsigned int i, Put result)
{
	switch (result) {
	case Put::stored:
		return kapi_count(COWMEM_COUNT_pages_stored);
	case Put::incompressible:
		kapi_count(COWMEM_COUNT_pages_incompressible);
		return drop(i, result_.incompressible);
	case Put::full:
		return drop(i, result_.full);
	case Put::no_memory:
		return drop(i, result_.no_memory);
	case Put::io_error:
		kapi_count(COWMEM_COUNT_backing_errors);
		return drop(i, result_.io_error);
	}
}

/*
 * Those that memory refused go to the backing store, together. In memory reclaim only
 * to a block device, as swap does; a file system could wait for the one who reclaims.
 */
void Cluster::put_aside(const Put *refused)
{
	Transfer transfer[Batch::max];
	Put result[Batch::max];
	{
		const Together together;

		for (unsigned int i = 0; i < count_; i++)
			if (refused[i] != Put::stored)
				result[i] = cowmem::store.put_aside(claim_[i].get(), slot_[i],
				                                    transfer[i], !how_.waits);
	}
	for (unsigned int i = 0; i < count_; i++) {
		if (refused[i] == Put::stored)
			continue;
		if (result[i] == Put::stored && transfer[i].wait(Wait::to_the_end))
			result[i] = Put::io_error;
		else if (result[i] == Put::stored)
			kapi_count(COWMEM_COUNT_backing_written);
		stored(i, result[i]);
	}
}

void Cluster::store(const Pages &pages)
{
	const bool has_backing = backing.serves(!how_.waits);
	unsigned long slots = pages.slots().count();
	Put refused[Batch::max] = {}; /* not `stored`: by memory, why */
	bool some = false;

	for (unsigned int i = 0; i < count_; i++) {
		if (!claim_[i] || copy_[i] != Copy::wanted)
			continue;
		if (slots >= how_.max_slots && !pages.has_slot(first_ + i)) {
			stored(i, Put::full);
			continue;
		}

		const Put result = cowmem::store.put(claim_[i].get(), slot_[i]);

		if (has_backing && (result == Put::incompressible || result == Put::full)) {
			refused[i] = result;
			some = true;
		} else {
			stored(i, result);
		}
		slots += claim_[i] && !pages.has_slot(first_ + i);
		kapi_cond_resched();
	}
	if (some)
		put_aside(refused);
	kapi_test_step(COWMEM_STEP_STORED, nullptr);
}

/* Locks what is still the object's page, and gives it its new slot. */
bool Cluster::lock(Pages &pages, unsigned int i)
{
	folio *page = claim_[i].get();

	if (pages.at(first_ + i) != page || kapi_folio_poisoned(page))
		return false;
	if (how_.waits)
		kapi_folio_lock(page);
	else if (!kapi_folio_trylock(page))
		return false;
	if (copy_[i] == Copy::good)
		return true;
	if (pages.set_slot(first_ + i, slot_[i])) {
		copy_[i] = Copy::made;
		return true;
	}
	kapi_folio_unlock(page);
	return false;
}

/* The page was unmapped, or not, and why. */
void Cluster::finish(Pages &pages, unsigned int i, Unmapped unmapped)
{
	folio *page = claim_[i].get();
	const bool out = unmapped == Unmapped::success && pages.page_out(first_ + i, page);

	/* Memory for both is for those pages only that came back and were not written. */
	if (!out && copy_[i] == Copy::made)
		copy_[i] = Copy::wanted;
	kapi_folio_unlock(page);
	switch (unmapped) {
	case Unmapped::mlocked:
		return drop(i, result_.mlocked);
	case Unmapped::young:
		return drop(i, result_.accessed);
	case Unmapped::tracked:
		return drop(i, result_.tracked);
	case Unmapped::again:
		return drop(i, result_.busy);
	case Unmapped::success:
		break;
	}
	if (out && copy_[i] == Copy::good) {
		result_.reused++;
		kapi_count(COWMEM_COUNT_pages_reused);
	}
	return drop(i, out ? result_.out : result_.busy);
}

void Cluster::remove(Pages &pages)
{
	Batch batch{first_, count_};
	Unmap<Leave::nothing> unmapped{{.mlock = false, .access = how_.accessed}};

	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i] && !lock(pages, i))
			drop(i, result_.busy);
	fill(batch);
	walk_viewers(pages, batch, unmapped);
	for (unsigned int i = 0; i < count_; i++)
		if (claim_[i])
			finish(pages, i, unmapped.result(batch, i));
	for (unsigned int i = 0; i < count_; i++)
		if (is_stale(pages, first_ + i))
			pages.drop_slot(first_ + i);
}

void page_out_cluster(Pages &pages, Index first, Index last, const PageOut &how, PagedOut &result)
{
	Cluster cluster{first, last, how, result};
	bool some;

	if (how.waits) {
		Shared lock{pages};

		some = cluster.select(pages);
	} else {
		if (!pages.try_lock_shared())
			return;
		some = cluster.select(pages);
		pages.unlock_shared();
	}
	if (!some)
		return;
	cluster.store(pages);
	if (how.waits) {
		Exclusive lock{pages};

		cluster.remove(pages);
	} else {
		if (!pages.try_lock())
			return;
		cluster.remove(pages);
		pages.unlock();
	}
}

} /* namespace */

void page_out(Pages &pages, Index first, Index last, const PageOut &how, PagedOut &result)
{
	const NoReclaim scope;

	for (Index at = first;;) {
		const Index stop = at + min_of<Index>(last - at, Batch::max - 1);

		page_out_cluster(pages, at, stop, how, result);
		kapi_cond_resched();
		if (stop == last || kapi_signal_pending())
			return;
		at = stop + 1;
	}
}

} /* namespace cowmem */
