/* SPDX-License-Identifier: GPL-2.0 */
/* Owning handles on a folio: one reference, and the page lock. */
#ifndef COWMEM_FOLIO_H
#define COWMEM_FOLIO_H

#include <utility>

#include "kernel/kapi.h"

namespace cowmem {

/* One reference on a folio, or none. */
class FolioRef {
public:
	constexpr FolioRef() = default;
	/* Takes over a reference that the caller has. */
	explicit FolioRef(folio *owned) : folio_{owned} {}
	FolioRef(FolioRef &&other) : folio_{std::exchange(other.folio_, nullptr)} {}
	FolioRef &operator=(FolioRef &&other)
	{
		std::swap(folio_, other.folio_);
		return *this;
	}
	~FolioRef()
	{
		if (folio_)
			kapi_folio_put(folio_);
	}

	explicit operator bool() const { return folio_; }
	folio *get() const { return folio_; }
	/* Hands the reference to the caller. */
	[[nodiscard]] folio *release() { return std::exchange(folio_, nullptr); }

private:
	folio *folio_ = nullptr;
};

/*
 * How many references to a page are neither names (store/home.h) nor a page table's; many,
 * where that was changing. A mapping that comes between the two counts shows in the
 * references, which are read again. All parts of a large folio are counted together.
 */
inline int foreign_references(const folio *page)
{
	constexpr int many = 1 << 30;
	const int references = kapi_folio_references(page);

	kapi_smp_rmb();

	const int mapped = static_cast<int>(kapi_folio_mapcount(page));
	const int names = static_cast<int>(kapi_folio_all_names(page));

	kapi_smp_rmb();
	return kapi_folio_references(page) == references ? references - mapped - names : many;
}

/* Marks a page as not what the store has, and as changed for PAGEMAP, in its own flags only. */
inline void note_write(folio *page)
{
	kapi_folio_set_dirty(page);
	kapi_folio_keep_written(page);
}

/* Lets memory reclaim find a page. One that there is no memory for stays where it is until asked. */
inline void add_to_lru(folio *page, bool ahead = false)
{
	if (!kapi_lru_add(page) && kapi_lru_prepare(page, ahead))
		kapi_lru_add(page);
}

/* The bytes of a page for a scope; who has several mapped gives the last back first. */
class Mapped {
public:
	explicit Mapped(folio *page) : bytes_{kapi_folio_map(page)} {}
	~Mapped() { kapi_folio_unmap(bytes_); }
	Mapped(const Mapped &) = delete;
	Mapped &operator=(const Mapped &) = delete;

	void *bytes() const { return bytes_; }
	unsigned long *words() const { return static_cast<unsigned long *>(bytes_); }

private:
	void *const bytes_;
};

/* Takes the page lock. Sleeps. */
inline void lock_page(folio *page)
{
	if (kapi_folio_locked(page))
		kapi_count(COWMEM_COUNT_page_lock_waits);
	kapi_folio_lock(page);
}

/* Holds the page lock of a folio, which the caller keeps alive, for a scope. Sleeps. */
class PageLock {
public:
	explicit PageLock(folio *page) : folio_{page} { lock_page(folio_); }
	~PageLock() { kapi_folio_unlock(folio_); }
	PageLock(const PageLock &) = delete;
	PageLock &operator=(const PageLock &) = delete;

private:
	folio *const folio_;
};

} /* namespace cowmem */

#endif /* COWMEM_FOLIO_H */
