/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An object: what one open() of the device makes. It has pages, a size, and the
 * inode that the kernel's mapping machinery knows it by.
 *
 * Invariants:
 *   O1  no page lies at or beyond index_up(size()) when no writer is at work,
 *       unless the object grows by itself and the page is being written
 *   O2  once fixed, the size changes by resize() only
 */
#ifndef COWMEM_OBJECT_H
#define COWMEM_OBJECT_H

#include <cowmem/alloc.h>
#include <cowmem/pages.h>

namespace cowmem {

class Object : public Allocated {
public:
	/* The object behind an open file of the device, or behind a mapping of one. */
	static Object &of(const file *f) { return *static_cast<Object *>(kapi_file_private(f)); }
	static Object &of(const vm_area_struct *vma) { return of(kapi_vma_file(vma)); }

	/* A fresh object behind @f, or -ENOMEM and @f as it was. Sleeps. */
	static int open(file *f);
	/* @f is closed; with the last reference to the inode the object goes too. */
	static void close(const file *f);
	~Object();

	long long size() const { return kapi_inode_size(inode_); }
	bool fixed_size() const { return __atomic_load_n(&fixed_size_, __ATOMIC_RELAXED); }

	/* Grows the object to @bytes, if it is smaller and grows by itself. */
	void grow(long long bytes);

	/*
	 * Whether a fault of @vma may touch page @index: within the size, or in a
	 * mapping that an object of unset size grows to cover. Never sleeps.
	 */
	bool covers(Index index, const vm_area_struct *vma);

	/* Whether write() may make page @index. */
	bool may_write(Index index) const { return !fixed_size() || index < index_up(size()); }

	/*
	 * Sets the size for good, freeing and unmapping what lies beyond. 0; -ENOMEM, -EIO,
	 * -EINTR: the last page could not be brought in, and nothing changed. Sleeps.
	 */
	int resize(long long bytes) EXCLUDES(pages_);

	/* Frees the pages of a page-aligned range; it reads as zeroes then. Sleeps. */
	void punch(long long offset, long long length) EXCLUDES(pages_);

	/* enum cowmem_cow: what the next mmap() takes. */
	unsigned int cow() const { return __atomic_load_n(&cow_, __ATOMIC_RELAXED); }
	void set_cow(unsigned int cow) { __atomic_store_n(&cow_, cow, __ATOMIC_RELAXED); }

	/* Whether page @index is within the size; covers() without growing. Never sleeps. */
	bool holds(Index index) const { return index < end_index(); }
	/* The index of the page behind the last. */
	Index end_index() const { return index_up(size()); }

	/* How many slots of the store the object may have. */
	unsigned long max_slots() const { return __atomic_load_n(&max_slots_, __ATOMIC_RELAXED); }
	void set_max_slots(unsigned long slots)
	{
		__atomic_store_n(&max_slots_, slots, __ATOMIC_RELAXED);
	}

	Pages &pages() { return pages_; }
	const Family &family() const { return family_; }

	/* One write() at a time, so that appends do not overlap; above every other lock. */
	void lock_writes() { kapi_inode_lock(inode_); }
	void unlock_writes() { kapi_inode_unlock(inode_); }

private:
	Object(inode *node, unsigned int cow)
		: inode_{node}, pages_{kapi_inode_mapping(node), family_}, cow_{cow}
	{
	}

	bool tail_is_out(long long end) const REQUIRES(pages_);
	void zero_tail(long long end) REQUIRES(pages_);
	bool try_resize(long long bytes) EXCLUDES(pages_);

	inode *const inode_;
	Family family_; /* of its own, until objects can share pages */
	Pages pages_;
	unsigned long max_slots_ = ~0UL;
	unsigned int cow_;
	bool fixed_size_ = false;
};

} /* namespace cowmem */

#endif /* COWMEM_OBJECT_H */
