// SPDX-License-Identifier: GPL-2.0
/* What a regular file has besides read() and write(): allocation, hints, its size and blocks. */
#include "device/io.h"
#include "device/paging.h"
#include "kernel/minmax.h"

namespace cowmem {

namespace {

/* Whole pages that lie in a range of bytes: there are none if @last is before @first. */
struct Inside {
	Inside(long long begin, long long end) : first{index_up(begin)}, last{index_of(end) - 1}
	{
		none = index_of(end) <= first;
	}
	Index first, last;
	bool none;
};

/* Zeroes the bytes from @begin to before @end; whole pages become holes. */
int punch_bytes(Object &object, long long begin, long long end)
{
	const Inside inside{begin, end};

	if (index_of(begin) == index_of(end))
		return zero(object, begin, end);
	if (const int err = zero(object, begin, min_of(end, bytes_at(index_up(begin)))))
		return err;

	Index next = inside.first;

	if (const int err = inside.none ? 0 : object.punch(next, inside.last))
		return err;
	return zero(object, bytes_at(index_of(end)), end);
}

/* The places that one call fills, in their order. */
class Filled {
public:
	Filled() = default;
	~Filled()
	{
		while (last_)
			delete std::exchange(last_, last_->before);
	}
	Filled(const Filled &) = delete;
	Filled &operator=(const Filled &) = delete;

	/* Before @index is filled. False: no memory. */
	[[nodiscard]] bool add(Index index)
	{
		if (!last_ || last_->end != index) {
			Run *const run = new (Gfp::kernel_account) Run;

			if (!run)
				return false;
			run->first = index;
			run->before = last_;
			last_ = run;
		}
		extend(index);
		return true;
	}
	/* The run that was added to last goes on to @last. */
	void extend(Index last) { last_->end = last + 1; }
	/* They are holes again, as far as nobody has used them meanwhile. */
	void undo(Object &object) const
	{
		for (const Run *run = last_; run; run = run->before)
			object.empty_again(run->first, run->end - 1);
	}

private:
	struct Run : Allocated {
		Index first, end;
		Run *before;
	};
	Run *last_ = nullptr;
};

/* Has no hole from @first to @last. */
int fill_holes(Object &object, Index first, Index last, Filled &filled)
{
	for (Index index = first; index <= last; index++) {
		FolioRef page;

		if (kapi_signal_pending())
			return -KAPI_EINTR;
		if (object.pages().is_hole(index)) {
			if (!filled.add(index))
				return -KAPI_ENOMEM;
			if (index == first_of_block(index) && last_of_block(index) <= last &&
			    fill_block(object, index, false)) {
				index = last_of_block(index);
				filled.extend(index);
			} else if (const int err = page_to_write(object, index, page)) {
				return err;
			}
		}
		kapi_cond_resched();
	}
	return 0;
}

/*
 * Has memory, or a place in the store, for the bytes from @begin to before @end. If @keeps_size, as
 * far as they lie within the size: nothing lies beyond that. Otherwise the object grows to @end
 * when all is there: what fails leaves the size, and the holes, as they were, and nobody has stored
 * anything behind the end meanwhile.
 */
int allocate(Object &object, long long begin, long long end, bool keeps_size)
{
	const long long stop = keeps_size ? min_of(end, object.size()) : end;
	Filled filled;
	int err =
		begin < stop ? fill_holes(object, index_of(begin), index_up(stop) - 1, filled) : 0;

	if (!err && !keeps_size)
		err = object.extend(end);
	if (err)
		filled.undo(object);
	else if (keeps_size && begin < stop) /* RESIZE may have moved the end */
		empty_behind_end(object, index_of(begin), index_up(stop) - 1);
	return err;
}

int change(Object &object, int mode, long long begin, long long end)
{
	if (object.growth() == Growth::none && !(mode & KAPI_FALLOC_KEEP_SIZE) &&
	    end > object.size())
		return -KAPI_ENOSPC;
	if (mode & (KAPI_FALLOC_PUNCH_HOLE | KAPI_FALLOC_ZERO_RANGE))
		if (const int err = punch_bytes(object, begin, end))
			return err;
	return mode & KAPI_FALLOC_PUNCH_HOLE
	               ? 0
	               : allocate(object, begin, end, mode & KAPI_FALLOC_KEEP_SIZE);
}

} /* namespace */

} /* namespace cowmem */

/*
 * file_operations::fallocate: allocation, holes and zeroes, of any bytes. What is shared with
 * relatives stays so, and its copy is not set aside. 0, -EOPNOTSUPP, -EFBIG, -ENOSPC, -ENOMEM, -EIO,
 * -EDQUOT, -EINTR.
 */
extern "C" long cowmem_fallocate(file *f, int mode, long long offset, long long length)
{
	using namespace cowmem;
	Object &object = Object::of(f);

	if (mode & ~(KAPI_FALLOC_KEEP_SIZE | KAPI_FALLOC_PUNCH_HOLE | KAPI_FALLOC_ZERO_RANGE))
		return -KAPI_EOPNOTSUPP;

	object.let_sets_go_first();

	const WriteLock writes{object};

	if (!writes)
		return -KAPI_EINTR;

	int err = mode & KAPI_FALLOC_KEEP_SIZE ? 0 : kapi_file_may_reach(f, offset + length);

	if (!err)
		err = kapi_file_modified(f);
	if (!err)
		err = change(object, mode, offset, offset + length);
	return err;
}

/*
 * file_operations::fadvise. WILLNEED brings in what is paged out, DONTNEED has it out, of who may
 * write; nothing else is needed. 0, -EINVAL.
 */
extern "C" int cowmem_fadvise(file *f, long long offset, long long length, int advice)
{
	using namespace cowmem;
	Object &object = Object::of(f);

	if (offset < 0 || length < 0 || advice > KAPI_FADV_NOREUSE)
		return -KAPI_EINVAL;

	const long long size = object.size();
	const long long end = length && length < size - offset ? offset + length : size;
	const Inside inside{offset, end};

	if (offset >= end)
		return 0;
	if (advice == KAPI_FADV_WILLNEED) {
		unsigned long long count = 0;

		object.pages().swap_in_all(index_of(offset), index_up(end) - 1, count);
	}
	if (advice == KAPI_FADV_DONTNEED && kapi_file_writable(f) && !inside.none) {
		Index next = inside.first;

		page_out_range(object, next, inside.last, Used::goes);
	}
	return 0;
}

/* From setattr, with the inode's lock held: the size of a regular file. 0 or as Object::resize() says. */
extern "C" int cowmem_resize(void *object, long long bytes)
{
	return static_cast<cowmem::Object *>(object)->resize(bytes, cowmem::Growth::by_write, true);
}

/* st_blocks: what the object sees, also if relatives see it, too, in units of 512 bytes. */
extern "C" unsigned long long cowmem_blocks(const void *object)
{
	using namespace cowmem;
	const Pages &pages = static_cast<const Object *>(object)->pages();

	return pages.count_data() * (KAPI_PAGE_SIZE / 512);
}

/* Whether it is a snapshot's inode, which nobody may write. */
extern "C" bool cowmem_is_frozen(const void *object)
{
	return static_cast<const cowmem::Object *>(object)->frozen();
}
