// SPDX-License-Identifier: GPL-2.0
/* The speculative path of a fault (fault/speculate.h). */
#include "fault/around.h"
#include "fault/fault_table.h"
#include "fault/speculate.h"
#include "kernel/steps.h"

namespace cowmem {

namespace {

/* What ended an attempt, or nothing: it may go on. */
using Abort = std::optional<cowmem_counter>;

/*
 * What an attempt knows: the count, and the page that was in the table while the count
 * was so. The reference keeps that page from being freed, not from being removed.
 */
struct Attempt {
	ObjectLock::Reading reading;
	FolioRef page;     /* none: a hole, or paged out */
	bool made = false; /* the page was, for this fault */
	bool more = false; /* so were pages behind it */
	bool leaf = false; /* so were others in its leaf */
};

/* Looks the fault's page up and sees that the count still holds (R32, R35). */
Abort look_up(const Fault &fault, Attempt &attempt)
{
	kapi_test_step(COWMEM_STEP_COUNT_READ, fault.vmf);
	if (!fault.object->holds(fault.index()))
		return COWMEM_COUNT_speculative_abort_end;
	if (!fault.object->pages().try_get(fault.index(), attempt.page))
		return COWMEM_COUNT_speculative_abort_moved;
	kapi_test_step(COWMEM_STEP_SNAPSHOT, fault.vmf);
	if (!fault.object->pages().unchanged(attempt.reading))
		return COWMEM_COUNT_speculative_abort_snapshot;
	if (attempt.page && kapi_folio_poisoned(attempt.page.get()))
		return COWMEM_COUNT_speculative_abort_poisoned;
	return std::nullopt;
}

/*
 * Who has read some pages in order, as many as @before, will read the next: brings in as many
 * more from compressed memory, of those that this fault may map, and where @page is, the one
 * it is about. Whether there are some.
 */
bool readahead(const Fault &fault, unsigned int before, const folio *page)
{
	constexpr unsigned int enough = 4;

	if (before < enough || !fault.mapping.flags.may_map_around())
		return false;
	return fault.object->pages().bring_along(fault.index() + 1,
	                                         min_of(fault.index() + before, last_around(fault)),
	                                         node_for_neighbours(fault, page), true);
}

/* Whether the fault is to have pages where its leaf has none, as for its own: all of that is mapped. */
bool takes_leaf(const Fault &fault)
{
	return takes_large(fault) && kapi_huge_sizes_have_leaf() &&
	       !kapi_vma_thp_disabled(fault.vma()) && fault.mapping.flags.may_map_around() &&
	       fault.mapping.first <= first_of_leaf(fault.index()) &&
	       last_of_leaf(fault.index()) < fault.mapping.end;
}

/* Has what is in compressed memory of the leaf in memory, too, beside @page. Whether there was some. */
bool bring_leaf_in(const Fault &fault, const folio *page)
{
	return fault.object->pages().bring_along(first_of_leaf(fault.index()),
	                                         last_of_leaf(fault.index()),
	                                         node_for_neighbours(fault, page), false);
}

/*
 * Has pages in all of the leaf, if it is a hole; the commit maps them. False: the fault is for one page, as where
 * mbind() says on which node, or where somebody wants to see each first store.
 */
bool fill_leaf(const Fault &fault, Kind kind, Attempt &attempt)
{
	const Index first = first_of_leaf(fault.index()), last = last_of_leaf(fault.index());
	Pages &pages = fault.object->pages();

	if (!takes_leaf(fault) || pages.frozen() || kapi_vma_has_policy(fault.vma()) ||
	    (kind == Kind::shared_write && !may_write_ahead(fault.mapping, fault.vma())) ||
	    !fault.object->holds(last) || !pages.is_hole_leaf(first))
		return false;

	FreshLeaf fresh{kapi_leaf_alloc()};

	if (!fresh) {
		kapi_count(COWMEM_COUNT_large_fallbacks);
		return false;
	}
	if (!pages.try_lock_shared())
		return false;

	Shared lock{pages, held};

	if (fault.object->holds(last))
		attempt.page = pages.fill_leaf(fault.index(), fresh);
	attempt.made = attempt.leaf = static_cast<bool>(attempt.page);
	return attempt.made;
}

/*
 * Has a page where a hole was found. To make one is no writer section, since it takes
 * nothing away; the object's lock is shared for as long as that takes.
 */
Abort fill_hole(Fault &fault, Kind kind, bool is_hole, Attempt &attempt)
{
	if (is_hole && fill_leaf(fault, kind, attempt))
		return std::nullopt;

	Fresh fresh = fresh_page(fault, is_hole);
	Pages &pages = fault.object->pages();

	unsigned int before = 0;

	if (!fresh.page)
		return COWMEM_COUNT_speculative_abort_no_memory;

	/* The locked path waits for the lock, and a fatal signal can end that wait. */
	if (!pages.try_lock_shared())
		return COWMEM_COUNT_speculative_abort_odd;
	{
		Shared lock{pages, held};

		if (!fault.object->holds(fault.index()))
			return COWMEM_COUNT_speculative_abort_end;

		attempt.page = pages.fill(fault.index(), fresh);
		attempt.made = true;
		if (fresh.brought_in && kind == Kind::read)
			before = pages.run_before(fault.index());
	}
	fault.major |= fresh.brought_in;
	if (fresh.brought_in && takes_leaf(fault))
		attempt.leaf = bring_leaf_in(fault, attempt.page.get());
	else
		attempt.more = readahead(fault, before, attempt.page.get());
	kapi_test_step(COWMEM_STEP_PREPARED, fault.vmf);
	if (!attempt.page)
		return fresh.error == -KAPI_EAGAIN ? COWMEM_COUNT_speculative_abort_backing
		                                   : COWMEM_COUNT_speculative_abort_no_memory;
	if (wants_own(fault.mapping, kind) && !pages.owns(attempt.page.get()))
		return COWMEM_COUNT_speculative_abort_shared;
	/* It may be the page of somebody who was faster. */
	return kapi_folio_poisoned(attempt.page.get())
	               ? Abort{COWMEM_COUNT_speculative_abort_poisoned}
	               : std::nullopt;
}

/*
 * Fills cow_page with what the fault's page holds, with nothing locked (R42). An outcome:
 * that cannot be read; with @backed, the bytes are on the disk by now.
 */
std::optional<Outcome> fill_cow_page(Fault &fault, const Attempt &attempt, SlotRef &backed)
{
	std::optional<Outcome> failed;

	if (!attempt.page) {
		if (fill_cow_page_without_page(fault, backed))
			failed = Outcome::unreadable;
	} else if (kapi_vmf_copy_cow_page(fault.vmf, attempt.page.get())) {
		failed = Outcome::poisoned;
	}
	if (!failed)
		kapi_vmf_cow_page_uptodate(fault.vmf);
	kapi_test_step(COWMEM_STEP_PREPARED, fault.vmf);
	return failed;
}

/*
 * What was there could not be read. To try again would be another machine check, or the
 * same error, so it is the answer, unless the object has something else there now (R10).
 */
Abort report_damage(const Fault &fault, const Attempt &attempt, Outcome damage, Outcome &outcome)
{
	if (!fault.object->pages().unchanged(attempt.reading))
		return COWMEM_COUNT_speculative_abort_changed;
	outcome = damage;
	return std::nullopt;
}

/* What may not be so at the moment of the store; the page table is locked (R32). */
Abort may_not_commit(const Fault &fault, Kind kind, const Attempt &attempt, const FaultTable &table)
{
	const Pages &pages = fault.object->pages();
	folio *page = attempt.page.get();

	if (!table)
		return COWMEM_COUNT_speculative_abort_no_table;
	kapi_test_step(COWMEM_STEP_TABLE_LOCKED, fault.vmf);
	if (!fault.object->pages().may_commit(attempt.reading))
		return COWMEM_COUNT_speculative_abort_changed;
	/* Another thread may have copied a page of the family: that leaves the count alone. */
	if (page && kind != Kind::private_write && !pages.owns(page) &&
	    (wants_own(fault.mapping, kind) || pages.resident_rcu(fault.index()) != page))
		return COWMEM_COUNT_speculative_abort_shared;
	/* The kernel's own memory failure is no writer of ours. */
	if (page && kapi_folio_poisoned(page))
		return COWMEM_COUNT_speculative_abort_poisoned;
	/* What the OOM reaper has taken must not come back as if nothing had happened. */
	if (fault.reaped())
		return COWMEM_COUNT_speculative_abort_reaped;
	return std::nullopt;
}

/* Stores the entry, which is as the core saw it, in the locked table. */
Outcome store_entry(const Fault &fault, Kind kind, Attempt &attempt, FaultTable &table)
{
	if (kind == Kind::shared_write || kind == Kind::mkwrite)
		mark_dirty(attempt.page.get());
	switch (kind) {
	case Kind::private_write:
		table.install_copy();
		kapi_count(attempt.page  ? COWMEM_COUNT_copies
		           : fault.major ? COWMEM_COUNT_copies_from_store
		                         : COWMEM_COUNT_zero_fills);
		return Outcome::done_cow;
	case Kind::mkwrite:
		table.make_writable();
		map_written_around(fault, table);
		return Outcome::mapped;
	case Kind::read:
	case Kind::shared_write:
		table.install(attempt.page.release());
		if (attempt.leaf)
			map_leaf(fault, kind, table);
		else if (attempt.more)
			map_read_around(fault, table);
		/* Next to a hole there are more of them, or what was written before. */
		else if (kind == Kind::shared_write && !attempt.made)
			map_written_around(fault, table);
		return Outcome::mapped;
	}
	__builtin_unreachable();
}

/*
 * Maps what was prepared, or lets the entry that is there be written through. Where there
 * is no page table, the one that the core allocated for that comes first.
 */
Abort commit(const Fault &fault, Kind kind, Attempt &attempt, Outcome &outcome)
{
	install_allocated_table(fault.vmf);

	FaultTable table{fault};

	if (const Abort abort = may_not_commit(fault, kind, attempt, table))
		return abort;
	if (kind == Kind::mkwrite ? table.entry_replaced() : table.entry_changed())
		outcome = Outcome::lost_race;
	else
		outcome = store_entry(fault, kind, attempt, table);
	return std::nullopt;
}

Abort try_once(Fault &fault, Kind kind, Outcome &outcome)
{
	SlotRef backed;
	Attempt attempt{.reading = fault.object->pages().read(), .page = {}};

	if (!attempt.reading.quiet())
		return COWMEM_COUNT_speculative_abort_odd;
	if (const Abort abort = look_up(fault, attempt))
		return abort;

	const Pages::Missing missing =
		attempt.page ? Pages::Missing{} : fault.object->pages().missing(fault.index());

	if (missing.backed)
		return COWMEM_COUNT_speculative_abort_backing;
	if (wants_own(fault.mapping, kind) &&
	    (attempt.page ? !fault.object->pages().owns(attempt.page.get()) : missing.shared))
		return COWMEM_COUNT_speculative_abort_shared;
	switch (kind) {
	case Kind::private_write:
		if (const auto damage = fill_cow_page(fault, attempt, backed))
			return backed ? Abort{COWMEM_COUNT_speculative_abort_backing}
			              : report_damage(fault, attempt, *damage, outcome);
		break;
	case Kind::mkwrite:
		if (attempt.page.get() != kapi_vmf_folio(fault.vmf))
			return COWMEM_COUNT_speculative_abort_moved;
		break;
	case Kind::read:
	case Kind::shared_write:
		if (!attempt.page)
			if (const Abort abort = fill_hole(fault, kind, !missing.something, attempt))
				return abort;
		break;
	}
	return commit(fault, kind, attempt, outcome);
}

} /* namespace */

bool worth_speculating(const Fault &fault, Kind kind)
{
	switch (kind) {
	case Kind::private_write:
		return kapi_speculate_private();
	case Kind::read:
		return kapi_speculate_read();
	case Kind::shared_write:
		return kapi_speculate_shared_write();
	case Kind::mkwrite:
		/* Without an entry it is the second half of a shared write by the locked path; and
		   a page of the family has to be copied first. */
		return kapi_vmf_entry_maps_page(fault.vmf) && kapi_speculate_shared_write() &&
		       fault.object->pages().owns(kapi_vmf_folio(fault.vmf));
	}
	__builtin_unreachable();
}

std::optional<Outcome> speculate(Fault &fault, Kind kind)
{
	Outcome outcome{};

	kapi_count(COWMEM_COUNT_speculative_attempts);
	if (const Abort abort = try_once(fault, kind, outcome)) {
		kapi_count(*abort);
		return std::nullopt;
	}
	kapi_count(COWMEM_COUNT_speculative_commits);
	return outcome;
}

} /* namespace cowmem */
