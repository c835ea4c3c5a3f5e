// SPDX-License-Identifier: GPL-2.0
/* What a snapshot may cost (layers/copy_limit.h). */
#include "layers/copy_limit.h"
#include "layers/pages.h"

namespace cowmem {

namespace {

/* How many pages of @snapshot's are not what @other has there. */
unsigned long count_differences(const Pages &snapshot, const Pages &other)
{
	unsigned long count = 0;

	for (Index index = 0; index != no_index; index++) {
		{
			const Rcu rcu;

			index = Tree::next_difference(snapshot.tree(), other.tree(), index,
			                              no_index);
			if (index == no_index)
				break;
			count += static_cast<bool>(snapshot.tree().at(index));
		}
		kapi_cond_resched();
	}
	return count;
}

/* How many pages from @first to @last both have. */
unsigned long count_shared(const Pages &snapshot, const Pages &other, Index first, Index last)
{
	unsigned long count = 0;

	for (Index index = first; (index = other.next_data(index, last)) != no_index; index++) {
		{
			const Rcu rcu;
			const Entry entry = snapshot.tree().at(index);

			count += entry && entry.same_as(other.tree().at(index));
		}
		kapi_cond_resched();
		if (index == last)
			break;
	}
	return count;
}

/* How many pages of @snapshot's from @first to @last @a has, and @b has not. */
unsigned long count_shared_with_one(const Pages &snapshot, const Pages &a, const Pages &b,
                                    Index first, Index last)
{
	unsigned long count = 0;

	for (Index index = first; index <= last; index++) {
		{
			const Rcu rcu;

			index = Tree::next_difference(a.tree(), b.tree(), index, last);
			if (index == no_index)
				break;

			const Entry entry = snapshot.tree().at(index);

			count += entry && entry.same_as(a.tree().at(index));
		}
		kapi_cond_resched();
	}
	return count;
}

} /* namespace */

CopyLimits::Leaving::Leaving(Pages &of)
	: of_{of}, locked_{__atomic_load_n(&of.limits_.some_, __ATOMIC_RELAXED)}
{
	if (locked_)
		kapi_rwsem_lock(&of_.limits_.lock_);
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
	return snapshot.counted_.origin == of_.number_ && snapshot.counted_.limit.max != ~0UL &&
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

int CopyLimits::Leaving::may_leave(Index first, Index last)
{
	bool some = false;

	if (!locked_)
		return __atomic_load_n(&of_.limits_.some_, __ATOMIC_RELAXED) ? -KAPI_EAGAIN : 0;
	for (Members at{of_.family()}; at; at.next()) {
		if (!is_counted(*at))
			continue;
		some = true;
		at->counted_.pending = count_shared(*at, of_, first, last);
	}
	__atomic_store_n(&of_.limits_.some_, some, __ATOMIC_RELAXED);
	return try_all();
}

/* A snapshot that is younger than the one which is restored counts nothing any more, when that is done. */
int CopyLimits::Leaving::may_become(const Pages &target)
{
	if (!locked_)
		return __atomic_load_n(&of_.limits_.some_, __ATOMIC_RELAXED) ? -KAPI_EAGAIN : 0;
	for (Members at{of_.family()}; at; at.next())
		if (is_counted(*at))
			at->counted_.pending =
				at->number_ > target.number_
					? 0
					: count_differences(*at, target) - at->counted_.copies;
	youngest_ = target.number_;
	return try_all();
}

/*
 * What a snapshot shares with @of again does not count any more; but of that, what SNAPSHOT
 * copied because it may be pinned never did.
 */
int CopyLimits::Leaving::may_become(const Pages &target, Index first, Index last)
{
	if (!locked_)
		return __atomic_load_n(&of_.limits_.some_, __ATOMIC_RELAXED) ? -KAPI_EAGAIN : 0;
	for (Members at{of_.family()}; at; at.next()) {
		if (!is_counted(*at))
			continue;

		Counted &counted = at->counted_;
		const unsigned long more =
			counted.copies + count_shared_with_one(*at, of_, target, first, last);

		counted.pending =
			more - counted.copies -
			min_of(more, count_shared_with_one(*at, target, of_, first, last));
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
		__atomic_store_n(&counted.copies, counted.copies + counted.pending,
		                 __ATOMIC_RELAXED);
		counted.pending = 0;
		dropping_ |= counted.copies > counted.limit.max;
		news |= counted.is_near_limit();
		if (at->number_ > youngest_)
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
			return count_differences(snapshot, *at);
	return 0;
}

} /* namespace cowmem */
