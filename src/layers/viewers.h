/* SPDX-License-Identifier: GPL-2.0 */
/* Walks of all page tables in which a page may be: those of one object, or of a family's members. */
#ifndef COWMEM_VIEWERS_H
#define COWMEM_VIEWERS_H

#include "layers/pages.h"

namespace cowmem {

/*
 * Shows @visitor every entry that is about the pages of @batch, which are at home in @home and
 * referenced. Who becomes a member of the family meanwhile, or maps one of the pages, may be
 * missed. Sleeps.
 */
template <class V>
Probes walk_viewers(const Home &home, const Batch &batch, V &visitor)
{
	Probes probes;

	if (!home.is_shared()) {
		const ObjectMappings mappings{home.mapping()};

		return walk(mappings, batch, visitor);
	}
	for (Members at{static_cast<const SharedHome &>(home).family()}; at && !visitor.done();
	     at.next()) {
		if (!kapi_mapping_mapped(at->mapping()))
			continue;

		const ObjectMappings mappings{at->mapping()};
		const Probes some = walk(mappings, batch, visitor);

		probes.looked_at += some.looked_at;
		probes.mismatched += some.mismatched;
	}
	return probes;
}

/* The pages in memory that an object sees at neighbouring places, each kept. */
class SeenBatch {
public:
	/* From @at on, as many as go into a batch but none after @stop. */
	SeenBatch(const Pages &pages, Index at, Index stop)
		: batch{at, static_cast<unsigned int>(min_of<Index>(stop - at, Batch::max - 1)) + 1}
	{
		for (unsigned int i = 0; i < batch.count; i++) {
			kept_[i] = pages.get(at + i);
			batch.page[i] = kept_[i].get();
		}
	}
	SeenBatch(const SeenBatch &) = delete;
	SeenBatch &operator=(const SeenBatch &) = delete;

	Batch batch;

private:
	FolioRef kept_[Batch::max];
};

} /* namespace cowmem */

#endif /* COWMEM_VIEWERS_H */
