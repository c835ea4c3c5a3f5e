/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fault-around without page locks (src/fault/around.cc): it maps a page while a writer of the
 * object removes it, and while somebody else, who knows nothing of the count, locks it,
 * sees that nobody has it mapped, and relies on that. shows: R22 R26
 *
 * Whatever the order of things: the page, once removed, is mapped by nobody; and nobody
 * maps it as long as the other one has it locked.
 *
 * The page lock is taken by an acquire and no more, as on arm64: that the page is locked
 * may come to memory after the locker's next loads. Others who would lock it are kept
 * out at once, since a read-modify-write acts on the last value there is; so the lock is
 * two variables here. A test of it by a load is wrong then (NO_ATOMIC_TEST); one that is
 * a read-modify-write comes before the locker's, and the locker sees the count, or after.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 10
#define COUNT 0      /* ObjectLock::count_ */
#define TABLE 1      /* the pmd: whether there is a page table */
#define TABLE_LOCK 2 /* the pmd's lock */
#define ENTRY 3      /* the PTE: whether it maps the page */
#define ENTRY_LOCK 4 /* the PTE's lock */
#define SLOT 5       /* the object's table: whether the page is in it */
#define PAGE_LOCK 6  /* the page's own lock, as read-modify-writes find it */
#define LOCKED 7     /* the same, as loads find it: later */
#define MAPPINGS 8   /* its mapcount */
#define SECTION 9    /* the object's lock: the writer has it alone */
#include "memory.inc"

#define NOTHING 0
#define PAGE 1

bool relied_upon; /* the locker has seen that it is not mapped */

#define LOCK_PAGE LOCK(PAGE_LOCK); STORE(LOCKED, 1)
#define UNLOCK_PAGE STORE(LOCKED, 0); UNLOCK(PAGE_LOCK)

proctype around(byte cpu)
{
	byte before, found;

	before = LOAD(COUNT);
	if
	:: before % 2 == 1 -> goto done
	:: else
	fi;
	LOCK(TABLE_LOCK);
	if
	:: LOAD(TABLE) == NOTHING -> STORE(TABLE, PAGE)
	:: else
	fi;
	UNLOCK(TABLE_LOCK);
	LOCK(ENTRY_LOCK);
#ifndef NO_AROUND_BARRIER
	BARRIER;
#endif
#ifndef NO_CHECK
	if
	:: LOAD(COUNT) != before -> goto unlock
	:: else
	fi;
#endif
	found = LOAD(SLOT);
	if
	:: found == NOTHING || LOAD(LOCKED) != 0 -> goto unlock
	:: else
	fi;
#ifndef NO_COUNT_FIRST
	/* atomic_inc_and_test(), which is a full barrier as well. */
	atomic { BARRIER; memory[MAPPINGS]++ };
#endif
#ifndef NO_SECOND_TEST
#ifndef NO_ATOMIC_TEST
	atomic { BARRIER; found = memory[PAGE_LOCK] };
#else
	found = LOAD(LOCKED);
#endif
	if
	:: found != 0 ->
#ifndef NO_COUNT_FIRST
		memory[MAPPINGS]--;
#endif
		goto unlock
	:: else
	fi;
#endif
#ifdef NO_COUNT_FIRST
	atomic { BARRIER; memory[MAPPINGS]++ };
#endif
	STORE(ENTRY, PAGE);
	assert(!relied_upon);
unlock:
	UNLOCK(ENTRY_LOCK);
done:
	running--
}

inline unmap()
{
	if
	:: LOAD(TABLE) != NOTHING ->
		LOCK(ENTRY_LOCK);
		if
		:: LOAD(ENTRY) == PAGE ->
			STORE(ENTRY, NOTHING);
			BARRIER;
			memory[MAPPINGS]--
		:: else
		fi;
		UNLOCK(ENTRY_LOCK)
	:: else
	fi
}

proctype writer(byte cpu)
{
	LOCK(SECTION);
	STORE(COUNT, 1);
#ifndef NO_WRITER_BARRIER
	BARRIER;
#endif
	unmap();
	LOCK_PAGE;
	STORE(SLOT, NOTHING);
	UNLOCK_PAGE;
	STORE(COUNT, 2);
	UNLOCK(SECTION);
	running--
}

/* Somebody with a reference who locks the page: memory failure, say. */
proctype locker(byte cpu)
{
	LOCK_PAGE;
	if
	:: LOAD(MAPPINGS) == 0 ->
		relied_upon = true;
		relied_upon = false
	:: else
	fi;
	UNLOCK_PAGE;
	running--
}

init {
	atomic {
		memory[SLOT] = PAGE;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run around(0);
		run writer(1);
		run locker(2)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	assert(memory[SLOT] == NOTHING);
	assert(memory[ENTRY] == NOTHING);
	assert(memory[MAPPINGS] == 0)
}
