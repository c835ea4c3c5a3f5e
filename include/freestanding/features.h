/* SPDX-License-Identifier: GPL-2.0 */
/*
 * libstdc++'s freestanding headers ask the C library's <features.h> which C library
 * it is. There is none here.
 */
#define __GLIBC_PREREQ(major, minor) 0
