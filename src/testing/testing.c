// SPDX-License-Identifier: GPL-2.0
/* The exports of a KUnit build (testing/testing.h), on the C side. */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/export.h>
#include <linux/file.h>
#include <linux/moduleparam.h>

#include "kernel/module.h"
#include "kernel/symbols.h"
#include "testing/testing.h"

void (*cowmem_test_step)(unsigned int step, struct vm_fault *vmf);
EXPORT_SYMBOL_GPL(cowmem_test_step);

EXPORT_SYMBOL_GPL(cowmem_vm_ops);
EXPORT_SYMBOL_GPL(cowmem_symbol_find);
EXPORT_SYMBOL_GPL(cowmem_test_resize);
EXPORT_SYMBOL_GPL(cowmem_test_punch);
EXPORT_SYMBOL_GPL(cowmem_test_set_cow);
EXPORT_SYMBOL_GPL(cowmem_test_check);
EXPORT_SYMBOL_GPL(cowmem_test_referenced);
EXPORT_SYMBOL_GPL(cowmem_test_clean);
EXPORT_SYMBOL_GPL(cowmem_test_unmap);
EXPORT_SYMBOL_GPL(cowmem_test_sharers);
EXPORT_SYMBOL_GPL(cowmem_test_describe);
EXPORT_SYMBOL_GPL(cowmem_test_snapshot);
EXPORT_SYMBOL_GPL(cowmem_test_clone);
EXPORT_SYMBOL_GPL(cowmem_test_set_pinnable);
EXPORT_SYMBOL_GPL(cowmem_test_snapshot_set);
EXPORT_SYMBOL_GPL(cowmem_test_restore);
EXPORT_SYMBOL_GPL(cowmem_test_restore_range);
EXPORT_SYMBOL_GPL(cowmem_test_dedupe);
EXPORT_SYMBOL_GPL(cowmem_test_empty_again);
EXPORT_SYMBOL_GPL(cowmem_test_most);
EXPORT_SYMBOL_GPL(cowmem_test_has_share_again);
EXPORT_SYMBOL_GPL(cowmem_test_seen);
EXPORT_SYMBOL_GPL(cowmem_test_next_own);
EXPORT_SYMBOL_GPL(cowmem_test_exchange);
EXPORT_SYMBOL_GPL(cowmem_test_count);
EXPORT_SYMBOL_GPL(cowmem_test_lock);
EXPORT_SYMBOL_GPL(cowmem_test_unlock);
EXPORT_SYMBOL_GPL(cowmem_test_page_out);
EXPORT_SYMBOL_GPL(cowmem_test_reclaim);
EXPORT_SYMBOL_GPL(cowmem_test_slots);
EXPORT_SYMBOL_GPL(cowmem_test_share_slot);
EXPORT_SYMBOL_GPL(cowmem_test_race);
EXPORT_SYMBOL_GPL(cowmem_parameters);

EXPORT_SYMBOL_GPL(cowmem_counter_sum);

/* Who writes the number of a descriptor has the invariants of what is behind it checked. */
static int check_set(const char *value, const struct kernel_param *kp)
{
	struct cowmem_test_wrong wrong = {};
	unsigned int number;
	int err = kstrtouint(value, 0, &number);
	struct file *file;

	if (err)
		return err;
	file = fget(number);
	if (!file)
		return -EBADF;
	if (cowmem_file_is_ours(file))
		wrong = cowmem_test_check(file);
	else
		err = -EINVAL;
	fput(file);
	if (!wrong.what)
		return err;
	pr_err("check: %s: layer %lu, page %ld\n", wrong.what, wrong.layer, (long)wrong.index);
	return -EUCLEAN;
}

static const struct kernel_param_ops check_ops = {.set = check_set};
module_param_cb(check, &check_ops, NULL, 0200);
