// SPDX-License-Identifier: GPL-2.0
/* ioctl(FICLONE), FICLONERANGE and FIDEDUPERANGE of regular files. */
#include "device/io.h"
#include "kernel/minmax.h"

namespace cowmem {

namespace {

/* The object is @end bytes long at least. */
int reach(Object &object, long long end)
{
	if (const int err = object.lock_writes_killable())
		return err;

	int err = 0;

	if (end > object.size())
		err = object.growth() == Growth::none ? -KAPI_ENOSPC
		                                      : object.resize(end, object.growth(), true);
	object.unlock_writes();
	return err;
}

} /* namespace */

} /* namespace cowmem */

/*
 * Has the bytes of @in from @begin to @end, whole pages but for the last one's, in @out, at the
 * same place and shared. Both were checked. 0, or as Object::reflink() says.
 */
extern "C" int cowmem_reflink(file *in, file *out, long long begin, long long end)
{
	using namespace cowmem;
	Object &object = Object::of(out);
	Index next = index_of(begin);

	if (const int err = reach(object, end))
		return err;
	return object.reflink(Object::of(in), next, index_up(end) - 1);
}

/* Shares the same bytes if they are alike. 0, or as Object::dedupe() says. */
extern "C" int cowmem_dedupe(file *in, file *out, long long begin, long long end)
{
	using namespace cowmem;
	Index next = index_of(begin);

	return Object::of(out).dedupe(Object::of(in), next, index_up(end) - 1);
}
