// SPDX-License-Identifier: GPL-2.0
/* The backing store (store/backing.h): its places and checksums. */
#include "store/backing.h"
#include "kernel/folio.h"

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
	file *opened = nullptr;
	unsigned long count = 0, *taken = nullptr;
	bool device = false;

	if (*path) {
		if (const int err = kapi_backing_open(path, &opened, &count, &device))
			return err;
		taken = kapi_bits_alloc(count);
	}

	long unused = 0;
	int err = 0;

	if (opened && !taken)
		err = -KAPI_ENOMEM;
	else if (file_ && !__atomic_compare_exchange_n(&users_, &unused, none, false,
	                                               __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		err = -KAPI_EBUSY;
	if (!err) {
		std::swap(file_, opened);
		std::swap(taken_, taken);
		count_ = count;
		__atomic_store_n(&device_, device, __ATOMIC_RELAXED);
		next_ = 0;
		__atomic_store_n(&failures_, 0, __ATOMIC_RELAXED);
		if (file_)
			__atomic_store_n(&users_, 0, __ATOMIC_RELEASE);
	}
	kapi_free_array(taken);
	if (opened)
		kapi_backing_close(opened);
	return err;
}

bool Backing::begin()
{
	long users = __atomic_load_n(&users_, __ATOMIC_RELAXED);

	while (users != none)
		if (__atomic_compare_exchange_n(&users_, &users, users + 1, false, __ATOMIC_ACQUIRE,
		                                __ATOMIC_RELAXED))
			return true;
	return false;
}

bool Backing::take_place(unsigned long &place)
{
	/* Who would search all of it in vain sees that first. */
	if (__atomic_load_n(&users_, __ATOMIC_RELAXED) > static_cast<long>(count_))
		return false;

	unsigned long at = __atomic_load_n(&next_, __ATOMIC_RELAXED);

	for (bool again = false;;) {
		at = kapi_bits_next_clear(taken_, count_, at);
		if (at < count_ && !kapi_bit_test_and_set(taken_, at))
			break;
		if (at < count_)
			continue;
		if (std::exchange(again, true))
			return false;
		at = 0;
	}
	__atomic_store_n(&next_, at + 1, __ATOMIC_RELAXED);
	place = at;
	return true;
}

int Backing::write(folio *page, StoreSlot &slot, Transfer &transfer, bool reclaim)
{
	unsigned long place;

	if (!begin())
		return -KAPI_ENOSPC;
	if ((reclaim && (!device_ || fails())) || !take_place(place)) {
		end();
		return -KAPI_ENOSPC;
	}
	slot.what = pack(place, checksum_of(page));
	transfer = Transfer{kapi_transfer_start(file_, place, page, true)};
	if (transfer)
		return 0;
	free(slot);
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

Transfer Backing::start_read(const StoreSlot &slot, folio *page) const
{
	return Transfer{kapi_transfer_start(file_, place(slot), page, false)};
}

int Backing::finish_read(Transfer transfer, StoreSlot &slot, folio *page, Wait how) const
{
	int err = transfer ? transfer.wait(how) : -KAPI_ENOMEM;

	if (err == -KAPI_EIO)
		kapi_count(COWMEM_COUNT_backing_errors);
	if (!err && pack(place(slot), checksum_of(page)) != slot.what) {
		kapi_count(COWMEM_COUNT_checksum_errors);
		kapi_say_damaged(place(slot));
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

void Backing::free(const StoreSlot &slot)
{
	kapi_bit_clear(taken_, place(slot));
	end();
}

} /* namespace cowmem */

/* The parameter `backing`. As Backing::set() says. */
extern "C" int cowmem_backing_set(const char *path)
{
	return cowmem::backing.set(path);
}
