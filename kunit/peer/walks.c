// SPDX-License-Identifier: GPL-2.0
/*
 * What a reverse-map walk costs, side by side: cowmem's, over a page of an object, and
 * the kernel's own folio_referenced(), over a page of whatever the caller has mapped.
 * For the benchmark (qemu/bench.c) only, which writes "kernel ADDRESS" or "cowmem
 * ADDRESS" to /sys/module/cowmem_peer/parameters/walk, an address of its own, and
 * reads "ENTRIES UNITS" there: young entries found, and what the clock said it took.
 */
#include <linux/highmem.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/pagemap.h>
#include <linux/rmap.h>
#include <linux/static_call.h>

#include "kernel/symbols.h"
#include "testing/testing.h"

DEFINE_STATIC_CALL_NULL(kernel_walk, folio_referenced);

static struct {
	unsigned long entries, units;
} result;

/* The bench's own clock: the same register, in instructions under QEMU's -icount. */
static unsigned long now(void)
{
#ifdef CONFIG_X86
	return rdtsc();
#else
	return read_sysreg(cntvct_el0) * (1000000000 / read_sysreg(cntfrq_el0));
#endif
}

static void walk(struct folio *folio, bool kernels)
{
	static BEFORE_7_3(unsigned long) SINCE_7_3(vma_flags_t) flags;
	const unsigned long start = now();

	if (kernels)
		result.entries = static_call(kernel_walk)(folio, 1, NULL, &flags);
	else
		result.entries = cowmem_test_referenced(folio, NULL).result;
	result.units = now() - start;
}

static int walk_set(const char *value, const struct kernel_param *kp)
{
	unsigned long address;
	struct page *page;
	char whose[8];

	if (sscanf(value, "%7s %lx", whose, &address) != 2)
		return -EINVAL;
	if (get_user_pages_fast(address, 1, 0, &page) != 1)
		return -EFAULT;
	lock_page(page);
	walk(page_folio(page), !strcmp(whose, "kernel"));
	unlock_page(page);
	put_page(page);
	return 0;
}

static int walk_get(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%lu %lu\n", result.entries, result.units);
}

static const struct kernel_param_ops walk_ops = {.set = walk_set, .get = walk_get};
module_param_cb(walk, &walk_ops, NULL, 0600);
MODULE_PARM_DESC(
	walk, "\"kernel ADDRESS\" or \"cowmem ADDRESS\" of the writer's; then \"ENTRIES UNITS\"");

static int __init peer_init(void)
{
	unsigned long address = cowmem_symbol_find("folio_referenced");

	if (!address)
		return -ENOENT;
	static_call_update(kernel_walk, (typeof(&folio_referenced))address);
	return 0;
}
module_init(peer_init);

static void __exit peer_exit(void) {}
module_exit(peer_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("The kernel's own reverse-map walk beside cowmem's, for the benchmark");
