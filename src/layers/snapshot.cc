// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots and clones (layers/object.h): objects that see the pages of a frozen layer.
 *
 * A snapshot is that layer: its pages are moved to it. A clone of an object that goes on
 * needs one, too, which nobody has a file of.
 */
#include <linux/cowmem.h>

#include "layers/object.h"

namespace cowmem {

/* An object of the same family and size, or null: no memory. */
Object *Object::create_relative() const
{
	Object *made = create(family_.get(), cow());

	if (made)
		made->become_as(*this);
	return made;
}

/* Gives its pages to @layer, which is between it and its parent then. 0 or -EMLINK. */
int Object::freeze_into(Object &layer)
{
	layer.pages_.held();
	if (pages_.depth() >= COWMEM_LAYERS_MAX)
		return -KAPI_EMLINK;
	pages_.give_all(layer.pages_);
	layer.pages_.set_parent(pages_.parent(), pages_.end_of_parent());
	pages_.set_parent(&layer.pages_, no_index);
	return 0;
}

/* Sees @parent's pages before @end, or nothing, if that is null. 0 or -EMLINK. */
int Object::become_child_of(Pages *parent, Index end)
{
	if (!parent)
		return 0;
	parent->held();
	if (parent->depth() >= COWMEM_LAYERS_MAX)
		return -KAPI_EMLINK;
	pages_.set_parent(parent, end);
	return 0;
}

int Object::snapshot(file *&made, CopyLimit limit)
{
	Object *layer = create_relative();

	if (!layer)
		return -KAPI_ENOMEM;
	layer->frozen_ = true;
	if (const int err = kapi_file_create(layer->inode_, layer, false, &made)) {
		layer->discard();
		return err;
	}
	layer->pages_.set_in_use(true);

	WriteLock writes{*this};
	Exclusive lock{pages_};

	layer->pages_.held();
	layer->become_as(*this);
	if (pages_.dropped())
		return -KAPI_ESTALE;

	const int err = frozen_ ? layer->become_child_of(&pages_, no_index) : freeze_into(*layer);

	/* A snapshot writes nothing, so that nothing is ever copied for a snapshot of one. */
	if (!frozen_)
		layer->pages_.limit_copies(pages_, limit);
	kapi_count_n(COWMEM_COUNT_snapshots, err ? 0 : 1);
	return err;
}

int Object::clone(file *&made)
{
	Object *copy = create_relative(), *layer = frozen_ ? nullptr : create_relative();

	int err = copy && (layer || frozen_) ? kapi_file_create(copy->inode_, copy, true, &made)
	                                     : -KAPI_ENOMEM;

	if (err) {
		if (copy)
			copy->discard();
		if (layer)
			layer->discard();
		return err;
	}
	copy->pages_.set_in_use(true);

	bool used = false;
	{
		WriteLock writes{*this};
		Exclusive lock{pages_};

		copy->pages_.held();
		if (pages_.dropped())
			err = -KAPI_ESTALE;
		copy->become_as(*this);
		if (!err && !frozen_ && pages_.next_own(0, no_index) != no_index) {
			err = freeze_into(*layer);
			used = !err;
			layer->frozen_ = true;
			layer->become_as(*this);
		}
		if (!err)
			err = frozen_ ? copy->become_child_of(&pages_, no_index)
			              : copy->become_child_of(pages_.parent(),
			                                      pages_.end_of_parent());
	}
	if (layer && !used)
		layer->discard();
	kapi_count_n(COWMEM_COUNT_clones, err ? 0 : 1);
	return err;
}

int Object::restore(Object &snapshot)
{
	Pages *gone = nullptr;
	{
		WriteLock writes{*this};
		Exclusive lock{pages_};
		Pages *const target = &snapshot.pages_;
		Pages *layer = pages_.parent();

		while (layer && layer != target)
			layer = layer->parent();
		if (snapshot.pages_.dropped())
			return -KAPI_ESTALE;
		if (!layer || frozen_)
			return -KAPI_EINVAL;
		target->held();
		pages_.uncount_copies(*target);

		Pages *const old = pages_.parent();

		for (layer = old; layer != target; layer = layer->parent()) {
			layer->held();
			pages_.unmap_where(*layer);
		}
		pages_.set_parent(target, no_index);
		pages_.remove_own();
		if (snapshot.size() < size())
			pages_.remove(index_up(snapshot.size()), no_index, PrivateCopies::keep);
		become_as(snapshot);
		if (old != target) {
			old->held();
			gone = old->leave();
		}
		kapi_count(COWMEM_COUNT_restores);
	}
	Pages::put_gone(gone);
	return 0;
}

} /* namespace cowmem */
