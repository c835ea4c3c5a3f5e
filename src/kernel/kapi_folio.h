/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): folios, the LRU, and whom memory is charged to. */
#ifndef COWMEM_KAPI_FOLIO_H
#define COWMEM_KAPI_FOLIO_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/*
 * --- folios: order 0, of the object's mapping; or parts of large ones ---
 *
 * A pointer is to the page that it is about, which may be a part of a large folio (kernel/large.h). Names
 * and bytes, the frame, the index and the mark of poison are the part's; lock, references, mappings, home and
 * all other marks are those of the whole.
 */
struct folio *kapi_zero_folio(void); /* the kernel's page of zeroes, for who reads */
struct folio *kapi_folio_alloc(bool zeroed);
struct folio *kapi_folio_alloc_near(int node); /* there, if it has memory */
enum kapi_node {
	KAPI_ANY_NODE = -1,
};

/* None, rather than to sleep; on @node only, if that is one: else as the task's policy says. */
struct folio *kapi_folio_alloc_ahead(int node);
bool kapi_vma_has_policy(const struct vm_area_struct *vma); /* of NUMA, by mbind() */
struct folio *kapi_folio_alloc_for(const struct vm_fault *vmf, bool zeroed);
void kapi_folio_get(struct folio *folio);
bool kapi_folio_try_get(struct folio *folio);
void kapi_cpu_relax(void); /* in a loop that waits for another CPU */
bool kapi_folio_locked(const struct folio *folio);
bool kapi_folio_locked_atomic(struct folio *folio); /* by a read-modify-write, a full barrier */
void kapi_folio_put(struct folio *folio);
void kapi_folio_lock(struct folio *folio);
void kapi_folio_unlock(struct folio *folio);
void kapi_folio_mark_uptodate(struct folio *folio);
void kapi_folio_mark_dirty(struct folio *folio); /* as who takes a dirty bit out of a page table */
bool kapi_folio_poisoned(const struct folio *folio);
struct address_space *kapi_folio_mapping(const struct folio *folio);
unsigned long kapi_folio_index(const struct folio *folio);
bool kapi_folio_uptodate(const struct folio *folio);
bool kapi_folio_mapped(const struct folio *folio);
void kapi_folio_attach(struct folio *folio, struct address_space *mapping, unsigned long index);
/* From one mapping to another, with the page lock held; behind all that was done before. */
void kapi_folio_rehome(struct folio *folio, struct address_space *mapping);
void kapi_folio_detach(struct folio *folio);
void kapi_folio_zero_range(struct folio *folio, size_t offset, size_t length);
/* How many names it has (store/home.h). True: that was the last. */
unsigned long kapi_folio_names(const struct folio *folio);
void kapi_folio_set_names(struct folio *folio, unsigned long names);
void kapi_folio_add_name(struct folio *folio);
bool kapi_folio_try_add_name(struct folio *folio); /* false: it has none */
bool kapi_folio_drop_name(struct folio *folio);
bool kapi_folio_trylock(struct folio *folio);
/* Waits for a second at most. Sleeps. */
bool kapi_folio_lock_soon(struct folio *folio);
unsigned long kapi_folio_pfn(const struct folio *folio);
int kapi_folio_node(const struct folio *folio);
unsigned int kapi_folio_mapcount(const struct folio *folio);
/* Whether it has the references of a DMA pin, beside those of its mappings. */
bool kapi_folio_maybe_pinned(const struct folio *folio);
void kapi_folio_poison(struct folio *folio);
/* The mark for "written since PAGEMAP last cleared that", beside the dirty bits of page tables. */
bool kapi_folio_written(const struct folio *folio);
void kapi_folio_keep_written(struct folio *folio);
bool kapi_folio_take_written(struct folio *folio); /* clears it: whether it was set */
/*
 * PG_dirty: written since its slot in the store was, or since PAGEMAP last cleared that, but for
 * the dirty bits of page tables.
 */
bool kapi_folio_dirty(const struct folio *folio);
void kapi_folio_set_dirty(struct folio *folio);
bool kapi_folio_take_dirty(struct folio *folio); /* clears it: whether it was set; a full barrier */
/* Somebody wrote it, without a page table: both. */
void kapi_folio_mark_written(struct folio *folio);
/* One page-out at a time for a page; no lock, and nobody waits for it. */
bool kapi_folio_try_begin_page_out(struct folio *folio);
void kapi_folio_end_page_out(struct folio *folio);
bool kapi_folio_going_out(const struct folio *folio); /* somebody has begun */
/* Any of these: written, dirty, going out; of one moment, as page-out moves what it finds. */
bool kapi_folio_has_mark(const struct folio *folio);
int kapi_folio_references(const struct folio *folio);
/* The store refused what it has, or had before it was written. Set with the page locked, at its home. */
bool kapi_folio_refused(const struct folio *folio);
void kapi_folio_set_refused(struct folio *folio);
void kapi_folio_forget_refused(struct folio *folio);
/* Used, other than by an entry of a page table that is still there. */
bool kapi_folio_referenced(const struct folio *folio);
bool kapi_folio_take_referenced(struct folio *folio);
void kapi_folio_mark_referenced(struct folio *folio);
/* It was read ahead, until reclaim has seen a use; and it was in use when reclaim looked last. */
void kapi_folio_mark_ahead(struct folio *folio);
bool kapi_folio_take_ahead(struct folio *folio);
void kapi_folio_mark_working(struct folio *folio);
bool kapi_folio_take_working(struct folio *folio);
bool kapi_folio_mlocked(const struct folio *folio); /* mlock() holds it: a hint */
/* Its bytes, for a short time in which nothing sleeps but what may be preempted. */
void *kapi_folio_map(struct folio *folio);
void kapi_folio_unmap(const void *bytes);
void kapi_folio_flush(struct folio *folio); /* the CPU wrote its bytes */
/* Makes the reference count 0 if it is @count; and @count again. */
bool kapi_folio_freeze(struct folio *folio, int count);
void kapi_folio_unfreeze(struct folio *folio, int count);
/* 0 or -EHWPOISON. Does not sleep. */
int kapi_folio_copy(struct folio *to, struct folio *from);
struct folio *kapi_folio_alloc_on(int node);
void kapi_folio_add_rmap(struct folio *folio, struct vm_area_struct *vma);
/* One more entry maps it; true: it is the first. What else there is to count, NewMappings does. */
bool kapi_folio_inc_mapcount(struct folio *folio);
/* Whether one count of pages that are mapped has both; adds to that which has this one. */
bool kapi_folio_counts_like(const struct folio *folio, const struct folio *other);
void kapi_folio_count_mapped(struct folio *folio, int n);
void kapi_folio_remove_rmap(struct folio *folio, struct vm_area_struct *vma);
/* Empties this CPU's batches of folios on the way between LRU lists. */
void kapi_drain_folio_batches(void);
void kapi_drain_folio_batches_everywhere(void);
size_t kapi_folio_copy_to_iter(struct folio *folio, size_t offset, size_t n, struct iov_iter *to);
size_t kapi_folio_copy_from_iter(struct folio *folio, size_t offset, size_t n,
                                 struct iov_iter *from);

/* --- large folios (store/large.h) --- */
enum kapi_large {
	KAPI_LARGE_SHIFT = 9,
	KAPI_LARGE_PAGES = 1 << KAPI_LARGE_SHIFT, /* parts of each */
};
/* A leaf of a tree, which may be filled at once, too. */
enum kapi_leaf {
	KAPI_LEAF_SHIFT = 4,
	KAPI_LEAF_PAGES = 1 << KAPI_LEAF_SHIFT,
	KAPI_LEAF_SIZE = KAPI_LEAF_PAGES * KAPI_PAGE_SIZE,
};

/* Whether the kernel lets us have them; there may be some from now on. Sleeps. */
bool kapi_has_large(void);
void kapi_large_begin(void);
bool kapi_folio_is_large(const struct folio *part);
/* Whether pages are to become large folios without a call that asks for it (src/layers/collapser.c). */
bool kapi_large_wanted_unasked(void);
/* Whether there are any: where this says no, all that is asked of @part behind it costs as if there were none. */
bool kapi_may_be_large(const struct folio *part);
/* How many pages the folio has that it is a part of. */
unsigned int kapi_folio_pages(const struct folio *part);
/* Its first part, by which the allocator knows it; and its part @i. */
struct folio *kapi_folio_whole(struct folio *part);
struct folio *kapi_folio_part(struct folio *large, unsigned int i);
/* The names of all its parts. */
unsigned long kapi_folio_all_names(const struct folio *part);
/* A page without a name goes. True: of a large folio, none has a name any more. With the page locked. */
bool kapi_folio_leave_part(struct folio *part);
/* Waits for the turn at the block of @index, where there may be a large folio (store/large.h); or null: a fatal signal. Sleeps. */
struct mutex *kapi_large_lock_turn(const struct address_space *mapping, unsigned long index);
void kapi_large_unlock_turn(struct mutex *turn);
/* A zeroed one, for a fault, with one reference; or null, rather than to reclaim memory for it. Sleeps. */
struct folio *kapi_large_alloc(const struct vm_fault *vmf);
/* The same for a write, @zeroed or as it is; and not beyond memory.high. */
struct folio *kapi_large_alloc_to_write(bool zeroed);
/* One for whoever asks for it, and may wait for it, on @node or near that, @zeroed or as it is, with one reference; or null. Sleeps. */
struct folio *kapi_large_alloc_on(int node, bool zeroed);
/* The same on the node of @page, which is locked, charged to the cgroup that @page is charged to, and of what is free there and then. */
struct folio *kapi_large_alloc_as(struct folio *page);
/* A leaf's pages, one behind the other and each for itself, zeroed, with one reference each; or null: none are free. Never reclaims. */
struct folio *kapi_leaf_alloc(void);
/* Whether objects that take large pages take blocks; leaves. */
bool kapi_huge_sizes_have_block(void);
bool kapi_huge_sizes_have_leaf(void);
/* Frees one that is at no home, if none of its memory has failed; otherwise it is kept for ever. */
void kapi_large_abandon(struct folio *large);
/* It is at home from page @index on; each part has a name, and a reference for that. */
void kapi_large_attach(struct folio *large, struct address_space *mapping, unsigned long index);
/* The parts have no names, and no references for them, after all: nobody has found one. */
void kapi_large_unattach(struct folio *large);
/*
 * @large, locked, with one reference of the caller's and mapped nowhere, becomes as many folios of one
 * page as it had parts; those without a name, @unnamed, are free, but for the first, of which the caller has a
 * reference. Takes no memory. False: somebody else has a reference. Each of the rest has a reference more,
 * which is the caller's. Kernel counterpart: __split_huge_page().
 */
bool kapi_large_break(struct folio *large, unsigned int *unnamed);
/* Whether memory of one of its parts has failed. The kernel marks such a part, and not the whole if that is on no LRU list of the kernel's. */
bool kapi_large_has_failed(const struct folio *large);
/* Whether one of its parts is known to be poisoned, or was: less work than kapi_large_has_failed(). */
bool kapi_large_poisoned(struct folio *large);

/* --- the LRU of objects' pages (src/reclaim/shrinker.c) --- */
#define KAPI_MAX_ISOLATED 32
/* Pages of one home, less than as many apart, that were taken off it, referenced. */
struct kapi_isolated {
	unsigned int count, most;
	struct folio *folio[KAPI_MAX_ISOLATED];
	unsigned int scanned; /* then: these, or as many as went, with their neighbours */
};
/* Adds a page at the end. False: there is no list for its cgroup yet. */
bool kapi_lru_add(struct folio *folio);
/* Makes that list. False: no memory. Sleeps. */
bool kapi_lru_prepare(struct folio *folio, bool ahead); /* may reclaim, unless it is @ahead */
void kapi_lru_del(struct folio *folio);
/* Whether it is there: a hint, unless its references are frozen. */
bool kapi_lru_has(const struct folio *folio);

/* --- whom memory is charged to: a memory cgroup, or null: nobody --- */
/* A reference on whom @folio, one of the allocator's or of an object's, is charged to. */
struct obj_cgroup *kapi_folio_get_owner(struct folio *folio);
void kapi_owner_put(struct obj_cgroup *owner);
/* The same without a reference: it stays as long as the folio does. */
struct obj_cgroup *kapi_folio_owner(struct folio *folio);
void kapi_owner_get(struct obj_cgroup *owner);
/* The cgroup that is charged for it now, or null: the root. Under RCU. */
const struct mem_cgroup *kapi_owner_group(struct obj_cgroup *owner);
/* The one that it is in, or null. */
const struct mem_cgroup *kapi_group_parent(const struct mem_cgroup *group);
unsigned int kapi_group_level(const struct mem_cgroup *group);   /* 1: it is in the root */
unsigned long kapi_group_serial(const struct mem_cgroup *group); /* no other has it, ever */
unsigned long kapi_group_id(const struct mem_cgroup *group);     /* its directory's inode */
/* Charges @size bytes, also beyond the limit: for what lets more go than it takes. False: it could not be. */
bool kapi_owner_charge(struct obj_cgroup *owner, size_t size);
void kapi_owner_uncharge(struct obj_cgroup *owner, size_t size);
/*
 * Has @folio, which nobody else has seen, charged to @owner, if that is still a cgroup's and has
 * room at once. Never sleeps.
 */
void kapi_folio_set_owner(struct folio *folio, struct obj_cgroup *owner);
/* The same again to @owner, to whom it was charged before that. */
void kapi_folio_return(struct folio *folio, struct obj_cgroup *owner);
/* Each is charged to whom the other was: neither is on the LRU. */
void kapi_folio_exchange_owners(struct folio *a, struct folio *b);

KAPI_END

#endif /* COWMEM_KAPI_FOLIO_H */
