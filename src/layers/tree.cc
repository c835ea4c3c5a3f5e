// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of layers that nobody uses any more: one without children goes; one with a
 * single child becomes one with it, the smaller of the two moving into the other. (A page
 * that is not moved so, since the parent is large, is taken over when it is written.)
 */
#include "layers/pages.h"

namespace cowmem {

namespace {

unsigned long entries(const Pages &pages)
{
	return pages.resident() + pages.slots().count();
}

} /* namespace */

/*
 * What it sees in @from, its parent, becomes its own. False: there is no memory, or somebody
 * has a reference, and some is left.
 */
bool Pages::take_all(Pages &from)
{
	const Index end = end_of_parent();

	for (Index index = 0; end && (index = from.next_own(index, end - 1)) != no_index; index++) {
		if (!has(index) && take_over(index, from, nullptr))
			return false;
		kapi_cond_resched();
	}
	return true;
}

/* What this one has, a layer without users, goes to @to, its parent. False as above. */
bool Pages::give_to_parent(Pages &to)
{
	if (end_of_parent() != no_index)
		to.remove(end_of_parent(), no_index, PrivateCopies::keep);
	to.cut_parent(end_of_parent());
	/* What it does not see is not there any more. */
	set_parent(&to, no_index);
	for (Index index = 0; (index = next_own(index, no_index)) != no_index; index++) {
		to.remove(index, index, PrivateCopies::keep);
		to.slots_.drop(index);
		if (to.take_over(index, *this, nullptr))
			return false;
		kapi_cond_resched();
	}
	return true;
}

Pages *Pages::merge_with_only_child()
{
	Pages &child = *only_child();

	child.held();
	if (entries(*this) <= entries(child)) {
		if (!child.take_all(*this))
			return nullptr;
		child.set_parent(parent(), min_of(end_of_parent(), child.end_of_parent()));
		set_parent(nullptr, 0);
		kapi_count(COWMEM_COUNT_layers_merged);
		return this;
	}
	if (child.in_use_ || !child.has_children() || !child.give_to_parent(*this))
		return nullptr;
	child.set_parent(nullptr, 0);
	while (Pages *grandchild = child.first_child_) {
		grandchild->held();
		grandchild->set_parent(this, grandchild->end_of_parent());
	}
	kapi_count(COWMEM_COUNT_layers_merged);
	return &child;
}

void Pages::add_to_gone(Pages *&gone)
{
	/* The file of a dropped one may stay for long, and nobody sees what is left. */
	if (dropped_)
		remove_own();
	left_ = true;
	next_gone_ = gone;
	gone = this;
}

Pages *Pages::leave(Pages *gone)
{
	Pages *layer = this;

	while (layer && !layer->in_use_ && !layer->has_children()) {
		Pages *above = layer->parent();

		layer->held();
		layer->set_parent(nullptr, 0);
		layer->add_to_gone(gone);
		layer = above;
	}
	while (layer) {
		Pages *above = layer->parent();

		layer->held();
		if (!layer->in_use_ && layer->only_child()) {
			if (Pages *merged = layer->merge_with_only_child()) {
				merged->held();
				merged->add_to_gone(gone);
			}
		}
		/* It may have a child now that is small enough. */
		layer = above;
	}
	return gone;
}

} /* namespace cowmem */
