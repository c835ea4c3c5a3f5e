/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/* What the parts of libcowmem share: none of it is seen outside. */
#ifndef COWMEM_LIB_INTERNAL_H
#define COWMEM_LIB_INTERNAL_H

#include <cowmem/cowmem.h>

/* The unit of all ranges: the module is for kernels of 4 KiB pages. */
#define PAGE_SIZE 4096ULL

/*
 * Has @to, a struct of @size bytes as the caller knows it, zeroes but for its size. 0, or, then with
 * nothing changed, -EINVAL: it is less than the @least of its first version; -E2BIG: more than a page.
 */
int begin_answer(void *to, size_t size, size_t least);

/* Has @to, which begin_answer() began, be what @known is, as far as both go. */
void give_answer(void *to, size_t size, const void *known, size_t known_size);

/* ioctl() of an object of the module's: what it gives, or -errno. */
int call(int fd, unsigned long command, void *argument);

/* 1: @fd is an object of the module's. 0: it is a memfd. -EBADF, -ENOTTY: neither. */
int is_module(int fd);

/*
 * Before a call that a memfd cannot answer: 0: @fd is the module's. -EOPNOTSUPP: it is a memfd.
 * -EBADF, -ENOTTY.
 */
int needs_module(int fd);

/* Has 0, 0 mean all of the object, in whole pages, which may be none. 0, -EINVAL, or what STAT fails with. */
int take_range(int fd, uint64_t *offset, uint64_t *length);

/* 0 or -EINVAL: the range is not page aligned, is empty, or overflows. */
int check_range(uint64_t offset, uint64_t length);

/* --- the same as the module's calls on a memfd (memfd.c); 0 or a descriptor, or -errno --- */
int memfd_create_object(const char *name);
int memfd_stat(int fd, struct cowmem_stat *stat);
int memfd_resize(int fd, uint64_t bytes);
int memfd_punch(int fd, uint64_t offset, uint64_t length);
int memfd_snapshot(int fd);
int memfd_clone(int fd, uint64_t offset, uint64_t length);
int memfd_restore(int fd, int snapshot, uint64_t offset, uint64_t length);

/*
 * The pages of @fd and @other that differ in [@offset, @end), the first range of them in @range.
 * 1, or 0: there is none.
 */
int memfd_diff(int fd, int other, uint64_t offset, uint64_t end, struct cowmem_changed *range);

#endif /* COWMEM_LIB_INTERNAL_H */
