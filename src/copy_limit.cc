// SPDX-License-Identifier: GPL-2.0
/*
 * What a snapshot may cost (cowmem/pages.h: CopyLimit). A page that the object writes is
 * copied, and what was there stays for the snapshots that see it: each counts it, and one
 * of them may not want that, or be given up for it.
 */
#include <cowmem/pages.h>

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

Pages *Pages::count_copy(const Pages &source)
{
	Pages *gone = nullptr, *layer = this;

	do {
		layer = layer->parent_;
		if (layer->copied_by_ == number_)
			__atomic_fetch_add(&layer->copies_, 1, __ATOMIC_RELAXED);
	} while (layer != &source);
	/* By and by, since others may go with one that is dropped. */
	for (layer = parent_; layer;) {
		layer->held();
		if (layer->is_over_limit(*this)) {
			gone = layer->drop(gone);
			layer = parent_;
		} else {
			layer = layer->parent_;
		}
	}
	return gone;
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
