/* SPDX-License-Identifier: GPL-2.0 */
#ifndef COWMEM_VM_FLAGS_H
#define COWMEM_VM_FLAGS_H

#include "kernel/kapi.h"

namespace cowmem {

/* What a mapping's flags say, as they were when they were read: no two answers disagree. */
class VmFlags {
public:
	explicit VmFlags(const vm_area_struct *vma) : value_{kapi_vma_flags(vma)} {}

	/* MAP_SHARED, though it may have been opened read-only. */
	bool shared() const { return kapi_vm_flags_shared(value_); }
	/* By mlock(). */
	bool locked() const { return kapi_vm_flags_locked(value_); }
	/* Whether the OOM reaper takes what is mapped. */
	bool reapable() const { return kapi_vm_flags_reapable(value_); }
	/* Whether stores to the object are permitted: shared, and writable. */
	bool may_store() const { return kapi_vm_flags_may_store(value_); }
	/* Whether soft-dirty bits of the entries mean something: they were cleared once. */
	bool tracks_soft_dirty() const { return kapi_vm_flags_tracks_soft_dirty(value_); }
	/* Whether a read fault may map neighbours, or userfaultfd wants to know of each. */
	bool may_map_around() const { return kapi_vm_flags_may_map_around(value_); }
	/* Whether somebody asked for large pages there: MADV_HUGEPAGE, or who mapped it. */
	bool asks_for_large() const { return kapi_vm_flags_asks_for_large(value_); }
	/* By MADV_NOHUGEPAGE. */
	bool refuses_large() const { return kapi_vm_flags_refuses_large(value_); }
	/* Whether userfaultfd wants to be asked first, of a place that is a hole, and of one that is none. */
	bool asks_for_missing() const { return kapi_vm_flags_asks_for_missing(value_); }
	bool asks_for_minor() const { return kapi_vm_flags_asks_for_minor(value_); }

private:
	unsigned long value_;
};

} /* namespace cowmem */

#endif /* COWMEM_VM_FLAGS_H */
