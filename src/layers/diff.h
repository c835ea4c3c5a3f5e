/* SPDX-License-Identifier: GPL-2.0 */
/* The pages that differ between two objects of a family (DIFF). */
#ifndef COWMEM_DIFF_H
#define COWMEM_DIFF_H

#include <linux/cowmem.h>

#include "layers/pages.h"

namespace cowmem {

/*
 * DIFF's answer: an array in user memory, which is touched with no lock held. A range goes
 * there when it is known to end.
 */
class ChangedList {
public:
	/* At @user there is room for @capacity ranges. */
	ChangedList(unsigned long user, unsigned int capacity) : user_{user}, capacity_{capacity} {}
	ChangedList(const ChangedList &) = delete;
	ChangedList &operator=(const ChangedList &) = delete;

	/* Whether page @index, behind all that are listed, can be listed, too. */
	bool has_room(Index index, unsigned int flags) const
	{
		return count_ < capacity_ || goes_on(index, flags);
	}

	/* Lists it. 0 or -EFAULT. */
	int add(Index index, unsigned int flags)
	{
		if (goes_on(index, flags)) {
			last_.length += KAPI_PAGE_SIZE;
			return 0;
		}
		if (const int err = finish())
			return err;
		last_ = {.offset = static_cast<unsigned long long>(bytes_at(index)),
		         .length = KAPI_PAGE_SIZE,
		         .flags = flags,
		         .__reserved = 0};
		count_++;
		return 0;
	}

	/* Puts the last range where it belongs. 0 or -EFAULT. */
	int finish() const
	{
		return count_ ? kapi_user_put(user_ + (count_ - 1) * sizeof(last_), &last_,
		                              sizeof(last_))
		              : 0;
	}

	unsigned int count() const { return count_; }

private:
	bool goes_on(Index index, unsigned int flags) const
	{
		return count_ && flags == last_.flags &&
		       index == index_of(static_cast<long long>(last_.offset + last_.length));
	}

	const unsigned long user_;
	const unsigned int capacity_;
	unsigned int count_ = 0;
	cowmem_changed last_;
};

/*
 * Lists the pages of @here from @index to @last, as many as there is room for, whose bytes
 * are others in @there, which is of the same family. @index is where to go on then: last + 1
 * at the end. 0; -ENOMEM, -EFAULT, -EINTR, -ESTALE: one was dropped. Sleeps.
 */
int list_changed(Pages &here, const Pages &there, Index &index, Index last, ChangedList &list);

} /* namespace cowmem */

#endif /* COWMEM_DIFF_H */
