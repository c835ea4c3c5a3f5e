// SPDX-License-Identifier: GPL-2.0
/*
 * What a walk costs in a large family: a parent with 1,000 private copies and 1,000
 * children (100 on a debug kernel), each of which has written some of them anew. The
 * anon_vma chains of seed 001 are what keeps a child's page from costing a look into
 * every sibling.
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

static unsigned int children(void)
{
	return access("/sys/kernel/debug/kmemleak", F_OK) ? 1000 : 100;
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
	const unsigned int n = children();
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

static const struct test_case cases[] = {
	{"probes follow the mappers", "R76 R77 R79", probes_follow_the_mappers},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
