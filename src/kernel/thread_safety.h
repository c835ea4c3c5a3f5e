/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clang's thread-safety annotations under short names. The build has
 * -Wthread-safety -Werror, so a call without the lock it needs does not compile.
 */
#ifndef COWMEM_THREAD_SAFETY_H
#define COWMEM_THREAD_SAFETY_H

#define CAPABILITY(name) __attribute__((capability(name)))
#define SCOPED_CAPABILITY __attribute__((scoped_lockable))
#define ACQUIRE(...) __attribute__((acquire_capability(__VA_ARGS__)))
#define ACQUIRE_SHARED(...) __attribute__((acquire_shared_capability(__VA_ARGS__)))
#define TRY_ACQUIRE(...) __attribute__((try_acquire_capability(__VA_ARGS__)))
#define TRY_ACQUIRE_SHARED(...) __attribute__((try_acquire_shared_capability(__VA_ARGS__)))
#define RELEASE(...) __attribute__((release_capability(__VA_ARGS__)))
#define RELEASE_SHARED(...) __attribute__((release_shared_capability(__VA_ARGS__)))
#define RELEASE_ANY(...) __attribute__((release_generic_capability(__VA_ARGS__)))
#define REQUIRES(...) __attribute__((requires_capability(__VA_ARGS__)))
#define REQUIRES_SHARED(...) __attribute__((requires_shared_capability(__VA_ARGS__)))
#define ASSERT_SHARED_CAPABILITY(...) __attribute__((assert_shared_capability(__VA_ARGS__)))
#define ASSERT_CAPABILITY(...) __attribute__((assert_capability(__VA_ARGS__)))
/* Of what takes locks that are not known by name: some of a list. */
#define UNCHECKED __attribute__((no_thread_safety_analysis))
#define EXCLUDES(...) __attribute__((locks_excluded(__VA_ARGS__)))

namespace cowmem {

/* Says that a lock is held already, and is to be let go at the end of the scope. */
enum Held { held };

/* Holds @L shared for a scope. */
template <class L>
class SCOPED_CAPABILITY Shared {
public:
	explicit Shared(L &lock) ACQUIRE_SHARED(lock) : lock_{lock} { lock_.lock_shared(); }
	/* The caller has just taken it. */
	Shared(L &lock, Held) REQUIRES_SHARED(lock) : lock_{lock} {}
	~Shared() RELEASE_ANY() { lock_.unlock_shared(); }
	Shared(const Shared &) = delete;
	Shared &operator=(const Shared &) = delete;

private:
	L &lock_;
};

/* Holds @L exclusively for a scope. */
template <class L>
class SCOPED_CAPABILITY Exclusive {
public:
	explicit Exclusive(L &lock) ACQUIRE(lock) : lock_{lock} { lock_.lock(); }
	/* The caller has just taken it. */
	Exclusive(L &lock, Held) REQUIRES(lock) : lock_{lock} {}
	~Exclusive() RELEASE() { lock_.unlock(); }
	Exclusive(const Exclusive &) = delete;
	Exclusive &operator=(const Exclusive &) = delete;

private:
	L &lock_;
};

} /* namespace cowmem */

#endif /* COWMEM_THREAD_SAFETY_H */
