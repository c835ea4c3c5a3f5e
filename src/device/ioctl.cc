// SPDX-License-Identifier: GPL-2.0
/* The device's ioctls (include/uapi/linux/cowmem.h). */
#include <linux/cowmem.h>

#include "layers/collapse.h"
#include "layers/diff.h"
#include "device/io.h"
#include "device/move.h"
#include "layers/object.h"
#include "device/paging.h"
#include "device/poison.h"
#include "device/query.h"
#include "layers/snapshot_set.h"
#include "store/store.h"

namespace cowmem {

namespace {

/*
 * The size of each struct's first version, in bytes: programs that were built with that go on
 * working, so it never changes. A struct grows at its end.
 */
template <class T>
constexpr unsigned int first_size = 0;
template <>
constexpr unsigned int first_size<cowmem_info> = 32;
template <>
constexpr unsigned int first_size<cowmem_stat> = 48;
template <>
constexpr unsigned int first_size<cowmem_resize> = 16;
template <>
constexpr unsigned int first_size<cowmem_punch> = 24;
template <>
constexpr unsigned int first_size<cowmem_set_cow> = 16;
template <>
constexpr unsigned int first_size<cowmem_create> = 24;
template <>
constexpr unsigned int first_size<cowmem_file> = 16;
template <>
constexpr unsigned int first_size<cowmem_page_out> = 120;
template <>
constexpr unsigned int first_size<cowmem_prefetch> = 32;
template <>
constexpr unsigned int first_size<cowmem_store_stat> = 56;
template <>
constexpr unsigned int first_size<cowmem_store_limit> = 16;
template <>
constexpr unsigned int first_size<cowmem_snapshot> = 24;
template <>
constexpr unsigned int first_size<cowmem_snapshot_set> = 32;
template <>
constexpr unsigned int first_size<cowmem_restore> = 16;
template <>
constexpr unsigned int first_size<cowmem_diff> = 56;
template <>
constexpr unsigned int first_size<cowmem_rmap> = 72;
template <>
constexpr unsigned int first_size<cowmem_pagemap> = 48;
template <>
constexpr unsigned int first_size<cowmem_move> = 56;
template <>
constexpr unsigned int first_size<cowmem_poison> = 32;
template <>
constexpr unsigned int first_size<cowmem_collapse> = 96;
template <>
constexpr unsigned int first_size<cowmem_set_huge> = 16;

/*
 * A sized argument. `size` comes first in every struct and says how much of it the caller
 * knows: what an older caller does not know is zero for us, and is not answered; what a newer
 * one has behind what we know must be zero.
 */
template <class T>
class Argument {
public:
	static_assert(first_size<T> && first_size<T> <= sizeof(T));

	/* 0, -EFAULT, -E2BIG; -EINVAL for a size below the first version's, or a flag that is not in @known. */
	int get(unsigned long user, unsigned int known)
	{
		user_ = user;
		if (int err = kapi_user_size(user, &size_))
			return err;
		if (size_ < first_size<T>)
			return -KAPI_EINVAL;
		if (size_ > KAPI_PAGE_SIZE)
			return -KAPI_E2BIG;
		if (int err = kapi_user_get(&value_, sizeof(T), user, size_))
			return err;
		return value_.flags & ~known ? -KAPI_EINVAL : 0;
	}

	/* Whether the caller knows more than the first version. */
	bool is_newer() const { return size_ > first_size<T>; }

	/* Back to the caller, whose own size stays, as much as he knows. 0 or -EFAULT. */
	int put() { return kapi_user_put(user_, &value_, min_of<size_t>(size_, sizeof(T))); }

	T *operator->() { return &value_; }
	T &operator*() { return value_; }

private:
	T value_{};
	unsigned long user_ = 0;
	unsigned int size_ = 0;
};

bool page_aligned(unsigned long long bytes)
{
	return bytes % KAPI_PAGE_SIZE == 0;
}

/* Whether a range in bytes is some whole pages, within what an object can have. */
bool is_range(unsigned long long offset, unsigned long long length)
{
	const auto max = static_cast<unsigned long long>(kapi_max_bytes());

	return page_aligned(offset) && page_aligned(length) && length && offset <= max &&
	       length <= max - offset;
}

/* Whether an argument that may have a range has none, and means all of the object. */
template <class T>
bool is_all(const T &arg)
{
	return !arg.offset && !arg.length;
}

/* The pages of a range that is_range() has seen. */
Index first_of(unsigned long long offset)
{
	return index_of(static_cast<long long>(offset));
}
Index last_of(unsigned long long offset, unsigned long long length)
{
	return first_of(offset + length) - 1;
}
unsigned long long offset_of(Index index)
{
	return static_cast<unsigned long long>(bytes_at(index));
}

int get_info(Object &, Argument<cowmem_info> &info)
{
	info->abi_version = COWMEM_ABI_VERSION;
	info->page_size = KAPI_PAGE_SIZE;
	info->features =
		COWMEM_FEATURE_COW_HANDLER | COWMEM_FEATURE_COW_CORE | COWMEM_FEATURE_RESIZE |
		COWMEM_FEATURE_PUNCH | COWMEM_FEATURE_RMAP | COWMEM_FEATURE_PAGEMAP |
		COWMEM_FEATURE_MOVE | COWMEM_FEATURE_PAGE_OUT | COWMEM_FEATURE_SNAPSHOT |
		COWMEM_FEATURE_DIFF | COWMEM_FEATURE_RESIZE_GROWS | COWMEM_FEATURE_SNAPSHOT_SET |
		COWMEM_FEATURE_RESTORE_RANGE | COWMEM_FEATURE_CLONE_RANGE | COWMEM_FEATURE_FILES |
		COWMEM_FEATURE_PINNABLE | COWMEM_FEATURE_PAGE_OUT_AGE |
		(kapi_knows_poison() ? COWMEM_FEATURE_POISON : 0) |
		(kapi_has_uffd_ops() ? COWMEM_FEATURE_USERFAULTFD : 0) |
		(kapi_has_dirty_bit() ? COWMEM_FEATURE_DIRTY_BIT : 0) |
		(kapi_has_large()
	                 ? COWMEM_FEATURE_HUGE | COWMEM_FEATURE_COLLAPSE | COWMEM_FEATURE_SET_HUGE
	                 : 0);
	info->max_bytes = static_cast<unsigned long long>(kapi_max_bytes());
	return info.put();
}

/* How many pages in memory it sees. */
unsigned long count_resident(const Pages &pages)
{
	unsigned long count = 0;

	for (Index index = 0; (index = pages.next_resident(index, no_index)) != no_index; index++)
		count++;
	return count;
}

int stat(Object &object, Argument<cowmem_stat> &stat)
{
	stat->bytes = static_cast<unsigned long long>(object.size());
	stat->resident_pages = object.pages().oversees() ? count_resident(object.pages())
	                                                 : object.pages().own_pages();
	stat->cow = object.cow();
	stat->layers = object.pages().has_relatives() ? object.pages().family()->members() - 1 : 0;

	const Counted &counted = object.pages().counted();

	stat->state = (object.growth() == Growth::none ? COWMEM_STATE_FIXED_SIZE : 0) |
	              (object.growth() == Growth::by_write ? COWMEM_STATE_GROWS_BY_WRITE : 0) |
	              (object.pages().dropped() ? COWMEM_STATE_DROPPED : 0) |
	              (object.frozen() ? COWMEM_STATE_FROZEN : 0) |
	              (object.pages().pinnable() ? COWMEM_STATE_PINNABLE : 0) |
	              (counted.limit.drops ? COWMEM_STATE_MAY_BE_DROPPED : 0);
	stat->copies = count_copies(object.pages());
	stat->max_copies = counted.limit.max;
	/* The holder of a clone is not told what its relatives do. */
	stat->shared_pages = object.pages().oversees() && !object.pages().family()->joined()
	                             ? object.pages().shared_home()->pages()
	                             : 0;
	stat->large_pages = object.pages().home().large();
	stat->huge = object.huge();
	stat->__reserved = 0;
	return stat.put();
}

int resize(Object &object, Argument<cowmem_resize> &resize)
{
	if (resize->bytes > static_cast<unsigned long long>(kapi_max_bytes()))
		return -KAPI_EFBIG;
	/* write() is not locked out: it may be waiting for the user's memory. */
	return object.resize(static_cast<long long>(resize->bytes),
	                     resize->flags & COWMEM_RESIZE_GROWS ? Growth::by_use : Growth::none,
	                     false);
}

int punch(Object &object, Argument<cowmem_punch> &punch)
{
	if (!is_range(punch->offset, punch->length))
		return -KAPI_EINVAL;

	Index next = first_of(punch->offset);
	const int err = object.punch(next, last_of(punch->offset, punch->length));

	punch->next = offset_of(next);
	/* The first version has no answer: it may be where nothing can be written. */
	if (const int put = punch.is_newer() ? punch.put() : 0)
		return put;
	return err;
}

int set_cow(Object &object, Argument<cowmem_set_cow> &set)
{
	if (set->__reserved || set->cow > COWMEM_COW_CORE)
		return -KAPI_EINVAL;
	object.set_cow(set->cow);
	return 0;
}

/* A descriptor, and the file for it, for a scope: unless it was installed nothing is left of them. */
class Descriptor {
public:
	Descriptor() = default;
	~Descriptor()
	{
		if (made_)
			kapi_file_put(made_);
		if (fd_ >= 0)
			kapi_fd_cancel(fd_);
	}
	Descriptor(const Descriptor &) = delete;
	Descriptor &operator=(const Descriptor &) = delete;

	/* Its number from now on, or -EMFILE. */
	int reserve() { return fd_ = kapi_fd_reserve(); }
	/* Where the file goes, once. */
	file *&made() { return made_; }
	/* The process has it, for what is made. */
	void install()
	{
		kapi_fd_install(fd_, std::exchange(made_, nullptr));
		fd_ = -1;
	}

private:
	int fd_ = -1;
	file *made_ = nullptr;
};

/* A descriptor for the file that @make gives. */
template <class T, class Make>
int make_descriptor(Argument<T> &arg, Make make)
{
	Descriptor descriptor;

	arg->fd = descriptor.reserve();
	if (arg->fd < 0)
		return arg->fd;
	if (const int err = make(descriptor.made()))
		return err;
	if (const int err = arg.put())
		return err;
	descriptor.install();
	return 0;
}

int create(Object &, Argument<cowmem_create> &arg)
{
	constexpr char prefix[] = "cowmem:";
	constexpr size_t room = COWMEM_NAME_MAX + 1, begin = sizeof(prefix) - 1;
	char name[begin + room];
	long length = 0;

	if (arg->__reserved)
		return -KAPI_EINVAL;
	const Object::Nature nature{.pinnable = (arg->flags & COWMEM_CREATE_PINNABLE) != 0,
	                            .huge = arg->flags & COWMEM_CREATE_HUGE ? COWMEM_HUGE_ALWAYS
	                                                                    : COWMEM_HUGE_NEVER};

	/* The core would have one entry of a pinnable mapping let stores through by itself. */
	if (nature.huge && (nature.pinnable || !kapi_has_large()))
		return -KAPI_EOPNOTSUPP;
	kapi_copy(name, prefix, sizeof(prefix));
	if (arg->name)
		length = kapi_user_get_string(name + begin, room, arg->name);
	if (length < 0)
		return static_cast<int>(length);
	if (length == room)
		return -KAPI_ENAMETOOLONG;
	return make_descriptor(
		arg, [&](file *&made) { return Object::create_file(name, nature, made); });
}

int make_file(const file *by, Argument<cowmem_file> &arg)
{
	if (arg->__reserved)
		return -KAPI_EINVAL;
	return make_descriptor(arg,
	                       [&](file *&made) { return Object::of(by).make_file(by, made); });
}

int snapshot(const file *by, Argument<cowmem_snapshot> &arg)
{
	Object &object = Object::of(by);
	const bool limited = arg->flags & COWMEM_SNAPSHOT_LIMIT;
	const CopyLimit limit{limited ? arg->max_copies : ~0UL,
	                      (arg->flags & COWMEM_SNAPSHOT_DROP) != 0};

	if (arg->__reserved || (!limited && (limit.drops || arg->max_copies)) || !is_all(*arg))
		return -KAPI_EINVAL;
	return make_descriptor(arg, [&](file *&made) { return object.snapshot(by, made, limit); });
}

int clone(const file *by, Argument<cowmem_snapshot> &arg)
{
	Object &object = Object::of(by);
	const bool all = is_all(*arg);

	if (arg->__reserved || arg->max_copies || (!all && !is_range(arg->offset, arg->length)))
		return -KAPI_EINVAL;

	const Index first = first_of(arg->offset);
	const Index last = all ? no_index : last_of(arg->offset, arg->length);

	return make_descriptor(arg,
	                       [&](file *&made) { return object.clone(by, made, first, last); });
}

/* The object behind a descriptor that an argument names, kept for a scope; or why there is none. */
class Other {
public:
	Other() = default;
	~Other()
	{
		if (file_)
			kapi_file_put(file_);
	}
	Other(const Other &) = delete;
	Other &operator=(const Other &) = delete;

	/* Is that of @fd, once. 0; -EBADF: no file is open there, or not for reading; -EINVAL: it is no object's. */
	int get(int fd)
	{
		file_ = kapi_file_of_fd(fd);
		if (!file_)
			return -KAPI_EBADF;
		if (!kapi_file_is_ours(file_))
			return -KAPI_EINVAL;
		return kapi_file_readable(file_) ? 0 : -KAPI_EBADF;
	}
	const file *get() const { return file_; }
	Object &operator*() const { return Object::of(file_); }
	Object *operator->() const { return &Object::of(file_); }

private:
	file *file_ = nullptr;
};

/* What SNAPSHOT_SET is about. */
struct SetOfSnapshots : Allocated {
	int fd[COWMEM_SNAPSHOT_SET_MAX]; /* the objects', and then the snapshots' */
	Other origin[COWMEM_SNAPSHOT_SET_MAX];
	Descriptor descriptor[COWMEM_SNAPSHOT_SET_MAX];
	SnapshotSet set;
};

int take_set(SetOfSnapshots &of, const cowmem_snapshot_set &arg)
{
	const size_t bytes = arg.count * sizeof(of.fd[0]);

	if (const int err = kapi_user_get(of.fd, bytes, arg.objects, bytes))
		return err;
	for (unsigned int i = 0; i < arg.count; i++) {
		if (const int err = of.origin[i].get(of.fd[i]))
			return err;
		if (!of.set.add(of.origin[i].get(), of.descriptor[i].made()))
			return -KAPI_EINVAL;
	}
	for (unsigned int i = 0; i < arg.count; i++) {
		of.fd[i] = of.descriptor[i].reserve();
		if (of.fd[i] < 0)
			return of.fd[i];
	}
	if (const int err = of.set.take())
		return err;
	if (const int err = kapi_user_put(arg.snapshots, of.fd, bytes))
		return err;
	for (unsigned int i = 0; i < arg.count; i++)
		of.descriptor[i].install();
	return 0;
}

int snapshot_set(Object &, Argument<cowmem_snapshot_set> &arg)
{
	if (arg->__reserved || !arg->count || arg->count > COWMEM_SNAPSHOT_SET_MAX)
		return -KAPI_EINVAL;

	auto *of = new (Gfp::kernel_account) SetOfSnapshots;
	const int err = of ? take_set(*of, *arg) : -KAPI_ENOMEM;

	delete of;
	return err;
}

int restore(Object &object, Argument<cowmem_restore> &arg)
{
	const bool all = is_all(*arg);
	Other from;

	if (arg->__reserved || (!all && !is_range(arg->offset, arg->length)))
		return -KAPI_EINVAL;
	if (const int err = from.get(arg->fd))
		return err;
	if (all)
		return object.restore(*from);

	Index next = first_of(arg->offset);
	const int err = object.restore(*from, next, last_of(arg->offset, arg->length));

	arg->next = offset_of(next);
	if (const int put = arg.put())
		return put;
	return err;
}

int diff(Object &object, Argument<cowmem_diff> &diff)
{
	if (diff->__reserved || !is_range(diff->offset, diff->length))
		return -KAPI_EINVAL;

	Other other;

	if (const int err = other.get(diff->fd))
		return err;
	if (!object.is_relative_of(*other))
		return -KAPI_EINVAL;

	ChangedList list{diff->ranges, diff->capacity};
	Index index = first_of(diff->offset);
	const int err = list_changed(object.pages(), other->pages(), index,
	                             last_of(diff->offset, diff->length), list);

	if (const int put = list.finish())
		return put;
	diff->count = list.count();
	diff->next = offset_of(index);
	if (const int put = diff.put())
		return put;
	return err;
}

int page_out_object(Object &object, Argument<cowmem_page_out> &arg)
{
	Used used = Used::stays;

	switch (arg->flags) {
	case 0:
		break;
	case COWMEM_PAGE_OUT_ACCESSED:
		used = Used::goes;
		break;
	case COWMEM_PAGE_OUT_AGE:
		used = Used::is_forgotten;
		break;
	default:
		return -KAPI_EINVAL;
	}
	if (!is_range(arg->offset, arg->length))
		return -KAPI_EINVAL;

	Index index = first_of(arg->offset);
	const PagedOut result =
		page_out_range(object, index, last_of(arg->offset, arg->length), used);

	arg->next = offset_of(index);
	arg->out = result.out;
	arg->reused = result.reused;
	arg->accessed = result.accessed;
	arg->locked = result.mlocked;
	arg->busy = result.busy;
	arg->incompressible = result.incompressible;
	arg->full = result.full;
	arg->no_memory = result.no_memory;
	arg->poisoned = result.poisoned;
	arg->tracked = result.tracked;
	arg->io_error = result.io_error;
	return arg.put();
}

int prefetch(Object &object, Argument<cowmem_prefetch> &prefetch)
{
	int err = prefetch->__reserved || prefetch->count > COWMEM_PREFETCH_MAX ? -KAPI_EINVAL : 0;

	prefetch->brought_in = 0;
	for (unsigned int i = 0; !err && i < prefetch->count; i++) {
		cowmem_range range;

		err = kapi_user_get(&range, sizeof(range), prefetch->ranges + i * sizeof(range),
		                    sizeof(range));
		if (!err && !is_range(range.offset, range.length))
			err = -KAPI_EINVAL;
		if (err)
			break;

		const Index first = first_of(range.offset);
		const Index last = last_of(range.offset, range.length);

		err = prefetch->flags & COWMEM_PREFETCH_TO_WRITE
		              ? populate(object, first, last, prefetch->brought_in)
		              : object.pages().swap_in_all(first, last, prefetch->brought_in);
	}
	if (const int put = prefetch.put())
		return put;
	return err;
}

/* What some slots are and take. */
struct SlotSum {
	unsigned long slots = 0, same_filled = 0, bytes = 0, backed = 0;

	void add(const Location &at)
	{
		slots++;
		same_filled += at.how == Location::same_filled;
		backed += at.is_backed();
		bytes += at.length;
	}
};

/* What @pages sees in the store, or what of that is its own. Each slot is looked at once. */
SlotSum sum_of_slots(const Pages &pages, bool own)
{
	SlotSum sum;

	for (Index index = 0; (index = pages.next_data(index, no_index)) != no_index; index++) {
		const Seen seen = pages.see(index);

		if (seen.slot && (!own || seen.slot->is_of(pages.home())))
			sum.add(seen.slot->location());
		if (kapi_signal_pending())
			break;
		kapi_cond_resched();
	}
	return sum;
}

int store_stat(Object &object, Argument<cowmem_store_stat> &stat)
{
	const Pages &pages = object.pages();
	const bool own = !pages.oversees();
	const SlotSum sum = own && !pages.own_slots() ? SlotSum{} : sum_of_slots(pages, own);

	stat->slots = sum.slots;
	stat->same_filled = sum.same_filled;
	stat->bytes = sum.bytes;
	stat->max_slots = object.max_slots();
	stat->pool_bytes = store.pages() * KAPI_PAGE_SIZE;
	stat->backing_slots = sum.backed;
	return stat.put();
}

int store_limit(Object &object, Argument<cowmem_store_limit> &limit)
{
	object.set_max_slots(limit->max_slots);
	return 0;
}

/* RMAP of the copies at the caller's own addresses: 0, -EINVAL if those are not of a private mapping. */
int list_copies(Object &object, Argument<cowmem_rmap> &rmap, MappingList &list)
{
	const unsigned long long end = rmap->offset + rmap->length;

	for (rmap->next = rmap->offset; rmap->next < end; rmap->next += KAPI_PAGE_SIZE) {
		FolioRef copy;
		const Found found = own_copy(rmap->next, object.pages(), copy);

		if (found == Found::not_mapped)
			return -KAPI_EINVAL;
		if (found == Found::copy && !list_sharers(copy.get(), list))
			return 0;
		if (kapi_signal_pending())
			return -KAPI_EINTR;
	}
	return 0;
}

int rmap(Object &object, Argument<cowmem_rmap> &rmap)
{
	const bool copies = rmap->flags & COWMEM_RMAP_OF_COPIES;

	if (rmap->__reserved || !is_range(rmap->offset, rmap->length))
		return -KAPI_EINVAL;

	MappingList list{min_of(rmap->capacity, COWMEM_RMAP_MAX)};

	if (!list)
		return -KAPI_ENOMEM;
	if (!copies)
		rmap->next = offset_of(list_mappings(object.pages(), first_of(rmap->offset),
		                                     last_of(rmap->offset, rmap->length), list));
	else if (const int err = list_copies(object, rmap, list))
		return err;
	if (kapi_signal_pending())
		return -KAPI_EINTR;
	rmap->count = list.count();
	rmap->hidden = list.hidden();
	rmap->probes = list.probes();
	rmap->needed = rmap->next == rmap->offset ? list.needed() : 0;
	if (int err = kapi_user_put(rmap->mappings, list.entries(),
	                            list.count() * sizeof(cowmem_mapping)))
		return err;
	if (int err = rmap.put())
		return err;
	return rmap->needed ? -KAPI_ENOSPC : 0;
}

/*
 * Tells of some pages from @index to @last at the user's address @to, and has @index behind
 * them. 0 or -EFAULT. In a frame of its own, since a debug kernel pads what is in it.
 */
[[gnu::noinline]] int tell_of_pages(Object &object, Index &index, Index last, unsigned int flags,
                                    unsigned long long to)
{
	cowmem_page answer[Batch::max];
	unsigned int count;

	/* Whether it changed is told of each page. */
	if (flags & COWMEM_PAGEMAP_CLEAR_DIRTY && object.pages().home().large())
		object.pages().break_blocks(index, min_of(last, index + Batch::max - 1));
	{
		Shared lock{object.pages()};
		const SeenBatch seen{object.pages(), index, last};

		describe(object.pages(), seen.batch, flags, answer);
		count = seen.batch.count;
	}
	if (int err = kapi_user_put(to, answer, count * sizeof(*answer))) {
		if (flags & COWMEM_PAGEMAP_CLEAR_DIRTY)
			tell_again(object.pages(), index, count, answer);
		return err;
	}
	index += count;
	return 0;
}

int pagemap(Object &object, Argument<cowmem_pagemap> &pagemap)
{
	if (!is_range(pagemap->offset, pagemap->length))
		return -KAPI_EINVAL;

	Index index = first_of(pagemap->offset);
	const Index first = index, last = last_of(pagemap->offset, pagemap->length);

	int err = 0;

	while (!err && index <= last && index - first < pagemap->capacity &&
	       !kapi_signal_pending()) {
		const Index room = pagemap->capacity - (index - first);

		err = tell_of_pages(object, index, index + min_of(last - index, room - 1),
		                    pagemap->flags,
		                    pagemap->pages + (index - first) * sizeof(cowmem_page));
		kapi_cond_resched();
	}
	pagemap->next = offset_of(index);
	if (const int put = pagemap.put())
		return put;
	return err;
}

/* Moves the next page from @index on, and @index on behind it. 0, -ENOMEM or -EINTR. */
int move_next(Pages &pages, Index &index, Index last, cowmem_move &move)
{
	if (!pages.lock_killable())
		return -KAPI_EINTR;

	Exclusive lock{pages, held};
	const Index found = pages.next_own(index, last);

	index = last + 1;
	if (found == no_index)
		return 0;

	const Moved moved = move_page(pages, found, static_cast<int>(move.node));

	move.moved += moved == Moved::moved;
	move.busy += moved == Moved::busy;
	index = moved == Moved::no_memory ? found : found + 1;
	return moved == Moved::no_memory ? -KAPI_ENOMEM : 0;
}

int move(Object &object, Argument<cowmem_move> &move)
{
	if (move->__reserved || !is_range(move->offset, move->length))
		return -KAPI_EINVAL;
	if (!kapi_node_has_memory(move->node))
		return -KAPI_ENODEV;
	if (!kapi_node_allowed(move->node))
		return -KAPI_EACCES;

	Index index = first_of(move->offset);
	const Index last = last_of(move->offset, move->length);
	int err = 0;

	kapi_drain_folio_batches_everywhere();
	move->moved = move->busy = 0;
	while (!err && index <= last && !kapi_signal_pending()) {
		err = move_next(object.pages(), index, last, *move);
		kapi_cond_resched();
	}
	move->next = offset_of(index);
	if (const int put = move.put())
		return put;
	return err;
}

int poison(Object &object, Argument<cowmem_poison> &poison)
{
	if (!kapi_capable_admin())
		return -KAPI_EPERM;
	if (!kapi_knows_poison())
		return -KAPI_EOPNOTSUPP;
	if (!is_range(poison->offset, poison->length))
		return -KAPI_EINVAL;

	const Index last = last_of(poison->offset, poison->length);

	poison->poisoned = 0;
	for (Index index = first_of(poison->offset); index <= last && !kapi_signal_pending();
	     index++) {
		{
			if (!object.pages().lock_killable())
				break;

			Exclusive lock{object.pages(), held};

			index = object.pages().next_own(index, last);
			if (index == no_index)
				break;
			poison->poisoned += poison_page(object.pages(), index);
		}
		kapi_cond_resched();
	}
	return poison.put();
}

int set_huge(Object &object, Argument<cowmem_set_huge> &set)
{
	if (set->__reserved || set->huge > COWMEM_HUGE_ALWAYS)
		return -KAPI_EINVAL;
	if (set->huge && (object.pages().pinnable() || !kapi_has_large()))
		return -KAPI_EOPNOTSUPP;
	object.set_huge(set->huge);
	return 0;
}

/* Where the answer to COLLAPSE counts a block that became @result. */
__u64 &count_of(cowmem_collapse &answer, Collapsed result)
{
	switch (result) {
	case Collapsed::done:
		return answer.collapsed;
	case Collapsed::is_large:
		return answer.huge;
	case Collapsed::sparse:
		return answer.sparse;
	case Collapsed::shared:
		return answer.shared;
	case Collapsed::busy:
		return answer.busy;
	case Collapsed::poisoned:
		return answer.poisoned;
	case Collapsed::no_memory:
		return answer.no_memory;
	case Collapsed::io_error:
		break;
	}
	return answer.io_error;
}

int collapse(Object &object, Argument<cowmem_collapse> &collapse)
{
	if (!is_range(collapse->offset, collapse->length))
		return -KAPI_EINVAL;
	/* The core would have one entry of a pinnable mapping let stores through by itself. */
	if (!kapi_has_large() || object.pages().pinnable())
		return -KAPI_EOPNOTSUPP;

	const Index end = last_of(collapse->offset, collapse->length) + 1;
	Index index = first_of(collapse->offset), block;
	int err = 0;

	kapi_large_begin();
	collapse->collapsed = collapse->huge = collapse->sparse = collapse->shared =
		collapse->busy = collapse->poisoned = collapse->no_memory = collapse->io_error = 0;
	while ((block = next_block(object.pages(), index, end)) != no_index &&
	       !kapi_signal_pending()) {
		Collapsed result;

		err = collapse_block(object, block, true, result);
		if (err)
			break;
		count_of(*collapse, result)++;
		if (result != Collapsed::done && result != Collapsed::is_large)
			kapi_count(COWMEM_COUNT_large_refused);
		index = last_of_block(block) + 1;
		kapi_cond_resched();
	}
	collapse->next = offset_of(err ? index : end);
	if (const int put = collapse.put())
		return put;
	return err;
}

enum class Access {
	any,
	readable,
	writable,
	writable_or_snapshot, /* who has a descriptor of a snapshot decides for all who see it */
	dropped,              /* also a snapshot that was */
};

/* The flags that a command knows: for anyone, and for those who may write. */
struct Flags {
	unsigned int any = 0, writable = 0;
};

/*
 * Decodes the argument and checks the descriptor, then does the command. Each command has a
 * frame of its own: those of all together are more than a debug kernel permits.
 */
template <class T, auto command>
[[gnu::noinline]] int call(const file *f, unsigned long user, Access access, Flags flags = {})
{
	Argument<T> argument;

	if (access == Access::writable && !kapi_file_writable(f))
		return -KAPI_EBADF;
	if (access == Access::writable_or_snapshot && !kapi_file_writable(f) &&
	    !Object::of(f).frozen())
		return -KAPI_EBADF;
	if (access == Access::readable && !kapi_file_readable(f))
		return -KAPI_EBADF;
	if (int err = argument.get(user, flags.any | flags.writable))
		return err;
	if (argument->flags & flags.writable && !kapi_file_writable(f))
		return -KAPI_EBADF;
	if (access != Access::dropped && Object::of(f).pages().dropped())
		return -KAPI_ESTALE;
	if constexpr (std::is_invocable_v<decltype(command), const file *, Argument<T> &>)
		return command(f, argument);
	else
		return command(Object::of(f), argument);
}

} /* namespace */

} /* namespace cowmem */

/* file_operations::unlocked_ioctl. -ENOTTY: no such command. */
extern "C" long cowmem_ioctl(file *f, unsigned int command, unsigned long arg)
{
	using namespace cowmem;

	switch (command) {
	case COWMEM_IOC_GET_INFO:
		return call<cowmem_info, get_info>(f, arg, Access::dropped);
	case COWMEM_IOC_STAT:
		return call<cowmem_stat, stat>(f, arg, Access::dropped);
	case COWMEM_IOC_RESIZE:
		return call<cowmem_resize, resize>(f, arg, Access::writable,
		                                   {.any = COWMEM_RESIZE_GROWS});
	case COWMEM_IOC_PUNCH:
		return call<cowmem_punch, punch>(f, arg, Access::writable);
	case COWMEM_IOC_CREATE:
		return call<cowmem_create, create>(
			f, arg, Access::dropped,
			{.any = COWMEM_CREATE_PINNABLE | COWMEM_CREATE_HUGE});
	case COWMEM_IOC_FILE:
		return call<cowmem_file, make_file>(f, arg, Access::readable);
	case COWMEM_IOC_SET_COW:
		return call<cowmem_set_cow, set_cow>(f, arg, Access::any);
	case COWMEM_IOC_PAGE_OUT:
		return call<cowmem_page_out, page_out_object>(
			f, arg, Access::writable_or_snapshot,
			{.any = COWMEM_PAGE_OUT_ACCESSED | COWMEM_PAGE_OUT_AGE});
	case COWMEM_IOC_PREFETCH:
		return call<cowmem_prefetch, prefetch>(f, arg, Access::any,
		                                       {.writable = COWMEM_PREFETCH_TO_WRITE});
	case COWMEM_IOC_STORE_STAT:
		return call<cowmem_store_stat, store_stat>(f, arg, Access::any);
	case COWMEM_IOC_STORE_LIMIT:
		return call<cowmem_store_limit, store_limit>(f, arg, Access::writable);
	case COWMEM_IOC_SNAPSHOT:
		return call<cowmem_snapshot, snapshot>(
			f, arg, Access::readable,
			{.any = COWMEM_SNAPSHOT_LIMIT | COWMEM_SNAPSHOT_DROP});
	case COWMEM_IOC_SNAPSHOT_SET:
		return call<cowmem_snapshot_set, snapshot_set>(f, arg, Access::dropped);
	case COWMEM_IOC_CLONE:
		return call<cowmem_snapshot, clone>(f, arg, Access::readable);
	case COWMEM_IOC_RESTORE:
		return call<cowmem_restore, restore>(f, arg, Access::writable);
	case COWMEM_IOC_DIFF:
		return call<cowmem_diff, diff>(f, arg, Access::readable);
	case COWMEM_IOC_RMAP:
		return call<cowmem_rmap, rmap>(f, arg, Access::readable,
		                               {.any = COWMEM_RMAP_OF_COPIES});
	case COWMEM_IOC_PAGEMAP:
		return call<cowmem_pagemap, pagemap>(
			f, arg, Access::readable,
			{.writable = COWMEM_PAGEMAP_CLEAR_REFERENCED | COWMEM_PAGEMAP_CLEAR_DIRTY});
	case COWMEM_IOC_MOVE:
		return call<cowmem_move, move>(f, arg, Access::writable);
	case COWMEM_IOC_POISON:
		return call<cowmem_poison, poison>(f, arg, Access::writable);
	case COWMEM_IOC_SET_HUGE:
		return call<cowmem_set_huge, set_huge>(f, arg, Access::writable);
	case COWMEM_IOC_COLLAPSE:
		return call<cowmem_collapse, collapse>(f, arg, Access::writable);
	}
	return -KAPI_ENOTTY;
}
