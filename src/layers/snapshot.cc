// SPDX-License-Identifier: GPL-2.0
/* Snapshots and clones (layers/object.h): objects that begin with the tree of another. */
#include <linux/cowmem.h>

#include "layers/snapshot_set.h"

namespace cowmem {

/*
 * @made: an object of the same family, where @like is, which has no pages and of which the caller
 * has the reference. 0, -ENOMEM, -ENOSPC, -EINTR.
 */
int Object::create_relative(bool frozen, const inode *like, Object *&made)
{
	Family *family = pages_.family();

	if (!family) {
		/* Not while FICLONE has it come to another's. */
		const WriteLock writes{*this};

		if (!writes)
			return -KAPI_EINTR;
		family = pages_.have_family(nullptr);
	}
	if (!family || !family->make_home())
		return -KAPI_ENOMEM;
	if (const int err = create(like, family->space(), Growth::none, made))
		return err;
	made->pages_.have_family(family);
	made->set_parent(*this);
	made->set_cow(cow());
	made->frozen_ = frozen;
	if (pages_.pinnable())
		made->pages_.set_pinnable(); /* of a snapshot: its clones will be */
	made->set_huge(huge());
	if (frozen) {
		made->pages_.set_frozen();
		kapi_inode_set_snapshot(made->inode_);
	}
	return 0;
}

/* @made: the file of such an object, on the mount that the asker's @by is of. The same, and -ENFILE. */
int Object::create_relative(bool frozen, const file *by, file *&made)
{
	Object *relative;

	if (const int err = create_relative(frozen, inode_, relative))
		return err;

	const int err = kapi_file_create(
		relative->inode_, by, frozen ? "cowmem:snapshot" : "cowmem:clone", !frozen, &made);

	if (err)
		relative->discard();
	return err;
}

/* @made, which has no pages and is nobody's yet, becomes as this one, which is protected, is now. 0, -ENOMEM, -EMLINK, -ESTALE, -EINTR. */
int Object::give_tree(Object &made)
{
	if (pages_.dropped())
		return -KAPI_ESTALE;
	if (!pages_.family()->add(pages_, made.pages_))
		return -KAPI_EMLINK;
	made.become_as(*this);
	/* Who sees the pages sees this: whether this one's holder may watch relatives changes where it joins some. */
	if (!made.frozen_ || pages_.of_clone())
		made.pages_.set_of_clone();
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

/* @made, of create_relative(), is a snapshot of this one within @limit. 0, -ENOMEM, -EMLINK, -ESTALE, -EINTR. */
int Object::take_snapshot(Object &made, CopyLimit limit)
{
	const WriteLock writes{*this};

	if (!writes || !pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};

	return pages_.protect() ? give_snapshot(made, limit) : -KAPI_EINTR;
}

int Object::snapshot(const file *by, file *&made, CopyLimit limit)
{
	if (const int err = create_relative(true, by, made))
		return err;

	const int err = take_snapshot(of(made), limit);

	kapi_count_n(COWMEM_COUNT_snapshots, err ? 0 : 1);
	return err;
}

int Object::snapshot(Object *&made)
{
	if (const int err = create_relative(true, static_cast<const inode *>(nullptr), made))
		return err;
	return take_snapshot(*made, {});
}

int Object::clone(const file *by, file *&made, Index first, Index last)
{
	int err = create_relative(false, by, made);

	if (err)
		return err;
	{
		const WriteLock writes{*this};

		if (!writes || !pages_.lock_killable())
			return -KAPI_EINTR;

		Exclusive lock{pages_, held};

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

bool SnapshotSet::add(const file *by, file *&made)
{
	Object &object = Object::of(by);
	unsigned int place = 0;

	while (place < count_ && goes_before(*member_[place].object, object))
		place++;
	if (place < count_ && member_[place].object == &object)
		return false;
	for (unsigned int i = count_++; i > place; i--)
		member_[i] = member_[i - 1];
	member_[place] = {&object, by, &made};
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

/*
 * Who writes may wait for the user's memory for as long as that likes: nothing is held while this
 * waits for it. Meanwhile the next write() to each of the objects that the set's owner may write lets
 * the set go first: otherwise all of them would hardly ever be free in one moment.
 */
int SnapshotSet::lock_writes()
{
	int err = 0;

	if (!try_lock_writes(nullptr))
		return 0;
	/* Only a descriptor that may write holds up the object's writers. */
	for (unsigned int i = 0; i < count_; i++)
		member_[i].object->add_waiting_set(kapi_file_writable(member_[i].by));
	for (Object *busy, *held = nullptr; !err && (busy = try_lock_writes(held)); held = busy) {
		if (held)
			held->unlock_writes();
		err = kapi_signal_pending() ? -KAPI_EINTR : busy->lock_writes();
	}
	for (unsigned int i = 0; i < count_; i++)
		member_[i].object->add_waiting_set(-kapi_file_writable(member_[i].by));
	return err;
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
		err = member_[i].object->create_relative(true, member_[i].by, *member_[i].made);
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
	const WriteLock writes{*this};
	/* What the object saw: freed when all that a fault may wait for has been let go. */
	Tree left;
	CopyLimits::Leaving leaving{pages_};

	if (!writes || !pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};
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
int Object::restore_part(Object &snapshot, const Tree::Part &part, long long end)
{
	CopyLimits::Leaving leaving{pages_};

	if (!pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};
	SharedBelow undropped{snapshot.pages_};

	if (snapshot.pages_.dropped())
		return -KAPI_ESTALE;
	if (part.last >= end_index())
		return -KAPI_EAGAIN; /* it was cut meanwhile */
	if (end < min_of(bytes_at(part.last + 1), size()))
		return -KAPI_EINVAL;
	if (const int err = leaving.may_become(snapshot.pages_, part.first, part.last))
		return err;
	if (!pages_.become(snapshot.pages_, part))
		return -KAPI_ENOMEM;
	leaving.done();
	return 0;
}

/* Has what @snapshot, of the same family, has from @next to @last, as restore() says. -EINVAL: that goes on behind @end. */
int Object::take_parts(Object &snapshot, Index &next, Index last, long long end)
{
	while (next <= last) {
		/* What lies beyond the end stays nothing. */
		const Index stop = min_of(last + 1, end_index());
		const Tree::Part part = next < stop
		                                ? pages_.next_part(snapshot.pages_, next, stop - 1)
		                                : Tree::Part{no_index, no_index};

		/* Behind the look: what a dropped one has is no answer. */
		if (snapshot.pages_.dropped())
			return -KAPI_ESTALE;
		next = min_of(part.first, last + 1);
		if (next > last)
			break;

		const int err = restore_part(snapshot, part, end);

		if (err && err != -KAPI_EAGAIN)
			return err;
		if (!err)
			next = part.last + 1;
		if (next <= last && kapi_signal_pending())
			return -KAPI_EINTR;
	}
	return 0;
}

int Object::restore(Object &snapshot, Index &next, Index last)
{
	if (!may_restore(snapshot))
		return -KAPI_EINVAL;

	const int err = take_parts(snapshot, next, last, kapi_max_bytes());

	kapi_count_n(COWMEM_COUNT_restores, err ? 0 : 1);
	return err;
}

} /* namespace cowmem */
