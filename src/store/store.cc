// SPDX-License-Identifier: GPL-2.0
/* The store (store/store.h). */
#include <optional>

#include "kernel/folio.h"
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

/* A slot that takes nothing yet. Nobody else sees it until its count is set. */
StoreSlot *new_slot(unsigned char how)
{
	auto *made = static_cast<StoreSlot *>(kapi_slot_alloc_nowait());

	if (made) {
		made->how = how;
		made->length = 0;
		made->marks = 0;
		made->where = 0;
	}
	return made;
}

} /* namespace */

int Store::init(const char *compressor)
{
	pool_ = kapi_zs_create();
	if (!pool_)
		return -KAPI_ENOMEM;
	too_long_ = kapi_zs_huge_size(pool_);

	const int err = select(compressor);

	if (err)
		exit();
	return err;
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

/* New memory of the pool's with @bytes in it, or 0. */
unsigned long Store::copy_in(void *bytes, unsigned int length)
{
	const unsigned long handle = kapi_zs_alloc(pool_, length);

	if (handle)
		kapi_zs_write(pool_, handle, bytes, length);
	return handle;
}

Put Store::compress(folio *page, StoreSlot &slot)
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
	slot.what = copy_in(stream->buffer(), length);
	if (!slot.what)
		return Put::no_memory;
	slot.how = how;
	slot.length = static_cast<unsigned short>(length);
	return Put::stored;
}

Put Store::put(folio *page, SlotRef &slot)
{
	StoreSlot *made = new_slot(StoreSlot::same_filled);

	if (!made)
		return Put::no_memory;

	std::optional<unsigned long> word;
	{
		const Mapped mapped{page};

		word = only_word(mapped.words());
	}
	const unsigned long max = kapi_store_max_pages();
	Put result = Put::stored;

	if (word)
		made->what = *word;
	else
		result = max && pages() >= max ? Put::full : compress(page, *made);
	if (result == Put::stored) {
		kapi_ref_init(&made->references); /* and with it everything else is visible */
		slot = SlotRef{made};
	} else {
		kapi_slot_free(made);
	}
	return result;
}

Put Store::put_aside(folio *page, SlotRef &slot, Transfer &transfer, bool reclaim)
{
	StoreSlot *made = new_slot(StoreSlot::backed);

	if (!made)
		return Put::no_memory;
	if (const int err = backing.write(page, *made, transfer, reclaim)) {
		kapi_slot_free(made);
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

void Store::free(const StoreSlot &slot)
{
	if (slot.is_backed())
		backing.free(slot);
	else if (slot.how != StoreSlot::same_filled)
		kapi_zs_free(pool_, slot.what);
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
