/* SPDX-License-Identifier: GPL-2.0 */
/* What a fault does for the pages around its own (src/fault/around.cc). */
#ifndef COWMEM_AROUND_H
#define COWMEM_AROUND_H

#include "fault/fault.h"
#include "fault/fault_table.h"

namespace cowmem {

/*
 * Behind a write fault on a shared mapping, which has just let its own page be written: has
 * the resident neighbours that nobody else sees written without a fault, too. They are
 * mapped writable and clean, as seed 003 has it for what is read. With the table locked,
 * and the count seen unchanged since that.
 */
void map_written_around(const Fault &fault, FaultTable &table);

/*
 * The same behind a read fault, whose page was brought in with what follows: maps the
 * resident neighbours, as fault-around would. Under the same conditions.
 */
void map_read_around(const Fault &fault, FaultTable &table);

/*
 * The same behind a fault of @kind, read or shared write, that has found the pages of its leaf together with its own: maps
 * those in it that it may, for what it is about. Under the same conditions.
 */
void map_leaf(const Fault &fault, Kind kind, FaultTable &table);

/*
 * For a write fault, once the object has a page of its own where it saw a part of a large folio: the entry that mapped all of
 * the block to read has gone with that, or there was none. Where the core has allocated a page table for the fault, maps the
 * other parts that the object sees there, to read, so that the next write finds an entry, which is the cheaper fault, and a
 * read needs none. Takes the object's lock, shared, if it is to be had at once, and the PTE lock. Kernel counterpart:
 * __split_huge_pmd_locked(), for anonymous memory.
 */
void map_parts_around(const Fault &fault);

/* The last index that fault-around would map beside the fault's own. */
Index last_around(const Fault &fault);

} /* namespace cowmem */

#endif /* COWMEM_AROUND_H */
