/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SNAPSHOT (src/layers/freeze.cc) against write faults of a page that is the object's own: two
 * that hold no lock, one of which makes the page table itself, and take the locked path if that
 * is not to be. shows: R32
 *
 * Whatever the order of things: once the page is frozen, no entry permits to write it.
 *
 * The locked path has the object's lock only until it has that of the page, with which it maps
 * (page_mkwrite and VM_FAULT_LOCKED). So SNAPSHOT, which has the object's lock alone, looks for
 * a page that is locked before it looks at the entry, and once more when it is not.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 8
#define COUNT 0      /* the object's count */
#define TABLE 1      /* the pmd: whether there is a page table */
#define TABLE_LOCK 2 /* the pmd's lock */
#define ENTRY 3      /* the PTE: whether it permits to write the page */
#define ENTRY_LOCK 4 /* the PTE's lock */
#define OWN 5        /* the page's mapping: whether it is the object's own, or the family's */
#define PAGE_LOCK 6  /* the page's own lock */
#define SECTION 7    /* the object's lock: SNAPSHOT has it alone */
#include "memory.inc"

#define NOTHING 0
#define SOME 1
#define WRITABLE 1

byte shared; /* how many have the object's lock shared */

/* Whether there is a page table, afterwards; the one who makes it may be one of us. */
inline make_table()
{
	LOCK(TABLE_LOCK);
	if
	:: LOAD(TABLE) == NOTHING -> STORE(TABLE, SOME)
	:: else
	fi;
	UNLOCK(TABLE_LOCK)
}

/* The locked path: to unlock the object is a release, so the page is seen to be locked then. */
inline serve_locked()
{
	atomic { memory[SECTION] == 0 -> shared++ };
#ifndef NO_LOCK_HANDED_OVER
	LOCK(PAGE_LOCK);
	BARRIER;
	shared--;
#else
	BARRIER;
	shared--;
	LOCK(PAGE_LOCK);
#endif
	if
	:: LOAD(OWN) == 1 ->
		make_table();
		LOCK(ENTRY_LOCK);
		STORE(ENTRY, WRITABLE);
		UNLOCK(ENTRY_LOCK)
	:: else
	fi;
	UNLOCK(PAGE_LOCK)
}

proctype fault(byte cpu; bool makes_table)
{
	byte before;

	before = LOAD(COUNT);
#ifndef NO_ODD_CHECK
	if
	:: before % 2 == 1 -> goto locked
	:: else
	fi;
#endif
	if
	:: makes_table -> make_table()
	:: else ->
		if
		:: LOAD(TABLE) == NOTHING -> goto locked
		:: else
		fi
	fi;
	LOCK(ENTRY_LOCK);
#ifndef NO_FAULT_BARRIER
	BARRIER;
#endif
#ifndef NO_COUNT_CHECK
	if
	:: LOAD(COUNT) != before ->
		UNLOCK(ENTRY_LOCK);
		goto locked
	:: else
	fi;
#endif
#ifndef NO_OWN_CHECK
	if
	:: LOAD(OWN) == 0 ->
		UNLOCK(ENTRY_LOCK);
		goto done
	:: else
	fi;
#endif
	STORE(ENTRY, WRITABLE);
	UNLOCK(ENTRY_LOCK);
	goto done;
locked:
	serve_locked();
done:
	running--
}

/* Whether a fault has the page locked, and may be about to map it. */
inline look_at_lock()
{
#ifndef NO_LOCK_LOOK
	again = again || LOAD(PAGE_LOCK) != 0
#else
	skip
#endif
}

inline write_protect()
{
	do
	:: again = false;
	   if
	   :: LOAD(TABLE) != NOTHING ->
		LOCK(ENTRY_LOCK);
#ifndef NO_LOCK_LOOK_FIRST
		look_at_lock();
#endif
		if
		:: LOAD(ENTRY) == WRITABLE -> STORE(ENTRY, NOTHING)
		:: else
		fi;
		UNLOCK(ENTRY_LOCK);
#ifdef NO_LOCK_LOOK_FIRST
		look_at_lock()
#endif
	   :: else ->
		look_at_lock();
#ifndef NO_TABLE_LOOK
		/* Who had it locked put a table there before. */
		again = again || LOAD(TABLE) != NOTHING
#endif
	   fi;
	   if
	   :: again ->
		LOCK(PAGE_LOCK);
		UNLOCK(PAGE_LOCK)
	   :: else -> break
	   fi
	od
}

proctype snapshot(byte cpu)
{
	bool again;

	atomic { memory[SECTION] == 0 && shared == 0 -> memory[SECTION] = 1 };
	STORE(COUNT, 1);
#ifndef NO_SNAPSHOT_BARRIER
	BARRIER;
#endif
	write_protect();
	LOCK(PAGE_LOCK);
	STORE(OWN, 0);
	UNLOCK(PAGE_LOCK);
	STORE(COUNT, 2);
	UNLOCK(SECTION);
	running--
}

init {
	atomic {
		memory[OWN] = 1;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run fault(0, true);
		run fault(1, false);
		run snapshot(2)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	assert(memory[OWN] == 0);
	assert(memory[ENTRY] != WRITABLE)
}
