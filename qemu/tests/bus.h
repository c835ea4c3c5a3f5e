/* SPDX-License-Identifier: GPL-2.0 */
/* Accesses that may give SIGBUS, one at a time. */
#ifndef COWMEM_BUS_H
#define COWMEM_BUS_H

#include "cowmem_test.h"

#include <setjmp.h>
#include <signal.h>

static sigjmp_buf bus_jump;
static const volatile char *bus_expected;

static inline void on_bus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	siglongjmp(bus_jump, info->si_addr == (void *)bus_expected ? info->si_code : -1);
}

/* Reads, or writes, a byte: 0, or the si_code of the SIGBUS it got there. */
static inline int touch(volatile char *p, bool write)
{
	struct sigaction action = {.sa_sigaction = on_bus, .sa_flags = SA_SIGINFO}, old;
	int code;

	bus_expected = p;
	MUST(!sigaction(SIGBUS, &action, &old));
	code = sigsetjmp(bus_jump, 1);
	if (!code) {
		if (write)
			*p = 'x';
		else
			(void)*p;
	}
	MUST(!sigaction(SIGBUS, &old, NULL));
	return code;
}

#endif /* COWMEM_BUS_H */
