/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Copy-on-write (src/layers/break_cow.cc) against faults that hold no lock: an object has a
 * copy for its own, instead of a page that its relatives see, too. The count does not change.
 * There are three mappings of the object: that of the one who writes, whose entry maps the
 * page, unless it is out; one that a reader has just begun to use, with no page table; and one
 * through which another thread would write the copy.
 *
 * Whatever the order of things: no entry maps the page when the copy is made; and nobody who
 * has stored to the copy finds the page, with the old bytes, through another mapping.
 *
 * The object's lock is not here, since all would share it; nor are the PTE locks of the
 * mappings that are written through, since no two would take the same.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 8
#define ENTRY_OF_TREE 0 /* the object's tree: which page it has */
#define OWN 1           /* the copy's mapping: whether it is the object's own, or the family's */
#define TABLE 2         /* the reader's pmd: whether there is a page table */
#define TABLE_LOCK 3    /* its lock */
#define ENTRY 4         /* the reader's PTE: what it maps, to read */
#define ENTRY_LOCK 5    /* its lock */
#define WRITERS 6       /* the PTE of the one who writes */
#define WHERE 7         /* StoreSlot::where: whether the page is in memory */
#include "memory.inc"

#define NOTHING 0
#define PAGE 1 /* in the tree, too, where it is out, and then its slot */
#define COPY 2
#define WRITABLE 3 /* the copy, to write */

/* The entry of the reader's mapping, if it maps the page, maps the copy instead. */
inline replace()
{
	if
	:: LOAD(TABLE) != NOTHING ->
		LOCK(ENTRY_LOCK);
		if
		:: LOAD(ENTRY) == PAGE -> STORE(ENTRY, COPY)
		:: else
		fi;
		UNLOCK(ENTRY_LOCK)
	:: else
	fi
}

/* The entry of the one who writes; but a page that was out when he came is not mapped there. */
inline permit()
{
	if
	:: where != NOTHING -> STORE(WRITERS, WRITABLE)
	:: else
	fi
}

proctype break_cow(byte cpu)
{
	byte where, late;

	where = LOAD(WHERE);
#ifdef NO_LATE_LOOK
	late = where;
#endif
#ifdef NO_TREE_FIRST
	replace();
#endif
	STORE(ENTRY_OF_TREE, COPY);
#ifndef NO_COPY_BARRIER
	BARRIER;
#endif
#ifdef NO_OWN_LAST
	STORE(OWN, 1);
#endif
#ifdef NO_WRITER_LAST
	permit();
#endif
#ifndef NO_LATE_LOOK
	late = LOAD(WHERE);
#endif
#ifndef NO_TREE_FIRST
	if
	:: late != NOTHING -> replace()
	:: else
	fi;
#endif
#ifndef NO_WRITER_LAST
	permit();
#endif
#ifndef NO_OWN_LAST
	STORE(OWN, 1);
#endif
	running--
}

/*
 * A read fault. It brings in what is out, and maps what is the family's only if that is
 * in the tree still. So does one that has the object's lock, which keeps no copy away.
 */
proctype reader(byte cpu)
{
	byte found;

again:
	found = LOAD(ENTRY_OF_TREE);
	if
	:: found == PAGE && LOAD(WHERE) == NOTHING -> STORE(WHERE, PAGE)
	:: else
	fi;
	LOCK(TABLE_LOCK);
	if
	:: LOAD(TABLE) == NOTHING -> STORE(TABLE, PAGE)
	:: else
	fi;
	UNLOCK(TABLE_LOCK);
	LOCK(ENTRY_LOCK);
#ifndef NO_READER_BARRIER
	BARRIER;
#endif
#ifndef NO_SECOND_LOOK
	if
	:: LOAD(ENTRY_OF_TREE) != found ->
		UNLOCK(ENTRY_LOCK);
		goto again
	:: else
	fi;
#endif
	STORE(ENTRY, found);
	UNLOCK(ENTRY_LOCK);
	running--
}

/*
 * Has stored to the copy: through the entry of the one who writes, which permits that by
 * now, or by a write fault of its own. Then it reads through the reader's mapping.
 */
proctype writer(byte cpu)
{
	if
	:: LOAD(WRITERS) == WRITABLE
	:: LOAD(ENTRY_OF_TREE) == COPY ->
#ifndef NO_OWN_CHECK
		if
		:: LOAD(OWN) == 0 -> goto done
		:: else
		fi
#endif
	fi;
	assert(LOAD(ENTRY) != PAGE);
done:
	running--
}

init {
	atomic {
		memory[ENTRY_OF_TREE] = PAGE;
		if
		:: memory[WHERE] = PAGE; memory[WRITERS] = PAGE
		:: memory[WHERE] = NOTHING
		fi;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run break_cow(0);
		run reader(1);
		run writer(2)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	assert(memory[ENTRY] == COPY);
	assert(memory[WRITERS] != PAGE)
}
