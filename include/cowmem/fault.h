/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Page faults on mappings of an object: what a fault is, and how it can end.
 *
 * Seed 000's question "why infer the state from a NULL page?" is answered with an
 * explicit outcome for every way out (R12); each has one vm_fault_t and one counter.
 */
#ifndef COWMEM_FAULT_H
#define COWMEM_FAULT_H

#include <cowmem/object.h>

namespace cowmem {

/* What the access wants. The core says "private write" by a cow_page (R1). */
enum class Kind : unsigned int { read, shared_write, private_write, mkwrite };

/* How the handler answered. src/trace.h names them in this order. */
enum class Outcome : unsigned int {
	done_cow,           /* cow_page filled and mapped by the handler */
	page_locked,        /* vmf->page set and locked: the core maps it, or copies from it */
	lost_race,          /* the PTE changed meanwhile: the access is simply retried */
	beyond_end,         /* SIGBUS */
	poisoned,           /* the memory is damaged: SIGBUS, BUS_MCEERR_AR */
	no_memory,          /* the core frees some or kills */
	address_space_gone, /* the OOM reaper has been through it: SIGBUS */
	truncated,          /* the page left the object before page_mkwrite: retried */
	made_writable,      /* page_mkwrite: the page is locked and still the object's */
	mapped,             /* the object's page was mapped, or made writable, by the handler */
};

/* One fault in flight. On the stack; the hot part is one cache line (R11). */
struct Fault {
	explicit Fault(vm_fault *f)
		: vmf{f}, vma{kapi_vmf_vma(f)}, object{&Object::of(vma)}, index{kapi_vmf_pgoff(f)}
	{
	}

	vm_fault *vmf;
	vm_area_struct *vma;
	Object *object;
	Index index;
};
static_assert(sizeof(Fault) <= 64, "the fault context is one cache line (R11)");

} /* namespace cowmem */

#endif /* COWMEM_FAULT_H */
