// SPDX-License-Identifier: GPL-2.0
/*
 * A process that has more and more children, each of which has an object mapped once more, and
 * private copies: what one takes does not depend on how many there are.
 */
#include "counts.h"

enum { PAGES = 64, MOST = 512, OWN_STEP = 4, INHERITED_STEP = 8 };

/* What the children share: the object, what their parent has mapped of it, and how each tells that it is ready. */
struct parent {
	int fd;
	unsigned char *map;
	int ready[2];
	int stay[2]; /* closed by the parent, when they are to go */
};

static unsigned char byte_of(unsigned int page)
{
	return (unsigned char)(page + 1);
}

/* Copies pages of a mapping of its own, reads all of that, and copies pages of what it has inherited. */
static void be_child(const struct parent *p, unsigned char mark)
{
	unsigned char *own = object_map(p->fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	unsigned int wrong = 0;
	char byte;

	/* First: what is mapped to be read already is copied by the kernel's core. */
	for (unsigned int i = 0; i < PAGES; i += OWN_STEP)
		own[i * PAGE] = mark;
	for (unsigned int i = 0; i < PAGES; i++)
		wrong += ((volatile unsigned char *)own)[i * PAGE] !=
		         (i % OWN_STEP ? byte_of(i) : mark);
	for (unsigned int i = 0; i < PAGES; i += INHERITED_STEP)
		p->map[i * PAGE] = mark;
	MUST(write(p->ready[1], "", 1) == 1);
	close(p->stay[1]);
	MUST(read(p->stay[0], &byte, 1) == 0);
	for (unsigned int i = 0; i < PAGES; i++) {
		wrong += own[i * PAGE] != (i % OWN_STEP ? byte_of(i) : mark);
		wrong += p->map[i * PAGE] != (i % INHERITED_STEP ? byte_of(i) : mark);
	}
	_exit(wrong > 0);
}

/* What @children children, who all run at once and stay until the last is ready, take together. */
static struct counts taken_by(struct parent *p, unsigned int children)
{
	struct counts before = counts_now(), after;
	unsigned int bad = 0;
	char byte;
	int status;

	MUST(!pipe(p->ready) && !pipe(p->stay));
	for (unsigned int i = 0; i < children; i++) {
		const pid_t child = fork();

		MUST(child >= 0);
		if (!child)
			be_child(p, (unsigned char)(0x80 | i));
	}
	for (unsigned int i = 0; i < children; i++)
		MUST(read(p->ready[0], &byte, 1) == 1);
	after = counts_now();
	close(p->stay[1]);
	for (unsigned int i = 0; i < children; i++) {
		MUST(wait(&status) > 0);
		bad += status != 0;
	}
	CHECK_EQ(bad, 0);
	close(p->stay[0]);
	close(p->ready[0]);
	close(p->ready[1]);
	for (unsigned int i = 0; i < COWMEM_NR_COUNTERS; i++)
		after.of[i] -= before.of[i];
	return after;
}

#define TAKEN(counts, name) ((counts).of[COWMEM_COUNT_##name])

static void one_of_many_takes_what_an_only_one_does(void)
{
	const unsigned int most = debug_kernel() ? MOST / 8 : MOST;
	const struct counts before = counts_now();
	struct parent p = {.fd = object_open()};
	struct counts one, many;

	p.map = object_map(p.fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED);
	for (unsigned int i = 0; i < PAGES; i++)
		p.map[i * PAGE] = byte_of(i);
	munmap(p.map, PAGES * PAGE);
	/* Half of it copied, which a child inherits; the rest is the object's. */
	p.map = object_map(p.fd, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	for (unsigned int i = 0; i < PAGES; i += 2)
		p.map[i * PAGE] = byte_of(i);
	for (unsigned int i = 0; i < PAGES; i++)
		(void)*(volatile unsigned char *)(p.map + i * PAGE);
	taken_by(&p, 1); /* and whatever is done once */
	one = taken_by(&p, 1);
	for (unsigned int n = 8; n <= most; n *= 8) {
		many = taken_by(&p, n);
		ksft_print_msg(
			"%u children: %lu read faults, %lu copies, %lu page locks, %lu waits\n", n,
			TAKEN(many, fault_read) + TAKEN(many, around_calls), TAKEN(many, copies),
			TAKEN(many, page_locks),
			TAKEN(many, spinlock_waits) + TAKEN(many, object_lock_waits) +
				TAKEN(many, page_lock_waits));
		CHECK_EQ(TAKEN(many, fault_read), n * TAKEN(one, fault_read));
		CHECK_EQ(TAKEN(many, around_calls), n * TAKEN(one, around_calls));
		CHECK_EQ(TAKEN(many, around_mapped), n * TAKEN(one, around_mapped));
		CHECK_EQ(TAKEN(many, fault_private_write), n * TAKEN(one, fault_private_write));
		CHECK_EQ(TAKEN(many, copies), n * TAKEN(one, copies));
		CHECK_EQ(TAKEN(many, page_locks), 0);
		CHECK_EQ(TAKEN(many, locked_retries), 0);
		CHECK_EQ(TAKEN(many, object_lock_waits), 0);
		CHECK_EQ(TAKEN(many, spinlock_waits), 0);
		CHECK_EQ(TAKEN(many, page_lock_waits), 0);
	}
	CHECK_EQ(TAKEN(one, copies), PAGES / OWN_STEP);
	munmap(p.map, PAGES * PAGE);
	close(p.fd);
	check_returned(before);
}

int main(void)
{
	static const struct test_case cases[] = {
		{"one of many children takes what an only one does, and waits for none", "R98",
	         one_of_many_takes_what_an_only_one_does},
	};

	return run_tests(cases, ARRAY_LENGTH(cases));
}
