// SPDX-License-Identifier: GPL-2.0
/* Pages that are taken from under their mappings: moved to another NUMA node, or poisoned. */
#include "cgroup.h"
#include "counts.h"
#include "numa.h"
#include "walks.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/uio.h>
#include <time.h>

#define PAGES 40 /* more than one batch */

/* Where the pages are not: the other one of the VM's two nodes. */
static uint32_t other_node(void *address)
{
	const int node = node_of(address);

	MUST(node == 0 || node == 1);
	return !node;
}

/* What the thread touches first is on one node, as it stays on one CPU; until go_anywhere(). */
static void stay_on_this_cpu(void)
{
	const int here = sched_getcpu();
	cpu_set_t one;

	MUST(here >= 0);
	CPU_ZERO(&one);
	CPU_SET((size_t)here, &one);
	MUST(!sched_setaffinity(0, sizeof(one), &one));
}

static void go_anywhere(void)
{
	cpu_set_t all;

	memset(&all, 0xff, sizeof(all));
	MUST(!sched_setaffinity(0, sizeof(all), &all));
}

static unsigned long status_kb(const char *field)
{
	char line[128];
	unsigned long kb = 0;
	FILE *file = fopen("/proc/self/status", "re");

	MUST(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, field, strlen(field)))
			kb = strtoul(line + strlen(field) + 1, NULL, 10);
	fclose(file);
	return kb;
}

static void pages_move_under_their_mappings(void)
{
	struct counts before = counts_now();
	int fd = object_open();
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *again = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct cowmem_page pages[PAGES];
	struct cowmem_move move;
	unsigned long rss, faults;
	uint32_t node;

	stay_on_this_cpu();
	for (int i = 0; i < PAGES; i++) {
		fill_page(p + i * PAGE, (uint64_t)i, 1);
		MUST(page_is(again + i * PAGE, (uint64_t)i, 1));
		MUST(page_is(private + i * PAGE, (uint64_t)i, 1));
	}
	private[0] = 9; /* a copy stays where it is */
	MUST(!object_punch(fd, 7 * PAGE, PAGE));
	node = other_node(p);
	rss = status_kb("RssFile:");
	CHECK_EQ(move_ask(fd, &move, 0, PAGES, node), 0);
	CHECK_EQ(move.moved, PAGES - 1);
	CHECK_EQ(move.busy, 0);
	CHECK_EQ(move.next, PAGES * PAGE);
	CHECK_EQ(SINCE(before, pages_moved), PAGES - 1);

	/* Still mapped everywhere, with permission to write, and RSS the same (R74). */
	CHECK_EQ(status_kb("RssFile:"), rss);
	MUST(!pagemap_ask(fd, 0, 0, PAGES, pages));
	for (int i = 1; i < PAGES; i++)
		CHECK_EQ(pages[i].mapcount, i == 7 ? 0 : 3);
	faults = (unsigned long)minor_faults();
	for (int i = 0; i < PAGES; i++) {
		if (i == 7)
			continue;
		CHECK_EQ(node_of(p + i * PAGE), (int)node);
		CHECK(page_is(p + i * PAGE, (uint64_t)i, 1));
		fill_page(p + i * PAGE, (uint64_t)i, 2);
		CHECK(page_is(again + i * PAGE, (uint64_t)i, 2));
		CHECK(i ? page_is(private + i * PAGE, (uint64_t)i, 2) : private[0] == 9);
	}
	/* arm64 without hardware dirty bits takes a fault to make a clean page dirty. */
	CHECK((unsigned long)minor_faults() - faults <= PAGES);
#ifdef __x86_64__
	CHECK_EQ((unsigned long)minor_faults() - faults, 0);
#endif
	/* Here already: nothing to do. */
	CHECK_EQ(move_ask(fd, &move, 0, PAGES, node), 0);
	CHECK_EQ(move.moved, 0);
	CHECK_EQ(move.busy, 0);
	go_anywhere();
	munmap(p, PAGES * PAGE);
	munmap(again, PAGES * PAGE);
	munmap(private, PAGES * PAGE);
	close(fd);
	check_returned(before);
}

static void dirty_and_locked_survive_a_move(void)
{
	int fd = object_open();
	char *p = object_map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_page pages[3];
	struct cowmem_move move;

	stay_on_this_cpu();
	memset(p, 1, 3 * PAGE);
	go_anywhere();
	MUST(!mlock(p + 2 * PAGE, PAGE));
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 3, pages));
	p[0] = 2;
	MUST(!mprotect(p + PAGE, PAGE, PROT_READ));
	CHECK_EQ(move_ask(fd, &move, 0, 3, other_node(p)), 0);
	CHECK_EQ(move.moved, 3);
	MUST(!pagemap_ask(fd, 0, 0, 3, pages));
	CHECK(pages[0].flags & COWMEM_PAGE_DIRTY);
	CHECK(!(pages[1].flags & COWMEM_PAGE_DIRTY));
	CHECK(pages[2].flags & COWMEM_PAGE_LOCKED);
	close(fd);
}

/* A page that somebody is just using stays where it is. */
static void pages_in_use_stay(void)
{
	int fd = object_open(), pipes[2];
	char *p = object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), said[16];
	struct iovec part = {p, sizeof(said)};
	struct cowmem_move move;

	stay_on_this_cpu();
	memset(p, 1, 2 * PAGE);
	go_anywhere();
	MUST(!pipe(pipes));
	MUST(vmsplice(pipes[1], &part, 1, 0) == sizeof(said)); /* the pipe holds the page itself */
	CHECK_EQ(move_ask(fd, &move, 0, 2, other_node(p)), 0);
	CHECK_EQ(move.moved, 1);
	CHECK_EQ(move.busy, 1);
	p[0] = 5; /* mapped again as it was, and still the pipe's page */
	MUST(read(pipes[0], said, sizeof(said)) == sizeof(said));
	CHECK_EQ(said[0], 5);
	CHECK_EQ(move_ask(fd, &move, 0, 2, other_node(p)), 0);
	CHECK_EQ(move.moved, 1);
	CHECK_EQ(move.busy, 0);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* --- moving while everybody works with the pages --- */
#define WRITERS 3

struct work {
	int fd;
	char *p;
	_Atomic bool stop;
	_Atomic uint64_t done[WRITERS];
};

static struct work *work;

/* Adds to one word of each page that is this writer's alone: no addition may be lost. */
static void *add(void *number)
{
	const size_t word = (size_t)(uintptr_t)number;
	char *p = object_map(work->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	while (!atomic_load(&work->stop)) {
		for (int i = 0; i < PAGES; i++)
			((volatile uint64_t *)(p + i * PAGE))[word]++;
		atomic_fetch_add(&work->done[word], 1);
	}
	munmap(p, PAGES * PAGE);
	return NULL;
}

static void *fork_and_remap(void *unused)
{
	char *at = work->p;

	(void)unused;
	while (!atomic_load(&work->stop)) {
		pid_t child = fork();

		if (!child) {
			for (int i = 0; i < PAGES; i++)
				(void)*(volatile char *)(at + i * PAGE);
			_exit(0);
		}
		/* Moved back and forth while the pages under it move. */
		for (int i = 0; i < 4; i++) {
			char *to = mmap(NULL, PAGES * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			                -1, 0);

			at = mremap(at, PAGES * PAGE, PAGES * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
			            to);
			MUST(at == to);
			(void)*(volatile char *)(at + (i * 10 % PAGES) * PAGE);
		}
		if (child > 0)
			waitpid(child, NULL, 0);
	}
	munmap(at, PAGES * PAGE);
	return NULL;
}

/* write() has a reference on the page while it stores; it must not store into the old one. */
static void *rewrite(void *word)
{
	const off_t offset = (off_t)((uintptr_t)word * sizeof(uint64_t));
	uint64_t n = 0;

	while (!atomic_load(&work->stop)) {
		n++;
		for (int i = 0; i < PAGES; i++)
			MUST(pwrite(work->fd, &n, sizeof(n), i * (off_t)PAGE + offset) ==
			     sizeof(n));
	}
	return (void *)(uintptr_t)n;
}

static void nothing_is_lost_while_pages_move(void)
{
	struct counts before = counts_now();
	pthread_t adders[WRITERS], forker, writer;
	struct cowmem_move move;
	unsigned long moved = 0, busy = 0;
	time_t end;
	void *written;

	work = mmap(NULL, sizeof(*work), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	MUST(work != MAP_FAILED);
	work->fd = object_open();
	work->p = object_map(work->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	memset(work->p, 0, PAGES * PAGE);
	for (uintptr_t i = 0; i < WRITERS; i++)
		MUST(!pthread_create(&adders[i], NULL, add, (void *)i));
	MUST(!pthread_create(&forker, NULL, fork_and_remap, NULL));
	MUST(!pthread_create(&writer, NULL, rewrite, (void *)(uintptr_t)WRITERS));

	end = time(NULL) + 4;
	for (uint32_t node = 0; time(NULL) < end; node = !node) {
		CHECK_EQ(move_ask(work->fd, &move, 0, PAGES, node), 0);
		moved += move.moved;
		busy += move.busy;
	}
	atomic_store(&work->stop, true);
	for (int i = 0; i < WRITERS; i++)
		MUST(!pthread_join(adders[i], NULL));
	MUST(!pthread_join(forker, NULL));
	MUST(!pthread_join(writer, &written));

	char *p = object_map(work->fd, PAGES * PAGE, PROT_READ, MAP_SHARED);

	for (int i = 0; i < PAGES; i++) {
		const uint64_t *page = (const uint64_t *)(p + i * PAGE);

		for (int w = 0; w < WRITERS; w++)
			CHECK_EQ(page[w], work->done[w]);
		CHECK_EQ(page[WRITERS], (uintptr_t)written);
	}
	ksft_print_msg("%lu pages moved, %lu busy, %lu additions each\n", moved, busy,
	               (unsigned long)work->done[0]);
	CHECK(moved >= PAGES / 2 && work->done[0]);
	munmap(p, PAGES * PAGE);
	close(work->fd);
	munmap(work, sizeof(*work));
	check_returned(before);
}

/* --- poison --- */
static sigjmp_buf escape;
static volatile int bus_code;

static void on_bus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	bus_code = info->si_code;
	siglongjmp(escape, 1);
}

/* The si_code of the SIGBUS that reading or writing a byte gives, or 0. */
static int bus_at(char *p, bool write)
{
	bus_code = 0;
	if (!sigsetjmp(escape, 1)) {
		if (write)
			*(volatile char *)p = 1;
		else
			(void)*(volatile char *)p;
	}
	return bus_code;
}

static void poison_is_felt_everywhere(void)
{
	struct sigaction act = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO};
	int fd = object_open();
	char *p = object_map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), c;
	struct counts before = counts_now();
	unsigned long rss;
	pid_t child;
	int status;

	MUST(!sigaction(SIGBUS, &act, NULL));
	memset(p, 1, 3 * PAGE);
	CHECK_EQ(*(volatile char *)(private + PAGE), 1);
	private[2 * PAGE] = 2;
	MUST(!mlock(p + PAGE, PAGE));
	rss = status_kb("RssFile:");
	CHECK_EQ(poison_ask(fd, 1), 1);
	CHECK_EQ(poison_ask(fd, 1), 0);
	CHECK_EQ(SINCE(before, pages_poisoned), 1);
	CHECK_EQ(status_kb("RssFile:"), rss - 8);
	CHECK_EQ(page_state(fd, 0, 1).mapcount, 0);
	CHECK(page_state(fd, 0, 1).flags & COWMEM_PAGE_POISONED);

	CHECK_EQ(bus_at(p + PAGE, false), BUS_MCEERR_AR);
	CHECK_EQ(bus_at(p + PAGE, true), BUS_MCEERR_AR);
	CHECK_EQ(bus_at(private + PAGE, false), BUS_MCEERR_AR);
	CHECK_EQ(bus_at(private + PAGE, true),
	         BUS_MCEERR_AR); /* a source is reported, not copied (R10) */
	CHECK_ERRNO(pread(fd, &c, 1, PAGE), EIO);
	CHECK_ERRNO(pwrite(fd, &c, 1, PAGE), EIO);
	/* A mapping made later, and one that fork() copies. */
	CHECK_EQ(bus_at((char *)object_map(fd, 2 * PAGE, PROT_READ, MAP_SHARED) + PAGE, false),
	         BUS_MCEERR_AR);
	child = fork();
	if (!child)
		_exit(bus_at(p + PAGE, false));
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(WEXITSTATUS(status), BUS_MCEERR_AR);

	/* The neighbours are as they were; copies of a poisoned page stay, too. */
	CHECK_EQ(p[0], 1);
	CHECK_EQ(p[2 * PAGE], 1);
	CHECK_EQ(poison_ask(fd, 2), 1);
	CHECK_EQ(private[2 * PAGE], 2);
	/* Punching brings fresh memory. */
	MUST(!object_punch(fd, PAGE, PAGE));
	CHECK_EQ(bus_at(p + PAGE, false), 0);
	CHECK_EQ(p[PAGE], 0);
	signal(SIGBUS, SIG_DFL);
	close(fd);
}

static void who_may_and_what_makes_no_sense(void)
{
	int fd = object_open(), readonly = open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC), status;
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_poison poison = {.size = sizeof(poison), .offset = 1, .length = PAGE};
	struct cowmem_move move;
	pid_t child;

	*p = 1;
	CHECK_EQ(move_ask(fd, &move, 0, 1, 2), -ENODEV);
	CHECK_EQ(move_ask(fd, &move, 0, 1, ~0U), -ENODEV);
	CHECK_EQ(move_ask(fd, &move, 1, 1, 0), -EINVAL);
	CHECK_EQ(move_ask(readonly, &move, 0, 1, 0), -EBADF);
	move = (struct cowmem_move){.size = sizeof(move), .length = PAGE, .__reserved = 1};
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_MOVE, &move), EINVAL);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_POISON, &poison), EINVAL);
	CHECK_EQ(poison_ask(readonly, 0), -EBADF);
	CHECK_EQ(poison_ask(fd, 5), 0); /* a hole */
	child = fork();
	if (!child) {
		MUST(!setuid(1000));
		CHECK_EQ(poison_ask(fd, 0), -EPERM);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK_EQ(*(volatile char *)p, 1);
	close(readonly);
	close(fd);
}

/* A node that the caller's cpuset leaves out is not for him, and his own are. */
static void only_to_nodes_of_the_cpuset(void)
{
	int fd = object_open(), status;
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_move move;
	pid_t child;

	if (!write_text(CGROUPS "/cgroup.subtree_control", "+cpuset"))
		SKIP("this kernel has no cpusets");
	*p = 1;
	CHECK_EQ(move_ask(fd, &move, 0, 1, 1), 0);
	CHECK_EQ(node_of(p), 1);
	MUST(!mkdir(CGROUP, 0755) && write_text(CGROUP "/cpuset.mems", "0"));
	child = fork();
	MUST(child >= 0);
	if (!child) {
		test_failed = false;
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		CHECK_EQ(move_ask(fd, &move, 0, 1, 0), 0);
		CHECK_EQ(move.moved, 1);
		CHECK_EQ(move_ask(fd, &move, 0, 1, 1), -EACCES);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
	CHECK_EQ(node_of(p), 0);
	MUST(!rmdir(CGROUP));
	close(fd);
}

static const struct test_case cases[] = {
	{"pages move under their mappings", "R74", pages_move_under_their_mappings},
	{"dirty and locked survive a move", "R74", dirty_and_locked_survive_a_move},
	{"pages in use stay", "R74", pages_in_use_stay},
	{"nothing is lost while pages move", "R74", nothing_is_lost_while_pages_move},
	{"poison is felt everywhere", "R10 R94", poison_is_felt_everywhere},
	{"who may, and what makes no sense", "", who_may_and_what_makes_no_sense},
	{"only to nodes of the cpuset", "", only_to_nodes_of_the_cpuset},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
