// SPDX-License-Identifier: GPL-2.0
/* Snapshots and clones (layers/object.h): objects that begin with the tree of another. */
#include <linux/cowmem.h>

#include "layers/object.h"

namespace cowmem {

/* An object of the same family, or null: no memory. */
Object *Object::create_relative(bool frozen) const
{
	Object *made = family_.make_home() ? create(family_.get(), cow()) : nullptr;

	if (made) {
		made->frozen_ = frozen;
		if (frozen)
			made->pages_.set_frozen();
	}
	return made;
}

/* @made, which has no pages and is nobody's yet, becomes as this one is now. 0, -ENOMEM, -EMLINK, -ESTALE. */
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

int Object::snapshot(file *&made, CopyLimit limit)
{
	Object *layer = create_relative(true);

	if (!layer)
		return -KAPI_ENOMEM;
	if (const int err = kapi_file_create(layer->inode_, layer, false, &made)) {
		layer->discard();
		return err;
	}

	WriteLock writes{*this};
	Exclusive lock{pages_};
	const int err = give_tree(*layer);

	/* A snapshot writes nothing, so that nothing is ever copied for a snapshot of one. */
	if (!frozen_)
		layer->pages_.count_for(pages_, limit);
	kapi_count_n(COWMEM_COUNT_snapshots, err ? 0 : 1);
	return err;
}

int Object::clone(file *&made)
{
	Object *copy = create_relative(false);

	if (!copy)
		return -KAPI_ENOMEM;
	if (const int err = kapi_file_create(copy->inode_, copy, true, &made)) {
		copy->discard();
		return err;
	}

	WriteLock writes{*this};
	Exclusive lock{pages_};
	const int err = give_tree(*copy);

	kapi_count_n(COWMEM_COUNT_clones, err ? 0 : 1);
	return err;
}

int Object::restore(Object &snapshot)
{
	int err;

	if (&snapshot.family_ != &family_ || frozen_ || !snapshot.frozen_)
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
	CopyLimits::Leaving leaving{pages_};
	Tree left; /* is freed when faults go on */
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
	leaving.done();
	kapi_count(COWMEM_COUNT_restores);
	return 0;
}

} /* namespace cowmem */
