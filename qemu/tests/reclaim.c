// SPDX-License-Identifier: GPL-2.0
/*
 * Memory reclaim takes what was asked for, of the cgroup that was meant, and what was used last
 * stays. Who fills an object is in a memory cgroup; this program, which is in none, looks.
 */
#include "cgroup.h"
#include "counts.h"
#include "disks.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <sys/stat.h>

enum { MIB = 1 << 20, CLUSTER = 32 };

static unsigned long mib = 256; /* of the large objects */

/* Only such a kernel's reclaim can be told what was taken (src/reclaim/scan_control.c). */
static bool describes_its_types(void)
{
	return !access("/sys/kernel/btf/vmlinux", F_OK);
}

static unsigned long resident(int fd)
{
	return object_stat(fd).resident_pages;
}

/* A page that is compressed to a sixteenth or so. */
static void fill_cold(char *page, unsigned long number)
{
	memset(page, 'x', PAGE);
	*(unsigned long *)page = number;
}

/* --- who fills the object of a case, in a cgroup --- */
static struct {
	int fd;
	unsigned long pages, stride, first;
} o;

/* One page of each @stride, then the next of each: so they lie on the LRU. */
static void fill(void)
{
	char *map = object_map(o.fd, o.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (unsigned long n = o.first; n < (o.stride ?: 1); n++)
		for (unsigned long i = n; i < o.pages; i += o.stride ?: 1)
			fill_cold(map + i * PAGE, i);
	munmap(map, o.pages * PAGE);
}

static void begin(unsigned long pages, unsigned long stride, const char *limit)
{
	o.fd = object_open_small(); /* clusters of pages of 4 KiB */
	o.pages = pages;
	o.stride = stride;
	o.first = 0;
	MUST(!object_resize(o.fd, pages * PAGE));
	CHECK_EQ(run_in_cgroup(limit, fill), 0);
}

static void end(long dying)
{
	close(o.fd);
	check_cgroup_goes(dying);
}

static bool reclaim(const char *cgroup, const char *bytes)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/memory.reclaim", cgroup);
	return write_text(path, bytes);
}

/* How often the kernel began to reclaim for the whole machine. */
static long kswapd_runs(void)
{
	return read_number("/proc/vmstat", "pageoutrun ");
}

/* @taken pages are not many more than @wanted. Kswapd had run @runs times before: if it ran meanwhile, that may explain a failure. */
static void check_not_more(unsigned long taken, unsigned long wanted, long runs)
{
	ksft_print_msg("to be taken: %lu pages, taken: %lu, while kswapd ran %ld times\n", wanted,
	               taken, kswapd_runs() - runs);
	CHECK(taken <= 2 * wanted);
}

/* As many bytes of the object as @text says, @asked pages, go out when that is asked for. */
static void check_asked(const char *text, unsigned long asked)
{
	const unsigned long before = resident(o.fd);
	const long runs = kswapd_runs();
	unsigned long taken;

	CHECK(reclaim(CGROUP, text));
	taken = before - resident(o.fd);
	CHECK(taken >= asked);
	check_not_more(taken, asked, runs);
}

static void what_was_asked(void)
{
	const long dying = dying_cgroups();

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	begin(mib * MIB / PAGE, 1, "max");
	CHECK_EQ(resident(o.fd), o.pages);
	check_asked("10M", 10 * MIB / PAGE);
	check_asked("1M", 1 * MIB / PAGE);
	end(dying);
}

/* An object that is larger than the limit by so much loses about as much. */
static void by_a_limit(const char *file)
{
	const long dying = dying_cgroups();
	const unsigned long pages = mib / 4 * MIB / PAGE, more = pages / 8;
	const struct counts before = counts_now();
	const long runs = kswapd_runs();
	char limit[32];
	long out;

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	begin(pages, 1, "max");
	snprintf(limit, sizeof(limit), "%lu",
	         read_number(CGROUP "/memory.current", "") - more * PAGE);
	MUST(write_text(file, limit));
	CHECK(COMES(read_number(CGROUP "/memory.current", "") <= atol(limit)));
	out = (long)SINCE(before, pages_paged_out);
	CHECK(out >=
	      (long)more - 64 * sysconf(_SC_NPROCESSORS_ONLN)); /* which CPUs have in stock */
	check_not_more((unsigned long)out, more, runs);
	end(dying);
}

static void by_memory_max(void)
{
	by_a_limit(CGROUP "/memory.max");
}

static void by_memory_high(void)
{
	by_a_limit(CGROUP "/memory.high");
}

/* Who writes while at the limit has what it writes over the limit taken, not all it has. */
static void a_writer_at_the_limit(void)
{
	const long dying = dying_cgroups();
	const unsigned long limit = mib / 4 * MIB / PAGE, more = limit / 8;
	const struct counts before = counts_now();
	const long runs = kswapd_runs();
	char text[32];

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	snprintf(text, sizeof(text), "%lu", limit * PAGE);
	begin(limit + more, 1, text);
	CHECK(SINCE(before, pages_paged_out) >= more);
	check_not_more(SINCE(before, pages_paged_out), more, runs);
	CHECK_EQ(read_number(CGROUP "/memory.events", "oom_kill "), 0);
	end(dying);
}

/* Reads a byte of each of the pages from @first to @end, every @step. */
static void use(const char *map, unsigned long first, unsigned long end, unsigned long step)
{
	for (unsigned long i = first; i < end; i += step)
		(void)*(volatile const char *)(map + i * PAGE);
}

/* Of how many pages from @first to @end, every @step, PAGEMAP says that they are in memory, and how many of those are used. */
static unsigned long resident_and_used(unsigned long first, unsigned long end, unsigned long step,
                                       unsigned long *used)
{
	struct cowmem_page *states = malloc(end * sizeof(*states));
	unsigned long found = 0;

	MUST(states && !pagemap_ask(o.fd, 0, 0, end, states));
	*used = 0;
	for (unsigned long i = first; i < end; i += step) {
		found += (states[i].flags & COWMEM_PAGE_RESIDENT) != 0;
		*used += states[i].referenced != 0;
	}
	free(states);
	return found;
}

static unsigned long resident_of(unsigned long nth)
{
	unsigned long used;

	return resident_and_used(nth, o.pages, CLUSTER, &used);
}

/* What each page got when it was made is forgotten: then none is said to be used. */
static void forget_uses(void)
{
	for (int i = 0; i < 4 && resident(o.fd) == o.pages; i++)
		reclaim(CGROUP, "4K");
}

/* The place in a cluster that the scan comes to last: long behind those where the pages of @clusters clusters go first. */
static unsigned long last_in_turn(unsigned long clusters)
{
	unsigned long first = 0;
	char text[32];

	snprintf(text, sizeof(text), "%lu", clusters * PAGE);
	CHECK(reclaim(CGROUP, text));
	for (unsigned long n = 1; n < CLUSTER; n++)
		if (resident_of(n) < resident_of(first))
			first = n;
	CHECK(resident_of(first) <= clusters / 2); /* the scan may have begun within a place */
	return (first + CLUSTER - 2) % CLUSTER;
}

/*
 * The pages that lie on the LRU one behind the other are of one cluster each. What was used stays, and is as used as it
 * was, when others of its cluster go.
 */
static void used_neighbours_stay(void)
{
	const long dying = dying_cgroups();
	const unsigned long clusters = mib / 16 * MIB / PAGE / CLUSTER;
	unsigned long used, still;
	char text[32];
	char *map;

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	begin(clusters * CLUSTER, CLUSTER, "max");
	forget_uses();
	used = last_in_turn(clusters);
	parameter_set("around_pages", "1"); /* what a fault maps besides may count as used, too */
	map = object_map(o.fd, o.pages * PAGE, PROT_READ, MAP_SHARED);
	use(map, used, o.pages, CLUSTER);
	parameter_set("around_pages", "16");
	for (int i = 0; i < 3; i++) {
		snprintf(text, sizeof(text), "%lu", (CLUSTER - 8) / 3 * clusters * PAGE);
		CHECK(reclaim(CGROUP, text));
	}
	CHECK_EQ(resident_and_used(used, o.pages, CLUSTER, &still), clusters);
	ksft_print_msg("of all %lu stayed, of %lu used ones at place %lu %lu are\n", resident(o.fd),
	               clusters, used, still);
	CHECK_EQ(still, clusters);
	munmap(map, o.pages * PAGE);
	end(dying);
}

/*
 * None of these goes along with another, whose turn it is: it was looked at later. Whose turn is first depends on how far the scan
 * before came.
 */
static void each_in_its_turn(void)
{
	const long dying = dying_cgroups();
	const unsigned long clusters = mib / 16 * MIB / PAGE / CLUSTER;
	unsigned int gone = 0, stayed = 0;
	char text[32];

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	begin(clusters * CLUSTER, CLUSTER, "max");
	forget_uses();
	snprintf(text, sizeof(text), "%lu", 4 * clusters * PAGE);
	CHECK(reclaim(CGROUP, text));
	for (unsigned long n = 0; n < CLUSTER; n++) {
		const unsigned long resident = resident_of(n);

		gone += resident < clusters / 4;
		stayed += resident > clusters * 3 / 4;
	}
	ksft_print_msg("of %d places in a cluster %u are out, and %u stayed\n", CLUSTER, gone,
	               stayed);
	CHECK(gone >= 3);
	CHECK(stayed >= CLUSTER * 3 / 4);
	end(dying);
}

/* The same of pages that are used by read(). */
static void what_is_read_stays(void)
{
	const long dying = dying_cgroups();
	const unsigned long clusters = mib / 16 * MIB / PAGE / CLUSTER;
	char text[32], byte;

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	begin(clusters * CLUSTER, 1, "max");
	forget_uses();
	for (unsigned long i = 0; i < o.pages; i += CLUSTER)
		MUST(pread(o.fd, &byte, 1, (off_t)(i * PAGE)) == 1);
	snprintf(text, sizeof(text), "%lu", CLUSTER / 2 * clusters * PAGE);
	CHECK(reclaim(CGROUP, text));
	ksft_print_msg("%lu of %lu stayed, of all %lu\n", resident_of(0), clusters, resident(o.fd));
	CHECK_EQ(resident_of(0), clusters);
	end(dying);
}

/*
 * Who reads in order uses each page once, as he comes by: what was read ahead of him goes, also when it is younger than what was
 * used without being read ahead.
 */
static void what_was_read_ahead_goes(void)
{
	const long dying = dying_cgroups();
	const unsigned long pages = mib / 16 * MIB / PAGE, used = pages / 4;
	struct counts before;
	unsigned long stayed, still, referenced;
	int file;
	char text[32], *map;

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	file = use_file(pages);
	begin(pages, 1, "max");
	MUST(page_out_all(o.fd, pages) == pages);
	parameter_set("writeback", "0");
	MUST(store_stat(o.fd).backing_slots == pages);
	map = object_map(o.fd, pages * PAGE, PROT_READ, MAP_SHARED);
	before = counts_now();
	parameter_set("backing_readahead", "1");
	use(map, 0, used, 1);
	CHECK_EQ(SINCE(before, backing_readahead), 0);
	parameter_set("backing_readahead", "8");
	use(map, used, pages, 1);
	CHECK(SINCE(before, backing_readahead) >= (pages - used) / 4 * 3);
	MUST(resident(o.fd) == pages);

	snprintf(text, sizeof(text), "%lu", pages / 2 * PAGE);
	CHECK(reclaim(CGROUP, text));
	still = resident(o.fd);
	stayed = resident_and_used(0, used, 1, &referenced);
	ksft_print_msg("of %lu that were used %lu stayed, of %lu that were read in order %lu\n",
	               used, stayed, pages - used, still - stayed);
	CHECK(still <= pages / 2);
	CHECK_EQ(stayed, used);
	munmap(map, pages * PAGE);
	end(dying);
	let_file_go(file);
}

/* Runs @body in a cgroup that there is. */
static void run_in(const char *cgroup, void (*body)(void))
{
	char path[128];
	int status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(path, "0"));
		body();
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

/* Pages in memory of those at even places, or at odd ones. */
static unsigned long resident_of_every_other(unsigned long first)
{
	unsigned long found = 0;

	for (unsigned long n = first; n < CLUSTER; n += 2)
		found += resident_of(n);
	return found;
}

/* Every other page of an object is another cgroup's: reclaim of one takes nothing of the other's. */
static void others_stay(void)
{
	const long dying = dying_cgroups();
	unsigned long mine, theirs;

	begin(mib / 16 * MIB / PAGE, 2, "max"); /* all of them, and then away with half */
	for (unsigned long i = 1; i < o.pages; i += 2)
		MUST(!object_punch(o.fd, i * PAGE, PAGE));
	MUST(!mkdir(OTHER_CGROUP, 0755));
	o.first = 1;
	run_in(OTHER_CGROUP, fill);
	CHECK_EQ(resident(o.fd), o.pages);
	for (int i = 0; i < 4; i++)
		reclaim(CGROUP, "1G");
	mine = resident_of_every_other(0);
	theirs = resident_of_every_other(1);
	ksft_print_msg("of %lu each, %lu and the other's %lu stayed\n", o.pages / 2, mine, theirs);
	CHECK_EQ(theirs, o.pages / 2);
	CHECK(mine < o.pages / 16);
	close(o.fd);
	MUST(!rmdir(OTHER_CGROUP));
	check_cgroup_goes(dying);
}

#define PROTECTED CGROUP "/protected"
#define EXPOSED CGROUP "/exposed"

/*
 * Of an object whose pages are every other one those of a protected cgroup, reclaim of the parent
 * takes the others, by what @file says and as long as it says so.
 */
static void protected_by(const char *file, unsigned long times, const char *asked)
{
	const long dying = dying_cgroups();
	unsigned long half;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755) && write_text(CGROUP "/cgroup.subtree_control", "+memory"));
	MUST(!mkdir(PROTECTED, 0755) && !mkdir(EXPOSED, 0755));
	o.fd = object_open();
	o.pages = mib / 16 * MIB / PAGE;
	o.stride = 2;
	half = o.pages / 2;
	MUST(!object_resize(o.fd, o.pages * PAGE));
	o.first = 0;
	run_in(PROTECTED, fill);
	for (unsigned long i = 1; i < o.pages; i += 2)
		MUST(!object_punch(o.fd, i * PAGE, PAGE));
	o.first = 1;
	run_in(EXPOSED, fill);
	MUST(write_text(file, "1G"));
	for (unsigned long i = 0; i < times && resident_of_every_other(1) >= half / 2; i++)
		reclaim(CGROUP, asked);
	ksft_print_msg("of %lu each, %lu that are protected and %lu others stayed\n", half,
	               resident_of_every_other(0), resident_of_every_other(1));
	CHECK_EQ(resident_of_every_other(0), half);
	CHECK(resident_of_every_other(1) < half / 2);
	MUST(write_text(file, "0"));
	for (int i = 0; i < 4; i++)
		reclaim(CGROUP, "1G");
	CHECK(resident_of_every_other(0) < half / 8);
	close(o.fd);
	MUST(!rmdir(PROTECTED) && !rmdir(EXPOSED));
	check_cgroup_goes(dying);
}

static void by_memory_min(void)
{
	protected_by(PROTECTED "/memory.min", 4, "1G");
}

/* That gives way where nothing else is left: no more is asked for than the others have. */
static void by_memory_low(void)
{
	char asked[32];

	if (!describes_its_types())
		SKIP("this kernel has no description of its types");
	snprintf(asked, sizeof(asked), "%lu", mib / 16 * MIB / 2 / 64);
	protected_by(PROTECTED "/memory.low", 64, asked);
}

/* Page 1, then 0 and 2, of which the later version of each other time is somebody else's. */
static void write_1(void)
{
	char page[PAGE];

	fill_cold(page, 1);
	MUST(pwrite(o.fd, page, PAGE, 1 * PAGE) == (ssize_t)PAGE);
}

static void write_0(void)
{
	MUST(pwrite(o.fd, "0", 1, 0 * PAGE) == 1);
}

static void write_2(void)
{
	MUST(pwrite(o.fd, "2", 1, 2 * PAGE) == 1);
}

static bool is_resident(int fd, uint64_t index)
{
	return page_state(fd, 0, index).flags & COWMEM_PAGE_RESIDENT;
}

/*
 * Of a place at which members of a family see different pages, reclaim takes that of who is meant.
 * What is in memory only a snapshot's holder is told.
 */
static void others_versions_stay(void)
{
	const long dying = dying_cgroups();
	int older, newer;

	begin(4, 4, "max");
	MUST(!object_punch(o.fd, 0, 4 * PAGE));
	MUST(!mkdir(OTHER_CGROUP, 0755));
	run_in(CGROUP, write_1);
	run_in(CGROUP, write_0);
	run_in(OTHER_CGROUP, write_2);
	older = snapshot(o.fd);
	run_in(OTHER_CGROUP, write_0);
	run_in(CGROUP, write_2);
	newer = snapshot(o.fd);
	for (uint64_t i = 0; i < 3; i++)
		CHECK(is_resident(older, i) && is_resident(newer, i));
	for (int i = 0; i < 8; i++)
		reclaim(CGROUP, "1G");
	CHECK(!is_resident(older, 1));
	CHECK(!is_resident(newer, 1));
	CHECK(!is_resident(older, 0));
	CHECK(!is_resident(newer, 2));
	CHECK(is_resident(older, 2));
	CHECK(is_resident(newer, 0));
	close(newer);
	close(older);
	close(o.fd);
	MUST(!rmdir(OTHER_CGROUP));
	check_cgroup_goes(dying);
}

/* --- no work in vain --- */
static void fill_noise(void)
{
	uint64_t word = 88172645463325252;
	char *map = object_map(o.fd, o.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (unsigned long i = 0; i < o.pages * PAGE / sizeof(word); i++) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		((uint64_t *)map)[i] = word;
	}
	munmap(map, o.pages * PAGE);
}

static void begin_noise(unsigned long pages)
{
	o.fd = object_open();
	o.pages = pages;
	MUST(!object_resize(o.fd, pages * PAGE));
	CHECK_EQ(run_in_cgroup("max", fill_noise), 0);
}

/* What is not compressed is not tried again until it is written, by whatever way. */
static void incompressible_once(void)
{
	const long dying = dying_cgroups();
	struct counts before = counts_now();
	char *map;

	begin_noise(fewer_if_debug(256));
	reclaim_all();
	CHECK_EQ(resident(o.fd), o.pages);
	CHECK_EQ(SINCE(before, pages_incompressible), o.pages);
	reclaim_all();
	CHECK_EQ(SINCE(before, pages_incompressible), o.pages);
	map = object_map(o.fd, o.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	(void)*(volatile char *)(map + 9 * PAGE);
	map[10 * PAGE] ^= 1;
	MUST(pwrite(o.fd, "x", 1, 20 * PAGE) == 1);
	memset(map + 30 * PAGE, 'x', PAGE);
	reclaim_all();
	CHECK_EQ(SINCE(before, pages_incompressible), o.pages + 2);
	CHECK_EQ(resident(o.fd), o.pages - 1);
	/* Nor if PAGEMAP has taken the marks of a write meanwhile. */
	map[40 * PAGE] ^= 1;
	memset(map + 50 * PAGE, 'x', PAGE);
	for (unsigned long i = 40; i <= 50; i += 10)
		CHECK(page_state(o.fd, COWMEM_PAGEMAP_CLEAR_DIRTY, i).flags & COWMEM_PAGE_DIRTY);
	reclaim_all();
	CHECK(!(page_state(o.fd, 0, 50).flags & COWMEM_PAGE_RESIDENT));
	munmap(map, o.pages * PAGE);
	end(dying);
}

/* A page that takes so many bytes compressed, or some more. */
static void write_noise(int fd, uint64_t index, size_t random)
{
	char page[PAGE];

	memset(page, 'z', PAGE);
	for (size_t n = 0; n < random; n++)
		page[n] = (char)(rand() >> 8);
	MUST(pwrite(fd, page, PAGE, (off_t)(index * PAGE)) == (ssize_t)PAGE);
}

/* With a full store nothing is write-protected: who writes has no fault of it. */
static void full_store_costs_no_faults(void)
{
	const long dying = dying_cgroups();
	const unsigned long pages = fewer_if_debug(2048);
	struct counts before;
	struct cowmem_page_out out;
	char *map;
	const int fill_fd = object_open();
	long faults;

	begin(pages, 1, "max");
	map = object_map(o.fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned long i = 0; i < pages; i++)
		map[i * PAGE + 1] = 'y';
	limit_store(1);
	parameter_set("share", "0");        /* or there would be some */
	for (uint64_t i = 0; i < 1024; i++) /* more than there is room for */
		write_noise(fill_fd, i, PAGE / 2);
	MUST(!page_out_ask(fill_fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 1024));
	CHECK(out.full > 0);
	before = counts_now();
	reclaim_all();
	CHECK_EQ(resident(o.fd), pages);
	faults = minor_faults();
	for (unsigned long i = 0; i < pages; i++)
		map[i * PAGE + 1] = 'z';
	CHECK(minor_faults() - faults < 8);
	CHECK_EQ(SINCE(before, mkwrite), 0);
	parameter_set("share", SHARE_DEFAULT);
	limit_store(store_default_mib());
	munmap(map, pages * PAGE);
	close(fill_fd);
	end(dying);
}

/* --- the store's limit --- */
static uint64_t out_of(int fd, uint64_t index, uint64_t pages, uint64_t *full)
{
	struct cowmem_page_out out;

	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, index, pages));
	*full = out.full;
	return out.out;
}

/* What it has of pages that are hardly anything is half slots. Who came to its limit waits for a tenth of it. */
static void a_limit_counts_slots(void)
{
	enum { LIMIT = 1 * MIB, SLOT = 32, ALL = LIMIT / SLOT / 2, MORE = 64 };
	const struct counts before = counts_now();
	const int fd = object_open();
	uint64_t full, out, takes;
	char page[PAGE];

	CHECK_EQ(read_number(PARAMETERS "store_max_mib", ""), store_default_mib());
	limit_store(1);
	parameter_set("share", "0");
	for (unsigned long i = 0; i < ALL; i++) {
		fill_cold(page, i + 1);
		MUST(pwrite(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
	out = out_of(fd, 0, ALL, &full);
	takes = store_stat(fd).pool_bytes + out * SLOT;
	ksft_print_msg("%lu of %d went out and take %lu bytes, for %lu there was no room\n",
	               (unsigned long)out, ALL, (unsigned long)takes, (unsigned long)full);
	CHECK(takes <= LIMIT + LIMIT / 20 && takes > LIMIT / 8 * 7);
	CHECK_EQ(full, ALL - out);
	/* A page of one word is worth its slot at any time. */
	memset(page, 'x', PAGE);
	MUST(pwrite(fd, page, PAGE, (off_t)((ALL - 1) * PAGE)) == (ssize_t)PAGE);
	CHECK_EQ(out_of(fd, ALL - 1, 1, &full), 1);
	MUST(!object_punch(fd, 0, out / 20 * PAGE));
	CHECK_EQ(out_of(fd, out, MORE, &full), 0);
	CHECK_EQ(full, MORE);
	MUST(!object_punch(fd, 0, out / 6 * PAGE));
	CHECK_EQ(out_of(fd, out, MORE, &full), MORE);
	CHECK_EQ(full, 0);
	close(fd);
	parameter_set("share", SHARE_DEFAULT);
	limit_store(store_default_mib());
	check_returned(before);
}

/* Where most is gone, but something of each page of zsmalloc's is left, there is room again. */
static void a_limit_closes_gaps(void)
{
	enum { PAGES = 8192, MORE = 64 };
	const struct counts before = counts_now();
	const int fd = object_open();
	uint64_t full, out, had, has;

	limit_store(4);
	parameter_set("share", "0");
	for (uint64_t i = 0; i < PAGES; i++)
		write_noise(fd, i, PAGE / 4);
	out = out_of(fd, 0, PAGES, &full);
	CHECK_EQ(full, PAGES - out);
	had = store_stat(fd).pool_bytes;
	for (uint64_t i = 0; i < out; i++)
		if (i % 4)
			MUST(!object_punch(fd, i * PAGE, PAGE));
	has = store_stat(fd).pool_bytes;
	ksft_print_msg("%lu pages take %lu KiB, and a fourth of them %lu\n", (unsigned long)out,
	               (unsigned long)had >> 10, (unsigned long)has >> 10);
	CHECK(has > had / 10 * 9);
	CHECK_EQ(out_of(fd, out, MORE, &full), MORE);
	CHECK(store_stat(fd).pool_bytes < had / 2);
	close(fd);
	parameter_set("share", SHARE_DEFAULT);
	limit_store(store_default_mib());
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"memory.reclaim takes what was asked for", "", what_was_asked},
		{"memory.max takes what is above it", "", by_memory_max},
		{"memory.high takes what is above it", "", by_memory_high},
		{"a writer at the limit", "", a_writer_at_the_limit},
		{"used neighbours of a victim stay, and are used", "", used_neighbours_stay},
		{"what is used by read() stays", "", what_is_read_stays},
		{"each page goes in its turn", "", each_in_its_turn},
		{"what was read ahead goes first", "", what_was_read_ahead_goes},
		{"neighbours that are another cgroup's stay", "", others_stay},
		{"memory.min protects neighbours, too", "", by_memory_min},
		{"memory.low protects neighbours, too", "", by_memory_low},
		{"versions that are another cgroup's stay", "", others_versions_stay},
		{"what is incompressible is tried once", "", incompressible_once},
		{"the store's limit counts slots", "", a_limit_counts_slots},
		{"the store closes gaps before it is full", "", a_limit_closes_gaps},
		{"a full store costs no faults", "", full_store_costs_no_faults},
	};

	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	if (debug_kernel())
		mib = 64;
	return run_tests(cases, ARRAY_LENGTH(cases));
}
