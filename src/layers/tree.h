/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A persistent tree: what one object has at each index. Trees share what they have in common:
 * to copy one is a pointer to its root, and to change one copies the nodes on the way to the
 * entry that others point to, too. So what is at an index is found in as many steps whatever
 * relatives there are, and what two trees differ in is found without a look at what they share.
 *
 * Locks: look-ups need RCU only. Changes take the tree's spinlock, for one entry or node at a
 * time, but for exchange(), which is one compare-and-exchange; memory is had before. Names (store/home.h)
 * that a change drops are dropped behind it.
 *
 * A node is a tree's alone if there is one pointer to each node on the way to it from the
 * root: then nobody else can come to point to it but by this tree, whose object's lock keeps
 * that away from changes (layers/pages.h).
 */
#ifndef COWMEM_TREE_H
#define COWMEM_TREE_H

#include "kernel/spinning.h"
#include "kernel/uninitialized.h"
#include "layers/node.h"

namespace cowmem {

class Home;

class Tree {
public:
	static constexpr unsigned int max_height =
		9; /* of 64 bits, four are a leaf's, and six each node's */

	Tree() { kapi_spinlock_init(&lock_); }
	~Tree() { clear(); }
	Tree(const Tree &) = delete;
	Tree &operator=(const Tree &) = delete;

	/* What is at @index. Under RCU, or with something that keeps it there. */
	Entry at(Index index) const;
	/* At how many indexes there is something, just now. */
	unsigned long count() const { return __atomic_load_n(&count_, __ATOMIC_RELAXED); }
	/* The first index at or after @from, and not after @last, where there is something; or no_index. Under RCU, too. */
	Index next(Index from, Index last) const;
	/*
	 * The first index of the first leaf, among those that have @from or lie behind it, that walk number @walk, which is not 0,
	 * has met in no tree: it has from now on; or no_index. So what several trees have in common is met once. One walk at a time. Sleeps.
	 */
	Index next_leaf(Index from, unsigned int walk) const;
	/* As next(), for what is its own. The caller keeps marks from being changed. */
	Index next_own(Index from, Index last) const { return OwnWalk{*this, from, last}.next(); }
	/* Whether two trees have the same version of a page there, or both have none. The same. */
	static bool have_same(const Tree &a, const Tree &b, Index index);
	/* The first index at or after @from, and not after @last, where that is not so; or no_index. Takes RCU, and sleeps. */
	static Index next_difference(const Tree &a, const Tree &b, Index from, Index last);

	/*
	 * The pages in memory from @first to @last, one after the other, under RCU: none is
	 * referenced, and the tree may change between the calls.
	 */
	class Walk {
	public:
		Walk(const Tree &tree, Index first, Index last)
			: tree_{tree}, next_{first}, last_{last}
		{
		}
		/* The next page, or null. */
		[[gnu::always_inline]] folio *next()
		{
			for (; next_ <= last_; next_++) {
				if (!leaf_ || !place(next_, 0)) {
					next_ = tree_.next(next_, last_);
					leaf_ = next_ == no_index ? nullptr : tree_.leaf(next_);
					if (!leaf_)
						return nullptr;
				}
				if (folio *page = leaf_->entry(place(next_, 0)).page()) {
					index_ = next_++;
					return page;
				}
			}
			return nullptr;
		}
		/* Where next() found it. */
		Index index() const { return index_; }
		/* Whether it is still there, or was until this leaf was replaced. */
		bool finds(const folio *page) const
		{
			return leaf_->entry(place(index_, 0)).page() == page;
		}

	private:
		const Tree &tree_;
		const Node *leaf_ = nullptr; /* of the index before next_ */
		Index index_ = no_index, next_;
		const Index last_;
	};

	/*
	 * The indexes from @first to @last of what is its own, one after the other. The caller
	 * keeps marks from being made; those that were cleared may still be told.
	 */
	class OwnWalk {
	public:
		OwnWalk(const Tree &tree, Index first, Index last);
		/* The next index, or no_index. */
		Index next();
		/* Goes on at @first, which lies behind what next() told last. */
		void skip_to(Index first);
		/* What is there now, at the index that next() told last: no look-up from the root. */
		Entry entry() const { return at_[0].node->entry(place_); }

	private:
		void enter(const Node &node);

		Index first_, last_;
		struct {
			const Node *node;
			Index begin;        /* the first index of the node */
			unsigned long left; /* marks that are still to be followed */
		} at_[max_height + 1];      /* by level */
		unsigned int level_, top_;
		unsigned int place_ = 0; /* in the leaf, of what next() told last */
	};

	/* Memory for nodes, had before it is needed. */
	class Spare {
	public:
		Spare() = default;
		~Spare();
		Spare(const Spare &) = delete;
		Spare &operator=(const Spare &) = delete;

		/* Has what one change may need. False: no memory. May reclaim. */
		[[nodiscard]] bool fill(unsigned int height);
		/* A node, from here or, without a sleep, from the allocator; or null. */
		Node *take(bool leaf);

	private:
		Node *leaf_ = nullptr, *inner_[max_height + 1];
		unsigned int count_ = 0;
	};
	/* Memory for a change at @index: see put(). */
	[[nodiscard]] bool fill(Spare &spare, Index index) const;

	enum class Change {
		done,
		changed,   /* something else is there by now, or what is there is its own */
		no_memory, /* fill() a Spare first; nothing changed */
		no_space,  /* what is to pay has none */
	};
	/*
	 * Puts @entry, a name with its reference, at @index, where @old is; that one's name is
	 * the caller's then. @own: it is for the tree's object alone. @payer: the home that is charged for a new version,
	 * if there is one, and only if @old is there: where two put something there, the second needs no space. Never
	 * sleeps, but drops nodes, which may: not under RCU.
	 */
	Change put(Index index, Entry old, Entry entry, bool own, const Home *payer, Spare &spare);
	/*
	 * Puts the @count leaves of @leaf, nodes of which the caller has the pointers and no other, with names for all entries, all
	 * marked as its own, where no leaf is from @index on, which is that of the first entry. They have one place for all in the
	 * node above. As put(), but that a look-up may find some leaves and not yet others. Other than done: all that is the caller's still.
	 */
	Change put_leaves(Index index, Node *const *leaf, unsigned int count, const Home &payer,
	                  Spare &spare);
	/*
	 * Exchanges @old at @index, wherever that node is, for @entry, which names the same
	 * page. The names go as for put(). Under RCU. Never sleeps.
	 */
	bool exchange(Index index, Entry old, Entry entry) const;

	/* Whether the way to @index was the tree's alone just now: a hint. Never sleeps. */
	bool may_be_alone(Index index) const;
	/*
	 * @entry at @index is its own from now on: put() does not replace it any more. False: the
	 * way there is not the tree's alone, something else is there, or it is its own already.
	 */
	[[nodiscard]] bool set_own(Index index, Entry entry);
	/* It is not, after all, or not any more. */
	void clear_own(Index index);
	/* Nothing is its own any more. Of who holds the object's lock alone. */
	void clear_own();

	/* Makes the way to @index the tree's alone. False: no memory. For remove(), which then has what it needs. */
	[[nodiscard]] bool own_way(Index index);
	/* Removes all from @first to @last. If own_way() was for both ends, never fails. Sleeps. */
	bool remove(Index first, Index last);
	/* Removes all. Sleeps. */
	void clear();
	/* Has all that @from has, none of which is its own, instead of what it had. Sleeps. */
	void become(const Tree &from);

	/* What become() does at once: some entries of a leaf, or some leaves of an inner node. */
	struct Part {
		Index first, last;
	};
	/* The first part from @from to @last in which two trees differ; or first is no_index. As next_difference(). */
	static Part next_part(const Tree &a, const Tree &b, Index from, Index last);
	/*
	 * The same as above for one part; it shares the leaves that are in it with @from then.
	 * False: no memory, and it has what it had. Of who holds its object's lock alone. Sleeps.
	 */
	[[nodiscard]] bool become(const Tree &from, Part part);

private:
	/* A root and the level that it is at, of which a leaf's is 0. */
	struct Root {
		Node *node;
		unsigned int level;
	};
	/* Nodes that were replaced, to be put when the lock is not held any more. */
	class Replaced;
	class Removed;
	class Leaves;
	struct Way;

	static unsigned int shift_of(unsigned int level)
	{
		return level ? Node::leaf_bits + (level - 1) * Node::inner_bits : 0;
	}
	/* The place of @index in a node at @level. */
	static unsigned int place(Index index, unsigned int level)
	{
		return static_cast<unsigned int>(index >> shift_of(level)) %
		       (level ? Node::children : Node::entries);
	}
	/* The first index that a node at @level which has @index has not, or 0. */
	static Index end_of(Index index, unsigned int level)
	{
		const unsigned int bits = shift_of(level + 1);

		return bits < 64 ? ((index >> bits) + 1) << bits : 0;
	}
	static bool fits(Index index, unsigned int level)
	{
		const unsigned int bits = shift_of(level + 1);

		return bits >= 64 || !(index >> bits);
	}
	Root root() const
	{
		const unsigned long value = __atomic_load_n(&root_, __ATOMIC_CONSUME);

		return {reinterpret_cast<Node *>(value & ~15UL),
		        static_cast<unsigned int>(value & 15)};
	}
	void set_root(Root root)
	{
		__atomic_store_n(&root_, reinterpret_cast<unsigned long>(root.node) | root.level,
		                 __ATOMIC_RELEASE);
	}
	Node *leaf(Index index) const;
	bool grow(Index index, Spare &spare);
	Node *make_node(Node *node, unsigned int level, Spare &spare, Replaced &replaced);
	Node *own_node(Node *node, unsigned int level, Spare &spare, Replaced &replaced);
	enum class Missing { made, left };
	bool own_way(Index index, Way &way, unsigned int down_to, Missing missing, Spare &spare,
	             Replaced &replaced);
	bool alone_way(Index index, Way &way) const;
	void mark(Index index, const Way &way);
	void unmark(Index index, const Way &way, unsigned int level);
	void prune(Index index, Way &way, Replaced &replaced);
	enum class Step { some, all, no_memory };
	Step remove_some(Index first, Index last, Spare &spare);
	bool try_become(Leaves &leaves, Part part, Spare &spare);
	static Root part(Root root, Index index, unsigned int level);
	static Index next_leaf_in(Node &node, unsigned int level, Index &from, unsigned int walk,
	                          unsigned int &nodes);
	static Index next_difference_in(Root a, Root b, unsigned int level, Index from, Index last,
	                                unsigned int &nodes);
	template <class Has>
	Index find(Index from, Index last, Has has) const;
	void count_more(const Way &way, unsigned int from, long n);
	void set_count(unsigned long count) { __atomic_store_n(&count_, count, __ATOMIC_RELAXED); }

	unsigned long count_ = 0; /* written with the lock held */
	unsigned long root_ = 0;  /* a Root: nodes are at addresses that 16 divides */
	mutable kapi_spinlock lock_;
};

} /* namespace cowmem */

#endif /* COWMEM_TREE_H */
