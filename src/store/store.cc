// SPDX-License-Identifier: GPL-2.0
/* The store (store/store.h). */
#include <optional>

#include "kernel/folio.h"
#include "kernel/minmax.h"
#include "store/store.h"

namespace cowmem {

constinit Store store;

namespace {

constexpr unsigned int words = KAPI_PAGE_SIZE / sizeof(unsigned long);

/* The word that the page consists of, if it does. It may be changing: read each word once. */
std::optional<unsigned long> only_word(const unsigned long *page)
{
	const unsigned long first = __atomic_load_n(page, __ATOMIC_RELAXED);

	/* Mostly they differ at the end already, where data ends and padding begins. */
	if (__atomic_load_n(page + words - 1, __ATOMIC_RELAXED) != first)
		return std::nullopt;
	for (unsigned int i = 1; i < words - 1; i++)
		if (__atomic_load_n(page + i, __ATOMIC_RELAXED) != first)
			return std::nullopt;
	return first;
}

} /* namespace */

int Store::init(const char *compressor)
{
	pool_ = kapi_zs_create();
	if (!pool_)
		return -KAPI_ENOMEM;
	too_long_ = kapi_zs_huge_size(pool_);

	const int err = measure() ? select(compressor) : -KAPI_ENOMEM;

	if (err)
		exit();
	return err;
}

/*
 * An object has its part of some pages, with what those have left over, and the memory of a handle.
 * Of how many pages, zsmalloc does not say: it is seen when the first one is made.
 */
bool Store::measure()
{
	for (unsigned int step = 0; (step + 1) * size_step - handle_size < too_long_; step++) {
		const unsigned int size = max_of((step + 1) * size_step, least_size);
		const unsigned long before = pages();
		const unsigned long handle = kapi_zs_alloc_waiting(pool_, size - handle_size);

		if (!handle)
			return false;

		const unsigned long bytes = (pages() - before) * KAPI_PAGE_SIZE;

		kapi_zs_free(pool_, handle);
		/* Without new pages it is in those of the size before, which were not gone yet. */
		taken_[step] =
			bytes ? static_cast<unsigned short>(bytes / (bytes / size) + handle_size)
			      : taken_[step - 1];
	}
	return true;
}

void Store::exit()
{
	for (Compressor *compressor : compressors_)
		delete compressor;
	kapi_zs_destroy(pool_);
}

int Store::select(const char *compressor)
{
	unsigned char n = 1;

	while (n <= max_compressors && compressors_[n] &&
	       !kapi_same_name(compressor, compressors_[n]->name()))
		n++;
	if (n > max_compressors)
		return -KAPI_ENOSPC;

	int err = 0;

	if (!compressors_[n])
		compressors_[n] = Compressor::create(compressor, err);
	if (!err)
		__atomic_store_n(&current_, n, __ATOMIC_RELEASE);
	return err;
}

const char *Store::compressor() const
{
	return compressors_[__atomic_load_n(&current_, __ATOMIC_ACQUIRE)]->name();
}

/* With a gap between the two, so that what is at the limit does not try for each page that goes. */
bool Store::is_at_limit(bool was_full) const
{
	const unsigned long max = kapi_store_max_pages();
	const unsigned long slots = __atomic_load_n(&slots_, __ATOMIC_RELAXED);
	const unsigned long all = pages() + slots * kapi_slot_size() / KAPI_PAGE_SIZE;

	return max && all >= (was_full ? max - max / 10 : max);
}

/*
 * What is freed leaves gaps, which zsmalloc closes by itself only if the whole machine has no
 * memory: that is asked for at the limit, and again whenever a tenth of the slots has gone. It has
 * to be worth as much as is asked of who waits, so that it is not done for each page.
 */
bool Store::has_room()
{
	const bool was_full = __atomic_load_n(&full_, __ATOMIC_RELAXED);
	const unsigned long slots = __atomic_load_n(&slots_, __ATOMIC_RELAXED);
	const unsigned long compacted_at = __atomic_load_n(&compacted_at_, __ATOMIC_RELAXED);
	bool full = is_at_limit(was_full);

	if (full && (!was_full || slots < compacted_at - compacted_at / 10)) {
		__atomic_store_n(&compacted_at_, slots, __ATOMIC_RELAXED);
		kapi_zs_compact(pool_);
		full = is_at_limit(true);
	}
	if (full != was_full)
		__atomic_store_n(&full_, full, __ATOMIC_RELAXED);
	return !full;
}

bool Store::has_room_for(folio *page)
{
	if (has_room())
		return true;

	const Mapped mapped{page};

	return only_word(mapped.words()).has_value();
}

void Store::drop_slot(StoreSlot *slot)
{
	__atomic_fetch_sub(&slots_, 1, __ATOMIC_RELAXED);
	kapi_owner_uncharge(slot->owner, kapi_slot_size());
	kapi_owner_put(slot->owner);
	kapi_slot_free(slot);
}

/* A slot of @page that has nothing yet. Nobody else sees it until its count is set. */
StoreSlot *Store::new_slot(folio *page, unsigned char how, bool reserves)
{
	auto *made = static_cast<StoreSlot *>(kapi_slot_alloc_nowait(reserves));

	if (!made)
		return nullptr;
	made->how = how;
	made->length = 0;
	made->marks = 0;
	made->where = 0;
	made->owner = kapi_folio_get_owner(page);
	if (kapi_owner_charge(made->owner, kapi_slot_size())) {
		__atomic_fetch_add(&slots_, 1, __ATOMIC_RELAXED);
		return made;
	}
	kapi_owner_put(made->owner);
	kapi_slot_free(made);
	return nullptr;
}

/* New memory of the pool's with @bytes in it, or 0. */
unsigned long Store::copy_in(void *bytes, unsigned int length, bool reserves)
{
	const unsigned long handle = kapi_zs_alloc(pool_, length, reserves);

	if (handle)
		kapi_zs_write(pool_, handle, bytes, length);
	return handle;
}

Put Store::compress(folio *page, StoreSlot &slot, bool reserves)
{
	const unsigned char how = __atomic_load_n(&current_, __ATOMIC_ACQUIRE);
	const Using stream{compressors_[how]->stream()};
	unsigned int length;
	{
		const Mapped mapped{page};

		length = stream->compress(mapped.bytes());
	}
	if (!length || length >= too_long_)
		return Put::incompressible;
	if (!kapi_owner_charge(slot.owner, taken_by(length)))
		return Put::no_memory;
	slot.what = copy_in(stream->buffer(), length, reserves);
	if (!slot.what) {
		kapi_owner_uncharge(slot.owner, taken_by(length));
		return Put::no_memory;
	}
	slot.how = how;
	slot.length = static_cast<unsigned short>(length);
	return Put::stored;
}

Put Store::put(folio *page, SlotRef &slot, bool reclaim)
{
	std::optional<unsigned long> word;
	{
		const Mapped mapped{page};

		word = only_word(mapped.words());
	}
	if (!word && !has_room())
		return Put::full;

	StoreSlot *made = new_slot(page, StoreSlot::same_filled, reclaim);

	if (!made)
		return Put::no_memory;

	Put result = Put::stored;

	if (word)
		made->what = *word;
	else
		result = compress(page, *made, reclaim);
	if (result == Put::stored) {
		kapi_ref_init(&made->references); /* and with it everything else is visible */
		slot = SlotRef{made};
	} else {
		drop_slot(made);
	}
	return result;
}

Put Store::writeback(folio *page, SlotRef &slot, Transfer &transfer, bool reclaim)
{
	StoreSlot *made = new_slot(page, StoreSlot::backed, reclaim);

	if (!made)
		return Put::no_memory;
	if (const int err = backing.write(page, *made, transfer, reclaim)) {
		drop_slot(made);
		return err == -KAPI_ENOSPC ? Put::full : Put::no_memory;
	}
	kapi_ref_init(&made->references);
	slot = SlotRef{made};
	return Put::stored;
}

int Store::read(const StoreSlot &slot, folio *page)
{
	bool good = true;

	if (slot.how == StoreSlot::same_filled) {
		const Mapped mapped{page};

		kapi_fill(mapped.words(), slot.what, words);
	} else {
		const Using stream{compressors_[slot.how]->stream()};
		const Mapped mapped{page};

		const void *bytes =
			kapi_zs_read_begin(pool_, slot.what, slot.length, stream->buffer());

		good = stream->decompress(bytes, slot.length, mapped.bytes());
		kapi_zs_read_end(pool_, slot.what, slot.length, bytes);
	}
	kapi_folio_flush(page);
	return good ? 0 : -KAPI_EIO;
}

void Store::free(StoreSlot *slot)
{
	if (slot->is_backed()) {
		backing.free(*slot);
	} else if (slot->how != StoreSlot::same_filled) {
		kapi_zs_free(pool_, slot->what);
		kapi_owner_uncharge(slot->owner, taken_by(slot->length));
	}
	drop_slot(slot);
}

} /* namespace cowmem */

/* The store's life, from src/device/module.c. 0 or as Store::init() says. */
extern "C" int cowmem_store_init(const char *compressor)
{
	return cowmem::store.init(compressor);
}

extern "C" void cowmem_store_exit(void)
{
	cowmem::store.exit();
}

/* The parameter `compressor`. */
extern "C" int cowmem_store_select(const char *compressor)
{
	return cowmem::store.select(compressor);
}

extern "C" const char *cowmem_store_compressor(void)
{
	return cowmem::store.compressor();
}
