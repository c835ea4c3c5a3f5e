// SPDX-License-Identifier: GPL-2.0
/* Compressors (store/compressor.h). */
#include "store/compressor.h"

namespace cowmem {

namespace {

/* Some compressors write a little more than a page before they see that it does not fit. */
constexpr unsigned int buffer_size = 2 * KAPI_PAGE_SIZE;

} /* namespace */

int Stream::create(const char *name)
{
	mutex_ = kapi_mutex_create(KAPI_MUTEX_STREAM);
	buffer_ = static_cast<unsigned char *>(kapi_alloc_array(buffer_size, 1));
	return mutex_ && buffer_ ? kapi_comp_create(name, &context_) : -KAPI_ENOMEM;
}

void Stream::destroy()
{
	kapi_free_array(buffer_);
	if (context_)
		kapi_comp_free(context_);
	kapi_mutex_free(mutex_);
}

unsigned int Stream::compress(const void *page)
{
	unsigned int length = buffer_size;

	return kapi_comp_compress(context_, page, KAPI_PAGE_SIZE, buffer_, &length) ? 0 : length;
}

bool Stream::decompress(const void *bytes, unsigned int length, void *page)
{
	unsigned int room = KAPI_PAGE_SIZE;

	return !kapi_comp_decompress(context_, bytes, length, page, &room) &&
	       room == KAPI_PAGE_SIZE;
}

Compressor *Compressor::create(const char *name, int &err)
{
	/* Each stream sleeps while it is made, and CPUs may come online meanwhile. */
	const unsigned int cpus = kapi_cpus();
	auto *made = new (Gfp::kernel_account) Compressor;

	err = -KAPI_ENOMEM;
	if (!made)
		return nullptr;
	for (unsigned int i = 0; i < sizeof(made->name_) - 1 && name[i] && name[i] != '\n'; i++)
		made->name_[i] = name[i];
	made->streams_ = static_cast<Stream *>(kapi_zalloc(cpus * sizeof(Stream)));
	if (made->streams_)
		err = 0;
	while (!err && made->count_ < cpus)
		err = made->streams_[made->count_++].create(made->name_);
	if (!err)
		return made;
	delete made;
	return nullptr;
}

Compressor::~Compressor()
{
	for (unsigned int i = 0; i < count_; i++)
		streams_[i].destroy();
	kapi_free(streams_);
}

} /* namespace cowmem */
