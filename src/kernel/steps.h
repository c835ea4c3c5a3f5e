/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The points between the steps of a fault, or of a walk, where a KUnit test can take
 * its turn: truncate, flip a PTE, make another CPU fault. In an ordinary build they
 * are nothing at all.
 */
#ifndef COWMEM_STEPS_H
#define COWMEM_STEPS_H

enum cowmem_step {
	COWMEM_STEP_ENTERED,   /* the handler runs, no lock of ours held */
	COWMEM_STEP_LOCKED,    /* the object is locked shared, before the look-up */
	COWMEM_STEP_LOOKED_UP, /* the source is found and referenced */
	COWMEM_STEP_COPIED,    /* cow_page is filled, before the install */
	COWMEM_STEP_INSTALLED, /* after the install, before the locks go */
	COWMEM_STEP_MKWRITE,   /* page_mkwrite entered, page not yet locked */
	COWMEM_STEP_TABLE,     /* a walk found a page table, its lock not yet taken; no vmf */
	COWMEM_STEP_NO_TABLE,  /* the same found none, and will look again; no vmf */
	COWMEM_STEP_FLUSHED, /* a walk changed entries and flushed TLBs, before it settles; no vmf */
	COWMEM_STEP_PINNED,  /* a walk has a reference on a copy's anon_vma; no vmf */

	COWMEM_STEP_LIMITS,  /* what limits of snapshots count is locked, nothing below; no vmf */
	COWMEM_STEP_FREEZES, /* an object is frozen next, which is write-protected; no vmf */
	COWMEM_STEP_CLAIMS,  /* a page-out has found a page, and claims it next; no vmf */
	COWMEM_STEP_CLAIMED, /* the same has its pages claimed, and takes their marks next; no vmf */
	COWMEM_STEP_STORED,  /* a page-out has its pages in the store, and no lock; no vmf */

	/* The speculative path. */
	COWMEM_STEP_COUNT_READ, /* the count is read and even, before the look-up */
	COWMEM_STEP_SNAPSHOT,   /* the page is looked up and referenced */
	COWMEM_STEP_PREPARED, /* cow_page is filled or could not be, or the hole in the object is */
	COWMEM_STEP_TABLE_LOCKED, /* under the PTE lock, before the count is read again */

	/*
	 * Fault-around, at each candidate: under RCU and the PTE lock, so that a turn must
	 * not sleep.
	 */
	COWMEM_STEP_AROUND_FOUND,       /* found in the table, nothing tested */
	COWMEM_STEP_AROUND_UNLOCKED,    /* not locked, before the reference */
	COWMEM_STEP_AROUND_REFERENCED,  /* referenced, before the slot is read again */
	COWMEM_STEP_AROUND_STILL_THERE, /* before the page lock is tested again */
	COWMEM_STEP_AROUND_READY,       /* uptodate and whole, before the page lock is tried */
	COWMEM_STEP_AROUND_SETTLED,     /* before owner, size and the PTE are tested */

	COWMEM_STEP_AROUND_COUNTED, /* lock-free: the mapping is counted, not yet there */

	/* Fault-around, before the page table is locked: under RCU. */
	COWMEM_STEP_AROUND_COUNT_READ,
	COWMEM_NR_STEPS,
};

#endif /* COWMEM_STEPS_H */
