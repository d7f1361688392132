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

/* How many ranks it started on this host; 1 where it does not say. */
int launcher_ranks_on_host(void);
