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
constexpr unsigned int any = ~0U; /* bytes of memory */

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
	owners.init();
	changing_ = kapi_mutex_create(KAPI_MUTEX_CHANGING);
	pool_ = changing_ ? kapi_zs_create() : nullptr;
	if (!pool_) {
		kapi_mutex_free(changing_);
		return -KAPI_ENOMEM;
	}
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
	backing.close_left();
	kapi_zs_destroy(pool_);
	kapi_mutex_free(changing_);
	owners.exit();
}

namespace {

/* Holds a mutex for a scope. Sleeps. */
class Changing {
public:
	explicit Changing(mutex *lock) : lock_{lock} { kapi_mutex_lock(lock_); }
	~Changing() { kapi_mutex_unlock(lock_); }
	Changing(const Changing &) = delete;
	Changing &operator=(const Changing &) = delete;

private:
	mutex *const lock_;
};

} /* namespace */

int Store::set_backing(const char *path)
{
	const Changing scope{changing_};

	return backing.set(path);
}

bool Store::discard_some()
{
	const Changing scope{changing_};

	return backing.discard_some();
}

/* Has @compressor, whose number is @n then. As select(). With changing_ held. */
int Store::have(const char *compressor, unsigned char &n)
{
	n = 1;
	/* Where one was given back there is room for another. */
	while (n <= max_compressors &&
	       (!compressors_[n] || !kapi_same_name(compressor, compressors_[n]->name())))
		n++;
	if (n > max_compressors)
		for (n = 1; n <= max_compressors && compressors_[n];)
			n++;
	if (n > max_compressors)
		return -KAPI_ENOSPC;

	int err = 0;

	if (!compressors_[n])
		__atomic_store_n(&compressors_[n], Compressor::create(compressor, err),
		                 __ATOMIC_RELEASE);
	return err;
}

int Store::select(const char *compressor)
{
	const Changing scope{changing_};
	unsigned char n;
	const int err = have(compressor, n);

	if (!err)
		__atomic_store_n(&current_, n, __ATOMIC_RELEASE);
	return err;
}

int Store::select_cold(const char *compressor)
{
	const Changing scope{changing_};
	unsigned char n = 0;
	const int err = *compressor ? have(compressor, n) : 0;

	if (err || n == cold_)
		return err;
	__atomic_store_n(&cold_, n, __ATOMIC_RELEASE);
	__atomic_store_n(&turn_, static_cast<unsigned char>(turn_ % last_turn + 1),
	                 __ATOMIC_RELEASE); /* whoever sees it sees that compressor, too */
	return 0;
}

unsigned long Store::left() const
{
	const BytesStay compressors_stay;
	unsigned long sum = backing.left();

	for (unsigned char n = 1; n <= max_compressors; n++) {
		const Compressor *at = __atomic_load_n(&compressors_[n], __ATOMIC_CONSUME);

		if (at && !is_in_use(n))
			sum += at->slots();
	}
	return sum;
}

/* Who still compresses with one that is not current any more is waited for, and then slots come to it no more. */
void Store::release_left()
{
	const Changing scope{changing_};

	kapi_bytes_stay_wait();
	for (unsigned char n = 1; n <= max_compressors; n++) {
		Compressor *at = compressors_[n];

		if (!at || is_in_use(n) || at->slots())
			continue;
		__atomic_store_n(&compressors_[n], nullptr, __ATOMIC_RELAXED);
		kapi_bytes_stay_wait(); /* for left() */
		delete at;
	}
	backing.close_left();
}

/* What is cold makes room to five hundredths below where a full store takes pages again. Slots stay, wherever the bytes are. */
unsigned long Store::excess() const
{
	const unsigned long max = kapi_store_max_pages(), all = most(max), most = all - all / 10;
	const unsigned long aim = most - all / 20, has = memory();

	return max && has >= most && memory_of_slots() < aim ? (has - aim) * KAPI_PAGE_SIZE : 0;
}

/* That is begun before there is somebody for whom nothing more goes in, so that memory reclaim need not write and wait itself. */
void Store::make_room_in_time(unsigned long all, unsigned long has) const
{
	if (kapi_makes_room() && has >= all - all / 20 && excess() && backing.takes_more())
		kapi_make_room_soon();
}

/*
 * What is freed leaves gaps, which zsmalloc closes by itself only if the whole machine has no
 * memory: that is asked for at the limit, and again whenever a tenth of the slots has gone. It has
 * to be worth as much as is asked of who waits, so that it is not done for each page. Once the store is full, it
 * is until there is a tenth less, so that what is at the limit does not try for each page that goes; with shares, which have that of
 * their own, a hundredth, or who comes late would find nothing of what the others' shares leave.
 */
Store::Room Store::room()
{
	const unsigned long max = kapi_store_max_pages(), all = most(max);
	unsigned long has = memory();

	if (!max)
		return Room::everybody;
	make_room_in_time(all, has);

	const bool was_full = __atomic_load_n(&full_, __ATOMIC_RELAXED);
	const unsigned long slots = __atomic_load_n(&slots_, __ATOMIC_RELAXED);
	const unsigned long compacted_at = __atomic_load_n(&compacted_at_, __ATOMIC_RELAXED);
	const unsigned long again = max - max / (kapi_share() ? 100 : 10);
	bool full = has >= (was_full ? again : max);

	if (full && (!was_full || slots < compacted_at - compacted_at / 10)) {
		__atomic_store_n(&compacted_at_, slots, __ATOMIC_RELAXED);
		kapi_zs_compact(pool_);
		has = memory();
		full = has >= again;
	}
	if (full != was_full)
		__atomic_store_n(&full_, full, __ATOMIC_RELAXED);
	if (full)
		return Room::nobody;
	return has <= all ? Room::everybody : Room::who_has_a_share;
}

/* Where not everybody has. */
bool Store::has_share(Owner &owner) const
{
	const unsigned long max = kapi_store_max_pages(), share = kapi_share();

	if (!max || !share || owner.group().has_share(max * KAPI_PAGE_SIZE, share))
		return true;
	kapi_count(COWMEM_COUNT_pages_over_share);
	return false;
}

bool Store::has_room_for(folio *page)
{
	const Room room = this->room();

	if (room == Room::everybody)
		return true;
	{
		const Mapped mapped{page};

		if (only_word(mapped.words()))
			return true;
	}
	if (room == Room::nobody)
		return false;

	/* Who has nothing here yet is owner of one slot for that. */
	Owner *owner = owners.get(kapi_folio_owner(page), false);
	/* Where there is no memory for that now, there may be as it is stored, which has the reserves. */
	const bool has = !owner || has_share(*owner);

	if (owner)
		owners.put(*owner);
	return has;
}

void Store::drop_slot(StoreSlot *slot, Owner &owner)
{
	__atomic_fetch_sub(&slots_, 1, __ATOMIC_RELAXED);
	owners.put(owner);
	kapi_slot_free(slot);
}

/* A slot of @page that has nothing yet, and is charged to nobody. Nobody else sees it until its count is set. */
StoreSlot *Store::new_slot(folio *page, Owner *&owner, bool reserves)
{
	auto *made = static_cast<StoreSlot *>(kapi_slot_alloc_nowait(reserves));

	if (!made)
		return nullptr;
	owner = owners.get(kapi_folio_owner(page), reserves);
	if (!owner) {
		kapi_slot_free(made);
		return nullptr;
	}
	made->marks = 0;
	made->where = 0;
	made->owner_number = owner->number();
	__atomic_fetch_add(&slots_, 1, __ATOMIC_RELAXED);
	return made;
}

/* Puts @bytes into new memory of the pool's, which @owner is charged for, and for @besides bytes. */
Put Store::copy_in(void *bytes, unsigned int length, unsigned char how, Owner &owner, Location &to,
                   bool reserves, unsigned long besides)
{
	const unsigned long takes = taken_by(length) + besides;

	if (!owner.charge(takes))
		return Put::no_memory;

	const unsigned long handle = kapi_zs_alloc(pool_, length, reserves);

	if (!handle) {
		owner.uncharge(takes);
		return Put::no_memory;
	}
	kapi_zs_write(pool_, handle, bytes, length);
	to = {static_cast<unsigned short>(length), how, handle};
	return Put::stored;
}

/* By compressor @by, where it takes less than @bound bytes of memory then. */
Put Store::compress(folio *page, Owner &owner, const unsigned char &by, unsigned int bound,
                    Location &to, bool reserves, unsigned long besides)
{
	const BytesStay compressors_stay;
	const unsigned char how = __atomic_load_n(&by, __ATOMIC_ACQUIRE);

	if (!how)
		return Put::incompressible;

	const Using stream{compressors_[how]->stream()};
	unsigned int length;
	{
		const Mapped mapped{page};

		length = stream->compress(mapped.bytes());
	}
	if (!length || length >= too_long_ || taken_by(length) >= bound)
		return Put::incompressible;

	const Put result = copy_in(stream->buffer(), length, how, owner, to, reserves, besides);

	if (result == Put::stored)
		compressors_[how]->add_slots(1);
	return result;
}

/* What takes the place of bytes in memory does not make those more. Who has all of it move is not told of shares. */
Put Store::place(folio *page, Owner &owner, const Location &from, Location &to, Transfer &transfer)
{
	const bool has_room = !from.is_backed() || room() != Room::nobody;
	Put result = has_room ? compress(page, owner, current_, any, to, false) : Put::full;

	if (result == Put::stored || result == Put::no_memory)
		return result;

	const int err = backing.write(page, to, transfer, COWMEM_TRANSFER_MOVE);

	if (err != -KAPI_ENOSPC)
		return err ? Put::no_memory : Put::stored;
	if (!has_room)
		return Put::full;

	const Mapped mapped{page};

	return copy_in(mapped.bytes(), KAPI_PAGE_SIZE, Location::raw, owner, to, false);
}

Put Store::recompress(folio *page, Owner &owner, const Location &from, Location &to)
{
	return compress(page, owner, cold_, memory_of(from), to, false);
}

Put Store::put(folio *page, SlotRef &slot, bool reclaim)
{
	std::optional<unsigned long> word;
	{
		const Mapped mapped{page};

		word = only_word(mapped.words());
	}
	const Room room = word ? Room::everybody : this->room();

	if (room == Room::nobody)
		return Put::full;

	Owner *owner;
	StoreSlot *made = new_slot(page, owner, reclaim);

	if (!made)
		return Put::no_memory;

	Put result = Put::stored;
	Location to{0, Location::same_filled, word.value_or(0)};

	if (word)
		result = owner->charge(kapi_slot_size()) ? Put::stored : Put::no_memory;
	else if (room == Room::who_has_a_share && !has_share(*owner))
		result = Put::full;
	else
		result = compress(page, *owner, current_, any, to, reclaim, kapi_slot_size());
	if (result == Put::stored) {
		made->begin_at(to);
		kapi_ref_init(&made->references); /* and with it everything else is visible */
		slot = SlotRef{made};
	} else {
		drop_slot(made, *owner);
	}
	return result;
}

Put Store::writeback(folio *page, SlotRef &slot, Transfer &transfer, bool reclaim)
{
	Owner *owner;
	StoreSlot *made = new_slot(page, owner, reclaim);
	Location to;

	if (!made)
		return Put::no_memory;
	if (!owner->charge(kapi_slot_size())) {
		drop_slot(made, *owner);
		return Put::no_memory;
	}
	if (const int err =
	            backing.write(page, to, transfer,
	                          reclaim ? COWMEM_TRANSFER_RECLAIM : COWMEM_TRANSFER_PAGE_OUT)) {
		owner->uncharge(kapi_slot_size());
		drop_slot(made, *owner);
		return err == -KAPI_ENOSPC ? Put::full : Put::no_memory;
	}
	made->begin_at(to);
	kapi_ref_init(&made->references);
	slot = SlotRef{made};
	return Put::stored;
}

int Store::read(const StoreSlot &slot, folio *page)
{
	const BytesStay scope;
	const Location at = slot.location();
	bool good = true;

	if (at.is_backed())
		return -KAPI_EAGAIN;
	if (at.how == Location::same_filled) {
		const Mapped mapped{page};

		kapi_fill(mapped.words(), at.what, words);
	} else {
		const bool raw = at.how == Location::raw;
		const unsigned char by =
			raw ? __atomic_load_n(&current_, __ATOMIC_ACQUIRE) : at.how;
		const Using stream{compressors_[by]->stream()};
		const Mapped mapped{page};

		const void *bytes = kapi_zs_read_begin(pool_, at.what, at.length, stream->buffer());

		if (raw)
			kapi_copy(mapped.bytes(), bytes, KAPI_PAGE_SIZE);
		else
			good = stream->decompress(bytes, at.length, mapped.bytes());
		kapi_zs_read_end(pool_, at.what, at.length, bytes);
	}
	kapi_folio_flush(page);
	return good ? 0 : -KAPI_EIO;
}

void Store::free_bytes(const Location &at, Owner &owner, unsigned long besides)
{
	const unsigned long takes = memory_of(at) + besides;

	if (at.is_backed())
		backing.free(at);
	else if (at.is_in_memory())
		kapi_zs_free(pool_, at.what);
	if (at.is_compressed())
		compressors_[at.how]->add_slots(~0UL);
	if (takes)
		owner.uncharge(takes);
}

void Store::free(StoreSlot *slot)
{
	Owner &owner = slot->owner();

	free_bytes(slot->location(), owner, kapi_slot_size());
	drop_slot(slot, owner);
}

bool Store::next_group(unsigned long &from, GroupFigures &found) const
{
	return owners.next(from, kapi_store_max_pages() * KAPI_PAGE_SIZE,
	                   kapi_store_max_pages() ? kapi_share() : 0, found);
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

/* The parameter `compressor_cold`. */
extern "C" int cowmem_store_select_cold(const char *compressor)
{
	return cowmem::store.select_cold(compressor);
}

/* The parameter `backing`. As Backing::set() says. */
extern "C" int cowmem_backing_set(const char *path)
{
	return cowmem::store.set_backing(path);
}

/* By a worker: places of the backing store came free. */
extern "C" void cowmem_discard(void)
{
	while (kapi_wants_discards() && !kapi_is_interrupted() && cowmem::store.discard_some())
		kapi_cond_resched();
}

/* The parameter `leaving`. */
extern "C" unsigned long cowmem_store_left(void)
{
	return cowmem::store.left();
}

/* For the list of cgroups (src/device/debug.c): the first at or behind *@from, which is its place then. False: there is none. */
extern "C" bool cowmem_group_next(unsigned long *from, kapi_group *found)
{
	cowmem::GroupFigures figures;

	if (!cowmem::store.next_group(*from, figures))
		return false;

	/* One that has just come counts as a slot before its memory does. */
	const unsigned long slots =
		cowmem::min_of(figures.slots * kapi_slot_size(), figures.memory);

	*found = {.id = figures.id,
	          .slots = figures.slots,
	          .original = figures.slots * KAPI_PAGE_SIZE,
	          .compressed = figures.memory - slots,
	          .memory = figures.memory,
	          .most = figures.most};
	return true;
}
