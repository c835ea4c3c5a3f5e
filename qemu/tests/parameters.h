/* SPDX-License-Identifier: GPL-2.0 */
/* The module's parameters, set for a stretch of a test. */
#ifndef COWMEM_PARAMETERS_H
#define COWMEM_PARAMETERS_H

#include "cowmem_test.h"

#define PARAMETERS "/sys/module/cowmem/parameters/"

static inline void parameter_set(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), PARAMETERS "%s", name);
	MUST(write_text(path, value));
}

/* Whether faults are first tried without locks (the default). */
static inline void set_speculation(bool on)
{
	parameter_set("speculate_private", on ? "Y" : "N");
	parameter_set("speculate_read", on ? "Y" : "N");
	parameter_set("speculate_shared_write", on ? "Y" : "N");
}

/* Whether what is read is mapped writable and clean, where it may be (the default). */
static inline void set_reuse(bool on)
{
	parameter_set("reuse", on ? "Y" : "N");
}

#endif /* COWMEM_PARAMETERS_H */
