/* SPDX-License-Identifier: GPL-2.0 */
/* A test's object (mapping.h) and its relatives: snapshots and clones, and whose the pages are. */
#ifndef COWMEM_KUNIT_RELATIVES_H
#define COWMEM_KUNIT_RELATIVES_H

#include "mapping.h"

#define ANY ~0UL /* copies that a snapshot allows */

/* Files of relatives, which the end of the test closes. */
extern struct file *snapshot, *made;

/* KUnit's suite hooks; every fault is first tried without locks. */
int relatives_init(struct kunit *test);
void relatives_exit(struct kunit *test);

struct file *snapshot_of(struct mapping *m, unsigned long max_copies);
struct file *clone_of(struct mapping *m);
/* Closes it now, and not when this thread, a kernel's, comes to it. */
void close_now(struct file **file);

/* The page that is seen, if it is the object's own. */
struct folio *own_of(struct file *file, pgoff_t index);
/* The same if it is the family's: at home with no object. */
struct folio *shared_of(struct mapping *m, struct file *file, pgoff_t index);

/* In how many leaves of trees it is, and slots. */
long names(struct folio *folio);
int byte_of(struct folio *folio, unsigned int offset);
/* Whether it is mapped at @address. */
bool maps(struct mapping *m, unsigned long address, struct folio *folio);

/* Has @byte there by write(): not through a page table. 0 or an error. */
int write_byte(struct file *file, loff_t position, u8 byte);

/* Another thread writes 0xee so, at @offset of page @index. */
void will_write(struct file *file, pgoff_t index, unsigned int offset);
void other_write(struct other *other);
/* Whether the copy is in the tree, or what there was has the byte. */
bool is_written(struct other *other);

#endif /* COWMEM_KUNIT_RELATIVES_H */
