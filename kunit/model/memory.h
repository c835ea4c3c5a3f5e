/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Weak memory for the models, in Promela. Each CPU's stores go into a buffer of its
 * own and reach memory later, in their order; loads read memory at once. So a load may
 * overtake the CPU's own earlier stores, which is the one reordering that the locks'
 * acquire and release do not forbid. Taking a lock does not empty the buffer, since on
 * arm64 it does not; dropping one is a store like any other, behind those before it.
 *
 * No CPU here loads what it has itself just stored, so nothing has to be read out of
 * a buffer.
 */
#define DEPTH 8

byte memory[VARIABLES];
chan buffer[CPUS] = [DEPTH] of { byte, byte };
byte running; /* CPUs that have not come to their end */

#define LOAD(variable) memory[variable]
#define STORE(variable, value) buffer[cpu] ! variable, value
#define BARRIER empty(buffer[cpu])
#define LOCK(lock) atomic { memory[lock] == 0 -> memory[lock] = 1 }
#define UNLOCK(lock) STORE(lock, 0)
#define QUIET (running == 0)
#define FINISHED(cpu_) empty(buffer[cpu_])

/* A buffer empties at any time, one store after the other. */
proctype drain(byte cpu)
{
	byte variable, value;

end:
	do
	:: atomic { buffer[cpu] ? variable, value -> memory[variable] = value; value = 0; variable = 0 }
	od
}
