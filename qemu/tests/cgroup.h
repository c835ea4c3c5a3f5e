/* SPDX-License-Identifier: GPL-2.0 */
/* A memory cgroup for one case, and whether it goes when the case is over. */
#ifndef COWMEM_CGROUP_H
#define COWMEM_CGROUP_H

#include "cowmem_test.h"

#include <sys/stat.h>

#define CGROUPS "/sys/fs/cgroup"
#define CGROUP CGROUPS "/cowmem-test"
#define OTHER_CGROUP CGROUPS "/cowmem-test-other"

/* The number after @key in a file of "key number" lines; an empty key: the file's first. */
static inline long read_number(const char *path, const char *key)
{
	char text[4096] = "", *found;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	MUST(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	found = strstr(text, key);
	MUST(found);
	return strtol(found + strlen(key), NULL, 10);
}

/* --- a child process in a memory cgroup of its own --- */
static inline long dying_cgroups(void)
{
	return read_number(CGROUPS "/cgroup.stat", "nr_dying_descendants ");
}

/*
 * Each CPU keeps a charge in stock for the cgroup it last charged, and with it the
 * cgroup, even when that stock has run out. Makes them all turn to another one.
 */
static inline void displace_stocks(void)
{
	int status;
	pid_t pid;

	MUST(!mkdir(OTHER_CGROUP, 0755));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(write_text(OTHER_CGROUP "/cgroup.procs", "0"));
		for (long cpu = sysconf(_SC_NPROCESSORS_ONLN) - 1; cpu >= 0; cpu--) {
			cpu_set_t one;

			CPU_ZERO(&one);
			CPU_SET(cpu, &one);
			MUST(!sched_setaffinity(0, sizeof(one), &one));
			*(volatile char *)mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
		}
		_exit(0);
	}
	MUST(waitpid(pid, &status, 0) == pid && status == 0);
	MUST(!rmdir(OTHER_CGROUP));
}

/*
 * A removed cgroup goes only when every anonymous page charged to it was freed;
 * one that leaked keeps it for ever.
 */
static inline void check_removed_go(long dying_before)
{
	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	for (int i = 0; i < 100 && dying_cgroups() > dying_before; i++) {
		if (i % 25 == 0)
			displace_stocks();
		MUST(write_text("/proc/sys/vm/drop_caches", "1")); /* what it read of files */
		empty_batches();
		usleep(50000);
	}
	CHECK(dying_cgroups() <= dying_before); /* one that was going before may have gone, too */
}

static inline void check_cgroup_goes(long dying_before)
{
	MUST(!rmdir(CGROUP));
	check_removed_go(dying_before);
}

/* Everything in CGROUP is looked at until nothing goes any more, however often: so also what was used. */
static inline void reclaim_all(void)
{
	write_text(CGROUP "/memory.reclaim", "1G"); /* EAGAIN: there is not as much */
}

/* Runs @body in a child in CGROUP; @limit: memory.max. Returns how the child ended: a wait status. */
static inline int run_in_cgroup(const char *limit, void (*body)(void))
{
	int status;
	pid_t pid;

	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	MUST(!mkdir(CGROUP, 0755));
	MUST(write_text(CGROUP "/memory.max", limit));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		test_failed = false;
		MUST(write_text(CGROUP "/cgroup.procs", "0"));
		body();
		_exit(test_failed);
	}
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

#endif /* COWMEM_CGROUP_H */
