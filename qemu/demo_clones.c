// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration of clones, inside the guest: of one image 50 clones are made, each is
 * mapped by a process of its own, which writes one page in a hundred, others than the rest
 * do, and finds the image in all that it did not write. How much memory is that?
 */
#include "bench.h"

#include <pthread.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#define PAGES 16384UL
#define BYTES (PAGES * PAGE)
#define WORDS (PAGE / sizeof(uint64_t)) /* of a page */
#define CLONES 50
#define EVERY 100 /* of that many pages, a clone's process writes one */
#define NOBODY EVERY
#define LIMIT 100 /* seconds: a process that fails keeps the others waiting */
#define MIB(bytes) ((double)(bytes) / (1 << 20))

/* What the processes share. */
struct common {
	pthread_barrier_t step;
	uint64_t wrong[CLONES]; /* words */
};

/* What a word of the image is, or of the clone of @owner where that has written it. */
static uint64_t word(unsigned long page, unsigned long i, unsigned long owner)
{
	const uint64_t of_image = (page * WORDS + i + 1) * 0x9e3779b97f4a7c15;

	return page % EVERY == owner ? of_image ^ (owner + 1) : of_image;
}

static void write_page(uint64_t *map, unsigned long page, unsigned long owner)
{
	for (unsigned long i = 0; i < WORDS; i++)
		map[page * WORDS + i] = word(page, i, owner);
}

static uint64_t wrong_words(const uint64_t *map, unsigned long owner)
{
	uint64_t wrong = 0;

	for (unsigned long page = 0; page < PAGES; page++)
		for (unsigned long i = 0; i < WORDS; i++)
			wrong += map[page * WORDS + i] != word(page, i, owner);
	return wrong;
}

static uint64_t *map_all(int fd, int prot)
{
	uint64_t *map = mmap(NULL, BYTES, prot, MAP_SHARED, fd, 0);

	MUST(map != MAP_FAILED);
	return map;
}

static uint64_t wrong_in(int fd, unsigned long owner)
{
	uint64_t *map = map_all(fd, PROT_READ);
	const uint64_t wrong = wrong_words(map, owner);

	munmap(map, BYTES);
	return wrong;
}

static uint64_t resident(int fd)
{
	struct cowmem_stat stat = {.size = sizeof(stat)};

	MUST(!ioctl(fd, COWMEM_IOC_STAT, &stat));
	return stat.resident_pages * PAGE;
}

static int make_image(void)
{
	struct object o = object_make(COWMEM, BYTES);
	uint64_t *map = map_all(o.fd, PROT_READ | PROT_WRITE);
	int image;

	for (unsigned long page = 0; page < PAGES; page++)
		write_page(map, page, NOBODY);
	munmap(map, BYTES);
	image = object_relative(o.fd, COWMEM_IOC_SNAPSHOT);
	object_free(&o);
	return image;
}

static uint64_t time_of_copy(int image)
{
	struct object o = object_make(COWMEM, BYTES);
	const uint64_t start = microseconds();
	uint64_t took;

	for (off_t at = 0; at < (off_t)BYTES;)
		MUST(sendfile(o.fd, image, &at, BYTES - (size_t)at) > 0);
	took = microseconds() - start;
	object_free(&o);
	return took;
}

/* A process with a clone. */
static void live(struct common *common, int fd, unsigned long owner)
{
	uint64_t *map;

	pthread_barrier_wait(&common->step);
	map = map_all(fd, PROT_READ | PROT_WRITE);
	for (unsigned long page = owner; page < PAGES; page += EVERY)
		write_page(map, page, owner);
	pthread_barrier_wait(&common->step);
	common->wrong[owner] = wrong_words(map, owner);
	pthread_barrier_wait(&common->step);
	pthread_barrier_wait(&common->step);
	_exit(0);
}

/* Has them all at once; what free memory the machine loses to it. */
static uint64_t run(const int *clones)
{
	struct common *common = mmap(NULL, sizeof(*common), PROT_READ | PROT_WRITE,
	                             MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_barrierattr_t shared;
	uint64_t before, taken;

	MUST(common != MAP_FAILED);
	MUST(!pthread_barrierattr_init(&shared));
	MUST(!pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED));
	MUST(!pthread_barrier_init(&common->step, &shared, CLONES + 1));
	for (unsigned long i = 0; i < CLONES; i++) {
		pid_t child = fork();

		MUST(child >= 0);
		if (!child)
			live(common, clones[i], i);
	}
	before = free_bytes();
	for (int step = 0; step < 3; step++)
		pthread_barrier_wait(&common->step);
	taken = before - free_bytes();
	pthread_barrier_wait(&common->step);
	for (unsigned long i = 0; i < CLONES; i++) {
		int status;

		MUST(wait(&status) > 0 && !status);
		MUST(!common->wrong[i]);
	}
	munmap(common, sizeof(*common));
	return taken;
}

/* What the second writes is not seen in the first. */
static void clone_of_clone(int first)
{
	int second = object_relative(first, COWMEM_IOC_CLONE);
	uint64_t *map = map_all(second, PROT_READ | PROT_WRITE);

	MUST(!wrong_words(map, 0));
	write_page(map, 1, 1);
	MUST(wrong_words(map, 0) == WORDS && !wrong_in(first, 0));
	munmap(map, BYTES);
	close(second);
}

static uint64_t time_of_restore(int clone, int image)
{
	struct cowmem_restore restore = {.size = sizeof(restore), .fd = image};
	const uint64_t start = microseconds();
	uint64_t took;

	MUST(!ioctl(clone, COWMEM_IOC_RESTORE, &restore));
	took = microseconds() - start;
	MUST(!resident(clone) && !wrong_in(clone, NOBODY));
	return took;
}

int main(void)
{
	uint64_t taken = free_bytes(), took[CLONES], pages = 0, copy, restored;
	int clones[CLONES], image = make_image();

	setvbuf(stdout, NULL, _IOLBF, 0);
	alarm(LIMIT);
	for (int i = 0; i < CLONES; i++) {
		const uint64_t start = microseconds();

		clones[i] = object_relative(image, COWMEM_IOC_CLONE);
		took[i] = microseconds() - start;
	}
	taken -= free_bytes();
	taken += run(clones);
	for (unsigned long i = 0; i < CLONES; i++) {
		MUST(resident(clones[i]) == (PAGES - i + EVERY - 1) / EVERY * PAGE);
		pages += resident(clones[i]);
	}
	MUST(resident(image) == BYTES && !wrong_in(image, NOBODY));
	copy = time_of_copy(image);
	clone_of_clone(clones[0]);
	restored = time_of_restore(clones[1], image);

#define ROW(title, format, value) printf("  %-56s" format "\n", title, value)
	printf("  one image of %.0f MiB, %d clones, each written to by a process of its own\n",
	       MIB(BYTES), CLONES);
	ROW("words found to be the image's, or the process' own", "%12lu", CLONES * PAGES * WORDS);
	ROW("memory: the image                                    MiB", "%12.1f",
	    MIB(resident(image)));
	ROW("memory: the pages that the processes wrote           MiB", "%12.1f", MIB(pages));
	ROW("memory: all, with page tables: what the kernel lost  MiB", "%12.1f", MIB(taken));
	ROW("memory: as many copies of the image                  MiB", "%12.1f",
	    MIB(BYTES * CLONES));
	ROW("a CLONE (median)                                      µs", "%12lu",
	    median(took, CLONES));
	ROW("a copy of the image                                   µs", "%12lu", copy);
	ROW("RESTORE of a clone to the image                       µs", "%12lu", restored);
	ROW("a clone of a clone, written to; the first is", "%12s", "unchanged");
	return 0;
}
