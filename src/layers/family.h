/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A family of objects: those that can share pages, since one is a snapshot or a clone of
 * the other. It is the home of the pages that more than one of them may see.
 *
 * No fault takes a lock of it. Its spinlock keeps the list of members for who adds or removes
 * one; who walks along the list is under RCU, and keeps the member that is looked at.
 */
#ifndef COWMEM_FAMILY_H
#define COWMEM_FAMILY_H

#include "kernel/alloc.h"
#include "kernel/spinning.h"
#include "store/home.h"

namespace cowmem {

class Family;
class Pages;

/* The home of what is shared, with an inode of its own that has no file. */
class SharedHome : public Allocated, public Home {
public:
	/* Null: no memory. Sleeps. */
	static SharedHome *create(Family &family);
	~SharedHome() { kapi_inode_put(inode_); }

	Family *family() const { return &family_; }

private:
	SharedHome(inode *node, Family &family);

	inode *const inode_;
	Family &family_;
};

class Family : public Allocated {
public:
	/*
	 * With the one reference that the caller has then; @space: what limits its pages, or null.
	 * Sleeps. Or null: no memory.
	 */
	static Family *create(cowmem_space *space);
	/* Another reference, for who has one. */
	Family &get()
	{
		kapi_ref_get(&references_);
		return *this;
	}
	void put()
	{
		if (kapi_ref_put(&references_))
			delete this;
	}
	Family(const Family &) = delete;
	Family &operator=(const Family &) = delete;

	/* What limits the pages of its members, or null. */
	cowmem_space *space() const { return space_; }
	/* A member has become one that was an object before: what all share is no single member's business any more. */
	void set_joined() { __atomic_store_n(&joined_, true, __ATOMIC_RELAXED); }
	bool joined() const { return __atomic_load_n(&joined_, __ATOMIC_RELAXED); }
	/* Makes the home, if there is none yet. False: no memory. Sleeps. */
	[[nodiscard]] bool make_home();
	/* The home, or null: no member has relatives yet. */
	SharedHome *home() const { return __atomic_load_n(&home_, __ATOMIC_ACQUIRE); }

	/* Makes both members, if they are not. False: there are as many as may be. Never sleeps. */
	[[nodiscard]] bool add(Pages &origin, Pages &made);
	/* @gone is no member any more, and nobody keeps it when this returns. Sleeps. */
	void remove(Pages &gone);
	unsigned long members() const { return __atomic_load_n(&members_, __ATOMIC_RELAXED); }

private:
	friend class Members;
	explicit Family(cowmem_space *space) : space_{space} { kapi_spinlock_init(&lock_); }
	~Family() { delete home_; }
	void link(Pages &pages);

	kapi_refcount references_; /* one for each object */
	cowmem_space *const space_;
	bool joined_ = false;
	SharedHome *home_ = nullptr;
	Pages *first_ = nullptr;
	unsigned long members_ = 0;
	kapi_spinlock lock_;
};

/*
 * The members of a family, one after the other, each kept while it is looked at. Who becomes
 * one meanwhile may be missed, and who is one may come twice.
 */
class Members {
public:
	/* Of no family there are none. */
	explicit Members(const Family *family);
	~Members();
	Members(const Members &) = delete;
	Members &operator=(const Members &) = delete;

	/* Whether there is one. */
	explicit operator bool() const { return at_; }
	Pages &operator*() const { return *at_; }
	Pages *operator->() const { return at_; }
	void next();

private:
	void keep(Pages *first);

	const Family *const family_;
	Pages *at_ = nullptr;
};

} /* namespace cowmem */

#endif /* COWMEM_FAMILY_H */
