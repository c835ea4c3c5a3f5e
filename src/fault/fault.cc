// SPDX-License-Identifier: GPL-2.0
/*
 * Page faults (fault/fault.h): fault and page_mkwrite.
 *
 * Called with mmap_lock or only the VMA lock held for read. A truncation is kept out
 * from the look-up of a page to its PTE: by the object's lock, held shared, where
 * the handler maps (seed 000's "some lock spanning both", R5, R13), and by the page
 * lock, handed over with VM_FAULT_LOCKED, where the core does (R16). A page is never
 * returned unlocked: the core locks it without asking whether it is still the
 * object's, so a truncation in between would leave a stale PTE.
 */
#include <optional>

#include "fault/fault.h"
#include "fault/around.h"
#include "fault/fault_table.h"
#include "rmap/visitors.h"
#include "fault/speculate.h"
#include "kernel/steps.h"

namespace cowmem {

namespace {

Kind kind_of(const vm_fault *vmf)
{
	if (kapi_vmf_cow_page(vmf))
		return Kind::private_write;
	return kapi_vmf_flags(vmf) & KAPI_FAULT_FLAG_WRITE ? Kind::shared_write : Kind::read;
}

cowmem_counter counter_of(Kind kind)
{
	switch (kind) {
	case Kind::read:
		return COWMEM_COUNT_fault_read;
	case Kind::shared_write:
		return COWMEM_COUNT_fault_shared_write;
	case Kind::private_write:
		return COWMEM_COUNT_fault_private_write;
	case Kind::mkwrite:
		return COWMEM_COUNT_mkwrite;
	}
	__builtin_unreachable();
}

struct Answer {
	unsigned int code; /* vm_fault_t */
	cowmem_counter counter;
};

Answer answer_of(Outcome outcome)
{
	switch (outcome) {
	case Outcome::done_cow:
		return {KAPI_VM_FAULT_DONE_COW, COWMEM_COUNT_done_cow};
	case Outcome::page_locked:
		return {KAPI_VM_FAULT_LOCKED, COWMEM_COUNT_page_returned};
	case Outcome::lost_race:
		return {KAPI_VM_FAULT_NOPAGE, COWMEM_COUNT_lost_races};
	case Outcome::beyond_end:
		return {KAPI_VM_FAULT_SIGBUS, COWMEM_COUNT_beyond_end};
	case Outcome::poisoned:
		return {KAPI_VM_FAULT_HWPOISON, COWMEM_COUNT_poisoned};
	case Outcome::no_memory:
		return {KAPI_VM_FAULT_OOM, COWMEM_COUNT_no_memory};
	case Outcome::address_space_gone:
		return {KAPI_VM_FAULT_SIGBUS, COWMEM_COUNT_address_space_gone};
	case Outcome::truncated:
		return {KAPI_VM_FAULT_NOPAGE, COWMEM_COUNT_mkwrite_truncated};
	case Outcome::made_writable:
		return {KAPI_VM_FAULT_LOCKED, COWMEM_COUNT_made_writable};
	case Outcome::mapped:
		return {KAPI_VM_FAULT_NOPAGE, COWMEM_COUNT_mapped};
	case Outcome::unreadable:
		return {KAPI_VM_FAULT_SIGBUS, COWMEM_COUNT_unreadable};
	case Outcome::over_limit:
		return {KAPI_VM_FAULT_SIGBUS, COWMEM_COUNT_over_limit};
	case Outcome::waited:
		return {KAPI_VM_FAULT_RETRY, COWMEM_COUNT_waited};
	case Outcome::killed:
		return {KAPI_VM_FAULT_RETRY, COWMEM_COUNT_killed};
	case Outcome::again:
		return {KAPI_VM_FAULT_NOPAGE, COWMEM_COUNT_mkwrite_again};
	case Outcome::missing:
		return {KAPI_VM_FAULT_RETRY, COWMEM_COUNT_user_missing};
	case Outcome::minor:
		return {KAPI_VM_FAULT_RETRY, COWMEM_COUNT_user_minor};
	}
	__builtin_unreachable();
}

/* What finish_fault() says of a private copy that is ready to be mapped. */
Outcome outcome_of_install(unsigned int code)
{
	if (!code)
		return Outcome::done_cow;
	if (code & KAPI_VM_FAULT_NOPAGE)
		return Outcome::lost_race;
	return code & KAPI_VM_FAULT_OOM ? Outcome::no_memory : Outcome::address_space_gone;
}

void trace(const Fault &fault, Kind kind, Outcome outcome)
{
	kapi_trace_fault(fault.vmf, static_cast<unsigned int>(kind),
	                 static_cast<unsigned int>(outcome), fault.major);
}

unsigned int answer(const Fault &fault, Kind kind, Outcome outcome)
{
	const Answer a = answer_of(outcome);

	kapi_count(a.counter);
	if (!fault.unlocked)
		trace(fault, kind, outcome);
	if (outcome == Outcome::missing || outcome == Outcome::minor)
		return kapi_vmf_ask_user_space(fault.vmf, outcome == Outcome::missing);
	if (!fault.major)
		return a.code;
	kapi_count(COWMEM_COUNT_major_faults);
	if (!fault.unlocked)
		kapi_event_major_fault(kapi_vma_mm(fault.vma()));
	return a.code | KAPI_VM_FAULT_MAJOR;
}

/* Which counter has the page locks that faults of @kind take. */
cowmem_counter locks_of(Kind kind)
{
	switch (kind) {
	case Kind::read:
		return COWMEM_COUNT_page_locks_read;
	case Kind::shared_write:
		return COWMEM_COUNT_page_locks_shared_write;
	case Kind::private_write:
		return COWMEM_COUNT_page_locks_private_write;
	case Kind::mkwrite:
		return COWMEM_COUNT_page_locks_mkwrite;
	}
	__builtin_unreachable();
}

void lock_page(folio *page, Kind kind)
{
	cowmem::lock_page(page);
	kapi_count(COWMEM_COUNT_page_locks);
	kapi_count(locks_of(kind));
}

void unlock_page(folio *page)
{
	kapi_folio_unlock(page);
	kapi_count(COWMEM_COUNT_page_unlocks);
}

/* Lets go of the mapping, which may be gone then, but not of the object; so that comes to @outcome. */
Outcome unlock_mapping(Fault &fault, Outcome outcome)
{
	fault.pin.take(kapi_vma_file(fault.vma()));
	if (fault.major)
		kapi_event_major_fault(kapi_vma_mm(fault.vma()));
	trace(fault, kind_of(fault.vmf), outcome);
	fault.unlocked = true;
	kapi_vmf_unlock(fault.vmf);
	return outcome;
}

/*
 * Whether the fault may end with nothing done, to come again when @slot has been read. Where
 * that failed it has to find out for itself: not all who come again say so.
 */
bool may_come_again(const Fault &fault, const SlotRef &slot)
{
	const unsigned int flags = kapi_vmf_flags(fault.vmf);

	if (!slot || !slot->is_backed() || slot->is_lost())
		return false;
	return flags & KAPI_FAULT_FLAG_RETRY_NOWAIT ||
	       (flags & KAPI_FAULT_FLAG_ALLOW_RETRY && !(flags & KAPI_FAULT_FLAG_TRIED));
}

/* What the object sees at the fault's index, of which no reference is kept: whoever has one keeps others from taking it over. */
struct State {
	bool out;            /* it is in the store */
	bool may_come_again; /* and the fault may end with that not changed yet */
	bool large;          /* a part of a large folio */
};

State state_of(const Fault &fault)
{
	const Seen seen = fault.object->pages().see(fault.index());

	return {.out = seen && !seen.page,
	        .may_come_again = !seen.page && may_come_again(fault, seen.slot),
	        .large = seen.page && kapi_folio_is_large(seen.page.get())};
}

/*
 * Has the page in memory when the fault comes again, with nothing locked meanwhile: what
 * goes wrong it will be told then, if that is still so. Who does not want to wait comes
 * again in a way that can. Kernel counterpart: maybe_unlock_mmap_for_io() and its callers.
 */
Outcome swap_in_unlocked(Fault &fault)
{
	if (kapi_vmf_flags(fault.vmf) & KAPI_FAULT_FLAG_RETRY_NOWAIT) {
		fault.major = false; /* the fault that comes again is */
		return Outcome::waited;
	}

	/* Where the mapping wants it, which is not known any more once it is let go. */
	FolioRef page{kapi_folio_alloc_for(fault.vmf, false)};
	const int node = node_for_neighbours(fault, page.get());
	unsigned long long count = 0;

	fault.major = true;

	const Outcome outcome = unlock_mapping(fault, Outcome::waited);
	const int err = fault.object->pages().swap_in(fault.index(), no_index, count,
	                                              std::move(page), node);

	return err == -KAPI_EINTR ? Outcome::killed : outcome;
}

/*
 * Whether a fatal signal may end a wait: then the answer is that the mapping is let go. With
 * RETRY_NOWAIT the caller takes that answer for one that comes with the mapping still locked.
 */
bool is_killable(const Fault &fault)
{
	const unsigned int flags = kapi_vmf_flags(fault.vmf);

	return flags & KAPI_FAULT_FLAG_KILLABLE && !(flags & KAPI_FAULT_FLAG_RETRY_NOWAIT);
}

/*
 * For a fault that cannot come again: reads the bytes of @slot into @page with only its
 * mapping locked. No outcome: they are there. A fatal signal is looked for only if the
 * fault is to be retried, and that unlocks the mapping.
 */
std::optional<Outcome> read_backed(Fault &fault, const SlotRef &slot, folio *page)
{
	const int err =
		read_slot(*slot, page, is_killable(fault) ? Wait::killable : Wait::to_the_end);

	fault.major = true;
	if (err == -KAPI_EINTR)
		return unlock_mapping(fault, Outcome::killed);
	return err ? std::optional{outcome_of_fill(err)} : std::nullopt;
}

/*
 * Whether userfaultfd may be to serve the fault: then it takes the locked path. Nobody can ask under
 * RCU, nor whether it wants to be asked for the neighbours.
 */
bool may_be_for_user_space(const Fault &fault)
{
	return fault.mapping.flags.asks_for_missing() || fault.mapping.flags.asks_for_minor();
}

/* Whether it is: with the object's lock shared, so that this stays. */
std::optional<Outcome> for_user_space(const Fault &fault)
{
	if (!may_be_for_user_space(fault))
		return std::nullopt;

	const bool hole = fault.object->pages().is_hole(fault.index());

	if (hole && fault.mapping.flags.asks_for_missing())
		return Outcome::missing;
	if (!hole && fault.mapping.flags.asks_for_minor())
		return Outcome::minor;
	return std::nullopt;
}

/*
 * The first write to a page of a private mapping: fill the core's cow_page from the
 * object, without the source's page lock (R14), and map it (R2). The core allocated
 * and charged cow_page; it frees it unless the answer is DONE_COW (R9). No outcome: the
 * bytes of @backed have to be read into it first; or they have been, before this.
 */
std::optional<Outcome> try_copy_private(Fault &fault, SlotRef &backed)
{
	Pages &pages = fault.object->pages();

	if (!pages.lock_shared(is_killable(fault)))
		return unlock_mapping(fault, Outcome::killed);

	Shared lock{pages, held};

	kapi_test_step(COWMEM_STEP_LOCKED, fault.vmf);
	if (!fault.object->covers(fault.index(), fault.mapping.end))
		return Outcome::beyond_end;
	if (const auto asked = for_user_space(fault))
		return asked;

	const FolioRef source = pages.get(fault.index());

	kapi_test_step(COWMEM_STEP_LOOKED_UP, fault.vmf);
	if (!source) {
		const int err = fill_cow_page_without_page(fault, backed);

		if (err)
			return err == -KAPI_EAGAIN ? std::nullopt
			                           : std::optional{Outcome::unreadable};
		kapi_count(fault.major ? COWMEM_COUNT_copies_from_store : COWMEM_COUNT_zero_fills);
	} else if (kapi_folio_poisoned(source.get()) ||
	           kapi_vmf_copy_cow_page(fault.vmf, source.get())) {
		return Outcome::poisoned;
	} else {
		kapi_count(COWMEM_COUNT_copies);
	}
	kapi_vmf_cow_page_uptodate(fault.vmf);
	kapi_test_step(COWMEM_STEP_COPIED, fault.vmf);

	const Outcome outcome = outcome_of_install(kapi_finish_fault(fault.vmf));

	kapi_test_step(COWMEM_STEP_INSTALLED, fault.vmf);
	return outcome;
}

Outcome copy_private(Fault &fault)
{
	SlotRef backed;

	for (;;) {
		if (const auto outcome = try_copy_private(fault, backed))
			return *outcome;
		if (may_come_again(fault, backed))
			return swap_in_unlocked(fault);
		if (const auto outcome = read_backed(fault, backed, kapi_vmf_cow_folio(fault.vmf)))
			return *outcome;
	}
}

/*
 * Maps @page for a read fault, or a part of a large folio; with the object's lock shared. The core
 * is not given a page of the family: who copies it away for the object does not wait for its page lock, which
 * relatives may hold. Nor any page of a pinnable mapping, of which it would make a writable entry.
 */
Outcome map_here(const Fault &fault, FolioRef page)
{
	install_allocated_table(fault.vmf);

	FaultTable table{fault};

	if (!table)
		return Outcome::lost_race; /* the core found one, or has allocated one */
	kapi_smp_mb_after_lock();
	if (kapi_folio_poisoned(page.get()))
		return Outcome::poisoned;
	if (fault.reaped())
		return Outcome::address_space_gone;
	if (table.entry_changed() ||
	    fault.object->pages().resident_rcu(fault.index()) != page.get())
		return Outcome::lost_race;
	if (kapi_vmf_flags(fault.vmf) & KAPI_FAULT_FLAG_WRITE)
		mark_dirty(page.get());
	table.install(page.release());
	return Outcome::mapped;
}

/*
 * The page that is seen, referenced and locked, in vmf->page; with the object's lock held
 * from the look-up to the page lock. No outcome: it is a hole, and @fresh is none, or
 * has to be read first; or it is the family's, and wanted as the object's own.
 */
std::optional<Outcome> lock_page_of(Fault &fault, Fresh &fresh, bool &shared)
{
	Pages &pages = fault.object->pages();
	const Kind kind = kind_of(fault.vmf);

	if (!pages.lock_shared(is_killable(fault)))
		return unlock_mapping(fault, Outcome::killed);

	Shared lock{pages, held};

	kapi_test_step(COWMEM_STEP_LOCKED, fault.vmf);
	if (!fault.object->covers(fault.index(), fault.mapping.end))
		return Outcome::beyond_end;
	if (const auto asked = for_user_space(fault))
		return asked;
	shared = (wants_own(fault.mapping, kind) && pages.sees_shared(fault.index())) ||
	         (kind == Kind::private_write && pages.has_relatives());
	if (shared)
		return std::nullopt;

	FolioRef page = pages.get_or_fill(fault.index(), fresh);

	kapi_test_step(COWMEM_STEP_LOOKED_UP, fault.vmf);
	if (fresh.error && fresh.error != -KAPI_EAGAIN)
		return outcome_of_fill(fresh.error);
	if (!page)
		return std::nullopt;
	fault.major |= fresh.brought_in;
	if (kapi_folio_poisoned(page.get()))
		return Outcome::poisoned;
	shared = wants_own(fault.mapping, kind) && !pages.owns(page.get());
	if (shared)
		return std::nullopt;
	if (kind == Kind::read && (fault.mapping.pinnable || !pages.owns(page.get())))
		return map_here(fault, std::move(page));
	/* The core would map all of a large folio. */
	if (kapi_folio_is_large(page.get()) && kind != Kind::private_write)
		return map_here(fault, std::move(page));
	lock_page(page.get(), kind);
	kapi_count(COWMEM_COUNT_page_locks_handed_over);
	kapi_vmf_set_folio(fault.vmf, page.release());
	return Outcome::page_locked;
}

/* A page of the family, wanted as the object's own: the object has it so. No outcome: it has, or may have. */
std::optional<Outcome> break_cow_for_fault(Fault &fault)
{
	Pages &pages = fault.object->pages();
	const State state = state_of(fault);

	if (state.may_come_again)
		return swap_in_unlocked(fault);
	fault.major |= state.out;

	const int err =
		pages.break_cow(fault.index(), {.vmf = fault.vmf, .killable = is_killable(fault)});

	if (err == -KAPI_EINTR)
		return unlock_mapping(fault, Outcome::killed);
	if (err)
		return outcome_of_fill(err);
	if (state.large)
		map_parts_around(fault);
	return std::nullopt;
}

/*
 * Any other fault, and private writes that the core is to copy: hand over the
 * object's page (R3, R16). A hole takes memory now, allocated with no lock held. Where there are
 * relatives the handler copies: RESIZE, which waits for the core with the page that goes, would
 * not find that page, if it has become another's by then.
 */
Outcome return_page(Fault &fault)
{
	Fresh fresh{{}, false};

	for (;;) {
		bool shared = false;

		if (const auto outcome = lock_page_of(fault, fresh, shared))
			return *outcome;
		if (shared && kind_of(fault.vmf) == Kind::private_write)
			return copy_private(fault);
		if (shared) {
			if (const auto outcome = break_cow_for_fault(fault))
				return *outcome;
			continue;
		}
		if (state_of(fault).may_come_again)
			return swap_in_unlocked(fault);
		if (fresh.error == -KAPI_EAGAIN)
			if (const auto outcome = read_backed(fault, fresh.backed, fresh.page.get()))
				return *outcome;
		if (fresh.page)
			continue;
		fresh = fresh_page(fault, fault.object->pages().is_hole(fault.index()));
		if (!fresh.page)
			return Outcome::no_memory;
	}
}

/*
 * Locks @page, if the object still has it for its own: one that RESTORE has left is at home with
 * it until it is freed. Not while a snapshot is being taken: a page that stays the object's is
 * not to be written before that is whole.
 */
bool lock_page_to_write(const Fault &fault, folio *page)
{
	Pages &pages = fault.object->pages();
	Shared lock{pages};

	lock_page(page, Kind::mkwrite);
	if (pages.owns(page) && pages.resident(fault.index()) == page)
		return true;
	unlock_page(page);
	return false;
}

/*
 * For a page that is a snapshot's, or is gone. If the entry permits to write what is there
 * now, that was all; otherwise the fault comes again for it. What may be out by now is waited
 * for to the end: the core has replaced the fault's flags, and with them what it has locked.
 */
Outcome break_cow_to_write(const Fault &fault, folio *page)
{
	Writer writer{page, fault.vma(), kapi_vmf_address(fault.vmf)};

	Pages &pages = fault.object->pages();

	if (const int err = pages.break_cow(
		    fault.index(), {.vmf = fault.vmf, .writer = &writer, .killable = false}))
		return outcome_of_fill(err);
	if (writer.may_write)
		return Outcome::mapped;
	return pages.resident(fault.index()) ? Outcome::again : Outcome::truncated;
}

/*
 * A write through a PTE that is read-only because the page may be about to become
 * dirty. The page comes unlocked; it goes back locked, and still the object's (R17).
 */
Outcome make_writable(const Fault &fault)
{
	folio *page = kapi_vmf_folio(fault.vmf);

	kapi_test_step(COWMEM_STEP_MKWRITE, fault.vmf);
	if (!fault.object->pages().owns(page) || !lock_page_to_write(fault, page))
		return break_cow_to_write(fault, page);
	if (kapi_folio_poisoned(page)) {
		unlock_page(page);
		return Outcome::poisoned;
	}
	kapi_count(COWMEM_COUNT_page_locks_handed_over);
	return Outcome::made_writable;
}

/* The path of a fault that takes the object's lock, or a page's. */
Outcome serve_locked(Fault &fault, Kind kind)
{
	switch (kind) {
	case Kind::private_write:
		return fault.mapping.handler_copies ? copy_private(fault) : return_page(fault);
	case Kind::mkwrite:
		return make_writable(fault);
	case Kind::read:
	case Kind::shared_write:
		return return_page(fault);
	}
	__builtin_unreachable();
}

/* A private write that the core is to copy cannot do without the page lock. */
bool needs_page_lock(const Fault &fault, Kind kind)
{
	return kind == Kind::private_write && !fault.mapping.handler_copies;
}

unsigned int serve(Fault fault, Kind kind)
{
	kapi_count(counter_of(kind));
	if (!needs_page_lock(fault, kind) && !may_be_for_user_space(fault) &&
	    worth_speculating(fault, kind)) {
		if (const auto outcome = speculate(fault, kind))
			return answer(fault, kind, *outcome);
		kapi_count(COWMEM_COUNT_locked_retries);
	}
	return answer(fault, kind, serve_locked(fault, kind));
}

} /* namespace */

} /* namespace cowmem */

/* vm_operations_struct::fault. Sleeps. R1-R16; kernel counterpart: shmem_fault(), dax_fault_cow_page(). */
extern "C" unsigned int cowmem_fault(vm_fault *vmf)
{
	using namespace cowmem;

	kapi_test_step(COWMEM_STEP_ENTERED, vmf);
	return serve(Fault{vmf}, kind_of(vmf));
}

/* vm_operations_struct::page_mkwrite. Sleeps. R17, R18; kernel counterpart: filemap_page_mkwrite(). */
extern "C" unsigned int cowmem_page_mkwrite(vm_fault *vmf)
{
	using namespace cowmem;

	return serve(Fault{vmf}, Kind::mkwrite);
}
