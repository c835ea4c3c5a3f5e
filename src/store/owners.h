/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Owners: whom slots and their bytes are charged to; and shares: how much of the store a memory cgroup may have.
 *
 * A slot has the number of its owner, 4 bytes, and no reference on a cgroup. There is an owner for each obj_cgroup that has
 * slots, and its count of slots is its count of references: the last slot takes the owner along. What is charged to nobody is
 * owner 0's, which is always there.
 *
 * An owner is of a group, and groups are a tree as memory cgroups are: each has as many bytes as all below it. A group is that of one
 * cgroup for ever. When the cgroup is removed, its obj_cgroup is the parent's from then on, which is charged; the group
 * stays a child of the parent's until its last slot goes. So nothing is added up anew then, and no slot keeps a cgroup.
 *
 * No group has more than `share` times what its parent's share has left, the limit of the store being the root's share. So there is something
 * left at each level, however much is wanted: of the store a sole group can have 8/9, if `share` is 8, two have 8/17 each, and who
 * comes later finds some. Where less than that is in use nobody is asked for his share.
 * Counterpart: the dynamic thresholds by which switches share their buffers.
 *
 * Look-ups are lockless. The lock, which is below all others, is for owners and groups that come and go; it is taken in memory reclaim, and
 * nothing that is allocated with it held sleeps.
 */
#ifndef COWMEM_OWNERS_H
#define COWMEM_OWNERS_H

#include "kernel/alloc.h"

namespace cowmem {

/* A memory cgroup that has something in the store, or one above such. Each keeps the one that it is in. */
class Group : public Allocated {
public:
	constexpr explicit Group(Group *parent) : parent_{parent} {}
	Group(const Group &) = delete;
	Group &operator=(const Group &) = delete;

	/* Bytes of memory that all below it have, slots included. */
	unsigned long used() const { return __atomic_load_n(&used_, __ATOMIC_RELAXED); }
	/* @bytes more for it, and for each that it is in; less, if that is negative. */
	void add(unsigned long bytes)
	{
		for (Group *at = this; at; at = at->parent_)
			__atomic_fetch_add(&at->used_, bytes, __ATOMIC_RELAXED);
	}
	/* How many bytes it may have now, of a store that may have @limit. */
	unsigned long most(unsigned long limit, unsigned long share) const;
	/* Whether it may have more than it has. Once it may not, only when it has a tenth less than it may. */
	bool has_share(unsigned long limit, unsigned long share);

	/* Cgroups that are deeper are of the one there. */
	static constexpr unsigned int max_level = 32;

private:
	friend class Owners;

	void add_slots(unsigned long slots)
	{
		for (Group *at = this; at; at = at->parent_)
			at->slots_ += slots;
	}

	Group *parent_;
	unsigned long used_ = 0;
	unsigned long references_ = 1; /* of owners, and of groups in it; with the lock held */
	unsigned long serial_ = 0;     /* of its cgroup: no other ever has it */
	unsigned long id_ = 0;         /* the inode of its cgroup's directory */
	unsigned long slots_ = 0;      /* of all below it, as last added up; with the lock held */
	bool is_over_ = false;
};

/* One that slots are charged to. */
class Owner : public Allocated {
public:
	constexpr Owner(Group *group, unsigned int number, obj_cgroup *cgroup)
		: group_{group}, number_{number}, cgroup_{cgroup}
	{
	}
	Owner(const Owner &) = delete;
	Owner &operator=(const Owner &) = delete;

	unsigned int number() const { return number_; }
	/* The cgroup, or null; it stays as long as a slot does. */
	obj_cgroup *cgroup() const { return cgroup_; }
	Group &group() const { return *group_; }

	/* Charges @bytes to it, also beyond the cgroup's limit. False: they could not be. */
	[[nodiscard]] bool charge(unsigned long bytes)
	{
		if (!kapi_owner_charge(cgroup_, bytes))
			return false;
		group_->add(bytes);
		return true;
	}
	void uncharge(unsigned long bytes)
	{
		kapi_owner_uncharge(cgroup_, bytes);
		group_->add(-bytes);
	}

private:
	friend class Owners;

	/* A slot more for one that has some. */
	bool try_get()
	{
		unsigned long slots = __atomic_load_n(&slots_, __ATOMIC_RELAXED);

		while (slots)
			if (__atomic_compare_exchange_n(&slots_, &slots, slots + 1, false,
			                                __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
				return true;
		return false;
	}

	/* These two are lost as it is freed: no look-up reads them. */
	Group *group_;
	unsigned int number_;
	unsigned long slots_ = 0;
	obj_cgroup *cgroup_;
	Owner *next_ = nullptr; /* in its bucket */
};

/* What is told of a group. */
struct GroupFigures {
	unsigned long id;     /* the inode of its cgroup's directory; 0: what is in none */
	unsigned long slots;  /* of all below it, as the rest */
	unsigned long memory; /* bytes that it has, slots included */
	unsigned long most;   /* bytes that it may have now */
};

class Owners {
public:
	constexpr Owners() = default;

	void init();
	/* No slot is left. */
	void exit();

	/*
	 * The owner of a slot more, of a page that is charged to @cgroup, or to nobody; the caller keeps the page. Null: no memory for the
	 * first one, which is had as that of a slot. Never sleeps.
	 */
	Owner *get(obj_cgroup *cgroup, bool reserves);
	/* A slot less. Never sleeps. */
	void put(Owner &owner)
	{
		if (!__atomic_sub_fetch(&owner.slots_, 1, __ATOMIC_ACQ_REL) && owner.number_)
			remove(owner);
	}
	/* The one that a slot says, which is kept. */
	Owner &at(unsigned int number)
	{
		return number ? *static_cast<Owner *>(kapi_table_get(&numbers_, number)) : nobody_;
	}

	/*
	 * What the first group has whose serial number is @from or higher, and that number. False: there is none. With @from 0 the slots of
	 * all are added up; later calls tell of that. @limit, @share: as of Group::most().
	 */
	bool next(unsigned long &from, unsigned long limit, unsigned long share,
	          GroupFigures &found);

private:
	static constexpr unsigned int bucket_bits = 8;

	static unsigned int bucket_of(const obj_cgroup *cgroup)
	{
		return static_cast<unsigned int>(
			(reinterpret_cast<unsigned long>(cgroup) * 0x9e3779b97f4a7c15UL) >>
			(64 - bucket_bits));
	}
	Owner *find(const obj_cgroup *cgroup) const;
	Owner *make(obj_cgroup *cgroup, bool reserves);
	bool insert(Owner &fresh, bool reserves);
	void remove(Owner &owner);
	Group *get_group(obj_cgroup *cgroup, bool reserves);
	Group *make_group(const mem_cgroup *cgroup, bool reserves);
	void put_group(Group *group);
	void add_slots_up();

	kapi_spinlock lock_ = {};
	kapi_table numbers_ = {}; /* of owners */
	kapi_table serials_ = {}; /* of groups */
	Owner *bucket_[1U << bucket_bits] = {};
	Group root_{nullptr};
	Group of_nobody_{&root_}; /* also what is the root cgroup's */
	Owner nobody_{&of_nobody_, 0, nullptr};
};

extern Owners owners;

} /* namespace cowmem */

#endif /* COWMEM_OWNERS_H */
