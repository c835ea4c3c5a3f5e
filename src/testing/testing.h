/* SPDX-License-Identifier: GPL-2.0 */
/* What a KUnit build of the module (COWMEM_KUNIT=1) exports for its tests. */
#ifndef COWMEM_TESTING_H
#define COWMEM_TESTING_H

#include "kernel/kapi.h"
#include "kernel/steps.h"

KAPI_BEGIN

/* Called at each step of every fault and walk (kernel/steps.h) while it is set. */
extern void (*cowmem_test_step)(unsigned int step, struct vm_fault *vmf);

/* The device's ioctls of the same names, for a caller without user memory. */
int cowmem_test_resize(struct file *file, long long bytes);
int cowmem_test_punch(struct file *file, long long offset, long long length);
void cowmem_test_set_cow(struct file *file, unsigned int cow);

/* Walks of one page (rmap/visitors.h), whose page lock the caller holds. */
enum cowmem_test_unmapped { TEST_UNMAPPED, TEST_MLOCKED, TEST_YOUNG, TEST_AGAIN, TEST_TRACKED };

struct cowmem_test_walk {
	unsigned int result; /* young entries; entries cleaned; enum cowmem_test_unmapped */
	bool locked;         /* the page is mapped where mlock() holds it */
	unsigned long probes, mismatched;
};
struct cowmem_test_walk cowmem_test_referenced(struct folio *folio, struct mem_cgroup *group);
struct cowmem_test_walk cowmem_test_clean(struct folio *folio);
struct cowmem_test_walk cowmem_test_unmap(struct folio *folio, bool despite_mlock,
                                          bool despite_access);

/* Entries that map a private copy, a referenced folio, by a walk of its anon_vma. */
unsigned int cowmem_test_sharers(struct folio *copy);

/* PAGEMAP's answer for one page. */
struct cowmem_page;
void cowmem_test_describe(struct file *file, unsigned long index, unsigned int clear,
                          struct cowmem_page *page);
/* The device's ioctl PAGE_OUT of pages @first to @last; @answer's counters. */
struct cowmem_page_out;
void cowmem_test_page_out(struct file *file, unsigned long first, unsigned long last, bool accessed,
                          struct cowmem_page_out *answer);
/* The same as memory reclaim does it. */
void cowmem_test_reclaim(struct file *file, unsigned long first, unsigned long last,
                         struct cowmem_page_out *answer);
/* How many slots the object has in the store. */
unsigned long cowmem_test_slots(struct file *file);
/*
 * Takes @count references on the slot of the object's page @index, drops the object's,
 * then those: how many of them were said to be the last while there was another.
 */
unsigned long cowmem_test_share_slot(struct file *file, unsigned long index, unsigned long count);

/*
 * The ioctls SNAPSHOT, CLONE and RESTORE; of a snapshot at most @max_copies pages are copied,
 * and then it is dropped. A file, or null.
 */
struct file *cowmem_test_snapshot(struct file *file, unsigned long max_copies);
struct file *cowmem_test_clone(struct file *file);
/* Before it is mapped. */
void cowmem_test_set_pinnable(struct file *file);
/* SNAPSHOT_SET of @count objects, whose snapshots' files go to @made. 0 or an error. */
int cowmem_test_snapshot_set(struct file **files, struct file **made, unsigned int count);
int cowmem_test_restore(struct file *file, struct file *snapshot);
/* The same of pages @first to @last. */
int cowmem_test_restore_range(struct file *file, struct file *snapshot, unsigned long first,
                              unsigned long last);
/* FIDEDUPERANGE of the pages from @first to @last of two relatives. */
int cowmem_test_dedupe(struct file *file, struct file *source, unsigned long first,
                       unsigned long last);
/* The undo of fallocate(): pages @first to @last of zeros become holes again. */
void cowmem_test_empty_again(struct file *file, unsigned long first, unsigned long last);
/* The page in memory that the object sees, if that is where it is; no reference. */
struct folio *cowmem_test_seen(struct file *file, unsigned long index);
/* Exchanges the page that is seen for another, or none; false: something else is there. References stay. */
bool cowmem_test_exchange(struct file *file, unsigned long index, struct folio *old,
                          struct folio *fresh);
/* The first index at or after @from where the object's tree marks something as its own, or ~0UL. */
unsigned long cowmem_test_next_own(struct file *file, unsigned long from);

/*
 * How much a group may have (store/owners.h) of a store of @limit, which is in @levels - 1 others, one in the other: those, from the root on,
 * have @own themselves, besides what is in them.
 */
unsigned long cowmem_test_most(const unsigned long *own, unsigned int levels, unsigned long limit,
                               unsigned long share);
/* Whether a group that had what it may have, of the root, which has as much, may have more when it has @used of that. */
bool cowmem_test_has_share_again(unsigned long used, unsigned long limit, unsigned long share);

/* Holds the object's lock alone, but with its count even. */
void cowmem_test_lock(struct file *file);
void cowmem_test_unlock(struct file *file);

/* The sequence count of the object (layers/object_lock.h). */
unsigned long cowmem_test_count(struct file *file);

/* Adds to a plain variable: a data race, wherever two threads do it at once. */
unsigned long cowmem_test_race(void);

/* clang has each branch call it, in a build with COVERAGE=1 (testing/coverage.c). */
void __sanitizer_cov_trace_pc(void);

/*
 * The first invariant of the object, and of those whose pages it can see or that can see its
 * own, that does not hold (layers/pages.h); @what is NULL if all do. Nobody else is at work.
 */
struct cowmem_test_wrong {
	const char *what;
	unsigned long layer, index;
};
struct cowmem_test_wrong cowmem_test_check(struct file *file);

KAPI_END

#endif /* COWMEM_TESTING_H */
