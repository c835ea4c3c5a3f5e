// SPDX-License-Identifier: GPL-2.0
/*
 * library_cxx [memfd]: cowmem.hpp. Each method is called, as root and as a user who is nobody; with
 * memfd, those that this machine cannot answer have to say so. TAP on stdout.
 */
#include <cowmem/cowmem.hpp>

#include <array>
#include <fcntl.h>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

namespace {

constexpr std::size_t page_size = 4096;
unsigned int create_flags;
bool has_module;
bool failed;

#define CHECK(...)                                                                              \
	do {                                                                                    \
		if (!(__VA_ARGS__)) {                                                           \
			failed = true;                                                          \
			std::printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #__VA_ARGS__); \
		}                                                                               \
	} while (0)

/* A result that a memfd does not have. */
template <typename T>
bool as_it_should(const cowmem::result<T> &result)
{
	return has_module ? result.has_value()
	                  : !result && result.error() == cowmem::error{EOPNOTSUPP};
}

cowmem::object make(std::size_t pages)
{
	auto made = cowmem::object::create("library_cxx", create_flags);

	CHECK(made);
	CHECK(made->resize(pages * page_size));
	auto memory = made->map(0, pages * page_size);
	CHECK(memory);
	auto words = memory->as<std::uint64_t>();
	for (std::size_t i = 0; i < words.size(); i++)
		words[i] = i + 1;
	return *std::move(made);
}

std::uint64_t word(const cowmem::object &object, std::size_t index)
{
	std::uint64_t value = 0;

	CHECK(pread(object.fd(), &value, sizeof(value), static_cast<off_t>(index * 8)) == 8);
	return value;
}

void owns_what_it_has()
{
	cowmem::object first = make(2), second;
	const int fd = first.fd();

	second = std::move(first);
	CHECK(second.fd() == fd && first.fd() == -1);
	{
		cowmem::object third(std::move(second));
		CHECK(third.fd() == fd);
		CHECK(fcntl(fd, F_GETFD) >= 0);
	}
	CHECK(fcntl(fd, F_GETFD) < 0 && errno == EBADF);

	unsigned char resident = 0;
	void *at = nullptr;
	{
		cowmem::object object = make(1);
		auto memory = object.map(0, page_size);
		cowmem::mapping moved = *std::move(memory);
		at = moved.bytes().data();
		CHECK(moved.bytes().size() == page_size && moved.as<std::uint64_t>()[1] == 2);
		CHECK(mincore(at, page_size, &resident) == 0);
	}
	CHECK(mincore(at, page_size, &resident) < 0 && errno == ENOMEM);
}

void tells_errors()
{
	const cowmem::object none;

	CHECK(none.stat().error() == cowmem::error{EBADF});
	CHECK(!std::strcmp(none.clone().error().message(), std::strerror(EBADF)));
	CHECK(cowmem::result<int>(3).and_then([](int value) {
		return cowmem::result<int>(value + 1);
	}) && *cowmem::result<int>(3).and_then([](int value) {
		return cowmem::result<int>(value + 1);
	}) == 4);
	CHECK(cowmem::result<int>(cowmem::error{EIO})
	              .and_then([](int) { return cowmem::result<int>(1); })
	              .error() == cowmem::error{EIO});
	CHECK(cowmem::result<int>(cowmem::error{EIO}).value_or(5) == 5);
}

void snapshots_and_restores()
{
	cowmem::object object = make(4);
	auto snapshot = object.snapshot();
	CHECK(snapshot);
	auto memory = object.map(0, 4 * page_size);
	memory->as<std::uint64_t>()[512] = 99;
	CHECK(word(*snapshot, 512) == 513 && word(object, 512) == 99);
	auto clone = snapshot->clone();
	CHECK(clone && word(*clone, 512) == 513);
	auto part = object.clone_range(page_size, page_size);
	CHECK(part && word(*part, 0) == 0 && word(*part, 512) == 99);

	auto changes = object.diff(*snapshot);
	CHECK(changes);
	auto range = changes->next();
	CHECK(range && *range && (*range)->offset == page_size && (*range)->length == page_size);
	range = changes->next();
	CHECK(range && !*range);

	CHECK(object.restore_range(*snapshot, page_size, page_size));
	CHECK(word(object, 512) == 513);
	CHECK(object.punch(0, page_size));
	CHECK(word(object, 0) == 0);
	CHECK(object.restore(*snapshot));
	CHECK(word(object, 0) == 1);
	CHECK(as_it_should(object.snapshot_limited(1)));
	std::array<const cowmem::object *, 2> of{&object, &*clone};
	std::array<cowmem::object, 2> set;
	CHECK(as_it_should(cowmem::snapshot_set(of, set)));
	CHECK(!has_module || word(set[1], 512) == 513);
}

void tells_of_itself()
{
	cowmem::object object = make(3);
	auto stat = object.stat();
	CHECK(stat && stat->bytes == 3 * page_size && stat->resident_pages == 3);
	CHECK(object.info() && object.info()->page_size == page_size);
	CHECK(object.features() && *object.features() & COWMEM_FEATURE_FILES);
	CHECK(object.is_module() && *object.is_module() == has_module);
	auto file = object.file();
	CHECK(file && *file->id() == *object.id());
	CHECK(object.create_by("other"));
	CHECK(object.set_cow(COWMEM_COW_CORE));
	CHECK(as_it_should(object.set_cow(COWMEM_COW_HANDLER)));
	CHECK(cowmem::object::open_device().has_value() == has_module);
	/* What is released is not closed with it. */
	int released = -1;
	{
		cowmem::object other = make(1);
		released = other.release();
		CHECK(other.fd() == -1);
	}
	CHECK(fcntl(released, F_GETFD) >= 0);
	close(released);

	auto memory = object.map(0, 3 * page_size);
	memory->bytes()[0] = std::byte{7};
	auto pages = object.pagemap();
	CHECK(as_it_should(pages));
	auto mappings = object.rmap();
	CHECK(as_it_should(mappings));
	if (has_module) {
		auto page = pages->next();
		CHECK(page && *page && (*page)->state.flags & COWMEM_PAGE_RESIDENT);
		auto found = mappings->next();
		CHECK(found && *found && (*found)->pid == static_cast<std::uint32_t>(getpid()));
		CHECK(mappings->hidden() == 0 && mappings->probes() > 0);
	}
}

void pages_out()
{
	cowmem::object object = make(3);
	const cowmem_range range{0, page_size};
	auto out = object.page_out(0, 0, COWMEM_PAGE_OUT_ACCESSED);
	CHECK(as_it_should(out));
	CHECK(!has_module || out->out == 3);
	CHECK(as_it_should(object.page_out(0, 0, COWMEM_PAGE_OUT_AGE)));
	auto back = object.prefetch({&range, 1});
	CHECK(as_it_should(back));
	CHECK(!has_module || *back == 1);
	auto own = object.prefetch_to_write({&range, 1});
	CHECK(as_it_should(own));
	CHECK(!has_module || *own == 0);
	CHECK(as_it_should(object.store_stat()));
	CHECK(as_it_should(object.store_limit(9)));
	CHECK(as_it_should(object.move(0)));
	const bool has_huge = has_module && *object.features() & COWMEM_FEATURE_COLLAPSE;
	auto set = object.set_huge(COWMEM_HUGE_ADVISE);
	auto collapsed = object.collapse();
	CHECK(set.has_value() == has_huge && collapsed.has_value() == has_huge);
	CHECK(has_huge ? collapsed->collapsed == 0
	               : collapsed.error() == cowmem::error{EOPNOTSUPP});
	auto poisoned = object.poison(0, page_size);
	CHECK(poisoned || poisoned.error() == cowmem::error{has_module ? EPERM : EOPNOTSUPP});
}

constexpr struct {
	const char *name;
	void (*run)();
} cases[] = {
	{"cowmem.hpp: what it has goes with it", owns_what_it_has},
	{"cowmem.hpp: a result is a value or an error", tells_errors},
	{"cowmem.hpp: snapshots, clones, restores, differences", snapshots_and_restores},
	{"cowmem.hpp: what an object tells", tells_of_itself},
	{"cowmem.hpp: page-out, prefetch, move, poison", pages_out},
};

/* Whether a case fails in a process that is nobody's. */
bool fails_as_user(void (*run)())
{
	constexpr uid_t nobody = 65534;
	const pid_t child = fork();
	int status = 1;

	if (!child) {
		if (geteuid() == 0 &&
		    (setgroups(0, nullptr) || setresgid(nobody, nobody, nobody) ||
		     setresuid(nobody, nobody, nobody) || prctl(PR_SET_DUMPABLE, 1)))
			_exit(2);
		run();
		std::fflush(stdout);
		_exit(failed);
	}
	return child < 0 || waitpid(child, &status, 0) != child || status != 0;
}

} /* namespace */

int main(int argc, char **argv)
{
	int status = 0, number = 0;

	has_module = argc < 2 || std::strcmp(argv[1], "memfd") != 0;
	create_flags = has_module ? COWMEM_CREATE_MODULE : COWMEM_CREATE_MEMFD;
	std::printf("TAP version 13\n1..%zu\n", 2 * std::size(cases));
	for (const auto &test : cases) {
		failed = false;
		test.run();
		std::printf("%sok %d %s, as root\n", failed ? "not " : "", ++number, test.name);
		status |= failed;
	}
	std::fflush(stdout);
	struct stat device{};
	const bool opens =
		has_module && !stat(COWMEM_DEVICE, &device) && !chmod(COWMEM_DEVICE, 0666);
	for (const auto &test : cases) {
		const bool fails = fails_as_user(test.run);

		std::printf("%sok %d %s, as a user\n", fails ? "not " : "", ++number, test.name);
		std::fflush(stdout);
		status |= fails;
	}
	if (opens)
		status |= !!chmod(COWMEM_DEVICE, device.st_mode & 07777);
	return status;
}
