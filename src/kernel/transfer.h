/* SPDX-License-Identifier: GPL-2.0 */
/* What the backing store is, and what a page is on its way to or from there for (src/store/backing_io.c). */
#ifndef COWMEM_TRANSFER_H
#define COWMEM_TRANSFER_H

enum cowmem_backing_kind {
	COWMEM_BACKING_FILE,
	COWMEM_BACKING_DEVICE,
	COWMEM_BACKING_DEVICE_THAT_WAITS, /* for a file system, a network or a process */
};

enum cowmem_transfer_for {
	COWMEM_TRANSFER_READ,
	COWMEM_TRANSFER_PAGE_OUT, /* a write that somebody has asked for */
	COWMEM_TRANSFER_RECLAIM, /* a write that is memory reclaim's: out of the reserves, if it must */
	COWMEM_TRANSFER_MOVE, /* a write of bytes that nobody else has: nobody changes them; may reclaim */
};

#endif /* COWMEM_TRANSFER_H */
