// SPDX-License-Identifier: GPL-2.0
/*
 * Which branches of the module's code have run, in a build with COVERAGE=1: clang has each of them
 * call __sanitizer_cov_trace_pc(), which is this module's. A parameter tells those that had not run when
 * it was last read, so that a fuzzer knows by one read whether a program did anything new.
 */
#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/moduleparam.h>
#include <linux/sizes.h>

#include "kernel/module.h"
#include "testing/testing.h"

#define REACH SZ_2M  /* bytes of code before and behind cowmem_fault() */
#define CALL_BYTES 4 /* two calls are not closer to each other than this */
#define MOST 65536U  /* branches */

static DECLARE_BITMAP(has_run, 2 * REACH / CALL_BYTES);
static u32 places
	[MOST]; /* in the order that they came: bytes behind cowmem_fault() - REACH; 0: not yet told */
static atomic_t count;

/*
 * Any context may call this, an interrupt among them, with any lock held: it takes none, waits for
 * nobody, and touches only memory of this file. Two CPUs that come to one place at once: the bit decides.
 */
notrace void __sanitizer_cov_trace_pc(void)
{
	const unsigned long at = _RET_IP_ - (unsigned long)cowmem_fault + REACH;
	unsigned int nth;

	if (at >= 2 * REACH || test_bit(at / CALL_BYTES, has_run) ||
	    test_and_set_bit(at / CALL_BYTES, has_run))
		return;
	nth = atomic_inc_return(&count) - 1;
	if (nth < MOST)
		WRITE_ONCE(places[nth], at);
}

/* Under the lock of the module's parameters: one reader at a time. A line for each branch: bytes behind cowmem_fault(). */
static int coverage_get(char *buffer, const struct kernel_param *kp)
{
	static unsigned int told;
	int length = 0;

	while (told < MOST && length < PAGE_SIZE - 16) {
		const u32 at = READ_ONCE(places[told]);

		if (!at)
			break;
		length += sysfs_emit_at(buffer, length, "%ld\n", (long)at - REACH);
		told++;
	}
	return length;
}

static const struct kernel_param_ops coverage_ops = {.get = coverage_get};
module_param_cb(coverage, &coverage_ops, NULL, 0400);
