// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that fails while an object has it. The kernel's own memory_failure() knows no page
 * of ours, since none is on its LRU; but machine checks are told to whoever decodes them, and
 * what such a one says of an object's page is done as COWMEM_IOC_POISON does it (src/device/poison.cc).
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/notifier.h>
#include <asm/mce.h>

#include "kernel/kapi_folio.h"
#include "kernel/large.h"
#include "kernel/module.h"

/* Single, or a part of what may be a large one of ours. */
static bool may_be_ours(const struct page *page, const struct folio *folio)
{
	if (page_folio(page) != folio || page_has_type(page))
		return false;
	return !folio_test_large(folio) ||
	       (READ_ONCE(cowmem_large_used) && folio_order(folio) == KAPI_LARGE_SHIFT);
}

/* The page at @pfn, or the part of a large folio, which is referenced, if it may be an object's: in use, and of no other kind. */
static struct folio *get_folio(unsigned long pfn)
{
	struct page *page = pfn_to_online_page(pfn);
	struct folio *folio;

	if (!page || PageLRU(page) || page_has_type(page))
		return NULL;
	folio = page_folio(page);
	if (!folio_try_get(folio))
		return NULL;
	if (may_be_ours(page, folio))
		return (struct folio *)page;
	folio_put(folio);
	return NULL;
}

/*
 * notifier_block::notifier_call, from a work item: it may sleep. The kernel's memory_failure()
 * came first, if it did; then the page is marked and counted already, and mapped as before.
 */
static int hear(struct notifier_block *nb, unsigned long val, void *data)
{
	struct mce *mce = data;
	struct folio *folio;

	if (!mce || !mce_usable_address(mce) || mce_is_correctable(mce))
		return NOTIFY_DONE;
	folio = get_folio((mce->addr & MCI_ADDR_PHYSADDR) >> PAGE_SHIFT);
	if (!folio)
		return NOTIFY_DONE;
	if (cowmem_memory_failed(folio)) {
		pr_err("%#lx: memory of an object has failed; who touches it gets SIGBUS\n",
		       folio_pfn(folio));
		mce->kflags |= MCE_HANDLED_UC;
	}
	folio_put(page_folio(&folio->page));
	return NOTIFY_OK;
}

static struct notifier_block listener = {
	.notifier_call = hear,
	.priority = MCE_PRIO_EXTLOG, /* after MCE_PRIO_UC, which calls memory_failure() */
};

/* Always 0. */
int cowmem_memory_failure_init(void)
{
	mce_register_decode_chain(&listener);
	return 0;
}

/* Waits for what is just being done. */
void cowmem_memory_failure_exit(void)
{
	mce_unregister_decode_chain(&listener);
}
