// SPDX-License-Identifier: GPL-2.0
/* The tracepoints' bodies (src/kernel/trace.h). */
#define CREATE_TRACE_POINTS
#include "kernel/trace.h"
