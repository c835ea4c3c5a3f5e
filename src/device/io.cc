// SPDX-License-Identifier: GPL-2.0
/*
 * read, write and lseek, so that any tool that handles files can load and save an
 * object. User memory is touched with no lock held: it may be a mapping of the very
 * object, whose fault takes the object's lock.
 */
#include <linux/cowmem.h>

#include "device/io.h"
#include "store/backing.h"
#include "kernel/minmax.h"
#include "layers/object.h"
#include "store/large.h"

namespace cowmem {

namespace {

size_t left_in_page(long long position)
{
	return KAPI_PAGE_SIZE - static_cast<size_t>(position) % KAPI_PAGE_SIZE;
}

/*
 * The page at @index into @page, with no lock held: if it is in memory, and nobody held the
 * object's lock alone meanwhile.
 */
bool try_page_to_read(const Object &object, Index index, FolioRef &page)
{
	const ObjectLock::Reading reading = object.pages().read();

	return reading.quiet() && !object.pages().dropped() &&
	       object.pages().try_get(index, page) && page && object.pages().unchanged(reading);
}

/* The page at @index into @page, or none: a hole. 0, -ENOMEM, -EIO, -EINTR, -ESTALE. */
int page_to_read(Object &object, Index index, FolioRef &page)
{
	unsigned long long count = 0;

	if (try_page_to_read(object, index, page))
		return kapi_folio_poisoned(page.get()) ? -KAPI_EIO : 0;
	for (;;) {
		{
			Shared lock{object.pages()};

			if (object.pages().dropped())
				return -KAPI_ESTALE;

			page = object.pages().get(index);
			if (page || object.pages().is_hole(index))
				return page && kapi_folio_poisoned(page.get()) ? -KAPI_EIO : 0;
		}
		if (const int err = object.pages().swap_in(index, no_index, count))
			return err;
	}
}

} /* namespace */

int page_to_write(Object &object, Index index, FolioRef &page)
{
	Fresh fresh{{}, true};

	for (;;) {
		bool shared;
		{
			Shared lock{object.pages()};

			if (!object.may_write(index))
				return -KAPI_ENOSPC;
			shared = object.pages().sees_shared(index);
			if (!shared)
				page = object.pages().get_or_fill(index, fresh);
			/* It may have been brought in as what relatives see, too. */
			shared |= page && !object.pages().owns(page.get());
		}
		if (shared) {
			page = {};
			if (const int err = object.pages().break_cow(index))
				return error_of_break_cow(err);
			continue;
		}
		if (page)
			return kapi_folio_poisoned(page.get()) ? -KAPI_EIO : 0;
		if (fresh.error == -KAPI_EAGAIN)
			fresh.error = backing.read(*fresh.backed, fresh.page.get(), Wait::killable);
		if (fresh.error)
			return fresh.error;
		if (fresh.page)
			continue;
		fresh.page = FolioRef{kapi_folio_alloc(true)};
		if (!fresh.page)
			return -KAPI_ENOMEM;
	}
}

namespace {

/* Whether the block from @first on is a hole where the object takes large folios always. A hint: faults may put pages there. */
bool takes_block(const Object &object, Index first)
{
	return object.huge() == COWMEM_HUGE_ALWAYS && kapi_huge_sizes_have_block() &&
	       object.may_write(last_of_block(first)) && object.pages().is_hole_block(first);
}

/* @made, or none: that is counted. */
FreshLarge counted(folio *made)
{
	if (!made)
		kapi_count(COWMEM_COUNT_large_fallbacks);
	return FreshLarge{made};
}

/*
 * Puts @fresh into the block from @first on, and has the object be of @bytes at least, if it grows. False: RESIZE has moved the end,
 * or something is there by now, or a fatal signal came, or as Pages::fill_block() says; it stays the caller's.
 */
bool put_block(Object &object, Index first, FreshLarge &fresh, long long bytes)
{
	Pages &pages = object.pages();
	Shared lock{pages};
	const Turn turn{pages.mapping(), first};

	if (object.growth() == Growth::none && bytes > object.size())
		return false;
	if (!turn || !takes_block(object, first) || !pages.fill_block(first, fresh))
		return false;
	object.grow_by_write(bytes);
	return true;
}

} /* namespace */

bool fill_block(Object &object, Index first, bool waits)
{
	if (!takes_block(object, first))
		return false;

	FreshLarge fresh = counted(waits ? kapi_large_alloc_on(KAPI_ANY_NODE, true)
	                                 : kapi_large_alloc_to_write(true));

	return fresh && put_block(object, first, fresh, 0);
}

namespace {

/* @err of page_to_write() for the page at @index, or 0: RESIZE has moved the end, and made a hole of it. */
int unless_behind_end(const Object &object, Index index, int err)
{
	return err == -KAPI_ENOSPC && index >= object.end_index() ? 0 : err;
}

/* Whether nothing is left to do for a write of the page at @index: a hint. */
bool is_ready(const Object &object, Index index)
{
	FolioRef page;

	return object.pages().try_get(index, page) && page && object.pages().owns(page.get()) &&
	       !kapi_folio_poisoned(page.get());
}

/* The same as populate(), of what lies in one block, for who has locked out other write()s. */
int populate_block(Object &object, Index first, Index last, unsigned long long &count)
{
	if (first == first_of_block(first) && last == last_of_block(first) &&
	    fill_block(object, first, true)) {
		count += KAPI_LARGE_PAGES;
		return 0;
	}
	for (Index index = first; index <= last; index++) {
		FolioRef page;

		if (is_ready(object, index))
			continue;
		if (kapi_signal_pending())
			return -KAPI_EINTR;
		if (const int err = page_to_write(object, index, page))
			return unless_behind_end(object, index, err);
		count++;
		kapi_cond_resched();
	}
	return 0;
}

} /* namespace */

int populate(Object &object, Index first, Index last, unsigned long long &count)
{
	for (;;) {
		if (kapi_signal_pending())
			return -KAPI_EINTR;
		kapi_cond_resched();
		object.let_sets_go_first();

		const WriteLock writes{object};
		const Index end = min_of(last + 1, object.end_index());

		if (!writes)
			return -KAPI_EINTR;
		if (first >= end)
			return 0;

		const Index stop = min_of(last_of_block(first), end - 1);

		const int err = populate_block(object, first, stop, count);

		/* RESIZE may have moved the end meanwhile. */
		empty_behind_end(object, first, stop);
		if (err)
			return err;
		first = stop + 1;
	}
}

int zero(Object &object, long long begin, long long end)
{
	const Index index = index_of(begin);
	FolioRef page;

	if (begin >= end || object.pages().is_hole(index))
		return 0;
	if (const int err = page_to_write(object, index, page))
		return unless_behind_end(object, index, err);
	empty_behind_end(object, index, index); /* RESIZE may have made a hole of it */
	kapi_folio_zero_range(page.get(), static_cast<size_t>(begin) % KAPI_PAGE_SIZE,
	                      static_cast<size_t>(end - begin));
	kapi_folio_mark_written(page.get());
	return 0;
}

namespace {

/* What a mapping stored behind the end, in the last page, is not seen when the end moves to behind @position. */
int zero_gap(Object &object, long long position)
{
	for (;;) {
		const long long end = object.size();
		const long long stop = min_of(position, bytes_at(index_up(end)));
		const Index index = index_of(end);
		FolioRef page;

		if (end >= stop || object.pages().is_hole(index))
			return 0;
		if (const int err = page_to_write(object, index, page))
			return err;
		empty_behind_end(object, index, index); /* as in zero() */

		/* Where the end has moved meanwhile somebody may have stored something. */
		if (object.zero_behind(end, stop, page.get()))
			return 0;
	}
}

/* How many bytes a write of @wanted at @position may put down: what grows has no end. */
size_t writable_bytes(const Object &object, long long position, size_t wanted)
{
	if (object.growth() != Growth::none)
		return wanted;
	return static_cast<size_t>(
		clamp(object.size() - position, 0LL, static_cast<long long>(wanted)));
}

/*
 * Writes a block that is a hole, if @from has all of it: into a large folio, which nobody sees before all is there. Returns how many
 * bytes, or 0: it is to be written by pages.
 */
size_t try_write_block(Object &object, long long position, iov_iter *from)
{
	constexpr size_t bytes = size_t{KAPI_LARGE_PAGES} * KAPI_PAGE_SIZE;
	const Index first = index_of(position);

	if (static_cast<size_t>(position) % bytes || !takes_block(object, first) ||
	    writable_bytes(object, position, kapi_iter_count(from)) < bytes)
		return 0;

	FreshLarge fresh = counted(kapi_large_alloc_to_write(false));
	const size_t copied = fresh ? kapi_folio_copy_from_iter(fresh.get(), 0, bytes, from) : 0;

	if (copied == bytes) {
		kapi_folio_mark_referenced(fresh.get());
		if (put_block(object, first, fresh, position + static_cast<long long>(bytes)))
			return bytes;
	}
	kapi_iter_revert(from, copied);
	return 0;
}

/* The next data at or after @from, or the next hole; both end at @end. */
long long seek_data(Object &object, long long from, long long end)
{
	Shared lock{object.pages()};

	if (object.pages().dropped())
		return -KAPI_ESTALE;

	const Index index = object.pages().next_data(index_of(from), index_up(end) - 1);

	return index == no_index ? -KAPI_ENXIO : max_of(from, bytes_at(index));
}

long long seek_hole(Object &object, long long from, long long end)
{
	constexpr Index batch = 1024; /* looked at in one go; faults may wait for us meanwhile */
	Index index = index_of(from), last = index_up(end) - 1;

	while (index <= last) {
		const Index stop = min_of(last, index + batch - 1);
		Shared lock{object.pages()};

		if (object.pages().dropped())
			return -KAPI_ESTALE;
		index = object.pages().next_hole(index, stop);
		if (index <= stop)
			break;
		if (kapi_signal_pending())
			return -KAPI_EINTR;
	}
	return clamp(bytes_at(index), from, end);
}

} /* namespace */

} /* namespace cowmem */

/* file_operations::read_iter. Holes read as zeroes and stay holes. -EIO: poisoned memory; -ESTALE: a dropped snapshot. */
extern "C" long cowmem_read_iter(kiocb *iocb, iov_iter *to)
{
	using namespace cowmem;
	Object &object = Object::of(kapi_iocb_file(iocb));
	long long position = kapi_iocb_position(iocb);
	long done = 0, err = 0;

	while (!err && kapi_iter_count(to) && !kapi_signal_pending()) {
		const long long end = object.size();

		if (position >= end)
			break;

		const size_t chunk = min_of(min_of(left_in_page(position), kapi_iter_count(to)),
		                            static_cast<size_t>(end - position));
		const size_t offset = static_cast<size_t>(position) % KAPI_PAGE_SIZE;
		FolioRef page;

		err = page_to_read(object, index_of(position), page);
		if (err)
			break;

		const size_t copied = page ? kapi_folio_copy_to_iter(page.get(), offset, chunk, to)
		                           : kapi_iter_zero(to, chunk);

		if (page)
			kapi_folio_mark_referenced(page.get());
		if (copied < chunk)
			err = -KAPI_EFAULT;
		position += static_cast<long long>(copied);
		done += static_cast<long>(copied);
		kapi_cond_resched();
	}
	kapi_iocb_set_position(iocb, position);
	kapi_file_accessed(kapi_iocb_file(iocb));
	if (!done && object.pages().dropped())
		return -KAPI_ESTALE;
	return done ? done : err;
}

/*
 * file_operations::write_iter. An object that grows does so; at the end of one that does not:
 * -ENOSPC, like a block device.
 */
extern "C" long cowmem_write_iter(kiocb *iocb, iov_iter *from)
{
	using namespace cowmem;
	Object &object = Object::of(kapi_iocb_file(iocb));

	object.let_sets_go_first();

	const WriteLock writes{object};

	if (!writes)
		return -KAPI_EINTR;

	long err = kapi_iocb_write_checks(iocb, from);
	long long position = kapi_iocb_position(iocb);
	long done = 0;

	if (err > 0)
		err = kapi_file_modified(kapi_iocb_file(iocb));
	if (!err && kapi_iter_count(from))
		err = zero_gap(object, position);
	if (err)
		return err;
	while (!err && kapi_iter_count(from) && !kapi_signal_pending()) {
		kapi_cond_resched();
		if (const size_t block = try_write_block(object, position, from)) {
			position += static_cast<long long>(block);
			done += static_cast<long>(block);
			continue;
		}

		const size_t chunk = writable_bytes(
			object, position, min_of(left_in_page(position), kapi_iter_count(from)));
		FolioRef page;

		/* Before there is a page: what cannot be read must not take memory. */
		if (chunk && !kapi_iter_fault_in(from, chunk))
			err = -KAPI_EFAULT;
		else
			err = chunk ? page_to_write(object, index_of(position), page)
			            : -KAPI_ENOSPC;
		if (err)
			break;

		const size_t copied = kapi_folio_copy_from_iter(
			page.get(), static_cast<size_t>(position) % KAPI_PAGE_SIZE, chunk, from);

		if (copied < chunk)
			err = -KAPI_EFAULT;
		position += static_cast<long long>(copied);
		done += static_cast<long>(copied);
		if (copied) {
			kapi_folio_mark_written(page.get());
			kapi_folio_mark_referenced(page.get());
			object.grow_by_write(position);
		}
	}
	/* A page that was made for bytes which could not be read then. */
	if (err)
		empty_behind_end(object, index_of(position), index_of(position));
	kapi_iocb_set_position(iocb, position);
	return done ? done : err;
}

/* file_operations::llseek, with SEEK_DATA and SEEK_HOLE. -ENXIO: beyond the end, or no data; -ESTALE: as above. */
extern "C" long long cowmem_llseek(file *f, long long offset, int whence)
{
	using namespace cowmem;
	Object &object = Object::of(f);
	const long long end = object.size(), max = kapi_max_bytes();

	if (object.pages().dropped())
		return -KAPI_ESTALE;
	if (whence != KAPI_SEEK_DATA && whence != KAPI_SEEK_HOLE)
		return kapi_file_seek(f, offset, whence, max, end);
	if (offset < 0 || offset >= end)
		return -KAPI_ENXIO;

	const long long found = whence == KAPI_SEEK_DATA ? seek_data(object, offset, end)
	                                                 : seek_hole(object, offset, end);

	return found < 0 ? found : kapi_file_set_position(f, found, max);
}
