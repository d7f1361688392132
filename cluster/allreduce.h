/* cluster/allreduce.h - sums and minima over all ranks, in place.
 *
 * Cost: alpha-beta, P ranks, n elements: MPI's own, about log2(P) alpha + 2 n beta.
 *
 * Memory:  nothing is kept between calls.
 * Threads: main thread only.
 * Ranks:   collective. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "cluster/comm.h"

/* Exact: integer sums do not depend on order or rank count. */
void allreduce_sum_i64(struct comm *comm, int64_t *values, size_t n);

/* The `fast` mode: MPI chooses the order. All ranks receive the same bits, as each of Open MPI's algorithms
 * adds an element in one order. */
void allreduce_sum_f32(struct comm *comm, float *values, size_t n);

/* Minimum, begun now and finished later, so that it overlaps with what lies between. At most one is
 * under way per comm; `values` must not be touched until finish, and
 * the collectives between the two drive it on. n == 0 is allowed. */
void allreduce_min_u32_begin(struct comm *comm, uint32_t *values, size_t n);
void allreduce_min_u32_finish(struct comm *comm);
