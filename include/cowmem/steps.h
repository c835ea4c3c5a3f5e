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
	COWMEM_STEP_FLUSHED, /* a walk changed entries and flushed TLBs, before it settles; no vmf */
	COWMEM_STEP_PINNED,  /* a walk has a reference on a copy's anon_vma; no vmf */
	COWMEM_NR_STEPS,
};

#endif /* COWMEM_STEPS_H */
