/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cowmem: memory objects behind /dev/cowmem.
 *
 * Every open() of the device makes a fresh, empty, sparse object with a life of
 * its own: the file descriptor can be mapped (shared or private), read, written,
 * seeked, forked and passed over a socket, and the object lives until the last
 * descriptor and mapping are gone. Opening /proc/PID/fd/N opens the *device*
 * again, so it makes another fresh object; pass the descriptor instead.
 *
 * Every ioctl takes a pointer to one struct whose first member is its own size
 * as the caller was compiled with. A newer caller on an older module works as
 * long as the members the module does not know are zero (else E2BIG); an older
 * caller on a newer module works always. A size of more than a page is E2BIG. `flags` members have no bits but the
 * ones defined here; any other bit is EINVAL. Unknown commands are ENOTTY.
 */
#ifndef _UAPI_LINUX_COWMEM_H
#define _UAPI_LINUX_COWMEM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define COWMEM_DEVICE "/dev/cowmem"
#define COWMEM_IOC_TYPE 0xC7

/* Version of this interface; it grows only when a caller must be able to tell. */
#define COWMEM_ABI_VERSION 1

/*
 * Command numbers. 0x00-0x0f is for the object as such. Reserved for what is to
 * come: 0x10-0x1f page-out and prefetch, 0x20-0x2f snapshot, clone and restore,
 * 0x30-0x3f reverse-map query and page map, 0x40-0x4f large pages.
 */
#define COWMEM_IOC_GET_INFO _IO(COWMEM_IOC_TYPE, 0x00)
#define COWMEM_IOC_STAT _IO(COWMEM_IOC_TYPE, 0x01)
#define COWMEM_IOC_RESIZE _IO(COWMEM_IOC_TYPE, 0x02)
#define COWMEM_IOC_PUNCH _IO(COWMEM_IOC_TYPE, 0x03)
#define COWMEM_IOC_SET_COW _IO(COWMEM_IOC_TYPE, 0x04)

/* Feature bits of struct cowmem_info: test these, never a version. */
#define COWMEM_FEATURE_COW_HANDLER (1ULL << 0) /* the handler makes the private copy */
#define COWMEM_FEATURE_COW_CORE (1ULL << 1)    /* the kernel's core can be told to */
#define COWMEM_FEATURE_RESIZE (1ULL << 2)
#define COWMEM_FEATURE_PUNCH (1ULL << 3)

/* GET_INFO: what this module can do. Any descriptor of the device will do. */
struct cowmem_info {
	__u32 size;        /* in: sizeof(struct cowmem_info) */
	__u32 flags;       /* in: 0 */
	__u32 abi_version; /* out: COWMEM_ABI_VERSION of the module */
	__u32 page_size;   /* out: bytes; the unit of PUNCH and of residency */
	__u64 features;    /* out: COWMEM_FEATURE_* */
	__u64 max_bytes;   /* out: the largest size an object can have, in bytes */
};

/* STAT: this object. */
#define COWMEM_STATE_FIXED_SIZE (1U << 0) /* RESIZE was called: it no longer grows by itself */

struct cowmem_stat {
	__u32 size;           /* in: sizeof(struct cowmem_stat) */
	__u32 flags;          /* in: 0 */
	__u64 bytes;          /* out: size of the object in bytes */
	__u64 resident_pages; /* out: pages of memory that the object holds */
	__u32 cow;            /* out: enum cowmem_cow that the next mmap() will take */
	__u32 state;          /* out: COWMEM_STATE_* */
};

/*
 * RESIZE: set the size in bytes, and stop it from growing by itself. Pages beyond
 * the new end are freed and unmapped everywhere, private copies included: touching
 * them is SIGBUS. Needs a writable descriptor.
 * EBADF: not open for writing. EFBIG: larger than cowmem_info.max_bytes.
 */
struct cowmem_resize {
	__u32 size;  /* in: sizeof(struct cowmem_resize) */
	__u32 flags; /* in: 0 */
	__u64 bytes; /* in: the new size */
};

/*
 * PUNCH: give back the memory of a range, which reads as zeroes from then on.
 * Private copies made earlier stay with the processes that made them. Needs a
 * writable descriptor. The part of the range beyond the object's end is ignored.
 * EBADF: not open for writing. EINVAL: not page aligned, empty or overflowing.
 */
struct cowmem_punch {
	__u32 size;   /* in: sizeof(struct cowmem_punch) */
	__u32 flags;  /* in: 0 */
	__u64 offset; /* in: bytes, a multiple of page_size */
	__u64 length; /* in: bytes, a multiple of page_size, not 0 */
};

/*
 * SET_COW: who copies the page at the first write to a private mapping. It holds
 * for mappings made from now on; each mapping keeps what it was made with (but one
 * that the kernel merges with a neighbour takes the neighbour's).
 * EINVAL: no such mode.
 */
enum cowmem_cow {
	COWMEM_COW_HANDLER = 0, /* the device's fault handler, through vmf->cow_page */
	COWMEM_COW_CORE = 1,    /* the kernel's core, from the page that the handler returns */
};

struct cowmem_set_cow {
	__u32 size;       /* in: sizeof(struct cowmem_set_cow) */
	__u32 flags;      /* in: 0 */
	__u32 cow;        /* in: enum cowmem_cow */
	__u32 __reserved; /* in: 0 */
};

#endif /* _UAPI_LINUX_COWMEM_H */
