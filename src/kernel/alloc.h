/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocation: a class that derives from Allocated is made with `new (Gfp::…) T`, which
 * names its GFP flags and is null when there is no memory. No other form links.
 */
#ifndef COWMEM_ALLOC_H
#define COWMEM_ALLOC_H

#include "kernel/kapi.h"

namespace cowmem {

enum class Gfp {
	kernel_account,  /* may sleep; charged to the caller's memory cgroup */
	nowait,          /* never sleeps */
	nowait_reserves, /* the same, of memory reclaim */
};

struct Allocated {
	static void *operator new(size_t size, Gfp how) noexcept
	{
		return how == Gfp::kernel_account
		               ? kapi_zalloc(size)
		               : kapi_zalloc_nowait(size, how == Gfp::nowait_reserves);
	}
	static void operator delete(void *p) { kapi_free(p); }
};

} /* namespace cowmem */

#endif /* COWMEM_ALLOC_H */
