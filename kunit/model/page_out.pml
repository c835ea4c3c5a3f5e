/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page-out (src/reclaim/page_out.cc) of a page that is an object's own, which is mapped and
 * may be written already, against two who write it: each through the mapping, with a
 * fault that holds no lock where that is wanted, or without, as write() does. shows: R48 R62
 *
 * Whatever the order of things: nobody maps or writes a page that was freed, and what is
 * freed is mapped by nobody; and when the page is out, which nobody takes it for before, the
 * store has all that was written.
 *
 * What is done to a reference count or a dirty mark is a read-modify-write, and so it acts
 * on the last value there is. A store of the user's is in memory at once, together with the
 * dirty bit; by what a TLB knows of a dirty entry, without it, until the TLB is flushed. Code that
 * takes a permission away flushes: page-out's walk, and a process that unmaps the page, which marks
 * the page first, with the entry's lock held; or which takes the page table away with that lock, and flushes
 * later: others find no table, or another one, and its lock, but also that a flush is pending.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 9
#define ENTRY_OF_TREE 0 /* the object's tree: the page, or the slot that it is in */
#define WHERE 1         /* StoreSlot::where: the page, or nothing */
#define REFERENCES 2    /* of the page */
#define ENTRY 3         /* the PTE: what it permits, if it maps the page */
#define ENTRY_LOCK 4    /* the PTE's lock */
#define DIRTY 5         /* PG_dirty */
#define BYTES(cpu) (5 + (cpu)) /* the page's, which the CPU writes: 1 or 2 */
#define PENDING 8 /* mm->tlb_flush_pending */
#include "memory.inc"

#define NOTHING 0
#define PAGE 1
#define SLOT 2
/* What the PTE permits. */
#define TO_READ 1
#define TO_WRITE 2 /* and it is clean */
#define WRITTEN 3  /* the same, and it is dirty */

bool out;           /* page-out has done it */
bool tlb[CPUS];     /* the CPU may store by what it knows of a dirty entry, whatever that is now */
bool freed;         /* it is a page of somebody else's by now */
bool stored[CPUS];  /* the store has what the CPU wrote */
bool written[CPUS]; /* the CPU has written */

inline get()
{
	atomic { BARRIER; memory[REFERENCES]++ }
}

/* Whoever drops the last reference frees it, and somebody else has it then. */
inline put()
{
	atomic {
		BARRIER;
		memory[REFERENCES]--;
		if
		:: memory[REFERENCES] == 0 ->
			assert(memory[ENTRY] == NOTHING);
			freed = true;
			memory[REFERENCES] = 1
		:: else
		fi
	}
}

inline flush()
{
	atomic { BARRIER; tlb[1] = false; tlb[2] = false }
}

/* Takes the permission to write it, and the dirty bit. */
inline walk()
{
	LOCK(ENTRY_LOCK);
	atomic { BARRIER; entry = memory[ENTRY]; memory[ENTRY] = (entry == NOTHING -> NOTHING : TO_READ) };
	if
	:: entry >= TO_WRITE -> flush()
	:: else
	fi;
	UNLOCK(ENTRY_LOCK);
#ifndef NO_LATE_FLUSH
	if
	:: LOAD(PENDING) != 0 -> flush()
	:: else
	fi
#endif
}

/* Takes the marks that say that it was written, and the permission to write it. */
inline clean()
{
	atomic { BARRIER; memory[DIRTY] = 0 };
	walk();
	atomic { BARRIER; was_dirty = memory[DIRTY]; memory[DIRTY] = 0 };
#ifndef NO_SECOND_WALK
	if
	:: was_dirty -> walk()
	:: else
	fi
#endif
}

inline store_bytes()
{
	stored[1] = LOAD(BYTES(1));
	stored[2] = LOAD(BYTES(2))
}

/* The slot is the page's name, instead of the tree's entry. */
inline put_into_slot()
{
	get();
#ifndef NO_PAGE_IN_SLOT_FIRST
	STORE(WHERE, PAGE);
#endif
	atomic { BARRIER; memory[ENTRY_OF_TREE] = SLOT };
#ifdef NO_PAGE_IN_SLOT_FIRST
	STORE(WHERE, PAGE);
#endif
	put()
}

/* The entry is looked at without its lock first. */
inline unmap()
{
	if
	:: LOAD(ENTRY) != NOTHING ->
		LOCK(ENTRY_LOCK);
		atomic { BARRIER; entry = memory[ENTRY]; memory[ENTRY] = NOTHING };
#ifndef NO_DIRTY_BIT
		if
		:: entry == WRITTEN -> atomic { memory[DIRTY] = 1 }
		:: else
		fi;
#endif
		if
		:: entry != NOTHING -> flush(); put()
		:: else
		fi;
		UNLOCK(ENTRY_LOCK)
	:: else
	fi
}

proctype page_out(byte cpu)
{
	byte entry;
	bool is_dirty = false, was_dirty = false;

	get();
#ifdef NO_CLEAN_FIRST
	store_bytes();
#endif
	clean();
#ifndef NO_CLEAN_FIRST
	store_bytes();
#endif
	put_into_slot();
	unmap();
#ifdef NO_FREEZE_FIRST
	is_dirty = LOAD(DIRTY);
#endif
	/* The slot's reference, and the one from above. */
	if
	:: atomic { empty(buffer[cpu]) && memory[REFERENCES] == 2 ->
#ifndef NO_FREEZE
		memory[REFERENCES] = 0
#endif
	   }
	:: atomic { empty(buffer[cpu]) && memory[REFERENCES] != 2 -> goto done }
	fi;
#ifndef NO_FREEZE_FIRST
	is_dirty = LOAD(DIRTY);
#endif
	if
	:: is_dirty ->
#ifndef NO_FREEZE
		STORE(REFERENCES, 2);
#endif
		goto done
	:: else
	fi;
	out = true;
#ifndef NO_OUT_FIRST
	STORE(WHERE, NOTHING);
#endif
#ifndef NO_FREEZE
	STORE(REFERENCES, 1);
#else
	put();
#endif
#ifdef NO_OUT_FIRST
	STORE(WHERE, NOTHING);
#endif
done:
	put();
	running--
}

/* The page, with a reference; or it is out. */
inline look_up()
{
	do
	:: found = LOAD(ENTRY_OF_TREE);
	   if
	   :: found == SLOT && LOAD(WHERE) == NOTHING ->
		assert(out);
		goto done
	   :: else
	   fi;
	   if
	   :: atomic { memory[REFERENCES] != 0 && empty(buffer[cpu]) -> memory[REFERENCES]++ };
#ifndef NO_SECOND_LOOK
		if
		:: LOAD(ENTRY_OF_TREE) == found && (found == PAGE || LOAD(WHERE) == PAGE) -> break
		:: else -> put()
		fi
#else
		break
#endif
	   :: memory[REFERENCES] == 0
	   fi
	od
}

/* Maps the page for writing, and the entry has the reference; or the one that is there permits it. */
inline fault()
{
	look_up();
#ifdef NO_REFERENCE_KEPT
	put();
#endif
	LOCK(ENTRY_LOCK);
#ifdef NO_REFERENCE_KEPT
	get();
#endif
	if
	:: LOAD(ENTRY) == NOTHING ->
		assert(!freed);
		STORE(ENTRY, WRITTEN);
		UNLOCK(ENTRY_LOCK)
	:: else ->
		STORE(ENTRY, WRITTEN);
		UNLOCK(ENTRY_LOCK);
		put()
	fi
}

proctype writer(byte cpu)
{
	byte found;

	if
	:: /* through the mapping */
		do
		:: atomic {
			empty(buffer[cpu]) && memory[ENTRY] >= TO_WRITE ->
			assert(!freed);
			memory[ENTRY] = WRITTEN;
			memory[BYTES(cpu)] = 1;
			written[cpu] = true;
			goto done
		   }
		:: atomic { empty(buffer[cpu]) && memory[ENTRY] >= TO_WRITE && !tlb[cpu] ->
			memory[ENTRY] = WRITTEN; /* by a store before that */
			tlb[cpu] = true
		   }
		:: atomic { empty(buffer[cpu]) && tlb[cpu] ->
			assert(!freed);
			memory[BYTES(cpu)] = 1;
			written[cpu] = true;
			goto done
		   }
		:: atomic { empty(buffer[cpu]) && memory[ENTRY] < TO_WRITE -> skip };
		   fault()
		od
	:: /* with a reference */
		look_up();
		assert(!freed);
		STORE(BYTES(cpu), 1);
#ifndef NO_MARK_BARRIER
		BARRIER;
#endif
		atomic { memory[DIRTY] = 1 };
		written[cpu] = true;
		put()
	fi;
done:
	running--
}

/* Unmaps the page, as munmap() does, or, with the page table, MADV_DONTNEED. */
proctype zapper(byte cpu)
{
	byte entry;

	STORE(PENDING, 1);
	LOCK(ENTRY_LOCK);
	atomic { BARRIER; entry = memory[ENTRY]; memory[ENTRY] = NOTHING };
	if
	:: entry == WRITTEN -> atomic { memory[DIRTY] = 1 }
	:: else
	fi;
	if
	:: flush(); UNLOCK(ENTRY_LOCK)
	:: UNLOCK(ENTRY_LOCK); flush()
	fi;
	STORE(PENDING, 0);
	if
	:: entry != NOTHING -> put()
	:: else
	fi;
	running--
}

init {
	atomic {
		memory[ENTRY_OF_TREE] = PAGE;
		memory[ENTRY] = TO_WRITE;
		memory[REFERENCES] = 2;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run page_out(0);
		run writer(1);
		if
		:: run writer(2)
		:: run zapper(2)
		fi
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	if
	:: out ->
		assert(memory[WHERE] == NOTHING);
		assert(memory[ENTRY] == NOTHING);
		assert(!written[1] || stored[1]);
		assert(!written[2] || stored[2])
	:: else -> assert(!freed)
	fi
}
