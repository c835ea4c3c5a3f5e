/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A test's object, its mappings over a real mm, what the handlers answered there,
 * and the test's turn between the steps of a fault.
 */
#ifndef COWMEM_KUNIT_MAPPING_H
#define COWMEM_KUNIT_MAPPING_H

#include <kunit/test.h>
#include <linux/completion.h>
#include <linux/fs.h>
#include <linux/mm.h>

#include <linux/cowmem.h>
#include "kernel/module.h"
#include "testing/testing.h"

/* What the requirements' list is made from (scripts/test.py). */
#define SHOWS(test, requirements) kunit_info(test, "shows: " requirements)

#define EXPECT_CODE(test, expected, actual) \
	KUNIT_EXPECT_EQ(test, (__force unsigned int)(expected), (__force unsigned int)(actual))

/* One call of a handler, seen from its caller. */
struct answer {
	vm_fault_t code;
	bool had_cow_page;
	bool page_set;
	bool page_locked;         /* vmf->page, on return */
	int locks_held;           /* lockdep: held on return, more than on entry */
	unsigned int allocations; /* slab allocations that it made */
};

struct mapping {
	struct kunit *test;
	struct file *file;
	struct task_struct *task; /* the test's own thread, whose mm this is */
	struct mm_struct *mm;

	struct answer first;                  /* of the first fault since faults was set to 0 */
	struct answer fault, mkwrite, around; /* the last answer of each */
	unsigned int faults, mkwrites, arounds;
	struct page *cow_page; /* of the last fault that had one: referenced until the next */

	bool pinnable; /* the object is: to be set, by mapping_set_pinnable(), before it is mapped */

	struct cowmem_parameters parameters; /* the module's, before the test set its own */

	/* The test's turn: called at @step of a fault or walk by @task, once, then disarmed. */
	int step;
	void (*turn)(struct mapping *m, struct vm_fault *vmf);
	void *cookie; /* for the turn */
};

/* The step after the handler's last: it has answered, the core has not acted on it. */
#define STEP_ANSWERED COWMEM_NR_STEPS

/*
 * A fresh object behind m->file; KUnit's suite hooks. Every fault takes the locked path,
 * or is first tried without locks.
 */
int mapping_init(struct kunit *test);
int mapping_init_speculative(struct kunit *test);
void mapping_exit(struct kunit *test);
/* Until nobody maps @file any more: behind a test, whose thread takes its mappings down by itself. */
void mapping_wait_until_unmapped(struct file *file);

/* Has shared mappings of the object, and of its clones, as a pinnable one's are. */
void mapping_set_pinnable(struct mapping *m);

/* Map @pages pages of the object, its handlers' answers recorded. */
unsigned long mapping_map(struct mapping *m, unsigned long pages, unsigned long flags);

/* The same of another object; only to read, if its file is. */
unsigned long mapping_map_of(struct mapping *m, struct file *file, unsigned long pages,
                             unsigned long flags);

/* The same as mapping_map(), and read faults map their neighbours. */
unsigned long mapping_map_around(struct mapping *m, unsigned long pages, unsigned long flags);

/* The same as mapping_map(), shared, with every byte of the object @value. */
unsigned long mapping_source(struct mapping *m, unsigned long pages, u8 value);

/* Take a turn at @step of the next fault that this thread takes. */
void mapping_at(struct mapping *m, int step, void (*turn)(struct mapping *m, struct vm_fault *vmf));

/* One byte of user memory: what is there, or -EFAULT; 0 or -EFAULT. */
int peek(unsigned long address);
int poke(unsigned long address, u8 value);

/* The page in memory that the object sees. No reference. */
struct folio *mapping_folio(struct mapping *m, pgoff_t index);

/* The PTE that maps @address, or none. */
pte_t mapping_pte(struct mapping *m, unsigned long address);

/* Mapped pages of the mm, as the kernel counts them. */
long mapping_rss(struct mapping *m);

/* Something that another thread does, in the test's mm or not. */
struct other {
	struct mapping *mapping;
	void (*run)(struct other *other);
	unsigned long address;
	loff_t bytes;
	int result;
	bool parked;         /* runs, but only waits */
	unsigned long count; /* the object's, when it was let go */
	bool (*has_begun)(struct other *other);
	struct task_struct *task;
	struct completion done;
};

void other_start(struct other *other, struct mapping *m, void (*run)(struct other *));
/*
 * Has it begin at @step of the next fault that the test's thread takes; the fault goes on when
 * it is done or sleeps on a lock. At a step where nothing may sleep it goes on when the
 * other's writer section has begun; a machine with one CPU skips such a test.
 */
void other_at(struct other *other, struct mapping *m, int step, void (*run)(struct other *));
/* The same for what leaves the object's count alone: at a step where nothing may sleep until @has_begun. */
void other_at_until(struct other *other, struct mapping *m, int step, void (*run)(struct other *),
                    bool (*has_begun)(struct other *));
/* Waits for its end; a minute is an error. */
void other_finish(struct other *other);
/* Whether it ends within half a minute, while what it may not wait for is held. */
bool other_ends(struct other *other);
/* Waits until it sleeps on a lock, not done. False if it was done. */
bool other_is_blocked(struct other *other);

void other_poke(struct other *other);   /* stores 0xee at address: result */
void other_peek(struct other *other);   /* loads from address: result */
void other_resize(struct other *other); /* resizes to bytes */
void other_punch(struct other *other);  /* punches the first page */

#endif /* COWMEM_KUNIT_MAPPING_H */
