// SPDX-License-Identifier: GPL-2.0
/* The device's ioctls (include/uapi/linux/cowmem.h). */
#include <linux/cowmem.h>

#include <cowmem/object.h>

namespace cowmem {

namespace {

/*
 * A sized argument, on its way in. `size` comes first in every struct and says how
 * much of it the caller knows; what he does not know is zero, what we do not know
 * must be (E2BIG). The smallest size is that of the first version of the struct.
 */
template <class T>
class Argument {
public:
	/* 0, -EFAULT, -E2BIG; -EINVAL for a short size or an unknown flag. */
	int get(unsigned long user)
	{
		user_ = user;
		if (int err = kapi_user_size(user, &size_))
			return err;
		if (size_ < sizeof(T))
			return -KAPI_EINVAL;
		if (size_ > KAPI_PAGE_SIZE)
			return -KAPI_E2BIG;
		if (int err = kapi_user_get(&value_, sizeof(T), user, size_))
			return err;
		return value_.flags ? -KAPI_EINVAL : 0;
	}

	/* Back to the caller, whose own size stays. 0 or -EFAULT. */
	int put() { return kapi_user_put(user_, &value_, sizeof(T)); }

	T *operator->() { return &value_; }

private:
	T value_{};
	unsigned long user_ = 0;
	unsigned int size_ = 0;
};

bool page_aligned(unsigned long long bytes)
{
	return bytes % KAPI_PAGE_SIZE == 0;
}

int get_info(Object &, Argument<cowmem_info> &info)
{
	info->abi_version = COWMEM_ABI_VERSION;
	info->page_size = KAPI_PAGE_SIZE;
	info->features = COWMEM_FEATURE_COW_HANDLER | COWMEM_FEATURE_COW_CORE |
	                 COWMEM_FEATURE_RESIZE | COWMEM_FEATURE_PUNCH;
	info->max_bytes = static_cast<unsigned long long>(kapi_max_bytes());
	return info.put();
}

int stat(Object &object, Argument<cowmem_stat> &stat)
{
	stat->bytes = static_cast<unsigned long long>(object.size());
	stat->resident_pages = object.pages().resident();
	stat->cow = object.cow();
	stat->state = object.fixed_size() ? COWMEM_STATE_FIXED_SIZE : 0;
	return stat.put();
}

int resize(Object &object, Argument<cowmem_resize> &resize)
{
	if (resize->bytes > static_cast<unsigned long long>(kapi_max_bytes()))
		return -KAPI_EFBIG;
	object.resize(static_cast<long long>(resize->bytes));
	return 0;
}

int punch(Object &object, Argument<cowmem_punch> &punch)
{
	const auto max = static_cast<unsigned long long>(kapi_max_bytes());

	if (!page_aligned(punch->offset) || !page_aligned(punch->length) || !punch->length)
		return -KAPI_EINVAL;
	if (punch->offset > max || punch->length > max - punch->offset)
		return -KAPI_EINVAL;
	object.punch(static_cast<long long>(punch->offset), static_cast<long long>(punch->length));
	return 0;
}

int set_cow(Object &object, Argument<cowmem_set_cow> &set)
{
	if (set->__reserved || set->cow > COWMEM_COW_CORE)
		return -KAPI_EINVAL;
	object.set_cow(set->cow);
	return 0;
}

enum class Access { any, writable };

/* Decodes the argument and checks the descriptor, then calls @command. */
template <class T>
int call(const file *f, unsigned long user, Access access, int (*command)(Object &, Argument<T> &))
{
	Argument<T> argument;

	if (access == Access::writable && !kapi_file_writable(f))
		return -KAPI_EBADF;
	if (int err = argument.get(user))
		return err;
	return command(Object::of(f), argument);
}

} /* namespace */

} /* namespace cowmem */

/* file_operations::unlocked_ioctl. -ENOTTY: no such command. */
extern "C" long cowmem_ioctl(file *f, unsigned int command, unsigned long arg)
{
	using namespace cowmem;

	switch (command) {
	case COWMEM_IOC_GET_INFO:
		return call(f, arg, Access::any, get_info);
	case COWMEM_IOC_STAT:
		return call(f, arg, Access::any, stat);
	case COWMEM_IOC_RESIZE:
		return call(f, arg, Access::writable, resize);
	case COWMEM_IOC_PUNCH:
		return call(f, arg, Access::writable, punch);
	case COWMEM_IOC_SET_COW:
		return call(f, arg, Access::any, set_cow);
	}
	return -KAPI_ENOTTY;
}
