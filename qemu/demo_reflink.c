// SPDX-License-Identifier: GPL-2.0
/*
 * The demonstration of files, inside the guest: an image in a tmpfs and in a mount of cowmem's is
 * copied by Debian's own cp, which knows nothing of cowmem, and both sides are written then.
 */
#include "bench.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#define PAGES 16384UL
#define BYTES (PAGES * PAGE)
#define WORDS (PAGE / sizeof(uint64_t)) /* of a page */
#define EVERY 100                       /* of that many pages one is written on each side */
#define MIB(bytes) ((double)(bytes) / (1 << 20))

enum side { IMAGE, COPY, NR_SIDES };

static const char *const names[NR_SIDES] = {"image", "copy"};

struct row {
	uint64_t took, taken, written, wrong; /* µs, bytes, bytes, words */
};

/* What a word is at first, or when @side has been written. */
static uint64_t word(unsigned long page, unsigned long i, enum side side, bool written)
{
	const uint64_t first = (page * WORDS + i + 1) * 0x9e3779b97f4a7c15;

	return written && page % EVERY == (unsigned long)side ? ~first - side : first;
}

static uint64_t *map_file(enum side side)
{
	int fd = open(names[side], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	uint64_t *map;

	MUST(fd >= 0 && !ftruncate(fd, BYTES));
	map = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	MUST(map != MAP_FAILED);
	close(fd);
	return map;
}

static void write_side(enum side side, bool changes)
{
	uint64_t *map = map_file(side);

	for (unsigned long page = 0; page < PAGES; page++)
		if (!changes || page % EVERY == (unsigned long)side)
			for (unsigned long i = 0; i < WORDS; i++)
				map[page * WORDS + i] = word(page, i, side, changes);
	munmap(map, BYTES);
}

static uint64_t wrong_words(enum side side)
{
	uint64_t *map = map_file(side), wrong = 0;

	for (unsigned long page = 0; page < PAGES; page++)
		for (unsigned long i = 0; i < WORDS; i++)
			wrong += map[page * WORDS + i] != word(page, i, side, true);
	munmap(map, BYTES);
	return wrong;
}

/* Has cp copy the image; how long that takes, with the program's start. */
static uint64_t copy(const char *how)
{
	const uint64_t start = microseconds();
	pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		execl("/bin/cp", "cp", how, names[IMAGE], names[COPY], NULL);
		_exit(127);
	}
	MUST(waitpid(child, &status, 0) == child && !status);
	return microseconds() - start;
}

/* Bytes that the files of the mount take. */
static uint64_t used(void)
{
	struct statfs fs;

	MUST(!statfs(".", &fs));
	return (fs.f_blocks - fs.f_bfree) * (uint64_t)fs.f_bsize;
}

static struct row measure(const char *type, const char *how)
{
	struct row row;
	uint64_t before;

	MUST(!mkdir(type, 0755) && !mount("none", type, type, 0, "size=256m") && !chdir(type));
	write_side(IMAGE, false);
	before = used();
	row.took = copy(how);
	row.taken = used() - before;
	write_side(IMAGE, true);
	write_side(COPY, true);
	row.written = used() - before;
	row.wrong = wrong_words(IMAGE) + wrong_words(COPY);
	MUST(!chdir("/tmp") && !umount(type));
	return row;
}

int main(void)
{
	struct row with[2];

	setvbuf(stdout, NULL, _IOLBF, 0);
	MUST(!chdir("/tmp"));
	with[0] = measure("tmpfs", "--reflink=auto");
	with[1] = measure("cowmem", "--reflink=always");
	printf("  an image of %.0f MiB, copied by Debian's cp --reflink%9s%12s\n", MIB(BYTES),
	       "tmpfs", "cowmem");
#define ROW(title, format, of) printf("  %-44s" format format "\n", title, with[0].of, with[1].of)
	ROW("the copy                                  µs", "%12lu", took);
	printf("  %-44s%12.1f%12.1f\n", "memory: the copy                         MiB",
	       MIB(with[0].taken), MIB(with[1].taken));
	printf("  %-44s%12.1f%12.1f\n", "memory: when each side wrote 1 %         MiB",
	       MIB(with[0].written), MIB(with[1].written));
	ROW("words wrong in either", "%12lu", wrong);
	return 0;
}
