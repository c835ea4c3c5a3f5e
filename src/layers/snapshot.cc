// SPDX-License-Identifier: GPL-2.0
/* Snapshots and clones (layers/object.h): objects that begin with the tree of another. */
#include <linux/cowmem.h>

#include "layers/snapshot_set.h"

namespace cowmem {

/* A file of a new object of the same family, which has no pages. 0, -ENOMEM, -ENFILE. */
int Object::create_relative(bool frozen, file *&made) const
{
	Object *relative = family_.make_home() ? create(family_.get(), cow()) : nullptr;

	if (!relative)
		return -KAPI_ENOMEM;
	relative->frozen_ = frozen;
	if (frozen)
		relative->pages_.set_frozen();
	if (!frozen || pages_.of_clone())
		relative->pages_.set_of_clone();

	const int err = kapi_file_create(relative->inode_, relative, !frozen, &made);

	if (err)
		relative->discard();
	return err;
}

/* @made, which has no pages and is nobody's yet, becomes as this one, which is protected, is now. 0, -ENOMEM, -EMLINK, -ESTALE, -EINTR. */
int Object::give_tree(Object &made)
{
	if (pages_.dropped())
		return -KAPI_ESTALE;
	if (!family_.add(pages_, made.pages_))
		return -KAPI_EMLINK;
	made.become_as(*this);
	if (!frozen_)
		return pages_.freeze(made.pages_);
	made.pages_.tree().become(pages_.tree());
	return 0;
}

/* The same, and @made, a snapshot, is one within @limit. */
int Object::give_snapshot(Object &made, CopyLimit limit)
{
	if (const int err = give_tree(made))
		return err;
	made.pages_.count_for(pages_, limit);
	return 0;
}

int Object::snapshot(file *&made, CopyLimit limit)
{
	if (const int err = create_relative(true, made))
		return err;

	WriteLock writes{*this};
	Exclusive lock{pages_};

	const int err = pages_.protect() ? give_snapshot(of(made), limit) : -KAPI_EINTR;

	kapi_count_n(COWMEM_COUNT_snapshots, err ? 0 : 1);
	return err;
}

int Object::clone(file *&made, Index first, Index last)
{
	int err = create_relative(false, made);

	if (err)
		return err;
	{
		WriteLock writes{*this};
		Exclusive lock{pages_};

		err = pages_.protect() ? give_tree(of(made)) : -KAPI_EINTR;
	}

	/* It is nobody's yet. */
	Tree &tree = of(made).pages_.tree();

	if (!err && ((first && !tree.remove(0, first - 1)) ||
	             (last != no_index && !tree.remove(last + 1, no_index))))
		err = -KAPI_ENOMEM;
	kapi_count_n(COWMEM_COUNT_clones, err ? 0 : 1);
	return err;
}

/* --- several at once --- */
/* In which order they are locked. RESTORE has an object's lock, and then that of a snapshot. */
bool SnapshotSet::goes_before(const Object &a, const Object &b)
{
	return a.frozen() == b.frozen() ? &a < &b : b.frozen();
}

bool SnapshotSet::add(Object &object, file *&made)
{
	unsigned int place = 0;

	while (place < count_ && goes_before(*member_[place].object, object))
		place++;
	if (place < count_ && member_[place].object == &object)
		return false;
	for (unsigned int i = count_++; i > place; i--)
		member_[i] = member_[i - 1];
	member_[place] = {&object, &made};
	return true;
}

/* Locks out write() of all but @but, where that is locked out already: or the first that cannot be had at once. */
Object *SnapshotSet::try_lock_writes(const Object *but)
{
	for (unsigned int i = 0; i < count_; i++) {
		if (member_[i].object == but || member_[i].object->try_lock_writes())
			continue;

		Object *const busy = member_[i].object;

		while (i--)
			if (member_[i].object != but)
				member_[i].object->unlock_writes();
		return busy;
	}
	return nullptr;
}

/* Who writes may wait for the user's memory for as long as that likes: nothing is held while this waits for it. */
int SnapshotSet::lock_writes()
{
	Object *held = nullptr;

	while (Object *const busy = try_lock_writes(held)) {
		if (held)
			held->unlock_writes();
		if (busy->lock_writes_killable())
			return -KAPI_EINTR;
		held = busy;
	}
	return 0;
}

UNCHECKED int SnapshotSet::lock()
{
	if (const int err = lock_writes())
		return err;
	kapi_lock_set_begin(&set_);
	for (unsigned int i = 0; i < count_; i++)
		member_[i].object->pages_.lock_of_set(set_);
	return 0;
}

UNCHECKED void SnapshotSet::unlock()
{
	for (unsigned int i = 0; i < count_; i++)
		member_[i].object->pages_.unlock();
	kapi_lock_set_end(&set_);
	for (unsigned int i = 0; i < count_; i++)
		member_[i].object->unlock_writes();
}

UNCHECKED int SnapshotSet::take()
{
	int err = 0;

	for (unsigned int i = 0; !err && i < count_; i++)
		err = member_[i].object->create_relative(true, *member_[i].made);
	if (!err)
		err = lock();
	if (err)
		return err;
	/* All of them before the first is frozen: what comes through a pin then is not told of in another. */
	for (unsigned int i = 0; !err && i < count_; i++)
		if (!member_[i].object->frozen() && !member_[i].object->pages_.protect())
			err = -KAPI_EINTR;
	for (unsigned int i = 0; !err && i < count_; i++)
		err = member_[i].object->give_snapshot(Object::of(*member_[i].made), {});
	unlock();
	kapi_count_n(COWMEM_COUNT_snapshots, err ? 0 : count_);
	return err;
}

/* --- and back --- */

int Object::restore(Object &snapshot)
{
	int err;

	if (!may_restore(snapshot))
		return -KAPI_EINVAL;
	do
		err = try_restore(snapshot);
	while (err == -KAPI_EAGAIN);
	return err;
}

/* -EAGAIN: once more. */
int Object::try_restore(Object &snapshot)
{
	WriteLock writes{*this};
	/* What the object saw: freed when all that a fault may wait for has been let go. */
	Tree left;
	CopyLimits::Leaving leaving{pages_};
	Exclusive lock{pages_};
	/* A snapshot takes no other's lock. */
	SharedBelow undropped{snapshot.pages_};

	if (snapshot.pages_.dropped())
		return -KAPI_ESTALE;
	if (const int err = leaving.may_become(snapshot.pages_))
		return err;
	if (const int err = pages_.become(snapshot.pages_, left))
		return err;
	become_as(snapshot);
	pages_.marks().cut(end_index());
	leaving.done();
	kapi_count(COWMEM_COUNT_restores);
	return 0;
}

/* -EAGAIN: once more. */
int Object::restore_part(Object &snapshot, const Tree::Part &part)
{
	CopyLimits::Leaving leaving{pages_};
	Exclusive lock{pages_};
	SharedBelow undropped{snapshot.pages_};

	if (snapshot.pages_.dropped())
		return -KAPI_ESTALE;
	if (part.last >= end_index())
		return -KAPI_EAGAIN; /* it was cut meanwhile */
	if (const int err = leaving.may_become(snapshot.pages_, part.first, part.last))
		return err;
	if (!pages_.become(snapshot.pages_, part))
		return -KAPI_ENOMEM;
	leaving.done();
	return 0;
}

int Object::restore(Object &snapshot, Index &next, Index last)
{
	if (!may_restore(snapshot))
		return -KAPI_EINVAL;
	while (next <= last) {
		/* What lies beyond the end stays nothing. */
		const Index end = min_of(last + 1, end_index());
		const Tree::Part part = next < end
		                                ? pages_.next_part(snapshot.pages_, next, end - 1)
		                                : Tree::Part{no_index, no_index};

		/* Behind the look: what a dropped one has is no answer. */
		if (snapshot.pages_.dropped())
			return -KAPI_ESTALE;
		next = min_of(part.first, last + 1);
		if (next > last)
			break;

		const int err = restore_part(snapshot, part);

		if (err && err != -KAPI_EAGAIN)
			return err;
		if (!err)
			next = part.last + 1;
		if (next <= last && kapi_signal_pending())
			return -KAPI_EINTR;
	}
	kapi_count(COWMEM_COUNT_restores);
	return 0;
}

} /* namespace cowmem */
