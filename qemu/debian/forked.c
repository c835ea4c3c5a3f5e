// SPDX-License-Identifier: GPL-2.0
/*
 * forked LIBRARY [memfd]: what programs see of libcowmem-fork, that is preloaded into this one:
 * bytes on both sides of a fork, whatever the ways to fork, and what has been told in the log.
 * Its own malloc() maps memory as an allocator does, so that what the C library allocates is in the
 * heap, too.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL
#define MIB (1UL << 20)
#define HANG 120 /* seconds, for what takes one */
#define MUST(what)                                                                \
	do                                                                        \
		if (!(what)) {                                                    \
			dprintf(STDOUT_FILENO, "# %d: %s: %s\n", __LINE__, #what, \
			        strerror(errno));                                 \
			_exit(1);                                                 \
		}                                                                 \
	while (0)

/* --- an allocator --- */

static pthread_mutex_t arena_lock = PTHREAD_MUTEX_INITIALIZER;
static char *arena, *arena_end;

void *malloc(size_t size)
{
	const size_t whole = (size + 31) / 16 * 16;
	size_t *found;

	pthread_mutex_lock(&arena_lock);
	if (!arena || (size_t)(arena_end - arena) < whole) {
		const size_t more = whole > MIB ? whole : MIB;

		arena = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		             0);
		arena_end = arena + more;
	}
	found = (size_t *)arena;
	arena += whole;
	pthread_mutex_unlock(&arena_lock);
	*found = size;
	return found + 2;
}

void free(void *at)
{
	(void)at;
}

void *calloc(size_t count, size_t size)
{
	return malloc(count * size);
}

void *realloc(void *at, size_t size)
{
	const size_t had = at ? ((size_t *)at)[-2] : 0;
	void *fresh = malloc(size);

	return at ? memcpy(fresh, at, had < size ? had : size) : fresh;
}

/* --- bytes --- */

static char *map(size_t bytes)
{
	char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	MUST(at != MAP_FAILED);
	return at;
}

static void fill(char *at, size_t bytes, uint64_t by)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t))
		*(uint64_t *)(at + i) = i ^ by;
}

static bool has(const char *at, size_t bytes, uint64_t by)
{
	for (size_t i = 0; i < bytes; i += sizeof(uint64_t))
		if (*(const uint64_t *)(at + i) != (i ^ by))
			return false;
	return true;
}

static bool is_zero(const char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		if (at[i])
			return false;
	return true;
}

static bool can_read(const char *at)
{
	int ends[2];
	bool can;

	MUST(!pipe(ends));
	can = write(ends[1], at, 1) == 1;
	close(ends[0]);
	close(ends[1]);
	return can;
}

static void wait_for(pid_t child)
{
	int status;

	MUST(child > 0);
	MUST(waitpid(child, &status, 0) == child);
	MUST(!status);
}

/* That who forks by @way gives the child what is there then, and that each goes its own way. */
static char *image;
static size_t image_bytes; /* of it */
static int to_child[2], to_parent[2];

static void be_child(void)
{
	char word;

	close(to_child[1]); /* a parent that ends is found out */
	MUST(has(image, image_bytes, 1));
	fill(image, image_bytes / 2, 2);
	MUST(write(to_parent[1], "w", 1) == 1);
	MUST(read(to_child[0], &word, 1) == 1);
	MUST(has(image, image_bytes / 2, 2));
	for (size_t i = image_bytes / 2; i < image_bytes; i += 8)
		MUST(*(uint64_t *)(image + i) == (i ^ 1));
	_exit(0);
}

static void start_image(void)
{
	MUST(!pipe(to_child) && !pipe(to_parent));
	image = map(image_bytes);
	fill(image, image_bytes, 1);
}

static void be_parent(void)
{
	char word;

	close(to_parent[1]);
	MUST(read(to_parent[0], &word, 1) == 1);
	MUST(has(image, image_bytes, 1)); /* the child has written */
	fill(image, image_bytes, 3);
	MUST(write(to_child[1], "w", 1) == 1);
}

static void by(pid_t (*way)(void))
{
	pid_t child;

	start_image();
	child = way();
	if (!child)
		be_child();
	be_parent();
	wait_for(child);
	MUST(has(image, image_bytes, 3));
}

/* Names that the C library has, too. */
pid_t __fork(void);
int __clone(int (*)(void *), void *, int, void *, ...);

static void by_fork(void)
{
	by(fork);
}

static void by_bare_fork(void)
{
	by(_Fork);
}

static char child_stack[64 << 10] __attribute__((aligned(16)));

static int call_child(void *argument)
{
	MUST(argument == &image);
	be_child();
	return 1;
}

static pid_t cloned(void)
{
	return clone(call_child, child_stack + sizeof(child_stack), SIGCHLD, &image);
}

static void by_clone(void)
{
	by(cloned);
}

static pid_t cloned_otherwise(void)
{
	return __clone(call_child, child_stack + sizeof(child_stack), SIGCHLD, &image);
}

static void by_other_clone(void)
{
	by(cloned_otherwise);
}

/* The parent of a daemon is gone. */
static void by_daemon(void)
{
	pid_t child;
	char word;

	start_image();
	child = fork();
	if (!child) {
		MUST(!daemon(1, 1));
		MUST(has(image, image_bytes, 1));
		MUST(write(to_parent[1], "d", 1) == 1);
		_exit(0);
	}
	wait_for(child);
	close(to_parent[1]);
	MUST(read(to_parent[0], &word, 1) == 1 && word == 'd');
}

/* A root that something was unpacked into need not have devpts. */
static bool has_terminals(void)
{
	const int master = posix_openpt(O_RDWR | O_NOCTTY);

	if (master >= 0)
		close(master);
	return master >= 0;
}

static void by_forkpty(void)
{
	pid_t child;
	int master;

	start_image();
	child = forkpty(&master, NULL, NULL, NULL);
	if (!child)
		be_child();
	be_parent();
	wait_for(child);
}

/* Each generation writes, and has what those before it wrote. */
static void generations(void)
{
	char *at = map(8 * MIB);

	for (uint64_t age = 0; age < 5; age++) {
		pid_t child;

		fill(at + age * MIB, MIB, age);
		child = fork();
		if (child) {
			fill(at, 8 * MIB, 99);
			wait_for(child);
			MUST(has(at, 8 * MIB, 99));
			_exit(0);
		}
		for (uint64_t i = 0; i <= age; i++)
			MUST(has(at + i * MIB, MIB, i));
		MUST(is_zero(at + (age + 1) * MIB, MIB));
	}
	_exit(0);
}

/* --- all that can be done with memory --- */

static void check_changed(char *at, const char *moved)
{
	MUST(is_zero(at, PAGE) && is_zero(at + 5 * PAGE, PAGE));
	MUST(at[PAGE] == 7 && at[2 * PAGE] == 7);
	MUST(!can_read(at + 3 * PAGE) && !can_read(at + 4 * PAGE));
	MUST(moved[0] == 9 && moved[MIB - 1] == 9 && !moved[MIB] && !moved[2 * MIB - 1]);
}

static void memory(void)
{
	char *at = map(MIB), *behind = map(MIB), *moved;
	pid_t child;

	/* The first of the heap's, and nothing is next to it that an allocator could add to it. */
	MUST(!can_read(at - PAGE));
	memset(at, 7, MIB);
	memset(behind, 9, MIB);
	MUST(!madvise(at, PAGE, MADV_DONTNEED));
	MUST(!madvise(at + 5 * PAGE, PAGE, MADV_FREE));
	MUST(!munmap(at + 3 * PAGE, PAGE));
	MUST(!mprotect(at + 4 * PAGE, PAGE, PROT_NONE));
	MUST(mprotect(at, MIB, PROT_READ) && errno == ENOMEM);
	MUST(!mprotect(at, 3 * PAGE, PROT_READ));
	/* Nothing is free behind the first; the second moves or grows. */
	MUST(mremap(at + 6 * PAGE, MIB - 6 * PAGE, MIB, 0) == MAP_FAILED && errno == ENOMEM);
	moved = mremap(behind, MIB, 2 * MIB, MREMAP_MAYMOVE);
	MUST(moved != MAP_FAILED);
	MUST(madvise(at, PAGE, MADV_DONTFORK) && errno == EINVAL);
	MUST(mremap(at, 0, MIB, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	check_changed(at, moved);
	child = fork();
	if (!child) {
		check_changed(at, moved);
		MUST(!mprotect(at, 3 * PAGE, PROT_READ | PROT_WRITE));
		at[PAGE] = 8;
		/* A place that was given back is had again, with nothing of what was there. */
		MUST(mmap(at + 3 * PAGE, PAGE, PROT_READ | PROT_WRITE,
		          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
		          0) == at + 3 * PAGE);
		MUST(mmap(at, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
		          -1, 0) == MAP_FAILED &&
		     errno == EEXIST);
		MUST(is_zero(at + 3 * PAGE, PAGE));
		_exit(0);
	}
	wait_for(child);
	check_changed(at, moved);
	MUST(mremap(moved, 2 * MIB, PAGE, 0) == moved && can_read(moved) &&
	     !can_read(moved + PAGE));
}

/* What the program maps into a place of the heap's is its own, until it gives it back. */
static void foreign(void)
{
	const int fd = memfd_create("foreign", 0);
	char *at = map(MIB), *page, *next;
	pid_t child;

	MUST(fd >= 0 && !ftruncate(fd, MIB / 2));
	memset(at, 7, MIB);
	page = at + MIB / 2;
	MUST(mmap(at, MIB / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) == at);
	MUST(mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, -1, 0) == MAP_FAILED);
	fill(at, MIB / 2, 5);
	next = map(MIB / 2);
	memset(next, 8, MIB / 2);
	MUST(has(at, MIB / 2, 5) && page[0] == 7);
	child = fork();
	if (!child) {
		MUST(has(at, MIB / 2, 5) && page[0] == 7 && next[0] == 8);
		fill(at, MIB / 2, 6); /* a file's */
		memset(page, 9, PAGE);
		_exit(0);
	}
	wait_for(child);
	MUST(has(at, MIB / 2, 6) && page[0] == 7);
	/* A range may have both: the file's bytes stay. */
	MUST(!mprotect(at, MIB, PROT_READ) && !mprotect(at, MIB, PROT_READ | PROT_WRITE));
	MUST(!madvise(at, MIB, MADV_DONTNEED));
	MUST(has(at, MIB / 2, 6) && is_zero(page, MIB / 2));
	MUST(mremap(at, MIB / 2, MIB, MREMAP_MAYMOVE) == MAP_FAILED && errno == EINVAL);
	MUST(!munmap(at, MIB) && !can_read(at) && !can_read(page));
	MUST(mmap(at, MIB / 2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) ==
	     at);
	MUST(mmap(at, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == MAP_FAILED &&
	     errno == EEXIST);
	MUST(has(at, MIB / 2, 6) && !munmap(at, MIB / 2));
	at = map(MIB / 2);
	MUST(is_zero(at, MIB / 2));
}

/* --- threads --- */

static _Atomic bool stop;

static void *map_and_unmap(void *argument)
{
	unsigned int seed = (unsigned int)(uintptr_t)argument;

	while (!stop) {
		const size_t bytes = (1 + (size_t)rand_r(&seed) % 64) * PAGE;
		char *at = map(bytes);

		MUST(is_zero(at, bytes));
		fill(at, bytes, seed);
		MUST(has(at, bytes, seed));
		MUST(!munmap(at, bytes));
	}
	return NULL;
}

/*
 * The C library puts the locks of open files in order in a child of a program that has threads,
 * before any handler is called; and these files are in the heap.
 */
static void threads(void)
{
	FILE *file = fopen("/dev/null", "w");
	char *mine = map(MIB);
	pthread_t others[2];

	MUST(file);
	for (uintptr_t i = 0; i < 2; i++)
		MUST(!pthread_create(&others[i], NULL, map_and_unmap, (void *)i));
	for (uint64_t i = 0; i < 20; i++) {
		pid_t child;

		fill(mine, MIB, i);
		child = fork();
		if (!child) {
			MUST(has(mine, MIB, i));
			MUST(fprintf(file, "child") == 5 && !fflush(file));
			MUST(map(MIB) && !munmap(mine, MIB));
			_exit(0);
		}
		fill(mine, MIB, ~i);
		MUST(fprintf(file, "parent") == 6);
		wait_for(child);
	}
	stop = true;
	for (int i = 0; i < 2; i++)
		MUST(!pthread_join(others[i], NULL));
}

static _Atomic int forks;

static void *fork_cancelled(void *argument)
{
	pid_t child;

	MUST(!pthread_cancel(pthread_self()));
	child = fork();
	if (!child)
		_exit(0);
	MUST(syscall(SYS_wait4, child, NULL, 0, NULL) == child);
	forks++;
	return argument;
}

/* fork() is not where a thread is cancelled, and holds nothing when it is. */
static void cancelled(void)
{
	pthread_t thread;

	MUST(!pthread_create(&thread, NULL, fork_cancelled, NULL));
	MUST(!pthread_join(thread, NULL) && forks == 1);
	by_fork();
}

static void fork_at_once(int signal)
{
	pid_t child;

	(void)signal;
	if (forks == 20)
		return;
	child = _Fork();
	if (!child)
		_exit(image[0] != 9);
	wait_for(child);
	forks++;
}

/* A handler that makes a process, as it may, whatever it interrupts. */
static void interrupted(void)
{
	const struct itimerval often = {{0, 1000}, {0, 1000}}, never = {{0, 0}, {0, 0}};

	image = map(PAGE);
	image[0] = 9;
	MUST(signal(SIGPROF, fork_at_once) != SIG_ERR);
	MUST(!setitimer(ITIMER_PROF, &often, NULL));
	while (forks < 20)
		MUST(!munmap(map(PAGE), PAGE));
	MUST(!setitimer(ITIMER_PROF, &never, NULL));
}

static char *guarded;

static void open_guarded(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	if (info->si_addr != guarded)
		_exit(1);
	mprotect(guarded, PAGE, PROT_READ | PROT_WRITE);
}

static void *touch_guarded(void *argument)
{
	for (char n = 0; !stop; n++) {
		MUST(!mprotect(guarded, PAGE, PROT_NONE));
		*(volatile char *)guarded = n;
		MUST(*guarded == n);
	}
	return argument;
}

/* A thread that lives by its SIGSEGVs does so while another one forks. */
static void guards(void)
{
	const struct sigaction action = {.sa_sigaction = open_guarded, .sa_flags = SA_SIGINFO};
	FILE *file = fopen("/dev/null", "w");
	pthread_t other;

	guarded = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	MUST(file && guarded != MAP_FAILED && !sigaction(SIGSEGV, &action, NULL));
	MUST(!pthread_create(&other, NULL, touch_guarded, NULL));
	for (int i = 0; i < 50; i++) {
		const pid_t child = fork();

		if (!child)
			_exit(fprintf(file, "child") != 5);
		wait_for(child);
	}
	stop = true;
	MUST(!pthread_join(other, NULL));
}

static void on_segv(int signal)
{
	(void)signal;
	_exit(0);
}

/* What a program does about SIGSEGV is its own affair, on both sides. */
static void signals(void)
{
	pid_t child;
	sigset_t segv, now;

	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	MUST(signal(SIGSEGV, on_segv) != SIG_ERR);
	MUST(!pthread_sigmask(SIG_BLOCK, &segv, NULL));
	child = fork();
	MUST(!pthread_sigmask(SIG_BLOCK, NULL, &now) && sigismember(&now, SIGSEGV));
	MUST(!pthread_sigmask(SIG_UNBLOCK, &segv, NULL));
	if (child)
		wait_for(child);
	*(volatile char *)NULL = 1;
	_exit(1);
}

/* --- others who make processes --- */

static void spawn(void)
{
	char *const words[] = {"/proc/self/exe", "nothing", NULL}, *const none[] = {NULL};
	char *at = map(MIB);
	pid_t child;

	fill(at, MIB, 5);
	MUST(!posix_spawn(&child, words[0], NULL, NULL, words, none));
	wait_for(child);
	child = vfork();
	if (!child) {
		execve(words[0], words, none);
		_exit(1);
	}
	wait_for(child);
	MUST(has(at, MIB, 5));
}

/* Who makes a child by the system call has one without a heap, and not one that has the parent's. */
static void raw(void)
{
	char *at = map(MIB);
	pid_t child;
	int status;

	fill(at, MIB, 5);
	child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child)
		_exit(at[0] = 1);
	MUST(waitpid(child, &status, 0) == child);
	MUST(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	MUST(has(at, MIB, 5));
}

/* What such a child maps is its own, and it forks as ever. */
static void raw_maps(void)
{
	pid_t child;
	char *at;

	start_image();
	child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
	if (!child) {
		image = map(image_bytes);
		fill(image, image_bytes, 1);
		by_fork();
		_exit(0);
	}
	at = map(image_bytes);
	fill(at, image_bytes, 4);
	wait_for(child);
	MUST(has(at, image_bytes, 4) && has(image, image_bytes, 1));
}

static int count_fds(void)
{
	int count = 0;

	for (int fd = 0; fd < 4096; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

static void descriptors(void)
{
	const int before = count_fds();

	map(MIB);
	for (int i = 0; i < 20; i++) {
		const pid_t child = fork();

		if (!child)
			_exit(count_fds() != before);
		wait_for(child);
	}
	MUST(count_fds() == before);
}

/* --- what cannot be done --- */

static void closed(void)
{
	char *at = map(MIB);
	int fd;

	fill(at, MIB, 5);
	MUST(!setenv("ENVIRONMENT", "in the heap", 1));
	for (fd = 4096; fd > 2 && fcntl(fd, F_GETFD) < 0; fd--)
		;
	MUST(!close_range(3, ~0U, 0));
	for (int reused = 0; reused < 2; reused++) {
		/* Another object is none of the heap's. */
		if (reused)
			MUST(dup2(memfd_create("other", MFD_ALLOW_SEALING), fd) == fd);
		MUST(fork() == -1 && errno == EBADF);
		MUST(__fork() == -1 && errno == EBADF);
		MUST(_Fork() == -1 && errno == EBADF);
		MUST(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	}
	MUST(has(at, MIB, 5));
	MUST(!munmap(at, MIB) && !can_read(at));
	at = map(MIB); /* not the heap's */
	fill(at, MIB, 6);
	MUST(has(at, MIB, 6));
}

/* Where there is no clone to be had, no child is left, and another time there may be. */
static void exhausted(void)
{
	struct rlimit had, none;
	char *at = map(MIB);

	fill(at, MIB, 5);
	MUST(!getrlimit(RLIMIT_NOFILE, &had));
	none = (struct rlimit){3, had.rlim_max};
	MUST(!setrlimit(RLIMIT_NOFILE, &none));
	MUST(fork() == -1 && errno == EMFILE);
	MUST(_Fork() == -1 && errno == EMFILE);
	MUST(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	MUST(!setrlimit(RLIMIT_NOFILE, &had));
	MUST(has(at, MIB, 5));
	by_fork();
}

/* A limit that is lower than the object's descriptor. */
static void limited(void)
{
	struct rlimit limit;

	MUST(!getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 64;
	MUST(!setrlimit(RLIMIT_NOFILE, &limit));
	by_fork();
}

/* Nothing is left of a child that does not come to be, nor is the parent's object a child's. */
static void refused(void)
{
	char *const stack = child_stack + sizeof(child_stack);
	const int before = count_fds();

	map(image_bytes);
	MUST(clone(call_child, stack, SIGCHLD | CLONE_SIGHAND, &image) == -1 && errno == EINVAL);
	MUST(clone(call_child, stack, SIGCHLD | CLONE_FILES, &image) == -1 && errno == EOPNOTSUPP);
	MUST(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	MUST(count_fds() == before);
	by_fork();
}

static void *fork_on_heap(void *argument)
{
	MUST(fork() == -1 && errno == EOPNOTSUPP);
	return argument;
}

static void stack(void)
{
	char *at = map(MIB);
	pthread_attr_t attributes;
	pthread_t thread;
	pid_t child;

	MUST(!pthread_attr_init(&attributes) && !pthread_attr_setstack(&attributes, at, MIB));
	MUST(!pthread_create(&thread, &attributes, fork_on_heap, NULL));
	MUST(!pthread_join(thread, NULL));
	MUST(clone(call_child, at + MIB, SIGCHLD, &image) == -1 && errno == EOPNOTSUPP);
	/* One that is meant to be a stack is no heap's. */
	at = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1,
	          0);
	start_image();
	child = clone(call_child, at + MIB, SIGCHLD, &image);
	be_parent();
	wait_for(child);
}

/* --- the cases, each in a process of its own --- */

static const struct test {
	const char *name;
	void (*run)(void);
	int clones;       /* lines in the log: as many forks had one */
	size_t bytes;     /* of the image, if there is one: each clone has as many, and more */
	const char *said; /* a line of the log, if there is to be another one */
	size_t addresses; /* a limit */
} tests[] = {
	{"fork", by_fork, 1, 16 * MIB, NULL, 0},
	{"_Fork", by_bare_fork, 1, MIB, NULL, 0},
	{"clone", by_clone, 1, MIB, NULL, 0},
	{"__clone", by_other_clone, 1, MIB, NULL, 0},
	{"daemon", by_daemon, 2, MIB, NULL, 0},
	{"forkpty", by_forkpty, 1, MIB, NULL, 0},
	{"generations", generations, 5, 0, NULL, 0},
	{"memory", memory, 1, 0, NULL, 0},
	{"foreign", foreign, 1, 0, NULL, 0},
	{"threads", threads, 20, 0, NULL, 0},
	{"cancelled", cancelled, 2, MIB, NULL, 0},
	{"interrupted", interrupted, 20, 0, NULL, 0},
	{"guards", guards, 50, 0, NULL, 0},
	{"signals", signals, 1, 0, NULL, 0},
	{"spawn", spawn, 0, 0, NULL, 0},
	{"descriptors", descriptors, 20, 0, NULL, 0},
	{"raw", raw, 0, 0, NULL, 0},
	{"raw_maps", raw_maps, 0, MIB, NULL, 0},
	{"closed", closed, 0, 0, "child: no heap: Bad file descriptor", 0},
	{"exhausted", exhausted, 1, MIB, NULL, 0},
	{"limited", limited, 1, MIB, NULL, 0},
	{"refused", refused, 2, MIB, NULL, 0},
	{"stack", stack, 1, MIB, NULL, 0},
	{"without", by_fork, 0, MIB, "start: fork() is as ever: Cannot allocate memory", 512 * MIB},
};
enum { TESTS = sizeof(tests) / sizeof(*tests) };

static char log_path[] = "/tmp/forked-XXXXXX";

/*
 * How many forks had a clone, by the log, which is emptied; -1: one had too little, or what was to
 * be said was not.
 */
static int count_clones(const struct test *test)
{
	FILE *log = fopen(log_path, "r");
	bool is_right = !test->said;
	char line[256];
	int count = 0;

	while (log && fgets(line, sizeof(line), log)) {
		const char *said = strstr(line, "fork: clone of ");

		is_right |= test->said && strstr(line, test->said);
		if (!said)
			continue;
		count++;
		is_right &= strtoul(said + 15, NULL, 10) >= test->bytes;
	}
	MUST(log && !fclose(log) && !truncate(log_path, 0));
	return is_right ? count : -1;
}

static int run_case(const struct test *test, char **words, const char *library)
{
	pid_t child = fork();
	int status;

	if (!child) {
		const struct rlimit limit = {test->addresses, test->addresses};

		setenv("LD_PRELOAD", library, 1);
		setenv("COWMEM_FORK_LOG", log_path, 1);
		MUST(!test->addresses || !setrlimit(RLIMIT_AS, &limit));
		alarm(HANG);
		execv("/proc/self/exe", words);
		_exit(127);
	}
	MUST(waitpid(child, &status, 0) == child);
	return status;
}

int main(int argc, char **argv)
{
	int failed = 0;

	for (const struct test *test = tests; argc == 3 && test < tests + TESTS; test++) {
		if (!strcmp(argv[1], "case") && !strcmp(argv[2], test->name)) {
			image_bytes = test->bytes;
			test->run();
			return 0;
		}
	}
	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "nothing"))
		return 0;
	close(mkstemp(log_path));
	if (argc > 2)
		setenv("COWMEM_FORK_MEMFD", "1", 1);
	dprintf(STDOUT_FILENO, "TAP version 13\n1..%d\n", TESTS);
	for (int i = 0; i < TESTS; i++) {
		char *words[] = {argv[0], "case", (char *)tests[i].name, NULL};

		if (tests[i].run == by_forkpty && !has_terminals()) {
			dprintf(STDOUT_FILENO, "ok %d %s # SKIP there is no devpts\n", i + 1,
			        tests[i].name);
			continue;
		}

		const int status = run_case(&tests[i], words, argv[1]);
		const int clones = count_clones(&tests[i]);
		const bool bad = status || clones != tests[i].clones;

		if (bad)
			dprintf(STDOUT_FILENO, "# status %#x, %d clones, not %d\n", status, clones,
			        tests[i].clones);
		dprintf(STDOUT_FILENO, "%sok %d %s\n", bad ? "not " : "", i + 1, tests[i].name);
		failed |= bad;
	}
	unlink(log_path);
	return failed;
}
