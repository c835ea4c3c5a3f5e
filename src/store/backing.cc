// SPDX-License-Identifier: GPL-2.0
/* The backing store (store/backing.h): its places and checksums. */
#include "store/backing.h"
#include "kernel/folio.h"
#include "kernel/minmax.h"

namespace cowmem {

constinit Backing backing;

namespace {

unsigned int checksum_of(folio *page)
{
	const void *bytes = kapi_folio_map(page);
	const unsigned int sum = kapi_crc32c(bytes, KAPI_PAGE_SIZE);

	kapi_folio_unmap(bytes);
	return sum;
}

/* StoreSlot::what */
constexpr unsigned long pack(unsigned long place, unsigned int checksum)
{
	return static_cast<unsigned long>(checksum) << 32 | place;
}

} /* namespace */

int Backing::set(const char *path)
{
	Device *at = nullptr;
	unsigned int n = no_device;

	if (*path) {
		/* Closed, and nobody looks at the rest any more. */
		for (n = 0; n < Location::max_devices && device_[n].opened;)
			n++;
		if (n == Location::max_devices)
			return -KAPI_EBUSY;
		at = &device_[n];

		unsigned long count = 0;
		cowmem_backing_kind kind;

		if (const int err = kapi_backing_open(path, &at->opened, &count, &kind)) {
			at->opened = nullptr;
			return err;
		}
		__atomic_store_n(&at->kind, kind, __ATOMIC_RELAXED);
		at->granule = kapi_backing_discards(at->opened);
		at->discarded = 0;
		at->taken = kapi_bits_alloc(count);
		at->freed = at->granule ? kapi_bits_alloc(count) : nullptr;
		if (!at->taken || (at->granule && !at->freed)) {
			kapi_free_array(std::exchange(at->taken, nullptr));
			kapi_free_array(std::exchange(at->freed, nullptr));
			kapi_backing_close(std::exchange(at->opened, nullptr));
			return -KAPI_ENOMEM;
		}
		__atomic_store_n(&at->count, static_cast<long>(count), __ATOMIC_RELAXED);
		at->next = 0;
		__atomic_store_n(&at->users, 0, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&failures_, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&current_, n, __ATOMIC_RELEASE);
	return 0;
}

unsigned long Backing::left() const
{
	unsigned long sum = 0;

	for (unsigned int n = 0; n < Location::max_devices; n++) {
		const long users = __atomic_load_n(&device_[n].users, __ATOMIC_RELAXED);

		if (n != current() && users > 0)
			sum += static_cast<unsigned long>(users);
	}
	return sum;
}

/*
 * Who reads from there began while a slot said that its place is there, and has the file. Who has
 * seen that it is the current one, and is late, finds that it is none.
 */
void Backing::close_left()
{
	for (unsigned int n = 0; n < Location::max_devices; n++) {
		Device &at = device_[n];
		long unused = 0;

		if (n == current() ||
		    !__atomic_compare_exchange_n(&at.users, &unused, none, false, __ATOMIC_ACQUIRE,
		                                 __ATOMIC_RELAXED))
			continue;
		/* A large device takes its time: who waits for that may end it. */
		while (kapi_wants_discards() && !kapi_is_interrupted() && at.discard_some())
			kapi_cond_resched();
		kapi_free_array(std::exchange(at.taken, nullptr));
		kapi_free_array(std::exchange(at.freed, nullptr));
		kapi_backing_close(at.opened);
		__atomic_store_n(&at.opened, nullptr, __ATOMIC_RELEASE);
	}
}

bool Backing::Device::begin()
{
	long now = __atomic_load_n(&users, __ATOMIC_RELAXED);

	while (now != none)
		if (__atomic_compare_exchange_n(&users, &now, now + 1, false, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
	return false;
}

int Backing::Device::take_place(unsigned long &place)
{
	/* Who would search all of it in vain sees that first. */
	if (__atomic_load_n(&users, __ATOMIC_RELAXED) > count)
		return -KAPI_ENOSPC;

	const auto places = static_cast<unsigned long>(count);
	unsigned long at = __atomic_load_n(&next, __ATOMIC_RELAXED);

	for (bool again = false;;) {
		at = kapi_bits_next_clear(taken, places, at);
		if (at < places && !kapi_bit_test_and_set(taken, at))
			break;
		if (at < places)
			continue;
		if (std::exchange(again, true))
			return -KAPI_ENOMEM; /* what is free the device is just being told of */
		at = 0;
	}
	__atomic_store_n(&next, at + 1, __ATOMIC_RELAXED);
	place = at;
	return 0;
}

namespace {

/* What keeps the cgroup, or nothing, that a page is charged to, for a scope. */
class OwnerOf {
public:
	explicit OwnerOf(folio *page) : owner_{kapi_folio_get_owner(page)} {}
	~OwnerOf() { kapi_owner_put(owner_); }
	OwnerOf(const OwnerOf &) = delete;
	OwnerOf &operator=(const OwnerOf &) = delete;

	obj_cgroup *get() const { return owner_; }

private:
	obj_cgroup *const owner_;
};

} /* namespace */

int Backing::write(folio *page, Location &to, Transfer &transfer, cowmem_transfer_for what)
{
	const bool reclaim = what == COWMEM_TRANSFER_RECLAIM;
	const unsigned int n = current();
	unsigned long place;

	if (n == no_device || !device_[n].begin())
		return -KAPI_ENOSPC;
	if (reclaim && (!device_[n].serves_reclaim() || fails())) {
		device_[n].end();
		return -KAPI_ENOSPC;
	}
	if (const int err = device_[n].take_place(place)) {
		device_[n].end();
		return err;
	}
	to = {0, static_cast<unsigned char>(Location::backed + n), pack(place, checksum_of(page))};

	const OwnerOf owner{page};

	transfer = Transfer{kapi_transfer_start(device_[n].opened, place, page, what, owner.get())};
	if (transfer)
		return 0;
	free(to);
	return -KAPI_ENOMEM;
}

void Backing::wrote(bool well)
{
	if (well) {
		if (__atomic_load_n(&failures_, __ATOMIC_RELAXED))
			__atomic_store_n(&failures_, 0, __ATOMIC_RELAXED);
	} else if (__atomic_add_fetch(&failures_, 1, __ATOMIC_RELAXED) == max_failures) {
		kapi_say_given_up();
	}
}

/* The file stays open as long as a slot has its bytes there; and then the transfer keeps it. */
BackingRead Backing::start_read(const StoreSlot &slot, folio *page) const
{
	BackingRead read;
	file *opened;
	{
		const BytesStay scope;

		read.from = slot.location();
		if (!read.from.is_backed())
			return read;
		opened = device_[read.from.device()].opened;
		kapi_file_get(opened);
	}
	read.transfer = Transfer{
		kapi_transfer_start(opened, place(read.from), page, COWMEM_TRANSFER_READ, nullptr)};
	kapi_file_put(opened);
	return read;
}

int Backing::finish_read(BackingRead read, StoreSlot &slot, folio *page, Wait how) const
{
	if (!read.from.is_backed())
		return -KAPI_EAGAIN;

	int err = read.transfer ? read.transfer.wait(how) : -KAPI_ENOMEM;
	const bool damaged = !err && pack(place(read.from), checksum_of(page)) != read.from.what;

	/* What was left may be closed, and somebody else's to write. */
	if ((err == -KAPI_EIO || damaged) && slot.location() != read.from)
		return -KAPI_EAGAIN;
	if (err == -KAPI_EIO)
		kapi_count(COWMEM_COUNT_backing_errors);
	if (damaged) {
		kapi_count(COWMEM_COUNT_checksum_errors);
		kapi_say_damaged(place(read.from));
		err = -KAPI_EIO;
	}
	if (err == -KAPI_EIO)
		slot.set_lost(true);
	if (err)
		return err;
	if (slot.is_lost())
		slot.set_lost(false);
	kapi_folio_flush(page);
	kapi_count(COWMEM_COUNT_backing_read);
	return 0;
}

/* Whoever is given it before the mark is there frees it once more. */
void Backing::free(const Location &at)
{
	Device &device = device_[at.device()];

	kapi_bit_clear(device.taken, place(at));
	if (device.granule && kapi_wants_discards()) {
		/* Who takes the mark away finds the place free. */
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		kapi_bit_set(device.freed, place(at));
		kapi_discard_soon();
	}
	device.end();
}

/*
 * Takes the places, as many as the device is told of at once, that begin at @place. False: some are in use. None of them has a mark
 * then: the last of these that comes free has one again.
 */
bool Backing::Device::take_granule(unsigned long place)
{
	const unsigned long end = min_of(place + granule, static_cast<unsigned long>(count));

	for (unsigned long at = place; at < end; at++)
		kapi_bit_clear(freed, at);
	for (unsigned long at = place; at < end; at++) {
		if (!kapi_bit_test_and_set(taken, at))
			continue;
		while (at-- > place)
			kapi_bit_clear(taken, at);
		return false;
	}
	return true;
}

bool Backing::Device::discard_some()
{
	const auto places = static_cast<unsigned long>(count);
	const long unused = count - __atomic_load_n(&users, __ATOMIC_RELAXED);
	/* Places: half of what is free stays so. */
	const unsigned long most = min_of(max_of<unsigned long>(4096, granule),
	                                  unused > 0 ? static_cast<unsigned long>(unused) / 2 : 0);
	const unsigned long found = freed ? kapi_bits_next_set(freed, places, discarded) : places;

	if ((found >= places && !discarded) || most < granule)
		return false;
	if (found >= places) {
		discarded = 0;
		return true;
	}

	const unsigned long begin = found - found % granule;
	unsigned long end = begin;

	do {
		if (!take_granule(end))
			break;
		end += granule;
	} while (end < places && end - begin + granule <= most &&
	         kapi_bits_next_set(freed, places, end) < end + granule);
	end = min_of(end, places);
	discarded = end == begin ? min_of(begin + granule, places) : end;
	if (end > begin) {
		kapi_backing_discard(opened, begin, end - begin);
		kapi_count_n(COWMEM_COUNT_backing_discarded, end - begin);
	}
	for (unsigned long at = begin; at < end; at++)
		kapi_bit_clear(taken, at);
	return true;
}

bool Backing::discard_some()
{
	for (Device &device : device_)
		if (device.opened && device.discard_some())
			return true;
	return false;
}

} /* namespace cowmem */
