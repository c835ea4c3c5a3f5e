// SPDX-License-Identifier: GPL-2.0
/*
 * Who is in a small memory cgroup tries to take memory of the machine with each call. What its
 * objects take in all, in memory, compressed and as metadata, stays within the cgroup's limit, and
 * all of it is back when the last descriptor goes.
 *
 * Who tries shares its descriptors with this program, which is in no such cgroup: so what a
 * process had that was killed for its memory is still there to be measured.
 */
#include "cgroup.h"
#include "counts.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <signal.h>
#include <sys/stat.h>

enum { MIB = 1 << 20, FIRST_FD = 100, MAX_FDS = 1 << 16 };

/* --- what the machine has lost --- */
struct taken {
	long pages, compressed, metadata, all; /* bytes; `all` is what is not free any more */
};

/* Bytes of the slabs of the module's caches, and of the kernel's tree that has marks. */
static long slab_bytes(void)
{
	static const char *const names[] = {"cowmem_slot ", "cowmem_leaf ", "cowmem_node ",
	                                    "radix_tree_node "};
	FILE *file = fopen("/proc/slabinfo", "re");
	char line[512];
	long bytes = 0;

	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		long pages, slabs;
		const char *data = strstr(line, "slabdata");

		for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
			if (strncmp(line, names[i], strlen(names[i])))
				continue;
			MUST(data && sscanf(line, "%*s %*d %*d %*d %*d %ld", &pages) == 1 &&
			     sscanf(data, "slabdata %*d %ld", &slabs) == 1);
			bytes += slabs * pages * (long)PAGE;
		}
	}
	fclose(file);
	return bytes;
}

static struct taken taken_now(void)
{
	struct taken now = {
		.pages = (long)((counter("pages_allocated") - counter("pages_freed")) * PAGE),
		.compressed = read_number("/proc/vmstat", "nr_zspages ") * (long)PAGE,
		.metadata = slab_bytes(),
	};

	now.all = -read_number("/proc/meminfo", "MemFree:") * 1024;
	return now;
}

static struct taken taken_since(struct taken before)
{
	const struct taken now = taken_now();

	return (struct taken){now.pages - before.pages, now.compressed - before.compressed,
	                      now.metadata - before.metadata, now.all - before.all};
}

static long sum(struct taken taken)
{
	return taken.pages + taken.compressed + taken.metadata;
}

/* --- pages to write --- */
static uint64_t random_word(void)
{
	static uint64_t word = 88172645463325252;

	word ^= word << 13;
	word ^= word >> 7;
	word ^= word << 17;
	return word;
}

/* A page of so many random bytes, which is about what it takes compressed. */
static void fill_half(void *page, size_t random)
{
	uint64_t *words = page;

	memset(page, 'x', PAGE);
	for (size_t i = 0; i < random / sizeof(*words); i++)
		words[i] = random_word();
}

static void write_page(int fd, const void *page, uint64_t index)
{
	if (pwrite(fd, page, PAGE, (off_t)(index * PAGE)) != (ssize_t)PAGE)
		_exit(0); /* there is no more */
}

static void page_out_range(int fd, uint64_t index, uint64_t pages)
{
	struct cowmem_page_out out;

	if (page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, index, pages))
		_exit(0);
}

/* --- what is tried: each takes three times the limit, if that is none --- */
static long limit;

static void dense(size_t random, long times)
{
	enum { BATCH = 256 };
	const uint64_t pages = (uint64_t)(times * limit) / (random + 64);
	const int fd = object_open();
	char page[PAGE];

	for (uint64_t i = 0; i < pages; i++) {
		fill_half(page, random);
		write_page(fd, page, i);
		if (i % BATCH == BATCH - 1)
			page_out_range(fd, i + 1 - BATCH, BATCH);
	}
}

static void compressible(void)
{
	dense(1800, 3);
}

static void hardly_compressible(void)
{
	dense(3100, 3);
}

static void well_compressible(void)
{
	dense(256, 3);
}

static void same_filled(void)
{
	dense(0, 3);
}

/* One of 2^18 pages: each has its own way down the tree. */
static void sparse(void)
{
	enum { TAKES = 144 + 2 * 528, SHIFT = 18, PER_OBJECT = 1 << 12 };
	char page[PAGE];
	int fd = -1;

	memset(page, 'x', PAGE);
	for (long i = 0; i < 3 * limit / TAKES; i++) {
		const uint64_t index = (uint64_t)(i % PER_OBJECT) << SHIFT;

		if (i % PER_OBJECT == 0)
			fd = object_open();
		write_page(fd, page, index);
		page_out_range(fd, index, 1);
	}
}

/* Clones of an object whose pages are out, with a page punched in each leaf. */
static void punched(void)
{
	enum { PAGES = 1 << 13, LEAF = 16, TAKES = PAGES / LEAF * 144 };
	const int fd = object_open();
	char page[PAGE];

	memset(page, 'x', PAGE);
	for (uint64_t i = 0; i < PAGES; i++)
		write_page(fd, page, i);
	page_out_range(fd, 0, PAGES);
	for (long i = 0; i < 3 * limit / TAKES; i++) {
		const int clone = relative(fd, COWMEM_IOC_CLONE);

		for (uint64_t index = 0; index < PAGES; index += LEAF)
			if (clone < 0 || object_punch(clone, index * PAGE, PAGE))
				_exit(0);
	}
}

/* Clones that write a page in each leaf, which goes out. */
static void written_clones(void)
{
	enum { PAGES = 1 << 10, TAKES = PAGES * 700 };
	const int fd = object_open();
	char page[PAGE];

	for (uint64_t i = 0; i < PAGES; i++) {
		fill_half(page, 600);
		write_page(fd, page, i);
	}
	for (long i = 0; i < 3 * limit / TAKES; i++) {
		const int clone = relative(fd, COWMEM_IOC_CLONE);

		if (clone < 0 || relative(clone, COWMEM_IOC_SNAPSHOT) < 0)
			_exit(0);
		for (uint64_t index = 0; index < PAGES; index++) {
			fill_half(page, 600);
			write_page(clone, page, index);
		}
		page_out_range(clone, 0, PAGES);
	}
}

/* Clears the mark of a place. */
static int pagemap_of_one(int fd, uint64_t index)
{
	struct cowmem_page state;

	return pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, index * PAGE, 1, &state);
}

/* Descriptors, each of an object with a mark of a place that was cleared. */
static void objects(void)
{
	enum { TAKES = 3 << 10 };

	for (long i = 0; i < 3 * limit / TAKES && i < MAX_FDS - 2 * FIRST_FD; i++) {
		const int fd = open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC);

		if (fd < 0 || pagemap_of_one(fd, 0))
			_exit(0);
	}
}

/* Clears places of an object of nothing but holes, so far from each other that each takes a node of the kernel's. */
static void marks(void)
{
	enum { APART = 64 * 31, TAKES = 576 };
	const uint64_t places = (uint64_t)(3 * limit) / TAKES;
	const int fd = object_open();

	MUST(!object_resize(fd, places * APART * PAGE));
	for (uint64_t i = 0; i < places; i++)
		if (pagemap_of_one(fd, i * APART))
			_exit(0);
}

/* What any file takes of the kernel's, charged or not, for comparison. */
static void memfds(void)
{
	for (long i = 0; i < MAX_FDS - 2 * FIRST_FD; i++) {
		const int fd = (int)memfd_create("reference", MFD_CLOEXEC);

		if (fd < 0 || ftruncate(fd, PAGE))
			_exit(0);
	}
}

/* --- how it ends --- */

/* Runs @body in CGROUP with this program's descriptors. Returns how it ended: a wait status. */
static int try_in_cgroup(void (*body)(void))
{
	int status = -1;
	pid_t pid;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755));
	{
		char text[32];

		snprintf(text, sizeof(text), "%ld", limit);
		MUST(write_text(CGROUP "/memory.max", text));
	}
	pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0L, 0L, 0L, 0L);
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		body();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	return status;
}

static void say(const char *what, struct taken taken)
{
	ksft_print_msg("%s: %ld KiB of %ld: pages %ld, compressed %ld, metadata %ld; not free %ld\n",
	               what, sum(taken) >> 10, limit >> 10, taken.pages >> 10,
	               taken.compressed >> 10, taken.metadata >> 10, taken.all >> 10);
}

/* What memory.max bounds: 2 % more, and what each CPU has of a cache's slabs on its own. */
static long bound(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return limit + limit / 50 + cpus * (long)PAGE;
}

/* What is not free any more besides. */
static long beside = 8 * MIB, last_taken;

static void escape(const char *what, void (*body)(void), long of)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct taken at_first, taken;
	int status;

	limit = (debug_kernel() ? 8 * MIB : 64 * MIB) / of;
	MUST(write_text("/proc/sys/vm/drop_caches", "1"));
	at_first = taken_now();
	status = try_in_cgroup(body);
	usleep(200000); /* what was freed under RCU */
	taken = taken_since(at_first);
	last_taken = taken.all;
	say(what, taken);
	ksft_print_msg("ended with %x, charged %ld KiB\n", (unsigned int)status,
	               read_number(CGROUP "/memory.current", "") >> 10);
	CHECK(sum(taken) <= bound());
	CHECK(taken.all <= bound() + beside); /* with what others do meanwhile */
	/* What it wanted is more than it may have: it was stopped, or what it wanted is not there. */
	CHECK(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	MUST(!syscall(SYS_close_range, FIRST_FD, ~0U, 0));
	check_returned(before);
	CHECK(COMES(read_number(CGROUP "/memory.current", "") < 1 * MIB));
	CHECK(COMES(sum(taken_since(at_first)) < limit / 50 + 1 * MIB));
	say("and then", taken_since(at_first));
	check_cgroup_goes(dying);
}

/* With a part of the limit, where it takes long to come to that. */
#define TRY(body, of)                    \
	static void try_##body(void)     \
	{                                \
		escape(#body, body, of); \
	}
TRY(compressible, 1)
TRY(hardly_compressible, 1)
TRY(well_compressible, 2)
TRY(same_filled, 8)
TRY(sparse, 1)
TRY(punched, 1)
TRY(written_clones, 1)
TRY(objects, 1)
TRY(memfds, 1)
TRY(marks, 4)

/*
 * Of a file the kernel itself does not charge all, what security modules keep for it, for one:
 * an object is such a file, and no more.
 */
static void try_as_many_as_memfds(void)
{
	beside = 24 * MIB;
	try_memfds();
	beside = last_taken - limit + 4 * MIB;
	try_objects();
	beside = 8 * MIB;
}

/* From here on descriptors are made behind those that this program needs. */
static void set_descriptors_apart(void)
{
	const struct rlimit many = {MAX_FDS, MAX_FDS};

	MUST(!setrlimit(RLIMIT_NOFILE, &many));
	counts_now(); /* opens its files */
	for (int fd; (fd = open("/", O_PATH | O_CLOEXEC)) < FIRST_FD - 1;)
		MUST(fd >= 0);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"pages that are compressed well enough", "", try_compressible},
		{"pages that are hardly compressed", "", try_hardly_compressible},
		{"pages that are compressed well", "", try_well_compressible},
		{"pages of one word", "", try_same_filled},
		{"pages far from each other", "", try_sparse},
		{"clones with holes", "", try_punched},
		{"clones that are written", "", try_written_clones},
		{"objects, no more than memfds", "", try_as_many_as_memfds},
		{"places that were cleared", "", try_marks},
	};

	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	set_descriptors_apart();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
