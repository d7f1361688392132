/* cluster/allreduce.h - sums and minima over all ranks, in place.
 *
 * Ranks of one host pass their parts through shared memory, or through MPI where that was measured to be
 * faster; ranks of several hosts through MPI. Cost: alpha-beta, P ranks, n elements; see allreduce_impl.h.
 *
 * Memory:  the shared window is made by allreduce_set_up and lives until its next call or comm_close.
 * Threads: main thread only.
 * Ranks:   collective. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cluster/comm.h"

enum allreduce_choice {
    ALLREDUCE_AUTO,   /* what is measured to be fastest */
    ALLREDUCE_MPI,    /* MPI_Allreduce always */
    ALLREDUCE_SHARED, /* through the shared window always */
};

/* Chooses the algorithms, anew with each call; without one MPI does everything. One rank alone: nothing
 * happens. Takes a few ms for measuring, more where ranks exceed cores; -v shows the figures. `crowded`: this
 * rank's threads have not a core each, so that one who waits should give way at once; it may differ between
 * ranks. ALLREDUCE_SHARED where the ranks have no shared memory: STATUS_BAD_INPUT. */
NODISCARD enum status allreduce_set_up(struct comm *comm, enum allreduce_choice choice, bool crowded);

/* Exact: integer sums do not depend on order or rank count. */
void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n);

/* The `fast` mode. All ranks receive the same bits. Through shared memory, which is taken wherever there is
 * one and whatever was measured, ranks are added in their order; else MPI chooses the order, and each of Open
 * MPI's algorithms adds an element in one. */
void allreduce_sum_f32(struct comm *comm, float *values, size_t n);

/* Minimum, begun now and finished later, so that it overlaps with what lies between. At most one is
 * under way per comm; `values` must not be touched until finish. Through shared memory, begin passes what a
 * slot holds (131,072 words, fewer with many ranks) and finish the rest; through MPI the collectives between
 * the two drive it on. n == 0 is allowed. */
void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n);
void allreduce_min_u32_finish(struct comm *comm);
