// SPDX-License-Identifier: GPL-2.0
/*
 * A fuzzer of the whole interface: programs of a few calls, made by several processes at once, which
 * are made up, and changed from those that were the first to run some of the module's code.
 *
 * fuzz [SECONDS [SEED]]: without an argument a fixed corpus is run (fuzz_corpus.h); with one, programs are
 * made up for so long. It says how many calls succeed, and which programs are worth being kept. As
 * long as the module tells its coverage (src/testing/coverage.c), a program is kept that adds to that.
 * fuzz PROGRAM runs one.
 *
 * After each program: what its snapshots show is what they showed when they were taken, what its shared
 * mappings show is what read() gives, all that the module says of its own pages is so (src/testing/check.cc),
 * and every object and page has been given back. One that does not end is killed and wrong.
 *
 * What it takes to find faults that were put into the module, on the debug kernel of x86_64: one page drop too
 * many where a copy does not come into the tree (Pages::try_copy()), 3 seconds, in the corpus, by the kernel's
 * own check; a page that stays locked where page-out gives it up (Cluster::lock()), 4 minutes: a
 * program of the corpus stops within a second, and the kernel says then that a task is blocked. No other kernel was tried.
 */
#include "counts.h"
#include "fuzz_calls.h"
#include "fuzz_corpus.h"
#include "relatives.h"
#include "store.h"

#include <sys/mount.h>
#include <sys/prctl.h>
#include <time.h>

enum {
	MOST_SECONDS = 300, /* of one program, on a machine that is busy with others */
	KEPT = 4096,
	COVERED = 65536,
	WRONG_ENOUGH = 5, /* programs: then no more are made up */
};

#define COVERAGE PARAMETERS "coverage"

static long seconds;
static int kmsg = -1;
static struct program kept[KEPT];
static unsigned int nr_kept;
static unsigned long programs, calls, calls_succeeded;
static int covered[COVERED];
static unsigned int nr_covered;

/* --- a process of a program --- */
static void begin_process(unsigned int number)
{
	self = number;
	failing = 0;
	fail_nth = -1;
	uffd = -1;
	toucher.is_there = false;
	atomic_store(&shared->pid[number], getpid());
}

/* What is there no more has been torn down, too. */
static bool is_torn_down(pid_t pid)
{
	char path[32], text[512] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true;
	if (read(fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	close(fd);
	return !text[0] || !strrchr(text, ')') || strchr("ZX", strrchr(text, ')')[2]);
}

static void compare_mapping(const struct mapped *is)
{
	const struct held *of =
		is->pages && is->flags == MAP_SHARED ? descriptor_of(is->object) : NULL;
	const char *at = at_slot(slot_of(is));

	for (size_t i = 0; of && i < is->pages && i < 16; i++) {
		unsigned char shown[PAGE], read[PAGE];
		long length;

		if (copy_page(at + i * PAGE, shown))
			continue;
		length = pread(of->fd, read, PAGE, (off_t)((is->first + i) * PAGE));
		if (length > 0 && memcmp(shown, read, (size_t)length))
			wrong("a mapping shows other bytes of page %llu than read()",
			      (unsigned long long)(is->first + i));
	}
}

static void compare_all(void)
{
	for (unsigned int i = 0; i < DESCRIPTORS; i++) {
		struct look now;

		if (held[i].fd < 0 || held[i].look < 0)
			continue;
		now = look_at(held[i].fd);
		compare_looks(&shared->looks[held[i].look], &now, "a snapshot has changed");
	}
	for (unsigned int i = 0; i < MAPPINGS; i++)
		compare_mapping(&mapped[i]);
}

static bool somebody_is(int state)
{
	for (unsigned int i = 0; i < PROCESSES; i++)
		if (atomic_load(&shared->state[i]) == state)
			return true;
	return false;
}

/* Process by process, the first last; none ends before that has seen all. */
static void end_process(void)
{
	int is = RUNS;

	end_toucher();
	atomic_compare_exchange_strong(&shared->state[self], &is, DONE);
	while (somebody_is(RUNS))
		usleep(200);
	for (unsigned int number = PROCESSES; number-- > self;)
		while (number > self && atomic_load(&shared->state[number]) == DONE &&
		       !(atomic_load(&shared->end_turn) & 1U << number))
			wait_while(&shared->end_turn, atomic_load(&shared->end_turn));
	compare_all();
	atomic_fetch_or(&shared->end_turn, 1U << self);
	set_and_wake(&shared->end_turn, atomic_load(&shared->end_turn));
	if (self) {
		while (!atomic_load(&shared->over))
			wait_while(&shared->over, 0);
		_exit(0);
	}
	for (unsigned int i = 1; i < PROCESSES; i++)
		while (atomic_load(&shared->state[i]) == GONE &&
		       !is_torn_down(atomic_load(&shared->pid[i])))
			usleep(200);
	for (unsigned int i = 0; i < DESCRIPTORS; i++)
		if (held[i].fd >= 0 && !layers_are_sound(held[i].fd) && errno == EUCLEAN)
			wrong("the layers are not sound: see the kernel's log");
	set_and_wake(&shared->over, 1);
	_exit(0);
}

static void make_call(unsigned int nth)
{
	const struct call *call = &running->call[nth];
	const struct description *is = &descriptions[call->what];
	uint64_t argument[ARGUMENTS];
	long done;

	/* A text may have any number. */
	for (unsigned int i = 0; i < ARGUMENTS; i++)
		argument[i] = is->argument[i].kind == NUMBER
		                      ? call->argument[i] % is->argument[i].bound
		                      : call->argument[i];
	if (!is->run) {
		if (!self)
			return;
		end_toucher();
		atomic_store(&shared->state[self], GONE);
		pass_turn(nth);
		_exit(0);
	}
	failing = call->fails;
	done = is->run(argument);
	failing = 0;
	if (done == SKIPPED)
		return;
	atomic_fetch_add(&shared->did[call->what], 1);
	if (done >= 0)
		atomic_fetch_add(&shared->succeeded[call->what], 1);
}

static void run_calls(void)
{
	for (unsigned int i = 0; i < running->count; i++) {
		/* Who was forked meanwhile is another from here on, and its parent passes the turn. */
		const unsigned int was = self;

		if (running->call[i].process != self)
			continue;
		while (!running->together && atomic_load(&shared->turn) < i)
			wait_while(&shared->turn, atomic_load(&shared->turn));
		make_call(i);
		if (self == was)
			pass_turn(i);
	}
	end_process();
}

static void begin_program(void)
{
	const struct sigaction action = {.sa_handler = on_trap, .sa_flags = SA_NODEFER};

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	sigaction(SIGBUS, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	for (unsigned int i = 0; i < PROCESSES; i++)
		MUST(!socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sockets[i]));
	for (unsigned int i = 0; i < DESCRIPTORS; i++)
		held[i] = (struct held){.fd = -1, .look = -1};
	begin_process(0);
	run_calls();
}

/* --- one program --- */
static volatile sig_atomic_t is_late;

static void on_alarm(int signal)
{
	(void)signal;
	is_late = 1;
	for (unsigned int i = 0; i < PROCESSES; i++)
		if (atomic_load(&shared->pid[i]))
			kill(atomic_load(&shared->pid[i]), SIGKILL);
}

static void set_parameters_back(void)
{
	for (size_t i = 0; i < ARRAY_LENGTH(parameters) - 1; i++)
		parameter_set(parameters[i].name, parameters[i].value[1]);
	limit_store(store_default_mib());
}

/* Objects and pages that there are. What others had given back when they ended may only be going now. */
struct there {
	long objects, pages;
};

static struct there all_there(void)
{
	return (struct there){(long)(count_of(COWMEM_COUNT_objects_created) -
	                             count_of(COWMEM_COUNT_objects_freed)),
	                      (long)(count_of(COWMEM_COUNT_pages_allocated) -
	                             count_of(COWMEM_COUNT_pages_freed))};
}

/* Whether there come to be as few as before, in a while; each look is dear. */
static bool is_given_back(struct there before)
{
	for (int looks = 0; looks < 400; looks++) {
		const struct there now = all_there();

		if (now.objects <= before.objects && now.pages <= before.pages)
			return true;
		usleep(looks < 20 ? 500 : 10000);
	}
	return false;
}

/* Whether all was right; if not, shared->why says what was wrong. */
static bool run_program(const struct program *program)
{
	const struct there before = all_there();
	int status = 0, how;
	pid_t child, ended;

	memset(shared, 0, offsetof(struct shared, did));
	atomic_store(&shared->state[0], RUNS);
	running = program;
	programs++;
	is_late = 0;
	if (!running->together) {
		/* The first call may be of a process that there is not yet. */
		unsigned int first = 0;

		while (first < program->count && program->call[first].process)
			first++;
		atomic_store(&shared->turn, first);
	}
	child = fork();
	MUST(child >= 0);
	if (!child)
		begin_program();
	alarm(MOST_SECONDS);
	while ((ended = waitpid(-1, &how, 0)) > 0 || errno == EINTR)
		if (ended == child)
			status = how;
	alarm(0);
	for (unsigned int i = 0; i < 4; i++)
		unlink(name_in_mount(i));
	if (atomic_load(&shared->sets_parameters))
		set_parameters_back();
	if (is_late)
		wrong("it did not end: call %u, states %d %d %d %d", atomic_load(&shared->turn),
		      shared->state[0], shared->state[1], shared->state[2], shared->state[3]);
	else if (status)
		wrong("its first process ended with status 0x%x", (unsigned int)status);
	else if (!is_given_back(before))
		wrong("%ld objects and %ld pages were not given back",
		      all_there().objects - before.objects, all_there().pages - before.pages);
	return !atomic_load(&shared->wrong);
}

/* How many branches have run that had not before. */
static unsigned int new_coverage(void)
{
	static int file;
	const unsigned int before = nr_covered;
	char text[PAGE + 1];
	ssize_t length;

	if (!file)
		file = open(COVERAGE, O_RDONLY | O_CLOEXEC);
	while (file > 0 && (length = pread(file, text, PAGE, 0)) > 0) {
		char *rest = text, *line;

		text[length] = 0;
		while ((line = strsep(&rest, "\n")))
			if (*line && nr_covered < COVERED)
				covered[nr_covered++] = atoi(line);
	}
	return nr_covered - before;
}

static void tell_long(const char *what, const char *text)
{
	enum { WIDTH = 800 };

	for (size_t length = strlen(text); length;) {
		const size_t part = length < WIDTH ? length : WIDTH;

		ksft_print_msg("%s: %.*s\n", what, (int)part, text);
		text += part;
		length -= part;
	}
}

/* Leaves out calls, one after the other, as long as the program remains wrong. */
static void shorten(struct program *program)
{
	for (unsigned int i = program->count; i-- > 0 && program->count > 1;) {
		struct program shorter = *program;

		remove_call(&shorter, i);
		if (!run_program(&shorter))
			*program = shorter;
	}
}

/* Runs it, and says what is wrong. */
static bool is_right(const struct program *program)
{
	struct program shorter = *program;
	char text[TEXT];

	if (run_program(program))
		return true;
	test_failed = true;
	ksft_print_msg("wrong: %s\n", shared->why);
	tell_long("in", text_of_program(program, text));
	/* What does not end takes too long to be made shorter. */
	if (is_late)
		return false;
	shorten(&shorter);
	tell_long("in short", text_of_program(&shorter, text));
	return false;
}

static void sum_up(void)
{
	calls = calls_succeeded = 0;
	for (unsigned int i = 0; i < nr_descriptions; i++) {
		calls += shared->did[i];
		calls_succeeded += shared->succeeded[i];
	}
	ksft_print_msg("%lu programs, %lu calls, of which %lu succeeded (%lu %%)\n", programs,
	               calls, calls_succeeded, calls ? 100 * calls_succeeded / calls : 0);
}

static void clear_sums(void)
{
	programs = 0;
	memset(shared->did, 0, sizeof(shared->did));
	memset(shared->succeeded, 0, sizeof(shared->succeeded));
}

/* --- the cases --- */
static void texts_are_programs(void)
{
	char text[TEXT], again[TEXT];
	struct program program, read;

	for (int i = 0; i < 200; i++) {
		make_up(&program);
		change_once(&program, &program);
		CHECK(program_of_text(text_of_program(&program, text), &read));
		CHECK(!strcmp(text, text_of_program(&read, again)));
	}
	CHECK(!program_of_text("0 open 0; 0 nonsense", &read));
	CHECK(!program_of_text("9 open 0", &read));
	CHECK(!program_of_text("0 open 0 0", &read));
}

static void corpus_is_right(void)
{
	clear_sums();
	for (size_t i = 0; i < ARRAY_LENGTH(corpus_texts); i++) {
		struct program program;

		MUST(program_of_text(corpus_texts[i], &program));
		is_right(&program);
		new_coverage();
		if (nr_kept < KEPT)
			kept[nr_kept++] = program;
	}
	sum_up();
	CHECK(2 * calls_succeeded > calls);
}

/* Before it runs, so that the log has the one that ended the kernel. */
static void tell_log(const struct program *program)
{
	enum { WIDTH = 800 };
	char text[TEXT], line[WIDTH + 32];
	const char *left = text_of_program(program, text);

	while (*left) {
		const int length = snprintf(line, sizeof(line), "| # %s: %.*s\n",
		                            left == text ? "runs" : "more", WIDTH, left);

		if (write(kmsg, line, (size_t)length) < 0)
			ksft_print_msg("the log takes no more (errno %d)\n", errno);
		left += strnlen(left, WIDTH);
	}
}

static long now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

/* Those from the @from-th on, as scripts/coverage.py reads them. */
static void tell_covered(unsigned int from)
{
	char text[800];
	size_t length = 0;

	for (unsigned int i = from; i < nr_covered; i++) {
		length += (size_t)sprintf(text + length, " %d", covered[i]);
		if (length > sizeof(text) - 16 || i + 1 == nr_covered) {
			ksft_print_msg("covered:%s\n", text);
			length = 0;
		}
	}
}

/* What of each call is done at all, and succeeds. */
static void tell_calls(void)
{
	for (unsigned int i = 0; i < nr_descriptions; i++)
		ksft_print_msg("%-14s %8lu calls, %8lu succeeded\n", descriptions[i].name,
		               atomic_load(&shared->did[i]), atomic_load(&shared->succeeded[i]));
}

static void made_up_are_right(void)
{
	const long begun = now_seconds();
	unsigned int wrong_ones = 0;
	long told = begun;

	tell_covered(0);
	clear_sums();
	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	while (now_seconds() - begun < seconds && wrong_ones < WRONG_ENOUGH) {
		struct program program;
		char text[TEXT];
		unsigned int fresh;

		if (nr_kept && !one_in(5)) {
			/* The younger ones more often. */
			const unsigned int at =
				one_in(2) ? random_below(nr_kept)
					  : nr_kept - 1 - random_below(nr_kept / 4 + 1);

			program = kept[at];
			for (unsigned int n = 1 + random_below(5); n; n--)
				change_once(&program, &kept[random_below(nr_kept)]);
		} else {
			make_up(&program);
		}
		tell_log(&program);
		wrong_ones += !is_right(&program);
		fresh = new_coverage();
		tell_covered(nr_covered - fresh);
		if (fresh && nr_kept < KEPT) {
			kept[nr_kept++] = program;
			ksft_print_msg("keeps: %u\n", fresh);
			tell_long("kept", text_of_program(&program, text));
		}
		if (now_seconds() - told >= 60) {
			told = now_seconds();
			sum_up();
			ksft_print_msg("%u kept, %u branches\n", nr_kept, nr_covered);
		}
	}
	tell_calls();
	sum_up();
	CHECK(2 * calls_succeeded > calls);
}

static struct program given;

static void given_is_right(void)
{
	is_right(&given);
	tell_calls();
}

/* All that others find as it was. */
static void set_up(void)
{
	MUST(!prctl(PR_SET_CHILD_SUBREAPER, 1));
	MUST(signal(SIGALRM, on_alarm) != SIG_ERR);
	mkdir(FUZZ_MOUNT, 0755);
	MUST(!mount("none", FUZZ_MOUNT, "cowmem", 0, "size=8m,nr_inodes=40"));
	layers_are_sound(-1); /* opens the checker's file, for all that are forked */
	can_fail = !access(FAIL_NTH, W_OK);
	if (can_fail)
		set_all(injection, ARRAY_LENGTH(injection));
	write_text(CGROUPS "/cgroup.subtree_control", "+memory");
	if (!mkdir(CGROUP, 0755))
		write_text(CGROUP "/cgroup.procs", "0");
}

static pid_t first_process;

static void clean_up(void)
{
	if (getpid() != first_process)
		return;
	umount(FUZZ_MOUNT);
	rmdir(FUZZ_MOUNT);
	if (can_fail)
		restore_all(injection, ARRAY_LENGTH(injection));
	write_text(CGROUPS "/cgroup.procs", "0");
	rmdir(CGROUP);
}

int main(int argc, char **argv)
{
	static const struct test_case cases[] = {
		{"a program's text is read as the same", "", texts_are_programs},
		{"programs that found something, or new code", "", corpus_is_right},
		{"programs that are made up", "", made_up_are_right},
	};
	static const struct test_case one[] = {{"the program given", "", given_is_right}};
	const bool is_given = argc > 1 && strchr(argv[1], ' ');

	setvbuf(stdout, NULL, _IOLBF, 0);
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
	              0);
	MUST(shared != MAP_FAILED && ARRAY_LENGTH(shared->did) >= nr_descriptions);
	if (is_given)
		MUST(program_of_text(argv[1], &given));
	else if (argc > 1)
		seconds = atol(argv[1]);
	random_state = argc > 2 ? strtoull(argv[2], NULL, 0) : (uint64_t)time(NULL) << 20 | 1;
	ksft_print_msg("seed %llu\n", (unsigned long long)random_state);
	first_process = getpid();
	MUST(!atexit(clean_up));
	set_up();
	return is_given ? run_tests(one, 1) : run_tests(cases, ARRAY_LENGTH(cases) - !seconds);
}
