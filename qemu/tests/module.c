// SPDX-License-Identifier: GPL-2.0
/*
 * The module as such: when it may go, that it leaves nothing behind, what it tells
 * through sysfs and tracefs. argv[1] is its file; it is left loaded, as it was found.
 */
#include "cowmem_test.h"
#include "parameters.h"

#include <dirent.h>
#include <grp.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "../../src/kernel/counters.h"

#define PAGES(n) ((n) * PAGE)
#define TRACING "/sys/kernel/tracing"
#define MOUNT "/tmp/module"

static const char *module_file = "/lib/cowmem.ko";

static int load(const char *parameters)
{
	int fd = open(module_file, O_RDONLY | O_CLOEXEC), result;

	MUST(fd >= 0);
	result = syscall(SYS_finit_module, fd, parameters, 0);
	close(fd);
	return result;
}

static int unload(int flags)
{
	return syscall(SYS_delete_module, "cowmem", flags);
}

/* A file's last reference may go a little after its close(). */
static void unload_soon(void)
{
	CHECK(COMES(!unload(O_NONBLOCK) || errno != EWOULDBLOCK));
	MUST(access("/sys/module/cowmem", F_OK) && errno == ENOENT);
}

static bool read_text(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	text[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* --- in use --- */
static void stays_while_in_use(void)
{
	int fd = object_open(), status, ends[2];
	char *shared, *private, text[8] = "";
	pid_t child;

	/* A descriptor. */
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	CHECK_ERRNO(unload(0), EWOULDBLOCK);
	CHECK_EQ(pwrite(fd, "alive", 5, 0), 5);
	CHECK_EQ(pread(fd, text, 8, 0), 5);
	CHECK(!strcmp(text, "alive"));
	/* New ones may still be made after a refusal. */
	close(object_open());

	/* A mapping, and no descriptor any more. */
	shared = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	private = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);
	close(fd);
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	fill_page(shared + PAGE, 1, 1);
	CHECK(page_is(private + PAGE, 1, 1));
	munmap(shared, PAGES(4));
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	/* Part of a mapping, with all of it private copies. */
	fill_page(private + PAGE, 1, 2);
	munmap(private, PAGE);
	munmap(private + PAGES(2), PAGES(2));
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	CHECK(page_is(private + PAGE, 1, 2));

	/* Another process' mapping. */
	MUST(!pipe(ends));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		char byte;

		close(ends[1]);
		_exit(read(ends[0], &byte, 1) || !page_is(private + PAGE, 1, 2));
	}
	munmap(private + PAGE, PAGE);
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	close(ends[0]);
	close(ends[1]);
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);

	/* A mount that nobody uses; and one that is nowhere any more, but for a file, and a mapping. */
	MUST((!mkdir(MOUNT, 0700) || errno == EEXIST) && !mount("none", MOUNT, "cowmem", 0, ""));
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	fd = open(MOUNT "/file", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !ftruncate(fd, PAGE) && !umount2(MOUNT, MNT_DETACH));
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	shared = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	close(fd);
	CHECK_ERRNO(unload(O_NONBLOCK), EWOULDBLOCK);
	fill_page(shared, 1, 3);
	CHECK(page_is(shared, 1, 3));
	munmap(shared, PAGE);

	unload_soon();
	CHECK_ERRNO(open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC), ENOENT);
	CHECK_ERRNO(mount("none", MOUNT, "cowmem", 0, ""), ENODEV);
	CHECK_ERRNO(unload(O_NONBLOCK), ENOENT);
	CHECK_EQ(load(""), 0);
	CHECK_ERRNO(load(""), EEXIST);
	close(object_open());
}

/* Whether the kernel has said since @log was last read that a module for @release is for another. */
static bool tells_of_another_kernel(int log, const char *release, const char *here)
{
	char record[8192];
	bool told = false;
	ssize_t n;

	/* EPIPE: some records have been overwritten. */
	while ((n = read(log, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		record[n] = '\0';
		if (!strstr(record, "cowmem: "))
			continue;
		/* Where it compares its symbols, or what a module is, first, it says no more than that. */
		told |= (strstr(record, release) && strstr(record, here)) ||
		        strstr(record, "disagrees about version of symbol") ||
		        strstr(record, "must match the kernel's built struct module size");
	}
	return told;
}

/* Each file there is called as the kernel that its module was built for. */
static void one_for_another_kernel_is_refused(void)
{
	const int forced = 1 | 2; /* MODULE_INIT_IGNORE_MODVERSIONS, MODULE_INIT_IGNORE_VERMAGIC */
	char release[256], path[300];
	int log, count = 0, file;
	struct dirent *entry;
	struct utsname here;
	DIR *folder = opendir("/lib/foreign");

	MUST(folder && !uname(&here));
	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	MUST(log >= 0);
	unload_soon();
	while ((entry = readdir(folder))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/lib/foreign/%s", entry->d_name);
		snprintf(release, sizeof(release), "%.*s", (int)strlen(entry->d_name) - 3,
		         entry->d_name);
		file = open(path, O_RDONLY | O_CLOEXEC);
		MUST(file >= 0 && lseek(log, 0, SEEK_END) >= 0);
		/* EINVAL: only some of the symbols are others. */
		CHECK(syscall(SYS_finit_module, file, "", 0) == -1 &&
		      (errno == ENOEXEC || errno == EINVAL));
		CHECK(tells_of_another_kernel(log, release, here.release));
		/* With the same series' it comes as far as the module itself. */
		if (!strncmp(release, here.release, strcspn(strchr(release, '.') + 1, ".") + 3)) {
			MUST(lseek(log, 0, SEEK_END) >= 0);
			CHECK_ERRNO(syscall(SYS_finit_module, file, "", forced), ENOEXEC);
			CHECK(tells_of_another_kernel(log, release, here.release));
		}
		close(file);
		count++;
	}
	CHECK(count > 0);
	closedir(folder);
	close(log);
	CHECK_EQ(load(""), 0);
}

/* What an object's pages were put to must not need the module: only files and mappings do. */
static void goes_while_its_pages_are_held(void)
{
	int fd = object_open(), ends[2];
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), bytes[PAGE];
	struct iovec vector = {p, PAGE};

	fill_page(p, 3, 1);
	MUST(!pipe2(ends, O_CLOEXEC) && vmsplice(ends[1], &vector, 1, 0) == (ssize_t)PAGE);
	munmap(p, PAGE);
	close(fd);
	unload_soon();
	CHECK_EQ(read(ends[0], bytes, PAGE), PAGE);
	CHECK(page_is(bytes, 3, 1));
	close(ends[0]);
	close(ends[1]);
	CHECK_EQ(load(""), 0);
}

/* Uses everything a little: what a load or an unload forgets shows after many. */
static void use_an_object(int generation)
{
	int fd = object_open();
	char *shared = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, PAGES(8), PROT_READ | PROT_WRITE, MAP_PRIVATE);

	for (int i = 0; i < 4; i++)
		fill_page(shared + PAGES(i), i, generation);
	fill_page(private + PAGE, 1, generation + 1);
	fill_page(private + PAGES(6), 6, generation + 1);
	CHECK(page_is(private + PAGES(2), 2, generation));
	CHECK(page_is(shared + PAGE, 1, generation));
	CHECK_EQ(object_punch(fd, PAGES(3), PAGE), 0);
	CHECK_EQ(pwrite(fd, "x", 1, PAGES(20)), 1);
	CHECK_EQ(object_resize(fd, PAGES(2)), 0);
	CHECK(page_is(private + PAGE, 1, generation + 1));
	CHECK_EQ(object_stat(fd).resident_pages, 2);
	CHECK_EQ(counter("done_cow"), 2); /* per load: they start from 0 */
	CHECK_EQ(counter("objects_created"), 1);
	munmap(shared, PAGES(8));
	munmap(private, PAGES(8));
	close(fd);
}

static long meminfo(const char *name)
{
	char line[256];
	FILE *file = fopen("/proc/meminfo", "re");
	long value = -1;

	MUST(file);
	while (value < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)) && line[strlen(name)] == ':')
			value = atol(line + strlen(name) + 1);
	fclose(file);
	MUST(value >= 0);
	return value;
}

struct memory {
	long free, slab, vmalloc, percpu; /* KiB */
};

/* MemFree, and what the CPUs keep aside: their lists hold some MiB, coming and going. */
static long really_free(void)
{
	FILE *file = fopen("/proc/zoneinfo", "re");
	char line[256];
	long sum = 0, pages;

	MUST(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, " pages free %ld", &pages) == 1 ||
		    sscanf(line, " count: %ld", &pages) == 1)
			sum += pages;
	fclose(file);
	return sum * (PAGE / 1024);
}

static struct memory memory_now(void)
{
	/* What is freed after a grace period, or from a work queue, is given time. */
	usleep(300000);
	MUST(write_text("/proc/sys/vm/drop_caches", "3"));
	MUST(write_text("/proc/sys/vm/stat_refresh", "1"));
	return (struct memory){really_free(), meminfo("Slab"), meminfo("VmallocUsed"),
	                       meminfo("Percpu")};
}

/* What rises, or falls, in both halves, and by at least how much: 0 if it went to and fro. */
static long trend(long start, long middle, long end)
{
	long first = middle - start, second = end - middle;

	if ((first > 0) != (second > 0))
		return 0;
	return labs(first) < labs(second) ? first : second;
}

static int cycle_for(double limit, int least, int most)
{
	const double start = seconds();
	int cycles;

	for (cycles = 0; cycles < most && (cycles < least || seconds() - start < limit); cycles++) {
		MUST(!load(cycles & 1 ? "cow_via=handler" : ""));
		use_an_object(cycles);
		unload_soon();
	}
	return cycles;
}

/*
 * The first loads fill caches that stay (lockdep's, tracing's, the allocators'); from
 * then on nothing may trend away. What other programs left to be freed makes one step, not
 * a trend. KASAN keeps what was freed for a while, as much as a 32nd of all memory,
 * and loading takes it seconds: there it is for kmemleak to judge what this cannot.
 */
static void loads_and_unloads(void)
{
	enum { warm_up = 3, least = 3, half = 100 };
	const double limit = debug_kernel() ? 3 : 5;
	const long bound_kb = debug_kernel() ? meminfo("MemTotal") / 32 : 200;
	struct memory at[3];
	double start;
	int cycles;

	/* Most of a cycle is waiting for grace periods; that may go faster. */
	MUST(write_text("/sys/kernel/rcu_expedited", "1"));
	unload_soon();
	cycle_for(0, warm_up, warm_up);
	at[0] = memory_now();
	start = seconds();
	cycles = cycle_for(limit, least, half);
	at[1] = memory_now();
	cycles += cycle_for(limit, least, half);
	at[2] = memory_now();
	ksft_print_msg("%d cycles in %.1f s\n", cycles, seconds() - start);
	for (int i = 0; i < 3; i++)
		ksft_print_msg("KiB: free %ld, slab %ld, vmalloc %ld, percpu %ld\n", at[i].free,
		               at[i].slab, at[i].vmalloc, at[i].percpu);
	MUST(!load(""));
	MUST(write_text("/sys/kernel/rcu_expedited", "0"));
	/* Others may give something back meanwhile. */
	CHECK(trend(at[0].free, at[1].free, at[2].free) > -bound_kb);
	CHECK(trend(at[0].slab, at[1].slab, at[2].slab) < bound_kb);
	/*
	 * Nobody else takes of these, but for what the kernel itself maps meanwhile; others may give something back, as the
	 * stacks of tasks that have ended.
	 */
	CHECK(at[2].vmalloc - at[0].vmalloc < 128);
	CHECK(at[2].percpu - at[0].percpu < 64);
}

static void parameters(void)
{
	char text[64];
	struct stat st;
	int fd;

	MUST(!stat("/sys/module/cowmem/parameters/cow_via", &st));
	CHECK_EQ(st.st_mode & 07777, 0644);
	CHECK(read_text("/sys/module/cowmem/parameters/cow_via", text, sizeof(text)));
	CHECK(!strcmp(text, "handler\n"));
	CHECK(read_text("/sys/module/cowmem/version", text, sizeof(text)));
	CHECK(strlen(text) >= 4); /* "0.1\n" */
	CHECK(read_text("/sys/module/cowmem/refcnt", text, sizeof(text)));
	CHECK(!strcmp(text, "0\n"));
	fd = object_open();
	CHECK(read_text("/sys/module/cowmem/refcnt", text, sizeof(text)));
	CHECK(!strcmp(text, "2\n")); /* the file and the inode */
	close(fd);

	unload_soon();
	CHECK_ERRNO(load("cow_via=nonsense"), EINVAL);
	CHECK_ERRNO(load("cow_via="), EINVAL);
	CHECK(access("/sys/module/cowmem", F_OK));
	CHECK_EQ(load("cow_via=core"), 0);
	CHECK(read_text("/sys/module/cowmem/parameters/cow_via", text, sizeof(text)));
	CHECK(!strcmp(text, "core\n"));
	fd = object_open();
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_CORE);
	close(fd);
	unload_soon();
	CHECK_EQ(load(""), 0);
	fd = object_open();
	CHECK_EQ(object_stat(fd).cow, COWMEM_COW_HANDLER);
	close(fd);
}

static void backing_from_the_start(void)
{
	const char *const parameter = "/sys/module/cowmem/parameters/backing";
	char text[64];
	struct stat st;
	int file;

	unload_soon();
	CHECK_ERRNO(load("backing=/tmp/nowhere"), ENOENT);
	CHECK_ERRNO(load("backing=/dev/null"), EINVAL);
	CHECK(access("/sys/module/cowmem", F_OK));
	file = open("/tmp/backing", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(file >= 0 && !ftruncate(file, PAGES(8)));
	CHECK_ERRNO(load("backing=/tmp/backing"), ETXTBSY);
	close(file);
	CHECK_EQ(load("backing=/tmp/backing"), 0);
	CHECK_ERRNO(open("/tmp/backing", O_WRONLY | O_CLOEXEC), ETXTBSY);
	CHECK(read_text(parameter, text, sizeof(text)));
	CHECK(!strcmp(text, "/tmp/backing\n"));
	CHECK(!stat(parameter, &st) && (st.st_mode & 07777) == 0600);
	unload_soon();
	file = open("/tmp/backing", O_WRONLY | O_CLOEXEC);
	CHECK(file >= 0);
	close(file);
	unlink("/tmp/backing");
	CHECK_EQ(load(""), 0);
	CHECK(read_text(parameter, text, sizeof(text)));
	CHECK(!strcmp(text, "\n"));
}

/* --- compressors, with a context for each CPU --- */
#define COMPRESSOR "/sys/module/cowmem/parameters/compressor"
#define CPU "/sys/devices/system/cpu/cpu1/online"
#define FAILSLAB "/sys/kernel/debug/failslab/"

/* 0 or the errno of setting the parameter. */
static int select_compressor(const char *name)
{
	int parameter = open(COMPRESSOR, O_WRONLY | O_CLOEXEC), err;

	MUST(parameter >= 0);
	err = write(parameter, name, strlen(name)) < 0 ? errno : 0;
	close(parameter);
	return err;
}

/* The same with its @nth allocation failing; *@failed: there were as many. */
static int select_without_memory(const char *name, unsigned int nth, bool *failed)
{
	int parameter = open(COMPRESSOR, O_WRONLY | O_CLOEXEC), err;
	int fails = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	char text[16];

	MUST(parameter >= 0 && fails >= 0);
	snprintf(text, sizeof(text), "%u", nth);
	MUST(write(fails, text, strlen(text)) > 0);
	err = write(parameter, name, strlen(name)) < 0 ? errno : 0;
	MUST(pread(fails, text, 1, 0) == 1);
	*failed = text[0] == '0';
	MUST(write(fails, "0", 1) == 1);
	close(fails);
	close(parameter);
	return err;
}

/* Another process takes a CPU away and gives it back, until it is killed. */
static pid_t start_hotplug(_Atomic int *times)
{
	pid_t child = fork();

	MUST(child >= 0);
	while (!child)
		if (write_text(CPU, "0") && write_text(CPU, "1"))
			++*times;
	return child;
}

static void end_hotplug(pid_t child)
{
	MUST(!kill(child, SIGKILL) && waitpid(child, NULL, 0) == child);
	MUST(write_text(CPU, "1") || errno == EINVAL);
}

/* A compressor counts the CPUs once, however many there are when it is complete. */
static void compressors_while_cpus_come(void)
{
	static const char *const names[] = {"lzo",          "zstd", "lzo-generic",
	                                    "zstd-generic", "lz4",  "deflate"};
	enum { ENOUGH = 20, TIMES_ENOUGH = 10 };
	_Atomic int *times;
	int made = 0, err;
	pid_t child;

	if (access(CPU, W_OK))
		SKIP("no CPU of this kernel can be taken away");
	times = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(times != MAP_FAILED);
	child = start_hotplug(times);
	while (!test_failed && (made < ENOUGH || *times < TIMES_ENOUGH)) {
		for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
			err = select_compressor(names[i]);
			CHECK(!err || (i && err == ENOENT)); /* a module of the kernel's */
			made += !err;
		}
		use_an_object(1);
		unload_soon();
		CHECK_EQ(load(""), 0);
	}
	end_hotplug(child);
	ksft_print_msg("%d compressors, a CPU went and came %d times\n", made, *times);
	munmap((void *)times, PAGE);
}

/* Whichever of its allocations fails, the compressor is not said not to exist, and can be had later. */
static void no_memory_for_a_compressor(void)
{
	static const char *const names[] = {"deflate", "deflate-generic"}; /* the same */
	unsigned int nth = 0, refused = 0, made = 0;
	bool failed = true;
	int err;

	if (access("/proc/thread-self/fail-nth", W_OK))
		SKIP("this kernel fails no allocations on purpose");
	MUST(write_text(FAILSLAB "verbose", "0") && write_text(FAILSLAB "ignore-gfp-wait", "N"));
	while (failed) {
		if (made == ARRAY_LENGTH(names)) { /* what is there is not made again */
			unload_soon();
			CHECK_EQ(load(""), 0);
			made = 0;
		}
		err = select_without_memory(names[made], ++nth, &failed);
		CHECK(!err || (failed && err == ENOMEM));
		refused += err == ENOMEM;
		made += !err; /* the kernel could do without */
	}
	MUST(write_text(FAILSLAB "ignore-gfp-wait", "Y"));
	ksft_print_msg("%u allocations failed, one after the other, %u of them mattered\n", nth - 1,
	               refused);
	/* The compressor, its array, and two for each stream, or three. */
	CHECK(refused >= 2 + 2 * 2);
	CHECK_EQ(select_compressor("no-such"), ENOENT);
	unload_soon();
	CHECK_EQ(load(""), 0);
}

/* --- counters --- */
static const char *const counter_names[] = {
#define X(name, what) #name,
	COWMEM_COUNTERS(X)
#undef X
};

static void some_faults(void)
{
	int fd = object_open();
	char *shared = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, PAGES(4), PROT_READ | PROT_WRITE, MAP_PRIVATE);

	fill_page(shared, 0, 1);
	CHECK(page_is(private, 0, 1));
	fill_page(private, 0, 2);
	fill_page(private + PAGES(2), 2, 2);
	munmap(shared, PAGES(4));
	munmap(private, PAGES(4));
	close(fd);
}

static void counters(void)
{
	unsigned long before[ARRAY_LENGTH(counter_names)];
	const char *directory = "/sys/class/misc/cowmem/counters";
	size_t files = 0;
	struct dirent *entry;
	DIR *dir = opendir(directory);
	int status;
	pid_t child;

	/* All that the header names, and nothing else. */
	MUST(dir);
	while ((entry = readdir(dir)))
		files += entry->d_name[0] != '.';
	closedir(dir);
	CHECK_EQ(files, ARRAY_LENGTH(counter_names));
	for (size_t i = 0; i < ARRAY_LENGTH(counter_names); i++) {
		char path[128], text[64];
		struct stat st;

		snprintf(path, sizeof(path), "%s/%s", directory, counter_names[i]);
		MUST(!stat(path, &st));
		CHECK_EQ(st.st_mode & 07777, 0444);
		CHECK(read_text(path, text, sizeof(text)));
		CHECK(strspn(text, "0123456789") == strlen(text) - 1 && strlen(text) >= 2);
	}

	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		MUST(!setgroups(0, NULL) && !setresgid(65534, 65534, 65534));
		MUST(!setresuid(65534, 65534, 65534));
		for (size_t i = 0; i < ARRAY_LENGTH(counter_names); i++)
			counter(counter_names[i]);
		CHECK_ERRNO(open("/sys/class/misc/cowmem/counters/copies", O_WRONLY), EACCES);
		fflush(stdout);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);

	/* They only rise, each fault by what it was, and idle not at all. */
	for (int round = 0; round < 4; round++) {
		bool faults = round % 2;

		for (size_t i = 0; i < ARRAY_LENGTH(counter_names); i++)
			before[i] = counter(counter_names[i]);
		if (faults)
			some_faults();
		usleep(2000);
		for (size_t i = 0; i < ARRAY_LENGTH(counter_names); i++) {
			long risen = counter(counter_names[i]) - before[i];

			if (risen < 0 || (!faults && risen)) {
				test_failed = true;
				ksft_print_msg("%s rose by %ld\n", counter_names[i], risen);
			}
			if (faults && !strcmp(counter_names[i], "fault_shared_write"))
				CHECK_EQ(risen, 1);
			if (faults && !strcmp(counter_names[i], "zero_fills"))
				CHECK_EQ(risen, 1);
		}
	}
	CHECK_EQ(counter("page_locks"),
	         counter("page_unlocks") + counter("page_locks_handed_over"));
}

/* --- tracing --- */
static char trace[1 << 16];

/* How many recorded faults have this end; every one must be of this address and index. */
static int traced(const char *end, const void *p, unsigned long index)
{
	char expected[160];
	int found = 0;

	snprintf(expected, sizeof(expected), "index=%lu address=0x%lx %s\n", index,
	         (unsigned long)p, end);
	for (char *at = trace; (at = strstr(at, expected)); at++)
		found++;
	return found;
}

/* The @nth mapping of eight pages within one page table, which is there already. */
static char *map_beside(int fd, int nth, int flags)
{
	enum { TABLE = 512 };
	static char *table;
	char *at;

	if (!table) {
		at = mmap(NULL, PAGES(2 * TABLE), PROT_READ | PROT_WRITE,
		          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		MUST(at != MAP_FAILED);
		table = (char *)(((uintptr_t)at + PAGES(TABLE) - 1) & -PAGES(TABLE));
		/* EINVAL: there are no huge pages (PREEMPT_RT). */
		MUST(!madvise(table, PAGES(TABLE), MADV_NOHUGEPAGE) || errno == EINVAL);
		*(volatile char *)(table + PAGES(TABLE - 1)) = 1;
	}
	at = mmap(table + PAGES(8 * nth), PAGES(8), PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd,
	          0);
	MUST(at != MAP_FAILED);
	return at;
}

static void tracepoint(void)
{
	static const char *const event = TRACING "/events/cowmem/cowmem_fault";
	const char *on = TRACING "/events/cowmem/cowmem_fault/enable";
	int fd = object_open(), reader;
	volatile char *shared, *private, *beyond;
	size_t length = 0;
	ssize_t n;
	pid_t child;

	if (access(TRACING "/events", F_OK)) {
		close(fd);
		SKIP("this kernel has no tracefs");
	}
	CHECK(!access(event, F_OK));
	CHECK(!access(TRACING "/events/cowmem/cowmem_fault/format", R_OK));
	shared = map_beside(fd, 0, MAP_SHARED);
	private = map_beside(fd, 1, MAP_PRIVATE);
	beyond = map_beside(fd, 2, MAP_SHARED);
	MUST(write_text(TRACING "/trace", "\n"));
	MUST(write_text(TRACING "/tracing_on", "1"));
	MUST(write_text(on, "1"));
	set_reuse(false);
	(void)shared[PAGES(1) + 5]; /* read */
	shared[PAGES(1) + 6] = 1;   /* mkwrite */
	set_reuse(true);
	shared[PAGES(3)] = 1;      /* shared-write */
	private[PAGES(5) + 9] = 1; /* private-write, of a hole */
	private[PAGES(3) + 2] = 1; /* private-write, of data */
	MUST(!object_set_cow(fd, COWMEM_COW_CORE));
	{
		char *core = map_beside(fd, 3, MAP_PRIVATE);

		core[PAGES(6)] = 1; /* private-write, answered with the page */
		MUST(!object_resize(fd, PAGES(7)));
		child = fork();
		MUST(child >= 0);
		if (!child) {
			beyond[PAGES(7) + 3] = 1; /* beyond-end */
			_exit(0);
		}
		MUST(waitpid(child, &(int){0}, 0) == child);
		MUST(write_text(on, "0"));
		(void)core[PAGES(4)]; /* no longer recorded */

		reader = open(TRACING "/trace", O_RDONLY | O_CLOEXEC);
		MUST(reader >= 0);
		while ((n = read(reader, trace + length, sizeof(trace) - 1 - length)) > 0)
			length += n;
		close(reader);
		CHECK_EQ(traced("private-write: page-locked", core + PAGES(6), 6), 1);
		munmap(core, PAGES(8));
	}
	CHECK_EQ(traced("read: mapped", (char *)shared + PAGES(1), 1), 1);
	CHECK_EQ(traced("shared-write: mapped", (char *)shared + PAGES(3), 3), 1);
	CHECK_EQ(traced("private-write: done-cow", (char *)private + PAGES(5), 5), 1);
	CHECK_EQ(traced("private-write: done-cow", (char *)private + PAGES(3), 3), 1);
	CHECK_EQ(traced("shared-write: beyond-end", (char *)beyond + PAGES(7), 7), 1);
	CHECK(traced("mkwrite: mapped", (char *)shared + PAGES(1), 1) == 1);
	/* These and no others. */
	int lines = 0, mkwrites = 0;

	for (char *at = trace; (at = strstr(at, "cowmem_fault:")); at++)
		lines++;
	for (char *at = trace; (at = strstr(at, "mkwrite:")); at++)
		mkwrites++;
	CHECK_EQ(lines - mkwrites, 6);
	CHECK_EQ(mkwrites, 1);
	if (test_failed)
		ksft_print_msg("%s", trace);
	MUST(write_text(TRACING "/trace", "\n"));
	munmap((void *)shared, PAGES(8));
	munmap((void *)private, PAGES(8));
	munmap((void *)beyond, PAGES(8));
	close(fd);

	/* Switched on when the module goes: neither the event nor its record stays. */
	MUST(write_text(on, "1"));
	some_faults();
	unload_soon();
	CHECK(access(event, F_OK));
	CHECK_EQ(load(""), 0);
	CHECK(!access(event, F_OK));
}

static const struct test_case cases[] = {
	{"stays while a descriptor or mapping lives", "", stays_while_in_use},
	{"one for another kernel is refused, and both are named", "",
         one_for_another_kernel_is_refused},
	{"goes while a pipe holds a page", "", goes_while_its_pages_are_held},
	{"parameters", "", parameters},
	{"a backing store from the start", "", backing_from_the_start},
	{"compressors are made while CPUs come and go", "", compressors_while_cpus_come},
	{"no memory for a compressor is ENOMEM", "", no_memory_for_a_compressor},
	{"counters", "R16", counters},
	{"tracepoint", "", tracepoint},
	{"loads and unloads without a trace", "", loads_and_unloads},
};

int main(int argc, char **argv)
{
	if (argc > 1)
		module_file = argv[1];
	return run_tests(cases, ARRAY_LENGTH(cases));
}
