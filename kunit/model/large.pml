/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Large folios (src/design.md, section 7). A fault that maps a block by one entry (src/fault/large.cc) against
 * copy-on-write of one part (src/layers/break_cow.cc), whose walk finds an empty pmd: when both are done no entry
 * has the old page. And drop_name() (src/store/home.cc) against break_large(): nobody counts names in memory that
 * is freed, and the count is frozen by none but who has all that is not a name's.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 4
#define VARIABLES 6
#define TREE 0     /* whether the copy is there */
#define ENTRY 1    /* the pmd: nothing, or all of the old folio */
#define PMD_LOCK 2
#define REFERENCES 3 /* of another large folio: one for its name, one of who breaks it */
#define NAMES 4
#define BROKEN 5
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
	memory[NAMES]--;
	assert(!freed);
put:
	atomic { memory[REFERENCES] > 0 -> memory[REFERENCES]-- };
#ifndef NO_REFERENCE
	memory[REFERENCES]--;
#endif
	running--
}

/* cowmem_large_break() */
proctype break_up(byte cpu)
{
	byte all = memory[NAMES];

	if
	:: atomic { memory[REFERENCES] == all + 1 -> memory[REFERENCES] = 0 }
	:: atomic { memory[REFERENCES] != all + 1 -> goto done }
	fi;
	memory[BROKEN] = 1;
	memory[REFERENCES] = all + 1;
	freed = true;
done:
	all = 0;
	running--
}

init {
	atomic {
		memory[REFERENCES] = 2;
		memory[NAMES] = 1;
		running = CPUS;
		run drain(0);
		run drain(1);
		run fault(0);
		run copy(1);
		run drop(2);
		run break_up(3)
	};
	QUIET && FINISHED(0) && FINISHED(1);
	assert(memory[ENTRY] == 0)
}
