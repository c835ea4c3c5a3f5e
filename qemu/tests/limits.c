// SPDX-License-Identifier: GPL-2.0
/*
 * When there is not enough memory: who is charged for what, what a memory cgroup's
 * limit does, and every allocation of every operation failing in its turn.
 */
#include "cgroup.h"
#include "counts.h"
#include "injection.h"
#include "parameters.h"
#include "relatives.h"
#include "store.h"
#include "walks.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/stat.h>

static long charged_bytes(void)
{
	return read_number(CGROUP "/memory.current", "");
}

/* --- charging --- */

/* The kernel charges ahead, by some pages for each CPU. */
#define CHECK_CHARGED(pages)                                                                \
	do {                                                                                \
		long charged_ = charged_bytes() - base, expected_ = (pages) * PAGE;         \
		if (charged_ < expected_ - SLACK || charged_ > expected_ + SLACK) {         \
			test_failed = true;                                                 \
			ksft_print_msg("%s:%d: charged %ld KiB, not about %ld\n", __FILE__, \
			               __LINE__, charged_ >> 10, expected_ >> 10);          \
		}                                                                           \
	} while (0)

static void touch(volatile unsigned char *map, unsigned int pages, bool write)
{
	for (unsigned int i = 0; i < pages; i++)
		if (write)
			map[i * PAGE] = 0xEE;
		else
			(void)map[i * PAGE];
}

static void charge_and_uncharge(void)
{
	enum { N = 1024, SLACK = 1 << 20 };
	const long base = charged_bytes();
	int fd = object_open();
	unsigned char *maps[2], page[PAGE];
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < N; i++) {
		fill_page(page, i, 1);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	CHECK_CHARGED(N);
	for (int i = 0; i < 2; i++) {
		maps[i] = object_map(fd, N * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
		touch(maps[i], N, i);
		CHECK_CHARGED(N); /* mapped is not charged again */
	}
	munmap(maps[0], N * PAGE);
	munmap(maps[1], N * PAGE);
	CHECK_CHARGED(N);

	for (uint32_t cow = COWMEM_COW_HANDLER; cow <= COWMEM_COW_CORE; cow++) {
		MUST(!object_set_cow(fd, cow));
		maps[cow] = object_map(fd, N * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
		touch(maps[cow], N, true);
		CHECK_CHARGED((2 + cow) * N);
	}
	CHECK(!object_punch(fd, 0, N * PAGE)); /* a reference left on a source keeps its charge */
	CHECK_CHARGED(2 * N);
	for (unsigned int i = 0; i < N; i++) {
		fill_page(page, i, 1);
		page[0] = 0xEE;
		wrong += !!memcmp(maps[COWMEM_COW_HANDLER] + i * PAGE, page, PAGE);
		wrong += !!memcmp(maps[COWMEM_COW_CORE] + i * PAGE, page, PAGE);
	}
	CHECK_EQ(wrong, 0);
	munmap(maps[0], N * PAGE);
	CHECK_CHARGED(N);
	munmap(maps[1], N * PAGE);
	CHECK_CHARGED(0);
	touch(maps[0] = object_map(fd, N * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), N, true);
	CHECK_CHARGED(N);
	munmap(maps[0], N * PAGE);
	close(fd);
	CHECK_CHARGED(0);
}

static void pages_are_charged_once(void)
{
	const long dying = dying_cgroups();
	const struct counts before = counts_now();

	CHECK_EQ(run_in_cgroup("max", charge_and_uncharge), 0);
	CHECK(SINCE(before, done_cow) > 0);
	CHECK(SINCE(before, page_returned) > 0);
	check_cgroup_goes(dying);
	check_returned(before);
}

/* --- the limit --- */
enum { GREEDY_PAGES = 2048 };
#define LIMIT "4194304" /* bytes: half of them */

static int greedy_fd;

static void greedy_shared_writer(void)
{
	unsigned char *map =
		object_map(greedy_fd, GREEDY_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	for (unsigned int i = 0; i < GREEDY_PAGES; i++)
		fill_page(map + i * PAGE, i + 1, 1);
}

static void greedy_private_writer(void)
{
	unsigned char *map =
		object_map(greedy_fd, GREEDY_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);

	touch(map, GREEDY_PAGES, true);
}

static void greedy_pwriter(void)
{
	unsigned char page[PAGE];

	for (unsigned int i = 0; i < GREEDY_PAGES; i++) {
		fill_page(page, i + 1, 1);
		if (pwrite(greedy_fd, page, PAGE, i * PAGE) != (ssize_t)PAGE)
			_exit(errno);
	}
}

/*
 * What was written before the end is there, nothing else, and nothing is lost for good.
 * Where pages go out there is no end. A debug kernel takes minutes to find that none can.
 */
static void exceed_limit(void (*body)(void), bool private)
{
	const bool goes_out = !access(FAIL_NTH, W_OK);
	const long dying = dying_cgroups();
	const struct counts before = counts_now();
	struct cowmem_store_limit nothing = {.size = sizeof(nothing), .max_slots = 0};
	unsigned char page[PAGE], zeroes[PAGE] = {0};
	unsigned int whole = 0, wrong = 0;
	int status;

	greedy_fd = object_open();
	if (!goes_out)
		MUST(!ioctl(greedy_fd, COWMEM_IOC_STORE_LIMIT, &nothing));
	MUST(!object_resize(greedy_fd, GREEDY_PAGES * PAGE));
	if (private)
		for (unsigned int i = 0; i < GREEDY_PAGES; i++) {
			fill_page(page, i + 1, 1);
			MUST(pwrite(greedy_fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
		}
	status = run_in_cgroup(LIMIT, body);
	if (WIFSIGNALED(status)) {
		CHECK_EQ(WTERMSIG(status), SIGKILL);
		CHECK(read_number(CGROUP "/memory.events", "oom_kill ") >= 1);
	} else {
		CHECK_EQ(WEXITSTATUS(status), goes_out ? 0 : ENOMEM);
	}

	while (whole < GREEDY_PAGES &&
	       pread(greedy_fd, page, PAGE, whole * PAGE) == (ssize_t)PAGE &&
	       page_is(page, whole + 1, 1))
		whole++;
	CHECK(private || goes_out ? whole == GREEDY_PAGES : whole > 0 && whole < GREEDY_PAGES);
	CHECK(goes_out || object_stat(greedy_fd).resident_pages - whole <= 1);
	for (unsigned int i = whole + 1; i < GREEDY_PAGES; i++)
		wrong += pread(greedy_fd, page, PAGE, i * PAGE) != (ssize_t)PAGE ||
		         memcmp(page, zeroes, PAGE);
	CHECK_EQ(wrong, 0);
	ksft_print_msg("%u pages written, %lu faults without memory\n", whole,
	               SINCE(before, no_memory));

	CHECK(!object_resize(greedy_fd, 0));
	CHECK_EQ(object_stat(greedy_fd).resident_pages, 0);
	close(greedy_fd);
	check_cgroup_goes(dying);
	check_returned(before);
}

static void limit_under_shared_writes(void)
{
	exceed_limit(greedy_shared_writer, false);
}

static void limit_under_private_writes(void)
{
	exceed_limit(greedy_private_writer, true);
}

static void limit_under_write(void)
{
	exceed_limit(greedy_pwriter, false);
}

/*
 * What each attempt starts with: an object of DATA pages and as many of holes, and
 * a mapping of it whose page table does not exist yet.
 */
enum { DATA = 4, ALL = 8, TABLE = 512 };

struct attempt {
	int fd, clone; /* if there is one */
	unsigned char *map;
	unsigned char *reserved;
};

/* Whether a call was done; if it was not, that must be for @error. */
#define CHECK_DONE_OR(call, error)              \
	({                                      \
		const bool done_ = (call) >= 0; \
		if (!done_)                     \
			CHECK_EQ(errno, error); \
		done_;                          \
	})

struct operation {
	const char *name;
	bool (*run)(struct attempt *); /* false and errno: it failed */
	int flags;                     /* of the mapping, or 0 for none */
	uint32_t cow;
	bool no_memory;    /* a fault of it can find none */
	bool fails;        /* the call can */
	unsigned int page; /* that it works on; the others stay as they were */
	/* What the page is afterwards, in the object and in the mapping. */
	unsigned char object_byte, map_byte;
};

static const struct operation *operation;
static bool starts_out; /* its data is in the store at first */

static unsigned char byte_at_start(unsigned int page)
{
	return page < DATA ? 0x11 + page : 0;
}

/* The last byte of a page is another, so that it is not one repeated word. */
static unsigned char last_byte(unsigned char rest)
{
	return rest ? ~rest : 0;
}

static bool store_byte(struct attempt *a)
{
	((volatile unsigned char *)a->map)[operation->page * PAGE] = operation->map_byte;
	return true;
}

static bool load_byte(struct attempt *a)
{
	(void)((volatile unsigned char *)a->map)[operation->page * PAGE];
	return true;
}

static bool load_then_store(struct attempt *a)
{
	return load_byte(a) && store_byte(a);
}

static bool open_another(struct attempt *a)
{
	int fd = open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC);

	(void)a;
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

static bool map_another(struct attempt *a)
{
	void *map = mmap(NULL, ALL * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, a->fd, 0);

	if (map == MAP_FAILED)
		return false;
	((volatile unsigned char *)map)[0] = 1;
	if (munmap(map, ALL * PAGE)) /* the kernel finds no memory for that */
		MUST(errno == ENOMEM && !munmap(map, ALL * PAGE));
	return true;
}

static bool write_byte(struct attempt *a)
{
	return pwrite(a->fd, &operation->object_byte, 1, operation->page * PAGE) == 1;
}

static bool read_byte(struct attempt *a)
{
	unsigned char byte;

	return pread(a->fd, &byte, 1, operation->page * PAGE) == 1;
}

/* Who maps page 0, which nobody does, in a buffer that the kernel has to make. */
static bool ask_who(struct attempt *a)
{
	struct cowmem_mapping found[4];
	struct cowmem_rmap rmap;

	return CHECK_DONE_OR(rmap_ask(a->fd, &rmap, 0, 0, 1, found, ARRAY_LENGTH(found)), ENOMEM);
}

static bool ask_states(struct attempt *a)
{
	struct cowmem_page pages[ALL];

	return !pagemap_ask(a->fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, ALL, pages);
}

/* To the one node and to the other: at least one of these takes memory. */
static bool move_twice(struct attempt *a)
{
	struct cowmem_move move;

	for (uint32_t node = 0; node < 2; node++)
		if (!CHECK_DONE_OR(move_ask(a->fd, &move, 0, ALL, node), ENOMEM))
			return false;
	return true;
}

/* Where the page index has no node yet, then away with it again. */
static bool write_far_away(struct attempt *a)
{
	const off_t far = 1L << 32;

	if (pwrite(a->fd, "x", 1, far) != 1)
		return false;
	return !object_punch(a->fd, far, PAGE);
}

static bool punch_page(struct attempt *a)
{
	return !object_punch(a->fd, operation->page * PAGE, PAGE);
}

static bool take_snapshot(struct attempt *a)
{
	int then;

	if (!CHECK_DONE_OR(then = relative(a->fd, COWMEM_IOC_SNAPSHOT), ENOMEM))
		return false;
	close(then);
	return true;
}

/* Of this and another object. */
static bool take_set(struct attempt *a)
{
	int fd[2] = {a->fd, open(COWMEM_DEVICE, O_RDWR | O_CLOEXEC)}, then[2];
	bool done;

	if (fd[1] < 0)
		return false;
	done = CHECK_DONE_OR(snapshot_set(fd[1], fd, then, 2), ENOMEM);
	for (int i = 0; i < 2 && done; i++)
		close(then[i]);
	close(fd[1]);
	return done;
}

static bool create_file(struct attempt *a)
{
	int made;

	if (!CHECK_DONE_OR(made = object_create(a->fd, "name"), ENOMEM))
		return false;
	close(made);
	return true;
}

static bool make_file(struct attempt *a)
{
	int made;

	if (!CHECK_DONE_OR(made = object_file(a->fd), ENOMEM))
		return false;
	close(made);
	return true;
}

/* Of two pages behind the end. */
static bool allocate_more(struct attempt *a)
{
	int made = object_file(a->fd);
	/* ftruncate() has it grow. */
	const bool done = made >= 0 && !ftruncate(made, ALL * PAGE) &&
	                  !fallocate(made, 0, ALL * PAGE, 2 * PAGE);

	if (made >= 0)
		close(made);
	if (done)
		return !object_resize(a->fd, ALL * PAGE);
	CHECK_EQ(object_stat(a->fd).bytes, ALL * PAGE);
	return false;
}

static bool take_clone(struct attempt *a)
{
	int clone;

	if (!CHECK_DONE_OR(clone = relative(a->fd, COWMEM_IOC_CLONE), ENOMEM))
		return false;
	close(clone);
	return true;
}

static bool take_clone_of_range(struct attempt *a)
{
	int clone;

	if (!CHECK_DONE_OR(clone = clone_range(a->fd, PAGE, PAGE), ENOMEM))
		return false;
	CHECK_EQ(lseek(clone, 0, SEEK_DATA), PAGE);
	CHECK_EQ(lseek(clone, PAGE, SEEK_HOLE), 2 * PAGE);
	close(clone);
	return true;
}

static bool resize_to_same(struct attempt *a)
{
	return !object_resize(a->fd, ALL * PAGE);
}

/* Every page that is there is told of once: it is out, or why it is not. */
static bool page_out_everything(struct attempt *a)
{
	struct cowmem_page_out out;
	const uint64_t pages = object_stat(a->fd).resident_pages;

	errno = -page_out_ask(a->fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, ALL);
	if (errno)
		return false;
	CHECK_EQ(out.out + out.no_memory + out.busy + out.incompressible, pages);
	CHECK_EQ(out.incompressible + out.full + out.locked + out.poisoned, 0);
	CHECK_EQ(object_stat(a->fd).resident_pages, pages - out.out);
	return true;
}

static bool bring_everything_in(struct attempt *a)
{
	return CHECK_DONE_OR(prefetch_ask(a->fd, 0, ALL), ENOMEM);
}

/* Cuts the last byte of the data, whose page has to be there for that; then it is as before. */
static bool cut_a_page(struct attempt *a)
{
	const unsigned char last = last_byte(byte_at_start(DATA - 1));
	const off_t end = DATA * PAGE - 1;

	if (!CHECK_DONE_OR(object_resize(a->fd, end), ENOMEM))
		return false;
	MUST(!object_resize(a->fd, ALL * PAGE));
	return pwrite(a->fd, &last, 1, end) == 1;
}

/* With a clone that has written a page, which has to be read here to tell whether it differs. */
static bool compare(struct attempt *a)
{
	struct cowmem_changed changed;
	struct cowmem_diff diff;

	if (!CHECK_DONE_OR(diff_ask(a->fd, a->clone, &diff, 0, ALL, &changed, 1), ENOMEM))
		return false;
	CHECK_EQ(diff.count, 1);
	CHECK_EQ(changed.offset, PAGE);
	CHECK_EQ(changed.length, PAGE);
	return true;
}

static struct attempt begin(void)
{
	struct attempt a = {.fd = object_open()};
	unsigned char page[PAGE];
	uintptr_t aligned;

	for (unsigned int i = 0; i < DATA; i++) {
		memset(page, byte_at_start(i), PAGE);
		page[PAGE - 1] = last_byte(byte_at_start(i));
		MUST(pwrite(a.fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	MUST(!object_set_cow(a.fd, operation->cow));
	if (starts_out)
		MUST(page_out_all(a.fd, DATA) == DATA);
	a.clone = operation->run == compare ? clone_of(a.fd) : -1;
	if (a.clone >= 0)
		MUST(pwrite(a.clone, "x", 1, PAGE) == 1);
	/* In the middle of nowhere: no other mapping shares its page table. */
	a.reserved = mmap(NULL, 3 * TABLE * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	MUST(a.reserved != MAP_FAILED);
	aligned = ((uintptr_t)a.reserved + TABLE * PAGE - 1) & ~(TABLE * PAGE - 1);
	if (operation->flags) {
		a.map = mmap((void *)aligned, ALL * PAGE, PROT_READ | PROT_WRITE,
		             operation->flags | MAP_FIXED, a.fd, 0);
		MUST(a.map == (void *)aligned);
	} else {
		MUST(!object_resize(a.fd, ALL * PAGE));
		a.map = NULL;
	}
	return a;
}

static void end(struct attempt *a)
{
	munmap(a->reserved, 3 * TABLE * PAGE);
	if (a->clone >= 0)
		close(a->clone);
	close(a->fd);
}

static bool page_reads(const unsigned char *page, unsigned char first, unsigned char rest)
{
	if (page[0] != first)
		return false;
	for (size_t i = 1; i < PAGE - 1; i++)
		if (page[i] != rest)
			return false;
	return page[PAGE - 1] == last_byte(rest);
}

/* The object, and what is mapped of it, with the operation done or not. */
static void check_contents(const struct attempt *a, bool done)
{
	unsigned char page[PAGE];

	for (unsigned int i = 0; i < ALL; i++) {
		const bool mine = done && i == operation->page;
		const unsigned char was = byte_at_start(i);
		const unsigned char rest = mine && operation->run == punch_page ? 0 : was;

		CHECK_EQ(pread(a->fd, page, PAGE, i * PAGE), PAGE);
		CHECK(page_reads(page, mine ? operation->object_byte : was, rest));
		if (a->map)
			CHECK(page_reads(a->map + i * PAGE, mine ? operation->map_byte : was,
			                 rest));
	}
}

/* Returns whether the failure came before the operation's end. */
static bool try_with_failure(unsigned int n, unsigned int *failures, unsigned long *no_memory)
{
	const struct counts before = counts_now();
	struct attempt a = begin();
	bool done, injected;
	int error;

	arm(n);
	done = operation->run(&a);
	error = errno;
	injected = disarm();

	*no_memory += SINCE(before, no_memory);
	CHECK(SINCE(before, no_memory) <= injected);
	if (!done) {
		CHECK(injected);
		CHECK_EQ(error, ENOMEM);
		(*failures)++;
	}
	CHECK(done || !operation->flags || operation->run == write_far_away);
	check_contents(&a, done);
	CHECK(operation->run(&a)); /* no lock is held, and it works now */
	check_contents(&a, true);
	end(&a);
	check_returned(before);
	return injected;
}

static const struct operation *operations, *operations_end;

/* Whether faults are first tried without locks: one that finds no memory is tried again then. */
static bool speculating;

static void fail_each_allocation_of(const struct operation *which)
{
	enum { MAX = 300, SWEEPS = 5 };
	unsigned int failures = 0, allocations = 0;
	unsigned long no_memory = 0;

	operation = which;
	/* A slab that needs a page now and then makes a sweep miss one allocation. */
	for (int sweep = 0; sweep < SWEEPS && !test_failed; sweep++) {
		unsigned int n = 1;

		while (!test_failed && n < MAX && try_with_failure(n, &failures, &no_memory))
			n++;
		CHECK(n < MAX);
		allocations += n - 1;
		if ((speculating || !!no_memory == which->no_memory) && !!failures == which->fails)
			break;
	}
	ksft_print_msg("%s%s: %u failed allocations; %u calls failed, %lu faults without memory\n",
	               which->name, speculating ? ", speculating" : "", allocations, failures,
	               no_memory);
	/* The module's own allocations were among them. */
	if (!speculating)
		CHECK_EQ(no_memory > 0, which->no_memory);
	CHECK_EQ(failures > 0, which->fails);
}

static void fail_each_allocation(void)
{
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	MUST(fail_nth >= 0);
	for (int on = 0; on < 2; on++) {
		speculating = on;
		set_speculation(on);
		for (const struct operation *o = operations; o < operations_end; o++)
			fail_each_allocation_of(o);
	}
	close(fail_nth);
}

static void inject(const struct operation *first, size_t count)
{
	long dying;

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	dying = dying_cgroups();
	operations = first;
	operations_end = first + count;
	set_all(injection, ARRAY_LENGTH(injection));
	CHECK_EQ(run_in_cgroup("max", fail_each_allocation), 0);
	restore_all(injection, ARRAY_LENGTH(injection));
	check_cgroup_goes(dying);
}

/*
 * Page 1 is data, page 6 is a hole. (Where the handler copies, it allocates nothing
 * itself, and the core has made the page table ready.)
 */
static void failing_private_writes(void)
{
	static const struct operation operations[] = {
		{"private write, handler", store_byte, MAP_PRIVATE, COWMEM_COW_HANDLER, false,
	         false, 1, 0x12, 0xEE},
		{"private write to hole, handler", store_byte, MAP_PRIVATE, COWMEM_COW_HANDLER,
	         false, false, 6, 0, 0xEE},
		{"private write, core", store_byte, MAP_PRIVATE, COWMEM_COW_CORE, false, false, 1,
	         0x12, 0xEE},
		{"private write to hole, core", store_byte, MAP_PRIVATE, COWMEM_COW_CORE, true,
	         false, 6, 0, 0xEE},
		{"private read and write", load_then_store, MAP_PRIVATE, COWMEM_COW_HANDLER, true,
	         false, 6, 0, 0xEE},
	};

	inject(operations, ARRAY_LENGTH(operations));
}

static void failing_shared_faults(void)
{
	static const struct operation operations[] = {
		{"read of hole", load_byte, MAP_SHARED, 0, true, false, 6, 0, 0},
		{"shared write to hole", store_byte, MAP_SHARED, 0, true, false, 6, 0xEE, 0xEE},
		{"read and shared write", load_then_store, MAP_SHARED, 0, true, false, 6, 0xEE,
	         0xEE},
	};

	inject(operations, ARRAY_LENGTH(operations));
}

static void failing_calls(void)
{
	static const struct operation operations[] = {
		{"open", open_another, 0, 0, false, true, ALL, 0, 0},
		{"CREATE", create_file, 0, 0, false, true, ALL, 0, 0},
		{"FILE", make_file, 0, 0, false, true, ALL, 0, 0},
		{"fallocate", allocate_more, 0, 0, false, true, ALL, 0, 0},
		{"mmap and first write", map_another, 0, 0, false, true, ALL, 0, 0},
		{"write", write_byte, 0, 0, false, false, 1, 0xEE, 0},
		{"write to hole", write_byte, 0, 0, false, true, 6, 0xEE, 0},
		{"write far away", write_far_away, MAP_SHARED, 0, false, true, ALL, 0, 0},
		{"read", read_byte, 0, 0, false, false, 6, 0, 0},
		{"punch", punch_page, MAP_SHARED, 0, false, false, 1, 0, 0},
		{"resize", resize_to_same, MAP_SHARED, 0, false, false, ALL, 0, 0},
		{"SNAPSHOT", take_snapshot, 0, 0, false, true, ALL, 0, 0},
		{"SNAPSHOT_SET", take_set, 0, 0, false, true, ALL, 0, 0},
		{"CLONE", take_clone, 0, 0, false, true, ALL, 0, 0},
		{"CLONE of a range", take_clone_of_range, 0, 0, false, true, ALL, 0, 0},
		{"RMAP", ask_who, 0, 0, false, true, ALL, 0, 0},
		{"PAGEMAP", ask_states, 0, 0, false, false, ALL, 0, 0},
		{"MOVE", move_twice, 0, 0, false, true, ALL, 0, 0},
	};

	inject(operations, ARRAY_LENGTH(operations));
}

/* Out to the store, and back by each way. What is out loses its slot to a write only. */
static void failing_page_outs(void)
{
	static const struct operation out[] = {
		{"PAGE_OUT", page_out_everything, 0, 0, false, false, ALL, 0, 0},
		{"PAGE_OUT of mapped pages", page_out_everything, MAP_SHARED, 0, false, false, ALL,
	         0, 0},
	};
	static const struct operation in[] = {
		{"PREFETCH", bring_everything_in, 0, 0, false, true, ALL, 0, 0},
		{"RESIZE within what is out", cut_a_page, 0, 0, false, true, ALL, 0, 0},
		{"DIFF of what is out", compare, 0, 0, false, true, ALL, 0, 0},
		{"read of what is out", read_byte, 0, 0, false, true, 1, 0x12, 0},
		{"write to what is out", write_byte, 0, 0, false, true, 1, 0xEE, 0},
		{"read fault of what is out", load_byte, MAP_SHARED, 0, true, false, 1, 0x12, 0x12},
		{"write fault of what is out", store_byte, MAP_SHARED, 0, true, false, 1, 0xEE,
	         0xEE},
		{"private write of what is out", store_byte, MAP_PRIVATE, COWMEM_COW_HANDLER, false,
	         false, 1, 0x12, 0xEE},
		{"private write of what is out, core", store_byte, MAP_PRIVATE, COWMEM_COW_CORE,
	         true, false, 1, 0x12, 0xEE},
	};

	inject(out, ARRAY_LENGTH(out));
	starts_out = true;
	inject(in, ARRAY_LENGTH(in));
	starts_out = false;
}

/* --- no more files --- */
/* No file is to be had any more in the system, or in the process: told apart, and nothing is left. */
static void no_more_files(void)
{
	struct counts before = counts_now();
	struct cowmem_snapshot arg = {.size = sizeof(arg)};
	struct setting files[] = {{.path = "/proc/sys/fs/file-max", .wanted = "0"}};
	const struct rlimit none = {0, 0};
	int fd = object_open(), made, status;
	pid_t child;

	set_all(files, 1);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		MUST(!setuid(1000));
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &arg), ENFILE);
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &arg), ENFILE);
		CHECK_ERRNO(snapshot_set(fd, &fd, &made, 1), ENFILE);
		CHECK_ERRNO(object_create(fd, NULL), ENFILE);
		CHECK_ERRNO(object_file(fd), ENFILE);
		MUST(!setrlimit(RLIMIT_NOFILE, &none));
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &arg), EMFILE);
		CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &arg), EMFILE);
		CHECK_ERRNO(snapshot_set(fd, &fd, &made, 1), EMFILE);
		CHECK_ERRNO(object_create(fd, NULL), EMFILE);
		CHECK_ERRNO(object_file(fd), EMFILE);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	restore_all(files, 1);
	CHECK_EQ(status, 0);
	close(fd);
	check_returned(before);
}

/* --- PUNCH of what a snapshot has finds no memory to hide it --- */
/* Fails the @n-th allocation of a PUNCH of @clone's pages 1 to 6: whether there was one. */
static bool punch_with_failure(int clone, unsigned int n, unsigned int *failed)
{
	struct cowmem_punch punch = {.size = sizeof(punch), .offset = PAGE, .length = 6 * PAGE};

	arm(n);
	if (!CHECK_DONE_OR(ioctl(clone, COWMEM_IOC_PUNCH, &punch), ENOMEM)) {
		CHECK_EQ(punch.next, PAGE);
		(*failed)++;
	}
	return disarm();
}

/* The same in a RESTORE of pages 1 to 6 to @then. */
static bool restore_with_failure(int clone, int then, unsigned int n, unsigned int *failed)
{
	uint64_t next;

	arm(n);
	if (!CHECK_DONE_OR(restore_range(clone, then, PAGE, 6 * PAGE, &next), ENOMEM)) {
		CHECK_EQ(next, PAGE);
		(*failed)++;
	}
	return disarm();
}

/* Either leaves all as it was, or does all of it: to a clone of what has 1 to 8 on its pages. */
static void failing_on_a_range(bool restores)
{
	static struct setting settings[] = {
		{.path = DEBUG "failslab/verbose", .wanted = "0"},
		{.path = DEBUG "failslab/ignore-gfp-wait", .wanted = "N"},
		{.path = DEBUG "fail_page_alloc/verbose", .wanted = "0"},
		{.path = DEBUG "fail_page_alloc/ignore-gfp-wait", .wanted = "N"},
	};
	struct counts before;
	unsigned char page[PAGE], wanted[PAGE];
	unsigned int failed = 0, n;
	bool more = true;
	int fd, clone, then;

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	MUST(fail_nth >= 0);
	before = counts_now();
	fd = object_open();
	for (unsigned int i = 0; i < 8; i++) {
		memset(page, 1 + i, PAGE);
		MUST(pwrite(fd, page, PAGE, i * PAGE) == (ssize_t)PAGE);
	}
	then = snapshot(fd);
	for (unsigned int i = 0; i < 8 && restores; i++)
		MUST(!object_punch(fd, i * PAGE, PAGE));
	set_all(settings, ARRAY_LENGTH(settings));
	for (n = 1; more && n < 100; n++) {
		const unsigned int failed_before = failed;

		clone = clone_of(fd);
		more = restores ? restore_with_failure(clone, then, n, &failed)
		                : punch_with_failure(clone, n, &failed);
		for (unsigned int i = 0; i < 8; i++) {
			const bool done = i > 0 && i < 7 && failed == failed_before;

			memset(wanted, done == restores ? 1 + i : 0, PAGE);
			CHECK(pread(clone, page, PAGE, i * PAGE) == (ssize_t)PAGE &&
			      !memcmp(page, wanted, PAGE));
		}
		CHECK(layers_are_sound(clone));
		close(clone);
	}
	restore_all(settings, ARRAY_LENGTH(settings));
	ksft_print_msg("%u allocations, of which %u failed the call\n", n - 1, failed);
	/* One that may not sleep is tried again: a single one that fails fails no call. */
	CHECK(n > 2 && !more && !failed);
	close(fail_nth);
	close(then);
	close(fd);
	check_returned(before);
}

static void failing_punch(void)
{
	failing_on_a_range(false);
}

static void failing_restore(void)
{
	failing_on_a_range(true);
}

/* --- fork() finds no memory --- */

/* What a process that forks has of an object of DATA pages: each page is mapped by all four. */
enum { SHARED, SHARED_AGAIN, COPIED, COPIED_A_PAGE, MAPPINGS };

struct forking {
	int fd;
	unsigned char *map[MAPPINGS];
};

/* Entries that map the object's pages, or the private copies of COPIED, and what it took to find them. */
struct links {
	unsigned int count;
	uint64_t hidden, probes;
};

static struct links links_of(const struct forking *f, uint32_t flags)
{
	struct cowmem_mapping found[4 * MAPPINGS * DATA];
	struct cowmem_rmap rmap;
	const uint64_t at = flags & COWMEM_RMAP_OF_COPIES ? (uintptr_t)f->map[COPIED] : 0;

	MUST(!rmap_ask(f->fd, &rmap, flags, at, DATA, found, ARRAY_LENGTH(found)));
	CHECK_EQ(rmap.next, at + DATA * PAGE);
	return (struct links){rmap.count, rmap.hidden, rmap.probes};
}

#define CHECK_SAME_LINKS(a, b)                    \
	do {                                      \
		CHECK_EQ((a).count, (b).count);   \
		CHECK_EQ((a).hidden, (b).hidden); \
		CHECK_EQ((a).probes, (b).probes); \
	} while (0)

static unsigned char copied_byte(unsigned int page)
{
	return 0x81 + page;
}

static struct forking begin_forking(void)
{
	struct forking f = {.fd = object_open()};

	for (unsigned int i = 0; i < MAPPINGS; i++)
		f.map[i] = object_map(f.fd, DATA * PAGE, PROT_READ | PROT_WRITE,
		                      i < COPIED ? MAP_SHARED : MAP_PRIVATE);
	for (unsigned int page = 0; page < DATA; page++) {
		f.map[SHARED][page * PAGE] = byte_at_start(page);
		f.map[COPIED][page * PAGE] = copied_byte(page);
	}
	f.map[COPIED_A_PAGE][0] = copied_byte(0);
	for (unsigned int i = 0; i < MAPPINGS; i++)
		touch(f.map[i], DATA, false);
	return f;
}

/* What each mapping has, in whichever process; and all of it is mapped then. */
static void check_forked(const struct forking *f)
{
	for (unsigned int page = 0; page < DATA; page++)
		for (unsigned int i = 0; i < MAPPINGS; i++) {
			const bool copied = i == COPIED || (i == COPIED_A_PAGE && !page);

			CHECK_EQ(f->map[i][page * PAGE],
			         copied ? copied_byte(page) : byte_at_start(page));
		}
}

/* In the child: whatever its parent has is linked to it, too, and what it writes is its own. */
static void be_forked(const struct forking *f, struct links pages, struct links copies)
{
	struct links now;

	check_forked(f);
	now = links_of(f, 0);
	CHECK_EQ(now.count, 2 * pages.count);
	CHECK_EQ(now.probes, 2 * pages.probes);
	CHECK_EQ(links_of(f, COWMEM_RMAP_OF_COPIES).count, 2 * copies.count);
	for (unsigned int page = 0; page < DATA; page++)
		f->map[COPIED][page * PAGE + 1]++;
	CHECK_EQ(links_of(f, COWMEM_RMAP_OF_COPIES).count, copies.count);
}

/*
 * glibc has told the kernel of memory of the thread's own (rseq), which that writes whenever it
 * has let another run. fork() leaves that memory to be copied by who writes it; with the failure
 * still to come, since fork() itself did not come so far, that copy is what fails, and the kernel
 * ends with SIGSEGV who cannot be told.
 */
static void do_without_rseq(void)
{
	char *area = (char *)__builtin_thread_pointer() + __rseq_offset;

	if (__rseq_size)
		MUST(!syscall(SYS_rseq, area, sizeof(struct rseq), RSEQ_FLAG_UNREGISTER, RSEQ_SIG));
}

/* Forks with the @n-th allocation failing: whether that came. */
static bool fork_with_failure(const struct forking *f, unsigned int n, unsigned int *failed)
{
	const struct links pages = links_of(f, 0), copies = links_of(f, COWMEM_RMAP_OF_COPIES);
	int status, error;
	bool injected;
	pid_t child;

	arm(n);
	child = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
	error = errno;
	if (!child) {
		test_failed = false;
		be_forked(f, pages, copies);
		_exit(test_failed);
	}
	injected = disarm();
	if (child < 0) {
		CHECK_EQ(error, ENOMEM);
		CHECK(injected);
		(*failed)++;
	} else {
		MUST(waitpid(child, &status, 0) == child);
		CHECK_EQ(status, 0);
	}
	CHECK_SAME_LINKS(links_of(f, 0), pages);
	CHECK_SAME_LINKS(links_of(f, COWMEM_RMAP_OF_COPIES), copies);
	check_forked(f);
	return injected;
}

static void fork_with_each_failure(void)
{
	enum { MAX = 1000 };
	struct forking f = begin_forking();
	unsigned int failed = 0, n = 1;

	do_without_rseq();
	while (!test_failed && n < MAX && fork_with_failure(&f, n, &failed))
		n++;
	ksft_print_msg("%u failed allocations, of which %u failed the call\n", n - 1, failed);
	CHECK(n < MAX);
	/* A VMA, an anon_vma and a link for each private mapping are among them. */
	CHECK(failed > MAPPINGS + 2 * 2);
	close(f.fd);
}

/* Has a process of its own do @body, in which allocations that are told to fail do. */
static void inject_into(void (*body)(void))
{
	struct counts before;
	int status;
	pid_t child;

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	before = counts_now();
	set_all(injection, ARRAY_LENGTH(injection));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
		MUST(fail_nth >= 0);
		body();
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	restore_all(injection, ARRAY_LENGTH(injection));
	CHECK_EQ(status, 0);
	check_returned(before);
}

static void failing_forks(void)
{
	inject_into(fork_with_each_failure);
}

/* --- PAGE_OUT finds none: nothing tells that it was tried --- */
static unsigned int least_refused = 2;

static void page_out_with_each_failure(void)
{
	enum { MAX = 100 };
	int fd = object_open();
	volatile unsigned char *page = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_page_out out;
	struct counts before;
	unsigned int n = 0, refused = 0;
	bool injected;
	int err;

	count_faults_exactly();
	do {
		page[1] = 1;
		arm(++n);
		err = page_out_ask(fd, &out, COWMEM_PAGE_OUT_ACCESSED, 0, 1);
		injected = disarm();
		CHECK_EQ(err, 0);
		CHECK_EQ(out.out + out.no_memory, 1);
		CHECK(injected || out.out);
		refused += (unsigned int)out.no_memory;
		before = counts_now();
		page[0] = (unsigned char)n;
		CHECK_EQ(SINCE(before, fault_shared_write), out.out);
		CHECK_EQ(SINCE(before, mkwrite), 0);
		MUST(!object_punch(fd, 0, PAGE));
	} while (injected && !test_failed && n < MAX);
	ksft_print_msg("%u failed allocations, for which the page stayed %u times\n", n - 1,
	               refused);
	/* The slot, and a handle; memory, too, and what describes that, where none of the store's has room. */
	CHECK(refused >= least_refused && n < MAX);
	munmap((void *)page, PAGE);
	close(fd);
}

static void what_is_not_paged_out_is_as_before(void)
{
	inject_into(page_out_with_each_failure);
}

/* Lines of the list of cgroups that have something in the store. */
static unsigned int lists_of_groups(void)
{
	FILE *file = fopen("/sys/kernel/debug/cowmem/cgroups", "re");
	unsigned int lines = 0;
	int c;

	MUST(file);
	while ((c = fgetc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

/*
 * The first slot of a cgroup takes an owner, a group, and places in tables, where these have none: without one of them nothing goes out,
 * to nobody's charge.
 */
static void in_a_cgroup_with_each_failure(void)
{
	MUST(write_text(CGROUP "/cgroup.procs", "0"));
	least_refused += 2;
	page_out_with_each_failure();
}

static void nor_by_whom_it_is_charged_to(void)
{
	const long dying = dying_cgroups();

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755));
	inject_into(in_a_cgroup_with_each_failure);
	CHECK_EQ(lists_of_groups(), 0);
	check_cgroup_goes(dying);
}

/* --- a mount finds no memory --- */

#define MOUNT "/tmp/limits"

static void failing_mount(void)
{
	static struct setting settings[] = {
		{.path = DEBUG "failslab/verbose", .wanted = "0"},
		{.path = DEBUG "failslab/ignore-gfp-wait", .wanted = "N"},
		{.path = DEBUG "fail_page_alloc/verbose", .wanted = "0"},
		{.path = DEBUG "fail_page_alloc/ignore-gfp-wait", .wanted = "N"},
	};
	unsigned int failed = 0, n;
	struct counts before;
	bool more = true;

	if (access(FAIL_NTH, W_OK))
		SKIP("this kernel has no fault injection");
	fail_nth = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	MUST(fail_nth >= 0);
	MUST(!mkdir(MOUNT, 0700));
	before = counts_now();
	set_all(settings, ARRAY_LENGTH(settings));
	for (n = 1; more && n < 300; n++) {
		int made, error;

		arm(n);
		made = mount("none", MOUNT, "cowmem", 0, "size=1M");
		error = errno;
		more = disarm();
		if (!made) {
			CHECK_EQ(umount(MOUNT), 0);
		} else {
			CHECK_EQ(error, ENOMEM);
			failed++;
		}
	}
	restore_all(settings, ARRAY_LENGTH(settings));
	ksft_print_msg("%u allocations, of which %u failed the call\n", n - 1, failed);
	CHECK(!more && failed > 0);
	close(fail_nth);
	MUST(!rmdir(MOUNT));
	check_returned(before);
}

/* --- room for one page, and two that fill it at once --- */
struct meeting {
	_Atomic unsigned int round, there, done;
};

static void store_in_each_round(struct meeting *meeting, volatile char *page, unsigned int rounds)
{
	use_all_cpus();
	for (unsigned int round = 1; round <= rounds; round++) {
		atomic_fetch_add(&meeting->there, 1);
		while (atomic_load(&meeting->round) < round)
			;
		*page = (char)round;
		atomic_fetch_add(&meeting->done, 1);
	}
	_exit(0);
}

/* The second child needs no room: the page is there, or just coming. */
static void one_page_for_two(void)
{
	const unsigned int rounds = fewer_if_debug(2000);
	struct meeting *meeting =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct counts before = counts_now();
	bool both = true;
	pid_t child[2];
	char *page;
	int fd;

	MUST(meeting != MAP_FAILED && !mkdir(MOUNT, 0700));
	MUST(!mount("none", MOUNT, "cowmem", 0, "size=4k"));
	fd = open(MOUNT "/page", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	MUST(fd >= 0 && !unlink(MOUNT "/page") && !ftruncate(fd, PAGE));
	page = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (int i = 0; i < 2; i++) {
		child[i] = fork();
		MUST(child[i] >= 0);
		if (!child[i])
			store_in_each_round(meeting, page, rounds);
	}
	for (unsigned int round = 1; both && round <= rounds; round++) {
		both = COMES(atomic_load(&meeting->there) == 2 * round);
		MUST(!object_punch(fd, 0, PAGE));
		atomic_store(&meeting->round, round);
		both = both && COMES(atomic_load(&meeting->done) == 2 * round);
	}
	CHECK(both);
	for (int i = 0; i < 2; i++) {
		int status;

		if (!both)
			kill(child[i], SIGKILL);
		MUST(waitpid(child[i], &status, 0) == child[i]);
		CHECK_EQ(status, 0);
	}
	munmap(page, PAGE);
	munmap(meeting, PAGE);
	close(fd);
	MUST(!umount(MOUNT) && !rmdir(MOUNT));
	check_returned(before);
}

/* --- a tree of numbers finds no memory for a node: the object's index, and marks of its places --- */
enum { CACHE = 5 };

static struct setting node_settings[] = {
	{.path = DEBUG "failslab/verbose", .wanted = "0"},
	{.path = DEBUG "failslab/ignore-gfp-wait", .wanted = "N"},
	{.path = DEBUG "failslab/cache-filter", .wanted = "Y"},
	{.path = DEBUG "failslab/task-filter", .wanted = "Y"},
	{.path = DEBUG "failslab/times", .wanted = "0"},
	[CACHE] = {.path = NULL, .wanted = "1"},
	{.path = "/proc/thread-self/make-it-fail", .wanted = "1"},
	{.path = DEBUG "failslab/probability", .wanted = "100"},
};

/* Nodes of @cache may fail from now on. False: this kernel cannot do that. */
static bool fail_nodes_of(const char *cache)
{
	if (!can_be_written(cache) || !can_be_written(node_settings[0].path))
		return false;
	node_settings[CACHE].path = cache;
	set_all(node_settings, ARRAY_LENGTH(node_settings));
	return true;
}

static void fail_none(void)
{
	restore_all(node_settings, ARRAY_LENGTH(node_settings));
}

/* The next two do: one that may not sleep is tried again. */
static bool fail_twice(void)
{
	return write_text(DEBUG "failslab/times", "2");
}

static void failing_index(void)
{
	const off_t far = 1L << 32;
	struct counts before;
	unsigned char *map, page[PAGE];
	int fd;

	before = counts_now();
	fd = object_open();
	MUST(pwrite(fd, "data", 4, 0) == 4);
	if (!fail_nodes_of("/sys/kernel/slab/cowmem_leaf/failslab")) {
		close(fd);
		SKIP("this kernel has no fault injection");
	}

	MUST(fail_twice());
	CHECK_ERRNO(pwrite(fd, "x", 1, far), ENOMEM);
	CHECK_EQ(object_stat(fd).resident_pages, 1);
	CHECK_EQ(object_stat(fd).bytes, 4);
	CHECK_EQ(pwrite(fd, "x", 1, far), 1);

	map = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, far * 2);
	MUST(map != MAP_FAILED);
	set_speculation(false);
	MUST(fail_twice());
	*(volatile unsigned char *)map = 'y'; /* fails, and is tried again */
	fail_none();
	set_speculation(true);
	CHECK_EQ(SINCE(before, no_memory), 1);
	CHECK_EQ(SINCE(before, fault_shared_write), 2);
	CHECK_EQ(SINCE(before, pages_allocated), 3);
	CHECK_EQ(object_stat(fd).resident_pages, 3);
	CHECK(pread(fd, page, PAGE, far * 2) == (ssize_t)PAGE && page_reads(page, 'y', 0));
	CHECK(pread(fd, page, PAGE, far) == (ssize_t)PAGE && page_reads(page, 'x', 0));
	CHECK(pread(fd, page, 5, 0) == 5 && !memcmp(page, "data", 5));
	munmap(map, PAGE);
	close(fd);
	check_returned(before);
}

/* Where there is none for a mark the place is dirty still, and when what was there is gone. */
static void failing_marks(void)
{
	/* The first marks of all are had without a node. */
	enum { FIRST = 100, WRITTEN = 0, PUNCHED = 1, PLACES = 3 };
	const struct counts before = counts_now();
	const int fd = object_open();
	struct cowmem_page state[PLACES];

	MUST(!object_resize(fd, (FIRST + PLACES) * PAGE));
	for (unsigned int i = 0; i < 2; i++)
		MUST(pwrite(fd, "x", 1, (FIRST + i) * PAGE) == 1);
	if (!fail_nodes_of("/sys/kernel/slab/radix_tree_node/failslab")) {
		close(fd);
		SKIP("this kernel has no fault injection");
	}
	MUST(fail_twice());
	CHECK_EQ(pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, FIRST * PAGE, PLACES, state), 0);
	fail_none();
	CHECK(state[WRITTEN].flags & state[PUNCHED].flags & COWMEM_PAGE_DIRTY);
	MUST(!object_punch(fd, (FIRST + PUNCHED) * PAGE, PAGE));
	for (int clears = 0; clears < 2; clears++) {
		CHECK_EQ(pagemap_ask(fd, clears ? COWMEM_PAGEMAP_CLEAR_DIRTY : 0, FIRST * PAGE,
		                     PLACES, state),
		         0);
		CHECK(state[WRITTEN].flags & state[PUNCHED].flags & COWMEM_PAGE_DIRTY);
	}
	CHECK_EQ(pagemap_ask(fd, 0, FIRST * PAGE, PLACES, state), 0);
	for (unsigned int i = 0; i < PLACES; i++)
		CHECK(!(state[i].flags & COWMEM_PAGE_DIRTY));
	close(fd);
	check_returned(before);
}

static void write_from_nowhere(void)
{
	const struct counts before = counts_now();
	void *nowhere = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = object_open();

	CHECK_ERRNO(pwrite(fd, nowhere, PAGE, 1 << 20), EFAULT);
	CHECK_EQ(object_stat(fd).bytes, 0);
	CHECK_EQ(object_stat(fd).resident_pages, 0);
	close(fd);
	munmap(nowhere, PAGE);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"pages are charged once, to who made them, and uncharged", "R3 R90",
	         pages_are_charged_once},
		{"a cgroup's limit under shared writes", "", limit_under_shared_writes},
		{"a cgroup's limit under private writes", "", limit_under_private_writes},
		{"a cgroup's limit under write()", "", limit_under_write},
		{"each allocation of a private write fails", "R9", failing_private_writes},
		{"each allocation of a shared fault fails", "R9", failing_shared_faults},
		{"each allocation of a call fails", "", failing_calls},
		{"each allocation of page-out and swap-in fails", "R9", failing_page_outs},
		{"no more files, and no more descriptors", "", no_more_files},
		{"each allocation of a punch fails: nothing has changed", "", failing_punch},
		{"each allocation of a RESTORE of a range fails: nothing has changed", "",
	         failing_restore},
		{"each allocation of fork() fails: all of the child's links are there, or none",
	         "R95", failing_forks},
		{"each allocation of a page-out fails: the page is written without a fault", "R70",
	         what_is_not_paged_out_is_as_before},
		{"the same of the first page of a cgroup: nobody is charged for it", "R90",
	         nor_by_whom_it_is_charged_to},
		{"each allocation of a mount fails", "", failing_mount},
		{"room for one page, which two fill at once", "", one_page_for_two},
		{"the object's index finds no memory", "R9", failing_index},
		{"a mark finds no memory: nothing is lost", "", failing_marks},
		{"a write that cannot read its buffer leaves no page", "", write_from_nowhere},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
