// SPDX-License-Identifier: GPL-2.0
/* Objects (layers/object.h): their life, their size, and what shrinks them. */
#include "kernel/minmax.h"
#include "layers/object.h"

namespace cowmem {

namespace {

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

} /* namespace */

/* With a reference to the inode, the caller's. Null: no memory, and the reference to @family is gone. */
Object *Object::create(Family &family, unsigned int cow)
{
	inode *node = kapi_inode_create();

	if (!node) {
		family.put();
		return nullptr;
	}

	auto *object = new (Gfp::kernel_account) Object{node, family, cow};

	if (!object)
		family.put();
	else
		kapi_count(COWMEM_COUNT_objects_created);
	if (!object || !object->pages_.create()) {
		delete object;
		kapi_inode_put(node);
		return nullptr;
	}
	kapi_inode_set_object(node, object);
	return object;
}

int Object::open(file *f)
{
	Family *family = Family::create();
	Object *object = family ? create(*family, kapi_default_cow()) : nullptr;

	if (!object)
		return -KAPI_ENOMEM;
	object->pages_.set_in_use(true);
	kapi_file_bind(f, object->inode_, object);
	return 0;
}

void Object::close(const file *f)
{
	Object &object = of(f);
	Pages *gone;
	bool dropped;

	/* Only who has the file could give it relatives. */
	if (!object.pages_.has_relatives())
		return kapi_inode_put(object.inode_);

	/* The file's reference is the tree's: who comes next may free all of it while we unlock. */
	Family &family = object.family_.get();
	{
		Exclusive lock{object.pages_};

		dropped = object.pages_.dropped();
		object.pages_.set_in_use(false);
		gone = object.pages_.left() ? nullptr : object.pages_.leave();
	}
	Pages::put_gone(gone);
	if (dropped)
		kapi_inode_put(object.inode_);
	family.put();
}

Object::~Object()
{
	pages_.remove_all();
	family_.put();
	kapi_count(COWMEM_COUNT_objects_freed);
}

void Object::grow(long long bytes)
{
	SizeLock lock{inode_};

	if (!fixed_size() && bytes > size())
		kapi_inode_set_size(inode_, bytes);
}

bool Object::covers(Index index, const vm_area_struct *vma)
{
	if (index < index_up(size()))
		return true;
	if (fixed_size())
		return false;
	/* mmap() grew the object, unless the kernel merged or moved the mapping itself. */
	grow(bytes_at(kapi_vma_end_index(vma)));
	return index < index_up(size());
}

int Object::resize(long long bytes, bool grows)
{
	unsigned long long count = 0;
	int err;

	while ((err = try_resize(bytes, grows)) == -KAPI_EAGAIN) {
		const Index cut = index_of(min_of(bytes, size()));

		err = pages_.own(cut);
		if (!err)
			err = pages_.bring_in(cut, cut, count);
		if (err)
			return error_of_own(err);
	}
	return err;
}

/* Whether a new end at @bytes cuts a page that has to be brought in first. */
bool Object::cuts_what_is_out(long long bytes) const
{
	return (fixed_size_ || bytes < size()) && tail_is_out(min_of(bytes, size()));
}

/* -EAGAIN: the page that is to be cut has to be brought in first, and nothing changed. */
int Object::try_resize(long long bytes, bool grows)
{
	Pages *gone = nullptr;
	int err = 0;
	{
		Exclusive lock{pages_};
		long long old = 0;
		bool cuts = false;
		/* The page that is cut is copied then, which leaves it to the snapshots, too. */
		const Index left =
			cuts_what_is_out(bytes) ? index_of(min_of(bytes, size())) : index_up(bytes);

		do
			err = pages_.count_left(left, no_index, gone);
		while (err == -KAPI_EAGAIN);
		if (!err) {
			SizeLock size_lock{inode_};

			old = size();
			/*
			 * What a mapping stored behind the end is gone when the end moves. (An unset
			 * size that is only fixed further out may have a write at its end right now.)
			 */
			cuts = fixed_size_ || bytes < old;
			if (cuts_what_is_out(bytes)) {
				err = -KAPI_EAGAIN;
			} else {
				kapi_inode_set_size(inode_, bytes);
				__atomic_store_n(&fixed_size_, !grows, __ATOMIC_RELAXED);
			}
		}
		if (err == -KAPI_EAGAIN)
			pages_.uncount_left(left, no_index);
		if (!err) {
			if (cuts)
				zero_tail(min_of(bytes, old));
			pages_.cut_parent(index_up(bytes));
			pages_.remove(index_up(bytes), no_index, PrivateCopies::zap);
		}
	}
	Pages::put_gone(gone);
	return err;
}

/* Whether byte @end is within a page that is a snapshot's, or not in memory, but in the store. */
bool Object::tail_is_out(long long end) const
{
	const Index index = index_of(end);

	return end % KAPI_PAGE_SIZE && !pages_.at(index) && !pages_.is_hole(index);
}

/* Zeroes the last page from byte @end on, if that is within a page that is there. */
void Object::zero_tail(long long end)
{
	const size_t kept = static_cast<size_t>(end) % KAPI_PAGE_SIZE;
	const FolioRef tail = pages_.get(index_of(end));

	if (kept && tail && !kapi_folio_poisoned(tail.get())) {
		kapi_folio_zero_range(tail.get(), kept, KAPI_PAGE_SIZE - kept);
		kapi_folio_mark_written(tail.get());
	}
}

/* A batch of punch(): @next is behind it then. -EAGAIN: again, with as many as @missing in @holes. */
int Object::punch_some(Index &next, Index last, Holes &holes, unsigned int &missing)
{
	Pages *gone = nullptr;
	int err;
	{
		Exclusive lock{pages_};

		err = pages_.hide_parent(next, last, holes, missing, gone);
		if (!err)
			pages_.remove(next, last, PrivateCopies::keep);
	}
	Pages::put_gone(gone);
	if (!err)
		next = last + 1;
	return err;
}

int Object::punch(Index &next, Index last)
{
	Holes holes;
	unsigned int missing = 0;
	int err = 0;

	while (!err && next <= last) {
		err = punch_some(next, last, holes, missing);
		if (err == -KAPI_EAGAIN)
			err = holes.have(missing) ? 0 : -KAPI_ENOMEM;
		if (!err && next <= last && kapi_signal_pending())
			err = -KAPI_EINTR;
	}
	return err;
}

void Object::become_as(const Object &other)
{
	/* A fault that makes the object grow sees both, size and growth, or neither. */
	SizeLock lock{inode_};

	kapi_inode_set_size(inode_, other.size());
	__atomic_store_n(&fixed_size_, __atomic_load_n(&other.fixed_size_, __ATOMIC_RELAXED),
	                 __ATOMIC_RELAXED);
	set_max_slots(other.max_slots());
}

} /* namespace cowmem */

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

/* From evict_inode: nobody can reach the object any more. Null if open() failed midway. */
extern "C" void cowmem_evict(void *object)
{
	delete static_cast<cowmem::Object *>(object);
}
