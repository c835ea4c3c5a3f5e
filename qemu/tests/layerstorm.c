// SPDX-License-Identifier: GPL-2.0
/*
 * Snapshots, clones and the rest against a model, by several processes at once, for as many
 * seconds as the first argument says; the second is a seed, which makes each of them do the
 * same as before, if not in the same order.
 *
 * Objects of common families are spread over workers, processes and threads of one. Each
 * descriptor is one worker's at a time. It has in shared memory what is to be read there, byte
 * for byte, and hands both on together. Processes die, by themselves and in the middle of
 * whatever they do: killed, or since a thread of theirs exits or calls execve() while another
 * faults; of what was under way then each byte has to be as before or as after. From
 * time to time all stand still, compare everything, and a debug kernel's module looks through
 * the layers (src/testing/check.cc).
 */
#include "counts.h"
#include "storm_ops.h"
#include "parameters.h"

#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <time.h>

enum { PROCESSES = WORKERS - 1 };
enum { WAIT = 600 }; /* seconds in which everybody comes to a rest, also on a busy machine */

static int seconds = 6;
static unsigned int seed;

/* --- children --- */
static void wait_for_children(struct self *self)
{
	for (int i = 0; i < CHILDREN; i++) {
		int status = 0;

		if (self->child[i])
			MUST(waitpid(self->child[i], &status, 0) == self->child[i] && !status);
		self->child[i] = 0;
	}
}

/* A child that looks at a snapshot for a while, and exits, while its parent goes on. */
static void have_reader(struct self *self, unsigned int t)
{
	unsigned char *map = map_of(t), expected[BYTES];
	const size_t bytes = arena->thing[t].is.bytes;
	int i = 0;
	pid_t pid;

	while (i < CHILDREN && self->child[i])
		i++;
	if (!arena->thing[t].sealed || i == CHILDREN)
		return;
	memcpy(expected, arena->thing[t].is.byte, BYTES);
	pid = fork();
	MUST(pid >= 0);
	self->child[i] = pid;
	if (pid)
		return;
	for (unsigned int n = 1 + below(self, 8); n; n--) {
		compare(self, t, map, 0, bytes, expected);
		usleep(below(self, 3000));
	}
	_exit(0);
}

/* A child that has the mapping, too, and sees what its parent does. */
static void have_follower(struct self *self, unsigned int t)
{
	int ends[2];
	int status;
	char byte = 0;
	pid_t pid;

	if (arena->thing[t].sealed)
		return;
	map_of(t);
	MUST(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		MUST(!close(ends[0]));
		while (read(ends[1], &byte, 1) == 1) {
			look_at_all(self, t);
			if (below(self, 2))
				fill(self, t);
			MUST(write(ends[1], &byte, 1) == 1);
		}
		_exit(0);
	}
	MUST(!close(ends[1]));
	for (int n = 0; n < 20 && owns(self, t); n++) {
		act_on(self, t, below(self, DEEDS_OF_THE_DOOMED));
		if (n % 5 || !owns(self, t))
			continue;
		MUST(write(ends[0], &byte, 1) == 1 && read(ends[0], &byte, 1) == 1);
		look_at_all(self, t);
	}
	MUST(!close(ends[0]) && waitpid(pid, &status, 0) == pid && !status);
}

/* What was under way when the child was killed has been done, or has not. */
static void settle(struct self *self, unsigned int t)
{
	struct pending *pending = &arena->worker[self->number].pending;
	struct thing *thing = &arena->thing[t];
	struct content before = thing->is, after = thing->is;
	struct content found = {.bytes = object_stat(here[t].fd).bytes};

	atomic_fetch_add(&arena->unsettled, 1);
	before.bytes = pending->before.bytes;
	after.bytes = pending->after.bytes;
	memcpy(before.byte + pending->first, pending->before.byte + pending->first,
	       pending->length);
	memcpy(after.byte + pending->first, pending->after.byte + pending->first, pending->length);
	if (found.bytes != before.bytes && found.bytes != after.bytes)
		complain(self, t, 0, (int)after.bytes, (int)found.bytes);
	MUST(pread(here[t].fd, found.byte, BYTES, 0) == (ssize_t)found.bytes);
	for (size_t i = 0; i < found.bytes; i++)
		if (found.byte[i] != before.byte[i] && found.byte[i] != after.byte[i])
			complain(self, t, i, after.byte[i], found.byte[i]);
	if (pending->whole && memcmp(&found, &before, sizeof(found)) &&
	    memcmp(&found, &after, sizeof(found)))
		complain(self, t, 0, -1, -1);
	thing->is = found;
	atomic_store(&pending->is, false);
}

/* How a child comes to its end in the middle of what it does: another's doing, each of them. */
enum end { KILLED, EXITS, EXECS, ENDS };

#define GONE "gone" /* the argument of a program that just ends */

static struct {
	enum end end;
	unsigned int after; /* microseconds */
	unsigned int thing;
} doom;

/* Has pages of the thing mapped, again and again, to read or to write. What is beyond the end is none. */
static void *keep_faulting(void *unused)
{
	(void)unused;
	for (size_t n = 0;; n++) {
		unsigned char *map = __atomic_load_n(&here[doom.thing].map, __ATOMIC_RELAXED);

		madvise(map + n * 7 % PAGES * PAGE, PAGE,
		        n % 3 ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
	}
	return NULL;
}

static void *end_soon(void *unused)
{
	(void)unused;
	usleep(doom.after);
	if (doom.end == EXITS)
		_exit(0);
	execl("/proc/self/exe", "layerstorm", GONE, NULL);
	MUST(!"execve() comes back");
	return NULL;
}

static void be_doomed(struct self *self, unsigned int t)
{
	pthread_t other;

	MUST(!prctl(PR_SET_PDEATHSIG, SIGKILL));
	self->doomed = true;
	map_of(t);
	MUST(!pthread_create(&other, NULL, keep_faulting, NULL));
	atomic_store(&arena->worker[self->number].pending.begun, true);
	if (doom.end != KILLED)
		MUST(!pthread_create(&other, NULL, end_soon, NULL));
	for (;;)
		act_on(self, t, STORE + below(self, DEEDS_OF_THE_DOOMED - STORE));
}

/* A child that ends in the middle of what it does to a thing that its parent has, too. */
static void have_doomed(struct self *self, unsigned int t)
{
	const unsigned int after = below(self, 5000);
	const enum end end = atomic_load(&arena->doomed) % ENDS;
	struct pending *pending = &arena->worker[self->number].pending;
	int status;
	pid_t pid;

	if (arena->thing[t].sealed)
		return;
	atomic_fetch_add(&arena->doomed, 1);
	atomic_store(&pending->begun, false);
	pid = fork();
	MUST(pid >= 0);
	if (!pid) {
		doom.end = end;
		doom.after = after;
		doom.thing = t;
		be_doomed(self, t);
	}
	while (!atomic_load(&pending->begun))
		usleep(100);
	if (end == KILLED) {
		usleep(after);
		MUST(!kill(pid, SIGKILL));
	}
	MUST(waitpid(pid, &status, 0) == pid);
	MUST(end == KILLED ? WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL : !status);
	self->random += after;
	if (atomic_load(&pending->is))
		settle(self, t);
	look_at_all(self, t);
}

static void leave(struct self *self, unsigned int t)
{
	(void)self, (void)t;
	_exit(0);
}

/* --- workers --- */
/* clang-format off */
static const struct {
	void (*act)(struct self *self, unsigned int t);
	unsigned int often; /* the dearer, the less */
	bool writes;        /* nothing for a snapshot */
} deeds[DEEDS] = {
	[LOOK] = {look, 9000, false},
	[STORE] = {store, 9000, true},
	[WRITE] = {write_some, 2000, true},
	[FILL] = {fill, 100, true},
	[PUNCH] = {punch, 40, true},
	[RESIZE] = {resize, 40, true},
	[RESTORE] = {go_back, 80, true},
	[OUT] = {page_out, 80, true},
	[PREFETCH] = {prefetch, 60, false},
	[SNAPSHOT] = {seal, 80, false},
	[CLONE] = {copy, 50, false},
	[MOVE] = {move, 60, false},
	[PROTECT] = {protect, 60, false},
	[DISCARD] = {discard, 40, false},
	[MAP_AGAIN] = {unmap, 40, false},
	[PRIVATE] = {write_privately, 40, false},
	[PIN] = {pin, 100, false},
	[REFUSED] = {refused, 20, true},
	[CLOSE] = {drop, 80, false},
	[PASS] = {pass, 60, false},
	[SHARE] = {share, 30, false},
	[OPEN] = {start_afresh, 5, false},
	[READER] = {have_reader, 4, false},
	[FOLLOWER] = {have_follower, 4, false},
	[DOOMED] = {have_doomed, 90, false},
	[EXIT] = {leave, 2, false},
};
/* clang-format on */

static void act_on(struct self *self, unsigned int t, enum deed deed)
{
	self->deed = deeds[deed].writes && arena->thing[t].sealed ? LOOK : deed;
	arena->worker[self->number].deed = self->deed;
	atomic_fetch_add_explicit(&arena->did[self->deed], 1, memory_order_relaxed);
	deeds[self->deed].act(self, t);
}

static enum deed any_deed(struct self *self)
{
	unsigned int sum = 0, n;
	enum deed deed = 0;

	for (int i = 0; i < DEEDS; i++)
		sum += deeds[i].often;
	for (n = below(self, sum); n >= deeds[deed].often; deed++)
		n -= deeds[deed].often;
	return deed;
}

static void act(struct self *self)
{
	const int t = any_thing(self, is_any, 0);

	if (t < 0)
		start_afresh(self, 0);
	else
		act_on(self, (unsigned int)t, any_deed(self));
	if (!below(self, 8))
		receive_all(self);
}

/* Of what some of its things are part of: that may be the same layers, and takes long. */
static void inspect(struct self *self)
{
	for (int n = 0; n < 2; n++) {
		const int t = any_thing(self, is_any, 0);

		if (t >= 0 && !layers_are_sound(here[t].fd))
			complain(self, (unsigned int)t, 0, 0, 0);
	}
}

static void take_part(struct self *self, enum phase phase)
{
	if (phase == STAND)
		wait_for_children(self);
	else if (phase == COMPARE)
		receive_all(self);
	else if (phase == INSPECT)
		inspect(self);
	for (unsigned int t = 0; t < THINGS; t++) {
		if (phase == COMPARE && owns(self, t))
			look_at_all(self, t);
		else if (phase == HOME && owns(self, t))
			drop(self, t);
	}
}

static void *work(void *argument)
{
	struct self self = {.number = (unsigned int)(uintptr_t)argument};
	_Atomic int *at = &arena->worker[self.number].at;

	self.random = seed + self.number * 1009 + arena->worker[self.number].lives++ * 9176;
	for (;;) {
		const int phase = atomic_load(&arena->phase);

		if (phase == GO)
			act(&self);
		else if (phase == atomic_load(at))
			usleep(200);
		else
			take_part(&self, phase);
		atomic_store(at, phase);
		if (phase == HOME)
			return NULL;
	}
}

/* --- who has the workers stand still, and kills them --- */
static struct process {
	pid_t pid; /* of its process group, too; 0: it is no more */
	unsigned int first, count;
	bool killed;
} process[PROCESSES];

static void start(struct process *p)
{
	for (unsigned int n = p->first; n < p->first + p->count; n++) {
		atomic_store(&arena->worker[n].at, GO);
		atomic_store(&arena->worker[n].pending.is, false);
	}
	p->killed = false;
	p->pid = fork();
	MUST(p->pid >= 0);
	setpgid(p->pid, p->pid);
	if (!p->pid) {
		pthread_t other[WORKERS];

		MUST(!prctl(PR_SET_PDEATHSIG, SIGKILL)); /* if a MUST of ours is not so */

		for (unsigned int i = 1; i < p->count; i++)
			MUST(!pthread_create(&other[i], NULL, work,
			                     (void *)(uintptr_t)(p->first + i)));
		work((void *)(uintptr_t)p->first);
		for (unsigned int i = 1; i < p->count; i++)
			MUST(!pthread_join(other[i], NULL));
		_exit(0);
	}
}

/* Its children come to us when it has died. What it had is gone, but for what it has sent. */
static void bury(struct process *p, int status)
{
	CHECK(!status || (p->killed && WIFSIGNALED(status)));
	kill(-p->pid, SIGKILL);
	while (waitpid(-p->pid, NULL, 0) > 0)
		;
	for (int t = 0; t < THINGS; t++) {
		const int owner = atomic_load(&arena->thing[t].owner);

		if (owner >= (int)p->first && owner < (int)(p->first + p->count))
			atomic_store(&arena->thing[t].owner, NOBODY);
	}
	p->pid = 0;
}

static bool lives(struct process *p)
{
	int status;

	if (p->pid && waitpid(p->pid, &status, WNOHANG) == p->pid)
		bury(p, status);
	return p->pid;
}

/* Whether all who live have come to @phase. */
static bool all_are_at(enum phase phase)
{
	bool all = true;

	for (int i = 0; i < PROCESSES; i++)
		for (unsigned int n = 0; n < process[i].count && lives(&process[i]); n++)
			all &= atomic_load(&arena->worker[process[i].first + n].at) == (int)phase;
	return all;
}

static void say_what_is_wrong(void)
{
	if (!atomic_load(&arena->wrong))
		return;
	ksft_print_msg("%lu wrong; first: worker %u, deed %u, thing %u of %zu bytes, at byte %zu "
	               "(page %zu): %d, not %d\n",
	               atomic_load(&arena->wrong), arena->first_wrong.worker,
	               arena->first_wrong.deed, arena->first_wrong.thing, arena->first_wrong.bytes,
	               arena->first_wrong.offset, arena->first_wrong.offset / PAGE,
	               arena->first_wrong.found, arena->first_wrong.expected);
	test_failed = true;
}

/* Somebody does not get done. Those who stand still have a look whether they see why. */
static void give_up(enum phase phase)
{
	for (int n = 0; n < WORKERS; n++)
		if (atomic_load(&arena->worker[n].at) != (int)phase)
			ksft_print_msg("worker %d does not come to phase %d, since deed %d\n", n,
			               phase, arena->worker[n].deed);
	atomic_store(&arena->phase, INSPECT);
	sleep(5);
	say_what_is_wrong();
	MUST(!"all come to a rest");
}

static void have_all(enum phase phase)
{
	const time_t end = time(NULL) + WAIT;

	atomic_store(&arena->phase, phase);
	while (!all_are_at(phase)) {
		if (time(NULL) > end)
			give_up(phase);
		usleep(500);
	}
}

/* Nothing is under way any more: a place that was given to what never came is free. */
static void free_lost(void)
{
	for (int t = 0; t < THINGS; t++) {
		const int owner = atomic_load(&arena->thing[t].owner);

		if (owner == NEW || owner >= SENT)
			atomic_store(&arena->thing[t].owner, NOBODY);
	}
}

static void have_all_rest(void)
{
	bool all = true;

	have_all(STAND);
	have_all(COMPARE);
	for (int i = 0; i < PROCESSES; i++)
		all &= lives(&process[i]);
	if (all)
		free_lost();
	have_all(INSPECT);
	atomic_store(&arena->phase, GO);
}

static long microseconds(void)
{
	struct timespec now;

	MUST(!clock_gettime(CLOCK_MONOTONIC, &now));
	return now.tv_sec * 1000000L + now.tv_nsec / 1000;
}

/* So that most of the time they do. */
static void let_work(long wanted)
{
	usleep((unsigned int)(wanted < 20000 ? 20000 : wanted > 700000 ? 700000 : wanted));
}

static void disturb(struct self *self, unsigned long *rests, unsigned long *killed)
{
	struct process *p = &process[below(self, PROCESSES)];

	switch (below(self, 8)) {
	case 0:
	case 1:
		p->killed = lives(p) && !kill(p->pid, SIGKILL);
		*killed += p->killed;
		break;
	case 2:
		MUST(write_text("/proc/sys/vm/drop_caches", "2"));
		break;
	default:
		have_all_rest();
		++*rests;
	}
}

static unsigned long deeds_done(void)
{
	unsigned long sum = 0;

	for (int deed = 0; deed < DEEDS; deed++)
		sum += atomic_load(&arena->did[deed]);
	return sum;
}

/* A debug kernel on a busy machine may need longer than it was given. */
static bool have_done_enough(struct counts before, unsigned long rests)
{
	return deeds_done() >= fewer_if_debug(5000) && rests >= (debug_kernel() ? 2 : 4) &&
	       SINCE(before, restores) && SINCE(before, pages_copied_up) &&
	       SINCE(before, pages_taken_over) && SINCE(before, pages_brought_in) &&
	       SINCE(before, pages_frozen_copied) && atomic_load(&arena->most_clones) > 1 &&
	       atomic_load(&arena->doomed) >= ENDS;
}

/* What the store has, for all objects. */
static uint64_t pool_bytes(void)
{
	const int fd = object_open();
	const uint64_t bytes = store_stat(fd).pool_bytes;

	MUST(!close(fd));
	return bytes;
}

static void storm(bool speculation)
{
	struct self self = {.random = seed};
	const struct counts before = counts_now();
	const time_t end = time(NULL) + seconds;
	unsigned long rests = 0, killed = 0;
	long started;
	const uint64_t pool = pool_bytes();

	set_speculation(speculation);
	MUST(write_text("/proc/sys/vm/drop_caches", "4")); /* without a word in the log */
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	arena = mmap(NULL, sizeof(*arena), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	             0);
	MUST(arena != MAP_FAILED);
	for (int t = 0; t < THINGS; t++)
		atomic_store(&arena->thing[t].owner, NOBODY);
	for (int n = 0; n < WORKERS; n++)
		MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, inbox[n]));
	for (unsigned int i = 0; i < PROCESSES; i++) {
		process[i] = (struct process){.first = i ? i + 1 : 0, .count = i ? 1 : 2};
		start(&process[i]);
	}
	while (!atomic_load(&arena->wrong) && !test_failed &&
	       (time(NULL) < end ||
	        (!have_done_enough(before, rests) && time(NULL) < end + WAIT))) {
		started = microseconds();
		disturb(&self, &rests, &killed);
		let_work(5 * (microseconds() - started));
		for (int i = 0; i < PROCESSES; i++)
			if (!lives(&process[i]))
				start(&process[i]);
	}
	have_all_rest();
	have_all(HOME);
	for (int i = 0; i < PROCESSES; i++)
		while (lives(&process[i]))
			usleep(500);
	for (int n = 0; n < WORKERS; n++)
		MUST(!close(inbox[n][0]) && !close(inbox[n][1]));
	say_what_is_wrong();
	ksft_print_msg("seed %u: %lu deeds; compared and checked %lu times, %lu killed, %lu exits, "
	               "%lu of %lu children ended in the middle of a change, %lu passed\n",
	               seed, deeds_done(), rests, killed, atomic_load(&arena->did[EXIT]),
	               atomic_load(&arena->unsettled), atomic_load(&arena->doomed),
	               atomic_load(&arena->did[PASS]));
	ksft_print_msg("%lu snapshots, %lu clones, up to %u of one another, %lu restored, %lu "
	               "copied, %lu taken "
	               "over, %lu out, %lu in, %lu by pressure\n",
	               SINCE(before, snapshots), SINCE(before, clones),
	               atomic_load(&arena->most_clones), SINCE(before, restores),
	               SINCE(before, pages_copied_up), SINCE(before, pages_taken_over),
	               SINCE(before, pages_paged_out), SINCE(before, pages_brought_in),
	               SINCE(before, pages_shrunk));
	CHECK(have_done_enough(before, rests) || test_failed);
	CHECK_EQ(SINCE(before, speculative_commits) > 0, speculation);
	MUST(!munmap(arena, sizeof(*arena)));
	check_returned(before);
	CHECK_EQ(pool_bytes(), pool);
	set_speculation(true);
}

static void without_locks(void)
{
	storm(true);
}

static void with_locks(void)
{
	storm(false);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"storm of snapshots against a model", "R6", without_locks},
		{"storm of snapshots against a model, faults with locks", "R6", with_locks},
	};

	if (argc > 1 && !strcmp(argv[1], GONE))
		return 0;
	if (argc > 1)
		seconds = atoi(argv[1]);
	seed = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 0) : (unsigned int)time(NULL);
	seconds /= (int)ARRAY_LENGTH(cases);
	MUST(seconds > 0);
	return run_tests(cases, ARRAY_LENGTH(cases));
}
