/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Large folios: 512 pages, one compound page of the kernel's. What C++ sees of them is in
 * kernel/kapi_folio.h, and what they are in store/large.h.
 */
#ifndef COWMEM_LARGE_H
#define COWMEM_LARGE_H

#include <linux/mm.h>

#include "kernel/compat.h"

/* Whether there may be one: until then the module does not ask what is one. */
extern bool cowmem_large_used;

bool cowmem_large_is_possible(void);
void cowmem_large_begin(void);
int cowmem_large_init(void);
struct mutex *cowmem_large_turn(const struct address_space *mapping, unsigned long index);
struct folio *cowmem_large_alloc(const struct vm_fault *vmf);
struct folio *cowmem_large_alloc_to_write(bool zeroed);
struct folio *cowmem_large_alloc_on(int node, bool zeroed);
struct folio *cowmem_large_alloc_as(struct folio *page);
struct folio *cowmem_leaf_alloc(void);
void cowmem_large_abandon(struct folio *large);
bool cowmem_large_has_failed(const struct folio *large);
void cowmem_large_attach(struct folio *large, struct address_space *mapping, unsigned long index);
unsigned long cowmem_large_names(const struct folio *part);
unsigned long cowmem_large_all_names(const struct folio *part);
struct address_space *cowmem_large_mapping(const struct folio *part);
void cowmem_large_add_name(struct folio *part);
bool cowmem_large_drop_name(struct folio *part);
bool cowmem_large_leave_part(struct folio *part);
void cowmem_large_forget_names(struct folio *part);
bool cowmem_large_maybe_pinned(const struct folio *part);
void cowmem_large_note_poison(struct folio *part);
bool cowmem_large_poisoned(struct folio *part);
bool cowmem_large_break(struct folio *large, unsigned int *unnamed);

unsigned long cowmem_pmd_part(struct vm_area_struct *vma, unsigned long pmd, unsigned long address);
void cowmem_pmd_split(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address);
bool cowmem_pmd_protect(struct vm_area_struct *vma, pmd_t *pmd, unsigned long address, bool *dirty);
bool cowmem_pmd_clear_young(struct vm_area_struct *vma, unsigned long address, pmd_t *pmd);
bool cowmem_thp_disabled(struct vm_area_struct *vma);
bool cowmem_fits_block(const struct vm_fault *vmf);
void cowmem_map_block(struct vm_fault *vmf, struct folio *large, bool write);
void cowmem_map_parts(struct vm_area_struct *vma, unsigned long address, pte_t *entries,
                      struct folio *part, unsigned long first, unsigned int count);
void cowmem_free_empty_table(struct vm_area_struct *vma, unsigned long index);
void cowmem_set_large_ops(struct vm_area_struct *vma, bool always);

/*
 * As cowmem_large_mapping(), of what may be a page. Of a page that is freed, and becomes part of somebody's folio meanwhile, any
 * value, but no mapping: to be compared only.
 */
static inline struct address_space *cowmem_part_mapping(const struct folio *part)
{
	if (unlikely(PageTail((struct page *)&part->page)))
		return cowmem_large_mapping(part);
	smp_rmb(); /* with make_page() */
	return READ_ONCE(part->mapping);
}

/*
 * A reference on the folio that @part, a tail page, is of. False: it is being freed, or broken: who is asked
 * again finds another. Any other page is asked itself: a tail has no reference to give, and what has one becomes no tail.
 */
static inline bool cowmem_part_try_get(struct folio *part)
{
	struct folio *folio = page_folio(&part->page);

	if (!folio_try_get(folio))
		return false;
	if (likely(page_folio(&part->page) == folio))
		return true;
	folio_put(folio);
	return false;
}

#endif /* COWMEM_LARGE_H */
