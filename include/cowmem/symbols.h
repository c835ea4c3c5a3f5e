/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel functions that the module needs and the kernel does not export: one
 * table, resolved when the module loads. A missing one fails the load by name.
 *
 * Each row: the function; the kernel versions it was checked with; why nothing
 * exported serves. Its type is taken from the kernel's own prototype.
 *
 * On x86 each is reached by a static call, which is a direct branch in the code:
 * these functions are sealed, so under IBT an indirect branch to them would fault,
 * at +0 and at +4 alike. Elsewhere it is a call through a read-only-after-init
 * pointer, refused at load if the kernel enforces landing pads that the function
 * does not have.
 */
#ifndef COWMEM_SYMBOLS_H
#define COWMEM_SYMBOLS_H

#include <linux/mm.h>
#include <linux/static_call.h>

#define COWMEM_SYMBOLS(X)                                                                  \
	/* 6.12: maps cow_page under the PTE lock after comparing the PTE (R2, R8); all */ \
	/* exported installers want VM_MIXEDMAP or VM_PFNMAP, or a shared file page */     \
	X(finish_fault)

#ifdef CONFIG_HAVE_STATIC_CALL_INLINE
#define X(name) DECLARE_STATIC_CALL(cowmem_##name, name);
#define cowmem_symbol_call(name) static_call(cowmem_##name)
#else
#define X(name) extern typeof(name) *cowmem_##name;
#define cowmem_symbol_call(name) cowmem_##name
#endif
COWMEM_SYMBOLS(X)
#undef X

/* Resolve every symbol; may sleep. 0, or an errno with the missing names in the log. */
int cowmem_symbols_resolve(void);

/* The address of one kernel function, or 0 and a line in the log. */
unsigned long cowmem_symbol_find(const char *name);

#endif /* COWMEM_SYMBOLS_H */
