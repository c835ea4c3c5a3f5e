/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The module's counters, one line each: name, what it counts. They are per CPU,
 * world-readable and never reset, in /sys/class/misc/cowmem/counters/.
 */
#ifndef COWMEM_COUNTERS_H
#define COWMEM_COUNTERS_H

#define COWMEM_COUNTERS(X)                                                                \
	X(fault_read, "faults that read a page")                                          \
	X(fault_shared_write, "faults that write a page of a shared mapping")             \
	X(fault_private_write, "faults that write a page of a private mapping (R1)")      \
	X(done_cow, "private writes that the handler copied and installed itself (R2)")   \
	X(page_returned, "faults answered with a page, locked, for the core to map (R3)")   \
	X(mkwrite, "page_mkwrite calls: first write through a read-only shared PTE (R17)") \
	X(copies, "pages copied into a fault's cow_page")                                 \
	X(zero_fills, "cow_pages zero-filled because the object has a hole there")        \
	X(lost_races, "private copies dropped because the PTE had changed (R7)")          \
	X(beyond_end, "faults beyond the object's end: SIGBUS")                           \
	X(poisoned, "faults on a poisoned page: SIGBUS (R10)")                            \
	X(no_memory, "faults that found no memory")                                       \
	X(address_space_gone, "faults refused while the OOM killer reaps the process")    \
	X(made_writable, "page_mkwrite calls answered with the page locked")                \
	X(mkwrite_truncated, "page_mkwrite calls on a page truncated meanwhile (R18)")    \
	X(page_locks, "page locks taken by a fault handler (R16)")                        \
	X(page_unlocks, "of these, released by the handler itself")                       \
	X(page_locks_handed_over, "of these, handed to the core by VM_FAULT_LOCKED")      \
	X(pages_allocated, "pages that objects took")                                     \
	X(pages_freed, "pages that objects gave back")                                    \
	X(pages_moved, "pages that MOVE put on another node")                             \
	X(pages_poisoned, "pages that POISON took for damaged")                           \
	X(objects_created, "objects made by open()")                                      \
	X(objects_freed, "objects gone")

enum cowmem_counter {
#define X(name, what) COWMEM_COUNT_##name,
	COWMEM_COUNTERS(X)
#undef X
	COWMEM_NR_COUNTERS
};

#endif /* COWMEM_COUNTERS_H */
