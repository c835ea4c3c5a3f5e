/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): names of types, and constants. */
#ifndef COWMEM_KAPI_TYPES_H
#define COWMEM_KAPI_TYPES_H

#ifdef __cplusplus
#include <stddef.h>
struct pgd_t;
struct p4d_t;
struct pud_t;
struct pmd_t;
struct pte_t;
#define KAPI_BEGIN extern "C" {
#define KAPI_END }
#else
#include <linux/pgtable.h>
#include <linux/types.h>
#define KAPI_BEGIN
#define KAPI_END
#endif

#include "kernel/counters.h"

KAPI_BEGIN

struct address_space;
struct anon_vma;
struct anon_vma_chain;
struct cowmem_transfer;
struct crypto_acomp;
struct file;
struct folio;
struct inode;
struct iov_iter;
struct kiocb;
struct mem_cgroup;
struct mm_struct;
struct mutex;
struct super_block;
struct obj_cgroup;
struct page;
struct spinlock;
struct task_struct;
struct vm_area_struct;
struct vm_fault;
struct xarray;
struct zs_pool;

/* vm_fault_t bits (include/linux/mm_types.h). */
enum kapi_vm_fault {
	KAPI_VM_FAULT_OOM = 0x000001,
	KAPI_VM_FAULT_SIGBUS = 0x000002,
	KAPI_VM_FAULT_MAJOR = 0x000004,
	KAPI_VM_FAULT_HWPOISON = 0x000010,
	KAPI_VM_FAULT_NOPAGE = 0x000100,
	KAPI_VM_FAULT_LOCKED = 0x000200,
	KAPI_VM_FAULT_RETRY = 0x000400,
	KAPI_VM_FAULT_FALLBACK = 0x000800,
	KAPI_VM_FAULT_DONE_COW = 0x001000,
};

/* Which count of an mm's resident pages. */
enum kapi_mm_counter {
	KAPI_MM_FILEPAGES = 0,
	KAPI_MM_ANONPAGES = 1,
};

enum kapi_fault_flag {
	KAPI_FAULT_FLAG_WRITE = 0x01,
	KAPI_FAULT_FLAG_ALLOW_RETRY = 0x04,
	KAPI_FAULT_FLAG_RETRY_NOWAIT = 0x08,
	KAPI_FAULT_FLAG_KILLABLE = 0x10,
	KAPI_FAULT_FLAG_TRIED = 0x20,
};

/* Page geometry: 4 KiB pages are the only ones that the module is built for. */
enum kapi_page {
	KAPI_PAGE_SHIFT = 12,
	KAPI_PAGE_SIZE = 1 << KAPI_PAGE_SHIFT,
};

/* What secondary MMUs are told (enum mmu_notifier_event), or nothing. */
enum kapi_notify {
	KAPI_NOTIFY_CLEAR = 1,
	KAPI_NOTIFY_PROTECTION_PAGE = 3,
	KAPI_NOTIFY_NOTHING = -1,
};

/* struct mmu_notifier_range. */
struct kapi_notifier_range {
	unsigned long opaque[7];
};

enum kapi_seek {
	KAPI_SEEK_DATA = 3,
	KAPI_SEEK_HOLE = 4,
};

enum kapi_fallocate {
	KAPI_FALLOC_KEEP_SIZE = 1,
	KAPI_FALLOC_PUNCH_HOLE = 2,
	KAPI_FALLOC_ZERO_RANGE = 16,
};

enum kapi_fadvise {
	KAPI_FADV_WILLNEED = 3,
	KAPI_FADV_DONTNEED = 4,
	KAPI_FADV_NOREUSE = 5, /* the last */
};

/* The errnos that the C++ side returns. */
enum kapi_errno {
	KAPI_ENOENT = 2,
	KAPI_EINTR = 4,
	KAPI_EIO = 5,
	KAPI_EPERM = 1,
	KAPI_ENXIO = 6,
	KAPI_E2BIG = 7,
	KAPI_EBADF = 9,
	KAPI_EAGAIN = 11,
	KAPI_ENOMEM = 12,
	KAPI_EACCES = 13,
	KAPI_EFAULT = 14,
	KAPI_EBUSY = 16,
	KAPI_EEXIST = 17,
	KAPI_ENODEV = 19,
	KAPI_EINVAL = 22,
	KAPI_ENOTTY = 25,
	KAPI_EFBIG = 27,
	KAPI_ENOSPC = 28,
	KAPI_EROFS = 30,
	KAPI_ENAMETOOLONG = 36,
	KAPI_EMLINK = 31,
	KAPI_EBADE = 52,
	KAPI_ENODATA = 61,
	KAPI_ESTALE = 116,
	KAPI_EDQUOT = 122,
	KAPI_EOVERFLOW = 75,
	KAPI_EOPNOTSUPP = 95,
	KAPI_EHWPOISON = 133,
};

KAPI_END

#endif /* COWMEM_KAPI_TYPES_H */
