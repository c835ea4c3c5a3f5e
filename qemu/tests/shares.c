// SPDX-License-Identifier: GPL-2.0
/*
 * What each memory cgroup has in the store, as debugfs lists it, and how much it may have: whoever comes first leaves something to
 * who comes later, at each level of the hierarchy; and what was a removed cgroup's is added up until the last of it goes.
 */
#include "cgroup.h"
#include "counts.h"
#include "store.h"

#define LIST "/sys/kernel/debug/cowmem/cgroups"
#define PARENT CGROUPS "/cowmem-parent"
#define FIRST PARENT "/first"
#define SECOND PARENT "/second"

enum { LIMIT = 2 << 20, NOISE = 1024 };

/* --- the list --- */
struct group {
	bool listed;
	unsigned long slots, original, compressed, memory, most;
	char path[128]; /* or empty: it was removed */
};

static struct group group_with(unsigned long id)
{
	struct group found = {0}, one;
	FILE *file = fopen(LIST, "re");
	char line[512];

	MUST(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long number;
		const char *path = strstr(line, " path=");

		one = (struct group){.listed = true};
		MUST(sscanf(line, "%lu slots=%lu original=%lu compressed=%lu memory=%lu most=%lu",
		            &number, &one.slots, &one.original, &one.compressed, &one.memory,
		            &one.most) == 6);
		if (path)
			MUST(sscanf(path, " path=%127s", one.path) == 1);
		if (number == id) {
			CHECK(!found.listed);
			found = one;
		}
	}
	fclose(file);
	return found;
}

static unsigned long id_of(const char *cgroup)
{
	struct stat stat;

	MUST(!lstat(cgroup, &stat));
	return stat.st_ino;
}

static struct group group_of(const char *cgroup)
{
	const struct group found = group_with(id_of(cgroup));

	if (found.listed) {
		CHECK(!strcmp(found.path, cgroup + strlen(CGROUPS)));
		CHECK_EQ(found.original, found.slots * PAGE);
	}
	return found;
}

static bool list_is_empty(void)
{
	FILE *file = fopen(LIST, "re");
	const bool is_empty = file && fgetc(file) == EOF;

	MUST(file);
	fclose(file);
	return is_empty;
}

/* --- who pages out --- */
static void make_cgroup(const char *path)
{
	MUST(!mkdir(path, 0755));
}

static void make_cgroups(void)
{
	MUST(list_is_empty());
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	make_cgroup(CGROUP);
	make_cgroup(PARENT);
	MUST(write_text(PARENT "/cgroup.subtree_control", "+memory"));
	make_cgroup(FIRST);
	make_cgroup(SECOND);
	limit_store(LIMIT >> 20);
}

/* All that was in the store is gone. */
static void remove_cgroups(long dying)
{
	limit_store(store_default_mib());
	CHECK(list_is_empty());
	MUST(!rmdir(SECOND) && !rmdir(FIRST) && !rmdir(PARENT));
	check_cgroup_goes(dying);
}

/* A page that takes about @noise bytes, compressed. */
static void fill(void *page, uint64_t number, size_t noise)
{
	uint64_t *words = page, word = number * 0x9e3779b97f4a7c15 + 88172645463325252;

	memset(page, (int)(number % 251), PAGE);
	for (size_t i = 0; i < noise / sizeof(*words); i++) {
		word ^= word << 13;
		word ^= word >> 7;
		word ^= word << 17;
		words[i] = word;
	}
}

/* Does @body as a process of @cgroup, or of this program's, if that is null. */
static void run_in(const char *cgroup, void (*body)(void))
{
	char path[128];
	int status;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		test_failed = false;
		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup ?: CGROUPS);
		MUST(write_text(path, "0"));
		body();
		_exit(test_failed);
	}
	MUST(waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

static int write_fd;
static uint64_t write_pages, write_from;
static size_t write_noise;

static void write_them(void)
{
	char page[PAGE];

	for (uint64_t i = write_from; i < write_from + write_pages; i++) {
		fill(page, i, write_noise);
		MUST(pwrite(write_fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	}
}

/* An object whose pages are charged to @cgroup. */
static int object_of(const char *cgroup, uint64_t pages, size_t noise)
{
	write_fd = object_open();
	write_pages = pages;
	write_from = 0;
	write_noise = noise;
	run_in(cgroup, write_them);
	return write_fd;
}

/* As many of the first @pages as there is room for: how many went now. */
static uint64_t page_out_some(int fd, uint64_t pages)
{
	struct cowmem_page_out out;

	MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, pages));
	CHECK_EQ(out.incompressible + out.no_memory, 0);
	return out.out;
}

static double part_of_limit(unsigned long bytes)
{
	return (double)bytes / LIMIT;
}

#define CHECK_PART(bytes, least, most)                                                           \
	do {                                                                                     \
		const double part_ = part_of_limit(bytes);                                       \
		if (part_ < (least) || part_ > (most)) {                                         \
			test_failed = true;                                                      \
			ksft_print_msg("%s:%d: %.3f of the limit, not %.3f to %.3f\n", __FILE__, \
			               __LINE__, part_, (double)(least), (double)(most));        \
		}                                                                                \
	} while (0)

/* --- what a slot takes, and what is told --- */
static unsigned long slot_size(void)
{
	struct utsname name;

	MUST(!uname(&name));
	/* There the allocator needs 8 of its own. */
	return strncmp(name.release, "6.1.", 4) ? 32 : 40;
}

/* What one of the cache takes, with the allocator's part. */
static unsigned long slab_size(void)
{
	FILE *file = fopen("/proc/slabinfo", "re");
	unsigned long size = 0;
	char line[512];

	MUST(file);
	while (!size && fgets(line, sizeof(line), file))
		sscanf(line, "cowmem_slot %*u %*u %lu", &size);
	fclose(file);
	return size;
}

static void what_is_told(void)
{
	enum { SAME = 200, PAGES = 100 };
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct cowmem_store_stat stat;
	struct group group;
	char page[PAGE];
	int same, fd, nobodys;

	make_cgroups();
	if (!debug_kernel())
		CHECK_EQ(slab_size(), slot_size());
	same = object_of(FIRST, SAME, 0);
	fd = object_of(SECOND, PAGES, NOISE);
	nobodys = object_of(NULL, 7, 0);
	CHECK(list_is_empty());
	CHECK_EQ(page_out_some(same, SAME), SAME);
	group = group_of(FIRST);
	CHECK_EQ(group.slots, SAME);
	CHECK_EQ(group.compressed, 0);
	CHECK_EQ(group.memory, SAME * slot_size());
	CHECK_EQ(group.most, LIMIT); /* there is so much left that nobody asks */
	CHECK(!group_of(SECOND).listed && !group_of(CGROUP).listed && !group_with(0).listed);

	CHECK_EQ(page_out_some(fd, PAGES), PAGES);
	stat = store_stat(fd);
	group = group_of(SECOND);
	CHECK_EQ(group.slots, PAGES);
	CHECK_EQ(group.memory, PAGES * slot_size() + group.compressed);
	/* With what zsmalloc keeps of each. */
	CHECK(group.compressed >= stat.bytes && group.compressed <= stat.bytes + PAGES * 128);
	group = group_of(PARENT);
	CHECK_EQ(group.slots, SAME + PAGES);
	CHECK_EQ(group.memory, group_of(FIRST).memory + group_of(SECOND).memory);
	CHECK(!group_of(CGROUP).listed);

	CHECK_EQ(page_out_some(nobodys, 7), 7);
	group = group_with(0);
	CHECK_EQ(group.slots, 7);
	CHECK_EQ(group.memory, 7 * slot_size());
	CHECK(!*group.path);
	close(nobodys);
	CHECK(!group_with(0).listed);

	/* What comes back and stays as it is keeps its slot; what is written does not. */
	for (uint64_t i = 0; i < PAGES / 2; i++)
		MUST(pread(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
	CHECK_EQ(group_of(SECOND).slots, PAGES);
	MUST(!object_punch(fd, 0, PAGES / 2 * PAGE));
	group = group_of(SECOND);
	CHECK_EQ(group.slots, PAGES / 2);
	CHECK_EQ(group_of(PARENT).slots, SAME + PAGES / 2);
	close(fd);
	CHECK(!group_of(SECOND).listed);
	CHECK_EQ(group_of(PARENT).slots, SAME);
	close(same);
	remove_cgroups(dying);
	check_returned(before);
}

/* --- shares --- */
enum { GREEDY = 2200, LATE = 400, FEW = 64 };

/* Who came first has 8/9, who comes then finds some; nothing is write-protected for who has his share. */
static void who_comes_later_finds_some(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct counts then;
	unsigned long had;
	int greedy, late;
	char *map;

	make_cgroups();
	greedy = object_of(CGROUP, GREEDY, NOISE);
	CHECK(page_out_some(greedy, GREEDY) > FEW);
	CHECK(SINCE(before, pages_over_share) > 0);
	had = group_of(CGROUP).memory;
	CHECK_PART(had, 0.86, 0.895);
	CHECK_PART(group_of(CGROUP).most, part_of_limit(had) - 0.2, part_of_limit(had) + 0.01);

	then = counts_now();
	map = object_map(greedy, GREEDY * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned int i = GREEDY - FEW; i < GREEDY; i++)
		map[i * PAGE] ^= 1; /* mapped to be written from now on */
	{
		struct cowmem_page_out out;
		const struct counts mapped = counts_now();

		MUST(!page_out_ask(greedy, &out, COWMEM_PAGE_OUT_ACCESSED, GREEDY - FEW, FEW));
		CHECK_EQ(out.out, 0);
		CHECK_EQ(out.full, FEW);
		CHECK_EQ(SINCE(then, pages_over_share), FEW);
		for (unsigned int i = GREEDY - FEW; i < GREEDY; i++)
			map[i * PAGE] ^= 1;
		CHECK_EQ(SINCE(mapped, mkwrite) + SINCE(mapped, fault_shared_write), 0);
	}
	munmap(map, GREEDY * PAGE);

	late = object_of(FIRST, LATE, NOISE);
	CHECK_EQ(page_out_some(late, FEW), FEW);
	CHECK(page_out_some(late, LATE) > 0);
	CHECK_PART(group_of(FIRST).memory, 0.06, 0.11);
	CHECK_EQ(group_of(FIRST).memory, group_of(PARENT).memory);
	CHECK_PART(group_of(FIRST).memory + had, 0.94, 1);
	CHECK_EQ(group_of(CGROUP).memory, had);
	/* A page of one word is worth its slot at any time. */
	write_fd = greedy;
	write_from = GREEDY - 1;
	write_pages = 1;
	write_noise = 0;
	run_in(CGROUP, write_them);
	CHECK(page_out_some(greedy, GREEDY) >= 1);
	CHECK(group_of(CGROUP).memory >= had + slot_size());
	close(late);
	close(greedy);
	remove_cgroups(dying);
	check_returned(before);
}

/* Both want all there is, by turns, and have the same in the end, whoever began. */
static void two_have_the_same(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	unsigned long first, second;
	int greedy, late;

	make_cgroups();
	greedy = object_of(CGROUP, GREEDY, NOISE);
	late = object_of(PARENT "/second", GREEDY, NOISE);
	CHECK(page_out_some(greedy, GREEDY) > FEW);
	for (uint64_t gone = 0; gone < GREEDY; gone += 32) {
		/* What the first one has is used again, bit by bit, and it wants the same for the rest. */
		if (part_of_limit(group_of(CGROUP).memory) > 0.475)
			MUST(!object_punch(greedy, gone * PAGE, 32 * PAGE));
		page_out_some(greedy, GREEDY);
		page_out_some(late, GREEDY);
	}
	first = group_of(CGROUP).memory;
	second = group_of(PARENT).memory;
	ksft_print_msg("%.3f and %.3f of the limit\n", part_of_limit(first), part_of_limit(second));
	CHECK_PART(first, 0.44, 0.49);
	CHECK_PART(second, 0.44, 0.49);
	close(late);
	close(greedy);
	remove_cgroups(dying);
	check_returned(before);
}

/* The same among those of one cgroup; and who is in none is one of them, too. */
static void among_children_and_nobody(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	struct group parent;
	int first, second, other, nobodys;

	make_cgroups();
	first = object_of(FIRST, GREEDY, NOISE);
	page_out_some(first, GREEDY);
	CHECK_PART(group_of(FIRST).memory, 0.85, 0.885); /* 64/73 */
	second = object_of(SECOND, LATE, NOISE);
	CHECK(page_out_some(second, LATE) > 0);
	CHECK(group_of(SECOND).memory > 0);
	parent = group_of(PARENT);
	CHECK_EQ(parent.memory, group_of(FIRST).memory + group_of(SECOND).memory);
	CHECK_PART(parent.memory, 0.86, 0.895);
	other = object_of(CGROUP, LATE, NOISE);
	CHECK_EQ(page_out_some(other, FEW), FEW);
	nobodys = object_of(NULL, LATE, NOISE);
	CHECK_EQ(page_out_some(nobodys, FEW / 2), FEW / 2);
	CHECK_PART(group_of(CGROUP).memory + parent.memory + group_with(0).memory, 0.92, 1);
	CHECK_EQ(group_of(PARENT).memory, parent.memory);
	/* Now nobody's: what is charged to none is a group as others are. */
	close(other);
	close(second);
	close(first);
	page_out_some(nobodys, LATE);
	close(nobodys);
	nobodys = object_of(NULL, GREEDY, NOISE);
	page_out_some(nobodys, GREEDY);
	CHECK_PART(group_with(0).memory, 0.86, 0.895);
	other = object_of(CGROUP, LATE, NOISE);
	CHECK_EQ(page_out_some(other, FEW), FEW);
	close(other);
	close(nobodys);
	remove_cgroups(dying);
	check_returned(before);
}

/* Without shares who came first has all, and others none. */
static void without_shares(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	int greedy, late;

	make_cgroups();
	parameter_set("share", "0");
	greedy = object_of(CGROUP, GREEDY, NOISE);
	page_out_some(greedy, GREEDY);
	CHECK_PART(group_of(CGROUP).memory, 0.93, 1.02);
	CHECK_EQ(group_of(CGROUP).most, LIMIT);
	late = object_of(FIRST, LATE, NOISE);
	CHECK_EQ(page_out_some(late, LATE), 0);
	CHECK_EQ(SINCE(before, pages_over_share), 0);
	CHECK(!group_of(FIRST).listed);
	/* When shares are back nobody has less, and who has too much gets nothing of what he gives back. */
	parameter_set("share", SHARE_DEFAULT);
	CHECK_PART(group_of(CGROUP).memory, 0.93, 1.02);
	MUST(!object_punch(greedy, 0, 400 * PAGE));
	CHECK_EQ(page_out_some(late, FEW), FEW);
	close(late);
	close(greedy);
	for (const char *const *bad = (const char *[]){"1", "1025", "-1", "all", NULL}; *bad; bad++)
		CHECK(!write_text(PARAMETERS "share", *bad));
	CHECK_EQ(read_number(PARAMETERS "share", ""), atoi(SHARE_DEFAULT));
	remove_cgroups(dying);
	check_returned(before);
}

/* Who has all compressed anew asks for nothing more for anybody: whoever has his share keeps what is out. */
static void a_drain_asks_for_no_share(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	unsigned long slots;
	struct counts then;
	char page[PAGE], expected[PAGE];
	int greedy;

	make_cgroups();
	greedy = object_of(CGROUP, GREEDY, NOISE);
	page_out_some(greedy, GREEDY);
	CHECK_EQ(page_out_some(greedy, GREEDY), 0); /* over the share */
	slots = group_of(CGROUP).slots;
	then = counts_now();
	parameter_set("compressor", "lzo");
	CHECK_EQ(read_number(PARAMETERS "leaving", ""), 0);
	CHECK_EQ(SINCE(then, drain_visits), 1);
	CHECK_EQ(SINCE(then, pages_brought_in), 0);
	CHECK_EQ(SINCE(then, pages_over_share), 0);
	CHECK_EQ(group_of(CGROUP).slots, slots);
	for (uint64_t i = 0; i < GREEDY; i += 50) {
		MUST(pread(greedy, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
		fill(expected, i, NOISE);
		CHECK(!memcmp(page, expected, PAGE));
	}
	parameter_set("compressor", "lzo-rle");
	close(greedy);
	remove_cgroups(dying);
	check_returned(before);
}

/* --- a cgroup that is removed --- */
static void of_a_removed_cgroup(void)
{
	enum { PAGES = 300, OUT = 200 };
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	unsigned long id;
	struct group was, is;
	int fd, resident;
	char page[PAGE], expected[PAGE];

	make_cgroups();
	id = id_of(FIRST);
	fd = object_of(FIRST, PAGES, NOISE);
	resident = object_of(SECOND, PAGES, NOISE);
	CHECK_EQ(page_out_some(fd, OUT), OUT);
	was = group_of(FIRST);
	MUST(!rmdir(FIRST) && !rmdir(SECOND));
	check_removed_go(dying); /* a slot does not keep it */
	is = group_with(id);
	CHECK(is.listed && !*is.path);
	CHECK_EQ(is.slots, OUT);
	CHECK_EQ(is.memory, was.memory);
	CHECK_EQ(group_of(PARENT).slots, OUT);
	/* The rest of its pages go where the others are, and those of one that had nothing there are the parent's. */
	CHECK_EQ(page_out_some(fd, PAGES), PAGES - OUT);
	CHECK_EQ(group_with(id).slots, PAGES);
	CHECK_EQ(page_out_some(resident, PAGES), PAGES);
	CHECK_EQ(group_of(PARENT).slots, 2 * PAGES);
	/* One of the same name is another. */
	make_cgroup(FIRST);
	make_cgroup(SECOND);
	CHECK(!group_of(FIRST).listed);
	for (uint64_t i = 0; i < PAGES; i++) {
		MUST(pread(fd, page, PAGE, (off_t)(i * PAGE)) == (ssize_t)PAGE);
		fill(expected, i, NOISE);
		CHECK(!memcmp(page, expected, PAGE));
	}
	CHECK_EQ(group_with(id).slots, PAGES);
	close(fd);
	CHECK(!group_with(id).listed);
	CHECK_EQ(group_of(PARENT).slots, PAGES);
	close(resident);
	CHECK(!group_of(PARENT).listed);
	remove_cgroups(dying);
	check_returned(before);
}

/* The kernel gives the list a page, and then twice as much, until it is enough. */
static void a_long_list(void)
{
	enum { MANY = 150 };
	const int many = debug_kernel() ? MANY / 2 : MANY;
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	char path[MANY][64];
	int fd[MANY];

	make_cgroups();
	for (int i = 0; i < many; i++) {
		snprintf(path[i], sizeof(path[i]), PARENT "/one-of-many-%d", i);
		make_cgroup(path[i]);
		fd[i] = object_of(path[i], 1, NOISE);
		CHECK_EQ(page_out_some(fd[i], 1), 1);
	}
	CHECK_EQ(group_of(PARENT).slots, many);
	for (int i = 0; i < many; i++) {
		CHECK_EQ(group_of(path[i]).slots, 1);
		close(fd[i]);
		MUST(!rmdir(path[i]));
	}
	remove_cgroups(dying);
	check_returned(before);
}

/* --- many that come and go at once --- */
enum { TASKS = 4, ROUNDS = 60, EACH = 24 };

static volatile unsigned int *rounds;

static void come_and_go(unsigned int task)
{
	char own[64], page[PAGE];

	snprintf(own, sizeof(own), PARENT "/task%u", task);
	for (unsigned int i = 0; i < fewer_if_debug(ROUNDS); i++) {
		struct cowmem_page_out out;
		char procs[96];
		int fd;

		/* In one of their own, or all in one whose last slot goes while others' first one comes. */
		make_cgroup(own);
		snprintf(procs, sizeof(procs), "%s/cgroup.procs", i % 2 ? own : FIRST);
		MUST(write_text(procs, "0"));
		fd = object_open();
		for (uint64_t n = 0; n < EACH; n++) {
			fill(page, n, n % 3 ? NOISE : 0);
			MUST(pwrite(fd, page, PAGE, (off_t)(n * PAGE)) == (ssize_t)PAGE);
		}
		MUST(!page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, EACH));
		CHECK_EQ(out.out + out.busy, EACH);
		MUST(write_text(SECOND "/cgroup.procs", "0"));
		MUST(!rmdir(own)); /* with slots, every other time */
		for (uint64_t n = 0; n < EACH; n += 5) {
			char expected[PAGE];

			MUST(pread(fd, page, PAGE, (off_t)(n * PAGE)) == (ssize_t)PAGE);
			fill(expected, n, n % 3 ? NOISE : 0);
			CHECK(!memcmp(page, expected, PAGE));
		}
		close(fd);
		rounds[task]++;
	}
}

static void many_come_and_go(void)
{
	const struct counts before = counts_now();
	const long dying = dying_cgroups();
	pid_t child[TASKS];
	unsigned int left = TASKS;

	rounds = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(rounds != MAP_FAILED);
	make_cgroups();
	limit_store(store_default_mib());
	for (unsigned int i = 0; i < TASKS; i++) {
		child[i] = fork();
		MUST(child[i] >= 0);
		if (!child[i]) {
			test_failed = false;
			come_and_go(i);
			_exit(test_failed);
		}
	}
	while (left) { /* who reads the list meanwhile finds lines, and no group twice */
		int status;
		const pid_t ended = waitpid(-1, &status, WNOHANG);

		MUST(ended >= 0);
		CHECK(!ended || !status);
		left -= ended > 0;
		group_with(id_of(FIRST));
		usleep(1000);
	}
	for (unsigned int i = 0; i < TASKS; i++)
		CHECK_EQ(rounds[i], fewer_if_debug(ROUNDS));
	munmap((void *)rounds, PAGE);
	remove_cgroups(dying);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"what a cgroup has is listed, and a slot takes 32 bytes", "", what_is_told},
		{"who comes first leaves something to who comes later", "",
	         who_comes_later_finds_some},
		{"two that want all have the same", "", two_have_the_same},
		{"among children of one, and with what is charged to none", "",
	         among_children_and_nobody},
		{"without shares the first one has it all", "", without_shares},
		{"who has all moved asks for no share", "R88", a_drain_asks_for_no_share},
		{"a cgroup is removed while it has slots", "", of_a_removed_cgroup},
		{"a list of many", "", a_long_list},
		{"many cgroups come and go at once", "", many_come_and_go},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
