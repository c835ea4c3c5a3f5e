/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Large folios (src/design.md, section 7). A fault that maps a block by one entry (src/fault/large.cc) against
 * copy-on-write of one part (src/layers/break_cow.cc), whose walk finds an empty pmd: when both are done no entry
 * has the old page. And drop_name() (src/store/home.cc) and who makes another name of a part against break_large(): nobody counts
 * names in memory that is freed, what is counted for the part when the whole is broken is what it has, and the count is frozen by none
 * but who has all that is not a name's.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 5
#define VARIABLES 7
#define TREE 0     /* whether the copy is there */
#define ENTRY 1    /* the pmd: nothing, or all of the old folio */
#define PMD_LOCK 2
#define REFERENCES 3 /* of another large folio: one for each name, all of one part; one of who breaks it */
#define ALL 4        /* its names */
#define PART 5       /* those of the part */
#define BROKEN 6
#include "memory.inc"

bool freed; /* the memory in which names are counted */

/* map_block() */
proctype fault(byte cpu)
{
	LOCK(PMD_LOCK);
	BARRIER;
	if
	:: LOAD(TREE) == 0 -> STORE(ENTRY, 1)
	:: else
	fi;
	UNLOCK(PMD_LOCK);
	running--
}

/* put_in_front(), and the walk: what maps a large folio is taken out under the lock. */
proctype copy(byte cpu)
{
	STORE(TREE, 1);
	BARRIER;
#ifdef NO_PMD_LOCK
	if
	:: LOAD(ENTRY) == 0 -> goto done
	:: else
	fi;
#endif
	LOCK(PMD_LOCK);
	if
	:: LOAD(ENTRY) == 1 -> STORE(ENTRY, 0)
	:: else
	fi;
	UNLOCK(PMD_LOCK);
#ifdef NO_PMD_LOCK
done:
#endif
	running--
}

/* drop_name_of_part(). Its atomic operations are full barriers, and it stores nothing else. */
proctype drop(byte cpu)
{
#ifndef NO_REFERENCE
	atomic { memory[REFERENCES] > 0 -> memory[REFERENCES]++ };
#endif
	if
	:: memory[BROKEN] -> goto put /* a page for itself, whose names are its own */
	:: else
	fi;
	assert(!freed);
	memory[PART]--;
	assert(!freed);
	memory[ALL]--;
put:
	atomic { memory[REFERENCES] > 0 -> memory[REFERENCES]-- };
#ifndef NO_REFERENCE
	memory[REFERENCES]--;
#endif
	running--
}

/* cowmem_large_add_name(), of who has a reference for the name, while another name stays. */
proctype add(byte cpu)
{
	atomic { memory[REFERENCES] > 0 -> memory[REFERENCES]++ };
	if
	:: memory[BROKEN] -> goto done /* as above */
	:: else
	fi;
	assert(!freed);
#ifdef NO_BARRIER_OF_ADD
	memory[ALL]++;
	assert(!freed);
	memory[PART]++;
#else
	memory[PART]++;
	assert(!freed);
	memory[ALL]++;
#endif
done:
	running--
}

/* cowmem_large_break() */
proctype break_up(byte cpu)
{
	byte all = memory[ALL], part = 0;

#ifdef NO_BARRIER_OF_BREAK
	part = memory[PART];
#endif
	if
	:: atomic { memory[REFERENCES] == all + 1 -> memory[REFERENCES] = 0 }
	:: atomic { memory[REFERENCES] != all + 1 -> goto done }
	fi;
#ifndef NO_SECOND_LOOK
	if
	:: memory[ALL] != all -> memory[REFERENCES] = all + 1; goto done
	:: else
	fi;
#endif
#ifndef NO_BARRIER_OF_BREAK
	part = memory[PART];
#endif
	assert(part == memory[PART] && part == memory[ALL]);
	memory[BROKEN] = 1;
	memory[REFERENCES] = all + 1;
	freed = true;
done:
	all = 0;
	part = 0;
	running--
}

init {
	atomic {
		memory[REFERENCES] = 3;
		memory[ALL] = 2;
		memory[PART] = 2;
		running = CPUS;
		run drain(0);
		run drain(1);
		run fault(0);
		run copy(1);
		run drop(2);
		run break_up(3);
		run add(4)
	};
	QUIET && FINISHED(0) && FINISHED(1);
	assert(memory[ENTRY] == 0)
}
