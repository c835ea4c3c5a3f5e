/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The line between C and C++: everything of the kernel that the C++ side can see.
 *
 * Kernel headers do not compile as C++, so the C++ side knows kernel structures
 * by name only and touches them through the one-line helpers declared here and
 * defined in src/kernel/helpers.c. Both sides are compiled to LLVM bitcode and optimised
 * as one unit, so a helper over an inline or a macro becomes the instructions
 * themselves (scripts/check-module.sh proves it on the built object).
 *
 * The enumerators are the kernel's own constants; src/kernel/helpers.c asserts each.
 */
#ifndef COWMEM_KAPI_H
#define COWMEM_KAPI_H

#include "kernel/kapi_fault.h"
#include "kernel/kapi_file.h"
#include "kernel/kapi_folio.h"
#include "kernel/kapi_lock.h"
#include "kernel/kapi_mm.h"
#include "kernel/kapi_rest.h"
#include "kernel/kapi_store.h"

#endif /* COWMEM_KAPI_H */
