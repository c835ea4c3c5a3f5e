// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/*
 * libcowmem: the functions of 1.0 that fill in a struct and are not told its size. A program that was
 * compiled with 1.0 calls them, and so does one that finds a function by its name: each fills in what
 * its struct had then, and no more, however much that has now. cowmem.h has functions of the same
 * names, that are compiled into their caller and tell the size; hence the other names here.
 */
#include "internal.h"

#define OF_1_0(name, result, declared)                                 \
	result name##_of_1_0 declared __asm__("cowmem_object_" #name); \
	result name##_of_1_0 declared

/* The bytes that the structs had then. */
enum { INFO = 32, STAT = 80, PAGE_OUT = 120, STORE_STAT = 56, MOVE = 56 };

OF_1_0(info, int, (int fd, struct cowmem_info *info))
{
	return cowmem_object_info_sized(fd, info, INFO);
}

OF_1_0(stat, int, (int fd, struct cowmem_stat *stat))
{
	return cowmem_object_stat_sized(fd, stat, STAT);
}

OF_1_0(page_out, int,
       (int fd, uint64_t offset, uint64_t length, unsigned int flags,
        struct cowmem_page_out *result))
{
	return cowmem_object_page_out_sized(fd, offset, length, flags, result, PAGE_OUT);
}

OF_1_0(store_stat, int, (int fd, struct cowmem_store_stat *stat))
{
	return cowmem_object_store_stat_sized(fd, stat, STORE_STAT);
}

OF_1_0(move, int,
       (int fd, uint64_t offset, uint64_t length, unsigned int node, struct cowmem_move *result))
{
	return cowmem_object_move_sized(fd, offset, length, node, result, MOVE);
}
