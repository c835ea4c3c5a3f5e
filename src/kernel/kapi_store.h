/* SPDX-License-Identifier: GPL-2.0 */
/* Of the line between C and C++ (kernel/kapi.h): slots, compressed memory, and the backing store. */
#ifndef COWMEM_KAPI_STORE_H
#define COWMEM_KAPI_STORE_H

#include "kernel/kapi_types.h"
#include "kernel/transfer.h"

KAPI_BEGIN

/* --- slots of paged-out pages --- */
/* The memory of a slot stays a slot's under RCU. Does not sleep; @reserves: for memory reclaim. */
void *kapi_slot_alloc_nowait(bool reserves);
void kapi_slot_free(void *slot);
size_t kapi_slot_size(void); /* bytes that one takes, with what the allocator keeps of it */

/* Between the two, bytes of slots stay where a slot says; and the wait for who began before. struct srcu_struct. */
int kapi_bytes_stay_begin(void);
void kapi_bytes_stay_end(int which);
void kapi_bytes_stay_wait(void);

/* What is told of a memory cgroup's part of the store (store/owners.h), with all below it; but for the first two, in bytes. */
struct kapi_group {
	unsigned long id; /* the inode of its directory; 0: what is charged to none */
	unsigned long slots;
	unsigned long original;   /* of the pages, before */
	unsigned long compressed; /* in memory, behind it */
	unsigned long memory;     /* and slots */
	unsigned long most;       /* that it may have now */
};

/* --- compressed memory: zsmalloc, and the crypto API's compressors --- */
struct zs_pool *kapi_zs_create(void);
void kapi_zs_destroy(struct zs_pool *pool);
unsigned long kapi_zs_alloc(struct zs_pool *pool, size_t size,
                            bool reserves);                             /* or 0; does not sleep */
unsigned long kapi_zs_alloc_waiting(struct zs_pool *pool, size_t size); /* the same; sleeps */
void kapi_zs_free(struct zs_pool *pool, unsigned long handle);
void kapi_zs_write(struct zs_pool *pool, unsigned long handle, void *bytes, size_t n);
/* The object's @n bytes, perhaps in @buffer, which has room for as many; nothing sleeps until the end. */
const void *kapi_zs_read_begin(struct zs_pool *pool, unsigned long handle, size_t n, void *buffer);
void kapi_zs_read_end(struct zs_pool *pool, unsigned long handle, size_t n, const void *bytes);
unsigned long kapi_zs_pages(struct zs_pool *pool);
void kapi_zs_compact(struct zs_pool *pool);     /* gives back pages that are half empty; sleeps */
size_t kapi_zs_huge_size(struct zs_pool *pool); /* from which on a page is no smaller */
/* 0; -ENOENT: there is none; -ENOMEM, -EINTR; and @comp as it was. Sleeps, may load a module. */
int kapi_comp_create(const char *name, struct crypto_acomp **comp);
void kapi_comp_free(struct crypto_acomp *comp);
int kapi_comp_compress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to,
                       unsigned int *room);
int kapi_comp_decompress(struct crypto_acomp *comp, const void *from, unsigned int n, void *to,
                         unsigned int *room);
/* Of which kind, for lockdep: a lower one may be taken with a higher one held. */
enum kapi_mutex_class {
	KAPI_MUTEX_RELOCATION,
	KAPI_MUTEX_CHANGING,
	KAPI_MUTEX_STREAM,
	KAPI_NR_MUTEXES
};
struct mutex *kapi_mutex_create(enum kapi_mutex_class of);
void kapi_mutex_free(struct mutex *mutex);
void kapi_mutex_lock(struct mutex *mutex);
void kapi_mutex_unlock(struct mutex *mutex);
int kapi_mutex_lock_interruptible(struct mutex *mutex); /* -EINTR: a signal */
unsigned int kapi_cpus(void);
unsigned int kapi_this_cpu(void); /* a hint: the caller may be elsewhere by now */
void kapi_copy(void *to, const void *from, size_t n);
void kapi_fill(unsigned long *words, unsigned long value, size_t n);
bool kapi_same_bytes(const void *a, const void *b, size_t n); /* somebody may be writing them */
bool kapi_same_name(const char *a, const char *b);

/* --- the backing store: a file or block device (src/store/backing_io.c) --- */
/* Neighbouring I/O of the caller is collected between the two; struct blk_plug. */
struct kapi_plug {
	unsigned long opaque[8];
};
void kapi_plug_begin(struct kapi_plug *plug);
void kapi_plug_end(struct kapi_plug *plug);
/* Its size in pages, and what it is; a device is had once for each @file. 0 or -errno, with a line in the log. */
int kapi_backing_open(const char *path, struct file **file, unsigned long *pages,
                      enum cowmem_backing_kind *kind);
void kapi_backing_close(struct file *file);
/* Whether memory reclaim may write to such, and wait for that: the parameter. */
bool kapi_serves_reclaim(enum cowmem_backing_kind kind);
/* What can be given back to the device there, so many pages at a time, is what begins at a multiple of that; 0: nothing can. */
unsigned int kapi_backing_discards(const struct file *file);
/* Gives back @n pages from @place on, of which nobody knows any more what is in them. Sleeps. */
void kapi_backing_discard(struct file *file, unsigned long place, unsigned long n);
bool kapi_wants_discards(void); /* the parameter */
void kapi_discard_soon(void);   /* has Store::discard() be called soon. Never sleeps. */
/*
 * Begins to read or write a page there; or null: no memory. @owner: the cgroup that a write by PAGE_OUT is for, or null. Only a
 * read and a move sleep for memory.
 */
struct cowmem_transfer *kapi_transfer_start(struct file *file, unsigned long place,
                                            struct folio *folio, enum cowmem_transfer_for what,
                                            struct obj_cgroup *owner);
int kapi_transfer_wait(struct cowmem_transfer *transfer, bool killable);
void kapi_transfer_leave(struct cowmem_transfer *transfer);
unsigned int kapi_crc32c(const void *bytes, size_t n);
void kapi_say_damaged(unsigned long place);
void kapi_say_given_up(void);
unsigned long *kapi_bits_alloc(unsigned long n); /* all clear; kapi_free_array() frees them */
unsigned long kapi_bits_next_clear(const unsigned long *bits, unsigned long n, unsigned long from);
bool kapi_bit_test_and_set(unsigned long *bits, unsigned long i);
void kapi_bit_clear(unsigned long *bits, unsigned long i);
void kapi_bit_set(unsigned long *bits, unsigned long i);
bool kapi_bit_test(const unsigned long *bits, unsigned long i);
unsigned long kapi_bits_next_set(const unsigned long *bits, unsigned long n, unsigned long from);
/* What is cold is to make room in the store, soon, and by another task (src/reclaim/room.c). Never sleeps. */
void kapi_make_room_soon(void);
/* How many pages one read brings in at most, with their neighbours. */
unsigned int kapi_backing_readahead(void);

KAPI_END

#endif /* COWMEM_KAPI_STORE_H */
