// SPDX-License-Identifier: GPL-2.0
/*
 * Large folios (kernel/large.h): how they are made, mapped by one entry, and taken apart.
 *
 * folio->private has their names, those of each part for itself: that is what each part
 * takes along when the folio is broken, which so needs no memory.
 */
#include <linux/hash.h>
#include <linux/kmemleak.h>
#include <linux/memcontrol.h>
#include <linux/mm_inline.h>
#include <linux/mmu_notifier.h>
#include <linux/rmap.h>
#include <linux/userfaultfd_k.h>

#include "kernel/kapi_folio.h"
#include "kernel/large.h"
#include "kernel/module.h"
#include "kernel/symbols.h"

bool cowmem_large_used __read_mostly;

#if compat_has_large

static_assert(KAPI_LARGE_PAGES == HPAGE_PMD_NR);
static_assert(KAPI_LEAF_SIZE == SZ_64K);

struct names {
	struct rcu_head rcu;
	atomic_t parts; /* that have one, or are just losing it */
	atomic_t all;
	atomic_t of[HPAGE_PMD_NR];
};

static struct names *names_of(const struct folio *large)
{
	return (struct names *)READ_ONCE(large->private);
}

static struct folio *whole(const struct folio *part)
{
	return page_folio((struct page *)&part->page);
}

static unsigned int number_of(const struct folio *part)
{
	return &part->page - &whole(part)->page;
}

bool cowmem_large_is_possible(void)
{
	return has_transparent_hugepage();
}

void cowmem_large_begin(void)
{
	static bool is_seen;

	if (smp_load_acquire(&is_seen)) /* with what each CPU has seen by then */
		return;
	WRITE_ONCE(cowmem_large_used, true);
	synchronize_rcu(); /* each CPU sees that */
	smp_store_release(&is_seen, true);
}

/* --- names --- */
/* What has lost the last one has none: the memory stays for a grace period. */
static unsigned long read_names(const struct folio *part, bool all)
{
	const struct names *names;
	unsigned long count;

	rcu_read_lock();
	names = names_of(whole(part));
	count = !names ? 0 : atomic_read(all ? &names->all : &names->of[number_of(part)]);
	rcu_read_unlock();
	return count;
}

unsigned long cowmem_large_names(const struct folio *part)
{
	return read_names(part, false);
}

unsigned long cowmem_large_all_names(const struct folio *part)
{
	return read_names(part, true);
}

/*
 * The part has one already, which is kept meanwhile, and the caller a reference for this one. Who breaks the whole has counted all
 * before it is frozen: with this one, only if that of the part is there to be seen, too.
 */
void cowmem_large_add_name(struct folio *part)
{
	struct names *names = names_of(whole(part));

	atomic_inc(&names->of[number_of(part)]);
	smp_mb__after_atomic(); /* with cowmem_large_break() */
	atomic_inc(&names->all);
}

/* True: it was the part's last one. */
bool cowmem_large_drop_name(struct folio *part)
{
	struct names *names = names_of(whole(part));
	const bool last = atomic_dec_and_test(&names->of[number_of(part)]);

	atomic_dec(&names->all);
	return last;
}

bool cowmem_large_leave_part(struct folio *part)
{
	return atomic_dec_and_test(&names_of(whole(part))->parts);
}

void cowmem_large_forget_names(struct folio *part)
{
	struct folio *folio = whole(part);
	struct names *names = names_of(folio);

	WRITE_ONCE(folio->private, NULL);
	kfree_rcu(names, rcu);
}

/*
 * The home of @part, of which the caller need not have a reference: if the whole is broken meanwhile, whose
 * first part may have none then, that of the page that @part is.
 */
struct address_space *cowmem_large_mapping(const struct folio *part)
{
	const struct folio *folio;
	struct address_space *mapping;

	do {
		folio = whole(part);
		smp_rmb(); /* with make_page(): a part that is a page by now has its mapping */
		mapping = READ_ONCE(folio->mapping);
		smp_rmb(); /* with make_page() and cowmem_large_break() */
	} while (unlikely(whole(part) != folio));
	return mapping;
}

/* --- turns at blocks --- */
/* As many as not to have faults wait that are about different blocks. */
static struct mutex turns[256];

int cowmem_large_init(void)
{
	for (unsigned int i = 0; i < ARRAY_SIZE(turns); i++)
		mutex_init(&turns[i]);
	return 0;
}

struct mutex *cowmem_large_turn(const struct address_space *mapping, unsigned long index)
{
	const unsigned long block = (unsigned long)mapping ^ (index >> HPAGE_PMD_ORDER);

	return &turns[hash_long(block, ilog2(ARRAY_SIZE(turns)))];
}

/* --- making --- */
/* @folio, which was just allocated, with room for names; or it is freed, and NULL. */
static struct folio *with_names(struct folio *folio, gfp_t gfp)
{
	struct names *names = folio ? kmalloc(sizeof(*names), gfp) : NULL;

	if (!names) {
		if (folio)
			cowmem_large_abandon(folio);
		return NULL;
	}
	folio->private = names;
	kmemleak_not_leak(names); /* which does not look there */
	return folio;
}

bool cowmem_large_has_failed(const struct folio *large)
{
	for (unsigned int i = 0; i < HPAGE_PMD_NR; i++)
		if (PageHWPoison(&large->page + i))
			return true;
	return false;
}

/* As for THP where nobody asked for compaction: from what is free, or not at all. */
#define FREE (((GFP_HIGHUSER | __GFP_ACCOUNT) & ~__GFP_RECLAIM) | __GFP_NOMEMALLOC | __GFP_NOWARN)
/* Names, the same. */
#define FREE_NAMES (__GFP_ACCOUNT | __GFP_NOMEMALLOC | __GFP_NOWARN)

/* The task of a fault beyond memory.high pays for that on its way to user space. */
struct folio *cowmem_large_alloc(const struct vm_fault *vmf)
{
	const gfp_t gfp = FREE | __GFP_ZERO | __GFP_COMP;

	return with_names(vma_policy(vmf->vma)
	                          ? vma_alloc_folio(gfp, HPAGE_PMD_ORDER, vmf->vma, vmf->address)
	                          : folio_alloc(gfp, HPAGE_PMD_ORDER),
	                  GFP_KERNEL_ACCOUNT);
}

struct folio *cowmem_large_alloc_on(int node, bool zeroed)
{
	/* Who asks for it waits until memory is put together, if that is soon. */
	const gfp_t gfp = GFP_HIGHUSER | __GFP_ACCOUNT | __GFP_COMP | __GFP_NORETRY |
	                  __GFP_NOMEMALLOC | __GFP_NOWARN | (zeroed ? __GFP_ZERO : 0);

	return with_names(node == NUMA_NO_NODE ? folio_alloc(gfp, HPAGE_PMD_ORDER)
	                                       : __folio_alloc_node(gfp, HPAGE_PMD_ORDER, node),
	                  GFP_KERNEL_ACCOUNT);
}

#ifdef CONFIG_MEMCG
/* With the page lock held: the owner does not change. */
static struct mem_cgroup *get_group_of(struct folio *page)
{
	return folio_memcg_kmem(page) ? get_mem_cgroup_from_objcg(folio_objcg(page)) : NULL;
}

/* Has this task pay for @pages beyond memory.high on its way to user space. Returns for how many it had to. */
static unsigned int set_over_high(unsigned int pages)
{
	return xchg(&current->memcg_nr_pages_over_high, pages);
}
#else
static struct mem_cgroup *get_group_of(struct folio *page)
{
	return NULL;
}

static unsigned int set_over_high(unsigned int pages)
{
	return 0;
}
#endif

/* Gives @large back if it was charged beyond memory.high of somebody, since the task had to pay for @owed pages: then it pays for no more. */
static struct folio *unless_over_high(struct folio *large, unsigned int owed)
{
	if (!set_over_high(owed) || !large)
		return large;
	cowmem_large_abandon(large);
	return NULL;
}

/* A write may have any number before it is on that way; so beyond memory.high it gets none, and takes pages, for which it pays at once. */
struct folio *cowmem_large_alloc_to_write(bool zeroed)
{
	const gfp_t gfp = FREE | __GFP_COMP | (zeroed ? __GFP_ZERO : 0);
	const unsigned int owed = set_over_high(0);

	return unless_over_high(with_names(folio_alloc(gfp, HPAGE_PMD_ORDER), FREE_NAMES), owed);
}

/*
 * Nobody asked for it, so nothing is reclaimed for it, no task waits, pays or is killed: what there is not may be there
 * later. The node is the page's: that of a worker says nothing, nor what it may take of others.
 */
struct folio *cowmem_large_alloc_as(struct folio *page)
{
	struct mem_cgroup *group = get_group_of(whole(page));
	struct mem_cgroup *before = set_active_memcg(group);
	const unsigned int owed = set_over_high(0);
	struct folio *large;

	large = with_names(__folio_alloc_node(FREE | __GFP_COMP | __GFP_THISNODE, HPAGE_PMD_ORDER,
	                                      folio_nid(page)),
	                   FREE_NAMES);
	set_active_memcg(before);
	mem_cgroup_put(group);
	return unless_over_high(large, owed);
}

/* Each is charged for itself from then on. */
struct folio *cowmem_leaf_alloc(void)
{
	struct page *pages = alloc_pages(FREE | __GFP_ZERO, KAPI_LEAF_SHIFT);

	if (!pages)
		return NULL;
	split_page(pages, KAPI_LEAF_SHIFT);
	return page_folio(pages);
}

/* One whose memory has failed by then is kept for ever: the allocator keeps damaged memory back only of what is one page. */
void cowmem_large_abandon(struct folio *large)
{
	kfree(names_of(large));
	large->private = NULL;
	if (!cowmem_large_has_failed(large))
		folio_put(large);
}

void cowmem_large_attach(struct folio *large, struct address_space *mapping, unsigned long index)
{
	struct names *names = names_of(large);

	atomic_set(&names->parts, HPAGE_PMD_NR);
	atomic_set(&names->all, HPAGE_PMD_NR);
	for (unsigned int i = 0; i < HPAGE_PMD_NR; i++)
		atomic_set(&names->of[i], 1);
	folio_ref_add(large, HPAGE_PMD_NR);
	__folio_mark_uptodate(large);
	INIT_LIST_HEAD(&large->lru);
	WRITE_ONCE(large->index, index);
	WRITE_ONCE(large->mapping, mapping);
}

/* --- what the whole knows of pins and poison --- */
bool cowmem_large_maybe_pinned(const struct folio *part)
{
	return folio_maybe_dma_pinned(whole(part));
}

void cowmem_large_note_poison(struct folio *part)
{
	folio_set_has_hwpoisoned(whole(part));
}

bool cowmem_large_poisoned(struct folio *part)
{
	return folio_test_has_hwpoisoned(whole(part)) || folio_test_hwpoison(whole(part));
}

/* --- breaking --- */
#ifdef CONFIG_MEMCG
/* All of it was charged to one cgroup, and each page gives back its own share. */
static void share_owner(struct folio *large)
{
	if (folio_memcg_kmem(large))
		obj_cgroup_get_many(folio_objcg(large), HPAGE_PMD_NR - 1);
	/* Where there is no owner, too: what has been there of the whole, its size, goes. */
	for (unsigned int i = 1; i < HPAGE_PMD_NR; i++)
		(&large->page + i)->memcg_data = large->memcg_data;
}
#else
static void share_owner(struct folio *large) {}
#endif

/*
 * Part @i is a folio of its own, with @references. Whoever looked at it as a part had found
 * no reference to be had on the whole, and looks again. As __split_huge_page_tail().
 */
static void make_page(struct folio *large, unsigned int i, unsigned long names, int references)
{
	const unsigned long marks = BIT(PG_uptodate) | BIT(PG_dirty) | BIT(PG_checked) |
	                            BIT(PG_referenced) | BIT(PG_mlocked) | BIT(PG_workingset) |
	                            BIT(PG_active);
	struct folio *part = (struct folio *)(&large->page + i);
	unsigned long *flags = folio_flags_word(part);

	*flags &= ~PAGE_FLAGS_CHECK_AT_PREP;
	*flags |= *folio_flags_word(large) & (marks | LRU_GEN_MASK | LRU_REFS_MASK);
	part->mapping = names ? large->mapping : NULL;
	part->index = large->index + i;
	part->private = (void *)names;
	smp_wmb();                  /* all of that is there before it is no part any more */
	INIT_LIST_HEAD(&part->lru); /* in whose place it said what it was a part of */
	folio_ref_unfreeze(part, references);
}

bool cowmem_large_break(struct folio *large, unsigned int *unnamed)
{
	struct names *names = names_of(large);
	const int all = atomic_read(&names->all);
	const int callers = 1, listing = 1;
	int first;

	if (!folio_ref_freeze(large, all + callers))
		return false;
	/* A name went with its reference since, and somebody else's came. */
	if (atomic_read(&names->all) != all) {
		folio_ref_unfreeze(large, all + callers);
		return false;
	}
	smp_rmb(); /* with cowmem_large_add_name(): those of the parts are not older than all */
	/* Nobody comes to have a reference, so nobody can give it a name, take one, or map it. */
	first = atomic_read(&names->of[0]);
	share_owner(large);
	ClearPageHead(&large->page);
	*unnamed = !first;
	for (unsigned int i = 1; i < HPAGE_PMD_NR; i++) {
		const int of_part = atomic_read(&names->of[i]);

		*unnamed += !of_part;
		make_page(large, i, of_part, of_part + listing);
	}
	large->private = (void *)(unsigned long)first;
	smp_wmb(); /* as cowmem_large_mapping() reads */
	if (!first)
		WRITE_ONCE(large->mapping, NULL);
	folio_ref_unfreeze(large, first + callers);
	kfree_rcu(names, rcu);
	return true;
}

/* --- entries --- */
unsigned long cowmem_pmd_part(struct vm_area_struct *vma, unsigned long value,
                              unsigned long address)
{
	const pmd_t pmd = __pmd(value);
	pte_t pte = pfn_pte(pmd_pfn(pmd) + ((address & ~HPAGE_PMD_MASK) >> PAGE_SHIFT),
	                    vma->vm_page_prot);

	pte = pmd_young(pmd) ? pte_mkyoung(pte) : pte_mkold(pte);
	pte = pmd_write(pmd) ? pte_mkwrite_novma(pte) : pte_wrprotect(pte);
	if (pmd_dirty(pmd))
		pte = pte_mkdirty(pte);
	pte = pmd_soft_dirty(pmd) ? pte_mksoft_dirty(pte) : pte_clear_soft_dirty(pte);
	return pte_val(pmd_uffd(pmd) ? pte_mkuffd(pte) : pte);
}

void cowmem_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address)
{
	cowmem_symbol_call(__split_huge_pmd)(vma, pmd, address, false BEFORE_7_2(, NULL));
}

/*
 * Exchanged at once, since others look whether something is there without its lock; nor is that needed to take a
 * permission away. As pmdp_invalidate_ad() and change_huge_pmd(), but an access at this moment may not be noted.
 */
bool cowmem_pmd_protect(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address, bool *dirty)
{
	pmd_t old = *pmd;

	*dirty = false;
	if (!pmd_write(old) && !pmd_dirty(old))
		return false;
	flush_cache_range(vma, address, address + HPAGE_PMD_SIZE);
	old = pmdp_establish(vma, address, pmd, pmd_mkclean(pmd_wrprotect(old)));
	*dirty = pmd_dirty(old);
	return true;
}

/* As src/kernel/helpers.c has them for single pages. */
#ifdef CONFIG_X86
#undef flush_pmd_tlb_range
#define flush_pmd_tlb_range(vma, start, end) \
	cowmem_symbol_call(flush_tlb_mm_range)((vma)->vm_mm, start, end, PMD_SHIFT, false)
#define clear_young(vma, address, pmd) \
	test_and_clear_bit(_PAGE_BIT_ACCESSED, (unsigned long *)(pmd))
#else
#define clear_young pmdp_test_and_clear_young
#endif

/*
 * As pmdp_clear_flush_young_notify(): an entry of 2 MiB can stay in TLBs for long, where nothing says that it is used. True:
 * a secondary MMU has used some of it.
 */
bool cowmem_pmd_clear_young(struct vm_area_struct *vma, unsigned long address, pmd_t *pmd)
{
	const unsigned long start = address & HPAGE_PMD_MASK, end = start + HPAGE_PMD_SIZE;

	if (pmd_young(*pmd) && clear_young(vma, start, pmd))
		flush_pmd_tlb_range(vma, start, end);
	return mmu_notifier_clear_flush_young(vma->vm_mm, start, end);
}

bool cowmem_thp_disabled(struct vm_area_struct *vma)
{
	return vma_thp_disabled(vma, vma->vm_flags SINCE_7_2(, false));
}

bool cowmem_fits_block(const struct vm_fault *vmf)
{
	return thp_vma_suitable_order(vmf->vma, vmf->address & HPAGE_PMD_MASK, HPAGE_PMD_ORDER);
}

/* As do_set_pmd(), but for who has the lock, and has looked under it whether that may be. */
void cowmem_map_block(struct vm_fault *vmf, struct folio *large, bool write)
{
	struct vm_area_struct *vma = vmf->vma;
	const unsigned long address = vmf->address & HPAGE_PMD_MASK;
	pmd_t entry;

	flush_icache_pages(vma, &large->page, HPAGE_PMD_NR);
	entry = folio_mk_pmd(large, vma->vm_page_prot);
	if (write)
		entry = pmd_mkwrite_novma(entry);
	if (vmf->flags & FAULT_FLAG_WRITE)
		entry = pmd_mkdirty(entry);
	folio_get(large);
	compat_add_rss(vma->vm_mm, MM_FILEPAGES, HPAGE_PMD_NR);
	cowmem_symbol_call(folio_add_file_rmap_pmd)(large, &large->page, vma);
	set_pmd_at(vma->vm_mm, address, vmf->pmd, entry);
	update_mmu_cache_pmd(vma, address, vmf->pmd);
}

/* As set_pte_range(), but for who takes no references before. */
void cowmem_map_parts(struct vm_area_struct *vma, unsigned long address, pte_t *entries,
                      struct folio *part, unsigned long first, unsigned int count)
{
	struct folio *large = whole(part);

	folio_ref_add(large, count);
	compat_add_rss(vma->vm_mm, MM_FILEPAGES, count);
	cowmem_symbol_call(folio_add_file_rmap_ptes)(large, &part->page, count, vma);
	set_ptes(vma->vm_mm, address, entries, __pte(first), count);
}

/* Where the entry for a block at @address is, or NULL: there is no table for it. The VMA keeps what there is. */
static pmd_t *pmd_of(struct mm_struct *mm, unsigned long address)
{
	pgd_t *pgd = pgd_offset(mm, address);
	p4d_t *p4d = pgd_present(*pgd) ? p4d_offset(pgd, address) : NULL;
	pud_t *pud = p4d && p4d_present(*p4d) ? pud_offset(p4d, address) : NULL;

	return pud && pud_present(*pud) && !pud_leaf(*pud) ? pmd_offset(pud, address) : NULL;
}

static bool is_empty(pte_t *table)
{
	for (unsigned int i = 0; i < PTRS_PER_PTE; i++)
		if (!pte_none(ptep_get(table + i)))
			return false;
	return true;
}

/*
 * Whether tasks may count on a table of @vma to stay where it is though it is empty: mremap(), which moves private copies
 * into one, and those who protect what is not there yet. As in retract_page_tables().
 */
static bool keeps_empty_tables(const struct vm_area_struct *vma)
{
	return READ_ONCE(vma->anon_vma) || userfaultfd_wp((struct vm_area_struct *)vma);
}

/*
 * Where all of the block from page @index on is mapped, by a page table that has no entry, that is freed: one entry can
 * map the block then. With the lock of the VMA's tree, in which the VMA keeps the tables above, as in retract_page_tables().
 * Whoever else is on the way to it looks at the pmd entry again under its lock; and finds no memory that was freed, which
 * is for RCU. Secondary MMUs know of no entry there.
 */
void cowmem_free_empty_table(struct vm_area_struct *vma, unsigned long index)
{
	struct mm_struct *mm = vma->vm_mm;
	const unsigned long address = vma->vm_start + ((index - vma->vm_pgoff) << PAGE_SHIFT);
	spinlock_t *pmd_lock_, *pte_lock;
	pgtable_t table = NULL;
	pmd_t *pmd;

	/* The lock of a page table is not its pmd's. */
	BUILD_BUG_ON(!IS_ENABLED(CONFIG_SPLIT_PTE_PTLOCKS));
	if (keeps_empty_tables(vma) || index < vma->vm_pgoff ||
	    !IS_ALIGNED(address, HPAGE_PMD_SIZE) || vma->vm_end < address + HPAGE_PMD_SIZE)
		return;
	pmd = pmd_of(mm, address);
	if (!pmd || pmd_none(pmdp_get_lockless(pmd)))
		return;
	pmd_lock_ = pmd_lock(mm, pmd);
	if (pmd_present(*pmd) && !pmd_leaf(*pmd) && !pmd_bad(*pmd)) {
		pte_lock = pte_lockptr(mm, pmd);
		spin_lock_nested(pte_lock, SINGLE_DEPTH_NESTING);
		if (!keeps_empty_tables(vma) && is_empty(pte_offset_kernel(pmd, address)))
			table = pmd_pgtable(
				cowmem_symbol_call(pmdp_collapse_flush)(vma, address, pmd));
		spin_unlock(pte_lock);
	}
	spin_unlock(pmd_lock_);
	if (!table)
		return;
	mm_dec_nr_ptes(mm);
	cowmem_symbol_call(pte_free_defer)(mm, table);
	this_cpu_inc(cowmem_counts.value[COWMEM_COUNT_tables_freed]);
}

static const struct vm_operations_struct *large_ops(const struct vm_operations_struct *small)
{
	return small == &cowmem_file_vm_ops      ? &cowmem_large_file_vm_ops
	       : small == &cowmem_private_vm_ops ? &cowmem_large_private_vm_ops
	                                         : &cowmem_large_vm_ops;
}

void cowmem_set_large_ops(struct vm_area_struct *vma, bool always)
{
	vma->vm_ops = large_ops(vma->vm_ops);
	/*
	 * Where huge pages are for those who ask for them: who has the object always take them did. But not if the
	 * process, by now, has them only where its own madvise() says so (prctl(2)).
	 */
	if (always SINCE_7_2(&&!mm_flags_test(MMF_DISABLE_THP_EXCEPT_ADVISED, vma->vm_mm)))
		vm_flags_set(vma, VM_HUGEPAGE);
}

#endif
