/* SPDX-License-Identifier: GPL-2.0 */
/* What a KUnit build of the module (COWMEM_KUNIT=1) exports for its tests. */
#ifndef COWMEM_TESTING_H
#define COWMEM_TESTING_H

#include <linux/fs.h>
#include <linux/mm.h>

#include <cowmem/module.h>
#include <cowmem/steps.h>

/* Called at each step of every fault (cowmem/steps.h) while it is set. */
extern void (*cowmem_test_step)(unsigned int step, struct vm_fault *vmf);

/* The device's ioctls of the same names, for a caller without user memory. */
void cowmem_test_resize(struct file *file, loff_t bytes);
void cowmem_test_punch(struct file *file, loff_t offset, loff_t length);
void cowmem_test_set_cow(struct file *file, unsigned int cow);

/* The sequence count of the object's family (cowmem/family.h). */
unsigned long cowmem_test_count(struct file *file);

/* Whether every invariant of the object holds (cowmem/pages.h). */
bool cowmem_test_check(struct file *file);

#endif /* COWMEM_TESTING_H */
