// SPDX-License-Identifier: GPL-2.0
/*
 * A mapping is ordinary memory: what the kernel tells of it, and what else of the
 * kernel reaches into it. Most steps are done to a memfd too, and must answer alike.
 */
#include "answers.h"
#include "counts.h"
#include "relatives.h"
#include "ring.h"
#include "walks.h"
#include "written.h"

#include <linux/futex.h>
#include <linux/loop.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#define PAGES(n) ((n) * PAGE)

/* An object, or a memfd that is as large as any mapping here. */
static int new_file(bool object)
{
	int fd = object ? object_open() : (int)memfd_create("reference", MFD_CLOEXEC);

	MUST(fd >= 0);
	if (!object)
		MUST(!ftruncate(fd, 1L << 41));
	return fd;
}

/* Runs @steps on an object and on a memfd; with the same mapping flags, if it asks. */
static void compare(void (*steps)(struct answers *answers, int fd, int flags), int flags)
{
	struct answers answers[2] = {0};

	for (int object = 0; object < 2; object++) {
		int fd = new_file(object);

		steps(&answers[object], fd, flags);
		close(fd);
	}
	check_same(&answers[1], &answers[0]);
}

/* --- memory, and what the kernel says of it --- */

/* A mapping with nothing next to it, so that it stays a mapping of its own. */
static char *map_alone(int fd, size_t length, int prot, int flags)
{
	char *area = mmap(NULL, length + PAGES(2), PROT_NONE,
	                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *p;

	MUST(area != MAP_FAILED);
	p = mmap(area + PAGE, length, prot, flags | MAP_FIXED, fd, 0);
	MUST(p == area + PAGE);
	return p;
}

static void unmap_alone(char *p, size_t length)
{
	MUST(!munmap(p - PAGE, length + PAGES(2)));
}

/* A number from a "Name:  123 kB" line; smaps: of the mapping that starts at @p. */
static long field_of(const char *path, const void *p, const char *name)
{
	FILE *file = fopen(path, "re");
	char line[512], start[32];
	bool here = !p;
	long value = -1;

	MUST(file);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (value < 0 && fgets(line, sizeof(line), file)) {
		if (p && !strncmp(line, start, strlen(start)))
			here = true;
		else if (here && !strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			value = atol(line + strlen(name) + 1);
	}
	fclose(file);
	if (value < 0)
		ksft_print_msg("no %s in %s\n", name, path);
	return value;
}

static long smaps(const void *p, const char *name)
{
	return field_of("/proc/self/smaps", p, name);
}

#define PM_SOFT_DIRTY (1UL << 55)
#define PM_EXCLUSIVE (1UL << 56)
#define PM_FILE (1UL << 61)
#define PM_SWAPPED (1UL << 62)
#define PM_PRESENT (1UL << 63)
#define PM_PFN ((1UL << 55) - 1)
#define PM_STATE (PM_EXCLUSIVE | PM_FILE | PM_SWAPPED | PM_PRESENT)

static void read_pagemap(const void *p, uint64_t *entries, size_t count)
{
	static int fd = -1;
	static pid_t owner;

	if (owner != getpid()) { /* it shows the one who opened it */
		fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		owner = getpid();
	}
	MUST(fd >= 0 &&
	     pread(fd, entries, count * 8, (uintptr_t)p / PAGE * 8) == (ssize_t)count * 8);
}

static uint64_t pagemap(const void *p)
{
	uint64_t entry;

	read_pagemap(p, &entry, 1);
	return entry;
}

static uint64_t pfn(const void *p)
{
	return pagemap(p) & PM_PFN;
}

/* Touches a byte: 0, or the signal that it got. */
static sigjmp_buf fault_jump;
static siginfo_t fault_info;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)context;
	fault_info = *info;
	siglongjmp(fault_jump, signal);
}

static int touch(volatile char *p, bool write)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, bus, segv;
	int signal;

	MUST(!sigaction(SIGBUS, &action, &bus) && !sigaction(SIGSEGV, &action, &segv));
	signal = sigsetjmp(fault_jump, 1);
	if (!signal) {
		if (write)
			*p = 'x';
		else
			(void)*p;
	}
	MUST(!sigaction(SIGBUS, &bus, NULL) && !sigaction(SIGSEGV, &segv, NULL));
	return signal;
}

/* Minor faults of touching one byte of each of @pages pages. */
static long faults_of(volatile char *p, int pages, bool write)
{
	long before = minor_faults();

	for (int i = 0; i < pages; i++) {
		if (write)
			p[PAGES(i)] = 'x';
		else
			(void)p[PAGES(i)];
	}
	return minor_faults() - before;
}

static void fill_file(int fd, int pages, uint64_t generation)
{
	char page[PAGE];

	for (int i = 0; i < pages; i++) {
		fill_page(page, i, generation);
		MUST(pwrite(fd, page, PAGE, PAGES(i)) == (ssize_t)PAGE);
	}
}

static bool pages_are(const char *p, int pages, uint64_t generation)
{
	for (int i = 0; i < pages; i++)
		if (!page_is(p + PAGES(i), i, generation))
			return false;
	return true;
}

/* Runs @body in a child: its exit status, or 128 + signal. */
static int in_child(int (*body)(char *p), char *p)
{
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child)
		_exit(body(p));
	MUST(waitpid(child, &status, 0) == child);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- accounting --- */
/* All figures of the mapping that starts at @p, in one go: smaps is slow to make. */
static void ask_smaps(struct answers *answers, const char *p)
{
	static const char *const names[] = {
		"Size",          "Rss",           "Pss",           "Pss_Dirty", "Shared_Clean",
		"Shared_Dirty",  "Private_Clean", "Private_Dirty", "Anonymous", "AnonHugePages",
		"FilePmdMapped", "Swap",          "Locked",
	};
	FILE *file = fopen("/proc/self/smaps", "re");
	char line[512], start[32];
	size_t found = 0;
	bool here = false;

	MUST(file);
	snprintf(start, sizeof(start), "%lx-", (unsigned long)p);
	while (found < ARRAY_LENGTH(names) && fgets(line, sizeof(line), file)) {
		here = here || !strncmp(line, start, strlen(start));
		for (size_t i = 0; here && i < ARRAY_LENGTH(names); i++)
			if (!strncmp(line, names[i], strlen(names[i])) &&
			    line[strlen(names[i])] == ':') {
				ASK(answers, atol(line + strlen(names[i]) + 1));
				answers->at[answers->count - 1].question = names[i];
				found++;
			}
	}
	fclose(file);
	MUST(found == ARRAY_LENGTH(names));
}

static void smaps_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(16), PROT_READ | PROT_WRITE, flags), *other;

	ask_smaps(answers, p);
	fill_file(fd, 12, 1);
	ask_smaps(answers, p);
	ASK(answers, pages_are(p, 12, 1));
	ask_smaps(answers, p);
	fill_page(p, 0, 2);
	fill_page(p + PAGES(3), 3, 2);
	ask_smaps(answers, p);
	other = map_alone(fd, PAGES(16), PROT_READ, MAP_SHARED);
	ASK(answers, touch(other, false));
	ASK(answers, touch(other + PAGES(3), false));
	ask_smaps(answers, p);
	ask_smaps(answers, other);
	unmap_alone(other, PAGES(16));
	ask_smaps(answers, p);
	unmap_alone(p, PAGES(16));
}

static void smaps_as_memfd(void)
{
	int fd;
	char *p;

	compare(smaps_steps, MAP_SHARED);
	compare(smaps_steps, MAP_PRIVATE);

	/* And in plain figures, lest both be wrong alike. */
	fd = object_open();
	p = map_alone(fd, PAGES(16), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	fill_file(fd, 8, 1);
	CHECK(pages_are(p, 8, 1));
	CHECK_EQ(smaps(p, "Rss"), 32);
	CHECK_EQ(smaps(p, "Pss"), 32);
	CHECK_EQ(smaps(p, "Anonymous"), 0);
	fill_page(p + PAGE, 1, 2);
	fill_page(p + PAGES(12), 1, 2); /* a hole of the object */
	CHECK_EQ(smaps(p, "Rss"), 36);
	CHECK_EQ(smaps(p, "Anonymous"), 8);
	CHECK_EQ(smaps(p, "Private_Dirty"), 36);
	unmap_alone(p, PAGES(16));
	close(fd);
}

/* The mm's own counters are kept per CPU: exact to some 64 pages only. */
static void status_counts_pages(void)
{
	enum { pages = 512, slack_kb = 4 * 96, kb = 4 * pages };
	const char *status = "/proc/self/status";
	int fd = object_open();
	char *shared = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	long file = field_of(status, NULL, "RssFile"), anon = field_of(status, NULL, "RssAnon");
	long shmem = field_of(status, NULL, "RssShmem");

	faults_of(shared, pages, true);
	CHECK(labs(field_of(status, NULL, "RssFile") - file - kb) <= slack_kb);
	CHECK(labs(field_of(status, NULL, "RssAnon") - anon) <= slack_kb);
	faults_of(private, pages, false);
	CHECK(labs(field_of(status, NULL, "RssFile") - file - 2 * kb) <= slack_kb);
	faults_of(private, pages, true);
	CHECK(labs(field_of(status, NULL, "RssFile") - file - kb) <= slack_kb);
	CHECK(labs(field_of(status, NULL, "RssAnon") - anon - kb) <= slack_kb);
	CHECK_EQ(madvise(private, PAGES(pages), MADV_DONTNEED), 0);
	faults_of(private, pages, true); /* no PTE there: the handler makes the copy */
	CHECK(labs(field_of(status, NULL, "RssFile") - file - kb) <= slack_kb);
	CHECK(labs(field_of(status, NULL, "RssAnon") - anon - kb) <= slack_kb);
	unmap_alone(shared, PAGES(pages));
	unmap_alone(private, PAGES(pages));
	CHECK(labs(field_of(status, NULL, "RssFile") - file) <= slack_kb);
	CHECK(labs(field_of(status, NULL, "RssAnon") - anon) <= slack_kb);
	CHECK(labs(field_of(status, NULL, "RssShmem") - shmem) <= slack_kb);
	close(fd);
}

static void pagemap_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, flags);
	char *q = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);

	for (int i = 0; i < 8; i++)
		ASK(answers, pagemap(p + PAGES(i)) & PM_STATE);
	ASK(answers, touch(p, true));
	ASK(answers, pagemap(p) & PM_STATE);
	ASK(answers, touch(q, true));
	ASK(answers, pagemap(p) & PM_STATE);
	ASK(answers, pagemap(q) & PM_STATE);
	ASK(answers, pfn(p) == pfn(q));
	ASK(answers, touch(q + PAGE, true));
	ASK(answers, touch(p + PAGE, false));
	ASK(answers, pagemap(p + PAGE) & PM_STATE);
	ASK(answers, pfn(p + PAGE) == pfn(q + PAGE));
	ASK(answers, touch(p + PAGE, true));
	ASK(answers, pagemap(p + PAGE) & PM_STATE);
	ASK(answers, pagemap(q + PAGE) & PM_STATE);
	ASK(answers, pfn(p + PAGE) == pfn(q + PAGE));
	unmap_alone(p, PAGES(8));
	unmap_alone(q, PAGES(8));
}

static void pagemap_as_memfd(void)
{
	int fd = object_open();
	char *shared = map_alone(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = map_alone(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	compare(pagemap_steps, MAP_SHARED);
	compare(pagemap_steps, MAP_PRIVATE);

	*shared = 's';
	CHECK((pagemap(shared) & PM_STATE) == (PM_PRESENT | PM_FILE | PM_EXCLUSIVE));
	CHECK(pfn(shared) != 0);
	CHECK_EQ(touch(private, false), 0);
	CHECK((pagemap(shared) & PM_STATE) == (PM_PRESENT | PM_FILE));
	CHECK_EQ(pfn(private), pfn(shared));
	*private = 'p';
	CHECK((pagemap(private) & PM_STATE) == (PM_PRESENT | PM_EXCLUSIVE));
	CHECK((pagemap(shared) & PM_STATE) == (PM_PRESENT | PM_FILE | PM_EXCLUSIVE));
	CHECK(pfn(private) != pfn(shared));
	unmap_alone(shared, PAGE);
	unmap_alone(private, PAGE);
	close(fd);
}

static long resident_bits(char *p)
{
	unsigned char vector[8];
	long bits = 0;

	if (mincore(p, PAGES(8), vector))
		return -1;
	for (int i = 0; i < 8; i++)
		bits |= (vector[i] & 1) << i;
	return bits;
}

/* It never says absent of what is in memory, nor of anything else. */
static void mincore_says_present(void)
{
	int fd = object_open(), copy;
	char *p = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);

	CHECK_EQ(resident_bits(p), 0xff);
	fill_file(fd, 5, 1);
	CHECK_EQ(resident_bits(p), 0xff);
	CHECK_EQ(object_punch(fd, PAGES(1), PAGES(2)), 0);
	CHECK_EQ(resident_bits(p), 0xff);
	unmap_alone(p, PAGES(8));
	copy = clone_of(fd);
	p = map_alone(copy, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(resident_bits(p), 0xff);
	unmap_alone(p, PAGES(8));
	close(copy);
	close(fd);
}

/* Exact figures of /proc/meminfo: the CPUs' shares are gathered first, and what they have put off is done. */
static long meminfo(const char *name)
{
	empty_batches();
	MUST(write_text("/proc/sys/vm/stat_refresh", "1"));
	return field_of("/proc/meminfo", NULL, name);
}

static void mlock_steps(struct answers *answers, int fd, int flags)
{
	const char *status = "/proc/self/status";
	char *p = map_alone(fd, PAGES(32), PROT_READ | PROT_WRITE, flags);
	long locked = field_of(status, NULL, "VmLck"), machine = meminfo("Mlocked");

	fill_file(fd, 16, 1);
	ASK(answers, mlock(p, PAGES(24)));
	ASK(answers, field_of(status, NULL, "VmLck") - locked);
	ASK(answers, smaps(p, "Locked"));
	ASK(answers, smaps(p, "Rss"));
	ASK(answers, meminfo("Mlocked") - machine);
	ASK(answers, pages_are(p, 16, 1));
	ASK(answers, faults_of(p, 24, false)); /* all of it is there already */
	ASK(answers, madvise(p, PAGES(24), MADV_DONTNEED));
	ASK(answers, munlock(p, PAGES(8)));
	ASK(answers, field_of(status, NULL, "VmLck") - locked);
	ASK(answers, meminfo("Mlocked") - machine);
	ASK(answers, mlock2(p + PAGES(24), PAGES(8), MLOCK_ONFAULT));
	ASK(answers, pagemap(p + PAGES(24)) & PM_STATE);
	ASK(answers, touch(p + PAGES(24), true));
	ASK(answers, meminfo("Mlocked") - machine);
	ASK(answers, mremap(p, PAGES(32), PAGES(32), MREMAP_MAYMOVE) == p);
	unmap_alone(p, PAGES(32)); /* while locked */
	ASK(answers, field_of(status, NULL, "VmLck") - locked);
	ASK(answers, meminfo("Mlocked") - machine);
	p = mmap(NULL, PAGES(32), PROT_READ | PROT_WRITE, flags | MAP_LOCKED, fd, 0);
	MUST(p != MAP_FAILED);
	ASK(answers, field_of(status, NULL, "VmLck") - locked);
	ASK(answers, faults_of(p, 32, false));
	ASK(answers, meminfo("Mlocked") - machine);
	munmap(p, PAGES(32));
	ASK(answers, meminfo("Mlocked") - machine);
}

static void mlock_as_memfd(void)
{
	long machine = meminfo("Mlocked");
	int fd = object_open();
	char *p = map_alone(fd, PAGES(16), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned long done;

	compare(mlock_steps, MAP_SHARED);
	compare(mlock_steps, MAP_PRIVATE);

	/* Locking a private mapping makes the copies that writing would. */
	done = counter("done_cow");
	CHECK_EQ(mlock(p, PAGES(16)), 0);
	CHECK_EQ(counter("done_cow") - done, 16);
	CHECK_EQ(meminfo("Mlocked") - machine, 64);
	CHECK_EQ(munlock(p, PAGES(16)), 0);
	CHECK_EQ(meminfo("Mlocked") - machine, 0);
	unmap_alone(p, PAGES(16));

	/* A page of the object, locked by two mappings; freed by a punch while locked. */
	p = map_alone(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(mlock(p, PAGES(4)), 0);
	CHECK_EQ(meminfo("Mlocked") - machine, 16);
	CHECK_EQ(object_punch(fd, 0, PAGES(4)), 0);
	CHECK_EQ(meminfo("Mlocked") - machine, 0);
	CHECK_EQ(touch(p, true), 0);
	CHECK_EQ(meminfo("Mlocked") - machine, 4);
	unmap_alone(p, PAGES(4));
	CHECK_EQ(meminfo("Mlocked") - machine, 0);
	close(fd);
}

static void maps_names_it(void)
{
	int fd = object_open();
	char *area = mmap(NULL, PAGES(16), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char expected[3][64], line[512];
	bool found[3] = {false};
	struct stat st;
	FILE *file;

	MUST(area != MAP_FAILED && !fstat(fd, &st));
	MUST(mmap(area + PAGES(1), PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
	          PAGES(5)) == area + PAGES(1));
	MUST(mmap(area + PAGES(4), PAGES(1), PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 1UL << 42) ==
	     area + PAGES(4));
	MUST(mmap(area + PAGES(6), PAGES(3), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd,
	          0) == area + PAGES(6));
	close(fd); /* named still */
	snprintf(expected[0], 64, "%lx-%lx rw-s %08lx ", (long)area + PAGES(1),
	         (long)area + PAGES(3), PAGES(5));
	snprintf(expected[1], 64, "%lx-%lx r--p %08lx ", (long)area + PAGES(4),
	         (long)area + PAGES(5), 1UL << 42);
	snprintf(expected[2], 64, "%lx-%lx rw-p %08lx ", (long)area + PAGES(6),
	         (long)area + PAGES(9), 0UL);
	file = fopen("/proc/self/maps", "re");
	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		char *name = strchr(line, '/');

		for (int i = 0; i < 3; i++)
			if (!strncmp(line, expected[i], strlen(expected[i])) && name) {
				unsigned long inode = 0;

				CHECK(!strcmp(name, COWMEM_DEVICE "\n"));
				CHECK_EQ(sscanf(line + strlen(expected[i]), "%*x:%*x %lu", &inode),
				         1);
				CHECK_EQ(inode, st.st_ino);
				found[i] = true;
			}
	}
	fclose(file);
	CHECK(found[0] && found[1] && found[2]);
	munmap(area, PAGES(16));
}

static long cgroup_number(const char *file)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/fs/cgroup/cowmem-test/%s", file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	return atol(text);
}

/* Who makes an object's page pays for it, by write() and by touching alike. */
static void pages_are_charged(void)
{
	enum { pages = 512 };
	/* A CPU takes 64 in advance, and keeps up to 31 back on their way to the LRU. */
	const long bytes = PAGES(pages), slack = PAGES(2 * (64 + 31));
	int ready[2], go[2], status;
	char byte;
	pid_t child;
	long base;

	MUST(write_text("/sys/fs/cgroup/cgroup.subtree_control", "+memory"));
	MUST(!mkdir("/sys/fs/cgroup/cowmem-test", 0755) && !pipe(ready) && !pipe(go));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		int fd;
		char *p;

		MUST(write_text("/sys/fs/cgroup/cowmem-test/cgroup.procs", "0"));
		MUST(write(ready[1], "1", 1) == 1 && read(go[0], &byte, 1) == 1);
		fd = object_open();
		p = object_map(fd, 2 * bytes, PROT_READ | PROT_WRITE, MAP_SHARED);
		faults_of(p, pages, true);
		for (int i = pages; i < 2 * pages; i++)
			MUST(pwrite(fd, "x", 1, PAGES(i)) == 1);
		MUST(write(ready[1], "2", 1) == 1 && read(go[0], &byte, 1) == 1);
		munmap(p, 2 * bytes);
		p = object_map(fd, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		faults_of(p, pages, true);
		MUST(write(ready[1], "3", 1) == 1 && read(go[0], &byte, 1) == 1);
		_exit(0);
	}
	MUST(read(ready[0], &byte, 1) == 1);
	base = cgroup_number("memory.current");
	MUST(write(go[1], "1", 1) == 1 && read(ready[0], &byte, 1) == 1);
	CHECK(labs(cgroup_number("memory.current") - base - 2 * bytes) <= slack);
	MUST(write(go[1], "2", 1) == 1 && read(ready[0], &byte, 1) == 1);
	CHECK(labs(cgroup_number("memory.current") - base - 3 * bytes) <= slack);
	MUST(write(go[1], "3", 1) == 1 && waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK(COMES(cgroup_number("memory.current") <= slack));
	MUST(!rmdir("/sys/fs/cgroup/cowmem-test"));
	for (int i = 0; i < 2; i++) {
		close(ready[i]);
		close(go[i]);
	}
}

/* --- calls on mappings --- */
static void mprotect_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, flags);

	fill_file(fd, 8, 1);
	for (int i = 0; i < 8; i += 2)
		fill_page(p + PAGES(i), i, 2);
	for (int cycle = 0; cycle < 3; cycle++) {
		uint64_t frame = pfn(p);

		ASK(answers, mprotect(p, PAGES(8), PROT_READ));
		ASK(answers, touch(p, true));
		ASK(answers, touch(p + PAGE, true));
		ASK(answers, page_is(p, 0, 2 + cycle));
		ASK(answers, mprotect(p + PAGES(2), PAGES(2), PROT_NONE));
		ASK(answers, touch(p + PAGES(2), false));
		ASK(answers, touch(p + PAGES(3), true));
		ASK(answers, mprotect(p, PAGES(8), PROT_READ | PROT_WRITE));
		ASK(answers, page_is(p + PAGES(3), 3, 1));
		fill_page(p, 0, 3 + cycle);
		ASK(answers, pfn(p) == frame); /* written again, not copied again */
		ASK(answers, page_is(p + PAGES(2), 2, 2));
	}
	ASK(answers, page_is(p + PAGES(5), 5, 1));
	unmap_alone(p, PAGES(8));
}

static void mprotect_as_memfd(void)
{
	int fd = object_open();
	char *p = map_alone(fd, PAGES(8), PROT_READ, MAP_PRIVATE);
	unsigned long done;

	compare(mprotect_steps, MAP_SHARED);
	compare(mprotect_steps, MAP_PRIVATE);

	/* Made writable after the fact: the handler is still who copies. */
	fill_file(fd, 8, 1);
	done = counter("done_cow");
	CHECK_EQ(mprotect(p, PAGES(8), PROT_READ | PROT_WRITE), 0);
	CHECK_EQ(faults_of(p, 8, true), 8);
	CHECK_EQ(counter("done_cow") - done, 8);
	unmap_alone(p, PAGES(8));
	close(fd);
}

static int child_touches(char *p)
{
	return touch(p, false);
}

static void advice_steps(struct answers *answers, int fd, int flags)
{
	static const int advice[] = {
		MADV_NORMAL,   MADV_RANDOM,     MADV_SEQUENTIAL, MADV_WILLNEED,
		MADV_COLD,     MADV_PAGEOUT,    MADV_DONTDUMP,   MADV_DODUMP,
		MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_MERGEABLE,  MADV_UNMERGEABLE,
		MADV_FREE,     MADV_WIPEONFORK, MADV_KEEPONFORK, 12345,
	};
	char *p = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, flags);

	fill_file(fd, 8, 1);
	ASK(answers, pages_are(p, 8, 1));
	for (int i = 0; i < 8; i++)
		fill_page(p + PAGES(i), i, 2);
	for (size_t i = 0; i < ARRAY_LENGTH(advice); i++) {
		ASK(answers, madvise(p, PAGES(8), advice[i]));
		ASK(answers, pages_are(p, 8, 2));
	}
	/* The private copy goes, what the object has is seen again; shared, nothing changes. */
	ASK(answers, madvise(p, PAGES(4), MADV_DONTNEED));
	ASK(answers, page_is(p + PAGES(3), 3, flags == MAP_PRIVATE ? 1 : 2));
	ASK(answers, page_is(p + PAGES(4), 4, 2));
	ASK(answers, mlock(p, PAGES(8)));
	ASK(answers, madvise(p, PAGES(8), MADV_DONTNEED_LOCKED));
	ASK(answers, page_is(p + PAGES(4), 4, flags == MAP_PRIVATE ? 1 : 2));
	ASK(answers, munlock(p, PAGES(8)));

	ASK(answers, in_child(child_touches, p));
	ASK(answers, madvise(p, PAGES(8), MADV_DONTFORK));
	ASK(answers, in_child(child_touches, p));
	ASK(answers, touch(p, false));
	ASK(answers, madvise(p, PAGES(8), MADV_DOFORK));
	ASK(answers, in_child(child_touches, p));
	unmap_alone(p, PAGES(8));
}

static void madvise_as_memfd(void)
{
	compare(advice_steps, MAP_SHARED);
	compare(advice_steps, MAP_PRIVATE);
}

static void populating(void)
{
	enum { pages = 64 };
	int fd = object_open();
	unsigned long done, mkwrite, reads;
	char *p;

	fill_file(fd, pages / 2, 1);

	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	CHECK_EQ(madvise(p, PAGES(pages), MADV_POPULATE_READ), 0);
	CHECK_EQ(faults_of(p, pages, false), 0);
	CHECK_EQ(smaps(p, "Anonymous"), 0);
	CHECK_EQ(object_stat(fd).resident_pages, pages);
	CHECK_EQ(faults_of(p, pages, true), pages); /* read-only so far: the core copies */
	unmap_alone(p, PAGES(pages));

	CHECK_EQ(object_punch(fd, PAGES(pages / 2), PAGES(pages / 2)), 0);
	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	done = counter("done_cow");
	CHECK_EQ(madvise(p, PAGES(pages), MADV_POPULATE_WRITE), 0);
	CHECK_EQ(counter("done_cow") - done, pages);
	CHECK(pages_are(p, pages / 2, 1));
	CHECK_EQ(faults_of(p, pages, true), 0);
	CHECK_EQ(object_stat(fd).resident_pages, pages / 2);
	unmap_alone(p, PAGES(pages));

	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE);
	CHECK_EQ(faults_of(p, pages, true), 0);
	CHECK_EQ(smaps(p, "Anonymous"), 4 * pages);
	unmap_alone(p, PAGES(pages));
	CHECK_EQ(object_stat(fd).resident_pages, pages / 2);

	p = map_alone(fd, PAGES(pages), PROT_READ, MAP_PRIVATE | MAP_POPULATE);
	CHECK_EQ(faults_of(p, pages, false), 0);
	CHECK_EQ(smaps(p, "Anonymous"), 0);
	unmap_alone(p, PAGES(pages));
	CHECK_EQ(object_stat(fd).resident_pages, pages);

	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_EQ(madvise(p, PAGES(pages), MADV_POPULATE_WRITE), 0);
	mkwrite = counter("mkwrite");
	CHECK_EQ(faults_of(p, pages, true), 0);
	CHECK_EQ(counter("mkwrite") - mkwrite, 0);
	unmap_alone(p, PAGES(pages));

	/* By reading: the first write is told to page_mkwrite, and the neighbours come along. */
	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
	reads = counter("fault_read");
	CHECK_EQ(madvise(p, PAGES(pages), MADV_POPULATE_READ), 0);
	CHECK(counter("fault_read") - reads <= pages / 16 + 1); /* the neighbours come along */
	CHECK_EQ(faults_of(p, pages, false), 0);
	CHECK(faults_of(p, pages, true) <= pages / 16 + 1);
	CHECK(counter("mkwrite") - mkwrite <= (unsigned long)pages / 16 + 1);
	unmap_alone(p, PAGES(pages));
	CHECK_EQ(object_resize(fd, PAGES(2)), 0);
	p = map_alone(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK_ERRNO(madvise(p, PAGES(4), MADV_POPULATE_READ), EFAULT); /* beyond the end */
	CHECK_ERRNO(madvise(p, PAGES(4), MADV_POPULATE_WRITE), EFAULT);
	unmap_alone(p, PAGES(4));
	close(fd);
}

static char *fork_shared, *fork_private;

static int forked(char *unused)
{
	int wrong = 0;

	(void)unused;
	/* Before any write of ours: the parent's own copies, as they were at fork. */
	for (int i = 0; i < 8; i++)
		wrong += !page_is(fork_private + PAGES(i), i, i < 4 ? 2 : 3);
	wrong += (pagemap(fork_private) & PM_EXCLUSIVE) != 0; /* shared with the parent */
	fill_page(fork_private, 0, 9);
	wrong += (pagemap(fork_private) & PM_STATE) != (PM_PRESENT | PM_EXCLUSIVE);
	wrong += !page_is(fork_private, 0, 9);
	fill_page(fork_private + PAGES(5), 5, 9);
	wrong += !page_is(fork_shared + PAGES(5), 5, 3);
	fill_page(fork_shared + PAGES(6), 6, 4); /* nobody has copied page 6 */
	wrong += !page_is(fork_private + PAGES(6), 6, 4);
	return wrong;
}

static void fork_steps(struct answers *answers, int fd, int flags)
{
	uint64_t frame;

	(void)flags;
	fork_shared = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	fork_private = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (int i = 0; i < 8; i++) {
		fill_page(fork_shared + PAGES(i), i, 1);
		if (i < 4)
			fill_page(fork_private + PAGES(i), i, 2);
		fill_page(fork_shared + PAGES(i), i, 3);
	}
	frame = pfn(fork_private);
	ASK(answers, in_child(forked, NULL));
	ASK(answers, page_is(fork_private, 0, 2));
	ASK(answers, pfn(fork_private) == frame);
	ASK(answers, page_is(fork_private + PAGES(5), 5, 3));
	ASK(answers, page_is(fork_shared + PAGES(6), 6, 4));
	ASK(answers, page_is(fork_private + PAGES(6), 6, 4));
	/* Alone again, the page is written in place. */
	fill_page(fork_private, 0, 5);
	ASK(answers, pfn(fork_private) == frame);
	unmap_alone(fork_shared, PAGES(8));
	unmap_alone(fork_private, PAGES(8));
}

/*
 * On one CPU: a page that waits in another CPU's batch for the LRU list is referenced
 * from there, and then a lone owner's write copies it after all.
 */
static void fork_as_memfd(void)
{
	compare(fork_steps, 0);
}

static void sparse_terabyte(void)
{
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE | MAP_NORESERVE};
	const size_t length = 1UL << 40;
	const size_t at[] = {0, PAGES(511), 1UL << 30, 1UL << 39, length - PAGE};

	for (size_t f = 0; f < ARRAY_LENGTH(flags); f++) {
		int fd = object_open_small(); /* what is touched is counted */
		char *p = map_alone(fd, length, PROT_READ | PROT_WRITE, flags[f]);

		CHECK_EQ(object_stat(fd).bytes, length);
		for (size_t i = 0; i < ARRAY_LENGTH(at); i++)
			fill_page(p + at[i], i, f);
		for (size_t i = 0; i < ARRAY_LENGTH(at); i++) {
			CHECK(page_is(p + at[i], i, f));
			CHECK_EQ(lseek(fd, at[i], SEEK_DATA), f ? -1 : (off_t)at[i]);
		}
		CHECK_EQ(smaps(p, "Size"), length / 1024);
		CHECK_EQ(smaps(p, "Rss"), 4 * ARRAY_LENGTH(at));
		CHECK_EQ(object_stat(fd).resident_pages, f ? 0 : ARRAY_LENGTH(at));
		if (!f) {
			CHECK_EQ(object_resize(fd, PAGES(511)), 0);
			CHECK_EQ(smaps(p, "Rss"), 4);
			CHECK_EQ(touch(p + (1UL << 39), false), SIGBUS);
		}
		unmap_alone(p, length);
		close(fd);
	}
}

static void runs_code(void)
{
#ifdef __x86_64__
	static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov $42,%eax; ret */
#else
	static const uint32_t code[] = {0x52800540, 0xd65f03c0}; /* mov w0,#42; ret */
#endif
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE};
	int fd = object_open();

	MUST(pwrite(fd, code, sizeof(code), 0) == sizeof(code));
	for (size_t i = 0; i < ARRAY_LENGTH(flags); i++) {
		char *p = map_alone(fd, PAGE, PROT_READ | PROT_EXEC, flags[i]);
		int (*function)(void) = (int (*)(void))(void *)p;

		CHECK_EQ(function(), 42);
		unmap_alone(p, PAGE);
	}
	close(fd);
}

/* --- others reach into it --- */

/* A child that holds the mappings and does nothing; killed by release(). */
static pid_t holder(bool traced)
{
	pid_t child = fork();

	MUST(child >= 0);
	if (!child) {
		if (traced)
			ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		for (;;)
			pause();
	}
	MUST(waitpid(child, NULL, WUNTRACED) == child);
	return child;
}

static void release(pid_t child)
{
	MUST(!kill(child, SIGKILL));
	MUST(waitpid(child, NULL, 0) == child);
}

static void process_vm_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(8), PROT_READ | PROT_WRITE, flags), page[PAGES(2)], *r;
	struct iovec local = {page, PAGES(2)}, remote = {p + PAGE + 100, PAGES(2)};
	struct iovec read_only;
	pid_t child;

	fill_file(fd, 8, 1);
	r = map_alone(fd, PAGES(8), PROT_READ, flags);
	read_only = (struct iovec){r, PAGE};
	child = holder(false);
	ASK(answers, process_vm_readv(child, &local, 1, &remote, 1, 0));
	ASK(answers, memcmp(page, p + PAGE + 100, PAGES(2)));
	memset(page, 'w', sizeof(page));
	ASK(answers, process_vm_writev(child, &local, 1, &remote, 1, 0));
	ASK(answers, memcmp(page, p + PAGE + 100, PAGES(2)) == 0); /* ours: if it is shared */
	memset(page, 0, sizeof(page));
	ASK(answers, process_vm_readv(child, &local, 1, &remote, 1, 0));
	ASK(answers, page[0] == 'w' && !memcmp(page, page + 1, sizeof(page) - 1));
	ASK(answers, pread(fd, page, PAGE, PAGES(2)));
	ASK(answers, page[0] == 'w');
	ASK(answers, process_vm_writev(child, &local, 1, &read_only, 1, 0));
	release(child);
	unmap_alone(p, PAGES(8));
	unmap_alone(r, PAGES(8));
}

static void process_vm_as_memfd(void)
{
	compare(process_vm_steps, MAP_SHARED);
	compare(process_vm_steps, MAP_PRIVATE);
}

static uint64_t pagemap_of(pid_t pid, const void *p)
{
	char path[64];
	uint64_t entry;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	MUST(fd >= 0 && pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8) == 8);
	close(fd);
	return entry;
}

static void ptrace_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(8), PROT_READ, flags), path[64];
	long word = 0x1122334455667788, old;
	pid_t child;
	int mem;

	fill_file(fd, 8, 1);
	child = holder(true);
	errno = 0;
	old = ptrace(PTRACE_PEEKDATA, child, p + PAGE + 16, NULL);
	ASK(answers, errno);
	ASK(answers, old);
	ASK(answers, pagemap_of(child, p + PAGE) & PM_STATE & ~PM_EXCLUSIVE);
	/* Read-only: a private mapping gets its copy all the same, a shared one is refused. */
	ASK(answers, ptrace(PTRACE_POKEDATA, child, p + PAGE + 16, word));
	ASK(answers, ptrace(PTRACE_PEEKDATA, child, p + PAGE + 16, NULL));
	ASK(answers, pagemap_of(child, p + PAGE) & PM_STATE & ~PM_EXCLUSIVE);
	ASK(answers, page_is(p + PAGE, 1, 1)); /* ours */
	/* A page that nobody had touched; the object's has not changed. */
	ASK(answers, ptrace(PTRACE_POKEDATA, child, p + PAGES(6), word));
	ASK(answers, ptrace(PTRACE_PEEKDATA, child, p + PAGES(6), NULL));
	ASK(answers, ptrace(PTRACE_PEEKDATA, child, p + PAGES(6) + 8, NULL));
	ASK(answers, pread(fd, &old, sizeof(old), PAGES(6)));
	ASK(answers, old);
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	mem = open(path, O_RDWR | O_CLOEXEC);
	MUST(mem >= 0);
	ASK(answers, pread(mem, &old, sizeof(old), (long)(p + PAGES(3))));
	ASK(answers, old);
	ASK(answers, pwrite(mem, &word, sizeof(word), (long)(p + PAGES(3))));
	ASK(answers, pagemap_of(child, p + PAGES(3)) & PM_STATE & ~PM_EXCLUSIVE);
	close(mem);
	release(child);
	unmap_alone(p, PAGES(8));
}

static void ptrace_as_memfd(void)
{
	int fd = object_open();
	char *p = map_alone(fd, PAGES(8), PROT_READ, MAP_PRIVATE);
	unsigned long done;
	uint64_t word;
	pid_t child;

	compare(ptrace_steps, MAP_SHARED);
	compare(ptrace_steps, MAP_PRIVATE);

	/* In figures, and where nothing is mapped yet: the handler makes the copy. */
	fill_file(fd, 8, 1);
	child = holder(true);
	done = counter("done_cow");
	CHECK_EQ(ptrace(PTRACE_POKEDATA, child, p + PAGE, 42), 0);
	CHECK_EQ(counter("done_cow") - done, 1);
	CHECK_EQ(ptrace(PTRACE_PEEKDATA, child, p + PAGE, NULL), 42);
	CHECK_EQ(ptrace(PTRACE_PEEKDATA, child, p + PAGE + 8, NULL), 1L << 32 | 1 << 16 | 1);
	CHECK((pagemap_of(child, p + PAGE) & PM_STATE) == (PM_PRESENT | PM_EXCLUSIVE));
	CHECK_EQ(ptrace(PTRACE_POKEDATA, child, p + PAGE, 43), 0);
	CHECK_EQ(counter("done_cow") - done, 1);
	CHECK_EQ(pread(fd, &word, sizeof(word), PAGE), sizeof(word));
	CHECK_EQ(word, 1L << 32 | 1 << 16);
	CHECK(pages_are(p, 8, 1));
	release(child);
	unmap_alone(p, PAGES(8));
	close(fd);
}

static int wait_for_wake(char *p)
{
	volatile uint32_t *word = (uint32_t *)p;

	word[1] = 1; /* about to wait */
	while (word[0] == 0)
		if (syscall(SYS_futex, word, FUTEX_WAIT, 0, NULL, NULL, 0) && errno != EAGAIN &&
		    errno != EINTR)
			return 1;
	return word[0] != 7;
}

/* A futex is known by object and offset, not by address. */
static void futexes(void)
{
	int fd = object_open(), status;
	char *p = map_alone(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);
	volatile uint32_t *word =
		(uint32_t *)map_alone(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);
	long woken = 0;
	pid_t child = fork();

	MUST(child >= 0);
	if (!child)
		_exit(wait_for_wake(p));
	while (!word[1])
		usleep(1000);
	CHECK(COMES((woken = syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0))));
	CHECK_EQ(woken, 1);
	word[0] = 7;
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	unmap_alone(p, PAGES(2));
	unmap_alone((char *)word, PAGES(2));
	close(fd);
}

/* --- input and output straight to and from the mapping --- */

/* @io reads (or writes) @length bytes of the @file's start to (from) @buffer. */
typedef ssize_t (*direct_io)(int file, bool write, void *buffer, size_t length);

static ssize_t plain_io(int file, bool write, void *buffer, size_t length)
{
	return write ? pwrite(file, buffer, length, 0) : pread(file, buffer, length, 0);
}

/*
 * From a mapping to the file; the other way, into pages that are not there yet,
 * that are mapped for reading, and that have been written.
 */
static void io_round(int file, direct_io io, int flags, uint32_t cow)
{
	enum { pages = 16 };
	int fd = object_open();
	char *p, check[PAGE];

	MUST(!object_set_cow(fd, cow));
	fill_file(fd, pages, 1);
	p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, flags);
	fill_page(p + PAGES(2), 2, 2);
	CHECK_EQ(io(file, true, p, PAGES(pages)), PAGES(pages));
	fill_page(p + PAGES(2), 2, 3);
	unmap_alone(p, PAGES(pages));

	for (int state = 0; state < 3; state++) {
		fill_file(fd, pages, 4);
		p = map_alone(fd, PAGES(pages), PROT_READ | PROT_WRITE, flags);
		if (state)
			faults_of(p, pages, state == 2);
		CHECK_EQ(io(file, false, p, PAGES(pages)), PAGES(pages));
		for (int i = 0; i < pages; i++) {
			CHECK(page_is(p + PAGES(i), i, i == 2 ? 2 : 1));
			CHECK((pagemap(p + PAGES(i)) & (PM_PRESENT | PM_FILE)) ==
			      (PM_PRESENT | (flags == MAP_SHARED ? PM_FILE : 0)));
			/* The object itself: written if shared, untouched if not. */
			MUST(pread(fd, check, PAGE, PAGES(i)) == (ssize_t)PAGE);
			if (flags == MAP_SHARED)
				CHECK(page_is(check, i, i == 2 ? 2 : 1));
			else
				CHECK(page_is(check, i, 4));
		}
		unmap_alone(p, PAGES(pages));
	}
	close(fd);
}

static void io_rounds(int file, direct_io io)
{
	io_round(file, io, MAP_SHARED, COWMEM_COW_HANDLER);
	io_round(file, io, MAP_PRIVATE, COWMEM_COW_HANDLER);
	io_round(file, io, MAP_PRIVATE, COWMEM_COW_CORE);
}

static void direct_io_to_tmpfs(void)
{
	int file = open("/tmp/direct", O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);

	MUST(file >= 0 && !unlink("/tmp/direct"));
	io_rounds(file, plain_io);
	close(file);
}

/* tmpfs copies; a block device pins the pages and has them filled. */
static void direct_io_to_a_disk(void)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC), backing, loop, disk, number;
	char path[64];

	if (control < 0)
		SKIP("this kernel has no loop device (load loop.ko before, if it has one)");
	number = ioctl(control, LOOP_CTL_GET_FREE);
	MUST(number >= 0);
	snprintf(path, sizeof(path), "/dev/loop%d", number);
	backing = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	loop = open(path, O_RDWR | O_CLOEXEC);
	MUST(backing >= 0 && loop >= 0 && !ftruncate(backing, PAGES(32)));
	MUST(!ioctl(loop, LOOP_SET_FD, backing));
	disk = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	MUST(disk >= 0);
	io_rounds(disk, plain_io);
	close(disk);
	MUST(!ioctl(loop, LOOP_CLR_FD, 0));
	close(loop);
	close(backing);
	close(control);
}

static ssize_t ring_io(int file, bool write, void *buffer, size_t length)
{
	return ring_do(write ? IORING_OP_WRITE : IORING_OP_READ, file, buffer, length);
}

/* With the buffer pinned beforehand, for as long as it is registered. */
static ssize_t ring_fixed_io(int file, bool write, void *buffer, size_t length)
{
	const int err = ring_register(buffer, length);
	ssize_t result;

	if (err)
		return err;
	result =
		ring_do(write ? IORING_OP_WRITE_FIXED : IORING_OP_READ_FIXED, file, buffer, length);
	ring_unregister();
	return result;
}

static void io_uring_both_ways(void)
{
	int file = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), fd = object_open();
	char text[8] = "";

	MUST(file >= 0);
	if (!ring_open()) {
		CHECK(errno == ENOSYS || errno == EPERM);
		SKIP("this kernel has no io_uring, or has it switched off");
	}
	io_rounds(file, ring_io);
	/* The object as the file of a request. */
	CHECK_EQ(ring_do(IORING_OP_WRITE, fd, "object", 6), 6);
	CHECK_EQ(ring_do(IORING_OP_READ, fd, text, 8), 6);
	CHECK(!strcmp(text, "object"));
	CHECK_EQ(object_stat(fd).bytes, 6);
	/* Pinned for long. */
	if (ring_takes_files()) {
		io_round(file, ring_fixed_io, MAP_PRIVATE, COWMEM_COW_HANDLER);
		io_round(file, ring_fixed_io, MAP_PRIVATE, COWMEM_COW_CORE);
	}
	close(ring.fd);
	close(file);
	close(fd);
}

/* A long pin of a shared mapping, as fixed buffers, RDMA and VFIO take it. */
static void long_pins_of_shared_memory(void)
{
	enum { pages = 4 };
	struct iovec vector[2];
	int fds[2] = {object_open(), memfd_create("reference", MFD_CLOEXEC)};
	char *p[2];

	if (!ring_open())
		SKIP("this kernel has no io_uring, or has it switched off");
	if (!ring_takes_files())
		SKIP("this kernel's io_uring pins no mappings of files");
	MUST(!ftruncate(fds[1], PAGES(pages)));
	for (int i = 0; i < 2; i++) {
		p[i] = map_alone(fds[i], PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
		vector[i] = (struct iovec){p[i], PAGES(pages)};
	}
	CHECK_EQ(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &vector[1], 1),
	         0);
	CHECK_EQ(syscall(SYS_io_uring_register, ring.fd, IORING_UNREGISTER_BUFFERS, NULL, 0), 0);
	/*
	 * The kernel refuses it to every mapping with page_mkwrite (mm/gup.c,
	 * writable_file_mapping_allowed()): the write would go unnoticed.
	 */
	CHECK_ERRNO(syscall(SYS_io_uring_register, ring.fd, IORING_REGISTER_BUFFERS, &vector[0], 1),
	            EFAULT);
	for (int i = 0; i < 2; i++) {
		unmap_alone(p[i], PAGES(pages));
		close(fds[i]);
	}
	close(ring.fd);
}

static void vmsplice_steps(struct answers *answers, int fd, int flags)
{
	char *p = map_alone(fd, PAGES(4), PROT_READ | PROT_WRITE, flags), bytes[PAGES(2)];
	struct iovec vector = {p + PAGE, PAGES(2)};
	int ends[2];

	MUST(!pipe2(ends, O_CLOEXEC));
	fill_file(fd, 4, 1);
	if (flags == MAP_PRIVATE)
		fill_page(p + PAGE, 1, 2);
	ASK(answers, vmsplice(ends[1], &vector, 1, 0));
	/* The pipe has the pages themselves: they outlive the mapping, whole. */
	unmap_alone(p, PAGES(4));
	fill_file(fd, 4, 3);
	ASK(answers, read(ends[0], bytes, sizeof(bytes)));
	ASK(answers, page_is(bytes, 1, flags == MAP_PRIVATE ? 2 : 3));
	ASK(answers, page_is(bytes + PAGE, 2, 3)); /* the object's own page in both */

	/* Out of the pipe, into the mapping. */
	p = map_alone(fd, PAGES(4), PROT_READ | PROT_WRITE, flags);
	fill_page(bytes, 7, 7);
	MUST(write(ends[1], bytes, PAGE) == (ssize_t)PAGE);
	vector = (struct iovec){p + PAGES(3), PAGE};
	ASK(answers, vmsplice(ends[0], &vector, 1, 0));
	ASK(answers, page_is(p + PAGES(3), 7, 7));
	ASK(answers, pread(fd, bytes, PAGE, PAGES(3)));
	ASK(answers, page_is(bytes, 7, 7));
	unmap_alone(p, PAGES(4));
	close(ends[0]);
	close(ends[1]);
}

static void vmsplice_as_memfd(void)
{
	int fd = object_open(), ends[2];
	char *p = map_alone(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED), bytes[PAGE];
	struct iovec vector = {p, PAGE};
	unsigned long freed;

	compare(vmsplice_steps, MAP_SHARED);
	compare(vmsplice_steps, MAP_PRIVATE);

	/* Taken from the object while the pipe has it: the pipe keeps what it was. */
	freed = counter("pages_freed");
	MUST(!pipe2(ends, O_CLOEXEC));
	fill_page(p, 1, 1);
	CHECK_EQ(vmsplice(ends[1], &vector, 1, 0), PAGE);
	CHECK_EQ(object_punch(fd, 0, PAGE), 0);
	CHECK_EQ(counter("pages_freed") - freed, 1);
	CHECK_EQ(*(volatile char *)p, 0);
	fill_page(p, 2, 2);
	CHECK_EQ(read(ends[0], bytes, PAGE), PAGE);
	CHECK(page_is(bytes, 1, 1));
	CHECK(page_is(p, 2, 2));
	close(ends[0]);
	close(ends[1]);
	unmap_alone(p, PAGES(2));
	close(fd);
}

/* --- who wrote what: soft-dirty, userfaultfd --- */
enum { tracked_pages = 96, tracking_rounds = 12 };

/* Random touches; afterwards `model` says which pages were written through @p. */
static void random_touches(int fd, char *p, bool *model, bool zaps, bool object)
{
	memset(model, 0, tracked_pages);
	for (int n = random_below(40); n > 0; n--) {
		int page = random_below(tracked_pages);
		volatile char *at = p + PAGES(page);

		switch (random_below(zaps ? 6 : 4)) {
		case 0:
		case 1:
			*at = n;
			model[page] = true;
			break;
		case 2:
			(void)*at;
			break;
		case 3: /* not through the mapping */
			MUST(pwrite(fd, "w", 1, PAGES(page) + 9) == 1);
			break;
		case 4:
			MUST(!madvise((void *)at, PAGE, MADV_DONTNEED));
			break;
		case 5:
			MUST(!(object ? object_punch(fd, PAGES(page), PAGE)
			              : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			                          PAGES(page), PAGE)));
			break;
		}
	}
}

static void wp_steps(struct answers *answers, int fd, int flags, bool object, bool zaps)
{
	char *p = map_alone(fd, PAGES(tracked_pages), PROT_READ | PROT_WRITE, flags);
	int uffd = wp_register(p, tracked_pages),
	    pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	bool model[tracked_pages], written[tracked_pages];
	uint64_t seen = 0, wrong = 0;

	MUST(uffd >= 0 && pagemap_fd >= 0);
	random_state = 0xc0ffee + flags;
	fill_file(fd, tracked_pages / 2, 1);
	random_touches(fd, p, model, zaps, object);
	scan_written(pagemap_fd, p, tracked_pages, written); /* arms all of it, mapped or not */
	for (int round = 0; round < tracking_rounds; round++) {
		uint64_t sum = 0;

		random_touches(fd, p, model, zaps, object);
		scan_written(pagemap_fd, p, tracked_pages, written);
		for (int i = 0; i < tracked_pages; i++) {
			sum = sum * 2 % 1000003 + written[i];
			seen += written[i];
			wrong += written[i] != model[i];
		}
		ASK(answers, sum);
	}
	if (!zaps)
		CHECK_EQ(wrong, 0);
	CHECK(seen > tracking_rounds);
	unmap_alone(p, PAGES(tracked_pages));
	close(pagemap_fd);
	close(uffd);
}

static void write_protection(void)
{
	static const struct {
		int flags;
		uint32_t cow;
	} kinds[] = {
		{MAP_SHARED, COWMEM_COW_HANDLER},
		{MAP_PRIVATE, COWMEM_COW_HANDLER},
		{MAP_PRIVATE, COWMEM_COW_CORE},
	};

	if (!have_async_wp())
		SKIP(NO_ASYNC_WP);
	for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
		/* Against the model; then, where pages are also taken away, against memfd. */
		for (int zaps = 0; zaps < 2; zaps++) {
			struct answers answers[2] = {0};

			for (int object = 0; object < 2; object++) {
				int fd = new_file(object);

				if (object)
					MUST(!object_set_cow(fd, kinds[i].cow));
				wp_steps(&answers[object], fd, kinds[i].flags, object, zaps);
				close(fd);
			}
			check_same(&answers[1], &answers[0]);
		}
	}
}

/* Write-protected by userfaultfd, a page not there yet: the marker is carried over. */
static void protection_of_unpopulated_pages(void)
{
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE};

	if (!have_async_wp())
		SKIP(NO_ASYNC_WP);
	for (size_t f = 0; f < ARRAY_LENGTH(flags); f++) {
		int fd = object_open(), uffd,
		    pagemap_fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
		char *p = map_alone(fd, PAGES(tracked_pages), PROT_READ | PROT_WRITE, flags[f]);
		struct uffdio_writeprotect protect = {
			.range = {(uintptr_t)p, PAGES(tracked_pages)},
			.mode = UFFDIO_WRITEPROTECT_MODE_WP,
		};
		const uint64_t pm_uffd_wp = 1UL << 57;
		bool written[tracked_pages];

		uffd = wp_register(p, tracked_pages);
		MUST(uffd >= 0 && pagemap_fd >= 0);
		CHECK_EQ(ioctl(uffd, UFFDIO_WRITEPROTECT, &protect), 0);
		scan_written(pagemap_fd, p, tracked_pages, written);
		for (int i = 0; i < tracked_pages; i++)
			CHECK(!written[i]);
		CHECK(pagemap(p) & pm_uffd_wp);
		CHECK(!(pagemap(p) & PM_PRESENT));
		CHECK_EQ(touch(p, false), 0);
		CHECK(pagemap(p) & PM_PRESENT);
		CHECK(pagemap(p) & pm_uffd_wp);
		CHECK_EQ(touch(p + PAGE, true), 0);
		CHECK(!(pagemap(p + PAGE) & pm_uffd_wp));
		CHECK_EQ(touch(p, true), 0);
		CHECK(!(pagemap(p) & pm_uffd_wp));
		scan_written(pagemap_fd, p, tracked_pages, written);
		for (int i = 0; i < tracked_pages; i++)
			CHECK_EQ(written[i], i < 2);
		unmap_alone(p, PAGES(tracked_pages));
		close(pagemap_fd);
		close(uffd);
		close(fd);
	}
}

static void soft_dirty(void)
{
	static const int flags[] = {MAP_SHARED, MAP_PRIVATE};
	char *probe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(probe != MAP_FAILED);
	*probe = 1;
	if (!(pagemap(probe) & PM_SOFT_DIRTY))
		SKIP("this kernel has no soft-dirty bit");
	munmap(probe, PAGE);
	for (size_t f = 0; f < ARRAY_LENGTH(flags); f++) {
		int fd = object_open(), seen = 0;
		char *p = map_alone(fd, PAGES(tracked_pages), PROT_READ | PROT_WRITE, flags[f]);
		uint64_t entries[tracked_pages];
		bool model[tracked_pages];

		random_state = 0xbeef + f;
		fill_file(fd, tracked_pages / 2, 1);
		CHECK(pagemap(p) & PM_SOFT_DIRTY); /* a new mapping is dirty as a whole */
		for (int round = 0; round < tracking_rounds; round++) {
			MUST(write_text("/proc/self/clear_refs", "4"));
			random_touches(fd, p, model, false, true);
			read_pagemap(p, entries, tracked_pages);
			for (int i = 0; i < tracked_pages; i++) {
				CHECK_EQ(!!(entries[i] & PM_SOFT_DIRTY), model[i]);
				seen += model[i];
			}
		}
		CHECK(seen > tracking_rounds);
		unmap_alone(p, PAGES(tracked_pages));
		close(fd);
	}
}

/* --- memory that fails --- */
#define INJECT "/sys/kernel/debug/mce-inject/"
#define OFFLINE "/sys/devices/system/memory/hard_offline_page"

enum { CORRECTED, UNCORRECTED };

/* The kernel is told of a machine check: of the frame @page. */
static void fail_frame(uint64_t page, int how)
{
	/* Valid, with an address, of a page, that is physical; AMD's bit for poison that was met. */
	const uint64_t status = (how == UNCORRECTED ? 1ULL << 61 : 0) | 1ULL << 58 | 1ULL << 43;
	char text[32];

	MUST(write_text(INJECT "flags", "sw\n"));
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)status);
	MUST(write_text(INJECT "status", text));
	snprintf(text, sizeof(text), "0x%llx", 2ULL << 6 | 12);
	MUST(write_text(INJECT "misc", text));
	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)(page * PAGE + 0x140));
	MUST(write_text(INJECT "addr", text));
	MUST(write_text(INJECT "bank", "1"));
}

/* The same of the memory behind @p, which must be present. */
static void fail_memory(const char *p, int how)
{
	const uint64_t page = pfn(p);

	MUST(page);
	fail_frame(page, how);
}

/* It is told of in the order that it happens, by a work item. */
static void wait_for_poison(struct counts before, unsigned long pages)
{
	CHECK(COMES(SINCE(before, pages_poisoned) == pages));
}

/* Touches a byte: 0, or the si_code of the SIGBUS that it got for it. */
static int bus_code(char *p, bool write)
{
	const int signal = touch(p, write);

	if (!signal)
		return 0;
	return signal == SIGBUS && fault_info.si_addr == p ? fault_info.si_code : -1;
}

/* What a child of this process gets at @p, mapped as here. */
static int touch_in_child(char *p, bool write)
{
	int status;
	pid_t child = fork();

	MUST(child >= 0);
	if (!child)
		_exit(bus_code(p, write));
	MUST(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void failed_memory_is_poisoned(void)
{
	int fd, to_child[2], to_parent[2], status;
	char *p, *private, *anonymous, byte;
	struct counts before;
	pid_t child;

	if (access(INJECT "bank", W_OK))
		SKIP("this kernel injects no machine checks");
	before = counts_now();
	fd = object_open();
	p = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	private = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (int i = 0; i < 4; i++)
		fill_page(p + PAGES(i), i, 1);
	fill_page(private + PAGES(2), 2, 2);
	CHECK(page_is(private + PAGES(1), 1, 1));
	MUST(!mlock(p + PAGES(1), PAGE));
	anonymous = object_map(-1, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
	fill_page(anonymous, 7, 1);

	/* A process that has it mapped since before. */
	MUST(!pipe(to_child) && !pipe(to_parent));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		bool there = page_is(p + PAGES(1), 1, 1);

		close(to_child[1]);
		close(to_parent[1]);
		if (read(to_child[0], &byte, 1) != 0 || !there)
			_exit(200);
		_exit(bus_code(p, false) ? 201 : bus_code(p + PAGES(1), false));
	}
	close(to_child[0]);
	close(to_parent[1]);
	MUST(!read(to_parent[0], &byte, 1));
	close(to_parent[0]);

	/* What was corrected harms nothing; nor is memory of others ours to judge. */
	fail_memory(p + PAGES(3), CORRECTED);
	fail_memory(anonymous, UNCORRECTED);
	fail_memory(p + PAGES(1), UNCORRECTED);
	wait_for_poison(before, 1);
	CHECK_EQ(page_state(fd, 0, 1).mapcount, 0);
	CHECK(page_state(fd, 0, 1).flags & COWMEM_PAGE_POISONED);
	CHECK_EQ(bus_code(p + PAGES(1), false), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(p + PAGES(1), true), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(private + PAGES(1), false), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(private + PAGES(1), true), BUS_MCEERR_AR);
	CHECK_ERRNO(pread(fd, &byte, 1, PAGES(1)), EIO);
	CHECK_ERRNO(pwrite(fd, &byte, 1, PAGES(1)), EIO);
	close(to_child[1]);
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(WEXITSTATUS(status), BUS_MCEERR_AR);

	/* All else is as it was, and lives on. */
	for (int i = 0; i < 4; i++)
		CHECK(i == 1 || page_is(p + PAGES(i), i, 1));
	CHECK(page_is(private + PAGES(2), 2, 2));
	CHECK(page_is(anonymous, 7, 1));
	CHECK_EQ(bus_code(p + PAGES(3), true), 0);

	/* What comes to its place is sound. */
	MUST(!object_punch(fd, PAGES(1), PAGE));
	CHECK_EQ(bus_code(p + PAGES(1), false), 0);
	CHECK_EQ(p[PAGES(1)], 0);
	CHECK_EQ(SINCE(before, pages_poisoned), 1);
	munmap(p, PAGES(4));
	munmap(private, PAGES(4));
	munmap(anonymous, PAGE);
	close(fd);
	check_returned(before);
}

/* A new object that takes large folios, or -1: there are none here. */
static int large_object(void)
{
	struct cowmem_create create = {.size = sizeof(create), .flags = COWMEM_CREATE_HUGE};
	const int device = object_open();
	const int fd = ioctl(device, COWMEM_IOC_CREATE, &create) ? -1 : create.fd;

	close(device);
	return fd;
}

/* A part of a large folio: all others live on, mapped each for itself. */
static void failed_memory_of_a_large_page(void)
{
	enum { BAD = 100 };
	const unsigned long pages = 1024;
	struct counts before = counts_now();
	int fd, then;
	char *p, byte;

	if (access(INJECT "bank", W_OK))
		SKIP("this kernel injects no machine checks");
	fd = large_object();
	if (fd < 0)
		SKIP("no large pages");
	MUST(!ftruncate(fd, PAGES(pages)));
	p = object_map(fd, PAGES(pages), PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned long i = 0; i < pages; i++)
		fill_page(p + PAGES(i), i, 1);
	CHECK_EQ(object_stat(fd).large_pages, pages);
	then = snapshot(fd);
	fail_memory(p + PAGES(BAD), UNCORRECTED);
	wait_for_poison(before, 1);
	CHECK_EQ(bus_code(p + PAGES(BAD), false), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(p + PAGES(BAD), true), BUS_MCEERR_AR);
	CHECK_ERRNO(pread(fd, &byte, 1, PAGES(BAD)), EIO);
	CHECK_ERRNO(pread(then, &byte, 1, PAGES(BAD)), EIO);
	/* Also where a store to a neighbour has all of the block mapped. */
	fill_page(p + PAGES(BAD + 1), BAD + 1, 2);
	CHECK_EQ(bus_code(p + PAGES(BAD), false), BUS_MCEERR_AR);
	for (unsigned long i = 0; i < pages; i++)
		CHECK(i == BAD || page_is(p + PAGES(i), i, 1 + (i == BAD + 1)));
	close(then);
	MUST(!object_punch(fd, PAGES(BAD), PAGE));
	CHECK_EQ(bus_code(p + PAGES(BAD), false), 0);
	CHECK_EQ(p[PAGES(BAD)], 0);
	CHECK_EQ(SINCE(before, pages_poisoned), 1);
	munmap(p, PAGES(pages));
	close(fd);
	check_returned(before);
}

enum { LARGE_PAGES = 512, BAD_PART = 100 };

/* An object with a large folio, written by write(), that nobody maps. *@frame is that of part BAD_PART. -1: there are none here. */
static int unmapped_large_object(uint64_t *frame)
{
	const unsigned long bytes = PAGES(LARGE_PAGES);
	const int fd = large_object();
	char *from, *p;

	if (fd < 0)
		return fd;
	from = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(from != MAP_FAILED);
	for (unsigned long i = 0; i < LARGE_PAGES; i++)
		fill_page(from + PAGES(i), i, 1);
	CHECK_EQ(pwrite(fd, from, bytes, 0), (long)bytes);
	CHECK_EQ(object_stat(fd).large_pages, LARGE_PAGES);
	munmap(from, bytes);
	p = object_map(fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(page_is(p + PAGES(BAD_PART), BAD_PART, 1));
	*frame = pfn(p + PAGES(BAD_PART));
	MUST(*frame);
	munmap(p, bytes);
	return fd;
}

/* The kernel's memory_failure() marks @frame, and leaves it, and the folio that it is of, to their owner. */
static void mark_as_failed(uint64_t frame)
{
	char text[32];

	snprintf(text, sizeof(text), "0x%llx", (unsigned long long)(frame * PAGE));
	CHECK(!write_text(OFFLINE, text));
}

/* All others live on, and are not mapped together with it. */
static void failed_memory_of_an_unmapped_large_page(void)
{
	struct counts before = counts_now();
	uint64_t frame;
	char *p, byte;
	int fd;

	if (access(INJECT "bank", W_OK) || access(OFFLINE, W_OK))
		SKIP("this kernel injects no machine checks");
	fd = unmapped_large_object(&frame);
	if (fd < 0)
		SKIP("no large pages");
	mark_as_failed(frame);
	fail_frame(frame, UNCORRECTED);
	wait_for_poison(before, 1);
	CHECK_ERRNO(pread(fd, &byte, 1, PAGES(BAD_PART)), EIO);
	p = object_map(fd, PAGES(LARGE_PAGES), PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned long i = 0; i < LARGE_PAGES; i++)
		CHECK(i == BAD_PART || page_is(p + PAGES(i), i, 1));
	CHECK_EQ(bus_code(p + PAGES(BAD_PART), false), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(p + PAGES(BAD_PART), true), BUS_MCEERR_AR);
	munmap(p, PAGES(LARGE_PAGES));
	close(fd);
	check_returned(before);
}

/*
 * The module is told nothing, as with what an administrator takes away. The allocator keeps failed memory back only where it
 * gets single pages.
 */
static void failed_memory_of_a_large_page_is_kept(void)
{
	struct counts before = counts_now();
	uint64_t frame;
	char *p, byte;
	int fd;

	if (access(OFFLINE, W_OK))
		SKIP("this kernel takes no memory away");
	fd = unmapped_large_object(&frame);
	if (fd < 0)
		SKIP("no large pages");
	mark_as_failed(frame);
	CHECK_ERRNO(pread(fd, &byte, 1, PAGES(BAD_PART)), EIO);
	CHECK_EQ(pread(fd, &byte, 1, 0), 1);
	p = object_map(fd, PAGES(LARGE_PAGES), PROT_READ | PROT_WRITE, MAP_SHARED);
	CHECK(page_is(p, 0, 1));
	CHECK_EQ(bus_code(p + PAGES(BAD_PART), false), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(p + PAGES(BAD_PART), true), BUS_MCEERR_AR);
	munmap(p, PAGES(LARGE_PAGES));
	CHECK_EQ(SINCE(before, large_broken), 0);
	close(fd);
	check_returned(before);
	CHECK_EQ(SINCE(before, large_broken), 1);
}

/* The kernel's own memory_failure() marks a page, and unmaps it nowhere: the rest is ours. */
static void failed_memory_that_is_marked(void)
{
	struct counts before;
	char *p, byte;
	int fd;

	if (access(INJECT "bank", W_OK) || access(OFFLINE, W_OK))
		SKIP("this kernel injects no machine checks");
	before = counts_now();
	fd = object_open();
	p = object_map(fd, PAGES(2), PROT_READ | PROT_WRITE, MAP_SHARED);
	fill_page(p, 0, 1);
	fill_page(p + PAGES(1), 1, 1);
	MUST(!mlock(p, PAGES(2))); /* the kernel frees what it can first */
	mark_as_failed(pfn(p));
	CHECK_ERRNO(pread(fd, &byte, 1, 0), EIO);
	CHECK(page_is(p, 0, 1));
	CHECK_EQ(SINCE(before, pages_poisoned), 0);
	CHECK_EQ(page_state(fd, 0, 0).mapcount, 1);

	fail_memory(p, UNCORRECTED);
	wait_for_poison(before, 1);
	CHECK_EQ(page_state(fd, 0, 0).mapcount, 0);
	CHECK_EQ(bus_code(p, false), BUS_MCEERR_AR);
	CHECK(page_is(p + PAGES(1), 1, 1));
	munmap(p, PAGES(2));
	close(fd);
	check_returned(before);
}

/* A page that a snapshot has is unmapped for all who see it. */
static void failed_memory_of_relatives(void)
{
	struct counts before;
	int fd[4];
	char *p[4];

	if (access(INJECT "bank", W_OK))
		SKIP("this kernel injects no machine checks");
	before = counts_now();
	fd[0] = object_open();
	p[0] = object_map(fd[0], PAGES(3), PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < 3; i++)
		fill_page(p[0] + PAGES(i), i, 1);
	fd[1] = snapshot(fd[0]);
	fd[2] = clone_of(fd[1]);
	fd[3] = clone_of(fd[0]);
	p[1] = object_map(fd[1], PAGES(3), PROT_READ, MAP_SHARED);
	for (int i = 2; i < 4; i++)
		p[i] = object_map(fd[i], PAGES(3), PROT_READ | PROT_WRITE,
		                  i == 2 ? MAP_SHARED : MAP_PRIVATE);
	for (int i = 0; i < 4; i++)
		CHECK(page_is(p[i] + PAGES(1), 1, 1));
	CHECK_EQ(page_state(fd[1], 0, 1).mapcount, 4);

	fail_memory(p[2] + PAGES(1), UNCORRECTED);
	wait_for_poison(before, 1);
	CHECK_EQ(page_state(fd[1], 0, 1).mapcount, 0);
	for (int i = 0; i < 4; i++) {
		CHECK(page_state(fd[i], 0, 1).flags & COWMEM_PAGE_POISONED);
		CHECK_EQ(bus_code(p[i] + PAGES(1), false), BUS_MCEERR_AR);
		CHECK_EQ(touch_in_child(p[i] + PAGES(1), false), BUS_MCEERR_AR);
		CHECK(page_is(p[i], 0, 1) && page_is(p[i] + PAGES(2), 2, 1));
	}
	CHECK_EQ(bus_code(p[0] + PAGES(1), true), BUS_MCEERR_AR);
	CHECK_EQ(bus_code(p[2] + PAGES(1), true), BUS_MCEERR_AR);

	/* Each gets rid of it for himself. */
	MUST(!object_punch(fd[2], PAGES(1), PAGE));
	CHECK_EQ(bus_code(p[2] + PAGES(1), true), 0);
	CHECK_EQ(p[2][PAGES(1)], 'x');
	CHECK_EQ(bus_code(p[0] + PAGES(1), false), BUS_MCEERR_AR);
	MUST(!object_punch(fd[0], PAGES(1), PAGE));
	CHECK_EQ(bus_code(p[0] + PAGES(1), false), 0);
	CHECK_EQ(bus_code(p[1] + PAGES(1), false), BUS_MCEERR_AR);
	CHECK(layers_are_sound(fd[0]));
	/* Of the rest, whoever writes goes on as ever. */
	fill_page(p[0] + PAGES(2), 2, 2);
	CHECK(page_is(p[1] + PAGES(2), 2, 1) && page_is(p[2] + PAGES(2), 2, 1));
	for (int i = 0; i < 4; i++) {
		munmap(p[i], PAGES(3));
		close(fd[i]);
	}
	CHECK_EQ(SINCE(before, pages_poisoned), 1);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"smaps as of memfd, and in figures", "", smaps_as_memfd},
	{"RssFile and RssAnon", "", status_counts_pages},
	{"pagemap as of memfd, and in bits", "", pagemap_as_memfd},
	{"mincore calls nothing absent", "", mincore_says_present},
	{"mlock, Mlocked as of memfd", "", mlock_as_memfd},
	{"/proc/PID/maps names the device", "", maps_names_it},
	{"pages are charged to the cgroup that makes them", "", pages_are_charged},
	{"mprotect cycles as of memfd", "", mprotect_as_memfd},
	{"madvise as of memfd", "", madvise_as_memfd},
	{"populating leaves no faults", "", populating},
	{"fork as of memfd", "", fork_as_memfd},
	{"a terabyte, sparse", "", sparse_terabyte},
	{"code runs from it", "", runs_code},
	{"process_vm_readv and writev as of memfd", "", process_vm_as_memfd},
	{"ptrace and /proc/PID/mem as of memfd", "", ptrace_as_memfd},
	{"futexes between mappings and processes", "", futexes},
	{"O_DIRECT to tmpfs", "", direct_io_to_tmpfs},
	{"O_DIRECT to a block device", "", direct_io_to_a_disk},
	{"io_uring: reads, writes, fixed buffers", "", io_uring_both_ways},
	{"long pins: private only", "", long_pins_of_shared_memory},
	{"vmsplice as of memfd", "", vmsplice_as_memfd},
	{"userfaultfd write protection: the exact written set", "", write_protection},
	{"userfaultfd write protection of unpopulated pages", "", protection_of_unpopulated_pages},
	{"soft-dirty: the exact written set", "", soft_dirty},
	{"memory that fails is unmapped, and who touches it told", "", failed_memory_is_poisoned},
	{"the same of a part of a large page", "", failed_memory_of_a_large_page},
	{"the same of one that nobody maps", "", failed_memory_of_an_unmapped_large_page},
	{"the same of what the kernel has marked already", "", failed_memory_that_is_marked},
	{"the same of what a snapshot has", "", failed_memory_of_relatives},
	{"a failed part of a large page is not freed", "", failed_memory_of_a_large_page_is_kept},
};

int main(void)
{
	count_faults_exactly();
	return run_tests(cases, ARRAY_LENGTH(cases));
}
