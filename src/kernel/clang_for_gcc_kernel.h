/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Included before everything when clang compiles for a kernel that gcc built (the
 * Makefile sees to it): what that kernel's configuration says of its compiler, and
 * is not so of ours.
 */

/*
 * gcc's %gs-relative per-CPU accesses by a named address space. clang takes the
 * keyword, but loses the segment in inline assembly: the access would go to the
 * plain address.
 */
#undef CONFIG_CC_HAS_NAMED_AS
#undef CONFIG_USE_X86_SEG_SUPPORT
/* What newer headers, which come before this one, made of that. */
#ifdef __percpu_qual
#undef __percpu_seg_override
#define __percpu_seg_override
#undef __percpu_qual
#define __percpu_qual
#endif

#undef CONFIG_CC_IS_GCC
#define CONFIG_CC_IS_CLANG 1
