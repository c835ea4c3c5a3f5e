// SPDX-License-Identifier: GPL-2.0
/* ioctl(FICLONE), FICLONERANGE and FIDEDUPERANGE of regular files. */
#include "layers/object.h"

/* Both files' objects are of one family from now on, as Object::join() says. */
extern "C" int cowmem_join(file *in, file *out)
{
	return cowmem::Object::of(out).join(cowmem::Object::of(in));
}

/*
 * Has the bytes of @in from @begin to @end, whole pages but for the last one's, in @out, at the
 * same place and shared. Both were checked, and have joined. 0, or as Object::reflink() says.
 */
extern "C" int cowmem_reflink(file *in, file *out, long long begin, long long end)
{
	return cowmem::Object::of(out).reflink(cowmem::Object::of(in), begin, end);
}

/* Shares the same bytes if they are alike. 0, or as Object::dedupe() says. */
extern "C" int cowmem_dedupe(file *in, file *out, long long begin, long long end)
{
	using namespace cowmem;
	Index next = index_of(begin);

	return Object::of(out).dedupe(Object::of(in), next, index_up(end) - 1);
}
