/* cluster/leftovers.h - what MPI leaves in /dev/shm when a job ends without MPI_Finalize.
 *
 * Open MPI's ranks of a host talk through files there, which a rank takes away as it finalises: one that is
 * killed does not, nor does MPI_Abort. Every rank has the files of all ranks of its host mapped, so the last
 * one to speak removes those of the dead too.
 *
 * Memory:  none: it may be called when anything may have gone wrong.
 * Threads: any.
 * Ranks:   local; for a job that is about to end, on purpose or not. */
#pragma once

void leftovers_remove(void);
