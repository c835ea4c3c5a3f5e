// SPDX-License-Identifier: GPL-2.0
/* What a snapshot may cost (layers/copy_limit.h). */
#include "layers/copy_limit.h"
#include "layers/pages.h"

namespace cowmem {

namespace {

/* How many pages of @snapshot's from @first to @last @a has, too, and @b has not. */
unsigned long count_shared(const Tree &snapshot, const Tree &a, const Tree &b, Index first,
                           Index last)
{
	unsigned long count = 0;

	for (Index index = first;
	     index <= last && (index = Tree::next_difference(a, b, index, last)) != no_index;
	     index++) {
		{
			const Rcu rcu;

			count += snapshot.at(index) && Tree::have_same(snapshot, a, index);
		}
		kapi_cond_resched();
	}
	return count;
}

} /* namespace */

CopyLimits::Leaving::Leaving(Pages &of, bool killable) : of_{of}
{
	if (!of_.limits_.some())
		return;
	if (killable)
		killed_ = kapi_rwsem_lock_killable(&of_.limits_.lock_);
	else
		kapi_rwsem_lock(&of_.limits_.lock_);
	locked_ = !killed_;
	kapi_test_step(COWMEM_STEP_LIMITS, nullptr);
}

CopyLimits::Leaving::~Leaving()
{
	if (locked_)
		kapi_rwsem_unlock(&of_.limits_.lock_);
	if (!dropping_)
		return;
	for (Members at{of_.family()}; at; at.next())
		if (is_counted(*at) && at->counted_.copies > at->counted_.limit.max)
			at->drop();
}

bool CopyLimits::Leaving::is_counted(const Pages &snapshot) const
{
	return snapshot.counted_.origin == of_.number() && snapshot.counted_.limit.max != ~0UL &&
	       !snapshot.dropped();
}

/* Whether what is pending may be. */
int CopyLimits::Leaving::try_all()
{
	int err = 0;

	for (Members at{of_.family()}; at; at.next()) {
		const Counted &counted = at->counted_;

		if (is_counted(*at) && counted.copies + counted.pending > counted.limit.max &&
		    !counted.limit.drops)
			err = -KAPI_EDQUOT;
	}
	return err;
}

/* What is to be said without the lock. */
int CopyLimits::Leaving::try_without() const
{
	if (killed_)
		return -KAPI_EINTR;
	return of_.limits_.some() ? -KAPI_EAGAIN : 0;
}

int CopyLimits::Leaving::may_leave(Index first, Index last)
{
	bool some = false;

	if (!locked_)
		return try_without();

	const Tree nothing;

	for (Members at{of_.family()}; at; at.next()) {
		if (!is_counted(*at))
			continue;
		some = true;
		at->counted_.plan(count_shared(at->tree(), of_.tree(), nothing, first, last), 0);
	}
	__atomic_store_n(&of_.limits_.some_, some, __ATOMIC_RELAXED);
	return try_all();
}

int CopyLimits::Leaving::may_become(const Pages &target)
{
	youngest_ = target.number();
	return may_become(target, 0, no_index);
}

/* A snapshot that is younger than the one which is restored counts nothing any more, when that is done. */
int CopyLimits::Leaving::may_become(const Pages &target, Index first, Index last)
{
	if (!locked_)
		return try_without();
	for (Members at{of_.family()}; at; at.next()) {
		if (!is_counted(*at))
			continue;

		const Tree &snapshot = at->tree(), &now = of_.tree(), &then = target.tree();

		if (at->number() > youngest_)
			at->counted_.plan(0, 0);
		else
			at->counted_.plan(count_shared(snapshot, now, then, first, last),
			                  count_shared(snapshot, then, now, first, last));
	}
	return try_all();
}

void CopyLimits::Leaving::done()
{
	bool news = false;

	if (!locked_)
		return;
	for (Members at{of_.family()}; at; at.next()) {
		Counted &counted = at->counted_;

		if (!is_counted(*at))
			continue;
		counted.do_planned();
		dropping_ |= counted.copies > counted.limit.max;
		news |= counted.is_near_limit();
		if (at->number() > youngest_)
			counted.origin = 0;
	}
	if (news)
		kapi_wake_pollers();
}

unsigned long count_copies(const Pages &snapshot)
{
	const Counted &counted = snapshot.counted();

	if (counted.limit.max != ~0UL || !counted.origin)
		return __atomic_load_n(&counted.copies, __ATOMIC_RELAXED);
	for (Members at{snapshot.family()}; at; at.next())
		if (at->number() == counted.origin)
			return count_shared(snapshot.tree(), snapshot.tree(), at->tree(), 0,
			                    no_index);
	return 0;
}

} /* namespace cowmem */
