// SPDX-License-Identifier: GPL-2.0
/* Persistent trees (layers/tree.h). */
#include <bit>

#include "kernel/minmax.h"
#include "kernel/rcu.h"
#include "layers/tree.h"
#include "store/home.h"

namespace cowmem {

/* Nodes that a change takes out of a tree, dropped when this ends, with no spinlock held. */
class Tree::Replaced {
public:
	Replaced() = default;
	~Replaced()
	{
		for (unsigned int i = 0; i < count_; i++)
			Node::put(node_[i].node, node_[i].level);
	}
	Replaced(const Replaced &) = delete;
	Replaced &operator=(const Replaced &) = delete;

	void add(Node *node, unsigned int level) { node_[count_++] = {node, level}; }

private:
	/* On one way: those that were copied, and those that became empty. */
	Root node_[2 * (max_height + 2)];
	unsigned int count_ = 0;
};

/* The same for entries of one leaf. */
class Tree::Removed {
public:
	Removed() = default;
	~Removed()
	{
		for (unsigned int i = 0; i < count_; i++)
			entry_[i].remove();
	}
	Removed(const Removed &) = delete;
	Removed &operator=(const Removed &) = delete;

	void add(Entry entry)
	{
		if (entry)
			entry_[count_++] = entry;
	}

private:
	Entry entry_[Node::entries];
	unsigned int count_ = 0;
};

/* What a tree has for leaves of one inner node, or none, each with a pointer to it, for a scope. */
class Tree::Leaves {
public:
	/* Those of @part. */
	Leaves(const Tree &of, Part part)
	{
		const Spinning lock{of.lock_};

		for (Index at = part.first; at <= part.last; at = end_of(at, 0)) {
			Node *leaf = of.leaf(at);

			if (leaf)
				leaf->get();
			leaf_[place(at, 1)] = leaf;
		}
	}
	~Leaves()
	{
		for (Node *leaf : leaf_)
			if (leaf)
				Node::put(leaf, 0);
	}
	Leaves(const Leaves &) = delete;
	Leaves &operator=(const Leaves &) = delete;

	/* That for @index, and another in its place. */
	const Node *at(Index index) const { return leaf_[place(index, 1)]; }
	Node *exchange(Index index, Node *leaf)
	{
		return std::exchange(leaf_[place(index, 1)], leaf);
	}

private:
	Node *leaf_[Node::children] = {};
};

/* The nodes on the way to an index, by their levels. */
struct Tree::Way {
	Node *node[max_height + 1]; /* from the lowest level that there is one at to the root's */
	unsigned int level;         /* the root's */
	unsigned int end;           /* the lowest */
};

Tree::Spare::~Spare()
{
	if (leaf_)
		kapi_node_free(leaf_);
	while (count_)
		kapi_node_free(inner_[--count_]);
}

bool Tree::Spare::fill(unsigned int height)
{
	if (!leaf_)
		leaf_ = Node::create(true, true);
	while (leaf_ && count_ < min_of(height, max_height + 1)) {
		inner_[count_] = Node::create(false, true);
		if (!inner_[count_])
			return false;
		count_++;
	}
	return leaf_;
}

Node *Tree::Spare::take(bool leaf)
{
	Node *node = Node::create(leaf, false);

	if (node)
		return node;
	if (leaf)
		return std::exchange(leaf_, nullptr);
	return count_ ? inner_[--count_] : nullptr;
}

bool Tree::fill(Spare &spare, Index index) const
{
	unsigned int level = root().level;

	while (!fits(index, level))
		level++;
	return spare.fill(level + 1);
}

/* --- look-ups --- */
Node *Tree::leaf(Index index) const
{
	auto [node, level] = root();
	unsigned int shift = shift_of(level + 1);

	if (!fits(index, level))
		return nullptr;
	for (; node && level; level--) {
		shift -= Node::inner_bits;
		node = node->child(static_cast<unsigned int>(index >> shift) % Node::children);
	}
	return node;
}

Entry Tree::at(Index index) const
{
	for (;;) {
		const Node *node = leaf(index);
		const Entry entry = node ? node->entry(place(index, 0)) : Entry{};

		/* The leaf was replaced, and what has replaced it can be seen by now. */
		if (entry != Entry::dead())
			return entry;
	}
}

/* The first index from @from to @last on the way to which @has says yes at each node. */
template <class Has>
Index Tree::find(Index from, Index last, Has has) const
{
	const Root top = root();

	while (top.node && from <= last && fits(from, top.level)) {
		const Node *node = top.node;

		for (unsigned int level = top.level; node; level--) {
			const unsigned int first = place(from, level),
					   end = level ? Node::children : Node::entries;
			unsigned int i = first;

			while (i < end && !has(*node, level, i))
				i++;
			if (i == end) {
				from = end_of(from, level);
				if (!from)
					return no_index;
				break;
			}
			if (i != first)
				from = ((from >> shift_of(level)) - first + i) << shift_of(level);
			if (from > last)
				return no_index;
			if (!level)
				return from;
			node = node->child(i);
		}
		/* Without a node it has just been removed: from the top once more. */
	}
	return no_index;
}

Index Tree::next(Index from, Index last) const
{
	return find(from, last, [](const Node &node, unsigned int level, unsigned int i) {
		return level ? node.child(i) != nullptr : static_cast<bool>(node.entry(i));
	});
}

/*
 * The same in @node, which is at @level and has @from. If none is left there, @from is behind it then; if @nodes have been looked
 * at, it is where to go on. A node all of which was met is marked, so that it is not entered by way of another tree.
 */
Index Tree::next_leaf_in(Node &node, unsigned int level, Index &from, unsigned int walk,
                         unsigned int &nodes)
{
	const unsigned int bits = shift_of(level + 1);
	const bool whole = !(bits < 64 ? from & ((Index{1} << bits) - 1) : from);

	if (node.was_met_by(walk)) {
		from = end_of(from, level) ?: no_index;
		return no_index;
	}
	if (!level) {
		node.meet(walk);
		return from - place(from, 0);
	}
	for (unsigned int i = place(from, level); i < Node::children; i++) {
		const Index end = end_of(from, level - 1) ?: no_index;
		Node *child = node.child(i);

		/* Of one just above leaves all are looked at, or none. */
		if (child && level > 1 && nodes <= Node::children)
			return no_index;
		if (child) {
			nodes--;
			if (const Index found = next_leaf_in(*child, level - 1, from, walk, nodes);
			    found != no_index)
				return found;
			if (from != end)
				return no_index;
		}
		from = end;
	}
	if (whole)
		node.meet(walk);
	return no_index;
}

Index Tree::next_leaf(Index from, unsigned int walk) const
{
	while (from != no_index) {
		unsigned int nodes = 8 * Node::children;
		{
			const Spinning lock{lock_};
			const Root top = root();

			if (!top.node || !fits(from, top.level))
				break;
			if (const Index found =
			            next_leaf_in(*top.node, top.level, from, walk, nodes);
			    found != no_index)
				return found;
		}
		kapi_cond_resched();
	}
	return no_index;
}

Tree::OwnWalk::OwnWalk(const Tree &tree, Index first, Index last) : first_{first}, last_{last}
{
	const auto [node, level] = tree.root();

	level_ = top_ = level;
	at_[top_] = {node, 0, 0};
	if (node && fits(first, level))
		enter(*node);
}

/* Goes on at @node, which is at its level and place. */
void Tree::OwnWalk::enter(const Node &node)
{
	auto &at = at_[level_];

	at.node = &node;
	at.left = node.own();
	if (at.begin < first_)
		at.left &= ~0UL << place(first_, level_);
}

Index Tree::OwnWalk::next()
{
	while (level_ <= top_) {
		auto &at = at_[level_];

		if (!at.left) {
			level_++;
			continue;
		}

		const auto i = static_cast<unsigned int>(std::countr_zero(at.left));
		const Index begin = at.begin + (static_cast<Index>(i) << shift_of(level_));

		if (begin > last_)
			break;
		at.left &= at.left - 1;
		if (!level_) {
			place_ = i;
			return begin;
		}
		at_[--level_].begin = begin;
		enter(*at.node->child(i));
	}
	return no_index;
}

void Tree::OwnWalk::skip_to(Index first)
{
	first_ = first;
	while (level_ <= top_ && !fits(first - at_[level_].begin, level_))
		level_++;
	if (level_ <= top_)
		at_[level_].left &= ~0UL << place(first, level_);
}

/* What @root, of a tree of which a node at @level is being looked at, has at the next lower level for @index. */
Tree::Root Tree::part(Root root, Index index, unsigned int level)
{
	if (root.node && root.level == level)
		return {root.node->child(place(index, level)), level - 1};
	return place(index, level) ? Root{nullptr, 0} : root;
}

/* What may be looked at until a look-up lets others go on. */
static constexpr unsigned int nodes_at_once = 128;

/*
 * Where two trees may differ in what they have at @level, where @from has a place. When @nodes of
 * both have been looked at, none are left, and it is where to go on.
 */
Index Tree::next_difference_in(Root a, Root b, unsigned int level, Index from, Index last,
                               unsigned int &nodes)
{
	const unsigned int shift = shift_of(level);
	const unsigned int end = level ? Node::children : Node::entries;
	const bool both = a.node && b.node && a.level == level && b.level == level;

	if (a.node == b.node)
		return no_index;
	if (!nodes)
		return from;
	nodes--;
	for (unsigned int i = place(from, level), step; i < end && from <= last; i += step) {
		step = both && level ? a.node->same_children(i, *b.node) : 0;
		if (step) {
			/* most are: nothing to go into */
		} else if (step = 1; !level) {
			const Entry entry_a = a.node ? a.node->entry(i) : Entry{};
			const Entry entry_b = b.node ? b.node->entry(i) : Entry{};

			if (!entry_a.same_as(entry_b))
				return from;
		} else if (const Index found =
		                   next_difference_in(part(a, from, level), part(b, from, level),
		                                      level - 1, from, last, nodes);
		           found != no_index) {
			return found;
		}
		from = ((from >> shift) + step) << shift;
		if (!from)
			break;
	}
	return no_index;
}

/* Between two looks a page may go to a slot, and out. */
bool Tree::have_same(const Tree &a, const Tree &b, Index index)
{
	for (;;) {
		const Entry in_a = a.at(index), in_b = b.at(index);

		if (in_a.same_as(in_b))
			return true;
		if (in_a == a.at(index) && in_b == b.at(index))
			return false;
	}
}

Index Tree::next_difference(const Tree &a, const Tree &b, Index from, Index last)
{
	while (from <= last) {
		unsigned int nodes = nodes_at_once;
		{
			const Rcu rcu;
			const Root root_a = a.root(), root_b = b.root();
			const unsigned int top = max_of(root_a.level, root_b.level);
			const Index at = fits(from, top) ? next_difference_in(root_a, root_b, top,
			                                                      from, last, nodes)
			                                 : no_index;

			if (at == no_index || (nodes && !have_same(a, b, at)))
				return at;
			from = nodes ? at + 1 : at;
		}
		kapi_cond_resched();
	}
	return no_index;
}

/* --- changes: with the lock held --- */

/* There are @n entries more below each inner node on @way, from the level @from on. */
void Tree::count_more(const Way &way, unsigned int from, long n)
{
	for (unsigned int level = from; n && level <= way.level; level++)
		way.node[level]->count_more(n);
	set_count(count() + static_cast<unsigned long>(n));
}

/* Has a root at a level at which @index has a place. */
bool Tree::grow(Index index, Spare &spare)
{
	Root top = root();

	if (!top.node) {
		while (!fits(index, top.level))
			top.level++;
		set_root(top);
		return true;
	}
	while (!fits(index, top.level)) {
		Node *above = spare.take(false);

		if (!above)
			return false;
		if (top.node->is_alone() && top.node->own())
			above->set_own(0);
		above->set(0, top.node);
		above->count_more(top.node->count(top.level));
		top = {above, top.level + 1};
		set_root(top);
	}
	return true;
}

/* A copy of @node, which others have, too, or a new one for none; null: no memory. */
[[gnu::noinline]] Node *Tree::make_node(Node *node, unsigned int level, Spare &spare,
                                        Replaced &replaced)
{
	Node *made = spare.take(!level);

	if (!made || !node)
		return made;
	replaced.add(node, level);
	return node->copy(!level, made);
}

/* @node, if the tree has that alone, or as make_node() says. */
inline Node *Tree::own_node(Node *node, unsigned int level, Spare &spare, Replaced &replaced)
{
	return node && node->is_alone() ? node : make_node(node, level, spare, replaced);
}

/*
 * Makes the nodes on the way to @index, from the root down to @down_to, the tree's alone; a
 * copy is seen when it is whole. False: no memory; what is copied by then stays so.
 */
bool Tree::own_way(Index index, Way &way, unsigned int down_to, Missing missing, Spare &spare,
                   Replaced &replaced)
{
	if (missing == Missing::made && !grow(index, spare))
		return false;

	const Root top = root();

	way.level = way.end = top.level;
	if (missing == Missing::left && (!top.node || !fits(index, top.level)))
		return true;

	Node *node = own_node(top.node, top.level, spare, replaced);
	unsigned int shift = shift_of(top.level + 1);

	if (!node)
		return false;
	if (node != top.node)
		set_root({node, top.level});
	way.node[top.level] = node;
	for (unsigned int level = top.level; level > down_to; level--) {
		shift -= Node::inner_bits;

		const unsigned int i = static_cast<unsigned int>(index >> shift) % Node::children;
		Node *child = node->child(i);

		if (!child && missing == Missing::left)
			return true;

		Node *mine = own_node(child, level - 1, spare, replaced);

		if (!mine)
			return false;
		if (mine != child)
			node->set(i, mine);
		way.node[level - 1] = node = mine;
		way.end = level - 1;
	}
	return true;
}

/* Whether the way down to @index's leaf is there, and the tree's alone. */
bool Tree::alone_way(Index index, Way &way) const
{
	auto [node, level] = root();

	way.level = level;
	if (!fits(index, level))
		return false;
	for (;; level--) {
		if (!node || !node->is_alone())
			return false;
		way.node[level] = node;
		if (!level)
			return true;
		node = node->child(place(index, level));
	}
}

/* Where the leaf has marks, so have the nodes above it. */
void Tree::mark(Index index, const Way &way)
{
	const bool some = way.node[0]->own();

	way.node[0]->set_own(place(index, 0));
	for (unsigned int level = 1; !some && level <= way.level; level++)
		way.node[level]->set_own(place(index, level));
}

/* What is at @index's place in the node at @level is not its own any more. */
void Tree::unmark(Index index, const Way &way, unsigned int level)
{
	way.node[level]->clear_own(place(index, level));
	for (level++; level <= way.level && !way.node[level - 1]->own(); level++)
		way.node[level]->clear_own(place(index, level));
}

Tree::Change Tree::put(Index index, Entry old, Entry entry, bool own, const Home *payer,
                       Spare &spare)
{
	const unsigned int i = place(index, 0);
	UNINITIALIZED Replaced replaced;
	UNINITIALIZED Way way;
	const Spinning lock{lock_};

	if (!own_way(index, way, 0, Missing::made, spare, replaced))
		return Change::no_memory;

	Node &leaf = *way.node[0];
	const bool is_there = leaf.entry(i) == old && !(own && leaf.own() >> i & 1);

	if (!is_there || (payer && !payer->charge())) {
		prune(index, way, replaced); /* what was made for nothing */
		return is_there ? Change::no_space : Change::changed;
	}
	if (!leaf.exchange(i, old, entry)) {
		if (payer)
			payer->uncharge();
		return Change::changed;
	}
	count_more(way, 1, static_cast<long>(static_cast<bool>(entry)) - static_cast<bool>(old));
	if (own)
		mark(index, way);
	else
		unmark(index, way, 0);
	return Change::done;
}

Tree::Change Tree::put_leaves(Index index, Node *const *leaf, unsigned int count, const Home &payer,
                              Spare &spare)
{
	const unsigned int first = place(index, 1);
	UNINITIALIZED Replaced replaced;
	UNINITIALIZED Way way;
	const Spinning lock{lock_};

	/* The root is no leaf. */
	if (!grow(max_of(index, Index{Node::entries}), spare) ||
	    !own_way(index, way, 1, Missing::made, spare, replaced))
		return Change::no_memory;
	for (unsigned int i = 0; i < count; i++)
		if (way.node[1]->child(first + i))
			return Change::changed;
	if (!payer.charge(count * Node::entries)) {
		prune(index, way, replaced); /* as above */
		return Change::no_space;
	}
	for (unsigned int i = 0; i < count; i++) {
		way.node[1]->set(first + i, leaf[i]);
		way.node[1]->set_own(first + i);
	}
	count_more(way, 1, static_cast<long>(count * Node::entries));
	for (unsigned int level = 2; level <= way.level; level++)
		way.node[level]->set_own(place(index, level));
	return Change::done;
}

bool Tree::exchange(Index index, Entry old, Entry entry) const
{
	Node *node = leaf(index);

	return node && node->exchange(place(index, 0), old, entry);
}

bool Tree::may_be_alone(Index index) const
{
	const Rcu rcu;
	UNINITIALIZED Way way;

	return alone_way(index, way);
}

bool Tree::set_own(Index index, Entry entry)
{
	const Spinning lock{lock_};
	const unsigned int i = place(index, 0);
	UNINITIALIZED Way way;

	if (!alone_way(index, way) || way.node[0]->own() >> i & 1 || way.node[0]->entry(i) != entry)
		return false;
	mark(index, way);
	return true;
}

void Tree::clear_own(Index index)
{
	const Spinning lock{lock_};
	Way way;

	if (alone_way(index, way))
		unmark(index, way, 0);
}

void Tree::clear_own()
{
	const auto [node, level] = root();

	if (node)
		node->clear_own_all(level);
}

bool Tree::own_way(Index index)
{
	Spare spare;

	for (;;) {
		{
			Replaced replaced;
			Way way;
			const Spinning lock{lock_};

			if (own_way(index, way, 0, Missing::left, spare, replaced))
				return true;
		}
		if (!fill(spare, index))
			return false;
	}
}

/* The nodes on @way, which is down to the level @way.end, that have nothing any more, go. */
void Tree::prune(Index index, Way &way, Replaced &replaced)
{
	for (unsigned int level = way.end; way.node[level]->is_empty(!level); level++) {
		replaced.add(way.node[level], level);
		if (level == way.level) {
			set_root({nullptr, 0});
			return;
		}
		way.node[level + 1]->set(place(index, level + 1), static_cast<Node *>(nullptr));
	}
}

/* Removes what is found first from @first to @last: a whole node, or some entries. */
Tree::Step Tree::remove_some(Index first, Index last, Spare &spare)
{
	Replaced replaced;
	Removed removed;
	Way way;
	const Spinning lock{lock_};
	const Index index = next(first, last);

	if (index == no_index)
		return Step::all;

	const auto is_within = [&](unsigned int level) {
		const Index end = end_of(index, level) - 1;
		const unsigned int bits = shift_of(level + 1);

		return (bits < 64 ? index >> bits << bits : 0) >= first && end <= last;
	};
	const Root top = root();
	unsigned int level = top.level;

	if (is_within(level)) {
		set_root({nullptr, 0});
		set_count(0);
		replaced.add(top.node, level);
		return Step::some;
	}
	while (level && !is_within(level - 1))
		level--;
	if (!own_way(index, way, level, Missing::left, spare, replaced))
		return Step::no_memory;
	if (level) {
		const unsigned int i = place(index, level);

		Node *child = way.node[level]->child(i);

		way.node[level]->set(i, static_cast<Node *>(nullptr));
		replaced.add(child, level - 1);
		count_more(way, level, -child->count(level - 1));
	} else {
		const Index end = min_of(last, end_of(index, 0) - 1);

		for (Index at = index; at <= end; at++) {
			const Entry entry = way.node[0]->take(place(at, 0));

			removed.add(entry);
			count_more(way, 1, -static_cast<long>(static_cast<bool>(entry)));
			way.node[0]->clear_own(place(at, 0));
		}
	}
	unmark(index, way, level);
	prune(index, way, replaced);
	return Step::some;
}

bool Tree::remove(Index first, Index last)
{
	Spare spare;

	for (;;) {
		switch (remove_some(first, last, spare)) {
		case Step::all:
			return true;
		case Step::some:
			kapi_cond_resched();
			break;
		case Step::no_memory:
			if (!fill(spare, first))
				return false;
		}
	}
}

void Tree::clear()
{
	Root old;
	{
		const Spinning lock{lock_};

		old = root();
		set_root({nullptr, 0});
		set_count(0);
	}
	if (old.node)
		Node::put(old.node, old.level);
}

void Tree::become(const Tree &from)
{
	Root old, fresh;
	unsigned long count;
	{
		const Spinning lock{from.lock_};

		count = from.count();
		fresh = from.root();
		if (fresh.node)
			fresh.node->get();
	}
	{
		const Spinning lock{lock_};

		old = root();
		set_root(fresh);
		set_count(count);
	}
	if (old.node)
		Node::put(old.node, old.level);
}

Tree::Part Tree::next_part(const Tree &a, const Tree &b, Index from, Index last)
{
	const Index index = next_difference(a, b, from, last);

	if (index == no_index)
		return {no_index, last};

	/* From where its leaf begins, which is shared if all of it is to be. */
	const Index first = max_of(from, index - place(index, 0));
	const Index leaf_end = end_of(first, 0) - 1, node_end = end_of(first, 1) - 1;

	if (place(first, 0) || last < leaf_end)
		return {first, min_of(last, leaf_end)};
	return {first, last < node_end ? last - place(last + 1, 0) : node_end};
}

/* As become() says: @leaves are the other's, and then what this one had. */
bool Tree::try_become(Leaves &leaves, Part part, Spare &spare)
{
	const bool whole = !place(part.first, 0) && !place(part.last + 1, 0);
	const unsigned int level = whole ? 1 : 0;
	Replaced replaced;
	Removed removed;
	Way way;
	const Spinning lock{lock_};

	if (!grow(max_of(part.last, Index{whole ? Node::entries : 0}), spare) ||
	    !own_way(part.first, way, level, Missing::made, spare, replaced))
		return false;

	Node &node = *way.node[level];

	for (Index at = part.first; at <= part.last; at += whole ? Node::entries : 1) {
		const unsigned int i = place(at, level);

		if (whole) {
			Node *old = node.child(i), *theirs = leaves.exchange(at, old);

			node.set(i, theirs);
			count_more(way, 1,
			           (theirs ? theirs->count(0) : 0) - (old ? old->count(0) : 0));
		} else {
			const Node *theirs = leaves.at(at);

			if (node.entry(i).same_as(theirs ? theirs->entry(i) : Entry{}))
				continue;
			const Entry fresh = theirs ? theirs->name(i) : Entry{},
				    old = node.take(i, fresh);

			removed.add(old);
			count_more(way, 1,
			           static_cast<long>(static_cast<bool>(fresh)) -
			                   static_cast<bool>(old));
		}
		node.clear_own(i);
	}
	unmark(part.first, way, level);
	prune(part.first, way, replaced);
	return true;
}

bool Tree::become(const Tree &from, Part part)
{
	Leaves leaves{from, part};
	Spare spare;

	while (!try_become(leaves, part, spare))
		if (!fill(spare, part.last))
			return false;
	return true;
}

} /* namespace cowmem */
