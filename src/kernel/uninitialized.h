/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Before a local variable of a hot path whose arrays are written before they are read: kernels
 * that are built with INIT_STACK_ALL_ZERO would zero it first, which takes as long as its use.
 */
#ifndef COWMEM_UNINITIALIZED_H
#define COWMEM_UNINITIALIZED_H

#define UNINITIALIZED __attribute__((uninitialized))

#endif /* COWMEM_UNINITIALIZED_H */
