// SPDX-License-Identifier: GPL-2.0
/*
 * What a walk costs in a large family: a parent with 1,000 private copies and 1,000
 * children (100 on a debug kernel), each of which has written some of them anew. The
 * anon_vma chains of seed 001 are what keeps a child's page from costing a look into
 * every sibling. The same of clones, which are objects of their own.
 */
#include "counts.h"
#include "walks.h"

#include <signal.h>
#include <sys/prctl.h>

#define PAGES 1000
#define OWN 40 /* of them each child writes */
#define ROOM 65536

static struct cowmem_mapping *found;

struct told {
	unsigned int pages, probes, wrong;
};

static unsigned int many(void)
{
	return debug_kernel() ? 100 : 1000;
}

/* A child writes its share, asks who has those copies, and stays. */
static void child(int fd, char *p, unsigned int number, struct told *told, int out)
{
	const unsigned int first = number * OWN % PAGES;
	struct cowmem_rmap rmap;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (unsigned int i = first; i < first + OWN; i++)
		p[i * PAGE] = 2;
	told->wrong = rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p + first * PAGE, OWN,
	                       found, ROOM) != 0;
	told->pages = rmap.count;
	told->probes = (unsigned int)rmap.probes;
	for (unsigned int i = 0; i < rmap.count; i++)
		told->wrong |= found[i].pid != (uint32_t)getpid();
	if (write(out, "", 1) == 1)
		pause();
	_exit(0);
}

static void probes_follow_the_mappers(void)
{
	const unsigned int n = many();
	int fd = object_open(), pipes[2];
	char *p = object_map(fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE), byte;
	struct told *told = mmap(NULL, n * sizeof(*told), PROT_READ | PROT_WRITE,
	                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t *pids = calloc(n, sizeof(*pids));
	unsigned long pages = 0, probes = 0, shared_mappers = 0;
	struct cowmem_rmap rmap;

	found = malloc(ROOM * sizeof(*found));
	MUST(told != MAP_FAILED && pids && found && !pipe(pipes));
	for (unsigned int i = 0; i < PAGES; i++)
		p[i * PAGE] = 1;
	for (unsigned int i = 0; i < n; i++) {
		pids[i] = fork();
		MUST(pids[i] >= 0);
		if (!pids[i])
			child(fd, p, i, &told[i], pipes[1]);
		MUST(read(pipes[0], &byte, 1) == 1);
	}
	for (unsigned int i = 0; i < n; i++) {
		CHECK(!told[i].wrong);
		CHECK_EQ(told[i].pages, OWN);
		pages += told[i].pages;
		probes += told[i].probes;
	}
	ksft_print_msg("copies of %u children: %lu, probes %lu: %.3f each\n", n, pages, probes,
	               (double)probes / (double)pages);
	CHECK(probes <= 2 * pages);

	/* A copy that most of them still share: in all of those, and nowhere else (R77). */
	for (unsigned int i = 0; i < n; i++)
		shared_mappers += i * OWN % PAGES != 0; /* else it wrote page 0 */
	CHECK_EQ(rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p, 1, found, ROOM), 0);
	ksft_print_msg("a copy that %u of them share: probes %lu\n", rmap.count,
	               (unsigned long)rmap.probes);
	CHECK_EQ(rmap.count, 1 + shared_mappers);
	CHECK_EQ(rmap.probes, 1 + n);
	for (unsigned int i = 0; i < n; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	CHECK_EQ(rmap_ask(fd, &rmap, COWMEM_RMAP_OF_COPIES, (uintptr_t)p, 1, found, ROOM), 0);
	CHECK_EQ(rmap.count, 1);
	CHECK_EQ(rmap.probes, 1);
	munmap(p, PAGES * PAGE);
	munmap(told, n * sizeof(*told));
	free(found);
	free(pids);
	close(pipes[0]);
	close(pipes[1]);
	close(fd);
}

/* --- clones --- */

static int relative(int fd, unsigned int command)
{
	struct cowmem_snapshot made = {.size = sizeof(made)};

	MUST(!ioctl(fd, command, &made));
	return made.fd;
}

struct clone {
	int fd;
	char *p;
};

#define CLONE_PAGES 8UL /* one for each size of the family, and what is around them */

/* @clone, of @n, writes page @index: it is looked for where it is, and nowhere else. */
static void check_own_page(const struct clone *clone, unsigned int index, unsigned int n)
{
	struct cowmem_rmap rmap;

	clone->p[index * PAGE] = 2;
	CHECK_EQ(rmap_ask(clone->fd, &rmap, 0, index * PAGE, 1, found, ROOM), 0);
	ksft_print_msg("a page that one of %u clones wrote: probes %lu\n", n,
	               (unsigned long)rmap.probes);
	CHECK_EQ(rmap.count, 1);
	CHECK_EQ(rmap.probes, 1);
	CHECK_EQ(found[0].address, clone->p + index * PAGE);
	CHECK(found[0].flags & COWMEM_MAPPING_WRITABLE);
	CHECK_EQ(page_state(clone->fd, 0, index).mapcount, 1);
}

static void probes_do_not_follow_the_clones(void)
{
	const struct rlimit files = {.rlim_cur = 4096, .rlim_max = 4096};
	const size_t bytes = CLONE_PAGES * PAGE;
	struct clone *clones = calloc(many(), sizeof(*clones));
	unsigned int size = 1, pages = 0;
	int fd = object_open(), source;

	found = malloc(ROOM * sizeof(*found));
	MUST(clones && found && !setrlimit(RLIMIT_NOFILE, &files) && !object_resize(fd, bytes));
	for (size_t at = 0; at < bytes; at += PAGE)
		MUST(pwrite(fd, "a page", 6, (off_t)at) == 6);
	source = relative(fd, COWMEM_IOC_SNAPSHOT);
	for (unsigned int n = 1; n <= many(); n++) {
		struct clone *last = &clones[n - 1];

		last->fd = relative(source, COWMEM_IOC_CLONE);
		last->p = object_map(last->fd, bytes, PROT_READ | PROT_WRITE, MAP_SHARED);
		MUST(!madvise(last->p, bytes, MADV_POPULATE_READ));
		if (n != size)
			continue;
		/* All of them have the page mapped, as the snapshot has it. */
		CHECK_EQ(page_state(source, 0, pages).mapcount, n);
		CHECK_EQ(page_state(last->fd, 0, pages).mapcount, 1);
		check_own_page(last, pages++, n);
		size *= 10;
	}
	CHECK_EQ(page_state(source, 0, 0).mapcount, many() - 1);
	for (unsigned int n = 0; n < many(); n++) {
		munmap(clones[n].p, bytes);
		close(clones[n].fd);
	}
	close(source);
	close(fd);
	free(found);
	free(clones);
}

static const struct test_case cases[] = {
	{"probes follow the mappers", "R76 R77 R79", probes_follow_the_mappers},
	{"probes do not follow the clones", "R79", probes_do_not_follow_the_clones},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
