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

/* The last index that fault-around would map beside the fault's own. */
Index last_around(const Fault &fault);

} /* namespace cowmem */

#endif /* COWMEM_AROUND_H */
