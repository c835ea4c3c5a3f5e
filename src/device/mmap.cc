// SPDX-License-Identifier: GPL-2.0
/* Mapping an object. */
#include <linux/cowmem.h>

#include "layers/object.h"

/*
 * file_operations::mmap. Any offset and length; an object that grows by use does so to what is
 * mapped. The mapping keeps the object's copy mode of this moment.
 * -ESTALE: a dropped snapshot. -ENOMEM. -EOVERFLOW: the mapping would end beyond what an object can hold.
 */
extern "C" int cowmem_mmap(file *f, vm_area_struct *vma)
{
	using namespace cowmem;
	Object &object = Object::of(f);
	const Index end = kapi_vma_end_index(vma);

	if (object.pages().dropped())
		return -KAPI_ESTALE;
	if (end < kapi_vma_first_index(vma) || end > index_of(kapi_max_bytes()))
		return -KAPI_EOVERFLOW;
	if (const int err = kapi_mapping_call_present(object.pages().mapping()))
		return err;
	object.grow_by_use(bytes_at(end));
	kapi_vma_set_private(vma, object.cow());
	kapi_vma_set_ops(vma, object.pages().pinnable());
	if (const unsigned int huge = object.huge(); huge != COWMEM_HUGE_NEVER)
		kapi_vma_set_large_ops(vma, huge == COWMEM_HUGE_ALWAYS);
	kapi_file_accessed(f);
	return 0;
}
