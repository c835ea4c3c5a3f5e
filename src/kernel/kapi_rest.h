/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): memory, the scheduler, parameters and counters. */
#ifndef COWMEM_KAPI_REST_H
#define COWMEM_KAPI_REST_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/* --- the rest --- */
/* For a scope, allocations dip into the reserves rather than reclaim: what is freed is more. */
unsigned int kapi_no_reclaim_begin(void);
void kapi_no_reclaim_end(unsigned int before);
bool kapi_reuse(void);
bool kapi_makes_room(void);
/* Whether the hardware sets dirty bits; without, a write through a clean entry is a fault. */
bool kapi_has_dirty_bit(void);
unsigned long kapi_store_max_pages(void);
unsigned long kapi_share(void); /* 0: none */
void kapi_warn_if(bool wrong);  /* in the log, once */
unsigned long kapi_jiffies(void);
void kapi_event_major_fault(struct mm_struct *mm);
/* The task waits for memory that it had: what PSI tells of. */
void kapi_stall_begin(unsigned long *flags);
void kapi_stall_end(unsigned long *flags);
void *kapi_zalloc(size_t size);
void *kapi_zalloc_nowait(size_t size, bool reserves); /* as kapi_slot_alloc_nowait() */
void kapi_free(const void *p);
void kapi_free_rcu(const void *p); /* after a grace period */
void *kapi_alloc_array(size_t n, size_t size);
void kapi_free_array(const void *p);
void kapi_rcu_lock(void);
void kapi_rcu_unlock(void);
void kapi_spin_lock(struct spinlock *lock);
void kapi_spin_unlock(struct spinlock *lock);
bool kapi_capable_admin(void);
/* Whether the kernel can mark memory as damaged. */
bool kapi_knows_poison(void);
/* Whether userfaultfd takes mappings of a module's files. */
bool kapi_has_uffd_ops(void);
bool kapi_node_has_memory(unsigned int node);
bool kapi_node_allowed(unsigned int node);
void kapi_cond_resched(void);
void kapi_sleep_killable(void); /* for a hundredth of a second, or to a fatal signal */
void kapi_preempt_disable(void);
void kapi_preempt_enable(void);
void kapi_smp_mb(void);
void kapi_smp_rmb(void);
void kapi_smp_mb_after_lock(void);
bool kapi_speculate_private(void);
bool kapi_speculate_read(void);
bool kapi_speculate_shared_write(void);
unsigned int kapi_around_pages(void);
bool kapi_around_lock_free(void);
bool kapi_signal_pending(void);
bool kapi_is_interrupted(
	void); /* the same, by any signal; or, of a worker, since the machine is to sleep */
unsigned int kapi_default_cow(void);
unsigned int kapi_default_huge(void); /* enum cowmem_huge */
void kapi_count(enum cowmem_counter counter);
void kapi_count_n(enum cowmem_counter counter, unsigned long n);
void kapi_trace_fault(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome,
                      bool major);
/* Nothing in an ordinary build; in a KUnit build, the test's turn (kernel/steps.h). */
void kapi_test_step(unsigned int step, struct vm_fault *vmf);

KAPI_END

#endif /* COWMEM_KAPI_REST_H */
