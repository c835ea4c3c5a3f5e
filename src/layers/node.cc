// SPDX-License-Identifier: GPL-2.0
/* The nodes of trees (layers/node.h). */
#include <bit>

#include "layers/tree.h"

namespace cowmem {

Node *Node::create(bool leaf, bool may_reclaim)
{
	auto *node = static_cast<Node *>(kapi_node_alloc(leaf, may_reclaim));

	if (node)
		kapi_ref_init(&node->references_);
	return node;
}

/*
 * In a leaf that others have, too, a page may be exchanged for its slot meanwhile, and then be
 * gone; a slot stays. A page that is still there when it has been referenced has a name that
 * stays until page-out has seen the reference.
 */
Entry Node::name(unsigned int i) const
{
	for (;;) {
		const Entry found = entry(i);
		folio *page = found.bare();

		if (found.slot())
			kapi_ref_get(&found.slot()->references);
		if (page && !kapi_folio_try_get(page))
			continue;
		if (page && entry(i) != found) {
			kapi_folio_put(page);
			continue;
		}
		if (page)
			add_name(page);
		return found;
	}
}

void Node::copy_children(Node &to) const
{
	for (unsigned int i = 0; i < children; i++) {
		Node *node = child(i);

		if (node)
			node->get();
		to.slot_[i] = slot_[i];
	}
	to.slot_[children] = slot_[children];
}

Node *Node::copy(bool leaf, Node *memory)
{
	if (!memory)
		return nullptr;
	if (!leaf)
		copy_children(*memory);
	for (unsigned int i = 0; leaf && i < entries; i++)
		memory->slot_[i] = name(i).value_;
	return memory;
}

long Node::count(unsigned int level) const
{
	long entries_there = 0;

	if (level)
		return static_cast<long>(slot_[children]);
	for (unsigned int i = 0; i < entries; i++)
		entries_there += static_cast<bool>(entry(i));
	return entries_there;
}

void Node::clear_own_all(unsigned int level)
{
	/* Leaves are the most. */
	for (unsigned long left = level ? own_ : 0; left; left &= left - 1) {
		Node *const node = child(static_cast<unsigned int>(std::countr_zero(left)));

		if (level == 1)
			node->own_ = 0;
		else
			node->clear_own_all(level - 1);
	}
	own_ = 0;
}

bool Node::is_empty(bool leaf) const
{
	for (unsigned int i = 0; i < (leaf ? entries : children); i++)
		if (slot_[i])
			return false;
	return true;
}

void Node::put(Node *node, unsigned int level)
{
	if (kapi_ref_put(&node->references_))
		destroy(node, level);
}

/* No pointer is left to it. */
[[gnu::noinline]] void Node::destroy(Node *node, unsigned int level)
{
	for (unsigned int i = 0; i < (level ? children : entries); i++) {
		if (level) {
			if (Node *child = node->child(i))
				put(child, level - 1);
		} else if (const Entry entry = node->take(i, Entry::dead())) {
			entry.remove();
		}
	}
	kapi_cond_resched();
	kapi_node_free(node);
}

} /* namespace cowmem */
