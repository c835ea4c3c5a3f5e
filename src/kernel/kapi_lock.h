/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): reference counts, locks, and nodes of trees. */
#ifndef COWMEM_KAPI_LOCK_H
#define COWMEM_KAPI_LOCK_H

#include "kernel/kapi_types.h"

KAPI_BEGIN

/* --- reference counts --- */
struct kapi_refcount {
	int value;
};
void kapi_ref_init(struct kapi_refcount *ref);
bool kapi_ref_try_get(struct kapi_refcount *ref);
bool kapi_ref_put(struct kapi_refcount *ref); /* true: that was the last */

/* How many use something, and who waits until nobody does. */
struct kapi_users {
	struct kapi_refcount count;
};
void kapi_ref_get(struct kapi_refcount *ref);
int kapi_ref_read(const struct kapi_refcount *ref);
/* Whether there is only one; what who dropped another did before is seen then. */
bool kapi_ref_is_one(const struct kapi_refcount *ref);
void kapi_users_init(struct kapi_users *users); /* one */
bool kapi_users_try_get(struct kapi_users *users);
void kapi_users_put(struct kapi_users *users);
/* The first one goes, and waits for the others; nobody comes any more. */
void kapi_users_put_and_wait(struct kapi_users *users);

/* --- locks --- */
#ifdef COWMEM_DEBUG_LOCKS
#define KAPI_LOCK_WORDS 32
#else
#define KAPI_LOCK_WORDS 6
#endif
#ifdef COWMEM_SLEEPING_SPINLOCKS /* PREEMPT_RT: a spinlock is a mutex, with those who wait for it */
#define KAPI_SPINLOCK_WORDS (KAPI_LOCK_WORDS > 6 ? 18 : 4)
#else
#define KAPI_SPINLOCK_WORDS (KAPI_LOCK_WORDS > 6 ? 12 : 1)
#endif
/* struct rw_semaphore, and spinlock_t, with what a debug kernel adds. */
struct kapi_rwsem {
	unsigned long opaque[KAPI_LOCK_WORDS];
};
enum kapi_lock_class { KAPI_LOCK_OBJECT, KAPI_LOCK_LIMITS };
void kapi_rwsem_init(struct kapi_rwsem *lock, enum kapi_lock_class of);
void kapi_rwsem_lock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_lock_shared_below(struct kapi_rwsem *lock);   /* with another of its class held */
int kapi_rwsem_lock_shared_killable(struct kapi_rwsem *lock); /* -EINTR: a fatal signal */
bool kapi_rwsem_trylock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_unlock_shared(struct kapi_rwsem *lock);
void kapi_rwsem_lock(struct kapi_rwsem *lock);
int kapi_rwsem_lock_killable(struct kapi_rwsem *lock); /* -EINTR: a fatal signal */
void kapi_rwsem_unlock(struct kapi_rwsem *lock);
/*
 * Tells lockdep, for a scope, that the locks of one class which are taken with it are taken in an
 * order; nobody waits for it. Kernel counterpart: struct ww_acquire_ctx.
 */
struct kapi_lock_set {
	unsigned long opaque[KAPI_LOCK_WORDS > 6 ? 8 : 1];
};
void kapi_lock_set_begin(struct kapi_lock_set *set);
void kapi_lock_set_end(struct kapi_lock_set *set);
void kapi_rwsem_lock_of_set(struct kapi_rwsem *lock, struct kapi_lock_set *set);
struct kapi_spinlock {
	unsigned long opaque[KAPI_SPINLOCK_WORDS];
};
void kapi_spinlock_init(struct kapi_spinlock *lock);
bool kapi_spinlock_is_locked(struct kapi_spinlock *lock); /* a hint */
void kapi_spinlock_lock(struct kapi_spinlock *lock);
void kapi_spinlock_unlock(struct kapi_spinlock *lock);

/* --- a few numbers by their index --- */
/* struct xarray, with what a debug kernel adds. */
struct kapi_values {
	unsigned long opaque[KAPI_SPINLOCK_WORDS + (KAPI_SPINLOCK_WORDS == 1 ? 1 : 2)];
};
void kapi_values_init(struct kapi_values *values);
void kapi_values_destroy(struct kapi_values *values);
bool kapi_values_empty(const struct kapi_values *values);
unsigned long kapi_values_get(struct kapi_values *values, unsigned long index); /* or 0 */
/* Has a number there: 0, if there was none. False: no memory. Sleeps. */
bool kapi_values_make(struct kapi_values *values, unsigned long index);
/* Takes away the first that there is at or behind @index, which is its index then. False: none is there. Never sleeps. */
bool kapi_values_take_next(struct kapi_values *values, unsigned long *index);
/* Puts @fresh in the place of @old, if that is there. Never sleeps. */
bool kapi_values_exchange(struct kapi_values *values, unsigned long index, unsigned long old,
                          unsigned long fresh);

/* --- a few things by their number --- */
/* struct xarray. What changes one never sleeps, and its caller keeps others from it. */
struct kapi_table {
	struct kapi_values xarray;
};
void kapi_table_init(struct kapi_table *table);
void kapi_table_destroy(struct kapi_table *table);
void *kapi_table_get(struct kapi_table *table, unsigned long number); /* or null */
/* Has @thing there, where nothing is. False: no memory. */
bool kapi_table_put(struct kapi_table *table, unsigned long number, void *thing, bool reserves);
/* The same, where the first free number is, but 0. */
bool kapi_table_number(struct kapi_table *table, void *thing, unsigned int *number, bool reserves);
void kapi_table_remove(struct kapi_table *table, unsigned long number);
/* The first that there is at or behind @number, which is its number then; or null. */
void *kapi_table_next(struct kapi_table *table, unsigned long *number);

/* --- nodes of trees --- */
/* Zeroed, at an address that 16 divides. May reclaim, or never sleeps. */
void *kapi_node_alloc(bool leaf, bool may_reclaim);
/* After a grace period. Also for another that was allocated, of which no look-up reads the first two words. */
void kapi_node_free(void *node);

KAPI_END

#endif /* COWMEM_KAPI_LOCK_H */
