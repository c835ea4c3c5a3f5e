/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The speculative path of a fault: no lock that sleeps, and none of a page or object.
 *
 * An attempt reads the object's count, looks the page up under RCU, prepares what it
 * will map, and stores the PTE only if the count is still the same under the PTE lock
 * (layers/object_lock.h). On any doubt it leaves nothing behind, and the locked path serves
 * the access, once (R33). Attempts = commits + aborts; aborts = locked retries.
 *
 * Of the fault's mapping all of it goes by what was read when the handler was entered
 * (Attributes, fault/fault.h).
 */
#ifndef COWMEM_SPECULATE_H
#define COWMEM_SPECULATE_H

#include <optional>

#include "fault/fault.h"

namespace cowmem {

/* Whether to attempt faults of @kind at all: a parameter for each, 0644. */
bool worth_speculating(const Fault &fault, Kind kind);

/*
 * Serves @fault without locks, but that a hole's page is put in under the object's,
 * shared. No outcome: take the locked path; nothing happened but perhaps that, and that
 * an empty page table was put in its place.
 */
std::optional<Outcome> speculate(Fault &fault, Kind kind);

} /* namespace cowmem */

#endif /* COWMEM_SPECULATE_H */
