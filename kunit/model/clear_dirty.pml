/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PAGEMAP's clearing of what says that a page, an object's own, was written
 * (src/device/query.cc), against a page-out (src/reclaim/page_out.cc) and one who writes it with
 * a reference, as write() and KVM do. The page came back from the store: it is in a slot that
 * has its bytes. Instead of the clearing there may be a question only.
 *
 * Whatever the order of things: what was written is told when it is cleared, and is there to be
 * read then, or it is told later; and a page that is out is in the store as it was written.
 *
 * What is done to a mark or a reference count is a read-modify-write, and so it acts on the last
 * value there is.
 *
 * Each NO_... leaves out one thing that the code does, and then it is not so.
 */
#define CPUS 3
#define VARIABLES 8
#define CLAIM 0      /* the right to page it out: PG_owner_2 */
#define DIRTY 1      /* PG_dirty */
#define WRITTEN 2    /* PG_checked; or, when the page is out, its slot's mark */
#define REFERENCES 3 /* of the page: 0, it is frozen */
#define OUT 4        /* it is in the store only */
#define SLOT 5       /* what the tree has: the page alone, or in the old slot, or in a new one */
#define BYTES 6      /* of the page: 1, when they are written */
#define CHANGED 7    /* the object's mark: not clean */
#include "memory.inc"

#define BARE 0
#define OLD 1
#define NEW 2

byte in_new;    /* the bytes that the new slot has */
bool written;   /* the writer is done */
bool told;      /* by the clearing */
byte read_then; /* the bytes, when that was told */

inline get()
{
	atomic { empty(buffer[cpu]) && memory[REFERENCES] != 0 -> memory[REFERENCES]++ }
}

inline put()
{
	atomic { BARRIER; memory[REFERENCES]-- }
}

inline take(mark, was)
{
	atomic { BARRIER; was = memory[mark]; memory[mark] = 0 }
}

inline set(mark)
{
	atomic { BARRIER; memory[mark] = 1 }
}

proctype page_out(byte cpu)
{
	byte slot, was;
	bool wanted = false;

#ifdef NO_LOOK_BEHIND_CLAIM
	slot = LOAD(SLOT);
#endif
	atomic { BARRIER; was = memory[CLAIM]; memory[CLAIM] = 1 };
	if
	:: was == 1 -> goto done
	:: else
	fi;
	get();
#ifndef NO_LOOK_BEHIND_CLAIM
	slot = LOAD(SLOT);
#endif
	take(DIRTY, was);
	if
	:: was == 1 || slot == BARE -> wanted = true
	:: else
	fi;
#ifndef NO_MARK_KEPT
	if
	:: was == 1 -> set(WRITTEN)
	:: else
	fi;
#endif
	if
	:: wanted -> in_new = LOAD(BYTES); slot = NEW
	:: else
	fi;
	atomic { BARRIER; memory[SLOT] = slot };
	/* The slot's reference, and the one from above. */
	if
	:: atomic { empty(buffer[cpu]) && memory[REFERENCES] == 2 -> memory[REFERENCES] = 0 };
	   if
	   :: LOAD(DIRTY) == 0 -> set(OUT)
	   :: else -> wanted = true
	   fi;
	   atomic { BARRIER; memory[REFERENCES] = 2 }
	:: atomic { empty(buffer[cpu]) && memory[REFERENCES] != 2 -> wanted = (wanted || memory[DIRTY] == 1) }
	fi;
	/* The slot is stale, or not wanted any more. */
	if
	:: wanted && LOAD(OUT) == 0 -> atomic { BARRIER; memory[SLOT] = BARE }
	:: else
	fi;
	put();
	atomic { BARRIER; memory[CLAIM] = 0 };
done:
	running--
}

proctype writer(byte cpu)
{
	get();
	if
	:: LOAD(OUT) == 1 -> put(); goto done
	:: else
	fi;
	STORE(BYTES, 1);
	BARRIER;
	if
	:: set(WRITTEN)
	:: skip /* KVM knows of PG_dirty only */
	fi;
	set(DIRTY);
	put();
	written = true;
done:
	running--
}

/* Clears what says that the page was written, and tells whether something did. */
inline clear()
{
	get();
#ifndef NO_CLAIM
	atomic { BARRIER; was = memory[CLAIM]; memory[CLAIM] = 1 };
	if
	:: was == 1 -> told = true; set(CHANGED); put(); goto done
	:: else
	fi;
#endif
	if
	:: LOAD(OUT) == 1 -> told = true; set(CHANGED)
	:: else ->
		take(DIRTY, was);
		told = (was == 1);
		take(WRITTEN, was);
#ifndef NO_STALE_SLOT_LEFT
		if
		:: told -> atomic { BARRIER; memory[SLOT] = BARE }
		:: else
		fi;
#endif
		told = (told || was == 1)
	fi;
#ifndef NO_CLAIM
	atomic { BARRIER; memory[CLAIM] = 0 };
#endif
	put()
}

/* The marks are in one word; but for those of who is out. */
inline ask()
{
	was = written;
#ifdef NO_ONE_MOMENT
	told = (LOAD(WRITTEN) == 1);
	told = (told || LOAD(DIRTY) == 1);
	told = (told || LOAD(CLAIM) == 1);
#else
#ifdef NO_LOOK_AT_THE_CLAIM
	atomic { told = (memory[WRITTEN] == 1 || memory[DIRTY] == 1) };
#else
	atomic { told = (memory[WRITTEN] == 1 || memory[DIRTY] == 1 || memory[CLAIM] == 1) };
#endif
#endif
	assert(was == 0 || told);
	told = false
}

proctype pagemap(byte cpu)
{
	byte was;

	if
	:: clear()
	:: ask()
	fi;
done:
	if
	:: told -> read_then = LOAD(BYTES)
	:: else
	fi;
	running--
}

init {
	atomic {
		memory[REFERENCES] = 1;
		memory[SLOT] = OLD;
		running = CPUS;
		run drain(0);
		run drain(1);
		run drain(2);
		run page_out(0);
		run writer(1);
		run pagemap(2)
	};
	QUIET && FINISHED(0) && FINISHED(1) && FINISHED(2);
	assert(!written || (told && read_then == 1) || memory[CHANGED] == 1 ||
	       memory[WRITTEN] == 1 || (memory[OUT] == 0 && memory[DIRTY] == 1));
	assert(!written || memory[OUT] == 0 || (memory[SLOT] == NEW && in_new == 1));
	/* A page that has no mark, and goes out the next time with the slot it has. */
	assert(!written || memory[SLOT] == BARE || memory[DIRTY] == 1 ||
	       (memory[SLOT] == NEW && in_new == 1))
}
