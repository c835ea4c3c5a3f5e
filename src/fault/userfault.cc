// SPDX-License-Identifier: GPL-2.0
/*
 * userfaultfd fills an object's holes, and maps what it has (struct vm_uffd_ops, in
 * device/file.c). A fault that is to ask user space is answered by fault/fault.cc; these are
 * called by who answers, for a mapping of a regular file, whose VMA lock is held. What they hand
 * over is the object's own, referenced and locked, as page_mkwrite's is, since the core maps it
 * to be written. Kernel counterpart: shmem_uffd_ops.
 */
#include "layers/object.h"

using namespace cowmem;

/*
 * UFFDIO_COPY, UFFDIO_ZEROPAGE: puts @page, which nobody else has, at @index, and locks it. 0;
 * -EEXIST: something is there; -EFAULT: that is behind the end; -ENOSPC, -ENOMEM. Sleeps.
 */
extern "C" int cowmem_user_fill(vm_area_struct *vma, unsigned long index, folio *page)
{
	Object &object = Object::of(vma);
	Pages &pages = object.pages();
	const bool has_bytes = true;
	Shared lock{pages};

	if (!object.holds(index))
		return -KAPI_EFAULT;
	if (!pages.is_hole(index))
		return -KAPI_EEXIST;
	kapi_folio_get(page);
	lock_page(page); /* a thread that finds it waits until it is mapped as was asked */

	Fresh fresh{FolioRef{page}, has_bytes};
	const FolioRef there = pages.fill(index, fresh);

	if (there.get() == page && !fresh.brought_in)
		return 0;
	kapi_folio_unlock(page);
	/* Another thread was faster, and may even have had it paged out. */
	return there || fresh.error == -KAPI_EAGAIN ? -KAPI_EEXIST : fresh.error;
}

/*
 * UFFDIO_CONTINUE of a shared mapping, so of no snapshot: what @object has at @index in memory, as
 * its own. 0; -ENOENT: a hole; -ENOMEM, -EIO, -EHWPOISON, -EDQUOT, -ENOSPC; -EINTR: a fatal
 * signal. User space is told EFAULT by the core, whichever it is. Sleeps.
 */
extern "C" int cowmem_user_find(void *object, unsigned long index, folio **found)
{
	Pages &pages = static_cast<Object *>(object)->pages();
	unsigned long long count = 0;

	for (;;) {
		{
			Shared lock{pages};
			FolioRef page = pages.get(index);

			if (page && pages.owns(page.get())) {
				lock_page(page.get());
				*found = page.release();
				return 0;
			}
		}
		if (pages.is_hole(index))
			return -KAPI_ENOENT;
		if (const int err = pages.break_cow(index))
			return err;
		if (const int err = pages.swap_in(index, index, count))
			return err;
	}
}
