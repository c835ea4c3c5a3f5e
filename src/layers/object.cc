// SPDX-License-Identifier: GPL-2.0
/* Objects (layers/object.h): their life, their size, and what shrinks them. */
#include "kernel/minmax.h"
#include "kernel/spinning.h"
#include "layers/objects.h"

namespace cowmem {

namespace {

/* How many indexes PUNCH and RESIZE take at once, while the faults of the object wait. */
constexpr Index at_once = Node::children * Node::entries;

/* Holds the inode's size still for a scope; nothing sleeps under it. */
class SizeLock {
public:
	explicit SizeLock(inode *node) : inode_{node} { kapi_inode_lock_size(inode_); }
	~SizeLock() { kapi_inode_unlock_size(inode_); }
	SizeLock(const SizeLock &) = delete;
	SizeLock &operator=(const SizeLock &) = delete;

private:
	inode *inode_;
};

/* The list of all objects: its lock is below all but i_lock. */
kapi_spinlock objects_lock;
Object *first_object, *last_object;

} /* namespace */

void Object::list()
{
	const Spinning lock{objects_lock};

	previous_ = last_object;
	(last_object ? last_object->next_ : first_object) = this;
	last_object = this;
}

void Object::unlist()
{
	const Spinning lock{objects_lock};

	(previous_ ? previous_->next_ : first_object) = next_;
	(next_ ? next_->previous_ : last_object) = previous_;
}

void Objects::let_go()
{
	if (at_)
		kapi_inode_put(at_->inode_);
	if (super_)
		kapi_super_put(super_);
}

/* One that is just going leaves the list soon, and is waited for: behind it the list goes on. Who was killed does not wait. */
void Objects::next()
{
	for (;;) {
		Object *found;
		super_block *super;
		bool kept;
		{
			const Spinning lock{objects_lock};

			found = at_ ? at_->next_ : first_object;
			super = found ? kapi_inode_super_try_get(found->inode_) : nullptr;
			kept = super && kapi_inode_try_get(found->inode_);
		}
		if (!kept && super)
			kapi_super_put(super);
		if (kept || !found || kapi_signal_pending()) {
			let_go();
			at_ = kept ? found : nullptr;
			super_ = kept ? super : nullptr;
			return;
		}
		kapi_sleep_killable();
		kapi_cond_resched();
	}
}

/* The object of @node, which has none; @space: what limits its pages, or null. Or null: no memory. */
Object *Object::create_at(inode *node, cowmem_space *space, Growth growth)
{
	auto *object = new (Gfp::kernel_account) Object{node, space, growth};

	if (object) {
		kapi_inode_set_object(node, object);
		object->list();
		kapi_count(COWMEM_COUNT_objects_created);
	}
	return object;
}

/*
 * @made: an object with an inode of its own, of which the caller has the reference: where @like
 * is, or, if that is null, where what has no name is. 0, -ENOMEM; -ENOSPC: there are as many
 * inodes as may be.
 */
int Object::create(const inode *like, cowmem_space *space, Growth growth, Object *&made)
{
	inode *node = nullptr;

	if (const int err = kapi_inode_create(like, &node))
		return err;
	made = create_at(node, space, growth);
	if (!made)
		kapi_inode_put(node);
	return made ? 0 : -KAPI_ENOMEM;
}

int Object::create_at(inode *node)
{
	cowmem_space *space = kapi_inode_space(node);
	Object *object = create_at(node, space, Growth::by_write);

	if (object && kapi_space_pinnable(space))
		object->pages_.set_pinnable();
	else if (object)
		object->set_huge(kapi_space_huge(space));
	return object ? 0 : -KAPI_ENOMEM;
}

void Object::set_huge(unsigned int huge)
{
	if (huge)
		kapi_large_begin();
	__atomic_store_n(&huge_, huge, __ATOMIC_RELAXED);
}

int Object::open(file *f)
{
	Object *object;

	if (const int err = create(nullptr, nullptr, Growth::by_use, object))
		return err;
	object->set_huge(kapi_default_huge());
	kapi_file_bind(f, object->inode_, object);
	return 0;
}

int Object::create_file(const char *name, Nature nature, file *&made)
{
	Object *object;

	if (const int err = create(nullptr, nullptr, Growth::by_write, object))
		return err;
	if (nature.pinnable)
		object->pages_.set_pinnable();
	object->set_huge(nature.huge || nature.pinnable ? nature.huge : kapi_default_huge());

	const int err = kapi_file_create(object->inode_, nullptr, name, true, &made);

	if (err)
		object->discard();
	return err;
}

int Object::make_file(const file *by, file *&made) const
{
	kapi_inode_get(inode_);

	const int err = kapi_file_create(inode_, by, "cowmem", kapi_file_writable(by), &made);

	if (err)
		kapi_inode_put(inode_);
	return err;
}

Object::~Object()
{
	unlist();
	pages_.leave_family();
	pages_.remove_all();
	if (pages_.family())
		pages_.family()->put();
	kapi_count(COWMEM_COUNT_objects_freed);
}

/* @most: how it may grow at most, that it grows now. */
void Object::grow(long long bytes, Growth most)
{
	SizeLock lock{inode_};

	if (growth() <= most && bytes > size())
		kapi_inode_set_size(inode_, bytes);
}

bool Object::covers(Index index, Index mapping_end)
{
	if (index < index_up(size()))
		return true;
	if (growth() != Growth::by_use)
		return false;
	/* mmap() grew the object, unless the kernel merged or moved the mapping itself. */
	grow_by_use(bytes_at(mapping_end));
	return index < index_up(size());
}

int Object::change_size(long long bytes, const Growth *growth, bool write_is_locked_out)
{
	unsigned long long count = 0;
	/* Where faults make it grow as fast, what is left then goes at once. */
	unsigned long batches = index_up(size()) / at_once;
	int err;

	while ((err = try_change_size(bytes, growth, write_is_locked_out, batches)) ==
	       -KAPI_EAGAIN) {
		const long long end = min_of(bytes, size());

		if (kapi_signal_pending())
			return -KAPI_EINTR;
		if (end % KAPI_PAGE_SIZE == 0)
			continue; /* a CopyLimit came in between, or there is more to cut off */
		err = pages_.break_cow(index_of(end));
		if (!err)
			err = pages_.swap_in(index_of(end), index_of(end), count);
		if (err)
			return error_of_break_cow(err);
	}
	return err;
}

/*
 * Whether a new end at @bytes cuts a page that has to become its own, or be brought in, first;
 * otherwise the page that is cut, if one is, goes to @tail, and does not go out any more.
 */
bool Object::cuts_what_is_not_own(long long bytes, bool write_is_locked_out, FolioRef &tail) const
{
	const long long end = min_of(bytes, size());

	tail = {};
	/* Of one that grows a write may be at the end right now. */
	const bool cuts = write_is_locked_out || growth() == Growth::none || bytes < size();

	if (!cuts || end % KAPI_PAGE_SIZE == 0)
		return false;

	Seen seen = pages_.see(index_of(end));

	if (seen && !(seen.page && pages_.owns(seen.page.get())))
		return true;
	tail = std::move(seen.page);
	return false;
}

/* Where the last batch of what lies behind @end begins; or @end. Where nothing is, a batch takes more. */
Index Object::last_batch(Index end) const
{
	const Index stop = index_up(size());

	if (stop <= end + at_once)
		return end;

	Index first = (stop - 1) - (stop - 1) % at_once;

	for (Index step = at_once; first > end; step *= 2) {
		const Index below = first - end > step ? first - step : end;

		if (pages_.next_data(below, first - 1) != no_index)
			return first;
		first = below;
	}
	return end;
}

/*
 * -EAGAIN: the page that is to be cut has to become its own, or be brought in, first, and nothing
 * changed; or one of @batches was cut off, from the end, and there are more.
 */
int Object::try_change_size(long long bytes, const Growth *growth, bool write_is_locked_out,
                            unsigned long &batches)
{
	CopyLimits::Leaving leaving{pages_};
	FolioRef tail;

	if (!pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};
	const Index end = index_up(bytes);
	long long old;

	if (!growth && bytes <= size())
		return 0;
	if (!growth && this->growth() == Growth::none)
		return -KAPI_ENOSPC; /* RESIZE was faster */
	/* The page that is cut is copied then, which leaves it to the snapshots, too. */
	if (cuts_what_is_not_own(bytes, write_is_locked_out, tail)) {
		const int err = leaving.may_leave(index_of(min_of(bytes, size())), no_index);

		return err ? err : -KAPI_EAGAIN;
	}
	if (const int err = leaving.may_leave(end, no_index))
		return err;
	if (!pages_.tree().own_way(end))
		return -KAPI_ENOMEM;
	/* The faults of the object wait for no more than a batch. */
	if (const Index first = batches ? last_batch(end) : end; first > end) {
		batches--;
		tail = {};
		return cut_off(first, leaving);
	}
	{
		SizeLock size_lock{inode_};

		old = size();
		if (!growth && bytes <= old)
			return 0; /* by its use */
		if (cuts_what_is_not_own(bytes, write_is_locked_out, tail))
			return -KAPI_EAGAIN;
		/* What a mapping stored behind the end is gone before the end moves. */
		if (tail)
			zero_tail(tail.get(), min_of(bytes, old));
		kapi_inode_set_size(inode_, bytes);
		if (growth)
			set_growth(*growth);
	}
	tail = {}; /* a reference keeps a large folio as it is */
	pages_.remove(end, no_index, PrivateCopies::zap);
	leaving.done();
	return 0;
}

/* The object ends at page @first, or before that. -EAGAIN: done, and there is more to do; an error: nothing changed. */
int Object::cut_off(Index first, CopyLimits::Leaving &leaving)
{
	if (const int err = leaving.may_leave(first, no_index))
		return err;
	if (!pages_.tree().own_way(first))
		return -KAPI_ENOMEM;
	{
		SizeLock size_lock{inode_};

		kapi_inode_set_size(inode_, min_of(size(), bytes_at(first)));
	}
	pages_.remove(first, no_index, PrivateCopies::zap);
	leaving.done();
	return -KAPI_EAGAIN;
}

/* Zeroes @tail, the last page, from byte @end on. */
void Object::zero_tail(folio *tail, long long end)
{
	const size_t kept = static_cast<size_t>(end) % KAPI_PAGE_SIZE;

	if (!kapi_folio_poisoned(tail)) {
		kapi_folio_zero_range(tail, kept, KAPI_PAGE_SIZE - kept);
		kapi_folio_mark_written(tail);
	}
}

bool Object::zero_behind(long long end, long long stop, folio *page)
{
	Shared lock{pages_};
	SizeLock size_lock{inode_};

	if (size() != end || pages_.resident(index_of(end)) != page || !pages_.owns(page))
		return false;
	kapi_folio_zero_range(page, static_cast<size_t>(end) % KAPI_PAGE_SIZE,
	                      static_cast<size_t>(stop - end));
	kapi_folio_mark_written(page);
	return true;
}

/* A batch of punch(). -EAGAIN: once more. */
int Object::punch_some(Index first, Index last)
{
	CopyLimits::Leaving leaving{pages_};

	if (!pages_.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages_, held};

	if (const int err = leaving.may_leave(first, last))
		return err;
	if (!pages_.tree().own_way(first) || !pages_.tree().own_way(last))
		return -KAPI_ENOMEM;
	pages_.remove(first, last, PrivateCopies::keep);
	leaving.done();
	return 0;
}

int Object::punch(Index &next, Index last)
{
	while (next <= last) {
		const Index data = pages_.next_data(next, last);
		const Index end =
			data == no_index ? last : min_of(last, data - data % at_once + at_once - 1);
		const int err = punch_some(next, end);

		if (err && err != -KAPI_EAGAIN)
			return err;
		if (!err)
			next = end + 1;
		if (next <= last && kapi_signal_pending())
			return -KAPI_EINTR;
	}
	return 0;
}

void Object::become_as(const Object &other)
{
	/* A fault that makes the object grow sees both, size and growth, or neither. */
	SizeLock lock{inode_};

	kapi_inode_set_size(inode_, other.size());
	set_growth(other.own_growth());
	set_max_slots(other.max_slots());
}

} /* namespace cowmem */

extern "C" void cowmem_objects_init(void)
{
	kapi_spinlock_init(&cowmem::objects_lock);
}

/* file_operations::open: a fresh object for each. */
extern "C" int cowmem_open(inode *, file *f)
{
	return cowmem::Object::open(f);
}

/* file_operations::release: the last descriptor and mapping of @f are gone. */
extern "C" int cowmem_release(inode *, file *f)
{
	cowmem::Object::close(f);
	return 0;
}

/* The object of @node, a new regular file of a mounted file system. 0, -ENOMEM. */
extern "C" int cowmem_create_at(inode *node)
{
	return cowmem::Object::create_at(node);
}

/* From evict_inode: nobody can reach the object any more. Null if open() failed midway. */
extern "C" void cowmem_evict(void *object)
{
	delete static_cast<cowmem::Object *>(object);
}
