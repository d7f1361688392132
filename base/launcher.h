/* base/launcher.h - was this process started by mpirun or its like?
 *
 * Memory:  none.
 * Threads: any.
 * Ranks:   local; the same on every rank of a job. */
#pragma once

#include <stdbool.h>

/* Open MPI, and all launchers that speak PMI or PMIx (MPICH, Intel MPI, Slurm, Flux), tell a process its
 * rank. */
bool launcher_present(void);

/* SimGrid's smpirun: ranks are contexts of one process and clocks are the simulation's. So no rank may start
 * the program anew or a thread that looks at the time, and what MPI says of threads is to be taken lightly.
 */
bool launcher_simulates(void);

/* How many ranks it started; 1 where it does not say. MPI may know of fewer: of this one alone, where the
 * launcher is another library's. */
int launcher_ranks(void);

/* How many ranks it started on this host; 1 where it does not say. */
int launcher_ranks_on_host(void);
