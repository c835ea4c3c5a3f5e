/* SPDX-License-Identifier: GPL-2.0 */
/* A spinlock of ours for a scope. */
#ifndef COWMEM_SPINNING_H
#define COWMEM_SPINNING_H

#include "kernel/kapi.h"

namespace cowmem {

class Spinning {
public:
	explicit Spinning(kapi_spinlock &lock) : lock_{lock}
	{
		if (kapi_spinlock_is_locked(&lock_))
			kapi_count(COWMEM_COUNT_spinlock_waits);
		kapi_spinlock_lock(&lock_);
	}
	~Spinning() { kapi_spinlock_unlock(&lock_); }
	Spinning(const Spinning &) = delete;
	Spinning &operator=(const Spinning &) = delete;

private:
	kapi_spinlock &lock_;
};

} /* namespace cowmem */

#endif /* COWMEM_SPINNING_H */
