/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What follows from new entries for pages of an object, beside the entries: each page
 * counts its mappings; the pages that are mapped, and those of the mm, are counted, too.
 * That is told once for all pages of one node and cgroup, not for each.
 *
 * Kernel counterpart: folio_add_file_rmap_ptes(), for the pages of one large folio.
 */
#ifndef COWMEM_NEW_MAPPINGS_H
#define COWMEM_NEW_MAPPINGS_H

#include "kernel/kapi.h"

namespace cowmem {

/* The entries that are made in a scope, in which their page table is locked. */
class NewMappings {
public:
	/* Of @vma, which is mlocked or not. */
	NewMappings(vm_area_struct *vma, bool locked) : vma_{vma}, locked_{locked} {}
	~NewMappings()
	{
		if (entries_)
			kapi_rss_add(kapi_vma_mm(vma_), KAPI_MM_FILEPAGES, entries_);
		if (first_)
			kapi_folio_count_mapped(first_, pages_);
	}
	NewMappings(const NewMappings &) = delete;
	NewMappings &operator=(const NewMappings &) = delete;

	/* One for @page. Its entry, which keeps it, is there when the scope ends. */
	[[gnu::always_inline]] void add(folio *page)
	{
		entries_++;
		/* The kernel counts it as locked, too, or counts for a large folio, and lets nobody else do that. */
		if (locked_ || kapi_folio_is_large(page))
			kapi_folio_add_rmap(page, vma_);
		else if (kapi_folio_inc_mapcount(page))
			count(page);
	}

private:
	/* @page was not mapped before. */
	[[gnu::always_inline]] void count(folio *page)
	{
		if (first_ && !kapi_folio_counts_like(page, first_)) {
			kapi_folio_count_mapped(first_, pages_);
			first_ = nullptr;
		}
		if (!first_) {
			first_ = page;
			pages_ = 0;
		}
		pages_++;
	}

	vm_area_struct *const vma_;
	const bool locked_;
	long entries_ = 0;
	folio *first_ = nullptr; /* of those that are not told yet */
	int pages_ = 0;          /* how many these are */
};

} /* namespace cowmem */

#endif /* COWMEM_NEW_MAPPINGS_H */
