/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An object: what one open() of the device, or one CREATE, makes. It has pages, a size, and
 * an inode: that of a regular file, which the kernel's mapping machinery knows it by.
 *
 * Invariants:
 *   O1  no page lies at or beyond index_up(size()) when no writer is at work,
 *       unless the object grows by itself and the page, or its block, is being written
 *   O2  the size of one that does not grow changes by resize() and restore() only, or becomes 0
 *       as a snapshot is dropped
 */
#ifndef COWMEM_OBJECT_H
#define COWMEM_OBJECT_H

#include "kernel/alloc.h"
#include "layers/pages.h"

namespace cowmem {

/* How an object grows by itself. */
enum class Growth : unsigned char {
	by_use,   /* mmap() and write() beyond the end move that */
	by_write, /* write() does: a regular file */
	none,
};

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

	/* A fresh object behind @f, a file of the device, or -ENOMEM and @f as it was. Sleeps. */
	static int open(file *f);
	/* @f is closed. With the last reference to the inode the object goes. */
	static void close(const file *f) { kapi_inode_put(of(f).inode_); }
	/* What an object is from the start: devices may pin its pages to write them for long; enum cowmem_huge. */
	struct Nature {
		bool pinnable;
		unsigned int huge;
	};
	/* CREATE: a file, called @name, of a fresh object that grows by write(). 0, -ENOMEM, -ENFILE. Sleeps. */
	static int create_file(const char *name, Nature nature, file *&made);
	/* The object of @node, a regular file that grows by write(). 0, -ENOMEM. Sleeps. */
	static int create_at(inode *node);
	/* FILE: a regular file of this one, on the mount of @by and with the rights of that. The same. */
	int make_file(const file *by, file *&made) const;
	~Object();

	long long size() const { return kapi_inode_size(inode_); }
	/* How it grows by itself: a snapshot never does. */
	Growth growth() const { return frozen_ ? Growth::none : own_growth(); }
	/* The number of the inode of the object that it came from, or 0. */
	unsigned long parent() const { return __atomic_load_n(&parent_, __ATOMIC_RELAXED); }
	/* Whether it is a snapshot. */
	bool frozen() const { return frozen_; }
	/* enum cowmem_huge: when faults, and calls that fill holes, take large folios where they can. */
	unsigned int huge() const { return __atomic_load_n(&huge_, __ATOMIC_RELAXED); }
	void set_huge(unsigned int huge); /* sleeps */

	/* Something was written up to @bytes: the object grows to that, if it is smaller and may. */
	void grow_by_write(long long bytes) { grow(bytes, Growth::by_write); }
	/* The same for what was mapped. */
	void grow_by_use(long long bytes) { grow(bytes, Growth::by_use); }

	/*
	 * Whether a fault may touch page @index: within the size, or in a mapping that the
	 * object grows to cover, which ends before page @mapping_end. Never sleeps.
	 */
	bool covers(Index index, Index mapping_end);

	/* Whether write() may make page @index. */
	bool may_write(Index index) const
	{
		return growth() != Growth::none || index < index_up(size());
	}

	/*
	 * Sets the size, freeing and unmapping what lies beyond, in batches from the end, and how it grows. 0; or, and the
	 * size says how far it came, -ENOMEM, -EIO: the last page could not be brought in; -EDQUOT: a CopyLimit; -EINTR: a
	 * fatal signal. If write() is not locked out, one that the new end does not cut short goes on. Sleeps.
	 */
	int resize(long long bytes, Growth growth, bool write_is_locked_out) EXCLUDES(pages_)
	{
		return change_size(bytes, &growth, write_is_locked_out);
	}
	/*
	 * Sets the size to @bytes, if it is less; how the object grows stays. With write() locked
	 * out. The same errors; -ENOSPC: it does not grow any more. Sleeps.
	 */
	int extend(long long bytes) EXCLUDES(pages_) { return change_size(bytes, nullptr, true); }
	/* Zeroes @page from @end, within it, to before @stop. False: @end is not the object's any more, or the page not its own. Sleeps. */
	bool zero_behind(long long end, long long stop, folio *page) EXCLUDES(pages_);

	/*
	 * Frees the pages from @next to @last; they read as zeroes then. @next becomes the first
	 * page of which that is not so. 0; -ENOMEM: to hide what a snapshot has there; -EDQUOT: a
	 * CopyLimit; -EINTR: a fatal signal. Sleeps.
	 */
	int punch(Index &next, Index last) EXCLUDES(pages_);

	/*
	 * SNAPSHOT: a file, open for reading, of an object that stays as this one is now, within
	 * @limit; on the mount that the asker's file @by is of. 0, -ENOMEM, -EMLINK, -ESTALE; -EINTR: a fatal signal. (src/layers/snapshot.cc)
	 */
	int snapshot(const file *by, file *&made, CopyLimit limit) EXCLUDES(pages_);
	/* CLONE: a file of a new object that is as this one is now, but has no pages beside those from @first to @last. The same. */
	int clone(const file *by, file *&made, Index first, Index last) EXCLUDES(pages_);
	/* The same for nobody to open: @made has one reference, the caller's. */
	int snapshot(Object *&made) EXCLUDES(pages_);
	/* The last reference to it, if it never had a file. */
	void discard() { kapi_inode_put(inode_); }
	/*
	 * This object and @source are of one family from now on. 0, -ENOMEM; -EOPNOTSUPP: each has
	 * relatives already, and not the same. Sleeps.
	 */
	int join(Object &source);
	/*
	 * FICLONERANGE: has the pages from byte @begin to the one at @end of @source, which it has
	 * joined, as they are at one moment. 0; or some of the pages are as they were, and it may
	 * have grown: -ENOMEM, -EMLINK, -ESTALE, -EDQUOT: a CopyLimit, -EINVAL: @end is within a page,
	 * and the object goes on behind that, -EINTR: a fatal signal; or all of them: -ENOSPC: it does
	 * not grow. Takes the write locks, one after the other. Sleeps. (src/layers/reflink.cc)
	 */
	int reflink(Object &source, long long begin, long long end) EXCLUDES(pages_);
	/*
	 * FIDEDUPERANGE: shares with @source, a relative, what both have alike from @next to @last;
	 * what somebody is reading or writing stays as it is. 0, as above; -EBADE: page @next
	 * differs; -EOPNOTSUPP: it is no relative; -EROFS: this is a snapshot; -EIO.
	 */
	int dedupe(Object &source, Index &next, Index last) EXCLUDES(pages_);
	/*
	 * Has holes from @first to @last instead of pages of its own that are all zeroes and that nobody is using, and instead of
	 * all that lies beyond the end. With write() locked out. Sleeps.
	 */
	void empty_again(Index first, Index last) EXCLUDES(pages_);
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
	/* Whether both are of one family, or the same. */
	bool is_relative_of(const Object &other) const
	{
		return this == &other || (pages_.has_relatives() && other.pages_.has_relatives() &&
		                          pages_.family() == other.pages_.family());
	}

	/* One write() at a time, so that appends do not overlap; above every other lock. 0, or -EINTR: a fatal signal ended the wait. */
	[[nodiscard]] int lock_writes() { return kapi_inode_lock_killable(inode_); }
	void unlock_writes() { kapi_inode_unlock(inode_); }
	bool try_lock_writes() { return kapi_inode_trylock(inode_); }
	/* A set of snapshots, of somebody who may write, waits until there is no write() to this object, and others, or does not any more. */
	void add_waiting_set(int n) { __atomic_fetch_add(&waiting_sets_, n, __ATOMIC_RELAXED); }
	/*
	 * Before a write(): those have a moment to go first. If all writes are shorter than that, the
	 * set finds none; and a set that waits for a write without end holds up the others no longer.
	 */
	void let_sets_go_first() const
	{
		for (int times = 10; times && !kapi_signal_pending() &&
		                     __atomic_load_n(&waiting_sets_, __ATOMIC_RELAXED);
		     times--)
			kapi_sleep_killable();
	}

	static void operator delete(void *p) { kapi_free_rcu(p); }

private:
	friend class Check; /* src/testing/check.cc */
	friend class SnapshotSet;
	friend class Objects;
	void list();
	void unlist();
	Object(inode *node, cowmem_space *space, Growth growth)
		: inode_{node},
		  pages_{kapi_inode_mapping(node), space},
		  cow_{kapi_default_cow()},
		  growth_{static_cast<unsigned char>(growth)}
	{
	}

	Growth own_growth() const
	{
		return static_cast<Growth>(__atomic_load_n(&growth_, __ATOMIC_RELAXED));
	}
	void set_growth(Growth growth)
	{
		__atomic_store_n(&growth_, static_cast<unsigned char>(growth), __ATOMIC_RELAXED);
	}
	void set_parent(const Object &parent)
	{
		__atomic_store_n(&parent_, kapi_inode_number(parent.inode_), __ATOMIC_RELAXED);
	}
	void grow(long long bytes, Growth most);
	static Object *create_at(inode *node, cowmem_space *space, Growth growth);
	static int create(const inode *like, cowmem_space *space, Growth growth, Object *&made);
	int create_relative(bool frozen, const inode *like, Object *&made);
	int create_relative(bool frozen, const file *by, file *&made);
	int give_tree(Object &made) REQUIRES(pages_);
	int give_snapshot(Object &made, CopyLimit limit) REQUIRES(pages_);
	bool may_restore(const Object &snapshot) const
	{
		return is_relative_of(snapshot) && !frozen_ && snapshot.frozen_;
	}
	int try_restore(Object &snapshot) EXCLUDES(pages_);
	int take_parts(Object &snapshot, Index &next, Index last, long long end) EXCLUDES(pages_);
	int dedupe_some(Object &then, Index first, Index last) EXCLUDES(pages_);
	bool is_for_nothing(Index index, const Seen &seen) const REQUIRES(pages_);
	bool is_left_over(Index index, bool &all) REQUIRES(pages_);
	bool empty_some(Index first, Index last) EXCLUDES(pages_);
	bool try_empty_again(Index first, Index last) EXCLUDES(pages_);
	int take_snapshot(Object &made, CopyLimit limit) EXCLUDES(pages_);
	int restore_part(Object &snapshot, const Tree::Part &part, long long end) EXCLUDES(pages_);

	static void zero_tail(folio *tail, long long end);
	bool cuts_what_is_not_own(long long bytes, bool write_is_locked_out, FolioRef &tail) const
		REQUIRES(pages_);
	/* @growth: null, if the object is to become larger only. */
	int change_size(long long bytes, const Growth *growth, bool write_is_locked_out)
		EXCLUDES(pages_);
	int try_change_size(long long bytes, const Growth *growth, bool write_is_locked_out,
	                    unsigned long &batches) EXCLUDES(pages_);
	Index last_batch(Index end) const REQUIRES(pages_);
	int cut_off(Index first, CopyLimits::Leaving &leaving) REQUIRES(pages_);
	int punch_some(Index first, Index last) EXCLUDES(pages_);
	/* Has what @other has besides pages: size, growth, store limit. With the lock of both held alone, or nobody else there. */
	void become_as(const Object &other);

	inode *const inode_;
	Object *next_ = nullptr, *previous_ = nullptr; /* of all objects */
	Pages pages_;
	unsigned long max_slots_ = ~0UL;
	unsigned int cow_;
	unsigned char growth_;  /* a Growth; of a snapshot, its origin's */
	bool frozen_ = false;   /* a snapshot */
	unsigned int huge_ = 0; /* COWMEM_HUGE_NEVER */
	int waiting_sets_ = 0;
	unsigned long parent_ = 0;
};

/* What a call says of an error of Pages::break_cow(). */
inline int error_of_break_cow(int error)
{
	return error == -KAPI_EHWPOISON ? -KAPI_EIO : error;
}

/* Holds off write() for a scope; or not: a fatal signal ended the wait, or it does not wait, and a write() was under way. */
class WriteLock {
public:
	explicit WriteLock(Object &object, bool waits = true)
	{
		if (waits ? !object.lock_writes() : object.try_lock_writes())
			object_ = &object;
	}
	~WriteLock()
	{
		if (object_)
			object_->unlock_writes();
	}
	WriteLock(const WriteLock &) = delete;
	WriteLock &operator=(const WriteLock &) = delete;
	explicit operator bool() const { return object_; }

private:
	Object *object_ = nullptr;
};

} /* namespace cowmem */

#endif /* COWMEM_OBJECT_H */
