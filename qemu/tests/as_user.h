/* SPDX-License-Identifier: GPL-2.0 */
/* Cases that run twice: as root, and as a user who is nobody; the device is for all meanwhile. */
#ifndef COWMEM_AS_USER_H
#define COWMEM_AS_USER_H

#include "cowmem_test.h"

#include <grp.h>
#include <sys/prctl.h>
#include <sys/stat.h>

enum { NOBODY = 65534 };

static bool is_user; /* whether it is the user's turn */

static inline bool become_user(void)
{
	return !setgroups(0, NULL) && !setresgid(NOBODY, NOBODY, NOBODY) &&
	       !setresuid(NOBODY, NOBODY, NOBODY) && !prctl(PR_SET_DUMPABLE, 1);
}

/* Runs the case in a process of its own, which is nobody's. */
static inline void as_user(void (*run)(void))
{
	const pid_t child = fork();
	int status;

	MUST(child >= 0);
	if (!child) {
		is_user = true;
		if (!getuid() && !become_user())
			_exit(2);
		run();
		fflush(stdout);
		_exit(test_failed);
	}
	MUST(waitpid(child, &status, 0) == child);
	CHECK_EQ(status, 0);
}

/* Of a table CASES(X) of X(function, name). */
#define AS_USER(run, name)              \
	static void run##_as_user(void) \
	{                               \
		as_user(run);           \
	}
#define BOTH(run, name) {name ", as root", "", run}, {name ", as a user", "", run##_as_user},

static mode_t of_device;

static inline void give_device_back(void)
{
	chmod(COWMEM_DEVICE, of_device);
}

static inline void open_device_to_all(void)
{
	struct stat stat_of;

	MUST(!stat(COWMEM_DEVICE, &stat_of));
	of_device = stat_of.st_mode & 07777;
	MUST(!chmod(COWMEM_DEVICE, 0666));
	atexit(give_device_back);
}

#endif /* COWMEM_AS_USER_H */
