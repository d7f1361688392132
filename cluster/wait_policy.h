/* cluster/wait_policy.h - how a rank's threads, and ranks, wait for each other.
 *
 * A thread that waits by looking again and again keeps its core from whoever else has work, which may be the
 * one it waits for. OpenMP's libraries look for milliseconds before they sleep: harmless on an idle machine,
 * but beside another program a token takes ten times as long, and with 4 ranks of 2 threads on 2 cores a
 * hundred times. So threads look for some tenths of a millisecond, longer than the pauses between the
 * parallel regions of a decode step, then sleep; where the threads of a host's ranks exceed its cores they
 * sleep at once, and MPI gives way too.
 *
 * The libraries read how to wait from the environment before main begins. The program therefore starts itself
 * anew, once, with the answer in its environment. Whoever sets OMP_WAIT_POLICY or the like himself is left
 * alone; so is a debugger's or valgrind's process, if he does.
 *
 * Memory:  none.
 * Threads: before MPI is initialised and any thread is started.
 * Ranks:   local. */
#pragma once

/* Returns where nothing is to do or the program cannot be started anew; otherwise it begins again, in the
 * same process and with these arguments. `n_threads` of this rank; 0: as many as it will choose itself. */
void wait_policy_settle(int n_threads, char *const *argv);
