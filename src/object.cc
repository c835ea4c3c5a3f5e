// SPDX-License-Identifier: GPL-2.0
/* Objects (cowmem/object.h): their life, their size, and what shrinks them. */
#include <cowmem/minmax.h>
#include <cowmem/object.h>

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

	if (!fixed_size_ && bytes > size())
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

int Object::resize(long long bytes)
{
	unsigned long long count = 0;

	while (!try_resize(bytes)) {
		const Index cut = index_of(min_of(bytes, size()));
		int err = pages_.own(cut);

		if (!err)
			err = pages_.bring_in(cut, cut, count);
		if (err)
			return error_of_own(err);
	}
	return 0;
}

/* False: the page that is to be cut has to be brought in first, and nothing changed. */
bool Object::try_resize(long long bytes)
{
	Exclusive lock{pages_};
	long long old;
	bool cuts;
	{
		SizeLock size_lock{inode_};

		old = size();
		/*
		 * What a mapping stored behind the end is gone when the end moves. (An unset
		 * size that is only fixed further out may have a write at its end right now.)
		 */
		cuts = fixed_size_ || bytes < old;
		if (cuts && tail_is_out(min_of(bytes, old)))
			return false;
		kapi_inode_set_size(inode_, bytes);
		__atomic_store_n(&fixed_size_, true, __ATOMIC_RELAXED);
	}
	if (cuts)
		zero_tail(min_of(bytes, old));
	pages_.cut_parent(index_up(bytes));
	pages_.remove(index_up(bytes), no_index, PrivateCopies::zap);
	return true;
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

int Object::punch(long long offset, long long length)
{
	const Index first = index_of(offset), last = index_of(offset + length - 1);
	Exclusive lock{pages_};

	const int err = pages_.hide_parent(first, last);

	if (err)
		pages_.unmap_all(first, last);
	else
		pages_.remove(first, last, PrivateCopies::keep);
	return err;
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
