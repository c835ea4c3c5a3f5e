/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An object: what one open() of the device makes. It has pages, a size, and the
 * inode that the kernel's mapping machinery knows it by.
 *
 * Invariants:
 *   O1  no page lies at or beyond index_up(size()) when no writer is at work,
 *       unless the object grows by itself and the page is being written
 *   O2  once fixed, the size changes by resize() and restore() only
 */
#ifndef COWMEM_OBJECT_H
#define COWMEM_OBJECT_H

#include "kernel/alloc.h"
#include "layers/pages.h"

namespace cowmem {

class Object : public Allocated {
public:
	/* The object behind an open file of the device, or behind a mapping of one. */
	static Object &of(const file *f) { return *static_cast<Object *>(kapi_file_private(f)); }
	static Object &of(const vm_area_struct *vma) { return of(kapi_vma_file(vma)); }

	/* The object whose pages these are. */
	static Object &of(const Pages &pages)
	{
		return *static_cast<Object *>(
			kapi_inode_object(kapi_mapping_host(pages.mapping())));
	}

	/* A fresh object behind @f, or -ENOMEM and @f as it was. Sleeps. */
	static int open(file *f);
	/* @f is closed. With the last reference to the inode the object goes. */
	static void close(const file *f) { kapi_inode_put(of(f).inode_); }
	~Object();

	long long size() const { return kapi_inode_size(inode_); }
	/* Whether it does not grow by itself: a snapshot never does. */
	bool fixed_size() const
	{
		return frozen_ || __atomic_load_n(&fixed_size_, __ATOMIC_RELAXED);
	}
	/* Whether it is a snapshot. */
	bool frozen() const { return frozen_; }

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
	 * Sets the size, freeing and unmapping what lies beyond; it @grows by itself from then
	 * on, or does not. 0; or nothing has changed: -ENOMEM, -EIO, -EINTR: the last page
	 * could not be brought in; -EDQUOT: a CopyLimit. Sleeps.
	 */
	int resize(long long bytes, bool grows) EXCLUDES(pages_);

	/*
	 * Frees the pages from @next to @last; they read as zeroes then. @next becomes the first
	 * page of which that is not so. 0; -ENOMEM: to hide what a snapshot has there; -EDQUOT: a
	 * CopyLimit; -EINTR: a fatal signal. Sleeps.
	 */
	int punch(Index &next, Index last) EXCLUDES(pages_);

	/*
	 * SNAPSHOT: a file, open for reading, of an object that stays as this one is now, within
	 * @limit. 0, -ENOMEM, -EMLINK, -ESTALE; -EINTR: a fatal signal. (src/layers/snapshot.cc)
	 */
	int snapshot(file *&made, CopyLimit limit) EXCLUDES(pages_);
	/* CLONE: a file of a new object that is as this one is now, but has no pages beside those from @first to @last. The same. */
	int clone(file *&made, Index first, Index last) EXCLUDES(pages_);
	/* RESTORE: is as @snapshot, of the same family, is. 0; -ESTALE; -EINVAL: it is no such; -EDQUOT: a CopyLimit; -EINTR: a fatal signal. */
	int restore(Object &snapshot) EXCLUDES(pages_);
	/*
	 * The same for its pages from @next to @last, as far as those are within its size, and
	 * nothing else. @next becomes the first page of which that is not so. And -ENOMEM; -EINTR: a
	 * fatal signal. Sleeps.
	 */
	int restore(Object &snapshot, Index &next, Index last) EXCLUDES(pages_);

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
	const Pages &pages() const { return pages_; }
	const Family &family() const { return family_; }

	/* One write() at a time, so that appends do not overlap; above every other lock. */
	void lock_writes() { kapi_inode_lock(inode_); }
	void unlock_writes() { kapi_inode_unlock(inode_); }
	bool try_lock_writes() { return kapi_inode_trylock(inode_); }
	/* 0, or -EINTR: a fatal signal. */
	[[nodiscard]] int lock_writes_killable() { return kapi_inode_lock_killable(inode_); }

	static void operator delete(void *p) { kapi_free_rcu(p); }

private:
	friend class Check; /* src/testing/check.cc */
	friend class SnapshotSet;
	/* @family: with a reference. */
	Object(inode *node, Family &family, unsigned int cow)
		: inode_{node},
		  family_{family},
		  pages_{kapi_inode_mapping(node), family_},
		  cow_{cow}
	{
	}

	static Object *create(Family &family, unsigned int cow);
	/* The last reference to it, if it has never had a file. */
	void discard() { kapi_inode_put(inode_); }
	int create_relative(bool frozen, file *&made) const;
	int give_tree(Object &made) REQUIRES(pages_);
	int give_snapshot(Object &made, CopyLimit limit) REQUIRES(pages_);
	bool may_restore(const Object &snapshot) const
	{
		return &snapshot.family_ == &family_ && !frozen_ && snapshot.frozen_;
	}
	int try_restore(Object &snapshot) EXCLUDES(pages_);
	int restore_part(Object &snapshot, const Tree::Part &part) EXCLUDES(pages_);

	static void zero_tail(folio *tail, long long end);
	bool cuts_what_is_not_own(long long bytes, FolioRef &tail) const REQUIRES(pages_);
	int try_resize(long long bytes, bool grows) EXCLUDES(pages_);
	int punch_some(Index first, Index last) EXCLUDES(pages_);
	/* Has what @other has besides pages: size, growth, store limit. With the lock of both held alone, or nobody else there. */
	void become_as(const Object &other);

	inode *const inode_;
	Family &family_; /* a reference */
	Pages pages_;
	unsigned long max_slots_ = ~0UL;
	unsigned int cow_;
	bool fixed_size_ = false; /* of a snapshot, whether it was so of its origin */
	bool frozen_ = false;     /* a snapshot */
};

/* What a call says of an error of Pages::break_cow(). */
inline int error_of_break_cow(int error)
{
	return error == -KAPI_EHWPOISON ? -KAPI_EIO : error;
}

/* Holds off write() for a scope. */
class WriteLock {
public:
	explicit WriteLock(Object &object) : object_{object} { object_.lock_writes(); }
	~WriteLock() { object_.unlock_writes(); }
	WriteLock(const WriteLock &) = delete;
	WriteLock &operator=(const WriteLock &) = delete;

private:
	Object &object_;
};

} /* namespace cowmem */

#endif /* COWMEM_OBJECT_H */
