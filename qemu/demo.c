// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration, inside the guest: a real file is loaded into an object, checked
 * through a shared mapping, and served to several processes at once, each of which
 * maps it private and patches pages of its own. Once with the copies made by the
 * device's fault handler, once by the kernel's core.
 *
 *   demo FILE
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/cowmem.h>

#define PAGE 4096L
#define PROCESSES 8
#define PATCHES 256 /* pages that each process writes to */
#define MIB(bytes) ((double)(bytes) / (1 << 20))

static void must(bool condition, const char *what)
{
	if (!condition) {
		printf("demo: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

static unsigned long counter(const char *name)
{
	char path[128], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/sys/class/misc/cowmem/counters/%s", name);
	fd = open(path, O_RDONLY);
	must(fd >= 0 && read(fd, text, sizeof(text) - 1) > 0, path);
	close(fd);
	return strtoul(text, NULL, 10);
}

/* The SHA-256 of what is written to it, by busybox, into @hex. */
static void sha256(const void *data, size_t length, char hex[65])
{
	int in[2], out[2], status;
	pid_t pid;

	must(!pipe(in) && !pipe(out), "pipe");
	pid = fork();
	if (!pid) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		execl("/bin/busybox", "sha256sum", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	for (size_t at = 0; at < length;) {
		ssize_t n = write(in[1], (const char *)data + at, length - at);

		must(n > 0, "write to sha256sum");
		at += (size_t)n;
	}
	close(in[1]);
	must(read(out[0], hex, 64) == 64, "read from sha256sum");
	hex[64] = 0;
	close(out[0]);
	must(waitpid(pid, &status, 0) == pid && !status, "sha256sum");
}

/* The kernel's count of private memory in [address, address + length), in bytes. */
static long anonymous_bytes(const void *address)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	char line[256];
	unsigned long start, end;
	bool here = false;
	long kib = -1;

	must(smaps, "smaps");
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = start == (unsigned long)address;
		else if (here)
			sscanf(line, "Anonymous: %ld", &kib);
	}
	fclose(smaps);
	return kib * 1024;
}

/* What the processes report, in memory that they share. */
struct report {
	long faults;
	long foreign; /* patched pages of another process that this one saw patched */
	long anonymous;
};

/* Which page is the @n-th that process @p writes to: they are strewn, and disjoint. */
static long patched_page(long pages, int p, long n)
{
	return (n * PROCESSES + p) * (pages / (PROCESSES * PATCHES));
}

static void patch(int fd, const unsigned char *original, size_t length, int p,
                  struct report *report)
{
	long pages = (long)length / PAGE;
	unsigned char *own = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	unsigned char patched[PATCHES];
	struct rusage before, after;

	must(own != MAP_FAILED, "mmap private");
	/* Read from the file, not from the mapping: that would be a fault of its own. */
	for (long n = 0; n < PATCHES; n++)
		patched[n] = (unsigned char)~original[patched_page(pages, p, n) * PAGE + p];
	must(!getrusage(RUSAGE_SELF, &before), "getrusage");
	for (long n = 0; n < PATCHES; n++)
		own[patched_page(pages, p, n) * PAGE + p] = patched[n];
	must(!getrusage(RUSAGE_SELF, &after), "getrusage");
	report->faults = after.ru_minflt - before.ru_minflt;
	report->anonymous = anonymous_bytes(own);

	for (int other = 0; other < PROCESSES; other++) {
		for (long n = 0; n < PATCHES; n++) {
			long at = patched_page(pages, other, n) * PAGE + other;
			bool differs = own[at] != original[at];

			if (other == p)
				must(differs, "own patch is there");
			else
				report->foreign += differs;
		}
	}
}

struct style {
	const char *name;
	uint32_t cow;
	long faults, copies, done_cow, page_locks, foreign, anonymous, resident;
	bool same_after;
};

/* One object, loaded with the file, patched by all the processes at once. */
static void run(struct style *style, const char *file, const unsigned char *original, size_t length,
                const char *sha_of_file, bool tell)
{
	struct report *reports = mmap(NULL, sizeof(*reports) * PROCESSES, PROT_READ | PROT_WRITE,
	                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct cowmem_set_cow set = {.size = sizeof(set), .cow = style->cow};
	struct cowmem_stat stat = {.size = sizeof(stat)};
	int from = open(file, O_RDONLY), fd = open(COWMEM_DEVICE, O_RDWR), status;
	unsigned long copies, done_cow, page_locks;
	unsigned char *shared;
	char sha[65];

	must(reports != MAP_FAILED, "mmap");
	must(fd >= 0, COWMEM_DEVICE);
	for (off_t at = 0; at < (off_t)length;)
		must(sendfile(fd, from, &at, length - (size_t)at) > 0, "sendfile");
	shared = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, 0);
	must(shared != MAP_FAILED, "mmap shared");
	sha256(shared, length, sha);
	if (tell)
		printf("  SHA-256 of the file          %.32s…\n"
		       "  through a shared mapping     %.32s… %s\n\n",
		       sha_of_file, sha, strcmp(sha, sha_of_file) ? "DIFFERENT" : "the same");
	must(!strcmp(sha, sha_of_file), "content");
	must(!ioctl(fd, COWMEM_IOC_SET_COW, &set), "SET_COW");

	copies = counter("copies");
	done_cow = counter("done_cow");
	page_locks = counter("page_locks");
	fflush(stdout);
	for (int p = 0; p < PROCESSES; p++) {
		if (!fork()) {
			patch(fd, original, length, p, &reports[p]);
			_exit(0);
		}
	}
	for (int p = 0; p < PROCESSES; p++)
		must(wait(&status) > 0 && !status, "a process");
	style->copies = (long)(counter("copies") - copies);
	style->done_cow = (long)(counter("done_cow") - done_cow);
	style->page_locks = (long)(counter("page_locks") - page_locks);
	for (int p = 0; p < PROCESSES; p++) {
		style->faults += reports[p].faults;
		style->foreign += reports[p].foreign;
		style->anonymous += reports[p].anonymous;
	}
	must(!ioctl(fd, COWMEM_IOC_STAT, &stat), "STAT");
	style->resident = (long)stat.resident_pages * PAGE;
	sha256(shared, length, sha);
	style->same_after = !strcmp(sha, sha_of_file);
	munmap(shared, length);
	close(fd);
	close(from);
}

int main(int argc, char **argv)
{
	struct style styles[] = {
		{.name = "handler", .cow = COWMEM_COW_HANDLER},
		{.name = "core", .cow = COWMEM_COW_CORE},
	};
	struct style *h = &styles[0], *c = &styles[1];
	const char *file = argc == 2 ? argv[1] : "/data";
	const long writes = (long)PROCESSES * PATCHES;
	unsigned char *original;
	struct utsname kernel;
	struct stat stat;
	char sha[65];
	size_t length;
	int fd;

	fd = open(file, O_RDONLY);
	must(fd >= 0 && !fstat(fd, &stat), file);
	length = (size_t)stat.st_size;
	original = mmap(NULL, length, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	must(original != MAP_FAILED && !uname(&kernel), "mmap of the file");
	sha256(original, length, sha);

	printf("  kernel                       Linux %s, %s\n", kernel.release, kernel.machine);
	printf("  file                         %.1f MiB, %zu pages\n", MIB(length),
	       (length + PAGE - 1) / PAGE);
	for (size_t i = 0; i < 2; i++)
		run(&styles[i], file, original, length, sha, !i);

#define ROW(title, format, a, b) printf("  %-44s" format format "\n", title, a, b)
	ROW("who copies at the first private write", "%12s", h->name, c->name);
	ROW("processes, each with the file mapped private", "%12d", PROCESSES, PROCESSES);
	ROW("first writes, to pages all over the file", "%12ld", writes, writes);
	ROW("page faults that these took", "%12ld", h->faults, c->faults);
	ROW("copies made by the handler, out of the object", "%12ld", h->copies, c->copies);
	ROW("page locks taken for them", "%12ld", h->page_locks, c->page_locks);
	ROW("patches of others that a process saw", "%12ld", h->foreign, c->foreign);
	ROW("the object afterwards", "%12s", h->same_after ? "unchanged" : "CHANGED",
	    c->same_after ? "unchanged" : "CHANGED");
	ROW("memory: the object                       MiB", "%12.1f", MIB(h->resident),
	    MIB(c->resident));
	ROW("memory: the private pages of all         MiB", "%12.1f", MIB(h->anonymous),
	    MIB(c->anonymous));
	ROW("memory: as many copies of the file       MiB", "%12.1f", MIB(length * PROCESSES),
	    MIB(length * PROCESSES));
	for (size_t i = 0; i < 2; i++) {
		errno = 0;
		must(styles[i].same_after && !styles[i].foreign, "isolation");
		must(styles[i].faults == writes, "one fault for each first write");
		must(styles[i].copies == (i ? 0 : writes), "one copy for each first write");
	}
	return 0;
}
