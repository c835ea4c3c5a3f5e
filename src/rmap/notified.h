/* SPDX-License-Identifier: GPL-2.0 */
/* What secondary MMUs are told of a walk's changes (rmap/walk.h). */
#ifndef COWMEM_NOTIFIED_H
#define COWMEM_NOTIFIED_H

#include "kernel/kapi.h"

namespace cowmem {

/*
 * Tells secondary MMUs about a change to a range, from before it to its end (R68, R96).
 * None can start to listen meanwhile: that takes the lock of the tree, too.
 */
template <kapi_notify event>
class Notified {
public:
	Notified(mm_struct *mm, unsigned long start, unsigned long end)
		: heard_{kapi_mm_has_notifiers(mm)}
	{
		if (heard_)
			kapi_notify_start(&range_, mm, start, end, event);
	}
	~Notified()
	{
		if (heard_)
			kapi_notify_end(&range_);
	}
	Notified(const Notified &) = delete;
	Notified &operator=(const Notified &) = delete;

private:
	const bool heard_;
	kapi_notifier_range range_;
};

template <>
class Notified<KAPI_NOTIFY_NOTHING> {
public:
	Notified(mm_struct *, unsigned long, unsigned long) {}
};

} /* namespace cowmem */

#endif /* COWMEM_NOTIFIED_H */
