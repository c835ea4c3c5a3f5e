/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COWMEM_TOLD_H
#define COWMEM_TOLD_H

/* What /proc/PID/fdinfo/FD tells of an object. */
struct cowmem_told {
	const char *kind;
	bool pinnable;
	unsigned long family, parent; /* numbers of inodes, or 0 */
	unsigned long own_pages, large_pages, own_slots, pages;
	unsigned long max_slots, copies, max_copies; /* ~0: no limit */
};

#endif /* COWMEM_TOLD_H */
