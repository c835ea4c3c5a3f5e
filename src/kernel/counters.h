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
	X(mkwrite_again, "page_mkwrite calls that made the page the object's own, but not writable yet") \
	X(page_locks, "page locks taken by a fault handler (R16)")                        \
	X(page_unlocks, "of these, released by the handler itself")                       \
	X(page_locks_handed_over, "of these, handed to the core by VM_FAULT_LOCKED")      \
	X(page_locks_read, "of the page locks, those that faults took to read")            \
	X(page_locks_shared_write, "of the page locks, those of shared writes")           \
	X(page_locks_private_write, "of the page locks, those of private writes that the core copies") \
	X(page_locks_mkwrite, "of the page locks, those of page_mkwrite")                 \
	X(mapped, "faults whose page the handler mapped, or made writable, itself")       \
	X(over_limit, "faults that a snapshot does not allow to copy its page: SIGBUS")       \
	X(unreadable, "faults on a page that the store cannot give back: SIGBUS")             \
	X(killed, "faults that a fatal signal ended while they waited")                   \
	X(waited, "faults that a page had to be read for from the backing store: come again")   \
	X(user_missing, "faults on a hole that userfaultfd was asked for")                \
	X(user_minor, "faults on what is there that userfaultfd was asked for")           \
	X(major_faults, "faults that brought a page in, or copied it from the store")     \
	X(reused, "pages mapped writable and clean by a fault that reads (R46)")          \
	X(copies_from_store, "cow_pages filled from the store; the object's page stays out") \
	X(locked_retries, "faults that the locked path served after a speculative attempt (R33)") \
	X(speculative_attempts, "faults tried without locks: commits and aborts")          \
	X(speculative_commits, "of these, answered so: mapped, or the PTE had changed, or a machine check") \
	X(speculative_abort_odd, "of these, given up: a writer was inside, or waited (R30)") \
	X(speculative_abort_end, "... beyond the object's end, or it must grow first")     \
	X(speculative_abort_moved, "... the page was just leaving its slot")              \
	X(speculative_abort_snapshot, "... a writer came by during the look-up (R32)")    \
	X(speculative_abort_no_memory, "... a hole, and no memory to fill it")             \
	X(speculative_abort_poisoned, "... the page is poisoned")                         \
	X(speculative_abort_no_table, "... its page table was going (R39)")               \
	X(speculative_abort_changed, "... a writer came by before the PTE was stored (R32)") \
	X(speculative_abort_reaped, "... the OOM killer reaps the process")                \
	X(speculative_abort_shared, "... a page of the family is to be written, or is another") \
	X(speculative_abort_backing, "... its bytes have to be read from the backing store first") \
	X(around_calls, "read faults that asked for their neighbours, too")                \
	X(around_mapped, "pages mapped by these (R23)")                                    \
	X(around_mapped_to_write, "neighbours mapped, to be written, by faults that write")  \
	X(around_permitted, "neighbours that were mapped, and may be written since such a fault") \
	X(around_overtaken, "of these calls, those that gave up because of a writer")      \
	X(around_no_table, "of these calls, those that found no page table")               \
	X(around_skipped_locked, "candidates passed over: locked (R19)")                  \
	X(around_skipped_reference, "... being freed")                                     \
	X(around_skipped_moved, "... no longer in their slot")                             \
	X(around_skipped_locked_again, "... locked since the first test")                  \
	X(around_skipped_not_uptodate, "... not uptodate")                                 \
	X(around_skipped_poisoned, "... poisoned")                                         \
	X(around_skipped_trylock, "... the page lock was not to be had (R21)")            \
	X(around_skipped_owner, "... no longer the object's")                              \
	X(around_skipped_end, "... beyond the object's end")                               \
	X(around_skipped_shared, "... a snapshot has it, and the object something else")   \
	X(around_skipped_present, "... something is at their address (R25)")              \
	X(around_undone, "... locked, or no longer the object's, once the mapping was counted (R22)") \
	X(around_page_locks, "page locks taken, and released, by fault-around")            \
	X(pages_allocated, "pages that objects took")                                     \
	X(pages_freed, "pages that objects gave back")                                    \
	X(large_allocated, "large folios that objects took; their pages are counted above, too") \
	X(leaves_filled, "leaves of holes that were filled with pages of 64 KiB, as 16 of 4 KiB")   \
	X(large_fallbacks, "times that no memory for a large page, or 64 KiB, was to be had") \
	X(large_mapped, "faults that mapped one by one entry")                             \
	X(large_unmapped, "such entries taken out, so that each page could have one")      \
	X(large_broken, "large folios that became pages")                                  \
	X(large_collapsed, "of those that objects took, those that COLLAPSE made of pages")  \
	X(large_refused, "blocks that COLLAPSE left as they were")                         \
	X(tables_freed, "page tables without an entry, freed so that one entry can map a large folio") \
	X(pages_moved, "pages that MOVE put on another node")                             \
	X(pages_poisoned, "times that a page was damaged, by a machine check or POISON")  \
	X(pages_paged_out, "pages that went out of memory")                               \
	X(pages_stored, "pages that were put into the store for it")                       \
	X(pages_reused, "of those paged out, those whose slot was still good (R47)")      \
	X(pages_over_share, "pages that the store refused: their cgroup has its share of it")  \
	X(pages_incompressible, "pages that the store refused: they take no less there")   \
	X(pages_recompressed, "pages of the store that the compressor for what is cold made smaller") \
	X(pages_shrunk, "of those paged out, those that memory pressure took")             \
	X(backing_written, "pages that went to the backing store")                         \
	X(backing_moved, "of these, those that had been compressed in memory, and were cold") \
	X(backing_read, "pages that came from there")                                      \
	X(backing_readahead, "of these, those that nobody had asked for yet")              \
	X(backing_copied, "pages copied to be written, since the device wants what it is given to stay as it is") \
	X(backing_discarded, "pages of the device, not in use any more, of which it was told so") \
	X(backing_errors, "pages that could not be written or read there")                 \
	X(checksum_errors, "pages that were not what had been written there")              \
	X(pages_brought_in, "pages that came back into memory")                            \
	X(pages_brought_along, "of these, those of compressed memory that nobody had asked for yet") \
	X(pages_copied_up, "pages of a snapshot copied for an object that writes them")     \
	X(pages_taken_over, "pages that a snapshot had, and that nobody but their writer saw any more") \
	X(pages_taken_along, "of these, those behind the page written")                      \
	X(pages_frozen_copied, "pages that a snapshot got a copy of, since they may be pinned") \
	X(pages_frozen_shared, "the same, and it got what the last one has: the bytes are equal") \
	X(snapshots, "SNAPSHOT, done")                                                      \
	X(snapshots_dropped, "of these, those given up because of their limit")           \
	X(clones, "CLONE, done")                                                            \
	X(restores, "RESTORE, done")                                                        \
	X(pages_compared, "pages that DIFF compared, written in one of two objects since they parted") \
	X(object_locked_alone, "times that an object's lock was held alone, to take something from it") \
	X(object_lock_waits, "times that a fault or a call met another thread that held it alone") \
	X(spinlock_waits, "times that the lock of a tree, or of a family's list, was not free") \
	X(page_lock_waits, "times that a page lock was not free")                          \
	X(drain_visits, "objects with slots that were looked through, since `backing` or `compressor` was set") \
	X(leaves_walked, "leaves of trees looked through for slots that are to move, or may be") \
	X(objects_created, "objects made by open()")                                      \
	X(objects_freed, "objects gone")

enum cowmem_counter {
#define X(name, what) COWMEM_COUNT_##name,
	COWMEM_COUNTERS(X)
#undef X
	COWMEM_NR_COUNTERS
};

#endif /* COWMEM_COUNTERS_H */
