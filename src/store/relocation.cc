// SPDX-License-Identifier: GPL-2.0
/* Bytes of slots, relocated (store/relocation.h). */
#include "store/relocation.h"

namespace cowmem {

namespace {

/* Moving::error: nothing failed, and nothing moves. */
constexpr int stays = 1;

} /* namespace */

mutex *Relocating::one_relocates;
unsigned int Relocating::walks;

int Relocating::init()
{
	one_relocates = kapi_mutex_create(KAPI_MUTEX_RELOCATION);
	return one_relocates ? 0 : -KAPI_ENOMEM;
}

Relocation *Relocation::create(Target target)
{
	auto *made = new (Gfp::kernel_account) Relocation{target};

	if (!made)
		return nullptr;
	for (Moving &at : made->moving_) {
		at.page = FolioRef{kapi_folio_alloc(false)};
		if (!at.page) {
			delete made;
			return nullptr;
		}
	}
	return made;
}

bool Relocation::add(SlotRef slot)
{
	Moving &at = moving_[count_++];

	at.slot = std::move(slot);
	at.from = at.slot->location();
	at.error = 0;
	return count_ == max;
}

bool Relocation::has_failed(const StoreSlot *slot) const
{
	for (unsigned int i = 0; i < failures_; i++)
		if (failed_[i] == slot)
			return true;
	return false;
}

/* Nobody else changes where they are, so that what is read is what was asked for. */
int Relocation::read_all()
{
	int killed = 0;
	{
		const Together together;

		for (unsigned int i = 0; i < count_; i++)
			if (moving_[i].from.is_backed())
				moving_[i].read =
					backing.start_read(*moving_[i].slot, moving_[i].page.get());
	}
	for (unsigned int i = 0; i < count_; i++) {
		Moving &at = moving_[i];

		at.error = at.from.is_backed() ? backing.finish_read(std::move(at.read), *at.slot,
		                                                     at.page.get(), Wait::killable)
		                               : store.read(*at.slot, at.page.get());
		if (at.error == -KAPI_EINTR)
			killed = at.error;
		kapi_cond_resched();
	}
	return killed;
}

/* 0, or what is said of it. */
int Relocation::place(Moving &at) const
{
	if (target_ == Target::backing)
		return backing.write(at.page.get(), at.to, at.write, COWMEM_TRANSFER_MOVE);

	const unsigned char turn = store.turn(); /* before it is seen which compressor that is */

	switch (target_ == Target::cold
	                ? store.recompress(at.page.get(), at.slot->owner(), at.from, at.to)
	                : store.place(at.page.get(), at.slot->owner(), at.from, at.to, at.write)) {
	case Put::stored:
		return 0;
	case Put::incompressible:
		kapi_count(COWMEM_COUNT_pages_incompressible);
		at.slot->set_tried(turn);
		return stays;
	case Put::full:
		return -KAPI_ENOSPC;
	default:
		return -KAPI_ENOMEM;
	}
}

void Relocation::place_all()
{
	const Together together;

	for (unsigned int i = 0; i < count_; i++) {
		Moving &at = moving_[i];

		if (!at.error)
			at.error = place(at);
		kapi_cond_resched();
	}
}

int Relocation::run(Relocated &result)
{
	if (!count_)
		return 0;

	const int killed = read_all();

	if (!killed)
		place_all();
	for (unsigned int i = 0; i < count_ && !killed; i++) {
		Moving &at = moving_[i];

		if (!at.error && at.to.is_backed()) {
			at.error = at.write.wait(Wait::to_the_end);
			backing.wrote(!at.error);
			kapi_count(at.error ? COWMEM_COUNT_backing_errors
			                    : COWMEM_COUNT_backing_written);
			if (at.error)
				store.free_bytes(at.to, at.slot->owner());
		}
		if (!at.error) {
			at.slot->set_location(at.to);
			result.moved++;
			if (target_ == Target::backing)
				kapi_count(COWMEM_COUNT_backing_moved);
			if (target_ == Target::cold)
				kapi_count(COWMEM_COUNT_pages_recompressed);
			continue;
		}
		if (at.error == stays)
			continue;
		result.error = at.error;
		if (has_failed(at.slot.get()))
			continue;
		if (failures_ < max_failures)
			failed_[failures_++] = at.slot.get();
		result.failed++;
	}
	if (!killed)
		kapi_bytes_stay_wait();
	for (unsigned int i = 0; i < count_; i++) {
		Moving &at = moving_[i];

		if (!killed && !at.error)
			store.free_bytes(at.from, at.slot->owner());
		at.slot = {};
	}
	count_ = 0;
	return killed;
}

} /* namespace cowmem */

extern "C" int cowmem_relocation_init(void)
{
	return cowmem::Relocating::init();
}

extern "C" void cowmem_relocation_exit(void)
{
	cowmem::Relocating::exit();
}
