// SPDX-License-Identifier: GPL-2.0
/*
 * Fault-around: a read fault maps the resident pages around its own, too.
 *
 * The kernel calls map_pages under RCU and has allocated a page table where there is
 * none: nothing here sleeps or allocates (R24). What the window is, is ours to say; the
 * range that the kernel proposes follows a setting of the whole machine, and is not
 * looked at.
 *
 * What keeps a removal apart is the object's count, read once more under the PTE lock
 * (layers/object_lock.h): the candidates are looked up after that, and a writer that begins
 * later has to unmap before it takes a page out of the table, so it waits for the PTE
 * lock with all of them still in. So a page lock has nothing to add for truncation,
 * neither on private mappings, which take none (R20), nor on shared ones. But others
 * could lock a page, too, see that nobody has it mapped, and rely on that. In Linux 6.12
 * nobody does who can get hold of an object's page: reclaim, migration and memory failure
 * ask for the kernel's own LRU, and nobody else may take a page out (src/device/inode.c). For
 * those who may come, shared mappings try the lock by default (R21).
 *
 * The lock-free mode (R22) counts the mapping first and tests the lock after that, by a
 * read-modify-write. For to take the page lock is an acquire, and on arm64 no more: what
 * the locker loads next may come before the lock is there for others to load. But of two
 * read-modify-writes of one word one is first. If that is the locker's, the test finds
 * the lock, and the count is undone; if it is the test, the locker sees the count.
 * kunit/model/around.pml is this. What counts a mapping of an mlocked VMA also counts it
 * as locked, and undoes that: there the lock is tried.
 */
#include <bit>

#include "fault/around.h"
#include "kernel/minmax.h"
#include "kernel/rcu.h"
#include "kernel/steps.h"

namespace cowmem {

namespace {

constexpr unsigned int entries_per_table = 512;

struct Window {
	Index first, last; /* both within mapping and page table; last < first: nothing */
};

/*
 * As the kernel has it: from the aligned address, or the mapping's first if that comes
 * later, as many pages as @pages, or as the parameter says; cut to mapping, page table and object's
 * end (R25).
 */
Window window_of(const Fault &fault, unsigned long pages)
{
	const unsigned long pte_index = kapi_vmf_pte_index(fault.vmf);
	const unsigned long before = min_of(pte_index % pages, fault.index() - fault.mapping.first);
	const unsigned long length = min_of(pages, entries_per_table - (pte_index - before));
	const Index end = min_of(fault.mapping.end, fault.object->end_index());
	const Index first = fault.index() - before;

	if (fault.index() >= end)
		return {1, 0};
	return {first, min_of(first + length, end) - 1};
}

Window window_of(const Fault &fault)
{
	return window_of(fault, std::bit_floor(clamp(kapi_around_pages(), 1U, entries_per_table)));
}

/* A page lock for a scope, if there is a page and it is to be had at once. */
class TryPageLock {
public:
	[[gnu::always_inline]] explicit TryPageLock(folio *page)
		: page_{page && kapi_folio_trylock(page) ? page : nullptr}
	{
		if (page_)
			kapi_count(COWMEM_COUNT_around_page_locks);
	}
	[[gnu::always_inline]] ~TryPageLock()
	{
		if (page_)
			kapi_folio_unlock(page_);
	}
	TryPageLock(const TryPageLock &) = delete;
	TryPageLock &operator=(const TryPageLock &) = delete;

	explicit operator bool() const { return page_; }

private:
	folio *page_;
};

/* A mapping that is counted for a scope, whether or not there is one; a full barrier. */
class CountedMapping {
public:
	CountedMapping(folio *page, vm_area_struct *vma) : page_{page}, vma_{vma}
	{
		kapi_folio_add_rmap(page_, vma_);
	}
	~CountedMapping() { kapi_folio_remove_rmap(page_, vma_); }
	CountedMapping(const CountedMapping &) = delete;
	CountedMapping &operator=(const CountedMapping &) = delete;

private:
	folio *page_;
	vm_area_struct *vma_;
};

/* What the neighbours are wanted for. */
enum class For { reading, writing };

/* The neighbours of one fault, with the page table locked. */
class Around {
public:
	Around(const Fault &fault, FaultTable &table, const Window &window, For what)
		: fault_{fault},
		  what_{what},
		  own_only_{what == For::writing || fault.mapping.pinnable},
		  table_{table},
		  pages_{fault.object->pages()},
		  walk_{pages_.tree(), window.first, window.last},
		  shared_{fault.mapping.flags.shared()},
		  lock_free_{kapi_around_lock_free() && !fault.mapping.flags.locked()}
	{
	}

	/* Maps what it can. Whether the fault's own page is among it. */
	bool map_all()
	{
		while (folio *page = walk_.next())
			kapi_count(consider(page, address_of_page()));
		return own_mapped_;
	}

private:
	/* Where the page that the walk is at belongs. */
	unsigned long address_of_page() const { return fault_.address_of(walk_.index()); }

	/*
	 * What became of a candidate: mapped, or the reason why not. The order is R19's; but
	 * whether something is there cannot change with the table locked, and comes first.
	 */
	[[gnu::always_inline]] cowmem_counter consider(folio *page, unsigned long address)
	{
		return kapi_may_be_large(page) ? consider_part(page, address)
		                               : consider_page(page, address);
	}
	/* The same code for what may be a part of a large folio, and for what is none. */
	[[gnu::noinline]] cowmem_counter consider_part(folio *page, unsigned long address)
	{
		return consider_page(page, address);
	}
	[[gnu::always_inline]] cowmem_counter consider_page(folio *page, unsigned long address)
	{
		if (!table_.empty_at(address))
			return what_ == For::writing && pages_.owns(page) &&
			                       !kapi_folio_poisoned(page) &&
			                       table_.permit(page, address)
			               ? COWMEM_COUNT_around_permitted
			               : COWMEM_COUNT_around_skipped_present;
		if (own_only_ && !pages_.owns(page))
			return COWMEM_COUNT_around_skipped_shared;
		step(COWMEM_STEP_AROUND_FOUND);
		if (kapi_folio_locked(page))
			return COWMEM_COUNT_around_skipped_locked;
		step(COWMEM_STEP_AROUND_UNLOCKED);
		if (!kapi_folio_try_get(page))
			return COWMEM_COUNT_around_skipped_reference;

		FolioRef ref{page};

		step(COWMEM_STEP_AROUND_REFERENCED);
		if (!walk_.finds(page))
			return COWMEM_COUNT_around_skipped_moved;
		step(COWMEM_STEP_AROUND_STILL_THERE);
		if (kapi_folio_locked(page))
			return COWMEM_COUNT_around_skipped_locked_again;
		if (!kapi_folio_uptodate(page))
			return COWMEM_COUNT_around_skipped_not_uptodate;
		if (kapi_folio_poisoned(page))
			return COWMEM_COUNT_around_skipped_poisoned;
		step(COWMEM_STEP_AROUND_READY);

		const bool must_lock = shared_ && !lock_free_;
		const TryPageLock lock{must_lock ? page : nullptr};

		return must_lock && !lock ? COWMEM_COUNT_around_skipped_trylock
		                          : settle(ref, address);
	}

	/* The last tests, and the mapping. @ref goes to the PTE, or stays the caller's. */
	[[gnu::always_inline]] cowmem_counter settle(FolioRef &ref, unsigned long address)
	{
		step(COWMEM_STEP_AROUND_SETTLED);
		if (!is_seen(ref.get()) || !kapi_folio_uptodate(ref.get()))
			return COWMEM_COUNT_around_skipped_owner;
		if (!fault_.object->holds(walk_.index()))
			return COWMEM_COUNT_around_skipped_end;
		return shared_ && lock_free_ ? map_counted(ref, address) : map(ref, address);
	}

	/* With the mapping counted before the last tests; the entry counts for itself. */
	cowmem_counter map_counted(FolioRef &ref, unsigned long address)
	{
		const CountedMapping counted{ref.get(), fault_.vma()};

		step(COWMEM_STEP_AROUND_COUNTED);
		if (kapi_folio_locked_atomic(ref.get()) || kapi_folio_poisoned(ref.get()) ||
		    !is_seen(ref.get()))
			return COWMEM_COUNT_around_undone;
		return map(ref, address);
	}

	[[gnu::always_inline]] cowmem_counter map(FolioRef &ref, unsigned long address)
	{
		if (what_ == For::writing) {
			table_.install_writable(ref.release(), address, old_);
			return COWMEM_COUNT_around_mapped_to_write;
		}
		if (address == kapi_vmf_address(fault_.vmf)) {
			table_.install(ref.release());
			own_mapped_ = true;
		} else {
			table_.install_neighbour(ref.release(), address, old_);
		}
		return COWMEM_COUNT_around_mapped;
	}

	/* Whether it is at home where the object sees pages; what may be written, with the object. */
	[[gnu::always_inline]] bool is_seen(const folio *page) const
	{
		if (pages_.owns(page))
			return true;

		const SharedHome *shared = pages_.shared_home();

		return !own_only_ && shared && shared->owns(page);
	}

	void step(cowmem_step step) const { kapi_test_step(step, fault_.vmf); }

	const Fault &fault_;
	const For what_;
	const bool own_only_;
	FaultTable &table_;
	const Pages &pages_;
	Tree::Walk walk_;
	const bool shared_;
	const bool lock_free_;
	const bool old_ =
		kapi_neighbours_start_old(); /* to ask costs arm64 as much as to map one */
	bool own_mapped_ = false;
};

bool map_around(const Fault &fault)
{
	const Pages &pages = fault.object->pages();
	const ObjectLock::Reading reading = pages.read();
	const Window window = window_of(fault);

	if (!reading.quiet()) {
		kapi_count(COWMEM_COUNT_around_overtaken);
		return false;
	}
	if (window.last < window.first)
		return false;
	/* Without its own page the fault goes on, and what follows has neighbours, too. */
	if (!pages.resident_rcu(fault.index()))
		return false;
	install_allocated_table(fault.vmf);
	kapi_test_step(COWMEM_STEP_AROUND_COUNT_READ, fault.vmf);

	FaultTable table{fault};

	if (!table) {
		kapi_count(COWMEM_COUNT_around_no_table);
		return false;
	}
	if (!pages.may_commit(reading)) {
		kapi_count(COWMEM_COUNT_around_overtaken);
		return false;
	}
	/* A copy may have been here, which the OOM reaper took: the fault handler says so. */
	if (fault.reaped())
		return false;
	return Around{fault, table, window, For::reading}.map_all();
}

/* Parts of one large folio that follow each other, where nothing is mapped in the locked table. */
class Run {
public:
	Run(const Fault &fault, FaultTable &table) : fault_{fault}, table_{table} {}
	~Run() { map(); }
	Run(const Run &) = delete;
	Run &operator=(const Run &) = delete;

	void add(folio *part, Index index)
	{
		if (!count_ || index != first_ + count_) {
			map();
			part_ = part;
			first_ = index;
		}
		count_++;
	}

private:
	void map()
	{
		if (!count_)
			return;
		table_.install_parts(part_, fault_.address_of(first_), count_);
		kapi_count_n(COWMEM_COUNT_around_mapped, count_);
		count_ = 0;
	}

	const Fault &fault_;
	FaultTable &table_;
	folio *part_ = nullptr;
	Index first_ = 0;
	unsigned int count_ = 0;
};

/* Whether @page, of @index, is of the same large folio as @part is. */
bool is_part(folio *part, const folio *page, Index index)
{
	return page == kapi_folio_part(kapi_folio_whole(part),
	                               static_cast<unsigned int>(index - first_of_block(index)));
}

/* A reference on @page, which @walk has found in @pages, if it is a part of a large folio that relatives see, and may be mapped. */
FolioRef part_found(const Pages &pages, const Tree::Walk &walk, folio *page)
{
	if (!kapi_folio_is_large(page) || !kapi_folio_try_get(page))
		return {};

	FolioRef part{page};

	return walk.finds(page) && kapi_folio_is_large(page) && !kapi_large_poisoned(page) &&
	                       !pages.owns(page)
	               ? std::move(part)
	               : FolioRef{};
}

/* The fault's leaf, as far as the page table and the mapping have it. */
Window window_of_leaf(const Fault &fault)
{
	const Window in_table = window_of(fault, entries_per_table);

	return {max_of(in_table.first, first_of_leaf(fault.index())),
	        min_of(in_table.last, last_of_leaf(fault.index()))};
}

/* Maps what it can beside the fault's own page, which is mapped. */
void map_window(const Fault &fault, FaultTable &table, const Window &window, For what)
{
	if (window.first < window.last && (what == For::reading || table.may_write_ahead()))
		Around{fault, table, window, what}.map_all();
}

} /* namespace */

Index last_around(const Fault &fault)
{
	return window_of(fault).last;
}

void map_read_around(const Fault &fault, FaultTable &table)
{
	Around{fault, table, window_of(fault), For::reading}.map_all();
}

void map_written_around(const Fault &fault, FaultTable &table)
{
	map_window(fault, table, window_of(fault), For::writing);
}

void map_leaf(const Fault &fault, Kind kind, FaultTable &table)
{
	map_window(fault, table, window_of_leaf(fault),
	           kind == Kind::read ? For::reading : For::writing);
}

/*
 * SNAPSHOT, and who else takes something away, comes before or behind this, by the object's lock; a copy of another part
 * (layers/break_cow.cc) is in the tree, or its walk waits for the table. Of a large folio that is broken or goes out
 * meanwhile there is no reference to be had, or the one that was keeps the parts.
 */
void map_parts_around(const Fault &fault)
{
	Pages &pages = fault.object->pages();
	const Index first = first_of_block(fault.index());
	const Window window = window_of(fault, entries_per_table);

	if (!kapi_vmf_has_table(fault.vmf) || !fault.mapping.flags.may_map_around() ||
	    fault.mapping.pinnable || !pages.try_lock_shared())
		return;

	Shared lock{pages, held};
	const Rcu rcu;

	install_allocated_table(fault.vmf);

	FaultTable table{fault};

	if (!table)
		return;
	kapi_smp_mb_after_lock();
	if (fault.reaped())
		return;

	Tree::Walk walk{pages.tree(), max_of(window.first, first),
	                min_of(window.last, last_of_block(first))};
	FolioRef large;
	Run run{fault, table};

	while (folio *page = walk.next()) {
		if (!large)
			large = part_found(pages, walk, page);
		if (large && is_part(large.get(), page, walk.index()) &&
		    !kapi_folio_poisoned(page) && table.empty_at(fault.address_of(walk.index())))
			run.add(page, walk.index());
	}
}

} /* namespace cowmem */

/*
 * vm_operations_struct::map_pages. NOPAGE if the fault's own page is mapped, else 0: the
 * fault handler is called. R19-R27; kernel counterpart: filemap_map_pages().
 */
extern "C" unsigned int cowmem_map_pages(vm_fault *vmf, unsigned long, unsigned long)
{
	using namespace cowmem;

	kapi_count(COWMEM_COUNT_around_calls);
	return map_around(Fault{vmf}) ? KAPI_VM_FAULT_NOPAGE : 0U;
}
