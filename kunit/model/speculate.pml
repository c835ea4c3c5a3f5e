/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The commit rule of the speculative path (src/layers/object_lock.h): two faults that
 * hold no lock, one of which makes the page table itself; a writer with two sections,
 * one of which removes their page. shows: R29 R30 R32 R33
 *
 * Whatever the order of things: the page, once removed, is mapped by nobody.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 7
#define COUNT 0      /* ObjectLock::count_ */
#define TABLE 1      /* the pmd: whether there is a page table */
#define TABLE_LOCK 2 /* the pmd's lock */
#define ENTRY 3      /* the PTE: whether it maps the page */
#define ENTRY_LOCK 4 /* the PTE's lock */
#define SLOT 5       /* the object's table: whether the page is in it */
#define SECTION 6    /* the object's lock: the writer has it alone */
#include "memory.inc"

#define NOTHING 0
#define PAGE 1

byte shared;       /* how many have the object's lock shared */
byte attempts, commits, retries;

/* Whether there is a page table, afterwards; the one who makes it may be one of us. */
inline make_table()
{
	LOCK(TABLE_LOCK);
	if
	:: LOAD(TABLE) == NOTHING -> STORE(TABLE, PAGE)
	:: else
	fi;
	UNLOCK(TABLE_LOCK)
}

/* The locked path: the object's lock, shared, from look-up to install. */
inline serve_locked()
{
	retries++;
	atomic { memory[SECTION] == 0 -> shared++ };
	found = LOAD(SLOT);
	if
	:: found == PAGE ->
		make_table();
		LOCK(ENTRY_LOCK);
		STORE(ENTRY, PAGE);
		UNLOCK(ENTRY_LOCK)
	:: else
	fi;
	BARRIER;
	shared--
}

proctype fault(byte cpu; bool makes_table)
{
	byte before, found;
	bool have_table = false;

	attempts++;
#ifndef NO_ACQUIRE
	before = LOAD(COUNT);
	found = LOAD(SLOT);
#else
	found = LOAD(SLOT);
	before = LOAD(COUNT);
#endif
	if
	:: before % 2 == 1 -> goto locked
	:: found == NOTHING -> goto locked
	:: else
	fi;
	if
	:: makes_table ->
		make_table();
		have_table = true
	:: else ->
		have_table = LOAD(TABLE) != NOTHING
	fi;
	if
	:: !have_table -> goto locked
	:: else
	fi;
	LOCK(ENTRY_LOCK);
#ifndef NO_READER_BARRIER
	BARRIER;
#endif
#ifndef NO_CHECK
	if
	:: LOAD(COUNT) != before ->
		UNLOCK(ENTRY_LOCK);
		goto locked
	:: else
	fi;
#endif
	STORE(ENTRY, PAGE);
	UNLOCK(ENTRY_LOCK);
	commits++;
	goto done;
locked:
	serve_locked();
done:
	running--
}

/* Removes the page, or something else: that changes the count all the same. */
inline write(removes)
{
	atomic { memory[SECTION] == 0 && shared == 0 -> memory[SECTION] = 1 };
	STORE(COUNT, count + 1);
#ifndef NO_WRITER_BARRIER
	BARRIER;
#endif
	if
	:: removes ->
		if
		:: LOAD(TABLE) != NOTHING ->
			LOCK(ENTRY_LOCK);
			if
			:: LOAD(ENTRY) == PAGE -> STORE(ENTRY, NOTHING)
			:: else
			fi;
			UNLOCK(ENTRY_LOCK)
		:: else
		fi;
		STORE(SLOT, NOTHING)
	:: else
	fi;
	count = count + 2;
	STORE(COUNT, count);
	UNLOCK(SECTION)
}

proctype writer(byte cpu)
{
	byte count = 0;
	bool first;

	if
	:: first = true
	:: first = false
	fi;
	write(first);
	write(!first);
	running--
}

init {
	atomic {
		memory[SLOT] = PAGE;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run fault(0, true);
		run fault(1, false);
		run writer(2)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	assert(memory[SLOT] == NOTHING);
	assert(memory[ENTRY] == NOTHING);
	assert(memory[COUNT] == 4);
	assert(attempts == commits + retries)
}
