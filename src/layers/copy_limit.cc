// SPDX-License-Identifier: GPL-2.0
/*
 * What a snapshot may cost (layers/pages.h: CopyLimit). A page that the object writes is
 * copied, and what was there stays for the snapshots that see it: each counts it, and one
 * of them may not want that, or be given up for it. A page that the object punches or cuts
 * off stays for them, too. A hole that it writes does not: nothing is kept there.
 */
#include "layers/pages.h"

namespace cowmem {

void Pages::limit_copies(const Pages &by, CopyLimit limit)
{
	copy_limit_ = limit;
	copied_by_ = by.number_;
}

/* Whether what @writer has copied, and @more, is more than what was agreed. */
bool Pages::is_over_limit(const Pages &writer, unsigned long more) const
{
	return in_use_ && copied_by_ == writer.number_ && copies_ + more > copy_limit_.max;
}

bool Pages::may_copy(const Pages &source) const
{
	for (const Pages *layer = parent_;; layer = layer->parent_) {
		layer->held();
		if (layer->is_over_limit(*this, 1) && !layer->copy_limit_.drops)
			return false;
		if (layer == &source)
			return true;
	}
}

/* Adds @n to what the layers above, up to @source, have of @writer's copies. */
void Pages::add_copies(const Pages &writer, const Pages &source, unsigned long n)
{
	Pages *layer = this;

	do {
		layer = layer->parent_;
		if (layer->copied_by_ == writer.number_)
			__atomic_fetch_add(&layer->copies_, n, __ATOMIC_RELAXED);
	} while (layer != &source);
}

/* Drops the snapshots that have more than was agreed. One after the other, since others may go with one. */
Pages *Pages::drop_over_limit(Pages *gone)
{
	for (Pages *layer = parent_; layer;) {
		layer->held();
		if (layer->copy_limit_.drops && layer->is_over_limit(*this)) {
			gone = layer->drop(gone);
			layer = parent_;
		} else {
			layer = layer->parent_;
		}
	}
	return gone;
}

Pages *Pages::count_copy(const Pages &source)
{
	add_copies(*this, source, 1);
	return drop_over_limit(nullptr);
}

/* add_copies() for each page that is seen in parents from @first to @last. */
void Pages::add_left(Index first, Index last, unsigned long n)
{
	for (Index index = first; (index = next_of_parent(index, last)) != no_index; index++) {
		if (!has(index))
			add_copies(*this, layer_of(index), n);
		kapi_cond_resched();
	}
}

void Pages::uncount_left(Index first, Index last)
{
	add_left(first, last, ~0UL); /* one less */
}

int Pages::count_left(Index first, Index last, Pages *&gone)
{
	int err = 0;

	add_left(first, last, 1);
	for (Pages *layer = parent_; layer && err != -KAPI_EDQUOT; layer = layer->parent_) {
		layer->held();
		if (layer->is_over_limit(*this))
			err = layer->copy_limit_.drops ? -KAPI_EAGAIN : -KAPI_EDQUOT;
	}
	if (err == -KAPI_EAGAIN)
		gone = drop_over_limit(gone);
	/* Pages of the dropped ones may be this one's by now; the others have the same as before. */
	if (err)
		uncount_left(first, last);
	return err;
}

/* Whether some layer above counts copies of @writer's. */
bool Pages::counts_above(const Pages &writer) const
{
	for (const Pages *layer = parent_; layer; layer = layer->parent_)
		if (layer->copied_by_ == writer.number_ && layer->copies())
			return true;
	return false;
}

/* What is seen at @index counts for the layers above that see it, and is not to any more. */
void Pages::uncount_above(const Pages &writer, Index index)
{
	const Pages &source = layer_of(index);

	source.held_shared();
	if (&source != this && !source.is_hole(index))
		add_copies(writer, source, ~0UL); /* one less */
}

void Pages::uncount_copies(Pages &target)
{
	target.held();
	if (target.copied_by_ == number_)
		__atomic_store_n(&target.copies_, 0, __ATOMIC_RELAXED);
	if (!target.counts_above(*this))
		return;

	/* From there on all was left to the parents when the object was cut. */
	Index cut = no_index;

	for (const Pages *layer = this; layer != &target; layer = layer->parent_)
		cut = min_of(cut, layer->end_of_parent());
	for (Index index = 0;
	     cut && (index = next_entry(index, cut - 1, true, &target)) != no_index; index++) {
		target.uncount_above(*this, index);
		kapi_cond_resched();
	}
	for (Index index = cut; (index = target.next_data(index, no_index)) != no_index; index++) {
		target.uncount_above(*this, index);
		kapi_cond_resched();
	}
}

/*
 * Its file is good for nothing any more, and keeps the inode instead of the tree, when that
 * lets go of it. @gone, and what has gone by this.
 */
Pages *Pages::drop(Pages *gone)
{
	inode *const node = kapi_mapping_host(mapping_);

	kapi_inode_try_get(node);
	__atomic_store_n(&dropped_, true, __ATOMIC_RELAXED);
	kapi_inode_set_size(node, 0);
	if (kapi_mapping_mapped(mapping_)) {
		unmap_all(0, no_index);
		unmap_late(*this, 0, no_index);
	}
	in_use_ = false;
	kapi_count(COWMEM_COUNT_snapshots_dropped);
	return leave(gone);
}

void Pages::put_gone(Pages *gone)
{
	while (gone) {
		Pages *next = gone->next_gone_;

		kapi_inode_put(kapi_mapping_host(gone->mapping_));
		gone = next;
	}
}

} /* namespace cowmem */
