/* SPDX-License-Identifier: GPL-2.0 */
/*
 * SNAPSHOT of a pinnable object (src/layers/freeze.cc) against those that ask nobody: a store
 * through an entry that permits no stores, which the core makes writable by itself; a pin of
 * GUP-fast, which writes the page whatever becomes of the entry; and a fault that is to read, on
 * both its paths (src/fault/speculate.cc, map_to_read() in src/fault/fault.cc).
 *
 * Whatever the order of things: once the page is the family's, no entry of the mapping has it, and
 * no pin. GUP-fast pins first, and then looks whether the entry is the same; so SNAPSHOT takes the entry
 * away, flushes TLBs, which is a full barrier, and then looks for pins.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 4
#define VARIABLES 6
#define COUNT 0      /* the object's count */
#define ENTRY 1      /* the PTE: nothing, or it maps the page, and permits to write or not */
#define ENTRY_LOCK 2 /* the PTE's lock */
#define OWN 3        /* the page's mapping: whether it is the object's own, or the family's */
#define PINS 4       /* the page's references that are neither names nor mappings */
#define SECTION 5    /* the object's lock: SNAPSHOT has it alone */
#include "memory.inc"

#define NOTHING 0
#define READABLE 1
#define WRITABLE 2

byte shared; /* how many have the object's lock shared */
bool pinned;

/* do_wp_page() and wp_page_reuse(): under the lock, whatever the page is by now. */
proctype store(byte cpu)
{
	LOCK(ENTRY_LOCK);
	if
	:: LOAD(ENTRY) == READABLE -> STORE(ENTRY, WRITABLE)
	:: else
	fi;
	UNLOCK(ENTRY_LOCK);
	running--
}

/* gup_fast_pte_range(): to take a reference is a full barrier. */
proctype pin(byte cpu)
{
	if
	:: LOAD(ENTRY) != WRITABLE -> goto done
	:: else
	fi;
	atomic { BARRIER -> memory[PINS]++ };
	if
	:: LOAD(ENTRY) != WRITABLE -> memory[PINS]--
	:: else -> pinned = true
	fi;
done:
	running--
}

inline map_if_own()
{
#ifndef NO_OWN_CHECK
	if
	:: LOAD(OWN) == 1 ->
#endif
		if
		:: LOAD(ENTRY) == NOTHING -> STORE(ENTRY, READABLE)
		:: else
		fi
#ifndef NO_OWN_CHECK
	:: else
	fi
#endif
}

/* With the object's lock held until the entry is there: nobody else waits for the page's. */
inline serve_locked()
{
	atomic { memory[SECTION] == 0 -> shared++ };
#ifdef NO_LOCK_HELD
	if
	:: LOAD(OWN) == 0 -> shared--; goto done
	:: else -> shared--
	fi;
	LOCK(ENTRY_LOCK);
	if
	:: LOAD(ENTRY) == NOTHING -> STORE(ENTRY, READABLE)
	:: else
	fi;
	UNLOCK(ENTRY_LOCK)
#else
	LOCK(ENTRY_LOCK);
	map_if_own();
	UNLOCK(ENTRY_LOCK);
	BARRIER;
	shared--
#endif
}

proctype fault(byte cpu)
{
	byte before;

	if
	:: goto locked
	:: before = LOAD(COUNT)
	fi;
#ifndef NO_ODD_CHECK
	if
	:: before % 2 == 1 -> goto locked
	:: else
	fi;
#endif
	LOCK(ENTRY_LOCK);
#ifndef NO_COUNT_CHECK
	if
	:: LOAD(COUNT) != before ->
		UNLOCK(ENTRY_LOCK);
		goto locked
	:: else
	fi;
#endif
	map_if_own();
	UNLOCK(ENTRY_LOCK);
	goto done;
locked:
	serve_locked();
done:
	running--
}

inline unmap()
{
	LOCK(ENTRY_LOCK);
	if
	:: LOAD(ENTRY) != NOTHING ->
#ifndef NO_UNMAP
		STORE(ENTRY, NOTHING)
#else
		STORE(ENTRY, READABLE)
#endif
	:: else
	fi;
	UNLOCK(ENTRY_LOCK);
#ifndef NO_FLUSH
	BARRIER
#else
	skip
#endif
}

proctype snapshot(byte cpu)
{
	byte pins;

	atomic { memory[SECTION] == 0 && shared == 0 -> memory[SECTION] = 1 };
	STORE(COUNT, 1);
	BARRIER;
#ifdef NO_PINS_LAST
	pins = LOAD(PINS);
	unmap();
#else
	unmap();
	pins = LOAD(PINS);
#endif
	if
	:: pins == 0 -> STORE(OWN, 0)
	:: else /* it stays the object's, and the snapshot has a copy */
	fi;
	pins = 0;
	STORE(COUNT, 2);
	UNLOCK(SECTION);
	running--
}

init {
	atomic {
		memory[OWN] = 1;
		memory[ENTRY] = READABLE;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run drain(3);
		run store(0);
		run pin(1);
		run fault(2);
		run snapshot(3)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2) && FINISHED(3);
	assert(memory[OWN] == 1 || (memory[ENTRY] == NOTHING && !pinned))
}
