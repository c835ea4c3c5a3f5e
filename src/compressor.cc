// SPDX-License-Identifier: GPL-2.0
/* Compressors (cowmem/compressor.h). */
#include <cowmem/compressor.h>

namespace cowmem {

namespace {

/* Some compressors write a little more than a page before they see that it does not fit. */
constexpr unsigned int buffer_size = 2 * KAPI_PAGE_SIZE;

} /* namespace */

bool Stream::create(const char *name)
{
	mutex_ = kapi_mutex_create();
	context_ = kapi_comp_create(name);
	buffer_ = static_cast<unsigned char *>(kapi_alloc_array(buffer_size, 1));
	return mutex_ && context_ && buffer_;
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
	auto *made = new (Gfp::kernel_account) Compressor;

	err = -KAPI_ENOMEM;
	if (!made)
		return nullptr;
	for (unsigned int i = 0; i < sizeof(made->name_) - 1 && name[i] && name[i] != '\n'; i++)
		made->name_[i] = name[i];
	made->streams_ = static_cast<Stream *>(kapi_zalloc(kapi_cpus() * sizeof(Stream)));
	while (made->streams_ && made->count_ < kapi_cpus()) {
		made->count_++;
		if (!made->streams_[made->count_ - 1].create(made->name_)) {
			err = -KAPI_ENOENT;
			delete made;
			return nullptr;
		}
	}
	if (!made->streams_) {
		delete made;
		return nullptr;
	}
	err = 0;
	return made;
}

Compressor::~Compressor()
{
	for (unsigned int i = 0; i < count_; i++)
		streams_[i].destroy();
	kapi_free(streams_);
}

} /* namespace cowmem */
