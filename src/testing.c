// SPDX-License-Identifier: GPL-2.0
/* The exports of a KUnit build (cowmem/testing.h), on the C side. */
#include <linux/export.h>

#include <cowmem/module.h>
#include <cowmem/symbols.h>
#include <cowmem/testing.h>

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
EXPORT_SYMBOL_GPL(cowmem_test_restore);
EXPORT_SYMBOL_GPL(cowmem_test_seen);
EXPORT_SYMBOL_GPL(cowmem_test_next_own);
EXPORT_SYMBOL_GPL(cowmem_test_count);
EXPORT_SYMBOL_GPL(cowmem_test_lock);
EXPORT_SYMBOL_GPL(cowmem_test_unlock);
EXPORT_SYMBOL_GPL(cowmem_test_page_out);
EXPORT_SYMBOL_GPL(cowmem_test_slots);
EXPORT_SYMBOL_GPL(cowmem_test_share_slot);
EXPORT_SYMBOL_GPL(cowmem_test_race);
EXPORT_SYMBOL_GPL(cowmem_parameters);

EXPORT_SYMBOL_GPL(cowmem_counter_sum);
