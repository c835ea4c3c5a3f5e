/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * libcowmem for C++20: descriptors, mappings and iterators that go by themselves, and results that
 * are a value or an error. Nothing here throws, or needs more of the library than cowmem.h, whose
 * comments say what each call does; a method has the name of the function that it calls.
 */
#ifndef COWMEM_COWMEM_HPP
#define COWMEM_COWMEM_HPP

#include <cowmem/cowmem.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <sys/mman.h>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <variant>

namespace cowmem {

/* Why a call failed. */
struct error {
	int number; /* a positive errno */

	const char *message() const { return std::strerror(number); }
	bool operator==(const error &) const = default;
};

/* What a call gives: a T, or an error; nodiscard, for there is nobody else who tells of it. */
template <typename T>
class [[nodiscard]] result {
public:
	using value_type = T;

	result(T value) : held_(std::in_place_index<0>, std::move(value)) {}
	result(cowmem::error failed) : held_(std::in_place_index<1>, failed) {}

	bool has_value() const { return held_.index() == 0; }
	explicit operator bool() const { return has_value(); }
	/* Only of one that has_value(). */
	T &operator*() & { return *std::get_if<0>(&held_); }
	const T &operator*() const & { return *std::get_if<0>(&held_); }
	T &&operator*() && { return std::move(*std::get_if<0>(&held_)); }
	T *operator->() { return std::get_if<0>(&held_); }
	const T *operator->() const { return std::get_if<0>(&held_); }
	/* Only of one that has none. */
	cowmem::error error() const { return *std::get_if<1>(&held_); }

	T value_or(T other) && { return has_value() ? *std::move(*this) : std::move(other); }

	/* What @next makes of the value, which is a result too; or the error. */
	template <typename Next>
	auto and_then(Next &&next) && -> std::invoke_result_t<Next, T &&>
	{
		if (!has_value())
			return error();
		return std::forward<Next>(next)(*std::move(*this));
	}

private:
	std::variant<T, cowmem::error> held_;
};

/* Nothing, or an error. */
template <>
class [[nodiscard]] result<void> {
public:
	result() = default;
	result(cowmem::error failed) : failed_(failed) {}

	bool has_value() const { return !failed_; }
	explicit operator bool() const { return has_value(); }
	cowmem::error error() const { return *failed_; }

private:
	std::optional<cowmem::error> failed_;
};

namespace detail {

/* Of what the library's functions give. */
inline result<void> done(int given)
{
	return given < 0 ? result<void>(error{-given}) : result<void>();
}

template <typename T>
result<T> value(int given, T held)
{
	if (given < 0)
		return error{-given};
	return held;
}

} /* namespace detail */

/* A piece of memory that an object is mapped at; it is unmapped with the last of it. */
class mapping {
public:
	mapping() = default;
	mapping(void *at, std::size_t length) : bytes_(static_cast<std::byte *>(at), length) {}
	mapping(mapping &&other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
	mapping &operator=(mapping &&other) noexcept
	{
		std::swap(bytes_, other.bytes_);
		return *this;
	}
	~mapping()
	{
		if (!bytes_.empty())
			munmap(bytes_.data(), bytes_.size());
	}

	std::span<std::byte> bytes() const { return bytes_; }
	/* The same as an array of as many T as it has room for. */
	template <typename T>
	std::span<T> as() const
	{
		static_assert(std::is_trivially_copyable_v<T>);
		return {reinterpret_cast<T *>(bytes_.data()), bytes_.size() / sizeof(T)};
	}

private:
	std::span<std::byte> bytes_;
};

/* A long answer: next() gives its parts, one after the other, and nothing at the end. */
template <typename Iter, void (*Free)(Iter *)>
class answer {
public:
	explicit answer(Iter *iter) : iter_(iter) {}
	answer(answer &&other) noexcept : iter_(std::exchange(other.iter_, nullptr)) {}
	answer &operator=(answer &&other) noexcept
	{
		std::swap(iter_, other.iter_);
		return *this;
	}
	~answer() { Free(iter_); }

protected:
	template <typename T>
	static result<std::optional<T>> part(int given, const T &held)
	{
		if (given < 0)
			return error{-given};
		return given ? std::optional<T>(held) : std::nullopt;
	}

	Iter *iter_;
};

class changes : public answer<cowmem_diff_iter, cowmem_diff_iter_free> {
public:
	using answer::answer;
	result<std::optional<cowmem_changed>> next()
	{
		cowmem_changed range{};
		const int given = cowmem_diff_iter_next(iter_, &range);

		return part(given, range);
	}
};

/* A page, and where in the object it is. */
struct page {
	std::uint64_t offset;
	cowmem_page state;
};

class pages : public answer<cowmem_pagemap_iter, cowmem_pagemap_iter_free> {
public:
	using answer::answer;
	result<std::optional<page>> next()
	{
		page found{};
		const int given = cowmem_pagemap_iter_next(iter_, &found.offset, &found.state);

		return part(given, found);
	}
};

class mappings : public answer<cowmem_rmap_iter, cowmem_rmap_iter_free> {
public:
	using answer::answer;
	result<std::optional<cowmem_mapping>> next()
	{
		cowmem_mapping found{};
		const int given = cowmem_rmap_iter_next(iter_, &found);

		return part(given, found);
	}
	std::uint64_t hidden() const { return cowmem_rmap_iter_hidden(iter_); }
	std::uint64_t probes() const { return cowmem_rmap_iter_probes(iter_); }
};

/* An object: one descriptor, that is closed with it. */
class object {
public:
	object() = default;
	/* Takes the descriptor over. */
	explicit object(int fd) : fd_(fd) {}
	object(object &&other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
	object &operator=(object &&other) noexcept
	{
		std::swap(fd_, other.fd_);
		return *this;
	}
	~object()
	{
		if (fd_ >= 0)
			close(fd_);
	}

	static result<object> create(const char *name = nullptr, unsigned int flags = 0)
	{
		return made(cowmem_object_create(name, flags));
	}
	static result<object> open_device() { return made(cowmem_object_open_device()); }

	int fd() const { return fd_; }
	/* The descriptor is the caller's to close. */
	int release() { return std::exchange(fd_, -1); }

	result<object> create_by(const char *name = nullptr) const
	{
		return made(cowmem_object_create_by(fd_, name));
	}
	result<object> file() const { return made(cowmem_object_file(fd_)); }

	result<std::uint64_t> features() const
	{
		std::uint64_t held = 0;
		const int given = cowmem_object_features(fd_, &held);

		return detail::value(given, held);
	}
	result<bool> is_module() const
	{
		const int given = cowmem_object_is_module(fd_);

		return detail::value(given, given > 0);
	}
	result<cowmem_info> info() const
	{
		cowmem_info held{};
		const int given = cowmem_object_info(fd_, &held);

		return detail::value(given, held);
	}
	result<cowmem_stat> stat() const
	{
		cowmem_stat held{};
		const int given = cowmem_object_stat(fd_, &held);

		return detail::value(given, held);
	}
	result<std::uint64_t> id() const
	{
		std::uint64_t held = 0;
		const int given = cowmem_object_id(fd_, &held);

		return detail::value(given, held);
	}

	result<void> resize(std::uint64_t bytes, unsigned int flags = COWMEM_RESIZE_GROWS) const
	{
		return detail::done(cowmem_object_resize(fd_, bytes, flags));
	}
	result<void> punch(std::uint64_t offset, std::uint64_t length,
	                   std::uint64_t *next = nullptr) const
	{
		return detail::done(cowmem_object_punch(fd_, offset, length, next));
	}
	result<void> set_cow(cowmem_cow cow) const
	{
		return detail::done(cowmem_object_set_cow(fd_, cow));
	}
	result<mapping> map(std::uint64_t offset, std::size_t length,
	                    int prot = PROT_READ | PROT_WRITE, int flags = MAP_SHARED) const
	{
		void *at = nullptr;
		const int given = cowmem_object_map(fd_, offset, length, prot, flags, &at);

		if (given < 0)
			return error{-given};
		return mapping(at, length);
	}

	result<object> snapshot() const { return made(cowmem_object_snapshot(fd_)); }
	result<object> snapshot_limited(std::uint64_t max_copies, bool drop = false) const
	{
		return made(cowmem_object_snapshot_limited(fd_, max_copies, drop));
	}
	result<object> clone() const { return made(cowmem_object_clone(fd_)); }
	result<object> clone_range(std::uint64_t offset, std::uint64_t length) const
	{
		return made(cowmem_object_clone_range(fd_, offset, length));
	}
	result<void> restore(const object &snapshot) const
	{
		return detail::done(cowmem_object_restore(fd_, snapshot.fd_));
	}
	result<void> restore_range(const object &snapshot, std::uint64_t offset,
	                           std::uint64_t length, std::uint64_t *next = nullptr) const
	{
		return detail::done(
			cowmem_object_restore_range(fd_, snapshot.fd_, offset, length, next));
	}

	result<cowmem_page_out> page_out(std::uint64_t offset = 0, std::uint64_t length = 0,
	                                 unsigned int flags = 0) const
	{
		cowmem_page_out held{};
		const int given = cowmem_object_page_out(fd_, offset, length, flags, &held);

		return detail::value(given, held);
	}
	result<std::uint64_t> prefetch(std::span<const cowmem_range> ranges) const
	{
		std::uint64_t held = 0;
		const int given = cowmem_object_prefetch(fd_, ranges.data(), ranges.size(), &held);

		return detail::value(given, held);
	}
	result<std::uint64_t> prefetch_to_write(std::span<const cowmem_range> ranges) const
	{
		std::uint64_t held = 0;
		const int given =
			cowmem_object_prefetch_to_write(fd_, ranges.data(), ranges.size(), &held);

		return detail::value(given, held);
	}
	result<cowmem_store_stat> store_stat() const
	{
		cowmem_store_stat held{};
		const int given = cowmem_object_store_stat(fd_, &held);

		return detail::value(given, held);
	}
	result<void> store_limit(std::uint64_t max_slots) const
	{
		return detail::done(cowmem_object_store_limit(fd_, max_slots));
	}
	result<cowmem_move> move(unsigned int node, std::uint64_t offset = 0,
	                         std::uint64_t length = 0) const
	{
		cowmem_move held{};
		const int given = cowmem_object_move(fd_, offset, length, node, &held);

		return detail::value(given, held);
	}
	result<void> set_huge(enum cowmem_huge huge) const
	{
		return detail::done(cowmem_object_set_huge(fd_, huge));
	}
	result<cowmem_collapse> collapse(std::uint64_t offset = 0, std::uint64_t length = 0) const
	{
		cowmem_collapse held{};
		const int given = cowmem_object_collapse(fd_, offset, length, &held);

		return detail::value(given, held);
	}
	result<std::uint64_t> poison(std::uint64_t offset, std::uint64_t length) const
	{
		std::uint64_t held = 0;
		const int given = cowmem_object_poison(fd_, offset, length, &held);

		return detail::value(given, held);
	}

	/* These hold no descriptor: the objects are to outlive the answers. */
	result<changes> diff(const object &other, std::uint64_t offset = 0,
	                     std::uint64_t length = 0) const
	{
		cowmem_diff_iter *iter = nullptr;
		const int given = cowmem_diff_iter_new(&iter, fd_, other.fd_, offset, length);

		return detail::value(given, changes(iter));
	}
	result<pages> pagemap(std::uint64_t offset = 0, std::uint64_t length = 0,
	                      unsigned int flags = 0) const
	{
		cowmem_pagemap_iter *iter = nullptr;
		const int given = cowmem_pagemap_iter_new(&iter, fd_, offset, length, flags);

		return detail::value(given, pages(iter));
	}
	result<mappings> rmap(std::uint64_t offset = 0, std::uint64_t length = 0,
	                      unsigned int flags = 0) const
	{
		cowmem_rmap_iter *iter = nullptr;
		const int given = cowmem_rmap_iter_new(&iter, fd_, offset, length, flags);

		return detail::value(given, mappings(iter));
	}

private:
	static result<object> made(int given)
	{
		if (given < 0)
			return error{-given};
		return object(given);
	}

	int fd_ = -1;
};

/* A snapshot of each object, all of one instant, in the same order: in @snapshots, as many. */
inline result<void> snapshot_set(std::span<const object *const> objects,
                                 std::span<object> snapshots)
{
	int of[COWMEM_SNAPSHOT_SET_MAX], made[COWMEM_SNAPSHOT_SET_MAX];

	if (objects.size() > COWMEM_SNAPSHOT_SET_MAX || objects.size() != snapshots.size())
		return error{EINVAL};
	for (std::size_t i = 0; i < objects.size(); i++)
		of[i] = objects[i]->fd();
	const int given =
		cowmem_object_snapshot_set(of, made, static_cast<unsigned int>(objects.size()));
	if (given < 0)
		return error{-given};
	for (std::size_t i = 0; i < objects.size(); i++)
		snapshots[i] = object(made[i]);
	return {};
}

} /* namespace cowmem */

#endif /* COWMEM_COWMEM_HPP */
