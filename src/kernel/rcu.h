/* SPDX-License-Identifier: GPL-2.0 */
/* A read-side critical section of RCU for a scope. */
#ifndef COWMEM_RCU_H
#define COWMEM_RCU_H

#include "kernel/kapi.h"

namespace cowmem {

class Rcu {
public:
	Rcu() { kapi_rcu_lock(); }
	~Rcu() { kapi_rcu_unlock(); }
	Rcu(const Rcu &) = delete;
	Rcu &operator=(const Rcu &) = delete;
};

/* No other task of this CPU for a scope. */
class NoPreemption {
public:
	NoPreemption() { kapi_preempt_disable(); }
	~NoPreemption() { kapi_preempt_enable(); }
	NoPreemption(const NoPreemption &) = delete;
	NoPreemption &operator=(const NoPreemption &) = delete;
};

} /* namespace cowmem */

#endif /* COWMEM_RCU_H */
