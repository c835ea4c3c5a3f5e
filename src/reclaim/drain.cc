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
	int look_through(Pages &pages);
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

int Drain::look_through(Pages &pages)
{
	bool has_slots = false;

	for (Index index = 0; (index = pages.next_data(index, no_index)) != no_index; index++) {
		Seen seen = pages.see(index);

		if (kapi_is_interrupted())
			return -KAPI_EINTR;
		kapi_cond_resched();
		if (!seen.slot)
			continue;
		if (!has_slots)
			kapi_count(COWMEM_COUNT_drain_visits);
		has_slots = true;
		if (!store.is_left(seen.slot->location()))
			continue;
		if (leave_slot(pages, index, seen)) {
			result_.moved++;
			continue;
		}
		if (!relocation_.add(std::move(seen.slot)))
			continue;
		if (const int err = move_some())
			return err;
	}
	return 0;
}

/* Slots are kept no longer than the object in which they were found, which keeps the homes of their pages. */
int Drain::look_through_all()
{
	for (Objects at; at && store.left(); at.next()) {
		const int err = look_through((*at).pages());
		const int last = move_some();

		if (err || last)
			return err ? err : last;
	}
	return 0;
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
