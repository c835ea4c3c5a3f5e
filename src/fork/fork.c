// SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note
/*
 * libcowmem-fork, to be preloaded: private memory that a program maps, and so what its allocator
 * has, is an object of cowmem's (heap.h), of which fork() gives the child a clone.
 *
 * The C library's fork() calls handlers. Ours are the first that are registered, by the first call
 * of mmap(), which an allocator makes before it registers its own. So ours is the last to be called
 * before the fork, with the allocator's locks held: the clone is of a heap that nobody is
 * changing the structure of; and the first to be called in the child. The C library itself
 * looks at the heap before that, at the locks of open FILEs. That is a SIGSEGV, as fork()
 * leaves the heap out, and has us map the clone just then.
 */
#define _GNU_SOURCE
#include "heap.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_32BIT
#define MAP_32BIT 0 /* x86's */
#endif
#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

#define PAGE 4096UL
/* Of bytes, below which memory costs a fork little, and is not an allocator's, but of who looks at what the kernel does with it. */
#define LEAST (16 * PAGE)
#define EXPORT __attribute__((visibility("default")))
/* What comes to those who have no clone. */
#define EXIT_WITHOUT_HEAP 127

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t started = PTHREAD_ONCE_INIT;
static bool has_heap;
/* In a page that is zeroes in a child, however it was made: only by us does it get a heap. */
static bool *owns_heap;

/* Of a thread that has the lock. */
struct thread {
	sigset_t mask;
	int cancellation;
};

/* Of the fork that is going on, with the lock held. */
static struct {
	pthread_t by;          /* who, on both sides; 0: nobody */
	int clone;             /* its descriptor, or -errno */
	bool mapped;           /* in the child */
	uint64_t took;         /* microseconds, by the clone */
	struct thread thread;  /* as it was */
	struct sigaction segv; /* the program's */
} forking;

/* That this thread's fork got no clone, which the C library's fork() cannot be told. */
static _Thread_local int failed;

/* The C library's, looked up when neither its linker's nor our lock is held by another thread. */
static struct {
	__typeof__(&fork) fork;
	__typeof__(&_Fork) _Fork;
	__typeof__(&clone) clone;
} real;

static void find_real(void)
{
	if (real.fork)
		return;
	real.clone = (__typeof__(&clone))dlsym(RTLD_NEXT, "clone");
	real._Fork = (__typeof__(&_Fork))dlsym(RTLD_NEXT, "_Fork");
	real.fork = (__typeof__(&fork))dlsym(RTLD_NEXT, "fork");
}

/*
 * Who has the lock handles no signal, which could want it, too, and is not cancelled. A signal
 * that is due to what the thread itself does cannot wait.
 */
static struct thread take_lock(void)
{
	static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
	struct thread was;
	sigset_t others;

	sigfillset(&others);
	for (size_t i = 0; i < sizeof(own) / sizeof(*own); i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_BLOCK, &others, &was.mask);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &was.cancellation);
	pthread_mutex_lock(&lock);
	return was;
}

static void release_lock(struct thread was)
{
	pthread_mutex_unlock(&lock);
	pthread_setcancelstate(was.cancellation, NULL);
	pthread_sigmask(SIG_SETMASK, &was.mask, NULL);
}

/* --- what is told --- */

/* As the program started: the environment may be in the heap, which a child may not have. */
static char log_path[PATH_MAX];

static void find_log(void)
{
	const char *path = secure_getenv("COWMEM_FORK_LOG");

	if (path && strlen(path) < sizeof(log_path))
		strcpy(log_path, path);
}

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
	char line[256];
	va_list args;
	int fd, length, cancellation;

	if (!*log_path)
		return;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancellation);
	length = snprintf(line, sizeof(line), "%d ", getpid());
	va_start(args, format);
	length += vsnprintf(line + length, sizeof(line) - (size_t)length, format, args);
	va_end(args);
	fd = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (fd >= 0) {
		/* There is nobody to tell that nothing can be told. */
		(void)!write(fd, line, (size_t)length);
		close(fd);
	}
	pthread_setcancelstate(cancellation, NULL);
}

static uint64_t microseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* --- fork --- */

/* Whether this thread forks, on either side. */
static bool is_forking(void)
{
	return pthread_equal(forking.by, pthread_self());
}

/* In the child, once: whoever comes first, the handler or the signal. */
static void map_clone(void)
{
	int err = forking.clone;

	forking.mapped = true;
	if (err >= 0)
		err = heap_become(forking.clone);
	if (!err) {
		*owns_heap = true;
		return;
	}
	say("child: no heap: %s\n", strerrordesc_np(-err));
	_exit(EXIT_WITHOUT_HEAP);
}

/* To the program's handler, as the kernel would; or, where that ends it, to the kernel. */
static void pass_on(int signal, siginfo_t *info, void *context)
{
	const struct sigaction *segv = &forking.segv;
	sigset_t mask = segv->sa_mask;

	if (segv->sa_handler == SIG_DFL || segv->sa_handler == SIG_IGN ||
	    segv->sa_flags & SA_RESETHAND)
		return (void)sigaction(signal, segv, NULL); /* it comes again */
	if (!(segv->sa_flags & SA_NODEFER))
		sigaddset(&mask, signal);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	if (segv->sa_flags & SA_SIGINFO)
		segv->sa_sigaction(signal, info, context);
	else
		segv->sa_handler(signal);
}

/* The parent's other threads may have such a signal, too. */
static void on_segv(int signal, siginfo_t *info, void *context)
{
	const int error = errno;

	if (!*owns_heap && is_forking() && !forking.mapped)
		map_clone();
	else
		pass_on(signal, info, context);
	errno = error;
}

/* A child whose stack is the heap's could not even map it. */
static bool has_stack(uintptr_t stack)
{
	return heap_has((struct range){stack, stack + 1});
}

static bool is_on_heap(void)
{
	return has_stack((uintptr_t)__builtin_frame_address(0));
}

static void prepare(void)
{
	const struct sigaction action = {.sa_sigaction = on_segv,
	                                 .sa_flags = SA_SIGINFO | SA_NODEFER};
	struct thread was;
	uint64_t start;
	sigset_t segv;

	/* Of a child that has no heap the lock may be another's for ever. */
	if (!*owns_heap)
		return;
	was = take_lock();
	start = microseconds();
	forking.by = pthread_self();
	forking.thread = was;
	forking.mapped = false;
	forking.clone = is_on_heap() ? -EOPNOTSUPP : heap_clone();
	forking.took = microseconds() - start;
	sigaction(SIGSEGV, NULL, &forking.segv);
	sigaction(SIGSEGV, &action, NULL);
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	pthread_sigmask(SIG_UNBLOCK, &segv, NULL);
}

static void finish(void)
{
	sigaction(SIGSEGV, &forking.segv, NULL);
	forking.by = 0;
	release_lock(forking.thread);
}

static void finish_parent(void)
{
	const int error = errno;
	size_t areas, bytes;

	if (!is_forking())
		return;
	bytes = heap_bytes(&areas);
	failed = forking.clone < 0 ? -forking.clone : 0;
	if (failed) {
		say("fork: no clone: %s\n", strerrordesc_np(failed));
	} else {
		close(forking.clone);
		say("fork: clone of %zu bytes in %zu areas, %llu us\n", bytes, areas,
		    (unsigned long long)forking.took);
	}
	finish();
	errno = error;
}

static void finish_child(void)
{
	if (!is_forking())
		return;
	if (!forking.mapped)
		map_clone();
	finish();
}

static void start(void)
{
	int err;

	find_log();
	owns_heap = (void *)syscall(SYS_mmap, 0, PAGE, PROT_READ | PROT_WRITE,
	                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	err = owns_heap == MAP_FAILED || syscall(SYS_madvise, owns_heap, PAGE, MADV_WIPEONFORK)
	              ? -errno
	              : heap_start(secure_getenv("COWMEM_FORK_MEMFD"));
	if (!err)
		err = -pthread_atfork(prepare, finish_parent, finish_child);
	has_heap = !err;
	if (err)
		return say("start: fork() is as ever: %s\n", strerrordesc_np(-err));
	*owns_heap = true;
}

/* Whether this process has a heap. */
static bool has_started(void)
{
	pthread_once(&started, start);
	return has_heap && *owns_heap;
}

/* For programs that map nothing before their first fork. */
__attribute__((constructor)) static void construct(void)
{
	has_started();
	find_real();
}

EXPORT pid_t fork(void)
{
	pid_t child;

	if (has_started() && is_on_heap()) {
		say("fork: the stack is of the heap\n");
		errno = EOPNOTSUPP;
		return -1;
	}
	failed = 0;
	find_real();
	child = real.fork();
	if (child <= 0 || !failed)
		return child;
	/* Unlike waitpid(), it is not where a thread is cancelled. */
	while (syscall(SYS_wait4, child, NULL, 0, NULL) < 0 && errno == EINTR)
		;
	errno = failed;
	return -1;
}

EXPORT pid_t __fork(void) __attribute__((alias("fork"), nothrow));

/* It calls no handlers. */
EXPORT pid_t _Fork(void)
{
	pid_t child;

	find_real();
	if (!has_started())
		return real._Fork();
	prepare();
	if (forking.clone < 0) {
		finish_parent();
		errno = failed;
		return -1;
	}
	child = real._Fork();
	if (child)
		finish_parent();
	else
		finish_child();
	return child;
}

struct call {
	int (*function)(void *);
	void *argument;
};

static int call_in_child(void *argument)
{
	const struct call *call = argument;

	finish_child();
	return call->function(call->argument);
}

EXPORT int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
	struct call call = {function, argument};
	void *words[3];
	va_list args;
	int child;

	va_start(args, argument);
	for (int i = 0; i < 3; i++)
		words[i] = va_arg(args, void *);
	va_end(args);
	find_real();
	if (flags & CLONE_VM || !has_started())
		return real.clone(function, stack, flags, argument, words[0], words[1], words[2]);
	prepare();
	/* With the parent's descriptors it would have the parent's object in place of its own. */
	if (forking.clone >= 0 && (flags & CLONE_FILES || has_stack((uintptr_t)stack - 1))) {
		close(forking.clone);
		forking.clone = -EOPNOTSUPP;
	}
	if (forking.clone < 0) {
		finish_parent();
		errno = failed;
		return -1;
	}
	child = real.clone(call_in_child, stack, flags, &call, words[0], words[1], words[2]);
	finish_parent();
	return child;
}

EXPORT int __clone(int (*)(void *), void *, int, void *, ...)
	__attribute__((alias("clone"), nothrow, leaf));

/* --- memory --- */

static struct range whole_pages(const void *address, size_t length)
{
	const uintptr_t start = (uintptr_t)address;

	return (struct range){start, start + (length + PAGE - 1) / PAGE * PAGE};
}

static bool is_heaps(struct range range)
{
	return range.start % PAGE == 0 && range.start < range.end && has_started() &&
	       heap_has(range);
}

/* errno as the system calls have it. */
static int result(int err)
{
	if (!err)
		return 0;
	errno = -err;
	return -1;
}

static void *place(int err, uintptr_t at)
{
	return result(err) ? MAP_FAILED : (void *)at;
}

/* The heap's part of a range, of which the kernel has the others. */
static struct range clip(struct range range)
{
	while (!heap_has((struct range){range.start, range.start + PAGE}))
		range.start += PAGE;
	while (!heap_has((struct range){range.end - PAGE, range.end}))
		range.end -= PAGE;
	return range;
}

/* Whether the heap is where this is to come from: memory as an allocator wants it. */
static bool is_for_heap(int prot, int flags)
{
	const int without = MAP_STACK | MAP_GROWSDOWN | MAP_HUGETLB | MAP_32BIT;

	return (flags & MAP_TYPE) == MAP_PRIVATE && flags & MAP_ANONYMOUS && !(flags & without) &&
	       !(prot & ~(PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* Of a place of the heap's, or partly so. */
static void *map_fixed(struct range range, int prot, int flags, int fd, off_t offset)
{
	const int kept = flags & (MAP_POPULATE | MAP_LOCKED);
	const size_t length = range.end - range.start;
	const bool is_all = heap_has_all(range);
	uintptr_t at = range.start;
	void *mapped;

	if (is_all && flags & MAP_FIXED_NOREPLACE) {
		if (!heap_is_free(range))
			return place(-EEXIST, 0);
		flags = (flags & ~MAP_FIXED_NOREPLACE) | MAP_FIXED;
	}
	if (is_all && is_for_heap(prot, flags)) {
		const int err = heap_map(&at, length, prot, kept, true);

		/* Without the object it is like what is not for the heap. */
		if (err != -EBADF)
			return place(err, at);
	}
	if (!heap_has_room())
		return place(-ENOMEM, 0);
	mapped = (void *)syscall(SYS_mmap, at, length, prot, flags, fd, offset);
	if (mapped != MAP_FAILED)
		heap_cede(clip(range));
	return mapped;
}

EXPORT void *mmap(void *address, size_t length, int prot, int flags, int fd, off_t offset)
{
	const struct range range = whole_pages(address, length);
	struct thread was;
	uintptr_t at = range.start;
	int err = -ENOMEM;

	if (flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) {
		if (is_heaps(range)) {
			void *mapped;

			was = take_lock();
			mapped = map_fixed(range, prot, flags, fd, offset);
			release_lock(was);
			return mapped;
		}
	} else if (length >= LEAST && at % PAGE == 0 && range.end - at >= length &&
	           is_for_heap(prot, flags) && has_started()) {
		was = take_lock();
		err = heap_map(&at, range.end - range.start, prot,
		               flags & (MAP_POPULATE | MAP_LOCKED), false);
		release_lock(was);
	}
	/* What the heap has no room for is memory as ever, which fork() copies. */
	if (!err)
		return (void *)at;
	return (void *)syscall(SYS_mmap, address, length, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *, size_t, int, int, int, off_t) __attribute__((alias("mmap")));

EXPORT int munmap(void *address, size_t length)
{
	const struct range range = whole_pages(address, length);
	struct thread was;
	struct range ours;
	int err;

	if (!is_heaps(range))
		return (int)syscall(SYS_munmap, address, length);
	ours = clip(range);
	was = take_lock();
	err = heap_unmap(ours);
	release_lock(was);
	if (!err && ours.start > range.start)
		err = syscall(SYS_munmap, range.start, ours.start - range.start) ? -errno : 0;
	if (!err && range.end > ours.end)
		err = syscall(SYS_munmap, ours.end, range.end - ours.end) ? -errno : 0;
	return result(err);
}

EXPORT int mprotect(void *address, size_t length, int prot)
{
	const struct range range = whole_pages(address, length);
	struct thread was;
	int err;

	if (!is_heaps(range) || !heap_has_all(range))
		return (int)syscall(SYS_mprotect, address, length, prot);
	was = take_lock();
	err = heap_protect(range, prot);
	release_lock(was);
	return result(err);
}

EXPORT int madvise(void *address, size_t length, int advice)
{
	const struct range range = whole_pages(address, length);
	struct thread was;
	int err;

	if (!is_heaps(range) || !heap_has_all(range))
		return (int)syscall(SYS_madvise, address, length, advice);
	switch (advice) {
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_FREE:
		/* Of private memory this loses the bytes, which of shared memory is punching. */
		was = take_lock();
		err = heap_lose(range);
		release_lock(was);
		return result(err);
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_WIPEONFORK:
	case MADV_KEEPONFORK:
		return result(-EINVAL); /* all of the heap goes to the child, as a clone */
	default:
		return (int)syscall(SYS_madvise, address, length, advice);
	}
}

/* Longer, in place or elsewhere, with the lock held. */
static int enlarge(uintptr_t *at, size_t length, size_t wanted, bool may_move)
{
	const struct range old = {*at, *at + length};
	const struct area *area = heap_area(old);
	uintptr_t place = old.end;
	int err;

	if (!area)
		return -EFAULT;
	if (area->prot == FOREIGN)
		return -EINVAL;
	if (heap_is_free((struct range){old.end, *at + wanted}))
		return heap_map(&place, wanted - length, area->prot, 0, false);
	if (!may_move || (area->prot & (PROT_READ | PROT_WRITE)) != (PROT_READ | PROT_WRITE))
		return -ENOMEM;
	place = 0;
	err = heap_map(&place, wanted, area->prot, 0, false);
	if (err)
		return err;
	memcpy((void *)place, (void *)*at, length);
	*at = place;
	return heap_unmap(old);
}

EXPORT void *mremap(void *address, size_t length, size_t wanted, int flags, ...)
{
	/* Of no length is another mapping of the same, which of private memory there is not. */
	const struct range old = whole_pages(address, length ?: 1);
	const struct range fresh = whole_pages(address, wanted);
	uintptr_t at = old.start;
	void *target = NULL;
	struct thread was;
	va_list args;
	int err = 0;

	if (flags & MREMAP_FIXED) {
		va_start(args, flags);
		target = va_arg(args, void *);
		va_end(args);
	}
	if (!is_heaps(old) && !is_heaps(whole_pages(target, wanted)))
		return (void *)syscall(SYS_mremap, address, length, wanted, flags, target);
	if (!length || flags & ~MREMAP_MAYMOVE || fresh.end <= fresh.start || !heap_has_all(old))
		return place(-EINVAL, 0);
	was = take_lock();
	if (fresh.end < old.end)
		err = heap_unmap((struct range){fresh.end, old.end});
	else if (fresh.end > old.end)
		err = enlarge(&at, old.end - old.start, fresh.end - fresh.start,
		              flags & MREMAP_MAYMOVE);
	release_lock(was);
	return place(err, at);
}
