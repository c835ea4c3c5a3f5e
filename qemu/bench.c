// SPDX-License-Identifier: GPL-2.0
/*
 * The benchmark, inside the guest: what each work costs on a cowmem object and on
 * what a user would take instead, in one boot. Under QEMU's -icount with one CPU
 * guest time counts instructions, so a figure is the same in every run.
 *
 *   bench MIB ROUNDS [WORK...]
 *
 * Prints, for each work, kind of memory and round, "bench WORK KIND UNITS TOTAL": how
 * many pages (or faults) and what they took together, in instructions, or in bytes
 * where the work is about memory. Where cowmem is not loaded the work is called WORK-without.
 * scripts/bench.py makes a table of it.
 *
 * A work makes what it needs, calls bench_start() and bench_stop() once around what is
 * measured (qemu/profile.c looks for them), or around each call of which the least counts, and
 * removes what it made.
 */
#include "bench.h"
#include "zram.h"

#include <sys/resource.h>
#include <sys/stat.h>

#define MAX_MAPPINGS 1000
#define FEW_BYTES (4UL << 20)
#define BETWEEN 200000 /* microseconds: what the last work freed, and its output, are under way */

/* --- the clock: instructions --- */

static uint64_t now(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc(); /* QEMU's runs at 1 GHz */
#elif defined(__aarch64__)
	uint64_t count, frequency;

	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(count));
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
	return count * (1000000000 / frequency);
#endif
}

static uint64_t started;

__attribute__((noinline)) void bench_start(void)
{
	started = now();
}

__attribute__((noinline)) uint64_t bench_stop(void)
{
	return now() - started;
}

/* --- works: each returns its total, and how many units that was --- */

struct result {
	size_t units;
	uint64_t total;
};

static struct result per_page(const struct object *o, uint64_t total)
{
	return (struct result){.units = o->bytes / PAGE, .total = total};
}

static void unmap(const struct object *o, char *p)
{
	MUST(!munmap(p, o->bytes));
}

/* Is the clock one? As many instructions as this loop has, without a fault. */
#define LOOPS (16UL << 20)
static struct result calibrate(struct object *o)
{
	unsigned long loops = LOOPS;

	(void)o;
	bench_start();
#if defined(__x86_64__)
	__asm__ volatile("1: dec %0\n\tjnz 1b" : "+r"(loops));
#elif defined(__aarch64__)
	__asm__ volatile("1: subs %0, %0, #1\n\tb.ne 1b" : "+r"(loops));
#endif
	return (struct result){.units = 2 * LOOPS, .total = bench_stop()};
}

/* A page copied to the next with the instructions of the kernel's copy_page(). */
static struct result copy(struct object *o)
{
	char *p = object_map(o, MAP_PRIVATE);
	uint64_t total;

	write_pages(p, o->bytes);
	bench_start();
	for (size_t at = 0; at < o->bytes; at += 2 * PAGE) {
		const char *from = p + at;
		char *to = p + at + PAGE;
#if defined(__x86_64__)
		size_t words = PAGE / 8;

		__asm__ volatile("rep movsq" : "+S"(from), "+D"(to), "+c"(words) : : "memory");
#elif defined(__aarch64__)
		const char *end = from + PAGE;

#define COPY_16(at) "ldp x2, x3, [%0, #" #at "]\n\tstnp x2, x3, [%1, #" #at "]\n\t"
		__asm__ volatile("1: " COPY_16(0) COPY_16(16) COPY_16(32) COPY_16(48) COPY_16(64)
		                         COPY_16(80) COPY_16(96)
		                                 COPY_16(112) "add %0, %0, #128\n\tadd %1, %1, "
		                                              "#128\n\tcmp %0, %2\n\tb.ne 1b"
		                 : "+&r"(from), "+&r"(to)
		                 : "r"(end)
		                 : "x2", "x3", "cc", "memory");
#endif
	}
	total = bench_stop();
	unmap(o, p);
	return (struct result){.units = o->bytes / PAGE / 2, .total = total};
}

/*
 * What @work takes on a mapping of the object, @flags MAP_SHARED or MAP_PRIVATE, after
 * @prepare, if there is one.
 */
static struct result on_mapping(struct object *o, int flags,
                                void (*prepare)(const struct object *o, char *p),
                                void (*work)(char *p, size_t bytes))
{
	char *p = object_map(o, flags);
	uint64_t total;

	if (prepare)
		prepare(o, p);
	bench_start();
	work(p, o->bytes);
	total = bench_stop();
	unmap(o, p);
	return per_page(o, total);
}

static void fill(const struct object *o, char *p)
{
	(void)p;
	object_fill(o);
}

static void fill_and_read(const struct object *o, char *p)
{
	if (o->fd >= 0)
		object_fill(o);
	read_pages(p, o->bytes);
}

static struct result read_zero(struct object *o)
{
	return on_mapping(o, MAP_PRIVATE, NULL, read_pages);
}

static struct result write_hole(struct object *o)
{
	return on_mapping(o, o->kind == ANON ? MAP_PRIVATE : MAP_SHARED, NULL, write_pages);
}

static struct result write_private(struct object *o)
{
	return on_mapping(o, MAP_PRIVATE, fill, write_pages);
}

static struct result write_private_after_read(struct object *o)
{
	return on_mapping(o, MAP_PRIVATE, fill_and_read, write_pages);
}

static struct result write_shared(struct object *o)
{
	return on_mapping(o, MAP_SHARED, fill, write_pages);
}

static struct result read_shared(struct object *o)
{
	return on_mapping(o, MAP_SHARED, fill, read_pages);
}

static void read_then_write(char *p, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += PAGE)
		(*(volatile char *)(p + at))++;
}

static struct result read_write_shared(struct object *o)
{
	return on_mapping(o, MAP_SHARED, fill, read_then_write);
}

static struct result unmap_shared(struct object *o)
{
	char *p = object_map(o, MAP_SHARED);

	write_pages(p, o->bytes);
	bench_start();
	unmap(o, p);
	return per_page(o, bench_stop());
}

static struct result free_last(struct object *o)
{
	object_fill(o);
	bench_start();
	object_free(o);
	return per_page(o, bench_stop());
}

static struct result punch_mapped(struct object *o)
{
	char *p = object_map(o, MAP_SHARED);
	uint64_t total;

	write_pages(p, o->bytes);
	bench_start();
	object_punch(o);
	total = bench_stop();
	unmap(o, p);
	return per_page(o, total);
}

/* Writes one page of each of STREWN parts; the page before it was written: its page table is there. */
#define STREWN 128
static struct result strewn(const struct object *o, char *p)
{
	const size_t step = o->bytes / STREWN;
	uint64_t total;

	write_every(p, o->bytes, 0, step);
	bench_start();
	write_every(p, o->bytes, PAGE, step);
	total = bench_stop();
	unmap(o, p);
	return (struct result){.units = STREWN, .total = total};
}

static struct result strewn_hole(struct object *o)
{
	return strewn(o, object_map(o, MAP_SHARED));
}

static struct result strewn_private(struct object *o)
{
	char *p = object_map(o, MAP_SHARED);

	write_every(p, o->bytes, 0, o->bytes / STREWN);
	write_every(p, o->bytes, PAGE, o->bytes / STREWN);
	unmap(o, p);
	return strewn(o, object_map(o, MAP_PRIVATE));
}

/* The @work of an object that has more mappings, all of them populated. */
static struct result among_mappings(struct object *o, struct result (*work)(struct object *o))
{
	char *others[MAX_MAPPINGS];
	struct result r;

	object_fill(o);
	for (size_t i = 0; i < o->mappings; i++) {
		others[i] = object_map(o, MAP_SHARED);
		MUST(!madvise(others[i], o->bytes, MADV_POPULATE_READ));
	}
	r = work(o);
	for (size_t i = 0; i < o->mappings; i++)
		unmap(o, others[i]);
	return r;
}

static struct result write_private_among(struct object *o)
{
	return among_mappings(o, write_private);
}

static struct result write_shared_among(struct object *o)
{
	return among_mappings(o, write_shared);
}

/*
 * What a reverse-map walk takes, cowmem's or the kernel's, of the page at @p, which has
 * just been accessed through @mappings mappings. The module that does it (kunit/peer)
 * also takes the time, so the way to it and back does not count. The kernel's
 * multi-generation LRU would look around each entry, so it is off.
 */
#define WALK "/sys/module/cowmem_peer/parameters/walk"
static uint64_t walk_of_page(enum kind kind, const char *p, size_t mappings)
{
	unsigned long entries, units;
	char text[64];
	FILE *answer;

	write_text("/sys/kernel/mm/lru_gen/enabled", "0");
	snprintf(text, sizeof(text), "%s %lx", kind == COWMEM ? "cowmem" : "kernel",
	         (unsigned long)p);
	write_text(WALK, text);
	answer = fopen(WALK, "re");
	MUST(answer && fscanf(answer, "%lu %lu", &entries, &units) == 2);
	fclose(answer);
	MUST(entries == mappings);
	return units;
}

/* A walk of one page that is mapped o->mappings times: per mapping. */
static struct result walk(struct object *o)
{
	const size_t rounds = 1 + 100 / o->mappings;
	struct result r = {.units = rounds * o->mappings};

	for (size_t round = 0; round < rounds; round++) {
		struct object page = {.kind = o->kind, .fd = o->fd, .bytes = PAGE};
		char *at[MAX_MAPPINGS];

		for (size_t i = 0; i < o->mappings; i++)
			write_pages(at[i] = object_map(&page, MAP_SHARED), PAGE);
		r.total += walk_of_page(o->kind, at[0], o->mappings);
		for (size_t i = 0; i < o->mappings; i++)
			unmap(&page, at[i]);
	}
	return r;
}

/* How much of this process' memory single entries of 2 MiB map. */
static size_t huge_bytes(void)
{
	FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
	size_t kib, sum = 0;
	char line[256];

	MUST(rollup);
	while (fgets(line, sizeof(line), rollup))
		if (sscanf(line, "AnonHugePages: %zu", &kib) == 1 ||
		    sscanf(line, "ShmemPmdMapped: %zu", &kib) == 1 ||
		    sscanf(line, "FilePmdMapped: %zu", &kib) == 1)
			sum += kib << 10;
	fclose(rollup);
	return sum;
}

/* Which sizes the kernel, and cowmem, take for whoever wants large ones: pages of @kib, or small ones. */
static void allow_size(size_t kib)
{
#define THP "/sys/kernel/mm/transparent_hugepage/"
	write_text("/sys/module/cowmem/parameters/huge_sizes", kib == 64 ? "0x10000" : "0x200000");
	write_text(THP "hugepages-64kB/enabled", kib == 64 ? "madvise" : "never");
	write_text(THP "hugepages-2048kB/enabled", kib == 64 ? "never" : "madvise");
	write_text(THP "hugepages-64kB/shmem_enabled", kib == 64 ? "always" : "never");
	write_text(THP "shmem_enabled", kib == 2048 ? "always" : "never");
}

/* Mapped as who wants pages of that size has it; object_map() is for small ones. */
static char *map_of_size(const struct object *o)
{
	const int anonymous = o->kind == ANON ? MAP_ANONYMOUS | MAP_PRIVATE : MAP_SHARED;
	struct cowmem_set_huge set = {.size = sizeof(set), .huge = COWMEM_HUGE_ALWAYS};
	char *p;

	MUST(!o->kib || o->kind != COWMEM || !ioctl(o->fd, COWMEM_IOC_SET_HUGE, &set));
	allow_size(o->kib);
	p = mmap(NULL, o->bytes, PROT_READ | PROT_WRITE, anonymous | MAP_NORESERVE, o->fd, 0);
	MUST(p != MAP_FAILED);
	MUST(!madvise(p, o->bytes, o->kib ? MADV_HUGEPAGE : MADV_NOHUGEPAGE));
	return p;
}

static long minor_faults(void)
{
	struct rusage usage;

	MUST(!getrusage(RUSAGE_SELF, &usage));
	return usage.ru_minflt;
}

/* The size was had: by single entries, or by as few faults; a memfd's pages of 64 KiB take a fault for each 4 KiB. */
static void check_size(const struct object *o, long faults)
{
	MUST(o->kib == 2048 ? huge_bytes() >= o->bytes / 100 * 98 : !huge_bytes());
	MUST(o->kib != 64 || o->kind == MEMFD ||
	     (size_t)(minor_faults() - faults) <= o->bytes / (64 << 10) / 100 * 102);
}

/* A word of each page, in an order that is none; the step divides no number of pages. */
static void touch_at_random(char *p, size_t bytes, bool write)
{
	const size_t pages = bytes / PAGE, step = 514229;

	for (size_t i = 0, page = 0; i < pages; i++, page = (page + step) % pages) {
		volatile uint64_t *word = (volatile uint64_t *)(p + page * PAGE);

		if (write)
			*word = i;
		else
			(void)*word;
	}
}

static void read_words(const char *p, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += 64)
		(void)*(const volatile uint64_t *)(p + at);
}

/* The first pass, and all five: all bytes written, and read, then a byte of each page written; in no order read, and written. */
static struct result touch_first(struct object *o)
{
	char *p = map_of_size(o);
	const long faults = minor_faults();
	uint64_t total;

	bench_start();
	memset(p, 1, o->bytes);
	total = bench_stop();
	check_size(o, faults);
	unmap(o, p);
	return per_page(o, total);
}

static struct result touch_five(struct object *o)
{
	char *p = map_of_size(o);
	const long faults = minor_faults();
	uint64_t total;

	bench_start();
	memset(p, 1, o->bytes);
	read_words(p, o->bytes);
	write_pages(p, o->bytes);
	touch_at_random(p, o->bytes, false);
	touch_at_random(p, o->bytes, true);
	total = bench_stop();
	check_size(o, faults);
	unmap(o, p);
	return per_page(o, total);
}

/* Written by write(), 4 MiB at a time, and not mapped until then. */
static struct result touch_load(struct object *o)
{
	const size_t piece = 4 << 20;
	char *from = malloc(piece), *p = map_of_size(o);
	const long faults = minor_faults();
	uint64_t total;

	MUST(from);
	memset(from, 1, piece);
	unmap(o, p);
	bench_start();
	for (size_t at = 0; at < o->bytes; at += piece)
		MUST(pwrite(o->fd, from, piece, (off_t)at) == (ssize_t)piece);
	total = bench_stop();
	p = map_of_size(o);
	read_words(p, o->bytes);
	check_size(o, faults);
	unmap(o, p);
	free(from);
	return per_page(o, total);
}

/* A snapshot, or fork(), of what was written; and a byte of each page after it. */
static struct result touch_keep(struct object *o)
{
	char *p = map_of_size(o);
	const long faults = minor_faults();
	uint64_t total;
	int kept;

	memset(p, 1, o->bytes);
	check_size(o, faults);
	bench_start();
	kept = keep(o);
	total = bench_stop();
	let_go(o, kept);
	unmap(o, p);
	return per_page(o, total);
}

static struct result touch_kept(struct object *o)
{
	char *p = map_of_size(o);
	uint64_t total;
	int kept;

	memset(p, 1, o->bytes);
	kept = keep(o);
	bench_start();
	write_pages(p, o->bytes);
	total = bench_stop();
	let_go(o, kept);
	unmap(o, p);
	return per_page(o, total);
}

#define CGROUPS "/sys/fs/cgroup"

/* From here on what this process, and its children, take is counted. */
static void enter_cgroup(void)
{
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUPS "/bench", 0755) || errno == EEXIST);
	write_text(CGROUPS "/bench/cgroup.procs", "0");
}

static void leave_cgroup(void)
{
	write_text(CGROUPS "/cgroup.procs", "0");
}

/* All that the cgroup has been charged for but anonymous memory. cowmem's pages are in it. */
static uint64_t charged_bytes(void)
{
	unsigned long value;
	uint64_t bytes = 0;
	char name[64];
	FILE *stat;

	sleep(3); /* the kernel gathers what its CPUs have counted every 2 s */
	stat = fopen(CGROUPS "/bench/memory.stat", "re");
	MUST(stat);
	while (fscanf(stat, "%63s %lu", name, &value) == 2)
		if (!strcmp(name, "file") || !strcmp(name, "kernel"))
			bytes += value;
	fclose(stat);
	return bytes;
}

/* What the kernel needs for the pages besides themselves. */
static struct result memory_resident(struct object *o)
{
	uint64_t before, after;

	enter_cgroup();
	before = charged_bytes();
	object_fill(o);
	after = charged_bytes();
	leave_cgroup();
	return per_page(o, after - before - o->bytes);
}

/* --- paging: cowmem to its store, other memory to zram, by the same compressor --- */

#define SWAP_MIB 256

/* Has a swap device of zram, of @mib MiB or none, and both sides compress alike. */
static void swap_to_zram(unsigned int mib)
{
	static unsigned int present;

	write_text("/sys/module/cowmem/parameters/compressor", "lz4");
	if (mib == present)
		return;
	MUST(!present || zram_swap_off());
	MUST(!mib || zram_swap_on(mib, "lz4"));
	present = mib;
}

/* Pages of one word, another in each: no compressor has a part in it. */
static void write_words(char *p, size_t bytes)
{
	for (size_t at = 0; at < bytes; at += 8)
		*(uint64_t *)(p + at) = 1 + at / PAGE;
}

/* Records of 64 bytes, a quarter of each is noise: other content in every page. */
static void write_records(char *p, size_t bytes)
{
	uint64_t seed = 88172645463325252ULL;

	for (size_t at = 0; at < bytes; at += 64) {
		memcpy(p + at, "name=cowmem;kind=record;state=ready;owner=nobody;", 48);
		for (size_t word = 48; word < 64; word += 8) {
			seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
			memcpy(p + at + word, &seed, 8);
		}
	}
}

static unsigned long swapped_kb(void)
{
	char line[128];
	unsigned long kb = 0;
	FILE *status = fopen("/proc/self/status", "re");

	MUST(status);
	while (fgets(line, sizeof(line), status))
		if (!strncmp(line, "VmSwap:", 7))
			kb = strtoul(line + 7, NULL, 10);
	fclose(status);
	return kb;
}

/* Pages out all of @o, mapped at @p. */
static void page_out(const struct object *o, char *p)
{
	struct cowmem_page_out out = {
		.size = sizeof(out), .flags = COWMEM_PAGE_OUT_ACCESSED, .length = o->bytes};

	if (o->kind == COWMEM)
		MUST(!ioctl(o->fd, COWMEM_IOC_PAGE_OUT, &out) && out.out == o->bytes / PAGE);
	else
		MUST(!madvise(p, o->bytes, MADV_PAGEOUT));
}

/* The kernel has some pages in lists of a CPU's, which it does not look for. */
static void check_swapped(const struct object *o)
{
	MUST(o->kind == COWMEM || swapped_kb() >= (o->bytes >> 10) * 99 / 100);
}

static struct result page_out_filled(struct object *o, void (*fill)(char *p, size_t bytes))
{
	char *p;
	uint64_t total;

	swap_to_zram(SWAP_MIB);
	p = object_map(o, o->kind == ANON ? MAP_PRIVATE : MAP_SHARED);
	fill(p, o->bytes);
	bench_start();
	page_out(o, p);
	total = bench_stop();
	check_swapped(o);
	unmap(o, p);
	return per_page(o, total);
}

static struct result page_out_records(struct object *o)
{
	return page_out_filled(o, write_records);
}

static struct result page_out_words(struct object *o)
{
	return page_out_filled(o, write_words);
}

/* A first use of pages that are paged out, through a mapping of @flags. */
static struct result page_in(struct object *o, int flags, void (*fill)(char *p, size_t bytes),
                             void (*use)(char *p, size_t bytes))
{
	char *p, *q;
	uint64_t total;

	swap_to_zram(SWAP_MIB);
	p = object_map(o, o->kind == ANON ? MAP_PRIVATE : MAP_SHARED);
	fill(p, o->bytes);
	page_out(o, p);
	check_swapped(o);
	q = o->kind == ANON ? p : object_map(o, flags);
	bench_start();
	use(q, o->bytes);
	total = bench_stop();
	unmap(o, p);
	if (q != p)
		unmap(o, q);
	return per_page(o, total);
}

static void read_only(char *p, size_t bytes)
{
	read_pages(p, bytes);
}

#define PAGE_IN(name, flags, fill, use)              \
	static struct result name(struct object *o)  \
	{                                            \
		return page_in(o, flags, fill, use); \
	}
PAGE_IN(in_read_records, MAP_SHARED, write_records, read_only)
PAGE_IN(in_read_words, MAP_SHARED, write_words, read_only)
PAGE_IN(in_read_write_records, MAP_SHARED, write_records, read_then_write)
PAGE_IN(in_read_write_words, MAP_SHARED, write_words, read_then_write)
PAGE_IN(in_private_records, MAP_PRIVATE, write_records, write_pages)
PAGE_IN(in_private_words, MAP_PRIVATE, write_words, write_pages)
#undef PAGE_IN

/* --- snapshots and clones, next to fork() --- */

static struct result use_after(struct object *o, bool alone, void (*use)(char *p, size_t bytes))
{
	char *p = map_written(o);
	int kept = keep(o);
	uint64_t total;

	if (alone)
		let_go(o, kept);
	bench_start();
	use(p, o->bytes);
	total = bench_stop();
	if (!alone)
		let_go(o, kept);
	unmap(o, p);
	return per_page(o, total);
}

static struct result write_after_snapshot(struct object *o)
{
	return use_after(o, false, write_pages);
}

static struct result read_after_snapshot(struct object *o)
{
	return use_after(o, false, read_pages);
}

static struct result write_of_last_holder(struct object *o)
{
	return use_after(o, true, write_pages);
}

#define HUNDREDTH (100 * PAGE)
static struct result snapshot_again(struct object *o)
{
	char *p = map_written(o);
	const int first = keep(o);
	uint64_t total;
	int second;

	write_every(p, o->bytes, 0, HUNDREDTH);
	bench_start();
	second = keep(o);
	total = bench_stop();
	let_go(o, first);
	let_go(o, second);
	unmap(o, p);
	return per_page(o, total);
}

/* 100 pages of 256 MiB. The peer's way is to do it all in a child. */
#define ONE_IN_656 (656 * PAGE)
static struct result restore(struct object *o)
{
	char *p = map_written(o);
	uint64_t total;

	if (o->kind == COWMEM) {
		struct cowmem_restore restore = {.size = sizeof(restore), .fd = keep(o)};

		write_every(p, o->bytes, 0, ONE_IN_656);
		bench_start();
		MUST(!ioctl(o->fd, COWMEM_IOC_RESTORE, &restore));
		total = bench_stop();
		close(restore.fd);
	} else {
		pid_t child;

		bench_start();
		child = fork();
		MUST(child >= 0);
		if (!child)
			_exit(0);
		MUST(waitpid(child, NULL, 0) == child);
		total = bench_stop();
	}
	unmap(o, p);
	return per_page(o, total);
}

/* Clones of a snapshot of what @o has, or children of a process that has it. */
#define CLONES 4
static struct result clone_snapshot(struct object *o)
{
	char *p = map_written(o);
	const int source = o->kind == COWMEM ? keep(o) : -1;
	int made[CLONES];
	uint64_t total;

	bench_start();
	for (int i = 0; i < CLONES; i++)
		made[i] = o->kind == COWMEM ? object_relative(source, COWMEM_IOC_CLONE) : keep(o);
	total = bench_stop();
	for (int i = 0; i < CLONES; i++)
		let_go(o, made[i]);
	if (source >= 0)
		let_go(o, source);
	unmap(o, p);
	return (struct result){.units = CLONES, .total = total};
}

/* --- a process with more and more children --- */
#define CHILD_PAGES 64
#define OWN_STEP (4 * PAGE)
#define INHERITED_STEP (8 * PAGE)

/* What the children of one work have, and how each tells that it is ready. */
static struct object of_children;
static int ready[2];

/* Has a mapping of its own, reads all through it and copies pages, also of what it has from its parent. */
static void be_child(char *inherited, size_t bytes)
{
	char *own = object_map(&of_children, MAP_PRIVATE);

	read_pages(own, bytes);
	write_every(own, bytes, 0, OWN_STEP);
	write_every(inherited, bytes, 0, INHERITED_STEP);
	MUST(write(ready[1], "", 1) == 1);
}

/* All of o->mappings children, who stay until the last has come, from fork() to their end. */
static struct result have_children(struct object *o)
{
	const size_t rounds = 1 + 16 / o->mappings;
	struct result r = {.units = rounds * o->mappings};
	pid_t children[MAX_MAPPINGS];
	char byte, *p;

	object_fill(o);
	of_children = *o;
	of_children.bytes = CHILD_PAGES * PAGE;
	p = object_map(&of_children, MAP_PRIVATE);
	read_pages(p, of_children.bytes);
	write_every(p, of_children.bytes, 0, 2 * PAGE);
	MUST(!pipe(ready));
	bench_start();
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < o->mappings; i++) {
			children[i] = child_with(be_child, p, of_children.bytes);
			MUST(read(ready[0], &byte, 1) == 1);
		}
		for (size_t i = 0; i < o->mappings; i++)
			let_go(&(struct object){.kind = ANON}, children[i]);
	}
	r.total = bench_stop();
	close(ready[0]);
	close(ready[1]);
	unmap(&of_children, p);
	return r;
}

/* --- what has nothing to do with the module: it costs the same without --- */
static struct result idle_calls(struct object *o)
{
	struct result r = {.units = 100000};

	(void)o;
	bench_start();
	for (size_t i = 0; i < r.units; i++)
		getppid();
	r.total = bench_stop();
	return r;
}

static struct result idle_files(struct object *o)
{
	struct result r = {.units = 4000};
	struct stat st;

	(void)o;
	bench_start();
	for (size_t i = 0; i < r.units; i++) {
		const int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

		MUST(fd >= 0 && !fstat(fd, &st) && write(fd, "x", 1) == 1);
		close(fd);
	}
	r.total = bench_stop();
	return r;
}

static struct result idle_pipe(struct object *o)
{
	struct result r = {.units = 10000};
	char bytes[64] = "";
	int ends[2];

	(void)o;
	MUST(!pipe(ends));
	bench_start();
	for (size_t i = 0; i < r.units; i++)
		MUST(write(ends[1], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) &&
		     read(ends[0], bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes));
	r.total = bench_stop();
	close(ends[0]);
	close(ends[1]);
	return r;
}

/* What one @call takes, of so many the least: the kernel clears up behind some of them. */
static struct result least_of(unsigned int calls, void (*call)(struct object *o), struct object *o)
{
	struct result r = {.units = 1, .total = UINT64_MAX};

	while (calls--) {
		uint64_t taken;

		bench_start();
		call(o);
		taken = bench_stop();
		if (taken < r.total)
			r.total = taken;
	}
	return r;
}

static void map_and_unmap(struct object *o)
{
	char *p = mmap(NULL, o->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(p != MAP_FAILED && !mprotect(p, PAGE, PROT_READ));
	unmap(o, p);
}

static struct result idle_maps(struct object *o)
{
	return least_of(3000, map_and_unmap, o);
}

static void fork_and_wait(struct object *o)
{
	const pid_t child = fork();

	(void)o;
	MUST(child >= 0);
	if (!child)
		_exit(0);
	MUST(waitpid(child, NULL, 0) == child);
}

static struct result idle_forks(struct object *o)
{
	return least_of(300, fork_and_wait, o);
}

/* --- one snapshot, or many --- */
#define MAX_SNAPSHOTS 250
static int kept[MAX_SNAPSHOTS];

/* As many snapshots as there are to be, a hundredth written between each and the next, and none since. */
static char *map_kept(const struct object *o)
{
	char *p = map_written(o);

	for (size_t i = 0; i < o->snapshots; i++) {
		write_every(p, o->bytes, i % 100 * PAGE, HUNDREDTH);
		kept[i] = keep(o);
	}
	return p;
}

static int last_kept(const struct object *o)
{
	return kept[o->snapshots - 1];
}

static void unmap_kept(const struct object *o, char *p)
{
	for (size_t i = 0; i < o->snapshots; i++)
		let_go(o, kept[i]);
	unmap(o, p);
}

static struct result read_kept(struct object *o)
{
	char *p = map_kept(o), *fresh = object_map(o, MAP_SHARED);
	uint64_t total;

	bench_start();
	read_pages(fresh, o->bytes);
	total = bench_stop();
	unmap(o, fresh);
	unmap_kept(o, p);
	return per_page(o, total);
}

static struct result write_kept(struct object *o)
{
	char *p = map_kept(o);
	uint64_t total;

	bench_start();
	write_pages(p, o->bytes);
	total = bench_stop();
	unmap_kept(o, p);
	return per_page(o, total);
}

/* One call, which makes a descriptor or has -1, after a hundredth was written. */
static struct result call_after_writes(struct object *o, int (*call)(const struct object *o))
{
	char *p = map_kept(o);
	uint64_t total;
	int made;

	write_every(p, o->bytes, 0, HUNDREDTH);
	bench_start();
	made = call(o);
	total = bench_stop();
	if (made >= 0)
		close(made);
	unmap_kept(o, p);
	return (struct result){.units = 1, .total = total};
}

static int make_clone(const struct object *o)
{
	return object_relative(o->fd, COWMEM_IOC_CLONE);
}

static int restore_kept(const struct object *o)
{
	struct cowmem_restore to = {.size = sizeof(to), .fd = last_kept(o)};

	MUST(!ioctl(o->fd, COWMEM_IOC_RESTORE, &to));
	return -1;
}

static int diff_kept(const struct object *o)
{
	static struct cowmem_changed changed[1024];
	struct cowmem_diff diff = {.size = sizeof(diff),
	                           .length = o->bytes,
	                           .ranges = (uintptr_t)changed,
	                           .capacity = sizeof(changed) / sizeof(*changed),
	                           .fd = last_kept(o)};

	MUST(!ioctl(o->fd, COWMEM_IOC_DIFF, &diff) && diff.next == o->bytes);
	return -1;
}

static struct result snapshot_kept(struct object *o)
{
	return call_after_writes(o, keep);
}

static struct result clone_kept(struct object *o)
{
	return call_after_writes(o, make_clone);
}

static struct result go_back_kept(struct object *o)
{
	return call_after_writes(o, restore_kept);
}

static struct result compare_kept(struct object *o)
{
	return call_after_writes(o, diff_kept);
}

/* Reads a page in a hundred, and writes another. */
static void use_some(char *p, size_t bytes)
{
	for (size_t at = HUNDREDTH / 2; at < bytes; at += HUNDREDTH)
		read_pages(p + at, PAGE);
	write_every(p, bytes, 0, HUNDREDTH);
}

/*
 * What the kernel needs for each of many clones, or children, that have done @use with
 * all of it: besides the pages of a clone's own, which are @own bytes then.
 */
#define USERS 100
static struct result memory_of_clones(struct object *o, void (*use)(char *p, size_t bytes),
                                      size_t own)
{
	char *p = map_written(o), *at[USERS];
	const int source = o->kind == COWMEM ? keep(o) : -1;
	struct object clones[USERS];
	pid_t children[USERS];
	uint64_t before, total;

	enter_cgroup();
	before = charged_bytes();
	for (int i = 0; i < USERS; i++) {
		if (o->kind != COWMEM) {
			children[i] = child_with(use, p, o->bytes);
			continue;
		}
		clones[i] = mapped_clone(o, source, &at[i]);
		if (use)
			use(at[i], o->bytes);
	}
	total = charged_bytes() - before;
	leave_cgroup();
	for (int i = 0; i < USERS; i++) {
		if (o->kind != COWMEM) {
			let_go(o, children[i]);
			continue;
		}
		unmap(&clones[i], at[i]);
		object_free(&clones[i]);
		total -= own;
	}
	if (source >= 0)
		let_go(o, source);
	unmap(o, p);
	return (struct result){.units = USERS, .total = total};
}

static struct result memory_untouched(struct object *o)
{
	return memory_of_clones(o, NULL, 0);
}

static struct result memory_used(struct object *o)
{
	return memory_of_clones(o, use_some, (o->bytes + HUNDREDTH - 1) / HUNDREDTH * PAGE);
}

/*
 * Walks of pages that one of o->mappings clones has written, each of which has all pages
 * mapped: each time another clone and another page.
 */
static struct result walk_of_clones(struct object *o)
{
	const struct rlimit files = {.rlim_cur = 2 * MAX_MAPPINGS, .rlim_max = 2 * MAX_MAPPINGS};
	struct object clones[MAX_MAPPINGS];
	char *at[MAX_MAPPINGS];
	struct result r = {.units = 100};
	int source;

	MUST(!setrlimit(RLIMIT_NOFILE, &files));
	object_fill(o);
	source = keep(o);
	for (size_t i = 0; i < o->mappings; i++) {
		clones[i] = mapped_clone(o, source, &at[i]);
		MUST(!madvise(at[i], o->bytes, MADV_POPULATE_READ));
	}
	for (size_t page = 0; page < r.units; page++) {
		char *p = at[page % o->mappings] + page * PAGE;

		write_pages(p, PAGE);
		r.total += walk_of_page(o->kind, p, 1);
	}
	for (size_t i = 0; i < o->mappings; i++) {
		unmap(&clones[i], at[i]);
		object_free(&clones[i]);
	}
	let_go(o, source);
	return r;
}

/* Free memory of the machine, with what lies on the CPU's own lists. */
static uint64_t free_bytes_at_rest(void)
{
	sleep(3); /* what is freed by RCU, or by a worker */
	return free_bytes();
}

/* What zram has: the bytes of the pages it was given, and those of its memory for them. */
static void zram_bytes(uint64_t *given, uint64_t *memory)
{
	unsigned long pages, compressed, used;
	FILE *stat = fopen(ZRAM_FILE("mm_stat"), "re");

	MUST(stat && fscanf(stat, "%lu %lu %lu", &pages, &compressed, &used) == 3);
	fclose(stat);
	*given = pages;
	*memory = used;
}

/* The memory that holds compressed bytes. */
static uint64_t pool_bytes(const struct object *o)
{
	struct cowmem_store_stat stat = {.size = sizeof(stat)};
	uint64_t given, memory;

	if (o->kind == COWMEM) {
		MUST(!ioctl(o->fd, COWMEM_IOC_STORE_STAT, &stat));
		return stat.pool_bytes;
	}
	zram_bytes(&given, &memory);
	return memory;
}

/* Once more for what the kernel had in lists of a CPU's. */
static void page_out_all(const struct object *o, char *p)
{
	const uint64_t all = PAGE + o->bytes; /* the device's header, too */
	uint64_t given = 0, memory;

	for (int tries = 0; given < all && tries < 3; tries++) {
		page_out(o, p);
		if (o->kind == COWMEM)
			return;
		zram_bytes(&given, &memory);
	}
	MUST(given == all);
}

/*
 * What the machine needs for pages that are out, besides their compressed bytes: the
 * object's tables, and a swap device that is as large as the object.
 */
static struct result page_out_memory(struct object *o)
{
	uint64_t before, after;
	char *p;

	swap_to_zram(0);
	before = free_bytes_at_rest() + pool_bytes(o);
	if (o->kind != COWMEM)
		swap_to_zram((o->bytes >> 20) + 1);
	p = object_map(o, o->kind == ANON ? MAP_PRIVATE : MAP_SHARED);
	write_records(p, o->bytes);
	page_out_all(o, p);
	if (o->kind != ANON)
		unmap(o, p);
	after = free_bytes_at_rest() + pool_bytes(o);
	if (o->kind == ANON)
		unmap(o, p);
	return per_page(o, before - after);
}

/* --- the table of works --- */

#define KIND(kind) (1U << (kind))
#define FILES (KIND(COWMEM) | KIND(MEMFD))
#define PAGED (KIND(COWMEM) | KIND(ANON))

static const struct work {
	const char *name;
	struct result (*run)(struct object *o);
	unsigned int kinds;
	size_t mib;       /* of the object; 0: as the command line says */
	size_t mappings;  /* of the object, besides the work's own; or clones */
	size_t snapshots; /* of it, which are open meanwhile */
	bool pinnable;
	size_t kib; /* of large pages, or 0 */
} works[] = {
	{.name = "calibrate", .run = calibrate, .kinds = KIND(ANON)},
	{.name = "copy", .run = copy, .kinds = KIND(ANON)},
	{.name = "read-zero", .run = read_zero, .kinds = KIND(ANON)},
	{.name = "write-hole", .run = write_hole, .kinds = FILES | KIND(ANON)},
	{.name = "write-private", .run = write_private, .kinds = FILES},
	{.name = "write-private-after-read",
         .run = write_private_after_read,
         .kinds = FILES | KIND(ANON)},
	{.name = "write-shared", .run = write_shared, .kinds = FILES},
	{.name = "read-shared", .run = read_shared, .kinds = FILES},
	{.name = "read-write-shared", .run = read_write_shared, .kinds = FILES},
	{.name = "unmap-shared", .run = unmap_shared, .kinds = FILES},
	{.name = "free-last", .run = free_last, .kinds = FILES},
	{.name = "punch-mapped", .run = punch_mapped, .kinds = FILES},
	{.name = "write-hole-of-1-MiB", .run = strewn_hole, .kinds = FILES, .mib = 1},
	{.name = "write-hole-of-64-MiB", .run = strewn_hole, .kinds = FILES, .mib = 64},
	{.name = "write-hole-of-4096-MiB", .run = strewn_hole, .kinds = FILES, .mib = 4096},
	{.name = "write-private-of-1-MiB", .run = strewn_private, .kinds = FILES, .mib = 1},
	{.name = "write-private-of-64-MiB", .run = strewn_private, .kinds = FILES, .mib = 64},
	{.name = "write-private-of-4096-MiB", .run = strewn_private, .kinds = FILES, .mib = 4096},
	{.name = "write-private-among-1",
         .run = write_private_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 1},
	{.name = "write-private-among-30",
         .run = write_private_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 30},
	{.name = "write-private-among-1000",
         .run = write_private_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 1000},
	{.name = "write-shared-among-1",
         .run = write_shared_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 1},
	{.name = "write-shared-among-30",
         .run = write_shared_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 30},
	{.name = "write-shared-among-1000",
         .run = write_shared_among,
         .kinds = FILES,
         .mib = 1,
         .mappings = 1000},
	{.name = "walk-1", .run = walk, .kinds = FILES, .mib = 1, .mappings = 1},
	{.name = "walk-10", .run = walk, .kinds = FILES, .mib = 1, .mappings = 10},
	{.name = "walk-100", .run = walk, .kinds = FILES, .mib = 1, .mappings = 100},
	{.name = "walk-1000", .run = walk, .kinds = FILES, .mib = 1, .mappings = 1000},
	{.name = "walk-clone-1",
         .run = walk_of_clones,
         .kinds = KIND(COWMEM),
         .mib = 1,
         .mappings = 1},
	{.name = "walk-clone-10",
         .run = walk_of_clones,
         .kinds = KIND(COWMEM),
         .mib = 1,
         .mappings = 10},
	{.name = "walk-clone-100",
         .run = walk_of_clones,
         .kinds = KIND(COWMEM),
         .mib = 1,
         .mappings = 100},
	{.name = "walk-clone-1000",
         .run = walk_of_clones,
         .kinds = KIND(COWMEM),
         .mib = 1,
         .mappings = 1000},
	{.name = "memory-resident", .run = memory_resident, .kinds = FILES},
	{.name = "snapshot", .run = snapshot_again, .kinds = PAGED, .mib = 256},
	{.name = "restore", .run = restore, .kinds = PAGED, .mib = 256},
	{.name = "write-after-snapshot", .run = write_after_snapshot, .kinds = PAGED},
	{.name = "write-of-last-holder", .run = write_of_last_holder, .kinds = PAGED},
	{.name = "read-after-snapshot", .run = read_after_snapshot, .kinds = KIND(COWMEM)},
	{.name = "pinnable-write-hole", .run = write_hole, .kinds = KIND(COWMEM), .pinnable = true},
	{.name = "pinnable-write-shared",
         .run = write_shared,
         .kinds = KIND(COWMEM),
         .pinnable = true},
	{.name = "pinnable-read-shared",
         .run = read_shared,
         .kinds = KIND(COWMEM),
         .pinnable = true},
	{.name = "pinnable-snapshot",
         .run = snapshot_again,
         .kinds = KIND(COWMEM),
         .mib = 256,
         .pinnable = true},
	{.name = "pinnable-read-after-snapshot",
         .run = read_after_snapshot,
         .kinds = KIND(COWMEM),
         .pinnable = true},
	{.name = "pinnable-write-after-snapshot",
         .run = write_after_snapshot,
         .kinds = KIND(COWMEM),
         .pinnable = true},
	{.name = "children-1", .run = have_children, .kinds = FILES, .mib = 1, .mappings = 1},
	{.name = "children-8", .run = have_children, .kinds = FILES, .mib = 1, .mappings = 8},
	{.name = "children-64", .run = have_children, .kinds = FILES, .mib = 1, .mappings = 64},
	{.name = "children-512", .run = have_children, .kinds = FILES, .mib = 1, .mappings = 512},
	{.name = "idle-calls", .run = idle_calls, .kinds = KIND(ANON)},
	{.name = "idle-files", .run = idle_files, .kinds = KIND(ANON)},
	{.name = "idle-pipe", .run = idle_pipe, .kinds = KIND(ANON)},
	{.name = "idle-maps", .run = idle_maps, .kinds = KIND(ANON)},
	{.name = "idle-forks", .run = idle_forks, .kinds = KIND(ANON)},
	{.name = "idle-holes", .run = write_hole, .kinds = KIND(MEMFD) | KIND(ANON)},
	{.name = "idle-copies", .run = write_private, .kinds = KIND(MEMFD)},
	{.name = "idle-reads", .run = read_shared, .kinds = KIND(MEMFD)},
	{.name = "clone-of-64-MiB", .run = clone_snapshot, .kinds = PAGED, .mib = 64},
	{.name = "clone-of-1024-MiB", .run = clone_snapshot, .kinds = PAGED, .mib = 1024},
	{.name = "read-among-1-snapshots", .run = read_kept, .kinds = KIND(COWMEM), .snapshots = 1},
	{.name = "read-among-250-snapshots",
         .run = read_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "write-among-1-snapshots",
         .run = write_kept,
         .kinds = KIND(COWMEM),
         .snapshots = 1},
	{.name = "write-among-250-snapshots",
         .run = write_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "snapshot-among-1-snapshots",
         .run = snapshot_kept,
         .kinds = KIND(COWMEM),
         .snapshots = 1},
	{.name = "snapshot-among-250-snapshots",
         .run = snapshot_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "clone-among-1-snapshots",
         .run = clone_kept,
         .kinds = KIND(COWMEM),
         .snapshots = 1},
	{.name = "clone-among-250-snapshots",
         .run = clone_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "restore-among-1-snapshots",
         .run = go_back_kept,
         .kinds = KIND(COWMEM),
         .snapshots = 1},
	{.name = "restore-among-250-snapshots",
         .run = go_back_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "diff-among-1-snapshots",
         .run = compare_kept,
         .kinds = KIND(COWMEM),
         .snapshots = 1},
	{.name = "diff-among-250-snapshots",
         .run = compare_kept,
         .kinds = KIND(COWMEM),
         .snapshots = MAX_SNAPSHOTS},
	{.name = "clone-memory", .run = memory_untouched, .kinds = PAGED, .mib = 64},
	{.name = "clone-memory-used", .run = memory_used, .kinds = PAGED, .mib = 64},
	{.name = "page-out-records", .run = page_out_records, .kinds = PAGED},
	{.name = "page-out-words", .run = page_out_words, .kinds = PAGED},
	{.name = "page-out-memory",
         .run = page_out_memory,
         .kinds = FILES | KIND(ANON),
         .mib = 256},
	{.name = "page-in-read-records", .run = in_read_records, .kinds = PAGED},
	{.name = "page-in-read-words", .run = in_read_words, .kinds = PAGED},
	{.name = "page-in-read-write-records", .run = in_read_write_records, .kinds = PAGED},
	{.name = "page-in-read-write-words", .run = in_read_write_words, .kinds = PAGED},
	{.name = "page-in-private-records", .run = in_private_records, .kinds = PAGED},
	{.name = "page-in-private-words", .run = in_private_words, .kinds = PAGED},
	{.name = "touch-first-4k", .run = touch_first, .kinds = FILES | KIND(ANON), .mib = 1024},
	{.name = "touch-five-4k", .run = touch_five, .kinds = FILES | KIND(ANON), .mib = 3072},
	{.name = "touch-load-4k", .run = touch_load, .kinds = FILES, .mib = 256},
	{.name = "touch-load-2m", .run = touch_load, .kinds = FILES, .mib = 256, .kib = 2048},
	{.name = "touch-keep-4k", .run = touch_keep, .kinds = PAGED, .mib = 1024},
	{.name = "touch-kept-4k", .run = touch_kept, .kinds = PAGED, .mib = 512},
	{.name = "touch-first-64k",
         .run = touch_first,
         .kinds = FILES | KIND(ANON),
         .mib = 1024,
         .kib = 64},
	{.name = "touch-five-64k",
         .run = touch_five,
         .kinds = FILES | KIND(ANON),
         .mib = 3072,
         .kib = 64},
	{.name = "touch-keep-64k", .run = touch_keep, .kinds = PAGED, .mib = 1024, .kib = 64},
	{.name = "touch-kept-64k", .run = touch_kept, .kinds = PAGED, .mib = 512, .kib = 64},
	{.name = "touch-first-2m",
         .run = touch_first,
         .kinds = FILES | KIND(ANON),
         .mib = 1024,
         .kib = 2048},
	{.name = "touch-five-2m",
         .run = touch_five,
         .kinds = FILES | KIND(ANON),
         .mib = 3072,
         .kib = 2048},
	{.name = "touch-keep-2m", .run = touch_keep, .kinds = PAGED, .mib = 1024, .kib = 2048},
	{.name = "touch-kept-2m", .run = touch_kept, .kinds = PAGED, .mib = 512, .kib = 2048},
};

/*
 * Puts @bytes of free pages, movable ones and others, on the CPU's own lists, which can
 * hold them: else how the free blocks of memory happen to lie is part of a figure, with
 * up to 250 instructions per page. The others are page tables: one for each 2 MiB read.
 */
#define OF_PAGE_TABLE (2UL << 20)
static void fill_page_lists(size_t bytes)
{
	struct object movable = {.kind = ANON, .fd = -1, .bytes = 2 * bytes}; /* a source, a copy */
	struct object tables = {.kind = ANON, .fd = -1, .bytes = bytes / PAGE * OF_PAGE_TABLE};
	char *p = object_map(&movable, MAP_PRIVATE);
	char *q = object_map(&tables, MAP_PRIVATE);

	write_every(p, movable.bytes, 0, PAGE);
	for (size_t at = 0; at < tables.bytes; at += OF_PAGE_TABLE)
		read_pages(q + at, PAGE);
	unmap(&movable, p);
	unmap(&tables, q);
}

/*
 * Walks need a module of their own (kunit/peer), paging zram, passes over 3 GiB a larger machine, and what is idle is for a comparison
 * of boots with and without cowmem: they must be asked for.
 */
static bool wanted(const char *name, char **names)
{
	if (!*names)
		return strncmp(name, "walk-", strlen("walk-")) &&
		       strncmp(name, "page-", strlen("page-")) &&
		       strncmp(name, "touch-", strlen("touch-")) &&
		       strncmp(name, "idle-", strlen("idle-"));
	for (; *names; names++)
		if (!strcmp(name, *names))
			return true;
	return false;
}

/* A new object instead, whose memory devices may write for long. */
static void make_pinnable(struct object *o)
{
	struct cowmem_create create = {.size = sizeof(create), .flags = COWMEM_CREATE_PINNABLE};

	MUST(!ioctl(o->fd, COWMEM_IOC_CREATE, &create));
	MUST(!ftruncate(create.fd, (off_t)o->bytes));
	object_free(o);
	o->fd = create.fd;
}

static void run(const struct work *work, enum kind kind, size_t bytes)
{
	struct object o = object_make(kind, work->mib ? work->mib << 20 : bytes);
	struct result r;

	if (work->pinnable)
		make_pinnable(&o);
	o.kib = work->kib;
	o.mappings = work->mappings;
	o.snapshots = work->snapshots;
	usleep(BETWEEN);
	fill_page_lists(work->mib ? FEW_BYTES : bytes);
	usleep(BETWEEN);
	r = work->run(&o);
	object_free(&o);
	printf("bench %s%s %s %zu %llu\n", work->name,
	       access(COWMEM_DEVICE, F_OK) ? "-without" : "", kind_names[kind], r.units,
	       (unsigned long long)r.total);
}

int main(int argc, char **argv)
{
	const size_t bytes = argc > 1 ? strtoul(argv[1], NULL, 0) << 20 : 0;
	const long rounds = argc > 2 ? atol(argv[2]) : 0;

	MUST(bytes && rounds);
	setvbuf(stdout, NULL, _IOLBF, 0);
	write_text("/proc/sys/vm/percpu_pagelist_high_fraction", "8");
	sleep(AFTER_BOOT);
	for (size_t i = 0; i < sizeof(works) / sizeof(*works); i++)
		for (long round = 0; round < rounds; round++)
			for (enum kind kind = 0; kind < NR_KINDS; kind++)
				if (works[i].kinds & KIND(kind) && wanted(works[i].name, argv + 3))
					run(&works[i], kind, bytes);
	return 0;
}
