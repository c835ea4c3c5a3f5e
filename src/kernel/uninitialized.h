/* SPDX-License-Identifier: GPL-2.0 */
/*
 * UNINITIALIZED marks a local variable of a hot path, whose arrays the code writes before it reads
 * them. Kernels with INIT_STACK_ALL_ZERO would zero it first, which takes as long as its use.
 */
#ifndef COWMEM_UNINITIALIZED_H
#define COWMEM_UNINITIALIZED_H

#define UNINITIALIZED __attribute__((uninitialized))

#endif /* COWMEM_UNINITIALIZED_H */
