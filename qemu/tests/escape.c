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

enum { MIB = 1 << 20, FIRST_FD = 256, MAX_FDS = 1 << 16 };

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

/* What a snapshot sees, and cannot go for the sake of soft-dirty bits (which only some machines have). */
static void tracked(void)
{
	const uint64_t pages = (uint64_t)limit / 4 * 3 / PAGE;
	const int fd = object_open();
	char *map;
	int snapshot;

	if (object_resize(fd, pages * PAGE))
		_exit(1);
	map = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED || !write_text("/proc/self/clear_refs", "4"))
		_exit(1);
	for (uint64_t i = 0; i < pages; i++)
		fill_half(map + i * PAGE, 3100);
	snapshot = relative(fd, COWMEM_IOC_SNAPSHOT);
	if (snapshot < 0)
		_exit(1);
	page_out_range(snapshot, 0, pages);
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
	ksft_print_msg(
		"%s: %ld KiB of %ld: pages %ld, compressed %ld, metadata %ld; not free %ld\n", what,
		sum(taken) >> 10, limit >> 10, taken.pages >> 10, taken.compressed >> 10,
		taken.metadata >> 10, taken.all >> 10);
}

/* What memory.max bounds: 2 % more, and what each CPU has of a cache's slabs on its own. */
static long bound(void)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	return limit + limit / 50 + cpus * (long)PAGE;
}

/* The cgroup's limit, where all is tried. */
static long mib = 32;

/* What is not free any more besides. */
static long beside = 8 * MIB, last_taken;

static void escape(const char *what, void (*body)(void), long of)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct taken at_first, taken;
	int status;

	limit = mib * MIB / of;
	MUST(write_text("/proc/sys/vm/drop_caches", "1"));
	at_first = taken_now();
	status = try_in_cgroup(body);
	usleep(200000); /* what was freed under RCU */
	taken = taken_since(at_first);
	last_taken = taken.all;
	say(what, taken);
	ksft_print_msg("ended with %x, charged %ld KiB\n", (unsigned int)status,
	               read_number(CGROUP "/memory.current", "") >> 10);
	if (!debug_kernel()) { /* its red zones and its quarantine are charged to nobody */
		CHECK(sum(taken) <= bound());
		CHECK(taken.all <= bound() + beside); /* with what others do meanwhile */
	}
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
TRY(tracked, 1)
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

/* --- what must take nothing at all --- */

/* Calls that fail when they have made something already, or before. */
static void failing_calls(void)
{
	enum { TIMES = 2000 };
	const int fd = object_open();
	void *const nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int bad[] = {fd, -1};
	int made[2];
	char page[PAGE];

	MUST(nowhere != MAP_FAILED);
	memset(page, 'x', PAGE);
	write_page(fd, page, 0);
	for (int i = 0; i < TIMES; i++) {
		struct cowmem_snapshot *const unwritable = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
		                                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		uint64_t next;

		MUST(unwritable != MAP_FAILED);
		unwritable->size = sizeof(*unwritable);
		MUST(!mprotect(unwritable, PAGE, PROT_READ));
		MUST(ioctl(fd, COWMEM_IOC_SNAPSHOT, unwritable) < 0);
		MUST(ioctl(fd, COWMEM_IOC_CLONE, unwritable) < 0);
		MUST(ioctl(fd, COWMEM_IOC_CLONE, nowhere) < 0);
		MUST(snapshot_set(fd, bad, made, ARRAY_LENGTH(bad)) < 0);
		MUST(restore(fd, fd) < 0 && restore_range(fd, fd, 0, PAGE, &next) < 0);
		MUST(pwrite(fd, nowhere, PAGE, (off_t)((i + 2) * PAGE)) < 0);
		MUST(object_punch(fd, 1, PAGE) < 0);
		munmap(unwritable, PAGE);
	}
	munmap(nowhere, PAGE);
	close(fd);
}

/* Processes that are killed in the middle of it, with descriptors of their own. */
static void killed(void)
{
	enum { TIMES = 20 };

	for (int i = 0; i < TIMES; i++) {
		const pid_t pid = fork();

		MUST(pid >= 0);
		if (!pid) {
			for (;;)
				dense(600, 1);
		}
		usleep(50000 + i * 10000);
		MUST(!kill(pid, SIGKILL) && waitpid(pid, NULL, 0) == pid);
	}
}

static void take_nothing(const char *what, void (*body)(void))
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct taken at_first, taken;

	limit = (debug_kernel() ? 8 : 32) * MIB;
	body(); /* what the kernel keeps of it once */
	at_first = taken_now();
	CHECK_EQ(try_in_cgroup(body), 0);
	MUST(!syscall(SYS_close_range, FIRST_FD, ~0U, 0));
	CHECK(COMES(sum(taken = taken_since(at_first)) < MIB));
	say(what, taken);
	check_returned(before);
	check_cgroup_goes(dying);
}

static void try_failing_calls(void)
{
	take_nothing("failing_calls", failing_calls);
}

static void try_killed(void)
{
	take_nothing("killed", killed);
}

/* --- somebody else --- */
enum { OTHERS_PAGES = 1024, BATCHES = 64 * 4 };

static int others_fd;
static bool others_out;

/* In OTHER_CGROUP: an object that is in memory, or out. */
static void have_an_object(void)
{
	char page[PAGE];

	for (uint64_t i = 0; i < OTHERS_PAGES; i++) {
		fill_half(page, 1000);
		write_page(others_fd, page, i);
	}
	if (others_out)
		MUST(page_out_all(others_fd, OTHERS_PAGES) == OTHERS_PAGES);
}

static long charged(const char *cgroup)
{
	char path[64];

	snprintf(path, sizeof(path), "%s/memory.current", cgroup);
	return read_number(path, "");
}

static void run_in_other_cgroup(void (*body)(void))
{
	int status;
	pid_t pid;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(OTHER_CGROUP, 0755));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(OTHER_CGROUP "/cgroup.procs", "0"));
		body();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* What somebody else has stays his, and in memory, while this one is at its limit. */
static void others_keep_what_they_have(void)
{
	const long dying = dying_cgroups();
	long before;

	limit = (debug_kernel() ? 4 : 16) * MIB;
	others_fd = object_open();
	others_out = false;
	run_in_other_cgroup(have_an_object);
	before = charged(OTHER_CGROUP);
	CHECK(before >= OTHERS_PAGES * (long)PAGE);
	try_in_cgroup(compressible);
	CHECK_EQ(object_stat(others_fd).resident_pages, OTHERS_PAGES);
	ksft_print_msg("the other has %ld KiB, and had %ld\n", charged(OTHER_CGROUP) >> 10,
	               before >> 10);
	CHECK(labs(charged(OTHER_CGROUP) - before) <= BATCHES * (long)PAGE);
	MUST(!syscall(SYS_close_range, FIRST_FD, ~0U, 0));
	MUST(!rmdir(OTHER_CGROUP));
	check_cgroup_goes(dying);
}

static void read_all(void)
{
	char page[PAGE];

	for (uint64_t i = 0; i < OTHERS_PAGES; i++)
		MUST(pread(others_fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
}

/* Pages that were out are whose they were, whoever reads them; unless he has no room for them. */
static void what_comes_back_is_whose_it_was(void)
{
	const long dying = dying_cgroups();
	const long whole = OTHERS_PAGES * (long)PAGE, slack = BATCHES * (long)PAGE;

	limit = 64 * MIB;
	for (int has_room = 1; has_room >= 0; has_room--) {
		char text[32];
		long out;

		others_fd = object_open();
		others_out = true;
		run_in_other_cgroup(have_an_object);
		out = charged(OTHER_CGROUP);
		CHECK(out < whole / 2 && out > OTHERS_PAGES * 1000L);
		snprintf(text, sizeof(text), "%ld", out + slack);
		if (!has_room)
			MUST(write_text(OTHER_CGROUP "/memory.max", text));
		CHECK_EQ(try_in_cgroup(read_all), 0);
		ksft_print_msg("out %ld KiB, then %ld, and of who read it %ld\n", out >> 10,
		               charged(OTHER_CGROUP) >> 10, charged(CGROUP) >> 10);
		CHECK_EQ(object_stat(others_fd).resident_pages, OTHERS_PAGES);
		if (has_room) {
			CHECK(charged(OTHER_CGROUP) >= out + whole - slack);
			CHECK(charged(CGROUP) <= slack);
		} else {
			CHECK(charged(OTHER_CGROUP) <= out + slack);
			CHECK(charged(CGROUP) >= whole - 2 * slack);
		}
		MUST(!syscall(SYS_close_range, FIRST_FD, ~0U, 0));
		CHECK(COMES(charged(OTHER_CGROUP) < slack));
		MUST(!rmdir(OTHER_CGROUP));
		check_cgroup_goes(dying);
	}
}

/* In no cgroup, or in one that is removed: then who reads what was out has it charged to him. */
static void what_is_nobodys_is_whose_who_reads_it(void)
{
	const long dying = dying_cgroups();
	const long whole = OTHERS_PAGES * (long)PAGE, slack = BATCHES * (long)PAGE;

	limit = 64 * MIB;
	for (int removed = 0; removed <= 1; removed++) {
		others_fd = object_open();
		others_out = true;
		if (removed)
			run_in_other_cgroup(have_an_object);
		else
			have_an_object();
		if (removed)
			MUST(!rmdir(OTHER_CGROUP));
		CHECK_EQ(try_in_cgroup(read_all), 0);
		ksft_print_msg("of %ld KiB who read it has %ld\n", whole >> 10,
		               charged(CGROUP) >> 10);
		CHECK_EQ(object_stat(others_fd).resident_pages, OTHERS_PAGES);
		CHECK(charged(CGROUP) >= whole - slack);
		MUST(!syscall(SYS_close_range, FIRST_FD, ~0U, 0));
		CHECK(COMES(charged(CGROUP) < slack));
		check_cgroup_goes(dying);
	}
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

/* CPUs keep this part of memory free for themselves, which MemFree does not count; 0: what the kernel likes. */
static void cpus_keep_pages(const char *part)
{
	MUST(write_text("/proc/sys/vm/percpu_pagelist_high_fraction", part));
}

static void cpus_keep_as_before(void)
{
	cpus_keep_pages("0");
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"pages that are compressed well enough", "", try_compressible},
		{"pages that are hardly compressed", "", try_hardly_compressible},
		{"pages that are compressed well", "", try_well_compressible},
		{"pages of one word", "", try_same_filled},
		{"pages far from each other", "", try_sparse},
		{"clones with holes", "", try_punched},
		{"clones that are written", "", try_written_clones},
		{"pages that a snapshot sees, and that stay", "", try_tracked},
		{"objects, no more than memfds", "", try_as_many_as_memfds},
		{"places that were cleared", "", try_marks},
		{"calls that fail", "", try_failing_calls},
		{"processes that are killed", "", try_killed},
		{"others keep what they have", "", others_keep_what_they_have},
		{"what comes back is whose it was", "", what_comes_back_is_whose_it_was},
		{"what is nobody's is charged to who reads it", "",
	         what_is_nobodys_is_whose_who_reads_it},
	};

	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	cpus_keep_pages("1000000");
	atexit(cpus_keep_as_before);
	set_descriptors_apart();
	if (debug_kernel())
		mib = 8;
	if (argc > 1)
		mib = atol(argv[1]);
	return run_tests(cases, ARRAY_LENGTH(cases));
}
