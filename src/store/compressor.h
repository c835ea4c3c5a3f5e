/* SPDX-License-Identifier: GPL-2.0 */
/* A compressor of the kernel's crypto API, with a context for each CPU. */
#ifndef COWMEM_COMPRESSOR_H
#define COWMEM_COMPRESSOR_H

#include "kernel/alloc.h"

namespace cowmem {

/* One context of a compressor: for one user at a time, who holds it as a scope. */
class Stream {
public:
	/* 0, -ENOMEM, -ENOENT: the kernel has no @name, -EINTR: killed. Sleeps. */
	int create(const char *name);
	/* Also of what create() could not make whole. */
	void destroy();

	void lock() { kapi_mutex_lock(mutex_); }
	void unlock() { kapi_mutex_unlock(mutex_); }

	/* Room for whatever becomes of a page. */
	unsigned char *buffer() const { return buffer_; }
	/* Compresses @page into the buffer: the length, or 0 if the compressor gives up. */
	unsigned int compress(const void *page);
	/* Whether the @length bytes were a page. */
	bool decompress(const void *bytes, unsigned int length, void *page);

private:
	mutex *mutex_ = nullptr;
	crypto_acomp *context_ = nullptr;
	unsigned char *buffer_ = nullptr;
};

class Compressor : public Allocated {
public:
	/* The compressor @name, or null, and in @err why, as Stream::create() says. Sleeps. */
	static Compressor *create(const char *name, int &err);
	~Compressor();

	const char *name() const { return name_; }
	/* Slots whose bytes it made. */
	unsigned long slots() const { return __atomic_load_n(&slots_, __ATOMIC_RELAXED); }
	void add_slots(unsigned long n) { __atomic_fetch_add(&slots_, n, __ATOMIC_RELAXED); }
	/* This CPU's context, most probably free. */
	Stream &stream() const { return streams_[kapi_this_cpu() % count_]; }

private:
	Compressor() = default;

	char name_[32] = {};
	unsigned long slots_ = 0;
	unsigned int count_ = 0;
	Stream *streams_ = nullptr;
};

/* Uses a stream for a scope. Sleeps. */
class Using {
public:
	explicit Using(Stream &stream) : stream_{stream} { stream_.lock(); }
	~Using() { stream_.unlock(); }
	Using(const Using &) = delete;
	Using &operator=(const Using &) = delete;

	Stream *operator->() const { return &stream_; }

private:
	Stream &stream_;
};

} /* namespace cowmem */

#endif /* COWMEM_COMPRESSOR_H */
