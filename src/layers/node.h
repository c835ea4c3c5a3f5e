/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The nodes of trees (layers/tree.h): leaves of 16 entries, and inner nodes of 64 nodes.
 *
 * A node is shared by all that point to it, which it counts. What it has is changed only by
 * the one tree that has it alone; but an entry may be exchanged at any time for another that
 * names the same page (page-out). When the last pointer is gone its entries become dead, and
 * its memory stays for a grace period, since look-ups are under RCU only.
 */
#ifndef COWMEM_NODE_H
#define COWMEM_NODE_H

#include "layers/entry.h"

namespace cowmem {

class Node {
public:
	static constexpr unsigned int leaf_bits = 4, inner_bits = 6;
	static constexpr unsigned int entries = 1U << leaf_bits, children = 1U << inner_bits;
	static_assert(entries == KAPI_LEAF_PAGES);

	/* One with nothing in it and one pointer to it; or null: no memory. May reclaim, or never sleeps. */
	static Node *create(bool leaf, bool may_reclaim);
	/* One as this is, which stays for the time. Null: no memory. Never sleeps. */
	Node *copy(bool leaf, Node *memory);

	void get() { kapi_ref_get(&references_); }
	/* Whether only one points to it: it stays so if that one is the caller's. */
	bool is_alone() const { return kapi_ref_is_one(&references_); }
	/* One pointer less. Sleeps. @level: 0 is a leaf's. */
	static void put(Node *node, unsigned int level);

	/* Of a leaf. */
	Entry entry(unsigned int i) const
	{
		return Entry{__atomic_load_n(&slot_[i], __ATOMIC_CONSUME)};
	}
	void set(unsigned int i, Entry entry)
	{
		__atomic_store_n(&slot_[i], entry.value_, __ATOMIC_RELEASE);
	}
	/* Puts @entry in place of @old, if that is still there. */
	bool exchange(unsigned int i, Entry old, Entry entry)
	{
		return __atomic_compare_exchange_n(&slot_[i], &old.value_, entry.value_, false,
		                                   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	}
	/* Another name of what is there, for who sees to it that the leaf stays. Never sleeps. */
	Entry name(unsigned int i) const;
	/* Takes out what is there. */
	Entry take(unsigned int i, Entry entry = {})
	{
		return Entry{__atomic_exchange_n(&slot_[i], entry.value_, __ATOMIC_SEQ_CST)};
	}

	/* How many children from @from on both inner nodes have in common, now. */
	unsigned int same_children(unsigned int from, const Node &other) const
	{
		unsigned int i = from;

		while (i < children && __atomic_load_n(&slot_[i], __ATOMIC_RELAXED) ==
		                               __atomic_load_n(&other.slot_[i], __ATOMIC_RELAXED))
			i++;
		return i - from;
	}

	/* Of an inner node. */
	Node *child(unsigned int i) const
	{
		return reinterpret_cast<Node *>(__atomic_load_n(&slot_[i], __ATOMIC_CONSUME));
	}
	void set(unsigned int i, Node *node)
	{
		__atomic_store_n(&slot_[i], reinterpret_cast<unsigned long>(node),
		                 __ATOMIC_RELEASE);
	}

	/* Which entries are for the tree's object alone, or which nodes have some: of nodes that the tree has alone. */
	unsigned long own() const { return own_; }
	void set_own(unsigned int i) { own_ |= 1UL << i; }
	void clear_own(unsigned int i) { own_ &= ~(1UL << i); }
	/* All of them, here and in what is below, which has some. */
	void clear_own_all(unsigned int level);
	bool is_empty(bool leaf) const;

	/* How many entries it and what is below it have. With the lock of a tree that has it. */
	long count(unsigned int level) const;
	/* Of an inner node that the tree has alone: so many more. */
	void count_more(long n) { slot_[children] += static_cast<unsigned long>(n); }

	/* Whether walk number @walk along trees was here: of it, and what is below. With the lock of a tree that has the node. */
	bool was_met_by(unsigned int walk) const { return met_by_ == walk; }
	void meet(unsigned int walk) { met_by_ = walk; }

private:
	void copy_children(Node &to) const;
	static void destroy(Node *node, unsigned int level);

	/* The allocator's RCU head takes the place of these when the node is freed: no look-up reads them. */
	kapi_refcount references_;
	unsigned int met_by_; /* the last walk */
	unsigned long own_;
	unsigned long slot_[]; /* entries; or children, and how many entries are below */
};

} /* namespace cowmem */

#endif /* COWMEM_NODE_H */
