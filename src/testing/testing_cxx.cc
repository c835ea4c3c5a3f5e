// SPDX-License-Identifier: GPL-2.0
/* The exports of a KUnit build (testing/testing.h), on the C++ side. */
#include <linux/cowmem.h>

#include "layers/snapshot_set.h"
#include "reclaim/page_out.h"
#include "device/query.h"
#include "testing/testing.h"
#include "rmap/unmap.h"
#include "rmap/visitors.h"

namespace {

template <class V>
cowmem_test_walk walk_page(folio *page, V &visitor)
{
	cowmem::ObjectMappings mappings{kapi_folio_mapping(page)};
	const cowmem::Probes probes =
		cowmem::walk(mappings, cowmem::Batch{kapi_folio_index(page), page}, visitor);

	return {.result = 0,
	        .locked = false,
	        .probes = probes.looked_at,
	        .mismatched = probes.mismatched};
}

} /* namespace */

extern "C" cowmem_test_walk cowmem_test_referenced(folio *page, mem_cgroup *group)
{
	cowmem::Referenced visitor{group};
	cowmem_test_walk walk = walk_page(page, visitor);

	walk.result = visitor.young[0];
	walk.locked = visitor.locked;
	return walk;
}

extern "C" cowmem_test_walk cowmem_test_clean(folio *page)
{
	cowmem::Clean visitor;
	cowmem_test_walk walk = walk_page(page, visitor);

	walk.result = visitor.cleaned;
	return walk;
}

extern "C" cowmem_test_walk cowmem_test_unmap(folio *page, bool despite_mlock, bool despite_access)
{
	cowmem::Unmap<cowmem::Leave::nothing> visitor{{despite_mlock, despite_access}};
	cowmem_test_walk walk = walk_page(page, visitor);

	walk.result = static_cast<unsigned int>(
		visitor.result(cowmem::Batch{kapi_folio_index(page), page}, 0));
	return walk;
}

extern "C" unsigned int cowmem_test_sharers(folio *copy)
{
	cowmem::MappingList list{COWMEM_RMAP_MAX};

	return list && cowmem::list_sharers(copy, list)
	               ? list.count() + static_cast<unsigned int>(list.hidden())
	               : 0;
}

extern "C" void cowmem_test_describe(file *f, unsigned long index, unsigned int clear,
                                     cowmem_page *page)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();
	cowmem::Shared lock{pages};
	const cowmem::SeenBatch seen{pages, index, index};

	cowmem::describe(pages, seen.batch, clear, page);
}

extern "C" int cowmem_test_resize(file *f, long long bytes)
{
	return cowmem::Object::of(f).resize(bytes, cowmem::Growth::none, false);
}

extern "C" int cowmem_test_punch(file *f, long long offset, long long length)
{
	cowmem::Index next = cowmem::index_of(offset);

	return cowmem::Object::of(f).punch(next, cowmem::index_of(offset + length) - 1);
}

extern "C" void cowmem_test_set_cow(file *f, unsigned int cow)
{
	cowmem::Object::of(f).set_cow(cow);
}

static void page_out(file *f, unsigned long first, unsigned long last, bool waits, bool accessed,
                     cowmem_page_out *answer)
{
	cowmem::Object &object = cowmem::Object::of(f);
	cowmem::PagedOut result;

	kapi_drain_folio_batches_everywhere();
	cowmem::page_out(object.pages(), first, last,
	                 {.waits = waits,
	                  .accessed = accessed,
	                  .max_slots = object.max_slots(),
	                  .shared = true},
	                 result);
	answer->out = result.out;
	answer->reused = result.reused;
	answer->accessed = result.accessed;
	answer->locked = result.mlocked;
	answer->busy = result.busy;
	answer->tracked = result.tracked;
}

extern "C" void cowmem_test_page_out(file *f, unsigned long first, unsigned long last,
                                     bool accessed, cowmem_page_out *answer)
{
	page_out(f, first, last, true, accessed, answer);
}

extern "C" void cowmem_test_reclaim(file *f, unsigned long first, unsigned long last,
                                    cowmem_page_out *answer)
{
	page_out(f, first, last, false, false, answer);
}

extern "C" unsigned long cowmem_test_slots(file *f)
{
	return cowmem::Object::of(f).pages().own_slots();
}

extern "C" unsigned long cowmem_test_share_slot(file *f, unsigned long index, unsigned long count)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();
	cowmem::SlotRef slot = std::move(pages.see(index).slot);
	unsigned long wrong = 0;

	for (unsigned long i = 0; i < count; i++)
		wrong += !kapi_ref_try_get(&slot->references);
	{
		cowmem::Exclusive lock{pages};

		pages.remove(index, index, cowmem::PrivateCopies::keep);
	}
	for (unsigned long i = 0; i < count; i++)
		wrong += kapi_ref_put(&slot->references);
	return wrong;
}

extern "C" file *cowmem_test_snapshot(file *f, unsigned long max_copies)
{
	file *made = nullptr;

	if (!cowmem::Object::of(f).snapshot(f, made, {.max = max_copies, .drops = true}))
		return made;
	if (made)
		kapi_file_put(made);
	return nullptr;
}

extern "C" void cowmem_test_set_pinnable(file *f)
{
	cowmem::Object::of(f).pages().set_pinnable();
}

extern "C" file *cowmem_test_clone(file *f)
{
	file *made = nullptr;

	if (!cowmem::Object::of(f).clone(f, made, 0, cowmem::no_index))
		return made;
	if (made)
		kapi_file_put(made);
	return nullptr;
}

extern "C" int cowmem_test_snapshot_set(file **files, file **made, unsigned int count)
{
	cowmem::SnapshotSet set;

	for (unsigned int i = 0; i < count; i++)
		if (!set.add(files[i], made[i]))
			return -KAPI_EINVAL;
	return set.take();
}

extern "C" int cowmem_test_restore(file *f, file *snapshot)
{
	return cowmem::Object::of(f).restore(cowmem::Object::of(snapshot));
}

extern "C" int cowmem_test_restore_range(file *f, file *snapshot, unsigned long first,
                                         unsigned long last)
{
	return cowmem::Object::of(f).restore(cowmem::Object::of(snapshot), first, last);
}

extern "C" int cowmem_test_dedupe(file *f, file *source, unsigned long first, unsigned long last)
{
	cowmem::Index next = first;

	return cowmem::Object::of(f).dedupe(cowmem::Object::of(source), next, last);
}

extern "C" void cowmem_test_empty_again(file *f, unsigned long first, unsigned long last)
{
	cowmem::Object::of(f).empty_again(first, last);
}

extern "C" folio *cowmem_test_seen(file *f, unsigned long index)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();

	return pages.resident(index);
}

extern "C" bool cowmem_test_exchange(file *f, unsigned long index, folio *old, folio *fresh)
{
	const cowmem::Rcu rcu;

	return cowmem::Object::of(f).pages().tree().exchange(index, cowmem::Entry{old},
	                                                     cowmem::Entry{fresh});
}

extern "C" unsigned long cowmem_test_next_own(file *f, unsigned long from)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();
	cowmem::Exclusive lock{pages};

	const cowmem::Index next = pages.tree().next_own(from, cowmem::no_index);
	cowmem::Tree::OwnWalk walk{pages.tree(), 0, cowmem::no_index};
	cowmem::Index skipped = walk.next();

	/* The same for who goes on from another place. */
	if (skipped < from) {
		walk.skip_to(from);
		skipped = walk.next();
	}
	return skipped == next ? next : cowmem::no_index - 1;
}

extern "C" unsigned long cowmem_test_most(const unsigned long *own, unsigned int levels,
                                          unsigned long limit, unsigned long share)
{
	cowmem::Group root{nullptr}, first{&root}, second{&first}, third{&second};
	cowmem::Group *const way[] = {&root, &first, &second, &third};

	for (unsigned int i = 0; i < levels; i++)
		way[i]->add(own[i]);
	return way[levels - 1]->most(limit, share);
}

extern "C" bool cowmem_test_has_share_again(unsigned long used, unsigned long limit,
                                            unsigned long share)
{
	cowmem::Group root{nullptr}, first{&root};

	first.add(limit);
	if (first.has_share(limit, share))
		return false;
	first.add(used - limit);
	return first.has_share(limit, share);
}

extern "C" void cowmem_test_lock(file *f)
{
	cowmem::Object::of(f).pages().lock_quietly();
}

extern "C" void cowmem_test_unlock(file *f)
{
	cowmem::Object::of(f).pages().unlock_quietly();
}

extern "C" unsigned long cowmem_test_count(file *f)
{
	return cowmem::Object::of(f).pages().count();
}

extern "C" unsigned long cowmem_test_race()
{
	static unsigned long sum;

	return ++sum;
}
