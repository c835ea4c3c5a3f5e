// SPDX-License-Identifier: GPL-2.0
/* Families (layers/family.h). */
#include <linux/cowmem.h>

#include "layers/pages.h"

namespace cowmem {

SharedHome::SharedHome(inode *node, Family &family)
	: Home{kapi_inode_mapping(node), family.space(), true}, inode_{node}, family_{family}
{
}

/* Its inode is none of a mounted file system's, which has no file of it. */
SharedHome *SharedHome::create(Family &family)
{
	inode *node = nullptr;

	if (kapi_inode_create(nullptr, &node))
		return nullptr;

	auto *made = new (Gfp::kernel_account) SharedHome{node, family};

	if (!made)
		kapi_inode_put(node);
	return made;
}

Family *Family::create(cowmem_space *space)
{
	auto *family = new (Gfp::kernel_account) Family{space};

	if (family)
		kapi_ref_init(&family->references_);
	return family;
}

bool Family::make_home()
{
	SharedHome *none = nullptr, *made;

	if (home())
		return true;
	made = SharedHome::create(*this);
	if (made && !__atomic_compare_exchange_n(&home_, &none, made, false, __ATOMIC_ACQ_REL,
	                                         __ATOMIC_ACQUIRE))
		delete made;
	return made;
}

void Family::link(Pages &pages)
{
	if (pages.is_member_)
		return;
	pages.is_member_ = true;
	pages.next_member_ = first_;
	if (first_)
		first_->previous_member_ = &pages;
	__atomic_store_n(&first_, &pages, __ATOMIC_RELEASE);
	__atomic_store_n(&members_, members_ + 1, __ATOMIC_RELAXED);
}

bool Family::add(Pages &origin, Pages &made)
{
	const Spinning lock{lock_};

	if (members_ >= COWMEM_LAYERS_MAX)
		return false;
	link(origin);
	link(made);
	return true;
}

/* A walk that is at it goes on from the first one, as its links may be old. */
void Family::remove(Pages &gone)
{
	if (!gone.is_member_)
		return;
	{
		const Spinning lock{lock_};

		__atomic_store_n(&gone.has_left_, true, __ATOMIC_RELEASE);
		if (gone.next_member_)
			gone.next_member_->previous_member_ = gone.previous_member_;
		__atomic_store_n(gone.previous_member_ ? &gone.previous_member_->next_member_
		                                       : &first_,
		                 gone.next_member_, __ATOMIC_RELEASE);
		__atomic_store_n(&members_, members_ - 1, __ATOMIC_RELAXED);
	}
	if (members() == 1)
		kapi_wake_pollers();
	kapi_users_put_and_wait(&gone.users_);
}

Members::Members(const Family *family) : family_{family}
{
	if (!family)
		return;

	const Rcu rcu;

	keep(__atomic_load_n(&family_->first_, __ATOMIC_CONSUME));
}

Members::~Members()
{
	if (at_)
		kapi_users_put(&at_->users_);
}

/* The first from there on that can be kept; under RCU. */
void Members::keep(Pages *first)
{
	at_ = first;
	while (at_ && !kapi_users_try_get(&at_->users_))
		at_ = __atomic_load_n(&at_->next_member_, __ATOMIC_CONSUME);
}

void Members::next()
{
	Pages *const last = at_;
	{
		const Rcu rcu;

		keep(__atomic_load_n(__atomic_load_n(&last->has_left_, __ATOMIC_ACQUIRE)
		                             ? &family_->first_
		                             : &last->next_member_,
		                     __ATOMIC_CONSUME));
	}
	kapi_users_put(&last->users_);
}

} /* namespace cowmem */
