// SPDX-License-Identifier: GPL-2.0
/* Draining of what the store had before (reclaim/drain.h). */
#include "reclaim/drain.h"

namespace cowmem {

namespace {

class Drain {
public:
	explicit Drain(Relocation &relocation) : relocation_{relocation} {}

	/* As drain() says. */
	int run()
	{
		for (;;) {
			result_ = {};
			relocation_.forget_failures();
			if (const int err = look_through_all())
				return err;
			store.release_left();
			if (!store.left())
				return 0;
			if (is_hopeless())
				return result_.error;
			if (!result_.moved)
				kapi_sleep_killable(); /* who has the last of it lets it go */
			if (kapi_is_interrupted())
				return -KAPI_EINTR;
		}
	}

private:
	/* Whether another round would find what failed in this one, and nothing else. */
	bool is_hopeless() const
	{
		return result_.failed && (!result_.moved || (result_.error != -KAPI_ENOMEM &&
		                                             store.left() <= result_.failed));
	}
	int look_through_all();
	int look_through(Pages &pages, unsigned int walk);
	int look_at(Pages &pages, Index index, bool &has_slots);
	int move_some()
	{
		const int err = relocation_.run(result_);

		return !err && kapi_is_interrupted() ? -KAPI_EINTR : err;
	}

	Relocation &relocation_;
	Relocated result_;
};

/*
 * A page of the object's own that is in memory needs no slot, and what that has may be stale. Whether it
 * has none any more. What is shared keeps it, which is many names at once.
 */
bool leave_slot(Pages &pages, Index index, const Seen &seen)
{
	folio *page = seen.page.get();

	if (!page || !kapi_folio_trylock(page))
		return false;

	const Seen now = pages.see(index);
	const bool leaves = now.slot && now.page.get() == page && pages.owns(page);

	if (leaves)
		pages.leave_slot(index, now);
	kapi_folio_unlock(page);
	return leaves;
}

/* One that failed is seen again where a leaf of several was copied. */
int Drain::look_at(Pages &pages, Index index, bool &has_slots)
{
	Seen seen = pages.see(index);

	if (!seen.slot)
		return 0;
	if (!has_slots)
		kapi_count(COWMEM_COUNT_drain_visits);
	has_slots = true;
	if (!store.is_left(seen.slot->location()) || relocation_.has_failed(seen.slot.get()))
		return 0;
	if (leave_slot(pages, index, seen)) {
		result_.moved++;
		return 0;
	}
	return relocation_.add(std::move(seen.slot)) ? move_some() : 0;
}

int Drain::look_through(Pages &pages, unsigned int walk)
{
	bool has_slots = false;

	for (Index leaf = 0; (leaf = pages.tree().next_leaf(leaf, walk)) != no_index;
	     leaf += Node::entries) {
		kapi_count(COWMEM_COUNT_leaves_walked);
		for (Index index = leaf; index < leaf + Node::entries; index++) {
			if (kapi_is_interrupted())
				return -KAPI_EINTR;
			if (const int err = look_at(pages, index, has_slots))
				return err;
		}
		kapi_cond_resched();
	}
	return 0;
}

/* Slots are kept no longer than the object in which they were found, which keeps the homes of their pages. */
int Drain::look_through_all()
{
	const unsigned int walk = Relocating::next_walk();

	for (Objects at; at && store.left(); at.next()) {
		const int err = look_through((*at).pages(), walk);
		const int last = move_some();

		if (err || last)
			return err ? err : last;
	}
	return kapi_signal_pending() ? -KAPI_EINTR : 0;
}

} /* namespace */

int drain()
{
	const Relocating scope;
	int err = 0;

	if (!scope)
		return -KAPI_EINTR;
	store.release_left();
	if (store.left()) {
		Relocation *relocation = Relocation::create(Target::current);

		err = relocation ? Drain{*relocation}.run() : -KAPI_ENOMEM;
		delete relocation;
	}
	return err;
}

} /* namespace cowmem */

/* After the parameters `backing` and `compressor` were set. As drain() says. */
extern "C" int cowmem_drain(void)
{
	return cowmem::drain();
}
