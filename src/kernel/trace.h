/* SPDX-License-Identifier: GPL-2.0 */
/* Tracepoints of the module: /sys/kernel/tracing/events/cowmem/. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM cowmem

#if !defined(COWMEM_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define COWMEM_TRACE_H

#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/tracepoint.h>

/* In the order of cowmem::Kind and cowmem::Outcome (src/fault/fault.h). */
#define COWMEM_TRACE_KINDS \
	{ 0, "read" }, { 1, "shared-write" }, { 2, "private-write" }, { 3, "mkwrite" }
#define COWMEM_TRACE_OUTCOMES                                                              \
	{ 0, "done-cow" }, { 1, "page-locked" }, { 2, "lost-race" }, { 3, "beyond-end" },  \
	{ 4, "poisoned" }, { 5, "no-memory" }, { 6, "address-space-gone" }, { 7, "truncated" },  \
	{ 8, "made-writable" }, { 9, "mapped" }, { 10, "unreadable" }, { 11, "over-limit" }, { 12, "waited" }, \
	{ 13, "killed" }, { 14, "again" }, { 15, "missing" }, { 16, "minor" }

/* One fault, as the handler answered it. The object is named by its inode number. */
TRACE_EVENT(cowmem_fault,
	TP_PROTO(const struct vm_fault *vmf, unsigned int kind, unsigned int outcome, bool major),
	TP_ARGS(vmf, kind, outcome, major),
	TP_STRUCT__entry(
		__field(unsigned long, ino)
		__field(unsigned long, index)
		__field(unsigned long, address)
		__field(unsigned int, kind)
		__field(unsigned int, outcome)
		__field(bool, major)
	),
	TP_fast_assign(
		__entry->ino = vmf->vma->vm_file->f_mapping->host->i_ino;
		__entry->index = vmf->pgoff;
		__entry->address = vmf->address;
		__entry->kind = kind;
		__entry->outcome = outcome;
		__entry->major = major;
	),
	TP_printk("ino=%lu index=%lu address=0x%lx %s: %s%s", __entry->ino, __entry->index,
		  __entry->address, __print_symbolic(__entry->kind, COWMEM_TRACE_KINDS),
		  __print_symbolic(__entry->outcome, COWMEM_TRACE_OUTCOMES),
		  __entry->major ? ", major" : "")
);

#endif /* COWMEM_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH kernel
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
