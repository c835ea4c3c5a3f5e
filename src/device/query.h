/* SPDX-License-Identifier: GPL-2.0 */
/* Questions about an object's pages: their state (PAGEMAP), and who maps them (RMAP). */
#ifndef COWMEM_QUERY_H
#define COWMEM_QUERY_H

#include <linux/cowmem.h>

#include "layers/viewers.h"

namespace cowmem {

/*
 * An answer to RMAP that grows page by page in the kernel, since user memory cannot be
 * touched while the mappings stand still.
 */
class MappingList {
public:
	/* Room for @capacity entries. Sleeps. */
	explicit MappingList(unsigned int capacity)
		: entries_{static_cast<cowmem_mapping *>(
			  kapi_alloc_array(capacity, sizeof(cowmem_mapping)))},
		  capacity_{capacity}
	{
	}
	~MappingList() { kapi_free_array(entries_); }
	MappingList(const MappingList &) = delete;
	MappingList &operator=(const MappingList &) = delete;

	/* Whether there is memory for it. */
	explicit operator bool() const { return entries_ || !capacity_; }

	void begin_page() { total_ = {count_, hidden_}; }

	/* One entry of the page; without a PID it is only counted. */
	void add(const cowmem_mapping &entry)
	{
		if (!entry.pid) {
			total_.hidden++;
			return;
		}
		if (total_.count < capacity_)
			entries_[total_.count] = entry;
		total_.count++;
	}

	/* Takes the page's entries into the answer, all of them. False: there is no room. */
	[[nodiscard]] bool end_page()
	{
		if (total_.count > capacity_)
			return false;
		count_ = total_.count;
		hidden_ = total_.hidden;
		return true;
	}

	void count_probes(const Probes &probes) { probes_ += probes.looked_at; }

	const cowmem_mapping *entries() const { return entries_; }
	unsigned int count() const { return count_; }
	unsigned long hidden() const { return hidden_; }
	unsigned long probes() const { return probes_; }
	/* Entries of the page that there was no room for, or 0. */
	unsigned int needed() const { return total_.count - count_; }

private:
	struct Size {
		unsigned int count = 0;
		unsigned long hidden = 0;
	};

	cowmem_mapping *const entries_;
	const unsigned int capacity_;
	Size total_; /* with what was found of the page that is being listed */
	unsigned int count_ = 0;
	unsigned long hidden_ = 0, probes_ = 0;
};

/*
 * The state of each page of @batch into @answer; @clear are COWMEM_PAGEMAP_CLEAR_*
 * flags. @batch was seen with the object's lock held. Sleeps on the lock of the object's mappings.
 */
void describe(Pages &pages, const Batch &batch, unsigned int clear, cowmem_page *answer)
	REQUIRES_SHARED(pages);

/* Of an @answer that could not be given to who asked: what it said of the @count pages from @first is news again. */
void tell_again(Pages &pages, Index first, unsigned int count, const cowmem_page *answer)
	EXCLUDES(pages);

/*
 * Every entry that maps page @first to @last of an object, or a private copy of it,
 * page by page, into @list. Returns where it ended: last + 1, or the page that there
 * was no more room or no more time for. Sleeps; takes the locks down to the PTE lock.
 */
Index list_mappings(Pages &pages, Index first, Index last, MappingList &list) EXCLUDES(pages);

/*
 * The same for one private copy, referenced, as one page of @list; false: no room.
 * Nothing is listed if it is not mapped or merged with others. Takes the page lock.
 */
bool list_sharers(folio *copy, MappingList &list);

/* What own_copy() finds: the address is not in a private mapping, has no copy, has one. */
enum class Found { not_mapped, nothing, copy };

/*
 * The private copy of a page of @pages that the caller has at @address, referenced, into
 * @copy. What is not in memory is not brought in. Takes mmap_lock.
 */
Found own_copy(unsigned long address, const Pages &pages, FolioRef &copy);

} /* namespace cowmem */

#endif /* COWMEM_QUERY_H */
