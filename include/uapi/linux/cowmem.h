/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * cowmem: memory objects behind /dev/cowmem.
 *
 * Every open() of the device makes a fresh, empty, sparse object with a life of
 * its own: the file descriptor can be mapped (shared or private), read, written,
 * seeked, forked and passed over a socket, and the object lives until the last
 * descriptor and mapping are gone. Its inode is the device's, and to open /proc/PID/fd/N opens
 * the *device* again, which makes another fresh object. FILE gives a descriptor of the same
 * object that is a regular file: that can be opened again by its path, has a size for fstat()
 * and ftruncate(), locks of its own, fallocate() and posix_fadvise(). CREATE, SNAPSHOT and CLONE
 * give such files at once. To open a snapshot again for writing is EROFS.
 *
 * Every ioctl takes a pointer to one struct whose first member is its own size
 * as the caller was compiled with. Structs grow at their end. A newer caller on an
 * older module works as long as the members the module does not know are zero (else
 * E2BIG); an older caller on a newer module works always, and is answered as much as
 * it knows. EINVAL: the size is less than that of the struct's first version. E2BIG:
 * it is more than a page. `flags` members have no bits but the ones defined here; any
 * other bit is EINVAL, and so is a `__reserved` member that is not 0. EFAULT: the
 * struct, or what it points to, cannot be read or written. ENOTTY: no such command, or the
 * descriptor is of something else. Nobody sees what a call answers to whom it is killed in:
 * one that takes long ends early then.
 *
 * The other calls fail as with a file; and read() and write() with EIO, where the memory is
 * damaged or the store cannot give it back, and ENOMEM; write() with ENOSPC beyond a fixed size
 * and EDQUOT (COWMEM_SNAPSHOT_LIMIT); mmap() with EOVERFLOW beyond cowmem_info.max_bytes; and
 * all of them with ESTALE on a dropped snapshot (COWMEM_SNAPSHOT_DROP).
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
 * Command numbers, each with a struct of the same name (CLONE has struct cowmem_snapshot).
 * 0x00-0x0f is for the object as such, 0x10-0x1f for page-out and prefetch, 0x20-0x2f for
 * snapshots, 0x30-0x3f for pages and the reverse map, 0x40-0x4f for large pages.
 */
#define COWMEM_IOC_GET_INFO _IO(COWMEM_IOC_TYPE, 0x00)
#define COWMEM_IOC_STAT _IO(COWMEM_IOC_TYPE, 0x01)
#define COWMEM_IOC_RESIZE _IO(COWMEM_IOC_TYPE, 0x02)
#define COWMEM_IOC_PUNCH _IO(COWMEM_IOC_TYPE, 0x03)
#define COWMEM_IOC_SET_COW _IO(COWMEM_IOC_TYPE, 0x04)
#define COWMEM_IOC_CREATE _IO(COWMEM_IOC_TYPE, 0x05)
#define COWMEM_IOC_FILE _IO(COWMEM_IOC_TYPE, 0x06)
#define COWMEM_IOC_PAGE_OUT _IO(COWMEM_IOC_TYPE, 0x10)
#define COWMEM_IOC_PREFETCH _IO(COWMEM_IOC_TYPE, 0x11)
#define COWMEM_IOC_STORE_STAT _IO(COWMEM_IOC_TYPE, 0x12)
#define COWMEM_IOC_STORE_LIMIT _IO(COWMEM_IOC_TYPE, 0x13)
#define COWMEM_IOC_SNAPSHOT _IO(COWMEM_IOC_TYPE, 0x20)
#define COWMEM_IOC_CLONE _IO(COWMEM_IOC_TYPE, 0x21)
#define COWMEM_IOC_RESTORE _IO(COWMEM_IOC_TYPE, 0x22)
#define COWMEM_IOC_DIFF _IO(COWMEM_IOC_TYPE, 0x23)
#define COWMEM_IOC_SNAPSHOT_SET _IO(COWMEM_IOC_TYPE, 0x24)
#define COWMEM_IOC_RMAP _IO(COWMEM_IOC_TYPE, 0x30)
#define COWMEM_IOC_PAGEMAP _IO(COWMEM_IOC_TYPE, 0x31)
#define COWMEM_IOC_MOVE _IO(COWMEM_IOC_TYPE, 0x32)
#define COWMEM_IOC_POISON _IO(COWMEM_IOC_TYPE, 0x33)
#define COWMEM_IOC_COLLAPSE _IO(COWMEM_IOC_TYPE, 0x40)
#define COWMEM_IOC_SET_HUGE _IO(COWMEM_IOC_TYPE, 0x41)

/* Feature bits of struct cowmem_info: test these, never a version. */
#define COWMEM_FEATURE_COW_HANDLER (1ULL << 0) /* the handler makes the private copy */
#define COWMEM_FEATURE_COW_CORE (1ULL << 1)    /* the kernel's core can be told to */
#define COWMEM_FEATURE_RESIZE (1ULL << 2)
#define COWMEM_FEATURE_PUNCH (1ULL << 3)
#define COWMEM_FEATURE_RMAP (1ULL << 4)
#define COWMEM_FEATURE_PAGEMAP (1ULL << 5)
#define COWMEM_FEATURE_MOVE (1ULL << 6)   /* a kernel with several NUMA nodes in mind */
#define COWMEM_FEATURE_POISON (1ULL << 7) /* a kernel that knows damaged memory */
#define COWMEM_FEATURE_PAGE_OUT (1ULL << 8)
/* What was read after it came back can be written without another fault, in hardware. */
#define COWMEM_FEATURE_DIRTY_BIT (1ULL << 9)
#define COWMEM_FEATURE_SNAPSHOT (1ULL << 10) /* and CLONE and RESTORE */
#define COWMEM_FEATURE_DIFF (1ULL << 11)
#define COWMEM_FEATURE_RESIZE_GROWS (1ULL << 12) /* COWMEM_RESIZE_GROWS */
#define COWMEM_FEATURE_SNAPSHOT_SET (1ULL << 13)
#define COWMEM_FEATURE_RESTORE_RANGE (1ULL << 14)
#define COWMEM_FEATURE_CLONE_RANGE (1ULL << 15)
#define COWMEM_FEATURE_FILES \
	(1ULL << 16) /* CREATE and FILE; SNAPSHOT and CLONE give regular files */
/*
 * userfaultfd serves shared and private mappings of regular files, also where something is
 * MISSING, MINOR (of shared mappings), or write-protected without WP_ASYNC; not RWP. What UFFDIO_COPY
 * gives the object it has, also if the call fails because something else is in the page table by then.
 */
#define COWMEM_FEATURE_USERFAULTFD (1ULL << 17)
#define COWMEM_FEATURE_PINNABLE (1ULL << 18) /* COWMEM_CREATE_PINNABLE, and the mount option */
#define COWMEM_FEATURE_HUGE (1ULL << 19)     /* COWMEM_CREATE_HUGE */
#define COWMEM_FEATURE_COLLAPSE (1ULL << 20)
#define COWMEM_FEATURE_SET_HUGE (1ULL << 21)     /* and the mount option huge= */
#define COWMEM_FEATURE_PAGE_OUT_AGE (1ULL << 22) /* COWMEM_PAGE_OUT_AGE */

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
#define COWMEM_STATE_FIXED_SIZE (1U << 0) /* it does not grow by itself (any more) */
#define COWMEM_STATE_DROPPED (1U << 1)    /* a snapshot that was given up (COWMEM_SNAPSHOT_DROP) */
#define COWMEM_STATE_FROZEN (1U << 2)     /* a snapshot: nobody can write it */
#define COWMEM_STATE_MAY_BE_DROPPED \
	(1U << 3) /* a snapshot that was taken with COWMEM_SNAPSHOT_DROP */

#define COWMEM_STATE_GROWS_BY_WRITE (1U << 4) /* by write(), not by mmap(): a regular file */
#define COWMEM_STATE_PINNABLE (1U << 5)       /* COWMEM_CREATE_PINNABLE */

struct cowmem_stat {
	__u32 size;           /* in: sizeof(struct cowmem_stat) */
	__u32 flags;          /* in: 0 */
	__u64 bytes;          /* out: size of the object in bytes */
	__u64 resident_pages; /* out: pages of memory that are its own; if it oversees: that it sees */
	__u32 cow;            /* out: enum cowmem_cow that the next mmap() will take */
	__u32 state;          /* out: COWMEM_STATE_* */
	__u64 layers; /* out: other objects of its family: snapshots, clones, what they are of */
	__u64 copies; /* out: of a snapshot, what counts for its max_copies */
	__u64 max_copies; /* out: of a snapshot, its limit; ~0: none */
	/*
	 * out: if it oversees, pages of memory that its family shares, each counted once. With the
	 * resident_pages of those of the family that are no snapshots it is all that they have. 0 in a
	 * family that a file joined by FICLONE.
	 */
	__u64 shared_pages;
	__u64 large_pages; /* out: of the pages that are its own, those in pages of 2 MiB */
	__u32 huge;        /* out: enum cowmem_huge */
	__u32 __reserved;  /* out: 0 */
};

#define COWMEM_STAT_SIZE_VER0 48U

/*
 * RESIZE: set the size in bytes. The object stops growing by itself; with
 * COWMEM_RESIZE_GROWS it (again) grows by mmap() and write(). Pages beyond the new end are
 * freed and unmapped everywhere, private copies included: touching them is SIGBUS (or, if
 * it grows, a fresh page). It does not wait for a write() that is under way (ftruncate() does): what that
 * one puts down behind the new end at that moment may read as zeroes. Needs a writable descriptor.
 * EBADF: not open for writing. EFBIG: larger than cowmem_info.max_bytes. ENOMEM, EIO:
 * the page at the new end is paged out, or a snapshot's, and cannot be brought in or copied;
 * EDQUOT: a snapshot does not permit it (COWMEM_SNAPSHOT_LIMIT). Then nothing changed. What lies
 * beyond the new end goes in batches, from the old end on: others may see sizes in between, and if
 * the caller is killed, the size says how far it came.
 */
#define COWMEM_RESIZE_GROWS (1U << 0)

struct cowmem_resize {
	__u32 size;  /* in: sizeof(struct cowmem_resize) */
	__u32 flags; /* in: COWMEM_RESIZE_* */
	__u64 bytes; /* in: the new size */
};

/*
 * PUNCH: give back the memory of a range, which reads as zeroes from then on.
 * Private copies made earlier stay with the processes that made them. Needs a
 * writable descriptor. The part of the range beyond the object's end is ignored. What is a
 * snapshot's, or a parent's, is hidden in batches: a SNAPSHOT meanwhile may find some of
 * the range punched.
 * EBADF: not open for writing. EINVAL: not page aligned, empty or overflowing. ENOMEM: no
 * memory to hide a page that a snapshot has; EDQUOT: a snapshot does not permit it
 * (COWMEM_SNAPSHOT_LIMIT). Then what lies before `next` is punched, and the rest is as it was.
 */
struct cowmem_punch {
	__u32 size;   /* in: sizeof(struct cowmem_punch) */
	__u32 flags;  /* in: 0 */
	__u64 offset; /* in: bytes, a multiple of page_size */
	__u64 length; /* in: bytes, a multiple of page_size, not 0 */
	__u64 next;   /* out: how far it came; offset + length: all is punched */
};

#define COWMEM_PUNCH_SIZE_VER0 24U

/*
 * SET_COW: who copies the page at the first write to a private mapping. It holds
 * for mappings made from now on; each mapping keeps what it was made with (but one
 * that the kernel merges with a neighbour takes the neighbour's).
 * EINVAL: no such mode. ESTALE: a dropped snapshot.
 */
enum cowmem_cow {
	COWMEM_COW_HANDLER = 0, /* the device's fault handler, through vmf->cow_page */
	/* The kernel's core, from the page that the handler returns; not if the object has relatives. */
	COWMEM_COW_CORE = 1,
};

struct cowmem_set_cow {
	__u32 size;       /* in: sizeof(struct cowmem_set_cow) */
	__u32 flags;      /* in: 0 */
	__u32 cow;        /* in: enum cowmem_cow */
	__u32 __reserved; /* in: 0 */
};

/*
 * CREATE: a new descriptor, closed on exec, of a new object that is a regular file without a
 * link, as memfd_create() makes one: empty, with mode 0600, and growing by write(), ftruncate()
 * and fallocate(). /proc/PID/maps shows its name, as "/cowmem:NAME (deleted)".
 * With COWMEM_CREATE_PINNABLE devices may write its memory for long (FOLL_LONGTERM: io_uring's
 * registered buffers, RDMA, VFIO) through its shared mappings, as they may a memfd's. What such a
 * device has pinned is the object's own and stays so: SNAPSHOT and CLONE copy the page, if its bytes
 * are not those that the last snapshot has; PAGEMAP says that it is DIRTY; PAGE_OUT leaves it alone.
 * PUNCH, RESIZE, RESTORE and FICLONE take it out of the object, and the device goes on with memory
 * that nobody else sees, until it pins anew. Shared mappings that may store lose their entries to
 * SNAPSHOT and CLONE, with their soft-dirty bits and what mlock() holds, and the first access to a
 * page behind that copies it, also one that reads: what is then refused or killed is as for a
 * store. A clone of the object, and of its snapshots, is the same.
 * With COWMEM_CREATE_HUGE it takes memory in pages of 2 MiB where a fault finds 2 MiB, aligned, that are
 * a hole as a whole and within size and mapping, such memory is free, and
 * /sys/kernel/mm/transparent_hugepage/enabled is not "never", and nothing in these 2 MiB of that mapping was
 * ever mapped by 4 KiB; and where one write(), fallocate() or PREFETCH to write has all of 2 MiB, aligned, that are a hole, whatever
 * that file says; otherwise by 4 KiB, as ever. One
 * entry of a page table maps such a page, and mmap() gives addresses for that. Snapshots and clones share it;
 * what is written then, punched, or asked for by itself, is 4 KiB, and so is what is paged out and comes back:
 * PUNCH, PAGE_OUT, MOVE, POISON and what clears marks of PAGEMAP have a page of 2 MiB that is the object's own, and PAGE_OUT
 * of a snapshot one that it shares, become 4 KiB pages first. Its clones are as it is. That is COWMEM_HUGE_ALWAYS (SET_HUGE).
 * EOPNOTSUPP: COWMEM_CREATE_HUGE, and not COWMEM_FEATURE_HUGE; or both flags, which do not go together yet.
 * ENAMETOOLONG: the name is longer than COWMEM_NAME_MAX. ENOMEM, EMFILE, ENFILE: no memory, or no
 * descriptor. Any descriptor will do.
 */
#define COWMEM_CREATE_PINNABLE (1U << 2) /* the bits below are libcowmem's */
#define COWMEM_CREATE_HUGE (1U << 3)
#define COWMEM_NAME_MAX 248U /* bytes without the NUL */

struct cowmem_create {
	__u32 size;       /* in: sizeof(struct cowmem_create) */
	__u32 flags;      /* in: COWMEM_CREATE_* */
	__u64 name;       /* in: address of a string, or 0: none */
	__s32 fd;         /* out: the new descriptor */
	__u32 __reserved; /* in: 0 */
};

/*
 * FILE: a new descriptor, closed on exec, of the same object as a regular file, as CREATE's is,
 * with the rights of this descriptor: for what wants to see a file, or to open
 * /proc/PID/fd/N again. ftruncate() has it grow by write() from then on, no more by mmap().
 * EBADF: not open for reading. ENOMEM, EMFILE, ENFILE: no memory, or no descriptor. ESTALE: a
 * dropped snapshot.
 */
struct cowmem_file {
	__u32 size;       /* in: sizeof(struct cowmem_file) */
	__u32 flags;      /* in: 0 */
	__s32 fd;         /* out: the new descriptor */
	__u32 __reserved; /* in: 0 */
};

/*
 * PAGE_OUT: have the pages of a range in the store rather than in memory, until they
 * are used again. Content, mappings and the marks of PAGEMAP and userfaultfd stay.
 * Pages that were used since they were last looked at are left alone once, unless with
 * COWMEM_PAGE_OUT_ACCESSED; so are always those that are mapped where mlock() holds
 * them, pinned, poisoned, just in use, or whose soft-dirty bits are being tracked and
 * set. What memory pressure does is the same without being asked. The store is memory,
 * where pages are compressed, and the file or device behind it, if there is one, for
 * those that this does not take; and for those that stay out, as that memory comes near its
 * limit, or when the module's parameter `writeback` asks for it (cowmem(8)).
 * What relatives may see, too, is left alone, but if the object is a snapshot that oversees
 * (SNAPSHOT): then all that it sees goes out, for all who see it. The descriptor of a snapshot
 * need not be open for writing.
 * With COWMEM_PAGE_OUT_AGE no page goes out: what was used until now counts as unused from now on, and `accessed` says
 * how many pages that is about. So PAGE_OUT, n seconds after that, has the pages go out that were not used for n
 * seconds. Memory pressure and PAGEMAP ask the same marks: what they have looked at meanwhile may go out, too, if it
 * was not used since then. As with the kernel's own, a CPU that knows an entry already may use it without a mark.
 * EINVAL: not page aligned, empty or overflowing; or both flags. EBADF: not open for writing.
 */
#define COWMEM_PAGE_OUT_ACCESSED (1U << 0)
#define COWMEM_PAGE_OUT_AGE (1U << 1) /* COWMEM_FEATURE_PAGE_OUT_AGE */

struct cowmem_page_out {
	__u32 size;   /* in: sizeof(struct cowmem_page_out) */
	__u32 flags;  /* in: COWMEM_PAGE_OUT_* */
	__u64 offset; /* in: bytes, a multiple of page_size */
	__u64 length; /* in: bytes, a multiple of page_size, not 0 */
	__u64 next;   /* out: where to go on; offset + length: all were looked at */
	__u64 out;    /* out: pages that went out */
	__u64 reused; /* out: of these, the store still had them: not stored again */
	__u64 accessed; /* out: pages that stay: used lately; with COWMEM_PAGE_OUT_AGE, those that were */
	__u64 locked;         /* out: ... mlock */
	__u64 busy;           /* out: ... pinned, written meanwhile, or just in use */
	__u64 incompressible; /* out: ... they would take no less in the store */
	__u64 full;           /* out: ... the store is full, or the object's share of it */
	__u64 no_memory;      /* out: ... there is no memory to store them in */
	__u64 poisoned;       /* out: ... damaged */
	__u64 tracked;        /* out: ... their soft-dirty bits would be lost */
	__u64 io_error;       /* out: ... the backing store could not be written */
};

/*
 * PREFETCH: bring what is paged out in these ranges back into memory; what is no
 * longer within the object is passed over. The pages keep their place in the store
 * until they are written. With COWMEM_PREFETCH_TO_WRITE each page of the ranges is the
 * object's own afterwards: holes are filled with zeroes (in pages of 2 MiB, if it takes these
 * always), and what relatives see is copied, so that who writes through a shared mapping then waits
 * for no memory and no copy, and one fault maps several. MADV_POPULATE_WRITE behind that
 * leaves no fault at all.
 * EINVAL: a range is not page aligned, empty or overflowing; or too many. ENOMEM, EIO:
 * no memory for a page, or the store cannot give it back, or it is poisoned; `brought_in` tells how
 * far it came. ESTALE: a dropped snapshot. With COWMEM_PREFETCH_TO_WRITE: EBADF: not open for writing.
 * EDQUOT: the copies would be beyond a snapshot's limit. ENOSPC: beyond the limit of the mount.
 */
#define COWMEM_PREFETCH_MAX 1024U /* ranges */
#define COWMEM_PREFETCH_TO_WRITE (1U << 0)

struct cowmem_range {
	__u64 offset; /* bytes, a multiple of page_size */
	__u64 length; /* bytes, a multiple of page_size, not 0 */
};

struct cowmem_prefetch {
	__u32 size;       /* in: sizeof(struct cowmem_prefetch) */
	__u32 flags;      /* in: COWMEM_PREFETCH_* */
	__u64 ranges;     /* in: address of an array of struct cowmem_range */
	__u32 count;      /* in: how many, at most COWMEM_PREFETCH_MAX */
	__u32 __reserved; /* in: 0 */
	__u64 brought_in; /* out: pages; if it does not oversee, those that are its own; or, to write, that were not */
};

/*
 * STORE_STAT: what this object has in the store, and what all objects have.
 * ESTALE: a dropped snapshot.
 */
struct cowmem_store_stat {
	__u32 size;          /* in: sizeof(struct cowmem_store_stat) */
	__u32 flags;         /* in: 0 */
	__u64 slots;         /* out: pages of the object that have a place in the store */
	__u64 same_filled;   /* out: of these, pages of one repeated word: they take nothing */
	__u64 bytes;         /* out: memory that the others take, compressed */
	__u64 max_slots;     /* out: the limit; ~0: none */
	__u64 pool_bytes;    /* out: memory that the store has, for all objects */
	__u64 backing_slots; /* out: of `slots`, those in the backing store, a page each there */
};

/*
 * STORE_LIMIT: how many pages of the object may have a place in the store. Those that
 * have one keep it. Snapshots and clones taken from then on have the same limit, each for
 * the pages that are its own; RESTORE brings back the snapshot's. EBADF: not open for writing.
 */
struct cowmem_store_limit {
	__u32 size;      /* in: sizeof(struct cowmem_store_limit) */
	__u32 flags;     /* in: 0 */
	__u64 max_slots; /* in: pages; ~0: no limit */
};

/*
 * SNAPSHOT: a new descriptor of an object that stays as this one is now, in content and
 * size: it can be read and mapped, and not be written. What that costs follows the pages
 * written since the last one, not the size. All that a writer does before something that is
 * in the snapshot is in it, too. Pages that may be pinned for DMA are copied, one after the other:
 * of what is written through such a pin meanwhile, each may be of another moment.
 * CLONE: a new descriptor of an object that is as this one is now, and goes its own way.
 * Of a snapshot it costs next to nothing. With a range, it has the pages that lie in that, at the
 * same places, and holes elsewhere; all else is the same, the size, too.
 * Both are closed on exec, and share pages until these are written; what they share is in
 * memory, or in the store, once. A clone of a snapshot grows by itself if the object did
 * that it was taken of.
 * EBADF: not open for reading. EINVAL: max_copies or COWMEM_SNAPSHOT_DROP without
 * COWMEM_SNAPSHOT_LIMIT; of CLONE, any flag or max_copies, and a range that is not page aligned,
 * empty but not 0, or overflowing; of SNAPSHOT, any range. ENOMEM, EMFILE, ENFILE: no memory, or
 * no descriptor. ESTALE: it was dropped. EMLINK: there are COWMEM_LAYERS_MAX objects that came
 * from one. ENOSPC: it is a file of a mount that has as many inodes as it may, or no room for
 * the copies of pinned pages. Then nothing changed.
 *
 * A page that the object writes afterwards is copied, and what was there stays for the
 * snapshot; what the object punches or cuts off stays, too. With COWMEM_SNAPSHOT_LIMIT
 * max_copies pages may stay so. What would leave it one more fails, and changes nothing:
 * write(), PUNCH, RESIZE, and RESTORE to a younger one, or of a range, with EDQUOT, a store to a mapping with
 * SIGBUS; until the snapshot is closed, or the object restored to it, or to an older one. (So do stores of the kernel's own: for a process
 * that dies it can then not write OWNER_DIED to a robust mutex, nor clear the word of
 * set_tid_address(), in a page that may not be copied, and tells nobody.) With
 * COWMEM_SNAPSHOT_DROP, too, it is the snapshot that goes: STAT says so, and all else that
 * is done with its descriptor is ESTALE; touching a mapping of it is SIGBUS. What a clone
 * writes does not count, nor does a hole that is written, nor what SNAPSHOT itself copies
 * because it may be pinned. What RESTORE has the object share again counts no more; but of a range,
 * or to a younger snapshot, as many pages count on as this one has that did not. (A snapshot of a
 * snapshot has no limit: nothing is copied for it.)
 *
 * A snapshot oversees what it shares with its relatives, unless it is of a clone, or of a snapshot
 * of one: its holder learns and decides what of that is in memory (STAT, STORE_STAT, PAGEMAP,
 * PAGE_OUT, PREFETCH). The holder of a clone, and of what came of it, learns nothing of what
 * relatives touch; nor does that of a file which FICLONE had join them, from now on.
 *
 * These descriptors are as any other: fork() shares them, and their mappings, SCM_RIGHTS hands
 * them on, and what only they kept goes with the last of them and of their mappings, however
 * whoever had those has ended. Who is killed while he takes a snapshot or a clone leaves
 * nothing of it, who is killed in a RESTORE an object that is as before it or as after it; in
 * a write, PUNCH, RESIZE or RESTORE of a range, one of which each page is.
 */
#define COWMEM_LAYERS_MAX 65536U
#define COWMEM_SNAPSHOT_LIMIT (1U << 0)
#define COWMEM_SNAPSHOT_DROP (1U << 1)

struct cowmem_snapshot {
	__u32 size;       /* in: sizeof(struct cowmem_snapshot) */
	__u32 flags;      /* in: 0 */
	__s32 fd;         /* out */
	__u32 __reserved; /* in: 0 */
	__u64 max_copies; /* in: pages, with COWMEM_SNAPSHOT_LIMIT; or 0 */
	__u64 offset;     /* in, of CLONE: bytes, a multiple of page_size */
	__u64 length;     /* in: the same; if both are 0, all of the object is meant */
};

#define COWMEM_SNAPSHOT_SIZE_VER0 24U

/*
 * SNAPSHOT_SET: a snapshot of each of several objects, all of one instant: all that a writer
 * does, in whichever of them, before something that is in one of the snapshots is in the others,
 * too. Each is as SNAPSHOT makes it, with no limit. The objects need not be of one family, and
 * snapshots may be among them. A writer of one of the objects waits until all are done. The call waits
 * until no write() is under way to any of them; a write() that begins then lets it go first, but only
 * if the descriptor here may write, too. Any descriptor of the device will do to ask.
 * EINVAL: no object, or too many; one comes twice, or is none of this device. EBADF: one is not
 * open, or not for reading. ENOMEM, EMFILE, ENFILE: no memory, or no descriptor. ESTALE: one was
 * dropped. EMLINK: there are COWMEM_LAYERS_MAX objects that came from one. Then nothing changed,
 * and there is no new descriptor.
 */
#define COWMEM_SNAPSHOT_SET_MAX 32U /* objects */

struct cowmem_snapshot_set {
	__u32 size;      /* in: sizeof(struct cowmem_snapshot_set) */
	__u32 flags;     /* in: 0 */
	__u64 objects;   /* in: address of an array of __s32, the objects' descriptors */
	__u64 snapshots; /* in: address of another, for those of the snapshots, in the same order */
	__u32 count;     /* in: how many each has, at most COWMEM_SNAPSHOT_SET_MAX */
	__u32 __reserved; /* in: 0 */
};

/*
 * RESTORE: the object is as @fd is, a snapshot of it, or of any object that came from the same
 * one, in content, size, store limit, and whether it grows by itself: back, forward, or sideways.
 * Mappings stay; private copies in them, too, also beyond the end. What it costs follows the
 * pages that differ.
 *
 * With a range, the pages in that are as they are in @fd, holes where that has none, or ends
 * before; all else about the object stays. The part of the range beyond the object's end is
 * ignored. Where an end lies within a page, all of that page comes along, as a mapping sees it.
 * It goes on in batches: a SNAPSHOT meanwhile may find some of the range restored. What it takes
 * from snapshots counts for each with a limit, also for those younger than @fd.
 * EBADF: not open for writing, or @fd is not open, or not for reading. EINVAL: @fd is no snapshot
 * of the family; the range is not page aligned, empty but not 0, or overflowing. EDQUOT: more
 * pages would be left to another snapshot than its limit permits. ESTALE: @fd was dropped. ENOMEM:
 * no memory for a range. What lies before `next` is restored then, and the rest is as it was.
 */
struct cowmem_restore {
	__u32 size;       /* in: sizeof(struct cowmem_restore) */
	__u32 flags;      /* in: 0 */
	__s32 fd;         /* in */
	__u32 __reserved; /* in: 0 */
	__u64 offset;     /* in: bytes, a multiple of page_size */
	__u64 length;     /* in: the same; if both are 0, all of the object is restored */
	__u64 next;       /* out, of a range: how far it came; offset + length: all is restored */
};

#define COWMEM_RESTORE_SIZE_VER0 16U

/*
 * DIFF: the pages whose bytes are not the same in this object and in that of @fd, one of its
 * family: both came, by SNAPSHOT and CLONE, from one, or one from the other. Neighbours are
 * one range. The bytes decide: a page that was written and is as it was is not listed, and a
 * hole is zeroes. One that was written and whose bytes are damaged or lost is listed. What
 * is paged out is compared, and stays out. What it costs follows the pages written in either
 * since they parted, and those that a writer in order was given along with them.
 *
 * Between snapshots the answer is exact. Of an object in use, each page is looked at once,
 * some time during the call; one that is being written just then may be told either way.
 * Sizes are not compared: STAT tells them, and what lies beyond one is a hole.
 *
 * EBADF: this one, or @fd, is not open, or not for reading. EINVAL: not page aligned, empty or
 * overflowing; or @fd is no object of the family. ESTALE: one of them was dropped. ENOMEM: no
 * memory to read what is paged out; `count` and `next` tell how far it came.
 */
/* cowmem_changed.flags */
#define COWMEM_CHANGED_HOLE (1U << 0) /* this object has nothing there: punched, or cut off */

struct cowmem_changed {
	__u64 offset;     /* bytes, a multiple of page_size */
	__u64 length;     /* bytes, a multiple of page_size, not 0 */
	__u32 flags;      /* COWMEM_CHANGED_* */
	__u32 __reserved; /* 0 */
};

struct cowmem_diff {
	__u32 size;       /* in: sizeof(struct cowmem_diff) */
	__u32 flags;      /* in: 0 */
	__u64 offset;     /* in: bytes, a multiple of page_size */
	__u64 length;     /* in: bytes, a multiple of page_size, not 0 */
	__u64 ranges;     /* in: address of an array of struct cowmem_changed */
	__u32 capacity;   /* in: how many it holds */
	__u32 count;      /* out: how many were written */
	__u64 next;       /* out: where to go on; offset + length: the answer is complete */
	__s32 fd;         /* in: the other */
	__u32 __reserved; /* in: 0 */
};

/*
 * RMAP: who maps these pages? One struct cowmem_mapping for each page-table entry,
 * in the order of the pages. The answer for one page is whole and of one moment; if
 * there is no room for a page's entries, the call ends before that page, and `next`
 * says where to go on. Asked are the mappings of this object: a page that it shares with
 * snapshots and clones may be mapped by theirs, too.
 *
 * Shown are mappings by processes that the caller may ptrace (for reading) and that
 * have a PID in his PID namespace; the others, and those that are just exiting, are
 * only counted. Processes that share
 * an address space without being threads (vfork) appear as one of them.
 *
 * With COWMEM_RMAP_OF_COPIES, `offset` and `length` are a range of the caller's own
 * addresses, mapped privately from this object, and the question is about the private
 * copies there: who else, by fork, still maps them? `next` is an address then.
 * A copy that the kernel merged with others (KSM), swapped out, or is just moving
 * is left out of the answer.
 *
 * EBADF: not open for reading. EINVAL: not page aligned, empty or overflowing; or, of copies,
 * not all of it is a private mapping of this object. ENOMEM: no memory for the answer. ENOSPC:
 * the first page alone needs more room; `needed` says how much. ESTALE: a dropped snapshot.
 */
#define COWMEM_RMAP_OF_COPIES (1U << 0)

#define COWMEM_RMAP_MAX 65536U /* entries that one call answers at most */

/* cowmem_mapping.flags */
#define COWMEM_MAPPING_SHARED (1U << 0)   /* the mapping is MAP_SHARED */
#define COWMEM_MAPPING_COPY (1U << 1)     /* its own copy is mapped, not the object's page */
#define COWMEM_MAPPING_WRITABLE (1U << 2) /* the entry permits writes now */
#define COWMEM_MAPPING_DIRTY (1U << 3)
#define COWMEM_MAPPING_YOUNG (1U << 4)  /* accessed since that was last cleared */
#define COWMEM_MAPPING_LOCKED (1U << 5) /* mlock */
#define COWMEM_MAPPING_UFFD_WP (1U << 6)

struct cowmem_mapping {
	__u64 offset;  /* of the page in the object, in bytes */
	__u64 address; /* where that process has it */
	__u32 pid;     /* of that process, in the caller's PID namespace */
	__u32 flags;   /* COWMEM_MAPPING_* */
};

struct cowmem_rmap {
	__u32 size;       /* in: sizeof(struct cowmem_rmap) */
	__u32 flags;      /* in: COWMEM_RMAP_* */
	__u64 offset;     /* in: bytes, a multiple of page_size */
	__u64 length;     /* in: bytes, a multiple of page_size, not 0 */
	__u64 mappings;   /* in: address of an array of struct cowmem_mapping */
	__u32 capacity;   /* in: how many it holds; at most COWMEM_RMAP_MAX are used */
	__u32 count;      /* out: how many were written */
	__u64 next;       /* out: where to go on; offset + length: the answer is complete */
	__u64 hidden;     /* out: entries of processes that the caller may not see */
	__u64 probes;     /* out: page-table entries that were looked at to find them */
	__u32 needed;     /* out: with ENOSPC, entries that the first page has */
	__u32 __reserved; /* in: 0 */
};

/*
 * PAGEMAP: the state of each page, one struct cowmem_page for each, holes too.
 * Mappings that read in order (MADV_SEQUENTIAL, MADV_RANDOM) do not count as
 * references. The two flags make the next answer about the time since this one; they change what every
 * user of the object will be told, so they need a writable descriptor, too.
 *
 * COWMEM_PAGE_DIRTY: what this object has at that place may have changed since that was last
 * cleared: it was written, by whatever way (mappings, write(), DMA, a KVM guest), punched, cut
 * off, or restored; whatever was done besides, SNAPSHOT, CLONE, PAGE_OUT, PREFETCH and MOVE
 * included. What relatives do is no change. Of a place that was never cleared it says that
 * something is there. No change goes untold, but for a KVM guest's whose machine was made when its
 * RAM had been read already, from the store or from a snapshot: what the guest writes there first
 * is told by a call that clears only (on arm64, with Linux 6.12, that or the next one, if several
 * of its CPUs run meanwhile), and what KVM writes by an address of its own (kvmclock, what a guest
 * of Xen's shares) by none, and is lost when the page goes out. DIRTY may be told without a change:
 * of what the guest only read there; of a hole that was read through a mapping, and has memory
 * since, or lay beyond an end that RESIZE or RESTORE set; of what relatives had, too, and no longer
 * have; of a page that is pinned, just in use when a snapshot is taken, or just being paged out, or
 * was when it was last cleared; of one in 2 MiB that COLLAPSE put together; and once more of one that was just being written then.
 *
 * If an answer cannot be written there is EFAULT, and `next` tells how far the call came, if that
 * can be written: the answers before are whole, and behind that nothing is cleared, but for
 * references.
 * EINVAL: not page aligned, empty or overflowing. EBADF: not open for reading, or, to clear,
 * for writing. ESTALE: a dropped snapshot.
 */
#define COWMEM_PAGEMAP_CLEAR_REFERENCED (1U << 0)
#define COWMEM_PAGEMAP_CLEAR_DIRTY (1U << 1) /* write-protects what is mapped */

/* cowmem_page.flags */
#define COWMEM_PAGE_RESIDENT \
	(1U << 0)                   /* in memory; with neither this, PAGED_OUT, nor SHARED a hole */
#define COWMEM_PAGE_DIRTY (1U << 1) /* changed since that was last cleared; a hole may be, too */
#define COWMEM_PAGE_REFERENCED (1U << 2) /* `referenced`, or in use by the kernel right now */
#define COWMEM_PAGE_PINNED (1U << 3)     /* perhaps pinned for DMA */
#define COWMEM_PAGE_POISONED (1U << 4)
#define COWMEM_PAGE_LOCKED (1U << 5)    /* mapped where mlock forbids to take it away */
#define COWMEM_PAGE_PAGED_OUT (1U << 6) /* in the store, not in memory; DIRTY may be set, too */
/*
 * Relatives may see it, too, and the object does while it is not written. A snapshot that
 * oversees is told all the rest as of other pages; any other object what the mappings of that
 * say: RESIDENT, if one maps it, mapcount, how many entries do.
 */
#define COWMEM_PAGE_SHARED (1U << 7)

struct cowmem_page {
	__u32 flags;      /* COWMEM_PAGE_* */
	__u32 mapcount;   /* page-table entries that map it */
	__u32 referenced; /* entries accessed since that was last cleared */
	__u32 __reserved; /* 0 */
};

struct cowmem_pagemap {
	__u32 size;     /* in: sizeof(struct cowmem_pagemap) */
	__u32 flags;    /* in: COWMEM_PAGEMAP_* */
	__u64 offset;   /* in: bytes, a multiple of page_size */
	__u64 length;   /* in: bytes, a multiple of page_size, not 0 */
	__u64 pages;    /* in: address of an array of struct cowmem_page */
	__u64 capacity; /* in: how many it holds */
	__u64 next;     /* out: where to go on; offset + length: the answer is complete */
};

/*
 * MOVE: have the pages of a range on one NUMA node. Mappings stay and see the old
 * page or the new one, never a mix. Pages that somebody is just using or has pinned
 * stay where they are. Memory is charged to whoever moves it.
 * EINVAL: not page aligned, empty or overflowing. ENODEV: no such node, or it has no
 * memory. EACCES: the caller's cpuset does not include it. ENOMEM: the node is full;
 * what was moved until then stays moved, and `next` tells. EBADF: not open for writing.
 */
struct cowmem_move {
	__u32 size;       /* in: sizeof(struct cowmem_move) */
	__u32 flags;      /* in: 0 */
	__u64 offset;     /* in: bytes, a multiple of page_size */
	__u64 length;     /* in: bytes, a multiple of page_size, not 0 */
	__u32 node;       /* in: the NUMA node's number */
	__u32 __reserved; /* in: 0 */
	__u64 next;       /* out: where to go on; offset + length: all were looked at */
	__u64 moved;      /* out: pages moved */
	__u64 busy;       /* out: pages that could not be moved now */
};

/*
 * POISON: treat the memory of a range as damaged, as MADV_HWPOISON does for a
 * process's own: it is unmapped everywhere, touching it is SIGBUS (BUS_MCEERR_AR),
 * read() and write() give EIO. PUNCH or RESIZE puts fresh pages there; the old ones are
 * never used again. Private copies stay. For tests of error handling.
 * EPERM: not CAP_SYS_ADMIN. EINVAL: not page aligned, empty or overflowing.
 * EOPNOTSUPP: the kernel does not know damaged memory. EBADF: not open for writing.
 */
struct cowmem_poison {
	__u32 size;     /* in: sizeof(struct cowmem_poison) */
	__u32 flags;    /* in: 0 */
	__u64 offset;   /* in: bytes, a multiple of page_size */
	__u64 length;   /* in: bytes, a multiple of page_size, not 0 */
	__u64 poisoned; /* out: pages that are poisoned now and were not before */
};

/*
 * SET_HUGE: when memory is to be taken in pages of 2 MiB, as COWMEM_CREATE_HUGE says it: in the words of a tmpfs' huge=, of which
 * "within_size" is COWMEM_HUGE_ALWAYS, since none reaches beyond the object's end. What madvise() says of a mapping comes first:
 * with MADV_NOHUGEPAGE it takes none. One entry maps a page of 2 MiB only in mappings that were made when this was not
 * COWMEM_HUGE_NEVER. Pages that there are stay as they are. Snapshots and clones that are taken from then on are the same.
 * EINVAL: no such mode. EOPNOTSUPP: not COWMEM_FEATURE_SET_HUGE, or the object is pinnable; but for COWMEM_HUGE_NEVER.
 * EBADF: not open for writing.
 */
enum cowmem_huge {
	COWMEM_HUGE_NEVER = 0,
	COWMEM_HUGE_ADVISE = 1, /* by faults in mappings with MADV_HUGEPAGE */
	COWMEM_HUGE_ALWAYS = 2, /* by faults, and by calls that fill 2 MiB */
};

struct cowmem_set_huge {
	__u32 size;       /* in: sizeof(struct cowmem_set_huge) */
	__u32 flags;      /* in: 0 */
	__u32 huge;       /* in: enum cowmem_huge */
	__u32 __reserved; /* in: 0 */
};

/*
 * COLLAPSE: where 2 MiB, aligned, lie within the range and all of that is pages of 4 KiB of the object's own, have one
 * page of 2 MiB in their place, with the same bytes. What is paged out is brought in for it. Such a block is taken
 * out of all mappings; the next access maps it by one entry, in mappings where that can be (COWMEM_CREATE_HUGE)
 * and that have no private copies, nor marks of userfaultfd. Private copies stay. A block where nobody has anything
 * is passed over; the others are counted, each once. Memory is charged to the caller. write() to the object, and its
 * faults, wait while a block is copied. PAGEMAP tells all pages of a block as DIRTY if it tells one of them.
 * A page that is pinned, or that the kernel is just using, is not to be exchanged for another: its block stays as it is.
 * EOPNOTSUPP: not COWMEM_FEATURE_COLLAPSE, or the object is pinnable. EBADF: not open for writing. EINVAL: not page
 * aligned, empty or overflowing.
 */
#define COWMEM_HUGE_BYTES (1U << 21) /* of a block, and a page of 2 MiB */

struct cowmem_collapse {
	__u32 size;      /* in: sizeof(struct cowmem_collapse) */
	__u32 flags;     /* in: 0 */
	__u64 offset;    /* in: bytes, a multiple of page_size */
	__u64 length;    /* in: bytes, a multiple of page_size, not 0 */
	__u64 next;      /* out: where to go on; offset + length: all were looked at */
	__u64 collapsed; /* out: blocks that have become a page of 2 MiB */
	__u64 huge;      /* out: blocks that were one */
	__u64 sparse;    /* out: blocks that stay because of a hole, or the object's end */
	__u64 shared; /* out: because a snapshot or a relative has, or had, a page of it, and it was not written since */
	__u64 busy;      /* out: because a page of it is pinned, or just being used */
	__u64 poisoned;  /* out: because a page of it is */
	__u64 no_memory; /* out: because there is none, or not 2 MiB in one piece, or not sound */
	__u64 io_error;  /* out: because the store cannot give a page of it back */
};

#endif /* _UAPI_LINUX_COWMEM_H */
