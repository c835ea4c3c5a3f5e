// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration of page-out, inside the guest: 2 MiB are written, paged out, and
 * each page is read and then written again. How many faults is that, and of what kind?
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <linux/cowmem.h>

#include "zram.h"

#define PAGE 4096UL
#define PAGES 512UL
#define REUSE "/sys/module/cowmem/parameters/reuse"

static void must(bool condition, const char *what)
{
	if (!condition) {
		printf("demo_paging: %s: %s\n", what, strerror(errno));
		exit(1);
	}
}

/* Memory that can be paged out: of an object, or (fd -1) anonymous. */
struct memory {
	int fd;
	char *p;
};

static void page_out(const struct memory *m)
{
	struct cowmem_page_out out = {
		.size = sizeof(out), .flags = COWMEM_PAGE_OUT_ACCESSED, .length = PAGES * PAGE};

	if (m->fd >= 0)
		must(!ioctl(m->fd, COWMEM_IOC_PAGE_OUT, &out) && out.out == PAGES, "PAGE_OUT");
	else
		must(!madvise(m->p, PAGES * PAGE, MADV_PAGEOUT), "MADV_PAGEOUT");
}

/* One line of the table. */
static void measure(const char *title, int fd)
{
	const int flags = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	struct memory m = {fd, mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0)};
	struct rusage before, after;
	unsigned long sum = 0;

	must(m.p != MAP_FAILED && !madvise(m.p, PAGES * PAGE, MADV_NOHUGEPAGE), "mmap");
	for (unsigned long i = 0; i < PAGES; i++)
		memset(m.p + i * PAGE, (int)(1 + i % 255), PAGE / 2);
	page_out(&m);
	must(!getrusage(RUSAGE_SELF, &before), "getrusage");
	for (unsigned long i = 0; i < PAGES; i++) {
		volatile unsigned char *byte = (unsigned char *)m.p + i * PAGE;

		sum += *byte == 1 + i % 255;
		*byte = 0;
	}
	must(!getrusage(RUSAGE_SELF, &after), "getrusage");
	printf("  %-44s%13ld%8ld\n", title, after.ru_minflt - before.ru_minflt,
	       after.ru_majflt - before.ru_majflt);
	must(sum == PAGES, "content");
	munmap(m.p, PAGES * PAGE);
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	must(zram_swap_on(32, NULL), "zram");
	printf("  %-44s%13s%8s\n", "512 pages paged out, then read and written", "minor faults",
	       "major");
	measure("cowmem", open(COWMEM_DEVICE, O_RDWR));
	must(zram_write(REUSE, "N", 1), REUSE);
	measure("cowmem, without exclusive reuse (reuse=N)", open(COWMEM_DEVICE, O_RDWR));
	must(zram_write(REUSE, "Y", 1), REUSE);
	measure("anonymous memory, swapped to zram", -1);
	must(zram_swap_off(), "swapoff");
	return 0;
}
