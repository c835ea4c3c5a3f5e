// SPDX-License-Identifier: GPL-2.0
/* Owners of slots, and their shares of the store (store/owners.h). */
#include "store/owners.h"
#include "kernel/minmax.h"
#include "kernel/rcu.h"
#include "kernel/spinning.h"

namespace cowmem {

constinit Owners owners;

/* From the root down, since what one may have depends on what those have that it is in. */
[[gnu::noinline]] unsigned long Group::most(unsigned long limit, unsigned long share) const
{
	const Group *way[max_level + 1];
	unsigned int n = 0;

	for (const Group *at = parent_; at; at = at->parent_)
		way[n++] = at;
	while (n) {
		const unsigned long used = way[--n]->used();

		if (used >= limit)
			return 0;
		if (limit - used <= limit / share)
			limit = (limit - used) * share;
	}
	return limit;
}

bool Group::has_share(unsigned long limit, unsigned long share)
{
	const bool was_over = __atomic_load_n(&is_over_, __ATOMIC_RELAXED);
	const unsigned long most = this->most(limit, share);
	const bool is_over = used() >= (was_over ? most - most / 10 : most);

	if (is_over != was_over)
		__atomic_store_n(&is_over_, is_over, __ATOMIC_RELAXED);
	return !is_over;
}

void Owners::init()
{
	kapi_spinlock_init(&lock_);
	kapi_table_init(&numbers_);
	kapi_table_init(&serials_);
}

/* What is left would be a slot that was freed, and uncharged something else than it was charged. */
void Owners::exit()
{
	kapi_warn_if(root_.used() || __atomic_load_n(&nobody_.slots_, __ATOMIC_RELAXED));
	kapi_table_destroy(&serials_);
	kapi_table_destroy(&numbers_);
}

/* One that has no slot any more is about to be removed, and is passed over. */
Owner *Owners::find(const obj_cgroup *cgroup) const
{
	const Rcu scope;

	for (Owner *at = __atomic_load_n(&bucket_[bucket_of(cgroup)], __ATOMIC_CONSUME); at;
	     at = __atomic_load_n(&at->next_, __ATOMIC_CONSUME))
		if (at->cgroup_ == cgroup && at->try_get())
			return at;
	return nullptr;
}

Owner *Owners::get(obj_cgroup *cgroup, bool reserves)
{
	if (!cgroup) {
		__atomic_fetch_add(&nobody_.slots_, 1, __ATOMIC_RELAXED);
		return &nobody_;
	}
	Owner *const found = find(cgroup);

	return found ? found : make(cgroup, reserves);
}

/* Another CPU may be faster. */
[[gnu::noinline]] Owner *Owners::make(obj_cgroup *cgroup, bool reserves)
{
	auto *fresh = new (reserves ? Gfp::nowait_reserves : Gfp::nowait) Owner{nullptr, 0, cgroup};
	Owner *found = nullptr;

	if (!fresh)
		return nullptr;
	{
		const Spinning scope{lock_};

		found = find(cgroup);
		if (!found && insert(*fresh, reserves))
			return fresh;
	}
	delete fresh;
	return found;
}

/* With the lock held. False: no memory. */
bool Owners::insert(Owner &fresh, bool reserves)
{
	Owner *&bucket = bucket_[bucket_of(fresh.cgroup_)];

	fresh.group_ = get_group(fresh.cgroup_, reserves);
	if (!fresh.group_)
		return false;
	if (!kapi_table_number(&numbers_, &fresh, &fresh.number_, reserves)) {
		put_group(fresh.group_);
		return false;
	}
	kapi_owner_get(fresh.cgroup_);
	fresh.slots_ = 1;
	fresh.next_ = bucket;
	__atomic_store_n(&bucket, &fresh, __ATOMIC_RELEASE);
	return true;
}

/* It has no slot any more, and gets none. Whoever finds another in its bucket may still be on it. */
[[gnu::noinline]] void Owners::remove(Owner &owner)
{
	{
		const Spinning scope{lock_};
		Owner **at = &bucket_[bucket_of(owner.cgroup_)];

		while (*at != &owner)
			at = &(*at)->next_;
		__atomic_store_n(at, owner.next_, __ATOMIC_RELAXED);
		kapi_table_remove(&numbers_, owner.number_);
		put_group(owner.group_);
	}
	kapi_owner_put(owner.cgroup_);
	kapi_node_free(&owner);
}

/*
 * The group of the cgroup that @cgroup is of now, and with it those above, which are made where there are none. With the lock held. Null: no memory.
 * RCU keeps the cgroup, also if it is just being removed; what is above it, it keeps itself.
 */
Group *Owners::get_group(obj_cgroup *cgroup, bool reserves)
{
	const Rcu scope;
	const mem_cgroup *at = kapi_owner_group(cgroup);
	Group *first = nullptr, **link = &first;

	while (at && kapi_group_level(at) > Group::max_level)
		at = kapi_group_parent(at);
	for (; at; at = kapi_group_parent(at)) {
		auto *group =
			static_cast<Group *>(kapi_table_get(&serials_, kapi_group_serial(at)));

		if (group) {
			group->references_++;
			*link = group;
			return first;
		}
		*link = make_group(at, reserves);
		if (!*link) {
			put_group(first);
			return nullptr;
		}
		link = &(*link)->parent_;
	}

	Group &top = first ? root_ : of_nobody_;

	top.references_++;
	*link = &top;
	return first;
}

/* With a reference, and in no other yet. */
Group *Owners::make_group(const mem_cgroup *cgroup, bool reserves)
{
	auto *made = new (reserves ? Gfp::nowait_reserves : Gfp::nowait) Group{nullptr};

	if (!made)
		return nullptr;
	made->serial_ = kapi_group_serial(cgroup);
	made->id_ = kapi_group_id(cgroup);
	if (kapi_table_put(&serials_, made->serial_, made, reserves))
		return made;
	delete made;
	return nullptr;
}

/* With the lock held. Also of one that is in none, since there was no memory for that. */
void Owners::put_group(Group *group)
{
	while (group && !--group->references_) {
		Group *const parent = group->parent_;

		kapi_table_remove(&serials_, group->serial_);
		delete group;
		group = parent;
	}
}

/* With the lock held. */
void Owners::add_slots_up()
{
	unsigned long at = 0;

	root_.slots_ = of_nobody_.slots_ = 0;
	for (; auto *group = static_cast<Group *>(kapi_table_next(&serials_, &at)); at++)
		group->slots_ = 0;
	at = 0;
	of_nobody_.add_slots(__atomic_load_n(&nobody_.slots_, __ATOMIC_RELAXED));
	for (; auto *owner = static_cast<const Owner *>(kapi_table_next(&numbers_, &at)); at++)
		owner->group_->add_slots(__atomic_load_n(&owner->slots_, __ATOMIC_RELAXED));
}

bool Owners::next(unsigned long &from, unsigned long limit, unsigned long share,
                  GroupFigures &found)
{
	const Spinning scope{lock_};
	const Group *group = &of_nobody_;

	if (!from)
		add_slots_up();
	if (from || !of_nobody_.slots_) {
		group = static_cast<const Group *>(kapi_table_next(&serials_, &from));
		if (!group)
			return false;
	}
	found = {group->id_, group->slots_, group->used(),
	         share ? group->most(limit, share) : limit};
	return true;
}

} /* namespace cowmem */
