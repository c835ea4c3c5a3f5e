// SPDX-License-Identifier: GPL-2.0
/* The exports of a KUnit build (cowmem/testing.h), on the C++ side. */
#include <cowmem/object.h>

extern "C" void cowmem_test_resize(file *f, long long bytes)
{
	cowmem::Object::of(f).resize(bytes);
}

extern "C" void cowmem_test_punch(file *f, long long offset, long long length)
{
	cowmem::Object::of(f).punch(offset, length);
}

extern "C" void cowmem_test_set_cow(file *f, unsigned int cow)
{
	cowmem::Object::of(f).set_cow(cow);
}

extern "C" unsigned long cowmem_test_count(file *f)
{
	return cowmem::Object::of(f).family().count();
}

extern "C" bool cowmem_test_check(file *f)
{
	cowmem::Pages &pages = cowmem::Object::of(f).pages();
	cowmem::Exclusive lock{pages};

	return pages.check();
}
