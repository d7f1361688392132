/* cluster/ulfm_impl.h - what MPI can do about ranks that have ended: User-Level Failure Mitigation, in Open
 * MPI from version 5 on (https://docs.open-mpi.org/en/v5.0.x/features/ulfm.html). This is the one file that
 * knows whether it is there.
 *
 * Memory:  shrink makes a communicator.
 * Threads: main thread only.
 * Ranks:   shrink is collective over those that are left; the others are local. */
#pragma once

#include <mpi.h>
#include <stdbool.h>

/* Is it in this build? */
bool ulfm_is_built_in(void);

/* And has mpirun been told to let the others live when a rank ends (--with-ft ulfm)? */
bool ulfm_is_switched_on(void);

/* Before MPI_Init: that MPI_Finalize is not to wait for the processes of the job, of which some may be gone.
 */
void ulfm_prepare(void);

/* Does the error say that a rank has ended, or that another one has noticed such a thing (revoke)? */
bool ulfm_is_loss(int code);

/* Ends what all of the communicator's ranks wait for in it, now and later, with an error. */
void ulfm_revoke(MPI_Comm ranks);

/* Those that are left, in the same order. Returns MPI's code. */
int ulfm_shrink(MPI_Comm ranks, MPI_Comm *left_out);
