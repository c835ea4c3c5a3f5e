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
#include <linux/rmap.h>
#include <linux/static_call.h>

/* 6.12: makes a present PTE writable, atomically where the hardware writes it, too. */
#ifdef CONFIG_ARM64
#define COWMEM_ARCH_SYMBOLS(X) X(__ptep_set_access_flags)
#define cowmem_set_access_flags cowmem_symbol_call(__ptep_set_access_flags)
#else
#define COWMEM_ARCH_SYMBOLS(X) X(ptep_set_access_flags)
#define cowmem_set_access_flags cowmem_symbol_call(ptep_set_access_flags)
#endif

/* From mm/internal.h, which no module sees. */
void pmd_install(struct mm_struct *mm, pmd_t *pmd, pgtable_t *pte);

#define COWMEM_SYMBOLS(X)                                                                     \
	/* 6.12: maps cow_page under the PTE lock after comparing the PTE (R2, R8); all */    \
	/* exported installers want VM_MIXEDMAP or VM_PFNMAP, or a shared file page */        \
	X(finish_fault)                                                                       \
	/* 6.12: stores a PTE that is not there yet, with rmap, LRU and the architecture's */ \
	/* part of it (R32): set_ptes() itself does not link on arm64 with MTE, and */        \
	/* neither rmap's nor the LRU's functions are exported */                             \
	X(set_pte_range)                                                                      \
	/* 6.12: puts the table that the core allocated for map_pages in its place (R24); */  \
	/* pmd_populate() refers to init_mm in arm64 kernels with CONFIG_DEBUG_VM */          \
	X(pmd_install)                                                                        \
	/* 6.12: counting a mapping before it is there, and undoing that (R22) */             \
	X(folio_add_file_rmap_ptes)                                                           \
	X(folio_remove_rmap_ptes)                                                             \
	COWMEM_ARCH_SYMBOLS(X)

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
