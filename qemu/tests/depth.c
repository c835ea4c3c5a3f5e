// SPDX-License-Identifier: GPL-2.0
/* How many layers a family may have. */
#include "answers.h"
#include "counts.h"
#include "relatives.h"

#include <sys/resource.h>

/* As many as there may be, each of another instant; that many are seen as fast as one. */
static void too_many_layers(void)
{
	const unsigned int open_files = COWMEM_LAYERS_MAX + COWMEM_NR_COUNTERS + 100;
	const struct rlimit files = {open_files, open_files};
	const unsigned int most = COWMEM_LAYERS_MAX - 1; /* beside the object itself */
	struct counts before = counts_now();
	struct cowmem_snapshot arg = {.size = sizeof(arg)};
	int fd, *made, another;
	char *map;

	if (debug_kernel())
		SKIP("a debug kernel takes too long for so many");
	fd = object_open();
	made = calloc(most, sizeof(*made));
	map = object_map(fd, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);

	MUST(made && !setrlimit(RLIMIT_NOFILE, &files));
	for (unsigned int i = 0; i < most; i++) {
		map[0] = (char)i;
		made[i] = snapshot(fd);
	}
	CHECK_EQ(object_stat(fd).layers, most);
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_SNAPSHOT, &arg), EMLINK);
	CHECK_ERRNO(snapshot_set(fd, &fd, &another, 1), EMLINK);
	map[0] = 1;
	CHECK_ERRNO(ioctl(fd, COWMEM_IOC_CLONE, &arg), EMLINK);
	for (unsigned int i = 0; i < most; i++) {
		char byte;

		CHECK_EQ(pread(made[i], &byte, 1, 0), 1);
		CHECK_EQ(byte, (char)i);
		close(made[i]);
	}
	close(snapshot(fd));
	free(made);
	munmap(map, PAGE);
	close(fd);
	check_returned(before);
}

static const struct test_case cases[] = {
	{"there can be too many layers", "", too_many_layers},
};

int main(void)
{
	return run_tests(cases, ARRAY_LENGTH(cases));
}
