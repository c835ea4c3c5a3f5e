// SPDX-License-Identifier: GPL-2.0
/*
 * The reverse map as users see it: who maps a page (RMAP), and what state it is in
 * (PAGEMAP). The truth to compare with is what every process's /proc/PID/pagemap says.
 */
#include "counts.h"
#include "walks.h"

#include <signal.h>
#include <sys/prctl.h>

#define ROOM 4096
static struct cowmem_mapping found[ROOM];
static struct cowmem_rmap rmap;

/* Asks about @pages pages of the object, all at once. */
static unsigned int ask(int fd, uint64_t offset, uint64_t pages)
{
	CHECK_EQ(rmap_ask(fd, &rmap, 0, offset, pages, found, ROOM), 0);
	CHECK_EQ(rmap.next, offset + pages * PAGE);
	return rmap.count;
}

static const struct cowmem_mapping *entry_of(int pid, const void *address)
{
	for (unsigned int i = 0; i < rmap.count; i++)
		if (found[i].pid == (uint32_t)pid && found[i].address == (uintptr_t)address)
			return &found[i];
	return NULL;
}

/* --- children that do as they are told --- */
struct child {
	pid_t pid;
	int to, from;
};

/* A forked child that runs @body with its ends of two pipes, and ends. */
static struct child child_start(void (*body)(int in, int out, void *shared), void *shared)
{
	int down[2], up[2];
	struct child child;

	MUST(!pipe(down) && !pipe(up));
	child.pid = fork();
	MUST(child.pid >= 0);
	if (!child.pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(down[1]);
		close(up[0]);
		body(down[0], up[1], shared);
		_exit(0);
	}
	close(down[0]);
	close(up[1]);
	child.to = down[1];
	child.from = up[0];
	return child;
}

static void child_wait(struct child *child)
{
	char ready;

	MUST(read(child->from, &ready, 1) == 1);
}

static void child_end(struct child *child)
{
	MUST(write(child->to, "e", 1) == 1);
	MUST(waitpid(child->pid, NULL, 0) == child->pid);
	close(child->to);
	close(child->from);
}

static void say_ready(int out)
{
	MUST(write(out, "", 1) == 1);
}

static void wait_for_end(int in)
{
	char end;

	while (read(in, &end, 1) > 0 && end != 'e')
		;
}

/* --- RMAP --- */

static void rmap_names_every_mapping(void)
{
	int fd = object_open();
	char *shared = object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	const struct cowmem_mapping *entry;
	int pid = getpid();

	CHECK_EQ(ask(fd, 0, 2), 0);
	shared[0] = 1;
	shared[PAGE] = 1;
	CHECK_EQ(private[0], 1);
	private[PAGE] = 2;
	/* Fault-around may have mapped the private mapping's neighbour before it was written. */
	CHECK_EQ(ask(fd, 0, 2), 4);
	CHECK_EQ(rmap.hidden, 0);
	for (unsigned int i = 0; i < rmap.count; i++)
		CHECK_EQ(found[i].offset, i / 2 * PAGE);

	entry = entry_of(pid, shared);
	CHECK(entry && entry->flags == (COWMEM_MAPPING_SHARED | COWMEM_MAPPING_WRITABLE |
	                                COWMEM_MAPPING_DIRTY | COWMEM_MAPPING_YOUNG));
	entry = entry_of(pid, private);
	CHECK(entry && entry->flags == COWMEM_MAPPING_YOUNG);
	entry = entry_of(pid, private + PAGE);
	CHECK(entry && entry->flags == (COWMEM_MAPPING_COPY | COWMEM_MAPPING_WRITABLE |
	                                COWMEM_MAPPING_DIRTY | COWMEM_MAPPING_YOUNG));

	/* A copy is told of even where the object has a hole. */
	MUST(!object_punch(fd, PAGE, PAGE));
	CHECK_EQ(ask(fd, PAGE, 1), 1);
	CHECK(entry_of(pid, private + PAGE));

	MUST(!mlock(shared, PAGE));
	ask(fd, 0, 1);
	entry = entry_of(pid, shared);
	CHECK(entry && entry->flags & COWMEM_MAPPING_LOCKED);
	munmap(shared, 2 * PAGE);
	munmap(private, 2 * PAGE);
	CHECK_EQ(ask(fd, 0, 2), 0);
	close(fd);
}

struct many {
	char *p;
	int pages;
};

static void touch_and_wait(int in, int out, void *arg)
{
	struct many *many = arg;

	for (int i = 0; i < many->pages; i++)
		(void)*(volatile char *)(many->p + i * PAGE);
	say_ready(out);
	wait_for_end(in);
}

static void rmap_goes_on_where_it_ended(void)
{
	int fd = object_open();
	struct many many = {object_map(fd, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), 8};
	struct child children[4];
	unsigned int whole, pieces = 0;
	uint64_t at = 0, calls = 0;

	memset(many.p, 1, 8 * PAGE);
	for (int i = 0; i < 4; i++) {
		children[i] = child_start(touch_and_wait, &many);
		child_wait(&children[i]);
	}
	whole = ask(fd, 0, 8);
	CHECK_EQ(whole, 8 * 5);

	/* Room for two pages' entries and a half: two are told each time. */
	for (; at < 8 * PAGE && calls < 100; at = rmap.next, calls++) {
		CHECK_EQ(rmap_ask(fd, &rmap, 0, at, 8 - at / PAGE, found + pieces, 12), 0);
		CHECK_EQ(rmap.next - at, 2 * PAGE);
		pieces += rmap.count;
	}
	CHECK_EQ(calls, 4);
	CHECK_EQ(pieces, whole);
	for (unsigned int i = 0; i < pieces; i++)
		CHECK_EQ(found[i].offset, i / 5 * PAGE);

	/* Not even room for one: nothing is told but how much it takes. */
	CHECK_EQ(rmap_ask(fd, &rmap, 0, 0, 8, found, 4), -ENOSPC);
	CHECK_EQ(rmap.count, 0);
	CHECK_EQ(rmap.needed, 5);
	CHECK_EQ(rmap.next, 0);
	for (int i = 0; i < 4; i++)
		child_end(&children[i]);
	close(fd);
}

/* What another process gets to see of the page at @p. */
struct seen {
	int fd;
	char *p;
	unsigned int count, hidden;
	uint64_t probes;
	uint32_t pid;
	int own;
};

static void see(struct seen *seen, uint64_t flags, uint64_t offset, int in, int out)
{
	MUST(!rmap_ask(seen->fd, &rmap, flags, offset, 1, found, ROOM));
	seen->count = rmap.count;
	seen->hidden = (unsigned int)rmap.hidden;
	seen->probes = rmap.probes;
	seen->pid = rmap.count ? found[0].pid : 0;
	seen->own = getpid();
	say_ready(out);
	wait_for_end(in);
}

static void ask_without_privileges(int in, int out, void *arg)
{
	struct seen *seen = arg;

	(void)*(volatile char *)seen->p;
	MUST(!setgid(1000) && !setuid(1000));
	see(seen, 0, 0, in, out);
}

static struct seen *seen_by_another(int fd, char *p)
{
	struct seen *seen =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	MUST(seen != MAP_FAILED);
	seen->fd = fd;
	seen->p = p;
	return seen;
}

static void rmap_hides_whom_one_may_not_ptrace(void)
{
	int fd = object_open();
	struct seen *seen =
		seen_by_another(fd, object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED));
	struct child child;

	*seen->p = 1;
	child = child_start(ask_without_privileges, seen);
	child_wait(&child);
	/* Having changed its IDs it is not dumpable, but a process may always see itself. */
	CHECK_EQ(seen->count, 1);
	CHECK_EQ(seen->hidden, 1);
	CHECK_EQ(seen->pid, child.pid);
	CHECK_EQ(ask(fd, 0, 1), 2);
	CHECK_EQ(rmap.hidden, 0);
	child_end(&child);
	close(fd);
}

static void ask_in_a_namespace(int in, int out, void *arg)
{
	struct seen *seen = arg;

	(void)*(volatile char *)seen->p;
	see(seen, 0, 0, in, out);
}

static void rmap_speaks_the_caller_s_pids(void)
{
	int fd = object_open(), status;
	struct seen *seen =
		seen_by_another(fd, object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED));
	pid_t helper;

	*seen->p = 1;
	helper = fork();
	MUST(helper >= 0);
	if (!helper) {
		struct child inner;

		MUST(!unshare(CLONE_NEWPID));
		munmap(seen->p, PAGE);
		seen->p = object_map(fd, PAGE, PROT_READ, MAP_SHARED);
		inner = child_start(ask_in_a_namespace, seen);
		child_wait(&inner);
		child_end(&inner);
		_exit(0);
	}
	MUST(waitpid(helper, &status, 0) == helper && !status);
	CHECK_EQ(seen->own, 1);
	CHECK_EQ(seen->count, 1);
	CHECK_EQ(seen->pid, 1);
	CHECK_EQ(seen->hidden, 1);
	close(fd);
}

/* --- the copies that private writes leave --- */

static unsigned int ask_of_copies(int fd, const void *address, uint64_t pages)
{
	CHECK_EQ(rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)address, pages, found, ROOM),
	         0);
	return rmap.count;
}

static void write_on_demand(int in, int out, void *arg)
{
	struct many *many = arg;
	char command;

	say_ready(out);
	while (read(in, &command, 1) > 0 && command == 'w') {
		*many->p = 3;
		say_ready(out);
	}
}

static void child_do(struct child *child, char command)
{
	MUST(write(child->to, &command, 1) == 1);
	child_wait(child);
}

static void copies_are_found_with_all_who_share_them(void)
{
	enum { children = 20 };
	int fd = object_open();
	struct many many = {object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), 2};
	struct child child[children];

	CHECK_EQ(ask_of_copies(fd, many.p, 2), 0); /* nothing is there yet */
	many.p[0] = 1;
	CHECK_EQ(ask_of_copies(fd, many.p, 2), 1);
	CHECK_EQ(found[0].pid, getpid());
	CHECK_EQ(found[0].address, (uintptr_t)many.p);
	CHECK_EQ(found[0].offset, 0);
	CHECK(found[0].flags & COWMEM_MAPPING_COPY && found[0].flags & COWMEM_MAPPING_WRITABLE);

	for (int i = 0; i < children; i++) {
		child[i] = child_start(write_on_demand, &many);
		child_wait(&child[i]);
	}
	/* Not yet copied: in all of them, and write-protected (R77). */
	CHECK_EQ(ask_of_copies(fd, many.p, 1), 1 + children);
	for (unsigned int i = 0; i < rmap.count; i++)
		CHECK(!(found[i].flags & COWMEM_MAPPING_WRITABLE));
	CHECK_EQ(rmap.probes, 1 + children);

	/* Each that writes has its own then. */
	for (int i = 0; i < children / 2; i++)
		child_do(&child[i], 'w');
	CHECK_EQ(ask_of_copies(fd, many.p, 1), 1 + children - children / 2);
	for (int i = 0; i < children / 2; i++)
		CHECK(!entry_of(child[i].pid, many.p));
	for (int i = 0; i < children; i++)
		child_end(&child[i]);
	CHECK_EQ(ask_of_copies(fd, many.p, 1), 1);
	munmap(many.p, 2 * PAGE);
	close(fd);
}

static void ask_own_copy(int in, int out, void *arg)
{
	struct seen *seen = arg;

	*seen->p = 7;
	see(seen, COWMEM_RMAP_OF_COPIES, (uintptr_t)seen->p, in, out);
}

/* A copy of a child's own is looked for in the child only (R79), however many siblings there are. */
static void own_copies_are_looked_for_at_their_owner_only(void)
{
	int fd = object_open();
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	struct many many = {p, 1};
	struct seen *seen = seen_by_another(fd, p);
	struct child sibling[10], child;

	*p = 1;
	for (int i = 0; i < 10; i++) {
		sibling[i] = child_start(touch_and_wait, &many);
		child_wait(&sibling[i]);
	}
	child = child_start(ask_own_copy, seen);
	child_wait(&child);
	CHECK_EQ(seen->count, 1);
	CHECK_EQ(seen->pid, child.pid);
	CHECK_EQ(seen->probes, 1);
	child_end(&child);
	for (int i = 0; i < 10; i++)
		child_end(&sibling[i]);
	close(fd);
}

/* The child that made a grandchild is gone, its anon_vma in the middle: both ends still find the copy (R80). */
static void copies_outlive_the_process_between(void)
{
	int fd = object_open();
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	pid_t middle, grandchild;
	int pids[2], ready[2];
	char c;

	*p = 1;
	MUST(!pipe(pids) && !pipe(ready));
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	middle = fork();
	MUST(middle >= 0);
	if (!middle) {
		grandchild = fork();
		if (!grandchild) {
			c = *(volatile char *)p;
			MUST(write(ready[1], &c, 1) == 1);
			pause();
		}
		MUST(write(pids[1], &grandchild, sizeof(grandchild)) == sizeof(grandchild));
		_exit(0);
	}
	MUST(waitpid(middle, NULL, 0) == middle);
	MUST(read(ready[0], &c, 1) == 1 && c == 1);
	MUST(read(pids[0], &grandchild, sizeof(grandchild)) == sizeof(grandchild));
	CHECK_EQ(ask_of_copies(fd, p, 1), 2);
	CHECK(entry_of(getpid(), p));
	kill(grandchild, SIGKILL);
	waitpid(grandchild, NULL, 0);
	CHECK_EQ(ask_of_copies(fd, p, 1), 1);
	CHECK(entry_of(getpid(), p));
	for (int i = 0; i < 2; i++)
		close(pids[i]), close(ready[i]);
	close(fd);
}

/* --- PAGEMAP --- */

static void pagemap_tells_the_state(void)
{
	int fd = object_open();
	char *p = object_map(fd, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_page page;

	MUST(!madvise(p, 3 * PAGE, MADV_RANDOM)); /* no fault-around */
	MUST(!madvise(p, 3 * PAGE, MADV_NORMAL));
	page = page_state(fd, 0, 0);
	CHECK_EQ(page.flags, 0);
	CHECK_EQ(page.mapcount, 0);
	(void)*(volatile char *)p;
	page = page_state(fd, 0, 0);
	CHECK_EQ(page.flags, COWMEM_PAGE_RESIDENT | COWMEM_PAGE_REFERENCED | COWMEM_PAGE_DIRTY);
	CHECK_EQ(page.mapcount, 1);
	CHECK_EQ(page.referenced, 1);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 1, &page));
	(void)*(volatile char *)p;
	CHECK_EQ(page_state(fd, 0, 0).flags, COWMEM_PAGE_RESIDENT | COWMEM_PAGE_REFERENCED);
	p[PAGE] = 1;
	page = page_state(fd, 0, 1);
	CHECK_EQ(page.flags, COWMEM_PAGE_RESIDENT | COWMEM_PAGE_REFERENCED | COWMEM_PAGE_DIRTY);
	CHECK(!mlock(p, PAGE));
	CHECK(page_state(fd, 0, 0).flags & COWMEM_PAGE_LOCKED);
	CHECK(!(page_state(fd, 0, 1).flags & COWMEM_PAGE_LOCKED));
	MUST(!munlock(p, PAGE));
	CHECK(!(page_state(fd, 0, 0).flags & COWMEM_PAGE_LOCKED));
	munmap(p, 3 * PAGE);
	page = page_state(fd, 0, 1);
	CHECK_EQ(page.flags, COWMEM_PAGE_RESIDENT | COWMEM_PAGE_DIRTY);
	CHECK_EQ(page.mapcount, 0);
	close(fd);
}

/* Every way to write a page shows, once, and not before (R67). */
static void dirty_is_exact(void)
{
	int fd = object_open();
	char *p = object_map(fd, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), c = 5;
	struct counts before;
	struct cowmem_page page[4];

	memset(p, 1, 4 * PAGE);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 4, page));
	for (int i = 0; i < 4; i++)
		CHECK(page[i].flags & COWMEM_PAGE_DIRTY);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 4, page));
	for (int i = 0; i < 4; i++)
		CHECK(!(page[i].flags & COWMEM_PAGE_DIRTY));
	before = counts_now();
	p[0] = 2;                               /* a store: by way of page_mkwrite */
	MUST(pwrite(fd, &c, 1, PAGE + 1) == 1); /* the kernel, at the file */
	MUST(!munmap(p + 3 * PAGE, PAGE));      /* and not: unmapping a clean page */
	CHECK_EQ(SINCE(before, mkwrite), 1);
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 4, page));
	CHECK(page[0].flags & COWMEM_PAGE_DIRTY);
	CHECK(page[1].flags & COWMEM_PAGE_DIRTY);
	CHECK(!(page[2].flags & COWMEM_PAGE_DIRTY));
	CHECK(!(page[3].flags & COWMEM_PAGE_DIRTY));
	p[2 * PAGE] = 3;
	MUST(!munmap(p, 3 * PAGE)); /* the dirty bit outlives its page-table entry */
	MUST(!pagemap_ask(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 4, page));
	CHECK(!(page[0].flags & COWMEM_PAGE_DIRTY));
	CHECK(page[2].flags & COWMEM_PAGE_DIRTY);
	MUST(!pagemap_ask(fd, 0, 0, 4, page));
	CHECK(!(page[2].flags & COWMEM_PAGE_DIRTY));
	close(fd);
}

/* Only shared mappings are made clean; a private copy keeps its permission (R67). */
static void cleaning_leaves_private_copies(void)
{
	int fd = object_open(), n;
	char *shared = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	char *private = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	const struct cowmem_mapping *entry;

	*shared = 1;
	*private = 2;
	page_state(fd, COWMEM_PAGEMAP_CLEAR_DIRTY, 0);
	n = (int)ask(fd, 0, 1);
	CHECK_EQ(n, 2);
	entry = entry_of(getpid(), shared);
	CHECK(entry && !(entry->flags & (COWMEM_MAPPING_WRITABLE | COWMEM_MAPPING_DIRTY)));
	entry = entry_of(getpid(), private);
	CHECK(entry && entry->flags & COWMEM_MAPPING_WRITABLE &&
	      entry->flags & COWMEM_MAPPING_DIRTY);
	close(fd);
}

static void references_are_counted_and_cleared(void)
{
	int fd = object_open();
	struct many many = {object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), 1};
	struct child child[5];
	char *sequential;

	*many.p = 1;
	for (int i = 0; i < 5; i++) {
		child[i] = child_start(touch_and_wait, &many);
		child_wait(&child[i]);
	}
	CHECK_EQ(page_state(fd, 0, 0).referenced, 6);
	CHECK_EQ(page_state(fd, COWMEM_PAGEMAP_CLEAR_REFERENCED, 0).referenced, 6);
	CHECK_EQ(page_state(fd, COWMEM_PAGEMAP_CLEAR_REFERENCED, 0).referenced, 0);
	CHECK(!(page_state(fd, 0, 0).flags & COWMEM_PAGE_REFERENCED));
	CHECK_EQ(page_state(fd, 0, 0).mapcount, 6);

	/* One that reads in order is no sign of use. */
	sequential = object_map(fd, PAGE, PROT_READ, MAP_SHARED);
	MUST(!madvise(sequential, PAGE, MADV_SEQUENTIAL));
	CHECK_EQ(*(volatile char *)sequential, 1);
	CHECK_EQ(page_state(fd, 0, 0).mapcount, 7);
	CHECK_EQ(page_state(fd, COWMEM_PAGEMAP_CLEAR_REFERENCED, 0).referenced, 0);
	for (int i = 0; i < 5; i++)
		child_end(&child[i]);
	close(fd);
}

/* mlock() of a mapping that does not have the page does not lock it (R64). */
static void locked_only_where_it_is_mapped(void)
{
	int fd = object_open();
	char *p = object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), *other;

	p[0] = p[PAGE] = 1;
	other = object_map(fd, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	MUST(!mlock2(other, 2 * PAGE, MLOCK_ONFAULT));
	CHECK(!(page_state(fd, 0, 0).flags & COWMEM_PAGE_LOCKED));
	other[0] = 2; /* its own copy is locked, not the object's page */
	CHECK(!(page_state(fd, 0, 0).flags & COWMEM_PAGE_LOCKED));
	CHECK_EQ(*(volatile char *)(other + PAGE), 1);
	CHECK(page_state(fd, 0, 1).flags & COWMEM_PAGE_LOCKED);
	close(fd);
}

/* A range that is split over three VMAs and two page tables, and partly not mapped (R60). */
static void ranges_follow_split_and_moved_mappings(void)
{
	enum { pages = 600, hole = 100 };
	/* An entry of 2 MiB that is split would be gone, until the pages are touched. */
	int fd = object_open_small();
	char *p = object_map(fd, pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED), *moved;
	int pid = getpid();

	for (int i = 0; i < pages; i++)
		p[i * PAGE] = 1;
	CHECK_EQ(ask(fd, 0, pages), pages);
	MUST(!munmap(p + hole * PAGE, 10 * PAGE));
	MUST(!mprotect(p + 300 * PAGE, 7 * PAGE, PROT_READ));
	CHECK_EQ(ask(fd, 0, pages), pages - 10);
	CHECK_EQ(ask(fd, (hole - 1) * PAGE, 12), 2);
	CHECK(entry_of(pid, p + (hole - 1) * PAGE));
	CHECK(entry_of(pid, p + (hole + 10) * PAGE));
	CHECK_EQ(ask(fd, 300 * PAGE, 7), 7);
	for (unsigned int i = 0; i < rmap.count; i++)
		CHECK(!(found[i].flags & COWMEM_MAPPING_WRITABLE));

	moved = mremap(p + 400 * PAGE, 50 * PAGE, 50 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED,
	               p + pages * PAGE + (64 << 20));
	MUST(moved != MAP_FAILED);
	CHECK_EQ(ask(fd, 400 * PAGE, 50), 50);
	for (unsigned int i = 0; i < rmap.count; i++)
		CHECK_EQ(found[i].address, (uintptr_t)moved + i * PAGE);
	close(fd);
}

/* More room than there is in the world is still an answer about one page. */
static void room_without_end(int fd)
{
	struct cowmem_page pages[3] = {{.flags = ~0U}, {.flags = ~0U}, {.flags = ~0U}};
	struct cowmem_pagemap pagemap = {.size = sizeof(pagemap),
	                                 .offset = 10 * PAGE,
	                                 .length = PAGE,
	                                 .pages = (uintptr_t)&pages[1],
	                                 .capacity = ~0ULL};

	CHECK(!ioctl(fd, COWMEM_IOC_PAGEMAP, &pagemap));
	CHECK_EQ(pagemap.next, 11 * PAGE);
	CHECK_EQ(pages[0].flags, ~0U);
	CHECK_EQ(pages[1].flags, 0);
	CHECK_EQ(pages[2].flags, ~0U);
}

/* Ticks, of 10 ms, that process @pid has spent in the kernel. */
static long system_time(pid_t pid)
{
	char text[512];
	long ticks = -1;

	MUST(sscanf(proc_stat(pid, text, sizeof(text)),
	            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %ld", &ticks) == 1);
	return ticks;
}

static void bad_questions(void)
{
	int fd = object_open(), readonly = open(COWMEM_DEVICE, O_RDONLY | O_CLOEXEC);
	char *p = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	struct cowmem_page page;

	*p = 1;
	CHECK_EQ(rmap_ask(fd, &rmap, 2, 0, 1, found, 1), -EINVAL);
	CHECK_EQ(rmap_ask(fd, &rmap, 0, 1, 1, found, 1), -EINVAL);
	CHECK_EQ(rmap_ask(fd, &rmap, 0, 0, 0, found, 1), -EINVAL);
	CHECK_EQ(rmap_ask(fd, &rmap, 0, -PAGE, 2, found, 1), -EINVAL);
	CHECK_EQ(rmap_ask(fd, &rmap, 0, 0, 1, (void *)16, 1), -EFAULT);
	/* Of copies: of this object's private mappings, and only those. */
	CHECK_EQ(rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p, 1, found, 1), -EINVAL);
	CHECK_EQ(rmap_ask(readonly, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)found & -PAGE, 1,
	                  found, 1),
	         -EINVAL);
	CHECK_EQ(pagemap_ask(fd, 4, 0, 1, &page), -EINVAL);
	CHECK_EQ(pagemap_ask(fd, 0, 0, 1, (void *)16), -EFAULT);
	room_without_end(fd);
	/* A large question without any answer ends. */
	CHECK_EQ(rmap_ask(fd, &rmap, 0, PAGE, (1ULL << 62) / PAGE, found, 1), 0);
	CHECK_EQ(rmap.count, 0);
	CHECK_EQ(rmap.next, PAGE + (1ULL << 62));
	/* What others are told is changed through a writable descriptor only. */
	CHECK_EQ(pagemap_ask(readonly, 0, 0, 1, &page), 0);
	CHECK_EQ(pagemap_ask(readonly, COWMEM_PAGEMAP_CLEAR_DIRTY, 0, 1, &page), -EBADF);
	CHECK_EQ(pagemap_ask(readonly, COWMEM_PAGEMAP_CLEAR_REFERENCED, 0, 1, &page), -EBADF);
	close(readonly);
	close(fd);
}

/* A question about more addresses than can be looked at in a day ends with who asks it. */
static void a_long_question_can_be_killed(void)
{
	const size_t length = 1UL << 45;
	int fd = object_open(), status;
	char *p = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, fd, 0);
	pid_t child;

	MUST(p != MAP_FAILED);
	child = fork();
	MUST(child >= 0);
	if (!child) {
		rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p, length / PAGE, found, 1);
		_exit(0);
	}
	MUST(COMES(system_time(child) >= 20));
	CHECK_EQ(waitpid(child, NULL, WNOHANG), 0);
	CHECK(!kill(child, SIGKILL));
	MUST(COMES(waitpid(child, &status, WNOHANG) == child));
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	munmap(p, length);
	close(fd);
}

static const struct test_case cases[] = {
	{"RMAP names every mapping, and what it is", "R60 R61 R92", rmap_names_every_mapping},
	{"RMAP goes on where it ended", "R75", rmap_goes_on_where_it_ended},
	{"RMAP hides whom one may not ptrace", "", rmap_hides_whom_one_may_not_ptrace},
	{"RMAP speaks the caller's PIDs", "", rmap_speaks_the_caller_s_pids},
	{"copies are found with all who share them", "R76 R77",
         copies_are_found_with_all_who_share_them},
	{"a copy of one's own is looked for at its owner only", "R76 R79",
         own_copies_are_looked_for_at_their_owner_only},
	{"copies outlive the process between", "R80", copies_outlive_the_process_between},
	{"PAGEMAP tells the state", "", pagemap_tells_the_state},
	{"dirty is exact", "R67", dirty_is_exact},
	{"cleaning leaves private copies", "R67", cleaning_leaves_private_copies},
	{"references are counted and cleared", "R63 R65", references_are_counted_and_cleared},
	{"locked only where it is mapped", "R64", locked_only_where_it_is_mapped},
	{"ranges follow split and moved mappings", "R60", ranges_follow_split_and_moved_mappings},
	{"bad questions", "", bad_questions},
	{"a long question can be killed", "", a_long_question_can_be_killed},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
