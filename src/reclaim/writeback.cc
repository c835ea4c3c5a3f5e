// SPDX-License-Identifier: GPL-2.0
/* Writeback of what is cold (reclaim/writeback.h). */
#include "reclaim/writeback.h"

namespace cowmem {

namespace {

/* How much memory the slots take that were not used for so long. */
class Ages : public Allocated {
public:
	void add(unsigned long age, unsigned int bytes) { bytes_[class_of(age)] += bytes; }
	/* From which age on there are @bytes, at the least; 0: there are not as many. */
	unsigned long age_of(unsigned long bytes) const
	{
		unsigned int n = classes;

		for (unsigned long sum = 0; n && sum < bytes;)
			sum += bytes_[--n];
		return begin_of(n);
	}

private:
	/* Eight classes for each power of two: an age is known to an eighth. */
	static constexpr unsigned int bits = 3, longest = 40; /* 2^40 jiffies */
	static constexpr unsigned int classes = (longest - bits + 2) << bits;

	static unsigned int class_of(unsigned long age)
	{
		const auto top = 63U - static_cast<unsigned int>(__builtin_clzl(age | 1));

		if (top < bits)
			return static_cast<unsigned int>(age);
		if (top > longest)
			return classes - 1;
		return ((top - bits + 1) << bits) +
		       (static_cast<unsigned int>(age >> (top - bits)) & ((1U << bits) - 1));
	}
	static unsigned long begin_of(unsigned int n)
	{
		constexpr unsigned int each = 1U << bits;

		return n < each ? n
		                : static_cast<unsigned long>(each + n % each) << ((n >> bits) - 1);
	}

	unsigned long bytes_[classes] = {};
};

/* Whether it sees slots. */
bool has_slots(const Pages &pages)
{
	const SharedHome *shared = pages.shared_home();

	return pages.own_slots() || (shared && shared->slot_count());
}

/* As visit_all() says. */
template <class Visitor>
int visit_leaf(Visitor &visitor, const Pages &pages, Index leaf)
{
	kapi_count(COWMEM_COUNT_leaves_walked);
	for (Index index = leaf; index < leaf + Node::entries; index++) {
		Seen seen = pages.see(index);
		const bool is_cold =
			seen.slot && !seen.page && seen.slot->location().is_in_memory();

		if (const int err = is_cold ? visitor.visit(std::move(seen.slot)) : 0)
			return err;
		if (kapi_is_interrupted())
			return -KAPI_EINTR;
	}
	kapi_cond_resched();
	return 0;
}

/*
 * Shows @visitor all slots that have bytes in memory and whose page is out, until it says anything but 0, and that is the
 * answer, or -EINTR: a signal. What relatives have in common is met once, but for leaves that one has copied. Slots are kept no longer than the object in which they were found, which keeps
 * the homes of their pages: end() is told of the end of each.
 */
template <class Visitor>
int visit_all(Visitor &visitor)
{
	const unsigned int walk = Relocating::next_walk();

	for (Objects at; at; at.next()) {
		const Pages &pages = (*at).pages();
		int err = 0;

		for (Index leaf = 0; !err && !at.is_abandoned() && has_slots(pages) &&
		                     (leaf = pages.tree().next_leaf(leaf, walk)) != no_index;
		     leaf += Node::entries)
			err = visit_leaf(visitor, pages, leaf);

		const int last = visitor.end();

		if (err || last)
			return err ? err : last;
	}
	return kapi_signal_pending() ? -KAPI_EINTR : 0;
}

/* Adds up what is how old. */
struct Sum {
	int visit(SlotRef slot)
	{
		ages.add(slot->age(now), store.memory_of(slot->location()));
		return 0;
	}
	int end() { return 0; }

	Ages &ages;
	const unsigned long now;
};

/* Moves what is as old as that, and was not made by compressor @but, nor in vain, until it comes to @most bytes. */
class Move {
public:
	Move(Relocation &relocation, unsigned char but, unsigned long now, unsigned long age,
	     unsigned long most)
		: relocation_{relocation},
		  but_{but},
		  turn_{store.turn()},
		  now_{now},
		  age_{age},
		  most_{most}
	{
	}

	int visit(SlotRef slot)
	{
		if (slot->age(now_) < age_ ||
		    (but_ && (slot->location().how == but_ || slot->tried() == turn_)))
			return 0;
		bytes_ += store.memory_of(slot->location());

		const bool last = bytes_ >= most_;

		if (!relocation_.add(std::move(slot)) && !last)
			return 0;

		const int err = end();

		return err || !last ? err : enough;
	}
	/* What was found is moved. Where one after the other fails, the next would as well. */
	int end()
	{
		Relocated some;
		const int err = relocation_.run(some);

		moved_ += some.moved;
		failed_ = some.moved ? 0 : failed_ + some.failed;
		if (some.failed)
			error_ = some.error;
		if (err)
			return err;
		return some.error == -KAPI_ENOSPC || failed_ >= max_failures ? error_ : 0;
	}

	unsigned long moved() const { return moved_; }
	/* Of what failed. */
	int error() const { return error_; }

	static constexpr int enough = 1;

private:
	Relocation &relocation_;
	const unsigned char but_, turn_;
	const unsigned long now_, age_, most_;
	static constexpr unsigned long max_failures = 32;

	unsigned long bytes_ = 0, moved_ = 0, failed_ = 0; /* failed_: since something moved */
	int error_ = 0;
};

/* Whether it was of use. */
bool make_some_room(Relocation &relocation, Ages &ages, unsigned long bytes)
{
	Sum sum{ages, kapi_jiffies()};

	visit_all(sum);

	Move move{relocation, 0, sum.now, ages.age_of(bytes), bytes};

	visit_all(move);
	store.compact();
	return move.moved();
}

} /* namespace */

int move_cold(Target target, unsigned long age)
{
	const Relocating scope;
	const unsigned char but = target == Target::cold ? store.cold() : 0;

	if (!scope)
		return -KAPI_EINTR;
	if (target == Target::cold ? !but : !backing.serves(false))
		return -KAPI_ENODEV;

	Relocation *relocation = Relocation::create(target);

	if (!relocation)
		return -KAPI_ENOMEM;

	Move move{*relocation, but, kapi_jiffies(), age, ~0UL};
	const int err = visit_all(move);

	delete relocation;
	if (move.moved())
		store.compact();
	return err ? err : move.error();
}

bool make_room()
{
	const Relocating scope;

	if (!scope)
		return false;
	/* It may be that there is only too much between bytes. */
	if (store.excess())
		store.compact();

	const unsigned long bytes = store.excess();

	if (!bytes)
		return true;
	if (!backing.takes_more())
		return false;

	Relocation *relocation = Relocation::create(Target::backing);
	Ages *ages = new (Gfp::kernel_account) Ages;
	const bool useful = relocation && ages && make_some_room(*relocation, *ages, bytes);

	delete relocation;
	delete ages;
	return useful;
}

} /* namespace cowmem */

/* The parameters `writeback` and `recompress`. As move_cold() says. */
extern "C" int cowmem_write_back(unsigned long age)
{
	return cowmem::move_cold(cowmem::Target::backing, age);
}

extern "C" int cowmem_recompress(unsigned long age)
{
	return cowmem::move_cold(cowmem::Target::cold, age);
}

/* By a worker. As make_room() says. */
extern "C" bool cowmem_make_room(void)
{
	return cowmem::make_room();
}
